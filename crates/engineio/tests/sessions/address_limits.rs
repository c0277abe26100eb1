//! Limits on what one client address may open. The server trusts the test as a proxy, which claims addresses.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tidewire_engineio::{
    AddressLimits, AllowRequest, ClientAddress, CloseReason, ConnectionErrorHook, MemoryBudget, Options,
    TrustedProxies,
};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::support::{Request, Server, until, websocket_request};

fn options(limits: AddressLimits) -> Options {
    Options {
        trusted_proxies: TrustedProxies::new(["127.0.0.1"]).expect("an address"),
        address_limits: limits,
        ..Options::default()
    }
}

/// Asks for a polling session in the name of `address`.
async fn open(server: &Server, address: &str) -> Request {
    let head = format!(
        "GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\
        X-Forwarded-For: 10.0.0.1, {address}\r\n\r\n"
    );
    server.send(head.as_bytes()).await
}

async fn status(server: &Server, address: &str) -> u16 {
    open(server, address).await.response().await.status
}

#[tokio::test]
async fn sessions_of_one_address_are_limited_and_others_still_connect() {
    let mut server =
        Server::start(options(AddressLimits { max_sessions: 2, ..AddressLimits::default() })).await;
    assert_eq!(status(&server, "203.0.113.1").await, 200);
    let mut first = server.opened().await;
    assert_eq!(status(&server, "203.0.113.1").await, 200);
    let refused = open(&server, "203.0.113.1").await.response().await;
    refused.expect(429, "too many connections from this address\n");
    assert!(refused.head.contains("content-type: text/plain"), "{}", refused.head);
    let handshake = websocket_request("EIO=4&transport=websocket")
        .replace("Host: h", "Host: h\r\nX-Forwarded-For: 203.0.113.1");
    let head = server.send(handshake.as_bytes()).await.response_head().await;
    assert!(head.starts_with("http/1.1 429 "), "{head}");
    assert_eq!(status(&server, "203.0.113.2").await, 200);
    assert_eq!(server.engine.session_count(), 3);

    first.session.close();
    let sid = first.session.id().to_string();
    let poll = format!(
        "GET /engine.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(server.send(poll.as_bytes()).await.response().await.status, 200);
    first.expect_end(CloseReason::ForcedClose).await;
    assert_eq!(status(&server, "203.0.113.1").await, 200);
}

#[tokio::test]
async fn new_sessions_of_one_address_are_limited_and_are_told_when_to_come_back() {
    let limits = AddressLimits { new_sessions_per_second: 1, burst: 3, ..AddressLimits::default() };
    let reports = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&reports);
    let hook = ConnectionErrorHook::new(move |_, _| *counted.lock().unwrap() += 1);
    let server = Server::start(Options { on_connection_error: Some(hook), ..options(limits) }).await;
    let mut refused = None;
    // A slow machine may need more than three, because one more is allowed each second.
    while refused.is_none() {
        let response = open(&server, "203.0.113.1").await.response().await;
        refused = (response.status != 200).then_some(response);
    }
    let refused = refused.expect("the loop has ended");
    refused.expect(429, "too many new connections from this address\n");
    assert!(refused.head.contains("retry-after: 1\r\n"), "{}", refused.head);
    assert!(server.engine.session_count() >= 3);
    assert_eq!(status(&server, "203.0.113.2").await, 200);
    // The hook is for requests that are refused with a code of Node's.
    assert_eq!(*reports.lock().unwrap(), 0);
}

#[tokio::test]
async fn sessions_that_are_not_authenticated_are_limited_until_the_program_says_that_they_are() {
    let limits = AddressLimits { max_unauthenticated: 1, ..AddressLimits::default() };
    let mut server = Server::start(options(limits)).await;
    assert_eq!(status(&server, "203.0.113.1").await, 200);
    let first = server.opened().await;
    let refused = open(&server, "203.0.113.1").await.response().await;
    refused.expect(429, "too many connections from this address that are not authenticated\n");
    first.session.set_authenticated();
    assert_eq!(status(&server, "203.0.113.1").await, 200);
    assert_eq!(status(&server, "203.0.113.1").await, 429);
}

#[tokio::test]
async fn one_connection_opens_a_limited_number_of_sessions_that_are_not_authenticated() {
    let limits = AddressLimits {
        max_unauthenticated_per_connection: 2,
        include_private: true,
        ..AddressLimits::default()
    };
    let server = Server::start(Options { address_limits: limits, ..Options::default() }).await;
    let open = "GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut stream = TcpStream::connect(server.address).await.expect("it listens");
    for _ in 0..3 {
        stream.write_all(open.as_bytes()).await.expect("sent");
    }
    stream.shutdown().await.expect("sent");
    let responses = Request(Box::new(stream)).response().await;
    assert_eq!(responses.status, 200);
    assert!(responses.body.contains("429 Too Many Requests"), "{responses:?}");
    assert_eq!(server.engine.session_count(), 2);
    // Another connection has a count of its own.
    assert_eq!(server.get("EIO=4&transport=polling").await.response().await.status, 200);
}

#[tokio::test]
async fn the_request_heads_of_one_address_do_not_stop_the_sessions_of_others() {
    let options = Options { memory_budget: MemoryBudget::new(80_000), ..options(AddressLimits::default()) };
    let server = Server::start(options).await;
    let open = async |address: &str| {
        let head = format!(
            "GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\
            X-Forwarded-For: {address}\r\nx: {}\r\n\r\n",
            "x".repeat(3_000)
        );
        server.send(head.as_bytes()).await.response().await
    };
    for _ in 0..3 {
        assert_eq!(open("203.0.113.1").await.status, 200);
    }
    open("203.0.113.1").await.expect(429, "too much memory for sessions of this address\n");
    assert_eq!(open("203.0.113.2").await.status, 200);
}

#[tokio::test]
async fn a_check_that_waits_counts_as_a_session_of_its_address() {
    let permits = Arc::new(Semaphore::new(0));
    let (waiting, seen) = (Arc::clone(&permits), Arc::new(Mutex::new(Vec::new())));
    let addresses = Arc::clone(&seen);
    let check = AllowRequest::new_async(move |request| {
        let address = request.extensions.get::<ClientAddress>().expect("it is known").ip().to_string();
        addresses.lock().unwrap().push(address);
        let permits = Arc::clone(&waiting);
        async move {
            permits.acquire().await.expect("open").forget();
            Ok(())
        }
    });
    let limits = AddressLimits { max_sessions: 1, ..AddressLimits::default() };
    let server = Server::start(Options { allow_request: Some(check), ..options(limits) }).await;
    let first = open(&server, "203.0.113.1").await;
    until(|| seen.lock().unwrap().len() == 1).await;
    assert_eq!(status(&server, "203.0.113.1").await, 429);
    permits.add_permits(2);
    assert_eq!(first.response().await.status, 200);
    assert_eq!(status(&server, "203.0.113.1").await, 429);
    assert_eq!(status(&server, "203.0.113.2").await, 200);
    assert_eq!(*seen.lock().unwrap(), ["203.0.113.1", "203.0.113.2"]);
}

#[tokio::test]
async fn a_client_that_gives_up_during_the_check_does_not_count() {
    let has_started = Arc::new(AtomicBool::new(false));
    let started = Arc::clone(&has_started);
    let check = AllowRequest::new_async(move |request| {
        let is_held = request.headers.contains_key("x-held");
        started.store(true, Ordering::SeqCst);
        async move { if is_held { std::future::pending().await } else { Ok(()) } }
    });
    let limits = AddressLimits { max_sessions: 1, ..AddressLimits::default() };
    let server = Server::start(Options { allow_request: Some(check), ..options(limits) }).await;
    let head = "GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: h\r\nX-Held: 1\r\n\
        X-Forwarded-For: 203.0.113.1\r\n\r\n";
    let held = server.send(head.as_bytes()).await;
    until(|| has_started.load(Ordering::SeqCst)).await;
    assert_eq!(status(&server, "203.0.113.1").await, 429);
    drop(held);
    while status(&server, "203.0.113.1").await != 200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn private_addresses_and_the_proxy_itself_are_not_limited_by_default() {
    let limits =
        AddressLimits { max_sessions: 1, max_unauthenticated: 1, burst: 1, ..AddressLimits::default() };
    let server = Server::start(options(limits.clone())).await;
    for address in ["192.168.0.1", "unknown", "127.0.0.1", "fd00::1"] {
        for _ in 0..3 {
            assert_eq!(status(&server, address).await, 200, "{address}");
        }
    }
    // Without a proxy, the header means nothing.
    let server = Server::start(Options { address_limits: limits, ..Options::default() }).await;
    for _ in 0..3 {
        assert_eq!(status(&server, "203.0.113.1").await, 200);
    }
}

#[tokio::test]
async fn the_upgrade_of_a_session_is_not_another_session() {
    let limits = AddressLimits { max_sessions: 1, include_private: true, ..AddressLimits::default() };
    let mut server = Server::start(Options { address_limits: limits, ..Options::default() }).await;
    let (client, _opened) = server.open_polling().await;
    let mut candidate = client.candidate(b"").await;
    candidate.send("2probe").await;
    candidate.expect("3probe").await;
    assert_eq!(server.get("EIO=4&transport=polling").await.response().await.status, 429);
}
