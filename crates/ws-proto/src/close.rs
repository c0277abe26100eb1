//! The Close frame: status codes and reasons (RFC 6455 §5.5.1 and §7.4).

use std::fmt::{self, Write};
use std::ops::Deref;

use crate::error::ProtocolError;
use crate::frame::MAX_CONTROL_PAYLOAD;

/// A status code that may be sent in a Close frame.
///
/// The codes 1005, 1006 and 1015 describe what an endpoint observed. They are never sent, so this type does not have
/// them.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CloseCode(u16);

impl CloseCode {
    /// The connection has served its purpose.
    pub const NORMAL: CloseCode = CloseCode(1000);
    /// The server shuts down, or the browser leaves the page.
    pub const GOING_AWAY: CloseCode = CloseCode(1001);
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: CloseCode = CloseCode(1002);
    /// The endpoint received a kind of data that it cannot accept.
    pub const UNSUPPORTED_DATA: CloseCode = CloseCode(1003);
    /// The data does not match its type, for example text that is not UTF-8.
    pub const INVALID_PAYLOAD: CloseCode = CloseCode(1007);
    /// The peer violated a policy, and no other code is more specific.
    pub const POLICY_VIOLATION: CloseCode = CloseCode(1008);
    /// A message is too big to be processed.
    pub const MESSAGE_TOO_BIG: CloseCode = CloseCode(1009);
    /// The client requires an extension that the server did not accept.
    pub const MANDATORY_EXTENSION: CloseCode = CloseCode(1010);
    /// The server cannot fulfil the request because of an unexpected condition.
    pub const INTERNAL_ERROR: CloseCode = CloseCode(1011);
    /// The server restarts. Clients should reconnect after a random delay.
    pub const SERVICE_RESTART: CloseCode = CloseCode(1012);
    /// The server is overloaded. Clients should reconnect later.
    pub const TRY_AGAIN_LATER: CloseCode = CloseCode(1013);
    /// A gateway received an invalid response from its upstream server.
    pub const BAD_GATEWAY: CloseCode = CloseCode(1014);

    /// Creates a code, or returns `None` if `code` must not be sent. Valid are 1000–1003, 1007–1014 (the registry of
    /// §11.7) and 3000–4999.
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(CloseCode(code)),
            _ => None,
        }
    }

    /// Returns the code as a number.
    pub const fn as_u16(self) -> u16 {
        self.0
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> u16 {
        code.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The reason in a Close frame: at most 123 bytes of UTF-8, since the status code takes two of the 125 bytes of a
/// control frame.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct CloseReason(Box<str>);

impl CloseReason {
    /// The maximum length of a reason in bytes.
    pub const MAX_LEN: usize = MAX_CONTROL_PAYLOAD - 2;

    /// Creates a reason, or returns `None` if `reason` is longer than [`MAX_LEN`](Self::MAX_LEN).
    pub fn new(reason: &str) -> Option<Self> {
        (reason.len() <= Self::MAX_LEN).then(|| CloseReason(reason.into()))
    }

    /// Creates a reason from the longest prefix of `reason` that fits and ends at a character boundary.
    pub fn truncated(reason: &str) -> Self {
        let mut end = reason.len().min(Self::MAX_LEN);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        CloseReason(reason[..end].into())
    }
}

impl Deref for CloseReason {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for CloseReason {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The payload of a Close frame that has one.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CloseFrame {
    /// The status code.
    pub code: CloseCode,
    /// The reason, often empty. It is meant for logs, not for users (§7.1.6).
    pub reason: CloseReason,
}

impl CloseFrame {
    /// Creates a payload from `code` and `reason`. The reason is cut at a character boundary if it is longer than
    /// [`CloseReason::MAX_LEN`].
    pub fn new(code: CloseCode, reason: &str) -> Self {
        CloseFrame { code, reason: CloseReason::truncated(reason) }
    }

    /// Parses the payload of a Close frame (§5.5.1): either empty, or a code and a reason.
    pub(crate) fn parse(payload: &[u8]) -> Result<Option<Self>, ProtocolError> {
        let Some((code, reason)) = payload.split_first_chunk::<2>() else {
            return if payload.is_empty() { Ok(None) } else { Err(ProtocolError::CloseTooShort) };
        };
        let code = u16::from_be_bytes(*code);
        let code = CloseCode::new(code).ok_or(ProtocolError::InvalidCloseCode(code))?;
        let reason = std::str::from_utf8(reason).map_err(|_| ProtocolError::InvalidCloseReason)?;
        Ok(Some(CloseFrame::new(code, reason)))
    }

    pub(crate) fn encode(&self) -> Box<[u8]> {
        [&self.code.0.to_be_bytes(), self.reason.as_bytes()].concat().into()
    }
}

impl From<CloseCode> for CloseFrame {
    fn from(code: CloseCode) -> Self {
        CloseFrame { code, reason: CloseReason::default() }
    }
}

impl fmt::Display for CloseFrame {
    /// Writes the code, and the reason in parentheses if there is one. Characters that are not printable are escaped,
    /// because the peer chose the reason and it may go to a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.code.fmt(f)?;
        if self.reason.is_empty() {
            return Ok(());
        }
        f.write_str(" (")?;
        for character in self.reason.chars() {
            // `escape_debug` would escape quotes as well, but they are harmless here.
            if matches!(character, '"' | '\'') {
                f.write_char(character)
            } else {
                write!(f, "{}", character.escape_debug())
            }?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_payload_is_nothing_or_a_code_and_a_reason() {
        let frame = |code, reason| Ok(Some(CloseFrame::new(CloseCode(code), reason)));
        let cases: &[(&[u8], Result<_, ProtocolError>)] = &[
            (b"", Ok(None)),                                               // §5.5.1: the body is optional
            (&[0x03], Err(ProtocolError::CloseTooShort)),                  // §5.5.1: two bytes of code
            (&[0x03, 0xe8], frame(1000, "")),                              // §7.4.1
            (b"\x03\xe9bye", frame(1001, "bye")),                          // §7.4.1
            (&[0x0f, 0xa0, 0xc3, 0xa9], frame(4000, "é")),                 // §7.4.2: private use
            (&[0x00, 0x00], Err(ProtocolError::InvalidCloseCode(0))),      // §7.4.2: 0–999 are not used
            (&[0x03, 0xe7], Err(ProtocolError::InvalidCloseCode(999))),    // as above
            (&[0x03, 0xec], Err(ProtocolError::InvalidCloseCode(1004))),   // §7.4.1: reserved
            (&[0x03, 0xed], Err(ProtocolError::InvalidCloseCode(1005))),   // §7.4.1: MUST NOT be set
            (&[0x03, 0xee], Err(ProtocolError::InvalidCloseCode(1006))),   // as above
            (&[0x03, 0xf7], Err(ProtocolError::InvalidCloseCode(1015))),   // as above
            (&[0x03, 0xf8], Err(ProtocolError::InvalidCloseCode(1016))),   // §7.4.2: not assigned
            (&[0x0b, 0xb7], Err(ProtocolError::InvalidCloseCode(2999))),   // as above
            (&[0x13, 0x88], Err(ProtocolError::InvalidCloseCode(5000))),   // §7.4.2 ends at 4999
            (&[0x03, 0xe8, 0xff], Err(ProtocolError::InvalidCloseReason)), // §5.5.1: UTF-8
            (&[0x03, 0xe8, b'a', 0xc3], Err(ProtocolError::InvalidCloseReason)), // the last character is cut
        ];
        for (payload, expected) in cases {
            assert_eq!(CloseFrame::parse(payload), *expected, "{payload:02x?}");
            if let Ok(Some(frame)) = expected {
                assert_eq!(&*frame.encode(), *payload);
            }
        }
    }

    #[test]
    fn the_reason_of_a_peer_is_escaped() {
        let shown = |reason| CloseFrame::new(CloseCode::NORMAL, reason).to_string();
        assert_eq!(shown(""), "1000");
        assert_eq!(shown("it's \"über\""), "1000 (it's \"über\")");
        assert_eq!(shown("x\r\n1 ERROR \u{1b}[31m\u{202e}"), r"1000 (x\r\n1 ERROR \u{1b}[31m\u{202e})");
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert_eq!(&*CloseReason::truncated(&"x".repeat(200)), "x".repeat(123));
        // 61 characters of two bytes are 122 bytes; one more would make 124.
        assert_eq!(&*CloseReason::truncated(&"é".repeat(100)), "é".repeat(61));
        assert_eq!(CloseReason::new(&"x".repeat(124)), None);
        assert!(CloseReason::new(&"x".repeat(123)).is_some());
    }
}
