//! Wakes the tasks of many connections without making all others wait behind them.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::runtime::Handle;

use super::defer_wake;
use crate::spawn_boxed::spawn_boxed;

/// The number of tasks that are woken at once. Each of them writes to its socket, which takes some microseconds.
const BATCH: usize = 32;

thread_local! {
    static QUEUE: Arc<WakeQueue> = Arc::default();
}

/// The tasks that this thread wants to wake. A thread has one queue, so that several large broadcasts together are no faster
/// than one.
#[derive(Default)]
struct WakeQueue(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    wakers: VecDeque<Waker>,
    /// Whether a [`Pump`] wakes them.
    has_pump: bool,
}

impl WakeQueue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes all tasks, a few at a time. Between two batches, the tasks that have been woken run, and the runtime polls
/// its sockets.
///
/// A runtime runs its tasks in the order in which they were woken. If all readers in a large room were woken at once, a
/// client whose message arrives meanwhile would wait until the last of them has written.
///
/// Outside of a runtime, all are woken at once.
pub fn wake_in_batches(wakers: Vec<Waker>) {
    let Ok(runtime) = Handle::try_current() else { return wakers.into_iter().for_each(Waker::wake) };
    let queue = QUEUE.with(Arc::clone);
    let mut waiting = queue.lock();
    waiting.wakers.extend(wakers);
    if std::mem::replace(&mut waiting.has_pump, true) {
        return;
    }
    drop(waiting);
    let mut pump = Pump(queue);
    if pump.wake_batch() {
        spawn_boxed(&runtime, pump);
    }
}

/// Wakes the tasks of a queue.
struct Pump(Arc<WakeQueue>);

impl Pump {
    /// Wakes the next tasks. Returns whether others are left.
    fn wake_batch(&mut self) -> bool {
        let mut batch = Vec::with_capacity(BATCH);
        let is_left = {
            let mut waiting = self.0.lock();
            while batch.len() < BATCH
                && let Some(waker) = waiting.wakers.pop_front()
            {
                batch.push(waker);
            }
            !waiting.wakers.is_empty()
        };
        batch.into_iter().for_each(Waker::wake);
        is_left
    }
}

impl Future for Pump {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.wake_batch() {
            return Poll::Ready(());
        }
        defer_wake(cx);
        Poll::Pending
    }
}

impl Drop for Pump {
    /// What has been added since the last batch, and everything if the runtime ends, is woken at once.
    fn drop(&mut self) {
        let left = {
            let mut waiting = self.0.lock();
            waiting.has_pump = false;
            std::mem::take(&mut waiting.wakers)
        };
        left.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Write;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;
    use tokio::task::yield_now;

    use super::*;

    /// Tasks that wait until they are woken.
    #[derive(Default)]
    struct Members {
        wakers: Mutex<Vec<Waker>>,
        woken: AtomicUsize,
    }

    impl Members {
        async fn spawn(count: usize) -> Arc<Self> {
            let members = Arc::new(Self::default());
            for _ in 0..count {
                let (members, mut waits) = (Arc::clone(&members), false);
                tokio::spawn(poll_fn(move |cx| {
                    if std::mem::replace(&mut waits, true) {
                        members.woken.fetch_add(1, Ordering::Relaxed);
                        return Poll::Ready(());
                    }
                    members.wakers.lock().unwrap().push(cx.waker().clone());
                    Poll::Pending
                }));
            }
            while members.wakers.lock().unwrap().len() < count {
                yield_now().await;
            }
            members
        }

        fn wakers(&self) -> Vec<Waker> {
            std::mem::take(&mut *self.wakers.lock().unwrap())
        }

        fn woken(&self) -> usize {
            self.woken.load(Ordering::Relaxed)
        }
    }

    #[tokio::test]
    async fn a_client_does_not_wait_until_several_rooms_have_been_served_and_all_of_them_are() {
        const MEMBERS: usize = 5_000;
        let mut rooms = Vec::new();
        for _ in 0..4 {
            rooms.push(Members::spawn(MEMBERS).await);
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let client = tokio::spawn(async move { stream.read_u8().await.unwrap() });
        yield_now().await;

        peer.write_all(b"x").unwrap();
        rooms.iter().for_each(|room| wake_in_batches(room.wakers()));
        client.await.unwrap();
        let before: usize = rooms.iter().map(|room| room.woken()).sum();
        assert!(before <= 4 * BATCH, "{before} members came first");
        while rooms.iter().any(|room| room.woken() < MEMBERS) {
            yield_now().await;
        }
    }

    #[test]
    fn tasks_of_other_runtimes_are_woken_although_the_runtime_ends() {
        let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (first, second) = (runtime(), runtime());
        let members = second.block_on(Members::spawn(4 * BATCH));
        for _ in 0..2 {
            first.block_on(async { wake_in_batches(members.wakers()) });
        }
        drop(first);
        second.block_on(async {
            while members.woken() < 4 * BATCH {
                yield_now().await;
            }
        });
    }
}
