//! Why there is no encrypted connection.

use std::error::Error;
use std::fmt;
use std::io;

use ws_proto::ErrorChain;

/// Why a connection could not be encrypted, or not to whom it was meant for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The program was built without TLS.
    #[error("this program was built without TLS (the feature `tls`)")]
    Unsupported,
    /// The certificates that the system trusts cannot be found. Debian has them in the package `ca-certificates`.
    #[error("the system's trusted certificates cannot be loaded: {}", ErrorChain(&**.0))]
    SystemRoots(Box<dyn Error + Send + Sync>),
    /// The host is neither a name nor an address that a certificate could be for.
    #[error("no certificate can be for the host {0:?}")]
    InvalidName(String),
    /// The certificate of the other end is not accepted: for another name, expired, not trusted, revoked.
    #[error("the certificate of the server is not accepted: {reason}")]
    Certificate {
        /// What is wrong with it.
        reason: String,
        /// The same, as rustls has it.
        error: Box<dyn Error + Send + Sync>,
    },
    /// What the other end says is not TLS. Often it is HTTP: `ws` instead of `wss`.
    #[error("the server does not speak TLS on this port")]
    NotTls(#[source] io::Error),
    /// The other end wants to speak another protocol inside than HTTP/1.1.
    #[error("the server has selected the protocol {0:?} by ALPN")]
    UnexpectedAlpn(String),
    /// The handshake failed in another way: no version or cipher in common, a client certificate missing, or the
    /// connection ended.
    #[error("the TLS handshake failed: {}", HandshakeErrorDisplay(.0))]
    Handshake(io::Error),
}

/// What the library says of a connection that ended is `tls handshake eof`.
struct HandshakeErrorDisplay<'a>(&'a io::Error);

impl fmt::Display for HandshakeErrorDisplay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.kind() {
            io::ErrorKind::UnexpectedEof => f.write_str("the server closed the connection"),
            _ => ErrorChain(self.0).fmt(f),
        }
    }
}

/// Why certificates and keys make no configuration.
#[cfg(feature = "tls")]
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsConfigError {
    /// There is no certificate in the PEM data.
    #[error("there is no certificate in the PEM data")]
    NoCertificate,
    /// There is no private key in the PEM data.
    #[error("there is no private key in the PEM data")]
    NoPrivateKey,
    /// The PEM data is malformed.
    #[error("the PEM data is malformed: {}", ErrorChain(.0))]
    Pem(tokio_rustls::rustls::pki_types::pem::Error),
    /// A file cannot be read.
    #[error("cannot read {}: {}", path.display(), ErrorChain(error))]
    ReadFile {
        /// The file.
        path: std::path::PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// What is in a file is not what it should be.
    #[error("{}: {error}", path.display())]
    InvalidFile {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        error: Box<TlsConfigError>,
    },
    /// The certificates of the authorities that issue those of clients cannot be used.
    #[error("the authorities of the clients cannot be used: {}", ErrorChain(&**.0))]
    ClientRoots(Box<dyn Error + Send + Sync>),
    /// The private key is that of another certificate. The chain has to begin with the certificate of the key.
    #[error("the private key does not belong to the first certificate of the chain")]
    KeyMismatch,
    /// rustls does not take it.
    #[error("the certificates cannot be used: {}", ErrorChain(.0))]
    Rustls(tokio_rustls::rustls::Error),
}

#[cfg(feature = "tls")]
impl From<tokio_rustls::rustls::Error> for TlsConfigError {
    fn from(error: tokio_rustls::rustls::Error) -> Self {
        use tokio_rustls::rustls::{Error, InconsistentKeys};
        match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => Self::KeyMismatch,
            error => Self::Rustls(error),
        }
    }
}
