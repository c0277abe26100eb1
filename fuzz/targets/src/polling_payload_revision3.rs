//! The body of a POST of revision 3: both forms against a naive model, a round trip, the same packets in their WebSocket
//! form, and JSONP.

use engineio_proto::revision3::{Payload, PayloadForm, encode_payload};
use engineio_proto::{Framing, LengthDelimitedPackets, Packet, ParseError, Reframer, Revision, jsonp};

use crate::memory;
use crate::polling_payload::{Kept, through_websocket};

/// The most digits of a length that the decoder reads.
const MAX_LENGTH_DIGITS: usize = 20;

/// The input is a body in the text form, a body in the binary form, the form of a JSONP request, and also bytes of packets
/// that are queued for a poll.
pub fn polling_payload_revision3(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let from_text = decode(data.len().max(text.len()), || {
        Payload::text_from_bytes(data.to_vec(), text.len()).expect("the limit is its length")
    });
    assert_eq!(from_text, text_model(&text));
    check_round_trip(from_text);

    let from_binary = decode(data.len(), || Payload::binary(data.to_vec()));
    assert_eq!(from_binary, binary_model(data));
    check_round_trip(from_binary);

    check_jsonp(data, &text);
    check_any_packets(data);
}

type Decoded = Result<Kept, ParseError>;

/// Returns every packet, and checks that decoding needs little memory.
fn decode(length: usize, payload: impl Fn() -> Payload) -> Vec<Decoded> {
    let mut packets = Vec::new();
    let mut body = payload();
    while let Some(packet) = body.next_packet() {
        packets.push(packet.map(Kept::new));
    }
    assert_eq!(body.next_packet(), None, "nothing follows the end");

    let mut body = payload();
    let held = memory::peak(|| while body.next_packet().is_some() {});
    // One binary packet is decoded at a time, and base64 is decoded three bytes at a time.
    assert!(held <= length + 3, "{held} bytes are held beside a body of {length}");
    packets
}

/// Reads the text form as JavaScript does: as an array of UTF-16 code units.
fn text_model(body: &str) -> Vec<Decoded> {
    let units: Vec<u16> = body.encode_utf16().collect();
    let mut rest = &units[..];
    let mut packets = Vec::new();
    if rest.is_empty() {
        return vec![Err(ParseError::Empty)];
    }
    while !rest.is_empty() {
        let digits: Vec<u16> = rest.iter().copied().take_while(|unit| *unit != u16::from(b':')).collect();
        let digit = |unit: &u16| u8::try_from(unit.wrapping_sub(u16::from(b'0'))).unwrap_or(u8::MAX);
        let after = rest.get(digits.len() + 1..);
        let packet = after.zip(number(digits.iter().map(digit))).and_then(|(after, length)| {
            let text = String::from_utf16(after.get(..length)?).ok()?;
            rest = &after[length..];
            Some(text)
        });
        match packet {
            None => packets.push(Err(ParseError::Length)),
            Some(text) if text.is_empty() => continue,
            Some(text) => packets.push(text_packet(&text)),
        }
        if packets.last().is_some_and(Result::is_err) {
            break;
        }
    }
    packets
}

fn binary_model(mut rest: &[u8]) -> Vec<Decoded> {
    let mut packets = Vec::new();
    while let Some((&kind, after)) = rest.split_first() {
        let mut parts = after.splitn(2, |byte| *byte == 255);
        let length = number(parts.next().unwrap_or_default().iter().copied());
        let packet = parts.next().zip(length).and_then(|(after, length)| after.split_at_checked(length));
        packets.push(match (packet, kind) {
            (None, _) => Err(ParseError::Length),
            (Some((text, _)), 0) => match String::from_utf8(text.to_vec()) {
                Ok(text) => text_packet(&text),
                Err(_) => Err(ParseError::Utf8),
            },
            (Some((data, _)), 1) => binary_packet(data),
            (Some(_), _) => Err(ParseError::UnknownType),
        });
        match packet {
            Some((_, after)) if packets.last().is_some_and(Result::is_ok) => rest = after,
            _ => break,
        }
    }
    packets
}

/// Returns the number that has these digits.
fn number(digits: impl ExactSizeIterator<Item = u8>) -> Option<usize> {
    let count = digits.len();
    let digits: String = digits.map(|digit| char::from_digit(digit.into(), 10)).collect::<Option<_>>()?;
    if count > MAX_LENGTH_DIGITS { None } else { digits.parse().ok() }
}

/// Reads a packet by the rules of revision 4, which differ only in the type behind the `b`.
fn text_packet(text: &str) -> Decoded {
    let Some(typed) = text.strip_prefix('b') else { return Packet::parse(text).map(Kept::new) };
    match typed.chars().next() {
        None => Err(ParseError::Empty),
        Some('4') => Packet::parse(&typed.replacen('4', "b", 1)).map(Kept::new),
        Some(kind @ '0'..='6') => Packet::parse(&kind.to_string()).map(Kept::new),
        Some(_) => Err(ParseError::UnknownType),
    }
}

fn binary_packet(data: &[u8]) -> Decoded {
    match data {
        [] => Err(ParseError::Empty),
        [4, data @ ..] => Ok(Kept::new(Packet::Binary(data.into()))),
        [kind @ 0..=6, ..] => Packet::parse(&kind.to_string()).map(Kept::new),
        _ => Err(ParseError::UnknownType),
    }
}

/// Encodes the packets in every form of revision 3, and decodes them again.
fn check_round_trip(decoded: Vec<Decoded>) {
    let packets: Vec<Kept> = decoded.into_iter().filter_map(Result::ok).collect();
    let expected: Vec<Decoded> = packets.iter().cloned().map(Ok).collect();
    let mut waiting = Vec::new();
    packets.iter().for_each(|packet| Framing::LengthDelimited.write_packet(&packet.packet(), &mut waiting));
    let has_binary = packets.iter().any(|packet| matches!(packet.packet(), Packet::Binary(_)));

    for base64 in [false, true] {
        let mut body = Vec::new();
        let form = encode_payload(LengthDelimitedPackets::new(&waiting), base64, &mut body);
        let is_binary = form == PayloadForm::Binary;
        assert_eq!(is_binary, has_binary && !base64);
        let decoded = decode(body.len(), || match form {
            PayloadForm::Binary => Payload::binary(body.clone()),
            PayloadForm::Text => {
                Payload::text(String::from_utf8(body.clone()).expect("packets that were text are text again"))
            }
        });
        assert_eq!(decoded, expected);
    }

    for framing in [Framing::WebSocketRevision3, Framing::WebSocketRevision3Base64] {
        let mut wire = Vec::new();
        Reframer::new(framing).reframe(&waiting, |header, data| {
            wire.extend_from_slice(header);
            wire.extend_from_slice(data);
        });
        assert_eq!(through_websocket(&wire, Revision::V3), packets, "{framing:?}");
        let lengths = packets.iter().map(|packet| framing.packet_len(&packet.packet()));
        assert_eq!(wire.len(), lengths.sum::<usize>(), "{framing:?}");
    }
}

fn check_jsonp(body: &[u8], text: &str) {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let index = jsonp::Index::from_parameter(text);
    assert_eq!(index.is_some(), digits.len() <= 20, "a session keeps a short index");
    let index = index.or_else(|| jsonp::Index::from_parameter("")).expect("no digits are few");
    let script = String::from_utf8(jsonp::encode_response(&index, text)).expect("a script is text");
    let call = script.strip_prefix("___eio[").and_then(|rest| rest.strip_suffix(");")).expect("a call");
    let (index, string) = call.split_once("](").expect("an index");
    assert!(index.bytes().all(|byte| byte.is_ascii_digit()));
    assert!(!string.contains(['\u{2028}', '\u{2029}', '\n', '\r']), "a string does not span lines");
    assert_eq!(serde_json::from_str::<String>(string).expect("the string is JSON too"), text);

    if let Ok(payload) = jsonp::decode_form(body, usize::MAX) {
        assert!(payload.len() <= 3 * body.len(), "U+FFFD has three bytes");
    }
    let unescaped = jsonp::decode_form(&form(text), usize::MAX).expect("there is one field");
    assert_eq!(unescaped, unescape_model(text));
}

/// Percent-encodes every byte.
fn form(text: &str) -> Vec<u8> {
    let escapes = text.bytes().map(|byte| format!("%{byte:02x}"));
    std::iter::once("d=".to_owned()).chain(escapes).collect::<String>().into_bytes()
}

/// Does what the two regular expressions of the Node server do, from the end of the text to its start.
fn unescape_model(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut reversed = Vec::new();
    let mut end = characters.len();
    while let Some(last) = end.checked_sub(1) {
        match characters[..end] {
            [.., '\\', '\\', 'n'] => {
                reversed.extend(['n', '\\']);
                end = last - 2;
            }
            [.., '\\', 'n'] => {
                reversed.push('\n');
                end = last - 1;
            }
            _ => {
                reversed.push(characters[last]);
                end = last;
            }
        }
    }
    reversed.iter().rev().collect()
}

/// Unchecked bytes must not cause a panic, and must not write more than base64 and the lengths need.
fn check_any_packets(waiting: &[u8]) {
    for base64 in [false, true] {
        let mut payload = Vec::new();
        encode_payload(LengthDelimitedPackets::new(waiting), base64, &mut payload);
        assert!(payload.len() <= 2 * waiting.len() + 2, "{} bytes from {}", payload.len(), waiting.len());
    }
    for framing in [Framing::WebSocketRevision3, Framing::WebSocketRevision3Base64] {
        Reframer::new(framing).reframe(waiting, |_, data| assert!(data.len() <= waiting.len()));
    }
}
