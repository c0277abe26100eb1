//! What belongs to a connection, and not to one of its sockets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidewire::server::{Handshake, Observation, Observer, Socket};

/// One value for each connection, which its sockets share. A client that leaves a namespace and connects to it again has
/// another socket, but no fresh limits. Cheap to clone. It must observe the server.
pub(super) struct PerConnection<T>(Arc<Mutex<HashMap<usize, Option<Arc<T>>>>>);

impl<T> PerConnection<T> {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    /// Returns the value of the connection of `socket`. The first socket makes it.
    pub(super) fn get(&self, socket: &Socket, make: impl FnOnce() -> T) -> Arc<T> {
        match self.lock().get_mut(&key(socket.handshake())) {
            Some(value) => Arc::clone(value.get_or_insert_with(|| Arc::new(make()))),
            None => Arc::new(make()), // The connection has ended.
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<usize, Option<Arc<T>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for PerConnection<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Send + Sync> Observer for PerConnection<T> {
    fn observe(&self, observation: &Observation<'_>) {
        match observation {
            Observation::ConnectionOpened { connection, .. } => {
                self.lock().insert(key(connection.handshake()), None);
            }
            Observation::ConnectionClosed { connection, .. } => {
                self.lock().remove(&key(connection.handshake()));
            }
            _ => {}
        }
    }
}

/// The handshake stays at one address as long as the connection lives.
fn key(handshake: &Handshake) -> usize {
    std::ptr::from_ref(handshake).addr()
}
