//! A WebSocket connection between the two ends, and the bytes in flight.

use tidewire_engineio_proto::{Framing, Packet, Transport, WireFormat};
use ws_proto::{Connection as Machine, Event, Input, Limits, Role, Time};

use crate::misbehaving_client::Stranger;
use crate::wire::encode_message;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The state of the server's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The request is in flight.
    Coming,
    Open,
    Closed,
}

#[derive(Debug)]
pub(crate) struct Connection {
    /// The misbehaving client that owns the connection, if it is not the real client's.
    pub(crate) stranger: Option<Stranger>,
    pub(crate) end: End,
    /// The client has been told that the connection is open.
    pub(crate) connected: bool,
    /// Whether the connection may break at any moment, and whether it has.
    pub(crate) breaks: bool,
    pub(crate) broken: bool,
    /// The client has closed the connection, and reads nothing more.
    pub(crate) left: bool,
    pub(crate) to_server: Vec<u8>,
    pub(crate) to_client: Vec<u8>,
    framing: Framing,
    server: Machine,
    client: Machine,
}

impl Connection {
    pub(crate) fn new(stranger: Option<Stranger>, breaks: bool, format: &WireFormat) -> Self {
        Self {
            stranger,
            end: End::Coming,
            connected: false,
            breaks,
            broken: false,
            left: false,
            to_server: Vec::new(),
            to_client: Vec::new(),
            framing: format.framing(Transport::WebSocket),
            server: Machine::new(Role::Server, &Limits::default()),
            client: Machine::new(Role::Client, &Limits::default()),
        }
    }

    pub(crate) fn client_says(&mut self, packet: &Packet<'_>) {
        if !self.broken {
            encode_message(self.framing, packet, Some(KEY), &mut self.to_server);
        }
    }

    pub(crate) fn server_says(&mut self, packet: &Packet<'_>) {
        encode_message(self.framing, packet, None, &mut self.to_client);
    }

    /// Sends text that is not a packet.
    pub(crate) fn client_says_text(&mut self, text: &str) {
        ws_proto::encode_frame(ws_proto::Opcode::Text, text.as_bytes(), Some(KEY), &mut self.to_server);
    }

    /// Sends a frame that violates the WebSocket protocol: it is not masked.
    pub(crate) fn client_breaks_framing(&mut self) {
        encode_message(self.framing, &Packet::Upgrade, None, &mut self.to_server);
    }

    /// Returns whether the server still handles bytes that arrive.
    pub(crate) fn is_open(&self) -> bool {
        self.end == End::Open
    }

    pub(crate) fn close_by_server(&mut self, now: Time) {
        self.end = End::Closed;
        self.server.close(None, now);
        while let Some(control) = self.server.poll_transmit() {
            control.encode_into(&mut self.to_client, None);
        }
    }

    pub(crate) fn close_by_client(&mut self, now: Time) {
        self.left = true;
        self.client.close(None, now);
        while let Some(control) = self.client.poll_transmit() {
            if !self.broken {
                control.encode_into(&mut self.to_server, Some(KEY));
            }
        }
    }

    /// Delivers the first `length` bytes in flight to the server. Returns `None` if they violate the protocol.
    pub(crate) fn server_reads(&mut self, length: usize, now: Time) -> Vec<Option<Event<'static>>> {
        decode(&mut self.server, &mut self.to_server, length, now)
    }

    pub(crate) fn client_reads(&mut self, length: usize, now: Time) -> Vec<Event<'static>> {
        let events = decode(&mut self.client, &mut self.to_client, length, now);
        events.into_iter().map(|event| event.expect("the server keeps the rules")).collect()
    }
}

fn decode(
    machine: &mut Machine,
    bytes: &mut Vec<u8>,
    length: usize,
    now: Time,
) -> Vec<Option<Event<'static>>> {
    let mut read: Vec<u8> = bytes.drain(..length.min(bytes.len())).collect();
    let mut input = Input::new(&mut read);
    let mut events = Vec::new();
    loop {
        match machine.decode(&mut input, now) {
            Ok(Some(event)) => events.push(Some(event.into_owned())),
            Ok(None) => return events,
            Err(_) => events.push(None),
        }
    }
}
