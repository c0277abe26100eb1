//! The client side of one connection, with a socket for each namespace. It behaves like `socket.io-client` 4.8.
//!
//! A [`Client`] outlives the connections of the engine. The driver calls [`handle_open`](Client::handle_open) when a
//! connection is open and [`handle_close`](Client::handle_close) when it is closed. It reconnects as long as
//! [`is_active`](Client::is_active) returns `true`. Each active [`Socket`] connects to its namespace again on every new
//! connection, and buffers the events that are emitted in between.
//!
//! After every call, the driver does three things: it sends the messages from [`poll_transmit`](Client::poll_transmit),
//! processes the outputs from [`poll_output`](Client::poll_output), and sets its timer to
//! [`poll_timeout`](Client::poll_timeout).
//!
//! Guarantees:
//! - Events are sent in the order in which they were emitted. No event is sent twice. An event that was sent on a
//!   connection that broke may be lost. A buffered event is sent on the next connection.
//! - Each waiter for an acknowledgement is returned exactly once. If the connection breaks after the event was sent,
//!   the waiter fails. If the event is still buffered, the client keeps the waiter. If its deadline passes while the
//!   event is buffered, the waiter fails and the event is not sent. If the program disconnects the socket or the driver
//!   stops reconnecting, the waiter always fails.
//! - Events are received in order. Events that the server replays come before [`Output::Connected`].
//! - If the server disconnects a socket or rejects its request, the socket stays disconnected until the program
//!   connects it again.
//!
//! A driver that shares a client between tasks protects it with one lock, and holds the lock for one call at a time. It
//! encodes a message before it takes the lock. If the call returns [`EmitAction::Transmit`], it pushes the message to
//! the engine before it releases the lock, so that no other message overtakes it.
//!
//! This module does not decide when to reconnect. It does not implement the option `retries` of the JavaScript client,
//! which would be a queue in front of [`Socket::emit_with_ack`].
//!
//! ```
//! use engineio_proto::{CloseReason, MessageEncoder};
//! use tidewire_socketio_proto::client::{AckError, Auth, Client, DisconnectReason, EmitAction, Limits, Output};
//! use tidewire_socketio_proto::encode;
//! use ws_proto::Time;
//!
//! let mut client = Client::new(&Limits::default(), &Default::default());
//! let key = client.socket("/", Auth::Static(None));
//! client[key].connect();
//!
//! // There is no connection yet, so the event is buffered.
//! let mut encoder = MessageEncoder::new();
//! let id = client[key].next_ack_id();
//! let message = encode::event(&mut encoder, "/", Some(id), "ask", &42)?;
//! let emit = client[key].emit_with_ack(id, &message, None, "waiter", Time::ZERO);
//! assert_eq!(emit, Ok(EmitAction::Buffered { dropped: 0 }));
//!
//! client.handle_open();
//! assert!(client.poll_transmit().is_some(), "CONNECT");
//! assert!(client.poll_transmit().is_none(), "the event waits for the response");
//! assert_eq!(client.handle_text(r#"0{"sid":"x"}"#), Ok(None));
//! assert!(client.poll_transmit().is_some(), "the event");
//! assert_eq!(client.poll_output(), Some((key, Output::Connected { recovered: false })));
//!
//! client.handle_close(CloseReason::TransportClose);
//! let reason = DisconnectReason::TransportClose;
//! assert_eq!(client.poll_output(), Some((key, Output::Disconnected { reason })));
//! let error = AckError::Disconnected;
//! assert_eq!(client.poll_output(), Some((key, Output::AckFailed { waiter: "waiter", error })));
//! # Ok::<(), tidewire_socketio_proto::EncodeError>(())
//! ```

mod limits;
mod output;
mod recovery;
mod send_buffer;
mod socket;

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::ops::{Index, IndexMut};
use std::sync::Arc;

use engineio_proto::{CloseReason, SharedMessage};
use smallvec::SmallVec;
use ws_proto::Time;

use crate::decoder::Decoder;
use crate::error::DecodeError;
use crate::packet::Packet;
#[cfg(doc)]
use crate::parser;
use crate::parser::Parser;
pub use limits::{Limits, Overflow};
pub use output::{AckError, AckId, ConnectError, DisconnectReason, Output};
pub use socket::{Auth, EmitAction, EmitError, Socket};

/// The sockets of a client. They share one connection to a server at a time.
///
/// `W` is the driver's type for a waiter that waits for an acknowledgement.
#[derive(Debug)]
pub struct Client<W> {
    decoder: Decoder,
    decoder_limits: crate::DecoderLimits,
    /// `None` for the default parser.
    parser: Option<Arc<dyn Parser>>,
    limits: Limits,
    is_open: bool,
    /// Sockets are never removed. If a program requests a namespace again, it gets the same socket.
    sockets: SmallVec<[Socket<W>; 1]>,
}

/// Identifies a socket of a [`Client`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SocketKey(usize);

/// A protocol violation of the server. The connection must be closed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// The server sent a message that is not a valid packet.
    Decode(DecodeError),
    /// The server sent more events before its response to CONNECT than the [`Limits`] allow.
    ReceiveBufferFull,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decode(error) => error.fmt(f),
            Self::ReceiveBufferFull => f.write_str(
                "the server sent too many events before it accepted the connection to the namespace \
                 (`max_receive_buffer_events`, `max_receive_buffer_bytes`)",
            ),
        }
    }
}

impl Error for Violation {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Decode(error) => error.source(),
            Self::ReceiveBufferFull => None,
        }
    }
}

impl From<DecodeError> for Violation {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

impl Violation {
    /// Returns the reason for which the sockets are disconnected.
    #[must_use]
    pub fn disconnect_reason(&self) -> DisconnectReason {
        match self {
            Self::Decode(_) => DisconnectReason::ParseError,
            Self::ReceiveBufferFull => DisconnectReason::ForcedClose,
        }
    }
}

impl<W> Client<W> {
    /// Creates a client without sockets and without a connection.
    #[must_use]
    pub fn new(limits: &Limits, decoder_limits: &crate::DecoderLimits) -> Self {
        Self {
            decoder: Decoder::new(decoder_limits),
            decoder_limits: *decoder_limits,
            parser: None,
            limits: *limits,
            is_open: false,
            sockets: SmallVec::new(),
        }
    }

    /// Makes the client read the messages of each connection with another parser than the default one. The driver
    /// encodes what it sends with the same parser, see [`parser::encode_shared_with`].
    #[must_use]
    pub fn with_parser(mut self, parser: Arc<dyn Parser>) -> Self {
        self.parser = Some(parser);
        self
    }

    /// Returns the key of the socket for a namespace, and creates the socket if it does not exist. A new socket is
    /// inactive until [`Socket::connect`] is called. If the socket exists, its credentials are replaced by `auth`, from
    /// the next CONNECT packet on.
    pub fn socket(&mut self, namespace: &str, auth: Auth) -> SocketKey {
        if let Some(position) = self.position(namespace) {
            self.sockets[position].set_auth(auth);
            return SocketKey(position);
        }
        let mut socket = Socket::new(namespace, auth, &self.limits);
        if self.is_open {
            socket.handle_open();
        }
        self.sockets.push(socket);
        SocketKey(self.sockets.len() - 1)
    }

    /// Returns `true` if a socket needs a connection. If this returns `false`, the driver closes the open connection
    /// and does not reconnect.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.sockets.iter().any(Socket::is_active)
    }

    /// Tells the client that the engine is open. Every active socket requests its namespace. Does nothing if the engine
    /// is already open.
    pub fn handle_open(&mut self) {
        if std::mem::replace(&mut self.is_open, true) {
            return;
        }
        self.decoder = match &self.parser {
            None => Decoder::new(&self.decoder_limits),
            Some(parser) => Decoder::with_parser(&**parser, &self.decoder_limits),
        };
        self.sockets.iter_mut().for_each(Socket::handle_open);
    }

    /// Tells the client that the engine is closed. Every connected socket is disconnected with this reason. Does
    /// nothing if the client already considers the engine closed.
    pub fn handle_close(&mut self, reason: CloseReason) {
        self.close(reason.into());
    }

    /// Tells the client that the driver has stopped reconnecting. All waiters for acknowledgements fail.
    pub fn handle_reconnect_failed(&mut self) {
        self.sockets.iter_mut().for_each(Socket::handle_reconnect_failed);
    }

    /// Processes a text message from the server. Usually returns events and acknowledgements directly. If earlier
    /// outputs have not been [polled](Self::poll_output) yet, the new output is queued after them.
    ///
    /// # Errors
    /// Returns an error if the server violated the protocol. The driver must close the engine. The client already
    /// treats it as closed.
    pub fn handle_text<'m>(
        &mut self,
        text: &'m str,
    ) -> Result<Option<(SocketKey, Output<'m, W>)>, Violation> {
        if !self.is_open {
            return Ok(None);
        }
        let decoded = self.decoder.decode_text(text);
        self.handle_decoded(decoded)
    }

    /// Processes a binary message from the server. With the default parser, it is an attachment. Borrowed data is copied, and owned data is
    /// kept without a copy. Returns outputs in the same way as [`handle_text`](Self::handle_text).
    ///
    /// # Errors
    /// Returns an error if the server violated the protocol. The driver must close the engine. The client already
    /// treats it as closed.
    pub fn handle_binary<'d>(
        &mut self,
        data: impl Into<Cow<'d, [u8]>>,
    ) -> Result<Option<(SocketKey, Output<'static, W>)>, Violation> {
        if !self.is_open {
            return Ok(None);
        }
        let decoded = self.decoder.decode_binary(data);
        self.handle_decoded(decoded)
    }

    /// Iterates over the sockets, in the order in which they were created.
    pub fn sockets(&self) -> impl Iterator<Item = &Socket<W>> {
        self.sockets.iter()
    }

    /// Like [`sockets`](Self::sockets), but allows to change them.
    pub fn sockets_mut(&mut self) -> impl Iterator<Item = &mut Socket<W>> {
        self.sockets.iter_mut()
    }

    /// Returns the next message for the engine. The client considers the message sent, so the driver must not call this
    /// while the engine does not accept messages.
    #[must_use]
    pub fn poll_transmit(&mut self) -> Option<SharedMessage> {
        self.sockets.iter_mut().find_map(Socket::poll_transmit)
    }

    /// Returns the next output. The outputs of one socket are in order. Call this after every other call, until it
    /// returns `None`.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<(SocketKey, Output<'static, W>)> {
        self.find_output(Socket::poll_output)
    }

    /// Returns the time at which the driver must call [`handle_timeout`](Self::handle_timeout). `None` if there is no
    /// deadline.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.sockets.iter().filter_map(Socket::poll_timeout).min()
    }

    /// Fails a waiter whose acknowledgement did not arrive in time. Call this until it returns `None`.
    #[must_use]
    pub fn handle_timeout(&mut self, now: Time) -> Option<(SocketKey, Output<'static, W>)> {
        self.find_output(|socket| socket.handle_timeout(now))
    }

    fn find_output(
        &mut self,
        mut find: impl FnMut(&mut Socket<W>) -> Option<Output<'static, W>>,
    ) -> Option<(SocketKey, Output<'static, W>)> {
        let mut sockets = self.sockets.iter_mut().enumerate();
        sockets.find_map(|(position, socket)| Some((SocketKey(position), find(socket)?)))
    }

    fn handle_decoded<'m>(
        &mut self,
        decoded: Result<Option<Packet<'m>>, DecodeError>,
    ) -> Result<Option<(SocketKey, Output<'m, W>)>, Violation> {
        let handled = match decoded {
            Ok(None) => return Ok(None),
            Ok(Some(packet)) => match self.position(packet.namespace()) {
                // The program has never requested this namespace.
                None => return Ok(None),
                Some(position) => self.sockets[position]
                    .handle_packet(packet)
                    .map(|output| output.map(|output| (SocketKey(position), output))),
            },
            Err(error) => Err(error.into()),
        };
        handled.inspect_err(|violation| self.close(violation.disconnect_reason()))
    }

    /// Does the same as [`handle_close`](Self::handle_close), with a reason of the client itself.
    pub fn close(&mut self, reason: DisconnectReason) {
        if self.is_open {
            self.is_open = false;
            self.sockets.iter_mut().for_each(|socket| socket.handle_close(reason));
        }
    }

    fn position(&self, namespace: &str) -> Option<usize> {
        self.sockets.iter().position(|socket| socket.namespace() == namespace)
    }
}

/// Panics or returns an unrelated socket if the key belongs to another client.
impl<W> Index<SocketKey> for Client<W> {
    type Output = Socket<W>;

    fn index(&self, key: SocketKey) -> &Socket<W> {
        &self.sockets[key.0]
    }
}

impl<W> IndexMut<SocketKey> for Client<W> {
    fn index_mut(&mut self, key: SocketKey) -> &mut Socket<W> {
        &mut self.sockets[key.0]
    }
}

#[cfg(test)]
#[path = "../tests/support/message_parts.rs"]
mod message_parts;
#[cfg(test)]
mod tests;
