//! Some connections echo one message at a time, while others keep the server as busy as they can. How long do the first
//! wait?
//!
//! The others have a thread of their own. Its work would otherwise count as a part of the wait.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::broadcast::join;
use super::echo::{Echo, TICK, WARM_UP};
use super::fleet::{Conversation, Fleet};
use super::measure::{Reading, Row};
use super::options::{Extent, Options, Protocol, Shape, Workload};
use super::script::{Kind, Script, frame};

pub(super) fn run(options: &Options) -> Result<Row> {
    let Extent::Time(duration) = options.extent else { bail!("this workload has a duration") };
    ensure!(options.protocol == Protocol::SocketIo, "this workload speaks Socket.IO");
    let (Workload::Attack { echoing, size, .. } | Workload::LargeRoom { echoing, size, .. }) =
        options.workload
    else {
        unreachable!()
    };
    ensure!(echoing > 0, "somebody has to wait");
    let mut fleet = Fleet::open(options.address, options.protocol, echoing)?;
    let mut echo = Echo::new(Script::new(Kind::Event, size), echoing);
    let (ends, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let (ready, is_ready) = mpsc::channel();
    thread::scope(|scope| {
        let loading = scope.spawn(|| {
            // Dropped when the load ends, so that nobody waits for one that has failed.
            let ready = ready;
            load(options, &ready, &ends, &done)
        });
        let measured = is_ready.recv().map(|()| measure(options, duration, &mut fleet, &mut echo, &done));
        ends.store(true, Relaxed);
        loading.join().ok().context("the load has panicked")??;
        measured?
    })
}

/// Opens the other connections, reports that they are ready, and sends until `ends` is set. Writes the number of handled
/// messages to `done`. If the server closes the connections, others take their place.
fn load(options: &Options, ready: &Sender<()>, ends: &AtomicBool, done: &AtomicU64) -> Result<()> {
    let open = |count| Fleet::open(options.address, options.protocol, count);
    let (mut crowd, mut load) = match options.workload {
        Workload::Attack { shape, attackers, .. } => (open(attackers)?, Load::attack(shape)),
        Workload::LargeRoom { members, .. } => {
            let mut room = open(members)?;
            join(&mut room)?;
            (room, Load::room())
        }
        _ => unreachable!(),
    };
    ready.send(())?;
    let senders = if load.all_send { crowd.len() } else { 1 };
    while !ends.load(Relaxed) {
        for sender in 0..senders {
            crowd.send(sender, &load.message)?;
        }
        while !ends.load(Relaxed) && crowd.gone() < crowd.len() {
            crowd.turn(Some(TICK), &mut load)?;
            done.store(load.handled, Relaxed);
        }
        if !ends.load(Relaxed) {
            load.handled += crowd.len() as u64;
            crowd = open(crowd.len())?;
        }
    }
    Ok(())
}

fn measure(
    options: &Options,
    duration: Duration,
    fleet: &mut Fleet,
    echo: &mut Echo,
    done: &AtomicU64,
) -> Result<Row> {
    echo.begin(fleet, 1)?;
    echo.go_on_for(fleet, WARM_UP)?;
    echo.start_measuring();
    let before = (Reading::take(options.process)?, done.load(Relaxed), echo.answered());
    echo.go_on_for(fleet, duration)?;
    let after = (Reading::take(options.process)?, done.load(Relaxed), echo.answered());
    echo.finish(fleet)?;
    let mut row = Row::new(options);
    row.set_cost(before.0, after.0, after.1 - before.1);
    row.set("echoes_per_second", (after.2 - before.2) as f64 / duration.as_secs_f64());
    row.set_latency(echo.histogram());
    row.set_tally(echo.tally());
    row.set("disconnected", fleet.gone() as f64);
    Ok(row)
}

/// What the crowd sends.
struct Load {
    message: Vec<u8>,
    /// What a connection gets when its message has been handled.
    answer: &'static [u8],
    /// Whether every connection sends, or only the first.
    all_send: bool,
    handled: u64,
}

impl Load {
    fn attack(shape: Shape) -> Self {
        let value = match shape {
            Shape::Nested => vec![["[".repeat(120), "]".repeat(120)].concat(); 4_000].join(","),
            Shape::Lists => vec!["[100]"; 160_000].join(","),
        };
        Self::new(format!(r#"420["relay",[{value}]]"#).as_bytes(), b"430[", true)
    }

    fn room() -> Self {
        Self::new(br#"42["broadcast","x"]"#, br#"42["broadcast","#, false)
    }

    fn new(message: &[u8], answer: &'static [u8], all_send: bool) -> Self {
        Self { message: frame(message), answer, all_send, handled: 0 }
    }
}

impl Conversation for Load {
    fn on_message(&mut self, connection: usize, payload: &[u8], out: &mut Vec<u8>) {
        if !payload.starts_with(self.answer) {
            return;
        }
        self.handled += 1;
        if self.all_send || connection == 0 {
            out.extend_from_slice(&self.message);
        }
    }
}
