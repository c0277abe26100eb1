//! A client that reconnects by itself, against real servers.

use std::future::ready;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::{Response, StatusCode};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tidewire_ws::{
    ConnectError, ConnectionFailure, Connector, DialError, ReconnectEvent, ReconnectingWebSocket,
    Reconnection, SendError, WebSocket,
};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::support::{echo, soon};

/// A server that can be stopped like a process, with all its connections.
struct Server {
    runtime: Option<Runtime>,
    address: SocketAddr,
}

impl Server {
    /// Starts on this address, which may have been in use before.
    fn start(address: &str) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let listener = std::net::TcpListener::bind(address).expect("an address");
        listener.set_nonblocking(true).expect("a listener");
        let address = listener.local_addr().expect("an address");
        let _guard = runtime.enter();
        let listener = TcpListener::from_std(listener).expect("a listener");
        runtime.spawn(tidewire_ws::serve(listener, echo));
        Self { runtime: Some(runtime), address }
    }

    fn url(&self) -> String {
        format!("ws://{}/", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn soon_again() -> Reconnection {
    Reconnection::new().delay(Duration::from_millis(5)).delay_max(Duration::from_millis(50))
}

async fn until(socket: &mut ReconnectingWebSocket, what: impl Fn(&ReconnectEvent) -> bool) -> ReconnectEvent {
    loop {
        let event = soon(socket.next_event()).await.expect("another event");
        if what(&event) {
            return event;
        }
    }
}

#[tokio::test]
async fn the_client_reconnects_after_a_restart_of_the_server() {
    let mut server = Server::start("127.0.0.1:0");
    let (url, address) = (server.url(), server.address.to_string());
    let reconnection = soon_again().on_connect(async |mut socket: WebSocket| {
        socket.send("subscribe").await?;
        Ok::<_, SendError>(socket)
    });
    let mut socket = Connector::new(url).reconnect_with(reconnection);
    for round in 0..3 {
        assert_eq!(soon(socket.recv()).await, Some("subscribe".into()), "of the server that echoes");
        soon(socket.send(format!("hello {round}"))).await.unwrap();
        assert_eq!(soon(socket.recv()).await, Some(format!("hello {round}").into()));
        drop(server);
        until(&mut socket, |event| matches!(event, ReconnectEvent::Disconnected { .. })).await;
        until(&mut socket, |event| matches!(event, ReconnectEvent::ConnectFailed { error } if matches!(**error, ConnectError::Dial(DialError::Connect { .. })))).await;
        server = Server::start(&address);
    }
}

#[tokio::test]
async fn a_401_is_final() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            let service = service_fn(|_| {
                let response = Response::builder().status(StatusCode::UNAUTHORIZED);
                ready(response.body(String::from("who are you?")))
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        }
    });
    let mut socket = Connector::new(url).reconnect_with(soon_again());
    assert_eq!(soon(socket.recv()).await, None);
    let lost = socket.final_failure().expect("a reason");
    assert_eq!(lost.to_string(), "the server responded with 401 Unauthorized: \"who are you?\"");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_server_that_accepts_and_disconnects_uses_up_the_attempts() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    tokio::spawn(tidewire_ws::serve(listener, async |_: WebSocket| {}));
    let begin = Instant::now();
    let reconnection = soon_again().delay(Duration::from_millis(50)).randomization_factor(0.0);
    let mut socket = Connector::new(url).reconnect_with(reconnection.attempts(4));
    let mut connections = 0;
    let lost = loop {
        match soon(socket.next_event()).await.expect("an end") {
            ReconnectEvent::Connected { .. } => connections += 1,
            ReconnectEvent::ReconnectFailed { failure } => break failure,
            _ => {}
        }
    };
    assert!(matches!(&lost, ConnectionFailure::Disconnected(closed) if closed.is_clean()), "{lost}");
    assert_eq!(connections, 5);
    assert!(begin.elapsed() >= Duration::from_millis(200), "there are four delays of 50 ms");
}

#[tokio::test]
async fn an_unknown_host_name_is_a_transient_error() {
    let mut socket = Connector::new("ws://nowhere.invalid/").reconnect_with(soon_again().attempts(2));
    for attempt in 0..3 {
        let failed = until(&mut socket, |event| matches!(event, ReconnectEvent::ConnectFailed { .. })).await;
        let ReconnectEvent::ConnectFailed { error } = failed else { unreachable!() };
        assert!(
            matches!(&*error, ConnectError::Dial(DialError::Resolve { host, .. }) if host == "nowhere.invalid"),
            "{attempt}: {error:?}"
        );
    }
    until(&mut socket, |event| matches!(event, ReconnectEvent::ReconnectFailed { .. })).await;
}
