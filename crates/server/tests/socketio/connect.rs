//! Connecting to namespaces: middlewares, rejections, auth payloads, reconnecting.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tidewire_server::{Auth, ConnectError, Data, DisconnectReason, Limits, Server, Socket, State};

use crate::support::{Client, Gate, Log, program, serve, soon, until};

#[derive(Deserialize)]
struct Credentials {
    name: String,
}

#[tokio::test]
async fn an_event_that_arrives_together_with_the_connect_is_handled_unless_a_middleware_waits() {
    for (waits, lines) in [(false, &["joined", "event"][..]), (true, &[])] {
        let (builder, mut program) = program();
        let io = builder.build();
        if waits {
            io.middleware(async |gate: State<Gate>| gate.pass().await);
        }
        io.on_connection(async |log: State<Log>| log.say("joined"));
        io.on("event", async |log: State<Log>| log.say("event"));
        let mut client = Client::open(serve(&io).await).await;
        client.send_all(["40", r#"42["event"]"#]).await;
        program.lines.expect(lines.iter().copied()).await;
        if waits {
            client.expect_end().await;
            program.lines.expect_silence();
        }
    }
}

#[tokio::test]
async fn middlewares_run_in_order_before_the_client_is_connected() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.middleware(async |log: State<Log>, socket: Socket| {
        log.say(format_args!("first {}", socket.is_connected()));
    });
    io.middleware(async |log: State<Log>, gate: State<Gate>| -> Result<(), ConnectError> {
        log.say("second begins");
        gate.pass().await;
        log.say("second ends");
        Ok(())
    });
    io.middleware(async |log: State<Log>| log.say("third"));
    io.on_connection(async |log: State<Log>, socket: Socket| {
        log.say(format_args!("joined {}", socket.is_connected()));
    });
    let mut client = Client::open(serve(&io).await).await;
    client.send("40").await;
    program.lines.expect(["first false", "second begins"]).await;
    program.lines.expect_silence();
    program.gate.open();
    program.lines.expect(["second ends", "third", "joined true"]).await;
    assert!(client.recv().await.expect("a reply").starts_with("40{\"sid\":\""));
}

#[tokio::test]
async fn a_rejected_client_gets_the_reason_and_no_later_middleware_runs() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.middleware(async |Auth(auth): Auth<Value>, gate: State<Gate>| {
        if auth["slow"] == true {
            gate.pass().await;
        }
        if auth["token"] == "secret" {
            return Ok(());
        }
        Err(ConnectError::new("not authorized").data(json!({ "code": 401 })))
    });
    io.middleware(async |log: State<Log>| log.say("second"));
    io.on_connection(async |log: State<Log>| log.say("joined"));
    io.on_disconnect(async |log: State<Log>, reason: DisconnectReason| log.say(reason));
    let mut client = Client::open(serve(&io).await).await;
    let refusal = r#"44{"message":"not authorized","data":{"code":401}}"#;
    client.expect_only("40", refusal).await;
    program.gate.open();
    client.expect_only(r#"40{"slow":true}"#, refusal).await;
    program.lines.expect_silence();
    // The connection is still open, so the client can try again.
    client.send(r#"40{"token":"secret"}"#).await;
    assert!(client.recv().await.expect("a reply").starts_with("40{\"sid\":\""));
    program.lines.expect(["second", "joined"]).await;
    drop(client);
    program.lines.expect(["transport close"]).await;
}

#[tokio::test]
async fn a_middleware_that_panics_refuses_the_client_and_is_reported() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.middleware(async |gate: State<Gate>, Auth(later): Auth<Value>| {
        if later["later"] == true {
            gate.pass().await;
        }
        assert_ne!(later, json!({}), "panicked early");
        assert_eq!(later, json!({}), "panicked late");
    });
    let mut client = Client::open(serve(&io).await).await;
    for (connect, how) in [("40", "panicked early"), (r#"40{"later":true}"#, "panicked late")] {
        program.gate.open();
        client.expect_only(connect, r#"44{"message":"handler failed"}"#).await;
        let line = program.lines.next().await;
        assert!(line.starts_with("error in -: ") && line.contains(how), "{line}");
    }
}

#[tokio::test]
async fn what_the_client_authenticated_with_is_there_in_every_handler() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.middleware(async |Auth(_): Auth<Credentials>| {});
    io.on_connection(async |Auth(who): Auth<Credentials>, log: State<Log>| log.say(who.name));
    io.on("who", async |socket: Socket, log: State<Log>| {
        log.say(socket.auth::<Credentials>().expect("it was let in").name);
    });
    io.on_disconnect(async |Auth(who): Auth<Credentials>, log: State<Log>| log.say(who.name));
    let mut client = Client::open(serve(&io).await).await;
    client.send("40").await;
    let refusal = client.recv().await.expect("a reply");
    assert!(refusal.starts_with("44{\"message\":\"") && refusal.contains("name"), "{refusal}");
    let line = program.lines.next().await;
    assert!(line.starts_with("error in -: "), "{line}");
    client.send(r#"40{"name":"ann"}"#).await;
    assert!(client.recv().await.expect("a reply").starts_with("40{\"sid\":\""));
    client.send(r#"42["who"]"#).await;
    drop(client);
    program.lines.expect(["ann", "ann", "ann"]).await;
}

#[tokio::test]
async fn the_request_of_the_connection_can_be_asked_for() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on_connection(async |socket: Socket, log: State<Log>| {
        let handshake = socket.handshake();
        log.say(format_args!("{:?} {:?}", handshake.query("transport"), handshake.header("Host")));
        log.say(handshake.address().is_some_and(|address| address.is_loopback()));
    });
    let _client = Client::join(serve(&io).await).await;
    program.lines.expect([r#"Some("websocket") Some("localhost")"#, "true"]).await;
}

#[tokio::test]
async fn an_unknown_namespace_is_rejected_and_the_connection_stays() {
    let (builder, _program) = program();
    let io = builder.build();
    let _ = io.of("/admin");
    let mut client = Client::open(serve(&io).await).await;
    client.expect_only("40/nope,", r#"44/nope,{"message":"Invalid namespace"}"#).await;
    // A query is a part of the name.
    client.expect_only("40/admin?x=1,", r#"44/admin?x=1,{"message":"Invalid namespace"}"#).await;
    client.connect("").await;
}

#[tokio::test]
async fn two_namespaces_on_one_connection_know_nothing_of_each_other() {
    let (builder, mut program) = program();
    let io = builder.build();
    let admin = io.of("admin");
    assert_eq!(admin.name(), "/admin");
    for (namespace, name) in [(io.of("/"), "root"), (admin.clone(), "admin")] {
        namespace.on("event", move |log: State<Log>, Data(data): Data<String>, socket: Socket| async move {
            socket.join("room");
            log.say(format_args!("{name} {data}"));
        });
        namespace.on("wait", async |gate: State<Gate>| gate.pass().await);
        namespace.on_disconnect(move |log: State<Log>, reason: DisconnectReason| async move {
            log.say(format_args!("{name}: {reason}"));
        });
    }
    let mut client = Client::open(serve(&io).await).await;
    let root = client.connect("").await;
    let other = client.connect("/admin,").await;
    assert_ne!(root, other, "each has an id of its own");
    // A handler that waits in one namespace does not delay the other.
    client.send_all([r#"42["wait"]"#, r#"42["event","a"]"#, r#"42/admin,["event","b"]"#]).await;
    program.lines.expect(["admin b"]).await;
    program.gate.open();
    program.lines.expect(["root a"]).await;
    admin.to("room").emit("hello", "admins");
    io.to("room").emit("hello", "all");
    client.expect(r#"42/admin,["hello","admins"]"#).await;
    client.expect(r#"42["hello","all"]"#).await;
    client.send("41/admin,").await;
    program.lines.expect(["admin: client namespace disconnect"]).await;
    client.send(r#"42["event","still here"]"#).await;
    program.lines.expect(["root still here"]).await;
    drop(client);
    program.lines.expect(["root: transport close"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_namespace_times_out() {
    let (builder, _program) = program();
    let io = builder.connect_timeout(Duration::from_millis(50)).build();
    Client::open_in_memory(&io, 1_024).await.expect_end().await;
    until(|| io.connection_count() == 0).await;
    // A client that has connected to a namespace stays connected.
    let mut joined = Client::join_in_memory(&io, 1_024).await;
    Client::open_in_memory(&io, 1_024).await.expect_end().await;
    joined.expect_only("40/nope,", r#"44/nope,{"message":"Invalid namespace"}"#).await;
}

#[tokio::test(start_paused = true)]
async fn the_connect_timeout_applies_no_matter_how_it_was_set() {
    let short = Duration::from_millis(50);
    let shortly = || Limits { connect_timeout: short, ..Limits::default() };
    for builder in [
        Server::builder().limits(shortly()),
        Server::builder().connect_timeout(short).limits(Limits::default()),
        Server::builder().limits(Limits::default()).connect_timeout(short),
    ] {
        let io = builder.build();
        Client::open_in_memory(&io, 1_024).await.expect_end().await;
    }
    // The method takes precedence even if its value is larger.
    let io = Server::builder().connect_timeout(Duration::from_secs(45)).limits(shortly()).build();
    let mut client = Client::open_in_memory(&io, 1_024).await;
    let short_one = Server::builder().limits(shortly()).build();
    Client::open_in_memory(&short_one, 1_024).await.expect_end().await;
    client.send("40").await;
    assert!(client.recv().await.expect("a reply").starts_with("40{\"sid\":\""));
}

#[tokio::test(start_paused = true)]
async fn a_rejected_client_times_out() {
    let (builder, _program) = program();
    let io = builder.connect_timeout(Duration::from_millis(50)).build();
    io.middleware(async || Err::<(), _>(ConnectError::new("nobody")));
    let mut client = Client::open_in_memory(&io, 1_024).await;
    client.expect_only("40", r#"44{"message":"nobody"}"#).await;
    client.expect_end().await;
    until(|| io.connection_count() == 0).await;
}

#[tokio::test]
async fn a_client_that_the_server_has_disconnected_may_join_again() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on_connection(async |log: State<Log>| log.say("joined"));
    io.on("kick", async |socket: Socket| socket.disconnect());
    io.on("event", async |log: State<Log>, socket: Socket| log.say(socket.id()));
    io.on_disconnect(async |log: State<Log>, reason: DisconnectReason| log.say(reason));
    let mut client = Client::open(serve(&io).await).await;
    let first = client.connect("").await;
    // The client sent this event before it received the disconnect. It is ignored, and the connection stays open.
    client.send_all([r#"42["kick"]"#, r#"42["event"]"#]).await;
    client.expect("41").await;
    program.lines.expect(["joined", "server namespace disconnect"]).await;
    let second = client.connect("").await;
    assert_ne!(first, second);
    client.send(r#"42["event"]"#).await;
    program.lines.expect(["joined", &*second]).await;
}

#[tokio::test]
async fn joining_again_does_not_wait_for_the_last_handlers_of_the_socket_before() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on("kick", async |socket: Socket, gate: State<Gate>| {
        socket.disconnect();
        gate.pass().await;
    });
    io.on("event", async |log: State<Log>, socket: Socket| log.say(socket.id()));
    io.on_disconnect(async |log: State<Log>, gate: State<Gate>, reason: DisconnectReason| {
        gate.pass().await;
        log.say(reason);
    });
    let mut client = Client::open(serve(&io).await).await;
    client.connect("").await;
    client.send(r#"42["kick"]"#).await;
    client.expect("41").await;
    client.connect("").await;
    client.send("41").await;
    let third = client.connect("").await;
    client.send(r#"42["event"]"#).await;
    program.lines.expect([third]).await;
    program.lines.expect_silence();
    for _ in 0..3 {
        program.gate.open();
    }
    let mut lines = [program.lines.next().await, program.lines.next().await];
    lines.sort();
    assert_eq!(lines, ["client namespace disconnect", "server namespace disconnect"]);
}

#[tokio::test]
async fn joining_and_leaving_in_a_loop_faster_than_handlers_finish_closes_the_connection() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on_disconnect(async |gate: State<Gate>, log: State<Log>| {
        gate.pass().await;
        log.say("left");
    });
    let mut client = Client::open(serve(&io).await).await;
    client.send_all((0..1_000).flat_map(|_| ["40", "41"])).await;
    let mut joined = 0;
    soon(async {
        while client.recv().await.is_some() {
            joined += 1;
        }
    })
    .await;
    assert!(joined < 100, "{joined}");
    for _ in 0..joined {
        program.gate.open();
        program.lines.expect(["left"]).await;
    }
}

#[tokio::test]
async fn the_backlog_of_the_builder_takes_precedence_over_that_of_the_http_limits() {
    let limits = tidewire_server::HttpLimits { backlog: 1, ..tidewire_server::HttpLimits::default() };
    let io = Server::builder().backlog(200).http_limits(limits).build();
    let listener = io.bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    // If the queue is full, the system tries again after a second.
    let connect = |_| std::net::TcpStream::connect_timeout(&address, Duration::from_millis(900));
    (0..150).map(connect).collect::<Result<Vec<_>, _>>().expect("the queue has capacity");
}
