use std::future::poll_fn;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

#[tokio::test]
async fn a_read_full_of_messages_is_decoded_in_pieces_and_none_is_lost() {
    const MESSAGES: usize = 1_000;
    let (server, mut client) = tokio::io::duplex(1024 * 1024);
    let mut wire = Vec::new();
    for number in 0..MESSAGES {
        ws_proto::encode_frame(
            ws_proto::Opcode::Text,
            number.to_string().as_bytes(),
            Some([1, 2, 3, 4]),
            &mut wire,
        );
    }
    client.write_all(&wire).await.unwrap();
    let mut stream = WebSocketStream::server(server, Bytes::new(), &Limits::default());
    let mut texts = Vec::new();
    while texts.len() < MESSAGES {
        let before = texts.len();
        let read = poll_fn(|cx| {
            stream.poll_read(Time::ZERO, cx, |event, _| {
                if let Event::Text(text) = event {
                    texts.push(text.into_owned());
                }
                ControlFlow::Continue(())
            })
        });
        read.await.unwrap();
        assert!(texts.len() - before <= MAX_EVENTS_PER_POLL, "{} at once", texts.len() - before);
    }
    assert!((0..MESSAGES).map(|number| number.to_string()).eq(texts));
    assert!(!stream.has_buffered_input());
}

#[tokio::test]
async fn what_follows_a_long_message_is_not_read_far_ahead_and_none_of_it_is_lost() {
    const MESSAGES: usize = 5;
    let (server, mut client) = tokio::io::duplex(1024 * 1024);
    let mut wire = Vec::new();
    for number in 0..MESSAGES {
        let payload = [b'0' + number as u8; 65_536];
        ws_proto::encode_frame(ws_proto::Opcode::Binary, &payload, Some([1, 2, 3, 4]), &mut wire);
    }
    client.write_all(&wire).await.unwrap();
    let mut stream =
        WebSocketStream::server(server, Bytes::new(), &Limits::default()).with_owned_long_messages();
    let mut received = Vec::new();
    while received.len() < MESSAGES {
        let next = poll_fn(|cx| {
            stream.poll_next(
                || Time::ZERO,
                cx,
                |event, _| match event {
                    Event::Binary(bytes) => Some(bytes.into_owned()),
                    _ => None,
                },
            )
        });
        received.extend(next.await.unwrap());
        // The first read does not know the length of the message yet, and is as long as possible.
        assert!(
            stream.buffered_input.len() - stream.buffered_input_start <= READ_AHEAD_AFTER_LONG_FRAME,
            "{}",
            stream.buffered_input.len()
        );
    }
    for (number, bytes) in received.iter().enumerate() {
        assert!(bytes[..] == [b'0' + number as u8; 65_536], "message {number}");
    }
}

#[tokio::test]
async fn a_reply_to_a_message_is_sent_before_the_close_frame_of_the_same_read() {
    const REQUEST: [u8; 8] = [0x81, 0x82, 0, 0, 0, 0, b'h', b'i'];
    const CLOSE: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 3, 232];
    const UNKNOWN_OPCODE: [u8; 6] = [0x83, 0x80, 0, 0, 0, 0];
    for (end, reply) in [(&CLOSE[..], [0x88, 2, 3, 232]), (&UNKNOWN_OPCODE[..], [0x88, 2, 3, 234])] {
        let (server, mut client) = tokio::io::duplex(1024);
        client.write_all(&[&REQUEST, end].concat()).await.unwrap();
        let mut stream = WebSocketStream::server(server, Bytes::new(), &Limits::default());
        let ended = poll_fn(|cx| stream.poll_read(Time::ZERO, cx, |_, _| ControlFlow::Continue(()))).await;
        assert!(matches!(ended, Err(StreamEnd::Closed(_) | StreamEnd::Protocol(_))), "{ended:?}");

        stream.queue_mut().push_with(|wire| {
            ws_proto::encode_frame(ws_proto::Opcode::Text, b"ho", None, wire);
        });
        stream.close(None, Time::ZERO);
        poll_fn(|cx| stream.poll_flush(cx)).await.unwrap();
        drop(stream);
        let mut reply_bytes = Vec::new();
        client.read_to_end(&mut reply_bytes).await.unwrap();
        assert_eq!(reply_bytes, [&[0x81, 2, b'h', b'o'][..], &reply].concat());
    }
}

#[tokio::test]
async fn every_frame_of_a_client_is_masked_with_a_key_of_its_own() {
    const PING: [u8; 4] = [0x89, 2, b'h', b'i'];
    let (client, mut server) = tokio::io::duplex(1024);
    server.write_all(&[PING, PING].concat()).await.unwrap();
    let mut stream = WebSocketStream::client(client, Bytes::new(), &Limits::default());
    poll_fn(|cx| stream.poll_read(Time::ZERO, cx, |_, _| ControlFlow::Continue(()))).await.unwrap();
    stream.ping();
    stream.close(None, Time::ZERO);
    poll_fn(|cx| stream.poll_flush(cx)).await.unwrap();
    let mut wire = [0; 8 + 8 + 6 + 6];
    server.read_exact(&mut wire).await.unwrap();
    let mut keys = Vec::new();
    let mut rest = &wire[..];
    for (opcode, payload) in [(0x8a, &b"hi"[..]), (0x8a, b"hi"), (0x89, b""), (0x88, b"")] {
        let (header, after) = rest.split_at(6);
        let (masked, after) = after.split_at(payload.len());
        assert_eq!(header[..2], [opcode, 0x80 | payload.len() as u8]);
        let key = [header[2], header[3], header[4], header[5]];
        let mut unmasked = masked.to_vec();
        ws_proto::mask(&mut unmasked, key);
        assert_eq!(unmasked, payload);
        keys.push(key);
        rest = after;
    }
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 4, "{wire:02x?}");
}

#[tokio::test]
async fn a_connection_without_its_stream_keeps_no_part_of_a_message() {
    let (server, mut client) = tokio::io::duplex(1024);
    let mut stream = WebSocketStream::server(Stream::boxed(server), Bytes::new(), &Limits::default());
    // The first half of a message of 200 bytes, and nothing more.
    client.write_all(&[0x82, 0xfe, 0, 200, 0, 0, 0, 0]).await.unwrap();
    client.write_all(&[0; 100]).await.unwrap();
    let half = poll_fn(|cx| stream.poll_next(|| Time::ZERO, cx, |_, _| None::<()>));
    assert!(half.await.is_ok());
    assert_eq!(stream.machine.frame_remaining(), 100);
    drop(stream.take_stream());
    assert_eq!(stream.machine.frame_remaining(), 0, "the machine still waits for the other half");
}

#[tokio::test]
async fn a_connection_that_is_closing_keeps_no_part_of_a_message() {
    const HEADER: [u8; 14] = [0x82, 0xff, 0, 0, 0, 0, 0, 15, 0, 0, 0, 0, 0, 0];
    let (server, mut client) = tokio::io::duplex(1024 * 1024);
    let mut stream = WebSocketStream::server(server, Bytes::new(), &Limits::default());
    client.write_all(&HEADER).await.unwrap();
    client.write_all(&[0; 100_000]).await.unwrap();
    while stream.memory().own < 100_000 {
        poll_fn(|cx| stream.poll_read(Time::ZERO, cx, |_, _| ControlFlow::Continue(()))).await.unwrap();
    }
    stream.close(None, Time::ZERO);
    for _ in 0..2 {
        let closed = poll_fn(|cx| Poll::Ready(stream.poll_close(Time::ZERO, cx))).await;
        assert!(closed.is_pending(), "the peer has not sent its Close");
        assert!(stream.memory().own < 1_000, "{:?}", stream.memory());
        client.write_all(&[0; 500_000]).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_waits_at_most_a_second_for_the_server_to_shut_down_first() {
    const CLOSE: [u8; 4] = [0x88, 2, 3, 232];
    for server_shuts in [true, false] {
        let (client, mut server) = tokio::io::duplex(1024);
        let mut stream = WebSocketStream::client(client, Bytes::new(), &Limits::default());
        server.write_all(&CLOSE).await.unwrap();
        let closing = tokio::spawn(async move {
            let begin = crate::now();
            let mut deadline = crate::DeadlineTimer::new();
            poll_fn(|cx| {
                loop {
                    if stream.poll_close(crate::now(), cx).is_ready() {
                        return Poll::Ready(());
                    }
                    ready!(deadline.poll(stream.poll_timeout(), crate::now(), cx));
                }
            })
            .await;
            crate::now().saturating_since(begin)
        });
        let mut reply = [0; 8];
        server.read_exact(&mut reply).await.unwrap();
        let mut more = [0];
        let shut = tokio::time::timeout(LINGER / 2, server.read(&mut more)).await;
        assert!(shut.is_err(), "the client has shut down first");
        if server_shuts {
            server.shutdown().await.unwrap();
        }
        assert_eq!(server.read(&mut more).await.unwrap(), 0);
        assert_eq!(closing.await.unwrap() < LINGER, server_shuts);
    }
}
