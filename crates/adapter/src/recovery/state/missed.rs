//! Which events a client has missed.

use socketio_proto::SocketId;

use super::RecoveryState;
use crate::recovery::ClaimError;
use crate::recovery::candidates::Candidates;
use crate::recovery::last_sent::EventPosition;
use crate::recovery::log::Found;
use crate::recovery::offset::Position;
use crate::recovery::sessions::{Entry, State};

/// The events that a client has missed.
pub(super) struct Missed {
    pub(super) positions: Vec<Position>,
    pub(super) last: Option<EventPosition>,
}

impl RecoveryState {
    /// Returns the events that a session has missed.
    pub(super) fn missed(
        &self,
        id: &SocketId,
        session: &Entry,
        offset: Option<&str>,
    ) -> Result<Missed, ClaimError> {
        let position = self.position(session, offset)?;
        if self.has_gap(session) || self.log.has_gap_after(position) {
            return Err(ClaimError::Gap);
        }
        if !session.rooms.are_known_after(position) && position >= self.log.start() {
            return Err(ClaimError::RoomsForgotten);
        }
        let mut candidates = Candidates::new(self.options.max_missed_events.saturating_mul(2));
        self.log.add_sent_to(id, &session.rooms, position, &mut candidates)?;
        let mut missed = Missed { positions: Vec::new(), last: None };
        let (mut last, mut bytes) = (None, 0);
        for (at, entry) in self.log.entries(&candidates.take_sorted()) {
            candidates.count(entry.options.except.len())?;
            if session.rooms.are_excluded(id, &entry.options, at) {
                continue;
            }
            if entry.is_empty() {
                return Err(ClaimError::LogTooShort);
            }
            bytes += entry.bytes();
            if missed.positions.len() == self.options.max_missed_events
                || bytes > self.options.max_missed_bytes
            {
                return Err(ClaimError::TooManyMissed);
            }
            missed.positions.push(at);
            last = Some((at, entry));
        }
        missed.last =
            last.map(|(position, entry)| EventPosition { position, offset: entry.assigned().cloned() });
        Ok(missed)
    }

    /// Returns the position after which a client may have missed events. If it has received the last event that its socket was
    /// sent, these are only events after the disconnect, however old that last event is.
    fn position(&self, session: &Entry, offset: Option<&str>) -> Result<Position, ClaimError> {
        let received = self.received(session, offset)?;
        match session.state {
            // No socket of the session was connected at that time.
            State::Kept { suspended, .. } if received > suspended => Err(ClaimError::InvalidOffset),
            State::Kept { suspended, .. } if received >= session.sent.position => Ok(suspended),
            _ => Ok(received),
        }
    }

    /// Returns the position of the last event that a client has received. A client that has received no event of the session
    /// has no offset, or still has that of an earlier session: it may have missed everything since the session began.
    fn received(&self, session: &Entry, offset: Option<&str>) -> Result<Position, ClaimError> {
        // The log may have forgotten this one.
        if offset.is_some() && offset == session.sent.offset.as_deref() {
            return Ok(session.sent.position);
        }
        match offset.map(|offset| self.log.find(offset)) {
            Some(Found::At(position)) => Ok(position.max(session.started)),
            Some(Found::Other) if session.has_moved => Err(ClaimError::InvalidOffset),
            None | Some(Found::Other) => Ok(session.started),
            Some(Found::Invalid) => Err(ClaimError::InvalidOffset),
        }
    }
}
