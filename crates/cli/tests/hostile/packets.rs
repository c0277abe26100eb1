//! Socket.IO packets that violate the protocol.

use crate::raw_client::{BINARY, Polling, TEXT, WebSocket, frame};
use crate::support::Server;

#[test]
fn an_invalid_packet_ends_the_connection_after_all_earlier_packets() {
    let server = Server::start();
    let canary = server.canary();
    let placeholder = r#"{"_placeholder":true,"num":0}"#;
    let event = format!(r#"451-["a",{placeholder}]"#);
    let cases: &[(&str, &[&[u8]])] = &[
        ("an empty packet", &[b"4"]),
        ("an unknown type", &[b"47"]),
        ("an event without payload", &[b"42"]),
        ("an event that is no list", &[br#"42{"a":1}"#]),
        ("an event without name", &[b"42[]"]),
        ("an event named by an object", &[br#"42[{"a":1}]"#]),
        ("JSON that is cut off", &[br#"42["message","#]),
        ("JSON with a word behind it", &[br#"42["message"]x"#]),
        ("a reserved name", &[br#"42["connect"]"#]),
        ("another reserved name", &[br#"42["disconnecting"]"#]),
        ("a reserved name in escapes", &[br#"42["\u0063onnect_error"]"#]),
        ("a second CONNECT", &[b"40"]),
        ("a CONNECT with a list", &[b"40[1]"]),
        ("a refusal, which only servers send", &[br#"44{"message":"x"}"#]),
        ("an event of a namespace that was not joined", &[br#"42/other,["message","x"]"#]),
        ("an acknowledgement of one", &[b"43/other,1[]"]),
        ("a DISCONNECT from one", &[b"41/other,"]),
        ("an acknowledgement without id", &[b"43[]"]),
        ("eleven attachments", &[br#"4511-["a"]"#]),
        ("a quintillion attachments", &[br#"451000000000000000000-["a"]"#]),
        ("no attachments", &[br#"450-["a"]"#]),
        ("attachments in no number", &[br#"45-1-["a"]"#]),
        ("a placeholder out of range", &[br#"451-["a",{"_placeholder":true,"num":1}]"#]),
        ("a placeholder below zero", &[br#"451-["a",{"_placeholder":true,"num":-1}]"#]),
        ("a placeholder without number", &[br#"451-["a",{"_placeholder":true}]"#]),
        ("a placeholder with two numbers", &[br#"451-["a",{"_placeholder":true,"num":0,"num":7}]"#]),
        ("text where an attachment is due", &[event.as_bytes(), br#"42["message","x"]"#]),
        ("bytes that nothing announced", &[b"\0binary"]),
        ("one attachment too many", &[event.as_bytes(), b"\0one", b"\0two"]),
        ("an event of a namespace that was left", &[b"41", br#"42["message","x"]"#]),
        // Invalid Engine.IO packets, and packets that only a server may send.
        ("an empty message", &[b""]),
        ("an unknown type of the engine", &[b"7"]),
        ("a ping, which only servers send", &[b"2"]),
        ("base64 that is none", &[b"b!"]),
    ];
    for (what, messages) in cases {
        let mut socket = WebSocket::joined(server.address);
        let mut bytes = frame(TEXT, r#"42["message","before"]"#);
        for message in *messages {
            bytes.extend(match message.strip_prefix(b"\0") {
                Some(attachment) => frame(BINARY, attachment),
                None => frame(TEXT, message),
            });
        }
        bytes.extend(frame(TEXT, r#"42["message","behind"]"#));
        socket.write(bytes);
        assert_eq!(socket.receive_text(), r#"42["message","Echo: before"]"#, "{what}");
        let (opcode, payload) = socket.receive().unwrap_or_else(|| panic!("{what}: a Close"));
        assert_eq!((opcode, &*payload), (8, &b""[..]), "{what}: {:?}", String::from_utf8_lossy(&payload));
    }
    canary.noticed_nothing();
}

#[test]
fn unusual_packets_that_node_accepts_are_accepted() {
    let server = Server::start();
    let canary = server.canary();
    let mut socket = WebSocket::joined(server.address);
    for packet in [
        // An unexpected acknowledgement.
        "4312[]",
        "4318446744073709551615[1,2]",
        "43184467440737095516150000000000000000000[1,2]",
        // An unexpected pong, a noop, and an upgrade of a session that is already upgraded.
        "3",
        "6",
        "5",
        "1",
        // Valid names.
        r#"42["connection"]"#,
        r#"42[7]"#,
        r#"42["",{"__proto__":{"x":1},"constructor":2}]"#,
        // Arguments that the handler does not accept: the event is dropped, and the error hook is called.
        r#"42["join-room",{"a":1}]"#,
        r#"42["message",{"room":"r","room":"s","message":1}]"#,
        r#"42["message"]"#,
    ] {
        socket.text(packet);
        socket.text(r#"42["message","alive"]"#);
        assert_eq!(socket.receive_text(), r#"42["message","Echo: alive"]"#, "{packet}");
    }
    // If the client requests an acknowledgement, it receives the error.
    socket.text(r#"425["join-room",7]"#);
    let reply = socket.receive_text();
    assert!(reply.starts_with(r#"435[{"error":""#), "{reply}");
    socket.text(r#"4218446744073709551615["join-room","r"]"#);
    assert!(socket.receive_text().starts_with(r#"42["notification","#));
    socket.expect("4318446744073709551615[]");
    // An attachment without a placeholder.
    socket.write([frame(TEXT, r#"451-["message","with bytes"]"#), frame(BINARY, "bytes")].concat());
    socket.expect(r#"42["message","Echo: with bytes"]"#);
    // Ten attachments, the maximum.
    socket.text(r#"4510-8["unknown"]"#);
    socket.write(frame(BINARY, "x").repeat(10));
    socket.expect("438[]");
    canary.noticed_nothing();
}

#[test]
fn an_event_before_the_connect_closes_the_connection() {
    let server = Server::start();
    let canary = server.canary();
    for packet in [r#"42["message","x"]"#, "41", "430[]", r#"451-["a",{"_placeholder":true,"num":0}]"#] {
        let mut socket = WebSocket::session(server.address);
        socket.write([frame(TEXT, packet), frame(BINARY, "x")].concat());
        socket.expect_close(None);
    }
    let session = Polling::open(server.address);
    session.post(r#"42["message","x"]"#).expect(200, "ok");
    session.get().expect(200, "6\x1e1");
    session.expect_unknown();
    canary.noticed_nothing();
}

#[test]
fn a_flood_of_connects_to_unknown_namespaces_is_rejected_one_by_one() {
    let server = Server::start();
    let canary = server.canary();
    let mut socket = WebSocket::joined(server.address);
    for batch in 0..20 {
        let mut bytes = Vec::new();
        for number in 0..500 {
            bytes.extend(frame(TEXT, format!("40/{batch}-{number},")));
        }
        socket.write(bytes);
        for number in 0..500 {
            socket.expect(&format!(r#"44/{batch}-{number},{{"message":"Invalid namespace"}}"#));
        }
    }
    // The longest name that fits into a message.
    let name = format!("/{}", "n".repeat(999_990));
    socket.text(&format!("40{name},"));
    assert_eq!(socket.receive_text().len(), name.len() + r#"44,{"message":"Invalid namespace"}"#.len());
    socket.text(r#"42["message","alive"]"#);
    socket.expect(r#"42["message","Echo: alive"]"#);
    canary.noticed_nothing();
}

#[test]
fn endless_connects_and_disconnects_leak_no_memory() {
    let server = Server::start();
    let canary = server.canary();
    let mut socket = WebSocket::joined(server.address);
    let round = [frame(TEXT, r#"42["join-room","r"]"#), frame(TEXT, "41"), frame(TEXT, "40")].concat();
    let mut before = None;
    for _ in 0..40 {
        socket.write(round.repeat(100));
        for _ in 0..100 {
            assert!(socket.receive_text().starts_with(r#"42["notification""#));
            assert!(socket.receive_text().starts_with(r#"40{"sid""#));
        }
        before.get_or_insert_with(|| server.memory());
    }
    let (before, after) = (before.expect("a first round"), server.memory());
    assert!(after < before + 4, "{after} MB, {before} before");
    canary.noticed_nothing();
}

#[test]
fn rooms_over_the_limit_are_rejected() {
    let server = Server::start();
    let canary = server.canary();
    let mut socket = WebSocket::joined(server.address);
    let before = server.peak_memory();
    // The longest names that are allowed.
    let room = |number: usize| format!("{number:01024}");
    for hundred in 0..20 {
        let numbers = hundred * 100..hundred * 100 + 100;
        let joins =
            numbers.clone().map(|number| frame(TEXT, format!(r#"420["join-room","{}"]"#, room(number))));
        socket.write(joins.collect::<Vec<_>>().concat());
        for number in numbers {
            if number < 1_000 {
                assert!(socket.receive_text().ends_with(&format!(r#" joined {}"]"#, room(number))));
                socket.expect("430[]");
            } else {
                socket.expect(r#"430[{"error":"the socket is already in 1000 rooms, the maximum"}]"#);
            }
        }
    }
    let name = "x".repeat(900_000);
    socket.text(&format!(r#"421["join-room","{name}"]"#));
    socket.expect(r#"431[{"error":"the room name is 900000 bytes long, but the maximum is 1024"}]"#);
    // A socket that leaves a room may join another one.
    socket.text(&format!(r#"42["leave-room","{}"]"#, room(7)));
    socket.text(r#"422["join-room","r"]"#);
    assert!(socket.receive_text().ends_with(r#" joined r"]"#));
    socket.expect("432[]");
    assert!(server.peak_memory() < before + 12, "{} MB, {before} before", server.peak_memory());
    canary.noticed_nothing();
}

#[test]
fn missing_attachments_hold_only_the_received_ones_in_memory() {
    let server = Server::start();
    let canary = server.canary();
    let before = server.peak_memory();
    let mut sockets: Vec<_> = (0..10)
        .map(|_| {
            let mut socket = WebSocket::joined(server.address);
            socket.text(r#"4510-["a",{"_placeholder":true,"num":9}]"#);
            socket.write(frame(BINARY, vec![0; 500_000]));
            // Engine.IO heartbeats are not Socket.IO packets and may arrive between attachments.
            socket.text("3");
            socket
        })
        .collect();
    assert!(server.peak_memory() < before + 20, "{} MB, {before} before", server.peak_memory());
    for socket in &mut sockets {
        for _ in 0..9 {
            socket.write(frame(BINARY, "x"));
        }
        socket.text(r#"42["message","alive"]"#);
        socket.expect(r#"42["message","Echo: alive"]"#);
    }
    canary.noticed_nothing();
}
