//! Tidewire as programs use it: `ours ADDRESS [RUNTIME] [COMPRESSION|recovery|tls:FOLDER]`. It serves a raw echo on `/ws`, `/broadcast`,
//! whose messages go to all its connections, and Socket.IO.
//!
//! RUNTIME is one of
//! - `default`, or nothing: Tokio's default runtime;
//! - `0`: Tokio's single-threaded runtime;
//! - `fair`, `fair:NAME=NUMBER,…`: the default runtime with the settings that docs/deployment.md recommends, or with others:
//!   `max_io_events_per_tick`, `event_interval`, `global_queue_interval`;
//! - `workers`, `workers:NUMBER`: Tidewire's own workers, one for each core, or so many.
//!
//! COMPRESSION is `deflate` for the defaults, `level6` for smaller messages, or `takeover` for messages that may refer
//! to earlier ones (context takeover). With `recovery` instead, Socket.IO has connection state recovery. With `tls:FOLDER`
//! instead, the server speaks only TLS, with the files `chain.pem` and `key.pem` of the folder.
//!
//! Its allocator is that of the system, or jemalloc with the cargo feature of this name.

use std::num::NonZeroUsize;
use std::path::Path;
use std::thread::available_parallelism;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::any;
use tidewire::server::{ConnectionStateRecovery, Data, Reply, Server, ServerTls, Socket, Value};
use tidewire::ws::{self, DeflateOptions, PreparedMessage, WebSocket};
use tokio::runtime::Builder;
use tokio::sync::broadcast;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> anyhow::Result<()> {
    tidewire_bench::host::raise_descriptor_limit()?;
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let (mut runtime, workers) = runtime(&arguments.next().unwrap_or_else(|| "default".to_owned()))?;
    let word = arguments.next();
    // The workload with messages of 1 MiB needs more than the default of 1 MB.
    let mut server = Server::builder().max_http_buffer_size(2 << 20).workers(workers);
    let mut compression = None;
    match word.as_deref().map(|word| word.split_once(':').unwrap_or((word, ""))) {
        Some(("recovery", _)) => {
            server = server.connection_state_recovery(ConnectionStateRecovery::default());
        }
        Some(("tls", folder)) => {
            let file = |name| Path::new(folder).join(name);
            server = server.tls(ServerTls::from_pem_files(file("chain.pem"), file("key.pem"))?);
        }
        Some((word, _)) => compression = Some(deflate(word)?),
        None => {}
    }
    runtime.enable_all().build()?.block_on(async { serve(&address, compression, server.build()).await })?;
    Ok(())
}

/// Returns the runtime, and the number of Tidewire's workers.
fn runtime(word: &str) -> anyhow::Result<(Builder, usize)> {
    let (kind, settings) = word.split_once(':').unwrap_or((word, ""));
    Ok(match kind {
        "default" => (Builder::new_multi_thread(), 0),
        "0" => (Builder::new_current_thread(), 0),
        "workers" if settings.is_empty() => {
            // The thread of the runtime only accepts connections.
            (Builder::new_current_thread(), available_parallelism().map_or(1, NonZeroUsize::get))
        }
        "workers" => (Builder::new_current_thread(), settings.parse()?),
        "fair" => {
            let mut runtime = Builder::new_multi_thread();
            let settings = if settings.is_empty() { "max_io_events_per_tick=32" } else { settings };
            for setting in settings.split(',') {
                match setting.split_once('=') {
                    Some(("max_io_events_per_tick", number)) => {
                        runtime.max_io_events_per_tick(number.parse()?)
                    }
                    Some(("event_interval", number)) => runtime.event_interval(number.parse()?),
                    Some(("global_queue_interval", number)) => runtime.global_queue_interval(number.parse()?),
                    _ => anyhow::bail!("{setting:?} is no setting of a runtime"),
                };
            }
            (runtime, 0)
        }
        _ => anyhow::bail!("{word:?} is no runtime"),
    })
}

fn deflate(word: &str) -> anyhow::Result<DeflateOptions> {
    let options = DeflateOptions::default();
    Ok(match word {
        "deflate" => options,
        "level6" => DeflateOptions { level: 6, ..options },
        "takeover" => DeflateOptions { own_context_takeover: true, peer_context_takeover: true, ..options },
        _ => anyhow::bail!("{word:?} is no compression"),
    })
}

async fn serve(address: &str, compression: Option<DeflateOptions>, io: Server) -> std::io::Result<()> {
    io.on("echo", async |socket: Socket, Data(text): Data<String>| socket.emit("echo", text));
    io.on("ack", async |Data(text): Data<String>| Reply(text));
    io.on("join", async |socket: Socket| socket.join("room").await);
    io.on("broadcast", async |io: Server, Data(text): Data<String>| io.to("room").emit("broadcast", text));
    io.on("relay", async |socket: Socket, Data(value): Data<Value>| socket.to("nobody").emit("relay", value));
    let (everybody, _) = broadcast::channel(64);
    let accept_echo = async move |request: Request| match upgrade(request, compression) {
        Ok(upgrade) => upgrade.on_upgrade(echo),
        Err(error) => error.response().map(Body::from),
    };
    let accept_member = async move |request: Request| match upgrade(request, compression) {
        Ok(upgrade) => {
            let everybody = everybody.clone();
            upgrade.on_upgrade(move |socket| member(socket, everybody))
        }
        Err(error) => error.response().map(Body::from),
    };
    let router = Router::new()
        .route("/ws", any(accept_echo))
        .route("/broadcast", any(accept_member))
        .layer(io.layer());
    let listener = io.bind(address).await?;
    listener.serve(router, std::future::pending()).await;
    Ok(())
}

fn upgrade(
    mut request: Request,
    compression: Option<DeflateOptions>,
) -> Result<ws::Upgrade, ws::HandshakeError> {
    let upgrade = ws::upgrade(&mut request)?;
    Ok(match compression {
        Some(options) => upgrade.compress(options),
        None => upgrade,
    })
}

async fn echo(mut socket: WebSocket) -> Result<(), ws::SendError> {
    while let Some(message) = socket.recv().await {
        socket.send(message).await?;
    }
    Ok(())
}

async fn member(
    mut socket: WebSocket,
    everybody: broadcast::Sender<PreparedMessage>,
) -> Result<(), ws::SendError> {
    let mut messages = everybody.subscribe();
    loop {
        tokio::select! {
            received = socket.recv() => match received {
                // A send fails only if there is no receiver, and this task has one.
                Some(message) => drop(everybody.send(PreparedMessage::new(message))),
                None => return Ok(()),
            },
            message = messages.recv() => match message {
                Ok(message) => socket.send_prepared(&message).await?,
                // The receiver lags behind or the channel is closed. The client may reconnect.
                Err(_) => return Ok(()),
            },
        }
    }
}
