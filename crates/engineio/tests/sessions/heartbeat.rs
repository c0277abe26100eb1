//! The heartbeat of the server.

use std::time::Duration;

use tidewire_engineio::{CloseReason, Options};
use tokio::time::{Instant, sleep};

use crate::support::{Seen, Server, frames, settings, text};

fn fast() -> Options {
    settings(|settings| {
        settings.ping_interval = Duration::from_millis(50);
        settings.ping_timeout = Duration::from_millis(100);
    })
}

#[tokio::test(start_paused = true)]
async fn a_polling_client_that_answers_is_pinged_again() {
    let mut server = Server::start_in_memory(fast()).await;
    let (client, mut opened) = server.open_polling().await;
    for _ in 0..3 {
        assert_eq!(client.poll().await, "2");
        client.post_ok("3").await;
    }
    opened.expect_silence();
}

#[tokio::test(start_paused = true)]
async fn a_polling_client_that_does_not_answer_is_told_that_it_is_over() {
    let mut server = Server::start_in_memory(fast()).await;
    let (client, mut opened) = server.open_polling().await;
    assert_eq!(client.poll().await, "2");
    assert_eq!(client.poll().await, "1");
    opened.expect_end(CloseReason::PingTimeout).await;
    client.expect_unknown().await;
    server.expect_no_sessions().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_polls_is_given_up() {
    let mut server = Server::start_in_memory(fast()).await;
    let (_client, mut opened) = server.open_polling().await;
    opened.expect_end(CloseReason::PingTimeout).await;
    server.expect_no_sessions().await;
}

#[tokio::test(start_paused = true)]
async fn a_websocket_client_that_does_not_answer_is_closed_without_a_code() {
    let mut server = Server::start_in_memory(fast()).await;
    let (mut client, mut opened) = server.open_websocket().await;
    client.expect("2").await;
    client.send("3").await;
    client.expect("2").await;
    client.expect_close(None).await;
    opened.expect_end(CloseReason::PingTimeout).await;
    server.expect_no_sessions().await;
}

#[tokio::test(start_paused = true)]
async fn the_default_ping_comes_after_25_seconds_and_the_end_20_seconds_later() {
    let mut server = Server::start(Options::default()).await;
    let (mut client, mut opened) = server.open_in_memory(1_024).await;
    let start = Instant::now();
    sleep(Duration::from_secs(20)).await;
    client.expect("2").await;
    assert_eq!(start.elapsed().as_secs(), 25);
    sleep(Duration::from_secs(15)).await;
    client.expect_close(None).await;
    assert_eq!(start.elapsed().as_secs(), 45);
    opened.expect_end(CloseReason::PingTimeout).await;
}

#[tokio::test(start_paused = true)]
async fn the_first_message_after_a_ping_gives_the_pong_more_time_once() {
    let mut server = Server::start(Options::default()).await;
    let (mut client, mut opened) = server.open_in_memory(1_024).await;
    sleep(Duration::from_secs(20)).await;
    client.expect("2").await;
    let pinged = Instant::now();
    for _ in 0..2 {
        sleep(Duration::from_secs(15)).await;
        client.write(&frames(["4busy"])).await;
        opened.expect([text("busy")]).await;
    }
    client.expect_close(None).await;
    assert_eq!(pinged.elapsed().as_secs(), 35);
}

#[tokio::test(start_paused = true)]
async fn a_pong_that_arrives_before_the_process_goes_on_keeps_the_session() {
    let mut server = Server::start(Options::default()).await;
    let (mut client, mut opened) = server.open_in_memory(1024).await;
    sleep(Duration::from_secs(25)).await;
    client.expect("2").await;
    // The process is stopped for longer than `ping_timeout`, and its timers fire before it reads.
    tokio::time::advance(Duration::from_secs(60)).await;
    tokio::task::yield_now().await;
    client.send("3").await;
    client.send("4hello").await;
    opened.expect([text("hello")]).await;
    // A client that is silent from now on still times out.
    sleep(Duration::from_secs(25)).await;
    client.expect("2").await;
    sleep(Duration::from_secs(20)).await;
    opened.expect([Seen::Closed(CloseReason::PingTimeout)]).await;
    client.expect_close(None).await;
}
