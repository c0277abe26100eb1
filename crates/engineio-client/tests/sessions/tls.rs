//! `https` and `wss`.

use engineio::ServerTls;
use engineio::server::Server;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tidewire_engineio_client::{ClientTls, CloseReason, Connector};

use crate::support::{Client, EchoServer};

/// A certificate for this name and its key, and clients that trust only its authority.
fn certificate(name: &str) -> (ServerTls, ClientTls) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "the authority of a test");
    let key = KeyPair::generate().expect("a key");
    let root = authority.self_signed(&key).expect("a certificate").pem();
    let issuer = Issuer::new(authority, key);

    let own = CertificateParams::new([name.to_owned()]).expect("a name");
    let key = KeyPair::generate().expect("a key");
    let chain = own.signed_by(&key, &issuer).expect("a certificate").pem();
    let server =
        ServerTls::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes()).expect("a configuration");
    let client = ClientTls::builder()
        .without_system_roots()
        .root_certificates(root.as_bytes())
        .and_then(tidewire_engineio_client::ClientTlsBuilder::build)
        .expect("a configuration");
    (server, client)
}

#[tokio::test]
async fn a_session_upgrades_and_exchanges_messages_over_tls() {
    let (tls, trusting) = certificate("localhost");
    let server = EchoServer::with(Server::builder().tls(tls)).await;
    let url = format!("https://localhost:{}", server.address.port());
    let mut client = Client::open(&Connector::new(&url).tls(trusting)).await;
    client.session.send_text("hello");
    let long = "x".repeat(300_000);
    client.session.send_text(&long);
    let (mut texts, mut has_upgraded) = (Vec::new(), false);
    while texts.len() < 2 || !has_upgraded {
        match client.next().await {
            crate::support::Seen::Text(text) => texts.push(text),
            crate::support::Seen::Upgrade(_) => has_upgraded = true,
            other => panic!("{other:?}"),
        }
    }
    assert!(texts == ["hello", &long]);
    client.session.close();
    client.done().await;
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_named() {
    let (tls, _) = certificate("localhost");
    let (_, trusting) = certificate("localhost");
    let server = EchoServer::with(Server::builder().tls(tls)).await;
    let url = format!("https://localhost:{}", server.address.port());
    let mut client = Client::start(&Connector::new(&url).tls(trusting));
    let (reason, error) = client.closed().await;
    assert_eq!(reason, CloseReason::TransportError);
    assert!(error.starts_with("polling: the certificate of the server was rejected: "), "{error}");
}
