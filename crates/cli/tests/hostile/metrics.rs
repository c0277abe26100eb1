//! The endpoint for Prometheus: what happens to a running server is counted, and a peer cannot choose what is stored.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::raw_client::{CLOSE, Polling, RAW, WebSocket, frame, request};
use crate::support::Server;

/// The longest time until the end of a connection is counted. It is generous, for busy machines.
const COUNTED: Duration = Duration::from_secs(20);

/// The values of one scrape, by series.
struct Scrape(BTreeMap<String, f64>);

impl Scrape {
    fn of(endpoint: SocketAddr) -> Self {
        let text = page(endpoint);
        let values = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        Self(
            values
                .map(|line| {
                    let (series, value) = line.rsplit_once(' ').expect("a value");
                    (series.to_owned(), value.parse().expect("a number"))
                })
                .collect(),
        )
    }

    fn get(&self, series: &str) -> f64 {
        *self.0.get(series).unwrap_or_else(|| panic!("{series} in {:#?}", self.0))
    }
}

fn page(endpoint: SocketAddr) -> String {
    let response = request(endpoint, "GET", "/metrics", "Connection: close\r\n\r\n").response();
    let response = response.expect("a response");
    assert_eq!(response.status, 200);
    response.body
}

/// Waits until a series has this value.
fn wait_for(endpoint: SocketAddr, series: &str, value: f64) {
    let began = Instant::now();
    loop {
        let found = Scrape::of(endpoint).get(series);
        if found == value {
            return;
        }
        assert!(began.elapsed() < COUNTED, "{series} is {found}, not {value}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn start() -> (Server, SocketAddr) {
    let mut server = Server::with_options(&["--metrics", "127.0.0.1:0"]);
    let endpoint = server.metrics_address();
    (server, endpoint)
}

#[test]
fn connections_events_and_bytes_are_counted() {
    let (server, endpoint) = start();
    let mut raw = WebSocket::open(server.address, RAW);
    for _ in 0..3 {
        raw.text("hello");
        raw.expect("hello");
    }
    let mut client = WebSocket::joined(server.address);
    for number in 0..40 {
        client.text(&format!(r#"42["message","{number}"]"#));
        client.expect(&format!(r#"42["message","Echo: {number}"]"#));
    }
    let _polling = Polling::joined(server.address);

    let scrape = Scrape::of(endpoint);
    for (series, value) in [
        (r#"tidewire_connections{protocol="websocket",transport="websocket"}"#, 1.0),
        (r#"tidewire_connections{protocol="engine.io",transport="websocket"}"#, 1.0),
        (r#"tidewire_connections{protocol="engine.io",transport="polling"}"#, 1.0),
        (r#"tidewire_messages_received_total{protocol="websocket"}"#, 3.0),
        (r#"tidewire_messages_sent_total{protocol="websocket"}"#, 3.0),
        // A masked frame of five bytes has a header of six, one that is not masked of two.
        (r#"tidewire_received_bytes_total{protocol="websocket",transport="websocket"}"#, 33.0),
        (r#"tidewire_sent_bytes_total{protocol="websocket",transport="websocket"}"#, 21.0),
        (r#"tidewire_sockets{namespace="/"}"#, 2.0),
        ("tidewire_events_received_total", 40.0),
    ] {
        assert_eq!(scrape.get(series), value, "{series}");
    }
    assert!(scrape.get("tidewire_events_sent_total") >= 40.0);
    assert!(scrape.get("tidewire_handler_duration_seconds_count") >= 1.0);
    assert!(scrape.get(r#"tidewire_received_bytes_total{protocol="engine.io",transport="polling"}"#) >= 2.0);
    assert!(scrape.get(r#"tidewire_sent_bytes_total{protocol="engine.io",transport="polling"}"#) >= 2.0);
    assert!(scrape.get("process_open_fds") > 3.0);

    raw.write(frame(CLOSE, 1000_u16.to_be_bytes()));
    wait_for(
        endpoint,
        r#"tidewire_connections_closed_total{protocol="websocket",reason="closing_handshake"}"#,
        1.0,
    );
    wait_for(endpoint, r#"tidewire_connections{protocol="websocket",transport="websocket"}"#, 0.0);
    client.text("41");
    wait_for(endpoint, r#"tidewire_sockets{namespace="/"}"#, 1.0);
    let reason = r#"tidewire_sockets_disconnected_total{reason="client_namespace_disconnect"}"#;
    assert_eq!(Scrape::of(endpoint).get(reason), 1.0);
    drop(client);
    wait_for(endpoint, r#"tidewire_connections{protocol="engine.io",transport="websocket"}"#, 0.0);
}

#[test]
fn refusals_are_counted_by_reason() {
    let (server, endpoint) = start();
    for (target, status) in [
        ("/socket.io/?EIO=4&transport=carrier-pigeon", 400),
        ("/socket.io/?EIO=4&transport=polling&sid=unknown", 400),
        ("/socket.io/?EIO=3&transport=polling", 400),
        (RAW, 400),
    ] {
        let mut refused = request(server.address, "GET", target, "Connection: close\r\n\r\n");
        assert!(refused.status() >= status, "{target}");
    }
    let mut client = WebSocket::session(server.address);
    client.text("40/nowhere,");
    assert!(client.receive_text().starts_with("44/nowhere,"));
    let scrape = Scrape::of(endpoint);
    for series in [
        r#"tidewire_requests_refused_total{protocol="engine.io",reason="unknown_transport"}"#,
        r#"tidewire_requests_refused_total{protocol="engine.io",reason="unknown_sid"}"#,
        r#"tidewire_requests_refused_total{protocol="engine.io",reason="unsupported_protocol_version"}"#,
        r#"tidewire_requests_refused_total{protocol="websocket",reason="invalid_handshake"}"#,
        r#"tidewire_sockets_refused_total{reason="namespace"}"#,
    ] {
        assert_eq!(scrape.get(series), 1.0, "{series}");
    }
    assert!(!scrape.0.keys().any(|series| series.contains("nowhere")), "a client chose a label");
}

#[test]
fn a_refused_event_is_no_error_and_an_invalid_packet_is_one() {
    let (server, endpoint) = start();
    let mut client = WebSocket::joined(server.address);
    client.text(r#"421["join-room",{}]"#);
    assert!(client.receive_text().starts_with(r#"431[{"error":"#));
    let scrape = Scrape::of(endpoint);
    assert_eq!(scrape.get("tidewire_events_refused_total"), 1.0);
    assert_eq!(scrape.get("tidewire_errors_total"), 0.0);
    client.text(r#"42["message","#);
    wait_for(endpoint, "tidewire_errors_total", 1.0);
    assert_eq!(Scrape::of(endpoint).get("tidewire_events_refused_total"), 1.0);
}

#[test]
fn an_upgrade_moves_a_connection_to_the_other_transport() {
    let (server, endpoint) = start();
    let polling = Polling::joined(server.address);
    let mut candidate = WebSocket::open(server.address, &polling.candidate());
    candidate.text("2probe");
    candidate.expect("3probe");
    candidate.text("5");
    wait_for(endpoint, "tidewire_upgrades_total", 1.0);
    let scrape = Scrape::of(endpoint);
    assert_eq!(scrape.get(r#"tidewire_connections{protocol="engine.io",transport="polling"}"#), 0.0);
    assert_eq!(scrape.get(r#"tidewire_connections{protocol="engine.io",transport="websocket"}"#), 1.0);
}

#[test]
fn the_document_lists_every_metric() {
    let (server, endpoint) = start();
    // One socket and one event, so that the metrics of namespaces and handlers exist.
    let mut client = WebSocket::joined(server.address);
    client.text(r#"42["message","x"]"#);
    client.expect(r#"42["message","Echo: x"]"#);
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
    let document = std::fs::read_to_string(document).expect("the document is in the repository");
    let page = page(endpoint);
    let names = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let names: Vec<_> = names.filter(|name| name.starts_with("tidewire_")).collect();
    assert!(names.len() > 30, "{names:?}");
    for name in &names {
        assert!(document.contains(&format!("`{name}`")), "{name} is missing in docs/metrics.md");
    }
    let listed = document.lines().filter_map(|line| line.strip_prefix("| `tidewire_")?.split('`').next());
    for name in listed.map(|rest| format!("tidewire_{rest}")) {
        // Histograms appear with their first value, and what a message bus reports with the cluster. The tests of the adapter
        // for Redis compare those with the document.
        let is_later = name == "tidewire_handler_duration_seconds" || name.starts_with("tidewire_cluster_");
        let is_known = names.contains(&name.as_str()) || is_later;
        assert!(is_known, "docs/metrics.md lists {name}, which does not exist");
    }
}

#[test]
fn without_the_option_there_are_no_metrics() {
    let server = Server::start();
    assert_eq!(request(server.address, "GET", "/metrics", "Connection: close\r\n\r\n").status(), 404);
}
