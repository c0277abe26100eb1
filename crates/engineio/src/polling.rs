//! The long-polling transport, on the session's side: the GET that waits and the packets that wait for one.

use std::collections::VecDeque;
use std::task::Context;

use engineio_proto::{CloseReason, Framing, Packet, Packets, Payload, encode_payload};
use net::{Outbox, WriteQueue};
use tokio::sync::oneshot;

use crate::session::PollReply;

/// The polling end of a session.
#[derive(Default)]
pub(crate) struct PollingLink {
    /// The GET that waits for packets.
    waiting: Option<oneshot::Sender<PollReply>>,
    /// Packets of the engine itself, and what was taken from the outbox.
    queue: WriteQueue,
    /// The waiting GET is to come back even with nothing to say.
    released: bool,
    /// POSTs, or what is left of them, that came while the handler took nothing. A session has one POST at a time, so this is short.
    held: VecDeque<(Payload, oneshot::Sender<()>)>,
}

impl PollingLink {
    /// A GET has come. Gives it back when one waits already.
    pub(crate) fn wait(&mut self, reply: oneshot::Sender<PollReply>) -> Option<oneshot::Sender<PollReply>> {
        if self.waiting.is_some() {
            return Some(reply);
        }
        self.waiting = Some(reply);
        None
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Queues a packet of the engine itself.
    pub(crate) fn push(&mut self, packet: &Packet<'_>) {
        self.queue.push_with(|out| Framing::Packets.write_packet(packet, out));
    }

    /// Lets a waiting GET come back, so that the client can stop polling.
    pub(crate) fn release(&mut self) {
        self.released = self.is_waiting();
    }

    pub(crate) fn hold(&mut self, payload: Payload, done: oneshot::Sender<()>) {
        self.held.push_back((payload, done));
    }

    pub(crate) fn take_held(&mut self) -> Option<(Payload, oneshot::Sender<()>)> {
        self.held.pop_front()
    }

    /// Answers the waiting GET if there is something to say. Tells whether a GET waits after that.
    ///
    /// # Errors
    /// The client has given its GET up: what it was to get is lost, so the session is.
    pub(crate) fn poll_output(&mut self, outbox: &Outbox<Framing>, cx: &mut Context<'_>) -> Result<bool, ()> {
        let Some(waiting) = &mut self.waiting else { return Ok(false) };
        if waiting.poll_closed(cx).is_ready() {
            return Err(());
        }
        outbox.take_queued(&mut self.queue);
        if self.queue.is_empty() {
            if !self.released {
                return Ok(true);
            }
            self.push(&Packet::Noop);
        }
        self.answer().map(|()| false)
    }

    /// The session is over. `true` when nothing is left to say.
    ///
    /// What was sent before goes out in an answer of its own: the JavaScript client handles a close packet at once and
    /// everything before it later, so that it would take a goodbye of the program for a lost connection.
    pub(crate) fn close(&mut self, reason: CloseReason, outbox: &Outbox<Framing>) -> bool {
        outbox.take_queued(&mut self.queue);
        self.held.clear();
        if self.is_waiting() && self.queue.is_empty() {
            // The client that closed by itself only wants its GET back; any other one is told.
            self.push(&if reason == CloseReason::TransportClose { Packet::Noop } else { Packet::Close });
            let _ = self.answer();
            return true;
        }
        let _ = self.answer();
        // Only an end that the program wanted is worth waiting for another GET.
        reason != CloseReason::ForcedClose
    }

    /// Answers a GET after the end. `true` when nothing is left to say.
    pub(crate) fn say_goodbye(&mut self, reply: oneshot::Sender<PollReply>) -> bool {
        let finished = self.queue.is_empty();
        if finished {
            self.push(&Packet::Noop);
            self.push(&Packet::Close);
        }
        self.waiting = Some(reply);
        let _ = self.answer();
        finished
    }

    /// The session has moved to WebSocket: what waits goes there.
    pub(crate) fn hand_over(&mut self, outbox: &Outbox<Framing>, queue: &mut WriteQueue) {
        outbox.change_framing(Framing::WebSocket, &mut self.queue);
        let waiting = self.queue.to_contiguous();
        queue.push_with(|out| Packets::new(&waiting).write(Framing::WebSocket, out));
        self.queue.clear();
        if let Some(waiting) = self.waiting.take() {
            let _ = waiting.send(PollReply::Moved);
        }
    }

    fn answer(&mut self) -> Result<(), ()> {
        let Some(waiting) = self.waiting.take() else { return Err(()) };
        self.released = false;
        let mut payload = Vec::with_capacity(self.queue.len());
        encode_payload(Packets::new(&self.queue.to_contiguous()), &mut payload);
        self.queue.clear();
        waiting.send(PollReply::Packets(payload)).map_err(|_| ())
    }
}
