//! Which session gets which event.
//!
//! An event that is on its way while the rooms of a socket change may or may not reach the socket, with one promise: a
//! socket still gets what its own server sent before it left the room. So the test asserts what is certain, and allows the rest.

use std::collections::BTreeMap;

use tidewire_server::Socket;

/// The receivers of an event.
#[derive(Debug, Clone)]
pub(super) enum To {
    All,
    Room {
        room: &'static str,
        except: Option<&'static str>,
    },
    /// The room of its id.
    Session(usize),
    /// Its socket alone, so the observer does not get the event.
    SocketOf(usize),
}

#[derive(Debug)]
pub(super) struct Event {
    pub(super) to: To,
    pub(super) server: usize,
    pub(super) sent: usize,
    /// When both servers had certainly received it.
    pub(super) settled: usize,
}

/// The program has let a socket join or leave a room.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change {
    pub(super) at: usize,
    pub(super) server: usize,
    pub(super) is_in: bool,
}

/// Whether a session gets an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gets {
    Yes,
    No,
    Maybe,
}

pub(super) struct Session {
    pub(super) socket: Socket,
    pub(super) server: usize,
    /// When its client connected: not before the first, and not after the second.
    pub(super) began: (usize, usize),
    pub(super) rooms: BTreeMap<&'static str, Vec<Change>>,
    /// Its server had no link for a while. It may have missed events, so it must not be recovered.
    pub(super) has_gap: bool,
    pub(super) received: Vec<usize>,
}

impl Session {
    fn is_in(&self, room: &str, event: &Event) -> Gets {
        let mut gets = Gets::No;
        for change in self.rooms.get(room).into_iter().flatten() {
            let is_on_its_way = event.sent < change.at && change.at < event.settled;
            gets = match (is_on_its_way, change.is_in, gets) {
                // What its server has sent before reaches it before it leaves.
                (true, false, Gets::Yes) if change.server == event.server => return Gets::Yes,
                (true, false, Gets::Yes) | (true, true, Gets::No) => Gets::Maybe,
                (false, true, _) if change.at < event.sent => Gets::Yes,
                (false, false, _) if change.at < event.sent => Gets::No,
                _ => gets,
            };
        }
        gets
    }

    /// Returns whether the session, which has this index, gets an event.
    pub(super) fn gets(&self, index: usize, event: &Event) -> Gets {
        let is_selected = match event.to {
            To::All => Gets::Yes,
            To::Session(to) | To::SocketOf(to) if to == index => Gets::Yes,
            To::Session(_) | To::SocketOf(_) => Gets::No,
            To::Room { room, except } => {
                let excluded = except.map_or(Gets::No, |except| self.is_in(except, event));
                match (self.is_in(room, event), excluded) {
                    (Gets::No, _) | (_, Gets::Yes) => Gets::No,
                    (Gets::Yes, Gets::No) => Gets::Yes,
                    _ => Gets::Maybe,
                }
            }
        };
        match is_selected {
            _ if event.settled <= self.began.0 => Gets::No,
            Gets::Yes if event.sent < self.began.1 => Gets::Maybe,
            gets => gets,
        }
    }
}
