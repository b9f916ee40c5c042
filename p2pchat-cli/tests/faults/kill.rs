//! `kill -9`.

use std::{
    collections::{BTreeMap, hash_map::RandomState},
    hash::{BuildHasher, Hasher},
    sync::mpsc,
    thread,
};

use crate::{DIGEST, client::Home, daemon::Daemon, long_or, until, wire::Wire};

/// How many rooms a user opens or joins in a round: below the limit for an account.
const ROOMS: usize = 30;

/// What the registry has acknowledged.
#[derive(Debug, Clone)]
enum Fact {
    Account(String),
    Member {
        user: String,
        room: String,
    },
    /// It has been asked to, and may have done it.
    Leaving {
        user: String,
        room: String,
    },
    Left {
        user: String,
        room: String,
    },
}

#[test]
fn a_registry_that_is_killed_at_any_moment_has_lost_nothing_that_it_acknowledged() {
    let mut daemon = Daemon::start();
    let mut accounts = Vec::new();
    let mut survived = 0;
    for round in 0..long_or(5, 300) {
        let facts = load_and_kill(&mut daemon, round);
        daemon = daemon.restart();
        verify(&daemon, &facts);
        survived += facts.len();
        accounts.extend(facts.into_iter().filter(|fact| matches!(fact, Fact::Account(_))));
    }
    // Nor did a later kill take what had survived an earlier one.
    verify(&daemon, &accounts);
    println!("{survived} acknowledged facts, none lost");
}

/// Has four users change things at once, and kills the daemon after some number of acknowledgements.
fn load_and_kill(daemon: &mut Daemon, round: usize) -> Vec<Fact> {
    let (opener, joiner) = (format!("opener-{round}"), format!("joiner-{round}"));
    let (mut opening, mut joining) = (Wire::online(daemon, &opener), Wire::online(daemon, &joiner));
    let mut registering = [Wire::greeted(daemon), Wire::greeted(daemon)];
    let until_the_kill = 1 + any_below(60);
    thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        let (opened, to_join) = mpsc::channel::<String>();
        for (at, wire) in registering.iter_mut().enumerate() {
            let tell = tell.clone();
            scope.spawn(move || {
                for number in 0.. {
                    let user = format!("user-{round}-{at}-{number}");
                    let register = format!("REGISTER <{user}> <{DIGEST}>");
                    if !done(wire, &register, "REGISTER <SUCCESS> <200>") {
                        break;
                    }
                    tell.send(Fact::Account(user)).unwrap();
                }
            });
        }
        let tell_opened = tell.clone();
        scope.spawn(move || {
            for number in 0..ROOMS {
                let (user, room) = (opener.clone(), format!("room-{round}-{number}"));
                let create = format!("CREATE_CHAT_ROOM <{room}> <> <9> <>");
                if !done(&mut opening, &create, "CREATION <SUCCESS> <200>") {
                    break;
                }
                tell_opened.send(Fact::Member { user: user.clone(), room: room.clone() }).unwrap();
                // Some are left again, and are gone then unless somebody has joined.
                if number % 3 == 0 {
                    tell_opened.send(Fact::Leaving { user: user.clone(), room: room.clone() }).unwrap();
                    let exit = format!("ROOM_EXIT <{user}> <{room}>");
                    if !done(&mut opening, &exit, "ROOM_EXIT_RESPONSE <SUCCESS> <200>") {
                        break;
                    }
                    tell_opened.send(Fact::Left { user, room }).unwrap();
                } else if opened.send(room).is_err() {
                    break;
                }
            }
        });
        let tell_joined = tell;
        scope.spawn(move || {
            for room in to_join {
                let join = format!("JOIN_CHAT_ROOM <{room}> <> <increment>");
                if !done(&mut joining, &join, "JOIN <SUCCESS> <200>") {
                    break;
                }
                tell_joined.send(Fact::Member { user: joiner.clone(), room }).unwrap();
            }
        });
        let mut facts: Vec<_> = told.iter().take(until_the_kill).collect();
        daemon.kill();
        facts.extend(told);
        assert!(facts.len() >= until_the_kill, "it ended by itself; {}", daemon.log);
        facts
    })
}

/// True if it is acknowledged; false if the stream ends before an answer.
fn done(wire: &mut Wire, request: &str, acknowledged: &str) -> bool {
    let answer = wire.try_ask(request);
    assert!(answer.is_none() || answer.as_deref() == Some(acknowledged), "{request}: {answer:?}");
    answer.is_some()
}

fn verify(daemon: &Daemon, facts: &[Fact]) {
    let mut stranger = Wire::greeted(daemon);
    // All stay, as who left would be heard of by the others.
    let mut sessions = BTreeMap::new();
    // What came last holds.
    let mut members = BTreeMap::new();
    for fact in facts {
        match fact {
            Fact::Account(user) => {
                let answer = stranger.ask(&format!("REGISTER <{user}> <{DIGEST}>"));
                assert_eq!(answer, "REGISTER <EXIST> <300>", "the account {user} was acknowledged");
            }
            Fact::Member { user, room } => drop(members.insert((user, room), true)),
            Fact::Leaving { user, room } => drop(members.remove(&(user, room))),
            Fact::Left { user, room } => drop(members.insert((user, room), false)),
        }
    }
    for ((user, room), is_member) in members {
        let session = sessions.entry(user).or_insert_with(|| {
            let mut wire = Wire::greeted(daemon);
            wire.log_in(user);
            wire
        });
        let answer = session.ask(&format!("DISCOVER_PEERS <{room}>"));
        let expected = if is_member { "PEER_LIST <SUCCESS>" } else { "PEER_LIST <FAILURE>" };
        assert!(answer.starts_with(expected), "{user} in {room}: {is_member} was acknowledged; {answer}");
    }
}

/// The standard library's hash keys are random enough to choose a moment.
fn any_below(limit: u64) -> usize {
    (RandomState::new().build_hasher().finish() % limit) as usize
}

#[test]
fn a_killed_clients_user_is_back_at_once_and_offline_if_they_do_not_come() {
    let daemon = Daemon::start();
    let (at_alice, at_bob) = (Home::new(&daemon), Home::new(&daemon));
    let mut alice = at_alice.prompt("alice");
    alice.type_line("/create den");
    alice.out.expect("opened #den");
    let mut bob = at_bob.listener("bob", &["--room", "den"]);
    for round in 0..long_or(2, 20) {
        alice.type_line("/chat bob");
        alice.out.expect("what you type now goes to bob");
        bob.expect_event("chat_opened");

        alice.kill();
        // The system closes what it had open. The session waits for a while, which keeps nobody out.
        let told = r#""chat_closed","with":"alice""#;
        until(told, || bob.out.count(told) > round);
        alice = at_alice.start(&["--user", "alice"]);
        alice.out.expect("logged in as alice");
        alice.out.expect("in #den now: alice, bob");
    }
    alice.kill();
    assert_eq!(bob.expect_event("member_offline")["username"], "alice");
}
