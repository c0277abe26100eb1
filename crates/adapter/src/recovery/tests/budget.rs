//! Several namespaces that have a budget together.

use super::*;

const MAX_LOG_BYTES: usize = 100_000;
const MAX_SESSIONS: usize = 60;
const MAX_SESSION_BYTES: usize = 50_000;

fn budget() -> RecoveryBudget {
    RecoveryBudget::new(MAX_LOG_BYTES, MAX_SESSIONS, MAX_SESSION_BYTES)
}

fn namespace(budget: &RecoveryBudget) -> Test {
    Test::new(|options| options.budget = Some(budget.clone()))
}

/// Loses the connections of as many sessions.
fn lose(test: &mut Test, sessions: u8) {
    for number in 1..=sessions {
        let generation = test.begin(number, &number.to_string());
        test.suspend(number, generation);
    }
}

fn fill(test: &mut Test) {
    (0..300).for_each(|_| drop(test.emit(&"x".repeat(500), &to("nobody"))));
    lose(test, 100);
}

fn sum<'t>(tests: impl IntoIterator<Item = &'t Test>) -> KeptForRecovery {
    tests.into_iter().map(|test| test.state.kept()).fold(KeptForRecovery::default(), |sum, kept| {
        KeptForRecovery {
            events: sum.events + kept.events,
            event_bytes: sum.event_bytes + kept.event_bytes,
            sessions: sum.sessions + kept.sessions,
            session_bytes: sum.session_bytes + kept.session_bytes,
        }
    })
}

fn is_about(value: usize, expected: usize) -> bool {
    (expected * 9 / 10..=expected * 11 / 10).contains(&value)
}

#[test]
fn a_namespace_that_is_alone_keeps_half_and_several_have_the_same_share() {
    let budget = budget();
    let mut tests = vec![namespace(&budget)];
    fill(&mut tests[0]);
    let kept = tests[0].state.kept();
    assert!(is_about(kept.event_bytes, MAX_LOG_BYTES / 2), "{kept:?}");
    assert!(is_about(kept.sessions, MAX_SESSIONS / 2), "{kept:?}");
    tests.extend([namespace(&budget), namespace(&budget)]);
    for _ in 0..20 {
        tests.iter_mut().for_each(fill);
    }
    for kept in tests.iter().map(|test| test.state.kept()) {
        assert!(is_about(kept.event_bytes, MAX_LOG_BYTES / 4), "{kept:?}");
        assert!(is_about(kept.sessions, MAX_SESSIONS / 4), "{kept:?}");
    }
}

/// Lets some namespaces keep all they can, and the first one drop what it must.
fn fill_all_but(quiet: &mut Test, others: &mut [Test]) {
    for _ in 0..40 {
        others.iter_mut().for_each(fill);
        while quiet.state.handle_timeout(quiet.now).is_some_and(|next| next <= quiet.now) {}
    }
}

#[test]
fn a_namespace_that_keeps_little_does_not_lose_it_to_others() {
    let budget = budget();
    let mut quiet = namespace(&budget);
    (0..4).for_each(|_| drop(quiet.emit(&"x".repeat(500), &to("nobody"))));
    lose(&mut quiet, 3);
    let before = quiet.state.kept();
    let mut others: Vec<_> = (0..8).map(|_| namespace(&budget)).collect();
    fill_all_but(&mut quiet, &mut others);
    assert_eq!(quiet.state.kept(), before);
}

#[test]
fn a_namespace_that_keeps_much_drops_some_when_others_come() {
    let budget = budget();
    let mut quiet = namespace(&budget);
    fill(&mut quiet);
    let mut others: Vec<_> = (0..3).map(|_| namespace(&budget)).collect();
    fill_all_but(&mut quiet, &mut others);
    let kept = quiet.state.kept();
    assert!((MAX_LOG_BYTES / 11..=MAX_LOG_BYTES / 5).contains(&kept.event_bytes), "{kept:?}");
    assert!((MAX_SESSIONS / 11..=MAX_SESSIONS / 5).contains(&kept.sessions), "{kept:?}");
}

#[test]
fn namespaces_with_half_of_a_budget_leave_the_other_half_to_the_others() {
    let whole = budget();
    let half = whole.half();
    let mut from_clients: Vec<_> = (0..50).map(|_| namespace(&half)).collect();
    from_clients.iter_mut().for_each(fill);
    let kept = sum(&from_clients);
    assert!(kept.event_bytes <= MAX_LOG_BYTES / 2 && kept.sessions <= MAX_SESSIONS / 2, "{kept:?}");
    let mut other = namespace(&whole);
    fill(&mut other);
    let kept = other.state.kept();
    assert!(kept.event_bytes > MAX_LOG_BYTES / 5 && kept.sessions >= MAX_SESSIONS / 4, "{kept:?}");
}

#[test]
fn a_namespace_that_is_dropped_or_has_a_gap_leaves_its_share_to_others() {
    let budget = budget();
    let mut tests: Vec<_> = (0..50).map(|_| namespace(&budget.half())).collect();
    tests.iter_mut().for_each(fill);
    for test in &mut tests[..25] {
        drop(test.state.note_gap());
        while test.state.handle_timeout(test.now).is_some() {}
    }
    drop(tests.split_off(25));
    let mut other = namespace(&budget);
    fill(&mut other);
    let kept = other.state.kept();
    assert!(is_about(kept.event_bytes, MAX_LOG_BYTES / 2) && kept.sessions == MAX_SESSIONS / 2, "{kept:?}");
}

#[test]
fn an_event_for_which_others_leave_no_room_is_missing_for_those_who_need_it() {
    let budget = RecoveryBudget::new(1_000, 10, 10_000);
    let mut test = namespace(&budget);
    let generation = test.begin(1, "1");
    test.join(1, "a");
    test.suspend(1, generation);
    let generation = test.begin(2, "2");
    test.suspend(2, generation);
    // It is half as large as the limit, so it is kept without its content.
    test.emit(&"x".repeat(500), &to("a"));
    assert_eq!(test.claim("1", None).unwrap_err(), ClaimError::LogTooShort);
    let mut others: Vec<_> = (0..10).map(|_| namespace(&budget)).collect();
    others.iter_mut().for_each(|other| drop(other.emit("x", &to("b"))));
    assert!(sum(others.iter().chain([&test])).event_bytes <= 1_000);
    test.emit("x", &to("a"));
    assert_eq!(test.claim("1", None).unwrap_err(), ClaimError::LogTooShort);
}

#[test]
fn no_mixture_of_what_namespaces_keep_exceeds_the_budget() {
    let whole = budget();
    let half = whole.half();
    let is_in_half = |number: usize| !number.is_multiple_of(3);
    let budget_of = |number| if is_in_half(number) { &half } else { &whole };
    let mut tests: Vec<_> = (0..12).map(|number| namespace(budget_of(number))).collect();
    let mut random = 1_u64;
    let mut next = move |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % below
    };
    let mut largest = KeptForRecovery::default();
    for _ in 0..10_000 {
        // Most events are those of a few namespaces.
        let count = [2, 4, 12][next(3)];
        let number = next(count);
        let test = &mut tests[number];
        let text = "x".repeat([10, 100, 1_000, 20_000, 60_000][next(5).min(next(5))]);
        let socket = 1 + next(100) as u8;
        match next(8) {
            0 => drop(test.emit(&text, &BroadcastOptions::new())),
            1 => drop(test.emit(&text, &(0..40).fold(to("x"), |options, room| options.to(room.to_string())))),
            2..=3 => drop(test.emit(&text, &to("nobody"))),
            4..=5 => {
                test.begin(socket, &socket.to_string());
                test.emit(&text, &to(id(socket).as_str()));
            }
            6 => {
                let generation = test.begin(socket, &socket.to_string());
                (0..next(40)).for_each(|room| test.join(socket, &room.to_string()));
                test.suspend(socket, generation);
            }
            _ => match next(20) {
                0 => *test = namespace(budget_of(number)),
                1 => drop(test.state.note_gap()),
                2 => {
                    let _ = test.state.claim_or_end(&socket.to_string(), None, test.now);
                }
                _ => {
                    test.now = test.now + SECOND;
                    test.state.handle_timeout(test.now);
                }
            },
        }
        for (part, share) in [(0, 1), (1, 2)] {
            let is_part = |number: &usize| part == 0 || is_in_half(*number);
            let kept =
                sum(tests.iter().enumerate().filter(|(number, _)| is_part(number)).map(|(_, test)| test));
            assert!(kept.event_bytes <= MAX_LOG_BYTES / share, "{kept:?}");
            assert!(kept.sessions <= MAX_SESSIONS / share, "{kept:?}");
            assert!(kept.session_bytes <= MAX_SESSION_BYTES / share, "{kept:?}");
            largest.event_bytes = largest.event_bytes.max(kept.event_bytes);
            largest.session_bytes = largest.session_bytes.max(kept.session_bytes);
        }
    }
    assert!(largest.event_bytes > MAX_LOG_BYTES / 2 && largest.session_bytes > MAX_SESSION_BYTES / 2);
    drop(tests);
    let mut other = namespace(&half);
    fill(&mut other);
    assert!(is_about(other.state.kept().event_bytes, MAX_LOG_BYTES / 4), "everything was given back");
}
