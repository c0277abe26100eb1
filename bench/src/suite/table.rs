//! The tables, in Markdown.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::Measured;
use super::counts::Counts;
use super::sample::{Sample, show};
use super::servers::{FLOOR, OURS};
use crate::load::{Compression, Workload};

/// Returns all tables of a run.
pub(super) fn print(rows: &[Measured], counts: &[Counts]) -> String {
    let mut out = String::new();
    messages(&mut out, "raw", "raw", rows, Kind::Plain);
    messages(&mut out, "raw, compressed", "raw", rows, Kind::Compressed);
    messages(&mut out, "raw, clients", "raw", rows, Kind::Clients);
    messages(&mut out, "socket.io", "socket.io", rows, Kind::Plain);
    messages(&mut out, "socket.io, echoes beside a busy client", "socket.io", rows, Kind::NoisyNeighbors);
    per_server(&mut out, rows, BURST);
    per_server(&mut out, rows, IDLE);
    counted(&mut out, counts);
    out
}

/// Returns the names in `rows` in the order of their first appearance.
pub(super) fn in_order<'r>(names: impl Iterator<Item = &'r str>) -> Vec<&'r str> {
    let mut found = Vec::new();
    for name in names {
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

/// The kind of the rows of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    /// Clients ask for compression.
    Compressed,
    /// Clients are measured.
    Clients,
    /// Some clients keep the server busy, and the times are those of others.
    NoisyNeighbors,
}

impl Kind {
    fn of(workload: &str) -> Self {
        match Workload::named(workload) {
            Ok(Workload::ClientEcho { .. }) => Self::Clients,
            Ok(Workload::Attack { .. } | Workload::LargeRoom { .. }) => Self::NoisyNeighbors,
            Ok(workload) if workload.compression() != Compression::Off => Self::Compressed,
            _ => Self::Plain,
        }
    }

    /// The title of the measured programs, and the figures shown in addition to the costs: names, titles, digits.
    fn columns(self) -> (&'static str, &'static [(&'static str, &'static str, usize)]) {
        const SERVERS: [(&str, &str, usize); 7] = [
            ("messages_per_second", "messages/s", 0),
            ("p50_ms", "p50 ms", 2),
            ("p99_ms", "p99 ms", 2),
            ("p99.9_ms", "p99.9 ms", 2),
            ("slowest_of_median", "slowest", 2),
            ("generator_busy", "generator busy", 2),
            ("server_waited", "server waited", 2),
        ];
        const CLIENTS: [(&str, &str, usize); 4] = [
            ("messages_per_second", "messages/s", 0),
            ("client_busy", "client busy", 2),
            ("client_waited", "client waited", 2),
            ("server_busy", "server busy", 2),
        ];
        const NOISY_NEIGHBORS: [(&str, &str, usize); 7] = [
            ("messages_per_second", "messages/s", 0),
            ("echoes_per_second", "echoes/s", 0),
            ("p50_ms", "p50 ms", 2),
            ("p99_ms", "p99 ms", 2),
            ("max_ms", "max ms", 2),
            ("generator_busy", "generator busy", 2),
            ("server_waited", "server waited", 2),
        ];
        match self {
            Self::Plain | Self::Compressed => ("server", &SERVERS),
            Self::NoisyNeighbors => ("server", &NOISY_NEIGHBORS),
            Self::Clients => ("client", &CLIENTS),
        }
    }
}

/// Returns the rows of a protocol that are of this kind.
fn messages(out: &mut String, title: &str, protocol: &str, rows: &[Measured], kind: Kind) {
    let rows: Vec<&Measured> = rows
        .iter()
        .filter(|measured| measured.row.protocol == protocol)
        .filter(|measured| ![BURST, IDLE].iter().any(|(start, ..)| measured.row.workload.starts_with(start)))
        .filter(|measured| Kind::of(&measured.row.workload) == kind)
        .collect();
    if rows.is_empty() {
        return;
    }
    let compressed = kind == Kind::Compressed;
    let (who, columns) = kind.columns();
    let titles: Vec<&str> = columns.iter().map(|&(_, title, _)| title).collect();
    let _ = writeln!(
        out,
        "\n### {title}\n\n\
         | workload | {who} |{} CPU µs/message | × floor | × best peer | {} | faults |\n\
         |---|---|{}---:|---:|---:|{}---|",
        if compressed { " agreed | ratio |" } else { "" },
        titles.join(" | "),
        if compressed { "---|---:|" } else { "" },
        "---:|".repeat(columns.len()),
    );
    for workload in in_order(rows.iter().map(|measured| measured.row.workload.as_str())) {
        let of_workload: Vec<&&Measured> =
            rows.iter().filter(|measured| measured.row.workload == workload).collect();
        // Compute ratios within a round, in which the noise of the machine was similar.
        let costs_of = |server: &str| -> BTreeMap<usize, f64> {
            of_workload
                .iter()
                .filter(|measured| measured.server == server && !stalled(measured))
                .filter_map(|measured| {
                    Some((measured.round, *measured.row.figures.get("cpu_us_per_message")?))
                })
                .collect()
        };
        let servers = in_order(of_workload.iter().map(|measured| measured.server.as_str()));
        let floor = costs_of(FLOOR);
        let best_peer = servers
            .iter()
            .filter(|server| **server != FLOOR && !server.starts_with(OURS))
            .map(|server| costs_of(server))
            .filter(|costs| !costs.is_empty())
            .min_by(|one, other| median(one).total_cmp(&median(other)))
            .unwrap_or_default();
        for server in servers {
            let mine: Vec<&Measured> = of_workload
                .iter()
                .filter(|measured| measured.server == server)
                .map(|measured| **measured)
                .collect();
            let moving = || mine.iter().filter(|measured| !stalled(measured));
            let of = |name: &str| {
                Sample(moving().filter_map(|measured| measured.row.figures.get(name).copied()).collect())
            };
            let against = |costs: &BTreeMap<usize, f64>| {
                let ratios = moving().filter_map(|measured| {
                    let cost = measured.row.figures.get("cpu_us_per_message")?;
                    Some(cost / costs.get(&measured.round)?)
                });
                Sample(ratios.collect())
            };
            let medians = columns.iter().map(|&(name, _, digits)| show(of(name).median(), digits));
            let _ = writeln!(
                out,
                "| {workload} | {server} |{} {} | {} | {} | {} | {} |",
                if compressed { agreed(&mine) } else { String::new() },
                of("cpu_us_per_message").show_with_range(2),
                against(&floor).show_with_range(2),
                against(&best_peer).show_with_range(2),
                medians.collect::<Vec<_>>().join(" | "),
                faults(&mine),
            );
        }
    }
}

fn median(costs: &BTreeMap<usize, f64>) -> f64 {
    Sample(costs.values().copied().collect()).median().unwrap_or(f64::INFINITY)
}

/// Returns the columns with the agreed compression and its ratio.
fn agreed(rows: &[&Measured]) -> String {
    let agreed = in_order(rows.iter().filter_map(|measured| measured.row.negotiated.as_deref())).join("; ");
    let ratios = rows.iter().filter_map(|measured| measured.row.figures.get("ratio").copied());
    format!(" {agreed} | {} |", show(Sample(ratios.collect()).median(), 2))
}

/// Returns whether no response arrived during the measurement, because the machine or the server stalled. Such a round
/// has no figures and counts as a fault.
fn stalled(measured: &Measured) -> bool {
    measured.row.figures.get("messages") == Some(&0.0)
}

/// Summarizes the faults of all rounds.
fn faults(rows: &[&Measured]) -> String {
    let sum = |count: fn(&Measured) -> u64| rows.iter().map(|measured| count(measured)).sum::<u64>();
    let counts = [
        ("lost", sum(|measured| measured.row.lost)),
        ("wrong", sum(|measured| measured.row.wrong)),
        ("reordered", sum(|measured| measured.row.reordered)),
        (
            "disconnected",
            sum(|measured| measured.row.figures.get("disconnected").map_or(0, |&count| count as u64)),
        ),
        ("stalled rounds", sum(|measured| u64::from(stalled(measured)))),
        ("failed rounds", sum(|measured| u64::from(measured.row.figures.is_empty()))),
    ];
    name_faults(&counts)
}

/// The text for a server without faults.
pub(super) const NO_FAULTS: &str = "none";

/// The faults that occurred.
pub(super) fn name_faults(counts: &[(&str, u64)]) -> String {
    let faults: Vec<String> = counts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    if faults.is_empty() { NO_FAULTS.to_owned() } else { faults.join(", ") }
}

/// A table with a line for each server: the start of the names of its workloads, its title, and its figures: names,
/// titles, digits.
type PerServer = (&'static str, &'static str, &'static [(&'static str, &'static str, usize)]);

const BURST: PerServer = (
    "burst",
    "Bursts",
    &[
        ("messages_per_second", "echoes/s", 0),
        ("p50_ms", "p50 ms", 2),
        ("p99_ms", "p99 ms", 2),
        ("p99.9_ms", "p99.9 ms", 2),
        ("max_ms", "longest ms", 1),
        ("last_of_room_ms", "last of the room ms", 1),
        ("generator_busy", "generator busy", 2),
        ("server_waited", "server waited", 2),
    ],
);

const IDLE: PerServer = (
    "idle",
    "Idle connections",
    &[
        ("bytes_fresh", "bytes fresh", 0),
        ("bytes_after_message", "after a message", 0),
        ("bytes_joined", "in a room", 0),
        ("bytes_after_burst", "after a burst", 0),
        ("start_mib", "start MiB", 1),
        ("peak_mib", "peak MiB", 1),
        ("left_mib", "all gone MiB", 1),
        ("cpu_us_per_handshake", "CPU µs/handshake", 1),
        ("cpu_us_per_close", "CPU µs/close", 1),
    ],
);

fn per_server(out: &mut String, rows: &[Measured], (workload, title, columns): PerServer) {
    let rows: Vec<&Measured> =
        rows.iter().filter(|measured| measured.row.workload.starts_with(workload)).collect();
    if rows.is_empty() {
        return;
    }
    let workloads = in_order(rows.iter().map(|measured| measured.row.workload.as_str())).join(", ");
    let _ = write!(out, "\n### {title}\n\n{workloads}\n\n| protocol | server |");
    for (_, title, _) in columns {
        let _ = write!(out, " {title} |");
    }
    let _ = writeln!(out, " faults |\n|---|---|{}---|", "---:|".repeat(columns.len()));
    for protocol in in_order(rows.iter().map(|measured| measured.row.protocol.as_str())) {
        let of_protocol = || rows.iter().filter(|measured| measured.row.protocol == protocol);
        for server in in_order(of_protocol().map(|measured| measured.server.as_str())) {
            let mine: Vec<&Measured> =
                of_protocol().filter(|measured| measured.server == server).copied().collect();
            let _ = write!(out, "| {protocol} | {server} |");
            for &(name, _, digits) in columns {
                let values = mine.iter().filter_map(|measured| measured.row.figures.get(name).copied());
                let _ = write!(out, " {} |", Sample(values.collect()).show_with_range(digits));
            }
            let _ = writeln!(out, " {} |", faults(&mine));
        }
    }
}

fn counted(out: &mut String, counts: &[Counts]) {
    if counts.is_empty() {
        return;
    }
    let _ = writeln!(
        out,
        "\n### For each message\n\n\
         | protocol | workload | server | system calls | instructions | allocations |\n\
         |---|---|---|---:|---:|---:|"
    );
    for count in counts {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            count.protocol.name(),
            count.workload,
            count.server,
            show(count.system_calls, 2),
            show(count.instructions, 0),
            show(count.allocations, 2),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Protocol, Row};

    fn measured(server: &str, round: usize, cost: f64) -> Measured {
        measured_with("echo-deflate-c1-k1-s1024", server, round, cost)
    }

    fn measured_with(workload: &str, server: &str, round: usize, cost: f64) -> Measured {
        let mut row = Row::failed(Protocol::Raw, workload);
        row.figures = [("cpu_us_per_message".to_owned(), cost), ("ratio".to_owned(), 2.5)].into();
        row.negotiated = Some("no takeover".to_owned());
        Measured { server: server.to_owned(), round, row }
    }

    #[test]
    fn a_server_is_compared_round_by_round_with_the_peer_that_costs_least() {
        let rows = [
            measured("floor", 1, 1.0),
            measured("tidewire", 1, 4.0),
            measured("cheap", 1, 5.0),
            measured("dear", 1, 9.0),
            measured("floor", 2, 2.0),
            measured("tidewire", 2, 12.0),
            measured("cheap", 2, 10.0),
            measured("dear", 2, 8.0),
        ];
        let table = print(&rows, &[]);
        let ours = table.lines().find(|line| line.contains("| tidewire |")).unwrap();
        let start = "| echo-deflate-c1-k1-s1024 | tidewire | no takeover | 2.50 | 8.00 (4.00–12.00) | 5.00 (4.00–6.00) \
                     | 1.00 (0.80–1.20) |";
        assert!(ours.starts_with(start), "{ours}");
    }

    #[test]
    fn clients_are_compared_with_clients_though_servers_have_their_names() {
        let rows = [
            measured_with("echo-c1-k1-s32", "floor", 1, 1.0),
            measured_with("echo-c1-k1-s32", "tidewire", 1, 2.0),
            measured_with("client-echo-c1-k1-s32", "floor", 1, 4.0),
            measured_with("client-echo-c1-k1-s32", "tidewire", 1, 5.0),
            measured_with("client-echo-c1-k1-s32", "peer", 1, 10.0),
        ];
        let table = print(&rows, &[]);
        let (servers, clients) = table.split_once("### raw, clients").unwrap();
        assert!(servers.contains("| echo-c1-k1-s32 | tidewire | 2.00 | 2.00 | - |"), "{servers}");
        assert!(clients.contains("| workload | client | CPU µs/message |"), "{clients}");
        assert!(
            clients.contains("| client-echo-c1-k1-s32 | tidewire | 5.00 | 1.25 | 0.50 | - |"),
            "{clients}"
        );
    }
}
