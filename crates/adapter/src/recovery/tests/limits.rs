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
    let others = test.begin(2, "2");
    test.suspend(2, others);
    test.emit(&"long".repeat(each), &to(id(1).as_str()).to("a"));
    assert!(test.state.kept().event_bytes <= 3 * each, "it does not fit");
    test.emit("short", &BroadcastOptions::new());
    assert_eq!(test.recover("2", None).unwrap(), ["short"], "it was for others");
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
    assert_eq!((event_bytes - event.message().text().len(), session_bytes), (499, 676));
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

/// Returns a test whose log of 1 MB is full of small events for a room that the tested clients are not in. A client with the
/// private id "pid" is away.
fn with_full_log() -> Test {
    let mut test = Test::new(|options| options.max_log_bytes = 1_000_000);
    for _ in 0..2_000 {
        test.emit("small", &to("others"));
    }
    let generation = test.begin(1, "pid");
    test.suspend(1, generation);
    test
}

#[test]
fn one_large_event_does_not_drop_all_small_ones_at_once() {
    let mut test = with_full_log();
    let large = "x".repeat(450_000);
    for (number, expected) in [(1, Ok(1)), (2, Err(ClaimError::LogTooShort))] {
        let before = test.state.kept().events;
        assert!(before > 1_000, "{before}");
        test.emit(&large, &BroadcastOptions::new());
        let kept = test.state.kept();
        assert!(before + 1 - kept.events < 200, "{before} {kept:?}");
        assert!((1_000_000..=1_500_000).contains(&kept.event_bytes), "{kept:?}");
        let missed = test.claim("pid", None).and_then(|session| test.state.resume(&session, test.now));
        assert_eq!(missed.as_ref().map(|(missed, _)| missed.len()).map_err(|error| *error), expected);
        if let Ok((_, generation)) = missed {
            test.insert(1, []);
            test.suspend(1, generation);
        }
        test.emit("1", &to("others"));
        assert_eq!(test.state.poll_timeout(), Some(Time::ZERO), "{number}: there is more to drop");
    }
    while test.state.poll_timeout().is_some_and(|due| due <= test.now) {
        test.state.handle_timeout(test.now);
    }
    let kept = test.state.kept();
    assert!((900_000..=1_000_000).contains(&kept.event_bytes), "{kept:?}");
    let generation = test.begin(2, "2");
    test.suspend(2, generation);
    test.emit(&large, &BroadcastOptions::new());
    assert_eq!(test.recover("2", None).unwrap(), [large], "there is room again");
}

#[test]
fn the_log_exceeds_its_limit_by_at_most_a_half_whatever_is_sent() {
    let mut test = with_full_log();
    for socket in 2..100 {
        test.begin(socket, &format!("pid {socket}"));
    }
    for number in 0..300_u32 {
        let socket = id(2 + (number % 97) as u8);
        let size = [10, 600_000, 300_000, 40_000, 1_000][number as usize % 5];
        let options = match number / 5 % 4 {
            0 => BroadcastOptions::new(),
            1 => to("others"),
            2 => (0..200).fold(to("x"), |options, room| options.to(format!("{number} {room}"))),
            _ => to(socket.as_str()),
        };
        let before = test.state.kept().events;
        test.emit(&"x".repeat(size), &options);
        let kept = test.state.kept();
        assert!(kept.event_bytes <= 1_500_000, "{number}: {kept:?}");
        assert!(before + 1 - kept.events <= 300, "{number}: {before} {kept:?}");
    }
}

#[test]
fn an_event_with_more_rooms_than_the_log_can_hold_is_missing_for_everybody() {
    let mut test = Test::new(|options| options.max_log_bytes = 10_000);
    let generation = test.begin(1, "pid");
    test.suspend(1, generation);
    test.emit("x", &(0..200).fold(to("x"), |options, room| options.to(room.to_string())));
    assert_eq!(test.state.kept().events, 0);
    assert_eq!(test.claim("pid", None).unwrap_err(), ClaimError::LogTooShort);
    let generation = test.begin(2, "2");
    test.suspend(2, generation);
    test.emit("1", &BroadcastOptions::new());
    assert_eq!(test.recover("2", None).unwrap(), ["1"]);
}

/// Adds a session in so many rooms, and loses its connection. Returns its private id.
fn lose(test: &mut Test, number: usize, rooms: usize) -> String {
    let mut bytes = [0; 15];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    let (id, pid) = (SocketId::from_random(bytes), format!("lost {number}"));
    let generation = test.state.begin(&id, &pid);
    let joined = |room: usize| RoomChange::Joined { room: room.to_string().into(), socket: id.clone() };
    test.state.handle_changes(&(0..rooms).map(joined).collect::<Vec<_>>());
    assert!(test.state.suspend(&Idle(id), None, generation, test.now));
    pid
}

#[test]
fn a_session_that_is_larger_than_its_share_is_not_kept() {
    let mut test = Test::new(|options| options.max_bytes_per_session = 10_000);
    let other = lose(&mut test, 1, 10);
    let large = lose(&mut test, 2, 1_000);
    assert_eq!(test.state.kept().sessions, 1);
    assert_eq!(test.claim(&large, None).unwrap_err(), ClaimError::UnknownSession);
    assert!(test.claim(&other, None).is_ok());
}

#[test]
fn a_large_session_does_not_drop_all_small_ones_at_once() {
    let mut test = Test::new(|options| options.max_session_bytes = 1_000_000);
    (0..2_000).for_each(|number| drop(lose(&mut test, number, 0)));
    let mut ended = 0;
    for number in 2_000..2_100 {
        let before = test.state.kept().sessions;
        let pid = lose(&mut test, number, 2_000);
        let kept = test.state.kept();
        assert!(kept.session_bytes <= 1_500_000, "{kept:?}");
        assert!(before + 1 - kept.sessions <= 65, "{before} {kept:?}");
        ended += usize::from(test.claim(&pid, None).is_err());
    }
    assert!((1..99).contains(&ended), "{ended} did not fit");
    while test.state.poll_timeout().is_some_and(|due| due <= test.now) {
        test.state.handle_timeout(test.now);
    }
    assert!((500_000..=1_000_000).contains(&test.state.kept().session_bytes), "{:?}", test.state.kept());
    let pid = lose(&mut test, 3_000, 2_000);
    assert!(test.claim(&pid, None).is_ok(), "there is room again");
}
