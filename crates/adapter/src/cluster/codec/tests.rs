//! The bytes of the official adapters, and messages that make a round trip.

mod golden;
mod invalid;
mod round_trip;

use serde_json::{Value as Json, json};
use socketio_proto::{Arguments, EncodedEvent, Value};

use crate::cluster::Message;
use crate::options::{BroadcastOptions, DeliveryPolicy};

/// Returns what a message says, in the form of the table.
fn describe(message: &Message) -> Json {
    let mut described = json!({ "name": message.name() });
    let members = described.as_object_mut().expect("it is an object");
    let mut set = |key: &str, value: Json| {
        members.insert(key.to_owned(), value);
    };
    match message {
        Message::Broadcast { options, .. }
        | Message::SocketsJoin { options, .. }
        | Message::SocketsLeave { options, .. }
        | Message::DisconnectSockets { options, .. }
        | Message::FetchSockets { options, .. }
        | Message::SocketIds { options, .. } => describe_options(options, &mut set),
        _ => {}
    }
    match message {
        Message::Broadcast { event, ack, .. } => {
            set("event", describe_event(event));
            if !event.message().allows_compression() {
                set("compress", json!(false));
            }
            if let Some(ack) = ack {
                set("timeout", json!(ack.timeout.as_millis() as u64));
            }
        }
        Message::ServerSideEmit { event, .. } => set("event", describe_event(event)),
        Message::SocketsJoin { rooms, .. }
        | Message::SocketsLeave { rooms, .. }
        | Message::AllRoomsResponse { rooms, .. } => set("changed", json!(rooms)),
        Message::SocketIdsResponse { ids, .. } => set("changed", json!(ids)),
        Message::DisconnectSockets { close_connection, .. } => set("close", json!(close_connection)),
        Message::BroadcastMissing { socket, reason, .. } => {
            set("socket", json!(socket));
            set("reason", json!(reason.to_string()));
        }
        Message::BroadcastClientCount { count, .. } => set("count", json!(count)),
        Message::BroadcastAck { arguments, .. } | Message::ServerSideEmitResponse { arguments, .. } => {
            set("argument", describe_argument(arguments));
            if arguments.is_empty() {
                set("is_missing", json!(true));
            }
        }
        Message::FetchSocketsResponse { sockets, .. } => {
            let socket = |socket: &crate::RemoteSocketState| {
                let rooms: Vec<&str> = socket.rooms.iter().map(crate::Room::as_str).collect();
                let handshake: Json = serde_json::from_str(&socket.handshake).expect("it is JSON");
                let data = describe_argument(&socket.data);
                json!({ "id": socket.id, "handshake": handshake, "rooms": rooms, "data": data })
            };
            set("sockets", sockets.iter().map(socket).collect());
        }
        _ => {}
    }
    described
}

fn describe_options(options: &BroadcastOptions, set: &mut impl FnMut(&str, Json)) {
    let names = |rooms: &[crate::Room]| rooms.iter().map(|room| json!(room.as_str())).collect();
    set("rooms", names(&options.rooms));
    set("except", names(&options.except));
    match &options.policy {
        DeliveryPolicy::Queue => {}
        DeliveryPolicy::Volatile => set("volatile", json!(true)),
        DeliveryPolicy::KeepLatest(key) => set("keepLatest", json!(**key)),
    }
    if options.private {
        set("private", json!(true));
    }
}

fn describe_event(event: &EncodedEvent) -> Json {
    let list = Arguments::from_json(event.json(), event.attachments().to_vec()).expect("it is an event");
    list.deserialize_all::<Vec<Value>>().expect("it is a list").iter().map(describe_value).collect()
}

fn describe_argument(arguments: &Arguments<'_>) -> Json {
    assert!(arguments.len() <= 1);
    let list = arguments.deserialize_all::<Vec<Value>>().expect("it is a list");
    list.first().map_or(Json::Null, describe_value)
}

fn describe_value(value: &Value) -> Json {
    match value {
        Value::Bytes(data) => {
            json!({ "<binary>": data.iter().map(|byte| format!("{byte:02x}")).collect::<String>() })
        }
        Value::Array(elements) => elements.iter().map(describe_value).collect(),
        Value::Object(members) => {
            let members = members.iter().map(|(key, value)| (key.to_owned(), describe_value(value)));
            Json::Object(members.collect())
        }
        Value::Number(number) => serde_json::from_str(&number.to_string()).expect("it is a number"),
        Value::String(text) => json!(text),
        Value::Bool(value) => json!(value),
        Value::Null => Json::Null,
    }
}

fn from_hex(text: &str) -> Vec<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16).expect("a digit") as u8;
    text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// Bytes that are easier to compare in a failure.
fn readable(payload: &[u8]) -> String {
    payload.escape_ascii().to_string()
}
