//! What the threads of a server share with the driver's task.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use adapter::cluster::codec::Publication;
use adapter::cluster::{BusCounters, BusStats, Message, OutgoingQueue, Recipient, RequestId};
use socketio_proto::Excerpt;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::builder::Settings;
use crate::error::ConnectError;
use crate::namespace::NamespaceState;

/// Keeps the driver's task running. It ends when the last owner is dropped.
pub(crate) struct Owner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    pub(crate) runtime: Handle,
}

/// What the driver's task is asked to do. A namespace causes at most two of them, and each `joined` that is awaited one.
pub(crate) enum Command {
    /// A namespace has started.
    Attach(Arc<NamespaceState>),
    /// A namespace has been closed. `done` is dropped when it has left the cluster.
    Detach { namespace: Arc<NamespaceState>, close: Option<Publication>, done: oneshot::Sender<()> },
    /// `done` is dropped when all rooms that have changed before are subscribed.
    SyncRooms { done: oneshot::Sender<()> },
}

pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) queue: OutgoingQueue<Outgoing>,
    /// Wakes the publisher.
    pub(crate) has_outgoing: Notify,
    /// Wakes the subscriber.
    pub(crate) has_changed_rooms: Notify,
    pub(crate) counters: BusCounters,
    pub(crate) link: watch::Sender<LinkState>,
    pub(crate) routes: Routes,
}

/// The link to Redis.
#[derive(Debug)]
pub(crate) enum LinkState {
    Connecting,
    /// The first attempts have failed.
    Failed(ConnectError),
    Up,
    Lost,
}

impl LinkState {
    pub(crate) fn was_up(&self) -> bool {
        matches!(self, Self::Up | Self::Lost)
    }
}

/// What the publisher sends.
#[expect(clippy::large_enum_variant, reason = "most are messages")]
pub(crate) enum Outgoing {
    Publish {
        namespace: Arc<NamespaceState>,
        publication: Publication,
        /// The size of the payload.
        bytes: usize,
        /// For the report that Redis has refused it.
        recipient: Recipient,
        message: Message,
    },
    Count {
        namespace: Arc<NamespaceState>,
        request: Option<RequestId>,
    },
    /// Is dropped when Redis has replied to everything before it.
    Flushed(#[allow(dead_code, reason = "the receiver waits until it is dropped")] oneshot::Sender<()>),
}

impl Shared {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            queue: OutgoingQueue::new(settings.outgoing_limits),
            settings,
            has_outgoing: Notify::new(),
            has_changed_rooms: Notify::new(),
            counters: BusCounters::default(),
            link: watch::Sender::new(LinkState::Connecting),
            routes: Routes::default(),
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        matches!(*self.link.borrow(), LinkState::Up)
    }

    pub(crate) fn stats(&self) -> BusStats {
        self.counters.stats(self.is_up(), self.queue.len())
    }

    /// Asks Redis for the number of servers in a namespace. If the queue is full, it is asked again later.
    pub(crate) fn count_servers(&self, namespace: &Arc<NamespaceState>) {
        let _ = self.queue.push(Outgoing::Count { namespace: Arc::clone(namespace), request: None }, 0);
        self.has_outgoing.notify_one();
    }

    /// Handles what Redis has pushed on a channel. `name` is the channel or the pattern that the server has subscribed to.
    pub(crate) fn handle_push(&self, name: &[u8], channel: &[u8], payload: &[u8]) {
        self.counters.count_received(payload.len());
        let (Ok(name), Ok(channel)) = (std::str::from_utf8(name), std::str::from_utf8(channel)) else {
            // A program of another kind may have rooms whose names are not UTF-8.
            self.counters.count_invalid();
            return;
        };
        // The namespace may have been closed since Redis sent the message.
        let Some((namespace, others)) = self.routes.namespaces(name) else { return };
        for namespace in std::iter::once(namespace).chain(others) {
            if let Err(error) = namespace.handle_push(channel, payload, &self.settings.decode_limits) {
                self.counters.count_invalid();
                let channel = Excerpt(channel);
                tracing::debug!(%channel, %error, "a message of the cluster is not valid");
            }
        }
    }
}

/// The namespaces by what the server has subscribed to for them.
#[derive(Default)]
pub(crate) struct Routes(RwLock<HashMap<Box<str>, Entry>>);

/// The routes of a channel or a pattern.
struct Entry {
    route: Route,
    /// In the sharded format, the channel of a room may also be that of a namespace whose name contains `#`, or of a room of
    /// it. Clients may choose both names. Each of these namespaces gets the messages, and ignores those of the others.
    others: Vec<Route>,
}

#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) namespace: Arc<NamespaceState>,
    /// Redis has confirmed it.
    is_confirmed: bool,
    /// The channel is subscribed as long as the namespace exists.
    pub(crate) is_fixed: bool,
}

impl Entry {
    fn routes(&self) -> impl Iterator<Item = &Route> {
        std::iter::once(&self.route).chain(&self.others)
    }

    fn of(&self, namespace: &Arc<NamespaceState>) -> Option<&Route> {
        self.routes().find(|route| Arc::ptr_eq(&route.namespace, namespace))
    }
}

// A panic cannot leave the map inconsistent, so a poisoned lock is safe to use.
impl Routes {
    fn read(&self) -> RwLockReadGuard<'_, HashMap<Box<str>, Entry>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<Box<str>, Entry>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the namespace of a channel, and the others that share it.
    fn namespaces(&self, name: &str) -> Option<(Arc<NamespaceState>, Vec<Arc<NamespaceState>>)> {
        let routes = self.read();
        let Entry { route, others } = routes.get(name)?;
        let others = others.iter().map(|other| Arc::clone(&other.namespace)).collect();
        Some((Arc::clone(&route.namespace), others))
    }

    /// Returns whether some namespace has a route by this name.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.read().contains_key(name)
    }

    /// Returns the route of a namespace.
    pub(crate) fn get(&self, name: &str, namespace: &Arc<NamespaceState>) -> Option<Route> {
        self.read().get(name)?.of(namespace).cloned()
    }

    /// Returns whether another state of the same namespace has a route by this name.
    pub(crate) fn is_taken(&self, name: &str, namespace: &Arc<NamespaceState>) -> bool {
        let is_rival = |route: &Route| {
            !Arc::ptr_eq(&route.namespace, namespace)
                && route.namespace.codec.counted_channel() == namespace.codec.counted_channel()
        };
        self.read().get(name).is_some_and(|entry| entry.routes().any(is_rival))
    }

    pub(crate) fn is_confirmed(&self, name: &str, namespace: &Arc<NamespaceState>) -> bool {
        self.get(name, namespace).is_some_and(|route| route.is_confirmed)
    }

    pub(crate) fn insert(&self, name: &str, namespace: &Arc<NamespaceState>, is_fixed: bool) {
        let route = Route { namespace: Arc::clone(namespace), is_confirmed: false, is_fixed };
        let mut routes = self.write();
        match routes.get_mut(name) {
            None => drop(routes.insert(name.into(), Entry { route, others: Vec::new() })),
            Some(entry) if Arc::ptr_eq(&entry.route.namespace, namespace) => entry.route = route,
            Some(entry) => {
                entry.others.retain(|other| !Arc::ptr_eq(&other.namespace, namespace));
                entry.others.push(route);
            }
        }
    }

    pub(crate) fn confirm(&self, name: &str) {
        if let Some(entry) = self.write().get_mut(name) {
            entry.route.is_confirmed = true;
            entry.others.iter_mut().for_each(|route| route.is_confirmed = true);
        }
    }

    /// Removes the route of a namespace. Returns whether no namespace has a route by this name any more.
    pub(crate) fn remove(&self, name: &str, namespace: &Arc<NamespaceState>) -> bool {
        let mut routes = self.write();
        if let Some(entry) = routes.get_mut(name) {
            entry.others.retain(|other| !Arc::ptr_eq(&other.namespace, namespace));
            if !Arc::ptr_eq(&entry.route.namespace, namespace) {
                return false;
            }
            if let Some(next) = entry.others.pop() {
                entry.route = next;
                return false;
            }
        }
        forget(&mut routes, name);
        true
    }

    /// Removes all routes by this name.
    pub(crate) fn remove_all(&self, name: &str) {
        forget(&mut self.write(), name);
    }

    /// Returns the names that belong to a namespace.
    pub(crate) fn of(&self, namespace: &Arc<NamespaceState>) -> Vec<(Box<str>, bool)> {
        let routes = self.read();
        let of_namespace = routes.iter().filter_map(|(name, entry)| Some((name, entry.of(namespace)?)));
        of_namespace.map(|(name, route)| (name.clone(), route.is_fixed)).collect()
    }

    pub(crate) fn clear(&self) {
        let former = std::mem::take(&mut *self.write());
        drop(former);
    }
}

fn forget(routes: &mut HashMap<Box<str>, Entry>, name: &str) {
    routes.remove(name);
    if routes.capacity() > 64 && routes.len() < routes.capacity() / 4 {
        let len = routes.len();
        routes.shrink_to(len * 2);
    }
}
