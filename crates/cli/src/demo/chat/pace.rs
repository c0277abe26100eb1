//! How fast one connection may go.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::limits::Refusal;

/// The allowances of one connection.
pub(super) struct Pace {
    events: Allowance,
    messages: Allowance,
    rooms: Allowance,
    pictures: Allowance,
    /// A short request gets up to 512 KiB.
    picture_data: Allowance,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            events: Allowance::new(60, Duration::from_millis(100), now),
            messages: Allowance::new(10, Duration::from_secs(1), now),
            rooms: Allowance::new(3, Duration::from_secs(20), now),
            pictures: Allowance::new(5, Duration::from_secs(15), now),
            picture_data: Allowance::new(60, Duration::from_secs(1), now),
        }
    }

    /// Every event.
    pub(super) fn event(&self, now: Instant) -> Result<(), Refusal> {
        self.events.take(now).ok_or(Refusal::TooFast)
    }

    pub(super) fn message(&self, now: Instant) -> Result<(), Refusal> {
        self.messages.take(now).ok_or(Refusal::TooFast)
    }

    pub(super) fn open(&self, now: Instant) -> Result<(), Refusal> {
        self.rooms.take(now).ok_or(Refusal::TooFast)
    }

    pub(super) fn picture(&self, now: Instant) -> Result<(), Refusal> {
        self.pictures.take(now).ok_or(Refusal::TooManyPictures)
    }

    pub(super) fn picture_data(&self, now: Instant) -> Result<(), Refusal> {
        self.picture_data.take(now).ok_or(Refusal::TooManyPictures)
    }
}

/// Allows `burst` uses at once, and one more after each `interval`.
struct Allowance {
    interval: Duration,
    burst: u32,
    /// The time at which all uses will be there again.
    full_at: Mutex<Instant>,
}

impl Allowance {
    fn new(burst: u32, interval: Duration, now: Instant) -> Self {
        Self { interval, burst, full_at: Mutex::new(now) }
    }

    fn take(&self, now: Instant) -> Option<()> {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let after = (*full_at).max(now) + self.interval;
        if after.duration_since(now) > self.interval * self.burst {
            return None;
        }
        *full_at = after;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_sends_ten_messages_at_once_and_then_one_each_second() {
        let start = Instant::now();
        let pace = Pace::new(start);
        for _ in 0..10 {
            assert_eq!(pace.message(start), Ok(()));
        }
        assert_eq!(pace.message(start), Err(Refusal::TooFast));
        assert_eq!(pace.message(start + Duration::from_millis(999)), Err(Refusal::TooFast));
        assert_eq!(pace.message(start + Duration::from_secs(1)), Ok(()));
        assert_eq!(pace.message(start + Duration::from_secs(1)), Err(Refusal::TooFast));
        let later = start + Duration::from_secs(3_600);
        for _ in 0..10 {
            assert_eq!(pace.message(later), Ok(()));
        }
        assert_eq!(pace.message(later), Err(Refusal::TooFast), "a pause saves up no more than ten");
    }

    #[test]
    fn a_connection_sends_five_pictures_at_once_and_then_four_each_minute() {
        let start = Instant::now();
        let pace = Pace::new(start);
        for _ in 0..5 {
            assert_eq!(pace.picture(start), Ok(()));
        }
        assert_eq!(pace.picture(start + Duration::from_secs(14)), Err(Refusal::TooManyPictures));
        let sent = (1..=60).filter(|second| pace.picture(start + Duration::from_secs(*second)).is_ok());
        assert_eq!(sent.count(), 4);
    }

    #[test]
    fn a_flood_of_events_of_any_kind_is_refused() {
        let start = Instant::now();
        let pace = Pace::new(start);
        let accepted = (0..1_000).filter(|_| pace.event(start).is_ok()).count();
        assert_eq!(accepted, 60);
    }
}
