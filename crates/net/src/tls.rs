//! TLS with rustls and the cryptography of ring.
//!
//! Client and server support TLS 1.2 and 1.3, and use the newer one if the peer supports it. ALPN selects the protocol
//! inside TLS. Without ALPN it is HTTP/1.1. With the feature `http2`, a server
//! also offers HTTP/2. A client offers only HTTP/1.1.

#[cfg(any(feature = "client", feature = "tls"))]
mod error;

#[cfg(feature = "client-tls")]
mod client;
#[cfg(feature = "tls")]
mod server;

#[cfg(feature = "client-tls")]
pub use client::{ClientTls, ClientTlsBuilder};
#[cfg(feature = "tls")]
pub use error::TlsConfigError;
#[cfg(feature = "client")]
pub use error::TlsError;
#[cfg(feature = "tls")]
pub use server::{ServerTls, ServerTlsBuilder};

#[cfg(feature = "tls")]
use tokio_rustls::rustls::pki_types::pem::PemObject;
#[cfg(feature = "tls")]
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The ALPN name of HTTP/1.1 (RFC 7301 §6).
#[cfg(feature = "tls")]
const HTTP_1_1: &[u8] = b"http/1.1";

/// The ALPN name of HTTP/2 (RFC 9113 §3.2).
#[cfg(all(feature = "http2", feature = "tls"))]
pub(crate) const HTTP_2: &[u8] = b"h2";

/// The ALPN protocols of a server, the preferred one first.
#[cfg(feature = "tls")]
const SERVER_PROTOCOLS: &[&[u8]] = &[
    #[cfg(feature = "http2")]
    HTTP_2,
    HTTP_1_1,
];

/// The ALPN protocols that a client offers.
#[cfg(feature = "client-tls")]
const CLIENT_PROTOCOLS: &[&[u8]] = &[HTTP_1_1];

/// Converts ALPN names to the form that rustls needs.
#[cfg(feature = "tls")]
fn alpn(protocols: &[&[u8]]) -> Vec<Vec<u8>> {
    protocols.iter().map(|protocol| protocol.to_vec()).collect()
}

/// Parses the certificates in PEM data. There must be at least one.
#[cfg(feature = "tls")]
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(TlsConfigError::Pem)?;
    if certificates.is_empty() { Err(TlsConfigError::NoCertificate) } else { Ok(certificates) }
}

/// Parses the first private key in PEM data: PKCS #8, PKCS #1 or SEC 1.
#[cfg(feature = "tls")]
fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsConfigError> {
    use tokio_rustls::rustls::pki_types::pem::Error;
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        Error::NoItemsFound => TlsConfigError::NoPrivateKey,
        error => TlsConfigError::Pem(error),
    })
}

#[cfg(all(test, feature = "client-tls"))]
pub(crate) mod tests;
