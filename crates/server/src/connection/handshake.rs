//! The handshake request of a connection.

use std::any::{Any, TypeId};
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderValue;
use net::{ClientAddress, ReceivedOverTls};

use super::request_head::RequestHead;

/// The handshake request of a connection: its URL, its headers and the client's address.
///
/// The data is one allocation, somewhat smaller than the request on the wire, and headers are searched on each call. The
/// parsed request is not kept, because it holds the HTTP parser's memory, and a connection may live for days.
pub struct Handshake {
    head: RequestHead,
    address: Option<IpAddr>,
    issued: SystemTime,
    is_secure: bool,
    /// `None` if there are none, so that they cost one pointer.
    extensions: Option<Box<KeptExtensions>>,
}

/// The extensions of the request that the program keeps, one per type.
struct KeptExtensions(Vec<KeptExtension>);

/// A value of the program, with its type.
pub(crate) type KeptExtension = (TypeId, Arc<dyn Any + Send + Sync>);

/// Takes one extension of a request, see [`Builder::keep_request_extension`](crate::Builder::keep_request_extension).
pub(crate) type KeepExtension = fn(&http::Extensions) -> Option<KeptExtension>;

pub(crate) fn keep_extension<T: Clone + Send + Sync + 'static>(
    extensions: &http::Extensions,
) -> Option<KeptExtension> {
    let value = extensions.get::<T>()?.clone();
    Some((TypeId::of::<T>(), Arc::new(value)))
}

impl Handshake {
    pub(crate) fn new(request: &http::request::Parts, issued: SystemTime, keep: &[KeepExtension]) -> Self {
        let url = request.uri.path_and_query().map_or("", |url| url.as_str());
        let mut headers = request.headers.iter().map(|(name, value)| (name.as_str(), text(value)));
        let head = RequestHead::new(url, &mut headers);
        let address = request.extensions.get::<ClientAddress>().map(|client| client.ip());
        let is_secure = request.extensions.get::<ReceivedOverTls>().is_some();
        let mut extensions = Vec::new();
        for keep in keep {
            if let Some(kept) = keep(&request.extensions) {
                extensions.push(kept);
            }
        }
        let extensions = (!extensions.is_empty()).then(|| Box::new(KeptExtensions(extensions)));
        Self { head, address, issued, is_secure, extensions }
    }

    /// Creates the handshake of a client of another server. Parts that this type cannot hold are left out.
    pub(crate) fn of_remote<'h>(
        url: &str,
        headers: &mut dyn Iterator<Item = (&'h str, Cow<'h, str>)>,
        address: Option<IpAddr>,
        issued: SystemTime,
        is_secure: bool,
    ) -> Self {
        Self { head: RequestHead::new(url, headers), address, issued, is_secure, extensions: None }
    }

    /// Returns the path and query of the request.
    #[must_use]
    pub fn url(&self) -> &str {
        self.head.url()
    }

    /// Returns the decoded value of a query parameter. If the parameter occurs several times, returns the last value.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<String> {
        self.queries().filter(|(found, _)| found == name).last().map(|(_, value)| value.into_owned())
    }

    /// Returns the names and values of all query parameters, decoded and in order.
    pub fn queries(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        let query = self.url().split_once('?').map_or("", |(_, query)| query);
        form_urlencoded::parse(query.as_bytes())
    }

    /// Returns the headers in order, with names in lower case. Bytes that are not valid UTF-8 are replaced.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.head.headers()
    }

    /// Returns the value of the first header with this name. The name is case-insensitive. [`headers`](Self::headers) has
    /// the other values too.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Returns the address of the client, if the HTTP server provides it. The server's own listener does. `axum::serve`
    /// does with `into_make_service_with_connect_info::<SocketAddr>()`, if the feature `axum` is on. Another server adds
    /// the extension [`PeerAddress`](net::PeerAddress) to its requests. If the client
    /// connects through one of the [trusted proxies](crate::Builder::trusted_proxies), this is the address that the
    /// proxy reports. If it connects through any other proxy, this is the address of the proxy.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Returns whether the request came over TLS to the server's own listener. Behind a proxy that ends TLS this is
    /// `false`, as in Node: look at the header that the proxy sets, for instance `X-Forwarded-Proto`. If the server is
    /// mounted in another HTTP server, that server adds [`ReceivedOverTls`] to the extensions of its requests.
    #[must_use]
    pub fn secure(&self) -> bool {
        self.is_secure
    }

    /// Returns whether the request has an `Origin` header. This is Node's `xdomain`. Browsers send the header with every
    /// WebSocket handshake, also to the origin of the page.
    #[must_use]
    pub fn xdomain(&self) -> bool {
        self.header("origin").is_some()
    }

    /// Returns the extension of this type that a tower layer has added to the request. `None` unless
    /// [`Builder::keep_request_extension`](crate::Builder::keep_request_extension) names the type.
    #[must_use]
    pub fn extension<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let KeptExtensions(kept) = self.extensions.as_deref()?;
        let (_, value) = kept.iter().find(|(kind, _)| *kind == TypeId::of::<T>())?;
        Arc::clone(value).downcast().ok()
    }

    /// Returns the time at which the connection began.
    #[must_use]
    pub fn issued(&self) -> SystemTime {
        self.issued
    }
}

/// Returns a value as text. Almost all values are UTF-8, and `from_utf8_lossy` is slow.
fn text(value: &HeaderValue) -> Cow<'_, str> {
    let bytes = value.as_bytes();
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

impl fmt::Debug for Handshake {
    /// Omits the headers, because they contain cookies and tokens.
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
    fn a_request_over_tls_from_a_page_is_secure_and_from_another_domain() {
        let request = http::Request::get("/socket.io/").header("Origin", "https://example.com");
        let (parts, ()) = request.extension(ReceivedOverTls).body(()).unwrap().into_parts();
        let handshake = Handshake::new(&parts, SystemTime::UNIX_EPOCH, &[]);
        assert!(handshake.xdomain() && handshake.secure());
    }

    #[test]
    fn the_handshake_returns_the_parts_of_the_request() {
        let (parts, ()) = http::Request::get("http://h/socket.io/?token=a%20b&token=c%2Bd&EIO=4")
            .header("User-Agent", "browser: 1")
            .header("cookie", "x=1")
            .header("x-hop", "1")
            .header("x-hop", "2")
            .body(())
            .unwrap()
            .into_parts();
        let handshake = Handshake::new(&parts, SystemTime::UNIX_EPOCH, &[]);
        assert_eq!(handshake.url(), "/socket.io/?token=a%20b&token=c%2Bd&EIO=4");
        assert_eq!(handshake.query("token").as_deref(), Some("c+d"));
        assert_eq!(handshake.query("absent"), None);
        let queries: Vec<_> = handshake.queries().collect();
        let expected = [("token", "a b"), ("token", "c+d"), ("EIO", "4")];
        assert_eq!(queries, expected.map(|(name, value)| (name.into(), value.into())));
        assert_eq!(handshake.header("USER-agent"), Some("browser: 1"));
        assert_eq!(handshake.header("x-hop"), Some("1"));
        let headers: Vec<_> = handshake.headers().skip(1).collect();
        assert_eq!(headers, [("cookie", "x=1"), ("x-hop", "1"), ("x-hop", "2")]);
        assert!(!handshake.xdomain() && !handshake.secure());
        assert!(!format!("{handshake:?}").contains("x=1"), "a log line must not hold a cookie");
    }
}
