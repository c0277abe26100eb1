//! A WebSocket connection between the two ends, and the bytes that are on their way.

use tidewire_engineio_proto::{Framing, Packet};
use ws_proto::{Connection as Machine, Event, Input, Limits, Opcode, Role, Time};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// What the client has in mind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    /// To move.
    Move,
    /// To say something wrong, at once or after the probe.
    SayWrong { probe: bool, what: &'static str },
    /// To leave in order, at once or after the probe.
    Leave { probe: bool },
    /// To break the rules of WebSocket.
    BreakFraming,
    /// Nothing.
    Nothing,
}

impl Plan {
    pub(crate) fn of(how: u8) -> Self {
        const WRONG: [&str; 9] = ["5", "", "0", "1", "2", "3probe", "4hello", "2probed", "x"];
        let what = WRONG[usize::from(how) % WRONG.len()];
        let probe = how & 1 == 0;
        match how % 16 {
            0..6 => Self::Move,
            6..10 if probe && what == "5" => Self::Move,
            6..10 => Self::SayWrong { probe, what },
            10..12 => Self::Leave { probe },
            12 => Self::BreakFraming,
            _ => Self::Nothing,
        }
    }

    pub(crate) fn probes(self) -> bool {
        matches!(self, Self::Move | Self::SayWrong { probe: true, .. } | Self::Leave { probe: true })
    }
}

/// How far the client has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Opened,
    Probed,
    Answered,
    /// It says nothing more, or is the transport.
    Done,
}

/// Where the server's end stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The request is on its way.
    Coming,
    Open,
    Closed,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) plan: Plan,
    pub(crate) step: Step,
    pub(crate) end: End,
    /// Whether the client may vanish at any moment, and whether it has.
    pub(crate) breaks: bool,
    pub(crate) broken: bool,
    pub(crate) to_server: Vec<u8>,
    pub(crate) to_client: Vec<u8>,
    server: Machine,
    client: Machine,
}

impl Connection {
    pub(crate) fn new(plan: Plan, breaks: bool) -> Self {
        Self {
            plan,
            step: Step::Opened,
            end: End::Coming,
            breaks,
            broken: false,
            to_server: Vec::new(),
            to_client: Vec::new(),
            server: Machine::new(Role::Server, &Limits::default()),
            client: Machine::new(Role::Client, &Limits::default()),
        }
    }

    pub(crate) fn client_says(&mut self, opcode: Opcode, payload: &[u8]) {
        ws_proto::encode_message(opcode, payload, Some(KEY), &mut self.to_server);
    }

    pub(crate) fn server_says(&mut self, packet: &Packet<'_>) {
        Framing::WebSocket.write_packet(packet, &mut self.to_client);
    }

    /// Whether bytes that arrive still mean something to the server.
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
        self.client.close(None, now);
        while let Some(control) = self.client.poll_transmit() {
            control.encode_into(&mut self.to_server, Some(KEY));
        }
    }

    /// The first `length` bytes that are on their way reach the server. `None` stands for a broken rule.
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
