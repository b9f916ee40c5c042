//! Bad input to the registry ends in a clear answer on its own stream, in bounded time, and disturbs nobody else.

use std::time::Duration;

use p2pchat_core::{proto::PasswordDigest, registry::PrefixLimits, tokio::Peer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream, UdpSocket},
    time::{Instant, sleep, timeout},
};

use crate::support::{PATIENCE, Registry};

/// What those have who do shake hands and say something, however slow the machine is.
const LIMIT: Duration = Duration::from_secs(6);

async fn hasty() -> Registry {
    Registry::start_with(|config| {
        config.times.handshake = LIMIT;
        config.times.first_message = LIMIT;
        config.times.frame = LIMIT;
        // Who is slow at saying something is told that first.
        config.times.anonymous_idle = LIMIT * 2;
    })
    .await
}

const FAILURE: &str = "HELLO_BACK <FAILURE> <404>";

#[tokio::test]
async fn garbage_is_answered_and_the_stream_closed() {
    let registry = Registry::start().await;
    let (alice, _events) = registry.newcomer("alice").await;
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\xff\xfe\xfd\n", b"\0\n", b"SEARCH_USER \xc3\x28\n"] {
        let mut raw = registry.raw().await;
        raw.say(garbage).await;
        assert_eq!(raw.hear_out().await, format!("{FAILURE}\n"), "{garbage:?}");
    }
    // Not TLS at all.
    let mut plain = TcpStream::connect(registry.tcp).await.unwrap();
    plain.write_all(b"HELLO_P2P\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, plain.read_to_end(&mut answer)).await.expect("was not closed");
    assert!(alice.search("alice").await.is_ok(), "others are not disturbed");
    assert_eq!(registry.handle.stats().failed_handshakes, 1);
}

#[tokio::test]
async fn a_reason_goes_to_who_asked_for_it_and_known_verbs_keep_the_stream() {
    let registry = Registry::start().await;
    let mut raw = registry.raw().await;
    raw.say("HELLO_P2P <1> <reason>\n").await;
    assert_eq!(raw.hear().await, "HELLO_BACK <SUCCESS> <200> <1> <reason>\n");
    raw.say("SEARCH_USER <bob>\n").await;
    assert!(raw.hear().await.starts_with("SEARCH_USER_RESPONSE <NOT_FOUND> <404> <"), "not logged in");
    raw.say("REGISTER <alice> <not a digest>\n").await;
    let refusal = raw.hear().await;
    assert!(refusal.starts_with("REGISTER <FAILURE> <404> <") && refusal.contains("password"), "{refusal}");
    raw.say("NONSENSE\n").await;
    assert!(raw.hear_out().await.starts_with(&format!("{FAILURE} <")));
}

#[tokio::test]
async fn a_frame_without_end_is_refused_at_the_limit_and_not_kept() {
    let registry = Registry::start().await;
    let mut raw = registry.raw().await;
    raw.say("HELLO_P2P\n").await;
    raw.hear().await;
    let (mut reader, mut writer) = tokio::io::split(raw.0);
    let flood = tokio::spawn(async move {
        let block = vec![b'x'; 256 * 1024];
        let mut sent = 0_usize;
        // As much as is taken, at no more than 256 MB a second: a gigabyte is never reached, however fast the machine is.
        while sent < 1 << 30 && writer.write_all(&block).await.is_ok() {
            sent += block.len();
            sleep(Duration::from_millis(1)).await;
        }
        sent
    });
    let mut answer = String::new();
    let _ = timeout(PATIENCE, reader.read_to_string(&mut answer)).await.expect("was not closed");
    assert_eq!(answer, format!("{FAILURE}\n"));
    assert_eq!(registry.handle.stats().registry.malformed, 1);
    drop(reader);
    assert!(timeout(PATIENCE, flood).await.expect("the flood goes on").unwrap() < 1 << 30);
}

#[tokio::test]
async fn half_frames_silence_and_one_byte_at_a_time_are_given_up() {
    let registry = hasty().await;
    let begun = Instant::now();

    let handshake = async {
        let mut plain = TcpStream::connect(registry.tcp).await.unwrap();
        let mut rest = Vec::new();
        let _ = plain.read_to_end(&mut rest).await;
        assert!(rest.is_empty());
    };
    let silence = async {
        let mut raw = registry.raw().await;
        assert_eq!(raw.hear_out().await, format!("{FAILURE}\n"));
    };
    let half = async {
        let mut raw = registry.raw().await;
        raw.say("HELLO_P2P\nREGISTER <al").await;
        assert_eq!(raw.hear_out().await, format!("HELLO_BACK <SUCCESS> <200>\n{FAILURE}\n"));
    };
    let drip = async {
        let mut raw = registry.raw().await;
        raw.say("HELLO_P2P\n").await;
        assert_eq!(raw.hear().await, "HELLO_BACK <SUCCESS> <200>\n");
        let (mut reader, mut writer) = tokio::io::split(raw.0);
        let mut answer = String::new();
        let drip = async {
            while writer.write_all(b"x").await.is_ok() && writer.flush().await.is_ok() {
                sleep(LIMIT / 20).await;
            }
        };
        let _ = tokio::join!(reader.read_to_string(&mut answer), drip);
        assert_eq!(answer, format!("{FAILURE}\n"));
    };
    let idle = async {
        let mut raw = registry.raw().await;
        raw.say("HELLO_P2P\n").await;
        assert_eq!(raw.hear_out().await, format!("HELLO_BACK <SUCCESS> <200>\n{FAILURE}\n"));
    };
    timeout(PATIENCE, async { tokio::join!(handshake, silence, half, drip, idle) }).await.unwrap();
    assert!(begun.elapsed() >= LIMIT, "each had its time");
    let stats = registry.handle.stats();
    assert_eq!((stats.failed_handshakes, stats.slow_writers, stats.idle), (1, 3, 1));
}

#[tokio::test]
async fn a_cut_off_frame_is_answered() {
    let registry = Registry::start().await;
    let mut raw = registry.raw().await;
    raw.say("HELLO_P2P\nSEARCH_U").await;
    raw.0.shutdown().await.unwrap();
    assert_eq!(raw.hear_out().await, format!("HELLO_BACK <SUCCESS> <200>\n{FAILURE}\n"));
}

#[tokio::test]
async fn whatever_is_asked_at_once_is_answered_in_its_order() {
    let registry = Registry::start().await;
    let digest = PasswordDigest::of_password("x");
    let raw = registry.raw().await;
    let mut asked = format!("HELLO_P2P\nREGISTER <al> <{0}>\nLOGIN <al> <{0}> <2000>\n", digest.expose());
    let mut wanted =
        "HELLO_BACK <SUCCESS> <200>\nREGISTER <SUCCESS> <200>\nAUTH <SUCCESS> <200>\n".to_owned();
    // More than is handed to the machine at once; some of it waits for the store, some is malformed, some needs neither.
    for n in 0..500 {
        asked += "SEARCH_USER <al>\nDISCOVER_PEERS <PARTIAL>\n";
        wanted += "SEARCH_USER_RESPONSE <SUCCESS> <200> <al> <2000> <127.0.0.1>\nPEER_LIST <FAILURE> <404>\n";
        if n % 20 == 3 {
            asked += "SEARCH_USER <nobody>\nJOIN_CHAT_ROOM <attic> <> <increment>\nROOM_EXIT <al>\n";
            wanted += "SEARCH_USER_RESPONSE <NOT_FOUND> <404>\nJOIN <FAILURE> <404>\n";
            wanted += "ROOM_EXIT_RESPONSE <FAILURE> <404>\n";
        }
    }
    asked += "LOGOUT\n";
    let (mut reader, mut writer) = tokio::io::split(raw.0);
    let ask = async {
        writer.write_all(asked.as_bytes()).await.unwrap();
        writer.flush().await.unwrap();
    };
    let mut answered = String::new();
    let hear = async { _ = reader.read_to_string(&mut answered).await };
    timeout(PATIENCE, async { tokio::join!(ask, hear) }).await.unwrap();
    let differs = answered.lines().zip(wanted.lines()).position(|(one, other)| one != other);
    assert_eq!(differs.map(|line| answered.lines().nth(line)), None);
    assert_eq!(answered.lines().count(), wanted.lines().count());
    assert_eq!(registry.handle.stats().registry.requests, asked.lines().count() as u64);
}

#[tokio::test]
async fn who_does_not_read_is_dropped() {
    let registry = Registry::start_with(|config| config.send_queue_bytes = 4 * 1024).await;
    let (_watched, _events) = registry.newcomer("watched").await;
    let mut raw = registry.raw().await;
    raw.say("HELLO_P2P\n").await;
    raw.hear().await;
    // A list longer than the queue may be: nobody has to be slow for long.
    let digest = PasswordDigest::of_password("x");
    let description = "d".repeat(256);
    raw.say(format!("REGISTER <maker> <{0}>\nLOGIN <maker> <{0}>\n", digest.expose())).await;
    for room in 0..20 {
        raw.say(format!("CREATE_CHAT_ROOM <room{room}> <> <5> <{description}>\n")).await;
    }
    raw.say("SHOW_ROOMS_LIST <DETAILED>\n").await;
    raw.hear_out().await;
    assert_eq!(registry.handle.stats().slow_readers, 1);
}

#[tokio::test]
async fn who_asks_and_never_reads_is_dropped_without_a_full_queue() {
    let registry = Registry::start_with(|config| config.times.write_stall = Duration::from_millis(300)).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    let mut raw = registry.raw_over(socket.connect(registry.tcp).await.unwrap()).await;
    let digest = PasswordDigest::of_password("x");
    raw.say(format!("HELLO_P2P\nREGISTER <maker> <{0}>\nLOGIN <maker> <{0}>\n", digest.expose())).await;
    let description = "d".repeat(256);
    for room in 0..20 {
        raw.say(format!("CREATE_CHAT_ROOM <room{room}> <> <5> <{description}>\n")).await;
    }
    // The registry stops reading requests while their answers wait, so this blocks, until the stream is closed.
    let asks = async { while raw.0.write_all(b"SHOW_ROOMS_LIST <DETAILED>\n").await.is_ok() {} };
    timeout(PATIENCE, asks).await.unwrap();
    let stats = registry.handle.stats();
    assert_eq!((stats.slow_readers, stats.registry.sessions), (1, 0));
}

#[tokio::test]
async fn a_flood_from_one_address_leaves_the_others_alone() {
    let registry = Registry::start_with(|config| {
        let mut limits = PrefixLimits::default();
        (limits.connections, limits.loopback) = (3, true);
        config.machine.prefixes = limits;
    })
    .await;
    let mut flood = Vec::new();
    for _ in 0..20 {
        flood.push(TcpStream::connect(registry.tcp).await.unwrap());
    }
    registry.until(|stats| stats.refused_connections == 17).await;
    let figures = registry.handle.stats().registry;
    assert_eq!((figures.connections, figures.refused_crowds), (3, 17));
    let mut raw = registry.raw_from("127.0.0.2").await;
    raw.say("HELLO_P2P\n").await;
    assert_eq!(raw.hear().await, "HELLO_BACK <SUCCESS> <200>\n");
}

#[tokio::test]
async fn datagrams_that_prove_nothing_get_no_answer() {
    let registry = Registry::start().await;
    let (alice, _events) = registry.newcomer("alice").await;
    let stranger = UdpSocket::bind("127.0.0.2:0").await.unwrap();
    for datagram in ["KEEP_ALIVE <alice> <10>", "KEEP_ALIVE <nobody> <10>", "rubbish", "", "\u{0}\u{0}"] {
        stranger.send_to(datagram.as_bytes(), registry.udp).await.unwrap();
    }
    let mut buffer = [0; 1024];
    let answered = timeout(Duration::from_millis(300), stranger.recv_from(&mut buffer)).await;
    assert!(answered.is_err(), "silence is the answer");
    assert!(alice.search("alice").await.is_ok());
}

#[tokio::test]
async fn the_prototypes_hello_gets_the_bare_greeting_and_each_message_a_record() {
    let registry = Registry::start().await;
    let mut raw = registry.raw().await;
    raw.say("HELLO_P2P").await;
    assert_eq!(raw.hear().await, "HELLO_BACK SUCCESS 200 ");
    let digest = PasswordDigest::of_password("x");
    raw.say(format!("REGISTER alice {}", digest.expose())).await;
    assert_eq!(raw.hear().await, "REGISTER <SUCCESS> <200>");
    raw.say(format!("LOGIN alice {} 4278", digest.expose())).await;
    assert_eq!(raw.hear().await, "AUTH <SUCCESS> <200>");
    raw.say("SEARCH_USER alice").await;
    assert_eq!(raw.hear().await, "SEARCH_USER_RESPONSE <SUCCESS> <200> 127.0.0.1:4278");
    raw.say("DISCOVER_PEERS DETAILED alice").await;
    assert_eq!(raw.hear().await, "PEER_LIST <FAILURE> <404>");
    let (_bob, _events) = registry.newcomer("bob").await;
    raw.say("DISCOVER_PEERS SIMPLE alice").await;
    assert_eq!(raw.hear().await, "PEER_LIST <SUCCESS> <200> bob");
    raw.say("LOGOUT alice").await;
    assert_eq!(raw.hear_out().await, "");
}

#[tokio::test]
async fn a_registry_that_is_full_says_so_by_closing_and_counts_it() {
    let registry = Registry::start_with(|config| config.machine.connections = 1).await;
    let (alice, _events) = registry.newcomer("alice").await;
    let mut refused = TcpStream::connect(registry.tcp).await.unwrap();
    let mut rest = Vec::new();
    // A reset ends it as well.
    let _ = timeout(PATIENCE, refused.read_to_end(&mut rest)).await.expect("was not closed");
    assert_eq!(rest, b"");
    assert_eq!(registry.handle.stats().refused_connections, 1);
    alice.close().await;
    while registry.handle.stats().registry.connections > 0 {
        tokio::task::yield_now().await;
    }
    assert!(Peer::connect(registry.client()).await.is_ok(), "there is room again");
}
