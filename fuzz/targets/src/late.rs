//! What the models know about deadlines that are noticed late.

use std::time::Duration;

use ws_proto::Time;

/// Returns the time at which `period` must have begun if it ends at `deadline`.
pub(crate) fn started_before(deadline: Time, period: Duration) -> Time {
    Time::ZERO + deadline.saturating_since(Time::ZERO + period)
}
