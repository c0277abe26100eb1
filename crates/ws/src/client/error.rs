//! Why there is no connection, sorted by who is to blame.

use std::error::Error;
use std::fmt;
use std::io;

use bytes::Bytes;
use http::header::{LOCATION, RETRY_AFTER};
use http::{Response, StatusCode};
use net::{DialError, ErrorChain, ExchangeError, ProxyError, TlsError};
use ws_proto::{ClientHandshakeError, HandshakeResponseError, UriError};

/// Why a client is not connected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is none of a WebSocket.
    #[error(transparent)]
    Url(#[from] UriError),
    /// A header or a subprotocol cannot be asked for.
    #[error(transparent)]
    Request(#[from] ClientHandshakeError),
    /// What was given to [`Connector::header`](crate::Connector::header) under this name is no header.
    #[error("{0:?} is not the name of a header, or its value cannot be one")]
    InvalidHeader(String),
    /// The system gave no random bytes, without which there is no handshake.
    #[error("no random bytes: {}", ErrorChain(.0))]
    NoRandomness(io::Error),
    /// There is no stream to the server: its name is unknown, no address of it can be connected to, the proxy does not lead
    /// there, or TLS failed.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// There was no answer, or it was not HTTP/1.1. A port that wants TLS is often met so: `ws` instead of `wss`.
    #[error("no answer to the handshake: {0}")]
    NoResponse(ExchangeError),
    /// The server answered in HTTP, with another status than 101: 401, 404, 302 with a `Location`. Of the body there is
    /// what came within a second, at most 16 KiB.
    #[error("the server answered {}", ResponseSummary(.0))]
    Rejected(Box<Response<Bytes>>),
    /// The server accepted the handshake in a way that it must not (RFC 6455 §4.1).
    #[error(transparent)]
    Handshake(#[from] HandshakeResponseError),
    /// It took longer than [`Connector::timeout`](crate::Connector::timeout).
    #[error("connecting took too long")]
    TimedOut,
    /// A function of the program that is part of connecting has failed: see [`Reconnection`](crate::Reconnection).
    #[error(transparent)]
    Hook(Box<dyn Error + Send + Sync>),
}

impl ConnectError {
    /// The status with which the server refused, if it did.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Rejected(response) => Some(response.status()),
            _ => None,
        }
    }

    /// Whether the same attempt may succeed at another time.
    ///
    /// It may not if the server, or the proxy, has said that the request is wrong: HTTP 4xx, but for 408, 421, 425 and
    /// 429. Nor if there could be no such request: the URL, a header, a subprotocol, the scheme of the proxy, `wss`
    /// without the feature `tls` or to a host that no certificate can be for. All else may: servers come back, names are
    /// entered, clocks set.
    ///
    /// So may every other failure of TLS, a certificate from an unknown authority or for another name included. It is most
    /// often wrong for good, but not always: a gateway shows one of its own until it is given that of the server, a hotel's
    /// network until its guest has logged in, and a program that connects again by itself should outlast both. To try again
    /// tells nobody anything: the certificate is checked each time, and the request with all its headers goes out only
    /// behind it. A program for which it is final says so:
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
            Self::Dial(DialError::Proxy { error: ProxyError::Refused(status), .. }) => {
                is_transient_status(*status)
            }
            Self::Rejected(response) => is_transient_status(response.status()),
            _ => true,
        }
    }
}

/// Whether an answer with this status blames the time, and not the request (RFC 9110 §15.5).
fn is_transient_status(status: StatusCode) -> bool {
    const PASSING: [StatusCode; 4] = [
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::MISDIRECTED_REQUEST,
        StatusCode::TOO_EARLY,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    !status.is_client_error() || PASSING.contains(&status)
}

/// Status, what the header says that most often comes with it, and the first words of the body.
struct ResponseSummary<'a>(&'a Response<Bytes>);

impl fmt::Display for ResponseSummary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Characters of each that go into a message.
        const WORDS: usize = 200;
        self.0.status().fmt(f)?;
        let first_words = |bytes| -> String {
            let text = String::from_utf8_lossy(bytes);
            text.lines().next().unwrap_or_default().chars().take(WORDS).collect()
        };
        // In quotes: it is the server's, whoever that is, and may go to a log.
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
    fn an_error_says_all_its_causes_and_each_of_them_once() {
        let dial = |error: DialError| ConnectError::from(error);
        let refused = || DialError::Connect { address: ([127, 0, 0, 1], 80).into(), error: io() };
        let unreachable = ProxyError::Unreachable(Box::new(refused()));
        for (error, shown) in [
            (ConnectError::NoRandomness(io()), "no random bytes: connection reset"),
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
            assert_eq!(ErrorChain(&error).to_string(), shown, "a chain that is printed says nothing twice");
        }
    }

    #[test]
    fn a_refusal_says_where_to_go_and_when_to_come_back() {
        let refused = |status: u16, name: &str, value: &[u8], body: &'static str| {
            let answer =
                Response::builder().status(status).header(name, value).body(Bytes::from(body)).unwrap();
            ConnectError::Rejected(Box::new(answer)).to_string()
        };
        for (shown, words) in [
            (
                refused(429, "retry-after", b"30", "slow down\nplease"),
                "the server answered 429 Too Many Requests, Retry-After \"30\": \"slow down\"",
            ),
            (
                refused(302, "location", b"wss://new.example/", ""),
                "the server answered 302 Found, Location \"wss://new.example/\"",
            ),
            (refused(403, "x-other", b"1", "go"), "the server answered 403 Forbidden: \"go\""),
            (
                refused(301, "location", b"\t\"", ""),
                r#"the server answered 301 Moved Permanently, Location "\t\"""#,
            ),
        ] {
            assert_eq!(shown, words);
        }
        let long = refused(302, "location", &[b'a'; 5000], "");
        assert!(long.len() < 300, "{long}");
    }

    #[test]
    fn of_the_failures_of_tls_only_those_without_a_handshake_are_final() {
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
