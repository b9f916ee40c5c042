//! Many at once: a reconnect storm, and a mixed day.

use std::{ops::Range, time::Instant};

use fastrand::Rng;
use serde_json::{Value, json};

use super::{Figures, Load, Work, logins::enter, lookups::open};
use crate::{
    Outcome,
    client::{Line, Target},
    times::Times,
    words,
};

/// How many hang up and come back.
const STORM: usize = 2_000;

/// What somebody does during a day, each with how many times of a hundred.
const ACTS: [(&str, usize); 5] =
    [("lookup", 70), ("keep-alive", 12), ("join and leave", 8), ("come back", 8), ("list", 2)];

const LOOKUP: usize = 0;
const JOIN_AND_LEAVE: usize = 2;

impl Load {
    pub(super) async fn storm(&mut self) -> Outcome<Figures> {
        let (first, floor) = (self.fleet.lines.len(), self.arguments.floor);
        let count = self.arguments.connections.min(STORM);
        let mut online = Vec::new();
        for user in first..first + count {
            let mut line = self.fleet.target.connect().await?;
            let token = come(&mut line, user, None, floor).await?;
            online.push((user, line, token));
        }
        let meter = self.meter()?;
        // Cut, not closed: no TLS farewell, as when a network goes.
        let gone: Vec<_> = online.into_iter().map(|(user, _, token)| (user, token)).collect();
        let returning: Vec<_> = gone
            .into_iter()
            .map(|(user, token)| {
                let target = self.fleet.target.clone();
                tokio::spawn(async move {
                    let begun = Instant::now();
                    let mut line = target.connect().await?;
                    come(&mut line, user, Some(&token), floor).await?;
                    let mut work = Work::default();
                    work.done(begun);
                    Outcome::Ok((line, work))
                })
            })
            .collect();
        let (mut all, mut lines) = (Work::default(), Vec::new());
        for back in returning {
            let (line, work) = back.await??;
            lines.push(line);
            all.add(work);
        }
        let figures = self.figures(&meter, count, all);
        for line in lines {
            line.close().await;
        }
        figures
    }

    pub(super) async fn day(&mut self) -> Outcome<Figures> {
        let (first, count) = (self.fleet.lines.len(), self.arguments.connections);
        let (target, seed) = (self.fleet.target.clone(), self.arguments.seed);
        let mut users = Vec::new();
        for user in first..first + count {
            users.push(Person::come(&target, user, Rng::with_seed(seed + user as u64)).await?);
        }
        let owner = users.first_mut().ok_or("nobody is there")?;
        open(&mut owner.line, ROOM).await?;
        let meter = self.meter()?;
        let end = Instant::now() + self.time();
        let days = users.into_iter().map(|mut person| {
            tokio::spawn(async move {
                let mut times: [Times; ACTS.len()] = Default::default();
                while Instant::now() < end {
                    let act = match person.choose() {
                        // A room is gone with its last member, so whoever opened it stays.
                        JOIN_AND_LEAVE if person.user == first => LOOKUP,
                        act => act,
                    };
                    let begun = Instant::now();
                    person.act(act, first..first + count).await?;
                    times.get_mut(act).ok_or("no such act")?.since(begun);
                }
                person.line.close().await;
                Outcome::Ok(times)
            })
        });
        let mut all: [Times; ACTS.len()] = Default::default();
        for day in days.collect::<Vec<_>>() {
            all.iter_mut().zip(day.await??).for_each(|(all, own)| all.add(own));
        }
        let mut work = Work::default();
        let mut each = serde_json::Map::new();
        for (mut times, (act, _)) in all.into_iter().zip(ACTS) {
            let (p50, p99) = (times.percentile(50), times.percentile(99));
            each.insert(act.into(), json!({ "count": times.count(), "p50_us": p50, "p99_us": p99 }));
            work.operations += times.count() as u64;
            work.times.add(times);
        }
        Ok(self.figures(&meter, count, work)?.with("each", Value::Object(each)))
    }
}

const ROOM: &str = "the day's room";

/// Comes in by password, or by a token, and has the next token; on the floor a line goes to and fro.
async fn come(line: &mut Line, user: usize, token: Option<&str>, floor: bool) -> Outcome<String> {
    let words = token.map_or_else(|| words::login(user), |token| words::resume(user, token));
    if floor {
        line.ask(words.as_bytes(), words.as_bytes()).await?;
        return Ok("0".repeat(64));
    }
    enter(line, &words).await
}

struct Person {
    user: usize,
    line: Line,
    token: String,
    target: Target,
    datagrams: tokio::net::UdpSocket,
    rng: Rng,
}

impl Person {
    async fn come(target: &Target, user: usize, rng: Rng) -> Outcome<Self> {
        let (mut line, datagrams) = (target.connect().await?, target.datagrams().await?);
        let token = enter(&mut line, &words::login(user)).await?;
        crate::client::insist(&datagrams, &words::keep_alive(user)).await?;
        Ok(Self { user, line, token, target: target.clone(), datagrams, rng })
    }

    fn choose(&mut self) -> usize {
        let mut chance = self.rng.usize(0..100);
        for (act, (_, share)) in ACTS.into_iter().enumerate() {
            match chance.checked_sub(share) {
                None => return act,
                Some(rest) => chance = rest,
            }
        }
        LOOKUP
    }

    /// `users` are those whose day it is; the fleet's, who come before them, are online and do nothing.
    async fn act(&mut self, act: usize, users: Range<usize>) -> Outcome {
        match act {
            LOOKUP => {
                let other = self.rng.usize(users);
                let answer = words::found(other, self.target.own_ip());
                self.line.ask(words::search(other).as_bytes(), answer.as_bytes()).await
            }
            1 => {
                self.datagrams.send(words::keep_alive(self.user).as_bytes()).await?;
                // One that comes within a second of another isn't answered.
                let mut buffer = [0; 64];
                if let Ok(size) = self.datagrams.try_recv(&mut buffer)
                    && buffer.get(..size) != Some(words::KEPT_ALIVE)
                {
                    return Err("no answer to a keep-alive".into());
                }
                Ok(())
            }
            JOIN_AND_LEAVE => {
                self.line.ask(words::join(ROOM).as_bytes(), words::JOINED.as_bytes()).await?;
                let leave = words::leave(self.user, ROOM);
                self.line.ask(leave.as_bytes(), words::LEFT.as_bytes()).await
            }
            3 => {
                let line = self.target.connect().await?;
                std::mem::replace(&mut self.line, line).close().await;
                self.token = enter(&mut self.line, &words::resume(self.user, &self.token)).await?;
                // A new session has a short lease again.
                self.datagrams.send(words::keep_alive(self.user).as_bytes()).await?;
                Ok(())
            }
            _ => {
                self.line.send(words::LIST.as_bytes()).await?;
                let list = self.line.line().await?;
                // Who comes back is there all the time, so it is always everybody.
                let others = list.split(|&byte| byte == b',').count();
                if others + 1 != users.end {
                    return Err(format!("a list of {others} with {} online", users.end).into());
                }
                Ok(())
            }
        }
    }
}
