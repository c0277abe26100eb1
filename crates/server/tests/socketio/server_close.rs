//! The shutdown of a server.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tidewire_server::{ClosePace, Data, DisconnectReason, HttpLimits, Reply, Socket, State};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::support::{Client, Gate, Log, program, request_in_memory, serve, soon, until};

#[tokio::test]
async fn serve_ends_on_the_stop_signal_and_every_socket_gets_the_reason() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on_disconnect(async |log: State<Log>, reason: DisconnectReason| log.say(reason));
    let listener = io.bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn({
        let io = io.clone();
        async move { io.serve(listener, async { drop(stopped.await) }).await }
    });
    let mut first = Client::join(address).await;
    let mut second = Client::join(address).await;
    drop(stop);
    first.expect_end().await;
    second.expect_end().await;
    drop((first, second));
    soon(serving).await.expect("no panic");
    assert_eq!(io.connection_count(), 0);
    assert_eq!(program.lines.now(), ["server shutting down", "server shutting down"]);
    assert!(TcpStream::connect(address).await.is_err(), "nothing listens any more");
}

#[tokio::test]
async fn close_waits_for_the_handlers_that_run() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on("save", async |log: State<Log>, gate: State<Gate>| {
        log.say("saving");
        gate.pass().await;
        log.say("saved");
    });
    io.on_disconnect(async |log: State<Log>| {
        // The time that a slow database may take.
        tokio::time::sleep(Duration::from_millis(50)).await;
        log.say("left");
    });
    let mut client = Client::join(serve(&io).await).await;
    client.send(r#"42["save"]"#).await;
    program.lines.expect(["saving"]).await;
    let closing = tokio::spawn({
        let io = io.clone();
        async move { io.close().await }
    });
    client.expect_end().await;
    drop(client);
    program.gate.open();
    soon(closing).await.expect("no panic");
    assert_eq!(program.lines.now(), ["saved", "left"]);
}

#[tokio::test]
async fn the_acknowledgements_of_handlers_that_run_arrive_before_the_connection_closes() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on("save", async |log: State<Log>, gate: State<Gate>, Data(what): Data<String>| {
        log.say(format_args!("saving {what}"));
        gate.pass().await;
        Reply(what)
    });
    io.on_disconnect(async |log: State<Log>, reason: DisconnectReason| log.say(reason));
    let address = serve(&io).await;
    let mut saving = Client::join(address).await;
    // The second event waits for the handler of the first one.
    saving.send_all([r#"421["save","a"]"#, r#"422["save","b"]"#]).await;
    let mut idle = Client::join(address).await;
    // Nobody waits for the end of this one.
    idle.send(r#"42["save","c"]"#).await;
    let mut said = [program.lines.next().await, program.lines.next().await];
    said.sort();
    assert_eq!(said, ["saving a", "saving c"]);
    let closing = tokio::spawn({
        let io = io.clone();
        async move { io.close().await }
    });
    idle.expect_end().await;
    assert_eq!(io.sockets().len(), 1);
    // A client that has not been told is served as before.
    saving.send(r#"423["save","d"]"#).await;
    io.emit("news", 1);
    saving.expect(r#"42["news",1]"#).await;
    for _ in 0..4 {
        program.gate.open();
    }
    for ack in [r#"431["a"]"#, r#"432["b"]"#, r#"433["d"]"#] {
        saving.expect(ack).await;
    }
    saving.expect_end().await;
    drop((idle, saving));
    soon(closing).await.expect("no panic");
    let disconnects = program.lines.now().into_iter().filter(|line| line == "server shutting down");
    assert_eq!(disconnects.count(), 2);
}

#[tokio::test]
async fn a_client_that_polls_gets_the_acknowledgement_too() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on("save", async |log: State<Log>, gate: State<Gate>| {
        log.say("saving");
        gate.pass().await;
        Reply("saved")
    });
    let address = serve(&io).await;
    let polling = "/socket.io/?EIO=4&transport=polling";
    let opened = exchange(address, "GET", polling, "").await;
    let (_, rest) = opened.split_once("\"sid\":\"").expect("an open packet");
    let session = format!("{polling}&sid={}", &rest[..20]);
    exchange(address, "POST", &session, "40").await;
    let connected = exchange(address, "GET", &session, "").await;
    assert!(connected.contains("\r\n\r\n40{"), "{connected}");
    exchange(address, "POST", &session, r#"427["save"]"#).await;
    program.lines.expect(["saving"]).await;
    let mut idle = Client::join(address).await;
    let closing = tokio::spawn({
        let io = io.clone();
        async move { io.close().await }
    });
    // When this one has been closed, the other one knows of the close.
    idle.expect_end().await;
    program.gate.open();
    until(|| io.sockets().is_empty()).await;
    // The client was between two polls.
    let response = exchange(address, "GET", &session, "").await;
    assert!(response.contains("\r\n\r\n437[\"saved\"]"), "{response}");
    let response = exchange(address, "GET", &session, "").await;
    assert!(response.ends_with("\x1e1"), "{response:?}");
    drop(idle);
    soon(closing).await.expect("no panic");
}

/// Sends a request over a connection of its own, and returns the response.
async fn exchange(address: SocketAddr, method: &str, target: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let length = body.len();
    let head = format!("{method} {target} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n");
    let request = format!("{head}Connection: close\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut response = String::new();
    soon(stream.read_to_string(&mut response)).await.expect("a response");
    response
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_never_acknowledges_holds_its_connection_for_three_quarters_of_the_timeout() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on("wait", async |log: State<Log>, socket: Socket| {
        log.say("waiting");
        socket.disconnected().await;
        log.say("told");
    });
    let mut client = Client::join_in_memory(&io, 1_024).await;
    client.send(r#"427["wait"]"#).await;
    program.lines.expect(["waiting"]).await;
    let begun = tokio::time::Instant::now();
    let closing = tokio::spawn({
        let io = io.clone();
        async move { io.close_with(ClosePace::default(), Duration::from_secs(8)).await }
    });
    client.expect_end().await;
    assert_eq!(begun.elapsed().as_secs(), 6);
    drop(client);
    closing.await.expect("no panic");
    assert_eq!((begun.elapsed().as_secs(), program.lines.now()), (6, vec!["told".to_owned()]));
}

#[tokio::test]
async fn one_time_bounds_the_whole_stop() {
    let (builder, mut program) = program();
    let limits = HttpLimits { shutdown_timeout: Duration::from_secs(1), ..HttpLimits::default() };
    let io = builder.http_limits(limits).build();
    io.on("wait", async |log: State<Log>, gate: State<Gate>| {
        log.say("waiting");
        gate.pass().await;
    });
    let listener = io.bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn({
        let io = io.clone();
        async move { io.serve(listener, async { drop(stopped.await) }).await }
    });
    // The listener waits for a half-sent request, and the sessions wait for a handler.
    let mut half = TcpStream::connect(address).await.expect("it listens");
    half.write_all(b"GET / HTTP/1.1\r\n").await.expect("sent");
    let mut client = Client::join(address).await;
    client.send(r#"42["wait"]"#).await;
    program.lines.expect(["waiting"]).await;
    // From here on, nothing needs a socket.
    tokio::time::pause();
    drop(stop);
    let begun = tokio::time::Instant::now();
    soon(serving).await.expect("no panic");
    let taken = begun.elapsed().as_millis();
    assert!((900..1_900).contains(&taken), "{taken} ms");
}

#[tokio::test]
async fn close_waits_at_most_for_the_shutdown_timeout() {
    let (builder, mut program) = program();
    let limits = HttpLimits { shutdown_timeout: Duration::from_millis(50), ..HttpLimits::default() };
    let io = builder.http_limits(limits).build();
    io.on("wait", async |log: State<Log>, gate: State<Gate>| {
        log.say("waiting");
        gate.pass().await;
    });
    let mut client = Client::join(serve(&io).await).await;
    client.send(r#"42["wait"]"#).await;
    program.lines.expect(["waiting"]).await;
    let begun = Instant::now();
    soon(io.close()).await;
    let taken = begun.elapsed();
    assert!(taken < HttpLimits::default().shutdown_timeout / 2, "{taken:?}");
}

#[tokio::test]
async fn a_handler_that_never_ends_and_a_client_that_reads_nothing_do_not_hold_a_mounted_server() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on("wait", async |log: State<Log>| {
        log.say("waiting");
        std::future::pending::<()>().await;
    });
    let mut busy = Client::join_in_memory(&io, 1_024).await;
    busy.send(r#"42["wait"]"#).await;
    program.lines.expect(["waiting"]).await;
    let mut deaf = Client::join_in_memory(&io, 1_024).await;
    io.emit("news", "x".repeat(100_000));
    soon(io.close_with(ClosePace::default(), Duration::from_millis(50))).await;
    assert!(io.is_closing());
    assert_eq!((io.connection_count(), io.sockets().len()), (0, 0));
    // The stream ends in the middle of the event.
    while deaf.recv().await.is_some() {}
    let response = request_in_memory(&io, "GET /socket.io/?EIO=4&transport=polling").await;
    assert!(response.starts_with("HTTP/1.1 503 ") && response.contains("retry-after: 1\r\n"), "{response}");
}

#[tokio::test]
async fn events_reach_the_clients_that_are_not_closed_yet() {
    let (builder, _program) = program();
    let pace = ClosePace { batch_size: 1, pause: Duration::from_secs(3_600) };
    let io = builder.close_pace(pace).build();
    let address = serve(&io).await;
    let mut clients = [Client::join(address).await, Client::join(address).await];
    let closing = tokio::spawn({
        let io = io.clone();
        async move { io.close_with(pace, Duration::from_secs(36_000)).await }
    });
    until(|| io.sockets().len() == 1).await;
    io.emit("news", 1);
    let [first, second] = &mut clients;
    let (first, second) = (first.recv().await, second.recv().await);
    let mut received = [first, second];
    received.sort();
    assert_eq!(received, [None, Some(r#"42["news",1]"#.to_owned())]);
    closing.abort();
}
