//! TLS, by rustls with the cryptography of ring.
//!
//! Both ends offer `http/1.1` by ALPN, and the newest of TLS 1.2 and 1.3 that the peer speaks.

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
pub use server::ServerTls;

#[cfg(feature = "tls")]
use tokio_rustls::rustls::pki_types::pem::PemObject;
#[cfg(feature = "tls")]
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What is spoken inside (RFC 7301 §6).
#[cfg(feature = "tls")]
const ALPN: &[u8] = b"http/1.1";

/// The certificates in a PEM file, at least one.
#[cfg(feature = "tls")]
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>()?;
    if certificates.is_empty() { Err(TlsConfigError::NoCertificate) } else { Ok(certificates) }
}

/// The first private key in a PEM file: PKCS #8, PKCS #1 or SEC 1.
#[cfg(feature = "tls")]
fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsConfigError> {
    use tokio_rustls::rustls::pki_types::pem::Error;
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        Error::NoItemsFound => TlsConfigError::NoPrivateKey,
        error => error.into(),
    })
}

#[cfg(all(test, feature = "tls"))]
mod tests;
