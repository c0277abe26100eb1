//! Why there is no encrypted connection.

/// Why a connection could not be encrypted, or not to whom it was meant for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The program was built without TLS.
    #[error("this program was built without TLS (the feature `tls`)")]
    Unsupported,
}
