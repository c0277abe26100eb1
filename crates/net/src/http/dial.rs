//! Opens a client's byte stream to a host and a port: over TCP, optionally through a proxy and with TLS.

mod custom;
mod error;
mod happy_eyeballs;
mod proxy;

use std::future::Future;
use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

pub use error::{DialError, ProxyError};
pub use proxy::{InvalidProxy, Proxy};

use crate::io::Stream;
#[cfg(feature = "client-tls")]
use crate::tls::ClientTls;
use crate::tls::TlsError;
use custom::CustomDial;

/// Opens byte streams to servers, directly or through a proxy, with or without TLS.
#[derive(Debug, Clone, Default)]
pub struct Dialer {
    proxy: Option<Proxy>,
    /// Replaces TCP and the proxy.
    custom: Option<CustomDial>,
    #[cfg(feature = "client-tls")]
    tls: Option<ClientTls>,
}

/// The server to connect to.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The host: a name, an IPv4 address, or an IPv6 address without brackets.
    pub host: &'a str,
    /// The port.
    pub port: u16,
    /// Whether to use TLS.
    pub secure: bool,
}

impl Dialer {
    /// Creates a dialer that connects directly and trusts the system's root certificates.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Connects through the proxy that `proxy` selects for a target. Connects directly if `proxy` selects none.
    pub fn proxy(&mut self, proxy: Proxy) {
        self.proxy = Some(proxy);
    }

    /// Calls `dial` for each stream, instead of connecting over TCP. A proxy is not used then. If the target uses TLS, the
    /// handshake takes place on the stream.
    pub fn dial_with<F, Fut, S>(&mut self, dial: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self.custom = Some(CustomDial::new(dial));
    }

    /// Uses this TLS configuration instead of [`ClientTls::system`].
    #[cfg(feature = "client-tls")]
    pub fn tls(&mut self, tls: ClientTls) {
        self.tls = Some(tls);
    }

    /// Connects to `target`. This can take as long as the operating system needs to give up, so put a timeout around
    /// it.
    ///
    /// Cancel safe: dropping the future closes every connection that it has opened.
    ///
    /// # Errors
    /// Returns which step failed: name resolution, TCP, the proxy, TLS, or the function of [`dial_with`](Self::dial_with).
    pub async fn dial(&self, target: Target<'_>) -> Result<Stream, DialError> {
        let stream = match &self.custom {
            Some(custom) => custom.dial().await.map_err(DialError::Custom)?,
            None => self.dial_tcp(target).await?,
        };
        if target.secure { Ok(self.connect_tls(stream, target.host).await?) } else { Ok(stream) }
    }

    async fn dial_tcp(&self, target: Target<'_>) -> Result<Stream, DialError> {
        match self.proxy.as_ref().and_then(|proxy| proxy.intercept(target)) {
            Some(hop) => self.tunnel(&hop).await,
            None => Ok(Stream::Tcp(happy_eyeballs::connect(target.host, target.port).await?)),
        }
    }

    /// Performs the TLS handshake on `stream`, which is already connected to `host`.
    ///
    /// # Errors
    /// The server does not speak TLS, or its certificate is not valid for `host`.
    pub async fn connect_tls(&self, stream: Stream, host: &str) -> Result<Stream, TlsError> {
        #[cfg(feature = "client-tls")]
        {
            let tls = self.tls.clone().map_or_else(ClientTls::system, Ok)?;
            tls.connect(stream, host).await
        }
        #[cfg(not(feature = "client-tls"))]
        {
            let _ = (stream, host);
            Err(TlsError::Unsupported)
        }
    }

    /// Connects to the proxy and requests a connection to the target.
    async fn tunnel(&self, tunnel: &proxy::ProxyTunnel) -> Result<Stream, DialError> {
        let failed = |error| DialError::Proxy { proxy: tunnel.to_string(), error };
        let unreachable = |error| failed(ProxyError::Unreachable(Box::new(error)));
        tunnel.check_scheme().map_err(failed)?;
        let mut stream =
            Stream::Tcp(happy_eyeballs::connect(&tunnel.host, tunnel.port).await.map_err(unreachable)?);
        if tunnel.secure {
            stream =
                self.connect_tls(stream, &tunnel.host).await.map_err(|error| unreachable(error.into()))?;
        }
        tunnel.connect(stream).await.map_err(failed)
    }
}

#[cfg(test)]
mod tests;
