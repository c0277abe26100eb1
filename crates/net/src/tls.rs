//! TLS, by rustls with the cryptography of ring.
//!
//! Both ends speak the newest of TLS 1.2 and 1.3 that the peer speaks, and inside it, by ALPN
//! if the peer has that, HTTP/1.1 or, where a server and its client have it, HTTP/2.

mod error;

#[cfg(feature = "tls")]
mod client;
#[cfg(feature = "tls")]
mod server;

#[cfg(feature = "tls")]
pub use client::{ClientTls, ClientTlsBuilder};
#[cfg(feature = "tls")]
pub use error::TlsConfigError;
pub use error::TlsError;
#[cfg(feature = "tls")]
pub use server::{ServerTls, ServerTlsBuilder};

#[cfg(feature = "tls")]
use tokio_rustls::rustls::pki_types::pem::PemObject;
#[cfg(feature = "tls")]
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What is spoken inside (RFC 7301 §6).
#[cfg(feature = "tls")]
const HTTP_1_1: &[u8] = b"http/1.1";

/// RFC 9113 §3.2.
#[cfg(feature = "tls")]
pub(crate) const HTTP_2: &[u8] = b"h2";

/// What a server speaks inside, the preferred one first.
#[cfg(feature = "tls")]
const SERVER_PROTOCOLS: &[&[u8]] = &[HTTP_2, HTTP_1_1];

/// What a client offers to speak inside.
#[cfg(feature = "tls")]
const CLIENT_PROTOCOLS: &[&[u8]] = &[HTTP_1_1];

/// Names of protocols as rustls wants them.
#[cfg(feature = "tls")]
fn alpn(protocols: &[&[u8]]) -> Vec<Vec<u8>> {
    protocols.iter().map(|protocol| protocol.to_vec()).collect()
}

/// The certificates in a PEM file, at least one.
#[cfg(feature = "tls")]
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(TlsConfigError::Pem)?;
    if certificates.is_empty() { Err(TlsConfigError::NoCertificate) } else { Ok(certificates) }
}

/// The first private key in a PEM file: PKCS #8, PKCS #1 or SEC 1.
#[cfg(feature = "tls")]
fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsConfigError> {
    use tokio_rustls::rustls::pki_types::pem::Error;
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        Error::NoItemsFound => TlsConfigError::NoPrivateKey,
        error => TlsConfigError::Pem(error),
    })
}

#[cfg(all(test, feature = "tls"))]
mod tests;
