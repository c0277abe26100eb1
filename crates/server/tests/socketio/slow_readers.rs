//! Clients that do not read.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use tidewire_server::{DeliveryCounts, DisconnectReason, EmitError, Limits, Server, Socket, State};

use crate::support::{Client, Gate, Joined, Log, Program, program, serve, until};

const LIMIT: usize = 10_000;

/// A client whose stream buffers little, and its socket.
async fn slow() -> (Server, Program, Client, Socket) {
    let (builder, mut program) = program();
    let io = builder.max_write_buffer_size(LIMIT).build();
    io.on_connection(async |socket: Socket, joined: State<Joined>| joined.0.0.send(socket).expect("a test"));
    io.on_disconnect(async |reason: DisconnectReason, log: State<Log>| log.say(reason));
    let client = Client::join_in_memory(&io, 1_024).await;
    let socket = program.joined().await;
    (io, program, client, socket)
}

fn event(number: usize) -> String {
    format!(r#"42["event",{number},"{:1000}"]"#, "")
}

/// Emits until the write buffer is full. Returns the number of emits.
async fn fill(socket: &Socket) -> usize {
    let mut sent = 0;
    loop {
        match socket.try_emit("event", (sent, format!("{:1000}", ""))) {
            Ok(()) => sent += 1,
            Err(error) => {
                assert_eq!(error, EmitError::Full);
                return sent;
            }
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn try_emit_returns_an_error_if_the_buffer_is_full_and_the_client_stays() {
    let (_io, mut program, mut client, socket) = slow().await;
    let sent = fill(&socket).await;
    assert!((9..13).contains(&sent), "{sent}");
    for number in 0..sent {
        client.expect(&event(number)).await;
    }
    assert_eq!(socket.try_emit("more", ()), Ok(()));
    client.expect(r#"42["more"]"#).await;
    program.lines.expect_silence();
}

#[tokio::test(start_paused = true)]
async fn the_server_knows_how_much_is_queued_for_all_its_clients() {
    let (io, _program, mut client, socket) = slow().await;
    assert_eq!(io.buffered_amount(), 0);
    let sent = fill(&socket).await;
    assert!((LIMIT - 2_000..=LIMIT).contains(&io.buffered_amount()), "{}", io.buffered_amount());
    for number in 0..sent {
        client.expect(&event(number)).await;
    }
    until(|| io.buffered_amount() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn emit_wait_goes_on_when_the_client_reads() {
    let (_io, _program, mut client, socket) = slow().await;
    let mut sending = tokio::spawn(async move {
        for number in 0..100 {
            socket.emit_wait("event", (number, format!("{:1000}", ""))).await.expect("the client stays");
        }
    });
    // The clock advances only when every task waits; this one waits for capacity.
    assert!(tokio::time::timeout(Duration::from_secs(5), &mut sending).await.is_err(), "nothing stopped it");
    for number in 0..100 {
        client.expect(&event(number)).await;
    }
    sending.await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn emit_wait_of_an_event_larger_than_half_the_limit_waits_for_its_room() {
    let (_io, _program, mut client, socket) = slow().await;
    // Less than half of the limit is buffered, but the next message does not fit.
    socket.emit("small", format!("{:4000}", ""));
    let sending = tokio::spawn({
        let socket = socket.clone();
        async move {
            for size in [8_000, 30_000, 8_000] {
                socket.emit_wait("large", format!("{:size$}", "")).await?;
            }
            Ok::<(), EmitError>(())
        }
    });
    client.expect(&format!(r#"42["small","{:4000}"]"#, "")).await;
    for size in [8_000, 30_000, 8_000] {
        client.expect(&format!(r#"42["large","{:size$}"]"#, "")).await;
    }
    assert_eq!(sending.await.expect("no panic"), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_loses_the_capacity_waits_for_capacity_again() {
    let (_io, _program, mut client, socket) = slow().await;
    let sent = fill(&socket).await;
    // There will be capacity for one of them, and after that one was sent, for the other.
    let mut waiting: Vec<_> = (0..2)
        .map(|_| {
            let socket = socket.clone();
            tokio::spawn(async move { socket.emit_wait("large", format!("{:4000}", "")).await })
        })
        .collect();
    for number in 0..sent {
        client.expect(&event(number)).await;
    }
    // When the clock advances, every task has done all that it can. The first of the large messages is not read.
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(waiting.iter().all(tokio::task::JoinHandle::is_finished), "one waits");
    for waiting in waiting.drain(..) {
        assert_eq!(waiting.await.expect("no panic"), Ok(()));
        client.expect(&format!(r#"42["large","{:4000}"]"#, "")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn emit_wait_fails_when_the_client_disconnects() {
    let (_io, mut program, client, socket) = slow().await;
    fill(&socket).await;
    let sending = tokio::spawn(async move { socket.emit_wait("event", format!("{:1000}", "")).await });
    drop(client);
    assert_eq!(sending.await.expect("no panic"), Err(EmitError::Disconnected));
    program.lines.expect(["transport close"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_volatile_event_is_dropped_where_another_one_would_disconnect_the_client() {
    let (io, mut program, mut client, socket) = slow().await;
    let sent = fill(&socket).await;
    socket.volatile().emit("lost", format!("{:1000}", ""));
    assert_eq!(socket.volatile().try_emit("lost", ()), Ok(()));
    io.volatile().emit("lost", format!("{:1000}", ""));
    io.to(socket.id()).volatile().emit("lost", ());
    assert_eq!(io.delivery_counts().dropped, 4);
    for number in 0..sent {
        client.expect(&event(number)).await;
    }
    program.lines.expect_silence();
    socket.volatile().emit("seen", ());
    client.expect(r#"42["seen"]"#).await;
    io.volatile().emit("seen", ());
    client.expect(r#"42["seen"]"#).await;
}

#[tokio::test(start_paused = true)]
async fn volatile_events_that_are_sent_together_arrive_if_the_client_has_read_what_came_before() {
    let (io, _program, mut client, socket) = slow().await;
    for number in 0..3 {
        socket.volatile().emit("volatile", number);
    }
    io.volatile().emit("volatile", 3);
    for number in 0..4 {
        client.expect(&format!(r#"42["volatile",{number}]"#)).await;
    }
    assert_eq!(io.delivery_counts().dropped, 0);
}

#[tokio::test(start_paused = true)]
async fn emit_to_a_client_that_reads_too_slowly_ends_it_without_a_gap() {
    let (io, mut program, mut client, socket) = slow().await;
    let sent = fill(&socket).await;
    io.emit("event", (sent, format!("{:1000}", "")));
    socket.emit("small", ());
    program.lines.expect(["transport error"]).await;
    for number in 0..sent {
        client.expect(&event(number)).await;
    }
    client.expect_end().await;
    until(|| io.connection_count() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_burst_may_take_four_times_the_limit_if_the_client_has_read_everything_before() {
    let (io, mut program, mut client, socket) = slow().await;
    for number in 0..38 {
        socket.emit("event", (number, format!("{:1000}", "")));
    }
    for number in 0..38 {
        client.expect(&event(number)).await;
    }
    program.lines.expect_silence();
    for number in 0..38 {
        io.emit("event", (number, format!("{:1000}", "")));
    }
    for number in 0..38 {
        client.expect(&event(number)).await;
    }
    program.lines.expect_silence();
    assert_eq!(io.delivery_counts(), DeliveryCounts::default());
    for number in 0..42 {
        socket.emit("event", (number, format!("{:1000}", "")));
    }
    program.lines.expect(["transport error"]).await;
    assert_eq!(io.delivery_counts().overflowed, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_whose_task_is_stuck_in_a_handler_ends_at_four_times_the_limit() {
    let (builder, mut program) = program();
    let handler_returns = Arc::new(Barrier::new(2));
    let io = builder.max_write_buffer_size(LIMIT).state(Arc::clone(&handler_returns)).build();
    io.on_connection(async |socket: Socket, joined: State<Joined>| joined.0.0.send(socket).expect("a test"));
    io.on_disconnect(async |reason: DisconnectReason, log: State<Log>| log.say(reason));
    io.on("block", async |barrier: State<Arc<Barrier>>, log: State<Log>| {
        log.say("blocked");
        barrier.wait();
    });
    let mut client = Client::join(serve(&io).await).await;
    let socket = program.joined().await;
    client.send(r#"42["block"]"#).await;
    program.lines.expect(["blocked"]).await;
    for number in 0..1_000 {
        io.emit("event", (number, format!("{:1000}", "")));
    }
    assert_eq!(
        io.delivery_counts().overflowed,
        1,
        "nothing is queued after the first event that did not fit"
    );
    assert_eq!(socket.try_emit("event", ()), Err(EmitError::Full));
    handler_returns.wait();
    program.lines.expect(["transport error"]).await;
    let mut received = 0;
    while let Some(packet) = client.recv().await {
        assert_eq!(packet, event(received));
        received += 1;
    }
    assert_eq!(received, 4 * LIMIT / (event(10).len() + 4));
}

#[tokio::test(start_paused = true)]
async fn one_slow_client_does_not_hold_up_a_broadcast() {
    let (io, mut program, mut client, slow) = slow().await;
    fill(&slow).await;
    let mut fast = Client::join_in_memory(&io, 1_024).await;
    program.joined().await;
    for number in 0..50 {
        io.emit("event", number);
        fast.expect(&format!(r#"42["event",{number}]"#)).await;
    }
    client.recv().await;
}

#[tokio::test]
async fn arguments_that_cannot_be_encoded_are_an_error_and_nothing_is_sent() {
    let (_io, mut program, mut client, socket) = slow().await;
    let unwritable = std::collections::HashMap::from([((1, 2), 3)]);
    assert!(matches!(socket.try_emit("event", &unwritable), Err(EmitError::Encode(_))));
    assert!(matches!(socket.try_emit("disconnect", ()), Err(EmitError::Encode(_))), "a reserved name");
    socket.emit("event", &unwritable);
    socket.emit("fine", ());
    client.expect(r#"42["fine"]"#).await;
    program.lines.expect_silence();
}

#[tokio::test]
async fn a_client_that_requests_much_at_once_and_reads_it_is_not_a_slow_reader() {
    const ANSWER: usize = 200_000;
    let (builder, mut program) = program();
    let io = builder.max_write_buffer_size(20 * ANSWER).build();
    io.on("ask", async |socket: Socket| socket.emit("answer", "x".repeat(ANSWER)));
    io.on("wait", async |gate: State<Gate>, log: State<Log>| {
        log.say("waiting");
        gate.pass().await;
    });
    let mut client = Client::join(serve(&io).await).await;
    client.send_all([r#"42["ask"]"#; 100]).await;
    for _ in 0..100 {
        assert_eq!(client.recv().await.map(|packet| packet.len()), Some(ANSWER + 15));
    }
    // The same for queued events.
    client.send(r#"42["wait"]"#).await;
    program.lines.expect(["waiting"]).await;
    client.send_all([r#"42["ask"]"#; 100]).await;
    program.gate.open();
    for _ in 0..100 {
        assert_eq!(client.recv().await.map(|packet| packet.len()), Some(ANSWER + 15));
    }
}

/// Events that wait suspend the heartbeat. A handler that waits for the client itself must not do so: the client could
/// keep it, and its connection, for ever.
#[tokio::test(start_paused = true)]
async fn a_client_that_floods_and_reads_nothing_cannot_make_emit_wait_wait_for_ever() {
    let (builder, mut program) = program();
    let io = builder
        .max_write_buffer_size(LIMIT)
        .ping_interval(Duration::from_secs(1))
        .ping_timeout(Duration::from_secs(2))
        .limits(Limits { max_queued_events: 1, ..Limits::default() })
        .build();
    io.on("flood", async |socket: Socket, log: State<Log>| {
        while socket.emit_wait("event", format!("{:1000}", "")).await.is_ok() {}
        log.say("the handler goes on");
    });
    io.on_disconnect(async |reason: DisconnectReason, log: State<Log>| log.say(reason));
    let mut client = Client::join_in_memory(&io, 1_024).await;
    for _ in 0..3 {
        client.send(r#"42["flood"]"#).await;
    }
    program.lines.expect(["the handler goes on", "ping timeout"]).await;
}
