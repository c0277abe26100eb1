//! Reads the entries of `X-Forwarded-For` and `Forwarded` (RFC 7239), the last one first.
//!
//! Only the last entry is certainly the one of our own proxy: everything before it may come from the client. Therefore
//! a line is read from its end, where no quote that a client has left open can change what the proxy has appended. For
//! the same reason a line is bytes, and each entry is read alone: what a client writes need not be text.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Splits the last element off a list in which a comma or a semicolon may be quoted. Returns the rest, if there is one,
/// and the element.
fn split_last(list: &[u8], separator: u8) -> (Option<&[u8]>, &[u8]) {
    let mut is_quoted = false;
    for (index, &byte) in list.iter().enumerate().rev() {
        if byte == b'"' {
            let backslashes = list[..index].iter().rev().take_while(|&&byte| byte == b'\\').count();
            is_quoted ^= backslashes % 2 == 0;
        } else if byte == separator && !is_quoted {
            return (Some(&list[..index]), list[index + 1..].trim_ascii());
        }
    }
    (None, list.trim_ascii())
}

/// The elements of a list that may have quoted parts, the last one first.
fn elements(list: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(list);
    std::iter::from_fn(move || {
        let (before, element) = split_last(rest?, separator);
        rest = before;
        Some(element)
    })
}

/// Returns the entries of one line of `X-Forwarded-For`, the last one first. An entry that is no address is `None`.
pub(super) fn x_forwarded_for(line: &[u8]) -> impl Iterator<Item = Option<IpAddr>> {
    line.rsplit(|&byte| byte == b',').map(|entry| parse_node(str::from_utf8(entry.trim_ascii()).ok()?))
}

/// Returns the entries of one line of `Forwarded`, the last one first. An entry without an address is `None`.
pub(super) fn forwarded(line: &[u8]) -> impl Iterator<Item = Option<IpAddr>> {
    elements(line, b',').map(|element| {
        let mut nodes = elements(element, b';').filter_map(|pair| {
            let equals = pair.iter().position(|&byte| byte == b'=')?;
            pair[..equals].eq_ignore_ascii_case(b"for").then_some(&pair[equals + 1..])
        });
        // RFC 7239 §4: a parameter must not occur twice in an element.
        let (Some(value), None) = (nodes.next(), nodes.next()) else { return None };
        let value = str::from_utf8(value).ok()?;
        match value.strip_prefix('"') {
            // An address needs no escaped character.
            Some(quoted) => parse_node(quoted.strip_suffix('"')?),
            None => parse_node(value),
        }
    })
}

/// Reads an address with or without a port. An IPv6 address may be in brackets, and needs them if it has a port.
/// `unknown`, and names that hide the address (`_hidden`), are none.
fn parse_node(node: &str) -> Option<IpAddr> {
    if let Ok(ip) = node.parse() {
        return Some(ip);
    }
    if let Ok(address) = node.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    if let Some(bracketed) = node.strip_prefix('[') {
        let (ip, port) = bracketed.split_once(']')?;
        let port =
            if port.is_empty() { Some(port) } else { port.strip_prefix(':').filter(|port| is_hidden(port)) };
        return port.and(ip.parse::<Ipv6Addr>().ok()).map(IpAddr::V6);
    }
    let (ip, _) = node.split_once(':').filter(|(_, port)| is_hidden(port))?;
    ip.parse().ok().map(IpAddr::V4)
}

/// RFC 7239 §6.3: the name in the place of an address or a port that a proxy hides.
fn is_hidden(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    name.strip_prefix('_').is_some_and(|name| !name.is_empty() && name.bytes().all(is_allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(entries: impl Iterator<Item = Option<IpAddr>>) -> String {
        let text = |ip: Option<IpAddr>| ip.map_or("-".to_owned(), |ip| ip.to_string());
        entries.map(text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn x_forwarded_for_is_a_list_of_addresses_with_or_without_ports() {
        for (line, expected) in [
            ("203.0.113.1", "203.0.113.1"),
            ("198.51.100.1, 203.0.113.1", "203.0.113.1 198.51.100.1"),
            ("198.51.100.1,\t203.0.113.1 ", "203.0.113.1 198.51.100.1"),
            ("203.0.113.1:4711", "203.0.113.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("::ffff:203.0.113.1", "::ffff:203.0.113.1"),
            ("unknown, 203.0.113.1", "203.0.113.1 -"),
            ("", "-"),
            ("203.0.113.1,", "- 203.0.113.1"),
            ("203.0.113.1,,198.51.100.1", "198.51.100.1 - 203.0.113.1"),
            ("localhost", "-"),
            ("203.0.113.256", "-"),
            ("203.0.113.1:65536", "-"),
            ("203.0.113.01", "-"),
            ("0x7f.1", "-"),
            ("fe80::1%eth0", "-"),
            ("unix:", "-"),
            ("\"203.0.113.1\"", "-"),
            ("[203.0.113.1]", "-"),
            ("[2001:db8::1", "-"),
            ("[2001:db8::1]4711", "-"),
            ("203.0.113.1 198.51.100.1", "-"),
        ] {
            assert_eq!(texts(x_forwarded_for(line.as_bytes())), expected, "{line}");
        }
    }

    #[test]
    fn forwarded_has_the_address_in_its_parameter_for() {
        for (line, expected) in [
            // RFC 7239 §4.
            ("for=\"_gazonk\"", "-"),
            ("For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
            ("for=192.0.2.43, for=198.51.100.17", "198.51.100.17 192.0.2.43"),
            // §6.
            ("for=\"192.0.2.43:47011\"", "192.0.2.43"),
            ("for=\"192.0.2.43:_port\"", "192.0.2.43"),
            ("for=\"[2001:db8::1]:_p.1\"", "2001:db8::1"),
            ("for=\"[2001:db8::1]\"", "2001:db8::1"),
            ("for=unknown", "-"),
            ("for=\"unknown:4711\"", "-"),
            // Lenient, as no harm is possible: a colon in a value that is not quoted.
            ("for=192.0.2.43:47011", "192.0.2.43"),
            ("FOR=192.0.2.60 ; Proto=https", "192.0.2.60"),
            ("proto=http;for=192.0.2.60", "192.0.2.60"),
            ("proto=http", "-"),
            ("for", "-"),
            ("for=", "-"),
            ("for=\"192.0.2.43", "-"),
            ("for=192.0.2.1;for=192.0.2.2", "-"),
            ("xfor=192.0.2.1", "-"),
            ("for=\"192.0.2.43:_\"", "-"),
            ("for=192.0.2.60;host=\"a,b;for=192.0.2.1\"", "192.0.2.60"),
            ("for=192.0.2.60;host=\"a\\\",b\"", "192.0.2.60"),
            ("192.0.2.60", "-"),
        ] {
            assert_eq!(texts(forwarded(line.as_bytes())), expected, "{line}");
        }
    }

    #[test]
    fn a_quote_that_a_client_has_left_open_does_not_hide_what_the_proxy_appends() {
        for claimed in ["for=\"", "for=192.0.2.1;host=\"", "for=\"\\", "\"\\\"", ";;;="] {
            let line = format!("{claimed}, for=\"[2001:db8::1]:4711\";proto=https");
            let first = forwarded(line.as_bytes()).next();
            assert_eq!(first, Some("2001:db8::1".parse().ok()), "{line}");
        }
    }

    #[test]
    fn any_text_has_a_finite_number_of_entries() {
        for line in ["ü,\"ü", "\\\\\"\\", ",,,,", "\"\"\"", "for=\"ü\",for=ü", "[", "]:", ":", "[]", "for=["]
        {
            let line = line.as_bytes();
            assert!(x_forwarded_for(line).count() <= 8 && forwarded(line).count() <= 8, "{line:?}");
        }
    }

    #[test]
    fn bytes_that_are_not_text_spoil_only_their_own_entry() {
        for (line, expected) in [
            (&b"\xff, 203.0.113.1"[..], "203.0.113.1 -"),
            (b"198.51.100.1, \xc3, 203.0.113.1", "203.0.113.1 - 198.51.100.1"),
            (b"198.51.100.1, 203.0.113.1\xa0", "- 198.51.100.1"),
        ] {
            assert_eq!(texts(x_forwarded_for(line)), expected, "{line:?}");
        }
        for (line, expected) in [
            (&b"for=\xff, for=203.0.113.1"[..], "203.0.113.1 -"),
            (b"host=\"\xff\";for=198.51.100.1, \xff=;for=203.0.113.1", "203.0.113.1 198.51.100.1"),
            (b"for=198.51.100.1, for=203.0.113.1\xa0", "- 198.51.100.1"),
        ] {
            assert_eq!(texts(forwarded(line)), expected, "{line:?}");
        }
    }
}
