//! The cookies of a server, which load balancers with sticky sessions need.

use tidewire_engineio_client::Transport;

use crate::scripted_server::ScriptedServer;
use crate::support::Client;

const OPEN: &str = r#"0{"sid":"abc","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000}"#;

#[tokio::test]
async fn the_cookies_of_the_first_response_are_sent_on_all_transports() {
    let scripted = ScriptedServer::start().await;
    let connector = scripted.connector().extra_header("cookie", "own=1").extra_header("x-name", "value");
    let mut client = Client::start(&connector);
    let (mut get, request) = scripted.request().await;
    assert_eq!(request.header("cookie"), Some("own=1"));
    get.respond_with("200 OK", "Set-Cookie: SERVERID=s1; path=/\r\nset-cookie: io=abc; HttpOnly\r\n", OPEN)
        .await;
    client.opened().await;
    let all = Some("own=1; SERVERID=s1; io=abc");
    let (mut websocket, handshake) = scripted.websocket().await;
    assert_eq!((handshake.header("cookie"), handshake.header("x-name")), (all, Some("value")));
    websocket.expect("2probe").await;
    client.session.send_text("hello");
    let (mut post, request) = scripted.request().await;
    assert_eq!((request.header("cookie"), request.header("x-name")), (all, Some("value")));

    // A later response changes and deletes cookies.
    post.respond_with("200 OK", "Set-Cookie: SERVERID=s2\r\nSet-Cookie: io=; Max-Age=0\r\n", "ok").await;
    assert_eq!(get.request().await.header("cookie"), all);
    client.session.send_text("again");
    let request = post.request().await;
    assert_eq!(request.header("cookie"), Some("own=1; SERVERID=s2"));
}

#[tokio::test]
async fn a_later_session_over_polling_sends_the_cookies_of_the_earlier_one() {
    let scripted = ScriptedServer::start().await;
    let connector = scripted.connector();
    let mut sessions = Vec::new();
    for (connector, sent) in [
        (connector.clone(), None),
        (connector.clone(), Some("SERVERID=s1")),
        (connector, Some("SERVERID=s1")),
    ] {
        let mut client = Client::start(&connector);
        let (mut get, request) = scripted.request().await;
        assert_eq!(request.header("cookie"), sent);
        let cookies = "Set-Cookie: SERVERID=s1; path=/\r\nSet-Cookie: old=1; Max-Age=0\r\n";
        get.respond_with("200 OK", cookies, crate::scripted_server::OPEN).await;
        client.opened().await;
        sessions.push((client, get));
    }
}

#[tokio::test]
async fn a_later_session_over_websocket_sends_the_cookies_of_the_earlier_one() {
    let scripted = ScriptedServer::start().await;
    let connector = scripted.connector().transports([Transport::WebSocket]);
    let mut client = Client::start(&connector);
    let (mut websocket, handshake) = scripted.websocket_with("Set-Cookie: SERVERID=s1\r\n").await;
    assert_eq!(handshake.header("cookie"), None);
    websocket.send(crate::scripted_server::OPEN).await;
    client.opened().await;
    let _client = Client::start(&connector);
    let (_websocket, handshake) = scripted.websocket().await;
    assert_eq!(handshake.header("cookie"), Some("SERVERID=s1"));
}

#[tokio::test]
async fn a_clone_with_another_setting_starts_without_cookies() {
    let scripted = ScriptedServer::start().await;
    let connector = scripted.connector().extra_header("authorization", "alice");
    let mut client = Client::start(&connector);
    let (mut get, _) = scripted.request().await;
    get.respond_with("200 OK", "Set-Cookie: user=alice\r\n", crate::scripted_server::OPEN).await;
    client.opened().await;
    assert_eq!(get.request().await.header("cookie"), Some("user=alice"));
    let _client = Client::start(&connector.extra_header("authorization", "bob"));
    let (_get, request) = scripted.request().await;
    assert_eq!(request.header("cookie"), None);
}

#[tokio::test]
async fn without_credentials_no_cookie_is_kept() {
    let scripted = ScriptedServer::start().await;
    let mut client = Client::start(&scripted.connector().with_credentials(false));
    let (mut get, _) = scripted.request().await;
    get.respond_with("200 OK", "Set-Cookie: a=1\r\n", crate::scripted_server::OPEN).await;
    client.opened().await;
    assert_eq!(get.request().await.header("cookie"), None);
}
