//! The memory that the process may use, as Linux reports it.
//!
//! A crate that knows this for every system brings bindings for each of them, for two numbers that are read once.

use std::fs;
use std::path::{Path, PathBuf};

/// Returns the memory of the machine or of the process's control group, whichever is less, in bytes. Returns `None` if
/// neither is known.
pub(super) fn available_memory() -> Option<usize> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|meminfo| machine_memory(&meminfo));
    let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = limit_files(&cgroups).into_iter().filter_map(|file| {
        // Without a limit, the file says `max`, or in version 1 a number that no machine has.
        fs::read_to_string(file).ok()?.trim().parse().ok()
    });
    limits.chain(machine).min()
}

fn machine_memory(meminfo: &str) -> Option<usize> {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    total.trim().strip_suffix(" kB")?.parse::<usize>().ok()?.checked_mul(1024)
}

/// Returns the files that may hold a limit: of the process's group, and of all groups above it. In a container, the
/// root of the file system is often the process's own group.
fn limit_files(cgroups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in cgroups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, name) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            listed if listed.split(',').any(|controller| controller == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let groups = Path::new(path.trim_start_matches('/')).ancestors();
        files.extend(groups.map(|group| Path::new(root).join(group).join(name)));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_the_machine_is_read_in_bytes() {
        assert_eq!(machine_memory("MemTotal:        4014588 kB\nMemFree: 1 kB\n"), Some(4_110_938_112));
        assert_eq!(machine_memory("MemFree: 1 kB\n"), None);
    }

    #[test]
    fn the_limits_of_all_groups_above_the_process_count() {
        let files = |cgroups| -> Vec<_> {
            limit_files(cgroups).into_iter().map(|file| file.to_string_lossy().into_owned()).collect()
        };
        assert_eq!(
            files("0::/a.slice/b.service\n"),
            [
                "/sys/fs/cgroup/a.slice/b.service/memory.max",
                "/sys/fs/cgroup/a.slice/memory.max",
                "/sys/fs/cgroup/memory.max"
            ]
        );
        assert_eq!(
            files("9:cpu,cpuacct:/x\n4:memory:/docker/1\n"),
            [
                "/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/docker/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes"
            ]
        );
        assert_eq!(files("0::/\n"), ["/sys/fs/cgroup/memory.max"]);
    }
}
