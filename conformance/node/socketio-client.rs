//! The Rust client of Socket.IO that the tests in `conformance/node` run. `reference-socketio-client.js` is the same
//! program on the npm package `socket.io-client`, and has the description.
#![allow(clippy::print_stdout, reason = "it tells the test how it went")]

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tidewire_client::{
    Ack, Arguments, Builder, Client, ConnectError, DisconnectReason, EventName, MessagePackParser,
    RawArguments, Socket, SocketBuilder, Transport, Value,
};
use tokio::io::{AsyncBufReadExt, BufReader};

/// Passes a slice of values as arguments. Their number is part of the type of the arguments.
macro_rules! with_arguments {
    ($values:expr, |$arguments:ident| $call:expr) => {
        match $values {
            [] => {
                let $arguments = ();
                $call
            }
            [a] => {
                let $arguments = (a,);
                $call
            }
            [a, b] => {
                let $arguments = (a, b);
                $call
            }
            [a, b, c] => {
                let $arguments = (a, b, c);
                $call
            }
            _ => panic!("a step has at most three arguments"),
        }
    };
}

/// Registers the handlers, which both builders have.
macro_rules! with_handlers {
    ($builder:expr) => {
        $builder
            .on_connect(on_connect)
            .on_connect_error(on_connect_error)
            .on_disconnect(on_disconnect)
            .on_fallback(on_event)
    };
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, options] = arguments.as_slice() else {
        eprintln!("usage: socketio-client URL OPTIONS, for instance http://127.0.0.1:3000 '{{}}'");
        return ExitCode::FAILURE;
    };
    let options: Json = match serde_json::from_str(options) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("these options are no JSON: {error}");
            return ExitCode::FAILURE;
        }
    };
    let socket = builder(url, &options).connect();
    let client = socket.client();
    let mut sockets = HashMap::from([(socket.namespace().to_owned(), socket)]);
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let step: Json = serde_json::from_str(&line).expect("a step is JSON");
        let namespace = step["nsp"].as_str().unwrap_or("/").to_owned();
        let socket = sockets
            .entry(namespace)
            .or_insert_with_key(|namespace| other_socket(&client, namespace, &options));
        if !run(&step, socket) {
            break;
        }
    }
    client.close().await;
    ExitCode::SUCCESS
}

/// Runs a step. Returns `false` for the last one.
fn run(step: &Json, socket: &Socket) -> bool {
    if let Some((event, values)) = event(&step["emit"]) {
        match step["volatile"].as_bool() {
            Some(true) => with_arguments!(&values[..], |arguments| socket.volatile().emit(event, arguments)),
            _ => with_arguments!(&values[..], |arguments| socket.emit(event, arguments)),
        }
    } else if let Some((event, values)) = event(&step["ask"]) {
        let asked = match step["timeout"].as_u64().map(Duration::from_millis) {
            Some(timeout) => {
                let emitter = socket.timeout(timeout);
                with_arguments!(&values[..], |arguments| emitter.emit_with_ack::<()>(event, arguments))
            }
            None => with_arguments!(&values[..], |arguments| socket.emit_with_ack::<()>(event, arguments)),
        };
        let namespace = socket.namespace().to_owned();
        tokio::spawn(async move {
            say(
                &namespace,
                match asked.raw().await {
                    Ok(answer) => json!({ "answer": to_json_list(&answer) }),
                    Err(error) => json!({ "ackError": error.to_string() }),
                },
            );
        });
    } else if step["connect"] == true {
        socket.connect();
    } else if step["disconnect"] == true {
        socket.disconnect();
    } else {
        return false;
    }
    true
}

fn builder(url: &str, options: &Json) -> Builder {
    let mut builder = with_handlers!(Client::builder(url))
        .on_reconnect_attempt(|attempt| say("", json!({ "reconnect_attempt": attempt })))
        .on_reconnect(|attempt| say("", json!({ "reconnect": attempt })))
        .on_reconnect_error(|_| say("", json!({ "reconnect_error": true })))
        .on_reconnect_failed(|| say("", json!({ "reconnect_failed": true })));
    let flag = |name: &str| options[name].as_bool();
    let number = |name: &str| options[name].as_u64();
    let millis = |name: &str| number(name).map(Duration::from_millis);
    if options["auth"].is_object() {
        builder = builder.auth(&options["auth"]);
    }
    if let Some(transports) = options["transports"].as_array() {
        let names = transports.iter().filter_map(Json::as_str);
        builder = builder.transports(names.filter_map(Transport::from_name).collect::<Vec<_>>());
    }
    if options["parser"] == "messagepack" {
        builder = builder.parser(MessagePackParser);
    }
    if let Some(auto_connect) = flag("autoConnect") {
        builder = builder.auto_connect(auto_connect);
    }
    if let Some(reconnection) = flag("reconnection") {
        builder = builder.reconnection(reconnection);
    }
    if let Some(with_credentials) = flag("withCredentials") {
        builder = builder.with_credentials(with_credentials);
    }
    if let Some(attempts) = number("reconnectionAttempts") {
        builder = builder.reconnection_attempts(attempts as u32);
    }
    if let Some(delay) = millis("reconnectionDelay") {
        builder = builder.reconnection_delay(delay);
    }
    if let Some(delay) = millis("reconnectionDelayMax") {
        builder = builder.reconnection_delay_max(delay);
    }
    if let Some(timeout) = millis("timeout") {
        builder = builder.timeout(timeout);
    }
    if let Some(retries) = number("retries") {
        builder = builder.retries(retries as u32);
    }
    if let Some(timeout) = millis("ackTimeout") {
        builder = builder.ack_timeout(timeout);
    }
    for (name, value) in options["query"].as_object().into_iter().flatten() {
        builder = builder.query(name, value.as_str().unwrap_or_default());
    }
    for (name, value) in options["extraHeaders"].as_object().into_iter().flatten() {
        builder = builder.extra_header(name, value.as_str().unwrap_or_default());
    }
    builder
}

/// Returns the socket of another namespace. Its credentials are in the option `auths`.
fn other_socket(client: &Client, namespace: &str, options: &Json) -> Socket {
    let builder: SocketBuilder = with_handlers!(client.namespace(namespace));
    match &options["auths"][namespace] {
        Json::Null => builder.create(),
        auth => builder.auth(auth).create(),
    }
}

async fn on_connect(socket: Socket) {
    say(socket.namespace(), json!({ "connect": { "id": socket.id(), "recovered": socket.is_recovered() } }));
}

async fn on_connect_error(socket: Socket, error: ConnectError) {
    let data = match &error {
        ConnectError::Rejected { data: Some(data), .. } => {
            serde_json::from_str(data.as_str()).unwrap_or_default()
        }
        _ => Json::Null,
    };
    say(socket.namespace(), json!({ "connect_error": error.to_string(), "data": data }));
}

async fn on_disconnect(socket: Socket, reason: DisconnectReason) {
    say(socket.namespace(), json!({ "disconnect": reason.as_str() }));
}

async fn on_event(
    socket: Socket,
    EventName(name): EventName,
    RawArguments(arguments): RawArguments,
    ack: Ack,
) {
    let mut event = vec![Json::from(name)];
    event.extend(to_json_list(&arguments));
    say(socket.namespace(), json!({ "event": event, "ack": ack.is_requested() }));
    ack.cast::<Arguments<'static>>().send(arguments);
}

fn say(namespace: &str, mut line: Json) {
    if !namespace.is_empty() {
        line["nsp"] = namespace.into();
    }
    println!("{line}");
}

/// Reads `[event, …arguments]`.
fn event(step: &Json) -> Option<(String, Vec<Value>)> {
    let (name, values) = step.as_array()?.split_first()?;
    Some((name.as_str()?.to_owned(), values.iter().map(to_value).collect()))
}

fn to_json_list(arguments: &Arguments<'_>) -> Vec<Json> {
    let values: Vec<Value> = arguments.deserialize_all().expect("any value");
    values.iter().map(to_json).collect()
}

/// `{ "$bytes": "00ff" }` stands for bytes.
fn to_value(json: &Json) -> Value {
    match json {
        Json::Array(list) => Value::Array(list.iter().map(to_value).collect()),
        Json::Object(object) => match object.get("$bytes").and_then(Json::as_str) {
            Some(hex) => {
                let digits =
                    (0..hex.len() / 2).map(|index| u8::from_str_radix(&hex[2 * index..2 * index + 2], 16));
                Value::from(bytes::Bytes::from_iter(digits.map(|byte| byte.expect("two digits"))))
            }
            None => Value::Object(object.iter().map(|(key, value)| (key, to_value(value))).collect()),
        },
        plain => serde_json::from_value(plain.clone()).expect("any value"),
    }
}

fn to_json(value: &Value) -> Json {
    match value {
        Value::Bytes(bytes) => {
            json!({ "$bytes": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() })
        }
        Value::Array(list) => list.iter().map(to_json).collect(),
        Value::Object(object) => object.iter().map(|(key, value)| (key.to_owned(), to_json(value))).collect(),
        plain => serde_json::to_value(plain).expect("JSON"),
    }
}
