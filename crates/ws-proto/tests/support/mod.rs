//! A peer that encodes frames from their parts, and a reader that receives them in pieces.

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use tidewire_ws_proto::{
    ClientHandshake, Connection, ControlPayload, DeflateAgreement, DeflateOptions, Event, FrameHeader,
    HandshakeResponseError, Input, Limits, Opcode, ProtocolError, Role, Time, WebSocketUri, accept_key, mask,
    verify_upgrade_request,
};

/// Encodes a frame, masked if it is for a server.
pub(crate) fn frame(to: Role, fin: bool, opcode: Opcode, payload: &[u8], key: [u8; 4]) -> Vec<u8> {
    let key = (to == Role::Server).then_some(key);
    encode(FrameHeader { fin, masking_key: key, ..FrameHeader::unfragmented(opcode, payload.len()) }, payload)
}

/// Encodes a frame with this header, masked if the header has a key.
pub(crate) fn encode(header: FrameHeader, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header.encode().to_vec();
    let start = bytes.len();
    bytes.extend_from_slice(payload);
    if let Some(key) = header.masking_key {
        mask(&mut bytes[start..], key);
    }
    bytes
}

/// Everything that a connection reported while it received input.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Seen {
    pub(crate) events: Vec<Event<'static>>,
    pub(crate) error: Option<ProtocolError>,
    /// The control frames to send. Each Pong was taken as soon as it was queued.
    pub(crate) sent: Vec<(Opcode, Vec<u8>)>,
    pub(crate) can_send: bool,
    pub(crate) is_closed: bool,
}

/// Feeds `pieces` to a new connection, one read each.
pub(crate) fn feed<'a>(role: Role, limits: &Limits, pieces: impl IntoIterator<Item = &'a [u8]>) -> Seen {
    feed_to(Connection::new(role, limits), pieces)
}

/// Feeds `pieces` to this connection, one read each.
pub(crate) fn feed_to<'a>(mut connection: Connection, pieces: impl IntoIterator<Item = &'a [u8]>) -> Seen {
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
                Err(error) => assert_eq!(seen.error.replace(error), None, "there is only one error"),
            }
        }
        assert!(input.is_empty(), "without an event, all of the input is consumed");
    }
    seen.can_send = connection.can_send();
    seen.is_closed = connection.is_closed();
    seen
}

/// Feeds `wire` whole, byte by byte and split at every two points. Asserts that the result is always the same, and
/// returns it.
#[track_caller]
pub(crate) fn seen_at_every_split(role: Role, limits: &Limits, wire: &[u8]) -> Seen {
    let whole = feed(role, limits, [wire]);
    assert_eq!(feed(role, limits, wire.chunks(1)), whole, "byte by byte: {wire:02x?}");
    for first in 0..=wire.len() {
        for second in first..=wire.len() {
            let pieces = [&wire[..first], &wire[first..second], &wire[second..]];
            assert_eq!(feed(role, limits, pieces), whole, "cut at {first} and {second}: {wire:02x?}");
        }
    }
    whole
}

/// Asserts that `wire` causes `error` and a Close with `code`, at every split.
#[track_caller]
pub(crate) fn assert_refused(role: Role, limits: &Limits, wire: &[u8], error: &ProtocolError, code: u16) {
    let seen = seen_at_every_split(role, limits, wire);
    assert_eq!(seen.error.as_ref(), Some(error), "{wire:02x?}");
    assert_eq!(seen.sent.last(), Some(&(Opcode::Close, code.to_be_bytes().to_vec())), "{wire:02x?}");
    assert!(seen.is_closed && !seen.can_send, "{wire:02x?}");
}

pub(crate) fn payload(bytes: &[u8]) -> ControlPayload {
    ControlPayload::new(bytes).expect("at most 125 bytes")
}

/// Returns the handshake of a client with these options, and its request.
pub(crate) fn offer(client: &DeflateOptions) -> (ClientHandshake, Request<()>) {
    let offer = ClientHandshake::new([7; 16]).deflate(*client);
    let uri = WebSocketUri::parse("ws://localhost/").expect("a URI");
    let request = offer.request(&uri, &HeaderMap::new()).expect("a request");
    (offer, request)
}

/// Returns the agreement of a client with these options, if a valid response has this additional header.
pub(crate) fn verify_with_header(
    client: &DeflateOptions,
    name: HeaderName,
    value: &str,
) -> Result<Option<DeflateAgreement>, HandshakeResponseError> {
    let (offer, request) = offer(client);
    let mut headers = HeaderMap::new();
    let accept = accept_key(request.headers()["sec-websocket-key"].to_str().expect("base64"));
    headers.insert("sec-websocket-accept", HeaderValue::from_str(&accept).expect("base64"));
    headers.insert("connection", HeaderValue::from_static("Upgrade"));
    headers.insert("upgrade", HeaderValue::from_static("websocket"));
    headers.insert(name, HeaderValue::from_str(value).expect("a header value"));
    Ok(offer.verify_response(StatusCode::SWITCHING_PROTOCOLS, &headers)?.deflate().copied())
}

/// Returns the agreement of a client and a server with these options, the client's first.
pub(crate) fn agree(
    client: &DeflateOptions,
    server: &DeflateOptions,
) -> (DeflateAgreement, DeflateAgreement) {
    let (offer, request) = offer(client);
    let accepted =
        verify_upgrade_request(request.method(), request.uri(), request.version(), request.headers());
    let accepted = accepted.expect("a handshake");
    let at_server = accepted.deflate(server).expect("an agreement");
    let response = accepted.response(None, Some(&at_server));
    let agreed = offer.verify_response(response.status(), response.headers()).expect("a valid response");
    (*agreed.deflate().expect("an agreement"), at_server)
}
