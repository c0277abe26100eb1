//! The part of a packet before its payload.

use crate::error::DecodeError;
use crate::limits::DecoderLimits;
use crate::packet::PacketType;

/// The parsed header `type [attachments "-"] ["/" namespace ","] [ackId]`, and the payload `[JSON]`, which is not
/// validated yet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Header<'a> {
    pub(crate) packet_type: PacketType,
    pub(crate) attachments: usize,
    pub(crate) namespace: &'a str,
    pub(crate) id: Option<u64>,
    pub(crate) payload: &'a str,
}

impl<'a> Header<'a> {
    pub(crate) fn parse(text: &'a str, limits: &DecoderLimits) -> Result<Self, DecodeError> {
        let mut characters = text.chars();
        let first = characters.next().ok_or(DecodeError::Empty)?;
        let packet_type = PacketType::from_digit(first).ok_or(DecodeError::UnknownType(first))?;
        let (attachments, rest) = match packet_type {
            PacketType::BinaryEvent | PacketType::BinaryAck => {
                parse_attachment_count(characters.as_str(), limits)?
            }
            _ => (0, characters.as_str()),
        };
        let (namespace, rest) = parse_namespace(rest);
        let (id, payload) = parse_ack_id(rest);
        Ok(Self { packet_type, attachments, namespace, id, payload })
    }

    /// Parses the header if it is that of an event without attachments, the most frequent packet.
    #[inline]
    pub(crate) fn of_event(text: &'a str) -> Option<Self> {
        let (namespace, rest) = parse_namespace(text.strip_prefix('2')?);
        let (id, payload) = parse_ack_id(rest);
        Some(Self { packet_type: PacketType::Event, attachments: 0, namespace, id, payload })
    }
}

/// Parses the number of attachments. Returns it with the text after the `-`. Only digits are accepted. JavaScript's
/// `Number` accepts more (`1e1`, `0x2`, ` 1`), but no encoder writes these forms.
fn parse_attachment_count<'a>(
    text: &'a str,
    limits: &DecoderLimits,
) -> Result<(usize, &'a str), DecodeError> {
    let (digits, rest) = split_digits(text);
    let rest = rest.strip_prefix('-').ok_or(DecodeError::InvalidAttachmentCount)?;
    if digits.bytes().all(|digit| digit == b'0') {
        return Err(DecodeError::InvalidAttachmentCount);
    }
    // A number that does not fit is above every limit.
    let count = digits.parse().unwrap_or(u64::MAX).try_into().unwrap_or(usize::MAX);
    if count > limits.max_attachments {
        return Err(DecodeError::TooManyAttachments { max: limits.max_attachments });
    }
    Ok((count, rest))
}

/// Splits off the namespace, which begins with `/` and ends at the first comma or at the end of the text. A text
/// without one belongs to the main namespace.
#[inline]
fn parse_namespace(text: &str) -> (&str, &str) {
    if text.starts_with('/') { text.split_once(',').unwrap_or((text, "")) } else { ("/", text) }
}

/// Parses the id of an acknowledgement. An id that does not fit becomes the largest one. Ids are counted from zero, so
/// nobody waits for it.
#[inline]
fn parse_ack_id(text: &str) -> (Option<u64>, &str) {
    // Most events request no acknowledgement.
    if text.starts_with('[') {
        return (None, text);
    }
    let (digits, rest) = split_digits(text);
    let id = (!digits.is_empty()).then(|| digits.parse().unwrap_or(u64::MAX));
    (id, rest)
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_the_parts_of_the_grammar() {
        use PacketType::*;
        for (text, packet_type, attachments, namespace, id, payload) in [
            ("0", Connect, 0, "/", None, ""),
            (r#"0/admin,{"token":"1"}"#, Connect, 0, "/admin", None, r#"{"token":"1"}"#),
            ("0/admin", Connect, 0, "/admin", None, ""),
            ("0/mw?x=1,", Connect, 0, "/mw?x=1", None, ""),
            ("0/", Connect, 0, "/", None, ""),
            ("0/,", Connect, 0, "/", None, ""),
            ("1/admin,", Disconnect, 0, "/admin", None, ""),
            (r#"2["foo"]"#, Event, 0, "/", None, r#"["foo"]"#),
            (r#"2/admin,456["x",1]"#, Event, 0, "/admin", Some(456), r#"["x",1]"#),
            (r#"20["x"]"#, Event, 0, "/", Some(0), r#"["x"]"#),
            (r#"2007["x"]"#, Event, 0, "/", Some(7), r#"["x"]"#),
            (r#"218446744073709551615["x"]"#, Event, 0, "/", Some(u64::MAX), r#"["x"]"#),
            (r#"218446744073709551616["x"]"#, Event, 0, "/", Some(u64::MAX), r#"["x"]"#),
            (r#"3999999999999999999999999999["x"]"#, Ack, 0, "/", Some(u64::MAX), r#"["x"]"#),
            (r#"3/admin,13["bar"]"#, Ack, 0, "/admin", Some(13), r#"["bar"]"#),
            (r#"51-["baz"]"#, BinaryEvent, 1, "/", None, r#"["baz"]"#),
            (r#"510-/a,1["baz"]"#, BinaryEvent, 10, "/a", Some(1), r#"["baz"]"#),
            ("61-/admin,7[]", BinaryAck, 1, "/admin", Some(7), "[]"),
            ("2/é☃,1[]", Event, 0, "/é☃", Some(1), "[]"),
            ("2é", Event, 0, "/", None, "é"),
            // This is not a namespace, so it is part of the payload, which is rejected later.
            ("2admin,[]", Event, 0, "/", None, "admin,[]"),
        ] {
            assert_eq!(
                Header::parse(text, &DecoderLimits::default()),
                Ok(Header { packet_type, attachments, namespace, id, payload }),
                "{text}"
            );
        }
    }

    #[test]
    fn errors_name_the_problem() {
        use DecodeError::*;
        for (text, error) in [
            ("", Empty),
            ("7", UnknownType('7')),
            ("x", UnknownType('x')),
            ("é", UnknownType('é')),
            ("/admin,", UnknownType('/')),
            ("5", InvalidAttachmentCount),
            ("5[]", InvalidAttachmentCount),
            ("5-[]", InvalidAttachmentCount),
            ("51", InvalidAttachmentCount),
            ("51[]", InvalidAttachmentCount),
            ("50-[]", InvalidAttachmentCount),
            ("500-[]", InvalidAttachmentCount),
            ("5-1-[]", InvalidAttachmentCount),
            ("51.5-[]", InvalidAttachmentCount),
            ("5 1-[]", InvalidAttachmentCount),
            ("51e0-[]", InvalidAttachmentCount),
            ("6é-[]", InvalidAttachmentCount),
            ("511-[]", TooManyAttachments { max: 10 }),
            ("599999999999999999999999-[]", TooManyAttachments { max: 10 }),
        ] {
            assert_eq!(Header::parse(text, &DecoderLimits::default()), Err(error), "{text}");
        }
    }
}
