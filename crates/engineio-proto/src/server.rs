//! The server side of one session, as a sans-I/O state machine: the meaning of packets, the heartbeat, the upgrade.
//!
//! The machine does not depend on how a transport works. The driver passes in every packet of the current transport
//! ([`Session::handle_packet`]) and of a candidate ([`Session::handle_candidate_packet`]). It sleeps until
//! [`Session::poll_timeout`], and then executes what [`Session::handle_timeout`] returns, until that returns `None`.

mod upgrade;

use std::borrow::Cow;
use std::time::Duration;

use ws_proto::{PeerDeadline, Time};

use crate::error::CloseReason;
use crate::handshake::Transport;
use crate::packet::{Packet, ParseError};
use crate::revision::Revision;
use upgrade::{Upgrade, UpgradeTimeoutAction};

pub use crate::handshake::Settings;
pub use upgrade::CandidateAction;

/// The result of handling a packet.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(Cow<'a, [u8]>),
    /// A ping of a client of [revision 3](Revision::V3): send [`Packet::Pong`] with this data. The client chooses how many
    /// pings it sends, so the pong must count against the limit of queued bytes.
    SendPong(&'a str),
    /// The packet has nothing for the application. The machine has handled it.
    Nothing,
}

/// An action that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeoutAction {
    /// Send a ping (`2`).
    Ping,
    /// Respond to a waiting poll with a noop (`6`), if there is one.
    SendNoop,
    /// Close the candidate. The session goes on.
    CloseCandidate,
    /// Close the session.
    Close(CloseReason),
}

/// The state of one session. It is small, because every idle session needs one.
#[derive(Debug)]
pub struct Session {
    transport: Transport,
    heartbeat: Heartbeat,
    upgrade: Upgrade,
    /// While this is true, the driver does not read. A missing pong then does not mean that the client is gone.
    read_paused: bool,
    ping_interval_millis: u32,
    ping_timeout_millis: u32,
    upgrade_timeout_millis: u32,
}

/// The heartbeat. In revision 4, the server sends the pings, and the state is `Idle` or `AwaitingPong`. In revision 3, the
/// client sends them, and the state is always `AwaitingPing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heartbeat {
    /// The next ping is due at `ping_at`.
    Idle { ping_at: Time },
    /// A ping has been sent. `extended` is true if a packet other than the pong has already extended the deadline. This
    /// can happen once for each ping.
    AwaitingPong { deadline: PeerDeadline, extended: bool },
    /// The next ping of the client must arrive before `deadline`. No other packet extends it.
    AwaitingPing { deadline: PeerDeadline },
}

impl Heartbeat {
    /// Returns the state after the open packet, and after each pong (revision 4) or ping (revision 3) of the client.
    fn new(revision: Revision, ping_interval: Duration, ping_timeout: Duration, now: Time) -> Self {
        match revision {
            Revision::V4 => Self::Idle { ping_at: now + ping_interval },
            Revision::V3 => {
                Self::AwaitingPing { deadline: PeerDeadline::new(now + ping_interval + ping_timeout) }
            }
        }
    }
}

impl Session {
    /// Creates a session of this revision that has just sent its open packet on `transport`.
    #[must_use]
    pub fn new(revision: Revision, transport: Transport, settings: &Settings, now: Time) -> Self {
        let upgradable = transport == Transport::Polling
            && settings.allow_upgrades
            && settings.transports.contains(&Transport::WebSocket);
        Self {
            transport,
            heartbeat: Heartbeat::new(revision, settings.ping_interval, settings.ping_timeout, now),
            upgrade: if upgradable { Upgrade::Possible } else { Upgrade::Finished },
            read_paused: false,
            ping_interval_millis: millis(settings.ping_interval),
            ping_timeout_millis: millis(settings.ping_timeout),
            upgrade_timeout_millis: millis(settings.upgrade_timeout),
        }
    }

    fn ping_interval(&self) -> Duration {
        Duration::from_millis(self.ping_interval_millis.into())
    }

    fn ping_timeout(&self) -> Duration {
        Duration::from_millis(self.ping_timeout_millis.into())
    }

    fn upgrade_timeout(&self) -> Duration {
        Duration::from_millis(self.upgrade_timeout_millis.into())
    }

    /// Returns the revision, which never changes.
    #[must_use]
    pub fn revision(&self) -> Revision {
        match self.heartbeat {
            Heartbeat::Idle { .. } | Heartbeat::AwaitingPong { .. } => Revision::V4,
            Heartbeat::AwaitingPing { .. } => Revision::V3,
        }
    }

    /// Returns the transport that carries packets now.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Handles a packet of the current transport.
    ///
    /// # Errors
    /// Returns the reason if the session must be closed now.
    pub fn handle_packet<'a>(
        &mut self,
        packet: Result<Packet<'a>, ParseError>,
        now: Time,
    ) -> Result<Received<'a>, CloseReason> {
        let packet = packet.map_err(|_| CloseReason::ParseError)?;
        if let Packet::Pong(_) = packet {
            // An unsolicited pong is allowed. It only restarts the ping interval.
            return self.handle_heartbeat(Revision::V4, now).map(|()| Received::Nothing);
        }
        self.extend_pong_deadline(now);
        match packet {
            Packet::Message(text) => Ok(Received::Text(text)),
            Packet::Binary(data) => Ok(Received::Binary(data)),
            Packet::Ping(data) => self.handle_heartbeat(Revision::V3, now).map(|()| Received::SendPong(data)),
            // A WebSocket connection closes by its own close frame; a `1` on it has no meaning.
            Packet::Close if self.transport == Transport::Polling => Err(CloseReason::TransportClose),
            Packet::Close | Packet::Pong(_) | Packet::Open(_) | Packet::Upgrade | Packet::Noop => {
                Ok(Received::Nothing)
            }
        }
    }

    /// Handles a packet with which clients of `revision` keep the session alive: a pong in revision 4, a ping in
    /// revision 3. In the other revision only the server sends it ("invalid heartbeat direction" in the Node server).
    fn handle_heartbeat(&mut self, revision: Revision, now: Time) -> Result<(), CloseReason> {
        if self.revision() != revision {
            return Err(CloseReason::TransportError);
        }
        self.heartbeat = Heartbeat::new(revision, self.ping_interval(), self.ping_timeout(), now);
        Ok(())
    }

    /// Starts an upgrade to a candidate that has connected. If this returns `false`, close the candidate: the session
    /// cannot upgrade now.
    pub fn begin_upgrade(&mut self, to: Transport, now: Time) -> bool {
        let upgrade_timeout = self.upgrade_timeout();
        self.upgrade.begin(to, now, upgrade_timeout)
    }

    /// Handles a packet of the candidate.
    pub fn handle_candidate_packet(
        &mut self,
        packet: &Result<Packet<'_>, ParseError>,
        now: Time,
    ) -> CandidateAction {
        let step = self.upgrade.handle_packet(packet, now);
        if let CandidateAction::Switch(to) = step {
            self.transport = to;
        }
        step
    }

    /// Handles the end of the candidate's connection before the upgrade.
    pub fn handle_candidate_closed(&mut self) {
        self.upgrade.handle_candidate_closed();
    }

    /// Tells the machine that the driver stops reading (`true`) or reads again (`false`). While the driver does not
    /// read, a missing pong (in revision 3, a missing ping) does not end the session. When the driver reads again, the
    /// client gets a whole timeout.
    pub fn set_read_paused(&mut self, paused: bool, now: Time) {
        let (ping_interval, ping_timeout) = (self.ping_interval(), self.ping_timeout());
        if self.read_paused && !paused {
            match &mut self.heartbeat {
                Heartbeat::Idle { .. } => {}
                Heartbeat::AwaitingPong { deadline, .. } => {
                    *deadline = PeerDeadline::new(now + ping_timeout);
                }
                Heartbeat::AwaitingPing { .. } => {
                    self.heartbeat = Heartbeat::new(Revision::V3, ping_interval, ping_timeout, now);
                }
            }
        }
        self.read_paused = paused;
    }

    /// Returns when to call [`handle_timeout`](Self::handle_timeout) next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let heartbeat = match self.heartbeat {
            Heartbeat::Idle { ping_at } => Some(ping_at),
            Heartbeat::AwaitingPong { .. } | Heartbeat::AwaitingPing { .. } if self.read_paused => None,
            Heartbeat::AwaitingPong { deadline, .. } | Heartbeat::AwaitingPing { deadline } => {
                Some(deadline.time())
            }
        };
        match (heartbeat, self.upgrade.poll_timeout()) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// Returns one action that is due. Call this again until it returns `None`. A deadline of the client that is
    /// [noticed late](Time::extension) starts again once.
    pub fn handle_timeout(&mut self, now: Time) -> Option<TimeoutAction> {
        let (ping_interval, ping_timeout) = (self.ping_interval(), self.ping_timeout());
        let expired = match &mut self.heartbeat {
            Heartbeat::Idle { ping_at } if *ping_at <= now => {
                let deadline = PeerDeadline::new(now + ping_timeout);
                self.heartbeat = Heartbeat::AwaitingPong { deadline, extended: false };
                return Some(TimeoutAction::Ping);
            }
            Heartbeat::Idle { .. } => false,
            _ if self.read_paused => false,
            Heartbeat::AwaitingPong { deadline, .. } => deadline.expired_or_restart(ping_timeout, now),
            Heartbeat::AwaitingPing { deadline } => {
                deadline.expired_or_restart(ping_interval + ping_timeout, now)
            }
        };
        if expired {
            return Some(TimeoutAction::Close(CloseReason::PingTimeout));
        }
        let upgrade_timeout = self.upgrade_timeout();
        self.upgrade.handle_timeout(now, upgrade_timeout).map(|due| match due {
            UpgradeTimeoutAction::SendNoop => TimeoutAction::SendNoop,
            UpgradeTimeoutAction::CloseCandidate => TimeoutAction::CloseCandidate,
        })
    }

    /// Extends the deadline of the pong when another packet arrives, once for each ping: the pong may be queued after
    /// large messages.
    fn extend_pong_deadline(&mut self, now: Time) {
        let ping_timeout = self.ping_timeout();
        if let Heartbeat::AwaitingPong { deadline, extended: extended @ false } = &mut self.heartbeat {
            *deadline = PeerDeadline::new(now + ping_timeout);
            *extended = true;
        }
    }
}

/// Returns whole milliseconds, rounded up. Durations above 49 days count as 49 days. Every idle session has three of these
/// numbers, and a `Duration` takes four times as much.
fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    fn session(transport: Transport) -> Session {
        Session::new(Revision::V4, transport, &Settings::default(), Time::ZERO)
    }

    /// A session with a client that sends the pings.
    fn session3(transport: Transport) -> Session {
        Session::new(Revision::V3, transport, &Settings::default(), Time::ZERO)
    }

    #[test]
    fn the_first_ping_comes_one_interval_after_the_open_and_the_next_one_interval_after_the_pong() {
        let mut session = session(Transport::WebSocket);
        assert_eq!(session.poll_timeout(), Some(at(25)));
        assert_eq!(session.handle_timeout(at(24)), None);
        assert_eq!(session.handle_timeout(at(25)), Some(TimeoutAction::Ping));
        assert_eq!(session.handle_timeout(at(25)), None);
        assert_eq!(session.handle_packet(Ok(Packet::Pong("")), at(30)), Ok(Received::Nothing));
        assert_eq!(session.poll_timeout(), Some(at(55)));
    }

    #[test]
    fn a_missing_pong_closes_the_session() {
        let mut session = session(Transport::Polling);
        session.handle_timeout(at(25));
        assert_eq!(session.handle_timeout(at(44)), None);
        assert_eq!(session.handle_timeout(at(45)), Some(TimeoutAction::Close(CloseReason::PingTimeout)));
    }

    #[test]
    fn the_first_other_packet_prolongs_the_wait_for_the_pong_and_the_second_does_not() {
        let mut session = session(Transport::WebSocket);
        session.handle_timeout(at(25));
        session.handle_packet(Ok(Packet::Message("x")), at(40)).unwrap();
        assert_eq!(session.poll_timeout(), Some(at(60)));
        session.handle_packet(Ok(Packet::Message("y")), at(50)).unwrap();
        assert_eq!(session.poll_timeout(), Some(at(60)));
    }

    #[test]
    fn while_reading_is_paused_a_missing_pong_closes_nothing() {
        let mut session = session(Transport::WebSocket);
        session.handle_timeout(at(25));
        session.set_read_paused(true, at(26));
        assert_eq!(session.poll_timeout(), None);
        assert_eq!(session.handle_timeout(at(400)), None);
        session.set_read_paused(false, at(400));
        assert_eq!(session.poll_timeout(), Some(at(420)));
    }

    #[test]
    fn a_pong_that_is_not_read_yet_because_the_process_was_stopped_is_awaited_again() {
        let mut session = session(Transport::WebSocket);
        session.handle_timeout(at(25));
        assert_eq!(session.handle_timeout(at(75)), None, "30 s late");
        assert_eq!(session.poll_timeout(), Some(at(95)));
        assert_eq!(session.handle_packet(Ok(Packet::Pong("")), at(75)), Ok(Received::Nothing));
        assert_eq!(session.poll_timeout(), Some(at(100)));
    }

    #[test]
    fn a_client_that_is_silent_after_the_stop_of_the_process_times_out_after_the_second_period() {
        let mut session = session(Transport::Polling);
        session.handle_timeout(at(25));
        assert_eq!(session.handle_timeout(at(75)), None);
        assert_eq!(session.handle_timeout(at(94)), None);
        assert_eq!(session.handle_timeout(at(95)), Some(TimeoutAction::Close(CloseReason::PingTimeout)));
    }

    #[test]
    fn a_client_that_is_silent_between_two_stops_of_the_process_times_out() {
        let timed_out = Some(TimeoutAction::Close(CloseReason::PingTimeout));
        let mut session = session(Transport::Polling);
        session.handle_timeout(at(25));
        assert_eq!(session.handle_timeout(at(75)), None);
        assert_eq!(session.handle_timeout(at(200)), timed_out);

        let mut session = session3(Transport::Polling);
        assert_eq!(session.handle_timeout(at(75)), None);
        assert_eq!(session.handle_timeout(at(200)), timed_out);
    }

    #[test]
    fn a_client_that_sends_something_between_two_stops_of_the_process_has_its_whole_time_again() {
        let mut session = session(Transport::WebSocket);
        session.handle_timeout(at(25));
        assert_eq!(session.handle_timeout(at(75)), None);
        assert_eq!(session.handle_packet(Ok(Packet::Message("late")), at(76)), Ok(Received::Text("late")));
        assert_eq!(session.handle_timeout(at(200)), None);
        assert_eq!(session.poll_timeout(), Some(at(220)));

        let mut session = session3(Transport::Polling);
        assert_eq!(session.handle_timeout(at(75)), None);
        assert_eq!(session.handle_packet(Ok(Packet::Ping("")), at(76)), Ok(Received::SendPong("")));
        assert_eq!(session.handle_timeout(at(200)), None);
        assert_eq!(session.poll_timeout(), Some(at(245)));
    }

    #[test]
    fn an_upgrade_that_is_not_read_yet_because_the_process_was_stopped_goes_on() {
        let mut session = session(Transport::Polling);
        session.begin_upgrade(Transport::WebSocket, at(1));
        session.handle_candidate_packet(&Ok(Packet::Ping("probe")), at(1));
        session.handle_timeout(at(1));
        assert_eq!(session.handle_timeout(at(20)), Some(TimeoutAction::SendNoop), "9 s late");
        assert_eq!(
            session.handle_candidate_packet(&Ok(Packet::Upgrade), at(20)),
            CandidateAction::Switch(Transport::WebSocket)
        );
    }

    #[test]
    fn a_candidate_that_is_silent_after_the_stop_of_the_process_is_closed_after_the_second_period() {
        let mut session = session(Transport::Polling);
        session.begin_upgrade(Transport::WebSocket, at(1));
        assert_eq!(session.handle_timeout(at(20)), None);
        assert_eq!(session.poll_timeout(), Some(at(25)), "the ping");
        session.handle_timeout(at(25));
        assert_eq!(session.handle_timeout(at(29)), None);
        assert_eq!(session.handle_timeout(at(30)), Some(TimeoutAction::CloseCandidate));
    }

    #[test]
    fn a_candidate_that_only_probes_between_two_stops_of_the_process_is_closed() {
        let mut session = session(Transport::Polling);
        session.set_read_paused(true, at(1));
        session.begin_upgrade(Transport::WebSocket, at(1));
        assert_eq!(session.handle_timeout(at(20)), None);
        session.handle_candidate_packet(&Ok(Packet::Ping("probe")), at(20));
        assert_eq!(session.handle_timeout(at(20)), Some(TimeoutAction::SendNoop));
        session.handle_timeout(at(50));
        assert_eq!(session.handle_timeout(at(50)), Some(TimeoutAction::CloseCandidate));
    }

    #[test]
    fn a_ping_from_the_client_is_the_wrong_direction() {
        let mut session = session(Transport::WebSocket);
        assert_eq!(session.handle_packet(Ok(Packet::Ping("")), at(1)), Err(CloseReason::TransportError));
    }

    #[test]
    fn in_revision_3_the_client_pings_and_gets_its_data_back() {
        for transport in Transport::ALL {
            let mut session = session3(transport);
            assert_eq!(session.revision(), Revision::V3);
            assert_eq!(session.poll_timeout(), Some(at(45)));
            assert_eq!(session.handle_packet(Ok(Packet::Ping("")), at(25)), Ok(Received::SendPong("")));
            assert_eq!(session.poll_timeout(), Some(at(70)), "a whole interval and timeout from the ping");
            assert_eq!(session.handle_packet(Ok(Packet::Ping("x")), at(69)), Ok(Received::SendPong("x")));
            assert_eq!(session.handle_timeout(at(113)), None, "the server sends no ping");
            assert_eq!(session.poll_timeout(), Some(at(114)));
        }
    }

    #[test]
    fn in_revision_3_a_missing_ping_closes_the_session_whatever_else_arrives() {
        let mut session = session3(Transport::WebSocket);
        session.handle_packet(Ok(Packet::Message("x")), at(40)).unwrap();
        assert_eq!(session.poll_timeout(), Some(at(45)));
        assert_eq!(session.handle_timeout(at(44)), None);
        assert_eq!(session.handle_timeout(at(45)), Some(TimeoutAction::Close(CloseReason::PingTimeout)));
    }

    #[test]
    fn in_revision_3_a_missing_ping_closes_nothing_while_reading_is_paused() {
        let mut session = session3(Transport::WebSocket);
        session.set_read_paused(true, at(1));
        assert_eq!(session.poll_timeout(), None);
        assert_eq!(session.handle_timeout(at(400)), None);
        session.set_read_paused(false, at(400));
        assert_eq!(session.poll_timeout(), Some(at(445)));
    }

    #[test]
    fn in_revision_3_a_pong_from_the_client_is_the_wrong_direction() {
        let mut session = session3(Transport::WebSocket);
        assert_eq!(session.handle_packet(Ok(Packet::Pong("")), at(1)), Err(CloseReason::TransportError));
    }

    #[test]
    fn in_revision_3_an_upgrade_is_the_same_and_the_wait_for_the_ping_goes_on() {
        let mut session = session3(Transport::Polling);
        assert!(session.begin_upgrade(Transport::WebSocket, at(1)));
        assert_eq!(
            session.handle_candidate_packet(&Ok(Packet::Ping("probe")), at(1)),
            CandidateAction::SendProbePong
        );
        assert_eq!(session.poll_timeout(), Some(at(1)), "a waiting poll gets a noop");
        assert_eq!(
            session.handle_candidate_packet(&Ok(Packet::Upgrade), at(2)),
            CandidateAction::Switch(Transport::WebSocket)
        );
        // A probe is not a ping of the session. The Node server has no deadline at all after an upgrade.
        assert_eq!(session.poll_timeout(), Some(at(45)));
    }

    #[test]
    fn a_close_packet_ends_a_polling_session_and_means_nothing_on_websocket() {
        assert_eq!(
            session(Transport::Polling).handle_packet(Ok(Packet::Close), at(1)),
            Err(CloseReason::TransportClose)
        );
        assert_eq!(
            session(Transport::WebSocket).handle_packet(Ok(Packet::Close), at(1)),
            Ok(Received::Nothing)
        );
    }

    #[test]
    fn what_is_no_packet_is_a_parse_error() {
        assert_eq!(
            session(Transport::Polling).handle_packet(Err(ParseError::Empty), at(1)),
            Err(CloseReason::ParseError)
        );
    }

    #[test]
    fn an_upgrade_is_probe_then_upgrade() {
        let mut session = session(Transport::Polling);
        assert!(session.begin_upgrade(Transport::WebSocket, at(1)));
        assert_eq!(
            session.handle_candidate_packet(&Ok(Packet::Ping("probe")), at(1)),
            CandidateAction::SendProbePong
        );
        assert_eq!(session.transport(), Transport::Polling);
        assert_eq!(
            session.handle_timeout(at(1)),
            Some(TimeoutAction::SendNoop),
            "a waiting poll gets a noop at once"
        );
        assert_eq!(session.handle_timeout(at(1)), None);
        assert_eq!(session.poll_timeout(), Some(at(1) + SECOND / 10), "a later poll gets a noop soon");
        assert_eq!(session.handle_timeout(at(2)), Some(TimeoutAction::SendNoop));
        assert_eq!(session.handle_timeout(at(2)), None);
        assert_eq!(
            session.handle_candidate_packet(&Ok(Packet::Upgrade), at(2)),
            CandidateAction::Switch(Transport::WebSocket)
        );
        assert_eq!(session.transport(), Transport::WebSocket);
        assert_eq!(session.poll_timeout(), Some(at(25)));
        assert!(!session.begin_upgrade(Transport::WebSocket, at(3)), "a session upgrades once");
    }

    #[test]
    fn a_second_candidate_is_refused_while_the_first_is_there() {
        let mut session = session(Transport::Polling);
        assert!(session.begin_upgrade(Transport::WebSocket, at(1)));
        assert!(!session.begin_upgrade(Transport::WebSocket, at(1)));
        session.handle_candidate_closed();
        assert!(session.begin_upgrade(Transport::WebSocket, at(1)));
    }

    #[test]
    fn an_upgrade_needs_no_probe() {
        let mut session = session(Transport::Polling);
        assert_eq!(
            session.handle_candidate_packet(&Ok(Packet::Upgrade), at(1)),
            CandidateAction::CloseCandidate,
            "there is no candidate"
        );
        assert!(session.begin_upgrade(Transport::WebSocket, at(1)));
        assert_eq!(
            session.handle_candidate_packet(&Ok(Packet::Upgrade), at(1)),
            CandidateAction::Switch(Transport::WebSocket)
        );
        assert_eq!(session.transport(), Transport::WebSocket);
        assert_eq!(session.poll_timeout(), Some(at(25)), "the deadline of the upgrade is gone");
        assert!(!session.begin_upgrade(Transport::WebSocket, at(2)), "a session upgrades once");
    }

    #[test]
    fn anything_else_on_the_candidate_costs_only_the_candidate() {
        for packet in [Ok(Packet::Message("x")), Ok(Packet::Ping("")), Err(ParseError::UnknownType)] {
            let mut session = session(Transport::Polling);
            session.begin_upgrade(Transport::WebSocket, at(1));
            assert_eq!(
                session.handle_candidate_packet(&packet, at(1)),
                CandidateAction::CloseCandidate,
                "{packet:?}"
            );
            assert_eq!(session.transport(), Transport::Polling);
            assert!(session.begin_upgrade(Transport::WebSocket, at(2)));
        }
    }

    #[test]
    fn an_upgrade_that_is_not_finished_in_time_is_abandoned() {
        let mut session = session(Transport::Polling);
        session.begin_upgrade(Transport::WebSocket, at(1));
        assert_eq!(session.handle_timeout(at(11)), Some(TimeoutAction::CloseCandidate));
        assert!(session.begin_upgrade(Transport::WebSocket, at(12)));
    }

    #[test]
    fn a_session_that_began_on_websocket_has_nowhere_to_move() {
        assert!(!session(Transport::WebSocket).begin_upgrade(Transport::WebSocket, at(1)));
    }

    #[test]
    fn an_idle_session_is_small() {
        assert!(size_of::<Session>() <= 120, "{}", size_of::<Session>());
    }
}
