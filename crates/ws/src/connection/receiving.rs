//! Hot path. What a connection receives, and for how long it is waited for.

use std::cell::Cell;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::task::coop::poll_proceed;

use net::StreamEnd;
use ws_proto::{CloseCode, CloseFrame, Event, Time};

use super::sending::{LONG_FLUSH_THRESHOLD, LONG_MESSAGE};
use super::{COOP_BUDGET_BYTES, KeepaliveTimer, Phase, State, defer_wake};
use crate::connection::keepalive::KeepaliveAction;
use crate::connection::waiters::Waiters;
use crate::error::CloseCause;
use crate::message::{Chunk, Message};

/// What a read counts that has brought nothing to hand out: about what it can hold, or a quarter of that in a long frame.
/// Fragments without content, or of a message whose reader was dropped, are work as well, and there may be no end of them.
const EMPTY_READ_COST: usize = COOP_BUDGET_BYTES / 16;

/// A handler that takes no longer from one read to the next is quick. Long answers are soon enough to be written; behind a
/// single one, they wait for as many reads as a task may make before others have their turn.
const QUICK_HANDLER_TIME: Duration = Duration::from_micros(50);

impl State {
    /// The next message, or the end.
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        if self.in_chunks {
            self.leave_chunk_mode();
        }
        self.poll_next(cx, Message::from_event)
    }

    #[cold]
    pub(super) fn leave_chunk_mode(&mut self) {
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
        self.stream.set_max_chunked_bytes(bytes);
    }

    /// The first that `pick` makes something of, or the end.
    #[inline]
    pub(super) fn poll_next<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut pick: impl FnMut(Event<'_>) -> Option<T>,
    ) -> Poll<Option<T>> {
        if self.phase != Phase::Open || self.close_cause.is_some() {
            return if self.close_cause.is_some() { Poll::Ready(None) } else { self.register_receiver(cx) };
        }
        // A peer whose messages never end must not keep the handler from yielding to other tasks; nor one whose messages
        // are few and long, as a kilobyte becomes when it is inflated.
        if self.budget_used >= COOP_BUDGET_BYTES {
            return self.yield_recv(cx);
        }
        let turn = ready!(poll_proceed(cx));
        loop {
            let reads = !self.stream.has_backlog();
            let before = self.last_read_at;
            let answers_wait = reads && self.stream.buffered() > 0;
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
            if answers_wait && !self.coalesces_writes(before) {
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
                    return self.register_receiver(cx);
                }
                Ok(None) => {
                    // What is inflated as it comes takes many times as long as a read: others get their turn after each.
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
                        // The program may end here, and its driver before it has run: the peer should have its answer.
                        self.write();
                    }
                    return Poll::Ready(None);
                }
            }
        }
    }

    /// Whether the answers to the read at `before` wait for those to the one that has just come: long ones, of which several
    /// leave in one write, as long as the handler is quick. A pong leaves at once, so that the next ping does not replace it.
    #[inline]
    fn coalesces_writes(&self, before: Time) -> bool {
        (LONG_MESSAGE..LONG_FLUSH_THRESHOLD).contains(&self.stream.buffered())
            && self.last_read_at.saturating_since(before) < QUICK_HANDLER_TIME
            && !self.stream.has_pending_control()
    }

    /// Goes on when other tasks have had their turn.
    #[cold]
    fn yield_recv<T>(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.budget_used = 0;
        defer_wake(cx);
        self.register_receiver(cx)
    }

    /// Nothing was received. A peer that is silent for too long is sent a Ping, and in the end given up.
    pub(super) fn wait_for_peer<T>(&mut self, cx: &Context<'_>) -> Poll<Option<T>> {
        self.budget_used = 0;
        if self.keepalive_timer == KeepaliveTimer::Expired {
            self.keepalive_timer = KeepaliveTimer::RestartRequested;
            if self.check_keepalive() == KeepaliveAction::TimedOut {
                return Poll::Ready(None);
            }
        }
        self.register_receiver(cx)
    }

    /// The driver has seen the time pass, and nothing has come.
    #[cold]
    fn check_keepalive(&mut self) -> KeepaliveAction {
        let now = net::now();
        let action = self.keepalive.check(now);
        match action {
            KeepaliveAction::Wait => {}
            KeepaliveAction::SendPing => self.stream.ping(),
            KeepaliveAction::TimedOut => {
                // For a peer that only does not answer. The driver writes it, if it can, and waits for nothing.
                let frame = CloseFrame::new(CloseCode::POLICY_VIOLATION, "no sign of life for too long");
                self.stream.close(Some(frame), now);
                self.set_close_cause(CloseCause::IdleTimeout);
            }
        }
        action
    }
}

#[cold]
fn handle_pong(waiters: Option<&mut Waiters>, payload: &[u8], now: Time) {
    if let Some(waiters) = waiters {
        waiters.handle_pong(payload, now);
    }
}
