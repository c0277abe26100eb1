//! Sessions that start on WebSocket.

use engineio_proto::{EncodedMessage, MessageEncoder};
use tidewire_engineio::{CloseReason, Options, Transport};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use ws_proto::{Event, Opcode};

use crate::support::{
    Seen, Server, WebSocket, frame, frames, send_shared, settings, text, websocket_request,
};

#[tokio::test]
async fn the_first_message_is_the_open_packet_which_offers_no_upgrade() {
    let mut server = Server::start(Options::default()).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let mut client = WebSocket::connect(Box::new(stream), "EIO=4&transport=websocket", &[]).await;
    let opened = server.opened().await;
    let sid = opened.session.id().as_str();
    client
        .expect(&format!(
            r#"0{{"sid":"{sid}","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}}"#
        ))
        .await;
    assert_eq!(opened.session.transport(), Transport::WebSocket);
}

#[tokio::test]
async fn text_and_binary_travel_both_ways_in_order() {
    let mut server = Server::start(Options::default()).await;
    let (mut client, mut opened) = server.open_websocket().await;
    client
        .write(
            &[
                frames(["4one", "4"]),
                frame(Opcode::Binary, &[1, 2, 3]),
                frame(Opcode::Binary, &[]),
                frames(["4zwei €", "bAQID"]),
            ]
            .concat(),
        )
        .await;
    opened
        .expect([
            text("one"),
            text(""),
            Seen::Binary(vec![1, 2, 3]),
            Seen::Binary(vec![]),
            text("zwei €"),
            Seen::Binary(vec![1, 2, 3]),
        ])
        .await;
    opened.session.send_text("un €");
    opened.session.send_binary(&[9, 8]);
    opened.session.send_text("");
    client.expect("4un €").await;
    assert_eq!(client.recv().await, Some(Event::Binary(vec![9, 8].into())));
    client.expect("4").await;
}

#[tokio::test]
async fn a_client_that_takes_no_binary_frames_gets_base64_in_text_frames() {
    let mut server = Server::start(Options::default()).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let query = "EIO=4&transport=websocket&b64=1";
    let mut client = WebSocket::connect(Box::new(stream), query, &frames(["bAQID"])).await;
    assert!(client.recv_text().await.expect("an open packet").starts_with("0{"));
    let mut opened = server.opened().await;
    opened.expect([Seen::Binary(vec![1, 2, 3])]).await;
    opened.session.send_binary(&[9, 8]);
    opened.session.send(event_with_attachment(&mut MessageEncoder::new()));
    let shared = event_with_attachment(&mut MessageEncoder::new()).to_shared();
    send_shared(&opened.session, &shared);
    for packet in ["bCQg=", "4event", "bAQIDBA==", "4event", "bAQIDBA=="] {
        client.expect(packet).await;
    }
}

fn event_with_attachment(encoder: &mut MessageEncoder) -> EncodedMessage<'_> {
    encoder.begin();
    encoder.text().extend_from_slice(b"event");
    encoder.text_and_attachments().1.push(&[1, 2, 3, 4]);
    encoder.finish()
}

#[tokio::test]
async fn a_text_frame_with_invalid_utf_8_ends_the_session() {
    let mut server = Server::start(Options::default()).await;
    let (mut client, mut opened) = server.open_websocket().await;
    client.write(&frame(Opcode::Text, b"4a\xffb")).await;
    client.expect_close(Some(1007)).await;
    opened.expect_end(CloseReason::TransportError).await;
}

#[tokio::test]
async fn the_first_offered_subprotocol_is_selected() {
    let mut server = Server::start(Options::default()).await;
    let (client, _opened) = server.open_polling().await;
    let candidate = client.query().replace("transport=polling", "transport=websocket");
    for query in ["EIO=4&transport=websocket", &candidate] {
        for (offer, selected) in [
            ("Sec-WebSocket-Protocol: chat, superchat\r\n", Some("chat")),
            ("Sec-WebSocket-Protocol: superchat\r\nSec-WebSocket-Protocol: chat\r\n", Some("superchat")),
            ("", None),
        ] {
            let request = websocket_request(query).replacen("\r\n\r\n", &format!("\r\n{offer}\r\n"), 1);
            let mut request = server.send(request.as_bytes()).await;
            request.finish().await;
            let head = request.response_head().await;
            assert!(head.starts_with("http/1.1 101 "), "{head}");
            let protocol = head.lines().find_map(|line| line.strip_prefix("sec-websocket-protocol: "));
            assert_eq!(protocol, selected, "{query} {offer}");
        }
    }
}

#[tokio::test]
async fn messages_behind_the_request_in_the_same_segment_are_not_lost() {
    let mut server = Server::start(Options::default()).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let behind = frames(["4early", "4bird"]);
    let _client = WebSocket::connect(Box::new(stream), "EIO=4&transport=websocket", &behind).await;
    server.opened().await.expect([text("early"), text("bird")]).await;
}

#[tokio::test]
async fn a_close_packet_means_nothing_on_websocket() {
    let mut server = Server::start(Options::default()).await;
    let (mut client, mut opened) = server.open_websocket().await;
    client.write(&frames(["1", "4still here"])).await;
    opened.expect([text("still here")]).await;
}

#[tokio::test]
async fn a_ping_of_the_client_ends_the_session() {
    let mut server = Server::start(Options::default()).await;
    let (mut client, mut opened) = server.open_websocket().await;
    client.send("2").await;
    client.expect_close(None).await;
    opened.expect_end(CloseReason::TransportError).await;
}

#[tokio::test]
async fn an_unknown_packet_ends_the_session_behind_the_packets_before_it() {
    let mut server = Server::start(Options::default()).await;
    let (mut client, mut opened) = server.open_websocket().await;
    client.write(&frames(["4good", "xbad", "4unseen"])).await;
    client.expect_close(None).await;
    opened.expect([text("good")]).await;
    opened.expect_end(CloseReason::ParseError).await;
    server.expect_no_sessions().await;
}

#[tokio::test]
async fn a_message_that_is_too_long_is_answered_1009_before_it_is_whole() {
    let mut server = Server::start(settings(|settings| settings.max_payload = 1_000)).await;
    let (mut client, mut opened) = server.open_websocket().await;
    client.write(&frames([format!("4{}", "x".repeat(999))])).await;
    opened.expect([text("x".repeat(999))]).await;
    let too_long = frames([format!("4{}", "x".repeat(1_000))]);
    client.write(&too_long[..100]).await;
    client.expect_close(Some(1009)).await;
    opened.expect_end(CloseReason::TransportError).await;
    server.expect_no_sessions().await;
}

#[tokio::test]
async fn a_client_that_closes_is_answered() {
    let mut server = Server::start(Options::default()).await;
    let (mut client, mut opened) = server.open_websocket().await;
    client.write(&[frames(["4bye"]), frame(Opcode::Close, &1000_u16.to_be_bytes())].concat()).await;
    client.expect_close(Some(1000)).await;
    opened.expect([text("bye")]).await;
    opened.expect_end(CloseReason::TransportClose).await;
    server.expect_no_sessions().await;
}

#[tokio::test]
async fn a_client_that_vanishes_is_noticed() {
    let mut server = Server::start(Options::default()).await;
    let (client, mut opened) = server.open_websocket().await;
    drop(client);
    opened.expect_end(CloseReason::TransportClose).await;
    server.expect_no_sessions().await;
}

#[tokio::test]
async fn the_program_closes_behind_what_it_has_sent() {
    let mut server = Server::start(Options::default()).await;
    let (mut client, mut opened) = server.open_websocket().await;
    for number in 0..1_000 {
        opened.session.send_text(&number.to_string());
    }
    opened.session.close();
    opened.session.send_text("too late or not, but never in between");
    for number in 0..1_000 {
        client.expect(&format!("4{number}")).await;
    }
    loop {
        match client.recv().await {
            Some(Event::Text(text)) => assert!(text.starts_with("4too late")),
            Some(Event::Close(None)) => break,
            other => panic!("{other:?}"),
        }
    }
    client.write(&frame(Opcode::Close, &[])).await;
    assert_eq!(client.recv().await, None);
    drop(client);
    opened.expect_end(CloseReason::ForcedClose).await;
    server.expect_no_sessions().await;
}

#[tokio::test]
async fn a_refused_handshake_says_why_in_plain_text() {
    let server = Server::start(Options::default()).await;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    for (query, key, body) in [
        ("EIO=4&transport=websocket&sid=AAAAAAAAAAAAAAAAAAAA", true, "Session ID unknown"),
        ("EIO=4&transport=polling", true, "Bad request"),
        ("EIO=3&transport=websocket", true, "Unsupported protocol version"),
        ("EIO=4&transport=websocket", false, ""),
    ] {
        let key = if key { "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" } else { "" };
        let head = format!("GET /engine.io/?{query} HTTP/1.1\r\nHost: h\r\n{upgrade}{key}\r\n");
        let mut request = server.send(head.as_bytes()).await;
        request.finish().await;
        let response = request.response().await;
        assert_eq!(response.status, 400, "{query}");
        assert!(response.body.contains(body), "{query}: {}", response.body);
    }
    assert_eq!(server.engine.session_count(), 0, "a rejected handshake leaves no session");
}

#[tokio::test]
async fn a_client_that_vanishes_behind_its_request_leaves_no_session() {
    let mut server = Server::start(Options::default()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream
        .write_all(
            b"GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n\
            Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .await
        .unwrap();
    let mut opened = server.opened().await;
    drop(stream);
    opened.expect_end(CloseReason::TransportClose).await;
    server.expect_no_sessions().await;
}

#[tokio::test]
async fn the_initial_packet_is_the_message_after_the_open_packet() {
    let options = Options { initial_packet: Some("hello".into()), ..Options::default() };
    let mut server = Server::start(options).await;
    let (mut client, opened) = server.open_websocket().await;
    opened.session.send_text("after");
    client.expect("4hello").await;
    client.expect("4after").await;
}

#[tokio::test]
async fn the_initial_packet_takes_the_form_that_the_client_wants() {
    let options = Options { initial_packet: Some(vec![1, 2, 3].into()), ..Options::default() };
    let mut server = Server::start(options).await;
    for (parameter, expected) in
        [("", Event::Binary((&[1, 2, 3]).into())), ("&b64=1", Event::Text("bAQID".into()))]
    {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let query = format!("EIO=4&transport=websocket{parameter}");
        let mut client = WebSocket::connect(Box::new(stream), &query, &[]).await;
        assert!(client.recv_text().await.expect("an open packet").starts_with("0{"));
        let opened = server.opened().await;
        opened.session.send_text("after");
        assert_eq!(client.recv().await, Some(expected));
        client.expect("4after").await;
    }
}
