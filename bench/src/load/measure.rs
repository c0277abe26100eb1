//! One measurement and the resulting row.

use std::collections::BTreeMap;
use std::process;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::deflate::Agreement;
use super::fleet::Fleet;
use super::options::{Compression, Options, Protocol};
use super::tally::{Histogram, Tally};
use crate::host::Cpu;

/// The result of one run of a workload. Times are those of the server, unless the name says otherwise or the workload
/// measures a client.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    pub protocol: String,
    pub workload: String,
    /// The figures, by name and unit.
    pub figures: BTreeMap<String, f64>,
    /// The agreed compression, if it was requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub negotiated: Option<String>,
    pub lost: u64,
    pub wrong: u64,
    pub reordered: u64,
}

/// A span between two readings: wall clock time, and processor time of server and generator.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    at: Instant,
    server: Cpu,
    generator: Cpu,
}

impl Reading {
    pub(super) fn take(server: u32) -> Result<Self> {
        Ok(Self { at: Instant::now(), server: Cpu::of(server)?, generator: Cpu::of(process::id())? })
    }
}

impl Row {
    pub(super) fn new(options: &Options) -> Self {
        Self::failed(options.protocol, &options.workload.name())
    }

    /// Creates a row without figures, for a workload that could not run.
    pub fn failed(protocol: Protocol, workload: &str) -> Self {
        Self {
            protocol: protocol.name().to_owned(),
            workload: workload.to_owned(),
            figures: BTreeMap::new(),
            negotiated: None,
            lost: 0,
            wrong: 0,
            reordered: 0,
        }
    }

    pub(super) fn set(&mut self, name: &str, value: f64) {
        self.figures.insert(name.to_owned(), value);
    }

    /// Records what `messages` messages between two readings cost the server.
    pub(super) fn set_cost(&mut self, from: Reading, to: Reading, messages: u64) {
        let wall = to.at - from.at;
        self.set_cost_of("server", to.server.since(from.server), wall, messages);
        self.set_busy("generator", to.generator.since(from.generator), wall);
    }

    /// Records the cost of `messages` messages if the generator is the measured client.
    pub(super) fn set_client_cost(&mut self, from: Reading, to: Reading, messages: u64) {
        let wall = to.at - from.at;
        self.set_cost_of("client", to.generator.since(from.generator), wall, messages);
        let server = to.server.since(from.server);
        self.set("server_busy", server.ran.as_secs_f64() / wall.as_secs_f64());
    }

    fn set_cost_of(&mut self, end: &str, cpu: Cpu, wall: Duration, messages: u64) {
        self.set("cpu_us_per_message", micros(cpu.ran) / messages.max(1) as f64);
        self.set("messages_per_second", messages as f64 / wall.as_secs_f64());
        self.set("messages", messages as f64);
        self.set_busy(end, cpu, wall);
    }

    fn set_busy(&mut self, end: &str, cpu: Cpu, wall: Duration) {
        self.set(&format!("{end}_busy"), cpu.ran.as_secs_f64() / wall.as_secs_f64());
        self.set(&format!("{end}_waited"), cpu.waited.as_secs_f64() / wall.as_secs_f64());
    }

    /// Returns the processor time for each of `count` items.
    pub(super) fn set_cpu_each(&mut self, name: &str, from: Reading, to: Reading, count: usize) {
        self.set(name, micros(to.server.since(from.server).ran) / count as f64);
    }

    pub(super) fn set_latency(&mut self, histogram: &Histogram) {
        self.set("p50_ms", histogram.quantile(0.5));
        self.set("p99_ms", histogram.quantile(0.99));
        self.set("p99.9_ms", histogram.quantile(0.999));
        self.set("max_ms", histogram.quantile(1.0));
    }

    /// Records how evenly the server has responded to its connections: the responses of the slowest one, divided by those
    /// of the median one.
    pub(super) fn set_fairness(&mut self, mut responses: Vec<u64>) {
        responses.sort_unstable();
        if let (Some(&slowest), Some(&median)) = (responses.first(), responses.get(responses.len() / 2))
            && median > 0
        {
            self.set("slowest_of_median", slowest as f64 / median as f64);
        }
    }

    /// Records the result of an offer to compress.
    pub(super) fn set_compression(&mut self, asked: Compression, fleet: &Fleet) {
        if asked != Compression::Off {
            self.negotiated =
                Some(fleet.agreement().map_or_else(|| "declined".to_owned(), Agreement::describe));
            self.set("ratio", fleet.ratio());
        }
    }

    pub(super) fn set_tally(&mut self, tally: Tally) {
        self.lost += tally.lost;
        self.wrong += tally.wrong;
        self.reordered += tally.reordered;
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
