//! The format of `@socket.io/postgres-adapter`: notifications of PostgreSQL, and a table for what does not fit into them.

use serde_json::value::RawValue;
use socketio_proto::message_pack::Dialect;

use super::cluster_message::{Frame, Origin, number_of};
use super::document::Document;
use super::fields::read_sender;
use super::writer::{Binary, Writer};
use super::{DecodeError, DecodeLimits, FormatError, Publication, Received};
use crate::cluster::{Message, NodeId};

/// The format of `@socket.io/postgres-adapter`, for one namespace, and of `@socket.io/postgres-emitter`.
///
/// A driver listens on the [channel](Self::channel). It sends what [`encode`](Self::encode) returns, and passes the payloads
/// of notifications to [`decode`](Self::decode). A message with binary values, or one that is too long for a notification, is
/// a row of a table, and its notification has the id of the row. All messages reach all servers, also replies.
///
/// ```
/// use tidewire_adapter::cluster::codec::{DecodeLimits, Notification, Notified, PostgresCodec};
/// use tidewire_adapter::cluster::{Message, NodeId};
/// use tidewire_adapter::{BroadcastOptions, EncodedEvent, MessageEncoder};
///
/// let (one, two) = (PostgresCodec::new("/", &NodeId::from("one")), PostgresCodec::new("/", &NodeId::from("two")));
/// let event = EncodedEvent::encode(&mut MessageEncoder::new(), "/", None, "text", &"x".repeat(10_000))?;
/// let message = Message::Broadcast { event, options: BroadcastOptions::new(), ack: None, sequence: None };
///
/// let Notification::Row(row) = one.encode(&message)? else { panic!("it is too long for a notification") };
/// // The driver inserts `row.content`, and gets the id of the row.
/// let published = row.notification("7");
/// assert_eq!(published.payload, br#"{"uid":"one","type":3,"attachmentId":"7"}"#);
///
/// let limits = DecodeLimits::default();
/// let Some(Notified::Row { id, .. }) = two.decode(&published.payload, &limits)? else { panic!("it is a row") };
/// assert_eq!(&*id, "7");
/// let received = two.decode_row(&row.content, &limits)?.unwrap();
/// assert_eq!(received.sender, Some(NodeId::from("one")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct PostgresCodec {
    origin: Origin,
    channel: Box<str>,
    max_payload: usize,
}

/// What a driver sends for a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notification {
    /// A notification, for `pg_notify`.
    Payload(Publication),
    /// A row, and then a notification with its id.
    Row(Row),
}

/// A message that is a row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The content of the column `payload`.
    pub content: Vec<u8>,
    channel: Box<str>,
    uid: Box<str>,
    number: u64,
}

/// What a notification says.
#[derive(Debug, Clone)]
pub enum Notified {
    /// A message.
    Message(Received),
    /// A row of the table has the message. The driver reads it, and passes it to [`PostgresCodec::decode_row`].
    Row {
        /// The id of the row: decimal digits.
        id: Box<str>,
        /// The server that has sent it. `None` if it is from an emitter.
        sender: Option<NodeId>,
    },
}

/// The library that the adapter uses.
const DIALECT: Dialect = Dialect::Official;

/// The most digits that the id of a row has: those of `bigint`.
const MAX_ROW_ID_LEN: usize = 19;

impl PostgresCodec {
    /// The default of the option `channelPrefix`.
    pub const DEFAULT_PREFIX: &'static str = "socket.io";

    /// The longest payload that PostgreSQL accepts, in bytes. Version 0.5.0 of the adapter sends one byte more, which is an
    /// error.
    pub const MAX_PAYLOAD: usize = 7_999;

    /// Creates the codec of a server in a namespace, with the default prefix.
    #[must_use]
    pub fn new(namespace: &str, id: &NodeId) -> Self {
        Self::with_prefix(Self::DEFAULT_PREFIX, namespace, id)
    }

    /// Creates the codec of a server in a namespace. `prefix` is the option `channelPrefix`.
    #[must_use]
    pub fn with_prefix(prefix: &str, namespace: &str, id: &NodeId) -> Self {
        Self::create(prefix, namespace, Some(id.clone()))
    }

    /// Creates the codec of an emitter: a program that sends to the servers and is none, as with
    /// `@socket.io/postgres-emitter`. It cannot send requests, because it receives no replies.
    ///
    /// Its messages name their namespace. Those of `@socket.io/postgres-emitter` 0.1.1 do not, so version 0.5.0 of the adapter
    /// ignores them.
    #[must_use]
    pub fn emitter(prefix: &str, namespace: &str) -> Self {
        Self::create(prefix, namespace, None)
    }

    fn create(prefix: &str, namespace: &str, id: Option<NodeId>) -> Self {
        Self {
            origin: Origin::new(namespace, id),
            channel: format!("{prefix}#{namespace}").into(),
            max_payload: Self::MAX_PAYLOAD,
        }
    }

    /// Sends messages with more bytes as rows: one less than the option `payloadThreshold`. It is at most
    /// [`MAX_PAYLOAD`](Self::MAX_PAYLOAD), which is the default.
    #[must_use]
    pub fn with_max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = bytes.min(Self::MAX_PAYLOAD);
        self
    }

    /// Returns the channel. PostgreSQL accepts at most 63 bytes.
    #[must_use]
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// Encodes a message.
    ///
    /// # Errors
    /// Returns an error if the format has no such message: those of connection state recovery, and those that only
    /// [`RedisCodec`](super::RedisCodec) has. An emitter has no requests, no replies and no heartbeats either.
    pub fn encode(&self, message: &Message) -> Result<Notification, FormatError> {
        // The adapter looks for binary values in all messages that may have them, except in this one.
        let ignores_binary = matches!(message, Message::FetchSocketsResponse { .. });
        let mut writer = Writer::new(if ignores_binary { Binary::Numbers } else { Binary::Attachments });
        self.origin.write(message, &mut writer)?;
        if !writer.has_binary() && writer.len() <= self.max_payload {
            let channel = self.channel.to_string();
            return Ok(Notification::Payload(Publication { channel, payload: writer.into_json() }));
        }
        if ignores_binary {
            writer = Writer::new(Binary::Attachments);
            self.origin.write(message, &mut writer)?;
        }
        Ok(Notification::Row(Row {
            content: writer.to_message_pack(DIALECT)?,
            channel: self.channel.clone(),
            uid: self.origin.uid().into(),
            number: number_of(message).ok_or_else(|| FormatError::no_form(message))?,
        }))
    }

    /// Decodes the payload of a notification. Returns `None` if the message is this server's own, or belongs to another
    /// namespace.
    ///
    /// # Errors
    /// Returns an error if it is not a message of this format, or if it exceeds a limit.
    pub fn decode(&self, payload: &[u8], limits: &DecodeLimits) -> Result<Option<Notified>, DecodeError> {
        if payload.first() != Some(&b'{') {
            return Err(DecodeError::NotJson);
        }
        let document = Document::read(payload, DIALECT, limits)?;
        let frame: Frame<'_> = document.parse()?;
        let Some(id) = frame.attachment_id() else {
            let received = self.origin.read_frame(&frame, &document, limits)?;
            return Ok(received.map(Notified::Message));
        };
        if self.origin.id().is_some_and(|own| frame.uid() == Some(own.as_str())) {
            return Ok(None);
        }
        let id = row_id(id).ok_or(DecodeError::InvalidRowId)?;
        Ok(Some(Notified::Row { id: id.into(), sender: read_sender(frame.uid())? }))
    }

    /// Decodes the content of a row. Returns `None` as [`decode`](Self::decode) does.
    ///
    /// # Errors
    /// Returns an error if it is not a message of this format, or if it exceeds a limit.
    pub fn decode_row(&self, content: &[u8], limits: &DecodeLimits) -> Result<Option<Received>, DecodeError> {
        self.origin.read(&Document::read(content, DIALECT, limits)?, limits)
    }
}

/// Returns the digits of the id of a row. The driver of Node returns a `bigint` as text.
fn row_id(raw: &RawValue) -> Option<&str> {
    let text = raw.get();
    let digits = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let is_id =
        matches!(digits.len(), 1..=MAX_ROW_ID_LEN) && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_id.then_some(digits)
}

impl Row {
    /// Returns the channel of the notification.
    #[must_use]
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// Returns the notification, which is sent when the row has been inserted. `id` is the id of the row.
    #[must_use]
    pub fn notification(&self, id: &str) -> Publication {
        let (before, after) = self.payload_around_id();
        Publication {
            channel: self.channel.to_string(),
            payload: format!("{before}{id}{after}").into_bytes(),
        }
    }

    /// Returns the payload of the notification before the id of the row and after it. So one statement can insert the row and
    /// send the notification.
    #[must_use]
    pub fn payload_around_id(&self) -> (String, &'static str) {
        let mut writer = Writer::new(Binary::Numbers);
        writer.raw(r#"{"uid":"#).string(&self.uid).raw(r#","type":"#).number(self.number);
        writer.raw(r#","attachmentId":""#);
        let before = String::from_utf8(writer.into_json()).expect("JSON is UTF-8");
        (before, r#""}"#)
    }
}
