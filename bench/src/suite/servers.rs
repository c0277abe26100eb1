//! The servers of a run.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::options::Options;
use crate::load::Protocol;

/// A server and how it is started.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub(super) name: String,
    protocols: Vec<Protocol>,
    /// Words in which `{port}` stands for the port.
    pub(super) command: Vec<String>,
    /// Whether valgrind can count its instructions.
    pub(super) native: bool,
}

/// What every figure is compared with.
pub(super) const FLOOR: &str = "floor";
/// Tidewire on Tokio's runtime of one thread, as all Rust peers are.
pub(super) const OURS: &str = "tidewire";

impl Program {
    pub(super) fn speaks(&self, protocol: Protocol) -> bool {
        self.protocols.contains(&protocol)
    }

    fn native(name: &str, protocols: &[Protocol], program: &str, more: &[&str]) -> Result<Self> {
        let path = beside(program)?.display().to_string();
        let words = [path.as_str(), "127.0.0.1:{port}"];
        let command = words.iter().chain(more).map(|&word| word.to_owned()).collect();
        Ok(Self { name: name.to_owned(), protocols: protocols.to_vec(), command, native: true })
    }

    fn node(name: &str, protocol: Protocol, script: &str) -> Self {
        let script = node_folder().join(script).display().to_string();
        let command = vec!["node".to_owned(), script, "{port}".to_owned()];
        Self { name: name.to_owned(), protocols: vec![protocol], command, native: false }
    }

    /// `NAME PROTOCOL COMMAND`, as `--add` takes it.
    fn added(text: &str) -> Result<Self> {
        let mut words = text.split_whitespace().map(str::to_owned);
        let (Some(name), Some(protocol)) = (words.next(), words.next()) else {
            bail!("--add needs 'NAME PROTOCOL COMMAND', not {text:?}");
        };
        let protocols = match protocol.as_str() {
            "both" => vec![Protocol::Raw, Protocol::SocketIo],
            one => vec![Protocol::named(one)?],
        };
        let command: Vec<String> = words.collect();
        ensure!(command.iter().any(|word| word.contains("{port}")), "the command lacks {{port}}: {text:?}");
        Ok(Self { name, protocols, command, native: false })
    }
}

/// The floor, ours, the peers that are there, and what was added; in the order of the tables.
pub(super) fn all(options: &Options) -> Result<Vec<Program>> {
    use Protocol::{Raw, SocketIo};
    let mut programs = vec![
        Program::native(FLOOR, &[Raw, SocketIo], "floor", &[])?,
        Program::native(OURS, &[Raw, SocketIo], "ours", &["0"])?,
        Program::native("tidewire-mt", &[Raw, SocketIo], "ours", &[])?,
        Program::native("fastwebsockets", &[Raw], "peer-fastwebsockets", &[])?,
        Program::native("tokio-websockets", &[Raw], "peer-tokio-websockets", &[])?,
        Program::native("tokio-tungstenite", &[Raw], "peer-tungstenite", &[])?,
        Program::native("socketioxide", &[SocketIo], "peer-socketioxide", &[])?,
        Program::node("npm-ws", Raw, "ws.js"),
        Program::node("npm-socket.io", SocketIo, "socket.io.js"),
    ];
    if !options.servers.is_empty() {
        for name in &options.servers {
            ensure!(programs.iter().any(|program| program.name == *name), "there is no server {name:?}");
        }
        programs.retain(|program| options.servers.contains(&program.name));
    }
    for text in &options.added {
        programs.push(Program::added(text)?);
    }
    if programs.iter().any(|program| program.command[0] == "node") {
        install_packages()?;
    }
    Ok(programs)
}

/// A program that was built together with this one.
pub(super) fn beside(program: &str) -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(program);
    ensure!(
        path.exists(),
        "{} is missing; build it with `cargo build --release --workspace`",
        path.display()
    );
    Ok(path)
}

fn node_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("node")
}

fn install_packages() -> Result<()> {
    let folder = node_folder();
    if folder.join("node_modules").exists() {
        return Ok(());
    }
    let mut install = Command::new("npm");
    install.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(&folder);
    ensure!(install.status().context("npm is missing")?.success(), "npm ci failed in {}", folder.display());
    Ok(())
}
