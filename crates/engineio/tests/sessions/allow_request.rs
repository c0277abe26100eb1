//! The application's check of requests that open a session, in its form that waits.

use std::sync::Arc;
use std::time::Duration;

use tidewire_engineio::{AllowRequest, ConnectionErrorHook, HeadersHook, Options};
use tokio::sync::{Semaphore, mpsc};

use crate::support::{Server, text, websocket_request};

/// A check that waits for a permit, and then forbids what has `forbid` in its query.
fn waiting(permits: &Arc<Semaphore>) -> AllowRequest {
    let permits = Arc::clone(permits);
    AllowRequest::new_async(move |request| {
        let permits = Arc::clone(&permits);
        async move {
            permits.acquire().await.expect("open").forget();
            let query = request.uri.query().unwrap_or_default();
            if query.contains("forbid") { Err("not today".to_owned()) } else { Ok(()) }
        }
    })
}

fn options(check: AllowRequest) -> Options {
    Options { allow_request: Some(check), ..Options::default() }
}

#[tokio::test]
async fn a_session_opens_once_the_check_has_allowed_it() {
    let permits = Arc::new(Semaphore::new(0));
    let mut server = Server::start(options(waiting(&permits))).await;
    let polling = server.get("EIO=4&transport=polling").await;
    assert_eq!(server.engine.session_count(), 0);
    permits.add_permits(1);
    assert_eq!(polling.response().await.status, 200);
    let _polling = server.opened().await;

    permits.add_permits(1);
    let (mut client, mut opened) = server.open_websocket().await;
    client.send("4hello").await;
    opened.expect([text("hello")]).await;
    assert_eq!(server.engine.session_count(), 2);
}

#[tokio::test]
async fn a_refusal_of_a_waiting_check_has_the_same_responses_and_reports() {
    let permits = Arc::new(Semaphore::new(3));
    let (sender, mut reports) = mpsc::unbounded_channel();
    let hook = ConnectionErrorHook::new(move |error, _| {
        let _ = sender.send(error.code());
    });
    let headers = HeadersHook::new(|headers, _| drop(headers.insert("x-every", 1.into())));
    let server = Server::start(Options {
        on_connection_error: Some(hook),
        on_headers: Some(headers),
        ..options(waiting(&permits))
    });
    let server = server.await;
    let refused = server.get("EIO=4&transport=polling&forbid").await.response().await;
    refused.expect(403, r#"{"code":4,"message":"not today"}"#);
    assert!(!refused.head.contains("x-every"), "{}", refused.head);
    let handshake = websocket_request("EIO=4&transport=websocket&forbid");
    server.send(handshake.as_bytes()).await.response().await.expect(400, "not today");
    // As in Node, the check comes before the revision.
    let old = server.get("EIO=3&transport=polling").await.response().await;
    old.expect(400, r#"{"code":5,"message":"Unsupported protocol version"}"#);
    assert_eq!(
        [reports.recv().await, reports.recv().await, reports.recv().await],
        [Some(4), Some(4), Some(5)]
    );
    assert_eq!((server.engine.session_count(), permits.available_permits()), (0, 0));
}

#[tokio::test]
async fn only_requests_that_open_a_session_are_checked() {
    let permits = Arc::new(Semaphore::new(1));
    let mut server = Server::start(options(waiting(&permits))).await;
    let (client, mut opened) = server.open_polling().await;
    // No permit is left.
    client.post_ok("4hello").await;
    opened.expect([text("hello")]).await;
    let mut candidate = client.candidate(&[]).await;
    candidate.send("2probe").await;
    candidate.expect("3probe").await;
}

/// Reports when it is dropped.
struct Guard(mpsc::UnboundedSender<&'static str>);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.send("dropped");
    }
}

/// A check that never ends, and what happens to it.
fn endless() -> (AllowRequest, mpsc::UnboundedReceiver<&'static str>) {
    let (sender, seen) = mpsc::unbounded_channel();
    let check = AllowRequest::new_async(move |_| {
        let guard = Guard(sender.clone());
        async move {
            let _ = guard.0.send("begun");
            std::future::pending().await
        }
    });
    (check, seen)
}

#[tokio::test]
async fn a_check_that_takes_too_long_is_dropped_and_its_request_gets_503() {
    let (check, mut seen) = endless();
    let allow_request_timeout = Duration::from_millis(1);
    let server = Server::start(Options { allow_request_timeout, ..options(check) }).await;
    server
        .get("EIO=4&transport=polling")
        .await
        .response()
        .await
        .expect(503, "the session was not allowed in time\n");
    assert_eq!((seen.recv().await, seen.recv().await), (Some("begun"), Some("dropped")));
    assert_eq!(server.engine.session_count(), 0);
}

#[tokio::test]
async fn the_check_of_a_client_that_disconnects_is_dropped_and_opens_no_session() {
    let (check, mut seen) = endless();
    let server = Server::start(options(check)).await;
    let request = server.get("EIO=4&transport=polling").await;
    assert_eq!(seen.recv().await, Some("begun"));
    drop(request);
    assert_eq!(seen.recv().await, Some("dropped"));
    assert_eq!(server.engine.session_count(), 0);
}

#[tokio::test]
async fn at_the_limit_of_waiting_checks_a_request_gets_503_until_one_has_ended() {
    let (check, mut seen) = endless();
    let server = Server::start(Options { max_pending_allow_requests: 2, ..options(check) }).await;
    let waiting = [server.get("EIO=4&transport=polling").await, server.get("EIO=4&transport=polling").await];
    assert_eq!([seen.recv().await, seen.recv().await], [Some("begun"); 2]);
    let refused = server.get("EIO=4&transport=polling").await.response().await;
    refused.expect(503, "too many sessions wait to be allowed\n");
    assert!(refused.head.contains("retry-after: 21\r\n"), "{}", refused.head);
    let handshake = websocket_request("EIO=4&transport=websocket");
    let head = server.send(handshake.as_bytes()).await.response_head().await;
    assert!(head.starts_with("http/1.1 503 "), "{head}");
    assert_eq!(seen.try_recv(), Err(mpsc::error::TryRecvError::Empty), "no further check has begun");

    drop(waiting);
    assert_eq!([seen.recv().await, seen.recv().await], [Some("dropped"); 2]);
    let _waiting = server.get("EIO=4&transport=polling").await;
    assert_eq!(seen.recv().await, Some("begun"));
}

#[tokio::test]
async fn a_server_that_is_full_or_closing_starts_no_check() {
    let (check, mut seen) = endless();
    let server = Server::start(Options { max_sessions: 0, ..options(check.clone()) }).await;
    server.get("EIO=4&transport=polling").await.response().await.expect(503, "too many sessions\n");

    let server = Server::start(options(check)).await;
    server.engine.close();
    server.get("EIO=4&transport=polling").await.response().await.expect(503, "the server is closing\n");
    assert_eq!(seen.try_recv(), Err(mpsc::error::TryRecvError::Empty));
}
