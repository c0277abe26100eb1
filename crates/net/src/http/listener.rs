//! Accepts connections and serves HTTP on them.

use std::future::{Future, ready};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "http2")]
use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, ToSocketAddrs};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower::{BoxError, Service};

use crate::address::{AddressLimits, ConnectionLimiter, ConnectionSessions, TrustedProxies};
use crate::http::accepted::{Accepted, Begun, Tls};
use crate::http::eager_service::EagerService;
use crate::http::http1_service::Http1Service;
use crate::http::http1_state::Http1State;
#[cfg(feature = "http2")]
use crate::http::http2::{self, Rewind};
use crate::http::limits::HttpLimits;
use crate::http::peer::{PeerAddress, WithPeer};
use crate::http::proxy_protocol::ProxyProtocol;
use crate::http::server_stream::ServerStream;
use crate::http::workers::Workers;
use crate::io::PeerTimer;
#[cfg(feature = "http2")]
use crate::io::Stream;
use crate::log_rate_limit::LogRateLimit;
use crate::metrics::{self, Series};
use crate::task_tracker::{TaskToken, TaskTracker};
use ws_proto::ErrorChain;

/// How long the accept loop pauses after a failed `accept`, so that it does not spin. The usual cause: no free
/// descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The interval between the TCP keepalive probes to a silent peer, and how many may fail before the system closes the
/// connection.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_RETRIES: u32 = 4;

/// A TCP listener that serves HTTP/1.1 with a tower service, and HTTP/2 with the feature `http2`. It supports upgrades and
/// extended CONNECT.
///
/// Over TLS the client selects the version by ALPN. Without TLS a client may start with HTTP/2 directly ("prior
/// knowledge", RFC 9113 §3.3); the server detects that from the first bytes.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    limits: HttpLimits,
    tls: Option<Tls>,
    proxy_protocol: Option<ProxyProtocol>,
    connection_limiter: Arc<ConnectionLimiter>,
    /// The number of worker threads.
    workers: usize,
}

impl Listener {
    /// Binds a listener to the first of `addresses` that can be bound.
    ///
    /// # Errors
    /// Returns the error of the operating system, for instance that the address is in use.
    pub async fn bind(addresses: impl ToSocketAddrs, limits: HttpLimits) -> io::Result<Self> {
        Ok(Self::from_tcp(TcpListener::bind(addresses).await?, limits))
    }

    /// Creates a listener from a TCP listener that is already bound. [`HttpLimits::backlog`] replaces its backlog.
    #[must_use]
    pub fn from_tcp(listener: TcpListener, limits: HttpLimits) -> Self {
        // A second `listen` changes only the backlog. The one of Tokio's listeners is 128.
        let backlog = i32::try_from(limits.backlog).unwrap_or(i32::MAX);
        if let Err(error) = SockRef::from(&listener).listen(backlog) {
            tracing::debug!(%error, "cannot change the backlog");
        }
        if let Some(silence) = limits.tcp_keepalive {
            // Accepted sockets inherit the option, so no connection needs a system call for it.
            let keepalive = TcpKeepalive::new().with_time(silence).with_interval(KEEPALIVE_INTERVAL);
            let keepalive = keepalive.with_retries(KEEPALIVE_RETRIES);
            if let Err(error) = SockRef::from(&listener).set_tcp_keepalive(&keepalive) {
                tracing::debug!(%error, "cannot enable TCP keepalive");
            }
        }
        let connection_limiter = ConnectionLimiter::new(&AddressLimits::default(), TrustedProxies::default());
        let connection_limiter = Arc::new(connection_limiter);
        Self { listener, limits, tls: None, proxy_protocol: None, connection_limiter, workers: 0 }
    }

    /// Serves only TLS. A client that sends an unencrypted HTTP request gets the status 400.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: crate::tls::ServerTls) -> Self {
        #[cfg(feature = "http2")]
        let tls = if self.limits.http2.is_some() { tls } else { tls.without_http2() };
        self.tls = Some(tls);
        self
    }

    /// Sets the limit on the connections of one address, [`AddressLimits::max_http_connections`], and the proxies, which it
    /// does not hold for. With the PROXY protocol it holds for the address in the header.
    /// Default: the limit of `AddressLimits::default()`, and no proxies.
    #[must_use]
    pub fn address_limits(mut self, limits: &AddressLimits, proxies: TrustedProxies) -> Self {
        self.connection_limiter = Arc::new(ConnectionLimiter::new(limits, proxies));
        self
    }

    /// Expects that each connection comes from one of `proxies` and begins with a header of the PROXY protocol, version
    /// 1 or 2, before TLS. The [`PeerAddress`] of its requests is then the address in the header. Other connections are
    /// closed: a client that connects directly could claim any address. The header must arrive in
    /// [`HttpLimits::header_read_timeout`].
    #[cfg(feature = "proxy-protocol")]
    #[must_use]
    pub fn proxy_protocol(mut self, proxies: TrustedProxies) -> Self {
        self.proxy_protocol = Some(ProxyProtocol::new(proxies));
        self
    }

    /// Serves the connections on as many worker threads. Each has a single-threaded runtime, and a connection stays on its
    /// worker: with its requests, with the protocol to which it is upgraded, and with the tasks that these spawn. A new
    /// connection goes to the worker with the fewest tasks. With 0, which is the default, there are no workers: the
    /// connections are served on the runtime on which [`serve`](Self::serve) is called.
    ///
    /// The connections are accepted where [`serve`](Self::serve) is called in any case, so a busy worker delays only its
    /// own. The threads start with `serve`. After its end they run on until none has a task left.
    #[must_use]
    pub fn workers(mut self, count: usize) -> Self {
        self.workers = count;
        self
    }

    /// Returns the local address. If the listener was bound to port 0, the address has the port that the system chose.
    ///
    /// # Errors
    /// Returns the error of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves connections until `stop` is ready. Then it accepts no more connections and waits until the open ones have
    /// finished their current requests, at most for [`HttpLimits::shutdown_timeout`]. It does not wait for WebSockets.
    ///
    /// Not cancel safe: dropping the future stops accepting connections, but the open connections continue, and nothing
    /// waits for them.
    pub async fn serve<S: HttpService>(self, service: S, stop: impl Future<Output = ()>) {
        self.serve_and_drain(service, stop, ready(())).await;
    }

    /// Does the same as [`serve`](Self::serve), but the connections that are open at the `stop` go on taking requests until
    /// `drained` is ready too: the clients of long-polling need them until their sessions are closed. `drained` is polled
    /// only after the `stop`. The time limit includes it.
    pub async fn serve_and_drain<S: HttpService>(
        self,
        service: S,
        stop: impl Future<Output = ()>,
        drained: impl Future<Output = ()>,
    ) {
        metrics::start();
        let address = self.listener.local_addr().ok();
        tracing::info!(address = address.map(tracing::field::display), "accepting connections");
        let mut stop = pin!(stop);
        let (stopping, stopped) = watch::channel(false);
        let connections = TaskTracker::new();
        let (failures, full) = (LogRateLimit::new(), LogRateLimit::new());
        let permits = self.limits.max_connections.clamp(1, Semaphore::MAX_PERMITS);
        let permits = Arc::new(Semaphore::new(permits));
        let workers = Workers::start(self.workers);
        loop {
            let accept = async {
                let permit = match Arc::clone(&permits).try_acquire_owned() {
                    Ok(permit) => Some(permit),
                    Err(_) => {
                        full.try_log(|suppressed| {
                            let max_connections = self.limits.max_connections;
                            tracing::warn!(
                                max_connections,
                                suppressed,
                                "too many connections: new ones wait in the accept queue"
                            );
                        });
                        // `acquire_owned` fails only on a closed semaphore. This one is never closed.
                        Arc::clone(&permits).acquire_owned().await.ok()
                    }
                };
                (permit, self.listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                accepted = accept => accepted,
                () = &mut stop => break,
            };
            match accepted {
                Ok((stream, peer)) => {
                    // A refusal has been logged. The drop closes the connection.
                    let Ok(address) = self.connection_limiter.admit(peer.ip()) else {
                        metrics::count(Series::AddressConnectionLimit);
                        continue;
                    };
                    let (socket, runtime) = match workers.assign(stream) {
                        Ok(assigned) => assigned,
                        Err(error) => {
                            metrics::count(Series::AcceptFailed);
                            tracing::debug!(%error, "cannot pass a connection to a worker");
                            continue;
                        }
                    };
                    let service = WithPeer {
                        service: service.clone(),
                        peer: Some(PeerAddress(peer)),
                        has_proxy_header: self.proxy_protocol.is_some(),
                        is_tls: self.tls.is_some(),
                        sessions: ConnectionSessions::default(),
                    };
                    let (tls, limits) = (self.tls.clone(), self.limits.clone());
                    let proxy_protocol = self.proxy_protocol.clone();
                    let proxy_protocol =
                        proxy_protocol.map(|expected| (expected, Arc::clone(&self.connection_limiter)));
                    let accepted = Accepted { socket, peer, permit: address, proxy_protocol, tls };
                    let shutdown = Shutdown { stopping: stopped.clone(), _token: connections.token() };
                    let connection = serve_connection(accepted, service, limits, shutdown, permit);
                    runtime.spawn(connection);
                }
                Err(error) => {
                    metrics::count(Series::AcceptFailed);
                    failures.try_log(|suppressed| {
                        tracing::warn!(%error, suppressed, "cannot accept a connection");
                    });
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        let open = connections.len();
        tracing::info!(
            address = address.map(tracing::field::display),
            connections = open,
            "stopping: accepting no more connections, and waiting for those that are open"
        );
        drop((self.listener, stopped));
        let finished = async {
            drained.await;
            // An error means that no connection is left to notify.
            let _ = stopping.send(true);
            connections.wait().await;
        };
        let is_finished = tokio::time::timeout(self.limits.shutdown_timeout, finished).await.is_ok();
        let left = if is_finished { 0 } else { connections.len() };
        tracing::info!(address = address.map(tracing::field::display), connections = left, "stopped");
    }
}

/// Tells a connection that its listener shuts down. The listener waits until the connection has dropped this value.
#[derive(Debug)]
pub(crate) struct Shutdown {
    stopping: watch::Receiver<bool>,
    _token: TaskToken,
}

impl Shutdown {
    /// Waits until the listener stops. Cancel safe.
    pub(crate) async fn requested(&mut self) {
        drop(self.stopping.wait_for(|stopping| *stopping).await);
    }
}

#[allow(
    clippy::manual_async_fn,
    reason = "an `async fn` keeps each argument twice, as long as the connection lives"
)]
fn serve_connection<S: HttpService>(
    accepted: Accepted,
    mut service: WithPeer<S>,
    limits: HttpLimits,
    mut shutdown: Shutdown,
    permit: Option<OwnedSemaphorePermit>,
) -> impl Future<Output = ()> + Send {
    async move {
        // Boxed, because this is short. Inline, its memory would be held as long as the connection lives.
        let begun = Box::pin(accepted.begin(&limits, &mut shutdown)).await;
        let Some(Begun { stream, peer, permit: address }) = begun else { return };
        service.peer = peer;
        // Held until the connection ends. An HTTP/1.1 connection ends with an upgrade too; an HTTP/2 connection ends only
        // when it closes.
        let _permits = (permit, address);
        #[cfg(feature = "http2")]
        let (may_be_http2, is_http2) = (matches!(stream, Stream::Tcp(_)), stream.is_http2_negotiated());
        let stream = ServerStream::new(stream, limits.write_timeout);
        #[cfg(feature = "http2")]
        if is_http2 {
            // Also boxed: this future is much larger than the HTTP/1.1 one, and most connections do not need it.
            let stream = Rewind::new(Bytes::new(), stream);
            return Box::pin(serve_http2(stream, service, limits, shutdown)).await;
        }
        let state = Arc::new(Http1State::default());
        let stream = stream.filter_requests(Arc::clone(&state));
        let service = Http1Service { service: EagerService(service), state };
        let mut connection = http1::Builder::new()
            .timer(PeerTimer)
            .header_read_timeout(limits.header_read_timeout)
            .max_buf_size(limits.max_head_size.max(8 * 1024))
            .max_headers(limits.max_headers)
            .title_case_headers(true)
            .serve_connection(stream, service)
            .with_upgrades();
        let ended = tokio::select! {
            result = &mut connection => Some(result),
            () = shutdown.requested() => None,
        };
        let result = match ended {
            Some(result) => result,
            None => {
                Pin::new(&mut connection).graceful_shutdown();
                (&mut connection).await
            }
        };
        let Err(error) = result else { return };
        // Switch to HTTP/2 only if the preface comes first. A preface after a request could be part of a body, if a
        // proxy disagrees with this server about where the request ends (request smuggling).
        #[cfg(feature = "http2")]
        if may_be_http2
            && error.is_parse_version_h2()
            && let Some(parts) = connection.into_parts()
            && !parts.io.has_written()
        {
            let stream = Rewind::new(parts.read_buf, parts.io);
            let EagerService(service) = parts.service.service;
            return Box::pin(serve_http2(stream, service, limits, shutdown)).await;
        }
        tracing::debug!(error = %ErrorChain(&error), "HTTP connection ended");
    }
}

#[cfg(feature = "http2")]
async fn serve_http2<S: HttpService>(
    stream: Rewind,
    service: WithPeer<S>,
    limits: HttpLimits,
    shutdown: Shutdown,
) {
    let Some(http2) = &limits.http2 else { return };
    if let Err(error) = http2::serve(stream, service, &limits, http2, shutdown).await {
        tracing::debug!(error = %ErrorChain(&error), "HTTP/2 connection ended");
    }
}

/// A tower service that a [`Listener`] can serve: each connection has a clone of it. Implemented for every service with
/// these bounds, for instance an axum router.
pub trait HttpService:
    Service<
        http::Request<Incoming>,
        Response = http::Response<Self::ResponseBody>,
        Future: Send + 'static,
        Error: Into<BoxError>,
    > + Clone
    + Send
    + 'static
{
    /// The body of its responses.
    type ResponseBody: Body<Data: Send, Error: Into<BoxError>> + Send + 'static;
}

impl<S, B> HttpService for S
where
    S: Service<http::Request<Incoming>, Response = http::Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type ResponseBody = B;
}

#[cfg(test)]
mod stopped_process;

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response, StatusCode};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::mpsc;
    use tower::service_fn;

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";

    /// Starts a server that upgrades every connection that requests it, and sends the streams to the test.
    async fn serve(limits: HttpLimits) -> (SocketAddr, mpsc::UnboundedReceiver<Stream>) {
        serve_with(limits, |listener| listener).await
    }

    async fn serve_with(
        limits: HttpLimits,
        change: impl FnOnce(Listener) -> Listener,
    ) -> (SocketAddr, mpsc::UnboundedReceiver<Stream>) {
        let (sender, upgraded) = mpsc::unbounded_channel();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let mut response = Response::new(String::new());
            if request.headers().contains_key("upgrade") {
                let (upgrade, sender) = (crate::PendingUpgrade::from_request(&mut request), sender.clone());
                tokio::spawn(
                    async move { sender.send(crate::finish_upgrade(upgrade).await.unwrap().stream) },
                );
                *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            }
            async { Ok::<_, Infallible>(response) }
        });
        let listener = change(Listener::bind("127.0.0.1:0", limits).await.unwrap());
        let address = listener.local_addr().unwrap();
        tokio::spawn(listener.serve(service, std::future::pending()));
        (address, upgraded)
    }

    #[tokio::test]
    async fn connections_over_the_limit_wait_and_upgraded_ones_do_not_count() {
        let (address, mut upgraded) = serve(HttpLimits { max_connections: 2, ..HttpLimits::default() }).await;
        let mut streams = Vec::new();
        for _ in 0..5 {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(REQUEST).await.unwrap();
            streams.push((client, upgraded.recv().await.unwrap()));
        }
        let first = TcpStream::connect(address).await.unwrap();
        let mut second = TcpStream::connect(address).await.unwrap();
        let mut third = TcpStream::connect(address).await.unwrap();
        third.write_all(REQUEST).await.unwrap();
        // Give the server time. It runs on the thread of this test, so each response to the second connection lets all
        // its tasks run.
        for _ in 0..20 {
            second.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
            let mut response = Vec::new();
            while !response.ends_with(b"\r\n\r\n") {
                response.push(second.read_u8().await.unwrap());
            }
        }
        assert!(upgraded.try_recv().is_err());
        drop(first);
        assert_eq!(third.read_u8().await.unwrap(), b'H');
        drop((second, streams));
    }

    #[tokio::test]
    async fn connections_of_one_address_over_the_limit_are_closed_and_upgraded_ones_do_not_count() {
        let limits =
            AddressLimits { max_http_connections: 2, include_private: true, ..AddressLimits::default() };
        let (address, mut upgraded) = serve_with(HttpLimits::default(), |listener| {
            listener.address_limits(&limits, TrustedProxies::default())
        })
        .await;
        let mut streams = Vec::new();
        for _ in 0..5 {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(REQUEST).await.unwrap();
            streams.push((client, upgraded.recv().await.unwrap()));
            // The response comes before the end of the task that served it.
            tokio::task::yield_now().await;
        }
        let first = TcpStream::connect(address).await.unwrap();
        let _second = TcpStream::connect(address).await.unwrap();
        let mut third = TcpStream::connect(address).await.unwrap();
        assert!(matches!(third.read(&mut [0]).await, Ok(0) | Err(_)));
        drop(first);
        // The listener notices the end a moment later.
        loop {
            let mut client = TcpStream::connect(address).await.unwrap();
            // A closed connection may be noticed here or below.
            let _ = client.write_all(REQUEST).await;
            if client.read_u8().await.is_ok() {
                break;
            }
        }
    }

    #[tokio::test]
    async fn with_the_proxy_protocol_the_connections_of_the_reported_address_are_limited() {
        async fn connect(listener: SocketAddr, client: &str) -> (TcpStream, io::Result<u8>) {
            let mut proxy = TcpStream::connect(listener).await.unwrap();
            let request =
                format!("PROXY TCP4 {client} 192.0.2.1 1024 80\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
            // A closed connection may be noticed here or below.
            let _ = proxy.write_all(request.as_bytes()).await;
            let response = proxy.read_u8().await;
            (proxy, response)
        }

        let limits = AddressLimits { max_http_connections: 2, ..AddressLimits::default() };
        let proxies = TrustedProxies::new(["127.0.0.1"]).unwrap();
        let (address, _upgraded) = serve_with(HttpLimits::default(), |listener| {
            listener.proxy_protocol(proxies.clone()).address_limits(&limits, proxies)
        })
        .await;
        let (first, response) = connect(address, "203.0.113.1").await;
        assert_eq!(response.unwrap(), b'H');
        let (_second, response) = connect(address, "203.0.113.1").await;
        assert_eq!(response.unwrap(), b'H');
        assert!(connect(address, "203.0.113.1").await.1.is_err());
        let (_other, response) = connect(address, "203.0.113.2").await;
        assert_eq!(response.unwrap(), b'H');
        drop(first);
        // The listener notices the end a moment later.
        while connect(address, "203.0.113.1").await.1.is_err() {}
    }

    #[tokio::test]
    async fn more_than_a_thousand_clients_connect_at_once_before_the_server_accepts() {
        let (address, limits) = ("127.0.0.1:0", HttpLimits::default());
        let tcp = TcpListener::bind(address).await.unwrap();
        let listener = Listener::bind(address, limits.clone()).await.unwrap();
        for listener in [listener, Listener::from_tcp(tcp, limits)] {
            let address = listener.local_addr().unwrap();
            // If the queue is full, the system tries again after a second.
            let connect = || std::net::TcpStream::connect_timeout(&address, Duration::from_millis(900));
            for _ in 0..1_100 {
                // A client that has gone still has its place in the queue.
                drop(connect().unwrap());
            }
        }
    }

    #[tokio::test]
    async fn accepted_sockets_have_tcp_keepalive() {
        for silence in [Some(Duration::from_secs(70)), None] {
            let limits = HttpLimits { tcp_keepalive: silence, ..HttpLimits::default() };
            let (address, mut upgraded) = serve(limits).await;
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(REQUEST).await.unwrap();
            let Stream::Tcp(stream) = upgraded.recv().await.unwrap() else { panic!("a socket") };
            let socket = SockRef::from(&stream);
            assert_eq!(socket.keepalive().unwrap(), silence.is_some());
            if let Some(silence) = silence {
                assert_eq!(socket.tcp_keepalive_time().unwrap(), silence);
            }
        }
    }
}
