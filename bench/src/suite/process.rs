//! A server that runs on the first core, and the generator that loads it from the second.

use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process_group};

use super::servers::{Program, beside};
use crate::host;
use crate::load::{Protocol, Row};

const SERVER_CORE: usize = 0;
const GENERATOR_CORE: usize = 1;

/// How long a server may take to listen: valgrind needs its time.
const START: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// Starts `program`, behind an instrument if there is one, and waits until it listens.
    pub(super) fn start(program: &Program, instrument: &[&str]) -> Result<Self> {
        // A port that was free a moment ago.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let words = program.command.iter().map(|word| word.replace("{port}", &port.to_string()));
        let mut words = instrument.iter().map(|&word| word.to_owned()).chain(words);
        let first = words.next().context("a server without a command")?;
        host::pin(SERVER_CORE)?;
        let child = Command::new(&first)
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // One of its own, so that an instrument and its server end together.
            .process_group(0)
            .spawn();
        host::pin(GENERATOR_CORE)?;
        let server = Self {
            child: child.with_context(|| format!("cannot start {first}"))?,
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

    /// Loads it; `extent` is a number of seconds, or of messages with an `m`.
    pub(super) fn load(&self, protocol: Protocol, workload: &str, extent: &str) -> Result<Row> {
        let process = self.child.id().to_string();
        let output = Command::new(beside("load")?)
            .args([&self.address, &process, protocol.name(), workload, extent])
            .stdin(Stdio::null())
            .output()?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "{}",
            complaint.lines().next().unwrap_or("the generator has failed")
        );
        serde_json::from_slice(&output.stdout).context("the generator's row")
    }

    /// Ends it, and its instrument.
    pub(super) fn stop(mut self) -> Result<()> {
        let group = Pid::from_child(&self.child);
        // It may have ended by itself; that has shown in the measurement.
        let _ = kill_process_group(group, Signal::TERM);
        let start = Instant::now();
        while self.child.try_wait()?.is_none() {
            if start.elapsed() > Duration::from_secs(10) {
                let _ = kill_process_group(group, Signal::KILL);
                self.child.wait()?;
                break;
            }
            sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}
