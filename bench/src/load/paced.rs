//! Open loop: messages are sent on schedule, whether or not responses arrive. Each is timed from its scheduled sending
//! time.
//!
//! A server that stalls is charged for all messages scheduled during the stall, not only for the message that was in
//! flight.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::echo::WARM_UP;
use super::fleet::{Conversation, Fleet, RESPONSE_TIMEOUT};
use super::measure::{Reading, Row};
use super::options::{Extent, Options, Protocol, Workload};
use super::script::{Kind, Script};
use super::tally::{Histogram, Tally};

pub(super) fn run(options: &Options) -> Result<Row> {
    let Workload::Paced { connections, rate, size } = options.workload else { unreachable!() };
    ensure!(rate > 0, "a paced workload has a rate");
    let mut fleet = Fleet::open(options.address, options.protocol, connections)?;
    let kind = if options.protocol == Protocol::Raw { Kind::Raw } else { Kind::Event };
    let interval = Duration::from_secs(1) / rate;
    let mut paced = Paced {
        script: Script::new(kind, size),
        waiting: (0..connections).map(|_| VecDeque::new()).collect(),
        histogram: Histogram::new(),
        tally: Tally::default(),
        origin: Instant::now(),
        interval,
        sent: 0,
    };
    let (measured_from, end) = match options.extent {
        Extent::Time(duration) => {
            let from = (WARM_UP.as_nanos() / interval.as_nanos()) as u64;
            (from, from + (duration.as_nanos() / interval.as_nanos()) as u64)
        }
        Extent::Messages(messages) => (0, messages),
    };
    paced.send_until(&mut fleet, measured_from)?;
    paced.histogram.clear();
    let (from, before) = (Reading::take(options.process)?, paced.answered());
    paced.send_until(&mut fleet, end)?;
    let to = Reading::take(options.process)?;
    let answered = paced.answered() - before;
    paced.finish(&mut fleet)?;
    let mut row = Row::new(options);
    row.set_cost(from, to, answered);
    row.set_latency(&paced.histogram);
    row.set_tally(paced.tally);
    row.set("disconnected", fleet.gone() as f64);
    Ok(row)
}

#[derive(Debug)]
struct Paced {
    script: Script,
    /// The messages in flight, by connection: their numbers in the whole run, which determine their scheduled times.
    waiting: Vec<VecDeque<u64>>,
    histogram: Histogram,
    tally: Tally,
    origin: Instant,
    interval: Duration,
    sent: u64,
}

impl Paced {
    /// Sends the messages up to number `end`, each at its scheduled time.
    fn send_until(&mut self, fleet: &mut Fleet, end: u64) -> Result<()> {
        let mut out = Vec::new();
        while self.sent < end {
            let due = self.due(self.sent);
            let now = self.origin.elapsed();
            if now < due {
                fleet.turn(Some(due - now), self)?;
                continue;
            }
            let connection = self.sent as usize % self.waiting.len();
            self.script.put_request(&mut out, connection, self.sent as u32);
            self.waiting[connection].push_back(self.sent);
            self.sent += 1;
            fleet.send(connection, &out)?;
            out.clear();
        }
        Ok(())
    }

    fn due(&self, message: u64) -> Duration {
        Duration::from_nanos(self.interval.as_nanos() as u64 * message)
    }

    fn answered(&self) -> u64 {
        self.tally.right + self.tally.reordered
    }

    fn finish(&mut self, fleet: &mut Fleet) -> Result<()> {
        let start = Instant::now();
        while self.answered() < self.sent && start.elapsed() < RESPONSE_TIMEOUT {
            fleet.turn(Some(Duration::from_millis(20)), self)?;
        }
        self.tally.lost = self.waiting.iter().map(|waiting| waiting.len() as u64).sum();
        Ok(())
    }
}

impl Conversation for Paced {
    fn on_message(&mut self, connection: usize, payload: &[u8], _: &mut Vec<u8>) {
        let waiting = &mut self.waiting[connection];
        let claimed = self.script.order_of(payload).map(u64::from);
        let place = waiting.iter().position(|&message| Some(message) == claimed);
        let Some(message) = place.and_then(|place| {
            let message = waiting[place];
            self.script.is_answer(payload, connection, message as u32).then(|| waiting.remove(place))?
        }) else {
            self.tally.wrong += 1;
            return;
        };
        if place == Some(0) {
            self.tally.right += 1;
        } else {
            self.tally.reordered += 1;
        }
        let late = self.origin.elapsed().saturating_sub(self.due(message));
        self.histogram.record(late.as_nanos() as u64);
    }
}
