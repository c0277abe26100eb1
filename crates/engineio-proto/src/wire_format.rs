//! What the first request of a session decides about its packets: the revision, base64, and JSONP.

use crate::framing::{Framing, LengthDelimitedPackets};
use crate::handshake::Transport;
use crate::jsonp::{self, FormError, Index};
use crate::packet::{Packet, ParseError};
use crate::payload::{self, Payload};
use crate::revision::Revision;
use crate::revision3::{self, PayloadForm};

/// The form of a session's packets, which its first request chooses with `EIO`, `b64` and `j`. Later requests do not
/// change it. Only a WebSocket that the session upgrades to has a `b64` of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireFormat {
    /// The revision of the protocol.
    pub revision: Revision,
    /// The client takes binary data only as base64. Polling in revision 4 always uses base64.
    pub base64: bool,
    /// The client polls with scripts and forms ([JSONP](jsonp)).
    pub jsonp: Option<Index>,
}

impl Default for WireFormat {
    /// Revision 4, binary data, no JSONP.
    fn default() -> Self {
        Self { revision: Revision::V4, base64: false, jsonp: None }
    }
}

/// The body of the response to a GET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseBody {
    /// The payload, or the script that contains it.
    pub bytes: Vec<u8>,
    /// The content type of the response.
    pub content_type: ContentType,
    /// Whether the response may be compressed: unless all its packets say that they must not be.
    pub compress: bool,
}

/// The content type of the response to a GET.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentType {
    /// A payload in its text form.
    Text,
    /// A payload in the binary form of revision 3.
    Binary,
    /// A script of JSONP. The Node server calls it text. With its proper type, it can be sent with
    /// `X-Content-Type-Options: nosniff`, so that no browser takes it for a page.
    Script,
}

impl ContentType {
    /// Returns the value of the header.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text/plain; charset=UTF-8",
            Self::Binary => "application/octet-stream",
            Self::Script => "text/javascript; charset=UTF-8",
        }
    }
}

/// The packets of a POST, of either revision. A driver can stop in the middle and continue later.
#[derive(Debug)]
pub enum PostPayload {
    /// A payload of revision 4.
    V4(Payload),
    /// A payload of revision 3.
    V3(revision3::Payload),
}

impl PostPayload {
    /// Returns the memory of the body, in bytes. It may be three times as long as what was received, because each byte
    /// that is no text has become U+FFFD.
    #[must_use]
    pub fn memory(&self) -> usize {
        match self {
            Self::V4(payload) => payload.memory(),
            Self::V3(payload) => payload.memory(),
        }
    }

    /// Returns the next packet. After the first error it returns `None`. The packets before the error are valid.
    pub fn next_packet(&mut self) -> Option<Result<Packet<'_>, ParseError>> {
        match self {
            Self::V4(payload) => payload.next_packet(),
            Self::V3(payload) => payload.next_packet(),
        }
    }
}

impl WireFormat {
    /// Returns the form in which the session buffers its packets for this transport.
    #[must_use]
    pub fn framing(&self, transport: Transport) -> Framing {
        self.revision.framing(transport, self.base64)
    }

    /// Returns whether a POST may have the content type `application/octet-stream`, which means the binary form of
    /// revision 3.
    #[must_use]
    pub fn allows_binary_post(&self) -> bool {
        self.revision == Revision::V3
    }

    /// Reads the body of a POST. `is_binary` tells whether its content type is `application/octet-stream`. JSONP has no
    /// binary form, and ignores it.
    ///
    /// A form without a payload is a payload with an invalid packet: the session must not go on as if it had received
    /// everything.
    ///
    /// Returns `None` if the text is longer than `limit` bytes. See [`Payload::from_bytes`].
    #[must_use]
    pub fn decode_post(&self, body: Vec<u8>, is_binary: bool, limit: usize) -> Option<PostPayload> {
        if self.jsonp.is_some() {
            let payload = match jsonp::decode_form(&body, limit) {
                Ok(payload) => payload,
                Err(FormError::NoPayload) => String::new(),
                Err(FormError::TooLong) => return None,
            };
            return Some(match self.revision {
                Revision::V4 => PostPayload::V4(Payload::new(payload)),
                Revision::V3 => PostPayload::V3(revision3::Payload::text(payload)),
            });
        }
        match self.revision {
            Revision::V4 => Payload::from_bytes(body, limit).map(PostPayload::V4),
            Revision::V3 if is_binary => Some(PostPayload::V3(revision3::Payload::binary(body))),
            Revision::V3 => revision3::Payload::text_from_bytes(body, limit).map(PostPayload::V3),
        }
    }

    /// Returns the body of the response to a GET.
    #[must_use]
    pub fn encode_response(&self, packets: LengthDelimitedPackets<'_>, length_hint: usize) -> ResponseBody {
        let compress = packets.allow_compression();
        let mut bytes = Vec::with_capacity(length_hint);
        let form = match self.revision {
            Revision::V4 => {
                payload::encode_payload(packets, &mut bytes);
                PayloadForm::Text
            }
            Revision::V3 => {
                let base64 = self.base64 || self.jsonp.is_some();
                revision3::encode_payload(packets, base64, &mut bytes)
            }
        };
        if let Some(index) = &self.jsonp {
            let bytes = jsonp::encode_response(index, &String::from_utf8_lossy(&bytes));
            return ResponseBody { bytes, content_type: ContentType::Script, compress };
        }
        let content_type = match form {
            PayloadForm::Text => ContentType::Text,
            PayloadForm::Binary => ContentType::Binary,
        };
        ResponseBody { bytes, content_type, compress }
    }

    /// Returns the body of a response with these packets of the server itself.
    #[must_use]
    pub fn encode_packets(&self, packets: &[Packet<'_>]) -> ResponseBody {
        let mut waiting = Vec::new();
        for packet in packets {
            Framing::LengthDelimited.write_packet(packet, &mut waiting);
        }
        self.encode_response(LengthDelimitedPackets::new(&waiting), waiting.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(revision: Revision, base64: bool, index: Option<&str>) -> WireFormat {
        let jsonp = index.map(|index| Index::from_parameter(index).expect("few digits"));
        WireFormat { revision, base64, jsonp }
    }

    const PACKETS: [Packet<'static>; 2] =
        [Packet::Message("€\""), Packet::Binary(std::borrow::Cow::Borrowed(&[1, 2, 3, 4]))];

    #[test]
    fn a_response_has_the_form_that_the_first_request_has_chosen() {
        use ContentType::{Binary, Script, Text};
        for (revision, base64, index, body, content_type) in [
            (Revision::V4, false, None, &b"4\xe2\x82\xac\"\x1ebAQIDBA=="[..], Text),
            (Revision::V4, true, None, b"4\xe2\x82\xac\"\x1ebAQIDBA==", Text),
            (Revision::V3, true, None, b"3:4\xe2\x82\xac\"10:b4AQIDBA==", Text),
            (
                Revision::V3,
                false,
                None,
                b"\x00\x05\xff4\xe2\x82\xac\"\x01\x05\xff\x04\x01\x02\x03\x04",
                Binary,
            ),
            (Revision::V4, false, Some("7"), b"___eio[7](\"4\xe2\x82\xac\\\"\\u001ebAQIDBA==\");", Script),
            // In revision 3, a script has the text form even if the client has not asked for base64.
            (Revision::V3, false, Some("0"), b"___eio[0](\"3:4\xe2\x82\xac\\\"10:b4AQIDBA==\");", Script),
        ] {
            let response = format(revision, base64, index).encode_packets(&PACKETS);
            assert_eq!((&*response.bytes, response.content_type), (body, content_type));
        }
        let text = format(Revision::V3, false, None).encode_packets(&[Packet::Message("a"), Packet::Noop]);
        assert_eq!((&*text.bytes, text.content_type), (&b"2:4a1:6"[..], Text));
    }

    fn packets(format: &WireFormat, body: &[u8], is_binary: bool) -> Vec<Result<String, ParseError>> {
        let mut payload = format.decode_post(body.to_vec(), is_binary, 100).expect("it is short");
        let mut packets = Vec::new();
        while let Some(packet) = payload.next_packet() {
            packets.push(packet.map(|packet| format!("{packet:?}")));
        }
        packets
    }

    #[test]
    fn a_post_is_read_in_the_form_that_the_first_request_has_chosen() {
        let (v4, v3) = (format(Revision::V4, false, None), format(Revision::V3, false, None));
        let message = |text: &str| Ok(format!("Message({text:?})"));
        let bytes = || Ok("Binary([1])".to_owned());
        assert_eq!(packets(&v4, b"4a\x1ebAQ==", false), [message("a"), bytes()]);
        assert_eq!(packets(&v3, b"2:4a6:b4AQ==", false), [message("a"), bytes()]);
        assert_eq!(packets(&v3, b"\x00\x02\xff4a\x01\x02\xff\x04\x01", true), [message("a"), bytes()]);
        for is_binary in [false, true] {
            let v4 = format(Revision::V4, false, Some("1"));
            assert_eq!(packets(&v4, b"d=4a%1ebAQ%3D%3D", is_binary), [message("a"), bytes()]);
            let v3 = format(Revision::V3, true, Some("1"));
            assert_eq!(packets(&v3, b"d=2%3A4a6%3Ab4AQ%3D%3D", is_binary), [message("a"), bytes()]);
            assert_eq!(packets(&v3, b"x=1", is_binary), [Err(ParseError::Empty)]);
            assert!(v3.decode_post(b"d=2:4a".to_vec(), is_binary, 3).is_none());
        }
        assert!(v3.decode_post(b"2:4\xff".to_vec(), false, 5).is_none());
        assert!(v3.decode_post(b"2:4\xff".to_vec(), false, 6).is_some());
    }
}
