//! What three users say to each other by number, over streams that are slow, break and fall silent: whatever happens is held
//! to a few rules (§7.14).

use std::time::Duration;

use p2pchat_core::peer::Config;
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config as Cases, RngSeed},
};

use crate::{
    keys::config,
    ledger::{Ledger, NAMES},
    solo::{SECOND, room, text, user},
    world::World,
};

/// Words are few: nobody may take one message for another because it says the same.
const WORDS: [&str; 2] = ["yes", "no"];

#[derive(Debug, Clone)]
enum Step {
    /// alice and bob say something to each other,
    Send {
        from: usize,
        words: usize,
    },
    /// anybody says something in the den.
    Say {
        from: usize,
        words: usize,
    },
    Ask {
        from: usize,
    },
    /// Accepts whatever chats they are asked for.
    Accept {
        who: usize,
    },
    HangUp {
        from: usize,
    },
    /// Whichever stream has the next byte after so many more is cut.
    CutAfter {
        bytes: usize,
    },
    CutAll {
        who: usize,
    },
    /// Nobody can be dialled by this one, nor this one by anybody, and what they say is on its way.
    Part {
        who: usize,
    },
    /// What is said is on its way.
    Slow,
    Arrives {
        which: usize,
        count: usize,
    },
    Whole {
        arrives: bool,
    },
    /// An application stops confirming what it is handed, or goes on.
    Dawdle {
        who: usize,
        dawdles: bool,
    },
    /// It confirms one of those it has been handed.
    Confirm {
        who: usize,
        which: usize,
    },
    /// Logs out, and in again.
    Again {
        who: usize,
    },
    Wait {
        millis: u64,
    },
}

fn talk() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_usize..2, 0_usize..2).prop_map(|(from, words)| Step::Send { from, words }),
        4 => (0_usize..3, 0_usize..2).prop_map(|(from, words)| Step::Say { from, words }),
        2 => wait(),
    ]
}

fn wait() -> impl Strategy<Value = Step> {
    prop_oneof![0_u64..100, 0_u64..1_000, 0_u64..6_000, 0_u64..25_000]
        .prop_map(|millis| Step::Wait { millis })
}

fn confirming() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0_usize..3, any::<bool>()).prop_map(|(who, dawdles)| Step::Dawdle { who, dawdles }),
        2 => (0_usize..3, 0_usize..4).prop_map(|(who, which)| Step::Confirm { who, which }),
    ]
}

/// Streams are cut, and can be had anew; applications take their time.
fn cuts() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => talk(),
        2 => confirming(),
        1 => (0_usize..800).prop_map(|bytes| Step::CutAfter { bytes }),
        1 => (0_usize..3).prop_map(|who| Step::CutAll { who }),
    ]
}

fn trouble() -> impl Strategy<Value = Step> {
    let (one, chatter) = (0_usize..3, 0_usize..2);
    prop_oneof![
        12 => talk(),
        1 => chatter.clone().prop_map(|from| Step::Ask { from }),
        2 => chatter.clone().prop_map(|who| Step::Accept { who }),
        1 => chatter.prop_map(|from| Step::HangUp { from }),
        2 => (0_usize..800).prop_map(|bytes| Step::CutAfter { bytes }),
        1 => one.clone().prop_map(|who| Step::CutAll { who }),
        1 => one.clone().prop_map(|who| Step::Part { who }),
        1 => Just(Step::Slow),
        2 => (0_usize..6, 1_usize..6).prop_map(|(which, count)| Step::Arrives { which, count }),
        2 => any::<bool>().prop_map(|arrives| Step::Whole { arrives }),
        3 => confirming(),
        1 => one.prop_map(|who| Step::Again { who }),
    ]
}

/// Everything takes less time than usual, so that more of it happens.
fn hasty() -> Config {
    let mut config = config();
    config.delivery_timeout = SECOND * 4;
    (config.resend_timeout, config.ping_interval) = (SECOND * 12, SECOND * 12);
    (config.idle_timeout, config.chat_timeout) = (SECOND * 20, SECOND * 24);
    config
}

/// alice and bob in a chat, both with carol in the den, and what was seen of them.
struct Scene {
    world: World,
    ledger: Ledger,
    /// For how long at most nobody is told what became of what they said.
    patience: Duration,
}

impl Scene {
    fn new(config: &Config) -> Self {
        let mut world = World::with(&NAMES, config);
        world.create(0, "den");
        world.join(1, "den");
        world.join(2, "den");
        world.open_chat();
        let ledger = Ledger::new(config.messages_in_flight < Config::default().messages_in_flight);
        // A way to somebody is looked for, and begins with the numbering; then it is up to the line.
        let patience = 2 * config.delivery_timeout + config.resend_timeout;
        let mut scene = Self { world, ledger, patience };
        scene.look();
        scene
    }

    /// The ledger is told what the applications were told.
    fn look(&mut self) {
        self.world.run();
        for (node, event) in std::mem::take(&mut self.world.heard) {
            let confirms = !self.world.nodes[node].dawdles;
            self.ledger.told(node, &event, confirms);
        }
        self.ledger.is_in_time(self.world.now, self.patience);
    }

    fn does(&mut self, step: &Step) {
        let world = &mut self.world;
        match *step {
            Step::Send { from, words } => self.says(from, Some(1 - from), WORDS[words]),
            Step::Say { from, words } => self.says(from, None, WORDS[words]),
            Step::Ask { from } => {
                world.nodes[from].solo.peer.chat(world.now, user(NAMES[1 - from]));
            }
            Step::Accept { who } => {
                for request in std::mem::take(&mut world.nodes[who].solo.requests) {
                    world.nodes[who].solo.peer.accept(world.now, request);
                }
            }
            Step::HangUp { from } => {
                world.nodes[from].solo.peer.hang_up(world.now, user(NAMES[1 - from]));
            }
            Step::CutAfter { bytes } => world.cut_after = Some(bytes),
            Step::CutAll { who } => world.cut_streams(who),
            Step::Part { who } => {
                world.apart.insert(who);
                world.slow = true;
            }
            Step::Slow => world.slow = true,
            Step::Arrives { which, count } => world.arrive(which, count),
            Step::Whole { arrives } => world.make_whole(arrives),
            Step::Dawdle { who, dawdles } => world.nodes[who].dawdles = dawdles,
            Step::Confirm { who, which } => {
                if let Some(receipt) = self.ledger.confirms(who, which) {
                    world.nodes[who].solo.peer.confirm(world.now, receipt);
                }
            }
            Step::Again { who } => {
                world.nodes[who].solo.peer.logout(world.now);
                self.look();
                self.ledger.begins_anew(who);
                self.world.login(who, NAMES[who]);
            }
            Step::Wait { millis } => world.wait(Duration::from_millis(millis)),
        }
        self.look();
    }

    fn says(&mut self, from: usize, to: Option<usize>, words: &str) {
        // What was said when tells one message from the others.
        self.world.wait(Duration::from_millis(1));
        self.look();
        let world = &mut self.world;
        let (now, peer) = (world.now, &mut world.nodes[from].solo.peer);
        let command = match to {
            Some(to) => peer.send(now, user(NAMES[to]), text(words)),
            None => peer.broadcast(now, room("den"), text(words)),
        };
        self.ledger.said(from, to, words, now, command);
        self.look();
    }

    fn wait(&mut self, duration: Duration) {
        self.world.wait(duration);
        self.look();
    }

    /// Everything is whole again, and stays so: what can still be delivered is.
    fn ends(&mut self, arrives: bool) {
        self.does(&Step::Whole { arrives });
        for who in 0..NAMES.len() {
            self.world.nodes[who].dawdles = false;
            // What isn't would hold up the confirmation of all that comes after it.
            while let Some(receipt) = self.ledger.confirms(who, 0) {
                self.world.nodes[who].solo.peer.confirm(self.world.now, receipt);
            }
        }
        self.look();
        self.wait(SECOND * 60);
        self.ledger.falls_quiet();
        for from in 0..NAMES.len() {
            self.says(from, None, "the last");
        }
        self.wait(SECOND * 30);
        for node in &self.world.nodes {
            assert!(node.ended.values().all(|&times| times == 1), "a command ended twice");
        }
        let chats = |node: usize| self.world.nodes[node].solo.peer.chats().count();
        assert_eq!(chats(0), chats(1), "one of them thinks that they chat");
        self.ledger.closes();
    }
}

/// Fixed cases, so that everybody's run is the same; with `PROPTEST_CASES` in the environment, as many fresh ones.
fn cases(fixed: u32) -> Cases {
    let fixed = Cases { cases: fixed, rng_seed: RngSeed::Fixed(1), ..Cases::default() };
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { Cases::default() } else { fixed };
    Cases { max_shrink_iters: 20_000, failure_persistence: None, ..cases }
}

proptest! {
    #![proptest_config(cases(384))]
    #[test]
    fn links_whatever_becomes_of_streams_all_is_delivered_once_in_order_or_reported(
        steps in vec(trouble(), 1..60),
        arrives in any::<bool>(),
        limit in prop_oneof![3 => Just(256), 1 => 2_usize..5],
    ) {
        let mut config = hasty();
        config.messages_in_flight = limit;
        let mut scene = Scene::new(&config);
        for step in &steps {
            scene.does(step);
        }
        scene.ends(arrives);
    }
}

proptest! {
    #![proptest_config(cases(32))]
    #[test]
    fn links_where_nothing_goes_wrong_everything_is_delivered_in_order(steps in vec(talk(), 1..60)) {
        let mut scene = Scene::new(&hasty());
        for step in &steps {
            scene.does(step);
        }
        scene.ledger.has_all_of_it();
        scene.ends(true);
    }
}

proptest! {
    #![proptest_config(cases(64))]
    #[test]
    fn links_where_streams_are_only_cut_nothing_is_missed(steps in vec(cuts(), 1..60)) {
        let mut config = hasty();
        // However often they are cut.
        config.resend_timeout = SECOND * 600;
        let mut scene = Scene::new(&config);
        for step in &steps {
            scene.does(step);
        }
        scene.ends(true);
        scene.ledger.has_missed_nothing();
    }
}
