//! Long-polling: the responses to each kind of request.

use std::time::Duration;

use tidewire_engineio::{CloseReason, Options, Transport};

use crate::support::{Seen, Server, settings, text, until};

#[tokio::test]
async fn the_handshake_tells_the_session_id_and_the_settings() {
    let mut server = Server::start(Options::default()).await;
    let response = server.get("EIO=4&transport=polling").await.response().await;
    let opened = server.opened().await;
    let sid = opened.session.id().as_str();
    assert_eq!(sid.len(), 20);
    response.expect(
        200,
        &format!(
            r#"0{{"sid":"{sid}","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}}"#
        ),
    );
    assert!(response.head.contains("content-type: text/plain; charset=utf-8"), "{}", response.head);
    assert!(response.head.contains("cache-control: no-store"), "{}", response.head);
    assert_eq!(opened.session.transport(), Transport::Polling);
    assert_eq!(server.engine.session_count(), 1);
}

#[tokio::test]
async fn what_the_program_sends_comes_with_one_poll_in_order() {
    let mut server = Server::start(Options::default()).await;
    let (client, opened) = server.open_polling().await;
    opened.session.send_text("one");
    opened.session.send_binary(&[1, 2, 3, 4]);
    opened.session.send_text("two €");
    assert_eq!(client.poll().await, "4one\x1ebAQIDBA==\x1e4two €");
}

#[tokio::test]
async fn a_poll_waits_for_the_first_message() {
    let mut server = Server::start(Options::default()).await;
    let (client, opened) = server.open_polling().await;
    let poll = client.get().await;
    opened.poll_waits().await;
    opened.session.send_text("late");
    poll.response().await.expect(200, "4late");
}

#[tokio::test]
async fn the_packets_of_a_post_arrive_in_order_and_it_is_answered_ok() {
    let mut server = Server::start(Options::default()).await;
    let (client, mut opened) = server.open_polling().await;
    let response = client.post("4one\x1ebAQIDBA==\x1e4two €").await;
    response.expect(200, "ok");
    assert!(response.head.contains("content-type: text/html"), "{}", response.head);
    assert!(response.head.contains("cache-control: no-store"), "{}", response.head);
    opened.expect([text("one"), Seen::Binary(vec![1, 2, 3, 4]), text("two €")]).await;
}

#[tokio::test]
async fn a_second_poll_is_refused_and_ends_the_session_which_the_first_poll_is_told() {
    let mut server = Server::start(Options::default()).await;
    let (client, mut opened) = server.open_polling().await;
    let first = client.get().await;
    opened.poll_waits().await;
    client.get().await.response().await.expect(400, "");
    first.response().await.expect(200, "1");
    opened.expect_end(CloseReason::TransportError).await;
    server.expect_no_sessions().await;
}

#[tokio::test]
async fn a_poll_that_is_given_up_ends_the_session() {
    let mut server = Server::start(Options::default()).await;
    let (client, mut opened) = server.open_polling().await;
    let poll = client.get().await;
    opened.poll_waits().await;
    drop(poll);
    opened.expect_end(CloseReason::TransportError).await;
    server.expect_no_sessions().await;
}

#[tokio::test]
async fn an_answer_that_nobody_is_there_to_take_ends_the_session() {
    let mut server = Server::start(Options::default()).await;
    let (client, mut opened) = server.open_polling().await;
    let poll = server.engine.handle(client.poll_request());
    opened.poll_waits().await;
    opened.session.send_text("lost");
    until(|| opened.session.buffered() == 0).await;
    // The connection breaks while the reply is between the session and the HTTP server.
    drop(poll);
    opened.expect_end(CloseReason::TransportError).await;
    client.expect_unknown().await;
}

const HALF_A_POST: &str = "Content-Length: 10\r\nExpect: 100-continue\r\n";

#[tokio::test]
async fn a_second_post_is_refused_and_ends_the_session() {
    let mut server = Server::start(Options::default()).await;
    let (client, mut opened) = server.open_polling().await;
    let mut first = client.request("POST", HALF_A_POST, "4ha").await;
    first.expect_continue().await;
    client.post("4second").await.expect(400, "");
    opened.expect_end(CloseReason::TransportError).await;
    server.expect_no_sessions().await;
}

#[tokio::test]
async fn a_post_that_is_given_up_in_the_middle_ends_the_session_and_brings_nothing() {
    let mut server = Server::start(Options::default()).await;
    let (client, mut opened) = server.open_polling().await;
    let mut post = client.request("POST", HALF_A_POST, "4ha").await;
    post.expect_continue().await;
    drop(post);
    opened.expect_end(CloseReason::TransportError).await;
    server.expect_no_sessions().await;
}

#[tokio::test]
async fn a_post_of_exactly_the_limit_is_accepted() {
    let mut server = Server::start(settings(|settings| settings.max_payload = 100)).await;
    let (client, mut opened) = server.open_polling().await;
    let longest = "x".repeat(99);
    client.post_ok(&format!("4{longest}")).await;
    opened.expect([text(longest)]).await;
}

#[tokio::test]
async fn a_post_that_is_too_long_is_refused_and_ends_the_session() {
    let mut server = Server::start(settings(|settings| settings.max_payload = 100)).await;
    let long = format!("4{}", "x".repeat(100));
    let chunked = format!("{:x}\r\n{long}\r\n0\r\n\r\n", long.len());
    for (headers, body) in [("Content-Length: 101\r\n", &long), ("Transfer-Encoding: chunked\r\n", &chunked)]
    {
        let (client, mut opened) = server.open_polling().await;
        let poll = client.get().await;
        opened.poll_waits().await;
        client.request("POST", headers, body).await.response().await.expect(413, "");
        opened.expect_end(CloseReason::TransportError).await;
        poll.response().await.expect(200, "1");
        client.expect_unknown().await;
    }
}

#[tokio::test]
async fn a_post_that_takes_too_long_is_refused_and_ends_the_session() {
    let http_request_body_timeout = Duration::from_millis(20);
    let options = Options { http_request_body_timeout, ..Options::default() };
    let mut server = Server::start(options).await;
    let (client, mut opened) = server.open_polling().await;
    let mut post = client.request("POST", HALF_A_POST, "4ha").await;
    post.expect_continue().await;
    post.response().await.expect(408, "");
    opened.expect_end(CloseReason::TransportError).await;
    client.expect_unknown().await;
}

#[tokio::test]
async fn invalid_utf_8_in_a_post_becomes_replacement_characters() {
    let mut server = Server::start(settings(|settings| settings.max_payload = 12)).await;
    let (client, mut opened) = server.open_polling().await;
    client.post(b"4a\xffb").await.expect(200, "ok");
    opened.expect([text("a\u{fffd}b")]).await;
    // The limit counts the text.
    client.post(b"4\xff\xff\xff\xff").await.expect(413, "");
}

#[tokio::test]
async fn a_post_that_says_octet_stream_is_refused_and_ends_the_session() {
    let mut server = Server::start(Options::default()).await;
    let (client, mut opened) = server.open_polling().await;
    let headers = "Content-Type: application/octet-stream\r\nContent-Length: 2\r\n";
    client.request("POST", headers, "4x").await.response().await.expect(400, "");
    opened.expect_end(CloseReason::TransportError).await;
}

#[tokio::test]
async fn a_payload_with_an_unknown_packet_ends_the_session_behind_the_packets_before_it() {
    let mut server = Server::start(Options::default()).await;
    let (client, mut opened) = server.open_polling().await;
    client.post_ok("4good\x1exbad\x1e4unseen").await;
    opened.expect([text("good")]).await;
    opened.expect_end(CloseReason::ParseError).await;
    client.expect_unknown().await;
}

#[tokio::test]
async fn an_empty_post_ends_the_session() {
    let mut server = Server::start(Options::default()).await;
    let (client, mut opened) = server.open_polling().await;
    client.post_ok("").await;
    opened.expect_end(CloseReason::ParseError).await;
}

#[tokio::test]
async fn a_client_that_says_goodbye_gets_its_poll_back() {
    let mut server = Server::start(Options::default()).await;
    let (client, mut opened) = server.open_polling().await;
    let poll = client.get().await;
    opened.poll_waits().await;
    client.post_ok("1").await;
    poll.response().await.expect(200, "6");
    opened.expect_end(CloseReason::TransportClose).await;
    server.expect_no_sessions().await;
}

#[tokio::test]
async fn the_program_closes_a_session_whose_client_waits() {
    let mut server = Server::start(Options::default()).await;
    let (client, mut opened) = server.open_polling().await;
    let poll = client.get().await;
    opened.poll_waits().await;
    opened.session.close();
    poll.response().await.expect(200, "1");
    opened.expect_end(CloseReason::ForcedClose).await;
    client.expect_unknown().await;
}

#[tokio::test]
async fn the_program_closes_a_session_whose_client_polls_later() {
    let mut server = Server::start(Options::default()).await;
    let (client, mut opened) = server.open_polling().await;
    opened.session.close();
    opened.expect([Seen::Closed(CloseReason::ForcedClose)]).await;
    assert_eq!(client.poll().await, "6\x1e1");
    assert_eq!(opened.next().await, None);
    server.expect_no_sessions().await;
}

#[tokio::test]
async fn what_was_sent_before_the_program_closed_is_still_delivered() {
    let mut server = Server::start(Options::default()).await;
    let (client, opened) = server.open_polling().await;
    opened.session.send_text("last words");
    opened.session.close();
    // The message comes in a separate response: the JavaScript client handles a close packet before the messages in the
    // same response.
    assert_eq!(client.poll().await, "4last words");
    assert_eq!(client.poll().await, "6\x1e1");
    client.expect_unknown().await;
}

#[tokio::test]
async fn a_method_that_no_transport_uses_changes_nothing() {
    let mut server = Server::start(Options::default()).await;
    let (client, mut opened) = server.open_polling().await;
    client.request("PUT", "Content-Length: 2\r\n", "4x").await.response().await.expect(500, "");
    opened.session.send_text("still here");
    assert_eq!(client.poll().await, "4still here");
    opened.expect_silence();
}

#[tokio::test]
async fn refusals_carry_the_code_and_the_message_of_the_reference() {
    let server = Server::start(Options::default()).await;
    for (query, body) in [
        ("EIO=4", r#"{"code":0,"message":"Transport unknown"}"#),
        ("EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAA", r#"{"code":1,"message":"Session ID unknown"}"#),
        ("EIO=4&transport=websocket", r#"{"code":3,"message":"Bad request"}"#),
        ("EIO=3&transport=polling", r#"{"code":5,"message":"Unsupported protocol version"}"#),
    ] {
        let response = server.get(query).await.response().await;
        response.expect(400, body);
        assert!(response.head.contains("content-type: application/json\r\n"), "{}", response.head);
    }
    assert_eq!(server.engine.session_count(), 0);
}

#[tokio::test]
async fn the_initial_packet_is_in_the_payload_of_the_open_packet() {
    for (initial, encoded) in [("hé".into(), "4hé"), (vec![1, 2, 3, 4].into(), "bAQIDBA==")] {
        let server = Server::start(Options { initial_packet: Some(initial), ..Options::default() }).await;
        let response = server.get("EIO=4&transport=polling").await.response().await;
        let (open, rest) = response.body.split_once('\x1e').expect("two packets");
        assert!(open.starts_with("0{\"sid\":\"") && open.ends_with("\"maxPayload\":1000000}"), "{open}");
        assert_eq!(rest, encoded);
    }
}
