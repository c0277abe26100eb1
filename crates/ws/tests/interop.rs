//! Our server against clients of another implementation. Our client against its server is in `client/interop.rs`. The
//! npm package `ws` and Autobahn, in both directions, are in the folder `conformance` of the repository.

use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tidewire_ws::{CloseCause, CloseCode, CloseFrame, Message, SendError, Server, ServerBuilder, WebSocket};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::CloseFrame as TheirFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode as TheirCode, Data, OpCode};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message as Theirs};

use crate::support::soon;

/// Starts a server that echoes, reports how each connection ended, and closes when it receives "close". Returns its
/// port.
async fn serve(builder: ServerBuilder) -> (u16, mpsc::UnboundedReceiver<CloseCause>) {
    let (report, ends) = mpsc::unbounded_channel();
    let server = builder.protocols(["b"]).bind("127.0.0.1:0").await.expect("a free port");
    let port = server.local_addr().expect("an address").port();
    tokio::spawn(server.serve(move |mut socket: WebSocket| {
        let report = report.clone();
        async move {
            while let Some(message) = socket.recv().await {
                if message == Message::from("close") {
                    socket.close(CloseFrame::new(CloseCode::GOING_AWAY, "as you wish")).await;
                    break;
                }
                socket.send(message).await?;
            }
            report.send(socket.close_cause().expect("it has ended")).expect("the test listens");
            Ok::<_, SendError>(())
        }
    }));
    (port, ends)
}

fn request(url: &str) -> Request {
    let mut request = url.into_client_request().expect("a request");
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("a, b"));
    request
}

/// The next message or frame.
async fn next(theirs: &mut (impl Stream<Item = Result<Theirs, Error>> + Unpin)) -> Theirs {
    soon(theirs.next()).await.expect("not the end").expect("no error")
}

/// All kinds of messages, fragments, Pings, and a close by the client.
async fn converse<S>(theirs: &mut S, response: &Response)
where
    S: Stream<Item = Result<Theirs, Error>> + Sink<Theirs, Error = Error> + Unpin,
{
    assert_eq!(response.headers()["sec-websocket-protocol"], "b");
    for message in [
        Theirs::text("hello"),
        Theirs::text(""),
        Theirs::binary(Bytes::new()),
        Theirs::binary(vec![9; 125]),
        Theirs::binary(vec![9; 126]),
        Theirs::text("é".repeat(32_768)),
        Theirs::binary(vec![9; 5 * 1024 * 1024]),
    ] {
        soon(theirs.send(message.clone())).await.expect("sent");
        let echoed = next(theirs).await;
        assert!(echoed == message, "{} bytes for {}", echoed.len(), message.len());
    }

    let fragment = |data, payload: &'static [u8], fin| {
        Theirs::Frame(Frame::message(Bytes::from_static(payload), OpCode::Data(data), fin))
    };
    theirs.feed(fragment(Data::Text, b"one, \xe2\x82", false)).await.expect("sent");
    theirs.feed(Theirs::Ping(Bytes::from_static(b"between"))).await.expect("sent");
    theirs.feed(fragment(Data::Continue, b"", false)).await.expect("sent");
    theirs.feed(fragment(Data::Continue, b"\xac", true)).await.expect("sent");
    soon(theirs.flush()).await.expect("sent");
    assert_eq!(next(theirs).await, Theirs::Pong(Bytes::from_static(b"between")));
    assert_eq!(next(theirs).await, Theirs::text("one, €"));

    let frame = TheirFrame { code: TheirCode::Library(4000), reason: "größer".into() };
    soon(theirs.send(Theirs::Close(Some(frame)))).await.expect("sent");
    let Theirs::Close(Some(response)) = next(theirs).await else { panic!("no Close") };
    assert_eq!(response.code, TheirCode::Library(4000));
    assert!(soon(theirs.next()).await.is_none(), "the stream ends in peace");
}

#[tokio::test]
async fn tungstenite_client_works_with_our_server() {
    let (port, mut ends) = serve(Server::builder()).await;
    let url = format!("ws://127.0.0.1:{port}/path?query");
    let (mut theirs, response) = soon(tokio_tungstenite::connect_async(request(&url))).await.unwrap();
    converse(&mut theirs, &response).await;
    let Some(CloseCause::ClosingHandshake(Some(frame))) = soon(ends.recv()).await else {
        panic!("no handshake")
    };
    assert_eq!((frame.code.as_u16(), &*frame.reason), (4000, "größer"));
}

#[tokio::test]
async fn tungstenite_responds_to_a_close_of_our_server() {
    let (port, mut ends) = serve(Server::builder()).await;
    let url = format!("ws://127.0.0.1:{port}/");
    let (mut theirs, _) = soon(tokio_tungstenite::connect_async(request(&url))).await.unwrap();
    soon(theirs.send(Theirs::text("close"))).await.unwrap();
    let expected = TheirFrame { code: TheirCode::Away, reason: "as you wish".into() };
    assert_eq!(next(&mut theirs).await, Theirs::Close(Some(expected)));
    assert!(soon(theirs.next()).await.is_none());
    let closed = soon(ends.recv()).await;
    assert!(
        matches!(&closed, Some(CloseCause::ClosingHandshake(Some(frame))) if frame.code == CloseCode::GOING_AWAY),
        "{closed:?}"
    );
}

#[tokio::test]
async fn our_server_detects_an_end_without_a_close() {
    let (port, mut ends) = serve(Server::builder()).await;
    let url = format!("ws://127.0.0.1:{port}/");
    let (mut theirs, _) = soon(tokio_tungstenite::connect_async(request(&url))).await.unwrap();
    soon(theirs.send(Theirs::text("hello"))).await.unwrap();
    assert_eq!(next(&mut theirs).await, Theirs::text("hello"));
    drop(theirs);
    assert_eq!(soon(ends.recv()).await, Some(CloseCause::Eof));
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn client_and_server_exchange_messages_over_tls() {
    use std::sync::Arc;

    use crate::support::certificate_authority::Authority;
    use tidewire_ws::ServerTls;
    use tokio::net::TcpStream;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

    let authority = Authority::new();
    let (chain, key) = authority.issue("localhost");
    let tls = ServerTls::from_pem(chain.as_bytes(), key.as_bytes()).expect("a configuration");
    let (port, mut ends) = serve(Server::builder().tls(tls)).await;

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = soon(TlsConnector::from(Arc::new(config)).connect(name, stream)).await.unwrap();
    let url = format!("wss://localhost:{port}/");
    let (mut theirs, response) = soon(tokio_tungstenite::client_async(request(&url), stream)).await.unwrap();
    converse(&mut theirs, &response).await;
    assert!(matches!(soon(ends.recv()).await, Some(CloseCause::ClosingHandshake(Some(_)))));
}
