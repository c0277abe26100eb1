//! The check of which pages may connect (RFC 6455 §10.2).

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderValue};

/// The origins whose pages may connect to a server.
///
/// A browser lets every page open a WebSocket to every server, and sends the cookies of that server along. A server
/// must therefore check the `Origin` header. Without this check, any page can act in the name of its visitors
/// (cross-site WebSocket hijacking).
///
/// Browsers always send `Origin`. A request without it comes from another program and is accepted, unless
/// [`allow_missing_origin`](Self::allow_missing_origin) forbids it. Such programs can send any `Origin` they like:
/// this check protects the users of browsers, and does not protect the server from other programs.
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
    /// An origin as browsers send it.
    Exact(String),
    /// The text before and after the labels of a subdomain: `https://` and `.example.com:8443`.
    Subdomains { prefix: String, suffix: String },
}

/// The text is not an origin as browsers send it, and would never match.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{0:?} is not an origin: a scheme and a host, for instance https://example.com or https://*.example.com"
)]
pub struct InvalidOrigin(
    /// The text.
    pub String,
);

impl AllowedOrigins {
    /// Allows the listed origins. An origin is a scheme, a host, and the port unless it is the default port of the
    /// scheme, for example `https://example.com` or `http://localhost:5173`. `https://*.example.com` allows all
    /// subdomains at any depth, but not `example.com` itself. `null` is the origin of local files and sandboxed
    /// frames, no matter who wrote them.
    ///
    /// # Errors
    ///
    /// One of the texts is not an origin.
    pub fn new<O: AsRef<str>>(origins: impl IntoIterator<Item = O>) -> Result<Self, InvalidOrigin> {
        let listed = origins
            .into_iter()
            .map(|origin| parse_origin_pattern(origin.as_ref()))
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

    /// Sets whether a request without `Origin` is allowed. Default: `true`.
    #[must_use]
    pub fn allow_missing_origin(mut self, allowed: bool) -> Self {
        self.allow_missing_origin = allowed;
        self
    }

    /// Returns whether a request with these headers may connect. A request with several `Origin` headers may not.
    #[must_use]
    pub fn allows(&self, headers: &HeaderMap) -> bool {
        self.allows_origin(&RequestOrigin::from_headers(headers, headers.get(HOST).cloned()))
    }

    pub(crate) fn allows_origin(&self, origin: &RequestOrigin) -> bool {
        match origin {
            RequestOrigin::Missing => self.allow_missing_origin,
            RequestOrigin::Value { origin, host } => {
                let Ok(origin) = origin.to_str() else { return false };
                self.patterns.iter().any(|listed| listed.matches(origin))
                    || (self.same_host && host.as_ref().is_some_and(|host| is_same_host(origin, host)))
            }
            RequestOrigin::Repeated => false,
        }
    }
}

/// The origin of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum RequestOrigin {
    Missing,
    Value { origin: HeaderValue, host: Option<HeaderValue> },
    Repeated,
}

impl RequestOrigin {
    /// Reads the origin from `headers`. `host` is the host that the request was sent to.
    pub(crate) fn from_headers(headers: &HeaderMap, host: Option<HeaderValue>) -> Self {
        let mut origins = headers.get_all(ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => Self::Missing,
            (Some(origin), None) => Self::Value { origin: origin.clone(), host },
            (Some(_), Some(_)) => Self::Repeated,
        }
    }
}

impl OriginPattern {
    fn matches(&self, origin: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == origin,
            Self::Subdomains { prefix, suffix } => origin
                .strip_prefix(prefix.as_str())
                .and_then(|rest| rest.strip_suffix(suffix.as_str()))
                // The labels must be part of a host name. Browsers send nothing else, but other programs may.
                .is_some_and(|labels| {
                    !labels.is_empty()
                        && labels.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
                }),
        }
    }
}

fn is_same_host(origin: &str, host: &HeaderValue) -> bool {
    origin
        .split_once("://")
        .is_some_and(|(_, authority)| authority.as_bytes().eq_ignore_ascii_case(host.as_bytes()))
}

/// Browsers serialize an origin in only one way (RFC 6454 §6.2): in lower case, without the default port of the
/// scheme.
fn parse_origin_pattern(text: &str) -> Result<OriginPattern, InvalidOrigin> {
    let invalid = || InvalidOrigin(text.to_owned());
    if text == "null" {
        return Ok(OriginPattern::Exact(text.to_owned()));
    }
    let origin = text.strip_suffix('/').unwrap_or(text).to_ascii_lowercase();
    let (scheme, authority) = origin.split_once("://").ok_or_else(invalid)?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let own_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => "",
    };
    let authority = authority.strip_suffix(own_port).unwrap_or(authority);
    let (wildcard, host) = match authority.strip_prefix("*.") {
        Some(host) => (true, host),
        None => (false, authority),
    };
    if !is_scheme || !is_host_and_port(host) {
        return Err(invalid());
    }
    Ok(if wildcard {
        OriginPattern::Subdomains { prefix: format!("{scheme}://"), suffix: format!(".{host}") }
    } else {
        OriginPattern::Exact(format!("{scheme}://{host}"))
    })
}

/// Returns whether `text` is a name or an address, optionally with a port.
fn is_host_and_port(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_port =
        port.is_none_or(|port| port.parse::<u16>().is_ok() && port.bytes().all(|byte| byte.is_ascii_digit()));
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        }
    };
    is_port && is_host
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(http::HeaderName, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    fn allow(origins: &AllowedOrigins, origin: &'static str) -> bool {
        origins.allows(&headers(&[(ORIGIN, origin), (HOST, "server.example:8080")]))
    }

    #[test]
    fn an_origin_is_allowed_exactly_as_it_is_listed() {
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
            assert!(!origins.allows(&headers(&[(ORIGIN, "https://server.example")])));
        }
    }

    #[test]
    fn a_request_without_an_origin_is_allowed_by_default_and_one_with_two_is_rejected() {
        let origins = AllowedOrigins::new(["https://a.example", "null"]).unwrap();
        assert!(origins.allows(&HeaderMap::new()));
        assert!(!origins.clone().allow_missing_origin(false).allows(&HeaderMap::new()));
        assert!(!origins.allows(&headers(&[(ORIGIN, "https://a.example"), (ORIGIN, "https://a.example")])));
        assert!(allow(&origins, "null"));
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
            "*",
            "",
            "https://b\u{fc}cher.example",
            "https://[::1",
        ] {
            assert_eq!(AllowedOrigins::new([text]), Err(InvalidOrigin(text.to_owned())));
        }
        assert!(
            AllowedOrigins::new(["http://[::1]:3000", "http://127.0.0.1", "chrome-extension://abcdef"])
                .is_ok()
        );
    }
}
