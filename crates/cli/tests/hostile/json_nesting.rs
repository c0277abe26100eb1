//! Deeply nested JSON that could overflow a stack.

use tidewire::server::{RawArguments, Server as Library, Socket};

use crate::raw_client::{BINARY, TEXT, WebSocket, frame};
use crate::support::Server;

fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

fn nested_objects(depth: usize) -> String {
    format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth))
}

#[test]
fn a_hundred_thousand_levels_fail_only_their_event() {
    let server = Server::start();
    let canary = server.canary();
    let mut socket = WebSocket::joined(server.address);
    for deep in [nested(100_000), nested_objects(100_000), nested(129), nested_objects(480)] {
        for (event, takes) in [
            // A handler that expects a string.
            (format!(r#"["join-room",{deep}]"#), false),
            // A handler that tries the variants of an enum.
            (format!(r#"["message",{deep}]"#), false),
            // A value deep inside a variant, relayed to a room.
            (format!(r#"["message",{{"room":"r","message":{deep}}}]"#), false),
            // No handler reads these arguments.
            (format!(r#"["unknown",{deep}]"#), true),
            (format!(r#"["join-room","r",{deep}]"#), true),
        ] {
            socket.text(&format!("427{event}"));
            let mut reply = socket.receive_text();
            if reply.starts_with(r#"42["notification""#) {
                reply = socket.receive_text();
            }
            assert_eq!(reply == "437[]", takes, "{reply}");
            assert!(takes || reply.starts_with(r#"437[{"error":""#), "{reply}");
        }
    }
    canary.noticed_nothing();
}

#[test]
fn values_that_serde_json_accepts_are_relayed_completely() {
    let server = Server::start();
    let mut receiver = WebSocket::joined(server.address);
    receiver.text(r#"42["join-room","r"]"#);
    receiver.receive_text();
    let mut socket = WebSocket::joined(server.address);
    for deep in [nested(120), nested_objects(120)] {
        socket.text(&format!(r#"42["message",{{"room":"r","message":{deep}}}]"#));
        receiver.expect(&format!(r#"42["receive-message",{deep}]"#));
    }
    // With an attachment, another parser reads the value.
    let placeholder = r#"{"_placeholder":true,"num":0}"#;
    let deep = format!(r#"{}{placeholder}{}"#, "[".repeat(120), "]".repeat(120));
    socket.text(&format!(r#"451-["message",{{"room":"r","message":{deep}}}]"#));
    socket.write(frame(BINARY, "x"));
    receiver.expect(&format!(r#"451-["receive-message",{deep}]"#));
    assert_eq!(receiver.receive(), Some((BINARY, b"x".to_vec())));
}

#[test]
fn a_message_of_nothing_but_brackets_ends_its_connection() {
    let server = Server::start();
    let canary = server.canary();
    for repeated in ["[],", "{},", r#"{"":[]},"#] {
        // The event is a list too.
        let with_lists = |count: usize| {
            let each = repeated.matches(['[', '{']).count();
            let filler = ["", "[],"][(count - 2) % each];
            let elements = repeated.repeat((count - 2) / each) + filler;
            format!(r#"427["unknown",[{}]]"#, elements.trim_end_matches(','))
        };
        let mut socket = WebSocket::joined(server.address);
        socket.text(&with_lists(166_666));
        assert_eq!(socket.receive_text(), "437[]", "{repeated}");
        socket.text(&with_lists(166_667));
        socket.expect_close(None);
    }
    // Brackets in a text are no lists.
    let mut socket = WebSocket::joined(server.address);
    socket.text(&format!(r#"427["unknown","{}"]"#, "[".repeat(900_000)));
    assert_eq!(socket.receive_text(), "437[]");
    canary.noticed_nothing();
}

/// JSON strings that contain JSON strings, each in the member that `serde_json` uses to mark raw JSON. If a parser
/// trusts this marker, every string restarts the count of levels.
fn smuggled(strings: usize) -> String {
    let mut json = "1".to_owned();
    for _ in 0..strings {
        let escaped = json.replace('\\', r"\u005c").replace('"', r"\u0022");
        let member = format!(r#"{{"$serde_json::private::RawValue":"{escaped}"}}"#);
        json = format!("{}{member}{}", "[".repeat(120), "]".repeat(120));
    }
    json
}

#[test]
fn levels_hidden_in_strings_end_their_connection_and_not_the_server() {
    let server = Server::start();
    let canary = server.canary();
    for value in [
        smuggled(1),
        smuggled(60),
        smuggled(200),
        smuggled(2).replacen("$serde", r"\u0024serde", 1),
        smuggled(2).replacen("RawValue", "R\\u0061wValue", 1),
    ] {
        for event in ["message", "unknown"] {
            let mut socket = WebSocket::joined(server.address);
            socket.text(&format!(r#"42["{event}",{{"room":"r","message":{value}}}]"#));
            socket.expect_close(None);
        }
        let mut socket = WebSocket::session(server.address);
        socket.text(&format!(r#"40{{"token":{value}}}"#));
        socket.expect_close(None);
    }
    canary.noticed_nothing();
}

#[test]
fn raw_arguments_are_relayed_at_any_depth() {
    let io = Library::new();
    io.on("relay", async |socket: Socket, RawArguments(arguments): RawArguments| {
        socket.emit("relayed", &arguments);
        socket.join("room");
        socket.namespace().to("room").emit("to-room", &arguments);
    });
    let address = crate::support::serve(io);
    let mut socket = WebSocket::joined(address);
    for deep in [nested(100_000), nested_objects(100_000)] {
        socket.write(frame(TEXT, format!(r#"42["relay",1,{deep}]"#)));
        for name in ["relayed", "to-room"] {
            let received = socket.receive_text();
            assert!(received == format!(r#"42["{name}",1,{deep}]"#), "{} bytes", received.len());
        }
    }
}
