//! The client side of an Engine.IO session, with random events in virtual time.

use std::time::Duration;

use arbitrary::{Result, Unstructured};
use engineio_proto::client::{Action, Closed, ReadyState, Received, Session, SessionError, Settings};
use engineio_proto::{CloseReason, Packet, ParseError, Transport};
use ws_proto::Time;

use crate::late::started_before;

/// The input is a sequence of actions of a server, a network, an application and the clock.
pub fn client_session(data: &[u8]) {
    let mut choices = Unstructured::new(data);
    let Ok(mut run) = Run::begin(&mut choices) else { return };
    run.turn(false);
    while !choices.is_empty() {
        if run.step(&mut choices).is_err() {
            return;
        }
        run.check();
    }
}

/// A session, and what an observer can tell about it.
struct Run {
    session: Session,
    settings: Settings,
    began_on: Transport,
    now: Time,
    /// The lengths of the queued messages.
    waiting: Vec<usize>,
    get: bool,
    post: bool,
    pinged: bool,
    paused: bool,
    /// The open packet was accepted.
    opened: bool,
    program_closed: bool,
    /// The time at which the server's time for the open packet or the next ping began. If it got more time because its
    /// deadline was noticed late, it is the time at which the whole time would have begun.
    granted: Time,
    /// The server got more time, and has not sent what was awaited since.
    restarted: bool,
    candidate: Option<Candidate>,
    candidates: usize,
    moved: bool,
    closed: Option<Closed>,
}

/// The candidate of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Candidate {
    /// When its time began, as in `granted`.
    since: Time,
    restarted: bool,
    connected: bool,
    probed: bool,
    answered: bool,
    /// The session has given it up, and the driver has not closed it yet.
    abandoned: bool,
}

impl Run {
    fn begin(choices: &mut Unstructured<'_>) -> Result<Self> {
        let began_on = if choices.arbitrary()? { Transport::WebSocket } else { Transport::Polling };
        let mut milliseconds = || choices.int_in_range(1..=60_000).map(Duration::from_millis);
        let settings = Settings {
            connect_timeout: milliseconds()?,
            probe_timeout: milliseconds()?,
            upgrade: choices.ratio(7_u8, 8)?,
            max_id_len: choices.int_in_range(0..=40)?,
            ..Settings::default()
        };
        Ok(Self {
            session: Session::new(began_on, &settings, Time::ZERO),
            settings,
            began_on,
            now: Time::ZERO,
            waiting: Vec::new(),
            get: false,
            post: false,
            pinged: false,
            paused: false,
            opened: false,
            program_closed: false,
            granted: Time::ZERO,
            restarted: false,
            candidate: None,
            candidates: 0,
            moved: false,
            closed: None,
        })
    }

    fn step(&mut self, choices: &mut Unstructured<'_>) -> Result<()> {
        match choices.int_in_range(0..=14_u8)? {
            0 | 1 => self.open(&handshake(choices)?),
            2 | 3 => self.take(packet(choices)?),
            4 => {
                self.session.handle_poll_finished();
                self.get = false;
            }
            5 => {
                self.session.handle_post_finished();
                self.post = false;
            }
            6 => self.connect_candidate(),
            7 | 8 => self.take_from_candidate(&packet(choices)?),
            9 => {
                self.session.handle_candidate_closed();
                self.candidate = None;
            }
            10 => {
                for length in choices.arbitrary_iter::<u8>()?.take(4) {
                    self.waiting.push(1 + usize::from(length?));
                }
            }
            11 => {
                let paused = choices.arbitrary()?;
                self.session.set_read_paused(paused, self.now);
                if self.opened && self.paused && !paused {
                    (self.granted, self.restarted) = (self.now, false);
                }
                self.paused = paused;
            }
            12 => {
                self.session.close();
                self.program_closed = true;
                // Only an upgrade that is about to happen still completes.
                if let Some(candidate) = &mut self.candidate {
                    candidate.abandoned |= !candidate.answered;
                }
            }
            13 => match choices.int_in_range(0..=7_u8)? {
                0 => self.session.handle_transport_closed(),
                1 => self.session.handle_transport_failed(),
                _ => {}
            },
            _ => {
                let to_the_deadline: bool = choices.arbitrary()?;
                self.now = match self.session.poll_timeout() {
                    Some(deadline) if to_the_deadline => deadline.max(self.now),
                    _ => self.now + Duration::from_millis(choices.int_in_range(0..=100_000)?),
                };
                self.wake();
            }
        }
        // A driver may handle an event late.
        if choices.ratio(3_u8, 4)? {
            self.turn(choices.ratio(1_u8, 8)?);
        }
        Ok(())
    }

    fn open(&mut self, json: &str) {
        let is_expected = self.session.ready_state() == ReadyState::Opening;
        match self.session.handle_packet(Ok(Packet::Open(json)), self.now) {
            Received::Open => {
                assert!(is_expected, "a session opens once");
                (self.opened, self.granted, self.restarted) = (true, self.now, false);
                let announced: serde_json::Value = serde_json::from_str(json).expect("it was read as JSON");
                let id = self.session.id().expect("an open session has an id");
                assert_eq!(announced["sid"], id);
                assert!((1..=self.settings.max_id_len).contains(&id.len()));
                let heartbeat = self.heartbeat().as_millis();
                assert!((1..=2_147_483_647).contains(&heartbeat), "{heartbeat}");
            }
            Received::Nothing => {
                let is_closed = self.session.ready_state() == ReadyState::Closed;
                assert!(!is_expected || is_closed, "an open packet that is not usable ends the session");
            }
            other => panic!("{other:?}"),
        }
    }

    /// Handles a packet of the transport.
    fn take(&mut self, packet: std::result::Result<Packet<'static>, ParseError>) {
        let state = self.session.ready_state();
        let is_polling = self.session.transport() == Transport::Polling;
        let is_open = matches!(state, ReadyState::Open | ReadyState::Closing);
        let received = self.session.handle_packet(packet.clone(), self.now);
        let ends = match packet {
            Err(_) => true,
            Ok(Packet::Close) => is_polling,
            Ok(_) => false,
        };
        if ends {
            assert_eq!(self.session.ready_state(), ReadyState::Closed);
        } else {
            assert_eq!(self.session.ready_state(), state, "{packet:?}");
        }
        let expected = match packet {
            Ok(Packet::Message(text)) if is_open => Received::Text(text),
            Ok(Packet::Binary(data)) if is_open => Received::Binary(data),
            Ok(Packet::Ping(_)) if is_open => {
                (self.pinged, self.granted, self.restarted) = (true, self.now, false);
                Received::Nothing
            }
            _ => Received::Nothing,
        };
        assert_eq!(received, expected);
    }

    fn connect_candidate(&mut self) {
        self.session.handle_candidate_connected();
        if let Some(candidate) = &mut self.candidate {
            candidate.connected = true;
        }
    }

    fn take_from_candidate(&mut self, packet: &std::result::Result<Packet<'static>, ParseError>) {
        self.session.handle_candidate_packet(packet);
        if let Some(candidate) = &mut self.candidate {
            let is_answer = candidate.probed && !candidate.answered && *packet == Ok(Packet::Pong("probe"));
            candidate.answered = is_answer && !candidate.abandoned;
            // Any other packet ends it, also after the answer.
            candidate.abandoned |= !candidate.answered;
        }
    }

    fn wake(&mut self) {
        let state = self.session.ready_state();
        let is_due = self.session.poll_timeout().is_some_and(|deadline| deadline <= self.now);
        self.session.handle_timeout(self.now);
        let next = self.session.poll_timeout();
        assert!(next.is_none_or(|next| next > self.now), "{next:?} stays due");
        let ended = state != ReadyState::Closed && self.session.ready_state() == ReadyState::Closed;
        let timeout = self.timeout();
        if state != ReadyState::Closed && (!self.opened || !self.paused) {
            let extension = (self.granted + timeout).extension(timeout, self.now);
            if let Some(extension) = extension.filter(|_| !self.restarted) {
                assert!(!ended, "what the server has sent may not be read yet");
                (self.granted, self.restarted) = (started_before(self.now + extension, timeout), true);
            }
        }
        let timeout = self.settings.probe_timeout;
        if let Some(candidate) = &mut self.candidate
            && !candidate.abandoned
            && !candidate.restarted
            && let Some(extension) = (candidate.since + timeout).extension(timeout, self.now)
        {
            candidate.since = started_before(self.now + extension, timeout);
            candidate.restarted = true;
        }
        if let Some(candidate) = &mut self.candidate
            && candidate.since + timeout <= self.now
        {
            // The session abandons the candidate. The driver's next `poll_action` returns its close.
            (candidate.answered, candidate.abandoned) = (false, true);
        }
        if ended {
            assert!(is_due, "it ended before its deadline");
            assert!(!self.opened || !self.paused);
            assert!(self.now >= self.granted + self.timeout(), "the server did not get its whole time");
        }
    }

    /// One iteration of a driver's loop. The driver does everything, or does not reach the sending.
    fn turn(&mut self, is_writing: bool) {
        for _ in 0..1_000 {
            let could_send = self.session.can_send();
            let transmitted = !is_writing && self.transmit();
            if !transmitted {
                if could_send && !is_writing && self.program_closed {
                    assert_eq!(self.session.ready_state(), ReadyState::Closed, "nothing keeps it open");
                }
                let Some(action) = self.session.poll_action(self.now) else { return };
                self.act(action);
            }
        }
        panic!("the actions do not end");
    }

    fn transmit(&mut self) -> bool {
        let Some(transmit) = self.session.poll_transmit(self.waiting.iter().copied()) else { return false };
        assert_eq!(self.closed, None, "nothing is sent after the end");
        assert!(self.opened, "nothing is sent before the open packet");
        let is_answered = self.candidate.is_some_and(|candidate| candidate.answered);
        assert!(!is_answered, "nothing is sent while the session is about to upgrade");
        let pong = transmit.packet.as_ref();
        assert!(pong.is_none_or(|packet| self.pinged && *packet == Packet::Pong("")));
        assert_eq!(pong.is_some(), self.pinged, "a pong goes first");
        self.pinged = false;
        let messages = transmit.messages.min(self.waiting.len());
        assert!(pong.is_some() || messages > 0);
        let lengths = pong.map(Packet::encoded_len).into_iter().chain(self.waiting.drain(..messages));
        let lengths: Vec<usize> = lengths.collect();
        if self.session.transport() == Transport::Polling {
            assert!(!self.post, "one POST at a time");
            self.post = true;
            let body = lengths.iter().sum::<usize>() + lengths.len() - 1;
            let limit = self.session.handshake().and_then(|handshake| handshake.max_payload);
            let fits = |body: usize| limit.is_none_or(|limit| body <= limit);
            assert!(lengths.len() == 1 || fits(body), "{body} bytes");
            let next = self.waiting.first();
            assert!(next.is_none_or(|next| !fits(body + 1 + next)), "one more fits");
        } else {
            assert!(self.waiting.is_empty(), "a WebSocket sends all");
        }
        true
    }

    fn act(&mut self, action: Action) {
        assert_eq!(self.closed, None, "nothing happens after the end: {action:?}");
        match action {
            Action::Poll => {
                assert!(
                    !self.get && !self.moved && !self.paused,
                    "one GET at a time, of one that polls and reads"
                );
                assert_eq!(self.began_on, Transport::Polling);
                self.get = true;
            }
            Action::OpenCandidate(transport) => {
                assert_eq!(transport, Transport::WebSocket);
                assert_eq!(self.session.transport(), Transport::Polling);
                assert!(self.settings.upgrade && self.opened && !self.program_closed);
                let candidate = Candidate {
                    since: self.now,
                    restarted: false,
                    connected: false,
                    probed: false,
                    answered: false,
                    abandoned: false,
                };
                assert_eq!(self.candidate.replace(candidate), None, "one at a time");
                self.candidates += 1;
                assert_eq!(self.candidates, 1, "each is tried once");
            }
            Action::SendToCandidate(packet) => {
                assert_eq!(packet, Packet::Ping("probe"));
                let candidate = self.candidate.as_mut().expect("there is a candidate");
                assert!(candidate.connected && !candidate.probed, "one probe");
                candidate.probed = true;
            }
            Action::SwitchToCandidate(packet) => {
                assert_eq!(packet, Packet::Upgrade);
                let candidate = self.candidate.take().expect("there is a candidate");
                assert!(candidate.answered && !self.get && !self.post);
                assert_eq!(self.session.transport(), Transport::WebSocket);
                self.moved = true;
            }
            Action::CloseCandidate => {
                assert!(self.candidate.take().is_some(), "there is a candidate to close");
            }
            Action::Close(closed) => self.close(closed),
        }
    }

    fn close(&mut self, closed: Closed) {
        assert_eq!(self.session.ready_state(), ReadyState::Closed);
        assert_eq!(self.candidate, None, "the candidate was closed before");
        let error = closed.error;
        match closed.reason {
            CloseReason::PingTimeout => assert!(self.opened && error.is_none()),
            CloseReason::ForcedClose => assert!(self.program_closed && error.is_none()),
            CloseReason::TransportClose => assert_eq!(error, None),
            CloseReason::ServerShuttingDown => panic!("a client does not shut a server down"),
            CloseReason::TransportError => match error {
                Some(SessionError::Packet(_)) | None => {}
                Some(_) => assert!(!self.opened),
            },
            CloseReason::ParseError => panic!("a client has no such end"),
        }
        if closed.close_packet.is_some() {
            assert_eq!(closed.close_packet, Some(Packet::Close));
            assert!(self.opened && self.session.transport() == Transport::Polling);
        }
        self.closed = Some(closed);
    }

    /// How long the server may take for the open packet, or from one ping to the next.
    fn timeout(&self) -> Duration {
        if self.opened { self.heartbeat() } else { self.settings.connect_timeout }
    }

    fn heartbeat(&self) -> Duration {
        let handshake = self.session.handshake().expect("the session has opened");
        handshake.ping_interval + handshake.ping_timeout
    }

    /// Checks that must hold between any two steps.
    fn check(&self) {
        let transport = if self.moved { Transport::WebSocket } else { self.began_on };
        assert_eq!(self.session.transport(), transport);
        let state = self.session.ready_state();
        assert_eq!(self.session.handshake().is_some(), self.opened);
        // The session's next timer is never later than its deadlines.
        let latest = match state {
            ReadyState::Opening => Some(self.granted + self.settings.connect_timeout),
            ReadyState::Open | ReadyState::Closing if !self.paused => Some(self.granted + self.heartbeat()),
            ReadyState::Open | ReadyState::Closing => None,
            ReadyState::Closed => return assert_eq!(self.session.poll_timeout(), None),
        };
        let next = self.session.poll_timeout();
        if let Some(latest) = latest {
            assert!(next.is_some_and(|next| next <= latest), "{next:?}, and {latest:?} at the latest");
        }
        if let (Some(candidate), Some(next)) = (self.candidate, next)
            && Some(next) != latest
        {
            assert_eq!(next, candidate.since + self.settings.probe_timeout);
        }
        assert!(latest.is_some() || self.candidate.is_some() || next.is_none(), "{next:?} for nothing");
    }
}

/// Returns the data of an open packet, which is usable in most cases.
fn handshake(choices: &mut Unstructured<'_>) -> Result<String> {
    if choices.ratio(1_u8, 4)? {
        return Ok(choices.arbitrary::<&str>()?.to_owned());
    }
    let upgrades =
        choices.choose(&["[]", r#"["websocket"]"#, r#"["webtransport","websocket","websocket"]"#])?;
    let mut number = || choices.int_in_range(0..=60_000_u32);
    let (interval, timeout, max_payload) = (number()?, number()?, number()? % 600);
    let id = choices.choose(&["s", "a b/é&?", "twenty characters ab", "thirty characters of one text "])?;
    Ok(format!(
        r#"{{"sid":"{id}","upgrades":{upgrades},"pingInterval":{interval},"pingTimeout":{timeout},"maxPayload":{max_payload}}}"#
    ))
}

fn packet(choices: &mut Unstructured<'_>) -> Result<std::result::Result<Packet<'static>, ParseError>> {
    Ok(match choices.int_in_range(0..=15_u8)? {
        0 => Ok(Packet::Close),
        1..=3 => Ok(Packet::Ping("")),
        4 => Ok(Packet::Ping("probe")),
        5 => Ok(Packet::Pong("")),
        6..=9 => Ok(Packet::Pong("probe")),
        10 | 11 => Ok(Packet::Message("é")),
        12 => Ok(Packet::Binary(vec![0, 0xff].into())),
        13 => Ok(Packet::Upgrade),
        14 => Ok(Packet::Noop),
        _ => Err(ParseError::UnknownType),
    })
}
