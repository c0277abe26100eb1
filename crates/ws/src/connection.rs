//! What the handles and the task of a connection share.
//!
//! Hot path. The mutex is uncontended unless a program moves a handle to another task: the driver does not hold it
//! while it polls the handler, and the handler's calls come one at a time.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::coop::poll_proceed;
use tokio::task::yield_now;

use net::{Deadline, Ended, Stream, Upgraded, WebSocketStream, Wire, WriteQueue};
use ws_proto::copy::append;
use ws_proto::{
    CloseCode, CloseFrame, DeflateAgreement, Deflater, Event, FrameHeader, MAX_HEADER_LEN, Opcode, Time,
    encode_message, mask_into,
};

use crate::closed::Closed;
use crate::limits::Limits;
use crate::message::{Chunk, Message};
use crate::patience::{Patience, Verdict};
use crate::prepared::PreparedMessage;
use crate::waiting::{PingPayload, Ticket, Waiting};

/// A payload of at most this many bytes is copied behind its header; a longer one is written from where it lies.
const COPY_AT_MOST: usize = 4 * 1024;

/// From this many waiting bytes on, a handler that goes on sending has them written before it next waits. A larger
/// write would hardly be cheaper, and the memory would leave the cache.
const WRITE_AT: usize = 64 * 1024;

/// From this many received bytes on, other tasks get their turn before the next message is taken.
const RECEIVED_IN_A_TURN: usize = 1024 * 1024;

/// Reads on the way to the end, before other tasks of the thread get their turn.
const READS_WHILE_CLOSING: usize = 4;

/// A connection, between its handle and its driver.
#[derive(Debug)]
pub(crate) struct Connection(Mutex<State>);

impl Connection {
    /// Bytes of one, counted with those of the `Arc` around it.
    #[cfg(test)]
    pub(crate) const SIZE: usize = size_of::<Self>() + 2 * size_of::<usize>();

    pub(crate) fn server(upgraded: Upgraded, limits: &Limits, deflate: Option<&DeflateAgreement>) -> Self {
        let protocol = limits.of_the_protocol();
        Self::new(WebSocketStream::server(upgraded.stream, upgraded.leftover, &protocol), limits, deflate)
    }

    pub(crate) fn client(upgraded: Upgraded, limits: &Limits, deflate: Option<&DeflateAgreement>) -> Self {
        let protocol = limits.of_the_protocol();
        Self::new(WebSocketStream::client(upgraded.stream, upgraded.leftover, &protocol), limits, deflate)
    }

    fn new(mut stream: WebSocketStream<Stream>, limits: &Limits, deflate: Option<&DeflateAgreement>) -> Self {
        if let Some(agreement) = deflate {
            stream = stream.with_deflate(agreement);
        }
        Self(Mutex::new(State {
            stream,
            deflater: deflate.map(|agreement| Box::new(Deflater::new(agreement))),
            max_buffered: limits.max_buffered,
            written: 0,
            now: Time::ZERO,
            driver: None,
            receiver: None,
            waiting: None,
            closed: None,
            write_error: None,
            released: None,
            phase: Phase::Open,
            patience: Patience::new(limits, net::now()),
            watch: Watch::On,
            received: 0,
            in_chunks: false,
            driving: false,
            blocked: false,
            wake_receiver: false,
        }))
    }

    /// A handle's way in. If the driver sleeps and `operation` has left it something to do, it is woken, after the
    /// lock is released, and so are the calls that need not wait any longer. A driver at work does it when it is done.
    pub(crate) fn with<T>(&self, operation: impl FnOnce(&mut State) -> T) -> T {
        let (result, driver, woken) = {
            let mut state = self.lock();
            let result = operation(&mut state);
            if state.driving {
                return result;
            }
            let driver = if state.has_work() { state.driver.take() } else { None };
            (result, driver, state.take_woken())
        };
        if let Some(driver) = driver {
            driver.wake();
        }
        wake(woken);
        result
    }

    /// The driver is about to poll the handler: until [`end_turn`](Self::end_turn) nobody needs to wake it.
    pub(crate) fn begin_turn(&self, cx: &Context<'_>) {
        self.lock().begin_turn(cx);
    }

    /// The driver has polled the handler: writes what that has left, and goes on with a close. Ready when the
    /// connection is over. `failed` says that the handler has failed.
    pub(crate) fn end_turn(&self, failed: bool, deadline: &mut Deadline, cx: &mut Context<'_>) -> Poll<()> {
        let (polled, receiver, woken, _former) = {
            let mut state = self.lock();
            let polled = state.end_turn(failed, deadline, cx);
            let wake = std::mem::take(&mut state.wake_receiver);
            let receiver = if wake { state.receiver.take() } else { None };
            state.wake_the_disappointed();
            (polled, receiver, state.take_woken(), state.release_stream())
        };
        if let Some(receiver) = receiver {
            receiver.wake();
        }
        wake(woken);
        polled
    }

    /// The driver is gone: the runtime stops.
    pub(crate) fn abandon(&self) {
        let (receiver, woken, _former) = {
            let mut state = self.lock();
            state.finish();
            state.closed.get_or_insert_with(|| Box::new(Closed::Io(io::ErrorKind::ConnectionAborted)));
            state.driving = false;
            state.wake_the_disappointed();
            (state.receiver.take(), state.take_woken(), state.release_stream())
        };
        if let Some(receiver) = receiver {
            receiver.wake();
        }
        wake(woken);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code of a user runs under the lock; a poisoned one still holds a whole state.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(woken: Vec<Waker>) {
    for waker in woken {
        waker.wake();
    }
}

/// A piece of a message that is sent in fragments.
#[derive(Debug)]
pub(crate) struct Fragment<'a> {
    /// Of the message.
    pub(crate) opcode: Opcode,
    pub(crate) payload: &'a Bytes,
    pub(crate) is_first: bool,
    pub(crate) is_last: bool,
}

/// Why [`State::push`] did not take a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Full,
    Closed,
}

/// What is under the lock.
#[derive(Debug)]
pub(crate) struct State {
    stream: WebSocketStream<Stream>,
    /// Where messages may be compressed.
    deflater: Option<Box<Deflater>>,
    max_buffered: usize,
    /// Bytes that were written, at least: pongs that joined them on the way are not told apart.
    written: u64,
    /// The time of the turn, or of the last read in it. What a peer owes us is counted from here, so it must not be older
    /// than the poll that looks: messages of one read may be taken minutes apart.
    now: Time,
    /// The driver's waker. It is taken to wake the driver, which puts a new one here.
    driver: Option<Waker>,
    /// The waker of the call that waits for a message.
    receiver: Option<Waker>,
    /// All other calls that wait.
    waiting: Option<Box<Waiting>>,
    /// Boxed, because most of a connection's life has no end.
    closed: Option<Box<Closed>>,
    /// Nothing can be written any more. What has arrived before can still be received.
    write_error: Option<io::ErrorKind>,
    /// The receiver is dropped: what to close with.
    released: Option<CloseCode>,
    phase: Phase,
    patience: Patience,
    watch: Watch,
    /// Bytes of messages since the last time that other tasks had their turn.
    received: usize,
    /// Messages are received in chunks.
    in_chunks: bool,
    /// The driver is polling the handler, and will look at everything afterwards.
    driving: bool,
    /// The stream takes no more bytes now; the driver is woken when it does.
    blocked: bool,
    /// The driver is to wake the receiver.
    wake_receiver: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The receiver reads.
    Open,
    /// We close: the driver reads, for the peer's Close, and drops what comes before.
    Draining,
    /// Nothing is left to be done on the stream.
    Finished,
}

/// Whether the driver looks at the clock for the [`Patience`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watch {
    On,
    /// The time was up, and nobody was in `recv` to find out what the peer had said meanwhile.
    Off,
    /// Now somebody is. A sleeping driver has to be told.
    Wanted,
}

impl State {
    /// The next message, or the end.
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        if self.in_chunks {
            self.receive_whole();
        }
        self.poll_next(cx, Message::from_event)
    }

    #[cold]
    fn receive_whole(&mut self) {
        self.in_chunks = false;
        self.stream.receive_in_chunks(false);
    }

    /// The first chunk of the next message, or the end.
    pub(crate) fn poll_first_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Chunk>> {
        // As long as this is pending, no chunk of that message has been handed out that could be dropped.
        self.in_chunks = true;
        self.stream.receive_in_chunks(true);
        self.poll_next(cx, Chunk::from_event)
    }

    /// The next chunk of the message, or the end of the connection.
    pub(crate) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Chunk>> {
        self.poll_next(cx, Chunk::from_event)
    }

    /// At most so many further bytes may come of the message that is received in chunks.
    pub(crate) fn limit_chunks(&mut self, bytes: u64) {
        self.stream.limit_chunks(bytes);
    }

    /// The first that `pick` makes something of, or the end.
    #[inline]
    fn poll_next<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut pick: impl FnMut(Event<'_>) -> Option<T>,
    ) -> Poll<Option<T>> {
        if self.phase != Phase::Open || self.closed.is_some() {
            return if self.closed.is_some() { Poll::Ready(None) } else { self.wait(cx) };
        }
        // A peer whose messages never end must not keep the handler from yielding to other tasks; nor one whose messages
        // are few and long, as a kilobyte becomes when it is inflated.
        if self.received >= RECEIVED_IN_A_TURN {
            self.received = 0;
            // Not by waking the task, which would keep the runtime from looking at its sockets.
            let _ = pin!(yield_now()).poll(cx);
            return self.wait(cx);
        }
        let turn = ready!(poll_proceed(cx));
        loop {
            let reads = !self.stream.has_backlog();
            // In another task than the driver's there is no turn that would have looked at the clock.
            if reads || !self.driving {
                self.now = net::now();
            }
            let answers_wait = reads && self.stream.queued() > 0;
            let (waiting, received, now) = (&mut self.waiting, &mut self.received, self.now);
            let polled = self.stream.poll_next(now, cx, |event, _| match event {
                Event::Pong(payload) => {
                    answer_ping(waiting.as_deref_mut(), &payload, now);
                    None
                }
                event => {
                    *received += event.payload_len();
                    pick(event)
                }
            });
            let Poll::Ready(read) = polled else {
                let Some(error) = self.write_error else { return self.wait_for_peer(cx) };
                self.end(Ended::Io(error.into()));
                return Poll::Ready(None);
            };
            if reads {
                self.patience.heard(self.now);
            }
            if answers_wait {
                // A new read while the handler has not slept: what it said to the one before does not wait for this.
                self.flush();
            }
            match read {
                Ok(Some(message)) => {
                    turn.made_progress();
                    return Poll::Ready(Some(message));
                }
                Ok(None) if self.stream.has_backlog() => {
                    // Control frames without end.
                    cx.waker().wake_by_ref();
                    return self.wait(cx);
                }
                Ok(None) => {}
                Err(ended) => {
                    self.end(ended);
                    if !self.driving {
                        // The program may end here, and its driver before it has run: the peer should have its answer.
                        self.write();
                    }
                    return Poll::Ready(None);
                }
            }
        }
    }

    /// Nothing has come. A peer that is silent for too long is asked, and in the end given up.
    fn wait_for_peer<T>(&mut self, cx: &Context<'_>) -> Poll<Option<T>> {
        self.received = 0;
        match self.patience.judge(self.now) {
            Verdict::Wait => {}
            Verdict::Ask => self.stream.ping(),
            Verdict::GiveUp => {
                // For a peer that only does not answer. The driver writes it, if it can, and waits for nothing.
                let frame = CloseFrame::new(CloseCode::POLICY_VIOLATION, "no sign of life for too long");
                self.stream.close(Some(frame), self.now);
                self.end_as(Closed::Idle);
                return Poll::Ready(None);
            }
        }
        if self.watch == Watch::Off {
            self.watch = Watch::Wanted;
        }
        self.wait(cx)
    }

    /// Queues a message, compressed if `compress` and if that was agreed on.
    pub(crate) fn push(&mut self, message: &Message, compress: bool) -> Result<(), Refusal> {
        self.make_room(self.wire_len(message))?;
        self.queue_message(message, compress);
        Ok(())
    }

    /// Queues a message for which room was promised, and says behind which of all bytes it ends.
    pub(crate) fn push_promised(&mut self, message: &Message) -> Result<u64, Refusal> {
        self.write_early(self.wire_len(message));
        if !self.can_send() {
            return Err(Refusal::Closed);
        }
        match &mut self.waiting {
            Some(waiting) if waiting.is_writing() => {
                waiting.hold_back(message.clone());
                return Ok(u64::MAX);
            }
            _ => self.queue_message(message, true),
        }
        Ok(self.written + self.stream.queued() as u64)
    }

    /// Bytes of a message in its frame, uncompressed.
    fn wire_len(&self, message: &Message) -> usize {
        let mask = self.stream.is_masked().then_some([0; 4]);
        FrameHeader { mask, ..FrameHeader::message(message.opcode(), message.len()) }.encode().len()
            + message.len()
    }

    fn queue_message(&mut self, message: &Message, compress: bool) {
        let payload = message.as_shared();
        if compress && let Some(deflater) = &mut self.deflater {
            let mut compressed = Vec::new();
            if deflater.compress(payload, &mut compressed) {
                // What waits is counted by its length, so there must not be more of it.
                compressed.shrink_to_fit();
                let header = FrameHeader::message(message.opcode(), compressed.len());
                self.queue(FrameHeader { rsv1: true, ..header }, &compressed.into());
                return;
            }
        }
        self.queue(FrameHeader::message(message.opcode(), payload.len()), payload);
    }

    /// Queues a message that many connections send. A client masks it for itself.
    pub(crate) fn push_prepared(&mut self, prepared: &PreparedMessage) -> Result<(), Refusal> {
        if self.stream.is_masked() {
            return self.push(prepared.message(), true);
        }
        let Some(deflater) = &mut self.deflater else {
            let frame = prepared.frame();
            self.make_room(frame.len())?;
            self.stream.queue_mut().push(Wire::Shared(frame));
            return Ok(());
        };
        match deflater.shared_window_bits().and_then(|bits| prepared.compressed_frame(bits, deflater)) {
            Some(frame) => {
                self.make_room(frame.len())?;
                self.stream.queue_mut().push(Wire::Shared(&frame));
                Ok(())
            }
            None => self.push(prepared.message(), true),
        }
    }

    /// Sees to it that `length` bytes may be queued.
    fn make_room(&mut self, length: usize) -> Result<(), Refusal> {
        self.write_early(length);
        if !self.can_send() {
            return Err(Refusal::Closed);
        }
        let queued = self.stream.queued();
        if queued > 0 && queued + length > self.max_buffered {
            return Err(Refusal::Full);
        }
        Ok(())
    }

    /// Writes before `length` more bytes are queued, if they are many together.
    fn write_early(&mut self, length: usize) {
        if self.stream.queued() + length > self.max_buffered.min(WRITE_AT) && !self.blocked {
            self.flush();
        }
    }

    fn queue(&mut self, header: FrameHeader, payload: &Bytes) {
        let mask = self.stream.mask_key();
        let header = FrameHeader { mask, ..header }.encode();
        let queue = self.stream.queue_mut();
        if let Some(key) = mask {
            queue_masked(queue, &header, payload, key);
        } else if payload.len() <= COPY_AT_MOST {
            queue.push_with(|wire| {
                wire.reserve(header.len() + payload.len());
                wire.extend_from_slice(&header);
                append(wire, payload);
            });
        } else {
            queue.push_with(|wire| wire.extend_from_slice(&header));
            queue.push(Wire::Shared(payload));
        }
    }

    /// Pushes when there is room, whoever is in line, unless a message is being sent piece by piece.
    #[inline]
    pub(crate) fn try_push(
        &mut self,
        push: impl FnOnce(&mut Self) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        if self.can_send() && self.waiting.as_ref().is_some_and(|waiting| waiting.is_writing()) {
            return Err(Refusal::Full);
        }
        push(self)
    }

    /// Pushes when nobody is in line and there is room.
    #[inline]
    pub(crate) fn push_by(
        &mut self,
        push: impl FnOnce(&mut Self) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        if self.waiting.is_some() { self.push_in_turn(None, push) } else { push(self) }
    }

    /// Pushes when it is the call's turn and there is room. A call that has to wait gets a ticket, which it has to give
    /// back by [`leave`](Self::leave).
    pub(crate) fn poll_push(
        &mut self,
        ticket: &mut Option<Ticket>,
        cx: &Context<'_>,
        push: impl FnOnce(&mut Self) -> Result<(), Refusal>,
    ) -> Poll<Result<(), ()>> {
        match self.push_in_turn(*ticket, push) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(Refusal::Closed) => Poll::Ready(Err(())),
            Err(Refusal::Full) => {
                self.waiting_mut().line_up(ticket, cx);
                Poll::Pending
            }
        }
    }

    /// Queues a fragment of a message, the last of it or not: the first one when it is this call's turn, as a message.
    pub(crate) fn poll_fragment(
        &mut self,
        fragment: &Fragment<'_>,
        ticket: &mut Option<Ticket>,
        cx: &Context<'_>,
    ) -> Poll<Result<(), ()>> {
        if fragment.is_first {
            let pushed = self.poll_push(ticket, cx, |state| {
                state.make_room(fragment.payload.len() + MAX_HEADER_LEN)?;
                state.queue_fragment(fragment);
                Ok(())
            });
            if pushed == Poll::Ready(Ok(())) && !fragment.is_last {
                self.waiting_mut().begin_writing();
            }
            return pushed;
        }
        // The end of what has begun needs no room to speak of.
        let room = match fragment.is_last && fragment.payload.is_empty() {
            true if self.can_send() => Ok(()),
            true => Err(Refusal::Closed),
            false => self.make_room(fragment.payload.len() + MAX_HEADER_LEN),
        };
        match room {
            Ok(()) => {
                self.queue_fragment(fragment);
                if fragment.is_last {
                    self.end_writing();
                }
                Poll::Ready(Ok(()))
            }
            Err(Refusal::Full) => {
                self.waiting_mut().await_room(cx);
                Poll::Pending
            }
            Err(Refusal::Closed) => Poll::Ready(Err(())),
        }
    }

    fn queue_fragment(&mut self, fragment: &Fragment<'_>) {
        let opcode = if fragment.is_first { fragment.opcode } else { Opcode::Continuation };
        let header =
            FrameHeader { fin: fragment.is_last, ..FrameHeader::message(opcode, fragment.payload.len()) };
        self.queue(header, fragment.payload);
    }

    /// The message in fragments is complete: others may begin.
    fn end_writing(&mut self) {
        let held_back = self.waiting_mut().end_writing();
        for message in held_back {
            self.queue_message(&message, true);
        }
        self.offer_room();
        self.waiting_mut().wake_watchers();
    }

    /// The message in fragments will never be complete, and nothing can follow what is not.
    pub(crate) fn abort_message(&mut self) {
        self.close(Some(CloseFrame::new(CloseCode::INTERNAL_ERROR, "a message was not completed")));
    }

    fn push_in_turn(
        &mut self,
        ticket: Option<Ticket>,
        push: impl FnOnce(&mut Self) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        if self.waiting.as_ref().is_none_or(|waiting| waiting.is_turn_of(ticket)) {
            return push(self);
        }
        Err(if self.can_send() { Refusal::Full } else { Refusal::Closed })
    }

    /// Whether a message may be queued whatever its length; otherwise the task is woken to ask again.
    pub(crate) fn poll_room(&mut self, cx: &Context<'_>) -> Poll<Result<(), Refusal>> {
        if self.can_send() && self.waiting.as_ref().is_some_and(|waiting| waiting.is_writing()) {
            return self.watch(cx);
        }
        self.poll_any_room(cx)
    }

    fn poll_any_room(&mut self, cx: &Context<'_>) -> Poll<Result<(), Refusal>> {
        match self.make_room(1) {
            Err(Refusal::Full) => self.watch(cx),
            ready => Poll::Ready(ready),
        }
    }

    /// Sends a Ping, when there is room for it, and waits for its answer.
    pub(crate) fn poll_ping(
        &mut self,
        ticket: &mut Option<Ticket>,
        payload: PingPayload,
        cx: &Context<'_>,
    ) -> Poll<Result<Duration, Refusal>> {
        if let (Some(_), Some(waiting)) = (&ticket, &mut self.waiting)
            && let Poll::Ready(round_trip) = waiting.poll_pong(*ticket, cx)
        {
            return Poll::Ready(round_trip.ok_or(Refusal::Closed));
        }
        if !self.can_send() {
            return Poll::Ready(Err(Refusal::Closed));
        }
        if ticket.is_some() {
            return Poll::Pending;
        }
        ready!(self.poll_any_room(cx))?;
        let mask = self.stream.mask_key();
        self.stream.queue_mut().push_with(|wire| encode_message(Opcode::Ping, &payload, mask, wire));
        self.waiting_mut().ping(ticket, payload, net::now(), cx);
        Poll::Pending
    }

    /// How long a peer may take to answer.
    pub(crate) fn idle_timeout(&self) -> Option<Duration> {
        self.patience.idle_timeout()
    }

    /// Whether everything up to this byte was written.
    pub(crate) fn poll_written(&mut self, position: u64, cx: &Context<'_>) -> Poll<Result<(), Refusal>> {
        if self.write_error.is_some() || self.phase == Phase::Finished {
            // What was written was counted before.
            let written = self.written >= position;
            return Poll::Ready(if written { Ok(()) } else { Err(Refusal::Closed) });
        }
        // Behind a message in fragments nothing is queued yet.
        let is_held_back =
            position == u64::MAX && self.waiting.as_ref().is_some_and(|waiting| waiting.is_writing());
        if self.stream.queued() == 0 && !is_held_back || self.written >= position {
            return Poll::Ready(Ok(()));
        }
        self.watch(cx)
    }

    /// Begins to close, and is ready when that is over.
    pub(crate) fn poll_close(&mut self, frame: CloseFrame, cx: &Context<'_>) -> Poll<()> {
        self.close(Some(frame));
        if self.closed.is_some() {
            return Poll::Ready(());
        }
        self.waiting_mut().watch_end(cx);
        Poll::Pending
    }

    fn watch<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        self.waiting_mut().watch(cx);
        Poll::Pending
    }

    /// A call waits no longer. The next one in line may not have been woken for this one's sake.
    pub(crate) fn leave(&mut self, ticket: Ticket) {
        if let Some(waiting) = &mut self.waiting {
            waiting.leave(ticket);
            self.offer_room();
        }
    }

    /// Wakes who waits for room if there is some.
    fn offer_room(&mut self) {
        if let Some(waiting) = &mut self.waiting
            && self.stream.queued() <= self.max_buffered / 2
        {
            waiting.wake_first();
        }
    }

    /// Wakes whoever waits for what will not come any more, or for the end.
    fn wake_the_disappointed(&mut self) {
        if self.waiting.is_none() {
            return;
        }
        let (can_send, has_ended) = (self.can_send(), self.closed.is_some());
        let waiting = self.waiting_mut();
        if !can_send {
            waiting.wake_senders();
            waiting.wake_watchers();
        }
        if has_ended {
            waiting.wake_end();
        }
    }

    fn waiting_mut(&mut self) -> &mut Waiting {
        self.waiting.get_or_insert_default()
    }

    fn take_woken(&mut self) -> Vec<Waker> {
        let Some(waiting) = &mut self.waiting else { return Vec::new() };
        let woken = waiting.take_woken();
        if waiting.is_empty() {
            self.waiting = None;
        }
        woken
    }

    pub(crate) fn buffered(&self) -> usize {
        self.stream.queued()
    }

    /// Begins to close, unless that has begun.
    pub(crate) fn close(&mut self, frame: Option<CloseFrame>) {
        if self.phase == Phase::Open && self.closed.is_none() {
            self.phase = Phase::Draining;
            self.stream.close(frame, net::now());
        }
    }

    /// How the connection has ended, as soon as it has.
    pub(crate) fn poll_closed(&mut self, ticket: &mut Option<Ticket>, cx: &Context<'_>) -> Poll<Closed> {
        if let Some(closed) = &self.closed {
            return Poll::Ready(closed.as_ref().clone());
        }
        self.waiting_mut().await_end(ticket, cx);
        Poll::Pending
    }

    pub(crate) fn closed(&self) -> Option<&Closed> {
        self.closed.as_deref()
    }

    /// The receiver is dropped. The driver closes: it knows whether the handler has failed.
    pub(crate) fn release(&mut self, code: CloseCode) {
        self.released = Some(code);
        self.receiver = None;
    }

    fn can_send(&self) -> bool {
        self.write_error.is_none() && self.closed.is_none() && self.stream.can_send()
    }

    fn wait<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        if !self.receiver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.receiver = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Whether a sleeping driver has to look.
    fn has_work(&self) -> bool {
        let ending = self.released.is_some() || self.closed.is_some() || self.phase == Phase::Draining;
        let writes = self.stream.queued() > 0 && !self.blocked;
        self.phase != Phase::Finished
            && (ending || writes || self.watch == Watch::Wanted || self.wake_receiver)
    }

    fn begin_turn(&mut self, cx: &Context<'_>) {
        self.driving = true;
        self.blocked = false;
        self.now = net::now();
        if !self.driver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.driver = Some(cx.waker().clone());
        }
    }

    fn end_turn(&mut self, failed: bool, deadline: &mut Deadline, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(code) = self.released {
            let code = if failed { CloseCode::INTERNAL_ERROR } else { code };
            self.close(Some(code.into()));
        }
        self.flush();
        self.driving = false;
        if self.watch == Watch::Wanted {
            self.watch = Watch::On;
        }
        loop {
            match self.phase {
                Phase::Finished => return Poll::Ready(()),
                Phase::Open if self.closed.is_none() => {
                    if deadline.poll(self.patient_until(), self.now, cx).is_pending() {
                        return Poll::Pending;
                    }
                    self.lose_patience(self.now);
                }
                Phase::Open | Phase::Draining => {
                    let now = net::now();
                    if self.poll_end(now, cx).is_ready() {
                        self.finish();
                    } else if deadline.poll(self.stream.poll_timeout(), now, cx).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    fn patient_until(&self) -> Option<Time> {
        let silent = if self.watch == Watch::On { self.patience.until() } else { None };
        match (silent, self.patience.stalled_until()) {
            (Some(silent), Some(stalled)) => Some(silent.min(stalled)),
            (silent, stalled) => silent.or(stalled),
        }
    }

    /// A deadline of the [`Patience`] is over.
    fn lose_patience(&mut self, now: Time) {
        if self.patience.stalled_until().is_some_and(|until| until <= now) {
            self.end_as(Closed::Idle);
        } else {
            // It is for the call in `recv` to judge, if there is one: it reads first.
            self.watch = Watch::Off;
        }
        self.wake_receiver = true;
    }

    /// Drives a close to the end of the stream.
    fn poll_end(&mut self, now: Time, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..READS_WHILE_CLOSING {
            if self.closed.is_some() {
                break;
            }
            if let Some(error) = self.write_error {
                self.end(Ended::Io(error.into()));
            } else if self.stream.poll_timeout().is_some_and(|deadline| deadline <= now) {
                self.end_as(Closed::TimedOut);
                self.wake_receiver = true;
            } else if let Err(ended) = ready!(self.stream.poll_next(now, cx, |_, _| None::<()>)) {
                self.end(ended);
            }
        }
        if self.closed.is_none() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.write_error.is_some()
            || matches!(self.closed(), Some(Closed::Io(_) | Closed::TimedOut | Closed::Idle))
        {
            return Poll::Ready(());
        }
        self.stream.poll_close(now, cx)
    }

    /// Nothing more will be received.
    fn end(&mut self, ended: Ended) {
        if matches!(ended, Ended::Eof) {
            // A peer that ends its half may still read: it gets what waits, and a Close, as long as a close may take.
            self.stream.close(None, net::now());
        }
        self.end_as(ended.into());
        self.wake_receiver = true;
    }

    fn end_as(&mut self, closed: Closed) {
        self.closed = Some(Box::new(closed));
    }

    fn finish(&mut self) {
        self.phase = Phase::Finished;
        self.stream.queue_mut().clear();
    }

    /// The program may keep its handle for as long as it likes, and with it this, but not a descriptor of the system, nor a
    /// compressor. The caller drops the stream, when it holds no lock.
    fn release_stream(&mut self) -> Option<Stream> {
        if self.phase != Phase::Finished {
            return None;
        }
        self.deflater = None;
        Some(self.stream.release())
    }

    /// Writes what waits, unless the driver is about to: without its waker it has been woken.
    fn flush(&mut self) {
        if self.driver.is_some() {
            self.write();
        }
    }

    /// Writes what waits, as far as the stream takes it. The driver is who is told when it takes more, whoever calls.
    fn write(&mut self) {
        let driver = self.driver.as_ref().unwrap_or(Waker::noop());
        if self.write_error.is_some() || self.phase == Phase::Finished {
            return;
        }
        let before = self.stream.queued();
        match self.stream.poll_flush(&mut Context::from_waker(driver)) {
            Poll::Ready(Ok(())) => {
                self.blocked = false;
                self.patience.caught_up();
            }
            Poll::Pending => {
                self.blocked = true;
                let progressed = self.stream.queued() < before;
                self.patience.stalls(progressed, net::now());
            }
            Poll::Ready(Err(error)) => {
                self.write_error = Some(error.kind());
                self.stream.queue_mut().clear();
                self.wake_receiver = true;
                return;
            }
        }
        let written = before.saturating_sub(self.stream.queued());
        self.written += written as u64;
        // Without progress whoever is woken would only wait again, and for a handler of this task that is a loop.
        if written > 0
            && let Some(waiting) = &mut self.waiting
        {
            waiting.wake_watchers();
            self.offer_room();
        }
    }
}

#[cold]
fn answer_ping(waiting: Option<&mut Waiting>, payload: &[u8], now: Time) {
    if let Some(waiting) = waiting {
        waiting.pong(payload, now);
    }
}

/// A client's frame: the payload is masked on its way into the queue. A long one has memory of its own there, which is
/// freed as soon as it is written.
fn queue_masked(queue: &mut WriteQueue, header: &[u8], payload: &[u8], key: [u8; 4]) {
    let length = header.len() + payload.len();
    let write = |wire: &mut Vec<u8>| {
        wire.reserve(length);
        wire.extend_from_slice(header);
        mask_into(payload, key, wire);
    };
    if payload.len() <= COPY_AT_MOST {
        queue.push_with(write);
    } else {
        let mut frame = Vec::with_capacity(length);
        write(&mut frame);
        queue.push(Wire::Shared(&frame.into()));
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use ws_proto::{DeflateOptions, Offer, WebSocketUri};

    use super::*;
    use crate::driver::Driver;

    #[tokio::test]
    async fn a_connection_that_is_over_keeps_no_compressor() {
        let options = DeflateOptions { own_context_takeover: true, ..DeflateOptions::default() };
        let offer = Offer::new([7; 16]).deflate(options);
        let request = offer.request(&WebSocketUri::parse("ws://h/").unwrap(), &HeaderMap::new()).unwrap();
        let accepted =
            ws_proto::verify(request.method(), request.uri(), request.version(), request.headers()).unwrap();
        let options = DeflateOptions { peer_context_takeover: true, ..options };
        let answer = accepted.response(None, accepted.deflate(&options).as_ref());
        let agreed = offer.verify(answer.status(), answer.headers()).unwrap();
        let (client, server) = tokio::io::duplex(1024);
        let upgraded = Upgraded { stream: Stream::io(client), leftover: Bytes::new() };
        let mut socket = Driver::spawn_client(upgraded, &Limits::default(), &agreed);
        assert!(socket.connection().with(|state| state.deflater.is_some()));
        drop(server);
        assert_eq!(socket.recv().await, None);
        while socket.connection().with(|state| state.phase != Phase::Finished) {
            yield_now().await;
        }
        assert!(socket.connection().with(|state| state.deflater.is_none()));
    }
}
