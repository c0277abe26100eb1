//! The settings of a [`Listener`], as the builders of the servers collect them.

use std::io;

use tokio::net::{TcpListener, ToSocketAddrs};

use crate::address::{AddressLimits, TrustedProxies};
use crate::http::limits::HttpLimits;
use crate::http::listener::Listener;

/// The settings of a server's own [`Listener`].
#[derive(Debug, Clone, Default)]
pub struct ListenerSettings {
    /// The limits of its HTTP connections, and the time that a graceful shutdown may take.
    pub http: HttpLimits,
    /// How many connections may wait until the server accepts them. `None` means [`HttpLimits::backlog`]. Default `None`.
    pub backlog: Option<u32>,
    /// Whether each connection begins with a header of the PROXY protocol, see [`Listener::proxy_protocol`]. Default
    /// false.
    #[cfg(feature = "proxy-protocol")]
    pub proxy_protocol: bool,
    /// The number of worker threads, see [`Listener::workers`]. Default 0: no workers.
    pub workers: usize,
    /// The certificate. `None` means no TLS. Default `None`.
    #[cfg(feature = "tls")]
    pub tls: Option<crate::tls::ServerTls>,
}

impl ListenerSettings {
    /// Binds a listener to the first of `addresses` that can be bound. `limits` and `proxies` are those of the server:
    /// `proxies` are not limited, and only they may connect if there is a PROXY protocol.
    ///
    /// # Errors
    /// Returns the error of the operating system, for instance that the address is in use.
    pub async fn bind(
        &self,
        addresses: impl ToSocketAddrs,
        limits: &AddressLimits,
        proxies: &TrustedProxies,
    ) -> io::Result<Listener> {
        Ok(self.listener(TcpListener::bind(addresses).await?, limits, proxies))
    }

    /// Does the same as [`bind`](Self::bind) with a TCP listener that is already bound. The backlog of these settings
    /// replaces its own.
    #[must_use]
    pub fn listener(
        &self,
        listener: TcpListener,
        limits: &AddressLimits,
        proxies: &TrustedProxies,
    ) -> Listener {
        let mut http = self.http.clone();
        http.backlog = self.backlog.unwrap_or(http.backlog);
        let mut listener = Listener::from_tcp(listener, http).address_limits(limits, proxies.clone());
        listener = listener.workers(self.workers);
        #[cfg(feature = "proxy-protocol")]
        if self.proxy_protocol {
            listener = listener.proxy_protocol(proxies.clone());
        }
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            listener = listener.tls(tls.clone());
        }
        listener
    }
}
