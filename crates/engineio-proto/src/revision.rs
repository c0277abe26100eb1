//! The revisions of the protocol that a client can ask for.

use crate::framing::Framing;
use crate::handshake::Transport;
use crate::packet::{Packet, ParseError};
use crate::revision3;

/// A revision of the Engine.IO protocol, the `EIO` parameter of a request. A session keeps its revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revision {
    /// `EIO=3`: the clients of Socket.IO 1 and 2. The client sends the pings, and binary data has a type byte.
    V3,
    /// `EIO=4`: the clients of Socket.IO 3 and 4. The server sends the pings.
    V4,
}

impl Revision {
    /// Returns the revision that a request asks for. As in the Node server, every value but `4` means revision 3, and so
    /// does a request without the parameter.
    #[must_use]
    pub fn from_parameter(value: Option<&str>) -> Self {
        if value == Some("4") { Self::V4 } else { Self::V3 }
    }

    /// Returns the number of the revision: 3 or 4.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::V3 => 3,
            Self::V4 => 4,
        }
    }

    /// Parses a text message of a WebSocket.
    ///
    /// # Errors
    /// Returns an error if the text is not a packet of this revision.
    #[inline]
    pub fn parse_text(self, text: &str) -> Result<Packet<'_>, ParseError> {
        match self {
            Self::V4 => Packet::parse(text),
            Self::V3 => revision3::parse_text(text),
        }
    }

    /// Parses a binary message of a WebSocket.
    ///
    /// # Errors
    /// Returns an error if the data is not a packet of this revision. In revision 4, all data is a packet.
    #[inline]
    pub fn parse_binary(self, data: &[u8]) -> Result<Packet<'_>, ParseError> {
        match self {
            Self::V4 => Ok(Packet::Binary(data.into())),
            Self::V3 => revision3::parse_binary(data),
        }
    }

    /// Returns the form in which a server buffers packets for this transport. `base64` tells whether the client has asked
    /// for binary data as base64.
    #[must_use]
    pub fn framing(self, transport: Transport, base64: bool) -> Framing {
        match (self, transport) {
            (Self::V4, _) | (_, Transport::Polling) => Framing::of(transport, base64),
            (Self::V3, Transport::WebSocket) if base64 => Framing::WebSocketRevision3Base64,
            (Self::V3, Transport::WebSocket) => Framing::WebSocketRevision3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_but_4_means_revision_3() {
        for value in [None, Some("3"), Some(""), Some("5"), Some("04"), Some("4 ")] {
            assert_eq!(Revision::from_parameter(value), Revision::V3, "{value:?}");
        }
        assert_eq!(Revision::from_parameter(Some("4")), Revision::V4);
    }

    #[test]
    fn a_binary_message_has_a_type_byte_in_revision_3_only() {
        assert_eq!(Revision::V3.parse_binary(&[4, 1]), Ok(Packet::Binary(vec![1].into())));
        assert_eq!(Revision::V4.parse_binary(&[4, 1]), Ok(Packet::Binary(vec![4, 1].into())));
        assert_eq!(Revision::V3.parse_text("b4AQ=="), Ok(Packet::Binary(vec![1].into())));
        assert_eq!(Revision::V4.parse_text("bAQ=="), Ok(Packet::Binary(vec![1].into())));
    }

    #[test]
    fn only_the_websocket_frames_of_the_revisions_differ() {
        for base64 in [false, true] {
            for revision in [Revision::V3, Revision::V4] {
                assert_eq!(revision.framing(Transport::Polling, base64), Framing::LengthDelimited);
            }
        }
        assert_eq!(Revision::V3.framing(Transport::WebSocket, false), Framing::WebSocketRevision3);
        assert_eq!(Revision::V3.framing(Transport::WebSocket, true), Framing::WebSocketRevision3Base64);
        assert_eq!(Revision::V4.framing(Transport::WebSocket, false), Framing::WebSocket);
        assert_eq!(Revision::V4.framing(Transport::WebSocket, true), Framing::WebSocketBase64);
    }
}
