//! Sessions over HTTP/2: all requests of a client and its WebSocket use one connection.

use bytes::Bytes;
use h2::client::SendRequest;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{Method, Request, Response};
use tidewire_engineio::{CloseReason, Options, Transport};
use tokio::net::TcpStream;
use ws_proto::{Connection, Event, Input, Limits, Opcode, Role, Time};

use crate::support::{Server, frame, frames, soon, text};

struct Client(SendRequest<Bytes>);

impl Client {
    async fn connect(server: &Server) -> Self {
        let stream = TcpStream::connect(server.address).await.expect("it listens");
        let (requests, connection) = h2::client::handshake(stream).await.expect("a connection");
        tokio::spawn(connection);
        Self(requests)
    }

    async fn begin(
        &mut self,
        request: http::request::Builder,
        query: &str,
        end: bool,
    ) -> (Response<RecvStream>, SendStream<Bytes>) {
        let request =
            request.uri(format!("http://localhost/engine.io/?{query}")).body(()).expect("a request");
        let mut requests = soon(self.0.clone().ready()).await.expect("capacity");
        let (response, stream) = requests.send_request(request, end).expect("a request");
        (soon(response).await.expect("a response"), stream)
    }

    async fn get(&mut self, query: &str) -> (u16, String) {
        read(self.begin(Request::builder(), query, true).await.0).await
    }

    async fn post(&mut self, query: &str, payload: &'static str) -> (u16, String) {
        let request = Request::builder().method(Method::POST).uri(format!("http://h/engine.io/?{query}"));
        let mut requests = soon(self.0.clone().ready()).await.expect("capacity");
        let (response, mut body) =
            requests.send_request(request.body(()).expect("a request"), false).expect("sent");
        body.send_data(Bytes::from_static(payload.as_bytes()), true).expect("sent");
        read(soon(response).await.expect("a response")).await
    }

    async fn connect_request(
        &mut self,
        query: &str,
        version: &str,
    ) -> (Response<RecvStream>, SendStream<Bytes>) {
        let request = Request::builder()
            .method(Method::CONNECT)
            .extension(Protocol::from_static("websocket"))
            .header("sec-websocket-version", version);
        self.begin(request, query, false).await
    }

    async fn websocket(&mut self, query: &str) -> WebSocket {
        let (response, sender) = self.connect_request(query, "13").await;
        assert_eq!(response.status(), 200, "{response:?}");
        let machine = Connection::new(Role::Client, &Limits::default());
        WebSocket { sender, receiver: response.into_body(), machine, read: Vec::new() }
    }
}

async fn read(response: Response<RecvStream>) -> (u16, String) {
    let status = response.status().as_u16();
    assert_eq!(response.headers().get("connection"), None);
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while let Some(data) = soon(body.data()).await {
        bytes.extend_from_slice(&data.expect("a whole response"));
    }
    (status, String::from_utf8(bytes).expect("text"))
}

struct WebSocket {
    sender: SendStream<Bytes>,
    receiver: RecvStream,
    machine: Connection,
    read: Vec<u8>,
}

impl WebSocket {
    fn send(&mut self, messages: &[&str]) {
        self.sender.send_data(Bytes::from(frames(messages)), false).expect("an open stream");
    }

    /// Returns the next message. `None` at the end of the stream.
    async fn recv(&mut self) -> Option<String> {
        loop {
            let mut input = Input::new(&mut self.read);
            let event = self.machine.decode(&mut input, Time::ZERO).expect("what a server may send");
            let message = event.and_then(|event| match event {
                Event::Text(text) => Some(text.to_string()),
                _ => None,
            });
            let left = input.len();
            let decoded = self.read.len() - left;
            self.read.drain(..decoded);
            if message.is_some() {
                return message;
            }
            let data = soon(self.receiver.data()).await?;
            self.read.extend_from_slice(&data.expect("no reset"));
        }
    }
}

#[tokio::test]
async fn a_session_begins_on_a_websocket() {
    let mut server = Server::start(Options::default()).await;
    let mut client = Client::connect(&server).await;
    // The server's settings arrive with the first response.
    assert_eq!(client.get("EIO=4&transport=websocket").await.0, 400);
    let mut websocket = client.websocket("EIO=4&transport=websocket").await;
    let open = websocket.recv().await.expect("an open packet");
    assert!(open.starts_with(r#"0{"sid":""#), "{open}");
    let mut opened = server.opened().await;
    websocket.send(&["4hello"]);
    opened.expect([text("hello")]).await;
    opened.session.send_text("there");
    assert_eq!(websocket.recv().await.as_deref(), Some("4there"));
    websocket.sender.send_data(Bytes::from(frame(Opcode::Close, &[])), true).expect("an open stream");
    opened.expect_end(CloseReason::TransportClose).await;
    assert_eq!(websocket.recv().await, None);
    server.expect_no_sessions().await;
}

#[tokio::test]
async fn a_session_moves_from_polling_to_a_websocket_of_the_same_connection() {
    let mut server = Server::start(Options::default()).await;
    let mut client = Client::connect(&server).await;
    let (status, open) = client.get("EIO=4&transport=polling").await;
    assert_eq!(status, 200);
    let (_, rest) = open.split_once("\"sid\":\"").expect("an open packet");
    let of_session = |transport| format!("EIO=4&transport={transport}&sid={}", &rest[..20]);
    let mut opened = server.opened().await;
    assert_eq!(client.post(&of_session("polling"), "4by polling").await, (200, "ok".into()));
    opened.expect([text("by polling")]).await;

    let mut websocket = client.websocket(&of_session("websocket")).await;
    websocket.send(&["2probe"]);
    assert_eq!(websocket.recv().await.as_deref(), Some("3probe"));
    assert_eq!(client.get(&of_session("polling")).await, (200, "6".into()));
    websocket.send(&["5", "4by WebSocket"]);
    opened.expect([text("by WebSocket")]).await;
    assert_eq!(opened.session.transport(), Transport::WebSocket);
    opened.session.send_text("there");
    assert_eq!(websocket.recv().await.as_deref(), Some("4there"));
}

#[tokio::test]
async fn the_first_offered_subprotocol_is_selected() {
    let mut server = Server::start(Options::default()).await;
    let mut client = Client::connect(&server).await;
    let (_, open) = client.get("EIO=4&transport=polling").await;
    let (_, rest) = open.split_once("\"sid\":\"").expect("an open packet");
    let candidate = format!("EIO=4&transport=websocket&sid={}", &rest[..20]);
    let _opened = server.opened().await;
    for query in ["EIO=4&transport=websocket", &candidate] {
        let request = Request::builder()
            .method(Method::CONNECT)
            .extension(Protocol::from_static("websocket"))
            .header("sec-websocket-version", "13")
            .header("sec-websocket-protocol", "chat, superchat");
        let (response, _sender) = client.begin(request, query, false).await;
        assert_eq!(response.status(), 200, "{query}");
        assert_eq!(response.headers()["sec-websocket-protocol"], "chat", "{query}");
    }
}

#[tokio::test]
async fn what_is_refused_is_refused_as_over_http_1() {
    let server = Server::start(Options::default()).await;
    let mut client = Client::connect(&server).await;
    assert_eq!(client.get("EIO=4").await, (400, r#"{"code":0,"message":"Transport unknown"}"#.into()));
    for (query, version, words) in [
        ("EIO=3&transport=websocket", "13", "Unsupported protocol version"),
        ("EIO=4&transport=polling", "13", "Bad request"),
        ("EIO=4&transport=websocket&sid=unknown", "13", "Session ID unknown"),
        ("EIO=4&transport=websocket", "8", "the Sec-WebSocket-Version header has to be 13\n"),
    ] {
        let (response, _sender) = client.connect_request(query, version).await;
        assert_eq!(read(response).await, (400, words.into()), "{query}");
    }
    server.expect_no_sessions().await;
}

#[tokio::test]
async fn a_client_that_resets_its_stream_or_goes_has_left() {
    let mut server = Server::start(Options::default()).await;
    let mut client = Client::connect(&server).await;
    client.get("EIO=4").await;
    let mut websocket = client.websocket("EIO=4&transport=websocket").await;
    let mut opened = server.opened().await;
    websocket.sender.send_reset(h2::Reason::CANCEL);
    opened.expect_end(CloseReason::TransportClose).await;
    let websocket = client.websocket("EIO=4&transport=websocket").await;
    let mut opened = server.opened().await;
    drop((client, websocket));
    assert!(opened.next().await.is_some());
    server.expect_no_sessions().await;
}
