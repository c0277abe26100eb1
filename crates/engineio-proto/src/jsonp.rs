//! JSONP: polling for browsers that cannot send requests to other origins except by a script or a form.
//!
//! A GET has the parameter `j`, which is a number. Its response is a script that calls `___eio[j]` with the payload as a
//! string. A POST is a form with the payload in the field `d`. The payloads are those of either revision. In revision 3
//! they must have the text form: set `base64` of [`revision3::encode_payload`](crate::revision3::encode_payload).

use std::fmt;
use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// Why the body of a POST has no payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormError {
    /// The form does not have exactly one field `d`. The Node server responds with `ok` to that, and does nothing.
    NoPayload,
    /// The payload is longer than the limit.
    TooLong,
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPayload => "the form does not have exactly one field `d`",
            Self::TooLong => "the payload is too long",
        })
    }
}

impl std::error::Error for FormError {}

/// The parameter `j` of a session: the index of the client's callback. A session keeps it.
///
/// Only the digits of the parameter are used, so that a request cannot put code into the script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index(Box<str>);

/// The most digits of an [`Index`]. Clients count their sessions, so they need few.
const MAX_INDEX_DIGITS: usize = 20;

impl Index {
    /// Takes the digits of the parameter. Returns `None` if there are more than 20: a session would keep them.
    #[must_use]
    pub fn from_parameter(value: &str) -> Option<Self> {
        let digits = || value.chars().filter(char::is_ascii_digit);
        (digits().count() <= MAX_INDEX_DIGITS).then(|| Self(digits().collect()))
    }
}

/// Returns the body of the response to a GET: a script.
#[must_use]
pub fn encode_response(index: &Index, payload: &str) -> Vec<u8> {
    let Index(digits) = index;
    let mut script = Vec::with_capacity("___eio[](\"\");".len() + digits.len() + payload.len());
    script.extend_from_slice(b"___eio[");
    script.extend_from_slice(digits.as_bytes());
    script.extend_from_slice(b"](");
    payload
        .serialize(&mut Serializer::with_formatter(&mut script, ScriptFormatter))
        .expect("a string is written to memory");
    script.extend_from_slice(b");");
    script
}

/// Writes JSON that is also JavaScript: the line terminators U+2028 and U+2029 are escaped, which older browsers do not
/// accept in a string.
struct ScriptFormatter;

impl Formatter for ScriptFormatter {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(index) = rest.find(['\u{2028}', '\u{2029}']) {
            let (text, terminator) = rest.split_at(index);
            writer.write_all(text.as_bytes())?;
            let is_line = terminator.starts_with('\u{2028}');
            writer.write_all(if is_line { b"\\u2028" } else { b"\\u2029" })?;
            rest = &terminator['\u{2028}'.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

/// Returns the payload in the body of a POST, which is a form.
///
/// Browsers change line breaks in a form. Therefore a client sends a line feed as `\n`, and a `\n` of the payload with one
/// more backslash.
///
/// Invalid UTF-8 becomes U+FFFD, also after percent-decoding, as in the Node server.
///
/// # Errors
/// Returns an error if the form does not have exactly one field `d`, or if its text is longer than `limit` bytes.
pub fn decode_form(body: &[u8], limit: usize) -> Result<String, FormError> {
    let mut fields = form_urlencoded::parse(body).filter(|(name, _)| name == "d").map(|(_, value)| value);
    let payload = fields.next().ok_or(FormError::NoPayload)?;
    if fields.next().is_some() {
        return Err(FormError::NoPayload);
    }
    if payload.len() > limit {
        return Err(FormError::TooLong);
    }
    Ok(unescape_line_feeds(&payload))
}

/// Replaces a `\n` by a line feed, and removes a backslash if there are several in front of the `n`.
fn unescape_line_feeds(text: &str) -> String {
    let mut unescaped = String::with_capacity(text.len());
    for part in text.split_inclusive('n') {
        match part.strip_suffix("\\n") {
            Some(before) if before.ends_with('\\') => {
                unescaped.push_str(before);
                unescaped.push('n');
            }
            Some(before) => {
                unescaped.push_str(before);
                unescaped.push('\n');
            }
            None => unescaped.push_str(part),
        }
    }
    unescaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The scripts that the class `JSONP` of engine.io 6.6.13 writes.
    #[test]
    fn a_response_is_the_script_that_node_writes() {
        for (index, payload, script) in [
            ("0", "1:2", r#"___eio[0]("1:2");"#),
            ("12", "4hello\x1e2", r#"___eio[12]("4hello\u001e2");"#),
            (
                "1",
                "4a\"\\/\u{1}\u{8}\t\n\u{c}\r\u{7f}\u{2028}\u{2029}é😀<",
                "___eio[1](\"4a\\\"\\\\/\\u0001\\b\\t\\n\\f\\r\u{7f}\\u2028\\u2029é😀<\");",
            ),
            ("1\u{2028}x2](", "0:", r#"___eio[12]("0:");"#),
            ("alert(1)//٣", "", r#"___eio[1]("");"#),
            ("", "\u{2028}", r#"___eio[]("\u2028");"#),
        ] {
            let index = Index::from_parameter(index).expect("few digits");
            assert_eq!(String::from_utf8(encode_response(&index, payload)).as_deref(), Ok(script));
        }
    }

    #[test]
    fn an_index_has_at_most_20_digits() {
        let (longest, too_long) = ("0".repeat(20), "0".repeat(21));
        assert_eq!(Index::from_parameter(&format!("x{longest}é")), Some(Index(longest.into())));
        assert_eq!(Index::from_parameter(&too_long), None);
    }

    /// The class `JSONP` of engine.io 6.6.13 reads these payloads.
    #[test]
    fn a_form_is_read_as_node_reads_it() {
        for (body, payload) in [
            ("d=1%3A2", "1:2"),
            ("d=7%3A4a%20b%2Bc+d", "7:4a b+c d"),
            (r"d=4\n", "4\n"),
            (r"d=4\\n", r"4\n"),
            (r"d=4\\\n", r"4\\n"),
            (r"d=4\\\\n", r"4\\\n"),
            (r"d=4%5Cn%5C%5Cn", "4\n\\n"),
            ("d=4a\\n\\n\\\\n\\", "4a\n\n\\n\\"),
            (r"d=n\\", r"n\\"),
            ("d=%zz%4", "%zz%4"),
            ("x=1&d=2", "2"),
            ("d", ""),
            ("d=", ""),
            ("d=a=b", "a=b"),
            ("&&d=1&", "1"),
            ("%64=1", "1"),
            ("d=%ff%e2%82", "\u{fffd}\u{fffd}"),
        ] {
            assert_eq!(decode_form(body.as_bytes(), 100).as_deref(), Ok(payload), "{body}");
        }
        for body in ["", "x=1", "D=1", "d=1&d=2", "=d"] {
            assert_eq!(decode_form(body.as_bytes(), 100), Err(FormError::NoPayload), "{body}");
        }
    }

    #[test]
    fn the_limit_counts_the_bytes_of_the_decoded_text() {
        assert_eq!(decode_form(b"d=%34abc", 4).as_deref(), Ok("4abc"));
        assert_eq!(decode_form(b"d=%34abcd", 4), Err(FormError::TooLong));
        assert_eq!(decode_form(b"d=4\xff", 4).as_deref(), Ok("4\u{fffd}"));
        assert_eq!(decode_form(b"d=4\xff\xff", 4), Err(FormError::TooLong));
    }

    /// What engine.io-client 3.5.6 does with a payload before it submits the form.
    fn escaped_by_the_client(payload: &str) -> String {
        payload.replace("\\n", "\\\n").replace('\n', "\\n")
    }

    proptest! {
        #[test]
        fn a_script_is_json_of_the_payload_without_line_terminators(
            payload in "[\\PC\u{0}-\u{1f}\"\\\\\u{2028}\u{2029}]{0,60}",
        ) {
            let index = Index::from_parameter("7").unwrap();
            let script = String::from_utf8(encode_response(&index, &payload)).unwrap();
            let json = script.strip_prefix("___eio[7](").and_then(|rest| rest.strip_suffix(");")).unwrap();
            prop_assert_eq!(serde_json::from_str::<String>(json).unwrap(), payload);
            let breaks = json.find(['\u{2028}', '\u{2029}', '\n', '\r']);
            prop_assert_eq!(breaks, None);
        }

        #[test]
        fn what_a_client_submits_is_what_the_server_reads(payload in "[\\PCn\\\\\n&=+%]{0,60}") {
            let form: String = form_urlencoded::Serializer::new(String::new())
                .append_pair("d", &escaped_by_the_client(&payload))
                .finish();
            // The client does not distinguish a backslash in front of a line feed from an escaped one.
            prop_assume!(!payload.contains("\\\n"));
            prop_assert_eq!(decode_form(form.as_bytes(), 10_000).unwrap(), payload);
        }

        #[test]
        fn no_form_makes_the_decoder_panic(body in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode_form(&[b"d=", &body[..]].concat(), 50);
        }
    }
}
