//! Decodes a message of ours as a client does.

use engineio_proto::{EncodedMessage, Framing};
use socketio_proto::{Decoder, DecoderLimits, Packet};
use ws_proto::{Connection, Event, Input, Role, Time};

/// Returns what our client would receive. The frames go through WebSocket, the messages through a decoder.
pub(crate) fn received(message: EncodedMessage<'_>) -> Packet<'static> {
    let mut wire = Vec::new();
    message.write(Framing::WebSocket, |part| wire.extend_from_slice(part));
    let mut input = Input::new(&mut wire);
    let mut connection = Connection::new(Role::Client, &ws_proto::Limits::default());
    let mut decoder = Decoder::new(&DecoderLimits::default());
    loop {
        let event = connection.decode(&mut input, Time::ZERO).expect("our frames are valid");
        let packet = match event.expect("a message is complete") {
            Event::Text(text) => {
                let text = text.strip_prefix('4').expect("a message begins with its type");
                decoder.decode_text(text).map(|packet| packet.map(Packet::into_owned))
            }
            Event::Binary(data) => decoder.decode_binary(data),
            other => panic!("{other:?} was not sent"),
        };
        if let Some(packet) = packet.expect("what we send is a packet") {
            assert!(input.is_empty(), "a message is one packet");
            return packet;
        }
    }
}
