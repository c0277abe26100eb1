//! The log on standard error. It never blocks the server, and no peer can fill it with lines of dependencies.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use anyhow::Context;
use tidewire::server::LogRateLimit;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context as LayerContext, Filter, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// The number of lines that wait to be written. Further ones are dropped. A line has about 200 bytes, so they take a
/// megabyte.
const MAX_WAITING_LINES: usize = 4_096;

/// The log of this process. Dropping it waits at most about a second until the lines that wait are written.
pub(crate) struct Log {
    writer: LogWriter,
    _thread: WorkerGuard,
}

impl Drop for Log {
    fn drop(&mut self) {
        self.writer.report();
    }
}

/// Starts the log with this filter.
pub(crate) fn init(filter: &str) -> anyhow::Result<Log> {
    let filter = EnvFilter::builder().parse(filter).context("invalid log filter in --log or TIDEWIRE_LOG")?;
    // A thread of its own writes to standard error. It may be a pipe that nobody reads, which would block the threads of
    // the server.
    let (lines, thread) = NonBlockingBuilder::default()
        .buffered_lines_limit(MAX_WAITING_LINES)
        .lossy(true)
        .finish(io::stderr());
    let suppressed = Arc::new(AtomicU64::new(0));
    let writer = LogWriter {
        dropped: lines.error_counter(),
        lines,
        reported: Arc::new(AtomicUsize::new(0)),
        suppressed: Arc::clone(&suppressed),
    };
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(writer.clone())
        // Internal errors would be written to standard error, too, and panic if it is closed.
        .log_internal_errors(false)
        .with_ansi(io::stderr().is_terminal())
        .with_filter(DependencyFilter { limit: LogRateLimit::new(), suppressed });
    tracing_subscriber::registry().with(filter).with(layer).init();
    Ok(Log { writer, _thread: thread })
}

/// Passes lines to the thread that writes them, and says how many are missing.
#[derive(Clone)]
struct LogWriter {
    lines: NonBlocking,
    dropped: ErrorCounter,
    /// How many of the dropped lines the log has reported.
    reported: Arc<AtomicUsize>,
    /// How many lines of dependencies are not reported yet.
    suppressed: Arc<AtomicU64>,
}

impl LogWriter {
    fn report(&self) {
        let (dropped, reported) = (self.dropped.dropped_lines(), self.reported.load(Ordering::Relaxed));
        if dropped > reported {
            let lines = dropped - reported;
            let text = format!("{lines} lines of the log were dropped, because nobody read them in time\n");
            let _ = self.lines.clone().write_all(text.as_bytes());
            // Otherwise this line was dropped, too.
            if self.dropped.dropped_lines() == dropped {
                self.reported.store(dropped, Ordering::Relaxed);
            }
        }
        let suppressed = self.suppressed.swap(0, Ordering::Relaxed);
        if suppressed > 0 {
            let text = format!("{suppressed} warnings of dependencies were suppressed\n");
            let _ = self.lines.clone().write_all(text.as_bytes());
        }
    }
}

impl<'w> MakeWriter<'w> for LogWriter {
    type Writer = NonBlocking;

    fn make_writer(&'w self) -> Self::Writer {
        self.report();
        self.lines.clone()
    }
}

/// Limits the warnings of other crates to ten at once and then one per second. Our own crates limit theirs. `h2`, for
/// instance, warns once per connection if a peer opens streams and resets them in the same write. Levels below `warn` are not
/// limited: they are off unless somebody searches for something.
struct DependencyFilter {
    limit: LogRateLimit,
    suppressed: Arc<AtomicU64>,
}

impl<S: Subscriber> Filter<S> for DependencyFilter {
    fn enabled(&self, _: &Metadata<'_>, _: &LayerContext<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &LayerContext<'_, S>) -> bool {
        let metadata = event.metadata();
        if metadata.target().starts_with("tidewire") || *metadata.level() > Level::WARN {
            return true;
        }
        let mut passes = false;
        self.limit.try_log(|suppressed| {
            passes = true;
            self.suppressed.fetch_add(suppressed.unwrap_or(0), Ordering::Relaxed);
        });
        passes
    }
}
