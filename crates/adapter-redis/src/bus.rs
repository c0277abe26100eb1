//! The side of the driver that an adapter calls.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use adapter::cluster::codec::{FormatError, Publication, SubscriptionMode};
use adapter::cluster::{Bus, ClusterAdapter, Message, NodeId, PublishError, Recipient, RequestId};
use adapter::{DeliveryPolicy, Ready, Time};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use crate::format::{Codec, FormatKind};
use crate::namespace::NamespaceState;
use crate::shared::{Command, Outgoing, Owner, Shared};

/// The bus of one namespace.
pub(crate) struct NamespaceBus {
    owner: Arc<Owner>,
    namespace: Arc<NamespaceState>,
    /// Clients do not wait longer than this.
    ready_until: Mutex<Option<Instant>>,
    /// The message of a server that leaves. It is sent when Redis does not count the server any more.
    close: Mutex<Option<Publication>>,
}

/// How long closing a namespace waits for Redis.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

impl NamespaceBus {
    pub(crate) fn new(owner: Arc<Owner>, namespace: &str, id: &NodeId) -> Self {
        let settings = &owner.shared.settings;
        let namespace = Arc::new(NamespaceState::new(settings.format, &settings.key, namespace, id));
        Self { owner, namespace, ready_until: Mutex::new(None), close: Mutex::new(None) }
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.owner.shared
    }

    fn try_publish(&self, recipient: Recipient, message: &Message) -> Result<(), PublishError> {
        let publication = match self.namespace.codec.encode(&recipient, message) {
            Ok(publication) => publication,
            // The servers can do without it.
            Err(FormatError::NoForm { .. }) => return Ok(()),
            Err(error) => return Err(PublishError::Refused(Arc::new(error))),
        };
        if matches!(message, Message::Close) {
            *self.close.lock().unwrap_or_else(PoisonError::into_inner) = Some(publication);
            return Ok(());
        }
        let (size, max) = (publication.payload.len(), self.shared().settings.decode_limits.max_message_bytes);
        if size > max {
            return Err(PublishError::TooLarge { size, max });
        }
        let queued = size + publication.channel.len();
        let (namespace, message) = (Arc::clone(&self.namespace), message.clone());
        let outgoing = Outgoing::Publish { namespace, publication, bytes: size, recipient, message };
        self.shared().queue.push(outgoing, queued)?;
        self.shared().has_outgoing.notify_one();
        Ok(())
    }
}

impl Bus for NamespaceBus {
    fn start(&self, adapter: Weak<ClusterAdapter>, now: Time) {
        if !self.namespace.start(adapter, now) {
            return;
        }
        let until = Instant::now() + self.shared().settings.ready_timeout;
        *self.ready_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
        self.owner.runtime.spawn(Arc::clone(&self.namespace).run_deadlines());
        // The receiver lives as long as the owner.
        let _ = self.owner.commands.send(Command::Attach(Arc::clone(&self.namespace)));
    }

    fn publish(&self, recipient: Recipient, message: &Message) -> Result<(), PublishError> {
        if is_volatile(message) && !self.shared().is_up() {
            return Ok(());
        }
        self.try_publish(recipient, message).inspect_err(|_| self.shared().counters.count_refused())
    }

    fn count_servers(&self, request: Option<RequestId>) {
        // Without a link, requests wait for nobody. If the queue is full, the request does not fit either.
        if self.shared().is_up() || request.is_some() {
            let namespace = Arc::clone(&self.namespace);
            let _ = self.shared().queue.push(Outgoing::Count { namespace, request }, 0);
            self.shared().has_outgoing.notify_one();
        }
        self.namespace.deadline_changed.notify_one();
    }

    fn observes_rooms(&self) -> bool {
        let format = self.shared().settings.format;
        matches!(format, FormatKind::Sharded(mode) if mode != SubscriptionMode::Static)
    }

    fn room_changed(&self, room: &str) {
        if self.namespace.codec.room_subscription(room).is_some() {
            self.namespace.note_changed_room(room);
            self.shared().has_changed_rooms.notify_one();
        }
    }

    fn joined(&self, rooms: &[&str]) -> Ready {
        if matches!(self.namespace.codec, Codec::Classic(_)) {
            return Ready::now();
        }
        let mut subscriptions = rooms.iter().filter_map(|room| self.namespace.codec.room_subscription(room));
        if subscriptions
            .all(|subscription| self.shared().routes.is_confirmed(&subscription.name, &self.namespace))
        {
            return Ready::now();
        }
        let (commands, limit) = (self.owner.commands.clone(), self.shared().settings.response_timeout);
        Ready::after(async move {
            let (done, is_done) = oneshot::channel();
            let _ = commands.send(Command::SyncRooms { done });
            let _ = timeout(limit, is_done).await;
        })
    }

    fn wake(&self) {
        self.namespace.deadline_changed.notify_one();
    }

    fn ready(&self) -> Ready {
        let mut is_ready = self.namespace.is_ready.subscribe();
        let until = *self.ready_until.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(until) = until.filter(|_| !*is_ready.borrow()) else { return Ready::now() };
        Ready::after(async move {
            let _ = timeout_at(until, is_ready.wait_for(|is_ready| *is_ready)).await;
        })
    }

    fn close(&self) -> Ready {
        if self.namespace.close() {
            return Ready::now();
        }
        let (done, is_done) = oneshot::channel();
        let close = self.close.lock().unwrap_or_else(PoisonError::into_inner).take();
        let namespace = Arc::clone(&self.namespace);
        let _ = self.owner.commands.send(Command::Detach { namespace, close, done });
        self.namespace.deadline_changed.notify_one();
        // Keeps the task until it has sent everything.
        let owner = Arc::clone(&self.owner);
        Ready::after(async move {
            let _ = timeout(CLOSE_TIMEOUT, is_done).await;
            drop(owner);
        })
    }
}

impl Drop for NamespaceBus {
    /// The server has dropped the namespace without closing it.
    fn drop(&mut self) {
        drop(self.close());
        self.namespace.deadline_changed.notify_one();
    }
}

fn is_volatile(message: &Message) -> bool {
    matches!(message, Message::Broadcast { options, ack: None, .. } if options.policy == DeliveryPolicy::Volatile)
}
