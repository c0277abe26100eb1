//! Engine.IO 4 as state machines that do no input or output of their own.
//!
//! What lives here: packets and polling payloads, the life of a session (open, heartbeat, upgrade, close) as one machine
//! for the [`server`] and one for the [`client`], the refusals with their codes and bodies, and the outgoing message:
//! encoded once ([`MessageEncoder`]), shared by all its receivers ([`SharedMessage`]), written in the [`Framing`] of the
//! transport that sends it.
//!
//! Bytes, the [`Time`](ws_proto::Time) and random bytes are arguments; sockets, clocks and HTTP belong to the floors
//! above. The revision spoken is 4 (`EIO=4`).

pub mod client;
mod error;
mod framing;
mod handshake;
mod id;
mod message;
mod packet;
mod payload;
pub mod server;

pub use error::{CloseReason, RequestError};
pub use framing::{Framing, LengthDelimitedPackets, Reframer};
pub use handshake::{Handshake, HandshakeError, Settings, Transport, handshake_json, open_packet};
pub use id::{Base64Id, SessionId};
pub use message::{AttachmentEncoder, EncodedMessage, MessageEncoder, SharedMessage};
pub use packet::{Packet, ParseError};
pub use payload::{Payload, encode_payload};
