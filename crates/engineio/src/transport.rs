//! What carries the packets of a session.
//!
//! Hot path. The [`SessionTransport`] of a session is a type and no trait object; each kind owns its behaviour in a file of its
//! own and has the same methods. Another transport is one more file and one more variant here. Its name and its framing
//! are in `engineio_proto`. A candidate, to which a polling session may move, is a WebSocket so far (`driver.rs`).

mod polling;
mod websocket;

use std::task::{Context, Poll};

use engineio_proto::{CloseReason, Framing, Packet};
use net::{Outbox, OutboxSignals};
use tokio::sync::oneshot;
use ws_proto::Time;

use crate::handler::Handler;
use crate::packet_dispatcher::PacketDispatcher;
use crate::session::PollReply;

pub(crate) use polling::{Polling, PostRequest};
pub(crate) use websocket::{ProbeOutcome, WebSocket};

/// The transport that a session uses now.
#[expect(
    clippy::large_enum_variant,
    reason = "most sessions end up on WebSocket; a box would cost each an allocation"
)]
pub(crate) enum SessionTransport {
    Polling(Box<Polling>),
    WebSocket(WebSocket),
    /// Nothing is carried any more.
    Closed,
}

/// What [`SessionTransport::poll_output`] came to.
pub(crate) struct OutputStatus {
    /// Why the session cannot go on, if it cannot.
    pub(crate) close_reason: Option<CloseReason>,
    /// Bytes that the transport has taken from the outbox and not yet sent.
    pub(crate) unsent: usize,
    /// Whether the transport would take more.
    pub(crate) is_writable: bool,
    /// What else the outbox has for the driver.
    pub(crate) signals: OutboxSignals,
}

impl SessionTransport {
    /// Hands what has arrived to `receiver`. `true` when there may be more than one turn should take.
    ///
    /// # Errors
    /// Why the session cannot go on.
    pub(crate) fn poll_input<H: Handler>(
        &mut self,
        receiver: &mut PacketDispatcher<H>,
        now: Time,
        cx: &mut Context<'_>,
    ) -> Result<bool, CloseReason> {
        match self {
            Self::Polling(polling) => polling.poll_input(receiver, now, cx),
            Self::WebSocket(websocket) => websocket.poll_input(receiver, now, cx),
            Self::Closed => Ok(false),
        }
    }

    /// Whether the client has so much still to read that its own packets wait: a client that sends requests faster than it
    /// reads the responses is slowed down and not disconnected.
    pub(crate) fn is_backpressured(&self) -> bool {
        match self {
            Self::WebSocket(websocket) => websocket.is_behind(),
            // What waits for a poll stays in the outbox, and a client that does not poll is found by its heartbeat.
            Self::Polling(_) | Self::Closed => false,
        }
    }

    /// Queues a packet of the engine itself.
    pub(crate) fn send(&mut self, packet: &Packet<'_>) {
        match self {
            Self::Polling(polling) => polling.send(packet),
            Self::WebSocket(websocket) => websocket.send(packet),
            Self::Closed => {}
        }
    }

    /// Sends what waits.
    pub(crate) fn poll_output(&mut self, outbox: &Outbox<Framing>, cx: &mut Context<'_>) -> OutputStatus {
        match self {
            Self::Polling(polling) => polling.poll_output(outbox, cx),
            Self::WebSocket(websocket) => websocket.poll_output(outbox, cx),
            Self::Closed => OutputStatus::idle(outbox),
        }
    }

    /// The session is over. What was sent before still leaves, until `deadline` at most; drive it with
    /// [`poll_close`](Self::poll_close).
    pub(crate) fn close(&mut self, reason: CloseReason, outbox: &Outbox<Framing>, now: Time, deadline: Time) {
        match self {
            Self::Polling(polling) => polling.close(reason, outbox, deadline),
            Self::WebSocket(websocket) => websocket.close(outbox, now),
            Self::Closed => {}
        }
    }

    /// After [`close`](Self::close): ready when nothing is left to say.
    pub(crate) fn poll_close(&mut self, now: Time, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Polling(polling) => polling.poll_close(now),
            Self::WebSocket(websocket) => websocket.poll_close(now, cx),
            Self::Closed => Poll::Ready(()),
        }
    }

    /// Nobody will ask for the rest: a closed session is not to wait for that.
    pub(crate) fn discard(&mut self) {
        if let Self::Polling(polling) = self {
            polling.discard();
        }
    }

    /// When the transport itself has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        match self {
            Self::Polling(polling) => polling.poll_timeout(),
            Self::WebSocket(websocket) => websocket.poll_timeout(),
            Self::Closed => None,
        }
    }

    /// Whether requests of the client find the session by its id, also while it closes.
    pub(crate) fn takes_requests(&self) -> bool {
        matches!(self, Self::Polling(_))
    }

    /// A GET asks for packets. Where none is taken, its sender is dropped, and the request refused.
    ///
    /// # Errors
    /// The client must not ask twice at the same time.
    pub(crate) fn handle_poll(&mut self, reply: oneshot::Sender<PollReply>) -> Result<(), CloseReason> {
        match self {
            Self::Polling(polling) => polling.handle_poll(reply),
            Self::WebSocket(_) | Self::Closed => Ok(()),
        }
    }

    /// A POST has brought packets.
    ///
    /// # Errors
    /// Why the session cannot go on.
    pub(crate) fn handle_post<H: Handler>(
        &mut self,
        post: PostRequest,
        receiver: &mut PacketDispatcher<H>,
        now: Time,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        match self {
            Self::Polling(polling) => polling.handle_post(post, receiver, now, cx),
            // The client should have waited for the response before it moved, but what it brought is not lost.
            Self::WebSocket(_) | Self::Closed => post.handle_all(receiver, now, cx),
        }
    }

    /// Lets a waiting GET come back, so that the client can stop polling.
    pub(crate) fn send_noop(&mut self) {
        if let Self::Polling(polling) = self {
            polling.send_noop();
        }
    }

    /// Puts `next` in the place of this one. What waited here goes out there. Returns a POST that is not handled yet.
    pub(crate) fn switch_to(&mut self, mut next: WebSocket, outbox: &Outbox<Framing>) -> Option<PostRequest> {
        let post = match self {
            Self::Polling(polling) => polling.drain_to(outbox, &mut next),
            Self::WebSocket(_) | Self::Closed => None,
        };
        *self = Self::WebSocket(next);
        post
    }
}

impl OutputStatus {
    /// Nothing was sent, and nothing could be.
    fn idle(outbox: &Outbox<Framing>) -> Self {
        Self { close_reason: None, unsent: 0, is_writable: false, signals: outbox.take_signals() }
    }
}
