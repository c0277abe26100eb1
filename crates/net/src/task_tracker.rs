//! Counts the tasks of a server, and waits until they have ended.
//!
//! The type of the same name in tokio-util does this too. But it is behind the feature `rt` there, which needs most of
//! `futures-util` and its macros: programs that need neither would compile them for this.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Counts tasks, so that a shutdown can [wait](Self::wait) for them. Each task holds a [`TaskToken`], as long as it must be
/// waited for.
#[derive(Default)]
pub struct TaskTracker {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    running: AtomicUsize,
    /// Notified each time that the last task has ended.
    none_runs: Notify,
}

/// Counts as one task of a [`TaskTracker`], until it is dropped. It has the size of a pointer, because each connection holds
/// one.
pub struct TaskToken(Arc<Shared>);

impl TaskTracker {
    /// Creates a tracker without tasks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts one more task.
    #[must_use]
    pub fn token(&self) -> TaskToken {
        self.shared.running.fetch_add(1, Ordering::Relaxed);
        TaskToken(Arc::clone(&self.shared))
    }

    /// Returns the number of tasks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.running.load(Ordering::Acquire)
    }

    /// Returns whether there are no tasks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until there are no tasks. Tasks that begin during the wait count too. If there are none, this is ready at once.
    /// Cancel safe; several callers may wait at the same time.
    pub async fn wait(&self) {
        // This future is notified from its creation on. Therefore it misses no task that ends after the check.
        let none_runs = self.shared.none_runs.notified();
        if !self.is_empty() {
            none_runs.await;
        }
    }
}

impl Drop for TaskToken {
    fn drop(&mut self) {
        // A task that waits sees what the others have done before they ended.
        if self.0.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none_runs.notify_waiters();
        }
    }
}

impl fmt::Debug for TaskTracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskTracker").field("running", &self.len()).finish()
    }
}

impl fmt::Debug for TaskToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskToken").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::sync::atomic::AtomicBool;
    use std::task::{Context, Waker};

    use super::*;

    fn is_ready(wait: Pin<&mut impl Future<Output = ()>>) -> bool {
        wait.poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn a_wait_is_ready_at_once_if_nothing_runs() {
        let tracker = TaskTracker::new();
        assert!(is_ready(pin!(tracker.wait())));
        drop(tracker.token());
        assert!(is_ready(pin!(tracker.wait())));
        assert!(is_ready(pin!(tracker.wait())), "as often as it is called");
    }

    #[test]
    fn a_wait_ends_with_the_last_task() {
        let tracker = TaskTracker::new();
        let (one, other) = (tracker.token(), tracker.token());
        let (mut first, mut second) = (pin!(tracker.wait()), pin!(tracker.wait()));
        assert!(!is_ready(first.as_mut()) && !is_ready(second.as_mut()));
        drop(one);
        assert_eq!(tracker.len(), 1);
        assert!(!is_ready(first.as_mut()) && !is_ready(second.as_mut()));
        drop(other);
        assert!(is_ready(first) && is_ready(second));
    }

    #[test]
    fn a_task_that_begins_during_a_wait_is_waited_for() {
        let tracker = TaskTracker::new();
        let before = tracker.token();
        let mut wait = pin!(tracker.wait());
        assert!(!is_ready(wait.as_mut()));
        let after = tracker.token();
        drop(before);
        assert!(!is_ready(wait.as_mut()));
        drop(after);
        assert!(is_ready(wait));
    }

    #[test]
    fn a_wait_that_is_cancelled_takes_nothing_from_another_one() {
        let tracker = TaskTracker::new();
        let task = tracker.token();
        let mut wait = pin!(tracker.wait());
        assert!(!is_ready(wait.as_mut()));
        {
            let mut cancelled = pin!(tracker.wait());
            assert!(!is_ready(cancelled.as_mut()));
            drop(task);
        }
        assert!(is_ready(wait));
    }

    #[test]
    fn a_token_outlives_its_tracker_and_has_the_size_of_a_pointer() {
        let token = TaskTracker::new().token();
        assert_eq!(size_of_val(&token), size_of::<usize>());
        drop(token);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_wait_misses_the_end_of_the_last_task_and_each_sees_what_the_tasks_did() {
        for round in 0..2_000 {
            let tracker = Arc::new(TaskTracker::new());
            let done: Arc<[AtomicBool; 3]> = Arc::default();
            for index in 0..3 {
                let (token, done) = (tracker.token(), Arc::clone(&done));
                tokio::spawn(async move {
                    for _ in 0..(round + index) % 3 {
                        tokio::task::yield_now().await;
                    }
                    done[index].store(true, Ordering::Relaxed);
                    drop(token);
                });
            }
            let waits = [(); 2].map(|()| {
                let (tracker, done) = (Arc::clone(&tracker), Arc::clone(&done));
                tokio::spawn(async move {
                    tracker.wait().await;
                    assert!(done.iter().all(|done| done.load(Ordering::Relaxed)), "{round}");
                })
            });
            for wait in waits {
                wait.await.unwrap();
            }
        }
    }
}
