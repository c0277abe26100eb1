//! The errors of a client that cannot connect.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;

use http::StatusCode;

use crate::http::exchange::ExchangeError;
use crate::tls::TlsError;
use ws_proto::ErrorChain;

/// Why a [`Dialer`](crate::Dialer) could not connect.
#[derive(Debug)]
#[non_exhaustive]
pub enum DialError {
    /// The host name could not be resolved.
    Resolve {
        /// The host name.
        host: String,
        /// The error of the resolver.
        error: io::Error,
    },
    /// No address of the host accepted a connection. The error is that of the first address tried.
    Connect {
        /// The address.
        address: SocketAddr,
        /// The error of the operating system.
        error: io::Error,
    },
    /// The proxy could not be used.
    Proxy {
        /// The host and port of the proxy.
        proxy: String,
        /// The reason.
        error: ProxyError,
    },
    /// The function of [`Dialer::dial_with`](crate::Dialer::dial_with) failed.
    Custom(io::Error),
    /// The TLS handshake failed, or TLS is not configured correctly.
    Tls(TlsError),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve { host, error } => write!(f, "cannot resolve {host}: {}", ErrorChain(error)),
            Self::Connect { address, error } => {
                write!(f, "cannot connect to {address}: {}", ErrorChain(error))
            }
            Self::Proxy { proxy, error } => write!(f, "no connection through the proxy {proxy}: {error}"),
            Self::Custom(error) => write!(f, "cannot open a stream to the server: {}", ErrorChain(error)),
            Self::Tls(error) => error.fmt(f),
        }
    }
}

impl Error for DialError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Tls(error) => error.source(),
            _ => None,
        }
    }
}

impl From<TlsError> for DialError {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}

/// Why a proxy did not connect to the target.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProxyError {
    /// The proxy itself cannot be reached.
    Unreachable(Box<DialError>),
    /// The proxy URL has a scheme that is not supported, for instance SOCKS. Only CONNECT (RFC 9110 §9.3.6) is
    /// supported.
    UnknownScheme(String),
    /// The proxy refused the request. With status 407 it requires credentials, or rejected the credentials that were
    /// sent.
    Rejected(StatusCode),
    /// The proxy does not speak HTTP, or closed the connection before its response was complete.
    Http(ExchangeError),
    /// The proxy sent bytes after its response. They cannot come from the target: in TLS and in HTTP the client speaks
    /// first.
    UnexpectedBytes,
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => error.fmt(f),
            Self::UnknownScheme(scheme) => {
                write!(f, "the proxy scheme {scheme} is not supported, use http or https")
            }
            Self::Rejected(status) => write!(f, "the proxy responded with {status}"),
            Self::Http(error) => error.fmt(f),
            Self::UnexpectedBytes => f.write_str("the proxy sent bytes after its response"),
        }
    }
}

impl Error for ProxyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unreachable(error) => error.source(),
            Self::Http(error) => error.source(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_all_its_causes_and_each_of_them_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] io::Error);

        let io = || io::Error::other(Outer(io::Error::other("inner")));
        let proxy = |error| DialError::Proxy { proxy: "proxy:80".to_owned(), error };
        for (error, shown) in [
            (
                DialError::Resolve { host: "nowhere".to_owned(), error: io() },
                "cannot resolve nowhere: outer: inner",
            ),
            (
                DialError::Connect { address: ([127, 0, 0, 1], 80).into(), error: io() },
                "cannot connect to 127.0.0.1:80: outer: inner",
            ),
            (DialError::Custom(io()), "cannot open a stream to the server: outer: inner"),
            (
                DialError::Tls(TlsError::SystemRoots(io().into())),
                "the system's root certificates cannot be loaded: outer: inner",
            ),
            (DialError::Tls(TlsError::Handshake(io())), "the TLS handshake failed: outer: inner"),
            (
                proxy(ProxyError::Unreachable(Box::new(DialError::Resolve {
                    host: "proxy".to_owned(),
                    error: io(),
                }))),
                "no connection through the proxy proxy:80: cannot resolve proxy: outer: inner",
            ),
        ] {
            assert_eq!(error.to_string(), shown);
            assert_eq!(ErrorChain(&error).to_string(), shown, "a printed chain repeats nothing");
        }
    }
}
