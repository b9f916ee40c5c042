//! The registry's host: the server driver, over a store that outlives it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, LazyLock},
    time::Duration,
};

use p2pchat_core::{
    registry::{Addresses, PrefixLimits, Rate, Registration},
    tokio::{HashConfig, Server, ServerConfig, ServerTls, TlsVersion},
};
use p2pchat_proto::limits::REGISTRY_UDP_PORT;
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, SerialNumber};
use tokio::{
    runtime::Handle,
    time::{sleep, timeout},
};

use crate::{book::Site, bugs::Bug, guests::operate};

/// The host's name.
pub(crate) const REGISTRY: &str = "registry";
pub(crate) const TCP: u16 = 15_600;

/// Few enough for users and operator to meet the limits.
const ROOMS_PER_USER: usize = 4;
const BANS_PER_ROOM: usize = 2;
const INVITES: usize = 6;

/// Ed25519: unlike an ECDSA one, its signature has the same length each time, and with it the whole handshake.
static IDENTITY: LazyLock<ServerTls> = LazyLock::new(|| {
    let key = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    let mut params = CertificateParams::new(vec![REGISTRY.to_owned()]).expect("a name");
    params.serial_number = Some(SerialNumber::from(1));
    let certificate = params.self_signed(&key).expect("a certificate");
    ServerTls::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes(), TlsVersion::Tls13)
        .expect("certificate and key")
});

/// The registry's certificate and key.
pub(crate) fn identity() -> &'static ServerTls {
    &IDENTITY
}

/// What the registry's host does from its start to its end.
pub(crate) async fn registry(site: Site) -> turmoil::Result {
    let any = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let mut config = ServerConfig::new(any(TCP), any(REGISTRY_UDP_PORT), identity().clone());
    // How slow the hash is does not matter here, but that it is slow.
    let mut hash = HashConfig::default();
    (hash.memory_kib, hash.iterations, hash.workers) = (8, 1, 0);
    config.hash = hash;
    config.machine.prefixes = PrefixLimits::NONE;
    let rules = site.book().rules;
    let bug = site.book().bug;
    if rules.by_invitation {
        config.machine.registration = Registration::Invite;
    }
    if rules.hidden && bug != Some(Bug::LeakAddress) {
        config.machine.addresses = Addresses::Contacts;
    }
    config.machine.contact_requests = Rate::UNLIMITED;
    config.machine.rooms_per_user = ROOMS_PER_USER;
    config.machine.bans_per_room = BANS_PER_ROOM;
    config.machine.invites = INVITES;
    config.network = Arc::new(site.network.clone());
    let drain = config.times.drain;
    let server = Server::bind(config, Arc::new(site.store.clone())).await?;
    let handle = server.handle();
    {
        let mut book = site.book();
        book.registry = Some(handle.clone());
        book.note(|| "the registry is up".to_owned());
    }
    let outcome = tokio::select! {
        // Chance has no part in it.
        biased;
        outcome = server.run(site.stop.notified()) => outcome,
        () = operate(&site, handle) => Ok(()),
    };
    // It keeps the socket, which only ends where it began.
    site.book().registry = None;
    outcome?;
    let left_over = no_task_is_left(drain).await;
    let mut book = site.book();
    book.check(left_over.map_err(|what| format!("the registry has ended: {what}")));
    book.note(|| "the registry is down".to_owned());
    Ok(())
}

/// Waits until nothing runs on this host but its own program.
pub(crate) async fn no_task_is_left(limit: Duration) -> Result<(), String> {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let none = async {
        while tasks() > 0 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(limit, none).await.map_err(|_| format!("{} tasks are left", tasks()))
}
