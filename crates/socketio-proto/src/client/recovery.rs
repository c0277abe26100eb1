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
    /// the string is neither empty nor too long.
    pub(super) fn handle_event(
        &mut self,
        event: &Event<'_>,
        ack: Option<u64>,
        max_offset_len: usize,
    ) -> bool {
        if self.pid.is_none() || ack.is_some() {
            return false;
        }
        let Some(offset) =
            event.arguments().last_string().filter(|text| !text.is_empty() && text.len() <= max_offset_len)
        else {
            return false;
        };
        self.offset.clear();
        self.offset.push_str(offset);
        true
    }
}
