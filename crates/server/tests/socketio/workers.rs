//! Servers whose connections run on several worker threads.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, mpsc as blocking};
use std::thread;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tidewire_server::{Builder, Reply, Server, Socket, State};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Client, Gate, Log, program, serve, soon};

/// The event `where` returns the name of the thread on which its handler runs.
fn server(builder: Builder, workers: usize) -> Server {
    let io = builder.workers(workers).build();
    io.on("where", async || Reply(thread::current().name().unwrap_or("no name").to_owned()));
    io
}

/// A connection of a polling client. It stays open.
struct Polling {
    stream: TcpStream,
    sid: String,
}

impl Polling {
    /// Opens a session.
    async fn open(address: SocketAddr) -> Self {
        let mut polling = Self::connect(address, "").await;
        let opened = polling.request("GET", "").await;
        let sid = opened.strip_prefix(r#"0{"sid":""#).and_then(|rest| rest.get(..20)).expect(&opened);
        polling.sid = format!("&sid={sid}");
        polling
    }

    /// Opens another connection for a session.
    async fn connect(address: SocketAddr, sid: &str) -> Self {
        Self { stream: soon(TcpStream::connect(address)).await.expect("it listens"), sid: sid.to_owned() }
    }

    /// Returns the body of the response.
    async fn request(&mut self, method: &str, body: &str) -> String {
        let (sid, length) = (&self.sid, body.len());
        let request = format!(
            "{method} /socket.io/?EIO=4&transport=polling{sid} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.stream.write_all(request.as_bytes()).await.expect("sent");
        let mut response = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&response).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length =
                    head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect(&text);
                if body.len() == length.parse::<usize>().expect("a length") {
                    return body.to_owned();
                }
            }
            response.push(soon(self.stream.read_u8()).await.expect("a response"));
        }
    }

    async fn post(&mut self, packet: &str) {
        assert_eq!(self.request("POST", packet).await, "ok");
    }
}

async fn upgrade(address: SocketAddr, sid: &str) -> WebSocketStream<TcpStream> {
    let stream = soon(TcpStream::connect(address)).await.expect("it listens");
    let url = format!("ws://localhost/socket.io/?EIO=4&transport=websocket{sid}");
    let (mut stream, _) = soon(tokio_tungstenite::client_async(url, stream)).await.expect("a handshake");
    send(&mut stream, "2probe").await;
    assert_eq!(recv(&mut stream).await, "3probe");
    send(&mut stream, "5").await;
    stream
}

async fn send(stream: &mut WebSocketStream<TcpStream>, packet: &str) {
    soon(stream.send(Message::text(packet))).await.expect("sent");
}

async fn recv(stream: &mut WebSocketStream<TcpStream>) -> String {
    let message = soon(stream.next()).await.expect("a message").expect("no error");
    message.into_text().expect("a text").to_string()
}

#[tokio::test]
async fn a_session_polls_over_two_workers_and_moves_to_the_worker_of_its_websocket() {
    let (builder, program) = program();
    let io = server(builder, 2);
    io.on("wait", async |gate: State<Gate>| {
        gate.pass().await;
        Reply("passed")
    });
    let address = serve(&io).await;
    let mut first = Polling::open(address).await;
    first.post("40").await;
    let mut second = Polling::connect(address, &first.sid).await;
    assert!(second.request("GET", "").await.starts_with("40{"));
    first.post(r#"421["where"]"#).await;
    assert_eq!(second.request("GET", "").await, r#"431["tidewire-0"]"#);
    // The session is on the first worker, with one connection. The second worker has one connection, and gets the next.
    second.post(r#"422["wait"]"#).await;
    let mut websocket = upgrade(address, &first.sid).await;
    program.gate.open();
    assert_eq!(recv(&mut websocket).await, r#"432["passed"]"#);
    send(&mut websocket, r#"423["where"]"#).await;
    assert_eq!(recv(&mut websocket).await, r#"433["tidewire-1"]"#);
    // A second message finds the driver asleep.
    send(&mut websocket, r#"424["where"]"#).await;
    assert_eq!(recv(&mut websocket).await, r#"434["tidewire-1"]"#);
    // And so does one that another thread sends.
    io.emit("news", ());
    assert_eq!(recv(&mut websocket).await, r#"42["news"]"#);
}

#[tokio::test]
async fn the_heartbeat_goes_on_after_a_session_has_moved() {
    let io = server(Server::builder().ping_interval(Duration::from_millis(50)), 2);
    let address = serve(&io).await;
    let mut polling = Polling::open(address).await;
    polling.post("40").await;
    // On a slow machine, the first pings come before the WebSocket.
    let mut received = String::new();
    while !received.contains("40{") {
        received = polling.request("GET", "").await;
        if received.split('\x1e').any(|packet| packet == "2") {
            polling.post("3").await;
        }
    }
    let mut websocket = upgrade(address, &polling.sid).await;
    for _ in 0..3 {
        assert_eq!(recv(&mut websocket).await, "2");
        send(&mut websocket, "3").await;
    }
    send(&mut websocket, r#"421["where"]"#).await;
    while recv(&mut websocket).await != r#"431["tidewire-1"]"# {}
}

#[tokio::test]
async fn a_broadcast_reaches_the_sockets_of_all_workers() {
    let io = server(Server::builder(), 3);
    io.on("tell", async |io: Server| io.emit("news", ()));
    let address = serve(&io).await;
    let (mut clients, mut workers) = (Vec::new(), BTreeSet::new());
    for _ in 0..6 {
        let mut client = Client::join(address).await;
        client.send(r#"421["where"]"#).await;
        workers.insert(client.recv().await.expect("a reply"));
        clients.push(client);
    }
    assert_eq!(workers.len(), 3, "{workers:?}");
    for teller in 0..clients.len() {
        clients[teller].send(r#"42["tell"]"#).await;
        for client in &mut clients {
            client.expect(r#"42["news"]"#).await;
        }
    }
}

#[tokio::test]
async fn a_handler_that_panics_harms_no_other_socket_of_its_worker() {
    let (builder, mut program) = program();
    let io = server(builder, 1);
    io.on("panic", async |socket: Socket| assert!(socket.rooms().is_empty(), "it is in its own room"));
    let address = serve(&io).await;
    let (mut client, mut other) = (Client::join(address).await, Client::join(address).await);
    client.send(r#"42["panic"]"#).await;
    assert!(program.lines.next().await.starts_with("error in panic"));
    for client in [&mut client, &mut other] {
        client.send(r#"421["where"]"#).await;
        client.expect(r#"431["tidewire-0"]"#).await;
    }
    Client::join(address).await;
}

#[tokio::test]
async fn a_shutdown_closes_the_connections_of_all_workers_and_waits_for_their_handlers() {
    let (builder, mut program) = program();
    let io = server(builder, 2);
    io.on_disconnect(async |_: Socket, log: State<Log>| {
        log.say(thread::current().name().unwrap_or("no name"));
    });
    let listener = io.bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = {
        let io = io.clone();
        tokio::spawn(async move { io.serve(listener, async { drop(stopped.await) }).await })
    };
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(Client::join(address).await);
    }
    let mut polling = Polling::open(address).await;
    polling.post("40").await;
    assert!(polling.request("GET", "").await.starts_with("40{"));
    stop.send(()).expect("the server runs");
    for client in &mut clients {
        client.expect_end().await;
    }
    soon(serving).await.expect("no panic");
    // The handlers have run when `serve` returns.
    let mut workers = program.lines.now();
    workers.sort();
    assert_eq!(workers.len(), 5);
    assert!(workers.iter().filter(|worker| *worker == "tidewire-0").count() >= 2, "{workers:?}");
    assert!(workers.iter().filter(|worker| *worker == "tidewire-1").count() >= 2, "{workers:?}");
}

#[tokio::test]
async fn a_handler_that_blocks_a_worker_does_not_stop_the_clients_of_the_others() {
    let io = server(Server::builder(), 2);
    let (release, blocked) = blocking::channel::<()>();
    let blocked = Arc::new(Mutex::new(blocked));
    let (started, starts) = oneshot::channel();
    let started = Mutex::new(Some(started));
    io.on("block", move || {
        if let Some(started) = started.lock().expect("no panic").take() {
            let _ = started.send(());
        }
        let _ = blocked.lock().expect("no panic").recv();
        async {}
    });
    let address = serve(&io).await;
    let mut client = Client::join(address).await;
    let mut other = Client::join(address).await;
    client.send(r#"421["block"]"#).await;
    soon(starts).await.expect("it starts");
    for _ in 0..3 {
        other.send(r#"421["where"]"#).await;
        other.expect(r#"431["tidewire-1"]"#).await;
    }
    release.send(()).expect("it waits");
    client.expect("431[]").await;
}
