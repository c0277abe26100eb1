//! Peers that are too slow. Tests that wait for different timeouts run concurrently.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::raw_client::{CLOSE, Connection, Polling, TEXT, WebSocket, frame, request};
use crate::support::Server;

/// Writes a byte at intervals until the server responds or closes the connection.
fn drip(connection: &mut Connection, bytes: impl IntoIterator<Item = u8>) -> Duration {
    let began = Instant::now();
    connection.stream.set_read_timeout(Some(Duration::from_millis(200))).expect("an option");
    let mut peeked = [0];
    for byte in bytes {
        if !connection.try_write(&[byte]) {
            break;
        }
        // This read timeout sets the interval between two bytes.
        if connection.stream.peek(&mut peeked).is_ok() {
            break;
        }
    }
    connection.stream.set_read_timeout(Some(Duration::from_secs(20))).expect("an option");
    began.elapsed()
}

#[test]
fn heads_bodies_and_upgrades_that_arrive_very_slowly_time_out() {
    let server = Server::start();
    let canary = server.canary();
    let address = server.address;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut head = Connection::open(address);
            let took = drip(
                &mut head,
                b"GET / HTTP/1.1\r\nX: ".iter().copied().chain(std::iter::repeat_n(b'x', 900)),
            );
            head.expect_end();
            assert!((8..15).contains(&took.as_secs()), "a head took {took:?}");
        });
        scope.spawn(|| {
            let began = Instant::now();
            Connection::open(address).expect_end();
            assert!((8..15).contains(&began.elapsed().as_secs()), "silence took {:?}", began.elapsed());
        });
        scope.spawn(|| {
            let mut kept = request(address, "GET", "/", "\r\n");
            assert_eq!(kept.response().expect("the page").status, 200);
            kept.expect_end();
        });
        scope.spawn(|| {
            let session = Polling::joined(address);
            let mut body = request(address, "POST", &session.target, "Content-Length: 1000\r\n\r\n4");
            let took = drip(&mut body, std::iter::repeat_n(b'x', 900));
            body.expect(408, "");
            assert!((28..36).contains(&took.as_secs()), "a body took {took:?}");
            session.get().response().expect("a response");
            session.expect_unknown();
        });
        scope.spawn(|| {
            let session = Polling::joined(address);
            let began = Instant::now();
            let mut candidate = WebSocket::open(address, &session.candidate());
            candidate.text("2probe");
            candidate.expect("3probe");
            candidate.expect_close(None);
            assert!((9..15).contains(&began.elapsed().as_secs()), "an upgrade took {:?}", began.elapsed());
            session.expect_alive();
        });
    });
    canary.noticed_nothing();
}

#[test]
fn a_peer_that_never_sends_a_pong_is_disconnected_in_time() {
    let io = tidewire::Server::builder()
        .ping_interval(Duration::from_secs(1))
        .ping_timeout(Duration::from_secs(1))
        .connect_timeout(Duration::from_secs(2))
        .build();
    let address = crate::support::serve(io);
    let mut silent = WebSocket::joined(address);
    assert_eq!(silent.receive(), Some((TEXT, b"2".to_vec())));
    silent.expect_close(None);
    // Other packets do not replace the pong. They extend the wait once for each ping.
    let mut talking = WebSocket::joined(address);
    let mut voice = talking.connection.stream.try_clone().expect("a second handle");
    let began = Instant::now();
    let talker = std::thread::spawn(move || {
        while began.elapsed() < Duration::from_secs(12) && voice.write_all(&frame(TEXT, r#"42["x"]"#)).is_ok()
        {
            // This sleep sets the pace of the client. It does not wait for anything.
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    assert_eq!(talking.receive(), Some((TEXT, b"2".to_vec())));
    talking.expect_close(None);
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    talker.join().expect("no panic");
    // A client that responds to pings but connects to no namespace.
    let mut idle = WebSocket::session(address);
    loop {
        match idle.receive() {
            Some((TEXT, _)) => idle.text("3"),
            Some((opcode, _)) => break assert_eq!(opcode, CLOSE),
            None => panic!("ended without a Close"),
        }
    }
}
