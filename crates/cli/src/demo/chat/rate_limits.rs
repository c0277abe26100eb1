//! How fast one connection of the chat may go.

use std::time::{Duration, Instant};

use super::super::rate_limit::RateLimit;
use super::limits::Refusal;

/// The limits of one connection.
pub(in crate::demo) struct RateLimits {
    events: RateLimit,
    messages: RateLimit,
    rooms: RateLimit,
    pictures: RateLimit,
    /// A short request gets up to 512 KiB.
    picture_data: RateLimit,
}

impl RateLimits {
    pub(in crate::demo) fn new(now: Instant) -> Self {
        Self {
            events: RateLimit::new(60, Duration::from_millis(100), now),
            messages: RateLimit::new(10, Duration::from_secs(1), now),
            rooms: RateLimit::new(3, Duration::from_secs(20), now),
            pictures: RateLimit::new(5, Duration::from_secs(15), now),
            picture_data: RateLimit::new(60, Duration::from_secs(1), now),
        }
    }

    /// Every event.
    pub(super) fn event(&self, now: Instant) -> Result<(), Refusal> {
        self.events.try_take(now).then_some(()).ok_or(Refusal::TooFast)
    }

    pub(super) fn message(&self, now: Instant) -> Result<(), Refusal> {
        self.messages.try_take(now).then_some(()).ok_or(Refusal::TooFast)
    }

    pub(super) fn open(&self, now: Instant) -> Result<(), Refusal> {
        self.rooms.try_take(now).then_some(()).ok_or(Refusal::TooFast)
    }

    pub(super) fn picture(&self, now: Instant) -> Result<(), Refusal> {
        self.pictures.try_take(now).then_some(()).ok_or(Refusal::TooManyPictures)
    }

    pub(super) fn picture_data(&self, now: Instant) -> Result<(), Refusal> {
        self.picture_data.try_take(now).then_some(()).ok_or(Refusal::TooManyPictures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_sends_ten_messages_at_once_and_then_one_each_second() {
        let start = Instant::now();
        let limits = RateLimits::new(start);
        for _ in 0..10 {
            assert_eq!(limits.message(start), Ok(()));
        }
        assert_eq!(limits.message(start), Err(Refusal::TooFast));
        assert_eq!(limits.message(start + Duration::from_millis(999)), Err(Refusal::TooFast));
        assert_eq!(limits.message(start + Duration::from_secs(1)), Ok(()));
        assert_eq!(limits.message(start + Duration::from_secs(1)), Err(Refusal::TooFast));
        let later = start + Duration::from_secs(3_600);
        for _ in 0..10 {
            assert_eq!(limits.message(later), Ok(()));
        }
        assert_eq!(limits.message(later), Err(Refusal::TooFast), "a pause saves up no more than ten");
    }

    #[test]
    fn a_connection_sends_five_pictures_at_once_and_then_four_each_minute() {
        let start = Instant::now();
        let limits = RateLimits::new(start);
        for _ in 0..5 {
            assert_eq!(limits.picture(start), Ok(()));
        }
        assert_eq!(limits.picture(start + Duration::from_secs(14)), Err(Refusal::TooManyPictures));
        let sent = (1..=60).filter(|second| limits.picture(start + Duration::from_secs(*second)).is_ok());
        assert_eq!(sent.count(), 4);
    }

    #[test]
    fn a_flood_of_events_of_any_kind_is_refused() {
        let start = Instant::now();
        let limits = RateLimits::new(start);
        let accepted = (0..1_000).filter(|_| limits.event(start).is_ok()).count();
        assert_eq!(accepted, 60);
    }
}
