//! Sends what the namespaces publish, in its order.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use adapter::cluster::codec::{Notification, Publication, Row};
use adapter::cluster::{Message, PublishError, Recipient};
use tokio::sync::oneshot;
use tokio_postgres::error::Severity;
use tokio_postgres::{Client, Error, Statement};

use crate::error::Refusal;
use crate::shared::{Shared, Subscription};
use crate::sql;

/// What waits in the queue.
pub(crate) enum Outgoing {
    Message(Box<Sent>),
    /// Everything before it has been sent when the sender is used or dropped.
    Flush(oneshot::Sender<()>),
}

/// An encoded message, and what its namespace needs to know if it is refused.
pub(crate) struct Sent {
    pub(crate) subscription: Arc<Subscription>,
    pub(crate) recipient: Recipient,
    pub(crate) message: Message,
    pub(crate) notification: Notification,
    pub(crate) bytes: usize,
}

/// How much one statement sends. PostgreSQL commits once for all of it.
const BATCH_MESSAGES: usize = 256;
const BATCH_BYTES: usize = 1024 * 1024;

/// Sends messages as long as the connection works.
pub(crate) async fn publish(shared: &Arc<Shared>, client: &Client) -> Result<(), Error> {
    let notify = client.prepare(sql::NOTIFY).await?;
    let insert = client.prepare(&shared.table.insert).await?;
    let statements = Statements { client, notify, insert };
    let mut taken = Taken { shared: Arc::clone(shared), waiting: VecDeque::new() };
    loop {
        taken.take();
        if taken.waiting.is_empty() {
            shared.queued.notified().await;
        }
        while !taken.waiting.is_empty() {
            taken.send_next(&statements).await?;
        }
    }
}

struct Statements<'c> {
    client: &'c Client,
    notify: Statement,
    insert: Statement,
}

impl Statements<'_> {
    async fn notify(&self, publications: &[&Publication]) -> Result<(), Error> {
        let channels: Vec<&str> = publications.iter().map(|publication| &*publication.channel).collect();
        let payloads: Vec<_> = publications.iter().map(|publication| text(&publication.payload)).collect();
        self.client.execute(&self.notify, &[&channels, &payloads]).await.map(drop)
    }

    async fn insert(&self, row: &Row) -> Result<(), Error> {
        let (before, after) = row.payload_around_id();
        let channel = row.channel();
        self.client.execute(&self.insert, &[&row.content, &channel, &before, &after]).await.map(drop)
    }
}

/// The codec writes JSON.
fn text(payload: &[u8]) -> &str {
    std::str::from_utf8(payload).unwrap_or_default()
}

/// What was taken out of the queue and not confirmed yet. If the link is lost meanwhile, this is dropped, and the namespaces learn
/// it.
struct Taken {
    shared: Arc<Shared>,
    waiting: VecDeque<Outgoing>,
}

impl Taken {
    fn take(&mut self) {
        let mut batch = Vec::new();
        self.shared.queue.pop_batch(BATCH_MESSAGES, BATCH_BYTES, &mut batch);
        self.waiting.extend(batch);
        self.count();
    }

    /// Sends a row, or as many notifications as one transaction can have.
    async fn send_next(&mut self, statements: &Statements<'_>) -> Result<(), Error> {
        let (count, result) = match self.waiting.front() {
            None => return Ok(()),
            Some(Outgoing::Flush(_)) => (1, Ok(())),
            Some(Outgoing::Message(first)) => match &first.notification {
                Notification::Row(row) => (1, statements.insert(row).await),
                Notification::Payload(_) => {
                    let publications = self.next_publications();
                    (publications.len(), statements.notify(&publications).await)
                }
            },
        };
        match result {
            Ok(()) => self.confirm(count),
            Err(error) if is_end(&error) || statements.client.is_closed() => return Err(error),
            Err(error) if count == 1 => self.refuse(&error),
            // One of them is the reason. The others can be sent.
            Err(_) => {
                for _ in 0..count {
                    let Some(Outgoing::Message(sent)) = self.waiting.front() else { break };
                    let Notification::Payload(publication) = &sent.notification else { break };
                    match statements.notify(&[publication]).await {
                        Ok(()) => self.confirm(1),
                        Err(error) if is_end(&error) || statements.client.is_closed() => return Err(error),
                        Err(error) => self.refuse(&error),
                    }
                }
            }
        }
        Ok(())
    }

    /// The notifications at the front that differ: in one transaction, PostgreSQL sends equal ones only once.
    fn next_publications(&self) -> Vec<&Publication> {
        let mut seen = HashSet::new();
        let publications = self.waiting.iter().map_while(|outgoing| match outgoing {
            Outgoing::Message(sent) => match &sent.notification {
                Notification::Payload(publication) => Some(publication),
                Notification::Row(_) => None,
            },
            Outgoing::Flush(_) => None,
        });
        publications
            .take_while(|publication| seen.insert((&publication.channel, &publication.payload)))
            .collect()
    }

    fn confirm(&mut self, count: usize) {
        for outgoing in self.waiting.drain(..count) {
            match outgoing {
                Outgoing::Message(sent) => self.shared.counters.count_published(sent.bytes),
                Outgoing::Flush(done) => drop(done.send(())),
            }
        }
        self.count();
    }

    /// PostgreSQL has refused the first message.
    fn refuse(&mut self, error: &Error) {
        if let Some(Outgoing::Message(sent)) = self.waiting.pop_front() {
            self.shared.counters.count_refused();
            sent.report(Refusal::Database(error.into()));
        }
        self.count();
    }

    fn count(&self) {
        let bytes = self.waiting.iter().map(|outgoing| match outgoing {
            Outgoing::Message(sent) => sent.bytes,
            Outgoing::Flush(_) => 0,
        });
        let [messages, total] = &self.shared.in_flight;
        messages.store(self.waiting.len(), Ordering::Relaxed);
        total.store(bytes.sum(), Ordering::Relaxed);
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        for outgoing in std::mem::take(&mut self.waiting) {
            if let Outgoing::Message(sent) = outgoing {
                self.shared.counters.count_lost(1);
                // Others follow, when the link is back.
                if !matches!(sent.message, Message::Heartbeat | Message::InitialHeartbeat) {
                    sent.report(Refusal::LinkLost);
                }
            }
        }
        self.count();
    }
}

impl Sent {
    fn report(&self, refusal: Refusal) {
        if let Some(adapter) = self.subscription.adapter() {
            let error = PublishError::Refused(Arc::new(refusal));
            adapter.handle_publish_error(&self.recipient, &self.message, &error);
        }
    }
}

/// Whether the error ends the connection, as when the server shuts down.
fn is_end(error: &Error) -> bool {
    let is_fatal = |severity| matches!(severity, Severity::Fatal | Severity::Panic);
    error.is_closed() || error.as_db_error().is_none_or(|error| error.parsed_severity().is_some_and(is_fatal))
}
