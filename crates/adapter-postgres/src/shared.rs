//! What the namespaces and the tasks of one adapter share.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use adapter::cluster::codec::{FormatError, Notification, PostgresCodec};
use adapter::cluster::{
    BusCounters, BusStats, ClusterAdapter, Message, OutgoingQueue, PublishError, Recipient,
};
use adapter::{LinkChange, Time};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::builder::Options;
use crate::connection::Connector;
use crate::driver;
use crate::error::Refusal;
use crate::publisher::{Outgoing, Sent};
use crate::sql::Table;

/// What a message in the queue needs beside its encoded form, in bytes.
const MESSAGE_OVERHEAD: usize = 256;

pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) connector: Connector,
    pub(crate) table: Table,
    pub(crate) runtime: Handle,
    pub(crate) queue: OutgoingQueue<Outgoing>,
    /// Wakes the publisher: there is something in the queue.
    pub(crate) queued: Notify,
    pub(crate) counters: BusCounters,
    /// The messages, and their bytes, that the publisher has taken out of the queue.
    pub(crate) in_flight: [AtomicUsize; 2],
    /// Wakes the driver: there are changes of channels.
    pub(crate) channels_changed: Notify,
    state: Mutex<State>,
    link: watch::Sender<Link>,
}

#[derive(Default)]
struct State {
    /// By channel. If several servers of this program share the adapter, a channel has several.
    namespaces: HashMap<Box<str>, Vec<Arc<Subscription>>>,
    /// The channels that have got their first namespace or lost their last one. The current state of each counts.
    changes: Vec<Box<str>>,
    /// The task that owns the connections. It runs as long as there are namespaces.
    driver: Option<AbortHandle>,
}

/// The link to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// The first attempt to connect has not ended yet.
    Connecting,
    Up,
    Down,
}

impl Shared {
    pub(crate) fn new(options: Options, connector: Connector, table: Table, runtime: Handle) -> Arc<Self> {
        Arc::new(Self {
            queue: OutgoingQueue::new(options.outgoing),
            options,
            connector,
            table,
            runtime,
            queued: Notify::new(),
            counters: BusCounters::default(),
            in_flight: Default::default(),
            channels_changed: Notify::new(),
            state: Mutex::default(),
            link: watch::Sender::new(Link::Connecting),
        })
    }

    /// Adds a namespace, and starts the driver for the first one.
    pub(crate) fn register(this: &Arc<Self>, subscription: Arc<Subscription>) {
        let mut state = this.state();
        let channel = Box::from(subscription.codec.channel());
        state.changes.push(Box::clone(&channel));
        state.namespaces.entry(channel).or_default().push(subscription);
        if state.driver.is_none() {
            state.driver = Some(this.runtime.spawn(driver::run(Arc::clone(this))).abort_handle());
        }
        drop(state);
        this.channels_changed.notify_one();
    }

    /// Removes a namespace, and ends the driver with the last one.
    pub(crate) fn unregister(&self, subscription: &Arc<Subscription>) {
        let mut state = self.state();
        let channel = subscription.codec.channel();
        let Some(subscriptions) = state.namespaces.get_mut(channel) else { return };
        subscriptions.retain(|other| !Arc::ptr_eq(other, subscription));
        if !subscriptions.is_empty() {
            return;
        }
        state.namespaces.remove(channel);
        state.changes.push(channel.into());
        if state.namespaces.is_empty() {
            state.changes.clear();
            if let Some(driver) = state.driver.take() {
                driver.abort();
            }
            self.link.send_replace(Link::Connecting);
        }
        drop(state);
        self.channels_changed.notify_one();
    }

    /// Returns the namespaces of a channel.
    pub(crate) fn subscriptions(&self, channel: &str) -> Vec<Arc<Subscription>> {
        self.state().namespaces.get(channel).cloned().unwrap_or_default()
    }

    pub(crate) fn all_subscriptions(&self) -> Vec<Arc<Subscription>> {
        self.state().namespaces.values().flatten().cloned().collect()
    }

    /// Returns all channels, for a new connection. There are no changes after that.
    pub(crate) fn take_all_channels(&self) -> Vec<Box<str>> {
        let mut state = self.state();
        state.changes.clear();
        state.namespaces.keys().cloned().collect()
    }

    /// Takes the channels that have changed, and whether they have a namespace now.
    pub(crate) fn take_changed_channels(&self) -> Vec<(Box<str>, bool)> {
        let mut state = self.state();
        let changes = std::mem::take(&mut state.changes);
        changes
            .into_iter()
            .map(|channel| {
                let is_used = state.namespaces.contains_key(&channel);
                (channel, is_used)
            })
            .collect()
    }

    pub(crate) fn link(&self) -> Link {
        *self.link.borrow()
    }

    pub(crate) fn watch_link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    /// Queues a message.
    pub(crate) fn enqueue(
        &self,
        subscription: &Arc<Subscription>,
        recipient: Recipient,
        message: &Message,
    ) -> Result<(), PublishError> {
        let notification = match subscription.codec.encode(message) {
            Ok(notification) => notification,
            // Servers of this format can do without it.
            Err(FormatError::NoForm { .. }) => return Ok(()),
            Err(error) => return Err(PublishError::Refused(Arc::new(Refusal::Format(error)))),
        };
        let bytes = match &notification {
            Notification::Payload(publication) => publication.payload.len(),
            Notification::Row(row) => row.content.len(),
        };
        let message = message.clone();
        let sent = Sent { subscription: Arc::clone(subscription), recipient, message, notification, bytes };
        self.queue.push(Outgoing::Message(Box::new(sent)), bytes + MESSAGE_OVERHEAD)?;
        self.queued.notify_one();
        Ok(())
    }

    /// Notes that the link works, after `handle_listening` for all channels.
    pub(crate) fn handle_link_up(&self) {
        self.link.send_replace(Link::Up);
    }

    /// Reports that the servers of a channel receive what others send. They ask who is there.
    pub(crate) fn handle_listening(&self, channel: &str) {
        for subscription in self.subscriptions(channel) {
            if subscription.is_listening.send_replace(true) {
                continue;
            }
            let Some(adapter) = subscription.adapter() else { continue };
            let mut was_lost = subscription.is_lost.swap(false, Ordering::Relaxed);
            // It is the first time. Clients may have connected before, and may have missed something.
            if !was_lost && subscription.clock.start().elapsed() >= self.options.ready_timeout {
                adapter.handle_link(LinkChange::Lost);
                was_lost = true;
            }
            if was_lost {
                adapter.handle_link(LinkChange::Restored { gap: true });
            } else if let Err(error) = self.enqueue(&subscription, Recipient::All, &Message::InitialHeartbeat)
            {
                self.counters.count_refused();
                adapter.handle_publish_error(&Recipient::All, &Message::InitialHeartbeat, &error);
            }
        }
    }

    /// Reports that there is no link, or that it could not be established.
    pub(crate) fn handle_link_down(&self) {
        for subscription in self.all_subscriptions() {
            subscription.handle_link_down();
        }
        if self.link.send_replace(Link::Down) == Link::Up {
            self.counters.count_link_lost();
        }
    }

    pub(crate) fn stats(&self) -> BusStats {
        let (messages, bytes) = self.queue.len();
        let [taken, taken_bytes] = self.in_flight.each_ref().map(|count| count.load(Ordering::Relaxed));
        self.counters.stats(self.link() == Link::Up, (messages + taken, bytes + taken_bytes))
    }

    // A panic cannot leave the state inconsistent.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("connector", &self.connector)
            .field("link", &self.link())
            .finish_non_exhaustive()
    }
}

/// A namespace that wants the messages of the others.
pub(crate) struct Subscription {
    pub(crate) codec: PostgresCodec,
    pub(crate) clock: Clock,
    /// Wakes the task that waits for the adapter's deadlines.
    pub(crate) wake: Notify,
    adapter: Weak<ClusterAdapter>,
    is_listening: watch::Sender<bool>,
    /// Whether the adapter was told that the link is lost.
    is_lost: AtomicBool,
    is_closed: AtomicBool,
}

impl Subscription {
    pub(crate) fn new(codec: PostgresCodec, adapter: Weak<ClusterAdapter>, clock: Clock) -> Self {
        Self {
            codec,
            clock,
            wake: Notify::new(),
            adapter,
            is_listening: watch::Sender::new(false),
            is_lost: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
        }
    }

    pub(crate) fn adapter(&self) -> Option<Arc<ClusterAdapter>> {
        self.adapter.upgrade()
    }

    pub(crate) fn is_listening(&self) -> bool {
        *self.is_listening.borrow()
    }

    pub(crate) fn listening(&self) -> watch::Receiver<bool> {
        self.is_listening.subscribe()
    }

    pub(crate) fn handle_link_down(&self) {
        self.is_listening.send_replace(false);
        if !self.is_lost.swap(true, Ordering::Relaxed)
            && let Some(adapter) = self.adapter()
        {
            adapter.handle_link(LinkChange::Lost);
        }
    }

    /// Returns whether it was open.
    pub(crate) fn close(&self) -> bool {
        let was_open = !self.is_closed.swap(true, Ordering::Relaxed);
        self.wake.notify_one();
        was_open
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }
}

/// The clock of the server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
    /// The time at `start`.
    time: Time,
}

impl Clock {
    pub(crate) fn new(now: Time) -> Self {
        Self { start: Instant::now(), time: now }
    }

    pub(crate) fn start(self) -> Instant {
        self.start
    }

    pub(crate) fn now(self) -> Time {
        self.time + self.start.elapsed()
    }

    pub(crate) fn instant(self, time: Time) -> Instant {
        self.start + time.saturating_since(self.time)
    }
}
