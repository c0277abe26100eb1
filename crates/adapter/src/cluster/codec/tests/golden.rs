//! What the official adapters and emitters publish. `conformance/node/support/cluster-golden.js` made the table, with the
//! adapters themselves.

use serde::Deserialize;
use serde_json::Value as Json;

use super::{describe, from_hex, readable};
use crate::cluster::codec::{
    DecodeLimits, Notification, Notified, PostgresCodec, RedisCodec, ShardedRedisCodec, SubscriptionMode,
};
use crate::cluster::{Message, NodeId, Recipient};

#[derive(Deserialize)]
struct Golden {
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    format: String,
    namespace: String,
    /// The server that asks. An emitter has no name.
    one: Option<String>,
    /// The server that replies.
    two: Option<String>,
    message: Json,
    channel: String,
    hex: String,
    /// The content of a row of PostgreSQL.
    attachment: Option<String>,
}

impl Row {
    fn is_reply(&self) -> bool {
        let name = self.message["name"].as_str().expect("a name");
        name.ends_with("_response") || matches!(name, "broadcast_client_count" | "broadcast_ack")
    }

    /// Returns the server that has sent the message.
    fn sender(&self) -> Option<NodeId> {
        let name = if self.is_reply() { &self.two } else { &self.one };
        name.as_deref().map(NodeId::from)
    }

    fn recipient(&self) -> Recipient {
        match &self.one {
            Some(one) if self.is_reply() => Recipient::Node(NodeId::from(&**one)),
            _ => Recipient::All,
        }
    }
}

/// Returns the rows of a format.
fn rows(format: &str) -> Vec<Row> {
    let golden: Golden = serde_json::from_str(include_str!("../golden.json")).expect("the table is JSON");
    let rows: Vec<Row> = golden.rows.into_iter().filter(|row| row.format == format).collect();
    assert!(!rows.is_empty(), "{format}");
    rows
}

fn redis(row: &Row) -> RedisCodec {
    let codec = match row.sender() {
        Some(id) => RedisCodec::new(&row.namespace, &id),
        None => RedisCodec::emitter(RedisCodec::DEFAULT_KEY, &row.namespace),
    };
    if row.format == "redis-specific" { codec.with_response_channels() } else { codec }
}

#[test]
fn redis_messages_are_read_and_written_like_the_adapter_does() {
    for format in ["redis", "redis-specific", "redis-emitter"] {
        for row in rows(format) {
            let (payload, limits) = (from_hex(&row.hex), DecodeLimits::default());
            let receiver = RedisCodec::new(&row.namespace, &NodeId::from("receiver"));
            let received = receiver.decode(&row.channel, &payload, &limits);
            let received = received.expect("the message is valid").expect("it is from another server");
            assert_eq!(describe(&received.message), row.message);
            // Replies do not name their sender.
            assert_eq!(received.sender, row.sender().filter(|_| !row.is_reply()), "{}", row.message);

            let codec = redis(&row);
            let written = codec.encode(&row.recipient(), &received.message).expect("the message has a form");
            assert_eq!(written.channel, row.channel);
            assert_eq!(readable(&written.payload), readable(&payload), "{}", row.message);
            if format != "redis-emitter" && !row.is_reply() {
                let own = codec.decode(&row.channel, &payload, &limits).expect("the message is valid");
                assert!(own.is_none(), "a server ignores its own messages");
            }
        }
    }
}

#[test]
fn binary_values_in_a_redis_request_are_lists_of_numbers() {
    let row = rows("redis").into_iter().find(|row| row.message["event"][1]["type"] == "Buffer");
    let row = row.expect("Node has sent a buffer");
    let mut encoder = crate::MessageEncoder::new();
    let image = bytes::Bytes::from_static(&[0, 1, 255]);
    let event = crate::EncodedEvent::encode(&mut encoder, "/", None, "side", &image).expect("it is encoded");
    let message = Message::ServerSideEmit { event, request: None };
    let written = redis(&row).encode(&Recipient::All, &message).expect("the message has a form");
    assert_eq!(readable(&written.payload), readable(&from_hex(&row.hex)));
}

#[test]
fn sharded_redis_messages_are_read_and_written_like_the_adapter_does() {
    for (format, mode) in [
        ("sharded-static", SubscriptionMode::Static),
        ("sharded-dynamic", SubscriptionMode::Dynamic),
        ("sharded-dynamic-private", SubscriptionMode::DynamicPrivate),
    ] {
        for row in rows(format) {
            let (payload, limits) = (from_hex(&row.hex), DecodeLimits::default());
            let codec = |id: &NodeId| ShardedRedisCodec::new(&row.namespace, id, mode);
            let receiver = codec(&NodeId::from("receiver"));
            let received = receiver.decode(&row.channel, &payload, &limits);
            let received = received.expect("the message is valid").expect("it is from another server");
            assert_eq!(describe(&received.message), row.message);
            assert_eq!(received.sender, row.sender());

            let sender = codec(&row.sender().expect("a server has sent it"));
            let written = sender.encode(&row.recipient(), &received.message).expect("the message has a form");
            assert_eq!(written.channel, row.channel);
            assert_eq!(readable(&written.payload), readable(&payload), "{}", row.message);
            let own = sender.decode(&row.channel, &payload, &limits).expect("the message is valid");
            assert!(own.is_none(), "a server ignores its own messages");
        }
    }
}

fn postgres(row: &Row, id: Option<NodeId>) -> PostgresCodec {
    let codec = match id {
        Some(id) => PostgresCodec::new(&row.namespace, &id),
        None => PostgresCodec::emitter(PostgresCodec::DEFAULT_PREFIX, &row.namespace),
    };
    if row.format.starts_with("postgres-100") { codec.with_max_payload(100) } else { codec }
}

#[test]
fn postgres_messages_are_read_and_written_like_the_adapter_does() {
    for format in ["postgres", "postgres-100", "postgres-emitter", "postgres-100-emitter"] {
        for row in rows(format) {
            let (payload, limits) = (from_hex(&row.hex), DecodeLimits::default());
            let receiver = postgres(&row, Some(NodeId::from("receiver")));
            assert_eq!(receiver.channel(), row.channel);
            let notified = receiver.decode(&payload, &limits);
            let content = row.attachment.as_deref().map(from_hex);
            let received = match notified.expect("the message is valid").expect("it is from another server") {
                Notified::Message(received) => {
                    assert_eq!(content, None);
                    received
                }
                Notified::Row { sender, .. } => {
                    assert_eq!(sender, row.sender());
                    let content = content.as_deref().expect("the message is a row");
                    receiver.decode_row(content, &limits).expect("the row is valid").expect("it is not own")
                }
            };
            assert_eq!(describe(&received.message), row.message);
            assert_eq!(received.sender, row.sender());

            let sender = postgres(&row, row.sender());
            if row.sender().is_some() {
                let own = sender.decode(&payload, &limits).expect("the message is valid");
                assert!(own.is_none(), "a server ignores its own messages");
            }
            let written = sender.encode(&received.message).expect("the message has a form");
            check_postgres(&row, written, &payload, content.as_deref());
        }
    }
}

/// Compares what we send for a message with what Node sends.
fn check_postgres(row: &Row, written: Notification, payload: &[u8], content: Option<&[u8]>) {
    let is_emitter = row.sender().is_none();
    // The emitter of Node does not name the namespace, so the adapter ignores its messages.
    let namespace = format!(r#","nsp":"{}"}}"#, row.namespace);
    match written {
        Notification::Payload(written) => {
            assert_eq!((&written.channel, content), (&row.channel, None));
            let mut expected = readable(payload);
            if is_emitter {
                expected.truncate(expected.len() - 1);
                expected.push_str(&readable(namespace.as_bytes()));
            }
            assert_eq!(readable(&written.payload), expected, "{}", row.message);
        }
        Notification::Row(written) => {
            let mut expected = content.expect("Node has written a row").to_vec();
            if is_emitter {
                expected[0] += 1;
                expected.extend_from_slice(b"\xa3nsp\xa5/chat");
            }
            assert_eq!(readable(&written.content), readable(&expected), "{}", row.message);
            let id: Json = serde_json::from_slice(payload).expect("it is JSON");
            let notification = written.notification(id["attachmentId"].as_str().expect("the id is a text"));
            assert_eq!(notification.channel, row.channel);
            assert_eq!(readable(&notification.payload), readable(payload));
        }
    }
}
