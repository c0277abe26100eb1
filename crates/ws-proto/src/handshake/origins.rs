//! The check of which pages may connect (RFC 6455 §10.2).

use std::fmt;

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderValue, Uri};

use super::origin::{Host, Origin};

/// The origins whose pages may connect to a server.
///
/// A browser lets every page open a WebSocket to every server, and sends the cookies of that server along. A server
/// must therefore check the `Origin` header. Without this check, any page can act in the name of its visitors
/// (cross-site WebSocket hijacking).
///
/// Browsers send `Origin` with every WebSocket handshake, with every POST, and with a GET whose response a page of
/// another origin may read. They send none with a GET of the page's own origin, and none with a GET whose response the
/// page cannot read, such as that of an `<img>`. With these, they say in `Sec-Fetch-Site` how the page is related to the
/// server. A request without `Origin` is therefore judged by that header:
///
/// | `Sec-Fetch-Site` | the request |
/// |---|---|
/// | `same-origin` | is allowed: a page of the server itself sends it |
/// | `same-site`, `cross-site`, any other value, or two values | is refused: a page of another origin sends it, and may be any page |
/// | `none` (the user has entered the URL), or no such header | is allowed, unless [`allow_missing_origin`](Self::allow_missing_origin) forbids it |
///
/// Programs that are not browsers usually send neither header, and can send any value they like: this check protects the
/// users of browsers, and does not protect the server from other programs. Browsers send `Sec-Fetch-Site` only to
/// `https` and to `localhost` (Safari since 16.4). Without it, a GET of an `<img>` looks like one of a program.
///
/// ```
/// # use tidewire_ws_proto::AllowedOrigins;
///
/// # fn origins() -> Result<(), tidewire_ws_proto::InvalidOrigin> {
/// let origins = AllowedOrigins::new(["https://example.com", "https://*.example.com"])?.or_same_host();
/// # Ok(())
/// # }
/// # origins().unwrap();
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AllowedOrigins {
    patterns: Vec<OriginPattern>,
    same_host: bool,
    allow_missing_origin: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum OriginPattern {
    /// The text of an origin.
    Exact(String),
    /// The text of the origin that follows `*.`: `https://example.com:8443`.
    Subdomains(String),
}

/// The text is not an origin, and would never match one that a browser sends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InvalidOrigin(
    /// The text.
    pub String,
);

impl fmt::Display for InvalidOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not an origin: a scheme, a host and optionally a port, for instance https://example.com, \
             https://*.example.com or http://localhost:5173; file:// and null are origins too",
            self.0
        )
    }
}

impl std::error::Error for InvalidOrigin {}

impl AllowedOrigins {
    /// Allows the listed origins. An origin is a scheme, a host, and the port unless it is the default port of the
    /// scheme, for example `https://example.com` or `http://localhost:5173`. `https://*.example.com` allows all
    /// subdomains at any depth, but not `example.com` itself. `file://` is the origin of local files in some mobile
    /// apps. `null` is that of local files in browsers and of sandboxed frames, no matter who wrote them.
    ///
    /// The case of scheme and host, a default port and a slash at the end make no difference, neither in the list nor
    /// in a request: `HTTPS://Example.com:443/` is `https://example.com`. A name with other letters than those of ASCII
    /// must be written as browsers send it, in Punycode (`https://xn--bcher-kva.example`).
    ///
    /// # Errors
    ///
    /// One of the texts is not an origin.
    pub fn new<O: AsRef<str>>(origins: impl IntoIterator<Item = O>) -> Result<Self, InvalidOrigin> {
        let listed = origins
            .into_iter()
            .map(|origin| {
                let text = origin.as_ref();
                OriginPattern::parse(text).ok_or_else(|| InvalidOrigin(text.to_owned()))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { patterns: listed, same_host: false, allow_missing_origin: true })
    }

    /// Allows only pages whose host and port equal the `Host` header of the request, that is, pages from this server
    /// itself. The scheme may differ, since a proxy may terminate TLS.
    #[must_use]
    pub fn same_host() -> Self {
        Self { patterns: Vec::new(), same_host: true, allow_missing_origin: true }
    }

    /// Also allows pages of the [same host](Self::same_host).
    #[must_use]
    pub fn or_same_host(mut self) -> Self {
        self.same_host = true;
        self
    }

    /// Sets whether a request is allowed that does not say which page sends it: it has no `Origin`, and
    /// `Sec-Fetch-Site` is missing or `none`. Default: `true`.
    ///
    /// With `false`, only pages may connect, and a page of the server's own origin that polls over plain `http` may not:
    /// its browser sends neither header.
    #[must_use]
    pub fn allow_missing_origin(mut self, allowed: bool) -> Self {
        self.allow_missing_origin = allowed;
        self
    }

    /// Returns whether a request with this target and these headers may connect, over any version of HTTP. If the
    /// target has an authority, that is the host of the request (RFC 9112 §3.2.2). A request with several `Origin`
    /// headers may not connect.
    #[must_use]
    pub fn allows(&self, target: &Uri, headers: &HeaderMap) -> bool {
        let host = match target.authority() {
            Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
            None => headers.get(HOST).cloned(),
        };
        self.allows_origin(&RequestOrigin::from_headers(headers, host))
    }

    pub(crate) fn allows_origin(&self, origin: &RequestOrigin) -> bool {
        match origin {
            RequestOrigin::Missing(FetchSite::SameOrigin) => true,
            RequestOrigin::Missing(FetchSite::Unknown) => self.allow_missing_origin,
            RequestOrigin::Missing(FetchSite::Other) => false,
            RequestOrigin::Value { origin, host } => {
                let Some(origin) = origin.to_str().ok().and_then(Origin::parse) else { return false };
                self.patterns.iter().any(|listed| listed.matches(&origin))
                    || (self.same_host && host.as_ref().is_some_and(|host| is_same_host(&origin, host)))
            }
            RequestOrigin::Repeated => false,
        }
    }
}

/// The origin of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum RequestOrigin {
    Missing(FetchSite),
    Value { origin: HeaderValue, host: Option<HeaderValue> },
    Repeated,
}

impl RequestOrigin {
    /// Reads the origin from `headers`. `host` is the host that the request was sent to.
    pub(crate) fn from_headers(headers: &HeaderMap, host: Option<HeaderValue>) -> Self {
        let mut origins = headers.get_all(ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => Self::Missing(FetchSite::from_headers(headers)),
            (Some(origin), None) => Self::Value { origin: origin.clone(), host },
            (Some(_), Some(_)) => Self::Repeated,
        }
    }
}

/// How the page that sends a request is related to the server (W3C Fetch Metadata, `Sec-Fetch-Site`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FetchSite {
    SameOrigin,
    /// A page of another origin.
    Other,
    /// No page, or a client that does not say.
    Unknown,
}

impl FetchSite {
    fn from_headers(headers: &HeaderMap) -> Self {
        let mut sites = headers.get_all("sec-fetch-site").iter().map(HeaderValue::as_bytes);
        match (sites.next(), sites.next()) {
            (None, _) | (Some(b"none"), None) => Self::Unknown,
            (Some(b"same-origin"), None) => Self::SameOrigin,
            _ => Self::Other,
        }
    }
}

impl OriginPattern {
    /// Reads an origin, or the origins of all subdomains.
    fn parse(text: &str) -> Option<Self> {
        match text.split_once("://*.") {
            Some((scheme, host)) => {
                let parent = format!("{scheme}://{host}");
                match Origin::parse(&parent)? {
                    // An address has no subdomains.
                    Origin::Tuple { host: Host::Name(name), .. } if !name.is_empty() && !is_ipv4(name) => {
                        Some(Self::Subdomains(parent))
                    }
                    _ => None,
                }
            }
            None => Origin::parse(text).map(|_| Self::Exact(text.to_owned())),
        }
    }

    fn matches(&self, origin: &Origin<'_>) -> bool {
        match self {
            Self::Exact(listed) => Origin::parse(listed).is_some_and(|listed| listed.is_same(origin)),
            Self::Subdomains(parent) => {
                Origin::parse(parent).is_some_and(|parent| origin.is_subdomain_of(&parent))
            }
        }
    }
}

fn is_ipv4(host: &str) -> bool {
    host.parse::<std::net::Ipv4Addr>().is_ok()
}

fn is_same_host(origin: &Origin<'_>, host: &HeaderValue) -> bool {
    host.to_str().is_ok_and(|host| origin.has_authority(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(http::HeaderName, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    /// A target without an authority, as in HTTP/1.1.
    fn path() -> Uri {
        Uri::from_static("/")
    }

    fn allow(origins: &AllowedOrigins, origin: &'static str) -> bool {
        origins.allows(&path(), &headers(&[(ORIGIN, origin), (HOST, "server.example:8080")]))
    }

    #[test]
    fn an_origin_is_allowed_if_it_is_listed() {
        let origins =
            AllowedOrigins::new(["https://Example.com/", "http://localhost:5173", "https://a.example:443"]);
        let origins = origins.unwrap();
        for origin in ["https://example.com", "http://localhost:5173", "https://a.example"] {
            assert!(allow(&origins, origin), "{origin}");
        }
        for origin in [
            "http://example.com",
            "https://example.com:8443",
            "https://www.example.com",
            "https://example.com.evil.example",
            "https://evil.example/https://example.com",
            "https://server.example:8080",
            "http://localhost",
            "null",
            "",
        ] {
            assert!(!allow(&origins, origin), "{origin}");
        }
    }

    #[test]
    fn case_default_port_and_final_slash_make_no_difference_on_either_side() {
        for same in [
            &[
                "https://example.com",
                "HTTPS://Example.com",
                "https://example.com:443",
                "https://EXAMPLE.com/",
            ][..],
            &["http://localhost", "http://localhost:80", "http://LOCALHOST:80/"],
            &["http://[::1]:3000", "http://[0:0:0:0:0:0:0:1]:3000"],
            &["file://", "file:///", "FILE://"],
            &["null", "NULL"],
        ] {
            for listed in same {
                let origins = AllowedOrigins::new([listed]).unwrap();
                for sent in same {
                    assert!(allow(&origins, sent), "{sent} in a list of {listed}");
                }
                assert!(!allow(&origins, "https://evil.example"), "{listed}");
            }
        }
        let subdomains = AllowedOrigins::new(["HTTPS://*.Example.com:443/"]).unwrap();
        for sent in ["https://www.example.com", "https://WWW.example.com:443/"] {
            assert!(allow(&subdomains, sent), "{sent}");
        }
        assert!(!allow(&AllowedOrigins::new(["https://example.com:80"]).unwrap(), "https://example.com"));
    }

    #[test]
    fn the_host_of_an_http_2_request_is_its_authority() {
        let origins = AllowedOrigins::same_host();
        let request = headers(&[(ORIGIN, "https://server.example")]);
        for (target, expected) in [
            ("https://server.example/socket.io/", true),
            ("https://server.example:443/socket.io/", true),
            ("https://other.example/socket.io/", false),
            ("/socket.io/", false),
        ] {
            assert_eq!(origins.allows(&Uri::from_static(target), &request), expected, "{target}");
        }
    }

    #[test]
    fn a_wildcard_stands_for_the_subdomains_and_for_nothing_else() {
        let origins = AllowedOrigins::new(["https://*.example.com", "https://*.a.example:8443"]).unwrap();
        for origin in ["https://www.example.com", "https://a.b.example.com", "https://x.a.example:8443"] {
            assert!(allow(&origins, origin), "{origin}");
        }
        for origin in [
            "https://example.com",
            "https://.example.com",
            "https://evilexample.com",
            "http://www.example.com",
            "https://www.example.com:8443",
            "https://x.a.example",
            "https://evil.example/.example.com",
            "https://evil.example#.example.com",
            "https://user@www.example.com",
        ] {
            assert!(!allow(&origins, origin), "{origin}");
        }
    }

    #[test]
    fn the_same_host_is_that_of_the_request_whatever_the_scheme() {
        for origins in [AllowedOrigins::same_host(), AllowedOrigins::new([""; 0]).unwrap().or_same_host()] {
            assert!(allow(&origins, "https://server.example:8080"));
            assert!(allow(&origins, "http://server.example:8080"));
            assert!(!allow(&origins, "https://server.example"));
            assert!(!allow(&origins, "null"));
            assert!(!origins.allows(&path(), &headers(&[(ORIGIN, "https://server.example")])));
        }
    }

    #[test]
    fn a_request_without_an_origin_is_allowed_by_default_and_one_with_two_is_rejected() {
        let origins = AllowedOrigins::new(["https://a.example", "null"]).unwrap();
        assert!(origins.allows(&path(), &HeaderMap::new()));
        assert!(!origins.clone().allow_missing_origin(false).allows(&path(), &HeaderMap::new()));
        assert!(
            !origins
                .allows(&path(), &headers(&[(ORIGIN, "https://a.example"), (ORIGIN, "https://a.example")]))
        );
        assert!(allow(&origins, "null"));
    }

    #[test]
    fn without_an_origin_the_browser_says_whether_a_page_of_another_origin_sends_the_request() {
        let lenient = AllowedOrigins::new(["https://a.example"]).unwrap();
        let strict = lenient.clone().allow_missing_origin(false);
        let site = http::HeaderName::from_static("sec-fetch-site");
        for (value, by_lenient, by_strict) in [
            ("same-origin", true, true),
            ("none", true, false),
            ("same-site", false, false),
            ("cross-site", false, false),
            ("a value of the future", false, false),
            ("", false, false),
        ] {
            let request = headers(&[(site.clone(), value)]);
            assert_eq!(
                (lenient.allows(&path(), &request), strict.allows(&path(), &request)),
                (by_lenient, by_strict),
                "{value}"
            );
        }
        let repeated = headers(&[(site.clone(), "same-origin"), (site.clone(), "same-origin")]);
        assert!(!lenient.allows(&path(), &repeated));
        // With an `Origin`, only that counts: a listed page is usually one of another site.
        assert!(
            strict.allows(&path(), &headers(&[(ORIGIN, "https://a.example"), (site.clone(), "cross-site")]))
        );
        assert!(!lenient.allows(&path(), &headers(&[(ORIGIN, "https://b.example"), (site, "same-origin")])));
    }

    #[test]
    fn an_origin_that_would_never_match_is_rejected() {
        for text in [
            "example.com",
            "https://",
            "://x",
            "https://example.com/path",
            "https://user@example.com",
            "https://example.com:port",
            "https://example.com:70000",
            "https://exam ple.com",
            "https://ex*mple.com",
            "https://*",
            "https://*.",
            "https://*.*.example.com",
            "https://*.127.0.0.1",
            "https://*.[::1]",
            "file://*.",
            "*",
            "https:///",
            "https://example.com//",
            "https://example.com:",
            "https://example.com:+443",
            "https://127.1",
            "https://1.2.3.400",
            "file://host/path",
            "https://example.com, https://b.example",
            "",
            "https://b\u{fc}cher.example",
            "https://[::1",
        ] {
            assert_eq!(AllowedOrigins::new([text]), Err(InvalidOrigin(text.to_owned())));
        }
        assert!(
            AllowedOrigins::new([
                "http://[::1]:3000",
                "http://127.0.0.1",
                "chrome-extension://abcdef",
                "app://.",
                "capacitor://localhost"
            ])
            .is_ok()
        );
    }
}
