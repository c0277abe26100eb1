//! Passes what arrives to the namespaces, in its order.

use std::collections::HashMap;
use std::sync::Arc;

use adapter::cluster::codec::{DecodeError, Notified, Received};
use net::LogRateLimit;
use tokio::sync::mpsc;
use tokio_postgres::{Client, Error, Notification, Statement};

use crate::shared::{Shared, Subscription};

/// How many notifications are handled at once, so that the rows among them are read at once.
const BATCH: usize = 256;

/// How many rows one statement reads. Each may be as long as the [limit](adapter::cluster::codec::DecodeLimits).
const ROWS: usize = 8;

/// Something that has arrived for a namespace.
struct Arrived {
    subscription: Arc<Subscription>,
    bytes: usize,
    content: Result<Notified, DecodeError>,
}

/// Handles notifications until the connection ends. `reader` reads the rows: as long as nobody takes notifications, their own
/// connection reads nothing.
pub(crate) async fn receive(
    shared: &Shared,
    reader: &Client,
    notifications: &mut mpsc::Receiver<Notification>,
) -> Result<(), Error> {
    let read = reader.prepare(&shared.table.read).await?;
    let mut batch = Vec::new();
    while notifications.recv_many(&mut batch, BATCH).await > 0 {
        let arrived: Vec<_> =
            batch.drain(..).flat_map(|notification| decode(shared, &notification)).collect();
        handle(shared, (reader, &read), arrived).await?;
    }
    Ok(())
}

fn decode(shared: &Shared, notification: &Notification) -> Vec<Arrived> {
    let payload = notification.payload().as_bytes();
    let subscriptions = shared.subscriptions(notification.channel());
    let decoded = subscriptions.into_iter().filter_map(|subscription| {
        let decoded = subscription.codec.decode(payload, &shared.options.decoding);
        if matches!(decoded, Ok(None)) {
            // A message of this server.
            shared.counters.count_received(payload.len());
        }
        let content = decoded.transpose()?;
        Some(Arrived { subscription, bytes: payload.len(), content })
    });
    decoded.collect()
}

async fn handle(shared: &Shared, reader: (&Client, &Statement), arrived: Vec<Arrived>) -> Result<(), Error> {
    let mut rows = HashMap::new();
    for index in 0..arrived.len() {
        let Arrived { subscription, bytes, content } = &arrived[index];
        match content {
            Ok(Notified::Message(received)) => {
                deliver(shared, subscription, received.clone(), *bytes);
            }
            Ok(Notified::Row { id, .. }) => {
                let Ok(id) = id.parse::<i64>() else {
                    shared.counters.count_invalid();
                    continue;
                };
                if !rows.contains_key(&id) {
                    rows = read(shared, reader, &arrived[index..]).await?;
                }
                handle_row(shared, subscription, id, rows.get(&id).and_then(Option::as_deref));
            }
            Err(error) => drop_invalid(shared, subscription, error),
        }
    }
    Ok(())
}

/// Reads the next rows. Those that do not exist any more, or are too long, or could not be read in time, are `None`.
async fn read(
    shared: &Shared,
    (reader, statement): (&Client, &Statement),
    arrived: &[Arrived],
) -> Result<HashMap<i64, Option<Vec<u8>>>, Error> {
    let ids = arrived.iter().filter_map(|arrived| match &arrived.content {
        Ok(Notified::Row { id, .. }) => id.parse::<i64>().ok(),
        _ => None,
    });
    let ids: Vec<i64> = ids.take(ROWS).collect();
    let max = i32::try_from(shared.options.decoding.max_message_bytes).unwrap_or(i32::MAX);
    let mut rows: HashMap<_, _> = ids.iter().map(|id| (*id, None)).collect();
    match reader.query(statement, &[&ids, &max]).await {
        Ok(found) => {
            for row in found {
                rows.insert(row.try_get(0)?, row.try_get(1)?);
            }
        }
        Err(error) if error.as_db_error().is_none() || reader.is_closed() => return Err(error),
        Err(error) => {
            static FAILED: LogRateLimit = LogRateLimit::new();
            FAILED.try_log(|suppressed| {
                let error = ws_proto::ErrorChain(&error).to_string();
                tracing::warn!(error, suppressed, "messages of other servers cannot be read from the table");
            });
        }
    }
    Ok(rows)
}

fn handle_row(shared: &Shared, subscription: &Subscription, id: i64, content: Option<&[u8]>) {
    let Some(content) = content else {
        static MISSING: LogRateLimit = LogRateLimit::new();
        MISSING.try_log(|suppressed| {
            tracing::warn!(id, suppressed, "a message of another server is not in the table, or is too long");
        });
        shared.counters.count_invalid();
        return;
    };
    match subscription.codec.decode_row(content, &shared.options.decoding) {
        Ok(Some(received)) => deliver(shared, subscription, received, content.len()),
        Ok(None) => shared.counters.count_received(content.len()),
        Err(error) => drop_invalid(shared, subscription, &error),
    }
}

fn deliver(shared: &Shared, subscription: &Subscription, received: Received, bytes: usize) {
    if let Some(adapter) = subscription.adapter() {
        let Received { sender, message, .. } = received;
        adapter.handle_message(sender.as_ref(), message, None, subscription.clock.now());
    }
    shared.counters.count_received(bytes);
}

fn drop_invalid(shared: &Shared, subscription: &Subscription, error: &DecodeError) {
    static INVALID: LogRateLimit = LogRateLimit::new();
    INVALID.try_log(|suppressed| {
        let channel = subscription.codec.channel();
        let error = ws_proto::ErrorChain(error).to_string();
        tracing::warn!(channel, error, suppressed, "a notification is not a message of the cluster");
    });
    shared.counters.count_invalid();
}
