//! The shutdown of a server under attack.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::raw_client::{CLOSE, Connection, Polling, RAW, TEXT, WebSocket, frame, request};
use crate::support::Server;

/// Five seconds for the whole shutdown, and some more for a busy machine.
const STOPPED: Duration = Duration::from_secs(8);

#[test]
fn a_flooded_server_stops_on_a_signal() {
    let mut server = Server::start();
    let address = server.address;
    let over = AtomicBool::new(false);
    let mut polite = WebSocket::joined(address);
    let mut raw = WebSocket::open(address, RAW);
    // Connections that keep a server busy: half a request head, half a body, a waiting poll, a client that stopped
    // reading.
    let _head = request(address, "GET", "/", "X: ");
    let session = Polling::joined(address);
    let _body = request(address, "POST", &session.target, "Content-Length: 1000\r\n\r\n4");
    let mut poll = session.get();
    let mut deaf = WebSocket::open(address, RAW);
    deaf.connection.stream.set_write_timeout(Some(Duration::from_millis(200))).expect("an option");
    while deaf.connection.try_write(&frame(TEXT, "z".repeat(60_000))) {}
    std::thread::scope(|scope| {
        for target in [RAW, crate::raw_client::ENGINE] {
            let mut flooding = WebSocket::open(address, target);
            if target != RAW {
                flooding.text("40");
            }
            let mut reading = flooding.connection.stream.try_clone().expect("a second handle");
            scope.spawn(move || std::io::copy(&mut reading, &mut std::io::sink()));
            let over = &over;
            scope.spawn(move || {
                let bytes = frame(TEXT, r#"42["x"]"#).repeat(5_000);
                while !over.load(Ordering::Relaxed) && flooding.connection.try_write(&bytes) {}
            });
        }
        server.terminate();
        // Every client that still reads is told about the shutdown.
        polite.expect_close(None);
        let (opcode, payload) = raw.receive().expect("a Close");
        assert_eq!((opcode, &payload[..2]), (CLOSE, &1001_u16.to_be_bytes()[..]));
        raw.connection.try_write(&frame(CLOSE, payload));
        poll.expect(200, "1");
        let status = server.exit_within(STOPPED);
        over.store(true, Ordering::Relaxed);
        assert!(status.success(), "{status}");
    });
    assert!(std::net::TcpStream::connect(address).is_err());
    drop(deaf);
}

#[test]
fn a_server_with_only_silent_connections_stops_too() {
    let mut server = Server::start();
    let _silent: Vec<_> = (0..20).map(|_| Connection::open(server.address)).collect();
    let mut session = WebSocket::joined(server.address);
    server.terminate();
    session.expect_close(None);
    assert!(server.exit_within(STOPPED).success());
}

#[test]
fn a_server_with_closed_standard_streams_serves() {
    let mut server = Server::start_with_closed_output();
    let canary = server.canary();
    let mut socket = WebSocket::joined(server.address);
    // An event that causes a log line.
    socket.text(r#"427["join-room",7]"#);
    assert!(socket.receive_text().starts_with(r#"437[{"error":""#));
    socket.text(r#"42["message","alive"]"#);
    socket.expect(r#"42["message","Echo: alive"]"#);
    drop(socket);
    canary.noticed_nothing();
    server.terminate();
    assert!(server.exit_within(STOPPED).success());
}
