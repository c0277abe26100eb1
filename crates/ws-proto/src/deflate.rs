//! permessage-deflate (RFC 7692): messages that are compressed one by one.
//!
//! An end compresses with a [`Deflater`], as it sees fit for each message; a [`Connection`](crate::Connection) inflates what
//! the peer has compressed. Both follow a [`DeflateAgreement`], which the opening handshake finds between two
//! [`DeflateOptions`].
//!
//! **What it costs.** zlib takes 380 KiB to compress and 44 KiB to inflate. Where no context is kept from message to message
//! (the default here, in both directions) that memory belongs to the thread, and a connection owns none. Where the peer
//! keeps its context, the connection remembers what its messages may refer to, at most the agreed window of 32 KiB;
//! where we keep ours, it owns a compressor.

mod agreement;
mod deflater;
mod inflate_stream;
mod inflater;
mod options;

pub use agreement::DeflateAgreement;
pub use deflater::Deflater;
pub(crate) use inflate_stream::InflateStream;
pub(crate) use inflater::Inflater;
pub use options::DeflateOptions;
pub(crate) use options::{DeflateParams, parse_offers};

/// What ends every compressed message and is left out of it (RFC 7692 §7.2.1): the empty block of a flush.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// The extension's name.
const NAME: &str = "permessage-deflate";

/// The largest window, and the smallest that zlib can compress with.
const MAX_WINDOW_BITS: u8 = 15;
const MIN_WINDOW_BITS: u8 = 9;

#[cfg(test)]
mod tests;
