//! `tidewire serve`: what is served where, and the clean stop.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::response::{Html, Response};
use axum::routing::{any, get};
use tidewire::server::{Cors, Server, ServerTls};
use tidewire::ws::{
    AllowedOrigins, CloseCode, CloseFrame, DeflateOptions, SendError, Upgrade, UpgradeRejection, WebSocket,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tower::Layer;

use crate::application;
use crate::args::ServeArgs;

/// Serves until the process is told to stop.
pub(crate) async fn run(arguments: ServeArgs) -> anyhow::Result<()> {
    let (cors, origins) = match &arguments.allow_origin[..] {
        [] => (Cors::any(), None),
        listed => (Cors::origins(listed), Some(AllowedOrigins::new(listed)?)),
    };
    let tls = load_tls(&arguments.tls_cert, &arguments.tls_key)?;
    let (http, websocket) = if tls.is_some() { ("https", "wss") } else { ("http", "ws") };
    let mut builder = Server::builder().cors(cors);
    if let Some(origins) = origins.clone() {
        // CORS keeps pages from reading answers, but not from opening a WebSocket.
        builder = builder.allow_request(move |request| {
            if origins.allows(&request.headers) {
                Ok(())
            } else {
                Err("pages of this origin may not connect".to_owned())
            }
        });
    }
    if let Some(tls) = tls {
        builder = builder.tls(tls);
    }
    let io = application::build(builder);
    // Taken before the address is printed: whoever has read it may stop us.
    let stop = shutdown_signal()?;
    let listener =
        io.bind(&arguments.listen).await.with_context(|| format!("cannot listen on {}", arguments.listen))?;
    let address = listener.local_addr()?;
    let greeting = format!(
        "listening on {http}://{address}\n  Socket.IO  {http}://{address}/socket.io/\n  WebSocket  {websocket}://{address}/ws (echoes each message)\n"
    );
    // Whoever has started us may not care, or may have gone after the first line (`| head -1`): that ends no server.
    let _ = io::stdout().write_all(greeting.as_bytes());

    let (stopping, stopped) = watch::channel(false);
    let connections = TaskTracker::new();
    let echoes = EchoState {
        shutdown: stopped,
        connections: connections.clone(),
        compress: !arguments.no_ws_compression,
        origins: origins.map(Arc::new),
    };
    let host = format!("localhost:{}", address.port());
    let page = INDEX_HTML
        .replace("http://localhost:3000", &format!("{http}://{host}"))
        .replace("ws://localhost:3000", &format!("{websocket}://{host}"));
    let router =
        Router::new().route("/", get(async || Html(page))).route("/ws", any(echo)).with_state(echoes);
    // Around the router and not in it, whose layers hear of a request when it is first polled: of one that is given up at
    // once, the engine would not hear.
    let service = io.layer().layer(router);
    let mut told = stopping.subscribe();
    let told = async move { drop(told.wait_for(|stopping| *stopping).await) };
    let mut serving = tokio::spawn(listener.serve(service, told));
    tokio::select! {
        () = stop => {}
        // Before it is told to, it does not end by itself.
        served = &mut serving => return served.context("the listener has failed"),
    }
    let _ = stopping.send(true);
    let goodbyes = async {
        let _ = tokio::join!(serving, io.close());
        connections.close();
        connections.wait().await;
    };
    let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, goodbyes).await;
    Ok(())
}

/// The certificate and the key, if they are named: one alone clap does not let through.
fn load_tls(certificate: &Option<PathBuf>, key: &Option<PathBuf>) -> anyhow::Result<Option<ServerTls>> {
    let (Some(certificate), Some(key)) = (certificate, key) else { return Ok(None) };
    let tls = ServerTls::from_pem_files(certificate, key).with_context(|| {
        format!("cannot use the certificate {} with the key {}", certificate.display(), key.display())
    })?;
    Ok(Some(tls))
}

/// From the signal to the end, whatever the clients do. Each part of the stop has a limit that is no shorter.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// What the raw WebSocket has to know.
#[derive(Clone)]
struct EchoState {
    shutdown: watch::Receiver<bool>,
    /// Each connection has a token of it, from the handshake until it has said goodbye.
    connections: TaskTracker,
    compress: bool,
    /// `None`: all.
    origins: Option<Arc<AllowedOrigins>>,
}

/// The raw WebSocket: sends back what it gets, until the server stops.
async fn echo(State(echoes): State<EchoState>, mut upgrade: Upgrade) -> Result<Response, UpgradeRejection> {
    if let Some(origins) = &echoes.origins {
        upgrade = upgrade.allow_origins(origins)?;
    }
    if echoes.compress {
        upgrade = upgrade.compress(&DeflateOptions::default());
    }
    let token = echoes.connections.token();
    Ok(upgrade.on_upgrade(move |socket| echo_messages(socket, echoes.shutdown.clone(), token)))
}

#[allow(
    clippy::manual_async_fn,
    reason = "an `async fn` keeps each argument twice, as long as the connection lives"
)]
fn echo_messages(
    mut socket: WebSocket,
    mut stopped: watch::Receiver<bool>,
    token: TaskTrackerToken,
) -> impl Future<Output = Result<(), SendError>> {
    async move {
        // It is kept until the end.
        let _ = &token;
        let mut stop = std::pin::pin!(async { drop(stopped.wait_for(|stopped| *stopped).await) });
        loop {
            tokio::select! {
                biased;
                message = socket.recv() => match message {
                    Some(message) => socket.send(message).await?,
                    None => return Ok(()),
                },
                () = &mut stop => {
                    socket.close(CloseFrame::new(CloseCode::GOING_AWAY, "server shutting down")).await;
                    return Ok(());
                }
            }
        }
    }
}

/// Ready when the process gets SIGTERM or Ctrl-C.
fn shutdown_signal() -> io::Result<impl Future<Output = ()>> {
    let (mut terminated, mut interrupted) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
    })
}

const INDEX_HTML: &str = include_str!("page.html");
