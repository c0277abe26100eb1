//! Parses JSON text and attachments into a value, without recursion.

use bytes::Bytes;

use super::{Number, Object, Value};
use crate::json_unescape::unescape;
use crate::placeholder::{NUM_KEY, PLACEHOLDER_KEY};
use crate::scan::{ScanError, ScanObserver, scan_value_prefix};

/// The maximum number of nested lists and objects, as in `serde_json`. A value is dropped, compared and written
/// recursively, so deeper ones could overflow the stack.
pub(super) const MAX_DEPTH: usize = 127;

/// The reason why a text is not a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParseError {
    #[error("invalid JSON at byte {0}")]
    Syntax(usize),
    #[error("the value is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

/// Parses the value at the beginning of `text`. Returns it and the length of its text. Placeholders become the
/// attachments that they refer to.
pub(crate) fn parse_prefix(text: &str, attachments: &[Bytes]) -> Result<(Value, usize), ParseError> {
    let mut builder =
        ValueBuilder { attachments, open: Vec::new(), root: Value::Null, excess_depth: 0, too_deep: false };
    let end = scan_value_prefix(text, &mut builder).map_err(|error| match error {
        ScanError::Syntax(at) | ScanError::ReservedKey(at) => ParseError::Syntax(at),
    })?;
    if builder.too_deep { Err(ParseError::TooDeep) } else { Ok((builder.root, end)) }
}

/// Builds the value while the text is scanned.
struct ValueBuilder<'a> {
    attachments: &'a [Bytes],
    /// The lists and objects that have not ended yet, the innermost last.
    open: Vec<Open>,
    root: Value,
    /// The number of levels beyond the limit. Their contents are dropped.
    excess_depth: usize,
    too_deep: bool,
}

enum Open {
    Array(Vec<Value>),
    Object { members: Vec<(String, Value)>, key: String },
}

impl ValueBuilder<'_> {
    fn push(&mut self, value: Value) {
        match self.open.last_mut() {
            None => self.root = value,
            Some(Open::Array(elements)) => elements.push(value),
            Some(Open::Object { members, key }) => members.push((std::mem::take(key), value)),
        }
    }

    /// Returns the attachment that an object refers to, if the object is a placeholder.
    fn attachment(&self, object: &Object) -> Option<Bytes> {
        if self.attachments.is_empty() || object.get(PLACEHOLDER_KEY)?.as_bool() != Some(true) {
            return None;
        }
        let index = usize::try_from(object.get(NUM_KEY)?.as_u64()?).ok()?;
        self.attachments.get(index).cloned()
    }
}

impl ScanObserver for ValueBuilder<'_> {
    fn open(&mut self, is_object: bool) {
        if self.open.len() == MAX_DEPTH {
            self.excess_depth += 1;
            self.too_deep = true;
            return;
        }
        self.open.push(match is_object {
            true => Open::Object { members: Vec::new(), key: String::new() },
            false => Open::Array(Vec::new()),
        });
    }

    fn key(&mut self, raw: &str) {
        if self.excess_depth == 0
            && let Some(Open::Object { key, .. }) = self.open.last_mut()
        {
            *key = unescape(raw);
        }
    }

    fn scalar(&mut self, raw: &str) {
        if self.excess_depth == 0 {
            self.push(match raw {
                "null" => Value::Null,
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                text if text.starts_with('"') => Value::String(unescape(text)),
                number => Value::Number(Number::parse(number)),
            });
        }
    }

    fn close(&mut self) {
        if self.excess_depth > 0 {
            self.excess_depth -= 1;
            return;
        }
        let value = match self.open.pop() {
            None => return,
            Some(Open::Array(elements)) => Value::Array(elements),
            Some(Open::Object { members, .. }) => {
                let object = members.into_iter().collect();
                self.attachment(&object).map_or(Value::Object(object), Value::Bytes)
            }
        };
        self.push(value);
    }
}
