//! The adapter of a namespace in a cluster.

mod claims;
mod expiring_map;
mod hand_overs;
mod log_order;
mod node;
mod operations;
mod pending;
mod publishing;
mod recovery;
mod waiting_claims;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use engineio_proto::MessageEncoder;
use socketio_proto::EncodedEvent;
use ws_proto::Time;

use crate::adapter::Adapter;
use crate::cluster::{
    AckRequest, Bus, ClusterOptions, LocalDelivery, Membership, Message, NodeId, RequestId,
};
use crate::host::{Host, LinkChange, ServerSideResponder};
use crate::in_memory::InMemoryAdapter;
use crate::options::{BroadcastOptions, DeliveryPolicy};
use crate::request::{AckWaiter, Missing, Replies, Reply, Request};
use crate::room_change::RoomChange;
use log_order::LogOrder;
use node::{Deliveries, Link, Node};

/// The adapter of a namespace in a cluster.
///
/// ```
/// use std::sync::{Arc, Mutex, Weak};
///
/// use tidewire_adapter::cluster::{
///     Bus, ClusterAdapter, ClusterOptions, Message, PublishError, Recipient,
/// };
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
///     fn publish(&self, recipient: Recipient, message: &Message) -> Result<(), PublishError> {
///         // Encode the message here, and return an error if it is larger than the bus accepts.
///         self.0.lock().expect("nothing panics").push((recipient, message.clone()));
///         // Wake the task here.
///         Ok(())
///     }
///
///     fn wake(&self) {
///         // And here.
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
    membership: Membership,
    max_ack_timeout: Duration,
    claim_timeout: Duration,
    max_claims: usize,
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
        let adapter = Arc::new_cyclic(|this| Self {
            this: this.clone(),
            namespace: namespace.into(),
            local: InMemoryAdapter::new(),
            host,
            bus: Arc::new(bus),
            id: options.id.clone(),
            local_delivery: options.local_delivery,
            membership: options.membership,
            max_ack_timeout: options.max_ack_timeout,
            claim_timeout: options.claim_timeout,
            max_claims: options.max_claims,
            log_order: LogOrder::new(options.log_timeout, options.log_limits),
            node: Mutex::new(Node::new(options)),
        });
        if adapter.bus.observes_rooms() {
            let bus = Arc::clone(&adapter.bus);
            adapter.local.observe_rooms_for_bus(Box::new(move |change| {
                if let RoomChange::Created { room } | RoomChange::Deleted { room } = change {
                    bus.room_changed(room.as_str());
                }
            }));
        }
        adapter
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
            if let Message::Broadcast { event, options, ack: None, sequence } = message
                && self.local_delivery == LocalDelivery::InLogOrder
            {
                self.handle_returned(event, options, sequence, offset, now);
            }
            return;
        }
        match message {
            Message::Broadcast { event, options, ack: None, .. } => self.deliver(&event, &options, offset),
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
            Message::FetchSocketsResponse { request, sockets } => {
                self.handle_reply(request, sender, Reply::Sockets(sockets));
            }
            Message::ServerSideEmitResponse { request, arguments } => {
                let reply = Reply::Server { node: sender.cloned(), arguments };
                self.handle_reply(request, sender, reply);
            }
            Message::BroadcastClientCount { request, count } => {
                let deliveries = self.node().handle_client_count(request, sender, count);
                self.pass_on(deliveries);
            }
            Message::BroadcastAck { request, arguments } => {
                let deliveries =
                    self.node().handle_client(request, sender, Reply::Ack { socket: None, arguments });
                self.pass_on(deliveries);
            }
            Message::BroadcastMissing { request, socket: id, reason } => {
                let missing = Reply::Missing(Missing::Client { id, reason });
                let deliveries = self.node().handle_client(request, sender, missing);
                self.pass_on(deliveries);
            }
            message => {
                if let Some(sender) = sender {
                    self.handle_server_message(sender, message, now);
                }
            }
        }
    }

    /// Handles the only reply of a server to a request.
    fn handle_reply(&self, request: RequestId, sender: Option<&NodeId>, reply: Reply) {
        let deliveries = self.node().handle_reply(request, sender, reply);
        self.pass_on(deliveries);
    }

    /// Handles a message of a server that must be known by name.
    fn handle_server_message(&self, sender: &NodeId, message: Message, now: Time) {
        let deliveries = match message {
            Message::InitialHeartbeat if self.membership == Membership::Heartbeats => {
                return self.publish(&Message::Heartbeat);
            }
            Message::Broadcast { event, options, ack: Some(ack), .. } => {
                return self.collect_acks(sender, &event, &options, ack);
            }
            Message::FetchSockets { request, options } => {
                let sockets = self.local.socket_states(&options);
                return self.reply(sender, &Message::FetchSocketsResponse { request, sockets });
            }
            Message::AllRooms { request } => {
                let rooms = self.local.rooms().into_iter().map(|(room, _)| room.as_str().into());
                // In Node, each socket's own room is one of them.
                let own_rooms = self.local.sockets(&BroadcastOptions::new());
                let rooms = rooms.chain(own_rooms.iter().map(|id| id.as_str().into())).collect();
                return self.reply(sender, &Message::AllRoomsResponse { request, rooms });
            }
            Message::SocketIds { request, options } => {
                let ids = self.local.sockets(&options).iter().map(|id| id.as_str().into()).collect();
                return self.reply(sender, &Message::SocketIdsResponse { request, ids });
            }
            Message::ClaimSession { request, pid } => {
                return self.handle_claim(sender.clone(), request, pid, now);
            }
            Message::ClaimSessionResponse { request, reply } => {
                return self.handle_claim_reply(sender, request, reply, now);
            }
            Message::TakeSession { request, pid, generation } => {
                return self.handle_take(sender, request, pid, generation, now);
            }
            Message::TakeSessionResponse { request, pid, is_taken } => {
                let effect = self.node().claims.handle_taken(request, pid, sender, is_taken, now);
                return self.run(effect);
            }
            Message::SessionTaken { request, pid, is_taken } => {
                return self.handle_acknowledged(sender, request, &pid, is_taken, now);
            }
            Message::Close => {
                let deliveries = self.node().handle_close(sender);
                if self.membership == Membership::Counted {
                    self.bus.count_servers(None);
                }
                deliveries
            }
            // The others were handled, or say only that the sender is alive.
            _ => return,
        };
        self.pass_on(deliveries);
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) must be called next. A time in the past means at once. The time
    /// changes with every message in either direction, and when the adapter calls [`Bus::wake`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        [self.node().poll_timeout(), self.log_order.poll_timeout()].into_iter().flatten().min()
    }

    /// Handles the deadlines that have passed.
    pub fn handle_timeout(&self, now: Time) {
        let (is_due, deliveries) = self.node().handle_timeout(now);
        self.pass_on(deliveries);
        self.log_order.handle_timeout(self, now);
        self.log_order.run_claims(self, Some(now));
        if is_due {
            match self.membership {
                Membership::Heartbeats => self.publish(&Message::Heartbeat),
                Membership::Counted => self.bus.count_servers(None),
            }
        }
    }

    /// Handles the number of servers in this namespace, including this one, that the message bus has reported. `request` is that
    /// of [`Bus::count_servers`]. Does nothing without [`Membership::Counted`].
    pub fn handle_server_count(&self, request: Option<RequestId>, servers: usize) {
        let deliveries = self.node().handle_server_count(request, servers.saturating_sub(1));
        self.pass_on(deliveries);
    }

    /// Handles a change of the link to the message bus. When the link is lost, all requests to other servers end.
    pub fn handle_link(&self, change: LinkChange) {
        let link = match change {
            LinkChange::Lost => Link::Down,
            LinkChange::Restored { .. } => Link::Up,
        };
        let deliveries = self.node().handle_link(link);
        self.pass_on(deliveries);
        // Events of other servers are missing in the log, or perhaps, and those of this server do not return any more. While
        // there was no link, the log of this server got events that those of the others do not have, even if no message was
        // lost.
        self.local.note_gap();
        self.log_order.handle_lost(self);
        if link == Link::Up {
            self.join_cluster();
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
        let reply_to_sender = self.replier(sender);
        let replies = Replies::new(move |reply| match reply {
            Reply::Ack { socket, arguments } => {
                let refused = reply_to_sender(&Message::BroadcastAck { request, arguments });
                if let (Err(error), Some(socket)) = (refused, socket) {
                    let (socket, reason) = (socket.as_str().into(), error.missing_reason());
                    let _ = reply_to_sender(&Message::BroadcastMissing { request, socket, reason });
                }
            }
            Reply::Missing(Missing::Client { id: socket, reason }) => {
                let _ = reply_to_sender(&Message::BroadcastMissing { request, socket, reason });
            }
            _ => {}
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
        let reply_to_sender = self.replier(sender);
        ServerSideResponder::new(move |arguments| {
            let _ = reply_to_sender(&Message::ServerSideEmitResponse { request, arguments });
        })
    }

    /// Asks who is there.
    fn join_cluster(&self) {
        match self.membership {
            Membership::Heartbeats => self.publish(&Message::InitialHeartbeat),
            Membership::Counted => self.bus.count_servers(None),
        }
    }

    /// Begins a request. Returns its id, or `None` if it must not be sent. The caller publishes it at once.
    fn begin(&self, request: Request, wants_acks: bool) -> Option<RequestId> {
        let (id, deliveries) = self.node().begin(request, wants_acks);
        if id.is_some() && self.membership == Membership::Counted {
            self.bus.count_servers(id);
        }
        self.pass_on(deliveries);
        id
    }

    /// Passes replies to the server, and ends the requests and the claims that are complete. The caller holds no lock.
    fn pass_on(&self, Deliveries { replies, claims }: Deliveries) {
        for (replies, reply) in replies {
            if let Some(reply) = reply {
                replies.send(reply);
            }
        }
        self.run(claims);
    }

    fn node(&self) -> MutexGuard<'_, Node> {
        self.node.lock().unwrap_or_else(PoisonError::into_inner)
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
