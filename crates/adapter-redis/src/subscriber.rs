//! Subscribes to the channels of the namespaces and of their rooms.

use std::collections::HashSet;
use std::sync::Arc;

use redis::{RedisError, RedisResult, Value};
use socketio_proto::Excerpt;

use crate::connect::{ChannelCommand, Connection};
use crate::format::Subscription;
use crate::namespace::{NamespaceState, has_room};
use crate::shared::Shared;

/// The subscriptions of a server on one connection.
pub(crate) struct Subscriber {
    shared: Arc<Shared>,
    connection: Connection,
}

/// The subscriptions that are changed with one round trip.
const CHUNK: usize = 500;

impl Subscriber {
    pub(crate) fn new(shared: Arc<Shared>, connection: Connection) -> Self {
        // What was subscribed before belongs to another connection.
        shared.routes.clear();
        Self { shared, connection }
    }

    /// Subscribes to the channels of a namespace and of its rooms.
    pub(crate) async fn attach(&mut self, namespace: &Arc<NamespaceState>) -> RedisResult<()> {
        // What changes from now on is compared later.
        let _ = namespace.take_changed_rooms();
        let fixed = namespace.codec.subscriptions();
        for subscription in &fixed {
            if self.shared.routes.is_taken(&subscription.name, namespace) {
                let channel = Excerpt(&subscription.name);
                tracing::error!(
                    %channel,
                    "two servers share a RedisAdapter, so messages of one of them are lost: each server needs its own"
                );
            }
            self.shared.routes.insert(&subscription.name, namespace, true);
        }
        let rooms = namespace.room_subscriptions().into_iter().filter(|room| self.is_new(room, namespace));
        let rooms: Vec<_> = rooms.collect();
        for room in &rooms {
            self.shared.routes.insert(&room.name, namespace, false);
        }
        self.change(fixed.into_iter().chain(rooms).collect(), true).await
    }

    /// Ends the subscriptions of a namespace.
    pub(crate) async fn detach(&mut self, namespace: &Arc<NamespaceState>) -> RedisResult<()> {
        let fixed = namespace.codec.subscriptions();
        let mut former = Vec::new();
        for (name, is_fixed) in self.shared.routes.of(namespace) {
            if !self.shared.routes.remove(&name, namespace) {
                continue;
            }
            if is_fixed {
                former.extend(fixed.iter().find(|fixed| *fixed.name == *name).cloned());
            } else {
                former.push(Subscription::of_room(name.into()));
            }
        }
        self.change(former, false).await
    }

    /// Compares the subscriptions of rooms that may have changed with the rooms.
    pub(crate) async fn sync_rooms(&mut self, namespace: &Arc<NamespaceState>) -> RedisResult<()> {
        let (mut created, mut deleted) = (Vec::new(), Vec::new());
        match namespace.take_changed_rooms() {
            Some(names) => {
                let Some(adapter) = namespace.adapter() else { return Ok(()) };
                for room in names {
                    let Some(subscription) = namespace.codec.room_subscription(&room) else { continue };
                    let exists = has_room(&adapter, &room);
                    match self.shared.routes.get(&subscription.name, namespace) {
                        None if exists => created.push(subscription),
                        Some(route) if !exists && !route.is_fixed => deleted.push(subscription),
                        _ => {}
                    }
                }
            }
            None => {
                let rooms = namespace.room_subscriptions();
                let wanted: HashSet<_> = rooms.iter().map(|room| &*room.name).collect();
                let former = self.shared.routes.of(namespace).into_iter();
                let gone = former.filter(|(name, is_fixed)| !is_fixed && !wanted.contains(&**name));
                deleted.extend(gone.map(|(name, _)| Subscription::of_room(name.into())));
                created.extend(rooms.into_iter().filter(|room| self.is_new(room, namespace)));
            }
        }
        for subscription in &created {
            self.shared.routes.insert(&subscription.name, namespace, false);
        }
        deleted.retain(|subscription| self.shared.routes.remove(&subscription.name, namespace));
        self.change(deleted, false).await?;
        self.change(created, true).await
    }

    fn is_new(&self, room: &Subscription, namespace: &Arc<NamespaceState>) -> bool {
        self.shared.routes.get(&room.name, namespace).is_none()
    }

    /// Handles that the user may not use a channel. The link stays, because other channels may work.
    fn handle_refused(&self, subscription: &Subscription, error: &RedisError) {
        self.shared.counters.count_subscription_refused();
        self.shared.routes.remove_all(&subscription.name);
        let channel = Excerpt(&subscription.name);
        tracing::error!(%channel, %error, "Redis refuses a subscription, so messages of other servers are missing");
    }

    /// Begins or ends subscriptions, and waits until Redis has confirmed them.
    async fn change(&mut self, subscriptions: Vec<Subscription>, is_begin: bool) -> RedisResult<()> {
        for chunk in subscriptions.chunks(CHUNK) {
            let command = |subscription: &Subscription| ChannelCommand {
                name: if is_begin { subscription.kind.subscribe() } else { subscription.kind.unsubscribe() },
                channel: subscription.name.clone(),
                payload: None,
            };
            let values = self.connection.send(chunk.iter().map(command).collect()).await?;
            for (subscription, value) in chunk.iter().zip(values) {
                match value {
                    Value::ServerError(error) => self.handle_refused(subscription, &RedisError::from(error)),
                    _ if is_begin => self.shared.routes.confirm(&subscription.name),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}
