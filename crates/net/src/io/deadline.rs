//! One timer for a connection, for a deadline that moves.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use tokio::task::coop::unconstrained;
use tokio::time::{Sleep, sleep_until};
use ws_proto::Time;

use super::clock::instant;

/// A timer for the earliest deadline of a connection's state machines.
///
/// Moving the deadline to a later time costs nothing: the timer fires at the old time, finds that the deadline has not
/// passed, and sleeps again. Every pong moves the deadline, so this is the common case. A further poll costs one
/// comparison: the Tokio timer itself is polled only when it is new or has fired. Therefore always poll from the same
/// task: no other task is woken.
#[derive(Default)]
pub struct DeadlineTimer {
    armed: Option<(Time, Pin<Box<Sleep>>)>,
}

impl DeadlineTimer {
    /// Creates a timer that is not armed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns whether a call of [`poll`](Self::poll) would have nothing to do: there is no deadline, or the timer will
    /// wake the task in time. This check does not read the clock.
    #[must_use]
    pub fn is_armed_for(&self, wanted: Option<Time>) -> bool {
        match (wanted, &self.armed) {
            (None, _) => true,
            (Some(wanted), Some((at, sleep))) => *at <= wanted && !sleep.is_elapsed(),
            (Some(_), None) => false,
        }
    }

    /// Returns `Ready` if `wanted` is not later than `now`. Otherwise the task is woken at that time, or earlier if the
    /// timer is still armed for an earlier one. `None` stands for no deadline: the result is `Pending`, and this call
    /// does not arm the timer.
    pub fn poll(&mut self, wanted: Option<Time>, now: Time, cx: &mut Context<'_>) -> Poll<()> {
        let Some(wanted) = wanted else { return Poll::Pending };
        if wanted <= now {
            return Poll::Ready(());
        }
        if let Some((at, _)) = &self.armed
            && now < *at
            && *at <= wanted
        {
            return Poll::Pending;
        }
        let (at, sleep) = self.armed.get_or_insert_with(|| (wanted, Box::pin(sleep_until(instant(wanted)))));
        if wanted < *at {
            sleep.as_mut().reset(instant(wanted));
            *at = wanted;
        }
        // Poll without Tokio's coop budget. If a busy peer has used up the budget, a budgeted poll would not register
        // the timer, and the next polls would return early above without registering it either.
        while pin!(unconstrained(sleep.as_mut())).poll(cx).is_ready() {
            if *at >= wanted {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(instant(wanted));
            *at = wanted;
        }
        Poll::Pending
    }
}

impl fmt::Debug for DeadlineTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadlineTimer").field("armed", &self.armed.as_ref().map(|(at, _)| at)).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;
    use crate::now;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_moved_away_is_not_due_at_the_old_time() {
        let start = now();
        let mut deadline = DeadlineTimer::new();
        let mut wanted = start + SECOND;
        poll_fn(|cx| {
            // The first poll arms the timer for one second. The second poll wants three.
            let polled = deadline.poll(Some(wanted), now(), cx);
            wanted = start + SECOND * 3;
            polled
        })
        .await;
        let slept = now().saturating_since(start);
        assert!((SECOND * 3..SECOND * 3 + Duration::from_millis(2)).contains(&slept), "{slept:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_armed_timer_needs_no_clock_until_it_fires() {
        let start = now();
        let mut deadline = DeadlineTimer::new();
        assert!(deadline.is_armed_for(None));
        assert!(!deadline.is_armed_for(Some(start + SECOND)));
        poll_fn(|cx| {
            if deadline.poll(Some(start + SECOND), now(), cx).is_ready() {
                return Poll::Ready(());
            }
            assert!(deadline.is_armed_for(Some(start + SECOND)));
            assert!(deadline.is_armed_for(Some(start + SECOND * 2)));
            assert!(!deadline.is_armed_for(Some(start + SECOND / 2)));
            Poll::Pending
        })
        .await;
        assert!(!deadline.is_armed_for(Some(start + SECOND)), "it is time");
        assert!(!deadline.is_armed_for(Some(start + SECOND * 2)), "the timer would not wake the task");
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_without_coop_budget_is_woken_in_time() {
        use tokio::task::coop::poll_proceed;

        let start = now();
        let mut deadline = DeadlineTimer::new();
        let mut works = true;
        let woken = poll_fn(|cx| {
            while works {
                match poll_proceed(cx) {
                    Poll::Ready(work) => work.made_progress(),
                    Poll::Pending => works = false,
                }
            }
            deadline.poll(Some(start + SECOND), now(), cx)
        });
        tokio::time::timeout(SECOND * 60, woken).await.unwrap();
        let slept = now().saturating_since(start);
        assert!((SECOND..SECOND + Duration::from_millis(2)).contains(&slept), "{slept:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_moved_closer_is_kept() {
        let start = now();
        let mut deadline = DeadlineTimer::new();
        poll_fn(|cx| {
            assert!(deadline.poll(Some(start + SECOND * 60), now(), cx).is_pending());
            deadline.poll(Some(start + SECOND), now(), cx)
        })
        .await;
        // Tokio's timers have a resolution of a millisecond. The deadline was at one second, not at sixty.
        let slept = now().saturating_since(start);
        assert!((SECOND..SECOND + Duration::from_millis(2)).contains(&slept), "{slept:?}");
    }
}
