//! Hot path. The turns of the driver: what was sent is written, and a close goes on to the end of the stream.

use std::task::{Context, Poll, Waker, ready};

use net::{Deadline, Ended, READS_WHILE_CLOSING, Stream};
use ws_proto::{CloseCode, CloseFrame, Time};

use super::{KeepaliveTimer, Phase, State};
use crate::connection::waiters::Ticket;
use crate::error::Closed;

impl State {
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
        self.waiters_mut().await_end(ticket, cx);
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

    pub(super) fn can_send(&self) -> bool {
        self.write_error.is_none() && self.closed.is_none() && self.stream.can_send()
    }

    pub(super) fn wait<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        if !self.receiver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.receiver = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Whether a sleeping driver has to look.
    pub(super) fn has_work(&self) -> bool {
        let ending = self.released.is_some() || self.closed.is_some() || self.phase == Phase::Draining;
        let writes = self.stream.queued() > 0 && !self.blocked;
        self.phase != Phase::Finished
            && (ending
                || writes
                || self.keepalive_timer == KeepaliveTimer::RestartRequested
                || self.wake_receiver)
    }

    pub(super) fn begin_turn(&mut self, cx: &Context<'_>) {
        self.driving = true;
        self.blocked = false;
        if !self.driver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.driver = Some(cx.waker().clone());
        }
    }

    pub(super) fn end_turn(
        &mut self,
        failed: bool,
        deadline: &mut Deadline,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if let Some(code) = self.released {
            let code = if failed { CloseCode::INTERNAL_ERROR } else { code };
            self.close(Some(code.into()));
        }
        self.flush();
        self.driving = false;
        if self.keepalive_timer == KeepaliveTimer::RestartRequested {
            self.keepalive_timer = KeepaliveTimer::On;
        }
        loop {
            match self.phase {
                Phase::Finished => return Poll::Ready(()),
                Phase::Open if self.closed.is_none() => {
                    let until = self.keepalive_deadline();
                    if deadline.is_armed_for(until) {
                        return Poll::Pending;
                    }
                    let now = net::now();
                    if deadline.poll(until, now, cx).is_pending() {
                        return Poll::Pending;
                    }
                    self.keepalive_expired(now);
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

    pub(super) fn keepalive_deadline(&self) -> Option<Time> {
        let silent =
            if self.keepalive_timer == KeepaliveTimer::On { self.keepalive.deadline() } else { None };
        match (silent, self.keepalive.stall_deadline()) {
            (Some(silent), Some(stalled)) => Some(silent.min(stalled)),
            (silent, stalled) => silent.or(stalled),
        }
    }

    /// A deadline of the [`Keepalive`](super::keepalive::Keepalive) has passed.
    pub(super) fn keepalive_expired(&mut self, now: Time) {
        if self.keepalive.stall_deadline().is_some_and(|until| until <= now) {
            self.end_as(Closed::Idle);
        } else {
            // The call in `recv`, if there is one, has to check: it reads first.
            self.keepalive_timer = KeepaliveTimer::Expired;
        }
        self.wake_receiver = true;
    }

    /// Drives a close to the end of the stream.
    pub(super) fn poll_end(&mut self, now: Time, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..READS_WHILE_CLOSING {
            if self.closed.is_some() {
                break;
            }
            if let Some(error) = self.write_error {
                self.end(Ended::Io(error.into()));
            } else if self.stream.poll_timeout().is_some_and(|deadline| deadline <= now) {
                self.end_as(Closed::TimedOut);
                self.wake_receiver = true;
            } else if let Err(ended) = ready!(self.stream.poll_next(|| now, cx, |_, _| None::<()>)) {
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
    pub(super) fn end(&mut self, ended: Ended) {
        if matches!(ended, Ended::Eof) {
            // A peer that ends its half may still read: it gets what waits, and a Close, as long as a close may take.
            self.stream.close(None, net::now());
        }
        self.end_as(ended.into());
        self.wake_receiver = true;
    }

    pub(super) fn end_as(&mut self, closed: Closed) {
        self.closed = Some(Box::new(closed));
    }

    pub(super) fn finish(&mut self) {
        self.phase = Phase::Finished;
        self.stream.queue_mut().clear();
    }

    /// The program may keep its handle for as long as it likes, and with it this, but not a descriptor of the system, nor a
    /// compressor. The caller drops the stream, when it holds no lock.
    pub(super) fn release_stream(&mut self) -> Option<Stream> {
        if self.phase != Phase::Finished {
            return None;
        }
        self.deflater = None;
        Some(self.stream.release())
    }

    /// Writes what waits, unless the driver is about to: without its waker it has been woken.
    pub(super) fn flush(&mut self) {
        if self.driver.is_some() {
            self.write();
        }
    }

    /// Writes what waits, as far as the stream takes it. The driver is who is told when it takes more, whoever calls.
    pub(super) fn write(&mut self) {
        let driver = self.driver.as_ref().unwrap_or(Waker::noop());
        if self.write_error.is_some() || self.phase == Phase::Finished {
            return;
        }
        let before = self.stream.queued();
        match self.stream.poll_flush(&mut Context::from_waker(driver)) {
            Poll::Ready(Ok(())) => {
                self.blocked = false;
                self.keepalive.write_finished();
            }
            Poll::Pending => {
                self.blocked = true;
                let progressed = self.stream.queued() < before;
                self.keepalive.write_stalled(progressed, net::now());
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
            && let Some(waiters) = &mut self.waiters
        {
            waiters.wake_watchers();
            waiters.wake_flushing();
            self.offer_room();
        }
    }
}
