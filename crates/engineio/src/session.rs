//! What other tasks may do with a session: send, and close.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use engineio_proto::{CloseReason, EncodedMessage, Framing, Packet, SessionId, SharedMessage, Transport};
use net::{Outbox, PushError, Upgraded};
use tokio::sync::oneshot;

use crate::outbox_items::{EncodedItem, PacketItem, SharedItem};
use crate::transport::PostRequest;

/// A handle on a session. Cheap to clone; it does not keep the session alive.
#[derive(Clone)]
pub struct Session(Arc<Shared>);

struct Shared {
    id: SessionId,
    outbox: Outbox<Framing>,
    /// What the HTTP side asks of the session's task; `None` once that is gone.
    commands: Mutex<Option<Vec<Command>>>,
    /// A POST of this session is being read or handled: a second one breaks the protocol.
    has_active_post: AtomicBool,
    /// Its place in [`Transport::ALL`].
    transport: AtomicU8,
    /// A request of the client has come since the handshake.
    half_open: AtomicBool,
    closed: AtomicBool,
}

/// A request of the HTTP side to the session's task.
pub(crate) enum Command {
    /// A GET waits for packets.
    Poll(oneshot::Sender<PollReply>),
    /// A POST has brought packets.
    Post(PostRequest),
    /// A WebSocket connection wants to take over.
    Candidate(Upgraded),
    /// The program or the HTTP side ends the session.
    Close(CloseReason),
    /// The engine ends the session, and does not wait for another poll: there may be none.
    Discard(CloseReason),
}

/// What a GET is answered.
#[derive(Debug)]
pub(crate) enum PollReply {
    /// Packets in the form of a payload. They are nowhere else any more.
    Packets(Vec<u8>),
    /// The session has moved to WebSocket, and what waited with it.
    Upgraded,
    /// A second GET while one waits.
    Overlap,
}

impl Session {
    pub(crate) fn new(id: SessionId, transport: Transport, max_buffered: usize) -> Self {
        Self(Arc::new(Shared {
            id,
            outbox: Outbox::with_framing(max_buffered, Framing::of(transport)),
            commands: Mutex::new(Some(Vec::new())),
            has_active_post: AtomicBool::new(false),
            transport: AtomicU8::new(transport as u8),
            half_open: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        }))
    }

    /// The session's id. It is a secret of this client: do not show it to others.
    #[must_use]
    pub fn id(&self) -> &SessionId {
        &self.0.id
    }

    /// The transport that is in use now.
    #[must_use]
    pub fn transport(&self) -> Transport {
        Transport::ALL[usize::from(self.0.transport.load(Ordering::Relaxed))]
    }

    /// Whether the session is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::Acquire)
    }

    /// Sends an encoded message. A client for which the limit of waiting bytes is reached is disconnected; what
    /// is sent to a session that is over is dropped.
    pub fn send(&self, message: EncodedMessage<'_>) {
        wake(self.0.outbox.push_or_overflow(EncodedItem(message)));
    }

    /// Like [`send`](Self::send), but refuses where `send` would disconnect.
    ///
    /// # Errors
    /// No room, or the session is over.
    pub fn try_send(&self, message: EncodedMessage<'_>) -> Result<(), PushError> {
        self.0.outbox.try_push(EncodedItem(message)).map(|waker| {
            if let Some(waker) = waker {
                waker.wake();
            }
        })
    }

    /// Sends a message that many sessions share. The waker must be woken once the caller has released its locks.
    #[must_use = "the session's task sleeps until it is woken"]
    pub fn send_shared(&self, message: &SharedMessage) -> Option<Waker> {
        self.0.outbox.push_or_overflow(SharedItem(message)).ok().flatten()
    }

    /// Sends one text message.
    pub fn send_text(&self, text: &str) {
        wake(self.0.outbox.push_or_overflow(PacketItem(Packet::Message(text))));
    }

    /// Sends one binary message.
    pub fn send_binary(&self, data: &[u8]) {
        wake(self.0.outbox.push_or_overflow(PacketItem(Packet::Binary(data.into()))));
    }

    /// Whether what is sent now leaves at once: the kernel has taken all that was sent before, or a poll waits.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.0.outbox.is_writable()
    }

    /// Bytes that wait to be sent.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.0.outbox.buffered()
    }

    /// Ready when there is room for a message of `length` bytes, or the session is over. Another task may take the room
    /// before the caller does.
    pub fn poll_capacity(&self, length: usize, cx: &mut Context<'_>) -> Poll<Result<(), PushError>> {
        self.0.outbox.poll_capacity(length, cx)
    }

    /// Ends the session, after what was sent before has been sent.
    pub fn close(&self) {
        self.command(Command::Close(CloseReason::ForcedClose));
    }

    /// Wakes the session's task, which then polls its handler.
    pub fn wake(&self) {
        self.0.outbox.notify();
    }

    /// Asks something of the session's task. Once that is gone the command is dropped, which answers its request.
    pub(crate) fn command(&self, command: Command) {
        let refused = match &mut *self.commands() {
            Some(commands) => {
                commands.push(command);
                None
            }
            None => Some(command),
        };
        drop(refused);
        self.0.outbox.notify();
    }

    pub(crate) fn take_commands(&self) -> Vec<Command> {
        self.commands().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The session's task is gone: what was asked of it and what will be is dropped.
    pub(crate) fn close_commands(&self) {
        let refused = self.commands().take();
        drop(refused);
    }

    fn commands(&self) -> MutexGuard<'_, Option<Vec<Command>>> {
        self.0.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn outbox(&self) -> &Outbox<Framing> {
        &self.0.outbox
    }

    /// Takes the one place for a POST; `None` when it is taken.
    pub(crate) fn begin_post(&self) -> Option<PostGuard> {
        (!self.0.has_active_post.swap(true, Ordering::AcqRel))
            .then(|| PostGuard { session: self.clone(), finished: false })
    }

    /// The client has sent a request for its session.
    pub(crate) fn clear_half_open(&self) {
        self.0.half_open.store(true, Ordering::Relaxed);
    }

    /// Whether nothing has come from the client since its handshake.
    pub(crate) fn is_half_open(&self) -> bool {
        !self.0.half_open.load(Ordering::Relaxed)
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

/// The place of the one POST that a session may have. Dropped before it is finished, the client has gone away in the
/// middle, and the session with it.
pub(crate) struct PostGuard {
    session: Session,
    finished: bool,
}

impl PostGuard {
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// The request has been answered in order.
    pub(crate) fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for PostGuard {
    fn drop(&mut self) {
        // The end first: no other POST begins that would still be handled.
        if !self.finished {
            self.session.command(Command::Close(CloseReason::TransportError));
        }
        self.session.0.has_active_post.store(false, Ordering::Release);
    }
}

/// A GET, until its answer is taken. Dropped before that, the client has gone away. While nothing has been answered the
/// session's task notices that by itself, and ends the session; packets that were on their way are lost, and the session
/// with them.
pub(crate) struct PendingPoll {
    session: Session,
    reply_receiver: oneshot::Receiver<PollReply>,
}

impl PendingPoll {
    /// Asks the session's task for packets.
    pub(crate) fn begin(session: Session) -> Self {
        let (reply, replied) = oneshot::channel();
        session.command(Command::Poll(reply));
        Self { session, reply_receiver: replied }
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// The answer; `None` when the session has ended or moved before it could give one.
    pub(crate) async fn reply(&mut self) -> Option<PollReply> {
        (&mut self.reply_receiver).await.ok()
    }
}

impl Drop for PendingPoll {
    fn drop(&mut self) {
        // Closed first: an answer is either found here, or the session's task told that nobody takes it.
        self.reply_receiver.close();
        if let Ok(PollReply::Packets(_)) = self.reply_receiver.try_recv() {
            self.session.command(Command::Close(CloseReason::TransportError));
        }
    }
}

fn wake(pushed: Result<Option<Waker>, PushError>) {
    if let Ok(Some(waker)) = pushed {
        waker.wake();
    }
}
