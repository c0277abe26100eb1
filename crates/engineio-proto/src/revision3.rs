//! What is different on the wire in revision 3 of the protocol (`EIO=3`).
//!
//! - A payload has the length of each packet in front of it, and has a binary form too: [`Payload`],
//!   [`encode_payload`].
//! - Binary data has a type: a byte in a binary message, a digit after the `b` of base64. Only messages carry data.
//!
//! The Node package `engine.io-parser` 2.2.1 is the reference. Text packets without `b` are as in revision 4.

mod packet;
mod payload;

pub(crate) use packet::{BASE64_PREFIX, MESSAGE_BYTE, parse_binary, parse_text};
pub use payload::{Payload, PayloadForm, encode_payload};
