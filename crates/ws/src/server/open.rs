//! The connections of a server: how many there are, and who is told when it stops.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;
use ws_proto::CloseFrame;

use crate::connection::Connection;
use crate::socket::WebSocket;

/// The connections that are open, or about to be.
#[derive(Debug)]
pub(super) struct Open {
    limit: usize,
    state: Mutex<State>,
    /// The last one is gone.
    empty: Notify,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// `None` until the handshake has been answered. A connection belongs to its task and its handle.
    connections: HashMap<u64, Option<Weak<Connection>>>,
    /// The server stops: what each of them is closed with, and each that comes after.
    closing: Option<CloseFrame>,
}

impl Open {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default(), empty: Notify::new() }
    }

    /// A place for one more, unless there are too many.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Place> {
        let mut state = self.lock();
        if state.connections.len() >= self.limit {
            return None;
        }
        let id = state.next;
        state.next += 1;
        state.connections.insert(id, None);
        Some(Place { open: Arc::clone(self), id })
    }

    /// Closes all that are open, and from now on whatever opens.
    pub(super) fn close(&self, frame: &CloseFrame) {
        let open: Vec<_> = {
            let mut state = self.lock();
            state.closing = Some(frame.clone());
            state.connections.values().flatten().cloned().collect()
        };
        // Not under our lock: a connection has its own, and wakes its task.
        for connection in open.iter().filter_map(Weak::upgrade) {
            connection.with(|state| state.close(Some(frame.clone())));
        }
    }

    /// Ready when no connection is left. For one waiter.
    pub(super) async fn closed(&self) {
        while !self.lock().connections.is_empty() {
            self.empty.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one connection, until its task has ended.
#[derive(Debug)]
pub(super) struct Place {
    open: Arc<Open>,
    id: u64,
}

impl Place {
    /// For whoever learns of the WebSocket.
    pub(super) fn opened(&self) -> Opened {
        Opened { open: Arc::clone(&self.open), id: self.id }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.open.lock();
        state.connections.remove(&self.id);
        if state.connections.is_empty() {
            self.open.empty.notify_one();
        }
    }
}

/// Tells that the connection of a place is open now.
#[derive(Debug)]
pub(super) struct Opened {
    open: Arc<Open>,
    id: u64,
}

impl Opened {
    pub(super) fn tell(self, socket: &WebSocket) {
        let connection = socket.connection();
        let closing = {
            let mut state = self.open.lock();
            if let Some(place) = state.connections.get_mut(&self.id) {
                *place = Some(Arc::downgrade(connection));
            }
            state.closing.clone()
        };
        if let Some(frame) = closing {
            connection.with(|state| state.close(Some(frame)));
        }
    }
}
