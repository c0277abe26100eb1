//! The tasks that hyper starts for a connection: one for each request, and one writer for each WebSocket.
//!
//! If a peer grants a stream no flow-control window, hyper waits without a timeout, and no other code has access to the
//! stream. But hyper resets a stream when its task is dropped, so this executor drops tasks that time out.
//!
//! The types of the futures that an executor gets cannot be named, so the executor cannot find out which request a
//! future belongs to. Therefore each request task runs with its [`ResponseProgress`] as a task-local value. hyper polls
//! the service and the response body in that task, and they find the value there. A task started from within a request
//! task is the writer of its WebSocket. So it does not matter when, in which order or on which thread hyper starts its
//! tasks.

use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use tokio::sync::watch;

use crate::http::unread_response::UnreadResponse;
use crate::io::PeerTimeout;

tokio::task_local! {
    /// The progress of the request whose task is being polled.
    static CURRENT_RESPONSE: Arc<ResponseProgress>;
}

/// The progress of the response to a request. Only the request's own task changes it.
#[derive(Debug, Default)]
pub(super) struct ResponseProgress {
    has_response: AtomicBool,
    /// The number of the chunk that waits for the peer, or 0 while hyper waits for the program.
    pending_chunk: AtomicU32,
    chunks_offered: AtomicU32,
    /// `Some` from the moment that a CONNECT is accepted until the WebSocket's writer task starts. The value becomes
    /// `true` when our end of the WebSocket's stream is dropped.
    stream_dropped: Mutex<Option<watch::Receiver<bool>>>,
    /// The response, if it is long enough to count while the peer does not read it.
    unread: OnceLock<UnreadResponse>,
}

impl ResponseProgress {
    /// Returns the progress of the request whose task is being polled.
    ///
    /// # Panics
    /// Panics outside of a request task. hyper polls the service and the body of a request only in such a task. If a
    /// version of hyper polled them in another task, every HTTP/2 request would fail, and the tests would show it.
    pub(super) fn current() -> Arc<Self> {
        CURRENT_RESPONSE.with(Arc::clone)
    }

    pub(super) fn set_response_ready(&self) {
        self.has_response.store(true, Ordering::Relaxed);
    }

    /// Records that the response counts while the peer does not read it.
    pub(super) fn set_response(&self, response: UnreadResponse) {
        let _ = self.unread.set(response);
    }

    fn report_unread(&self, cx: &Context<'_>) -> bool {
        self.unread.get().is_none_or(|response| response.report(cx))
    }

    /// Records that the request has become a WebSocket.
    pub(super) fn set_websocket_accepted(&self, stream_dropped: watch::Receiver<bool>) {
        *self.stream_dropped.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream_dropped);
    }

    fn take_stream_dropped(&self) -> Option<watch::Receiver<bool>> {
        self.stream_dropped.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn set_chunk_offered(&self) {
        let chunk = self.chunks_offered.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        self.pending_chunk.store(chunk.max(1), Ordering::Relaxed);
    }

    pub(super) fn set_waiting_for_body(&self) {
        self.pending_chunk.store(0, Ordering::Relaxed);
    }
}

/// The number of streams of a connection.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StreamCounts {
    /// Requests whose response is not complete.
    pub(super) requests: usize,
    pub(super) websockets: usize,
    /// Requests cancelled before their response, minus requests that got a response.
    pub(super) resets: u32,
}

/// Spawns the tasks of one connection.
#[derive(Debug, Clone)]
pub(super) struct StreamExecutor {
    streams: watch::Sender<StreamCounts>,
    /// How long a stream waits for a peer that does not read it.
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
        match CURRENT_RESPONSE.try_with(|request| request.take_stream_dropped()) {
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
            // hyper starts no other tasks.
            Ok(None) => drop(tokio::spawn(task)),
        }
    }
}

async fn run_request(
    task: impl Future<Output = ()>,
    progress: Arc<ResponseProgress>,
    guard: StreamGuard,
    write_timeout: Duration,
) {
    let mut task = pin!(task);
    let mut waiting = WriteTimeout { chunk: 0, timeout: None };
    poll_fn(|cx| {
        if task.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if !progress.report_unread(cx) {
            tracing::debug!("resetting an HTTP/2 stream: its response holds too much of the memory budget");
            return Poll::Ready(());
        }
        waiting.poll(progress.pending_chunk.load(Ordering::Relaxed), write_timeout, cx)
    })
    .await;
    let has_response = progress.has_response.load(Ordering::Relaxed);
    guard.streams.send_modify(|streams| {
        streams.resets = if has_response { streams.resets.saturating_sub(1) } else { streams.resets + 1 };
    });
}

/// A timeout that runs while the peer reads nothing.
struct WriteTimeout {
    chunk: u32,
    timeout: Option<Pin<Box<PeerTimeout>>>,
}

impl WriteTimeout {
    fn poll(&mut self, chunk: u32, write_timeout: Duration, cx: &mut Context<'_>) -> Poll<()> {
        if chunk != self.chunk {
            self.chunk = chunk;
            self.timeout = (chunk != 0).then(|| Box::pin(PeerTimeout::new(write_timeout)));
        }
        match &mut self.timeout {
            Some(timeout) => timeout
                .as_mut()
                .poll(cx)
                .map(|()| tracing::debug!("resetting an HTTP/2 stream: the peer does not read the response")),
            None => Poll::Pending,
        }
    }
}

/// Writes the data of a WebSocket until it ends. After our end is dropped, the rest must be written within
/// `write_timeout`.
async fn run_websocket_writer(
    task: impl Future<Output = ()>,
    mut stream_dropped: watch::Receiver<bool>,
    guard: StreamGuard,
    write_timeout: Duration,
) {
    let timed_out = async {
        if stream_dropped.wait_for(|released| *released).await.is_err() {
            // The stream was taken without its drop signal, so its drop cannot be observed.
            pending::<()>().await;
        }
        PeerTimeout::new(write_timeout).await;
    };
    tokio::select! {
        () = task => {}
        () = timed_out => tracing::debug!("resetting an HTTP/2 stream: the peer does not read the end of a WebSocket"),
    }
    drop(guard);
}

/// Counts a stream until it is dropped.
struct StreamGuard {
    streams: watch::Sender<StreamCounts>,
    counter: fn(&mut StreamCounts) -> &mut usize,
}

impl StreamGuard {
    fn new(streams: watch::Sender<StreamCounts>, counter: fn(&mut StreamCounts) -> &mut usize) -> Self {
        streams.send_modify(|streams| *counter(streams) += 1);
        Self { streams, counter }
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

    /// A request task as hyper makes one. When `accept` fires, it accepts a WebSocket and starts the writer task, which
    /// runs until the program's end of the stream is dropped.
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

    async fn until(counts: &mut watch::Receiver<StreamCounts>, requests: usize, websockets: usize) {
        let there = |streams: &StreamCounts| (streams.requests, streams.websockets) == (requests, websockets);
        counts.wait_for(there).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_writer_belongs_to_the_request_that_starts_it_whatever_the_order() {
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
        // The last request is the first to become a WebSocket, while the others are still requests.
        accepts.pop().unwrap().send(()).unwrap();
        until(&mut counts, 2, 1).await;
        accepts.remove(0).send(()).unwrap();
        until(&mut counts, 1, 2).await;
        // A writer waits only for the end of its own stream. The ends of the others change nothing.
        let last = sockets.pop().unwrap();
        last.send_replace(true);
        until(&mut counts, 1, 1).await;
        sockets.remove(0).send_replace(true);
        until(&mut counts, 1, 0).await;
        drop(accepts.pop());
        until(&mut counts, 0, 0).await;
    }
}
