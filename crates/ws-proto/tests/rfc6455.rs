//! RFC 6455, one MUST after the other.
//!
//! `section_5_2_must_3_…` tests the third MUST of section 5.2, that is, the third time the word occurs in the text of
//! that section, "MUST NOT" included. If one test covers several, its name contains all of them. This folder tests
//! the state machine and the handshake. Tests that need a TCP connection are in `rfc6455` of the crate `ws`, with the
//! same numbering. [`must_coverage`] contains the number of MUSTs of each section, and the reason for each one that
//! has no test. It fails if a MUST has neither a test nor a reason.
//!
//! Violations are fed to both roles at every split (`crate::support::seen_at_every_split`), so each result holds wherever a
//! read ends.

mod client;
mod closing;
mod framing;
mod handshake;
mod messages;
mod must_coverage;

use tidewire_ws_proto::{Connection, Event, Input, Limits, Opcode, ProtocolError, Role, Time};

const ROLES: [Role; 2] = [Role::Client, Role::Server];

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Encodes a frame of the peer of `role` from its first byte and its length bytes. Sets the mask bit in the first
/// length byte if necessary.
fn raw(role: Role, first: u8, length: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut wire = vec![first];
    wire.extend_from_slice(length);
    let mut payload = payload.to_vec();
    if role == Role::Server {
        wire[1] |= 0x80;
        wire.extend_from_slice(&KEY);
        tidewire_ws_proto::mask(&mut payload, KEY);
    }
    wire.extend_from_slice(&payload);
    wire
}

/// Encodes a valid frame of the peer of `role`.
fn sent(role: Role, fin: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    crate::support::frame(role, fin, opcode, payload, KEY)
}

/// Asserts that the connection fails with 1002 at this frame, at every split and after other frames. Events before it
/// are kept.
#[track_caller]
fn assert_protocol_error(role: Role, wire: &[u8], error: &ProtocolError) {
    let limits = Limits::default();
    crate::support::assert_refused(role, &limits, wire, error, 1002);
    let hello = sent(role, true, Opcode::Text, b"hello");
    let seen = crate::support::feed(role, &limits, [&[&hello, wire, &hello].concat()[..]]);
    assert_eq!((seen.events, seen.error), (vec![Event::Text("hello".into())], Some(error.clone())));
}

/// Decodes these bytes to one event or an error.
fn decode(connection: &mut Connection, wire: &[u8]) -> Result<Option<Event<'static>>, ProtocolError> {
    let mut wire = wire.to_vec();
    let mut input = Input::new(&mut wire);
    Ok(connection.decode(&mut input, Time::ZERO)?.map(Event::into_owned))
}

/// Returns the control frames to send.
fn transmitted(connection: &mut Connection) -> Vec<(Opcode, Vec<u8>)> {
    std::iter::from_fn(|| connection.poll_transmit())
        .map(|control| (control.opcode(), control.payload().to_vec()))
        .collect()
}
