//! Parses JSON text and attachments into a value, without recursion.

use std::fmt;

use bytes::Bytes;

use super::{Number, Object, Value};
use crate::json_unescape::unescape;
use crate::placeholder::{NUM_KEY, PLACEHOLDER_KEY};
use crate::scan::{ScanError, ScanObserver, scan_value_prefix};

/// The maximum number of nested lists and objects, as in `serde_json`. A value is dropped, compared and written
/// recursively, so deeper ones could overflow the stack.
pub(super) const MAX_DEPTH: usize = 127;

/// The reason why a text is not a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParseError {
    Syntax(usize),
    TooDeep,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(offset) => write!(f, "invalid JSON at byte {offset}"),
            Self::TooDeep => write!(f, "the value is nested deeper than {MAX_DEPTH} levels"),
        }
    }
}

impl std::error::Error for ParseError {}

/// Parses the value at the beginning of `text`. Returns it and the length of its text. Placeholders become the
/// attachments that they refer to.
pub(crate) fn parse_prefix(text: &str, attachments: &[Bytes]) -> Result<(Value, usize), ParseError> {
    let mut builder = ValueBuilder {
        attachments,
        open: Vec::new(),
        keys: Vec::new(),
        values: Vec::new(),
        excess_depth: 0,
        too_deep: false,
    };
    let end = scan_value_prefix(text, &mut builder).map_err(|error| match error {
        ScanError::Syntax(at) | ScanError::ReservedKey(at) => ParseError::Syntax(at),
    })?;
    if builder.too_deep {
        return Err(ParseError::TooDeep);
    }
    Ok((builder.values.pop().unwrap_or_default(), end))
}

/// Builds the value while the text is scanned.
///
/// What the open lists and objects contain is on two stacks. So the memory of a list or an object is allocated when it
/// ends, once and in its exact size. Lists that grow would take four times the memory and twice the time for a text of
/// many small lists.
struct ValueBuilder<'a> {
    attachments: &'a [Bytes],
    /// The lists and objects that have not ended yet, the innermost last.
    open: Vec<Open>,
    /// The keys of the open objects.
    keys: Vec<String>,
    /// The elements of the open lists, and the members of the open objects. At the end, the root.
    values: Vec<Value>,
    /// The number of levels beyond the limit. Their contents are dropped.
    excess_depth: usize,
    too_deep: bool,
}

/// A list or an object that has not ended yet, and where its contents begin on the stacks.
#[derive(Clone, Copy)]
struct Open {
    values: usize,
    /// `None` for a list.
    keys: Option<usize>,
}

impl ValueBuilder<'_> {
    /// Takes the elements of a list from the stack.
    fn take_elements(&mut self, start: usize) -> Vec<Value> {
        // A list of one element is worth a case of its own: a copy of unknown length costs as much as the allocation.
        if self.values.len() == start + 1
            && let Some(element) = self.values.pop()
        {
            return vec![element];
        }
        self.values.split_off(start)
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
        let keys = is_object.then_some(self.keys.len());
        self.open.push(Open { values: self.values.len(), keys });
    }

    fn key(&mut self, raw: &str) {
        if self.excess_depth == 0 {
            self.keys.push(unescape(raw));
        }
    }

    fn scalar(&mut self, raw: &str) {
        if self.excess_depth == 0 {
            // The syntax has been checked, so the first byte tells which kind of value it is.
            self.values.push(match raw.as_bytes().first() {
                Some(b'"') => Value::String(unescape(raw)),
                Some(b'n') => Value::Null,
                Some(b't') => Value::Bool(true),
                Some(b'f') => Value::Bool(false),
                _ => Value::Number(Number::parse(raw)),
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
            Some(Open { values, keys: None }) => Value::Array(self.take_elements(values)),
            Some(Open { values, keys: Some(keys) }) => {
                let object = self.keys.drain(keys..).zip(self.values.drain(values..)).collect();
                self.attachment(&object).map_or(Value::Object(object), Value::Bytes)
            }
        };
        self.values.push(value);
    }
}
