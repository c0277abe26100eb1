//! WebSocket (RFC 6455) as a state machine that does no I/O of its own.
//!
//! The caller passes in bytes, the time and commands. The state machine returns events, control frames, one deadline
//! and errors. It has no socket, no clock, no randomness and no runtime. Every rule can therefore be tested without
//! waiting and with the input split at every byte, and the crate runs on wasm32 as well as on a server.
//!
//! A driver first performs the opening handshake: a server with [`verify_upgrade_request`], a client with
//! [`ClientHandshake`] (feature `client`). It then owns one [`Connection`] for each peer and does this in a loop:
//!
//! 1. Wrap the bytes that were read in an [`Input`], and call [`Connection::decode`] until it returns `Ok(None)`.
//! 2. Write the control frames that [`Connection::poll_transmit`] returns, before its own messages.
//! 3. Sleep until [`Connection::poll_timeout`] at the latest, and then call [`Connection::handle_timeout`].
//! 4. Stop sending messages when [`Connection::can_send`] returns `false`, and shut down the stream when
//!    [`Connection::is_closed`] returns `true`.
//!
//! Outgoing messages do not pass through the state machine. To send one, write the output of [`encode_frame`], or a
//! [`FrameHeader`] followed by bytes that are already encoded.
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
#[doc(hidden)] // For Tidewire's other crates. Not part of the public API.
pub mod collections;
mod connection;
mod control;
#[doc(hidden)] // For Tidewire's other crates, which copy payloads too. Not part of the public API.
pub mod copy;
mod deflate;
mod error;
mod error_chain;
mod event;
mod excerpt;
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
pub use event::{EofKind, Event};
pub use excerpt::Excerpt;
pub use frame::{
    EncodedHeader, FrameHeader, MAX_CONTROL_PAYLOAD, MAX_HEADER_LEN, Opcode, Role, encode_frame,
};
pub use handshake::{
    AllowedOrigins, HandshakeError, InvalidOrigin, VerifiedRequest, accept_key, is_authority,
    is_connect_request, is_upgrade_request, verify_connect_request, verify_upgrade_request,
};
#[cfg(feature = "client")]
pub use handshake::{
    ClientHandshake, ClientHandshakeError, HandshakeResponseError, Negotiated, UriError, WebSocketUri,
};
pub use input::Input;
pub use limits::{Limits, MAX_OFFERED_PROTOCOLS};
pub use mask::{mask, mask_into};
pub use time::{PeerDeadline, Time};
