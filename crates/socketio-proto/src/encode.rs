//! Encodes packets. Each function writes one packet in one pass into a [`MessageEncoder`].
//!
//! Arguments follow the same rule as in [`Arguments::deserialize`](crate::Arguments::deserialize): a tuple is the list
//! of arguments, `()` is no argument, and any other type (including an array) is one argument. A value that serde
//! serializes as bytes (`Bytes`, the types of `serde_bytes`) becomes an attachment, at any depth. serde serializes a
//! `Vec<u8>` as a list of numbers.
//!
//! [`protocol4`] has the packets that differ for clients of Socket.IO 4.
//!
//! The namespace is written unchanged. The caller must make sure that it begins with `/` and contains no comma.

pub mod protocol4;

use bytes::Bytes;
use engineio_proto::{EncodedMessage, MessageEncoder};
use serde::Serialize;

use crate::argument_shape::{ArgumentShape, argument_shape};
use crate::arguments::RawJson;
use crate::error::{DecodeError, EncodeError};
use crate::json_string::write_json_string;
use crate::number::write_integer;
use crate::packet::{Packet, PacketType, reserved_event};
use crate::parser::IncomingPacket;
use crate::placeholder::PlaceholderValidator;
use crate::scan::scan_value_prefix;
use crate::serializer::write_value;

/// Encodes an event. With `ack`, the event requests an acknowledgement with this id.
///
/// ```
/// use engineio_proto::MessageEncoder;
/// use tidewire_socketio_proto::encode;
///
/// let mut encoder = MessageEncoder::new();
/// let message = encode::event(&mut encoder, "/", Some(7), "say", &("hello", [1, 2]))?;
/// assert_eq!(message.text(), r#"27["say","hello",[1,2]]"#);
/// # Ok::<(), tidewire_socketio_proto::EncodeError>(())
/// ```
///
/// # Errors
/// Returns an error if the name is reserved, or if the arguments cannot be encoded.
pub fn event<'e, T: Serialize + ?Sized>(
    encoder: &'e mut MessageEncoder,
    namespace: &str,
    ack: Option<u64>,
    name: &str,
    arguments: &T,
) -> Result<EncodedMessage<'e>, EncodeError> {
    // Even for a refused event, so that what was set for this message does not apply to the next one.
    begin(encoder, namespace, ack);
    if reserved_event(name).is_some() {
        return Err(EncodeError::ReservedEvent(name.to_owned()));
    }
    encoder.text().push(b'[');
    write_json_string(encoder.text(), name);
    match argument_shape::<T>() {
        ArgumentShape::Empty => encoder.text().push(b']'),
        ArgumentShape::Tuple => {
            // A tuple is written as an array. Its opening bracket becomes the comma after the name, and its closing
            // bracket closes the event.
            let bracket = encoder.text().len();
            write_arguments(encoder, arguments)?;
            let text = encoder.text();
            if text.len() == bracket + 2 {
                text.remove(bracket);
            } else {
                text[bracket] = b',';
            }
        }
        ArgumentShape::Single => {
            encoder.text().push(b',');
            write_arguments(encoder, arguments)?;
            encoder.text().push(b']');
        }
    }
    Ok(finish(encoder, PacketType::Event, PacketType::BinaryEvent))
}

/// Encodes an event that is JSON already: the list of its name and its arguments, as
/// [`EncodedEvent::json`](crate::EncodedEvent::json) returns it. It may come from a peer. The objects
/// `{"_placeholder":true,"num":N}` in it stand for the attachments.
///
/// ```
/// use bytes::Bytes;
/// use engineio_proto::MessageEncoder;
/// use tidewire_socketio_proto::{EncodedEvent, encode};
///
/// let mut encoder = MessageEncoder::new();
/// let image = EncodedEvent::encode(&mut encoder, "/", None, "image", &Bytes::from_static(&[7]))?;
/// let relayed = encode::json_event(&mut encoder, "/", image.json(), image.attachments().to_vec())?;
/// assert_eq!(relayed.text(), image.message().text());
/// assert!(encode::json_event(&mut encoder, "/", r#"["connect"]"#, vec![]).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Returns an error if the text is not the JSON of an event, if the name is reserved, or if the placeholders and the
/// attachments do not fit each other.
pub fn json_event<'e>(
    encoder: &'e mut MessageEncoder,
    namespace: &str,
    json: &str,
    attachments: Vec<Bytes>,
) -> Result<EncodedMessage<'e>, DecodeError> {
    let packet = IncomingPacket::new(PacketType::Event, namespace).with_json(json, attachments);
    let Packet::Event { event, .. } = Packet::from_incoming(packet)? else {
        return Err(DecodeError::InvalidPayload(PacketType::Event));
    };
    let arguments = event.arguments();
    let payload = arguments.payload().trim_ascii();
    let elements = payload.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(payload);
    let trimmed = elements.trim_ascii();
    if trimmed.len() == elements.len() {
        return Ok(raw_event(encoder, namespace, None, payload, arguments.attachments()));
    }
    // Other code finds the name and the last argument at the brackets.
    Ok(raw_event(encoder, namespace, None, &format!("[{trimmed}]"), arguments.attachments()))
}

/// Encodes an event whose name and arguments are JSON already. The placeholders in `json` are numbered in the order of
/// the attachments.
pub(crate) fn raw_event<'e>(
    encoder: &'e mut MessageEncoder,
    namespace: &str,
    ack: Option<u64>,
    json: &str,
    attachments: &[Bytes],
) -> EncodedMessage<'e> {
    begin(encoder, namespace, ack);
    let (text, encoded) = encoder.text_and_attachments();
    text.extend_from_slice(json.as_bytes());
    attachments.iter().for_each(|attachment| encoded.push(attachment));
    finish(encoder, PacketType::Event, PacketType::BinaryEvent)
}

/// Encodes the acknowledgement of an event. `id` is the id that the event was sent with.
///
/// # Errors
/// Returns an error if the arguments cannot be encoded.
pub fn ack<'e, T: Serialize + ?Sized>(
    encoder: &'e mut MessageEncoder,
    namespace: &str,
    id: u64,
    arguments: &T,
) -> Result<EncodedMessage<'e>, EncodeError> {
    begin(encoder, namespace, Some(id));
    match argument_shape::<T>() {
        ArgumentShape::Empty => encoder.text().extend_from_slice(b"[]"),
        ArgumentShape::Tuple => write_arguments(encoder, arguments)?,
        ArgumentShape::Single => {
            encoder.text().push(b'[');
            write_arguments(encoder, arguments)?;
            encoder.text().push(b']');
        }
    }
    Ok(finish(encoder, PacketType::Ack, PacketType::BinaryAck))
}

/// Encodes the response of a server that accepts a connect request. It carries the id of the socket.
pub fn connect<'e>(encoder: &'e mut MessageEncoder, namespace: &str, sid: &str) -> EncodedMessage<'e> {
    begin(encoder, namespace, None);
    write_members(encoder.text(), &[("sid", Some(sid))]);
    encoder.text().push(b'}');
    finish(encoder, PacketType::Connect, PacketType::Connect)
}

/// Encodes the response of a server that accepts a connect request and supports connection state recovery. In addition
/// to the id of the socket, it carries the private id that the client sends when it reconnects.
pub fn connect_with_pid<'e>(
    encoder: &'e mut MessageEncoder,
    namespace: &str,
    sid: &str,
    pid: &str,
) -> EncodedMessage<'e> {
    begin(encoder, namespace, None);
    write_members(encoder.text(), &[("sid", Some(sid)), ("pid", Some(pid))]);
    encoder.text().push(b'}');
    finish(encoder, PacketType::Connect, PacketType::Connect)
}

/// Encodes the connect request of a client for a namespace.
///
/// `auth` holds the credentials as a JSON object. For connection state recovery, `pid` is the private id that the
/// client received from the server, and `offset` is the offset of the last event it received. An `offset` without a
/// `pid` is ignored.
///
/// ```
/// use engineio_proto::MessageEncoder;
/// use tidewire_socketio_proto::{RawJson, encode};
///
/// let mut encoder = MessageEncoder::new();
/// let auth = RawJson::object(&serde_json::json!({"token": "1"}))?;
/// let message = encode::connect_request(&mut encoder, "/chat", Some(&auth), Some("p"), Some("o"));
/// assert_eq!(message.text(), r#"0/chat,{"pid":"p","offset":"o","token":"1"}"#);
/// # Ok::<(), tidewire_socketio_proto::EncodeError>(())
/// ```
pub fn connect_request<'e>(
    encoder: &'e mut MessageEncoder,
    namespace: &str,
    auth: Option<&RawJson<'_>>,
    pid: Option<&str>,
    offset: Option<&str>,
) -> EncodedMessage<'e> {
    begin(encoder, namespace, None);
    let text = encoder.text();
    let members = auth.and_then(|auth| auth.as_str().strip_prefix('{'));
    if pid.is_some() {
        write_members(text, &[("pid", pid), ("offset", offset)]);
        // The fields of the auth payload come last, so that they take precedence over `pid` and `offset`, as in
        // JavaScript.
        match members.map(str::trim_ascii_start) {
            Some(members) if !members.starts_with('}') => {
                text.push(b',');
                text.extend_from_slice(members.as_bytes());
            }
            _ => text.push(b'}'),
        }
    } else if let Some(auth) = auth {
        text.extend_from_slice(auth.as_str().as_bytes());
    }
    finish(encoder, PacketType::Connect, PacketType::Connect)
}

/// Encodes the response of a server that rejects a connect request. `data` holds details for the program of the client.
///
/// The packet has no attachments. Bytes in `data` are written as lists of numbers.
///
/// # Errors
/// Returns an error if the data cannot be encoded.
pub fn connect_error<'e, T: Serialize + ?Sized>(
    encoder: &'e mut MessageEncoder,
    namespace: &str,
    message: &str,
    data: Option<&T>,
) -> Result<EncodedMessage<'e>, EncodeError> {
    begin(encoder, namespace, None);
    encoder.text().extend_from_slice(br#"{"message":"#);
    write_json_string(encoder.text(), message);
    if let Some(data) = data {
        let text = encoder.text();
        text.extend_from_slice(br#","data":"#);
        write_value(text, None, data)?;
    }
    encoder.text().push(b'}');
    Ok(finish(encoder, PacketType::ConnectError, PacketType::ConnectError))
}

/// Encodes a disconnect packet. A server sends it to disconnect a socket, and a client sends it to disconnect from a
/// namespace.
pub fn disconnect<'e>(encoder: &'e mut MessageEncoder, namespace: &str) -> EncodedMessage<'e> {
    begin(encoder, namespace, None);
    finish(encoder, PacketType::Disconnect, PacketType::Disconnect)
}

/// Writes everything between the packet type and the payload, except the number of attachments.
#[inline]
fn begin(encoder: &mut MessageEncoder, namespace: &str, id: Option<u64>) {
    encoder.begin();
    let text = encoder.text();
    if namespace != "/" {
        text.extend_from_slice(namespace.as_bytes());
        text.push(b',');
    }
    if let Some(id) = id {
        write_integer(text, id);
    }
    encoder.begin_body();
}

/// Prepends the packet type and the number of attachments. Both are known only after the payload has been written.
#[inline]
fn finish(encoder: &mut MessageEncoder, plain: PacketType, binary: PacketType) -> EncodedMessage<'_> {
    if encoder.text_and_attachments().1.count() == 0 {
        encoder.prepend(&[plain.digit()]);
        return encoder.finish();
    }
    finish_binary(encoder, binary)
}

#[inline(never)]
fn finish_binary(encoder: &mut MessageEncoder, binary: PacketType) -> EncodedMessage<'_> {
    let mut count = encoder.text_and_attachments().1.count();
    encoder.prepend(b"-");
    while count > 0 {
        encoder.prepend(&[b'0' + (count % 10) as u8]);
        count /= 10;
    }
    encoder.prepend(&[binary.digit()]);
    encoder.finish()
}

/// Writes the beginning of an object with the members that have a value, without the closing brace.
fn write_members(text: &mut Vec<u8>, members: &[(&str, Option<&str>)]) {
    let mut separator = b'{';
    for (name, value) in members {
        let Some(value) = value else { continue };
        text.push(separator);
        write_json_string(text, name);
        text.push(b':');
        write_json_string(text, value);
        separator = b',';
    }
}

fn write_arguments<T: Serialize + ?Sized>(
    encoder: &mut MessageEncoder,
    arguments: &T,
) -> Result<(), EncodeError> {
    let (text, attachments) = encoder.text_and_attachments();
    let start = text.len();
    write_value(text, Some(&mut *attachments), arguments)?;
    match attachments.count() {
        0 => Ok(()),
        count => check_placeholders(&text[start..], count),
    }
}

/// Checks that each placeholder in the text stands for one of the attachments. A program that relays an object of a client
/// beside binary values could otherwise send one that looks like a placeholder.
#[cold]
fn check_placeholders(text: &[u8], attachments: usize) -> Result<(), EncodeError> {
    let (mut keys, mut placeholders, mut rest) = (0, 0, text);
    while let Some(at) = memchr::memchr(b'_', rest) {
        if rest[..at].ends_with(b"\"") {
            keys += usize::from(rest[at..].starts_with(br#"_placeholder""#));
            placeholders += usize::from(rest[at..].starts_with(br#"_placeholder":true"#));
        }
        rest = &rest[at + 1..];
    }
    let is_valid = placeholders == attachments
        // Raw JSON of a client may have spaces between the key and its value, or escapes in the key.
        && (keys == attachments && !text.contains(&b'\\')
            || has_only_placeholders_of(text, attachments));
    if is_valid { Ok(()) } else { Err(EncodeError::PlaceholderLike) }
}

/// Returns whether the text has one placeholder for each of the attachments, and no other one.
fn has_only_placeholders_of(text: &[u8], attachments: usize) -> bool {
    let mut placeholders = PlaceholderValidator::new(attachments);
    let scanned =
        std::str::from_utf8(text).is_ok_and(|text| scan_value_prefix(text, &mut placeholders).is_ok());
    scanned && placeholders.all_valid()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use serde_json::value::RawValue;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_object_that_looks_like_a_placeholder_is_refused_beside_binary_values_only() {
        let like = || json!({"_placeholder": true, "num": 0});
        assert_eq!(event_text(&(like(),)), r#"2["x",{"_placeholder":true,"num":0}]"#);
        let bytes = Bytes::from_static(b"x");
        let mut encoder = MessageEncoder::new();
        for refused in [(like(), &bytes), (json!([{"a": {"_placeholder": true}}]), &bytes)] {
            let error = event(&mut encoder, "/", None, "e", &refused).unwrap_err();
            assert_eq!(error, EncodeError::PlaceholderLike);
            assert_eq!(ack(&mut encoder, "/", 1, &refused).unwrap_err(), EncodeError::PlaceholderLike);
        }
        for accepted in [json!({"_placeholder": false}), json!("\"_placeholder\":true")] {
            assert!(event(&mut encoder, "/", None, "e", &(accepted, &bytes)).is_ok());
        }
    }

    #[test]
    fn raw_json_that_looks_like_a_placeholder_is_refused_beside_binary_values_however_it_is_written() {
        let bytes = Bytes::from_static(b"x");
        let mut encoder = MessageEncoder::new();
        let mut relay = |json: &str| {
            let raw: Box<RawValue> = serde_json::from_str(json).unwrap();
            event(&mut encoder, "/", None, "e", &(raw, &bytes)).map(|_| ())
        };
        for forged in [
            r#"{"_placeholder":true,"num":0}"#,
            r#"{"_placeholder" :true,"num":0}"#,
            r#"{"_placeholder": true,"num":7}"#,
            r#"[{"a":{"\u005fplaceholder":true,"num":0}}]"#,
            "{\"_placeholder\":false,\"_placeholder\"\n:\ttrue}",
        ] {
            assert_eq!(relay(forged), Err(EncodeError::PlaceholderLike), "{forged}");
        }
        for text in [
            r#""_placeholder""#,
            r#"{"_placeholder" : false,"num":0}"#,
            r#"{"a":"line\nline \"_placeholder\":true"}"#,
        ] {
            assert_eq!(relay(text), Ok(()), "{text}");
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "each test reads as one expression")]
    fn take_apart(message: EncodedMessage<'_>) -> (String, Vec<Vec<u8>>) {
        (message.text().to_owned(), message.attachments().map(<[u8]>::to_vec).collect())
    }

    fn event_text<T: Serialize + ?Sized>(arguments: &T) -> String {
        let mut encoder = MessageEncoder::new();
        take_apart(event(&mut encoder, "/", None, "x", arguments).unwrap()).0
    }

    fn ack_text<T: Serialize + ?Sized>(arguments: &T) -> String {
        let mut encoder = MessageEncoder::new();
        take_apart(ack(&mut encoder, "/", 0, arguments).unwrap()).0
    }

    #[test]
    fn the_golden_texts_are_written() {
        let mut encoder = MessageEncoder::new();
        let e = &mut encoder;
        let none = None::<&()>;
        assert_eq!(take_apart(event(e, "/", None, "foo", &()).unwrap()).0, r#"2["foo"]"#);
        assert_eq!(take_apart(event(e, "/admin", Some(456), "x", &1).unwrap()).0, r#"2/admin,456["x",1]"#);
        assert_eq!(
            take_apart(event(e, "/", None, "back", &(1, "Q81oiVD")).unwrap()).0,
            r#"2["back",1,"Q81oiVD"]"#
        );
        assert_eq!(take_apart(ack(e, "/admin", 13, "bar").unwrap()).0, r#"3/admin,13["bar"]"#);
        assert_eq!(
            take_apart(connect(e, "/", "0xQBpexfJpleO9L7AAAA")).0,
            r#"0{"sid":"0xQBpexfJpleO9L7AAAA"}"#
        );
        assert_eq!(take_apart(connect(e, "/admin", "x")).0, r#"0/admin,{"sid":"x"}"#);
        assert_eq!(
            take_apart(connect_error(e, "/nope", "Invalid namespace", none).unwrap()).0,
            r#"4/nope,{"message":"Invalid namespace"}"#
        );
        assert_eq!(
            take_apart(connect_error(e, "/mw", "bad", Some(&json!({"k": 1}))).unwrap()).0,
            r#"4/mw,{"message":"bad","data":{"k":1}}"#
        );
        assert_eq!(take_apart(disconnect(e, "/")).0, "1");
        assert_eq!(take_apart(disconnect(e, "/admin")).0, "1/admin,");
    }

    #[test]
    fn a_client_requests_a_namespace_and_recovery() {
        let mut encoder = MessageEncoder::new();
        let mut request = |auth: Option<&RawJson<'_>>, pid, offset| {
            take_apart(connect_request(&mut encoder, "/", auth, pid, offset)).0
        };
        let auth = RawJson::object(&json!({"token": 1})).unwrap();
        let empty = RawJson::EMPTY_OBJECT;
        assert_eq!(request(None, None, None), "0");
        assert_eq!(request(Some(&empty), None, None), "0{}");
        assert_eq!(request(Some(&auth), None, None), r#"0{"token":1}"#);
        assert_eq!(request(None, Some("p"), None), r#"0{"pid":"p"}"#);
        assert_eq!(request(Some(&empty), Some("p"), Some("\"")), r#"0{"pid":"p","offset":"\""}"#);
        assert_eq!(request(Some(&auth), Some("p"), Some("o")), r#"0{"pid":"p","offset":"o","token":1}"#);
        assert_eq!(request(None, None, Some("o")), "0", "an offset without a private id is ignored");
        let e = &mut encoder;
        assert_eq!(take_apart(connect_with_pid(e, "/a", "s", "p")).0, r#"0/a,{"sid":"s","pid":"p"}"#);
    }

    #[test]
    fn bytes_become_attachments_in_order() {
        let mut encoder = MessageEncoder::new();
        let image = Bytes::from_static(&[1, 2]);
        assert_eq!(
            take_apart(event(&mut encoder, "/", None, "back", &(&image, "Q81oi-U")).unwrap()),
            (r#"51-["back",{"_placeholder":true,"num":0},"Q81oi-U"]"#.into(), vec![vec![1, 2]])
        );
        assert_eq!(
            take_apart(ack(&mut encoder, "/admin", 7, &image).unwrap()),
            (r#"61-/admin,7[{"_placeholder":true,"num":0}]"#.into(), vec![vec![1, 2]])
        );
        let deep = BTreeMap::from([("a", Some(Bytes::from("A"))), ("b", None), ("c", Some(Bytes::new()))]);
        assert_eq!(
            take_apart(event(&mut encoder, "/", Some(3), "x", &[deep]).unwrap()),
            (
                r#"52-3["x",[{"a":{"_placeholder":true,"num":0},"b":null,"c":{"_placeholder":true,"num":1}}]]"#.into(),
                vec![b"A".to_vec(), vec![]]
            )
        );
        assert_eq!(event_text(&[1u8, 2]), r#"2["x",[1,2]]"#);
    }

    #[test]
    fn a_tuple_is_the_list_of_arguments_and_any_other_type_is_one_argument() {
        for (arguments, text) in [
            (event_text(&()), r#"2["x"]"#),
            (event_text(&((),)), r#"2["x",null]"#),
            (event_text(&(1, "two", None::<u8>)), r#"2["x",1,"two",null]"#),
            (event_text(&&(1, 2)), r#"2["x",1,2]"#),
            (event_text(&((1, 2), 3)), r#"2["x",[1,2],3]"#),
            (event_text("text"), r#"2["x","text"]"#),
            (event_text(&[1, 2]), r#"2["x",[1,2]]"#),
            (event_text(&[1, 2][..]), r#"2["x",[1,2]]"#),
            (event_text(&vec![(1, 2)]), r#"2["x",[[1,2]]]"#),
            (event_text(&Some(1)), r#"2["x",1]"#),
            (event_text(&Value::Null), r#"2["x",null]"#),
            (ack_text(&()), "30[]"),
            (ack_text(&(1, "two")), r#"30[1,"two"]"#),
            (ack_text(&(1,)), "30[1]"),
            (ack_text(&[1, 2]), "30[[1,2]]"),
            (ack_text("text"), r#"30["text"]"#),
        ] {
            assert_eq!(arguments, text);
        }
    }

    #[test]
    fn ordinary_values_are_written_as_javascript_writes_them() {
        let value = json!({"a": [1.0, 0.5, 1e21, -0.0], "b": "é\"\u{1}", "c": null, "d": true});
        assert_eq!(event_text(&value), r#"2["x",{"a":[1,0.5,1e+21,0],"b":"é\"\u0001","c":null,"d":true}]"#);
        assert_eq!(event_text(&HashMap::from([(1, 2)])), r#"2["x",{"1":2}]"#);
        assert_eq!(event_text(&(f64::NAN,)), r#"2["x",null]"#);
    }

    #[test]
    fn a_name_is_escaped() {
        let mut encoder = MessageEncoder::new();
        let message = event(&mut encoder, "/", None, "a\"b\n", &()).unwrap();
        assert_eq!(take_apart(message).0, r#"2["a\"b\n"]"#);
    }

    #[test]
    fn packets_that_a_peer_would_reject_are_not_encoded() {
        let mut encoder = MessageEncoder::new();
        for name in crate::packet::RESERVED_EVENTS {
            let refused = event(&mut encoder, "/", None, name, &()).unwrap_err();
            assert_eq!(refused, EncodeError::ReservedEvent(name.to_owned()));
        }
        let many = |count| vec![Bytes::from("x"); count];
        assert_eq!(take_apart(event(&mut encoder, "/", None, "x", &many(10)).unwrap()).1.len(), 10);
        let refused = event(&mut encoder, "/", None, "x", &many(11)).unwrap_err();
        assert_eq!(refused, EncodeError::TooManyAttachments { max: 10 });
        let refused = ack(&mut encoder, "/", 0, &many(11)).unwrap_err();
        assert_eq!(refused, EncodeError::TooManyAttachments { max: 10 });
        let refused = event(&mut encoder, "/", None, "x", &HashMap::from([((), 1)])).unwrap_err();
        assert!(matches!(refused, EncodeError::Serialize { .. }), "{refused}");
        encoder.lift_attachment_limit();
        assert!(event(&mut encoder, "/", None, "connect", &()).is_err());
        assert!(event(&mut encoder, "/", None, "x", &many(11)).is_err(), "it was lifted for another message");
        encoder.lift_attachment_limit();
        assert_eq!(take_apart(event(&mut encoder, "/", None, "x", &many(11)).unwrap()).1.len(), 11);
        // Failed encodings leave no data in the encoder.
        assert_eq!(
            take_apart(event(&mut encoder, "/", None, "x", &()).unwrap()),
            (r#"2["x"]"#.into(), vec![])
        );
    }

    #[test]
    fn a_long_namespace_does_not_matter() {
        let mut encoder = MessageEncoder::new();
        let namespace = format!("/{}", "n".repeat(300));
        let message = event(&mut encoder, &namespace, Some(u64::MAX), "x", &Bytes::from("b")).unwrap();
        let (text, attachments) = take_apart(message);
        assert_eq!(text, format!(r#"51-{namespace},{}["x",{{"_placeholder":true,"num":0}}]"#, u64::MAX));
        assert_eq!(attachments, [b"b"]);
    }
}
