//! Two peers.

use std::time::{Duration, Instant};

use p2pchat_core::tokio::Peer;
use tokio::{runtime::Handle, sync::mpsc::UnboundedReceiver, task::JoinSet};

use crate::{
    people::{Heard, Registry, text},
    report::{Figure, Way, What, cpu},
};

pub(crate) struct Pair {
    near: Peer,
    /// The other's name.
    far: String,
    heard: Heard,
    ends: UnboundedReceiver<()>,
}

impl Pair {
    pub(crate) async fn meet(registry: &Registry, far: &Handle, way: Way) -> Self {
        let with_key = way == Way::Encrypted;
        let (heard, ends) = Heard::new();
        let name = format!("far-{}", way.word());
        let there = far.spawn(registry.arrive(name.clone(), with_key, heard.clone()));
        // The listener has a handle too, so that the peer stays.
        there.await.expect("a task");
        let near = registry.arrive(format!("near-{}", way.word()), with_key, Heard::new().0).await;
        let mut pair = Self { near, far: name, heard, ends };
        // The first contact, by which keys are learned.
        pair.set_up(1).await;
        pair
    }

    pub(crate) async fn measure(&mut self, what: What, count: usize) -> Figure {
        match what {
            What::SetUp => self.set_up(count).await,
            What::Search => self.search(count).await,
            What::RoundTrip => self.round_trip(count).await,
            _ => self.rate(what, count).await,
        }
    }

    async fn set_up(&mut self, count: usize) -> Figure {
        let (mut times, mut spent) = (Vec::new(), Duration::ZERO);
        for _ in 0..count {
            let (begun, before) = (Instant::now(), cpu());
            self.near.chat(&self.far).await.expect("an open chat");
            times.push(begun.elapsed());
            spent += cpu() - before;
            // A stream with numbers outlasts its chat: there is none for sure where nobody may have one.
            self.near.block(&self.far).await.expect("a name");
            self.ends.recv().await.expect("the other one");
            self.near.unblock(&self.far).await.expect("a name");
        }
        Figure::of_times(times, spent)
    }

    async fn search(&self, count: usize) -> Figure {
        let (mut times, before) = (Vec::new(), cpu());
        for _ in 0..count {
            let begun = Instant::now();
            self.near.search(&self.far).await.expect("somebody online");
            times.push(begun.elapsed());
        }
        Figure::of_times(times, cpu() - before)
    }

    async fn round_trip(&mut self, count: usize) -> Figure {
        let bytes = What::RoundTrip.load().0;
        self.near.chat(&self.far).await.expect("an open chat");
        self.heard.expect(bytes);
        let (mut times, before) = (Vec::new(), cpu());
        for number in 0..count {
            let text = text(number, bytes);
            let begun = Instant::now();
            self.near.send(&self.far, &text).await.expect("a confirmation");
            times.push(begun.elapsed());
        }
        let figure = Figure::of_times(times, cpu() - before);
        self.heard.check(count, 1);
        self.end().await;
        figure
    }

    /// So many on their way, each waited for by a task of its own.
    async fn rate(&mut self, what: What, count: usize) -> Figure {
        let (bytes, window) = what.load();
        self.near.chat(&self.far).await.expect("an open chat");
        self.heard.expect(bytes);
        let (begun, before) = (Instant::now(), cpu());
        let mut senders = JoinSet::new();
        for first in 0..window {
            let (near, far) = (self.near.clone(), self.far.clone());
            senders.spawn(async move {
                for number in (first..count).step_by(window) {
                    near.send(&far, &text(number, bytes)).await.expect("a confirmation");
                }
            });
        }
        senders.join_all().await;
        let figure = Figure::of_rate(what, count, begun.elapsed(), cpu() - before);
        self.heard.check(count, 1);
        self.end().await;
        figure
    }

    async fn end(&mut self) {
        self.near.hang_up(&self.far).await.expect("an open chat");
        self.ends.recv().await.expect("the other one");
    }
}
