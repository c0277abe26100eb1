//! What the kernel says about a process, and on which core it may run.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Time on a processor, and time spent waiting for one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu {
    pub ran: Duration,
    pub waited: Duration,
}

impl Cpu {
    /// Of all threads of a process, from its `schedstat`.
    pub fn of(process: u32) -> Result<Self> {
        let mut sum = Self::default();
        for task in fs::read_dir(format!("/proc/{process}/task")).context("the server has ended")? {
            // A thread may end between the listing and the reading.
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

/// Resident memory of a process in bytes, without what the kernel holds for its sockets.
pub fn resident(process: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).context("the server has ended")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:")).context("no Rss in smaps_rollup")?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kibibytes * 1024)
}

/// The most that was ever resident, in bytes.
pub fn peak(process: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).context("the server has ended")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM in status")?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kibibytes * 1024)
}

/// Keeps this process, and what it starts from now on, on one core.
pub fn pin(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).with_context(|| format!("cannot run on core {core}"))
}

/// Takes as many descriptors as the system allows.
pub fn raise_descriptor_limit() -> Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).context("cannot raise the limit")
}
