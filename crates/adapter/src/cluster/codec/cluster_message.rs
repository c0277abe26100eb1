//! The messages of Node's `ClusterAdapter`, which several adapters extend. They differ in how they send them.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use socketio_proto::EncodeError;

use super::document::{Document, parse};
use super::fields::{Options, Packet, RoomReader, present, read_request, read_sender, read_sockets};
use super::writer::Writer;
use super::{DecodeError, DecodeLimits, EMITTER, FormatError, Received};
use crate::cluster::{AckRequest, Message, NodeId};
use crate::options::BroadcastOptions;
use crate::request::MissingReason;
use crate::room::Room;

/// The types of messages.
pub(super) mod types {
    pub(in crate::cluster::codec) const INITIAL_HEARTBEAT: u64 = 1;
    pub(in crate::cluster::codec) const HEARTBEAT: u64 = 2;
    pub(in crate::cluster::codec) const BROADCAST: u64 = 3;
    pub(in crate::cluster::codec) const SOCKETS_JOIN: u64 = 4;
    pub(in crate::cluster::codec) const SOCKETS_LEAVE: u64 = 5;
    pub(in crate::cluster::codec) const DISCONNECT_SOCKETS: u64 = 6;
    pub(in crate::cluster::codec) const FETCH_SOCKETS: u64 = 7;
    pub(in crate::cluster::codec) const FETCH_SOCKETS_RESPONSE: u64 = 8;
    pub(in crate::cluster::codec) const SERVER_SIDE_EMIT: u64 = 9;
    pub(in crate::cluster::codec) const SERVER_SIDE_EMIT_RESPONSE: u64 = 10;
    pub(in crate::cluster::codec) const BROADCAST_CLIENT_COUNT: u64 = 11;
    pub(in crate::cluster::codec) const BROADCAST_ACK: u64 = 12;
    pub(in crate::cluster::codec) const CLOSE: u64 = 13;
    /// Ours. Node ignores types that it does not know.
    pub(in crate::cluster::codec) const BROADCAST_MISSING: u64 = 100;
}

/// Who sends the messages of a codec, and in which namespace.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    namespace: Box<str>,
    /// `None` for an emitter.
    id: Option<NodeId>,
}

impl Origin {
    pub(super) fn new(namespace: &str, id: Option<NodeId>) -> Self {
        Self { namespace: namespace.into(), id }
    }

    pub(super) fn id(&self) -> Option<&NodeId> {
        self.id.as_ref()
    }

    pub(super) fn uid(&self) -> &str {
        self.id.as_ref().map_or(EMITTER, NodeId::as_str)
    }

    /// Returns whether a message is this server's own, or belongs to another namespace.
    fn ignores(&self, uid: Option<&str>, namespace: Option<&str>) -> bool {
        let is_own = self.id.as_ref().is_some_and(|id| uid == Some(id.as_str()));
        is_own || namespace.is_some_and(|namespace| *namespace != *self.namespace)
    }

    /// Writes a message. Returns an error if there is no form for it.
    pub(super) fn write(&self, message: &Message, writer: &mut Writer) -> Result<(), FormatError> {
        let number = number_of(message).ok_or_else(|| FormatError::no_form(message))?;
        if self.id.is_none() && !is_for_emitters(message) {
            return Err(FormatError::no_form(message));
        }
        writer.raw(r#"{"type":"#).number(number);
        if !matches!(number, types::INITIAL_HEARTBEAT | types::HEARTBEAT | types::CLOSE) {
            writer.raw(r#","data":{"#);
            self.write_data(message, writer)?;
            writer.raw("}");
        }
        writer.raw(r#","uid":"#).string(self.uid()).raw(r#","nsp":"#).string(&self.namespace).raw("}");
        Ok(())
    }

    fn write_data(&self, message: &Message, writer: &mut Writer) -> Result<(), EncodeError> {
        match message {
            Message::Broadcast { event, options, ack, .. } => {
                writer.raw(r#""packet":{"type":2,"data":"#).event(event)?;
                if self.id.is_none() {
                    writer.raw(r#","nsp":"#).string(&self.namespace);
                }
                writer.raw("}");
                if let Some(ack) = ack {
                    writer.raw(r#","requestId":"#).request(&ack.request);
                }
                writer.raw(r#","opts":{"#);
                if self.id.is_some() {
                    writer.rooms(options).raw(r#","flags":"#).flags(options, Some(event), ack.as_ref());
                } else {
                    // The emitters have their own order.
                    writer.raw(r#""rooms":"#).strings(options.rooms.iter().map(Room::as_str));
                    writer.raw(r#","flags":"#).flags(options, Some(event), None);
                    writer.raw(r#","except":"#).strings(options.except.iter().map(Room::as_str));
                }
                writer.raw("}");
            }
            Message::SocketsJoin { options, rooms } | Message::SocketsLeave { options, rooms } => {
                self.write_options(options, writer);
                writer.raw(r#","rooms":"#).strings(rooms.iter().map(|room| &**room));
            }
            Message::DisconnectSockets { options, close_connection } => {
                self.write_options(options, writer);
                writer.raw(if *close_connection { r#","close":true"# } else { r#","close":false"# });
            }
            Message::FetchSockets { request, options } => {
                self.write_options(options, writer);
                writer.raw(r#","requestId":"#).request(request);
            }
            Message::FetchSocketsResponse { request, sockets } => {
                writer.raw(r#""requestId":"#).request(request).raw(r#","sockets":"#);
                writer.list(sockets, Writer::socket)?;
            }
            Message::ServerSideEmit { event, request } => {
                if let Some(request) = request {
                    writer.raw(r#""requestId":"#).request(request).raw(",");
                }
                writer.raw(r#""packet":"#).event(event)?;
            }
            Message::ServerSideEmitResponse { request, arguments }
            | Message::BroadcastAck { request, arguments } => {
                writer.raw(r#""requestId":"#).request(request);
                writer.argument(r#","packet":"#, arguments)?;
            }
            Message::BroadcastClientCount { request, count } => {
                writer.raw(r#""requestId":"#).request(request);
                writer.raw(r#","clientCount":"#).number(*count as u64);
            }
            Message::BroadcastMissing { request, socket, reason } => {
                writer.raw(r#""requestId":"#).request(request).raw(r#","socket":"#).string(socket);
                writer.raw(r#","reason":"#).string(name_of(*reason));
            }
            _ => {}
        }
        Ok(())
    }

    fn write_options(&self, options: &BroadcastOptions, writer: &mut Writer) {
        writer.raw(r#""opts":{"#).rooms(options);
        if self.id.is_some() {
            writer.raw(r#","flags":"#).flags(options, None, None);
        }
        writer.raw("}");
    }

    /// Reads a message. Returns `None` if it is this server's own, or belongs to another namespace.
    pub(super) fn read(
        &self,
        document: &Document<'_>,
        limits: &DecodeLimits,
    ) -> Result<Option<Received>, DecodeError> {
        let frame: Frame<'_> = document.parse()?;
        self.read_frame(&frame, document, limits)
    }

    pub(super) fn read_frame(
        &self,
        frame: &Frame<'_>,
        document: &Document<'_>,
        limits: &DecodeLimits,
    ) -> Result<Option<Received>, DecodeError> {
        if self.ignores(frame.uid(), frame.nsp.as_deref()) {
            return Ok(None);
        }
        let message = self.read_message(frame, document, limits)?;
        let Some(message) = message else { return Ok(None) };
        Ok(Some(Received { sender: read_sender(frame.uid())?, message }))
    }

    fn read_message(
        &self,
        frame: &Frame<'_>,
        document: &Document<'_>,
        limits: &DecodeLimits,
    ) -> Result<Option<Message>, DecodeError> {
        let number = frame.r#type.ok_or(DecodeError::MissingType)?;
        match number {
            types::INITIAL_HEARTBEAT => return Ok(Some(Message::InitialHeartbeat)),
            types::HEARTBEAT => return Ok(Some(Message::Heartbeat)),
            types::CLOSE => return Ok(Some(Message::Close)),
            _ => {}
        }
        let message = name(number).ok_or(DecodeError::UnknownType { number })?;
        let missing = |member| DecodeError::Missing { message, member };
        let data = frame.data.as_ref().ok_or(missing("data"))?;
        let mut rooms = RoomReader::new(limits);
        let request = data.request_id.as_deref().map(read_request).transpose()?;
        let needed = || request.ok_or(missing("requestId"));
        let options = || data.opts.as_ref().ok_or(missing("opts"));
        Ok(Some(match number {
            types::BROADCAST => {
                let packet: Packet<'_> = parse(data.packet.ok_or(missing("packet"))?.get())?;
                if packet.namespace().is_some_and(|namespace| *namespace != *self.namespace) {
                    return Ok(None);
                }
                let options = options()?;
                Message::Broadcast {
                    event: packet.event(document, &self.namespace, options, limits)?,
                    ack: request.map(|request| AckRequest { request, timeout: options.timeout() }),
                    options: options.read(&mut rooms)?,
                    sequence: None,
                }
            }
            types::SOCKETS_JOIN => Message::SocketsJoin {
                options: options()?.read(&mut rooms)?,
                rooms: rooms.read_names(Some(data.rooms.ok_or(missing("rooms"))?))?,
            },
            types::SOCKETS_LEAVE => Message::SocketsLeave {
                options: options()?.read(&mut rooms)?,
                rooms: rooms.read_names(Some(data.rooms.ok_or(missing("rooms"))?))?,
            },
            types::DISCONNECT_SOCKETS => Message::DisconnectSockets {
                options: options()?.read(&mut rooms)?,
                close_connection: data.close == Some(true),
            },
            types::FETCH_SOCKETS => {
                Message::FetchSockets { request: needed()?, options: options()?.read(&mut rooms)? }
            }
            types::FETCH_SOCKETS_RESPONSE => Message::FetchSocketsResponse {
                request: needed()?,
                sockets: read_sockets(document, data.sockets.ok_or(missing("sockets"))?, limits)?,
            },
            types::SERVER_SIDE_EMIT => {
                let packet = data.packet.ok_or(missing("packet"))?;
                Message::ServerSideEmit {
                    event: document.event(packet, &self.namespace, true, limits)?,
                    request,
                }
            }
            types::SERVER_SIDE_EMIT_RESPONSE => Message::ServerSideEmitResponse {
                request: needed()?,
                arguments: document.argument(data.packet)?,
            },
            types::BROADCAST_CLIENT_COUNT => Message::BroadcastClientCount {
                request: needed()?,
                count: data.client_count.ok_or(missing("clientCount"))?,
            },
            types::BROADCAST_ACK => {
                Message::BroadcastAck { request: needed()?, arguments: document.argument(data.packet)? }
            }
            types::BROADCAST_MISSING => Message::BroadcastMissing {
                request: needed()?,
                socket: data.socket.as_deref().ok_or(missing("socket"))?.into(),
                reason: reason_of(data.reason.as_deref()),
            },
            number => return Err(DecodeError::UnknownType { number }),
        }))
    }
}

/// Returns the type of a message.
pub(super) fn number_of(message: &Message) -> Option<u64> {
    Some(match message {
        Message::InitialHeartbeat => types::INITIAL_HEARTBEAT,
        Message::Heartbeat => types::HEARTBEAT,
        Message::Broadcast { .. } => types::BROADCAST,
        Message::SocketsJoin { .. } => types::SOCKETS_JOIN,
        Message::SocketsLeave { .. } => types::SOCKETS_LEAVE,
        Message::DisconnectSockets { .. } => types::DISCONNECT_SOCKETS,
        Message::FetchSockets { .. } => types::FETCH_SOCKETS,
        Message::FetchSocketsResponse { .. } => types::FETCH_SOCKETS_RESPONSE,
        Message::ServerSideEmit { .. } => types::SERVER_SIDE_EMIT,
        Message::ServerSideEmitResponse { .. } => types::SERVER_SIDE_EMIT_RESPONSE,
        Message::BroadcastClientCount { .. } => types::BROADCAST_CLIENT_COUNT,
        Message::BroadcastAck { .. } => types::BROADCAST_ACK,
        Message::Close => types::CLOSE,
        Message::BroadcastMissing { .. } => types::BROADCAST_MISSING,
        _ => return None,
    })
}

/// Returns the name of a type that has data.
fn name(number: u64) -> Option<&'static str> {
    Some(match number {
        types::BROADCAST => "broadcast",
        types::SOCKETS_JOIN => "sockets_join",
        types::SOCKETS_LEAVE => "sockets_leave",
        types::DISCONNECT_SOCKETS => "disconnect_sockets",
        types::FETCH_SOCKETS => "fetch_sockets",
        types::FETCH_SOCKETS_RESPONSE => "fetch_sockets_response",
        types::SERVER_SIDE_EMIT => "server_side_emit",
        types::SERVER_SIDE_EMIT_RESPONSE => "server_side_emit_response",
        types::BROADCAST_CLIENT_COUNT => "broadcast_client_count",
        types::BROADCAST_ACK => "broadcast_ack",
        types::BROADCAST_MISSING => "broadcast_missing",
        _ => return None,
    })
}

/// Returns whether a program that receives nothing can send a message.
pub(super) fn is_for_emitters(message: &Message) -> bool {
    match message {
        Message::SocketsJoin { .. } | Message::SocketsLeave { .. } | Message::DisconnectSockets { .. } => {
            true
        }
        Message::Broadcast { ack, .. } => ack.is_none(),
        Message::ServerSideEmit { request, .. } => request.is_none(),
        _ => false,
    }
}

pub(super) fn name_of(reason: MissingReason) -> &'static str {
    match reason {
        MissingReason::TimedOut => "timedOut",
        MissingReason::Disconnected => "disconnected",
        MissingReason::Limit => "limit",
    }
}

/// A later version may have other reasons.
pub(super) fn reason_of(name: Option<&str>) -> MissingReason {
    match name {
        Some("timedOut") => MissingReason::TimedOut,
        Some("limit") => MissingReason::Limit,
        _ => MissingReason::Disconnected,
    }
}

/// The members of all messages.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Frame<'d> {
    r#type: Option<u64>,
    #[serde(borrow)]
    data: Option<Data<'d>>,
    #[serde(borrow)]
    uid: Option<Cow<'d, str>>,
    #[serde(borrow)]
    nsp: Option<Cow<'d, str>>,
    /// In PostgreSQL, the row that has the message.
    #[serde(borrow)]
    attachment_id: Option<&'d RawValue>,
}

impl<'d> Frame<'d> {
    pub(super) fn uid(&self) -> Option<&str> {
        self.uid.as_deref()
    }

    pub(super) fn attachment_id(&self) -> Option<&'d RawValue> {
        self.attachment_id
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data<'d> {
    #[serde(borrow, default, deserialize_with = "present")]
    packet: Option<&'d RawValue>,
    #[serde(borrow)]
    opts: Option<Options<'d>>,
    #[serde(borrow)]
    request_id: Option<Cow<'d, str>>,
    #[serde(borrow)]
    rooms: Option<&'d RawValue>,
    close: Option<bool>,
    #[serde(borrow)]
    sockets: Option<&'d RawValue>,
    client_count: Option<usize>,
    #[serde(borrow)]
    socket: Option<Cow<'d, str>>,
    #[serde(borrow)]
    reason: Option<Cow<'d, str>>,
}
