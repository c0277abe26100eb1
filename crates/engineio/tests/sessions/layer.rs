//! The engine together with other services.

use axum::Router;
use axum::routing::get;
use tidewire_engineio::{CloseReason, Cors, Options};
use tokio::net::TcpListener;

use crate::support::{Seen, Server, frames, text};

/// Starts the same engine in front of an axum router.
async fn mount(server: &mut Server) {
    let router = Router::new().route("/hello", get(async || "from the router")).layer(server.engine.layer());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    server.address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move { axum::serve(listener, router).await });
}

fn plain_get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn as_a_layer_it_leaves_the_routes_of_the_router_alone() {
    let mut server = Server::start(Options::default()).await;
    mount(&mut server).await;
    server.send(&plain_get("/hello")).await.response().await.expect(200, "from the router");
    server.send(&plain_get("/engine.io")).await.response().await.expect(404, "");
    server.send(&plain_get("/other")).await.response().await.expect(404, "");
    assert_eq!(server.engine.session_count(), 0);
}

#[tokio::test]
async fn as_a_layer_it_serves_polling_websocket_and_the_move_between_them() {
    let mut server = Server::start(Options::default()).await;
    mount(&mut server).await;
    let (client, mut opened) = server.open_polling().await;
    client.post_ok("4posted").await;
    let mut websocket = client.candidate(&frames(["2probe", "5", "4moved"])).await;
    websocket.expect("3probe").await;
    opened.expect([text("posted"), text("moved")]).await;
    let (mut websocket, opened) = server.open_websocket().await;
    opened.session.send_text("hello");
    websocket.expect("4hello").await;
}

#[tokio::test]
async fn as_a_service_it_answers_404_to_everything_else() {
    let server = Server::start(Options::default()).await;
    server
        .send(&plain_get("/hello"))
        .await
        .response()
        .await
        .expect(404, "Not found: this service handles /engine.io/\n");
}

#[tokio::test]
async fn beyond_the_limit_a_session_is_refused_and_there_is_room_again_when_one_ends() {
    let mut server = Server::start(Options { max_sessions: 2, ..Options::default() }).await;
    let (_polling, _first) = server.open_polling().await;
    let (websocket, _second) = server.open_websocket().await;
    server.get("EIO=4&transport=polling").await.response().await.expect(503, "too many sessions\n");
    assert_eq!(server.engine.session_count(), 2);
    drop(websocket);
    crate::support::until(|| server.engine.session_count() == 1).await;
    server.open_polling().await;
}

#[tokio::test]
async fn a_session_that_never_polls_makes_room_for_others_and_one_that_polls_does_not() {
    let mut server = Server::start(Options { max_half_open_sessions: 3, ..Options::default() }).await;
    let (silent, mut first) = server.open_polling().await;
    let (posts, mut second) = server.open_polling().await;
    let (polls, third) = server.open_polling().await;
    // It sends something once, and then nothing until a pong is due.
    posts.post_ok("4hello").await;
    let poll = polls.get().await;
    third.poll_waits().await;
    let mut later = Vec::new();
    for _ in 0..3 {
        later.push(server.open_polling().await);
    }
    first.expect_end(CloseReason::ForcedClose).await;
    silent.expect_unknown().await;
    assert_eq!(server.engine.session_count(), 4);
    second.expect([text("hello"), Seen::Closed(CloseReason::ForcedClose)]).await;
    third.session.send_text("hello");
    poll.response().await.expect(200, "4hello");
    for (client, opened) in &mut later {
        client.post_ok("4here").await;
        opened.expect([text("here")]).await;
    }
}

#[tokio::test]
async fn an_engine_that_was_closed_takes_no_session_any_more() {
    let server = Server::start(Options::default()).await;
    server.engine.close();
    let refused = server.get("EIO=4&transport=polling").await.response().await;
    refused.expect(503, "the server is closing\n");
    assert!(refused.head.contains("retry-after: 1\r\n"), "{}", refused.head);
    assert_eq!(server.engine.session_count(), 0);
}

#[tokio::test]
async fn pages_of_other_origins_get_their_headers_on_every_answer() {
    let options = Options { cors: Some(Cors::any()), ..Options::default() };
    let server = Server::start(options).await;
    for query in ["EIO=4&transport=polling", "EIO=4&transport=unknown"] {
        let response = server.get(query).await.response().await;
        assert!(response.head.contains("access-control-allow-origin: *"), "{}", response.head);
    }
}
