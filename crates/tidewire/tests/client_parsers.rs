//! Our client and our server with another parser than the default one.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use tidewire::client::{AckError, Client, DisconnectReason, EmitError, MessagePackParser, Socket, Transport};
use tidewire::server::parser::{
    DecodeError, IncomingPacket, Message, MessageBatch, OutgoingPacket, PacketDecoder, PacketType, Parser,
};
use tidewire::server::{self, EncodeError, Server};
use tidewire::{Data, RawArguments, Reply};
use tokio::sync::mpsc;

const TRANSPORTS: [&[Transport]; 3] =
    [&[Transport::Polling], &[Transport::WebSocket], &[Transport::Polling, Transport::WebSocket]];

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), what).await.expect("in time")
}

/// Starts a server with this parser, and returns its URL.
async fn serve(builder: server::Builder) -> String {
    let io = builder.build();
    io.on("echo", async |RawArguments(arguments): RawArguments| Reply(arguments));
    io.on("ask me", async |socket: server::Socket, RawArguments(arguments): RawArguments| {
        let answer = socket.emit_with_ack::<Bytes>("question", arguments).await;
        socket.emit("answered", answer.unwrap_or_default());
    });
    let listener = io.bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move { io.serve(listener, std::future::pending()).await });
    format!("http://{address}")
}

/// Returns a channel for events, and a handler that fills it.
fn events() -> (impl Fn(Data<Bytes>) -> std::future::Ready<()> + Clone, mpsc::UnboundedReceiver<Bytes>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let handler = move |Data(bytes): Data<Bytes>| {
        let _ = sender.send(bytes);
        std::future::ready(())
    };
    (handler, receiver)
}

/// Events and acknowledgements in both directions, some of them buffered, and one sent by the queue of `retries`.
async fn talk(url: &str, parser: impl Parser + Clone) {
    for transports in TRANSPORTS {
        for retries in [None, Some(3)] {
            let (answered, mut answers) = events();
            let mut builder = Client::builder(url)
                .parser(parser.clone())
                .transports(transports)
                .on("question", async |Data(bytes): Data<Bytes>| Reply(bytes))
                .on("answered", answered);
            if let Some(retries) = retries {
                builder = builder.retries(retries).ack_timeout(Duration::from_secs(5));
            }
            let socket = builder.connect();
            let data = Bytes::from_static(&[0, 255]);
            let buffered = socket.emit_with_ack::<(String, Bytes)>("echo", ("größer €", &data));
            assert_eq!(soon(buffered).await, Ok(("größer €".to_owned(), data.clone())));
            assert_eq!(soon(socket.emit_with_ack::<()>("echo", ())).await, Ok(()));
            socket.volatile().emit("ask me", &data);
            assert_eq!(soon(answers.recv()).await, Some(data));
            soon(socket.client().close()).await;
        }
    }
}

#[tokio::test]
async fn client_and_server_speak_messagepack() {
    let url = serve(Server::builder().parser(MessagePackParser)).await;
    talk(&url, MessagePackParser).await;
}

#[tokio::test]
async fn client_and_server_speak_a_parser_of_the_program() {
    let url = serve(Server::builder().parser(Reversed)).await;
    talk(&url, Reversed).await;
}

#[tokio::test]
async fn messagepack_has_no_limit_on_the_number_of_binary_values() {
    let url = serve(Server::builder().parser(MessagePackParser)).await;
    let socket = Client::builder(url).parser(MessagePackParser).connect();
    let many = vec![Bytes::from_static(&[7]); 1_000];
    assert_eq!(soon(socket.emit_with_ack::<Vec<Bytes>>("echo", &many)).await, Ok(many));
}

#[tokio::test]
async fn an_event_that_the_parser_cannot_encode_is_refused_and_the_next_ones_are_sent() {
    let url = serve(Server::builder().parser(Reversed)).await;
    for retries in [None, Some(3)] {
        let mut builder = Client::builder(&url).parser(Reversed);
        if let Some(retries) = retries {
            builder = builder.retries(retries);
        }
        let socket = builder.connect();
        let refused = |sent| matches!(sent, Err(EmitError::Encode(EncodeError::Parser { .. })));
        assert!(refused(socket.try_emit("unspeakable", ())), "while it is not connected");
        soon(socket.connected()).await.unwrap();
        assert!(refused(socket.try_emit("unspeakable", ())));
        let asked = soon(socket.emit_with_ack::<()>("unspeakable", ())).await;
        assert!(matches!(asked, Err(AckError::NotSent(EmitError::Encode(_)))), "{asked:?}");
        assert_eq!(soon(socket.emit_with_ack::<i32>("echo", 1)).await, Ok(1));
    }
}

#[tokio::test]
async fn a_server_with_another_parser_is_reported_and_the_client_tries_again() {
    // The server closes the connection: the request is no packet of its parser.
    let url = serve(Server::builder().parser(MessagePackParser)).await;
    let (sender, mut attempts) = mpsc::unbounded_channel();
    let _socket: Socket = Client::builder(url)
        .reconnection_delay(Duration::from_millis(10))
        .on_reconnect(move |_| {
            let _ = sender.send(());
        })
        .connect();
    soon(attempts.recv()).await.unwrap();

    // The client closes the connection: the server has sent a packet of another parser.
    let io = Server::builder().build();
    io.on_connection(async |socket: server::Socket| socket.emit("greeting", ()));
    let listener = io.bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move { io.serve(listener, std::future::pending()).await });
    let (sender, mut errors) = mpsc::unbounded_channel();
    let socket = Client::builder(format!("http://{address}"))
        .parser(Mumbling)
        .reconnection(false)
        .on_error(move |error, _, _| {
            let _ = sender.send(error.to_string());
        })
        .connect();
    let error = soon(errors.recv()).await.unwrap();
    assert!(error.contains("mumbled"), "{error}");
    let ended = loop {
        if let Err(error) = soon(socket.connected()).await {
            break error;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(ended.to_string(), DisconnectReason::ParseError.as_str());
}

/// The JSON of a packet, backwards, then its attachments.
#[derive(Debug, Clone)]
struct Reversed;

#[derive(Default)]
struct ReversedDecoder {
    packet: Option<IncomingPacket<'static>>,
    json: String,
    awaited: usize,
    attachments: Vec<Bytes>,
}

impl Parser for Reversed {
    fn decoder(&self) -> Box<dyn PacketDecoder> {
        Box::<ReversedDecoder>::default()
    }

    fn encode(&self, packet: &OutgoingPacket<'_>, messages: &mut MessageBatch) -> Result<(), EncodeError> {
        let json = packet.json().unwrap_or_default();
        if json.contains("unspeakable") {
            return Err(EncodeError::custom("it has no word for this"));
        }
        let head = format!(
            "{} {} {} {}",
            packet.packet_type().number(),
            packet.namespace(),
            packet.id().map_or(-1, |id| i64::try_from(id).unwrap_or(-1)),
            packet.attachments().len()
        );
        messages.push_text(&format!("{head} {json}").chars().rev().collect::<String>());
        packet.attachments().iter().for_each(|data| messages.push_binary(data));
        Ok(())
    }
}

impl PacketDecoder for ReversedDecoder {
    fn decode<'m>(&mut self, message: Message<'m>) -> Result<Option<IncomingPacket<'m>>, DecodeError> {
        match message {
            Message::Text(text) => {
                let text: String = text.chars().rev().collect();
                let mut parts = text.splitn(5, ' ');
                let mut next = || parts.next().ok_or(DecodeError::custom("a part is missing"));
                let number = next()?.parse().map_err(DecodeError::custom)?;
                let packet_type = PacketType::from_number(number).ok_or(DecodeError::custom("no type"))?;
                let mut packet = IncomingPacket::new(packet_type, next()?.to_owned());
                if let Ok(id) = next()?.parse() {
                    packet = packet.with_id(id);
                }
                self.awaited = next()?.parse().map_err(DecodeError::custom)?;
                self.json = next()?.to_owned();
                self.packet = Some(packet);
            }
            Message::Binary(data) => {
                self.attachments.push(data.into_owned().into());
                self.awaited = self.awaited.checked_sub(1).ok_or(DecodeError::custom("not expected"))?;
            }
        }
        if self.awaited > 0 {
            return Ok(None);
        }
        let json = std::mem::take(&mut self.json);
        let attachments = std::mem::take(&mut self.attachments);
        Ok(self.packet.take().map(|packet| match json.is_empty() {
            true => packet,
            false => packet.with_json(json, attachments),
        }))
    }
}

/// Sends what the default parser sends, and understands only the response to CONNECT.
#[derive(Debug, Clone)]
struct Mumbling;

impl Parser for Mumbling {
    fn decoder(&self) -> Box<dyn PacketDecoder> {
        Box::new(Self)
    }

    fn encode(&self, packet: &OutgoingPacket<'_>, messages: &mut MessageBatch) -> Result<(), EncodeError> {
        messages.push_text(&packet.packet_type().number().to_string());
        Ok(())
    }
}

impl PacketDecoder for Mumbling {
    fn decode<'m>(&mut self, message: Message<'m>) -> Result<Option<IncomingPacket<'m>>, DecodeError> {
        match message {
            Message::Text(text) if text.starts_with("0{") => {
                Ok(Some(IncomingPacket::new(PacketType::Connect, "/").with_json(&text[1..], Vec::new())))
            }
            _ => Err(DecodeError::custom("mumbled")),
        }
    }
}
