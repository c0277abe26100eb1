//! Sections 5 to 8: how the server responds to frames.

use ws_proto::Opcode;

use super::{Client, closed, serve};
use crate::support::{echo, fragment, frame, text};

/// A frame with this first byte and this encoded length, masked with zeros.
fn raw(first: u8, length: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut wire = vec![first];
    wire.extend_from_slice(length);
    wire[1] |= 0x80;
    [&wire[..], &[0; 4], payload].concat()
}

/// Violations of the RFC, each with its section and the code of the Close in response.
fn violations() -> Vec<(&'static str, Vec<u8>, u16)> {
    let long_close = [&[0x03, 0xe8][..], &[b'x'; 124]].concat();
    vec![
        ("§5.1: no mask", b"\x81\x05hello".to_vec(), 1002),
        ("§5.1: no mask on a Ping", b"\x89\x00".to_vec(), 1002),
        ("§5.5.1: no mask on a Close", b"\x88\x02\x03\xe8".to_vec(), 1002),
        ("§5.2: RSV1", raw(0xc1, &[1], b"x"), 1002),
        ("§5.2: RSV2", raw(0xa1, &[1], b"x"), 1002),
        ("§5.2: RSV3 on a Pong", raw(0x9a, &[0], b""), 1002),
        ("§5.2: opcode 3", raw(0x83, &[1], b"x"), 1002),
        ("§5.2: opcode 7", raw(0x87, &[0], b""), 1002),
        ("§5.2: opcode 11", raw(0x8b, &[1], b"x"), 1002),
        ("§5.2: opcode 15", raw(0x8f, &[0], b""), 1002),
        ("§5.2: a length of 5 in two bytes", raw(0x81, &[126, 0, 5], b"hello"), 1002),
        ("§5.2: a length of 5 in eight bytes", raw(0x81, &[127, 0, 0, 0, 0, 0, 0, 0, 5], b"hello"), 1002),
        ("§5.2: a length of 65,535 in eight bytes", raw(0x81, &[127, 0, 0, 0, 0, 0, 0, 255, 255], b""), 1002),
        ("§5.2: a length with its highest bit", raw(0x82, &[127, 128, 0, 0, 0, 0, 0, 0, 0], b""), 1002),
        ("§5.4: a Ping in fragments", raw(0x09, &[1], b"x"), 1002),
        ("§5.4: a Pong in fragments", raw(0x0a, &[1], b"x"), 1002),
        ("§5.4: a Close in fragments", raw(0x08, &[2], b"\x03\xe8"), 1002),
        ("§5.4: nothing to continue", frame(Opcode::Continuation, b"x"), 1002),
        (
            "§5.4: a message within a message",
            [fragment(Opcode::Text, b"x", false), frame(Opcode::Text, b"y")].concat(),
            1002,
        ),
        ("§5.5: a Ping of 126 bytes", frame(Opcode::Ping, &[0; 126]), 1002),
        ("§5.5: a Pong of 126 bytes", frame(Opcode::Pong, &[0; 126]), 1002),
        ("§5.5: a Close of 126 bytes", frame(Opcode::Close, &long_close), 1002),
        ("§5.5.1: a Close of one byte", frame(Opcode::Close, &[3]), 1002),
        ("§7.4.2: a Close with 999", frame(Opcode::Close, &999_u16.to_be_bytes()), 1002),
        ("§7.4.1: a Close with 1005", frame(Opcode::Close, &1005_u16.to_be_bytes()), 1002),
        ("§7.4.1: a Close with 1006", frame(Opcode::Close, &1006_u16.to_be_bytes()), 1002),
        ("§7.4.1: a Close with 1015", frame(Opcode::Close, &1015_u16.to_be_bytes()), 1002),
        ("§5.5.1: a Close whose reason is no text", frame(Opcode::Close, b"\x03\xe8\xff"), 1007),
        ("§8.1: text that is overlong", frame(Opcode::Text, b"\xc0\x80"), 1007),
        ("§8.1: text that ends in a character", frame(Opcode::Text, b"\xc3"), 1007),
        ("§8.1: a fragment that cannot become text", fragment(Opcode::Text, b"a\xff", false), 1007),
        ("§10.4: a length of a terabyte", raw(0x82, &[127, 0, 0, 1, 0, 0, 0, 0, 0], b""), 1009),
        ("§10.4: a length of a byte too much", raw(0x82, &[127, 0, 0, 0, 0, 1, 0, 0, 1], b""), 1009),
    ]
}

#[tokio::test]
async fn every_violation_gets_a_close_after_the_responses_to_earlier_frames() {
    let server = serve(echo).await;
    for (what, violation, code) in violations() {
        let before = [text("before"), frame(Opcode::Ping, b"?")].concat();
        let wire = [&before[..], &violation, &text("after")].concat();
        let responses = [&b"\x81\x06before\x8a\x01?"[..], &closed(code)].concat();
        for piece in [wire.len(), 1] {
            let mut client = Client::open(server).await;
            for bytes in wire.chunks(piece) {
                client.write(bytes).await;
            }
            assert_eq!(client.rest().await, responses, "{what}, in pieces of {piece}");
        }
    }
}

#[tokio::test]
async fn section_7_1_7_must_2_the_tcp_connection_is_closed_although_the_peer_is_still_sending() {
    let server = serve(echo).await;
    for (what, violation, code) in violations().into_iter().step_by(8) {
        let mut client = Client::open(server).await;
        // More than the kernel accepts for a server that does not read. If the server closed the socket with unread
        // bytes, the connection would be reset, and the Close would be lost.
        client.write(&[&violation[..], &vec![0x55; 4 << 20]].concat()).await;
        assert_eq!(client.rest().await, closed(code), "{what}");
    }
}

#[tokio::test]
async fn section_7_1_7_must_3_a_close_behind_a_violation_is_not_answered() {
    let server = serve(echo).await;
    let mut client = Client::open(server).await;
    let close = frame(Opcode::Close, &1000_u16.to_be_bytes());
    client.write(&[&b"\x81\x00"[..], &close, &frame(Opcode::Ping, b"?"), &close].concat()).await;
    assert_eq!(client.rest().await, closed(1002));
}

#[tokio::test]
async fn section_5_1_must_3_section_6_1_must_8_all_that_is_said_is_sent_and_without_a_mask() {
    let server = serve(echo).await;
    let mut client = Client::open(server).await;
    for (length, header) in [
        (0, &[0x82, 0][..]),
        (125, &[0x82, 125]),
        (126, &[0x82, 126, 0, 126]),
        (65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ] {
        let payload = vec![7; length];
        client.write(&frame(Opcode::Binary, &payload)).await;
        client.expect(&[header, &payload].concat()).await;
    }
    client.write(&frame(Opcode::Ping, b"data")).await;
    client.expect(b"\x8a\x04data").await;
    client.write(&frame(Opcode::Close, b"")).await;
    assert_eq!(client.rest().await, b"\x88\x00");
}
