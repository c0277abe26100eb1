//! Reasons for which a session is refused that the other files do not reach.

use super::*;
use crate::cluster::MovedSession;

/// Keeps a session behind an event of a message bus, with these offsets, and returns its copy for another server.
fn moved(test: &mut Test) -> MovedSession {
    assigned(test, "1-0");
    let generation = test.begin(1, "pid");
    test.suspend(1, generation);
    test.state.export("pid", test.now).expect("it is kept")
}

/// Logs an event that has its offset from a message bus.
fn assigned(test: &mut Test, offset: &str) {
    assigned_to(test, offset, BroadcastOptions::new());
}

fn assigned_to(test: &mut Test, offset: &str, options: BroadcastOptions) {
    let stamped = event("x").with_offset(offset);
    test.state.push(&stamped, options, Some(offset), test.now);
}

#[test]
fn the_bytes_that_a_client_gets_again_are_limited() {
    let each = {
        let mut test = Test::new(|_| {});
        test.emit("x", &BroadcastOptions::new());
        test.state.kept().event_bytes
    };
    for (events, expected) in [(2, Ok(2)), (3, Err(ClaimError::TooManyMissed))] {
        let mut test = Test::new(|options| options.max_missed_bytes = 2 * each);
        let generation = test.begin(1, "pid");
        test.suspend(1, generation);
        for _ in 0..events {
            test.emit("x", &BroadcastOptions::new());
        }
        assert_eq!(test.recover("pid", None).map(|missed| missed.len()), expected);
    }
}

#[test]
fn an_offset_of_another_epoch_is_refused_if_the_session_comes_from_another_server() {
    // The server that had the session may have sent this event in the session.
    let other_epoch = Some("AAAAAAAAAAAAAB");
    let mut test = Test::new(|_| {});
    let copy = moved(&mut test);
    assert!(test.claim("pid", other_epoch).is_ok(), "the client has it from an earlier session");
    let mut taker = Test::new(|_| {});
    assigned(&mut taker, "1-0");
    taker.state.import(copy, taker.now + 60 * SECOND, taker.now).unwrap();
    assert_eq!(taker.claim("pid", other_epoch).unwrap_err(), ClaimError::InvalidOffset);
    assert!(taker.claim("pid", None).is_ok());
}

#[test]
fn a_copy_whose_time_is_over_is_not_kept() {
    let copy = moved(&mut Test::new(|_| {}));
    let mut taker = Test::new(|_| {});
    assigned(&mut taker, "1-0");
    let late = taker.state.import(copy.clone(), taker.now, taker.now);
    assert_eq!(late, Err(ClaimError::Expired));
    assert_eq!(taker.state.kept().sessions, 0);
    assert_eq!(taker.state.import(copy, taker.now + SECOND, taker.now), Ok(()));
}

#[test]
fn a_copy_whose_place_in_the_log_is_forgotten_is_not_kept() {
    let copy = moved(&mut Test::new(|_| {}));
    // Another claim may have waited while the log went on.
    let mut taker = Test::new(|options| options.max_log_bytes = 1000);
    assigned(&mut taker, "1-0");
    assert!(taker.state.can_import(&copy));
    for number in 0..100 {
        assigned(&mut taker, &format!("2-{number}"));
    }
    assert!(!taker.state.can_import(&copy));
    let late = taker.state.import(copy, taker.now + SECOND, taker.now);
    assert_eq!(late, Err(ClaimError::LogTooShort));
    assert_eq!(taker.state.kept().sessions, 0);
}

#[test]
fn a_copy_has_no_more_left_rooms_than_the_server_that_takes_it_allows() {
    let rooms = [("2-0", "a"), ("3-0", "b"), ("4-0", "c")];
    let mut owner = Test::new(|_| {});
    assigned(&mut owner, "1-0");
    let generation = owner.begin(1, "pid");
    for (offset, room) in rooms {
        owner.join(1, room);
        let (last_sent, position) = owner.state.next_receivers(Some(offset));
        last_sent.set(1, &position);
        assigned_to(&mut owner, offset, to(room));
        owner.leave(1, room);
    }
    owner.suspend(1, generation);
    let copy = owner.state.export("pid", owner.now).expect("it is kept");
    for (limit, known_after) in [(1, "3-0"), (2, "2-0"), (3, "1-0")] {
        let mut taker = Test::new(|options| options.max_left_rooms = limit);
        assigned(&mut taker, "1-0");
        for (offset, room) in rooms {
            assigned_to(&mut taker, offset, to(room));
        }
        taker.state.import(copy.clone(), taker.now + SECOND, taker.now).unwrap();
        for offset in ["1-0", "2-0", "3-0"] {
            let expected = if offset < known_after { Err(ClaimError::RoomsForgotten) } else { Ok(()) };
            assert_eq!(taker.claim("pid", Some(offset)).map(drop), expected, "{limit}: {offset}");
        }
    }
}
