use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, sleep};
use tower::service_fn;

use super::*;
use crate::Stream;
use crate::http::eager_service::EagerService;
use crate::http::http1_service::Http1Service;
use crate::http::http1_state::Http1State;
use crate::http::server_stream::ServerStream;

const KIB: usize = 1024;
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Responses whose length is the path of the request.
struct Server {
    budget: MemoryBudget,
    requests: Arc<AtomicUsize>,
    /// Responses that have ended because of the budget.
    ended: Arc<AtomicUsize>,
}

impl Server {
    fn new(limit: usize) -> Self {
        Self { budget: MemoryBudget::new(limit), requests: Arc::default(), ended: Arc::default() }
    }

    /// Connects, and requests responses of these lengths.
    async fn request(&self, lengths: &[usize]) -> DuplexStream {
        let (mut client, server) = duplex(KIB);
        let (budget, requests, ended) =
            (self.budget.clone(), Arc::clone(&self.requests), Arc::clone(&self.ended));
        let service = service_fn(move |request: Request<Incoming>| {
            requests.fetch_add(1, Ordering::Relaxed);
            let (length, ended) = (request.uri().path()[1..].parse().unwrap(), Arc::clone(&ended));
            let mut response = Response::new(Full::default());
            let on_end = move || {
                ended.fetch_add(1, Ordering::Relaxed);
            };
            let body = count_unread_response(vec![b'x'; length], response.extensions_mut(), &budget, on_end);
            *response.body_mut() = Full::new(body);
            std::future::ready(Ok::<_, Infallible>(response))
        });
        let state = Arc::new(Http1State::default());
        let stream = ServerStream::new(Stream::boxed(server), WRITE_TIMEOUT);
        let stream = stream.filter_requests(Arc::clone(&state));
        let service = Http1Service { service: EagerService(service), state };
        tokio::spawn(http1::Builder::new().serve_connection(stream, service));
        let head = |length: &usize| format!("GET /{length} HTTP/1.1\r\nHost: h\r\n");
        let heads: Vec<_> = lengths.iter().map(head).collect();
        let requests = format!("{}Connection: close\r\n\r\n", heads.join("\r\n"));
        client.write_all(requests.as_bytes()).await.unwrap();
        settled().await;
        client
    }

    fn ended(&self) -> usize {
        self.ended.load(Ordering::Relaxed)
    }
}

/// Lets all other tasks run. The clock is paused: it advances only when every task waits.
async fn settled() {
    sleep(Duration::from_millis(1)).await;
}

/// Reads until the end of the connection, and returns how many bytes came.
async fn read(client: &mut DuplexStream) -> usize {
    client.read_to_end(&mut Vec::new()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_a_little_before_each_timeout_gets_the_whole_response() {
    let server = Server::new(1_000 * KIB);
    let mut client = server.request(&[100 * KIB]).await;
    let start = Instant::now();
    for _ in 0..100 {
        sleep(WRITE_TIMEOUT - Duration::from_secs(1)).await;
        client.read_exact(&mut [0; KIB]).await.unwrap();
        assert_eq!(server.budget.used(), 100 * KIB);
    }
    assert!(start.elapsed() > WRITE_TIMEOUT * 90);
    // The head.
    assert!(read(&mut client).await > 0);
    assert_eq!(server.budget.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_frees_the_budget_after_the_timeout() {
    let server = Server::new(1_000 * KIB);
    let _client = server.request(&[100 * KIB]).await;
    assert_eq!(server.budget.used(), 100 * KIB);
    sleep(WRITE_TIMEOUT * 2).await;
    assert_eq!((server.budget.used(), server.ended()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_connection_with_the_largest_unread_response_ends_and_the_others_get_theirs() {
    let server = Server::new(300 * KIB);
    let mut small = server.request(&[80 * KIB]).await;
    let mut large = server.request(&[120 * KIB]).await;
    assert_eq!((server.budget.used(), server.ended()), (200 * KIB, 0));
    let mut last = server.request(&[101 * KIB]).await;
    assert_eq!((server.budget.used(), server.ended()), (181 * KIB, 1));
    assert!(read(&mut large).await < 120 * KIB);
    assert!(read(&mut small).await > 80 * KIB);
    assert!(read(&mut last).await > 101 * KIB);
    assert_eq!((server.budget.used(), server.ended()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_response_that_exceeds_the_budget_itself_ends_its_connection() {
    let server = Server::new(300 * KIB);
    let mut small = server.request(&[80 * KIB]).await;
    let mut large = server.request(&[250 * KIB]).await;
    assert_eq!((server.budget.used(), server.ended()), (80 * KIB, 1));
    assert!(read(&mut large).await < 250 * KIB);
    assert!(read(&mut small).await > 80 * KIB);
}

#[tokio::test(start_paused = true)]
async fn a_short_response_does_not_count() {
    let server = Server::new(1_000 * KIB);
    let mut client = server.request(&[16 * KIB]).await;
    assert_eq!(server.budget.used(), 0);
    assert!(read(&mut client).await > 16 * KIB);
}

#[tokio::test(start_paused = true)]
async fn a_pipelined_request_waits_until_the_response_before_it_has_been_read() {
    let server = Server::new(1_000 * KIB);
    let mut client = server.request(&[100 * KIB, 200 * KIB]).await;
    // The connection is woken, and looks for more requests.
    client.read_exact(&mut [0; KIB]).await.unwrap();
    settled().await;
    assert_eq!((server.requests.load(Ordering::Relaxed), server.budget.used()), (1, 100 * KIB));
    assert!(read(&mut client).await > 299 * KIB);
    assert_eq!((server.requests.load(Ordering::Relaxed), server.budget.used()), (2, 0));
}
