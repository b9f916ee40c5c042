//! A disk that doesn't fail but answers no more.

use std::{future::pending, sync::mpsc::Receiver, time::Instant};

use p2pchat_core::tokio::{Server, ServerConfig, ServerTls, TlsVersion};

use super::{super::power::Disk, *};
use crate::monitor::{Monitor, NotReady};

const LONG: Duration = Duration::from_secs(60);

#[allow(clippy::disallowed_methods, reason = "a disk's time is the real one")]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LONG, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn submit(store: &RedbStore, request: StoreRequest) -> Receiver<StoreAnswer> {
    let (sender, answer) = mpsc::channel();
    store.submit(request, Box::new(move |answer| sender.send(answer).unwrap()));
    answer
}

#[test]
fn a_store_is_known_to_be_at_work_from_its_disks_silence_to_its_answer() {
    let disk = Disk::new(Vec::new());
    let store = RedbStore::start(disk.engine().unwrap(), &StoreConfig::default()).unwrap();
    let mut health = store.health();
    health.patience = Duration::from_millis(20);
    assert_eq!((health.working_for(), health.hangs_for()), (Duration::ZERO, None));
    let hangs = disk.hang();
    let answer = submit(&store, register("alice"));
    until("it hangs", || health.hangs_for().is_some());
    assert!(answer.try_recv().is_err());
    drop(hangs);
    assert!(matches!(answer.recv_timeout(LONG), Ok(StoreAnswer::Registered)));
    until("it goes on", || health.working_for().is_zero());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_whose_store_hangs_is_not_ready_and_says_so_without_hanging() {
    let disk = Disk::new(Vec::new());
    let store = Arc::new(RedbStore::start(disk.engine().unwrap(), &StoreConfig::default()).unwrap());
    let mut health = store.health();
    health.patience = Duration::from_millis(20);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
    let pem = (certificate.pem(), key.serialize_pem());
    let tls = ServerTls::from_pem(pem.0.as_bytes(), pem.1.as_bytes(), TlsVersion::Tls13).unwrap();
    let here = "127.0.0.1:0".parse().unwrap();
    let server = Server::bind(ServerConfig::new(here, here, tls.clone()), store.clone()).await.unwrap();
    let monitor = Monitor::new(server.handle(), health, &tls);
    let (serving, watched) = (tokio::spawn(server.run(pending())), monitor.clone());
    let watching = tokio::spawn(async move { watched.watch().await });
    tokio::task::spawn_blocking(move || {
        until("it is ready", || monitor.readiness().is_ok());
        assert!(monitor.metrics().unwrap().contains("p2pchat_registry_accounts 0\n"));
        let hangs = disk.hang();
        let answer = submit(&store, register("alice"));
        until("it hangs", || matches!(monitor.readiness(), Err(NotReady::StoreHangs(_))));
        assert!(monitor.status().starts_with("not ready: the store hangs: "), "{}", monitor.status());
        let metrics = monitor.metrics().unwrap();
        assert!(metrics.contains("p2pchat_registry_ready 0\n"), "{metrics}");
        assert!(metrics.contains("p2pchat_registry_store_working_seconds "), "{metrics}");
        assert!(!metrics.contains("p2pchat_registry_accounts "), "{metrics}");
        drop(hangs);
        assert!(matches!(answer.recv_timeout(LONG), Ok(StoreAnswer::Registered)));
        until("it is ready again", || monitor.readiness().is_ok());
    })
    .await
    .unwrap();
    serving.abort();
    watching.abort();
}
