//! A WebSocket server, and a client that uses it over HTTP/2 without TLS.

use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::net::SocketAddr;

use bytes::Bytes;
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream, client};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use net::{HttpLimits, Listener};
use tidewire_ws::{DeflateOptions, HandlerOutput, Limits, WebSocket};
use tokio::net::{TcpListener, TcpStream};
use tower::service_fn;
use ws_proto::{Connection, Event, Input, Opcode, Role, Time, encode_frame};

use crate::support::soon;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A server that expects each request to be a WebSocket handshake.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) async fn start<F, Fut>(handler: F) -> Self
    where
        F: Fn(WebSocket) -> Fut + Clone + Send + 'static,
        Fut: Future<Output: HandlerOutput> + Send + 'static,
    {
        Self::start_with(HttpLimits::default(), Limits::default(), handler).await
    }

    pub(crate) async fn start_with<F, Fut>(http: HttpLimits, limits: Limits, handler: F) -> Self
    where
        F: Fn(WebSocket) -> Fut + Clone + Send + 'static,
        Fut: Future<Output: HandlerOutput> + Send + 'static,
    {
        let listener = Listener::bind("127.0.0.1:0", http).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let service = service_fn(move |request: Request<Incoming>| {
            let response = respond(request, limits, DeflateOptions::default(), handler.clone());
            async { Ok::<_, Infallible>(response) }
        });
        tokio::spawn(listener.serve(service, pending()));
        Self { address }
    }
}

/// The same, with hyper's own server.
pub(crate) async fn serve_by_hyper<F, Fut>(options: DeflateOptions, handler: F) -> SocketAddr
where
    F: Fn(WebSocket) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output: HandlerOutput> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let response = respond(request, Limits::default(), options, handler.clone());
            async { Ok::<_, Infallible>(response) }
        });
        let mut server = auto::Builder::new(TokioExecutor::new());
        server.http2().enable_connect_protocol();
        let _ = server.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
    });
    address
}

fn respond<F, Fut>(
    mut request: Request<Incoming>,
    limits: Limits,
    options: DeflateOptions,
    handler: F,
) -> Response<String>
where
    F: FnOnce(WebSocket) -> Fut + Send + 'static,
    Fut: Future<Output: HandlerOutput> + Send + 'static,
{
    match tidewire_ws::upgrade(&mut request) {
        Ok(upgrade) => upgrade
            .limits(limits)
            .select_protocol("chat.v2")
            .compress(options)
            .on_upgrade(handler)
            .map(|()| String::new()),
        Err(error) => error.response(),
    }
}

/// An opening handshake.
pub(crate) fn request() -> Request<()> {
    Request::builder()
        .method(Method::CONNECT)
        .uri("http://localhost/chat")
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
        .body(())
        .expect("a request")
}

pub(crate) fn get(uri: &str) -> Request<()> {
    Request::get(uri).body(()).expect("a request")
}

/// One HTTP/2 connection.
pub(crate) struct Client {
    requests: client::SendRequest<Bytes>,
}

impl Client {
    pub(crate) async fn connect(server: SocketAddr) -> Self {
        Self::connect_by(client::Builder::new(), server).await
    }

    /// A client whose streams have this window size.
    pub(crate) async fn connect_with_window(server: SocketAddr, window: u32) -> Self {
        let mut builder = client::Builder::new();
        builder.initial_window_size(window);
        Self::connect_by(builder, server).await
    }

    async fn connect_by(builder: client::Builder, server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).await.expect("a server");
        let (requests, connection) = soon(builder.handshake(stream)).await.expect("a connection");
        tokio::spawn(connection);
        let mut client = Self { requests };
        // An extended CONNECT must not be sent before the settings have arrived.
        client.send(get("http://localhost/")).await;
        client
    }

    pub(crate) fn may_send_an_extended_connect(&self) -> bool {
        self.requests.is_extended_connect_protocol_enabled()
    }

    /// Sends a request without a body, and returns the head of the response.
    pub(crate) async fn send(&mut self, request: Request<()>) -> Response<()> {
        let mut requests = soon(self.requests.clone().ready()).await.expect("a free stream");
        let is_connect = request.method() == Method::CONNECT;
        let (response, _stream) = requests.send_request(request, !is_connect).expect("a request");
        soon(response).await.expect("a response").map(|_| ())
    }

    pub(crate) async fn open(&mut self) -> Socket {
        let (response, socket) = self.open_by(request()).await;
        assert_eq!(response.status(), StatusCode::OK, "{response:?}");
        socket
    }

    pub(crate) async fn open_by(&mut self, request: Request<()>) -> (Response<()>, Socket) {
        let mut requests = soon(self.requests.clone().ready()).await.expect("a free stream");
        let (response, stream) = requests.send_request(request, false).expect("a request");
        let (head, received) = soon(response).await.expect("a response").into_parts();
        let receiver = Receiver {
            stream: Some(received),
            machine: Connection::new(Role::Client, &ws_proto::Limits::default()),
            read: Vec::new(),
            reset: None,
        };
        (Response::from_parts(head, ()), Socket { sender: Sender(stream), receiver })
    }
}

/// One WebSocket.
pub(crate) struct Socket {
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
}

impl Socket {
    pub(crate) async fn send(&mut self, opcode: Opcode, payload: &[u8]) {
        self.sender.send(opcode, payload).await;
    }

    /// The next message or control frame; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<(Opcode, Vec<u8>)> {
        self.receiver.next().await
    }

    pub(crate) fn reset(mut self, reason: Reason) {
        self.sender.0.send_reset(reason);
    }
}

pub(crate) struct Sender(SendStream<Bytes>);

impl Sender {
    pub(crate) async fn send(&mut self, opcode: Opcode, payload: &[u8]) {
        let mut wire = Vec::new();
        encode_frame(opcode, payload, Some(KEY), &mut wire);
        let mut wire = Bytes::from(wire);
        while !wire.is_empty() {
            self.0.reserve_capacity(wire.len());
            let capacity = poll_fn(|cx| self.0.poll_capacity(cx)).await;
            let capacity = capacity.expect("an open stream").expect("an open stream");
            self.0.send_data(wire.split_to(capacity.min(wire.len())), false).expect("an open stream");
        }
    }

    /// Sends END_STREAM.
    pub(crate) fn end(&mut self) {
        self.0.send_data(Bytes::new(), true).expect("an open stream");
    }

    /// Waits until the server resets the stream.
    pub(crate) async fn until_reset(&mut self) -> Reason {
        soon(poll_fn(|cx| self.0.poll_reset(cx))).await.expect("a reason")
    }
}

pub(crate) struct Receiver {
    pub(crate) stream: Option<RecvStream>,
    machine: Connection,
    read: Vec<u8>,
    /// The reason with which the server reset the stream.
    pub(crate) reset: Option<Reason>,
}

impl Receiver {
    pub(crate) async fn next(&mut self) -> Option<(Opcode, Vec<u8>)> {
        loop {
            let mut input = Input::new(&mut self.read);
            let event = self.machine.decode(&mut input, Time::ZERO).expect("what a server may send");
            let event = event.map(|event| match event {
                Event::Text(text) => (Opcode::Text, text.as_bytes().to_vec()),
                Event::Binary(bytes) => (Opcode::Binary, bytes.to_vec()),
                Event::Ping(payload) => (Opcode::Ping, payload.to_vec()),
                Event::Pong(payload) => (Opcode::Pong, payload.to_vec()),
                Event::Close(None) => (Opcode::Close, Vec::new()),
                Event::Close(Some(frame)) => {
                    let code = u16::from(frame.code).to_be_bytes();
                    (Opcode::Close, [&code, frame.reason.as_bytes()].concat())
                }
                other => panic!("{other:?}"),
            });
            let left = input.len();
            let consumed = self.read.len() - left;
            self.read.drain(..consumed);
            if event.is_some() {
                return event;
            }
            let stream = self.stream.as_mut()?;
            match soon(stream.data()).await {
                Some(Ok(data)) => {
                    stream.flow_control().release_capacity(data.len()).expect("what was received");
                    self.read.extend_from_slice(&data);
                }
                Some(Err(error)) => {
                    self.reset = error.reason();
                    return None;
                }
                None => return None,
            }
        }
    }
}
