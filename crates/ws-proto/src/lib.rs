//! WebSocket (RFC 6455) as a state machine without input or output of its own.
//!
//! Bytes, the time and commands go in; events, control frames, one deadline and errors come out. There is no
//! socket, no clock, no randomness and no runtime in here, so every rule can be tested without waiting, split at
//! every byte, and used from wasm32 as well as from a server.
//!
//! A driver makes the opening handshake, a server's with [`verify_upgrade_request`] and a client's with [`ClientHandshake`], owns one
//! [`Connection`] for each peer and then, on every turn,
//!
//! 1. wraps what it has read in an [`Input`] and calls [`Connection::decode`] until that returns `Ok(None)`,
//! 2. writes what [`Connection::poll_transmit`] gives it, ahead of the messages of its own,
//! 3. sleeps no longer than [`Connection::poll_timeout`] says, and then calls [`Connection::handle_timeout`],
//! 4. stops sending messages when [`Connection::can_send`] says so, and shuts the stream down when
//!    [`Connection::is_closed`] does.
//!
//! Messages never pass through the machine on their way out: [`encode_frame`], or a [`FrameHeader`] in front of
//! bytes that are encoded already, is all that sending takes.
//!
//! ```
//! use tidewire_ws_proto::{Connection, Event, Input, Limits, Opcode, Role, Time, encode_frame};
//!
//! let mut wire = Vec::new();
//! encode_frame(Opcode::Text, b"hello", Some([1, 2, 3, 4]), &mut wire);
//!
//! let mut server = Connection::new(Role::Server, &Limits::default());
//! let mut input = Input::new(&mut wire);
//! let event = server.decode(&mut input, Time::ZERO)?;
//! assert_eq!(event, Some(Event::Text("hello".into()))); // borrowed from `wire`, unmasked in place
//! assert_eq!(server.decode(&mut input, Time::ZERO)?, None);
//! # Ok::<(), tidewire_ws_proto::ProtocolError>(())
//! ```

mod assembly;
mod backoff;
mod chunked_message;
mod close;
mod connection;
mod control;
#[doc(hidden)] // For the crates above, which copy payloads too. No part of what this crate promises.
pub mod copy;
mod deflate;
mod error;
mod error_chain;
mod event;
mod frame;
mod handshake;
mod inflate_assembly;
mod input;
mod limits;
mod mask;
mod message_buffer;
mod time;
mod utf8;

pub use backoff::Backoff;
pub use close::{CloseCode, CloseFrame, CloseReason};
pub use connection::Connection;
pub use control::{ControlFrame, ControlPayload, ControlTooLong};
pub use deflate::{DeflateAgreement, DeflateOptions, Deflater};
pub use error::ProtocolError;
pub use error_chain::ErrorChain;
pub use event::{EndOfStream, Event};
pub use frame::{
    EncodedHeader, FrameHeader, MAX_CONTROL_PAYLOAD, MAX_HEADER_LEN, Opcode, Role, encode_frame,
};
pub use handshake::{
    AllowedOrigins, ClientHandshake, ClientHandshakeError, HandshakeError, HandshakeResponseError,
    InvalidOrigin, Negotiated, UriError, VerifiedRequest, WebSocketUri, accept_key, is_connect_request,
    is_upgrade_request, verify_connect_request, verify_upgrade_request,
};
pub use input::Input;
pub use limits::{Limits, MAX_OFFERED_PROTOCOLS};
pub use mask::{mask, mask_into};
pub use time::Time;
