//! WebSocket sessions with permessage-deflate, frame by frame.

use engineio_proto::{EncodedMessage, MessageEncoder};
use flate2::{Decompress, FlushDecompress};
use tidewire_engineio::{DeflateOptions, Options};
use tokio::net::TcpStream;
use ws_proto::{FrameHeader, Opcode};

use crate::support::{
    Opened, Polling, Seen, Server, WebSocket, frame, frames, send_shared, until, websocket_request,
};

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";

/// The first bytes of frames: the bit FIN, the bit RSV1 for a compressed message, and the opcode.
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const COMPRESSED_TEXT: u8 = 0xc1;
const COMPRESSED_BINARY: u8 = 0xc2;

fn compressing() -> Options {
    Options { per_message_deflate: Some(DeflateOptions::default()), ..Options::default() }
}

/// Opens a WebSocket with these header lines, and returns the head of the response, too.
async fn connect(server: &Server, query: &str, headers: &str) -> (WebSocket, String) {
    let stream = TcpStream::connect(server.address).await.expect("it listens");
    let request = websocket_request(query).replacen("\r\n", &format!("\r\n{headers}"), 1);
    WebSocket::handshake(Box::new(stream), request.as_bytes()).await
}

async fn open(server: &mut Server, headers: &str) -> (WebSocket, Opened, String) {
    let (mut client, head) = connect(server, "EIO=4&transport=websocket", headers).await;
    let (first, open) = next_frame(&mut client).await;
    assert_eq!((first, open[0]), (TEXT, b'0'), "the open packet is short");
    (client, server.opened().await, head)
}

/// Reads a frame, and returns its first byte and its payload.
async fn next_frame(client: &mut WebSocket) -> (u8, Vec<u8>) {
    let header = client.read_exact(2).await;
    let length = match header[1] {
        126 => client.read_exact(2).await.into_iter().fold(0, |length, byte| length << 8 | usize::from(byte)),
        127 => client.read_exact(8).await.into_iter().fold(0, |length, byte| length << 8 | usize::from(byte)),
        short => short.into(),
    };
    (header[0], client.read_exact(length).await)
}

/// Inflates a message that needs no earlier one (RFC 7692 §7.2.2).
fn inflate(payload: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(1 << 20);
    let input = [payload, &[0, 0, 0xff, 0xff]].concat();
    Decompress::new(false).decompress_vec(&input, &mut message, FlushDecompress::Sync).expect("deflate");
    message
}

/// Reads the next message, and returns whether it was compressed.
async fn next_message(client: &mut WebSocket) -> (bool, String) {
    let (first, payload) = next_frame(client).await;
    let is_compressed = first == COMPRESSED_TEXT;
    assert!(is_compressed || first == TEXT, "{first:#x}");
    let message = if is_compressed { inflate(&payload) } else { payload };
    (is_compressed, String::from_utf8(message).expect("text"))
}

#[tokio::test]
async fn messages_of_1_024_bytes_are_compressed_and_shorter_ones_are_not() {
    let mut server = Server::start(compressing()).await;
    let (mut client, opened, head) = open(&mut server, OFFER).await;
    let head = head.to_ascii_lowercase();
    assert!(
        head.contains("\r\nsec-websocket-extensions: permessage-deflate; server_no_context_takeover;"),
        "{head}"
    );

    opened.session.send_text(&"x".repeat(1_022));
    opened.session.send_text(&"x".repeat(1_023));
    opened.session.send_binary(&[7; 1_024]);
    assert_eq!(next_message(&mut client).await, (false, format!("4{}", "x".repeat(1_022))));
    let (first, payload) = next_frame(&mut client).await;
    assert!(first == COMPRESSED_TEXT && payload.len() < 30, "{first:#x}, {} bytes", payload.len());
    assert_eq!(inflate(&payload), format!("4{}", "x".repeat(1_023)).into_bytes());
    let (first, payload) = next_frame(&mut client).await;
    assert_eq!((first, inflate(&payload)), (COMPRESSED_BINARY, vec![7; 1_024]));
}

#[tokio::test]
async fn a_message_of_more_than_a_mebibyte_is_not_compressed_and_the_next_one_is() {
    const MEBIBYTE: usize = 1 << 20;
    let mut server = Server::start(compressing()).await;
    let (mut client, opened, _) = open(&mut server, OFFER).await;
    // The type of the packet counts too.
    for length in [MEBIBYTE, MEBIBYTE - 1] {
        opened.session.send_text(&"x".repeat(length));
    }
    opened.session.send_binary(&vec![7; MEBIBYTE + 1]);
    opened.session.send_binary(&vec![7; MEBIBYTE]);
    for (first, length) in
        [(TEXT, MEBIBYTE + 1), (COMPRESSED_TEXT, 0), (BINARY, MEBIBYTE + 1), (COMPRESSED_BINARY, 0)]
    {
        let (byte, payload) = next_frame(&mut client).await;
        assert_eq!(byte, first);
        assert!(if length == 0 { payload.len() < MEBIBYTE / 100 } else { payload.len() == length });
    }
}

#[tokio::test]
async fn without_the_option_or_without_an_offer_nothing_is_compressed() {
    for (options, headers) in [(Options::default(), OFFER), (compressing(), "")] {
        let mut server = Server::start(options).await;
        let (mut client, opened, head) = open(&mut server, headers).await;
        assert!(!head.to_ascii_lowercase().contains("sec-websocket-extensions"), "{head}");
        opened.session.send_text(&"x".repeat(5_000));
        assert_eq!(next_message(&mut client).await, (false, format!("4{}", "x".repeat(5_000))));
    }
}

#[tokio::test]
async fn a_shared_message_goes_to_sessions_with_and_without_compression() {
    let mut server = Server::start(compressing()).await;
    let (mut plain, plain_session, _) = open(&mut server, "").await;
    let (mut deflated, deflated_session, _) = open(&mut server, OFFER).await;
    let mut encoder = MessageEncoder::new();
    encoder.begin();
    encoder.text().extend_from_slice("x".repeat(5_000).as_bytes());
    let shared = encoder.finish().to_shared();
    for opened in [&plain_session, &deflated_session] {
        send_shared(&opened.session, &shared);
    }
    let packet = format!("4{}", shared.text());
    assert_eq!(next_message(&mut plain).await, (false, packet.clone()));
    assert_eq!(next_message(&mut deflated).await, (true, packet));
}

/// A client that takes no binary frames, and also offers a subprotocol.
#[tokio::test]
async fn base64_is_compressed_and_the_response_selects_the_subprotocol_too() {
    let headers = format!("{OFFER}Sec-WebSocket-Protocol: chat, superchat\r\n");
    let expect_both = |head: String| {
        let head = head.to_ascii_lowercase();
        assert!(head.contains("\r\nsec-websocket-extensions: permessage-deflate;"), "{head}");
        assert!(head.contains("\r\nsec-websocket-protocol: chat\r\n"), "{head}");
    };
    let mut server = Server::start(compressing()).await;
    let (mut client, head) = connect(&server, "EIO=4&transport=websocket&b64=1", &headers).await;
    expect_both(head);
    assert!(next_message(&mut client).await.1.starts_with("0{"));
    let opened = server.opened().await;
    send_bytes(&opened);
    expect_base64(&mut client).await;

    let (polling, opened) = server.open_polling().await;
    let query = polling.query().replace("transport=polling", "transport=websocket") + "&b64=1";
    let (mut candidate, head) = connect(&server, &query, &headers).await;
    expect_both(head);
    candidate.write(&frames(["2probe"])).await;
    assert_eq!(next_message(&mut candidate).await, (false, "3probe".into()));
    release(&polling).await;
    send_bytes(&opened);
    candidate.write(&frames(["5"])).await;
    expect_base64(&mut candidate).await;
    send_bytes(&opened);
    expect_base64(&mut candidate).await;
}

/// Sends binary data that is short, long, and shared: its base64 has at least 1,024 characters unless it is short.
fn send_bytes(opened: &Opened) {
    opened.session.send_binary(&[1, 2, 3]);
    opened.session.send_binary(&[0; 765]);
    opened.session.send_binary(&[0; 768]);
    let mut encoder = MessageEncoder::new();
    encoder.begin();
    encoder.text().extend_from_slice(b"event");
    encoder.text_and_attachments().1.push(&[0; 6_000]);
    send_shared(&opened.session, &encoder.finish().to_shared());
}

async fn expect_base64(client: &mut WebSocket) {
    let zeros = |bytes: usize| format!("b{}", "A".repeat(bytes / 3 * 4));
    for expected in [
        (false, "bAQID".into()),
        (false, zeros(765)),
        (true, zeros(768)),
        (false, "4event".into()),
        (true, zeros(6_000)),
    ] {
        assert_eq!(next_message(client).await, expected);
    }
}

#[tokio::test]
async fn the_initial_packet_comes_before_compressed_messages() {
    let options = Options { initial_packet: Some("hello".into()), ..compressing() };
    let mut server = Server::start(options).await;
    let (mut client, opened, _) = open(&mut server, OFFER).await;
    opened.session.send_text(&"x".repeat(2_000));
    assert_eq!(next_message(&mut client).await, (false, "4hello".into()));
    assert_eq!(next_message(&mut client).await, (true, format!("4{}", "x".repeat(2_000))));
}

#[tokio::test]
async fn a_long_queue_arrives_whole_and_in_order() {
    const MESSAGES: usize = 2_000;
    let mut server = Server::start(compressing()).await;
    let (mut client, opened, _) = open(&mut server, OFFER).await;
    // Short and long ones, together several times the work of one turn.
    let message = |number: usize| format!("{number} {}", "text ".repeat(number % 7 * 100));
    for number in 0..MESSAGES {
        opened.session.send_text(&message(number));
    }
    for number in 0..MESSAGES {
        assert_eq!(next_message(&mut client).await.1, format!("4{}", message(number)));
    }
    until(|| opened.session.buffered() == 0).await;
}

#[tokio::test]
async fn what_is_queued_when_the_session_closes_is_sent_before_the_close_frame() {
    let mut server = Server::start(compressing()).await;
    let (mut client, opened, _) = open(&mut server, OFFER).await;
    for number in 0..200 {
        opened.session.send_text(&format!("{number:04}").repeat(1_000));
    }
    opened.session.close();
    for number in 0..200 {
        assert_eq!(next_message(&mut client).await.1, format!("4{}", format!("{number:04}").repeat(1_000)));
    }
    assert_eq!(next_frame(&mut client).await, (0x88, vec![]));
}

#[tokio::test]
async fn queued_messages_are_compressed_when_the_session_upgrades() {
    let mut server = Server::start(compressing()).await;
    let (client, opened) = server.open_polling().await;
    let query = client.query().replace("transport=polling", "transport=websocket");
    let (mut candidate, _) = connect(&server, &query, OFFER).await;
    candidate.write(&frames(["2probe"])).await;
    assert_eq!(next_message(&mut candidate).await, (false, "3probe".into()));
    release(&client).await;
    for number in 0..3 {
        opened.session.send_text(&format!("{number}").repeat(2_000));
    }
    candidate.write(&frames(["5"])).await;
    for number in 0..3 {
        let expected = format!("4{}", format!("{number}").repeat(2_000));
        assert_eq!(next_message(&mut candidate).await, (true, expected));
    }
    opened.session.send_text("after");
    assert_eq!(next_message(&mut candidate).await, (false, "4after".into()));
}

/// Polls until the server has released the client with a noop.
async fn release(client: &Polling) {
    assert_eq!(client.poll().await, "6");
}

fn compressed_frame(payload: &[u8]) -> Vec<u8> {
    let mut zlib = flate2::Compress::new(flate2::Compression::default(), false);
    let mut compressed = Vec::with_capacity(payload.len() + 100);
    zlib.compress_vec(payload, &mut compressed, flate2::FlushCompress::Sync).expect("compressed");
    let body = compressed.strip_suffix(&[0, 0, 0xff, 0xff]).expect("the tail of a flush");
    let mut wire = frame(Opcode::Text, body);
    assert!(FrameHeader::unfragmented(Opcode::Text, body.len()).encode()[0] == TEXT);
    wire[0] = COMPRESSED_TEXT;
    wire
}

#[tokio::test]
async fn a_compressed_message_of_the_client_arrives_up_to_the_limit_of_its_inflated_size() {
    let mut server = Server::start(compressing()).await;
    let (mut client, mut opened, _) = open(&mut server, OFFER).await;
    let longest = "x".repeat(999_999);
    client.write(&compressed_frame(format!("4{longest}").as_bytes())).await;
    opened.expect([Seen::Text(longest.clone())]).await;
    client.write(&compressed_frame(format!("4{longest}x").as_bytes())).await;
    client.expect_close(Some(1009)).await;
}

/// Opens a WebSocket with compression on a stream that holds all that a client sends at once.
async fn open_in_memory(server: &mut Server) -> (WebSocket, Opened) {
    let (client, end) = tokio::io::duplex(1 << 20);
    server.serve(end);
    let request = websocket_request("EIO=4&transport=websocket").replacen("\r\n", &format!("\r\n{OFFER}"), 1);
    let (mut client, _) = WebSocket::handshake(Box::new(client), request.as_bytes()).await;
    assert_eq!(next_frame(&mut client).await.1[0], b'0');
    (client, server.opened().await)
}

#[tokio::test]
async fn a_read_that_inflates_to_many_megabytes_lets_other_tasks_run_after_each() {
    const MESSAGES: usize = 30;
    let mut server = Server::start(compressing()).await;
    let (mut client, mut opened) = open_in_memory(&mut server).await;
    let noop = compressed_frame(format!("6{}", "a".repeat(999_999)).as_bytes());
    let mut wire = noop.repeat(MESSAGES);
    assert!(wire.len() < 64 * 1024, "{} bytes are more than one read", wire.len());
    wire.extend(frames(["4end"]));
    let before = opened.polls();
    client.write(&wire).await;
    opened.expect([Seen::Text("end".into())]).await;
    let polls = opened.polls() - before;
    assert!(polls >= MESSAGES / 2, "{polls} polls of the session for {MESSAGES} MB");
}

#[tokio::test]
async fn compressed_messages_of_one_read_wait_while_the_handler_wants_no_input() {
    const MESSAGES: usize = 17;
    let mut server = Server::start(compressing()).await;
    let (mut client, mut opened) = open_in_memory(&mut server).await;
    opened.take_one_at_a_time();
    let long = "a".repeat(999_990);
    let wire: Vec<u8> =
        (0..MESSAGES).flat_map(|number| compressed_frame(format!("4{number} {long}").as_bytes())).collect();
    client.write(&wire).await;
    for number in 0..MESSAGES {
        opened.expect([Seen::Text(format!("{number} {long}"))]).await;
        opened.expect_silence();
        opened.want_input(true);
    }
    assert!(!opened.session.is_closed());
}

#[tokio::test]
async fn a_closing_session_that_inflates_what_it_discards_lets_other_tasks_run() {
    const MESSAGES: usize = 40;
    let mut server = Server::start(compressing()).await;
    let (mut client, opened) = open_in_memory(&mut server).await;
    opened.session.close();
    assert_eq!(next_frame(&mut client).await, (0x88, vec![]));
    let noop = compressed_frame(format!("6{}", "a".repeat(999_999)).as_bytes());
    let mut wire = noop.repeat(MESSAGES);
    wire.extend(frame(Opcode::Close, &[]));
    let before = opened.polls();
    client.write(&wire).await;
    drop(client);
    server.expect_no_sessions().await;
    until(|| opened.polls() - before >= MESSAGES / 2).await;
}

#[tokio::test]
async fn a_message_that_must_not_be_compressed_is_not_and_the_next_one_is() {
    let mut server = Server::start(compressing()).await;
    let (mut client, opened, _) = open(&mut server, OFFER).await;
    let text = "x".repeat(2_000);
    let mut encoder = MessageEncoder::new();
    let mut encode = |compress, send: &dyn Fn(EncodedMessage<'_>)| {
        encoder.begin();
        encoder.text().extend_from_slice(text.as_bytes());
        encoder.text_and_attachments().1.push(&[7; 2_000]);
        send(encoder.finish().with_compression(compress));
    };
    encode(false, &|message| opened.session.send(message));
    encode(true, &|message| opened.session.send(message));
    encode(false, &|message| send_shared(&opened.session, &message.to_shared()));
    encode(true, &|message| send_shared(&opened.session, &message.to_shared()));
    for _ in 0..2 {
        assert_eq!(next_message(&mut client).await, (false, format!("4{text}")));
        assert_eq!(next_frame(&mut client).await, (BINARY, vec![7; 2_000]));
        assert_eq!(next_message(&mut client).await, (true, format!("4{text}")));
        assert_eq!(next_frame(&mut client).await.0, COMPRESSED_BINARY);
    }
}
