//! The order of the log, with a clock that the tests move.

mod budget;
mod limits;
mod missed;
mod private_events;
mod quiet_clients;
mod refusals;

use std::collections::{BTreeMap, BTreeSet};

use engineio_proto::{Framing, MessageEncoder};

use super::*;
use crate::cluster::{ClaimReply, Message, RequestId};
use crate::idle_socket::Idle;
use crate::options::{BroadcastOptions, DeliveryPolicy};
use crate::room_change::RoomChange;
use socketio_proto::EncodedEvent;

/// The tested state, the time, and the rooms of the connected sockets. The number of a socket is also its slot.
struct Test {
    state: RecoveryState,
    now: Time,
    sockets: BTreeMap<u8, BTreeSet<Room>>,
}

const SECOND: Duration = Duration::from_secs(1);

fn id(number: u8) -> SocketId {
    SocketId::from_random([number; 15])
}

fn event(name: &str) -> EncodedEvent {
    EncodedEvent::encode(&mut MessageEncoder::new(), "/", None, name, &()).unwrap()
}

fn offset_of(stamped: &EncodedEvent) -> String {
    stamped.json().rsplit('"').nth(1).unwrap().to_owned()
}

fn to(room: &str) -> BroadcastOptions {
    BroadcastOptions::new().to(room)
}

impl Test {
    fn new(set: impl FnOnce(&mut RecoveryOptions)) -> Self {
        let mut options = RecoveryOptions::new([7; 8]);
        set(&mut options);
        Self { state: RecoveryState::new(options), now: Time::ZERO, sockets: BTreeMap::new() }
    }

    fn begin(&mut self, socket: u8, pid: &str) -> u64 {
        let generation = self.state.begin(&id(socket), pid);
        self.insert(socket, []);
        generation
    }

    fn insert(&mut self, socket: u8, rooms: impl IntoIterator<Item = Room>) {
        self.state.attach(&id(socket), socket.into());
        self.sockets.insert(socket, rooms.into_iter().chain([Room::from(id(socket))]).collect());
    }

    /// Sends an event to the selected sockets and logs it. Returns its offset.
    fn emit(&mut self, name: &str, options: &BroadcastOptions) -> String {
        let stamped = self.state.stamp(&event(name));
        let offset = offset_of(&stamped);
        let (last_sent, position) = self.state.next_receivers(None);
        for (socket, rooms) in &self.sockets {
            let is_in = |room: &Room| rooms.contains(room);
            if (options.rooms.is_empty() || options.rooms.iter().any(is_in))
                && !options.except.iter().any(is_in)
            {
                last_sent.set((*socket).into(), &position);
            }
        }
        self.state.push(&stamped, options.clone(), None, self.now);
        offset
    }

    fn join(&mut self, socket: u8, room: &str) {
        self.sockets.get_mut(&socket).unwrap().insert(room.into());
        let change = RoomChange::Joined { room: room.into(), socket: id(socket) };
        self.state.handle_changes(&[change]);
    }

    fn leave(&mut self, socket: u8, room: &str) {
        self.sockets.get_mut(&socket).unwrap().remove(room);
        let change = RoomChange::Left { room: room.into(), socket: id(socket) };
        self.state.handle_changes(&[change]);
    }

    fn suspend(&mut self, socket: u8, generation: u64) -> bool {
        let has_session = self.state.suspend(&Idle(id(socket)), Some(socket.into()), generation, self.now);
        if has_session {
            self.sockets.remove(&socket);
        }
        has_session
    }

    fn claim(&self, pid: &str, offset: Option<&str>) -> Result<Session, ClaimError> {
        assert!(self.state.user(pid).is_none(), "a socket uses the session");
        self.state.claim(pid, offset, self.now)
    }

    /// Returns the missed events and the generation.
    fn resume(&mut self, session: &Session) -> Result<(Vec<EncodedEvent>, u64), ClaimError> {
        let resumed = self.state.resume(session, self.now)?;
        let number = (1..=u8::MAX).find(|number| id(*number) == session.id).unwrap();
        self.insert(number, session.rooms.iter().cloned());
        Ok(resumed)
    }

    /// Claims and resumes a session. Returns the names of the missed events.
    fn recover(&mut self, pid: &str, offset: Option<&str>) -> Result<Vec<String>, ClaimError> {
        let session = self.claim(pid, offset)?;
        let missed = self.resume(&session)?.0;
        Ok(missed.iter().map(|event| event.json().split('"').nth(1).unwrap().to_owned()).collect())
    }
}

#[test]
fn a_client_gets_what_came_after_its_offset() {
    let mut test = Test::new(|_| {});
    let generation = test.begin(1, "pid");
    test.join(1, "a");
    let first = test.emit("1", &to("a"));
    test.emit("2", &to("b"));
    test.emit("3", &to(id(1).as_str()));
    assert!(test.suspend(1, generation));
    test.emit("4", &BroadcastOptions::new());
    test.emit("5", &BroadcastOptions::new().except("a"));
    let session = test.claim("pid", Some(&first)).unwrap();
    assert_eq!((session.id, session.rooms), (id(1), vec!["a".into()]));
    assert_eq!(test.recover("pid", Some(&first)).unwrap(), ["3", "4"]);
}

#[test]
fn a_client_without_an_offset_gets_everything_since_its_session_began() {
    let mut test = Test::new(|_| {});
    let before = test.emit("before", &BroadcastOptions::new());
    let generation = test.begin(1, "pid");
    test.emit("1", &BroadcastOptions::new());
    test.suspend(1, generation);
    assert!(test.claim("pid", None).is_ok());
    let other = Test::new(|options| options.random = [8; 8]).emit("x", &BroadcastOptions::new());
    assert!(test.claim("pid", Some(&other)).is_ok(), "an offset of an earlier process");
    assert_eq!(test.recover("pid", Some(&before)).unwrap(), ["1"], "an offset of an earlier session");
}

#[test]
fn a_claim_consumes_nothing_and_a_session_is_resumed_once() {
    let mut test = Test::new(|_| {});
    let generation = test.begin(1, "pid");
    test.suspend(1, generation);
    let first = test.claim("pid", None).unwrap();
    let second = test.claim("pid", None).unwrap();
    test.emit("1", &BroadcastOptions::new());
    let (missed, next) = test.resume(&first).unwrap();
    assert_eq!(missed.len(), 1, "what came after the claim");
    assert_eq!(test.resume(&second).unwrap_err(), ClaimError::UnknownSession);
    assert!(!test.suspend(1, generation), "the former socket does not have the session any more");
    assert!(test.suspend(1, next));
    assert_eq!(test.recover("pid", None).unwrap(), ["1"], "again and again");
}

#[test]
fn a_session_ends_with_its_socket_and_after_its_time() {
    let mut test = Test::new(|_| {});
    test.begin(1, "1");
    test.state.end(&id(1));
    assert_eq!(test.claim("1", None).unwrap_err(), ClaimError::UnknownSession);
    let generation = test.begin(2, "2");
    test.suspend(2, generation);
    test.state.end(&id(2));
    let session = test.claim("2", None).unwrap();
    test.now = test.now + 120 * SECOND;
    assert_eq!(test.claim("2", None).unwrap_err(), ClaimError::Expired);
    assert_eq!(test.resume(&session).unwrap_err(), ClaimError::Expired);
    assert_eq!(test.state.poll_timeout(), Some(test.now));
    test.state.handle_timeout(test.now);
    assert_eq!(test.claim("2", None).unwrap_err(), ClaimError::UnknownSession);
    assert_eq!((test.state.kept(), test.state.poll_timeout()), (KeptForRecovery::default(), None));
}

#[test]
fn an_offset_that_no_event_has_had_is_refused() {
    let mut test = Test::new(|_| {});
    let generation = test.begin(1, "pid");
    let last = test.emit("1", &BroadcastOptions::new());
    test.suspend(1, generation);
    for offset in ["", "hello", &last[1..], &Test::new(|_| {}).state.stamp(&event("1")).json()[6..19]] {
        assert_eq!(test.claim("pid", Some(offset)).unwrap_err(), ClaimError::InvalidOffset, "{offset}");
    }
    let next = test.state.stamp(&event("2")).json().rsplit('"').nth(1).unwrap().to_owned();
    assert_eq!(test.claim("pid", Some(&next)).unwrap_err(), ClaimError::InvalidOffset);
    assert!(test.claim("pid", Some(&last)).is_ok());
}

#[test]
fn nothing_from_before_a_gap_is_recovered() {
    let mut test = Test::new(|_| {});
    let generation = test.begin(1, "1");
    test.begin(2, "2");
    let before = test.emit("before", &BroadcastOptions::new());
    test.suspend(1, generation);
    test.state.note_gap();
    assert_eq!(test.claim("1", Some(&before)).unwrap_err(), ClaimError::UnknownSession);
    let after = test.emit("after", &BroadcastOptions::new());
    assert_ne!(before[..6], after[..6], "another epoch");
    let (socket, generation) = test.state.user("2").expect("its socket is connected");
    assert_eq!(socket, id(2));
    test.suspend(2, generation);
    assert_eq!(test.claim("2", Some(&before)).unwrap_err(), ClaimError::Gap);
    assert_eq!(test.claim("2", None).unwrap_err(), ClaimError::Gap);
    // It may have missed one before.
    assert_eq!(test.claim("2", Some(&after)).unwrap_err(), ClaimError::Gap);
    assert!(test.state.export("2", test.now).is_none());
    let generation = test.begin(3, "3");
    test.suspend(3, generation);
    test.emit("missed", &BroadcastOptions::new());
    assert_eq!(test.recover("3", Some(&after)).unwrap(), ["missed"]);
}

#[test]
fn no_debug_form_contains_a_private_id() {
    let mut test = Test::new(|_| {});
    let generation = test.begin(1, "secret");
    let stamped = event("1").with_offset("1-0");
    test.state.push(&stamped, BroadcastOptions::new(), Some("1-0"), test.now);
    test.suspend(1, generation);
    let session = test.claim("secret", None).unwrap();
    let moved = test.state.export("secret", test.now).unwrap();
    let request = RequestId::from(1);
    let claim = Message::ClaimSession { request, pid: moved.pid.clone() };
    let response =
        Message::ClaimSessionResponse { request, reply: ClaimReply::Found(Box::new(moved.clone())) };
    let text = format!("{session:?} {moved:?} {claim:?} {response:?}");
    assert!(text.contains(id(1).as_str()) && !text.contains("secret"), "{text}");
}

#[test]
fn a_session_that_cannot_be_recovered_any_more_is_not_kept() {
    let mut test = Test::new(|options| options.max_missed_events = 1);
    for pid in ["refused when it is claimed", "refused when it is resumed"] {
        let generation = test.begin(1, pid);
        test.suspend(1, generation);
        let session = test.claim(pid, None).unwrap();
        assert!(test.state.claim_or_end(pid, None, test.now).is_ok());
        assert_eq!(test.state.kept().sessions, 1, "it can still be recovered");
        test.emit("1", &BroadcastOptions::new());
        test.emit("2", &BroadcastOptions::new());
        if pid == "refused when it is claimed" {
            let refused = test.state.claim_or_end(pid, None, test.now).unwrap_err();
            assert_eq!(refused, ClaimError::TooManyMissed);
        } else {
            assert_eq!(test.resume(&session).map(|_| ()), Err(ClaimError::TooManyMissed));
        }
        assert_eq!(test.state.kept().sessions, 0);
        assert_eq!(test.claim(pid, None).unwrap_err(), ClaimError::UnknownSession);
    }
}

#[test]
fn a_claim_is_void_when_another_connection_has_had_the_session_since() {
    let mut test = Test::new(|_| {});
    let generation = test.begin(1, "pid");
    test.join(1, "admins");
    test.suspend(1, generation);
    let slow = test.claim("pid", None).unwrap();
    let fast = test.claim("pid", None).unwrap();
    let (_, generation) = test.resume(&fast).unwrap();
    test.leave(1, "admins");
    test.suspend(1, generation);
    assert_eq!(test.resume(&slow).map(|_| ()), Err(ClaimError::UnknownSession));
    assert_eq!(test.claim("pid", None).unwrap().rooms, [], "the session is still there");
}

#[test]
fn a_session_whose_time_is_over_is_not_given_to_another_server() {
    let mut test = Test::new(|_| {});
    let generation = test.begin(1, "pid");
    let stamped = event("1").with_offset("1-0");
    test.state.push(&stamped, BroadcastOptions::new(), Some("1-0"), test.now);
    test.suspend(1, generation);
    test.now = test.now + 121 * SECOND;
    assert!(test.state.export("pid", test.now).is_none());
}

#[test]
fn a_client_cannot_take_the_text_of_another_event_for_an_offset() {
    let mut test = Test::new(|_| {});
    let text = EncodedEvent::encode(&mut MessageEncoder::new(), "/", None, "x", &"text").unwrap();
    let form = |test: &Test, event, policy| test.state.unlogged(event, policy).json().to_owned();
    let volatile = DeliveryPolicy::Volatile;
    let bare = event("x");
    assert_eq!(form(&test, &bare, &volatile), r#"["x"]"#);
    let generation = test.begin(1, "pid");
    let before = form(&test, &text, &volatile);
    test.emit("1", &BroadcastOptions::new());
    let after = form(&test, &text, &volatile);
    test.suspend(1, generation);
    assert_eq!(test.claim("pid", before.rsplit('"').nth(1)).map(|_| ()), Ok(()));
    let last = after.rsplit('"').nth(1).unwrap();
    assert!(after.starts_with(r#"["x","text","#));
    assert_eq!(test.recover("pid", Some(last)).unwrap(), [""; 0]);
    let latest = DeliveryPolicy::KeepLatest("key".into());
    assert_eq!(form(&test, &text, &latest), r#"["x","text",null]"#, "it may overtake logged events");
}
