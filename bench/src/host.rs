//! Reads what the kernel reports about a process, and sets the core on which it runs.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Time spent on a processor, and time spent waiting for one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu {
    pub ran: Duration,
    pub waited: Duration,
}

impl Cpu {
    /// Returns the sum for all threads of a process, from their `schedstat` files.
    pub fn of(process: u32) -> Result<Self> {
        let mut sum = Self::default();
        for task in fs::read_dir(format!("/proc/{process}/task")).context("the server has ended")? {
            // A thread may end after it was listed and before its file is read.
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
            let mut fields = text.split_ascii_whitespace().map(str::parse);
            if let (Some(Ok(ran)), Some(Ok(waited))) = (fields.next(), fields.next()) {
                sum.ran += Duration::from_nanos(ran);
                sum.waited += Duration::from_nanos(waited);
            }
        }
        Ok(sum)
    }

    pub fn since(self, earlier: Self) -> Self {
        Self { ran: self.ran.saturating_sub(earlier.ran), waited: self.waited.saturating_sub(earlier.waited) }
    }
}

/// Returns the resident memory of a process in bytes, without the kernel's memory for its sockets.
pub fn resident(process: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).context("the server has ended")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:")).context("no Rss in smaps_rollup")?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kibibytes * 1024)
}

/// Returns the peak resident memory of a process in bytes.
pub fn peak(process: u32) -> Result<u64> {
    status(process, "VmHWM:")
}

/// Returns a size in the status of a process, in bytes.
fn status(process: u32, name: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).context("the server has ended")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let size = line.with_context(|| format!("no {name} in status"))?;
    let kibibytes: u64 = size.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kibibytes * 1024)
}

/// Returns the size of the page tables of a process in bytes.
pub fn page_tables(process: u32) -> Result<u64> {
    status(process, "VmPTE:")
}

/// Waits until a process is idle.
pub fn settle(process: u32) -> Result<()> {
    let start = Instant::now();
    let mut before = Cpu::of(process)?.ran;
    loop {
        sleep(Duration::from_millis(300));
        let now = Cpu::of(process)?.ran;
        // The sum becomes smaller if a thread ends.
        if now.abs_diff(before) < Duration::from_millis(6) || start.elapsed() > Duration::from_secs(10) {
            return Ok(());
        }
        before = now;
    }
}

/// Pins this process, and processes that it starts later, to one core.
pub fn pin(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).with_context(|| format!("cannot run on core {core}"))
}

/// Returns the number of descriptors that a process may have after [`raise_descriptor_limit`].
pub fn descriptor_limit() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

/// Raises the limit on descriptors to the maximum that the system allows.
pub fn raise_descriptor_limit() -> Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).context("cannot raise the limit")
}
