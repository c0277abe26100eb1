//! What the test does at random.

use tidewire_server::EmitError;

use super::model::{Change, Event, To};
use super::{CLIENTS, Test, question_id};

impl Test {
    pub(super) async fn step(&mut self) {
        match self.random.below(18) {
            0..=2 => {
                let (client, room) = (self.random.below(CLIENTS), self.random.room());
                let changes: &[bool] = match self.random.below(6) {
                    0..=2 => &[true],
                    3 | 4 => &[false],
                    _ => &[false, true],
                };
                changes.iter().for_each(|joins| self.change_room(client, room, *joins));
            }
            3..=9 => self.emit_at_random(),
            10 => self.emit_volatile(),
            11 | 12 => {
                let client = self.random.below(CLIENTS);
                self.cut(client).await;
            }
            13 => {
                let client = self.random.below(CLIENTS);
                self.read(client, usize::MAX).await;
            }
            14 => self.ask_client(),
            15 => self.ask_server().await,
            _ => self.settle(),
        }
        for _ in 0..self.random.below(3) {
            let _ = self.cluster.bus.accept_one();
        }
        for server in 0..2 {
            for _ in 0..self.random.below(3) {
                let _ = self.cluster.attached[server].deliver_one();
            }
        }
    }

    pub(super) fn emit(&mut self, server: usize, to: To) {
        self.time += 1;
        let io = &self.cluster.servers[server];
        let number = self.events.len();
        match &to {
            To::All => io.emit("event", number),
            To::Room { room, except: None } => io.to([*room, "observers"]).emit("event", number),
            To::Room { room, except: Some(except) } => {
                io.to([*room, "observers"]).except(*except).emit("event", number);
            }
            To::Session(session) => {
                let id = self.sessions[*session].socket.id();
                io.to([id.as_str(), "observers"]).emit("event", number);
            }
            To::SocketOf(session) => {
                let sent = self.sessions[*session].socket.try_emit("event", number);
                if sent == Err(EmitError::Disconnected) {
                    // Another server has its session by now, and the test does not know the socket there yet.
                    return;
                }
                assert_eq!(sent, Ok(()), "seed {}", self.seed);
            }
        }
        self.events.push(Event { to, server, sent: self.time, settled: usize::MAX });
    }

    pub(super) fn emit_at_random(&mut self) {
        let server = self.random.below(2);
        let to = match self.random.below(5) {
            0 => To::All,
            1 => To::Session(self.clients[self.random.below(CLIENTS)].session),
            2 => To::SocketOf(self.clients[self.random.below(CLIENTS)].session),
            _ => {
                let (room, except) = (self.random.room(), self.random.room());
                To::Room { room, except: (room != except).then_some(except) }
            }
        };
        self.emit(server, to);
    }

    fn emit_volatile(&mut self) {
        self.volatile += 1;
        let arguments = (self.volatile, "text");
        let io = self.cluster.servers[self.random.below(2)].volatile();
        match self.random.below(3) {
            0 => io.emit("volatile", arguments),
            1 => io.to(self.random.room()).emit("volatile", arguments),
            _ => {
                let session = self.clients[self.random.below(CLIENTS)].session;
                self.sessions[session].socket.volatile().emit("volatile", arguments);
            }
        }
    }

    /// The program asks a client, which answers when it reads.
    fn ask_client(&mut self) {
        let number = self.questions.0;
        self.questions.0 += 1;
        let client = &mut self.clients[self.random.below(CLIENTS)];
        let answer = self.sessions[client.session].socket.emit_with_ack("question", number);
        client.asked.push_back((number, answer));
    }

    /// A client asks its server.
    async fn ask_server(&mut self) {
        let number = self.questions.1;
        self.questions.1 += 1;
        let client = &mut self.clients[self.random.below(CLIENTS)];
        client.awaited.push_back(number);
        let packet = format!(r#"42{}["question",{number}]"#, question_id(number));
        client.connection.as_mut().expect("it is connected").send(&packet).await;
    }

    fn change_room(&mut self, client: usize, room: &'static str, joins: bool) {
        self.time += 1;
        let session = &mut self.sessions[self.clients[client].session];
        assert!(session.socket.is_connected(), "seed {}", self.seed);
        if joins {
            drop(session.socket.join(room));
        } else {
            session.socket.leave(room);
        }
        let change = Change { at: self.time, server: session.server, is_in: joins };
        session.rooms.entry(room).or_default().push(change);
    }
}
