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

    /// Stores the private id after the server has accepted the connection. Returns whether the server has replayed the
    /// missed events: this is so only if the private id is the same as before. Otherwise the offset is deleted. It
    /// belongs to another session, and with it, Node would replay too many events.
    pub(super) fn handle_connect(&mut self, pid: Option<&str>) -> bool {
        let recovered = pid.is_some() && self.pid.as_deref() == pid;
        if !recovered {
            self.pid = pid.map(Into::into);
            self.offset = String::new();
        }
        recovered
    }

    /// Checks whether the last argument of an event is its offset, stores it, and returns whether it is. The offset is
    /// a string at the end of an event that requests no acknowledgement, if the server supports recovery.
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
