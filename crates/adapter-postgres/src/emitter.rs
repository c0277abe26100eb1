//! Sends to the clients of a cluster from a program that is no server.

use std::fmt;
use std::sync::Arc;

use adapter::cluster::Message;
use adapter::cluster::codec::{Notification, PostgresCodec};
use adapter::{BroadcastOptions, DeliveryPolicy, EncodedEvent, MessageEncoder, Room};
use serde::Serialize;
use socketio_proto::encode;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_postgres::Client;

use crate::builder::{Options, PostgresAdapterBuilder};
use crate::connection::Connector;
use crate::error::{ConnectError, EmitterError};
use crate::sql::{self, Table};

/// Sends to the clients and the servers of a cluster over PostgreSQL, like `@socket.io/postgres-emitter`. Cheap to clone: all clones
/// share a connection.
///
/// It has the methods that need no reply. Each one returns when PostgreSQL has the message. If the connection is lost, the next
/// call opens another one.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use tidewire_adapter_postgres::Emitter;
///
/// let io = Emitter::connect("postgres://user:password@db.example/app").await?;
/// io.emit("news", "it works").await?;
/// io.of("/chat").to("general").except("muted").emit("message", ("Ann", "hello")).await?;
/// io.in_("suspended").disconnect_sockets(true).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Emitter {
    shared: Arc<Shared>,
    namespace: Box<str>,
}

struct Shared {
    options: Options,
    connector: Connector,
    table: Table,
    client: Mutex<Option<Client>>,
}

/// Selects the sockets of an operation of a [`Emitter`].
#[derive(Debug, Clone)]
#[must_use = "it does nothing by itself"]
pub struct EmitterBroadcast {
    emitter: Emitter,
    options: BroadcastOptions,
    compress: bool,
}

impl Emitter {
    /// Connects to the database, with default options.
    ///
    /// # Errors
    /// Returns an error if the URL is not valid, or if the database cannot be used now.
    pub async fn connect(url: impl Into<String>) -> Result<Self, ConnectError> {
        PostgresAdapterBuilder::new(url.into()).connect_emitter().await
    }

    /// Returns an emitter for another namespace, with the same options. As in Node, a slash is added if it is missing.
    #[must_use]
    pub fn of(&self, namespace: &str) -> Self {
        let slash = if namespace.starts_with('/') { "" } else { "/" };
        Self { shared: Arc::clone(&self.shared), namespace: format!("{slash}{namespace}").into() }
    }

    /// Selects all sockets of the namespace.
    pub fn broadcast(&self) -> EmitterBroadcast {
        EmitterBroadcast { emitter: self.clone(), options: BroadcastOptions::new(), compress: true }
    }

    /// Selects the members of a room. Further calls select more rooms.
    pub fn to(&self, room: impl Into<Room>) -> EmitterBroadcast {
        self.broadcast().to(room)
    }

    /// The same as [`to`](Self::to).
    pub fn in_(&self, room: impl Into<Room>) -> EmitterBroadcast {
        self.to(room)
    }

    /// Selects all sockets except the members of a room.
    pub fn except(&self, room: impl Into<Room>) -> EmitterBroadcast {
        self.broadcast().except(room)
    }

    /// Sends an event to all clients of the namespace. A tuple is a list of arguments, anything else is one argument.
    ///
    /// # Errors
    /// Returns an error if PostgreSQL does not confirm the message.
    pub async fn emit<T: Serialize>(&self, event: impl AsRef<str>, arguments: T) -> Result<(), EmitterError> {
        self.broadcast().emit(event, arguments).await
    }

    /// Sends an event to the programs of the servers. Clients do not receive it.
    ///
    /// # Errors
    /// Returns an error if PostgreSQL does not confirm the message.
    pub async fn server_side_emit<T: Serialize>(
        &self,
        event: impl AsRef<str>,
        arguments: T,
    ) -> Result<(), EmitterError> {
        let event = self.encode(event.as_ref(), &arguments, true)?;
        self.send(Message::ServerSideEmit { event, request: None }).await
    }

    fn encode<T: Serialize>(
        &self,
        event: &str,
        arguments: &T,
        compress: bool,
    ) -> Result<EncodedEvent, EmitterError> {
        let mut encoder = MessageEncoder::new();
        let message = encode::event(&mut encoder, &self.namespace, None, event, arguments)?;
        Ok(message.with_compression(compress).into())
    }

    /// Cancel safe: the message was sent or not.
    async fn send(&self, message: Message) -> Result<(), EmitterError> {
        let Shared { options, connector, table, client } = &*self.shared;
        let codec = PostgresCodec::emitter(&options.channel_prefix, &self.namespace)
            .with_max_payload(options.max_payload());
        if !sql::is_channel(codec.channel()) {
            return Err(EmitterError::Channel { len: codec.channel().len() });
        }
        let notification = codec.encode(&message)?;
        // Held until PostgreSQL has answered, so that messages keep their order.
        let mut client = client.lock().await;
        if client.as_ref().is_none_or(Client::is_closed) {
            *client = Some(connector.open(table).await?);
        }
        let Some(connected) = client.as_ref() else { return Ok(()) };
        let sent = timeout(options.response_timeout, publish(connected, table, &notification)).await;
        if sent.is_err() {
            *client = None;
        }
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(EmitterError::Database((&error).into())),
            Err(_) => Err(EmitterError::TimedOut(options.response_timeout)),
        }
    }
}

async fn publish(
    client: &Client,
    table: &Table,
    notification: &Notification,
) -> Result<(), tokio_postgres::Error> {
    match notification {
        Notification::Payload(publication) => {
            let payload = String::from_utf8_lossy(&publication.payload);
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 2] =
                [&publication.channel, &payload];
            client.execute("SELECT pg_notify($1, $2)", &parameters).await?;
        }
        Notification::Row(row) => {
            let (before, after) = row.payload_around_id();
            client.execute(&table.insert, &[&row.content, &row.channel(), &before, &after]).await?;
        }
    }
    Ok(())
}

impl EmitterBroadcast {
    /// Selects the members of a further room.
    pub fn to(mut self, room: impl Into<Room>) -> Self {
        self.options = self.options.to(room);
        self
    }

    /// The same as [`to`](Self::to).
    pub fn in_(self, room: impl Into<Room>) -> Self {
        self.to(room)
    }

    /// Excludes the members of a room.
    pub fn except(mut self, room: impl Into<Room>) -> Self {
        self.options = self.options.except(room);
        self
    }

    /// Drops the event for clients that are behind.
    pub fn volatile(mut self) -> Self {
        self.options.policy = DeliveryPolicy::Volatile;
        self
    }

    /// Sets whether servers may compress the event. Default `true`.
    pub fn compress(mut self, compress: bool) -> Self {
        self.compress = compress;
        self
    }

    /// Sends an event to the clients. See [`Emitter::emit`].
    ///
    /// # Errors
    /// Returns an error if PostgreSQL does not confirm the message.
    pub async fn emit<T: Serialize>(self, event: impl AsRef<str>, arguments: T) -> Result<(), EmitterError> {
        let event = self.emitter.encode(event.as_ref(), &arguments, self.compress)?;
        let options = self.options;
        self.emitter.send(Message::Broadcast { event, options, ack: None, sequence: None }).await
    }

    /// Puts the sockets into rooms.
    ///
    /// # Errors
    /// Returns an error if PostgreSQL does not confirm the message.
    pub async fn sockets_join<R: Into<Box<str>>>(
        self,
        rooms: impl IntoIterator<Item = R>,
    ) -> Result<(), EmitterError> {
        let rooms = rooms.into_iter().map(Into::into).collect();
        self.emitter.send(Message::SocketsJoin { options: self.options, rooms }).await
    }

    /// Takes the sockets out of rooms.
    ///
    /// # Errors
    /// Returns an error if PostgreSQL does not confirm the message.
    pub async fn sockets_leave<R: Into<Box<str>>>(
        self,
        rooms: impl IntoIterator<Item = R>,
    ) -> Result<(), EmitterError> {
        let rooms = rooms.into_iter().map(Into::into).collect();
        self.emitter.send(Message::SocketsLeave { options: self.options, rooms }).await
    }

    /// Disconnects the sockets from the namespace, or closes their connections.
    ///
    /// # Errors
    /// Returns an error if PostgreSQL does not confirm the message.
    pub async fn disconnect_sockets(self, close_connections: bool) -> Result<(), EmitterError> {
        let message =
            Message::DisconnectSockets { options: self.options, close_connection: close_connections };
        self.emitter.send(message).await
    }
}

impl PostgresAdapterBuilder {
    /// Creates an emitter, which has the same options as an adapter, and connects it to the database.
    ///
    /// # Errors
    /// Returns an error if an option is not valid, or if the database cannot be used now.
    pub async fn connect_emitter(self) -> Result<Emitter, ConnectError> {
        let (connector, table) = self.parts()?;
        let client = connector.open(&table).await?;
        let shared = Shared { options: self.options, connector, table, client: Mutex::new(Some(client)) };
        Ok(Emitter { shared: Arc::new(shared), namespace: "/".into() })
    }
}

impl fmt::Debug for Emitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emitter")
            .field("connector", &self.shared.connector)
            .field("namespace", &self.namespace)
            .finish()
    }
}
