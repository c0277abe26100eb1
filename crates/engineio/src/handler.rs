//! What the floor above gives to the engine.

use std::borrow::Cow;
use std::task::{Context, Poll};

use engineio_proto::CloseReason;
use ws_proto::Time;

use crate::engine::Engine;
use crate::session::Session;

/// A message of a session.
#[derive(Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Text.
    Text(&'a str),
    /// Bytes.
    Binary(Cow<'a, [u8]>),
}

/// The program that sessions are opened for.
pub trait Application: Send + Sync + Sized + 'static {
    /// What handles one session.
    type Handler: Handler;

    /// A session has been opened by `request`. Called on the session's own task, before anything is read from it.
    fn on_open(
        &self,
        engine: &Engine<Self>,
        session: Session,
        request: http::request::Parts,
    ) -> Self::Handler;
}

/// Handles one session, on the session's own task.
///
/// The engine is generic over it: no virtual call, no lock and no queue stand between the transport and
/// [`on_message`](Self::on_message).
pub trait Handler: Send + Unpin + 'static {
    /// A message has arrived.
    fn on_message(&mut self, message: Message<'_>, now: Time, cx: &mut Context<'_>);

    /// The session is over. Called once; no message follows.
    fn on_close(&mut self, reason: CloseReason, now: Time, cx: &mut Context<'_>);

    /// Drives what the handler has under way; called in every turn of the task, also after
    /// [`on_close`](Self::on_close). The task ends when the session is over and this is ready.
    fn poll(&mut self, now: Time, cx: &mut Context<'_>) -> Poll<()> {
        let _ = (now, cx);
        Poll::Ready(())
    }

    /// When [`poll`](Self::poll) wants to be called although nothing happens.
    fn poll_timeout(&self) -> Option<Time> {
        None
    }

    /// Whether the handler takes more messages now. While it does not, the engine reads nothing from the transport,
    /// and holds the missing pong of a silent peer against nobody.
    ///
    /// It is asked in every turn of the task. Where it becomes true by something that is no turn, in another task, call
    /// [`Session::wake`].
    fn wants_input(&self) -> bool {
        true
    }
}
