//! HTTP proxies.

use tidewire_engineio_client::{CloseReason, Connector, Proxy};

use crate::scripted_server::{OPEN, ScriptedServer};
use crate::support::Client;

/// A client whose server is behind `proxy`.
fn behind(proxy: &ScriptedServer) -> Connector {
    let url = format!("http://user:password@{}", proxy.address);
    Connector::new("http://server.example:3000").proxy(Proxy::new(&url).expect("a URL of a proxy"))
}

#[tokio::test]
async fn all_connections_go_through_the_proxy() {
    let proxy = ScriptedServer::start().await;
    let mut client = Client::start(&behind(&proxy));
    let mut get = accept_tunnel(&proxy).await;
    let request = get.request().await;
    assert_eq!(request.header("host"), Some("server.example:3000"));
    assert_eq!(request.header("proxy-authorization"), None, "only the proxy gets the password");
    get.respond(&OPEN.replace("[]", r#"["websocket"]"#)).await;
    client.opened().await;
    let mut candidate = accept_tunnel(&proxy).await;
    assert_eq!(candidate.request().await.parameter("transport"), Some("websocket"));
    client.session.send_text("hello");
    let mut post = accept_tunnel(&proxy).await;
    assert_eq!(post.request().await.body, "4hello");
}

async fn accept_tunnel(proxy: &ScriptedServer) -> crate::scripted_server::Peer {
    let (mut peer, request) = proxy.request().await;
    assert_eq!((request.method.as_str(), request.target.as_str()), ("CONNECT", "server.example:3000"));
    assert_eq!(request.header("proxy-authorization"), Some("Basic dXNlcjpwYXNzd29yZA=="));
    peer.write(b"HTTP/1.1 200 OK\r\n\r\n").await;
    peer
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named() {
    let proxy = ScriptedServer::start().await;
    let mut client = Client::start(&behind(&proxy));
    let (mut peer, _) = proxy.request().await;
    peer.respond_with("407 Proxy Authentication Required", "", "").await;
    let (reason, error) = client.closed().await;
    assert_eq!(reason, CloseReason::TransportError);
    let expected = format!(
        "polling: no connection through the proxy {}: the proxy responded with 407 Proxy Authentication Required",
        proxy.address
    );
    assert_eq!(error, expected);
}
