//! A peer that does not read costs bounded memory, and receives everything if it reads later.

use std::time::Duration;

use tidewire_ws::{Limits, Message, TrySendError, WebSocket};
use tokio::sync::mpsc;
use ws_proto::{Event, Opcode};

use crate::support::{connect_with, frame, text};

const LIMIT: usize = 10_000;

fn limits() -> Limits {
    Limits { max_write_buffer_size: LIMIT, ..Limits::default() }
}

#[tokio::test(start_paused = true)]
async fn try_send_returns_the_message_if_the_queue_is_full() {
    let (report, mut reports) = mpsc::unbounded_channel();
    let mut client = connect_with(limits(), 1_024, b"", move |mut socket: WebSocket| async move {
        let mut taken = 0;
        let refused = loop {
            match socket.try_send(vec![7; 1_000]) {
                Ok(()) => taken += 1,
                Err(refused) => break refused,
            }
        };
        report.send((taken, socket.buffered_amount(), refused)).unwrap();
        socket.recv().await;
    })
    .await;
    let (taken, buffered, refused) = reports.recv().await.unwrap();
    assert_eq!(refused, TrySendError::Full(Message::from(vec![7; 1_000])));
    assert!(buffered <= LIMIT && buffered + 1_004 > LIMIT, "{buffered}");
    for _ in 0..taken {
        assert_eq!(client.recv().await, Some(Event::Binary(vec![7; 1_000].into())));
    }
}

#[tokio::test(start_paused = true)]
async fn send_waits_for_a_slow_reader_and_continues_when_it_reads() {
    let (report, mut reports) = mpsc::unbounded_channel();
    let mut client = connect_with(limits(), 1_024, b"", move |mut socket: WebSocket| async move {
        for n in 0..100_u32 {
            let message = format!("{n} {:1000}", "");
            // The clock is paused: a second passes only when every task waits.
            if tokio::time::timeout(Duration::from_secs(1), socket.send(message.clone())).await.is_err() {
                report.send((n, socket.buffered_amount())).unwrap();
                socket.send(message).await.unwrap();
            }
        }
        drop(report);
    })
    .await;
    let (sent, buffered) = reports.recv().await.unwrap();
    assert!(sent < 12 && buffered <= LIMIT, "{sent} messages, {buffered} bytes");
    for n in 0..100 {
        client.expect_text(&format!("{n} {:1000}", "")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_send_in_another_task_continues_when_the_peer_reads() {
    let mut client = connect_with(limits(), 1_024, b"", |mut socket: WebSocket| async move {
        tokio::spawn(async move {
            for n in 0..100 {
                socket.send(format!("{n} {:1000}", "")).await.unwrap();
            }
        });
    })
    .await;
    for n in 0..100 {
        client.expect_text(&format!("{n} {:1000}", "")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_above_the_limit_is_accepted_if_the_queue_is_empty() {
    let mut client = connect_with(limits(), 1_024, b"", |mut socket: WebSocket| async move {
        socket.send("x".repeat(LIMIT * 3)).await.unwrap();
        assert!(matches!(socket.try_send("more"), Err(TrySendError::Full(_))));
        socket.send("y".repeat(LIMIT * 3)).await.unwrap();
    })
    .await;
    client.expect_text(&"x".repeat(LIMIT * 3)).await;
    client.expect_text(&"y".repeat(LIMIT * 3)).await;
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_sends_and_does_not_read_is_not_read_either() {
    let mut client = connect_with(limits(), 1_024, b"", crate::support::echo).await;
    let flood = async {
        loop {
            client.write(&text(&"x".repeat(1_000))).await;
        }
    };
    // Every task waits long before the time is over, and only then does the paused clock advance.
    assert!(tokio::time::timeout(Duration::from_secs(30), flood).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn unread_pongs_are_bounded() {
    let (report, mut reports) = mpsc::unbounded_channel();
    // The stream holds one Ping at a time, so each Ping takes one read.
    let ping = frame(Opcode::Ping, &[1; 125]);
    let mut client =
        connect_with(Limits::default(), ping.len(), b"", move |mut socket: WebSocket| async move {
            socket.recv().await.unwrap();
            report.send(socket.buffered_amount()).unwrap();
        })
        .await;
    for _ in 0..2_000 {
        client.write(&ping).await;
    }
    client.write(&text("how many bytes wait?")).await;
    let buffered = reports.recv().await.unwrap();
    assert!((60_000..=66_000).contains(&buffered), "{buffered}");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_waits_for_an_empty_queue_does_not_busy_loop() {
    let mut client = connect_with(limits(), 1_000, b"", |mut socket: WebSocket| async move {
        // Less than half of the capacity is used, and it cannot be written.
        socket.send(vec![7; 2_000]).await.unwrap();
        let mut sending = std::pin::pin!(socket.send(vec![8; LIMIT]));
        let mut polls = 0;
        let counted = std::future::poll_fn(|cx| {
            polls += 1;
            assert!(polls < 10, "polled again and again");
            sending.as_mut().poll(cx)
        });
        counted.await.unwrap();
    })
    .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(client.recv().await, Some(Event::Binary(vec![7; 2_000].into())));
    assert_eq!(client.recv().await, Some(Event::Binary(vec![8; LIMIT].into())));
}
