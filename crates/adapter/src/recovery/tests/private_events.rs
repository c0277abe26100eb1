//! What one client can make the log keep, and what that does to the others.

use super::*;

/// Events of this size.
fn answer() -> String {
    "answer".repeat(100)
}

fn private(socket: u8) -> BroadcastOptions {
    let mut options = to(id(socket).as_str());
    options.private = true;
    options
}

#[test]
fn a_client_that_gets_answers_without_end_does_not_destroy_the_recovery_of_the_others() {
    for options in [private(1), to(id(1).as_str())] {
        let mut test = Test::new(|options| options.max_log_bytes = 100_000);
        let generation = test.begin(1, "flooder");
        let other = test.begin(2, "other");
        let first = test.emit("news", &BroadcastOptions::new());
        test.suspend(2, other);
        test.emit("missed", &BroadcastOptions::new());
        test.emit("private", &private(2));
        for _ in 0..1000 {
            test.emit(&answer(), &options);
        }
        let kept = test.state.kept();
        assert!(kept.event_bytes <= 51_000 && kept.events > 25, "{kept:?}");
        assert_eq!(test.recover("other", Some(&first)).unwrap(), ["missed", "private"]);
        // It has only itself to blame.
        test.suspend(1, generation);
        assert_eq!(test.claim("flooder", Some(&first)).unwrap_err(), ClaimError::LogTooShort);
    }
}

#[test]
fn the_share_of_one_socket_in_the_log_is_limited() {
    let mut test = Test::new(|options| options.max_private_bytes = 4_000);
    let generation = test.begin(1, "pid");
    let start = test.emit("start", &private(1));
    let offsets: Vec<_> = (0..20).map(|_| test.emit(&answer(), &private(1))).collect();
    let kept = test.state.kept();
    assert!(kept.event_bytes <= 4_000 && kept.events >= 2, "{kept:?}");
    let last_dropped = &offsets[offsets.len() - 1 - kept.events];
    test.suspend(1, generation);
    assert_eq!(test.claim("pid", Some(&start)).unwrap_err(), ClaimError::LogTooShort);
    let session = test.claim("pid", Some(last_dropped)).unwrap();
    assert_eq!(test.resume(&session).unwrap().0.len(), kept.events);
}

#[test]
fn an_event_that_is_larger_than_the_share_is_not_kept_and_its_client_is_refused() {
    let mut test = Test::new(|options| options.max_private_bytes = 4_000);
    let (generation, other) = (test.begin(1, "pid"), test.begin(2, "other"));
    test.suspend(1, generation);
    test.suspend(2, other);
    test.emit(&"large".repeat(1000), &private(1));
    assert!(test.state.kept().event_bytes < 2_000, "{:?}", test.state.kept());
    assert_eq!(test.claim("pid", None).unwrap_err(), ClaimError::LogTooShort);
    assert!(test.claim("other", None).is_ok());
    let last = test.emit("later", &private(1));
    assert_eq!(test.claim("pid", None).unwrap_err(), ClaimError::LogTooShort);
    assert_eq!(test.claim("pid", Some(&last)).unwrap_err(), ClaimError::InvalidOffset);
}

#[test]
fn many_clients_together_take_at_most_half_of_the_log() {
    let mut test = Test::new(|options| options.max_log_bytes = 100_000);
    let other = test.begin(200, "other");
    test.suspend(200, other);
    test.emit("missed", &BroadcastOptions::new());
    for round in 0..20 {
        for socket in 1..=50 {
            if round == 0 {
                test.begin(socket, &format!("pid {socket}"));
            }
            test.emit(&answer(), &private(socket));
        }
    }
    assert!(test.state.kept().event_bytes <= 51_000, "{:?}", test.state.kept());
    test.state.handle_timeout(test.now);
    test.now = test.now + 180 * SECOND;
    test.state.handle_timeout(test.now);
    assert_eq!((test.state.kept().events, test.state.kept().event_bytes), (0, 0));
}

#[test]
fn members_of_the_room_of_another_socket_recover_what_was_sent_there() {
    let mut test = Test::new(|_| {});
    test.begin(1, "owner");
    let member = test.begin(2, "member");
    test.join(2, id(1).as_str());
    test.suspend(2, member);
    test.emit("to both", &to(id(1).as_str()));
    test.emit("private", &private(1));
    assert_eq!(test.recover("member", None).unwrap(), ["to both"]);
}
