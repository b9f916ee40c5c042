//! Networks of addresses.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
    str::FromStr,
};

/// The addresses that begin with the same bits: an IPv4 network of /8 to /32 or an IPv6 network of /16 to /128.
///
/// `Display` and `FromStr` are `192.0.2.0/24`; an address alone is the network that holds nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subnet {
    /// The first address, in canonical form.
    address: IpAddr,
    length: u8,
}

/// Why something is no [`Subnet`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubnetError {
    /// No address, or no number after the slash.
    #[error("{found:?} is no network: 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32 are")]
    Malformed {
        /// What was written.
        found: String,
    },
    /// A network of such a length would be no part of the internet, or most of it.
    #[error("/{found} is not possible: a network of these addresses has /{min} to /{max}")]
    Length {
        /// The length.
        found: u8,
        /// The shortest, which is the widest network.
        min: u8,
        /// The longest, which is one address.
        max: u8,
    },
    /// The address isn't the network's first: perhaps another length was meant.
    #[error("{address} is inside the network {subnet}: write that, or {address} alone")]
    Inside {
        /// What was written.
        address: IpAddr,
        /// The network that it is in.
        subnet: Subnet,
    },
}

impl Subnet {
    /// The network that begins with `address` and has `length` bits in common.
    ///
    /// # Errors
    /// If the length is out of bounds, or the network begins elsewhere.
    pub fn new(address: IpAddr, length: u8) -> Result<Self, SubnetError> {
        let (address, length) = match address.to_canonical() {
            // An IPv4 address in IPv6's notation, with a length in that notation as well.
            canonical if canonical.is_ipv4() && address.is_ipv6() => (canonical, length.saturating_sub(96)),
            canonical => (canonical, length),
        };
        let lengths = lengths(address);
        if !lengths.contains(&length) {
            return Err(SubnetError::Length { found: length, min: *lengths.start(), max: *lengths.end() });
        }
        let subnet = Self::around(address, length);
        if subnet.address != address {
            return Err(SubnetError::Inside { address, subnet });
        }
        Ok(subnet)
    }

    fn around(address: IpAddr, length: u8) -> Self {
        let address = match address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32_u32.saturating_sub(length.into())).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128_u32.saturating_sub(length.into())).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
            }
        };
        Self { address, length }
    }

    /// The networks that an address is in, the narrowest first.
    pub fn all_around(address: IpAddr) -> impl Iterator<Item = Self> {
        let address = address.to_canonical();
        lengths(address).rev().map(move |length| Self::around(address, length))
    }

    /// Its first address, and how many bits its addresses have in common.
    pub fn parts(&self) -> (IpAddr, u8) {
        (self.address, self.length)
    }

    /// True if the address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && Self::around(address, self.length) == *self
    }
}

fn lengths(address: IpAddr) -> RangeInclusive<u8> {
    if address.is_ipv4() { 8..=32 } else { 16..=128 }
}

impl FromStr for Subnet {
    type Err = SubnetError;

    fn from_str(text: &str) -> Result<Self, SubnetError> {
        let malformed = || SubnetError::Malformed { found: text.chars().take(64).collect() };
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse().map_err(|_| malformed())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| malformed())?;
        Self::new(address, length.unwrap_or(if address.is_ipv4() { 32 } else { 128 }))
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Result<Subnet, String> {
        text.parse().map_err(|error: SubnetError| error.to_string())
    }

    #[test]
    fn a_network_holds_the_addresses_that_begin_like_it() {
        for (text, inside, outside) in [
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.7", "::ffff:192.0.2.7", "192.0.2.8"),
            ("::ffff:192.0.2.0/120", "192.0.2.1", "192.0.3.1"),
            ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("2001:db8::1", "2001:db8::1", "2001:db8::2"),
        ] {
            let subnet = subnet(text).unwrap();
            assert!(
                subnet.contains(inside.parse().unwrap()) && !subnet.contains(outside.parse().unwrap()),
                "{text}"
            );
            assert!(Subnet::all_around(inside.parse().unwrap()).any(|around| around == subnet), "{text}");
            assert!(!Subnet::all_around(outside.parse().unwrap()).any(|around| around == subnet), "{text}");
        }
        assert_eq!(subnet("192.0.2.7").unwrap().to_string(), "192.0.2.7/32");
        assert!(!subnet("16.0.0.0/8").unwrap().contains("1000::".parse().unwrap()));
    }

    #[test]
    fn what_is_no_network_is_said_to_be_so_and_what_to_write_instead() {
        for text in ["", "/24", "192.0.2.0/", "192.0.2.0/-1", "192.0.2.0/256", "bob", "192.0.2.0/24/24"] {
            assert!(subnet(text).unwrap_err().contains("is no network"), "{text}");
        }
        for (text, bounds) in
            [("0.0.0.0/0", "/8 to /32"), ("192.0.2.1/33", "/8 to /32"), ("::/0", "/16 to /128")]
        {
            assert!(subnet(text).unwrap_err().contains(bounds), "{text}");
        }
        let inside = subnet("192.0.2.7/24").unwrap_err();
        assert_eq!(inside, "192.0.2.7 is inside the network 192.0.2.0/24: write that, or 192.0.2.7 alone");
    }
}
