//! Compression of polling responses and files with gzip or deflate, as the client's `Accept-Encoding` asks for. Without
//! the feature `compression`, nothing is compressed.

#[cfg(not(feature = "compression"))]
mod disabled;
#[cfg(feature = "compression")]
mod enabled;

#[cfg(not(feature = "compression"))]
pub(crate) use disabled::{CompressedForms, CompressionCapacity, Encoding, HttpCompression};
#[cfg(feature = "compression")]
pub use enabled::HttpCompression;
#[cfg(feature = "compression")]
pub(crate) use enabled::{CompressedForms, CompressionCapacity, Encoding};
