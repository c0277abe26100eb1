//! permessage-deflate on the WebSocket transport.

use engineio::DeflateOptions as ServerOptions;
use engineio::server::Server;
use tidewire_engineio_client::{CloseReason, DeflateOptions, Limits};
use ws_proto::{DeflateOptions as Options, Deflater, FrameHeader, Opcode};

use crate::scripted_server::{OPEN, ScriptedServer, WebSocket};
use crate::support::{Client, EchoServer, POLLING, WEBSOCKET};

/// Returns the header of the offer.
async fn offer(scripted: &ScriptedServer) -> Option<String> {
    let (_, request) = scripted.websocket().await;
    request.header("sec-websocket-extensions").map(str::to_owned)
}

#[tokio::test]
async fn compression_is_offered_unless_the_program_turns_it_off() {
    let scripted = ScriptedServer::start().await;
    let connector = scripted.connector().transports(WEBSOCKET);
    let _client = Client::start(&connector);
    let all =
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits";
    assert_eq!(offer(&scripted).await.as_deref(), Some(all));

    let _client = Client::start(&connector.clone().per_message_deflate(DeflateOptions {
        own_context_takeover: true,
        peer_context_takeover: true,
        ..DeflateOptions::default()
    }));
    assert_eq!(offer(&scripted).await.as_deref(), Some("permessage-deflate; client_max_window_bits"));

    let _client = Client::start(&connector.per_message_deflate(None));
    assert_eq!(offer(&scripted).await, None);
}

#[tokio::test]
async fn messages_of_every_length_come_back_from_a_server_that_compresses() {
    let takeover = ServerOptions { own_context_takeover: true, ..ServerOptions::default() };
    for options in [ServerOptions::default(), ServerOptions { peer_context_takeover: true, ..takeover }] {
        let server = EchoServer::with(Server::builder().per_message_deflate(options)).await;
        for transports in [&WEBSOCKET[..], &[POLLING[0], WEBSOCKET[0]]] {
            let connector = server.connector().transports(transports).per_message_deflate(options);
            let mut client = Client::open(&connector).await;
            if transports.len() > 1 {
                client.upgraded().await;
            }
            for length in [0, 1, 125, 126, 1_023, 1_024, 5_000, 70_000, 700_000] {
                let text = "tide ".repeat(length / 5 + 1)[..length].to_owned();
                client.session.send_text(&text);
                client.session.send_binary(text.as_bytes());
                assert_eq!(client.text().await, text);
                assert_eq!(client.binary().await, text.as_bytes());
            }
        }
    }
}

#[tokio::test]
async fn a_long_message_is_compressed_and_a_short_one_is_not() {
    let scripted = ScriptedServer::start().await;
    let mut client = Client::start(&scripted.connector().transports(WEBSOCKET));
    let mut websocket = accept_compression(&scripted).await;
    websocket.send(OPEN).await;
    client.opened().await;
    let long = "tide ".repeat(1_000);
    client.session.send_text("short");
    client.session.send_text(&long);
    let short = websocket.frame().await;
    assert_eq!((short.rsv1, short.payload_len), (false, 6));
    let frame = websocket.frame().await;
    assert!(frame.rsv1 && frame.payload_len < 100, "{frame:?}");
}

/// A bomb: the limit holds for what is decompressed.
#[tokio::test]
async fn a_compressed_message_may_be_as_long_as_the_limit_and_no_longer() {
    for length in [1_000_000, 1_000_001] {
        let scripted = ScriptedServer::start().await;
        let mut limits = Limits::default();
        limits.max_message_size = 1_000_000;
        let mut client = Client::start(&scripted.connector().transports(WEBSOCKET).limits(limits));
        let mut websocket = accept_compression(&scripted).await;
        websocket.send(OPEN).await;
        client.opened().await;
        websocket.send_compressed(&format!("4{}", "x".repeat(length - 1))).await;
        if length == 1_000_000 {
            assert_eq!(client.text().await.len(), length - 1);
        } else {
            let (reason, error) = client.closed().await;
            assert_eq!(reason, CloseReason::TransportError);
            assert!(error.contains("1000000"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_server_may_not_agree_to_what_was_not_offered() {
    let scripted = ScriptedServer::start().await;
    let mut client = Client::start(&scripted.connector().transports(WEBSOCKET).per_message_deflate(None));
    let _websocket = accept_compression(&scripted).await;
    let (reason, error) = client.closed().await;
    assert_eq!(reason, CloseReason::TransportError);
    assert!(error.contains("extension"), "{error}");
}

async fn accept_compression(scripted: &ScriptedServer) -> WebSocket {
    let accepted = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    scripted.websocket_with(&format!("Sec-WebSocket-Extensions: {accepted}\r\n")).await.0
}

impl WebSocket {
    /// Sends a text message compressed, and without its masking key.
    async fn send_compressed(&mut self, text: &str) {
        // What the server of this agreement sends is what a client would send that agrees to the same.
        let handshake = ws_proto::ClientHandshake::new([0; 16]).deflate(Options::default());
        let mut deflater = Deflater::new(&agreement(&handshake));
        let mut compressed = Vec::new();
        assert!(deflater.compress(text.as_bytes(), &mut compressed));
        let header = FrameHeader { rsv1: true, ..FrameHeader::unfragmented(Opcode::Text, compressed.len()) };
        self.peer.write(&header.encode()).await;
        self.peer.write(&compressed).await;
    }
}

fn agreement(handshake: &ws_proto::ClientHandshake) -> ws_proto::DeflateAgreement {
    let mut headers = http::HeaderMap::new();
    let accept = ws_proto::accept_key("AAAAAAAAAAAAAAAAAAAAAA==");
    for (name, value) in [
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("sec-websocket-accept", &*accept),
        (
            "sec-websocket-extensions",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        ),
    ] {
        headers.insert(name, value.parse().expect("a header value"));
    }
    let switching = http::StatusCode::SWITCHING_PROTOCOLS;
    let agreed = handshake.verify_response(switching, &headers).expect("a valid response");
    *agreed.deflate().expect("it was accepted")
}
