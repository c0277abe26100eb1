//! The adapter of a single process.

use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::task::Waker;

use smallvec::SmallVec;
use socketio_proto::{EncodedEvent, SocketId};

use crate::adapter::{Adapter, LocalSocket};
use crate::index::RoomIndex;
use crate::limits::JoinError;
use crate::options::BroadcastOptions;
use crate::room::Room;
use crate::room_change::RoomObserver;

/// An [`Adapter`] whose sockets are all in this process.
///
/// A broadcast holds a read lock: broadcasts run concurrently, and joining or leaving a room waits for them. Under the
/// lock, a broadcast costs one push per receiver. Sockets are woken, disconnected and dropped after the lock is
/// released.
///
/// ```
/// # use std::{sync::Arc, task::Waker};
/// # use engineio_proto::MessageEncoder;
/// # use socketio_proto::EncodedEvent;
/// # use tidewire_adapter::{Adapter, BroadcastOptions, DeliveryPolicy, InMemoryAdapter, LocalSocket, SocketId};
/// # struct Socket(SocketId);
/// # impl LocalSocket for Socket {
/// #     fn id(&self) -> &SocketId { &self.0 }
/// #     fn deliver(&self, _: &EncodedEvent, _: &DeliveryPolicy) -> Option<Waker> { None }
/// #     fn disconnect(&self, _: bool) {}
/// # }
/// # let (ann, bob) = (SocketId::from_random([1; 15]), SocketId::from_random([2; 15]));
/// let adapter = InMemoryAdapter::new();
/// adapter.insert(Arc::new(Socket(ann.clone())));
/// adapter.insert(Arc::new(Socket(bob.clone())));
/// adapter.add_all(&ann, &["news", "sport"])?;
/// adapter.add_all(&bob, &["news"])?;
///
/// let event = EncodedEvent::encode(&mut MessageEncoder::new(), "/", None, "headline", "…")?;
/// assert_eq!(adapter.broadcast(&event, &BroadcastOptions::new().to("news").to("sport")), 2);
/// assert_eq!(adapter.broadcast(&event, &BroadcastOptions::new().to("news").except(ann)), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct InMemoryAdapter {
    index: RwLock<RoomIndex>,
    room_observer: OnceLock<RoomObserver>,
}

impl InMemoryAdapter {
    /// Creates an adapter for a new namespace.
    #[must_use]
    pub fn new() -> Self {
        Self { index: RwLock::new(RoomIndex::new()), room_observer: OnceLock::new() }
    }

    // A panic cannot leave the index inconsistent, so a poisoned lock is safe to use. While the write lock is held, the
    // only foreign code that runs is `LocalSocket::id` and `LocalSocket::limits`, and both are called before the index
    // changes.
    fn read(&self) -> RwLockReadGuard<'_, RoomIndex> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, RoomIndex> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the index, and reports the changes of rooms after the lock is released.
    fn update<R>(&self, change: impl FnOnce(&mut RoomIndex) -> R) -> R {
        let (result, changes) = {
            let mut index = self.write();
            let result = change(&mut index);
            (result, index.take_changes())
        };
        if let Some(observer) = self.room_observer.get() {
            changes.iter().for_each(observer);
        }
        result
    }
}

impl Default for InMemoryAdapter {
    fn default() -> Self {
        Self::new()
    }
}

impl Adapter for InMemoryAdapter {
    fn insert(&self, member: Arc<dyn LocalSocket>) {
        let former = self.update(|index| {
            let former = index.remove(member.id());
            index.insert(member);
            former
        });
        // Dropping the last reference may run code of the program, so the lock must be released first.
        drop(former);
    }

    fn add_all(&self, id: &SocketId, rooms: &[&str]) -> Result<(), JoinError> {
        self.update(|index| {
            let Some(slot) = index.slot(id) else { return Ok(()) };
            rooms.iter().try_for_each(|room| index.join(slot, room))
        })
    }

    fn del(&self, id: &SocketId, room: &str) {
        self.update(|index| {
            if let Some(slot) = index.slot(id) {
                index.leave(slot, room);
            }
        });
    }

    fn del_all(&self, id: &SocketId) {
        let former = self.update(|index| index.remove(id));
        drop(former);
    }

    fn broadcast(&self, event: &EncodedEvent, options: &BroadcastOptions) -> usize {
        let mut wakers = SmallVec::<[Waker; 16]>::new();
        let mut receivers = 0;
        self.read().for_each_selected(options, |_, member| {
            receivers += 1;
            wakers.extend(member.deliver(event, &options.policy));
        });
        wakers.into_iter().for_each(Waker::wake);
        receivers
    }

    fn local_socket(&self, id: &SocketId) -> Option<Arc<dyn LocalSocket>> {
        let index = self.read();
        index.socket(index.slot(id)?).cloned()
    }

    fn local_sockets(&self, options: &BroadcastOptions) -> Vec<Arc<dyn LocalSocket>> {
        let mut members = Vec::new();
        self.read().for_each_selected(options, |_, member| members.push(Arc::clone(member)));
        members
    }

    fn sockets(&self, options: &BroadcastOptions) -> Vec<SocketId> {
        let mut sockets = Vec::new();
        self.read().for_each_selected(options, |_, member| sockets.push(member.id().clone()));
        sockets
    }

    fn socket_rooms(&self, id: &SocketId) -> Vec<Room> {
        let index = self.read();
        index.slot(id).map(|slot| index.rooms_of(slot)).unwrap_or_default()
    }

    fn add_sockets(&self, options: &BroadcastOptions, rooms: &[&str]) {
        let mut refused = Vec::new();
        self.update(|index| {
            for slot in selected(index, options) {
                if let Err(error) = rooms.iter().try_for_each(|room| index.join(slot, room))
                    && let Some(member) = index.socket(slot)
                {
                    refused.push((Arc::clone(member), error));
                }
            }
        });
        for (member, error) in refused {
            member.on_join_error(error);
        }
    }

    fn del_sockets(&self, options: &BroadcastOptions, rooms: &[&str]) {
        self.update(|index| {
            for slot in selected(index, options) {
                rooms.iter().for_each(|room| index.leave(slot, room));
            }
        });
    }

    fn disconnect_sockets(&self, options: &BroadcastOptions, close_connection: bool) {
        // A socket removes itself from the adapter when it is disconnected.
        for member in self.local_sockets(options) {
            member.disconnect(close_connection);
        }
    }

    fn observe_rooms(&self, observer: RoomObserver) {
        if self.room_observer.set(observer).is_ok() {
            self.write().record_changes();
        }
    }

    fn server_count(&self) -> usize {
        1
    }
}

impl fmt::Debug for InMemoryAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InMemoryAdapter").finish_non_exhaustive()
    }
}

/// Returns the slots of the selected sockets. They are collected first, because joining and leaving change the
/// selection.
fn selected(index: &RoomIndex, options: &BroadcastOptions) -> Vec<u32> {
    let mut slots = Vec::new();
    index.for_each_selected(options, |slot, _| slots.push(slot));
    slots
}
