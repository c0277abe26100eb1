//! What the sessions of the test have received, and what they had to receive.

use super::model::{Event, Gets, To};
use super::{CLIENTS, Test};

impl Test {
    /// Checks what all sessions have received.
    pub(super) async fn check(mut self) {
        let seed = self.seed;
        self.settle();
        self.emit(1, To::All);
        self.settle();
        for client in 0..CLIENTS {
            self.read(client, usize::MAX).await;
            assert!(self.clients[client].asked.is_empty(), "seed {seed}: a question does not arrive");
        }
        let last = self.events.len() - 1;
        let mut log = vec![];
        while log.last() != Some(&last) {
            note(&self.observer.next().await, &mut log, &mut 0, seed);
        }
        // The server of a session without a gap had its link, so these events are in the log too.
        let private = |event: &Event| matches!(event.to, To::SocketOf(_));
        log.extend((0..=last).filter(|number| private(&self.events[*number])));
        log.sort_unstable();
        let lines = self.cluster.programs.iter_mut().flat_map(|program| program.lines.now());
        let mut questions: Vec<usize> = lines.map(|line| line.parse().expect("a number")).collect();
        questions.sort_unstable();
        assert_eq!(
            questions,
            (0..self.questions.1).collect::<Vec<_>>(),
            "seed {seed}: the servers' questions"
        );
        for (index, session) in self.sessions.iter().enumerate() {
            let is_live = self.clients.iter().any(|client| client.session == index);
            for number in &session.received {
                let event = &self.events[*number];
                assert_ne!(
                    session.gets(index, event),
                    Gets::No,
                    "seed {seed}: session {index} of {:?} gets event {number}, {event:?}, {:?}",
                    session.socket.id(),
                    session.rooms
                );
            }
            if session.has_gap {
                assert!(!is_live || session.received.last() == Some(&last), "seed {seed}");
                continue;
            }
            let end = if is_live { last + 1 } else { session.received.last().map_or(0, |last| last + 1) };
            for number in log.iter().filter(|number| **number < end) {
                let event = &self.events[*number];
                assert!(
                    session.gets(index, event) != Gets::Yes || session.received.contains(number),
                    "seed {seed}: session {index} misses event {number}, {event:?}, {:?}, received {:?}",
                    session.rooms,
                    session.received
                );
            }
        }
    }
}

/// Notes an event. The numbers of the events increase in the order of the log, so each one comes at most once.
pub(super) fn note(event: &str, received: &mut Vec<usize>, last_volatile: &mut usize, seed: u64) {
    let mut words = event.split(' ');
    let (name, number) = (words.next().expect("a name"), words.next().expect("a number"));
    let number = number.parse().expect("a number");
    match name {
        "event" => {
            let last = received.last();
            assert!(last < Some(&number), "seed {seed}: event {number} comes after {last:?}");
            received.push(number);
        }
        "volatile" => {
            assert_eq!(words.next(), Some("text"), "seed {seed}");
            assert!(*last_volatile < number, "seed {seed}: volatile event {number}");
            *last_volatile = number;
        }
        _ => panic!("seed {seed}: {event}"),
    }
}
