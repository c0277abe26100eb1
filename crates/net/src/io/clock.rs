//! The clock of the drivers.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::Instant;
use ws_proto::Time;

/// The origin of [`Time`]: a day before the first call of [`now`] in this process. In concurrent tests, each test may
/// pause and advance its own clock. The clock of the first caller may then be far ahead of the others, and their times
/// must not lie before the origin.
static ORIGIN: OnceLock<Instant> = OnceLock::new();

const ORIGIN_OFFSET: Duration = Duration::from_secs(24 * 60 * 60);

fn origin() -> Instant {
    *ORIGIN.get_or_init(|| {
        let now = Instant::now();
        // On some systems an `Instant` cannot be earlier than the start of the machine.
        now.checked_sub(ORIGIN_OFFSET).unwrap_or(now)
    })
}

/// Returns the current [`Time`]. Drivers read it once in each poll and pass it on.
///
/// It follows Tokio's clock, which a test may pause and advance.
#[must_use]
pub fn now() -> Time {
    let passed = Instant::now().saturating_duration_since(origin());
    // `as_micros` would compute with 128 bits.
    Time::from_micros(passed.as_secs() * 1_000_000 + u64::from(passed.subsec_micros()))
}

/// Converts `time` to an instant of Tokio's clock.
pub(crate) fn instant(time: Time) -> Instant {
    origin() + Duration::from_micros(time.as_micros())
}
