//! Attacks from one address, and clients that claim the address of another.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use crate::raw_client::{BINARY, CLOSE, Connection, ENGINE, UPGRADE, WebSocket, frame, request};
use crate::support::Server;

/// A handshake that the proxy forwards for this client.
fn handshake(forwarded_for: &str) -> String {
    format!(
        "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: {forwarded_for}\r\n\r\n"
    )
}

#[test]
fn a_flood_from_one_address_neither_keeps_out_others_nor_fills_the_log() {
    let (reader, log) = std::io::pipe().expect("a pipe");
    let options = ["--trusted-proxy", "127.0.0.1", "--max-sessions-per-address", "100"];
    let mut server = Server::with_options_and_log(&options, log);
    let canary = server.canary();
    let mut flooding = Connection::open(server.address);
    let mut accepted = 0;
    for round in 0..40 {
        // What comes before the address that the proxy has seen is a claim of the client.
        flooding.write(handshake(&format!("198.51.100.{round}, 203.0.113.1")).repeat(250));
        for _ in 0..250 {
            let response = flooding.response().expect("a response");
            match response.status {
                200 => accepted += 1,
                status => assert_eq!(status, 429, "{response:?}"),
            }
        }
        let other = handshake(&format!("203.0.113.{}", 2 + round));
        let mut other_client = Connection::open(server.address);
        other_client.write(other);
        assert_eq!(other_client.response().expect("a response").status, 200);
    }
    // On a slow machine, the first ones end meanwhile.
    assert!((100..=200).contains(&accepted), "{accepted}");
    canary.noticed_nothing();
    server.terminate();
    assert!(server.exit_within(Duration::from_secs(8)).success());
    drop(server);
    let lines: Vec<_> = BufReader::new(reader).lines().map(|line| line.expect("text")).collect();
    let refusals = lines.iter().filter(|line| line.contains("203.0.113.1")).count();
    assert!((1..100).contains(&refusals), "{refusals}: {lines:?}");
}

/// Opens a WebSocket that the proxy forwards for this client. Returns the status of the response, too.
fn open(server: &Server, target: &str, forwarded_for: &str) -> (u16, WebSocket) {
    let headers = format!("X-Forwarded-For: {forwarded_for}\r\n{UPGRADE}\r\n");
    let mut connection = request(server.address, "GET", target, headers);
    (connection.response().expect("a response").status, WebSocket { connection })
}

#[test]
fn the_raw_websockets_of_one_address_have_a_limit_and_others_get_theirs() {
    let options = ["--trusted-proxy", "127.0.0.1", "--max-sessions-per-address", "3"];
    let server = Server::with_options(&options);
    let status = |target, forwarded_for| open(&server, target, forwarded_for).0;
    // The routes count together.
    let opened = [open(&server, "/ws", "203.0.113.1"), open(&server, "/game/ws", "203.0.113.1")];
    let (accepted, mut third) = open(&server, "/ws", "198.51.100.7, 203.0.113.1");
    assert_eq!((opened.each_ref().map(|(status, _)| *status), accepted), ([101, 101], 101));
    for target in ["/ws", "/game/ws"] {
        assert_eq!(status(target, "203.0.113.1"), 429, "{target}");
        assert_eq!(status(target, "203.0.113.2"), 101, "{target}");
    }
    assert_eq!(status(ENGINE, "203.0.113.1"), 101, "Socket.IO connections count by themselves");
    third.write(frame(CLOSE, 1000_u16.to_be_bytes()));
    assert!(third.receive().is_some_and(|(opcode, _)| opcode == CLOSE));
    third.connection.expect_end();
    // The place becomes free when the task of the connection ends, a moment later.
    assert!((0..10_000).any(|_| status("/ws", "203.0.113.1") == 101));
    drop(opened);
}

#[test]
fn one_address_takes_neither_all_rooms_of_the_chat_nor_all_places_of_the_game() {
    let server = Server::with_options(&["--trusted-proxy", "127.0.0.1"]);
    let mut room = 0;
    // A connection opens three rooms at once.
    let mut open_rooms = |forwarded_for| {
        let (_, mut socket) = open(&server, ENGINE, forwarded_for);
        assert!(socket.receive_text().starts_with('0'));
        socket.text(r#"40/chat,{"name":"Ann"}"#);
        assert!(socket.receive_text().starts_with("40/chat,"));
        for _ in 0..3 {
            room += 1;
            socket.text(&format!(r#"42/chat,{room}["open","room {room}"]"#));
            let answer = format!("43/chat,{room}");
            let ack = std::iter::repeat_with(|| socket.receive_text()).find(|text| text.starts_with(&answer));
            let is_opened = ack.as_deref() == Some(&format!(r#"{answer}["room {room}"]"#));
            assert!(is_opened == (room != 9), "{ack:?}");
            assert!(is_opened || ack.is_some_and(|ack| ack.contains("in your network")), "room {room}");
        }
    };
    for forwarded_for in ["203.0.113.1", "203.0.113.1", "203.0.113.1", "203.0.113.2"] {
        open_rooms(forwarded_for);
    }

    let join = |key: u8, forwarded_for| {
        let (_, mut socket) = open(&server, "/game/ws", forwarded_for);
        socket.write(frame(BINARY, [1, 1, 0, 0, 0, 0, 0, 0, 0, key]));
        let mut messages = std::iter::repeat_with(|| socket.receive().expect("the game goes on").1);
        let joined = messages.find(|message| message[0] == 1).expect("the answer");
        (joined[1] != 255, socket)
    };
    let players: Vec<_> = (0..17).map(|key| join(key, "203.0.113.1")).collect();
    let places: Vec<_> = players.iter().map(|(has_place, _)| *has_place).collect();
    assert_eq!(places, [[true; 16].as_slice(), &[false]].concat());
    assert!(join(100, "203.0.113.2").0);
}

#[test]
fn a_client_cannot_choose_its_address() {
    let options = ["--max-sessions-per-address", "2", "--limit-private-addresses"];
    let server = Server::with_options(&options);
    let mut connection = Connection::open(server.address);
    let statuses = (0..4).map(|number| {
        let claimed = format!("203.0.113.{number}");
        connection
            .write(handshake(&claimed).replace("Host: h", &format!("Host: h\r\nForwarded: for={claimed}")));
        connection.response().expect("a response").status
    });
    assert_eq!(statuses.collect::<Vec<_>>(), [200, 200, 429, 429]);
}

#[test]
fn the_log_says_once_that_a_proxy_is_not_named() {
    let (reader, log) = std::io::pipe().expect("a pipe");
    let mut server = Server::with_options_and_log(&[], log);
    for _ in 0..20 {
        let mut connection = Connection::open(server.address);
        connection.write(handshake("203.0.113.1"));
        assert_eq!(connection.response().expect("a response").status, 200);
    }
    server.terminate();
    assert!(server.exit_within(Duration::from_secs(8)).success());
    drop(server);
    let lines: Vec<_> = BufReader::new(reader).lines().map(|line| line.expect("text")).collect();
    assert_eq!(lines.iter().filter(|line| line.contains("trusted_proxies")).count(), 1, "{lines:?}");
}

/// Connections of a proxy begin with a header of the PROXY protocol.
#[test]
fn connections_with_broken_proxy_protocol_headers_do_not_disturb_others() {
    const HEADER: &str = "PROXY TCP4 203.0.113.1 127.0.0.1 4711 80\r\n";
    let server = Server::with_options(&["--trusted-proxy", "127.0.0.1", "--proxy-protocol"]);
    let silent: Vec<_> = (0..50).map(|_| Connection::open(server.address)).collect();
    for broken in [
        &b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"[..],
        b"PROXY TCP4 203.0.113.256 127.0.0.1 4711 80\r\n",
        &[b"PROXY UNKNOWN ", &[b'x'; 200][..]].concat(),
        // A header of version 2 that announces 64 KiB.
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
    ] {
        let mut connection = Connection::open(server.address);
        connection.write(broken);
        connection.expect_end();
    }
    let mut connection = Connection::open(server.address);
    connection.write(format!("{HEADER}{}", handshake("198.51.100.1")));
    assert_eq!(connection.response().expect("a response").status, 200);
    // A second header is not part of the protocol.
    connection.write(HEADER);
    assert_eq!(connection.response().expect("a response").status, 400);
    drop(silent);
}
