//! The limits on what one address may open, and the refusals.

use std::fmt;
use std::time::Duration;

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

use super::client_address::{ClientAddress, ClientNetwork, client_network, is_private};

/// Limits on what one address may open. An IPv6 address counts together with all others of its /64 network.
///
/// Trusted proxies are not limited, and neither are clients whose address is unknown. The defaults allow thousands of
/// clients behind one address, as in an office or at a mobile provider.
#[derive(Debug, Clone)]
pub struct AddressLimits {
    /// The most sessions (or WebSockets) of one address that are open at the same time. At the limit, the response to
    /// another handshake is 429. Protects against one client that uses up the limits that all clients share. Default
    /// 20,000.
    pub max_sessions: usize,
    /// How many sessions one address may open per second, after the [`burst`](Self::burst). Zero counts as one. At the
    /// limit, the response is 429 with `Retry-After`. Protects against the work of endless handshakes. Default 500.
    pub new_sessions_per_second: u32,
    /// How many sessions one address may open at once. After that, one more is allowed each time that
    /// [`new_sessions_per_second`](Self::new_sessions_per_second) permits it. Zero counts as one. Thousands of clients behind one address
    /// connect at once when a server has restarted. Default 10,000.
    pub burst: u32,
    /// The most sessions of one address that are not authenticated yet. The server above decides when a session is
    /// authenticated. At the limit, the response is 429. Protects against clients that open sessions and send nothing.
    /// Default 5,000.
    pub max_unauthenticated: usize,
    /// The most sessions that one HTTP connection has opened and that are not authenticated yet; all its open sessions, if
    /// the program authenticates none. At the limit, the response is 429. Over HTTP/2 a handshake costs a client hardly
    /// any bytes. Only a [`Listener`](crate::Listener) knows which connection a request came on. Connections of trusted
    /// proxies have no such limit, because many clients share one. Default 1,000.
    pub max_unauthenticated_per_connection: usize,
    /// The most HTTP connections of one address to a [`Listener`](crate::Listener) that are open at the same time. A
    /// connection that has become a WebSocket does not count. With the
    /// PROXY protocol, the address is the one that the proxy reports. At the limit, a
    /// further connection is closed at once. Protects
    /// [`HttpLimits::max_connections`](crate::HttpLimits::max_connections) against one client that uses them up: all
    /// others would wait. Default 20,000.
    pub max_http_connections: usize,
    /// Whether the limits also hold for addresses that are not public: loopback, private (RFC 1918), link-local, unique
    /// local (RFC 4193), and those that customers of a provider share (RFC 6598). Such a peer is often a proxy that the
    /// program has not named. Default false.
    pub include_private: bool,
}

impl Default for AddressLimits {
    fn default() -> Self {
        Self {
            max_sessions: 20_000,
            new_sessions_per_second: 500,
            burst: 10_000,
            max_unauthenticated: 5_000,
            max_unauthenticated_per_connection: 1_000,
            max_http_connections: 20_000,
            include_private: false,
        }
    }
}

impl AddressLimits {
    /// Returns what an address counts as, or `None` if the limits do not hold for it: for a trusted proxy, and for an
    /// address that is not public unless [`include_private`](Self::include_private) is set. A program can use this for
    /// limits of its own, such as the seats of one address in a game.
    ///
    /// ```
    /// use tidewire_net::{AddressLimits, ClientAddress};
    ///
    /// let limits = AddressLimits::default();
    /// let network = |ip: &str| Ok::<_, std::net::AddrParseError>(limits.network_of(ClientAddress::new(ip.parse()?)));
    /// assert_eq!(network("2001:db8::1")?, network("2001:db8::2")?);
    /// assert_ne!(network("203.0.113.1")?, network("203.0.113.2")?);
    /// assert_eq!(network("127.0.0.1")?, None);
    /// # Ok::<_, std::net::AddrParseError>(())
    /// ```
    #[must_use]
    pub fn network_of(&self, address: ClientAddress) -> Option<ClientNetwork> {
        let is_limited = !address.is_trusted_proxy() && (self.include_private || !is_private(address.ip()));
        is_limited.then(|| ClientNetwork(client_network(address.ip())))
    }

    /// The time in which one more session becomes available.
    pub(super) fn interval(&self) -> Duration {
        Duration::from_secs(1) / self.new_sessions_per_second.max(1)
    }
}

/// Why an address may not open another session now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressLimitError {
    /// [`AddressLimits::max_sessions`] is reached.
    TooManySessions,
    /// [`AddressLimits::max_unauthenticated`] is reached.
    TooManyUnauthenticated,
    /// [`AddressLimits::max_unauthenticated_per_connection`] is reached.
    TooManyOnConnection,
    /// [`AddressLimits::new_sessions_per_second`] and [`AddressLimits::burst`] are exceeded.
    TooManyNewSessions {
        /// When the next one is allowed.
        retry_after: Duration,
    },
}

impl fmt::Display for AddressLimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooManySessions => "too many connections from this address",
            Self::TooManyUnauthenticated => {
                "too many connections from this address that are not authenticated"
            }
            Self::TooManyOnConnection => {
                "too many sessions on this HTTP connection that are not authenticated"
            }
            Self::TooManyNewSessions { .. } => "too many new connections from this address",
        })
    }
}

impl std::error::Error for AddressLimitError {}

impl AddressLimitError {
    /// Returns the name of the field of [`AddressLimits`] that is reached. `open` is the name of the one that limits what
    /// is open.
    pub(super) fn limit(self, open: &'static str) -> &'static str {
        match self {
            Self::TooManySessions => open,
            Self::TooManyUnauthenticated => "max_unauthenticated",
            Self::TooManyOnConnection => "max_unauthenticated_per_connection",
            Self::TooManyNewSessions { .. } => "new_sessions_per_second",
        }
    }

    /// Returns the response: status 429, with `Retry-After` if the time is known, and a line of text.
    #[must_use]
    pub fn response(self) -> Response<String> {
        let mut response = Response::new(format!("{self}\n"));
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if let Self::TooManyNewSessions { retry_after } = self {
            headers.insert(RETRY_AFTER, (retry_after.as_secs() + 1).into());
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_not_public_and_proxies_have_no_network_to_count() {
        let address = |ip: &str| ClientAddress::new(ip.parse().unwrap());
        let default = AddressLimits::default();
        let all = AddressLimits { include_private: true, ..AddressLimits::default() };
        assert!(default.network_of(address("203.0.113.1")).is_some());
        assert_eq!(default.network_of(address("10.0.0.1")), None);
        assert!(all.network_of(address("10.0.0.1")).is_some());
        let proxy = ClientAddress::of_proxy("203.0.113.1".parse().unwrap());
        for limits in [&default, &all] {
            assert_eq!(limits.network_of(proxy), None);
        }
    }

    #[test]
    fn the_response_says_when_to_come_back_if_that_is_known() {
        let response =
            AddressLimitError::TooManyNewSessions { retry_after: Duration::from_millis(1_200) }.response();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["retry-after"], "2");
        assert_eq!(response.body(), "too many new connections from this address\n");
        assert!(!AddressLimitError::TooManySessions.response().headers().contains_key("retry-after"));
    }
}
