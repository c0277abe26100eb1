//! Polling sessions of which nothing was heard since their handshake.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use engineio_proto::SessionId;

use crate::registry::Registry;
use crate::session::Session;

/// Which polling sessions have begun, in order, from the first one that is still silent.
///
/// A handshake costs its client one request and the server a session, for as long as a missing pong takes to be noticed;
/// a single connection that sends nothing else would fill the memory, or the places of all others. So it is the session
/// that has been silent for longest that goes, not the new one that is refused: a client that means it speaks at once.
#[derive(Debug, Default)]
pub(crate) struct HalfOpenSessions(Mutex<VecDeque<SessionId>>);

impl HalfOpenSessions {
    /// A session has begun. Returns one that is silent although `limit` others have begun after it: the caller closes it.
    pub(crate) fn push(&self, session: &Session, limit: usize, registry: &Registry) -> Option<Session> {
        let mut begun = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        begun.push_back(*session.id());
        // Two at a time, so that there are never more than have to be: those that have spoken, or ended, are no matter.
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
            let room = begun.len() * 2;
            begun.shrink_to(room);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use engineio_proto::Transport;

    use super::*;

    struct Sessions {
        silent: HalfOpenSessions,
        registry: Registry,
        begun: u8,
    }

    impl Sessions {
        fn begin(&mut self, limit: usize) -> (Session, Option<SessionId>) {
            self.begun += 1;
            let session = Session::new(SessionId::from_random([self.begun; 15]), Transport::Polling, 1);
            self.registry.insert(session.clone());
            let given_up = self.silent.push(&session, limit, &self.registry).map(|session| *session.id());
            (session, given_up)
        }

        fn len(&self) -> usize {
            self.silent.0.lock().unwrap().len()
        }
    }

    fn sessions() -> Sessions {
        Sessions { silent: HalfOpenSessions::default(), registry: Registry::default(), begun: 0 }
    }

    #[test]
    fn the_one_that_has_been_silent_for_longest_is_given_up() {
        let mut sessions = sessions();
        let (first, given_up) = sessions.begin(2);
        assert_eq!(given_up, None);
        let (second, given_up) = sessions.begin(2);
        assert_eq!(given_up, None);
        assert_eq!(sessions.begin(2).1, Some(*first.id()));
        assert_eq!(sessions.begin(2).1, Some(*second.id()));
        assert_eq!(sessions.len(), 2);
    }

    #[test]
    fn those_that_have_spoken_or_ended_are_not_kept_and_not_given_up() {
        let mut sessions = sessions();
        for number in 0..100 {
            let (session, given_up) = sessions.begin(2);
            assert_eq!(given_up, None);
            if number % 2 == 0 {
                session.clear_half_open();
            } else {
                sessions.registry.remove(session.id());
            }
        }
        assert!(sessions.len() <= 2, "{}", sessions.len());
    }

    #[test]
    fn a_silent_one_is_given_up_although_all_others_speak() {
        let mut sessions = sessions();
        let (silent, _) = sessions.begin(3);
        for _ in 0..2 {
            let (session, given_up) = sessions.begin(3);
            session.clear_half_open();
            assert_eq!(given_up, None);
        }
        assert_eq!(sessions.begin(3).1, Some(*silent.id()));
    }
}
