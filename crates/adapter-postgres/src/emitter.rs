//! Sends to the clients of a cluster from a program that is no server.

use std::fmt;

use adapter::cluster::codec::{Notification, PostgresCodec};
use adapter::cluster::{self, Connect, Message, Publish};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_postgres::Client;

use crate::builder::{Options, PostgresAdapterBuilder};
use crate::connection::Connector;
use crate::error::{ConfigError, ConnectError, EmitterError};
use crate::sql::{self, Table};

/// Sends to the clients and the servers of a cluster over PostgreSQL, like `@socket.io/postgres-emitter`. Cheap to clone: all clones
/// share a connection.
///
/// Each method returns when PostgreSQL has the message. If the connection is lost, the next call opens another one.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use tidewire_adapter_postgres::{Emitter, PostgresAdapter};
///
/// let io = Emitter::connect("postgres://user:password@db.example/app").await?;
/// io.emit("news", "it works").await?;
/// io.of("/chat").to("general").except("muted").emit("message", ("Ann", "hello")).await?;
/// io.in_("suspended").disconnect_sockets(true).await?;
///
/// // With the options of the servers. It connects when it sends its first message.
/// let builder = PostgresAdapter::builder("postgres://user:password@db.example/app");
/// let io: Emitter = builder.channel_prefix("shop").build_emitter()?;
/// # Ok(())
/// # }
/// ```
pub type Emitter = cluster::Emitter<EmitterConnection>;

/// Sends to the sockets that it selects. Created by [`Emitter::to`](cluster::Emitter::to) and similar methods.
pub type EmitterBroadcast = cluster::EmitterBroadcast<EmitterConnection>;

/// The connection of an [`Emitter`] to PostgreSQL.
pub struct EmitterConnection {
    options: Options,
    connector: Connector,
    table: Table,
    client: Mutex<Option<Client>>,
}

impl PostgresAdapterBuilder {
    /// Creates an emitter, which has the same options as an adapter. It connects when it sends its first message.
    ///
    /// # Errors
    /// Returns an error if an option is not valid.
    pub fn build_emitter(self) -> Result<Emitter, ConfigError> {
        EmitterConnection::new(self).map(Emitter::new)
    }

    /// Creates an emitter like [`build_emitter`](Self::build_emitter), and connects it to the database.
    ///
    /// # Errors
    /// Returns an error if an option is not valid, or if the database cannot be used now.
    pub async fn connect_emitter(self) -> Result<Emitter, ConnectError> {
        EmitterConnection::open(self).await.map(Emitter::new)
    }
}

impl EmitterConnection {
    fn new(builder: PostgresAdapterBuilder) -> Result<Self, ConfigError> {
        let (connector, table) = builder.parts()?;
        Ok(Self { options: builder.options, connector, table, client: Mutex::new(None) })
    }

    async fn open(builder: PostgresAdapterBuilder) -> Result<Self, ConnectError> {
        let mut connection = Self::new(builder)?;
        *connection.client.get_mut() = Some(connection.connector.open(&connection.table).await?);
        Ok(connection)
    }

    async fn send(&self, client: &Client, notification: &Notification) -> Result<(), tokio_postgres::Error> {
        match notification {
            Notification::Payload(publication) => {
                let payload = String::from_utf8_lossy(&publication.payload);
                let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 2] =
                    [&publication.channel, &payload];
                client.execute("SELECT pg_notify($1, $2)", &parameters).await?;
            }
            Notification::Row(row) => {
                let (before, after) = row.payload_around_id();
                let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
                    [&row.content, &row.channel(), &before, &after];
                client.execute(&self.table.insert, &parameters).await?;
            }
        }
        Ok(())
    }
}

impl Connect for EmitterConnection {
    type ConnectError = ConnectError;

    async fn connect(url: String) -> Result<Self, ConnectError> {
        Self::open(PostgresAdapterBuilder::new(url)).await
    }
}

impl Publish for EmitterConnection {
    type Error = EmitterError;

    /// Cancel safe: the message was sent or not.
    async fn publish(&self, namespace: &str, message: &Message) -> Result<(), EmitterError> {
        let codec = PostgresCodec::emitter(&self.options.channel_prefix, namespace)
            .with_max_payload(self.options.max_payload());
        if !sql::is_channel(codec.channel()) {
            return Err(EmitterError::Channel { len: codec.channel().len() });
        }
        let notification = codec.encode(message)?;
        // Held until PostgreSQL has answered, so that messages keep their order.
        let mut client = self.client.lock().await;
        if client.as_ref().is_none_or(Client::is_closed) {
            *client = Some(self.connector.open(&self.table).await?);
        }
        let Some(connected) = client.as_ref() else { return Ok(()) };
        let response_timeout = self.options.response_timeout;
        match timeout(response_timeout, self.send(connected, &notification)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(EmitterError::Database((&error).into())),
            Err(_) => {
                *client = None;
                Err(EmitterError::TimedOut(response_timeout))
            }
        }
    }
}

impl fmt::Debug for EmitterConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmitterConnection").field("connector", &self.connector).finish_non_exhaustive()
    }
}
