//! What `doctor` finds about a client that is connected already, with a registry in this process.

use std::{net::TcpListener, sync::Arc, thread};

use clap::Parser;
use p2pchat_core::tokio::{
    ClientConfig, Events, HashConfig, LinkIdentity, Server, ServerConfig, ServerTls, SharedMemoryStore,
    TlsVersion, Trust,
};

use super::*;
use crate::{
    args::{Arguments, Command, Subject},
    doctor::{self, Finding, Level},
};

/// Where a registry listens, for streams and for datagrams.
async fn registry() -> (SocketAddr, SocketAddr, ServerTls) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let tls = ServerTls::from_pem(certificate.as_bytes(), key.as_bytes(), TlsVersion::Tls13).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut config = ServerConfig::new(any, any, tls.clone());
    let mut hash = HashConfig::default();
    (hash.memory_kib, hash.iterations) = (8, 1);
    config.hash = hash;
    let server = Server::bind(config, Arc::new(SharedMemoryStore::default())).await.unwrap();
    let (tcp, udp) = (server.local_tcp(), server.local_udp());
    tokio::spawn(server.run(std::future::pending()));
    (tcp, udp, tls)
}

async fn client(name: &str, (tcp, udp, tls): &(SocketAddr, SocketAddr, ServerTls)) -> (Peer, Events) {
    let config = ClientConfig::new("127.0.0.1", tcp.port(), Trust::Pinned(tls.fingerprint()))
        .registry_udp("127.0.0.1", udp.port())
        .listen(SocketAddr::from(([127, 0, 0, 1], 0)));
    let (peer, events) = Peer::connect(config).await.unwrap();
    peer.register(name, "secret").await.unwrap();
    peer.set_identity(Some(LinkIdentity::from_pkcs8(&LinkIdentity::generate().unwrap()).unwrap()))
        .await
        .unwrap();
    peer.login(name, "secret").await.unwrap();
    (peer, events)
}

fn asked(arguments: &[&str]) -> (Global, Check) {
    let arguments = Arguments::parse_from(["p2pchat"].iter().chain(arguments));
    let Some(Subject::People(Command::Doctor(check))) = arguments.command else { panic!("not doctor") };
    (arguments.global, check)
}

fn one(findings: &[Finding], step: Step) -> &Finding {
    let mut those = findings.iter().filter(|finding| finding.step == step);
    let found = those.next().unwrap_or_else(|| panic!("no {step:?} in {findings:#?}"));
    assert!(those.next().is_none(), "{findings:#?}");
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_client_that_is_connected_is_looked_at_as_it_is() {
    let place = registry().await;
    let ((alice, _her_events), (bob, mut his_events)) =
        (client("alice", &place).await, client("bob", &place).await);
    let folder = tempfile::tempdir().unwrap();
    let (tcp, udp) = (place.0.to_string(), place.1.to_string());
    let fingerprint = place.2.fingerprint().to_string();
    let data = folder.path().to_str().unwrap();
    let common =
        ["--registry", &tcp, "--registry-udp", &udp, "--fingerprint", &fingerprint, "--data-dir", data];
    let run = async |more: &[&str]| {
        let all: Vec<_> = common.iter().chain(&["doctor"]).chain(more).copied().collect();
        let (global, check) = asked(&all);
        let mut told = 0;
        let findings = doctor::run(&global, &check, Some(&alice), &mut |_| told += 1).await;
        assert_eq!(told, findings.len());
        assert!(findings.iter().all(|finding| finding.level != Level::Failed), "{findings:#?}");
        findings
    };
    let findings = run(&[]).await;
    for step in [Step::Certificate, Step::Protocol, Step::Login, Step::KeepAlive, Step::Port] {
        assert_eq!(one(&findings, step).level, Level::Ok, "{findings:#?}");
    }
    assert!(one(&findings, Step::Login).found.contains("alice"));
    assert!(one(&findings, Step::Certificate).found.contains("the one that --fingerprint names"));
    assert_eq!(one(&findings, Step::Reached).level, Level::Unknown);

    // The session is the client's own, and goes on: bob comes by himself.
    let accepting = tokio::spawn(async move {
        while let Some(event) = his_events.next().await {
            if let p2pchat_core::peer::Event::ChatRequested { request, .. } = event {
                bob.accept(request).await.unwrap();
            }
        }
    });
    let findings = run(&["--with", "bob"]).await;
    let reached = one(&findings, Step::Reached);
    assert!(reached.level == Level::Ok && reached.found.contains("bob's program has dialled"), "{reached:?}");
    assert!(alice.status().await.unwrap().chats.is_empty(), "the chat was for this alone");
    // One that was there before stays.
    alice.chat("bob").await.unwrap();
    run(&["--with", "bob"]).await;
    alice.send("bob", "still there?").await.unwrap();
    let findings = run(&[]).await;
    let reached = one(&findings, Step::Reached);
    assert!(reached.found.starts_with("bob has dialled this program from 127.0.0.1, "), "{reached:?}");
    assert_eq!(alice.username().unwrap().as_str(), "alice");
    accepting.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_answers_in_this_programs_place_is_not_taken_for_it() {
    let place = registry().await;
    let (alice, _events) = client("alice", &place).await;
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap();
    thread::spawn(move || other.incoming().map(drop).count());
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (address, is_nat, level, said) in [
        (taken, true, Level::Unknown, "is answered by something else than this program"),
        (taken, false, Level::Failed, "is answered by something else than this program"),
        (free, true, Level::Unknown, "refuses: nothing listens there"),
        (free, false, Level::Failed, "refuses: nothing listens there"),
    ] {
        let mut ignore = |_: &Finding| {};
        let mut report = Report { findings: Vec::new(), tell: &mut ignore };
        dial_oneself(&mut report, &alice, address, is_nat).await;
        let found = one(&report.findings, Step::Port);
        assert!(found.level == level && found.found.contains(said), "{found:?}");
    }
}

#[test]
fn behind_a_router_it_is_said_what_to_forward() {
    let found = |address: &str, chosen| {
        let mut ignore = |_: &Finding| {};
        let mut report = Report { findings: Vec::new(), tell: &mut ignore };
        tell_address(&mut report, chosen, address.parse().unwrap());
        let finding = report.findings.remove(0);
        (finding.level, format!("{} / {}", finding.found, finding.advice.unwrap_or_default()))
    };
    // Addresses for documentation, which no machine has.
    let (level, text) = found("203.0.113.7:40123", 0);
    assert_eq!(level, Level::Warning);
    for part in ["(NAT)", "another one each time", "--peer-port 40123", "forward TCP port 40123"] {
        assert!(text.contains(part), "{part:?} is missing in {text}");
    }
    let (level, text) = found("203.0.113.7:4000", 4_000);
    assert!(level == Level::Warning && !text.contains("--peer-port"), "{text}");
    let (_, text) = found("[2001:db8::7]:4000", 4_000);
    assert!(text.contains("NAT"), "{text}");
    assert!(forwarding(0, 40_123, Kind::Shared).contains("your provider shares"));
    let (level, text) = found("127.0.0.1:4000", 4_000);
    assert!(level == Level::Warning && text.contains("this very machine"), "{text}");
}
