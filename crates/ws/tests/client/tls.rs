//! `wss`: our client against our server, and everything that can go wrong.

use std::convert::Infallible;
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use net::{HttpLimits, Listener, ServerTls};
use tidewire_ws::{
    CloseCause, CloseCode, CloseFrame, ConnectError, ConnectionFailure, Connector, DialError, Message, Proxy,
    ReconnectEvent, Reconnection, TlsError,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::service_fn;

use crate::support::certificate_authority::Authority;
use crate::support::{echo, soon};

/// Starts an echo server with this certificate and key, and returns its port.
async fn serve((chain, key): (String, String)) -> u16 {
    let tls = ServerTls::from_pem(chain.as_bytes(), key.as_bytes()).expect("a configuration");
    let listener = Listener::bind("127.0.0.1:0", HttpLimits::default()).await.expect("a free port").tls(tls);
    let port = listener.local_addr().expect("an address").port();
    let service = service_fn(|mut request: http::Request<hyper::body::Incoming>| async move {
        Ok::<_, Infallible>(match tidewire_ws::upgrade(&mut request) {
            Ok(upgrade) => upgrade.on_upgrade(echo),
            Err(error) => error.response(),
        })
    });
    tokio::spawn(listener.serve(service, pending()));
    port
}

#[tokio::test]
async fn messages_of_every_length_pass_and_the_connection_closes_cleanly() {
    let authority = Authority::new();
    let port = serve(authority.issue("localhost")).await;
    let connect = Connector::new(format!("wss://localhost:{port}/")).tls(authority.client());
    let mut socket = soon(connect.connect()).await.unwrap();
    for length in [0, 1, 125, 126, 4_097, 16_384, 16_385, 65_536, 5 * 1024 * 1024] {
        let message = Message::from(vec![b'x'; length]);
        socket.send(message.clone()).await.unwrap();
        assert!(soon(socket.recv()).await == Some(message), "{length} bytes");
    }
    for n in 0..1_000 {
        socket.send(format!("message {n}")).await.unwrap();
    }
    for n in 0..1_000 {
        assert_eq!(soon(socket.recv()).await, Some(Message::from(format!("message {n}"))));
    }
    let closed = soon(socket.close(CloseFrame::from(CloseCode::NORMAL))).await;
    assert_eq!(closed, CloseCause::ClosingHandshake(Some(CloseCode::NORMAL.into())));
}

#[tokio::test]
async fn an_invalid_certificate_is_described() {
    let authority = Authority::new();
    for (certificate, words) in [
        (
            authority.issue("other.example"),
            "the certificate of the server was rejected: it is not for localhost, but for other.example \
             (NotValidForName)",
        ),
        (
            authority.issue_until("localhost", 2020),
            "the certificate of the server was rejected: by the clock of this machine it expired ",
        ),
        (Authority::new().issue("localhost"), "the certificate of the server was rejected: "),
    ] {
        let port = serve(certificate).await;
        let connect = Connector::new(format!("wss://localhost:{port}/")).tls(authority.client());
        let error = soon(connect.connect()).await.unwrap_err();
        assert!(
            matches!(error, ConnectError::Dial(DialError::Tls(TlsError::Certificate { .. }))),
            "{error:?}"
        );
        assert!(error.to_string().starts_with(words), "{error}");
    }
    // The operating system does not trust the authority of a test.
    let port = serve(authority.issue("localhost")).await;
    let error = soon(tidewire_ws::connect(format!("wss://localhost:{port}/"))).await.unwrap_err();
    assert!(matches!(error, ConnectError::Dial(DialError::Tls(TlsError::Certificate { .. }))), "{error:?}");
}

#[tokio::test]
async fn a_reconnecting_client_retries_after_a_wrong_certificate_unless_the_program_forbids_it() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    // A gateway presents its own certificate at first, then one for another name.
    let ports = [
        serve(stranger.issue("localhost")).await,
        serve(authority.issue("other.example")).await,
        serve(authority.issue("localhost")).await,
    ];
    let attempts = AtomicUsize::new(0);
    let reconnection = Reconnection::new().delay(Duration::from_millis(1)).before_connect(move |connect| {
        let port = ports[attempts.fetch_add(1, Ordering::SeqCst) % ports.len()];
        async move { Ok::<_, Infallible>(connect.url(format!("wss://localhost:{port}/"))) }
    });
    let connect = Connector::new("wss://localhost/").tls(authority.client());
    let mut socket = connect.clone().reconnect_with(reconnection.clone());
    let mut failed = 0;
    loop {
        match soon(socket.next_event()).await {
            Some(ReconnectEvent::ConnectFailed { error }) => {
                assert!(
                    matches!(*error, ConnectError::Dial(DialError::Tls(TlsError::Certificate { .. }))),
                    "{error:?}"
                );
                failed += 1;
            }
            Some(ReconnectEvent::Connected { .. }) => break,
            Some(ReconnectEvent::Connecting { .. } | ReconnectEvent::Reconnecting { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(failed, 2);

    let reconnection = reconnection.should_reconnect(|lost| match lost {
        ConnectionFailure::ConnectFailed(error)
            if matches!(**error, ConnectError::Dial(DialError::Tls(TlsError::Certificate { .. }))) =>
        {
            false
        }
        lost => lost.is_transient(),
    });
    let mut socket = connect.reconnect_with(reconnection);
    assert_eq!(soon(socket.recv()).await, None);
    assert!(socket.final_failure().is_some(), "{socket:?}");
}

#[tokio::test]
async fn the_wrong_scheme_is_reported_in_both_directions() {
    let authority = Authority::new();
    let port = serve(authority.issue("localhost")).await;
    let error = soon(tidewire_ws::connect(format!("ws://localhost:{port}/"))).await.unwrap_err();
    assert_eq!(error.status().map(|status| status.as_u16()), Some(400));
    assert_eq!(
        error.to_string(),
        "the server responded with 400 Bad Request: \"This port speaks TLS: use https or wss in the address.\""
    );

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(tidewire_ws::serve(listener, echo));
    let connect = Connector::new(format!("wss://localhost:{port}/")).tls(authority.client());
    let error = soon(connect.connect()).await.unwrap_err();
    assert_eq!(error.to_string(), "the server does not speak TLS on this port");
}

#[tokio::test]
async fn tls_runs_inside_the_tunnel_of_a_proxy() {
    let authority = Authority::new();
    let port = serve(authority.issue("localhost")).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::new(&format!("http://user:secret@{}", listener.local_addr().unwrap())).unwrap();
    let tunnel = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await.unwrap());
        }
        let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        tokio::io::copy_bidirectional(&mut client, &mut server).await.unwrap();
        String::from_utf8(head).unwrap()
    });
    let connect = Connector::new(format!("wss://localhost:{port}/")).tls(authority.client()).proxy(proxy);
    let mut socket = soon(connect.connect()).await.unwrap();
    socket.send("hello").await.unwrap();
    assert_eq!(soon(socket.recv()).await, Some(Message::from("hello")));
    soon(socket.close(None)).await;
    let head = soon(tunnel).await.unwrap();
    assert!(head.starts_with(&format!("CONNECT localhost:{port} HTTP/1.1\r\n")), "{head}");
    assert!(head.contains("proxy-authorization: Basic dXNlcjpzZWNyZXQ=\r\n"), "{head}");
}
