//! The client. It follows the rules of the upgrade, with random delays. Sometimes it waits less than it should.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use engineio_proto::{Framing, LengthDelimitedPackets, Packet, Payload, encode_payload};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep};
use ws_proto::{Event, Opcode};

use super::{AFTERWARDS, MESSAGES, UPGRADE_TIMEOUT, assert_about, dawdle, message};
use crate::choppy_stream::{Choppy, Dice};
use crate::support::{
    Request, Response, Seen, Server, Stream, WebSocket, frame, frames, soon, websocket_request,
};

/// How long a poll may wait for its noop after the probe.
const RELEASE_INTERVAL: Duration = Duration::from_millis(100);

/// A client with a polling session.
pub(super) struct Client<'a> {
    server: &'a Server,
    query: String,
    dice: RefCell<Dice>,
    /// The number of messages sent.
    sent: Cell<u32>,
    /// The number of pings without a pong yet.
    pings: Cell<u32>,
    pub(super) received: RefCell<Vec<Seen>>,
    /// No GET and no POST starts any more.
    paused: Cell<bool>,
}

impl<'a> Client<'a> {
    pub(super) fn new(server: &'a Server, query: &str, dice: Dice) -> Self {
        Self {
            server,
            query: query.into(),
            dice: RefCell::new(dice),
            sent: Cell::new(0),
            pings: Cell::new(0),
            received: RefCell::default(),
            paused: Cell::new(false),
        }
    }

    fn fork(&self) -> Dice {
        self.dice.borrow_mut().fork()
    }

    /// Opens a separate connection with little buffer capacity.
    fn connect(&self) -> Box<dyn Stream> {
        let mut dice = self.fork();
        let (client, server) = tokio::io::duplex(dice.pick(&[256, 4 * 1_024, 64 * 1_024]));
        self.server.serve(Choppy::new(server, dice));
        Box::new(client)
    }

    pub(super) async fn request(&self, method: &str, body: &str) -> Response {
        let mut stream = self.connect();
        let (query, length) = (&self.query, body.len());
        let request = format!(
            "{method} /engine.io/?{query} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\
            Content-Length: {length}\r\n\r\n{body}"
        );
        soon(stream.write_all(request.as_bytes())).await.expect("sent");
        Request(stream).response().await
    }

    pub(super) async fn candidate(&self, behind: &[u8]) -> WebSocket {
        let query = self.query.replace("transport=polling", "transport=websocket");
        WebSocket::connect(self.connect(), &query, behind).await
    }

    /// Polls and posts. Meanwhile candidates fail, and the last one succeeds. Returns the WebSocket once everything has
    /// been sent and received.
    pub(super) async fn talk_and_move(&self, mut dice: Dice) -> WebSocket {
        // A client in a hurry does not wait for the responses to its requests before it sends the upgrade packet. It
        // only gives the requests time to arrive, because the order between two connections is undefined.
        let hurry = dice.once_in(3);
        // Some of these clients do not probe either.
        let probes = !hurry || dice.once_in(2);
        let (polling, posting) = (self.fork(), self.fork());
        let mut paused_at = Instant::now();
        let polling = async {
            self.poll(polling, hurry).await;
            Instant::now()
        };
        let (polled_at, (), mut websocket) = tokio::join!(polling, self.post(posting), async {
            let mut websocket = self.try_candidates(probes, &mut dice).await;
            self.paused.set(true);
            paused_at = Instant::now();
            if hurry {
                sleep(Duration::from_millis(5)).await;
                self.begin_websocket(&mut websocket, &mut dice).await;
            }
            websocket
        });
        assert!(polled_at - paused_at < RELEASE_INTERVAL * 2, "{:?}", polled_at - paused_at);
        if !hurry {
            sleep(Duration::from_millis(dice.below(60))).await;
            self.begin_websocket(&mut websocket, &mut dice).await;
        }
        self.talk(&mut websocket, dice).await;
        websocket
    }

    async fn poll(&self, mut dice: Dice, hurry: bool) {
        while !self.paused.get() {
            let response = self.request("GET", "").await;
            match (response.status, &*response.body) {
                // The request was still waiting during the upgrade, or arrived later.
                (200, "1") | (400, _) if hurry && self.paused.get() => {}
                (200, body) => self.take_payload(body),
                _ => panic!("{response:?}"),
            }
            dawdle(&mut dice).await;
        }
    }

    fn take_payload(&self, body: &str) {
        let mut payload = Payload::new(body.to_owned());
        while let Some(packet) = payload.next_packet() {
            match packet.expect("a packet") {
                Packet::Message(text) => self.received.borrow_mut().push(Seen::Text(text.into())),
                Packet::Binary(data) => self.received.borrow_mut().push(Seen::Binary(data.into())),
                Packet::Ping("") => self.pings.set(self.pings.get() + 1),
                Packet::Noop => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn post(&self, mut dice: Dice) {
        while !self.paused.get() {
            let mut waiting = Vec::new();
            for _ in 0..self.pings.take() {
                Framing::LengthDelimited.write_packet(&Packet::Pong(""), &mut waiting);
            }
            for _ in 0..dice.below(5) {
                if self.sent.get() < MESSAGES - AFTERWARDS {
                    let (opcode, payload) = self.next_message();
                    let packet = match opcode {
                        Opcode::Binary => Packet::Binary((&*payload).into()),
                        _ => Packet::Message(std::str::from_utf8(&payload[1..]).expect("text")),
                    };
                    Framing::LengthDelimited.write_packet(&packet, &mut waiting);
                }
            }
            let mut body = Vec::new();
            encode_payload(LengthDelimitedPackets::new(&waiting), &mut body);
            if body.is_empty() {
                sleep(Duration::from_millis(1 + dice.below(3))).await;
            } else {
                self.request("POST", &String::from_utf8(body).expect("text")).await.expect(200, "ok");
            }
            dawdle(&mut dice).await;
        }
    }

    /// Returns the next message in its WebSocket form.
    fn next_message(&self) -> (Opcode, Vec<u8>) {
        let number = self.sent.get();
        self.sent.set(number + 1);
        match message('c', number) {
            Seen::Text(text) => (Opcode::Text, format!("4{text}").into()),
            Seen::Binary(data) => (Opcode::Binary, data),
            Seen::Closed(_) => unreachable!("it is a message"),
        }
    }

    /// Opens candidates that fail, and then one that may upgrade: its probe has got its pong, unless it does not probe.
    async fn try_candidates(&self, probes: bool, dice: &mut Dice) -> WebSocket {
        // The server may not have noticed the end of the previous candidate. It may then reject the next one.
        let mut clear = true;
        for _ in 0..dice.below(5) {
            dawdle(dice).await;
            self.fail(clear, dice).await;
            clear = dice.once_in(2);
            if clear {
                sleep(Duration::from_millis(2)).await;
            }
        }
        if !probes {
            sleep(Duration::from_millis(2)).await;
            return self.candidate(&[]).await;
        }
        loop {
            let mut websocket = self.candidate(&[]).await;
            dawdle(dice).await;
            websocket.write(&frames(["2probe"])).await;
            match websocket.recv_text().await.as_deref() {
                Some("3probe") => {
                    dawdle(dice).await;
                    return websocket;
                }
                other => assert_eq!((other, clear), (None, false)),
            }
            dawdle(dice).await;
        }
    }

    /// Opens a candidate that fails.
    async fn fail(&self, clear: bool, dice: &mut Dice) {
        const WRONG: [&str; 9] = ["", "0", "1", "2", "3probe", "4hello", "6", "2probed", "x"];
        if dice.once_in(10) {
            return self.candidate_that_does_not_wait(dice).await;
        }
        let begun = Instant::now();
        let mut websocket = self.candidate(&[]).await;
        dawdle(dice).await;
        let probed = dice.once_in(2);
        if probed {
            websocket.send("2probe").await;
            if dice.once_in(3) {
                // The client disconnects without reading the pong.
                return;
            }
            match websocket.recv_text().await.as_deref() {
                Some("3probe") => dawdle(dice).await,
                other => return assert_eq!((other, clear), (None, false)),
            }
        }
        match dice.below(7) {
            0 => {}
            1 => websocket.write(&frame(Opcode::Text, b"2probe")[..3]).await,
            2 => {
                websocket.send(dice.pick(&WRONG)).await;
                self.expect_end_of(websocket).await;
            }
            3 => {
                // A binary message is never an upgrade packet.
                websocket.write(&frame(Opcode::Binary, b"5")).await;
                self.expect_end_of(websocket).await;
            }
            4 => {
                websocket.write(b"\x81\x015").await; // not masked
                self.expect_end_of(websocket).await;
            }
            5 => {
                websocket.write(&frame(Opcode::Close, &[])).await;
                self.expect_end_of(websocket).await;
            }
            _ if dice.once_in(2) => {
                // The client is too slow.
                self.expect_end_of(websocket).await;
                if clear {
                    assert_about(begun.elapsed(), UPGRADE_TIMEOUT);
                }
            }
            _ => {
                // A second candidate does not disturb the first one.
                let second = self.candidate(&frames(["2probe", "5"])).await;
                if probed || clear {
                    self.expect_end_of(second).await;
                }
            }
        }
    }

    /// Opens a candidate whose request is cut off, or whose response is not read.
    async fn candidate_that_does_not_wait(&self, dice: &mut Dice) {
        let query = self.query.replace("transport=polling", "transport=websocket");
        let head = websocket_request(&query);
        let end = if dice.once_in(2) { head.len() } else { dice.below(head.len() as u64) as usize };
        self.connect().write_all(&head.as_bytes()[..end]).await.expect("sent");
    }

    /// Expects the server to reject a candidate with nothing but a close frame.
    async fn expect_end_of(&self, mut candidate: WebSocket) {
        assert_eq!(candidate.recv_text().await, None);
    }

    /// Sends the upgrade packet, directly followed by the first messages.
    async fn begin_websocket(&self, websocket: &mut WebSocket, dice: &mut Dice) {
        let mut wire = frames(["5"]);
        for _ in 0..dice.below(4) {
            let (opcode, payload) = self.next_message();
            wire.extend(frame(opcode, &payload));
        }
        websocket.write(&wire).await;
    }

    /// Sends the remaining messages and receives the remaining messages.
    async fn talk(&self, websocket: &mut WebSocket, mut dice: Dice) {
        for _ in 0..self.pings.take() {
            websocket.send("3").await;
        }
        while self.sent.get() < MESSAGES || self.received.borrow().len() < 2 * MESSAGES as usize {
            if dice.once_in(4) {
                dawdle(&mut dice).await;
            }
            if self.sent.get() < MESSAGES && dice.once_in(2) {
                let (opcode, payload) = self.next_message();
                websocket.write(&frame(opcode, &payload)).await;
                continue;
            }
            match websocket.recv().await.expect("the session goes on") {
                Event::Text(text) if text == "2" => websocket.send("3").await,
                Event::Text(text) if text.starts_with('4') => {
                    self.received.borrow_mut().push(Seen::Text(text[1..].into()));
                }
                Event::Binary(data) => self.received.borrow_mut().push(Seen::Binary(data.into())),
                other => panic!("{other:?}"),
            }
        }
    }
}
