//! permessage-deflate on connections: which messages are compressed, which are not, and which share one compression.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::SinkExt;
use http::HeaderMap;
use tidewire_ws::{DeflateOptions, Message, PreparedMessage, WebSocket};
use tokio::io::AsyncReadExt;
use tokio::sync::Barrier;
use ws_proto::{ClientHandshake, Deflater, Opcode, WebSocketUri, verify_upgrade_request};

use crate::support::{Client, connect_compressed, echo, frame, soon};

/// Two kilobytes that compress well.
fn text() -> String {
    "{\"symbol\":\"TIDE\",\"price\":1.25},".repeat(64)
}

/// "Hello", compressed (RFC 7692 §7.2.3.1), as a client sends it.
fn compressed_hello() -> Vec<u8> {
    const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let mut wire = frame(Opcode::Text, &HELLO);
    wire[0] |= 0x40;
    wire
}

/// The first byte and the payload of the next frame, which is shorter than 64 KiB.
async fn next_frame(client: &mut Client) -> (u8, Vec<u8>) {
    let mut header = [0; 2];
    soon(client.stream.read_exact(&mut header)).await.expect("a frame");
    let length = match header[1] {
        126 => usize::from(soon(client.stream.read_u16()).await.expect("a length")),
        short => usize::from(short),
    };
    let mut payload = vec![0; length];
    soon(client.stream.read_exact(&mut payload)).await.expect("a payload");
    (header[0], payload)
}

/// Starts a task that only yields, and counts how often it is polled.
fn polls_of_another_task() -> Arc<AtomicUsize> {
    let turns = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&turns);
    tokio::spawn(async move {
        loop {
            counting.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    });
    turns
}

#[tokio::test]
async fn compressed_messages_are_received_and_responses_are_compressed_if_it_helps() {
    let options = DeflateOptions::default();
    let mut client = connect_compressed(&options, options, echo).await;
    client.write(&compressed_hello()).await;
    assert_eq!(next_frame(&mut client).await, (0x81, b"Hello".to_vec()), "too short to be compressed");

    client.write(&crate::support::text(&text())).await;
    let (first, payload) = next_frame(&mut client).await;
    assert_eq!(first, 0xc1);
    assert!(payload.len() < text().len() / 4, "{} bytes", payload.len());
}

#[tokio::test]
async fn receiving_highly_compressed_messages_yields_to_other_tasks() {
    const MESSAGES: usize = 8;
    let options = DeflateOptions::default();
    let offer = ClientHandshake::new([7; 16]).deflate(options);
    let uri = WebSocketUri::parse("ws://localhost/").expect("a URI");
    let request = offer.request(&uri, &HeaderMap::new()).expect("a request");
    let accepted =
        verify_upgrade_request(request.method(), request.uri(), request.version(), request.headers());
    let accepted = accepted.expect("a handshake");
    let response = accepted.response(None, accepted.deflate(&options).as_ref());
    let agreed = offer.verify_response(response.status(), response.headers()).expect("a response");
    let agreement = agreed.deflate().expect("an agreement");
    let mut compressed = Vec::new();
    assert!(Deflater::new(agreement).compress(&vec![b'x'; 2 * 1024 * 1024], &mut compressed));
    let mut wire = frame(Opcode::Text, &compressed);
    wire[0] |= 0x40;

    let turns = polls_of_another_task();
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let mut client = connect_compressed(&options, options, move |mut socket: WebSocket| {
        let (turns, sender) = (Arc::clone(&turns), sender.clone());
        async move {
            while socket.recv().await.is_some() {
                sender.send(turns.load(Ordering::Relaxed)).expect("the test waits");
            }
        }
    })
    .await;
    // All messages arrive in one read.
    client.write(&wire.repeat(MESSAGES)).await;
    let mut turns = Vec::new();
    for _ in 0..MESSAGES {
        turns.push(soon(seen.recv()).await.expect("a message"));
    }
    // The runtime may run two messages before the other task, and then poll that task twice.
    assert!(turns[MESSAGES - 1] - turns[0] >= MESSAGES - 2, "polls of the other task: {turns:?}");
}

#[tokio::test]
async fn compressing_long_messages_yields_to_other_tasks() {
    const MESSAGES: usize = 8;
    for by_the_sink in [false, true] {
        let turns = polls_of_another_task();
        let (sender, mut sent) = tokio::sync::mpsc::unbounded_channel();
        let options = DeflateOptions::default();
        let mut client = connect_compressed(&options, options, move |mut socket: WebSocket| async move {
            let message = Message::from("x".repeat(1024 * 1024));
            for _ in 0..MESSAGES {
                if by_the_sink {
                    socket.feed(message.clone()).await.expect("sent");
                } else {
                    socket.send(message.clone()).await.expect("sent");
                }
                sender.send(turns.load(Ordering::Relaxed)).expect("the test waits");
            }
        })
        .await;
        tokio::spawn(async move { tokio::io::copy(&mut client.stream, &mut tokio::io::sink()).await });
        let mut turns = Vec::new();
        for _ in 0..MESSAGES {
            turns.push(soon(sent.recv()).await.expect("a message"));
        }
        let had = turns[MESSAGES - 1] - turns[0];
        assert!(had >= MESSAGES - 2, "by the sink: {by_the_sink}, polls of the other task: {turns:?}");
    }
}

#[tokio::test]
async fn what_is_not_to_be_compressed_is_not() {
    let options = DeflateOptions { threshold: 0, ..DeflateOptions::default() };
    let mut client = connect_compressed(&options, options, async |mut socket: WebSocket| {
        socket.send_uncompressed(text()).await.expect("sent");
        socket.try_send_uncompressed(text()).expect("sent");
        socket.send(text()).await.expect("sent");
        socket.recv().await;
    })
    .await;
    assert_eq!(next_frame(&mut client).await, (0x81, text().into_bytes()));
    assert_eq!(next_frame(&mut client).await, (0x81, text().into_bytes()));
    assert_eq!(next_frame(&mut client).await.0, 0xc1);
}

#[tokio::test]
async fn context_makes_the_second_message_smaller_where_both_ends_keep_it() {
    let keeps = DeflateOptions {
        own_context_takeover: true,
        peer_context_takeover: true,
        ..DeflateOptions::default()
    };
    for (options, gets_smaller) in [(keeps, true), (DeflateOptions::default(), false)] {
        let mut client = connect_compressed(&keeps, options, echo).await;
        let mut lengths = Vec::new();
        for _ in 0..2 {
            client.write(&crate::support::text(&text())).await;
            let (first, payload) = next_frame(&mut client).await;
            assert_eq!(first, 0xc1);
            lengths.push(payload.len());
        }
        assert_eq!(lengths[1] < lengths[0], gets_smaller, "{lengths:?}");
    }
}

#[tokio::test]
async fn connections_with_equal_options_share_a_prepared_frame() {
    let both = Arc::new(Barrier::new(2));
    let lean = DeflateOptions::default();
    let small = DeflateOptions { peer_max_window_bits: 9, ..lean };
    let keeps = DeflateOptions { own_context_takeover: true, peer_context_takeover: true, ..lean };
    let message = PreparedMessage::new(text());
    let mut frames = Vec::new();
    for (offer, options) in [(lean, lean), (lean, lean), (small, lean), (keeps, keeps)] {
        let (message, seen) = (message.clone(), Arc::clone(&both));
        let mut client = connect_compressed(&offer, options, move |mut socket: WebSocket| async move {
            socket.send_prepared(&message).await.expect("sent");
            socket.try_send_prepared(&message).expect("sent");
            seen.wait().await;
        })
        .await;
        let first = next_frame(&mut client).await;
        let second = next_frame(&mut client).await;
        assert_eq!(first.0, 0xc1);
        frames.push((first.1, second.1));
        both.wait().await;
    }
    assert_eq!(frames[0], frames[1]);
    assert_eq!(frames[0].0, frames[0].1);
    assert_ne!(frames[2].0, frames[0].0, "a smaller window was agreed on");
    assert!(frames[3].1.len() < frames[3].0.len(), "its second message refers to the first");
}

#[tokio::test]
async fn without_an_offer_a_prepared_message_is_sent_as_it_is() {
    let mut client = crate::support::connect(async |mut socket: WebSocket| {
        let message = PreparedMessage::new(vec![7; 10_000]);
        assert_eq!(message.message(), &Message::from(vec![7; 10_000]));
        socket.send_prepared(&message).await.expect("sent");
        socket.recv().await;
    })
    .await;
    assert_eq!(next_frame(&mut client).await, (0x82, vec![7; 10_000]));
}
