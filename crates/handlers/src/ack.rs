//! Acknowledgements: who sends them, and the extractor that owns one.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use engineio_proto::EncodedMessage;
use serde::Serialize;
use socketio_proto::encode;

use crate::context::{HandlerContext, OnEvent};
use crate::encoder::with_encoder;
use crate::error::{ErrorReply, HandlerError};
use crate::extract::Extract;
use crate::side::Side;

/// What the clones of a socket share: it sends acknowledgements, and tells the program what went wrong.
pub trait Acknowledge: Send + Sync + 'static {
    /// The namespace of the socket.
    fn namespace(&self) -> &str;

    /// Sends an encoded acknowledgement. One for a peer that is gone is dropped.
    fn send_ack(&self, message: EncodedMessage<'_>);

    /// Reports what went wrong to the program's error hook, with the name of the event if it was one.
    fn report_error(self: Arc<Self>, error: &HandlerError, event: Option<&str>);
}

/// The right to acknowledge one event, once. Dropped by a handler that panics, it tells the peer that the handler
/// failed.
pub struct AckSender<A: Acknowledge + ?Sized> {
    /// `None` when the acknowledgement has been sent.
    socket: Option<Arc<A>>,
    id: u64,
}

impl<A: Acknowledge + ?Sized> AckSender<A> {
    pub(crate) fn new(socket: Arc<A>, id: u64) -> Self {
        Self { socket: Some(socket), id }
    }

    /// Sends the acknowledgement. If it cannot be encoded, the peer is told that the handler failed.
    pub(crate) fn send<T: Serialize>(self, value: &T) -> Result<(), HandlerError> {
        self.try_send(value).map_err(|(error, _)| error)
    }

    /// The same; an error comes with the socket, for those who report it.
    fn try_send<T: Serialize>(mut self, value: &T) -> Result<(), (HandlerError, Option<Arc<A>>)> {
        let Some(socket) = self.socket.as_deref() else { return Ok(()) };
        // The socket stays here until then: if the program's `Serialize` panics, the peer is told by `drop`.
        let sent = send_ack(socket, self.id, value);
        if sent.is_err() {
            let _ = send_ack(socket, self.id, &ErrorReply { error: HandlerError::INTERNAL_MESSAGE });
        }
        let socket = self.socket.take();
        sent.map_err(|error| (error, socket))
    }

    /// Sends what a failed handler has for the peer.
    pub(crate) fn send_handler_error(mut self, error: &HandlerError) {
        self.send_error(error.message());
    }

    fn send_error(&mut self, error: &str) {
        if let Some(socket) = self.socket.take() {
            let _ = send_ack(&*socket, self.id, &ErrorReply { error });
        }
    }

    /// Gives the right up, and the id of the acknowledgement.
    fn into_id(mut self) -> u64 {
        self.socket = None;
        self.id
    }

    /// Tells the program, and sends nothing.
    fn report(mut self, error: &HandlerError) {
        if let Some(socket) = self.socket.take() {
            socket.report_error(error, None);
        }
    }
}

impl<A: Acknowledge> AckSender<A> {
    /// The same without the type of the socket. It costs no memory.
    fn erase(mut self) -> AckSender<dyn Acknowledge> {
        let socket = self.socket.take();
        AckSender { socket: socket.map(|socket| socket as Arc<dyn Acknowledge>), id: self.id }
    }
}

fn send_ack<A, T>(socket: &A, id: u64, value: &T) -> Result<(), HandlerError>
where
    A: Acknowledge + ?Sized,
    T: Serialize,
{
    with_encoder(|encoder| {
        socket.send_ack(encode::ack(encoder, socket.namespace(), id, value)?);
        Ok(())
    })
}

impl<A: Acknowledge + ?Sized> Drop for AckSender<A> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.send_error(HandlerError::INTERNAL_MESSAGE);
        }
    }
}

impl<A: Acknowledge + ?Sized> fmt::Debug for AckSender<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The acknowledgement of an event, to be sent when the handler wants; its return value is ignored then.
///
/// Where the peer did not ask for an acknowledgement, sending does nothing. An `Ack` that is dropped unsent although
/// the peer waits is reported to the error hook.
#[derive(Debug)]
pub struct Ack<T = ()> {
    /// It names no side, so that `Ack<T>` is the same type on both.
    sender: Option<AckSender<dyn Acknowledge>>,
    marker: PhantomData<fn(T)>,
}

impl<T: Serialize> Ack<T> {
    /// Sends the acknowledgement. A tuple is a list of values, `()` is none.
    ///
    /// A value that cannot be encoded is reported to the error hook, and the peer is told that the handler failed.
    pub fn send(mut self, value: T) {
        if let Some(responder) = self.sender.take()
            && let Err((error, Some(socket))) = responder.try_send(&value)
        {
            socket.report_error(&error, None);
        }
    }
}

impl<T> Ack<T> {
    /// Whether the peer asked for an acknowledgement.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.sender.is_some()
    }
}

impl<T> Drop for Ack<T> {
    fn drop(&mut self) {
        // A panic is reported as such, and told to the peer by the responder.
        if let Some(responder) = self.sender.take()
            && !std::thread::panicking()
        {
            responder.report(&HandlerError::new("an acknowledgement was dropped unsent"));
        }
    }
}

impl<S: Side, T: 'static> Extract<OnEvent<S>> for Ack<T> {
    fn extract(context: &mut HandlerContext<'_, S>) -> Result<Self, HandlerError> {
        let responder = context.take_ack_sender().map(AckSender::erase);
        Ok(Self { sender: responder, marker: PhantomData })
    }

    fn restore(mut self, context: &mut HandlerContext<'_, S>) {
        if let Some(responder) = self.sender.take() {
            let id = responder.into_id();
            context.restore_ack_sender(id);
        }
    }
}
