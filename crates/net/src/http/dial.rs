//! From a host and a port to a byte stream, as a client comes to it: by TCP, through a proxy, with TLS.

mod error;
mod happy_eyeballs;
mod proxy;

pub use error::{DialError, ProxyError};
pub use proxy::{InvalidProxy, Proxy};

use crate::io::Stream;
#[cfg(feature = "tls")]
use crate::tls::ClientTls;
use crate::tls::TlsError;

/// How to come to a byte stream.
#[derive(Debug, Clone, Default)]
pub struct Dialer {
    proxy: Option<Proxy>,
    #[cfg(feature = "tls")]
    tls: Option<ClientTls>,
}

/// Where to go.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// A name, an IPv4 address, or an IPv6 address without brackets.
    pub host: &'a str,
    /// The port.
    pub port: u16,
    /// Whether TLS is spoken there.
    pub secure: bool,
}

impl Dialer {
    /// Directly.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Through a proxy, where it says so.
    pub fn proxy(&mut self, proxy: Proxy) {
        self.proxy = Some(proxy);
    }

    /// Trusts whom this says, instead of whom the system trusts.
    #[cfg(feature = "tls")]
    pub fn tls(&mut self, tls: ClientTls) {
        self.tls = Some(tls);
    }

    /// Connects. Takes as long as the system takes to give up: put a timeout around it.
    ///
    /// Cancel safe: a dropped call leaves nothing behind.
    ///
    /// # Errors
    /// Says who is to blame.
    pub async fn dial(&self, target: Target<'_>) -> Result<Stream, DialError> {
        let stream = match self.proxy.as_ref().and_then(|proxy| proxy.intercept(target)) {
            Some(hop) => self.tunnel(&hop).await?,
            None => Stream::Tcp(happy_eyeballs::connect(target.host, target.port).await?),
        };
        if target.secure { Ok(self.connect_tls(stream, target.host).await?) } else { Ok(stream) }
    }

    /// Speaks TLS on a stream that leads to `host` already.
    ///
    /// # Errors
    /// The other end does not speak TLS, or is not whom its certificate should name.
    pub async fn connect_tls(&self, stream: Stream, host: &str) -> Result<Stream, TlsError> {
        #[cfg(feature = "tls")]
        {
            let tls = self.tls.clone().map_or_else(ClientTls::system, Ok)?;
            tls.connect(stream, host).await
        }
        #[cfg(not(feature = "tls"))]
        {
            let _ = (stream, host);
            Err(TlsError::Unsupported)
        }
    }

    /// To where the proxy leads.
    async fn tunnel(&self, hop: &proxy::ProxyTunnel) -> Result<Stream, DialError> {
        let failed = |error| DialError::Proxy { proxy: hop.to_string(), error };
        let unreachable = |error| failed(ProxyError::Unreachable(Box::new(error)));
        hop.check_scheme().map_err(failed)?;
        let mut stream =
            Stream::Tcp(happy_eyeballs::connect(&hop.host, hop.port).await.map_err(unreachable)?);
        if hop.secure {
            stream = self.connect_tls(stream, &hop.host).await.map_err(|error| unreachable(error.into()))?;
        }
        hop.connect(stream).await.map_err(failed)
    }
}

#[cfg(test)]
mod tests;
