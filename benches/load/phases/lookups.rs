//! Requests on a stream: lookups of those online and of those who aren't, joins.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use fastrand::Rng;

use super::{Figures, Load, Work, logins::password_logins, together};
use crate::{Outcome, client::Line, fleet::enter, words};

/// How many connections look up beside something else.
const BESIDE: usize = 16;
/// How many ask for lists meanwhile, or log in.
const ASKERS: usize = 10;
const ROOMS: usize = 8;
/// How long those who ask have to begin with it.
const WARM_UP: Duration = Duration::from_millis(300);

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
        self.fleet.grow(self.arguments.connections.max(BESIDE)).await?;
        let alone = self.beside().await?;
        let mut askers = self.askers()?;
        // Lists before and after don't count, so that there are some all the time.
        tokio::time::sleep(WARM_UP).await;
        let before = askers.lists.load(Ordering::Relaxed);
        let begun = Instant::now();
        let beside = self.beside().await;
        let (lists, seconds) = (askers.lists.load(Ordering::Relaxed) - before, begun.elapsed().as_secs_f64());
        askers.end()?;
        match lists {
            0 => Err("nobody was sent a list".into()),
            _ => Ok(compared(alone, beside?).with("others_per_second", lists as f64 / seconds)),
        }
    }

    /// Ten who ask for lists one after the other, on a thread of their own that gives way to this one: what a generator does
    /// with its lists is nothing that lookups should have to wait for.
    fn askers(&self) -> Outcome<Askers> {
        let users = self.fleet.lines.len()..self.fleet.lines.len() + ASKERS;
        let list = self.list_question(users.end, users.start);
        let target = self.fleet.target.clone();
        let (lists, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, end) = (lists.clone(), ended.clone());
        let ask = move |user| {
            let (target, list, counted, end) = (target.clone(), list.clone(), counted.clone(), end.clone());
            async move {
                let mut line = target.connect().await?;
                enter(&target, &mut line, user).await?;
                while !end.load(Ordering::Relaxed) {
                    line.send(list.question.as_bytes()).await?;
                    // Who is in it is checked elsewhere. Not all askers need be there at first.
                    let size = line.line().await?.len();
                    if size.abs_diff(list.size) > ASKERS * 64 {
                        return Err(format!("a list of {size} bytes and not {}", list.size).into());
                    }
                    counted.fetch_add(1, Ordering::Relaxed);
                }
                line.close().await;
                Ok(Work::default())
            }
        };
        let thread = std::thread::Builder::new().name("askers".into()).spawn(move || {
            give_way().map_err(|error| error.to_string())?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| error.to_string())?;
            runtime
                .block_on(together(ASKERS, |asker| ask(users.start + asker)))
                .map_err(|error| error.to_string())?;
            Ok(())
        })?;
        Ok(Askers { lists, ended, thread: Some(thread) })
    }

    pub(super) async fn lookups_beside_logins(&mut self) -> Outcome<Figures> {
        self.fleet.grow(self.arguments.connections.max(BESIDE)).await?;
        let alone = self.beside().await?;
        let target = self.fleet.target.clone();
        let users = self.fleet.lines.len()..self.arguments.accounts;
        let end = Instant::now() + self.time();
        let logins = tokio::spawn(async move { password_logins(&target, ASKERS, users, end).await });
        let beside = self.beside().await?;
        let others = logins.await??.operations as f64 / beside.seconds;
        Ok(compared(alone, beside).with("others_per_second", others))
    }

    /// Lookups on the first connections, one on its way on each.
    async fn beside(&mut self) -> Outcome<Figures> {
        let questions = self.questions(1);
        self.ask(BESIDE, questions).await
    }
}

/// Those who ask for lists beside something else.
struct Askers {
    /// How many they have had.
    lists: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), String>>>,
}

impl Askers {
    /// Has them stop, and says what went wrong.
    fn end(&mut self) -> Outcome {
        self.ended.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(outcome)) => Ok(outcome?),
            _ => Err("those who ask for lists are gone".into()),
        }
    }
}

/// This thread runs where others leave it room.
fn give_way() -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::nice(19)?;
    Ok(())
}

fn compared(alone: Figures, beside: Figures) -> Figures {
    beside.with("p50_alone_us", alone.p50_us).with("p99_alone_us", alone.p99_us)
}
