//! Sessions without a stream, by their keep-alives alone (PROTOCOL.md §7.12).

use std::{num::NonZeroU64, time::Duration};

use p2pchat_core::registry::{BanTarget, Config, ConnId};
use p2pchat_proto::{Dialect, FromRegistryDatagram, Message, SessionTicket, Username};

use crate::{
    NO, OK, SECOND,
    ticket::{ticket_in, to},
    world::{World, login, proven, token_in},
};

pub(crate) const HELLO: &str = "<1> <reason,roster,resume,moderate,ticket,park>";
pub(crate) const HOME: &str = "192.0.2.1:700";

pub(crate) fn name(name: &str) -> Username {
    Username::new(name).unwrap()
}

pub(crate) fn greet(w: &mut World, ip: &str, hello: &str) -> ConnId {
    let conn = w.connect(ip);
    assert_eq!(w.say(conn, &format!("HELLO_P2P {hello}")), [format!("HELLO_BACK {OK} {hello}")]);
    conn
}

/// A user whose session is on a stream, or parked, and what they know of it.
pub(crate) struct Someone {
    pub(crate) user: &'static str,
    pub(crate) conn: ConnId,
    pub(crate) token: String,
    pub(crate) ticket: SessionTicket,
    sequence: u64,
}

impl Someone {
    /// A session from 192.0.2.1.
    pub(crate) fn online(w: &mut World, user: &'static str, hello: &str) -> Self {
        w.register(user);
        let conn = greet(w, "192.0.2.1", hello);
        Self::logging_in(w, user, conn)
    }

    pub(crate) fn logging_in(w: &mut World, user: &'static str, conn: ConnId) -> Self {
        let told = w.say(conn, &login(user));
        Self { user, conn, token: token_in(&told), ticket: ticket_in(&told), sequence: 0 }
    }

    /// The next keep-alive.
    pub(crate) fn next(&mut self, timeout: u32) -> String {
        self.sequence += 1;
        proven(&self.ticket, self.user, timeout, self.sequence)
    }

    /// Keeps the session alive from home; what the answers are.
    pub(crate) fn keep_alive(&mut self, w: &mut World, timeout: u32) -> Vec<String> {
        let datagram = self.next(timeout);
        let answers = w.datagram(HOME, &datagram);
        answers
            .into_iter()
            .map(|(to, said)| if to.to_string() == HOME { said } else { panic!("to {to}") })
            .collect()
    }

    pub(crate) fn park(&mut self, w: &mut World) {
        assert_eq!(w.say(self.conn, &format!("PARK <{}>", self.user)), [format!("PARKED {OK}")]);
        assert!(w.is_closed(self.conn), "the stream is closed after it");
        w.disconnect(self.conn);
    }

    fn spelled(message: FromRegistryDatagram) -> String {
        str::from_utf8(&message.to_bytes(Dialect::Canonical)).unwrap().to_owned()
    }

    pub(crate) fn parked(&self) -> String {
        Self::spelled(FromRegistryDatagram::parked(&self.ticket, NonZeroU64::new(self.sequence).unwrap()))
    }

    pub(crate) fn wake(&self) -> String {
        Self::spelled(FromRegistryDatagram::wake(&self.ticket, NonZeroU64::new(self.sequence).unwrap()))
    }

    /// Comes back from another address; what is told besides token and ticket.
    pub(crate) fn resume(&mut self, w: &mut World, hello: &str) -> Vec<String> {
        self.resume_at("192.0.2.9", w, hello)
    }

    pub(crate) fn resume_at(&mut self, ip: &str, w: &mut World, hello: &str) -> Vec<String> {
        self.conn = greet(w, ip, hello);
        let mut told = w.say(self.conn, &format!("RESUME <{}> <{}> <4000>", self.user, self.token));
        (self.token, self.ticket, self.sequence) = (token_in(&told), ticket_in(&told), 0);
        told.retain(|line| !line.starts_with("AUTH ") && !line.starts_with("TICKET "));
        told
    }
}

/// Alice, and Bob with an ordinary session, in one room.
pub(crate) fn pair(config: Config) -> (World, Someone, ConnId) {
    let mut w = World::with(config);
    let alice = Someone::online(&mut w, "alice", HELLO);
    let bob = w.online_with("bob", "reason,roster,sender,moderate");
    w.say(alice.conn, "CREATE_CHAT_ROOM <den> <> <5> <>");
    w.say(bob, "JOIN_CHAT_ROOM <den> <> <increment>");
    w.heard(alice.conn);
    w.datagram("192.0.2.1:800", "KEEP_ALIVE <bob> <120>");
    (w, alice, bob)
}

#[test]
fn who_is_parked_stays_online_as_they_were_and_nobody_hears_of_it() {
    let (mut w, mut alice, bob) = pair(Config::default());
    alice.park(&mut w);
    assert_eq!(
        (w.registry.stats().connections, w.registry.stats().parked, w.registry.stats().waiting),
        (1, 1, 0)
    );
    for round in 0..40 {
        assert_eq!(alice.keep_alive(&mut w, 120), [alice.parked()], "{round}");
        w.datagram("192.0.2.1:800", "KEEP_ALIVE <bob> <120>");
        w.wait(30 * SECOND);
    }
    assert_eq!(w.heard(bob), [""; 0]);
    assert_eq!(w.say(bob, "DISCOVER_PEERS <den>"), [format!("PEER_LIST {OK} <den> <alice> <bob>")]);
    assert_eq!(
        w.say(bob, "SEARCH_USER <alice>"),
        [format!("SEARCH_USER_RESPONSE {OK} <alice> <4000> <192.0.2.1>")]
    );
    let info = w.registry.session_of(w.now, &name("alice")).unwrap();
    assert_eq!((info.parked, info.waits, info.silent_for), (true, false, 30 * SECOND));

    assert_eq!(alice.resume(&mut w, HELLO), ["USER_JOINED <den> <alice>"]);
    assert_eq!(w.heard(bob), [""; 0]);
    let info = w.registry.session_of(w.now, &name("alice")).unwrap();
    assert_eq!((info.parked, info.online_for), (false, 1_200 * SECOND), "it is the same session");
    assert_eq!((w.registry.stats().connections, w.registry.stats().parked), (2, 0));
    assert_eq!(
        w.say(bob, "SEARCH_USER <alice>"),
        [format!("SEARCH_USER_RESPONSE {OK} <alice> <4000> <192.0.2.9>")]
    );
    assert_eq!(w.datagrams(), [], "nothing waited");
}

#[test]
fn who_is_parked_and_keeps_silent_is_timed_out_as_anybody() {
    let (mut w, mut alice, bob) = pair(Config::default());
    alice.keep_alive(&mut w, 20);
    alice.park(&mut w);
    w.wait(20 * SECOND - Duration::from_millis(1));
    assert_eq!((w.heard(bob), w.datagrams()), (vec![], vec![]));
    w.wait(Duration::from_millis(1));
    assert_eq!(w.heard(bob), ["USER_LOGOUT <alice>"]);
    assert_eq!(w.datagrams(), [to(HOME, &alice.wake())], "in place of TIMEOUT, which anybody could forge");
    let stats = w.registry.stats();
    assert_eq!((stats.sessions, stats.parked, stats.timed_out), (1, 0, 1));
    assert_eq!(alice.keep_alive(&mut w, 20), [""; 0]);
    alice.resume(&mut w, HELLO);
    assert_eq!(w.heard(bob), ["USER_JOINED <den> <alice>"]);
}

#[test]
fn who_may_not_park_is_told_why_and_keeps_the_stream() {
    let mut config = Config::default();
    config.parked = 1;
    let (mut w, mut alice, bob) = pair(config);
    let refused = |w: &mut World, conn, user, why: &str| {
        assert_eq!(w.say(conn, &format!("PARK <{user}>")), [format!("PARKED {NO} <{why}>")]);
        assert!(!w.is_closed(conn));
    };
    refused(&mut w, bob, "bob", "this connection has not agreed on park");
    refused(&mut w, alice.conn, "bob", "that is not your username");
    let malformed = w.say(alice.conn, "PARK <a b>").concat();
    assert!(malformed.starts_with(&format!("PARKED {NO} <")), "{malformed}");
    let stranger = greet(&mut w, "192.0.2.7", HELLO);
    refused(&mut w, stranger, "alice", "log in first");
    w.cut(stranger);

    // The ticket has not come yet.
    w.register("carol");
    let carol = greet(&mut w, "192.0.2.1", HELLO);
    w.hold = true;
    w.say(carol, &login("carol"));
    while !w.heard(carol).iter().any(|line| line.starts_with("AUTH")) {
        w.release(0);
    }
    refused(&mut w, carol, "carol", "there is no ticket or no token to come back by yet");
    w.hold = false;
    w.release(0);
    w.heard(carol);
    assert_eq!(w.say(carol, "PARK <Carol>"), [format!("PARKED {OK}")]);
    refused(&mut w, alice.conn, "alice", "as many sessions are parked as may be");
    assert_eq!(w.registry.stats().refused_parks, 1);
    assert!(w.registry.kick(&name("carol"), "make room"));
    w.run();
    w.registry.drain();
    refused(&mut w, alice.conn, "alice", "the registry is about to end");
    assert_eq!(alice.keep_alive(&mut w, 10), ["KEEP_ALIVE_RESPONSE <SUCCESS> <200>"]);
}

#[test]
fn without_a_token_nobody_parks() {
    let mut w = World::new();
    w.register("alice");
    let conn = greet(&mut w, "192.0.2.1", HELLO);
    w.disk_full = true;
    let told = w.say(conn, &login("alice"));
    assert_eq!(told[0], format!("AUTH {OK}"));
    ticket_in(&told);
    let why = "there is no ticket or no token to come back by yet";
    assert_eq!(w.say(conn, "PARK <alice>"), [format!("PARKED {NO} <{why}>")]);
}

#[test]
fn park_is_agreed_on_only_with_what_it_needs_and_where_there_is_room() {
    for (offered, agreed) in [
        ("reason,resume,ticket,park", "resume,ticket,park"),
        ("reason,resume,park", "resume"),
        ("ticket,park", "ticket"),
        ("park", ""),
    ] {
        let mut w = World::new();
        let conn = w.connect("192.0.2.1");
        let told = w.say(conn, &format!("HELLO_P2P <1> <{offered}>"));
        let agreed =
            if offered.starts_with("reason") { format!("reason,{agreed}") } else { agreed.to_owned() };
        assert_eq!(told, [format!("HELLO_BACK {OK} <1> <{agreed}>")], "{offered}");
    }
    for lacks in ["room", "tokens", "tokens for a day"] {
        let mut config = Config::default();
        match lacks {
            "room" => config.parked = 0,
            "tokens for a day" => config.token_lifetime = Duration::from_secs(24 * 3_600 - 1),
            _ => config.token_lifetime = Duration::ZERO,
        }
        let mut w = World::with(config);
        let conn = w.connect("192.0.2.1");
        let told = w.say(conn, "HELLO_P2P <1> <resume,ticket,park>");
        assert!(!told[0].contains("park"), "{lacks}: {told:?}");
    }
}

#[test]
fn what_was_asked_before_is_answered_before_and_what_was_asked_after_is_not() {
    let (mut w, mut alice, bob) = pair(Config::default());
    w.hold = true;
    w.say(alice.conn, "CREATE_CHAT_ROOM <attic> <> <5> <>");
    assert_eq!(w.say(alice.conn, "PARK <alice>"), [""; 0], "it waits its turn");
    assert_eq!(w.say(alice.conn, "ROOM_EXIT <alice> <den>"), [""; 0]);
    w.hold = false;
    w.release(0);
    assert_eq!(w.heard(alice.conn), [format!("CREATION {OK}"), format!("PARKED {OK}")]);
    assert!(w.is_closed(alice.conn));
    assert_eq!(w.say(bob, "DISCOVER_PEERS <den>"), [format!("PEER_LIST {OK} <den> <alice> <bob>")]);
    assert_eq!(alice.resume(&mut w, HELLO), ["USER_JOINED <den> <alice>", "USER_JOINED <attic> <alice>"]);
}

#[test]
fn a_login_takes_a_parked_session_over_at_once_and_wakes_who_had_it() {
    let (mut w, mut alice, bob) = pair(Config::default());
    alice.keep_alive(&mut w, 120);
    alice.park(&mut w);
    let phone = greet(&mut w, "192.0.2.8", HELLO);
    token_in(&w.say(phone, &login("alice")));
    assert_eq!(w.datagrams(), [to(HOME, &alice.wake())]);
    assert_eq!(w.heard(bob), ["USER_JOINED <den> <alice>"], "as after any take-over by a login");
    assert_eq!(alice.keep_alive(&mut w, 120), [""; 0]);
    let conn = greet(&mut w, "192.0.2.9", HELLO);
    let told = w.say(conn, &format!("RESUME <alice> <{}>", alice.token));
    assert_eq!(told, [format!("AUTH {NO} <that token is not good any more>")]);
    assert_eq!((w.registry.stats().parked, w.registry.stats().sessions), (0, 2));
}

#[test]
fn who_is_parked_is_kicked_banned_and_deleted_as_anybody_and_woken_to_learn_it() {
    for how in ["kick", "ban", "network", "delete"] {
        let (mut w, mut alice, bob) = pair(Config::default());
        alice.keep_alive(&mut w, 120);
        alice.park(&mut w);
        match how {
            "kick" => assert!(w.registry.kick(&name("alice"), "go to bed")),
            "ban" => assert_eq!(w.registry.ban(w.now, BanTarget::User(name("alice")), None, None), 1),
            "delete" => assert!(w.registry.handle_deleted(&name("alice"), vec![])),
            _ => {
                let there = BanTarget::Subnet("192.0.2.1/32".parse().unwrap());
                assert_eq!(w.registry.ban(w.now, there, None, None), 2, "with Bob's");
            }
        }
        w.run();
        assert!(w.registry.session_of(w.now, &name("alice")).is_none(), "{how}");
        assert_eq!((w.registry.stats().parked, w.registry.stats().wakes), (0, 1), "{how}");
        assert_eq!(w.datagrams()[..1], [to(HOME, &alice.wake())], "{how}");
        assert_eq!(w.heard(bob).contains(&"USER_LOGOUT <alice>".to_owned()), how != "network", "{how}");
        assert_eq!(alice.keep_alive(&mut w, 120), [""; 0], "{how}");
    }
}

#[test]
fn a_registry_that_drains_keeps_who_is_parked_and_one_that_ends_forgets_them() {
    let (mut w, mut alice, bob) = pair(Config::default());
    alice.park(&mut w);
    w.registry.drain();
    assert_eq!(alice.keep_alive(&mut w, 120), [alice.parked()]);
    assert_eq!(w.heard(bob), [""; 0]);
    w.registry.disconnect_all();
    w.run();
    let stats = w.registry.stats();
    assert_eq!((stats.sessions, stats.parked, stats.connections), (0, 0, 0));
    assert_eq!((w.registry.poll_timeout(), w.datagrams()), (None, vec![]));
    let mut w = w.restarted();
    assert_eq!(alice.keep_alive(&mut w, 120), [""; 0], "by which they know");
    alice.resume(&mut w, HELLO);
}

#[test]
fn parked_sessions_are_no_streams_and_leave_nothing_behind() {
    let mut config = Config::default();
    config.connections = 1;
    config.prefixes.connections = 1;
    config.parked = 3;
    let mut w = World::with(config);
    let mut parked = Vec::new();
    for user in ["a", "b", "c"] {
        let mut someone = Someone::online(&mut w, user, HELLO);
        someone.park(&mut w);
        parked.push(someone);
    }
    let stats = w.registry.stats();
    assert_eq!((stats.connections, stats.parked, stats.sessions), (0, 3, 3));
    for someone in &mut parked {
        someone.resume(&mut w, HELLO);
        assert_eq!(w.say(someone.conn, "LOGOUT"), [""; 0]);
    }
    let stats = w.registry.stats();
    assert_eq!((stats.connections, stats.parked, stats.sessions, stats.operations), (0, 0, 0, 0));
    assert_eq!(w.registry.poll_timeout(), None);
}
