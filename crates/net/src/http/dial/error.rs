//! Who is to blame for a connection that did not come about.

use std::io;
use std::net::SocketAddr;

use http::StatusCode;

use crate::http::exchange::ExchangeError;
use crate::tls::TlsError;
use ws_proto::ErrorChain;

/// Why there is no stream to a server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The name of the host leads nowhere.
    #[error("cannot resolve {host}: {}", ErrorChain(error))]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver says.
        error: io::Error,
    },
    /// No address of the host could be connected to. The first that was tried is named.
    #[error("cannot connect to {address}: {}", ErrorChain(error))]
    Connect {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// There is no way through the proxy.
    #[error("no connection through the proxy {proxy}: {error}")]
    Proxy {
        /// Host and port of the proxy.
        proxy: String,
        /// What is wrong with it.
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
    #[error(transparent)]
    Unreachable(Box<DialError>),
    /// It is spoken to in another way than CONNECT (RFC 9110 §9.3.6), for instance SOCKS.
    #[error("only http and https proxies are spoken to, not {0}")]
    UnknownScheme(String),
    /// It refused. 407 asks for credentials, or for others.
    #[error("it answered {0}")]
    Refused(StatusCode),
    /// It does not speak HTTP, or broke off.
    #[error(transparent)]
    Http(ExchangeError),
    /// It sent more than its answer. Nobody at the other end can have spoken yet.
    #[error("it sent bytes behind its answer")]
    UnexpectedBytes,
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
            (
                DialError::Tls(TlsError::SystemRoots(io().into())),
                "the system's trusted certificates cannot be loaded: outer: inner",
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
            assert_eq!(ErrorChain(&error).to_string(), shown, "a chain that is printed says nothing twice");
        }
    }
}
