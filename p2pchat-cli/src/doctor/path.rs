//! The ways that only who is logged in can look at: keep-alives, and whether others get through to this machine.

use std::{net::SocketAddr, time::Duration};

use p2pchat_core::{
    peer::{LinkState, RequestError, Status},
    proto::{Dialect, Username},
    tokio::{Error, Network, Peer, TcpNetwork},
};

use super::{
    Report, Step,
    link::{in_words, took},
    place::{self, Kind},
};
use crate::{
    args::{Address, Check, Global},
    sanitize,
};

/// How long an answer to one of the first keep-alives may take: less than until the registry ends a session for want of them.
const KEEP_ALIVES: Duration = Duration::from_secs(8);
/// How long it may take to dial oneself.
const DIAL: Duration = Duration::from_secs(3);
/// How often it is looked at what has changed.
const LOOK: Duration = Duration::from_millis(50);

pub(super) async fn look(
    report: &mut Report<'_>,
    global: &Global,
    check: &Check,
    registry: &Address,
    peer: &Peer,
) {
    keep_alive(report, global, registry, peer).await;
    let is_nat = match published(report, global, peer).await {
        Some(address) => {
            let is_nat = !place::is_own(address.ip());
            dial_oneself(report, peer, address, is_nat).await;
            is_nat
        }
        None => {
            report.skip(&[Step::Port], "others are told no address to dial");
            return report.skip(&[Step::Reached], "others are told no address to dial");
        }
    };
    reached(report, check, peer, is_nat).await;
}

/// The status once `is_so`, or after a time.
async fn status_once(peer: &Peer, limit: Duration, is_so: impl Fn(&Status) -> bool) -> Option<Status> {
    let waited = tokio::time::timeout(limit, async {
        loop {
            match peer.status().await {
                Ok(status) if !is_so(&status) => tokio::time::sleep(LOOK).await,
                status => return status.ok(),
            }
        }
    });
    match waited.await {
        Ok(status) => status,
        Err(_) => peer.status().await.ok(),
    }
}

async fn keep_alive(report: &mut Report<'_>, global: &Global, registry: &Address, peer: &Peer) {
    let to = global.registry_udp.as_ref().map_or_else(
        || format!("{}, UDP port 15500", registry.host),
        |udp| format!("{}, UDP port {}", udp.host, udp.port),
    );
    let settled = |status: &Status| {
        status.heard.is_some()
            || status.dialect == Some(Dialect::Prototype)
            || !matches!(status.link, LinkState::Up | LinkState::Parked)
    };
    let Some(status) = status_once(peer, KEEP_ALIVES, settled).await else {
        return report.skip(&[Step::KeepAlive], "the client has ended");
    };
    match (status.heard, status.round_trip) {
        (Some(heard), Some(round_trip)) => report.ok(
            Step::KeepAlive,
            format!(
                "answered by {to} in {}, the last one {} s ago",
                took(round_trip),
                heard.as_secs()
            ),
        ),
        _ if status.dialect == Some(Dialect::Prototype) => report.unknown(
            Step::KeepAlive,
            "a registry of the prototype's kind answers none",
            "If sessions end after some seconds, its UDP port is blocked.",
        ),
        _ => report.failed(
            Step::KeepAlive,
            format!("none of {} was answered by {to}", status.unanswered),
            "Without them the registry takes you for gone, and ends each session after ten seconds. A firewall drops UDP on the way, \
             or the port is another: the registry says it when it starts (udp=), and --registry-udp gives it here.",
        ),
    }
}

/// Where others are told to dial, if they are.
async fn published(report: &mut Report<'_>, global: &Global, peer: &Peer) -> Option<SocketAddr> {
    let name = peer.username()?;
    let found = match peer.search(name.as_str()).await {
        Ok(found) => found,
        Err(error) => {
            report.failed(
                Step::Address,
                format!("the registry doesn't say where {name} is: {error}"),
                "Nobody can dial you as long as it doesn't.",
            );
            return None;
        }
    };
    let port = peer.port();
    if found.is_hidden() || found.port == 0 {
        report.failed(
            Step::Address,
            "the registry tells others no port of yours",
            "Nobody can dial you; you can still dial others.",
        );
        return None;
    }
    let address = SocketAddr::new(found.ip.to_canonical(), found.port);
    if found.port != port {
        report.failed(
            Step::Address,
            format!("others are told {address}, and this program listens on port {port}"),
            "What the registry tells is another session's, or wrong.",
        );
        return None;
    }
    tell_address(report, global.peer_port, address);
    Some(address)
}

/// Who can dial that.
fn tell_address(report: &mut Report<'_>, chosen_port: u16, address: SocketAddr) {
    let port = address.port();
    let chosen = match chosen_port {
        0 => format!("port {port}, another one each time"),
        _ => format!("port {port}, as chosen"),
    };
    let (kind, is_own) = (Kind::of(address.ip()), place::is_own(address.ip()));
    let found = |what: &str| format!("others are told {address} ({what}; {chosen})");
    match (kind, is_own) {
        (Kind::Loopback, _) => report.warning(
            Step::Address,
            found("this very machine"),
            "Nobody on another machine can dial that. It is told because you reach the registry by a loopback address: give \
             --registry the one that others use for it.",
        ),
        (Kind::Private, true) => report.ok(Step::Address, found("this machine's, in its own network, where the registry is too")),
        (Kind::Shared, true) => report.ok(Step::Address, found("this machine's, in an overlay or its provider's network")),
        (Kind::Public, true) => report.ok(Step::Address, found("this machine's own")),
        (_, false) => report.add(
            super::Level::Warning,
            Step::Address,
            found("no address of this machine: a router translates between (NAT)"),
            Some(forwarding(chosen_port, port, kind)),
        ),
    }
}

fn forwarding(chosen: u16, port: u16, kind: Kind) -> String {
    let own = match chosen {
        0 => format!("Choose a port that stays the same, such as --peer-port {port}, and have"),
        _ => "Have".to_owned(),
    };
    let provider = match kind {
        Kind::Shared => {
            " The address is one that your provider shares among customers, so the forwarding is theirs to make, or isn't to be had."
        }
        _ => "",
    };
    format!(
        "You can dial others, but they reach you only if the router lets them. {own} it forward TCP port {port} to this \
         machine.{provider}"
    )
}

/// Whether this program answers at the address that others are told.
async fn dial_oneself(report: &mut Report<'_>, peer: &Peer, address: SocketAddr, is_nat: bool) {
    let before = peer.status().await.map_or(0, |status| status.accepted);
    let dialled = tokio::time::timeout(DIAL, TcpNetwork.dial(address)).await;
    let why = match dialled {
        Ok(Ok(_stream)) => {
            // It may be the router that answers.
            let after = status_once(peer, DIAL, |status| status.accepted > before).await;
            if after.is_some_and(|status| status.accepted > before) {
                let how_far = match is_nat {
                    true => "through the router, as far as this machine can tell",
                    false => {
                        "from this machine itself: whether a firewall keeps others out, only others can tell"
                    }
                };
                return report.ok(Step::Port, format!("{address} is answered by this program, {how_far}"));
            }
            "is answered by something else than this program".to_owned()
        }
        Ok(Err(error)) => in_words(&error),
        Err(_) => "doesn't answer at all".to_owned(),
    };
    match is_nat {
        // Many routers don't lead what comes from inside back in.
        true => report.unknown(
            Step::Port,
            format!(
                "from here {address} {why}, which says little: many routers let nobody in from their own side"
            ),
            "Somebody else has to try: --with USERNAME.",
        ),
        false => report.failed(
            Step::Port,
            format!("{address} {why}"),
            "It is this machine's own address, so a firewall of its own keeps streams out.",
        ),
    }
}

/// Whether somebody else has got through.
async fn reached(report: &mut Report<'_>, check: &Check, peer: &Peer, is_nat: bool) {
    if let Some(user) = &check.with {
        return ask(report, user, peer, is_nat).await;
    }
    match peer.status().await.ok().and_then(|status| status.dialled_by) {
        Some((user, address, ago)) => report.ok(
            Step::Reached,
            format!("{user} has dialled this program from {}, {} s ago", address.ip(), ago.as_secs()),
        ),
        None => report.unknown(
            Step::Reached,
            "nobody has dialled this program yet",
            "Ask somebody who is online to try: --with USERNAME.",
        ),
    }
}

/// Has a user dial this program, out of a chat with them.
async fn ask(report: &mut Report<'_>, user: &str, peer: &Peer, is_nat: bool) {
    let shown = sanitize::line(user);
    let chats = peer.status().await.map_or_else(|_| Vec::new(), |status| status.chats);
    let is_open = Username::new(user).is_ok_and(|user| chats.contains(&user));
    if let Err(error) = peer.chat(user).await {
        let (found, advice) = match &error {
            Error::Request(RequestError::Unreachable(_) | RequestError::NoPort) => (
                format!("{shown} can't be dialled, so they can't be asked: {error}"),
                "That is at their end, or outgoing connections are blocked at yours. Ask somebody else.",
            ),
            _ => (format!("{shown} can't be asked: {error}"), "Ask somebody else who is online."),
        };
        return report.unknown(Step::Reached, found, advice);
    }
    match peer.be_dialled(user).await {
        Ok(()) => {
            let from = peer.status().await.ok().and_then(|status| status.dialled_by);
            let from = from.map_or_else(String::new, |(_, address, _)| format!(" from {}", address.ip()));
            report.ok(
                Step::Reached,
                format!("{shown}'s program has dialled the address that the registry tells, and got through{from}"),
            );
        }
        Err(Error::Request(RequestError::TimedOut)) => report.failed(
            Step::Reached,
            format!("{shown} can be dialled, but {shown}'s program did not get through to this one in time"),
            match is_nat {
                true => "Others can't start a stream to you, only you to them. The router has to forward the port, as said above.",
                false => {
                    "Others can't start a stream to you, only you to them. A firewall of this machine or before it drops what comes to \
                     that port, or theirs drops what leaves."
                }
            },
        ),
        Err(error) => report.unknown(
            Step::Reached,
            format!("{shown}'s program has not tried: {error}"),
            format!("Have {shown} ask you for a chat: if you hear of it, they have got through."),
        ),
    }
    if !is_open {
        // The chat was there for this alone; where there is none any more, that is as well.
        drop(peer.hang_up(user).await);
    }
}

#[cfg(test)]
mod tests;
