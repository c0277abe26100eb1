//! The packet type, and the validation of a packet's payload.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use crate::arguments::{Arguments, RawJson};
use crate::error::DecodeError;
use crate::header::Header;
use crate::json_unescape::{replace_lone_surrogates, unescape};
use crate::parser::IncomingPacket;
use crate::placeholder::PlaceholderValidator;
use crate::scan::{self, ArraySpans, ScanError, ScanObserver};

/// A packet of Socket.IO 5, complete with its attachments.
///
/// A packet without attachments borrows from the text it was read from, and reading it allocates nothing. Use
/// [`into_owned`](Self::into_owned) to store it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Packet<'a> {
    /// A client requests a namespace, or the server accepts the request.
    Connect {
        /// The namespace, with its leading slash.
        namespace: Cow<'a, str>,
        /// A JSON object: the credentials of the client, or the server's `sid`.
        auth: Option<RawJson<'a>>,
    },
    /// The peer disconnects from a namespace.
    Disconnect {
        /// The namespace, with its leading slash.
        namespace: Cow<'a, str>,
    },
    /// An event, with or without binary data.
    Event {
        /// The namespace, with its leading slash.
        namespace: Cow<'a, str>,
        /// The id of the acknowledgement, if the peer requests one.
        ack: Option<u64>,
        /// Its name and arguments.
        event: Event<'a>,
    },
    /// The acknowledgement of an event, with or without binary data.
    Ack {
        /// The namespace, with its leading slash.
        namespace: Cow<'a, str>,
        /// The id of the acknowledgement, as sent with the event.
        id: u64,
        /// The arguments of the acknowledgement.
        arguments: Arguments<'a>,
    },
    /// The server rejects a connect request. A client never sends this packet.
    ConnectError {
        /// The namespace, with its leading slash.
        namespace: Cow<'a, str>,
        /// A JSON object with a `message` (and perhaps `data`), or a JSON string.
        data: RawJson<'a>,
    },
}

impl<'a> Packet<'a> {
    /// Returns the namespace of the packet, with its leading slash.
    #[must_use]
    pub fn namespace(&self) -> &str {
        match self {
            Self::Connect { namespace, .. }
            | Self::Disconnect { namespace }
            | Self::Event { namespace, .. }
            | Self::Ack { namespace, .. }
            | Self::ConnectError { namespace, .. } => namespace,
        }
    }

    pub(crate) fn namespace_mut(&mut self) -> &mut Cow<'a, str> {
        match self {
            Self::Connect { namespace, .. }
            | Self::Disconnect { namespace }
            | Self::Event { namespace, .. }
            | Self::Ack { namespace, .. }
            | Self::ConnectError { namespace, .. } => namespace,
        }
    }

    /// Converts the packet so that it owns its data. The name of the main namespace needs no allocation.
    #[must_use]
    pub fn into_owned(self) -> Packet<'static> {
        match self {
            Self::Connect { namespace, auth } => {
                Packet::Connect { namespace: owned_namespace(namespace), auth: auth.map(RawJson::into_owned) }
            }
            Self::Disconnect { namespace } => Packet::Disconnect { namespace: owned_namespace(namespace) },
            Self::Event { namespace, ack, event } => {
                Packet::Event { namespace: owned_namespace(namespace), ack, event: event.into_owned() }
            }
            Self::Ack { namespace, id, arguments } => {
                Packet::Ack { namespace: owned_namespace(namespace), id, arguments: arguments.into_owned() }
            }
            Self::ConnectError { namespace, data } => {
                Packet::ConnectError { namespace: owned_namespace(namespace), data: data.into_owned() }
            }
        }
    }

    /// Validates the payload in one pass, including the placeholders of a binary packet.
    pub(crate) fn from_header(header: &Header<'a>) -> Result<Self, DecodeError> {
        let Header { packet_type, attachments, namespace, id, payload } = *header;
        Self::validate(packet_type, Cow::Borrowed(namespace), id, Cow::Borrowed(payload), attachments)
    }

    /// Validates a packet that a [`PacketDecoder`](crate::PacketDecoder) has read, by the same rules.
    pub(crate) fn from_incoming(packet: IncomingPacket<'a>) -> Result<Self, DecodeError> {
        let IncomingPacket { packet_type, namespace, id, data, attachments } = packet;
        if !namespace.starts_with('/') || namespace.contains(',') {
            return Err(DecodeError::InvalidNamespace);
        }
        let packet_type = match (packet_type, attachments.is_empty()) {
            (PacketType::Event, false) => PacketType::BinaryEvent,
            (PacketType::Ack, false) => PacketType::BinaryAck,
            (PacketType::BinaryEvent, true) => PacketType::Event,
            (PacketType::BinaryAck, true) => PacketType::Ack,
            (packet_type, _) => packet_type,
        };
        let payload = data.unwrap_or_default();
        let mut packet = Self::validate(packet_type, namespace, id, payload, attachments.len())?;
        match packet.attachments_mut() {
            Some(list) => *list = attachments,
            None if attachments.is_empty() => {}
            None => return Err(DecodeError::InvalidPayload(packet_type)),
        }
        Ok(packet)
    }

    #[inline]
    fn validate(
        packet_type: PacketType,
        namespace: Cow<'a, str>,
        id: Option<u64>,
        payload: Cow<'a, str>,
        attachments: usize,
    ) -> Result<Self, DecodeError> {
        let invalid = DecodeError::InvalidPayload(packet_type);
        Ok(match packet_type {
            PacketType::Connect => {
                let auth = if payload.is_empty() { None } else { Some(scan_payload(payload)?) };
                if auth.as_ref().is_some_and(|auth| !auth.is_object()) {
                    return Err(invalid);
                }
                Self::Connect { namespace, auth }
            }
            PacketType::Disconnect if payload.is_empty() => Self::Disconnect { namespace },
            PacketType::Disconnect => return Err(invalid),
            PacketType::ConnectError => {
                if payload.is_empty() {
                    return Err(invalid);
                }
                let data = scan_payload(payload)?;
                if !data.is_object() && !data.is_string() {
                    return Err(invalid);
                }
                Self::ConnectError { namespace, data }
            }
            PacketType::BinaryEvent | PacketType::Ack | PacketType::BinaryAck
                if !starts_with_array(&payload) =>
            {
                return Err(invalid);
            }
            PacketType::Event => Self::Event { namespace, ack: id, event: Event::parse(payload)? },
            PacketType::BinaryEvent => {
                let list = scan_binary_array(&payload, attachments)?;
                Self::Event { namespace, ack: id, event: Event::new(payload, list, packet_type)? }
            }
            PacketType::Ack => {
                let list = scan_array(&payload, &mut ())?;
                Self::ack(namespace, id, payload, &list)?
            }
            PacketType::BinaryAck => {
                let list = scan_binary_array(&payload, attachments)?;
                Self::ack(namespace, id, payload, &list)?
            }
        })
    }

    /// Returns the packet's attachments.
    pub(crate) fn attachments(&self) -> &[Bytes] {
        match self {
            Self::Event { event, .. } => event.arguments.attachments(),
            Self::Ack { arguments, .. } => arguments.attachments(),
            Self::Connect { .. } | Self::Disconnect { .. } | Self::ConnectError { .. } => &[],
        }
    }

    /// Returns the list of the packet's attachments; `None` if a packet of this type has no attachments.
    pub(crate) fn attachments_mut(&mut self) -> Option<&mut Vec<Bytes>> {
        match self {
            Self::Event { event, .. } => Some(event.arguments.attachments_mut()),
            Self::Ack { arguments, .. } => Some(arguments.attachments_mut()),
            Self::Connect { .. } | Self::Disconnect { .. } | Self::ConnectError { .. } => None,
        }
    }

    fn ack(
        namespace: Cow<'a, str>,
        id: Option<u64>,
        payload: Cow<'a, str>,
        list: &ArraySpans,
    ) -> Result<Self, DecodeError> {
        let id = id.ok_or(DecodeError::MissingAckId)?;
        let payload = well_formed(payload, list.has_lone_surrogate);
        Ok(Self::Ack { namespace, id, arguments: Arguments::new(payload, list.first.start, list.len) })
    }
}

/// The type of a packet, which is its first digit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum PacketType {
    /// `0`
    Connect,
    /// `1`
    Disconnect,
    /// `2`
    Event,
    /// `3`
    Ack,
    /// `4`
    ConnectError,
    /// `5`: an event with attachments
    BinaryEvent,
    /// `6`: an acknowledgement with attachments
    BinaryAck,
}

impl PacketType {
    /// Returns the number of the type in the protocol, from 0 to 6.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// Returns the type with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        if number > 6 { None } else { Self::from_digit(char::from(b'0' + number)) }
    }

    pub(crate) fn from_digit(digit: char) -> Option<Self> {
        Some(match digit {
            '0' => Self::Connect,
            '1' => Self::Disconnect,
            '2' => Self::Event,
            '3' => Self::Ack,
            '4' => Self::ConnectError,
            '5' => Self::BinaryEvent,
            '6' => Self::BinaryAck,
            _ => return None,
        })
    }

    pub(crate) fn digit(self) -> u8 {
        b'0' + self as u8
    }
}

/// The name and the arguments of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    name: Name,
    arguments: Arguments<'a>,
}

impl<'a> Event<'a> {
    /// Reads an event from the payload of a packet without attachments.
    ///
    /// Node accepts an event without a payload and emits it without name and arguments. The specification requires that
    /// the connection is closed, and no client depends on Node's behaviour.
    pub(crate) fn parse(payload: impl Into<Cow<'a, str>>) -> Result<Self, DecodeError> {
        let payload = payload.into();
        if !starts_with_array(&payload) {
            return Err(DecodeError::InvalidPayload(PacketType::Event));
        }
        let list = scan_array(&payload, &mut ())?;
        Self::new(payload, list, PacketType::Event)
    }

    /// Takes the name and the arguments from a payload that was scanned.
    #[inline]
    fn new(payload: Cow<'a, str>, list: ArraySpans, packet_type: PacketType) -> Result<Self, DecodeError> {
        let payload = well_formed(payload, list.has_lone_surrogate);
        let Some(name) = Name::parse(&payload, list.first, list.first_has_escape) else {
            return Err(DecodeError::InvalidPayload(packet_type));
        };
        if let Some(reserved) = reserved_event(name.in_payload(&payload)) {
            return Err(DecodeError::ReservedEvent(reserved));
        }
        Ok(Self { name, arguments: Arguments::new(payload, list.second_start, list.len - 1) })
    }

    /// Returns the name of the event.
    ///
    /// If the name is a number, this returns the number as it is written. A code unit that is not valid Unicode (half
    /// of a surrogate pair) is replaced by U+FFFD.
    #[must_use]
    #[inline]
    pub fn name(&self) -> &str {
        self.name.in_payload(self.arguments.payload())
    }

    /// Returns the arguments, without the name of the event.
    #[must_use]
    #[inline]
    pub fn arguments(&self) -> &Arguments<'a> {
        &self.arguments
    }

    /// Returns the size of the memory that the event holds, in bytes: its whole text, including the name and all
    /// whitespace, and the attachments.
    #[must_use]
    pub fn size(&self) -> usize {
        let unescaped = match &self.name {
            Name::InPayload(_) => 0,
            Name::Unescaped(name) => name.len(),
        };
        self.arguments.size() + unescaped
    }

    /// Returns the memory that the event takes while it waits, in bytes, see [`Arguments::memory`].
    #[must_use]
    pub fn memory(&self) -> usize {
        self.size() + self.arguments.memory() - self.arguments.size()
    }

    /// Marks the last argument as a possible offset for recovery. If it is a string,
    /// [`Arguments::deserialize`] then reads it into a parameter that is required, but not into an `Option`, which is
    /// `None`. So an optional parameter does not get the offset that a server has appended, and no argument is lost if
    /// the server has appended none. The other methods of [`Arguments`] still return it.
    #[must_use]
    pub fn with_offset(mut self) -> Self {
        self.arguments.set_has_offset();
        self
    }

    /// Converts the event so that it owns its data. The name and the arguments share one allocation.
    #[must_use]
    pub fn into_owned(self) -> Event<'static> {
        Event { name: self.name, arguments: self.arguments.into_owned() }
    }
}

/// Event names that are reserved. If a peer sends an event with one of these names, the connection is closed. Encoding
/// such an event fails. `connection` and `error` are not reserved.
pub const RESERVED_EVENTS: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// Returns the entry of [`RESERVED_EVENTS`] that equals `name`. Most names differ from all of them in the first letter.
#[inline]
pub(crate) fn reserved_event(name: &str) -> Option<&'static str> {
    match name.as_bytes().first() {
        Some(b'c' | b'd' | b'n' | b'r') => RESERVED_EVENTS.into_iter().find(|reserved| *reserved == name),
        _ => None,
    }
}

/// The name of an event: a range of the payload, or a copy if the name is written with escapes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    InPayload(Range<usize>),
    Unescaped(Box<str>),
}

impl Name {
    /// Reads the first element of an event's payload. Returns `None` if it is neither a string nor a number.
    #[inline]
    fn parse(payload: &str, element: Range<usize>, has_escape: bool) -> Option<Self> {
        // If there is no element, this is the closing bracket.
        match payload.as_bytes().get(element.start)? {
            b'"' if has_escape => Some(Self::Unescaped(unescape(&payload[element]).into())),
            b'"' => Some(Self::InPayload(element.start + 1..element.end - 1)),
            b'-' | b'0'..=b'9' => Some(Self::InPayload(element)),
            _ => None,
        }
    }

    /// Returns the name. `payload` is the payload that it was read from.
    #[inline]
    fn in_payload<'n>(&'n self, payload: &'n str) -> &'n str {
        match self {
            Self::InPayload(range) => &payload[range.clone()],
            Self::Unescaped(name) => name,
        }
    }
}

fn owned_namespace(namespace: Cow<'_, str>) -> Cow<'static, str> {
    if namespace == "/" { Cow::Borrowed("/") } else { Cow::Owned(namespace.into_owned()) }
}

/// Returns a payload whose strings are valid Unicode. The positions in it stay the same.
#[inline]
fn well_formed(payload: Cow<'_, str>, has_lone_surrogate: bool) -> Cow<'_, str> {
    if has_lone_surrogate { Cow::Owned(replace_lone_surrogates(&payload)) } else { payload }
}

#[inline]
fn starts_with_array(payload: &str) -> bool {
    payload.trim_ascii_start().starts_with('[')
}

pub(crate) fn scan_json(payload: &str) -> Result<RawJson<'_>, DecodeError> {
    let has_lone_surrogate = scan::scan_value(payload).map_err(decode_error)?;
    Ok(RawJson::new(well_formed(Cow::Borrowed(payload), has_lone_surrogate)))
}

fn scan_payload(payload: Cow<'_, str>) -> Result<RawJson<'_>, DecodeError> {
    match payload {
        Cow::Borrowed(payload) => scan_json(payload),
        Cow::Owned(payload) => scan_json(&payload).map(RawJson::into_owned),
    }
}

fn scan_array<W: ScanObserver>(payload: &str, observer: &mut W) -> Result<ArraySpans, DecodeError> {
    scan::scan_array(payload, observer).map_err(decode_error)
}

fn scan_binary_array(payload: &str, attachments: usize) -> Result<ArraySpans, DecodeError> {
    let mut placeholders = PlaceholderValidator::new(attachments);
    let list = scan_array(payload, &mut placeholders)?;
    if placeholders.all_valid() { Ok(list) } else { Err(DecodeError::InvalidPlaceholder { attachments }) }
}

fn decode_error(error: ScanError) -> DecodeError {
    match error {
        ScanError::Syntax(offset) => DecodeError::InvalidJson { offset },
        ScanError::ReservedKey(offset) => DecodeError::ReservedKey { offset },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::DecoderLimits;

    fn parse(text: &str) -> Result<Packet<'_>, DecodeError> {
        Packet::from_header(&Header::parse(text, &DecoderLimits::default())?)
    }

    #[test]
    fn the_size_of_an_event_counts_its_name_and_its_whitespace() {
        for text in [r#"2["abc"]"#, r#"2["a",1]"#, r#"2["a"   ]"#, r#"2 ["a"]  "#] {
            assert_eq!(event(text).size(), text.len() - 1, "{text}");
        }
        assert_eq!(event(r#"2["\u0061"]"#).size(), 10 + 1);
    }

    #[test]
    fn an_attachment_takes_memory_beside_its_bytes() {
        let mut event = event(r#"2["\u0061",1]"#);
        assert_eq!(event.memory(), event.size());
        let size = event.size();
        event.arguments.attachments_mut().extend((0..1_000).map(|_| Bytes::from_static(b"x")));
        assert_eq!((event.size(), event.memory()), (size + 1_000, size + 1_000 * 57));
    }

    fn event(text: &str) -> Event<'_> {
        match parse(text) {
            Ok(Packet::Event { event, .. }) => event,
            other => panic!("{text} is an event, not {other:?}"),
        }
    }

    #[test]
    fn the_name_of_an_event_is_its_first_element() {
        for (text, name, len) in [
            (r#"2["foo"]"#, "foo", 0),
            (r#"2 [ "foo" , 1 , [2,3] ] "#, "foo", 2),
            (r#"2["",1]"#, "", 1),
            (r#"2[12,"x"]"#, "12", 1),
            (r#"2[-0.5]"#, "-0.5", 0),
            (r#"2["é☃😀",1]"#, "é☃😀", 1),
            (r#"2["a\"b\\c\n\u00e9\ud83d\ude00",1]"#, "a\"b\\c\né😀", 1),
            (r#"2["cut \ud83d",1]"#, "cut \u{fffd}", 1),
            // These names are allowed, although they look reserved.
            (r#"2["connection"]"#, "connection", 0),
            (r#"2["error"]"#, "error", 0),
            (r#"2["message",null]"#, "message", 1),
        ] {
            assert_eq!((event(text).name(), event(text).arguments().len()), (name, len), "{text}");
            assert_eq!(event(text).into_owned().name(), name, "{text}");
        }
    }

    #[test]
    fn a_name_without_escapes_and_its_arguments_are_borrowed() {
        let text = r#"2["foo",1]"#;
        let event = event(text);
        assert_eq!(event.name().as_ptr(), text[3..].as_ptr());
        assert_eq!(event.arguments().json_elements().as_ptr(), text[8..].as_ptr());
    }

    #[test]
    fn an_id_in_a_packet_that_needs_none_is_ignored() {
        assert_eq!(parse("07{}"), parse("0{}"));
        assert_eq!(parse("17"), parse("1"));
        assert_eq!(parse(r#"47{"message":"x"}"#), parse(r#"4{"message":"x"}"#));
    }

    #[test]
    fn a_payload_must_be_valid_for_its_packet_type() {
        use DecodeError::*;
        use PacketType::*;
        for (text, error) in [
            ("0[]", InvalidPayload(Connect)),
            ("0null", InvalidPayload(Connect)),
            (r#"0"x""#, InvalidPayload(Connect)),
            ("0{", InvalidJson { offset: 1 }),
            ("0x", InvalidJson { offset: 0 }),
            ("1{}", InvalidPayload(Disconnect)),
            ("1 ", InvalidPayload(Disconnect)),
            ("4", InvalidPayload(ConnectError)),
            ("4[]", InvalidPayload(ConnectError)),
            ("4null", InvalidPayload(ConnectError)),
            ("2", InvalidPayload(Event)),
            ("2/admin", InvalidPayload(Event)),
            ("27", InvalidPayload(Event)),
            ("2{}", InvalidPayload(Event)),
            (r#"2"foo""#, InvalidPayload(Event)),
            ("2[]", InvalidPayload(Event)),
            ("2[null]", InvalidPayload(Event)),
            ("2[true]", InvalidPayload(Event)),
            (r#"2[["foo"]]"#, InvalidPayload(Event)),
            (r#"2[{"a":1}]"#, InvalidPayload(Event)),
            (r#"2["foo""#, InvalidJson { offset: 6 }),
            (r#"2["foo"] "x""#, InvalidJson { offset: 8 }),
            (r#"2["foo",undefined]"#, InvalidJson { offset: 7 }),
            ("3[]", MissingAckId),
            ("31", InvalidPayload(Ack)),
            ("31{}", InvalidPayload(Ack)),
            ("31[", InvalidJson { offset: 1 }),
            ("51-", InvalidPayload(BinaryEvent)),
            ("51-{}", InvalidPayload(BinaryEvent)),
            ("51-[]", InvalidPayload(BinaryEvent)),
            ("61-[]", MissingAckId),
            (r#"51-["a",{"_placeholder":true,"num":1}]"#, InvalidPlaceholder { attachments: 1 }),
            (r#"61-1[{"_placeholder":true}]"#, InvalidPlaceholder { attachments: 1 }),
            (r#"2["c\u006fnnect"]"#, ReservedEvent("connect")),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn reserved_names_are_rejected_in_both_event_types() {
        for name in RESERVED_EVENTS {
            for prefix in ["2", "51-/a,7"] {
                let text = format!(r#"{prefix}["{name}",1]"#);
                assert_eq!(parse(&text), Err(DecodeError::ReservedEvent(name)), "{text}");
            }
        }
    }

    #[test]
    fn every_packet_type_has_its_digit() {
        for digit in '0'..='6' {
            assert_eq!(PacketType::from_digit(digit).map(|t| char::from(t.digit())), Some(digit));
        }
        for number in 0..=u8::MAX {
            let expected = (number < 7).then_some(number);
            assert_eq!(PacketType::from_number(number).map(PacketType::number), expected);
        }
    }

    #[test]
    fn text_that_is_not_unicode_is_delivered_with_replacement_characters() {
        fn decode(text: &str) -> Packet<'_> {
            Packet::from_header(&Header::parse(text, &DecoderLimits::default()).unwrap()).unwrap()
        }
        let Packet::Event { event, .. } = decode(r#"2["cut \ud83d",{"\ude00":"a\ud83d"},"b"]"#) else {
            panic!()
        };
        assert_eq!(event.name(), "cut \u{fffd}");
        let (member, last): (std::collections::BTreeMap<String, String>, String) =
            event.arguments().deserialize().unwrap();
        assert_eq!(member.into_iter().next(), Some(("\u{fffd}".to_owned(), "a\u{fffd}".to_owned())));
        assert_eq!(last, "b");
        let Packet::Ack { arguments, .. } = decode(r#"37["\ud83d"]"#) else { panic!() };
        assert_eq!(arguments.deserialize(), Ok("\u{fffd}".to_owned()));
        let Packet::Connect { auth: Some(auth), .. } = decode(r#"0{"token":"\udc00"}"#) else { panic!() };
        assert_eq!(auth.as_str(), r#"{"token":"\ufffd"}"#);
        let key = r#"2["e",{"$serde_json::private::\ud800":"1"}]"#;
        let header = Header::parse(key, &DecoderLimits::default()).unwrap();
        assert!(Packet::from_header(&header).is_err(), "a reserved key cannot hide behind half a pair");
    }
}
