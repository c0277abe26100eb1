//! The transports of browsers. They do not exist yet: each of them fails to open. They will use `fetch` and the
//! browser's `WebSocket` behind the same methods.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::{Context, Poll};

use engineio_proto::{Packet, ParseError, Payload};
use ws_proto::{Opcode, Time};

use super::TransportEnd;
use crate::connector::Options;

/// Why a transport cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// There is no transport for browsers yet.
    #[error("this platform has no transports")]
    Unsupported,
    /// The server closed the connection.
    #[error("the server closed the connection")]
    ConnectionClosed(Option<Infallible>),
    /// An upgrade failed: the server did not answer the probe in time, or sent something else.
    #[error("the server did not answer the probe")]
    NoProbeResponse,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct PlatformSettings;

/// Natively, the part of a budget that the session uses. A browser limits the memory of a tab itself.
pub(crate) struct Memory;

impl Memory {
    pub(crate) fn new(_settings: &PlatformSettings) -> Self {
        Self
    }

    pub(crate) fn report(&mut self, _bytes: usize, _cx: &Context<'_>) -> bool {
        true
    }

    pub(crate) fn limit(&self) -> usize {
        usize::MAX
    }
}

pub(crate) struct Client;

impl Client {
    pub(crate) fn new(_options: Arc<Options>) -> Self {
        Self
    }
}

#[derive(Default)]
pub(crate) struct Polling {
    has_get: bool,
    has_post: bool,
}

impl Polling {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn start_get(&mut self, _client: &Client, _session_id: Option<&str>) {
        self.has_get = true;
    }

    pub(crate) fn start_post(&mut self, _client: &Client, _session_id: Option<&str>, _body: Vec<u8>) {
        self.has_post = true;
    }

    pub(crate) fn poll_get(
        &mut self,
        _client: &mut Client,
        _now: Time,
        _cx: &mut Context<'_>,
    ) -> Poll<Result<Payload, TransportError>> {
        if self.has_get { Poll::Ready(Err(TransportError::Unsupported)) } else { Poll::Pending }
    }

    pub(crate) fn poll_post(
        &mut self,
        _client: &mut Client,
        _now: Time,
        _cx: &mut Context<'_>,
    ) -> Poll<Result<(), TransportError>> {
        if self.has_post { Poll::Ready(Err(TransportError::Unsupported)) } else { Poll::Pending }
    }

    pub(crate) fn poll_kept_connections(&mut self, _now: Time, _cx: &mut Context<'_>) {}

    pub(crate) fn unsent(&self) -> usize {
        0
    }

    pub(crate) fn memory(&self) -> usize {
        0
    }

    pub(crate) fn close(
        &mut self,
        _client: &Client,
        _session_id: Option<&str>,
        _packet: &Packet<'_>,
        _now: Time,
    ) {
    }

    pub(crate) fn poll_close(&mut self, _client: &mut Client, _now: Time, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        None
    }
}

pub(crate) struct OpeningWebSocket;

impl OpeningWebSocket {
    pub(crate) fn new(_client: &Client, _session_id: Option<&str>) -> Self {
        Self
    }

    pub(crate) fn poll(
        &mut self,
        _client: &mut Client,
        _cx: &mut Context<'_>,
    ) -> Poll<Result<WebSocket, TransportError>> {
        Poll::Ready(Err(TransportError::Unsupported))
    }
}

pub(crate) struct WebSocket(Infallible);

impl WebSocket {
    pub(crate) fn poll_read(
        &mut self,
        _now: Time,
        _cx: &mut Context<'_>,
        _each: impl FnMut(Result<Packet<'_>, ParseError>, &mut Context<'_>) -> ControlFlow<()>,
    ) -> Poll<Result<(), TransportEnd>> {
        match self.0 {}
    }

    pub(crate) fn accepts_more(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn unsent(&self) -> usize {
        match self.0 {}
    }

    pub(crate) fn send(&mut self, _packet: &Packet<'_>) {
        match self.0 {}
    }

    pub(crate) fn send_message(&mut self, _opcode: Opcode, _data: &[u8], _compress: bool) {
        match self.0 {}
    }

    pub(crate) fn memory(&self) -> usize {
        match self.0 {}
    }

    pub(crate) fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), TransportEnd>> {
        match self.0 {}
    }

    pub(crate) fn close(&mut self, _now: Time) {
        match self.0 {}
    }

    pub(crate) fn poll_close(&mut self, _now: Time, _cx: &mut Context<'_>) -> Poll<()> {
        match self.0 {}
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        match self.0 {}
    }
}

pub(crate) struct Timer;

impl Timer {
    pub(crate) fn new() -> Self {
        Self
    }

    pub(crate) fn poll(&mut self, wanted: Option<Time>, now: Time, _cx: &mut Context<'_>) -> Poll<()> {
        if wanted.is_some_and(|wanted| wanted <= now) { Poll::Ready(()) } else { Poll::Pending }
    }
}

pub(crate) fn now() -> Time {
    Time::ZERO
}
