//! The WebSocket transport, with one packet per message. It is also the candidate that a polling session may upgrade
//! to.
//!
//! Hot path.

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use engineio_proto::{Packet, ParseError, Transport};
use http::HeaderMap;
use net::{ExchangeResponse, Stream, StreamEnd, WebSocketStream, exchange};
use ws_proto::{
    ClientHandshake, CloseCode, Deflater, Event, FrameHeader, Limits, Opcode, Time, WebSocketUri,
    encode_frame, mask_into,
};

use super::error::TransportError;
use super::{Client, target};
use crate::connector::Options;
use crate::transport::TransportEnd;

/// While this many bytes wait for the kernel, packets stay in the queue of the driver. A frame takes as much memory as
/// its packet, so there is no reason to mask packets long before they can be sent.
const HIGH_WATER_MARK: usize = 64 * 1024;

/// The most bytes of the body of a refusal in an error.
const MAX_REFUSAL_SIZE: usize = 1024;

type Opening = dyn Future<Output = Result<(WebSocket, HeaderMap), TransportError>> + Send;

/// A connection before the end of its handshake. The state machine of the session limits how long this takes.
pub(crate) struct OpeningWebSocket(Pin<Box<Opening>>);

/// A WebSocket connection that carries a session, or may do so after an upgrade.
pub(crate) struct WebSocket {
    stream: WebSocketStream<Stream>,
    /// Present if compression was negotiated.
    deflater: Option<Box<Deflater>>,
}

impl OpeningWebSocket {
    /// Starts to connect. With `session_id`, for an upgrade.
    pub(crate) fn new(client: &Client, session_id: Option<&str>) -> Self {
        let request_target = client.request_target(Transport::WebSocket, session_id);
        Self(Box::pin(open(Arc::clone(&client.options), request_target, client.headers())))
    }

    pub(crate) fn poll(
        &mut self,
        client: &mut Client,
        cx: &mut Context<'_>,
    ) -> Poll<Result<WebSocket, TransportError>> {
        Poll::Ready(ready!(self.0.as_mut().poll(cx)).map(|(websocket, headers)| {
            client.store_cookies(&headers);
            websocket
        }))
    }
}

async fn open(
    options: Arc<Options>,
    request_target: String,
    headers: HeaderMap,
) -> Result<(WebSocket, HeaderMap), TransportError> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|error| TransportError::NoRandomness(error.into()))?;
    let mut handshake = ClientHandshake::new(nonce);
    for protocol in &options.protocols {
        handshake = handshake.protocol(protocol)?;
    }
    if let Some(deflate) = options.platform.per_message_deflate {
        handshake = handshake.deflate(deflate);
    }
    let request = handshake.request(&websocket_uri(&options, &request_target), &headers)?;
    let stream = options.platform.dialer.dial(target(&options)).await?;
    match exchange(stream, request).await.map_err(TransportError::NoResponse)? {
        ExchangeResponse::Response(response) => {
            let body = &response.body()[..response.body().len().min(MAX_REFUSAL_SIZE)];
            let body = String::from_utf8_lossy(body).into_owned();
            Err(TransportError::Status { status: response.status(), body })
        }
        ExchangeResponse::Upgraded(response, upgraded) => {
            let agreed = handshake.verify_response(response.status(), response.headers())?;
            let limits = Limits { max_message_size: options.limits.max_message_size, ..Limits::default() };
            let mut stream = WebSocketStream::client(upgraded.stream, upgraded.leftover, &limits);
            if let Some(agreement) = agreed.deflate() {
                stream = stream.with_deflate(agreement);
            }
            let deflater = agreed.deflate().map(|agreement| Box::new(Deflater::new(agreement)));
            Ok((WebSocket { stream, deflater }, response.into_parts().0.headers))
        }
    }
}

/// Returns the URI of the server with another path and query.
fn websocket_uri(options: &Options, request_target: &str) -> WebSocketUri {
    let uri = options.uri.as_ref().expect("`Connector::connect` has checked the URL");
    let scheme = if uri.is_secure() { "wss" } else { "ws" };
    let authority = uri.host_header().to_str().expect("a parsed host is ASCII");
    WebSocketUri::parse(&format!("{scheme}://{authority}{request_target}"))
        .expect("`Connector::connect` has checked the path, and the query is encoded")
}

impl WebSocket {
    /// Reads once and passes each packet to `each`, until `each` breaks. Returns `Ready` if something was read.
    pub(crate) fn poll_read(
        &mut self,
        now: Time,
        cx: &mut Context<'_>,
        mut each: impl FnMut(Result<Packet<'_>, ParseError>, &mut Context<'_>) -> ControlFlow<()>,
    ) -> Poll<Result<(), TransportEnd>> {
        let read = self.stream.poll_read(now, cx, |event, cx| match event {
            Event::Text(text) => each(Packet::parse(&text), cx),
            Event::Binary(data) => each(Ok(Packet::Binary(data)), cx),
            // The state machine of the connection has handled control frames.
            _ => ControlFlow::Continue(()),
        });
        read.map_err(transport_end)
    }

    /// Returns whether packets may be passed to [`send`](Self::send) or [`send_message`](Self::send_message).
    pub(crate) fn accepts_more(&self) -> bool {
        self.stream.buffered() < HIGH_WATER_MARK && self.stream.can_send()
    }

    /// Returns the number of bytes that wait for the kernel.
    pub(crate) fn unsent(&self) -> usize {
        self.stream.buffered()
    }

    /// Queues a packet of the engine itself.
    pub(crate) fn send(&mut self, packet: &Packet<'_>) {
        let mut text = Vec::new();
        packet.encode_into(&mut text);
        self.send_message(Opcode::Text, &text, false);
    }

    /// Queues a message, and masks it. `compress` tells whether it may be compressed, if the server has agreed to it.
    pub(crate) fn send_message(&mut self, opcode: Opcode, data: &[u8], compress: bool) {
        if compress && let Some(deflater) = &mut self.deflater {
            let mut compressed = Vec::new();
            if deflater.compress(data, &mut compressed) {
                return self.send_compressed(opcode, &compressed);
            }
        }
        let mask = self.stream.mask_key();
        self.stream.queue_mut().push_with(|wire| encode_frame(opcode, data, mask, wire));
    }

    fn send_compressed(&mut self, opcode: Opcode, data: &[u8]) {
        let mask = self.stream.mask_key();
        let header =
            FrameHeader { rsv1: true, masking_key: mask, ..FrameHeader::unfragmented(opcode, data.len()) };
        self.stream.queue_mut().push_with(|wire| {
            wire.extend_from_slice(&header.encode());
            match mask {
                Some(key) => mask_into(data, key, wire),
                None => wire.extend_from_slice(data),
            }
        });
    }

    /// Returns the bytes that the connection holds for the server: an unfinished message, and what waits for the kernel.
    pub(crate) fn memory(&self) -> usize {
        self.stream.memory().total()
    }

    /// Writes what is queued. `Ready` when everything is written.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportEnd>> {
        self.stream.poll_flush(cx).map_err(|error| transport_end(StreamEnd::Io(error)))
    }

    /// Starts the closing handshake. Drive it with [`poll_close`](Self::poll_close).
    pub(crate) fn close(&mut self, now: Time) {
        self.stream.close(None, now);
    }

    pub(crate) fn poll_close(&mut self, now: Time, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_close(now, cx)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.stream.poll_timeout()
    }
}

/// The JavaScript client reports a `transport close` even if reading fails, and a `transport error` if the server
/// violates the protocol.
#[cold]
fn transport_end(end: StreamEnd) -> TransportEnd {
    match end {
        StreamEnd::Closed(None) => TransportEnd::Closed(None),
        StreamEnd::Closed(Some(frame)) if frame.code == CloseCode::NORMAL && frame.reason.is_empty() => {
            TransportEnd::Closed(None)
        }
        StreamEnd::Closed(frame) => TransportEnd::Closed(Some(TransportError::ConnectionClosed(frame))),
        StreamEnd::Eof => TransportEnd::Closed(Some(TransportError::ConnectionClosed(None))),
        StreamEnd::Io(error) => TransportEnd::Closed(Some(TransportError::Io(error))),
        StreamEnd::Protocol(error) => TransportEnd::Failed(TransportError::Protocol(error)),
    }
}
