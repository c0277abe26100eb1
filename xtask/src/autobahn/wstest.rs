//! Runs Autobahn's program `wstest` in its two roles.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::cases::Part;
use crate::process;

/// The name of Tidewire in Autobahn's reports.
pub(super) const AGENT: &str = "tidewire";

/// The longest time until Autobahn's server listens.
const START: Duration = Duration::from_secs(60);

/// One run of `wstest`.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub(super) wstest: &'a Path,
    /// The folder for the reports.
    pub(super) folder: &'a Path,
    pub(super) part: &'a Part,
}

impl Run<'_> {
    /// Tests the server at `url`. Returns the text of `index.json`.
    pub(super) fn as_client(&self, url: &str) -> Result<String> {
        let servers = json!({ "servers": [{ "agent": AGENT, "url": url }] });
        let mut command = self.command("fuzzingclient", servers)?;
        let ended_well = process::succeeds_within(self.part.timeout, &mut command)?;
        self.index(ended_well)
    }

    /// Tests our program `client`. Returns the text of `index.json`.
    pub(super) fn as_server(&self, client: &Path) -> Result<String> {
        let address = free_address()?;
        let url = format!("ws://{address}");
        let mut command = self.command("fuzzingserver", json!({ "url": url }))?;
        let mut server = process::start(command.args(["--webport", "0"]))?;
        let deadline = Instant::now() + START;
        while TcpStream::connect(address).is_err() {
            ensure!(
                server.is_running()? && Instant::now() < deadline,
                "Autobahn's server did not start, {}",
                self.see_log()
            );
            thread::sleep(Duration::from_millis(50));
        }
        let mut client = Command::new(client);
        client.args([&url, AGENT, &self.part.at_once.to_string()]);
        let ended_well = process::succeeds_within(self.part.timeout, &mut client)?;
        self.index(ended_well)
    }

    fn command(&self, mode: &str, instructions: Value) -> Result<Command> {
        fs::create_dir_all(self.folder)?;
        let mut all = json!({
            "outdir": self.folder,
            "cases": self.part.patterns,
            "exclude-cases": [],
            "exclude-agent-cases": {},
        });
        if let (Value::Object(all), Value::Object(instructions)) = (&mut all, instructions) {
            all.extend(instructions);
        }
        let file = self.folder.join("instructions.json");
        fs::write(&file, all.to_string())?;
        // It prints several lines for each case. They help only if it fails, so they go to a file.
        let output = File::create(self.log())?;
        let mut command = Command::new(self.wstest);
        command.args(["--mode", mode, "--spec"]).arg(&file);
        command.stdout(output.try_clone()?).stderr(output);
        Ok(command)
    }

    /// Returns the text of `index.json`, which Autobahn writes after the last case.
    fn index(&self, ended_well: bool) -> Result<String> {
        fs::read_to_string(self.folder.join("index.json"))
            .ok()
            .filter(|_| ended_well)
            .with_context(|| format!("Autobahn did not finish, {}", self.see_log()))
    }

    fn log(&self) -> PathBuf {
        self.folder.join("wstest.log")
    }

    pub(super) fn see_log(&self) -> String {
        format!("see {}", self.log().display())
    }
}

/// Finds a free port, because Autobahn cannot choose one itself.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
