//! fsync is real: what was acknowledged is there after a loss of power at any moment.

use p2pchat_core::registry::store::{Entry, MemoryStore, ReadTransaction, check, export};

use super::*;
use crate::store::power::{Dice, Disk};

/// How many losses of power each disk goes through.
const LOSSES: usize = 8;

fn any_request(dice: &mut Dice) -> Write {
    let user = |dice: &mut Dice| name(&format!("user{}", dice.below(40)));
    let room = |dice: &mut Dice| room_name(&format!("room{}", dice.below(12)));
    match dice.below(10) {
        0..=3 => Write::Register {
            username: user(dice),
            // Now and then a record that takes pages of its own.
            password: "h".repeat(if dice.below(10) == 0 { 9_000 } else { 90 }).into(),
            invite: None,
        },
        4 | 5 => write_of(create(&format!("room{}", dice.below(12)), user(dice).as_str(), 9)),
        6 => Write::JoinRoom {
            room: room(dice),
            id: 1 + dice.below(30),
            password: None,
            username: user(dice),
            rooms_per_user: 9,
        },
        7 => Write::LeaveRoom { room: room(dice), username: user(dice) },
        8 => Write::DeleteAccount { username: user(dice) },
        _ => {
            let target = BanTarget::User(user(dice));
            Write::Ban { ban: Ban { target, reason: None, since: 5, until: None }, limit: 99 }
        }
    }
}

/// As a store does: a request that fails has changed nothing.
fn carry_out(store: &mut MemoryStore, request: Write) -> StoreAnswer {
    let before = store.clone();
    let answer = store.answer(&StoreRequest::Write(request));
    if let StoreAnswer::Failed(_) = answer {
        *store = before;
    }
    answer
}

fn write_of(request: StoreRequest) -> Write {
    match request {
        StoreRequest::Write(request) => request,
        other => panic!("{other:?}"),
    }
}

fn contents(transaction: &impl ReadTransaction) -> Vec<Entry> {
    let mut entries = Vec::new();
    export(transaction, &mut |entry| {
        entries.push(entry);
        true
    })
    .unwrap();
    entries
}

/// Changes a store at random on a disk that loses power again and again; what it has to hold is kept apart. The error is what
/// is not as it was acknowledged.
fn work_on(disk: &Disk, seed: u64) -> Result<usize, String> {
    let mut dice = Dice(seed);
    let (mut acknowledged, mut count) = (MemoryStore::new(), 0);
    for loss in 0..LOSSES {
        // Also while it is being opened.
        disk.cut_after(dice.below(150));
        let mut underway = Vec::new();
        if let Ok(engine) = disk.engine() {
            let engine = Arc::new(engine);
            let writer = Writer { health: StoreHealth::new(&engine), engine, waiting: sync_channel(1).1 };
            while underway.is_empty() {
                let requests: Vec<_> = (0..1 + dice.below(4)).map(|_| any_request(&mut dice)).collect();
                let asked = requests.iter().cloned().map(StoreRequest::Write).collect();
                let mut unwritten = Vec::new();
                for (request, answer) in requests.into_iter().zip(settle(&writer, asked)) {
                    match answer {
                        StoreAnswer::Failed(StoreError::Engine(_)) => underway.push(request),
                        answer => unwritten.push((request, answer)),
                    }
                }
                let written = if underway.is_empty() { std::mem::take(&mut unwritten) } else { Vec::new() };
                for (request, answer) in written {
                    let expected = carry_out(&mut acknowledged, request);
                    if format!("{answer:?}") != format!("{expected:?}") {
                        return Err(format!("loss {loss}: answered {answer:?}, and is {expected:?}"));
                    }
                    count += 1;
                }
                // What needed no write was answered beside what failed, whether or not that is there.
                let mut with_all = acknowledged.clone();
                for request in &underway {
                    carry_out(&mut with_all, request.clone());
                }
                for (request, answer) in unwritten {
                    let is_right = [&acknowledged, &with_all].into_iter().any(|state| {
                        let mut after = state.clone();
                        let expected = carry_out(&mut after, request.clone());
                        format!("{answer:?}") == format!("{expected:?}")
                            && contents(&after) == contents(state)
                    });
                    if !is_right {
                        return Err(format!("loss {loss}: {request:?} was answered {answer:?}"));
                    }
                }
                assert!(underway.is_empty() || !disk.is_on(), "it failed with power");
            }
        }
        disk.lose_power(&mut dice);
        // The store that is read now is closed in order; the one that was there never was.
        let engine = disk.engine().map_err(|error| format!("loss {loss}: {error}"))?;
        let there = engine
            .read(|view| {
                let problems = check(view).unwrap().problems;
                if problems.is_empty() { Ok(contents(view)) } else { Err(problems.join("; ")) }
            })
            .map_err(|error| format!("loss {loss}: {error}"))??;
        if there != contents(&acknowledged) {
            // What was asked and not answered is there altogether or not at all.
            for request in underway {
                carry_out(&mut acknowledged, request);
            }
            if there != contents(&acknowledged) {
                return Err(format!("loss {loss}: something that was acknowledged is not there"));
            }
        }
    }
    Ok(count)
}

/// A disk with a new store: how that comes into being isn't a matter of one file alone.
fn disk() -> Disk {
    let disk = Disk::new(Vec::new());
    drop(disk.engine().unwrap());
    Disk::new(disk.durable())
}

/// More, fresh ones: `P2PCHAT_POWER_DISKS=10000`.
fn disks() -> std::ops::Range<u64> {
    let more = std::env::var("P2PCHAT_POWER_DISKS").ok().and_then(|count| count.parse().ok());
    let first = more.map_or(0, |_| std::process::id().into());
    first * 1_000_000..first * 1_000_000 + more.unwrap_or(20)
}

#[test]
fn what_was_acknowledged_is_there_after_a_loss_of_power_at_any_moment() {
    let mut acknowledged = 0;
    for seed in disks() {
        match work_on(&disk(), seed) {
            Ok(count) => acknowledged += count,
            Err(error) => panic!("disk {seed}: {error}"),
        }
    }
    println!("{acknowledged} acknowledged changes, none lost");
    assert!(acknowledged > 1_000, "{acknowledged}");
}

/// What the test before this one finds if nothing is synced.
#[test]
fn without_sync_something_acknowledged_is_lost() {
    let is_lost = |seed: &u64| {
        let disk = disk();
        disk.lie();
        // With its debug assertions, the engine may also take what it finds for impossible.
        std::panic::catch_unwind(|| work_on(&disk, *seed)).map_or(true, |worked| worked.is_err())
    };
    let lost = (0..20).filter(is_lost).count();
    assert!(lost > 15, "{lost} of 20");
}

fn answer(writer: &Writer, request: StoreRequest) -> StoreAnswer {
    settle(writer, vec![request]).remove(0)
}

#[test]
fn on_a_disk_that_has_become_read_only_what_needs_no_write_goes_on_and_it_is_used_again_when_it_can_be_written()
 {
    let disk = disk();
    let engine = Arc::new(disk.engine().unwrap());
    let writer =
        Writer { health: StoreHealth::new(&engine), engine: engine.clone(), waiting: sync_channel(1).1 };
    settle(&writer, vec![register("ali"), create("den", "ali", 5)]);
    let password = || {
        let request = Read::Account { username: name("ali") };
        engine.read(|view| matches!(read(view, &request), StoreAnswer::Account(Some(_))))
    };
    for round in 0..3 {
        disk.make_read_only(true);
        for attempt in 0..3 {
            let refused = answer(&writer, register(&format!("bob-{round}-{attempt}")));
            assert!(matches!(refused, StoreAnswer::Failed(StoreError::Engine(_))), "{refused:?}");
            // A login with a password, and what is looked up.
            assert_eq!(password(), Ok(true));
            assert!(matches!(answer(&writer, session("ali")), StoreAnswer::Session(Some(_))));
            assert!(matches!(answer(&writer, register("ALI")), StoreAnswer::NameTaken));
            assert!(engine.probe().is_err());
        }
        disk.make_read_only(false);
        assert!(matches!(answer(&writer, register(&format!("eve-{round}"))), StoreAnswer::Registered));
        assert_eq!(engine.probe(), Ok(()));
        assert!(matches!(answer(&writer, register(&format!("eve-{round}"))), StoreAnswer::NameTaken));
    }
    // Nothing that was refused is there, and all that was acknowledged.
    disk.lose_power(&mut Dice(1));
    let there = disk.engine().unwrap().read(contents).unwrap();
    let names = there.iter().filter_map(|entry| match entry {
        Entry::Account { username, .. } => Some(username.as_str()),
        _ => None,
    });
    assert_eq!(names.collect::<Vec<_>>(), ["ali", "eve-0", "eve-1", "eve-2"]);
}

#[test]
fn what_needs_no_write_is_answered_also_beside_what_cannot_be_written() {
    let disk = disk();
    let engine = Arc::new(disk.engine().unwrap());
    let writer =
        Writer { health: StoreHealth::new(&engine), engine: engine.clone(), waiting: sync_channel(1).1 };
    let token = |n| {
        let digest = TokenDigest::of(&SessionToken::from_random([n; 32]));
        StoredToken { digest, expires: 100 }
    };
    let open =
        |token| StoreRequest::Write(Write::OpenSession { username: name("ali"), password: None, token });
    let resume = |next| {
        let (username, token) = (name("ali"), token(1).digest);
        StoreRequest::Write(Write::ResumeSession { username, token, now: 50, next })
    };
    settle(&writer, vec![register("ali"), create("den", "ali", 5), open(TokenChange::Give(token(1)))]);
    let batch = || {
        vec![
            session("ali"),
            register("bob"),
            // They would be right if Bob were there.
            session("bob"),
            register("BOB"),
            resume(Some(token(2))),
            // Those who come in when they aren't given a token (PROTOCOL.md §7.7), with the one that is good.
            open(TokenChange::Keep),
            resume(None),
            join("den", 1, "ali"),
            register("ALI"),
        ]
    };
    disk.make_read_only(true);
    // The first is what finds it out, on a file that is open for writing.
    for _ in 0..3 {
        let answers = settle(&writer, batch());
        use StoreAnswer::{Failed, Joined, NameTaken, Session};
        assert!(
            matches!(
                answers.as_slice(),
                [
                    Session(Some(_)),
                    Failed(StoreError::Engine(_)),
                    Session(None),
                    Failed(StoreError::Engine(_)),
                    Failed(StoreError::Engine(_)),
                    Session(Some(_)),
                    Session(Some(_)),
                    Joined { .. },
                    NameTaken
                ]
            ),
            "{answers:?}"
        );
        assert!(writer.health.fault().is_some());
    }
    assert_eq!((writer.health.writes.get(), writer.health.failures.get()), (3, 3));
    settle(&writer, vec![session("ali")]);
    assert!(writer.health.fault().is_some(), "nothing was written");
    // Nothing of it is there, and it can be done when there is room.
    disk.make_read_only(false);
    let answers = settle(&writer, vec![resume(None), register("bob"), resume(Some(token(2)))]);
    assert!(
        matches!(
            answers.as_slice(),
            [StoreAnswer::Session(Some(_)), StoreAnswer::Registered, StoreAnswer::Session(Some(_))]
        ),
        "{answers:?}"
    );
    assert_eq!(writer.health.fault(), None);
}

#[test]
fn a_registration_alone_costs_one_sync_and_those_that_wait_share_one() {
    let disk = Disk::new(Vec::new());
    let engine = Arc::new(disk.engine().unwrap());
    let writer = Writer { health: StoreHealth::new(&engine), engine, waiting: sync_channel(1).1 };
    // Their syncs, and whether the file grew, which has one of its own.
    let cost = |requests: Vec<StoreRequest>| {
        let (syncs, len) = (disk.synced(), disk.durable().len());
        let answers = settle(&writer, requests);
        (disk.synced() - syncs, disk.durable().len() > len, answers)
    };
    let mut lone = 0;
    for n in 0..40 {
        let (syncs, grew, answers) = cost(vec![register(&format!("user{n}"))]);
        assert!(matches!(answers[..], [StoreAnswer::Registered]));
        assert_eq!(syncs, 1 + usize::from(grew), "registration {n}");
        lone += usize::from(!grew);
    }
    assert!(lone >= 30, "the file grew {} times", 40 - lone);
    let (syncs, _, answers) = cost((0..WRITE_BATCH).map(|n| register(&format!("other{n}"))).collect());
    assert!(answers.iter().all(|answer| matches!(answer, StoreAnswer::Registered)));
    assert!((1..=4).contains(&syncs) && answers.len() == WRITE_BATCH, "{syncs}");
    // What changes nothing needs none.
    let (syncs, _, answers) = cost(vec![register("user1")]);
    assert!(syncs == 0 && matches!(answers[..], [StoreAnswer::NameTaken]));
}
