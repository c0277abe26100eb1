//! A WebSocket as `Stream` and `Sink`.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{Sink, SinkExt, StreamExt, stream};
use tidewire_ws::{CloseCause, CloseCode, Limits, Message, SinkError, WebSocket};
use tokio::sync::mpsc;
use ws_proto::Event;

use crate::support::{close, connect, connect_with, soon, text};

#[tokio::test(start_paused = true)]
async fn the_stream_can_be_forwarded_into_the_sink() {
    for halves in [false, true] {
        let (report, mut reports) = mpsc::unbounded_channel();
        let limits = Limits { max_write_buffer_size: 1_000, ..Limits::default() };
        let mut client = connect_with(limits, 1_000, b"", move |socket: WebSocket| async move {
            let sent = if halves {
                let (sender, receiver) = socket.split();
                receiver.map(Ok).forward(sender).await
            } else {
                let (sink, stream) = StreamExt::split(socket);
                stream.map(Ok).forward(sink).await
            };
            report.send(sent).unwrap();
        })
        .await;
        for n in 0..100 {
            client.write(&text(&format!("{n} {:200}", ""))).await;
            client.expect_text(&format!("{n} {:200}", "")).await;
        }
        client.write(&close(&CloseCode::NORMAL.into())).await;
        client.expect_close(CloseCode::NORMAL).await;
        assert_eq!(soon(reports.recv()).await, Some(Ok(())), "the end of one half closes the other");
    }
}

#[tokio::test(start_paused = true)]
async fn the_sink_is_not_ready_while_the_queue_is_full() {
    let limits = Limits { max_write_buffer_size: 1_000, ..Limits::default() };
    let (report, mut reports) = mpsc::unbounded_channel();
    let mut client = connect_with(limits, 1_000, b"", move |mut socket: WebSocket| async move {
        for n in 0..100 {
            let message = Message::from(format!("{n} {:400}", ""));
            let mut sending = socket.feed(message);
            // The clock is paused: a second passes only when every task waits.
            if tokio::time::timeout(Duration::from_secs(1), &mut sending).await.is_err() {
                report.send(n).unwrap();
                sending.await.unwrap();
            }
            assert!(socket.buffered_amount() <= 1_500, "{}", socket.buffered_amount());
        }
        drop(report);
        SinkExt::close(&mut socket).await.unwrap();
    })
    .await;
    assert!(soon(reports.recv()).await.unwrap() < 10);
    for n in 0..100 {
        client.expect_text(&format!("{n} {:400}", "")).await;
    }
    assert_eq!(client.recv().await, Some(Event::Close(Some(CloseCode::NORMAL.into()))));
}

#[tokio::test(start_paused = true)]
async fn flush_waits_only_for_messages_of_this_sink() {
    let limits = Limits { max_write_buffer_size: 10_000, ..Limits::default() };
    let (report, mut reports) = mpsc::unbounded_channel();
    let mut client = connect_with(limits, 1_000, b"", move |socket: WebSocket| async move {
        let (mut sender, mut receiver) = socket.split();
        let mut other = sender.clone();
        other.flush().await.unwrap();
        sender.feed("x".repeat(1_996).into()).await.unwrap();
        other.feed("y".repeat(4_996).into()).await.unwrap();
        tokio::spawn(async move {
            sender.flush().await.unwrap();
            report.send(sender.buffered_amount()).unwrap();
            other.flush().await.unwrap();
            report.send(sender.buffered_amount()).unwrap();
        });
        receiver.recv().await;
    })
    .await;
    let mut reported = |buffered| assert_eq!(reports.try_recv().ok(), buffered);
    tokio::time::sleep(Duration::from_millis(1)).await;
    reported(None);
    // Each read of a thousand bytes lets the server write a thousand more.
    let mut bytes = vec![0; 1_000];
    tokio::io::AsyncReadExt::read_exact(&mut client.stream, &mut bytes).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    reported(Some(5_000));
    for _ in 0..5 {
        reported(None);
        tokio::io::AsyncReadExt::read_exact(&mut client.stream, &mut bytes).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    reported(Some(0));
}

#[tokio::test(start_paused = true)]
async fn closing_the_sink_closes_the_connection_after_all_its_messages() {
    let (report, mut reports) = mpsc::unbounded_channel();
    let mut client = connect(move |socket: WebSocket| async move {
        let (mut sender, mut receiver) = socket.split();
        let receiving = tokio::spawn(async move { receiver.recv().await });
        let two = [Ok(Message::from("one")), Ok(Message::from("two"))];
        sender.send_all(&mut stream::iter(two)).await.unwrap();
        sender.feed("three".into()).await.unwrap();
        let mut polls = 0;
        let closing = poll_fn(|cx| {
            polls += 1;
            assert!(polls < 10, "polled again and again");
            Pin::new(&mut sender).poll_close(cx)
        });
        closing.await.unwrap();
        report.send((receiving.await.unwrap(), sender.close_cause())).unwrap();
        let refused = poll_fn(|cx| Pin::new(&mut sender).poll_ready(cx)).await;
        assert_eq!(refused, Err(SinkError(None)));
        let refused = Pin::new(&mut sender).start_send("late".into());
        assert_eq!(refused, Err(SinkError(Some("late".into()))));
        assert_eq!(sender.flush().await, Ok(()), "everything that was accepted was written");
        SinkExt::close(&mut sender).await.unwrap();
        report.send((None, None)).unwrap();
    })
    .await;
    for text in ["one", "two", "three"] {
        client.expect_text(text).await;
    }
    assert_eq!(client.recv().await, Some(Event::Close(Some(CloseCode::NORMAL.into()))));
    tokio::time::sleep(Duration::from_secs(1)).await;
    client.write(&close(&CloseCode::NORMAL.into())).await;
    let closed = CloseCause::ClosingHandshake(Some(CloseCode::NORMAL.into()));
    assert_eq!(soon(reports.recv()).await, Some((None, Some(closed))));
    assert_eq!(soon(reports.recv()).await, Some((None, None)));
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_waits_during_a_close_does_not_busy_loop() {
    let (report, mut reports) = mpsc::unbounded_channel();
    let mut client = connect_with(Limits::default(), 1_000, b"", async move |mut socket: WebSocket| {
        let sender = socket.sender();
        socket.feed("x".repeat(4_996).into()).await.unwrap();
        let mut polls = 0;
        let flushing = poll_fn(|cx| {
            if polls == 0 {
                let sender = sender.clone();
                tokio::spawn(async move { sender.close(None).await });
            }
            polls += 1;
            assert!(polls < 20, "polled again and again");
            Pin::new(&mut socket).poll_flush(cx)
        });
        flushing.await.unwrap();
        report.send(()).unwrap();
    })
    .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(reports.try_recv().is_err());
    client.expect_text(&"x".repeat(4_996)).await;
    soon(reports.recv()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_waiting_sink_is_woken_by_the_end() {
    let limits = Limits { max_write_buffer_size: 1_000, ..Limits::default() };
    let (report, mut reports) = mpsc::unbounded_channel();
    let client = connect_with(limits, 1_000, b"", move |socket: WebSocket| async move {
        let (mut sender, mut receiver) = socket.split();
        tokio::spawn(async move { receiver.recv().await });
        while sender.feed("x".repeat(500).into()).await.is_ok() {}
        report.send(sender.flush().await).unwrap();
    })
    .await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    drop(client);
    assert_eq!(soon(reports.recv()).await, Some(Err(SinkError(None))));
}
