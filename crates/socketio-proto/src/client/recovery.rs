//! What a client comes back with to get what it has missed.

use crate::packet::Event;

/// The private id that the server has given, and the offset of the last event.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    pid: Option<Box<str>>,
    /// Memory that is used again; empty while there is no offset.
    offset: String,
}

impl Recovery {
    pub(super) fn pid(&self) -> Option<&str> {
        self.pid.as_deref()
    }

    pub(super) fn offset(&self) -> Option<&str> {
        (!self.offset.is_empty()).then_some(&self.offset)
    }

    /// The server has let the client in. Tells whether what it missed has been sent to it: only then is the private id
    /// the one that it had. An offset of another session would be of no use, and Node replays too much for it.
    pub(super) fn handle_connect(&mut self, pid: Option<&str>) -> bool {
        let recovered = pid.is_some() && self.pid.as_deref() == pid;
        if !recovered {
            self.pid = pid.map(Into::into);
            self.offset = String::new();
        }
        recovered
    }

    /// An event is given to the program. Tells whether its last argument has been taken for its offset: a text at the
    /// end of an event that wants no acknowledgement, where the server recovers connections.
    pub(super) fn handle_event(&mut self, event: &Event<'_>, ack: Option<u64>, offset_length: usize) -> bool {
        if self.pid.is_none() || ack.is_some() {
            return false;
        }
        let Some(offset) =
            event.arguments().last_string().filter(|text| !text.is_empty() && text.len() <= offset_length)
        else {
            return false;
        };
        self.offset.clear();
        self.offset.push_str(offset);
        true
    }
}
