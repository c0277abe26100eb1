//! Worker threads. Each has a single-threaded runtime, on which a listener runs a part of its connections.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;

/// While a worker has tasks of its own to run, every second task that it runs may be one that another thread has woken.
/// Tokio's default is every 31st: a broadcast from another worker could then wait for all clients of a busy worker.
const GLOBAL_QUEUE_INTERVAL: u32 = 2;

/// After the end of the listener, how often a worker checks whether tasks are left.
const IDLE_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// The workers of a listener. When this is dropped, the threads run on until no worker has a task left, so nothing that a
/// handler has started is cut off. Then they end.
#[derive(Debug)]
pub(super) struct Workers {
    workers: Vec<Worker>,
    _running: watch::Sender<()>,
}

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    thread: JoinHandle<()>,
    /// The number of sockets that the worker has been given and has not begun to serve.
    waiting: Arc<AtomicUsize>,
}

impl Workers {
    /// Starts `count` workers. If the system refuses some of them, the log says so and the others work.
    pub(super) fn start(count: usize) -> Self {
        let (running, stopped) = watch::channel(());
        let runtimes: Vec<_> = (0..count).filter_map(|_| logged(WorkerRuntime::new())).collect();
        let handles: Arc<[Handle]> = runtimes.iter().map(|worker| worker.handle.clone()).collect();
        let mut workers = Vec::with_capacity(runtimes.len());
        for (number, runtime) in runtimes.into_iter().enumerate() {
            let handle = runtime.handle.clone();
            let life = run_until_idle(stopped.clone(), Arc::clone(&handles));
            let thread = thread::Builder::new().name(format!("tidewire-{number}"));
            let thread = thread.spawn(move || runtime.block_on(life));
            let worker = |thread| Worker { runtime: handle, thread, waiting: Arc::default() };
            workers.extend(logged(thread).map(worker));
        }
        Self { workers, _running: running }
    }

    /// Returns the runtime that serves this socket. It is that of the least loaded worker, or that of the caller if there
    /// are no workers.
    ///
    /// # Errors
    /// The socket could not be taken from the runtime of the caller.
    pub(super) fn assign(&self, stream: TcpStream) -> io::Result<(AcceptedSocket, Handle)> {
        let Some(worker) = self.least_loaded() else {
            return Ok((AcceptedSocket::Registered(stream), Handle::current()));
        };
        // Tokio has registered the socket where it was accepted. Two more system calls for each connection move it.
        let socket = AcceptedSocket::Moving(stream.into_std()?, Waiting::new(&worker.waiting));
        Ok((socket, worker.runtime.clone()))
    }

    /// Returns the worker with the fewest sockets that wait for it, and of several the one with the fewest tasks. So while
    /// a socket waits for a worker whose thread is blocked, further ones go to workers for which none waits.
    fn least_loaded(&self) -> Option<&Worker> {
        // A thread ends early only if Tokio itself panics on it.
        let running = self.workers.iter().filter(|worker| !worker.thread.is_finished());
        running.min_by_key(|worker| {
            (worker.waiting.load(Ordering::Relaxed), worker.runtime.metrics().num_alive_tasks())
        })
    }
}

/// The runtime of a worker. Its drop waits for nothing: if a thread cannot start, its runtime is dropped on the thread of
/// the caller, which must not block.
struct WorkerRuntime {
    handle: Handle,
    /// `None` only during the drop.
    runtime: Option<Runtime>,
}

impl WorkerRuntime {
    fn new() -> io::Result<Self> {
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_all().global_queue_interval(GLOBAL_QUEUE_INTERVAL).build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    fn block_on(&self, life: impl Future<Output = ()>) {
        if let Some(runtime) = &self.runtime {
            runtime.block_on(life);
        }
    }
}

impl Drop for WorkerRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn logged<T>(started: io::Result<T>) -> Option<T> {
    started.inspect_err(|error| tracing::error!(%error, "cannot start a worker")).ok()
}

/// Runs a worker until its listener has stopped, and then until no worker has a task left. A session may move from one
/// worker to another, so none may end before the others.
async fn run_until_idle(mut stopped: watch::Receiver<()>, workers: Arc<[Handle]>) {
    // An error says that the sender was dropped. Nothing is ever sent.
    let _ = stopped.changed().await;
    let mut was_idle = false;
    loop {
        let is_idle = workers.iter().all(|worker| worker.metrics().num_alive_tasks() == 0);
        // Twice: a session that moves while the workers are counted one by one could be missed once.
        if is_idle && was_idle {
            return;
        }
        was_idle = is_idle;
        tokio::time::sleep(IDLE_CHECK_INTERVAL).await;
    }
}

/// An accepted socket on its way to the runtime that serves it.
#[derive(Debug)]
pub(super) enum AcceptedSocket {
    /// It stays on the runtime on which it was accepted.
    Registered(TcpStream),
    /// It goes to a worker.
    Moving(std::net::TcpStream, Waiting),
}

impl AcceptedSocket {
    /// Registers the socket on the runtime of the calling task.
    ///
    /// # Errors
    /// The system cannot register it, for instance because there is no memory.
    pub(super) fn register(self) -> io::Result<TcpStream> {
        match self {
            Self::Registered(stream) => Ok(stream),
            Self::Moving(stream, _waiting) => TcpStream::from_std(stream),
        }
    }
}

/// Counts a socket that waits for its worker.
#[derive(Debug)]
pub(super) struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
