//! A Socket.IO server with TLS on its own listener.

use std::time::Duration;

use tidewire::server::{Server, ServerTls, Socket};
use tidewire::ws::{ClientTls, ClientTlsBuilder, ConnectError, Connector, DialError, Message, TlsError};

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), what).await.expect("in time")
}

#[tokio::test]
async fn only_a_client_that_trusts_the_certificate_connects() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let tls = ServerTls::from_pem(certificate.as_bytes(), key.as_bytes()).expect("they belong together");
    let io = Server::builder().tls(tls).build();
    io.on_connection(async |socket: Socket| socket.emit("secure", socket.handshake().secure()));
    let listener = io.bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move { io.serve(listener, std::future::pending()).await });

    let url = format!("wss://localhost:{port}/socket.io/?EIO=4&transport=websocket");
    let trusting = ClientTls::builder().without_system_roots().root_certificates(certificate.as_bytes());
    let trusting = trusting.and_then(ClientTlsBuilder::build).expect("a configuration");
    let mut client = soon(Connector::new(&url).tls(trusting).connect()).await.expect("it is trusted");
    soon(client.recv()).await.expect("the open packet");
    client.send("40").await.expect("it is open");
    let Some(Message::Text(joined)) = soon(client.recv()).await else { panic!("a text") };
    assert!(joined.starts_with(r#"40{"sid":""#), "{joined}");
    let Some(Message::Text(secure)) = soon(client.recv()).await else { panic!("a text") };
    assert_eq!(&*secure, r#"42["secure",true]"#);

    let error = soon(Connector::new(&url).connect()).await.expect_err("nobody else trusts it");
    assert!(matches!(error, ConnectError::Dial(DialError::Tls(TlsError::Certificate { .. }))), "{error:?}");
    let error =
        soon(Connector::new(url.replacen("wss", "ws", 1)).connect()).await.expect_err("it is encrypted");
    assert_eq!(error.status().map(|status| status.as_u16()), Some(400), "{error:?}");
}
