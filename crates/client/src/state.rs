//! The state that the handles of a client and its driver share, under one lock.
//!
//! Hot path: each emitted event and each received message takes the lock once. No code of the program runs under it,
//! except a parser of the program.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use handlers::with_encoder;
use socketio_proto::client::{self as machine, Auth, DisconnectReason, EmitAction, SocketKey};
use socketio_proto::{Arguments, Event, Parser, encode};
use tokio::sync::oneshot;

use crate::engine::Session;
use crate::error::{AckError, EmitError};
use crate::outgoing::{Outgoing, log_not_encoded, prepare, with_outgoing};
use crate::platform;
use crate::reconnection::Reconnection;
use crate::retry_queue::{GivenUp, RetryQueue};
use crate::socket::SocketInner;

/// The result of an acknowledgement. If the client ends, the sender is dropped without a result.
pub(crate) type AckResult = Result<Arguments<'static>, AckError>;

/// The sender of the result of an acknowledgement that the program awaits.
pub(crate) type AckWaiter = oneshot::Sender<AckResult>;

/// Who waits for an acknowledgement.
#[derive(Debug)]
pub(crate) enum Waiter {
    /// The program.
    Program(AckWaiter),
    /// The queue of `retries` of the same socket.
    RetryQueue,
}

/// The state under the lock.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) machine: machine::Client<Waiter>,
    pub(crate) reconnection: Reconnection,
    /// `None` for the default parser.
    parser: Option<Arc<dyn Parser>>,
    /// The open connection. Set exactly while the machine considers the engine open.
    pub(crate) session: Option<Session>,
    /// In the order in which they were created.
    sockets: Vec<SocketEntry>,
    max_send_buffer_events: usize,
    max_send_buffer_bytes: usize,
    /// The program has connected a socket since the driver last looked.
    pub(crate) wants_open: bool,
    pub(crate) phase: Phase,
    driver: Option<Waker>,
    /// Something has happened that the driver must see before it sleeps.
    notified: bool,
    /// The sockets whose capacity to send may have grown since [`take_capacity`](Self::take_capacity).
    has_new_capacity: bool,
}

/// The phase of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    /// [`Client::close`](crate::Client::close) was called, or the last handle was dropped. What is queued on the open
    /// connection is still sent.
    Closing {
        /// Whether the handlers of the disconnect are called.
        calls_handlers: bool,
    },
    /// The driver has ended.
    Closed,
}

/// A socket, with the part of its state that is under the lock.
#[derive(Debug)]
pub(crate) struct SocketEntry {
    key: SocketKey,
    pub(crate) socket: Arc<SocketInner>,
    retry: Option<Retry>,
}

#[derive(Debug)]
struct Retry {
    queue: RetryQueue<AckWaiter>,
    retries: u32,
}

/// What became of an event that the program has emitted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Emitted {
    /// It was passed to the connection, or buffered.
    Accepted,
    /// It is volatile, and could not be sent at once.
    DroppedVolatile,
}

impl State {
    pub(crate) fn new(
        machine: machine::Client<Waiter>,
        reconnection: Reconnection,
        parser: Option<Arc<dyn Parser>>,
        limits: &crate::Limits,
    ) -> Self {
        Self {
            machine,
            reconnection,
            parser,
            session: None,
            sockets: Vec::new(),
            max_send_buffer_events: limits.max_send_buffer_events,
            max_send_buffer_bytes: limits.max_send_buffer_bytes,
            wants_open: false,
            phase: Phase::Running,
            driver: None,
            notified: false,
            has_new_capacity: false,
        }
    }

    /// Returns the socket of a namespace.
    pub(crate) fn find(&self, namespace: &str) -> Option<&Arc<SocketInner>> {
        self.sockets.iter().map(|entry| &entry.socket).find(|socket| *socket.namespace == *namespace)
    }

    /// Returns the sockets, in the order in which they were created.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = &Arc<SocketInner>> {
        self.sockets.iter().map(|entry| &entry.socket)
    }

    /// Adds a socket, which `new` creates from its key. It is not connected yet.
    pub(crate) fn insert(
        &mut self,
        namespace: &str,
        auth: Auth,
        retries: Option<u32>,
        new: impl FnOnce(SocketKey) -> Arc<SocketInner>,
    ) -> Arc<SocketInner> {
        let key = self.machine.socket(namespace, auth);
        let socket = new(key);
        if self.phase == Phase::Closed {
            // The socket must not be kept by a state that nobody clears any more.
            return socket;
        }
        let retry = retries.map(|retries| Retry { queue: RetryQueue::new(), retries });
        self.sockets.push(SocketEntry { key, socket: Arc::clone(&socket), retry });
        socket
    }

    /// Removes the sockets, because the driver ends. Drop them after the lock is released.
    pub(crate) fn take_sockets(&mut self) -> Vec<SocketEntry> {
        std::mem::take(&mut self.sockets)
    }

    /// Connects a socket, now and after each loss of the connection.
    pub(crate) fn connect(&mut self, key: SocketKey) -> Option<Waker> {
        self.machine[key].connect();
        self.wants_open = true;
        self.notify()
    }

    /// Disconnects a socket. The events that the program awaits in its retry queue fail.
    #[must_use = "these waiters must be told"]
    pub(crate) fn disconnect(&mut self, key: SocketKey) -> (Vec<AckWaiter>, Option<Waker>) {
        self.machine[key].disconnect();
        self.flush();
        let waiters = self.retry(key).map(|retry| retry.queue.remove_awaited()).unwrap_or_default();
        (waiters, self.notify())
    }

    /// The last attempt to reconnect has failed. The returned waiters of the retry queues fail.
    #[must_use = "these waiters must be told"]
    pub(crate) fn handle_reconnect_failed(&mut self) -> Vec<AckWaiter> {
        self.machine.handle_reconnect_failed();
        let queues = self.sockets.iter_mut().filter_map(|entry| entry.retry.as_mut());
        queues.flat_map(|retry| retry.queue.remove_awaited()).collect()
    }

    /// Emits an event without an acknowledgement.
    pub(crate) fn emit(
        &mut self,
        key: SocketKey,
        packet: Outgoing<'_>,
        volatile: bool,
    ) -> Result<Emitted, EmitError> {
        self.check_running()?;
        let action = if volatile {
            let is_writable = self.session.as_ref().is_some_and(Session::is_writable);
            self.machine[key].emit_volatile(is_writable)
        } else {
            self.update_writable(key, packet.max_framed_len());
            self.machine[key].emit(&packet.message).map_err(|_| EmitError::Full)?
        };
        Ok(self.transmit(action, packet))
    }

    /// Emits an event that was encoded with the acknowledgement id `id`. Fails with the waiter.
    pub(crate) fn emit_with_ack(
        &mut self,
        key: SocketKey,
        id: u64,
        packet: Outgoing<'_>,
        options: AckOptions,
        waiter: Waiter,
    ) -> Result<(Emitted, Option<Waker>), (EmitError, Waiter)> {
        if let Err(error) = self.check_running() {
            return Err((error, waiter));
        }
        let now = platform::now();
        if options.volatile {
            let is_writable = self.session.as_ref().is_some_and(Session::is_writable);
            if self.machine[key].emit_volatile(is_writable) != EmitAction::Transmit {
                return Ok((Emitted::DroppedVolatile, None));
            }
        } else {
            self.update_writable(key, packet.max_framed_len());
        }
        let first = self.machine[key].poll_timeout();
        let emitted = self.machine[key].emit_with_ack(id, &packet.message, options.timeout, waiter, now);
        let action = emitted.map_err(|(_, waiter)| (EmitError::Full, waiter))?;
        let emitted = self.transmit(action, packet);
        // The driver must update its timer.
        let is_first = self.machine[key].poll_timeout() != first;
        Ok((emitted, if is_first { self.notify() } else { None }))
    }

    /// Appends an event to the retry queue. Fails with the waiter.
    pub(crate) fn emit_with_retries(
        &mut self,
        key: SocketKey,
        event: Event<'static>,
        options: AckOptions,
        waiter: Option<AckWaiter>,
    ) -> Result<Option<Waker>, (EmitError, Option<AckWaiter>)> {
        if let Err(error) = self.check_running() {
            return Err((error, waiter));
        }
        // An event that cannot be encoded again, because it is nested too deeply for instance, would block the queue.
        let encoded = with_encoder(|encoder| {
            prepare(self.parser.as_ref(), encoder);
            let message = encode::event(encoder, "/", Some(0), event.name(), event.arguments())?;
            with_outgoing(self.parser.as_ref(), message, |_| ())
        });
        if let Err(error) = encoded {
            return Err((error.into(), waiter));
        }
        let (max_events, max_bytes) = (self.max_send_buffer_events, self.max_send_buffer_bytes);
        let Some(retry) = self.retry(key) else { return Ok(None) };
        let queue = &mut retry.queue;
        if queue.len() >= max_events || queue.bytes().saturating_add(event.size()) > max_bytes {
            return Err((EmitError::Full, waiter));
        }
        queue.push(event, options.timeout, options.compress, waiter);
        self.send_next_retry(key);
        Ok(self.notify())
    }

    /// Sends the first event of the retry queue, if the socket is connected and none is in flight.
    pub(crate) fn send_next_retry(&mut self, key: SocketKey) {
        if !self.machine[key].is_connected() {
            return;
        }
        let Some(entry) = self.sockets.iter_mut().find(|entry| entry.key == key) else { return };
        let Some(retry) = &mut entry.retry else { return };
        if retry.queue.next_to_send().is_none() {
            return;
        }
        let id = entry.socket.next_ack_id();
        let now = platform::now();
        let machine = &mut self.machine[key];
        let (session, parser) = (&self.session, self.parser.as_ref());
        let sent = with_encoder(|encoder| {
            let first = retry.queue.next_to_send()?;
            let (timeout, compress) = (first.timeout, first.compress);
            let (name, arguments) = (first.event.name(), first.event.arguments());
            prepare(parser, encoder);
            let message = encode::event(encoder, &entry.socket.namespace, Some(id), name, arguments).ok()?;
            let message = message.with_compression(compress);
            let sent = with_outgoing(parser, message, |packet| {
                let accepts = |session: &Session| session.accepts(packet.max_framed_len(), now);
                machine.set_writable(session.as_ref().is_some_and(accepts));
                let message = &packet.message;
                let action = machine.emit_with_ack(id, message, timeout, Waiter::RetryQueue, now).ok()?;
                if action == EmitAction::Transmit
                    && let Some(session) = session
                {
                    session.send(packet);
                }
                Some(())
            });
            sent.ok()?
        });
        // Without this, the send buffer is full of other events. The next acknowledgement or connection tries again.
        if sent.is_some() {
            retry.queue.mark_sent();
        }
    }

    /// The first event of the retry queue was acknowledged. Returns the waiter, if the program awaits it.
    pub(crate) fn handle_retry_ack(&mut self, key: SocketKey) -> Option<AckWaiter> {
        let waiter = self.retry(key)?.queue.handle_ack();
        self.send_next_retry(key);
        self.has_new_capacity = true;
        waiter
    }

    /// The first event of the retry queue was not acknowledged. It is sent again, or given up.
    pub(crate) fn handle_retry_failure(
        &mut self,
        key: SocketKey,
        error: AckError,
    ) -> Option<GivenUp<AckWaiter>> {
        let retry = self.retry(key)?;
        let given_up = retry.queue.handle_failure(error, retry.retries);
        self.send_next_retry(key);
        self.has_new_capacity |= given_up.is_some();
        given_up
    }

    /// Passes messages that are buffered in the machine to the connection, as far as it accepts them.
    pub(crate) fn flush(&mut self) {
        let Some(session) = &self.session else { return };
        let now = platform::now();
        for socket in self.machine.sockets_mut() {
            loop {
                let buffered = socket.buffered().0;
                if buffered > 0 {
                    // The length of the message is not known yet. It may exceed the limit by itself.
                    socket.set_writable(session.accepts(1, now));
                }
                let Some(message) = socket.poll_transmit() else { break };
                self.has_new_capacity |= socket.buffered().0 < buffered;
                if let Err(error) = session.send_shared(&message, self.parser.as_ref()) {
                    // Events were checked when they were emitted, so this is a request to connect.
                    log_not_encoded(&error);
                }
            }
        }
    }

    /// Tells the machine that the connection is over. What was passed to the connection is still sent.
    pub(crate) fn close_session(&mut self, reason: DisconnectReason) {
        self.flush();
        if let Some(session) = self.session.take() {
            session.close();
        }
        self.machine.close(reason);
    }

    /// Closes the connection, or ends the attempts to open one, if no socket needs it. Returns whether there was one.
    pub(crate) fn close_if_unused(&mut self) -> bool {
        if self.machine.is_active() || self.reconnection.is_closed() {
            return false;
        }
        self.reconnection.close();
        self.close_session(DisconnectReason::ForcedClose);
        true
    }

    /// Returns whether tasks that wait for capacity must be woken.
    pub(crate) fn take_capacity(&mut self) -> bool {
        std::mem::take(&mut self.has_new_capacity)
    }

    /// Records that something has happened for the driver. Returns its waker if it sleeps; wake it after the lock is
    /// released.
    #[must_use = "the driver sleeps until it is woken"]
    pub(crate) fn notify(&mut self) -> Option<Waker> {
        self.notified = true;
        self.driver.take()
    }

    /// For the driver: records that it is awake.
    pub(crate) fn unpark(&mut self) {
        self.driver = None;
        self.notified = false;
    }

    /// For the driver: prepares to sleep. Returns `false` if something has happened since [`unpark`](Self::unpark).
    pub(crate) fn park(&mut self, waker: &Waker) -> bool {
        if std::mem::take(&mut self.notified) {
            return false;
        }
        self.driver = Some(waker.clone());
        true
    }

    fn check_running(&self) -> Result<(), EmitError> {
        if self.phase == Phase::Running { Ok(()) } else { Err(EmitError::Closed) }
    }

    /// Tells the machine whether a message of `len` bytes may be passed to the connection.
    fn update_writable(&mut self, key: SocketKey, len: usize) {
        if let Some(session) = &self.session {
            let is_accepted = session.accepts(len, platform::now());
            self.machine[key].set_writable(is_accepted);
        }
    }

    fn transmit(&self, action: EmitAction, packet: Outgoing<'_>) -> Emitted {
        match action {
            EmitAction::Transmit => {
                if let Some(session) = &self.session {
                    session.send(packet);
                }
                Emitted::Accepted
            }
            EmitAction::Buffered { .. } => Emitted::Accepted,
            EmitAction::Dropped => Emitted::DroppedVolatile,
        }
    }

    fn retry(&mut self, key: SocketKey) -> Option<&mut Retry> {
        self.sockets.iter_mut().find(|entry| entry.key == key)?.retry.as_mut()
    }
}

/// How an event whose acknowledgement is awaited is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AckOptions {
    pub(crate) timeout: Option<Duration>,
    pub(crate) volatile: bool,
    pub(crate) compress: bool,
}
