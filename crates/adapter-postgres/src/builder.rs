//! The options of an adapter.

use std::time::Duration;

use adapter::cluster::OutgoingLimits;
use adapter::cluster::codec::{DecodeLimits, PostgresCodec};
use tokio::runtime::Handle;

use crate::adapter_factory::PostgresAdapter;
use crate::connection::Connector;
use crate::error::{ConfigError, ConnectError};
use crate::shared::Shared;
use crate::sql::{self, Table};

/// Builds a [`PostgresAdapter`]. The options that Node's adapter has too must be the same in all servers, except the times.
#[derive(Debug, Clone)]
#[must_use]
pub struct PostgresAdapterBuilder {
    url: String,
    pub(crate) options: Options,
}

/// What the parts of the driver need to know.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) channel_prefix: String,
    pub(crate) table_name: String,
    pub(crate) payload_threshold: usize,
    pub(crate) cleanup_interval: Duration,
    pub(crate) heartbeat_interval: Duration,
    pub(crate) heartbeat_timeout: Duration,
    pub(crate) response_timeout: Duration,
    pub(crate) ready_timeout: Duration,
    pub(crate) outgoing: OutgoingLimits,
    pub(crate) decoding: DecodeLimits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            channel_prefix: PostgresCodec::DEFAULT_PREFIX.to_owned(),
            table_name: "socket_io_attachments".to_owned(),
            payload_threshold: PostgresCodec::MAX_PAYLOAD + 1,
            cleanup_interval: Duration::from_secs(30),
            heartbeat_interval: Duration::from_secs(5),
            heartbeat_timeout: Duration::from_secs(10),
            response_timeout: Duration::from_secs(10),
            ready_timeout: Duration::from_secs(3),
            outgoing: OutgoingLimits::default(),
            decoding: DecodeLimits::default(),
        }
    }
}

impl PostgresAdapterBuilder {
    pub(crate) fn new(url: String) -> Self {
        Self { url, options: Options::default() }
    }

    /// Sets the beginning of the names of all channels: the option `channelPrefix` of Node. Default `socket.io`.
    ///
    /// A channel is the prefix, `#` and the namespace. PostgreSQL accepts 63 bytes. A namespace with a longer channel works on each server
    /// alone, and what it sends to the others is an error that [its host learns](adapter::Host::on_publish_error).
    pub fn channel_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.options.channel_prefix = prefix.into();
        self
    }

    /// Sets the name of the table for messages that do not fit into a notification: the option `tableName` of Node. Default
    /// `socket_io_attachments`. As in Node, the name is not quoted.
    ///
    /// If the table does not exist, the adapter creates it. Otherwise it needs the right to insert, select and delete rows.
    pub fn table_name(mut self, name: impl Into<String>) -> Self {
        self.options.table_name = name.into();
        self
    }

    /// Sends messages with so many bytes as rows: the option `payloadThreshold` of Node. Default and maximum 8,000, because
    /// PostgreSQL accepts payloads of at most 7,999 bytes.
    pub fn payload_threshold(mut self, bytes: usize) -> Self {
        self.options.payload_threshold = bytes;
        self
    }

    /// Sets how long a row is kept, and how often older ones are deleted: the option `cleanupInterval` of Node. Default 30 s. Each
    /// server deletes the rows of all.
    ///
    /// A server that is further behind than this loses the messages, and counts them as [invalid](crate::BusStats::invalid).
    pub fn cleanup_interval(mut self, interval: Duration) -> Self {
        self.options.cleanup_interval = interval.max(Duration::from_secs(1));
        self
    }

    /// Sets the interval in which a server tells the others that it is alive: the option `heartbeatInterval` of Node. Default
    /// 5 s.
    pub fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.options.heartbeat_interval = interval.max(Duration::from_millis(10));
        self
    }

    /// Sets the silence after which another server counts as dead, so that requests do not wait for it any more: the option
    /// `heartbeatTimeout` of Node. Default 10 s.
    pub fn heartbeat_timeout(mut self, timeout: Duration) -> Self {
        self.options.heartbeat_timeout = timeout;
        self
    }

    /// Sets the time within which the database must answer. Twice in this time, each connection is checked. If it does not
    /// answer, the link is lost: a cable that is cut does not say so. Default 10 s.
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.options.response_timeout = timeout.max(Duration::from_millis(100));
        self
    }

    /// Sets how long clients of a new namespace wait until this server receives the messages of the others. After that,
    /// they connect all the same. When it receives them later, the namespace [learns](adapter::Host::on_link) that messages may have
    /// been lost. Default 3 s.
    pub fn ready_timeout(mut self, timeout: Duration) -> Self {
        self.options.ready_timeout = timeout;
        self
    }

    /// Sets the limits on what waits to be sent, while the database is slow or gone. What does not fit is an error that
    /// [the namespace learns](adapter::Host::on_publish_error). Default: 100,000 messages, 64 MiB.
    pub fn outgoing_limits(mut self, limits: OutgoingLimits) -> Self {
        self.options.outgoing = limits;
        self
    }

    /// Sets the limits on one message of another server.
    pub fn message_limits(mut self, limits: DecodeLimits) -> Self {
        self.options.decoding = limits;
        self
    }

    /// Creates the adapter. It connects when the server has created its first namespace, and tries again and again if the database is
    /// not there: see the logs, or [`connect`](Self::connect).
    ///
    /// # Errors
    /// Returns an error if an option is not valid, or outside a Tokio runtime. The adapter runs on the current runtime.
    pub fn build(self) -> Result<PostgresAdapter, ConfigError> {
        let runtime = Handle::try_current().map_err(|_| ConfigError::NoRuntime)?;
        let (connector, table) = self.parts()?;
        Ok(PostgresAdapter::from_shared(Shared::new(self.options, connector, table, runtime)))
    }

    /// Checks the options.
    pub(crate) fn parts(&self) -> Result<(Connector, Table), ConfigError> {
        let Options { channel_prefix, table_name, response_timeout, .. } = &self.options;
        if !sql::is_channel(&format!("{channel_prefix}#/")) {
            return Err(ConfigError::InvalidChannelPrefix { len: channel_prefix.len() });
        }
        let table = Table::new(table_name)
            .ok_or_else(|| ConfigError::InvalidTableName { name: table_name.clone() })?;
        Ok((Connector::new(&self.url, *response_timeout)?, table))
    }

    /// Creates the adapter, and checks that the database can be used: that it accepts a connection and has the table, which is
    /// created otherwise.
    ///
    /// # Errors
    /// Returns an error if an option is not valid, or if the database cannot be used now.
    pub async fn connect(self) -> Result<PostgresAdapter, ConnectError> {
        let (connector, table) = self.parts()?;
        let session = connector.open(&table).await?;
        drop(session);
        Ok(self.build()?)
    }
}

impl Options {
    pub(crate) fn max_payload(&self) -> usize {
        self.payload_threshold.saturating_sub(1)
    }
}
