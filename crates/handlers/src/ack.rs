//! Acknowledgements: the trait of sockets that send them, and the extractor [`Ack`].

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use engineio_proto::{EncodedMessage, MessageEncoder};
use serde::Serialize;
use socketio_proto::encode;

use crate::context::{HandlerContext, OnEvent};
use crate::encoder::with_encoder;
use crate::error::{ErrorReply, HandlerError};
use crate::extract::Extract;
use crate::side::Side;

/// The part of a socket that its clones share. It sends acknowledgements and reports errors to the program.
pub trait Acknowledge: Send + Sync + 'static {
    /// Returns the name of the socket's namespace.
    fn namespace(&self) -> &str;

    /// Called before each acknowledgement is encoded. The default does nothing.
    fn prepare_encoder(&self, encoder: &mut MessageEncoder) {
        let _ = encoder;
    }

    /// Sends an encoded acknowledgement. Drops it if the peer is disconnected.
    fn send_ack(&self, message: EncodedMessage<'_>);

    /// Returns whether the peer is disconnected. It is then no error that an acknowledgement was not sent. The default
    /// returns `false`.
    fn is_disconnected(&self) -> bool {
        false
    }

    /// Returns the error that the peer learns of, see [`ErrorMap`](crate::ErrorMap). The default returns the error
    /// unchanged.
    fn map_error(&self, error: HandlerError) -> HandlerError {
        error
    }

    /// Reports an error to the program's error hook. `event` is the name of the event, if the error belongs to one.
    fn report_error(self: Arc<Self>, error: &HandlerError, event: Option<&str>);
}

/// Sends the acknowledgement of one event, once. If it is dropped during a panic, it tells the peer that the handler
/// failed.
pub struct AckSender<A: Acknowledge + ?Sized> {
    /// `None` after the acknowledgement was sent.
    socket: Option<Arc<A>>,
    id: u64,
}

impl<A: Acknowledge + ?Sized> AckSender<A> {
    /// Creates the sender of the acknowledgement with this id.
    #[must_use]
    pub fn new(socket: Arc<A>, id: u64) -> Self {
        Self { socket: Some(socket), id }
    }

    /// Sends the acknowledgement. If it cannot be encoded, the peer is told that the handler failed.
    pub(crate) fn send<T: Serialize>(self, value: &T) -> Result<(), HandlerError> {
        self.try_send(value).map_err(|(error, _)| error)
    }

    /// Like [`send`](Self::send), but also returns the socket with an error, so that the caller can report it.
    fn try_send<T: Serialize>(mut self, value: &T) -> Result<(), (HandlerError, Option<Arc<A>>)> {
        let Some(socket) = self.socket.as_deref() else { return Ok(()) };
        // The socket is taken only after the call: if the program's `Serialize` panics, `drop` still needs it to tell
        // the peer.
        let sent = send_ack(socket, self.id, value);
        if sent.is_err() {
            let _ = send_ack(socket, self.id, &ErrorReply::INTERNAL);
        }
        let socket = self.socket.take();
        sent.map_err(|error| (error, socket))
    }

    /// Sends what the peer learns of a handler's error, and returns that error.
    pub(crate) fn send_handler_error(mut self, error: HandlerError) -> HandlerError {
        let error = match &self.socket {
            Some(socket) => socket.map_error(error),
            None => error,
        };
        self.send_error(&error.reply());
        error
    }

    fn send_error(&mut self, error: &ErrorReply<'_>) {
        if let Some(socket) = self.socket.take() {
            let _ = send_ack(&*socket, self.id, error);
        }
    }

    /// Returns the id without sending an acknowledgement.
    fn into_id(mut self) -> u64 {
        self.socket = None;
        self.id
    }

    /// Reports to the program that the acknowledgement was not sent. Sends nothing to the peer. After the disconnect this
    /// is no error, because the peer would not receive it.
    fn report_unsent(mut self) {
        if let Some(socket) = self.socket.take()
            && !socket.is_disconnected()
        {
            let error = HandlerError::new("an `Ack` was dropped before its acknowledgement was sent");
            socket.report_error(&error, None);
        }
    }
}

impl<A: Acknowledge> AckSender<A> {
    /// Erases the type of the socket. This does not allocate.
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
        socket.prepare_encoder(encoder);
        socket.send_ack(encode::ack(encoder, socket.namespace(), id, value)?);
        Ok(())
    })
}

impl<A: Acknowledge + ?Sized> Drop for AckSender<A> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.send_error(&ErrorReply::INTERNAL);
        }
    }
}

impl<A: Acknowledge + ?Sized> fmt::Debug for AckSender<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AckSender").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Sends the acknowledgement of an event at a time that the handler chooses. The return value of a handler that takes
/// it is ignored.
///
/// If the peer did not request an acknowledgement, [`send`](Self::send) does nothing. If the peer requested one, and
/// the `Ack` is dropped before `send` is called, the error hook is called, unless the peer has disconnected meanwhile.
///
/// A server that shuts down waits for handlers that owe an acknowledgement, but not for an `Ack` that a handler has passed
/// to a task. To have the server wait for the task too, await it in the handler, and register the handler as `concurrent`
/// if later events must not wait.
#[derive(Debug)]
pub struct Ack<T = ()> {
    /// The type of the socket is erased, so that `Ack<T>` is the same type on both sides.
    sender: Option<AckSender<dyn Acknowledge>>,
    marker: PhantomData<fn(T)>,
}

impl<T: Serialize> Ack<T> {
    /// Sends the acknowledgement. A tuple is a list of values, and `()` is an empty list.
    ///
    /// If the value cannot be encoded, the error hook is called, and the peer is told that the handler failed.
    pub fn send(mut self, value: T) {
        if let Some(ack_sender) = self.sender.take()
            && let Err((error, Some(socket))) = ack_sender.try_send(&value)
        {
            socket.report_error(&error, None);
        }
    }
}

impl<T> Ack<T> {
    /// Returns whether the peer requested an acknowledgement.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.sender.is_some()
    }

    /// Changes the type of the values of the acknowledgement.
    #[must_use]
    pub fn cast<U>(mut self) -> Ack<U> {
        Ack { sender: self.sender.take(), marker: PhantomData }
    }
}

impl<T> Drop for Ack<T> {
    fn drop(&mut self) {
        // In a panic, the panic itself is reported, and `AckSender` tells the peer.
        if let Some(ack_sender) = self.sender.take()
            && !std::thread::panicking()
        {
            ack_sender.report_unsent();
        }
    }
}

impl<S: Side, T: 'static> Extract<OnEvent<S>> for Ack<T> {
    fn extract(context: &mut HandlerContext<'_, S>) -> Result<Self, HandlerError> {
        let sender = context.take_ack_sender().map(AckSender::erase);
        Ok(Self { sender, marker: PhantomData })
    }

    fn restore(mut self, context: &mut HandlerContext<'_, S>) {
        if let Some(ack_sender) = self.sender.take() {
            context.restore_ack_sender(ack_sender.into_id());
        }
    }
}
