//! An engine whose handlers report to the test what happens, and clients that send literal bytes.

use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use net::{HttpLimits, Listener, Pushed, SlowReaderPolicy, TurnBudget};
use tidewire_engineio::{
    Application, CloseReason, Engine, Message, Options, Session, SessionHandler, Settings, Time,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use ws_proto::{Connection, Event, FrameHeader, Input, Opcode, Role};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Fails the test if `what` takes too long. The time is shorter than the default timers (10 s for an upgrade, 25 s to
/// the first ping), which could wake a task that should already be awake.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(8), what).await.expect("in time")
}

/// Lets other tasks run until `condition` is true.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    soon(async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Sends a message that many sessions share.
pub(crate) fn send_shared(session: &Session, message: &engineio_proto::SharedMessage) {
    if let Ok(Pushed { waker: Some(waker), .. }) = session.send_shared(message, SlowReaderPolicy::Disconnect)
    {
        waker.wake();
    }
}

/// A call of a handler.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Closed(CloseReason),
}

pub(crate) fn text(text: impl Into<String>) -> Seen {
    Seen::Text(text.into())
}

/// The application. It passes each session to the test.
#[derive(Debug)]
pub(crate) struct Program(mpsc::UnboundedSender<Opened>);

/// A session from the application's view.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) session: Session,
    seen: mpsc::UnboundedReceiver<Seen>,
    switches: Arc<Switches>,
}

/// The behaviour of a session's handler, and its counters.
#[derive(Debug)]
struct Switches {
    wants_input: AtomicBool,
    /// The handler wants no input after a message.
    takes_one: AtomicBool,
    echoes: AtomicBool,
    /// The handler has work that never ends.
    is_pending: AtomicBool,
    polls: AtomicUsize,
}

pub(crate) struct Reporter {
    session: Session,
    seen: mpsc::UnboundedSender<Seen>,
    switches: Arc<Switches>,
}

impl Application for Program {
    type Handler = Reporter;
    fn authenticates(&self) -> bool {
        true
    }

    fn on_open(&self, _: &Engine<Self>, session: Session, request: http::request::Parts) -> Reporter {
        assert!(!request.headers.contains_key("panic"), "as the test asked for");
        let (sender, seen) = mpsc::unbounded_channel();
        let switches = Arc::new(Switches {
            wants_input: AtomicBool::new(true),
            takes_one: AtomicBool::new(false),
            echoes: AtomicBool::new(false),
            is_pending: AtomicBool::new(false),
            polls: AtomicUsize::new(0),
        });
        let _ = self.0.send(Opened { session: session.clone(), seen, switches: Arc::clone(&switches) });
        Reporter { session, seen: sender, switches }
    }
}

impl SessionHandler for Reporter {
    fn on_message(&mut self, message: Message<'_>, _: Time, _: &mut Context<'_>) {
        let seen = match message {
            Message::Text("panic") => panic!("as the test asked for"),
            // A broadcast to so many sessions.
            Message::Text("5000 deliveries") => {
                TurnBudget::charge_deliveries(5_000);
                text("5000 deliveries")
            }
            Message::Text(text) => Seen::Text(text.into()),
            Message::Binary(data) => Seen::Binary(data.into()),
        };
        if self.switches.echoes.load(Ordering::SeqCst) {
            match &seen {
                Seen::Text(text) => self.session.send_text(text),
                Seen::Binary(data) => self.session.send_binary(data),
                Seen::Closed(_) => {}
            }
        }
        if self.switches.takes_one.load(Ordering::SeqCst) {
            self.switches.wants_input.store(false, Ordering::SeqCst);
        }
        let _ = self.seen.send(seen);
    }

    fn on_close(&mut self, reason: CloseReason, _: Time, _: &mut Context<'_>) {
        let _ = self.seen.send(Seen::Closed(reason));
    }

    fn poll(&mut self, _: Time, _: &mut Context<'_>) -> Poll<()> {
        self.switches.polls.fetch_add(1, Ordering::SeqCst);
        if self.switches.is_pending.load(Ordering::SeqCst) { Poll::Pending } else { Poll::Ready(()) }
    }

    fn wants_input(&self) -> bool {
        self.switches.wants_input.load(Ordering::SeqCst)
    }
}

impl Opened {
    /// Returns the next call of the handler. `None` if the handler has been dropped, together with the session's task.
    pub(crate) async fn next(&mut self) -> Option<Seen> {
        soon(self.seen.recv()).await
    }

    pub(crate) async fn expect(&mut self, seen: impl IntoIterator<Item = Seen>) {
        for seen in seen {
            assert_eq!(self.next().await, Some(seen));
        }
    }

    /// Expects the session to end with `reason`, and its task with it.
    pub(crate) async fn expect_end(&mut self, reason: CloseReason) {
        self.expect([Seen::Closed(reason)]).await;
        assert_eq!(self.next().await, None);
        assert!(self.session.is_closed());
    }

    /// Expects that the handler has not been called.
    pub(crate) fn expect_silence(&mut self) {
        assert_eq!(self.seen.try_recv(), Err(mpsc::error::TryRecvError::Empty));
    }

    pub(crate) fn want_input(&self, wanted: bool) {
        self.switches.wants_input.store(wanted, Ordering::SeqCst);
        self.session.wake();
    }

    /// Makes the handler take one message after each call of [`want_input`](Self::want_input).
    pub(crate) fn take_one_at_a_time(&self) {
        self.switches.takes_one.store(true, Ordering::SeqCst);
    }

    /// Makes the handler send back each message from now on.
    pub(crate) fn echo(&self) {
        self.switches.echoes.store(true, Ordering::SeqCst);
    }

    /// Gives the handler work that never ends.
    pub(crate) fn keep_pending(&self) {
        self.switches.is_pending.store(true, Ordering::SeqCst);
    }

    /// Returns how often the handler has been polled.
    pub(crate) fn polls(&self) -> usize {
        self.switches.polls.load(Ordering::SeqCst)
    }

    /// Waits until a poll waits for packets.
    pub(crate) async fn poll_waits(&self) {
        until(|| self.session.is_writable()).await;
    }
}

/// How clients reach a server.
#[derive(Debug, Clone)]
enum Dial {
    Tcp(SocketAddr),
    Memory(Engine<Program>),
}

impl Dial {
    async fn connect(&self) -> Box<dyn Stream> {
        match self {
            Self::Tcp(address) => Box::new(TcpStream::connect(address).await.expect("it listens")),
            Self::Memory(engine) => {
                let (client, server) = tokio::io::duplex(64 * 1024);
                serve(engine, server);
                Box::new(client)
            }
        }
    }
}

/// Serves a connection that did not come from a listener.
fn serve(engine: &Engine<Program>, stream: impl Stream + 'static) {
    let service = TowerToHyperService::new(engine.service());
    tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades());
}

/// A server on the loopback interface, or in memory.
pub(crate) struct Server {
    pub(crate) engine: Engine<Program>,
    pub(crate) address: SocketAddr,
    is_in_memory: bool,
    opened: mpsc::UnboundedReceiver<Opened>,
}

pub(crate) fn settings(change: impl FnOnce(&mut Settings)) -> Options {
    let mut options = Options::default();
    change(&mut options.protocol);
    options
}

impl Server {
    pub(crate) async fn start(options: Options) -> Self {
        let (sender, opened) = mpsc::unbounded_channel();
        let engine = Engine::new(options, Program(sender));
        let listener = Listener::bind("127.0.0.1:0", HttpLimits::default()).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(listener.serve(engine.service(), std::future::pending()));
        Self { engine, address, is_in_memory: false, opened }
    }

    /// Starts a server whose clients connect over streams in memory. With a paused clock, a timeout would come before what the
    /// kernel still holds.
    pub(crate) async fn start_in_memory(options: Options) -> Self {
        Self { is_in_memory: true, ..Self::start(options).await }
    }

    fn dial(&self) -> Dial {
        if self.is_in_memory { Dial::Memory(self.engine.clone()) } else { Dial::Tcp(self.address) }
    }

    /// Returns the session that was opened next.
    pub(crate) async fn opened(&mut self) -> Opened {
        soon(self.opened.recv()).await.expect("the engine is running")
    }

    pub(crate) async fn send(&self, request: &[u8]) -> Request {
        Request::send(&self.dial(), request).await
    }

    pub(crate) async fn get(&self, query: &str) -> Request {
        let head = format!("GET /engine.io/?{query} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        self.send(head.as_bytes()).await
    }

    /// Opens a polling session, and returns both ends of it.
    pub(crate) async fn open_polling(&mut self) -> (Polling, Opened) {
        self.open_polling_with("EIO=4", "").await
    }

    /// The same, with this revision, and with parameters that only the first request has.
    pub(crate) async fn open_polling_with(&mut self, revision: &str, first: &str) -> (Polling, Opened) {
        let response = self.get(&format!("{revision}&transport=polling{first}")).await.response_bytes().await;
        assert!(response.0.starts_with("http/1.1 200 "), "{response:?}");
        let opened = self.opened().await;
        (self.polling(revision, &opened), opened)
    }

    /// Returns the client's end of a polling session that is open.
    pub(crate) fn polling(&self, revision: &str, opened: &Opened) -> Polling {
        let query = format!("{revision}&transport=polling&sid={}", opened.session.id().as_str());
        Polling { dial: self.dial(), query }
    }

    /// Opens a WebSocket session, and returns both ends of it.
    pub(crate) async fn open_websocket(&mut self) -> (WebSocket, Opened) {
        self.open_websocket_with("EIO=4").await
    }

    /// The same, with this revision, and perhaps other parameters.
    pub(crate) async fn open_websocket_with(&mut self, parameters: &str) -> (WebSocket, Opened) {
        let query = format!("{parameters}&transport=websocket");
        let mut client = WebSocket::connect(self.dial().connect().await, &query, &[]).await;
        client.expect_open().await;
        (client, self.opened().await)
    }

    /// Opens a WebSocket session over a stream in memory, for tests with a paused clock.
    pub(crate) async fn open_in_memory(&mut self, capacity: usize) -> (WebSocket, Opened) {
        let (client, server) = tokio::io::duplex(capacity);
        self.serve(server);
        (WebSocket::open(Box::new(client)).await, self.opened().await)
    }

    /// Serves a connection that did not come from the listener.
    pub(crate) fn serve(&self, stream: impl Stream + 'static) {
        serve(&self.engine, stream);
    }

    /// Waits until the engine has no session.
    pub(crate) async fn expect_no_sessions(&self) {
        self.expect_sessions(0).await;
    }

    /// Waits until the engine has this many sessions.
    pub(crate) async fn expect_sessions(&self, count: usize) {
        until(|| self.engine.session_count() == count).await;
    }
}

/// A request that was sent. Dropping it closes the connection.
pub(crate) struct Request(pub(crate) Box<dyn Stream>);

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Request {
    async fn send(dial: &Dial, request: &[u8]) -> Self {
        let mut stream = dial.connect().await;
        stream.write_all(request).await.expect("sent");
        Self(stream)
    }

    pub(crate) async fn response(self) -> Response {
        let (head, body) = self.response_bytes().await;
        let status = head[9..12].parse().expect("a status");
        Response { status, head, body: String::from_utf8(body).expect("text") }
    }

    /// Returns the head of the response, in lower case, and its body.
    pub(crate) async fn response_bytes(mut self) -> (String, Vec<u8>) {
        let mut bytes = Vec::new();
        soon(self.0.read_to_end(&mut bytes)).await.expect("a response");
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8(bytes[..end].to_vec()).expect("text");
        (head.to_ascii_lowercase(), bytes[end + 4..].to_vec())
    }

    /// Returns the head of the response, in lower case.
    pub(crate) async fn response_head(mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon(self.0.read_u8()).await.expect("a response"));
        }
        String::from_utf8(head).expect("text").to_ascii_lowercase()
    }

    /// Expects the server to end the connection, with any response.
    pub(crate) async fn expect_end(mut self) {
        // A reset is also an end.
        let _ = soon(self.0.read_to_end(&mut Vec::new())).await;
    }

    /// Closes the sending side: no other request follows.
    pub(crate) async fn finish(&mut self) {
        self.0.shutdown().await.expect("sent");
    }

    /// Waits until the server has started to read the body.
    pub(crate) async fn expect_continue(&mut self) {
        let mut line = [0; 25];
        soon(self.0.read_exact(&mut line)).await.expect("a response");
        assert_eq!(&line, b"HTTP/1.1 100 Continue\r\n\r\n");
    }
}

impl Response {
    #[track_caller]
    pub(crate) fn expect(&self, status: u16, body: &str) {
        assert_eq!((self.status, &*self.body), (status, body));
    }
}

/// The client's end of a polling session.
#[derive(Debug, Clone)]
pub(crate) struct Polling {
    dial: Dial,
    query: String,
}

impl Polling {
    /// Opens a session.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let mut client = Self { dial: Dial::Tcp(address), query: "EIO=4&transport=polling".into() };
        let response = client.get().await.response().await;
        let (_, rest) = response.body.split_once("\"sid\":\"").expect("an open packet");
        client.query = format!("EIO=4&transport=polling&sid={}", &rest[..20]);
        client
    }

    /// Returns the query of the session's requests.
    pub(crate) fn query(&self) -> &str {
        &self.query
    }

    /// Sends a request with these header lines and this body.
    pub(crate) async fn request(&self, method: &str, headers: &str, body: impl AsRef<[u8]>) -> Request {
        let query = &self.query;
        let head =
            format!("{method} /engine.io/?{query} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{headers}\r\n");
        Request::send(&self.dial, &[head.as_bytes(), body.as_ref()].concat()).await
    }

    /// Starts a poll.
    pub(crate) async fn get(&self) -> Request {
        self.request("GET", "", "").await
    }

    /// Returns a poll for [`Engine::handle`], without a connection.
    pub(crate) fn poll_request(&self) -> http::Request<Empty<Bytes>> {
        http::Request::get(format!("/engine.io/?{}", self.query)).body(Empty::new()).expect("a request")
    }

    /// Polls once, and returns the packets.
    pub(crate) async fn poll(&self) -> String {
        let response = self.get().await.response().await;
        assert_eq!(response.status, 200, "{response:?}");
        response.body
    }

    /// Starts a POST.
    pub(crate) async fn begin_post(&self, payload: impl AsRef<[u8]>) -> Request {
        let length = payload.as_ref().len();
        self.request("POST", &format!("Content-Length: {length}\r\n"), payload).await
    }

    pub(crate) async fn post(&self, payload: impl AsRef<[u8]>) -> Response {
        self.begin_post(payload).await.response().await
    }

    /// Posts a payload that the server must accept.
    pub(crate) async fn post_ok(&self, payload: &str) {
        self.post(payload).await.expect(200, "ok");
    }

    /// Expects that the session does not exist any more.
    pub(crate) async fn expect_unknown(&self) {
        self.get().await.response().await.expect(400, r#"{"code":1,"message":"Session ID unknown"}"#);
    }

    /// Opens a WebSocket connection for this session, and writes `behind` together with the request.
    pub(crate) async fn candidate(&self, behind: &[u8]) -> WebSocket {
        self.candidate_with("", behind).await
    }

    /// The same, for a client that takes no binary frames.
    pub(crate) async fn base64_candidate(&self, behind: &[u8]) -> WebSocket {
        self.candidate_with("&b64=1", behind).await
    }

    async fn candidate_with(&self, parameter: &str, behind: &[u8]) -> WebSocket {
        let query = self.query.replace("transport=polling", "transport=websocket") + parameter;
        WebSocket::connect(self.dial.connect().await, &query, behind).await
    }
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// The client's end of a WebSocket connection.
pub(crate) struct WebSocket {
    stream: Box<dyn Stream>,
    machine: Connection,
    events: VecDeque<Event<'static>>,
}

/// Opens a connection whose kernel buffers little of what is not read.
pub(crate) async fn with_small_buffers(address: SocketAddr) -> Box<dyn Stream> {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(16 * 1024).expect("set");
    Box::new(socket.connect(address).await.expect("it listens"))
}

impl WebSocket {
    /// Opens a session.
    pub(crate) async fn open(stream: Box<dyn Stream>) -> Self {
        let mut client = Self::connect(stream, "EIO=4&transport=websocket", &[]).await;
        client.expect_open().await;
        client
    }

    pub(crate) async fn connect(stream: Box<dyn Stream>, query: &str, behind: &[u8]) -> Self {
        Self::handshake(stream, &[websocket_request(query).as_bytes(), behind].concat()).await.0
    }

    /// Sends a handshake. Returns the connection and the head of the response.
    pub(crate) async fn handshake(mut stream: Box<dyn Stream>, request: &[u8]) -> (Self, String) {
        stream.write_all(request).await.expect("sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon(stream.read_u8()).await.expect("a response"));
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
        let limits = ws_proto::Limits { max_message_size: 1 << 30, ..ws_proto::Limits::default() };
        let client =
            Self { stream, machine: Connection::new(Role::Client, &limits), events: VecDeque::new() };
        (client, String::from_utf8(head).expect("text"))
    }

    /// Reads exactly this many bytes of frames.
    pub(crate) async fn read_exact(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        soon(self.stream.read_exact(&mut bytes)).await.expect("read");
        bytes
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        soon(self.stream.write_all(bytes)).await.expect("written");
    }

    pub(crate) async fn send(&mut self, packet: &str) {
        self.write(&frame(Opcode::Text, packet.as_bytes())).await;
    }

    /// Returns the next event. `None` at the end of the stream.
    pub(crate) async fn recv(&mut self) -> Option<Event<'static>> {
        let mut buffer = vec![0; 64 * 1024];
        while self.events.is_empty() {
            let length = soon(self.stream.read(&mut buffer)).await.expect("read");
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

    /// Returns the next text. `None` if the connection closes.
    pub(crate) async fn recv_text(&mut self) -> Option<String> {
        match self.recv().await {
            Some(Event::Text(text)) => Some(text.into_owned()),
            Some(Event::Close(_)) | None => None,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn expect(&mut self, packet: &str) {
        assert_eq!(self.recv().await, Some(Event::Text(packet.into())));
    }

    async fn expect_open(&mut self) {
        let open = self.recv_text().await.expect("an open packet");
        assert!(open.starts_with("0{\"sid\":\""), "{open}");
    }

    /// Expects the server to close with this code, if any, and then to end the stream.
    pub(crate) async fn expect_close(mut self, code: Option<u16>) {
        match self.recv().await {
            Some(Event::Close(frame)) => assert_eq!(frame.map(|frame| frame.code.as_u16()), code),
            other => panic!("{other:?}"),
        }
        self.write(&frame(Opcode::Close, &[])).await;
        assert_eq!(self.recv().await, None, "the server ends the stream");
    }
}

pub(crate) fn websocket_request(query: &str) -> String {
    format!(
        "GET /engine.io/?{query} HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// Returns a masked frame.
pub(crate) fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader { masking_key: Some(KEY), ..FrameHeader::unfragmented(opcode, payload.len()) };
    let mut wire = header.encode().to_vec();
    let start = wire.len();
    wire.extend_from_slice(payload);
    ws_proto::mask(&mut wire[start..], KEY);
    wire
}

/// Returns masked text frames, one after the other.
pub(crate) fn frames<P: AsRef<str>>(packets: impl IntoIterator<Item = P>) -> Vec<u8> {
    packets.into_iter().flat_map(|packet| frame(Opcode::Text, packet.as_ref().as_bytes())).collect()
}
