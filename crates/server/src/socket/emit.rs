//! Sending events to one socket.

use std::time::Duration;

use engineio_proto::EncodedMessage;
use handlers::{ObservedEvent, decode_event, with_encoder};
use net::{LogRateLimit, PushError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use socketio_proto::{EncodeError, EncodedEvent, Excerpt, encode};

use super::{AckError, AckFuture, Socket};

/// Encodes an event for a broadcast.
pub(crate) fn encode_event<T: Serialize + ?Sized>(
    namespace: &str,
    event: &str,
    arguments: &T,
) -> Result<EncodedEvent, EncodeError> {
    with_encoder(|encoder| EncodedEvent::encode(encoder, namespace, None, event, arguments))
}

/// Logs that an event could not be encoded. The log is rate-limited, because data that a client sent may cause the
/// error if the program relays it.
pub(crate) fn log_emit_error(event: &str, error: &EmitError) {
    static NOT_SENT: LogRateLimit = LogRateLimit::new();
    NOT_SENT.try_log(|suppressed| {
        let (event, error) = (Excerpt(event), Excerpt(error));
        tracing::error!(%event, %error, suppressed, "an event was not sent");
    });
}

/// The reason why an event was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// The client's write buffer is full.
    #[error("the client's write buffer is full")]
    Full,
    /// The socket is disconnected.
    #[error("socket has been disconnected")]
    Disconnected,
    /// The event cannot be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

impl From<PushError> for EmitError {
    fn from(error: PushError) -> Self {
        match error {
            PushError::Full => Self::Full,
            PushError::Closed => Self::Disconnected,
        }
    }
}

/// Sends an event to one socket with options, see [`Socket::volatile`] and [`Socket::timeout`].
#[derive(Debug, Clone, Copy)]
#[must_use = "nothing is sent before `emit`"]
pub struct Emitter<'a> {
    socket: &'a Socket,
    volatile: bool,
    timeout: Option<Duration>,
}

impl<'a> Emitter<'a> {
    pub(crate) fn new(socket: &'a Socket) -> Self {
        Self { socket, volatile: false, timeout: None }
    }

    /// Makes the event volatile: the server drops it if the connection is not ready to send it. A WebSocket is not
    /// ready while the kernel has not accepted all earlier data. A polling connection is not ready while no poll
    /// request is waiting.
    pub fn volatile(mut self) -> Self {
        self.volatile = true;
        self
    }

    /// Sets the timeout of the acknowledgement.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends an event, see [`Socket::emit`].
    pub fn emit<T: Serialize>(self, event: impl AsRef<str>, arguments: T) {
        let event = event.as_ref();
        let sent = self.send(event, None, &arguments, |message| {
            self.socket.session().send(message);
            Ok(())
        });
        match sent {
            Ok(()) | Err(EmitError::Disconnected) => {}
            Err(error) => log_emit_error(event, &error),
        }
    }

    /// Sends an event if the client's write buffer has capacity, see [`Socket::try_emit`].
    ///
    /// # Errors
    /// Returns the reason why the event was not sent.
    pub fn try_emit<T: Serialize>(self, event: impl AsRef<str>, arguments: T) -> Result<(), EmitError> {
        self.send(event.as_ref(), None, &arguments, |message| Ok(self.socket.session().try_send(message)?))
    }

    /// Like [`try_emit`](Self::try_emit), but also returns the event's size in bytes with the error.
    pub(crate) fn try_emit_sized<T: Serialize>(
        self,
        event: &str,
        arguments: &T,
    ) -> Result<(), (EmitError, usize)> {
        let mut length = 0;
        let sent = self.send(event, None, arguments, |message| {
            length = message.max_framed_len();
            Ok(self.socket.session().try_send(message)?)
        });
        sent.map_err(|error| (error, length))
    }

    /// Sends an event immediately and returns a future that resolves to the client's acknowledgement, see
    /// [`Socket::emit_with_ack`].
    pub fn emit_with_ack<R: DeserializeOwned>(
        self,
        event: impl AsRef<str>,
        arguments: impl Serialize,
    ) -> AckFuture<R> {
        let id = self.socket.namespace().next_ack_id();
        let timeout = self.timeout.unwrap_or(self.socket.namespace().limits().ack_timeout);
        let acknowledged = AckFuture::new(self.socket, id, timeout);
        match self.send(event.as_ref(), Some(id), &arguments, |message| {
            Ok(self.socket.session().try_send(message)?)
        }) {
            Ok(()) => acknowledged,
            Err(error) => acknowledged.failed(AckError::NotSent(error)),
        }
    }

    fn send<T: Serialize>(
        &self,
        event: &str,
        ack: Option<u64>,
        arguments: &T,
        push: impl FnOnce(EncodedMessage<'_>) -> Result<(), EmitError>,
    ) -> Result<(), EmitError> {
        if !self.socket.is_connected() {
            return Err(EmitError::Disconnected);
        }
        if self.volatile && !self.socket.session().is_writable() {
            return Ok(());
        }
        if self.socket.observes_outgoing() {
            return self.send_observed(event, ack, arguments, push);
        }
        with_encoder(|encoder| {
            let namespace = self.socket.namespace().name();
            push(encode::event(encoder, namespace, ack, event, arguments)?)
        })
    }

    /// Sends an event and then reports it to the observers of the socket.
    #[cold]
    fn send_observed<T: Serialize>(
        &self,
        event: &str,
        ack: Option<u64>,
        arguments: &T,
        push: impl FnOnce(EncodedMessage<'_>) -> Result<(), EmitError>,
    ) -> Result<(), EmitError> {
        let observed = with_encoder(|encoder| {
            let namespace = self.socket.namespace().name();
            let message = encode::event(encoder, namespace, ack, event, arguments)?;
            let observed = decode_event(message.text(), message.attachments());
            push(message)?;
            Ok::<_, EmitError>(observed)
        })?;
        if let Some(event) = observed {
            self.socket.observe_outgoing(ObservedEvent::new(&event, ack.is_some()));
        }
        Ok(())
    }
}
