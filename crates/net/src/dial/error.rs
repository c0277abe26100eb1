//! Who is to blame for a connection that did not come about.

use std::io;
use std::net::SocketAddr;

use http::StatusCode;

use crate::exchange::ExchangeError;
use crate::tls::TlsError;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name of the host leads nowhere.
    #[error("cannot resolve {host}: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// No address of the host could be connected to. The first that was tried is named.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// There is no way through the proxy.
    #[error("no connection through the proxy {proxy}: {error}")]
    Proxy {
        /// Host and port of the proxy.
        proxy: String,
        /// What is wrong with it.
        #[source]
        error: ProxyError,
    },
    /// TLS failed.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Why a proxy has not connected us.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The proxy itself cannot be reached.
    #[error("{0}")]
    Unreachable(#[source] Box<DialError>),
    /// It is spoken to in another way than CONNECT (RFC 9110 §9.3.6), for instance SOCKS.
    #[error("only http and https proxies are spoken to, not {0}")]
    UnknownScheme(String),
    /// It refused. 407 asks for credentials, or for others.
    #[error("it answered {0}")]
    Refused(StatusCode),
    /// It does not speak HTTP, or broke off.
    #[error("{0}")]
    Http(#[source] ExchangeError),
    /// It sent more than its answer. Nobody at the other end can have spoken yet.
    #[error("it sent bytes behind its answer")]
    UnexpectedBytes,
}
