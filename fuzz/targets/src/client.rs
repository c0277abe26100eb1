//! A client, from the packets of Engine.IO to the events of Socket.IO, and a server that may send anything at any time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use engineio_proto::client::{Action, ReadyState, Received, Session, Settings};
use engineio_proto::{
    CloseReason, EncodedMessage, Framing, MessageBatch, MessageEncoder, Packet, ParseError, Payload,
    Reframer, Transport,
};
use socketio_proto::client::{Auth, Client, EmitAction, Limits, Output, SocketKey, Violation};
use socketio_proto::parser::{encode_shared_with, encode_with};
use socketio_proto::{DecoderLimits, MessagePackParser, Parser, encode};
use ws_proto::{Opcode, Time};

use crate::memory;

const NAMESPACES: [&str; 2] = ["/", "/a"];

/// The longest message that the transports accept in this run.
const MAX_MESSAGE: usize = 1024;

/// The most bytes that the receive buffer of a socket may hold, and the attachments of a packet.
const MAX_BUFFER: usize = 4 * 1024;

/// The open packet of a server that keeps to the protocol. Its second ping is overdue after 45 seconds.
const OPEN: &str =
    r#"{"sid":"x","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;

/// The input selects the parser and the transport. After that it is a sequence of actions of a hostile server, the
/// program and the clock. At the end, a server that keeps to the protocol takes over.
pub fn client(data: &[u8]) {
    let held = memory::peak(|| {
        let mut choices = Unstructured::new(data);
        let Ok(mut run) = Run::begin(&mut choices) else { return };
        while !choices.is_empty() && run.step(&mut choices).is_ok() {
            run.check();
        }
        run.recover();
    });
    // However often the server repeats what it sends: what is buffered, one message in its largest form, and what the
    // run itself needs. Two bytes of MessagePack become a placeholder and an entry.
    let limit = 128 * MAX_MESSAGE + 16 * NAMESPACES.len() * MAX_BUFFER + 4 * data.len() + 64 * 1024;
    assert!(held <= limit, "{held} bytes are held for an input of {}", data.len());
}

struct Run {
    parser: Option<Arc<dyn Parser>>,
    transport: Transport,
    session: Session,
    client: Client<u64>,
    keys: Vec<SocketKey>,
    now: Time,
    /// The engine has opened, and the client was told.
    is_open: bool,
    connected: BTreeSet<usize>,
    waiting: BTreeSet<u64>,
    next_waiter: u64,
}

enum Sent {
    Text(String),
    Binary(Vec<u8>),
}

impl Run {
    fn begin(choices: &mut Unstructured<'_>) -> Result<Self> {
        let parser: Option<Arc<dyn Parser>> =
            if choices.arbitrary()? { Some(Arc::new(MessagePackParser)) } else { None };
        let transport = if choices.arbitrary()? { Transport::WebSocket } else { Transport::Polling };
        let mut limits = Limits::default();
        limits.max_receive_buffer_bytes = MAX_BUFFER;
        limits.max_send_buffer_bytes = MAX_BUFFER;
        let mut decoder_limits = DecoderLimits::default();
        decoder_limits.max_attachment_bytes = MAX_BUFFER;
        let mut client = Client::new(&limits, &decoder_limits);
        if let Some(parser) = &parser {
            client = client.with_parser(Arc::clone(parser));
        }
        let auth = if choices.arbitrary()? { Auth::PerConnect } else { Auth::Static(None) };
        let keys = NAMESPACES.map(|namespace| client.socket(namespace, auth.clone())).to_vec();
        client[keys[0]].connect();
        Ok(Self {
            parser,
            transport,
            session: Session::new(transport, &Settings::default(), Time::ZERO),
            client,
            keys,
            now: Time::ZERO,
            is_open: false,
            connected: BTreeSet::new(),
            waiting: BTreeSet::new(),
            next_waiter: 0,
        })
    }

    fn step(&mut self, choices: &mut Unstructured<'_>) -> Result<()> {
        let socket = choices.choose_index(self.keys.len())?;
        let key = self.keys[socket];
        match choices.int_in_range(0..=15_u8)? {
            0 => self.packet(Ok(Packet::Open(OPEN))),
            1 => self.packet(Ok(Packet::Open(choices.arbitrary()?))),
            2..=5 => {
                let messages = self.socketio_packet(choices)?;
                let times = if choices.ratio(1_u8, 4)? { choices.int_in_range(1..=200_u8)? } else { 1 };
                for _ in 0..times {
                    messages.iter().for_each(|message| self.message(message));
                    self.turn();
                }
            }
            6 => {
                let text = cut(choices.arbitrary()?);
                self.packet(Packet::parse(text));
            }
            7 => {
                let body = choices.arbitrary::<&[u8]>()?.to_vec();
                if let Some(mut payload) = Payload::from_bytes(body, MAX_MESSAGE) {
                    while let Some(packet) = payload.next_packet() {
                        self.packet(packet);
                    }
                }
                self.session.handle_poll_finished();
            }
            8 => self.message(&Sent::Binary(choices.arbitrary::<&[u8]>()?.to_vec())),
            9 => match choices.int_in_range(0..=3_u8)? {
                0 => self.session.handle_transport_closed(),
                1 => self.session.handle_transport_failed(),
                2 => self.session.handle_candidate_connected(),
                _ => self.session.handle_candidate_packet(&Packet::parse(choices.arbitrary()?)),
            },
            10 => {
                self.now = self.now + Duration::from_secs(choices.int_in_range(0..=60)?);
                self.session.handle_timeout(self.now);
                while let Some((_, output)) = self.client.handle_timeout(self.now) {
                    self.output(socket, &output);
                }
            }
            11 => self.client[key].connect(),
            12 => self.client[key].disconnect(),
            13 => self.client[key].authenticate(None),
            14 => self.reconnect(),
            _ => self.ask(socket),
        }
        self.turn();
        Ok(())
    }

    /// Handles a packet of Engine.IO.
    fn packet(&mut self, packet: std::result::Result<Packet<'_>, ParseError>) {
        match self.session.handle_packet(packet, self.now) {
            Received::Open => {
                assert!(!self.is_open, "a session opens once");
                self.is_open = true;
                self.client.handle_open();
            }
            Received::Text(text) => self.deliver(text.into()),
            Received::Binary(data) => self.deliver(Sent::Binary(data.into_owned())),
            Received::Nothing => {}
        }
    }

    fn message(&mut self, message: &Sent) {
        match message {
            Sent::Text(text) => self.packet(Ok(Packet::Message(cut(text)))),
            Sent::Binary(data) => {
                let data = &data[..data.len().min(MAX_MESSAGE)];
                self.packet(Ok(Packet::Binary(data.into())));
            }
        }
    }

    /// Passes a message of Engine.IO to the machine of Socket.IO.
    fn deliver(&mut self, message: Sent) {
        let handled = match message {
            Sent::Text(text) => self
                .client
                .handle_text(&text)
                .map(|output| output.map(|(key, output)| (key, output.into_owned()))),
            Sent::Binary(data) => self.client.handle_binary(data),
        };
        match handled {
            Ok(None) => {}
            Ok(Some((key, output))) => {
                let socket = self.keys.iter().position(|other| *other == key).expect("it is one of ours");
                self.output(socket, &output);
            }
            Err(violation) => {
                assert!(self.is_open, "a connection ends once");
                assert!(!violation.to_string().is_empty());
                assert!(violation.to_string().len() < 1024, "{} bytes", violation.to_string().len());
                if let Violation::Decode(error) = &violation {
                    assert!(!error.to_string().is_empty());
                }
                // The client treats the connection as closed. The driver closes it.
                self.is_open = false;
                self.poll();
                assert!(self.connected.is_empty(), "each socket was told");
                self.session.close();
            }
        }
    }

    /// Carries out what the machines want, as far as there is something to do.
    fn turn(&mut self) {
        self.poll();
        while let Some(message) = self.client.poll_transmit() {
            assert!(self.is_open && !message.text().is_empty());
            if let Some(parser) = &self.parser {
                assert!(encode_shared_with(parser, &message).is_ok(), "what the client sends can be encoded");
            }
        }
        for _ in 0..16 {
            let _pong = self.session.poll_transmit([]);
            match self.session.poll_action(self.now) {
                None => return,
                Some(Action::Close(closed)) => {
                    if std::mem::take(&mut self.is_open) {
                        self.client.handle_close(closed.reason);
                        self.poll();
                        assert!(self.connected.is_empty(), "each socket was told");
                    }
                }
                Some(_) => {}
            }
        }
        panic!("the actions do not end");
    }

    fn poll(&mut self) {
        while let Some((key, output)) = self.client.poll_output() {
            let socket = self.keys.iter().position(|other| *other == key).expect("it is one of ours");
            self.output(socket, &output);
        }
    }

    fn output(&mut self, socket: usize, output: &Output<'_, u64>) {
        match output {
            Output::Connected { .. } => assert!(self.connected.insert(socket), "it was connected"),
            Output::Disconnected { .. } => {
                self.connected.remove(&socket);
            }
            Output::Event { .. } => assert!(self.connected.contains(&socket) || self.is_open),
            Output::Ack { waiter, .. } | Output::AckFailed { waiter, .. } => {
                assert!(self.waiting.remove(waiter), "a wait ends once");
            }
            _ => {}
        }
    }

    fn ask(&mut self, socket: usize) {
        let key = self.keys[socket];
        let id = self.client[key].next_ack_id();
        let waiter = self.next_waiter;
        self.next_waiter += 1;
        self.waiting.insert(waiter);
        let mut encoder = MessageEncoder::new();
        let event = encode::event(&mut encoder, NAMESPACES[socket], Some(id), "e", &"data");
        let event = event.expect("it can be written");
        match self.client[key].emit_with_ack(id, &event, None, waiter, self.now) {
            Ok(action) => assert_ne!(action, EmitAction::Dropped),
            Err((_, waiter)) => assert!(self.waiting.remove(&waiter)),
        }
    }

    /// Starts another session, as a driver does after the end of one.
    fn reconnect(&mut self) {
        if self.is_open || self.session.ready_state() != ReadyState::Closed {
            return;
        }
        self.session = Session::new(self.transport, &Settings::default(), self.now);
    }

    fn check(&self) {
        for (socket, key) in self.keys.iter().enumerate() {
            assert_eq!(self.client[*key].is_connected(), self.connected.contains(&socket));
            assert!(self.client[*key].buffered().1 <= MAX_BUFFER);
            assert!(self.is_open || !self.connected.contains(&socket));
        }
    }

    /// Whatever the server has sent before: on a new connection to a server that keeps to the protocol, every socket
    /// connects, and gets an event.
    fn recover(&mut self) {
        self.session.handle_transport_failed();
        self.turn();
        if std::mem::take(&mut self.is_open) {
            self.client.handle_close(CloseReason::TransportError);
        }
        self.poll();
        assert!(self.connected.is_empty());
        self.keys.clone().into_iter().for_each(|key| self.client[key].connect());
        self.session = Session::new(self.transport, &Settings::default(), self.now);
        self.packet(Ok(Packet::Open(OPEN)));
        for (socket, namespace) in NAMESPACES.iter().enumerate() {
            self.client[self.keys[socket]].authenticate(None);
            self.turn();
            let mut encoder = MessageEncoder::new();
            let messages = self.messages(&encode::connect(&mut encoder, namespace, "id"));
            messages.iter().for_each(|message| self.message(message));
            self.turn();
            assert!(self.connected.contains(&socket), "the socket connects again");
        }
        self.turn();
        let (mut encoder, mut received) = (MessageEncoder::new(), false);
        let event = encode::event(&mut encoder, "/a", None, "x", &7).expect("it can be written");
        for message in self.messages(&event) {
            let output = match &message {
                Sent::Text(text) => self.client.handle_text(text),
                Sent::Binary(data) => self.client.handle_binary(&data[..]),
            };
            received = matches!(output, Ok(Some((_, Output::Event { .. }))));
        }
        assert!(received, "events arrive again");
    }

    /// Returns the messages that a server with the same parser sends for a packet.
    fn messages(&self, message: &EncodedMessage<'_>) -> Vec<Sent> {
        let Some(parser) = &self.parser else {
            let attachments = message.attachments().map(|data| Sent::Binary(data.to_vec()));
            return [Sent::Text(message.text().to_owned())].into_iter().chain(attachments).collect();
        };
        let mut batch = MessageBatch::new();
        if encode_with(&**parser, message, &mut batch).is_err() {
            return Vec::new();
        }
        let mut bytes = Vec::new();
        batch.write(Framing::LengthDelimited, |part| bytes.extend_from_slice(part));
        let mut rest = &bytes[..];
        let mut reframer = Reframer::new(Framing::WebSocket);
        let mut messages = Vec::new();
        while let Some(packet) = reframer.next_packet(&mut rest) {
            messages.push(match packet.opcode {
                Opcode::Binary => Sent::Binary(packet.payload.into_owned()),
                _ => Sent::Text(String::from_utf8_lossy(&packet.payload[1..]).into_owned()),
            });
        }
        messages
    }

    /// Returns the messages of a packet of Socket.IO, or arbitrary ones.
    fn socketio_packet(&self, choices: &mut Unstructured<'_>) -> Result<Vec<Sent>> {
        let namespace = *choices.choose(&NAMESPACES)?;
        let id = choices.int_in_range(0..=3_u64)?;
        let mut encoder = MessageEncoder::new();
        let message = match choices.int_in_range(0..=9_u8)? {
            0 | 1 => encode::connect(&mut encoder, namespace, "id"),
            2 => encode::connect_with_pid(&mut encoder, namespace, choices.arbitrary()?, "pid"),
            3 => encode::disconnect(&mut encoder, namespace),
            4 | 5 => {
                let arguments = (choices.arbitrary::<&str>()?, id, "offset");
                let ack = (id > 1).then_some(id);
                encode::event(&mut encoder, namespace, ack, "x", &arguments).expect("it can be written")
            }
            6 => {
                let data = bytes::Bytes::copy_from_slice(choices.arbitrary()?);
                encode::event(&mut encoder, namespace, None, "x", &data).expect("it can be written")
            }
            7 => encode::ack(&mut encoder, namespace, id, &"yes").expect("it can be written"),
            8 => {
                let error: &str = choices.arbitrary()?;
                encode::connect_error::<()>(&mut encoder, namespace, error, None).expect("it can be written")
            }
            _ => return Ok(vec![choices.arbitrary::<&str>()?.into()]),
        };
        Ok(self.messages(&message))
    }
}

impl From<&str> for Sent {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// Cuts a text at the limit of the transport.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_MESSAGE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
