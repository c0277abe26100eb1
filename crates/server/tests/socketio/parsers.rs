//! Parsers that a program has written. `messagepack.test.js` tests the built-in one with the official clients.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidewire_server::parser::{
    DecodeError, IncomingPacket, Message, MessageBatch, OutgoingPacket, PacketDecoder, PacketType, Parser,
};
use tidewire_server::{
    ConnectError, Data, DisconnectReason, EmitError, EncodeError, Limits, MessagePackParser, RawArguments,
    Reply, Server, Socket, State, Value,
};

use crate::support::{Client, Joined, Log, Program, program, serve};

/// Writes each packet as one JSON text, as in the documentation of Node. It has no form for binary data.
#[derive(Debug, Clone, Default)]
struct JsonParser {
    encoded: Arc<AtomicUsize>,
}

#[derive(Serialize, Deserialize)]
struct JsonPacket {
    r#type: u8,
    nsp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
}

impl Parser for JsonParser {
    fn decoder(&self) -> Box<dyn PacketDecoder> {
        Box::new(JsonDecoder)
    }

    fn encode(&self, packet: &OutgoingPacket<'_>, messages: &mut MessageBatch) -> Result<(), EncodeError> {
        self.encoded.fetch_add(1, Ordering::Relaxed);
        if !packet.attachments().is_empty() {
            return Err(EncodeError::custom("no binary data"));
        }
        let packet = JsonPacket {
            r#type: packet.packet_type().number(),
            nsp: packet.namespace().to_owned(),
            id: packet.id(),
            data: packet.data().map_err(EncodeError::custom)?,
        };
        messages.push_text(&serde_json::to_string(&packet).map_err(EncodeError::custom)?);
        Ok(())
    }
}

struct JsonDecoder;

impl PacketDecoder for JsonDecoder {
    fn decode<'m>(&mut self, message: Message<'m>) -> Result<Option<IncomingPacket<'m>>, DecodeError> {
        let Message::Text(text) = message else { return Err(DecodeError::custom("it is no text")) };
        let packet: JsonPacket = serde_json::from_str(text).map_err(DecodeError::custom)?;
        let packet_type = PacketType::from_number(packet.r#type).ok_or(DecodeError::custom("no type"))?;
        let mut incoming = IncomingPacket::new(packet_type, packet.nsp);
        if let Some(id) = packet.id {
            incoming = incoming.with_id(id);
        }
        if let Some(data) = packet.data {
            incoming = incoming.with_data(&data).map_err(DecodeError::custom)?;
        }
        Ok(Some(incoming))
    }
}

/// Connects to a namespace. Returns the response.
async fn connect(client: &mut Client, namespace: &str) -> String {
    client.send(&format!(r#"4{{"type":0,"nsp":"{namespace}"}}"#)).await;
    client.recv().await.expect("a response")
}

fn with_json_parser() -> (Server, Program, JsonParser) {
    let (builder, program) = program();
    let parser = JsonParser::default();
    let io = builder.parser(parser.clone()).build();
    io.on_connection(async |socket: Socket, joined: State<Joined>| joined.0.0.send(socket).expect("a test"));
    io.on("echo", async |RawArguments(arguments): RawArguments| Reply(arguments));
    io.on("log", async |log: State<Log>, Data(value): Data<Value>| log.say(format_args!("{value:?}")));
    io.on_disconnect(async |reason: DisconnectReason, log: State<Log>| log.say(reason));
    (io, program, parser)
}

#[tokio::test]
async fn every_packet_has_the_form_of_the_parser() {
    let (io, mut program, _) = with_json_parser();
    io.of("/no").middleware(async || -> Result<(), ConnectError> { Err(ConnectError::new("no").data(7)) });
    let address = serve(&io).await;
    let mut client = Client::open(address).await;
    let response = connect(&mut client, "/").await;
    let socket = program.joined().await;
    assert_eq!(response, format!(r#"4{{"type":0,"nsp":"/","data":{{"sid":"{}"}}}}"#, socket.id()));
    assert_eq!(
        connect(&mut client, "/no").await,
        r#"4{"type":4,"nsp":"/no","data":{"message":"no","data":7}}"#
    );
    let unknown = r#"4{"type":4,"nsp":"/unknown","data":{"message":"Invalid namespace"}}"#;
    assert_eq!(connect(&mut client, "/unknown").await, unknown);

    client.send(r#"4{"type":2,"nsp":"/","id":7,"data":["echo",1,{"a":[null]}]}"#).await;
    client.expect(r#"4{"type":3,"nsp":"/","id":7,"data":[1,{"a":[null]}]}"#).await;
    socket.emit("said", ("hello", 2));
    client.expect(r#"4{"type":2,"nsp":"/","data":["said","hello",2]}"#).await;
    let answer = socket.emit_with_ack::<String>("ask", 1);
    client.expect(r#"4{"type":2,"nsp":"/","id":0,"data":["ask",1]}"#).await;
    client.send(r#"4{"type":3,"nsp":"/","id":0,"data":["answer"]}"#).await;
    assert_eq!(answer.await.as_deref(), Ok("answer"));
    assert_eq!(socket.emit_wait("waited", ()).await, Ok(()));
    client.expect(r#"4{"type":2,"nsp":"/","data":["waited"]}"#).await;
    socket.disconnect();
    client.expect(r#"4{"type":1,"nsp":"/"}"#).await;
    program.lines.expect(["server namespace disconnect"]).await;
}

#[tokio::test]
async fn a_broadcast_is_encoded_once_for_all_receivers() {
    let (io, mut program, parser) = with_json_parser();
    let address = serve(&io).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = Client::open(address).await;
        connect(&mut client, "/").await;
        program.joined().await.join("room");
        clients.push(client);
    }
    let before = parser.encoded.load(Ordering::Relaxed);
    assert_eq!(io.to("room").try_emit("news", 1), Ok(()));
    for client in &mut clients {
        client.expect(r#"4{"type":2,"nsp":"/","data":["news",1]}"#).await;
    }
    assert_eq!(parser.encoded.load(Ordering::Relaxed), before + 1);

    let answers = io.to("room").emit_with_ack::<u8>("ask", 2);
    for (client, answer) in clients.iter_mut().zip(1..) {
        client.expect(r#"4{"type":2,"nsp":"/","id":0,"data":["ask",2]}"#).await;
        client.send(&format!(r#"4{{"type":3,"nsp":"/","id":0,"data":[{answer}]}}"#)).await;
    }
    let mut answers = answers.await.expect("all have answered");
    answers.sort_unstable();
    assert_eq!(answers, [1, 2, 3]);
    assert_eq!(parser.encoded.load(Ordering::Relaxed), before + 2);
    let refused = io.emit_with_ack::<u8>("binary", bytes::Bytes::from_static(b"x")).await;
    assert!(refused.expect_err("the parser refuses it").to_string().contains("no binary data"));
}

#[tokio::test]
async fn an_event_that_the_parser_cannot_encode_is_an_error_and_is_not_sent() {
    let (io, mut program, _) = with_json_parser();
    let mut client = Client::open(serve(&io).await).await;
    connect(&mut client, "/").await;
    let socket = program.joined().await;
    let bytes = Value::from(bytes::Bytes::from_static(b"b"));
    let error = EmitError::Encode(EncodeError::custom("no binary data"));
    assert_eq!(socket.try_emit("event", &bytes), Err(error.clone()));
    assert_eq!(socket.emit_wait("event", &bytes).await, Err(error.clone()));
    assert_eq!(io.broadcast().try_emit("event", &bytes), Err(error));
    socket.emit("event", &bytes);
    io.emit("event", &bytes);
    socket.emit("next", ());
    client.expect(r#"4{"type":2,"nsp":"/","data":["next"]}"#).await;
}

#[tokio::test]
async fn a_message_that_the_parser_rejects_ends_the_connection_as_a_parse_error() {
    for (message, error) in [
        ("4{}", "missing field `type` at line 1 column 2"),
        (r#"4{"type":9,"nsp":"/"}"#, "no type"),
        // These are checked for every parser.
        (r#"4{"type":2,"nsp":"/","data":["disconnect"]}"#, "the event name \"disconnect\" is reserved"),
        (r#"4{"type":2,"nsp":"/","data":{}}"#, "the payload is not valid for a packet of type Event"),
        (r#"4{"type":2,"nsp":"x","data":["a"]}"#, "a namespace must begin with '/' and contain no comma"),
    ] {
        let (io, mut program, _) = with_json_parser();
        let mut client = Client::open(serve(&io).await).await;
        connect(&mut client, "/").await;
        client.send(message).await;
        client.expect_end().await;
        program.lines.expect([&*format!("error in -: handler failed: {error}"), "forced close"]).await;
    }
}

/// Writes a packet as two messages: its head as text, and its data as binary data.
#[derive(Debug)]
struct TwoMessages;

#[derive(Default)]
struct TwoMessagesDecoder(Option<String>);

impl Parser for TwoMessages {
    fn decoder(&self) -> Box<dyn PacketDecoder> {
        Box::<TwoMessagesDecoder>::default()
    }

    fn encode(&self, packet: &OutgoingPacket<'_>, messages: &mut MessageBatch) -> Result<(), EncodeError> {
        messages.push_text(&format!("{} {}", packet.packet_type().number(), packet.namespace()));
        messages.push_binary(packet.json().unwrap_or_default().as_bytes());
        Ok(())
    }
}

impl PacketDecoder for TwoMessagesDecoder {
    fn decode<'m>(&mut self, message: Message<'m>) -> Result<Option<IncomingPacket<'m>>, DecodeError> {
        match (self.0.take(), message) {
            (None, Message::Text(head)) => {
                self.0 = Some(head.to_owned());
                Ok(None)
            }
            (Some(head), message) => {
                let json = match message {
                    Message::Text(text) => Cow::Borrowed(text),
                    Message::Binary(data) => {
                        Cow::Owned(String::from_utf8(data.into_owned()).map_err(DecodeError::custom)?)
                    }
                };
                let (number, namespace) = head.split_once(' ').ok_or(DecodeError::custom("no head"))?;
                let number = number.parse().map_err(DecodeError::custom)?;
                let packet_type = PacketType::from_number(number).ok_or(DecodeError::custom("no type"))?;
                let packet = IncomingPacket::new(packet_type, namespace.to_owned());
                Ok(Some(if json.is_empty() { packet } else { packet.with_json(json, Vec::new()) }))
            }
            (None, Message::Binary(_)) => Err(DecodeError::custom("the head is missing")),
        }
    }

    fn pending_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, String::len)
    }
}

#[tokio::test(start_paused = true)]
async fn a_packet_may_have_several_messages_and_the_next_one_has_a_timeout() {
    let (builder, mut program) = program();
    let limits = Limits { attachment_timeout: Duration::from_secs(30), ..Limits::default() };
    let io = builder.parser(TwoMessages).limits(limits).build();
    io.on("echo", async |socket: Socket, RawArguments(arguments): RawArguments| {
        socket.emit("back", arguments);
    });
    io.on_disconnect(async |reason: DisconnectReason, log: State<Log>| log.say(reason));
    let mut client = Client::open_in_memory(&io, 1 << 20).await;
    client.send("40 /").await;
    client.send_binary(b"").await;
    client.expect("40 /").await;
    assert!(client.recv().await.is_some_and(|sid| sid.starts_with(r#"b"{\"sid\":"#)));
    // Each message in time, the second one as text or as bytes.
    for is_text in [true, false] {
        client.send("42 /").await;
        tokio::time::sleep(Duration::from_secs(20)).await;
        match is_text {
            true => client.send(r#"4["echo",1]"#).await,
            false => client.send_binary(br#"["echo",1]"#).await,
        }
        client.expect("42 /").await;
        client.expect(r#"b"[\"back\",1]""#).await;
        assert!(tokio::time::timeout(Duration::from_secs(100), client.next()).await.is_err());
    }
    program.lines.expect_silence();
    client.send("42 /").await;
    assert!(tokio::time::timeout(Duration::from_secs(29), client.next()).await.is_err());
    client.expect_end().await;
    program.lines.expect(["forced server close"]).await;
}

#[tokio::test]
async fn a_client_with_another_parser_than_the_server_is_disconnected() {
    let io = Server::builder().parser(MessagePackParser).build();
    let mut client = Client::open(serve(&io).await).await;
    client.send("40").await;
    client.expect_end().await;
}
