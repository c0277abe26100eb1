//! Peers that send as much as the server reads.

use std::io::Read;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::raw_client::{
    CONTINUATION, Connection, PING, PONG, Polling, RAW, TEXT, WebSocket, fragment, frame,
};
use crate::support::Server;

const FLOOD: Duration = Duration::from_millis(1_500);

/// Sends `bytes` repeatedly on several connections, and discards the responses.
fn flood(open: impl Fn() -> WebSocket + Sync, bytes: &[u8]) {
    let bytes = bytes.repeat(1 + 64 * 1024 / bytes.len());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (open, bytes) = (&open, &bytes);
            scope.spawn(move || {
                let mut socket = open();
                let mut reading = socket.connection.stream.try_clone().expect("a second handle");
                let reader = std::thread::spawn(move || std::io::copy(&mut reading, &mut std::io::sink()));
                let began = Instant::now();
                while began.elapsed() < FLOOD {
                    socket.write(bytes);
                }
                socket.connection.stream.shutdown(std::net::Shutdown::Both).expect("still connected");
                let _ = reader.join().expect("no panic");
            });
        }
    });
}

fn joined(address: SocketAddr) -> impl Fn() -> WebSocket + Sync {
    move || WebSocket::joined(address)
}

#[test]
fn a_flood_of_the_smallest_events_delays_no_other_client() {
    let server = Server::start();
    let canary = server.canary();
    flood(joined(server.address), &frame(TEXT, r#"42["x"]"#));
    flood(joined(server.address), &frame(TEXT, r#"420["x"]"#));
    canary.noticed_nothing();
}

/// Sends `bytes` repeatedly on a connection until the server closes it. Returns how the server closed it.
fn flood_until_refused(mut socket: WebSocket, bytes: &[u8]) -> Vec<u8> {
    let bytes = bytes.repeat(1 + 64 * 1024 / bytes.len());
    let mut reading = socket.connection.stream.try_clone().expect("a second handle");
    let reader = std::thread::spawn(move || {
        let mut read = Vec::new();
        reading.read_to_end(&mut read).expect("an end that is no reset");
        read.split_off(read.len().saturating_sub(4))
    });
    while socket.connection.try_write(&bytes) {}
    reader.join().expect("no panic")
}

#[test]
fn a_flood_of_control_frames_is_ended_and_delays_no_other_client() {
    const POLICY_VIOLATION: [u8; 4] = [0x88, 2, 0x03, 0xf0];
    let server = Server::start();
    let canary = server.canary();
    for _ in 0..3 {
        let ended = flood_until_refused(WebSocket::joined(server.address), &frame(PING, ""));
        assert_eq!(ended, POLICY_VIOLATION);
        for bytes in [frame(PING, "x"), frame(PONG, "")] {
            let ended = flood_until_refused(WebSocket::open(server.address, RAW), &bytes);
            assert_eq!(ended, POLICY_VIOLATION);
        }
    }
    canary.noticed_nothing();
}

#[test]
fn a_flood_of_raw_messages_and_fragments_delays_no_other_client() {
    let server = Server::start();
    let canary = server.canary();
    flood(|| WebSocket::open(server.address, RAW), &frame(TEXT, "x"));
    let mut message = fragment(TEXT, "");
    message.extend(fragment(CONTINUATION, "").repeat(1_000));
    message.extend(frame(CONTINUATION, ""));
    flood(|| WebSocket::open(server.address, RAW), &message);
    canary.noticed_nothing();
}

#[test]
fn a_flood_of_polls_posts_and_handshakes_delays_no_other_client() {
    let server = Server::start();
    let canary = server.canary();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // New sessions, one after the other.
        scope.spawn(|| {
            let mut connection = Connection::open(server.address);
            while !over.load(Ordering::Relaxed) {
                connection
                    .write("GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: h\r\n\r\n".repeat(50));
                for _ in 0..50 {
                    assert_eq!(connection.response().expect("a response").status, 200);
                }
            }
        });
        // POST requests with as many packets as fit.
        scope.spawn(|| {
            let session = Polling::joined(server.address);
            let body = vec![r#"42["x"]"#; 110_000].join("\x1e");
            while !over.load(Ordering::Relaxed) {
                session.post(&body).expect(200, "ok");
            }
        });
        let began = Instant::now();
        let session = Polling::joined(server.address);
        while began.elapsed() < FLOOD {
            session.expect_alive();
        }
        over.store(true, Ordering::Relaxed);
    });
    canary.noticed_nothing();
}

#[test]
fn half_open_sessions_do_not_displace_other_clients() {
    let io = tidewire::Server::builder().max_sessions(1_200).max_half_open_sessions(1_000).build();
    let address = crate::support::serve(io.clone());
    let polling = Polling::joined(address);
    let mut websocket = WebSocket::joined(address);
    let mut flooding = Connection::open(address);
    for _ in 0..40 {
        flooding.write("GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: h\r\n\r\n".repeat(250));
        for _ in 0..250 {
            assert_eq!(flooding.response().expect("a response").status, 200);
        }
        assert!(io.connection_count() < 1_150, "{} connections", io.connection_count());
        // Other clients still connect and continue.
        Polling::joined(address).post("41").expect(200, "ok");
        polling.post("42[\"x\"]").expect(200, "ok");
        websocket.text("42[\"x\"]");
    }
    polling.post("41").expect(200, "ok");
    websocket.write(frame(crate::raw_client::CLOSE, []));
    websocket.expect_close(None);
}

#[test]
fn unread_pongs_do_not_fill_the_memory() {
    let server = Server::start();
    let canary = server.canary();
    let before = server.peak_memory();
    let pings = frame(PING, [b'p'; 125]).repeat(1_000);
    let mut sockets: Vec<_> = (0..4)
        .map(|number| {
            WebSocket::open(server.address, if number % 2 == 0 { RAW } else { crate::raw_client::ENGINE })
        })
        .collect();
    for socket in &mut sockets {
        socket.connection.stream.set_write_timeout(Some(Duration::from_millis(200))).expect("an option");
        for _ in 0..200 {
            if !socket.connection.try_write(&pings) {
                break;
            }
        }
    }
    assert!(server.peak_memory() < before + 10, "{} MB, {before} before", server.peak_memory());
    canary.noticed_nothing();
}

#[test]
fn many_sockets_connect_and_disconnect_at_once() {
    let server = Server::start();
    let canary = server.canary();
    let mut after_first = None;
    for _ in 0..4 {
        let mut sockets: Vec<_> = (0..200).map(|_| WebSocket::joined(server.address)).collect();
        let mut notification = String::new();
        for socket in &mut sockets {
            socket.text(r#"42["join-room","crowd"]"#);
            notification = socket.receive_text();
        }
        // Each client is told about every client that connects after it, so all are told about the last one.
        for socket in sockets.iter_mut().rev().skip(1) {
            while socket.receive_text() != notification {}
        }
        drop(sockets);
        after_first.get_or_insert_with(|| server.memory());
    }
    let (after_first, after_last) = (after_first.expect("a first round"), server.memory());
    assert!(after_last < after_first + 10, "{after_last} MB, {after_first} after the first round");
    canary.noticed_nothing();
}
