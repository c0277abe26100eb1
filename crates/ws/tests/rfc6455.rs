//! RFC 6455 on a TCP connection: the bytes that arrive, and how the connection ends.
//!
//! The numbers are the ones in `index.rs` of the test `rfc6455` in the crate `ws-proto`. No test here accepts just any
//! Close: [`Client::rest`] asserts every byte, then the end of the stream without a reset, and all of that sooner than
//! any timeout of the server could cause it.

mod client;
mod closing;
mod frames;
mod handshake;
#[cfg(feature = "tls")]
mod tls;

use std::net::SocketAddr;
use std::time::Duration;

use tidewire_ws::{HandlerOutput, WebSocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Half of the close timeout: an end that is caused by a timeout fails the test.
const SOON: Duration = Duration::from_secs(5);

/// Starts a server that runs `handler` for each connection.
async fn serve<F, Fut>(handler: F) -> SocketAddr
where
    F: Fn(WebSocket) -> Fut + Clone + Send + 'static,
    Fut: Future<Output: HandlerOutput> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(tidewire_ws::serve(listener, handler));
    address
}

/// A client that writes bytes.
struct Client(TcpStream);

impl Client {
    /// Connects, and sends nothing.
    async fn connect(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).await.expect("a connection");
        stream.set_nodelay(true).expect("an option");
        Self(stream)
    }

    /// Connects, and completes the handshake.
    async fn open(server: SocketAddr) -> Self {
        let mut client = Self::connect(server).await;
        client.write(crate::support::REQUEST).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        client
    }

    async fn write(&mut self, bytes: &[u8]) {
        timeout(SOON, self.0.write_all(bytes)).await.expect("soon").expect("the server reads");
    }

    /// Reads the next response up to its body.
    async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(SOON, self.0.read_u8()).await.expect("soon").expect("a response"));
        }
        String::from_utf8(head).expect("a head is text")
    }

    /// Asserts the next bytes.
    async fn expect(&mut self, bytes: &[u8]) {
        let mut read = vec![0; bytes.len()];
        timeout(SOON, self.0.read_exact(&mut read)).await.expect("soon").expect("as many bytes");
        assert_eq!(read, bytes);
    }

    /// Returns all bytes until the server ends its half of the stream. Our half is still open, so the server must do
    /// that by itself.
    #[track_caller]
    fn rest(mut self) -> impl Future<Output = Vec<u8>> {
        let caller = std::panic::Location::caller();
        async move {
            let mut rest = Vec::new();
            match timeout(SOON, self.0.read_to_end(&mut rest)).await {
                Ok(Ok(_)) => rest,
                Ok(Err(error)) => panic!("{error} after {rest:02x?}, at {caller}"),
                Err(_) => panic!("no end after {rest:02x?}, at {caller}"),
            }
        }
    }
}

/// A Close as the server sends it.
fn closed(code: u16) -> Vec<u8> {
    [&[0x88, 2][..], &code.to_be_bytes()].concat()
}
