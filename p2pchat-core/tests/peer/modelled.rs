//! The machine against the model: long random sequences of what may happen, shrunk when the two differ.

use std::time::Duration;

use p2pchat_core::{
    Time,
    peer::{Config, Effect, Event, RequestId, Response},
};
use p2pchat_proto::{Dialect, FrameError, Malformed, PeerPort};
use proptest::{
    prelude::*,
    test_runner::{Config as Cases, FileFailurePersistence, RngSeed},
};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use crate::{
    model::{Line, Model, SEED, untold},
    solo::{Solo, digest, room, text, user},
    steps::{Command, Step, steps},
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
        Just(Self::default()).boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Step> {
        steps(state)
    }

    fn preconditions(state: &Self, step: &Step) -> bool {
        !state.is_of_a_stranger(step)
    }

    fn apply(state: Self, step: &Step) -> Self {
        state.after(step)
    }
}

/// The machine, and the commands that it was given.
struct Machine {
    solo: Solo,
    commands: Vec<RequestId>,
}

impl StateMachineTest for Machine {
    type SystemUnderTest = Self;
    type Reference = Model;

    fn init_test(_: &Model) -> Self {
        let mut config = Config::default();
        config.pipeline = 1_000;
        Self { solo: Solo::seeded(config, SEED), commands: Vec::new() }
    }

    fn apply(mut machine: Self, model: &Model, step: Step) -> Self {
        let Self { solo, .. } = &mut machine;
        let now = solo.now;
        match step {
            Step::Command(command) => machine.command(&command),
            Step::LinkUp => solo.peer.handle_registry_connected(now, Some(Dialect::Canonical)),
            Step::LinkLost => solo.peer.handle_registry_closed(now, "reset".to_owned()),
            Step::Hello { .. } | Step::Answer(_) | Step::Push(_) => match model.registry.as_ref().unwrap() {
                Line::Plain(line) => solo.registry(line),
                Line::Members(room, members) => solo.members(room, members),
            },
            Step::Confirmed => solo.datagram("KEEP_ALIVE_RESPONSE <SUCCESS> <200>"),
            Step::StreamUp { stream } => {
                if let Some(stream) = solo.streams.get(stream) {
                    solo.peer.handle_stream_connected(now, *stream);
                }
            }
            Step::StreamLost { stream } => {
                if let Some(stream) = solo.streams.get(stream) {
                    solo.peer.handle_stream_closed(now, *stream, "reset".to_owned());
                }
            }
            Step::Dialled { host } => drop(solo.accept_from([192, 0, 2, host])),
            Step::Said { stream, what } => {
                if let Some(id) = solo.streams.get(stream) {
                    match what.line() {
                        Some(line) => solo.hear(stream, &line),
                        None => {
                            let nonsense = Malformed::Frame(FrameError::TooLong { limit: 9 });
                            solo.peer.handle_stream_malformed(now, *id, nonsense);
                        }
                    }
                }
            }
            Step::Wait { millis } => solo.pass(Duration::from_millis(millis)),
        }
        let did = machine.did();
        let same = did.len() == model.did.len()
            && did.iter().zip(&model.did).all(|(did, expected)| is_as_expected(did, expected));
        assert!(same, "did {did:#?} instead of {:#?}", model.did);
        machine
    }

    fn check_invariants(machine: &Self, model: &Model) {
        let peer = &machine.solo.peer;
        assert_eq!(machine.solo.now.as_micros(), model.now, "the time");
        assert_eq!(
            (peer.is_connected(), peer.is_logged_in(), peer.username().is_some()),
            (model.is_connected(), model.is_logged_in(), model.has_session()),
            "connected, logged in, with a session"
        );
        assert_eq!(peer.chats().map(|user| user.as_str()).collect::<Vec<_>>(), model.chats(), "chats");
        let rooms: Vec<_> = model.rooms().collect();
        assert_eq!(
            peer.room_names().map(|room| room.as_str()).collect::<Vec<_>>(),
            rooms.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            "rooms"
        );
        for (name, members) in rooms {
            let mut members = members.to_vec();
            members.sort_unstable();
            let known: Vec<_> = peer.roster(&room(name)).unwrap().map(|user| user.as_str()).collect();
            assert_eq!(known, members, "who is in {name}");
        }
        if let Some(deadline) = model.deadline() {
            let next = peer.poll_timeout();
            assert!(next.is_some_and(|next| next <= Time::from_micros(deadline)), "{next:?} for {deadline}");
        }
    }
}

impl Machine {
    fn command(&mut self, command: &Command) {
        let Self { solo, commands } = self;
        let (now, peer) = (solo.now, &mut solo.peer);
        commands.push(match *command {
            Command::Connect => peer.connect(now),
            Command::Login => {
                peer.login(now, user("alice"), digest("secret"), Some(PeerPort::new(4_000).unwrap()))
            }
            Command::Logout => peer.logout(now),
            Command::Join(name) => peer.join(now, room(name), None),
            Command::Leave(name) => peer.leave(now, room(name)),
            Command::Members(name) => peer.members(now, room(name)),
            Command::Kick(name, member) => peer.kick(now, room(name), user(member), None),
            Command::Bans(name) => peer.bans(now, room(name)),
            Command::Chat(name) => peer.chat(now, user(name)),
            Command::HangUp(name) => peer.hang_up(now, user(name)),
            Command::Send(name, said) => peer.send(now, user(name), text(said)),
            Command::Broadcast(name, said) => peer.broadcast(now, room(name), text(said)),
            Command::Accept(newest) => match solo.requests.iter().nth_back(newest) {
                Some(request) => peer.accept(now, *request),
                None => return,
            },
            Command::Reject(newest) => match solo.requests.iter().nth_back(newest) {
                Some(request) => peer.reject(now, *request, None),
                None => return,
            },
            Command::Confirm(newest) => match solo.receipts.iter().nth_back(newest) {
                Some(receipt) => return peer.confirm(now, *receipt),
                None => return,
            },
        });
    }

    /// What was done since the last look, in the model's words.
    fn did(&mut self) -> Vec<String> {
        let mut did = Vec::new();
        while let Some(effect) = self.solo.peer.poll_effect() {
            did.push(match effect {
                Effect::Event(Event::Completed { request, outcome }) => {
                    let number = self.commands.iter().position(|command| *command == request).unwrap();
                    match outcome {
                        Ok(Response::Broadcast(report)) => {
                            let failed = report.failed.iter();
                            let failed: Vec<_> =
                                failed.map(|(user, error)| untold(user.as_str(), error)).collect();
                            format!("c{number} told {:?}, not {failed:?}", report.delivered)
                        }
                        Ok(response) => format!("c{number} {response:?}"),
                        Err(error) => format!("c{number} {error:?}"),
                    }
                }
                effect => self.solo.tell(effect),
            });
        }
        did
    }
}

/// What a person is told, `…`, is compared by whether there is something.
fn is_as_expected(did: &str, expected: &str) -> bool {
    match expected.split_once('…') {
        _ if did == expected => true,
        None => false,
        Some((start, end)) => {
            did.len() > start.len() + end.len() && did.starts_with(start) && did.ends_with(end)
        }
    }
}
