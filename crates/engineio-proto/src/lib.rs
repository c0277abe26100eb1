//! Engine.IO 4 and 3 as sans-I/O state machines.
//!
//! This crate contains:
//!
//! - packets and polling payloads, also as [JSONP](jsonp),
//! - the life of a session (open, heartbeat, upgrade, close), as one state machine for the [`server`] and one for the
//!   [`client`] (with the feature `client`),
//! - the errors of rejected requests, with their codes and bodies,
//! - the outgoing message. It is encoded once ([`MessageEncoder`]), shared by all its receivers ([`SharedMessage`]),
//!   and written in the [`Framing`] of the transport that sends it. A [`MessageBatch`] holds messages that are not one text
//!   with attachments.
//!
//! The caller passes in bytes, the [`Time`](ws_proto::Time) and random bytes. Sockets, clocks and HTTP belong to the
//! crates above. The client implements revision 4 of the protocol (`EIO=4`), the server [revision](Revision) 3 too.

#[cfg(feature = "client")]
pub mod client;
mod error;
mod framing;
mod handshake;
mod id;
pub mod jsonp;
mod lenient_base64;
mod lossy_text;
mod message;
mod message_batch;
mod packet;
mod payload;
mod revision;
pub mod revision3;
pub mod server;
mod wire_format;

pub use error::{CloseReason, RequestError};
pub use framing::{Framing, LengthDelimitedPackets, ReframedPacket, Reframer};
pub use handshake::{Transport, handshake_json, open_packet};
pub use id::{Base64Id, SessionId};
pub use message::{AttachmentEncoder, EncodedMessage, MessageEncoder, SharedMessage, StoredMessage};
pub use message_batch::{MessageBatch, SharedBatch};
pub use packet::{Packet, ParseError};
pub use payload::{Payload, encode_payload};
pub use revision::Revision;
pub use wire_format::{ContentType, PostPayload, ResponseBody, WireFormat};
