//! Hot path. What a connection receives, and for how long it is waited for.

use std::cell::Cell;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::task::coop::poll_proceed;

use net::Ended;
use ws_proto::{CloseCode, CloseFrame, Event, Time};

use super::sending::{LONG_MESSAGE, WRITE_LONG_AT};
use super::{KeepaliveTimer, Phase, State, WORK_OF_A_TURN, give_way};
use crate::connection::keepalive::KeepaliveAction;
use crate::connection::waiters::Waiters;
use crate::error::Closed;
use crate::message::{Chunk, Message};

/// What a read counts that has brought nothing to hand out: about what it can hold, or a quarter of that in a long frame.
/// Fragments without content, or of a message whose reader was dropped, are work as well, and there may be no end of them.
const READ_IN_VAIN: usize = WORK_OF_A_TURN / 16;

/// A handler that takes no longer from one read to the next is quick. Long answers are soon enough to be written; behind a
/// single one, they wait for as many reads as a task may make before others have their turn.
const QUICK: Duration = Duration::from_micros(50);

impl State {
    /// The next message, or the end.
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        if self.in_chunks {
            self.receive_whole();
        }
        self.poll_next(cx, Message::from_event)
    }

    #[cold]
    pub(super) fn receive_whole(&mut self) {
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
    pub(super) fn poll_next<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut pick: impl FnMut(Event<'_>) -> Option<T>,
    ) -> Poll<Option<T>> {
        if self.phase != Phase::Open || self.closed.is_some() {
            return if self.closed.is_some() { Poll::Ready(None) } else { self.wait(cx) };
        }
        // A peer whose messages never end must not keep the handler from yielding to other tasks; nor one whose messages
        // are few and long, as a kilobyte becomes when it is inflated.
        if self.worked >= WORK_OF_A_TURN {
            return self.give_way(cx);
        }
        let turn = ready!(poll_proceed(cx));
        loop {
            let reads = !self.stream.has_backlog();
            let before = self.arrived;
            let answers_wait = reads && self.stream.queued() > 0;
            let counts_pings = !reads && self.stream.has_many_control_frames(self.arrived);
            let (waiters, worked, arrived) = (&mut self.waiters, &mut self.worked, Cell::new(self.arrived));
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
                    answer_ping(waiters.as_deref_mut(), &payload, arrived.get());
                    None
                }
                event => {
                    *worked += event.payload_len();
                    pick(event)
                }
            });
            self.arrived = arrived.get();
            let Poll::Ready(read) = polled else {
                let Some(error) = self.write_error else { return self.wait_for_peer(cx) };
                self.end(Ended::Io(error.into()));
                return Poll::Ready(None);
            };
            if reads {
                self.keepalive.received(self.arrived);
            }
            if answers_wait && !self.holds_answers(before) {
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
                Ok(None) => {
                    // What is inflated as it comes takes many times as long as a read: others get their turn after each.
                    self.worked += if self.stream.is_inflating() { WORK_OF_A_TURN } else { READ_IN_VAIN };
                    if self.worked >= WORK_OF_A_TURN {
                        return self.give_way(cx);
                    }
                }
                Err(ended) => {
                    self.stream.restart_close_timeout(net::now());
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

    /// Whether the answers to the read at `before` wait for those to the one that has just come: long ones, of which several
    /// leave in one write, as long as the handler is quick. A pong leaves at once, so that the next ping does not replace it.
    #[inline]
    fn holds_answers(&self, before: Time) -> bool {
        (LONG_MESSAGE..WRITE_LONG_AT).contains(&self.stream.queued())
            && self.arrived.saturating_since(before) < QUICK
            && !self.stream.owes_control()
    }

    /// Goes on when other tasks have had their turn.
    #[cold]
    fn give_way<T>(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.worked = 0;
        give_way(cx);
        self.wait(cx)
    }

    /// Nothing was received. A peer that is silent for too long is sent a Ping, and in the end given up.
    pub(super) fn wait_for_peer<T>(&mut self, cx: &Context<'_>) -> Poll<Option<T>> {
        self.worked = 0;
        if self.keepalive_timer == KeepaliveTimer::Expired {
            self.keepalive_timer = KeepaliveTimer::RestartRequested;
            if self.check_keepalive() == KeepaliveAction::TimedOut {
                return Poll::Ready(None);
            }
        }
        self.wait(cx)
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
                self.end_as(Closed::Idle);
            }
        }
        action
    }
}

#[cold]
fn answer_ping(waiters: Option<&mut Waiters>, payload: &[u8], now: Time) {
    if let Some(waiters) = waiters {
        waiters.pong(payload, now);
    }
}
