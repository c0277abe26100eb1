//! A network in CIDR notation.
//!
//! The crate `ipnet` has this type too. Of its many operations only the two in this file are needed, and every server would
//! compile all of them.

use std::net::IpAddr;

/// The addresses that begin with the same bits as `address`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Network {
    address: IpAddr,
    /// The number of bits that are the same.
    prefix_len: u8,
}

impl Network {
    /// Reads `10.0.0.0/8`, or one address. The bits after the prefix do not matter. A network of IPv4 addresses in the form
    /// of IPv6 (`::ffff:10.0.0.0/104`) becomes one of IPv4 addresses.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, prefix_len) = match text.split_once('/') {
            Some((address, prefix_len)) => (address, Some(prefix_len)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let max = if address.is_ipv4() { 32 } else { 128 };
        let prefix_len = match prefix_len {
            // `parse` also accepts a plus sign.
            Some(digits) if digits.starts_with(|first: char| first.is_ascii_digit()) => {
                digits.parse().ok()?
            }
            Some(_) => return None,
            None => max,
        };
        if prefix_len > max {
            return None;
        }
        Some(match address.to_canonical() {
            ipv4 @ IpAddr::V4(_) if address.is_ipv6() && prefix_len >= 96 => {
                Self { address: ipv4, prefix_len: prefix_len - 96 }
            }
            _ => Self { address, prefix_len },
        })
    }

    /// Returns whether `ip`, in its canonical form, is in this network.
    pub(super) fn contains(self, ip: IpAddr) -> bool {
        let common_prefix_len = match (self.address, ip) {
            (IpAddr::V4(address), IpAddr::V4(ip)) => (address.to_bits() ^ ip.to_bits()).leading_zeros(),
            (IpAddr::V6(address), IpAddr::V6(ip)) => (address.to_bits() ^ ip.to_bits()).leading_zeros(),
            _ => return false,
        };
        common_prefix_len >= u32::from(self.prefix_len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_the_addresses_with_its_prefix() {
        for (network, inside, outside) in [
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("192.0.2.1/32", "192.0.2.1", "192.0.2.0"),
            ("192.0.2.0/31", "192.0.2.1", "192.0.2.2"),
            ("192.0.2.128/25", "192.0.2.255", "192.0.2.127"),
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("128.0.0.0/1", "255.0.0.1", "127.255.255.255"),
            ("0.0.0.0/0", "203.0.113.1", "::1"),
            ("::/0", "2001:db8::1", "203.0.113.1"),
            ("::1", "::1", "::2"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("2001:db8::2/127", "2001:db8::3", "2001:db8::1"),
            // The bits after the prefix do not matter.
            ("10.1.2.3/8", "10.9.9.9", "11.0.0.1"),
            // IPv4 in the form of IPv6.
            ("::ffff:192.0.2.0/120", "192.0.2.9", "192.0.3.9"),
            ("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("::ffff:0:0/96", "203.0.113.1", "::1"),
            ("::ffff:0:0/95", "::fffe:0:1", "203.0.113.1"),
        ] {
            let parsed = Network::parse(network).unwrap();
            assert!(parsed.contains(inside.parse().unwrap()), "{network} {inside}");
            assert!(!parsed.contains(outside.parse().unwrap()), "{network} {outside}");
        }
    }

    #[test]
    fn other_texts_are_no_networks() {
        for text in [
            "",
            "/",
            "/8",
            "*",
            "localhost",
            "10.0.0",
            "10.0.0/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/256",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0.0/8.0",
            "10.0.0.0/8/8",
            "10.0.0.0 /8",
            "10.0.0.0/255.0.0.0",
            "::/129",
            "[::1]",
            "fe80::1%1/64",
        ] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
