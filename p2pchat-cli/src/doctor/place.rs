//! Addresses: what kind they are, and whether they are this machine's.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket},
};

use super::{Report, Step};

/// From where an address can be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// From this machine.
    Loopback,
    /// From the same network.
    Private,
    /// From a provider's own network, which many share behind one address (RFC 6598), or from an overlay network.
    Shared,
    /// From anywhere, as far as nothing in between keeps it out.
    Public,
}

impl Kind {
    pub(super) fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            ip if ip.is_loopback() => Self::Loopback,
            IpAddr::V4(ip) if ip.is_private() || ip.is_link_local() => Self::Private,
            IpAddr::V4(ip) if matches!(ip.octets(), [100, 64..=127, ..]) => Self::Shared,
            IpAddr::V6(ip) if ip.is_unique_local() || ip.is_unicast_link_local() => Self::Private,
            _ => Self::Public,
        }
    }
}

/// True if an interface of this machine has that address: only there can a socket be bound to it.
pub(super) fn is_own(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

/// Why the port for peer streams can't be had, if it can't.
pub(super) fn is_taken(port: u16) -> Option<io::Error> {
    if port == 0 {
        return None;
    }
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Some(error),
        // There may be no IPv6 here.
        Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).err(),
        Ok(_) => None,
    }
}

pub(super) fn say_taken(report: &mut Report<'_>, port: u16, why: &io::Error) {
    let advice = match why.kind() {
        io::ErrorKind::AddrInUse => {
            "Another program has it, perhaps a client of yours, which is fine if you meant that one. Otherwise choose another \
             by --peer-port. What follows is about a free port."
        }
        _ => "Choose another by --peer-port. What follows is about a free port.",
    };
    report.warning(Step::Port, format!("port {port} can't be listened on: {why}"), advice);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart_by_who_can_dial_them() {
        for (address, kind) in [
            ("127.0.0.1", Kind::Loopback),
            ("::1", Kind::Loopback),
            ("::ffff:127.0.0.1", Kind::Loopback),
            ("10.1.2.3", Kind::Private),
            ("192.168.0.9", Kind::Private),
            ("172.32.0.1", Kind::Public),
            ("169.254.1.1", Kind::Private),
            ("fd00::1", Kind::Private),
            ("fe80::1", Kind::Private),
            ("100.63.0.1", Kind::Public),
            ("100.64.0.1", Kind::Shared),
            ("100.127.255.1", Kind::Shared),
            ("203.0.113.7", Kind::Public),
            ("2001:db8::1", Kind::Public),
        ] {
            assert_eq!(Kind::of(address.parse().unwrap()), kind, "{address}");
        }
        assert!(is_own(Ipv4Addr::LOCALHOST.into()));
        assert!(!is_own("203.0.113.7".parse().unwrap()), "an address of nobody's");
    }

    #[test]
    fn a_port_that_another_has_is_taken() {
        let other = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let port = other.local_addr().unwrap().port();
        assert_eq!(is_taken(port).map(|error| error.kind()), Some(io::ErrorKind::AddrInUse));
        drop(other);
        assert!(is_taken(port).is_none() && is_taken(0).is_none());
    }
}
