//! Where a registry may have us dial.

use std::net::{IpAddr, SocketAddr};

use super::RequestError;

/// Ports below this one belong to system services, which nobody is to be made to dial.
const LOWEST_PORT: u16 = 1_024;

pub(super) fn dialable(ip: IpAddr, port: u16) -> Result<SocketAddr, RequestError> {
    let ip = ip.to_canonical();
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    if port < LOWEST_PORT {
        Err(RequestError::NoPort)
    } else if ip.is_unspecified() || ip.is_multicast() || broadcast {
        Err(RequestError::Unreachable(format!("{ip} is nobody's address")))
    } else {
        Ok(SocketAddr::new(ip, port))
    }
}
