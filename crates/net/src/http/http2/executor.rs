//! The tasks that hyper starts for a connection: one for each request, and one that writes for each WebSocket.
//!
//! hyper waits for ever for a peer that gives a stream no room (its flow-control window), and gives nobody else a hold
//! on the stream: the tasks are that hold. A task that is dropped resets its stream.
//!
//! hyper gives an executor futures of types that nobody else can name, so nothing in a future says for which request it is.
//! Instead each task of a request runs with its [`ResponseProgress`] as a task-local value. The service and the body of the
//! response are polled in that task and find it there, and a task that is started from within it is the one that writes
//! for its WebSocket. So it does not matter when, in which order or on which thread hyper starts its tasks.

use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use tokio::sync::watch;
use tokio::time::{Sleep, sleep};

tokio::task_local! {
    /// The progress of the request whose task is being polled.
    static CURRENT_RESPONSE: Arc<ResponseProgress>;
}

/// How far the response to a request is. Only the request's own task touches it.
#[derive(Debug, Default)]
pub(super) struct ResponseProgress {
    has_response: AtomicBool,
    /// The number of the chunk that waits for the peer; 0 while the program is the one that is waited for.
    pending_chunk: AtomicU32,
    chunks_offered: AtomicU32,
    /// Of a CONNECT that was accepted, until the task that writes for the WebSocket starts. The receiver is told when our
    /// end of the WebSocket's stream has been dropped.
    released: Mutex<Option<watch::Receiver<bool>>>,
}

impl ResponseProgress {
    /// That of the request whose task is being polled.
    ///
    /// # Panics
    /// Outside of such a task. hyper polls the service and the body of a request nowhere else; if a version of it did, every
    /// request of HTTP/2 would fail, in the tests first.
    pub(super) fn current() -> Arc<Self> {
        CURRENT_RESPONSE.with(Arc::clone)
    }

    pub(super) fn set_response_ready(&self) {
        self.has_response.store(true, Ordering::Relaxed);
    }

    /// The request has become a WebSocket.
    pub(super) fn set_websocket_accepted(&self, released: watch::Receiver<bool>) {
        *self.released.lock().unwrap_or_else(PoisonError::into_inner) = Some(released);
    }

    fn take_released(&self) -> Option<watch::Receiver<bool>> {
        self.released.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn set_chunk_offered(&self) {
        let chunk = self.chunks_offered.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        self.pending_chunk.store(chunk.max(1), Ordering::Relaxed);
    }

    pub(super) fn set_waiting_for_body(&self) {
        self.pending_chunk.store(0, Ordering::Relaxed);
    }
}

/// Streams of a connection.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StreamCounts {
    /// Requests whose answer is not complete.
    pub(super) requests: usize,
    pub(super) websockets: usize,
    /// Requests that were taken back before they were answered, less those that were answered.
    pub(super) resets: u32,
}

/// Starts the tasks of one connection.
#[derive(Debug, Clone)]
pub(super) struct StreamExecutor {
    streams: watch::Sender<StreamCounts>,
    /// How long a stream may wait for a peer that takes nothing of it.
    write_timeout: Duration,
}

impl StreamExecutor {
    pub(super) fn new(write_timeout: Duration) -> Self {
        Self { streams: watch::Sender::default(), write_timeout }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<StreamCounts> {
        self.streams.subscribe()
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for StreamExecutor {
    fn execute(&self, task: F) {
        let (streams, write_timeout) = (self.streams.clone(), self.write_timeout);
        match CURRENT_RESPONSE.try_with(|request| request.take_released()) {
            Err(_) => {
                let counted = StreamGuard::new(streams, |streams| &mut streams.requests);
                let progress = Arc::new(ResponseProgress::default());
                let task = run_request(task, Arc::clone(&progress), counted, write_timeout);
                tokio::spawn(CURRENT_RESPONSE.scope(progress, task));
            }
            Ok(Some(released)) => {
                let counted = StreamGuard::new(streams, |streams| &mut streams.websockets);
                tokio::spawn(run_websocket_writer(task, released, counted, write_timeout));
            }
            // hyper starts nothing else.
            Ok(None) => drop(tokio::spawn(task)),
        }
    }
}

async fn run_request(
    task: impl Future<Output = ()>,
    progress: Arc<ResponseProgress>,
    counted: StreamGuard,
    write_timeout: Duration,
) {
    let mut task = pin!(task);
    let mut waiting = WriteTimeout { chunk: 0, sleep: None };
    poll_fn(|cx| {
        if task.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        waiting.poll(progress.pending_chunk.load(Ordering::Relaxed), write_timeout, cx)
    })
    .await;
    let is_answered = progress.has_response.load(Ordering::Relaxed);
    counted.streams.send_modify(|streams| {
        streams.resets = if is_answered { streams.resets.saturating_sub(1) } else { streams.resets + 1 };
    });
}

/// Runs while the peer takes nothing.
struct WriteTimeout {
    chunk: u32,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl WriteTimeout {
    fn poll(&mut self, chunk: u32, write_timeout: Duration, cx: &mut Context<'_>) -> Poll<()> {
        if chunk != self.chunk {
            self.chunk = chunk;
            self.sleep = (chunk != 0).then(|| Box::pin(sleep(write_timeout)));
        }
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().poll(cx).map(|()| tracing::debug!("an answer is given up")),
            None => Poll::Pending,
        }
    }
}

/// Writes what a WebSocket has left, until its end; once our end of it is gone, as long as an answer may wait.
async fn run_websocket_writer(
    task: impl Future<Output = ()>,
    mut released: watch::Receiver<bool>,
    counted: StreamGuard,
    write_timeout: Duration,
) {
    let given_up = async {
        if released.wait_for(|released| *released).await.is_err() {
            // Somebody else has taken the stream, and does not tell.
            pending::<()>().await;
        }
        sleep(write_timeout).await;
    };
    tokio::select! {
        () = task => {}
        () = given_up => tracing::debug!("the end of a WebSocket is given up"),
    }
    drop(counted);
}

/// Counts a stream as long as it lives.
struct StreamGuard {
    streams: watch::Sender<StreamCounts>,
    counter: fn(&mut StreamCounts) -> &mut usize,
}

impl StreamGuard {
    fn new(streams: watch::Sender<StreamCounts>, number: fn(&mut StreamCounts) -> &mut usize) -> Self {
        streams.send_modify(|streams| *number(streams) += 1);
        Self { streams, counter: number }
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.streams.send_modify(|streams| *(self.counter)(streams) -= 1);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    /// A task of a request as hyper makes one: when it is told to, it accepts a WebSocket and starts the task that writes
    /// for it, which runs until the program's end of the stream is gone.
    fn request(
        tasks: &StreamExecutor,
        accept: oneshot::Receiver<()>,
        released: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let tasks = tasks.clone();
        async move {
            if accept.await.is_err() {
                return;
            }
            ResponseProgress::current().set_response_ready();
            ResponseProgress::current().set_websocket_accepted(released);
            tasks.execute(pending());
        }
    }

    async fn until(counts: &mut watch::Receiver<StreamCounts>, exchanges: usize, websockets: usize) {
        let there =
            |streams: &StreamCounts| (streams.requests, streams.websockets) == (exchanges, websockets);
        counts.wait_for(there).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_writes_belongs_to_the_request_that_starts_it_in_whatever_order_tasks_start() {
        let tasks = StreamExecutor::new(Duration::from_secs(30));
        let mut counts = tasks.subscribe();
        let (mut accepts, mut sockets) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let ((accept, accepted), (released, receiver)) = (oneshot::channel(), watch::channel(false));
            tasks.execute(request(&tasks, accepted, receiver));
            accepts.push(accept);
            sockets.push(released);
        }
        until(&mut counts, 3, 0).await;
        // The last one is the first to become a WebSocket, while the others are still requests.
        accepts.pop().unwrap().send(()).unwrap();
        until(&mut counts, 2, 1).await;
        accepts.remove(0).send(()).unwrap();
        until(&mut counts, 1, 2).await;
        // Its own end is what a task waits for: the ends of others change nothing.
        let last = sockets.pop().unwrap();
        last.send_replace(true);
        until(&mut counts, 1, 1).await;
        sockets.remove(0).send_replace(true);
        until(&mut counts, 1, 0).await;
        drop(accepts.pop());
        until(&mut counts, 0, 0).await;
    }
}
