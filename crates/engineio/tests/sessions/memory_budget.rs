//! The memory that many clients use together, and which of them must end.

use tidewire_engineio::{CloseReason, MemoryBudget, Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use ws_proto::{CloseCode, Event, FrameHeader, Opcode};

use crate::support::{Opened, Request, Server, WebSocket, soon, text, until};

const KIB: usize = 1024;

fn options(limit: usize) -> (Options, MemoryBudget) {
    let memory_budget = MemoryBudget::new(limit);
    (Options { memory_budget: memory_budget.clone(), ..Options::default() }, memory_budget)
}

/// Sends the beginning of a text message of `length` bytes.
async fn begin_message(client: &mut WebSocket, length: usize, sent: usize) {
    let header = FrameHeader { masking_key: Some([0; 4]), ..FrameHeader::unfragmented(Opcode::Text, length) };
    client.write(&[header.encode().as_ref(), b"4", &vec![b'x'; sent - 1]].concat()).await;
}

/// Sends the rest of such a message.
async fn finish_message(client: &mut WebSocket, length: usize, sent: usize) {
    client.write(&vec![b'x'; length - sent]).await;
}

/// Polls for a message that is larger than the buffers of the system, and reads one byte of the response.
async fn begin_large_poll(server: &mut Server, budget: &MemoryBudget) -> (Opened, Request) {
    let (polling, opened) = server.open_polling().await;
    opened.session.send_text(&"x".repeat(12 * KIB * KIB));
    let mut poll = polling.get().await;
    soon(poll.0.read_u8()).await.expect("the response has begun");
    until(|| budget.used() >= 12 * KIB * KIB).await;
    (opened, poll)
}

async fn expect_close_1013(client: &mut WebSocket) {
    let Some(Event::Close(Some(frame))) = client.recv().await else { panic!("a close frame") };
    assert_eq!((frame.code, &*frame.reason), (CloseCode::TRY_AGAIN_LATER, "memory budget exceeded"));
}

#[tokio::test]
async fn the_session_with_the_largest_unfinished_message_ends_and_the_others_finish() {
    const LENGTH: usize = 200 * KIB;
    let (options, budget) = options(1_000 * KIB);
    let mut server = Server::start(options).await;
    let mut sessions = Vec::new();
    for number in 0..10 {
        let (client, opened) = server.open_websocket().await;
        sessions.push((client, opened, if number == 3 { 150 * KIB } else { 80 * KIB }));
    }
    let heads = budget.used();
    let mut total = 0;
    for (client, _, sent) in &mut sessions {
        total += *sent;
        begin_message(client, LENGTH, *sent).await;
        until(|| budget.used() == heads + total).await;
    }
    // 870 KiB so far. The last client exceeds the limit, but another one holds more.
    sessions[9].0.write(&vec![b'x'; 69 * KIB]).await;
    until(|| budget.used() == heads + 939 * KIB).await;
    sessions[8].0.write(&vec![b'x'; 62 * KIB]).await;
    let (mut client, mut opened, _) = sessions.remove(3);
    opened.expect_end(CloseReason::TransportError).await;
    expect_close_1013(&mut client).await;
    for (number, (client, opened, sent)) in sessions.iter_mut().enumerate() {
        let sent = *sent + [0, 0, 0, 0, 0, 0, 0, 62, 69][number] * KIB;
        finish_message(client, LENGTH, sent).await;
        opened.expect([text("x".repeat(LENGTH - 1))]).await;
    }
    until(|| budget.used() < KIB * 20).await;
}

#[tokio::test]
async fn a_message_that_is_complete_and_an_announced_length_count_nothing() {
    let (options, budget) = options(32 * KIB);
    let mut server = Server::start(options).await;
    let (mut client, mut opened) = server.open_websocket().await;
    begin_message(&mut client, 900 * KIB, 1).await;
    let (mut second, mut of_second) = server.open_websocket().await;
    for _ in 0..100 {
        second.send(&format!("4{}", "y".repeat(10 * KIB))).await;
        of_second.expect([text("y".repeat(10 * KIB))]).await;
    }
    // Only what both sessions keep of their handshakes.
    until(|| budget.used() < KIB).await;
    opened.expect_silence();
    client.write(&[b'x'; 64 * KIB]).await;
    opened.expect_end(CloseReason::TransportError).await;
    expect_close_1013(&mut client).await;
}

#[tokio::test]
async fn the_post_with_the_largest_body_gets_503_and_the_other_finishes() {
    let (options, budget) = options(300 * KIB);
    let mut server = Server::start(options).await;
    let (polling, mut opened) = server.open_polling().await;
    let (large, mut of_large) = server.open_polling().await;
    let heads = budget.used();
    let length = 400 * KIB;
    let headers = format!("Content-Length: {length}\r\n");
    let mut small = polling.request("POST", &headers, format!("4{}", "x".repeat(100 * KIB - 1))).await;
    // The memory of the body may be up to twice its length.
    until(|| budget.used() >= heads + 100 * KIB).await;
    let refused = large.request("POST", &headers, "y".repeat(250 * KIB)).await;
    assert_eq!(refused.response().await.status, 503);
    of_large.expect_end(CloseReason::TransportError).await;
    // Alone, it may be as long as the limit.
    small.0.write_all("x".repeat(150 * KIB).as_bytes()).await.unwrap();
    until(|| (240 * KIB..=300 * KIB).contains(&budget.used())).await;
    drop(small);
    opened.expect_end(CloseReason::TransportError).await;
    until(|| budget.used() == 0).await;
}

#[tokio::test]
async fn a_post_whose_packets_wait_for_the_handler_counts() {
    let (options, budget) = options(480 * KIB);
    let mut server = Server::start(options).await;
    let (polling, mut opened) = server.open_polling().await;
    opened.want_input(false);
    let heads = budget.used();
    // Bytes that are no text become U+FFFD, which takes three.
    let body = [&b"4"[..], &[0xff; 82 * KIB][..], &[b'x'; 4 * KIB - 1]].concat();
    let post = polling.begin_post(body).await;
    until(|| budget.used() >= heads + 250 * KIB).await;
    let (mut client, mut of_client) = server.open_websocket().await;
    let rest = budget.limit() - budget.used();
    begin_message(&mut client, 900 * KIB, rest - KIB).await;
    until(|| budget.used() > budget.limit() - 2 * KIB).await;
    assert!(!opened.session.is_closed());
    client.write(&[b'x'; 2 * KIB]).await;
    assert_eq!(post.response().await.status, 503);
    opened.expect_end(CloseReason::TransportError).await;
    of_client.expect_silence();
}

#[tokio::test]
async fn a_client_that_does_not_read_ends_without_a_close_frame() {
    let (options, budget) = options(3 * KIB * KIB);
    let mut server = Server::start(options).await;
    let (mut small, mut of_small) = server.open_websocket().await;
    begin_message(&mut small, 900 * KIB, 100 * KIB).await;
    let (slow, mut of_slow) = server.open_in_memory(KIB).await;
    for _ in 0..40 {
        of_slow.session.send_text(&"x".repeat(100 * KIB));
    }
    of_slow.expect_end(CloseReason::TransportError).await;
    until(|| budget.used() < 110 * KIB).await;
    of_small.expect_silence();
    drop(slow);
}

#[tokio::test]
async fn messages_for_a_poll_that_does_not_come_count() {
    let (options, budget) = options(3 * KIB * KIB);
    let mut server = Server::start(options).await;
    let (_polling, mut opened) = server.open_polling().await;
    for _ in 0..40 {
        opened.session.send_text(&"x".repeat(100 * KIB));
    }
    opened.expect_end(CloseReason::TransportError).await;
    until(|| budget.used() == 0).await;
}

#[tokio::test]
async fn a_response_that_its_client_does_not_read_counts_and_ends_its_session() {
    let (options, budget) = options(20 * KIB * KIB);
    let mut server = Server::start(options).await;
    let (mut opened, mut poll) = begin_large_poll(&mut server, &budget).await;
    opened.expect_silence();

    let (_other, of_other) = server.open_polling().await;
    of_other.session.send_text(&"y".repeat(9 * KIB * KIB));
    opened.expect_end(CloseReason::TransportError).await;
    assert_eq!(opened.session.close_description(), Some("memory budget exceeded"));
    until(|| budget.used() < 10 * KIB * KIB).await;
    assert!(!of_other.session.is_closed());
    let mut rest = Vec::new();
    // A reset is also an end.
    let _ = soon(poll.0.read_to_end(&mut rest)).await;
    assert!(rest.len() < 12 * KIB * KIB, "{}", rest.len());
}

#[tokio::test]
async fn a_response_counts_until_its_client_has_read_it() {
    let (options, budget) = options(20 * KIB * KIB);
    let mut server = Server::start(options).await;
    let (mut opened, mut poll) = begin_large_poll(&mut server, &budget).await;
    let mut rest = Vec::new();
    soon(poll.0.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.ends_with(b"xxx") && rest.len() > 12 * KIB * KIB, "{}", rest.len());
    until(|| budget.used() < KIB).await;
    opened.expect_silence();
}

#[tokio::test]
async fn sessions_are_refused_while_the_heads_of_requests_take_half_of_the_budget() {
    let (options, budget) = options(10_000);
    let mut server = Server::start(options).await;
    let query = format!("EIO=4&transport=polling&padding={}", "x".repeat(1_180));
    let mut sessions = Vec::new();
    for _ in 0..4 {
        assert_eq!(server.get(&query).await.response().await.status, 200);
        sessions.push(server.opened().await);
    }
    assert_eq!(server.get(&query).await.response().await.status, 503);
    assert!((4_800..=5_000).contains(&budget.used()), "{}", budget.used());
    sessions[0].session.close();
    drop(sessions.remove(0));
    server.engine.close();
    server.expect_no_sessions().await;
    until(|| budget.used() == 0).await;
}

#[tokio::test]
async fn a_head_of_exactly_the_limit_opens_a_session_and_a_longer_one_gets_431() {
    let (mut options, _) = options(1_000_000);
    options.max_handshake_size = 1_000;
    let server = Server::start(options).await;
    // The path, and the headers `host: h` and `connection: close`, each with a colon and a newline.
    let others = "/engine.io/?EIO=4&transport=polling&p=".len() + 7 + 17;
    for (padding, status) in [(1_000 - others, 200), (1_001 - others, 431)] {
        let query = format!("EIO=4&transport=polling&p={}", "x".repeat(padding));
        assert_eq!(server.get(&query).await.response().await.status, status, "{padding}");
    }
}

#[tokio::test]
async fn half_open_sessions_end_when_the_heads_after_them_take_too_many_bytes() {
    let (mut options, _) = options(1_000_000);
    options.max_half_open_bytes = 3_000;
    let mut server = Server::start(options).await;
    let query = format!("EIO=4&transport=polling&p={}", "x".repeat(900));
    let mut opened = Vec::new();
    for _ in 0..4 {
        assert_eq!(server.get(&query).await.response().await.status, 200);
        opened.push(server.opened().await);
    }
    let ended = soon(opened[0].next()).await;
    assert_eq!(ended, Some(crate::support::Seen::Closed(CloseReason::ForcedClose)));
    for opened in &mut opened[1..] {
        opened.expect_silence();
    }
}
