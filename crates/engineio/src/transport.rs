//! The transports, which carry the packets of a session.
//!
//! Hot path. [`SessionTransport`] is an enum, not a trait object. Each kind has a file of its own and the same methods.
//! Another transport needs one more file and one more variant here; its name and its framing are in `engineio_proto`. A
//! candidate for an upgrade is always a WebSocket (`driver.rs`).

mod polling;
mod websocket;
mod websocket_compression;

use std::task::{Context, Poll};
use std::time::Duration;

use engineio_proto::{CloseReason, Framing, Packet};
use net::{HeldMemory, Outbox, OutboxSignals};
use tokio::sync::oneshot;
use ws_proto::Time;

use crate::handler::SessionHandler;
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
    /// The transport is closed.
    Closed,
}

/// The result of [`SessionTransport::poll_output`].
pub(crate) struct OutputStatus {
    /// The reason if the session must be closed.
    pub(crate) close_reason: Option<CloseReason>,
    /// The number of bytes that the transport has taken from the outbox and not yet sent.
    pub(crate) unsent: usize,
    /// Whether the transport accepts more.
    pub(crate) is_writable: bool,
    /// Other signals of the outbox for the driver.
    pub(crate) signals: OutboxSignals,
}

impl SessionTransport {
    /// Passes what has arrived to `dispatcher`. Returns `true` if there may be more input than one turn should handle.
    ///
    /// # Errors
    /// Returns the reason if the session must be closed.
    pub(crate) fn poll_input<H: SessionHandler>(
        &mut self,
        dispatcher: &mut PacketDispatcher<H>,
        now: Time,
        cx: &mut Context<'_>,
    ) -> Result<bool, CloseReason> {
        match self {
            Self::WebSocket(websocket) => websocket.poll_input(dispatcher, now, cx),
            // A POST is a command to the driver.
            Self::Polling(_) | Self::Closed => Ok(false),
        }
    }

    /// Returns whether too many bytes are queued for the client. While this is so, the driver reads nothing from the
    /// client. A client that sends requests faster than it reads the responses is slowed down, not disconnected.
    pub(crate) fn is_backpressured(&self) -> bool {
        match self {
            Self::WebSocket(websocket) => websocket.is_backpressured(),
            // Packets for the next poll stay in the outbox, and the heartbeat detects a client that does not poll.
            Self::Polling(_) | Self::Closed => false,
        }
    }

    /// Returns the memory that the transport holds for the client, and that waits for it in `outbox`, in bytes. A POST
    /// counts elsewhere, as long as its request waits for a response.
    pub(crate) fn memory(&mut self, outbox: &Outbox<Framing>) -> HeldMemory {
        match self {
            Self::Polling(polling) => {
                let waiting = outbox.memory();
                polling.report_queued(waiting.total());
                polling.memory() + waiting
            }
            Self::WebSocket(websocket) if websocket.leaves_messages_in_outbox() => {
                websocket.memory() + outbox.memory()
            }
            Self::WebSocket(websocket) => websocket.memory(),
            Self::Closed => HeldMemory::default(),
        }
    }

    /// Frees what was received and is queued, because the memory budget is exceeded. Call [`close`](Self::close) next.
    /// Returns `false` if the transport must then be dropped, because the client does not read.
    pub(crate) fn abort(&mut self, now: Time) -> bool {
        match self {
            Self::Polling(polling) => polling.abort(),
            Self::WebSocket(websocket) => websocket.abort(now),
            Self::Closed => true,
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

    /// Sends what is queued.
    pub(crate) fn poll_output(&mut self, outbox: &Outbox<Framing>, cx: &mut Context<'_>) -> OutputStatus {
        match self {
            Self::Polling(polling) => polling.poll_output(outbox, cx),
            Self::WebSocket(websocket) => websocket.poll_output(outbox, cx),
            Self::Closed => OutputStatus::idle(outbox),
        }
    }

    /// Starts to close the transport. What was queued before is still sent, within `timeout`. Drive this with
    /// [`poll_close`](Self::poll_close).
    pub(crate) fn close(
        &mut self,
        reason: CloseReason,
        outbox: &Outbox<Framing>,
        now: Time,
        timeout: Duration,
    ) {
        match self {
            Self::Polling(polling) => polling.close(reason, outbox, now, timeout),
            Self::WebSocket(websocket) => websocket.close(outbox, now),
            Self::Closed => {}
        }
    }

    /// Drives the close after [`close`](Self::close). Ready when everything has been sent.
    pub(crate) fn poll_close(&mut self, now: Time, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Polling(polling) => polling.poll_close(now),
            Self::WebSocket(websocket) => websocket.poll_close(now, cx),
            Self::Closed => Poll::Ready(()),
        }
    }

    /// Drops the packets that a closing polling session keeps for another poll, because none will come.
    pub(crate) fn stop_awaiting_poll(&mut self) {
        if let Self::Polling(polling) = self {
            polling.stop_awaiting_poll();
        }
    }

    /// Drops the messages that were sent and did not leave yet. A WebSocket has them in its queue, where one of them may
    /// be half written, so its connection ends without a close frame.
    pub(crate) fn discard_unsent(&mut self) {
        if let Self::WebSocket(websocket) = self
            && websocket.unsent() > 0
        {
            *self = Self::Closed;
        }
    }

    /// Returns when the transport must be polled because of its own timers.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        match self {
            Self::Polling(polling) => polling.poll_timeout(),
            Self::WebSocket(websocket) => websocket.poll_timeout(),
            Self::Closed => None,
        }
    }

    /// Returns whether the client's requests find the session by its id, even while it closes.
    pub(crate) fn takes_requests(&self) -> bool {
        matches!(self, Self::Polling(_))
    }

    /// Returns whether the transport is closing and waits for the client to take the rest.
    pub(crate) fn awaits_poll(&self) -> bool {
        matches!(self, Self::Polling(polling) if polling.awaits_poll())
    }

    /// Handles a GET, which waits for packets. If the transport takes no GET, the sender is dropped, and the request is
    /// rejected.
    ///
    /// # Errors
    /// Returns an error if the client already has a GET that waits.
    pub(crate) fn handle_poll(&mut self, reply: oneshot::Sender<PollReply>) -> Result<(), CloseReason> {
        match self {
            Self::Polling(polling) => polling.handle_poll(reply),
            Self::WebSocket(_) | Self::Closed => Ok(()),
        }
    }

    /// Responds to a waiting GET with a noop, so that the client can stop polling.
    pub(crate) fn send_noop(&mut self) {
        if let Self::Polling(polling) = self {
            polling.send_noop();
        }
    }

    /// Replaces this transport with `next`, which sends what is queued here.
    pub(crate) fn switch_to(&mut self, mut next: WebSocket, outbox: &Outbox<Framing>) {
        if let Self::Polling(polling) = self {
            polling.drain_to(outbox, &mut next);
        }
        *self = Self::WebSocket(next);
    }
}

impl OutputStatus {
    /// Returns the status of a transport that has sent nothing and accepts nothing.
    fn idle(outbox: &Outbox<Framing>) -> Self {
        Self { close_reason: None, unsent: 0, is_writable: false, signals: outbox.take_signals() }
    }
}
