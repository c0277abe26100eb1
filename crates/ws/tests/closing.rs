//! All ways in which a connection ends, seen from both sides.

use std::time::Duration;

use tidewire_ws::{CloseCause, CloseCode, CloseFrame, Limits, ProtocolError, SendError, WebSocket};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use ws_proto::{Event, FrameHeader, Opcode};

use crate::support::{close, connect, connect_with, fragment, frame, soon, text};

/// A handler that reports what it receives, and then how the connection ended.
fn reporting() -> (impl FnOnce(WebSocket) -> BoxFuture + Clone + Send, mpsc::UnboundedReceiver<String>) {
    let (report, reports) = mpsc::unbounded_channel();
    let handler = move |mut socket: WebSocket| -> BoxFuture {
        Box::pin(async move {
            while let Some(message) = socket.recv().await {
                report.send(message.as_text().expect("text").to_owned()).expect("a listening test");
            }
            assert!(socket.recv().await.is_none(), "the end is the end");
            assert_eq!(socket.send("late").await, Err(SendError("late".into())));
            report.send(socket.close_cause().expect("an end").to_string()).expect("a listening test");
        })
    };
    (handler, reports)
}

type BoxFuture = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

#[tokio::test(start_paused = true)]
async fn the_peers_close_gets_a_response_after_the_messages_before_it() {
    let (handler, mut reports) = reporting();
    let mut client = connect(handler).await;
    let bye = CloseFrame::new(CloseCode::new(4_000).unwrap(), "bye");
    client.write(&[text("one"), text("two"), close(&bye), text("ignored")].concat()).await;
    client.expect_close(bye.code).await;
    for expected in ["one", "two", "closed by a closing handshake: 4000 (bye)"] {
        assert_eq!(soon(reports.recv()).await.unwrap(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn our_close_waits_for_the_response() {
    let (report, mut reports) = mpsc::unbounded_channel();
    let mut client = connect(move |mut socket: WebSocket| async move {
        socket.send("last words").await.unwrap();
        let closed = socket.close(CloseFrame::new(CloseCode::GOING_AWAY, "restart")).await;
        assert_eq!(socket.close_cause().as_ref(), Some(&closed));
        report.send(closed).unwrap();
    })
    .await;
    client.expect_text("last words").await;
    let frame = CloseFrame::new(CloseCode::GOING_AWAY, "restart");
    assert_eq!(client.recv().await, Some(Event::Close(Some(frame))));
    assert_eq!(client.writes(), 1, "the message and the Close");
    assert!(reports.try_recv().is_err());
    client.write(&[text("dropped"), close(&CloseCode::GOING_AWAY.into())].concat()).await;
    assert_eq!(
        soon(reports.recv()).await,
        Some(CloseCause::ClosingHandshake(Some(CloseCode::GOING_AWAY.into())))
    );
    assert_eq!(client.recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_handle_of_an_ended_connection_does_not_keep_the_stream() {
    let (keep, mut kept) = mpsc::unbounded_channel();
    let mut client = connect(move |mut socket: WebSocket| async move {
        assert!(socket.recv().await.is_none());
        keep.send(socket).unwrap();
    })
    .await;
    client.write(&close(&CloseCode::NORMAL.into())).await;
    client.expect_close(CloseCode::NORMAL).await;
    let mut socket = soon(kept.recv()).await.unwrap();
    // The server reads and drops for a second, and then closes the stream.
    while soon(client.stream.write_all(&[0; 1_024])).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(socket.close_cause(), Some(CloseCause::ClosingHandshake(Some(CloseCode::NORMAL.into()))));
    assert!(socket.recv().await.is_none());
    assert_eq!(socket.send("late").await, Err(SendError("late".into())));
    assert_eq!(socket.buffered_amount(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_close_without_a_response_times_out() {
    let (report, mut reports) = mpsc::unbounded_channel();
    let mut client = connect(move |mut socket: WebSocket| async move {
        let begin = tokio::time::Instant::now();
        report.send((socket.close(None).await, begin.elapsed())).unwrap();
    })
    .await;
    assert_eq!(client.recv().await, Some(Event::Close(None)));
    let (closed, after) = soon(reports.recv()).await.unwrap();
    assert_eq!((closed, after.as_secs()), (CloseCause::CloseTimeout, 10));
    assert_eq!(client.recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_close_during_which_the_process_is_stopped_gives_the_peer_its_whole_time_again_once() {
    for stops in [1, 2] {
        let (report, mut reports) = mpsc::unbounded_channel();
        let mut client = connect(move |mut socket: WebSocket| async move {
            report.send(socket.close(None).await).unwrap();
        })
        .await;
        assert_eq!(client.recv().await, Some(Event::Close(None)));
        for stop in 1..=stops {
            tokio::time::advance(Duration::from_secs(60)).await;
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            assert_eq!(reports.is_empty(), stop == 1, "stop {stop}");
        }
        if stops == 1 {
            client.write(&close(&CloseCode::NORMAL.into())).await;
        }
        let closed = soon(reports.recv()).await.unwrap();
        assert_eq!(closed == CloseCause::CloseTimeout, stops == 2, "{closed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_continues_after_its_call_is_dropped() {
    let mut client = connect(|mut socket: WebSocket| async move {
        let close = socket.close(CloseFrame::from(CloseCode::GOING_AWAY));
        let _ = tokio::time::timeout(Duration::ZERO, close).await;
        assert!(socket.recv().await.is_none());
    })
    .await;
    assert_eq!(client.recv().await, Some(Event::Close(Some(CloseCode::GOING_AWAY.into()))));
    client.write(&close(&CloseCode::GOING_AWAY.into())).await;
    assert_eq!(client.recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_protocol_violation_gets_a_close_and_ends_the_connection() {
    let unmasked = [&FrameHeader::unfragmented(Opcode::Text, 2).encode()[..], b"hi"].concat();
    let cases = [
        (unmasked, CloseCode::PROTOCOL_ERROR, ProtocolError::UnmaskedFrameFromClient),
        (frame(Opcode::Text, b"\xff"), CloseCode::INVALID_PAYLOAD, ProtocolError::InvalidText),
        (
            fragment(Opcode::Text, &[b'x'; 1_001], true),
            CloseCode::MESSAGE_TOO_BIG,
            ProtocolError::MessageTooBig { size: 1_001, limit: 1_000 },
        ),
    ];
    for (wire, code, error) in cases {
        let (handler, mut reports) = reporting();
        let limits = Limits { max_message_size: 1_000, ..Limits::default() };
        let mut client = connect_with(limits, 64 * 1024, b"", handler).await;
        client.write(&[text("fine"), wire].concat()).await;
        client.expect_close(code).await;
        assert_eq!(soon(reports.recv()).await.unwrap(), "fine");
        assert_eq!(soon(reports.recv()).await.unwrap(), CloseCause::Protocol(error).to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_that_is_received_late_gets_a_response_without_a_reset() {
    async fn slow(mut socket: WebSocket) {
        while socket.recv().await.is_some() {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    }
    let elsewhere = async |socket: WebSocket| drop(tokio::spawn(slow(socket)));
    // The second client waits for longer than `ping_after`, so Pings are off.
    let limits = Limits { ping_after: None, ..Limits::default() };
    let clients = [
        connect_with(limits, 64 * 1024, b"", slow).await,
        connect_with(limits, 64 * 1024, b"", elsewhere).await,
    ];
    for mut client in clients {
        client.write(&[text("one"), close(&CloseCode::NORMAL.into())].concat()).await;
        tokio::time::sleep(Duration::from_secs(59)).await;
        client.expect_close(CloseCode::NORMAL).await;
        // The server still reads, so bytes in flight from the client do not turn the end of the stream into a reset.
        client.write(&text("on its way")).await;
        tokio::time::sleep(Duration::from_millis(900)).await;
        client.write(&text("on its way")).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(client.stream.write_all(b"late").await.is_err(), "a second is enough");
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_of_stream_without_a_close_ends_the_connection() {
    let (handler, mut reports) = reporting();
    let mut client = connect(handler).await;
    client.write(&text("one")).await;
    drop(client);
    assert_eq!(soon(reports.recv()).await.unwrap(), "one");
    let end = soon(reports.recv()).await.unwrap();
    assert!(
        [CloseCause::Eof.to_string(), CloseCause::Io(std::io::ErrorKind::BrokenPipe).to_string()]
            .contains(&end),
        "{end}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_ends_its_half_still_gets_a_close() {
    let (handler, mut reports) = reporting();
    let mut client = connect(handler).await;
    client.stream.shutdown().await.unwrap();
    assert_eq!(client.recv().await, Some(Event::Close(None)));
    assert_eq!(client.recv().await, None);
    assert_eq!(soon(reports.recv()).await.unwrap(), CloseCause::Eof.to_string());
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_returns_closes_with_1000_in_the_write_of_its_last_message() {
    let mut client = connect(|mut socket: WebSocket| async move { socket.send("that is all").await }).await;
    client.expect_text("that is all").await;
    assert_eq!(client.recv().await, Some(Event::Close(Some(CloseCode::NORMAL.into()))));
    assert_eq!(client.writes(), 1);
    client.write(&close(&CloseCode::NORMAL.into())).await;
    assert_eq!(client.recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_fails_or_panics_closes_with_1011() {
    let mut failed = connect(|socket: WebSocket| async move {
        drop(socket);
        Err::<(), _>("the database is gone")
    })
    .await;
    assert_eq!(failed.recv().await, Some(Event::Close(Some(CloseCode::INTERNAL_ERROR.into()))));

    let mut panicked = connect(async |mut socket: WebSocket| {
        socket.send("a panic follows").await.unwrap();
        assert!(socket.close_cause().is_some(), "a panic on purpose");
    })
    .await;
    panicked.expect_text("a panic follows").await;
    assert_eq!(panicked.recv().await, Some(Event::Close(Some(CloseCode::INTERNAL_ERROR.into()))));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_before_its_future_closes_with_1011() {
    let mut panicked = connect(|socket: WebSocket| {
        assert!(socket.close_cause().is_some(), "a panic on purpose");
        async {}
    })
    .await;
    assert_eq!(panicked.recv().await, Some(Event::Close(Some(CloseCode::INTERNAL_ERROR.into()))));
    panicked.write(&close(&CloseCode::INTERNAL_ERROR.into())).await;
    assert_eq!(panicked.recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_socket_dropped_in_another_task_closes() {
    let mut client = connect(async |mut socket: WebSocket| {
        tokio::spawn(async move {
            socket.recv().await.unwrap();
        });
    })
    .await;
    client.write(&text("go")).await;
    assert_eq!(client.recv().await, Some(Event::Close(Some(CloseCode::NORMAL.into()))));
}

#[tokio::test(start_paused = true)]
async fn the_peers_close_gets_a_response_while_the_handler_still_runs() {
    let (done, mut cleaned_up) = mpsc::unbounded_channel::<()>();
    let mut client = connect(move |mut socket: WebSocket| async move {
        while socket.recv().await.is_some() {}
        done.closed().await;
    })
    .await;
    client.write(&close(&CloseCode::NORMAL.into())).await;
    client.expect_close(CloseCode::NORMAL).await;
    cleaned_up.close();
}
