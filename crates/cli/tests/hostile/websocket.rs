//! Frames that break RFC 6455, or only its spirit.

use crate::support::Server;
use crate::wire::{
    BINARY, CLOSE, CONTINUATION, ENGINE, PING, PONG, RAW, TEXT, WebSocket, fragment, frame, header,
};

const FIN: u8 = 0x80;

/// A frame whose length is written in more bytes than it needs.
fn with_long_length(bytes: usize) -> Vec<u8> {
    let marker = if bytes == 2 { 126 } else { 127 };
    let mut frame = vec![FIN | TEXT, 0x80 | marker];
    frame.resize(2 + bytes - 1, 0);
    frame.extend_from_slice(&[5, 0, 0, 0, 0]);
    frame.extend_from_slice(b"hello");
    frame
}

#[test]
fn every_broken_frame_is_answered_with_a_close_that_says_why() {
    let server = Server::start();
    let canary = server.canary();
    let cases: &[(&str, Vec<u8>, u16)] = &[
        ("no mask", b"\x81\x05hello".to_vec(), 1002),
        ("a reserved opcode", fragment(FIN | 3, "x"), 1002),
        ("a reserved control opcode", fragment(FIN | 11, "x"), 1002),
        ("RSV1, although nothing is compressed", fragment(FIN | 0x40 | TEXT, "x"), 1002),
        ("RSV2", fragment(FIN | 0x20 | TEXT, "x"), 1002),
        ("RSV3", fragment(FIN | 0x10 | TEXT, "x"), 1002),
        ("a Ping in fragments", fragment(PING, "x"), 1002),
        ("a Close in fragments", fragment(CLOSE, [0x03, 0xe8]), 1002),
        ("a Ping of 126 bytes", frame(PING, [0; 126]), 1002),
        ("a Pong of 126 bytes", frame(PONG, [0; 126]), 1002),
        ("a Close of 126 bytes", frame(CLOSE, [&[0x03, 0xe8][..], &[b'x'; 124]].concat()), 1002),
        ("a Close of one byte", frame(CLOSE, [3]), 1002),
        ("a Close with a code for local use", frame(CLOSE, 1005_u16.to_be_bytes()), 1002),
        ("a Close with a code below 1000", frame(CLOSE, 999_u16.to_be_bytes()), 1002),
        ("a Close whose reason is no text", frame(CLOSE, b"\x03\xe8\xff"), 1007),
        ("a length of 5 in two bytes", with_long_length(2), 1002),
        ("a length of 5 in eight bytes", with_long_length(8), 1002),
        ("a length with its highest bit", header(FIN | BINARY, 1 << 63), 1002),
        ("a length of a terabyte", header(FIN | BINARY, 1 << 40), 1009),
        ("a length of a byte too much", header(FIN | BINARY, (16 << 20) + 1), 1009),
        ("nothing to continue", fragment(FIN | CONTINUATION, "x"), 1002),
        ("a message within a message", [fragment(TEXT, "x"), frame(TEXT, "y")].concat(), 1002),
        ("text that is no UTF-8", frame(TEXT, [0xc0, 0x80]), 1007),
        ("text that ends in a character", frame(TEXT, &"é".as_bytes()[..1]), 1007),
        ("a fragment that cannot become UTF-8", fragment(TEXT, [b'a', 0xff]), 1007),
    ];
    for (what, bytes, code) in cases {
        for split in [bytes.len(), 1] {
            let mut socket = WebSocket::open(server.address, RAW);
            // What came before counts.
            socket.text("before");
            for piece in bytes.chunks(split) {
                if !socket.connection.try_write(piece) {
                    break;
                }
            }
            assert_eq!(socket.receive(), Some((TEXT, b"before".to_vec())), "{what}");
            let (opcode, payload) = socket.receive().unwrap_or_else(|| panic!("{what}: a Close"));
            assert_eq!((opcode, &payload[..2]), (CLOSE, &code.to_be_bytes()[..]), "{what}");
            assert_eq!(socket.receive(), None, "{what}");
        }
    }
    canary.noticed_nothing();
}

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
    ] {
        let mut socket = WebSocket::joined(server.address);
        socket.write(bytes);
        socket.expect_close(Some(code));
    }
    // Exactly the limit is a message.
    let mut socket = WebSocket::joined(server.address);
    let text = format!(r#"42["message","{}"]"#, "x".repeat(1_000_000 - r#"42["message",""]"#.len()));
    assert_eq!(text.len(), 1_000_000);
    socket.text(&text);
    assert_eq!(socket.receive_text().len(), 1_000_000 + "Echo: ".len());
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
fn a_message_of_empty_fragments_without_end_is_cut_off() {
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
}

#[test]
fn a_storm_of_closes_is_answered_close_by_close() {
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
fn a_peer_that_ends_its_half_still_gets_what_it_asked_for() {
    let server = Server::start();
    let mut socket = WebSocket::joined(server.address);
    socket.text(r#"42["message","last words"]"#);
    socket.connection.end_writing();
    socket.expect(r#"42["message","Echo: last words"]"#);
    while let Some((opcode, _)) = socket.receive() {
        assert_eq!(opcode, CLOSE);
    }
}
