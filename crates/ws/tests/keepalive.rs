//! A peer that gives no sign of life gets a Ping, and then times out.

use std::time::Duration;

use tidewire_ws::{CloseCause, CloseCode, Limits, WebSocket};
use tokio::sync::mpsc;
use tokio::time::Instant;
use ws_proto::{Event, Opcode};

use crate::support::{Client, close, connect, connect_with, echo, frame, soon, text};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads until the end, and reports how the connection ended.
async fn listen(mut socket: WebSocket, report: mpsc::UnboundedSender<CloseCause>) {
    while socket.recv().await.is_some() {}
    report.send(socket.close_cause().expect("an end")).expect("a listening test");
}

impl Client {
    /// The next event, and the seconds between `begin` and its arrival.
    async fn recv_at(&mut self, begin: Instant) -> (Option<Event<'static>>, u64) {
        // The usual timeout is too short here, because the clock is paused.
        let event = tokio::time::timeout(DAY, self.recv_slowly()).await.expect("in time");
        (event, begin.elapsed().as_secs())
    }
}

fn ping() -> Option<Event<'static>> {
    Some(Event::Ping(ws_proto::ControlPayload::default()))
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_sends_nothing_gets_one_ping_and_then_times_out() {
    for elsewhere in [false, true] {
        let (report, mut reports) = mpsc::unbounded_channel();
        let begin = Instant::now();
        let mut client = connect(move |socket: WebSocket| async move {
            let listening = listen(socket, report);
            if elsewhere {
                tokio::spawn(listening);
            } else {
                listening.await;
            }
        })
        .await;
        assert_eq!(client.recv_at(begin).await, (ping(), 50));
        let (closed, after) = client.recv_at(begin).await;
        let Some(Event::Close(Some(frame))) = closed else { panic!("{closed:?}") };
        assert_eq!((frame.code, after), (CloseCode::POLICY_VIOLATION, 120));
        assert_eq!(client.recv_at(begin).await, (None, 120));
        assert_eq!(soon(reports.recv()).await, Some(CloseCause::IdleTimeout));
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_responds_to_pings_stays_connected() {
    let begin = Instant::now();
    let mut client = connect(echo).await;
    for round in 1..=100 {
        assert_eq!(client.recv_at(begin).await, (ping(), 50 * round));
        client.write(&frame(Opcode::Pong, b"")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_sends_messages_gets_no_ping() {
    let mut client = connect(echo).await;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_secs(49)).await;
        client.write(&text("still here")).await;
        client.expect_text("still here").await;
    }
    // A part of a message is a sign of life too.
    let message = text("in pieces");
    for byte in &message {
        tokio::time::sleep(Duration::from_secs(49)).await;
        client.write(&[*byte]).await;
    }
    client.expect_text("in pieces").await;
}

#[tokio::test(start_paused = true)]
async fn without_ping_and_timeout_silence_has_no_effect() {
    let limits = Limits { ping_after: None, idle_timeout: None, ..Limits::default() };
    let mut client = connect_with(limits, 64 * 1024, b"", echo).await;
    tokio::time::sleep(DAY).await;
    client.write(&text("good morning")).await;
    client.expect_text("good morning").await;
}

#[tokio::test(start_paused = true)]
async fn without_pings_silence_ends_a_connection() {
    let limits = Limits { ping_after: None, ..Limits::default() };
    let begin = Instant::now();
    let mut client = connect_with(limits, 64 * 1024, b"", echo).await;
    let (closed, after) = client.recv_at(begin).await;
    assert!(matches!(closed, Some(Event::Close(Some(_)))), "{closed:?}");
    assert_eq!(after, 120);
}

#[tokio::test(start_paused = true)]
async fn silence_does_not_count_while_the_program_does_not_receive() {
    for elsewhere in [false, true] {
        let slow = move |mut socket: WebSocket| async move {
            let work = async move {
                while let Some(message) = socket.recv().await {
                    tokio::time::sleep(Duration::from_secs(1_000)).await;
                    socket.send(message).await.unwrap();
                    tokio::time::sleep(Duration::from_secs(1_000)).await;
                }
            };
            if elsewhere {
                tokio::spawn(work);
            } else {
                work.await;
            }
        };
        let begin = Instant::now();
        let mut client = connect(slow).await;
        client.write(&text("one")).await;
        assert_eq!(client.recv_at(begin).await, (Some(Event::Text("one".into())), 1_000));
        // The peer gets a Ping when the program receives again, and then has time to respond.
        assert_eq!(client.recv_at(begin).await, (ping(), 2_000));
        tokio::time::sleep(Duration::from_secs(69)).await;
        client.write(&frame(Opcode::Pong, b"")).await;
        assert_eq!(client.recv_at(begin).await, (ping(), 2_119));
        let (closed, after) = client.recv_at(begin).await;
        assert!(matches!(closed, Some(Event::Close(Some(_)))), "{closed:?}");
        assert_eq!(after, 2_189);
    }
}

#[tokio::test(start_paused = true)]
async fn the_keepalive_continues_when_the_program_receives_again() {
    for elsewhere in [false, true] {
        let begin = Instant::now();
        let mut client = connect(move |mut socket: WebSocket| async move {
            let work = async move {
                // Longer than the idle timeout. The peer's message, sent meanwhile, is received at once.
                tokio::time::sleep(Duration::from_secs(200)).await;
                assert!(socket.recv().await.is_some());
                assert!(socket.recv().await.is_none());
            };
            if elsewhere {
                tokio::spawn(work);
            } else {
                work.await;
            }
        })
        .await;
        client.write(&text("one")).await;
        assert_eq!(client.recv_at(begin).await, (ping(), 250));
        assert_eq!(client.recv_at(begin).await.1, 320);
    }
}

#[tokio::test(start_paused = true)]
async fn a_program_that_only_sends_continues_while_its_peer_reads() {
    let mut client = connect(async |mut socket: WebSocket| {
        for number in 0..10 {
            tokio::time::sleep(Duration::from_secs(100)).await;
            socket.send(number.to_string()).await.unwrap();
        }
    })
    .await;
    let begin = Instant::now();
    for number in 0..10 {
        let text = number.to_string();
        assert_eq!(client.recv_at(begin).await.0, Some(Event::Text(text.into())));
    }
}

/// Sends until sending fails, and reports when and how the connection ended.
async fn send_all(mut socket: WebSocket, report: mpsc::UnboundedSender<(CloseCause, u64)>) {
    let begin = Instant::now();
    while socket.send(vec![7; 1_000]).await.is_ok() {}
    report
        .send((socket.close_cause().expect("an end"), begin.elapsed().as_secs()))
        .expect("a listening test");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_nothing_times_out() {
    for elsewhere in [false, true] {
        let (report, mut reports) = mpsc::unbounded_channel();
        let limits = Limits { max_write_buffer_size: 10_000, ..Limits::default() };
        let client = connect_with(limits, 1_024, b"", move |socket: WebSocket| async move {
            let sending = send_all(socket, report);
            if elsewhere {
                tokio::spawn(sending);
            } else {
                sending.await;
            }
        })
        .await;
        let ended = tokio::time::timeout(DAY, reports.recv()).await.unwrap();
        assert_eq!(ended, Some((CloseCause::IdleTimeout, 120)), "elsewhere: {elsewhere}");
        drop(client);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_slowly_stays_connected() {
    let (report, mut reports) = mpsc::unbounded_channel();
    let limits = Limits { max_write_buffer_size: 10_000, ..Limits::default() };
    let mut client =
        connect_with(limits, 1_024, b"", move |socket: WebSocket| send_all(socket, report)).await;
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(client.recv().await, Some(Event::Binary(vec![7; 1_000].into())));
    }
    assert!(reports.try_recv().is_err());
    let ended = tokio::time::timeout(DAY, reports.recv()).await.unwrap();
    assert_eq!(ended, Some((CloseCause::IdleTimeout, 5_120)));
}

#[tokio::test(start_paused = true)]
async fn an_end_after_the_keepalive_ping_is_reported_as_that_end() {
    let (report, mut reports) = mpsc::unbounded_channel();
    let begin = Instant::now();
    let mut client = connect(move |socket: WebSocket| listen(socket, report)).await;
    assert_eq!(client.recv_at(begin).await, (ping(), 50));
    client.write(&close(&CloseCode::NORMAL.into())).await;
    client.expect_close(CloseCode::NORMAL).await;
    assert_eq!(
        soon(reports.recv()).await,
        Some(CloseCause::ClosingHandshake(Some(CloseCode::NORMAL.into())))
    );
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_falls_silent_after_many_messages_gets_a_ping_and_times_out() {
    let begin = Instant::now();
    let messages = text("first").repeat(500);
    let mut client = connect_with(Limits::default(), 64 * 1024, &messages, echo).await;
    for _ in 0..500 {
        client.expect_text("first").await;
    }
    assert_eq!(client.recv_at(begin).await, (ping(), 50));
    let (closed, after) = client.recv_at(begin).await;
    let Some(Event::Close(Some(frame))) = closed else { panic!("{closed:?}") };
    assert_eq!((frame.code, after), (CloseCode::POLICY_VIOLATION, 120));
}
