//! Passes the counts to the recorder of the crate `metrics`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use metrics::{Key, KeyName, Label, Recorder};
use tokio::runtime::Handle;

use super::histogram::METADATA;
use super::series::{
    Family, HANDLER_DURATION, Kind, MEMORY_USED, MEMORY_USED_RATIO, SOCKETS, SOCKETS_CONNECTED, TABLE,
};
use super::{cluster, namespaces, shards};
use crate::memory_budget::MemoryBudget;

/// How often the counts are published without a call of [`publish`].
const INTERVAL: Duration = Duration::from_secs(5);

/// Passes all counts to the recorder that the program has installed. A task of the library does so every five seconds, on
/// the runtime of the first listener or connection. Call this before each rendering of the metrics for a scrape, so that it shows the
/// current values.
///
/// It costs about as much as a hundred calls of a recorder. If the program has installed no recorder, it does nothing.
pub fn publish() {
    let sums = shards::sums();
    metrics::with_recorder(|recorder| {
        let mut described = "";
        for (series, value) in TABLE.iter().zip(sums) {
            if series.family.name != described {
                described = series.family.name;
                describe(recorder, series.family);
            }
            let key = Key::from_static_labels(series.family.name, series.labels);
            set(recorder, series.family, &key, value);
        }
        for family in [&SOCKETS, &SOCKETS_CONNECTED, &MEMORY_USED, &MEMORY_USED_RATIO, &HANDLER_DURATION] {
            describe(recorder, family);
        }
        namespaces::for_each(|namespace, connected, open| {
            for (family, value) in [(&SOCKETS, open), (&SOCKETS_CONNECTED, connected)] {
                let labels = vec![Label::new("namespace", namespace.to_owned())];
                set(recorder, family, &Key::from_parts(family.name, labels), value);
            }
        });
        let (used, ratio) = MemoryBudget::usage_of_all();
        for (family, value) in [(&MEMORY_USED, used as f64), (&MEMORY_USED_RATIO, ratio)] {
            recorder.register_gauge(&Key::from_static_name(family.name), &METADATA).set(value);
        }
        cluster::publish(recorder);
    });
}

pub(super) fn describe(recorder: &dyn Recorder, family: &Family) {
    let name = KeyName::from_const_str(family.name);
    let (unit, help) = (Some(family.unit), family.help.into());
    match family.kind {
        Kind::Counter => recorder.describe_counter(name, unit, help),
        Kind::Gauge => recorder.describe_gauge(name, unit, help),
        Kind::Histogram => recorder.describe_histogram(name, unit, help),
    }
}

pub(super) fn set(recorder: &dyn Recorder, family: &Family, key: &Key, value: u64) {
    match family.kind {
        Kind::Counter => recorder.register_counter(key, &METADATA).absolute(value),
        // A connection may have been counted as closed on one thread before the sum has met the thread where it opened.
        Kind::Gauge => recorder.register_gauge(key, &METADATA).set(value.cast_signed().max(0) as f64),
        Kind::Histogram => {}
    }
}

/// Starts the task that publishes, unless there is one. It runs on the runtime of the caller, and ends with it; the next call
/// then starts another one. It is no thread, because the C library of Linux makes each system call of a process with
/// several threads more expensive.
pub(super) fn start() {
    if IS_RUNNING.load(Ordering::Relaxed) {
        return;
    }
    let Ok(runtime) = Handle::try_current() else { return };
    if IS_RUNNING.swap(true, Ordering::Relaxed) {
        return;
    }
    let running = Running;
    runtime.spawn(async move {
        let _running = running;
        loop {
            tokio::time::sleep(INTERVAL).await;
            publish();
        }
    });
}

static IS_RUNNING: AtomicBool = AtomicBool::new(false);

/// Held by the task.
struct Running;

impl Drop for Running {
    fn drop(&mut self) {
        IS_RUNNING.store(false, Ordering::Relaxed);
    }
}
