//! The figures of this server, as its pages show them. An observer counts what happens, and a sample says what has
//! happened since the one before.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use tidewire::server::{Observation, Observer, Server, Transport};
use tokio_util::task::TaskTracker;

/// Counts what happens in a server, from its start. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Figures {
    counters: Arc<Counters>,
    /// The raw WebSockets, of `/ws` and `/game/ws`. They are no part of the Socket.IO server.
    web_sockets: TaskTracker,
    start: Instant,
}

/// What has happened since the start. The observer only adds to these, without waiting for anything.
#[derive(Default)]
struct Counters {
    /// Socket.IO connections over WebSocket: opened so, or upgraded since.
    upgraded: AtomicI64,
    sockets: AtomicI64,
    rooms: AtomicI64,
    events_in: AtomicU64,
    events_out: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    handlers: AtomicU64,
    handler_nanoseconds: AtomicU64,
    failures: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Copy)]
pub(super) struct Totals {
    at: Instant,
    events_in: u64,
    events_out: u64,
    bytes_in: u64,
    bytes_out: u64,
    handlers: u64,
    handler_nanoseconds: u64,
    failures: u64,
    not_sent: u64,
}

/// The state of the server, and what has happened in the time before. The pages know this type as `Sample`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sample {
    /// Seconds since the start of the server.
    pub uptime: f64,
    /// Socket.IO connections over long-polling.
    pub polling: usize,
    /// Socket.IO connections over WebSocket.
    pub web_socket: usize,
    /// Raw WebSockets, of `/ws` and `/game/ws`. They are no part of the Socket.IO server.
    pub raw_web_socket: usize,
    /// Sockets in all namespaces. A connection has one in each namespace that it uses.
    pub sockets: usize,
    /// Rooms, without those that each socket has for itself.
    pub rooms: usize,
    /// Events per second from clients.
    pub events_in: f64,
    /// Events per second to clients. Each receiver of a broadcast counts.
    pub events_out: f64,
    /// Bytes per second of events and acknowledgements from clients, before compression.
    pub bytes_in: f64,
    /// Bytes per second of events and acknowledgements to clients, before compression.
    pub bytes_out: f64,
    /// The mean time of the handlers that have finished, in microseconds. `None` if none has.
    pub handler_time: Option<f64>,
    /// Handlers that have failed.
    pub failures: u64,
    /// Bytes that are queued for the clients of the Socket.IO server and not yet written.
    pub queued: usize,
    /// Events that were dropped or replaced by a later one, because their receiver reads slowly.
    pub not_sent: u64,
    /// The memory of the process in bytes, where the system tells it.
    pub memory: Option<u64>,
}

impl Figures {
    pub(crate) fn new(web_sockets: TaskTracker) -> Self {
        Self { counters: Arc::default(), web_sockets, start: Instant::now() }
    }

    /// Returns the observer that counts.
    pub(super) fn observer(&self) -> impl Observer + 'static {
        Arc::clone(&self.counters)
    }

    /// Returns the counters now.
    pub(super) fn totals(&self, io: &Server) -> Totals {
        let counters = &self.counters;
        let deliveries = io.delivery_counts();
        Totals {
            at: Instant::now(),
            events_in: counters.events_in.load(Ordering::Relaxed),
            events_out: counters.events_out.load(Ordering::Relaxed),
            bytes_in: counters.bytes_in.load(Ordering::Relaxed),
            bytes_out: counters.bytes_out.load(Ordering::Relaxed),
            handlers: counters.handlers.load(Ordering::Relaxed),
            handler_nanoseconds: counters.handler_nanoseconds.load(Ordering::Relaxed),
            failures: counters.failures.load(Ordering::Relaxed),
            not_sent: deliveries.dropped + deliveries.replaced,
        }
    }

    /// Returns the state of the server, and what has happened between `before` and `now`.
    pub(super) fn sample(&self, io: &Server, before: Totals, now: Totals) -> Sample {
        let seconds = (now.at - before.at).max(Duration::from_millis(1)).as_secs_f64();
        let per_second = |before: u64, now: u64| (10.0 * (now - before) as f64 / seconds).round() / 10.0;
        let handlers = now.handlers - before.handlers;
        let handler_time = (now.handler_nanoseconds - before.handler_nanoseconds) as f64 / 1_000.0;
        let connections = io.connection_count();
        // Threads count in no common order, so a difference may be negative for a moment.
        let web_socket = at_least_zero(&self.counters.upgraded).min(connections);
        let sockets = at_least_zero(&self.counters.sockets);
        Sample {
            uptime: (now.at - self.start).as_secs_f64().round(),
            polling: connections - web_socket,
            web_socket,
            raw_web_socket: self.web_sockets.len(),
            sockets,
            rooms: at_least_zero(&self.counters.rooms).saturating_sub(sockets),
            events_in: per_second(before.events_in, now.events_in),
            events_out: per_second(before.events_out, now.events_out),
            bytes_in: per_second(before.bytes_in, now.bytes_in),
            bytes_out: per_second(before.bytes_out, now.bytes_out),
            handler_time: (handlers > 0).then(|| (10.0 * handler_time / handlers as f64).round() / 10.0),
            failures: now.failures - before.failures,
            queued: io.buffered_amount(),
            not_sent: now.not_sent - before.not_sent,
            memory: memory(),
        }
    }
}

impl Observer for Counters {
    fn observe(&self, observation: &Observation<'_>) {
        match *observation {
            Observation::EventReceived { bytes, .. } => {
                add(&self.events_in, 1);
                add(&self.bytes_in, bytes);
            }
            Observation::EventSent { bytes, .. } => {
                add(&self.events_out, 1);
                add(&self.bytes_out, bytes);
            }
            Observation::EventBroadcast { bytes, receivers, .. } => {
                add(&self.events_out, receivers);
                add(&self.bytes_out, bytes * receivers);
            }
            Observation::HandlerFinished { elapsed, is_failed, .. } => {
                add(&self.handlers, 1);
                add(&self.handler_nanoseconds, elapsed.as_nanos() as usize);
                if is_failed {
                    add(&self.failures, 1);
                }
            }
            Observation::AckReceived { bytes, .. } => add(&self.bytes_in, bytes),
            Observation::AckSent { bytes, .. } => add(&self.bytes_out, bytes),
            Observation::ConnectionOpened { connection, .. }
                if connection.transport() == Transport::WebSocket =>
            {
                change(&self.upgraded, 1);
            }
            Observation::ConnectionUpgraded { .. } => change(&self.upgraded, 1),
            Observation::ConnectionClosed { connection, .. }
                if connection.transport() == Transport::WebSocket =>
            {
                change(&self.upgraded, -1);
            }
            Observation::SocketConnected { .. } => change(&self.sockets, 1),
            Observation::SocketDisconnected { .. } => change(&self.sockets, -1),
            Observation::RoomCreated { .. } => change(&self.rooms, 1),
            Observation::RoomDeleted { .. } => change(&self.rooms, -1),
            _ => {}
        }
    }
}

fn add(counter: &AtomicU64, number: usize) {
    counter.fetch_add(number as u64, Ordering::Relaxed);
}

fn change(gauge: &AtomicI64, by: i64) {
    gauge.fetch_add(by, Ordering::Relaxed);
}

fn at_least_zero(gauge: &AtomicI64) -> usize {
    usize::try_from(gauge.load(Ordering::Relaxed)).unwrap_or(0)
}

/// Returns the resident memory of this process, on Linux.
fn memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_without_clients_has_figures_of_zero() {
        let figures = Figures::new(TaskTracker::new());
        let io = Server::builder().observer(figures.observer()).build();
        let before = figures.totals(&io);
        let sample = figures.sample(&io, before, figures.totals(&io));
        let numbers =
            (sample.polling, sample.web_socket, sample.raw_web_socket, sample.sockets, sample.rooms);
        assert_eq!(numbers, (0, 0, 0, 0, 0));
        assert_eq!((sample.queued, sample.not_sent), (0, 0));
        assert_eq!((sample.events_in, sample.events_out, sample.handler_time), (0.0, 0.0, None));
    }

    #[test]
    fn rates_are_per_second_of_the_time_between_two_samples() {
        let figures = Figures::new(TaskTracker::new());
        let io = Server::builder().build();
        let before = figures.totals(&io);
        let later = Totals {
            at: before.at + Duration::from_secs(2),
            events_in: 30,
            bytes_in: 500,
            handlers: 2,
            handler_nanoseconds: 9_000,
            ..before
        };
        let sample = figures.sample(&io, before, later);
        assert_eq!((sample.events_in, sample.bytes_in, sample.handler_time), (15.0, 250.0, Some(4.5)));
    }
}
