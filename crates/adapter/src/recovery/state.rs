//! The order of the log: what happens to the events and the sockets of a namespace, one after another.
//!
//! An adapter keeps the state in a mutex and holds it while it delivers an event, so that every receiver gets the events
//! in the order of their offsets.

mod missed;
#[cfg(feature = "cluster")]
mod moving;

use std::borrow::Cow;
use std::sync::Arc;

use socketio_proto::{EncodedEvent, SocketId};
use ws_proto::Time;

use super::last_sent::{EventPosition, LastSent};
use super::log::{Audience, Log};
use super::sessions::{self, Sessions, State};
use super::{ClaimError, KeptForRecovery, RecoveryOptions, Session};
use crate::local_socket::LocalSocket;
use crate::options::{BroadcastOptions, DeliveryPolicy};
use crate::room_change::RoomChange;

/// The log of a namespace and its sessions.
#[derive(Debug)]
pub(crate) struct RecoveryState {
    options: RecoveryOptions,
    log: Log,
    sessions: Sessions,
    last_sent: LastSent,
    /// Whether somebody calls [`handle_timeout`](Self::handle_timeout) later.
    pub(crate) has_timer: bool,
}

/// The number of events and sessions that one call of [`RecoveryState::handle_timeout`] drops at most. This takes some
/// hundred microseconds, and no event of the namespace can be sent meanwhile.
const MAX_DROPPED: usize = 128;

/// Returns whether events with these options are logged.
pub(crate) fn is_logged(options: &BroadcastOptions) -> bool {
    !options.local && options.policy == DeliveryPolicy::Queue
}

impl RecoveryState {
    pub(crate) fn new(options: RecoveryOptions) -> Self {
        let log = Log::new(&options);
        let (sessions, last_sent) = (Sessions::new(&options), LastSent::default());
        Self { options, log, sessions, last_sent, has_timer: false }
    }

    /// Returns the event with the offset that it gets in the log. The caller delivers it, and then [logs](Self::push) it.
    pub(crate) fn stamp(&self, event: &EncodedEvent) -> EncodedEvent {
        event.with_offset(&self.log.next_offset())
    }

    /// Appends an event, which has its offset, to the log. `assigned` is the offset if a message bus has assigned it.
    pub(crate) fn push(
        &mut self,
        event: &EncodedEvent,
        options: BroadcastOptions,
        assigned: Option<&str>,
        now: Time,
    ) {
        let audience = self.audience(&options);
        self.log.push(event, options, audience, assigned, now);
    }

    /// Returns whether only one socket gets events with these options. Few sockets join the room of another one's id; what they
    /// get there counts for that other one.
    fn audience(&self, options: &BroadcastOptions) -> Audience {
        match &*options.rooms {
            [_] if options.private => Audience::OneSocket,
            [room] if room.socket_id().is_some_and(|id| self.has_session(&id)) => Audience::OneSocket,
            _ => Audience::Several,
        }
    }

    /// Returns the form of an event that is not logged. A client takes text at its end for an offset, so the offset of the
    /// last logged event follows it. If the event may overtake later ones, null follows it, which is no offset.
    pub(crate) fn unlogged<'e>(
        &self,
        event: &'e EncodedEvent,
        policy: &DeliveryPolicy,
    ) -> Cow<'e, EncodedEvent> {
        if !event.ends_with_text() {
            return Cow::Borrowed(event);
        }
        Cow::Owned(match policy {
            DeliveryPolicy::KeepLatest(_) => event.with_null(),
            _ => event.with_offset(&self.log.current_offset()),
        })
    }

    /// Notes that events may be missing here. Sessions that exist now are not recovered. Returns the former log. The caller
    /// drops it after it has released the state, because that takes long.
    #[cfg(feature = "cluster")]
    pub(crate) fn note_gap(&mut self) -> Log {
        self.sessions.note_gap();
        self.log.note_gap()
    }

    /// Begins the session of a new socket. Returns its generation. The caller [attaches](Self::attach) the socket next.
    pub(crate) fn begin(&mut self, id: &SocketId, pid: &str) -> u64 {
        self.sessions.begin(id, pid, self.log.last())
    }

    /// Notes the slot that the socket of a session has in the room index.
    pub(crate) fn attach(&mut self, id: &SocketId, slot: u32) {
        if let Some(entry) = self.sessions.get(id) {
            self.last_sent.insert(slot, &entry.sent);
        }
    }

    /// Notes that sockets were removed. `slots` is the number of slots that the room index has now.
    pub(crate) fn handle_removal(&mut self, slots: usize) {
        self.last_sent.truncate(slots);
    }

    /// Returns where to note which sockets are sent the next event, and the position of that event. `assigned` is its
    /// offset if a message bus has assigned it.
    pub(crate) fn next_receivers(&mut self, assigned: Option<&str>) -> (&mut LastSent, EventPosition) {
        let position = EventPosition { position: self.log.last() + 1, offset: assigned.map(Arc::from) };
        self.last_sent.prepare(&position);
        (&mut self.last_sent, position)
    }

    /// Notes the rooms that sockets have joined and left.
    pub(crate) fn handle_changes(&mut self, changes: &[RoomChange]) {
        let (last, start) = (self.log.last(), self.log.start());
        for change in changes {
            match change {
                RoomChange::Joined { room, socket } if **room != **socket => {
                    if let Some(entry) = self.sessions.get_mut(socket) {
                        entry.rooms.join(room.clone(), last);
                    }
                }
                RoomChange::Left { room, socket } => {
                    if let Some(entry) = self.sessions.get_mut(socket) {
                        entry.rooms.leave(room, last, start, self.options.max_left_rooms);
                    }
                }
                _ => {}
            }
        }
    }

    /// Keeps the session of a socket that is being disconnected, unless another socket has it by now. Returns whether the
    /// socket has the session, so that the caller removes the socket. `slot` is that of the socket in the room index.
    pub(crate) fn suspend(
        &mut self,
        socket: &dyn LocalSocket,
        slot: Option<u32>,
        generation: u64,
        now: Time,
    ) -> bool {
        let id = socket.id();
        let has_session = self
            .sessions
            .get(id)
            .is_some_and(|entry| entry.generation == generation && matches!(entry.state, State::Live));
        if has_session {
            let until = now + self.options.max_disconnection_duration;
            let suspended = self.log.last();
            // Without a slot, nothing is known. Then the client must have received the last event of all.
            let sent = slot.and_then(|slot| self.last_sent.get(slot));
            let sent = sent.unwrap_or(EventPosition { position: suspended, offset: None });
            self.sessions.keep(id, socket.session_data(), sent, suspended, until);
        }
        has_session
    }

    /// Ends the session of a socket that is being removed. A kept session stays: its socket is gone already.
    pub(crate) fn end(&mut self, id: &SocketId) {
        if self.sessions.get(id).is_some_and(|entry| matches!(entry.state, State::Live)) {
            self.sessions.remove(id);
        }
    }

    pub(crate) fn has_session(&self, id: &SocketId) -> bool {
        self.sessions.get(id).is_some()
    }

    /// Returns the socket that uses a session, and the generation of the session. `None` if no socket uses it.
    pub(crate) fn user(&self, pid: &str) -> Option<(SocketId, u64)> {
        let (id, entry) = self.sessions.find(pid)?;
        matches!(entry.state, State::Live).then(|| (id.clone(), entry.generation))
    }

    /// Finds a session that no socket uses. If its client can never recover it, it ends.
    pub(crate) fn claim_or_end(
        &mut self,
        pid: &str,
        offset: Option<&str>,
        now: Time,
    ) -> Result<Session, ClaimError> {
        let claimed = self.claim(pid, offset, now);
        if claimed.as_ref().is_err_and(|error| error.ends_session())
            && let Some((id, _)) = self.sessions.find(pid)
        {
            let id = id.clone();
            self.sessions.remove(&id);
        }
        claimed
    }

    /// Finds a session that no socket uses. This changes nothing.
    pub(super) fn claim(&self, pid: &str, offset: Option<&str>, now: Time) -> Result<Session, ClaimError> {
        let (id, entry) = self.sessions.find(pid).ok_or(ClaimError::UnknownSession)?;
        // If a socket uses it, it was disconnected for good, or another connection of the client was faster.
        let State::Kept { until, data, .. } = &entry.state else { return Err(ClaimError::UnknownSession) };
        if *until <= now {
            return Err(ClaimError::Expired);
        }
        self.missed(id, entry, offset)?;
        Ok(Session {
            id: id.clone(),
            pid: pid.into(),
            rooms: entry.rooms.rooms().cloned().collect(),
            data: data.clone(),
            offset: offset.map(Into::into),
            generation: entry.generation,
        })
    }

    /// Gives a session its new socket. Returns the events that the client has missed, and the new generation. If it has
    /// missed too much meanwhile, the session ends. The caller [attaches](Self::attach) the socket next.
    pub(crate) fn resume(
        &mut self,
        session: &Session,
        now: Time,
    ) -> Result<(Vec<EncodedEvent>, u64), ClaimError> {
        let entry = self.sessions.get(&session.id).filter(|entry| *entry.pid == *session.pid);
        let entry = entry.ok_or(ClaimError::UnknownSession)?;
        match &entry.state {
            // Another connection of the client has had the session meanwhile.
            _ if entry.generation != session.generation => return Err(ClaimError::UnknownSession),
            State::Kept { until, .. } if *until > now => {}
            State::Kept { .. } => return Err(ClaimError::Expired),
            State::Live => return Err(ClaimError::UnknownSession),
        }
        let missed = match self.missed(&session.id, entry, session.offset.as_deref()) {
            Ok(missed) => missed,
            Err(error) => {
                self.sessions.remove(&session.id);
                return Err(error);
            }
        };
        let generation = self.sessions.resume(&session.id, missed.last).ok_or(ClaimError::UnknownSession)?;
        let missed = self.log.share(&missed.positions);
        Ok((missed, generation))
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        [self.log.poll_timeout(), self.sessions.poll_timeout()].into_iter().flatten().min()
    }

    /// Drops some of what was kept long enough. Returns when it must be called next: a time that has passed if there is more.
    pub(crate) fn handle_timeout(&mut self, now: Time) -> Option<Time> {
        let left = self.log.drop_due(now, MAX_DROPPED);
        self.sessions.drop_due(now, left);
        let next = self.poll_timeout();
        self.has_timer = next.is_some();
        next
    }

    pub(crate) fn kept(&self) -> KeptForRecovery {
        KeptForRecovery {
            events: self.log.len(),
            event_bytes: self.log.bytes(),
            sessions: self.sessions.kept(),
            session_bytes: self.sessions.kept_bytes(),
        }
    }

    /// Returns whether a session was known here while events may have been missing.
    fn has_gap(&self, session: &sessions::Entry) -> bool {
        self.log.has_gap_after(session.known_since)
    }
}
