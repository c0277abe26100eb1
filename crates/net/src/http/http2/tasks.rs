//! The tasks that hyper starts for a connection: one for each request, and one that writes for each WebSocket.
//!
//! hyper waits for ever for a peer that gives a stream no room (its flow-control window), and gives nobody else a hold
//! on the stream: the tasks are that hold. A task that is dropped resets its stream.

use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use tokio::sync::watch;
use tokio::time::{Sleep, sleep};

thread_local! {
    /// What the next task is for. hyper starts it in the same call that leaves this here: for a request, the one that
    /// calls the service; for a WebSocket, the one that gets the service's answer.
    static NEXT: Cell<Option<Next>> = const { Cell::new(None) };
}

/// What a task is for.
pub(super) enum Next {
    Exchange(Arc<Progress>),
    /// The receiver is told when our end of the WebSocket's stream has been dropped.
    WebSocket(watch::Receiver<bool>),
}

impl Next {
    pub(super) fn leave(self) {
        NEXT.set(Some(self));
    }
}

/// How far the answer to a request is. Only its own task touches it.
#[derive(Debug, Default)]
pub(super) struct Progress {
    is_answered: AtomicBool,
    /// The number of the chunk that waits for the peer; 0 while the program is the one that is waited for.
    waits_for_peer: AtomicU32,
    chunks: AtomicU32,
}

impl Progress {
    pub(super) fn answered(&self) {
        self.is_answered.store(true, Ordering::Relaxed);
    }

    pub(super) fn offers(&self) {
        let chunk = self.chunks.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        self.waits_for_peer.store(chunk.max(1), Ordering::Relaxed);
    }

    pub(super) fn waits_for_program(&self) {
        self.waits_for_peer.store(0, Ordering::Relaxed);
    }
}

/// Streams of a connection.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Streams {
    /// Requests whose answer is not complete.
    pub(super) exchanges: usize,
    pub(super) websockets: usize,
    /// Requests that were taken back before they were answered, less those that were answered.
    pub(super) cancelled: u32,
}

/// Starts the tasks of one connection.
#[derive(Debug, Clone)]
pub(super) struct Tasks {
    streams: watch::Sender<Streams>,
    /// How long a stream may wait for a peer that takes nothing of it.
    patience: Duration,
}

impl Tasks {
    pub(super) fn new(patience: Duration) -> Self {
        Self { streams: watch::Sender::default(), patience }
    }

    pub(super) fn counts(&self) -> watch::Receiver<Streams> {
        self.streams.subscribe()
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        let (streams, patience) = (self.streams.clone(), self.patience);
        match NEXT.take() {
            Some(Next::Exchange(progress)) => {
                let counted = Counted::new(streams, |streams| &mut streams.exchanges);
                tokio::spawn(exchange(task, progress, counted, patience));
            }
            Some(Next::WebSocket(released)) => {
                let counted = Counted::new(streams, |streams| &mut streams.websockets);
                tokio::spawn(write(task, released, counted, patience));
            }
            None => drop(tokio::spawn(task)),
        }
    }
}

async fn exchange(
    task: impl Future<Output = ()>,
    progress: Arc<Progress>,
    counted: Counted,
    patience: Duration,
) {
    let mut task = pin!(task);
    let mut waiting = Waiting { chunk: 0, sleep: None };
    poll_fn(|cx| {
        if task.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        waiting.poll(progress.waits_for_peer.load(Ordering::Relaxed), patience, cx)
    })
    .await;
    let is_answered = progress.is_answered.load(Ordering::Relaxed);
    counted.streams.send_modify(|streams| {
        streams.cancelled =
            if is_answered { streams.cancelled.saturating_sub(1) } else { streams.cancelled + 1 };
    });
}

/// Runs while the peer takes nothing.
struct Waiting {
    chunk: u32,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Waiting {
    fn poll(&mut self, chunk: u32, patience: Duration, cx: &mut Context<'_>) -> Poll<()> {
        if chunk != self.chunk {
            self.chunk = chunk;
            self.sleep = (chunk != 0).then(|| Box::pin(sleep(patience)));
        }
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().poll(cx).map(|()| tracing::debug!("an answer is given up")),
            None => Poll::Pending,
        }
    }
}

/// Writes what a WebSocket has left, until its end; once our end of it is gone, as long as an answer may wait.
async fn write(
    task: impl Future<Output = ()>,
    mut released: watch::Receiver<bool>,
    counted: Counted,
    patience: Duration,
) {
    let given_up = async {
        if released.wait_for(|released| *released).await.is_err() {
            // Somebody else has taken the stream, and does not tell.
            pending::<()>().await;
        }
        sleep(patience).await;
    };
    tokio::select! {
        () = task => {}
        () = given_up => tracing::debug!("the end of a WebSocket is given up"),
    }
    drop(counted);
}

/// Counts a stream as long as it lives.
struct Counted {
    streams: watch::Sender<Streams>,
    number: fn(&mut Streams) -> &mut usize,
}

impl Counted {
    fn new(streams: watch::Sender<Streams>, number: fn(&mut Streams) -> &mut usize) -> Self {
        streams.send_modify(|streams| *number(streams) += 1);
        Self { streams, number }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.streams.send_modify(|streams| *(self.number)(streams) -= 1);
    }
}
