//! One socket of a client: its state, its buffers, and its pending acknowledgements.

mod handle_packet;

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use engineio_proto::{EncodedMessage, MessageEncoder, SharedMessage};
use ws_proto::Time;

use super::limits::Limits;
use super::output::{AckError, AckId, DisconnectReason, Output};
use super::recovery::Recovery;
use super::send_buffer::{SendBuffer, SendBufferKey};
use crate::ack_table::AckTable;
use crate::arguments::RawJson;
use crate::encode;
use crate::packet::Event;

/// One socket of a client, in one namespace.
///
/// `W` is the driver's type for a waiter that waits for an acknowledgement. Each waiter is returned exactly once: in an
/// [`Output`], or as the return value or error of the call that took it or cancelled it.
#[derive(Debug)]
pub struct Socket<W> {
    namespace: Box<str>,
    auth: Auth,
    limits: Limits,
    state: State,
    is_engine_open: bool,
    /// Whether the engine accepts messages now, see [`set_writable`](Self::set_writable).
    is_writable: bool,
    /// The server may send DISCONNECT before it receives ours. This is `true` while such a packet may still arrive.
    disconnect_may_cross: bool,
    /// The number of times the socket has connected. An event can be acknowledged only on the connection on which it
    /// was received.
    connect_epoch: u64,
    recovery: Recovery,
    next_ack_id: u64,
    acks: AckTable<PendingAck<W>>,
    send_buffer: SendBuffer,
    receive_buffer: VecDeque<(Event<'static>, Option<u64>)>,
    receive_buffer_bytes: usize,
    /// CONNECT and DISCONNECT packets. They are sent before the buffered events.
    control: VecDeque<SharedMessage>,
    outputs: VecDeque<Output<'static, W>>,
}

/// The credentials of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// The same credentials for every connection, or none.
    Static(Option<RawJson<'static>>),
    /// The driver supplies the credentials for each connection, when it receives [`Output::AuthNeeded`].
    PerConnect,
}

/// The state of a socket.
#[derive(Debug)]
enum State {
    /// The socket must not connect: the program has not connected it or has disconnected it, or the server has rejected
    /// or disconnected it.
    Inactive,
    /// The socket connects as soon as the engine is open.
    AwaitingEngine,
    /// The engine is open, and the driver is obtaining the credentials.
    Authenticating,
    /// CONNECT was sent.
    Connecting,
    Connected {
        id: Box<str>,
        recovered: bool,
    },
    /// CONNECT was sent, and the program has disconnected the socket since. Node closes the whole connection if
    /// DISCONNECT arrives before it has responded to CONNECT, so the socket waits for the response. `reconnect` is set
    /// if the program has connected the socket again in between.
    Disconnecting {
        reconnect: bool,
    },
}

/// A waiter for an acknowledgement.
#[derive(Debug)]
struct PendingAck<W> {
    waiter: W,
    /// The key of the event in the send buffer. If the connection ends while the event is buffered, the waiter does not
    /// fail.
    send_buffer_key: Option<SendBufferKey>,
}

/// What the driver must do with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "if this is `Transmit`, the message is lost unless the driver sends it"]
pub enum EmitAction {
    /// The driver must pass the message to the engine now, before any other message of this socket.
    Transmit,
    /// The message is buffered. [`poll_transmit`](Socket::poll_transmit) returns it as soon as the socket is connected.
    Buffered {
        /// The number of older messages that were dropped from the buffer to make space.
        dropped: usize,
    },
    /// The driver must not send the message. It is volatile and cannot be sent now, or it acknowledges an event of an
    /// earlier connection.
    Dropped,
}

/// The reason why a message cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EmitError {
    /// The socket is not connected, and the send buffer is full.
    BufferFull,
    /// There is already a waiter for an acknowledgement with this id.
    AckIdInUse,
}

impl fmt::Display for EmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BufferFull => "the socket is not connected and its send buffer is full",
            Self::AckIdInUse => "there is already a waiter for an acknowledgement with this id",
        })
    }
}

impl std::error::Error for EmitError {}

impl<W> Socket<W> {
    /// Creates an inactive socket.
    #[must_use]
    pub fn new(namespace: &str, auth: Auth, limits: &Limits) -> Self {
        Self {
            namespace: namespace.into(),
            auth,
            limits: *limits,
            state: State::Inactive,
            is_engine_open: false,
            is_writable: true,
            disconnect_may_cross: false,
            connect_epoch: 0,
            recovery: Recovery::default(),
            next_ack_id: 0,
            acks: AckTable::new(),
            send_buffer: SendBuffer::default(),
            receive_buffer: VecDeque::new(),
            receive_buffer_bytes: 0,
            control: VecDeque::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Returns the name of the namespace, with its leading slash.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Returns the id that the server has assigned to the socket, while it is connected. Servers choose the form of the
    /// id.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        if let State::Connected { id, .. } = &self.state { Some(id) } else { None }
    }

    /// Returns `true` if the socket is connected.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(self.state, State::Connected { .. })
    }

    /// Returns `true` if the socket is connected and the server has replayed everything that the socket missed.
    #[must_use]
    pub fn is_recovered(&self) -> bool {
        matches!(self.state, State::Connected { recovered: true, .. })
    }

    /// Returns `true` if the socket is connected, or will connect automatically as soon as possible. Returns `false`
    /// after [`disconnect`](Self::disconnect), after the server rejected the request, and after the server disconnected
    /// the socket.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !matches!(self.state, State::Inactive | State::Disconnecting { reconnect: false })
    }

    /// Replaces the credentials. The new ones are used from the next CONNECT packet on.
    pub fn set_auth(&mut self, auth: Auth) {
        self.auth = auth;
    }

    /// Connects the socket now, and again after every loss of the connection.
    pub fn connect(&mut self) {
        match &mut self.state {
            State::Inactive => self.start_connect(),
            State::Disconnecting { reconnect } => *reconnect = true,
            State::AwaitingEngine | State::Authenticating | State::Connecting | State::Connected { .. } => {}
        }
    }

    /// Disconnects the socket. All waiters for acknowledgements fail, and their buffered events are dropped. Other
    /// buffered events are kept for the next [`connect`](Self::connect).
    pub fn disconnect(&mut self) {
        self.state = match self.state {
            State::Connected { .. } => {
                self.send_disconnect();
                self.outputs.push_back(Output::Disconnected { reason: DisconnectReason::IoClientDisconnect });
                State::Inactive
            }
            State::Connecting | State::Disconnecting { .. } => State::Disconnecting { reconnect: false },
            State::Inactive | State::AwaitingEngine | State::Authenticating => State::Inactive,
        };
        self.clear_receive_buffer();
        self.fail_acks();
    }

    /// Supplies the credentials after [`Output::AuthNeeded`]. Does nothing if the connection has ended or the program
    /// has disconnected the socket in the meantime. In this case, the next connection attempt returns
    /// [`Output::AuthNeeded`] again.
    pub fn authenticate(&mut self, auth: Option<&RawJson<'_>>) {
        if matches!(self.state, State::Authenticating) {
            self.send_connect(auth);
        }
    }

    /// Tells the socket that the driver has stopped reconnecting. All waiters for acknowledgements fail.
    pub fn handle_reconnect_failed(&mut self) {
        self.fail_acks();
    }

    /// Returns a new id for an event that requests an acknowledgement.
    pub fn next_ack_id(&mut self) -> u64 {
        let id = self.next_ack_id;
        self.next_ack_id += 1;
        id
    }

    /// Tells the socket whether the engine accepts messages now. While it does not, events are buffered although the
    /// socket is connected, and [`poll_transmit`](Self::poll_transmit) returns only packets of the protocol. If the
    /// connection ends, these events are still buffered, so none of them is lost. Default: `true`, again after every
    /// [`handle_open`](Self::handle_open).
    pub fn set_writable(&mut self, is_writable: bool) {
        self.is_writable = is_writable;
    }

    /// Emits an event that requests no acknowledgement.
    ///
    /// # Errors
    /// Returns an error if the send buffer is full.
    pub fn emit(&mut self, message: &EncodedMessage<'_>) -> Result<EmitAction, EmitError> {
        self.check_capacity(message)?;
        Ok(self.send(message, None))
    }

    /// Decides whether a volatile event can be sent now. Otherwise it must be dropped. `is_writable` tells whether the
    /// transport can accept a message.
    pub fn emit_volatile(&self, is_writable: bool) -> EmitAction {
        if is_writable && self.can_transmit() { EmitAction::Transmit } else { EmitAction::Dropped }
    }

    /// Emits an event that was encoded with the [next id](Self::next_ack_id). `waiter` waits for the acknowledgement.
    /// With a `timeout`, it fails if that has passed since `now`.
    ///
    /// # Errors
    /// Returns an error and the waiter if the send buffer is full, or if there is already a waiter for this id.
    pub fn emit_with_ack(
        &mut self,
        id: u64,
        message: &EncodedMessage<'_>,
        timeout: Option<Duration>,
        waiter: W,
        now: Time,
    ) -> Result<EmitAction, (EmitError, W)> {
        if let Err(error) = self.check_capacity(message) {
            return Err((error, waiter));
        }
        let send_buffer_key = (!self.can_transmit()).then(|| self.send_buffer.next_key());
        match self.acks.insert(id, timeout, PendingAck { waiter, send_buffer_key }, now) {
            Ok(()) => Ok(self.send(message, Some(id))),
            Err(pending) => Err((EmitError::AckIdInUse, pending.waiter)),
        }
    }

    /// Removes the waiter for an acknowledgement and returns it. The event is still sent if it is buffered.
    pub fn cancel_ack(&mut self, id: u64) -> Option<W> {
        self.acks.remove(id).map(|pending| pending.waiter)
    }

    /// Decides whether the acknowledgement of an event can be sent. It is dropped if the connection on which the event
    /// was received has ended.
    pub fn acknowledge(&self, ack: AckId) -> EmitAction {
        if self.is_connected() && ack.connect_epoch == self.connect_epoch {
            EmitAction::Transmit
        } else {
            EmitAction::Dropped
        }
    }

    /// Returns the number of buffered messages and their size in bytes.
    #[must_use]
    pub fn buffered(&self) -> (usize, usize) {
        (self.send_buffer.len(), self.send_buffer.bytes())
    }

    /// Returns the number of waiters for acknowledgements.
    #[must_use]
    pub fn pending_acks(&self) -> usize {
        self.acks.len()
    }

    /// Returns the offset of the last event, if the server supports connection state recovery.
    #[must_use]
    pub fn offset(&self) -> Option<&str> {
        self.recovery.offset()
    }

    /// Returns the next message for the engine, in order. The socket considers the message sent.
    #[must_use]
    pub fn poll_transmit(&mut self) -> Option<SharedMessage> {
        if let Some(message) = self.control.pop_front() {
            return Some(message);
        }
        if !self.is_connected() || !self.is_writable {
            return None;
        }
        self.send_buffer.pop().map(|(message, _)| message)
    }

    /// Returns the next output. Call this after every other call, until it returns `None`.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output<'static, W>> {
        self.outputs.pop_front()
    }

    /// Returns the time at which the driver must call [`handle_timeout`](Self::handle_timeout). `None` if there is no
    /// deadline.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.acks.poll_timeout()
    }

    /// Fails a waiter whose acknowledgement did not arrive in time. Call this until it returns `None`. A deadline that is
    /// [noticed late](Time::extension) starts again once.
    #[must_use]
    pub fn handle_timeout(&mut self, now: Time) -> Option<Output<'static, W>> {
        let PendingAck { waiter, send_buffer_key } = self.acks.handle_timeout(now)?;
        self.send_buffer.remove(send_buffer_key);
        Some(Output::AckFailed { waiter, error: AckError::Timeout })
    }

    /// Tells the socket that the engine is open.
    pub fn handle_open(&mut self) {
        self.is_engine_open = true;
        self.is_writable = true;
        if matches!(self.state, State::AwaitingEngine) {
            self.start_connect();
        }
    }

    /// Tells the socket that the engine is closed. The waiters of events that were sent fail. Buffered events are kept.
    pub fn handle_close(&mut self, reason: DisconnectReason) {
        self.is_engine_open = false;
        self.disconnect_may_cross = false;
        self.control.clear();
        self.clear_receive_buffer();
        let was_connected = self.is_connected();
        self.state = if self.is_active() { State::AwaitingEngine } else { State::Inactive };
        if was_connected {
            self.outputs.push_back(Output::Disconnected { reason });
        }
        self.fail_sent_acks();
    }

    /// Starts to connect, or waits for the engine.
    fn start_connect(&mut self) {
        if !self.is_engine_open {
            self.state = State::AwaitingEngine;
            return;
        }
        match &self.auth {
            Auth::PerConnect => {
                self.state = State::Authenticating;
                self.outputs.push_back(Output::AuthNeeded);
            }
            Auth::Static(auth) => {
                let auth = auth.clone();
                self.send_connect(auth.as_ref());
            }
        }
    }

    fn send_connect(&mut self, auth: Option<&RawJson<'_>>) {
        let mut encoder = MessageEncoder::new();
        let (pid, offset) = (self.recovery.pid(), self.recovery.offset());
        let message = encode::connect_request(&mut encoder, &self.namespace, auth, pid, offset);
        self.control.push_back(message.to_shared());
        self.state = State::Connecting;
    }

    /// Sends DISCONNECT for a socket that the server has accepted.
    fn send_disconnect(&mut self) {
        let mut encoder = MessageEncoder::new();
        self.control.push_back(encode::disconnect(&mut encoder, &self.namespace).to_shared());
        self.disconnect_may_cross = true;
    }

    /// Whether a message can be passed to the engine without overtaking a buffered message.
    fn can_transmit(&self) -> bool {
        self.is_connected() && self.is_writable && self.send_buffer.is_empty()
    }

    fn check_capacity(&self, message: &EncodedMessage<'_>) -> Result<(), EmitError> {
        if self.can_transmit() || self.send_buffer.has_capacity(message.max_framed_len(), &self.limits) {
            return Ok(());
        }
        Err(EmitError::BufferFull)
    }

    /// Sends or buffers a message. The caller has checked the capacity.
    fn send(&mut self, message: &EncodedMessage<'_>, ack: Option<u64>) -> EmitAction {
        if self.can_transmit() {
            return EmitAction::Transmit;
        }
        let size = message.max_framed_len();
        let dropped = self.send_buffer.drop_oldest_until_fits(size, &self.limits);
        for pending in dropped.iter().flatten().filter_map(|id| self.acks.remove(*id)) {
            let error = AckError::Dropped;
            self.outputs.push_back(Output::AckFailed { waiter: pending.waiter, error });
        }
        self.send_buffer.push(message.to_shared(), size, ack);
        EmitAction::Buffered { dropped: dropped.len() }
    }

    /// Fails the waiters of events that were sent: the connection has ended, so their acknowledgements cannot arrive.
    fn fail_sent_acks(&mut self) {
        let buffer = &self.send_buffer;
        for pending in self.acks.extract_if(|pending| !buffer.contains(pending.send_buffer_key)) {
            let error = AckError::Disconnected;
            self.outputs.push_back(Output::AckFailed { waiter: pending.waiter, error });
        }
    }

    /// Fails all waiters. Their buffered events are removed, because an event must not be sent after its waiter has
    /// failed.
    fn fail_acks(&mut self) {
        for PendingAck { waiter, send_buffer_key } in self.acks.extract_if(|_| true) {
            self.send_buffer.remove(send_buffer_key);
            self.outputs.push_back(Output::AckFailed { waiter, error: AckError::Disconnected });
        }
    }

    fn clear_receive_buffer(&mut self) -> VecDeque<(Event<'static>, Option<u64>)> {
        self.receive_buffer_bytes = 0;
        std::mem::take(&mut self.receive_buffer)
    }
}
