//! What a hostile server may cost: both sides of each limit.

use std::future::poll_fn;

use tidewire_engineio_client::{CloseReason, Connector, Limits, MemoryBudget};

use crate::scripted_server::{OPEN, ScriptedServer};
use crate::support::{Client, EchoServer, POLLING, WEBSOCKET, soon, until};

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

fn short_responses(scripted: &ScriptedServer) -> Connector {
    scripted.connector().transports(POLLING).limits(limits(|limits| limits.max_response_size = 1_000))
}

#[tokio::test]
async fn a_response_may_be_as_long_as_the_limit_and_no_longer() {
    for (length, is_chunked) in [(1_000, false), (1_001, false), (1_000, true), (1_001, true)] {
        let scripted = ScriptedServer::start().await;
        let mut client = Client::start(&short_responses(&scripted));
        let mut get = scripted.open(OPEN).await;
        client.opened().await;
        get.request().await;
        let body = format!("4{}", "x".repeat(length - 1));
        if is_chunked {
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            get.write(format!("{head}{length:x}\r\n{body}\r\n0\r\n\r\n").as_bytes()).await;
        } else {
            get.respond(&body).await;
        }
        if length == 1_000 {
            assert_eq!(client.text().await.len(), 999);
        } else {
            let (reason, error) = client.closed().await;
            assert_eq!(reason, CloseReason::TransportError);
            assert_eq!(error, "polling: the response is longer than 1000 bytes (`max_response_size`)");
        }
    }
}

#[tokio::test]
async fn a_response_that_does_not_end_is_cut_off() {
    let scripted = ScriptedServer::start().await;
    let mut client = Client::start(&short_responses(&scripted));
    let mut get = scripted.open(OPEN).await;
    client.opened().await;
    get.request().await;
    get.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    while get
        .try_write(&b"40\r\n0123456789012345678901234567890123456789012345678901234567890123\r\n".repeat(100))
        .await
    {}
    assert_eq!(client.closed().await.0, CloseReason::TransportError);
}

#[tokio::test]
async fn an_announced_length_alone_is_refused() {
    let scripted = ScriptedServer::start().await;
    let mut client = Client::start(&short_responses(&scripted));
    let (mut get, _) = scripted.request().await;
    get.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n").await;
    assert_eq!(
        client.closed().await.1,
        "polling: the response is longer than 1000 bytes (`max_response_size`)"
    );
    get.closed().await;
}

#[tokio::test]
async fn invalid_utf8_cannot_make_a_response_longer_than_the_limit() {
    let scripted = ScriptedServer::start().await;
    let mut client = Client::start(&short_responses(&scripted));
    let mut get = scripted.open(OPEN).await;
    client.opened().await;
    get.request().await;
    get.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n4").await;
    get.write(&[0xff; 999]).await;
    assert_eq!(client.closed().await.0, CloseReason::TransportError);
}

#[tokio::test]
async fn heads_that_do_not_end_are_cut_off() {
    for piece in ["x-more: and more\r\n", "HTTP/1.1 100 Continue\r\n\r\n"] {
        let scripted = ScriptedServer::start().await;
        let mut client = Client::start(&scripted.connector().transports(POLLING));
        let (mut get, _) = scripted.request().await;
        let start = if piece.starts_with('x') { "HTTP/1.1 200 OK\r\n" } else { "" };
        get.write(start.as_bytes()).await;
        while get.try_write(piece.repeat(100).as_bytes()).await {}
        let (reason, error) = client.closed().await;
        assert_eq!(reason, CloseReason::TransportError);
        assert!(error.starts_with("polling: no response: "), "{error}");
    }
}

#[tokio::test]
async fn a_message_may_be_as_long_as_the_limit_and_no_longer() {
    for length in [100, 101] {
        let scripted = ScriptedServer::start().await;
        let connector = scripted.connector().transports(WEBSOCKET);
        let mut client = Client::start(&connector.limits(limits(|limits| limits.max_message_size = 100)));
        let (mut websocket, _) = scripted.websocket().await;
        websocket.send(OPEN).await;
        client.opened().await;
        websocket.send(&format!("4{}", "x".repeat(length - 1))).await;
        if length == 100 {
            assert_eq!(client.text().await.len(), 99);
        } else {
            let (reason, error) = client.closed().await;
            assert_eq!(reason, CloseReason::TransportError);
            assert!(error.starts_with("websocket: "), "{error}");
        }
    }
}

#[tokio::test]
async fn a_session_id_may_be_as_long_as_the_limit_and_no_longer() {
    for length in [1_024, 1_025] {
        let scripted = ScriptedServer::start().await;
        let mut client = Client::start(&scripted.connector().transports(POLLING));
        let id = "x".repeat(length);
        let mut get = scripted.open(&OPEN.replace("abc", &id)).await;
        if length == 1_024 {
            client.opened().await;
            assert_eq!(get.request().await.parameter("sid"), Some(&*id));
        } else {
            assert!(client.closed().await.1.starts_with("`sid` in the open packet is"));
        }
    }
}

#[tokio::test]
async fn a_server_that_does_not_read_ends_the_session_at_the_limit() {
    let scripted = ScriptedServer::start().await;
    let connector = scripted.connector().transports(POLLING);
    let mut client = Client::start(&connector.limits(limits(|limits| limits.max_write_buffer_size = 1_000)));
    let _get = scripted.open(OPEN).await;
    client.opened().await;
    client.session.send_text("in a POST without an answer");
    let (_post, _) = scripted.request().await;
    for _ in 0..100 {
        client.session.send_text("0123456789");
    }
    let (reason, error) = client.closed().await;
    assert_eq!(reason, CloseReason::TransportError);
    assert_eq!(error, "the server reads too slowly: `max_write_buffer_size` is reached");
}

#[tokio::test]
async fn a_program_that_waits_for_capacity_can_send_more_than_the_limit() {
    let server = EchoServer::start().await;
    for transports in [&WEBSOCKET[..], &POLLING] {
        let connector = server.connector().transports(transports);
        let limits = limits(|limits| limits.max_write_buffer_size = 10_000);
        let mut client = Client::open(&connector.limits(limits)).await;
        for number in 0..1_000 {
            let text = format!("{number:0100}");
            soon(poll_fn(|cx| client.session.poll_capacity(text.len(), cx))).await.expect("open");
            assert!(client.session.buffered() <= 10_000);
            client.session.send_text(&text);
        }
        for number in 0..1_000 {
            assert_eq!(client.text().await, format!("{number:0100}"));
        }
        until(|| client.session.buffered() == 0).await;
    }
}

/// What has arrived of a response, or of a message, counts; the other sessions of the process go on.
#[tokio::test]
async fn the_session_that_holds_the_most_ends_when_the_memory_budget_is_exceeded() {
    for is_polling in [true, false] {
        let budget = MemoryBudget::new(1_000_000);
        let scripted = ScriptedServer::start().await;
        let server = EchoServer::start().await;
        let mut other = Client::open(&server.connector().transports(WEBSOCKET).memory_budget(&budget)).await;
        let transports = if is_polling { POLLING } else { WEBSOCKET };
        let mut client = Client::start(&scripted.connector().transports(transports).memory_budget(&budget));
        let half = vec![b'x'; 450_000];
        if is_polling {
            let mut get = scripted.open(OPEN).await;
            client.opened().await;
            get.request().await;
            get.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n4").await;
            get.write(&half).await;
            until(|| budget.used() > 440_000).await;
            while get.try_write(&half).await {}
        } else {
            let (mut websocket, _) = scripted.websocket().await;
            websocket.send(OPEN).await;
            client.opened().await;
            // A text message of 2,000,000 bytes.
            websocket.peer.write(&[0x81, 127, 0, 0, 0, 0, 0, 0x1e, 0x84, 0x80, b'4']).await;
            websocket.peer.write(&half).await;
            until(|| budget.used() > 440_000).await;
            while websocket.peer.try_write(&half).await {}
        }
        let (reason, error) = client.closed().await;
        assert_eq!(reason, CloseReason::TransportError);
        let expected = "closed to free memory: the budget of 1000000 bytes is exceeded (`memory_budget`)";
        assert_eq!(error, expected);
        until(|| budget.used() == 0).await;
        other.session.send_text("still here");
        assert_eq!(other.text().await, "still here");
    }
}

/// The official client does not look at the content type either.
#[tokio::test]
async fn the_content_type_of_a_response_has_no_meaning() {
    for (content_type, body, error) in [
        ("application/octet-stream", OPEN, None),
        ("text/html", OPEN, None),
        ("text/html", "<!doctype html>", Some("the server sent an invalid packet: unknown packet type")),
        ("application/json", "{}", Some("the server sent an invalid packet: unknown packet type")),
    ] {
        let scripted = ScriptedServer::start().await;
        let mut client = Client::start(&scripted.connector().transports(POLLING));
        let (mut get, _) = scripted.request().await;
        get.respond_with("200 OK", &format!("Content-Type: {content_type}\r\n"), body).await;
        match error {
            None => drop(client.opened().await),
            Some(error) => assert_eq!(client.closed().await.1, error),
        }
    }
}
