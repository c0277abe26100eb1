//! Slow readers, and handlers that accept no input.

use std::time::Duration;

use tidewire_engineio::{CloseReason, Options};

use crate::support::{Seen, Server, WebSocket, frames, settings, soon, text, with_small_buffers};

const LIMIT: usize = 100_000;

fn bounded() -> Options {
    Options { max_write_buffer_size: LIMIT, ..Options::default() }
}

fn numbered(number: usize) -> String {
    format!("{number:08}{:2000}", "")
}

#[tokio::test]
async fn a_slow_websocket_reader_gets_a_prefix_without_gaps_and_then_the_end() {
    let mut server = Server::start(bounded()).await;
    let stream = with_small_buffers(server.address).await;
    let mut client = WebSocket::connect(stream, "EIO=4&transport=websocket", &[]).await;
    assert!(client.recv_text().await.unwrap().starts_with('0'));
    let mut opened = server.opened().await;
    let mut sent = 0;
    let mut most_buffered = 0;
    soon(async {
        while !opened.session.is_closed() {
            opened.session.send_text(&numbered(sent));
            sent += 1;
            most_buffered = most_buffered.max(opened.session.buffered());
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(most_buffered <= LIMIT, "{most_buffered} bytes waited");
    server.expect_no_sessions().await;
    let mut received = 0;
    while let Some(message) = client.recv_text().await {
        assert_eq!(message[1..], numbered(received), "message {received} of {sent}");
        received += 1;
    }
    assert!(received > 40 && received < sent, "{received} of {sent}");
    drop(client);
    opened.expect_end(CloseReason::TransportError).await;
}

#[tokio::test]
async fn a_polling_client_that_stops_polling_is_ended_at_the_limit() {
    let mut server = Server::start(bounded()).await;
    let (client, mut opened) = server.open_polling().await;
    let mut sent = 0;
    while opened.session.buffered() + 2_100 <= LIMIT {
        opened.session.send_text(&numbered(sent));
        sent += 1;
    }
    assert!(sent > 40);
    opened.expect_silence();
    let packets = client.poll().await;
    let received: Vec<_> = packets.split('\x1e').map(|packet| packet[1..].to_owned()).collect();
    assert!(received == (0..sent).map(numbered).collect::<Vec<_>>(), "up to the limit nothing is lost");

    for number in 0..=sent {
        opened.session.send_text(&numbered(number));
        assert!(opened.session.buffered() <= LIMIT);
    }
    opened.expect_end(CloseReason::TransportError).await;
    client.expect_unknown().await;
    server.expect_no_sessions().await;
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_never_reads_again_does_not_keep_its_session_in_memory() {
    // No ping wakes the session during the test.
    let mut options = settings(|settings| settings.ping_interval = Duration::from_secs(1_000_000));
    options.max_write_buffer_size = LIMIT;
    let mut server = Server::start(options).await;
    let (_client, mut opened) = server.open_in_memory(1_024).await;
    while !opened.session.is_closed() {
        opened.session.send_text(&numbered(0));
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(ws_proto::Limits::default().close_timeout).await;
    opened.expect_end(CloseReason::TransportError).await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_closes_and_keeps_its_stream_open_does_not_keep_its_session_in_memory() {
    let mut server = Server::start(Options::default()).await;
    let (mut client, mut opened) = server.open_in_memory(1_024).await;
    client.write(&crate::support::frame(ws_proto::Opcode::Close, &[])).await;
    let start = tokio::time::Instant::now();
    opened.expect_end(CloseReason::TransportClose).await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_wants_no_input_stops_the_sender_and_loses_nothing() {
    let mut server = Server::start(Options::default()).await;
    let (mut client, mut opened) = server.open_in_memory(1_024).await;
    opened.want_input(false);
    let mut sent = 0;
    let flood = async {
        loop {
            // One write per frame, so that the timeout cannot cut a frame in two.
            client.write(&frames([format!("4{sent}")])).await;
            sent += 1;
        }
    };
    // The paused clock advances only when every task waits. This task waits for capacity.
    assert!(tokio::time::timeout(Duration::from_secs(5), flood).await.is_err(), "nothing stopped the sender");
    opened.expect_silence();
    assert!(sent < 1_000, "{sent} messages are more than the stream holds");
    opened.want_input(true);
    opened.expect((0..sent).map(|number| text(number.to_string()))).await;
}

#[tokio::test(start_paused = true)]
async fn while_nothing_is_read_a_missing_pong_is_not_held_against_the_peer() {
    let mut server = Server::start(Options::default()).await;
    let (mut client, mut opened) = server.open_in_memory(1_024).await;
    opened.want_input(false);
    tokio::time::sleep(Duration::from_secs(20)).await;
    client.expect("2").await;
    client.write(&frames(["3"])).await;
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    opened.expect_silence();
    opened.want_input(true);
    tokio::time::sleep(Duration::from_secs(20)).await;
    client.expect("2").await;
    client.write(&frames(["3", "4still here"])).await;
    opened.expect([text("still here")]).await;
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_stream_that_is_not_read_is_noticed_once_it_is_read() {
    let mut server = Server::start(Options::default()).await;
    let (client, mut opened) = server.open_in_memory(1_024).await;
    opened.want_input(false);
    drop(client);
    opened.want_input(true);
    opened.expect_end(CloseReason::TransportClose).await;
}

#[tokio::test]
async fn a_post_is_held_while_the_handler_wants_no_input() {
    let mut server = Server::start(Options::default()).await;
    let (client, mut opened) = server.open_polling().await;
    opened.want_input(false);
    let mut response = Box::pin(client.begin_post("4one\x1e4two").await.response());
    let held = tokio::time::timeout(Duration::from_millis(100), &mut response).await;
    assert!(held.is_err(), "{held:?}");
    opened.expect_silence();
    opened.want_input(true);
    response.await.expect(200, "ok");
    opened.expect([text("one"), text("two")]).await;
}

#[tokio::test]
async fn a_held_post_that_is_given_up_ends_the_session() {
    let mut server = Server::start(Options::default()).await;
    let (client, mut opened) = server.open_polling().await;
    opened.want_input(false);
    let headers = "Content-Length: 4\r\nExpect: 100-continue\r\n";
    let mut post = client.request("POST", headers, "4one").await;
    post.expect_continue().await;
    drop(post);
    // The body was complete, so the POST may have been handled or not. But no second POST waits after it.
    assert!(matches!(opened.next().await, Some(Seen::Closed(CloseReason::TransportError))));
    server.expect_no_sessions().await;
}
