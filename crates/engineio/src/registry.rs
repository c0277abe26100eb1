//! Finds sessions by their id.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use engineio_proto::SessionId;
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::session::Session;

/// The number of locks. With several of them, handshakes on different threads rarely wait for each other.
const SHARDS: usize = 16;

/// All sessions of an engine. The server makes the ids from random bytes, so their hash needs no protection against
/// chosen keys.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    shards: [Mutex<FxHashMap<SessionId, Session>>; SHARDS],
    len: AtomicUsize,
}

impl Registry {
    fn shard(&self, id: &SessionId) -> MutexGuard<'_, FxHashMap<SessionId, Session>> {
        let shard = (FxBuildHasher.hash_one(id) >> 32) as usize % SHARDS;
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of sessions.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    pub(crate) fn insert(&self, session: Session) {
        if self.shard(session.id()).insert(*session.id(), session).is_none() {
            self.len.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn find(&self, id: &str) -> Option<Session> {
        self.get(&SessionId::parse(id)?)
    }

    pub(crate) fn get(&self, id: &SessionId) -> Option<Session> {
        self.shard(id).get(id).cloned()
    }

    pub(crate) fn remove(&self, id: &SessionId) {
        if self.shard(id).remove(id).is_some() {
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Returns the number of bytes that are queued for all sessions.
    pub(crate) fn buffered(&self) -> usize {
        let in_shard = |shard: &Mutex<FxHashMap<_, Session>>| -> usize {
            shard.lock().unwrap_or_else(PoisonError::into_inner).values().map(Session::buffered).sum()
        };
        self.shards.iter().map(in_shard).sum()
    }

    /// Returns every session.
    pub(crate) fn all(&self) -> Vec<Session> {
        self.shards
            .iter()
            .flat_map(|shard| {
                shard.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect::<Vec<_>>()
            })
            .collect()
    }
}
