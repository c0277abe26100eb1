//! The connections of a server: counts them, and closes them at shutdown.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use net::{ClosePace, TaskToken, TaskTracker};
use ws_proto::CloseFrame;

use crate::connection::Connection;
use crate::socket::WebSocket;

/// The connections that are open or in their handshake.
#[derive(Debug)]
pub(super) struct Connections {
    limit: usize,
    state: Mutex<State>,
    tasks: TaskTracker,
}

#[derive(Debug, Default)]
struct State {
    next_id: u64,
    /// `None` until the handshake is complete. The reference is weak: a connection is owned by its task and its handle.
    connections: HashMap<u64, Option<Weak<Connection>>>,
    /// Set when the server shuts down: the Close frame for each connection that opens later, and for the open ones.
    close_frame: Option<CloseFrame>,
}

impl Connections {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default(), tasks: TaskTracker::new() }
    }

    /// Registers one more connection, unless the limit is reached.
    pub(super) fn try_acquire(self: &Arc<Self>) -> Option<ConnectionPermit> {
        let mut state = self.lock();
        if state.connections.len() >= self.limit {
            return None;
        }
        let id = state.next_id;
        state.next_id += 1;
        state.connections.insert(id, None);
        Some(ConnectionPermit { connections: Arc::clone(self), id, _token: self.tasks.token() })
    }

    /// Begins the shutdown: each connection that opens from now on is closed with this frame.
    pub(super) fn begin_shutdown(&self, frame: CloseFrame) {
        self.lock().close_frame = Some(frame);
    }

    /// Closes the open connections in batches, with the frame that [`begin_shutdown`](Self::begin_shutdown) has set. Ready
    /// when each has been told to close.
    pub(super) async fn close_open_in_batches(&self, pace: ClosePace, timeout: Duration) {
        let (open, frame) = {
            let state = self.lock();
            let open: Vec<_> = state.connections.values().flatten().cloned().collect();
            (open, state.close_frame.clone())
        };
        // The lock is released first, because closing takes the connection's own lock and wakes its task.
        pace.for_each_batch(&open, timeout, |batch| {
            for connection in batch.iter().filter_map(Weak::upgrade) {
                connection.with(|state| state.close(frame.clone()));
            }
        })
        .await;
    }

    /// Waits until no connection is left.
    pub(super) async fn closed(&self) {
        self.tasks.wait().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection, from its handshake to the end of its task.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    connections: Arc<Connections>,
    id: u64,
    /// Dropped after `drop` has removed the connection.
    _token: TaskToken,
}

impl ConnectionPermit {
    /// Returns the registration that the handler's call uses when it receives the WebSocket.
    pub(super) fn registration(&self) -> Registration {
        Registration { connections: Arc::clone(&self.connections), id: self.id }
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.connections.lock().connections.remove(&self.id);
    }
}

/// Registers the WebSocket of a connection after its handshake.
#[derive(Debug)]
pub(super) struct Registration {
    connections: Arc<Connections>,
    id: u64,
}

impl Registration {
    /// Inserts the WebSocket and checks for a shutdown under one lock. Therefore either `close` finds the WebSocket, or
    /// this call finds the shutdown.
    pub(super) fn register(self, socket: &WebSocket) {
        let connection = socket.connection();
        let closing = {
            let mut state = self.connections.lock();
            if let Some(registered) = state.connections.get_mut(&self.id) {
                *registered = Some(Arc::downgrade(connection));
            }
            state.close_frame.clone()
        };
        if let Some(frame) = closing {
            connection.with(|state| state.close(Some(frame)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use bytes::Bytes;
    use net::{MemoryBudget, Stream, Upgraded};
    use ws_proto::CloseCode;

    use super::*;
    use crate::error::TrySendError;
    use crate::limits::Limits;

    #[tokio::test]
    async fn a_connection_that_opens_during_shutdown_is_closed_and_waited_for() {
        let connections = Arc::new(Connections::new(2));
        let before = connections.try_acquire().expect("the limit is two");
        connections.begin_shutdown(CloseFrame::new(CloseCode::GOING_AWAY, ""));
        connections.close_open_in_batches(ClosePace::default(), Duration::from_secs(5)).await;
        let mut closed = pin!(connections.closed());
        let mut is_closed = || closed.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        assert!(!is_closed());

        let after = connections.try_acquire().expect("the limit is two");
        assert!(connections.try_acquire().is_none());
        drop(before);
        assert!(!is_closed());
        let upgraded = Upgraded { stream: Stream::boxed(tokio::io::duplex(1024).0), leftover: Bytes::new() };
        let connection = Arc::new(Connection::server(
            upgraded,
            &Limits::default(),
            None,
            MemoryBudget::new(0),
            net::ConnectionSpan::default(),
        ));
        let mut socket = WebSocket::new(connection, None);
        after.registration().register(&socket);
        assert!(matches!(socket.try_send("too late"), Err(TrySendError::Closed(_))));
        drop(after);
        assert!(is_closed());
    }
}
