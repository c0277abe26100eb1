//! The errors of TLS.

use std::error::Error;
use std::fmt;
use std::io;

use ws_proto::ErrorChain;

/// Why a client's TLS connection could not be established.
#[cfg(feature = "client")]
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// The program was built without TLS.
    Unsupported,
    /// The root certificates of the system cannot be loaded. On Debian, install the package `ca-certificates`.
    SystemRoots(Box<dyn Error + Send + Sync>),
    /// The host is not a valid DNS name or IP address, so no certificate can match it.
    InvalidName(String),
    /// The certificate of the server was rejected: for another host name, expired, not trusted, or revoked.
    Certificate {
        /// The reason, in words.
        reason: String,
        /// The error of rustls.
        error: Box<dyn Error + Send + Sync>,
    },
    /// The server sent bytes that are not TLS. Often it speaks HTTP, and the URL must begin with `ws` instead of `wss`.
    NotTls(io::Error),
    /// The server selected another protocol than HTTP/1.1 by ALPN.
    UnexpectedAlpn(String),
    /// The handshake failed for another reason: no common version or cipher, a missing client certificate, or the
    /// connection ended.
    Handshake(io::Error),
}

#[cfg(feature = "client")]
impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported => f.write_str("this program was built without TLS (the feature `tls`)"),
            Self::SystemRoots(error) => {
                write!(f, "the system's root certificates cannot be loaded: {}", ErrorChain(&**error))
            }
            Self::InvalidName(host) => write!(f, "the host {host:?} is not a valid DNS name or IP address"),
            Self::Certificate { reason, .. } => {
                write!(f, "the certificate of the server was rejected: {reason}")
            }
            Self::NotTls(_) => f.write_str("the server does not speak TLS on this port"),
            Self::UnexpectedAlpn(protocol) => {
                write!(f, "the server selected the ALPN protocol {protocol:?} instead of http/1.1")
            }
            Self::Handshake(error) => write!(f, "the TLS handshake failed: {}", HandshakeErrorDisplay(error)),
        }
    }
}

#[cfg(feature = "client")]
impl Error for TlsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NotTls(error) => Some(error),
            _ => None,
        }
    }
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
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsConfigError {
    /// The PEM data contains no certificate.
    NoCertificate,
    /// The PEM data contains no private key.
    NoPrivateKey,
    /// The PEM data is malformed.
    Pem(tokio_rustls::rustls::pki_types::pem::Error),
    /// A file could not be read.
    ReadFile {
        /// The file.
        path: std::path::PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },
    /// The contents of a file are not valid.
    InvalidFile {
        /// The file.
        path: std::path::PathBuf,
        /// The reason.
        error: Box<TlsConfigError>,
    },
    /// The CA certificates for verifying clients cannot be used.
    ClientRoots(Box<dyn Error + Send + Sync>),
    /// The private key belongs to another certificate. The chain must begin with the certificate of the key.
    KeyMismatch,
    /// rustls rejected the certificates, the key or the configuration.
    Rustls(tokio_rustls::rustls::Error),
}

#[cfg(feature = "tls")]
impl fmt::Display for TlsConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCertificate => f.write_str("no certificate in the PEM data"),
            Self::NoPrivateKey => f.write_str("no private key in the PEM data"),
            Self::Pem(error) => write!(f, "the PEM data is malformed: {}", ErrorChain(error)),
            Self::ReadFile { path, error } => {
                write!(f, "cannot read {}: {}", path.display(), ErrorChain(error))
            }
            Self::InvalidFile { path, error } => write!(f, "{}: {error}", path.display()),
            Self::ClientRoots(error) => {
                write!(
                    f,
                    "the CA certificates for verifying clients cannot be used: {}",
                    ErrorChain(&**error)
                )
            }
            Self::KeyMismatch => {
                f.write_str("the private key does not match the first certificate of the chain")
            }
            Self::Rustls(error) => write!(f, "the certificates cannot be used: {}", ErrorChain(error)),
        }
    }
}

#[cfg(feature = "tls")]
impl Error for TlsConfigError {}

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
