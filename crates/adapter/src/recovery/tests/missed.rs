//! Which events a client has missed, and how many are examined to know that.

use super::*;

/// Numbers that look random and are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

#[test]
fn a_client_gets_the_events_that_its_socket_would_have_received_and_no_others() {
    const ROOMS: [&str; 4] = ["a", "b", "c", "d"];
    for seed in 0..60 {
        let mut numbers = Numbers(seed);
        let mut test = Test::new(|_| {});
        let mut generation = test.begin(1, "pid");
        test.begin(2, "other");
        let (mut expected, mut offset, mut is_away) = (Vec::new(), None, false);
        for number in 0..200 {
            let room = |numbers: &mut Numbers| match numbers.below(6) {
                0 => Room::from(id(1)),
                1 => Room::from(id(2)),
                _ => ROOMS[numbers.below(4) as usize].into(),
            };
            match numbers.below(20) {
                // A client that has received all, and one whose last events were lost.
                0 if !is_away => is_away = test.suspend(1, generation),
                1 if is_away => {
                    let session = test.claim("pid", offset.as_deref()).unwrap();
                    let missed;
                    (missed, generation) = test.resume(&session).unwrap();
                    let names: Vec<_> = missed
                        .iter()
                        .map(|event| event.json().split('"').nth(1).unwrap().to_owned())
                        .collect();
                    assert_eq!(names, expected, "seed {seed}");
                    is_away = false;
                    if numbers.below(2) == 0 {
                        (expected, offset) = (Vec::new(), missed.last().map(offset_of).or(offset));
                    }
                }
                2..=4 if !is_away => match room(&mut numbers) {
                    room if room == Room::from(id(1)) => {}
                    room if numbers.below(2) == 0 => test.join(1, &room),
                    room => test.leave(1, &room),
                },
                _ => {
                    let mut options = BroadcastOptions::new();
                    for _ in 0..numbers.below(3) {
                        options = options.to(room(&mut numbers));
                    }
                    for _ in 0..numbers.below(3) / 2 {
                        options = options.except(room(&mut numbers));
                    }
                    let is_in = |room: &Room| match is_away {
                        false => test.sockets[&1].contains(room),
                        true => {
                            let rooms = test.claim("pid", offset.as_deref()).unwrap().rooms;
                            rooms.contains(room) || *room == Room::from(id(1))
                        }
                    };
                    let selects = (options.rooms.is_empty() || options.rooms.iter().any(is_in))
                        && !options.except.iter().any(is_in);
                    let name = number.to_string();
                    let sent = test.emit(&name, &options);
                    if selects && !is_away && numbers.below(3) == 0 {
                        (expected, offset) = (Vec::new(), Some(sent));
                    } else if selects {
                        expected.push(name);
                    }
                }
            }
        }
    }
}

#[test]
fn the_number_of_events_that_are_examined_for_a_client_is_limited() {
    let excludes = |rooms: &[&str]| rooms.iter().fold(to("a"), |options, room| options.except(*room));
    for (sent, expected) in [
        // Each of them must be examined, although the client gets none.
        (vec![excludes(&["b"]); 3], Ok(0)),
        (vec![excludes(&["b"]); 4], Err(ClaimError::TooManyToExamine)),
        (vec![excludes(&["x", "y", "z", "b"]); 1], Ok(0)),
        (vec![excludes(&["x", "y", "z", "b"]); 2], Err(ClaimError::TooManyToExamine)),
        (vec![to("a").to("b"); 3], Ok(3)),
        (vec![to("a").to("b"); 4], Err(ClaimError::TooManyToExamine)),
        (vec![to("x"); 100], Ok(0)),
    ] {
        let mut test = Test::new(|options| options.max_missed_events = 3);
        let generation = test.begin(1, "pid");
        test.join(1, "a");
        test.join(1, "b");
        test.suspend(1, generation);
        let number = sent.len();
        for options in &sent {
            test.emit("x", options);
        }
        let missed = test.recover("pid", None).map(|missed| missed.len());
        assert_eq!(missed, expected, "{number} of {:?}", sent[0]);
    }
}
