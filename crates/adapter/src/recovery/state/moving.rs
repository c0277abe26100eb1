//! Sessions that move to another server of a cluster, or come from one.
//!
//! Positions travel as distances from the last event in the log of the former owner, because each server counts the events
//! from its own start.

use std::sync::Arc;

use socketio_proto::SocketId;
use ws_proto::Time;

use super::RecoveryState;
use crate::cluster::MovedSession;
use crate::recovery::ClaimError;
use crate::recovery::last_sent::EventPosition;
use crate::recovery::log::Found;
use crate::recovery::memberships::{Exported, Memberships};
use crate::recovery::offset::Position;
use crate::recovery::sessions::State;

impl RecoveryState {
    /// Returns a copy of a kept session for another server, which may [take](Self::take) the session.
    pub(crate) fn export(&self, pid: &str, now: Time) -> Option<MovedSession> {
        // Without an event, the two servers have no common place in the log.
        let head: Box<str> = self.log.assigned_offset()?.into();
        let last = self.log.last();
        let (id, entry) = self.sessions.find(pid)?;
        let State::Kept { data, until, suspended, .. } = &entry.state else { return None };
        if self.has_gap(entry) || *until <= now {
            return None;
        }
        let before_head = |position: Position| last.saturating_sub(position);
        let Exported { rooms, left, complete_after } = entry.rooms.export(before_head);
        // Rooms that were left before the log begins may be forgotten. The log of the other server may reach back further.
        let complete_after = complete_after.min(before_head(self.log.start()));
        Some(MovedSession {
            id: id.clone(),
            pid: pid.into(),
            generation: entry.generation,
            remaining: until.saturating_since(now),
            data: data.clone(),
            head,
            started: before_head(entry.started),
            sent: before_head(entry.sent.position),
            sent_offset: entry.sent.offset.as_deref().map(Box::from),
            suspended: before_head(*suspended),
            rooms,
            left,
            complete_after,
        })
    }

    /// Gives a kept session a new generation, because another server takes it: what was claimed before cannot be resumed any
    /// more. Returns the generation, and until when the session is kept. `None` if it is not the one of the copy any more.
    pub(crate) fn hand_over(&mut self, pid: &str, generation: u64, now: Time) -> Option<(u64, Time)> {
        let (id, until) = self.find_kept(pid, generation, now)?;
        Some((self.sessions.renew(&id)?, until))
    }

    /// Removes a session that another server has, unless it is not the one that was handed over.
    pub(crate) fn take(&mut self, pid: &str, generation: u64, now: Time) {
        if let Some((id, _)) = self.find_kept(pid, generation, now) {
            self.sessions.remove(&id);
        }
    }

    /// Returns the id of a kept session that can still be recovered, and until when it is kept.
    fn find_kept(&self, pid: &str, generation: u64, now: Time) -> Option<(SocketId, Time)> {
        let (id, entry) = self.sessions.find(pid)?;
        let State::Kept { until, .. } = &entry.state else { return None };
        let is_usable = entry.generation == generation && !self.has_gap(entry) && *until > now;
        is_usable.then(|| (id.clone(), *until))
    }

    /// Returns whether the log contains the place of a session that comes from another server.
    pub(crate) fn can_import(&self, session: &MovedSession) -> bool {
        matches!(self.log.find(&session.head), Found::At(_))
    }

    /// Keeps a session that comes from another server. It would have been kept there until `until` or later. If the session
    /// is here already, it stays as it is. It does not replace another session that has its socket id.
    pub(crate) fn import(&mut self, session: MovedSession, until: Time, now: Time) -> Result<(), ClaimError> {
        if self.sessions.find(&session.pid).is_some() {
            return Ok(());
        }
        if self.sessions.get(&session.id).is_some() {
            return Err(ClaimError::IdInUse);
        }
        let until = until.min(now + self.options.max_disconnection_duration);
        if until <= now {
            return Err(ClaimError::Expired);
        }
        let MovedSession {
            id,
            pid,
            data,
            head,
            started,
            sent,
            sent_offset,
            suspended,
            rooms,
            left,
            complete_after,
            ..
        } = session;
        let Found::At(head) = self.log.find(&head) else { return Err(ClaimError::LogTooShort) };
        let at = |before_head: u64| head.saturating_sub(before_head);
        let max_left = self.options.max_left_rooms;
        let mut rooms = Memberships::import(Exported { rooms, left, complete_after }, max_left, at);
        if started > head {
            // The session is older than the log of this server.
            rooms.forget_until(1);
        }
        // If both are older than the log, the order of the two must stay.
        let position = if sent == started { at(started) } else { at(sent).max(at(started) + 1) };
        let sent = EventPosition { position, offset: sent_offset.map(Arc::from) };
        self.sessions.import(&id, &pid, at(started), self.log.last(), rooms);
        self.sessions.keep(&id, data, sent, at(suspended), until);
        Ok(())
    }
}
