//! The adapter of a single process.

#[cfg(feature = "cluster")]
mod cluster;
mod recovery;

use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::task::Waker;

use smallvec::SmallVec;
use socketio_proto::{EncodedEvent, SocketId};

use crate::adapter::Adapter;
use crate::host::Host;
use crate::index::RoomIndex;
use crate::limits::JoinError;
use crate::local_socket::LocalSocket;
use crate::options::BroadcastOptions;
use crate::recovery::{Recovery, RecoveryOptions};
use crate::remote_socket::RemoteSocketState;
use crate::request::{AckWaiter, Request};
use crate::room::Room;
use crate::room_change::{RoomChange, RoomObserver};
use recovery::LocalRecovery;

/// An [`Adapter`] whose sockets are all in this process. An adapter of a cluster uses it for the sockets of its own
/// process.
///
/// A broadcast holds a read lock: broadcasts run concurrently, and joining or leaving a room waits for them. Under the
/// lock, a broadcast costs one push per receiver. Sockets are woken, disconnected and dropped after the lock is
/// released.
///
/// ```
/// # use std::{sync::Arc, task::Waker, time::Duration};
/// # use engineio_proto::MessageEncoder;
/// # use socketio_proto::EncodedEvent;
/// # use tidewire_adapter::{
/// #     AckWaiter, BroadcastOptions, DeliveryPolicy, InMemoryAdapter, LocalSocket, RemoteSocketState, Room, SocketId,
/// # };
/// # struct Socket(SocketId);
/// # impl LocalSocket for Socket {
/// #     fn id(&self) -> &SocketId { &self.0 }
/// #     fn deliver(&self, _: &EncodedEvent, _: &DeliveryPolicy) -> Option<Waker> { None }
/// #     fn deliver_with_ack(&self, _: &EncodedEvent, _: u64, _: Duration, _: AckWaiter) {}
/// #     fn disconnect(&self, _: bool) {}
/// #     fn state(&self, _: Vec<Room>) -> RemoteSocketState { unimplemented!() }
/// # }
/// # let (ann, bob) = (SocketId::from_random([1; 15]), SocketId::from_random([2; 15]));
/// let adapter = InMemoryAdapter::new();
/// adapter.insert(Arc::new(Socket(ann.clone())));
/// adapter.insert(Arc::new(Socket(bob.clone())));
/// adapter.add_all(&ann, &["news", "sport"])?;
/// adapter.add_all(&bob, &["news"])?;
///
/// let readers = BroadcastOptions::new().to("news").to("sport");
/// assert_eq!(adapter.sockets(&readers).len(), 2);
/// assert_eq!(adapter.sockets(&readers.clone().except(&ann)), [bob]);
///
/// let event = EncodedEvent::encode(&mut MessageEncoder::new(), "/", None, "headline", "…")?;
/// adapter.broadcast(&event, &readers);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct InMemoryAdapter {
    index: RwLock<RoomIndex>,
    room_observer: OnceLock<RoomObserver>,
    /// The observer of the message bus.
    bus_observer: OnceLock<RoomObserver>,
    /// Set if sessions and events are kept for recovery. Its lock is taken before that of the index.
    recovery: OnceLock<Box<LocalRecovery>>,
}

/// The connections that a broadcast wakes.
#[derive(Default)]
struct Wakers {
    wakers: SmallVec<[Waker; 16]>,
    /// One of the receivers, if there are many.
    receiver: Option<Arc<dyn LocalSocket>>,
}

/// The number of connections beyond which their server decides how fast they are woken.
const MANY: usize = 32;

impl Wakers {
    fn push(&mut self, receiver: &Arc<dyn LocalSocket>, waker: Waker) {
        self.wakers.push(waker);
        if self.wakers.len() == MANY {
            self.receiver = Some(Arc::clone(receiver));
        }
    }

    /// Wakes the connections. The caller holds no lock.
    fn wake(self) {
        match self.receiver {
            None => self.wakers.into_iter().for_each(Waker::wake),
            Some(receiver) => receiver.wake_receivers(self.wakers.into_vec()),
        }
    }
}

impl InMemoryAdapter {
    /// Creates an adapter for a new namespace.
    #[must_use]
    pub fn new() -> Self {
        Self {
            index: RwLock::new(RoomIndex::new()),
            room_observer: OnceLock::new(),
            bus_observer: OnceLock::new(),
            recovery: OnceLock::new(),
        }
    }

    /// Adds a socket. The socket is in the room of its own id and in no other room. If there is already a socket with
    /// this id, that socket is removed first, with all its rooms.
    pub fn insert(&self, socket: Arc<dyn LocalSocket>) {
        let former = self.update(|index| {
            let former = index.remove(socket.id());
            index.insert(socket);
            former
        });
        // Dropping the last reference may run code of the program, so the lock must be released first.
        drop(former);
    }

    /// Puts a socket into rooms. A room is created when its first member joins. Does nothing if there is no socket with
    /// this id.
    ///
    /// # Errors
    /// Returns an error for the first room that the socket's [`limits`](LocalSocket::limits) do not allow. The socket
    /// has then joined the rooms before it in `rooms`, and none after it.
    pub fn add_all(&self, id: &SocketId, rooms: &[&str]) -> Result<(), JoinError> {
        self.update(|index| {
            let Some(slot) = index.slot(id) else { return Ok(()) };
            rooms.iter().try_for_each(|room| index.join(slot, room))
        })
    }

    /// Takes a socket out of a room. The room is removed with its last member. A socket cannot leave the room of its
    /// own id.
    pub fn del(&self, id: &SocketId, room: &str) {
        self.update(|index| {
            if let Some(slot) = index.slot(id) {
                index.leave(slot, room);
            }
        });
    }

    /// Removes a socket and takes it out of all its rooms. Its session ends. A socket that is
    /// [connected](LocalSocket::is_connected) stays: it has the id of the one that leaves.
    pub fn del_all(&self, id: &SocketId) {
        let former = match self.recovery.get() {
            None => self.update(|index| if index.is_connected(id) { None } else { index.remove(id) }),
            Some(recovery) => self.remove_in_order(recovery, id),
        };
        drop(former);
    }

    /// Delivers an event to the sockets that the options select. Each socket receives one copy. Returns their number.
    pub fn broadcast(&self, event: &EncodedEvent, options: &BroadcastOptions) -> usize {
        match self.recovery.get() {
            None => self.deliver(event, options),
            Some(recovery) => self.broadcast_in_order(recovery, event, options, None),
        }
    }

    fn deliver(&self, event: &EncodedEvent, options: &BroadcastOptions) -> usize {
        let mut wakers = Wakers::default();
        let receivers = self.push_to_selected(event, options, &mut wakers, note_nothing);
        wakers.wake();
        receivers
    }

    /// Passes an event to the selected sockets, and their slots to `note`. The caller wakes them after it has released its
    /// locks. It is compiled for each `note`.
    #[inline]
    fn push_to_selected(
        &self,
        event: &EncodedEvent,
        options: &BroadcastOptions,
        wakers: &mut Wakers,
        mut note: impl FnMut(u32),
    ) -> usize {
        let mut receivers = 0;
        self.read().for_each_selected(options, |slot, member| {
            receivers += 1;
            note(slot);
            if let Some(waker) = member.deliver(event, &options.policy) {
                wakers.push(member, waker);
            }
        });
        receivers
    }

    /// Returns what `map` makes of the selected sockets and their slots.
    fn map_selected<R>(
        &self,
        options: &BroadcastOptions,
        map: impl Fn(&RoomIndex, u32, &Arc<dyn LocalSocket>) -> R,
    ) -> Vec<R> {
        let index = self.read();
        let mut results = Vec::new();
        for slot in index.selected(options) {
            if let Some(member) = index.socket(slot) {
                results.push(map(&index, slot, member));
            }
        }
        results
    }

    /// Delivers an event that requests an acknowledgement to the sockets that the options select.
    pub fn broadcast_with_ack(
        &self,
        event: &EncodedEvent,
        ack_id: u64,
        options: &BroadcastOptions,
        request: &Request,
    ) {
        for socket in self.local_sockets(options) {
            let waiter = AckWaiter::new(socket.id().clone(), request.replies.clone());
            socket.deliver_with_ack(event, ack_id, request.timeout, waiter);
        }
    }

    /// Returns the socket with this id.
    #[must_use]
    pub fn local_socket(&self, id: &SocketId) -> Option<Arc<dyn LocalSocket>> {
        let index = self.read();
        index.socket(index.slot(id)?).cloned()
    }

    /// Returns the sockets that the options select, in no particular order.
    #[must_use]
    pub fn local_sockets(&self, options: &BroadcastOptions) -> Vec<Arc<dyn LocalSocket>> {
        self.map_selected(options, |_, _, member| Arc::clone(member))
    }

    /// Returns the ids of the sockets that the options select, in no particular order.
    #[must_use]
    pub fn sockets(&self, options: &BroadcastOptions) -> Vec<SocketId> {
        self.map_selected(options, |_, _, member| member.id().clone())
    }

    /// Returns what other servers may know about the sockets that the options select, in no particular order.
    #[must_use]
    pub fn socket_states(&self, options: &BroadcastOptions) -> Vec<RemoteSocketState> {
        let members =
            self.map_selected(options, |index, slot, member| (Arc::clone(member), index.rooms_of(slot)));
        members.into_iter().map(|(socket, rooms)| socket.state(rooms)).collect()
    }

    /// Returns the rooms of a socket, starting with the room of its own id. The list is empty if there is no socket with
    /// this id.
    #[must_use]
    pub fn socket_rooms(&self, id: &SocketId) -> Vec<Room> {
        let index = self.read();
        index.slot(id).map(|slot| index.rooms_of(slot)).unwrap_or_default()
    }

    /// Returns whether a socket is in a room. The room of its own id is one of its rooms.
    #[must_use]
    pub fn is_in(&self, id: &SocketId, room: &str) -> bool {
        let index = self.read();
        index.slot(id).is_some_and(|slot| index.is_in(slot, room))
    }

    /// Returns all rooms with the number of their members, in no particular order. The rooms of the sockets' own ids are
    /// not in the list, unless another socket has joined them.
    #[must_use]
    pub fn rooms(&self) -> Vec<(Room, usize)> {
        self.read().rooms()
    }

    /// Returns whether the room exists: it has a member, or it is the room of a socket's own id.
    #[must_use]
    pub fn has_room(&self, room: &str) -> bool {
        self.read().has_room(room)
    }

    /// Puts the sockets that the options select into rooms. If the limits of a socket do not allow a room, the socket
    /// is told through [`on_join_error`](LocalSocket::on_join_error). It has then joined the rooms before that room in
    /// `rooms`, and none after it.
    pub fn add_sockets(&self, options: &BroadcastOptions, rooms: &[&str]) {
        let mut refused = Vec::new();
        self.update(|index| {
            for slot in index.selected(options) {
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

    /// Takes the sockets that the options select out of rooms.
    pub fn del_sockets(&self, options: &BroadcastOptions, rooms: &[&str]) {
        self.update(|index| {
            for slot in index.selected(options) {
                rooms.iter().for_each(|room| index.leave(slot, room));
            }
        });
    }

    /// Disconnects the sockets that the options select. See [`LocalSocket::disconnect`].
    pub fn disconnect_sockets(&self, options: &BroadcastOptions, close_connection: bool) {
        // A socket removes itself from the adapter when it is disconnected.
        for member in self.local_sockets(options) {
            member.disconnect(close_connection);
        }
    }

    /// Sets the function that is called with each later change of the rooms. The server calls this at most once, before
    /// the first socket, and only if the program has an observer. A second call has no effect. No lock is held while the
    /// function is called.
    ///
    /// The changes that one thread causes are reported in their order. Those of two threads may be reported in another
    /// order.
    pub fn observe_rooms(&self, observer: RoomObserver) {
        if self.room_observer.set(observer).is_ok() {
            self.write().record_changes();
        }
    }

    // A panic cannot leave the index inconsistent, so a poisoned lock is safe to use. While the write lock is held, the
    // only foreign code that runs is `LocalSocket::id`, `is_connected` and `limits`, and all are called before the index
    // changes.
    fn read(&self) -> RwLockReadGuard<'_, RoomIndex> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, RoomIndex> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the index, and reports the changes of rooms after the lock is released.
    fn update<R>(&self, change: impl FnOnce(&mut RoomIndex) -> R) -> R {
        let mut state = self.recovery.get().map(|recovery| recovery.state());
        let (result, changes) = self.change(change);
        if let Some(state) = &mut state {
            state.handle_changes(&changes);
        }
        drop(state);
        self.report_changes(&changes);
        result
    }

    fn change<R>(&self, change: impl FnOnce(&mut RoomIndex) -> R) -> (R, Vec<RoomChange>) {
        let mut index = self.write();
        let result = change(&mut index);
        (result, index.take_changes())
    }

    fn report_changes(&self, changes: &[RoomChange]) {
        for observer in [&self.bus_observer, &self.room_observer].into_iter().filter_map(OnceLock::get) {
            changes.iter().for_each(observer);
        }
    }
}

impl Default for InMemoryAdapter {
    fn default() -> Self {
        Self::new()
    }
}

impl Adapter for InMemoryAdapter {
    fn local(&self) -> &InMemoryAdapter {
        self
    }

    fn enable_recovery(&self, options: RecoveryOptions, host: Weak<dyn Host>) -> bool {
        if self.recovery.set(Box::new(LocalRecovery::new(options, host))).is_ok() {
            self.write().record_changes();
        }
        true
    }

    fn recovery(&self) -> Option<&dyn Recovery> {
        self.recovery.get().map(|_| self as &dyn Recovery)
    }
}

impl fmt::Debug for InMemoryAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InMemoryAdapter").finish_non_exhaustive()
    }
}

/// For [`push_to_selected`](InMemoryAdapter::push_to_selected).
fn note_nothing(_slot: u32) {}
