//! Many users who are online, each on a connection of their own. User `n` is on connection `n`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use crate::{
    Outcome,
    client::{Line, Target, insist},
    words,
};

/// How many come at once.
const ARRIVING: usize = 64;
/// Leases are 120 s.
const RENEWAL: Duration = Duration::from_secs(45);

pub(crate) struct Fleet {
    pub(crate) target: Target,
    pub(crate) lines: Vec<Line>,
    /// Keeps everybody's lease.
    keeper: Option<tokio::task::JoinHandle<()>>,
}

impl Fleet {
    pub(crate) fn new(target: Target) -> Self {
        Self { target, lines: Vec::new(), keeper: None }
    }

    /// Has so many online, or on the floor, connected.
    pub(crate) async fn grow(&mut self, size: usize) -> Outcome {
        let first = self.lines.len();
        if first >= size {
            return Ok(());
        }
        let next = Arc::new(AtomicUsize::new(first));
        let mut arriving = JoinSet::new();
        for _ in 0..ARRIVING {
            let (next, target) = (next.clone(), self.target.clone());
            arriving.spawn(async move {
                let datagrams = target.datagrams().await?;
                let mut arrived = Vec::new();
                loop {
                    let user = next.fetch_add(1, Ordering::Relaxed);
                    if user >= size {
                        return Outcome::Ok(arrived);
                    }
                    let mut line = target.connect().await?;
                    enter(&target, &mut line, user).await?;
                    if !target.floor {
                        insist(&datagrams, &words::keep_alive(user)).await?;
                    }
                    arrived.push((user, line));
                }
            });
        }
        let mut arrived = Vec::with_capacity(size - first);
        while let Some(some) = arriving.join_next().await {
            arrived.extend(some??);
        }
        arrived.sort_unstable_by_key(|&(user, _)| user);
        self.lines.extend(arrived.into_iter().map(|(_, line)| line));
        self.keep();
        Ok(())
    }

    /// Renews leases from now on. Whether it works shows, as whoever loses one loses the connection.
    pub(crate) fn keep(&mut self) {
        self.pause();
        if self.target.floor {
            return;
        }
        let (target, size) = (self.target.clone(), self.lines.len());
        self.keeper = Some(tokio::spawn(async move {
            let Ok(datagrams) = target.datagrams().await else { return };
            let mut due = interval(RENEWAL);
            due.set_missed_tick_behavior(MissedTickBehavior::Delay);
            due.tick().await;
            loop {
                due.tick().await;
                for user in 0..size {
                    _ = datagrams.send(words::keep_alive(user).as_bytes()).await;
                    // A few at a time, so that none is dropped for want of room.
                    if user % 32 == 31 {
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                }
            }
        }));
    }

    /// Leaves the leases to others for a while.
    pub(crate) fn pause(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.abort();
        }
    }
}

/// Hello and login, or a line to and fro.
pub(crate) async fn enter(target: &Target, line: &mut Line, user: usize) -> Outcome {
    let words = format!("{}{}", words::HELLO, words::login(user));
    if target.floor {
        return line.ask(words.as_bytes(), words.as_bytes()).await;
    }
    let answer = format!("{}{}", words::WELCOME, words::LOGGED_IN);
    line.ask(words.as_bytes(), answer.as_bytes()).await
}
