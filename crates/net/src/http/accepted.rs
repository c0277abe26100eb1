//! The beginning of an accepted connection, before HTTP: the header of the PROXY protocol, and the TLS handshake.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;

use crate::address::{AddressPermit, ConnectionLimiter};
use crate::http::limits::HttpLimits;
use crate::http::listener::Shutdown;
use crate::http::peer::PeerAddress;
use crate::http::proxy_protocol::ProxyProtocol;
#[cfg(feature = "tls")]
use crate::http::server_stream::ServerStream;
use crate::http::workers::AcceptedSocket;
use crate::io::{PeerTimeout, Stream};
use crate::log_rate_limit::LogRateLimit;
use crate::metrics::{self, Series};

/// The TLS configuration of a listener. It has no values if the program is built without TLS.
#[cfg(feature = "tls")]
pub(super) type Tls = crate::tls::ServerTls;
#[cfg(not(feature = "tls"))]
#[derive(Debug, Clone)]
pub(super) enum Tls {}

/// An accepted connection, before HTTP.
pub(super) struct Accepted {
    pub(super) socket: AcceptedSocket,
    pub(super) peer: SocketAddr,
    /// The place of the peer among the connections of its address.
    pub(super) permit: Option<AddressPermit>,
    /// The proxies whose connections begin with a header. The limiter has admitted the proxy. It must also admit the client
    /// that the header names.
    pub(super) proxy_protocol: Option<(ProxyProtocol, Arc<ConnectionLimiter>)>,
    pub(super) tls: Option<Tls>,
}

/// A connection on which HTTP may begin.
pub(super) struct Begun {
    pub(super) stream: Stream,
    /// `None` if a proxy has not reported it.
    pub(super) peer: Option<PeerAddress>,
    /// The place of the client, or of a proxy that has not reported one.
    pub(super) permit: Option<AddressPermit>,
}

impl Accepted {
    /// Reads the header of the PROXY protocol and performs the TLS handshake, if they are enabled. Returns `None` if
    /// that fails, takes too long, the client in the header has too many connections, or the listener stops.
    pub(super) async fn begin(self, limits: &HttpLimits, shutdown: &mut Shutdown) -> Option<Begun> {
        let mut stream = match self.socket.register() {
            Ok(stream) => stream,
            Err(error) => {
                metrics::count(Series::AcceptFailed);
                REGISTRATION_FAILURE_LOG.try_log(|suppressed| {
                    tracing::warn!(%error, suppressed, "closed a connection that a worker cannot register");
                });
                return None;
            }
        };
        // Small messages must leave at once; this crate batches them itself. This fails only on a dead socket, and the
        // first read reports that.
        let _ = stream.set_nodelay(true);
        let (mut peer, mut permit) = (Some(PeerAddress(self.peer)), self.permit);
        if let Some((proxy_protocol, limiter)) = &self.proxy_protocol {
            let header = proxy_protocol.accept(&mut stream, self.peer);
            let reported = tokio::select! {
                reported = header => reported?,
                () = PeerTimeout::new(limits.header_read_timeout) => return None,
                () = shutdown.requested() => return None,
            };
            peer = reported.map(PeerAddress);
            if let Some(client) = reported {
                // A refusal has been logged.
                permit = limiter
                    .admit(client.ip())
                    .inspect_err(|_| metrics::count(Series::AddressConnectionLimit))
                    .ok()?;
            }
        }
        let stream = accept_tls(stream, self.peer, self.tls, limits, shutdown).await?;
        Some(Begun { stream, peer, permit })
    }
}

/// If the system has no memory for another socket, every client causes this.
static REGISTRATION_FAILURE_LOG: LogRateLimit = LogRateLimit::new();

/// Port scanners cause many failed handshakes.
#[cfg(feature = "tls")]
static TLS_HANDSHAKE_FAILURE_LOG: LogRateLimit = LogRateLimit::new();

/// Performs the TLS handshake, if there is one, and returns the stream for HTTP. Returns `None` if the handshake fails,
/// takes too long, or the listener stops.
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
            accepted = tls.accept(stream) => accepted,
            () = PeerTimeout::new(limits.header_read_timeout) => return None,
            () = shutdown.requested() => return None,
        };
        let accepted = accepted.map_err(|(error, stream)| {
            metrics::count(Series::TlsFailed);
            TLS_HANDSHAKE_FAILURE_LOG.try_log(|suppressed| {
                tracing::info!(%peer, %error, suppressed, "a TLS handshake failed");
            });
            // The drop closes the stream such that the alert or response sent to the client arrives.
            drop(ServerStream::new(stream, limits.write_timeout));
        });
        return accepted.ok();
    }
    #[cfg(not(feature = "tls"))]
    let _ = (peer, tls, limits, shutdown);
    Some(Stream::Tcp(stream))
}
