//! The traits that an application implements.

use std::borrow::Cow;
use std::task::{Context, Poll};

use engineio_proto::{CloseReason, Transport};
use ws_proto::Time;

use crate::engine::{Engine, HeadSize};
use crate::session::Session;

/// A message of a session.
#[derive(Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(Cow<'a, [u8]>),
}

/// The application that the engine opens sessions for.
pub trait Application: Send + Sync + Sized + 'static {
    /// The type that handles one session.
    type Handler: SessionHandler;

    /// Returns whether clients authenticate themselves after their session has opened. If so, a session counts for
    /// [`AddressLimits::max_unauthenticated`](crate::AddressLimits::max_unauthenticated) until
    /// [`Session::set_authenticated`] is called. Default false.
    fn authenticates(&self) -> bool {
        false
    }

    /// Returns how many bytes the handler keeps of the request that opens its session. They count in
    /// [`Options::max_half_open_bytes`](crate::Options::max_half_open_bytes) and in
    /// [`Options::memory_budget`](crate::Options::memory_budget). The default is the text: the path, the query, and the
    /// headers with their separators.
    fn request_memory(&self, request: &http::request::Parts) -> usize {
        HeadSize::of(request).kept
    }

    /// Returns the handler of a session that `request` has opened. The engine calls this before it reads anything from
    /// the session. It must not block: for a polling session it runs in [`Engine::handle`], and for a WebSocket session
    /// on the session's own task.
    fn on_open(
        &self,
        engine: &Engine<Self>,
        session: Session,
        request: http::request::Parts,
    ) -> Self::Handler;
}

/// Handles one session, on the session's own task.
///
/// The engine is generic over the handler, so the transport calls [`on_message`](Self::on_message) directly, without a
/// virtual call, a lock or a queue.
pub trait SessionHandler: Send + Unpin + 'static {
    /// Handles a message that has arrived.
    fn on_message(&mut self, message: Message<'_>, now: Time, cx: &mut Context<'_>);

    /// Handles the end of the session. Called once. No message follows.
    fn on_close(&mut self, reason: CloseReason, now: Time, cx: &mut Context<'_>);

    /// Is called when the engine shuts down. Returns whether the session may be closed now. If not, the handler calls
    /// [`Session::close_for_shutdown`] when it may; after a time, the engine closes the session nevertheless. Until then,
    /// the session goes on as before. The default returns `true`.
    fn begin_close(&mut self) -> bool {
        true
    }

    /// Handles the upgrade: the session uses `transport` from now on. Called at most once. The default does nothing.
    fn on_upgrade(&mut self, transport: Transport) {
        let _ = transport;
    }

    /// Is called in each turn, after what has arrived was handled, and before the output is written. `now` is the time at
    /// which the session's task was polled; several turns may follow. The default does nothing.
    fn on_input_handled(&mut self, now: Time) {
        let _ = now;
    }

    /// Drives the handler's own work. The engine calls this whenever it polls the session's task, even after
    /// [`on_close`](Self::on_close). The task ends when the session is over and this returns [`Poll::Ready`]. The
    /// default returns `Ready` at once.
    fn poll(&mut self, now: Time, cx: &mut Context<'_>) -> Poll<()> {
        let _ = (now, cx);
        Poll::Ready(())
    }

    /// Returns how many bytes of received messages the handler keeps. They count in
    /// [`Options::memory_budget`](crate::Options::memory_budget). The engine calls this in each turn. Default 0.
    fn received_memory(&self) -> usize {
        0
    }

    /// Drops received messages that the handler keeps, as far as it can, because the memory budget is exceeded. The
    /// session is over: the engine calls [`on_close`](Self::on_close) next, if it has not before. The default does
    /// nothing.
    fn discard_received(&mut self) {}

    /// Returns when to call [`poll`](Self::poll) even if nothing else happens. Default `None`.
    fn poll_timeout(&self) -> Option<Time> {
        None
    }

    /// Returns whether the handler accepts more messages now. While it returns `false`, the engine reads nothing from
    /// the transport, and does not close the session for a missing pong, unless a task waits for the capacity to send
    /// to the client ([`Session::poll_capacity`]). Default `true`.
    ///
    /// The engine checks this whenever it polls the session's task. If the result changes to `true` at any other time,
    /// for instance because of another task, call [`Session::wake`].
    fn wants_input(&self) -> bool {
        true
    }
}
