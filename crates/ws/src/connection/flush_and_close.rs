//! Hot path. The polls of the driver: writes what is queued, and carries a close through to the end of the stream.

use std::io;
use std::task::{Context, Poll, Waker, ready};

use net::metrics::Series;
use net::{
    DeadlineTimer, HeldMemory, MAX_CLOSING_READS_PER_POLL, MAX_INFLATED_PER_POLL, MEMORY_BUDGET_EXCEEDED,
    MemoryUsage, Stream, StreamEnd,
};
use ws_proto::{CloseCode, CloseFrame, Time};

use super::{KeepaliveTimer, Phase, State};
use crate::connection::waiters::Ticket;
use crate::error::CloseCause;

impl State {
    pub(crate) fn buffered(&self) -> usize {
        self.stream.buffered()
    }

    /// Begins to close, unless the connection is closing or has ended.
    pub(crate) fn close(&mut self, frame: Option<CloseFrame>) {
        if self.phase == Phase::Open && self.close_cause.is_none() {
            self.phase = Phase::Draining;
            self.stream.close(frame, net::now());
        }
    }

    /// Waits for the end of the connection, and returns how it ended.
    pub(crate) fn poll_closed(&mut self, ticket: &mut Option<Ticket>, cx: &Context<'_>) -> Poll<CloseCause> {
        if let Some(closed) = &self.close_cause {
            return Poll::Ready(closed.as_ref().clone());
        }
        self.waiters_mut().wait_closed(ticket, cx);
        Poll::Pending
    }

    pub(crate) fn close_cause(&self) -> Option<&CloseCause> {
        self.close_cause.as_deref()
    }

    /// Called when the receiver is dropped. Only the driver knows whether the handler has failed, so the driver closes.
    pub(crate) fn drop_receiver(&mut self, code: CloseCode) {
        self.receiver_dropped = Some(code);
        self.receiver = None;
    }

    pub(super) fn can_send(&self) -> bool {
        self.write_error.is_none() && self.close_cause.is_none() && self.stream.can_send()
    }

    pub(super) fn register_receiver<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        if !self.receiver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.receiver = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Returns whether a waiting driver must be woken.
    pub(super) fn has_work(&self) -> bool {
        let ending =
            self.receiver_dropped.is_some() || self.close_cause.is_some() || self.phase == Phase::Draining;
        let writes = self.stream.buffered() > 0 && !self.write_blocked;
        self.phase != Phase::Finished
            && (ending
                || writes
                || self.keepalive_timer == KeepaliveTimer::RestartRequested
                || self.wake_receiver
                || self.memory.is_outdated(self.held_memory()))
    }

    pub(super) fn begin_driver_poll(&mut self, cx: &Context<'_>) {
        self.in_driver_poll = true;
        self.write_blocked = false;
        if !self.driver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.driver = Some(cx.waker().clone());
        }
    }

    pub(super) fn end_driver_poll(
        &mut self,
        failed: bool,
        deadline: &mut DeadlineTimer,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if let Some(code) = self.receiver_dropped {
            let code = if failed { CloseCode::INTERNAL_ERROR } else { code };
            self.close(Some(code.into()));
        }
        self.flush();
        self.in_driver_poll = false;
        self.report_memory(cx);
        if self.keepalive_timer == KeepaliveTimer::RestartRequested {
            self.keepalive_timer = KeepaliveTimer::On;
        }
        loop {
            match self.phase {
                Phase::Finished => return Poll::Ready(()),
                Phase::Open if self.close_cause.is_none() => {
                    let until = self.keepalive_deadline();
                    if deadline.is_armed_for(until) {
                        return Poll::Pending;
                    }
                    let now = net::now();
                    if deadline.poll(until, now, cx).is_pending() {
                        return Poll::Pending;
                    }
                    self.handle_keepalive_timeout(now);
                }
                Phase::Open | Phase::Draining => {
                    let now = net::now();
                    if self.poll_close_to_eof(now, cx).is_ready() {
                        self.finish();
                    } else if deadline.poll(self.stream.poll_timeout(), now, cx).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// Tells the budget how much memory the connection holds for its peer. Ends the connection if the budget is
    /// exceeded and the connection is among the largest.
    #[inline]
    fn report_memory(&mut self, cx: &Context<'_>) {
        let mut woken = Vec::new();
        let held = self.held_memory();
        if !self.memory.report(&self.memory_budget, held, cx, |waker| woken.push(waker)) {
            self.end_over_budget();
        }
        if !woken.is_empty() {
            // They are woken after the lock is released.
            self.waiters_mut().wake_later(woken);
        }
    }

    /// The memory of messages that the program sends to many connections does not count: the program owns it.
    #[inline]
    fn held_memory(&self) -> HeldMemory {
        self.stream.memory().own.into()
    }

    #[cold]
    fn end_over_budget(&mut self) {
        let frame = CloseFrame::new(CloseCode::TRY_AGAIN_LATER, MEMORY_BUDGET_EXCEEDED);
        if !self.stream.abort(Some(frame), net::now()) {
            // The peer does not read, so it gets no Close frame.
            self.write_error = Some(io::ErrorKind::OutOfMemory);
            self.stream.queue_mut().clear();
        }
        if self.close_cause.is_none() {
            self.set_close_cause(CloseCause::MemoryBudget);
        }
        self.wake_receiver = true;
    }

    pub(super) fn keepalive_deadline(&self) -> Option<Time> {
        let silent =
            if self.keepalive_timer == KeepaliveTimer::On { self.keepalive.deadline() } else { None };
        match (silent, self.keepalive.stall_deadline()) {
            (Some(silent), Some(stalled)) => Some(silent.min(stalled)),
            (silent, stalled) => silent.or(stalled),
        }
    }

    /// Called when a deadline of the [`Keepalive`](super::keepalive::Keepalive) has passed.
    pub(super) fn handle_keepalive_timeout(&mut self, now: Time) {
        if self.keepalive.check_stall(now) {
            self.set_close_cause(CloseCause::IdleTimeout);
        } else if self.keepalive_deadline().is_some_and(|until| until <= now) {
            // Only a call in `recv` may check the deadline, because it reads first.
            self.keepalive_timer = KeepaliveTimer::Expired;
        }
        self.wake_receiver = true;
    }

    /// Drives a close to the end of the stream.
    pub(super) fn poll_close_to_eof(&mut self, now: Time, cx: &mut Context<'_>) -> Poll<()> {
        let mut discarded = 0;
        for _ in 0..MAX_CLOSING_READS_PER_POLL {
            if self.close_cause.is_some() || discarded >= MAX_INFLATED_PER_POLL {
                break;
            }
            if let Some(error) = self.write_error {
                self.handle_stream_ended(StreamEnd::Io(error.into()));
            } else if self.stream.handle_close_timeout(now) {
                self.set_close_cause(CloseCause::CloseTimeout);
                self.wake_receiver = true;
            } else if let Err(ended) = ready!(self.stream.poll_read_discarding(&mut discarded, now, cx)) {
                self.handle_stream_ended(ended);
            }
        }
        if self.close_cause.is_none() {
            net::defer_wake(cx);
            return Poll::Pending;
        }
        if self.write_error.is_some()
            || matches!(
                self.close_cause(),
                Some(CloseCause::Io(_) | CloseCause::CloseTimeout | CloseCause::IdleTimeout)
            )
        {
            return Poll::Ready(());
        }
        self.stream.poll_close(now, cx)
    }

    /// Called when nothing more will be received.
    pub(super) fn handle_stream_ended(&mut self, end: StreamEnd) {
        if matches!(end, StreamEnd::Eof) {
            // A peer that ends its half of the stream may still read. It gets what is queued, and a Close, within the
            // close timeout.
            self.stream.close(None, net::now());
        }
        self.set_close_cause(end.into());
        self.wake_receiver = true;
    }

    pub(super) fn set_close_cause(&mut self, cause: CloseCause) {
        self.open.close(closed_series(&cause));
        if self.close_cause.is_none() {
            tracing::debug!(%cause, "WebSocket closed");
        }
        self.close_cause = Some(Box::new(cause));
    }

    pub(super) fn finish(&mut self) {
        self.phase = Phase::Finished;
        self.stream.queue_mut().clear();
    }

    /// Releases the stream and the compressor after the end, because the program may keep its handle and this state for
    /// a long time. The caller drops the stream after releasing the lock.
    pub(super) fn release_stream(&mut self) -> Option<Stream> {
        if self.phase != Phase::Finished {
            return None;
        }
        self.deflater = None;
        self.memory = MemoryUsage::default();
        Some(self.stream.take_stream())
    }

    /// Writes what is queued. Does nothing if the driver's waker was taken: the driver was then woken and will write.
    pub(super) fn flush(&mut self) {
        if self.driver.is_some() {
            self.write();
        }
    }

    /// Writes what is queued until the stream accepts no more. Registers the waker of the driver, even if another task
    /// calls this.
    pub(super) fn write(&mut self) {
        let driver = self.driver.as_ref().unwrap_or(Waker::noop());
        if self.write_error.is_some() || self.phase == Phase::Finished {
            return;
        }
        let before = self.stream.buffered();
        match self.stream.poll_flush(&mut Context::from_waker(driver)) {
            Poll::Ready(Ok(())) => {
                self.write_blocked = false;
                self.keepalive.write_finished();
            }
            Poll::Pending => {
                self.write_blocked = true;
                let progressed = self.stream.buffered() < before;
                self.keepalive.write_stalled(progressed, net::now());
            }
            Poll::Ready(Err(error)) => {
                self.write_error = Some(error.kind());
                self.stream.queue_mut().clear();
                self.wake_receiver = true;
                return;
            }
        }
        let written = before.saturating_sub(self.stream.buffered());
        self.written += written as u64;
        // Without progress, a woken call would only wait again, and a handler in this task would loop forever.
        if written > 0
            && let Some(waiters) = &mut self.waiters
        {
            waiters.wake_sink_ready();
            waiters.wake_sink_flush();
            self.notify_capacity();
        }
    }
}

fn closed_series(cause: &CloseCause) -> Series {
    match cause {
        CloseCause::ClosingHandshake(_) => Series::WebSocketClosedHandshake,
        CloseCause::Eof => Series::WebSocketClosedEof,
        CloseCause::Protocol(_) => Series::WebSocketClosedProtocol,
        CloseCause::CloseTimeout => Series::WebSocketClosedCloseTimeout,
        CloseCause::IdleTimeout => Series::WebSocketClosedIdleTimeout,
        CloseCause::MemoryBudget => Series::WebSocketClosedMemoryBudget,
        CloseCause::Io(_) => Series::WebSocketClosedIo,
    }
}
