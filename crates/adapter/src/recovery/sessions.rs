//! The sessions of a namespace: those of its sockets, and those that are kept for clients without a connection.

use std::collections::HashMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use socketio_proto::{Arguments, SocketId};
use ws_proto::Time;
use ws_proto::collections::{AscendingMap, DeadlineSet};

use super::RecoveryOptions;
use super::budget::Charge;
use super::last_sent::EventPosition;
use super::memberships::Memberships;
use super::offset::Position;

/// How much is dropped with each session that is kept, if there are too many: one for each session, and one more for so many
/// of its rooms. No event of the namespace can be sent meanwhile.
const DROPPED_PER_SESSION: usize = 64;
const ROOMS_PER_WORK: usize = 16;

/// All sessions of a namespace. A session has the id of its socket.
#[derive(Debug)]
pub(super) struct Sessions {
    /// Ids are random bytes from the servers, so the hash needs no key.
    by_id: FxHashMap<SocketId, Entry>,
    /// Clients ask for private ids, so the hash is keyed.
    by_pid: HashMap<Arc<str>, SocketId>,
    /// The kept sessions by their numbers.
    kept: AscendingMap<SocketId>,
    /// When the kept sessions expire.
    expiry: DeadlineSet,
    kept_bytes: usize,
    next_number: u64,
    /// The kept sessions with a number up to this one are void. They are dropped next.
    void_until: u64,
    /// The number of kept sessions.
    count_charge: Charge,
    bytes_charge: Charge,
    /// For each session.
    max_bytes_each: usize,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) pid: Arc<str>,
    /// The position of the last event before the session began.
    pub(super) started: Position,
    /// The last event that the client may have received. Valid while the session is kept; for a connected socket, see
    /// `LastSent`.
    pub(super) sent: EventPosition,
    pub(super) rooms: Memberships,
    /// Changes with each socket that the session gets.
    pub(super) generation: u64,
    /// Whether the session comes from another server. An offset of another epoch may then be one of its events.
    pub(super) has_moved: bool,
    /// The position of the last event when this server got to know the session. If the log has a later gap, its socket may
    /// have missed an event. Its client may have received later ones, so its offset does not show it.
    pub(super) known_since: Position,
    pub(super) state: State,
}

#[derive(Debug)]
pub(super) enum State {
    /// The session has a socket.
    Live,
    Kept {
        until: Time,
        number: u64,
        /// The position of the last event before the socket was disconnected.
        suspended: Position,
        data: Option<Arc<Arguments<'static>>>,
        bytes: usize,
    },
}

impl Sessions {
    pub(super) fn new(options: &RecoveryOptions) -> Self {
        let budget = options.budget.as_ref();
        let count = budget.map(|budget| Arc::clone(&budget.sessions));
        let bytes = budget.map(|budget| Arc::clone(&budget.session_bytes));
        Self {
            by_id: FxHashMap::default(),
            by_pid: HashMap::new(),
            kept: AscendingMap::new(),
            expiry: DeadlineSet::new(),
            kept_bytes: 0,
            next_number: 0,
            void_until: 0,
            count_charge: Charge::new(options.max_sessions, count),
            bytes_charge: Charge::new(options.max_session_bytes, bytes),
            max_bytes_each: options.max_bytes_per_session,
        }
    }

    /// Adds the session of a new socket, which replaces another one with this id. Returns its generation.
    pub(super) fn begin(&mut self, id: &SocketId, pid: &str, started: Position) -> u64 {
        self.remove(id);
        let generation = self.next_number();
        let pid: Arc<str> = pid.into();
        self.by_pid.insert(Arc::clone(&pid), id.clone());
        let rooms = Memberships::default();
        self.by_id.insert(
            id.clone(),
            Entry {
                pid,
                started,
                sent: EventPosition { position: started, offset: None },
                rooms,
                generation,
                has_moved: false,
                known_since: started,
                state: State::Live,
            },
        );
        generation
    }

    /// Adds a session that comes from another server. `now` is the position of the last event. The caller keeps the session
    /// next.
    #[cfg(feature = "cluster")]
    pub(super) fn import(
        &mut self,
        id: &SocketId,
        pid: &str,
        started: Position,
        now: Position,
        rooms: Memberships,
    ) {
        self.begin(id, pid, started);
        if let Some(entry) = self.by_id.get_mut(id) {
            entry.rooms = rooms;
            entry.has_moved = true;
            entry.known_since = now;
        }
    }

    /// Returns a session, unless it is void.
    pub(super) fn get(&self, id: &SocketId) -> Option<&Entry> {
        self.by_id.get(id).filter(|entry| !self.is_void(entry))
    }

    /// Also returns void ones.
    pub(super) fn get_mut(&mut self, id: &SocketId) -> Option<&mut Entry> {
        self.by_id.get_mut(id)
    }

    pub(super) fn find(&self, pid: &str) -> Option<(&SocketId, &Entry)> {
        let id = self.by_pid.get(pid)?;
        Some((id, self.get(id)?))
    }

    /// Keeps the session of a socket that is gone. `sent` is the last event that the socket was sent, and `suspended` is
    /// the position of the last event of all. A session that is too large ends.
    ///
    /// At the limit of all sessions, the oldest ones are dropped. Old sessions that are many and small are not all dropped for
    /// one large session, because this takes long: then the limit is exceeded, and later sessions drop them. If it would be
    /// exceeded by too much, the new session ends.
    pub(super) fn keep(
        &mut self,
        id: &SocketId,
        data: Option<Arc<Arguments<'static>>>,
        sent: EventPosition,
        suspended: Position,
        until: Time,
    ) {
        let number = self.next_number();
        let Some(entry) = self.by_id.get_mut(id) else { return };
        let bytes = entry.memory() + data.as_ref().map_or(0, |data| data.size());
        if bytes > self.max_bytes_each {
            self.remove(id);
            return;
        }
        entry.sent = sent;
        entry.state = State::Kept { until, number, suspended, data, bytes };
        self.kept_bytes += bytes;
        self.kept.insert(number, id.clone());
        self.expiry.insert(until, number);
        self.count_charge.reserve(1);
        self.bytes_charge.reserve(bytes);
        let mut work = DROPPED_PER_SESSION;
        while self.are_too_many() && work > 0 {
            let Some(done) = self.remove_first() else { return };
            work = work.saturating_sub(done);
        }
        if self.kept_bytes > self.bytes_charge.hard_limit()
            || self.kept.len() > self.count_charge.hard_limit()
        {
            self.remove(id);
        }
    }

    /// Gives a kept session a socket again. `last_missed` is the last event that it gets now. Returns its new
    /// generation, or `None` if it is not kept.
    pub(super) fn resume(&mut self, id: &SocketId, last_missed: Option<EventPosition>) -> Option<u64> {
        let generation = self.next_number();
        let entry = self.by_id.get_mut(id)?;
        let State::Kept { until, number, bytes, .. } = entry.state else { return None };
        entry.state = State::Live;
        if let Some(last_missed) = last_missed {
            entry.sent = last_missed;
        }
        entry.generation = generation;
        self.forget_kept(until, number, bytes);
        Some(generation)
    }

    /// Gives a session a new generation, and returns it.
    #[cfg(feature = "cluster")]
    pub(super) fn renew(&mut self, id: &SocketId) -> Option<u64> {
        let generation = self.next_number();
        self.by_id.get_mut(id)?.generation = generation;
        Some(generation)
    }

    pub(super) fn remove(&mut self, id: &SocketId) -> Option<Entry> {
        let entry = self.by_id.remove(id)?;
        self.by_pid.remove(&entry.pid);
        if let State::Kept { until, number, bytes, .. } = entry.state {
            self.forget_kept(until, number, bytes);
        }
        self.shrink();
        Some(entry)
    }

    /// Notes that a session is not kept any more.
    fn forget_kept(&mut self, until: Time, number: u64, bytes: usize) {
        self.kept_bytes -= bytes;
        self.kept.remove(number);
        self.expiry.remove(until, number);
        self.count_charge.settle(self.kept.len());
        self.bytes_charge.settle(self.kept_bytes);
    }

    /// Returns whether old sessions are still to be dropped because of a limit.
    fn are_too_many(&self) -> bool {
        self.kept.len() > self.count_charge.limit() || self.kept_bytes > self.bytes_charge.limit()
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        let (until, number) = self.expiry.first()?;
        let is_due = number <= self.void_until || self.are_too_many();
        Some(if is_due { Time::ZERO } else { until })
    }

    /// Drops the kept sessions whose time is over, or that are too many, until `work` is done.
    pub(super) fn drop_due(&mut self, now: Time, mut work: usize) {
        // What the namespace may keep depends on what others keep meanwhile.
        self.count_charge.reserve(0);
        self.bytes_charge.reserve(0);
        while work > 0 && self.poll_timeout().is_some_and(|due| due <= now) {
            let Some(done) = self.remove_first() else { return };
            work = work.saturating_sub(done);
        }
    }

    /// Notes that no kept session can be recovered, because it may have missed an event. They are dropped later, since there
    /// may be many.
    #[cfg(feature = "cluster")]
    pub(super) fn note_gap(&mut self) {
        self.void_until = self.next_number;
    }

    fn is_void(&self, entry: &Entry) -> bool {
        matches!(entry.state, State::Kept { number, .. } if number <= self.void_until)
    }

    pub(super) fn kept(&self) -> usize {
        self.kept.len()
    }

    pub(super) fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    /// Drops the kept session that expires first. Returns how much work this was, or `None` if there is none.
    fn remove_first(&mut self) -> Option<usize> {
        let (_, number) = self.expiry.first()?;
        let id = self.kept.get(number)?.clone();
        let entry = self.remove(&id)?;
        Some(1 + entry.rooms.len() / ROOMS_PER_WORK)
    }

    fn next_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    fn shrink(&mut self) {
        let len = self.by_id.len();
        if self.by_id.capacity() > 64 && len < self.by_id.capacity() / 4 {
            self.by_id.shrink_to(len * 2);
            self.by_pid.shrink_to(len * 2);
        }
    }
}

impl Entry {
    /// Returns the size of the entry in bytes, with its keys in the maps.
    fn memory(&self) -> usize {
        // Two entries of hash maps that are seven sixteenths to seven eighths full, one of the map by number, one of the
        // deadlines, and the text of the private id.
        const MAPS: usize = 2 * (size_of::<(SocketId, Entry)>() + size_of::<(Arc<str>, SocketId)>())
            + 2 * (size_of::<(u64, Option<SocketId>)>() + size_of::<(Time, u64)>());
        MAPS + self.pid.len() + 16 + self.rooms.memory()
    }
}
