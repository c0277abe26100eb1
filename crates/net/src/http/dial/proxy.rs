//! Connects through HTTP proxies with CONNECT (RFC 9110 §9.3.6).

use std::fmt;
use std::sync::Arc;

use http::header::{HOST, PROXY_AUTHORIZATION};
use http::uri::Authority;
use http::{HeaderValue, Method, Request, Uri};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

use super::Target;
use super::error::ProxyError;
use crate::http::exchange::{ExchangeResponse, exchange};
use crate::io::Stream;

/// Selects the proxy, if any, for each connection.
#[derive(Debug, Clone)]
pub struct Proxy(Arc<Matcher>);

impl Proxy {
    /// Creates a configuration that sends every connection through the proxy at `url`: `http://host:port`, or
    /// `https://host:port` if clients connect to the proxy itself with TLS. If the proxy requires credentials, put
    /// `user:password@` before the host. They are percent-encoded in the URL and sent as `Proxy-Authorization: Basic`.
    ///
    /// # Errors
    /// `url` has another scheme, or no valid host.
    pub fn new(url: &str) -> Result<Self, InvalidProxy> {
        let matcher = Matcher::builder().all(url.to_owned()).build();
        let intercept = matcher.intercept(&Uri::from_static("http://host/")).ok_or(InvalidProxy(()))?;
        if intercept.uri().scheme_str().is_some_and(is_supported_scheme) {
            Ok(Self(Arc::new(matcher)))
        } else {
            Err(InvalidProxy(()))
        }
    }

    /// Reads the proxy configuration from the environment variables, once, in this call: `HTTPS_PROXY` for encrypted
    /// connections, `HTTP_PROXY` for unencrypted ones, `ALL_PROXY` for both. Hosts in `NO_PROXY` are connected to
    /// directly. Names may be in upper or lower case, and values are read as curl reads them. Under CGI `HTTP_PROXY` is
    /// ignored, because there it holds a header of a client's request.
    #[must_use]
    pub fn from_environment() -> Self {
        Self(Arc::new(Matcher::from_env()))
    }

    /// Returns the proxy to use for `target`, or `None` for a direct connection.
    pub(super) fn intercept(&self, target: Target<'_>) -> Option<ProxyTunnel> {
        // If the host is not valid in a URI, connect directly: the resolver rejects such a host.
        let authority: Authority = authority(target.host, target.port).parse().ok()?;
        let scheme = if target.secure { "https" } else { "http" };
        let uri =
            Uri::builder().scheme(scheme).authority(authority.clone()).path_and_query("/").build().ok()?;
        ProxyTunnel::new(&self.0.intercept(&uri)?, authority)
    }
}

/// The URL is not a valid URL of an HTTP proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidProxy(());

impl fmt::Display for InvalidProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid proxy URL, use http://host:port or https://host:port")
    }
}

impl std::error::Error for InvalidProxy {}

/// A proxy and the destination that it connects to.
pub(super) struct ProxyTunnel {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) secure: bool,
    scheme: String,
    credentials: Option<HeaderValue>,
    destination: Authority,
}

impl ProxyTunnel {
    fn new(intercept: &Intercept, destination: Authority) -> Option<Self> {
        let uri = intercept.uri();
        let host = uri.host()?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let scheme = uri.scheme_str()?.to_owned();
        let secure = scheme == "https";
        Some(Self {
            host: bare.to_owned(),
            port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            secure,
            scheme,
            credentials: intercept.basic_auth().cloned(),
            destination,
        })
    }

    /// Returns an error if the scheme of the proxy is not supported.
    pub(super) fn check_scheme(&self) -> Result<(), ProxyError> {
        if is_supported_scheme(&self.scheme) {
            Ok(())
        } else {
            Err(ProxyError::UnknownScheme(self.scheme.clone()))
        }
    }

    /// Sends CONNECT on `stream` and returns the stream to the destination.
    pub(super) async fn connect(&self, stream: Stream) -> Result<Stream, ProxyError> {
        match exchange(stream, self.request()).await.map_err(ProxyError::Http)? {
            ExchangeResponse::Upgraded(_, upgraded) if upgraded.leftover.is_empty() => Ok(upgraded.stream),
            // The client speaks first, in TLS as in HTTP, so these bytes do not come from the destination.
            ExchangeResponse::Upgraded(..) => Err(ProxyError::UnexpectedBytes),
            ExchangeResponse::Response(response) => Err(ProxyError::Rejected(response.status())),
        }
    }

    fn request(&self) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = Method::CONNECT;
        *request.uri_mut() = Uri::from(self.destination.clone());
        // Every authority is a valid header value.
        if let Ok(host) = HeaderValue::from_str(self.destination.as_str()) {
            request.headers_mut().insert(HOST, host);
        }
        if let Some(credentials) = &self.credentials {
            request.headers_mut().insert(PROXY_AUTHORIZATION, credentials.clone());
        }
        request
    }
}

impl fmt::Display for ProxyTunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&authority(&self.host, self.port))
    }
}

/// Returns whether this crate can connect to proxies of this scheme.
fn is_supported_scheme(scheme: &str) -> bool {
    ["http", "https"].contains(&scheme)
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_needs_an_http_or_https_url() {
        for url in ["http://proxy:3128", "https://proxy", "http://user:secret@[::1]:80/", "proxy:3128"] {
            assert!(Proxy::new(url).is_ok(), "{url}");
        }
        for url in ["", "socks5://proxy:1080", "ftp://proxy", "http://", "http://a b"] {
            assert_eq!(Proxy::new(url).err(), Some(InvalidProxy(())), "{url}");
        }
    }

    #[test]
    fn the_environment_has_a_proxy_for_each_scheme_and_exceptions() {
        let matcher =
            Matcher::builder().http("http://plain").https("https://[::1]:8443").no("example.org,10.0.0.0/8");
        let proxy = Proxy(Arc::new(matcher.build()));
        let of = |host, secure| {
            let hop = proxy.intercept(Target { host, port: 9001, secure })?;
            Some((hop.to_string(), hop.secure))
        };
        assert_eq!(of("example.com", false), Some(("plain:80".to_owned(), false)));
        assert_eq!(of("example.com", true), Some(("[::1]:8443".to_owned(), true)));
        for excepted in ["example.org", "a.example.org", "10.1.2.3"] {
            assert_eq!(of(excepted, false), None, "{excepted}");
        }
        let socks = Proxy(Arc::new(Matcher::builder().all("socks5://proxy").build()));
        let hop = socks.intercept(Target { host: "a", port: 80, secure: false }).unwrap();
        assert!(matches!(hop.check_scheme(), Err(ProxyError::UnknownScheme(scheme)) if scheme == "socks5"));
    }

    #[test]
    fn credentials_are_never_printed() {
        let proxy = Proxy::new("http://user:secret@proxy:3128").unwrap();
        let hop = proxy.intercept(Target { host: "a", port: 80, secure: false }).unwrap();
        for shown in [format!("{proxy:?}"), hop.to_string(), format!("{:?}", hop.request())] {
            assert!(!shown.contains("secret") && !shown.contains("dXNlcjpzZWNyZXQ"), "{shown}");
        }
    }
}
