//! What is fuzzed: a function for each target, which takes any bytes and panics where a promise of the machines is
//! broken.
//!
//! Two callers: the programs in `fuzz/fuzz_targets`, which libFuzzer drives, and `tests/replay.rs`, which runs the inputs
//! that are kept in `fuzz/seeds` with every test run. None of them is satisfied with "it does not panic": a result is held
//! against a second, naive way to the same result (a model, `serde_json`, other split points, there and back again), and
//! memory against what the peer has sent.

mod agreement;
mod client_handshake;
mod client_session;
mod endpoints;
mod fields;
mod frame_decoder;
mod grammar;
mod handshake;
mod memory;
mod polling_payload;
mod received;
mod session;
mod socketio_arguments;
mod socketio_connections;
mod socketio_packet;
mod tree;

pub use client_handshake::client_handshake;
pub use client_session::client_session;
pub use endpoints::{compressed_endpoints, endpoints};
pub use frame_decoder::{compressed_frames, frame_decoder};
pub use handshake::handshake;
pub use polling_payload::polling_payload;
pub use session::session;
pub use socketio_arguments::socketio_arguments;
pub use socketio_connections::socketio_connections;
pub use socketio_packet::socketio_packet;

/// A target: it returns for any bytes, or it has found something.
pub type Target = fn(&[u8]);

/// Every target, with the name that its program in `fuzz/fuzz_targets` and its folder in `fuzz/seeds` have.
pub const TARGETS: [(&str, Target); 12] = [
    ("client_handshake", client_handshake),
    ("client_session", client_session),
    ("compressed_endpoints", compressed_endpoints),
    ("compressed_frames", compressed_frames),
    ("endpoints", endpoints),
    ("frame_decoder", frame_decoder),
    ("handshake", handshake),
    ("polling_payload", polling_payload),
    ("session", session),
    ("socketio_arguments", socketio_arguments),
    ("socketio_connections", socketio_connections),
    ("socketio_packet", socketio_packet),
];
