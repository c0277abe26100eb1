//! An open connection, from the client's side.

use std::collections::HashSet;

use bytes::Bytes;
use tidewire_ws::{
    CloseCause, CloseCode, CloseFrame, Connector, DeflateOptions, Limits, Message, PreparedMessage,
    ProtocolError, SendError, TrySendError, WebSocket,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use ws_proto::Event;

use super::{frame, open, open_with};
use crate::support::{echo, soon};

#[tokio::test(start_paused = true)]
async fn everything_that_is_sent_without_waiting_leaves_in_one_write() {
    let (mut peer, mut socket) = open().await;
    for n in 0..50 {
        socket.send(format!("message {n}")).await.unwrap();
    }
    assert_eq!(peer.writes(), 0);
    for n in 0..50 {
        peer.expect_text(&format!("message {n}")).await;
    }
    assert_eq!(peer.writes(), 1);

    // The responses to the messages of one read leave in one write too.
    let messages: Vec<_> = (0..50).flat_map(|n| frame(1, format!("message {n}").as_bytes())).collect();
    peer.write(&messages).await;
    let echoing = tokio::spawn(echo(socket));
    for n in 0..50 {
        peer.expect_text(&format!("message {n}")).await;
    }
    assert_eq!(peer.writes(), 2);
    drop(echoing);
}

#[tokio::test(start_paused = true)]
async fn every_frame_has_its_own_masking_key() {
    const LENGTHS: [usize; 6] = [0, 1, 125, 126, 4_097, 65_536];
    let (mut peer, mut socket) = open_with(Connector::new("ws://a/"), 1024 * 1024).await;
    for length in LENGTHS {
        socket.send(vec![b'x'; length]).await.unwrap();
        socket.send_prepared(&PreparedMessage::new(vec![b'x'; length])).await.unwrap();
    }
    let mut keys = HashSet::new();
    for length in LENGTHS.into_iter().flat_map(|length| [length, length]) {
        let mut header = [0; 2];
        soon(peer.stream.read_exact(&mut header)).await.unwrap();
        assert_eq!(header[0], 0x82);
        let announced = match header[1] & 0x7f {
            126 => usize::from(peer.stream.read_u16().await.unwrap()),
            127 => peer.stream.read_u64().await.unwrap() as usize,
            short => usize::from(short),
        };
        assert_eq!((header[1] & 0x80, announced), (0x80, length));
        let mut key = [0; 4];
        peer.stream.read_exact(&mut key).await.unwrap();
        let mut payload = vec![0; length];
        soon(peer.stream.read_exact(&mut payload)).await.unwrap();
        ws_proto::mask(&mut payload, key);
        assert!(payload == vec![b'x'; length]);
        keys.insert(key);
    }
    assert_eq!(keys.len(), 2 * LENGTHS.len());
}

/// A payload that is not shared is masked in place.
#[tokio::test(start_paused = true)]
async fn a_shared_payload_is_not_masked_in_place() {
    let (mut peer, mut socket) = open_with(Connector::new("ws://a/"), 1024 * 1024).await;
    let long = "a long text ".repeat(1_000);
    let bytes = Bytes::from(long.clone().into_bytes());
    let kept: Message = long.as_str().into();
    for message in [
        kept.clone(),
        bytes.clone().into(),
        bytes.slice(5..9_000).into(),
        Bytes::from_owner(long.clone()).into(),
        Bytes::from_static(&[b'x'; 5_000]).into(),
        // A slice of memory that is not shared arrives as well.
        Bytes::copy_from_slice(&bytes).slice(5..9_000).into(),
    ] {
        let expected = message.as_bytes().to_vec();
        let is_text = message.as_text().is_some();
        socket.send(message).await.unwrap();
        match peer.recv().await {
            Some(Event::Text(text)) => assert!(is_text && text.as_bytes() == expected),
            Some(Event::Binary(bytes)) => assert!(!is_text && *bytes == *expected),
            other => panic!("{other:?}"),
        }
    }
    assert!(kept == Message::from(long.as_str()) && bytes == long.as_bytes());
}

#[tokio::test(start_paused = true)]
async fn pings_get_a_pong_and_fragments_are_assembled() {
    let (mut peer, mut socket) = open().await;
    let wire = [&[0x01, 2, b'h', 0xc3][..], &frame(9, b"between"), &[0x80, 1, 0xa9]].concat();
    peer.write(&wire).await;
    assert_eq!(soon(socket.recv()).await, Some(Message::from("h\u{e9}")));
    assert!(matches!(peer.recv().await, Some(Event::Pong(payload)) if *payload == *b"between"));
}

#[test]
fn the_close_response_is_written_before_the_program_can_end() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (wire, code) in [
        (frame(8, b"\x0f\xa0bye"), CloseCode::new(4000).unwrap()),
        (frame(3, b"no such frame"), CloseCode::PROTOCOL_ERROR),
    ] {
        let program = runtime();
        let mut peer = program.block_on(async {
            let (mut peer, mut socket) = open().await;
            peer.write(&wire).await;
            assert_eq!(soon(socket.recv()).await, None);
            peer
        });
        drop(program);
        let event = runtime().block_on(peer.recv());
        assert!(matches!(&event, Some(Event::Close(Some(frame))) if frame.code == code), "{event:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn our_close_waits_for_the_response() {
    let (mut peer, mut socket) = open().await;
    let closing = tokio::spawn(async move {
        socket.send("last words").await.unwrap();
        socket.close(CloseFrame::new(CloseCode::new(4_000).unwrap(), "bye")).await
    });
    peer.expect_text("last words").await;
    let bye = CloseFrame::new(CloseCode::new(4_000).unwrap(), "bye");
    assert_eq!(peer.recv().await, Some(Event::Close(Some(bye))));
    assert_eq!(peer.writes(), 1, "the message and the Close");
    peer.write(&[frame(1, b"dropped"), frame(8, &[0x0f, 0xa0])].concat()).await;
    let closed = soon(closing).await.unwrap();
    assert_eq!(closed, CloseCause::ClosingHandshake(Some(CloseCode::new(4_000).unwrap().into())));
    peer.stream.shutdown().await.unwrap();
    assert_eq!(peer.recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn the_servers_close_gets_a_response_and_earlier_messages_are_received() {
    let (mut peer, mut socket) = open().await;
    peer.write(&[frame(1, b"one"), frame(8, &[3, 0xe9, b'!'])].concat()).await;
    assert_eq!(soon(socket.recv()).await, Some(Message::from("one")));
    assert_eq!(soon(socket.recv()).await, None);
    let frame = CloseFrame::new(CloseCode::GOING_AWAY, "!");
    assert_eq!(socket.close_cause(), Some(CloseCause::ClosingHandshake(Some(frame))));
    assert_eq!(socket.send("late").await, Err(SendError("late".into())));
    assert_eq!(peer.recv().await, Some(Event::Close(Some(CloseCode::GOING_AWAY.into()))));
    // The server shuts down the stream first (RFC 6455 §7.1.1).
    peer.stream.shutdown().await.unwrap();
    assert_eq!(peer.recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_handle_that_is_dropped_closes_the_connection() {
    let (mut peer, mut socket) = open().await;
    socket.send("that is all").await.unwrap();
    drop(socket);
    peer.expect_text("that is all").await;
    assert_eq!(peer.recv().await, Some(Event::Close(Some(CloseCode::NORMAL.into()))));
    assert_eq!(peer.writes(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_servers_protocol_violation_gets_a_close_and_ends_the_connection() {
    let masked = [&[0x81, 0x82, 1, 2, 3, 4][..], b"hi"].concat();
    for (wire, code, error) in [
        (masked, CloseCode::PROTOCOL_ERROR, ProtocolError::MaskedFrameFromServer),
        (frame(1, b"\xff"), CloseCode::INVALID_PAYLOAD, ProtocolError::InvalidText),
        (frame(3, b""), CloseCode::PROTOCOL_ERROR, ProtocolError::ReservedOpcode(3)),
    ] {
        let (mut peer, mut socket) = open().await;
        peer.write(&wire).await;
        assert_eq!(soon(socket.recv()).await, None);
        assert_eq!(socket.close_cause(), Some(CloseCause::Protocol(error)));
        assert_eq!(peer.recv().await, Some(Event::Close(Some(code.into()))));
        let begun = Instant::now();
        assert_eq!(peer.recv().await, None);
        assert_eq!(begun.elapsed().as_secs(), 1, "the client waits only a second for the end of the stream");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_read_slows_the_client_down_and_a_reader_gets_everything() {
    let limits = Limits { max_write_buffer_size: 1_000, ..Limits::default() };
    let (mut peer, mut socket) = open_with(Connector::new("ws://a/").limits(limits), 100).await;
    let message = Message::from("x".repeat(94)); // a hundred bytes on the wire
    let mut sent = 0;
    while socket.try_send(message.clone()).is_ok() {
        sent += 1;
        assert!(sent <= 20, "{sent} messages, and `try_send` still succeeds");
    }
    assert_eq!((socket.try_send(message.clone()), sent), (Err(TrySendError::Full(message.clone())), 10));
    let sending = tokio::spawn(async move {
        for _ in 0..10 {
            socket.send(message.clone()).await.unwrap();
        }
        socket
    });
    for _ in 0..20 {
        peer.expect_text(&"x".repeat(94)).await;
    }
    drop(soon(sending).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_gets_a_ping_and_then_times_out() {
    let (mut peer, mut socket) = open().await;
    let begun = Instant::now();
    let waiting = tokio::spawn(async move {
        assert_eq!(socket.recv().await, None);
        socket.close_cause()
    });
    let mut ping = [0; 6];
    peer.stream.read_exact(&mut ping).await.unwrap();
    assert_eq!((ping[..2].to_vec(), begun.elapsed().as_secs()), (vec![0x89, 0x80], 50));
    assert_eq!(waiting.await.unwrap(), Some(CloseCause::IdleTimeout));
    assert_eq!(begun.elapsed().as_secs(), 120);
}

#[tokio::test]
async fn messages_are_compressed_if_the_server_agrees() {
    let text = "{\"symbol\":\"TIDE\",\"price\":1.25},".repeat(64);
    for agrees in [true, false] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let (stream, counted) =
            (tokio::net::TcpStream::connect(listener.local_addr().unwrap()), text.clone());
        let server = async move {
            let (stream, _) = listener.accept().await.unwrap();
            let service =
                hyper::service::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
                    let mut upgrade = tidewire_ws::upgrade(&mut request).unwrap();
                    if agrees {
                        upgrade = upgrade.compress(DeflateOptions::default());
                    }
                    assert_eq!(upgrade.is_compressed(), agrees);
                    let response: http::Response<String> = upgrade.on_upgrade(echo);
                    async { Ok::<_, std::convert::Infallible>(response) }
                });
            let stream = hyper_util::rt::TokioIo::new(stream);
            let server = hyper::server::conn::http1::Builder::new();
            server.serve_connection(stream, service).with_upgrades().await.unwrap();
        };
        tokio::spawn(server);
        let connect = Connector::new(url).compress(DeflateOptions::default());
        let mut socket = soon(connect.connect_over(stream.await.unwrap())).await.unwrap();
        for _ in 0..3 {
            socket.send(counted.as_str()).await.unwrap();
            socket.send_prepared(&PreparedMessage::new(counted.as_str())).await.unwrap();
            for _ in 0..2 {
                assert!(soon(socket.recv()).await == Some(Message::from(counted.as_str())));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_on_several_threads_lose_nothing_and_keep_the_order() {
    async fn conversation(mut socket: WebSocket) {
        for round in 0..30 {
            for n in 0..10 {
                socket.send(format!("message {round} {n}")).await.unwrap();
            }
            for n in 0..10 {
                assert_eq!(soon(socket.recv()).await, Some(Message::from(format!("message {round} {n}"))));
            }
        }
        let closed = soon(socket.close(CloseFrame::from(CloseCode::NORMAL))).await;
        assert_eq!(closed, CloseCause::ClosingHandshake(Some(CloseCode::NORMAL.into())));
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    tokio::spawn(tidewire_ws::serve(listener, echo));
    let clients: Vec<_> = (0..20)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { conversation(soon(tidewire_ws::connect(url)).await.unwrap()).await })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
}
