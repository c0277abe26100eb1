//! The client's side: sections 4.1, 5.3 and 10, on TCP connections, byte for byte.

use tidewire_ws::{ConnectError, Connector, DialError, WebSocket};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::Client;

/// Starts a client, and returns the server's end of the stream.
async fn connecting() -> (Client, JoinHandle<Result<WebSocket, ConnectError>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("ws://{}/", listener.local_addr().expect("an address"));
    let connecting = tokio::spawn(async move { Connector::new(url).connect().await });
    let (stream, _) = listener.accept().await.expect("a connection");
    (Client(stream), connecting)
}

/// A response that accepts this request.
fn response(head: &str) -> String {
    let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).expect("a key");
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        ws_proto::accept_key(key)
    )
}

/// Opens a connection, and returns both ends.
async fn connected() -> (TcpStream, WebSocket) {
    let (mut peer, connecting) = connecting().await;
    let head = peer.head().await;
    peer.write(response(&head).as_bytes()).await;
    (peer.0, connecting.await.expect("no panic").expect("a connection"))
}

/// The first byte, the masking key and the payload of the next frame, which is shorter than 126 bytes.
async fn masked_frame(stream: &mut TcpStream) -> (u8, [u8; 4], Vec<u8>) {
    let mut header = [0; 6];
    stream.read_exact(&mut header).await.expect("a frame");
    let [first, length, key @ ..] = header;
    assert_eq!(length & 0x80, 0x80, "not masked");
    let mut payload = vec![0; usize::from(length & 0x7f)];
    stream.read_exact(&mut payload).await.expect("a payload");
    ws_proto::mask(&mut payload, key);
    (first, key, payload)
}

#[tokio::test]
async fn section_4_1_must_1_14_32_the_handshake_comes_first_and_nothing_before_its_answer() {
    let (mut peer, connecting) = connecting().await;
    let head = peer.head().await;
    assert!(head.starts_with("GET / HTTP/1.1\r\n"), "{head}");
    // Before the response, the program has no WebSocket to send with.
    assert!(!connecting.is_finished());
    peer.write(response(&head).as_bytes()).await;
    let mut socket = connecting.await.expect("no panic").expect("a connection");
    socket.send("hello").await.expect("sent");
    assert_eq!(masked_frame(&mut peer.0).await.2, b"hello");
}

#[tokio::test]
async fn section_4_1_must_9_a_connection_that_cannot_be_opened_fails() {
    let address = TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr();
    let url = format!("ws://{}/", address.expect("an address"));
    let refused = tidewire_ws::connect(url).await.expect_err("nobody listens");
    assert!(matches!(refused, ConnectError::Dial(DialError::Connect { .. })), "{refused:?}");
}

#[tokio::test]
async fn section_4_1_must_26_each_handshake_has_a_nonce_of_its_own() {
    let mut keys = Vec::new();
    for _ in 0..3 {
        let (mut peer, _connecting) = connecting().await;
        let head = peer.head().await;
        keys.push(response(&head));
    }
    assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[2] != keys[0]);
}

#[tokio::test]
async fn section_5_1_must_1_section_5_3_must_2_3_4_section_6_1_must_7_section_10_3_must_1_every_frame_has_its_key()
 {
    let (mut peer, mut socket) = connected().await;
    for _ in 0..300 {
        socket.send("the same").await.expect("sent");
    }
    drop(socket);
    let mut keys = Vec::new();
    for _ in 0..300 {
        let (first, key, payload) = masked_frame(&mut peer).await;
        assert_eq!((first, &payload[..]), (0x81, &b"the same"[..]));
        keys.push(key);
    }
    let (close, key, payload) = masked_frame(&mut peer).await;
    assert_eq!((close, payload), (0x88, vec![3, 232]));
    keys.push(key);
    // Masking keys come from the operating system's random bytes. No key is visibly derived from the previous one: it
    // is not the same, not incremented, and has no constant byte.
    let differences = |each: fn(u32, u32) -> u32| {
        let words: Vec<_> = keys.iter().map(|key| u32::from_be_bytes(*key)).collect();
        let mut seen: Vec<_> = words.windows(2).map(|pair| each(pair[0], pair[1])).collect();
        seen.sort_unstable();
        seen.dedup();
        seen.len()
    };
    assert!(differences(|a, b| a ^ b) > 295 && differences(u32::wrapping_sub) > 295);
    for byte in 0..4 {
        let mut values: Vec<_> = keys.iter().map(|key| key[byte]).collect();
        values.sort_unstable();
        values.dedup();
        assert!(values.len() > 100, "byte {byte} has {} values", values.len());
    }
}

#[tokio::test]
async fn section_7_2_1_must_1_a_handshake_that_fails_fails_the_connection() {
    let (mut peer, connecting) = connecting().await;
    let head = peer.head().await;
    peer.write(response(&head).replace("websocket\r\n", "h2c\r\n").as_bytes()).await;
    let error = connecting.await.expect("no panic").expect_err("another protocol");
    assert!(matches!(error, ConnectError::Handshake(_)), "{error:?}");
    assert_eq!(peer.rest().await, b"");
}
