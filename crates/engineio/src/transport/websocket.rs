//! The WebSocket transport, with one packet per message. It is also the candidate that a polling session may upgrade
//! to.

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::task::{Context, Poll};

use engineio_proto::server::{CandidateAction, Session as Machine};
use engineio_proto::{CloseReason, Framing, Packet, ParseError, Reframer, Revision};
use net::metrics::{ConnectionKind, Meter};
use net::{
    DeadlineTimer, HeldMemory, MAX_INFLATED_PER_POLL, MEMORY_BUDGET_EXCEEDED, Outbox, Stream, StreamEnd,
    TurnBudget, Upgraded, WebSocketStream, WireBytes, WriteQueue, spawn_boxed,
};
use tokio::runtime::Handle;
use ws_proto::{CloseCode, CloseFrame, DeflateAgreement, Event, Limits, ProtocolError, Time};

use super::OutputStatus;
use super::websocket_compression::CompressedOutput;
use crate::handler::SessionHandler;
use crate::options::Options;
use crate::packet_dispatcher::PacketDispatcher;

/// The most reads in one turn, before their results are written and the driver yields to other tasks.
const MAX_READS_PER_TURN: usize = 2;

/// While a read is handled, at most about this many bytes of responses are buffered. The second constant is the number
/// of events between two checks.
const MAX_BUFFERED_IN_READ: usize = 256 * 1024;
const BUFFER_CHECK_INTERVAL: usize = 8;

/// The most unsent bytes of a candidate: twice the limit of pongs. Protects against a candidate that sends endless
/// probes and reads nothing.
const MAX_CANDIDATE_BUFFERED: usize = 128 * 1024;

/// A WebSocket connection that carries a session, or may do so after an upgrade.
pub(crate) struct WebSocket {
    stream: WebSocketStream<Stream>,
    /// If more bytes than this are unsent, nothing more is read.
    high_water_mark: usize,
    /// The revision of the packets that arrive.
    revision: Revision,
    /// The form of the packets on the wire.
    framing: Framing,
    /// Set if permessage-deflate was negotiated. Messages then pass through it on their way from the outbox.
    compressed: Option<Box<CompressedOutput>>,
}

/// The result of a poll of the candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProbeOutcome {
    /// There is nothing more to do in this turn.
    Pending,
    /// There may be more input than one turn should handle.
    Yield,
    /// The candidate is the transport from now on.
    Switch,
    /// The candidate has failed. The session goes on.
    Failed,
}

impl WebSocket {
    /// Creates the server's end of a connection that was just upgraded.
    pub(crate) fn new(
        upgraded: Upgraded,
        revision: Revision,
        framing: Framing,
        deflate: Option<&DeflateAgreement>,
        options: &Options,
    ) -> Self {
        let limits = Limits { max_message_size: options.protocol.max_payload, ..Limits::default() };
        let mut stream = WebSocketStream::server(upgraded.stream, upgraded.leftover, &limits)
            .with_meter(Meter::new(ConnectionKind::EngineIoWebSocket));
        if let Some(agreement) = deflate {
            stream = stream.with_deflate(agreement);
        }
        let compressed = deflate.map(|agreement| Box::new(CompressedOutput::new(agreement, framing)));
        Self { stream, high_water_mark: options.max_write_buffer_size / 2, revision, framing, compressed }
    }

    /// Returns the form in which messages wait in the outbox of a connection whose frames have this form. Messages that
    /// are ready to be sent are framed only once for all their dispatchers. Messages that the connection compresses get
    /// their frames afterwards.
    pub(crate) fn outbox_framing_for(framing: Framing, is_compressed: bool) -> Framing {
        if is_compressed { Framing::LengthDelimited } else { framing }
    }

    pub(crate) fn poll_input<H: SessionHandler>(
        &mut self,
        dispatcher: &mut PacketDispatcher<H>,
        now: Time,
        cx: &mut Context<'_>,
    ) -> Result<bool, CloseReason> {
        // The heartbeat goes on, and closes a session whose client reads nothing.
        if self.is_backpressured() {
            return Ok(false);
        }
        // Two copies of the code, so that a connection without compression counts nothing.
        match self.compressed {
            None => self.read_packets::<false, H>(dispatcher, now, cx),
            Some(_) => self.read_packets::<true, H>(dispatcher, now, cx),
        }
    }

    /// Reads, and passes the packets to `dispatcher`. If they may be compressed (`INFLATES`), one read can hold a hundred
    /// times as many bytes as were sent. So it then stops as soon as the handler accepts no more, or after
    /// [`MAX_INFLATED_PER_POLL`].
    #[inline]
    fn read_packets<const INFLATES: bool, H: SessionHandler>(
        &mut self,
        dispatcher: &mut PacketDispatcher<H>,
        now: Time,
        cx: &mut Context<'_>,
    ) -> Result<bool, CloseReason> {
        let mut inflated = 0_usize;
        let revision = self.revision;
        for _ in 0..MAX_READS_PER_TURN {
            let mut failed = None;
            let mut events = 0_usize;
            let read = self.stream.poll_read(now, cx, |event, cx| {
                let Some(packet) = packet(revision, &event) else { return ControlFlow::Continue(()) };
                if let Err(reason) = dispatcher.handle_packet(packet, now, cx) {
                    failed = Some(reason);
                    return ControlFlow::Break(());
                }
                if INFLATES {
                    inflated += event.payload_len();
                    if inflated >= MAX_INFLATED_PER_POLL || !dispatcher.wants_input() {
                        return ControlFlow::Break(());
                    }
                }
                if TurnBudget::is_spent() {
                    return ControlFlow::Break(());
                }
                events += 1;
                // Large responses are sent before more is read: a client that sends many requests at once and reads as
                // fast as it can is not a slow reader.
                if events.is_multiple_of(BUFFER_CHECK_INTERVAL)
                    && dispatcher.buffered() > MAX_BUFFERED_IN_READ
                {
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            });
            match (read, failed) {
                (Poll::Pending, _) => return Ok(false),
                (_, Some(reason)) => return Err(reason),
                (Poll::Ready(Err(ended)), None) => {
                    describe_end(&ended, dispatcher);
                    return Err(close_reason(&ended));
                }
                (Poll::Ready(Ok(())), None) => {}
            }
            // Inflation takes long, so other tasks run between two reads.
            if TurnBudget::is_spent()
                || self.stream.has_buffered_input()
                || self.stream.is_inflating()
                || !dispatcher.wants_input()
            {
                return Ok(true);
            }
            if INFLATES && inflated >= MAX_INFLATED_PER_POLL {
                return Ok(true);
            }
        }
        Ok(true)
    }

    pub(crate) fn is_backpressured(&self) -> bool {
        self.unsent() > self.high_water_mark
    }

    pub(crate) fn unsent(&self) -> usize {
        self.stream.buffered() + self.compressed.as_ref().map_or(0, |compressed| compressed.waiting())
    }

    #[inline]
    pub(crate) fn memory(&self) -> HeldMemory {
        let compressed = self.compressed.as_ref().map(|compressed| compressed.memory());
        self.stream.memory() + compressed.unwrap_or_default()
    }

    /// Returns whether messages may wait in the outbox. Without compression, each turn moves all of them here.
    #[inline]
    pub(super) fn leaves_messages_in_outbox(&self) -> bool {
        self.compressed.is_some()
    }

    pub(super) fn abort(&mut self, now: Time) -> bool {
        if let Some(compressed) = &mut self.compressed {
            compressed.clear();
        }
        let frame = CloseFrame::new(CloseCode::TRY_AGAIN_LATER, MEMORY_BUDGET_EXCEEDED);
        self.stream.abort(Some(frame), now)
    }

    pub(crate) fn send(&mut self, packet: &Packet<'_>) {
        let framing = self.framing;
        self.stream.queue_mut().push_with(|out| framing.write_packet(packet, out));
    }

    /// Returns the form of the packets in the outbox of this connection.
    pub(super) fn outbox_framing(&self) -> Framing {
        Self::outbox_framing_for(self.framing, self.compressed.is_some())
    }

    /// Appends packets that were queued for another transport. Data that many sessions share is not copied.
    pub(super) fn append_reframed(&mut self, packets: &mut WriteQueue) {
        if let Some(compressed) = &mut self.compressed {
            return compressed.append(packets);
        }
        let mut reframer = Reframer::new(self.framing);
        let queue = self.stream.queue_mut();
        packets.for_each_chunk(|piece| match piece {
            WireBytes::Slice(bytes) => reframer.reframe(bytes, |header, data| {
                queue.push(WireBytes::Slice(header));
                queue.push(WireBytes::Slice(data));
            }),
            WireBytes::Shared(bytes) => reframer.reframe(bytes, |header, data| {
                queue.push(WireBytes::Slice(header));
                queue.push(WireBytes::Shared(&bytes.slice_ref(data)));
            }),
        });
        packets.clear();
    }

    pub(crate) fn poll_output(&mut self, outbox: &Outbox<Framing>, cx: &mut Context<'_>) -> OutputStatus {
        let signals = match &mut self.compressed {
            None => outbox.drain_and_take_signals(self.stream.queue_mut()),
            Some(compressed) => {
                compressed.drain(outbox, self.stream.queue_mut());
                outbox.take_signals()
            }
        };
        let flushed = self.stream.poll_flush(cx);
        let failed = match flushed {
            Poll::Ready(Err(_)) => Some(CloseReason::TransportClose),
            Poll::Ready(Ok(())) | Poll::Pending => None,
        };
        if flushed.is_ready() && self.compressed.as_ref().is_some_and(|compressed| compressed.waiting() > 0) {
            // Other tasks run before the next messages are compressed.
            net::defer_wake(cx);
        }
        OutputStatus { close_reason: failed, unsent: self.unsent(), is_writable: flushed.is_ready(), signals }
    }

    pub(crate) fn close(&mut self, outbox: &Outbox<Framing>, now: Time) {
        match &mut self.compressed {
            None => outbox.drain_all_into(self.stream.queue_mut()),
            Some(compressed) => compressed.drain_all(outbox, self.stream.queue_mut()),
        }
        self.stream.close(None, now);
    }

    pub(crate) fn poll_close(&mut self, now: Time, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_close(now, cx)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.stream.poll_timeout()
    }

    /// Drives the connection while it is a candidate: responds to probes, and returns when the client upgrades.
    pub(crate) fn poll_probe(
        &mut self,
        machine: &mut Machine,
        now: Time,
        cx: &mut Context<'_>,
    ) -> ProbeOutcome {
        let revision = self.revision;
        for _ in 0..MAX_READS_PER_TURN {
            let mut send_pong = false;
            let mut outcome = None;
            let read = self.stream.poll_read(now, cx, |event, _| {
                let Some(packet) = packet(revision, &event) else { return ControlFlow::Continue(()) };
                match machine.handle_candidate_packet(&packet, now) {
                    CandidateAction::SendProbePong => {
                        send_pong = true;
                        return ControlFlow::Continue(());
                    }
                    // The new transport reads what the client has sent after this packet.
                    CandidateAction::Switch(_) => outcome = Some(ProbeOutcome::Switch),
                    CandidateAction::CloseCandidate => outcome = Some(ProbeOutcome::Failed),
                }
                ControlFlow::Break(())
            });
            if send_pong {
                self.send(&Packet::PROBE_PONG);
            }
            if let Some(outcome) = outcome {
                return outcome;
            }
            let failed = matches!(read, Poll::Ready(Err(_)))
                || matches!(self.stream.poll_flush(cx), Poll::Ready(Err(_)))
                || self.stream.buffered() > MAX_CANDIDATE_BUFFERED;
            if failed {
                return ProbeOutcome::Failed;
            }
            if read.is_pending() {
                return ProbeOutcome::Pending;
            }
        }
        ProbeOutcome::Yield
    }

    /// Closes a connection that no session needs, in a task of its own.
    ///
    /// Such a connection counts neither for an address nor in the memory budget. So it holds no message, and ends within about
    /// a second: the client need not respond to the Close frame. A client that does not read gets none.
    pub(crate) fn close_in_background(self, now: Time) {
        let Self { mut stream, .. } = self;
        if !stream.abort(None, now) {
            return;
        }
        let mut deadline = DeadlineTimer::new();
        let closing = poll_fn(move |cx: &mut Context<'_>| {
            loop {
                let now = net::now();
                if stream.poll_close(now, cx).is_ready() {
                    return Poll::Ready(());
                }
                if deadline.poll(stream.poll_timeout(), now, cx).is_pending() {
                    return Poll::Pending;
                }
            }
        });
        spawn_boxed(&Handle::current(), closing);
    }
}

/// Returns the packet in a WebSocket message. `None` for control frames, which the WebSocket state machine has handled.
fn packet<'a>(revision: Revision, event: &'a Event<'_>) -> Option<Result<Packet<'a>, ParseError>> {
    match event {
        Event::Text(text) => Some(revision.parse_text(text)),
        Event::Binary(data) => Some(revision.parse_binary(data)),
        _ => None,
    }
}

/// Records why the stream ended, unless that is a normal end.
#[cold]
fn describe_end<H: SessionHandler>(ended: &StreamEnd, dispatcher: &PacketDispatcher<H>) {
    match ended {
        StreamEnd::Protocol(error @ ProtocolError::MessageTooBig { limit, .. }) => {
            dispatcher.report_too_long(error, *limit);
        }
        StreamEnd::Protocol(error) => dispatcher.describe_close(error.to_string()),
        StreamEnd::Io(error) => dispatcher.describe_close(error.to_string()),
        StreamEnd::Closed(_) | StreamEnd::Eof => {}
    }
}

fn close_reason(ended: &StreamEnd) -> CloseReason {
    match ended {
        StreamEnd::Closed(_) | StreamEnd::Eof | StreamEnd::Io(_) => CloseReason::TransportClose,
        StreamEnd::Protocol(_) => CloseReason::TransportError,
    }
}
