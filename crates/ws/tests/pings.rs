//! The round-trip time to the peer.

use std::time::Duration;

use tidewire_ws::{CloseCode, Limits, PingError, Receiver, Sender, WebSocket};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use ws_proto::{Event, Opcode};

use crate::support::{Client, close, connect_with, frame, soon, text};

/// A connection, and a task that receives on it.
async fn open() -> (Sender, JoinHandle<Option<String>>, Client) {
    let (sender, mut receiver, client) = halves().await;
    let receiving = tokio::spawn(async move {
        receiver.recv().await.map(|message| message.as_text().expect("text").to_owned())
    });
    (sender, receiving, client)
}

async fn halves() -> (Sender, Receiver, Client) {
    let (give, mut given) = mpsc::unbounded_channel();
    let limits = Limits { max_write_buffer_size: 1_000, ..Limits::default() };
    let client = connect_with(limits, 1_000, b"", move |socket: WebSocket| async move {
        give.send(socket.split()).expect("a test that takes them");
    })
    .await;
    let (sender, receiver) = soon(given.recv()).await.expect("halves");
    (sender, receiver, client)
}

/// The payload of the next Ping.
async fn next_ping(client: &mut Client) -> Vec<u8> {
    match client.recv_slowly().await {
        Some(Event::Ping(payload)) => payload.to_vec(),
        other => panic!("{other:?}"),
    }
}

fn ping(sender: &Sender) -> JoinHandle<Result<Duration, PingError>> {
    let sender = sender.clone();
    tokio::spawn(async move { sender.ping().await })
}

#[tokio::test(start_paused = true)]
async fn ping_returns_the_round_trip_time_and_the_pong_is_not_a_message() {
    let (sender, receiving, mut client) = open().await;
    let pinging = ping(&sender);
    let payload = next_ping(&mut client).await;
    sleep(Duration::from_millis(123)).await;
    // Unsolicited Pongs are ignored.
    client.write(&[frame(Opcode::Pong, b"hello"), frame(Opcode::Pong, b"")].concat()).await;
    sleep(Duration::from_millis(200)).await;
    assert!(!pinging.is_finished());
    client.write(&frame(Opcode::Pong, &payload)).await;
    let measured = soon(pinging).await.unwrap().unwrap();
    assert!((323..325).contains(&measured.as_millis()), "{measured:?}");
    assert!(!receiving.is_finished());
    client.write(&text("a message")).await;
    assert_eq!(soon(receiving).await.unwrap().as_deref(), Some("a message"));
}

#[tokio::test(start_paused = true)]
async fn concurrent_automatic_and_cancelled_pings_are_told_apart() {
    let (sender, _receiving, mut client) = open().await;
    let cancelled = ping(&sender);
    let first = next_ping(&mut client).await;
    cancelled.abort();
    let pinging = ping(&sender);
    let second = next_ping(&mut client).await;
    assert_ne!(first, second);
    // After fifty seconds of silence, the automatic Ping is sent as always.
    let automatic = next_ping(&mut client).await;
    assert_eq!(automatic, b"");
    client.write(&[frame(Opcode::Pong, &first), frame(Opcode::Pong, &automatic)].concat()).await;
    sleep(Duration::from_secs(1)).await;
    assert!(!pinging.is_finished());
    client.write(&frame(Opcode::Pong, &second)).await;
    assert_eq!(soon(pinging).await.unwrap().unwrap().as_secs(), 51);
}

#[tokio::test(start_paused = true)]
async fn a_pong_to_the_last_of_several_pings_completes_all() {
    let (sender, _receiving, mut client) = open().await;
    let one = ping(&sender);
    next_ping(&mut client).await;
    sleep(Duration::from_secs(1)).await;
    let two = ping(&sender);
    let last = next_ping(&mut client).await;
    client.write(&frame(Opcode::Pong, &last)).await;
    assert_eq!(soon(one).await.unwrap().unwrap().as_secs(), 1);
    assert_eq!(soon(two).await.unwrap().unwrap().as_secs(), 0);
}

#[tokio::test(start_paused = true)]
async fn cancelled_pings_do_not_affect_waiting_ones() {
    let (sender, _receiving, mut client) = open().await;
    let mut pings = Vec::new();
    for _ in 0..60 {
        let pinging = ping(&sender);
        pings.push((next_ping(&mut client).await, pinging));
    }
    for (_, pinging) in pings.iter().skip(1).step_by(2) {
        pinging.abort();
    }
    sleep(Duration::from_millis(1)).await;
    // The Pongs come in the order of the Pings, because a stream keeps its order.
    for (number, (payload, pinging)) in pings.into_iter().enumerate() {
        sleep(Duration::from_secs(1)).await;
        let waits = number % 2 == 0;
        assert_ne!(pinging.is_finished(), waits);
        client.write(&frame(Opcode::Pong, &payload)).await;
        if waits {
            assert_eq!(soon(pinging).await.unwrap().unwrap().as_secs(), number as u64 + 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_pong_to_a_later_cancelled_ping_completes_earlier_pings() {
    let (sender, _receiving, mut client) = open().await;
    let waiting = ping(&sender);
    next_ping(&mut client).await;
    let mut last = Vec::new();
    for _ in 0..1_000 {
        let cancelled = ping(&sender);
        last = next_ping(&mut client).await;
        cancelled.abort();
        cancelled.await.unwrap_err();
    }
    sleep(Duration::from_secs(1)).await;
    client.write(&frame(Opcode::Pong, &last)).await;
    assert_eq!(soon(waiting).await.unwrap().unwrap().as_secs(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_pong_ping_ends_with_the_timeout_or_the_connection() {
    // No task receives.
    let (sender, receiver, mut client) = halves().await;
    let pinging = ping(&sender);
    let payload = next_ping(&mut client).await;
    client.write(&frame(Opcode::Pong, &payload)).await;
    assert_eq!(pinging.await.unwrap(), Err(PingError::TimedOut));
    drop(receiver);
    assert_eq!(sender.ping().await, Err(PingError::Closed));

    let (sender, _receiving, mut client) = open().await;
    let pinging = ping(&sender);
    next_ping(&mut client).await;
    client.write(&close(&CloseCode::NORMAL.into())).await;
    assert_eq!(soon(pinging).await.unwrap(), Err(PingError::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_ping_waits_for_capacity_like_a_message() {
    let (sender, _receiving, mut client) = open().await;
    let mut filled = 0;
    while tokio::time::timeout(Duration::from_secs(1), sender.send("x".repeat(98))).await.is_ok() {
        filled += 1;
    }
    let pings: Vec<_> = (0..100).map(|_| ping(&sender)).collect();
    sleep(Duration::from_millis(1)).await;
    assert!(sender.buffered_amount() <= 1_010, "{}", sender.buffered_amount());
    for _ in 0..filled {
        client.expect_text(&"x".repeat(98)).await;
    }
    for pinging in pings {
        let payload = next_ping(&mut client).await;
        client.write(&frame(Opcode::Pong, &payload)).await;
        assert!(soon(pinging).await.unwrap().is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_ping_each_second_is_within_the_limit_even_if_messages_are_received_slowly() {
    let limits = Limits { max_control_frame_burst: 10, ..Limits::default() };
    let mut client = connect_with(limits, 64 * 1024, b"", async |mut socket: WebSocket| {
        while let Some(message) = socket.recv().await {
            sleep(Duration::from_secs(2)).await;
            if socket.send(message).await.is_err() {
                break;
            }
        }
    })
    .await;
    for _ in 0..200 {
        client.write(&[text("a message"), frame(Opcode::Ping, b"")].concat()).await;
        sleep(Duration::from_secs(1)).await;
    }
    for _ in 0..400 {
        let event = client.recv().await;
        assert!(matches!(event, Some(Event::Text(_) | Event::Pong(_))), "{event:?}");
    }
}
