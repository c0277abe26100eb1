//! The long-polling transport: a GET that waits for packets, a POST that brings them.

use std::task::{Context, Poll};

use engineio_proto::{CloseReason, Framing, LengthDelimitedPackets, Packet, Payload, encode_payload};
use net::{Outbox, WriteQueue};
use tokio::sync::oneshot;
use ws_proto::Time;

use super::{OutputStatus, WebSocket};
use crate::handler::Handler;
use crate::packet_dispatcher::PacketDispatcher;
use crate::session::PollReply;

/// Packets of a POST that are handled in one turn.
const MAX_PACKETS_IN_TURN: usize = 256;

/// The polling end of a session.
#[derive(Default)]
pub(crate) struct Polling {
    /// The GET that waits for packets.
    pending_poll: Option<oneshot::Sender<PollReply>>,
    /// Packets of the engine itself, and what was taken from the outbox.
    queue: WriteQueue,
    /// The waiting GET is to come back even with nothing to say.
    noop_requested: bool,
    /// The POST that is not handled to its end, because the handler took nothing or the turn was over. A session has one at
    /// a time.
    unfinished_post: Option<PostRequest>,
    closing: CloseState,
}

/// Where the end of the session stands.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum CloseState {
    #[default]
    Open,
    /// The client learns of it from its next GET, if that comes before the deadline.
    AwaitingPoll {
        deadline: Time,
    },
    Closed,
}

/// A POST: its packets, and its response. Dropped without one, the request fails.
pub(crate) struct PostRequest {
    payload: Payload,
    response_sender: oneshot::Sender<()>,
}

impl Polling {
    pub(crate) fn poll_input<H: Handler>(
        &mut self,
        receiver: &mut PacketDispatcher<H>,
        now: Time,
        cx: &mut Context<'_>,
    ) -> Result<bool, CloseReason> {
        let Some(post) = self.unfinished_post.take() else { return Ok(false) };
        self.handle_post(post, receiver, now, cx)?;
        Ok(true)
    }

    /// Handles the packets of a POST, as far as the handler takes them and one turn goes. The rest is held, and the POST
    /// gets no response yet.
    pub(crate) fn handle_post<H: Handler>(
        &mut self,
        post: PostRequest,
        receiver: &mut PacketDispatcher<H>,
        now: Time,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        self.unfinished_post = post.handle(receiver, Some(MAX_PACKETS_IN_TURN), now, cx)?;
        Ok(())
    }

    /// A GET has come.
    pub(crate) fn handle_poll(&mut self, reply: oneshot::Sender<PollReply>) -> Result<(), CloseReason> {
        match self.closing {
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
                    self.closing = CloseState::Closed;
                }
                let _ = self.respond();
            }
            CloseState::Closed => {}
        }
        Ok(())
    }

    pub(crate) fn send(&mut self, packet: &Packet<'_>) {
        self.queue.push_with(|out| Framing::LengthDelimited.write_packet(packet, out));
    }

    /// Lets a waiting GET come back, so that the client can stop polling.
    pub(crate) fn send_noop(&mut self) {
        self.noop_requested = self.pending_poll.is_some();
    }

    /// Responds to the waiting GET if there is something to say.
    pub(crate) fn poll_output(&mut self, outbox: &Outbox<Framing>, cx: &mut Context<'_>) -> OutputStatus {
        let responded = self.poll_respond(outbox, cx);
        OutputStatus {
            // The client has given its GET up. What it was to get is lost, and so is the session.
            close_reason: responded.err().map(|()| CloseReason::TransportError),
            is_writable: responded.is_ok() && self.pending_poll.is_some(),
            ..OutputStatus::idle(outbox)
        }
    }

    fn poll_respond(&mut self, outbox: &Outbox<Framing>, cx: &mut Context<'_>) -> Result<(), ()> {
        let Some(waiting) = &mut self.pending_poll else { return Ok(()) };
        if waiting.poll_closed(cx).is_ready() {
            return Err(());
        }
        outbox.drain_into(&mut self.queue);
        if self.queue.is_empty() {
            if !self.noop_requested {
                return Ok(());
            }
            self.send(&Packet::Noop);
        }
        self.respond()
    }

    /// What was sent before goes out in a response of its own: the JavaScript client handles a close packet at once and
    /// everything before it later, so that it would take a goodbye of the program for a lost connection.
    pub(crate) fn close(&mut self, reason: CloseReason, outbox: &Outbox<Framing>, deadline: Time) {
        outbox.drain_into(&mut self.queue);
        self.unfinished_post = None;
        if self.pending_poll.is_some() && self.queue.is_empty() {
            // The client that closed by itself only wants its GET back; any other one is told.
            self.send(&match reason {
                CloseReason::TransportClose => Packet::Noop,
                _ => Packet::Close,
            });
            self.closing = CloseState::Closed;
        } else {
            // Only an end that the program wanted is worth waiting for another GET.
            self.closing = match reason {
                CloseReason::ForcedClose => CloseState::AwaitingPoll { deadline },
                _ => CloseState::Closed,
            };
        }
        let _ = self.respond();
    }

    pub(crate) fn poll_close(&mut self, now: Time) -> Poll<()> {
        if matches!(self.closing, CloseState::AwaitingPoll { deadline } if deadline <= now) {
            self.closing = CloseState::Closed;
        }
        if self.closing == CloseState::Closed { Poll::Ready(()) } else { Poll::Pending }
    }

    /// No other GET will come.
    pub(crate) fn discard(&mut self) {
        self.closing = CloseState::Closed;
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        match self.closing {
            CloseState::AwaitingPoll { deadline } => Some(deadline),
            CloseState::Open | CloseState::Closed => None,
        }
    }

    /// The session moves to `next`, and what waits with it.
    pub(super) fn drain_to(&mut self, outbox: &Outbox<Framing>, next: &mut WebSocket) -> Option<PostRequest> {
        outbox.change_framing(Framing::WebSocket, &mut self.queue);
        next.append_reframed(&mut self.queue);
        if let Some(waiting) = self.pending_poll.take() {
            let _ = waiting.send(PollReply::Upgraded);
        }
        self.unfinished_post.take()
    }

    fn respond(&mut self) -> Result<(), ()> {
        let Some(waiting) = self.pending_poll.take() else { return Err(()) };
        self.noop_requested = false;
        let mut payload = Vec::with_capacity(self.queue.len());
        encode_payload(LengthDelimitedPackets::new(&self.queue.to_contiguous()), &mut payload);
        self.queue.clear();
        waiting.send(PollReply::Packets(payload)).map_err(|_| ())
    }
}

impl PostRequest {
    pub(crate) fn new(payload: Payload, done: oneshot::Sender<()>) -> Self {
        Self { payload, response_sender: done }
    }

    /// Handles all packets, whether the handler wants them now or not.
    pub(crate) fn handle_all<H: Handler>(
        self,
        receiver: &mut PacketDispatcher<H>,
        now: Time,
        cx: &mut Context<'_>,
    ) -> Result<(), CloseReason> {
        self.handle(receiver, None, now, cx).map(|_| ())
    }

    /// The session is over: the client learns of that from its poll.
    pub(crate) fn respond_ok(self) {
        let _ = self.response_sender.send(());
    }

    /// Handles at most `limit` packets, and only while the handler takes some, or all without a limit. Returns itself if
    /// something is left.
    fn handle<H: Handler>(
        mut self,
        receiver: &mut PacketDispatcher<H>,
        limit: Option<usize>,
        now: Time,
        cx: &mut Context<'_>,
    ) -> Result<Option<Self>, CloseReason> {
        let mut packets = 0;
        loop {
            if limit.is_some_and(|limit| packets == limit || !receiver.wants_input()) {
                return Ok(Some(self));
            }
            packets += 1;
            let Some(packet) = self.payload.next_packet() else { break };
            if let Err(reason) = receiver.receive(packet, now, cx) {
                // The client is told "ok" all the same, as in Node.
                let _ = self.response_sender.send(());
                return Err(reason);
            }
        }
        let _ = self.response_sender.send(());
        Ok(None)
    }
}
