//! What is written and what has to come back, spelled out by hand.

use std::{fmt::Write as _, net::IpAddr};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// The port that a user announces.
fn port(user: usize) -> usize {
    10_000 + user % 50_000
}

pub(crate) fn name(user: usize) -> String {
    format!("u{user:07}")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// What every account's password is sent as.
pub(crate) fn password() -> String {
    hex(&Sha256::digest(b"password"))
}

pub(crate) const HELLO: &str = "HELLO_P2P\n";
pub(crate) const WELCOME: &str = "HELLO_BACK <SUCCESS> <200>\n";
pub(crate) const LOGGED_IN: &str = "AUTH <SUCCESS> <200>\n";
pub(crate) const REGISTERED: &str = "REGISTER <SUCCESS> <200>\n";
pub(crate) const NOT_ONLINE: &str = "SEARCH_USER_RESPONSE <NOT_ONLINE> <300>\n";
pub(crate) const KEPT_ALIVE: &[u8] = b"KEEP_ALIVE_RESPONSE <SUCCESS> <200>";
pub(crate) const JOINED: &str = "JOIN <SUCCESS> <200>\n";
pub(crate) const LEFT: &str = "ROOM_EXIT_RESPONSE <SUCCESS> <200>\n";
const LISTED: &str = "PEER_LIST <SUCCESS> <200> ";
pub(crate) const LIST: &str = "DISCOVER_PEERS <DETAILED>\n";

pub(crate) fn hello_with(capability: &str) -> String {
    format!("HELLO_P2P <1> <{capability}>\n")
}

pub(crate) fn welcome_with(capability: &str) -> String {
    format!("HELLO_BACK <SUCCESS> <200> <1> <{capability}>\n")
}

pub(crate) fn login(user: usize) -> String {
    format!("LOGIN <{}> <{}> <{}>\n", name(user), password(), port(user))
}

pub(crate) fn resume(user: usize, token: &str) -> String {
    format!("RESUME <{}> <{token}> <{}>\n", name(user), port(user))
}

pub(crate) fn register(name: &str) -> String {
    format!("REGISTER <{name}> <{}>\n", password())
}

pub(crate) fn search(user: usize) -> String {
    format!("SEARCH_USER <{}>\n", name(user))
}

pub(crate) fn found(user: usize, ip: IpAddr) -> String {
    format!("SEARCH_USER_RESPONSE <SUCCESS> <200> <{}> <{}> <{ip}>\n", name(user), port(user))
}

pub(crate) fn create_room(room: &str) -> String {
    format!("CREATE_CHAT_ROOM <{room}> <> <100000> <>\n")
}

pub(crate) fn join(room: &str) -> String {
    format!("JOIN_CHAT_ROOM <{room}> <> <increment>\n")
}

pub(crate) fn leave(user: usize, room: &str) -> String {
    format!("ROOM_EXIT <{}> <{room}>\n", name(user))
}

/// A bare keep-alive for the longest lease.
pub(crate) fn keep_alive(user: usize) -> String {
    format!("KEEP_ALIVE <{}> <120>", name(user))
}

/// One that proves a ticket.
pub(crate) fn proven_keep_alive(user: usize, ticket: &str, sequence: u64) -> String {
    let mut datagram = format!("KEEP_ALIVE <{}> <120> <{sequence}>", name(user));
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(ticket.as_bytes()) {
        mac.update(datagram.as_bytes());
        _ = write!(datagram, " <{}>", hex(&mac.finalize().into_bytes()));
    }
    datagram
}

/// The value in the last brackets of a line that begins with `before`.
pub(crate) fn last_field<'a>(line: &'a str, before: &str) -> Option<&'a str> {
    line.strip_prefix(before)?.trim_end().strip_prefix('<')?.strip_suffix('>')
}

fn record(user: usize, ip: IpAddr) -> String {
    format!("<{}> <> <{}> <{ip}>", name(user), port(user))
}

/// How many bytes a list reply of these users has, with its LF.
pub(crate) fn list_size(users: impl Iterator<Item = usize>, ip: IpAddr) -> usize {
    let records: Vec<_> = users.map(|user| record(user, ip).len()).collect();
    LISTED.len() + records.iter().sum::<usize>() + " , ".len() * records.len().saturating_sub(1) + 1
}

/// How many users a list reply shows; `None` if it shows somebody twice, the asker, or anybody otherwise than they are.
pub(crate) fn listed(line: &[u8], asker: usize, online: usize, ip: IpAddr) -> Option<usize> {
    let records = str::from_utf8(line).ok()?.strip_prefix(LISTED)?.trim_end();
    let mut seen = vec![false; online];
    let mut count = 0;
    for record in records.split(" , ") {
        let mut fields = record.strip_prefix('<')?.strip_suffix('>')?.split("> <");
        let user: usize = fields.next()?.strip_prefix('u')?.parse().ok()?;
        let is_right = fields.next() == Some("")
            && fields.next()?.parse() == Ok(port(user))
            && fields.next()?.parse() == Ok(ip)
            && fields.next().is_none();
        if user == asker || !is_right || std::mem::replace(seen.get_mut(user)?, true) {
            return None;
        }
        count += 1;
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_that_of_the_specification() {
        let ticket = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0bc822cd15d6c15b0f00a8";
        let mut mac = Hmac::<Sha256>::new_from_slice(ticket.as_bytes()).unwrap();
        mac.update(b"KEEP_ALIVE <alice> <10> <1>");
        let proof = "efe664216289137872bbff34f8c1d44dabd81d193da71fdbe334791e997eb2f3";
        assert_eq!(hex(&mac.finalize().into_bytes()), proof);
        let datagram = proven_keep_alive(3, ticket, 9);
        assert!(datagram.starts_with("KEEP_ALIVE <u0000003> <120> <9> <"), "{datagram}");
    }

    #[test]
    fn a_list_has_to_show_everybody_as_they_are_and_once() {
        let ip = IpAddr::from([127, 0, 0, 1]);
        let list =
            |records: &str| listed(format!("PEER_LIST <SUCCESS> <200> {records}\n").as_bytes(), 0, 3, ip);
        let (one, two) = ("<u0000001> <> <10001> <127.0.0.1>", "<u0000002> <> <10002> <127.0.0.1>");
        assert_eq!((record(1, ip), record(2, ip)), (one.into(), two.into()));
        assert_eq!(list(&format!("{one} , {two}")), Some(2));
        assert_eq!(list_size(1..3, ip), format!("PEER_LIST <SUCCESS> <200> {one} , {two}\n").len());
        assert_eq!(list(&format!("{one} , {one}")), None);
        assert_eq!(list("<u0000000> <> <10000> <127.0.0.1>"), None);
        assert_eq!(list("<u0000001> <> <10002> <127.0.0.1>"), None);
        assert_eq!(list("<u0000001> <> <10001> <127.0.0.2>"), None);
        assert_eq!(list("<u0000003> <> <10003> <127.0.0.1>"), None);
    }
}
