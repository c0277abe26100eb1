//! The server's TLS configuration and handshake.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsStream};

#[cfg(feature = "http2")]
use super::HTTP_2;
use super::error::TlsConfigError;
use super::{SERVER_PROTOCOLS, alpn, certificates, private_key};
use crate::io::Stream;

/// The first byte of every TLS connection: a handshake record (RFC 8446 §5.1).
const CONTENT_TYPE_HANDSHAKE: u8 = 22;

/// The response to an unencrypted HTTP request.
const PLAINTEXT_RESPONSE: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 55\r\nConnection: close\r\n\r\nThis port speaks TLS: use https or wss in the address.\n";

/// The TLS configuration of a server: its certificate and its private key. Clones share them, also after a
/// [`reload`](Self::reload).
///
/// ```no_run
/// # fn configure() -> Result<(), tidewire_net::TlsConfigError> {
/// # use tidewire_net::ServerTls;
///
/// let tls = ServerTls::from_pem_files("chain.pem", "key.pem")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ServerTls {
    current: Arc<RwLock<Configs>>,
    #[cfg(feature = "http2")]
    offers_http2: bool,
}

/// The configuration of the connections that are accepted now.
#[derive(Clone)]
struct Configs {
    config: Arc<ServerConfig>,
    /// The same without HTTP/2 in the ALPN protocols, for listeners that do not serve it.
    #[cfg(feature = "http2")]
    without_http2: Arc<ServerConfig>,
}

impl ServerTls {
    /// Creates a configuration from a PEM chain of certificates, which begins with the server's own, and its private
    /// key in PEM.
    ///
    /// # Errors
    /// The chain or the key is missing or malformed, or they do not match.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsConfigError> {
        Self::builder(chain, key)?.build()
    }

    /// Creates a configuration from two PEM files, see [`from_pem`](Self::from_pem). The files are read once: for a
    /// renewed certificate, see [`reload`](Self::reload).
    ///
    /// # Errors
    /// A file cannot be read or its contents are not valid; such errors name the file. Or the key does not match the
    /// certificate.
    pub fn from_pem_files(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, TlsConfigError> {
        let (chain, key) =
            (parse_pem_file(chain.as_ref(), certificates)?, parse_pem_file(key.as_ref(), private_key)?);
        ServerTlsBuilder { chain, key, client_roots: None }.build()
    }

    /// Creates a builder from a certificate chain and its key, as in [`from_pem`](Self::from_pem), for further options.
    ///
    /// # Errors
    /// The chain or the key is missing or malformed.
    pub fn builder(chain: &[u8], key: &[u8]) -> Result<ServerTlsBuilder, TlsConfigError> {
        Ok(ServerTlsBuilder { chain: certificates(chain)?, key: private_key(key)?, client_roots: None })
    }

    /// Creates a configuration from a rustls configuration, which offers all other options: several host names, keys in
    /// hardware, certificates that change at runtime. If its `alpn_protocols` is empty, it is set to the
    /// protocols that a listener serves: `h2` (with the feature `http2`) and `http/1.1`.
    #[must_use]
    pub fn from_config(config: impl Into<Arc<ServerConfig>>) -> Self {
        let mut config = config.into();
        if config.alpn_protocols.is_empty() {
            Arc::make_mut(&mut config).alpn_protocols = alpn(SERVER_PROTOCOLS);
        }
        Self {
            current: Arc::new(RwLock::new(Configs::new(config))),
            #[cfg(feature = "http2")]
            offers_http2: true,
        }
    }

    /// Replaces the configuration by the present one of `renewed`, for all servers that use a clone of this `ServerTls`.
    /// Connections that they accept from now on get the new certificate. Connections that are open go on as they are.
    ///
    /// To renew a certificate without a restart, keep a clone, and read the files again. If they are not valid, the former
    /// certificate stays:
    ///
    /// ```no_run
    /// # fn renew(tls: &tidewire_net::ServerTls) -> Result<(), tidewire_net::TlsConfigError> {
    /// # use tidewire_net::ServerTls;
    /// tls.reload(&ServerTls::from_pem_files("chain.pem", "key.pem")?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn reload(&self, renewed: &Self) {
        let renewed = renewed.current();
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = renewed;
    }

    fn current(&self) -> Configs {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Removes HTTP/2 from the ALPN protocols, also from those of a later [`reload`](Self::reload).
    #[cfg(feature = "http2")]
    pub(crate) fn without_http2(self) -> Self {
        Self { offers_http2: false, ..self }
    }

    /// Returns the configuration of a connection that is accepted now.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        let current = self.current();
        #[cfg(feature = "http2")]
        if !self.offers_http2 {
            return current.without_http2;
        }
        current.config
    }

    /// Performs the handshake with a client that has connected. There is no timeout: the caller sets one.
    ///
    /// An HTTP client that does not use TLS gets an HTTP response before the error is returned, because it could not
    /// read a TLS alert.
    pub(crate) async fn accept(&self, mut stream: TcpStream) -> Result<Stream, (io::Error, Stream)> {
        let mut first = [0];
        if let Ok(1) = stream.peek(&mut first).await
            && first != [CONTENT_TYPE_HANDSHAKE]
        {
            if first[0].is_ascii_uppercase() {
                let _ = stream.write_all(PLAINTEXT_RESPONSE.as_bytes()).await;
            }
            return Err((io::Error::other("the client does not speak TLS"), Stream::Tcp(stream)));
        }
        match TlsAcceptor::from(self.config()).accept(Stream::Tcp(stream)).into_fallible().await {
            Ok(stream) => Ok(Stream::Tls(Box::new(TlsStream::Server(stream)))),
            Err((error, stream)) => Err((error, stream)),
        }
    }
}

impl Configs {
    fn new(config: Arc<ServerConfig>) -> Self {
        #[cfg(feature = "http2")]
        let without_http2 = {
            let mut config = ServerConfig::clone(&config);
            config.alpn_protocols.retain(|protocol| protocol != HTTP_2);
            Arc::new(config)
        };
        Self {
            config,
            #[cfg(feature = "http2")]
            without_http2,
        }
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls")
    }
}

/// Builds a [`ServerTls`] from a certificate chain, its key and further options.
#[must_use]
pub struct ServerTlsBuilder {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    client_roots: Option<RootCertStore>,
}

impl ServerTlsBuilder {
    /// Requires that each client sends a certificate issued by one of the certificate authorities in this PEM data. By
    /// default clients need no certificate.
    ///
    /// # Errors
    /// `pem` contains no certificate, is malformed, or contains a certificate that cannot be used.
    pub fn client_root_certificates(mut self, pem: &[u8]) -> Result<Self, TlsConfigError> {
        let clients = self.client_roots.get_or_insert_with(RootCertStore::empty);
        for authority in certificates(pem)? {
            clients.add(authority)?;
        }
        Ok(self)
    }

    /// Builds the configuration.
    ///
    /// # Errors
    /// The key does not match the certificate, or one of them cannot be used.
    pub fn build(self) -> Result<ServerTls, TlsConfigError> {
        // Do not use the process-wide default provider: only the program may choose it.
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let config = match self.client_roots {
            Some(authorities) => {
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider).build();
                let verifier = verifier.map_err(|error| TlsConfigError::ClientRoots(Box::new(error)))?;
                config.with_client_cert_verifier(verifier)
            }
            None => config.with_no_client_auth(),
        };
        Ok(ServerTls::from_config(config.with_single_cert(self.chain, self.key)?))
    }
}

impl fmt::Debug for ServerTlsBuilder {
    /// Omits the private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTlsBuilder").field("clients", &self.client_roots).finish_non_exhaustive()
    }
}

/// Reads and parses a PEM file. Errors name the file.
fn parse_pem_file<T>(
    path: &Path,
    parse: fn(&[u8]) -> Result<T, TlsConfigError>,
) -> Result<T, TlsConfigError> {
    let pem = fs::read(path).map_err(|error| TlsConfigError::ReadFile { path: path.to_owned(), error })?;
    parse(&pem).map_err(|error| TlsConfigError::InvalidFile { path: path.to_owned(), error: Box::new(error) })
}
