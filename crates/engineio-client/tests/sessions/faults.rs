//! Servers and proxies that break the rules. Each session ends with a reason and an error that names the cause.

use tidewire_engineio_client::{CloseError, CloseReason, Connector};
use tokio::net::TcpSocket;

use crate::scripted_server::{OPEN, ScriptedServer};
use crate::support::{Client, LIMIT, POLLING, Seen, WEBSOCKET};

/// Returns how a session ends whose first request gets this response, on a connection that is then closed.
async fn first_response(connector: fn(Connector) -> Connector, response: &[u8]) -> (CloseReason, String) {
    let scripted = ScriptedServer::start().await;
    let mut client = Client::start(&connector(scripted.connector()));
    let (mut peer, _) = scripted.request().await;
    peer.try_write(response).await;
    drop(peer);
    let end = client.closed().await;
    client.done().await;
    end
}

fn polling(connector: Connector) -> Connector {
    connector.transports(POLLING)
}

fn websocket(connector: Connector) -> Connector {
    connector.transports(WEBSOCKET)
}

#[tokio::test]
async fn a_server_that_nobody_runs_is_a_dial_error() {
    // It does not listen, and as long as it exists nobody else gets its port.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let address = socket.local_addr().expect("bound");
    for transports in [&WEBSOCKET[..], &POLLING] {
        let connector = Connector::new(&format!("http://{address}")).transports(transports);
        let mut client = Client::start(&connector);
        let Seen::Closed(closed) = client.next().await else { panic!("it cannot open") };
        assert_eq!(closed.reason, CloseReason::TransportError);
        let name = transports[0].name();
        assert!(
            closed
                .to_string()
                .starts_with(&format!("transport error: {name}: cannot connect to {address}: "))
        );
        assert!(matches!(closed.error, Some(CloseError::Transport { .. })));
        client.done().await;
    }
}

#[tokio::test]
async fn a_first_response_that_opens_no_session_is_named() {
    for (response, error) in [
        ("", "polling: the server closed the connection"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0{", "polling: no response: "),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n", "polling: no response: "),
        (
            "HTTP/1.1 400 Bad Request\r\nContent-Length: 41\r\n\r\n{\"code\":1,\"message\":\"Session ID unknown\"}",
            "polling: the server responded with 400 Bad Request: {\"code\":1,\"message\":\"Session ID unknown\"}",
        ),
        (
            "HTTP/1.1 502 Bad Gateway\r\n\r\n<html>\r\nnginx",
            "polling: the server responded with 502 Bad Gateway: <html>  nginx",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://example.com/\r\nContent-Length: 0\r\n\r\n",
            "polling: the server responded with 302 Found",
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n", "polling: the server responded with 204 No Content"),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            "polling: the server responded with 101 Switching Protocols",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "the server sent an invalid packet: unknown packet type",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "the server sent an invalid packet: empty packet"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n6", "the response to the first GET has no open packet"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n0{}", "`sid` in the open packet is missing"),
    ] {
        let (reason, said) = first_response(polling, response.as_bytes()).await;
        assert_eq!(reason, CloseReason::TransportError, "{response}");
        assert!(said.starts_with(error), "{response}: {said}");
    }
}

#[tokio::test]
async fn a_handshake_that_opens_no_websocket_is_named() {
    for (response, error) in [
        ("", "websocket: no response to the handshake: the server closed the connection without a response"),
        ("hello\r\n\r\n", "websocket: no response to the handshake: the response is not HTTP/1.1"),
        (
            "HTTP/1.1 400 Bad Request\r\nContent-Length: 18\r\n\r\nSession ID unknown",
            "websocket: the server responded with 400 Bad Request: Session ID unknown",
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            "websocket: the response has no Sec-WebSocket-Accept header",
        ),
    ] {
        let (reason, said) = first_response(websocket, response.as_bytes()).await;
        assert_eq!(reason, CloseReason::TransportError, "{response}");
        assert!(said.starts_with(error), "{response}: {said}");
    }
}

#[tokio::test]
async fn bodies_may_be_chunked_or_end_with_the_connection() {
    let chunked = format!(
        "Transfer-Encoding: chunked\r\n\r\n3\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
        &OPEN[..3],
        OPEN.len() - 3,
        &OPEN[3..]
    );
    for (head, ends) in [(chunked, false), (format!("Connection: close\r\n\r\n{OPEN}"), true)] {
        let scripted = ScriptedServer::start().await;
        let mut client = Client::start(&polling(scripted.connector()));
        let (mut get, _) = scripted.request().await;
        get.write(format!("HTTP/1.1 200 OK\r\n{head}").as_bytes()).await;
        if ends {
            drop(get);
            client.opened().await;
            (get, _) = scripted.request().await;
        } else {
            client.opened().await;
            get.request().await;
        }
        get.respond("4hello").await;
        assert_eq!(client.text().await, "hello");
    }
}

#[tokio::test]
async fn a_server_that_forgets_the_session_ends_it() {
    let unknown = "{\"code\":1,\"message\":\"Session ID unknown\"}";
    for by_post in [true, false] {
        let scripted = ScriptedServer::start().await;
        let mut client = Client::start(&polling(scripted.connector()));
        let mut get = scripted.open(OPEN).await;
        client.opened().await;
        get.request().await;
        client.session.send_text("hello");
        let (mut post, _) = scripted.request().await;
        let failing = if by_post { &mut post } else { &mut get };
        failing.respond_with("400 Bad Request", "", unknown).await;
        let (reason, error) = client.closed().await;
        assert_eq!(reason, CloseReason::TransportError);
        assert_eq!(error, format!("polling: the server responded with 400 Bad Request: {unknown}"));
    }
}

#[tokio::test]
async fn the_packets_before_an_invalid_one_count() {
    let scripted = ScriptedServer::start().await;
    let mut client = Client::start(&polling(scripted.connector()));
    let mut get = scripted.open(OPEN).await;
    client.opened().await;
    get.request().await;
    get.respond("4first\x1ex\x1e4never").await;
    assert_eq!(client.text().await, "first");
    let Seen::Closed(closed) = client.next().await else { panic!("no packet follows") };
    assert_eq!(closed.to_string(), "transport error: the server sent an invalid packet: unknown packet type");
}

#[tokio::test]
async fn a_websocket_that_breaks_the_rules_is_a_transport_error_and_a_broken_one_a_transport_close() {
    let frames: [(&[u8], CloseReason, &str); 4] = [
        (b"\x83\x00", CloseReason::TransportError, "websocket: "),
        (b"\x81\x01x", CloseReason::TransportError, "the server sent an invalid packet: unknown packet type"),
        (b"", CloseReason::TransportClose, "websocket: the server closed the connection"),
        (b"\x81\x05half", CloseReason::TransportClose, "websocket: the server closed the connection"),
    ];
    for (frame, reason, error) in frames {
        let scripted = ScriptedServer::start().await;
        let mut client = Client::start(&websocket(scripted.connector()));
        let (mut websocket, _) = scripted.websocket().await;
        websocket.send(OPEN).await;
        client.opened().await;
        websocket.peer.write(frame).await;
        drop(websocket);
        let (got, said) = client.closed().await;
        assert_eq!(got, reason, "{frame:?}: {said}");
        assert!(said.starts_with(error), "{frame:?}: {said}");
    }
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_is_given_up() {
    for transports in [&WEBSOCKET[..], &POLLING] {
        let scripted = ScriptedServer::start().await;
        let connector = scripted.connector().transports(transports).timeout(LIMIT);
        let mut client = Client::start(&connector);
        let (mut peer, _) = scripted.request().await;
        tokio::time::pause();
        let (reason, error) = client.closed().await;
        tokio::time::resume();
        assert_eq!(reason, CloseReason::TransportError);
        assert_eq!(error, "the server did not send an open packet in time");
        peer.closed().await;
        client.done().await;
    }
}

#[tokio::test]
async fn a_request_that_takes_too_long_ends_the_session_if_the_program_says_so() {
    let scripted = ScriptedServer::start().await;
    let connector = polling(scripted.connector()).request_timeout(LIMIT);
    let mut client = Client::start(&connector);
    let mut get = scripted.open(OPEN).await;
    client.opened().await;
    get.request().await;
    tokio::time::pause();
    let (reason, error) = client.closed().await;
    assert_eq!(reason, CloseReason::TransportError);
    assert_eq!(error, "polling: the request took longer than 5s (`request_timeout`)");
}
