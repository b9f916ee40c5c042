//! Whose certificate is taken, and whose isn't.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use p2pchat_core::{
    peer::Event,
    tokio::{CertificateError, ClientConfig, Error, Fingerprint, Peer, Trust},
};

use crate::support::{Identity, Registry, until};

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("p2pchat-trust-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

async fn failure(config: ClientConfig) -> Error {
    Peer::connect(config).await.map(drop).unwrap_err()
}

#[tokio::test]
async fn a_pinned_certificate_is_taken_and_any_other_refused() {
    let registry = Registry::start().await;
    let (peer, _events) = Peer::connect(registry.client()).await.unwrap();
    let found = registry.identity.tls.fingerprint();
    assert_eq!(peer.certificate().unwrap().fingerprint, found);
    assert!(!peer.certificate().unwrap().first_use);

    let expected = Fingerprint::of_certificate(b"another");
    let error = failure(registry.client_trusting(Trust::Pinned(expected))).await;
    assert_eq!(error, CertificateError::WrongFingerprint { expected, found }.into());
}

#[tokio::test]
async fn an_authority_vouches_for_its_hosts_alone() {
    let registry = Registry::start().await;
    let own = Trust::Authorities(registry.identity.certificate.clone().into_bytes());
    assert!(Peer::connect(registry.client_trusting(own)).await.is_ok());

    let other = Trust::Authorities(Identity::new().certificate.into_bytes());
    let error = failure(registry.client_trusting(other)).await;
    assert!(matches!(error, Error::Certificate(CertificateError::Untrusted { .. })), "{error:?}");

    let error = failure(registry.client_trusting(Trust::Authorities(b"rubbish".to_vec()))).await;
    assert!(matches!(error, Error::Setup { .. }), "{error:?}");
}

#[tokio::test]
async fn the_first_certificate_is_remembered_and_a_changed_one_stops() {
    let folder = folder("tofu");
    let file = folder.join("known_registries");
    let trust = || Trust::KnownRegistries(file.clone());
    let registry = Registry::start().await;
    let expected = registry.identity.tls.fingerprint();

    for first_use in [true, false] {
        let (peer, _events) = Peer::connect(registry.client_trusting(trust())).await.unwrap();
        assert_eq!(peer.certificate().unwrap().first_use, first_use);
        peer.close().await;
    }
    let line = format!("127.0.0.1:{} {expected}\n", registry.tcp.port());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), line);

    let (tcp, udp, _, _) = registry.stop().await;
    let registry = Registry::start_on(tcp, udp, Identity::new(), Arc::default(), |_| {}).await;
    let error = failure(registry.client_trusting(trust())).await;
    let found = registry.identity.tls.fingerprint();
    let changed = CertificateError::Changed {
        registry: format!("127.0.0.1:{}", tcp.port()),
        expected,
        found,
        file: file.clone(),
        line: 1,
    };
    assert_eq!(error, changed.into());
    let text = error.to_string();
    for part in ["CHANGED", &found.to_string(), &expected.to_string(), "known_registries:1"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), line, "nothing was learnt from it");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_certificate_that_changes_under_a_session_ends_it() {
    let folder = folder("changes");
    let file = folder.join("known_registries");
    let registry = Registry::start().await;
    let trust = Trust::KnownRegistries(file.clone());
    let (alice, mut events) = Peer::connect(registry.client_trusting(trust)).await.unwrap();
    alice.register("alice", "secret").await.unwrap();
    alice.login("alice", "secret").await.unwrap();

    let (tcp, udp, identity, store) = registry.stop().await;
    let other = Registry::start_on(tcp, udp, Identity::new(), store.clone(), |_| {}).await;
    let reason = until(&mut events, |event| match event {
        Event::LoggedOut { reason, .. } => Some(reason),
        Event::Reconnected => panic!("took it"),
        _ => None,
    });
    assert!(reason.await.contains("HAS CHANGED"));
    assert_eq!(alice.username(), None);
    let error = alice.certificate_error().unwrap();
    assert!(matches!(error, CertificateError::Changed { .. }), "{error:?}");
    assert_eq!(alice.login("alice", "secret").await, Err(error.into()), "whoever tries anew is told again");

    other.stop().await;
    let registry = Registry::start_on(tcp, udp, identity, store, |_| {}).await;
    alice.login("alice", "secret").await.unwrap();
    assert_eq!(alice.certificate_error(), None);
    assert_eq!(registry.handle.stats().registry.sessions, 1);
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_named() {
    let registry = Registry::start().await;
    let config = registry.client();
    let (tcp, ..) = registry.stop().await;
    match failure(config).await {
        Error::Connect { registry, reason } => {
            assert_eq!(registry, format!("127.0.0.1:{}", tcp.port()));
            assert!(reason.contains("refused"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    let taken = std::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let config = ClientConfig::new("127.0.0.1", 1, Trust::Pinned(Fingerprint::of_certificate(b"")));
    let error = failure(config.listen(taken.local_addr().unwrap())).await;
    assert!(matches!(error, Error::Setup { .. }), "{error:?}");
}
