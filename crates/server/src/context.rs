//! What a handler is called with, before its extractors have taken it apart.

use std::any::Any;

use rustc_hash::FxHashMap;
use socketio_proto::Arguments;
use std::any::TypeId;
use std::sync::Arc;

use crate::error::{ErrorReply, HandlerError};
use crate::reason::DisconnectReason;
use crate::server::Server;
use crate::socket::Socket;

/// What happened: the source of all extractors.
#[derive(Debug)]
pub struct Context<'a> {
    pub(crate) server: &'a Server,
    pub(crate) socket: &'a Socket,
    pub(crate) event: Option<Incoming<'a>>,
    pub(crate) departure: Option<Departure>,
}

/// How a socket is gone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Departure {
    pub(crate) reason: DisconnectReason,
    /// Events that were received and not started.
    pub(crate) dropped: usize,
}

/// An event that has come.
#[derive(Debug)]
pub(crate) struct Incoming<'a> {
    pub(crate) name: &'a str,
    pub(crate) arguments: &'a Arguments<'a>,
    /// Where the acknowledgement goes, if one was asked for and no extractor has taken it.
    pub(crate) responder: Option<Responder>,
}

/// On which occasion a handler is called; some extractors exist on some occasions only.
pub trait Kind: sealed::Sealed + 'static {}

/// A client joins: middleware and `on_connection` handlers.
#[derive(Debug)]
pub enum OnConnection {}

/// An event has come.
#[derive(Debug)]
pub enum OnEvent {}

/// A socket is gone.
#[derive(Debug)]
pub enum OnDisconnect {}

impl Kind for OnConnection {}
impl Kind for OnEvent {}
impl Kind for OnDisconnect {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::OnConnection {}
    impl Sealed for super::OnEvent {}
    impl Sealed for super::OnDisconnect {}
}

/// The right to acknowledge one event, once. Dropped by a handler that panics, it tells the client so.
#[derive(Debug)]
pub(crate) struct Responder {
    socket: Socket,
    id: u64,
    answered: bool,
}

impl Responder {
    pub(crate) fn new(socket: Socket, id: u64) -> Self {
        Self { socket, id, answered: false }
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Sends the acknowledgement.
    pub(crate) fn send<T: serde::Serialize>(mut self, value: &T) -> Result<(), HandlerError> {
        self.answered = true;
        Ok(self.socket.send_ack(self.id, value)?)
    }

    /// Sends what a failed handler has for the client.
    pub(crate) fn fail(mut self, error: &HandlerError) {
        self.send_error(error.message());
    }

    fn send_error(&mut self, error: &str) {
        self.answered = true;
        let _ = self.socket.send_ack(self.id, &ErrorReply { error });
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if !self.answered && std::thread::panicking() {
            self.send_error(HandlerError::FAILED);
        }
    }
}

/// Values of the program, by type: [`State`](crate::State).
pub(crate) type States = FxHashMap<TypeId, Arc<dyn Any + Send + Sync>>;
