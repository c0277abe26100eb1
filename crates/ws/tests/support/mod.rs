//! An in-memory connection: hyper and the handler on one end, a client that sees every byte on the other.

#[cfg(feature = "tls")]
pub(crate) mod certificate_authority;
pub(crate) mod http2;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::HeaderMap;
use http::header::SEC_WEBSOCKET_EXTENSIONS;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tidewire_ws::{CloseCode, CloseFrame, DeflateOptions, HandlerOutput, Limits, MemoryBudget, WebSocket};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use ws_proto::{ClientHandshake, Connection, Event, FrameHeader, Input, Opcode, Role, Time, WebSocketUri};

pub(crate) const REQUEST: &[u8] =
    b"GET /chat HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Fails the test after a minute, so that it cannot hang.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), what).await.expect("in time")
}

/// Echoes until the end.
pub(crate) async fn echo(mut socket: WebSocket) {
    while let Some(message) = socket.recv().await {
        if socket.send(message).await.is_err() {
            break;
        }
    }
}

/// Connects a client to a server that runs `handler`.
pub(crate) async fn connect<F, Fut>(handler: F) -> Client
where
    F: FnOnce(WebSocket) -> Fut + Clone + Send + 'static,
    Fut: Future<Output: HandlerOutput> + Send + 'static,
{
    connect_with(Limits::default(), 64 * 1024, b"", handler).await
}

/// Does the same with these limits, with a stream that holds `capacity` bytes in each direction, and with the bytes
/// `trailing` sent right after the request.
pub(crate) async fn connect_with<F, Fut>(
    limits: Limits,
    capacity: usize,
    trailing: &[u8],
    handler: F,
) -> Client
where
    F: FnOnce(WebSocket) -> Fut + Clone + Send + 'static,
    Fut: Future<Output: HandlerOutput> + Send + 'static,
{
    connect_by(REQUEST, trailing, limits, None, None, capacity, handler).await
}

/// Connects a client to a server that shares this budget with others, and compresses with these options if there are
/// any. The client offers compression.
pub(crate) async fn connect_with_budget<F, Fut>(
    budget: &MemoryBudget,
    options: Option<DeflateOptions>,
    capacity: usize,
    handler: F,
) -> Client
where
    F: FnOnce(WebSocket) -> Fut + Clone + Send + 'static,
    Fut: Future<Output: HandlerOutput> + Send + 'static,
{
    let head = REQUEST.strip_suffix(b"\r\n").expect("an empty line");
    let request = [head, b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"].concat();
    connect_by(&request, b"", Limits::default(), options, Some(budget.clone()), capacity, handler).await
}

/// Connects a client that offers compression to a server with these options.
pub(crate) async fn connect_compressed<F, Fut>(
    offer: &DeflateOptions,
    options: DeflateOptions,
    handler: F,
) -> Client
where
    F: FnOnce(WebSocket) -> Fut + Clone + Send + 'static,
    Fut: Future<Output: HandlerOutput> + Send + 'static,
{
    let uri = WebSocketUri::parse("ws://localhost/").expect("a URI");
    let offer =
        ClientHandshake::new([7; 16]).deflate(*offer).request(&uri, &HeaderMap::new()).expect("a request");
    let offer = &offer.headers()[SEC_WEBSOCKET_EXTENSIONS];
    let head = REQUEST.strip_suffix(b"\r\n").expect("an empty line");
    let request = [head, b"Sec-WebSocket-Extensions: ", offer.as_bytes(), b"\r\n\r\n"].concat();
    connect_by(&request, b"", Limits::default(), Some(options), None, 64 * 1024, handler).await
}

async fn connect_by<F, Fut>(
    request: &[u8],
    trailing: &[u8],
    limits: Limits,
    deflate: Option<DeflateOptions>,
    budget: Option<MemoryBudget>,
    capacity: usize,
    handler: F,
) -> Client
where
    F: FnOnce(WebSocket) -> Fut + Clone + Send + 'static,
    Fut: Future<Output: HandlerOutput> + Send + 'static,
{
    let (stream, server) = tokio::io::duplex(capacity);
    let writes = Arc::new(AtomicUsize::new(0));
    let server = Counting { stream: server, writes: Arc::clone(&writes) };
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        let mut upgrade = tidewire_ws::upgrade(&mut request).expect("a handshake").limits(limits);
        if let Some(budget) = &budget {
            upgrade = upgrade.memory_budget(budget);
        }
        if let Some(options) = deflate {
            upgrade = upgrade.compress(options);
        }
        let response: http::Response<String> = upgrade.on_upgrade(handler.clone());
        async move { Ok::<_, Infallible>(response) }
    });
    tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(server), service).with_upgrades());

    let limits = ws_proto::Limits::default();
    let machine = Connection::new(Role::Client, &limits);
    let mut client = Client { stream, writes, machine, events: VecDeque::new() };
    client.write(&[request, trailing].concat()).await;
    client.read_response_head().await;
    client
}

/// A client that sends bytes and receives events.
pub(crate) struct Client {
    pub(crate) stream: DuplexStream,
    writes: Arc<AtomicUsize>,
    machine: Connection,
    events: VecDeque<Event<'static>>,
}

impl Client {
    /// The number of writes that the server has made since its response.
    pub(crate) fn writes(&self) -> usize {
        self.writes.load(Ordering::SeqCst) - 1
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        soon(self.stream.write_all(bytes)).await.expect("written");
    }

    /// The next event; `None` at the end of the stream.
    pub(crate) async fn recv(&mut self) -> Option<Event<'static>> {
        soon(self.recv_slowly()).await
    }

    /// Does the same without a timeout.
    pub(crate) async fn recv_slowly(&mut self) -> Option<Event<'static>> {
        let mut buffer = vec![0; 64 * 1024];
        while self.events.is_empty() {
            let length = self.stream.read(&mut buffer).await.expect("read");
            if length == 0 {
                return None;
            }
            let mut input = Input::new(&mut buffer[..length]);
            while let Some(event) = self.machine.decode(&mut input, Time::ZERO).expect("no protocol error") {
                self.events.push_back(event.into_owned());
            }
        }
        self.events.pop_front()
    }

    /// Asserts that the next event is this text.
    pub(crate) async fn expect_text(&mut self, text: &str) {
        assert_eq!(self.recv().await, Some(Event::Text(text.into())));
    }

    /// Asserts that the next event is a Close with this code, and that the stream ends after it.
    pub(crate) async fn expect_close(&mut self, code: CloseCode) {
        assert_eq!(self.recv().await, Some(Event::Close(Some(code.into()))));
        assert_eq!(self.recv().await, None, "the server ends the stream");
    }

    async fn read_response_head(&mut self) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon(self.stream.read_u8()).await.expect("a response"));
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    }
}

/// A masked frame with a whole message.
pub(crate) fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    fragment(opcode, payload, true)
}

/// A masked text frame.
pub(crate) fn text(text: &str) -> Vec<u8> {
    frame(Opcode::Text, text.as_bytes())
}

/// A masked Close.
pub(crate) fn close(frame: &CloseFrame) -> Vec<u8> {
    let payload = [&frame.code.as_u16().to_be_bytes(), frame.reason.as_bytes()].concat();
    self::frame(Opcode::Close, &payload)
}

/// A masked frame, which is the last of its message if `fin` is set.
pub(crate) fn fragment(opcode: Opcode, payload: &[u8], fin: bool) -> Vec<u8> {
    let header =
        FrameHeader { fin, masking_key: Some(KEY), ..FrameHeader::unfragmented(opcode, payload.len()) };
    let mut wire = header.encode().to_vec();
    let start = wire.len();
    wire.extend_from_slice(payload);
    ws_proto::mask(&mut wire[start..], KEY);
    wire
}

/// A stream that counts completed writes.
pub(crate) struct Counting {
    pub(crate) stream: DuplexStream,
    pub(crate) writes: Arc<AtomicUsize>,
}

impl Counting {
    fn count(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.writes.fetch_add(usize::from(written.is_ready()), Ordering::SeqCst);
        written
    }
}

impl AsyncRead for Counting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        read: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, read)
    }
}

impl AsyncWrite for Counting {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.count(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.count(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
