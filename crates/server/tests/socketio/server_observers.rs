//! Observers of the whole server.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tidewire_server::{
    AckError, Auth, ClosePace, ConnectError, Data, HandlerError, Observation, Reply, Server, Socket, State,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Client, Gate, Joined, Lines, Program, log, program, serve, soon};

/// Writes an observation as one line: without ids, which are random, and without times. The rooms of the sockets' own ids
/// are omitted.
fn describe(observation: &Observation<'_>) -> Option<String> {
    let is_own = |room: &str, id: &str| room == id;
    Some(match observation {
        Observation::ConnectionOpened { connection, .. } => {
            format!("opened {} {}", connection.transport(), connection.protocol())
        }
        Observation::ConnectionUpgraded { connection, .. } => format!("upgraded {}", connection.transport()),
        Observation::ConnectionClosed { connection, reason, description, .. } => {
            format!("closed {} {reason} {}", connection.transport(), description.unwrap_or("-"))
        }
        Observation::RequestRefused { error, request, .. } => {
            format!("refused {} {}", request.uri.path(), error.code())
        }
        Observation::NamespaceCreated { namespace, .. } => format!("created {}", namespace.name()),
        Observation::NamespaceRemoved { namespace, .. } => format!("removed {}", namespace.name()),
        Observation::SocketConnecting { socket, .. } => format!("connecting {}", socket.namespace().name()),
        Observation::SocketRefused { namespace, socket, error, .. } => {
            format!("refused {namespace} {} {error}", socket.is_some())
        }
        Observation::SocketAbandoned { reason, .. } => format!("abandoned {reason}"),
        Observation::SocketConnected { socket, .. } => format!("connected {}", socket.namespace().name()),
        Observation::SocketDisconnected { reason, .. } => format!("disconnected {reason}"),
        Observation::SocketDataChanged { socket, .. } => {
            format!("data {}", socket.data::<Value>().expect("JSON"))
        }
        Observation::EventReceived { event, bytes, .. } => {
            format!("received {} {bytes} {}", event.name(), event.is_ack_requested())
        }
        Observation::EventUnhandled { event, .. } => format!("unhandled {event}"),
        Observation::EventSent { event, bytes, is_ack_requested, .. } => {
            format!("sent {event} {bytes} {is_ack_requested}")
        }
        Observation::EventBroadcast { event, bytes, receivers, .. } => {
            format!("broadcast {event} {bytes} to {receivers}")
        }
        Observation::EventDropped { socket, event, reason, receivers, .. } => {
            format!("dropped {event} {reason:?} {} for {receivers}", socket.is_some())
        }
        Observation::AckReceived { bytes, is_awaited, .. } => format!("ack received {bytes} {is_awaited}"),
        Observation::AcksTimedOut { count, .. } => format!("acks timed out {count}"),
        Observation::AckSent { bytes, .. } => format!("ack sent {bytes}"),
        Observation::HandlerFinished { event, is_failed, .. } => format!("finished {event} {is_failed}"),
        // The machine may be overloaded.
        Observation::HandlerBlocked { .. } => return None,
        Observation::Error { error, event, .. } => format!("error in {}: {error}", event.unwrap_or("-")),
        Observation::RoomCreated { room, .. } | Observation::RoomDeleted { room, .. } if room.len() == 20 => {
            return None;
        }
        Observation::RoomJoined { room, socket_id, .. } | Observation::RoomLeft { room, socket_id, .. }
            if is_own(room, socket_id) =>
        {
            return None;
        }
        Observation::RoomCreated { room, .. } => format!("create-room {}", room.as_str()),
        Observation::RoomJoined { room, .. } => format!("join-room {}", room.as_str()),
        Observation::RoomLeft { room, .. } => format!("leave-room {}", room.as_str()),
        Observation::RoomDeleted { room, .. } => format!("delete-room {}", room.as_str()),
        other => format!("{other:?}"),
    })
}

/// A server with an observer, what the observer writes, and the program.
fn observed(set_up: impl FnOnce(&Server)) -> (Server, Lines, Program) {
    let (log, lines) = log();
    let (builder, program) = program();
    let io = builder
        .observer(move |observation: &Observation<'_>| {
            describe(observation).into_iter().for_each(|line| log.say(line));
        })
        .build();
    set_up(&io);
    (io, lines, program)
}

async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let request = format!("GET {request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut response = String::new();
    soon(stream.read_to_string(&mut response)).await.expect("a response");
    response
}

#[tokio::test]
async fn the_life_of_a_connection_is_observed_from_its_opening_to_its_end() {
    let (io, mut lines, _program) = observed(|io| {
        io.on_connection(async |socket: Socket| {
            socket.join("a room");
        });
    });
    let mut client = Client::join(serve(&io).await).await;
    lines.expect(["opened websocket 4", "connecting /", "connected /", "create-room a room"]).await;
    lines.expect(["join-room a room"]).await;
    client.send("41").await;
    lines.expect(["leave-room a room", "delete-room a room"]).await;
    lines.expect(["disconnected client namespace disconnect"]).await;
    drop(client);
    let line = lines.next().await;
    assert!(line.starts_with("closed websocket transport close"), "{line}");
    lines.expect_silence();
}

#[tokio::test]
async fn a_client_that_gets_no_session_is_observed() {
    let (log, mut lines) = log();
    let observing = log.clone();
    let io = Server::builder()
        .max_sessions(1)
        .max_handshake_size(1_000)
        .on_session_refused(move |refusal, _| log.say(format_args!("{} {refusal}", refusal.status())))
        .observer(move |observation: &Observation<'_>| {
            if let Observation::SessionRefused { refusal, request, .. } = observation {
                observing.say(format_args!("observed {refusal:?} {}", request.method));
            }
        })
        .build();
    let address = serve(&io).await;
    let mut ask_for = async |path: &str, status: &str, refusal: &str, text: &str| {
        assert!(ask(address, path).await.starts_with(&format!("HTTP/1.1 {status}")), "{refusal}");
        lines.expect([format!("observed {refusal} GET"), format!("{status} {text}")]).await;
    };
    let path = "/socket.io/?EIO=4&transport=polling";
    let long = format!("{path}&x={}", "x".repeat(1_000));
    ask_for(
        &long,
        "431 Request Header Fields Too Large",
        "HeadTooLong",
        "the head of the request is too long",
    )
    .await;
    let _client = Client::join(address).await;
    ask_for(path, "503 Service Unavailable", "TooManySessions", "too many sessions").await;
    io.close_with(ClosePace::default(), Duration::from_millis(10)).await;
    ask_for(path, "503 Service Unavailable", "Closing", "the server is closing").await;
}

#[tokio::test]
async fn an_upgrade_and_a_refused_request_are_observed() {
    let (io, mut lines, _program) = observed(|_| {});
    let address = serve(&io).await;
    assert!(ask(address, "/socket.io/?EIO=4&transport=carrier-pigeon").await.starts_with("HTTP/1.1 400"));
    lines.expect(["refused /socket.io/ 0"]).await;
    let opened = ask(address, "/socket.io/?EIO=4&transport=polling").await;
    lines.expect(["opened polling 4"]).await;
    let (_, sid) = opened.split_once(r#""sid":""#).expect("an open packet");
    let (sid, _) = sid.split_once('"').expect("an id");
    let mut client = Client::upgrade(address, sid).await;
    client.expect_only("2probe", "3probe").await;
    client.send("5").await;
    lines.expect(["upgraded websocket"]).await;
    client.connect("").await;
    lines.expect(["connecting /", "connected /"]).await;
}

#[tokio::test]
async fn a_violation_is_the_reason_of_the_end_of_its_connection() {
    let (io, mut lines, _program) = observed(|_| {});
    let mut client = Client::join(serve(&io).await).await;
    lines.expect(["opened websocket 4", "connecting /", "connected /"]).await;
    client.send("4nonsense").await;
    let error = "error in -: handler failed: 'n' is not a packet type";
    lines.expect([error, "closed websocket forced close -", "disconnected forced close"]).await;
    client.expect_end().await;
    lines.expect_silence();
}

#[tokio::test]
async fn refused_and_abandoned_clients_are_observed() {
    let (io, mut lines, program) = observed(|io| {
        io.of("/picky").middleware(async |Auth(_): Auth<Value>, gate: State<Gate>| {
            gate.pass().await;
            Err::<(), _>(ConnectError::new("not today"))
        });
    });
    let mut client = Client::open(serve(&io).await).await;
    lines.expect(["created /picky", "opened websocket 4"]).await;
    client.expect_only("40/nowhere,", r#"44/nowhere,{"message":"Invalid namespace"}"#).await;
    lines.expect(["refused /nowhere false Invalid namespace"]).await;
    program.gate.open();
    client.expect_only("40/picky,", r#"44/picky,{"message":"not today"}"#).await;
    lines.expect(["connecting /picky", "refused /picky true not today"]).await;
    io.of("/slow").middleware(async |gate: State<Gate>| gate.pass().await);
    lines.expect(["created /slow"]).await;
    client.send("40/slow,").await;
    lines.expect(["connecting /slow"]).await;
    client.send("41/slow,").await;
    // The server has handled the request when it responds to this one.
    client.expect_only("40/nowhere,", r#"44/nowhere,{"message":"Invalid namespace"}"#).await;
    lines.expect(["refused /nowhere false Invalid namespace"]).await;
    program.gate.open();
    lines.expect(["abandoned client namespace disconnect"]).await;
    lines.expect_silence();
}

#[tokio::test]
async fn a_namespace_of_a_client_is_observed_until_it_is_removed() {
    let (io, mut lines, _program) = observed(|io| {
        let _ = io.of_pattern(|name| name == "/mine");
    });
    let mut client = Client::open(serve(&io).await).await;
    client.connect("/mine,").await;
    lines.expect(["opened websocket 4", "created /mine", "connecting /mine", "connected /mine"]).await;
    client.expect_only("40/yours,", r#"44/yours,{"message":"Invalid namespace"}"#).await;
    lines.expect(["refused /yours false Invalid namespace"]).await;
    client.send("41/mine,").await;
    lines.expect(["disconnected client namespace disconnect", "removed /mine"]).await;
}

#[tokio::test]
async fn events_handlers_and_acknowledgements_are_observed() {
    let (io, mut lines, program) = observed(|io| {
        io.on("echo", async |socket: Socket, Data(text): Data<String>| {
            socket.emit("echoed", &text);
            Reply(text)
        });
        io.on("later", async |gate: State<Gate>| {
            gate.pass().await;
            Err::<(), _>(HandlerError::new("too late"))
        });
        io.on("ask", async |socket: Socket| {
            let answer: Result<u8, AckError> =
                socket.timeout(Duration::from_millis(1)).emit_with_ack("question", ()).await;
            answer.map_err(|error| HandlerError::new(error.to_string()))
        });
    });
    let mut client = Client::join(serve(&io).await).await;
    lines.expect(["opened websocket 4", "connecting /", "connected /"]).await;
    client.send(r#"427["echo","hi"]"#).await;
    lines
        .expect(["received echo 13 true", "sent echoed 16 false", "ack sent 8", "finished echo false"])
        .await;
    client.send(r#"42["nobody"]"#).await;
    lines.expect(["received nobody 10 false", "unhandled nobody"]).await;
    client.send(r#"42["later"]"#).await;
    lines.expect(["received later 9 false"]).await;
    program.gate.open();
    lines.expect(["finished later true", "error in later: too late"]).await;
    client.send(r#"42["ask"]"#).await;
    lines.expect(["received ask 7 false", "sent question 14 true", "acks timed out 1"]).await;
    lines.expect(["finished ask true", "error in ask: operation has timed out"]).await;
    client.send("430[1]").await;
    lines.expect(["ack received 3 false"]).await;
    lines.expect_silence();
}

#[tokio::test]
async fn a_change_of_the_data_of_a_socket_is_observed() {
    let (io, mut lines, mut program) = observed(|io| {
        io.on_connection(async |socket: Socket, joined: State<Joined>| drop(joined.0.0.send(socket)));
    });
    let _client = Client::join(serve(&io).await).await;
    let socket = program.joined().await;
    socket.set_data(vec![1]).expect("it is data");
    socket.update_data(|data: &mut Vec<u8>| data.push(2)).expect("a list");
    assert!(socket.set_data(HashMap::from([((), 1)])).is_err(), "no key is a text");
    assert!(socket.update_data(|_: &mut String| {}).is_err(), "it is a list");
    lines.expect(["opened websocket 4", "connecting /", "connected /", "data [1]", "data [1,2]"]).await;
    lines.expect_silence();
}

#[tokio::test]
async fn a_broadcast_is_one_observation_with_the_number_of_its_receivers() {
    let (io, mut lines, mut program) = observed(|io| {
        io.on_connection(async |socket: Socket, joined: State<Joined>| {
            let _ = joined.0.0.send(socket);
        });
    });
    let address = serve(&io).await;
    let _first = Client::join(address).await;
    let _second = Client::join(address).await;
    let socket = program.joined().await;
    program.joined().await;
    lines.now();
    io.emit("news", (1, "two"));
    lines.expect(["broadcast news 17 to 2"]).await;
    socket.broadcast().emit("others", ());
    lines.expect(["broadcast others 11 to 1"]).await;
    io.to("nowhere").emit("silence", ());
    lines.expect(["broadcast silence 12 to 0"]).await;
    let acks = io.emit_with_ack::<u8>("ask", ());
    lines.expect(["broadcast ask 9 to 2"]).await;
    drop(acks);
    lines.expect_silence();
}

#[tokio::test]
async fn events_that_a_slow_reader_does_not_get_are_observed_as_dropped() {
    let (log, mut lines) = log();
    let (builder, mut program) = program();
    let io = builder
        .max_write_buffer_size(100_000)
        .observer(move |observation: &Observation<'_>| match observation {
            Observation::EventDropped { .. }
            | Observation::EventBroadcast { .. }
            | Observation::ConnectionClosed { .. } => {
                describe(observation).into_iter().for_each(|line| log.say(line));
            }
            _ => {}
        })
        .build();
    io.on_connection(async |socket: Socket, joined: State<Joined>| {
        let _ = joined.0.0.send(socket);
    });
    let client = Client::join_in_memory(&io, 1_000).await;
    let socket = program.joined().await;
    // The client reads no more than its buffer takes.
    socket.emit("fill", "x".repeat(50_000));
    // The connection writes as much as fits; from then on it is not ready.
    soon(async {
        while lines.now().is_empty() {
            socket.volatile().emit("probe", ());
            tokio::task::yield_now().await;
        }
    })
    .await;
    socket.volatile().emit("position", 1);
    lines.expect(["dropped position Volatile true for 1"]).await;
    io.volatile().emit("tick", 2);
    lines.expect(["broadcast tick 11 to 0", "dropped tick Volatile false for 1"]).await;
    socket.emit("more", "x".repeat(90_000));
    lines.expect(["dropped more Overflow true for 1"]).await;
    let line = lines.next().await;
    assert!(line.starts_with("closed websocket transport error the client reads too slowly"), "{line}");
    drop(client);
}

#[tokio::test]
async fn an_observer_may_panic_and_use_the_server_and_what_it_causes_is_not_observed() {
    let (log, mut lines) = log();
    let (builder, _program) = program();
    let io = builder
        .observer(|_: &Observation<'_>| panic!("an observer that always panics"))
        .observer(move |observation: &Observation<'_>| {
            describe(observation).into_iter().for_each(|line| log.say(line));
            match observation {
                Observation::SocketConnected { socket, .. } => socket.emit("welcome", ()),
                Observation::EventReceived { socket, .. } => {
                    socket.join("observed");
                    socket.namespace().to("observed").emit("seen", socket.rooms().len());
                }
                _ => {}
            }
        })
        .build();
    io.on("event", async || Reply("done"));
    let mut client = Client::join(serve(&io).await).await;
    client.expect(r#"42["welcome"]"#).await;
    client.expect_only(r#"420["event"]"#, r#"42["seen",2]"#).await;
    client.expect(r#"430["done"]"#).await;
    lines.expect(["opened websocket 4", "connecting /", "connected /"]).await;
    lines.expect(["received event 9 true", "ack sent 10", "finished event false"]).await;
    lines.expect_silence();
}

#[tokio::test]
async fn a_socket_that_an_observer_disconnects_gets_one_disconnect_packet() {
    let builder = Server::builder().observer(|observation: &Observation<'_>| {
        if let Observation::SocketConnected { socket, .. } = observation
            && socket.namespace().name() == "/closed"
        {
            socket.disconnect();
        }
    });
    let io = builder.build();
    let _closed = io.of("/closed");
    io.on("done", async || {});
    let mut client = Client::join(serve(&io).await).await;
    client.connect("/closed,").await;
    client.expect("41/closed,").await;
    client.expect_only(r#"420["done"]"#, "430[]").await;
}
