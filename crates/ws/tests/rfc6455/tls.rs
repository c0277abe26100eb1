//! Sections 4.1, 4.2.2 and 10.6: TLS, seen on the wire.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use net::{HttpLimits, Listener, ServerTls};
use tidewire_ws::rustls::crypto::ring;
use tidewire_ws::rustls::pki_types::pem::PemObject;
use tidewire_ws::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tidewire_ws::rustls::server::{ClientHello, ResolvesServerCert};
use tidewire_ws::rustls::sign::CertifiedKey;
use tidewire_ws::rustls::{self};
use tidewire_ws::{ConnectError, Connector, DialError, Message, TlsError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tower::service_fn;

use crate::support::certificate_authority::Authority;
use crate::support::{echo, soon};

/// Presents one certificate to every client, and records the requested server names.
#[derive(Debug)]
struct Names {
    key: Arc<CertifiedKey>,
    asked: Mutex<Vec<Option<String>>>,
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.asked.lock().expect("no panic").push(hello.server_name().map(ToOwned::to_owned));
        Some(Arc::clone(&self.key))
    }
}

/// A TCP stream that records all bytes in both directions.
struct Tapped {
    stream: TcpStream,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Tapped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        read: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = read.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, read);
        self.seen.lock().expect("no panic").extend_from_slice(&read.filled()[before..]);
        polled
    }
}

impl AsyncWrite for Tapped {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.seen.lock().expect("no panic").extend_from_slice(bytes);
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Starts an echo server, and returns its port and its certificate resolver.
async fn serve(authority: &Authority, name: &str) -> (u16, Arc<Names>) {
    let (chain, key) = authority.issue(name);
    let provider = Arc::new(ring::default_provider());
    let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
    let key = CertifiedKey::from_der(chain, key, &provider).expect("they belong together");
    let names = Arc::new(Names { key: Arc::new(key), asked: Mutex::default() });
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(&names) as Arc<dyn ResolvesServerCert>);
    let listener = Listener::bind("127.0.0.1:0", HttpLimits::default()).await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let service = service_fn(|mut request: http::Request<hyper::body::Incoming>| async move {
        let upgrade = tidewire_ws::upgrade(&mut request).expect("a handshake");
        Ok::<_, std::convert::Infallible>(upgrade.on_upgrade::<_, _, String>(echo))
    });
    tokio::spawn(listener.tls(ServerTls::from_config(config)).serve(service, std::future::pending()));
    (port, names)
}

#[tokio::test]
async fn section_4_1_must_10_12_13_section_4_2_2_must_2_section_10_6_must_1_everything_is_encrypted_from_the_start()
 {
    let authority = Authority::new();
    let (port, names) = serve(&authority, "localhost").await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
    let stream = Tapped { stream, seen: Arc::clone(&seen) };
    let connect = Connector::new("wss://localhost/a-secret-path").tls(authority.client());
    let mut socket = soon(connect.connect_over(stream)).await.expect("a connection");
    socket.send("a secret message").await.expect("sent");
    assert_eq!(soon(socket.recv()).await, Some(Message::from("a secret message")));
    soon(socket.close(None)).await;

    assert_eq!(*names.asked.lock().expect("no panic"), [Some("localhost".to_owned())]);
    let seen = seen.lock().expect("no panic");
    assert_eq!(seen[0], 22, "a record of the handshake");
    // Shorter words are found in encrypted bytes now and then, by chance.
    for secret in ["GET /a-secret-path", "HTTP/1.1", "WebSocket", "a secret message"] {
        assert!(!seen.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()), "{secret}");
    }
}

#[tokio::test]
async fn section_4_1_must_11_a_certificate_that_is_not_accepted_fails_the_connection() {
    let authority = Authority::new();
    let (port, _) = serve(&authority, "other.example").await;
    let url = format!("wss://localhost:{port}/");
    let refused =
        soon(Connector::new(url).tls(authority.client()).connect()).await.expect_err("another name");
    assert!(
        matches!(refused, ConnectError::Dial(DialError::Tls(TlsError::Certificate { .. }))),
        "{refused:?}"
    );
}
