//! Who comes: handshakes, logins by password and by token, registrations.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use super::{Figures, Load, Work, together};
use crate::{
    Outcome,
    client::{Line, Target},
    words,
};

/// How many users one worker is in turn, so that the one before has surely gone when he comes again.
const TURNS: usize = 16;
/// How many registrations are on their way on a connection.
const REGISTRATIONS: usize = 16;

impl Load {
    /// The floor of every login: TLS, and a line as long as a login's to and fro.
    pub(super) async fn handshakes(&mut self) -> Outcome<Figures> {
        if !self.arguments.floor {
            return Err("a registry has no handshake without a login: it is for the floor".into());
        }
        let (target, end, words) = (self.fleet.target.clone(), Instant::now() + self.time(), words::login(0));
        let count = self.arguments.connections;
        let meter = self.meter()?;
        let work = together(count, |_| {
            let (target, words) = (target.clone(), words.clone());
            async move {
                let mut work = Work::default();
                while Instant::now() < end {
                    let begun = Instant::now();
                    let mut line = target.connect().await?;
                    line.ask(words.as_bytes(), words.as_bytes()).await?;
                    work.done(begun);
                    line.close().await;
                }
                Ok(work)
            }
        })
        .await?;
        self.figures(&meter, count, work)
    }

    pub(super) async fn password_logins(&mut self) -> Outcome<Figures> {
        let (count, first) = (self.arguments.connections, self.fleet.lines.len());
        let meter = self.meter()?;
        let end = Instant::now() + self.time();
        let work = password_logins(&self.fleet.target, count, first..self.arguments.accounts, end).await?;
        self.figures(&meter, count, work)
    }

    pub(super) async fn resume_logins(&mut self) -> Outcome<Figures> {
        let (count, first) = (self.arguments.connections, self.fleet.lines.len());
        let target = self.fleet.target.clone();
        let mut tokens: Vec<Vec<(usize, String)>> = Vec::new();
        for worker in 0..count {
            let users = (0..TURNS).map(|turn| first + worker * TURNS + turn);
            let mut own = Vec::new();
            for user in users {
                let mut line = target.connect().await?;
                own.push((user, enter(&mut line, &words::login(user)).await?));
                line.close().await;
            }
            tokens.push(own);
        }
        let meter = self.meter()?;
        let end = Instant::now() + self.time();
        let mut tokens = tokens.into_iter();
        let workers = tokens.by_ref().map(|mut own| {
            let target = target.clone();
            tokio::spawn(async move {
                let mut work = Work::default();
                for turn in (0..own.len()).cycle() {
                    if Instant::now() >= end {
                        break;
                    }
                    let Some((user, token)) = own.get_mut(turn) else { break };
                    let begun = Instant::now();
                    let mut line = target.connect().await?;
                    *token = enter(&mut line, &words::resume(*user, token)).await?;
                    work.done(begun);
                    line.close().await;
                }
                Outcome::Ok(work)
            })
        });
        let mut all = Work::default();
        for worker in workers.collect::<Vec<_>>() {
            all.add(worker.await??);
        }
        self.figures(&meter, count, all)
    }

    pub(super) async fn registrations(&mut self) -> Outcome<Figures> {
        let count = self.arguments.connections;
        self.fleet.grow(count).await?;
        let run = std::process::id();
        self.drive(count, move |user, mut line, end| async move {
            let answers = words::REGISTERED.repeat(REGISTRATIONS);
            let mut work = Work::default();
            let mut names = (0..).map(|n| format!("r{run}x{user}x{n}"));
            while Instant::now() < end {
                let requests: String =
                    names.by_ref().take(REGISTRATIONS).map(|name| words::register(&name)).collect();
                let begun = Instant::now();
                line.ask(requests.as_bytes(), answers.as_bytes()).await?;
                work.times.since(begun);
                work.operations += REGISTRATIONS as u64;
            }
            Ok((line, work))
        })
        .await
    }
}

/// Logs in by password as one after the other of `users`, with `count` connections at once.
pub(super) async fn password_logins(
    target: &Target,
    count: usize,
    users: std::ops::Range<usize>,
    end: Instant,
) -> Outcome<Work> {
    let next = Arc::new(AtomicUsize::new(0));
    together(count, |_| {
        let (target, next, users) = (target.clone(), next.clone(), users.clone());
        async move {
            let mut work = Work::default();
            while Instant::now() < end {
                let user = users.start + next.fetch_add(1, Ordering::Relaxed) % users.len();
                let begun = Instant::now();
                let mut line = target.connect().await?;
                let words = format!("{}{}", words::HELLO, words::login(user));
                let answer = format!("{}{}", words::WELCOME, words::LOGGED_IN);
                line.ask(words.as_bytes(), answer.as_bytes()).await?;
                work.done(begun);
                line.close().await;
            }
            Ok(work)
        }
    })
    .await
}

/// Comes in, by whatever these words are, and has the token for the next time.
pub(super) async fn enter(line: &mut Line, words: &str) -> Outcome<String> {
    line.send(format!("{}{words}", words::hello_with("resume")).as_bytes()).await?;
    line.expect(words::welcome_with("resume").as_bytes()).await?;
    let answer = line.text_line().await?;
    let token = words::last_field(&answer, "AUTH <SUCCESS> <200> ");
    Ok(token.filter(|token| token.len() == 64).ok_or_else(|| format!("{answer:?} has no token"))?.to_owned())
}
