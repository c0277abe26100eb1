//! The trait of parsers: how packets become Engine.IO messages, and the reverse.
//!
//! Both ends of a connection must use the same parser, because the protocol does not negotiate it. The default parser
//! is built into the [`Decoder`](crate::Decoder) and the functions of [`encode`](crate::encode). Every other parser
//! implements [`Parser`], also the [`MessagePackParser`](crate::MessagePackParser).
//!
//! Packets have one form inside this library: their data is JSON text, in which placeholders stand for binary values.
//! So everything that reads and writes data works with every parser. A parser converts this form to its own and back.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
pub use engineio_proto::MessageBatch;
use engineio_proto::{EncodedMessage, MessageEncoder, SharedBatch, SharedMessage};
use serde::Serialize;
use smallvec::SmallVec;

use crate::error::{ArgumentsError, DecodeError, EncodeError};
pub use crate::packet::PacketType;
use crate::serializer::write_value;
use crate::value::{Value, parse_prefix};
use ws_proto::Excerpt;

/// Converts packets to messages and back. One parser serves all connections of a server or a client.
///
/// This parser writes each packet as one JSON text, without binary data:
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use tidewire_socketio_proto::parser::{
///     IncomingPacket, Message, MessageBatch, OutgoingPacket, PacketDecoder, PacketType, Parser,
/// };
/// use tidewire_socketio_proto::{DecodeError, EncodeError, Value};
///
/// #[derive(Debug)]
/// struct JsonParser;
///
/// #[derive(Serialize, Deserialize)]
/// struct JsonPacket {
///     r#type: u8,
///     nsp: String,
///     #[serde(default, skip_serializing_if = "Option::is_none")]
///     id: Option<u64>,
///     #[serde(default, skip_serializing_if = "Option::is_none")]
///     data: Option<Value>,
/// }
///
/// impl Parser for JsonParser {
///     fn decoder(&self) -> Box<dyn PacketDecoder> {
///         Box::new(JsonDecoder)
///     }
///
///     fn encode(&self, packet: &OutgoingPacket<'_>, messages: &mut MessageBatch) -> Result<(), EncodeError> {
///         let packet = JsonPacket {
///             r#type: packet.packet_type().number(),
///             nsp: packet.namespace().to_owned(),
///             id: packet.id(),
///             data: packet.data().map_err(EncodeError::custom)?,
///         };
///         messages.push_text(&serde_json::to_string(&packet).map_err(EncodeError::custom)?);
///         Ok(())
///     }
/// }
///
/// struct JsonDecoder;
///
/// impl PacketDecoder for JsonDecoder {
///     fn decode<'m>(&mut self, message: Message<'m>) -> Result<Option<IncomingPacket<'m>>, DecodeError> {
///         let Message::Text(text) = message else { return Err(DecodeError::custom("no text")) };
///         let packet: JsonPacket = serde_json::from_str(text).map_err(DecodeError::custom)?;
///         let packet_type = PacketType::from_number(packet.r#type).ok_or(DecodeError::custom("no type"))?;
///         let mut incoming = IncomingPacket::new(packet_type, packet.nsp);
///         if let Some(id) = packet.id {
///             incoming = incoming.with_id(id);
///         }
///         if let Some(data) = packet.data {
///             incoming = incoming.with_data(&data).map_err(DecodeError::custom)?;
///         }
///         Ok(Some(incoming))
///     }
/// }
/// ```
pub trait Parser: Any + fmt::Debug + Send + Sync {
    /// Creates the decoder of a new connection.
    fn decoder(&self) -> Box<dyn PacketDecoder>;

    /// Encodes a packet as one or more messages, which are sent together. It must not block, and must not call the
    /// server or the client, whose locks may be held.
    ///
    /// # Errors
    /// Returns an error if the parser has no form for the packet. The packet is then not sent.
    fn encode(&self, packet: &OutgoingPacket<'_>, messages: &mut MessageBatch) -> Result<(), EncodeError>;
}

/// Reads the packets of one connection.
pub trait PacketDecoder: Send {
    /// Processes the next message. Returns `None` if the packet continues with another message. That message must then
    /// arrive within the timeout of attachments.
    ///
    /// # Errors
    /// Returns an error if the message is not valid. The connection is then closed, as for an error of the default
    /// parser, and the decoder is dropped.
    fn decode<'m>(&mut self, message: Message<'m>) -> Result<Option<IncomingPacket<'m>>, DecodeError>;

    /// Returns the number of bytes that the decoder stores for an incomplete packet. They count in the memory budget. If
    /// they exceed [`DecoderLimits::max_attachment_bytes`](crate::DecoderLimits::max_attachment_bytes), which is
    /// 10,000,000 in a server, the connection is closed. Default 0.
    fn pending_bytes(&self) -> usize {
        0
    }
}

/// A message of Engine.IO, as a [`PacketDecoder`] receives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message<'m> {
    /// A text message.
    Text(&'m str),
    /// A binary message.
    Binary(Cow<'m, [u8]>),
}

/// A packet that a [`PacketDecoder`] has read. What the protocol requires of a packet is checked later, in the same way
/// for all parsers: the data must fit the type, the name of an event must not be reserved, and so on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncomingPacket<'m> {
    pub(crate) packet_type: PacketType,
    pub(crate) namespace: Cow<'m, str>,
    pub(crate) id: Option<u64>,
    pub(crate) data: Option<Cow<'m, str>>,
    pub(crate) attachments: Vec<Bytes>,
}

impl<'m> IncomingPacket<'m> {
    /// Creates a packet without id and data. `namespace` includes its leading slash.
    /// [`BinaryEvent`](PacketType::BinaryEvent) and [`BinaryAck`](PacketType::BinaryAck) mean the same as
    /// [`Event`](PacketType::Event) and [`Ack`](PacketType::Ack).
    #[must_use]
    pub fn new(packet_type: PacketType, namespace: impl Into<Cow<'m, str>>) -> Self {
        Self { packet_type, namespace: namespace.into(), id: None, data: None, attachments: Vec::new() }
    }

    /// Sets the id of the acknowledgement.
    #[must_use]
    pub fn with_id(mut self, id: u64) -> Self {
        self.id = Some(id);
        self
    }

    /// Sets the data: the list of the name and the arguments of an event, the list of the arguments of an
    /// acknowledgement, or the payload of another packet. Values that serialize as bytes become binary data. Only events
    /// and acknowledgements can have binary data.
    ///
    /// # Errors
    /// Returns an error if the data cannot be written as JSON.
    pub fn with_data<T: Serialize + ?Sized>(self, data: &T) -> Result<Self, EncodeError> {
        let mut encoder = MessageEncoder::new();
        encoder.lift_attachment_limit();
        encoder.begin();
        encoder.begin_body();
        let (text, attachments) = encoder.text_and_attachments();
        write_value(text, Some(attachments), data)?;
        let message = encoder.finish();
        let attachments = message.attachments().map(Bytes::copy_from_slice).collect();
        Ok(self.with_json(message.body().to_owned(), attachments))
    }

    /// Sets the data as JSON text. The objects `{"_placeholder":true,"num":N}` in it stand for the elements of
    /// `attachments`. If there are no attachments, such objects have no special meaning.
    #[must_use]
    pub fn with_json(mut self, data: impl Into<Cow<'m, str>>, attachments: Vec<Bytes>) -> Self {
        self.data = Some(data.into());
        self.attachments = attachments;
        self
    }
}

/// A packet that a [`Parser`] encodes.
#[derive(Debug, Clone)]
pub struct OutgoingPacket<'a> {
    packet_type: PacketType,
    namespace: &'a str,
    id: Option<u64>,
    json: Option<&'a str>,
    attachments: SmallVec<[&'a [u8]; 1]>,
}

impl<'a> OutgoingPacket<'a> {
    /// Reads the form of the default parser. `body` is the end of `text` that has the data.
    fn new(text: &'a str, body: &'a str, attachments: impl Iterator<Item = &'a [u8]>) -> Self {
        let head = &text[..text.len() - body.len()];
        let (digit, head) = head.split_at(1);
        let packet_type = digit.chars().next().and_then(PacketType::from_digit);
        let packet_type = match packet_type.expect("the encoder writes a type") {
            PacketType::BinaryEvent => PacketType::Event,
            PacketType::BinaryAck => PacketType::Ack,
            packet_type => packet_type,
        };
        // In front of the namespace, the number of attachments ends with '-', which no id contains.
        let (before_id, id) = head.rsplit_once(',').map_or(("", head), |(before, id)| (before, id));
        let id = id.rsplit_once('-').map_or(id, |(_, id)| id);
        let namespace = before_id.find('/').map_or("/", |start| &before_id[start..]);
        Self {
            packet_type,
            namespace,
            id: id.parse().ok(),
            json: (!body.is_empty()).then_some(body),
            attachments: attachments.collect(),
        }
    }

    /// Returns the type. Whether the packet has binary data makes no difference: it is never
    /// [`BinaryEvent`](PacketType::BinaryEvent) or [`BinaryAck`](PacketType::BinaryAck).
    #[must_use]
    pub fn packet_type(&self) -> PacketType {
        self.packet_type
    }

    /// Returns the namespace, with its leading slash.
    #[must_use]
    pub fn namespace(&self) -> &'a str {
        self.namespace
    }

    /// Returns the id of the acknowledgement: the one that an event requests, or the one that this packet is.
    #[must_use]
    pub fn id(&self) -> Option<u64> {
        self.id
    }

    /// Returns the data as JSON text: the list of the name and the arguments of an event, the list of the arguments of
    /// an acknowledgement, or the payload of another packet. The objects `{"_placeholder":true,"num":N}` in it stand for
    /// the [attachments](Self::attachments), if there are any.
    #[must_use]
    pub fn json(&self) -> Option<&'a str> {
        self.json
    }

    /// Returns the binary values of the data, in the order of their placeholders.
    #[must_use]
    pub fn attachments(&self) -> &[&'a [u8]] {
        &self.attachments
    }

    /// Returns the data as a value, with the binary values in it.
    ///
    /// # Errors
    /// Returns an error if the data is nested deeper than 127 levels.
    pub fn data(&self) -> Result<Option<Value>, ArgumentsError> {
        let Some(json) = self.json else { return Ok(None) };
        let attachments: Vec<Bytes> =
            self.attachments.iter().map(|data| Bytes::copy_from_slice(data)).collect();
        match parse_prefix(json, &attachments) {
            Ok((value, _)) => Ok(Some(value)),
            Err(error) => Err(ArgumentsError::InvalidPayload { reason: Excerpt(error).to_string() }),
        }
    }
}

/// Encodes a message of the default parser with another one, into `batch`, which is cleared first.
///
/// # Errors
/// Returns the error of the parser.
pub fn encode_with(
    parser: &dyn Parser,
    message: &EncodedMessage<'_>,
    batch: &mut MessageBatch,
) -> Result<(), EncodeError> {
    batch.clear();
    batch.set_compression(message.allows_compression());
    parser.encode(&OutgoingPacket::new(message.text(), message.body(), message.attachments()), batch)
}

/// Encodes a message of the default parser with another one, for any number of receivers. For each parser this is done
/// once, by the first call. Later calls, also for clones of the message, return the same memory.
///
/// # Errors
/// Returns the error of the parser, as [`EncodeError::Parser`].
pub fn encode_shared_with(
    parser: &Arc<dyn Parser>,
    message: &SharedMessage,
) -> Result<SharedBatch, EncodeError> {
    let converter: Arc<dyn Any + Send + Sync> = Arc::<dyn Parser>::clone(parser);
    let converted = message.converted(&converter, || {
        let attachments = message.attachments().iter().map(|data| &**data);
        let packet = OutgoingPacket::new(message.text(), message.body(), attachments);
        let mut batch = MessageBatch::new();
        batch.set_compression(message.allows_compression());
        match parser.encode(&packet, &mut batch) {
            Ok(()) => Ok(batch.to_shared()),
            Err(EncodeError::Parser { reason }) => Err(reason),
            Err(error) => Err(error.to_string()),
        }
    });
    converted.map_err(|reason| EncodeError::Parser { reason })
}
