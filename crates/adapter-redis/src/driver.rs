//! The task that keeps the link of a server to Redis.

use std::error::Error;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use adapter::LinkChange;
use adapter::cluster::codec::Publication;
use adapter::cluster::{Message, Recipient};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use ws_proto::Backoff;

use crate::connect::{Connection, Link, Redis};
use crate::error::ConnectError;
use crate::namespace::NamespaceState;
use crate::publisher::{self, InFlight};
use crate::shared::{Command, LinkState, Outgoing, Shared};
use crate::subscriber::Subscriber;

type Commands = mpsc::UnboundedReceiver<Command>;

/// Why a link has ended.
type LinkError = Box<dyn Error + Send + Sync>;

/// A part of the random delay before each attempt to reconnect.
const RANDOMIZATION_FACTOR: f64 = 0.5;

/// Keeps the link of a server, until nobody needs it.
pub(crate) async fn run(shared: Arc<Shared>, redis: Redis, mut commands: Commands) {
    let (delay, delay_max) = (shared.settings.reconnection_delay, shared.settings.reconnection_delay_max);
    let mut backoff = Backoff::new(delay, delay_max, RANDOMIZATION_FACTOR);
    let mut driver = Driver { shared: Arc::clone(&shared), members: Vec::new(), is_down: false };
    let mut former = None;
    loop {
        let connecting = redis.link(&shared, former.as_ref());
        let Some(connected) = driver.while_offline(&mut commands, connecting).await else { return };
        match connected {
            Ok(link) => {
                former = link.identity.clone().or(former);
                let since = Instant::now();
                let Some(error) = driver.online(link, &mut commands).await else { return };
                // A link that is lost at once must not be replaced in a loop.
                if since.elapsed() > delay_max {
                    backoff.reset();
                }
                driver.handle_lost(&*error);
            }
            Err(error) => driver.handle_failure(error),
        }
        let delay = backoff.next_delay(random());
        if driver.while_offline(&mut commands, tokio::time::sleep(delay)).await.is_none() {
            return;
        }
    }
}

struct Driver {
    shared: Arc<Shared>,
    members: Vec<Member>,
    /// The namespaces know that there is no link.
    is_down: bool,
}

/// A namespace, and whether it knows that there is no link.
struct Member {
    namespace: Arc<NamespaceState>,
    is_down: bool,
}

impl Member {
    /// The namespace gets the messages of the others from now on.
    fn handle_subscribed(&mut self, shared: &Shared) {
        let is_first = !self.namespace.is_ready.send_replace(true);
        if is_first && self.namespace.age() >= shared.settings.ready_timeout {
            // Clients may have connected before, and may have missed something.
            self.handle_link(LinkChange::Lost);
        }
        if !self.handle_link(LinkChange::Restored { gap: true }) {
            shared.count_servers(&self.namespace);
        }
    }

    /// Returns whether it is news.
    fn handle_link(&mut self, change: LinkChange) -> bool {
        let is_lost = change == LinkChange::Lost;
        if std::mem::replace(&mut self.is_down, is_lost) == is_lost {
            return false;
        }
        if let Some(adapter) = self.namespace.adapter() {
            adapter.handle_link(change);
            self.namespace.deadline_changed.notify_one();
        }
        true
    }
}

impl Driver {
    /// Waits for a future without a link. `None` if nobody needs the link any more.
    async fn while_offline<T>(
        &mut self,
        commands: &mut Commands,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let mut future = pin!(future);
        loop {
            let command = tokio::select! {
                output = &mut future => return Some(output),
                command = commands.recv() => command?,
            };
            match command {
                Command::Attach(namespace) => self.add(namespace),
                Command::Detach { namespace, done, .. } => {
                    self.remove(&namespace);
                    drop(done);
                }
                // All rooms are subscribed when the link is back.
                Command::SyncRooms { done } => drop(done),
            }
        }
    }

    fn add(&mut self, namespace: Arc<NamespaceState>) {
        let mut member = Member { namespace, is_down: false };
        if self.is_down {
            member.handle_link(LinkChange::Lost);
        }
        self.members.push(member);
    }

    /// Returns whether the namespace was attached.
    fn remove(&mut self, namespace: &Arc<NamespaceState>) -> bool {
        let former = self.members.len();
        self.members.retain(|member| !Arc::ptr_eq(&member.namespace, namespace));
        self.members.len() < former
    }

    fn handle_failure(&mut self, error: ConnectError) {
        tracing::warn!(error = &error as &(dyn Error + 'static), "cannot connect to Redis");
        self.shared.link.send_if_modified(|link| {
            let is_first = !link.was_up();
            if is_first {
                *link = LinkState::Failed(error);
            }
            is_first
        });
        self.set_down();
    }

    fn handle_lost(&mut self, error: &(dyn Error + Send + Sync + 'static)) {
        let error: &(dyn Error + 'static) = error;
        tracing::warn!(error, "the link to Redis is lost");
        self.shared.counters.count_link_lost();
        self.set_down();
    }

    fn set_down(&mut self) {
        self.is_down = true;
        for member in &mut self.members {
            member.handle_link(LinkChange::Lost);
        }
    }

    fn set_up(&mut self) {
        self.is_down = false;
        self.shared.link.send_replace(LinkState::Up);
        for member in &mut self.members {
            member.handle_subscribed(&self.shared);
        }
    }

    /// Uses a link until it is lost, and returns why. `None` if nobody needs it any more.
    async fn online(&mut self, link: Link, commands: &mut Commands) -> Option<LinkError> {
        let Link { publisher, subscriber, lost, .. } = link;
        let mut in_flight = InFlight::default();
        let shared = Arc::clone(&self.shared);
        let mut subscriptions = Subscriber::new(Arc::clone(&shared), subscriber.clone());
        for member in &self.members {
            if let Err(error) = subscriptions.attach(&member.namespace).await {
                return Some(error.into());
            }
        }
        self.set_up();
        let ended: Option<LinkError> = tokio::select! {
            error = publisher::run(&shared, &publisher, &mut in_flight) => Some(error.into()),
            served = self.serve(&mut subscriptions, commands) => served,
            error = ping(subscriber, shared.settings.ping_interval) => Some(error),
            () = lost.notified() => Some("Redis has closed the connection".into()),
        };
        self.shared.link.send_replace(LinkState::Lost);
        shared.routes.clear();
        in_flight.report_lost(&shared);
        ended
    }

    /// Does what the namespaces ask for, until there is an error. `None` if nobody needs the link any more.
    async fn serve(&mut self, subscriptions: &mut Subscriber, commands: &mut Commands) -> Option<LinkError> {
        loop {
            let command = tokio::select! {
                command = commands.recv() => Some(command?),
                () = self.shared.has_changed_rooms.notified() => None,
            };
            let mut waiting = Vec::new();
            let mut next = command;
            while let Some(command) = next {
                match command {
                    // Clients can create and leave namespaces faster than Redis replies.
                    Command::Attach(namespace) if namespace.is_closed() => {}
                    Command::Attach(namespace) => {
                        self.add(Arc::clone(&namespace));
                        if let Err(error) = subscriptions.attach(&namespace).await {
                            return Some(error.into());
                        }
                        if let Some(member) = self.members.last_mut() {
                            member.handle_subscribed(&self.shared);
                        }
                    }
                    Command::Detach { namespace, done, .. } if !self.remove(&namespace) => {
                        // It was closed before it was attached.
                        drop((namespace, done));
                    }
                    Command::Detach { namespace, close, done } => {
                        if let Err(error) = subscriptions.detach(&namespace).await {
                            return Some(error.into());
                        }
                        self.flush(&namespace, close, done);
                    }
                    Command::SyncRooms { done } => waiting.push(done),
                }
                next = commands.try_recv().ok();
            }
            for member in &self.members {
                if let Err(error) = subscriptions.sync_rooms(&member.namespace).await {
                    return Some(error.into());
                }
            }
            drop(waiting);
        }
    }

    /// Tells the other servers that this one has left. `done` is dropped when everything has been sent.
    fn flush(&self, namespace: &Arc<NamespaceState>, close: Option<Publication>, done: oneshot::Sender<()>) {
        if let Some(publication) = close {
            let outgoing = Outgoing::Publish {
                namespace: Arc::clone(namespace),
                bytes: publication.payload.len(),
                publication,
                recipient: Recipient::All,
                message: Message::Close,
            };
            // If there is no room, the others notice it when they count.
            let _ = self.shared.queue.push(outgoing, 0);
        }
        let _ = self.shared.queue.push(Outgoing::Flushed(done), 0);
        self.shared.has_outgoing.notify_one();
    }
}

/// Sends PING on the connection that receives, until there is no reply.
async fn ping(mut connection: Connection, interval: Duration) -> LinkError {
    loop {
        tokio::time::sleep(interval).await;
        if let Err(error) = connection.ping().await {
            return error.into();
        }
    }
}

fn random() -> u64 {
    getrandom::u64().expect("the operating system has random bytes")
}
