//! The errors of connecting, and whether a later attempt may succeed.

use std::error::Error;
use std::fmt;
use std::io;

use bytes::Bytes;
use http::header::{LOCATION, RETRY_AFTER};
use http::{Response, StatusCode};
use net::{DialError, ErrorChain, ExchangeError, ProxyError, TlsError};
use ws_proto::{ClientHandshakeError, HandshakeResponseError, UriError};

/// Why a client could not connect.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is not a valid WebSocket URL.
    Url(UriError),
    /// A header or a subprotocol cannot be used in the request.
    Request(ClientHandshakeError),
    /// A name or a value that was passed to [`Connector::header`](crate::Connector::header) is not valid. Contains the
    /// name.
    InvalidHeader(String),
    /// The operating system returned no random bytes, which the handshake key requires.
    NoRandomness(io::Error),
    /// No stream to the server could be opened: the host name does not resolve, all its addresses fail, the proxy
    /// rejects the tunnel, or TLS fails.
    Dial(DialError),
    /// The server sent no response, or not an HTTP/1.1 response. A common cause is `ws` instead of `wss`, on a port
    /// that expects TLS.
    NoResponse(ExchangeError),
    /// The server responded with a status other than 101, for example 401, 404, or 302 with a `Location`. The body
    /// contains the bytes that arrived within a second, at most 16 KiB.
    Rejected(Box<Response<Bytes>>),
    /// The server accepted the handshake with an invalid response (RFC 6455 §4.1).
    Handshake(HandshakeResponseError),
    /// Connecting took longer than [`Connector::timeout`](crate::Connector::timeout).
    TimedOut,
    /// A hook of the program failed, see [`Reconnection`](crate::Reconnection).
    Hook(Box<dyn Error + Send + Sync>),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(error) => error.fmt(f),
            Self::Request(error) => error.fmt(f),
            Self::InvalidHeader(name) => {
                write!(f, "{name:?} is not a valid header name, or its value is not a valid header value")
            }
            Self::NoRandomness(error) => {
                write!(f, "the operating system returned no random bytes: {}", ErrorChain(error))
            }
            Self::Dial(error) => error.fmt(f),
            Self::NoResponse(error) => write!(f, "no response to the handshake: {error}"),
            Self::Rejected(response) => write!(f, "the server responded with {}", ResponseSummary(response)),
            Self::Handshake(error) => error.fmt(f),
            Self::TimedOut => f.write_str("connecting timed out"),
            Self::Hook(error) => error.fmt(f),
        }
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Url(error) => error.source(),
            Self::Request(error) => error.source(),
            Self::Dial(error) => error.source(),
            Self::Handshake(error) => error.source(),
            Self::Hook(error) => error.source(),
            _ => None,
        }
    }
}

impl From<UriError> for ConnectError {
    fn from(error: UriError) -> Self {
        Self::Url(error)
    }
}

impl From<ClientHandshakeError> for ConnectError {
    fn from(error: ClientHandshakeError) -> Self {
        Self::Request(error)
    }
}

impl From<DialError> for ConnectError {
    fn from(error: DialError) -> Self {
        Self::Dial(error)
    }
}

impl From<HandshakeResponseError> for ConnectError {
    fn from(error: HandshakeResponseError) -> Self {
        Self::Handshake(error)
    }
}

impl ConnectError {
    /// Returns the HTTP status if the server rejected the handshake with one.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Rejected(response) => Some(response.status()),
            _ => None,
        }
    }

    /// Returns `true` if the same attempt may succeed later.
    ///
    /// Returns `false` in these cases:
    ///
    /// - The server or the proxy responded with a client error: HTTP 4xx, except 408, 421, 425 and 429.
    /// - The URL, a header, a subprotocol or the scheme of the proxy is not valid.
    /// - The URL has the scheme `wss`, and the feature `tls` is off.
    /// - The host of a TLS connection is not a valid DNS name or IP address, so no certificate can match it.
    ///
    /// Returns `true` for all other errors, because their cause may be temporary: servers restart, DNS records appear,
    /// clocks are corrected.
    ///
    /// All other TLS failures return `true` too, even if the certificate is from an unknown authority or for another
    /// name. Such a failure is usually permanent, but not always: a gateway presents its own certificate until it has
    /// received the certificate of the server, and a captive portal presents its own certificate until the user has
    /// logged in. A client that reconnects by itself should survive both. Retrying discloses nothing: each attempt
    /// verifies the certificate before it sends the request and its headers. If a certificate error is final for your
    /// program, return `false` for it in [`should_reconnect`](crate::Reconnection::should_reconnect):
    ///
    /// ```
    /// use tidewire_ws::{ConnectError, DialError, ConnectionFailure, Reconnection, TlsError};
    ///
    /// let reconnection = Reconnection::new().should_reconnect(|lost| match lost {
    ///     ConnectionFailure::ConnectFailed(error) => match **error {
    ///         ConnectError::Dial(DialError::Tls(TlsError::Certificate { .. })) => false,
    ///         ref error => error.is_transient(),
    ///     },
    ///     lost => lost.is_transient(),
    /// });
    /// ```
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Url(_) | Self::Request(_) | Self::InvalidHeader(_) => false,
            Self::Dial(DialError::Tls(TlsError::Unsupported | TlsError::InvalidName(_))) => false,
            Self::Dial(DialError::Proxy { error: ProxyError::UnknownScheme(_), .. }) => false,
            Self::Dial(DialError::Proxy { error: ProxyError::Rejected(status), .. }) => {
                is_transient_status(*status)
            }
            Self::Rejected(response) => is_transient_status(response.status()),
            _ => true,
        }
    }
}

/// Returns whether the same request may get a different status later (RFC 9110 §15.5).
fn is_transient_status(status: StatusCode) -> bool {
    const PASSING: [StatusCode; 4] = [
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::MISDIRECTED_REQUEST,
        StatusCode::TOO_EARLY,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    !status.is_client_error() || PASSING.contains(&status)
}

/// Prints the status, `Location` and `Retry-After` if present, and the first line of the body.
struct ResponseSummary<'a>(&'a Response<Bytes>);

impl fmt::Display for ResponseSummary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// The maximum number of characters of each header value and of the body.
        const WORDS: usize = 200;
        self.0.status().fmt(f)?;
        let first_words = |bytes| -> String {
            let text = String::from_utf8_lossy(bytes);
            text.lines().next().unwrap_or_default().chars().take(WORDS).collect()
        };
        // Quoted and escaped, because an untrusted server sent it and it may go to a log.
        for (name, title) in [(LOCATION, "Location"), (RETRY_AFTER, "Retry-After")] {
            if let Some(value) = self.0.headers().get(name) {
                write!(f, ", {title} {:?}", first_words(value.as_bytes()))?;
            }
        }
        let words = first_words(self.0.body());
        if words.is_empty() { Ok(()) } else { write!(f, ": {words:?}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn io() -> io::Error {
        io::ErrorKind::ConnectionReset.into()
    }

    #[test]
    fn an_error_prints_each_of_its_causes_once() {
        let dial = |error: DialError| ConnectError::from(error);
        let refused = || DialError::Connect { address: ([127, 0, 0, 1], 80).into(), error: io() };
        let unreachable = ProxyError::Unreachable(Box::new(refused()));
        for (error, shown) in [
            (
                ConnectError::NoRandomness(io()),
                "the operating system returned no random bytes: connection reset",
            ),
            (
                dial(DialError::Resolve { host: "nowhere".into(), error: io() }),
                "cannot resolve nowhere: connection reset",
            ),
            (dial(refused()), "cannot connect to 127.0.0.1:80: connection reset"),
            (
                dial(DialError::Proxy { proxy: "proxy:80".into(), error: unreachable }),
                "no connection through the proxy proxy:80: cannot connect to 127.0.0.1:80: connection reset",
            ),
            (dial(TlsError::Handshake(io()).into()), "the TLS handshake failed: connection reset"),
            (ConnectError::Hook("no token today".into()), "no token today"),
        ] {
            assert_eq!(error.to_string(), shown);
            assert_eq!(ErrorChain(&error).to_string(), shown, "the printed chain repeats nothing");
        }
    }

    #[test]
    fn a_rejection_prints_location_and_retry_after() {
        let refused = |status: u16, name: &str, value: &[u8], body: &'static str| {
            let response =
                Response::builder().status(status).header(name, value).body(Bytes::from(body)).unwrap();
            ConnectError::Rejected(Box::new(response)).to_string()
        };
        for (shown, words) in [
            (
                refused(429, "retry-after", b"30", "slow down\nplease"),
                "the server responded with 429 Too Many Requests, Retry-After \"30\": \"slow down\"",
            ),
            (
                refused(302, "location", b"wss://new.example/", ""),
                "the server responded with 302 Found, Location \"wss://new.example/\"",
            ),
            (refused(403, "x-other", b"1", "go"), "the server responded with 403 Forbidden: \"go\""),
            (
                refused(301, "location", b"\t\"", ""),
                r#"the server responded with 301 Moved Permanently, Location "\t\"""#,
            ),
        ] {
            assert_eq!(shown, words);
        }
        let long = refused(302, "location", &[b'a'; 5000], "");
        assert!(long.len() < 300, "{long}");
    }

    #[test]
    fn only_tls_errors_before_the_handshake_are_final() {
        for (error, is_transient) in [
            (TlsError::Unsupported, false),
            (TlsError::InvalidName("a host".into()), false),
            (TlsError::SystemRoots(io().into()), true),
            (TlsError::Certificate { reason: "UnknownIssuer".into(), error: io().into() }, true),
            (TlsError::NotTls(io()), true),
            (TlsError::UnexpectedAlpn("h2".into()), true),
            (TlsError::Handshake(io()), true),
        ] {
            let error = ConnectError::Dial(error.into());
            assert_eq!(error.is_transient(), is_transient, "{error:?}");
        }
    }
}
