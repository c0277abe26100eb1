//! Several servers run at the same time, and each is loaded for a moment in turn. Noise on a shared machine then
//! affects all of them alike.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::echo::{Echo, WARM_UP, open};
use super::fleet::Fleet;
use super::options::{Extent, Options, Protocol, Workload};
use crate::host::Cpu;

/// How long a server is loaded in one turn: long compared with its response time, short compared with the noise of the
/// machine.
const TURN: Duration = Duration::from_millis(50);
/// The pause after the last turn. The last server must be asleep too when its processor time is read.
const PAUSE: Duration = Duration::from_millis(20);

/// The load on one server and its cost.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Turns {
    /// Processor time for each response in microseconds, by turn; `None` for a turn without a response.
    pub costs: Vec<Option<f64>>,
    pub lost: u64,
    pub wrong: u64,
    pub reordered: u64,
    pub disconnected: u64,
}

/// The options of a run in turn.
#[derive(Debug, Clone)]
pub struct InTurn {
    /// One entry for each server. They differ only in address and process.
    servers: Vec<Options>,
    turns: usize,
}

impl InTurn {
    /// `PROTOCOL WORKLOAD TURNS (ADDRESS PROCESS)...`.
    pub fn from_arguments(arguments: &[String]) -> Result<Self> {
        let [protocol, workload, turns, servers @ ..] = arguments else {
            bail!("usage: load in-turn raw|socket.io WORKLOAD TURNS ADDRESS PROCESS [ADDRESS PROCESS ...]");
        };
        let workload = Workload::named(workload)?;
        if !matches!(workload, Workload::Echo { .. }) {
            bail!("{} cannot be interrupted and gone on with; an echo can", workload.name());
        }
        let (servers, []) = servers.as_chunks() else { bail!("an address without a process") };
        let server = |[address, process]: &[String; 2]| -> Result<Options> {
            Ok(Options {
                address: address.parse().context("the address")?,
                process: process.parse().context("the process")?,
                protocol: Protocol::named(protocol)?,
                workload,
                extent: Extent::Time(TURN),
            })
        };
        Ok(Self {
            servers: servers.iter().map(server).collect::<Result<_>>()?,
            turns: turns.parse().context("the turns")?,
        })
    }
}

/// Loads each of the servers for `turns` turns.
///
/// # Errors
/// A server does not respond, or sends a wrong response.
pub fn run_in_turn(plan: &InTurn) -> Result<Vec<Turns>> {
    let mut subjects = plan.servers.iter().map(Subject::open).collect::<Result<Vec<_>>>()?;
    let count = subjects.len();
    for turn in 0..plan.turns {
        for place in 0..count {
            // Change the order, so that no server always follows the same other one.
            let forward = (turn / 2 + place) % count;
            subjects[if turn % 2 == 0 { forward } else { count - 1 - forward }].take_turn()?;
        }
    }
    std::thread::sleep(PAUSE);
    subjects.into_iter().map(Subject::end).collect()
}

/// One server and its load.
struct Subject<'a> {
    options: &'a Options,
    fleet: Fleet,
    echo: Echo,
    in_flight: usize,
    /// The server's processor time and its number of responses when the current turn began.
    began: Option<(Cpu, u64)>,
    found: Turns,
}

impl<'a> Subject<'a> {
    fn open(options: &'a Options) -> Result<Self> {
        let Workload::Echo { in_flight, .. } = options.workload else { unreachable!() };
        let (fleet, echo) = open(options)?;
        let mut subject = Self { options, fleet, echo, in_flight, began: None, found: Turns::default() };
        subject.go_on_for(WARM_UP)?;
        Ok(subject)
    }

    fn take_turn(&mut self) -> Result<()> {
        self.account()?;
        self.go_on_for(TURN)
    }

    /// Wait for all responses, so that no work is left for the turn of another server.
    fn go_on_for(&mut self, duration: Duration) -> Result<()> {
        self.echo.begin(&mut self.fleet, self.in_flight)?;
        self.echo.go_on_for(&mut self.fleet, duration)?;
        self.echo.finish(&mut self.fleet)?;
        self.found.lost += self.echo.tally().lost;
        self.echo.resume();
        Ok(())
    }

    /// Read the time only now, after the turns of others: the server has gone to sleep by now, and the kernel has
    /// accounted its processor time.
    fn account(&mut self) -> Result<()> {
        let now = (Cpu::of(self.options.process)?, self.echo.answered());
        if let Some((cpu, answered)) = self.began.replace(now) {
            let answers = now.1 - answered;
            let micros = now.0.since(cpu).ran.as_secs_f64() * 1e6;
            self.found.costs.push((answers > 0).then(|| micros / answers as f64));
        }
        Ok(())
    }

    fn end(mut self) -> Result<Turns> {
        self.account()?;
        let tally = self.echo.tally();
        Ok(Turns {
            wrong: tally.wrong,
            reordered: tally.reordered,
            disconnected: self.fleet.gone() as u64,
            ..self.found
        })
    }
}
