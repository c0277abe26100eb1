//! Runs other programs and reads their output.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::Message;

/// The cargo that has started this program.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs `command`, which inherits our output. Returns whether it succeeded.
pub(crate) fn succeeds(command: &mut Command) -> Result<bool> {
    announce(command);
    Ok(command.status().with_context(|| format!("cannot run {}", line(command)))?.success())
}

/// Runs `command` and returns whether it succeeded. If it takes longer than `timeout`, it is killed and an error is returned.
pub(crate) fn succeeds_within(timeout: Duration, command: &mut Command) -> Result<bool> {
    let mut child = start(command)?;
    let deadline = Instant::now() + timeout;
    while Instant::now() < deadline {
        if let Some(status) = child.0.try_wait()? {
            return Ok(status.success());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("{} did not finish within {} s", line(command), timeout.as_secs())
}

/// Starts `command`. Dropping the result kills it.
pub(crate) fn start(command: &mut Command) -> Result<KillOnDrop> {
    announce(command);
    Ok(KillOnDrop(command.spawn().with_context(|| format!("cannot run {}", line(command)))?))
}

/// A running program. Drop kills it.
pub(crate) struct KillOnDrop(Child);

impl KillOnDrop {
    pub(crate) fn is_running(&mut self) -> Result<bool> {
        Ok(self.0.try_wait()?.is_none())
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        // It may have exited already, so errors are ignored.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running Tidewire server. Drop kills it.
pub(crate) struct Server {
    child: KillOnDrop,
    url: String,
    /// Kept open, because the server may print more.
    _output: BufReader<ChildStdout>,
}

impl Server {
    /// Starts `binary` on a port that the system chooses, and waits until it listens.
    pub(crate) fn start(binary: &Path) -> Result<Self> {
        let mut command = Command::new(binary);
        command.args(["--listen", "127.0.0.1:0"]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = start(&mut command)?;
        let mut output = BufReader::new(child.0.stdout.take().context("standard output is piped")?);
        let mut first = String::new();
        output.read_line(&mut first)?;
        let url = listening_url(&first)
            .with_context(|| format!("{} did not print its address: {first:?}", line(&command)))?;
        Ok(Self { child, url: url.to_owned(), _output: output })
    }

    /// The URL of the server, such as `http://127.0.0.1:43210`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn is_running(&mut self) -> Result<bool> {
        self.child.is_running()
    }
}

/// Returns the URL in `listening on http://127.0.0.1:43210`.
fn listening_url(line: &str) -> Option<&str> {
    let url = line.trim_end().strip_prefix("listening on ")?;
    url.starts_with("http://").then_some(url)
}

/// Runs `command`. Prints each line of its standard output and then passes it to `on_line`. Returns whether it succeeded.
pub(crate) fn succeeds_watched(command: &mut Command, mut on_line: impl FnMut(&str)) -> Result<bool> {
    announce(command);
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot run {}", line(command)))?;
    let output = child.stdout.take().context("standard output is piped")?;
    for bytes in BufReader::new(output).split(b'\n') {
        let bytes = bytes?;
        let text = String::from_utf8_lossy(&bytes);
        println!("{text}");
        on_line(&text);
    }
    Ok(child.wait()?.success())
}

/// Runs `cargo build --locked` with these `arguments` and returns the executable that it builds.
pub(crate) fn build_executable(arguments: &[&str]) -> Result<PathBuf> {
    let executable = build_executables(arguments)?.into_values().next();
    executable.with_context(|| format!("cargo build {} built no executable", arguments.join(" ")))
}

/// Runs `cargo build --locked` with these `arguments` and returns the executables that it builds, by their names.
pub(crate) fn build_executables(arguments: &[&str]) -> Result<BTreeMap<String, PathBuf>> {
    let mut command = cargo();
    command.args(["build", "--locked", "--message-format=json-render-diagnostics"]).args(arguments);
    announce(&command);
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot run cargo")?;
    let output = child.stdout.take().context("standard output is piped")?;
    let mut executables = BTreeMap::new();
    for message in Message::parse_stream(BufReader::new(output)) {
        if let Message::CompilerArtifact(artifact) = message?
            && let Some(executable) = artifact.executable
        {
            executables.insert(artifact.target.name, executable.into_std_path_buf());
        }
    }
    ensure!(child.wait()?.success(), "{} failed", line(&command));
    Ok(executables)
}

fn announce(command: &Command) {
    println!("$ {}", line(command));
}

fn line(command: &Command) -> String {
    let program = command.get_program();
    let name = Path::new(program).file_name().unwrap_or(program);
    std::iter::once(name).chain(command.get_args()).map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_a_server_says_where_it_listens() {
        assert_eq!(listening_url("listening on http://127.0.0.1:4000\n"), Some("http://127.0.0.1:4000"));
        for line in ["", "\n", "listening on 4000", "error: http://127.0.0.1:4000"] {
            assert_eq!(listening_url(line), None, "{line:?}");
        }
    }

    #[test]
    fn a_program_that_takes_too_long_is_ended() {
        let start = Instant::now();
        let error = succeeds_within(Duration::from_millis(100), Command::new("sleep").arg("60"))
            .expect_err("it sleeps longer");
        assert!(error.to_string().contains("sleep 60"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_program_that_ends_in_time_tells_whether_it_succeeded() -> Result<()> {
        assert!(succeeds_within(Duration::from_secs(30), &mut Command::new("true"))?);
        assert!(!succeeds_within(Duration::from_secs(30), &mut Command::new("false"))?);
        Ok(())
    }
}
