//! The rules of one socket of a client: when it is connected, what waits until then, and what fails when it ends.

mod handle_packet;

use std::collections::VecDeque;

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
/// `W` is the driver's type of a waiter for an acknowledgement. Each waiter is returned exactly once: in an [`Output`], or
/// from the call that took it.
#[derive(Debug)]
pub struct Socket<W> {
    namespace: Box<str>,
    auth: Auth,
    limits: Limits,
    state: State,
    is_engine_open: bool,
    /// A DISCONNECT was sent, and one of the server may be under way that was sent before ours came.
    disconnect_may_cross: bool,
    /// How often the socket was connected. An event is acknowledged on the connection that it came on, or not at all.
    connect_epoch: u64,
    recovery: Recovery,
    next_ack_id: u64,
    acks: AckTable<PendingAck<W>>,
    send_buffer: SendBuffer,
    receive_buffer: VecDeque<(Event<'static>, Option<u64>)>,
    receive_buffer_bytes: usize,
    /// Packets of the socket itself. They come before what is buffered.
    control: VecDeque<SharedMessage>,
    outputs: VecDeque<Output<'static, W>>,
}

/// What a socket authenticates with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// Always with the same, or with nothing.
    Static(Option<RawJson<'static>>),
    /// With what the driver finds out each time: it is asked by [`Output::AuthNeeded`].
    PerConnect,
}

/// Where a socket is.
#[derive(Debug)]
enum State {
    /// Nothing is wanted: the program has not asked for it or has left, or the server has refused or disconnected it.
    Inactive,
    /// Wanted, as soon as there is a connection.
    AwaitingEngine,
    /// There is a connection, and the driver finds out what to authenticate with.
    Authenticating,
    /// CONNECT is sent.
    Connecting,
    Connected {
        id: Box<str>,
        recovered: bool,
    },
    /// CONNECT is sent, and the program has left since. Node closes the connection for a DISCONNECT that comes before it
    /// has answered, so the answer is waited for. `reconnect` tells that the program has come back meanwhile.
    Disconnecting {
        reconnect: bool,
    },
}

/// Somebody waits for an acknowledgement.
#[derive(Debug)]
struct PendingAck<W> {
    waiter: W,
    /// Where the event waits, if it still does: then it is not lost with a connection.
    send_buffer_key: Option<SendBufferKey>,
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a message that is to be transmitted is kept nowhere else"]
pub enum EmitAction {
    /// The driver gives it to the engine now, before anything else of this socket.
    Transmit,
    /// It waits until the socket is connected.
    Buffered {
        /// How many older messages had to go for it.
        dropped: usize,
    },
    /// It is dropped: it is volatile, or acknowledges an event of an earlier connection.
    Dropped,
}

/// Why a message is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// The socket is not connected, and too much waits already.
    #[error("too many messages wait for the connection")]
    BufferFull,
    /// An acknowledgement with this id is waited for already.
    #[error("an acknowledgement with this id is waited for already")]
    AckIdInUse,
}

impl<W> Socket<W> {
    /// A socket that nobody has asked for yet.
    #[must_use]
    pub fn new(namespace: &str, auth: Auth, limits: &Limits) -> Self {
        Self {
            namespace: namespace.into(),
            auth,
            limits: *limits,
            state: State::Inactive,
            is_engine_open: false,
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

    /// The name of the namespace, with its leading slash.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The id that the server has given the socket, while it is connected. Opaque text: servers choose its form.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        if let State::Connected { id, .. } = &self.state { Some(id) } else { None }
    }

    /// Whether the socket is connected.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(self.state, State::Connected { .. })
    }

    /// Whether the socket is connected, and the server has sent everything that was missed before.
    #[must_use]
    pub fn is_recovered(&self) -> bool {
        matches!(self.state, State::Connected { recovered: true, .. })
    }

    /// Whether the socket is connected or will be as soon as that is possible, without the program's help. It will not
    /// after [`disconnect`](Self::disconnect), a refusal, or a disconnect by the server.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !matches!(self.state, State::Inactive | State::Disconnecting { reconnect: false })
    }

    /// Changes what the socket authenticates with from the next CONNECT on.
    pub fn set_auth(&mut self, auth: Auth) {
        self.auth = auth;
    }

    /// The program wants the socket to be connected, now and after every loss of the connection.
    pub fn connect(&mut self) {
        match &mut self.state {
            State::Inactive => self.start_connect(),
            State::Disconnecting { reconnect: rejoin } => *rejoin = true,
            State::AwaitingEngine | State::Authenticating | State::Connecting | State::Connected { .. } => {}
        }
    }

    /// The program wants the socket to be disconnected. All acknowledgements fail; what waits to be sent, and asked for
    /// none, is kept for the next [`connect`](Self::connect).
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

    /// What to authenticate with, after [`Output::AuthNeeded`]. Ignored when the connection has ended meanwhile, or the
    /// program has left: then it is asked for again.
    pub fn authenticate(&mut self, auth: Option<&RawJson<'_>>) {
        if matches!(self.state, State::Authenticating) {
            self.send_connect(auth);
        }
    }

    /// There will be no connection any more: the driver has given up. All acknowledgements fail.
    pub fn handle_reconnect_failed(&mut self) {
        self.fail_acks();
    }

    /// The id for the next event that wants an acknowledgement.
    pub fn next_ack_id(&mut self) -> u64 {
        let id = self.next_ack_id;
        self.next_ack_id += 1;
        id
    }

    /// An event that wants no acknowledgement.
    ///
    /// # Errors
    /// When the send buffer is full.
    pub fn emit(&mut self, message: &EncodedMessage<'_>) -> Result<EmitAction, EmitError> {
        self.check_capacity(message)?;
        Ok(self.send(message, None))
    }

    /// An event that is dropped unless it can be sent at once. `is_writable` tells whether the transport would take it.
    pub fn emit_volatile(&self, is_writable: bool) -> EmitAction {
        if is_writable && self.can_transmit() { EmitAction::Transmit } else { EmitAction::Dropped }
    }

    /// An event that was encoded with the [next id](Self::next_ack_id), whose acknowledgement `waiter` waits for, until
    /// `deadline` if there is one.
    ///
    /// # Errors
    /// When the send buffer is full, or the id is in use. Gives the waiter back.
    pub fn emit_with_ack(
        &mut self,
        id: u64,
        message: &EncodedMessage<'_>,
        deadline: Option<Time>,
        waiter: W,
    ) -> Result<EmitAction, (EmitError, W)> {
        if let Err(error) = self.check_capacity(message) {
            return Err((error, waiter));
        }
        let place = (!self.can_transmit()).then(|| self.send_buffer.next_key());
        match self.acks.insert(id, deadline, PendingAck { waiter, send_buffer_key: place }) {
            Ok(()) => Ok(self.send(message, Some(id))),
            Err(pending) => Err((EmitError::AckIdInUse, pending.waiter)),
        }
    }

    /// Nobody waits for this acknowledgement any more. The event is sent nevertheless.
    pub fn cancel_ack(&mut self, id: u64) -> Option<W> {
        self.acks.remove(id).map(|pending| pending.waiter)
    }

    /// Whether the acknowledgement of an event may be sent. Not after the connection that it came on.
    pub fn acknowledge(&self, ack: AckId) -> EmitAction {
        if self.is_connected() && ack.connect_epoch == self.connect_epoch {
            EmitAction::Transmit
        } else {
            EmitAction::Dropped
        }
    }

    /// How many messages wait to be sent, and how many bytes they have.
    #[must_use]
    pub fn buffered(&self) -> (usize, usize) {
        (self.send_buffer.len(), self.send_buffer.bytes())
    }

    /// How many acknowledgements are waited for.
    #[must_use]
    pub fn pending_acks(&self) -> usize {
        self.acks.len()
    }

    /// The offset of the last event, while the server recovers connections.
    #[must_use]
    pub fn offset(&self) -> Option<&str> {
        self.recovery.offset()
    }

    /// The next message for the engine, in order. What it gives counts as sent.
    #[must_use]
    pub fn poll_transmit(&mut self) -> Option<SharedMessage> {
        if let Some(message) = self.control.pop_front() {
            return Some(message);
        }
        if !self.is_connected() {
            return None;
        }
        self.send_buffer.pop().map(|(message, _)| message)
    }

    /// What has happened. Call it after every other call, until `None`.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output<'static, W>> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.acks.poll_timeout()
    }

    /// An acknowledgement that did not come in time. Call again until `None`.
    #[must_use]
    pub fn handle_timeout(&mut self, now: Time) -> Option<Output<'static, W>> {
        let PendingAck { waiter, send_buffer_key: place } = self.acks.handle_timeout(now)?;
        self.send_buffer.remove(place);
        Some(Output::AckFailed { waiter, error: AckError::Timeout })
    }

    /// The engine is open.
    pub fn handle_open(&mut self) {
        self.is_engine_open = true;
        if matches!(self.state, State::AwaitingEngine) {
            self.start_connect();
        }
    }

    /// The engine is closed. Acknowledgements of events that were sent fail; what waits is kept.
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

    /// The socket is wanted.
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

    /// Tells the server that the socket, which it has let in, is gone.
    fn send_disconnect(&mut self) {
        let mut encoder = MessageEncoder::new();
        self.control.push_back(encode::disconnect(&mut encoder, &self.namespace).to_shared());
        self.disconnect_may_cross = true;
    }

    /// Whether a message can be given to the engine without overtaking one.
    fn can_transmit(&self) -> bool {
        self.is_connected() && self.send_buffer.is_empty()
    }

    fn check_capacity(&self, message: &EncodedMessage<'_>) -> Result<(), EmitError> {
        if self.can_transmit() || self.send_buffer.has_capacity(message.max_framed_len(), &self.limits) {
            return Ok(());
        }
        Err(EmitError::BufferFull)
    }

    /// A message for which there is capacity.
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

    /// Nothing answers for what was sent on a connection that has ended.
    fn fail_sent_acks(&mut self) {
        let buffer = &self.send_buffer;
        for pending in self.acks.extract_if(|pending| !buffer.contains(pending.send_buffer_key)) {
            let error = AckError::Disconnected;
            self.outputs.push_back(Output::AckFailed { waiter: pending.waiter, error });
        }
    }

    /// Somebody has given up. An event whose sender is told so is not sent later.
    fn fail_acks(&mut self) {
        for PendingAck { waiter, send_buffer_key: place } in self.acks.extract_if(|_| true) {
            self.send_buffer.remove(place);
            self.outputs.push_back(Output::AckFailed { waiter, error: AckError::Disconnected });
        }
    }

    fn clear_receive_buffer(&mut self) -> VecDeque<(Event<'static>, Option<u64>)> {
        self.receive_buffer_bytes = 0;
        std::mem::take(&mut self.receive_buffer)
    }
}
