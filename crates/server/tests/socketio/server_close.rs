//! The shutdown of a server.

use std::time::{Duration, Instant};

use tidewire_server::{ClosePace, DisconnectReason, HttpLimits, State};
use tokio::io::AsyncWriteExt;
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
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nothing listens any more");
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
    let mut half = tokio::net::TcpStream::connect(address).await.expect("it listens");
    half.write_all(b"GET / HTTP/1.1\r\n").await.expect("sent");
    let mut client = Client::join(address).await;
    client.send(r#"42["wait"]"#).await;
    program.lines.expect(["waiting"]).await;
    drop(stop);
    let begun = Instant::now();
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
