//! When the client opens a connection: the first attempt, the attempts after a failure, and the delays between them.
//!
//! A state machine without I/O: the time and random bits are arguments.

use std::time::Duration;

use ws_proto::{Backoff, PeerDeadline, Time};

/// The settings of [`Reconnection`]. The names are those of the JavaScript client.
#[derive(Debug, Clone)]
pub(crate) struct ReconnectionSettings {
    /// Whether the client reconnects at all.
    pub(crate) reconnection: bool,
    /// How many attempts follow a failure. `None`: no limit.
    pub(crate) reconnection_attempts: Option<u32>,
    pub(crate) reconnection_delay: Duration,
    pub(crate) reconnection_delay_max: Duration,
    pub(crate) randomization_factor: f64,
    /// How long one attempt may take. `None`: no limit.
    pub(crate) timeout: Option<Duration>,
}

impl Default for ReconnectionSettings {
    fn default() -> Self {
        Self {
            reconnection: true,
            reconnection_attempts: None,
            reconnection_delay: Duration::from_secs(1),
            reconnection_delay_max: Duration::from_secs(5),
            randomization_factor: 0.5,
            timeout: Some(Duration::from_secs(20)),
        }
    }
}

/// Decides when the client tries to open a connection.
#[derive(Debug)]
pub(crate) struct Reconnection {
    settings: ReconnectionSettings,
    backoff: Backoff,
    state: State,
}

#[derive(Debug)]
enum State {
    /// There is no connection, and no attempt is planned.
    Closed,
    /// An attempt runs. `attempt` is 0 if it is not an attempt to reconnect.
    Opening { attempt: u32, deadline: PeerDeadline },
    /// A connection is open.
    Open { since: Time },
    /// The next attempt starts at this time.
    BackingOff { until: Time },
}

/// What follows the end of a connection or of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Another attempt starts after this delay.
    Retry { delay: Duration },
    /// The last allowed attempt has failed.
    GaveUp,
    /// The client does not reconnect, because the program turned that off.
    Stopped,
}

/// Something that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// Start attempt number `attempt` to reconnect, counted from 1.
    Attempt { attempt: u32 },
    /// The current attempt has taken too long. Abort it, and report its failure with
    /// [`handle_failure`](Reconnection::handle_failure).
    TimedOut,
}

impl Reconnection {
    pub(crate) fn new(settings: ReconnectionSettings) -> Self {
        let backoff = Backoff::new(
            settings.reconnection_delay,
            settings.reconnection_delay_max,
            settings.randomization_factor,
        );
        Self { settings, backoff, state: State::Closed }
    }

    /// Starts the first attempt, unless there is a connection, an attempt or a planned attempt. Returns whether the
    /// caller must open a connection now.
    #[must_use]
    pub(crate) fn open(&mut self, now: Time) -> bool {
        if !matches!(self.state, State::Closed) {
            return false;
        }
        self.start_attempt(0, now);
        true
    }

    /// The attempt has succeeded. Returns the number of the attempt if it was one to reconnect.
    pub(crate) fn handle_open(&mut self, now: Time) -> Option<u32> {
        let State::Opening { attempt, .. } = self.state else { return None };
        self.state = State::Open { since: now };
        (attempt > 0).then_some(attempt)
    }

    /// The attempt has failed.
    pub(crate) fn handle_failure(&mut self, now: Time, random: u64) -> Next {
        self.plan(now, random)
    }

    /// The connection was lost.
    ///
    /// A connection that lasted for the maximum delay starts the delays and the number of attempts again. A shorter one
    /// counts as a failed attempt. Otherwise a server that accepts and then disconnects would get an attempt from each
    /// client every second. (The JavaScript client starts again at every connection.)
    pub(crate) fn handle_close(&mut self, now: Time, random: u64) -> Next {
        if let State::Open { since } = self.state
            && now.saturating_since(since) >= self.backoff.delay_max()
        {
            self.backoff.reset();
        }
        self.plan(now, random)
    }

    /// The program has closed the connection, or no socket needs one. No attempt follows until
    /// [`open`](Self::open).
    pub(crate) fn close(&mut self) {
        self.backoff.reset();
        self.state = State::Closed;
    }

    /// Returns whether an attempt runs.
    pub(crate) fn is_opening(&self) -> bool {
        matches!(self.state, State::Opening { .. })
    }

    /// Returns whether there is neither a connection nor an attempt, now or planned.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Returns the number of the running attempt to reconnect. `None` if there is none, or if it is the first attempt.
    pub(crate) fn attempt(&self) -> Option<u32> {
        match self.state {
            State::Opening { attempt, .. } if attempt > 0 => Some(attempt),
            _ => None,
        }
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) must be called.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        match self.state {
            State::Opening { deadline, .. } => (deadline != PeerDeadline::NEVER).then(|| deadline.time()),
            State::BackingOff { until } => Some(until),
            State::Closed | State::Open { .. } => None,
        }
    }

    /// Returns what is due. A delay that is noticed long after its end leads to one attempt, however many would have
    /// fitted.
    pub(crate) fn handle_timeout(&mut self, now: Time) -> Option<Due> {
        match &mut self.state {
            State::BackingOff { until } if *until <= now => {
                let attempt = self.backoff.attempts();
                self.start_attempt(attempt, now);
                Some(Due::Attempt { attempt })
            }
            State::Opening { deadline, .. } => {
                let timeout = self.settings.timeout.unwrap_or_default();
                deadline.expired_or_restart(timeout, now).then_some(Due::TimedOut)
            }
            _ => None,
        }
    }

    fn start_attempt(&mut self, attempt: u32, now: Time) {
        let deadline =
            self.settings.timeout.map_or(PeerDeadline::NEVER, |timeout| PeerDeadline::new(now + timeout));
        self.state = State::Opening { attempt, deadline };
    }

    fn plan(&mut self, now: Time, random: u64) -> Next {
        if !self.settings.reconnection {
            self.close();
            return Next::Stopped;
        }
        if self.settings.reconnection_attempts.is_some_and(|most| self.backoff.attempts() >= most) {
            self.close();
            return Next::GaveUp;
        }
        let delay = self.backoff.next_delay(random);
        self.state = State::BackingOff { until: now + delay };
        Next::Retry { delay }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: u64 = 1 << 63;

    fn at(millis: u64) -> Time {
        Time::ZERO + Duration::from_millis(millis)
    }

    fn reconnection(change: impl FnOnce(&mut ReconnectionSettings)) -> Reconnection {
        let mut settings = ReconnectionSettings { randomization_factor: 0.0, ..Default::default() };
        change(&mut settings);
        Reconnection::new(settings)
    }

    fn retry(millis: u64) -> Next {
        Next::Retry { delay: Duration::from_millis(millis) }
    }

    #[test]
    fn a_failed_first_attempt_is_followed_by_attempts_with_growing_delays() {
        let mut machine = reconnection(|_| {});
        assert!(machine.open(at(0)));
        assert!(!machine.open(at(0)), "an attempt runs");
        let mut now = 0;
        for (attempt, delay) in [(1, 1_000), (2, 2_000), (3, 4_000), (4, 5_000), (5, 5_000)] {
            assert_eq!(machine.handle_failure(at(now), HALF), retry(delay));
            assert_eq!(machine.handle_timeout(at(now + delay - 1)), None);
            now += delay;
            assert_eq!(machine.poll_timeout(), Some(at(now)));
            assert_eq!(machine.handle_timeout(at(now)), Some(Due::Attempt { attempt }));
        }
        assert_eq!(machine.handle_open(at(now)), Some(5));
    }

    #[test]
    fn the_number_of_attempts_is_limited() {
        let mut machine = reconnection(|settings| settings.reconnection_attempts = Some(2));
        assert!(machine.open(at(0)));
        assert_eq!(machine.handle_failure(at(0), HALF), retry(1_000));
        assert_eq!(machine.handle_timeout(at(1_000)), Some(Due::Attempt { attempt: 1 }));
        assert_eq!(machine.handle_failure(at(1_000), HALF), retry(2_000));
        assert_eq!(machine.handle_timeout(at(3_000)), Some(Due::Attempt { attempt: 2 }));
        assert_eq!(machine.handle_failure(at(3_000), HALF), Next::GaveUp);
        assert_eq!((machine.poll_timeout(), machine.is_closed()), (None, true));
        assert!(machine.open(at(9_000)), "the program may try again");
        assert_eq!(machine.handle_failure(at(9_000), HALF), retry(1_000), "and all starts again");
    }

    #[test]
    fn with_zero_attempts_the_first_failure_is_final() {
        let mut machine = reconnection(|settings| settings.reconnection_attempts = Some(0));
        assert!(machine.open(at(0)));
        assert_eq!(machine.handle_failure(at(0), HALF), Next::GaveUp);
    }

    #[test]
    fn without_reconnection_nothing_follows() {
        let mut machine = reconnection(|settings| settings.reconnection = false);
        assert!(machine.open(at(0)));
        assert_eq!(machine.handle_open(at(5)), None);
        assert_eq!(machine.handle_close(at(10), HALF), Next::Stopped);
        assert!(machine.open(at(20)));
    }

    #[test]
    fn a_short_connection_counts_as_a_failed_attempt_and_a_long_one_starts_again() {
        let mut machine = reconnection(|_| {});
        assert!(machine.open(at(0)));
        assert_eq!(machine.handle_open(at(0)), None);
        assert_eq!(machine.handle_close(at(10), HALF), retry(1_000));
        assert_eq!(machine.handle_timeout(at(1_010)), Some(Due::Attempt { attempt: 1 }));
        assert_eq!(machine.handle_open(at(1_010)), Some(1));
        assert_eq!(machine.handle_close(at(1_020), HALF), retry(2_000));
        assert_eq!(machine.handle_timeout(at(3_020)), Some(Due::Attempt { attempt: 2 }));
        assert_eq!(machine.handle_open(at(3_020)), Some(2));
        assert_eq!(machine.handle_close(at(8_020), HALF), retry(1_000), "it lasted for the maximum delay");
    }

    #[test]
    fn an_attempt_has_a_time_limit() {
        let mut machine = reconnection(|_| {});
        assert!(machine.open(at(0)));
        assert_eq!(machine.poll_timeout(), Some(at(20_000)));
        assert_eq!(machine.handle_timeout(at(19_999)), None);
        assert_eq!(machine.handle_timeout(at(20_000)), Some(Due::TimedOut));
        assert_eq!(machine.handle_failure(at(20_000), HALF), retry(1_000));
        let mut machine = reconnection(|settings| settings.timeout = None);
        assert!(machine.open(at(0)));
        assert_eq!((machine.poll_timeout(), machine.handle_timeout(at(1_000_000))), (None, None));
    }

    #[test]
    fn a_jump_of_the_clock_leads_to_one_attempt() {
        let mut machine = reconnection(|_| {});
        assert!(machine.open(at(0)));
        assert_eq!(machine.handle_failure(at(0), HALF), retry(1_000));
        let hours = 7 * 3_600_000;
        assert_eq!(machine.handle_timeout(at(hours)), Some(Due::Attempt { attempt: 1 }));
        assert_eq!(machine.handle_timeout(at(hours)), None);
        // The machine slept during the attempt: what the server has sent is read before the attempt fails.
        assert_eq!(machine.handle_timeout(at(2 * hours)), None);
        assert_eq!(machine.handle_timeout(at(2 * hours + 20_000)), Some(Due::TimedOut));
    }

    #[test]
    fn after_the_program_has_closed_nothing_is_planned() {
        let mut machine = reconnection(|_| {});
        assert!(machine.open(at(0)));
        assert_eq!(machine.handle_failure(at(0), HALF), retry(1_000));
        machine.close();
        assert_eq!((machine.poll_timeout(), machine.handle_timeout(at(5_000))), (None, None));
    }

    /// Ten thousand clients of a server that accepts each connection and hangs up at once. The JavaScript client would
    /// make an attempt every second and a half.
    #[test]
    fn a_server_that_accepts_and_hangs_up_gets_few_attempts_spread_over_time() {
        const CLIENTS: u64 = 10_000;
        const SECONDS: u64 = 60;
        let mut attempts = vec![0_u64; SECONDS as usize];
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..CLIENTS {
            let mut machine = Reconnection::new(ReconnectionSettings::default());
            let mut now = at(0);
            assert!(machine.open(now));
            machine.handle_open(now);
            loop {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let Next::Retry { delay } = machine.handle_close(now, random) else { panic!("it goes on") };
                now = now + delay;
                let Some(second) = attempts.get_mut((now.as_micros() / 1_000_000) as usize) else { break };
                *second += 1;
                assert!(matches!(machine.handle_timeout(now), Some(Due::Attempt { .. })));
                machine.handle_open(now);
            }
        }
        let total: u64 = attempts.iter().sum();
        assert!(total < CLIENTS * SECONDS / 3, "{total} attempts");
        // After the first delays, no second has much more than its share of one attempt in 3.75 seconds.
        let most = attempts[15..].iter().max().unwrap();
        assert!(*most < CLIENTS * 2 / 5, "{most} attempts in one second");
    }
}
