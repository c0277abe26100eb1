//! The rules of one connection on the server's side: which sockets it has, what is out of turn, what is overdue.
//!
//! A [`Connection`] takes the messages of one Engine.IO session and says what they mean: a client asks for a namespace,
//! an event or an acknowledgement has come for a socket, a client has left. The driver keeps whatever it needs for each
//! socket, `S`, inside the connection's own entry, so that a packet costs one lookup. A [`Violation`] ends everything: it
//! says what was wrong, and for which [`DisconnectReason`] the driver must close the session.
//!
//! The program may disconnect a socket at any moment and from any task. The connection does not want to be told: it
//! asks the [`Socket`] whenever that matters.
//!
//! Not here: which namespaces exist, the middleware, rooms, and who waits for which acknowledgement (an
//! [`AckTable`](crate::AckTable) that other tasks must reach).
//!
//! ```
//! use engineio_proto::MessageEncoder;
//! use tidewire_socketio_proto::server::{Connection, DisconnectReason, Limits, Received, Socket, Violation};
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
//! let mut connection = Connection::new(&Limits::default(), &Default::default(), now);
//! let Ok(Some(Received::Connect(request))) = connection.handle_text(r#"0/chat,{"token":"1"}"#, now) else {
//!     panic!("a client asks for a namespace");
//! };
//! let member = Member(request.namespace().to_owned());
//! // The middleware takes as long as it takes. Then the driver sends `encode::connect`, and:
//! assert!(request.insert(member).accept());
//!
//! let Ok(Some(Received::Event { socket, event, ack })) = connection.handle_text(r#"2/chat,7["say"]"#, now) else {
//!     panic!("an event has come");
//! };
//! assert_eq!((socket.socket().namespace(), event.name(), ack), ("/chat", "say", Some(7)));
//!
//! let Err(violation) = connection.handle_text(r#"2/other,["say"]"#, now) else {
//!     panic!("this namespace is not joined");
//! };
//! assert_eq!(violation, Violation::EventNotConnected);
//! assert_eq!(violation.disconnect_reason(), DisconnectReason::ForcedServerClose);
//! ```

mod connect_request;
mod disconnect_reason;
mod limits;
mod socket_entry;
mod violation;

use std::borrow::Cow;
use std::time::Duration;

use smallvec::SmallVec;
use ws_proto::Time;

use crate::arguments::Arguments;
use crate::decoder::Decoder;
use crate::error::DecodeError;
use crate::packet::{Event, Packet};
pub use connect_request::ConnectRequest;
pub use disconnect_reason::DisconnectReason;
pub use limits::Limits;
use socket_entry::Slot;
pub use socket_entry::{SocketEntry, SocketState};
pub use violation::Violation;

/// What a driver keeps for each socket, as far as the rules ask for it.
pub trait Socket {
    /// The name of the namespace, with its leading slash. It never changes.
    fn namespace(&self) -> &str;

    /// Whether the *program* has disconnected the socket. It may do so at any moment and from any task; once true, this
    /// stays true. A client that leaves, or a connection that ends, does not count.
    fn is_disconnected(&self) -> bool;
}

/// One connection and the sockets on it.
///
/// Hot path. An event costs its decoding and a comparison with the namespace of the sockets, which is mostly one: no
/// allocation, and no copy of the namespace.
#[derive(Debug)]
pub struct Connection<S> {
    decoder: Decoder,
    /// In the order in which they were asked for: of two in one namespace, the later one counts.
    slots: SmallVec<[Slot<S>; 1]>,
    /// Until when a namespace must be joined; never once one is.
    connect_deadline: Deadline,
    /// Until when the next attachment must come; never while none is due.
    attachment_deadline: Deadline,
    /// In microseconds.
    attachment_timeout: u64,
    max_disconnecting_sockets: u32,
    /// The driver does not read, so that no attachment can come.
    is_paused: bool,
    is_closed: bool,
}

/// A time that may never come. Half as large as an `Option`: each connection has two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Deadline(Time);

impl Deadline {
    const NEVER: Self = Self(Time::from_micros(u64::MAX));

    fn time(self) -> Option<Time> {
        (self != Self::NEVER).then_some(self.0)
    }
}

/// What a message of the client means.
#[derive(Debug)]
pub enum Received<'c, 'm, S> {
    /// A client asks for a namespace.
    Connect(ConnectRequest<'c, 'm, S>),
    /// An event has come for a socket that is connected.
    Event {
        /// The socket.
        socket: SocketEntry<'c, S>,
        /// Its name and arguments.
        event: Event<'m>,
        /// Under which id the client wants an acknowledgement, if it wants one.
        ack: Option<u64>,
    },
    /// An acknowledgement has come for a socket that is connected. Nobody may be waiting for it.
    Ack {
        /// The socket.
        socket: SocketEntry<'c, S>,
        /// The id under which it was asked for.
        id: u64,
        /// What the client answers.
        arguments: Arguments<'m>,
    },
    /// The client has left a namespace, perhaps before it was let in. The driver disconnects the socket for
    /// [`DisconnectReason::ClientNamespaceDisconnect`], and [removes](SocketEntry::remove) it when its last handler has
    /// finished.
    Disconnect(SocketEntry<'c, S>),
}

impl<S: Socket> Connection<S> {
    /// A connection that has just been opened.
    #[must_use]
    pub fn new(limits: &Limits, packets: &crate::DecoderLimits, now: Time) -> Self {
        Self {
            decoder: Decoder::new(packets),
            slots: SmallVec::new(),
            connect_deadline: Deadline(now + limits.connect_timeout),
            attachment_deadline: Deadline::NEVER,
            attachment_timeout: u64::try_from(limits.attachment_timeout.as_micros()).unwrap_or(u64::MAX),
            max_disconnecting_sockets: u32::try_from(limits.max_disconnecting_sockets).unwrap_or(u32::MAX),
            is_paused: false,
            is_closed: false,
        }
    }

    /// A text message of the client. `None` means that there is nothing to do: the message announces attachments, or
    /// is ignored because the socket is disconnected.
    ///
    /// # Errors
    /// The connection must be closed. It is [closed](Self::close) here already.
    pub fn handle_text<'c, 'm>(
        &'c mut self,
        text: &'m str,
        now: Time,
    ) -> Result<Option<Received<'c, 'm, S>>, Violation> {
        if self.is_closed {
            return Ok(None);
        }
        let decoded = self.decoder.decode_text(text);
        self.handle_decoded(decoded, now)
    }

    /// A binary message of the client: an attachment. Borrowed data is copied, owned data is kept. Otherwise as
    /// [`handle_text`](Self::handle_text).
    ///
    /// # Errors
    /// The connection must be closed. It is [closed](Self::close) here already.
    pub fn handle_binary<'c, 'd>(
        &'c mut self,
        data: impl Into<Cow<'d, [u8]>>,
        now: Time,
    ) -> Result<Option<Received<'c, 'static, S>>, Violation> {
        if self.is_closed {
            return Ok(None);
        }
        self.attachment_deadline = Deadline::NEVER;
        let decoded = self.decoder.decode_binary(data);
        self.handle_decoded(decoded, now)
    }

    /// The driver stops reading (`true`), or reads again. While it does not read, an attachment cannot be late; from
    /// the moment it reads again, the client has the whole time once more.
    pub fn set_read_paused(&mut self, paused: bool, now: Time) {
        if self.is_paused && !paused && self.awaits_attachment() {
            self.start_attachment_deadline(now);
        }
        self.is_paused = paused;
    }

    /// Whether an attachment is due. Only then [`set_read_paused`](Self::set_read_paused) makes a difference.
    #[must_use]
    pub fn awaits_attachment(&self) -> bool {
        self.attachment_deadline != Deadline::NEVER
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let attachment = if self.is_paused { Deadline::NEVER } else { self.attachment_deadline };
        self.connect_deadline.min(attachment).time()
    }

    /// What is overdue, if anything is. Then the connection must be closed; it is [closed](Self::close) here already.
    #[must_use]
    pub fn handle_timeout(&mut self, now: Time) -> Option<Violation> {
        let violation = if self.connect_deadline.0 <= now {
            Violation::ConnectTimeout
        } else if !self.is_paused && self.attachment_deadline.0 <= now {
            Violation::AttachmentTimeout
        } else {
            return None;
        };
        self.close();
        Some(violation)
    }

    /// The session has ended, or the driver is about to close it. Nothing is received any more, and every socket is
    /// disconnected: the driver goes [over them](Self::for_each), and removes each when its last handler has finished.
    pub fn close(&mut self) {
        self.is_closed = true;
        self.connect_deadline = Deadline::NEVER;
        self.attachment_deadline = Deadline::NEVER;
        for slot in &mut self.slots {
            slot.disconnect();
        }
    }

    /// Whether the connection is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Whether no socket is left for the driver to see to.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sockets().next().is_none()
    }

    /// What the driver keeps for each socket that it has not removed, in the order in which they were asked for.
    pub fn sockets(&self) -> impl Iterator<Item = &S> {
        self.slots.iter().filter_map(Slot::socket)
    }

    /// Goes over all sockets that have not been removed, in the order in which they were asked for.
    pub fn for_each(&mut self, mut visit: impl FnMut(SocketEntry<'_, S>)) {
        let mut index = 0;
        while index < self.slots.len() {
            let before = self.slots.len();
            if self.slots[index].socket().is_some() {
                visit(SocketEntry::new(self, index));
            }
            // An entry that was removed has left its place to the next one.
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
            Ok(Some(packet)) => self.handle_packet(packet),
            Ok(None) => {
                self.start_attachment_deadline(now);
                Ok(None)
            }
            Err(error) => Err(self.close_with_violation(error.into())),
        }
    }

    fn handle_packet<'c, 'm>(
        &'c mut self,
        packet: Packet<'m>,
    ) -> Result<Option<Received<'c, 'm, S>>, Violation> {
        match packet {
            Packet::Event { namespace, ack, event } => {
                let joined = self.connected_entry(&namespace, Violation::EventNotConnected)?;
                Ok(joined.map(|socket| Received::Event { socket, event, ack }))
            }
            Packet::Ack { namespace, id, arguments } => {
                let joined = self.connected_entry(&namespace, Violation::AckNotConnected)?;
                Ok(joined.map(|socket| Received::Ack { socket, id, arguments }))
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

    /// The socket of a namespace; `None` if it is disconnected, so that what comes for it is ignored.
    fn connected_entry(
        &mut self,
        namespace: &str,
        violation: Violation,
    ) -> Result<Option<SocketEntry<'_, S>>, Violation> {
        match self.position(namespace) {
            Some(index) if self.slots[index].was_connected() => {
                Ok(self.slots[index].is_open().then(|| SocketEntry::new(self, index)))
            }
            _ => Err(self.close_with_violation(violation)),
        }
    }

    /// Where the socket of a namespace is: the latest, if those before it still leave.
    fn position(&self, namespace: &str) -> Option<usize> {
        self.slots.iter().rposition(|slot| slot.namespace() == namespace)
    }

    /// Whether a client may ask for this namespace now. What was kept of a socket before is no longer of use.
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
        self.attachment_deadline = Deadline(now + Duration::from_micros(self.attachment_timeout));
    }

    fn close_with_violation(&mut self, violation: Violation) -> Violation {
        self.close();
        violation
    }
}

#[cfg(test)]
mod tests;
