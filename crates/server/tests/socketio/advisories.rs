//! Bugs of other Socket.IO servers, and the proof that this one does not have them. Each test is named after its
//! advisory.
//!
//! Tests that need only the protocol are in `socketio-proto/tests/connections/advisories.rs`, and those of sessions in
//! `engineio/tests/sessions/advisories.rs`. These advisories are covered by other tests:
//!
//! | advisory | bug | covered by |
//! |---|---|---|
//! | socket.io CVE-2026-33151, CVE-2026-69185 and other packets | see `socketio-proto` | there; `cli/tests/hostile/packets.rs`: `an_invalid_packet_ends_the_connection_…`, `missing_attachments_…` |
//! | socket.io #2449, #2682, #4491, #1998, #2545 | an error in a handler ended the process | `errors.rs`; `event_middleware.rs`: `a_middleware_that_cannot_be_called_or_panics_…` |
//! | socket.io #3158, #4435 | nothing bounded what waits for a slow client | `slow_readers.rs`; `cli/tests/hostile/slow_readers.rs` |
//! | socket.io #2845, #2326 | a client that floods the server stops it for all | `emit_with_ack.rs`: `at_the_soft_limit_…`; `cli/tests/hostile/floods.rs` |
//! | socket.io #407, #2978, #3477 and others, engine.io #225, #559 | closed connections leaked memory | `cli/tests/hostile/packets.rs`: `endless_connects_and_disconnects_leak_no_memory` |
//! | socketioxide #801, #811, #820 | a second CONNECT replaced the socket; a text between attachments; waiters that stay | `socketio-proto`; `cli/tests/hostile/packets.rs` |
//! | socketioxide #813 | a socket in two rooms got two copies | `broadcast.rs`: `a_socket_in_several_of_the_rooms_gets_one_copy` |
//! | socketioxide #627 | a client that left during its CONNECT stayed in the namespace | here; `handler_order.rs`: `a_client_that_joins_and_vanishes_at_once_…` |

use std::time::Duration;

use bytes::Bytes;
use tidewire_server::{Data, DisconnectReason, EmitError, Server, Socket, State};

use crate::support::{Client, Joined, Log, program, serve, soon, until};

/// socket.io: an event with the name `error` that no handler took was an exception that nothing caught.
#[tokio::test]
async fn cve_2024_38355_an_event_with_the_name_error_is_an_event_like_others() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on("done", async || {});
    io.of("/handled").on("error", async |log: State<Log>, Data(text): Data<String>| log.say(text));
    let mut client = Client::join(serve(&io).await).await;
    client.connect("/handled,").await;
    for name in ["error", "close", "uncaughtException", "__proto__", "constructor", "toString"] {
        client.send(&format!(r#"42["{name}","boom"]"#)).await;
        client.send(&format!(r#"427["{name}"]"#)).await;
        client.expect_only(r#"428["done"]"#, "438[]").await;
    }
    client.send(r#"42/handled,["error","boom"]"#).await;
    program.lines.expect(["boom"]).await;
    program.lines.expect_silence();
}

/// socketioxide: two tasks that sent attachments to one client mixed them up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn socketioxide_issue_232_the_attachments_of_several_tasks_follow_their_own_events() {
    const EMITTERS: usize = 4;
    const EVENTS: usize = 200;
    let (builder, mut program) = program();
    let io = builder.build();
    io.on_connection(async |socket: Socket, joined: State<Joined>| joined.0.0.send(socket).expect("a test"));
    let mut client = Client::join(serve(&io).await).await;
    let socket = program.joined().await;
    for emitter in 0..EMITTERS {
        let (io, socket) = (io.clone(), socket.clone());
        tokio::spawn(async move {
            for number in 0..EVENTS {
                let attachment = |which| Bytes::from(format!("{emitter} {number} {which}"));
                let arguments = (emitter, number, attachment("first"), attachment("second"));
                if number % 2 == 0 {
                    socket.emit("event", arguments);
                } else {
                    io.emit("event", arguments);
                }
                tokio::task::yield_now().await;
            }
        });
    }
    let mut next = [0; EMITTERS];
    for _ in 0..EMITTERS * EVENTS {
        let packet = client.recv().await.expect("an event");
        let arguments = packet.strip_prefix(r#"452-["event","#).expect(&packet);
        let emitter: usize = arguments.split(',').next().and_then(|text| text.parse().ok()).expect(&packet);
        let number = next[emitter];
        assert!(arguments.starts_with(&format!("{emitter},{number},{{")), "{packet}");
        for which in ["first", "second"] {
            client.expect(&format!("{:?}", Bytes::from(format!("{emitter} {number} {which}")))).await;
        }
        next[emitter] += 1;
    }
}

/// socketioxide: a disconnect handler that changed the namespaces was a deadlock.
#[tokio::test]
async fn socketioxide_issue_311_a_disconnect_handler_may_disconnect_others_and_create_namespaces() {
    let (builder, mut program) = program();
    let io = builder.build();
    io.on_disconnect(async |io: Server, log: State<Log>, reason: DisconnectReason| {
        io.broadcast().disconnect_sockets(true);
        io.of("/new").on("event", async || {});
        io.of("/new").broadcast().disconnect_sockets(true);
        log.say(format_args!("{reason}, {} left", io.broadcast().socket_ids().len()));
    });
    let address = serve(&io).await;
    let first = Client::join(address).await;
    let mut second = Client::join(address).await;
    drop(first);
    program.lines.expect(["transport close, 0 left", "server namespace disconnect, 0 left"]).await;
    second.expect("41").await;
    second.expect_end().await;
    until(|| io.connection_count() == 0).await;
}

/// socketioxide: a socket whose CONNECT could not be sent stayed in its namespace.
#[tokio::test(start_paused = true)]
async fn socketioxide_issue_627_a_socket_whose_connect_cannot_be_sent_does_not_stay() {
    let (builder, mut program) = program();
    let io = builder.max_write_buffer_size(10_000).build();
    io.on_connection(async |socket: Socket, joined: State<Joined>| joined.0.0.send(socket).expect("a test"));
    let other = io.of("/other");
    other.on_disconnect(async |log: State<Log>| log.say("left"));
    let mut client = Client::join_in_memory(&io, 1_024).await;
    let socket = program.joined().await;
    // The shortest event fills what larger ones leave.
    for event in [" ".repeat(1_000), "e".to_owned()] {
        while socket.try_emit(&event, ()) != Err(EmitError::Full) {
            tokio::task::yield_now().await;
        }
    }
    assert!(socket.is_connected());
    client.send("40/other,").await;
    until(|| io.connection_count() == 0).await;
    assert_eq!(other.broadcast().socket_ids(), []);
    assert!(!socket.is_connected());
    drop(client);
    io.close().await;
}

/// socketioxide: an acknowledgement could arrive before its waiter was stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn socketioxide_issue_708_an_acknowledgement_that_comes_at_once_finds_its_waiter() {
    const TASKS: u64 = 4;
    const QUESTIONS: u64 = 250;
    let (builder, mut program) = program();
    let io = builder.build();
    io.on_connection(async |socket: Socket, joined: State<Joined>| joined.0.0.send(socket).expect("a test"));
    let mut client = Client::join(serve(&io).await).await;
    let socket = program.joined().await;
    let asking: Vec<_> = (0..TASKS)
        .map(|task| {
            let socket = socket.clone();
            tokio::spawn(async move {
                for number in task * QUESTIONS..(task + 1) * QUESTIONS {
                    let answer = socket.timeout(Duration::from_secs(60)).emit_with_ack("question", number);
                    assert_eq!(answer.await, Ok(number));
                }
            })
        })
        .collect();
    for _ in 0..TASKS * QUESTIONS {
        let question = client.recv().await.expect("a question");
        let (id, number) =
            question[2..].trim_end_matches(']').split_once(r#"["question","#).expect(&question);
        client.send(&format!("43{id}[{number}]")).await;
    }
    for task in asking {
        soon(task).await.expect("every acknowledgement has arrived");
    }
}
