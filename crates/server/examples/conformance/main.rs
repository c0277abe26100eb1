//! The server that the conformance tests use in addition to the binary. It covers features that the binary's
//! application does not use. `conformance/node/reference-server.js` is the same program on the Node packages.

mod cluster;
mod handlers;
mod hooks;

use std::collections::HashMap;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidewire_server::{
    Ack, Auth, ClientFiles, ConnectError, ConnectionError, ConnectionStateRecovery, Cookie, CookiePriority,
    Cors, Data, DeflateOptions, DisconnectReason, FetchedSocket, HandlerError, InvalidCookie,
    MessagePackParser, Namespace, NamespaceRequest, ParentNamespace, RawArguments, Reply, SameSite, Server,
    Socket, State, TrustedProxies,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

/// All disconnected sockets, oldest first.
#[derive(Default)]
struct Disconnects(Mutex<Vec<DisconnectRecord>>);

/// All refused requests, oldest first.
type ConnectionErrors = Arc<Mutex<Vec<Value>>>;

/// The names of all new namespaces, oldest first.
type Created = Arc<Mutex<Vec<String>>>;

#[derive(Clone, Serialize)]
struct DisconnectRecord {
    id: String,
    reason: &'static str,
}

#[derive(Deserialize)]
struct ToRoom {
    room: String,
    /// It may have bytes in it.
    data: tidewire_server::Value,
}

#[derive(Deserialize)]
struct ToExcept {
    except: String,
    data: Value,
}

#[derive(Deserialize)]
struct ToRooms {
    rooms: Vec<String>,
    except: Vec<String>,
}

const YES: HeaderValue = HeaderValue::from_static("yes");

/// A cookie with all attributes.
fn full_cookie() -> Result<Cookie, InvalidCookie> {
    let cookie = Cookie::new("route")?
        .path("/socket.io/")?
        .domain("example.com")?
        .expires(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000))?
        .http_only(false)
        .secure(true)
        .same_site(SameSite::None)
        .max_age(Duration::from_secs(86_400))
        .priority(CookiePriority::High)
        .partitioned(true);
    Ok(cookie)
}

/// CORS headers with every option.
fn full_cors() -> Cors {
    Cors::origin("https://app.example")
        .expect("an origin")
        .methods([Method::GET, Method::POST])
        .allowed_headers([HeaderName::from_static("x-token")])
        .exposed_headers([HeaderName::from_static("x-every"), HeaderName::from_static("x-other")])
        .credentials(true)
        .max_age(Duration::from_secs(600))
}

/// Refuses a session with the query parameter `forbidden`, whose value is the reason.
fn allow_request(request: &Parts) -> Result<(), String> {
    let query = request.uri.query().unwrap_or_default();
    let forbidden = query.split('&').find_map(|parameter| parameter.strip_prefix("forbidden="));
    forbidden.map_or(Ok(()), |reason| Err(reason.to_owned()))
}

/// Returns an error as the event `connection_error` of Node has it.
fn as_in_node(error: &ConnectionError) -> Value {
    let context = match error {
        ConnectionError::UnknownTransport { transport } => json!({ "transport": transport }),
        ConnectionError::UnknownSid { sid } => json!({ "sid": sid }),
        ConnectionError::BadHandshakeMethod { method } => json!({ "method": method.as_str() }),
        ConnectionError::TransportMismatch { transport, previous_transport } => json!({
            "name": "TRANSPORT_MISMATCH",
            "transport": transport.name(),
            "previousTransport": previous_transport.name(),
        }),
        ConnectionError::TransportHandshakeError { .. } => json!({ "name": "TRANSPORT_HANDSHAKE_ERROR" }),
        ConnectionError::Forbidden { message } => json!({ "message": message }),
        ConnectionError::UnsupportedProtocolVersion { protocol } => json!({ "protocol": protocol }),
        _ => json!({}),
    };
    json!({ "code": error.code(), "message": error.message(), "context": context })
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: HashMap<&str, &str> =
        arguments.chunks_exact(2).map(|pair| (pair[0].trim_start_matches("--"), &*pair[1])).collect();
    let number =
        |name, default| arguments.get(name).map_or(default, |value| value.parse().expect("a number"));
    let milliseconds = |name, default| Duration::from_millis(number(name, default));

    if arguments.contains_key("cluster") {
        return cluster::run(&arguments).await;
    }
    let mut builder = Server::builder();
    if arguments.get("parser") == Some(&"messagepack") {
        builder = builder.parser(MessagePackParser);
    }
    builder = match arguments.get("cookie") {
        Some(&"default") => builder.cookie(Cookie::default()),
        Some(_) => builder.cookie(full_cookie().expect("a cookie")),
        None => builder,
    };
    if arguments.contains_key("added-headers") {
        let add = |name| move |headers: &mut HeaderMap, _: &Parts| drop(headers.insert(name, YES));
        builder = builder.on_initial_headers(add("x-initial")).on_headers(add("x-every"));
    }
    if let Some(proxy) = arguments.get("trusted-proxy") {
        builder = builder.trusted_proxies(TrustedProxies::new([proxy]).expect("a network"));
    }
    builder = match arguments.get("cors") {
        Some(&"none") => builder,
        Some(_) => builder.cors(full_cors()),
        None => builder.cors(Cors::any()),
    };
    if let Some(packet) = arguments.get("initial-packet") {
        builder = builder.initial_packet((*packet).to_owned());
    }
    builder = match arguments.get("allow-request") {
        Some(&"async") => builder.allow_request_async(async |request| {
            tokio::time::sleep(Duration::from_millis(1)).await;
            allow_request(&request)
        }),
        Some(_) => builder.allow_request(allow_request),
        None => builder,
    };
    if let Some(directory) = arguments.get("client-files") {
        builder = builder.client_files(ClientFiles::from_dir(directory).expect("the files"));
    }
    if let Some(duration) = arguments.get("connection-state-recovery") {
        builder = builder.connection_state_recovery(ConnectionStateRecovery {
            max_disconnection_duration: Duration::from_millis(duration.parse().expect("a number")),
            skip_middlewares: arguments.get("skip-middlewares") != Some(&"no"),
            ..ConnectionStateRecovery::default()
        });
    }
    let connection_errors = ConnectionErrors::default();
    let refused = Arc::clone(&connection_errors);
    let created = Created::default();
    let io = builder
        .allow_eio3(arguments.contains_key("allow-eio3"))
        .proxy_protocol(arguments.contains_key("proxy-protocol"))
        .add_trailing_slash(arguments.get("add-trailing-slash") != Some(&"no"))
        .on_connection_error(move |error, _| refused.lock().expect("no panic").push(as_in_node(error)))
        .ping_interval(milliseconds("ping-interval", 25_000))
        .ping_timeout(milliseconds("ping-timeout", 20_000))
        .upgrade_timeout(milliseconds("upgrade-timeout", 10_000))
        .connect_timeout(milliseconds("connect-timeout", 45_000))
        .max_http_buffer_size(usize::try_from(number("max-payload", 1_000_000)).expect("a size"))
        .per_message_deflate(arguments.get("per-message-deflate").map(|threshold| DeflateOptions {
            threshold: threshold.parse().expect("a size"),
            ..DeflateOptions::default()
        }))
        .state(Disconnects::default())
        .state(connection_errors)
        .state(Arc::clone(&created))
        .state(Notify::new())
        .state(RecoveryMiddleware::default())
        .build();

    let admin = io.of("/admin");
    admin.middleware(async |Auth(auth): Auth<Value>| {
        if auth["token"] == "secret" {
            return Ok(());
        }
        Err(ConnectError::new("not authorized").data(json!({ "code": 401 })))
    });
    admin.on_connection(async |socket: Socket, Auth(auth): Auth<Value>| socket.emit("welcome", auth));
    register_on_demand(&io, created);
    let recovery = io.of("/recovery");
    for namespace in [&io.of("/"), &io.of("/custom"), &admin, &recovery] {
        register(namespace);
    }
    register_recovery(&recovery);

    register_api(&io.of("/api"));
    hooks::register(&io);
    handlers::register(&io);

    let listener = io.bind(arguments.get("listen").copied().unwrap_or("127.0.0.1:0")).await?;
    // Before the line, after which a test may send a signal.
    let (mut terminated, mut interrupted) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut output = std::io::stdout();
    writeln!(output, "listening on http://{}", listener.local_addr()?)?;
    io.serve(listener, async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
    })
    .await;
    Ok(())
}

/// Registers the namespaces that clients create.
fn register_on_demand(io: &Server, created: Created) {
    io.on_new_namespace(move |namespace| {
        created.lock().expect("no panic").push(namespace.name().to_owned());
    });
    let rooms = io.of_pattern(|name| {
        let number = name.strip_prefix("/room-").unwrap_or_default();
        !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
    });
    let open = io.of_predicate(async |request: NamespaceRequest| {
        let auth: Value = request.auth()?;
        if auth["wait"] == true {
            request.state::<Notify>().expect("it is set").notified().await;
        }
        if auth["fail"] == true {
            return Err(HandlerError::new("no"));
        }
        Ok(request.name().starts_with("/open-") && auth["token"] == "secret")
    });
    for parent in [rooms, open] {
        register_children(&parent);
    }
    let _ = io.of("/room-0");
    io.on("namespaces", async |State(created): State<Created>| {
        Reply(created.lock().expect("no panic").clone())
    });
    io.on("release", async |State(waiting): State<Notify>| waiting.notify_waiters());
}

fn register_children(parent: &ParentNamespace) {
    parent.middleware(
        async |Auth(auth): Auth<Value>| {
            if auth["banned"] == true { Err(ConnectError::new("banned")) } else { Ok(()) }
        },
    );
    parent.on("where", async |namespace: Namespace| Reply(namespace.name().to_owned()));
    parent.on("join", async |socket: Socket, Data(room): Data<String>| {
        socket.join(&room);
    });
    let all = parent.clone();
    parent.on("tell-all", move |Data(data): Data<Value>| {
        let all = all.clone();
        async move { all.emit("told", data) }
    });
    let all = parent.clone();
    parent.on("tell-room", move |Data(to): Data<ToRoom>| {
        let all = all.clone();
        async move { all.to(to.room).emit("told", to.data) }
    });
}

/// Registers what the other namespaces do not use of sockets and namespaces.
fn register_api(namespace: &Namespace) {
    namespace.on_upgrade(|socket| socket.emit("upgraded", socket.transport().name()));
    namespace.on("connection", async |socket: Socket| {
        let handshake = socket.handshake();
        let (secure, xdomain) = (handshake.secure(), handshake.xdomain());
        Reply(json!({ "transport": socket.transport().name(), "secure": secure, "xdomain": xdomain }))
    });
    namespace.on("join", async |socket: Socket, Data((rooms,)): Data<(Vec<String>,)>| {
        socket.join(&rooms);
    });
    namespace.on("to", async |namespace: Namespace, Data(to): Data<ToRooms>| {
        namespace.to(to.rooms).except(to.except).emit("told", ());
    });
    namespace.on("send", async |socket: Socket, RawArguments(data): RawArguments| socket.send(data));
    namespace.on("send to all", async |namespace: Namespace, RawArguments(data): RawArguments| {
        namespace.send(data);
    });
    namespace.on("set data", async |socket: Socket, Data(data): Data<tidewire_server::Value>| {
        socket.set_data(data)
    });
    namespace.on("data", async |socket: Socket| socket.data::<tidewire_server::Value>());
    namespace.on("sockets", async |namespace: Namespace| {
        let ids: Vec<String> = namespace.sockets().iter().map(|socket| socket.id().to_string()).collect();
        Reply((ids,))
    });
    namespace.on(
        "disconnect sockets",
        async |namespace: Namespace, Data((room, close)): Data<(String, bool)>| {
            namespace.in_(room).disconnect_sockets(close);
        },
    );
    namespace.on("watch", async |socket: Socket| {
        socket.on_any(|socket, event| socket.emit("seen", event.name()));
    });
    namespace.on("recovered", async |socket: Socket| Reply(socket.recovered()));
    namespace.on("unwatch", async |socket: Socket| socket.off_any());
}

/// What the middleware of `/recovery` has done, and what it waits for.
#[derive(Default)]
struct RecoveryMiddleware {
    runs: AtomicUsize,
    release: Notify,
}

/// An event to some of the clients.
#[derive(Deserialize)]
struct Tell {
    /// Every client, if it is empty.
    #[serde(default)]
    rooms: Vec<String>,
    #[serde(default)]
    except: Vec<String>,
    #[serde(default)]
    kind: TellKind,
    data: tidewire_server::Value,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum TellKind {
    #[default]
    Plain,
    Volatile,
    /// The clients acknowledge it.
    Ask,
}

/// A change of the rooms of another socket.
#[derive(Deserialize)]
struct Move {
    socket: String,
    join: Option<String>,
    leave: Option<String>,
}

/// Registers what the tests of connection state recovery need in addition.
fn register_recovery(namespace: &Namespace) {
    namespace.middleware(
        async |namespace: Namespace, Auth(auth): Auth<Value>, State(own): State<RecoveryMiddleware>| {
            own.runs.fetch_add(1, Ordering::Relaxed);
            if auth["wait"] == true {
                let released = own.release.notified();
                namespace.emit("waiting", ());
                released.await;
            }
            if auth["banned"] == true { Err(ConnectError::new("banned")) } else { Ok(()) }
        },
    );
    namespace.on("release", async |State(own): State<RecoveryMiddleware>| own.release.notify_waiters());
    namespace.on("middleware-runs", async |State(own): State<RecoveryMiddleware>| {
        Reply(own.runs.load(Ordering::Relaxed))
    });
    namespace.on("tell", async |namespace: Namespace, Data(tell): Data<Tell>| {
        let mut receivers = namespace.except(tell.except);
        if !tell.rooms.is_empty() {
            receivers = receivers.to(tell.rooms);
        }
        match tell.kind {
            TellKind::Plain => receivers.emit("told", tell.data),
            TellKind::Volatile => receivers.volatile().emit("told", tell.data),
            TellKind::Ask => {
                let answers =
                    receivers.timeout(Duration::from_millis(200)).emit_with_ack::<Value>("told", tell.data);
                tokio::spawn(async move { drop(answers.await) });
            }
        }
    });
    namespace.on("move", async |namespace: Namespace, Data(change): Data<Move>| {
        let socket = namespace.in_(change.socket);
        if let Some(room) = change.join {
            socket.sockets_join(room);
        }
        if let Some(room) = change.leave {
            socket.sockets_leave(room);
        }
        // The rooms that it is in now, or null if it is not connected.
        let moved = socket.fetch_sockets().await.unwrap_or_else(|error| error.sockets);
        let rooms =
            moved.first().map(|socket| socket.rooms().iter().map(ToString::to_string).collect::<Vec<_>>());
        Reply((rooms.filter(|rooms| !rooms.is_empty()),))
    });
    namespace.on("set data", async |socket: Socket, Data(data): Data<tidewire_server::Value>| {
        socket.set_data(data)
    });
    namespace.on("data", async |socket: Socket| socket.data::<tidewire_server::Value>());
}

fn register(namespace: &Namespace) {
    namespace.on("address", async |socket: Socket| {
        Reply(socket.handshake().address().map(|address| address.to_string()))
    });
    // Arguments and acknowledgements.
    namespace.on("echo", async |socket: Socket, RawArguments(arguments): RawArguments| {
        socket.emit("echo-back", arguments);
    });
    namespace.on("echo-ack", async |RawArguments(arguments): RawArguments| Reply(arguments));
    namespace.on("ask-me", async |socket: Socket, RawArguments(question): RawArguments| {
        match socket.timeout(Duration::from_millis(200)).emit_with_ack::<()>("question", question).raw().await
        {
            Ok(arguments) => socket.emit("answered", arguments),
            Err(_) => socket.emit("answered", "timeout"),
        }
    });
    namespace.on("ask", async |socket: Socket, RawArguments(question): RawArguments| {
        let answer = socket.emit_with_ack::<()>("question", question).raw().await;
        socket.emit("answered", answer.map_err(|error| HandlerError::new(error.to_string()))?);
        Ok::<_, HandlerError>(())
    });
    namespace.on("numbered", async |socket: Socket, Data(number): Data<u64>| {
        if number % 100 < 10 {
            tokio::time::sleep(Duration::from_millis(number * 7 % 5)).await;
        }
        socket.emit("numbered-back", number);
    });

    namespace.on("recovered", async |socket: Socket| Reply(socket.recovered()));

    // Rooms and the receivers of broadcasts.
    namespace.on("rooms", async |socket: Socket| {
        let rooms: Vec<String> = socket.rooms().iter().map(ToString::to_string).collect();
        Reply(rooms)
    });
    namespace.on("join", async |socket: Socket, Data(room): Data<String>| {
        socket.join(&room);
    });
    namespace.on("leave", async |socket: Socket, Data(room): Data<String>| socket.leave(&room));
    namespace.on("to-room", async |socket: Socket, Data(to): Data<ToRoom>| {
        socket.to(to.room).emit("to-room", to.data);
    });
    namespace.on("in-room", async |namespace: Namespace, Data(to): Data<ToRoom>| {
        namespace.in_(to.room).emit("in-room", to.data);
    });
    namespace.on("all-but", async |namespace: Namespace, Data(all_but): Data<ToExcept>| {
        namespace.except(all_but.except).emit("all-but", all_but.data);
    });
    namespace.on("broadcast", async |socket: Socket, RawArguments(data): RawArguments| {
        socket.broadcast().emit("broadcast", data);
    });
    namespace.on("local-room", async |namespace: Namespace, Data(to): Data<ToRoom>| {
        namespace.local().to(to.room).emit("local-room", to.data);
    });
    namespace.on("volatile", async |socket: Socket, Data(data): Data<Value>| {
        socket.volatile().emit("volatile", data);
    });
    namespace.on("uncompressed", async |socket: Socket, Data(data): Data<Value>| {
        socket.compress(false).emit("uncompressed", data);
    });
    namespace.on("uncompressed-room", async |namespace: Namespace, Data(to): Data<ToRoom>| {
        namespace.to(to.room).compress(false).emit("uncompressed", to.data);
    });
    namespace.on(
        "latest",
        async |namespace: Namespace, Data((count, state)): Data<(u32, tidewire_server::Value)>| {
            for number in 0..count {
                namespace.keep_latest("state").emit("state", (number, &state));
                tokio::task::yield_now().await;
            }
            Reply(())
        },
    );
    namespace.on("ask-room", async |namespace: Namespace, Data(to): Data<ToRoom>| {
        let room = namespace.to(to.room).timeout(Duration::from_millis(200));
        Reply(match room.emit_with_ack::<tidewire_server::Value>("question", to.data).await {
            Ok(answers) => (answers, true),
            Err(incomplete) => (incomplete.responses, false),
        })
    });
    namespace.on("fetch-room", async |namespace: Namespace, Data(room): Data<String>| {
        let sockets = namespace.in_(room).fetch_sockets().await?;
        let state = |socket: &FetchedSocket| {
            let rooms: Vec<_> = socket.rooms().iter().map(ToString::to_string).collect();
            json!([socket.id(), rooms, socket.handshake().query("transport")])
        };
        Ok::<_, HandlerError>((sockets.iter().map(state).collect::<Vec<_>>(),))
    });

    namespace.on("connection-errors", async |State(errors): State<ConnectionErrors>| {
        Reply(errors.lock().expect("no panic").clone())
    });

    // Disconnects. Each socket that disconnects is announced to all that are still connected.
    namespace.on("kick", async |socket: Socket| socket.disconnect());
    namespace.on("kick-all", async |socket: Socket| socket.close_connection());
    namespace.on("disconnects", async |gone: State<Disconnects>, ack: Ack<Vec<DisconnectRecord>>| {
        let departures = gone.0.0.lock().expect("no handler panics").clone();
        ack.send(departures);
    });
    namespace.on_disconnect(
        async |socket: Socket, namespace: Namespace, reason: DisconnectReason, gone: State<Disconnects>| {
            let departure = DisconnectRecord { id: socket.id().to_string(), reason: reason.as_str() };
            gone.0.0.lock().expect("no handler panics").push(departure.clone());
            namespace.emit("gone", departure);
        },
    );
}
