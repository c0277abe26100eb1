//! The requests of the polling transport.

use crate::scripted_server::{OPEN, ScriptedServer};
use crate::support::{Client, POLLING};

#[tokio::test]
async fn requests_are_those_of_the_javascript_client_on_two_connections() {
    let scripted = ScriptedServer::start().await;
    let client = Client::start(&scripted.connector().transports(POLLING));
    let (mut get, first) = scripted.request().await;
    let stamp = first.parameter("t").expect("a timestamp").to_owned();
    assert_eq!(first.target, format!("/engine.io/?EIO=4&transport=polling&t={stamp}"));
    assert_eq!(first.header("host"), Some(&*scripted.address.to_string()));
    assert_eq!(first.header("accept"), Some("*/*"));
    assert_eq!(first.header("content-length"), None);
    get.respond(OPEN).await;

    let second = get.request().await;
    let other = second.parameter("t").expect("a timestamp");
    assert_ne!(other, stamp);
    assert_eq!(second.target, format!("/engine.io/?EIO=4&transport=polling&t={other}&sid=abc"));

    client.session.send_text("hé");
    client.session.send_binary(&[1, 2, 3, 4]);
    let (mut post, request) = scripted.request().await;
    assert_eq!(request.method, "POST");
    assert_eq!(request.parameter("sid"), Some("abc"));
    assert_eq!(request.header("content-type"), Some("text/plain;charset=UTF-8"));
    assert!(request.body == "4hé" || request.body == "4hé\x1ebAQIDBA==", "{}", request.body);
    post.respond("ok").await;
    for number in 0..3 {
        get.respond("6").await;
        get.request().await;
        client.session.send_text(&number.to_string());
        let body = post.request().await.body;
        assert!(body.ends_with(&format!("4{number}")) || number == 0, "{body}");
        post.respond("ok").await;
    }
}

#[tokio::test]
async fn one_post_at_a_time_takes_everything_that_waits() {
    let scripted = ScriptedServer::start().await;
    let client = Client::start(&scripted.connector().transports(POLLING));
    let _get = scripted.open(OPEN).await;
    client.session.send_text("first");
    let (mut post, request) = scripted.request().await;
    assert_eq!(request.body, "4first");
    assert!(!client.session.is_writable());
    client.session.send_text("a");
    client.session.send_binary(&[1]);
    client.session.send_text("b");
    post.respond("ok").await;
    assert_eq!(post.request().await.body, "4a\x1ebAQ==\x1e4b");
}

#[tokio::test]
async fn a_post_is_no_longer_than_the_server_allows_unless_one_message_is() {
    let scripted = ScriptedServer::start().await;
    let client = Client::start(&scripted.connector().transports(POLLING));
    for text in ["0123456789", "0123456", "a", "0123456789012345678901234567890", "b", "c"] {
        client.session.send_text(text);
    }
    let limited = OPEN.replace('}', r#","maxPayload":20}"#);
    let _get = scripted.open(&limited).await;
    let mut post = None;
    for body in ["40123456789\x1e40123456", "4a", "40123456789012345678901234567890", "4b\x1e4c"] {
        let request = match &mut post {
            None => {
                let (peer, request) = scripted.request().await;
                post = Some(peer);
                request
            }
            Some(peer) => peer.request().await,
        };
        assert_eq!(request.body, body);
        post.as_mut().expect("it is connected").respond("ok").await;
    }
}

#[tokio::test]
async fn a_session_id_may_be_any_text() {
    let scripted = ScriptedServer::start().await;
    let mut client = Client::start(&scripted.connector().transports(POLLING));
    let mut get = scripted.open(&OPEN.replace("abc", "a/+ &=é%#")).await;
    client.opened().await;
    assert_eq!(client.session.id(), Some("a/+ &=é%#"));
    assert_eq!(get.request().await.parameter("sid"), Some("a%2F%2B+%26%3D%C3%A9%25%23"));
}

#[tokio::test]
async fn a_connection_that_the_server_closes_between_two_requests_is_replaced() {
    let scripted = ScriptedServer::start().await;
    let mut client = Client::start(&scripted.connector().transports(POLLING));
    let mut get = scripted.open(OPEN).await;
    client.opened().await;
    for number in 0..5 {
        get.request().await;
        let text = number.to_string();
        client.session.send_text(&text);
        let (mut post, request) = scripted.request().await;
        assert_eq!(request.body, format!("4{text}"));
        // Once with notice, once without.
        let headers = if number % 2 == 0 { "Connection: close\r\n" } else { "" };
        post.respond_with("200 OK", headers, "ok").await;
        drop(post);
        get.respond_with("200 OK", headers, &format!("4{text}")).await;
        assert_eq!(client.text().await, text);
        if number % 2 == 0 {
            drop(get);
            get = scripted.accept().await;
        }
    }
}

#[tokio::test]
async fn a_close_packet_in_a_response_ends_the_session_without_a_post() {
    let scripted = ScriptedServer::start().await;
    let mut client = Client::start(&scripted.connector().transports(POLLING));
    let mut get = scripted.open(OPEN).await;
    client.opened().await;
    get.request().await;
    get.respond("4last\x1e1").await;
    assert_eq!(client.text().await, "last");
    client.closed().await;
    get.closed().await;
    client.done().await;
}

#[tokio::test]
async fn a_handler_that_wants_nothing_stops_polling_and_gets_the_rest_later() {
    let scripted = ScriptedServer::start().await;
    let mut client = Client::start(&scripted.connector().transports(POLLING));
    let mut get = scripted.open(OPEN).await;
    client.opened().await;
    get.request().await;
    client.want_input(false);
    get.respond("4a\x1e4b").await;
    // The POST shows that the driver runs.
    client.session.send_text("hello");
    let (mut post, _) = scripted.request().await;
    post.respond("ok").await;
    assert!(client.try_next().is_none());
    client.want_input(true);
    assert_eq!(client.text().await, "a");
    assert_eq!(client.text().await, "b");
    assert_eq!(get.request().await.method, "GET");
}

#[tokio::test]
async fn a_connection_that_is_not_used_is_closed_before_nodes_server_would_do_it() {
    let scripted = ScriptedServer::start().await;
    let mut client = Client::start(&scripted.connector().transports(POLLING));
    let mut get = scripted.open(OPEN).await;
    client.opened().await;
    get.request().await;
    client.session.send_text("hello");
    let (mut post, _) = scripted.request().await;
    // The GET is not used either while the handler wants nothing.
    client.want_input(false);
    post.respond("ok").await;
    get.respond("4a").await;
    post.closed().await;
    client.want_input(true);
    assert_eq!(client.text().await, "a");
    client.session.send_text("again");
    let (_post, request) = scripted.request().await;
    assert_eq!(request.body, "4again");
}

#[tokio::test]
async fn a_handler_that_wants_nothing_yet_gets_an_open_session() {
    for transports in [&crate::support::WEBSOCKET[..], &POLLING] {
        let server = crate::support::EchoServer::start().await;
        let mut client = Client::start(&server.connector().transports(transports));
        client.want_input(false);
        client.opened().await;
        client.session.send_text("hello");
        client.want_input(true);
        assert_eq!(client.text().await, "hello");
    }
}
