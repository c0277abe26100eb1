//! Connects over the loopback to servers and proxies that send a few literal bytes.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;

/// Fails the test instead of letting it hang.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), what).await.expect("in time")
}

fn target(host: &str, port: u16) -> Target<'_> {
    Target { host, port, secure: false }
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a head"));
    }
    String::from_utf8(head).expect("a head is text")
}

/// Accepts one connection, sends `response` after the request head, and then echoes all bytes. The task returns the
/// head.
async fn proxy(response: &'static str) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let head = read_head(&mut stream).await;
        stream.write_all(response.as_bytes()).await.expect("written");
        let (mut from, mut to) = stream.split();
        let _ = tokio::io::copy(&mut from, &mut to).await;
        head
    });
    (address, served)
}

async fn dial_through(proxy: &str, target: Target<'_>) -> Result<Stream, DialError> {
    let mut dialer = Dialer::new();
    dialer.proxy(Proxy::new(proxy).expect("a URL"));
    soon(dialer.dial(target)).await
}

#[tokio::test]
async fn a_direct_connection_has_nagle_disabled() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let stream = soon(Dialer::new().dial(target("127.0.0.1", port))).await.unwrap();
    let Stream::Tcp(stream) = stream else { panic!("{stream:?}") };
    assert!(stream.nodelay().unwrap());
}

#[tokio::test]
async fn an_error_names_the_host_or_address_that_failed() {
    // It does not listen, and as long as it exists nobody else gets its port.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let port = socket.local_addr().unwrap().port();
    let refused = soon(Dialer::new().dial(target("127.0.0.1", port))).await.unwrap_err();
    let DialError::Connect { address, error } = &refused else { panic!("{refused:?}") };
    assert_eq!((address.port(), error.kind()), (port, io::ErrorKind::ConnectionRefused));
    assert!(refused.to_string().contains(&format!("127.0.0.1:{port}")), "{refused}");

    // A label has at most 63 characters, so the resolver fails without a query.
    let nowhere = format!("{}.example", "x".repeat(64));
    let unknown = soon(Dialer::new().dial(target(&nowhere, 80))).await.unwrap_err();
    assert!(matches!(&unknown, DialError::Resolve { host, .. } if *host == nowhere), "{unknown:?}");
}

#[tokio::test]
async fn a_proxy_gets_a_connect_request_and_then_forwards() {
    for (credentials, expected) in
        [("", ""), ("Aladdin:open%20sesame@", "proxy-authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n")]
    {
        for (host, authority) in [("example.com", "example.com:80"), ("2001:db8::7", "[2001:db8::7]:80")] {
            let (address, served) = proxy("HTTP/1.1 200 Connection established\r\n\r\n").await;
            let mut stream =
                dial_through(&format!("http://{credentials}{address}"), target(host, 80)).await.unwrap();
            stream.write_all(b"hello").await.unwrap();
            let mut echo = [0; 5];
            soon(stream.read_exact(&mut echo)).await.unwrap();
            assert_eq!(&echo, b"hello");
            drop(stream);
            let head = soon(served).await.unwrap();
            assert_eq!(head, format!("CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n{expected}\r\n"));
        }
    }
}

#[tokio::test]
async fn the_error_of_a_proxy_names_the_proxy_and_the_reason() {
    type Is = fn(&ProxyError) -> bool;
    let cases: [(&str, Is); 5] = [
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
            |error| matches!(error, ProxyError::Rejected(status) if *status == 407),
        ),
        (
            "HTTP/1.1 502 Bad Gateway\r\n\r\n<html>",
            |error| matches!(error, ProxyError::Rejected(status) if *status == 502),
        ),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", |error| matches!(error, ProxyError::Rejected(_))),
        ("SSH-2.0-OpenSSH_9.2\r\n", |error| matches!(error, ProxyError::Http(_))),
        ("HTTP/1.1 200 OK\r\n\r\nwho is there?", |error| matches!(error, ProxyError::UnexpectedBytes)),
    ];
    for (response, is_it) in cases {
        let (address, served) = proxy(response).await;
        let error = dial_through(&format!("http://{address}"), target("example.com", 80)).await.unwrap_err();
        let DialError::Proxy { proxy, error: reason } = &error else { panic!("{response:?}: {error:?}") };
        assert!(is_it(reason), "{response:?}: {reason:?}");
        assert_eq!(*proxy, address.to_string());
        drop(served);
    }
    let nobody = dial_through("http://127.0.0.1:1", target("example.com", 80)).await.unwrap_err();
    let DialError::Proxy { error: ProxyError::Unreachable(cause), .. } = &nobody else {
        panic!("{nobody:?}")
    };
    assert!(matches!(**cause, DialError::Connect { .. }), "{cause:?}");
}

#[tokio::test]
async fn a_function_of_the_program_replaces_tcp_and_the_proxy() {
    let (client, mut server) = tokio::io::duplex(64);
    let only = std::sync::Mutex::new(Some(client));
    let mut dialer = Dialer::new();
    dialer.proxy(Proxy::new("http://127.0.0.1:1").expect("a URL"));
    dialer.dial_with(move || {
        let stream = only.lock().expect("no panic").take();
        async move { stream.ok_or_else(|| io::Error::other("no more streams")) }
    });
    let mut stream = soon(dialer.dial(target("example.com", 80))).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    let mut received = [0; 5];
    soon(server.read_exact(&mut received)).await.unwrap();
    assert_eq!(&received, b"hello");

    let failed = soon(dialer.dial(target("example.com", 80))).await.unwrap_err();
    assert_eq!(failed.to_string(), "cannot open a stream to the server: no more streams");
}

#[cfg(not(feature = "client-tls"))]
#[tokio::test]
async fn without_the_tls_feature_a_secure_target_is_an_error_and_nothing_is_sent_in_plaintext() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let secure = Target { secure: true, ..target("127.0.0.1", port) };
    let refused = soon(Dialer::new().dial(secure)).await.unwrap_err();
    assert!(matches!(refused, DialError::Tls(TlsError::Unsupported)), "{refused:?}");
}
