//! The data that a client sends to recover its missed events.

use crate::packet::Event;

/// The private id that the server has assigned, and the offset of the last event.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    pid: Option<Box<str>>,
    /// Empty if there is no offset. The memory is reused.
    offset: String,
}

impl Recovery {
    pub(super) fn pid(&self) -> Option<&str> {
        self.pid.as_deref()
    }

    pub(super) fn offset(&self) -> Option<&str> {
        (!self.offset.is_empty()).then_some(&self.offset)
    }

    /// Stores the private id after the server has accepted the connection. Returns `true` if the private id is the same
    /// as before, because the server has then replayed the missed events. Otherwise this deletes the offset: it belongs
    /// to another session, and Node would replay too many events for it.
    pub(super) fn handle_connect(&mut self, pid: Option<&str>) -> bool {
        let recovered = pid.is_some() && self.pid.as_deref() == pid;
        if !recovered {
            self.pid = pid.map(Into::into);
            self.offset = String::new();
        }
        recovered
    }

    /// Stores the last argument of an event if it is the offset of the event, and returns `true` in this case. A string
    /// at the end of an event is the offset if the server supports recovery, the event requests no acknowledgement, and
    /// the string [looks like an offset](is_offset).
    pub(super) fn handle_event(
        &mut self,
        event: &Event<'_>,
        ack: Option<u64>,
        max_offset_len: usize,
    ) -> bool {
        if self.pid.is_none() || ack.is_some() {
            return false;
        }
        let Some(offset) = event.arguments().last_string().filter(|text| is_offset(text, max_offset_len))
        else {
            return false;
        };
        self.offset.clear();
        self.offset.push_str(offset);
        true
    }
}

/// Returns whether a string has the form of an offset. Node's adapter in memory and our server use digits, letters, `-`
/// and `_`. Those for Redis streams use ids like `1692-0`, and those for MongoDB hexadecimal digits.
///
/// Node sends no offset with a volatile event, so its last argument may be a text of the program. If that became the
/// offset, the server would refuse the next recovery. A text with a space or with punctuation is therefore no offset.
fn is_offset(text: &str, max_len: usize) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    (1..=max_len).contains(&text.len()) && text.bytes().all(is_allowed)
}
