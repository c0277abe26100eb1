//! Closed loop: each connection keeps some messages in flight, and each response is followed by the next message at
//! once.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::fleet::{Asked, Conversation, Fleet, RESPONSE_TIMEOUT};
use super::measure::{Reading, Row};
use super::options::{Extent, Options, Protocol, Workload};
use super::script::{Kind, Script};
use super::tally::{Histogram, Tally};

/// The warm-up before the measurement. It fills caches, lets allocators settle and just-in-time compilers finish most
/// of their work.
pub(super) const WARM_UP: Duration = Duration::from_millis(1_000);
/// How often a run checks the total time if nothing else wakes it.
pub(super) const TICK: Duration = Duration::from_millis(100);

pub(super) fn run(options: &Options) -> Result<Row> {
    let Workload::Echo { in_flight, compression, .. } = options.workload else { unreachable!() };
    let (mut fleet, mut echo) = open(options)?;
    if let Extent::Messages(messages) = options.extent {
        echo.limit(messages);
    }
    let start = Reading::take(options.process)?;
    echo.begin(&mut fleet, in_flight)?;
    let (from, answered_before) = match options.extent {
        Extent::Messages(_) => (start, 0),
        Extent::Time(_) => {
            echo.go_on_for(&mut fleet, WARM_UP)?;
            echo.start_measuring();
            (Reading::take(options.process)?, echo.answered())
        }
    };
    match options.extent {
        Extent::Time(duration) => echo.go_on_for(&mut fleet, duration)?,
        Extent::Messages(_) => echo.finish(&mut fleet)?,
    }
    let to = Reading::take(options.process)?;
    let answered = echo.answered() - answered_before;
    let mut row = Row::new(options);
    row.set_cost(from, to, answered);
    row.set_latency(&echo.histogram);
    if let Extent::Time(_) = options.extent {
        row.set_fairness(echo.flights.iter().map(|flight| flight.responses).collect());
    }
    echo.finish(&mut fleet)?;
    row.set_tally(echo.tally);
    row.set("disconnected", fleet.gone() as f64);
    row.set_compression(compression, &fleet);
    Ok(row)
}

/// The connections and their messages.
pub(super) fn open(options: &Options) -> Result<(Fleet, Echo)> {
    let Workload::Echo { connections, size, acks, compression, .. } = options.workload else {
        unreachable!()
    };
    let asked = Asked { compression, ..Asked::of(options.protocol) };
    let fleet = Fleet::open_and_ask(options.address, options.protocol, connections, asked)?;
    let kind = match options.protocol {
        Protocol::Raw => Kind::Raw,
        Protocol::SocketIo if acks => Kind::Ack,
        Protocol::SocketIo => Kind::Event,
    };
    let mut echo = Echo::new(Script::for_compression(kind, size, compression), connections);
    if let Some(agreement) = fleet.agreement() {
        echo.script.pack(agreement);
    }
    Ok((fleet, echo))
}

/// The messages in flight on one connection.
#[derive(Debug, Default)]
struct Flight {
    next: u32,
    /// The sequence number and the time of sending.
    waiting: VecDeque<(u32, u64)>,
    /// The correct responses since the measurement began.
    responses: u64,
}

#[derive(Debug)]
pub(super) struct Echo {
    script: Script,
    flights: Vec<Flight>,
    histogram: Histogram,
    tally: Tally,
    origin: Instant,
    /// Send no more messages, because the run ends.
    ending: bool,
    /// The number of messages still to be sent, if it is fixed.
    left: Option<u64>,
}

impl Echo {
    pub(super) fn new(script: Script, connections: usize) -> Self {
        Self {
            script,
            flights: (0..connections).map(|_| Flight::default()).collect(),
            histogram: Histogram::new(),
            tally: Tally::default(),
            origin: Instant::now(),
            ending: false,
            left: None,
        }
    }

    /// Forgets the times and the numbers of the responses so far.
    pub(super) fn start_measuring(&mut self) {
        self.histogram.clear();
        self.flights.iter_mut().for_each(|flight| flight.responses = 0);
    }

    pub(super) fn histogram(&self) -> &Histogram {
        &self.histogram
    }

    /// Sends that number of messages and no more.
    pub(super) fn limit(&mut self, messages: u64) {
        self.left = Some(messages);
    }

    /// Sends the first messages of every connection, with one write for each connection.
    pub(super) fn begin(&mut self, fleet: &mut Fleet, in_flight: usize) -> Result<()> {
        let mut out = Vec::new();
        for connection in 0..fleet.len() {
            let now = self.now();
            for _ in 0..in_flight {
                self.put_next(connection, now, &mut out);
            }
            fleet.send(connection, &out)?;
            out.clear();
        }
        Ok(())
    }

    pub(super) fn go_on_for(&mut self, fleet: &mut Fleet, duration: Duration) -> Result<()> {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            fleet.turn(Some(TICK), self)?;
        }
        Ok(())
    }

    /// Waits for the missing responses. Those that do not arrive are lost.
    pub(super) fn finish(&mut self, fleet: &mut Fleet) -> Result<()> {
        self.ending = self.left.is_none();
        let mut last_progress = Instant::now();
        let mut before = self.answered();
        let missing =
            |echo: &Self| echo.flights.iter().map(|flight| flight.waiting.len() as u64).sum::<u64>();
        while (missing(self) > 0) && last_progress.elapsed() < RESPONSE_TIMEOUT && fleet.gone() < fleet.len()
        {
            fleet.turn(Some(TICK), self)?;
            if self.answered() > before {
                before = self.answered();
                last_progress = Instant::now();
            }
        }
        self.tally.lost = missing(self);
        Ok(())
    }

    /// Continues after [`finish`](Self::finish). Lost responses are not waited for any more.
    pub(super) fn resume(&mut self) {
        self.ending = false;
        self.tally.lost = 0;
        self.flights.iter_mut().for_each(|flight| flight.waiting.clear());
    }

    pub(super) fn answered(&self) -> u64 {
        self.tally.right + self.tally.reordered
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    fn now(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }

    fn put_next(&mut self, connection: usize, now: u64, out: &mut Vec<u8>) {
        match &mut self.left {
            _ if self.ending => return,
            Some(0) => return,
            Some(left) => *left -= 1,
            None => {}
        }
        let flight = &mut self.flights[connection];
        self.script.put_request(out, connection, flight.next);
        flight.waiting.push_back((flight.next, now));
        flight.next += 1;
    }
}

impl Conversation for Echo {
    fn on_message(&mut self, connection: usize, payload: &[u8], out: &mut Vec<u8>) {
        let now = self.now();
        let flight = &mut self.flights[connection];
        match flight.waiting.front() {
            Some(&(order, sent)) if self.script.is_answer(payload, connection, order) => {
                flight.waiting.pop_front();
                self.tally.right += 1;
                flight.responses += 1;
                self.histogram.record(now - sent);
            }
            _ => {
                let claimed = self.script.order_of(payload);
                let place = flight.waiting.iter().position(|&(order, _)| Some(order) == claimed);
                match (place, claimed) {
                    (Some(place), Some(order)) if self.script.is_answer(payload, connection, order) => {
                        let (_, sent) = flight.waiting.remove(place).expect("the place was found");
                        self.tally.reordered += 1;
                        flight.responses += 1;
                        self.histogram.record(now - sent);
                    }
                    _ => {
                        self.tally.wrong += 1;
                        return;
                    }
                }
            }
        }
        self.put_next(connection, now, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns three messages of connection 0 in flight, and the expected responses.
    fn under_way() -> (Echo, Vec<Vec<u8>>) {
        let mut echo = Echo::new(Script::new(Kind::Raw, 32), 1);
        (0..3).for_each(|_| echo.put_next(0, 0, &mut Vec::new()));
        echo.ending = true;
        let answers = (0..3).map(|order| echo.script.request(0, order).to_vec()).collect();
        (echo, answers)
    }

    fn counts(mut echo: Echo, answers: &[&[u8]]) -> (u64, u64, u64, usize) {
        answers.iter().for_each(|answer| echo.on_message(0, answer, &mut Vec::new()));
        let Tally { right, reordered, wrong, .. } = echo.tally;
        (right, reordered, wrong, echo.flights[0].waiting.len())
    }

    #[test]
    fn right_answers_are_right() {
        let (echo, answers) = under_way();
        assert_eq!(counts(echo, &[&answers[0], &answers[1], &answers[2]]), (3, 0, 0, 0));
    }

    #[test]
    fn an_answer_out_of_its_place_is_seen() {
        let (echo, answers) = under_way();
        assert_eq!(counts(echo, &[&answers[1], &answers[0], &answers[2]]), (2, 1, 0, 0));
    }

    #[test]
    fn a_damaged_a_repeated_and_a_foreign_answer_are_wrong_and_what_they_stand_for_is_missed() {
        let (echo, answers) = under_way();
        let mut damaged = answers[0].clone();
        damaged[31] ^= 1;
        assert_eq!(counts(echo, &[&damaged]), (0, 0, 1, 3));
        let (echo, answers) = under_way();
        assert_eq!(counts(echo, &[&answers[0], &answers[0]]), (1, 0, 1, 2));
        let (mut echo, _) = under_way();
        let foreign = echo.script.request(1, 0).to_vec();
        assert_eq!(counts(echo, &[&foreign, b""]), (0, 0, 2, 3));
    }
}
