//! permessage-deflate (RFC 7692): each message is compressed separately.
//!
//! An endpoint compresses with a [`Deflater`], which decides for each message whether to compress it. A
//! [`Connection`](crate::Connection) inflates the peer's messages. Both follow a [`DeflateAgreement`], which the
//! opening handshake negotiates from the [`DeflateOptions`] of both endpoints.
//!
//! **Cost.** zlib takes 380 KiB to compress and 44 KiB to inflate. Without context takeover (the default in both
//! directions) this memory belongs to the thread, and a connection owns none of it. With context takeover for the
//! peer, the connection keeps the data that the peer's messages may refer to, at most the negotiated window of up to
//! 32 KiB. With context takeover for this endpoint, the connection owns a compressor.

#[cfg(feature = "deflate")]
mod agreement;
#[cfg(feature = "deflate")]
mod deflater;
#[cfg(not(feature = "deflate"))]
mod disabled;
#[cfg(feature = "deflate")]
mod inflate_stream;
#[cfg(feature = "deflate")]
mod inflater;
#[cfg(feature = "deflate")]
mod options;

#[cfg(feature = "deflate")]
pub use agreement::DeflateAgreement;
#[cfg(feature = "deflate")]
pub use deflater::Deflater;
#[cfg(feature = "deflate")]
pub(crate) use inflate_stream::InflateStream;
#[cfg(feature = "deflate")]
pub(crate) use inflater::Inflater;
#[cfg(feature = "deflate")]
pub use options::DeflateOptions;
#[cfg(feature = "deflate")]
pub(crate) use options::{DeflateParams, parse_offers};

#[cfg(not(feature = "deflate"))]
pub use disabled::{DeflateAgreement, DeflateOptions, Deflater};
#[cfg(not(feature = "deflate"))]
pub(crate) use disabled::{DeflateParams, InflateStream, Inflater, parse_offers};

/// The empty block of a flush. It ends every compressed message and is not sent (RFC 7692 §7.2.1).
#[cfg(feature = "deflate")]
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// The name of the extension.
#[cfg(feature = "deflate")]
const EXTENSION_NAME: &str = "permessage-deflate";

/// The maximum window, and the minimum that zlib can compress with, as powers of two.
#[cfg(feature = "deflate")]
const MAX_WINDOW_BITS: u8 = 15;
#[cfg(feature = "deflate")]
const MIN_WINDOW_BITS: u8 = 9;

#[cfg(test)]
#[cfg(feature = "deflate")]
mod tests;
