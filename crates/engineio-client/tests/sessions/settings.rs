//! The settings of a connector that change how a session opens.

use tidewire_engineio_client::{CloseReason, Transport};

use crate::scripted_server::{OPEN, ScriptedServer};
use crate::support::{Client, EchoServer, POLLING, WEBSOCKET, until};

#[tokio::test]
async fn the_next_transport_is_tried_if_the_program_wants_it() {
    let scripted = ScriptedServer::start().await;
    let both = scripted.connector().transports([Transport::WebSocket, Transport::Polling]);
    let mut client = Client::start(&both);
    let (mut blocked, _) = scripted.request().await;
    blocked.respond_with("403 Forbidden", "", "").await;
    let end = client.closed().await;
    assert_eq!(
        end,
        (CloseReason::TransportError, "websocket: the server responded with 403 Forbidden".into())
    );

    let both = both.try_all_transports(true);
    let mut client = Client::start(&both);
    client.session.send_text("hello");
    let (mut blocked, _) = scripted.request().await;
    blocked.respond_with("403 Forbidden", "", "").await;
    let _get = scripted.open(&OPEN.replace("[]", r#"["websocket"]"#)).await;
    client.opened().await;
    assert_eq!(client.session.transport(), POLLING[0]);
    let (mut post, request) = scripted.request().await;
    assert_eq!(request.body, "4hello");
    post.respond("ok").await;
    client.session.send_text("again");
    assert_eq!(post.request().await.body, "4again");
    assert!(!scripted.has_connection().await, "it does not upgrade to what has failed");

    // If all fail, the last error counts.
    let mut client = Client::start(&both);
    for status in ["403 Forbidden", "502 Bad Gateway"] {
        let (mut blocked, _) = scripted.request().await;
        blocked.respond_with(status, "", "").await;
    }
    assert_eq!(client.closed().await.1, "polling: the server responded with 502 Bad Gateway");
}

#[tokio::test]
async fn a_successful_upgrade_is_remembered_if_the_program_wants_it() {
    let server = EchoServer::start().await;
    for remembers in [true, false] {
        let connector = server.connector().remember_upgrade(remembers);
        let first = Client::open(&connector).await;
        until(|| first.session.transport() == WEBSOCKET[0]).await;
        let second = Client::start(&connector.clone());
        let expected = if remembers { WEBSOCKET } else { POLLING };
        assert_eq!(second.session.transport(), expected[0]);
        assert_eq!(Client::start(&server.connector()).session.transport(), POLLING[0], "another connector");
    }
}

#[tokio::test]
async fn a_remembered_websocket_that_fails_is_forgotten() {
    let scripted = ScriptedServer::start().await;
    let connector = scripted.connector().remember_upgrade(true);
    let mut client = Client::start(&connector);
    let mut get = scripted.open(&OPEN.replace("[]", r#"["websocket"]"#)).await;
    client.opened().await;
    let (mut websocket, _) = scripted.websocket().await;
    websocket.expect("2probe").await;
    websocket.send("3probe").await;
    get.request().await;
    get.respond("6").await;
    client.upgraded().await;

    let mut client = Client::start(&connector);
    let (mut blocked, request) = scripted.request().await;
    assert_eq!(request.parameter("transport"), Some("websocket"));
    blocked.respond_with("403 Forbidden", "", "").await;
    client.closed().await;
    assert_eq!(Client::start(&connector).session.transport(), POLLING[0]);
}

#[tokio::test]
async fn the_path_and_the_query_of_the_program_are_in_each_request() {
    let scripted = ScriptedServer::start().await;
    let connector = scripted.connector().path("/socket.io").query("token", "a b").timestamp_requests(false);
    let _client = Client::start(&connector);
    let (mut get, first) = scripted.request().await;
    assert_eq!(first.target, "/socket.io/?token=a+b&EIO=4&transport=polling");
    get.respond(&OPEN.replace("[]", r#"["websocket"]"#)).await;
    assert_eq!(get.request().await.target, "/socket.io/?token=a+b&EIO=4&transport=polling&sid=abc");
    let (_websocket, request) = scripted.websocket().await;
    assert_eq!(request.target, "/socket.io/?token=a+b&EIO=4&transport=websocket&sid=abc");
}

#[tokio::test]
async fn a_host_header_of_the_program_replaces_the_host_of_the_url() {
    let scripted = ScriptedServer::start().await;
    for transports in [&WEBSOCKET[..], &POLLING] {
        let connector = scripted.connector().transports(transports).extra_header("host", "example.com");
        let _client = Client::start(&connector);
        let (_peer, request) = scripted.request().await;
        assert_eq!(request.header("host"), Some("example.com"));
    }
}
