//! Which session a session id means.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use engineio_proto::SessionId;
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::session::Session;

/// Locks, so that handshakes on different threads seldom meet.
const SHARDS: usize = 16;

/// All sessions of an engine. Ids are random and ours, so their hash needs no defence.
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

    /// Sessions there are.
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

    /// Every session there is now.
    pub(crate) fn all(&self) -> Vec<Session> {
        self.shards
            .iter()
            .flat_map(|shard| {
                shard.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect::<Vec<_>>()
            })
            .collect()
    }
}
