//! Tests client and server over the loopback, with certificates made in the test.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{self, ServerConfig};
use tower::service_fn;

use super::*;
use crate::http::ServerStream;
use crate::{DialError, Dialer, HttpLimits, Listener, Stream, Target};
use ws_proto::ErrorChain;

/// Fails the test instead of letting it hang.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), what).await.expect("in time")
}

/// A certificate authority that is not trusted by default.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::named("the authority of a test")
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Returns a certificate for these names and its key, in PEM.
    fn issue(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("names");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    pub(crate) fn server(&self, names: &[&str]) -> ServerTls {
        let (chain, key) = self.issue(names, |_| {});
        ServerTls::from_pem(chain.as_bytes(), key.as_bytes()).expect("a configuration")
    }

    /// Returns a client that trusts only this authority.
    pub(crate) fn client(&self) -> ClientTls {
        self.trusted().build().expect("a configuration")
    }

    fn trusted(&self) -> ClientTlsBuilder {
        let builder = ClientTls::builder().without_system_roots();
        builder.root_certificates(self.pem.as_bytes()).expect("a certificate")
    }
}

/// Starts a server that responds `hello` to every request.
async fn serve(tls: ServerTls) -> SocketAddr {
    let listener = Listener::bind("127.0.0.1:0", HttpLimits::default()).await.expect("a free port").tls(tls);
    let address = listener.local_addr().expect("an address");
    let hello = |_: Request<Incoming>| async { Ok::<_, Infallible>(Response::new("hello".to_owned())) };
    tokio::spawn(listener.serve(service_fn(hello), pending()));
    address
}

async fn dial(tls: Option<ClientTls>, host: &str, port: u16) -> Result<Stream, TlsError> {
    let mut dialer = Dialer::new();
    if let Some(tls) = tls {
        dialer.tls(tls);
    }
    match soon(dialer.dial(Target { host, port, secure: true })).await {
        Ok(stream) => Ok(stream),
        Err(DialError::Tls(error)) => Err(error),
        Err(error) => panic!("{error}"),
    }
}

/// Sends a request on the stream and returns the response.
async fn get(stream: &mut Stream) -> String {
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.expect("written");
    stream.flush().await.expect("flushed");
    let mut response = String::new();
    soon(stream.read_to_string(&mut response)).await.expect("a response");
    response
}

#[tokio::test]
async fn a_server_can_be_reached_by_every_name_in_its_certificate() {
    let authority = Authority::new();
    let address = serve(authority.server(&["localhost", "127.0.0.1"])).await;
    for host in ["localhost", "127.0.0.1"] {
        let mut stream = dial(Some(authority.client()), host, address.port()).await.expect(host);
        let Stream::Tls(encrypted) = &stream else { panic!("{stream:?}") };
        assert_eq!(encrypted.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let response = get(&mut stream).await;
        assert!(response.starts_with("HTTP/1.1 200 ") && response.ends_with("hello"), "{response}");
    }
}

#[tokio::test]
async fn the_error_says_why_a_certificate_was_rejected() {
    let authority = Authority::new();
    let expired = |params: &mut CertificateParams| params.not_after = date_time_ymd(2020, 1, 1);
    let not_yet = |params: &mut CertificateParams| params.not_before = date_time_ymd(2999, 1, 1);
    let other_use = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    };
    let itself = |params: &mut CertificateParams| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let stranger = Authority::named("a stranger").issue(&["localhost"], |_| {});
    let namesake = Authority::new().issue(&["localhost"], |_| {});
    let seven = ["a", "b", "c", "d", "e", "f", "g"];
    for ((chain, key), words) in [
        (
            authority.issue(&["other.example", "127.0.0.1"], |_| {}),
            ": it is not for localhost, but for other.example, 127.0.0.1 (NotValidForName)",
        ),
        (authority.issue(&seven, |_| {}), "but for a, b, c, d, e, 2 more ("),
        (authority.issue(&[], |_| {}), "it is not for localhost, but for no name ("),
        (authority.issue(&["localhost"], expired), " days ago (Expired)"),
        (authority.issue(&["localhost"], not_yet), "it becomes valid in 3"),
        (authority.issue(&["localhost"], other_use), "server authentication"),
        (authority.issue(&["localhost"], itself), "it is a CA certificate (CA:TRUE)"),
        (namesake, "has the name of its issuer, but a different key"),
        (stranger, "its issuer is not trusted"),
    ] {
        let server = ServerTls::from_pem(chain.as_bytes(), key.as_bytes()).expect("a configuration");
        let address = serve(server).await;
        let error = dial(Some(authority.client()), "localhost", address.port()).await.unwrap_err();
        assert_eq!(error.to_string().matches(words).count(), 1, "{words}: {error}");
        assert_eq!(ErrorChain(&error).to_string(), error.to_string(), "the chain repeats nothing");
        let TlsError::Certificate { error, .. } = error else { panic!("{words}: {error:?}") };
        let error = error.downcast::<io::Error>().expect("an I/O error");
        let error = error.into_inner().expect("a rustls error").downcast::<rustls::Error>();
        assert!(matches!(*error.expect("a rustls error"), rustls::Error::InvalidCertificate(_)));
    }
}

#[tokio::test]
async fn the_authority_of_a_test_is_not_trusted_by_default() {
    let authority = Authority::new();
    let address = serve(authority.server(&["localhost"])).await;
    let error = dial(None, "localhost", address.port()).await.unwrap_err();
    assert!(matches!(error, TlsError::Certificate { .. }), "{error:?}");
    let both = ClientTls::builder().root_certificates(authority.pem.as_bytes()).unwrap().build().unwrap();
    dial(Some(both), "localhost", address.port()).await.expect("trusted in addition to the system's roots");
}

#[tokio::test]
async fn a_port_without_tls_and_a_failed_handshake_give_different_errors() {
    let client = Authority::new().client();
    for response in ["HTTP/1.1 400 Bad Request\r\n\r\n", "220 mail.example ESMTP\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_u8().await.unwrap();
            stream.write_all(response.as_bytes()).await.unwrap();
            stream.read_to_end(&mut Vec::new()).await
        });
        let error = dial(Some(client.clone()), "localhost", port).await.unwrap_err();
        assert!(matches!(error, TlsError::NotTls(_)), "{response:?}: {error:?}");
        drop(server);
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.shutdown().await.unwrap();
        stream.read_to_end(&mut Vec::new()).await
    });
    let error = dial(Some(client.clone()), "localhost", port).await.unwrap_err();
    assert!(matches!(error, TlsError::Handshake(_)), "{error:?}");
    assert_eq!(error.to_string(), "the TLS handshake failed: the server closed the connection");
    let (stream, _server) = tokio::io::duplex(1);
    let error = client.connect(Stream::boxed(stream), "a host").await.unwrap_err();
    assert!(matches!(error, TlsError::InvalidName(_)), "{error:?}");
}

#[tokio::test]
async fn an_unencrypted_request_on_a_tls_port_gets_an_unencrypted_response() {
    let address = serve(Authority::new().server(&["localhost"])).await;
    let mut stream = Stream::Tcp(TcpStream::connect(address).await.unwrap());
    let response = get(&mut stream).await;
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 400 "), "{response}");
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{response}");
    assert!(body.contains("wss"), "{response}");

    // Any other client could not read an HTTP response, and gets none.
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"\x80hello").await.unwrap();
    let mut response = Vec::new();
    soon(stream.read_to_end(&mut response)).await.unwrap();
    assert_eq!(response, b"");
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_handshake_is_disconnected_in_time() {
    let limits = HttpLimits { header_read_timeout: Duration::from_millis(50), ..HttpLimits::default() };
    let tls = Authority::new().server(&["localhost"]);
    let listener = Listener::bind("127.0.0.1:0", limits).await.unwrap().tls(tls);
    let address = listener.local_addr().unwrap();
    let hello = |_: Request<Incoming>| async { Ok::<_, Infallible>(Response::new(String::new())) };
    tokio::spawn(listener.serve(service_fn(hello), pending()));
    for begun in [&b""[..], b"\x16\x03\x01\x02"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(begun).await.unwrap();
        let mut response = Vec::new();
        soon(stream.read_to_end(&mut response)).await.unwrap();
        assert_eq!(response, b"");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_no_response_is_disconnected_in_time() {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::from(authority.server(&["localhost"]).config());
    let (client, server) = tokio::io::duplex(1024);
    // The same as in the listener, but in memory, where a paused clock works.
    tokio::spawn(async move {
        let stream = acceptor.accept(Stream::boxed(server)).await.expect("a handshake");
        let stream = ServerStream::new(Stream::Tls(Box::new(stream.into())), Duration::from_secs(30));
        // More than the stream buffers, and less than rustls buffers.
        let hello =
            |_: Request<Incoming>| async { Ok::<_, Infallible>(Response::new("hello".repeat(2_000))) };
        http1::Builder::new().serve_connection(stream, hyper::service::service_fn(hello)).await
    });
    let mut client = soon(authority.client().connect(Stream::boxed(client), "localhost")).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    client.flush().await.unwrap();
    // A record that never ends. A write of one of its bytes fails when the server has closed its end.
    let Stream::Tls(encrypted) = &mut client else { panic!("{client:?}") };
    let client = encrypted.get_mut().0;
    client.write_all(&[23, 3, 3, 0x40, 0]).await.unwrap();
    let begin = tokio::time::Instant::now();
    while client.write_u8(0).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(begin.elapsed() < Duration::from_secs(40), "the server does not close the connection");
    }
    assert!(begin.elapsed() >= Duration::from_secs(30), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_server_may_require_a_client_certificate() {
    let authority = Authority::new();
    let (chain, key) = authority.issue(&["localhost"], |_| {});
    let tls = ServerTls::builder(chain.as_bytes(), key.as_bytes()).unwrap();
    let address =
        serve(tls.client_root_certificates(authority.pem.as_bytes()).unwrap().build().unwrap()).await;

    let (chain, key) = authority.issue(&["a client"], |_| {});
    let client = authority.trusted().client_certificate(chain.as_bytes(), key.as_bytes()).unwrap();
    let mut stream = dial(Some(client.build().unwrap()), "localhost", address.port()).await.unwrap();
    assert!(get(&mut stream).await.ends_with("hello"));

    let (chain, key) = Authority::named("a stranger").issue(&["a client"], |_| {});
    let stranger = authority.trusted().client_certificate(chain.as_bytes(), key.as_bytes()).unwrap();
    for client in [authority.client(), stranger.build().unwrap()] {
        let mut stream = dial(Some(client), "localhost", address.port()).await.unwrap();
        // In TLS 1.3 the handshake of the client is complete before the server has verified its certificate.
        assert!(stream.read_u8().await.is_err());
    }
}

#[tokio::test]
async fn after_a_reload_new_connections_get_the_new_certificate_and_open_ones_go_on() {
    let (former, renewed) = (Authority::new(), Authority::new());
    let (tls, client) = (former.server(&["localhost"]), former.client());
    let port = serve(tls.clone()).await.port();
    // With what it gets here, the client could resume its TLS session.
    let mut earlier = dial(Some(client.clone()), "localhost", port).await.unwrap();
    assert!(get(&mut earlier).await.ends_with("hello"));
    let mut open = dial(Some(client.clone()), "localhost", port).await.unwrap();

    tls.reload(&renewed.server(&["localhost"]));

    let mut stream = dial(Some(renewed.client()), "localhost", port).await.expect("the new certificate");
    assert!(get(&mut stream).await.ends_with("hello"));
    let error = dial(Some(client), "localhost", port).await.expect_err("the former one is gone");
    assert!(matches!(error, TlsError::Certificate { .. }), "{error:?}");
    assert!(get(&mut open).await.ends_with("hello"));
}

#[tokio::test]
async fn a_rustls_configuration_may_set_the_alpn_protocols_or_leave_them_to_the_listener() {
    let authority = Authority::new();
    let (chain, key) = authority.issue(&["localhost"], |_| {});
    for (named, spoken) in [(None, Some(&b"http/1.1"[..])), (Some("other"), None)] {
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(
                    certificates(chain.as_bytes()).unwrap(),
                    private_key(key.as_bytes()).unwrap(),
                )
                .unwrap();
        config.alpn_protocols = named.map(|name: &str| name.into()).into_iter().collect();
        let address = serve(ServerTls::from_config(config)).await;
        let dialed = dial(Some(authority.client()), "localhost", address.port()).await;
        let alpn = dialed.as_ref().ok().map(|stream| match stream {
            Stream::Tls(encrypted) => encrypted.get_ref().1.alpn_protocol().unwrap(),
            stream => panic!("{stream:?}"),
        });
        assert_eq!(alpn, spoken, "{dialed:?}");
    }
}

#[test]
fn invalid_certificates_are_errors_before_any_client_connects() {
    let authority = Authority::new();
    let (chain, key) = authority.issue(&["localhost"], |_| {});
    let (_, other_key) = authority.issue(&["localhost"], |_| {});
    let server = |chain: &str, key: &str| ServerTls::from_pem(chain.as_bytes(), key.as_bytes()).unwrap_err();
    assert!(matches!(server("", &key), TlsConfigError::NoCertificate));
    assert!(matches!(server(&key, &key), TlsConfigError::NoCertificate));
    assert!(matches!(server(&chain, &chain), TlsConfigError::NoPrivateKey));
    assert!(matches!(server(&chain[..100], &key), TlsConfigError::Pem(_) | TlsConfigError::NoCertificate));
    assert!(matches!(server(&chain, &other_key), TlsConfigError::KeyMismatch));
    let nobody = ServerTls::builder(chain.as_bytes(), key.as_bytes()).unwrap().client_root_certificates(b"");
    assert!(matches!(nobody.unwrap_err(), TlsConfigError::NoCertificate));
    let nobody = ClientTls::builder().without_system_roots().build().unwrap_err();
    assert!(matches!(nobody, TlsConfigError::NoCertificate));
}

#[test]
fn errors_in_a_file_name_the_file() {
    let missing = ServerTls::from_pem_files("no/such/chain.pem", "no/such/key.pem").unwrap_err();
    assert!(matches!(missing, TlsConfigError::ReadFile { .. }));
    assert!(missing.to_string().starts_with("cannot read no/such/chain.pem: "), "{missing}");
    let (no_pem, this_file) = (concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"), "no/such/key.pem");
    let error = ServerTls::from_pem_files(no_pem, this_file).unwrap_err();
    assert_eq!(error.to_string(), format!("{no_pem}: no certificate in the PEM data"));
}
