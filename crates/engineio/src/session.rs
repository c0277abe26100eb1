//! The handle with which other tasks send to a session, wake it and close it.

mod requests;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use engineio_proto::{
    CloseReason, EncodedMessage, Framing, MessageBatch, Packet, SessionId, SharedBatch, SharedMessage,
    Transport, WireFormat,
};
use net::{
    AddressPermit, LogRateLimit, MemoryBudget, Outbox, OutboxItem, PushError, PushOutcome, Pushed,
    SlowReaderPolicy,
};
use smallvec::SmallVec;

use crate::outbox_items::{BatchItem, EncodedItem, PacketItem, SharedBatchItem, SharedItem};
pub(crate) use requests::{CANCELLED_POLL, Command, PendingPoll, PollReply, PostGuard, UpgradeCandidate};

/// A handle to a session. It is cheap to clone, and does not keep the session alive.
#[derive(Clone)]
pub struct Session(Arc<Shared>);

/// Nearly always there is none or one, because a client sends one request after the other. So an idle session has one pointer,
/// and a command takes one allocation.
pub(crate) type Commands = SmallVec<[Command; 1]>;

struct Shared {
    id: SessionId,
    /// What the first request of the session has decided.
    format: WireFormat,
    outbox: Outbox<Framing>,
    /// Where messages count that the session shares with others.
    memory_budget: MemoryBudget,
    /// Commands of the HTTP side to the session's task.
    commands: Mutex<Option<Box<Commands>>>,
    /// What went wrong, if the session ends because of an error. The first description stays.
    close_description: OnceLock<Box<str>>,
    /// A POST of this session is being read or handled. A second one would violate the protocol.
    has_active_post: AtomicBool,
    /// The index of the transport in [`Transport::ALL`].
    transport: AtomicU8,
    /// Set once the client has polled after the handshake, or begun to upgrade. The session is then not half-open any more.
    has_polled: AtomicBool,
    closed: AtomicBool,
    /// Set once the session's task is gone, while `commands` is locked.
    drops_commands: AtomicBool,
    /// A [`Command::CloseDiscarding`] waits. The session's task looks before it sends anything else.
    wants_discard: AtomicBool,
    /// `None` if the client's address is not limited.
    address_permit: Option<AddressPermit>,
}

impl Session {
    /// Creates a handle. `framing` is the form of the packets in the outbox. With `address_permit` the session counts for
    /// the address of its client.
    pub(crate) fn new(
        id: SessionId,
        transport: Transport,
        framing: Framing,
        format: WireFormat,
        max_buffered: usize,
        memory_budget: MemoryBudget,
        address_permit: Option<AddressPermit>,
    ) -> Self {
        Self(Arc::new(Shared {
            id,
            format,
            outbox: Outbox::with_framing(max_buffered, framing),
            memory_budget,
            commands: Mutex::default(),
            close_description: OnceLock::new(),
            has_active_post: AtomicBool::new(false),
            transport: AtomicU8::new(transport as u8),
            has_polled: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            drops_commands: AtomicBool::new(false),
            wants_discard: AtomicBool::new(false),
            address_permit,
        }))
    }

    /// Returns the session's id. It is a secret of this client: do not show it to other clients.
    #[must_use]
    pub fn id(&self) -> &SessionId {
        &self.0.id
    }

    /// Returns what the first request of the session has decided.
    pub(crate) fn format(&self) -> &WireFormat {
        &self.0.format
    }

    /// Returns the revision of the protocol: 4, or 3 if [`Options::allow_eio3`](crate::Options::allow_eio3) is set and the
    /// client asked for it.
    #[must_use]
    pub fn protocol(&self) -> u8 {
        self.0.format.revision.number()
    }

    /// Returns the transport that is in use now.
    #[must_use]
    pub fn transport(&self) -> Transport {
        Transport::ALL[usize::from(self.0.transport.load(Ordering::Relaxed))]
    }

    /// Returns whether the session is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::Acquire)
    }

    /// Sends an encoded message. If the limit of queued bytes is reached, the client is disconnected. If the session is
    /// over, the message is dropped.
    pub fn send(&self, message: EncodedMessage<'_>) {
        self.push(EncodedItem(message));
    }

    /// Sends an encoded message like [`send`](Self::send). If the session is behind, does with it what `policy` says.
    ///
    /// # Errors
    /// Returns an error if the session is over, or will end because the limit of queued bytes has been reached.
    #[inline]
    pub fn send_with(
        &self,
        message: EncodedMessage<'_>,
        policy: SlowReaderPolicy<'_>,
    ) -> Result<PushOutcome, PushError> {
        self.0.outbox.push(EncodedItem(message), policy).map(wake_pushed)
    }

    /// Sends an encoded message like [`send`](Self::send), but returns an error instead of disconnecting the client.
    ///
    /// # Errors
    /// Returns an error if the queue has no capacity for the message, or if the session is over.
    pub fn try_send(&self, message: EncodedMessage<'_>) -> Result<(), PushError> {
        self.0.outbox.try_push(EncodedItem(message)).map(wake)
    }

    /// Sends an encoded message like [`send_with`](Self::send_with), but returns an error instead of disconnecting the
    /// client.
    ///
    /// # Errors
    /// Returns an error if the queue has no capacity for the message, or if the session is over.
    pub fn try_send_with(
        &self,
        message: EncodedMessage<'_>,
        policy: SlowReaderPolicy<'_>,
    ) -> Result<PushOutcome, PushError> {
        self.0.outbox.try_push_with(EncodedItem(message), policy).map(wake_pushed)
    }

    /// Sends a message that many sessions share. Wake the returned waker after you have released your locks. The limit
    /// of queued bytes applies as for [`send`](Self::send).
    ///
    /// # Errors
    /// Returns an error if the session is over, or will end because the limit of queued bytes has been reached.
    #[inline]
    pub fn send_shared(
        &self,
        message: &SharedMessage,
        policy: SlowReaderPolicy<'_>,
    ) -> Result<Pushed, PushError> {
        self.0.outbox.push(SharedItem { message, budget: &self.0.memory_budget }, policy)
    }

    /// Sends the messages that are kept for [keys](net::LatestKey) of this scope after all others that were sent before, and
    /// before all that are sent later.
    pub fn release_latest(&self, scope: &str) {
        self.0.outbox.release_latest(scope);
    }

    /// Drops the messages that are kept for keys of this scope.
    pub fn discard_latest(&self, scope: &str) {
        self.0.outbox.discard_latest(scope);
    }

    /// Sends messages together. See [`send_with`](Self::send_with).
    ///
    /// # Errors
    /// Returns an error if the session is over, or will end because the limit of queued bytes has been reached.
    pub fn send_batch_with(
        &self,
        messages: &MessageBatch,
        policy: SlowReaderPolicy<'_>,
    ) -> Result<PushOutcome, PushError> {
        self.0.outbox.push(BatchItem(messages), policy).map(wake_pushed)
    }

    /// Sends messages together, or returns an error like [`try_send_with`](Self::try_send_with).
    ///
    /// # Errors
    /// Returns an error if the queue has no capacity for all the messages, or if the session is over.
    pub fn try_send_batch_with(
        &self,
        messages: &MessageBatch,
        policy: SlowReaderPolicy<'_>,
    ) -> Result<PushOutcome, PushError> {
        self.0.outbox.try_push_with(BatchItem(messages), policy).map(wake_pushed)
    }

    /// Sends messages that many sessions share, together. See [`send_shared`](Self::send_shared).
    ///
    /// # Errors
    /// Returns an error if the session is over, or will end because the limit of queued bytes has been reached.
    pub fn send_shared_batch(
        &self,
        messages: &SharedBatch,
        policy: SlowReaderPolicy<'_>,
    ) -> Result<Pushed, PushError> {
        self.0.outbox.push(SharedBatchItem { messages, budget: &self.0.memory_budget }, policy)
    }

    /// Sends a text message. Behaves like [`send`](Self::send) at the limit and after the end.
    pub fn send_text(&self, text: &str) {
        self.push(PacketItem(Packet::Message(text)));
    }

    /// Sends a binary message. Behaves like [`send`](Self::send) at the limit and after the end.
    pub fn send_binary(&self, data: &[u8]) {
        self.push(PacketItem(Packet::Binary(data.into())));
    }

    /// Sends the response to a ping of the client. Behaves like [`send`](Self::send) at the limit and after the end.
    pub(crate) fn send_pong(&self, data: &str) {
        self.push(PacketItem(Packet::Pong(data)));
    }

    fn push(&self, item: impl OutboxItem<Framing>) {
        if let Ok(pushed) = self.0.outbox.push(item, SlowReaderPolicy::Disconnect) {
            wake(pushed.waker);
        }
    }

    /// Returns whether a message would leave at once: the kernel has accepted everything that was sent before, or a
    /// poll is waiting.
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
    /// used. Returns an error if the session is over. Another task may use the capacity before the caller does.
    pub fn poll_capacity(&self, length: usize, cx: &mut Context<'_>) -> Poll<Result<(), PushError>> {
        self.0.outbox.poll_capacity(length, cx)
    }

    /// Returns whether a message of `length` bytes fits into the queue now, as for [`try_send`](Self::try_send).
    #[must_use]
    pub fn has_capacity(&self, length: usize) -> bool {
        self.0.outbox.has_capacity(length)
    }

    /// Records that the client is authenticated: the session no longer counts for
    /// [`AddressLimits::max_unauthenticated`](crate::AddressLimits::max_unauthenticated). It does so from its start if
    /// [`Application::authenticates`](crate::Application::authenticates) returns true.
    pub fn set_authenticated(&self) {
        if let Some(permit) = &self.0.address_permit {
            permit.set_authenticated();
        }
    }

    /// Records that the session is over, although handles to it may still exist.
    pub(crate) fn release_address(&self) {
        if let Some(permit) = &self.0.address_permit {
            permit.release();
        }
    }

    /// Sends a packet like [`try_send`](Self::try_send).
    pub(crate) fn try_send_packet(&self, packet: Packet<'_>) -> Result<(), PushError> {
        self.0.outbox.try_push(PacketItem(packet)).map(wake)
    }

    /// Closes the session after the queued messages have been sent.
    pub fn close(&self) {
        self.send_command(Command::Close(CloseReason::ForcedClose));
    }

    /// Closes the session after its queued messages have been sent, because the engine shuts down. See
    /// [`SessionHandler::begin_close`](crate::SessionHandler::begin_close).
    pub fn close_for_shutdown(&self) {
        self.send_command(Command::Close(CloseReason::ServerShuttingDown));
    }

    /// Closes the session at once, and drops the queued messages. If a WebSocket client has not yet read all that was
    /// sent before, its connection ends without a close frame. A polling client learns of the end only if one of its
    /// polls is waiting.
    pub fn close_discarding(&self) {
        self.send_command(Command::CloseDiscarding);
        // After the command: the task that sees this finds it.
        self.0.wants_discard.store(true, Ordering::Release);
        self.0.outbox.notify();
    }

    /// Returns whether [`close_discarding`](Self::close_discarding) has been called since the last call.
    #[inline]
    pub(crate) fn take_discard_request(&self) -> bool {
        self.0.wants_discard.load(Ordering::Acquire) && self.0.wants_discard.swap(false, Ordering::AcqRel)
    }

    /// Returns what went wrong, if the session has ended with an error that has a description, such as a violated rule
    /// of the protocol. It may contain text of the client.
    #[must_use]
    pub fn close_description(&self) -> Option<&str> {
        self.0.close_description.get().map(AsRef::as_ref)
    }

    /// Records what goes wrong, before the session is closed for it.
    pub(crate) fn describe_close(&self, description: impl Into<Box<str>>) {
        let _ = self.0.close_description.set(description.into());
    }

    /// Records and logs that the session is closed because a message, or the body of a POST, is too long. A program that
    /// sends pictures meets this limit early, and its client learns only that the connection has ended.
    #[cold]
    pub(crate) fn report_too_long(&self, description: impl Into<Box<str>>, max_http_buffer_size: u64) {
        static LOG: LogRateLimit = LogRateLimit::new();
        self.describe_close(description);
        LOG.try_log(|suppressed| {
            tracing::warn!(
                max_http_buffer_size,
                suppressed,
                "closing a session: the client has sent a message that exceeds `max_http_buffer_size`"
            );
        });
    }

    /// Wakes the session's task, which then polls its handler.
    pub fn wake(&self) {
        self.0.outbox.notify();
    }

    /// Sends a command to the session's task. If the task is gone, the command is dropped, which also ends the request
    /// that waits for it.
    pub(crate) fn send_command(&self, command: Command) {
        let rejected = {
            let mut commands = self.commands();
            if self.0.drops_commands.load(Ordering::Relaxed) {
                Some(command)
            } else {
                commands.get_or_insert_default().push(command);
                None
            }
        };
        drop(rejected);
        self.0.outbox.notify();
    }

    pub(crate) fn take_commands(&self) -> Option<Box<Commands>> {
        self.commands().take()
    }

    /// Drops all commands, now and later, because the session's task is gone.
    pub(crate) fn close_commands(&self) {
        let dropped = {
            let mut commands = self.commands();
            self.0.drops_commands.store(true, Ordering::Relaxed);
            commands.take()
        };
        drop(dropped);
    }

    fn commands(&self) -> MutexGuard<'_, Option<Box<Commands>>> {
        self.0.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn outbox(&self) -> &Outbox<Framing> {
        &self.0.outbox
    }

    /// Records that the client has polled after its handshake, or begun to upgrade.
    pub(crate) fn set_has_polled(&self) {
        self.0.has_polled.store(true, Ordering::Relaxed);
    }

    /// Returns whether the client has neither polled since its handshake nor begun to upgrade.
    pub(crate) fn is_half_open(&self) -> bool {
        !self.0.has_polled.load(Ordering::Relaxed)
    }

    pub(crate) fn set_transport(&self, transport: Transport) {
        self.0.transport.store(transport as u8, Ordering::Relaxed);
    }

    pub(crate) fn set_closed(&self) {
        self.0.closed.store(true, Ordering::Release);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("id", &self.0.id).field("transport", &self.transport()).finish()
    }
}

fn wake_pushed(pushed: Pushed) -> PushOutcome {
    wake(pushed.waker);
    pushed.outcome
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
