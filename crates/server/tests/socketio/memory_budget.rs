//! What the memory budget counts besides the messages of the engine.

use tidewire_server::{DisconnectReason, MemoryBudget, Server, Socket, State};

use crate::support::{Client, Gate, Joined, Log, Program, program, until};

const KIB: usize = 1024;

fn listening(budget: &MemoryBudget) -> (Server, Program) {
    let (builder, program) = program();
    let io = builder.memory_budget(budget).build();
    io.on_connection(async |socket: Socket, joined: State<Joined>| drop(joined.0.0.send(socket)));
    io.on("wait", async |gate: State<Gate>| gate.pass().await);
    io.on_disconnect(async |reason: DisconnectReason, log: State<Log>| log.say(reason));
    (io, program)
}

const TWO_ATTACHMENTS: &str = r#"452-["event",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;

#[tokio::test]
async fn attachments_of_an_incomplete_packet_count() {
    let budget = MemoryBudget::new(300 * KIB);
    let (io, mut program) = listening(&budget);
    let mut large = Client::join_in_memory(&io, 1 << 20).await;
    large.send(TWO_ATTACHMENTS).await;
    large.send_binary(&vec![7; 200 * KIB]).await;
    until(|| budget.used() > 200 * KIB).await;
    let mut small = Client::join_in_memory(&io, 1 << 20).await;
    small.send(TWO_ATTACHMENTS).await;
    small.send_binary(&vec![7; 100 * KIB]).await;
    large.expect_end().await;
    program.lines.expect(["transport error"]).await;
    small.send_binary(&[7]).await;
    until(|| budget.used() < KIB).await;
    program.lines.expect_silence();
}

#[tokio::test]
async fn of_many_equal_incomplete_packets_only_as_many_end_as_free_a_sixteenth_of_the_budget() {
    const CLIENTS: usize = 45;
    // 45 of them take 4,050 KiB, and 41 less than fifteen sixteenths of the budget, which are 3,750 KiB.
    const ENDED: usize = 4;
    let budget = MemoryBudget::new(4_000 * KIB);
    let (io, mut program) = listening(&budget);
    let mut clients = Vec::new();
    for number in 1..=CLIENTS {
        let mut client = Client::join_in_memory(&io, 1 << 20).await;
        client.send(TWO_ATTACHMENTS).await;
        client.send_binary(&vec![7; 90 * KIB]).await;
        until(|| budget.used() > number * 90 * KIB || number == CLIENTS).await;
        clients.push(client);
    }
    program.lines.expect(["transport error"; ENDED]).await;
    io.emit("event", 1);
    let mut left = 0;
    for client in &mut clients {
        // The others have been ended with close code 1013.
        if let Some(packet) = client.recv().await {
            assert_eq!(packet, r#"42["event",1]"#);
            left += 1;
        }
    }
    assert_eq!((left, io.connection_count()), (CLIENTS - ENDED, CLIENTS - ENDED));
    program.lines.expect_silence();
}

#[tokio::test]
async fn events_that_wait_for_a_handler_count() {
    let budget = MemoryBudget::new(300 * KIB);
    let (io, mut program) = listening(&budget);
    let mut client = Client::join_in_memory(&io, 1 << 20).await;
    client.send(r#"42["wait"]"#).await;
    client.send(&format!(r#"42["event","{}"]"#, "x".repeat(200 * KIB))).await;
    until(|| budget.used() > 200 * KIB).await;
    program.gate.open();
    until(|| budget.used() < KIB).await;
    client.send(r#"42["wait"]"#).await;
    client.send(&format!(r#"42["event","{}"]"#, "x".repeat(200 * KIB))).await;
    until(|| budget.used() > 200 * KIB).await;
    let _others = budget.try_retain(101 * KIB).expect("less than half");
    client.send(r#"42["event"]"#).await;
    client.expect_end().await;
    program.gate.open();
    program.lines.expect(["transport error"]).await;
}

#[tokio::test]
async fn an_auth_payload_counts_as_long_as_its_socket() {
    let budget = MemoryBudget::new(300 * KIB);
    let (io, mut program) = listening(&budget);
    let mut client = Client::join_in_memory(&io, 1 << 20).await;
    program.joined().await;
    client.send(&format!(r#"40/other,{{"token":"{}"}}"#, "x".repeat(200 * KIB))).await;
    assert!(client.recv().await.is_some_and(|reply| reply.starts_with("44/other")), "no such namespace");
    until(|| budget.used() < KIB).await;
    io.of("/other")
        .on_connection(async |socket: Socket, joined: State<Joined>| drop(joined.0.0.send(socket)));
    client.send(&format!(r#"40/other,{{"token":"{}"}}"#, "x".repeat(200 * KIB))).await;
    let socket = program.joined().await;
    until(|| budget.used() > 200 * KIB).await;
    socket.disconnect();
    until(|| budget.used() < KIB).await;
}

#[tokio::test]
async fn the_readers_that_hold_broadcasts_beyond_the_budget_end_and_a_healthy_one_stays() {
    const EVENT: usize = 1024 * KIB;
    const STALLED: usize = 20;
    let budget = MemoryBudget::new(10 * EVENT);
    let (io, mut program) = listening(&budget);
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        stalled.push(Client::join_in_memory(&io, KIB).await);
    }
    let mut healthy = Client::join_in_memory(&io, 64 * KIB).await;
    let text = "x".repeat(EVENT);
    let packet = format!(r#"42["event","{text}"]"#);
    for number in 1..=15 {
        io.emit("event", &text);
        assert!(healthy.recv().await.is_some_and(|received| received == packet), "event {number}");
        if number == 9 {
            // They hold all events, and each event counts once.
            assert_eq!(io.connection_count(), STALLED + 1);
            let used = budget.used();
            assert!((9 * EVENT..10 * EVENT).contains(&used), "{used}");
        }
    }
    program.lines.expect(["transport error"; STALLED]).await;
    until(|| io.connection_count() == 1 && budget.used() < 100 * KIB).await;
    io.emit("event", 1);
    healthy.expect(r#"42["event",1]"#).await;
    program.lines.expect_silence();
    drop(stalled);
}
