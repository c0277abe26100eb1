//! The trait that the protocol above the engine implements.

use std::borrow::Cow;
use std::task::{Context, Poll};

use engineio_proto::Transport;
use engineio_proto::client::Handshake;
use ws_proto::Time;

use crate::error::Closed;
use crate::transport::TransportError;

/// A message of the server.
#[derive(Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(Cow<'a, [u8]>),
}

/// Handles one session, on the task that polls its [`Driver`](crate::Driver).
///
/// The driver is generic over the handler, so a transport calls [`on_message`](Self::on_message) directly, without a
/// virtual call, a lock or a queue. The methods must not block. They may use the [`Session`](crate::Session): what they
/// send leaves at the end of the turn, in one write.
pub trait EngineHandler {
    /// Handles the open session. Called once, before the first message. Not called if the session never opens. The
    /// default does nothing.
    fn on_open(&mut self, handshake: &Handshake, now: Time, cx: &mut Context<'_>) {
        let _ = (handshake, now, cx);
    }

    /// Handles a message that has arrived.
    fn on_message(&mut self, message: Message<'_>, now: Time, cx: &mut Context<'_>);

    /// Handles the end of the session, or of the attempt to open it. Called once. No message follows.
    fn on_close(&mut self, closed: Closed, now: Time, cx: &mut Context<'_>);

    /// Handles a ping of the server. The pong is sent at the end of the turn. The default does nothing.
    fn on_ping(&mut self) {}

    /// Handles the upgrade: the session uses `transport` from now on. Called at most once. The default does nothing.
    fn on_upgrade(&mut self, transport: Transport) {
        let _ = transport;
    }

    /// Handles a failed upgrade: `transport` cannot be used, and the session goes on without it. The default does
    /// nothing.
    fn on_upgrade_error(&mut self, transport: Transport, error: TransportError) {
        let _ = (transport, error);
    }

    /// Drives the handler's own work. The driver calls this in each of its turns, even after
    /// [`on_close`](Self::on_close). The driver ends when the transport is closed and this returns [`Poll::Ready`]. The
    /// default returns `Ready` at once.
    fn poll(&mut self, now: Time, cx: &mut Context<'_>) -> Poll<()> {
        let _ = (now, cx);
        Poll::Ready(())
    }

    /// Returns when to call [`poll`](Self::poll) even if nothing else happens. Default `None`.
    fn poll_timeout(&self) -> Option<Time> {
        None
    }

    /// Returns whether the handler accepts more messages now. While it returns `false`, the driver reads nothing, and
    /// does not close the session for a missing ping. The server's own timeout keeps running. Default `true`.
    ///
    /// The driver checks this in each of its turns. If the result changes to `true` at any other time, for instance
    /// because of another task, call [`Session::wake`](crate::Session::wake).
    fn wants_input(&self) -> bool {
        true
    }
}
