//! The connections of a server: how many there are, and who is told when it stops.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use ws_proto::CloseFrame;

use crate::connection::Connection;
use crate::socket::WebSocket;

/// The connections that are open, or about to be.
#[derive(Debug)]
pub(super) struct Connections {
    limit: usize,
    state: Mutex<State>,
    tasks: TaskTracker,
}

#[derive(Debug, Default)]
struct State {
    next_id: u64,
    /// `None` until the handshake has been answered. A connection belongs to its task and its handle.
    connections: HashMap<u64, Option<Weak<Connection>>>,
    /// The server stops: what each of them is closed with, and each that comes after.
    close_frame: Option<CloseFrame>,
}

impl Connections {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default(), tasks: TaskTracker::new() }
    }

    /// Admits one more, unless there are too many.
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

    /// Closes all that are open, and from now on whatever opens.
    pub(super) fn close(&self, frame: &CloseFrame) {
        let open: Vec<_> = {
            let mut state = self.lock();
            state.close_frame = Some(frame.clone());
            state.connections.values().flatten().cloned().collect()
        };
        // Not under our lock: a connection has its own, and wakes its task.
        for connection in open.iter().filter_map(Weak::upgrade) {
            connection.with(|state| state.close(Some(frame.clone())));
        }
    }

    /// Ready when no connection is left.
    pub(super) async fn closed(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection, from its handshake until its task has ended.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    connections: Arc<Connections>,
    id: u64,
    /// Dropped after `drop` has removed the connection.
    _token: TaskTrackerToken,
}

impl ConnectionPermit {
    /// For the handler, which is the first to have the WebSocket.
    pub(super) fn registration(&self) -> Registration {
        Registration { connections: Arc::clone(&self.connections), id: self.id }
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.connections.lock().connections.remove(&self.id);
    }
}

/// Registers the WebSocket of a connection, once there is one.
#[derive(Debug)]
pub(super) struct Registration {
    connections: Arc<Connections>,
    id: u64,
}

impl Registration {
    /// Whether the server has begun to close is looked at under the same lock: `close` either finds the WebSocket, or is
    /// seen here.
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
    use net::{Stream, Upgraded};
    use ws_proto::CloseCode;

    use super::*;
    use crate::error::TrySendError;
    use crate::limits::Limits;

    #[tokio::test]
    async fn a_connection_that_begins_while_the_server_closes_is_closed_and_waited_for() {
        let connections = Arc::new(Connections::new(2));
        let before = connections.try_acquire().expect("room for two");
        connections.close(&CloseFrame::new(CloseCode::GOING_AWAY, ""));
        let mut closed = pin!(connections.closed());
        let mut is_closed = || closed.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        assert!(!is_closed());

        let after = connections.try_acquire().expect("room for two");
        assert!(connections.try_acquire().is_none());
        drop(before);
        assert!(!is_closed());
        let upgraded = Upgraded { stream: Stream::boxed(tokio::io::duplex(1024).0), leftover: Bytes::new() };
        let connection = Arc::new(Connection::server(upgraded, &Limits::default(), None));
        let mut socket = WebSocket::new(connection, None);
        after.registration().register(&socket);
        assert!(matches!(socket.try_send("too late"), Err(TrySendError::Closed(_))));
        drop(after);
        assert!(is_closed());
    }
}
