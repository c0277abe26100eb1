//! A timeout for what a peer must do, for code that is not a state machine.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;
use tokio::time::{Instant as TokioInstant, Sleep, sleep};
use ws_proto::PeerDeadline;

use super::clock;

pin_project! {
    /// A future that completes when a peer has had its time. If it [notices late](ws_proto::Time::extension) that the
    /// time is over, because the process was stopped or the machine slept, the peer gets more time, once.
    #[derive(Debug)]
    pub struct PeerTimeout {
        #[pin]
        sleep: Sleep,
        period: Duration,
        deadline: PeerDeadline,
    }
}

impl PeerTimeout {
    /// Creates a timeout that starts now.
    #[must_use]
    pub fn new(period: Duration) -> Self {
        Self { sleep: sleep(period), period, deadline: PeerDeadline::new(clock::now() + period) }
    }

    /// Returns the output of `future`, or `None` if it takes longer than `period`.
    pub async fn limit<T>(period: Duration, future: impl Future<Output = T>) -> Option<T> {
        let (mut future, mut timeout) = (pin!(future), pin!(Self::new(period)));
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => timeout.as_mut().poll(cx).map(|()| None),
        })
        .await
    }

    /// Starts again, with another time.
    pub fn reset(self: Pin<&mut Self>, period: Duration) {
        let this = self.project();
        this.sleep.reset(after(period));
        *this.period = period;
        *this.deadline = PeerDeadline::new(clock::now() + period);
    }
}

fn after(period: Duration) -> TokioInstant {
    let now = TokioInstant::now();
    // A time that is too long to be represented never ends.
    let far = Duration::from_secs(60 * 60 * 24 * 365 * 30);
    now.checked_add(period).unwrap_or_else(|| now + far)
}

impl Future for PeerTimeout {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut this = self.as_mut().project();
            ready!(this.sleep.as_mut().poll(cx));
            let now = clock::now();
            if !this.deadline.restart_if_late(*this.period, now) {
                return Poll::Ready(());
            }
            this.sleep.reset(after(this.deadline.time().saturating_since(now)));
        }
    }
}

impl hyper::rt::Sleep for PeerTimeout {}

/// Makes the timeouts of hyper [`PeerTimeout`]s.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PeerTimer;

impl hyper::rt::Timer for PeerTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(PeerTimeout::new(duration))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep(deadline.saturating_duration_since(self.now()))
    }

    /// Tokio's clock, which a test may pause.
    fn now(&self) -> Instant {
        TokioInstant::now().into_std()
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn hyper::rt::Sleep>>, deadline: Instant) {
        let period = deadline.saturating_duration_since(self.now());
        match sleep.as_mut().downcast_mut_pin::<PeerTimeout>() {
            Some(timeout) => timeout.reset(period),
            None => *sleep = self.sleep(period),
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::rt::Timer;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn it_ends_after_its_time_if_the_process_runs() {
        let start = TokioInstant::now();
        PeerTimeout::new(SECOND * 10).await;
        assert_eq!(start.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn it_starts_again_if_the_process_was_stopped() {
        let mut timeout = pin!(PeerTimeout::new(SECOND * 10));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(timeout.as_mut().poll(&mut cx).is_pending());
        tokio::time::advance(SECOND * 60).await;
        let start = TokioInstant::now();
        timeout.await;
        assert_eq!(start.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn it_goes_on_for_a_short_time_if_the_process_was_stopped_and_goes_on_soon_after_the_end() {
        let mut timeout = pin!(PeerTimeout::new(SECOND * 10));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(timeout.as_mut().poll(&mut cx).is_pending());
        tokio::time::advance(SECOND * 10 + SECOND / 2).await;
        let start = TokioInstant::now();
        timeout.await;
        assert_eq!(start.elapsed().as_millis(), 200);
    }

    #[tokio::test(start_paused = true)]
    async fn a_future_that_takes_longer_than_its_limit_has_no_output() {
        let after = |seconds| sleep(SECOND * seconds);
        assert_eq!(PeerTimeout::limit(SECOND * 10, after(9)).await, Some(()));
        assert_eq!(PeerTimeout::limit(SECOND * 10, after(11)).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn it_starts_again_only_once_unless_it_is_reset() {
        let mut timeout = pin!(PeerTimeout::new(SECOND * 10));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        for _ in 0..2 {
            assert!(timeout.as_mut().poll(&mut cx).is_pending());
            tokio::time::advance(SECOND * 60).await;
            assert!(timeout.as_mut().poll(&mut cx).is_pending());
            timeout.as_mut().reset(SECOND * 10);
        }
        tokio::time::advance(SECOND * 60).await;
        assert!(timeout.as_mut().poll(&mut cx).is_pending());
        tokio::time::advance(SECOND * 60).await;
        assert!(timeout.as_mut().poll(&mut cx).is_ready(), "overdue twice in a row");
    }

    #[tokio::test(start_paused = true)]
    async fn hyper_can_move_it() {
        let start = TokioInstant::now();
        let mut timeout = PeerTimer.sleep(SECOND);
        PeerTimer.reset(&mut timeout, PeerTimer.now() + SECOND * 5);
        timeout.await;
        assert_eq!(start.elapsed().as_secs(), 5);
    }
}
