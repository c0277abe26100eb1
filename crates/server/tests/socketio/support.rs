//! A program whose handlers tell the test what they do, and a client that sends literal packets.

use std::fmt::Display;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tidewire_server::{Builder, Server, Socket};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// Fails the test instead of letting it hang.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), what).await.expect("in time")
}

/// Lets everything else run until `condition` holds.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    soon(async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// State of the program: what its handlers say, the test reads.
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

    /// All that has been said and not read yet.
    pub(crate) fn now(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.0.try_recv().ok()).collect()
    }

    #[track_caller]
    pub(crate) fn expect_silence(&mut self) {
        assert_eq!(self.now(), [""; 0]);
    }
}

/// State of the program: handlers wait here until the test lets one pass.
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

/// State of the program: gives sockets to the test.
#[derive(Debug)]
pub(crate) struct Joined(pub(crate) mpsc::UnboundedSender<Socket>);

/// What a test has of its program.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) lines: Lines,
    pub(crate) gate: Gate,
    sockets: mpsc::UnboundedReceiver<Socket>,
}

impl Program {
    /// The socket that joined next, if the program gives it to [`Joined`].
    pub(crate) async fn joined(&mut self) -> Socket {
        soon(self.sockets.recv()).await.expect("the program runs")
    }
}

/// A server with a [`Log`], which also gets the errors, a [`Gate`] and [`Joined`] as its state.
pub(crate) fn program() -> (Builder, Program) {
    let (sender, lines) = mpsc::unbounded_channel();
    let (joined, sockets) = mpsc::unbounded_channel();
    let log = Log(sender);
    let gate = Gate(Arc::new(Semaphore::new(0)));
    let errors = log.clone();
    let builder = Server::builder().state(log).state(gate.clone()).state(Joined(joined)).on_error(
        move |error, _, event| errors.say(format_args!("error in {}: {error}", event.unwrap_or("-"))),
    );
    (builder, Program { lines: Lines(lines), gate, sockets })
}

/// Serves on the loopback device.
pub(crate) async fn serve(io: &Server) -> SocketAddr {
    let listener = io.bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let io = io.clone();
    tokio::spawn(async move { io.serve(listener, std::future::pending()).await });
    address
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A client on WebSocket.
pub(crate) struct Client(WebSocketStream<Box<dyn Stream>>);

impl Client {
    /// Connects and joins nothing.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self::over(Box::new(TcpStream::connect(address).await.expect("it listens"))).await
    }

    /// Connects and joins `/`.
    pub(crate) async fn join(address: SocketAddr) -> Self {
        let mut client = Self::open(address).await;
        client.connect("").await;
        client
    }

    /// Joins `/` over a stream in memory that holds no more than `capacity` bytes in each direction.
    pub(crate) async fn join_in_memory(io: &Server, capacity: usize) -> Self {
        let (stream, server) = tokio::io::duplex(capacity);
        let service = TowerToHyperService::new(io.service());
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(server), service).with_upgrades());
        let mut client = Self::over(Box::new(stream)).await;
        client.connect("").await;
        client
    }

    async fn over(stream: Box<dyn Stream>) -> Self {
        let url = "ws://localhost/socket.io/?EIO=4&transport=websocket";
        let (stream, _) = soon(tokio_tungstenite::client_async(url, stream)).await.expect("a handshake");
        let mut client = Self(stream);
        let open = client.recv().await.expect("an open packet");
        assert!(open.starts_with("0{\"sid\":\""), "{open}");
        client
    }

    /// Joins a namespace, `""` for `/` or `"/name,"` for others; the id of the socket.
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

    /// The next packet; pings are answered. `None` when the connection is over.
    pub(crate) async fn recv(&mut self) -> Option<String> {
        soon(self.next()).await
    }

    /// The same, for a test that says itself how long it may take.
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

    /// The server closes the connection, and says nothing before that.
    pub(crate) async fn expect_end(&mut self) {
        assert_eq!(self.recv().await, None);
    }

    /// Nothing has been sent to this client but `packet`, the answer to `ask`.
    pub(crate) async fn expect_only(&mut self, ask: &str, packet: &str) {
        self.send(ask).await;
        self.expect(packet).await;
    }
}
