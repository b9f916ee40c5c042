//! Link keys: who is talked to, who is listened to, and who has to decide (§7.13).

use p2pchat_core::peer::{Config, Event, RequestError};
use p2pchat_proto::{Dialect, LinkKey, PeerMessage, PeerPort, RegistryName};

use crate::{
    solo::{SECOND, Solo, digest, user},
    world::World,
};

const AGREED: &str = " <1> <reason,roster,sender,origin,keys>";
pub(crate) const REGISTRY: &str = "chat.example.org:15600";

pub(crate) fn config() -> Config {
    let mut config = Config::default();
    config.registry = Some(RegistryName::new(REGISTRY).unwrap());
    config
}

/// A program with a key.
fn with_key(config: Config) -> Solo {
    let mut s = Solo::with(config);
    s.peer.set_link_key(Some(key('a'))).unwrap();
    s
}

pub(crate) fn key(letter: char) -> LinkKey {
    LinkKey::new(&letter.to_string().repeat(64)).unwrap()
}

/// alice, whose key is `a`s, on a registry that knows keys.
pub(crate) fn alice() -> Solo {
    alice_with(config())
}

pub(crate) fn alice_with(config: Config) -> Solo {
    let mut s = logging_in("alice", config);
    s.let_in();
    s
}

/// Somebody with a key is about to log in, on a registry that knows keys.
pub(crate) fn logging_in(me: &str, config: Config) -> Solo {
    logging_in_where(me, config, AGREED)
}

/// The same, on a registry that agrees on this.
pub(crate) fn logging_in_where(me: &str, config: Config, agreed: &str) -> Solo {
    let mut s = with_key(config);
    s.peer.login(s.now, user(me), digest("secret"), Some(PeerPort::new(4_000).unwrap()));
    s.peer.handle_registry_connected(s.now, Some(Dialect::Canonical));
    s.registry(&format!("HELLO_BACK <SUCCESS> <200>{agreed}"));
    s
}

impl Solo {
    /// The registry takes the key, and the login.
    pub(crate) fn let_in(&mut self) {
        self.registry("LINK_KEY <SUCCESS> <200>");
        self.registry("AUTH <SUCCESS> <200>");
        self.did();
    }
}

/// Where bob is, and whose key the registry says is his.
pub(crate) fn bob(key: Option<LinkKey>) -> String {
    let key = key.map_or(String::new(), |key| format!(" <{key}>"));
    format!("SEARCH_USER_RESPONSE <SUCCESS> <200> <bob> <4000> <192.0.2.2> <sender,origin>{key}")
}

pub(crate) fn introduction(recipient: &str) -> String {
    format!("INTRODUCED_BY <{REGISTRY}> <bob> <{recipient}>")
}

/// alice has asked for a chat with bob, whom the registry shows with that key; what she did then.
pub(crate) fn asked(s: &mut Solo, shown: Option<LinkKey>) -> Vec<String> {
    s.peer.chat(s.now, user("bob"));
    s.registry(&bob(shown));
    s.did()
}

/// Somebody dials, announces a handshake as bob, and shows that they hold that key; what was done then.
pub(crate) fn comes(s: &mut Solo, key: LinkKey) -> (usize, Vec<String>) {
    let stream = s.accept();
    s.hear(stream, &format!("{} <tls>", introduction("alice")));
    s.peer.handle_stream_secured(s.now, s.streams[stream], key);
    // The names once more, where nobody can have changed them.
    s.hear(stream, &introduction("alice"));
    (stream, s.did())
}

pub(crate) fn knows_bob(key: LinkKey) -> Solo {
    let mut s = alice();
    s.peer.set_key(s.now, user("bob"), Some(key));
    s
}

#[test]
fn a_key_is_announced_before_each_login_and_only_where_it_is_of_use() {
    let mut s = with_key(config());
    s.log_in();
    s.peer.handle_registry_connected(s.now, Some(Dialect::Canonical));
    let hello = s.did().pop().unwrap();
    assert!(hello.ends_with(",keys,ids>"), "{hello}");
    s.registry(&format!("HELLO_BACK <SUCCESS> <200>{AGREED}"));
    let announced = format!("> LINK_KEY <{}>", key('a'));
    assert_eq!(s.did()[1..], [announced.clone(), "> LOGIN <alice> <…> <4000>".to_owned()]);
    s.registry("LINK_KEY <SUCCESS> <200>");
    s.registry("AUTH <SUCCESS> <200>");
    s.did();
    s.peer.handle_registry_closed(s.now, "gone".to_owned());
    s.wait(SECOND * 5);
    s.peer.handle_registry_connected(s.now, Some(Dialect::Canonical));
    s.registry(&format!("HELLO_BACK <SUCCESS> <200>{AGREED}"));
    assert_eq!(s.did()[1..], [announced, "> LOGIN <alice> <…> <4000>".to_owned()]);

    // A registry that doesn't know keys isn't shown one, nor is one shown that isn't there.
    let mut s = with_key(config());
    s.log_in();
    s.peer.handle_registry_connected(s.now, Some(Dialect::Canonical));
    s.did();
    s.registry("HELLO_BACK <SUCCESS> <200> <1> <sender,origin>");
    assert_eq!(s.did()[1..], ["> LOGIN <alice> <…> <4000>"]);
    let mut s = with_key(Config::default());
    s.log_in();
    s.peer.handle_registry_connected(s.now, Some(Dialect::Canonical));
    assert_eq!(s.did().pop().unwrap(), "> HELLO_P2P <1> <all>", "no registry to be introduced by");
    let mut s = Solo::with(config());
    s.log_in();
    s.peer.handle_registry_connected(s.now, Some(Dialect::Canonical));
    s.registry(&format!("HELLO_BACK <SUCCESS> <200>{AGREED}"));
    assert_eq!(s.did().pop().unwrap(), "> LOGIN <alice> <…> <4000>", "no key to announce");
    // Others have been told the key.
    let mut s = alice();
    assert_eq!(s.peer.set_link_key(None), Err(RequestError::AlreadyLoggedIn));
    assert_eq!(s.peer.set_link_key(Some(key('a'))), Ok(()));
}

#[test]
fn a_registry_that_refuses_the_key_is_at_fault_and_the_login_goes_on() {
    let mut s = logging_in("alice", config());
    s.did();
    s.registry("LINK_KEY <FAILURE> <404> <no keys today>");
    assert_eq!(s.did(), ["fault of registry: doesn't take this program's key: no keys today"]);
    s.registry("AUTH <SUCCESS> <200>");
    assert!(s.peer.is_logged_in());
}

#[test]
fn of_two_logins_at_once_the_second_is_refused_and_the_registry_is_not_at_fault() {
    let mut s = logging_in("alice", config());
    s.log_in();
    s.let_in();
    s.registry("LINK_KEY <FAILURE> <404> <a key is announced before the login>");
    assert!(s.did().is_empty());
    s.registry("AUTH <ONLINE> <300>");
    assert_eq!(s.did(), ["failed: already logged in elsewhere"]);
}

#[test]
fn links_nothing_is_said_before_the_other_end_has_proven_the_key_that_the_registry_shows() {
    let mut s = alice();
    let dial = format!("dial s0 192.0.2.2:4000, INTRODUCED_BY <{REGISTRY}> <alice> <bob> <tls>");
    assert_eq!(asked(&mut s, Some(key('b')))[1..], [dial]);
    s.connected(0);
    assert!(s.did().is_empty(), "a handshake is due");
    s.peer.handle_stream_secured(s.now, s.streams[0], key('b'));
    let learned = format!("{:?}", Event::KeyLearned { user: user("bob"), key: key('b') }).to_lowercase();
    let introduction = format!("s0 INTRODUCED_BY <{REGISTRY}> <alice> <bob>");
    assert_eq!(s.did(), [learned, introduction, "s0 CHAT_REQUEST <bob> <alice>".to_owned()]);
    assert_eq!(s.peer.key_of(&user("bob")), Some(key('b')));
    assert!(s.peer.is_secured(&user("bob")));
    assert_eq!(
        s.peer(0, "CHAT_REQUEST_RESPONSE <ACCEPT> <200> <bob>"),
        ["chat with bob in private", "ok Done"]
    );
}

#[test]
fn links_who_answers_with_another_key_hears_nothing_and_is_left_alone() {
    let mut s = alice();
    asked(&mut s, Some(key('b')));
    s.peer.handle_stream_secured(s.now, s.streams[0], key('c'));
    let gone = "that user can't be reached: somebody else answers there";
    assert_eq!(
        s.did(),
        [
            "fault of bob at 192.0.2.2:4000: answers at the address of bob without their key".to_owned(),
            "close s0".to_owned(),
            format!("failed: {gone}"),
        ]
    );
    assert_eq!(s.peer.key_of(&user("bob")), None);
    s.wait(SECOND * 59);
    assert_eq!(asked(&mut s, Some(key('b')))[1..], [format!("failed: {gone}")], "a minute has not passed");
    s.wait(SECOND * 2);
    assert!(asked(&mut s, Some(key('b'))).last().unwrap().starts_with("dial s1"));
}

#[test]
fn links_what_comes_before_the_proof_ends_the_stream() {
    let mut s = alice();
    asked(&mut s, Some(key('b')));
    let did = s.peer(0, "DIRECT_MESSAGE <bob> <alice> hi");
    assert_eq!(did[..2], ["fault of bob at 192.0.2.2:4000: spoke before the handshake", "close s0"]);
    let theirs = s.accept();
    s.hear(theirs, &format!("{} <tls>", introduction("alice")));
    let did = s.peer(theirs, "CHAT_REQUEST <alice> <bob>");
    assert_eq!(did, ["fault of bob at 192.0.2.9:50000: spoke before the handshake", "close s1"]);
}

#[test]
fn links_a_changed_key_stops_what_is_said_until_somebody_decides() {
    let mut s = knows_bob(key('b'));
    for shown in [Some(key('c')), None] {
        let changed = Event::KeyChanged { user: user("bob"), known: key('b'), shown };
        let did = asked(&mut s, shown);
        assert_eq!(did[1], format!("{changed:?}").to_lowercase());
        assert!(did[2].starts_with("failed: that user's key has changed"), "{did:?}");
        assert_eq!(did.len(), 3, "nothing is dialled: {did:?}");
    }
    s.peer.set_key(s.now, user("bob"), Some(key('c')));
    assert!(asked(&mut s, Some(key('c'))).last().unwrap().starts_with("dial s0"));
    let mut s = knows_bob(key('b'));
    s.peer.set_key(s.now, user("bob"), None);
    assert_eq!(asked(&mut s, None)[1..], ["dial s0 192.0.2.2:4000"]);
}

#[test]
fn links_who_comes_with_another_key_than_before_is_sent_away_and_it_is_said() {
    let mut s = knows_bob(key('b'));
    let (_, did) = comes(&mut s, key('c'));
    assert_eq!(did, ["> SEARCH_USER <bob>"]);
    s.registry(&bob(Some(key('c'))));
    let changed = Event::KeyChanged { user: user("bob"), known: key('b'), shown: Some(key('c')) };
    assert_eq!(s.did(), [format!("{changed:?}").to_lowercase(), "close s0".to_owned()]);
    // The registry itself says that it is somebody else: an impostor, and no new device.
    comes(&mut s, key('d'));
    s.registry(&bob(Some(key('b'))));
    let impostor = "fault of bob at 192.0.2.9:50000: says to be bob, without bob's key";
    assert_eq!(s.did(), [impostor, "close s1"]);
    assert_eq!(s.peer.key_of(&user("bob")), Some(key('b')));
}

#[test]
fn links_who_is_known_is_let_in_at_once_and_who_is_new_once_the_registry_has_spoken() {
    let mut s = knows_bob(key('b'));
    let (stream, did) = comes(&mut s, key('b'));
    assert!(did.is_empty(), "{did:?}");
    assert_eq!(s.peer(stream, "CHAT_REQUEST <alice> <bob>"), ["bob wants to chat in private"]);

    let mut s = alice();
    let (stream, did) = comes(&mut s, key('b'));
    assert_eq!(did, ["> SEARCH_USER <bob>"]);
    assert!(s.peer(stream, "CHAT_REQUEST <alice> <bob>").is_empty(), "not before it is clear who they are");
    s.registry(&bob(Some(key('b'))));
    let learned = format!("{:?}", Event::KeyLearned { user: user("bob"), key: key('b') }).to_lowercase();
    assert_eq!(s.did(), [learned, "bob wants to chat in private".to_owned()]);
}

#[test]
fn links_who_says_a_name_without_its_key_is_not_listened_to() {
    // Known: nothing has to be asked.
    let mut s = knows_bob(key('b'));
    let stream = s.accept();
    let impostor = |n| format!("fault of 192.0.2.9:50000: says to be bob, without bob's key close s{n}");
    assert_eq!(s.peer(stream, &introduction("alice")).join(" "), impostor(0));
    // Unknown: whatever the message is that says the name first.
    for (n, first) in [
        introduction("alice"),
        "CHAT_REQUEST <alice> <bob>".to_owned(),
        "DIRECT_BROADCAST <bob> <den> hello".to_owned(),
        "DIRECT_MESSAGE <bob> <alice> hello".to_owned(),
    ]
    .iter()
    .enumerate()
    {
        let mut s = alice();
        for _ in 0..=n {
            s.accept();
        }
        assert_eq!(s.peer(n, first), ["> SEARCH_USER <bob>"]);
        s.registry(&bob(Some(key('b'))));
        assert_eq!(s.did().join(" "), impostor(n));
    }
    // Nor who the registry doesn't know, or doesn't speak about.
    let mut s = alice();
    s.accept();
    s.hear(0, &introduction("alice"));
    s.registry("SEARCH_USER_RESPONSE <NOT_ONLINE> <300>");
    assert_eq!(s.did()[1..], ["close s0"]);
    s.accept();
    s.hear(1, &introduction("alice"));
    s.peer.handle_registry_closed(s.now, "gone".to_owned());
    assert!(s.did().contains(&"close s1".to_owned()));
}

#[test]
fn who_has_no_key_is_talked_to_in_the_clear_unless_that_is_refused() {
    let mut s = alice();
    assert_eq!(asked(&mut s, None)[1..], ["dial s0 192.0.2.2:4000"]);
    s.connected(0);
    assert_eq!(
        s.did(),
        [format!("s0 INTRODUCED_BY <{REGISTRY}> <alice> <bob>"), "s0 CHAT_REQUEST <bob> <alice>".to_owned()]
    );
    assert_eq!(s.peer(0, "CHAT_REQUEST_RESPONSE <ACCEPT> <200> <bob>"), ["chat with bob", "ok Done"]);
    s.accept();
    s.hear(1, "CHAT_REQUEST <alice> <carol>");
    s.registry("SEARCH_USER_RESPONSE <SUCCESS> <200> <carol> <4000> <192.0.2.9> <sender,origin>");
    assert_eq!(s.did(), ["> SEARCH_USER <carol>", "carol wants to chat"]);
    s.accept();
    assert_eq!(s.peer(2, "CHAT_REQUEST <alice>"), ["? wants to chat"], "there is nobody to ask about");

    let mut strict = config();
    strict.plain = false;
    let mut s = alice_with(strict);
    assert_eq!(
        asked(&mut s, None)[1..],
        ["failed: that user's program doesn't encrypt, and streams in the clear are refused"]
    );
    s.accept();
    s.hear(0, "CHAT_REQUEST <alice> <bob>");
    s.registry(&bob(None));
    assert_eq!(s.did()[1..], ["close s0"]);
    s.accept();
    assert_eq!(s.peer(1, "CHAT_REQUEST <alice>"), ["close s1"]);
}

#[test]
fn links_what_waits_for_the_registry_is_bounded_in_number_and_time() {
    let mut s = alice();
    s.accept();
    for _ in 0..8 {
        s.hear(0, "CHAT_REQUEST <alice> <bob>");
    }
    assert_eq!(s.did(), ["> SEARCH_USER <bob>"]);
    assert_eq!(s.peer(0, "CHAT_REQUEST <alice> <bob>"), ["close s0"]);
    s.registry(&bob(None));
    assert!(s.did().is_empty());

    s.accept();
    s.hear(1, &format!("{} <tls>", introduction("alice")));
    assert_eq!(s.wait_quietly(SECOND * 10), ["close s1"], "a handshake takes ten seconds at most");
}

#[test]
fn who_has_no_key_lets_nobody_in_who_wants_one() {
    let mut s = Solo::alice();
    s.accept();
    assert_eq!(s.peer(0, &format!("{} <tls>", introduction("alice"))), ["close s0"]);
}

#[test]
fn how_many_keys_are_learned_is_bounded() {
    let mut config = config();
    config.keys = 0;
    let mut s = alice_with(config);
    comes(&mut s, key('b'));
    s.registry(&bob(Some(key('b'))));
    assert_eq!(s.did(), ["fault of this program: knows as many keys as it may: bob's is not remembered"]);
    assert_eq!((s.peer.key_of(&user("bob")), s.peer.is_secured(&user("bob"))), (None, true));
}

#[test]
fn a_message_that_names_nobody_is_no_claim() {
    let mut s = alice();
    s.accept();
    let reply = PeerMessage::ChatReply(p2pchat_proto::ChatReply::Accept { username: user("bob") });
    s.peer.handle_stream_message(s.now, s.streams[0], reply);
    assert!(s.did().is_empty());
}

#[test]
fn who_was_parked_is_known_by_the_same_key_when_they_are_back() {
    let mut config = config();
    config.park_after = Some(SECOND * 20);
    let mut w = World::with(&["alice", "bob"], &config);
    w.wait(SECOND * 60);
    assert!(w.nodes[0].solo.peer.is_parked() && w.nodes[1].solo.peer.is_parked());
    // Which brings alice back, and by it the key has to be announced anew.
    w.nodes[0].solo.peer.search(w.now, user("bob"));
    w.wait(SECOND * 2);
    w.nodes[1].solo.peer.chat(w.now, user("alice"));
    w.wait(SECOND * 2);
    let request = *w.nodes[0].solo.requests.last().expect("bob asks");
    w.nodes[0].solo.peer.accept(w.now, request);
    w.wait(SECOND);
    assert!(w.nodes[0].solo.peer.is_secured(&user("bob")), "{:?}", w.nodes[0].log);
}

/// mallory, who has no key, has dialled, and the registry says so.
fn mallory_comes(s: &mut Solo, first: &str) -> usize {
    let stream = s.accept();
    assert_eq!(s.peer(stream, first), ["> SEARCH_USER <mallory>"]);
    s.registry("SEARCH_USER_RESPONSE <SUCCESS> <200> <mallory> <4000> <192.0.2.9> <sender,origin>");
    s.did();
    stream
}

#[test]
fn links_who_was_vouched_for_is_nobody_else_afterwards() {
    for first in [
        "DIRECT_MESSAGE <mallory> <alice> x",
        "CHAT_REQUEST <dave> <mallory>",
        "CHAT_REQUEST <alice> <mallory>",
    ] {
        let mut s = alice();
        s.registry("USER_JOINED <den> <alice>");
        s.members("den", &["alice", "bob", "mallory"]);
        s.did();
        let stream = mallory_comes(&mut s, first);
        for (claim, refusal) in [
            ("DIRECT_BROADCAST <bob> <den> hi", "DIRECT_BROADCAST_NOTIFICATION <FAILURE>"),
            ("DIRECT_MESSAGE <bob> <alice> hi", "DIRECT_UNICAST_NOTIFICATION <FAILURE>"),
            ("CHAT_REQUEST <alice> <bob>", "CHAT_REQUEST_RESPONSE <REJECT>"),
        ] {
            let did = s.peer(stream, claim).join(" ");
            assert!(did.starts_with(&format!("s{stream} {refusal}")), "{first}, {claim}: {did}");
        }
    }
}

#[test]
fn links_a_registry_that_forgets_keys_makes_nobody_forget_them() {
    let mut s = knows_bob(key('b'));
    s.peer.handle_registry_closed(s.now, "gone".to_owned());
    s.wait(SECOND * 5);
    s.peer.handle_registry_connected(s.now, Some(Dialect::Canonical));
    s.registry("HELLO_BACK <SUCCESS> <200> <1> <reason,roster,sender,origin>");
    s.registry("AUTH <SUCCESS> <200>");
    s.did();
    s.accept();
    let did = s.peer(0, "CHAT_REQUEST <alice> <bob>");
    assert_eq!(did, ["fault of 192.0.2.9:50000: says to be bob, without bob's key", "close s0"]);
}

#[test]
fn links_a_stream_of_before_the_change_ends_with_it() {
    // Another device comes: nothing is said to the first one either, before somebody has decided.
    let mut s = knows_bob(key('b'));
    let (old, _) = comes(&mut s, key('b'));
    s.peer(old, "CHAT_REQUEST <alice> <bob>");
    let request = s.requests[0];
    s.peer.accept(s.now, request);
    s.did();
    comes(&mut s, key('c'));
    s.registry(&bob(Some(key('c'))));
    let did = s.did();
    assert!(did.contains(&format!("close s{old}")) && did.contains(&"close s1".to_owned()), "{did:?}");
    // Whoever is in a chat under the old key when the new one is taken is in it no longer.
    let (old, _) = comes(&mut s, key('b'));
    s.peer.set_key(s.now, user("bob"), Some(key('c')));
    assert_eq!(s.did(), [format!("close s{old}")]);
}

#[test]
fn links_a_key_that_became_known_during_a_dial_counts() {
    let mut s = alice();
    asked(&mut s, Some(key('c')));
    s.peer.set_key(s.now, user("bob"), Some(key('b')));
    s.peer.handle_stream_secured(s.now, s.streams[0], key('c'));
    let changed = Event::KeyChanged { user: user("bob"), known: key('b'), shown: Some(key('c')) };
    let did = s.did();
    assert_eq!(did[..2], [format!("{changed:?}").to_lowercase(), "close s0".to_owned()], "{did:?}");
    assert!(!s.peer.is_secured(&user("bob")));
}

#[test]
fn links_a_stream_in_the_clear_ends_when_a_key_becomes_known() {
    let mut s = alice();
    asked(&mut s, None);
    s.connected(0);
    s.peer(0, "CHAT_REQUEST_RESPONSE <ACCEPT> <200> <bob>");
    let (stream, _) = comes(&mut s, key('b'));
    s.registry(&bob(Some(key('b'))));
    let did = s.did();
    assert!(did.contains(&"close s0".to_owned()), "{did:?}");
    s.peer(stream, "CHAT_REQUEST <alice> <bob>");
    assert!(s.peer.is_secured(&user("bob")));
}

#[test]
fn links_whom_the_registry_hides_can_not_come() {
    let mut s = alice();
    s.accept();
    s.hear(0, "CHAT_REQUEST <alice> <bob>");
    s.registry("SEARCH_USER_RESPONSE <SUCCESS> <200> <bob> <0> <0.0.0.0> <sender,origin>");
    assert_eq!(s.did()[1..], ["close s0"]);
}

#[test]
fn links_strangers_fill_no_queue() {
    let mut s = alice();
    let mut did = Vec::new();
    for n in 0..300 {
        let stream = s.accept();
        did.extend(s.peer(stream, &format!("CHAT_REQUEST <alice> <stranger{n}>")));
    }
    let asked =
        |did: &[String]| did.iter().filter(|line| line.starts_with("> SEARCH_USER <stranger")).count();
    let closed = |did: &[String]| did.iter().filter(|line| line.starts_with("close s")).count();
    assert_eq!((asked(&did), closed(&did)), (32, 300 - 32 - 256));
    // The others have their turn, in the order in which they came.
    s.registry("SEARCH_USER_RESPONSE <SUCCESS> <200> <stranger0> <4000> <192.0.2.9>");
    assert_eq!(s.did()[1..], ["> SEARCH_USER <stranger32>"]);
    // Those who have gone by the time are not asked about.
    for stream in 0..300 {
        s.closed(stream);
    }
    s.did();
    s.peer.search(s.now, user("bob"));
    for _ in 0..32 {
        s.registry("SEARCH_USER_RESPONSE <NOT_FOUND> <404>");
    }
    assert_eq!(s.did(), ["> SEARCH_USER <bob>"]);
}

#[test]
fn cannon_rule_4_where_no_handshake_is_made_nobody_dials_for_a_minute() {
    let mut s = alice();
    asked(&mut s, Some(key('b')));
    s.peer.handle_stream_unsecured(s.now, s.streams[0], "that is no TLS".to_owned());
    assert_eq!(s.did()[0], "fault of bob at 192.0.2.2:4000: makes no handshake: that is no TLS");
    s.wait(SECOND * 59);
    let did = asked(&mut s, Some(key('b')));
    assert_eq!(did[1..], ["failed: that user can't be reached: what answers there is no peer"]);
}

#[test]
fn a_burst_behind_the_handshake_is_not_too_much() {
    let mut s = alice();
    let (stream, _) = comes(&mut s, key('b'));
    for _ in 0..40 {
        s.hear(stream, "DIRECT_BROADCAST <bob> <den> hi");
    }
    assert!(s.did().is_empty());
}

#[test]
fn links_the_names_are_said_again_where_nobody_can_change_them() {
    // Bob's own stream to carol, led here; one that carol leads to alice under her own name; one that says nothing first.
    for inside in [
        introduction("carol"),
        format!("INTRODUCED_BY <{REGISTRY}> <carol> <alice>"),
        format!("{} <tls>", introduction("alice")),
        "CHAT_REQUEST <alice> <bob>".to_owned(),
    ] {
        let mut s = knows_bob(key('b'));
        s.accept();
        s.hear(0, &format!("{} <tls>", introduction("alice")));
        s.peer.handle_stream_secured(s.now, s.streams[0], key('b'));
        assert!(!s.peer.is_secured(&user("bob")), "not before");
        let did = s.peer(0, &inside);
        let fault = "fault of bob at 192.0.2.9:50000: says other names inside the encryption than before it";
        assert_eq!(did, [fault, "close s0"], "{inside}");
    }
}
