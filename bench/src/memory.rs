//! Memory that comes back: what the binary keeps resident after many clients, or a few hostile ones, have left.
//!
//! Each scenario has a fresh server. Clients fill its memory and leave, and the resident memory is read for half a minute.

mod clients;
mod scenario;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::host::{self, Cpu};
use scenario::Scenario;

/// How long the server may take until it listens.
const START: Duration = Duration::from_secs(10);

/// The seconds after the end of the clients at which the memory is read.
const TIMES: [u64; 6] = [0, 1, 2, 5, 10, 30];

/// The server, and the number of its clients.
#[derive(Debug)]
pub struct Options {
    connections: usize,
    /// The command of the server. `{port}` stands for the port.
    command: Vec<String>,
}

impl Options {
    /// Parses `[--connections N] COMMAND...`.
    pub fn from_arguments(arguments: &[String]) -> Result<Self> {
        let (connections, command) = match arguments {
            [flag, number, command @ ..] if flag == "--connections" => (number.parse()?, command),
            command => (10_000, command),
        };
        ensure!(command.iter().any(|word| word.contains("{port}")), "a command with {{port}} is needed");
        Ok(Self { connections, command: command.to_vec() })
    }
}

/// Runs all scenarios and prints a table.
pub fn run(options: &Options) -> Result<()> {
    println!("{} connections, resident memory in MiB", options.connections);
    let times = TIMES.map(|seconds| format!(" after {seconds} s |")).concat();
    println!(
        "| clients | at the start | with the clients | peak |{times}\n|---|{}",
        "---:|".repeat(TIMES.len() + 3)
    );
    for scenario in Scenario::ALL {
        let server = Server::start(&options.command)?;
        server.settle()?;
        let start = server.resident()?;
        let clients = scenario.fill(server.address, options.connections)?;
        server.settle()?;
        let full = server.resident()?;
        let peak = mebibytes(host::peak(server.child.id())?);
        clients.leave();
        let left = Instant::now();
        let mut cells = vec![start, full, peak];
        for seconds in TIMES {
            sleep(Duration::from_secs(seconds).saturating_sub(left.elapsed()));
            cells.push(server.resident()?);
        }
        let cells: String = cells.iter().map(|mebibytes| format!(" {mebibytes:.1} |")).collect();
        println!("| {} |{cells}", scenario.name());
    }
    Ok(())
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(command: &[String]) -> Result<Self> {
        // The system chooses a free port. Another process could still take it before the server does.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut words = command.iter().map(|word| word.replace("{port}", &address.port().to_string()));
        let program = words.next().context("a server without a command")?;
        let child = Command::new(&program).args(words).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let mut server = Self { child: child.with_context(|| format!("cannot start {program}"))?, address };
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = server.child.try_wait()? {
                bail!("the server ended: {status}");
            }
            ensure!(start.elapsed() < START, "the server does not listen");
            sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    /// Returns the resident memory in MiB.
    fn resident(&self) -> Result<f64> {
        Ok(mebibytes(host::resident(self.child.id())?))
    }

    /// Waits until the server is idle.
    fn settle(&self) -> Result<()> {
        let start = Instant::now();
        let mut before = Cpu::of(self.child.id())?.ran;
        loop {
            sleep(Duration::from_millis(300));
            let now = Cpu::of(self.child.id())?.ran;
            if now - before < Duration::from_millis(6) || start.elapsed() > Duration::from_secs(10) {
                return Ok(());
            }
            before = now;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
