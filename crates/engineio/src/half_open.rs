//! Half-open sessions: polling sessions whose client has not polled since the handshake.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use engineio_proto::SessionId;

use crate::registry::Registry;
use crate::session::Session;

/// The polling sessions that have started, in order, from the first one that is still half-open.
///
/// A handshake costs the client one request. It costs the server a session until a missing pong is noticed. A single
/// connection that sends only handshakes could fill the memory, or use up `max_sessions`. So at a limit, the oldest
/// half-open session is closed, and the new one is accepted: a real client polls at once.
#[derive(Debug, Default)]
pub(crate) struct HalfOpenSessions(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    sessions: VecDeque<(SessionId, usize)>,
    /// The bytes of all of them.
    bytes: usize,
}

/// What the sessions from the first half-open one on may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HalfOpenLimits {
    pub(crate) sessions: usize,
    /// The bytes of the heads that the sessions keep.
    pub(crate) bytes: usize,
}

impl HalfOpenSessions {
    /// Adds a session that has just started and keeps a head of `bytes`. Returns the sessions that are still half-open
    /// after so many others have started: the caller must close them.
    pub(crate) fn push(
        &self,
        session: &Session,
        bytes: usize,
        limits: HalfOpenLimits,
        registry: &Registry,
    ) -> Vec<Session> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State { sessions, bytes: total } = &mut *state;
        sessions.push_back((*session.id(), bytes));
        *total += bytes;
        let mut to_close = Vec::new();
        let mut removed = 0;
        while let Some((id, bytes)) = sessions.front() {
            let is_full = sessions.len() > 1 && (sessions.len() > limits.sessions || *total > limits.bytes);
            // Removes up to two entries for each new one, so that the list does not stay longer than necessary. Sessions
            // that are over or no longer half-open are only removed from the list.
            match registry.get(id).filter(Session::is_half_open) {
                Some(half_open) if is_full => to_close.push(half_open),
                None if is_full || removed < 2 => {}
                _ => break,
            }
            removed += 1;
            *total -= bytes;
            sessions.pop_front();
        }
        if sessions.capacity() > 64 && sessions.len() < sessions.capacity() / 4 {
            let capacity = sessions.len() * 2;
            sessions.shrink_to(capacity);
        }
        to_close
    }
}

#[cfg(test)]
mod tests {
    use engineio_proto::{Framing, Transport, WireFormat};

    use super::*;

    struct Sessions {
        half_open: HalfOpenSessions,
        registry: Registry,
        opened: u8,
    }

    impl Sessions {
        fn open(&mut self, limit: usize) -> (Session, Option<SessionId>) {
            let (session, to_close) = self.open_with_head(0, HalfOpenLimits { sessions: limit, bytes: 0 });
            assert!(to_close.len() <= 1);
            (session, to_close.first().copied())
        }

        fn open_with_head(&mut self, bytes: usize, limits: HalfOpenLimits) -> (Session, Vec<SessionId>) {
            self.opened += 1;
            let id = SessionId::from_random([self.opened; 15]);
            let session = Session::new(
                id,
                Transport::Polling,
                Framing::LengthDelimited,
                WireFormat::default(),
                1,
                net::MemoryBudget::new(0),
                None,
            );
            self.registry.insert(session.clone());
            let to_close = self.half_open.push(&session, bytes, limits, &self.registry);
            (session, to_close.iter().map(|session| *session.id()).collect())
        }

        fn len(&self) -> usize {
            self.half_open.0.lock().unwrap().sessions.len()
        }
    }

    fn sessions() -> Sessions {
        Sessions { half_open: HalfOpenSessions::default(), registry: Registry::default(), opened: 0 }
    }

    #[test]
    fn the_oldest_half_open_session_is_closed() {
        let mut sessions = sessions();
        let (first, to_close) = sessions.open(2);
        assert_eq!(to_close, None);
        let (second, to_close) = sessions.open(2);
        assert_eq!(to_close, None);
        assert_eq!(sessions.open(2).1, Some(*first.id()));
        assert_eq!(sessions.open(2).1, Some(*second.id()));
        assert_eq!(sessions.len(), 2);
    }

    #[test]
    fn those_that_have_sent_a_request_or_ended_are_not_kept_and_not_closed() {
        let mut sessions = sessions();
        for number in 0..100 {
            let (session, to_close) = sessions.open(2);
            assert_eq!(to_close, None);
            if number % 2 == 0 {
                session.set_has_polled();
            } else {
                sessions.registry.remove(session.id());
            }
        }
        assert!(sessions.len() <= 2, "{}", sessions.len());
    }

    #[test]
    fn a_half_open_session_is_closed_although_all_others_have_sent_a_request() {
        let mut sessions = sessions();
        let (half_open, _) = sessions.open(3);
        for _ in 0..2 {
            let (session, to_close) = sessions.open(3);
            session.set_has_polled();
            assert_eq!(to_close, None);
        }
        assert_eq!(sessions.open(3).1, Some(*half_open.id()));
    }

    #[test]
    fn the_oldest_ones_are_closed_if_the_heads_take_too_many_bytes() {
        let mut sessions = sessions();
        let limits = HalfOpenLimits { sessions: 100, bytes: 1_000 };
        let (first, to_close) = sessions.open_with_head(300, limits);
        assert_eq!(to_close, []);
        let (second, to_close) = sessions.open_with_head(300, limits);
        assert_eq!(to_close, []);
        second.set_has_polled();
        let (third, to_close) = sessions.open_with_head(400, limits);
        assert_eq!(to_close, [], "exactly the limit");
        assert_eq!(sessions.open_with_head(1, limits).1, [*first.id()]);
        let (large, to_close) = sessions.open_with_head(5_000, limits);
        assert_eq!(to_close.len(), 2);
        assert!(to_close.contains(third.id()) && !to_close.contains(large.id()), "the new one stays");
        assert_eq!(sessions.half_open.0.lock().unwrap().bytes, 5_000);
    }
}
