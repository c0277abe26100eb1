//! A server program whose handlers report to the test, and a client that sends literal packets.

use std::fmt::Display;
use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tidewire_server::{Builder, Server, Socket};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Level};
use tracing_subscriber::util::SubscriberInitExt;

/// Fails the test instead of letting it hang.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), what).await.expect("in time")
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

/// State of the program: the lines that its handlers log. The test reads them.
#[derive(Debug, Clone)]
pub(crate) struct Log(mpsc::UnboundedSender<String>);

impl Log {
    pub(crate) fn say(&self, line: impl Display) {
        let _ = self.0.send(line.to_string());
    }
}

#[derive(Debug)]
pub(crate) struct Lines(mpsc::UnboundedReceiver<String>);

impl Lines {
    pub(crate) async fn next(&mut self) -> String {
        soon(self.0.recv()).await.expect("the program runs")
    }

    pub(crate) async fn expect<L: AsRef<str>>(&mut self, lines: impl IntoIterator<Item = L>) {
        for line in lines {
            assert_eq!(self.next().await, line.as_ref());
        }
    }

    /// Returns all lines that the test has not read yet.
    pub(crate) fn now(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.0.try_recv().ok()).collect()
    }

    #[track_caller]
    pub(crate) fn expect_silence(&mut self) {
        assert_eq!(self.now(), [""; 0]);
    }
}

/// What the log says of a handler that keeps its thread.
pub(crate) const BLOCKED: &str = "kept its thread";

/// What this thread logs with `tracing`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Logged(Arc<Mutex<Vec<u8>>>);

impl Logged {
    /// Begins to record, until the guard is dropped.
    pub(crate) fn start() -> (Self, DefaultGuard) {
        Self::start_at(Level::INFO)
    }

    pub(crate) fn start_at(level: Level) -> (Self, DefaultGuard) {
        // With only one subscriber in the process, `tracing` asks the thread that first reaches a log statement whether
        // anyone wants it, and remembers a no for every thread. That thread may belong to another test.
        static SECOND_SUBSCRIBER: LazyLock<Dispatch> =
            LazyLock::new(|| tracing_subscriber::fmt().with_writer(std::io::sink).finish().into());
        LazyLock::force(&SECOND_SUBSCRIBER);
        let logged = Self::default();
        let to = logged.clone();
        let subscriber = tracing_subscriber::fmt().with_max_level(level).with_ansi(false);
        (logged, subscriber.with_writer(move || to.clone()).finish().set_default())
    }

    /// Returns the lines. Those about handlers that keep their thread are left out, because a busy machine causes some too.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.all_lines().into_iter().filter(|line| !line.contains(BLOCKED)).collect()
    }

    pub(crate) fn all_lines(&self) -> Vec<String> {
        let logged = String::from_utf8(self.0.lock().expect("no panic").clone()).expect("text");
        logged.lines().map(str::to_owned).collect()
    }
}

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// State of the program: a gate at which handlers wait until the test releases them one by one.
#[derive(Debug, Clone)]
pub(crate) struct Gate(Arc<Semaphore>);

impl Gate {
    pub(crate) async fn pass(&self) {
        self.0.acquire().await.expect("it is never closed").forget();
    }

    pub(crate) fn open(&self) {
        self.0.add_permits(1);
    }
}

/// State of the program: passes sockets to the test.
#[derive(Debug)]
pub(crate) struct Joined(pub(crate) mpsc::UnboundedSender<Socket>);

/// The test's handle to its program.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) lines: Lines,
    pub(crate) gate: Gate,
    sockets: mpsc::UnboundedReceiver<Socket>,
}

impl Program {
    /// Returns the next socket that connects, if the program passes it to [`Joined`].
    pub(crate) async fn joined(&mut self) -> Socket {
        soon(self.sockets.recv()).await.expect("the program runs")
    }
}

/// Returns a log, and the lines that are written to it.
pub(crate) fn log() -> (Log, Lines) {
    let (sender, lines) = mpsc::unbounded_channel();
    (Log(sender), Lines(lines))
}

/// A server whose state is a [`Log`], a [`Gate`] and [`Joined`]. The error hook writes to the log.
pub(crate) fn program() -> (Builder, Program) {
    let (joined, sockets) = mpsc::unbounded_channel();
    let (log, lines) = log();
    let gate = Gate(Arc::new(Semaphore::new(0)));
    let errors = log.clone();
    let builder = Server::builder().state(log).state(gate.clone()).state(Joined(joined)).on_error(
        move |error, _, event| errors.say(format_args!("error in {}: {error}", event.unwrap_or("-"))),
    );
    (builder, Program { lines, gate, sockets })
}

/// Serves on the loopback interface.
pub(crate) async fn serve(io: &Server) -> SocketAddr {
    let listener = io.bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let io = io.clone();
    tokio::spawn(async move { io.serve(listener, std::future::pending()).await });
    address
}

/// Sends a request to a server that is mounted in hyper, and returns the response.
pub(crate) async fn request_in_memory(io: &Server, request: &str) -> String {
    let (mut stream, server) = tokio::io::duplex(64 * 1024);
    let service = TowerToHyperService::new(io.service());
    tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(server), service));
    let request = format!("{request} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.expect("sent");
    let mut response = String::new();
    soon(stream.read_to_string(&mut response)).await.expect("a response");
    response
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A Socket.IO client over WebSocket.
pub(crate) struct Client(WebSocketStream<Box<dyn Stream>>);

impl Client {
    /// Opens a connection without connecting to a namespace.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self::over(Box::new(TcpStream::connect(address).await.expect("it listens"))).await
    }

    /// Opens a connection and connects to `/`.
    pub(crate) async fn join(address: SocketAddr) -> Self {
        let mut client = Self::open(address).await;
        client.connect("").await;
        client
    }

    /// Connects to `/` over an in-memory stream that buffers at most `capacity` bytes in each direction.
    pub(crate) async fn join_in_memory(io: &Server, capacity: usize) -> Self {
        let mut client = Self::open_in_memory(io, capacity).await;
        client.connect("").await;
        client
    }

    /// Opens a connection like `join_in_memory`, without connecting to a namespace.
    pub(crate) async fn open_in_memory(io: &Server, capacity: usize) -> Self {
        let (stream, server) = tokio::io::duplex(capacity);
        let service = TowerToHyperService::new(io.service());
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(server), service).with_upgrades());
        Self::over(Box::new(stream)).await
    }

    /// Opens a WebSocket to which the session `sid` may upgrade.
    pub(crate) async fn upgrade(address: SocketAddr, sid: &str) -> Self {
        let stream: Box<dyn Stream> = Box::new(TcpStream::connect(address).await.expect("it listens"));
        let url = format!("ws://localhost/socket.io/?EIO=4&transport=websocket&sid={sid}");
        let (stream, _) = soon(tokio_tungstenite::client_async(url, stream)).await.expect("a handshake");
        Self(stream)
    }

    async fn over(stream: Box<dyn Stream>) -> Self {
        let url = "ws://localhost/socket.io/?EIO=4&transport=websocket";
        let (stream, _) = soon(tokio_tungstenite::client_async(url, stream)).await.expect("a handshake");
        Self::opened(stream).await
    }

    /// Reads the open packet of a WebSocket.
    pub(crate) async fn opened(stream: WebSocketStream<Box<dyn Stream>>) -> Self {
        let mut client = Self(stream);
        let open = client.recv().await.expect("an open packet");
        assert!(open.starts_with("0{\"sid\":\""), "{open}");
        client
    }

    /// Connects to a namespace: `""` for `/`, or `"/name,"` for others. Returns the id of the socket.
    pub(crate) async fn connect(&mut self, namespace: &str) -> String {
        self.send(&format!("40{namespace}")).await;
        let reply = self.recv().await.expect("a reply");
        let id = reply.strip_prefix(&format!("40{namespace}{{\"sid\":\"")).expect(&reply);
        id.trim_end_matches("\"}").to_owned()
    }

    pub(crate) async fn send(&mut self, packet: &str) {
        soon(self.0.send(Message::text(packet))).await.expect("sent");
    }

    pub(crate) async fn send_binary(&mut self, data: &[u8]) {
        soon(self.0.send(Message::binary(data.to_vec()))).await.expect("sent");
    }

    /// Sends packets in one write.
    pub(crate) async fn send_all<P: AsRef<str>>(&mut self, packets: impl IntoIterator<Item = P>) {
        for packet in packets {
            soon(self.0.feed(Message::text(packet.as_ref()))).await.expect("sent");
        }
        soon(self.0.flush()).await.expect("sent");
    }

    /// Returns the next packet and responds to pings. `None` when the connection is closed.
    pub(crate) async fn recv(&mut self) -> Option<String> {
        soon(self.next()).await
    }

    /// Like `recv`, but without a timeout: the test sets its own.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) if text.as_str() == "2" => self.send("3").await,
                Some(Ok(Message::Text(text))) => return Some(text.to_string()),
                Some(Ok(Message::Binary(data))) => return Some(format!("{data:?}")),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    pub(crate) async fn expect(&mut self, packet: &str) {
        assert_eq!(self.recv().await.as_deref(), Some(packet));
    }

    /// Reads as many bytes from the stream below the WebSocket, and asserts that they are these.
    pub(crate) async fn expect_bytes(&mut self, expected: &[u8]) {
        let mut buffer = vec![0; 64 * 1024];
        let mut rest = expected;
        while !rest.is_empty() {
            let read = tokio::time::timeout(Duration::from_secs(60), self.0.get_mut().read(&mut buffer));
            let count = read.await.expect("in time").expect("the connection is open");
            assert!(count > 0 && rest.starts_with(&buffer[..count]), "{} bytes before the end", rest.len());
            rest = &rest[count..];
        }
    }

    /// Asserts that the server closes the connection without sending another packet.
    pub(crate) async fn expect_end(&mut self) {
        assert_eq!(self.recv().await, None);
    }

    /// Asserts that this client has received nothing but `packet`, the response to `ask`.
    pub(crate) async fn expect_only(&mut self, ask: &str, packet: &str) {
        self.send(ask).await;
        self.expect(packet).await;
    }
}
