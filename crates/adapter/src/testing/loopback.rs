//! A message bus between servers of this process.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use ws_proto::Time;

use crate::adapter::Adapter;
use crate::cluster::{
    Bus, ClusterAdapter, ClusterOptions, LocalDelivery, Membership, Message, NodeId, PublishError, Recipient,
    RequestId,
};
use crate::host::{Host, LinkChange};
use crate::ready::Ready;

/// A message bus between servers of this process. Cheap to clone; all clones are the same bus.
///
/// The bus keeps what the servers publish until the test moves it on. With [`LocalDelivery::InLogOrder`], it gives each
/// broadcast an offset when it accepts it, and returns it to its sender too.
#[derive(Clone)]
pub struct Loopback(Arc<Mutex<State>>);

struct State {
    now: Time,
    local_delivery: LocalDelivery,
    membership: Membership,
    /// Whether replies name their sender.
    names_repliers: bool,
    /// What was published and not accepted by the bus yet.
    published: VecDeque<Published>,
    last_offset: u64,
    servers: Vec<Attached>,
    /// The messages that were lost because a server had no link.
    lost: usize,
    refusal: Option<Refusal>,
}

type Refusal = Box<dyn Fn(&Message) -> Result<(), PublishError> + Send>;

struct Published {
    server: usize,
    /// The adapter that has published the message.
    sender: NodeId,
    namespace: Box<str>,
    recipient: Recipient,
    content: Content,
}

enum Content {
    Message(Message),
    /// Asks the bus for the number of servers.
    Count {
        request: Option<RequestId>,
    },
}

/// What the bus holds for a server.
#[derive(Clone)]
enum Delivery {
    Message(Arc<Published>, Option<String>),
    /// The reply of the bus to a server that has asked for the number.
    Count {
        to: NodeId,
        request: Option<RequestId>,
        servers: usize,
    },
}

/// A server, and what the bus holds for it.
struct Attached {
    adapters: Vec<Weak<ClusterAdapter>>,
    has_link: bool,
    /// How far its clock is ahead of the bus.
    clock: Duration,
    inbox: VecDeque<Delivery>,
}

/// A server that is attached to a [`Loopback`]. It creates the adapters of the server's namespaces.
#[derive(Debug, Clone)]
pub struct Server {
    bus: Loopback,
    index: usize,
}

impl Loopback {
    /// Creates a bus without servers. The time begins at zero.
    #[must_use]
    pub fn new(local_delivery: LocalDelivery) -> Self {
        Self(Arc::new(Mutex::new(State {
            now: Time::ZERO,
            local_delivery,
            membership: Membership::Heartbeats,
            names_repliers: true,
            published: VecDeque::new(),
            last_offset: 0,
            servers: Vec::new(),
            lost: 0,
            refusal: None,
        })))
    }

    /// Creates a bus that counts the servers, with [`Membership::Counted`]. `names_repliers` is whether replies name their sender.
    #[must_use]
    pub fn counting(names_repliers: bool) -> Self {
        let bus = Self::new(LocalDelivery::AtOnce);
        {
            let mut state = bus.state();
            state.membership = Membership::Counted;
            state.names_repliers = names_repliers;
        }
        bus
    }

    /// Attaches a server.
    #[must_use]
    pub fn attach(&self) -> Server {
        let mut state = self.state();
        let index = state.servers.len();
        state.servers.push(Attached {
            adapters: Vec::new(),
            has_link: true,
            clock: Duration::ZERO,
            inbox: VecDeque::new(),
        });
        Server { bus: self.clone(), index }
    }

    /// Returns the time of the bus.
    #[must_use]
    pub fn now(&self) -> Time {
        self.state().now
    }

    /// Returns how many messages were lost because a server had no link.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.state().lost
    }

    /// Makes the bus refuse the messages for which `check` returns an error. It must not call the bus.
    pub fn refuse(&self, check: impl Fn(&Message) -> Result<(), PublishError> + Send + 'static) {
        self.state().refusal = Some(Box::new(check));
    }

    /// Makes the bus refuse the oldest published message, after `publish` has returned. Returns `false` if there is none.
    #[must_use]
    pub fn refuse_one(&self, error: &PublishError) -> bool {
        let (published, adapters) = {
            let mut state = self.state();
            let Some(published) = state.published.pop_front() else { return false };
            let adapters = state.servers[published.server].adapters.clone();
            (published, adapters)
        };
        let Published { recipient, content, .. } = &published;
        let Content::Message(message) = content else { return true };
        for adapter in adapters.iter().filter_map(Weak::upgrade) {
            if *adapter.id() == published.sender && *adapter.namespace() == *published.namespace {
                adapter.handle_publish_error(recipient, message, error);
            }
        }
        true
    }

    /// Loses the oldest published message, although the link is up. Returns `false` if there is none.
    #[must_use]
    pub fn lose_one(&self) -> bool {
        self.state().published.pop_front().is_some()
    }

    /// Makes the bus accept the oldest published message. Returns `false` if there is none.
    #[must_use]
    pub fn accept_one(&self) -> bool {
        let mut state = self.state();
        let Some(published) = state.published.pop_front() else { return false };
        if let Content::Count { request } = published.content {
            state.count(&published, request);
            return true;
        }
        let in_log = state.local_delivery == LocalDelivery::InLogOrder
            && matches!(published.content, Content::Message(Message::Broadcast { ack: None, .. }));
        let offset = in_log.then(|| {
            state.last_offset += 1;
            format!("{:04}", state.last_offset)
        });
        if !state.servers[published.server].has_link {
            state.lost += 1;
            return true;
        }
        let published = Arc::new(published);
        let mut lost = 0;
        for (index, server) in state.servers.iter_mut().enumerate() {
            if index == published.server && !in_log {
                continue;
            }
            if server.has_link {
                server.inbox.push_back(Delivery::Message(Arc::clone(&published), offset.clone()));
            } else {
                lost += 1;
            }
        }
        state.lost += lost;
        true
    }

    /// Moves all messages until there are none, also those that the servers publish meanwhile.
    pub fn settle(&self) {
        loop {
            let mut is_idle = true;
            while self.accept_one() {
                is_idle = false;
            }
            let servers = self.state().servers.len();
            for index in 0..servers {
                while self.deliver_one(index) {
                    is_idle = false;
                }
            }
            if is_idle {
                return;
            }
        }
    }

    /// Moves the time, and everything that is due meanwhile. All messages are moved after each deadline.
    pub fn advance(&self, by: Duration) {
        let end = self.now() + by;
        loop {
            let adapters = self.adapters();
            let next = adapters.iter().filter_map(|(adapter, clock)| {
                let due = adapter.poll_timeout()?.saturating_since(Time::ZERO + *clock);
                Some(Time::ZERO + due)
            });
            let next = next.min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            let now = {
                let mut state = self.state();
                state.now = state.now.max(next);
                state.now
            };
            for (adapter, clock) in &adapters {
                adapter.handle_timeout(now + *clock);
            }
            self.settle();
        }
        self.state().now = end;
    }

    /// Delivers the oldest message of a server. Returns `false` if there is none.
    fn deliver_one(&self, index: usize) -> bool {
        let (delivery, adapters, now, names_repliers) = {
            let mut state = self.state();
            let (now, names_repliers) = (state.now, state.names_repliers);
            let server = &mut state.servers[index];
            let Some(delivery) = server.inbox.pop_front() else { return false };
            (delivery, server.adapters.clone(), now + server.clock, names_repliers)
        };
        for adapter in adapters.iter().filter_map(Weak::upgrade) {
            match &delivery {
                Delivery::Message(published, offset) => {
                    let is_recipient = match &published.recipient {
                        Recipient::All => true,
                        Recipient::Node(node) => node == adapter.id(),
                    };
                    if let Content::Message(message) = &published.content
                        && is_recipient
                        && *adapter.namespace() == *published.namespace
                    {
                        let sender = (names_repliers || !is_reply(message)).then_some(&published.sender);
                        adapter.handle_message(sender, message.clone(), offset.as_deref(), now);
                    }
                }
                Delivery::Count { to, request, servers } => {
                    if to == adapter.id() {
                        adapter.handle_server_count(*request, *servers);
                    }
                }
            }
        }
        true
    }

    /// Returns all adapters, and how far their clocks are ahead.
    fn adapters(&self) -> Vec<(Arc<ClusterAdapter>, Duration)> {
        let state = self.state();
        let adapters = state
            .servers
            .iter()
            .flat_map(|server| server.adapters.iter().map(|adapter| (adapter.upgrade(), server.clock)));
        adapters.filter_map(|(adapter, clock)| Some((adapter?, clock))).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts the servers of a namespace.
    fn count(&mut self, asked: &Published, request: Option<RequestId>) {
        let has_namespace = |server: &&Attached| {
            let mut adapters = server.adapters.iter().filter_map(Weak::upgrade);
            server.has_link && adapters.any(|adapter| *adapter.namespace() == *asked.namespace)
        };
        let servers = self.servers.iter().filter(has_namespace).count();
        let server = &mut self.servers[asked.server];
        if server.has_link {
            let to = asked.sender.clone();
            server.inbox.push_back(Delivery::Count { to, request, servers });
        }
    }
}

fn is_reply(message: &Message) -> bool {
    matches!(
        message,
        Message::FetchSocketsResponse { .. }
            | Message::ServerSideEmitResponse { .. }
            | Message::BroadcastClientCount { .. }
            | Message::BroadcastAck { .. }
            | Message::BroadcastMissing { .. }
    )
}

impl fmt::Debug for Loopback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loopback").finish_non_exhaustive()
    }
}

impl Server {
    /// Creates the adapter of a namespace. The method [`adapter`](Self::adapter) does the same with default options.
    #[must_use]
    pub fn adapter_with(
        &self,
        namespace: &str,
        host: Weak<dyn Host>,
        set: impl FnOnce(&mut ClusterOptions),
    ) -> Arc<ClusterAdapter> {
        // The ids need not be random, because the bus sees all of them.
        let number = u8::try_from(self.index).expect("a test has few servers");
        let mut random = [0; 16];
        random[0] = number;
        random[8..12].copy_from_slice(&[1, 2, 3, number]);
        let mut options = ClusterOptions::new(random);
        {
            let state = self.bus.state();
            options.local_delivery = state.local_delivery;
            options.membership = state.membership;
        }
        set(&mut options);
        let port = Port { server: self.clone(), id: options.id.clone(), namespace: namespace.into() };
        ClusterAdapter::new(namespace, host, port, options)
    }

    /// Creates the adapter of a namespace.
    #[must_use]
    pub fn adapter(&self, namespace: &str, host: Weak<dyn Host>) -> Arc<dyn Adapter> {
        self.adapter_with(namespace, host, |_| {})
    }

    /// Sets how far the clock of this server is ahead of the bus. Default: not at all. Call this before its adapters start.
    pub fn set_clock(&self, ahead: Duration) {
        self.bus.state().servers[self.index].clock = ahead;
    }

    /// Returns the time of this server.
    #[must_use]
    pub fn now(&self) -> Time {
        let state = self.bus.state();
        state.now + state.servers[self.index].clock
    }

    /// Delivers the oldest message that the bus holds for this server. Returns `false` if there is none.
    #[must_use]
    pub fn deliver_one(&self) -> bool {
        self.bus.deliver_one(self.index)
    }

    /// Loses the oldest message that the bus holds for this server, although the link is up. Returns `false` if there is none.
    #[must_use]
    pub fn lose_one(&self) -> bool {
        self.bus.state().servers[self.index].inbox.pop_front().is_some()
    }

    /// Cuts the link between this server and the bus. Messages from and to this server are lost. The ones that wait for
    /// it are lost too.
    pub fn cut(&self) {
        {
            let mut state = self.bus.state();
            let server = &mut state.servers[self.index];
            server.has_link = false;
            let lost = std::mem::take(&mut server.inbox).len();
            state.lost += lost;
        }
        self.report(LinkChange::Lost);
    }

    /// Restores the link.
    pub fn restore(&self) {
        self.bus.state().servers[self.index].has_link = true;
        self.report(LinkChange::Restored { gap: true });
    }

    fn report(&self, change: LinkChange) {
        let adapters = self.bus.state().servers[self.index].adapters.clone();
        for adapter in adapters.iter().filter_map(Weak::upgrade) {
            adapter.handle_link(change);
        }
    }
}

/// The connection of one adapter to the bus.
struct Port {
    server: Server,
    id: NodeId,
    namespace: Box<str>,
}

impl Port {
    fn published(&self, recipient: Recipient, content: Content) -> Published {
        Published {
            server: self.server.index,
            sender: self.id.clone(),
            namespace: self.namespace.clone(),
            recipient,
            content,
        }
    }
}

impl Bus for Port {
    fn start(&self, adapter: Weak<ClusterAdapter>, now: Time) {
        let mut state = self.server.bus.state();
        let clock = state.servers[self.server.index].clock;
        // The servers may have a real clock. The bus is never behind it.
        state.now = state.now.max(Time::ZERO + now.saturating_since(Time::ZERO + clock));
        state.servers[self.server.index].adapters.push(adapter);
    }

    fn publish(&self, recipient: Recipient, message: &Message) -> Result<(), PublishError> {
        let mut state = self.server.bus.state();
        if let Some(refusal) = &state.refusal {
            refusal(message)?;
        }
        let published = self.published(recipient, Content::Message(message.clone()));
        state.published.push_back(published);
        Ok(())
    }

    fn count_servers(&self, request: Option<RequestId>) {
        let published = self.published(Recipient::All, Content::Count { request });
        self.server.bus.state().published.push_back(published);
    }

    fn close(&self) -> Ready {
        let is_this = |adapter: &Weak<ClusterAdapter>| {
            adapter.upgrade().is_some_and(|adapter| *adapter.id() == self.id)
        };
        self.server.bus.state().servers[self.server.index].adapters.retain(|adapter| !is_this(adapter));
        Ready::now()
    }

    /// The test moves the time.
    fn wake(&self) {}
}
