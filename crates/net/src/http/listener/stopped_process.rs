//! Tests connections of a process that was stopped: a client gets its time again, because what it has sent in time is not
//! read yet. The test polls the connections itself.

use std::convert::Infallible;
use std::future::poll_fn;
use std::task::{Context, Poll};

use http::{Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower::service_fn;

use super::*;
use crate::http::workers::AcceptedSocket;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

type Connection = Pin<Box<dyn Future<Output = ()>>>;

/// Returns a client and the connection that the listener would serve.
async fn connect(proxies: Option<TrustedProxies>, tls: Option<Tls>) -> (TcpStream, Connection) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, peer) = listener.accept().await.unwrap();
    let limiter = ConnectionLimiter::new(&AddressLimits::default(), TrustedProxies::default());
    let limiter = Arc::new(limiter);
    let proxy_protocol = proxies.map(|proxies| (ProxyProtocol::new(proxies), limiter));
    let service = WithPeer {
        service: service_fn(async |_: Request<Incoming>| {
            Ok::<_, Infallible>(Response::new(String::from("hello")))
        }),
        peer: Some(PeerAddress(peer)),
        has_proxy_header: proxy_protocol.is_some(),
        is_tls: tls.is_some(),
        sessions: ConnectionSessions::default(),
    };
    let accepted =
        Accepted { socket: AcceptedSocket::Registered(stream), peer, permit: None, proxy_protocol, tls };
    let connection = async move {
        let (_stopping, stopping) = watch::channel(false);
        let shutdown = Shutdown { stopping, _token: TaskTracker::new().token() };
        serve_connection(accepted, service, HttpLimits::default(), shutdown, None).await;
    };
    (client, Box::pin(connection))
}

/// Stops the process for longer than every timeout. The timers fire before anything is read.
async fn stop_process(connection: &mut Connection) {
    assert!(is_pending(connection).await);
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(is_pending(connection).await, "the client gets its time again");
}

async fn is_pending(connection: &mut Connection) -> bool {
    poll_fn(|cx| Poll::Ready(connection.as_mut().poll(cx).is_pending())).await
}

/// Drives the connection and the client, and never waits: the paused clock would go on.
async fn serve<T>(connection: &mut Connection, client: impl Future<Output = T>) -> T {
    let mut client = pin!(client);
    poll_fn(|cx: &mut Context<'_>| {
        cx.waker().wake_by_ref();
        let _is_served = connection.as_mut().poll(cx);
        client.as_mut().poll(cx)
    })
    .await
}

/// Sends the rest of what the client sends, and reads the response.
async fn response(mut client: impl AsyncReadExt + AsyncWriteExt + Unpin, rest: &[u8]) -> String {
    client.write_all(rest).await.unwrap();
    let mut response = vec![0; 12];
    client.read_exact(&mut response).await.unwrap();
    String::from_utf8(response).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_request_head_that_has_not_been_read_yet_is_answered() {
    let (mut client, mut connection) = connect(None, None).await;
    let (begin, rest) = REQUEST.split_at(20);
    client.write_all(begin).await.unwrap();
    stop_process(&mut connection).await;
    assert_eq!(serve(&mut connection, response(client, rest)).await, "HTTP/1.1 200");
}

#[tokio::test(start_paused = true)]
async fn a_proxy_header_that_has_not_been_read_yet_is_accepted() {
    let proxies = TrustedProxies::new(["127.0.0.1"]).unwrap();
    let (mut client, mut connection) = connect(Some(proxies), None).await;
    client.write_all(b"PROXY TCP4 203.0.113.1 ").await.unwrap();
    stop_process(&mut connection).await;
    let rest = [b"192.0.2.1 1024 80\r\n", REQUEST].concat();
    assert_eq!(serve(&mut connection, response(client, &rest)).await, "HTTP/1.1 200");
}

#[cfg(feature = "client-tls")]
#[tokio::test(start_paused = true)]
async fn a_tls_handshake_that_has_not_been_read_yet_is_accepted() {
    let authority = crate::tls::tests::Authority::new();
    let (client, mut connection) = connect(None, Some(authority.server(&["localhost"]))).await;
    stop_process(&mut connection).await;
    let request = async {
        let client = authority.client().connect(Stream::Tcp(client), "localhost").await.unwrap();
        response(client, REQUEST).await
    };
    assert_eq!(serve(&mut connection, request).await, "HTTP/1.1 200");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_nothing_gets_its_time_again_only_once() {
    let proxies = TrustedProxies::new(["127.0.0.1"]).unwrap();
    for proxies in [None, Some(proxies)] {
        let (_client, mut connection) = connect(proxies, None).await;
        stop_process(&mut connection).await;
        tokio::time::advance(Duration::from_secs(60)).await;
        // The close of the stream may take one more poll.
        tokio::time::timeout(Duration::from_secs(5), connection).await.expect("it has ended");
    }
}
