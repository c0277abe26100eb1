//! One timer for a connection, over a deadline that moves.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use tokio::task::coop::unconstrained;
use tokio::time::{Sleep, sleep_until};
use ws_proto::Time;

use super::clock::instant;

/// A timer that is armed for the earliest deadline of a connection's machines.
///
/// A deadline that moves away costs nothing: the timer fires at the old one, finds that it is not due, and sleeps on.
/// Heartbeats move the deadline with every pong, so this is the common case. Asking again costs a comparison; the timer
/// itself is only asked when it is new or its time has come. So it must always be the same task that asks: it is the one
/// that is woken.
#[derive(Default)]
pub struct DeadlineTimer {
    armed: Option<(Time, Pin<Box<Sleep>>)>,
}

impl DeadlineTimer {
    /// A timer that is not armed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there is nothing to do: no deadline, or one before which the timer will wake the task. The clock need not be
    /// read to know that.
    #[must_use]
    pub fn is_armed_for(&self, wanted: Option<Time>) -> bool {
        match (wanted, &self.armed) {
            (None, _) => true,
            (Some(wanted), Some((at, sleep))) => *at <= wanted && !sleep.is_elapsed(),
            (Some(_), None) => false,
        }
    }

    /// Ready when `wanted` has passed at `now`; otherwise the task is woken when it may have. `None` never comes.
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
        // Whatever is left of the turn that Tokio gives a task: a timer that is not asked, because a peer has sent enough to
        // use it up, does not run, and here it would not be asked again.
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
        f.debug_struct("Deadline").field("armed", &self.armed.as_ref().map(|(at, _)| at)).finish()
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
            // The first turn arms the timer for one second; the second turn wants three.
            let polled = deadline.poll(Some(wanted), now(), cx);
            wanted = start + SECOND * 3;
            polled
        })
        .await;
        let slept = now().saturating_since(start);
        assert!((SECOND * 3..SECOND * 3 + Duration::from_millis(2)).contains(&slept), "{slept:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_need_not_be_read_while_the_timer_sleeps_and_not_too_long() {
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
        assert!(!deadline.is_armed_for(Some(start + SECOND * 2)), "nobody would wake the task");
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_has_used_up_its_turn_is_woken_in_time() {
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
        // The runtime's timers have milliseconds; the deadline was at one second, not at sixty.
        let slept = now().saturating_since(start);
        assert!((SECOND..SECOND + Duration::from_millis(2)).contains(&slept), "{slept:?}");
    }
}
