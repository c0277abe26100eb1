//! Sending events.

use std::time::Duration;

use handlers::{HandlerError, ObservedEvent, decode_event, with_encoder};
use serde::Serialize;
use serde::de::DeserializeOwned;
use socketio_proto::{EncodeError, Event, encode};
use tokio::sync::oneshot;

use super::{AckFuture, Socket};
use crate::error::{AckError, EmitError};
use crate::outgoing::{prepare, with_outgoing};
use crate::state::{AckOptions, AckWaiter, Emitted, Waiter};

/// Sends events with options, see [`Socket::volatile`] and [`Socket::timeout`].
#[derive(Debug, Clone, Copy)]
#[must_use = "nothing is sent before `emit`"]
pub struct Emitter<'a> {
    socket: &'a Socket,
    volatile: bool,
    compress: bool,
    timeout: Option<Duration>,
}

impl<'a> Emitter<'a> {
    pub(crate) fn new(socket: &'a Socket) -> Self {
        Self { socket, volatile: false, compress: true, timeout: None }
    }

    /// Makes the event volatile: it is dropped if the socket is not connected, or if the connection is not ready to send
    /// it. It is never buffered, and never [sent again](crate::Builder::retries).
    pub fn volatile(mut self) -> Self {
        self.volatile = true;
        self
    }

    /// Sets whether the event may be compressed, if the server has agreed to compression (`per_message_deflate` of
    /// [`Builder`](crate::Builder), with the feature `compression`). Default: `true`. Switch it off for data that is
    /// already compressed, or that contains a secret.
    pub fn compress(mut self, compress: bool) -> Self {
        self.compress = compress;
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
        match self.try_emit(event, arguments) {
            Ok(()) => {}
            Err(error) => {
                let error = HandlerError::new("the event was not sent").with_source(error);
                self.socket.inner.report_error(&error, Some(event));
            }
        }
    }

    /// Sends an event, or returns an error if it cannot be sent or buffered, see [`Socket::try_emit`]. A volatile event
    /// that is dropped is no error.
    ///
    /// # Errors
    /// Returns an error if the buffer is full, the client is closed, or the arguments cannot be encoded.
    pub fn try_emit<T: Serialize>(self, event: impl AsRef<str>, arguments: T) -> Result<(), EmitError> {
        let (event, socket) = (event.as_ref(), self.socket);
        socket.start();
        let inner = &socket.inner;
        if inner.has_retries && !self.volatile {
            let event = self.encode_owned(event, &arguments)?;
            return self.push_retry(event, None).map_err(|(error, _)| error);
        }
        let parser = inner.client.parser.as_ref();
        let observed = with_encoder(|encoder| {
            prepare(parser, encoder);
            let message = encode::event(encoder, &inner.namespace, None, event, &arguments)?;
            let message = message.with_compression(self.compress);
            let observed = self.observed(&message);
            with_outgoing(parser, message, |packet| {
                inner.client.state().emit(inner.key, packet, self.volatile)
            })??;
            Ok::<_, EmitError>(observed)
        })?;
        self.observe(observed, false);
        Ok(())
    }

    /// Sends an event and returns a future that resolves to the server's acknowledgement, see
    /// [`Socket::emit_with_ack`].
    pub fn emit_with_ack<R: DeserializeOwned>(
        self,
        event: impl AsRef<str>,
        arguments: impl Serialize,
    ) -> AckFuture<R> {
        let (event, inner) = (event.as_ref(), &self.socket.inner);
        self.socket.start();
        let (waiter, receiver) = oneshot::channel();
        let socket = self.socket.clone();
        let failed = |error| AckFuture::new(self.socket.clone(), None, Err(AckError::NotSent(error)));
        if inner.has_retries && !self.volatile {
            return match self
                .encode_owned(event, &arguments)
                .map(|event| self.push_retry(event, Some(waiter)))
            {
                Ok(Ok(())) => AckFuture::new(socket, None, Ok(receiver)),
                Ok(Err((error, _))) => failed(error),
                Err(error) => failed(error.into()),
            };
        }
        let id = inner.next_ack_id();
        let options = self.ack_options();
        let parser = inner.client.parser.as_ref();
        let sent = with_encoder(|encoder| {
            prepare(parser, encoder);
            let message = encode::event(encoder, &inner.namespace, Some(id), event, &arguments)?;
            let message = message.with_compression(self.compress);
            let observed = self.observed(&message);
            let waiter = Waiter::Program(waiter);
            let (emitted, driver) = with_outgoing(parser, message, |packet| {
                inner.client.state().emit_with_ack(inner.key, id, packet, options, waiter)
            })?
            .map_err(|(error, _)| error)?;
            if emitted == Emitted::DroppedVolatile {
                return Err(EmitError::NotReady);
            }
            Ok((observed, driver))
        });
        match sent {
            Ok((observed, driver)) => {
                if let Some(driver) = driver {
                    driver.wake();
                }
                self.observe(observed, true);
                AckFuture::new(socket, Some(id), Ok(receiver))
            }
            Err(error) => failed(error),
        }
    }

    /// Encodes an event so that it can be sent several times.
    fn encode_owned<T: Serialize>(&self, event: &str, arguments: &T) -> Result<Event<'static>, EncodeError> {
        with_encoder(|encoder| {
            prepare(self.socket.inner.client.parser.as_ref(), encoder);
            let message = encode::event(encoder, &self.socket.inner.namespace, None, event, arguments)?;
            decode_event(message.text(), message.attachments())
                .ok_or_else(|| EncodeError::Serialize { reason: "a key of an object is reserved".to_owned() })
        })
    }

    fn push_retry(
        &self,
        event: Event<'static>,
        waiter: Option<AckWaiter>,
    ) -> Result<(), (EmitError, Option<AckWaiter>)> {
        let (inner, options) = (&self.socket.inner, self.ack_options());
        let (observed, is_awaited) = (self.observes().then(|| event.clone()), waiter.is_some());
        let driver = inner.client.state().emit_with_retries(inner.key, event, options, waiter)?;
        if let Some(driver) = driver {
            driver.wake();
        }
        self.observe(observed, is_awaited);
        Ok(())
    }

    fn ack_options(&self) -> AckOptions {
        let timeout = self.timeout.or(self.socket.inner.ack_timeout);
        AckOptions { timeout, volatile: self.volatile, compress: self.compress }
    }

    fn observes(&self) -> bool {
        self.socket.inner.observes_outgoing()
    }

    fn observed(&self, message: &engineio_proto::EncodedMessage<'_>) -> Option<Event<'static>> {
        if self.observes() { decode_event(message.text(), message.attachments()) } else { None }
    }

    fn observe(&self, event: Option<Event<'static>>, is_ack_requested: bool) {
        if let Some(event) = event {
            self.socket.inner.observe_outgoing(ObservedEvent::new(&event, is_ack_requested));
        }
    }
}
