//! Handlers that fail or cannot be called.

use tidewire_handlers::{Ack, Data, State};

use crate::side::{Connection, Gate, Log, expect_said, tasks};

/// Panics. The return type is one that a handler may return.
fn fail(how: &str) {
    panic!("{how}");
}

#[test]
fn a_failed_extractor_is_reported_and_sent_as_an_error_reply() {
    let (mut connection, log, _) = Connection::new();
    connection.peer.on("number", async |log: State<Log>, Data(number): Data<u8>| log.say(number));
    let reason = r#"argument 0: invalid type: string "seven", expected u8"#;
    connection.receive(r#"2["number","seven"]"#);
    connection.expect_sent(&[]);
    connection.receive(r#"27["number","seven"]"#);
    connection.expect_sent(&[&format!(r#"37[{{"error":"{}"}}]"#, reason.replace('"', r#"\""#))]);
    connection.expect_errors(&[&format!("number: {reason}"); 2].map(String::as_str));
    connection.receive(r#"28["number",8]"#);
    expect_said(&log, &["8"]);
    connection.expect_sent(&["38[]"]);
}

#[test]
fn an_extracted_ack_is_restored_when_the_next_extractor_fails() {
    let (mut connection, ..) = Connection::new();
    connection.peer.on("owned", async |ack: Ack<u8>, _: State<Vec<u8>>| ack.send(1));
    connection.receive(r#"27["owned"]"#);
    connection.expect_sent(&[r#"37[{"error":"handler failed"}]"#]);
    connection.expect_errors(&[
        "owned: handler failed: no state of type `alloc::vec::Vec<u8>`: pass a value to `.state(..)` on the builder",
    ]);
    connection.receive(r#"2["owned"]"#);
    connection.expect_sent(&[]);
}

#[test]
fn a_panic_is_reported_and_sent_as_an_error_reply() {
    let (mut connection, _, gate) = Connection::new();
    connection.peer.on("panic", async || fail("at once"));
    connection.peer.on("panic-later", async |gate: State<Gate>| {
        gate.pass().await;
        fail("later");
    });
    connection.peer.on("panic-with-ack", async |_ack: Ack<u8>, gate: State<Gate>| {
        gate.pass().await;
        fail("with the acknowledgement");
    });
    connection.receive(r#"27["panic"]"#);
    connection.expect_errors(&["panic: handler failed: panicked: at once"]);
    connection.expect_sent(&[r#"37[{"error":"handler failed"}]"#]);
    connection.receive(r#"28["panic-later"]"#);
    connection.receive(r#"29["panic-with-ack"]"#);
    assert_eq!(tasks(), 1);
    connection.open(&gate);
    connection.open(&gate);
    connection.expect_errors(&[
        "panic-later: handler failed: panicked: later",
        "panic-with-ack: handler failed: panicked: with the acknowledgement",
    ]);
    connection.expect_sent(&[r#"38[{"error":"handler failed"}]"#, r#"39[{"error":"handler failed"}]"#]);
    assert!(connection.queue.is_idle());
}

#[test]
fn a_concurrent_handler_that_panics_is_reported_under_its_own_event() {
    let (mut connection, _, gate) = Connection::new();
    connection
        .peer
        .on("job", async |gate: State<Gate>| {
            gate.pass().await;
            fail("beside");
        })
        .concurrent();
    connection.receive(r#"2["job"]"#);
    connection.open(&gate);
    connection.expect_errors(&["job: handler failed: panicked: beside"]);
    assert!(connection.queue.is_idle());
}
