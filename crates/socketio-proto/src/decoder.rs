//! Reads packets from the messages of a connection.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

use crate::arguments::ATTACHMENT_COST;
use crate::error::DecodeError;
use crate::header::Header;
use crate::limits::DecoderLimits;
use crate::list_count;
use crate::packet::Packet;
use crate::parser::{Message, PacketDecoder, Parser};

/// Reads the packets of one connection, message by message, and joins a binary packet with its attachments.
///
/// After an error the connection must be closed. The incomplete packet, if there was one, is discarded. A decoder
/// without an incomplete packet uses no heap memory.
///
/// ```
/// use tidewire_socketio_proto::{Decoder, DecoderLimits, Packet};
///
/// let mut decoder = Decoder::new(&DecoderLimits::default());
/// assert_eq!(decoder.decode_text(r#"51-["image",{"_placeholder":true,"num":0}]"#)?, None);
/// let Some(Packet::Event { event, .. }) = decoder.decode_binary(&[0xff, 0xd8][..])? else {
///     panic!("the event is complete");
/// };
/// let image: Vec<u8> = event.arguments().deserialize()?;
/// assert_eq!(image, [0xff, 0xd8]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    limits: PackedLimits,
    /// `None` if the next message is a packet of the default parser. So another parser costs the default one nothing.
    state: Option<Box<State>>,
}

/// The limits, in less memory, because every idle connection has them.
#[derive(Debug, Clone, Copy)]
struct PackedLimits {
    max_attachment_bytes: usize,
    /// At most `u32::MAX`, which no packet exceeds.
    max_attachments: u32,
    /// The same.
    max_lists_and_objects: u32,
}

enum State {
    Partial(Partial),
    Parser(ParserState),
}

/// The state of another parser than the default one.
struct ParserState {
    decoder: Box<dyn PacketDecoder>,
    /// Whether the last message was not the last one of its packet.
    awaits_message: bool,
}

/// A packet whose attachments have not all arrived.
#[derive(Debug)]
struct Partial {
    packet: Packet<'static>,
    text_bytes: usize,
    attachment_bytes: usize,
    awaited: usize,
}

impl PackedLimits {
    fn new(limits: &DecoderLimits) -> Self {
        let pack = |number| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            max_attachment_bytes: limits.max_attachment_bytes,
            max_attachments: pack(limits.max_attachments),
            max_lists_and_objects: pack(limits.max_lists_and_objects),
        }
    }

    fn unpack(self) -> DecoderLimits {
        DecoderLimits {
            max_attachments: self.max_attachments as usize,
            max_attachment_bytes: self.max_attachment_bytes,
            max_lists_and_objects: self.max_lists_and_objects as usize,
        }
    }
}

impl Decoder {
    /// Creates a decoder of the default parser for a new connection.
    #[must_use]
    pub fn new(limits: &DecoderLimits) -> Self {
        Self { limits: PackedLimits::new(limits), state: None }
    }

    /// Creates a decoder of another parser for a new connection. Of the limits, only
    /// [`max_attachment_bytes`](DecoderLimits::max_attachment_bytes) applies to it: to what it stores for an incomplete
    /// packet.
    #[must_use]
    pub fn with_parser(parser: &dyn Parser, limits: &DecoderLimits) -> Self {
        let parser = ParserState { decoder: parser.decoder(), awaits_message: false };
        Self { limits: PackedLimits::new(limits), state: Some(Box::new(State::Parser(parser))) }
    }

    /// Decodes a text message. Returns `None` if the message announces attachments. They must follow as binary
    /// messages.
    ///
    /// # Errors
    /// Returns an error if the text is not a valid packet, or if an attachment was expected instead.
    pub fn decode_text<'a>(&mut self, text: &'a str) -> Result<Option<Packet<'a>>, DecodeError> {
        if let Some(state) = self.state.take() {
            return self.decode_text_in(state, text);
        }
        let limits = self.limits.unpack();
        let header = Header::parse(text, &limits)?;
        limits.check_payload(header.payload)?;
        let packet = Packet::from_header(&header)?;
        if header.attachments == 0 {
            return Ok(Some(packet));
        }
        self.state = Some(Box::new(State::Partial(Partial {
            packet: packet.into_owned(),
            text_bytes: text.len(),
            attachment_bytes: 0,
            awaited: header.attachments,
        })));
        Ok(None)
    }

    /// Returns the header of a text message if it is an event of the default parser without attachments, no attachment is
    /// expected, and the text is too short for too many lists. [`Event::parse`](crate::Event) reads its payload. For all
    /// other messages, call [`decode_text`](Self::decode_text).
    #[inline]
    pub(crate) fn plain_event_header<'a>(&self, text: &'a str) -> Option<Header<'a>> {
        if self.state.is_some()
            || list_count::may_exceed(text.len(), self.limits.max_lists_and_objects as usize)
        {
            return None;
        }
        Header::of_event(text)
    }

    #[cold]
    fn decode_text_in<'a>(
        &mut self,
        mut state: Box<State>,
        text: &'a str,
    ) -> Result<Option<Packet<'a>>, DecodeError> {
        match &mut *state {
            State::Partial(partial) => Err(DecodeError::UnexpectedText { awaited: partial.awaited }),
            State::Parser(parser) => {
                let decoded = parser.decode(Message::Text(text), &self.limits.unpack());
                self.state = Some(state);
                decoded
            }
        }
    }

    /// Decodes a binary message, which is the next attachment. Returns `None` if more attachments must follow. Borrowed
    /// data is copied, and owned data is kept without a copy.
    ///
    /// # Errors
    /// Returns an error if no attachment is expected, or if the attachments of the packet exceed the size limit
    /// together.
    pub fn decode_binary<'d>(
        &mut self,
        data: impl Into<Cow<'d, [u8]>>,
    ) -> Result<Option<Packet<'static>>, DecodeError> {
        let Some(mut state) = self.state.take() else {
            return Err(DecodeError::UnexpectedBinary);
        };
        let data = data.into();
        match &mut *state {
            State::Parser(parser) => {
                let decoded = parser.decode(Message::Binary(data), &self.limits.unpack());
                self.state = Some(state);
                decoded.map(|packet| packet.map(Packet::into_owned))
            }
            State::Partial(partial) => {
                partial.push(data, &self.limits.unpack())?;
                if partial.awaited > 0 {
                    self.state = Some(state);
                    return Ok(None);
                }
                match *state {
                    State::Partial(partial) => Ok(Some(partial.packet)),
                    State::Parser(_) => Ok(None),
                }
            }
        }
    }

    /// Returns whether the packet of the last message continues with another message: with an attachment, or with what
    /// its parser expects. A driver that sets a deadline for the next message starts it when this becomes true.
    #[must_use]
    pub fn awaits_message(&self) -> bool {
        match self.state.as_deref() {
            None => false,
            Some(State::Partial(_)) => true,
            Some(State::Parser(parser)) => parser.awaits_message,
        }
    }

    /// Returns the number of attachments that must follow before the next packet. If another parser than the default
    /// one is used, returns zero.
    #[must_use]
    pub fn awaited_attachments(&self) -> usize {
        match self.state.as_deref() {
            Some(State::Partial(partial)) => partial.awaited,
            None | Some(State::Parser(_)) => 0,
        }
    }

    /// Drops the incomplete packet and the state of a parser, because the connection is closed. No message may follow.
    pub(crate) fn discard(&mut self) {
        self.state = None;
    }

    /// Returns the number of bytes that the decoder stores for an incomplete packet.
    #[inline]
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.state.as_deref().map_or(0, State::pending_bytes)
    }

    /// Returns the memory that an incomplete packet takes, in bytes: the bytes that the decoder stores, and a fixed cost for
    /// each attachment, see [`Arguments::memory`](crate::Arguments::memory).
    #[inline]
    #[must_use]
    pub fn pending_memory(&self) -> usize {
        self.state.as_deref().map_or(0, State::pending_memory)
    }
}

impl DecoderLimits {
    fn check_payload(&self, payload: &str) -> Result<(), DecodeError> {
        match list_count::may_exceed(payload.len(), self.max_lists_and_objects) {
            true => list_count::check(payload, self.max_lists_and_objects),
            false => Ok(()),
        }
    }
}

impl State {
    fn pending_bytes(&self) -> usize {
        match self {
            Self::Partial(partial) => partial.text_bytes + partial.attachment_bytes,
            Self::Parser(parser) => parser.decoder.pending_bytes(),
        }
    }

    fn pending_memory(&self) -> usize {
        let attachments = match self {
            Self::Partial(partial) => partial.packet.attachments().len(),
            Self::Parser(_) => 0,
        };
        self.pending_bytes() + attachments * ATTACHMENT_COST
    }
}

impl Partial {
    /// Adds the next attachment.
    fn push(&mut self, data: Cow<'_, [u8]>, limits: &DecoderLimits) -> Result<(), DecodeError> {
        self.attachment_bytes = self.attachment_bytes.saturating_add(data.len());
        if self.attachment_bytes > limits.max_attachment_bytes {
            return Err(DecodeError::AttachmentsTooLarge { max: limits.max_attachment_bytes });
        }
        if let Some(attachments) = self.packet.attachments_mut() {
            attachments.push(match data {
                Cow::Borrowed(data) => Bytes::copy_from_slice(data),
                Cow::Owned(data) => Bytes::from(data),
            });
        }
        self.awaited -= 1;
        Ok(())
    }
}

impl ParserState {
    fn decode<'m>(
        &mut self,
        message: Message<'m>,
        limits: &DecoderLimits,
    ) -> Result<Option<Packet<'m>>, DecodeError> {
        let incoming = self.decoder.decode(message)?;
        self.awaits_message = incoming.is_none();
        if self.awaits_message && self.decoder.pending_bytes() > limits.max_attachment_bytes {
            return Err(DecodeError::AttachmentsTooLarge { max: limits.max_attachment_bytes });
        }
        let Some(incoming) = incoming else { return Ok(None) };
        if let Some(data) = &incoming.data {
            limits.check_payload(data)?;
        }
        Packet::from_incoming(incoming).map(Some)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Partial(partial) => partial.fmt(f),
            Self::Parser(_) => f.debug_struct("Parser").finish_non_exhaustive(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EncodeError;
    use crate::parser::{IncomingPacket, MessageBatch, OutgoingPacket, PacketType};

    fn decoder() -> Decoder {
        Decoder::new(&DecoderLimits::default())
    }

    #[test]
    fn an_idle_decoder_is_small() {
        assert!(size_of::<Decoder>() <= 24, "{}", size_of::<Decoder>());
    }

    #[test]
    fn a_binary_packet_is_complete_with_its_last_attachment() {
        let mut decoder = decoder();
        let text = r#"52-/admin,7["a",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]"#;
        assert_eq!(decoder.decode_text(text), Ok(None));
        assert_eq!(decoder.awaited_attachments(), 2);
        assert_eq!(decoder.decode_binary(&[1][..]), Ok(None));
        assert_eq!(decoder.pending_bytes(), text.len() + 1);
        let Ok(Some(Packet::Event { namespace, ack, event })) = decoder.decode_binary(vec![2, 2]) else {
            panic!("the packet is complete");
        };
        assert_eq!((&*namespace, ack, event.name()), ("/admin", Some(7), "a"));
        assert_eq!(event.arguments().attachments(), [&[1][..], &[2, 2]]);
        assert_eq!((decoder.awaited_attachments(), decoder.pending_bytes()), (0, 0));
        assert_eq!(decoder.decode_binary(vec![3]), Err(DecodeError::UnexpectedBinary));
    }

    #[test]
    fn a_binary_acknowledgement_is_an_acknowledgement() {
        let mut decoder = decoder();
        assert_eq!(decoder.decode_text(r#"61-/admin,7[{"_placeholder":true,"num":0}]"#), Ok(None));
        let Ok(Some(Packet::Ack { namespace, id, arguments })) = decoder.decode_binary(&b"xyz"[..]) else {
            panic!("the packet is complete");
        };
        assert_eq!((&*namespace, id), ("/admin", 7));
        assert_eq!(arguments.deserialize(), Ok((Bytes::from("xyz"),)));
    }

    #[test]
    fn a_text_between_attachments_is_an_error_and_discards_the_packet() {
        let mut decoder = decoder();
        assert_eq!(decoder.decode_text(r#"52-["a"]"#), Ok(None));
        assert_eq!(decoder.decode_binary(vec![1]), Ok(None));
        assert_eq!(decoder.decode_text(r#"2["b"]"#), Err(DecodeError::UnexpectedText { awaited: 1 }));
        assert_eq!(decoder.decode_binary(vec![2]), Err(DecodeError::UnexpectedBinary));
        assert!(matches!(decoder.decode_text(r#"2["b"]"#), Ok(Some(_))));
    }

    #[test]
    fn the_number_of_attachments_is_limited() {
        let mut decoder = decoder();
        assert_eq!(decoder.decode_text(r#"511-["a"]"#), Err(DecodeError::TooManyAttachments { max: 10 }));
        assert_eq!(decoder.decode_text(r#"510-["a"]"#), Ok(None));
        for _ in 0..9 {
            assert_eq!(decoder.decode_binary(&[][..]), Ok(None));
        }
        assert!(matches!(decoder.decode_binary(&[][..]), Ok(Some(_))));

        let limits = DecoderLimits { max_attachments: 11, ..DecoderLimits::default() };
        assert_eq!(Decoder::new(&limits).decode_text(r#"511-["a"]"#), Ok(None));
    }

    #[test]
    fn the_number_of_lists_and_objects_is_limited_with_every_parser_and_every_type() {
        let limits = DecoderLimits { max_lists_and_objects: 6, ..DecoderLimits::default() };
        let error = DecodeError::TooManyListsAndObjects { max: 6 };
        let decode = |text: &str| Decoder::new(&limits).decode_text(text).map(|_| ());
        for (prefix, suffix) in
            [("2/[[[[[[[,0", ""), ("3/a,7", ""), ("51-", ""), ("61-7", ""), (r#"0{"a":"#, "}")]
        {
            let of = |lists: usize| {
                let count = lists - usize::from(!suffix.is_empty());
                format!(
                    r#"{prefix}["e"{}]{suffix}"#,
                    ",[{}]".repeat((count - 1) / 2) + [",[]", ""][count % 2]
                )
            };
            assert_eq!(decode(&of(6)), Ok(()), "{}", of(6));
            assert_eq!(decode(&of(7)), Err(error.clone()), "{}", of(7));
        }
        let decoder = Decoder::new(&limits);
        assert!(decoder.plain_event_header(r#"2["e",[]]"#).is_some());
        assert!(decoder.plain_event_header(r#"2["e",[],[],[],[],[],[]]"#).is_none());

        let decode = |lists: usize| {
            let (start, end) = (b"\x84\xa4type\x02\xa4data\x92\xa1e", b"\x90\xa3nsp\xa1/\xa2id\x01");
            let message = [&start[..], &vec![0x91; lists - 2], end].concat();
            Decoder::with_parser(&crate::MessagePackParser, &limits).decode_binary(message).map(|_| ())
        };
        assert_eq!(decode(6), Ok(()));
        assert_eq!(decode(7), Err(error));
    }

    #[test]
    fn an_attachment_without_bytes_takes_memory() {
        let mut decoder = Decoder::new(&DecoderLimits::default());
        decoder.decode_text(r#"53-["a"]"#).unwrap();
        let text = decoder.pending_bytes();
        for attachments in 1..3 {
            decoder.decode_binary(&[][..]).unwrap();
            assert_eq!((decoder.pending_bytes(), decoder.pending_memory()), (text, text + attachments * 56));
        }
        decoder.decode_binary(&[][..]).unwrap();
        assert_eq!(decoder.pending_memory(), 0);
    }

    #[test]
    fn the_total_size_of_attachments_is_limited() {
        let limits = DecoderLimits { max_attachment_bytes: 5, ..DecoderLimits::default() };
        let mut decoder = Decoder::new(&limits);
        for (first, second, fits) in [(2, 3, true), (5, 0, true), (3, 3, false), (6, 0, false)] {
            decoder.decode_text(r#"52-["a"]"#).unwrap();
            let result =
                decoder.decode_binary(vec![0; first]).and_then(|_| decoder.decode_binary(vec![0; second]));
            let expected = Err(DecodeError::AttachmentsTooLarge { max: 5 });
            assert!(
                if fits { matches!(result, Ok(Some(_))) } else { result == expected },
                "{first} {second}"
            );
            assert_eq!(decoder.pending_bytes(), 0);
        }
    }

    /// A packet is any number of texts, and ends with a binary message.
    #[derive(Debug, Default)]
    struct Texts(usize);

    impl Parser for Texts {
        fn decoder(&self) -> Box<dyn PacketDecoder> {
            Box::<Self>::default()
        }

        fn encode(&self, _: &OutgoingPacket<'_>, _: &mut MessageBatch) -> Result<(), EncodeError> {
            Ok(())
        }
    }

    impl PacketDecoder for Texts {
        fn decode<'m>(&mut self, message: Message<'m>) -> Result<Option<IncomingPacket<'m>>, DecodeError> {
            let Message::Text(text) = message else {
                self.0 = 0;
                return Ok(Some(IncomingPacket::new(PacketType::Disconnect, "/")));
            };
            self.0 += text.len();
            Ok(None)
        }

        fn pending_bytes(&self) -> usize {
            self.0
        }
    }

    #[test]
    fn what_another_parser_stores_for_an_incomplete_packet_is_limited() {
        let limits = DecoderLimits { max_attachment_bytes: 5, ..DecoderLimits::default() };
        let mut decoder = Decoder::with_parser(&Texts(0), &limits);
        assert!(!decoder.awaits_message());
        for (text, pending) in [("ab", 2), ("", 2), ("cde", 5)] {
            assert_eq!(decoder.decode_text(text), Ok(None));
            assert_eq!((decoder.awaits_message(), decoder.pending_bytes()), (true, pending));
        }
        assert!(matches!(decoder.decode_binary(&[][..]), Ok(Some(Packet::Disconnect { .. }))));
        assert!(!decoder.awaits_message());
        assert_eq!(decoder.decode_text("abcdef"), Err(DecodeError::AttachmentsTooLarge { max: 5 }));
    }

    #[test]
    fn the_golden_texts_are_read() {
        for (text, namespace) in [
            ("0", "/"),
            (r#"0/admin,{"token":"1"}"#, "/admin"),
            (r#"0{"sid":"0xQBpexfJpleO9L7AAAA","pid":"4bf-DZ8rM16mE8ZdAAAB"}"#, "/"),
            (r#"2["foo"]"#, "/"),
            (r#"2["back",1,"Q81oiVD"]"#, "/"),
            (r#"2/admin,456["x",1]"#, "/admin"),
            (r#"3/admin,13["bar"]"#, "/admin"),
            (r#"4/nope,{"message":"Invalid namespace"}"#, "/nope"),
            (r#"4/mw,{"message":"bad","data":{"k":1}}"#, "/mw"),
            (r#"4"Invalid namespace""#, "/"),
            ("1/admin,", "/admin"),
            ("1", "/"),
        ] {
            let packet = decoder().decode_text(text).unwrap().unwrap();
            assert_eq!(packet.namespace(), namespace, "{text}");
            assert_eq!(packet.clone().into_owned(), packet, "{text}");
        }
    }

    #[test]
    fn every_prefix_of_a_packet_is_decoded_or_rejected() {
        for text in [
            r#"0/admin,{"token":"1\u00e9"}"#,
            r#"2/é☃,456["x\ud83d\ude00",-1.5e+3,{"a":[true,false,null,"é☃😀"]}]"#,
            r#"3/admin,13["bar",[]]"#,
            r#"4/nope,{"message":"Invalid namespace"}"#,
            r#"52-/a,1["baz",{"_placeholder":true,"num":0},[{"_placeholder":true,"num":1}]]"#,
        ] {
            assert!(decoder().decode_text(text).is_ok(), "{text}");
            let payload = text.find(['[', '{']).unwrap();
            for (end, _) in text.char_indices() {
                let prefix = &text[..end];
                let complete = matches!(prefix, "0" | "0/admin" | "0/admin,")
                    || prefix.starts_with("0/") && end <= payload;
                assert_eq!(decoder().decode_text(prefix).is_ok(), complete, "{prefix}");
            }
        }
    }
}
