//! Several tasks share one connection.

use std::task::{Context, Waker};
use std::time::Duration;

use tidewire_ws::{
    CloseCause, CloseCode, CloseFrame, Limits, Message, Receiver, SendError, Sender, WebSocket,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use ws_proto::Event;

use crate::support::{Client, close, connect, connect_with, soon, text};

/// A connection whose halves the test holds, and its client. The stream holds a thousand bytes.
async fn halves(limits: Limits) -> (Sender, Receiver, Client) {
    let (give, mut given) = mpsc::unbounded_channel();
    let client = connect_with(limits, 1_000, b"", move |socket: WebSocket| async move {
        give.send(socket.split()).expect("a test that takes them");
    })
    .await;
    let (sender, receiver) = soon(given.recv()).await.expect("halves");
    (sender, receiver, client)
}

fn small() -> Limits {
    Limits { max_write_buffer_size: 1_000, ..Limits::default() }
}

/// Waits until every other task waits: the clock is paused.
async fn all_wait() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Fills the stream and the queue, and returns the number of messages, of a hundred bytes each.
async fn fill(sender: &Sender) -> usize {
    let mut filled = 0;
    loop {
        let taken = (0..).take_while(|_| sender.try_send("x".repeat(98)).is_ok()).count();
        if taken == 0 {
            return filled;
        }
        filled += taken;
        all_wait().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiting_send_and_a_waiting_recv_wake_independently() {
    let (sender, mut receiver, mut client) = halves(small()).await;
    let filled = fill(&sender).await;
    let sending = tokio::spawn(async move { sender.send("capacity at last").await });
    let receiving = tokio::spawn(async move { (receiver.recv().await, receiver) });
    all_wait().await;
    assert!(!sending.is_finished() && !receiving.is_finished());

    client.write(&text("first")).await;
    let (received, mut receiver) = soon(receiving).await.unwrap();
    assert_eq!(received, Some("first".into()));
    assert!(!sending.is_finished());

    let receiving = tokio::spawn(async move { (receiver.recv().await, receiver) });
    all_wait().await;
    for _ in 0..filled {
        client.expect_text(&"x".repeat(98)).await;
    }
    client.expect_text("capacity at last").await;
    assert_eq!(soon(sending).await.unwrap(), Ok(()));
    assert!(!receiving.is_finished());
    client.write(&text("second")).await;
    assert_eq!(soon(receiving).await.unwrap().0, Some("second".into()));
}

/// Starts tasks that each send one message, and wait for capacity in this order.
async fn queue_senders(sender: &Sender, names: &[&'static str]) -> Vec<JoinHandle<Result<(), SendError>>> {
    let mut line = Vec::new();
    for &name in names {
        let sender = sender.clone();
        // Half of the capacity each, so that they are sent one by one.
        line.push(tokio::spawn(async move { sender.send(format!("{name:500}")).await }));
        all_wait().await;
    }
    line
}

#[tokio::test(start_paused = true)]
async fn waiting_senders_send_in_the_order_of_their_calls() {
    let (sender, _receiver, mut client) = halves(small()).await;
    let filled = fill(&sender).await;
    let line = queue_senders(&sender, &["one", "two", "three", "four", "five"]).await;
    // A cancelled sender does not block the others, even if it is the next one or has already been woken.
    line[0].abort();
    line[2].abort();
    for _ in 0..filled {
        client.expect_text(&"x".repeat(98)).await;
    }
    for name in ["two", "four", "five"] {
        client.expect_text(&format!("{name:500}")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_sender_passes_its_wake_on() {
    let (sender, _receiver, mut client) = halves(small()).await;
    let filled = fill(&sender).await;
    let mut first = Box::pin(sender.send(format!("{:500}", "first")));
    assert!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let second = queue_senders(&sender, &["second"]).await;
    for _ in 0..filled {
        client.expect_text(&"x".repeat(98)).await;
    }
    // Everything is read, so only the end of the first call can wake the second.
    all_wait().await;
    assert_eq!(sender.buffered_amount(), 0);
    assert!(!second[0].is_finished());
    drop(first);
    let text = format!("{:500}", "second");
    let received = tokio::time::timeout(Duration::from_secs(1), client.expect_text(&text));
    received.await.expect("at once, not after the next Ping");
}

#[tokio::test(start_paused = true)]
async fn the_connection_outlives_its_senders_and_ends_with_its_receiver() {
    let (sender, mut receiver, mut client) = halves(Limits::default()).await;
    let kept = sender.clone();
    sender.send("hello").await.unwrap();
    drop(sender);
    client.expect_text("hello").await;
    client.write(&text("still there")).await;
    assert_eq!(soon(receiver.recv()).await, Some("still there".into()));

    kept.send("that is all").await.unwrap();
    let ended = tokio::spawn({
        let kept = kept.clone();
        async move { kept.closed().await }
    });
    drop(receiver);
    client.expect_text("that is all").await;
    assert_eq!(client.recv().await, Some(Event::Close(Some(CloseCode::NORMAL.into()))));
    assert_eq!(kept.send("late").await, Err(SendError("late".into())));
    client.write(&close(&CloseCode::NORMAL.into())).await;
    let clean = CloseCause::ClosingHandshake(Some(CloseCode::NORMAL.into()));
    assert_eq!((soon(ended).await.unwrap(), kept.close_cause()), (clean.clone(), Some(clean)));
}

#[tokio::test(start_paused = true)]
async fn a_close_by_one_handle_wakes_all_waiting_calls() {
    let (sender, mut receiver, mut client) = halves(small()).await;
    let filled = fill(&sender).await;
    let line = queue_senders(&sender, &["never"]).await;
    let receiving = tokio::spawn(async move { (receiver.recv().await, receiver.close_cause()) });
    let ended = tokio::spawn({
        let sender = sender.clone();
        async move { sender.closed().await }
    });
    all_wait().await;
    let frame = CloseFrame::new(CloseCode::GOING_AWAY, "enough");
    let closing = tokio::spawn(async move { sender.close(frame).await });
    for waiting in line {
        assert_eq!(soon(waiting).await.unwrap(), Err(SendError(format!("{:500}", "never").into())));
    }
    for _ in 0..filled {
        client.expect_text(&"x".repeat(98)).await;
    }
    client.write(&close(&CloseCode::GOING_AWAY.into())).await;
    let closed = CloseCause::ClosingHandshake(Some(CloseCode::GOING_AWAY.into()));
    assert_eq!(soon(closing).await.unwrap(), closed);
    assert_eq!(soon(ended).await.unwrap(), closed);
    assert_eq!(soon(receiving).await.unwrap(), (None, Some(closed)));
}

#[tokio::test(start_paused = true)]
async fn a_write_error_wakes_all_waiting_calls() {
    let (sender, mut receiver, client) = halves(small()).await;
    fill(&sender).await;
    let line = queue_senders(&sender, &["never"]).await;
    let receiving = tokio::spawn(async move { receiver.recv().await });
    all_wait().await;
    drop(client);
    assert_eq!(soon(receiving).await.unwrap(), None);
    for waiting in line {
        assert!(soon(waiting).await.unwrap().is_err());
    }
    assert!(!soon(sender.closed()).await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn unsplit_restores_the_websocket() {
    let (sender, receiver, mut client) = halves(Limits::default()).await;
    let mut socket = receiver.unsplit();
    assert!(socket.sender().same_connection(&sender));
    socket.send("whole").await.unwrap();
    sender.send("and beside it").await.unwrap();
    client.expect_text("whole").await;
    client.expect_text("and beside it").await;
    client.write(&text("reply")).await;
    assert_eq!(soon(socket.recv()).await, Some(Message::from("reply")));
}

#[tokio::test(start_paused = true)]
async fn waiters_take_memory_only_while_a_call_waits() {
    let (sender, _receiver, mut client) = halves(small()).await;
    for _ in 0..1_000 {
        // A `select!` in a loop begins to wait for the end again and again.
        tokio::select! {
            biased;
            _ = sender.closed() => unreachable!("it is open"),
            () = std::future::ready(()) => {}
        }
    }
    let again = allocation_counter::measure(|| {
        let mut ended = Box::pin(sender.closed());
        assert!(ended.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    });
    assert_eq!(again.bytes_current, 0);
    assert!(again.bytes_max < 1_000, "{again:?}");
    sender.send("done").await.unwrap();
    client.expect_text("done").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn senders_on_many_threads_lose_nothing_and_keep_their_order() {
    const SENDERS: usize = 8;
    const MESSAGES: usize = 200;
    let mut client = connect(|socket: WebSocket| async move {
        let (sender, mut receiver) = socket.split();
        for task in 0..SENDERS {
            let sender = sender.clone();
            tokio::spawn(async move {
                for number in 0..MESSAGES {
                    sender.send(format!("{task} {number} {:2000}", "")).await.unwrap();
                }
            });
        }
        assert_eq!(receiver.recv().await, Some("thank you".into()));
    })
    .await;
    let mut next = [0; SENDERS];
    for _ in 0..SENDERS * MESSAGES {
        let Some(Event::Text(message)) = client.recv().await else { panic!("a message") };
        let mut words = message.split_whitespace().map(|word| word.parse::<usize>().unwrap());
        let (task, number) = (words.next().unwrap(), words.next().unwrap());
        assert_eq!(std::mem::replace(&mut next[task], number + 1), number);
    }
    client.write(&text("thank you")).await;
    assert_eq!(client.recv().await, Some(Event::Close(Some(CloseCode::NORMAL.into()))));
}
