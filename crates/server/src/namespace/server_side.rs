//! Events between the servers of a cluster.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use adapter::{EncodedEvent, Replies, Request, Room, ServerSideResponder};
use engineio_proto::EncodedMessage;
use handlers::{AckSender, Acknowledge, BoxFuture, HandlerError, IntoReply, decode_event, with_encoder};
use net::LogRateLimit;
use serde::Serialize;
use serde::de::DeserializeOwned;
use socketio_proto::{Arguments, Decoder, EncodeError, Excerpt, Packet};

use super::{Broadcast, BroadcastAcks, Namespace};
use crate::socket::log_emit_error;

/// A handler of an event that another server has sent.
pub(crate) type ServerSideHandler = Arc<
    dyn Fn(&Arguments<'static>, Option<AckSender<Responder>>) -> BoxFuture<Result<(), HandlerError>>
        + Send
        + Sync,
>;

/// The names that have a meaning in Node's servers.
const RESERVED: [&str; 3] = ["connect", "connection", "new_namespace"];

impl Namespace {
    /// Registers a handler for an event that another server of the cluster sends with
    /// [`server_side_emit`](Self::server_side_emit). In Node: `io.on(event)`. A second handler for the same event replaces
    /// the first.
    ///
    /// The argument of the handler is deserialized like [`Data`](crate::Data). The handler returns what an event handler
    /// returns; another server that waits for a response receives the first value. Each call is a task of its own, so
    /// handlers run concurrently. An error is logged, and the other server receives its message.
    ///
    /// ```
    /// use tidewire_server::{Reply, Server};
    ///
    /// # async fn run(io: Server) {
    /// io.on_server_side_emit("load", async |_: ()| Reply(0.75));
    ///
    /// let loads = io.server_side_emit_with_ack::<f64>("load", ()).await;
    /// # let _ = loads;
    /// # }
    /// ```
    pub fn on_server_side_emit<T, H, F>(&self, event: impl Into<String>, handler: H)
    where
        T: DeserializeOwned + Send + 'static,
        H: Fn(T) -> F + Send + Sync + 'static,
        F: Future<Output: IntoReply> + Send + 'static,
    {
        let call = move |arguments: &Arguments<'static>,
                         sender: Option<AckSender<Responder>>|
              -> BoxFuture<Result<(), HandlerError>> {
            match arguments.deserialize::<T>() {
                Ok(value) => {
                    let reply = handler(value);
                    Box::pin(async move { reply.await.send_reply(sender) })
                }
                Err(error) => {
                    let error = HandlerError::new(error.to_string());
                    Box::pin(std::future::ready(Err::<(), _>(error).send_reply(sender)))
                }
            }
        };
        let handler: ServerSideHandler = Arc::new(call);
        self.add_server_side_handler(event.into().into_boxed_str(), handler);
    }

    /// Not generic, so it is compiled once.
    fn add_server_side_handler(&self, event: Box<str>, handler: ServerSideHandler) {
        self.update_handlers(|handlers| {
            let handlers = &mut handlers.server_side;
            let index = handlers.iter().position(|(name, _)| *name == event);
            let former = index.map(|index| handlers.swap_remove(index));
            handlers.push((event, handler));
            former
        });
    }

    /// Sends an event to the programs on the *other* servers of the cluster. Clients do not receive it. If it cannot be
    /// sent, the error is logged.
    pub fn server_side_emit<T: Serialize>(&self, event: impl AsRef<str>, arguments: T) {
        let event = event.as_ref();
        match encode_server_side(self.name(), event, &arguments) {
            Ok(event) => self.adapter().server_side_emit(&event, None),
            Err(error) => log_emit_error(event, &error.into()),
        }
    }

    /// Sends an event to the programs on the *other* servers of the cluster, and returns their responses, one for each
    /// server. As in Node, only the first value of each response is taken.
    ///
    /// The servers must respond within [`Limits::cluster_timeout`](crate::Limits::cluster_timeout). A server that leaves
    /// the cluster is missing at once.
    pub fn server_side_emit_with_ack<R: DeserializeOwned>(
        &self,
        event: impl AsRef<str>,
        arguments: impl Serialize,
    ) -> BroadcastAcks<R> {
        let (acks, replies) = BroadcastAcks::new(self.limits().max_broadcast_ack_bytes);
        match self.request_server_side(event.as_ref(), &arguments, replies) {
            Ok(()) => acks,
            Err(error) => acks.not_sent(error.into()),
        }
    }

    /// Sends an event to the programs on the other servers, whose responses go to `replies`.
    pub(super) fn request_server_side(
        &self,
        event: &str,
        arguments: &impl Serialize,
        replies: Replies,
    ) -> Result<(), EncodeError> {
        let event = encode_server_side(self.name(), event, arguments)?;
        let request = Request { timeout: self.limits().cluster_timeout, now: net::now(), replies };
        self.adapter().server_side_emit(&event, Some(request));
        Ok(())
    }

    /// Selects all sockets in the namespace, and sets how long to wait for their replies. See [`Broadcast::timeout`].
    pub fn timeout(&self, timeout: std::time::Duration) -> Broadcast {
        self.broadcast().timeout(timeout)
    }

    /// Sends an event to all sockets in the namespace and returns their acknowledgements. See
    /// [`Broadcast::emit_with_ack`].
    pub fn emit_with_ack<R: DeserializeOwned>(
        &self,
        event: impl AsRef<str>,
        arguments: impl Serialize,
    ) -> BroadcastAcks<R> {
        self.broadcast().emit_with_ack(event, arguments)
    }

    /// Returns the rooms of this server with the number of their members, in no particular order. The rooms of the
    /// sockets' own ids are not in the list, unless another socket has joined them. `io.in_(room).sockets()` returns the
    /// members of a room.
    #[must_use]
    pub fn rooms(&self) -> Vec<(Room, usize)> {
        self.adapter().local().rooms()
    }

    /// Returns the number of servers in the cluster, as far as the adapter knows it now. 1 without a cluster. `None` if
    /// the adapter does not know.
    #[must_use]
    pub fn server_count(&self) -> Option<usize> {
        self.adapter().server_count()
    }

    /// Calls the handler of an event that another server has sent.
    pub(super) fn handle_server_side_event(
        &self,
        event: &EncodedEvent,
        responder: Option<ServerSideResponder>,
    ) {
        let message = event.message();
        let attachments = message.attachments().iter().map(|attachment| &**attachment);
        let Some(event) = decode_event(message.text(), attachments) else {
            return log_failure("?", &"the event is not valid");
        };
        let handlers = self.handlers();
        let found = handlers.server_side.iter().find(|(name, _)| **name == *event.name());
        let Some(handler) = found.map(|(_, handler)| Arc::clone(handler)) else {
            tracing::debug!(event = %Excerpt(event.name()), "ignored an event of another server: it has no handler");
            return;
        };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return log_failure(event.name(), &"the adapter called the namespace outside a Tokio runtime");
        };
        let sender = responder.map(|responder| AckSender::new(Responder::new(self.name(), responder), 0));
        // The future is created in the task, because the handler may panic.
        net::spawn_boxed(&runtime, async move {
            if let Err(error) = handler(event.arguments(), sender).await {
                log_failure(event.name(), &error);
            }
        });
    }
}

/// Sends the response of a handler to the other server.
pub(crate) struct Responder {
    namespace: Box<str>,
    responder: Mutex<Option<ServerSideResponder>>,
}

impl Responder {
    fn new(namespace: &str, responder: ServerSideResponder) -> Arc<Self> {
        Arc::new(Self { namespace: namespace.into(), responder: Mutex::new(Some(responder)) })
    }
}

impl Acknowledge for Responder {
    fn namespace(&self) -> &str {
        &self.namespace
    }

    fn send_ack(&self, message: EncodedMessage<'_>) {
        let responder = self.responder.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((responder, arguments)) = responder.zip(decode_ack(&message)) {
            responder.respond(arguments);
        }
    }

    fn report_error(self: Arc<Self>, error: &HandlerError, event: Option<&str>) {
        log_failure(event.unwrap_or("?"), error);
    }
}

fn encode_server_side<T: Serialize>(
    namespace: &str,
    event: &str,
    arguments: &T,
) -> Result<EncodedEvent, EncodeError> {
    if RESERVED.contains(&event) {
        return Err(EncodeError::ReservedEvent(event.to_owned()));
    }
    with_encoder(|encoder| EncodedEvent::encode(encoder, namespace, None, event, arguments))
}

/// Returns the arguments of an acknowledgement that was just encoded.
fn decode_ack(message: &EncodedMessage<'_>) -> Option<Arguments<'static>> {
    let mut decoder = Decoder::new(&socketio_proto::DecoderLimits::default());
    let mut packet = decoder.decode_text(message.text()).ok()?.map(Packet::into_owned);
    for attachment in message.attachments() {
        packet = decoder.decode_binary(attachment).ok()?;
    }
    match packet? {
        Packet::Ack { arguments, .. } => Some(arguments),
        _ => None,
    }
}

/// Logs that an event of another server was not handled.
fn log_failure(event: &str, error: &dyn fmt::Display) {
    static FAILED: LogRateLimit = LogRateLimit::new();
    FAILED.try_log(|suppressed| {
        let (event, error) = (Excerpt(event), Excerpt(error));
        tracing::warn!(%event, %error, suppressed, "an event of another server was not handled");
    });
}
