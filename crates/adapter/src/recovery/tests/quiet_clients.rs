//! Clients that have received nothing for so long that the log does not reach back to their offset.

use super::*;

/// Sends events to a room that no tested client is in, until the log has forgotten everything before.
fn fill_log(test: &mut Test) -> String {
    let mut last = String::new();
    for _ in 0..LOG_EVENTS {
        last = test.emit("others", &to("others"));
    }
    last
}

const LOG_EVENTS: usize = 10;

/// Returns a test whose log holds about [`LOG_EVENTS`] events.
fn with_short_log() -> Test {
    let mut test = Test::new(|_| {});
    test.emit("others", &to("others"));
    let each = test.state.kept().event_bytes;
    Test::new(|options| options.max_log_bytes = LOG_EVENTS * each)
}

#[test]
fn a_client_that_has_received_everything_recovers_however_old_its_offset_is() {
    let mut test = with_short_log();
    let generation = test.begin(1, "pid");
    let last = test.emit("mine", &to(id(1).as_str()));
    fill_log(&mut test);
    test.suspend(1, generation);
    test.emit("missed", &BroadcastOptions::new());
    test.emit("others", &to("others"));
    let session = test.claim("pid", Some(&last)).unwrap();
    let (missed, generation) = test.resume(&session).unwrap();
    assert_eq!(missed.len(), 1);
    let last = offset_of(&missed[0]);
    // The same in its second connection, which has received only what was missed in the first one.
    fill_log(&mut test);
    test.suspend(1, generation);
    assert_eq!(test.recover("pid", Some(&last)).unwrap(), [""; 0]);
}

#[test]
fn a_client_that_was_sent_nothing_recovers_without_an_offset_and_with_that_of_an_earlier_session() {
    let mut test = with_short_log();
    let earlier = test.emit("1", &BroadcastOptions::new());
    let other = Test::new(|options| options.random = [8; 8]).emit("x", &BroadcastOptions::new());
    let mut generation = test.begin(1, "pid");
    for offset in [None, Some(&*earlier), Some(&*other)] {
        fill_log(&mut test);
        test.suspend(1, generation);
        let session = test.claim("pid", offset).unwrap();
        let (missed, next) = test.resume(&session).unwrap();
        assert_eq!(missed.len(), 0, "{offset:?}");
        generation = next;
    }
}

#[test]
fn a_client_that_has_not_received_the_last_event_needs_the_log() {
    let mut test = with_short_log();
    let generation = test.begin(1, "pid");
    let received = test.emit("received", &BroadcastOptions::new());
    test.emit("on its way", &to(id(1).as_str()));
    test.suspend(1, generation);
    assert!(test.claim("pid", Some(&received)).is_ok(), "the log still has it");
    fill_log(&mut test);
    assert_eq!(test.claim("pid", Some(&received)).unwrap_err(), ClaimError::LogTooShort);

    let generation = test.begin(2, "never received one");
    test.emit("on its way", &to(id(2).as_str()));
    fill_log(&mut test);
    test.suspend(2, generation);
    assert_eq!(test.claim("never received one", None).unwrap_err(), ClaimError::LogTooShort);
}

#[test]
fn the_log_must_reach_back_to_the_disconnect() {
    let mut test = with_short_log();
    let generation = test.begin(1, "pid");
    let last = test.emit("1", &BroadcastOptions::new());
    test.suspend(1, generation);
    fill_log(&mut test);
    assert!(test.claim("pid", Some(&last)).is_ok());
    test.emit("others", &to("others"));
    assert_eq!(test.claim("pid", Some(&last)).unwrap_err(), ClaimError::LogTooShort);
}

#[test]
fn events_that_were_resumed_and_did_not_arrive_are_sent_again() {
    let mut test = with_short_log();
    let generation = test.begin(1, "pid");
    let received = test.emit("1", &BroadcastOptions::new());
    test.suspend(1, generation);
    test.emit("2", &BroadcastOptions::new());
    let session = test.claim("pid", Some(&received)).unwrap();
    let (_, generation) = test.resume(&session).unwrap();
    test.suspend(1, generation);
    assert_eq!(test.recover("pid", Some(&received)).unwrap(), ["2"]);
}

#[test]
fn a_client_gains_nothing_with_an_offset_that_its_session_was_not_sent() {
    let mut test = with_short_log();
    let mut generation = test.begin(1, "pid");
    let own = test.emit("own", &to(id(1).as_str()));
    let of_others = test.emit("others", &to("others"));
    test.suspend(1, generation);
    let later = test.emit("missed", &to(id(1).as_str()));
    assert_eq!(
        test.claim("pid", Some(&later)).unwrap_err(),
        ClaimError::InvalidOffset,
        "after its disconnect"
    );
    for offset in [own, of_others] {
        let session = test.claim("pid", Some(&offset)).unwrap();
        let (missed, next) = test.resume(&session).unwrap();
        let names: Vec<_> = missed.iter().map(|event| event.json().split('"').nth(1).unwrap()).collect();
        assert_eq!(names, ["missed"], "exactly what it has missed since the disconnect");
        generation = next;
        test.suspend(1, generation);
    }
}
