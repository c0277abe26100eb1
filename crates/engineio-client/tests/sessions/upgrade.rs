//! The upgrade from polling to WebSocket: nothing is lost, repeated or reordered, whatever happens to the candidate.

use std::time::Duration;

use tidewire_engineio_client::{CloseReason, Connector};

use crate::choppy_relay::{Dice, relay_to};
use crate::scripted_server::{ScriptedServer, WebSocket};
use crate::support::{Client, EchoServer, LIMIT, POLLING, Seen, WEBSOCKET, until};

const OPEN: &str = r#"0{"sid":"abc","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000}"#;

#[tokio::test]
async fn the_candidate_probes_while_polling_goes_on_and_takes_over_when_it_is_quiet() {
    let scripted = ScriptedServer::start().await;
    let mut client = Client::start(&scripted.connector());
    let mut get = scripted.open(OPEN).await;
    client.opened().await;
    let (mut websocket, handshake) = scripted.websocket().await;
    assert_eq!(handshake.target, "/engine.io/?EIO=4&transport=websocket&sid=abc");
    websocket.expect("2probe").await;

    // Polling goes on in both directions.
    client.session.send_text("by POST");
    let (mut post, request) = scripted.request().await;
    assert_eq!(request.body, "4by POST");
    assert_eq!(get.request().await.parameter("sid"), Some("abc"));
    get.respond("4by GET").await;
    assert_eq!(client.text().await, "by GET");
    let waiting = get.request().await;
    assert_eq!(waiting.method, "GET");

    // After the pong nothing more is sent, until both requests have finished.
    websocket.send("3probe").await;
    until(|| !client.session.is_writable()).await;
    client.session.send_text("by WebSocket");
    post.respond("ok").await;
    get.respond("4last\x1e6").await;
    assert_eq!(client.text().await, "last");
    client.upgraded().await;
    websocket.expect("5").await;
    websocket.expect("4by WebSocket").await;
    assert_eq!(client.session.transport(), WEBSOCKET[0]);
    websocket.send("4hello").await;
    assert_eq!(client.text().await, "hello");
    get.closed().await;
    post.closed().await;
}

#[tokio::test]
async fn a_candidate_that_fails_changes_nothing() {
    type Break = fn(WebSocket) -> std::pin::Pin<Box<dyn Future<Output = WebSocket>>>;
    let breaks: [(Break, &str, bool); 3] = [
        (
            |mut websocket| {
                Box::pin(async move {
                    websocket.send("3something else").await;
                    websocket
                })
            },
            "the server did not answer the probe",
            false,
        ),
        (
            |mut websocket| {
                Box::pin(async move {
                    websocket.peer.write(b"\x88\x02\x03\xf5").await;
                    websocket
                })
            },
            "the server closed the connection with code 1013",
            false,
        ),
        // It sends nothing.
        (|websocket| Box::pin(async move { websocket }), "the server did not answer the probe", true),
    ];
    for (breaks, error, times_out) in breaks {
        let scripted = ScriptedServer::start().await;
        let connector = scripted.connector().upgrade_timeout(LIMIT);
        let mut client = Client::start(&connector);
        let mut get = scripted.open(OPEN).await;
        client.opened().await;
        let (mut websocket, _) = scripted.websocket().await;
        websocket.expect("2probe").await;
        let mut websocket = breaks(websocket).await;
        if times_out {
            tokio::time::pause();
        }
        assert_eq!(client.upgrade_error().await, error);
        if times_out {
            tokio::time::resume();
        }
        assert_eq!(websocket.recv().await, None);

        client.session.send_text("still there");
        let (mut post, request) = scripted.request().await;
        assert_eq!(request.body, "4still there");
        post.respond("ok").await;
        get.request().await;
        get.respond("4yes").await;
        assert_eq!(client.text().await, "yes");
        assert_eq!(client.session.transport(), POLLING[0]);
    }
}

#[tokio::test]
async fn a_proxy_that_blocks_websockets_leaves_the_session_on_polling() {
    for (response, error) in [
        (
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno!",
            "the server responded with 403 Forbidden: no!",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "the server responded with 200 OK"),
        ("", "no response to the handshake: the server closed the connection without a response"),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            "the response has no Sec-WebSocket-Accept header",
        ),
    ] {
        let scripted = ScriptedServer::start().await;
        let mut client = Client::start(&scripted.connector());
        let mut get = scripted.open(OPEN).await;
        client.opened().await;
        let (mut blocked, _) = scripted.request().await;
        blocked.write(response.as_bytes()).await;
        drop(blocked);
        assert_eq!(client.upgrade_error().await, error);
        get.request().await;
        get.respond("4hello").await;
        assert_eq!(client.text().await, "hello");
    }
}

#[tokio::test]
async fn a_close_during_the_upgrade_sends_what_was_queued_first() {
    let scripted = ScriptedServer::start().await;
    let mut client = Client::start(&scripted.connector());
    let mut get = scripted.open(OPEN).await;
    client.opened().await;
    let (mut websocket, _) = scripted.websocket().await;
    websocket.expect("2probe").await;
    get.request().await;
    websocket.send("3probe").await;
    until(|| !client.session.is_writable()).await;
    client.session.send_text("last words");
    client.session.close();
    get.respond("6").await;
    websocket.expect("5").await;
    websocket.expect("4last words").await;
    assert_eq!(websocket.recv().await, None);
    assert_eq!(client.closed().await, (CloseReason::ForcedClose, String::new()));
}

#[tokio::test]
async fn a_candidate_that_is_lost_after_its_pong_costs_no_message() {
    let scripted = ScriptedServer::start().await;
    let mut client = Client::start(&scripted.connector());
    let mut get = scripted.open(OPEN).await;
    client.opened().await;
    let (mut websocket, _) = scripted.websocket().await;
    websocket.expect("2probe").await;
    get.request().await;
    websocket.send("3probe").await;
    until(|| !client.session.is_writable()).await;
    client.session.send_text("kept");
    drop(websocket);
    assert_eq!(client.upgrade_error().await, "the server closed the connection");
    let (mut post, request) = scripted.request().await;
    assert_eq!(request.body, "4kept");
    post.respond("ok").await;
    get.respond("4hello").await;
    assert_eq!(client.text().await, "hello");
}

#[tokio::test]
async fn no_upgrade_happens_if_the_program_or_the_server_wants_none() {
    for (open, connector) in [
        (OPEN, (|scripted| scripted.upgrade(false)) as fn(Connector) -> Connector),
        (OPEN, |scripted| scripted.transports(POLLING)),
        (crate::scripted_server::OPEN, |scripted| scripted),
    ] {
        let scripted = ScriptedServer::start().await;
        let mut client = Client::start(&connector(scripted.connector()));
        let mut get = scripted.open(open).await;
        client.opened().await;
        client.session.send_text("hello");
        // The next connection is the one of the POST, not a candidate.
        let (_post, request) = scripted.request().await;
        assert_eq!(request.method, "POST");
        assert_eq!(get.request().await.method, "GET");
    }
}

/// Both sides send all the time, over a network that splits the bytes at random places.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_repeated_or_reordered_under_traffic() {
    const MESSAGES: usize = 400;
    for seed in 0..20 {
        let server = EchoServer::start().await;
        let mut dice = Dice::new(seed);
        let relay = relay_to(server.address, dice.clone(), None).await;
        let mut client = Client::start(&Connector::new(&format!("http://{relay}")));
        let sender = client.session.clone();
        tokio::spawn(async move {
            for number in 0..MESSAGES {
                match number % 5 {
                    0 => sender.send_binary(number.to_string().as_bytes()),
                    _ => sender.send_text(&number.to_string()),
                }
                match dice.below(20) {
                    0 => tokio::time::sleep(Duration::from_micros(dice.below(1_000))).await,
                    1..10 => tokio::task::yield_now().await,
                    _ => {}
                }
            }
        });
        client.opened().await;
        let (mut received, mut upgrades) = (0, 0);
        while received < MESSAGES || upgrades == 0 {
            let text = match client.next().await {
                Seen::Text(text) => text,
                Seen::Binary(data) => {
                    assert_eq!(received % 5, 0, "seed {seed}");
                    String::from_utf8(data).expect("text")
                }
                Seen::Upgrade(_) => {
                    upgrades += 1;
                    continue;
                }
                other => panic!("seed {seed}: {other:?} after {received}"),
            };
            assert_eq!(text, received.to_string(), "seed {seed}");
            received += 1;
        }
        client.session.close();
        assert_eq!(client.closed().await.0, CloseReason::ForcedClose, "seed {seed}");
        client.done().await;
    }
}

/// Connections end at random bytes. The session then ends with an error, or goes on; what has arrived is a prefix.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_connections_leave_a_prefix_without_gaps() {
    const MESSAGES: usize = 60;
    for seed in 100..140 {
        let server = EchoServer::start().await;
        let relay = relay_to(server.address, Dice::new(seed), Some(2_000)).await;
        let mut client = Client::start(&Connector::new(&format!("http://{relay}")));
        for number in 0..MESSAGES {
            client.session.send_text(&number.to_string());
        }
        let mut received = 0;
        while received < MESSAGES {
            match client.next().await {
                Seen::Text(text) => {
                    assert_eq!(text, received.to_string(), "seed {seed}");
                    received += 1;
                }
                Seen::Closed(closed) => {
                    assert!(closed.error.is_some(), "seed {seed}: {closed}");
                    break;
                }
                _ => {}
            }
        }
        client.session.close();
        client.driver.await.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}
