//! TLS, by rustls.

mod error;

pub use error::TlsError;
