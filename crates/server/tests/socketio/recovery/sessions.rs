//! What a recovered session has, which sessions are kept, and for how long.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tidewire_server::{
    ConnectError, ConnectionStateRecovery, EmitError, Extension, Namespace, Server, Socket, State, Value,
};
use tokio::sync::mpsc;

use super::client::{Recovering, answer_sync, recoverable};
use crate::support::{Client, Gate, Joined, Log, Program, program, serve, soon, until};

#[tokio::test]
async fn a_recovered_socket_has_the_id_the_rooms_and_the_data_of_the_former_one() {
    let (io, mut program, address) = recoverable(|_| {}).await;
    let mut client = Recovering::new(address).await;
    let former = program.joined().await;
    former.join(["a", "b"]);
    former.leave("b");
    former.set_data(("ann", Bytes::from_static(b"bytes"))).unwrap();
    for round in 1..=3 {
        io.to("a").emit("in a", round);
        io.to("b").emit("in b", round);
        client.expect([format!("in a {round}")]).await;
        io.to("a").except("b").emit("missed", round);
        let (back, missed) = client.cut_and_back(address).await;
        client = back;
        let socket = program.joined().await;
        assert!(client.recovered && socket.recovered() && !former.recovered());
        assert_eq!(missed, [format!("missed {round}")]);
        assert_eq!((socket.id(), client.id.as_str()), (former.id(), former.id().as_str()));
        let rooms: Vec<_> = socket.rooms().iter().map(ToString::to_string).collect();
        assert_eq!(rooms, [former.id().as_str(), "a"]);
        let data: Value = socket.data().unwrap();
        assert_eq!(data, former.data::<Value>().unwrap());
    }
}

#[tokio::test]
async fn an_extension_that_a_recovered_socket_lacks_is_an_error_that_names_the_setting() {
    let (io, mut program, address) = recoverable(|_| {}).await;
    io.middleware(async |socket: Socket| {
        socket.set_extension(7_u8);
    });
    io.on("number", async |_: Extension<u8>, log: State<Log>| log.say("called"));
    let mut client = Recovering::new(address).await;
    client.send(r#"42["number"]"#).await;
    program.lines.expect(["called"]).await;
    let (mut client, _) = client.cut_and_back(address).await;
    client.send(r#"42["number"]"#).await;
    let line = program.lines.next().await;
    assert!(line.starts_with("error in number: ") && line.contains("`skip_middlewares: false`"), "{line}");
}

#[tokio::test]
async fn recovery_may_be_limited_to_some_namespaces() {
    let recovery = ConnectionStateRecovery {
        namespaces: Some(vec!["/chat".into()]),
        ..ConnectionStateRecovery::default()
    };
    let io = Server::builder().connection_state_recovery(recovery).build();
    let address = serve(&io).await;
    for (name, is_recoverable) in [("/", false), ("/news", false), ("/chat", true)] {
        let namespace = io.of(name);
        let mut client = Client::open(address).await;
        client.send(&format!("40{name},")).await;
        let response = client.recv().await.expect("a response");
        assert_eq!(response.contains(r#""pid":"#), is_recoverable, "{name}: {response}");
        namespace.emit("event", ());
        let event = client.recv().await.expect("an event");
        assert_eq!(!event.ends_with(r#"["event"]"#), is_recoverable, "{name}: {event}");
    }
}

#[tokio::test]
async fn an_event_for_a_client_without_a_connection_waits_in_the_log() {
    let (io, mut program, address) = recoverable(|_| {}).await;
    let client = Recovering::new(address).await;
    let socket = program.joined().await;
    let (pid, id) = (client.pid.clone(), client.id.clone());
    let rest = Client::open(address).await;
    drop(client);
    soon(socket.disconnected()).await;
    until(|| io.sockets().is_empty()).await;
    socket.emit("private", 1);
    assert_eq!(socket.try_emit("private", 2), Ok(()));
    assert_eq!(soon(socket.emit_wait("private", 3)).await, Ok(()));
    io.to(&id).emit("private", 4);
    socket.volatile().emit("volatile", ());
    assert_eq!(socket.volatile().try_emit("volatile", ()), Err(EmitError::Disconnected));
    assert!(soon(socket.emit_with_ack::<()>("with ack", ())).await.is_err());
    io.volatile().emit("volatile", ());
    io.local().emit("local", ());
    drop(rest);
    let former = Recovering { pid, id, offset: None, recovered: false, ..Recovering::new(address).await };
    let (client, missed) = former.back(address).await;
    assert!(client.recovered);
    assert_eq!(missed, (1..=4).map(|number| format!("private {number}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_client_that_has_received_nothing_for_long_recovers_although_the_log_is_full() {
    let (io, mut program, address) = recoverable(|recovery| recovery.max_log_bytes = 8192).await;
    // Its socket has a later place in the index of the rooms, and then an earlier one.
    let first = Recovering::new(address).await;
    let others = program.joined().await;
    let mut client = Recovering::new(address).await;
    let _ = program.joined().await;
    let fill_log = || (0..100).for_each(|number| io.to("others").emit("x", number));
    for is_first_gone in [false, true] {
        fill_log();
        io.emit("received", ());
        client.expect(["received"]).await;
        fill_log();
        if is_first_gone {
            others.disconnect();
        }
        let (back, missed) = client.cut_and_back(address).await;
        assert!(back.recovered && program.joined().await.recovered());
        assert_eq!(missed, [""; 0]);
        client = back;
    }
    drop(first);
}

#[tokio::test]
async fn a_private_event_does_not_reach_others_in_a_room_of_that_name() {
    let (io, mut program, address) = recoverable(|_| {}).await;
    let mut ann = Recovering::new(address).await;
    let to_ann = program.joined().await;
    let mut bob = Recovering::new(address).await;
    let to_bob = program.joined().await;
    to_bob.join(to_ann.id());
    to_ann.emit("private", ());
    io.to(to_ann.id()).emit("in the room", ());
    ann.expect(["private", "in the room"]).await;
    bob.expect(["in the room"]).await;
}

#[tokio::test]
async fn a_session_that_the_client_or_the_program_ends_is_not_kept() {
    let (io, mut program, address) = recoverable(|_| {}).await;
    for end in ["client", "program", "connection"] {
        let mut client = Recovering::new(address).await;
        let socket = program.joined().await;
        match end {
            "client" => client.send("41").await,
            "program" => socket.disconnect(),
            _ => socket.close_connection(),
        }
        soon(socket.disconnected()).await;
        assert_eq!(socket.try_emit("x", ()), Err(EmitError::Disconnected), "{end}");
        let (back, missed) = client.back(address).await;
        let socket = program.joined().await;
        assert_eq!((back.recovered, socket.recovered(), missed.len()), (false, false, 0), "{end}");
        assert!(back.id != client.id && back.pid != client.pid && back.pid.len() == 20, "{end}");
    }
    drop(io);
}

#[tokio::test]
async fn a_session_of_another_namespace_is_not_recovered() {
    let (io, mut program, address) = recoverable(|_| {}).await;
    let _ = io.of("/other");
    let client = Recovering::new(address).await;
    let _ = program.joined().await;
    let mut other = Client::open(address).await;
    other.send(&format!(r#"40/other,{{"pid":"{}"}}"#, client.pid)).await;
    let response = other.recv().await.unwrap();
    assert!(response.starts_with(r#"40/other,{"sid":""#) && !response.contains(&client.pid), "{response}");
}

#[tokio::test]
async fn a_connection_may_ask_for_a_few_unknown_sessions_only() {
    let (_io, mut program, address) = recoverable(|_| {}).await;
    let client = Recovering::new(address).await;
    let former = program.joined().await;
    for guesses in [16, 15] {
        let mut guessing = Client::open(address).await;
        for guess in 0..=guesses {
            let pid = if guess == guesses { client.pid.clone() } else { format!("guess {guess}") };
            guessing.send(&format!("40{}", serde_json::json!({ "pid": pid }))).await;
            let response = guessing.recv().await.unwrap();
            let recovers = (guess, guesses) == (15, 15);
            assert!(response.starts_with("40{") && response.contains(&client.pid) == recovers, "{response}");
            if !recovers {
                guessing.send("41").await;
            }
        }
        // It had no effect on the session that it has guessed too late.
        assert_eq!(former.is_connected(), guesses == 16);
    }
}

/// Returns a server whose middleware waits for the gate, and a client that the middleware checks with a claimed session. The
/// client misses so much meanwhile that the session cannot be resumed. The middleware then checks it again, as a new client,
/// and refuses it if it is `banned`.
async fn claimed_and_lost(banned: bool) -> (Server, Program, Client) {
    let (builder, mut program) = program();
    let recovery = ConnectionStateRecovery {
        skip_middlewares: false,
        max_missed_events: 1,
        ..ConnectionStateRecovery::default()
    };
    let io = builder
        .connection_state_recovery(recovery)
        .connect_timeout(Duration::from_secs(30))
        .ping_interval(Duration::from_secs(300))
        .build();
    io.on_connection(async |socket: Socket, State(joined): State<Joined>| {
        let _ = joined.0.send(socket);
    });
    let (calls, mut called) = mpsc::unbounded_channel();
    let checks = AtomicUsize::new(0);
    io.middleware(move |State(gate): State<Gate>| {
        let calls = calls.clone();
        // The former client, and the client with the claimed session, are accepted.
        let is_accepted = checks.fetch_add(1, Ordering::Relaxed) < 2 || !banned;
        async move {
            let _ = calls.send(());
            gate.pass().await;
            if is_accepted { Ok(()) } else { Err(ConnectError::new("banned")) }
        }
    });
    answer_sync(&io);
    let address = serve(&io).await;
    program.gate.open();
    let former = Recovering::new(address).await;
    let _ = program.joined().await;
    soon(called.recv()).await;
    let mut client = Client::open(address).await;
    client.send(&format!("40{}", serde_json::json!({ "pid": former.pid }))).await;
    soon(called.recv()).await;
    io.emit("1", ());
    io.emit("2", ());
    program.gate.open();
    soon(called.recv()).await;
    (io, program, client)
}

#[tokio::test]
async fn a_client_whose_session_is_lost_after_the_claim_is_not_connected_before_the_middleware_accepts_it() {
    let (_io, _program, mut client) = claimed_and_lost(false).await;
    client.send(r#"42["early"]"#).await;
    assert_eq!(client.recv().await, None, "an event before the response is a violation of the protocol");
}

#[tokio::test]
async fn a_client_whose_session_is_lost_after_the_claim_still_has_the_connect_timeout() {
    let (_io, program, mut client) = claimed_and_lost(true).await;
    program.gate.open();
    client.expect(r#"44{"message":"banned"}"#).await;
    tokio::time::pause();
    // In larger steps, the server would take itself for suspended: it may notice the deadline only some steps later.
    for _ in 0..400 {
        tokio::time::advance(Duration::from_millis(100)).await;
        tokio::task::yield_now().await;
    }
    tokio::time::resume();
    assert_eq!(client.recv().await, None, "it is in no namespace");
}

#[tokio::test]
async fn what_is_kept_is_dropped_after_its_time() {
    let (io, mut program, address) = recoverable(|_| {}).await;
    let kept = |io: &Namespace| io.kept_for_recovery();
    let client = Recovering::new(address).await;
    let socket = program.joined().await;
    io.emit("x", ());
    drop(client);
    soon(socket.disconnected()).await;
    until(|| kept(&io).sessions == 1).await;
    assert_eq!(kept(&io).events, 1);
    assert!(kept(&io).event_bytes > 0 && kept(&io).session_bytes > 0);
    // From here on, nothing needs a socket.
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(131)).await;
    assert_eq!((kept(&io).sessions, kept(&io).session_bytes), (0, 0));
    assert_eq!(socket.try_emit("x", ()), Err(EmitError::Disconnected));
    tokio::time::sleep(Duration::from_secs(320)).await;
    assert_eq!(kept(&io), Default::default());
}

#[tokio::test]
async fn a_namespace_that_a_client_created_stays_as_long_as_a_session_can_be_recovered() {
    let (io, _program, address) = recoverable(|_| {}).await;
    let _ = io.of_pattern(|name| name == "/room-1");
    let created = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&created);
    io.on_new_namespace(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let connect = async |auth: &str| {
        let mut client = Client::open(address).await;
        client.send(&format!("40/room-1,{auth}")).await;
        let response = client.recv().await.unwrap();
        (client, response.rsplit('"').nth(1).unwrap().to_owned())
    };
    let (client, pid) = connect("").await;
    drop(client);
    // Its last socket leaves.
    until(|| io.connection_count() == 0).await;
    let (client, same) = connect(&format!(r#"{{"pid":"{pid}"}}"#)).await;
    assert_eq!((same, created.load(Ordering::Relaxed)), (pid, 1));
    drop(client);
    until(|| io.connection_count() == 0).await;
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(131)).await;
    tokio::time::resume();
    let _ = connect("").await;
    assert_eq!(created.load(Ordering::Relaxed), 2, "it was removed, and created again");
}

#[tokio::test]
async fn a_session_is_dropped_after_its_time_if_its_first_connection_was_replaced_at_once() {
    let (io, mut program, address) = recoverable(|_| {}).await;
    let first = Recovering::new(address).await;
    program.joined().await;
    // The server keeps the session only for the moment between the two connections.
    let (client, _) = first.back(address).await;
    let socket = program.joined().await;
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(1)).await;
    tokio::time::resume();
    drop(client);
    soon(socket.disconnected()).await;
    until(|| io.kept_for_recovery().sessions == 1).await;
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(131)).await;
    assert_eq!(io.kept_for_recovery().sessions, 0);
}
