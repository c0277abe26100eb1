//! The handle with which any task sends messages, and closes the session.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use engineio_proto::{EncodedMessage, MessageBatch, Packet, Transport};
use ws_proto::Time;

use crate::outbox::{Outbox, Outgoing, PushError};

/// A handle to a session. It is cheap to clone, and does not keep the session alive: that is the task that polls the
/// [`Driver`](crate::Driver).
///
/// Messages that are sent before the session has opened wait until it does.
#[derive(Clone)]
pub struct Session(Arc<Shared>);

struct Shared {
    outbox: Outbox,
    /// Set when the session opens.
    id: OnceLock<Box<str>>,
    /// The time at which the next ping is overdue, in microseconds. `u64::MAX` if none is expected.
    ping_deadline: AtomicU64,
    /// The index of the transport in [`Transport::ALL`].
    transport: AtomicU8,
    closed: AtomicBool,
}

impl Session {
    pub(crate) fn new(max_buffered: usize, transport: Transport) -> Self {
        Self(Arc::new(Shared {
            outbox: Outbox::new(max_buffered),
            id: OnceLock::new(),
            ping_deadline: AtomicU64::new(u64::MAX),
            transport: AtomicU8::new(transport as u8),
            closed: AtomicBool::new(false),
        }))
    }

    /// Returns the session id that the server has chosen, once the session has opened. It is a secret between this
    /// client and the server.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.0.id.get().map(|id| &**id)
    }

    /// Returns the transport that is in use now, or that the session tries to open on.
    #[must_use]
    pub fn transport(&self) -> Transport {
        Transport::ALL[usize::from(self.0.transport.load(Ordering::Relaxed))]
    }

    /// Returns whether the session is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::Acquire)
    }

    /// Sends an encoded message. If the limit of queued bytes is reached, the session ends. If it is over, the message
    /// is dropped.
    pub fn send(&self, message: EncodedMessage<'_>) {
        self.0.outbox.push_or_overflow(Outgoing::Encoded(message));
    }

    /// Sends an encoded message like [`send`](Self::send), but returns an error instead of ending the session.
    ///
    /// # Errors
    /// The queue has no capacity for the message, or the session is over.
    pub fn try_send(&self, message: EncodedMessage<'_>) -> Result<(), PushError> {
        self.0.outbox.try_push(Outgoing::Encoded(message))
    }

    /// Sends messages together: no other message comes between them. Behaves like [`send`](Self::send) at the limit and
    /// after the end.
    pub fn send_batch(&self, messages: &MessageBatch) {
        self.0.outbox.push_or_overflow(Outgoing::Batch(messages));
    }

    /// Sends a text message. Behaves like [`send`](Self::send) at the limit and after the end.
    ///
    /// Long-polling separates messages with the character U+001E, and Engine.IO cannot escape it. On that transport, a
    /// text that contains it arrives as several packets. JSON never contains it.
    pub fn send_text(&self, text: &str) {
        self.0.outbox.push_or_overflow(Outgoing::Packet(Packet::Message(text)));
    }

    /// Sends a binary message. Behaves like [`send`](Self::send) at the limit and after the end.
    pub fn send_binary(&self, data: &[u8]) {
        self.0.outbox.push_or_overflow(Outgoing::Packet(Packet::Binary(data.into())));
    }

    /// Returns whether a message would leave at once: the session is open, it is not about to upgrade, and everything
    /// that was sent before has left. On polling, everything before has also been answered.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.0.outbox.is_writable()
    }

    /// Returns the number of bytes that are queued.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.0.outbox.buffered()
    }

    /// Waits until a message of `length` bytes fits into the queue, and at most half of the limit of queued bytes is
    /// used. Another task may use the capacity before the caller does.
    ///
    /// # Errors
    /// The session is over or closing.
    pub fn poll_capacity(&self, length: usize, cx: &mut Context<'_>) -> Poll<Result<(), PushError>> {
        self.0.outbox.poll_capacity(length, cx)
    }

    /// Returns whether the server's next ping is overdue at `now`: the server is probably gone, and the driver has not
    /// noticed it yet. Keep a new message for the next session then.
    #[must_use]
    pub fn is_ping_overdue(&self, now: Time) -> bool {
        self.0.ping_deadline.load(Ordering::Relaxed) < now.as_micros()
    }

    /// Closes the session after the queued messages have been sent, or after
    /// [`close_timeout`](crate::Connector::close_timeout). Later messages are dropped. If the session has not opened, it
    /// ends at once.
    pub fn close(&self) {
        self.0.outbox.start_closing();
    }

    /// Wakes the task of the driver, which then polls its handler.
    pub fn wake(&self) {
        self.0.outbox.notify();
    }

    pub(crate) fn outbox(&self) -> &Outbox {
        &self.0.outbox
    }

    pub(crate) fn set_id(&self, id: &str) {
        let _ = self.0.id.set(id.into());
    }

    pub(crate) fn set_ping_deadline(&self, deadline: Option<Time>) {
        self.0.ping_deadline.store(deadline.map_or(u64::MAX, Time::as_micros), Ordering::Relaxed);
    }

    pub(crate) fn set_transport(&self, transport: Transport) {
        self.0.transport.store(transport as u8, Ordering::Relaxed);
    }

    pub(crate) fn set_closed(&self) {
        self.0.closed.store(true, Ordering::Release);
        self.set_ping_deadline(None);
        self.0.outbox.close();
    }
}

/// Hides the id, which is a secret.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("transport", &self.transport())
            .field("is_open", &self.id().is_some())
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
