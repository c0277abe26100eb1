//! A server on the first core, and the generator or the clients that load it from the second core.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde::de::DeserializeOwned;

use super::servers::Program;
use crate::host;
use crate::load::{Compression, Protocol, Row};

const SERVER_CORE: usize = 0;
const GENERATOR_CORE: usize = 1;

/// How long a server may take until it listens. valgrind needs that time.
const START: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    /// Whether it runs under an instrument. Both then form a process group.
    has_group: bool,
    address: String,
}

impl Server {
    /// Starts `program` with the given compression, under an instrument if there is one, and waits until it listens.
    pub(super) fn start(program: &Program, compression: Compression, instrument: &[&str]) -> Result<Self> {
        // The system chooses a free port. Another process could still take it before the server does.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let words = program.command.iter().map(|word| word.replace("{port}", &port.to_string()));
        let mut words = instrument
            .iter()
            .map(|&word| word.to_owned())
            .chain(words)
            .chain(program.word_for(compression).map(str::to_owned));
        let first = words.next().context("a server without a command")?;
        host::pin(SERVER_CORE)?;
        let mut command = Command::new(&first);
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if !instrument.is_empty() {
            // Use a new process group, so that both end together. A server without an instrument stays in our group and
            // ends with Ctrl-C.
            command.process_group(0);
        }
        let child = command.spawn();
        host::pin(GENERATOR_CORE)?;
        let server = Self {
            child: child.with_context(|| format!("cannot start {first}"))?,
            has_group: !instrument.is_empty(),
            address: format!("127.0.0.1:{port}"),
        };
        let start = Instant::now();
        while TcpStream::connect(&server.address).is_err() {
            if start.elapsed() > START {
                server.stop()?;
                bail!("{} does not listen", program.name);
            }
            sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Loads the server with `generator`. `extent` is a number of seconds, or a number of messages with the suffix `m`.
    pub(super) fn load(
        &self,
        mut generator: Command,
        protocol: Protocol,
        workload: &str,
        extent: &str,
    ) -> Result<Row> {
        let [address, process] = self.coordinates();
        generator.args([&address, &process, protocol.name(), workload, extent]);
        answer_of(generator)
    }

    /// Returns the arguments for the generator: the address and the process of the server.
    pub(super) fn coordinates(&self) -> [String; 2] {
        [self.address.clone(), self.child.id().to_string()]
    }

    /// Stops the server and its instrument.
    pub(super) fn stop(mut self) -> Result<()> {
        self.signal(Signal::TERM);
        let start = Instant::now();
        while self.child.try_wait()?.is_none() {
            if start.elapsed() > Duration::from_secs(10) {
                self.signal(Signal::KILL);
                self.child.wait()?;
                break;
            }
            sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// The server may have ended by itself. Then the measurement has failed already.
    fn signal(&self, signal: Signal) {
        let process = Pid::from_child(&self.child);
        let _ =
            if self.has_group { kill_process_group(process, signal) } else { kill_process(process, signal) };
    }
}

/// A client that is stopped except during its turns.
#[derive(Debug)]
pub(super) struct Client(Child);

impl Client {
    pub(super) fn start(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let client = Self(command.spawn().context("cannot start the client")?);
        client.signal(Signal::STOP);
        Ok(client)
    }

    pub(super) fn go_on_for(&mut self, turn: Duration) {
        if self.is_running() {
            self.signal(Signal::CONT);
            sleep(turn);
            self.signal(Signal::STOP);
        }
    }

    pub(super) fn is_running(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// Waits for the client to end and returns its result.
    pub(super) fn answer<T: DeserializeOwned>(mut self) -> Result<T> {
        if self.is_running() {
            self.signal(Signal::CONT);
        }
        let (mut answer, mut complaint) = (Vec::new(), Vec::new());
        self.0.stdout.take().context("taken already")?.read_to_end(&mut answer)?;
        self.0.stderr.take().context("taken already")?.read_to_end(&mut complaint)?;
        found(&Output { status: self.0.wait()?, stdout: answer, stderr: complaint })
    }

    /// No other code waits for the child, so its process id is still valid and the signal reaches it even if it has
    /// ended.
    fn signal(&self, signal: Signal) {
        let _ = kill_process(Pid::from_child(&self.0), signal);
    }
}

impl Drop for Client {
    /// A stopped process would never end.
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the generator and returns its result.
pub(super) fn answer_of<T: DeserializeOwned>(mut generator: Command) -> Result<T> {
    found(&generator.stdin(Stdio::null()).output()?)
}

fn found<T: DeserializeOwned>(output: &Output) -> Result<T> {
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{}",
        complaint.lines().find(|line| !line.is_empty()).unwrap_or("the generator has failed")
    );
    serde_json::from_slice(&output.stdout).context("the generator's answer")
}
