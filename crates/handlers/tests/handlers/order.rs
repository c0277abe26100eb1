//! The order in which handlers run, and the events that wait for them.

use std::task::Poll;

use tidewire_handlers::{
    Ack, Data, EventHandler, EventName, EventQueue, EventQueueSize, EventRegistry, Registration, State,
};

use crate::side::{Connection, Gate, Log, Socket, expect_said, run_tasks, tasks, wait};

async fn note(State(log): State<Log>, Data(number): Data<u32>) {
    log.say(number);
}

/// Registers two handlers: `wait` waits at the gate, `note` logs its number.
fn connection() -> (Connection, Log, Gate) {
    let (connection, log, gate) = Connection::new();
    connection.peer.on("wait", wait);
    connection.peer.on("note", note);
    (connection, log, gate)
}

#[test]
fn a_handler_that_is_ready_at_once_spawns_no_task() {
    let (mut connection, log, _) = connection();
    connection.receive(r#"2["note",1]"#);
    expect_said(&log, &["1"]);
    assert_eq!((tasks(), connection.queue.is_idle()), (0, true));
    assert_eq!(connection.poll(), Poll::Ready(()));
}

#[test]
fn an_event_costs_one_allocation_for_the_future_of_its_handler() {
    let (mut connection, ..) = connection();
    connection.peer.on("number", async |_: Socket, _: State<Log>, Data(_): Data<u32>| {});
    connection.peer.on("ack", async |ack: Ack<u32>| std::mem::forget(ack));
    connection.receive(r#"2["number",1]"#);
    assert_eq!(connection.receive_counted(r#"2["number",1]"#), 1);
    // Even if the handler takes the `Ack`.
    assert_eq!(connection.receive_counted(r#"27["ack"]"#), 1);
}

#[test]
fn the_next_handler_starts_when_the_one_before_has_finished() {
    let (mut connection, log, gate) = connection();
    for packet in [r#"2["wait"]"#, r#"2["note",1]"#, r#"2["wait"]"#, r#"2["note",2]"#] {
        connection.receive(packet);
    }
    connection.run();
    expect_said(&log, &["start"]);
    assert_eq!((tasks(), connection.queue.size().events), (1, 3));
    connection.open(&gate);
    expect_said(&log, &["end", "1", "start"]);
    connection.open(&gate);
    expect_said(&log, &["end", "2"]);
    assert_eq!((tasks(), connection.queue.is_idle()), (0, true));
    connection.expect_errors(&[]);
}

#[test]
fn events_that_wait_are_counted_with_their_memory() {
    let (mut connection, log, gate) = connection();
    connection.receive(r#"2["wait"]"#);
    assert_eq!(connection.queue.size(), EventQueueSize::default(), "an event that is handled does not wait");
    connection.receive(r#"2["note",1]"#);
    let one = connection.queue.size();
    assert!(one.events == 1 && one.bytes > r#"["note",1]"#.len(), "{one:?}");
    let text = "x".repeat(1_000);
    connection.receive(&format!(r#"2["note",1,"{text}"]"#));
    let two = connection.queue.size();
    assert!(two.events == 2 && (1_000..1_100).contains(&(two.bytes - 2 * one.bytes)), "{two:?}");
    assert_eq!([one, two].into_iter().sum::<EventQueueSize>().events, 3);
    connection.open(&gate);
    expect_said(&log, &["start", "end", "1", "1"]);
    assert_eq!(connection.queue.size(), EventQueueSize::default());
}

#[test]
fn an_early_event_waits_for_the_first_poll() {
    let (mut connection, log, _) = connection();
    connection.receive_early(r#"2["note",1]"#);
    connection.receive_early(r#"2["note",2]"#);
    expect_said(&log, &[]);
    assert_eq!(connection.poll(), Poll::Ready(()));
    expect_said(&log, &["1", "2"]);
}

#[test]
fn many_queued_events_are_handled_in_several_polls() {
    let (mut connection, log, _) = connection();
    for _ in 0..65 {
        connection.receive_early(r#"2["note",1]"#);
    }
    assert_eq!((connection.poll(), connection.take_wake()), (Poll::Pending, true));
    expect_said(&log, &["1"; 32]);
    assert_eq!((connection.poll(), connection.take_wake()), (Poll::Pending, true));
    expect_said(&log, &["1"; 32]);
    assert_eq!((connection.poll(), connection.take_wake()), (Poll::Ready(()), false));
    expect_said(&log, &["1"]);
}

#[test]
fn a_concurrent_handler_does_not_block_later_events_below_the_limit() {
    let (mut connection, log, gate) = connection();
    connection.peer.on("job", wait).concurrent();
    for _ in 0..3 {
        connection.receive(r#"2["job"]"#);
        connection.receive(r#"2["note",1]"#);
    }
    connection.run();
    // Two run concurrently. The third runs too, but the next event waits for it.
    expect_said(&log, &["start", "1", "start", "1", "start"]);
    assert_eq!((tasks(), connection.queue.size().events), (3, 1));
    connection.open(&gate);
    expect_said(&log, &["end", "1"]);
    connection.open(&gate);
    connection.open(&gate);
    expect_said(&log, &["end", "end"]);
    assert!(connection.queue.is_idle());
}

#[test]
fn a_handler_that_is_not_concurrent_holds_up_events_also_beside_one_that_is() {
    let (mut connection, log, gate) = connection();
    connection.peer.on("job", async |State(gate): State<Gate>| gate.pass().await).concurrent();
    for packet in [r#"2["job"]"#, r#"2["wait"]"#, r#"2["note",1]"#] {
        connection.receive(packet);
    }
    connection.run();
    expect_said(&log, &["start"]);
    connection.open(&gate);
    connection.open(&gate);
    expect_said(&log, &["end", "1"]);
}

#[test]
fn as_many_handlers_as_the_table_allows_run_at_the_same_time_and_start_in_order() {
    let (mut connection, log, gate) = Connection::new();
    connection.peer.on("wait", async |log: State<Log>, gate: State<Gate>, Data(number): Data<u32>| {
        log.say(format_args!("start {number}"));
        gate.pass().await;
        log.say(format_args!("end {number}"));
    });
    connection.peer.update_event_table(&mut |table| table.set_concurrency_limit(2));
    for number in 1..=3 {
        connection.receive(&format!(r#"2["wait",{number}]"#));
    }
    connection.run();
    expect_said(&log, &["start 1", "start 2"]);
    connection.open(&gate);
    expect_said(&log, &["end 1", "start 3"]);
    connection.open(&gate);
    connection.open(&gate);
    expect_said(&log, &["end 2", "end 3"]);
}

#[test]
fn a_disconnect_drops_queued_events_but_not_the_running_handler() {
    let (mut connection, log, gate) = connection();
    for packet in [r#"2["wait"]"#, r#"2["note",1]"#, r#"2["note",2]"#] {
        connection.receive(packet);
    }
    connection.socket().disconnect();
    assert_eq!(connection.poll(), Poll::Pending, "the handler still runs");
    assert_eq!((connection.queue.dropped(), connection.queue.size()), (2, EventQueueSize::default()));
    connection.open(&gate);
    expect_said(&log, &["start", "end"]);
    assert_eq!(connection.poll(), Poll::Ready(()));
}

#[test]
fn a_handler_that_disconnects_its_socket_is_the_last_one() {
    let (mut connection, log, gate) = connection();
    connection.peer.on("leave", async |socket: Socket| socket.disconnect());
    for packet in [r#"2["wait"]"#, r#"2["note",1]"#, r#"2["leave"]"#, r#"2["note",2]"#, r#"2["note",3]"#] {
        connection.receive(packet);
    }
    connection.open(&gate);
    expect_said(&log, &["start", "end", "1"]);
    assert_eq!((connection.queue.dropped(), connection.queue.is_idle()), (2, true));
}

#[test]
fn a_disconnected_socket_is_not_done_while_a_concurrent_handler_runs() {
    let (mut connection, log, gate) = connection();
    connection.peer.on("job", wait).concurrent();
    connection.receive(r#"2["job"]"#);
    connection.socket().disconnect();
    assert_eq!(connection.poll(), Poll::Pending);
    connection.open(&gate);
    assert_eq!(connection.poll(), Poll::Ready(()));
    expect_said(&log, &["start", "end"]);
}

#[test]
fn a_running_handler_outlives_its_queue() {
    let (mut connection, log, gate) = connection();
    connection.receive(r#"2["wait"]"#);
    connection.queue = EventQueue::new();
    assert_eq!(tasks(), 1);
    connection.open(&gate);
    run_tasks();
    expect_said(&log, &["start", "end"]);
}

#[test]
fn a_socket_handler_precedes_the_table_and_the_fallback() {
    let (mut connection, log, _) = connection();
    connection.peer.own =
        Some(("mine", EventHandler::new(async |State(log): State<Log>| log.say("the socket's own"))));
    connection.peer.on("mine", async |State(log): State<Log>| log.say("the table's"));
    connection.receive(r#"2["mine"]"#);
    connection.receive(r#"2["note",7]"#);
    connection.receive(r#"2["nobody"]"#);
    expect_said(&log, &["the socket's own", "7"]);
    connection.expect_unhandled(&["nobody"]);

    let (mut connection, log, _) = Connection::new();
    let fallback = EventHandler::new(async |log: State<Log>, EventName(name): EventName| log.say(name));
    Registration::register(&connection.peer, None, fallback);
    connection.receive(r#"2["nobody"]"#);
    expect_said(&log, &["nobody"]);
    connection.expect_unhandled(&[]);
}

#[test]
fn a_second_handler_of_an_event_takes_the_place_of_the_first() {
    let (mut connection, log, _) = connection();
    connection.peer.on("note", async |State(log): State<Log>| log.say("second"));
    connection.receive(r#"2["note",1]"#);
    expect_said(&log, &["second"]);
}
