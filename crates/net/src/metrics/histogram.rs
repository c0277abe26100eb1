//! The durations of handlers.

use std::time::Duration;

use metrics::{Key, Level, Metadata};

use super::series::HANDLER_DURATION;

static KEY: Key = Key::from_static_name(HANDLER_DURATION.name);
pub(super) static METADATA: Metadata<'static> = Metadata::new("tidewire", Level::INFO, None);

/// Goes to the recorder at once: a histogram of the facade takes one value at a time. Callers measure a sample.
#[cold]
pub(super) fn record_handler_duration(duration: Duration) {
    metrics::with_recorder(|recorder| recorder.register_histogram(&KEY, &METADATA).record(duration));
}
