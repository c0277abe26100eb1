//! Half-open sessions: polling sessions whose client has sent nothing since the handshake.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use engineio_proto::SessionId;

use crate::registry::Registry;
use crate::session::Session;

/// The polling sessions that have started, in order, from the first one that is still half-open.
///
/// A handshake costs the client one request. It costs the server a session until a missing pong is noticed. A single
/// connection that sends only handshakes could fill the memory, or use up `max_sessions`. So at the limit, the oldest
/// half-open session is closed, and the new one is accepted: a real client sends its next request at once.
#[derive(Debug, Default)]
pub(crate) struct HalfOpenSessions(Mutex<VecDeque<SessionId>>);

impl HalfOpenSessions {
    /// Adds a session that has just started. If a session is still half-open after `limit` others have started, returns
    /// it: the caller must close it.
    pub(crate) fn push(&self, session: &Session, limit: usize, registry: &Registry) -> Option<Session> {
        let mut begun = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        begun.push_back(*session.id());
        // Removes up to two entries for each new one, so that the list does not stay longer than necessary. Sessions
        // that are over or no longer half-open are only removed from the list.
        for _ in 0..2 {
            match registry.get(begun.front()?).filter(Session::is_half_open) {
                Some(_) if begun.len() <= limit.max(1) => return None,
                silent => {
                    begun.pop_front();
                    if silent.is_some() {
                        return silent;
                    }
                }
            }
        }
        if begun.capacity() > 64 && begun.len() < begun.capacity() / 4 {
            let capacity = begun.len() * 2;
            begun.shrink_to(capacity);
        }
        None
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
            self.opened += 1;
            let id = SessionId::from_random([self.opened; 15]);
            let session =
                Session::new(id, Transport::Polling, Framing::LengthDelimited, WireFormat::default(), 1);
            self.registry.insert(session.clone());
            let to_close = self.half_open.push(&session, limit, &self.registry).map(|session| *session.id());
            (session, to_close)
        }

        fn len(&self) -> usize {
            self.half_open.0.lock().unwrap().len()
        }
    }

    fn sessions() -> Sessions {
        Sessions { half_open: HalfOpenSessions::default(), registry: Registry::default(), opened: 0 }
    }

    #[test]
    fn the_one_that_has_been_silent_for_longest_is_given_up() {
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
    fn those_that_have_spoken_or_ended_are_not_kept_and_not_given_up() {
        let mut sessions = sessions();
        for number in 0..100 {
            let (session, to_close) = sessions.open(2);
            assert_eq!(to_close, None);
            if number % 2 == 0 {
                session.set_has_sent_request();
            } else {
                sessions.registry.remove(session.id());
            }
        }
        assert!(sessions.len() <= 2, "{}", sessions.len());
    }

    #[test]
    fn a_silent_one_is_given_up_although_all_others_speak() {
        let mut sessions = sessions();
        let (silent, _) = sessions.open(3);
        for _ in 0..2 {
            let (session, to_close) = sessions.open(3);
            session.set_has_sent_request();
            assert_eq!(to_close, None);
        }
        assert_eq!(sessions.open(3).1, Some(*silent.id()));
    }
}
