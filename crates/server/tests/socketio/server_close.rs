//! The shutdown of a server.

use std::time::{Duration, Instant};

use tidewire_server::{DisconnectReason, HttpLimits, State};
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;

use crate::support::{Client, Gate, Log, program, serve, soon};

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
