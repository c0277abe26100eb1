//! Sends what the adapters publish, in its order.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use adapter::cluster::PublishError;
use futures_util::future::{MaybeDone, maybe_done};
use redis::{RedisError, RedisResult, Value};
use socketio_proto::Excerpt;

use crate::connect::{ChannelCommand, Connection};
use crate::namespace::NamespaceState;
use crate::shared::{Outgoing, Shared};

/// Messages that are on their way.
#[derive(Default)]
pub(crate) struct InFlight(VecDeque<Batch>);

struct Batch {
    items: Vec<Outgoing>,
    reply: Pin<Box<MaybeDone<SendFuture>>>,
}

type SendFuture = Pin<Box<dyn Future<Output = RedisResult<Vec<Value>>> + Send>>;

/// The batches that wait for their replies at the same time. It is less than the capacity of the connection's queue, so that the
/// first poll of a batch sends it.
const MAX_BATCHES: usize = 16;

const MAX_BATCH_MESSAGES: usize = 256;

const MAX_BATCH_BYTES: usize = 256 * 1024;

/// Sends what is in the queue, until the link is lost.
pub(crate) async fn run(shared: &Shared, connection: &Connection, in_flight: &mut InFlight) -> RedisError {
    let max_batches = match connection {
        Connection::Single(_) => MAX_BATCHES,
        // Batches could overtake each other.
        Connection::Cluster(_) => 1,
    };
    loop {
        while in_flight.0.len() < max_batches {
            let mut items = Vec::new();
            shared.queue.pop_batch(MAX_BATCH_MESSAGES, MAX_BATCH_BYTES, &mut items);
            if items.is_empty() {
                break;
            }
            let mut reply = Box::pin(maybe_done(send(shared, connection.clone(), &mut items)));
            std::future::poll_fn(|cx| Poll::Ready(reply.as_mut().poll(cx).is_ready())).await;
            in_flight.0.push_back(Batch { items, reply });
        }
        let has_room = in_flight.0.len() < max_batches;
        let Some(first) = in_flight.0.front_mut() else {
            shared.has_outgoing.notified().await;
            continue;
        };
        tokio::select! {
            biased;
            () = first.reply.as_mut() => {}
            () = shared.has_outgoing.notified(), if has_room => continue,
        }
        match first.reply.as_mut().take_output() {
            Some(Ok(values)) => {
                let items = in_flight.0.pop_front().map(|batch| batch.items).unwrap_or_default();
                handle_replies(shared, items, values);
            }
            Some(Err(error)) => return error,
            None => {}
        }
    }
}

fn send(shared: &Shared, mut connection: Connection, items: &mut [Outgoing]) -> SendFuture {
    let format = shared.settings.format;
    let command = |item: &mut Outgoing| match item {
        Outgoing::Publish { publication, .. } => {
            let payload = std::mem::take(&mut publication.payload);
            let channel = std::mem::take(&mut publication.channel);
            Some(ChannelCommand { name: format.publish(), channel, payload: Some(payload) })
        }
        Outgoing::Count { namespace, .. } => {
            let channel = namespace.codec.counted_channel().to_owned();
            Some(ChannelCommand { name: format.count(), channel, payload: None })
        }
        Outgoing::Flushed(_) => None,
    };
    let commands: Vec<_> = items.iter_mut().filter_map(command).collect();
    if commands.is_empty() {
        return Box::pin(std::future::ready(Ok(Vec::new())));
    }
    Box::pin(async move { connection.send(commands).await })
}

fn handle_replies(shared: &Shared, items: Vec<Outgoing>, values: Vec<Value>) {
    let mut values = values.into_iter();
    for item in items {
        match item {
            Outgoing::Publish { namespace, bytes, recipient, message, .. } => match values.next() {
                Some(Value::ServerError(error)) => {
                    shared.counters.count_refused();
                    let error = PublishError::Refused(Arc::new(RedisError::from(error)));
                    if let Some(adapter) = namespace.adapter() {
                        adapter.handle_publish_error(&recipient, &message, &error);
                    }
                }
                _ => shared.counters.count_published(bytes),
            },
            Outgoing::Count { namespace, request } => match values.next() {
                // The user may not count. Requests last until their timeout then.
                Some(Value::ServerError(error)) => log_count_error(&namespace, &RedisError::from(error)),
                Some(value) => {
                    if let Some(adapter) = namespace.adapter() {
                        adapter.handle_server_count(request, sum(&value));
                        namespace.deadline_changed.notify_one();
                    }
                }
                None => {}
            },
            Outgoing::Flushed(_) => {}
        }
    }
}

fn log_count_error(namespace: &NamespaceState, error: &RedisError) {
    let channel = Excerpt(namespace.codec.counted_channel());
    tracing::warn!(%channel, %error, "Redis does not count the servers of the cluster");
}

/// Returns the sum of the numbers in a reply to PUBSUB NUMSUB, which has one for each node of a Redis Cluster.
fn sum(value: &Value) -> usize {
    match value {
        Value::Int(number) => usize::try_from(*number).unwrap_or(0),
        Value::Array(values) => values.iter().map(sum).sum(),
        Value::Map(members) => members.iter().map(|(_, value)| sum(value)).sum(),
        _ => 0,
    }
}

impl InFlight {
    /// Reports what was on its way when the link was lost.
    pub(crate) fn report_lost(self, shared: &Shared) {
        for item in self.0.into_iter().flat_map(|batch| batch.items) {
            if let Outgoing::Publish { namespace, recipient, message, .. } = item {
                shared.counters.count_lost(1);
                if let Some(adapter) = namespace.adapter() {
                    adapter.handle_publish_error(&recipient, &message, &PublishError::LinkLost);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_of_all_nodes_are_added() {
        let name = || Value::BulkString(b"channel 7".to_vec());
        let node = |count| Value::Array(vec![name(), Value::Int(count)]);
        assert_eq!(sum(&node(3)), 3);
        assert_eq!(sum(&Value::Map(vec![(name(), Value::Int(2))])), 2);
        assert_eq!(sum(&Value::Map(vec![(name(), node(1)), (name(), node(2))])), 3);
        assert_eq!(sum(&node(-1)) + sum(&Value::Nil), 0);
    }
}
