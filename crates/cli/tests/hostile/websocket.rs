//! Frames in a session that violate RFC 6455, or comply with it but are hostile. Tests of single violations are in
//! `rfc6455` of the crate `ws`.

use crate::raw_client::{
    BINARY, CLOSE, CONTINUATION, ENGINE, PING, PONG, RAW, TEXT, WebSocket, fragment, frame, header,
};
use crate::support::Server;

const FIN: u8 = 0x80;

#[test]
fn a_session_has_the_smaller_limit_of_its_open_packet() {
    let server = Server::start();
    let canary = server.canary();
    for (bytes, code) in [
        (header(FIN | TEXT, 1_000_001), 1009),
        (header(FIN | TEXT, 1 << 40), 1009),
        ([fragment(TEXT, vec![b'4'; 600_000]), header(FIN, 400_001)].concat(), 1009),
        (b"\x81\x022x".to_vec(), 1002),
        (frame(TEXT, [0xff]), 1007),
        (frame(PING, [0; 126]), 1002),
        (frame(PONG, [0; 126]), 1002),
        (frame(CLOSE, [&[0x03, 0xe8][..], &[b'x'; 124]].concat()), 1002),
        (fragment(CONTINUATION, "4"), 1002),
    ] {
        let mut socket = WebSocket::joined(server.address);
        // Earlier frames count towards the limit.
        socket.write([frame(TEXT, r#"42["message","before"]"#), bytes].concat());
        socket.expect(r#"42["message","Echo: before"]"#);
        socket.expect_close(Some(code));
    }
    // A message of exactly the limit is accepted.
    let mut socket = WebSocket::joined(server.address);
    let text = format!(r#"42["message","{}"]"#, "x".repeat(1_000_000 - r#"42["message",""]"#.len()));
    assert_eq!(text.len(), 1_000_000);
    socket.text(&text);
    assert_eq!(socket.receive_text().len(), 1_000_000 + "Echo: ".len());
    canary.noticed_nothing();
}

#[test]
fn a_websocket_that_exceeds_a_limit_is_closed_with_a_code() {
    let server = Server::start();
    let canary = server.canary();
    let before = server.peak_memory();
    for (bytes, code) in [
        (header(FIN | BINARY, 1 << 40), 1009),
        (header(FIN | BINARY, (16 << 20) + 1), 1009),
        ([fragment(BINARY, vec![0; 1 << 20]), header(FIN, (15 << 20) + 1)].concat(), 1009),
        (header(FIN | BINARY, 1 << 63), 1002),
        (frame(PING, [0; 126]), 1002),
        (frame(PONG, [0; 126]), 1002),
        (header(FIN | PING, 1 << 40), 1002),
        (frame(TEXT, [0xc0, 0x80]), 1007),
    ] {
        let mut socket = WebSocket::open(server.address, RAW);
        socket.write([frame(TEXT, "before"), bytes].concat());
        assert_eq!(socket.receive(), Some((TEXT, b"before".to_vec())));
        let (opcode, payload) = socket.receive().expect("a Close");
        assert_eq!((opcode, &payload[..2]), (CLOSE, &u16::to_be_bytes(code)[..]));
        assert_eq!(socket.receive(), None);
    }
    assert!(server.peak_memory() < before + 8, "{} MB, {before} before", server.peak_memory());
    canary.noticed_nothing();
}

#[test]
fn a_frame_that_is_cut_off_ends_its_connection_and_nothing_else() {
    let server = Server::start();
    let canary = server.canary();
    let whole = frame(TEXT, format!(r#"42["message","{}"]"#, "x".repeat(70_000)));
    for target in [RAW, ENGINE] {
        for end in [1, 2, 9, 10, 13, 14, 15, 60_000, whole.len() - 1] {
            let mut socket = WebSocket::open(server.address, target);
            socket.write(&whole[..end]);
            socket.connection.end_writing();
            while let Some((opcode, _)) = socket.receive() {
                assert!(opcode == CLOSE || target == ENGINE && opcode == TEXT);
            }
        }
    }
    canary.noticed_nothing();
}

#[test]
fn an_endless_message_of_empty_fragments_is_cut_off() {
    let server = Server::start();
    let canary = server.canary();
    let empty = fragment(CONTINUATION, "").repeat(10_000);
    for target in [RAW, ENGINE] {
        let mut socket = WebSocket::open(server.address, target);
        if target == ENGINE {
            socket.receive().expect("an open packet");
        }
        socket.write(fragment(TEXT, ""));
        let mut batches = 0;
        while batches < 30 && socket.connection.try_write(&empty) {
            batches += 1;
        }
        let closed = socket.receive().expect("a Close");
        assert_eq!((closed.0, &closed.1[..2]), (CLOSE, &1008_u16.to_be_bytes()[..]));
    }
    canary.noticed_nothing();
}

#[test]
fn messages_in_the_smallest_fragments_arrive_whole() {
    let server = Server::start();
    let canary = server.canary();
    let mut socket = WebSocket::open(server.address, RAW);
    let mut bytes = fragment(TEXT, "x");
    for _ in 0..50_000 {
        bytes.extend_from_slice(&fragment(CONTINUATION, "x"));
        bytes.extend_from_slice(&fragment(CONTINUATION, ""));
    }
    bytes.extend_from_slice(&frame(CONTINUATION, "!"));
    socket.write(bytes);
    let (opcode, payload) = socket.receive().expect("the echo");
    assert_eq!((opcode, payload.len(), payload[50_001]), (TEXT, 50_002, b'!'));
    canary.noticed_nothing();
}

#[test]
fn every_close_frame_of_a_storm_gets_a_response() {
    let server = Server::start();
    let canary = server.canary();
    for _ in 0..10 {
        let mut sockets: Vec<_> = (0..40).map(|_| WebSocket::session(server.address)).collect();
        for socket in &mut sockets {
            socket.write(
                [frame(CLOSE, 1000_u16.to_be_bytes()), frame(PING, "late"), frame(TEXT, "40")].concat(),
            );
        }
        for mut socket in sockets {
            socket.expect_close(Some(1000));
        }
    }
    canary.noticed_nothing();
}

#[test]
fn a_half_closed_connection_still_receives_its_responses() {
    let server = Server::start();
    let mut socket = WebSocket::joined(server.address);
    socket.text(r#"42["message","last words"]"#);
    socket.connection.end_writing();
    socket.expect(r#"42["message","Echo: last words"]"#);
    while let Some((opcode, _)) = socket.receive() {
        assert_eq!(opcode, CLOSE);
    }
}
