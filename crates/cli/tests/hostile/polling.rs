//! Bodies and requests that long-polling does not allow, and failed upgrades to WebSocket.

use crate::raw_client::{CLOSE, Polling, TEXT, UPGRADE, WebSocket, frame, request};
use crate::support::Server;

#[test]
fn a_second_poll_ends_the_session_and_both_polls_get_a_response() {
    let server = Server::start();
    let canary = server.canary();
    let session = Polling::joined(server.address);
    let mut first = session.get();
    // The echo shows that the server has received the first poll. The poll after it then waits.
    session.post(r#"42["message","seen"]"#).expect(200, "ok");
    first.expect(200, r#"42["message","Echo: seen"]"#);
    let (mut one, mut other) = (session.get(), session.get());
    // Either of the two may arrive first.
    let mut responses = [one.response(), other.response()].map(|response| {
        let response = response.expect("a response");
        (response.status, response.body)
    });
    responses.sort();
    assert_eq!(responses, [(200, "1".to_owned()), (400, String::new())]);
    session.expect_unknown();
    canary.noticed_nothing();
}

#[test]
fn a_second_post_ends_the_session() {
    let server = Server::start();
    let canary = server.canary();
    let session = Polling::joined(server.address);
    let mut first = request(
        server.address,
        "POST",
        &session.target,
        "Content-Length: 25\r\nExpect: 100-continue\r\n\r\n",
    );
    // The server has requested the body, so it is reading it.
    assert_eq!(first.response().expect("to go on").status, 100);
    session.post(r#"42["message","second"]"#).expect(400, "");
    session.expect_unknown();
    // The first request also gets a response.
    first.write(r#"42["message","the first"]"#);
    first.expect(400, r#"{"code":1,"message":"Session ID unknown"}"#);
    canary.noticed_nothing();
}

#[test]
fn a_post_whose_session_has_ended_meanwhile_gets_a_response() {
    let server = Server::start();
    let canary = server.canary();
    for _ in 0..20 {
        let session = Polling::joined(server.address);
        let head = "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n";
        let mut post = request(server.address, "POST", &session.target, head);
        assert_eq!(post.response().expect("to go on").status, 100);
        let (mut one, mut other) = (session.get(), session.get());
        one.response().expect("a response");
        other.response().expect("a response");
        session.expect_unknown();
        post.write("4xy");
        post.expect(400, r#"{"code":1,"message":"Session ID unknown"}"#);
    }
    canary.noticed_nothing();
}

#[test]
fn an_invalid_payload_gets_ok_and_ends_the_session_with_a_parse_error() {
    let server = Server::start();
    let canary = server.canary();
    // Invalid Engine.IO packets: the session ends immediately.
    for body in ["", "x", "7", "\x1e", "3\x1e", "3\x1e\x1e3", "\u{1f600}", "2", "2probe"] {
        let session = Polling::joined(server.address);
        session.post(body).expect(200, "ok");
        session.expect_unknown();
    }
    // Invalid Socket.IO packets: the next poll reports the error.
    for body in [
        "4",
        "b",
        "bAQID",
        "bAQID*",
        "b!",
        "4garbage",
        "42[\"a\"",
        "42[\"message\",1]\x1e40",
        "44",
        "451-[\"a\"]\x1e40",
    ] {
        let session = Polling::joined(server.address);
        session.post(body).expect(200, "ok");
        session.get().expect(200, "6\x1e1");
        session.expect_unknown();
    }
    canary.noticed_nothing();
}

#[test]
fn a_request_that_breaks_off_ends_its_session_and_a_session_that_has_ended_stays_unknown() {
    let server = Server::start();
    let canary = server.canary();
    let ended = |session: &Polling| {
        let unknown = r#"{"code":1,"message":"Session ID unknown"}"#;
        session.expect_unknown();
        session.post("4x").expect(400, unknown);
        let mut late = request(server.address, "GET", &session.candidate(), format!("{UPGRADE}\r\n"));
        late.expect(400, "Session ID unknown");
        late.expect_end();
    };
    // In the middle of a body.
    let session = Polling::joined(server.address);
    let poll = &mut session.get();
    let body = request(server.address, "POST", &session.target, "Content-Length: 100\r\n\r\n42[");
    drop(body);
    // The two requests use different connections, so the poll may arrive after the session has ended.
    let released = poll.response().expect("a response");
    assert!(released.status == 400 || released.body == "1", "{released:?}");
    ended(&session);
    // A poll, even if it is sent immediately.
    for _ in 0..20 {
        let session = Polling::joined(server.address);
        drop(session.get());
        while session.post("3").response().expect("a response").status == 200 {}
        ended(&session);
    }
    // The client closes the session, and the waiting poll returns.
    let session = Polling::joined(server.address);
    let poll = &mut session.get();
    session.post(r#"42["message","seen"]"#).expect(200, "ok");
    poll.expect(200, r#"42["message","Echo: seen"]"#);
    session.post("1").expect(200, "ok");
    ended(&session);
    canary.noticed_nothing();
}

#[test]
fn the_packets_before_the_error_count() {
    let server = Server::start();
    let canary = server.canary();
    let watcher = &mut WebSocket::joined(server.address);
    watcher.text(r#"42["join-room","r"]"#);
    watcher.receive_text();
    let session = Polling::joined(server.address);
    session
        .post("42[\"message\",{\"room\":\"r\",\"message\":1}]\x1e!\x1e42[\"join-room\",\"r\"]")
        .expect(200, "ok");
    watcher.expect(r#"42["receive-message",1]"#);
    watcher.text(r#"42["message","nothing else"]"#);
    watcher.expect(r#"42["message","Echo: nothing else"]"#);
    session.expect_unknown();
    canary.noticed_nothing();
}

#[test]
fn bodies_that_have_a_binary_type_are_rejected_and_invalid_utf8_is_replaced() {
    let server = Server::start();
    let canary = server.canary();
    let session = Polling::joined(server.address);
    session.post_with("Content-Type: application/octet-stream\r\n", b"4x").expect(400, "");
    session.expect_unknown();

    let session = Polling::joined(server.address);
    session.post_with("", b"42[\"message\",\"\xff\"]").expect(200, "ok");
    session.get().expect(200, "42[\"message\",\"Echo: \u{fffd}\"]");
    // What replaces the bytes belongs to no Socket.IO packet.
    session.post_with("", b"4\xff\xfe").expect(200, "ok");
    session.get().expect(200, "6\x1e1");
    session.expect_unknown();
    canary.noticed_nothing();
}

#[test]
fn a_body_that_is_too_long_is_rejected_and_ends_its_session_only() {
    let server = Server::start();
    let canary = server.canary();
    let session = Polling::joined(server.address);
    session.post("4".repeat(1_000_001)).expect(413, "");
    session.expect_unknown();
    // A body of unknown length is rejected at the first byte over the limit, no matter how much follows.
    let session = Polling::joined(server.address);
    let chunk = format!("10000\r\n{}\r\n", "4".repeat(0x10000));
    let mut endless = request(server.address, "POST", &session.target, "Transfer-Encoding: chunked\r\n\r\n");
    for _ in 0..16 {
        endless.try_write(chunk.as_bytes());
    }
    endless.expect(413, "");
    session.expect_unknown();
    // A body with an announced length of a terabyte is rejected without waiting for all of it.
    let session = Polling::joined(server.address);
    let mut announced =
        request(server.address, "POST", &session.target, "Content-Length: 1000000000000\r\n\r\n");
    announced.try_write("4".repeat(1_000_001).as_bytes());
    announced.expect(413, "");
    session.expect_unknown();
    canary.noticed_nothing();
}

#[test]
fn a_body_in_chunks_of_one_byte_takes_the_memory_of_its_bytes() {
    let server = Server::start();
    let canary = server.canary();
    let before = server.peak_memory();
    let session = Polling::joined(server.address);
    let mut post = request(server.address, "POST", &session.target, "Transfer-Encoding: chunked\r\n\r\n");
    let mut chunks = Vec::new();
    let name = "x".repeat(400_000);
    for byte in format!(r#"42["{name}"]"#).bytes() {
        chunks.extend_from_slice(&[b'1', b'\r', b'\n', byte, b'\r', b'\n']);
    }
    chunks.extend_from_slice(b"0\r\n\r\n");
    post.write(chunks);
    post.expect(200, "ok");
    // Half a megabyte, in a buffer that grows by doubling.
    let peak = server.peak_memory();
    assert!(peak < before + 6, "{peak} MB, {before} before");
    canary.noticed_nothing();
}

#[test]
fn a_body_with_very_many_packets_is_handled_whole_while_others_go_on() {
    let server = Server::start();
    let canary = server.canary();
    let session = Polling::joined(server.address);
    let mut packets = vec![r#"42["x"]"#; 100_000];
    packets.push(r#"42["message","last"]"#);
    session.post(packets.join("\x1e")).expect(200, "ok");
    session.get().expect(200, r#"42["message","Echo: last"]"#);
    canary.noticed_nothing();
}

#[test]
fn one_of_many_probing_websockets_stays_and_the_session_continues() {
    let server = Server::start();
    let canary = server.canary();
    let session = Polling::joined(server.address);
    let mut first = WebSocket::open(server.address, &session.candidate());
    first.text("2probe");
    first.expect("3probe");
    for _ in 0..50 {
        let mut other = WebSocket::open(server.address, &session.candidate());
        other.expect_close(None);
    }
    session.expect_alive();
    // An invalid packet closes only the WebSocket that probes. The next one may try.
    first.text(r#"42["message","too soon"]"#);
    first.expect_close(None);
    session.expect_alive();
    let mut second = WebSocket::open(server.address, &session.candidate());
    second.text("2probe");
    second.expect("3probe");
    second.text("5");
    second.text(r#"42["message","moved"]"#);
    second.expect(r#"42["message","Echo: moved"]"#);
    session.get().expect(400, r#"{"code":3,"message":"Bad request"}"#);
    let mut late = WebSocket::open(server.address, &session.candidate());
    late.expect_close(None);
    canary.noticed_nothing();
}

#[test]
fn a_probing_websocket_that_misbehaves_closes_only_itself() {
    let server = Server::start();
    let canary = server.canary();
    let session = Polling::joined(server.address);
    for bytes in
        [&b"\x81\x022p"[..], b"\x88\x80\0\0\0\0", b"\xff\xff", b"\x81\x86\0\0\0\x002probe\x81\x81\0\0\0\0x"]
    {
        let mut candidate = WebSocket::open(server.address, &session.candidate());
        candidate.write(bytes);
        while let Some((opcode, payload)) = candidate.receive() {
            match opcode {
                CLOSE => _ = candidate.connection.try_write(&frame(CLOSE, payload)),
                _ => assert_eq!(payload, b"3probe"),
            }
        }
        session.expect_alive();
    }
    let mut deaf = WebSocket::open(server.address, &session.candidate());
    deaf.connection.stream.set_write_timeout(Some(std::time::Duration::from_millis(200))).expect("an option");
    let probes = frame(TEXT, "2probe").repeat(10_000);
    for _ in 0..20 {
        if !deaf.connection.try_write(&probes) {
            break;
        }
    }
    session.expect_alive();
    canary.noticed_nothing();
}

#[test]
fn without_http_compression_a_client_that_accepts_it_gets_text() {
    let server = Server::with_option("--no-http-compression");
    let session = Polling::joined(server.address);
    let text = "x".repeat(5_000);
    session.post(format!(r#"42["message","{text}"]"#)).expect(200, "ok");
    let mut poll = request(server.address, "GET", &session.target, "Accept-Encoding: gzip\r\n\r\n");
    poll.expect(200, &format!(r#"42["message","Echo: {text}"]"#));
}
