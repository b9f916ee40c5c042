//! Where strangers come from, as far as it tells them apart.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

/// The addresses that count as one: an IPv4 address, or an IPv6 network of /64, which is what one customer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Prefix(IpAddr);

impl Prefix {
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        })
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, if self.0.is_ipv4() { 32 } else { 64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_of_64_bits_is_one_prefix() {
        let of = |text: &str| Prefix::of(text.parse().unwrap());
        for (a, b, same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", true),
            ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
        ] {
            assert_eq!(of(a) == of(b), same, "{a} {b}");
        }
        assert_eq!(of("::ffff:192.0.2.1").to_string(), "192.0.2.1/32");
        assert_eq!(of("2001:db8:0:1::9").to_string(), "2001:db8:0:1::/64");
    }
}
