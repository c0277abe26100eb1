//! Sending events to one socket.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use adapter::{BroadcastOptions, DeliveryPolicy};
use bytes::Bytes;
use engineio_proto::EncodedMessage;
use handlers::{ObservedEvent, decode_event, with_encoder};
use net::{LogRateLimit, PushError, PushOutcome, SlowReaderPolicy};
use serde::Serialize;
use serde::de::DeserializeOwned;
use socketio_proto::parser::encode_shared_with;
use socketio_proto::{EncodeError, EncodedEvent, Excerpt, encode};

use super::delivery::BroadcastOutcomes;
use super::lifecycle::size;
use super::{AckError, AckFuture, Socket};
use crate::namespace::Namespace;
use crate::observer::{DropReason, Observation};
use crate::outgoing::Outgoing;

/// Encodes an event for a broadcast. With `ack`, it requests acknowledgements with this id.
pub(crate) fn encode_event<T: Serialize + ?Sized>(
    namespace: &Namespace,
    ack: Option<u64>,
    event: &str,
    arguments: &T,
    compress: bool,
) -> Result<EncodedEvent, EncodeError> {
    let parser = namespace.parser();
    let event: EncodedEvent = with_encoder(|encoder| {
        if parser.is_some() {
            encoder.lift_attachment_limit();
        }
        let message = encode::event(encoder, namespace.name(), ack, event, arguments)?;
        Ok::<_, EncodeError>(message.with_compression(compress).into())
    })?;
    // The parser may be the program's code, so it must not run while the adapter holds its lock. The first receiver would
    // convert the event there.
    if let Some(parser) = parser {
        encode_shared_with(parser, event.message())?;
    }
    Ok(event)
}

/// Logs that an event could not be encoded. The log is rate-limited, because data that a client sent may cause the
/// error if the program relays it.
pub(crate) fn log_emit_error(event: &str, error: &EmitError) {
    static NOT_SENT: LogRateLimit = LogRateLimit::new();
    NOT_SENT.try_log(|suppressed| {
        let (event, error) = (Excerpt(event), Excerpt(error));
        tracing::error!(%event, %error, suppressed, "an event was not sent");
    });
}

/// The bytes that the offset of an event in the log may add to it, with the quotes and the comma.
const MAX_OFFSET_LEN: usize = 128 + 3;

/// The reason why an event was not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EmitError {
    /// The client's write buffer is full.
    Full,
    /// The socket is disconnected.
    Disconnected,
    /// The event cannot be encoded.
    Encode(EncodeError),
}

impl fmt::Display for EmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the client's write buffer is full"),
            Self::Disconnected => f.write_str("socket has been disconnected"),
            Self::Encode(error) => error.fmt(f),
        }
    }
}

impl Error for EmitError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Encode(error) => error.source(),
            _ => None,
        }
    }
}

impl From<EncodeError> for EmitError {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error)
    }
}

impl From<PushError> for EmitError {
    fn from(error: PushError) -> Self {
        match error {
            PushError::Full => Self::Full,
            PushError::Closed => Self::Disconnected,
        }
    }
}

/// Sends an event to one socket with options, see [`Socket::volatile`], [`Socket::keep_latest`], [`Socket::compress`] and
/// [`Socket::timeout`].
#[derive(Debug, Clone, Copy)]
#[must_use = "nothing is sent before `emit`"]
pub struct Emitter<'a> {
    socket: &'a Socket,
    policy: SlowReaderPolicy<'a>,
    compress: bool,
    timeout: Option<Duration>,
}

impl<'a> Emitter<'a> {
    pub(crate) fn new(socket: &'a Socket) -> Self {
        Self { socket, policy: SlowReaderPolicy::Disconnect, compress: true, timeout: None }
    }

    /// Makes the event volatile: the server drops it if the connection is not ready to send it. A WebSocket is not
    /// ready while the kernel has not accepted all earlier data. A polling connection is not ready while no poll
    /// request is waiting. Replaces an earlier [`keep_latest`](Self::keep_latest).
    pub fn volatile(mut self) -> Self {
        self.policy = SlowReaderPolicy::Drop;
        self
    }

    /// Sends only the latest state to a client that reads slowly: while the connection is behind, the event is kept under
    /// `key`, and replaces the one that was kept under this key before. For a position, a price, the state of a game.
    /// Replaces an earlier [`volatile`](Self::volatile).
    ///
    /// ```
    /// # use tidewire_server::Socket;
    /// # fn tick(socket: &Socket, player: u32, position: (f32, f32)) {
    /// socket.keep_latest(&format!("player {player}")).emit("moved", (player, position));
    /// # }
    /// ```
    ///
    /// If the connection can send the event now, it is sent as any other. A connection is behind while the kernel has not
    /// accepted all earlier data, while no poll request is waiting, or while 64 KiB wait for its task. The kept events are
    /// sent when everything before them has been sent: after all events that were queued until then, and in the order in
    /// which they were emitted. So an event may come after later ones of other keys, but two events of a key never change
    /// their order, and the last one arrives if the client reads on. A disconnect of the socket sends them first.
    ///
    /// Keys belong to a socket: the same key in two namespaces is two keys, and a broadcast with the key replaces an event
    /// of the socket. An event with another name replaces it too. What is kept counts for
    /// [`max_write_buffer_size`](crate::Builder::max_write_buffer_size), with its key. A client for which 1,024 keys are
    /// kept gets events with further keys as any others.
    ///
    /// If the event of an [`emit_with_ack`](Self::emit_with_ack) is replaced, its acknowledgement times out.
    pub fn keep_latest(mut self, key: &'a str) -> Self {
        self.policy = SlowReaderPolicy::KeepLatest(self.socket.latest_key(key));
        self
    }

    /// Sets whether the event may be compressed, if the server compresses: `per_message_deflate` and `http_compression` of
    /// [`Builder`](crate::Builder), with the feature `compression`. Default true. Switch it off for data that is already
    /// compressed, or that contains a secret. A response to a poll is uncompressed only if this holds for all its packets.
    pub fn compress(mut self, compress: bool) -> Self {
        self.compress = compress;
        self
    }

    /// Sets the timeout of the acknowledgement.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends an event, see [`Socket::emit`].
    pub fn emit<T: Serialize>(self, event: impl AsRef<str>, arguments: T) {
        let event = event.as_ref();
        if self.socket.is_recoverable() {
            match self.emit_in_order(event, &arguments, false) {
                Ok(()) | Err((EmitError::Disconnected | EmitError::Full, _)) => {}
                Err((error, _)) => log_emit_error(event, &error),
            }
            return;
        }
        let sent =
            self.push(event, None, &arguments, |message| self.outgoing().send_with(message, self.policy));
        match sent {
            // After an overflow, the client is about to be disconnected.
            Ok(()) | Err(EmitError::Disconnected | EmitError::Full) => {}
            Err(error) => log_emit_error(event, &error),
        }
    }

    /// Sends the event `message`. The same as `emit("message", arguments)`.
    pub fn send<T: Serialize>(self, arguments: T) {
        self.emit("message", arguments);
    }

    /// Sends an event if the client's write buffer has capacity, see [`Socket::try_emit`].
    ///
    /// # Errors
    /// Returns the reason why the event was not sent.
    pub fn try_emit<T: Serialize>(self, event: impl AsRef<str>, arguments: T) -> Result<(), EmitError> {
        let event = event.as_ref();
        if self.socket.is_recoverable() {
            return self.emit_in_order(event, &arguments, true).map_err(|(error, _)| error);
        }
        self.push(event, None, &arguments, |message| self.try_push(message))
    }

    /// Like [`try_emit`](Self::try_emit), but also returns the event's size in bytes with the error.
    pub(crate) fn try_emit_sized<T: Serialize>(
        self,
        event: &str,
        arguments: &T,
    ) -> Result<(), (EmitError, usize)> {
        if self.socket.is_recoverable() {
            return self.emit_in_order(event, arguments, true);
        }
        let mut length = 0;
        let sent = self.push(event, None, arguments, |message| {
            self.outgoing().try_send_sized(message, self.policy).map_err(|(error, needed)| {
                length = needed;
                error
            })
        });
        sent.map_err(|error| (error, length))
    }

    /// Sends an event immediately and returns a future that resolves to the client's acknowledgement, see
    /// [`Socket::emit_with_ack`].
    pub fn emit_with_ack<R: DeserializeOwned>(
        self,
        event: impl AsRef<str>,
        arguments: impl Serialize,
    ) -> AckFuture<R> {
        let id = self.socket.namespace().next_ack_id();
        let timeout = self.timeout.unwrap_or(self.socket.namespace().limits().ack_timeout);
        let acknowledged = AckFuture::new(self.socket, id, timeout);
        let is_behind =
            self.socket.is_recoverable() && self.socket.namespace().adapter().has_undelivered_events();
        let sent = match is_behind {
            true => self.emit_with_ack_in_order(event.as_ref(), id, &arguments),
            false => self.push(event.as_ref(), Some(id), &arguments, |message| self.try_push(message)),
        };
        match sent {
            Ok(()) => acknowledged,
            Err(error) => acknowledged.failed(AckError::NotSent(error)),
        }
    }

    /// Sends an event whose place is in the order of the log, because the client may recover its session. If it has lost its
    /// connection, the event waits for it in the log. With `tries`, an event that does not fit into the client's write buffer
    /// is an error, which contains its size in bytes.
    #[inline(never)]
    fn emit_in_order<T: Serialize>(
        self,
        event: &str,
        arguments: &T,
        tries: bool,
    ) -> Result<(), (EmitError, usize)> {
        let socket = self.socket;
        let is_logged = self.policy == SlowReaderPolicy::Disconnect;
        let is_connected = socket.is_connected();
        let may_arrive = is_connected || is_logged && socket.may_be_recovered();
        if !may_arrive {
            return Err((EmitError::Disconnected, 0));
        }
        if self.policy == SlowReaderPolicy::Drop && !socket.session().is_writable() {
            // Nothing is encoded.
            socket.record_delivery(PushOutcome::Dropped);
            self.notify_dropped(event, DropReason::Volatile);
            return Ok(());
        }
        let encoded = encode_event(socket.namespace(), None, event, arguments, self.compress)
            .map_err(|error| (error.into(), 0))?;
        let length = encoded.message().max_framed_len() + MAX_OFFSET_LEN;
        if tries && is_connected && !socket.session().has_capacity(length) {
            return Err((EmitError::Full, length));
        }
        let mut options = BroadcastOptions::new().to(socket.id());
        options.private = true;
        options.policy = self.delivery_policy();
        let _ = BroadcastOutcomes::take();
        socket.namespace().adapter().broadcast(&encoded, &options);
        self.observe_in_order(event, &encoded, false, BroadcastOutcomes::take());
        Ok(())
    }

    /// Sends an event that requests an acknowledgement behind those that the message bus of a cluster has not returned yet. It is
    /// no broadcast, because only this process can take the acknowledgement.
    #[inline(never)]
    fn emit_with_ack_in_order<T: Serialize>(
        self,
        event: &str,
        id: u64,
        arguments: &T,
    ) -> Result<(), EmitError> {
        let socket = self.socket;
        if !socket.is_connected() {
            return Err(EmitError::Disconnected);
        }
        if self.policy == SlowReaderPolicy::Drop && !socket.session().is_writable() {
            // Nothing is encoded.
            socket.record_delivery(PushOutcome::Dropped);
            self.notify_dropped(event, DropReason::Volatile);
            return Ok(());
        }
        let encoded = encode_event(socket.namespace(), Some(id), event, arguments, self.compress)?;
        if !socket.session().has_capacity(encoded.message().max_framed_len()) {
            return Err(EmitError::Full);
        }
        self.observe_in_order(event, &encoded, true, BroadcastOutcomes::default());
        let (receiver, policy) = (socket.clone(), self.delivery_policy());
        let then = move || receiver.deliver_later(&encoded, id, &policy);
        socket.namespace().adapter().after_earlier_events(Box::new(then));
        Ok(())
    }

    fn delivery_policy(&self) -> DeliveryPolicy {
        match self.policy {
            SlowReaderPolicy::Disconnect => DeliveryPolicy::Queue,
            SlowReaderPolicy::Drop => DeliveryPolicy::Volatile,
            SlowReaderPolicy::KeepLatest(key) => DeliveryPolicy::KeepLatest(key.name.into()),
        }
    }

    /// Reports an event that was sent in the order of the log to the observers of the server and of the socket.
    fn observe_in_order(
        &self,
        event: &str,
        encoded: &EncodedEvent,
        is_ack_requested: bool,
        outcomes: BroadcastOutcomes,
    ) {
        let socket = self.socket;
        let message = encoded.message();
        if socket.namespace().observers().is_active() {
            for (reason, count) in [
                (DropReason::Volatile, outcomes.dropped),
                (DropReason::Replaced, outcomes.replaced),
                (DropReason::Overflow, outcomes.overflowed),
            ] {
                if count > 0 {
                    self.notify_dropped(event, reason);
                }
            }
            if outcomes.dropped == 0 && outcomes.overflowed == 0 {
                let bytes =
                    message.text().len() + message.attachments().iter().map(Bytes::len).sum::<usize>();
                socket.notify(|| Observation::EventSent { socket, event, bytes, is_ack_requested });
            }
        }
        if socket.observes_outgoing()
            && let Some(event) =
                decode_event(message.text(), message.attachments().iter().map(|data| &**data))
        {
            socket.observe_outgoing(ObservedEvent::new(&event, is_ack_requested));
        }
    }

    fn outgoing(&self) -> Outgoing<'a> {
        self.socket.inner().outgoing()
    }

    fn try_push(&self, message: EncodedMessage<'_>) -> Result<PushOutcome, EmitError> {
        self.outgoing().try_send_with(message, self.policy)
    }

    fn push<T: Serialize>(
        &self,
        event: &str,
        ack: Option<u64>,
        arguments: &T,
        push: impl FnOnce(EncodedMessage<'_>) -> Result<PushOutcome, EmitError>,
    ) -> Result<(), EmitError> {
        if !self.socket.is_connected() {
            return Err(EmitError::Disconnected);
        }
        if tracing::enabled!(tracing::Level::TRACE) {
            trace_emit(self.socket, event);
        }
        if self.policy == SlowReaderPolicy::Drop && !self.socket.session().is_writable() {
            // Nothing is encoded.
            self.socket.record_delivery(PushOutcome::Dropped);
            self.notify_dropped(event, DropReason::Volatile);
            return Ok(());
        }
        if self.socket.namespace().observers().is_active() || self.socket.observes_outgoing() {
            return self.push_observed(event, ack, arguments, push);
        }
        let outcome = with_encoder(|encoder| {
            self.outgoing().prepare(encoder);
            let namespace = self.socket.namespace().name();
            let message = encode::event(encoder, namespace, ack, event, arguments)?;
            push(message.with_compression(self.compress))
        })?;
        self.socket.record_delivery(outcome);
        Ok(())
    }

    /// Sends an event and then reports it to the observers of the server and of the socket.
    #[cold]
    fn push_observed<T: Serialize>(
        &self,
        event: &str,
        ack: Option<u64>,
        arguments: &T,
        push: impl FnOnce(EncodedMessage<'_>) -> Result<PushOutcome, EmitError>,
    ) -> Result<(), EmitError> {
        let is_ack_requested = ack.is_some();
        let (bytes, observed, outcome) = with_encoder(|encoder| {
            self.outgoing().prepare(encoder);
            let namespace = self.socket.namespace().name();
            let message = encode::event(encoder, namespace, ack, event, arguments)?;
            let observed = match self.socket.observes_outgoing() {
                true => decode_event(message.text(), message.attachments()),
                false => None,
            };
            let bytes = size(&message);
            let outcome = push(message.with_compression(self.compress))?;
            Ok::<_, EmitError>((bytes, observed, outcome))
        })?;
        self.socket.record_delivery(outcome);
        if self.socket.namespace().observers().is_active() {
            if let Some(reason) = DropReason::of(outcome) {
                self.notify_dropped(event, reason);
            }
            if !matches!(outcome, PushOutcome::Dropped | PushOutcome::Overflowed) {
                let socket = self.socket;
                socket.notify(|| Observation::EventSent { socket, event, bytes, is_ack_requested });
            }
        }
        if let Some(event) = observed {
            self.socket.observe_outgoing(ObservedEvent::new(&event, is_ack_requested));
        }
        Ok(())
    }

    fn notify_dropped(&self, event: &str, reason: DropReason) {
        let (namespace, socket) = (self.socket.namespace(), Some(self.socket));
        namespace.observers().notify(|| Observation::EventDropped {
            namespace,
            socket,
            event,
            reason,
            receivers: 1,
        });
    }
}

impl Socket {
    /// Sends an event that has waited for earlier ones. If it cannot be sent, nobody waits for its acknowledgement.
    fn deliver_later(&self, event: &EncodedEvent, ack_id: u64, policy: &DeliveryPolicy) {
        if !self.is_connected() {
            return;
        }
        let Some(pushed) = self.0.outgoing().send_shared(event, self.policy_of(policy)) else {
            return self.0.acks.remove(ack_id);
        };
        self.record_delivery(pushed.outcome);
        if let Some(waker) = pushed.waker {
            waker.wake();
        }
    }
}

#[cold]
fn trace_emit(socket: &Socket, event: &str) {
    tracing::trace!(socket = socket.log_id(), event = %Excerpt(event), "sending an event");
}
