//! Bursts: once per second, one client makes the server send an event to a large room, while other connections echo short
//! messages one at a time. It shows how long the many wait for the event, and how long the others wait meanwhile.
//!
//! The generator has one thread for both. It looks at the echoing connections after every few deliveries, so that their
//! responses do not wait in the generator behind those of the room.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::broadcast::{Room, join};
use super::echo::{Echo, TICK, WARM_UP};
use super::fleet::{Asked, Fleet, RESPONSE_TIMEOUT};
use super::measure::{Reading, Row};
use super::options::{Extent, Options, Protocol, Workload};
use super::script::{Kind, Script};

/// The time between two events, and the size of their payload in bytes.
const INTERVAL: Duration = Duration::from_secs(1);
const SIZE: usize = 1024;
/// The number of deliveries after which the generator looks at the echoing connections.
const FEW: usize = 16;

pub(super) fn run(options: &Options) -> Result<Row> {
    let Workload::Burst { connections, size, members } = options.workload else { unreachable!() };
    let Extent::Time(duration) = options.extent else { anyhow::bail!("bursts are measured for a time") };
    let mut crowd = Crowd::open(options, connections, size, members)?;
    crowd.echo.begin(&mut crowd.echoing, 1)?;
    crowd.go_on_for(WARM_UP)?;
    crowd.wait_for_the_room()?;
    crowd.echo.start_measuring();
    crowd.room.forget_bursts();
    let (from, before) = (Reading::take(options.process)?, crowd.echo.answered());
    // There is at least one event.
    crowd.go_on_for(duration.max(INTERVAL))?;
    let to = Reading::take(options.process)?;
    let mut row = Row::new(options);
    row.set_cost(from, to, crowd.echo.answered() - before);
    // The time includes the deliveries, so it says nothing about an echo.
    row.figures.remove("cpu_us_per_message");
    row.set_latency(crowd.echo.histogram());
    crowd.wait_for_the_room()?;
    let mut bursts = crowd.room.bursts().to_vec();
    bursts.sort_unstable();
    let median = bursts.get(bursts.len() / 2).context("no event has reached the whole room")?;
    row.set("last_of_room_ms", *median as f64 / 1e6);
    crowd.room.finish(&mut crowd.listening)?;
    crowd.echo.finish(&mut crowd.echoing)?;
    row.set_tally(crowd.echo.tally());
    row.set_tally(crowd.room.tally());
    row.set("disconnected", (crowd.echoing.gone() + crowd.listening.gone()) as f64);
    Ok(row)
}

/// The connections that echo, and those in the room.
struct Crowd {
    echoing: Fleet,
    echo: Echo,
    listening: Fleet,
    room: Room,
}

impl Crowd {
    fn open(options: &Options, connections: usize, size: usize, members: usize) -> Result<Self> {
        let Options { address, protocol, .. } = *options;
        let (asked, echo, broadcast) = match protocol {
            Protocol::Raw => (Asked { path: "/broadcast", ..Asked::of(protocol) }, Kind::Raw, Kind::Raw),
            Protocol::SocketIo => (Asked::of(protocol), Kind::Event, Kind::Broadcast),
        };
        let mut listening = Fleet::open_and_ask(address, protocol, members, asked)?;
        if protocol == Protocol::SocketIo {
            join(&mut listening)?;
        }
        listening.handle_few_at_once(FEW);
        Ok(Self {
            echoing: Fleet::open(address, protocol, connections)?,
            echo: Echo::new(Script::new(echo, size), connections),
            listening,
            room: Room::new(Script::new(broadcast, SIZE), members),
        })
    }

    /// Goes on for that time, with an event in the middle of every second, so that most of what it causes is in that time.
    fn go_on_for(&mut self, duration: Duration) -> Result<()> {
        let start = Instant::now();
        let mut next = INTERVAL / 2;
        loop {
            let now = start.elapsed();
            if now >= duration {
                return Ok(());
            }
            if now >= next {
                self.room.send_one(&mut self.listening)?;
                next += INTERVAL;
            }
            self.turn(next.min(duration).saturating_sub(now))?;
        }
    }

    /// Goes on until the room has all events.
    fn wait_for_the_room(&mut self) -> Result<()> {
        let start = Instant::now();
        while self.room.waits() {
            self.turn(TICK)?;
            ensure!(start.elapsed() < RESPONSE_TIMEOUT, "an event has not reached the whole room");
        }
        Ok(())
    }

    fn turn(&mut self, timeout: Duration) -> Result<()> {
        let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
        let both = [&self.echoing, &self.listening];
        let mut ready = both.map(|fleet| PollFd::new(fleet.epoll(), PollFlags::IN));
        match poll(&mut ready, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("poll"),
        }
        let [echoing, listening] = ready.map(|fleet| !fleet.revents().is_empty());
        if echoing {
            self.echoing.turn(Some(Duration::ZERO), &mut self.echo)?;
        }
        if listening {
            self.listening.turn(Some(Duration::ZERO), &mut self.room)?;
        }
        Ok(())
    }
}
