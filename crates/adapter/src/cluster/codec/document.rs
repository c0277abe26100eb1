//! Reads a message that is JSON or MessagePack.

use std::borrow::Cow;
use std::fmt::Write as _;

use bytes::Bytes;
use engineio_proto::MessageEncoder;
use serde::Deserialize;
use serde_json::value::RawValue;
use socketio_proto::message_pack::{Dialect, to_json};
use socketio_proto::{Arguments, EncodedEvent, Excerpt, encode};

use super::{DecodeError, DecodeLimits};

/// A message as JSON text, with the binary values beside it.
pub(super) struct Document<'m> {
    json: Cow<'m, str>,
    /// They have placeholders in the text, which are numbered in their order.
    attachments: Vec<Bytes>,
}

/// How a placeholder begins in a text that was converted from MessagePack. These bytes cannot be a part of a string, because
/// they have quotes without a backslash, and none of them can end a string: what follows would not be JSON.
const PLACEHOLDER: &str = r#"{"_placeholder":true,"num":"#;

impl<'m> Document<'m> {
    /// Reads a message. JSON begins with a brace, which does not begin a list or a map in MessagePack.
    pub(super) fn read(
        payload: &'m [u8],
        dialect: Dialect,
        limits: &DecodeLimits,
    ) -> Result<Self, DecodeError> {
        let max = limits.max_message_bytes;
        if payload.len() > max {
            return Err(DecodeError::TooLarge { size: payload.len(), max });
        }
        if payload.first() == Some(&b'{') {
            let json = std::str::from_utf8(payload).map_err(|_| DecodeError::InvalidUtf8)?;
            return Ok(Self { json: Cow::Borrowed(json), attachments: vec![] });
        }
        let (json, attachments) = to_json(payload, dialect)?;
        Ok(Self { json: Cow::Owned(json), attachments })
    }

    /// Reads the whole message.
    pub(super) fn parse<'d, T: Deserialize<'d>>(&'d self) -> Result<T, DecodeError> {
        parse(&self.json)
    }

    /// Reads a list that is the name and the arguments of an event.
    pub(super) fn event(
        &self,
        raw: &RawValue,
        namespace: &str,
        allows_compression: bool,
        limits: &DecodeLimits,
    ) -> Result<EncodedEvent, DecodeError> {
        let (json, attachments) = self.value(raw);
        if attachments.len() > limits.max_attachments {
            return Err(DecodeError::TooManyAttachments { max: limits.max_attachments });
        }
        let mut encoder = MessageEncoder::new();
        let event = encode::json_event(&mut encoder, namespace, &json, attachments)?;
        Ok(event.with_compression(allows_compression).into())
    }

    /// Reads one argument. Without `raw`, there are no arguments.
    pub(super) fn argument(&self, raw: Option<&RawValue>) -> Result<Arguments<'static>, DecodeError> {
        let Some(raw) = raw else { return Ok(Arguments::from_json("[]", vec![])?) };
        let (json, attachments) = self.value(raw);
        Ok(Arguments::from_json(format!("[{json}]"), attachments)?)
    }

    /// Reads a value that cannot have binary values here. They become what `JSON.stringify` makes of a `Buffer`.
    pub(super) fn json(&self, raw: &RawValue) -> String {
        let mut json = String::with_capacity(raw.get().len());
        self.replace_placeholders(
            raw.get(),
            |number, json| {
                json.push_str(r#"{"type":"Buffer","data":["#);
                for (index, byte) in self.attachments.get(number).into_iter().flatten().enumerate() {
                    let separator = if index == 0 { "" } else { "," };
                    write!(json, "{separator}{byte}").expect("a string accepts everything");
                }
                json.push_str("]}");
            },
            &mut json,
        );
        json
    }

    /// Returns a part of the text and its binary values. The placeholders get new numbers.
    fn value<'r>(&self, raw: &'r RawValue) -> (Cow<'r, str>, Vec<Bytes>) {
        let raw = raw.get();
        if self.attachments.is_empty() || !raw.contains(PLACEHOLDER) {
            return (Cow::Borrowed(raw), vec![]);
        }
        let (mut json, mut attachments) = (String::with_capacity(raw.len()), vec![]);
        self.replace_placeholders(
            raw,
            |number, json| {
                write!(json, "{PLACEHOLDER}{}}}", attachments.len()).expect("a string accepts everything");
                attachments.extend(self.attachments.get(number).cloned());
            },
            &mut json,
        );
        (Cow::Owned(json), attachments)
    }

    fn replace_placeholders(
        &self,
        mut rest: &str,
        mut replace: impl FnMut(usize, &mut String),
        json: &mut String,
    ) {
        while !self.attachments.is_empty()
            && let Some((before, after)) = rest.split_once(PLACEHOLDER)
            && let Some((number, after)) = after.split_once('}')
            && let Ok(number) = number.parse()
        {
            json.push_str(before);
            replace(number, json);
            rest = after;
        }
        json.push_str(rest);
    }
}

/// Reads JSON.
pub(super) fn parse<'d, T: Deserialize<'d>>(json: &'d str) -> Result<T, DecodeError> {
    serde_json::from_str(json).map_err(|error| invalid_form(&error))
}

pub(super) fn invalid_form(error: &serde_json::Error) -> DecodeError {
    DecodeError::InvalidForm { reason: Excerpt(error).to_string() }
}
