//! The machine against the model: long random sequences of what may happen, shrunk when the two differ.

use std::time::Duration;

use p2pchat_core::{
    Time,
    registry::{
        Addresses, Config, ConnId, PrefixLimits, Rate, Registration,
        store::{Read, StoreAnswer, StoreRequest},
    },
};
use proptest::{
    prelude::*,
    test_runner::{Config as Cases, FileFailurePersistence, RngSeed},
};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use crate::{
    model::{BANS_PER_ROOM, Model, REASON, ROOMS_PER_USER, Rules, TOKEN_SECONDS},
    steps::{SLOTS, Step, steps},
    world::{World, proven, ticket},
};

/// Fixed cases from a fixed seed, so that everybody's run is the same; with `PROPTEST_CASES` in the environment, as many
/// fresh ones.
fn cases() -> Cases {
    let fixed = Cases { cases: 128, rng_seed: RngSeed::Fixed(1), ..Cases::default() };
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { Cases::default() } else { fixed };
    let beside_this_file = Some(Box::new(FileFailurePersistence::WithSource("regressions")) as _);
    Cases { max_shrink_iters: 20_000, failure_persistence: beside_this_file, ..cases }
}

prop_state_machine! {
    #![proptest_config(cases())]
    #[test]
    fn the_machine_does_what_the_model_says(sequential 1..300 => Machine);
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        any::<[bool; 2]>()
            .prop_map(|[by_invitation, hidden]| Self::new(Rules { by_invitation, hidden }))
            .boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Step> {
        steps(state)
    }

    fn apply(state: Self, step: &Step) -> Self {
        state.after(step)
    }
}

/// The machine, and its names for the streams.
struct Machine {
    world: World,
    streams: [Option<ConnId>; SLOTS],
}

impl StateMachineTest for Machine {
    type SystemUnderTest = Self;
    type Reference = Model;

    fn init_test(model: &Model) -> Self {
        let mut config = Config::default();
        if model.rules.by_invitation {
            config.registration = Registration::Invite;
        }
        if model.rules.hidden {
            config.addresses = Addresses::Contacts;
        }
        config.contact_requests = Rate::UNLIMITED;
        config.prefixes = PrefixLimits::NONE;
        config.rooms_per_user = ROOMS_PER_USER;
        config.bans_per_room = BANS_PER_ROOM;
        config.token_lifetime = Duration::from_secs(TOKEN_SECONDS);
        Self { world: World::with(config), streams: [None; SLOTS] }
    }

    fn apply(mut machine: Self, model: &Model, step: Step) -> Self {
        let Self { world, streams } = &mut machine;
        let now = Time::from_micros(model.now);
        world.wait(now - world.now);
        let mut datagrams = world.datagrams();
        let mut heard = [const { Vec::new() }; SLOTS];
        match step {
            Step::Wait { .. } => {}
            Step::Connect { slot, ip, prototype } => {
                if streams[slot].is_none_or(|conn| world.is_closed(conn)) {
                    let conn = world.connect(ip);
                    if prototype {
                        world.is_prototype(conn);
                    }
                    // What the stream before it heard was heard.
                    heard[slot] = streams[slot].map(|old| world.heard(old)).unwrap_or_default();
                    streams[slot] = Some(conn);
                }
            }
            Step::Disconnect { slot } => {
                if let Some(conn) = streams[slot].take() {
                    world.disconnect(conn);
                    heard[slot] = world.heard(conn);
                }
            }
            Step::Say { slot, request, late } => {
                if let Some(conn) = streams[slot] {
                    world.hold = late;
                    heard[slot] = world.say(conn, &request.line());
                    world.hold = false;
                }
            }
            Step::Answer { nth } => {
                if !world.held.is_empty() {
                    world.release(nth % world.held.len());
                }
            }
            Step::KeepAlive { user, from, timeout } => {
                let timeout = timeout.map(|seconds| format!(" <{seconds}>")).unwrap_or_default();
                datagrams.extend(world.datagram(&from.to_string(), &format!("KEEP_ALIVE <{user}>{timeout}")));
            }
            Step::Proven { user, from, timeout, ticket: (number, sequence) } => {
                let line = proven(&ticket(number), user, timeout, sequence);
                datagrams.extend(world.datagram(&from.to_string(), &line));
            }
            Step::Invite { uses, lasts } => world.invite(model.invites_made, uses, lasts),
            Step::Revoke { number } => world.revoke(number),
            Step::Restart => {
                *world = std::mem::replace(world, World::new()).restarted();
                streams.fill(None);
            }
        }
        datagrams.extend(world.datagrams());
        assert_eq!(datagrams, model.datagrams, "datagrams");
        for (slot, conn) in streams.iter().enumerate() {
            heard[slot].extend(conn.map(|conn| world.heard(conn)).into_iter().flatten());
            let expected = model.sent.get(&slot).map_or(&[][..], Vec::as_slice);
            let same = heard[slot].len() == expected.len()
                && heard[slot].iter().zip(expected).all(|(heard, expected)| is_as_expected(heard, expected));
            assert!(same, "stream {slot} was sent {:?} instead of {expected:?}", heard[slot]);
        }
        machine
    }

    fn check_invariants(machine: &Self, model: &Model) {
        let Self { world, streams } = machine;
        for (slot, conn) in streams.iter().enumerate() {
            let is_open = conn.is_some_and(|conn| !world.is_closed(conn));
            assert_eq!(is_open, model.streams.contains_key(&slot), "stream {slot} is open");
        }
        let sessions: Vec<_> = model.streams.values().filter_map(|stream| stream.session.as_ref()).collect();
        let waiting = model.streams.values().filter(|stream| stream.gone).count();
        let stats = world.registry.stats();
        assert_eq!(
            (stats.connections, stats.waiting, stats.sessions, stats.operations),
            (model.streams.len() - waiting, waiting, sessions.len(), model.unanswered.len()),
            "connections, waiting and all sessions, operations"
        );
        let next = world.registry.poll_timeout();
        let lease = sessions.iter().map(|session| Time::from_micros(session.ends)).min();
        assert_eq!(next.is_some(), lease.is_some(), "a deadline for the next lease");
        assert!(next <= lease && next.is_none_or(|next| next > world.now), "{next:?} for {lease:?}");

        let StoreAnswer::Rooms(rooms) = world.store.clone().answer(&StoreRequest::Read(Read::Rooms)) else {
            panic!("the store lists no rooms");
        };
        assert!(rooms.iter().all(|room| room.members <= room.capacity.get()), "{rooms:?}");
    }
}

/// Reasons are compared by whether there is one.
fn is_as_expected(line: &str, expected: &str) -> bool {
    match expected.strip_suffix(REASON) {
        None => line == expected,
        Some(start) => line
            .strip_prefix(start)
            .and_then(|reason| reason.strip_prefix(" <")?.strip_suffix('>'))
            .is_some_and(|reason| !reason.is_empty() && !reason.contains('<')),
    }
}
