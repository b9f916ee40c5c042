//! From a field's text to its value, as the cursor's `required` and `optional` want it.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU64,
};

use crate::{
    error::Problem,
    file::FileDigest,
    invite::InviteCode,
    limits::Limits,
    message::Follows,
    name::RoomName,
    secret::{KeepAliveProof, ParkProof, PasswordDigest, SessionTicket, SessionToken},
    value::{Capabilities, Capacity, LinkKey, PeerPort},
};

/// A decimal number without sign, from `min` to `max`.
fn number<T: TryFrom<u64>>(text: &str, min: u64, max: u64) -> Result<T, Problem> {
    let is_decimal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let value = if is_decimal { text.parse().ok().filter(|value| (min..=max).contains(value)) } else { None };
    value.and_then(|value| T::try_from(value).ok()).ok_or(Problem::NotInRange { min, max })
}

pub(super) fn u16(text: &str, _: &Limits) -> Result<u16, Problem> {
    number(text, 0, u16::MAX.into())
}

pub(super) fn u32(text: &str, _: &Limits) -> Result<u32, Problem> {
    number(text, 0, u32::MAX.into())
}

pub(super) fn peer_port(text: &str, _: &Limits) -> Result<PeerPort, Problem> {
    PeerPort::new(number(text, 1_024, u16::MAX.into())?)
}

pub(super) fn capacity(text: &str, limits: &Limits) -> Result<Capacity, Problem> {
    Capacity::new(number(text, 1, limits.capacity.into())?)
}

pub(super) fn password(text: &str, _: &Limits) -> Result<PasswordDigest, Problem> {
    PasswordDigest::new(text)
}

pub(super) fn token(text: &str, _: &Limits) -> Result<SessionToken, Problem> {
    SessionToken::new(text)
}

pub(super) fn ticket(text: &str, _: &Limits) -> Result<SessionTicket, Problem> {
    SessionTicket::new(text)
}

pub(super) fn link_key(text: &str, _: &Limits) -> Result<LinkKey, Problem> {
    LinkKey::new(text)
}

/// A word for what follows an introduction. Whoever doesn't know it can't go on.
pub(super) fn follows(text: &str, _: &Limits) -> Result<Follows, Problem> {
    if text.eq_ignore_ascii_case("tls") {
        Ok(Follows::Tls)
    } else if text.eq_ignore_ascii_case("numbering") {
        Ok(Follows::Numbering)
    } else {
        Err(Problem::Unexpected { expected: "tls or numbering" })
    }
}

/// Whether a chat goes on.
pub(super) fn chat(text: &str, _: &Limits) -> Result<bool, Problem> {
    if text.eq_ignore_ascii_case("OPEN") {
        Ok(true)
    } else if text.eq_ignore_ascii_case("CLOSED") {
        Ok(false)
    } else {
        Err(Problem::Unexpected { expected: "OPEN or CLOSED" })
    }
}

pub(super) fn invite(text: &str, _: &Limits) -> Result<InviteCode, Problem> {
    InviteCode::new(text)
}

pub(super) fn u64(text: &str, _: &Limits) -> Result<u64, Problem> {
    number(text, 0, u64::MAX)
}

pub(super) fn sequence(text: &str, _: &Limits) -> Result<NonZeroU64, Problem> {
    number(text, 1, u64::MAX)
}

/// How many bytes a piece of a file has.
pub(super) fn chunk_length(text: &str, limits: &Limits) -> Result<usize, Problem> {
    number(text, 1, limits.file_chunk_bytes as u64)
}

pub(super) fn file_digest(text: &str, _: &Limits) -> Result<FileDigest, Problem> {
    FileDigest::new(text)
}

pub(super) fn proof(text: &str, _: &Limits) -> Result<KeepAliveProof, Problem> {
    KeepAliveProof::new(text)
}

pub(super) fn park_proof(text: &str, _: &Limits) -> Result<ParkProof, Problem> {
    ParkProof::new(text)
}

/// `<>` for a room without a password.
pub(super) fn room_password(text: &str, _: &Limits) -> Result<Option<PasswordDigest>, Problem> {
    if text.is_empty() { Ok(None) } else { PasswordDigest::new(text).map(Some) }
}

/// `<>` for a peer in no room.
pub(super) fn room_or_none(text: &str, limits: &Limits) -> Result<Option<RoomName>, Problem> {
    if text.is_empty() { Ok(None) } else { RoomName::with_limits(text, limits).map(Some) }
}

pub(super) fn ip(text: &str, _: &Limits) -> Result<IpAddr, Problem> {
    text.parse().map_err(|_| Problem::Unexpected { expected: "an IP address" })
}

pub(super) fn capabilities(text: &str, _: &Limits) -> Result<Capabilities, Problem> {
    Ok(Capabilities::parse(text))
}

/// `ip:port`, an IPv6 address with or without square brackets.
pub(super) fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.rsplit_once(':')?;
    let ip = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip);
    Some(SocketAddr::new(ip.parse().ok()?, number(port, 0, u16::MAX.into()).ok()?))
}

/// `(ip:port)`, as the prototype's detailed list has it.
pub(super) fn address_in_parentheses(text: &str, _: &Limits) -> Result<SocketAddr, Problem> {
    let inside = text.strip_prefix('(').and_then(|text| text.strip_suffix(')'));
    inside.and_then(address).ok_or(Problem::Unexpected { expected: "an address and port in parentheses" })
}
