//! The clock of the drivers.

use std::sync::OnceLock;

use tokio::time::Instant;
use ws_proto::Time;

/// Where [`Time`] begins: the first time that this process asks.
static ORIGIN: OnceLock<Instant> = OnceLock::new();

/// The current [`Time`]. Drivers read it once a turn and pass it down.
///
/// It follows Tokio's clock, which a test may pause and advance.
#[must_use]
pub fn now() -> Time {
    let origin = *ORIGIN.get_or_init(Instant::now);
    Time::from_micros(
        u64::try_from(Instant::now().saturating_duration_since(origin).as_micros()).unwrap_or(u64::MAX),
    )
}

/// The moment on Tokio's clock that `time` stands for.
pub(crate) fn instant(time: Time) -> Instant {
    *ORIGIN.get_or_init(Instant::now) + std::time::Duration::from_micros(time.as_micros())
}
