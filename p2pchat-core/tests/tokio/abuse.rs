//! Strangers who want more than their share, over real sockets: each limit, named after what it stops, and somebody at
//! another address who is served meanwhile.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use p2pchat_core::{
    peer::{Event, RequestError},
    proto::{Capabilities, PasswordDigest},
    registry::{PrefixLimits, Rate},
    tokio::{
        BoxFuture, BoxStream, Datagrams, Error, HashConfig, Listener, Network, Peer, ServerConfig, TcpNetwork,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
    time::{Instant, sleep, timeout},
};

use crate::support::{PATIENCE, Raw, Registry, quick, until};

const HOUR: Duration = Duration::from_secs(3_600);
const WELCOME: &str = "HELLO_BACK <SUCCESS> <200>\n";
const UNTRIED: &str = "HELLO_BACK <FAILURE> <404>\n";
const WRONG: &str = "AUTH <FAILURE> <404>\n";
const RIGHT: &str = "AUTH <SUCCESS> <200>\n";

/// A registry with no limits but these, which hold for this machine too.
async fn limited(change: impl FnOnce(&mut PrefixLimits)) -> Registry {
    Registry::start_with(|config| {
        config.machine.prefixes = PrefixLimits::NONE;
        config.machine.prefixes.loopback = true;
        change(&mut config.machine.prefixes);
    })
    .await
}

fn with_password(verb: &str, name: &str, password: &str) -> String {
    format!("{verb} <{name}> <{}>\n", PasswordDigest::of_password(password).expose())
}

/// A stream that has said hello.
async fn greet(registry: &Registry, ip: &str) -> Raw {
    let mut raw = registry.raw_from(ip).await;
    raw.say("HELLO_P2P\n").await;
    assert_eq!(raw.hear().await, WELCOME);
    raw
}

/// The answer to one request on a stream of its own.
async fn ask(registry: &Registry, ip: &str, request: &str) -> String {
    let mut raw = greet(registry, ip).await;
    raw.say(request).await;
    raw.hear().await
}

async fn log_in(registry: &Registry, ip: &str, name: &str, password: &str) -> String {
    let reply = ask(registry, ip, &with_password("LOGIN", name, password)).await;
    // The session ends with its stream, which the registry may notice later.
    registry.until(|stats| stats.registry.sessions == 0).await;
    reply
}

async fn register(registry: &Registry, ip: &str, name: &str) -> String {
    ask(registry, ip, &with_password("REGISTER", name, "right")).await
}

#[tokio::test]
async fn handshakes_that_drip_are_given_up_and_others_are_served_meanwhile() {
    let registry = Registry::start_with(|config| config.times.handshake = Duration::from_secs(8)).await;
    let mut drips = Vec::new();
    for _ in 0..10 {
        let mut plain = registry.plain_from("127.0.0.1").await;
        drips.push(tokio::spawn(async move {
            // A handshake record of 512 bytes, of which one comes at a time.
            let mut sent = plain.write_all(&[0x16, 3, 1, 2, 0]).await;
            while sent.is_ok() {
                sleep(Duration::from_millis(20)).await;
                sent = plain.write_all(&[1]).await;
            }
        }));
    }
    assert_eq!(register(&registry, "127.0.0.2", "bob").await, "REGISTER <SUCCESS> <200>\n");
    registry.until(|stats| stats.failed_handshakes == 10).await;
    for drip in drips {
        timeout(PATIENCE, drip).await.expect("was not closed").unwrap();
    }
    registry.until(|stats| stats.registry.connections == 0).await;
}

#[tokio::test]
async fn half_open_connections_take_their_own_places_only_and_not_for_long() {
    let registry = Registry::start_with(|config| {
        config.times.handshake = Duration::from_secs(8);
        (config.machine.prefixes.connections, config.machine.prefixes.loopback) = (5, true);
    })
    .await;
    let mut idle = Vec::new();
    for _ in 0..5 {
        idle.push(registry.plain_from("127.0.0.1").await);
    }
    registry.until(|stats| stats.registry.connections == 5).await;
    let mut sixth = registry.plain_from("127.0.0.1").await;
    let mut rest = Vec::new();
    // A reset ends it as well.
    let _ = timeout(PATIENCE, sixth.read_to_end(&mut rest)).await.expect("was not closed");
    assert_eq!((rest.len(), registry.handle.stats().registry.refused_crowds), (0, 1));
    assert_eq!(register(&registry, "127.0.0.2", "bob").await, "REGISTER <SUCCESS> <200>\n");
    registry.until(|stats| stats.failed_handshakes == 5).await;
    assert_eq!(register(&registry, "127.0.0.1", "alice").await, "REGISTER <SUCCESS> <200>\n");
}

#[tokio::test]
async fn connections_that_come_and_go_too_fast_are_refused_and_others_are_served() {
    let registry = limited(|limits| limits.connects = Rate::new(5, HOUR)).await;
    for _ in 0..20 {
        drop(registry.plain_from("127.0.0.1").await);
    }
    registry.until(|stats| stats.registry.refused_rushes == 15).await;
    assert_eq!(register(&registry, "127.0.0.2", "bob").await, "REGISTER <SUCCESS> <200>\n");
    let stats = registry.handle.stats();
    assert_eq!((stats.refused_connections, stats.registry.refused_crowds), (15, 0));
}

#[tokio::test]
async fn guessing_on_one_account_from_many_places_is_stopped_and_the_owner_is_not_locked_out() {
    let registry = limited(|limits| limits.account_failures = Rate::new(3, HOUR)).await;
    register(&registry, "127.0.0.1", "alice").await;
    assert_eq!(log_in(&registry, "127.0.0.1", "alice", "right").await, RIGHT);
    let mut replies = Vec::new();
    for place in 1..=3 {
        for _ in 0..5 {
            replies.push(log_in(&registry, &format!("127.0.1.{place}"), "alice", "guess").await);
        }
    }
    let tried = replies.iter().filter(|reply| *reply == WRONG).count();
    let untried = replies.iter().filter(|reply| *reply == UNTRIED).count();
    assert_eq!((tried, untried), (3 + 3 * 3 - 1, 4), "{replies:?}");
    assert_eq!(registry.handle.stats().registry.refused_account_logins, 4);
    assert_eq!(
        log_in(&registry, "127.0.1.2", "alice", "right").await,
        UNTRIED,
        "also if it is the right one"
    );
    assert_eq!(log_in(&registry, "127.0.0.1", "alice", "typo").await, WRONG);
    assert_eq!(log_in(&registry, "127.0.0.1", "alice", "right").await, RIGHT, "where the owner was");
    assert_eq!(log_in(&registry, "127.0.2.1", "alice", "right").await, RIGHT, "and where nobody was");
}

#[tokio::test]
async fn guessing_across_accounts_is_stopped_where_it_comes_from() {
    let registry = limited(|limits| limits.failed_logins = Rate::new(3, HOUR)).await;
    for name in ["alice", "bob", "carol", "dave"] {
        register(&registry, "127.0.0.1", name).await;
    }
    assert_eq!(log_in(&registry, "127.0.1.1", "dave", "right").await, RIGHT);
    for name in ["alice", "bob", "nobody"] {
        assert_eq!(log_in(&registry, "127.0.1.1", name, "guess").await, WRONG, "{name}");
    }
    for name in ["carol", "nobody"] {
        assert_eq!(log_in(&registry, "127.0.1.1", name, "guess").await, UNTRIED, "{name}");
    }
    assert_eq!(registry.handle.stats().registry.refused_logins, 2);
    assert_eq!(log_in(&registry, "127.0.1.1", "dave", "right").await, RIGHT, "who lives beside the guesser");
    assert_eq!(log_in(&registry, "127.0.1.2", "carol", "right").await, RIGHT, "who lives elsewhere");
}

#[tokio::test]
async fn mass_registration_is_stopped_where_it_comes_from() {
    let registry = limited(|limits| limits.registrations = Rate::new(3, HOUR)).await;
    for n in 0..3 {
        assert_eq!(register(&registry, "127.0.0.1", &format!("bot{n}")).await, "REGISTER <SUCCESS> <200>\n");
    }
    for n in 3..6 {
        assert_eq!(register(&registry, "127.0.0.1", &format!("bot{n}")).await, "REGISTER <FAILURE> <404>\n");
    }
    assert_eq!(registry.handle.stats().registry.refused_registrations, 3);
    assert_eq!(register(&registry, "127.0.0.2", "alice").await, "REGISTER <SUCCESS> <200>\n");
    assert_eq!(
        log_in(&registry, "127.0.0.1", "bot0", "right").await,
        RIGHT,
        "it is about registrations only"
    );
}

#[tokio::test]
async fn password_hashes_beyond_the_bound_are_refused_at_once_and_counted() {
    let registry = Registry::start_with(|config| {
        (config.hash.workers, config.hash.queue) = (1, 0);
        // One that takes long enough for the second to come meanwhile.
        (config.hash.memory_kib, config.hash.iterations) = (64 * 1024, 20);
    })
    .await;
    let mut first = greet(&registry, "127.0.0.1").await;
    first.say(&with_password("REGISTER", "alice", "right")).await;
    registry.until(|stats| stats.registry.hashes == 1).await;
    assert_eq!(register(&registry, "127.0.0.2", "bob").await, "REGISTER <FAILURE> <404>\n");
    assert_eq!(registry.handle.stats().registry.refused_hashes, 1);
    assert_eq!(first.hear().await, "REGISTER <SUCCESS> <200>\n");
    registry.until(|stats| stats.registry.hashes == 0).await;
    let stats = registry.handle.stats();
    assert_eq!(stats.hash_times.counts.iter().sum::<u64>(), 1);
    assert_eq!((stats.registry.registrations, stats.registry.failed_registrations), (1, 1));
}

#[tokio::test]
async fn a_flood_of_requests_is_read_as_fast_as_is_allowed_and_others_are_served() {
    const BURST: u32 = 20;
    const PER: Duration = Duration::from_millis(200);
    let registry = limited(|limits| limits.requests = Rate::new(BURST, PER)).await;
    let begun = Instant::now();
    let (mut reader, mut writer) = tokio::io::split(greet(&registry, "127.0.0.1").await.0);
    let flood = tokio::spawn(async move {
        let requests = "HELLO_P2P\n".repeat(100);
        while writer.write_all(requests.as_bytes()).await.is_ok() {}
    });
    let answers = tokio::spawn(async move {
        let (mut bytes, mut buffer) = (0, [0; 1024]);
        while begun.elapsed() < 5 * PER || bytes < WELCOME.len() * 2 * BURST as usize {
            bytes += timeout(PATIENCE, reader.read(&mut buffer)).await.expect("heard nothing").unwrap();
        }
        (u32::try_from(bytes / WELCOME.len()).unwrap(), begun.elapsed())
    });
    let mut other = greet(&registry, "127.0.0.2").await;
    for _ in 0..BURST / 2 {
        other.say("HELLO_P2P\n").await;
        assert_eq!(other.hear().await, WELCOME);
    }
    let (answered, elapsed) = answers.await.unwrap();
    flood.abort();
    let allowed = BURST + elapsed.div_duration_f64(PER / BURST) as u32;
    assert!(answered <= allowed + 1, "{answered} answers in {elapsed:?}, which allows {allowed}");
    assert!(registry.handle.stats().registry.held_requests > 0);
}

/// Counts what the registry would connect to.
#[derive(Debug, Default)]
struct Dials(AtomicUsize);

impl Network for Dials {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, std::io::Result<Vec<SocketAddr>>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        TcpNetwork.resolve(host, port)
    }

    fn dial(&self, addr: SocketAddr) -> BoxFuture<'_, std::io::Result<BoxStream>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        TcpNetwork.dial(addr)
    }

    fn listen(&self, addr: SocketAddr) -> BoxFuture<'_, std::io::Result<Box<dyn Listener>>> {
        TcpNetwork.listen(addr)
    }

    fn bind(&self, addr: SocketAddr) -> BoxFuture<'_, std::io::Result<Box<dyn Datagrams>>> {
        TcpNetwork.bind(addr)
    }
}

#[tokio::test]
async fn cannon_rule_4_a_victim_is_told_at_once_who_sent_the_peer_and_is_left_alone_then() {
    let registry = Registry::start().await;
    let victim = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (alice, mut events) = registry.newcomer("alice").await;
    let mut eve = registry.raw().await;
    eve.say("HELLO_P2P <1> <sender,origin>\n").await;
    eve.hear().await;
    eve.say(with_password("REGISTER", "eve", "right")).await;
    eve.hear().await;
    let login = with_password("LOGIN", "eve", "right");
    let port = victim.local_addr().unwrap().port();
    eve.say(format!("{} <{port}>\n", login.trim_end())).await;
    assert_eq!(eve.hear().await, RIGHT);

    let serve = async {
        let (mut stream, _) = victim.accept().await.unwrap();
        let mut first = vec![0; 1_024];
        let size = stream.read(&mut first).await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        String::from_utf8(first[..size].to_vec()).unwrap()
    };
    let (asked, first) = tokio::join!(alice.chat("eve"), serve);
    let expected = format!("INTRODUCED_BY <127.0.0.1:{}> <alice> <eve>\n", registry.tcp.port());
    assert!(first.starts_with(&expected), "{first}");
    assert!(matches!(asked, Err(Error::Request(RequestError::Unreachable(_)))), "{asked:?}");
    let culprit = until(&mut events, |event| match event {
        Event::Fault { culprit, .. } => Some(culprit),
        _ => None,
    });
    assert_eq!(culprit.await, format!("eve at 127.0.0.1:{port}"));
    let again = alice.chat("eve").await.unwrap_err();
    assert_eq!(again.to_string(), "that user can't be reached: what answers there is no peer");
    let dialled = timeout(Duration::from_millis(50), victim.accept()).await;
    assert!(dialled.is_err(), "it was dialled again");
}

#[tokio::test]
async fn cannon_rule_5_the_registry_connects_to_nobody_whatever_is_asked() {
    let victim = UdpSocket::bind("127.0.0.3:0").await.unwrap();
    let port = victim.local_addr().unwrap().port();
    let target = std::net::TcpListener::bind(("127.0.0.3", port)).unwrap();
    target.set_nonblocking(true).unwrap();
    let dials = Arc::new(Dials::default());
    let registry = Registry::start_with(|config| config.network = dials.clone()).await;
    let mut raw = registry.raw().await;
    let login = with_password("LOGIN", "eve", "right");
    for request in [
        "HELLO_P2P <1> <reason,roster,sender>\n".to_owned(),
        with_password("REGISTER", "eve", "right"),
        format!("{} <{port}> <127.0.0.3> <127.0.0.3:{port}>\n", login.trim_end()),
        format!("CREATE_CHAT_ROOM <den> <> <5> <127.0.0.3:{port}>\n"),
        "JOIN_CHAT_ROOM <den> <> <increment>\n".to_owned(),
        "SHOW_ROOMS_LIST <DETAILED>\n".to_owned(),
        "SEARCH_USER <eve>\n".to_owned(),
        format!("SEARCH_USER <127.0.0.3> <{port}>\n"),
        "DISCOVER_PEERS <DETAILED>\n".to_owned(),
        "DISCOVER_PEERS <den>\n".to_owned(),
        "ROOM_EXIT <eve> <den>\n".to_owned(),
    ] {
        raw.say(request).await;
        assert!(raw.hear().await.ends_with('\n'));
    }
    let datagrams = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let proof = "0".repeat(64);
    for fields in [
        "<eve> <3> <127.0.0.3>".to_owned(),
        format!("<eve> <3> <1> <{proof}> <127.0.0.3>"),
        "<eve> <3>".to_owned(),
    ] {
        datagrams.send_to(format!("KEEP_ALIVE {fields}").as_bytes(), registry.udp).await.unwrap();
    }
    let mut buffer = [0; 64];
    let (size, _) = timeout(PATIENCE, datagrams.recv_from(&mut buffer)).await.expect("no answer").unwrap();
    assert_eq!(&buffer[..size], b"KEEP_ALIVE_RESPONSE <SUCCESS> <200>");
    raw.say("LOGOUT\n").await;
    assert_eq!(raw.hear_out().await, "");
    assert_eq!(dials.0.load(Ordering::Relaxed), 0);
    assert_eq!(target.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!(victim.try_recv(&mut buffer).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn handshakes_that_hang_take_no_more_than_their_places() {
    let registry = Registry::start_with(|config| {
        config.handshakes = 3;
        config.times.handshake = Duration::from_secs(8);
    })
    .await;
    let mut hanging = Vec::new();
    for _ in 0..3 {
        hanging.push(registry.plain_from("127.0.0.1").await);
    }
    registry.until(|stats| stats.handshakes == 3).await;
    let mut fourth = registry.plain_from("127.0.0.1").await;
    let mut rest = Vec::new();
    // A reset ends it as well.
    let _ = timeout(PATIENCE, fourth.read_to_end(&mut rest)).await.expect("was not closed");
    let stats = registry.handle.stats();
    assert_eq!((rest.len(), stats.refused_handshakes, stats.most_handshakes), (0, 1, 3));
    registry.until(|stats| stats.failed_handshakes == 3 && stats.handshakes == 0).await;
    assert_eq!(register(&registry, "127.0.0.2", "bob").await, "REGISTER <SUCCESS> <200>\n");
}

/// A hash that takes a few milliseconds, one at a time, and so many more wait.
fn slow_hash(queue: usize) -> HashConfig {
    let mut hash = HashConfig::default();
    (hash.memory_kib, hash.iterations, hash.workers, hash.queue) = (64, 400, 1, queue);
    hash
}

#[tokio::test]
async fn a_flood_of_logins_is_sent_away_with_times_and_nobody_else_is_held_up() {
    let registry = Registry::start_with(|config| config.hash = slow_hash(1)).await;
    register(&registry, "127.0.0.1", "alice").await;
    let (bob, _events) = registry.newcomer("bob").await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        let mut raw = registry.raw_from("127.0.0.1").await;
        raw.say("HELLO_P2P <1> <retry>\n").await;
        assert_eq!(raw.hear().await, "HELLO_BACK <SUCCESS> <200> <1> <retry>\n");
        streams.push(raw);
    }
    let guess = with_password("LOGIN", "alice", "wrong");
    for raw in &mut streams {
        raw.say(&guess).await;
    }
    assert_eq!(bob.search("alice").await.unwrap_err().to_string(), "that user is not online");
    let mut sent_away = 0;
    for raw in &mut streams {
        let mut said = raw.hear().await;
        if let Some(rest) = said.strip_prefix("RETRY_AFTER <") {
            let (seconds, refusal) = rest.split_once(">\n").unwrap();
            assert!((2..=61).contains(&seconds.parse::<u64>().unwrap()), "{said}");
            if refusal.is_empty() {
                said = raw.hear_out().await;
                assert_eq!(said, UNTRIED);
            }
            sent_away += 1;
        } else {
            assert_eq!(said, WRONG);
        }
    }
    let stats = registry.handle.stats().registry;
    assert_eq!(stats.refused_hashes, sent_away);
    assert!(sent_away > 0 && (1..=2).contains(&stats.most_hashes), "{stats:?}");
    registry.until(|stats| stats.registry.hashes == 0).await;
}

#[tokio::test]
async fn after_a_restart_everybody_comes_back_though_few_may_wait() {
    assert_eq!(most_hashes_after_a_restart("reason,roster,sender,ticket,retry").await, 1);
}

#[tokio::test]
async fn after_a_restart_who_has_a_token_waits_for_no_hash() {
    assert_eq!(most_hashes_after_a_restart("reason,roster,sender,resume,ticket,retry").await, 0);
}

/// Of a registry where one may wait for a hash, once twenty are back.
async fn most_hashes_after_a_restart(capabilities: &str) -> usize {
    let registry = Registry::start().await;
    let mut machine = quick();
    machine.capabilities = Capabilities::parse(capabilities);
    let mut people = Vec::new();
    for n in 0..20 {
        let (peer, events) = Peer::connect(registry.client().machine(machine.clone())).await.unwrap();
        let name = format!("user{n}");
        peer.register(&name, "secret").await.unwrap();
        peer.login(&name, "secret").await.unwrap();
        people.push((peer, events));
    }
    let (tcp, udp, identity, store) = registry.stop().await;
    let slow = |config: &mut ServerConfig| config.hash = slow_hash(0);
    let registry = Registry::start_on(tcp, udp, identity, store, slow).await;
    for (_, events) in &mut people {
        until(events, |event| matches!(event, Event::Reconnected).then_some(())).await;
    }
    let stats = registry.handle.stats().registry;
    assert_eq!(stats.sessions, 20);
    stats.most_hashes
}
