//! Sends to the clients of a cluster from a program that is no server.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use engineio_proto::MessageEncoder;
use serde::Serialize;
use socketio_proto::{EncodeError, EncodedEvent, encode};

use super::Message;
use crate::options::{BroadcastOptions, DeliveryPolicy};
use crate::room::Room;

/// The connection of an [`Emitter`] to the message bus. A driver implements it.
pub trait Publish: Send + Sync {
    /// Why a message was not sent.
    type Error: From<EncodeError>;

    /// Sends a message to all servers, in a namespace. Ready when the message bus has the message. If there is no link, it
    /// connects.
    fn publish(
        &self,
        namespace: &str,
        message: &Message,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// A message bus that a URL describes, for [`Emitter::connect`].
pub trait Connect: Publish + Sized {
    /// Why the message bus cannot be used.
    type ConnectError;

    /// Connects with default options.
    fn connect(url: String) -> impl Future<Output = Result<Self, Self::ConnectError>> + Send;
}

/// Sends to the clients and the servers of a cluster from a program that is no server. The drivers for databases name their
/// own `Emitter`, which is this one.
///
/// It has the methods that need no reply. Each one returns when the message bus has the message, so the calls of one task
/// keep their order. If the link is lost, the next call connects again. Clones share the connection. If a future is dropped,
/// the message may have been sent or not.
///
/// ```
/// use std::sync::Mutex;
///
/// use tidewire_adapter::EncodeError;
/// use tidewire_adapter::cluster::{Emitter, Message, Publish};
///
/// /// Keeps the messages.
/// #[derive(Default)]
/// struct Kept(Mutex<Vec<(String, Message)>>);
///
/// impl Publish for Kept {
///     type Error = EncodeError;
///
///     async fn publish(&self, namespace: &str, message: &Message) -> Result<(), EncodeError> {
///         self.0.lock().expect("nothing panics").push((namespace.to_owned(), message.clone()));
///         Ok(())
///     }
/// }
///
/// # async fn run() -> Result<(), EncodeError> {
/// let emitter = Emitter::new(Kept::default());
/// emitter.emit("news", "hello").await?;
/// emitter.of("/chat").to("general").except("muted").volatile().emit("message", ("Ann", "hi")).await?;
/// emitter.in_("user 42").disconnect_sockets(true).await?;
/// # Ok(())
/// # }
/// ```
pub struct Emitter<P> {
    connection: Arc<P>,
    namespace: Arc<str>,
}

impl<P: Connect> Emitter<P> {
    /// Creates an emitter for the namespace `/`, and connects to the message bus with default options.
    ///
    /// # Errors
    /// Returns an error if the URL is not valid, or if the message bus cannot be used now.
    pub async fn connect(url: impl Into<String>) -> Result<Self, P::ConnectError> {
        P::connect(url.into()).await.map(Self::new)
    }
}

impl<P: Publish> Emitter<P> {
    /// Creates an emitter for the namespace `/`.
    #[must_use]
    pub fn new(connection: P) -> Self {
        Self { connection: Arc::new(connection), namespace: "/".into() }
    }

    /// Returns an emitter for another namespace, with the same connection. As in Node, the slash at the beginning may be left
    /// out.
    #[must_use]
    pub fn of(&self, namespace: &str) -> Self {
        let slash = if namespace.starts_with('/') { "" } else { "/" };
        Self { connection: Arc::clone(&self.connection), namespace: format!("{slash}{namespace}").into() }
    }

    /// Selects all sockets of the namespace.
    pub fn broadcast(&self) -> EmitterBroadcast<P> {
        EmitterBroadcast { emitter: self.clone(), options: BroadcastOptions::new(), compress: true }
    }

    /// Selects the members of a room. Further calls add the members of more rooms.
    pub fn to(&self, room: impl Into<Room>) -> EmitterBroadcast<P> {
        self.broadcast().to(room)
    }

    /// Does the same as [`to`](Self::to). In Node: `in`, which is a keyword of Rust.
    pub fn in_(&self, room: impl Into<Room>) -> EmitterBroadcast<P> {
        self.to(room)
    }

    /// Selects all sockets except the members of a room.
    pub fn except(&self, room: impl Into<Room>) -> EmitterBroadcast<P> {
        self.broadcast().except(room)
    }

    /// Makes the event volatile: see [`EmitterBroadcast::volatile`].
    pub fn volatile(&self) -> EmitterBroadcast<P> {
        self.broadcast().volatile()
    }

    /// Sets whether the event may be compressed: see [`EmitterBroadcast::compress`].
    pub fn compress(&self, compress: bool) -> EmitterBroadcast<P> {
        self.broadcast().compress(compress)
    }

    /// Sends an event to all clients of the namespace. A tuple is a list of arguments, anything else is one argument.
    ///
    /// # Errors
    /// Returns an error if the event cannot be encoded, or if the message bus has not accepted it.
    pub async fn emit(&self, event: impl AsRef<str>, arguments: impl Serialize) -> Result<(), P::Error> {
        self.broadcast().emit(event, arguments).await
    }

    /// Puts all sockets of the namespace into rooms.
    ///
    /// # Errors
    /// Returns an error if the message bus has not accepted the message.
    pub async fn sockets_join(
        &self,
        rooms: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<(), P::Error> {
        self.broadcast().sockets_join(rooms).await
    }

    /// Takes all sockets of the namespace out of rooms.
    ///
    /// # Errors
    /// Returns an error if the message bus has not accepted the message.
    pub async fn sockets_leave(
        &self,
        rooms: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<(), P::Error> {
        self.broadcast().sockets_leave(rooms).await
    }

    /// Disconnects all sockets of the namespace, with `close_connections` also their connections.
    ///
    /// # Errors
    /// Returns an error if the message bus has not accepted the message.
    pub async fn disconnect_sockets(&self, close_connections: bool) -> Result<(), P::Error> {
        self.broadcast().disconnect_sockets(close_connections).await
    }

    /// Sends an event to the programs of all servers. Clients do not receive it, and there are no responses.
    ///
    /// # Errors
    /// Returns an error if the event cannot be encoded, or if the message bus has not accepted it.
    pub async fn server_side_emit(
        &self,
        event: impl AsRef<str>,
        arguments: impl Serialize,
    ) -> Result<(), P::Error> {
        let event = self.encode(event.as_ref(), &arguments, true)?;
        self.publish(Message::ServerSideEmit { event, request: None }).await
    }

    fn encode(
        &self,
        event: &str,
        arguments: &impl Serialize,
        compress: bool,
    ) -> Result<EncodedEvent, EncodeError> {
        let mut encoder = MessageEncoder::new();
        let message = encode::event(&mut encoder, &self.namespace, None, event, arguments)?;
        Ok(message.with_compression(compress).into())
    }

    async fn publish(&self, message: Message) -> Result<(), P::Error> {
        self.connection.publish(&self.namespace, &message).await
    }
}

impl<P> Clone for Emitter<P> {
    fn clone(&self) -> Self {
        Self { connection: Arc::clone(&self.connection), namespace: Arc::clone(&self.namespace) }
    }
}

impl<P> fmt::Debug for Emitter<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emitter").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// Sends to the sockets that it selects. Created by [`Emitter::to`] and similar methods.
#[must_use = "nothing is sent before `emit`"]
pub struct EmitterBroadcast<P> {
    emitter: Emitter<P>,
    options: BroadcastOptions,
    compress: bool,
}

impl<P: Publish> EmitterBroadcast<P> {
    /// Adds the members of a room to the selection.
    pub fn to(mut self, room: impl Into<Room>) -> Self {
        let room = room.into();
        if !self.options.rooms.contains(&room) {
            self.options.rooms.push(room);
        }
        self
    }

    /// Does the same as [`to`](Self::to).
    pub fn in_(self, room: impl Into<Room>) -> Self {
        self.to(room)
    }

    /// Excludes the members of a room.
    pub fn except(mut self, room: impl Into<Room>) -> Self {
        let room = room.into();
        if !self.options.except.contains(&room) {
            self.options.except.push(room);
        }
        self
    }

    /// Makes the event volatile: a client whose connection is not ready does not get it.
    pub fn volatile(mut self) -> Self {
        self.options.policy = DeliveryPolicy::Volatile;
        self
    }

    /// Sets whether the event may be compressed on its way to the clients. Default `true`.
    pub fn compress(mut self, compress: bool) -> Self {
        self.compress = compress;
        self
    }

    /// Sends an event. A tuple is a list of arguments, anything else is one argument.
    ///
    /// # Errors
    /// Returns an error if the event cannot be encoded, or if the message bus has not accepted it.
    pub async fn emit(self, event: impl AsRef<str>, arguments: impl Serialize) -> Result<(), P::Error> {
        let event = self.emitter.encode(event.as_ref(), &arguments, self.compress)?;
        let message = Message::Broadcast { event, options: self.options, ack: None, sequence: None };
        self.emitter.publish(message).await
    }

    /// Puts the selected sockets into rooms.
    ///
    /// # Errors
    /// Returns an error if the message bus has not accepted the message.
    pub async fn sockets_join(
        self,
        rooms: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<(), P::Error> {
        let rooms = names(rooms);
        self.emitter.publish(Message::SocketsJoin { options: self.options, rooms }).await
    }

    /// Takes the selected sockets out of rooms.
    ///
    /// # Errors
    /// Returns an error if the message bus has not accepted the message.
    pub async fn sockets_leave(
        self,
        rooms: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<(), P::Error> {
        let rooms = names(rooms);
        self.emitter.publish(Message::SocketsLeave { options: self.options, rooms }).await
    }

    /// Disconnects the selected sockets, with `close_connections` also their connections.
    ///
    /// # Errors
    /// Returns an error if the message bus has not accepted the message.
    pub async fn disconnect_sockets(self, close_connections: bool) -> Result<(), P::Error> {
        let message =
            Message::DisconnectSockets { options: self.options, close_connection: close_connections };
        self.emitter.publish(message).await
    }
}

impl<P> Clone for EmitterBroadcast<P> {
    fn clone(&self) -> Self {
        let Self { emitter, options, compress } = self;
        Self { emitter: emitter.clone(), options: options.clone(), compress: *compress }
    }
}

impl<P> fmt::Debug for EmitterBroadcast<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmitterBroadcast")
            .field("emitter", &self.emitter)
            .field("options", &self.options)
            .field("compress", &self.compress)
            .finish()
    }
}

fn names(rooms: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<Box<str>> {
    rooms.into_iter().map(|room| room.as_ref().into()).collect()
}
