//! The server's end of TLS.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::error::TlsConfigError;
use super::{ALPN, certificates, private_key};
use crate::stream::Stream;

/// The first byte of every TLS connection: a record of the handshake (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;

/// What a request in the clear is told.
const IN_THE_CLEAR: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 55\r\nConnection: close\r\n\r\nThis port speaks TLS: use https or wss in the address.\n";

/// How a server speaks TLS: its certificate and its key. A clone shares them.
#[derive(Clone)]
pub struct ServerTls(pub(super) Arc<ServerConfig>);

impl ServerTls {
    /// A chain of certificates, the server's own first, and its private key, both in PEM.
    ///
    /// # Errors
    /// One of them is missing or malformed, or they do not belong together.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsConfigError> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(certificates(chain)?, private_key(key)?)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self(Arc::new(config)))
    }

    /// The same, from files. They are read once: a certificate that is renewed needs a new `ServerTls`.
    ///
    /// # Errors
    /// The same, or a file cannot be read.
    pub fn from_pem_files(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, TlsConfigError> {
        let read = |path: &Path| {
            fs::read(path).map_err(|source| TlsConfigError::File { path: path.to_owned(), source })
        };
        Self::from_pem(&read(chain.as_ref())?, &read(key.as_ref())?)
    }

    /// What rustls can be told beyond that: certificates of clients, several names, keys elsewhere. Its protocols by
    /// ALPN have to be empty or `http/1.1`.
    #[must_use]
    pub fn from_config(config: impl Into<Arc<ServerConfig>>) -> Self {
        Self(config.into())
    }

    /// The handshake with a client that has connected. How long it may take is for the caller to say.
    ///
    /// A client that speaks HTTP in the clear is told so in HTTP, before the error: an alert is nothing it can read.
    pub(crate) async fn accept(&self, mut stream: TcpStream) -> Result<Stream, (io::Error, Stream)> {
        let mut first = [0];
        if let Ok(1) = stream.peek(&mut first).await
            && first != [HANDSHAKE]
        {
            if first[0].is_ascii_uppercase() {
                let _ = stream.write_all(IN_THE_CLEAR.as_bytes()).await;
            }
            return Err((io::Error::other("the client does not speak TLS"), Stream::Tcp(stream)));
        }
        match TlsAcceptor::from(Arc::clone(&self.0)).accept(Stream::Tcp(stream)).into_fallible().await {
            Ok(stream) => Ok(Stream::Tls(Box::new(TlsStream::Server(stream)))),
            Err((error, stream)) => Err((error, stream)),
        }
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls")
    }
}
