//! HTTP proxies that connect us through (RFC 9110 §9.3.6, CONNECT).

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

/// Which connections go through a proxy, and through which.
#[derive(Debug, Clone)]
pub struct Proxy(Arc<Matcher>);

impl Proxy {
    /// All connections through this one: `http://host:port`, `https://host:port` if it is spoken to by TLS, with
    /// `user:password@` before the host if it asks for that (percent-encoded; sent as `Proxy-Authorization: Basic`).
    ///
    /// # Errors
    /// It is no such URL.
    pub fn new(url: &str) -> Result<Self, InvalidProxy> {
        let matcher = Matcher::builder().all(url.to_owned()).build();
        let intercept = matcher.intercept(&Uri::from_static("http://host/")).ok_or(InvalidProxy(()))?;
        if intercept.uri().scheme_str().is_some_and(is_supported_scheme) {
            Ok(Self(Arc::new(matcher)))
        } else {
            Err(InvalidProxy(()))
        }
    }

    /// What the environment says now: `HTTPS_PROXY` for encrypted connections, `HTTP_PROXY` for others, `ALL_PROXY` for
    /// both, unless the host is named in `NO_PROXY`; upper or lower case, read as curl does. Under CGI `HTTP_PROXY` is
    /// not believed: there it is a header of a client's request.
    #[must_use]
    pub fn from_environment() -> Self {
        Self(Arc::new(Matcher::from_env()))
    }

    /// The proxy on the way to `target`, if there is one.
    pub(super) fn intercept(&self, target: Target<'_>) -> Option<ProxyTunnel> {
        // A host that cannot be in a URI cannot be in a list either; the resolver will refuse it.
        let authority: Authority = authority(target.host, target.port).parse().ok()?;
        let scheme = if target.secure { "https" } else { "http" };
        let uri =
            Uri::builder().scheme(scheme).authority(authority.clone()).path_and_query("/").build().ok()?;
        ProxyTunnel::new(&self.0.intercept(&uri)?, authority)
    }
}

/// The URL is not that of an HTTP proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a proxy has to be given as http://host:port or https://host:port")]
pub struct InvalidProxy(());

/// A proxy to go through.
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

    /// Whether it is spoken to in a way that we know.
    pub(super) fn check_scheme(&self) -> Result<(), ProxyError> {
        if is_supported_scheme(&self.scheme) {
            Ok(())
        } else {
            Err(ProxyError::UnknownScheme(self.scheme.clone()))
        }
    }

    /// Has the proxy connect `stream` with the destination.
    pub(super) async fn connect(&self, stream: Stream) -> Result<Stream, ProxyError> {
        match exchange(stream, self.request()).await.map_err(ProxyError::Http)? {
            ExchangeResponse::Upgraded(_, upgraded) if upgraded.leftover.is_empty() => Ok(upgraded.stream),
            // We speak first, in TLS as in HTTP.
            ExchangeResponse::Upgraded(..) => Err(ProxyError::UnexpectedBytes),
            ExchangeResponse::Response(response) => Err(ProxyError::Refused(response.status())),
        }
    }

    fn request(&self) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = Method::CONNECT;
        *request.uri_mut() = Uri::from(self.destination.clone());
        // What may be an authority may be a value.
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

/// Whether proxies of this scheme are told their destination by CONNECT.
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
    fn a_proxy_is_given_as_the_url_of_an_http_server() {
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
    fn credentials_are_shown_to_nobody() {
        let proxy = Proxy::new("http://user:secret@proxy:3128").unwrap();
        let hop = proxy.intercept(Target { host: "a", port: 80, secure: false }).unwrap();
        for shown in [format!("{proxy:?}"), hop.to_string(), format!("{:?}", hop.request())] {
            assert!(!shown.contains("secret") && !shown.contains("dXNlcjpzZWNyZXQ"), "{shown}");
        }
    }
}
