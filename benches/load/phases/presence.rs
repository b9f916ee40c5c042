//! Who is there: idle connections, keep-alives, lists.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::time::{sleep, timeout};

use super::{Figures, Load, Work};
use crate::{Outcome, client::insist, words};

/// How many sockets keep-alives come from, and how many are on their way from each.
const SOCKETS: usize = 4;
const WINDOW: usize = 32;
/// A registry answers a session once a second.
const ROUND: Duration = Duration::from_millis(1_100);
/// How many sessions with tickets there are.
const TICKETS: usize = 2_000;

/// How many connections there would be on a machine with more descriptors.
const MANY: f64 = 100_000.0;

/// A request for a list, and about how many bytes answer it.
#[derive(Clone)]
pub(super) struct ListQuestion {
    pub(super) question: Arc<str>,
    pub(super) size: usize,
}

impl Load {
    pub(super) async fn idle(&mut self) -> Outcome<Figures> {
        let most = self.arguments.connections;
        let mut sizes = vec![json!([0, self.server.rss_kib()?])];
        let mut points = Vec::new();
        for size in [most / 9, most / 3, most] {
            self.fleet.grow(size).await?;
            sleep(Duration::from_secs(1)).await;
            let rss = self.server.rss_kib()?;
            sizes.push(json!([size, rss]));
            points.push((size as f64, rss as f64));
        }
        let meter = self.meter()?;
        sleep(Duration::from_secs(3)).await;
        let idle = Work { operations: 1, ..Work::default() };
        let figures = self.figures(&meter, most, idle)?;
        let (first, each) = line(&points).ok_or("no sizes")?;
        let many = (first + each * MANY) / 1024.0;
        let figures = figures.with("mib_of_100000", many);
        Ok(figures.with("kib_each", each).with("connections_and_rss_kib", sizes))
    }

    pub(super) async fn keep_alives(&mut self) -> Outcome<Figures> {
        let count = self.arguments.connections;
        self.fleet.grow(count).await?;
        self.fleet.pause();
        let floor = self.arguments.floor;
        let figures = self
            .rounds(count, |_| {
                let datagrams = (0..count).map(words::keep_alive);
                datagrams.map(|datagram| (answer(&datagram, floor), datagram)).collect()
            })
            .await;
        self.fleet.keep();
        figures
    }

    pub(super) async fn ticket_keep_alives(&mut self) -> Outcome<Figures> {
        let count = self.arguments.connections.min(TICKETS);
        let floor = self.arguments.floor;
        let first = self.fleet.lines.len();
        let mut sessions = Vec::new();
        let datagrams = self.fleet.target.datagrams().await?;
        for user in first..first + count {
            let mut line = self.fleet.target.connect().await?;
            let mut ticket = "0".repeat(64);
            if !floor {
                line.send(format!("{}{}", words::hello_with("ticket"), words::login(user)).as_bytes())
                    .await?;
                let welcome = format!("{}{}", words::welcome_with("ticket"), words::LOGGED_IN);
                line.expect(welcome.as_bytes()).await?;
                let push = line.text_line().await?;
                ticket = words::last_field(&push, "TICKET ").ok_or("no ticket")?.to_owned();
                insist(&datagrams, &words::proven_keep_alive(user, &ticket, 1)).await?;
            }
            sessions.push((user, ticket, line));
        }
        sleep(ROUND).await;
        let figures = self
            .rounds(count, |round| {
                let proven = |(user, ticket, _): &(usize, String, _)| {
                    let datagram = words::proven_keep_alive(*user, ticket, round + 2);
                    (answer(&datagram, floor), datagram)
                };
                sessions.iter().map(proven).collect()
            })
            .await?;
        for (_, _, line) in sessions {
            line.close().await;
        }
        Ok(figures)
    }

    /// Sends everybody's datagram once a round, as fast as they are answered, and counts the time between rounds for nothing.
    async fn rounds(
        &self,
        count: usize,
        datagrams: impl Fn(u64) -> Vec<(Vec<u8>, String)>,
    ) -> Outcome<Figures> {
        let mut sockets = Vec::new();
        for _ in 0..SOCKETS {
            sockets.push(Arc::new(self.fleet.target.datagrams().await?));
        }
        sleep(ROUND).await;
        let rounds = (self.arguments.seconds / ROUND.as_secs_f64()).ceil().max(3.0) as u64;
        let (mut active, mut all) = (Duration::ZERO, Work::default());
        let mut server = Duration::ZERO;
        let meter = self.meter()?;
        for round in 0..rounds {
            let datagrams = datagrams(round);
            let begun = Instant::now();
            let before = self.server.cpu()?;
            let share = datagrams.len().div_ceil(SOCKETS).max(1);
            let senders = datagrams.chunks(share).zip(&sockets).map(|(own, socket)| {
                let (own, socket) = (own.to_vec(), socket.clone());
                tokio::spawn(async move {
                    let mut work = Work::default();
                    let mut buffer = [0; 512];
                    for window in own.chunks(WINDOW) {
                        let begun = Instant::now();
                        for (_, datagram) in window {
                            socket.send(datagram.as_bytes()).await?;
                        }
                        for (wanted, _) in window {
                            let Ok(size) = timeout(ROUND, socket.recv(&mut buffer)).await else { break };
                            let came = buffer.get(..size?).unwrap_or_default();
                            if came != wanted {
                                return Err(format!("{:?} came", String::from_utf8_lossy(came)).into());
                            }
                            work.operations += 1;
                        }
                        work.times.since(begun);
                    }
                    Outcome::Ok(work)
                })
            });
            for sender in senders.collect::<Vec<_>>() {
                all.add(sender.await??);
            }
            active += begun.elapsed();
            server += self.server.cpu()?.since(before);
            // Since the last of them: each was answered at its own time.
            sleep(ROUND).await;
        }
        let sent = count as u64 * rounds;
        let lost = sent.saturating_sub(all.operations);
        if lost * 100 > sent {
            return Err(format!("{lost} of {sent} keep-alives were not answered").into());
        }
        let operations = all.operations as f64;
        let mut figures = self.figures(&meter, count, all)?;
        figures.seconds = active.as_secs_f64();
        figures.per_second = operations / active.as_secs_f64();
        figures.server_cpu_us = server.as_secs_f64() * 1e6 / operations;
        Ok(figures.with("lost", lost).with("times_are_of", WINDOW))
    }

    pub(super) async fn lists(&mut self) -> Outcome<Figures> {
        self.fleet.grow(self.arguments.connections).await?;
        let online = self.fleet.lines.len();
        let (floor, ip) = (self.arguments.floor, self.fleet.target.own_ip());
        let list = self.list_question(online, 0);
        let size = list.size;
        let figures = self.drive(1, move |asker, mut line, end| {
            let list = list.clone();
            async move {
                let mut work = Work::default();
                // The same once more is as right, and to say so takes no longer than to look at the floor's.
                let mut right = Vec::new();
                while Instant::now() < end {
                    let begun = Instant::now();
                    line.send(list.question.as_bytes()).await?;
                    let reply = line.line().await?;
                    work.done(begun);
                    let is_right = match floor {
                        true => reply.len() == list.size,
                        false => {
                            reply == right || words::listed(&reply, asker, online, ip) == Some(online - 1)
                        }
                    };
                    if !is_right {
                        return Err("a list that isn't right".into());
                    }
                    right = reply;
                }
                Ok((line, work))
            }
        });
        Ok(figures.await?.with("bytes", size).with("online", online))
    }

    /// What somebody asks for the list of all others of those who are online.
    pub(super) fn list_question(&self, online: usize, asker: usize) -> ListQuestion {
        let ip = self.fleet.target.own_ip();
        let others = (0..online).filter(|&user| user != asker);
        let size = words::list_size(others, ip);
        let question = match self.arguments.floor {
            true => format!("BYTES {}\n", size - 1).into(),
            false => words::LIST.into(),
        };
        ListQuestion { question, size }
    }
}

/// The line that is nearest to the points: where it begins, and how steep it is. Not from nothing on, so that what the first
/// connections bring beside themselves isn't counted for each.
fn line(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let count = points.len() as f64;
    let sum = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>();
    let (x, y) = (sum(|point| point.0) / count, sum(|point| point.1) / count);
    let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    let slope = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum::<f64>() / spread;
    slope.is_finite().then_some((y - slope * x, slope))
}

/// What comes back for a keep-alive.
fn answer(datagram: &str, floor: bool) -> Vec<u8> {
    if floor { datagram.as_bytes().to_vec() } else { words::KEPT_ALIVE.to_vec() }
}
