//! `tidewire serve`: the routes of the server, and its clean shutdown.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use axum::response::Response;
use axum::routing::any;
use tidewire::server::{
    AddressLimits, ClientFiles, Cors, ForwardedHeader, MemoryBudget, Server, TrustedProxies,
};
use tidewire::ws::{AllowedOrigins, DeflateOptions, SendError, WebSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tower::{Layer, ServiceBuilder};

use crate::application;
use crate::args::{self, ServeArgs};
use crate::browser_client;
use crate::certificate::Certificate;
use crate::cluster;
use crate::demo;
#[cfg(feature = "metrics")]
use crate::metrics;
use crate::output;
use crate::web_sockets::{Admission, Refusal, WebSockets};

/// Serves until the process receives SIGTERM or Ctrl-C.
pub(crate) async fn run(args: ServeArgs) -> anyhow::Result<()> {
    let (cors, origins) = match &args.allow_origin[..] {
        [] => (Cors::any(), None),
        listed => {
            let origins = AllowedOrigins::new(listed)?;
            (Cors::from(origins.clone()), Some(origins))
        }
    };
    #[cfg(feature = "metrics")]
    let metrics = match &args.metrics {
        Some(address) => Some(metrics::Endpoint::bind(address).await?),
        None => None,
    };
    // Clap rejects one without the other.
    let certificate = match args.tls_cert.clone().zip(args.tls_key.clone()) {
        Some((chain, key)) => Some(Certificate::load(chain, key)?),
        None => None,
    };
    let (http, websocket) = if certificate.is_some() { ("https", "wss") } else { ("http", "ws") };
    let memory_budget = args.memory_budget.map_or_else(|| MemoryBudget::process().clone(), MemoryBudget::new);
    let proxies = trusted_proxies(&args)?;
    let address_limits = AddressLimits {
        max_sessions: args.max_sessions_per_address,
        include_private: args.limit_private_addresses,
        ..AddressLimits::default()
    };
    let mut builder = Server::builder()
        .cors(cors)
        .allow_eio3(args.allow_eio3)
        .memory_budget(&memory_budget)
        .trusted_proxies(proxies.clone())
        .proxy_protocol(args.proxy_protocol)
        .workers(args.workers.unwrap_or(0))
        .address_limits(address_limits.clone());
    if let Some(origins) = origins.clone() {
        // CORS prevents pages from reading responses, but not from sending requests or opening a WebSocket.
        builder = builder.allow_origins(origins);
    }
    if args.no_http_compression {
        builder = builder.http_compression(None);
    }
    let official = match &args.client_files {
        Some(directory) => ClientFiles::from_dir(directory).context("cannot serve the JavaScript client")?,
        None => ClientFiles::new(),
    };
    builder = builder.client_files(browser_client::added_to(official));
    if let Some(certificate) = &certificate {
        builder = builder.tls(certificate.tls());
    }
    if let Some(url) = &args.cluster {
        builder = cluster::join(builder, url).await?;
    }
    let connections = TaskTracker::new();
    let figures = (!args.no_demo).then(|| demo::Figures::new(connections.clone()));
    if let Some(figures) = &figures {
        // Neither Redis nor PostgreSQL keeps a log of the events for the adapter.
        let can_recover = args.cluster.is_none();
        builder = demo::configure(builder, figures, &address_limits, can_recover);
    }
    let io = application::build(builder);
    let (stopping, stopped) = watch::channel(false);
    let sockets =
        WebSockets::new(stopped, connections.clone(), memory_budget, origins, proxies, address_limits);
    let pages = figures.map_or_else(Router::new, |figures| demo::register(&io, figures, &sockets));
    // Handle the signals before the address is printed: a process that reads the address may stop the server
    // immediately.
    let stop = shutdown_signal()?;
    if let Some(certificate) = certificate {
        certificate.reload_on_hangup()?;
    }
    let listener =
        io.bind(&args.listen).await.with_context(|| format!("cannot listen on {}", args.listen))?;
    let address = listener.local_addr()?;
    #[cfg_attr(not(feature = "metrics"), expect(unused_mut, reason = "the metrics add a line"))]
    let mut greeting = format!(
        "listening on {http}://{address}\n  Socket.IO  {http}://{address}/socket.io/\n  WebSocket  {websocket}://{address}/ws (echoes each message)\n"
    );
    #[cfg(feature = "metrics")]
    if let Some(endpoint) = metrics {
        greeting += &format!("  Metrics    http://{}/metrics\n", endpoint.address()?);
        endpoint.serve();
    }
    // Standard output may be closed already, for instance after `| head -1`, or a full pipe. Neither may stop the server.
    drop(output::in_background(move || drop(io::stdout().write_all(greeting.as_bytes()))));

    let echoes = EchoState { sockets, compress: !args.no_ws_compression };
    let router = Router::new().route("/ws", any(echo)).with_state(echoes).merge(pages);
    // Wrap the router instead of adding a layer to it. A layer of a router sees a request only when the request is
    // first polled, so the engine would miss requests that are cancelled before that.
    let has_pages = !args.no_demo;
    let service = ServiceBuilder::new()
        .map_request(
            move |request: Request<_>| if has_pages { demo::add_limits_to(request) } else { request },
        )
        .service(io.layer().layer(router));
    let mut stopped = stopping.subscribe();
    let stopped = async move { drop(stopped.wait_for(|stopping| *stopping).await) };
    let mut serving = tokio::spawn(async move { io.serve_with(listener, service, stopped).await });
    tokio::select! {
        () = stop => {}
        // The task ends before the stop signal only if it panics.
        served = &mut serving => return served.context("the listener failed"),
    }
    let _ = stopping.send(true);
    let goodbyes = async {
        connections.close();
        let _ = tokio::join!(serving, connections.wait());
    };
    let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, goodbyes).await;
    Ok(())
}

fn trusted_proxies(args: &ServeArgs) -> anyhow::Result<TrustedProxies> {
    let proxies = TrustedProxies::new(&args.trusted_proxy)?;
    Ok(match args.forwarded_header {
        None => proxies,
        Some(args::ForwardedHeader::XForwardedFor) => proxies.header(ForwardedHeader::XForwardedFor),
        Some(args::ForwardedHeader::Forwarded) => proxies.header(ForwardedHeader::Forwarded),
        Some(args::ForwardedHeader::None) => proxies.header(ForwardedHeader::None),
    })
}

/// The maximum time from the signal to the end of the process, no matter what the clients do. Each part of the shutdown
/// also has a limit of its own, which is at least as long.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// The state of the WebSocket echo.
#[derive(Clone)]
struct EchoState {
    sockets: WebSockets,
    compress: bool,
}

/// The WebSocket echo: sends each message back until the server stops.
async fn echo(State(echoes): State<EchoState>, request: Request<Body>) -> Result<Response, Refusal> {
    let (mut upgrade, admission) = echoes.sockets.admit(request)?;
    if echoes.compress {
        upgrade = upgrade.compress(DeflateOptions::default());
    }
    Ok(upgrade.on_upgrade(move |socket| echo_messages(socket, admission)))
}

#[allow(
    clippy::manual_async_fn,
    reason = "an `async fn` stores each argument twice, for the life of the connection"
)]
fn echo_messages(
    mut socket: WebSocket,
    mut admission: Admission,
) -> impl Future<Output = Result<(), SendError>> {
    async move {
        let mut stop = std::pin::pin!(admission.shutdown_begun());
        loop {
            tokio::select! {
                biased;
                message = socket.recv() => match message {
                    Some(message) => socket.send(message).await?,
                    None => return Ok(()),
                },
                frame = &mut stop => {
                    socket.close(frame).await;
                    return Ok(());
                }
            }
        }
    }
}

/// Returns a future that is ready when the process receives SIGTERM or Ctrl-C.
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
