//! The client's half of one session, as a machine that does no input or output of its own.
//!
//! It behaves as `engine.io-client` 6.6 does, with revision 4 of the protocol. One [`Session`] is one attempt on one
//! transport and what follows from it: the open packet, the heartbeat, the move to a better transport, the close. It
//! never sees a message that is sent: those wait with the driver, and the machine says when how many of them may leave.
//!
//! # What a driver does
//!
//! On every turn, in this order:
//!
//! 1. It hands over what has happened: packets of the transport ([`handle_packet`](Session::handle_packet)), requests that
//!    have come back, what the candidate did.
//! 2. It calls [`handle_timeout`](Session::handle_timeout) with the time. A deadline that is found long overdue, because
//!    the machine slept or the tab was frozen, proves nothing before step 1: the pings of the server may lie in the socket.
//!    So input comes first, as far as it can be read without waiting, and timers second.
//! 3. It does what [`poll_transmit`](Session::poll_transmit) and [`poll_action`](Session::poll_action) say, until both
//!    return `None`.
//! 4. It sleeps until something happens, at most until [`poll_timeout`](Session::poll_timeout).
//!
//! On polling, step 3 begins a GET for [`Action::Poll`] and a POST for each [`Transmit`]. The driver takes the body of the
//! GET apart, hands each packet over, and then calls [`handle_poll_finished`](Session::handle_poll_finished);
//! [`handle_post_finished`](Session::handle_post_finished) follows the response to a POST. A request that fails in any way,
//! and any status but 200, is [`handle_transport_failed`](Session::handle_transport_failed).
//!
//! On WebSocket, each text message is a packet for [`Packet::parse`], each binary message is a [`Packet::Binary`], and each
//! packet that leaves is a message of its own.
//!
//! # Example
//!
//! A whole conversation with the server's machine: a session opens on polling, moves to WebSocket, and closes.
//!
//! ```
//! use tidewire_engineio_proto::client::{self, Action, Transmit};
//! use tidewire_engineio_proto::server::{self, CandidateAction, TimeoutAction};
//! use tidewire_engineio_proto::{
//!     CloseReason, Packet, SessionId, Settings, Transport, open_packet,
//! };
//! use ws_proto::Time;
//!
//! let now = Time::ZERO;
//! let settings = Settings::default();
//! let mut server = server::Session::new(Transport::Polling, &settings, now);
//! let mut client = client::Session::new(Transport::Polling, &client::Settings::default(), now);
//!
//! // The first GET has no session id. Its answer opens the session.
//! assert_eq!(client.poll_action(now), Some(Action::Poll));
//! let open = open_packet(&SessionId::from_random([0; 15]), Transport::Polling, &settings);
//! assert_eq!(client.handle_packet(Packet::parse(&open), now), client::Received::Open);
//! client.handle_poll_finished();
//! assert_eq!(client.id(), Some("AAAAAAAAAAAAAAAAAAAA"));
//!
//! // One message waits, and leaves by a POST, whose body the server takes apart.
//! let hello = Packet::Message("hello");
//! let post = client.poll_transmit([hello.encoded_len()]);
//! assert_eq!(post, Some(Transmit { packet: None, messages: 1 }));
//! assert_eq!(server.handle_packet(Ok(hello), now), Ok(server::Received::Text("hello")));
//! client.handle_post_finished();
//!
//! // The client polls, and tries the WebSocket beside.
//! assert_eq!(client.poll_action(now), Some(Action::OpenCandidate(Transport::WebSocket)));
//! assert_eq!(client.poll_action(now), Some(Action::Poll));
//! assert!(server.begin_upgrade(Transport::WebSocket, now));
//! client.handle_candidate_connected();
//! let Some(Action::SendToCandidate(probe)) = client.poll_action(now) else { panic!() };
//! assert_eq!(server.handle_candidate_packet(&Ok(probe), now), CandidateAction::SendProbePong);
//! client.handle_candidate_packet(&Ok(Packet::Pong("probe")));
//!
//! // The server releases the GET, and the client moves.
//! assert_eq!(client.poll_action(now), None);
//! assert_eq!(server.handle_timeout(now), Some(TimeoutAction::SendNoop));
//! assert_eq!(client.handle_packet(Ok(Packet::Noop), now), client::Received::Nothing);
//! client.handle_poll_finished();
//! let Some(Action::SwitchToCandidate(upgrade)) = client.poll_action(now) else { panic!() };
//! assert_eq!(server.handle_candidate_packet(&Ok(upgrade), now), CandidateAction::Switch(Transport::WebSocket));
//! assert_eq!((client.transport(), server.transport()), (Transport::WebSocket, Transport::WebSocket));
//!
//! // The heartbeat comes from the server.
//! let now = server.poll_timeout().expect("a ping is due");
//! assert_eq!(server.handle_timeout(now), Some(TimeoutAction::Ping));
//! assert_eq!(client.handle_packet(Ok(Packet::Ping("")), now), client::Received::Nothing);
//! let pong = client.poll_transmit([]).and_then(|transmit| transmit.packet).expect("a pong");
//! assert_eq!(server.handle_packet(Ok(pong), now), Ok(server::Received::Nothing));
//!
//! // The client closes as soon as no message waits.
//! client.close();
//! assert_eq!(client.poll_transmit([]), None);
//! let Some(Action::Close(closed)) = client.poll_action(now) else { panic!() };
//! assert_eq!(closed.reason, CloseReason::ForcedClose);
//! ```

mod session;
mod upgrade;

use std::borrow::Cow;
use std::time::Duration;

use crate::error::CloseReason;
use crate::handshake::{HandshakeError, Transport};
use crate::packet::{Packet, ParseError};

pub use session::Session;

/// What a client may do, and what it takes from a server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Transports to which a session may move when the server offers them. Default: all.
    pub transports: Vec<Transport>,
    /// Whether a polling session moves to a better transport at all. Default true.
    pub upgrade: bool,
    /// How long the open packet may take. Protects against servers that accept connections and say nothing. Default 20 s.
    pub connect_timeout: Duration,
    /// How long a candidate may take to become the transport, from the beginning of its connection. Then it is closed, and
    /// the session goes on. Protects against proxies that swallow WebSockets. The JavaScript client has no such limit; its
    /// server's is the same. Default 10 s.
    pub probe_timeout: Duration,
    /// The longest session id that is taken from a server, in bytes. With a longer one the session does not open. Protects
    /// against requests that are too long for proxies, and against memory that is kept for every session. Default 1,024.
    pub max_id_length: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            transports: vec![Transport::Polling, Transport::WebSocket],
            upgrade: true,
            connect_timeout: Duration::from_secs(20),
            probe_timeout: Duration::from_secs(10),
            max_id_length: 1_024,
        }
    }
}

/// What a packet brought for the program above.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// The session is open: [`Session::handshake`] has what the server announced.
    Open,
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(Cow<'a, [u8]>),
    /// Nothing: the packet was the engine's own.
    Nothing,
}

/// Something that the driver must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Begin a GET, with the [session id](Session::id) once there is one.
    Poll,
    /// Connect by this transport, with the session id: the connection is the *candidate*.
    OpenCandidate(Transport),
    /// Send this packet on the candidate.
    SendToCandidate(Packet<'static>),
    /// Send this packet on the candidate, which is the transport from now on. The polling transport is done: none of its
    /// requests is in flight.
    SwitchToCandidate(Packet<'static>),
    /// Close the candidate, whether it has connected or not. The session goes on, or a [`Close`](Self::Close) follows.
    CloseCandidate,
    /// The session is over. This is the last action.
    Close(Closed),
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The reason, in the words that the JavaScript client has for it.
    pub reason: CloseReason,
    /// What exactly was wrong, where the reason does not say it all.
    pub error: Option<SessionError>,
    /// Where this is a packet, the server is told by a last POST of this packet. Whether it arrives changes nothing, and
    /// requests in flight may be dropped. A WebSocket is closed by its own closing handshake.
    pub close_packet: Option<Packet<'static>>,
}

/// What a server did that ended the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// It sent no open packet in time.
    #[error("the session did not open in time")]
    ConnectTimeout,
    /// The first GET was answered, without an open packet.
    #[error("the first response has no open packet")]
    NoOpenPacket,
    /// The open packet is not usable.
    #[error("{0}")]
    Handshake(HandshakeError),
    /// It sent what is no packet.
    #[error("the server sent an invalid packet: {0}")]
    Packet(ParseError),
}

/// What leaves next on the transport: one POST on polling, messages of their own on WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// A packet of the engine. It goes first.
    pub packet: Option<Packet<'static>>,
    /// How many of the waiting messages follow. On WebSocket, where nothing limits them together, `usize::MAX` stands for
    /// all of them.
    pub messages: usize,
}

/// How far a session has come. The names are those of `readyState` in JavaScript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReadyState {
    /// The open packet has not come.
    Opening,
    /// Messages go both ways.
    Open,
    /// The program has closed the session. Messages that wait are sent first, and what comes meanwhile still counts.
    Closing,
    /// The session is over.
    Closed,
}

#[cfg(test)]
mod tests;
