//! A client that recovers its session as the official one does.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tidewire_server::{ConnectionStateRecovery, Server, Socket, State};

use super::connection::{Connection, Wire};
use crate::support::{Joined, Program, program, serve};

/// A client in `/`. It stores what it sends to recover.
pub(super) struct Recovering {
    pub(super) connection: Connection,
    /// How the next connection sends its packets. `None` for a WebSocket that sends literal packets.
    pub(super) wire: Option<Wire>,
    pub(super) id: String,
    pub(super) pid: String,
    pub(super) offset: Option<String>,
    /// Whether the server has given it the private id that it already had.
    pub(super) recovered: bool,
}

impl Recovering {
    pub(super) async fn new(address: SocketAddr) -> Self {
        Self::over(address, None).await
    }

    pub(super) async fn over(address: SocketAddr, wire: Option<Wire>) -> Self {
        let (client, missed) = Self::connect(address, wire, &json!({}), None).await;
        assert_eq!(missed, [""; 0]);
        client
    }

    /// Opens a new connection and asks for the session. The old connection stays as it is. Returns the events that come
    /// with the response, without their offsets.
    pub(super) async fn back(&self, address: SocketAddr) -> (Self, Vec<String>) {
        self.back_with(address, json!({})).await
    }

    pub(super) async fn back_with(&self, address: SocketAddr, mut auth: Value) -> (Self, Vec<String>) {
        auth["pid"] = (*self.pid).into();
        if let Some(offset) = &self.offset {
            auth["offset"] = (**offset).into();
        }
        Self::connect(address, self.wire, &auth, self.offset.clone()).await
    }

    /// Closes the connection and asks for the session with a new one.
    pub(super) async fn cut_and_back(self, address: SocketAddr) -> (Self, Vec<String>) {
        self.cut(address).await.back(address).await
    }

    /// Closes the connection. Another one, which is in no namespace, takes its place.
    pub(super) async fn cut(self, address: SocketAddr) -> Self {
        let Self { connection, wire, id, pid, offset, recovered } = self;
        drop(connection);
        Self { connection: Connection::open(address, wire).await, wire, id, pid, offset, recovered }
    }

    async fn connect(
        address: SocketAddr,
        wire: Option<Wire>,
        auth: &Value,
        offset: Option<String>,
    ) -> (Self, Vec<String>) {
        let mut connection = Connection::open(address, wire).await;
        connection.send(&format!("40{auth}")).await;
        let (id, pid, recovered) = (String::new(), String::new(), false);
        let mut client = Self { connection, wire, id, pid, offset, recovered };
        let packet = client.connection.recv().await.expect("a response");
        let connect = packet.strip_prefix("40").unwrap_or_else(|| panic!("{packet} is no response"));
        let connect: Value = serde_json::from_str(connect).expect("an object");
        let text = |name: &str| connect[name].as_str().unwrap_or_default().to_owned();
        (client.id, client.pid) = (text("sid"), text("pid"));
        client.recovered = auth["pid"] == *client.pid;
        // The missed events come before any other packet.
        client.send(r#"420["sync"]"#).await;
        let mut missed = vec![];
        loop {
            let packet = client.connection.recv().await.expect("an acknowledgement");
            if packet == "430[]" {
                return (client, missed);
            }
            missed.push(client.event(&packet));
        }
    }

    /// Returns the next event without its offset.
    pub(super) async fn next(&mut self) -> String {
        let packet = self.connection.recv().await.expect("an event");
        self.event(&packet)
    }

    pub(super) async fn expect<E: AsRef<str>>(&mut self, events: impl IntoIterator<Item = E>) {
        for event in events {
            assert_eq!(self.next().await, event.as_ref());
        }
    }

    pub(super) async fn send(&mut self, packet: &str) {
        self.connection.send(packet).await;
    }

    /// Returns the next packet as it is.
    pub(super) async fn packet(&mut self) -> Option<String> {
        self.connection.recv().await
    }

    /// Takes text at the end of an event for the offset, as the official client does.
    pub(super) fn event(&mut self, packet: &str) -> String {
        let list = packet.strip_prefix("42").unwrap_or_else(|| panic!("{packet} is no event"));
        let mut list: Vec<Value> = serde_json::from_str(list).unwrap_or_else(|_| panic!("{packet}"));
        if list.len() > 1
            && let Some(offset) = list.last().and_then(Value::as_str)
        {
            self.offset = Some(offset.to_owned());
            list.pop();
        }
        let words = list.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        words.collect::<Vec<_>>().join(" ")
    }
}

/// A server with recovery, whose program passes its sockets to the test.
pub(super) async fn recoverable(
    set: impl FnOnce(&mut ConnectionStateRecovery),
) -> (Server, Program, SocketAddr) {
    let mut recovery = ConnectionStateRecovery::default();
    set(&mut recovery);
    let (builder, program) = program();
    let io = builder.connection_state_recovery(recovery).ping_interval(Duration::from_secs(300)).build();
    io.on_connection(async |socket: Socket, State(joined): State<Joined>| {
        let _ = joined.0.send(socket);
    });
    answer_sync(&io);
    let address = serve(&io).await;
    (io, program, address)
}

/// Registers the event by which a [`Recovering`] client knows that it has all events that it had missed.
pub(super) fn answer_sync(io: &Server) {
    io.on("sync", async || {});
}
