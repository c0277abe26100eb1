//! Opens connections to PostgreSQL.

use std::fmt;
use std::future::poll_fn;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, Config, Notification};

use crate::error::{ConfigError, ConnectError};
use crate::sql::{self, Table};

/// Opens connections to one database.
#[derive(Clone)]
pub(crate) struct Connector {
    config: Config,
    timeout: Duration,
    #[cfg(feature = "tls")]
    tls: Option<tokio_postgres_rustls::MakeRustlsConnect>,
}

/// A client, and what its connection hears. The connection is closed when the client is dropped.
type Opened = (Client, mpsc::Receiver<Notification>);

/// How many notifications wait for the task that handles them. Each has at most 8,000 bytes. Then this side stops reading, and
/// PostgreSQL keeps them.
const MAX_WAITING_NOTIFICATIONS: usize = 1024;

impl Connector {
    pub(crate) fn new(url: &str, timeout: Duration) -> Result<Self, ConfigError> {
        let mut config: Config = without_verification_modes(url)
            .parse()
            .map_err(|error: tokio_postgres::Error| ConfigError::InvalidUrl { reason: reason_of(&error) })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(ConfigError::InvalidUrl { reason: "it names no host".to_owned() });
        }
        if config.get_application_name().is_none() {
            config.application_name("tidewire");
        }
        if config.get_connect_timeout().is_none() {
            // All hosts of the URL are tried within the limit.
            let hosts = config.get_hosts().len().max(config.get_hostaddrs().len()).max(1);
            config.connect_timeout(timeout / u32::try_from(hosts).unwrap_or(u32::MAX));
        }
        config.tcp_user_timeout(timeout);
        // The system counts it in seconds.
        config.keepalives_idle(timeout.max(Duration::from_secs(1)));
        let wants_tls = config.get_ssl_mode() == SslMode::Require;
        if !wants_tls {
            // TLS that accepts any certificate protects nothing that an attacker wants.
            config.ssl_mode(SslMode::Disable);
        }
        #[cfg(feature = "tls")]
        let tls = if wants_tls { Some(verified_tls()?) } else { None };
        #[cfg(not(feature = "tls"))]
        if wants_tls {
            return Err(ConfigError::TlsDisabled);
        }
        Ok(Self {
            config,
            timeout,
            #[cfg(feature = "tls")]
            tls,
        })
    }

    /// Opens a connection, prepares its session, and makes sure that the table exists. Cancel safe.
    pub(crate) async fn open(&self, table: &Table) -> Result<Client, ConnectError> {
        let (client, _) = self.open_to_listen().await?;
        let exists = async {
            let row = client.query_one(&table.exists, &[]).await.map_err(|error| setup(&error))?;
            row.try_get::<_, bool>(0).map_err(|error| setup(&error))
        };
        if !self.limited(exists).await? {
            self.limited(create(&client, table)).await?;
        }
        Ok(client)
    }

    /// Opens a connection whose notifications arrive in the returned channel. It ends with the connection.
    pub(crate) async fn open_to_listen(&self) -> Result<Opened, ConnectError> {
        self.limited(self.open_listening()).await
    }

    async fn limited<T>(
        &self,
        attempt: impl Future<Output = Result<T, ConnectError>>,
    ) -> Result<T, ConnectError> {
        timeout(self.timeout, attempt).await.unwrap_or(Err(ConnectError::TimedOut(self.timeout)))
    }

    async fn open_listening(&self) -> Result<Opened, ConnectError> {
        let failed = |error: tokio_postgres::Error| ConnectError::Connect((&error).into());
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            let (client, connection) = self.config.connect(tls.clone()).await.map_err(failed)?;
            return prepared(run(client, connection)).await;
        }
        let (client, connection) = self.config.connect(tokio_postgres::NoTls).await.map_err(failed)?;
        prepared(run(client, connection)).await
    }
}

async fn prepared(opened: Opened) -> Result<Opened, ConnectError> {
    opened.0.batch_execute(sql::SESSION).await.map_err(|error| setup(&error))?;
    Ok(opened)
}

/// Spawns the task that reads and writes.
fn run<S, T>(client: Client, mut connection: tokio_postgres::Connection<S, T>) -> Opened
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(MAX_WAITING_NOTIFICATIONS);
    tokio::spawn(async move {
        while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
            match message {
                Ok(AsyncMessage::Notification(notification)) => {
                    // Nobody listens on a connection whose receiver was dropped.
                    let _ = sender.send(notification).await;
                }
                Ok(_) => {}
                // All requests fail, and the channel ends.
                Err(error) => {
                    let error = reason_of(&error);
                    tracing::debug!(error, "a connection to PostgreSQL has ended");
                    return;
                }
            }
        }
    });
    (client, receiver)
}

/// Creates the table. Another server may do so at the same moment, and then PostgreSQL returns an error to one of the two: about the
/// table, about its type, which has the same name, or about a row of a catalogue.
async fn create(client: &Client, table: &Table) -> Result<(), ConnectError> {
    let mut result = client.batch_execute(&table.create).await;
    if let Err(error) = &result
        && let Some(code) = error.code()
        && [SqlState::UNIQUE_VIOLATION, SqlState::DUPLICATE_TABLE, SqlState::DUPLICATE_OBJECT].contains(code)
    {
        result = client.batch_execute(&table.create).await;
    }
    result.map_err(|error| ConnectError::Table { table: table.name.clone(), reason: (&error).into() })
}

fn setup(error: &tokio_postgres::Error) -> ConnectError {
    ConnectError::Setup(error.into())
}

fn reason_of(error: &tokio_postgres::Error) -> String {
    ws_proto::ErrorChain(error).to_string()
}

/// `libpq` has two modes beyond `require` that verify the certificate, which this crate always does.
fn without_verification_modes(url: &str) -> String {
    url.replace("sslmode=verify-full", "sslmode=require").replace("sslmode=verify-ca", "sslmode=require")
}

#[cfg(feature = "tls")]
fn verified_tls() -> Result<tokio_postgres_rustls::MakeRustlsConnect, ConfigError> {
    use std::sync::Arc;

    use net::rustls::ClientConfig;
    use net::rustls::crypto::ring;
    use rustls_platform_verifier::BuilderVerifierExt;

    let failed = |error: net::rustls::Error| ConfigError::SystemRoots(error.into());
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .with_platform_verifier()
        .map_err(failed)?
        .with_no_client_auth();
    // PostgreSQL 17 refuses any other name.
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(tokio_postgres_rustls::MakeRustlsConnect::new(config))
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the password.
        f.debug_struct("Connector").field("hosts", &self.config.get_hosts()).finish_non_exhaustive()
    }
}
