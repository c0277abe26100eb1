//! What is not a message, and what exceeds a limit.

use super::describe;
use crate::cluster::codec::{
    DecodeError, DecodeLimits, Notified, PostgresCodec, Received, RedisCodec, ShardedRedisCodec,
    SubscriptionMode,
};
use crate::cluster::{Message, NodeId, RequestId};
use crate::options::BroadcastOptions;

const REQUEST: &str = "socket.io-request#/#";
const RESPONSE: &str = "socket.io-response#/#";

fn redis(channel: &str, payload: impl AsRef<[u8]>) -> Result<Option<Received>, DecodeError> {
    redis_with(channel, payload, &DecodeLimits::default())
}

fn redis_with(
    channel: &str,
    payload: impl AsRef<[u8]>,
    limits: &DecodeLimits,
) -> Result<Option<Received>, DecodeError> {
    RedisCodec::new("/", &NodeId::from("me")).decode(channel, payload.as_ref(), limits)
}

/// Returns a JSON text as MessagePack.
fn pack(json: &str) -> Vec<u8> {
    let mut message = Vec::new();
    let dialect = socketio_proto::message_pack::Dialect::Notepack3;
    socketio_proto::message_pack::from_json(json, &[], dialect, &mut message).expect("it is JSON");
    message
}

#[test]
fn an_error_says_what_is_wrong_with_a_redis_message() {
    let missing = |message, member| DecodeError::Missing { message, member };
    for (channel, json, error) in [
        ("socket.io#/other#", "{}", DecodeError::UnknownChannel),
        ("socket.io-request#/#x#", "{}", DecodeError::UnknownChannel),
        (REQUEST, "{}", DecodeError::MissingType),
        (REQUEST, r#"{"type":10}"#, DecodeError::UnknownType { number: 10 }),
        (REQUEST, r#"{"type":8,"requestId":"a"}"#, DecodeError::UnknownType { number: 8 }),
        (REQUEST, r#"{"type":5,"opts":{}}"#, missing("fetch_sockets", "requestId")),
        (REQUEST, r#"{"type":2,"rooms":["a"]}"#, missing("sockets_join", "opts")),
        (REQUEST, r#"{"type":3,"opts":{}}"#, missing("sockets_leave", "rooms")),
        (REQUEST, r#"{"type":6}"#, missing("server_side_emit", "data")),
        (REQUEST, r#"{"type":7,"opts":{}}"#, missing("broadcast", "packet")),
        (RESPONSE, r#"{"type":8,"requestId":"a"}"#, missing("broadcast_client_count", "clientCount")),
        (RESPONSE, r#"{"type":1,"requestId":"a"}"#, DecodeError::UnknownType { number: 1 }),
    ] {
        assert_eq!(redis(channel, json).unwrap_err(), error, "{json}");
    }
    let packet = |data: &str| pack(&format!(r#"["a",{{"type":2,"data":{data},"nsp":"/"}},{{}}]"#));
    let broadcast = |payload: Vec<u8>| redis("socket.io#/#", payload);
    for data in ["[]", "1", r#"["connect"]"#, r#"[{}]"#, "null"] {
        assert!(matches!(broadcast(packet(data)), Err(DecodeError::InvalidData(_))), "{data}");
    }
    let disconnect = pack(r#"["a",{"type":1,"data":["x"]},{}]"#);
    assert_eq!(broadcast(disconnect).unwrap_err(), DecodeError::NotAnEvent { number: 1 });
    for json in ["[]", "1", r#"["a"]"#, r#"["a",{"type":2,"nsp":"/"},{}]"#, r#"[1,{"data":["x"]},{}]"#] {
        assert!(matches!(broadcast(pack(json)), Err(DecodeError::InvalidForm { .. })), "{json}");
    }
    for payload in [&b""[..], b"\xc1", b"\x93\xa1a"] {
        assert!(matches!(broadcast(payload.to_vec()), Err(DecodeError::MessagePack(_))));
    }
    for json in ["{", r#"{"type":"2"}"#, r#"{"type":-1}"#, r#"{"type":2,"type":2}"#] {
        assert!(matches!(redis(REQUEST, json), Err(DecodeError::InvalidForm { .. })), "{json}");
    }
    assert_eq!(redis(REQUEST, b"{\xff}").unwrap_err(), DecodeError::InvalidUtf8);
}

#[test]
fn limits_apply_to_a_redis_message() {
    let limits = |set: fn(&mut DecodeLimits)| {
        let mut limits = DecodeLimits::default();
        set(&mut limits);
        limits
    };
    let join = r#"{"type":2,"opts":{"rooms":["a"],"except":["b"]},"rooms":["c"]}"#;
    assert!(redis_with(REQUEST, join, &limits(|limits| limits.max_rooms = 3)).is_ok());
    let error = redis_with(REQUEST, join, &limits(|limits| limits.max_rooms = 2)).unwrap_err();
    assert_eq!(error, DecodeError::TooManyRooms { max: 2 });

    let error = redis_with(REQUEST, join, &limits(|limits| limits.max_message_bytes = 10)).unwrap_err();
    assert_eq!(error, DecodeError::TooLarge { size: join.len(), max: 10 });

    let socket = r#"{"id":"a","handshake":{},"rooms":["a"],"data":1}"#;
    let sockets = format!(r#"{{"requestId":"a","sockets":[{socket},{socket}]}}"#);
    assert!(redis_with(RESPONSE, &sockets, &limits(|limits| limits.max_sockets = 2)).is_ok());
    let error = redis_with(RESPONSE, &sockets, &limits(|limits| limits.max_sockets = 1)).unwrap_err();
    assert_eq!(error, DecodeError::TooManySockets { max: 1 });
    let error = redis_with(RESPONSE, &sockets, &limits(|limits| limits.max_rooms = 1)).unwrap_err();
    assert_eq!(error, DecodeError::TooManyRooms { max: 1 });

    let mut binary = pack(r#"["a",{"data":["x",1,2]},{}]"#);
    let at = binary.windows(2).position(|pair| pair == [1, 2]).expect("the numbers are there");
    binary.splice(at..at + 2, [0xc4, 0, 0xc4, 0]);
    assert!(redis_with("socket.io#/#", &binary, &limits(|limits| limits.max_attachments = 2)).is_ok());
    let error = redis_with("socket.io#/#", &binary, &limits(|limits| limits.max_attachments = 1));
    assert_eq!(error.unwrap_err(), DecodeError::TooManyAttachments { max: 1 });

    let long = "x".repeat(RequestId::MAX_LEN + 1);
    let error = redis(RESPONSE, format!(r#"{{"requestId":"{long}","rooms":[]}}"#)).unwrap_err();
    assert_eq!(error, DecodeError::RequestIdTooLong { len: RequestId::MAX_LEN + 1 });
    let long = "x".repeat(65);
    let error = redis(REQUEST, format!(r#"{{"uid":"{long}","type":6,"data":["x"]}}"#)).unwrap_err();
    assert_eq!(error, DecodeError::NodeIdTooLong { len: 65 });
}

#[test]
fn a_redis_broadcast_to_another_namespace_and_a_confirmation_are_ignored() {
    let broadcast = pack(r#"["a",{"type":2,"data":["x"],"nsp":"/other"},{"rooms":[]}]"#);
    assert!(redis("socket.io#/#", broadcast).unwrap().is_none());
    let request =
        pack(r#"{"uid":"a","requestId":"r","type":7,"packet":{"data":["x"],"nsp":"/b"},"opts":{}}"#);
    assert!(redis(REQUEST, request).unwrap().is_none());
    assert!(redis(RESPONSE, r#"{"requestId":"a"}"#).unwrap().is_none());
}

#[test]
fn a_packet_without_namespace_belongs_to_the_main_one() {
    let broadcast = pack(r#"["a",{"data":["x"]},{}]"#);
    assert!(redis("socket.io#/#", &broadcast).unwrap().is_some());
    let chat = RedisCodec::new("/chat", &NodeId::from("me"));
    let received = chat.decode("socket.io#/chat#", &broadcast, &DecodeLimits::default());
    assert!(received.unwrap().is_none());
}

#[test]
fn requests_of_old_versions_are_understood() {
    let message = |json| redis(REQUEST, json).unwrap().unwrap().message;
    let join = message(r#"{"requestId":"abcdef","type":2,"sid":"socket","room":"news"}"#);
    let Message::SocketsJoin { options, rooms } = &join else { panic!("{join:?}") };
    assert_eq!((&*options.rooms[0], options.private, &*rooms[0]), ("socket", true, "news"));
    let leave = message(r#"{"requestId":"abcdef","type":3,"sid":"socket","room":"news"}"#);
    assert!(matches!(leave, Message::SocketsLeave { .. }));
    let disconnect = message(r#"{"requestId":"abcdef","type":4,"sid":"socket","close":true}"#);
    assert!(matches!(disconnect, Message::DisconnectSockets { close_connection: true, .. }));
    let ids = message(r#"{"requestId":"abcdef","type":0,"rooms":["news"]}"#);
    let Message::SocketIds { request, options } = ids else { panic!("{ids:?}") };
    assert_eq!((request.as_str(), options), ("abcdef", BroadcastOptions::new().to("news")));
    let reply = redis(RESPONSE, r#"{"requestId":"abcdef","sockets":["a","b"]}"#).unwrap().unwrap().message;
    assert!(matches!(reply, Message::SocketIdsResponse { ids, .. } if ids.len() == 2));
}

#[test]
fn a_room_may_be_a_number_and_an_unknown_member_is_ignored() {
    let json = r#"{"type":2,"opts":{"rooms":[1,-2,1.5],"x":{}},"rooms":["a"],"later":[]}"#;
    let message = redis(REQUEST, json).unwrap().unwrap().message;
    assert_eq!(describe(&message)["rooms"], serde_json::json!(["1", "-2", "1.5"]));
}

#[test]
fn an_event_that_is_deep_or_written_with_whitespace_is_read() {
    let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
    let json = format!(r#"{{ "type" : 6, "data" : [ "x" , {deep} , "last" ] }}"#);
    let Message::ServerSideEmit { event, .. } = redis(REQUEST, json).unwrap().unwrap().message else {
        panic!()
    };
    assert!(event.ends_with_text() && event.json().starts_with(r#"["x" "#));
}

fn sharded(channel: &str, payload: impl AsRef<[u8]>) -> Result<Option<Received>, DecodeError> {
    let codec = ShardedRedisCodec::new("/", &NodeId::from("me"), SubscriptionMode::default());
    codec.decode(channel, payload.as_ref(), &DecodeLimits::default())
}

#[test]
fn an_error_says_what_is_wrong_with_a_message_of_the_cluster_adapter() {
    let missing = |message, member| DecodeError::Missing { message, member };
    for (json, error) in [
        ("{}", DecodeError::MissingType),
        (r#"{"type":0}"#, DecodeError::UnknownType { number: 0 }),
        (r#"{"type":14,"data":{}}"#, DecodeError::UnknownType { number: 14 }),
        (r#"{"type":3}"#, missing("broadcast", "data")),
        (r#"{"type":3,"data":{}}"#, missing("broadcast", "packet")),
        (r#"{"type":3,"data":{"packet":{"data":["x"]}}}"#, missing("broadcast", "opts")),
        (r#"{"type":4,"data":{"opts":{}}}"#, missing("sockets_join", "rooms")),
        (r#"{"type":5,"data":{"opts":{}}}"#, missing("sockets_leave", "rooms")),
        (r#"{"type":6,"data":{}}"#, missing("disconnect_sockets", "opts")),
        (r#"{"type":7,"data":{"opts":{}}}"#, missing("fetch_sockets", "requestId")),
        (r#"{"type":8,"data":{"requestId":"a"}}"#, missing("fetch_sockets_response", "sockets")),
        (r#"{"type":9,"data":{}}"#, missing("server_side_emit", "packet")),
        (r#"{"type":10,"data":{}}"#, missing("server_side_emit_response", "requestId")),
        (r#"{"type":11,"data":{"requestId":"a"}}"#, missing("broadcast_client_count", "clientCount")),
        (r#"{"type":12,"data":{}}"#, missing("broadcast_ack", "requestId")),
    ] {
        assert_eq!(sharded("socket.io#/#", json).unwrap_err(), error, "{json}");
        assert_eq!(sharded("socket.io#/#", pack(json)).unwrap_err(), error, "{json}");
    }
    assert_eq!(sharded("socket.io#/other#", "{}").unwrap_err(), DecodeError::UnknownChannel);
    let packet = r#"{"type":3,"data":{"packet":{"type":1,"data":["x"]},"opts":{}}}"#;
    assert_eq!(sharded("socket.io#/#", packet).unwrap_err(), DecodeError::NotAnEvent { number: 1 });
}

#[test]
fn a_message_of_another_namespace_is_ignored_and_one_without_is_accepted() {
    let json = |namespace| format!(r#"{{"type":2,"uid":"a"{namespace}}}"#);
    assert!(sharded("socket.io#/#x#", json(r#","nsp":"/#x""#)).unwrap().is_none());
    assert!(sharded("socket.io#/#", json(r#","nsp":"/""#)).unwrap().is_some());
    assert!(sharded("socket.io#/#", json("")).unwrap().is_some());
}

#[test]
fn a_room_has_a_channel_of_its_own_if_the_mode_says_so() {
    let room = |mode, room| ShardedRedisCodec::new("/", &NodeId::from("me"), mode).room_channel(room);
    let (id, old_id) = ("AAAAAAAAAAAAAAAAAAAA", "/chat#AAAAAAAAAAAAAAAAAAAA");
    for (mode, has_public, has_private) in [
        (SubscriptionMode::Static, false, false),
        (SubscriptionMode::Dynamic, true, false),
        (SubscriptionMode::DynamicPrivate, true, true),
    ] {
        let news = room(mode, "news");
        assert_eq!(news.is_some(), has_public);
        assert!(news.is_none_or(|channel| channel == "socket.io#/#news#"));
        assert_eq!(room(mode, id).is_some(), has_private);
        // Node takes the room of a client of Socket.IO 2 for a public one.
        assert_eq!(room(mode, old_id).is_some(), has_public);
    }
}

#[test]
fn an_error_says_what_is_wrong_with_a_notification() {
    let codec = PostgresCodec::new("/", &NodeId::from("me"));
    let limits = DecodeLimits::default();
    for payload in ["", "[1]", " {}"] {
        assert_eq!(codec.decode(payload.as_bytes(), &limits).unwrap_err(), DecodeError::NotJson);
    }
    let header = |id: &str| format!(r#"{{"uid":"other","type":3,"attachmentId":{id}}}"#);
    for id in ["\"\"", "\"x\"", "-1", "1.5", "{}", "\"1 OR 1\"", "99999999999999999999"] {
        let error = codec.decode(header(id).as_bytes(), &limits).unwrap_err();
        assert_eq!(error, DecodeError::InvalidRowId, "{id}");
    }
    for id in ["7", "\"7\""] {
        let notified = codec.decode(header(id).as_bytes(), &limits).unwrap();
        assert!(matches!(notified, Some(Notified::Row { id, .. }) if &*id == "7"), "{id}");
    }
    let own = header("7").replace("other", "me");
    assert!(codec.decode(own.as_bytes(), &limits).unwrap().is_none());
    assert_eq!(codec.decode_row(b"{}", &limits).unwrap_err(), DecodeError::MissingType);
    assert!(matches!(codec.decode_row(b"\x81", &limits), Err(DecodeError::MessagePack(_))));
}

#[test]
fn the_longest_notification_is_one_that_postgresql_accepts() {
    let codec = PostgresCodec::new("/", &NodeId::from("me"));
    let message =
        |len| Message::SocketsJoin { options: BroadcastOptions::new(), rooms: vec!["x".repeat(len).into()] };
    let len = |message: &Message| match codec.encode(message).unwrap() {
        crate::cluster::codec::Notification::Payload(published) => Some(published.payload.len()),
        crate::cluster::codec::Notification::Row(_) => None,
    };
    let overhead = len(&message(0)).unwrap();
    assert_eq!(len(&message(7_999 - overhead)), Some(7_999));
    assert_eq!(len(&message(8_000 - overhead)), None);
}
