//! The format of `createAdapter` of `@socket.io/redis-adapter`: publish and subscribe of any version of Redis.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use socketio_proto::message_pack::Dialect;
use socketio_proto::{EncodeError, EncodedEvent};

use super::cluster_message::{name_of, reason_of};
use super::document::Document;
use super::fields::{
    Options, Packet, RoomReader, present, read_ids, read_request, read_sender, read_sockets,
};
use super::writer::{Binary, Writer};
use super::{DecodeError, DecodeLimits, EMITTER, FormatError, Publication, Received};
use crate::cluster::{AckRequest, Message, NodeId, Recipient};
use crate::options::BroadcastOptions;
use crate::room::Room;

/// The format of `createAdapter` of `@socket.io/redis-adapter`, for one namespace.
///
/// A driver subscribes to the [pattern](Self::pattern) and to the [channels](Self::channels). It publishes what
/// [`encode`](Self::encode) returns, and passes what arrives to [`decode`](Self::decode). Broadcasts are MessagePack, as are
/// requests and replies that may have binary values. Other requests and replies are JSON, in which a binary value is an
/// object with a list of numbers, as in Node.
///
/// This format has no heartbeats. Node asks Redis for the number of subscribers of the
/// [request channel](Self::request_channel), and waits for so many replies. Replies do not name their sender.
///
/// ```
/// use tidewire_adapter::cluster::codec::{DecodeLimits, RedisCodec};
/// use tidewire_adapter::cluster::{Message, NodeId, Recipient};
/// use tidewire_adapter::{BroadcastOptions, EncodedEvent, MessageEncoder};
///
/// let event = EncodedEvent::encode(&mut MessageEncoder::new(), "/", None, "hello", &1)?;
/// let options = BroadcastOptions::new().to("news");
/// let message = Message::Broadcast { event, options, ack: None, sequence: None };
///
/// let one = RedisCodec::new("/", &NodeId::from("one"));
/// let published = one.encode(&Recipient::All, &message)?;
/// assert_eq!(published.channel, "socket.io#/#news#");
///
/// let two = RedisCodec::new("/", &NodeId::from("two"));
/// assert_eq!(two.room(&published.channel), Some("news"));
/// let received = two.decode(&published.channel, &published.payload, &DecodeLimits::default())?.unwrap();
/// assert_eq!(received.sender, Some(NodeId::from("one")));
/// assert!(matches!(received.message, Message::Broadcast { event, .. } if event.json() == r#"["hello",1]"#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct RedisCodec {
    namespace: Box<str>,
    sender: Sender,
    /// Each ends with `#`.
    broadcast_channel: Box<str>,
    request_channel: Box<str>,
    response_channel: Box<str>,
    uses_response_channels: bool,
}

#[derive(Debug, Clone)]
enum Sender {
    Server(NodeId),
    Emitter,
}

/// The types of requests and replies.
mod types {
    pub(super) const SOCKETS: u64 = 0;
    pub(super) const ALL_ROOMS: u64 = 1;
    pub(super) const REMOTE_JOIN: u64 = 2;
    pub(super) const REMOTE_LEAVE: u64 = 3;
    pub(super) const REMOTE_DISCONNECT: u64 = 4;
    pub(super) const REMOTE_FETCH: u64 = 5;
    pub(super) const SERVER_SIDE_EMIT: u64 = 6;
    pub(super) const BROADCAST: u64 = 7;
    pub(super) const BROADCAST_CLIENT_COUNT: u64 = 8;
    pub(super) const BROADCAST_ACK: u64 = 9;
    /// Ours, as the next one. Node ignores types that it does not know.
    pub(super) const BROADCAST_MISSING: u64 = 100;
    pub(super) const CLOSE: u64 = 101;
}

/// The version of `notepack.io` that the adapter uses.
const DIALECT: Dialect = Dialect::Notepack3;

impl RedisCodec {
    /// The default of the option `key`.
    pub const DEFAULT_KEY: &'static str = "socket.io";

    /// Creates the codec of a server in a namespace, with the default key.
    #[must_use]
    pub fn new(namespace: &str, id: &NodeId) -> Self {
        Self::with_key(Self::DEFAULT_KEY, namespace, id)
    }

    /// Creates the codec of a server in a namespace. `key` is the option of this name.
    #[must_use]
    pub fn with_key(key: &str, namespace: &str, id: &NodeId) -> Self {
        Self::create(key, namespace, Sender::Server(id.clone()))
    }

    /// Creates the codec of an emitter: a program that sends to the servers and is none, as with
    /// `@socket.io/redis-emitter`. It cannot send requests, because it receives no replies.
    #[must_use]
    pub fn emitter(key: &str, namespace: &str) -> Self {
        Self::create(key, namespace, Sender::Emitter)
    }

    fn create(key: &str, namespace: &str, sender: Sender) -> Self {
        Self {
            namespace: namespace.into(),
            sender,
            broadcast_channel: format!("{key}#{namespace}#").into(),
            request_channel: format!("{key}-request#{namespace}#").into(),
            response_channel: format!("{key}-response#{namespace}#").into(),
            uses_response_channels: false,
        }
    }

    /// Sends replies only to the server that has asked: the option `publishOnSpecificResponseChannel`. Every server receives
    /// such replies, whatever its own option is. The response to a server-side event goes to all servers anyway, as in Node.
    #[must_use]
    pub fn with_response_channels(mut self) -> Self {
        self.uses_response_channels = true;
        self
    }

    /// Returns the pattern of the channels of broadcasts, for `PSUBSCRIBE`. The characters `*?[]\` of a namespace are escaped.
    /// In Node, they are a part of the pattern: clients that may choose the names of namespaces can then make each server get
    /// the messages of other namespaces, as often as they have such names.
    #[must_use]
    pub fn pattern(&self) -> String {
        let mut pattern = String::with_capacity(self.broadcast_channel.len() + 1);
        for character in self.broadcast_channel.chars() {
            if matches!(character, '*' | '?' | '[' | ']' | '\\') {
                pattern.push('\\');
            }
            pattern.push(character);
        }
        pattern.push('*');
        pattern
    }

    /// Returns the other channels, for `SUBSCRIBE`: requests, replies, and replies to this server only. Subscribe to each
    /// once, because Node counts the subscribers.
    #[must_use]
    pub fn channels(&self) -> Vec<String> {
        let mut channels = vec![self.request_channel.to_string(), self.response_channel.to_string()];
        if let Sender::Server(id) = &self.sender {
            channels.push(self.response_channel_of(id));
        }
        channels
    }

    /// Returns the channel of requests. Each server subscribes to it, so `PUBSUB NUMSUB` counts the servers.
    #[must_use]
    pub fn request_channel(&self) -> &str {
        &self.request_channel
    }

    /// Returns the room that a broadcast on this channel is for, if it is for one room. If no socket of the server is in that
    /// room, the driver need not decode the message.
    #[must_use]
    pub fn room<'c>(&self, channel: &'c str) -> Option<&'c str> {
        let room = channel.strip_prefix(&*self.broadcast_channel)?;
        room.strip_suffix('#').filter(|room| !room.is_empty())
    }

    fn response_channel_of(&self, id: &NodeId) -> String {
        format!("{}{id}#", self.response_channel)
    }

    fn uid(&self) -> &str {
        match &self.sender {
            Sender::Server(id) => id.as_str(),
            Sender::Emitter => EMITTER,
        }
    }

    /// Encodes a message. The recipient matters for replies only, which are then published on the channel of that server.
    ///
    /// # Errors
    /// Returns an error if the format has no such message: heartbeats, and those of connection state recovery. An emitter has no
    /// requests and replies either.
    pub fn encode(&self, recipient: &Recipient, message: &Message) -> Result<Publication, FormatError> {
        if let Message::Broadcast { event, options, ack: None, .. } = message {
            return self.encode_broadcast(event, options);
        }
        let is_message_pack = matches!(message, Message::Broadcast { .. } | Message::BroadcastAck { .. });
        let mut writer = Writer::new(if is_message_pack { Binary::Attachments } else { Binary::Numbers });
        let channel = match self.write(message, &mut writer)? {
            Channel::Request => self.request_channel.to_string(),
            Channel::CommonResponse => self.response_channel.to_string(),
            Channel::Response => match recipient {
                Recipient::Node(id) if self.uses_response_channels => self.response_channel_of(id),
                _ => self.response_channel.to_string(),
            },
        };
        let payload = if is_message_pack { writer.to_message_pack(DIALECT)? } else { writer.into_json() };
        Ok(Publication { channel, payload })
    }

    fn encode_broadcast(
        &self,
        event: &EncodedEvent,
        options: &BroadcastOptions,
    ) -> Result<Publication, FormatError> {
        let mut writer = Writer::new(Binary::Attachments);
        writer.raw("[").string(self.uid()).raw(",");
        self.write_packet(event, &mut writer)?;
        writer.raw(",{");
        match &self.sender {
            Sender::Server(_) => {
                writer.rooms(options).raw(r#","flags":"#).flags(options, Some(event), None);
            }
            // The emitter has its own order.
            Sender::Emitter => {
                writer.raw(r#""rooms":"#).strings(options.rooms.iter().map(Room::as_str));
                writer.raw(r#","flags":"#).flags(options, Some(event), None);
                writer.raw(r#","except":"#).strings(options.except.iter().map(Room::as_str));
            }
        }
        writer.raw("}]");
        let mut channel = self.broadcast_channel.to_string();
        if let [room] = &options.rooms[..] {
            channel.push_str(room);
            channel.push('#');
        }
        Ok(Publication { channel, payload: writer.to_message_pack(DIALECT)? })
    }

    fn write_packet(&self, event: &EncodedEvent, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.raw(r#"{"type":2,"data":"#).event(event)?.raw(r#","nsp":"#).string(&self.namespace).raw("}");
        Ok(())
    }

    /// Writes the beginning of a request: an emitter has no name in requests without data.
    fn begin_request<'w>(&self, writer: &'w mut Writer) -> &'w mut Writer {
        match &self.sender {
            Sender::Server(id) => writer.raw(r#"{"uid":"#).string(id.as_str()).raw(","),
            Sender::Emitter => writer.raw("{"),
        }
    }

    /// Writes a request or a reply.
    fn write(&self, message: &Message, writer: &mut Writer) -> Result<Channel, FormatError> {
        let is_for_emitters = match message {
            Message::SocketsJoin { .. }
            | Message::SocketsLeave { .. }
            | Message::DisconnectSockets { .. } => true,
            Message::ServerSideEmit { request, .. } => request.is_none(),
            _ => false,
        };
        if !is_for_emitters && matches!(self.sender, Sender::Emitter) {
            return Err(FormatError::no_form(message));
        }
        let channel = match message {
            Message::SocketsJoin { options, rooms } => {
                self.write_change(types::REMOTE_JOIN, options, writer);
                writer.raw(r#","rooms":"#).strings(rooms.iter().map(|room| &**room)).raw("}");
                Channel::Request
            }
            Message::SocketsLeave { options, rooms } => {
                self.write_change(types::REMOTE_LEAVE, options, writer);
                writer.raw(r#","rooms":"#).strings(rooms.iter().map(|room| &**room)).raw("}");
                Channel::Request
            }
            Message::DisconnectSockets { options, close_connection } => {
                self.write_change(types::REMOTE_DISCONNECT, options, writer);
                writer.raw(if *close_connection { r#","close":true}"# } else { r#","close":false}"# });
                Channel::Request
            }
            Message::FetchSockets { request, options } => {
                self.begin_request(writer).raw(r#""requestId":"#).request(request);
                writer.raw(r#","type":5,"opts":{"#).rooms(options).raw("}}");
                Channel::Request
            }
            Message::AllRooms { request } => {
                self.begin_request(writer).raw(r#""requestId":"#).request(request).raw(r#","type":1}"#);
                Channel::Request
            }
            Message::SocketIds { request, options } => {
                self.begin_request(writer).raw(r#""requestId":"#).request(request);
                let rooms = options.rooms.iter().map(Room::as_str);
                writer.raw(r#","type":0,"rooms":"#).strings(rooms).raw("}");
                Channel::Request
            }
            Message::ServerSideEmit { event, request } => {
                writer.raw(r#"{"uid":"#).string(self.uid());
                if let Some(request) = request {
                    writer.raw(r#","requestId":"#).request(request);
                }
                writer.raw(r#","type":6,"data":"#).event(event)?.raw("}");
                Channel::Request
            }
            Message::Broadcast { event, options, ack: Some(ack), .. } => {
                self.write_broadcast_with_ack(event, options, ack, writer)?;
                Channel::Request
            }
            Message::Close => {
                self.begin_request(writer).raw(r#""type":"#).number(types::CLOSE).raw("}");
                Channel::Request
            }
            Message::FetchSocketsResponse { request, sockets } => {
                writer.raw(r#"{"requestId":"#).request(request).raw(r#","sockets":"#);
                writer.list(sockets, Writer::socket)?.raw("}");
                Channel::Response
            }
            Message::AllRoomsResponse { request, rooms } => {
                writer.raw(r#"{"requestId":"#).request(request).raw(r#","rooms":"#);
                writer.strings(rooms.iter().map(|room| &**room)).raw("}");
                Channel::Response
            }
            Message::SocketIdsResponse { request, ids } => {
                writer.raw(r#"{"requestId":"#).request(request).raw(r#","sockets":"#);
                writer.strings(ids.iter().map(|id| &**id)).raw("}");
                Channel::Response
            }
            Message::ServerSideEmitResponse { request, arguments } => {
                writer.raw(r#"{"type":6,"requestId":"#).request(request);
                writer.argument(r#","data":"#, arguments)?;
                writer.raw("}");
                Channel::CommonResponse
            }
            Message::BroadcastClientCount { request, count } => {
                writer.raw(r#"{"type":8,"requestId":"#).request(request);
                writer.raw(r#","clientCount":"#).number(*count as u64).raw("}");
                Channel::Response
            }
            Message::BroadcastAck { request, arguments } => {
                writer.raw(r#"{"type":9,"requestId":"#).request(request);
                writer.argument(r#","packet":"#, arguments)?;
                writer.raw("}");
                Channel::Response
            }
            Message::BroadcastMissing { request, socket, reason } => {
                writer.raw(r#"{"type":"#).number(types::BROADCAST_MISSING);
                writer.raw(r#","requestId":"#).request(request).raw(r#","socket":"#).string(socket);
                writer.raw(r#","reason":"#).string(name_of(*reason)).raw("}");
                Channel::Response
            }
            message => return Err(FormatError::no_form(message)),
        };
        Ok(channel)
    }

    fn write_change(&self, kind: u64, options: &BroadcastOptions, writer: &mut Writer) {
        let writer = self.begin_request(writer).raw(r#""type":"#).number(kind);
        writer.raw(r#","opts":{"#).rooms(options).raw("}");
    }

    fn write_broadcast_with_ack(
        &self,
        event: &EncodedEvent,
        options: &BroadcastOptions,
        ack: &AckRequest,
        writer: &mut Writer,
    ) -> Result<(), EncodeError> {
        writer.raw(r#"{"uid":"#).string(self.uid()).raw(r#","requestId":"#).request(&ack.request);
        writer.raw(r#","type":7,"packet":"#);
        self.write_packet(event, writer)?;
        writer.raw(r#","opts":{"#).rooms(options).raw(r#","flags":"#);
        writer.flags(options, Some(event), Some(ack)).raw("}}");
        Ok(())
    }

    /// Decodes what has arrived on a channel. Returns `None` if there is nothing to do: the message is this server's own,
    /// belongs to another namespace, or only confirms a request of an old version of the adapter.
    ///
    /// # Errors
    /// Returns an error if it is not a message of this format, or if it exceeds a limit.
    pub fn decode(
        &self,
        channel: &str,
        payload: &[u8],
        limits: &DecodeLimits,
    ) -> Result<Option<Received>, DecodeError> {
        let is_broadcast = channel.starts_with(&*self.broadcast_channel);
        let is_response = channel.starts_with(&*self.response_channel);
        if !is_broadcast && !is_response && *channel != *self.request_channel {
            return Err(DecodeError::UnknownChannel);
        }
        // Redis returns each broadcast to its sender. It need not be decoded for that.
        if is_broadcast && self.begins_with_own_name(payload) {
            return Ok(None);
        }
        let document = Document::read(payload, DIALECT, limits)?;
        if is_broadcast {
            self.decode_broadcast(&document, limits)
        } else if is_response {
            let message = decode_response(&document, limits)?;
            Ok(message.map(|message| Received { sender: None, message }))
        } else {
            self.decode_request(&document, limits)
        }
    }

    /// Returns whether a broadcast begins as those that this server encodes: a list of three, and its name.
    fn begins_with_own_name(&self, payload: &[u8]) -> bool {
        let Sender::Server(id) = &self.sender else { return false };
        let [0x93, len @ 0xa0..=0xbf, name @ ..] = payload else { return false };
        usize::from(len & 0x1f) == id.as_str().len() && name.starts_with(id.as_str().as_bytes())
    }

    fn is_own(&self, uid: Option<&str>) -> bool {
        matches!(&self.sender, Sender::Server(id) if uid == Some(id.as_str()))
    }

    fn decode_broadcast(
        &self,
        document: &Document<'_>,
        limits: &DecodeLimits,
    ) -> Result<Option<Received>, DecodeError> {
        let (uid, packet, options): (Option<Cow<'_, str>>, Packet<'_>, Options<'_>) = document.parse()?;
        if self.is_own(uid.as_deref()) || packet.namespace().unwrap_or("/") != &*self.namespace {
            return Ok(None);
        }
        let event = packet.event(document, &self.namespace, &options, limits)?;
        let options = options.read(&mut RoomReader::new(limits))?;
        let message = Message::Broadcast { event, options, ack: None, sequence: None };
        Ok(Some(Received { sender: read_sender(uid.as_deref())?, message }))
    }

    fn decode_request(
        &self,
        document: &Document<'_>,
        limits: &DecodeLimits,
    ) -> Result<Option<Received>, DecodeError> {
        let request: Request<'_> = document.parse()?;
        if self.is_own(request.uid.as_deref()) {
            return Ok(None);
        }
        let Some(message) = request.message(document, &self.namespace, limits)? else { return Ok(None) };
        Ok(Some(Received { sender: read_sender(request.uid.as_deref())?, message }))
    }
}

/// Where a request or a reply is published.
enum Channel {
    Request,
    Response,
    /// Always the channel of all replies.
    CommonResponse,
}

/// The members of all requests.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request<'d> {
    r#type: Option<u64>,
    #[serde(borrow)]
    uid: Option<Cow<'d, str>>,
    #[serde(borrow)]
    request_id: Option<Cow<'d, str>>,
    #[serde(borrow)]
    opts: Option<Options<'d>>,
    #[serde(borrow)]
    rooms: Option<&'d RawValue>,
    close: Option<bool>,
    #[serde(borrow)]
    data: Option<&'d RawValue>,
    #[serde(borrow)]
    packet: Option<Packet<'d>>,
    /// The socket, in a request of `socket.io-redis` 6 and older.
    #[serde(borrow)]
    sid: Option<Cow<'d, str>>,
    /// The room, in such a request.
    #[serde(borrow)]
    room: Option<Cow<'d, str>>,
}

impl Request<'_> {
    fn message(
        &self,
        document: &Document<'_>,
        namespace: &str,
        limits: &DecodeLimits,
    ) -> Result<Option<Message>, DecodeError> {
        let mut rooms = RoomReader::new(limits);
        let request = self.request_id.as_deref().map(read_request).transpose()?;
        let needs = |message, member| DecodeError::Missing { message, member };
        Ok(Some(match self.r#type.ok_or(DecodeError::MissingType)? {
            types::SOCKETS => {
                let request = request.ok_or(needs("socket_ids", "requestId"))?;
                let options =
                    BroadcastOptions { rooms: rooms.read(self.rooms)?.into(), ..BroadcastOptions::new() };
                Message::SocketIds { request, options }
            }
            types::ALL_ROOMS => {
                Message::AllRooms { request: request.ok_or(needs("all_rooms", "requestId"))? }
            }
            types::REMOTE_JOIN => {
                let options = self.receivers("sockets_join", &mut rooms)?;
                Message::SocketsJoin { options, rooms: self.changed_rooms("sockets_join", &mut rooms)? }
            }
            types::REMOTE_LEAVE => {
                let options = self.receivers("sockets_leave", &mut rooms)?;
                Message::SocketsLeave { options, rooms: self.changed_rooms("sockets_leave", &mut rooms)? }
            }
            types::REMOTE_DISCONNECT => Message::DisconnectSockets {
                options: self.receivers("disconnect_sockets", &mut rooms)?,
                close_connection: self.close == Some(true),
            },
            types::REMOTE_FETCH => Message::FetchSockets {
                request: request.ok_or(needs("fetch_sockets", "requestId"))?,
                options: self.receivers("fetch_sockets", &mut rooms)?,
            },
            types::SERVER_SIDE_EMIT => {
                let data = self.data.ok_or(needs("server_side_emit", "data"))?;
                Message::ServerSideEmit { event: document.event(data, namespace, true, limits)?, request }
            }
            types::BROADCAST => {
                let packet = self.packet.as_ref().ok_or(needs("broadcast", "packet"))?;
                let options = self.opts.as_ref().ok_or(needs("broadcast", "opts"))?;
                if packet.namespace().unwrap_or(namespace) != namespace {
                    return Ok(None);
                }
                let request = request.ok_or(needs("broadcast", "requestId"))?;
                Message::Broadcast {
                    event: packet.event(document, namespace, options, limits)?,
                    ack: Some(AckRequest { request, timeout: options.timeout() }),
                    options: options.read(&mut rooms)?,
                    sequence: None,
                }
            }
            types::CLOSE => Message::Close,
            number => return Err(DecodeError::UnknownType { number }),
        }))
    }

    /// Returns the receivers. A request of an old version names one socket.
    fn receivers(
        &self,
        message: &'static str,
        rooms: &mut RoomReader,
    ) -> Result<BroadcastOptions, DecodeError> {
        match (&self.opts, &self.sid) {
            (Some(options), _) => options.read(rooms),
            (None, Some(sid)) => {
                let mut options = BroadcastOptions::new().to(&**sid);
                options.private = true;
                Ok(options)
            }
            (None, None) => Err(DecodeError::Missing { message, member: "opts" }),
        }
    }

    /// Returns the rooms that the sockets join or leave.
    fn changed_rooms(
        &self,
        message: &'static str,
        rooms: &mut RoomReader,
    ) -> Result<Vec<Box<str>>, DecodeError> {
        match (&self.room, self.rooms) {
            (Some(room), None) => Ok(vec![(**room).into()]),
            (_, Some(names)) => rooms.read_names(Some(names)),
            (None, None) => Err(DecodeError::Missing { message, member: "rooms" }),
        }
    }
}

/// The members of all replies.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response<'d> {
    r#type: Option<u64>,
    #[serde(borrow)]
    request_id: Cow<'d, str>,
    #[serde(borrow)]
    sockets: Option<&'d RawValue>,
    #[serde(borrow)]
    rooms: Option<&'d RawValue>,
    client_count: Option<usize>,
    #[serde(borrow)]
    socket: Option<Cow<'d, str>>,
    #[serde(borrow)]
    reason: Option<Cow<'d, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'d RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    packet: Option<&'d RawValue>,
}

fn decode_response(document: &Document<'_>, limits: &DecodeLimits) -> Result<Option<Message>, DecodeError> {
    let response: Response<'_> = document.parse()?;
    let request = read_request(&response.request_id)?;
    let (message, member) = ("broadcast_client_count", "clientCount");
    Ok(Some(match (response.r#type, response.sockets, response.rooms) {
        (Some(types::SERVER_SIDE_EMIT), ..) => {
            Message::ServerSideEmitResponse { request, arguments: document.argument(response.data)? }
        }
        (Some(types::BROADCAST_CLIENT_COUNT), ..) => Message::BroadcastClientCount {
            request,
            count: response.client_count.ok_or(DecodeError::Missing { message, member })?,
        },
        (Some(types::BROADCAST_ACK), ..) => {
            Message::BroadcastAck { request, arguments: document.argument(response.packet)? }
        }
        (Some(types::BROADCAST_MISSING), ..) => {
            let missing = DecodeError::Missing { message: "broadcast_missing", member: "socket" };
            let socket = response.socket.as_deref().ok_or(missing)?.into();
            Message::BroadcastMissing { request, socket, reason: reason_of(response.reason.as_deref()) }
        }
        (Some(number), ..) => return Err(DecodeError::UnknownType { number }),
        (None, Some(sockets), _) if are_ids(sockets) => {
            Message::SocketIdsResponse { request, ids: read_ids(sockets, limits)? }
        }
        (None, Some(sockets), _) => {
            Message::FetchSocketsResponse { request, sockets: read_sockets(document, sockets, limits)? }
        }
        (None, None, rooms @ Some(_)) => {
            Message::AllRoomsResponse { request, rooms: RoomReader::new(limits).read_names(rooms)? }
        }
        // The confirmation of a change.
        (None, None, None) => return Ok(None),
    }))
}

/// Returns whether the first element of a list is a text.
fn are_ids(list: &RawValue) -> bool {
    list.get().strip_prefix('[').is_some_and(|list| list.trim_ascii_start().starts_with('"'))
}
