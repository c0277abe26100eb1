//! One origin: how it is read, and when two origins are the same (RFC 6454 §5).

use std::net::{Ipv4Addr, Ipv6Addr};

/// An origin that is borrowed from its text.
///
/// Browsers write an origin in only one way (RFC 6454 §6.2): in lower case, without the default port of the scheme.
/// People and other programs write it in more ways. All of them are read here and compare as equal, without an
/// allocation.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin<'t> {
    /// `null`, the origin of sandboxed frames and, in most browsers, of local files.
    Null,
    /// A scheme, a host, and the port unless it is the default port of the scheme.
    Tuple { scheme: &'t str, host: Host<'t>, port: Option<u16> },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Host<'t> {
    /// A name or an IPv4 address. Empty for schemes without hosts, such as `file`.
    Name(&'t str),
    Ipv6(Ipv6Addr),
}

impl<'t> Origin<'t> {
    /// Reads an origin, which may end in one slash.
    pub(super) fn parse(text: &'t str) -> Option<Self> {
        if text.eq_ignore_ascii_case("null") {
            return Some(Self::Null);
        }
        let (scheme, authority) = text.split_once("://")?;
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        if !is_scheme {
            return None;
        }
        if authority.is_empty() && default_port(scheme).is_none() {
            return Some(Self::Tuple { scheme, host: Host::Name(""), port: None });
        }
        let (host, port) = parse_authority(authority)?;
        let port = port.filter(|port| Some(*port) != default_port(scheme));
        Some(Self::Tuple { scheme, host, port })
    }

    /// Returns whether both are the same origin.
    pub(super) fn is_same(&self, other: &Origin<'_>) -> bool {
        match (self, other) {
            (Self::Null, Origin::Null) => true,
            (
                Self::Tuple { scheme, host, port },
                Origin::Tuple { scheme: other_scheme, host: other_host, port: other_port },
            ) => scheme.eq_ignore_ascii_case(other_scheme) && host.is_same(other_host) && port == other_port,
            _ => false,
        }
    }

    /// Returns whether this origin has the scheme and the port of `parent`, and a host below that of `parent`.
    pub(super) fn is_subdomain_of(&self, parent: &Origin<'_>) -> bool {
        let Self::Tuple { scheme, host: Host::Name(name), port } = *self else { return false };
        let Origin::Tuple { host: Host::Name(parent_name), .. } = parent else { return false };
        // Names are ASCII, so every index is a boundary.
        let Some(length) = name.len().checked_sub(parent_name.len()) else { return false };
        let (labels, rest) = name.split_at(length);
        labels.len() > 1
            && labels.ends_with('.')
            && parent.is_same(&Origin::Tuple { scheme, host: Host::Name(rest), port })
    }

    /// Returns whether the origin has the host and the port of `authority`, the value of `Host`. The scheme may differ,
    /// so the default port is that of the origin's own scheme.
    pub(super) fn has_authority(&self, authority: &str) -> bool {
        let Self::Tuple { scheme, host, port } = self else { return false };
        parse_authority(authority).is_some_and(|(other_host, other_port)| {
            host.is_same(&other_host)
                && *port == other_port.filter(|port| Some(*port) != default_port(scheme))
        })
    }
}

impl Host<'_> {
    fn is_same(&self, other: &Host<'_>) -> bool {
        match (self, other) {
            (Self::Name(name), Host::Name(other)) => name.eq_ignore_ascii_case(other),
            (Self::Ipv6(address), Host::Ipv6(other)) => address == other,
            _ => false,
        }
    }
}

/// Returns the port that is left out of an origin. Only these schemes have hosts on the network that a page is loaded
/// from.
fn default_port(scheme: &str) -> Option<u16> {
    let is = |name: &str| scheme.eq_ignore_ascii_case(name);
    match () {
        () if is("http") || is("ws") => Some(80),
        () if is("https") || is("wss") => Some(443),
        () => None,
    }
}

/// Reads a name or an address, optionally with a port.
fn parse_authority(text: &str) -> Option<(Host<'_>, Option<u16>)> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let port = match port {
        // `parse` would accept a plus sign.
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(port.parse().ok()?),
        Some(_) => return None,
        None => None,
    };
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => Host::Ipv6(address.parse().ok()?),
        None if is_host_name(host) => Host::Name(host),
        None => return None,
    };
    Some((host, port))
}

fn is_host_name(text: &str) -> bool {
    let is_name =
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    // Browsers read a host whose last label is a number as an IPv4 address, and write all its four numbers.
    let ends_in_number = text
        .rsplit('.')
        .next()
        .is_some_and(|label| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_digit()));
    is_name && (!ends_in_number || text.parse::<Ipv4Addr>().is_ok())
}
