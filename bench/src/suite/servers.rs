//! The servers and clients of a run.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::options::Options;
use crate::load::{Compression, Protocol, Workload};

/// A server or a client, and the command that starts it.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub(super) name: String,
    protocols: Vec<Protocol>,
    /// The words of the command. `{port}` stands for the port. A client gets the same arguments as `load`.
    pub(super) command: Vec<String>,
    origin: Origin,
    raw: Raw,
}

/// The further workloads of a raw WebSocket server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Raw {
    /// No further workloads.
    Plain,
    /// It compresses if it is started with the argument `deflate`.
    Deflates,
    /// It also has a `/broadcast`, whose messages go to all its connections.
    DeflatesAndBroadcasts,
    /// Only this kind of compression: another setting of a server that is also measured without it.
    Only(Compression),
    /// It is a client, and is measured only with the workloads of clients.
    Client,
}

/// How the program is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// Built together with this program.
    Rust,
    /// A package of npm, and the folder of the bench into which it is installed.
    Npm(&'static str, &'static str),
    /// Packages of PyPI.
    Python,
    /// Nothing to do: the user who added it has installed it.
    Elsewhere,
}

/// The program that every figure is compared with.
pub(super) const FLOOR: &str = "floor";
/// Tidewire on Tokio's single-threaded runtime, as all Rust peers.
pub(super) const OURS: &str = "tidewire";

impl Program {
    pub(super) fn speaks(&self, protocol: Protocol) -> bool {
        self.protocols.contains(&protocol)
    }

    /// Returns whether this workload can be run. The floor does not compress, but runs compressed workloads too: it
    /// shows what the messages cost without compression.
    pub(super) fn runs(&self, protocol: Protocol, workload: Workload) -> bool {
        let compression = workload.compression();
        let broadcasts = protocol == Protocol::Raw
            && matches!(workload, Workload::Broadcast { .. } | Workload::Burst { .. });
        let is_floor = self.name == FLOOR;
        self.speaks(protocol)
            && self.is_client() == matches!(workload, Workload::ClientEcho { .. })
            && match self.raw {
                Raw::Plain => !broadcasts && (compression == Compression::Off || is_floor),
                Raw::Deflates => !broadcasts,
                Raw::DeflatesAndBroadcasts | Raw::Client => true,
                Raw::Only(only) => compression == only && !broadcasts,
            }
    }

    /// The same program, as a client.
    fn into_client(mut self) -> Self {
        self.command.retain(|word| !word.contains("{port}"));
        self.with(Raw::Client)
    }

    pub(super) fn is_client(&self) -> bool {
        self.raw == Raw::Client
    }

    /// Returns the program that loads the server. A client loads it itself.
    pub(super) fn generator(&self) -> Result<Command> {
        match self.command.split_first() {
            Some((program, words)) if self.is_client() => {
                let mut command = Command::new(program);
                command.args(words);
                Ok(command)
            }
            _ => generator(),
        }
    }

    /// Returns the additional argument of the command for this workload.
    pub(super) fn word_for(&self, compression: Compression) -> Option<&'static str> {
        match self.raw {
            Raw::Deflates | Raw::DeflatesAndBroadcasts if compression != Compression::Off => Some("deflate"),
            _ => None,
        }
    }

    fn with(self, raw: Raw) -> Self {
        Self { raw, ..self }
    }

    /// Returns whether valgrind can count its instructions.
    pub(super) fn is_native(&self) -> bool {
        self.origin == Origin::Rust
    }

    fn rust(name: &str, protocols: &[Protocol], program: &str, more: &[&str]) -> Result<Self> {
        let path = beside(program)?.display().to_string();
        let words = [path.as_str(), "127.0.0.1:{port}"];
        let command = words.iter().chain(more).map(|&word| word.to_owned()).collect();
        Ok(Self {
            name: name.to_owned(),
            protocols: protocols.to_vec(),
            command,
            origin: Origin::Rust,
            raw: Raw::Plain,
        })
    }

    fn node(name: &str, protocol: Protocol, script: &str, package: &'static str) -> Self {
        let script = bench_folder().join("node").join(script).display().to_string();
        let command = ["node", &script, "{port}"].map(str::to_owned).to_vec();
        Self {
            name: name.to_owned(),
            protocols: vec![protocol],
            command,
            origin: Origin::Npm("node", package),
            raw: Raw::Plain,
        }
    }

    /// Bun is itself a package of npm.
    fn bun(name: &str, protocol: Protocol, script: &str) -> Self {
        let folder = bench_folder().join("bun");
        let words = [folder.join("node_modules/.bin/bun"), folder.join(script)];
        let words = words.iter().map(|word| word.display().to_string());
        Self {
            name: name.to_owned(),
            protocols: vec![protocol],
            command: words.chain(["{port}".to_owned()]).collect(),
            origin: Origin::Npm("bun", "bun"),
            raw: Raw::Plain,
        }
    }

    fn python(name: &str, protocol: Protocol, script: &str) -> Result<Self> {
        let python = python_environment()?.join("bin/python").display().to_string();
        let script = bench_folder().join("python").join(script).display().to_string();
        let command = vec![python, script, "{port}".to_owned()];
        Ok(Self {
            name: name.to_owned(),
            protocols: vec![protocol],
            command,
            origin: Origin::Python,
            raw: Raw::Plain,
        })
    }

    /// Parses `NAME PROTOCOL COMMAND`, the value of `--add`.
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
        Ok(Self { name, protocols, command, origin: Origin::Elsewhere, raw: Raw::Plain })
    }

    /// Installs the program, or checks that it was built.
    fn prepare(&self) -> Result<()> {
        match self.origin {
            Origin::Rust => {
                let path = &self.command[0];
                ensure!(
                    Path::new(path).exists(),
                    "{path} is missing; build it with `cargo build --release --workspace`"
                );
                Ok(())
            }
            Origin::Npm(folder, package) => {
                let packages = install_from_npm(folder)?;
                ensure!(packages.join(package).exists(), "npm could not install the package {package}");
                // The package of Bun is there even if its script has not installed the program.
                let program = &self.command[0];
                run(Command::new(program).arg("--version")).with_context(|| format!("{program} does not run"))
            }
            Origin::Python => install_from_pypi(),
            Origin::Elsewhere => Ok(()),
        }
    }
}

/// The servers of a run, in the order of the tables.
#[derive(Debug)]
pub(super) struct Servers {
    pub(super) programs: Vec<Program>,
    /// The programs that cannot be installed here, and the reasons.
    pub(super) missing: Vec<String>,
}

/// The server for the measured clients.
pub(super) fn floor() -> Result<Program> {
    Program::rust(FLOOR, &[Protocol::Raw, Protocol::SocketIo], "floor", &[])
}

/// Returns the floor, Tidewire, the available peers, and the programs added on the command line.
pub(super) fn all(options: &Options) -> Result<Servers> {
    use Protocol::SocketIo;
    const RAW: Protocol = Protocol::Raw;
    let mut asked = vec![
        floor()?,
        Program::rust(OURS, &[RAW, SocketIo], "ours", &["0"])?.with(Raw::DeflatesAndBroadcasts),
        Program::rust("tidewire-mt", &[RAW, SocketIo], "ours", &["default"])?
            .with(Raw::DeflatesAndBroadcasts),
        Program::rust("tidewire-mt-fair", &[RAW, SocketIo], "ours", &["fair"])?
            .with(Raw::DeflatesAndBroadcasts),
        Program::rust("tidewire-workers", &[RAW, SocketIo], "ours", &["workers"])?
            .with(Raw::DeflatesAndBroadcasts),
        Program::rust("tidewire-level6", &[RAW], "ours", &["0", "level6"])?
            .with(Raw::Only(Compression::Deflate)),
        Program::rust("tidewire-takeover", &[RAW], "ours", &["0", "takeover"])?
            .with(Raw::Only(Compression::Takeover)),
        Program::rust("fastwebsockets", &[RAW], "peer-fastwebsockets", &[])?,
        Program::rust("tokio-websockets", &[RAW], "peer-tokio-websockets", &[])?,
        Program::rust("tokio-tungstenite", &[RAW], "peer-tungstenite", &[])?,
        Program::rust("yawc", &[RAW], "peer-yawc", &[])?.with(Raw::Deflates),
        Program::rust("sockudo-ws", &[RAW], "peer-sockudo", &[])?.with(Raw::Deflates),
        Program::rust("socketioxide", &[SocketIo], "peer-socketioxide", &[])?,
        Program::node("npm-ws", RAW, "ws.js", "ws").with(Raw::DeflatesAndBroadcasts),
        Program::bun("bun-ws", RAW, "ws.js").with(Raw::DeflatesAndBroadcasts),
        Program::node("npm-socket.io", SocketIo, "socket.io.js", "socket.io"),
        Program::bun("bun-socket.io", SocketIo, "socket.io.js"),
        Program::python("python-socketio", SocketIo, "socket_io.py")?,
        // The generator itself can do the work of a client.
        Program::rust(FLOOR, &[RAW], "load", &[])?.into_client(),
        Program::rust(OURS, &[RAW], "client-ours", &[])?.into_client(),
        Program::rust("fastwebsockets", &[RAW], "client-fastwebsockets", &[])?.into_client(),
        Program::rust("tokio-websockets", &[RAW], "client-tokio-websockets", &[])?.into_client(),
        Program::rust("tokio-tungstenite", &[RAW], "client-tungstenite", &[])?.into_client(),
        Program::rust("yawc", &[RAW], "client-yawc", &[])?.into_client(),
        Program::rust("sockudo-ws", &[RAW], "client-sockudo", &[])?.into_client(),
        Program::node("npm-ws", RAW, "ws-client.js", "ws").into_client(),
    ];
    if !options.servers.is_empty() {
        for name in &options.servers {
            ensure!(asked.iter().any(|program| program.name == *name), "there is no server {name:?}");
        }
        asked.retain(|program| options.servers.contains(&program.name));
    }
    for text in &options.added {
        asked.push(Program::added(text)?);
    }
    let mut programs = Vec::new();
    let mut missing = Vec::new();
    for program in asked {
        match program.prepare() {
            Ok(()) => programs.push(program),
            Err(error) if program.is_native() => return Err(error),
            Err(error) => missing.push(format!("{}: {error:#}", program.name)),
        }
    }
    Ok(Servers { programs, missing })
}

/// The program that loads servers.
pub(super) fn generator() -> Result<Command> {
    Ok(Command::new(beside("load")?))
}

/// Returns the path of a program that is built together with this one.
fn beside(program: &str) -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(program))
}

fn bench_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Installs the packages of a folder of the bench, and returns where they are.
fn install_from_npm(folder: &str) -> Result<PathBuf> {
    let folder = bench_folder().join(folder);
    let packages = folder.join("node_modules");
    // npm writes this file last.
    if !packages.join(".package-lock.json").exists() {
        let mut install = Command::new("npm");
        install.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(folder);
        run(&mut install).context("npm ci")?;
    }
    Ok(packages)
}

/// Installs the packages of PyPI and returns their folder. It is next to the programs, because both belong to this
/// machine.
fn python_environment() -> Result<PathBuf> {
    beside("python-peers")
}

fn install_from_pypi() -> Result<()> {
    let environment = python_environment()?;
    let complete = environment.join("complete");
    if complete.exists() {
        return Ok(());
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))
        .context("python3 -m venv")?;
    let requirements = bench_folder().join("python/requirements.txt");
    run(Command::new(environment.join("bin/pip"))
        .args(["install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .arg(requirements))
    .context("pip install")?;
    std::fs::write(complete, "")?;
    Ok(())
}

/// Runs a command until it ends. The error is the last error line of its output.
fn run(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    let last = complaint.lines().rfind(|line| line.contains("rror") && !line.contains("complete log"));
    ensure!(output.status.success(), "{}", last.unwrap_or("it failed"));
    Ok(())
}
