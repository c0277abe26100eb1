//! The queue of the option `retries`: one event after another is sent until the server has acknowledged it.
//!
//! A state machine without I/O. It contains no clock: the table of acknowledgements has the timeout of each send.

use std::collections::VecDeque;
use std::time::Duration;

use socketio_proto::Event;

use crate::error::AckError;

/// Events that wait for their acknowledgement, in the order in which they were emitted. Only the first one is sent.
///
/// `W` is the waiter of the program for an acknowledgement.
#[derive(Debug)]
pub(crate) struct RetryQueue<W> {
    entries: VecDeque<Entry<W>>,
    bytes: usize,
    /// Whether the first event was sent, and its acknowledgement has neither arrived nor failed.
    is_in_flight: bool,
}

/// An event in a [`RetryQueue`].
#[derive(Debug)]
pub(crate) struct Entry<W> {
    pub(crate) event: Event<'static>,
    pub(crate) timeout: Option<Duration>,
    /// Whether the event may be compressed.
    pub(crate) compress: bool,
    waiter: Option<W>,
    /// How often the event was sent.
    tries: u32,
}

/// An event that is no longer sent, because its last try has failed.
#[derive(Debug)]
pub(crate) struct GivenUp<W> {
    pub(crate) event: Event<'static>,
    pub(crate) waiter: Option<W>,
    pub(crate) error: AckError,
}

impl<W> RetryQueue<W> {
    pub(crate) fn new() -> Self {
        Self { entries: VecDeque::new(), bytes: 0, is_in_flight: false }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends an event.
    pub(crate) fn push(
        &mut self,
        event: Event<'static>,
        timeout: Option<Duration>,
        compress: bool,
        waiter: Option<W>,
    ) {
        self.bytes += event.size();
        self.entries.push_back(Entry { event, timeout, compress, waiter, tries: 0 });
    }

    /// Returns the event that must be sent now, if there is one. Call [`mark_sent`](Self::mark_sent) next.
    pub(crate) fn next_to_send(&self) -> Option<&Entry<W>> {
        if self.is_in_flight { None } else { self.entries.front() }
    }

    /// Records that the first event was sent.
    pub(crate) fn mark_sent(&mut self) {
        if let Some(first) = self.entries.front_mut() {
            first.tries = first.tries.saturating_add(1);
            self.is_in_flight = true;
        }
    }

    /// The first event was acknowledged. Returns its waiter, if it has one.
    pub(crate) fn handle_ack(&mut self) -> Option<W> {
        self.is_in_flight = false;
        self.pop().and_then(|entry| entry.waiter)
    }

    /// The acknowledgement of the first event did not arrive. The event is sent again, unless it was sent `retries + 1`
    /// times.
    pub(crate) fn handle_failure(&mut self, error: AckError, retries: u32) -> Option<GivenUp<W>> {
        self.is_in_flight = false;
        if self.entries.front()?.tries <= retries {
            return None;
        }
        let Entry { event, waiter, .. } = self.pop()?;
        Some(GivenUp { event, waiter, error })
    }

    /// Removes the events whose acknowledgement the program awaits, and returns their waiters. The other events remain.
    pub(crate) fn remove_awaited(&mut self) -> Vec<W> {
        let mut waiters = Vec::new();
        let is_first_awaited = self.entries.front().is_some_and(|first| first.waiter.is_some());
        if is_first_awaited {
            self.is_in_flight = false;
        }
        let bytes = &mut self.bytes;
        self.entries.retain_mut(|entry| match entry.waiter.take() {
            None => true,
            Some(waiter) => {
                *bytes -= entry.event.size();
                waiters.push(waiter);
                false
            }
        });
        waiters
    }

    fn pop(&mut self) -> Option<Entry<W>> {
        let entry = self.entries.pop_front()?;
        self.bytes -= entry.event.size();
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use handlers::decode_event;

    use super::*;

    fn queue_with(names: &[&str]) -> RetryQueue<String> {
        let mut queue = RetryQueue::new();
        for name in names {
            let event = decode_event(&format!(r#"2["{name}"]"#), std::iter::empty()).unwrap();
            queue.push(event, None, true, name.starts_with("ask").then(|| (*name).to_owned()));
        }
        queue
    }

    fn send(queue: &mut RetryQueue<String>) -> Option<String> {
        let name = queue.next_to_send().map(|entry| entry.event.name().to_owned());
        queue.mark_sent();
        name
    }

    #[test]
    fn one_event_after_another_is_sent() {
        let mut queue = queue_with(&["a", "ask b"]);
        assert_eq!(send(&mut queue).as_deref(), Some("a"));
        assert!(queue.next_to_send().is_none(), "the first one is in flight");
        assert_eq!(queue.handle_ack(), None);
        assert_eq!(send(&mut queue).as_deref(), Some("ask b"));
        assert_eq!(queue.handle_ack().as_deref(), Some("ask b"));
        assert_eq!((queue.len(), queue.bytes()), (0, 0));
    }

    #[test]
    fn an_event_is_sent_once_and_then_as_often_as_retries_says() {
        let mut queue = queue_with(&["ask a", "b"]);
        for id in 0..3 {
            assert_eq!(send(&mut queue).as_deref(), Some("ask a"));
            let given_up = queue.handle_failure(AckError::Timeout, 2);
            assert_eq!(given_up.is_some(), id == 2, "{id}");
            if let Some(GivenUp { waiter, error, .. }) = given_up {
                assert_eq!((waiter.as_deref(), error), (Some("ask a"), AckError::Timeout));
            }
        }
        assert_eq!(send(&mut queue).as_deref(), Some("b"));
    }

    #[test]
    fn events_that_nobody_awaits_survive_a_disconnect_by_the_program() {
        let mut queue = queue_with(&["ask a", "b", "ask c", "d"]);
        send(&mut queue);
        assert_eq!(queue.remove_awaited(), ["ask a", "ask c"]);
        assert_eq!(queue.len(), 2);
        assert_eq!(send(&mut queue).as_deref(), Some("b"));
    }
}
