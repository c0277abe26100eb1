//! One namespace, as the driver sees it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use adapter::cluster::codec::{DecodeError, DecodeLimits};
use adapter::cluster::{ClusterAdapter, NodeId};
use adapter::{Adapter, BroadcastOptions, Time};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::format::{Codec, FormatKind, Subscription};

/// One namespace, as the driver sees it.
pub(crate) struct NamespaceState {
    pub(crate) codec: Codec,
    started: OnceLock<Started>,
    /// Wakes the task that waits for the deadlines of the adapter.
    pub(crate) deadline_changed: Notify,
    changed_rooms: Mutex<ChangedRooms>,
    /// Whether the server has been subscribed once.
    pub(crate) is_ready: watch::Sender<bool>,
    is_closed: AtomicBool,
}

struct Started {
    adapter: Weak<ClusterAdapter>,
    clock: Clock,
}

/// The clock of the server.
struct Clock {
    start: Instant,
    /// The time at `start`.
    time: Time,
}

/// The rooms whose subscriptions may have to change.
#[derive(Default)]
struct ChangedRooms {
    names: HashSet<Box<str>>,
    /// There were too many to remember them.
    are_many: bool,
}

/// Beyond this number, all rooms of the namespace are compared instead. It is reached if rooms come and go faster than Redis
/// confirms.
const MAX_CHANGED_ROOMS: usize = 10_000;

impl NamespaceState {
    pub(crate) fn new(format: FormatKind, key: &str, namespace: &str, id: &NodeId) -> Self {
        Self {
            codec: format.codec(key, namespace, id),
            started: OnceLock::new(),
            deadline_changed: Notify::new(),
            changed_rooms: Mutex::default(),
            is_ready: watch::Sender::new(false),
            is_closed: AtomicBool::new(false),
        }
    }

    /// Notes that the namespace is closed. Returns whether it was closed before.
    pub(crate) fn close(&self) -> bool {
        self.is_closed.swap(true, Ordering::AcqRel)
    }

    /// Returns whether the namespace is closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Returns `false` if the namespace has been started before.
    pub(crate) fn start(&self, adapter: Weak<ClusterAdapter>, time: Time) -> bool {
        self.started.set(Started { adapter, clock: Clock { start: Instant::now(), time } }).is_ok()
    }

    pub(crate) fn adapter(&self) -> Option<Arc<ClusterAdapter>> {
        self.started.get()?.adapter.upgrade()
    }

    /// Returns the time since the namespace has been started.
    pub(crate) fn age(&self) -> Duration {
        self.started.get().map_or(Duration::ZERO, |started| started.clock.start.elapsed())
    }

    /// Decodes a message, and passes it to the adapter.
    pub(crate) fn handle_push(
        &self,
        channel: &str,
        payload: &[u8],
        limits: &DecodeLimits,
    ) -> Result<(), DecodeError> {
        let Some(Started { adapter, clock }) = self.started.get() else { return Ok(()) };
        let Some(adapter) = adapter.upgrade() else { return Ok(()) };
        // Most servers have no socket in the room of a broadcast.
        if self.codec.room(channel).is_some_and(|room| !has_room(&adapter, room)) {
            return Ok(());
        }
        if let Some(received) = self.codec.decode(channel, payload, limits)? {
            adapter.handle_message(received.sender.as_ref(), received.message, None, clock.now());
        }
        Ok(())
    }

    pub(crate) fn note_changed_room(&self, room: &str) {
        let mut changed = self.changed_rooms();
        if changed.names.len() >= MAX_CHANGED_ROOMS {
            *changed = ChangedRooms { are_many: true, ..ChangedRooms::default() };
        }
        if !changed.are_many {
            changed.names.insert(room.into());
        }
    }

    /// Takes the rooms that may have changed. `None` stands for all rooms.
    pub(crate) fn take_changed_rooms(&self) -> Option<HashSet<Box<str>>> {
        let changed = std::mem::take(&mut *self.changed_rooms());
        (!changed.are_many).then_some(changed.names)
    }

    /// Returns the subscriptions of all rooms that exist now.
    pub(crate) fn room_subscriptions(&self) -> Vec<Subscription> {
        let Some(adapter) = self.adapter() else { return Vec::new() };
        if matches!(self.codec, Codec::Classic(_)) {
            return Vec::new();
        }
        let rooms = adapter_rooms(&adapter);
        rooms.iter().filter_map(|room| self.codec.room_subscription(room)).collect()
    }

    /// Calls the adapter at its deadlines, as long as it exists.
    pub(crate) async fn run_deadlines(self: Arc<Self>) {
        let Some(Started { adapter, clock }) = self.started.get() else { return };
        loop {
            let Some(deadline) = adapter.upgrade().map(|adapter| adapter.poll_timeout()) else { return };
            let due = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(clock.instant(deadline)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => {}
                () = self.deadline_changed.notified() => continue,
            }
            let Some(adapter) = adapter.upgrade() else { return };
            adapter.handle_timeout(clock.now());
        }
    }

    fn changed_rooms(&self) -> MutexGuard<'_, ChangedRooms> {
        self.changed_rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock {
    fn now(&self) -> Time {
        self.time + self.start.elapsed()
    }

    fn instant(&self, time: Time) -> Instant {
        self.start + time.saturating_since(self.time)
    }
}

/// Returns whether a room has a socket of this server.
pub(crate) fn has_room(adapter: &ClusterAdapter, room: &str) -> bool {
    adapter.local().has_room(room)
}

/// Returns the names of all rooms, those of the sockets' own ids included.
fn adapter_rooms(adapter: &ClusterAdapter) -> Vec<String> {
    let rooms = adapter.local().rooms().into_iter().map(|(room, _)| room.as_str().to_owned());
    let own = adapter.local().sockets(&BroadcastOptions::new());
    rooms.chain(own.iter().map(|id| id.as_str().to_owned())).collect()
}
