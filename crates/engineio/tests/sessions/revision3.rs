//! Clients of revision 3, byte by byte: their payloads, their heartbeat, their upgrade.

use std::io::Read;
use std::time::Duration;

use flate2::read::GzDecoder;
use tidewire_engineio::{CloseReason, ConnectionError, ConnectionErrorHook, Options, Transport};
use tokio::sync::mpsc;
use ws_proto::{Event, Opcode};

use crate::support::{Opened, Polling, Seen, Server, frame, frames, settings, text, websocket_request};

fn allowed() -> Options {
    Options { allow_eio3: true, ..Options::default() }
}

async fn open(server: &mut Server) -> (Polling, Opened) {
    server.open_polling_with("EIO=3", "").await
}

/// Polls once, and returns the content type and the body.
async fn poll(client: &Polling) -> (String, Vec<u8>) {
    let (head, body) = client.get().await.response_bytes().await;
    let kind = head.lines().find_map(|line| line.strip_prefix("content-type: ")).expect("a content type");
    (kind.to_owned(), body)
}

const OCTETS: &str = "Content-Type: application/octet-stream\r\n";
const TEXT: &str = "text/plain; charset=utf-8";

#[tokio::test]
async fn the_open_packet_has_its_length_in_front_of_it() {
    let mut server = Server::start(allowed()).await;
    for parameters in ["EIO=3", "EIO=5", "t=x"] {
        let response = server.get(&format!("{parameters}&transport=polling")).await.response().await;
        let opened = server.opened().await;
        let sid = opened.session.id().as_str();
        response.expect(
            200,
            &format!(
                r#"118:0{{"sid":"{sid}","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}}"#
            ),
        );
        assert!(response.head.contains(&format!("content-type: {TEXT}")), "{}", response.head);
        assert!(response.head.contains("cache-control: no-store"), "{}", response.head);
    }
}

#[tokio::test]
async fn a_client_of_revision_3_is_refused_unless_it_is_allowed() {
    let server = Server::start(Options::default()).await;
    let refused = server.get("EIO=3&transport=polling&j=0").await.response().await;
    refused.expect(400, r#"{"code":5,"message":"Unsupported protocol version"}"#);
    let handshake = websocket_request("EIO=3&transport=websocket");
    let refused = server.send(handshake.as_bytes()).await.response().await;
    refused.expect(400, "Unsupported protocol version");
    assert_eq!(server.engine.session_count(), 0);
}

#[tokio::test]
async fn a_session_keeps_its_revision() {
    let (sender, mut reports) = mpsc::unbounded_channel();
    let hook = ConnectionErrorHook::new(move |error, _| drop(sender.send(error.clone())));
    let mut server = Server::start(Options { on_connection_error: Some(hook), ..allowed() }).await;
    let (old, old_opened) = open(&mut server).await;
    let (new, _opened) = server.open_polling().await;
    for (client, wrong, protocol, previous_protocol) in [(&old, "EIO=4", 4, 3), (&new, "EIO=3", 3, 4)] {
        let query = format!("{wrong}{}", &client.query()[5..]);
        let refused = server.get(&query).await.response().await;
        refused.expect(400, r#"{"code":3,"message":"Bad request"}"#);
        let mismatch = ConnectionError::ProtocolMismatch { protocol, previous_protocol };
        assert_eq!(reports.recv().await, Some(mismatch.clone()));
        let handshake = websocket_request(&query.replace("polling", "websocket"));
        server.send(handshake.as_bytes()).await.response().await.expect(400, "Bad request");
        assert_eq!(reports.recv().await, Some(mismatch));
    }
    old_opened.session.send_text("still here");
    assert_eq!(old.poll().await, "11:4still here");
}

#[tokio::test]
async fn lengths_in_text_count_utf_16() {
    let mut server = Server::start(allowed()).await;
    let (client, mut opened) = open(&mut server).await;
    for message in ["€", "😀", ""] {
        opened.session.send_text(message);
    }
    assert_eq!(poll(&client).await, (TEXT.into(), "2:4€3:4😀1:4".into()));
    client.post_ok("2:4€3:4😀1:410:b4AQIDBA==").await;
    let bytes = || Seen::Binary(vec![1, 2, 3, 4]);
    opened.expect([text("€"), text("😀"), text(""), bytes()]).await;
}

#[tokio::test]
async fn a_payload_with_bytes_has_the_binary_form_in_both_directions() {
    let mut server = Server::start(allowed()).await;
    let (client, mut opened) = open(&mut server).await;
    opened.session.send_text("€");
    opened.session.send_binary(&[1, 2, 3, 4]);
    let payload = b"\x00\x04\xff4\xe2\x82\xac\x01\x05\xff\x04\x01\x02\x03\x04".to_vec();
    assert_eq!(poll(&client).await, ("application/octet-stream".into(), payload.clone()));
    opened.session.send_text("text again");
    assert_eq!(client.poll().await, "11:4text again");

    let headers = format!("{OCTETS}Content-Length: {}\r\n", payload.len());
    client.request("POST", &headers, payload).await.response().await.expect(200, "ok");
    opened.expect([text("€"), Seen::Binary(vec![1, 2, 3, 4])]).await;
}

#[tokio::test]
async fn a_client_that_asked_for_base64_at_the_start_gets_it_with_each_poll() {
    let mut server = Server::start(allowed()).await;
    // The JavaScript client sends the parameter with its first request only.
    let (client, opened) = server.open_polling_with("EIO=3", "&b64=1").await;
    for _ in 0..2 {
        opened.session.send_text("€");
        opened.session.send_binary(&[1, 2, 3, 4]);
        assert_eq!(poll(&client).await, (TEXT.into(), "2:4€10:b4AQIDBA==".into()));
    }
}

#[tokio::test]
async fn the_initial_packet_is_in_the_payload_of_the_open_packet() {
    let server = Server::start(Options { initial_packet: Some("hé".into()), ..allowed() }).await;
    let response = server.get("EIO=3&transport=polling").await.response().await;
    assert!(response.body.starts_with("118:0{\"sid\":\""), "{}", response.body);
    assert!(response.body.ends_with("\"maxPayload\":1000000}3:4hé"), "{}", response.body);

    let server = Server::start(Options { initial_packet: Some(vec![7].into()), ..allowed() }).await;
    let (head, body) = server.get("EIO=3&transport=polling").await.response_bytes().await;
    assert!(head.contains("content-type: application/octet-stream"), "{head}");
    assert!(body.starts_with(b"\x00\x01\x01\x08\xff0{\"sid\":\""), "{body:?}");
    assert!(body.ends_with(b"\"maxPayload\":1000000}\x01\x02\xff\x04\x07"), "{body:?}");
}

#[tokio::test(start_paused = true)]
async fn the_client_sends_the_pings() {
    let options = Options {
        allow_eio3: true,
        ..settings(|settings| {
            settings.ping_interval = Duration::from_millis(50);
            settings.ping_timeout = Duration::from_millis(200);
        })
    };
    let mut server = Server::start_in_memory(options).await;
    let (client, mut opened) = open(&mut server).await;
    client.post_ok("1:2").await;
    assert_eq!(client.poll().await, "1:3");
    // The server sends none: the next thing that the client hears is the end.
    assert_eq!(client.poll().await, "1:1");
    opened.expect_end(CloseReason::PingTimeout).await;

    let (mut websocket, mut opened) = server.open_websocket_with("EIO=3").await;
    websocket.send("2").await;
    websocket.expect("3").await;
    websocket.expect_close(None).await;
    opened.expect_end(CloseReason::PingTimeout).await;
}

#[tokio::test]
async fn a_pong_from_the_client_ends_the_session() {
    let mut server = Server::start(allowed()).await;
    let (client, mut opened) = open(&mut server).await;
    client.post_ok("1:3").await;
    opened.expect_end(CloseReason::TransportError).await;
}

#[tokio::test]
async fn pongs_that_nobody_reads_end_the_session_at_the_limit_of_queued_bytes() {
    let mut server = Server::start(Options { max_write_buffer_size: 1_000, ..allowed() }).await;
    let (client, mut opened) = open(&mut server).await;
    // Each pong takes seven bytes of the queue: its header and one character.
    client.post_ok(&"1:2".repeat(100)).await;
    opened.expect_silence();
    client.post(&"1:2".repeat(100)).await;
    opened.expect_end(CloseReason::TransportError).await;
}

#[tokio::test]
async fn a_websocket_has_a_type_byte_in_front_of_bytes() {
    let mut server = Server::start(allowed()).await;
    let (mut client, mut opened) = server.open_websocket_with("EIO=3").await;
    opened.session.send_text("€");
    opened.session.send_binary(&[1, 2, 3, 4]);
    assert_eq!(client.read_exact(13).await, b"\x81\x044\xe2\x82\xac\x82\x05\x04\x01\x02\x03\x04");
    client.write(&frame(Opcode::Binary, &[4, 1, 2])).await;
    client.send("b4AQI=").await;
    client.send("4€").await;
    opened.expect([Seen::Binary(vec![1, 2]), Seen::Binary(vec![1, 2]), text("€")]).await;
    client.write(&frame(Opcode::Binary, &[])).await;
    client.expect_close(None).await;
    opened.expect_end(CloseReason::ParseError).await;
}

#[tokio::test]
async fn a_websocket_of_a_client_without_binary_frames_gets_base64() {
    let mut server = Server::start(allowed()).await;
    let (mut client, opened) = server.open_websocket_with("EIO=3&b64=1").await;
    opened.session.send_binary(&[1, 2, 3, 4]);
    client.expect("b4AQIDBA==").await;
}

#[tokio::test]
async fn an_upgrade_moves_what_waits_to_the_websocket() {
    let mut server = Server::start(allowed()).await;
    let (client, mut opened) = open(&mut server).await;
    let waiting = client.get().await;
    opened.poll_waits().await;
    let mut websocket = client.candidate(&frames(["2probe"])).await;
    websocket.expect("3probe").await;
    waiting.response().await.expect(200, "1:6");
    opened.session.send_text("€");
    opened.session.send_binary(&[1, 2]);
    websocket.write(&frames(["5", "4moved"])).await;
    websocket.expect("4€").await;
    assert_eq!(websocket.recv().await, Some(Event::Binary(vec![4, 1, 2].into())));
    opened.expect([text("moved")]).await;
    assert_eq!(opened.session.transport(), Transport::WebSocket);
    websocket.send("2").await;
    websocket.expect("3").await;
}

#[tokio::test]
async fn a_poll_that_waits_at_the_move_is_told_to_stop() {
    let mut server = Server::start(allowed()).await;
    let (client, opened) = open(&mut server).await;
    let waiting = client.get().await;
    opened.poll_waits().await;
    let _websocket = client.base64_candidate(&frames(["5"])).await;
    waiting.response().await.expect(200, "1:1");
    // The other case, where the websocket asks for base64, is the framing of its own query.
    let (client, opened) = open(&mut server).await;
    let mut websocket = client.base64_candidate(&frames(["5"])).await;
    opened.session.send_binary(&[1, 2]);
    websocket.expect("b4AQI=").await;
}

#[tokio::test]
async fn an_invalid_packet_ends_the_session_and_those_before_it_count() {
    let mut server = Server::start(allowed()).await;
    for (headers, body) in [
        ("", &b"2:4a1:x2:4b"[..]),
        ("", b"2:4a9:4b"),
        // What a client of revision 4 sends.
        ("", b"2:4a4b\x1e4c"),
        (OCTETS, b"\x00\x02\xff4a\x00\x09\xff4b"),
        (OCTETS, b"\x00\x02\xff4a\x07\x01\xff4"),
    ] {
        let (client, mut opened) = open(&mut server).await;
        let headers = format!("{headers}Content-Length: {}\r\n", body.len());
        client.request("POST", &headers, body).await.response().await.expect(200, "ok");
        opened.expect([text("a")]).await;
        opened.expect_end(CloseReason::ParseError).await;
    }
    let (client, mut opened) = open(&mut server).await;
    client.post("").await.expect(200, "ok");
    opened.expect_end(CloseReason::ParseError).await;
}

#[tokio::test]
async fn a_post_that_is_too_long_is_refused_in_both_forms() {
    let options = Options { allow_eio3: true, ..settings(|settings| settings.max_payload = 10) };
    let mut server = Server::start(options).await;
    for (headers, body) in [("", "8:4abcdefg"), (OCTETS, "\x00\x07~4abcdef")] {
        let (client, mut opened) = open(&mut server).await;
        let longest: Vec<u8> = body.bytes().map(|byte| if byte == b'~' { 0xff } else { byte }).collect();
        assert_eq!(longest.len(), 10);
        let with = |length| format!("{headers}Content-Length: {length}\r\n");
        client.request("POST", &with(10), &longest).await.response().await.expect(200, "ok");
        assert!(matches!(opened.next().await, Some(Seen::Text(_))));
        let too_long = [&longest[..], b"x"].concat();
        client.request("POST", &with(11), too_long).await.response().await.expect(413, "");
        opened.expect_end(CloseReason::TransportError).await;
    }
}

#[tokio::test]
async fn each_end_of_a_session_is_told_in_the_payload_of_its_revision() {
    let mut server = Server::start(allowed()).await;
    let (client, mut opened) = open(&mut server).await;
    let waiting = client.get().await;
    opened.poll_waits().await;
    opened.session.close();
    waiting.response().await.expect(200, "1:1");
    opened.expect_end(CloseReason::ForcedClose).await;

    let (client, opened) = open(&mut server).await;
    opened.session.send_binary(&[1]);
    opened.session.close();
    assert_eq!(client.get().await.response_bytes().await.1, b"\x01\x02\xff\x04\x01");
    assert_eq!(client.poll().await, "1:61:1");
    client.expect_unknown().await;

    let (client, mut opened) = open(&mut server).await;
    let waiting = client.get().await;
    opened.poll_waits().await;
    client.post_ok("1:1").await;
    waiting.response().await.expect(200, "1:6");
    opened.expect_end(CloseReason::TransportClose).await;
}

#[tokio::test]
async fn a_long_response_is_compressed_in_both_forms() {
    let mut server = Server::start(allowed()).await;
    let (client, opened) = open(&mut server).await;
    let long = "x".repeat(2_000);
    for (is_binary, start) in [(false, &b"2001:4xx"[..]), (true, b"\x01\x02\x00\x00\x01\xff\x04xx")] {
        if is_binary {
            opened.session.send_binary(long.as_bytes());
        } else {
            opened.session.send_text(&long);
        }
        let request = client.request("GET", "Accept-Encoding: gzip\r\n", "").await;
        let (head, body) = request.response_bytes().await;
        assert!(head.contains("content-encoding: gzip"), "{head}");
        let mut payload = Vec::new();
        GzDecoder::new(&*body).read_to_end(&mut payload).expect("gzip");
        assert!(payload.starts_with(start) && payload.ends_with(b"xx"), "{:?}", &payload[..20]);
    }
}
