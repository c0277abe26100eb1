//! WebSocket URIs (RFC 6455 §3).

use std::fmt;

use http::{HeaderValue, Uri};

use crate::handshake::is_authority;

/// A parsed WebSocket URI: the host and port to connect to, whether to encrypt, and the resource to request.
///
/// The schemes are `ws` and `wss`; `http` and `https` mean the same, as in browsers. The URI must be ASCII: an
/// internationalized host name in its `xn--…` form, everything else percent-encoded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WebSocketUri {
    secure: bool,
    host: String,
    port: u16,
    host_header: HeaderValue,
    resource_name: Uri,
}

impl WebSocketUri {
    /// Parses a URI.
    pub fn parse(uri: &str) -> Result<Self, UriError> {
        if !uri.is_ascii() {
            return Err(UriError::NotAscii);
        }
        if uri.contains('#') {
            return Err(UriError::Fragment);
        }
        let Some((_, host)) = uri.split_once("://") else { return Err(UriError::SchemeMissing) };
        let is_without_host = host.is_empty() || host.starts_with(['/', '?']);
        let uri: Uri = uri.parse().map_err(|error: http::uri::InvalidUri| match is_without_host {
            true => UriError::HostMissing,
            false => UriError::Malformed(error.to_string()),
        })?;
        let secure = match uri.scheme_str().map(str::to_ascii_lowercase).as_deref() {
            Some("ws" | "http") => false,
            Some("wss" | "https") => true,
            Some(other) => return Err(UriError::UnknownScheme(other.to_owned())),
            None => return Err(UriError::SchemeMissing),
        };
        let authority = uri.authority().ok_or(UriError::HostMissing)?;
        if authority.as_str().contains('@') {
            return Err(UriError::Credentials);
        }
        let host = authority.host();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if bare.is_empty() {
            return Err(UriError::HostMissing);
        }
        // The `http` crate accepts brackets anywhere in a host, and any characters after them.
        let after_host = &authority.as_str()[host.len()..];
        if !is_authority(host.as_bytes()) || !(after_host.is_empty() || after_host.starts_with(':')) {
            return Err(UriError::Malformed("invalid host".to_owned()));
        }
        let default_port = if secure { 443 } else { 80 };
        let port = match after_host.strip_prefix(':') {
            None | Some("") => default_port,
            // `parse` would also accept a sign.
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                port.parse().map_err(|_| UriError::InvalidPort)?
            }
            Some(_) => return Err(UriError::InvalidPort),
        };
        // §4.1, 4: the port is included unless it is the default port.
        let host_field = if port == default_port { host.to_owned() } else { format!("{host}:{port}") };
        let malformed = |_| UriError::Malformed("invalid host or path".to_owned());
        Ok(Self {
            secure,
            host: bare.to_owned(),
            port,
            host_header: HeaderValue::try_from(host_field).map_err(|_| malformed(()))?,
            resource_name: resource_name(&uri).parse().map_err(|_| malformed(()))?,
        })
    }

    /// Returns whether the connection is encrypted (`wss` or `https`).
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Returns the host: a name, an IPv4 address, or an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port, or the default (80, or 443 if encrypted) if the URI has none.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the value of the `Host` header.
    pub fn host_header(&self) -> &HeaderValue {
        &self.host_header
    }

    /// Returns the target of the request: the path, or `/` if it is empty, and the query.
    pub fn resource_name(&self) -> &Uri {
        &self.resource_name
    }
}

/// The "resource name" of §3.
fn resource_name(uri: &Uri) -> String {
    match uri.query() {
        Some(query) => format!("{}?{query}", uri.path()),
        None => uri.path().to_owned(),
    }
}

/// The URI is not a valid WebSocket URI.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum UriError {
    /// The text is not a URI.
    Malformed(String),
    /// The URI contains characters that are not ASCII.
    NotAscii,
    /// The URI does not begin with a scheme.
    SchemeMissing,
    /// The scheme is not `ws`, `wss`, `http` or `https`.
    UnknownScheme(String),
    /// The host is missing.
    HostMissing,
    /// The port is not a number below 65 536.
    InvalidPort,
    /// The URI contains a user name, which §3 does not allow.
    Credentials,
    /// The URI contains a fragment (§3: "MUST NOT be used").
    Fragment,
}

impl fmt::Display for UriError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(reason) => write!(f, "the URL is malformed: {reason}"),
            Self::NotAscii => f.write_str(
                "the URL is not ASCII: use the xn-- form of host names and percent-encode the rest",
            ),
            Self::SchemeMissing => f.write_str("the URL must begin with ws:// or wss://"),
            Self::UnknownScheme(scheme) => {
                write!(f, "the URL has the scheme {scheme:?} instead of ws or wss")
            }
            Self::HostMissing => f.write_str("the URL has no host"),
            Self::InvalidPort => f.write_str("the port of the URL is not a number below 65536"),
            Self::Credentials => f.write_str("the URL has a user name: send credentials in a header instead"),
            Self::Fragment => f.write_str("the URL has a fragment (#), which is not allowed"),
        }
    }
}

impl std::error::Error for UriError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_says_where_to_connect_and_whether_to_encrypt() {
        for (uri, expected) in [
            ("ws://example.com", (false, "example.com", 80)),
            ("wss://example.com", (true, "example.com", 443)),
            ("WSS://Example.com/Chat", (true, "Example.com", 443)),
            ("http://a/b", (false, "a", 80)),
            ("https://a/b", (true, "a", 443)),
            ("ws://a:443/", (false, "a", 443)),
            ("ws://a:/", (false, "a", 80)),
            ("ws://a:080?x=1", (false, "a", 80)),
            ("ws://192.0.2.1:81/", (false, "192.0.2.1", 81)),
            ("wss://[2001:db8::7]/", (true, "2001:db8::7", 443)),
            ("ws://[::1]:9001", (false, "::1", 9001)),
        ] {
            let parsed = WebSocketUri::parse(uri).unwrap_or_else(|error| panic!("{uri}: {error}"));
            assert_eq!((parsed.is_secure(), parsed.host(), parsed.port()), expected, "{uri}");
        }
    }

    #[test]
    fn a_uri_without_a_host_reports_the_missing_host() {
        for uri in ["wss://", "ws:///chat", "ws://?q", "wss://:9001/"] {
            let refused = WebSocketUri::parse(uri);
            assert!(matches!(refused, Err(UriError::HostMissing)), "{uri}: {refused:?}");
        }
    }

    #[test]
    fn a_host_that_a_server_would_refuse_is_malformed() {
        for uri in ["ws://x1v[].:1/*", "ws://a[::1]/", "ws://[::1]a/"] {
            let refused = WebSocketUri::parse(uri);
            assert!(matches!(refused, Err(UriError::Malformed(_))), "{uri}: {refused:?}");
        }
    }
}
