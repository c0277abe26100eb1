//! The client side of one session, as a sans-I/O state machine.
//!
//! It behaves like `engine.io-client` 6.6, with revision 4 of the protocol. One [`Session`] covers one connection
//! attempt on one transport and the session that it opens: the open packet, the heartbeat, the upgrade to a better
//! transport, the close. The machine never sees outgoing messages. The driver queues them, and the machine says when
//! the driver may send and how many messages.
//!
//! # What a driver does
//!
//! On every iteration of its loop, in this order:
//!
//! 1. It passes in what has happened: packets of the transport ([`handle_packet`](Session::handle_packet)), completed
//!    requests, events of the candidate.
//! 2. It calls [`handle_timeout`](Session::handle_timeout) with the current time. Input comes first, as far as the
//!    driver can read it without waiting: if the machine slept or the tab was frozen, a deadline can be long overdue
//!    while the server's pings still wait in the socket.
//! 3. It executes what [`poll_transmit`](Session::poll_transmit) and [`poll_action`](Session::poll_action) return,
//!    until both return `None`.
//! 4. It sleeps until something happens, or at the latest until [`poll_timeout`](Session::poll_timeout).
//!
//! On polling, step 3 starts a GET for [`Action::Poll`] and a POST for each [`Transmit`]. The driver splits the body of
//! the GET response into packets, passes in each packet, and then calls
//! [`handle_poll_finished`](Session::handle_poll_finished). When the response to a POST has arrived, it calls
//! [`handle_post_finished`](Session::handle_post_finished). If a request fails in any way, or if the status is not 200,
//! it calls [`handle_transport_failed`](Session::handle_transport_failed).
//!
//! On WebSocket, the driver parses each text message with [`Packet::parse`], passes in each binary message as a
//! [`Packet::Binary`], and sends each packet in a message of its own.
//!
//! # Example
//!
//! A whole session together with the server's machine. It opens on polling, upgrades to WebSocket, and closes.
//!
//! ```
//! use tidewire_engineio_proto::client::{self, Action, Transmit};
//! use tidewire_engineio_proto::server::{self, CandidateAction, TimeoutAction};
//! use tidewire_engineio_proto::{
//!     CloseReason, Packet, Revision, SessionId, Transport, open_packet,
//! };
//! use ws_proto::Time;
//!
//! let now = Time::ZERO;
//! let settings = server::Settings::default();
//! let mut server = server::Session::new(Revision::V4, Transport::Polling, &settings, now);
//! let mut client = client::Session::new(Transport::Polling, &client::Settings::default(), now);
//!
//! // The first GET has no session id. Its response opens the session.
//! assert_eq!(client.poll_action(now), Some(Action::Poll));
//! let open = open_packet(&SessionId::from_random([0; 15]), Transport::Polling, &settings);
//! assert_eq!(client.handle_packet(Packet::parse(&open), now), client::Received::Open);
//! client.handle_poll_finished();
//! assert_eq!(client.id(), Some("AAAAAAAAAAAAAAAAAAAA"));
//!
//! // The client sends one queued message in a POST. The server handles the packet in its body.
//! let hello = Packet::Message("hello");
//! let post = client.poll_transmit([hello.encoded_len()]);
//! assert_eq!(post, Some(Transmit { packet: None, messages: 1 }));
//! assert_eq!(server.handle_packet(Ok(hello), now), Ok(server::Received::Text("hello")));
//! client.handle_post_finished();
//!
//! // The client keeps polling, and opens a WebSocket at the same time.
//! assert_eq!(client.poll_action(now), Some(Action::OpenCandidate(Transport::WebSocket)));
//! assert_eq!(client.poll_action(now), Some(Action::Poll));
//! assert!(server.begin_upgrade(Transport::WebSocket, now));
//! client.handle_candidate_connected();
//! let Some(Action::SendToCandidate(probe)) = client.poll_action(now) else { panic!() };
//! assert_eq!(server.handle_candidate_packet(&Ok(probe), now), CandidateAction::SendProbePong);
//! client.handle_candidate_packet(&Ok(Packet::Pong("probe")));
//!
//! // The server responds to the waiting GET with a noop, and the client upgrades.
//! assert_eq!(client.poll_action(now), None);
//! assert_eq!(server.handle_timeout(now), Some(TimeoutAction::SendNoop));
//! assert_eq!(client.handle_packet(Ok(Packet::Noop), now), client::Received::Nothing);
//! client.handle_poll_finished();
//! let Some(Action::SwitchToCandidate(upgrade)) = client.poll_action(now) else { panic!() };
//! assert_eq!(server.handle_candidate_packet(&Ok(upgrade), now), CandidateAction::Switch(Transport::WebSocket));
//! assert_eq!((client.transport(), server.transport()), (Transport::WebSocket, Transport::WebSocket));
//!
//! // The server sends a ping, and the client responds with a pong.
//! let now = server.poll_timeout().expect("a ping is due");
//! assert_eq!(server.handle_timeout(now), Some(TimeoutAction::Ping));
//! assert_eq!(client.handle_packet(Ok(Packet::Ping("")), now), client::Received::Nothing);
//! let pong = client.poll_transmit([]).and_then(|transmit| transmit.packet).expect("a pong");
//! assert_eq!(server.handle_packet(Ok(pong), now), Ok(server::Received::Nothing));
//!
//! // The client closes as soon as no message is queued.
//! client.close();
//! assert_eq!(client.poll_transmit([]), None);
//! let Some(Action::Close(closed)) = client.poll_action(now) else { panic!() };
//! assert_eq!(closed.reason, CloseReason::ForcedClose);
//! ```

mod handshake;
mod session;
mod upgrade;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::error::CloseReason;
use crate::handshake::Transport;
use crate::packet::{Packet, ParseError};

pub use handshake::{Handshake, HandshakeError};
pub use session::Session;

/// The settings of a client session: its transports, its timeouts, and a limit on the server's data.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Transports that a session may upgrade to if the server offers them. Default: all.
    pub transports: Vec<Transport>,
    /// Whether a polling session upgrades to a better transport at all. Default true.
    pub upgrade: bool,
    /// How long the client waits for the open packet. Protects against servers that accept connections and then send
    /// nothing. Default 20 s.
    pub connect_timeout: Duration,
    /// How long an upgrade may take, from the start of the candidate's connection. After this time the candidate is
    /// closed, and the session goes on without it. Protects against proxies that silently drop WebSocket traffic. The
    /// JavaScript client has no such limit; the JavaScript server has the same limit. Default 10 s.
    pub probe_timeout: Duration,
    /// The longest session id that the client accepts, in bytes. If the id is longer, the session does not open.
    /// Protects against URLs that are too long for proxies, and against servers that fill the client's memory with long
    /// ids. Default 1,024.
    pub max_id_len: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            transports: vec![Transport::Polling, Transport::WebSocket],
            upgrade: true,
            connect_timeout: Duration::from_secs(20),
            probe_timeout: Duration::from_secs(10),
            max_id_len: 1_024,
        }
    }
}

/// The result of handling a packet.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// The session is open: [`Session::handshake`] returns what the server announced.
    Open,
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(Cow<'a, [u8]>),
    /// The packet has nothing for the application. The machine has handled it.
    Nothing,
}

/// Something that the driver must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start a GET, with the [session id](Session::id) if there is one.
    Poll,
    /// Open a connection of this transport, with the session id. This connection is the *candidate*.
    OpenCandidate(Transport),
    /// Send this packet on the candidate.
    SendToCandidate(Packet<'static>),
    /// Send this packet on the candidate, and use the candidate as the transport from now on. The polling transport is
    /// finished: none of its requests is in flight.
    SwitchToCandidate(Packet<'static>),
    /// Close the candidate, whether it has connected or not. The session goes on, unless a [`Close`](Self::Close)
    /// follows.
    CloseCandidate,
    /// The session is over. This is the last action.
    Close(Closed),
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The reason, with the name that the JavaScript client uses.
    pub reason: CloseReason,
    /// The exact error, if the reason alone does not describe it.
    pub error: Option<SessionError>,
    /// If there is a packet, send it in a last POST: it tells the server that the session is over. The driver may
    /// ignore the result of this POST, and may cancel the requests in flight. A WebSocket needs no such packet, because
    /// it has its own closing handshake.
    pub close_packet: Option<Packet<'static>>,
}

/// An error of the server that ended the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionError {
    /// The server sent no open packet in time.
    ConnectTimeout,
    /// The response to the first GET has no open packet.
    NoOpenPacket,
    /// The open packet is not usable.
    Handshake(HandshakeError),
    /// The server sent data that is not an Engine.IO packet.
    Packet(ParseError),
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectTimeout => f.write_str("the server did not send an open packet in time"),
            Self::NoOpenPacket => f.write_str("the response to the first GET has no open packet"),
            Self::Handshake(error) => error.fmt(f),
            Self::Packet(error) => write!(f, "the server sent an invalid packet: {error}"),
        }
    }
}

impl std::error::Error for SessionError {}

/// What the driver sends next: on polling everything in one POST, on WebSocket each packet in a message of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// A packet of the engine itself. It is sent first.
    pub packet: Option<Packet<'static>>,
    /// How many of the queued messages to send after it. On WebSocket this is `usize::MAX`, which means all of them,
    /// because there is no common limit.
    pub messages: usize,
}

/// The state of a session. The names are the same as in `readyState` in JavaScript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReadyState {
    /// The open packet has not arrived yet.
    Opening,
    /// Messages can be sent and received.
    Open,
    /// The application has closed the session. Queued messages are still sent, and incoming messages are still
    /// delivered until the session is over.
    Closing,
    /// The session is over.
    Closed,
}

#[cfg(test)]
mod tests;
