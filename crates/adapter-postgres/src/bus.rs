//! The connection of one namespace to the cluster.

use std::sync::{Arc, OnceLock, Weak};

use adapter::cluster::codec::PostgresCodec;
use adapter::cluster::{Bus, ClusterAdapter, Message, NodeId, PublishError, Recipient};
use adapter::{Ready, Time};
use tokio::sync::oneshot;
use tokio::time::{sleep_until, timeout_at};

use crate::error::Refusal;
use crate::publisher::Outgoing;
use crate::shared::{Clock, Link, Shared, Subscription};
use crate::sql;

pub(crate) struct NamespaceBus {
    shared: Arc<Shared>,
    codec: PostgresCodec,
    /// Whether PostgreSQL accepts the channel. Otherwise, this server is alone in the namespace.
    has_channel: bool,
    /// Set by `start`.
    subscription: OnceLock<Arc<Subscription>>,
}

impl NamespaceBus {
    pub(crate) fn new(shared: Arc<Shared>, namespace: &str, id: &NodeId) -> Self {
        let options = &shared.options;
        let codec = PostgresCodec::with_prefix(&options.channel_prefix, namespace, id)
            .with_max_payload(options.max_payload());
        let has_channel = sql::is_channel(codec.channel());
        Self { shared, codec, has_channel, subscription: OnceLock::new() }
    }

    fn try_publish(&self, recipient: Recipient, message: &Message) -> Result<(), PublishError> {
        let Some(subscription) = self.subscription.get() else { return Ok(()) };
        let is_pointless = match message {
            // Nobody's answer would arrive. It is sent when this server listens.
            Message::InitialHeartbeat => !subscription.is_listening(),
            // It would say later what is true now.
            Message::Heartbeat => self.shared.link() != Link::Up,
            Message::Close => !self.has_channel,
            _ => false,
        };
        if is_pointless {
            return Ok(());
        }
        if !self.has_channel {
            let refusal = Refusal::Channel { len: self.codec.channel().len() };
            return Err(PublishError::Refused(Arc::new(refusal)));
        }
        self.shared.enqueue(subscription, recipient, message)
    }
}

impl Bus for NamespaceBus {
    fn start(&self, adapter: Weak<ClusterAdapter>, now: Time) {
        let clock = Clock::new(now);
        let subscription = Arc::new(Subscription::new(self.codec.clone(), adapter, clock));
        if self.subscription.set(Arc::clone(&subscription)).is_err() {
            return;
        }
        self.shared.runtime.spawn(handle_deadlines(Arc::clone(&self.shared), Arc::clone(&subscription)));
        if self.has_channel {
            Shared::register(&self.shared, subscription);
        }
    }

    fn publish(&self, recipient: Recipient, message: &Message) -> Result<(), PublishError> {
        let published = self.try_publish(recipient, message);
        if published.is_err() {
            self.shared.counters.count_refused();
        }
        // All others have no deadline that is earlier than those before.
        if !matches!(message, Message::Broadcast { ack: None, .. }) {
            self.wake();
        }
        published
    }

    fn wake(&self) {
        if let Some(subscription) = self.subscription.get() {
            subscription.wake.notify_one();
        }
    }

    fn ready(&self) -> Ready {
        let Some(subscription) = self.subscription.get() else { return Ready::now() };
        if !self.has_channel || subscription.is_listening() {
            return Ready::now();
        }
        let deadline = subscription.clock.start() + self.shared.options.ready_timeout;
        let mut listening = subscription.listening();
        Ready::after(async move {
            let _ = timeout_at(deadline, listening.wait_for(|is_listening| *is_listening)).await;
        })
    }

    fn close(&self) -> Ready {
        let Some(subscription) = self.subscription.get() else { return Ready::now() };
        if !subscription.close() || !self.has_channel {
            return Ready::now();
        }
        let (done, flushed) = oneshot::channel();
        // If there is no room in the queue, the link is slow or gone.
        let _ = self.shared.queue.push(Outgoing::Flush(done), 0);
        self.shared.queued.notify_one();
        let (shared, subscription) = (Arc::clone(&self.shared), Arc::clone(subscription));
        let closed = self.shared.runtime.spawn(async move {
            let mut link = shared.watch_link();
            tokio::select! {
                _ = flushed => {}
                _ = link.wait_for(|link| *link != Link::Up) => {}
            }
            shared.unregister(&subscription);
        });
        Ready::after(async move {
            let _ = closed.await;
        })
    }
}

/// Calls the adapter at its deadlines, as long as it exists and is not closed.
async fn handle_deadlines(shared: Arc<Shared>, subscription: Arc<Subscription>) {
    let clock = subscription.clock;
    while !subscription.is_closed() {
        let Some(deadline) = subscription.adapter().map(|adapter| adapter.poll_timeout()) else {
            // The server was dropped without being closed.
            return shared.unregister(&subscription);
        };
        let due = async {
            match deadline {
                Some(deadline) => sleep_until(clock.instant(deadline)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            // The deadline has changed.
            () = subscription.wake.notified() => {}
        }
        if let Some(adapter) = subscription.adapter()
            && adapter.poll_timeout().is_some_and(|deadline| deadline <= clock.now())
        {
            adapter.handle_timeout(clock.now());
        }
    }
}
