//! Tidewire as programs use it: `ours ADDRESS [WORKERS] [COMPRESSION|recovery]`. It serves a raw echo on `/ws`, `/broadcast`,
//! whose messages go to all its connections, and Socket.IO.
//!
//! Without WORKERS, or with the word `default`, it uses Tokio's default runtime; with 0 the single-threaded runtime.
//! COMPRESSION is `deflate` for the defaults, `level6` for smaller messages, or `takeover` for messages that may refer
//! to earlier ones (context takeover). With `recovery` instead, Socket.IO has connection state recovery.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::any;
use tidewire::server::{ConnectionStateRecovery, Data, Reply, Server, Socket};
use tidewire::ws::{self, DeflateOptions, PreparedMessage, WebSocket};
use tokio::runtime::Builder;
use tokio::sync::broadcast;

fn main() -> anyhow::Result<()> {
    tidewire_bench::host::raise_descriptor_limit()?;
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let workers = arguments.next().filter(|word| word != "default");
    let mut runtime = match workers.map(|workers| workers.parse()).transpose()? {
        Some(0) => Builder::new_current_thread(),
        Some(workers) => {
            let mut runtime = Builder::new_multi_thread();
            runtime.worker_threads(workers);
            runtime
        }
        None => Builder::new_multi_thread(),
    };
    let word = arguments.next();
    let recovers = word.as_deref() == Some("recovery");
    let compression = word.filter(|_| !recovers).map(|word| compression(&word)).transpose()?;
    runtime.enable_all().build()?.block_on(serve(&address, compression, recovers))?;
    Ok(())
}

fn compression(word: &str) -> anyhow::Result<DeflateOptions> {
    let options = DeflateOptions::default();
    Ok(match word {
        "deflate" => options,
        "level6" => DeflateOptions { level: 6, ..options },
        "takeover" => DeflateOptions { own_context_takeover: true, peer_context_takeover: true, ..options },
        _ => anyhow::bail!("{word:?} is no compression"),
    })
}

async fn serve(address: &str, compression: Option<DeflateOptions>, recovers: bool) -> std::io::Result<()> {
    // The workload with messages of 1 MiB needs more than the default of 1 MB.
    let mut builder = Server::builder().max_http_buffer_size(2 << 20);
    if recovers {
        builder = builder.connection_state_recovery(ConnectionStateRecovery::default());
    }
    let io = builder.build();
    io.on("echo", async |socket: Socket, Data(text): Data<String>| socket.emit("echo", text));
    io.on("ack", async |Data(text): Data<String>| Reply(text));
    io.on("join", async |socket: Socket| socket.join("room").await);
    io.on("broadcast", async |io: Server, Data(text): Data<String>| io.to("room").emit("broadcast", text));
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
        Some(options) => upgrade.compress(&options),
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
