//! Running other programs and reading what they print.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use cargo_metadata::Message;

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs `command` with its output going where ours goes; whether it succeeded.
pub(crate) fn succeeds(command: &mut Command) -> Result<bool> {
    announce(command);
    Ok(command.status().with_context(|| format!("cannot run {}", line(command)))?.success())
}

/// Runs `command`, shows each line of its standard output to `see` after passing it on; whether it succeeded.
pub(crate) fn succeeds_watched(command: &mut Command, mut see: impl FnMut(&str)) -> Result<bool> {
    announce(command);
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot run {}", line(command)))?;
    let output = child.stdout.take().context("standard output is piped")?;
    for bytes in BufReader::new(output).split(b'\n') {
        let bytes = bytes?;
        let text = String::from_utf8_lossy(&bytes);
        println!("{text}");
        see(&text);
    }
    Ok(child.wait()?.success())
}

/// Builds with `cargo build --locked` and these `arguments`; the one executable that comes of it.
pub(crate) fn build_executable(arguments: &[&str]) -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["build", "--locked", "--message-format=json-render-diagnostics"]).args(arguments);
    announce(&command);
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot run cargo")?;
    let output = child.stdout.take().context("standard output is piped")?;
    let mut executable = None;
    for message in Message::parse_stream(BufReader::new(output)) {
        if let Message::CompilerArtifact(artifact) = message? {
            executable = artifact.executable.or(executable);
        }
    }
    ensure!(child.wait()?.success(), "{} failed", line(&command));
    let executable = executable.with_context(|| format!("{} built no executable", line(&command)))?;
    Ok(executable.into_std_path_buf())
}

fn announce(command: &Command) {
    println!("$ {}", line(command));
}

fn line(command: &Command) -> String {
    let program = command.get_program();
    let name = std::path::Path::new(program).file_name().unwrap_or(program);
    std::iter::once(name).chain(command.get_args()).map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
