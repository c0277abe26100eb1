//! The errors of TLS.

use std::error::Error;
#[cfg(feature = "client")]
use std::fmt;
use std::io;

use ws_proto::ErrorChain;

/// Why a client's TLS connection could not be established.
#[cfg(feature = "client")]
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The program was built without TLS.
    #[error("this program was built without TLS (the feature `tls`)")]
    Unsupported,
    /// The root certificates of the system cannot be loaded. On Debian, install the package `ca-certificates`.
    #[error("the system's root certificates cannot be loaded: {}", ErrorChain(&**.0))]
    SystemRoots(Box<dyn Error + Send + Sync>),
    /// The host is not a valid DNS name or IP address, so no certificate can match it.
    #[error("the host {0:?} is not a valid DNS name or IP address")]
    InvalidName(String),
    /// The certificate of the server was rejected: for another host name, expired, not trusted, or revoked.
    #[error("the certificate of the server was rejected: {reason}")]
    Certificate {
        /// The reason, in words.
        reason: String,
        /// The error of rustls.
        error: Box<dyn Error + Send + Sync>,
    },
    /// The server sent bytes that are not TLS. Often it speaks HTTP, and the URL must begin with `ws` instead of `wss`.
    #[error("the server does not speak TLS on this port")]
    NotTls(#[source] io::Error),
    /// The server selected another protocol than HTTP/1.1 by ALPN.
    #[error("the server selected the ALPN protocol {0:?} instead of http/1.1")]
    UnexpectedAlpn(String),
    /// The handshake failed for another reason: no common version or cipher, a missing client certificate, or the
    /// connection ended.
    #[error("the TLS handshake failed: {}", HandshakeErrorDisplay(.0))]
    Handshake(io::Error),
}

/// Displays a handshake error. tokio-rustls reports a closed connection only as `tls handshake eof`.
#[cfg(feature = "client")]
struct HandshakeErrorDisplay<'a>(&'a io::Error);

#[cfg(feature = "client")]
impl fmt::Display for HandshakeErrorDisplay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.kind() {
            io::ErrorKind::UnexpectedEof => f.write_str("the server closed the connection"),
            _ => ErrorChain(self.0).fmt(f),
        }
    }
}

/// Why a TLS configuration could not be built.
#[cfg(feature = "tls")]
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsConfigError {
    /// The PEM data contains no certificate.
    #[error("no certificate in the PEM data")]
    NoCertificate,
    /// The PEM data contains no private key.
    #[error("no private key in the PEM data")]
    NoPrivateKey,
    /// The PEM data is malformed.
    #[error("the PEM data is malformed: {}", ErrorChain(.0))]
    Pem(tokio_rustls::rustls::pki_types::pem::Error),
    /// A file could not be read.
    #[error("cannot read {}: {}", path.display(), ErrorChain(error))]
    ReadFile {
        /// The file.
        path: std::path::PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },
    /// The contents of a file are not valid.
    #[error("{}: {error}", path.display())]
    InvalidFile {
        /// The file.
        path: std::path::PathBuf,
        /// The reason.
        error: Box<TlsConfigError>,
    },
    /// The CA certificates for verifying clients cannot be used.
    #[error("the CA certificates for verifying clients cannot be used: {}", ErrorChain(&**.0))]
    ClientRoots(Box<dyn Error + Send + Sync>),
    /// The private key belongs to another certificate. The chain must begin with the certificate of the key.
    #[error("the private key does not match the first certificate of the chain")]
    KeyMismatch,
    /// rustls rejected the certificates, the key or the configuration.
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
