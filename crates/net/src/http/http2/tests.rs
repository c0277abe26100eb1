//! Tests a listener with a client of the crate `h2`, without TLS unless a test says otherwise.

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio::time::timeout;
use tower::service_fn;

use super::*;
use crate::{Listener, MemoryBudget, PendingUpgrade, Stream, count_unread_response, finish_upgrade};

mod slow_clients;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// More bytes than all buffers between server and client hold.
const LARGE: usize = 2_000_000;
/// More bytes than the window of a client. Many clients that run on one thread read it in little time.
const MEDIUM: usize = 300_000;

/// Fails the test instead of letting it hang.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), what).await.expect("in time")
}

/// Lets the server run: it runs on the thread of the test, and each response lets all its tasks run.
async fn settle(client: &mut Client) {
    for _ in 0..20 {
        client.get("/hello").await.unwrap();
    }
}

/// Writes byte by byte. A request of another client in between gives the server time to read each byte.
async fn write_byte_by_byte(stream: &mut TcpStream, bytes: &[u8], other: &mut Client) {
    for byte in bytes.chunks(1) {
        stream.write_all(byte).await.unwrap();
        other.get("/hello").await.unwrap();
    }
}

/// Asserts that the future is not ready yet.
async fn not_yet<T: std::fmt::Debug>(what: impl Future<Output = T>) {
    let came = timeout(Duration::ZERO, what).await;
    assert!(came.is_err(), "{came:?}");
}

/// Writes until the stream accepts no more bytes, and returns how many it accepted. `other` is a client on another
/// connection.
async fn fill(stream: &mut Stream, other: &mut Client) -> usize {
    let mut taken = 0;
    while let Ok(count) = timeout(Duration::ZERO, stream.write(&[0; 1_000_000])).await {
        taken += count.unwrap();
        settle(other).await;
    }
    taken
}

/// A server with the paths `/hello`, `/cookies`, `/large`, `/medium` and `/never`. It sends the stream of a CONNECT to the test.
struct Server {
    address: SocketAddr,
    streams: mpsc::UnboundedReceiver<Stream>,
    /// The number of requests that wait at `/never`.
    waiting: Arc<AtomicUsize>,
    /// Counts the responses of `/counted` and `/counted/larger` while they are not read.
    budget: MemoryBudget,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

impl Server {
    async fn start(limits: HttpLimits) -> Self {
        let listener = Listener::bind("127.0.0.1:0", limits).await.expect("a free port");
        Self::on(listener)
    }

    fn on(listener: Listener) -> Self {
        let (sender, streams) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let at_never = Arc::clone(&waiting);
        let budget = MemoryBudget::new(3 * LARGE);
        let counting = budget.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let (sender, waiting) = (sender.clone(), Arc::clone(&at_never));
            let budget = counting.clone();
            async move {
                let counted = match request.uri().path() {
                    "/counted" => Some(LARGE),
                    "/counted/larger" => Some(LARGE + LARGE / 2),
                    _ => None,
                };
                if let Some(length) = counted {
                    let mut response = Response::new(Full::default());
                    let body = vec![b'x'; length];
                    let body = count_unread_response(body, response.extensions_mut(), &budget, || {});
                    *response.body_mut() = Full::new(body);
                    return Ok(response);
                }
                let body = match request.uri().path() {
                    "/cookies" => {
                        format!("{:?}", request.headers().get_all("cookie").iter().collect::<Vec<_>>())
                    }
                    "/hello" => format!("{:?} {:?}", request.version(), request.headers().get("host")),
                    "/large" => "x".repeat(LARGE),
                    "/medium" => "x".repeat(MEDIUM),
                    "/never" => {
                        struct Here(Arc<AtomicUsize>);
                        impl Drop for Here {
                            fn drop(&mut self) {
                                self.0.fetch_sub(1, Ordering::SeqCst);
                            }
                        }
                        waiting.fetch_add(1, Ordering::SeqCst);
                        let _here = Here(waiting);
                        pending().await
                    }
                    _ => {
                        let upgrading = PendingUpgrade::from_request(&mut request);
                        tokio::spawn(
                            async move { sender.send(finish_upgrade(upgrading).await.unwrap().stream) },
                        );
                        String::new()
                    }
                };
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(body))))
            }
        });
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(listener.serve(service, async { drop(stopped.await) }));
        Self { address, streams, waiting, budget, stop: Some(stop), serving }
    }

    /// Waits until the server has closed a connection that sends no request.
    async fn has_closed_idle_connections(&self) {
        let mut stream = TcpStream::connect(self.address).await.expect("a server");
        stream.write_all(PREFACE).await.expect("written");
        soon(stream.read_to_end(&mut Vec::new())).await.expect("an end");
    }

    async fn client(&self) -> Client {
        Client::connect(self.address, Builder::new()).await
    }

    /// Waits until the budget counts so many bytes.
    async fn counts(&self, bytes: usize) {
        soon(async {
            while self.budget.used() != bytes {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Waits until `count` requests wait at `/never`.
    async fn waits(&self, count: usize) {
        soon(async {
            while self.waiting.load(Ordering::SeqCst) != count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[derive(Debug)]
struct Client {
    requests: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

impl Client {
    async fn connect(server: SocketAddr, builder: Builder) -> Self {
        let stream = TcpStream::connect(server).await.expect("a server");
        // Real clients set this option. Without it, the frames after a reset wait 40 ms for the server's
        // acknowledgement of the reset.
        stream.set_nodelay(true).expect("a socket");
        Self::on(stream, builder).await
    }

    async fn on(
        stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
        builder: Builder,
    ) -> Self {
        let (requests, connection) = soon(builder.handshake(stream)).await.expect("a connection");
        Self { requests, connection: tokio::spawn(connection) }
    }

    async fn begin(&mut self, request: Request<()>) -> (h2::client::ResponseFuture, SendStream<Bytes>) {
        let mut requests = soon(self.requests.clone().ready()).await.expect("a free stream");
        let is_connect = request.method() == http::Method::CONNECT;
        requests.send_request(request, !is_connect).expect("a request")
    }

    async fn get(&mut self, path: &str) -> Result<(u16, String), h2::Error> {
        let (response, _) = self.begin(get(path)).await;
        let response = soon(response).await?;
        let status = response.status().as_u16();
        Ok((status, String::from_utf8(read(response.into_body()).await?).expect("text")))
    }

    /// Opens a stream for another protocol, and returns the client's end.
    async fn open(&mut self) -> (RecvStream, SendStream<Bytes>) {
        // An extended CONNECT must not be sent before the server's settings have arrived.
        self.get("/hello").await.expect("a response");
        let request = Request::connect("http://localhost/open").extension(Protocol::from_static("websocket"));
        let (response, sender) = self.begin(request.body(()).expect("a request")).await;
        (soon(response).await.expect("a response").into_body(), sender)
    }

    /// Waits until the server has closed the connection.
    async fn ended(self) -> Result<(), h2::Error> {
        soon(self.connection).await.expect("no panic")
    }
}

fn get(path: &str) -> Request<()> {
    Request::get(format!("http://localhost{path}")).body(()).expect("a request")
}

async fn read(mut body: RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut bytes = Vec::new();
    while let Some(data) = soon(body.data()).await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

fn short_read_timeout() -> HttpLimits {
    HttpLimits { header_read_timeout: Duration::from_millis(200), ..HttpLimits::default() }
}

#[tokio::test]
async fn the_preface_selects_http_2_and_requests_have_a_host_header() {
    let server = Server::start(HttpLimits::default()).await;
    let mut client = server.client().await;
    assert_eq!(client.get("/hello").await.unwrap(), (200, r#"HTTP/2.0 Some("localhost")"#.into()));
    assert_eq!(client.get("/large").await.unwrap().1.len(), LARGE);
}

#[tokio::test]
async fn the_preface_may_come_late() {
    let server = Server::start(HttpLimits::default()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    settle(&mut server.client().await).await;
    not_yet(stream.read_u8()).await;
    stream.write_all(PREFACE).await.unwrap();
    // Our settings: their length, and the type 4.
    let mut frame = [0; 4];
    soon(stream.read_exact(&mut frame)).await.unwrap();
    assert_eq!(frame[3], 4);
}

#[tokio::test]
async fn the_preface_may_come_byte_by_byte() {
    let server = Server::start(HttpLimits::default()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    write_byte_by_byte(&mut stream, PREFACE, &mut server.client().await).await;
    // Our settings: their length, and the type 4.
    let mut frame = [0; 4];
    soon(stream.read_exact(&mut frame)).await.unwrap();
    assert_eq!(frame[3], 4);
}

#[tokio::test]
async fn bytes_that_only_begin_like_the_preface_are_parsed_as_http_1() {
    let server = Server::start(HttpLimits::default()).await;
    for (request, status) in [
        ("P", None),
        ("PRI * HTTP/2.0\r\n", None),
        ("PRI * HTTP/1.1\r\nHost: h\r\n\r\n", Some("HTTP/1.1 200 ")),
    ] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        write_byte_by_byte(&mut stream, request.as_bytes(), &mut server.client().await).await;
        stream.shutdown().await.unwrap();
        let mut response = Vec::new();
        soon(stream.read_to_end(&mut response)).await.unwrap();
        let response = String::from_utf8(response).unwrap();
        assert!(status.is_none_or(|status| response.starts_with(status)), "{request:?}: {response:?}");
    }
}

#[tokio::test]
async fn a_preface_after_a_request_does_not_select_http_2() {
    let server = Server::start(HttpLimits::default()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = b"GET /hello HTTP/1.1\r\nHost: h\r\n\r\n";
    stream.write_all(&[request, PREFACE].concat()).await.unwrap();
    let mut response = Vec::new();
    soon(stream.read_to_end(&mut response)).await.unwrap();
    let response = String::from_utf8(response).unwrap();
    let (first, second) = response.split_once(r#"HTTP/1.1 Some("h")"#).expect("the first response");
    assert!(first.starts_with("HTTP/1.1 200 OK"), "{response}");
    assert!(second.starts_with("HTTP/1.1 400 ") && second.ends_with("\r\n\r\n"), "{response}");
}

#[tokio::test]
async fn http_2_can_be_disabled() {
    let server = Server::start(HttpLimits { http2: None, ..HttpLimits::default() }).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(PREFACE).await.unwrap();
    let mut response = Vec::new();
    soon(stream.read_to_end(&mut response)).await.unwrap();
    assert!(response.is_empty(), "{}", String::from_utf8_lossy(&response));
}

#[tokio::test]
async fn a_connection_without_requests_is_ended_in_time() {
    let server = Server::start(short_read_timeout()).await;
    // Send nothing, a part of the preface, or all of it.
    for beginning in [&b""[..], &PREFACE[..10], PREFACE] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        soon(stream.read_to_end(&mut Vec::new())).await.unwrap();
    }
    let mut client = server.client().await;
    client.get("/hello").await.unwrap();
    client.ended().await.unwrap();
}

#[tokio::test]
async fn a_connection_with_a_request_or_a_stream_is_not_ended() {
    let mut server = Server::start(short_read_timeout()).await;
    let mut client = server.client().await;
    let (_response, mut request) = client.begin(get("/never")).await;
    server.waits(1).await;
    server.has_closed_idle_connections().await;
    client.get("/hello").await.unwrap();
    request.send_reset(Reason::CANCEL);
    server.waits(0).await;
    client.ended().await.unwrap();

    let mut client = server.client().await;
    let (received, mut sender) = client.open().await;
    let mut stream = soon(server.streams.recv()).await.unwrap();
    server.has_closed_idle_connections().await;
    client.get("/hello").await.unwrap();
    sender.send_data(Bytes::from_static(b"hello"), true).unwrap();
    let mut bytes = String::new();
    soon(stream.read_to_string(&mut bytes)).await.unwrap();
    assert_eq!(bytes, "hello");
    stream.write_all(b"bye").await.unwrap();
    soon(stream.shutdown()).await.unwrap();
    assert_eq!(read(received).await.unwrap(), b"bye");
    client.ended().await.unwrap();
}

#[tokio::test]
async fn too_many_cancelled_requests_end_the_connection() {
    let http2 = Http2Limits { max_reset_streams: 50, ..Http2Limits::default() };
    let server = Server::start(HttpLimits { http2: Some(http2), ..HttpLimits::default() }).await;
    let mut client = server.client().await;
    // An open request keeps the connection from ending for lack of requests.
    let _response = client.begin(get("/never")).await;
    server.waits(1).await;
    let cancel = async |client: &mut Client, left: usize| {
        let (response, mut request) = client.begin(get("/never")).await;
        server.waits(2).await;
        request.send_reset(Reason::CANCEL);
        drop(response);
        server.waits(left).await;
    };
    // Each response lowers the count of cancelled requests by one.
    for _ in 0..100 {
        cancel(&mut client, 1).await;
        client.get("/hello").await.unwrap();
    }
    for _ in 0..50 {
        cancel(&mut client, 1).await;
    }
    client.get("/hello").await.unwrap();
    cancel(&mut client, 1).await;
    cancel(&mut client, 0).await;
    let _ = client.ended().await;
}

#[tokio::test]
async fn the_header_limits_of_http_1_apply() {
    let server = Server::start(HttpLimits::default()).await;
    let mut client = server.client().await;
    let with = |count: usize, length: usize| {
        let mut request = get("/hello");
        for number in 0..count {
            // hyper also counts the `Host` header that the server adds.
            let name = http::HeaderName::try_from(format!("name-{number}")).unwrap();
            request.headers_mut().insert(name, "x".repeat(length).parse().unwrap());
        }
        request
    };
    for (count, length, status) in [(100, 1, 200), (101, 1, 431), (1, 10_000, 200), (1, 17_000, 431)] {
        let (response, _) = client.begin(with(count, length)).await;
        assert_eq!(soon(response).await.unwrap().status(), status, "{count} of {length}");
    }
}

#[tokio::test]
async fn a_query_may_contain_most_characters_that_are_not_percent_encoded() {
    let server = Server::start(HttpLimits::default()).await;
    let mut client = server.client().await;
    for character in ["{", "}", "|", "^", "`", "\\"] {
        assert_eq!(client.get(&format!("/hello?x={character}")).await.unwrap().0, 200, "{character}");
    }
}

/// RFC 9113 §8.2.3.
#[tokio::test]
async fn cookies_that_a_client_has_divided_are_one_header() {
    let server = Server::start(HttpLimits::default()).await;
    let mut client = server.client().await;
    for (cookies, expected) in [
        (&[][..], "[]"),
        (&["a=1; b=2"], r#"["a=1; b=2"]"#),
        (&["a=1", "b=2", "c=3; d=4"], r#"["a=1; b=2; c=3; d=4"]"#),
        // As many as a browser may have. They are one of the hundred fields that a request may have.
        (&["a=1"; 150], &*format!("[\"{}\"]", ["a=1"; 150].join("; "))),
    ] {
        let mut request = get("/cookies");
        for cookie in cookies {
            request.headers_mut().append("cookie", cookie.parse().unwrap());
        }
        let (response, _) = client.begin(request).await;
        let body = read(soon(response).await.unwrap().into_body()).await.unwrap();
        assert_eq!(String::from_utf8(body).unwrap(), expected);
    }
}

/// RFC 9113 §8.3.1.
#[tokio::test]
async fn a_host_header_that_is_invalid_or_differs_from_the_authority_is_refused() {
    let server = Server::start(HttpLimits::default()).await;
    let mut client = server.client().await;
    for (authority, hosts, status) in [
        ("localhost", &[][..], 200),
        ("localhost", &["localhost"], 200),
        ("localhost:80", &["LOCALHOST"], 200),
        ("localhost", &["localhost:"], 200),
        ("[::1]:8080", &["[::1]:8080"], 200),
        ("localhost", &["localhost:8080"], 400),
        ("localhost", &["other"], 400),
        ("localhost", &[""], 400),
        ("localhost", &["a b"], 400),
        ("localhost", &["localhost", "localhost"], 400),
        ("localhost", &["localhost", "other"], 400),
        ("me@localhost", &[], 400),
    ] {
        let mut request = get("/hello");
        *request.uri_mut() = format!("http://{authority}/hello").parse().unwrap();
        for host in hosts {
            request.headers_mut().append("host", host.parse().unwrap());
        }
        let (response, _) = client.begin(request).await;
        assert_eq!(soon(response).await.unwrap().status(), status, "{authority} {hosts:?}");
    }
}

#[tokio::test]
async fn a_stream_over_the_limit_is_refused_and_may_be_retried() {
    let http2 = Http2Limits { max_concurrent_streams: 2, ..Http2Limits::default() };
    let server = Server::start(HttpLimits { http2: Some(http2), ..HttpLimits::default() }).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    // `h2` would respect the limit, so send raw frames: settings, and `GET http://h/never` three times.
    let mut wire = [PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
    let block = [&[0x82, 0x86, 0x44, 6][..], b"/never", &[0x41, 1, b'h']].concat();
    for id in [1, 3, 5] {
        wire.extend_from_slice(&[0, 0, block.len() as u8, 1, 5, 0, 0, 0, id]);
        wire.extend_from_slice(&block);
    }
    stream.write_all(&wire).await.unwrap();
    loop {
        let mut head = [0; 9];
        soon(stream.read_exact(&mut head)).await.unwrap();
        let mut payload = vec![0; usize::from(head[2])];
        soon(stream.read_exact(&mut payload)).await.unwrap();
        if head[3] == 3 {
            // RST_STREAM with REFUSED_STREAM, for the third request.
            assert_eq!((head[8], payload), (5, vec![0, 0, 0, 7]));
            break;
        }
    }
    server.waits(2).await;
}

#[tokio::test]
async fn a_shutdown_waits_for_open_requests_but_not_for_websockets() {
    let mut server = Server::start(HttpLimits::default()).await;
    let mut client = server.client().await;
    let (mut received, _sender) = client.open().await;
    let mut stream = soon(server.streams.recv()).await.unwrap();
    let (_response, mut request) = client.begin(get("/never")).await;
    server.waits(1).await;
    server.stop.take().unwrap().send(()).unwrap();
    // A GOAWAY tells the client.
    let mut requests = client.requests.clone();
    soon(poll_fn(|cx| requests.poll_ready(cx).map(|ready| if ready.is_err() { Some(()) } else { None })))
        .await;
    // The WebSocket still works as long as the server serves the open request.
    for _ in 0..20 {
        stream.write_all(b"hello").await.unwrap();
        soon(received.data()).await.unwrap().unwrap();
    }
    not_yet(&mut server.serving).await;
    request.send_reset(Reason::CANCEL);
    let since = std::time::Instant::now();
    soon(&mut server.serving).await.unwrap();
    assert!(since.elapsed() < Duration::from_secs(4), "the shutdown has waited for the WebSocket");
    // The WebSocket still works.
    stream.write_all(b"hello").await.unwrap();
    drop(stream);
}

#[tokio::test]
async fn a_connection_counts_until_it_closes() {
    let mut server = Server::start(HttpLimits { max_connections: 1, ..HttpLimits::default() }).await;
    let mut first = server.client().await;
    let open = first.open().await;
    let stream = soon(server.streams.recv()).await.unwrap();
    let mut second = TcpStream::connect(server.address).await.unwrap();
    second.write_all(PREFACE).await.unwrap();
    settle(&mut first).await;
    not_yet(second.read_u8()).await;
    // The connection keeps its slot even after its WebSocket has ended.
    drop((open, stream));
    settle(&mut first).await;
    not_yet(second.read_u8()).await;
    drop(first);
    soon(second.read_u8()).await.unwrap();
}

#[tokio::test]
async fn a_dropped_stream_with_unread_bytes_is_reset_in_time() {
    let limit = Duration::from_millis(300);
    let mut server = Server::start(HttpLimits { write_timeout: limit, ..HttpLimits::default() }).await;
    let mut builder = Builder::new();
    builder.initial_window_size(10);
    let mut client = Client::connect(server.address, builder).await;
    let request = Request::connect("http://localhost/open").extension(Protocol::from_static("websocket"));
    // The settings arrive with the first response, whose body is not read.
    let (response, _) = client.begin(get("/hello")).await;
    soon(response).await.unwrap();
    let (response, mut sender) = client.begin(request.body(()).unwrap()).await;
    soon(response).await.unwrap();
    let mut stream = soon(server.streams.recv()).await.unwrap();
    fill(&mut stream, &mut server.client().await).await;
    drop(stream);
    assert_eq!(soon(poll_fn(|cx| sender.poll_reset(cx))).await.unwrap(), Reason::CANCEL);
}

#[tokio::test]
async fn a_stream_buffers_little_beyond_the_window_of_the_peer() {
    let mut server = Server::start(HttpLimits::default()).await;
    let mut builder = Builder::new();
    builder.initial_window_size(100_000);
    let mut client = Client::connect(server.address, builder).await;
    let _open = client.open().await;
    let mut stream = soon(server.streams.recv()).await.unwrap();
    let taken = fill(&mut stream, &mut server.client().await).await;
    assert!((100_000..=100_000 + 130 * 1024).contains(&taken), "{taken}");
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn over_tls_alpn_selects_the_version_also_after_a_reload() {
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::pki_types::ServerName;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (chain, secret) = (key.cert.pem(), key.signing_key.serialize_pem());
    let from_pem = || crate::ServerTls::from_pem(chain.as_bytes(), secret.as_bytes()).unwrap();
    let tls = from_pem();
    let mut roots = RootCertStore::empty();
    roots.add(key.cert.der().clone()).unwrap();
    let ring = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(ring).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();

    for (http2, offers, agreed) in [
        (true, vec!["h2", "http/1.1"], Some("h2")),
        (true, vec!["http/1.1", "h2"], Some("h2")),
        (true, vec!["http/1.1"], Some("http/1.1")),
        (true, vec![], None),
        (false, vec!["h2", "http/1.1"], Some("http/1.1")),
    ] {
        let mut limits = HttpLimits::default();
        if !http2 {
            limits.http2 = None;
        }
        let listener = Listener::bind("127.0.0.1:0", limits).await.unwrap().tls(tls.clone());
        let server = Server::on(listener);
        tls.reload(&from_pem());
        config.alpn_protocols = offers.iter().map(|offer| offer.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(server.address).await.unwrap();
        let connector = TlsConnector::from(Arc::new(config.clone()));
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = soon(connector.connect(name, stream)).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed.map(str::as_bytes), "{offers:?}");
        if agreed == Some("h2") {
            let mut client = Client::on(stream, Builder::new()).await;
            assert!(client.get("/hello").await.unwrap().1.starts_with("HTTP/2.0"));
        } else {
            stream.write_all(b"GET /hello HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
            let mut response = [0; 15];
            soon(stream.read_exact(&mut response)).await.unwrap();
            assert_eq!(&response, b"HTTP/1.1 200 OK");
        }
    }
}
