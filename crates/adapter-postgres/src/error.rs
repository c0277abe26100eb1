//! The errors of this crate.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use adapter::EncodeError;
use adapter::cluster::codec::FormatError;

/// An option is not valid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The URL cannot be parsed.
    #[error("the URL of the database is not valid: {reason}")]
    InvalidUrl {
        /// What is wrong. It does not contain the password.
        reason: String,
    },
    /// The URL requires TLS, and this program was built without the feature `tls`.
    #[error("the URL has an sslmode that requires TLS, but the feature `tls` of the adapter is off")]
    TlsDisabled,
    /// The root certificates of the system cannot be loaded.
    #[error("cannot load the root certificates of the system: {0}")]
    SystemRoots(Box<dyn Error + Send + Sync>),
    /// The name of the table is not one that needs no quotes.
    #[error(
        "the name of the table is {name:?}, but it must consist of letters, digits and underscores, \
         perhaps with the name of a schema and a dot before it"
    )]
    InvalidTableName {
        /// The name.
        name: String,
    },
    /// The prefix of the channels is so long that not even the main namespace has a channel, or contains a NUL.
    #[error(
        "the prefix of the channels has {len} bytes or contains a NUL, but PostgreSQL accepts channels of 63 bytes"
    )]
    InvalidChannelPrefix {
        /// Its length in bytes.
        len: usize,
    },
    /// There is no Tokio runtime, on which the adapter could run.
    #[error("the adapter must be created in a Tokio runtime")]
    NoRuntime,
}

/// The database cannot be used.
///
/// All variants display their cause.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// An option is not valid.
    #[error("{0}")]
    Config(Arc<ConfigError>),
    /// The database does not accept the connection.
    #[error("cannot connect to PostgreSQL: {0}")]
    Connect(Reason),
    /// The database does not answer in time.
    #[error("PostgreSQL does not answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// The table does not exist and cannot be created.
    #[error("cannot create the table {table}: {reason}")]
    Table {
        /// The name of the table.
        table: Box<str>,
        /// The error.
        reason: Reason,
    },
    /// The database has refused a command at the beginning of a connection.
    #[error("PostgreSQL has refused to begin: {0}")]
    Setup(Reason),
}

impl From<ConfigError> for ConnectError {
    fn from(error: ConfigError) -> Self {
        Self::Config(Arc::new(error))
    }
}

/// What PostgreSQL or its driver says, in one line.
#[derive(Debug, Clone)]
pub struct Reason(Arc<str>);

impl From<&tokio_postgres::Error> for Reason {
    fn from(error: &tokio_postgres::Error) -> Self {
        Self(ws_proto::ErrorChain(error).to_string().into())
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why other servers do not get a message, or perhaps do not.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "the channel has {len} bytes or contains a NUL, but PostgreSQL accepts names of {} bytes",
        crate::sql::MAX_CHANNEL
    )]
    Channel { len: usize },
    #[error("{0}")]
    Format(#[from] FormatError),
    #[error("PostgreSQL says: {0}")]
    Database(Reason),
    #[error("the link to PostgreSQL was lost, and other servers may have got the message or not")]
    LinkLost,
}

/// An emitter has not sent something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmitterError {
    /// The event cannot be encoded.
    #[error("{0}")]
    Encode(#[from] EncodeError),
    /// The message cannot be written in the format.
    #[error("{0}")]
    Format(#[from] FormatError),
    /// The namespace is too long for PostgreSQL, together with the prefix, or contains a NUL.
    #[error(
        "the channel of the namespace has {len} bytes or contains a NUL, but PostgreSQL accepts 63 bytes"
    )]
    Channel {
        /// The length of the channel in bytes.
        len: usize,
    },
    /// The database cannot be reached.
    #[error("{0}")]
    Connect(#[from] ConnectError),
    /// The database has refused the message, or the connection was lost on the way: perhaps the servers have it.
    #[error("PostgreSQL has not confirmed the message: {0}")]
    Database(Reason),
    /// The database does not answer in time. Perhaps the servers have the message.
    #[error("PostgreSQL does not answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
}
