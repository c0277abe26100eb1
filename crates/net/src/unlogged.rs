//! Lines on standard error, for programs that have no log.

use std::fmt;
use std::io::Write;
use std::sync::Once;

/// Writes a line to standard error, if the program has never set a `tracing` subscriber and would therefore not learn of
/// an error. The first line is followed by one that says how to set a subscriber. The caller limits how many lines a peer
/// can cause; `suppressed` is what [`LogRateLimit::try_log`](crate::LogRateLimit::try_log) has counted.
///
/// A program that wants neither a log nor these lines sets the subscriber `tracing::subscriber::NoSubscriber`.
pub fn print_if_unlogged(line: fmt::Arguments<'_>, suppressed: Option<u64>) {
    static HINT: Once = Once::new();

    if tracing::dispatcher::has_been_set() {
        return;
    }
    let mut stderr = std::io::stderr().lock();
    // Nobody can be told that standard error is closed.
    let _ = match suppressed {
        Some(suppressed) => writeln!(stderr, "tidewire: {line} (and {suppressed} such lines before)"),
        None => writeln!(stderr, "tidewire: {line}"),
    };
    HINT.call_once(|| {
        let _ = writeln!(
            stderr,
            "tidewire: errors are written here because the program has no tracing subscriber: call \
             `tracing_subscriber::fmt::init()` at its start to get all log lines"
        );
    });
}
