//! Messages that are sent and received piece by piece.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::SinkExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::collection::vec;
use proptest::prelude::*;
use tidewire_ws::{
    CloseCause, CloseCode, Connector, DeflateOptions, IncompleteMessage, Limits, Message, ProtocolError,
    SinkError, TrySendError, WebSocket,
};
use tokio::io::AsyncReadExt;
use tokio::sync::{mpsc, watch};
use ws_proto::{Event, Opcode};

use crate::support::{Client, connect, connect_with, fragment, frame, soon, text};

/// Opens a connection, and returns both ends, the server's first.
async fn pair(capacity: usize, limits: Limits, deflate: Option<DeflateOptions>) -> (WebSocket, WebSocket) {
    let (client, server) = tokio::io::duplex(capacity);
    let (give, mut given) = mpsc::unbounded_channel();
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        let mut upgrade = tidewire_ws::upgrade(&mut request).expect("a handshake").limits(limits);
        if let Some(options) = deflate {
            upgrade = upgrade.compress(options);
        }
        let give = give.clone();
        let response = upgrade.on_upgrade(async move |socket: WebSocket| {
            give.send(socket).expect("a test that takes it");
        });
        async move { Ok::<_, Infallible>(response.map(|()| String::new())) }
    });
    tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(server), service).with_upgrades());
    let mut connect = Connector::new("ws://localhost/").limits(limits);
    if let Some(options) = deflate {
        connect = connect.compress(options);
    }
    let client = soon(connect.connect_over(client)).await.expect("a connection");
    (soon(given.recv()).await.expect("a WebSocket"), client)
}

/// Receives the next message piece by piece, and returns the whole.
async fn gather(socket: &mut WebSocket) -> Option<Message> {
    let mut reader = socket.recv_in_chunks().await?;
    let is_text = reader.is_text();
    let mut content = Vec::new();
    while let Some(chunk) = reader.chunk().await.expect("a whole message") {
        assert!(!chunk.is_empty());
        assert_eq!(chunk.as_text().is_some(), is_text);
        content.extend_from_slice(chunk.as_bytes());
    }
    assert_eq!(reader.chunk().await, Ok(None), "the end stays the end");
    Some(if is_text { String::from_utf8(content).expect("text").into() } else { content.into() })
}

/// The first byte and the payload of the next frame, which is shorter than 126 bytes.
async fn next_frame(client: &mut Client) -> (u8, Vec<u8>) {
    let mut header = [0; 2];
    soon(client.stream.read_exact(&mut header)).await.expect("a frame");
    let mut payload = vec![0; header[1].into()];
    soon(client.stream.read_exact(&mut payload)).await.expect("a payload");
    (header[0], payload)
}

/// Waits until every other task waits: the clock is paused.
async fn all_wait() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn only_control_frames_are_sent_between_pieces() {
    let mut client = connect(async |socket: WebSocket| {
        let (mut sender, mut receiver) = socket.split();
        let (other, mut sink) = (sender.clone(), sender.clone());
        poll_fn(|cx| std::pin::Pin::new(&mut sink).poll_ready_unpin(cx)).await.unwrap();
        let mut message = sender.begin_text();
        message.write("one").await.unwrap();
        sink.start_send_unpin("ready before".into()).unwrap();
        assert_eq!(other.try_send("no"), Err(TrySendError::Full("no".into())));
        let waiting = tokio::spawn({
            let other = other.clone();
            async move { other.send("behind").await }
        });
        let pinging = tokio::spawn(async move { other.ping().await });
        let flushing = tokio::spawn(async move { sink.flush().await });
        all_wait().await;
        assert!(!flushing.is_finished());
        message.write("").await.unwrap();
        message.write("two".to_owned()).await.unwrap();
        assert!(!waiting.is_finished());
        message.finish().await.unwrap();
        flushing.await.unwrap().unwrap();
        waiting.await.unwrap().unwrap();
        sender.begin_binary().finish().await.unwrap();
        assert_eq!(receiver.recv().await, None);
        drop(pinging);
    })
    .await;
    assert_eq!(next_frame(&mut client).await, (0x01, b"one".to_vec()));
    assert_eq!(next_frame(&mut client).await.0, 0x89);
    for (first, payload) in
        [(0x00, ""), (0x00, "two"), (0x80, ""), (0x81, "ready before"), (0x81, "behind"), (0x82, "")]
    {
        assert_eq!(next_frame(&mut client).await, (first, payload.as_bytes().to_vec()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_after_a_fragmented_message_waits_only_for_messages_of_its_own_sink() {
    let limits = Limits { max_write_buffer_size: 10_000, ..Limits::default() };
    let (report, mut reports) = mpsc::unbounded_channel();
    let mut client = connect_with(limits, 1_000, b"", async move |socket: WebSocket| {
        let (mut sender, mut receiver) = socket.split();
        let (other, mut sink) = (sender.clone(), sender.clone());
        sink.feed("x".repeat(496).into()).await.unwrap();
        poll_fn(|cx| sink.poll_ready_unpin(cx)).await.unwrap();
        let mut message = sender.begin_text();
        message.write("x".repeat(496)).await.unwrap();
        sink.start_send_unpin("x".repeat(994).into()).unwrap();
        let mut flushing = Box::pin(async move {
            sink.flush().await.unwrap();
            report.send(other.buffered_amount()).unwrap();
            other
        });
        assert!(tokio::time::timeout(Duration::ZERO, &mut flushing).await.is_err());
        message.finish().await.unwrap();
        // Another sender sends more, in one piece and in several.
        sender.send("x".repeat(1_996)).await.unwrap();
        let mut message = sender.begin_text();
        message.write("x".repeat(1_996)).await.unwrap();
        tokio::join!(flushing, receiver.recv());
    })
    .await;
    // Each read of a thousand bytes lets the server write a thousand more. The flush waits for 500 bytes, then 500
    // bytes of a piece, 2 bytes of the end of its message, and 998 bytes of its own message. The other messages come
    // after that.
    let mut bytes = vec![0; 1_000];
    for flushed in [None, Some(4_000), None, None, None] {
        all_wait().await;
        assert_eq!(reports.try_recv().ok(), flushed);
        client.stream.read_exact(&mut bytes).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_after_an_unfinished_message_fails() {
    for same_task in [true, false] {
        let (report, mut reports) = mpsc::unbounded_channel();
        let client = connect_with(Limits::default(), 1_000, b"", async move |socket: WebSocket| {
            let (mut sender, mut receiver) = socket.split();
            let mut sink = sender.clone();
            poll_fn(|cx| sink.poll_ready_unpin(cx)).await.unwrap();
            let mut message = sender.begin_text();
            message.write("half of").await.unwrap();
            sink.start_send_unpin("behind".into()).unwrap();
            drop(message);
            let flushing = async move { report.send(sink.flush().await).unwrap() };
            if same_task {
                tokio::join!(flushing, receiver.recv());
            } else {
                tokio::spawn(flushing);
                receiver.recv().await;
            }
        })
        .await;
        all_wait().await;
        assert_eq!(reports.try_recv(), Ok(Err(SinkError(None))));
        drop(client);
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_an_unfinished_message_closes_the_connection_and_an_unstarted_one_does_not() {
    let mut client = connect(async |mut socket: WebSocket| {
        let sender = socket.sender();
        drop(socket.begin_text());
        socket.send("still open").await.unwrap();
        let mut message = socket.begin_text();
        message.write("half of").await.unwrap();
        let waiting = tokio::spawn(async move { sender.send("never").await });
        all_wait().await;
        drop(message);
        assert!(soon(waiting).await.unwrap().is_err());
        socket.recv().await;
    })
    .await;
    client.expect_text("still open").await;
    let Some(Event::Close(Some(frame))) = client.recv().await else { panic!("a Close") };
    assert_eq!((frame.code, &*frame.reason), (CloseCode::INTERNAL_ERROR, "a message was not completed"));
}

#[tokio::test(start_paused = true)]
async fn a_piece_waits_for_capacity_and_is_never_sent_in_part() {
    let limits = Limits { max_write_buffer_size: 1_000, ..Limits::default() };
    let mut client = connect_with(limits, 1_000, b"", async |mut socket: WebSocket| {
        let buffered = socket.sender();
        let mut message = socket.begin_binary();
        let mut timeouts = 0;
        for n in 0..100_u8 {
            // The clock is paused: a second passes only when every task waits.
            let piece = vec![n; 300];
            while tokio::time::timeout(Duration::from_secs(1), message.write(piece.clone())).await.is_err() {
                timeouts += 1;
            }
            assert!(buffered.buffered_amount() <= 1_000);
        }
        assert!(timeouts > 0);
        message.finish().await.unwrap();
    })
    .await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let expected: Vec<u8> = (0..100).flat_map(|n| [n; 300]).collect();
    assert!(client.recv().await == Some(Event::Binary(expected.into())));
}

#[tokio::test(start_paused = true)]
async fn the_unread_rest_of_a_message_is_skipped_up_to_the_maximum_size() {
    for (rest, passes) in [(1_000, true), (1_001, false)] {
        let (report, mut reports) = mpsc::unbounded_channel();
        let limits = Limits { max_message_size: 1_000, max_fragments: 2, ..Limits::default() };
        let mut client = connect_with(limits, 64 * 1024, b"", move |mut socket: WebSocket| async move {
            let mut reader = socket.recv_in_chunks().await.unwrap();
            assert_eq!(reader.chunk().await, Ok(Some(vec![1; 5_000].into())));
            report.send(None).unwrap();
            report.send(socket.recv().await).unwrap();
            report.send(socket.close_cause().map(|closed| closed.to_string().into())).unwrap();
        })
        .await;
        client.write(&fragment(Opcode::Binary, &[1; 5_000], false)).await;
        assert_eq!(soon(reports.recv()).await, Some(None));
        for byte in vec![2; rest - 1] {
            client.write(&fragment(Opcode::Continuation, &[byte], false)).await;
        }
        client.write(&fragment(Opcode::Continuation, &[2], true)).await;
        client.write(&text("next")).await;
        let received = soon(reports.recv()).await.unwrap();
        assert_eq!(received, passes.then(|| "next".into()));
        let closed = soon(reports.recv()).await.unwrap();
        let error = ProtocolError::MessageTooBig { size: 1_001, limit: 1_000 };
        let too_big = Message::from(CloseCause::Protocol(error).to_string());
        assert_eq!(closed, (!passes).then_some(too_big));
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_can_have_a_limit() {
    let (report, mut reports) = mpsc::unbounded_channel();
    let mut client = connect(move |mut socket: WebSocket| async move {
        let mut reader = socket.recv_in_chunks().await.unwrap().limit(100);
        while let Ok(chunk) = reader.chunk().await {
            report.send(chunk.map(|chunk| chunk.len())).unwrap();
        }
        assert_eq!(reader.chunk().await, Err(IncompleteMessage));
        assert!(matches!(
            socket.close_cause(),
            Some(CloseCause::Protocol(ProtocolError::MessageTooBig { .. }))
        ));
    })
    .await;
    for length in [50, 60, 40, 1] {
        client
            .write(&fragment(
                if length == 50 { Opcode::Binary } else { Opcode::Continuation },
                &vec![0; length],
                false,
            ))
            .await;
        all_wait().await;
    }
    for length in [50, 60, 40] {
        assert_eq!(soon(reports.recv()).await, Some(Some(length)));
    }
    client.expect_close(CloseCode::MESSAGE_TOO_BIG).await;
}

#[tokio::test(start_paused = true)]
async fn receiving_empty_fragments_yields_to_other_tasks() {
    const LENGTH: usize = 3 * 1024 * 1024;
    for is_read in [true, false] {
        let (all_there, is_all_there) = watch::channel(false);
        let (report, mut reports) = mpsc::unbounded_channel();
        let handler = async move |mut socket: WebSocket| {
            let polls = AtomicUsize::new(0);
            let mut next = pin!(async {
                let mut reader = socket.recv_in_chunks().await.unwrap();
                assert_eq!(reader.chunk().await, Ok(Some(vec![1].into())));
                is_all_there.clone().wait_for(|is_all_there| *is_all_there).await.unwrap();
                polls.store(1, Ordering::Relaxed);
                if is_read {
                    return reader.chunk().await.unwrap();
                }
                drop(reader);
                socket.recv().await
            });
            let next = poll_fn(|cx| {
                polls.fetch_add(1, Ordering::Relaxed);
                next.as_mut().poll(cx)
            });
            report.send((next.await, polls.load(Ordering::Relaxed))).unwrap();
        };
        let mut client = connect_with(Limits::default(), 2 * LENGTH, b"", handler).await;
        let empty = fragment(Opcode::Continuation, b"", false);
        client.write(&fragment(Opcode::Binary, &[1], false)).await;
        client.write(&empty.repeat(LENGTH / empty.len())).await;
        client.write(&fragment(Opcode::Continuation, &[2], true)).await;
        client.write(&frame(Opcode::Binary, &[3])).await;
        all_there.send(true).unwrap();
        let (next, polls) = soon(reports.recv()).await.unwrap();
        assert_eq!(next, Some(if is_read { vec![2].into() } else { vec![3].into() }));
        assert!(polls > 2, "{polls}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_cut_off_by_the_end_is_an_error() {
    for (rest, closed) in [
        (None, CloseCause::Eof),
        (
            Some(fragment(Opcode::Continuation, b"\xff", false)),
            CloseCause::Protocol(ProtocolError::InvalidText),
        ),
    ] {
        let (report, mut reports) = mpsc::unbounded_channel();
        let mut client = connect(move |mut socket: WebSocket| async move {
            let mut reader = socket.recv_in_chunks().await.unwrap();
            assert_eq!(reader.chunk().await, Ok(Some("begun".into())));
            assert_eq!(reader.chunk().await, Err(IncompleteMessage));
            report.send(socket.close_cause()).unwrap();
        })
        .await;
        client.write(&fragment(Opcode::Text, b"begun", false)).await;
        all_wait().await;
        match rest {
            Some(rest) => client.write(&rest).await,
            None => drop(client),
        }
        assert_eq!(soon(reports.recv()).await, Some(Some(closed)));
    }
}

#[tokio::test(start_paused = true)]
async fn receive_calls_are_cancel_safe_in_any_order() {
    let (report, mut reports) = mpsc::unbounded_channel();
    let mut client = connect(move |mut socket: WebSocket| async move {
        let mut timeouts = 0;
        let brief = Duration::from_millis(100);
        for whole in [true, false, true, false] {
            // Once while no part of the message has arrived, and once while a part has.
            for _ in 0..10 {
                let timed_out = if whole {
                    tokio::time::timeout(brief, socket.recv_in_chunks()).await.is_err()
                } else {
                    tokio::time::timeout(brief, socket.recv()).await.is_err()
                };
                assert!(timed_out);
                timeouts += 1;
                if timeouts == 5 {
                    report.send(None).unwrap();
                }
            }
            let message = if whole { socket.recv().await } else { gather(&mut socket).await };
            report.send(message).unwrap();
            timeouts = 0;
        }
    })
    .await;
    for whole in [true, false, true, false] {
        assert_eq!(soon(reports.recv()).await, Some(None));
        if whole {
            // If a part had arrived, it would be in the cancelled reader.
            tokio::time::sleep(Duration::from_secs(1)).await;
            client.write(&text("h\u{e9}llo")).await;
        } else {
            let wire = text("h\u{e9}llo");
            client.write(&wire[..9]).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            client.write(&wire[9..]).await;
        }
        assert_eq!(soon(reports.recv()).await, Some(Some("h\u{e9}llo".into())));
    }
}

const PIECE: usize = 64 * 1024;

/// Sends `length` bytes in one message from one end to the other.
async fn stream(source: &mut WebSocket, sink: &mut WebSocket, length: usize) {
    let piece = Bytes::from(vec![7; PIECE]);
    let sending = async {
        let mut message = source.begin_binary();
        for _ in 0..length / PIECE {
            message.write(piece.clone()).await.expect("sent");
        }
        message.finish().await.expect("sent");
    };
    let receiving = async {
        let mut reader = sink.recv_in_chunks().await.expect("a message");
        let mut received = 0;
        while let Some(chunk) = reader.chunk().await.expect("a whole message") {
            received += chunk.len();
        }
        assert_eq!(received, length);
    };
    tokio::join!(sending, receiving);
}

/// Measures the memory that is needed to send `length` bytes in one message.
fn memory_for(length: usize, to_server: bool) -> allocation_counter::AllocationInfo {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let limits = Limits { max_write_buffer_size: 256 * 1024, ..Limits::default() };
    let (server, client) = runtime.block_on(pair(256 * 1024, limits, None));
    let (mut source, mut sink) = if to_server { (client, server) } else { (server, client) };
    // The first message also allocates what the thread keeps.
    runtime.block_on(stream(&mut source, &mut sink, PIECE));
    allocation_counter::measure(|| runtime.block_on(stream(&mut source, &mut sink, length)))
}

#[test]
fn a_message_of_a_gibibyte_takes_less_than_a_megabyte_of_memory() {
    // A client masks its frames, which is slow without optimization.
    for (length, to_server) in [(1024 * 1024 * 1024, false), (128 * 1024 * 1024, true)] {
        let measured = memory_for(length, to_server);
        // A quarter of a mebibyte each in the stream and in the write buffer, and the pieces in between.
        assert!(measured.bytes_max < 768 * 1024, "{measured:?}");
    }
}

/// What one end sends.
#[derive(Debug, Clone)]
enum Sent {
    Whole(Message),
    Pieces(Vec<Message>),
    Ping,
}

fn content() -> impl Strategy<Value = Message> {
    let text = vec(prop_oneof![Just('a'), Just('é'), Just('€'), Just('🦀'), any::<char>()], 0..100);
    let bytes =
        prop_oneof![vec(any::<u8>(), 0..300), (1_000_usize..70_000).prop_map(|length| vec![7; length])];
    prop_oneof![
        text.prop_map(|text| text.into_iter().collect::<String>().into()),
        bytes.prop_map(Message::from)
    ]
}

fn sent() -> impl Strategy<Value = Sent> {
    let is_text = |message: &Message| message.as_text().is_some();
    prop_oneof![
        4 => content().prop_map(Sent::Whole),
        4 => vec(content(), 0..6).prop_map(move |mut pieces| {
            let first = pieces.first().map(is_text);
            pieces.retain(|piece| Some(is_text(piece)) == first);
            Sent::Pieces(pieces)
        }),
        1 => Just(Sent::Ping),
    ]
}

/// The messages that arrive if these are sent.
fn arriving(sent: &[Sent]) -> Vec<Message> {
    let message = |sent: &Sent| match sent {
        Sent::Whole(message) => Some(message.clone()),
        Sent::Pieces(pieces) if pieces.first().is_some_and(|first| first.as_text().is_some()) => {
            Some(pieces.iter().filter_map(Message::as_text).collect::<String>().into())
        }
        Sent::Pieces(pieces) => {
            Some(pieces.iter().map(Message::as_bytes).collect::<Vec<_>>().concat().into())
        }
        Sent::Ping => None,
    };
    sent.iter().filter_map(message).collect()
}

/// Sends and receives on one end at the same time.
async fn converse(socket: WebSocket, sent: Vec<Sent>, chunked: Vec<bool>, expected: usize) -> Vec<Message> {
    let mut sender = socket.sender();
    let sending = tokio::spawn(async move {
        for sent in sent {
            match sent {
                Sent::Whole(message) => sender.send(message).await.expect("sent"),
                Sent::Pieces(pieces) if pieces.first().is_some_and(|piece| piece.as_text().is_some()) => {
                    let mut message = sender.begin_text();
                    for piece in &pieces {
                        message.write(piece.as_text().expect("text")).await.expect("sent");
                    }
                    message.finish().await.expect("sent");
                }
                Sent::Pieces(pieces) => {
                    let mut message = sender.begin_binary();
                    for piece in pieces {
                        message.write(piece.into_bytes()).await.expect("sent");
                    }
                    message.finish().await.expect("sent");
                }
                Sent::Ping => {
                    let sender = sender.clone();
                    tokio::spawn(async move { sender.ping().await });
                    tokio::task::yield_now().await;
                }
            }
        }
    });
    let mut socket = socket;
    let mut received = Vec::new();
    let mut chunked = chunked.into_iter().cycle();
    while received.len() < expected {
        let message =
            if chunked.next() == Some(true) { gather(&mut socket).await } else { socket.recv().await };
        received.push(message.expect("a message"));
    }
    sending.await.expect("sent");
    // Keep receiving until the other end has received everything.
    tokio::spawn(async move { while socket.recv().await.is_some() {} });
    received
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_sent_is_what_arrives_whole_or_in_pieces(
        by_server in vec(sent(), 0..8),
        by_client in vec(sent(), 0..8),
        chunked in vec(any::<bool>(), 1..10),
        capacity in 1_usize..20_000,
        max_write_buffer_size in 1_usize..50_000,
        deflate in proptest::option::of(any::<bool>()),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let deflate = deflate.map(|takeover| DeflateOptions {
            threshold: 0,
            own_context_takeover: takeover,
            peer_context_takeover: takeover,
            ..DeflateOptions::default()
        });
        let (at_server, at_client) = (arriving(&by_client), arriving(&by_server));
        let (server, client) = runtime.block_on(async {
            let limits = Limits { max_write_buffer_size, ..Limits::default() };
            let (server, client) = pair(capacity, limits, deflate).await;
            let server = tokio::spawn(converse(server, by_server, chunked.clone(), at_server.len()));
            let client = tokio::spawn(converse(client, by_client, chunked, at_client.len()));
            (soon(server).await.expect("no panic"), soon(client).await.expect("no panic"))
        });
        prop_assert!(server == at_server && client == at_client);
    }
}
