//! Echo over long-polling. As in browsers, each client polls on one connection and posts on another.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::echo::{TICK, WARM_UP};
use super::fleet::RESPONSE_TIMEOUT;
use super::measure::{Reading, Row};
use super::options::{Extent, Options, Protocol, Workload};
use super::script::{Kind, Script};
use super::tally::{Histogram, Tally};
use super::web::{Arrival, OPEN, Web, session_id};

pub(super) fn run(options: &Options) -> Result<Row> {
    let Workload::Polling { connections, size } = options.workload else { unreachable!() };
    ensure!(options.protocol == Protocol::SocketIo, "long-polling is of Socket.IO");
    let mut polling = Polling {
        web: Web::new(options.address)?,
        clients: Vec::with_capacity(connections),
        script: Script::new(Kind::Event, size),
        histogram: Histogram::new(),
        tally: Tally::default(),
        origin: Instant::now(),
        left: None,
    };
    polling.open(connections)?;
    let from = match options.extent {
        Extent::Messages(messages) => {
            polling.left = Some(messages);
            let from = Reading::take(options.process)?;
            polling.begin()?;
            from
        }
        Extent::Time(_) => {
            polling.begin()?;
            polling.go_on_for(WARM_UP)?;
            polling.histogram.clear();
            Reading::take(options.process)?
        }
    };
    let before = if matches!(options.extent, Extent::Time(_)) { polling.tally.right } else { 0 };
    match options.extent {
        Extent::Time(duration) => polling.go_on_for(duration)?,
        Extent::Messages(_) => polling.finish()?,
    }
    let to = Reading::take(options.process)?;
    let answered = polling.tally.right - before;
    polling.left = Some(0);
    polling.finish()?;
    let mut row = Row::new(options);
    row.set_cost(from, to, answered);
    row.set_latency(&polling.histogram);
    row.set_tally(polling.tally);
    Ok(row)
}

/// One session. Its connections are `2 * number` for the polls and the next one for the posts.
#[derive(Debug)]
struct Client {
    path: String,
    /// The message in flight.
    order: u32,
    sent: u64,
    /// The missing steps until it is complete.
    echo_missing: bool,
    post_missing: bool,
}

struct Polling {
    web: Web,
    clients: Vec<Client>,
    script: Script,
    histogram: Histogram,
    tally: Tally,
    origin: Instant,
    /// The number of messages still to be sent, if it is fixed.
    left: Option<u64>,
}

impl Polling {
    /// Opens the sessions, one after another.
    fn open(&mut self, connections: usize) -> Result<()> {
        for number in 0..connections {
            let poll = self.web.connect()?;
            self.web.connect()?;
            self.web.get(poll, OPEN)?;
            let path = format!("{OPEN}&sid={}", session_id(&self.answer(poll)?)?);
            self.web.post(poll, &path, b"40")?;
            ensure!(self.answer(poll)?.eq_ignore_ascii_case(b"ok"), "the POST was not answered with ok");
            // Some servers send their first ping before they accept the namespace connection.
            loop {
                self.web.get(poll, &path)?;
                let body = self.answer(poll)?;
                let packets = || body.split(|&byte| byte == 0x1e);
                if packets().any(|packet| packet == b"2") {
                    self.web.post(poll, &path, b"3")?;
                    self.answer(poll)?;
                }
                if packets().any(|packet| packet.starts_with(b"40{")) {
                    break;
                }
                ensure!(body == b"2", "client {number} was not admitted: {}", String::from_utf8_lossy(&body));
            }
            self.clients.push(Client { path, order: 0, sent: 0, echo_missing: false, post_missing: false });
        }
        Ok(())
    }

    /// Waits for the single expected response while sessions are opened.
    fn answer(&mut self, place: usize) -> Result<Vec<u8>> {
        let start = Instant::now();
        let mut arrivals = Vec::new();
        while start.elapsed() < RESPONSE_TIMEOUT {
            self.web.turn(TICK, &mut arrivals)?;
            if let Some((from, Arrival::Answer(body))) = arrivals.pop() {
                ensure!(from == place, "an answer on another connection");
                return Ok(body);
            }
        }
        anyhow::bail!("a request was not answered")
    }

    fn begin(&mut self) -> Result<()> {
        for number in 0..self.clients.len() {
            let path = self.clients[number].path.clone();
            self.web.get(2 * number, &path)?;
            self.post_next(number)?;
        }
        Ok(())
    }

    fn post_next(&mut self, number: usize) -> Result<()> {
        match &mut self.left {
            Some(0) => return Ok(()),
            Some(left) => *left -= 1,
            None => {}
        }
        let client = &mut self.clients[number];
        client.order += 1;
        client.sent = self.origin.elapsed().as_nanos() as u64;
        (client.echo_missing, client.post_missing) = (true, true);
        self.web.post(2 * number + 1, &client.path, self.script.request(number, client.order))
    }

    fn go_on_for(&mut self, duration: Duration) -> Result<()> {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            self.turn()?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        let start = Instant::now();
        let missing = |client: &&Client| client.echo_missing || client.post_missing;
        while self.left != Some(0) || self.clients.iter().any(|client| missing(&client)) {
            self.turn()?;
            if start.elapsed() > RESPONSE_TIMEOUT {
                break;
            }
        }
        self.tally.lost = self.clients.iter().filter(missing).count() as u64;
        Ok(())
    }

    fn turn(&mut self) -> Result<()> {
        let mut arrivals = Vec::new();
        self.web.turn(TICK, &mut arrivals)?;
        for (place, arrival) in arrivals {
            let Arrival::Answer(body) = arrival else { anyhow::bail!("the server has closed a connection") };
            let number = place / 2;
            let client = &mut self.clients[number];
            if place % 2 == 1 {
                ensure!(body.eq_ignore_ascii_case(b"ok"), "the POST was not answered with ok");
                client.post_missing = false;
            } else {
                // The body holds one packet, or several with separators. One of them may be a ping.
                for packet in body.split(|&byte| byte == 0x1e) {
                    if packet == b"2" {
                        self.web.post(2 * number + 1, &client.path, b"3")?;
                    } else if client.echo_missing && self.script.is_answer(packet, number, client.order) {
                        client.echo_missing = false;
                        self.tally.right += 1;
                        let now = self.origin.elapsed().as_nanos() as u64;
                        self.histogram.record(now - client.sent);
                    } else {
                        self.tally.wrong += 1;
                    }
                }
                self.web.get(place, &client.path)?;
            }
            if !client.echo_missing && !client.post_missing {
                self.post_next(number)?;
            }
        }
        Ok(())
    }
}
