//! Requests on a stream: lookups of those online and of those who aren't, joins.

use std::{sync::Arc, time::Instant};

use fastrand::Rng;

use super::{Figures, Load, Work, logins::password_logins};
use crate::{Outcome, client::Line, words};

/// How many connections look up beside something else.
const BESIDE: usize = 16;
/// How many ask for lists meanwhile, or log in.
const ASKERS: usize = 10;
const ROOMS: usize = 8;

/// Texts one after the other, and where each ends.
struct Pages {
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Pages {
    fn new(texts: impl Iterator<Item = String>) -> Self {
        let (mut text, mut ends) = (Vec::new(), vec![0]);
        for page in texts {
            text.extend_from_slice(page.as_bytes());
            ends.push(text.len());
        }
        Self { text, ends }
    }

    fn count(&self) -> usize {
        self.ends.len() - 1
    }

    /// So many of them.
    fn some(&self, first: usize, count: usize) -> &[u8] {
        let end = |page| self.ends.get(page).copied().unwrap_or_default();
        self.text.get(end(first)..end(first + count)).unwrap_or_default()
    }
}

/// What is asked, and what has to be answered.
struct Questions {
    asked: Pages,
    answered: Pages,
    /// How many are on their way at once.
    depth: usize,
}

impl Questions {
    /// Asks, of who comes next in the pages' order from somewhere on, until the time is over.
    async fn ask(&self, mut rng: Rng, line: &mut Line, end: Instant) -> Outcome<Work> {
        let mut work = Work::default();
        while Instant::now() < end {
            let first = rng.usize(0..=self.asked.count() - self.depth);
            let begun = Instant::now();
            line.ask(self.asked.some(first, self.depth), self.answered.some(first, self.depth)).await?;
            work.times.since(begun);
            work.operations += self.depth as u64;
        }
        Ok(work)
    }
}

/// A room that may be there from before, and is then as good.
pub(super) async fn open(line: &mut Line, room: &str) -> Outcome {
    line.send(words::create_room(room).as_bytes()).await?;
    let answer = line.text_line().await?;
    if answer.starts_with("CREATION <") {
        return Ok(());
    }
    Err(format!("{answer:?} answers the creation of a room").into())
}

impl Load {
    pub(super) async fn lookups(&mut self, depth: usize) -> Outcome<Figures> {
        let count = self.arguments.connections;
        self.fleet.grow(count).await?;
        let questions = self.questions(depth);
        self.ask(count, questions).await
    }

    pub(super) async fn offline_lookups(&mut self) -> Outcome<Figures> {
        let count = self.arguments.connections;
        self.fleet.grow(count).await?;
        let users: Vec<_> = (count..self.arguments.accounts).collect();
        let questions = Questions {
            asked: Pages::new(users.iter().map(|&user| words::search(user))),
            answered: Pages::new(users.iter().map(|_| words::NOT_ONLINE.to_owned())),
            depth: 16,
        };
        self.ask(count, questions).await
    }

    /// Lookups of everybody of the fleet.
    fn questions(&self, depth: usize) -> Arc<Questions> {
        let (online, ip) = (0..self.fleet.lines.len(), self.fleet.target.own_ip());
        let asked = Pages::new(online.clone().map(words::search));
        let answered = match self.arguments.floor {
            true => Pages::new(online.map(words::search)),
            false => Pages::new(online.map(|user| words::found(user, ip))),
        };
        Questions { asked, answered, depth }.into()
    }

    async fn ask(&mut self, count: usize, questions: impl Into<Arc<Questions>>) -> Outcome<Figures> {
        let (questions, seed) = (questions.into(), self.arguments.seed);
        self.drive(count, move |user, mut line, end| {
            let (questions, rng) = (questions.clone(), Rng::with_seed(seed + user as u64));
            async move {
                let work = questions.ask(rng, &mut line, end).await?;
                Ok((line, work))
            }
        })
        .await
    }

    pub(super) async fn joins(&mut self) -> Outcome<Figures> {
        let count = self.arguments.connections.max(ROOMS + 1);
        self.fleet.grow(count).await?;
        let room = |n: usize| format!("room {}", n % ROOMS);
        for (n, line) in self.fleet.lines.iter_mut().take(ROOMS).enumerate() {
            open(line, &room(n)).await?;
        }
        // The rooms' owners are members and stay it.
        self.drive(count, move |user, mut line, end| async move {
            let (join, leave) = (words::join(&room(user)), words::leave(user, &room(user)));
            let mut work = Work::default();
            while user >= ROOMS && Instant::now() < end {
                for (question, answer) in [(&join, words::JOINED), (&leave, words::LEFT)] {
                    let begun = Instant::now();
                    line.ask(question.as_bytes(), answer.as_bytes()).await?;
                    work.done(begun);
                }
            }
            Ok((line, work))
        })
        .await
    }

    pub(super) async fn lookups_beside_lists(&mut self) -> Outcome<Figures> {
        self.fleet.grow(self.arguments.connections.max(BESIDE + ASKERS)).await?;
        let list = self.list_question(0);
        let alone = self.beside(BESIDE, |_, line, _| async { Ok((line, Work::default())) }).await?;
        let beside = self.beside(BESIDE + ASKERS, move |asker, mut line, end| {
            let list = list.clone();
            async move {
                let mut work = Work::default();
                while asker < BESIDE + ASKERS && Instant::now() < end {
                    line.send(list.question.as_bytes()).await?;
                    // Who is in it is checked elsewhere: here that would hold the lookups up.
                    let size = line.line().await?.len();
                    if size.abs_diff(list.size) > 64 {
                        return Err(format!("a list of {size} bytes and not {}", list.size).into());
                    }
                    work.operations += 1;
                }
                Ok((line, work))
            }
        });
        let beside = beside.await?;
        Ok(compared(alone, beside))
    }

    pub(super) async fn lookups_beside_logins(&mut self) -> Outcome<Figures> {
        self.fleet.grow(self.arguments.connections.max(BESIDE)).await?;
        let alone = self.beside(BESIDE, |_, line, _| async { Ok((line, Work::default())) }).await?;
        let target = self.fleet.target.clone();
        let users = self.fleet.lines.len()..self.arguments.accounts;
        let end = Instant::now() + self.time();
        let logins = tokio::spawn(async move { password_logins(&target, ASKERS, users, end).await });
        let mut beside = self.beside(BESIDE, |_, line, _| async { Ok((line, Work::default())) }).await?;
        beside.1 += logins.await??.operations;
        Ok(compared(alone, beside))
    }

    /// Lookups on the first connections, and something else on those after them; says how much of that was done.
    async fn beside<F>(
        &mut self,
        size: usize,
        other: impl Fn(usize, Line, Instant) -> F + Clone + Send + 'static,
    ) -> Outcome<(Figures, u64)>
    where
        F: Future<Output = Outcome<(Line, Work)>> + Send + 'static,
    {
        let (questions, seed) = (self.questions(1), self.arguments.seed);
        let meter = self.meter()?;
        let others = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let done = others.clone();
        let work = self.work(size, move |user, mut line, end| {
            let (questions, rng) = (questions.clone(), Rng::with_seed(seed + user as u64));
            let (other, done) = (other.clone(), done.clone());
            async move {
                if user < BESIDE {
                    let work = questions.ask(rng, &mut line, end).await?;
                    return Ok((line, work));
                }
                let (line, work) = other(user, line, end).await?;
                done.fetch_add(work.operations, std::sync::atomic::Ordering::Relaxed);
                Ok((line, Work::default()))
            }
        });
        let work = work.await?;
        let figures = self.figures(&meter, BESIDE, work)?;
        Ok((figures, others.load(std::sync::atomic::Ordering::Relaxed)))
    }
}

fn compared((alone, _): (Figures, u64), (beside, others): (Figures, u64)) -> Figures {
    let seconds = beside.seconds;
    beside
        .with("p50_alone_us", alone.p50_us)
        .with("p99_alone_us", alone.p99_us)
        .with("others_per_second", others as f64 / seconds)
}
