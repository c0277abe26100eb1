//! Accepts the connections of proxies that report the addresses of their clients.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;

use super::header::{ProxyHeaderError, read_proxy_header};
use crate::address::TrustedProxies;
use crate::log_rate_limit::LogRateLimit;
use crate::metrics::{self, Series};

/// The proxies whose connections begin with a header. It is cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::http) struct ProxyProtocol {
    proxies: Arc<TrustedProxies>,
}

impl ProxyProtocol {
    pub(in crate::http) fn new(proxies: TrustedProxies) -> Self {
        Self { proxies: Arc::new(proxies) }
    }

    /// Reads the header of the PROXY protocol. Returns the address of the client, if the proxy reports one. Returns `None`
    /// if the connection must be closed.
    pub(in crate::http) async fn accept(
        &self,
        stream: &mut TcpStream,
        peer: SocketAddr,
    ) -> Option<Option<SocketAddr>> {
        static LOG: LogRateLimit = LogRateLimit::new();

        if !self.proxies.contains(peer.ip()) {
            metrics::count(Series::UntrustedProxy);
            LOG.try_log(|suppressed| {
                tracing::warn!(%peer, suppressed, "closed a connection: `trusted_proxies` does not contain its address");
            });
            return None;
        }
        match read_proxy_header(stream).await {
            Ok(reported) => Some(reported),
            Err(error @ ProxyHeaderError::Ended) => {
                tracing::debug!(%peer, %error, "closed a connection of a proxy");
                None
            }
            Err(error) => {
                metrics::count(Series::ProxyHeaderRefused);
                LOG.try_log(|suppressed| {
                    tracing::warn!(%peer, %error, suppressed, "closed a connection of a proxy");
                });
                None
            }
        }
    }
}
