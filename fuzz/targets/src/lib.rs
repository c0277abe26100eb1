//! The fuzz targets. Each is a function that accepts any bytes, and panics if a state machine violates a promise.
//!
//! There are two callers: the programs in `fuzz/fuzz_targets`, which libFuzzer drives, and `tests/replay.rs`, which
//! replays the inputs in `fuzz/seeds` with every test run. No target checks only that nothing panics. Each compares a
//! result with a second, naive way to the same result (a model, `serde_json`, other split points, a round trip), and
//! the used memory with the bytes that the peer has sent.

mod agreement;
mod client;
mod client_handshake;
mod client_session;
mod cluster_messages;
mod endpoints;
mod fields;
mod frame_decoder;
mod grammar;
mod handshake;
mod late;
mod memory;
mod polling_payload;
mod polling_payload_revision3;
mod received;
mod session;
mod socketio_arguments;
mod socketio_connections;
mod socketio_messagepack;
mod socketio_packet;
mod socketio_value;
mod tree;

pub use client::client;
pub use client_handshake::client_handshake;
pub use client_session::client_session;
pub use cluster_messages::cluster_messages;
pub use endpoints::{compressed_endpoints, endpoints};
pub use frame_decoder::{compressed_frames, frame_decoder};
pub use handshake::handshake;
pub use polling_payload::polling_payload;
pub use polling_payload_revision3::polling_payload_revision3;
pub use session::session;
pub use socketio_arguments::socketio_arguments;
pub use socketio_connections::socketio_connections;
pub use socketio_messagepack::socketio_messagepack;
pub use socketio_packet::socketio_packet;
pub use socketio_value::socketio_value;

/// A target. It returns for any bytes, unless it has found a bug.
pub type Target = fn(&[u8]);

/// Every target. Its program in `fuzz/fuzz_targets` and its folder in `fuzz/seeds` have the same name.
pub const TARGETS: [(&str, Target); 17] = [
    ("client", client),
    ("client_handshake", client_handshake),
    ("client_session", client_session),
    ("cluster_messages", cluster_messages),
    ("compressed_endpoints", compressed_endpoints),
    ("compressed_frames", compressed_frames),
    ("endpoints", endpoints),
    ("frame_decoder", frame_decoder),
    ("handshake", handshake),
    ("polling_payload", polling_payload),
    ("polling_payload_revision3", polling_payload_revision3),
    ("session", session),
    ("socketio_arguments", socketio_arguments),
    ("socketio_connections", socketio_connections),
    ("socketio_messagepack", socketio_messagepack),
    ("socketio_packet", socketio_packet),
    ("socketio_value", socketio_value),
];
