//! The task of a session: it owns the machine, the transport and the handler.
//!
//! Hot path. One turn reads what has arrived, hands each message to the handler in place, takes what was sent
//! meanwhile from the outbox, and writes it at once.

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll};

use engineio_proto::{
    CandidateStep, CloseReason, Due, Framing, Packet, ParseError, Payload, Received, Session as Machine,
    Transport,
};
use net::{Deadline, Ended, Stream, WebSocketStream};
use tokio::sync::oneshot;
use ws_proto::{Event, Time};

use crate::engine::Registered;
use crate::handler::{Application, Handler, Message};
use crate::polling::PollingLink;
use crate::session::{Command, PollReply};
use crate::websocket::{close_in_background, websocket};

/// Turns before other tasks of the thread get theirs.
const TURNS: usize = 16;

/// Reads of one turn, before what they caused is written and other tasks of the thread get theirs.
const READS: usize = 2;

/// Bytes of answers that may wait while a read is handled to its end, and after how many events that is looked at.
const ANSWERS_UP_TO: usize = 256 * 1024;
const LOOK_EVERY: usize = 8;

/// Bytes that a candidate may leave unread: twice what pongs may come to. Answers one that probes without end.
const CANDIDATE_UP_TO: usize = 128 * 1024;

/// Packets of a POST that are handled in one turn.
const PACKETS: usize = 256;

/// The future that drives a session from its open packet to its last byte.
pub(crate) struct Driver<A: Application> {
    registered: Registered<A>,
    machine: Machine,
    handler: A::Handler,
    link: Link,
    /// The WebSocket that a polling session may move to.
    candidate: Option<Box<WebSocketStream<Stream>>>,
    deadline: Deadline,
    phase: Phase,
    /// A notice was taken in this turn, so that another one must follow.
    noticed: bool,
    /// Bytes that the transport has not taken yet.
    left: usize,
}

/// What carries the packets.
#[expect(
    clippy::large_enum_variant,
    reason = "most sessions end up on WebSocket; a box would cost each an allocation"
)]
enum Link {
    Polling(Box<PollingLink>),
    WebSocket(WebSocketStream<Stream>),
    /// Nothing any more.
    Gone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The handler knows that the session is over; the transport still has something to say, until then.
    Closing {
        until: Time,
    },
}

impl<A: Application> Driver<A> {
    /// A session whose open packet has been answered to its first GET.
    pub(crate) fn polling(registered: Registered<A>, request: http::request::Parts) -> Self {
        Self::new(registered, request, Link::Polling(Box::default()))
    }

    /// A session that begins on WebSocket. Queues the open packet.
    pub(crate) fn websocket(
        registered: Registered<A>,
        request: http::request::Parts,
        mut stream: WebSocketStream<Stream>,
        open: &Packet<'_>,
    ) -> Self {
        stream.queue_mut().push_with(|out| Framing::WebSocket.write_packet(open, out));
        Self::new(registered, request, Link::WebSocket(stream))
    }

    fn new(registered: Registered<A>, request: http::request::Parts, link: Link) -> Self {
        let Registered { engine, session } = &registered;
        let machine = Machine::new(session.transport(), &engine.options().settings, net::now());
        let handler = engine.application().on_open(engine, session.clone(), request);
        Self {
            registered,
            machine,
            handler,
            link,
            candidate: None,
            deadline: Deadline::new(),
            phase: Phase::Open,
            noticed: false,
            left: 0,
        }
    }

    /// Reads what the transport has. `true` when there may be more than one turn should take.
    fn poll_input(&mut self, now: Time, cx: &mut Context<'_>) -> bool {
        if self.phase != Phase::Open {
            return false;
        }
        let wants_input = self.handler.wants_input();
        self.machine.set_paused(!wants_input, now);
        if !wants_input {
            return false;
        }
        let is_behind = self.is_behind();
        match &mut self.link {
            // What a client asks of us is not read while it has half of what may wait still to read: whoever asks
            // faster than it reads is slowed down, not cut off. Its heartbeat goes on: one that reads nothing ends.
            Link::WebSocket(_) if is_behind => false,
            Link::WebSocket(_) => self.poll_websocket(now, cx),
            Link::Polling(_) => self.poll_held_posts(now, cx),
            Link::Gone => false,
        }
    }

    /// Whether the client has more than half of what may wait still to read.
    fn is_behind(&self) -> bool {
        self.left > self.registered.engine.options().max_buffered / 2
    }

    fn poll_websocket(&mut self, now: Time, cx: &mut Context<'_>) -> bool {
        let Self { link: Link::WebSocket(stream), machine, handler, registered, .. } = self else {
            return false;
        };
        for _ in 0..READS {
            let mut broken = None;
            let mut events = 0_usize;
            let read = stream.poll_read(now, cx, |event, cx| {
                let Some(packet) = packet(&event) else { return ControlFlow::Continue(()) };
                if let Err(reason) = dispatch(machine, handler, packet, now, cx) {
                    broken = Some(reason);
                    return ControlFlow::Break(());
                }
                events += 1;
                // Large answers leave before more is asked: a client that sends many requests at once and reads as
                // fast as it can is not a slow reader.
                if events.is_multiple_of(LOOK_EVERY) && registered.session.buffered() > ANSWERS_UP_TO {
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            });
            let reason = match read {
                Poll::Pending => return false,
                Poll::Ready(Err(ended)) => Some(broken.unwrap_or(close_reason(&ended))),
                Poll::Ready(Ok(())) => broken,
            };
            if let Some(reason) = reason {
                self.end(reason, now, cx);
                return false;
            }
            if stream.has_backlog() || !handler.wants_input() {
                return true;
            }
        }
        true
    }

    /// Handles the POSTs that came while the handler took nothing, and the rest of long ones.
    fn poll_held_posts(&mut self, now: Time, cx: &mut Context<'_>) -> bool {
        let Link::Polling(link) = &mut self.link else { return false };
        let Some((payload, done)) = link.take_held() else { return false };
        self.handle_payload(payload, done, now, cx);
        true
    }

    fn handle_command(&mut self, command: Command, now: Time, cx: &mut Context<'_>) {
        match command {
            Command::Poll(reply) => self.handle_poll(reply, now, cx),
            Command::Packets { payload, done } => {
                if self.phase == Phase::Open {
                    self.handle_payload(payload, done, now, cx);
                } else {
                    // The client learns of the end from its poll.
                    let _ = done.send(());
                }
            }
            Command::Candidate(upgraded) => {
                let candidate = websocket(upgraded, self.registered.engine.options());
                if self.phase == Phase::Open && self.machine.begin_upgrade(now) {
                    self.candidate = Some(Box::new(candidate));
                } else {
                    close_in_background(candidate, now);
                }
            }
            Command::Close(reason) => self.end(reason, now, cx),
            Command::Discard => {
                self.end(CloseReason::ForcedClose, now, cx);
                if let Link::Polling(_) = self.link {
                    self.link = Link::Gone;
                    self.registered.engine.registry().remove(self.registered.session.id());
                }
            }
        }
    }

    fn handle_poll(&mut self, reply: oneshot::Sender<PollReply>, now: Time, cx: &mut Context<'_>) {
        // Without a polling link the sender is dropped, and the request refused.
        let Link::Polling(link) = &mut self.link else { return };
        match self.phase {
            Phase::Open => {
                if let Some(second) = link.wait(reply) {
                    let _ = second.send(PollReply::Overlap);
                    self.end(CloseReason::TransportError, now, cx);
                }
            }
            Phase::Closing { .. } => {
                if link.say_goodbye(reply) {
                    self.link = Link::Gone;
                    self.registered.engine.registry().remove(self.registered.session.id());
                }
            }
        }
    }

    /// Handles the packets of a POST, as far as the handler takes them and one turn goes; the rest is held, and the
    /// POST unanswered.
    fn handle_payload(
        &mut self,
        mut payload: Payload,
        done: oneshot::Sender<()>,
        now: Time,
        cx: &mut Context<'_>,
    ) {
        let mut packets = 0;
        loop {
            if let Link::Polling(link) = &mut self.link
                && (packets == PACKETS || !self.handler.wants_input())
            {
                return link.hold(payload, done);
            }
            packets += 1;
            let Some(packet) = payload.next_packet() else { break };
            if let Err(reason) = dispatch(&mut self.machine, &mut self.handler, packet, now, cx) {
                self.end(reason, now, cx);
                break;
            }
        }
        // The client is told "ok" also when its packets have just ended the session, as in Node.
        let _ = done.send(());
    }

    /// Drives the connection that may become the transport. `true` when there may be more than one turn should take.
    fn poll_candidate(&mut self, now: Time, cx: &mut Context<'_>) -> bool {
        for _ in 0..READS {
            let Some(mut candidate) = self.candidate.take() else { return false };
            let machine = &mut self.machine;
            let mut probed = false;
            let mut refused = false;
            let read = candidate.poll_read(now, cx, |event, _| {
                let Some(packet) = packet(&event) else { return ControlFlow::Continue(()) };
                match machine.handle_candidate(&packet, now) {
                    CandidateStep::AnswerProbe => {
                        probed = true;
                        return ControlFlow::Continue(());
                    }
                    // What the client has sent behind this is read when the new transport is in place.
                    CandidateStep::Switch => {}
                    CandidateStep::Refuse => refused = true,
                }
                ControlFlow::Break(())
            });
            if probed {
                let answer = Packet::Pong("probe");
                candidate.queue_mut().push_with(|out| Framing::WebSocket.write_packet(&answer, out));
            }
            if self.machine.transport() == Transport::WebSocket {
                self.switch_to(*candidate, now, cx);
                return true;
            }
            let failed = refused
                || matches!(read, Poll::Ready(Err(_)))
                || matches!(candidate.poll_flush(cx), Poll::Ready(Err(_)))
                || candidate.queued() > CANDIDATE_UP_TO;
            if failed {
                self.machine.candidate_lost();
                close_in_background(*candidate, now);
                return false;
            }
            self.candidate = Some(candidate);
            if read.is_pending() {
                return false;
            }
        }
        true
    }

    /// The session has moved: what waits for a poll goes out on the WebSocket.
    fn switch_to(&mut self, mut stream: WebSocketStream<Stream>, now: Time, cx: &mut Context<'_>) {
        let mut held = None;
        if let Link::Polling(link) = &mut self.link {
            link.hand_over(self.registered.session.outbox(), stream.queue_mut());
            held = link.take_held();
        }
        self.registered.session.set_transport(Transport::WebSocket);
        self.link = Link::WebSocket(stream);
        // A client should have waited for the answer to its POST, but what it brought is not lost.
        if let Some((payload, done)) = held {
            self.handle_payload(payload, done, now, cx);
        }
    }

    fn poll_timers(&mut self, now: Time, cx: &mut Context<'_>) -> bool {
        let link = match (&self.link, self.phase) {
            (Link::WebSocket(stream), _) => stream.poll_timeout(),
            (Link::Polling(_), Phase::Closing { until }) => Some(until),
            _ => None,
        };
        let machine = if self.phase == Phase::Open { self.machine.poll_timeout() } else { None };
        let wanted = [link, machine, self.handler.poll_timeout()].into_iter().flatten().min();
        if self.deadline.poll(wanted, now, cx).is_pending() {
            return false;
        }
        if let (Link::Polling(_), Phase::Closing { until }) = (&self.link, self.phase)
            && until <= now
        {
            self.link = Link::Gone;
        }
        while self.phase == Phase::Open {
            match self.machine.handle_timeout(now) {
                None => break,
                Some(Due::Close(reason)) => self.end(reason, now, cx),
                Some(Due::Ping) => match &mut self.link {
                    Link::WebSocket(stream) => {
                        let ping = Packet::Ping("");
                        stream.queue_mut().push_with(|out| Framing::WebSocket.write_packet(&ping, out));
                    }
                    Link::Polling(link) => link.push(&Packet::Ping("")),
                    Link::Gone => {}
                },
                Some(Due::ReleasePoll) => {
                    if let Link::Polling(link) = &mut self.link {
                        link.release();
                    }
                }
                Some(Due::AbandonCandidate) => {
                    if let Some(candidate) = self.candidate.take() {
                        close_in_background(*candidate, now);
                    }
                }
            }
        }
        true
    }

    /// Sends what waits. Returns how many bytes are left and whether the transport would take more.
    fn poll_output(&mut self, now: Time, cx: &mut Context<'_>) -> (usize, bool) {
        let outbox = self.registered.session.outbox();
        match &mut self.link {
            Link::Gone => (0, false),
            Link::WebSocket(stream) if self.phase == Phase::Open => {
                let attention = outbox.drain_into(stream.queue_mut());
                let flushed = stream.poll_flush(cx);
                let left = stream.queue_mut().len();
                match flushed {
                    Poll::Ready(Err(_)) => self.end(CloseReason::TransportClose, now, cx),
                    _ if attention.overflowed => self.end(CloseReason::TransportError, now, cx),
                    _ => {}
                }
                self.handle_commands(attention.notified, now, cx);
                (left, flushed.is_ready())
            }
            Link::WebSocket(stream) => {
                if stream.poll_close(now, cx).is_ready() {
                    self.link = Link::Gone;
                }
                self.take_attention(now, cx);
                (0, false)
            }
            Link::Polling(link) => {
                let writable = self.phase != Phase::Open || {
                    match link.poll_output(outbox, cx) {
                        Ok(waiting) => waiting,
                        Err(()) => {
                            self.end(CloseReason::TransportError, now, cx);
                            false
                        }
                    }
                };
                self.take_attention(now, cx);
                let waits = matches!(&self.link, Link::Polling(link) if link.is_waiting());
                (0, writable && waits)
            }
        }
    }

    fn take_attention(&mut self, now: Time, cx: &mut Context<'_>) {
        let attention = self.registered.session.outbox().attention();
        if attention.overflowed {
            self.end(CloseReason::TransportError, now, cx);
        }
        self.handle_commands(attention.notified, now, cx);
    }

    fn handle_commands(&mut self, notified: bool, now: Time, cx: &mut Context<'_>) {
        if !notified {
            return;
        }
        // What a command causes (a poll that can be answered, an event to handle) is for the next turn; a notice
        // without a command is the handler's, which is polled there too.
        self.noticed = true;
        for command in self.registered.session.take_commands() {
            self.handle_command(command, now, cx);
        }
    }

    /// Ends the session: the handler learns of it now, the transport takes its time.
    fn end(&mut self, reason: CloseReason, now: Time, cx: &mut Context<'_>) {
        if self.phase != Phase::Open {
            return;
        }
        self.phase = Phase::Closing { until: now + self.registered.engine.options().close_timeout };
        self.registered.session.set_closed();
        self.handler.on_close(reason, now, cx);
        if let Some(candidate) = self.candidate.take() {
            close_in_background(*candidate, now);
        }
        match &mut self.link {
            Link::WebSocket(stream) => {
                self.registered.session.outbox().take_queued(stream.queue_mut());
                stream.close(None, now);
            }
            Link::Polling(link) => {
                if link.close(reason, self.registered.session.outbox()) {
                    self.link = Link::Gone;
                }
            }
            Link::Gone => {}
        }
        self.registered.session.outbox().close();
        if !matches!(self.link, Link::Polling(_)) {
            self.registered.engine.registry().remove(self.registered.session.id());
        }
    }
}

impl<A: Application> Future for Driver<A> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let now = net::now();
        this.registered.session.outbox().unpark();
        for _ in 0..TURNS {
            let was_open = this.phase == Phase::Open;
            let handled = this.handler.poll(now, cx);
            let more = this.poll_input(now, cx);
            let more = this.poll_candidate(now, cx) || more;
            let was_behind = this.is_behind();
            let (left, writable) = this.poll_output(now, cx);
            this.left = left;
            let caught_up = was_behind && !this.is_behind();
            // Behind the output: what closes the connection sets a deadline of its own there.
            let due = this.poll_timers(now, cx);
            if was_open && this.phase != Phase::Open {
                // The handler may have something under way only now, and the transport is still to be closed.
                continue;
            }
            if this.phase != Phase::Open && matches!(this.link, Link::Gone) && handled.is_ready() {
                return Poll::Ready(());
            }
            let parked = this.registered.session.outbox().park(left, writable, cx);
            if more {
                // Whoever always has something to say does not keep the others waiting.
                break;
            }
            if parked && !due && !caught_up && !std::mem::take(&mut this.noticed) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// The packet in a WebSocket message; `None` for control frames, which the WebSocket machine has handled.
fn packet<'a>(event: &'a Event<'_>) -> Option<Result<Packet<'a>, ParseError>> {
    match event {
        Event::Text(text) => Some(Packet::parse(text)),
        Event::Binary(data) => Some(Ok(Packet::Binary((&**data).into()))),
        _ => None,
    }
}

fn dispatch<H: Handler>(
    machine: &mut Machine,
    handler: &mut H,
    packet: Result<Packet<'_>, ParseError>,
    now: Time,
    cx: &mut Context<'_>,
) -> Result<(), CloseReason> {
    match machine.handle_packet(packet, now)? {
        Received::Text(text) => handler.on_message(Message::Text(text), now, cx),
        Received::Binary(data) => handler.on_message(Message::Binary(data), now, cx),
        Received::Nothing => {}
    }
    Ok(())
}

fn close_reason(ended: &Ended) -> CloseReason {
    match ended {
        Ended::Closed(_) | Ended::Eof | Ended::Io(_) => CloseReason::TransportClose,
        Ended::Protocol(_) => CloseReason::TransportError,
    }
}
