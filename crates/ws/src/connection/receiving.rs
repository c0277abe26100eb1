//! Hot path. Receives messages, and checks the keepalive.

use std::cell::Cell;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::task::coop::poll_proceed;

use net::{StreamEnd, defer_wake};
use ws_proto::{CloseCode, CloseFrame, Event, Time};

use super::sending::{LONG_FLUSH_THRESHOLD, LONG_MESSAGE_THRESHOLD};
use super::{COOP_BUDGET_BYTES, KeepaliveTimer, Phase, State};
use crate::connection::keepalive::KeepaliveAction;
use crate::connection::waiters::Waiters;
use crate::error::CloseCause;
use crate::message::{Chunk, Message};

/// The part of the budget that a read uses up if it yields no message. This is about the capacity of a read, or a
/// quarter of the capacity within a long frame. Empty fragments, and fragments of a message whose reader was dropped,
/// take time as well, and a peer can send any number of them.
const EMPTY_READ_COST: usize = COOP_BUDGET_BYTES / 16;

/// A handler is quick if it takes at most this long from one read to the next. Long responses of a quick handler stay
/// queued until the responses to the following reads are queued too, so that several leave in one write. A single long
/// response stays queued for at most as many reads as a task makes before it yields.
const QUICK_HANDLER_TIME: Duration = Duration::from_micros(50);

impl State {
    /// Receives the next message, or returns `None` at the end.
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        if self.in_chunks {
            self.leave_chunk_mode();
        }
        let received = self.poll_next(cx, Message::from_event);
        if let Poll::Ready(Some(message)) = &received {
            if tracing::enabled!(tracing::Level::TRACE) {
                trace_received(message.len());
            }
            self.stream.meter_mut().message_received();
        }
        received
    }

    #[cold]
    pub(super) fn leave_chunk_mode(&mut self) {
        self.in_chunks = false;
        self.stream.receive_in_chunks(false);
    }

    /// Receives the first chunk of the next message, or returns `None` at the end.
    pub(crate) fn poll_first_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Chunk>> {
        // While this is pending, no chunk was handed out, so dropping the call loses nothing.
        self.in_chunks = true;
        self.stream.receive_in_chunks(true);
        let received = self.poll_next(cx, Chunk::from_event);
        if let Poll::Ready(Some(_)) = &received {
            self.stream.meter_mut().message_received();
        }
        received
    }

    /// Receives the next chunk of the message, or returns `None` at the end of the connection.
    pub(crate) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Chunk>> {
        self.poll_next(cx, Chunk::from_event)
    }

    /// Limits the further bytes of the message that is received in chunks.
    pub(crate) fn set_max_chunked_bytes(&mut self, bytes: u64) {
        self.stream.set_max_chunked_bytes(bytes);
    }

    /// Receives events until `pick` returns something for one, or returns `None` at the end.
    #[inline]
    pub(super) fn poll_next<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut pick: impl FnMut(Event<'_>) -> Option<T>,
    ) -> Poll<Option<T>> {
        if self.phase != Phase::Open || self.close_cause.is_some() {
            return if self.close_cause.is_some() { Poll::Ready(None) } else { self.register_receiver(cx) };
        }
        // The handler must yield to other tasks even if messages arrive without a pause. Large messages count by their
        // bytes, because a kilobyte on the wire can inflate to a megabyte.
        if self.budget_used >= COOP_BUDGET_BYTES {
            return self.yield_recv(cx);
        }
        let coop = ready!(poll_proceed(cx));
        loop {
            let reads = !self.stream.has_buffered_input();
            let before = self.last_read_at;
            let responses_wait = reads && self.stream.buffered() > 0;
            let counts_pings = !reads && self.stream.is_control_rate_high(self.last_read_at);
            let (waiters, worked, arrived) =
                (&mut self.waiters, &mut self.budget_used, Cell::new(self.last_read_at));
            let clock = || {
                if counts_pings {
                    return net::now();
                }
                if reads {
                    arrived.set(net::now());
                }
                arrived.get()
            };
            let polled = self.stream.poll_next(clock, cx, |event, _| match event {
                Event::Pong(payload) => {
                    handle_pong(waiters.as_deref_mut(), &payload, arrived.get());
                    None
                }
                event => {
                    *worked += event.payload_len();
                    pick(event)
                }
            });
            self.last_read_at = arrived.get();
            let Poll::Ready(read) = polled else {
                let Some(error) = self.write_error else { return self.wait_for_peer(cx) };
                self.handle_stream_ended(StreamEnd::Io(error.into()));
                return Poll::Ready(None);
            };
            if reads {
                self.keepalive.received(self.last_read_at);
            }
            if responses_wait && !self.coalesces_writes(before) {
                // The handler has read again without waiting: write its responses to the previous read before it
                // handles this one.
                self.flush();
            }
            match read {
                Ok(Some(message)) => {
                    coop.made_progress();
                    return Poll::Ready(Some(message));
                }
                Ok(None) if self.stream.has_buffered_input() => {
                    // There may be more control frames, so yield first.
                    defer_wake(cx);
                    return self.register_receiver(cx);
                }
                Ok(None) => {
                    // Inflating a compressed message piece by piece takes many times as long as a read, so yield after
                    // each.
                    self.budget_used +=
                        if self.stream.is_inflating() { COOP_BUDGET_BYTES } else { EMPTY_READ_COST };
                    if self.budget_used >= COOP_BUDGET_BYTES {
                        return self.yield_recv(cx);
                    }
                }
                Err(ended) => {
                    self.stream.restart_close_timeout(net::now());
                    self.handle_stream_ended(ended);
                    if !self.in_driver_poll {
                        // The program may end before its driver runs again, so the peer's response is written here.
                        self.write();
                    }
                    return Poll::Ready(None);
                }
            }
        }
    }

    /// Returns whether the responses to the previous read stay queued until the responses to this read are queued too.
    /// This applies only to long responses, and only while the handler is quick, so that several leave in one write. A
    /// Pong is written at once, because the next Ping would replace it.
    #[inline]
    fn coalesces_writes(&self, previous_read_at: Time) -> bool {
        (LONG_MESSAGE_THRESHOLD..LONG_FLUSH_THRESHOLD).contains(&self.stream.buffered())
            && self.last_read_at.saturating_since(previous_read_at) < QUICK_HANDLER_TIME
            && !self.stream.has_pending_control()
    }

    /// Yields to other tasks, and continues afterwards.
    #[cold]
    fn yield_recv<T>(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.budget_used = 0;
        self.flush_counts();
        defer_wake(cx);
        self.register_receiver(cx)
    }

    /// Passes on what was received for the metrics. At the end of a poll of the driver, the write does so.
    fn flush_counts(&mut self) {
        if !self.in_driver_poll {
            self.stream.meter_mut().flush_received();
        }
    }

    /// Called when nothing was received. A peer that is silent for too long gets a Ping, and later times out.
    pub(super) fn wait_for_peer<T>(&mut self, cx: &Context<'_>) -> Poll<Option<T>> {
        self.budget_used = 0;
        self.flush_counts();
        if self.keepalive_timer == KeepaliveTimer::Expired {
            self.keepalive_timer = KeepaliveTimer::RestartRequested;
            if self.check_keepalive() == KeepaliveAction::TimedOut {
                return Poll::Ready(None);
            }
        }
        self.register_receiver(cx)
    }

    /// Called when the driver's timer has expired and nothing was received.
    #[cold]
    fn check_keepalive(&mut self) -> KeepaliveAction {
        let now = net::now();
        let action = self.keepalive.check(now);
        match action {
            KeepaliveAction::Wait => {}
            KeepaliveAction::SendPing => self.stream.ping(),
            KeepaliveAction::TimedOut => {
                // The peer may still read, so it gets a Close frame. The driver writes it if possible, and waits for
                // nothing.
                let frame = CloseFrame::new(CloseCode::POLICY_VIOLATION, "no sign of life for too long");
                self.stream.close(Some(frame), now);
                self.set_close_cause(CloseCause::IdleTimeout);
            }
        }
        action
    }
}

#[cold]
fn trace_received(bytes: usize) {
    tracing::trace!(bytes, "message received");
}

#[cold]
fn handle_pong(waiters: Option<&mut Waiters>, payload: &[u8], now: Time) {
    if let Some(waiters) = waiters {
        waiters.handle_pong(payload, now);
    }
}
