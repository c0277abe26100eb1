//! Accepts connections and serves HTTP on them.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::sync::watch;
use tower::Service;

use crate::log_limit::LogLimit;
use crate::patient::Patient;
use crate::stream::Stream;

/// How long a failed `accept` (usually: no descriptors left) keeps the loop from trying again, so that it does not
/// spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The address of the peer of a connection, an extension of every request that a [`Listener`] serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// What a peer may ask of the HTTP server before it is a session.
#[derive(Debug, Clone)]
pub struct HttpLimits {
    /// Time for a whole request head, from the moment that the connection is ready for one; and before the first one,
    /// as long again for the handshake of TLS. Answers connections that send a byte now and then (slow loris) or nothing
    /// at all. Default 10 s.
    pub head_timeout: Duration,
    /// Bytes of a request head. Answers heads without an end. Default 16 KiB; at least 8 KiB.
    pub head_size: usize,
    /// Header fields of a request. Default 100.
    pub headers: usize,
    /// How long an answer may wait for a peer that takes none of it. Answers clients that ask and do not read: their
    /// connection is closed. It does not concern WebSockets. Default 30 s.
    pub write_timeout: Duration,
    /// How long connections may go on after the server was asked to stop. Default 5 s.
    pub stop_timeout: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            head_timeout: Duration::from_secs(10),
            head_size: 16 * 1024,
            headers: 100,
            write_timeout: Duration::from_secs(30),
            stop_timeout: Duration::from_secs(5),
        }
    }
}

/// A TCP listener that serves HTTP/1.1 with a tower service, upgrades included.
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
        Self { listener, limits, tls: None }
    }

    /// Speaks TLS with every client. One that speaks HTTP in the clear is answered 400.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: crate::tls::ServerTls) -> Self {
        self.tls = Some(tls);
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
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut stop = pin!(stop);
        // Each connection holds a receiver: they learn of the stop through it, and the sender of their end.
        let (stopping, stopped) = watch::channel(false);
        let failures = LogLimit::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = &mut stop => break,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let service = WithPeer { service: service.clone(), peer: PeerAddress(peer) };
                    let (tls, limits) = (self.tls.clone(), self.limits.clone());
                    tokio::spawn(serve_connection(stream, tls, service, limits, stopped.clone()));
                }
                Err(error) => {
                    if let Some(suppressed) = failures.pass() {
                        tracing::warn!(%error, suppressed, "cannot accept a connection");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop((self.listener, stopped));
        // An error says that no connection is left to be told.
        let _ = stopping.send(true);
        let _ = tokio::time::timeout(self.limits.stop_timeout, stopping.closed()).await;
    }
}

async fn serve_connection<S, B>(
    stream: TcpStream,
    tls: Option<Tls>,
    service: WithPeer<S>,
    limits: HttpLimits,
    mut stopping: watch::Receiver<bool>,
) where
    S: Service<http::Request<Incoming>, Response = http::Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // Small messages must leave at once; we gather them ourselves. It fails only on a dead socket, which the first
    // read reports.
    let _ = stream.set_nodelay(true);
    // Boxed, because it is short: its memory would be held as long as the connection lives.
    let begun = Box::pin(begin(stream, tls, &limits, &mut stopping));
    let Some(stream) = begun.await else { return };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.head_size.max(8 * 1024))
        .max_headers(limits.headers)
        .serve_connection(Patient::new(stream, limits.write_timeout), TowerToHyperService::new(service))
        .with_upgrades();
    let mut connection = pin!(connection);
    let stop = async { drop(stopping.wait_for(|stopping| *stopping).await) };
    let result = tokio::select! {
        result = &mut connection => result,
        () = stop => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "HTTP connection ended");
    }
}

/// The stream to speak HTTP on, unless the client never comes so far.
async fn begin(
    stream: TcpStream,
    tls: Option<Tls>,
    limits: &HttpLimits,
    stopping: &mut watch::Receiver<bool>,
) -> Option<Stream> {
    #[cfg(feature = "tls")]
    if let Some(tls) = tls {
        let stopped = async { drop(stopping.wait_for(|stopping| *stopping).await) };
        let accepted = tokio::select! {
            accepted = tokio::time::timeout(limits.head_timeout, tls.accept(stream)) => accepted.ok()?,
            () = stopped => return None,
        };
        let accepted = accepted.map_err(|(error, stream)| {
            tracing::debug!(%error, "a TLS handshake failed");
            // What the client was told should arrive.
            drop(Patient::new(stream, limits.write_timeout));
        });
        return accepted.ok();
    }
    #[cfg(not(feature = "tls"))]
    let _ = (tls, limits, stopping);
    Some(Stream::Tcp(stream))
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
