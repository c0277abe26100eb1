//! The request that a connection began with.

use std::fmt;
use std::net::SocketAddr;
use std::time::SystemTime;

use net::PeerAddress;

/// The first request of a connection: its URL, headers and peer.
///
/// All of it is one allocation of about the size that the request had on the wire; headers are looked up when asked
/// for. A connection may live for days, and its request would otherwise hold the HTTP parser's memory for as long.
pub struct Handshake {
    /// The URL, and for each header its name, a colon and its value; all parts end with a newline, which none of them
    /// can contain.
    head: Box<str>,
    address: Option<SocketAddr>,
    issued: SystemTime,
}

impl Handshake {
    pub(crate) fn new(request: &http::request::Parts, issued: SystemTime) -> Self {
        let mut head = request.uri.path_and_query().map_or(String::new(), ToString::to_string);
        head.push('\n');
        for (name, value) in &request.headers {
            head.push_str(name.as_str());
            head.push(':');
            head.push_str(&String::from_utf8_lossy(value.as_bytes()));
            head.push('\n');
        }
        let address = request.extensions.get::<PeerAddress>().map(|peer| peer.0);
        Self { head: head.into_boxed_str(), address, issued }
    }

    /// Path and query of the request.
    #[must_use]
    pub fn url(&self) -> &str {
        self.head.split('\n').next().unwrap_or_default()
    }

    /// A parameter of the query, decoded. Of a parameter that comes twice, the last one counts.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<String> {
        let (_, query) = self.url().split_once('?')?;
        form_urlencoded::parse(query.as_bytes())
            .filter(|(found, _)| found == name)
            .last()
            .map(|(_, value)| value.into_owned())
    }

    /// The headers in order, their names in lower case. Bytes that are no UTF-8 are replaced.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.head.lines().skip(1).filter_map(|line| line.split_once(':'))
    }

    /// The first header of this name, which is compared without case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The address of the peer, where the HTTP server tells it (our own listener does). Behind a proxy this is the
    /// proxy.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// When the connection began.
    #[must_use]
    pub fn issued(&self) -> SystemTime {
        self.issued
    }
}

impl fmt::Debug for Handshake {
    /// Leaves the headers out: they hold cookies and tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("address", &self.address)
            .field("issued", &self.issued)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_request_said_can_be_asked_for() {
        let (parts, ()) = http::Request::get("http://h/socket.io/?token=a%20b&token=c%2Bd&EIO=4")
            .header("User-Agent", "browser: 1")
            .header("cookie", "x=1")
            .body(())
            .unwrap()
            .into_parts();
        let handshake = Handshake::new(&parts, SystemTime::UNIX_EPOCH);
        assert_eq!(handshake.url(), "/socket.io/?token=a%20b&token=c%2Bd&EIO=4");
        assert_eq!(handshake.query("token").as_deref(), Some("c+d"));
        assert_eq!(handshake.query("absent"), None);
        assert_eq!(handshake.header("USER-agent"), Some("browser: 1"));
        assert_eq!(handshake.headers().count(), 2);
        assert!(!format!("{handshake:?}").contains("x=1"), "a log line must not hold a cookie");
    }
}
