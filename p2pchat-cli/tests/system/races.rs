//! Two at the same instant.

use std::{sync::Barrier, thread};

use crate::{DIGEST, daemon::Daemon, wire::Wire};

#[test]
fn of_two_registrations_of_one_name_exactly_one_wins() {
    const ROUNDS: usize = 50;
    let daemon = Daemon::start();
    let start = Barrier::new(2);
    let racer = |spelling: fn(usize) -> String| {
        let mut wire = Wire::greeted(&daemon);
        let start = &start;
        move || {
            let run = |round| {
                start.wait();
                wire.ask(&format!("REGISTER <{}> <{DIGEST}>", spelling(round)))
            };
            (0..ROUNDS).map(run).collect::<Vec<_>>()
        }
    };
    let (small, capital) = (racer(|round| format!("user{round}")), racer(|round| format!("USER{round}")));
    let (left, right) = thread::scope(|scope| {
        let (left, right) = (scope.spawn(small), scope.spawn(capital));
        (left.join().unwrap(), right.join().unwrap())
    });
    for (round, outcome) in left.iter().zip(&right).enumerate() {
        let mut outcome = [outcome.0.as_str(), outcome.1.as_str()];
        outcome.sort_unstable();
        assert_eq!(outcome, ["REGISTER <EXIST> <300>", "REGISTER <SUCCESS> <200>"], "round {round}");
    }
}

#[test]
fn of_two_logins_to_one_account_exactly_one_wins() {
    const ROUNDS: usize = 20;
    let daemon = Daemon::start();
    for round in 0..ROUNDS {
        let user = format!("user{round}");
        Wire::greeted(&daemon).sign_up(&user);
        let mut racers = [Wire::greeted(&daemon), Wire::greeted(&daemon)];
        let start = Barrier::new(2);
        let mut outcomes = thread::scope(|scope| {
            let login = format!("LOGIN <{user}> <{DIGEST}> <4000>");
            let handles = racers.each_mut().map(|wire| {
                let (start, login) = (&start, login.clone());
                scope.spawn(move || {
                    start.wait();
                    wire.ask(&login)
                })
            });
            handles.map(|handle| handle.join().unwrap())
        });
        outcomes.sort();
        assert_eq!(outcomes, ["AUTH <ONLINE> <300>", "AUTH <SUCCESS> <200>"], "round {round}");
    }
}

#[test]
fn racing_joins_never_exceed_the_capacity() {
    const RACERS: usize = 8;
    const CAPACITY: u32 = 4;
    let daemon = Daemon::start();
    let mut owner = Wire::online(&daemon, "owner");
    let mut racers: Vec<_> = (0..RACERS).map(|at| Wire::online(&daemon, &format!("racer{at}"))).collect();
    for round in 0..10 {
        let room = format!("room {round}");
        owner.create(&room, CAPACITY);
        let start = Barrier::new(RACERS);
        let joined = thread::scope(|scope| {
            let handles: Vec<_> = racers
                .iter_mut()
                .map(|wire| {
                    let (start, room) = (&start, &room);
                    scope.spawn(move || {
                        start.wait();
                        wire.ask(&format!("JOIN_CHAT_ROOM <{room}> <> <increment>")) == "JOIN <SUCCESS> <200>"
                    })
                })
                .collect();
            handles.into_iter().map(|handle| usize::from(handle.join().unwrap())).sum::<usize>()
        });
        assert_eq!(joined, CAPACITY as usize - 1, "the owner has one place; round {round}");
        let list = owner.ask("SHOW_ROOMS_LIST <DETAILED>");
        assert!(list.contains(&format!("<{room}> <> <{CAPACITY}> <{CAPACITY}>")), "{list}");
    }
}
