//! RFC 6455, MUST by MUST.
//!
//! `section_5_2_must_3_…` shows the third MUST of section 5.2: the third time the word stands in the text of that section,
//! "MUST NOT" included. Where one test shows several, all of them are in its name. Tests of the machine and of the
//! handshake are here; what needs a TCP connection is in `rfc6455` of the crate `ws`, under the same numbers. [`index`] has
//! the number of MUSTs of each section, and the reasons of those that have no test: it fails when one has neither.
//!
//! Violations are fed to both roles, at every split (`support::seen_at_every_split`), so each holds wherever a read ends.

mod client;
mod closing;
mod framing;
mod handshake;
mod messages;
mod must_coverage;
#[path = "../support/mod.rs"]
mod support;

use tidewire_ws_proto::{Connection, Event, Input, Limits, Opcode, ProtocolError, Role, Time};

const ROLES: [Role; 2] = [Role::Client, Role::Server];

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame as the peer of `role` sends it, with its first byte as given and its length in these bytes, the first of which
/// has the mask bit still to be set.
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

/// A frame in order, as the peer of `role` sends it.
fn sent(role: Role, fin: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    support::frame(role, fin, opcode, payload, KEY)
}

/// The connection is failed with 1002 at this frame, at every split, whatever stands around it; what came before counts.
#[track_caller]
fn assert_protocol_error(role: Role, wire: &[u8], error: &ProtocolError) {
    let limits = Limits::default();
    support::assert_refused(role, &limits, wire, error, 1002);
    let hello = sent(role, true, Opcode::Text, b"hello");
    let seen = support::feed(role, &limits, [&[&hello, wire, &hello].concat()[..]]);
    assert_eq!((seen.events, seen.error), (vec![Event::Text("hello".into())], Some(error.clone())));
}

/// The one event, or the error, that these bytes bring.
fn decode(connection: &mut Connection, wire: &[u8]) -> Result<Option<Event<'static>>, ProtocolError> {
    let mut wire = wire.to_vec();
    let mut input = Input::new(&mut wire);
    Ok(connection.decode(&mut input, Time::ZERO)?.map(Event::into_owned))
}

/// What the machine wants sent.
fn transmitted(connection: &mut Connection) -> Vec<(Opcode, Vec<u8>)> {
    std::iter::from_fn(|| connection.poll_transmit())
        .map(|control| (control.opcode(), control.payload().to_vec()))
        .collect()
}
