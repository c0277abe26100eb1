//! A session does not keep its thread for long.

use tidewire_engineio::Options;

use crate::support::{Server, frames, text};

const MESSAGE: &str = "5000 deliveries";

#[tokio::test]
async fn a_session_over_websocket_handles_one_message_a_turn_if_each_is_delivered_to_thousands() {
    let mut server = Server::start(Options::default()).await;
    let (mut client, mut opened) = server.open_websocket().await;
    let before = opened.polls();
    client.write(&frames(vec![format!("4{MESSAGE}"); 50])).await;
    opened.expect([(); 50].map(|()| text(MESSAGE))).await;
    assert!(opened.polls() - before >= 50, "{} turns", opened.polls() - before);
}

#[tokio::test]
async fn a_session_over_polling_handles_one_packet_a_turn_if_each_is_delivered_to_thousands() {
    let mut server = Server::start(Options::default()).await;
    let (client, mut opened) = server.open_polling().await;
    let before = opened.polls();
    client.post(vec![format!("4{MESSAGE}"); 50].join("\x1e")).await.expect(200, "ok");
    opened.expect([(); 50].map(|()| text(MESSAGE))).await;
    assert!(opened.polls() - before >= 50, "{} turns", opened.polls() - before);
}

#[tokio::test]
async fn a_session_handles_many_cheap_messages_in_one_turn() {
    let mut server = Server::start(Options::default()).await;
    let (mut client, mut opened) = server.open_websocket().await;
    let before = opened.polls();
    client.write(&frames(["4cheap"; 50])).await;
    opened.expect([(); 50].map(|()| text("cheap"))).await;
    assert!(opened.polls() - before < 25, "{} turns", opened.polls() - before);
}
