//! How much is kept, and for how long.

use super::*;

#[test]
fn the_log_forgets_by_time_and_by_bytes() {
    let mut test = Test::new(|options| options.max_disconnection_duration = 1000 * SECOND);
    let generation = test.begin(1, "pid");
    let first = test.emit("1", &BroadcastOptions::new());
    test.now = test.now + 100 * SECOND;
    let second = test.emit("2", &BroadcastOptions::new());
    test.suspend(1, generation);
    assert!(test.claim("pid", None).is_ok());
    test.now = test.now + 80 * SECOND;
    test.state.handle_timeout(test.now);
    assert_eq!(test.claim("pid", None).unwrap_err(), ClaimError::LogTooShort);
    assert!(test.claim("pid", Some(&first)).is_ok());
    test.now = test.now + 100 * SECOND;
    test.state.handle_timeout(test.now);
    assert_eq!(test.claim("pid", Some(&first)).unwrap_err(), ClaimError::LogTooShort);
    assert!(test.claim("pid", Some(&second)).is_ok(), "it has missed nothing");
    let each = {
        test.emit("3", &BroadcastOptions::new());
        test.state.kept().event_bytes
    };
    let mut test = Test::new(|options| options.max_log_bytes = 3 * each);
    test.begin(1, "pid");
    for _ in 0..100 {
        test.emit("4", &BroadcastOptions::new());
    }
    assert_eq!((test.state.kept().events, test.state.kept().event_bytes), (3, 3 * each));
    test.emit(&"long".repeat(each), &BroadcastOptions::new());
    assert_eq!((test.state.kept().events, test.state.kept().event_bytes), (0, 0), "it does not fit");
}

#[test]
fn the_numbers_of_sessions_and_of_missed_events_are_limited() {
    let mut test = Test::new(|options| {
        options.max_sessions = 2;
        options.max_missed_events = 3;
        options.max_left_rooms = 1;
    });
    for (number, pid) in [(1, "1"), (2, "2"), (3, "3")] {
        let generation = test.begin(number, pid);
        test.suspend(number, generation);
        test.now = test.now + SECOND;
    }
    assert_eq!(test.state.kept().sessions, 2);
    assert_eq!(test.claim("1", None).unwrap_err(), ClaimError::UnknownSession);
    for name in ["a", "b", "c"] {
        test.emit(name, &BroadcastOptions::new());
    }
    assert!(test.claim("2", None).is_ok());
    test.emit("d", &BroadcastOptions::new());
    assert_eq!(test.claim("2", None).unwrap_err(), ClaimError::TooManyMissed);

    let generation = test.begin(4, "4");
    let mut offsets = vec![];
    for room in ["x", "y"] {
        test.join(4, room);
        offsets.push(test.emit(room, &to(room)));
        test.leave(4, room);
    }
    test.suspend(4, generation);
    assert_eq!(test.claim("4", None).unwrap_err(), ClaimError::RoomsForgotten);
    assert_eq!(test.recover("4", Some(&offsets[0])).unwrap(), ["y"]);

    let mut test = Test::new(|options| options.max_session_bytes = 100);
    let generation = test.begin(1, "1");
    assert!(test.suspend(1, generation));
    assert_eq!(test.state.kept(), KeptForRecovery::default(), "it does not fit");
}

#[test]
fn many_sessions_and_events_are_dropped_step_by_step() {
    let mut test = Test::new(|_| {});
    for number in 0..1000u64 {
        let mut bytes = [0; 15];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        let id = SocketId::from_random(bytes);
        let generation = test.state.begin(&id, &number.to_string());
        test.state.suspend(&Idle(id), None, generation, test.now);
        test.emit("x", &BroadcastOptions::new());
    }
    let before = test.state.kept();
    assert_eq!((before.sessions, before.events), (1000, 1000));
    test.now = test.now + 180 * SECOND;
    let mut left = 2000;
    while let Some(next) = test.state.handle_timeout(test.now) {
        let kept = test.state.kept();
        assert!((1..=128).contains(&(left - kept.sessions - kept.events)), "in small steps: {kept:?}");
        assert!(next <= test.now, "there is more");
        left = kept.sessions + kept.events;
    }
    assert_eq!(test.state.kept(), KeptForRecovery::default());
}

#[test]
fn the_sizes_in_the_documentation_are_right() {
    let mut test = Test::new(|_| {});
    test.emit("12345678", &BroadcastOptions::new());
    let event = test.state.stamp(&event("12345678"));
    let generation = test.begin(1, "a private id of 20 c");
    test.suspend(1, generation);
    let KeptForRecovery { event_bytes, session_bytes, .. } = test.state.kept();
    // On a machine with 64 bits, in docs/limits.md.
    assert_eq!((event_bytes - event.message().text().len(), session_bytes), (475, 660));
}

#[test]
fn the_log_does_not_keep_the_forms_of_an_event_that_its_receivers_need() {
    let mut test = Test::new(|_| {});
    let stamped = test.state.stamp(&event("1"));
    let form_of = |event: &EncodedEvent| event.message().framed(Framing::LengthDelimited).clone();
    for (socket, pid) in [(1, "1"), (2, "2")] {
        let generation = test.begin(socket, pid);
        test.suspend(socket, generation);
    }
    let live = form_of(&stamped);
    test.state.push(&stamped, BroadcastOptions::new(), None, test.now);
    drop(stamped);
    assert!(live.is_unique(), "of those who received it at once");
    let kept = test.state.kept().event_bytes;
    let [first, second] = ["1", "2"].map(|pid| {
        let session = test.claim(pid, None).unwrap();
        test.resume(&session).unwrap().0
    });
    let form = form_of(&first[0]);
    assert_eq!(form.as_ptr(), form_of(&second[0]).as_ptr(), "clients that recover at the same time share it");
    drop((first, second));
    assert!(form.is_unique(), "of those who recovered it");
    assert_eq!(test.state.kept().event_bytes, kept);
}
