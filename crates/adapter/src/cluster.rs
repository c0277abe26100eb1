//! The adapter of a cluster, without its message bus.
//!
//! [`ClusterAdapter`] knows what the servers tell each other, who waits for whom, and until when. It does no I/O: a
//! driver moves the [`Message`]s and calls it when a deadline has passed. The driver implements [`Bus`].

mod bus;
mod log_order;
mod message;
mod node;
mod recovery;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use engineio_proto::MessageEncoder;
use socketio_proto::{EncodedEvent, SocketId};
use ws_proto::Time;

pub use bus::Bus;
pub use message::{AckRequest, Message, MovedSession, NodeId, Recipient, RequestId};

use crate::adapter::Adapter;
use crate::host::{Host, LinkChange, ServerSideResponder};
use crate::in_memory::InMemoryAdapter;
use crate::limits::JoinError;
use crate::options::{BroadcastOptions, DeliveryPolicy};
use crate::ready::Ready;
use crate::recovery::{Recovery, RecoveryOptions};
use crate::request::{AckWaiter, Missing, Replies, Reply, Request};
use log_order::LogOrder;
use node::{Link, Node};

/// The settings of a [`ClusterAdapter`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClusterOptions {
    /// The name of this server. Each namespace may have its own.
    pub id: NodeId,
    /// The id of the first request. It must be random, so that the ids of different servers differ.
    pub first_request: u64,
    /// When an event reaches the sockets of the server that sends it. Default [`LocalDelivery::AtOnce`].
    pub local_delivery: LocalDelivery,
    /// The interval in which a server tells the others that it is alive. Default 5 s, as in Node.
    pub heartbeat_interval: Duration,
    /// The silence after which another server counts as dead. Requests do not wait for it then. Default 10 s, as in
    /// Node.
    pub heartbeat_timeout: Duration,
    /// The maximum number of other servers. Requests do not wait for servers beyond the limit; everything else works.
    /// Default 1,000.
    ///
    /// Protects against programs on the message bus that invent names.
    pub max_peers: usize,
    /// The maximum number of requests that wait for other servers. At the limit, a request gets
    /// [`MissingReason::Limit`](crate::MissingReason::Limit) for each of them. Default 10,000.
    ///
    /// Protects against requests that pile up while another server does not reply.
    pub max_requests: usize,
    /// The longest time that this server waits for clients on behalf of another server. Default 10 min.
    ///
    /// Protects against servers that request acknowledgements with a timeout of days: each client has an entry for
    /// that time.
    pub max_ack_timeout: Duration,
    /// How long a client that wants to recover its session waits for the servers that may have it. After that, it connects
    /// as a new client. Default 1 s.
    pub claim_timeout: Duration,
}

impl ClusterOptions {
    /// Creates options with default values. `random` must be random bytes.
    #[must_use]
    pub fn new(random: [u8; 16]) -> Self {
        let [id, first_request] = [0, 8].map(|start| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&random[start..start + 8]);
            bytes
        });
        Self {
            id: NodeId::from_random(id),
            first_request: u64::from_be_bytes(first_request),
            local_delivery: LocalDelivery::AtOnce,
            heartbeat_interval: Duration::from_secs(5),
            heartbeat_timeout: Duration::from_secs(10),
            max_peers: 1_000,
            max_requests: 10_000,
            max_ack_timeout: Duration::from_secs(600),
            claim_timeout: Duration::from_secs(1),
        }
    }
}

/// When an event reaches the sockets of the server that sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LocalDelivery {
    /// Before `emit` returns.
    AtOnce,
    /// When the message bus returns the event with its offset. So all servers deliver the events of all servers in the
    /// same order. The bus must deliver broadcasts to their sender too. Broadcasts that request acknowledgements have no
    /// offset, and are delivered at once.
    InLogOrder,
}

/// The adapter of a namespace in a cluster.
///
/// ```
/// use std::sync::{Arc, Mutex, Weak};
///
/// use tidewire_adapter::cluster::{Bus, ClusterAdapter, ClusterOptions, Message, Recipient};
/// use tidewire_adapter::{Adapter, Host, Time};
///
/// /// A bus whose messages wait until a task sends them.
/// #[derive(Default)]
/// struct Queue(Mutex<Vec<(Recipient, Message)>>);
///
/// impl Bus for Queue {
///     fn start(&self, _adapter: Weak<ClusterAdapter>, _now: Time) {
///         // Start the task here. It sends what is in the queue, and passes what it receives to `handle_message`.
///     }
///
///     fn publish(&self, recipient: Recipient, message: &Message) {
///         self.0.lock().expect("nothing panics").push((recipient, message.clone()));
///         // Wake the task here.
///     }
/// }
///
/// # fn random() -> [u8; 16] { [0; 16] }
/// // For the `adapter` method of a server's builder:
/// let factory = |namespace: &str, host: Weak<dyn Host>| -> Arc<dyn Adapter> {
///     ClusterAdapter::new(namespace, host, Queue::default(), ClusterOptions::new(random()))
/// };
/// # let _ = factory;
/// ```
pub struct ClusterAdapter {
    this: Weak<Self>,
    namespace: Box<str>,
    local: InMemoryAdapter,
    host: Weak<dyn Host>,
    bus: Arc<dyn Bus>,
    id: NodeId,
    local_delivery: LocalDelivery,
    max_ack_timeout: Duration,
    claim_timeout: Duration,
    node: Mutex<Node>,
    /// Empty with [`LocalDelivery::AtOnce`].
    log_order: LogOrder,
}

impl ClusterAdapter {
    /// Creates the adapter of a namespace.
    #[must_use]
    pub fn new(
        namespace: &str,
        host: Weak<dyn Host>,
        bus: impl Bus + 'static,
        options: ClusterOptions,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            namespace: namespace.into(),
            local: InMemoryAdapter::new(),
            host,
            bus: Arc::new(bus),
            id: options.id.clone(),
            local_delivery: options.local_delivery,
            max_ack_timeout: options.max_ack_timeout,
            claim_timeout: options.claim_timeout,
            node: Mutex::new(Node::new(options)),
            log_order: LogOrder::default(),
        })
    }

    /// Returns the name of this server.
    #[must_use]
    pub fn id(&self) -> &NodeId {
        &self.id
    }

    /// Returns the name of the namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Handles a message of another server. `sender` is `None` if it comes from a program that is no server (an
    /// emitter). `offset` is its offset in the log of the message bus, if there is one.
    ///
    /// The driver must also pass on the messages of this server that the bus returns; the adapter ignores them, except
    /// with [`LocalDelivery::InLogOrder`].
    pub fn handle_message(&self, sender: Option<&NodeId>, message: Message, offset: Option<&str>, now: Time) {
        {
            let mut node = self.node();
            if node.link() == Link::Closed {
                return;
            }
            if let Some(sender) = sender
                && *sender != self.id
                && !matches!(message, Message::Close)
            {
                node.handle_sign_of_life(sender, now);
            }
        }
        let is_own = sender.is_some_and(|sender| *sender == self.id);
        if is_own {
            // Everything else has taken effect when it was published.
            if let Message::Broadcast { event, options, ack: None } = message
                && self.local_delivery == LocalDelivery::InLogOrder
            {
                self.deliver(&event, &options, offset);
                self.log_order.handle_returned(self);
            }
            return;
        }
        match message {
            Message::Broadcast { event, options, ack: None } => self.deliver(&event, &options, offset),
            Message::SocketsJoin { options, rooms } => self.local.add_sockets(&options, &names(&rooms)),
            Message::SocketsLeave { options, rooms } => self.local.del_sockets(&options, &names(&rooms)),
            Message::DisconnectSockets { options, close_connection } => {
                self.local.disconnect_sockets(&options, close_connection);
            }
            Message::ServerSideEmit { event, request } => {
                let responder = request.zip(sender).map(|(request, sender)| self.responder(request, sender));
                if let Some(host) = self.host.upgrade() {
                    host.on_server_side_emit(&event, responder);
                }
            }
            message => {
                if let Some(sender) = sender {
                    self.handle_server_message(sender, message, now);
                }
            }
        }
    }

    /// Handles a message that only a server sends.
    fn handle_server_message(&self, sender: &NodeId, message: Message, now: Time) {
        let deliveries = match message {
            Message::InitialHeartbeat => return self.publish(&Message::Heartbeat),
            Message::Broadcast { event, options, ack: Some(ack) } => {
                return self.collect_acks(sender, &event, &options, ack);
            }
            Message::FetchSockets { request, options } => {
                let sockets = self.local.socket_states(&options);
                return self.reply(sender, &Message::FetchSocketsResponse { request, sockets });
            }
            Message::FetchSocketsResponse { request, sockets } => {
                self.node().handle_reply(request, sender, Reply::Sockets(sockets))
            }
            Message::ServerSideEmitResponse { request, arguments } => {
                let reply = Reply::Server { node: sender.clone(), arguments };
                self.node().handle_reply(request, sender, reply)
            }
            Message::BroadcastClientCount { request, count } => {
                self.node().handle_client_count(request, sender, count)
            }
            Message::BroadcastAck { request, arguments } => {
                self.node().handle_client(request, sender, Reply::Ack { socket: None, arguments })
            }
            Message::BroadcastMissing { request, socket: id, reason } => {
                let missing = Reply::Missing(Missing::Client { id, reason });
                self.node().handle_client(request, sender, missing)
            }
            Message::ClaimSession { request, pid } => {
                return self.handle_claim(sender.clone(), request, pid, now);
            }
            Message::ClaimSessionResponse { request, session } => {
                self.node().handle_reply(request, sender, Reply::Session(session))
            }
            Message::Close => self.node().handle_close(sender),
            // The others were handled, or say only that the sender is alive.
            _ => return,
        };
        deliveries.deliver();
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) must be called next. The time changes with every message
    /// in either direction.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.node().poll_timeout()
    }

    /// Handles the deadlines that have passed.
    pub fn handle_timeout(&self, now: Time) {
        let (message, deliveries) = self.node().handle_timeout(now);
        deliveries.deliver();
        if let Some(message) = message {
            self.publish(&message);
        }
    }

    /// Handles a change of the link to the message bus. When the link is lost, all requests to other servers end.
    pub fn handle_link(&self, change: LinkChange) {
        let link = match change {
            LinkChange::Lost => Link::Down,
            LinkChange::Restored { .. } => Link::Up,
        };
        let deliveries = self.node().handle_link(link);
        deliveries.deliver();
        // Events of other servers are missing in the log, or perhaps, and those of this server do not return any more.
        if !matches!(change, LinkChange::Restored { gap: false }) {
            self.local.note_gap();
        }
        self.log_order.handle_lost(self);
        if link == Link::Up {
            self.publish(&Message::InitialHeartbeat);
        }
        if let Some(host) = self.host.upgrade() {
            host.on_link(change);
        }
    }

    fn deliver(&self, event: &EncodedEvent, options: &BroadcastOptions, offset: Option<&str>) {
        // Only a queued event is sent to every receiver, and in the order of the offsets.
        let is_logged =
            self.local_delivery == LocalDelivery::InLogOrder && options.policy == DeliveryPolicy::Queue;
        if self.recovery().is_some() {
            self.local.broadcast_at(event, options, offset.filter(|_| is_logged));
            return;
        }
        let event = match offset.filter(|_| is_logged) {
            Some(offset) => &event.with_offset(offset),
            None => event,
        };
        if self.host.upgrade().is_some_and(|host| host.prepare_delivery(event)) {
            self.local.broadcast(event, options);
        }
    }

    /// Delivers the event of another server, and sends the acknowledgements of the clients to that server.
    fn collect_acks(
        &self,
        sender: &NodeId,
        event: &EncodedEvent,
        options: &BroadcastOptions,
        AckRequest { request, timeout }: AckRequest,
    ) {
        let Some(host) = self.host.upgrade() else { return };
        let sockets = self.local.local_sockets(options);
        self.reply(sender, &Message::BroadcastClientCount { request, count: sockets.len() });
        if sockets.is_empty() {
            return;
        }
        let (bus, recipient) = (Arc::clone(&self.bus), Recipient::Node(sender.clone()));
        let replies = Replies::new(move |reply| {
            let message = match reply {
                Reply::Ack { arguments, .. } => Message::BroadcastAck { request, arguments },
                Reply::Missing(Missing::Client { id: socket, reason }) => {
                    Message::BroadcastMissing { request, socket, reason }
                }
                _ => return,
            };
            bus.publish(recipient.clone(), &message);
        });
        let ack_id = host.next_ack_id();
        let event = event.with_ack(&mut MessageEncoder::new(), &self.namespace, ack_id);
        let timeout = timeout.min(self.max_ack_timeout);
        for socket in sockets {
            let waiter = AckWaiter::new(socket.id().clone(), replies.clone());
            socket.deliver_with_ack(&event, ack_id, timeout, waiter);
        }
    }

    fn responder(&self, request: RequestId, sender: &NodeId) -> ServerSideResponder {
        let (bus, recipient) = (Arc::clone(&self.bus), Recipient::Node(sender.clone()));
        ServerSideResponder::new(move |arguments| {
            bus.publish(recipient, &Message::ServerSideEmitResponse { request, arguments });
        })
    }

    /// Begins a request. Returns its id, or `None` if it must not be sent.
    fn begin(&self, request: Request, wants_acks: bool) -> Option<RequestId> {
        let (id, deliveries) = self.node().begin(request, wants_acks);
        deliveries.deliver();
        id
    }

    fn publish(&self, message: &Message) {
        self.bus.publish(Recipient::All, message);
    }

    fn reply(&self, recipient: &NodeId, message: &Message) {
        self.bus.publish(Recipient::Node(recipient.clone()), message);
    }

    fn node(&self) -> MutexGuard<'_, Node> {
        self.node.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Adapter for ClusterAdapter {
    fn local(&self) -> &InMemoryAdapter {
        &self.local
    }

    fn start(&self, now: Time) {
        self.node().start(now);
        self.bus.start(self.this.clone(), now);
        self.publish(&Message::InitialHeartbeat);
    }

    fn ready(&self) -> Ready {
        self.bus.ready()
    }

    fn close(&self) -> Ready {
        let deliveries = self.node().handle_link(Link::Closed);
        deliveries.deliver();
        self.log_order.handle_lost(self);
        self.publish(&Message::Close);
        self.bus.close()
    }

    fn broadcast(&self, event: &EncodedEvent, options: &BroadcastOptions) -> Option<usize> {
        if options.local {
            if self.log_order.is_empty() {
                return Some(self.local.broadcast(event, options));
            }
            let (event, options) = (event.clone(), options.clone());
            self.log_order.run(self, move |adapter| {
                adapter.local.broadcast(&event, &options);
            });
            return None;
        }
        let message = Message::Broadcast { event: event.clone(), options: options.clone(), ack: None };
        // Without a link, the bus does not return the event.
        if self.local_delivery == LocalDelivery::AtOnce || self.node().link() != Link::Up {
            self.publish(&message);
            return Some(self.local.broadcast(event, options));
        }
        self.log_order.publish(|| self.publish(&message));
        None
    }

    fn add_all(&self, id: &SocketId, rooms: &[&str]) -> Result<Ready, JoinError> {
        if self.log_order.is_empty() {
            self.local.add_all(id, rooms)?;
            return Ok(Ready::now());
        }
        for room in rooms {
            self.local.add_all(id, &[room])?;
            // An earlier leave may still wait, and would undo this.
            let (id, room) = (id.clone(), Box::<str>::from(*room));
            self.log_order.run(self, move |adapter| {
                let _ = adapter.local.add_all(&id, &[&room]);
            });
        }
        Ok(Ready::now())
    }

    fn del(&self, id: &SocketId, room: &str) {
        let (id, room) = (id.clone(), Box::<str>::from(room));
        self.log_order.run(self, move |adapter| adapter.local.del(&id, &room));
    }

    fn del_all(&self, id: &SocketId) {
        let id = id.clone();
        self.log_order.run(self, move |adapter| adapter.local.del_all(&id));
    }

    fn del_all_and_then(&self, id: &SocketId, then: Box<dyn FnOnce() + Send>) {
        let id = id.clone();
        self.log_order.run(self, move |adapter| {
            adapter.local.del_all(&id);
            then();
        });
    }

    fn enable_recovery(&self, options: RecoveryOptions, host: Weak<dyn Host>) -> bool {
        // Without a log, the servers see events in different orders, and no offset says what a client has received.
        self.local_delivery == LocalDelivery::InLogOrder && self.local.enable_recovery(options, host)
    }

    fn recovery(&self) -> Option<&dyn Recovery> {
        self.local.recovery().map(|_| self as &dyn Recovery)
    }

    fn broadcast_with_ack(
        &self,
        event: &EncodedEvent,
        ack_id: u64,
        options: &BroadcastOptions,
        request: Request,
    ) {
        let timeout = request.timeout;
        if !options.local
            && let Some(id) = self.begin(request.clone(), true)
        {
            let ack = Some(AckRequest { request: id, timeout });
            self.publish(&Message::Broadcast { event: event.clone(), options: options.clone(), ack });
        }
        let (event, options) = (event.clone(), options.clone());
        self.log_order.run(self, move |adapter| {
            adapter.local.broadcast_with_ack(&event, ack_id, &options, &request);
        });
    }

    fn add_sockets(&self, options: &BroadcastOptions, rooms: &[&str]) {
        if !options.local {
            self.publish(&Message::SocketsJoin { options: options.clone(), rooms: boxed(rooms) });
        }
        if self.log_order.is_empty() {
            return self.local.add_sockets(options, rooms);
        }
        let sockets = self.local.local_sockets(options);
        self.local.add_sockets(options, rooms);
        // As in `add_all`. Later, the options may select others.
        let rooms = boxed(rooms);
        self.log_order.run(self, move |adapter| {
            for socket in sockets {
                let _ = adapter.local.add_all(socket.id(), &names(&rooms));
            }
        });
    }

    fn del_sockets(&self, options: &BroadcastOptions, rooms: &[&str]) {
        if !options.local {
            self.publish(&Message::SocketsLeave { options: options.clone(), rooms: boxed(rooms) });
        }
        let (options, rooms) = (options.clone(), boxed(rooms));
        self.log_order.run(self, move |adapter| adapter.local.del_sockets(&options, &names(&rooms)));
    }

    fn disconnect_sockets(&self, options: &BroadcastOptions, close_connection: bool) {
        if !options.local {
            self.publish(&Message::DisconnectSockets { options: options.clone(), close_connection });
        }
        self.local.disconnect_sockets(options, close_connection);
    }

    fn fetch_sockets(&self, options: &BroadcastOptions, request: Request) {
        if !options.local
            && let Some(request) = self.begin(request, false)
        {
            self.publish(&Message::FetchSockets { request, options: options.clone() });
        }
    }

    fn server_side_emit(&self, event: &EncodedEvent, request: Option<Request>) {
        let id = request.map(|request| self.begin(request, false));
        if id != Some(None) {
            self.publish(&Message::ServerSideEmit { event: event.clone(), request: id.flatten() });
        }
    }

    fn server_count(&self) -> Option<usize> {
        Some(self.node().server_count())
    }
}

impl fmt::Debug for ClusterAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterAdapter")
            .field("namespace", &self.namespace)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

fn names(rooms: &[Box<str>]) -> Vec<&str> {
    rooms.iter().map(|room| &**room).collect()
}

fn boxed(rooms: &[&str]) -> Vec<Box<str>> {
    rooms.iter().map(|room| (*room).into()).collect()
}
