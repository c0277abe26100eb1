//! The connection of a client that may recover its session.

use std::net::SocketAddr;
use std::task::Context;

use engineio_client::{
    Closed, Connector, EngineHandler, Message, MessageBatch, MessageEncoder, Session, Time,
};
use socketio_proto::parser::encode_with;
use socketio_proto::{Decoder, DecoderLimits, Packet, encode};
use tidewire_server::{MessagePackParser, Transport};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::support::{Client, soon};

/// A connection. Packets have the form of the default parser here, whatever their form on the wire is.
pub(super) enum Connection {
    /// A WebSocket, whose packets are sent and received as they are.
    Literal(Box<Client>),
    Engine(EngineConnection),
}

/// How the packets of a connection are sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wire {
    pub(super) transports: &'static [Transport],
    pub(super) format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    MessagePack,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr, wire: Option<Wire>) -> Self {
        match wire {
            None => Self::Literal(Box::new(Client::open(address).await)),
            Some(wire) => Self::Engine(EngineConnection::open(address, wire)),
        }
    }

    pub(super) async fn send(&mut self, packet: &str) {
        match self {
            Self::Literal(client) => client.send(packet).await,
            Self::Engine(connection) => connection.send(packet),
        }
    }

    /// Returns the next packet. `None` when the connection is closed.
    pub(super) async fn recv(&mut self) -> Option<String> {
        match self {
            Self::Literal(client) => client.recv().await,
            Self::Engine(connection) => soon(connection.packets.recv()).await,
        }
    }
}

/// A connection over any transport, which may upgrade, with any format. It is cut when it is dropped.
pub(super) struct EngineConnection {
    session: Session,
    format: Format,
    packets: mpsc::UnboundedReceiver<String>,
    driver: JoinHandle<()>,
}

impl EngineConnection {
    fn open(address: SocketAddr, Wire { transports, format }: Wire) -> Self {
        let connector =
            Connector::new(&format!("http://{address}")).path("/socket.io").transports(transports);
        let (session, driver) = connector.connect().expect("the settings are valid");
        let (sender, packets) = mpsc::unbounded_channel();
        let limits = DecoderLimits::default();
        let decoder = match format {
            Format::Json => Decoder::new(&limits),
            Format::MessagePack => Decoder::with_parser(&MessagePackParser, &limits),
        };
        let driver = tokio::spawn(async move {
            driver.run(Receiver { decoder, packets: sender }).await;
        });
        Self { session, format, packets, driver }
    }

    fn send(&self, packet: &str) {
        let text = packet.strip_prefix('4').expect("a packet of Socket.IO");
        match self.format {
            Format::Json => self.session.send_text(text),
            Format::MessagePack => self.session.send_batch(&to_message_pack(text)),
        }
    }
}

impl Drop for EngineConnection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Passes the packets of the server to the test.
struct Receiver {
    decoder: Decoder,
    packets: mpsc::UnboundedSender<String>,
}

impl EngineHandler for Receiver {
    fn on_message(&mut self, message: Message<'_>, _now: Time, _cx: &mut Context<'_>) {
        let packet = match message {
            Message::Text(text) => {
                self.decoder.decode_text(text).map(|packet| packet.map(Packet::into_owned))
            }
            Message::Binary(data) => self.decoder.decode_binary(data),
        };
        let packet = packet.expect("a valid packet").expect("a packet without attachments");
        let _ = self.packets.send(to_text(&packet));
    }

    fn on_close(&mut self, _closed: Closed, _now: Time, _cx: &mut Context<'_>) {}
}

fn to_text(packet: &Packet<'_>) -> String {
    match packet {
        Packet::Connect { auth, .. } => format!("40{}", auth.as_ref().map_or("", |auth| auth.as_str())),
        Packet::Disconnect { .. } => "41".to_owned(),
        Packet::Event { ack, event, .. } => {
            let id = ack.map(|id| id.to_string()).unwrap_or_default();
            let comma = if event.arguments().is_empty() { "" } else { "," };
            format!(r#"42{id}["{}"{comma}{}]"#, event.name(), event.arguments().json_elements())
        }
        Packet::Ack { id, arguments, .. } => format!("43{id}[{}]", arguments.json_elements()),
        other => panic!("the server of the test does not send {other:?}"),
    }
}

fn to_message_pack(text: &str) -> MessageBatch {
    let packet = Decoder::new(&DecoderLimits::default()).decode_text(text);
    let packet = packet.expect("a valid packet").expect("a packet without attachments");
    let (mut encoder, mut batch) = (MessageEncoder::new(), MessageBatch::new());
    let message = match &packet {
        Packet::Connect { namespace, auth } => {
            Ok(encode::connect_request(&mut encoder, namespace, auth.as_ref(), None, None))
        }
        Packet::Event { namespace, ack, event } => {
            encode::event(&mut encoder, namespace, *ack, event.name(), event.arguments())
        }
        Packet::Ack { namespace, id, arguments } => encode::ack(&mut encoder, namespace, *id, arguments),
        other => panic!("the client of the test does not send {other:?}"),
    };
    let message = message.expect("it was decoded before");
    encode_with(&MessagePackParser, &message, &mut batch).expect("each packet has a form");
    batch
}
