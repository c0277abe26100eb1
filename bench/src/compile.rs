//! The time that Cargo takes to build the two programs in `compile`: cold, which is every crate from nothing, and after
//! a change to the program itself. Both are debug builds without settings.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// The folders of the programs. The first is the one that the other is compared with.
const PROGRAMS: [&str; 2] = ["socketioxide", "tidewire"];
/// The number of builds after a change that follow each cold build.
const CHANGES: u32 = 3;
/// The kernel counts the time of processes in hundredths of a second, on every architecture.
const TICK: Duration = Duration::from_millis(10);

/// Builds all programs `rounds` times, one after the other, and prints a table of the medians.
pub fn run(rounds: u32) -> Result<()> {
    ensure!(rounds > 0, "at least one round is needed");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("compile");
    for program in PROGRAMS {
        fetch(&folder.join(program))?;
    }
    let mut results = PROGRAMS.map(|_| Vec::new());
    for _ in 0..rounds {
        for (program, results) in PROGRAMS.iter().zip(&mut results) {
            results.push(Measured::of(&folder.join(program))?);
        }
    }
    println!(
        "| program | crates | cold, processor | cold, elapsed | after a change, processor | elapsed | size |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (program, results) in PROGRAMS.iter().zip(&results) {
        let median = Measured::median(results);
        println!(
            "| {program} | {} | {} | {} | {:.1} MB |",
            median.crates,
            median.cold,
            median.changed,
            median.size as f64 / 1e6
        );
    }
    let [base, ours] = results.each_ref().map(|results| Measured::median(results));
    println!(
        "tidewire to socketioxide: cold {:.2} (elapsed {:.2}), after a change {:.2} (elapsed {:.2})",
        ours.cold.processor.div_duration_f64(base.cold.processor),
        ours.cold.elapsed.div_duration_f64(base.cold.elapsed),
        ours.changed.processor.div_duration_f64(base.changed.processor),
        ours.changed.elapsed.div_duration_f64(base.changed.elapsed),
    );
    Ok(())
}

/// What one round measures for one program.
#[derive(Debug, Clone, Copy)]
struct Measured {
    /// The number of crates that the cold build compiles. A crate with a build script counts once.
    crates: usize,
    cold: Time,
    changed: Time,
    /// The size of the program in bytes.
    size: u64,
}

impl Measured {
    fn of(folder: &Path) -> Result<Self> {
        let target = std::env::temp_dir().join(format!("tidewire-compile-{}", std::process::id()));
        let measured = Self::with_target(folder, &target);
        fs::remove_dir_all(&target).context("the build directory cannot be removed")?;
        measured
    }

    fn with_target(folder: &Path, target: &Path) -> Result<Self> {
        let (cold, crates) = build(folder, target, 0)?;
        let changes: Vec<Time> =
            (1..=CHANGES).map(|change| Ok(build(folder, target, change)?.0)).collect::<Result<_>>()?;
        let name = folder.file_name().context("the folder has no name")?.to_string_lossy();
        let size = fs::metadata(target.join("debug").join(format!("compile-{name}")))?.len();
        Ok(Self { crates, cold, changed: Time::median(&changes), size })
    }

    /// Returns the median of each number. `all` must not be empty.
    fn median(all: &[Self]) -> Self {
        let times = |time: fn(&Self) -> Time| Time::median(&all.iter().map(time).collect::<Vec<_>>());
        Self { cold: times(|one| one.cold), changed: times(|one| one.changed), ..all[0] }
    }
}

/// How long a build takes.
#[derive(Debug, Clone, Copy)]
struct Time {
    /// The time that its processes use, in user mode and in the kernel.
    processor: Duration,
    elapsed: Duration,
}

impl Time {
    /// Returns the median of both times. `all` must not be empty.
    fn median(all: &[Self]) -> Self {
        let middle = |time: fn(&Self) -> Duration| {
            let mut times: Vec<Duration> = all.iter().map(time).collect();
            times.sort();
            times[times.len() / 2]
        };
        Self { processor: middle(|one| one.processor), elapsed: middle(|one| one.elapsed) }
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} s | {:.2} s", self.processor.as_secs_f64(), self.elapsed.as_secs_f64())
    }
}

/// Downloads the crates that a program needs, so that no build waits for the network.
fn fetch(folder: &Path) -> Result<()> {
    let status = Command::new("cargo").args(["fetch", "--quiet", "--locked"]).current_dir(folder).status()?;
    ensure!(status.success(), "the crates of {} cannot be downloaded", folder.display());
    Ok(())
}

/// Builds a program. Returns the time and the number of crates that were compiled. Another `change` makes Cargo build
/// the program itself again.
fn build(folder: &Path, target: &Path, change: u32) -> Result<(Time, usize)> {
    let (start, before) = (Instant::now(), processor_time_of_children()?);
    let output = Command::new("cargo")
        .args(["build", "--locked", "--target-dir"])
        .arg(target)
        .current_dir(folder)
        .env("COMPILE_GREETING", format!("hello {change}"))
        // As Cargo does for crates of a registry.
        .env("RUSTFLAGS", "--cap-lints allow")
        .output()
        .context("cargo does not start")?;
    let log = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} does not build:\n{log}", folder.display());
    let time = Time { processor: processor_time_of_children()? - before, elapsed: start.elapsed() };
    Ok((time, log.lines().filter(|line| line.trim_start().starts_with("Compiling ")).count()))
}

/// Returns the time that all ended children of this process have used, with their own children.
fn processor_time_of_children() -> Result<Duration> {
    let text = fs::read_to_string("/proc/self/stat")?;
    // The name of the program, in parentheses, may contain spaces. `cutime` and `cstime` are fields 16 and 17.
    let (_, fields) = text.rsplit_once(')').context("no name in /proc/self/stat")?;
    let mut ticks = fields.split_ascii_whitespace().skip(13).map(str::parse::<u32>);
    match (ticks.next(), ticks.next()) {
        (Some(Ok(user)), Some(Ok(system))) => Ok(TICK * (user + system)),
        _ => anyhow::bail!("no times of children in /proc/self/stat"),
    }
}
