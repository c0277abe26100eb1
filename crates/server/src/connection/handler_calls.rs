//! Finds handlers that keep their thread for too long, so that other connections must wait.
//!
//! Hot path. A reading of the clock for each handler, or for each turn, would cost too much. The clock is read at the end
//! of one turn in 32 in which handlers ran, the first of each connection among them. If that turn took too long and had
//! one handler, the handler is named. In any case each of the next handlers of the connection is measured.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use engineio::Time;
use net::metrics::{self, Series};
use socketio_proto::Excerpt;

use crate::observer::{Observation, ObservedHandler, Observers};
use crate::server::Server;
use crate::socket::Socket;

/// The time without waiting that is too long. The clients of a thread notice this much in each of their messages.
const MAX_TIME: Duration = Duration::from_millis(5);

/// The number of turns with handlers between two that are measured. A reading of the clock costs up to 400 instructions,
/// and an event in a turn of its own about 6,000.
pub(crate) const MAX_UNMEASURED_TURNS: u8 = 31;

/// For the metrics, the duration of one event handler is taken after so many measured turns. That costs three readings of
/// the clock.
pub(crate) const MEASURED_TURNS_PER_SAMPLE: u8 = 4;

/// The number of handlers of a connection that are measured after a long turn.
const MEASURED_CALLS: usize = 256;

/// Each handler of the connection is measured, because the server has observers.
const ALL_CALLS: usize = usize::MAX;

/// The values of [`HandlerCalls::sample`] that are no time.
const NO_SAMPLE: u64 = u64::MAX;
const SAMPLE_NEXT: u64 = u64::MAX - 1;

/// A handler that ran in a turn: the [address](handlers::EventHandler::address) of an event handler, or one of the
/// constants, which no address has.
pub(crate) type CalledHandler = usize;
pub(crate) const OTHER_EVENT: CalledHandler = 0;
pub(crate) const MIDDLEWARE: CalledHandler = 1;
pub(crate) const EVENT_MIDDLEWARE: CalledHandler = 2;
pub(crate) const ON_CONNECTION: CalledHandler = 3;
pub(crate) const ON_DISCONNECT: CalledHandler = 4;
/// The handler of an event that was measured alone.
pub(crate) const MEASURED: CalledHandler = 5;

/// The calls of the handlers of one connection. Only the task of the connection uses it; the fields are atomic because
/// the sockets of the connection, which contain it, are shared.
#[derive(Debug)]
pub(crate) struct HandlerCalls {
    /// The number of calls in this turn.
    count: AtomicUsize,
    last: AtomicUsize,
    /// How many of the next calls are measured one by one.
    to_measure: AtomicUsize,
    /// For the metrics: [`NO_SAMPLE`], [`SAMPLE_NEXT`], or when the call began whose duration is the next of the sample.
    sample: AtomicU64,
}

impl HandlerCalls {
    pub(crate) fn new(observers: &Observers) -> Self {
        let to_measure = if observers.is_active() { ALL_CALLS } else { 0 };
        Self {
            count: AtomicUsize::new(0),
            last: AtomicUsize::new(OTHER_EVENT),
            to_measure: AtomicUsize::new(to_measure),
            sample: AtomicU64::new(NO_SAMPLE),
        }
    }

    /// Counts the call of an event handler. Returns the time if the call must be measured.
    #[inline]
    pub(crate) fn begin(&self, handler: CalledHandler) -> Option<Time> {
        let calls = self.to_measure.load(Ordering::Relaxed);
        if calls > 0 {
            return Some(self.begin_measured(calls));
        }
        self.count(handler);
        None
    }

    /// Counts the call of a handler that is never measured alone.
    #[inline]
    pub(crate) fn count(&self, handler: CalledHandler) {
        self.count.store(self.count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.last.store(handler, Ordering::Relaxed);
    }

    #[cold]
    fn begin_measured(&self, calls: usize) -> Time {
        if calls != ALL_CALLS {
            self.to_measure.store(calls - 1, Ordering::Relaxed);
        }
        self.count(MEASURED);
        let now = net::now();
        if self.sample.load(Ordering::Relaxed) == SAMPLE_NEXT {
            self.sample.store(now.as_micros(), Ordering::Relaxed);
        }
        now
    }

    /// Makes the duration of the next call of an event handler one of the sample for the metrics.
    pub(crate) fn sample_next(&self) {
        self.sample.store(SAMPLE_NEXT, Ordering::Relaxed);
        if self.to_measure.load(Ordering::Relaxed) == 0 {
            self.to_measure.store(1, Ordering::Relaxed);
        }
    }

    /// Returns whether the call that began at `started` is in the sample.
    pub(crate) fn take_sample(&self, started: Time) -> bool {
        let is_sampled = self.sample.load(Ordering::Relaxed) == started.as_micros();
        if is_sampled {
            self.sample.store(NO_SAMPLE, Ordering::Relaxed);
        }
        is_sampled
    }

    /// Returns the number of calls in the turn that ends, and the last of them.
    #[inline]
    pub(crate) fn take(&self) -> (usize, CalledHandler) {
        let count = self.count.load(Ordering::Relaxed);
        if count > 0 {
            self.count.store(0, Ordering::Relaxed);
        }
        (count, self.last.load(Ordering::Relaxed))
    }

    /// Measures the next calls one by one.
    pub(crate) fn measure_next(&self) {
        if self.to_measure.load(Ordering::Relaxed) != ALL_CALLS {
            self.to_measure.store(MEASURED_CALLS, Ordering::Relaxed);
        }
    }
}

/// Returns the duration if it is too long for one turn, or for a handler that does not wait.
#[inline]
pub(crate) fn too_long(started: Time, ended: Time) -> Option<Duration> {
    let duration = ended.saturating_since(started);
    (duration > MAX_TIME).then_some(duration)
}

/// Warns that a handler kept its thread for too long.
#[cold]
pub(crate) fn warn_blocked(
    server: &Server,
    socket: Option<&Socket>,
    handler: ObservedHandler<'_>,
    duration: Duration,
) {
    metrics::count(Series::HandlersBlocked);
    server.blocked_log().try_log(|suppressed| {
        let (socket, handler) = (socket.map(Socket::log_id), Excerpt(handler));
        let millis = duration.as_millis();
        tracing::warn!(
            socket,
            %handler,
            millis,
            suppressed,
            "a handler kept its thread from other connections: run long work in `tokio::task::spawn_blocking`"
        );
    });
    server.observers().notify(|| Observation::HandlerBlocked { socket, handler, duration });
}
