//! The way to the registry: its name, its addresses, its certificate, what it speaks, and whether it lets one in.

#![allow(clippy::disallowed_methods)] // how long it takes, is asked of the real clock

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use p2pchat_core::{
    peer::RequestError,
    proto::{Capability, Dialect},
    tokio::{Error, Network, Peer, TcpNetwork, TlsVersion},
};

use super::{Report, Step};
use crate::{
    args::{Address, Check, Global},
    session::{self, Needs, Session},
};

/// How long a name, and an address, may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// True if there is a way to the registry.
pub(super) async fn reach(report: &mut Report<'_>, registry: &Address) -> bool {
    let Some(addresses) = resolve(report, registry).await else {
        report.skip(&[Step::Connection], "there is no address to connect to");
        return false;
    };
    let (mut reached, mut missed) = (Vec::new(), Vec::new());
    for address in addresses {
        let begun = Instant::now();
        match tokio::time::timeout(PATIENCE, TcpNetwork.dial(address)).await {
            Ok(Ok(_)) => reached.push(format!("{address} answers in {}", took(begun.elapsed()))),
            Ok(Err(error)) => missed.push((address, error)),
            Err(_) => missed.push((address, io::ErrorKind::TimedOut.into())),
        }
    }
    let advice = missed.first().map(|(address, error)| why_unreachable(*address, error.kind()));
    let missed = missed.iter().map(|(address, error)| format!("{address} {}", in_words(error)));
    let found = reached.iter().cloned().chain(missed).collect::<Vec<_>>().join("; ");
    match advice {
        None => report.ok(Step::Connection, found),
        Some(advice) if reached.is_empty() => report.failed(Step::Connection, found, advice),
        Some(advice) => report.warning(
            Step::Connection,
            found,
            format!("The other address is used, after some waiting. {advice}"),
        ),
    }
    !reached.is_empty()
}

/// The registry's addresses, if it has any.
async fn resolve(report: &mut Report<'_>, registry: &Address) -> Option<Vec<SocketAddr>> {
    let Address { host, port } = registry;
    if let Ok(ip) = host.parse::<IpAddr>() {
        report.ok(Step::Name, format!("{host} is an address: there is no name to look up"));
        return Some(vec![SocketAddr::new(ip, *port)]);
    }
    let advice = format!(
        "Is {host} spelled right? If it is, this machine's name service doesn't know it: see whether it knows others, such as \
         example.org."
    );
    let found = match tokio::time::timeout(PATIENCE, TcpNetwork.resolve(host, *port)).await {
        Ok(Ok(addresses)) if !addresses.is_empty() => addresses,
        Ok(Ok(_)) => {
            report.failed(Step::Name, format!("{host} has no address"), advice);
            return None;
        }
        Ok(Err(error)) => {
            report.failed(Step::Name, format!("{host} can't be looked up: {error}"), advice);
            return None;
        }
        Err(_) => {
            report.failed(Step::Name, format!("{host} can't be looked up: nobody answers"), advice);
            return None;
        }
    };
    let shown = found.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>().join(", ");
    report.ok(Step::Name, format!("{host} is {shown}"));
    Some(found)
}

pub(super) fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "refuses: nothing listens there".to_owned(),
        io::ErrorKind::TimedOut => "doesn't answer at all".to_owned(),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            format!("can't be reached from here ({error})")
        }
        _ => format!("fails: {error}"),
    }
}

fn why_unreachable(address: SocketAddr, kind: io::ErrorKind) -> String {
    let port = address.port();
    match kind {
        io::ErrorKind::ConnectionRefused => format!(
            "Does the registry run, and is {port} its TCP port (15600 unless its operator chose another)? One that listens on \
             127.0.0.1 takes connections from its own machine only: its operator gives it --listen."
        ),
        io::ErrorKind::TimedOut => format!(
            "The machine is off, or a firewall drops what is sent to TCP port {port}: the registry's, your own, or one in between \
             such as a company's or a hotel's. Trying from another network tells which."
        ),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            let kind = if address.is_ipv6() { "IPv6" } else { "IPv4" };
            format!("This machine has no way there: is it online, with {kind}?")
        }
        _ => "This machine doesn't let the program connect.".to_owned(),
    }
}

pub(super) fn took(time: Duration) -> String {
    match time.as_millis() {
        0 => "less than 1 ms".to_owned(),
        millis => format!("{millis} ms"),
    }
}

/// A connection whose certificate is trusted and that was greeted.
pub(super) async fn open(
    report: &mut Report<'_>,
    global: &Global,
    registry: &Address,
    check: &Check,
) -> Option<Session> {
    let needs = Needs { chat_timeout: Some(check.timeout), files: false };
    let (found, advice) = match Session::reach(global, registry, needs).await {
        Ok(Ok(session)) => return Some(session),
        Err(failure) => (failure.to_string(), "What --ca, --fingerprint or --data-dir says can't be used."),
        Ok(Err(error)) => (
            error.to_string(),
            match error {
                Error::Certificate(_) => {
                    "Somebody else may be answering in the registry's place. Nothing was sent to it, your password least of all."
                }
                Error::KnownRegistries { .. } | Error::KnownPeers { .. } | Error::BlockList { .. } => {
                    "The program doesn't trust such a file. Nothing was sent."
                }
                Error::Request(_) => {
                    "Something answers there by TLS, but not as a registry does: is that its TCP port?"
                }
                _ => {
                    "Something answers there, but not as a registry does: is that its TCP port? One that has no TLS 1.3 wants \
                     --tls12."
                }
            },
        ),
    };
    report.failed(Step::Certificate, found, advice);
    None
}

pub(super) fn certificate(report: &mut Report<'_>, global: &Global, peer: &Peer) {
    let Some(seen) = peer.certificate() else {
        return report.skip(&[Step::Certificate], "no registry has shown any yet");
    };
    let tls = match seen.tls {
        TlsVersion::Tls12 => "TLS 1.2",
        _ => "TLS 1.3",
    };
    let fingerprint = seen.fingerprint;
    if seen.first_use {
        return report.warning(
            Step::Certificate,
            format!("{tls}; the registry was met for the first time, with {fingerprint}, which is known from now on"),
            "Compare it with what the registry's operator tells you, on another way.",
        );
    }
    let how = match (&global.fingerprint, &global.ca) {
        (Some(_), _) => "the one that --fingerprint names".to_owned(),
        (None, Some(file)) => format!("for which an authority in {} vouches", file.display()),
        (None, None) => "the one that is known".to_owned(),
    };
    report.ok(Step::Certificate, format!("{tls}; {fingerprint}, {how}"));
}

pub(super) async fn protocol(report: &mut Report<'_>, peer: &Peer) {
    let Ok(status) = peer.status().await else {
        return report.skip(&[Step::Protocol], "the client has ended");
    };
    match status.dialect {
        None => report.failed(
            Step::Protocol,
            "there is no link to the registry at the moment",
            "The client tries again by itself; what is above may say why it fails.",
        ),
        Some(Dialect::Prototype) => report.warning(
            Step::Protocol,
            "the prototype's: no rooms, no encryption between people, and no answer to keep-alives that would show them to arrive",
            "Its operator could run p2pchat-registryd, which old clients can use too.",
        ),
        Some(_) if !status.capabilities.has(Capability::Keys) => report.warning(
            Step::Protocol,
            format!("agreed on: {}", listed(status.capabilities)),
            "The registry tells no keys, so nothing that is said between people is encrypted. A newer one does.",
        ),
        Some(_) => report.ok(Step::Protocol, format!("agreed on: {}", listed(status.capabilities))),
    }
}

fn listed(capabilities: p2pchat_core::proto::Capabilities) -> String {
    let words = capabilities.iter().map(Capability::as_str).collect::<Vec<_>>();
    if words.is_empty() { "nothing beyond the base".to_owned() } else { words.join(", ") }
}

/// True if somebody is logged in now.
pub(super) async fn login(
    report: &mut Report<'_>,
    global: &Global,
    check: &Check,
    session: &Session,
) -> bool {
    if check.no_login {
        report.skip(&[Step::Login], "as you wished");
        return false;
    }
    let Some(user) = global.user.as_deref() else {
        report.skip(&[Step::Login], "no user is given (--user or $P2PCHAT_USER)");
        return false;
    };
    let password = match session::password(global) {
        Ok(Some(password)) => password,
        Ok(None) => {
            report.skip(&[Step::Login], "no password is given (--password-file or $P2PCHAT_PASSWORD)");
            return false;
        }
        Err(failure) => {
            report.failed(
                Step::Login,
                failure.to_string(),
                "The file has to be readable by you, and to begin with the password.",
            );
            return false;
        }
    };
    match session.wants_passphrase(global, user) {
        Ok(false) => {}
        Ok(true) => {
            report.skip(&[Step::Login], session::LACKING_PASSPHRASE);
            return false;
        }
        Err(failure) => {
            report.failed(
                Step::Login,
                failure.to_string(),
                "The passphrase's file has to be readable by you, and to begin with it.",
            );
            return false;
        }
    }
    match session.try_login(global, user, &password, None).await {
        Ok(Ok(())) => {
            report.ok(
                Step::Login,
                format!(
                    "the registry lets {user} in; had a session of theirs been parked, or silent for some seconds, it would have \
                     ended by that"
                ),
            );
            true
        }
        Ok(Err(Error::Request(RequestError::AlreadyOnline))) => {
            report.warning(
                Step::Login,
                format!("the password is right, but {user} is logged in elsewhere; that session was left alone"),
                "What follows can be looked at from there, or from here once it has logged out. If there is none, its machine may \
                 have lost its network: try again in some seconds.",
            );
            false
        }
        Ok(Err(Error::Request(error @ RequestError::LoginFailed(_)))) => {
            report.failed(
                Step::Login,
                error.to_string(),
                "Which of them it is, the registry doesn't tell. Is there an account of that name at this registry (`p2pchat \
                 register` makes one)?",
            );
            false
        }
        Ok(Err(error)) => {
            report.failed(
                Step::Login,
                error.to_string(),
                "The registry can be reached, but doesn't let anybody in now.",
            );
            false
        }
        Err(failure) => {
            report.failed(
                Step::Login,
                failure.to_string(),
                "Without its key nobody can be sure to talk to you: nobody was logged in.",
            );
            false
        }
    }
}
