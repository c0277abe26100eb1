//! The address of a client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address of the client that has sent a request, an extension of the request. Behind a
/// [trusted proxy](crate::TrustedProxies) it is the address that the proxy reports. It has no port, because proxies
/// seldom report one.
///
/// The servers insert it into each request that opens a session or a WebSocket, before they call `allow_request`. A
/// program that knows the address from elsewhere can insert it first, for instance in a layer: an address that is
/// already there is not replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientAddress {
    ip: IpAddr,
    is_proxy: bool,
}

impl ClientAddress {
    /// Creates the address of a client. An IPv4 address in the form of IPv6 (`::ffff:192.0.2.1`) becomes an IPv4
    /// address.
    #[must_use]
    pub fn new(ip: IpAddr) -> Self {
        Self { ip: ip.to_canonical(), is_proxy: false }
    }

    /// Creates the address of a trusted proxy, which stands for clients with unknown addresses.
    pub(super) fn of_proxy(ip: IpAddr) -> Self {
        Self { is_proxy: true, ..Self::new(ip) }
    }

    /// Returns the address.
    #[must_use]
    pub fn ip(self) -> IpAddr {
        self.ip
    }

    /// Returns whether this is the address of a trusted proxy. Such a request comes from the proxy itself, or the proxy
    /// did not report the address of its client.
    #[must_use]
    pub fn is_trusted_proxy(self) -> bool {
        self.is_proxy
    }
}

/// Returns whether an address is not one of the public internet: loopback, private (RFC 1918), link-local, unique local
/// (RFC 4193), or shared by the customers of a provider (RFC 6598).
pub(super) fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            // 100.64.0.0/10
            let is_shared = first == 100 && second & 0b1100_0000 == 64;
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified() || is_shared
        }
        IpAddr::V6(ip) => {
            ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_unspecified()
        }
    }
}

/// The network that counts as one client: an IPv4 address, or the /64 network of an IPv6 address. One customer has a whole
/// /64 and can use any address in it. [`AddressLimits::network_of`](crate::AddressLimits::network_of) returns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientNetwork(pub(super) u128);

/// Returns the network of an address, as its first address in the form of IPv6.
pub(super) fn client_network(ip: IpAddr) -> u128 {
    /// An IPv6 address that holds an IPv4 address in its last 32 bits (64:ff9b::/96, RFC 6052), as translators in front
    /// of a network without IPv4 write it.
    const TRANSLATED: u128 = 0x0064_ff9b << 96;
    let mapped = |ip: Ipv4Addr| ip.to_ipv6_mapped().to_bits();
    match ip.to_canonical() {
        IpAddr::V4(ip) => mapped(ip),
        IpAddr::V6(ip) => match ip.to_bits() {
            bits if bits >> 32 == TRANSLATED >> 32 => mapped(Ipv4Addr::from_bits(bits as u32)),
            bits => Ipv6Addr::from_bits(bits >> 64 << 64).to_bits(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_not_public_are_private() {
        for (ip, expected) in [
            ("127.0.0.1", true),
            ("10.255.0.1", true),
            ("172.16.0.1", true),
            ("172.32.0.1", false),
            ("192.168.1.1", true),
            ("169.254.1.1", true),
            ("100.64.0.1", true),
            ("100.127.255.255", true),
            ("100.128.0.1", false),
            ("100.63.255.255", false),
            ("203.0.113.1", false),
            ("::1", true),
            ("fd12::1", true),
            ("fe80::1", true),
            ("2001:db8::1", false),
            ("::ffff:10.0.0.1", true),
            ("::ffff:203.0.113.1", false),
        ] {
            assert_eq!(is_private(ip.parse().unwrap()), expected, "{ip}");
        }
    }

    #[test]
    fn one_ipv4_address_and_one_ipv6_network_of_64_bits_is_a_client() {
        for (one, other, is_same) in [
            ("203.0.113.1", "203.0.113.1", true),
            ("203.0.113.1", "203.0.113.2", false),
            ("203.0.113.1", "::ffff:203.0.113.1", true),
            ("203.0.113.1", "64:ff9b::203.0.113.1", true),
            ("64:ff9b::203.0.113.1", "64:ff9b::203.0.113.2", false),
            ("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", true),
            ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
            ("::1", "127.0.0.1", false),
        ] {
            let network = |ip: &str| client_network(ip.parse().unwrap());
            assert_eq!(network(one) == network(other), is_same, "{one} {other}");
        }
    }
}
