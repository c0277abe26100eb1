//! A reconnect storm: a server, some processes with its clients, and the moment at which all of them return.
//!
//! The clients of each process have a loopback address of their own, so that the ports of one address do not limit their
//! number. They are the generator's own code, as for all workloads, and not Tidewire's clients.

mod clients;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::host::{self, Cpu};
pub use clients::run_clients;

/// The first argument of a process with clients.
pub const CLIENTS: &str = "clients";

/// How long the server may take until it listens.
const START: Duration = Duration::from_secs(10);

/// The number of clients, and how they are divided.
#[derive(Debug)]
pub struct Options {
    connections: usize,
    processes: usize,
    /// The clients ask for the recovery of their connection state, and the server offers it.
    recovery: bool,
    server: PathBuf,
}

impl Options {
    /// Parses `[--connections N] [--processes N] [--recovery] [SERVER]`.
    pub fn from_arguments(arguments: &[String]) -> Result<Self> {
        let beside = std::env::current_exe()?.with_file_name("ours");
        let mut options = Self { connections: 10_000, processes: 4, recovery: false, server: beside };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut number = || -> Result<usize> {
                let text = words.next().with_context(|| format!("{word} needs a number"))?;
                text.parse().with_context(|| format!("{text:?} is no number"))
            };
            match &**word {
                "--connections" => options.connections = number()?,
                "--processes" => options.processes = number()?,
                "--recovery" => options.recovery = true,
                flag if flag.starts_with("--") => bail!("{flag} is no option of the storm"),
                server => options.server = server.into(),
            }
        }
        ensure!((1..=200).contains(&options.processes), "there can be 1 to 200 processes");
        ensure!(options.connections >= options.processes, "each process needs a client");
        Ok(options)
    }
}

/// What the clients of a process, or all of them, report after they were served.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Served {
    /// The time from the order to connect until each client had the response to its first event, in milliseconds.
    waits: Vec<f64>,
    /// Attempts that failed and were repeated.
    failures: usize,
    /// Clients whose session was recovered.
    recovered: usize,
    /// Responses that were not the expected ones.
    wrong: usize,
}

/// Runs the storm and prints what it has measured.
pub fn run(options: &Options) -> Result<()> {
    let Options { connections, processes, recovery, .. } = options;
    println!(
        "{connections} clients in {processes} processes, recovery {}",
        if *recovery { "on" } else { "off" }
    );
    let server = Server::start(options)?;
    let mut clients = Clients::start(options, server.address)?;
    report("all connect at once", &server, &clients.connect()?)?;
    let before = server.settled()?;
    println!("memory of {connections} idle connections: {}", mebibytes(before));
    server.forget_peak()?;
    for storm in 1..=3 {
        clients.cut()?;
        let served = clients.connect()?;
        report(&format!("storm {storm}: all return at once"), &server, &served)?;
        let peak = host::peak(server.process())?;
        println!("  memory: peak {}, then {}", mebibytes(peak), mebibytes(server.settled()?));
        server.forget_peak()?;
    }
    drop((clients, server));

    let fresh = Server::start(options)?;
    let mut clients = Clients::start(options, fresh.address)?;
    clients.connect()?;
    println!("a fresh server with as many idle connections: {}", mebibytes(fresh.settled()?));
    Ok(())
}

fn report(what: &str, server: &Server, served: &Served) -> Result<()> {
    let mut waits = served.waits.clone();
    waits.sort_by(f64::total_cmp);
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize] / 1_000.0;
    println!(
        "{what}: half served after {:.2} s, 99 % after {:.2} s, all {} after {:.2} s",
        at(0.5),
        at(0.99),
        waits.len(),
        at(1.0),
    );
    let Served { failures, recovered, wrong, .. } = served;
    println!(
        "  {failures} failed attempts, {recovered} recovered sessions, processor time of the server so far {:.2} s",
        Cpu::of(server.process())?.ran.as_secs_f64()
    );
    ensure!(*wrong == 0, "{wrong} responses were wrong");
    Ok(())
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(options: &Options) -> Result<Self> {
        // The system chooses a free port. Another process could still take it before the server does.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = Command::new(&options.server);
        command.arg(address.to_string());
        if options.recovery {
            command.args(["default", "recovery"]);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let mut child = child.with_context(|| format!("cannot start {}", options.server.display()))?;
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = child.try_wait()? {
                bail!("the server ended: {status}");
            }
            ensure!(start.elapsed() < START, "the server does not listen");
            sleep(Duration::from_millis(10));
        }
        Ok(Self { child, address })
    }

    fn process(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the server is idle, and returns its resident memory in bytes.
    fn settled(&self) -> Result<u64> {
        let start = Instant::now();
        let mut before = Cpu::of(self.process())?.ran;
        loop {
            sleep(Duration::from_millis(500));
            let now = Cpu::of(self.process())?.ran;
            if now - before < Duration::from_millis(10) || start.elapsed() > Duration::from_secs(10) {
                return host::resident(self.process());
            }
            before = now;
        }
    }

    /// Lets the kernel measure the peak memory from now on.
    fn forget_peak(&self) -> Result<()> {
        std::fs::write(format!("/proc/{}/clear_refs", self.process()), "5").context("cannot reset the peak")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processes with the clients. They read commands from their standard input, and answer with a line.
struct Clients(Vec<Process>);

struct Process {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Clients {
    fn start(options: &Options, server: SocketAddr) -> Result<Self> {
        let mut processes = Vec::new();
        for number in 0..options.processes {
            let rest = usize::from(number < options.connections % options.processes);
            let connections = options.connections / options.processes + rest;
            let mut command = Command::new(std::env::current_exe()?);
            // 127.0.0.1 is the address of the server.
            let own = format!("127.0.0.{}", number + 2);
            command.args([CLIENTS, &server.to_string(), &own, &connections.to_string()]);
            command.arg(if options.recovery { "recovery" } else { "plain" });
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
            let commands = child.stdin.take().context("it is piped")?;
            let answers = BufReader::new(child.stdout.take().context("it is piped")?);
            processes.push(Process { child, commands, answers });
        }
        Ok(Self(processes))
    }

    fn connect(&mut self) -> Result<Served> {
        let mut all = Served::default();
        for answer in self.order("connect")? {
            let served: Served = serde_json::from_str(&answer)?;
            all.waits.extend(served.waits);
            all.failures += served.failures;
            all.recovered += served.recovered;
            all.wrong += served.wrong;
        }
        Ok(all)
    }

    fn cut(&mut self) -> Result<()> {
        self.order("cut").map(drop)
    }

    /// Gives all processes a command, and then waits for all answers.
    fn order(&mut self, command: &str) -> Result<Vec<String>> {
        for process in &mut self.0 {
            writeln!(process.commands, "{command}")?;
        }
        let mut answers = Vec::new();
        for process in &mut self.0 {
            let mut line = String::new();
            process.answers.read_line(&mut line)?;
            ensure!(!line.is_empty(), "the process with clients has failed");
            answers.push(line);
        }
        Ok(answers)
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        for process in &mut self.0 {
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
    }
}
