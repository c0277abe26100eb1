//! The log on standard error. It never blocks the server, and no peer can fill it with lines of dependencies.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal, Write};
use std::mem::ManuallyDrop;
use std::panic::{self, PanicHookInfo};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use tidewire::server::LogRateLimit;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::layer::{Context as LayerContext, Filter, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::output;

/// The number of lines that wait to be written. Further ones are dropped. A line has about 200 bytes, so they take a
/// megabyte.
const MAX_WAITING_LINES: usize = 4_096;

/// How long the end of the process waits for the lines that wait. `WorkerGuard` needs up to 1.1 s.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(1_500);

/// The log of this process. Dropping it waits at most about a second until the lines that wait are written.
pub(crate) struct Log {
    thread: Option<WorkerGuard>,
}

impl Drop for Log {
    fn drop(&mut self) {
        // If the lines cannot be written, the guard prints to standard output, which may be the same pipe. If the thread
        // cannot be started, the closure is dropped here, and `ManuallyDrop` keeps the guard from printing.
        let guard = self.thread.take().map(ManuallyDrop::new);
        output::in_background(move || drop(guard.map(ManuallyDrop::into_inner))).wait_at_most(FLUSH_TIMEOUT);
    }
}

/// Starts the log with this filter. From then on, panics are lines of the log.
pub(crate) fn init(filter: &str) -> anyhow::Result<Log> {
    let (subscriber, log) = subscriber(filter, io::stderr(), io::stderr().is_terminal())?;
    subscriber.init();
    panic::set_hook(Box::new(log_panic));
    Ok(log)
}

/// Returns a subscriber that writes to `output` from a thread of its own. The output may be a pipe that nobody reads,
/// which would block the threads of the server.
fn subscriber(
    filter: &str,
    output: impl Write + Send + 'static,
    ansi: bool,
) -> anyhow::Result<(impl Subscriber + Send + Sync, Log)> {
    let filter = EnvFilter::builder().parse(filter).context("invalid log filter in --log or TIDEWIRE_LOG")?;
    let suppressed = Arc::new(AtomicU64::new(0));
    let dropped = Arc::new(OnceLock::new());
    let writer = LogWriter {
        output,
        dropped: Arc::clone(&dropped),
        reported: 0,
        lines_since_report: 0,
        suppressed: Arc::clone(&suppressed),
    };
    let (lines, thread) =
        NonBlockingBuilder::default().buffered_lines_limit(MAX_WAITING_LINES).lossy(true).finish(writer);
    let _ = dropped.set(lines.error_counter());
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(lines)
        // Internal errors would be written to standard error, too, and panic if it is closed.
        .log_internal_errors(false)
        .with_ansi(ansi)
        .with_filter(DependencyFilter { limit: LogRateLimit::new(), suppressed });
    Ok((tracing_subscriber::registry().with(filter).with(layer), Log { thread: Some(thread) }))
}

/// Logs a panic. The hook of the standard library writes to standard error itself, and would block the thread.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let payload = panic.payload();
    let payload =
        payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
    let location = panic.location().map(tracing::field::display);
    let backtrace = Backtrace::capture();
    let backtrace =
        (backtrace.status() == BacktraceStatus::Captured).then(|| tracing::field::display(backtrace));
    // The fields are escaped, the text is not: a payload may contain text of a peer.
    tracing::error!(thread = thread.name(), payload, location, backtrace, "a thread panicked");
}

/// Writes the lines, in the thread of the log, and says how many are missing. These reports do not pass through the
/// queue, so none of them is dropped and counted as a line.
struct LogWriter<W> {
    output: W,
    /// The number of lines that found the queue full. Set as soon as the queue exists.
    dropped: Arc<OnceLock<ErrorCounter>>,
    /// How many of the dropped lines the log has reported.
    reported: usize,
    lines_since_report: usize,
    /// How many lines of dependencies are not reported yet.
    suppressed: Arc<AtomicU64>,
}

impl<W: Write> LogWriter<W> {
    fn report(&mut self) -> io::Result<()> {
        self.lines_since_report = 0;
        let dropped = self.dropped.get().map_or(0, ErrorCounter::dropped_lines);
        if dropped > self.reported {
            let lines = dropped - self.reported;
            self.reported = dropped;
            writeln!(self.output, "{lines} lines of the log were dropped, because nobody read them in time")?;
        }
        let suppressed = self.suppressed.swap(0, Ordering::Relaxed);
        if suppressed > 0 {
            writeln!(self.output, "{suppressed} warnings of dependencies were suppressed")?;
        }
        Ok(())
    }
}

impl<W: Write> Write for LogWriter<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.output.write(line)
    }

    /// Called with each line.
    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        self.output.write_all(line)?;
        self.lines_since_report += 1;
        // During a flood the queue is never empty, so `flush` is not called.
        if self.lines_since_report >= MAX_WAITING_LINES { self.report() } else { Ok(()) }
    }

    /// Called when the queue is empty.
    fn flush(&mut self) -> io::Result<()> {
        self.report()?;
        self.output.flush()
    }
}

/// Limits the warnings of other crates to ten at once and then one per second. Our own crates limit theirs. `h2`, for
/// instance, warns once per connection if a peer opens streams and resets them in the same write. Levels below `warn`
/// are not limited: they are off unless somebody searches for something.
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

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, PipeReader};

    use super::*;

    /// The capacity of a pipe on Linux.
    const PIPE: usize = 64 * 1024;

    /// Returns a subscriber whose output is a full pipe.
    fn with_full_pipe() -> (impl Subscriber + Send + Sync, Log, PipeReader) {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(&[b'\n'; PIPE]).unwrap();
        let (subscriber, log) = subscriber("warn", writer, false).unwrap();
        (subscriber, log, reader)
    }

    #[test]
    fn a_reader_that_is_late_learns_exactly_how_many_lines_are_missing() {
        const LINES: usize = 3 * MAX_WAITING_LINES;
        let (subscriber, log, reader) = with_full_pipe();
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..LINES {
                tracing::warn!("a line");
            }
        });
        let reading = thread::spawn(move || {
            let (mut written, mut dropped) = (0, 0);
            for line in BufReader::new(reader).lines().map(Result::unwrap).skip(PIPE) {
                match line.split_once(" lines of the log were dropped") {
                    Some((count, _)) => dropped += count.parse::<usize>().unwrap(),
                    None => written += usize::from(line.contains("a line")),
                }
            }
            (written, dropped)
        });
        drop(log);
        let (written, dropped) = reading.join().unwrap();
        assert!(dropped >= LINES - MAX_WAITING_LINES - 1, "{dropped}");
        assert_eq!(written + dropped, LINES);
    }

    #[test]
    fn a_panic_is_a_line_of_the_log_and_never_blocks() {
        let (subscriber, log, reader) = with_full_pipe();
        let previous = panic::take_hook();
        panic::set_hook(Box::new(log_panic));
        let panicking = thread::Builder::new().name("worker".into()).spawn(|| {
            tracing::subscriber::with_default(subscriber, || panic!("text\nof a peer"));
        });
        // This would never return if the panic were written to the pipe directly.
        panicking.unwrap().join().unwrap_err();
        panic::set_hook(previous);
        let reading = thread::spawn(move || {
            BufReader::new(reader).lines().map(Result::unwrap).skip(PIPE).collect::<Vec<_>>()
        });
        drop(log);
        let lines = reading.join().unwrap();
        for part in
            ["ERROR", r#"thread="worker""#, r#"payload="text\nof a peer""#, "location=crates/cli/src/log.rs:"]
        {
            assert!(lines[0].contains(part), "{part}: {lines:?}");
        }
    }
}
