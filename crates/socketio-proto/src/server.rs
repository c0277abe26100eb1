//! The server side of one connection: its sockets, the order of packets that the protocol allows, and the deadlines.
//!
//! A [`Connection`] takes the messages of one Engine.IO session and returns their meaning as a [`Received`]: a client
//! requests a namespace, an event or an acknowledgement was received for a socket, or a client disconnects. The
//! driver's data for each socket, `S`, is stored inside the connection, so that a packet costs one lookup. A
//! [`Violation`] closes the connection. It describes the error and gives the [`DisconnectReason`] with which the driver
//! must close the session.
//!
//! The program may disconnect a socket at any time and from any task. The driver does not have to notify the
//! connection: the connection calls [`Socket::is_disconnected`] whenever it needs the state of a socket.
//!
//! A client of Socket.IO 4 connects to `/` without a request. [`Connection::connect_main`] returns a request in its
//! place. Everything else is the same in both revisions of the [`Protocol`] for the driver, except the responses to
//! requests, see [`encode::protocol4`](crate::encode::protocol4).
//!
//! This module does not decide which namespaces exist, and it does not implement middleware or rooms. It does not match
//! acknowledgements with their waiters either. For that, use an [`AckTable`](crate::AckTable), which other tasks must
//! be able to access.
//!
//! ```
//! use engineio_proto::MessageEncoder;
//! use tidewire_socketio_proto::server::{
//!     Connection, DisconnectReason, Limits, Protocol, Received, Socket, Violation,
//! };
//! use ws_proto::Time;
//!
//! struct Member(String);
//!
//! impl Socket for Member {
//!     fn namespace(&self) -> &str {
//!         &self.0
//!     }
//!     fn is_disconnected(&self) -> bool {
//!         false
//!     }
//! }
//!
//! let now = Time::ZERO;
//! let mut connection = Connection::new(Protocol::V5, &Limits::default(), &Default::default(), now);
//! let Ok(Some(Received::Connect(request))) = connection.handle_text(r#"0/chat,{"token":"1"}"#, now) else {
//!     panic!("a client requests a namespace");
//! };
//! let member = Member(request.namespace().to_owned());
//! // The middleware may take any time here. Then the driver accepts the request and sends `encode::connect`:
//! assert!(request.insert(member).accept());
//!
//! let Ok(Some(Received::Event { socket, event, ack })) = connection.handle_text(r#"2/chat,7["say"]"#, now) else {
//!     panic!("an event was received");
//! };
//! assert_eq!((socket.socket().namespace(), event.name(), ack), ("/chat", "say", Some(7)));
//!
//! let Err(violation) = connection.handle_text(r#"2/other,["say"]"#, now) else {
//!     panic!("the client is not connected to this namespace");
//! };
//! assert_eq!(violation, Violation::EventNotConnected);
//! assert_eq!(violation.disconnect_reason(), DisconnectReason::ForcedServerClose);
//! ```

mod connect_request;
mod disconnect_reason;
mod limits;
mod protocol;
mod socket_entry;
mod violation;

use std::borrow::Cow;
use std::time::Duration;

use smallvec::SmallVec;
use ws_proto::{PeerDeadline, Time};

use crate::arguments::Arguments;
use crate::decoder::Decoder;
use crate::error::DecodeError;
use crate::header::Header;
use crate::packet::{Event, Packet};
#[cfg(doc)]
use crate::parser;
use crate::parser::Parser;
pub use connect_request::{ConnectRequest, RecoveryRequest};
pub use disconnect_reason::DisconnectReason;
pub use limits::Limits;
pub use protocol::Protocol;
use socket_entry::Slot;
pub use socket_entry::{SocketEntry, SocketState};
pub use violation::Violation;

/// The driver's data for one socket. The connection requires these methods.
pub trait Socket {
    /// Returns the name of the namespace, with its leading slash. It never changes.
    fn namespace(&self) -> &str;

    /// Returns whether the *program* has disconnected the socket. The program may do this at any time and from any
    /// task. After this has returned `true`, it must never return `false` again. It stays `false` when the client
    /// disconnects or the connection ends.
    fn is_disconnected(&self) -> bool;
}

/// One connection and its sockets.
///
/// Hot path. An event costs the decoding and a comparison of its namespace with the namespace of each socket. Most
/// connections have one socket. Nothing is allocated, and the namespace is not copied.
#[derive(Debug)]
pub struct Connection<S> {
    decoder: Decoder,
    /// In the order of the connect requests. If there are several slots for one namespace, the last one counts.
    slots: SmallVec<[Slot<S>; 1]>,
    /// The time by which the client must be connected to a namespace. `NEVER` after that.
    connect_deadline: PeerDeadline,
    /// The time by which the next attachment must arrive. `NEVER` if no attachment is expected.
    attachment_deadline: PeerDeadline,
    connect_timeout_millis: u32,
    attachment_timeout_millis: u32,
    max_disconnecting_sockets: u32,
    protocol: Protocol,
    /// Whether the client is still to be connected to `/`, without a request. Only in Socket.IO 4.
    is_main_due: bool,
    /// Whether the driver has paused reading, so that no attachment can arrive.
    is_paused: bool,
    is_closed: bool,
}

/// The meaning of a message from the client.
#[derive(Debug)]
pub enum Received<'c, 'm, S> {
    /// The client requests a namespace.
    Connect(ConnectRequest<'c, 'm, S>),
    /// An event for a connected socket.
    Event {
        /// The socket.
        socket: SocketEntry<'c, S>,
        /// The name and arguments of the event.
        event: Event<'m>,
        /// The id for the acknowledgement, if the client requests one.
        ack: Option<u64>,
    },
    /// An acknowledgement for a connected socket. There may be no waiter for it.
    Ack {
        /// The socket.
        socket: SocketEntry<'c, S>,
        /// The id that the event was sent with.
        id: u64,
        /// The arguments of the acknowledgement.
        arguments: Arguments<'m>,
    },
    /// The client has disconnected from a namespace, perhaps before its request was accepted. The driver disconnects
    /// the socket with [`DisconnectReason::ClientNamespaceDisconnect`], and [removes](SocketEntry::remove) it after its
    /// last handler has finished.
    Disconnect(SocketEntry<'c, S>),
}

impl<S: Socket> Connection<S> {
    /// Creates the state of a connection that was just opened. The [connect timeout](Limits::connect_timeout) starts at
    /// `now`.
    #[must_use]
    pub fn new(
        protocol: Protocol,
        limits: &Limits,
        decoder_limits: &crate::DecoderLimits,
        now: Time,
    ) -> Self {
        Self {
            decoder: Decoder::new(decoder_limits),
            slots: SmallVec::new(),
            connect_deadline: PeerDeadline::new(now + limits.connect_timeout),
            attachment_deadline: PeerDeadline::NEVER,
            connect_timeout_millis: millis(limits.connect_timeout),
            attachment_timeout_millis: millis(limits.attachment_timeout),
            max_disconnecting_sockets: u32::try_from(limits.max_disconnecting_sockets).unwrap_or(u32::MAX),
            protocol,
            is_main_due: protocol == Protocol::V4,
            is_paused: false,
            is_closed: false,
        }
    }

    /// Makes the connection read its messages with another parser than the default one. Must be called before the first
    /// message. The driver encodes what it sends with the same parser, see [`parser::encode_with`].
    #[must_use]
    pub fn with_parser(mut self, parser: &dyn Parser, decoder_limits: &crate::DecoderLimits) -> Self {
        self.decoder = Decoder::with_parser(parser, decoder_limits);
        self
    }

    /// Returns the revision of the protocol that the client uses.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Returns the request for `/` that a client of Socket.IO 4 makes by opening the session. The driver must call this
    /// before it processes the first message. Returns `None` in Socket.IO 5, and if it was called before.
    #[inline]
    pub fn connect_main(&mut self) -> Option<ConnectRequest<'_, 'static, S>> {
        if !self.is_main_due {
            return None;
        }
        self.is_main_due = false;
        (!self.is_closed).then(|| ConnectRequest::new(self, "/".into(), None))
    }

    /// Processes a text message from the client. Returns `None` if there is nothing to do: the packet continues with
    /// another message, for instance an attachment, or it is ignored because the socket is disconnected or the connection is closed.
    ///
    /// # Errors
    /// Returns an error if the client violated the protocol. The connection is then [closed](Self::close), and the
    /// driver must close the session.
    pub fn handle_text<'c, 'm>(
        &'c mut self,
        text: &'m str,
        now: Time,
    ) -> Result<Option<Received<'c, 'm, S>>, Violation> {
        if self.is_closed {
            return Ok(None);
        }
        // Other parsers than the default one may await a text.
        self.attachment_deadline = PeerDeadline::NEVER;
        if self.protocol == Protocol::V5
            && let Some(header) = self.decoder.plain_event_header(text)
        {
            return self.handle_plain_event(&header);
        }
        let decoded = self.decoder.decode_text(text);
        self.handle_decoded(decoded, now)
    }

    /// Handles an event without attachments. A [`Packet`] would do the same, but it is moved four times on its way, and an
    /// event has a hundred bytes.
    #[inline]
    fn handle_plain_event<'c, 'm>(
        &'c mut self,
        header: &Header<'m>,
    ) -> Result<Option<Received<'c, 'm, S>>, Violation> {
        match Event::parse(header.payload) {
            Ok(event) => match self.connected_index(header.namespace) {
                Ok(Some(index)) => {
                    let socket = SocketEntry::new(self, index);
                    Ok(Some(Received::Event { socket, event, ack: header.id }))
                }
                Ok(None) => Ok(None),
                Err(NotConnected) => Err(self.close_with_violation(Violation::EventNotConnected)),
            },
            Err(error) => Err(self.close_with_violation(error.into())),
        }
    }

    /// Processes a binary message from the client. With the default parser, it is an attachment. Borrowed data is copied,
    /// and owned data is kept without a copy. Returns `None` in the same cases as [`handle_text`](Self::handle_text).
    ///
    /// # Errors
    /// Returns an error if the client violated the protocol. The connection is then [closed](Self::close), and the
    /// driver must close the session.
    pub fn handle_binary<'c, 'd>(
        &'c mut self,
        data: impl Into<Cow<'d, [u8]>>,
        now: Time,
    ) -> Result<Option<Received<'c, 'static, S>>, Violation> {
        if self.is_closed {
            return Ok(None);
        }
        self.attachment_deadline = PeerDeadline::NEVER;
        let decoded = self.decoder.decode_binary(data);
        self.handle_decoded(decoded, now)
    }

    /// Tells the connection that the driver has paused (`true`) or resumed (`false`) reading. The attachment timeout
    /// does not run while reading is paused. When reading resumes, it starts from zero.
    pub fn set_read_paused(&mut self, paused: bool, now: Time) {
        if self.is_paused && !paused && self.awaits_attachment() {
            self.start_attachment_deadline(now);
        }
        self.is_paused = paused;
    }

    /// Returns `true` if an attachment is expected. Otherwise, [`set_read_paused`](Self::set_read_paused) has no effect
    /// on deadlines.
    #[must_use]
    pub fn awaits_attachment(&self) -> bool {
        self.attachment_deadline != PeerDeadline::NEVER
    }

    /// Returns the memory of a packet whose attachments have not all arrived, in bytes.
    #[inline]
    #[must_use]
    pub fn attachment_bytes(&self) -> usize {
        self.decoder.pending_memory()
    }

    /// Returns the time at which the driver must call [`handle_timeout`](Self::handle_timeout). `None` if there is no
    /// deadline.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let attachment = if self.is_paused { PeerDeadline::NEVER } else { self.attachment_deadline };
        let next = self.connect_deadline.time().min(attachment.time());
        (next != PeerDeadline::NEVER.time()).then_some(next)
    }

    /// Returns a violation if a deadline has passed. The connection is then [closed](Self::close), and the driver must
    /// close the session. A deadline that is [noticed late](Time::extension) starts again once.
    #[must_use]
    pub fn handle_timeout(&mut self, now: Time) -> Option<Violation> {
        let connect_timeout = Duration::from_millis(self.connect_timeout_millis.into());
        let attachment_timeout = Duration::from_millis(self.attachment_timeout_millis.into());
        let violation = if self.connect_deadline.expired_or_restart(connect_timeout, now) {
            Violation::ConnectTimeout
        } else if !self.is_paused && self.attachment_deadline.expired_or_restart(attachment_timeout, now) {
            Violation::AttachmentTimeout
        } else {
            return None;
        };
        self.close();
        Some(violation)
    }

    /// Closes the connection, because the session has ended or the driver is about to close it. All further messages
    /// are ignored, every socket is disconnected, and a packet whose attachments have not all arrived is dropped. The
    /// driver visits the sockets with [`for_each`](Self::for_each) and removes each socket after its last handler has
    /// finished.
    pub fn close(&mut self) {
        self.is_closed = true;
        self.decoder.discard();
        self.connect_deadline = PeerDeadline::NEVER;
        self.attachment_deadline = PeerDeadline::NEVER;
        for slot in &mut self.slots {
            slot.disconnect();
        }
    }

    /// Returns `true` if the connection is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Returns `true` if the driver has removed all sockets.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sockets().next().is_none()
    }

    /// Iterates over the driver's data of all sockets that have not been removed, in the order of their connect
    /// requests.
    pub fn sockets(&self) -> impl Iterator<Item = &S> {
        self.slots.iter().filter_map(Slot::socket)
    }

    /// Calls `visit` for each socket that has not been removed, in the order of their connect requests. `visit` may
    /// remove the socket.
    pub fn for_each(&mut self, mut visit: impl FnMut(SocketEntry<'_, S>)) {
        let mut index = 0;
        while index < self.slots.len() {
            let before = self.slots.len();
            if self.slots[index].socket().is_some() {
                visit(SocketEntry::new(self, index));
            }
            // If the entry was removed, the next one is now at the same index.
            if self.slots.len() == before {
                index += 1;
            }
        }
    }

    fn handle_decoded<'c, 'm>(
        &'c mut self,
        decoded: Result<Option<Packet<'m>>, DecodeError>,
        now: Time,
    ) -> Result<Option<Received<'c, 'm, S>>, Violation> {
        match decoded {
            Ok(Some(packet)) if self.protocol == Protocol::V5 => self.handle_packet(packet),
            Ok(Some(packet)) => self.handle_packet_of_protocol4(packet),
            Ok(None) => {
                self.start_attachment_deadline(now);
                Ok(None)
            }
            Err(error) => Err(self.close_with_violation(error.into())),
        }
    }

    /// In a function of its own, so that a packet of Socket.IO 5 is not moved to memory for it.
    #[cold]
    fn handle_packet_of_protocol4<'c, 'm>(
        &'c mut self,
        mut packet: Packet<'m>,
    ) -> Result<Option<Received<'c, 'm, S>>, Violation> {
        protocol::read_query(&mut packet).map_err(|error| self.close_with_violation(error.into()))?;
        self.handle_packet(packet)
    }

    #[inline]
    fn handle_packet<'c, 'm>(
        &'c mut self,
        packet: Packet<'m>,
    ) -> Result<Option<Received<'c, 'm, S>>, Violation> {
        match packet {
            Packet::Event { namespace, ack, event } => {
                let entry = self.connected_entry(&namespace, Violation::EventNotConnected)?;
                Ok(entry.map(|socket| Received::Event { socket, event, ack }))
            }
            Packet::Ack { namespace, id, arguments } => {
                let entry = self.connected_entry(&namespace, Violation::AckNotConnected)?;
                Ok(entry.map(|socket| Received::Ack { socket, id, arguments }))
            }
            Packet::Connect { namespace, auth } => {
                self.check_connect(&namespace)?;
                Ok(Some(Received::Connect(ConnectRequest::new(self, namespace, auth))))
            }
            Packet::Disconnect { namespace } => {
                let Some(index) = self.position(&namespace) else {
                    return Err(self.close_with_violation(Violation::DisconnectNotConnected));
                };
                if !self.slots[index].is_open() {
                    return Ok(None);
                }
                self.slots[index].disconnect();
                Ok(Some(Received::Disconnect(SocketEntry::new(self, index))))
            }
            Packet::ConnectError { .. } => Err(self.close_with_violation(Violation::UnexpectedConnectError)),
        }
    }

    /// Returns the socket of a namespace. Returns `None` if the socket is disconnected: packets for it are ignored.
    fn connected_entry(
        &mut self,
        namespace: &str,
        violation: Violation,
    ) -> Result<Option<SocketEntry<'_, S>>, Violation> {
        match self.connected_index(namespace) {
            Ok(index) => Ok(index.map(|index| SocketEntry::new(self, index))),
            Err(NotConnected) => Err(self.close_with_violation(violation)),
        }
    }

    /// Returns the index of the socket of a namespace. Returns `None` if the socket is disconnected.
    #[inline]
    fn connected_index(&self, namespace: &str) -> Result<Option<usize>, NotConnected> {
        let index = self.position(namespace).ok_or(NotConnected)?;
        let slot = &self.slots[index];
        if !slot.was_connected() {
            return Err(NotConnected);
        }
        Ok(slot.is_open().then_some(index))
    }

    /// Returns the index of the latest socket of a namespace. Earlier sockets of the namespace may still be
    /// disconnecting.
    #[inline]
    fn position(&self, namespace: &str) -> Option<usize> {
        // All names begin with `/`, so the main namespace needs no comparison.
        self.slots.iter().rposition(|slot| {
            let name = slot.namespace();
            name.len() == namespace.len() && (name.len() == 1 || name == namespace)
        })
    }

    /// Checks that the client may request this namespace now. Also deletes the `DisconnectedByServer` slot of this
    /// namespace, if there is one.
    fn check_connect(&mut self, namespace: &str) -> Result<(), Violation> {
        if self.slots.iter().any(|slot| slot.is_open() && slot.namespace() == namespace) {
            return Err(self.close_with_violation(Violation::DuplicateConnect));
        }
        self.slots.retain(|slot| slot.socket().is_some() || slot.namespace() != namespace);
        if self.slots.iter().filter(|slot| slot.namespace() == namespace).count()
            >= self.max_disconnecting_sockets as usize
        {
            return Err(self.close_with_violation(Violation::TooManyDisconnecting {
                max: self.max_disconnecting_sockets as usize,
            }));
        }
        Ok(())
    }

    fn start_attachment_deadline(&mut self, now: Time) {
        self.attachment_deadline =
            PeerDeadline::new(now + Duration::from_millis(self.attachment_timeout_millis.into()));
    }

    fn close_with_violation(&mut self, violation: Violation) -> Violation {
        self.close();
        violation
    }
}

/// The client is not connected to a namespace, and was not before.
struct NotConnected;

/// Timeouts are stored in milliseconds, so durations above 49 days count as 49 days.
fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
