//! A peer that writes frames by hand, and a reader that is fed them in pieces.

use tidewire_ws_proto::{
    Connection, ControlPayload, Event, FrameHeader, Input, Limits, Opcode, ProtocolError, Role, Time, mask,
};

/// A frame, masked if it is for a server.
pub(crate) fn frame(to: Role, fin: bool, opcode: Opcode, payload: &[u8], key: [u8; 4]) -> Vec<u8> {
    let key = (to == Role::Server).then_some(key);
    let header = FrameHeader { fin, mask: key, ..FrameHeader::message(opcode, payload.len()) };
    let mut bytes = header.encode().to_vec();
    let start = bytes.len();
    bytes.extend_from_slice(payload);
    if let Some(key) = key {
        mask(&mut bytes[start..], key, 0);
    }
    bytes
}

/// Everything a connection let see while it was fed.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Seen {
    pub(crate) events: Vec<Event<'static>>,
    pub(crate) error: Option<ProtocolError>,
    /// What it wanted sent, a Pong taken as soon as it was owed.
    pub(crate) sent: Vec<(Opcode, Vec<u8>)>,
    pub(crate) can_send: bool,
    pub(crate) is_closed: bool,
}

/// Feeds `pieces`, one read each.
pub(crate) fn feed<'a>(role: Role, limits: &Limits, pieces: impl IntoIterator<Item = &'a [u8]>) -> Seen {
    let mut connection = Connection::new(role, limits);
    let mut seen = Seen { events: vec![], error: None, sent: vec![], can_send: true, is_closed: false };
    for piece in pieces {
        let mut piece = piece.to_vec();
        let mut input = Input::new(&mut piece);
        loop {
            let result = connection.decode(&mut input, Time::ZERO);
            let transmit = std::iter::from_fn(|| connection.poll_transmit());
            seen.sent.extend(transmit.map(|control| (control.opcode(), control.payload().to_vec())));
            match result {
                Ok(Some(event)) => seen.events.push(event.into_owned()),
                Ok(None) => break,
                Err(error) => assert_eq!(seen.error.replace(error), None, "one error is all there is"),
            }
        }
        assert!(input.is_empty(), "without an event, all of the input is consumed");
    }
    seen.can_send = connection.can_send();
    seen.is_closed = connection.is_closed();
    seen
}

pub(crate) fn payload(bytes: &[u8]) -> ControlPayload {
    ControlPayload::new(bytes).expect("at most 125 bytes")
}
