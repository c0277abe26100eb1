//! The clock of the drivers.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::Instant;
use ws_proto::Time;

/// Where [`Time`] begins: a day before this process first asks. Tests have paused clocks of their own at the same time, and
/// who asks first may be far ahead of the others.
static ORIGIN: OnceLock<Instant> = OnceLock::new();

const ORIGIN_OFFSET: Duration = Duration::from_secs(24 * 60 * 60);

fn origin() -> Instant {
    *ORIGIN.get_or_init(|| {
        let now = Instant::now();
        // Nothing is before the start of the machine on some systems.
        now.checked_sub(ORIGIN_OFFSET).unwrap_or(now)
    })
}

/// The current [`Time`]. Drivers read it once a turn and pass it down.
///
/// It follows Tokio's clock, which a test may pause and advance.
#[must_use]
pub fn now() -> Time {
    Time::from_micros(
        u64::try_from(Instant::now().saturating_duration_since(origin()).as_micros()).unwrap_or(u64::MAX),
    )
}

/// The moment on Tokio's clock that `time` stands for.
pub(crate) fn instant(time: Time) -> Instant {
    origin() + Duration::from_micros(time.as_micros())
}
