//! Messages of every form arrive, and leave together.

use tidewire_ws::{Limits, WebSocket};
use tokio::sync::oneshot;
use ws_proto::{Event, Opcode};

use crate::support::{Client, connect, connect_with, echo, fragment, frame, text};

/// Sends `wire` to an echo server, and expects `echoed` in response.
async fn echoes(client: &mut Client, wire: &[u8], echoed: Event<'static>) {
    client.write(wire).await;
    assert!(client.recv().await == Some(echoed), "{} bytes", wire.len());
}

#[tokio::test(start_paused = true)]
async fn messages_of_every_form_are_echoed_unchanged() {
    let mut client = connect(echo).await;
    echoes(&mut client, &text("héllo"), Event::Text("héllo".into())).await;
    echoes(&mut client, &text(""), Event::Text("".into())).await;
    echoes(&mut client, &frame(Opcode::Binary, b"\xff\x00"), Event::Binary(b"\xff\x00".into())).await;
    echoes(&mut client, &frame(Opcode::Binary, b""), Event::Binary(b"".into())).await;
    for length in [125, 126, 4_096, 4_097, 65_535, 65_536] {
        let payload = vec![b'x'; length];
        let client_text = String::from_utf8(payload.clone()).unwrap();
        client.write(&text(&client_text)).await;
        client.expect_text(&client_text).await;
    }
}

#[tokio::test(start_paused = true)]
async fn fragments_become_one_message_and_a_ping_between_them_gets_a_pong() {
    let mut client = connect(echo).await;
    let wire = [
        fragment(Opcode::Text, "h\u{e9}".as_bytes().split_at(2).0, false),
        frame(Opcode::Ping, b"between"),
        fragment(Opcode::Continuation, "h\u{e9}".as_bytes().split_at(2).1, false),
        fragment(Opcode::Continuation, b"", true),
    ];
    client.write(&wire.concat()).await;
    assert!(matches!(client.recv().await, Some(Event::Pong(payload)) if *payload == *b"between"));
    client.expect_text("hé").await;
}

#[tokio::test(start_paused = true)]
async fn bytes_that_come_one_by_one_become_messages() {
    let mut client = connect_with(Limits::default(), 1, b"", echo).await;
    for byte in [text("one"), text("two")].concat() {
        client.write(&[byte]).await;
    }
    client.expect_text("one").await;
    client.expect_text("two").await;
}

#[tokio::test(start_paused = true)]
async fn bytes_right_after_the_request_are_not_lost() {
    let trailing = [text("early"), text("bird")].concat();
    let mut client = connect_with(Limits::default(), 64 * 1024, &trailing, echo).await;
    client.expect_text("early").await;
    client.expect_text("bird").await;
}

#[tokio::test(start_paused = true)]
async fn responses_to_fifty_messages_of_one_read_leave_in_one_write() {
    let mut client = connect(echo).await;
    let before = client.writes();
    let wire: Vec<_> = (0..50).flat_map(|n| text(&format!("message {n}"))).collect();
    client.write(&wire).await;
    for n in 0..50 {
        client.expect_text(&format!("message {n}")).await;
    }
    assert_eq!(client.writes() - before, 1);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_messages_leave_in_few_writes() {
    let mut client = connect_with(Limits::default(), 1024 * 1024, b"", async |mut socket: WebSocket| {
        for n in 0..1_000 {
            socket.send(format!("{n} {:100}", "")).await.unwrap();
        }
        socket.recv().await;
    })
    .await;
    for n in 0..1_000 {
        client.expect_text(&format!("{n} {:100}", "")).await;
    }
    // 105 kB, of which 64 KiB are written before the handler waits.
    assert!(client.writes() <= 2, "{}", client.writes());
}

#[tokio::test(start_paused = true)]
async fn messages_leave_when_the_handler_waits() {
    let (release, released) = oneshot::channel::<()>();
    let released = std::sync::Arc::new(std::sync::Mutex::new(Some(released)));
    let mut client = connect(move |mut socket: WebSocket| async move {
        let released = released.lock().unwrap().take().unwrap();
        socket.send("before").await.unwrap();
        released.await.unwrap();
        socket.send("after").await.unwrap();
    })
    .await;
    client.expect_text("before").await;
    release.send(()).unwrap();
    client.expect_text("after").await;
}

#[tokio::test(start_paused = true)]
async fn a_ping_gets_a_pong_while_the_handler_waits_for_a_message() {
    let mut client = connect(echo).await;
    client.write(&frame(Opcode::Ping, b"are you there")).await;
    assert!(matches!(client.recv().await, Some(Event::Pong(payload)) if *payload == *b"are you there"));
}

#[tokio::test(start_paused = true)]
async fn every_ping_of_one_read_gets_a_pong_in_order() {
    let mut client = connect(echo).await;
    let wire: Vec<_> = (0..10).flat_map(|n| frame(Opcode::Ping, &[n])).collect();
    client.write(&wire).await;
    for n in 0..10 {
        assert!(matches!(client.recv().await, Some(Event::Pong(payload)) if *payload == [n]), "ping {n}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_socket_works_in_another_task_after_its_handler_has_returned() {
    let mut client = connect(async |socket: WebSocket| {
        tokio::spawn(echo(socket));
    })
    .await;
    for n in 0..10 {
        client.write(&[text(&format!("a{n}")), text(&format!("b{n}"))].concat()).await;
        client.expect_text(&format!("a{n}")).await;
        client.expect_text(&format!("b{n}")).await;
    }
    client.write(&frame(Opcode::Ping, b"")).await;
    assert!(matches!(client.recv().await, Some(Event::Pong(_))));
}

#[tokio::test(start_paused = true)]
async fn a_receive_that_is_dropped_loses_no_message() {
    let mut client = connect(async |mut socket: WebSocket| {
        loop {
            tokio::select! {
                biased;
                message = socket.recv() => match message {
                    Some(message) => socket.send(message).await.unwrap(),
                    None => break,
                },
                () = tokio::task::yield_now() => {}
            }
        }
    })
    .await;
    for n in 0..100 {
        let wire = text(&format!("message {n}"));
        let (first, second) = wire.split_at(n % wire.len());
        client.write(first).await;
        tokio::task::yield_now().await;
        client.write(second).await;
        client.expect_text(&format!("message {n}")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn long_responses_of_a_quick_handler_leave_in_one_write() {
    const LENGTH: usize = 64 * 1024;
    let mut client = connect_with(Limits::default(), 1024 * 1024, b"", echo).await;
    let messages: Vec<String> = ["a", "b", "c"].iter().map(|letter| letter.repeat(LENGTH)).collect();
    // Each message takes one read.
    client.write(&messages.iter().map(|message| text(message)).collect::<Vec<_>>().concat()).await;
    for message in &messages {
        client.expect_text(message).await;
    }
    assert_eq!(client.writes(), 1);
}

#[tokio::test(start_paused = true)]
async fn every_ping_between_long_messages_gets_a_pong() {
    let mut client = connect_with(Limits::default(), 1024 * 1024, b"", echo).await;
    let long = text(&"x".repeat(64 * 1024));
    let pings = [frame(Opcode::Ping, b"1"), frame(Opcode::Ping, b"2"), frame(Opcode::Ping, b"3")];
    client.write(&pings.iter().flat_map(|ping| [&long[..], ping]).collect::<Vec<_>>().concat()).await;
    let mut pongs = Vec::new();
    for _ in 0..6 {
        match client.recv().await {
            Some(Event::Pong(payload)) => pongs.push(payload.to_vec()),
            Some(Event::Text(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(pongs, [b"1", b"2", b"3"]);
}
