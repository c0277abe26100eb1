//! Both ends over the loopback, with certificates made on the spot.

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

/// An authority whom nobody trusts unless told to.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
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

    /// A certificate for these names, and its key, in PEM.
    fn issue(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("names");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    fn server(&self, names: &[&str]) -> ServerTls {
        let (chain, key) = self.issue(names, |_| {});
        ServerTls::from_pem(chain.as_bytes(), key.as_bytes()).expect("a configuration")
    }

    /// Trusts this authority and nobody else.
    fn client(&self) -> ClientTls {
        self.trusted().build().expect("a configuration")
    }

    fn trusted(&self) -> ClientTlsBuilder {
        let builder = ClientTls::builder().without_system_roots();
        builder.root_certificates(self.pem.as_bytes()).expect("a certificate")
    }
}

/// A server that says `hello` to every request.
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

/// A request on this stream, and all that comes back.
async fn get(stream: &mut Stream) -> String {
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.expect("written");
    stream.flush().await.expect("flushed");
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.expect("an answer");
    answer
}

#[tokio::test]
async fn a_server_whose_certificate_names_it_is_spoken_to_by_name_and_by_address() {
    let authority = Authority::new();
    let address = serve(authority.server(&["localhost", "127.0.0.1"])).await;
    for host in ["localhost", "127.0.0.1"] {
        let mut stream = dial(Some(authority.client()), host, address.port()).await.expect(host);
        let Stream::Tls(encrypted) = &stream else { panic!("{stream:?}") };
        assert_eq!(encrypted.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let answer = get(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("hello"), "{answer}");
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_accepted_is_told_why() {
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
        (authority.issue(&seven, |_| {}), "but for a, b, c, d, e, 2 others ("),
        (authority.issue(&[], |_| {}), "it is not for localhost, but for nobody ("),
        (authority.issue(&["localhost"], expired), " days ago (Expired)"),
        (authority.issue(&["localhost"], not_yet), "it will be valid only in 3"),
        (authority.issue(&["localhost"], other_use), "server authentication"),
        (authority.issue(&["localhost"], itself), "it is that of an authority (CA:TRUE)"),
        (namesake, "has the name of its issuer, but has not signed it"),
        (stranger, "nobody who is trusted has issued it"),
    ] {
        let server = ServerTls::from_pem(chain.as_bytes(), key.as_bytes()).expect("a configuration");
        let address = serve(server).await;
        let error = dial(Some(authority.client()), "localhost", address.port()).await.unwrap_err();
        assert_eq!(error.to_string().matches(words).count(), 1, "{words}: {error}");
        assert_eq!(ErrorChain(&error).to_string(), error.to_string(), "nothing is said twice");
        let TlsError::Certificate { error, .. } = error else { panic!("{words}: {error:?}") };
        let error = error.downcast::<io::Error>().expect("an error of the stream");
        let error = error.into_inner().expect("one of rustls").downcast::<rustls::Error>();
        assert!(matches!(*error.expect("one of rustls"), rustls::Error::InvalidCertificate(_)));
    }
}

#[tokio::test]
async fn the_system_trusts_nobody_whom_a_test_has_made_up() {
    let authority = Authority::new();
    let address = serve(authority.server(&["localhost"])).await;
    let error = dial(None, "localhost", address.port()).await.unwrap_err();
    assert!(matches!(error, TlsError::Certificate { .. }), "{error:?}");
    let both = ClientTls::builder().root_certificates(authority.pem.as_bytes()).unwrap().build().unwrap();
    dial(Some(both), "localhost", address.port()).await.expect("beside the system's");
}

#[tokio::test]
async fn a_port_that_does_not_speak_tls_is_told_from_one_that_fails() {
    let client = Authority::new().client();
    for answer in ["HTTP/1.1 400 Bad Request\r\n\r\n", "220 mail.example ESMTP\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_u8().await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.read_to_end(&mut Vec::new()).await
        });
        let error = dial(Some(client.clone()), "localhost", port).await.unwrap_err();
        assert!(matches!(error, TlsError::NotTls(_)), "{answer:?}: {error:?}");
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
async fn http_in_the_clear_on_a_tls_port_is_answered_in_the_clear() {
    let address = serve(Authority::new().server(&["localhost"])).await;
    let mut stream = Stream::Tcp(TcpStream::connect(address).await.unwrap());
    let answer = get(&mut stream).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{answer}");
    assert!(body.contains("wss"), "{answer}");

    // Anything else is nobody who could read it.
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"\x80hello").await.unwrap();
    let mut answer = Vec::new();
    soon(stream.read_to_end(&mut answer)).await.unwrap();
    assert_eq!(answer, b"");
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_handshake_is_left_in_time() {
    let limits = HttpLimits { header_read_timeout: Duration::from_millis(50), ..HttpLimits::default() };
    let tls = Authority::new().server(&["localhost"]);
    let listener = Listener::bind("127.0.0.1:0", limits).await.unwrap().tls(tls);
    let address = listener.local_addr().unwrap();
    let hello = |_: Request<Incoming>| async { Ok::<_, Infallible>(Response::new(String::new())) };
    tokio::spawn(listener.serve(service_fn(hello), pending()));
    for begun in [&b""[..], b"\x16\x03\x01\x02"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(begun).await.unwrap();
        let mut answer = Vec::new();
        soon(stream.read_to_end(&mut answer)).await.unwrap();
        assert_eq!(answer, b"");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_no_answer_is_left_in_time() {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::from(Arc::clone(&authority.server(&["localhost"]).0));
    let (client, server) = tokio::io::duplex(1024);
    // As the listener does it, but in memory, where the clock waits for nobody.
    tokio::spawn(async move {
        let stream = acceptor.accept(Stream::boxed(server)).await.expect("a handshake");
        let stream = ServerStream::new(Stream::Tls(Box::new(stream.into())), Duration::from_secs(30));
        // More than the stream holds, and less than rustls takes.
        let hello =
            |_: Request<Incoming>| async { Ok::<_, Infallible>(Response::new("hello".repeat(2_000))) };
        http1::Builder::new().serve_connection(stream, hyper::service::service_fn(hello)).await
    });
    let mut client = soon(authority.client().connect(Stream::boxed(client), "localhost")).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    client.flush().await.unwrap();
    // Each byte of a record without an end tells whether anybody still has the other end.
    let Stream::Tls(encrypted) = &mut client else { panic!("{client:?}") };
    let client = encrypted.get_mut().0;
    client.write_all(&[23, 3, 3, 0x40, 0]).await.unwrap();
    let begin = tokio::time::Instant::now();
    while client.write_u8(0).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(begin.elapsed() < Duration::from_secs(40), "nobody leaves");
    }
    assert!(begin.elapsed() >= Duration::from_secs(30), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_server_may_ask_for_the_certificate_of_the_client() {
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
        // In TLS 1.3 the client is done before the server has seen its certificate.
        assert!(stream.read_u8().await.is_err());
    }
}

#[tokio::test]
async fn a_configuration_of_the_program_says_what_is_spoken_inside_or_leaves_it_to_the_listener() {
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
fn what_is_no_certificate_is_told_so_before_anybody_connects() {
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
fn what_is_wrong_with_a_file_names_it() {
    let missing = ServerTls::from_pem_files("no/such/chain.pem", "no/such/key.pem").unwrap_err();
    assert!(matches!(missing, TlsConfigError::ReadFile { .. }));
    assert!(missing.to_string().starts_with("cannot read no/such/chain.pem: "), "{missing}");
    let (no_pem, this_file) = (concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"), "no/such/key.pem");
    let error = ServerTls::from_pem_files(no_pem, this_file).unwrap_err();
    assert_eq!(error.to_string(), format!("{no_pem}: there is no certificate in the PEM data"));
}
