//! The client: it keeps the rules of the upgrade, except on candidates that are to fail.

use tidewire_engineio_proto::{Framing, Packet, Packets, Payload, encode_payload};
use ws_proto::{Event, Opcode};

use crate::connection::{Plan, Step};
use crate::world::{Get, MESSAGES, Post, World};

#[derive(Debug, Default)]
pub(crate) struct Client {
    /// Messages sent and received.
    pub(crate) sent: u32,
    pub(crate) received: u32,
    /// Pongs that are owed.
    pub(crate) pongs: u32,
    /// The candidate for which it has stopped to poll and to post.
    pub(crate) pausing: Option<usize>,
    /// The connection that is the transport, for the client.
    pub(crate) transport: Option<usize>,
    /// It has learnt that the session is lost.
    pub(crate) is_over: bool,
}

impl Client {
    /// The next message as a WebSocket carries it: every third one is bytes.
    fn next_message(&mut self) -> Option<(Opcode, Vec<u8>)> {
        let number = self.sent;
        if number == MESSAGES {
            return None;
        }
        self.sent += 1;
        Some(match number % 3 {
            2 => (Opcode::Binary, number.to_be_bytes().into()),
            _ => (Opcode::Text, format!("4{number}").into()),
        })
    }

    fn receive(&mut self, number: u32) {
        assert_eq!(number, self.received, "from the server");
        self.received += 1;
    }

    fn receive_bytes(&mut self, bytes: &[u8]) {
        self.receive(u32::from_be_bytes(bytes.try_into().expect("four bytes")));
    }
}

impl World {
    pub(crate) fn answer_arrives(&mut self) {
        let Get::Answered(body) = std::mem::replace(&mut self.get, Get::None) else { unreachable!() };
        let mut payload = Payload::new(body);
        while let Some(packet) = payload.next_packet() {
            match packet.expect("a packet") {
                Packet::Message(text) => self.client.receive(text.parse().expect("a number")),
                Packet::Binary(bytes) => self.client.receive_bytes(&bytes),
                Packet::Ping("") => self.client.pongs += 1,
                Packet::Noop => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) fn post_leaves(&mut self, messages: usize) {
        let mut waiting = Vec::new();
        for _ in 0..std::mem::take(&mut self.client.pongs) {
            Framing::Packets.write_packet(&Packet::Pong(""), &mut waiting);
        }
        for (opcode, payload) in std::iter::from_fn(|| self.client.next_message()).take(messages) {
            let packet = match opcode {
                Opcode::Binary => Packet::Binary((&*payload).into()),
                _ => Packet::Message(str::from_utf8(&payload[1..]).expect("a number")),
            };
            Framing::Packets.write_packet(&packet, &mut waiting);
        }
        let mut body = Vec::new();
        encode_payload(Packets::new(&waiting), &mut body);
        self.post = Post::Coming(String::from_utf8(body).expect("text"));
    }

    /// The next step of the plan for this connection.
    pub(crate) fn client_acts(&mut self, number: usize) {
        let connection = &mut self.connections[number];
        if connection.step == Step::Opened && connection.plan.probes() {
            connection.client_says(Opcode::Text, b"2probe");
            connection.step = Step::Probed;
            return;
        }
        connection.step = Step::Done;
        match connection.plan {
            Plan::Move => self.client.pausing = Some(number),
            Plan::SayWrong { what, .. } => connection.client_says(Opcode::Text, what.as_bytes()),
            Plan::Leave { .. } => connection.close_by_client(self.now),
            Plan::BreakFraming => connection.to_server.extend_from_slice(b"\x81\x015"), // not masked
            Plan::Nothing => unreachable!("it does not act"),
        }
    }

    /// Polling is paused: from here on the candidate is the transport.
    pub(crate) fn client_moves(&mut self, number: usize, messages: usize) {
        self.client.pausing = None;
        self.client.transport = Some(number);
        self.connections[number].client_says(Opcode::Text, b"5");
        self.client_sends(number, messages - 1);
    }

    pub(crate) fn client_sends(&mut self, number: usize, messages: usize) {
        let connection = &mut self.connections[number];
        for _ in 0..std::mem::take(&mut self.client.pongs) {
            connection.client_says(Opcode::Text, b"3");
        }
        for (opcode, payload) in std::iter::from_fn(|| self.client.next_message()).take(messages) {
            connection.client_says(opcode, &payload);
        }
    }

    pub(crate) fn client_reads(&mut self, number: usize, length: usize) {
        let is_transport = self.client.transport == Some(number);
        for event in self.connections[number].client_reads(length, self.now) {
            match event {
                Event::Text(text) if text == "3probe" => {
                    let step = std::mem::replace(&mut self.connections[number].step, Step::Answered);
                    assert_eq!(step, Step::Probed, "the answer comes once");
                }
                Event::Text(text) if text == "2" && is_transport => self.client.pongs += 1,
                Event::Text(text) if is_transport => {
                    let number = text.strip_prefix('4').expect("a message");
                    self.client.receive(number.parse().expect("a number"));
                }
                Event::Binary(bytes) if is_transport => self.client.receive_bytes(&bytes),
                Event::Close(_) => self.client_loses(number),
                other => panic!("{other:?}"),
            }
        }
    }

    /// The connection vanishes, and with it some of what was on its way.
    pub(crate) fn connection_breaks(&mut self, number: usize, how: u8) {
        let connection = &mut self.connections[number];
        connection.broken = true;
        connection.to_client.clear();
        if how & 1 == 0 {
            connection.to_server.truncate(usize::from(how));
        }
        self.client_loses(number);
    }

    /// A candidate is lost, and polling goes on; or the session was already there.
    fn client_loses(&mut self, number: usize) {
        self.connections[number].step = Step::Done;
        if self.client.pausing == Some(number) {
            self.client.pausing = None;
        }
        if self.client.transport == Some(number) {
            self.client.is_over = true;
        }
    }
}
