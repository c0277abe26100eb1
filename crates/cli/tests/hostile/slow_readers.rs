//! Clients that stop reading while others in their room continue.

use std::time::Duration;

use crate::raw_client::{CLOSE, Polling, RAW, TEXT, WebSocket, frame};
use crate::support::Server;

/// The number of messages of a hundred kilobytes: 120 MB in total.
const MESSAGES: usize = 1_200;

/// The number of messages that need twice the limit of a write buffer.
const ENOUGH: usize = 320;

fn message(number: usize) -> String {
    format!("{number:06}{}", "x".repeat(100_000))
}

/// Sends all messages to the room, at the pace of a client that reads them.
fn fill_the_room(server: &Server, messages: usize) {
    let mut reader = WebSocket::joined(server.address);
    reader.text(r#"42["join-room","r"]"#);
    reader.receive_text();
    let mut sender = WebSocket::joined(server.address);
    for number in 0..messages {
        let message = message(number);
        sender.text(&format!(r#"42["message",{{"room":"r","message":"{message}"}}]"#));
        // The other client receives every message in time.
        assert!(reader.receive_text() == format!(r#"42["receive-message","{message}"]"#));
    }
}

#[test]
fn a_websocket_that_stops_reading_gets_a_prefix_without_gaps_and_then_the_end() {
    let server = Server::start();
    let canary = server.canary();
    let mut slow: Vec<_> = (0..3)
        .map(|_| {
            let mut slow = WebSocket::joined(server.address);
            slow.text(r#"42["join-room","r"]"#);
            slow.receive_text();
            slow
        })
        .collect();
    let before = server.peak_memory();
    fill_the_room(&server, MESSAGES);
    let peak = server.peak_memory();
    // Each client may buffer 16 MiB, but the frames are shared. The rest is a few messages.
    assert!(peak < before + 40, "{peak} MB, {before} before");
    for slow in &mut slow {
        let mut number = 0;
        loop {
            match slow.receive() {
                Some((TEXT, payload)) if payload == b"2" || payload.starts_with(br#"42["notification""#) => {}
                Some((TEXT, payload)) => {
                    let expected = format!(r#"42["receive-message","{}"]"#, message(number));
                    assert!(payload == expected.as_bytes(), "a gap before {number}");
                    number += 1;
                }
                Some((CLOSE, _)) | None => break,
                Some((opcode, _)) => panic!("opcode {opcode}"),
            }
        }
        // At least the messages that the kernel buffered, but not all messages.
        assert!((10..MESSAGES).contains(&number), "{number} messages");
    }
    canary.noticed_nothing();
}

#[test]
fn a_poller_that_stops_polling_loses_its_session_and_not_a_message_before() {
    let server = Server::start();
    let canary = server.canary();
    let slow = Polling::joined(server.address);
    slow.post(r#"42["join-room","r"]"#).expect(200, "ok");
    slow.get().response().expect("the notification");
    let before = server.peak_memory();
    fill_the_room(&server, ENOUGH);
    let peak = server.peak_memory();
    assert!(peak < before + 40, "{peak} MB, {before} before");
    // One more poll returns the buffered messages, or the session is closed. It never continues with a gap.
    let response = slow.get().response().expect("a response");
    let packets = response.body.split('\x1e').filter(|packet| packet.starts_with(r#"42["receive-message""#));
    for (number, packet) in packets.enumerate() {
        assert!(packet == format!(r#"42["receive-message","{}"]"#, message(number)), "a gap before {number}");
    }
    loop {
        let response = slow.get().response().expect("a response");
        if response.status == 400 {
            break;
        }
        assert!(response.body.ends_with('1'), "only the end may follow");
    }
    canary.noticed_nothing();
}

#[test]
fn a_poller_that_does_not_read_its_response_loses_its_session_and_no_earlier_message() {
    let server = Server::start();
    let canary = server.canary();
    let slow = Polling::joined(server.address);
    slow.post(r#"42["join-room","r"]"#).expect(200, "ok");
    slow.get().response().expect("the notification");
    // More than the kernel's buffers hold waits for this poll.
    let before = server.peak_memory();
    fill_the_room(&server, ENOUGH / 4);
    let mut unread = slow.get();
    // The response has begun to arrive, so later messages belong to the next poll.
    unread.stream.peek(&mut [0]).expect("a response");
    fill_the_room(&server, ENOUGH);
    // One response in flight, the messages for the next poll, and nothing else.
    let peak = server.peak_memory();
    assert!(peak < before + 60, "{peak} MB, {before} before");
    slow.expect_unknown();
    let response = unread.response().expect("a response");
    let packets = response.body.split('\x1e').filter(|packet| packet.starts_with(r#"42["receive-message""#));
    let mut messages = 0;
    for packet in packets {
        assert!(
            packet == format!(r#"42["receive-message","{}"]"#, message(messages)),
            "a gap before {messages}"
        );
        messages += 1;
    }
    assert_eq!(messages, ENOUGH / 4);
    canary.noticed_nothing();
}

#[test]
fn an_unread_echo_stops_the_reading_of_messages() {
    let server = Server::start();
    let canary = server.canary();
    let before = server.peak_memory();
    let piece = frame(TEXT, "y".repeat(60_000)).repeat(20);
    let mut sockets: Vec<_> = (0..4).map(|_| WebSocket::open(server.address, RAW)).collect();
    for socket in &mut sockets {
        socket.connection.stream.set_write_timeout(Some(Duration::from_millis(300))).expect("an option");
        let mut written = 0;
        while written < 64 << 20 && socket.connection.try_write(&piece) {
            written += piece.len();
        }
        assert!(written < 64 << 20, "the server takes message after message");
    }
    assert!(server.peak_memory() < before + 20, "{} MB, {before} before", server.peak_memory());
    canary.noticed_nothing();
}
