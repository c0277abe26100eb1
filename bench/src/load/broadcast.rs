//! Broadcasts in a room. The first member keeps some broadcasts in flight. A broadcast is complete when the last member
//! has received it.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::echo::{TICK, WARM_UP};
use super::fleet::{Asked, Conversation, Fleet, RESPONSE_TIMEOUT};
use super::measure::{Reading, Row};
use super::options::{Extent, Options, Protocol, Workload};
use super::script::{Kind, Script, frame};
use super::tally::{Histogram, Tally};

pub(super) fn run(options: &Options) -> Result<Row> {
    let Workload::Broadcast { connections, in_flight, size, compression } = options.workload else {
        unreachable!()
    };
    let asked = match options.protocol {
        Protocol::Raw => Asked { path: "/broadcast", compression, repeats: true },
        Protocol::SocketIo => Asked::of(options.protocol),
    };
    let mut fleet = Fleet::open_and_ask(options.address, options.protocol, connections, asked)?;
    let kind = match options.protocol {
        Protocol::Raw => Kind::Raw,
        Protocol::SocketIo => {
            join(&mut fleet)?;
            Kind::Broadcast
        }
    };
    let mut room = Room::new(Script::for_compression(kind, size, compression), connections);
    if let Some(agreement) = fleet.agreement() {
        room.script.pack(agreement);
    }
    let start = Reading::take(options.process)?;
    let (from, before) = match options.extent {
        Extent::Messages(_) => (start, 0),
        Extent::Time(_) => {
            room.go_on_for(&mut fleet, in_flight, WARM_UP)?;
            room.histogram.clear();
            (Reading::take(options.process)?, room.delivered())
        }
    };
    match options.extent {
        Extent::Time(duration) => room.go_on_for(&mut fleet, in_flight, duration)?,
        Extent::Messages(messages) => room.send_all(&mut fleet, in_flight, messages as u32)?,
    }
    let to = Reading::take(options.process)?;
    let delivered = room.delivered() - before;
    room.finish(&mut fleet)?;
    let mut row = Row::new(options);
    row.set_cost(from, to, delivered);
    row.set_latency(&room.histogram);
    row.set_tally(room.tally);
    row.set("disconnected", fleet.gone() as f64);
    row.set_compression(compression, &fleet);
    Ok(row)
}

/// Makes all connections members of the room.
pub(super) fn join(fleet: &mut Fleet) -> Result<()> {
    let request = frame(br#"42100000000["join"]"#);
    let mut joining = Joining(0);
    let start = Instant::now();
    for member in 0..fleet.len() {
        fleet.send(member, &request)?;
        // Do not join all at once, so that no accept queue or socket buffer fills up.
        if member % 64 == 0 {
            fleet.turn(Some(Duration::from_millis(1)), &mut joining)?;
        }
    }
    while joining.0 < fleet.len() {
        fleet.turn(Some(TICK), &mut joining)?;
        ensure!(start.elapsed() < RESPONSE_TIMEOUT, "joining was not acknowledged");
    }
    Ok(())
}

struct Joining(usize);

impl Conversation for Joining {
    fn on_message(&mut self, _: usize, payload: &[u8], _: &mut Vec<u8>) {
        self.0 += usize::from(payload.starts_with(b"43100000000["));
    }
}

/// The maximum number of broadcasts in flight. Their counts are in a ring buffer.
const RING: usize = 64;

#[derive(Debug)]
pub(super) struct Room {
    script: Script,
    /// The next broadcast that each member should get.
    next_of: Vec<u32>,
    /// The number of members that still miss each broadcast, and when it was sent.
    missing: [(usize, u64); RING],
    sent: u32,
    /// The number of broadcasts that all members have received.
    complete: u32,
    /// How long the last member waited for each complete broadcast, in nanoseconds.
    bursts: Vec<u64>,
    histogram: Histogram,
    tally: Tally,
    origin: Instant,
}

impl Room {
    pub(super) fn new(script: Script, members: usize) -> Self {
        Self {
            script,
            next_of: vec![0; members],
            missing: [(0, 0); RING],
            sent: 0,
            complete: 0,
            bursts: Vec::new(),
            histogram: Histogram::new(),
            tally: Tally::default(),
            origin: Instant::now(),
        }
    }

    fn delivered(&self) -> u64 {
        self.tally.right + self.tally.reordered
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// How long the last member waited for each broadcast that is complete, in nanoseconds.
    pub(super) fn bursts(&self) -> &[u64] {
        &self.bursts
    }

    pub(super) fn forget_bursts(&mut self) {
        self.bursts.clear();
    }

    /// Returns whether a member waits for a broadcast.
    pub(super) fn waits(&self) -> bool {
        self.complete < self.sent
    }

    /// Sends one broadcast more, whether or not others are in flight.
    pub(super) fn send_one(&mut self, fleet: &mut Fleet) -> Result<()> {
        let in_flight = (self.sent - self.complete) as usize + 1;
        ensure!(in_flight <= RING, "the room is {RING} broadcasts behind");
        self.refill(fleet, in_flight)
    }

    /// Sends as many broadcasts as may be in flight, in one write.
    fn refill(&mut self, fleet: &mut Fleet, in_flight: usize) -> Result<()> {
        let mut out = Vec::new();
        while ((self.sent - self.complete) as usize) < in_flight {
            self.missing[self.sent as usize % RING] =
                (self.next_of.len(), self.origin.elapsed().as_nanos() as u64);
            self.script.put_request(&mut out, 0, self.sent);
            self.sent += 1;
        }
        if out.is_empty() { Ok(()) } else { fleet.send(0, &out) }
    }

    fn go_on_for(&mut self, fleet: &mut Fleet, in_flight: usize, duration: Duration) -> Result<()> {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            self.refill(fleet, in_flight)?;
            fleet.turn(Some(TICK), self)?;
        }
        Ok(())
    }

    /// Sends `count` broadcasts in total and waits for them.
    pub(super) fn send_all(&mut self, fleet: &mut Fleet, in_flight: usize, count: u32) -> Result<()> {
        while self.sent < count {
            self.refill(fleet, in_flight.min((count - self.complete) as usize))?;
            fleet.turn(Some(TICK), self)?;
        }
        self.finish(fleet)
    }

    /// Waits for the missing deliveries. Those that do not arrive are lost.
    pub(super) fn finish(&mut self, fleet: &mut Fleet) -> Result<()> {
        let (mut last_progress, mut before) = (Instant::now(), self.delivered());
        while self.complete < self.sent && last_progress.elapsed() < RESPONSE_TIMEOUT {
            fleet.turn(Some(TICK), self)?;
            if self.delivered() > before {
                (last_progress, before) = (Instant::now(), self.delivered());
            }
        }
        self.tally.lost = (u64::from(self.sent) * self.next_of.len() as u64).saturating_sub(self.delivered());
        Ok(())
    }

    fn arrived(&mut self, order: u32) {
        let now = self.origin.elapsed().as_nanos() as u64;
        let (missing, sent) = &mut self.missing[order as usize % RING];
        self.histogram.record(now.saturating_sub(*sent));
        *missing = missing.saturating_sub(1);
        while self.complete < self.sent
            && let (0, sent) = self.missing[self.complete as usize % RING]
        {
            self.complete += 1;
            self.bursts.push(now.saturating_sub(sent));
        }
    }
}

/// Removes the offset that a server with connection state recovery appends to an event: `,"` and 14 characters. The payloads
/// have no quotes.
fn without_offset(payload: &[u8]) -> Cow<'_, [u8]> {
    const SUFFIX: usize = 14 + 4;
    match payload.split_last_chunk::<SUFFIX>() {
        Some((event, [b',', b'"', ..])) if event.last() == Some(&b'"') => Cow::Owned([event, b"]"].concat()),
        _ => Cow::Borrowed(payload),
    }
}

impl Conversation for Room {
    fn on_message(&mut self, member: usize, payload: &[u8], _: &mut Vec<u8>) {
        let expected = self.next_of[member];
        let payload = &*without_offset(payload);
        if expected < self.sent && self.script.is_answer(payload, 0, expected) {
            self.next_of[member] += 1;
            self.tally.right += 1;
            return self.arrived(expected);
        }
        // This is not the next broadcast. A broadcast in flight counts as out of order. The broadcasts that a member
        // has received are not recorded, so a repeated one counts here too, and the one that it replaced counts as
        // lost.
        match self.script.order_of(payload) {
            Some(order)
                if (self.complete..self.sent).contains(&order)
                    && self.script.is_answer(payload, 0, order) =>
            {
                self.next_of[member] += 1;
                self.tally.reordered += 1;
                self.arrived(order);
            }
            _ => self.tally.wrong += 1,
        }
    }
}
