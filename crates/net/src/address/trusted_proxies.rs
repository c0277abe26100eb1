//! The trusted proxies, and the addresses of clients that they report.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName};

use super::client_address::{ClientAddress, is_private};
use super::forwarded;
use super::network::Network;
use crate::PeerAddress;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The most entries that are read. More proxies in a row than this are a mistake, or an attack.
const MAX_ENTRIES: usize = 32;

/// The header in which the proxies report the address of a client. The other header is never read: a proxy passes on
/// what the client has written there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`, the default.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// None: the proxies forward TCP connections, and report addresses with the PROXY protocol only.
    None,
}

/// The addresses of the proxies in front of a server, and the header in which they report the addresses of their
/// clients. Default: no proxies, so no header is believed.
///
/// If a connection comes from a trusted proxy, the last entry of the header is the address that this proxy has seen. If
/// that is the address of a trusted proxy too, the entry before it counts, and so on. What is before the first address
/// that is not trusted is ignored, because the client may have written it. An entry that is no address ends the search.
/// Then the address of the last trusted proxy counts, and [`ClientAddress::is_trusted_proxy`] is true.
///
/// List only proxies. A client with a trusted address can claim any address.
///
/// ```
/// use tidewire_net::TrustedProxies;
///
/// let proxies = TrustedProxies::new(["127.0.0.1", "10.0.0.0/8", "2001:db8::/32"])?;
/// assert!(proxies.contains("10.1.2.3".parse()?));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies {
    networks: Vec<Network>,
    /// `None` if the program has not chosen one.
    header: Option<ForwardedHeader>,
}

/// An extension of requests whose [`PeerAddress`] comes from the PROXY protocol.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InProxyHeader;

/// A text that is neither an address nor a network in CIDR notation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidNetwork {
    text: String,
}

impl fmt::Display for InvalidNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is neither an IP address nor a network such as 10.0.0.0/8", self.text)
    }
}

impl std::error::Error for InvalidNetwork {}

impl TrustedProxies {
    /// Trusts these addresses and networks, in CIDR notation. The header is `X-Forwarded-For`, or none for a request whose
    /// address comes from the PROXY protocol.
    ///
    /// # Errors
    /// Returns an error if a text is neither an address nor a network.
    pub fn new<T: AsRef<str>>(networks: impl IntoIterator<Item = T>) -> Result<Self, InvalidNetwork> {
        let networks = networks.into_iter().map(|text| {
            let text = text.as_ref().trim_ascii();
            Network::parse(text).ok_or_else(|| InvalidNetwork { text: text.to_owned() })
        });
        Ok(Self { networks: networks.collect::<Result<_, _>>()?, header: None })
    }

    /// Sets the header that the proxies write. Each of them must replace it or append to it.
    #[must_use]
    pub fn header(mut self, header: ForwardedHeader) -> Self {
        self.header = Some(header);
        self
    }

    /// Returns whether `ip` is the address of a trusted proxy.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.networks.iter().any(|network| network.contains(ip))
    }

    /// Returns the address of the client that has sent a request. The request has the extension [`PeerAddress`] if its
    /// peer has an address that is known. A [`ClientAddress`] among the extensions is returned as it is.
    #[must_use]
    pub fn client_address(&self, request: &http::request::Parts) -> Option<ClientAddress> {
        if let Some(address) = request.extensions.get::<ClientAddress>() {
            return Some(*address);
        }
        let peer = PeerAddress::of(&request.extensions)?.0.ip().to_canonical();
        // A client in a trusted network can write any header, and a proxy of TCP connections passes it on. Only a program
        // that chooses a header has a proxy of HTTP requests in front of that one.
        let is_client = self.header.is_none() && request.extensions.get::<InProxyHeader>().is_some();
        if self.contains(peer) && !is_client {
            return Some(self.resolve(peer, &request.headers));
        }
        if !is_client && is_private(peer) && has_forwarded_header(&request.headers) {
            warn_about_undeclared_proxy(peer);
        }
        Some(ClientAddress::new(peer))
    }

    /// Inserts the result of [`client_address`](Self::client_address) into the extensions of the request.
    pub fn insert_client_address(&self, request: &mut http::request::Parts) {
        if let Some(address) = self.client_address(request) {
            request.extensions.insert(address);
        }
    }

    /// Reads the header of a request that a trusted proxy has forwarded.
    fn resolve(&self, proxy: IpAddr, headers: &HeaderMap) -> ClientAddress {
        match self.header.unwrap_or_default() {
            ForwardedHeader::XForwardedFor => self
                .client_before(proxy, lines(headers, &X_FORWARDED_FOR).flat_map(forwarded::x_forwarded_for)),
            ForwardedHeader::Forwarded => {
                self.client_before(proxy, lines(headers, &FORWARDED).flat_map(forwarded::forwarded))
            }
            ForwardedHeader::None => ClientAddress::of_proxy(proxy),
        }
    }

    /// Returns the first of the entries, from the newest to the oldest, that is not a trusted proxy.
    fn client_before(
        &self,
        mut proxy: IpAddr,
        entries: impl Iterator<Item = Option<IpAddr>>,
    ) -> ClientAddress {
        for entry in entries.take(MAX_ENTRIES) {
            match entry {
                Some(ip) if self.contains(ip) => proxy = ip,
                Some(ip) => return ClientAddress::new(ip),
                None => break,
            }
        }
        ClientAddress::of_proxy(proxy)
    }
}

/// Returns the lines of a header, the last one first.
fn lines<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers.get_all(name).iter().rev().map(http::HeaderValue::as_bytes)
}

fn has_forwarded_header(headers: &HeaderMap) -> bool {
    headers.contains_key(X_FORWARDED_FOR) || headers.contains_key(FORWARDED)
}

/// Says once that there seems to be a proxy that the program does not trust. All its clients then have one address.
fn warn_about_undeclared_proxy(peer: IpAddr) {
    static HAS_WARNED: AtomicBool = AtomicBool::new(false);
    if !HAS_WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            %peer,
            "a request has passed through a proxy that is not in `trusted_proxies`: the address of its client is unknown"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(peer: Option<&str>, fields: &[(&str, &str)]) -> http::request::Parts {
        let mut request = http::Request::new(());
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        }
        if let Some(peer) = peer {
            request.extensions_mut().insert(PeerAddress(peer.parse().unwrap()));
        }
        request.into_parts().0
    }

    fn proxies() -> TrustedProxies {
        TrustedProxies::new(["127.0.0.1", "10.0.0.0/8", "2001:db8:1::/48"]).unwrap()
    }

    /// The address of the client, with a `*` if it is that of a proxy.
    fn resolve(proxies: &TrustedProxies, peer: &str, fields: &[(&str, &str)]) -> String {
        let address = proxies.client_address(&request(Some(peer), fields)).unwrap();
        format!("{}{}", address.ip(), if address.is_trusted_proxy() { "*" } else { "" })
    }

    #[test]
    fn the_last_address_that_is_not_trusted_is_the_client() {
        let proxies = proxies();
        let chain = [
            ("203.0.113.7", "203.0.113.7"),
            // What the client has claimed comes first.
            ("198.51.100.1, 203.0.113.7", "203.0.113.7"),
            ("127.0.0.1, 203.0.113.7", "203.0.113.7"),
            ("203.0.113.7, 10.0.0.2, 10.0.0.1", "203.0.113.7"),
            ("198.51.100.1, 203.0.113.7, 10.0.0.1", "203.0.113.7"),
            ("203.0.113.7, 2001:db8:1::5", "203.0.113.7"),
            ("203.0.113.7, ::ffff:10.0.0.1", "203.0.113.7"),
            ("2001:db8:2::5", "2001:db8:2::5"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            // All are trusted: the first one has sent the request.
            ("10.0.0.2, 10.0.0.1", "10.0.0.2*"),
            // Nothing is known beyond the last trusted proxy.
            ("203.0.113.7, unknown", "127.0.0.1*"),
            ("203.0.113.7, _hidden, 10.0.0.1", "10.0.0.1*"),
            ("", "127.0.0.1*"),
        ];
        for (line, expected) in chain {
            assert_eq!(resolve(&proxies, "127.0.0.1:5", &[("x-forwarded-for", line)]), expected, "{line}");
        }
        assert_eq!(resolve(&proxies, "127.0.0.1:5", &[]), "127.0.0.1*");
        assert_eq!(
            resolve(&proxies, "[::ffff:10.0.0.9]:5", &[("x-forwarded-for", "203.0.113.7")]),
            "203.0.113.7"
        );
    }

    #[test]
    fn several_lines_are_one_list() {
        let lines = [("x-forwarded-for", "198.51.100.1"), ("x-forwarded-for", "203.0.113.7, 10.0.0.1")];
        assert_eq!(resolve(&proxies(), "10.0.0.2:5", &lines), "203.0.113.7");
        let lines = [("x-forwarded-for", "203.0.113.7"), ("x-forwarded-for", "10.0.0.1")];
        assert_eq!(resolve(&proxies(), "10.0.0.2:5", &lines), "203.0.113.7");
    }

    #[test]
    fn a_peer_that_is_not_trusted_is_the_client_whatever_it_claims() {
        let claims = [("x-forwarded-for", "198.51.100.1"), ("forwarded", "for=198.51.100.1")];
        for proxies in [proxies(), proxies().header(ForwardedHeader::Forwarded), TrustedProxies::default()] {
            assert_eq!(resolve(&proxies, "203.0.113.7:5", &claims), "203.0.113.7");
        }
    }

    #[test]
    fn only_the_chosen_header_is_read() {
        let both = [("x-forwarded-for", "203.0.113.7"), ("forwarded", "for=\"[2001:db8:2::5]:99\"")];
        let peer = "127.0.0.1:5";
        assert_eq!(resolve(&proxies(), peer, &both), "203.0.113.7");
        assert_eq!(resolve(&proxies().header(ForwardedHeader::Forwarded), peer, &both), "2001:db8:2::5");
        assert_eq!(resolve(&proxies().header(ForwardedHeader::None), peer, &both), "127.0.0.1*");
        assert_eq!(resolve(&proxies(), peer, &both[1..]), "127.0.0.1*");
    }

    #[test]
    fn bytes_that_are_not_text_do_not_hide_the_entry_of_the_proxy() {
        for (header, line) in [
            (ForwardedHeader::XForwardedFor, &b"\xff, 203.0.113.7"[..]),
            (ForwardedHeader::Forwarded, b"for=\xff;host=\"\xfe, for=203.0.113.7"),
        ] {
            let mut request = request(Some("127.0.0.1:5"), &[]);
            let name = if header == ForwardedHeader::Forwarded { FORWARDED } else { X_FORWARDED_FOR };
            request.headers.insert(name, http::HeaderValue::from_bytes(line).unwrap());
            let address = proxies().header(header).client_address(&request).unwrap();
            assert_eq!((address.ip().to_string(), address.is_trusted_proxy()), ("203.0.113.7".into(), false));
        }
    }

    #[test]
    fn a_long_chain_of_trusted_addresses_ends_the_search() {
        let line = "10.0.0.1,".repeat(1_000) + "10.0.0.1";
        let line = format!("203.0.113.7,{line}");
        assert_eq!(resolve(&proxies(), "127.0.0.1:5", &[("x-forwarded-for", &line)]), "10.0.0.1*");
    }

    #[test]
    fn with_the_proxy_protocol_no_header_is_believed_unless_the_program_chooses_one() {
        let mut request = request(Some("10.0.0.5:5"), &[("x-forwarded-for", "203.0.113.7")]);
        request.extensions.insert(InProxyHeader);
        let address = proxies().client_address(&request).unwrap();
        assert_eq!((address.ip().to_string(), address.is_trusted_proxy()), ("10.0.0.5".into(), false));
        let chosen = proxies().header(ForwardedHeader::XForwardedFor).client_address(&request).unwrap();
        assert_eq!(chosen.ip().to_string(), "203.0.113.7");
    }

    #[test]
    fn without_the_address_of_the_peer_no_header_is_believed() {
        let request = request(None, &[("x-forwarded-for", "203.0.113.7")]);
        assert_eq!(proxies().client_address(&request), None);
    }

    #[test]
    fn an_address_that_the_program_has_inserted_stays() {
        let mut request = request(Some("127.0.0.1:5"), &[("x-forwarded-for", "203.0.113.7")]);
        let inserted = ClientAddress::new("198.51.100.9".parse().unwrap());
        request.extensions.insert(inserted);
        proxies().insert_client_address(&mut request);
        assert_eq!(request.extensions.get::<ClientAddress>(), Some(&inserted));
    }

    #[test]
    fn networks_are_addresses_or_in_cidr_notation() {
        let proxies = TrustedProxies::new(["192.0.2.1", " 10.0.0.0/8 "]).unwrap();
        for (ip, is_trusted) in
            [("192.0.2.1", true), ("::ffff:10.9.9.9", true), ("192.0.2.2", false), ("11.0.0.1", false)]
        {
            assert_eq!(proxies.contains(ip.parse().unwrap()), is_trusted, "{ip}");
        }
        let error = TrustedProxies::new(["10.0.0.0/8", "localhost "]).unwrap_err();
        let expected = "\"localhost\" is neither an IP address nor a network such as 10.0.0.0/8";
        assert_eq!(error.to_string(), expected);
    }
}
