//! Accepts connections and serves HTTP on them.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tower::{BoxError, Service};

use crate::http::eager_service::EagerService;
use crate::http::http2::{self, Http2Limits, Rewind};
use crate::http::server_stream::ServerStream;
use crate::io::Stream;
use crate::log_rate_limit::LogRateLimit;
use ws_proto::ErrorChain;

/// How long a failed `accept` (usually: no descriptors left) keeps the loop from trying again, so that it does not
/// spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How often the system asks after a silent peer, and how many times before it gives the connection up.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_RETRIES: u32 = 4;

/// The address of the peer of a connection, an extension of every request that a [`Listener`] serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// What a peer may ask of the HTTP server before it is a session.
#[derive(Debug, Clone)]
pub struct HttpLimits {
    /// Time for a whole request head, from the moment that the connection is ready for one; and before the first one,
    /// as long again for the handshake of TLS. Answers connections that send a byte now and then (slow loris) or nothing
    /// at all. A connection of HTTP/2 is ready for a request as long as there is none, and no WebSocket. Default 10 s.
    pub header_read_timeout: Duration,
    /// Bytes of a request head. Answers heads without an end. Default 16 KiB; at least 8 KiB.
    pub max_head_size: usize,
    /// Header fields of a request. Default 100.
    pub max_headers: usize,
    /// How long an answer, or the end of the connection, may wait for a peer that takes none of it. Answers clients that ask
    /// and do not read: their connection is closed; over HTTP/2 the stream of the answer, and the connection if it takes
    /// nothing at all. It does not concern WebSockets. Default 30 s.
    pub write_timeout: Duration,
    /// Connections at the same time that are no WebSocket, or not yet. Answers connections that are opened in masses: a
    /// further one waits in the queue of the system until one of them ends, or is upgraded, and the log says so. A client
    /// that polls takes one, and another one for each POST. One of HTTP/2 counts until it ends, whatever is opened on it,
    /// as it can always ask for more: where more clients than that have their WebSockets over HTTP/2, this has to be
    /// more. Default 100,000.
    pub max_connections: usize,
    /// Silence after which the system asks whether the peer's machine is still there, four times in a minute. Answers
    /// peers that vanish while nothing else is asked of them. It holds for WebSockets as well. `None`: it never asks.
    /// Default 60 s.
    pub tcp_keepalive: Option<Duration>,
    /// How long connections may go on after the server was asked to stop. Default 5 s.
    pub shutdown_timeout: Duration,
    /// What a connection of HTTP/2 may ask for beside that. `None`: HTTP/1.1 is all that is spoken.
    pub http2: Option<Http2Limits>,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            header_read_timeout: Duration::from_secs(10),
            max_head_size: 16 * 1024,
            max_headers: 100,
            write_timeout: Duration::from_secs(30),
            max_connections: 100_000,
            tcp_keepalive: Some(Duration::from_secs(60)),
            shutdown_timeout: Duration::from_secs(5),
            http2: Some(Http2Limits::default()),
        }
    }
}

/// A TCP listener that serves HTTP/1.1 and HTTP/2 with a tower service, upgrades and extended CONNECTs included.
///
/// Over TLS the client chooses by ALPN. In the clear it speaks HTTP/2 by prior knowledge (RFC 9113 §3.3); nothing is read
/// twice to find that out.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    limits: HttpLimits,
    tls: Option<Tls>,
}

/// With which each connection begins, if there is such a thing in this program.
#[cfg(feature = "tls")]
type Tls = crate::tls::ServerTls;
#[cfg(not(feature = "tls"))]
#[derive(Debug, Clone)]
enum Tls {}

impl Listener {
    /// Binds the first of `addresses` that can be bound.
    ///
    /// # Errors
    /// What the operating system says, for instance that the address is in use.
    pub async fn bind(addresses: impl ToSocketAddrs, limits: HttpLimits) -> io::Result<Self> {
        Ok(Self::from_tcp(TcpListener::bind(addresses).await?, limits))
    }

    /// Serves on a listener that is bound already.
    #[must_use]
    pub fn from_tcp(listener: TcpListener, limits: HttpLimits) -> Self {
        if let Some(silence) = limits.tcp_keepalive {
            // What is accepted inherits it, so it costs a connection nothing.
            let asking = TcpKeepalive::new().with_time(silence).with_interval(KEEPALIVE_INTERVAL);
            let asking = asking.with_retries(KEEPALIVE_RETRIES);
            if let Err(error) = SockRef::from(&listener).set_tcp_keepalive(&asking) {
                tracing::debug!(%error, "the system does not ask after silent peers");
            }
        }
        Self { listener, limits, tls: None }
    }

    /// Speaks TLS with every client. One that speaks HTTP in the clear is answered 400.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: crate::tls::ServerTls) -> Self {
        self.tls = Some(if self.limits.http2.is_some() { tls } else { tls.without_http2() });
        self
    }

    /// The address that is served; it tells the port where port 0 was asked for.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` is ready; then takes no more connections and lets those that are open finish the request
    /// they are at. Not cancel safe: dropping the future leaves the open connections to themselves.
    pub async fn serve<S, B>(self, service: S, stop: impl Future<Output = ()>)
    where
        S: Service<http::Request<Incoming>, Response = http::Response<B>> + Clone + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let mut stop = pin!(stop);
        let (stopping, stopped) = watch::channel(false);
        let connections = TaskTracker::new();
        let (failures, full) = (LogRateLimit::new(), LogRateLimit::new());
        let places = self.limits.max_connections.clamp(1, Semaphore::MAX_PERMITS);
        let places = Arc::new(Semaphore::new(places));
        loop {
            let accept = async {
                let place = match Arc::clone(&places).try_acquire_owned() {
                    Ok(place) => Some(place),
                    Err(_) => {
                        full.try_log(|suppressed| {
                            let max_connections = self.limits.max_connections;
                            tracing::warn!(
                                max_connections,
                                suppressed,
                                "too many connections: further ones wait"
                            );
                        });
                        // It fails for a semaphore that is closed, which this one never is.
                        Arc::clone(&places).acquire_owned().await.ok()
                    }
                };
                (place, self.listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                accepted = accept => accepted,
                () = &mut stop => break,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let service = WithPeer { service: service.clone(), peer: PeerAddress(peer) };
                    let (tls, limits) = (self.tls.clone(), self.limits.clone());
                    let shutdown = Shutdown { stopping: stopped.clone(), _token: connections.token() };
                    let connection = serve_connection(stream, tls, service, limits, shutdown, place);
                    tokio::spawn(connection);
                }
                Err(error) => {
                    failures.try_log(|suppressed| {
                        tracing::warn!(%error, suppressed, "cannot accept a connection");
                    });
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop((self.listener, stopped));
        // An error says that no connection is left to be told.
        let _ = stopping.send(true);
        connections.close();
        let _ = tokio::time::timeout(self.limits.shutdown_timeout, connections.wait()).await;
    }
}

/// What a connection holds of the listener that serves it: it is told that the listener stops, and the listener then waits
/// until this is dropped.
#[derive(Debug)]
pub(crate) struct Shutdown {
    stopping: watch::Receiver<bool>,
    _token: TaskTrackerToken,
}

impl Shutdown {
    /// Ready when the listener stops. Cancel safe.
    pub(crate) async fn requested(&mut self) {
        drop(self.stopping.wait_for(|stopping| *stopping).await);
    }
}

#[allow(
    clippy::manual_async_fn,
    reason = "an `async fn` keeps each argument twice, as long as the connection lives"
)]
fn serve_connection<S: HttpService>(
    stream: TcpStream,
    tls: Option<Tls>,
    service: WithPeer<S>,
    limits: HttpLimits,
    mut shutdown: Shutdown,
    // Until the end: that of HTTP/1.1 is the upgrade as well, that of HTTP/2 is none but the connection's.
    place: Option<OwnedSemaphorePermit>,
) -> impl Future<Output = ()> + Send {
    async move {
        // It is kept until the end.
        let _ = &place;
        // Small messages must leave at once; we gather them ourselves. It fails only on a dead socket, which the first
        // read reports.
        let _ = stream.set_nodelay(true);
        // Boxed, because it is short: its memory would be held as long as the connection lives.
        let begun = Box::pin(accept_tls(stream, service.peer.0, tls, &limits, &mut shutdown));
        let Some(stream) = begun.await else { return };
        let (may_be_http2, is_http2) = (matches!(stream, Stream::Tcp(_)), stream.is_http2_negotiated());
        let stream = ServerStream::new(stream, limits.write_timeout);
        if is_http2 {
            // Boxed as well: it is larger by far, and most connections are not of its kind.
            let stream = Rewind::new(Bytes::new(), stream);
            return Box::pin(serve_http2(stream, service, limits, shutdown)).await;
        }
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_read_timeout)
            .max_buf_size(limits.max_head_size.max(8 * 1024))
            .max_headers(limits.max_headers)
            .serve_connection(stream, EagerService(service))
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
        // Only as the first thing that is said: behind a request it would be somebody else's idea of where that ends.
        if may_be_http2
            && error.is_parse_version_h2()
            && let Some(parts) = connection.into_parts()
            && !parts.io.has_written()
        {
            let (stream, EagerService(service)) = (Rewind::new(parts.read_buf, parts.io), parts.service);
            return Box::pin(serve_http2(stream, service, limits, shutdown)).await;
        }
        tracing::debug!(error = %ErrorChain(&error), "HTTP connection ended");
    }
}

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

/// Strangers who find the port cause many.
#[cfg(feature = "tls")]
static TLS_HANDSHAKE_FAILURE_LOG: LogRateLimit = LogRateLimit::new();

/// The stream to speak HTTP on, unless the client never comes so far.
async fn accept_tls(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Tls>,
    limits: &HttpLimits,
    shutdown: &mut Shutdown,
) -> Option<Stream> {
    #[cfg(feature = "tls")]
    if let Some(tls) = tls {
        let accepted = tokio::select! {
            accepted = tokio::time::timeout(limits.header_read_timeout, tls.accept(stream)) => accepted.ok()?,
            () = shutdown.requested() => return None,
        };
        let accepted = accepted.map_err(|(error, stream)| {
            TLS_HANDSHAKE_FAILURE_LOG.try_log(|suppressed| {
                tracing::info!(%peer, %error, suppressed, "a TLS handshake failed");
            });
            // What the client was told should arrive.
            drop(ServerStream::new(stream, limits.write_timeout));
        });
        return accepted.ok();
    }
    #[cfg(not(feature = "tls"))]
    let _ = (peer, tls, limits, shutdown);
    Some(Stream::Tcp(stream))
}

/// What [`Listener::serve`] asks of a service, in one name.
pub(crate) trait HttpService:
    Service<
        http::Request<Incoming>,
        Response = http::Response<Self::ResponseBody>,
        Future: Send + 'static,
        Error: Into<BoxError>,
    > + Clone
    + Send
    + 'static
{
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

/// Gives each request the address of its peer.
#[derive(Debug, Clone)]
struct WithPeer<S> {
    service: S,
    peer: PeerAddress,
}

impl<S: Service<http::Request<Incoming>>> Service<http::Request<Incoming>> for WithPeer<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.peer);
        self.service.call(request)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response, StatusCode};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::mpsc;
    use tower::service_fn;

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";

    /// Upgrades every connection that asks for it, and gives the stream to the test.
    async fn serve(limits: HttpLimits) -> (SocketAddr, mpsc::UnboundedReceiver<Stream>) {
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
        let listener = Listener::bind("127.0.0.1:0", limits).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(listener.serve(service, std::future::pending()));
        (address, upgraded)
    }

    #[tokio::test]
    async fn a_connection_too_many_waits_until_one_ends_and_upgraded_ones_do_not_count() {
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
        // Time enough for whoever has a place: all of it runs on the thread of this test, which answers the second one.
        for _ in 0..20 {
            second.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\n") {
                answer.push(second.read_u8().await.unwrap());
            }
        }
        assert!(upgraded.try_recv().is_err());
        drop(first);
        assert_eq!(third.read_u8().await.unwrap(), b'H');
        drop((second, streams));
    }

    #[tokio::test]
    async fn the_system_asks_after_silent_peers() {
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
