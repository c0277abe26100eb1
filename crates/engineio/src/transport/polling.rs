//! The long-polling transport: a GET waits for packets. The packets of a POST go from the driver to the handler.

use std::task::{Context, Poll};
use std::time::Duration;

use engineio_proto::{CloseReason, Framing, LengthDelimitedPackets, Packet, PostPayload, WireFormat};
use net::metrics::{ConnectionKind, Meter};
use net::{HeldMemory, Outbox, TurnBudget, WriteQueue};
use tokio::sync::oneshot;
use ws_proto::{PeerDeadline, Time};

use super::{OutputStatus, WebSocket};
use crate::handler::SessionHandler;
use crate::packet_dispatcher::PacketDispatcher;
use crate::session::PollReply;

/// The most packets of a POST that are handled in one turn.
const MAX_PACKETS_PER_TURN: usize = 256;

/// The server's end of the polling transport.
pub(crate) struct Polling {
    format: WireFormat,
    /// The GET that waits for packets.
    pending_poll: Option<oneshot::Sender<PollReply>>,
    /// Packets of the engine itself, and data from the outbox.
    queue: WriteQueue,
    /// The waiting GET must get a response even if nothing is queued.
    noop_requested: bool,
    close_state: CloseState,
    meter: Meter,
}

/// The progress of the close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CloseState {
    Open,
    /// The client's next GET tells it that the session is over, if the GET arrives before the deadline.
    AwaitingPoll {
        deadline: PeerDeadline,
        timeout: Duration,
    },
    Closed,
}

/// A POST: its packets, and the sender of its response. If it is dropped without a response, the request fails.
pub(crate) struct PostRequest {
    payload: PostPayload,
    response_sender: oneshot::Sender<()>,
}

impl Polling {
    pub(crate) fn new(format: WireFormat) -> Self {
        Self {
            format,
            pending_poll: None,
            queue: WriteQueue::new(),
            noop_requested: false,
            close_state: CloseState::Open,
            meter: Meter::new(ConnectionKind::EngineIoPolling),
        }
    }

    /// Handles a GET.
    pub(crate) fn handle_poll(&mut self, reply: oneshot::Sender<PollReply>) -> Result<(), CloseReason> {
        match self.close_state {
            CloseState::Open if self.pending_poll.is_some() => {
                let _ = reply.send(PollReply::Overlap);
                return Err(CloseReason::TransportError);
            }
            CloseState::Open => self.pending_poll = Some(reply),
            CloseState::AwaitingPoll { .. } => {
                self.pending_poll = Some(reply);
                let had_packets = !self.queue.is_empty();
                if !had_packets {
                    self.send(&Packet::Noop);
                    self.send(&Packet::Close);
                    self.close_state = CloseState::Closed;
                }
                let _ = self.respond();
            }
            CloseState::Closed => {}
        }
        Ok(())
    }

    /// Counts what was sent, and what waits for the client. `in_outbox` is what has not come here yet, in bytes.
    pub(super) fn report_queued(&mut self, in_outbox: usize) {
        self.meter.flush(self.queue.len() + in_outbox);
    }

    pub(super) fn memory(&self) -> HeldMemory {
        self.queue.memory()
    }

    pub(super) fn abort(&mut self) -> bool {
        self.queue.clear();
        true
    }

    pub(crate) fn send(&mut self, packet: &Packet<'_>) {
        self.queue.push_with(|out| Framing::LengthDelimited.write_packet(packet, out));
    }

    /// Responds to a waiting GET with a noop, so that the client can stop polling.
    pub(crate) fn send_noop(&mut self) {
        self.noop_requested = self.pending_poll.is_some();
    }

    /// Responds to the waiting GET if a packet or a noop is due.
    pub(crate) fn poll_output(&mut self, outbox: &Outbox<Framing>, cx: &mut Context<'_>) -> OutputStatus {
        let responded = self.poll_respond(outbox, cx);
        OutputStatus {
            // The client has cancelled its GET. The packets for it are lost, so the session must be closed.
            close_reason: responded.err().map(|()| CloseReason::TransportError),
            is_writable: responded.is_ok() && self.pending_poll.is_some(),
            ..OutputStatus::idle(outbox)
        }
    }

    fn poll_respond(&mut self, outbox: &Outbox<Framing>, cx: &mut Context<'_>) -> Result<(), ()> {
        let Some(poll) = &mut self.pending_poll else { return Ok(()) };
        if poll.poll_closed(cx).is_ready() {
            return Err(());
        }
        outbox.drain_all_into(&mut self.queue);
        if self.queue.is_empty() {
            if !self.noop_requested {
                return Ok(());
            }
            self.send(&Packet::Noop);
        }
        self.respond()
    }

    /// Starts to close the transport. Queued packets go out in a separate response before the close packet: the
    /// JavaScript client handles a close packet at once, and the packets before it later. So it would report a lost
    /// connection instead of the application's last message.
    pub(crate) fn close(
        &mut self,
        reason: CloseReason,
        outbox: &Outbox<Framing>,
        now: Time,
        timeout: Duration,
    ) {
        outbox.drain_all_into(&mut self.queue);
        if self.pending_poll.is_some() && self.queue.is_empty() {
            // A client that has closed the session only needs a response to its GET. Any other client is told about the
            // close.
            self.send(&match reason {
                CloseReason::TransportClose => Packet::Noop,
                _ => Packet::Close,
            });
            self.close_state = CloseState::Closed;
        } else {
            // It is worth waiting for another GET only if this side closed the session.
            self.close_state = match reason {
                CloseReason::ForcedClose | CloseReason::ServerShuttingDown => {
                    CloseState::AwaitingPoll { deadline: PeerDeadline::new(now + timeout), timeout }
                }
                _ => CloseState::Closed,
            };
        }
        let _ = self.respond();
    }

    pub(crate) fn poll_close(&mut self, now: Time) -> Poll<()> {
        if let CloseState::AwaitingPoll { deadline, timeout } = &mut self.close_state
            && deadline.expired_or_restart(*timeout, now)
        {
            self.close_state = CloseState::Closed;
        }
        if self.close_state == CloseState::Closed { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Returns whether the transport is closing and waits for another GET.
    pub(super) fn awaits_poll(&self) -> bool {
        matches!(self.close_state, CloseState::AwaitingPoll { .. })
    }

    /// Closes at once, because no other GET will come.
    pub(crate) fn stop_awaiting_poll(&mut self) {
        self.close_state = CloseState::Closed;
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        match self.close_state {
            CloseState::AwaitingPoll { deadline, .. } => Some(deadline.time()),
            CloseState::Open | CloseState::Closed => None,
        }
    }

    /// Moves the queued packets to `next`, and tells a waiting GET that the session has upgraded.
    pub(super) fn drain_to(&mut self, outbox: &Outbox<Framing>, next: &mut WebSocket) {
        outbox.change_framing(next.outbox_framing(), &mut self.queue);
        next.append_reframed(&mut self.queue);
        if let Some(poll) = self.pending_poll.take() {
            let _ = poll.send(PollReply::Upgraded);
        }
    }

    fn respond(&mut self) -> Result<(), ()> {
        let Some(poll) = self.pending_poll.take() else { return Err(()) };
        self.noop_requested = false;
        let packets = self.queue.to_contiguous();
        let body = self.format.encode_response(LengthDelimitedPackets::new(&packets), packets.len());
        drop(packets);
        self.queue.clear();
        self.meter.sent(body.bytes.len());
        poll.send(PollReply::Packets(body)).map_err(|_| ())
    }
}

impl PostRequest {
    pub(crate) fn new(payload: PostPayload, response_sender: oneshot::Sender<()>) -> Self {
        Self { payload, response_sender }
    }

    /// Responds with `ok`: the session is over, and the client is told by its poll.
    pub(crate) fn respond_ok(self) {
        let _ = self.response_sender.send(());
    }

    /// Handles the packets as long as the handler accepts them, and up to the limit of one turn. Returns itself if
    /// packets are left. The POST then gets no response yet.
    pub(crate) fn handle<H: SessionHandler>(
        mut self,
        dispatcher: &mut PacketDispatcher<H>,
        now: Time,
        cx: &mut Context<'_>,
    ) -> Result<Option<Self>, CloseReason> {
        let mut packets = 0;
        loop {
            if packets == MAX_PACKETS_PER_TURN || TurnBudget::is_spent() || !dispatcher.wants_input() {
                return Ok(Some(self));
            }
            packets += 1;
            let Some(packet) = self.payload.next_packet() else { break };
            if let Err(reason) = dispatcher.handle_packet(packet, now, cx) {
                // The response is "ok" all the same, as in Node.
                let _ = self.response_sender.send(());
                return Err(reason);
            }
        }
        let _ = self.response_sender.send(());
        Ok(None)
    }
}
