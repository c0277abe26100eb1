//! The client's side of one connection, with a socket for each namespace, as `socket.io-client` 4.8 behaves.
//!
//! A [`Client`] outlives the engine's connections: the driver tells it when one is open
//! ([`handle_open`](Client::handle_open)) and when it is closed ([`handle_close`](Client::handle_close)), and
//! reconnects as long as a socket [is active](Client::is_active). Every [`Socket`] joins its namespace anew each time,
//! and keeps what is emitted meanwhile. The driver's turn is always the same: after every call it sends what
//! [`poll_transmit`](Client::poll_transmit) gives, does what [`poll_output`](Client::poll_output) says, and sleeps
//! until [`poll_timeout`](Client::poll_timeout).
//!
//! What is promised:
//! - Events are sent in the order in which they were emitted, and none is sent twice. One that was sent on a connection
//!   that broke may be lost. One that waits is sent on the next one.
//! - Each waiter for an acknowledgement is returned exactly once. It fails when the connection breaks on which its event
//!   was sent. While its event waits, it waits too, until its deadline: then the event is not sent. When the program or
//!   the driver gives up, it fails in any case.
//! - Events come in order, those that the server replays before [`Output::Connected`].
//! - After a disconnect by the server, or a refusal, a socket stays disconnected until the program connects it.
//!
//! A driver that shares a connection between tasks keeps it behind one lock, which is held for no longer than a call:
//! a message is encoded before, and pushed to the engine within ([`EmitAction::Transmit`]), so that no other overtakes it.
//!
//! Not here: when to reconnect, and `retries`, which would be a queue in front of [`Socket::emit_with_ack`].
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
//! // There is no client yet: the event waits.
//! let mut encoder = MessageEncoder::new();
//! let id = client[key].next_ack_id();
//! let message = encode::event(&mut encoder, "/", Some(id), "ask", &42)?;
//! let emit = client[key].emit_with_ack(id, &message, None, "waiter");
//! assert_eq!(emit, Ok(EmitAction::Buffered { dropped: 0 }));
//!
//! client.handle_open();
//! assert!(client.poll_transmit().is_some(), "CONNECT");
//! assert!(client.poll_transmit().is_none(), "the event waits for the answer");
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
use std::ops::{Index, IndexMut};

use engineio_proto::{CloseReason, SharedMessage};
use smallvec::SmallVec;
use ws_proto::Time;

use crate::decoder::Decoder;
use crate::error::DecodeError;
use crate::packet::Packet;
pub use limits::{Limits, Overflow};
pub use output::{AckError, AckId, ConnectError, DisconnectReason, Output};
pub use socket::{Auth, EmitAction, EmitError, Socket};

/// The sockets of a client that share the connections to one server.
///
/// `W` is the driver's type of a waiter for an acknowledgement.
#[derive(Debug)]
pub struct Client<W> {
    decoder: Decoder,
    decoder_limits: crate::DecoderLimits,
    limits: Limits,
    is_open: bool,
    /// Sockets stay as long as the connection: a program that asks for a namespace again gets the same one.
    sockets: SmallVec<[Socket<W>; 1]>,
}

/// One of the sockets of a [`Client`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SocketKey(usize);

/// What the server did wrong. The connection must be closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// The server sent what is no packet.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The server sent more events before it answered CONNECT than the [`Limits`] allow.
    #[error("too many events before the namespace is joined")]
    ReceiveBufferFull,
}

impl Violation {
    /// For which reason the sockets are disconnected.
    #[must_use]
    pub fn disconnect_reason(&self) -> DisconnectReason {
        match self {
            Self::Decode(_) => DisconnectReason::ParseError,
            Self::ReceiveBufferFull => DisconnectReason::ForcedClose,
        }
    }
}

impl<W> Client<W> {
    /// A client without sockets and without a connection.
    #[must_use]
    pub fn new(limits: &Limits, packets: &crate::DecoderLimits) -> Self {
        Self {
            decoder: Decoder::new(packets),
            decoder_limits: *packets,
            limits: *limits,
            is_open: false,
            sockets: SmallVec::new(),
        }
    }

    /// The socket of a namespace, which is made if there is none yet. It does nothing until it is told to
    /// [connect](Socket::connect). What it authenticates with is `auth` from now on.
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

    /// Whether a socket wants a connection. When none does, the driver closes the one that there is, and does not
    /// reconnect.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.sockets.iter().any(Socket::is_active)
    }

    /// The engine is open: every active socket asks for its namespace. Ignored when it is open already.
    pub fn handle_open(&mut self) {
        if std::mem::replace(&mut self.is_open, true) {
            return;
        }
        self.decoder = Decoder::new(&self.decoder_limits);
        self.sockets.iter_mut().for_each(Socket::handle_open);
    }

    /// The engine is closed: every socket that was connected is disconnected, for this reason. Ignored when the end is
    /// known already.
    pub fn handle_close(&mut self, reason: CloseReason) {
        self.close(reason.into());
    }

    /// The driver does not reconnect any more: all waiters for acknowledgements fail.
    pub fn handle_reconnect_failed(&mut self) {
        self.sockets.iter_mut().for_each(Socket::handle_reconnect_failed);
    }

    /// A text message of the server. Events and acknowledgements are given at once, unless something else has to be
    /// [polled](Self::poll_output) before: then they wait behind that.
    ///
    /// # Errors
    /// The engine must be closed. To the sockets it is closed already.
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

    /// A binary message of the server: an attachment. Borrowed data is copied, owned data is kept. Otherwise as
    /// [`handle_text`](Self::handle_text).
    ///
    /// # Errors
    /// The engine must be closed. To the sockets it is closed already.
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

    /// The next message for the engine. What it gives counts as sent, so a driver whose engine takes nothing now does
    /// not ask.
    #[must_use]
    pub fn poll_transmit(&mut self) -> Option<SharedMessage> {
        self.sockets.iter_mut().find_map(Socket::poll_transmit)
    }

    /// What has happened, in the order of each socket. Call it after every other call, until `None`.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<(SocketKey, Output<'static, W>)> {
        self.find_output(Socket::poll_output)
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.sockets.iter().filter_map(Socket::poll_timeout).min()
    }

    /// An acknowledgement that did not come in time. Call again until `None`.
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
                // Nobody has ever asked for this namespace.
                None => return Ok(None),
                Some(position) => self.sockets[position]
                    .handle_packet(packet)
                    .map(|output| output.map(|output| (SocketKey(position), output))),
            },
            Err(error) => Err(error.into()),
        };
        handled.inspect_err(|violation| self.close(violation.disconnect_reason()))
    }

    fn close(&mut self, reason: DisconnectReason) {
        if self.is_open {
            self.is_open = false;
            self.sockets.iter_mut().for_each(|socket| socket.handle_close(reason));
        }
    }

    fn position(&self, namespace: &str) -> Option<usize> {
        self.sockets.iter().position(|socket| socket.namespace() == namespace)
    }
}

/// Panics for a key of another connection.
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
