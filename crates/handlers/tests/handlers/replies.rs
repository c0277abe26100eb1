//! The acknowledgements that handlers return or send.

use std::collections::HashMap;

use serde::{Serialize, Serializer};
use tidewire_handlers::{Ack, Data, HandlerError, RawArguments, Reply, State};

use crate::side::{Connection, Gate};

/// A value that cannot be encoded as JSON.
fn unwritable() -> HashMap<(), ()> {
    HashMap::from([((), ())])
}

/// A value whose `Serialize` panics.
struct Panics;

impl Serialize for Panics {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("while it is written")
    }
}

fn connection() -> (Connection, Gate) {
    let (connection, _, gate) = Connection::new();
    let peer = &connection.peer;
    peer.on("nothing", async || {});
    peer.on("values", async || Reply(("a", [1, 2], ())));
    peer.on("double", async |Data(number): Data<i64>| -> Result<i64, HandlerError> {
        if number < 0 {
            return Err(HandlerError::new("too small"));
        }
        Ok(number * 2)
    });
    peer.on("parse", async |Data(text): Data<String>| -> Result<u8, HandlerError> { Ok(text.parse()?) });
    peer.on("raw", async |RawArguments(arguments): RawArguments| Reply(arguments));
    peer.on("owned", async |ack: Ack<(u8, &'static str)>| {
        if ack.is_requested() {
            ack.send((1, "x"));
        }
        Reply("ignored")
    });
    peer.on("later", async |ack: Ack<u8>, gate: State<Gate>| {
        gate.pass().await;
        ack.send(9);
    });
    peer.on("dropped", async |_ack: Ack| {});
    peer.on("unwritable", async || Reply(unwritable()));
    peer.on("unwritable-result", async || -> Result<_, HandlerError> { Ok(unwritable()) });
    peer.on("unwritable-ack", async |ack: Ack<HashMap<(), ()>>| ack.send(unwritable()));
    peer.on("panics", async || Reply(Panics));
    peer.on("panics-ack", async |ack: Ack<Panics>| ack.send(Panics));
    (connection, gate)
}

#[test]
fn a_requested_acknowledgement_carries_the_return_value() {
    let (mut connection, gate) = connection();
    for (event, acknowledgement) in [
        (r#"20["nothing"]"#, "30[]"),
        (r#"21["values"]"#, r#"31["a",[1,2],null]"#),
        (r#"22["double",21]"#, "32[42]"),
        (r#"23["double",-1]"#, r#"33[{"error":"too small"}]"#),
        (r#"24["parse","seven"]"#, r#"34[{"error":"handler failed"}]"#),
        (r#"25["raw",{"a":[1, 2]},"x"]"#, r#"35[{"a":[1, 2]},"x"]"#),
        (r#"26["owned"]"#, r#"36[1,"x"]"#),
    ] {
        connection.receive(event);
        connection.expect_sent(&[acknowledgement]);
    }
    connection.expect_errors(&["double: too small", "parse: handler failed: invalid digit found in string"]);
    connection.receive(r#"27["later"]"#);
    connection.expect_sent(&[]);
    connection.open(&gate);
    connection.expect_sent(&["37[9]"]);
}

#[test]
fn a_reply_in_a_result_is_sent_as_a_reply_alone() {
    let (mut connection, _) = connection();
    let peer = &connection.peer;
    peer.on("one", async || Ok::<_, HandlerError>(Reply(1)));
    peer.on("two", async || Ok::<_, HandlerError>(Reply((1, "x"))));
    peer.on("none", async || Ok::<_, HandlerError>(Reply(())));
    peer.on("list", async || Ok::<_, HandlerError>(Reply([1, 2])));
    peer.on("all", async |RawArguments(arguments): RawArguments| Ok::<_, HandlerError>(Reply(arguments)));
    for (event, acknowledgement) in [
        (r#"20["one"]"#, "30[1]"),
        (r#"21["two"]"#, r#"31[1,"x"]"#),
        (r#"22["none"]"#, "32[]"),
        (r#"23["list"]"#, "33[[1,2]]"),
        (r#"24["all",{"a":[1, 2]},"x"]"#, r#"34[{"a":[1, 2]},"x"]"#),
    ] {
        connection.receive(event);
        connection.expect_sent(&[acknowledgement]);
    }
    connection.expect_errors(&[]);
}

#[test]
fn a_peer_that_does_not_ask_gets_nothing() {
    let (mut connection, _) = connection();
    for event in
        [r#"2["nothing"]"#, r#"2["values"]"#, r#"2["double",-1]"#, r#"2["owned"]"#, r#"2["dropped"]"#]
    {
        connection.receive(event);
    }
    connection.expect_sent(&[]);
    connection.expect_errors(&["double: too small"]);
}

#[test]
fn an_acknowledgement_that_is_dropped_unsent_is_reported() {
    let (mut connection, _) = connection();
    connection.receive(r#"27["dropped"]"#);
    connection.expect_sent(&[]);
    connection.expect_errors(&["-: an `Ack` was dropped before its acknowledgement was sent"]);
}

#[test]
fn a_reply_that_cannot_be_written_is_reported_and_the_peer_learns_that_the_handler_failed() {
    let (mut connection, _) = connection();
    let error = "handler failed: the arguments cannot be written as JSON: a map key must be a string, a number or a boolean";
    for (event, reported) in [("unwritable", true), ("unwritable-result", true), ("unwritable-ack", false)] {
        let name = if reported { event } else { "-" };
        connection.receive(&format!("27[\"{event}\"]"));
        connection.expect_errors(&[&format!("{name}: {error}")]);
        connection.expect_sent(&[r#"37[{"error":"handler failed"}]"#]);
        connection.receive(&format!("2[\"{event}\"]"));
        connection.expect_sent(&[]);
        connection.expect_errors(&[]);
    }
}

#[test]
fn a_reply_that_panics_while_it_is_written_is_a_handler_that_panics() {
    let (mut connection, _) = connection();
    for event in ["panics", "panics-ack"] {
        connection.receive(&format!("27[\"{event}\"]"));
        connection.expect_errors(&[&format!("{event}: handler failed: panicked: while it is written")]);
        connection.expect_sent(&[r#"37[{"error":"handler failed"}]"#]);
    }
}
