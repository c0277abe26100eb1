//! The task that owns the connections.

use std::sync::Arc;
use std::time::Duration;

use net::LogRateLimit;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, Error, Notification};
use ws_proto::Backoff;

use crate::error::ConnectError;
use crate::shared::Shared;
use crate::{publisher, receiver, sql};

/// The delays between attempts to connect.
const DELAY: Duration = Duration::from_millis(500);
const DELAY_MAX: Duration = Duration::from_secs(5);

/// How many channels one command subscribes to.
const CHANNELS: usize = 500;

/// Keeps the link to the database, until it is aborted.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut backoff = Backoff::new(DELAY, DELAY_MAX, 0.5);
    loop {
        static FAILED: LogRateLimit = LogRateLimit::new();
        match OpenLink::open(&shared).await {
            Ok((mut link, channels)) => {
                backoff.reset();
                for (channel, _) in channels {
                    shared.handle_listening(&channel);
                }
                shared.handle_link_up();
                let end = link.run(&shared).await;
                let end = end.as_ref().map_or_else(
                    |error| ws_proto::ErrorChain(error).to_string(),
                    |end| (*end).to_owned(),
                );
                FAILED.try_log(|suppressed| {
                    tracing::warn!(reason = end, suppressed, "the link to PostgreSQL is lost");
                });
            }
            Err(error) => FAILED.try_log(|suppressed| {
                tracing::warn!(%error, suppressed, "the server is not connected to the others of its cluster");
            }),
        }
        shared.handle_link_down();
        let mut random = [0; 8];
        // Without random bytes, the delays are not random.
        let _ = getrandom::fill(&mut random);
        sleep(backoff.next_delay(u64::from_ne_bytes(random))).await;
    }
}

/// The name of a channel, and whether a namespace uses it.
type Channel = (Box<str>, bool);

/// Both connections. The link is lost when one of them is.
struct OpenLink {
    listener: Client,
    notifications: mpsc::Receiver<Notification>,
    publisher: Client,
}

impl OpenLink {
    /// Connects, and listens to the channels of all namespaces, which it returns.
    async fn open(shared: &Shared) -> Result<(Self, Vec<Channel>), ConnectError> {
        let publisher = shared.connector.open(&shared.table).await?;
        let (listener, notifications) = shared.connector.open_to_listen().await?;
        let channels: Vec<_> =
            shared.take_all_channels().into_iter().map(|channel| (channel, true)).collect();
        let limit = shared.options.response_timeout;
        let link = Self { listener, notifications, publisher };
        // Nothing takes the notifications yet, and few of them wait. So this has a limit.
        timeout(limit, change(&link.listener, &channels))
            .await
            .map_err(|_| ConnectError::TimedOut(limit))?
            .map_err(|error| ConnectError::Setup((&error).into()))?;
        Ok((link, channels))
    }

    /// Moves messages until the link is lost. Returns why.
    async fn run(&mut self, shared: &Arc<Shared>) -> Result<&'static str, Error> {
        let Self { listener, notifications, publisher } = self;
        let (listener, publisher) = (&*listener, &*publisher);
        tokio::select! {
            end = publisher::publish(shared, publisher) => end.map(|()| "the connection has ended"),
            end = receiver::receive(shared, publisher, notifications) => {
                end.map(|()| "the connection that listens has ended")
            }
            end = subscribe(shared, listener) => end.map(|()| "the connection that listens has ended"),
            end = check(shared, listener, publisher) => end,
            end = clean_up(shared, publisher) => end.map(|()| "the connection has ended"),
        }
    }
}

/// Listens to the channels of new namespaces, and not any more to those of removed ones.
async fn subscribe(shared: &Shared, listener: &Client) -> Result<(), Error> {
    loop {
        let changes = shared.take_changed_channels();
        if changes.is_empty() {
            shared.channels_changed.notified().await;
            continue;
        }
        change(listener, &changes).await?;
        for (channel, is_used) in changes {
            if is_used {
                shared.handle_listening(&channel);
            }
        }
    }
}

async fn change(listener: &Client, channels: &[Channel]) -> Result<(), Error> {
    for channels in channels.chunks(CHANNELS) {
        let command = |(channel, is_used): &Channel| {
            let verb = if *is_used { "LISTEN" } else { "UNLISTEN" };
            format!("{verb} {};", sql::quoted(channel))
        };
        listener.batch_execute(&channels.iter().map(command).collect::<String>()).await?;
    }
    Ok(())
}

/// Notices that the database does not answer any more, although nothing says that the connections are closed.
async fn check(shared: &Shared, listener: &Client, publisher: &Client) -> Result<&'static str, Error> {
    let limit = shared.options.response_timeout;
    loop {
        sleep(limit / 2).await;
        let both = async { tokio::try_join!(listener.check_connection(), publisher.check_connection()) };
        match timeout(limit, both).await {
            Ok(checked) => checked.map(drop)?,
            Err(_) => return Ok("the database does not answer"),
        }
    }
}

/// Deletes rows that every server has read.
async fn clean_up(shared: &Shared, client: &Client) -> Result<(), Error> {
    let interval = shared.options.cleanup_interval;
    let age = interval.as_secs_f64() * 1_000.0;
    loop {
        sleep(interval).await;
        loop {
            match client.execute(&shared.table.clean_up, &[&age]).await {
                Ok(sql::CLEANUP_BATCH..) => {}
                Ok(_) => break,
                Err(error) if error.as_db_error().is_none() || client.is_closed() => return Err(error),
                Err(error) => {
                    let error = ws_proto::ErrorChain(&error).to_string();
                    tracing::warn!(error, "old messages cannot be deleted from the table");
                    break;
                }
            }
        }
    }
}
