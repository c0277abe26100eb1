//! Sessions as browsers open them: polling first, then an upgrade to WebSocket, with all steps in between.

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use super::echo::TICK;
use super::fleet::RESPONSE_TIMEOUT;
use super::measure::{Reading, Row};
use super::options::{Options, Protocol, Workload};
use super::script::{Kind, Script};
use super::web::{Arrival, OPEN, Web, session_id};

/// The number of concurrent sessions.
const OPENING: usize = 32;

pub(super) fn run(options: &Options) -> Result<Row> {
    let Workload::Upgrade { connections } = options.workload else { unreachable!() };
    ensure!(options.protocol == Protocol::SocketIo, "the upgrade is of Socket.IO");
    let mut opening = Opening {
        web: Web::new(options.address)?,
        clients: Vec::with_capacity(connections),
        owner: Vec::new(),
        script: Script::new(Kind::Event, 32),
        ready: 0,
        wrong: 0,
    };
    // The first sessions are not counted, because caches are cold.
    opening.open_until(connections / 5)?;
    let from = Reading::take(options.process)?;
    let warm = opening.ready;
    opening.open_until(warm + connections)?;
    let to = Reading::take(options.process)?;
    let mut row = Row::new(options);
    row.set_cost(from, to, connections as u64);
    row.wrong = opening.wrong;
    Ok(row)
}

/// The state of a session, named after the event that it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Open,
    PostAnswer,
    Connect,
    Handshake,
    /// The response to the probe. A poll is open meanwhile.
    Probe,
    /// The end of the open poll.
    PollEnd,
    /// The echo of the first event over WebSocket.
    Echo,
    Ready,
}

#[derive(Debug)]
struct Client {
    phase: Phase,
    path: String,
    poll: usize,
    socket: usize,
}

struct Opening {
    web: Web,
    clients: Vec<Client>,
    /// The client of each connection.
    owner: Vec<usize>,
    script: Script,
    ready: usize,
    wrong: u64,
}

impl Opening {
    fn open_until(&mut self, wanted: usize) -> Result<()> {
        let mut arrivals = Vec::new();
        let mut last_progress = Instant::now();
        while self.ready < wanted {
            while self.clients.len() < wanted && self.clients.len() - self.ready < OPENING {
                let poll = self.connect(self.clients.len())?;
                self.web.get(poll, OPEN)?;
                let (phase, path) = (Phase::Open, String::new());
                self.clients.push(Client { phase, path, poll, socket: usize::MAX });
            }
            self.web.turn(TICK, &mut arrivals)?;
            if !arrivals.is_empty() {
                last_progress = Instant::now();
            }
            for (place, arrival) in arrivals.drain(..) {
                self.on_arrival(place, arrival)?;
            }
            ensure!(last_progress.elapsed() < RESPONSE_TIMEOUT, "an upgrade came to nothing");
        }
        Ok(())
    }

    fn connect(&mut self, client: usize) -> Result<usize> {
        let place = self.web.connect()?;
        self.owner.push(client);
        Ok(place)
    }

    fn on_arrival(&mut self, place: usize, arrival: Arrival) -> Result<()> {
        let number = self.owner[place];
        let client = &mut self.clients[number];
        // Some servers send their first ping at once. No session lasts long enough to need a pong.
        let arrival = match arrival {
            Arrival::Message(payload) if payload == b"2" => return Ok(()),
            Arrival::Answer(body) if body == b"2" => return self.web.get(place, &client.path),
            Arrival::Answer(body) if body.starts_with(b"2\x1e") => Arrival::Answer(body[2..].to_vec()),
            other => other,
        };
        let next = match (client.phase, arrival) {
            (Phase::Open, Arrival::Answer(body)) => {
                client.path = format!("{OPEN}&sid={}", session_id(&body)?);
                self.web.post(client.poll, &client.path, b"40")?;
                Phase::PostAnswer
            }
            (Phase::PostAnswer, Arrival::Answer(_)) => {
                self.web.get(client.poll, &client.path)?;
                Phase::Connect
            }
            (Phase::Connect, Arrival::Answer(body)) => {
                ensure!(body.starts_with(b"40{"), "no connect: {}", String::from_utf8_lossy(&body));
                self.web.get(client.poll, &client.path)?;
                let path = client.path.replace("polling", "websocket");
                let socket = self.connect(number)?;
                self.web.upgrade(socket, &path)?;
                self.clients[number].socket = socket;
                Phase::Handshake
            }
            (Phase::Handshake, Arrival::Upgraded) => {
                self.web.message(client.socket, b"2probe")?;
                Phase::Probe
            }
            // Clients continue to poll until the response to the probe arrives. Then they let the open poll end.
            (phase @ (Phase::Handshake | Phase::Probe | Phase::PollEnd), Arrival::Answer(body)) => {
                ensure!(body == b"6", "the poll ended with {}", String::from_utf8_lossy(&body));
                if phase == Phase::PollEnd {
                    self.change_over(number)?
                } else {
                    self.web.get(place, &client.path)?;
                    phase
                }
            }
            (Phase::Probe, Arrival::Message(payload)) => {
                ensure!(payload == b"3probe", "the probe was answered with something else");
                Phase::PollEnd
            }
            (Phase::Echo, Arrival::Message(payload)) => {
                if !self.script.is_answer(&payload, number, 0) {
                    self.wrong += 1;
                }
                self.ready += 1;
                let poll = client.poll;
                self.web.close(poll);
                Phase::Ready
            }
            // The server may close the connection that was used for polling.
            (phase, Arrival::End) if place == client.poll && phase >= Phase::PollEnd => phase,
            (phase, arrival) => bail!("{arrival:?} arrived in phase {phase:?}"),
        };
        self.clients[number].phase = next;
        Ok(())
    }

    /// Sends the upgrade packet and uses the session over WebSocket.
    fn change_over(&mut self, number: usize) -> Result<Phase> {
        let client = &self.clients[number];
        self.web.message(client.socket, b"5").context("the upgrade packet")?;
        let event = self.script.request(number, 0).to_vec();
        self.web.message(client.socket, &event)?;
        Ok(Phase::Echo)
    }
}
