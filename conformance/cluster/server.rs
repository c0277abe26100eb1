//! A server of a cluster, for the tests in this folder. `node-server.js` is the same program on Node's packages, and describes the
//! commands.
#![allow(clippy::print_stdout, reason = "the tests read standard output")]

mod link;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use link::Reporter;
use serde::Deserialize;
use serde_json::json;
use tidewire::server::{
    Auth, Broadcast, Builder, FetchedSocket, HandlerError, IncompleteAcks, Limits, Namespace, Server, Socket,
    State, Value,
};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::signal::unix::{SignalKind, signal};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let options: HashMap<&str, &str> =
        arguments.chunks_exact(2).map(|pair| (pair[0].trim_start_matches("--"), &*pair[1])).collect();
    let cluster_timeout = milliseconds(&options, "requests-timeout");
    let limits = Limits { cluster_timeout, ..Limits::default() };
    let link = Reporter::default();
    let builder = adapter(Server::builder(), &options)?.limits(limits);
    let io = builder.observer(link.clone()).state(link.clone()).build();
    let heard = Heard::default();
    for namespace in ["/", "/chat"] {
        register(&io.of(namespace), &heard);
    }
    link.register(&io);
    let listener = io.bind(options.get("listen").unwrap_or(&"127.0.0.1:0")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    tokio::spawn(obey(io.clone(), heard));
    let mut terminated = signal(SignalKind::terminate())?;
    io.serve(listener, async move {
        terminated.recv().await;
    })
    .await;
    // The runtime would wait for the next line of standard input.
    std::process::exit(0)
}

fn milliseconds(options: &HashMap<&str, &str>, name: &str) -> Duration {
    Duration::from_millis(options[name].parse().expect("a number"))
}

/// How long the database may take to answer.
fn link_timeout(options: &HashMap<&str, &str>) -> Option<Duration> {
    options.contains_key("link-timeout").then(|| milliseconds(options, "link-timeout"))
}

/// Sets the adapter of the format that the options name.
fn adapter(builder: Builder, options: &HashMap<&str, &str>) -> Result<Builder, Failure> {
    let url = options["url"];
    match options["engine"] {
        "postgres" => {
            let mut adapter = tidewire::postgres::PostgresAdapter::builder(url)
                .heartbeat_interval(milliseconds(options, "heartbeat-interval"))
                .heartbeat_timeout(milliseconds(options, "heartbeat-timeout"));
            if let Some(limit) = link_timeout(options) {
                adapter = adapter.response_timeout(limit);
            }
            Ok(builder.adapter(adapter.build()?))
        }
        "redis" | "redis-sharded" => {
            let mut adapter = tidewire::redis::RedisAdapter::builder(url);
            if options["engine"] == "redis-sharded" {
                adapter = adapter.sharded(tidewire::redis::SubscriptionMode::Dynamic);
            }
            if let Some(limit) = link_timeout(options) {
                adapter = adapter.response_timeout(limit).connect_timeout(limit).ping_interval(limit / 2);
            }
            Ok(builder.adapter(adapter.build()?))
        }
        engine => Err(format!("there is no format {engine:?}").into()),
    }
}

/// What other servers have told this one.
type Heard = Arc<Mutex<Vec<serde_json::Value>>>;

#[derive(Deserialize)]
struct Client {
    name: String,
    #[serde(default)]
    rooms: Vec<String>,
}

fn register(namespace: &Namespace, heard: &Heard) {
    namespace.on_connection(
        async |socket: Socket, Auth(client): Auth<Client>, State(link): State<Reporter>| {
            socket.set_data(json!({ "name": client.name }))?;
            socket.join(client.rooms).await?;
            link.welcome(&socket);
            Ok::<_, HandlerError>(())
        },
    );
    let (heard, name) = (Arc::clone(heard), namespace.name().to_owned());
    namespace.on_server_side_emit("tell", move |value: Value| {
        let told = json!({ "namespace": name, "value": pack(&value) });
        heard.lock().unwrap_or_else(PoisonError::into_inner).push(told);
        std::future::ready(())
    });
    namespace.on_server_side_emit("consult", async |value: Value| {
        tidewire::Reply(json!({ "value": pack(&value), "by": "tidewire" }))
    });
    // Never responds.
    namespace.on_server_side_emit("ignore", async |_: Value| std::future::pending::<()>().await);
}

/// A command.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Command {
    id: u64,
    operation: String,
    #[serde(default = "main_namespace")]
    namespace: String,
    #[serde(default)]
    to: Vec<String>,
    #[serde(default)]
    except: Vec<String>,
    #[serde(default)]
    rooms: Vec<String>,
    #[serde(default)]
    flags: Flags,
    #[serde(default)]
    event: String,
    #[serde(default)]
    args: Vec<serde_json::Value>,
    #[serde(default)]
    value: serde_json::Value,
    #[serde(default)]
    timeout: u64,
    #[serde(default)]
    count: usize,
    #[serde(default)]
    close: bool,
}

#[derive(Default, Deserialize)]
struct Flags {
    #[serde(default)]
    volatile: bool,
    #[serde(default)]
    local: bool,
    compress: Option<bool>,
}

fn main_namespace() -> String {
    "/".to_owned()
}

/// Executes the commands of standard input.
async fn obey(io: Server, heard: Heard) {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let command: Command = serde_json::from_str(&line).expect("a command");
        let (io, heard, id) = (io.clone(), Arc::clone(&heard), command.id);
        // What does not wait has an effect in the order of the commands.
        if let Some(done) = at_once(&io, &command) {
            println!("{}", answer(id, done));
            continue;
        }
        tokio::spawn(async move { println!("{}", answer(id, execute(&io, &heard, &command).await)) });
    }
}

fn answer(id: u64, result: Result<serde_json::Value, Failure>) -> serde_json::Value {
    match result {
        Ok(value) => json!({ "id": id, "value": value }),
        Err(error) => json!({ "id": id, "error": error.to_string() }),
    }
}

fn at_once(io: &Server, command: &Command) -> Option<Result<serde_json::Value, Failure>> {
    let selected = || selected(&io.of(&command.namespace), command);
    match &*command.operation {
        "emit" => match &*command.args {
            [] => selected().emit(&command.event, ()),
            [one] => selected().emit(&command.event, (unpack(one),)),
            [one, two] => selected().emit(&command.event, (unpack(one), unpack(two))),
            _ => return Some(Err("too many arguments".into())),
        },
        "flood" => {
            let argument = command.args.first().map(unpack).unwrap_or_default();
            for _ in 0..command.count {
                selected().emit(&command.event, (&argument,));
            }
        }
        "join" => selected().sockets_join(&command.rooms),
        "leave" => selected().sockets_leave(&command.rooms),
        "disconnect" => selected().disconnect_sockets(command.close),
        "tell" => io.of(&command.namespace).server_side_emit(&command.event, (unpack(&command.value),)),
        _ => return None,
    }
    Some(Ok(serde_json::Value::Null))
}

async fn execute(io: &Server, heard: &Heard, command: &Command) -> Result<serde_json::Value, Failure> {
    let namespace = io.of(&command.namespace);
    match &*command.operation {
        "ask" => {
            let arguments: Vec<_> = command.args.iter().map(unpack).collect();
            let selected = selected(&namespace, command).timeout(Duration::from_millis(command.timeout));
            let acks = match arguments.into_iter().next() {
                None => selected.emit_with_ack(&command.event, ()),
                Some(argument) => selected.emit_with_ack(&command.event, (argument,)),
            };
            Ok(collected(acks.await))
        }
        "consult" => {
            let acks = namespace.server_side_emit_with_ack(&command.event, (unpack(&command.value),));
            Ok(collected(acks.await))
        }
        "fetch" => {
            let sockets = selected(&namespace, command).fetch_sockets().await?;
            sockets.iter().map(state).collect::<Result<_, _>>()
        }
        "heard" => Ok(heard.lock().unwrap_or_else(PoisonError::into_inner).clone().into()),
        "servers" => Ok(json!(namespace.server_count())),
        operation => Err(format!("unknown operation {operation:?}").into()),
    }
}

fn selected(namespace: &Namespace, command: &Command) -> Broadcast {
    let mut selected = namespace.broadcast();
    if !command.to.is_empty() {
        selected = selected.to(&command.to);
    }
    if !command.except.is_empty() {
        selected = selected.except(&command.except);
    }
    if command.flags.volatile {
        selected = selected.volatile();
    }
    if command.flags.local {
        selected = selected.local();
    }
    match command.flags.compress {
        Some(compress) => selected.compress(compress),
        None => selected,
    }
}

fn collected(acks: Result<Vec<Value>, IncompleteAcks<Value>>) -> serde_json::Value {
    let (answers, complete) = match acks {
        Ok(answers) => (answers, true),
        Err(incomplete) => (incomplete.responses, false),
    };
    json!({ "answers": answers.iter().map(pack).collect::<Vec<_>>(), "complete": complete })
}

fn state(socket: &FetchedSocket) -> Result<serde_json::Value, Failure> {
    let rooms: Vec<_> = socket.rooms().iter().map(ToString::to_string).collect();
    let handshake = socket.handshake();
    Ok(json!({
        "id": socket.id(),
        "rooms": rooms,
        "data": socket.data::<serde_json::Value>()?,
        "handshake": {
            "auth": socket.auth::<serde_json::Value>()?,
            "query": { "from": handshake.query("from") },
            "headers": { "host": handshake.header("host") },
            "address": handshake.address().map(|address| address.to_string()),
        },
    }))
}

/// Returns a copy for JSON: bytes become `{ "$bytes": "00ff" }`.
fn pack(value: &Value) -> serde_json::Value {
    match value {
        Value::Bytes(bytes) => {
            json!({ "$bytes": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() })
        }
        Value::Array(values) => values.iter().map(pack).collect(),
        Value::Object(object) => object.iter().map(|(key, value)| (key.to_owned(), pack(value))).collect(),
        other => serde_json::to_value(other).unwrap_or_default(),
    }
}

/// Returns the value that `pack` has packed.
fn unpack(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Object(object) => match object.get("$bytes").and_then(|hex| hex.as_str()) {
            Some(hex) => {
                let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("two digits");
                Value::Bytes((0..hex.len()).step_by(2).map(byte).collect())
            }
            None => {
                let mut unpacked = tidewire::server::Object::default();
                for (key, value) in object {
                    unpacked.insert(key, unpack(value));
                }
                Value::Object(unpacked)
            }
        },
        serde_json::Value::Array(values) => Value::Array(values.iter().map(unpack).collect()),
        other => serde_json::from_value(other.clone()).expect("a value"),
    }
}
