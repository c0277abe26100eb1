//! The Rust client that the tests in `conformance/node` run. It connects to a URL, echoes each message, and prints one
//! line of JSON for the handshake and one for the end of the connection. The second argument sets its options, as JSON.
//! `reference-client.js` does the same with the package `ws`.
#![allow(clippy::print_stdout, reason = "it tells the test how it went")]

use std::process::ExitCode;

use serde_json::{Value, json};
use tidewire_ws::{CloseCause, CloseCode, CloseFrame, ConnectError, Connector, DeflateOptions, WebSocket};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, options] = arguments.as_slice() else {
        eprintln!("usage: client URL OPTIONS, for instance ws://127.0.0.1:9001 '{{}}'");
        return ExitCode::FAILURE;
    };
    let options: Value = match serde_json::from_str(options) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("these options are no JSON: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (mut socket, response) = match connect(url, &options).connect_with_response().await {
        Ok(connected) => connected,
        Err(error) => {
            println!("{}", refusal(&error));
            return ExitCode::SUCCESS;
        }
    };
    let protocol = socket.protocol().unwrap_or_default();
    println!("{}", json!({ "connected": { "protocol": protocol, "headers": headers(response.headers()) } }));
    let closed = converse(&mut socket, &options["close"]).await;
    println!("{}", json!({ "closed": end(closed.as_ref()) }));
    ExitCode::SUCCESS
}

/// Reads the options `{ headers, protocols, deflate }`.
fn connect(url: &str, options: &Value) -> Connector {
    let mut connect = Connector::new(url);
    for (name, value) in options["headers"].as_object().into_iter().flatten() {
        connect = connect.header(name, value.as_str().unwrap_or_default());
    }
    for protocol in options["protocols"].as_array().into_iter().flatten() {
        connect = connect.protocol(protocol.as_str().unwrap_or_default());
    }
    match &options["deflate"] {
        Value::Object(_) => connect.compress(deflate(&options["deflate"])),
        _ => connect,
    }
}

fn deflate(options: &Value) -> DeflateOptions {
    let defaults = DeflateOptions::default();
    let yes = |name: &str| options[name].as_bool().unwrap_or(true);
    let bits = |name: &str| options[name].as_u64().and_then(|bits| u8::try_from(bits).ok()).unwrap_or(15);
    let threshold = options["threshold"].as_u64().and_then(|threshold| usize::try_from(threshold).ok());
    DeflateOptions {
        threshold: threshold.unwrap_or(defaults.threshold),
        own_context_takeover: yes("ownContextTakeover"),
        peer_context_takeover: yes("peerContextTakeover"),
        own_max_window_bits: bits("ownMaxWindowBits"),
        peer_max_window_bits: bits("peerMaxWindowBits"),
        ..defaults
    }
}

/// Echoes messages until the connection ends, or until it receives the text `on` of `{ on, code, reason }`; then it
/// closes with that code and reason.
async fn converse(socket: &mut WebSocket, close: &Value) -> Option<CloseCause> {
    while let Some(message) = socket.recv().await {
        if close["on"].is_string() && message.as_text() == close["on"].as_str() {
            return Some(socket.close(frame(close)).await);
        }
        if socket.send(message).await.is_err() {
            break;
        }
    }
    while socket.recv().await.is_some() {}
    socket.close_cause()
}

fn frame(close: &Value) -> Option<CloseFrame> {
    let code = close["code"].as_u64().and_then(|code| u16::try_from(code).ok())?;
    let reason = close["reason"].as_str().unwrap_or_default();
    CloseCode::new(code).map(|code| CloseFrame::new(code, reason))
}

/// Returns `{ code, reason }`, with the codes that the package `ws` reports.
fn end(closed: Option<&CloseCause>) -> Value {
    match closed {
        Some(CloseCause::ClosingHandshake(Some(frame))) => {
            json!({ "code": u16::from(frame.code), "reason": frame.reason.to_string() })
        }
        Some(CloseCause::ClosingHandshake(None)) => json!({ "code": 1005, "reason": "" }),
        _ => json!({ "code": 1006, "reason": "" }),
    }
}

/// Returns `{ refused: { status, body, headers } }`, or `{ failed }` with this client's error text.
fn refusal(error: &ConnectError) -> Value {
    match error {
        ConnectError::Rejected(response) => json!({ "refused": {
            "status": response.status().as_u16(),
            "body": String::from_utf8_lossy(response.body()),
            "headers": headers(response.headers()),
        } }),
        error => json!({ "failed": error.to_string() }),
    }
}

fn headers(headers: &http::HeaderMap) -> Value {
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), Value::from(String::from_utf8_lossy(value.as_bytes()))))
        .collect()
}
