//! Sends events to the clients of a cluster from a program that is no server.

use std::fmt;
use std::sync::Arc;

use adapter::cluster::codec::{Publication, RedisCodec};
use adapter::cluster::{Message, Recipient};
use adapter::{BroadcastOptions, DeliveryPolicy, EncodedEvent, MessageEncoder, Room};
use serde::Serialize;
use socketio_proto::encode;
use tokio::sync::Mutex;

use crate::builder::{RedisAdapterBuilder, Settings};
use crate::connect::{ChannelCommand, Connection, Redis};
use crate::error::{ConfigError, ConnectError, EmitterError};

/// Sends events to the clients of a cluster from a program that is no server: what `@socket.io/redis-emitter` 5 does. The servers
/// must use the classic format.
///
/// ```no_run
/// use tidewire_adapter_redis::Emitter;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let emitter = Emitter::new("redis://127.0.0.1/")?;
/// emitter.emit("news", "hello").await?;
/// emitter.of("/chat").to("general").except("muted").volatile().emit("message", ("Ann", "hi")).await?;
/// emitter.in_("user 42").disconnect_sockets(true).await?;
/// # Ok(())
/// # }
/// ```
///
/// Each method waits until Redis has accepted the message, so the calls of one task keep their order. If there is no link, the next
/// call connects; it does not try again. Clones share one connection. The methods are not cancel safe: if a future is dropped, the
/// message may have been sent or not.
#[derive(Clone)]
pub struct Emitter {
    connection: Arc<EmitterConnection>,
    namespace: Arc<str>,
}

struct EmitterConnection {
    redis: Redis,
    settings: Settings,
    connection: Mutex<Option<Connection>>,
}

impl Emitter {
    /// Creates an emitter for the namespace `/`. It connects when it sends its first message.
    ///
    /// # Errors
    /// Returns an error if the URL is not valid.
    pub fn new(url: impl Into<String>) -> Result<Self, ConfigError> {
        Self::with_settings(RedisAdapterBuilder::new(url.into()))
    }

    /// Creates an emitter, and connects.
    ///
    /// # Errors
    /// Returns an error if the URL is not valid, or if Redis cannot be reached.
    pub async fn connect(url: impl Into<String>) -> Result<Self, ConnectError> {
        let emitter = Self::new(url)?;
        emitter.connection.connect().await?;
        Ok(emitter)
    }

    /// Creates an emitter with the [`key`](RedisAdapterBuilder::key), the
    /// [nodes](RedisAdapterBuilder::redis_cluster) and the timeouts of an adapter's settings.
    ///
    /// ```
    /// use tidewire_adapter_redis::{Emitter, RedisAdapter};
    ///
    /// let emitter = Emitter::with_settings(RedisAdapter::builder("redis://127.0.0.1/").key("game"))?;
    /// # Ok::<(), tidewire_adapter_redis::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// Returns an error if a URL is not valid.
    pub fn with_settings(builder: RedisAdapterBuilder) -> Result<Self, ConfigError> {
        let settings = builder.settings;
        let redis = Redis::new(&settings)?;
        let connection = EmitterConnection { redis, settings, connection: Mutex::new(None) };
        Ok(Self { connection: Arc::new(connection), namespace: "/".into() })
    }

    /// Returns an emitter for another namespace. As in Node, the slash at the beginning may be left out.
    #[must_use]
    pub fn of(&self, namespace: &str) -> Self {
        let slash = if namespace.starts_with('/') { "" } else { "/" };
        Self { connection: Arc::clone(&self.connection), namespace: format!("{slash}{namespace}").into() }
    }

    /// Selects the members of a room. Further calls add the members of more rooms.
    pub fn to(&self, room: impl Into<Room>) -> EmitterBroadcast {
        self.all().to(room)
    }

    /// Does the same as [`to`](Self::to). In Node: `in`, which is a keyword of Rust.
    pub fn in_(&self, room: impl Into<Room>) -> EmitterBroadcast {
        self.to(room)
    }

    /// Selects all sockets except the members of a room.
    pub fn except(&self, room: impl Into<Room>) -> EmitterBroadcast {
        self.all().except(room)
    }

    /// Makes the event volatile: see [`EmitterBroadcast::volatile`].
    pub fn volatile(&self) -> EmitterBroadcast {
        self.all().volatile()
    }

    /// Sets whether the event may be compressed: see [`EmitterBroadcast::compress`].
    pub fn compress(&self, compress: bool) -> EmitterBroadcast {
        self.all().compress(compress)
    }

    /// Sends an event to all clients of the namespace: see [`EmitterBroadcast::emit`].
    ///
    /// # Errors
    /// Returns an error if the event cannot be encoded, or if Redis has not accepted it.
    pub async fn emit(&self, event: impl AsRef<str>, arguments: impl Serialize) -> Result<(), EmitterError> {
        self.all().emit(event, arguments).await
    }

    /// Puts all sockets of the namespace into rooms.
    ///
    /// # Errors
    /// Returns an error if Redis has not accepted the message.
    pub async fn sockets_join(&self, rooms: &[&str]) -> Result<(), EmitterError> {
        self.all().sockets_join(rooms).await
    }

    /// Takes all sockets of the namespace out of rooms.
    ///
    /// # Errors
    /// Returns an error if Redis has not accepted the message.
    pub async fn sockets_leave(&self, rooms: &[&str]) -> Result<(), EmitterError> {
        self.all().sockets_leave(rooms).await
    }

    /// Disconnects all sockets of the namespace, with `close_connections` also their connections.
    ///
    /// # Errors
    /// Returns an error if Redis has not accepted the message.
    pub async fn disconnect_sockets(&self, close_connections: bool) -> Result<(), EmitterError> {
        self.all().disconnect_sockets(close_connections).await
    }

    /// Sends an event to the programs of all servers. There are no responses.
    ///
    /// # Errors
    /// Returns an error if the event cannot be encoded, or if Redis has not accepted it.
    pub async fn server_side_emit(
        &self,
        event: impl AsRef<str>,
        arguments: impl Serialize,
    ) -> Result<(), EmitterError> {
        let event = self.encode(event.as_ref(), &arguments, true)?;
        self.publish(&Message::ServerSideEmit { event, request: None }).await
    }

    fn all(&self) -> EmitterBroadcast {
        EmitterBroadcast { emitter: self.clone(), options: BroadcastOptions::new(), compress: true }
    }

    fn encode(
        &self,
        event: &str,
        arguments: &impl Serialize,
        compress: bool,
    ) -> Result<EncodedEvent, EmitterError> {
        let mut encoder = MessageEncoder::new();
        let message = encode::event(&mut encoder, &self.namespace, None, event, arguments)?;
        Ok(message.with_compression(compress).into())
    }

    async fn publish(&self, message: &Message) -> Result<(), EmitterError> {
        let codec = RedisCodec::emitter(&self.connection.settings.key, &self.namespace);
        let publication = codec.encode(&Recipient::All, message)?;
        self.connection.publish(publication).await
    }
}

impl EmitterConnection {
    async fn connect(&self) -> Result<Connection, redis::RedisError> {
        let mut current = self.connection.lock().await;
        if let Some(connection) = &*current {
            return Ok(connection.clone());
        }
        let connection = self.redis.connect(&self.settings).await?;
        Ok(current.insert(connection).clone())
    }

    async fn publish(&self, Publication { channel, payload }: Publication) -> Result<(), EmitterError> {
        let mut connection = self.connect().await?;
        let command = ChannelCommand { name: "PUBLISH", channel, payload: Some(payload) };
        match connection.send(vec![command]).await {
            Ok(values) => match values.into_iter().next() {
                Some(redis::Value::ServerError(error)) => Err(redis::RedisError::from(error).into()),
                _ => Ok(()),
            },
            Err(error) => {
                // The next call connects again.
                *self.connection.lock().await = None;
                Err(error.into())
            }
        }
    }
}

impl fmt::Debug for Emitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emitter").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// Sends to the clients that it selects. Created by [`Emitter::to`] and similar methods.
#[derive(Debug, Clone)]
#[must_use = "nothing is sent before `emit`"]
pub struct EmitterBroadcast {
    emitter: Emitter,
    options: BroadcastOptions,
    compress: bool,
}

impl EmitterBroadcast {
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
    /// Returns an error if the event cannot be encoded, or if Redis has not accepted it.
    pub async fn emit(self, event: impl AsRef<str>, arguments: impl Serialize) -> Result<(), EmitterError> {
        let event = self.emitter.encode(event.as_ref(), &arguments, self.compress)?;
        let message = Message::Broadcast { event, options: self.options, ack: None, sequence: None };
        self.emitter.publish(&message).await
    }

    /// Puts the selected sockets into rooms.
    ///
    /// # Errors
    /// Returns an error if Redis has not accepted the message.
    pub async fn sockets_join(self, rooms: &[&str]) -> Result<(), EmitterError> {
        let rooms = rooms.iter().map(|room| (*room).into()).collect();
        self.emitter.publish(&Message::SocketsJoin { options: self.options, rooms }).await
    }

    /// Takes the selected sockets out of rooms.
    ///
    /// # Errors
    /// Returns an error if Redis has not accepted the message.
    pub async fn sockets_leave(self, rooms: &[&str]) -> Result<(), EmitterError> {
        let rooms = rooms.iter().map(|room| (*room).into()).collect();
        self.emitter.publish(&Message::SocketsLeave { options: self.options, rooms }).await
    }

    /// Disconnects the selected sockets, with `close_connections` also their connections.
    ///
    /// # Errors
    /// Returns an error if Redis has not accepted the message.
    pub async fn disconnect_sockets(self, close_connections: bool) -> Result<(), EmitterError> {
        let message =
            Message::DisconnectSockets { options: self.options, close_connection: close_connections };
        self.emitter.publish(&message).await
    }
}
