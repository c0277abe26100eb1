//! Bugs of other implementations of Engine.IO, and the proof that this one does not have them. Each test is named after
//! its advisory.
//!
//! Tests that need only codecs and state machines are in `engineio-proto/tests/sessions/advisories.rs`. The advisories of
//! WebSocket are in `advisories.rs` of `ws-proto` and `ws`, those of Socket.IO in `advisories.rs` of `socketio-proto` and
//! `server`. These advisories are covered by other tests:
//!
//! | advisory | bug | covered by |
//! |---|---|---|
//! | engine.io CVE-2020-36048 | a POST took many times the memory of its bytes | `engineio-proto`; `polling.rs`: `a_post_that_is_too_long_…`; `cli/tests/hostile/polling.rs`: `a_body_in_chunks_of_one_byte_…` |
//! | socket.io #5077 | the `Origin` was not checked once a request had a session id | `origins.rs`: `a_page_of_another_origin_cannot_use_a_session_…` |
//! | ws CVE-2024-37890 | too many headers hid `Upgrade`, and the server crashed | `ws/tests/advisories.rs`; `cli/tests/hostile/http.rs`: `an_endless_head_…` |
//! | socketioxide 0.17.5 | lengths of Engine.IO 3 counted bytes, not UTF-16 code units | `revision3.rs`: `lengths_in_text_count_utf_16` |
//! | socketioxide #390, #817 | the first ping was sent twice; a pong too many became a timeout | `engineio-proto` |
//! | socketioxide #399 | a thousand clients with short intervals leaked memory | `cli/tests/hostile/packets.rs`: `endless_connects_and_disconnects_leak_no_memory`; `backpressure.rs`: `a_reader_that_never_reads_again_…` |
//! | socketioxide #448, #450 | a message kept its whole read buffer | `ws/tests/advisories.rs`: `socketioxide_issue_450_…` |
//! | engine.io #310, socket.io #2769 and others | a busy client timed out although it sent messages | `heartbeat.rs`: `the_first_message_after_a_ping_…`, `a_pong_that_arrives_before_the_process_goes_on_…` |
//! | engine.io #420, socket.io #3158, #4435 | nothing bounded what waits for a slow client | `backpressure.rs`; `server/tests/socketio/slow_readers.rs` |
//! | socket.io #3817, #2848 | a message over the limit ended the connection without a reason | `websocket.rs`: `a_message_that_is_too_long_is_answered_1009_…`; `polling.rs`: `a_post_that_is_too_long_…` |

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use tidewire_engineio::{AllowRequest, CloseReason, Options, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use ws_proto::{Event, Opcode};

use crate::support::{
    Polling, Seen, Server, WebSocket, frame, frames, settings, soon, text, until, websocket_request,
};

/// Expects that another client is served on both transports.
async fn expect_service(server: &mut Server) {
    let (client, mut opened) = server.open_polling().await;
    client.post_ok("4posted").await;
    opened.expect([text("posted")]).await;
    let (mut client, mut opened) = server.open_websocket().await;
    client.send("4sent").await;
    opened.expect([text("sent")]).await;
}

/// engine.io, also GHSA-273r-mgr4-v34f: an invalid frame right behind the handshake was an error that nothing caught.
#[tokio::test]
async fn cve_2022_21676_an_invalid_frame_in_the_segment_of_the_handshake_ends_its_own_connection() {
    let mut server = Server::start(Options::default()).await;
    let with_first_byte = |byte: u8| [&[byte][..], &frame(Opcode::Text, b"4hello")[1..]].concat();
    let mut invalid: Vec<_> = [0xc1, 0xa1, 0x91, 0xf1, 0x83, 0x80, 0x09].map(with_first_byte).into();
    // Without a mask.
    invalid.push(b"\x81\x064hello".to_vec());
    for behind in &invalid {
        let stream = TcpStream::connect(server.address).await.expect("it listens");
        let mut client = WebSocket::connect(Box::new(stream), "EIO=4&transport=websocket", behind).await;
        assert!(client.recv_text().await.is_some_and(|open| open.starts_with("0{")), "{behind:x?}");
        client.expect_close(Some(1002)).await;
        server.opened().await.expect_end(CloseReason::TransportError).await;

        // The candidate of a session costs only itself.
        let (client, mut opened) = server.open_polling().await;
        let mut candidate = client.candidate(behind).await;
        assert!(matches!(candidate.recv().await, Some(Event::Close(_))), "{behind:x?}");
        drop(candidate);
        client.post_ok("4still here").await;
        opened.expect([text("still here")]).await;
    }
    expect_service(&mut server).await;
}

/// engine.io, also GHSA-r7qp-cfhv-p84w: a client that reset its connection during the handshake was an error that nothing
/// caught.
#[tokio::test]
async fn cve_2022_41940_a_connection_that_is_reset_ends_what_it_carried_and_nothing_else() {
    let websocket = websocket_request("EIO=4&transport=websocket");
    let polling = "GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: h\r\n\r\n";
    let unknown = websocket.replace("transport=websocket", "transport=websocket&sid=AAAAAAAAAAAAAAAAAAAA");
    // The program's check of a request, which never decides.
    let started = Arc::new(AtomicUsize::new(0));
    let check = AllowRequest::new_async({
        let started = Arc::clone(&started);
        move |_| {
            started.fetch_add(1, Ordering::SeqCst);
            std::future::pending()
        }
    });
    let checking = Server::start(Options { allow_request: Some(check), ..Options::default() }).await;
    for (request, is_checked) in [
        (&*websocket, true),
        (polling, true),
        (&websocket[..100], false),
        (&polling[..50], false),
        (&unknown, false),
    ] {
        for behind in ["", "GET", "\u{1}\u{2}"] {
            let before = started.load(Ordering::SeqCst);
            let mut stream = TcpStream::connect(checking.address).await.expect("it listens");
            stream.write_all(format!("{request}{behind}").as_bytes()).await.expect("sent");
            if is_checked {
                until(|| started.load(Ordering::SeqCst) > before).await;
            }
            reset(stream);
        }
    }
    assert_eq!(checking.engine.session_count(), 0);

    let mut server = Server::start(Options::default()).await;
    for behind in [vec![], frames(["4hello"]), frame(Opcode::Text, b"4cut off")[..5].to_vec()] {
        let mut stream = TcpStream::connect(server.address).await.expect("it listens");
        stream.write_all(&[websocket.as_bytes(), &behind].concat()).await.expect("sent");
        let mut opened = server.opened().await;
        reset(stream);
        loop {
            match opened.next().await {
                Some(Seen::Text(_)) => {}
                Some(Seen::Closed(_)) => break,
                other => panic!("{other:?}"),
            }
        }
    }

    // The requests of a polling session, and its candidate.
    let (client, mut opened) = server.open_polling().await;
    let query = client.query().replace("transport=polling", "transport=websocket");
    for behind in [vec![], frames(["2probe"]), frames(["2probe"])[..3].to_vec()] {
        let mut stream = TcpStream::connect(server.address).await.expect("it listens");
        let request = [websocket_request(&query).as_bytes(), &behind].concat();
        stream.write_all(&request).await.expect("sent");
        // Waits for the response.
        soon(stream.read_u8()).await.expect("a response");
        reset(stream);
        client.post_ok("4still here").await;
        opened.expect([text("still here")]).await;
    }
    let mut poll = TcpStream::connect(server.address).await.expect("it listens");
    let request = format!("GET /engine.io/?{} HTTP/1.1\r\nHost: h\r\n\r\n", client.query());
    poll.write_all(request.as_bytes()).await.expect("sent");
    opened.poll_waits().await;
    reset(poll);
    opened.expect_end(CloseReason::TransportError).await;
    server.expect_no_sessions().await;
    expect_service(&mut server).await;
}

/// Ends a connection with a RST.
fn reset(stream: TcpStream) {
    stream.set_zero_linger().expect("an option");
    drop(stream);
}

/// engine.io, also GHSA-q9mw-68c2-j6m5: a query that named no transport, or a property of every JavaScript object, was an
/// exception that nothing caught.
#[tokio::test]
async fn cve_2023_31125_a_query_that_names_nothing_is_refused() {
    let mut server = Server::start(Options::default()).await;
    let mut queries: Vec<String> =
        ["", "EIO", "EIO=4", "EIO=4&transport", "EIO=4&transport="].map(String::from).into();
    for name in
        ["constructor", "__proto__", "toString", "hasOwnProperty", "polling%00", "Polling", "webtransport"]
    {
        queries.push(format!("EIO=4&transport={name}"));
        queries.push(format!("EIO=4&transport=polling&transport={name}"));
        queries.push(format!("EIO=4&transport=polling&sid={name}"));
        queries.push(format!("EIO=4&transport=websocket&sid={name}"));
        queries.push(format!("EIO={name}&transport=polling"));
        queries.push(format!("EIO={name}&transport=websocket"));
    }
    for name in ["transport[]", "transport[0]", "transport.x", "__proto__[transport]", "%74ransports"] {
        queries.push(format!("EIO=4&{name}=polling"));
        queries.push(format!("EIO=4&{name}=websocket"));
    }
    for query in &queries {
        assert_eq!(server.get(query).await.response().await.status, 400, "{query}");
        let refused = server.send(websocket_request(query).as_bytes()).await.response_head().await;
        assert!(refused.starts_with("http/1.1 400 "), "{query}: {refused}");
    }
    assert_eq!(server.engine.session_count(), 0);
    expect_service(&mut server).await;
}

/// engine.io, also GHSA-r635-g3xr-vw7x: an invalid POST of binary data took the server down.
#[tokio::test]
async fn cve_2026_59725_an_invalid_binary_post_ends_its_session() {
    const OCTETS: &str = "Content-Type: application/octet-stream\r\n";
    let mut server = Server::start(Options { allow_eio3: true, ..Options::default() }).await;
    let bodies: [&[u8]; 11] = [
        b"\x00",
        b"\xff",
        b"4text",
        b"\x01\x01",
        b"\x01\xff",
        b"\x00\x01\xff",
        b"\x00\x01\xff\xc3",
        b"\x00\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\xff4",
        b"\x01\x0a\xff0123456789",
        b"\x02\x01\xff4",
        b"\x01\x01\xff\x09",
    ];
    for body in bodies {
        // In revision 4, no POST is binary, whatever its body.
        let headers = format!("{OCTETS}Content-Length: {}\r\n", body.len());
        let (client, mut opened) = server.open_polling().await;
        client.request("POST", &headers, body).await.response().await.expect(400, "");
        opened.expect_end(CloseReason::TransportError).await;
        client.expect_unknown().await;

        let (client, mut opened) = server.open_polling_with("EIO=3", "").await;
        client.request("POST", &headers, body).await.response().await.expect(200, "ok");
        opened.expect_end(CloseReason::ParseError).await;
        client.expect_unknown().await;
    }
    server.expect_no_sessions().await;
    expect_service(&mut server).await;
}

/// socketioxide: a session id that was none opened a session.
#[tokio::test]
async fn socketioxide_issue_815_a_malformed_session_id_opens_no_session() {
    let server = Server::start(Options::default()).await;
    let long = "A".repeat(8_000);
    for sid in [
        "x",
        "null",
        "undefined",
        "%00",
        "%20",
        "AAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAA.",
        "%C3%A9",
        &long,
    ] {
        let query = format!("EIO=4&transport=polling&sid={sid}");
        let unknown = r#"{"code":1,"message":"Session ID unknown"}"#;
        server.get(&query).await.response().await.expect(400, unknown);
        let handshake = websocket_request(&query.replace("polling", "websocket"));
        server.send(handshake.as_bytes()).await.response().await.expect(400, "Session ID unknown");
    }
    assert_eq!(server.engine.session_count(), 0);
}

/// socketioxide: the engine took the requests of every path that began with its own.
#[tokio::test]
async fn socketioxide_issue_816_paths_that_only_begin_like_that_of_the_engine_belong_to_others() {
    let mut server = Server::start(Options::default()).await;
    let router = Router::new().fallback(async || "from the router").layer(server.engine.layer());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    server.address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move { axum::serve(listener, router).await });
    for path in [
        "/engine.io-admin/",
        "/engine.iox/",
        "/engine.io.js",
        "/engine.io%2F",
        "/x/engine.io/",
        "/Engine.io/",
    ] {
        let head =
            format!("GET {path}?EIO=4&transport=polling HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        server.send(head.as_bytes()).await.response().await.expect(200, "from the router");
    }
    assert_eq!(server.engine.session_count(), 0);
    expect_service(&mut server).await;
}

/// socketioxide: while a client upgraded, each of its polls returned at once, so it polled without a pause.
#[tokio::test(start_paused = true)]
async fn socketioxide_issue_497_a_client_that_polls_while_it_upgrades_is_answered_ten_times_a_second() {
    let mut server = Server::start_in_memory(Options::default()).await;
    let (client, opened) = server.open_polling().await;
    let mut candidate = in_memory_candidate(&server, &client, &frames(["2probe"])).await;
    candidate.expect("3probe").await;
    let (start, mut polls) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(2) {
        let response = server.engine.handle(client.poll_request()).await;
        assert_eq!(response.status(), 200);
        polls += 1;
    }
    assert!((10..=22).contains(&polls), "{polls} polls in two seconds");
    candidate.write(&frames(["5"])).await;
    until(|| opened.session.transport() == Transport::WebSocket).await;
    opened.session.send_text("moved");
    candidate.expect("4moved").await;
}

/// socketioxide: a session whose upgrade was never completed stayed for ever.
#[tokio::test(start_paused = true)]
async fn socketioxide_issue_731_a_session_whose_upgrade_is_never_completed_ends() {
    let mut server = Server::start_in_memory(settings(|settings| {
        settings.ping_interval = Duration::from_secs(2);
        settings.ping_timeout = Duration::from_secs(3);
    }))
    .await;
    for behind in [vec![], frames(["2probe"]), frames(["2probe", "2probe"]), frames(["2probe"])[..3].to_vec()]
    {
        let (client, mut opened) = server.open_polling().await;
        let _candidate = in_memory_candidate(&server, &client, &behind).await;
        opened.expect_end(CloseReason::PingTimeout).await;
    }
    server.expect_no_sessions().await;
}

/// socketioxide: the limit of a POST did not apply to messages on a WebSocket.
#[tokio::test]
async fn ghsa_55mf_67qm_4wpg_a_message_on_a_websocket_has_the_limit_of_a_post() {
    let mut server = Server::start(Options::default()).await;
    let longest = format!("4{}", "x".repeat(999_999));
    let half = longest.as_bytes().split_at(500_000).0;
    let fragment = {
        let mut fragment = frame(Opcode::Text, half);
        fragment[0] = 0x01;
        fragment
    };
    // Masked frames that announce 500,001 bytes, 64 MiB and 2^62 bytes, and the beginning of their content.
    let announced =
        |first: u8, length: u64| [&[first, 0xff][..], &length.to_be_bytes(), &[0; 4], b"4xxxx"].concat();
    for message in [
        [&fragment[..], &announced(0x80, 500_001)].concat(),
        announced(0x81, 1_000_001),
        announced(0x82, 64 << 20),
        announced(0x81, 1 << 62),
    ] {
        let (mut client, mut opened) = server.open_websocket().await;
        client.send(&longest).await;
        opened.expect([text(&longest[1..])]).await;
        client.write(&message).await;
        client.expect_close(Some(1009)).await;
        opened.expect_end(CloseReason::TransportError).await;
    }
    expect_service(&mut server).await;
}

/// Opens a WebSocket for a polling session over a stream in memory, for tests with a paused clock.
async fn in_memory_candidate(server: &Server, client: &Polling, behind: &[u8]) -> WebSocket {
    let (stream, end) = tokio::io::duplex(1_024);
    server.serve(end);
    let query = client.query().replace("transport=polling", "transport=websocket");
    WebSocket::connect(Box::new(stream), &query, behind).await
}
