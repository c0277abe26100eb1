//! The log lines about handshakes that are refused.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex};

use http::Request;
use tidewire_ws::{AllowedOrigins, ConnectError, Connector, Server, WebSocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Level};
use tracing_subscriber::util::SubscriberInitExt;

use crate::support::soon;

/// What this thread logs.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn start() -> (Self, DefaultGuard) {
        // With only one subscriber in the process, `tracing` remembers the answer of the thread that reaches a log
        // statement first. That thread may belong to another test.
        static SECOND: LazyLock<Dispatch> =
            LazyLock::new(|| tracing_subscriber::fmt().with_writer(std::io::sink).finish().into());
        LazyLock::force(&SECOND);
        let log = Self::default();
        let to = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(Level::WARN)
            .with_writer(move || to.clone());
        (log, subscriber.finish().set_default())
    }

    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().expect("no panic"))).expect("text")
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Write::write(&mut *self.0.lock().expect("no panic"), bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn serve() -> SocketAddr {
    let origins = AllowedOrigins::new(["https://example.com"]).expect("an origin");
    let builder = Server::builder().allow_origins(origins).max_connections(1).allow_request(|request| {
        match request.uri.path() {
            "/no" => Err("not today".to_owned()),
            _ => Ok(()),
        }
    });
    let server = builder.bind("127.0.0.1:0").await.expect("a free port");
    let address = server.local_addr().expect("an address");
    tokio::spawn(server.serve(async |mut socket: WebSocket| while socket.recv().await.is_some() {}));
    address
}

#[tokio::test]
async fn each_refused_handshake_is_a_warning_with_its_reason() {
    let server = serve().await;
    let (log, _logging) = Log::start();
    let refused = async |connector: Connector| {
        assert!(matches!(soon(connector.connect()).await, Err(ConnectError::Rejected(_))));
        let lines = log.take();
        assert!(lines.lines().count() == 1 && lines.contains("peer=127.0.0.1:"), "{lines}");
        lines
    };
    let path = |path| Connector::new(format!("ws://{server}{path}"));
    let line = refused(path("/").header("origin", "https://evil.example")).await;
    assert!(line.contains(" WARN ") && line.contains("origin"), "{line}");
    assert!(refused(path("/no")).await.contains("error=not today"));
    let open = soon(path("/").connect()).await.expect("accepted");
    assert!(refused(path("/")).await.contains("error=too many connections"));
    drop(open);

    let mut plain = TcpStream::connect(server).await.expect("it listens");
    plain.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.expect("sent");
    soon(plain.read_to_end(&mut Vec::new())).await.expect("a response");
    let line = log.take();
    assert!(line.contains("refused a WebSocket handshake") && line.contains("error="), "{line}");
}

#[test]
fn a_program_that_checks_handshakes_itself_has_a_line_for_those_that_are_invalid() {
    let (log, _logging) = Log::start();
    // This is no handshake, so the program may respond with a page.
    assert!(tidewire_ws::upgrade(&mut Request::new(())).is_err());
    assert_eq!(log.take(), "");
    let handshake = |version: &str, origin: &str| {
        let request = Request::builder().header("host", "h").header("connection", "upgrade");
        let request = request.header("upgrade", "websocket").header("sec-websocket-version", version);
        let request = request.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        request.header("origin", origin).body(()).expect("a request")
    };
    assert!(tidewire_ws::upgrade(&mut handshake("12", "https://example.com")).is_err());
    let line = log.take();
    assert!(line.contains(" WARN ") && line.contains("refused a WebSocket handshake"), "{line}");
    let origins = AllowedOrigins::new(["https://example.com"]).expect("an origin");
    let upgrade = tidewire_ws::upgrade(&mut handshake("13", "https://evil.example")).expect("it is valid");
    assert!(upgrade.allow_origins(&origins).is_err());
    assert!(log.take().contains("origin"));
}
