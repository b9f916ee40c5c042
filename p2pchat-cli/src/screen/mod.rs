//! The full-screen client: its state and picture ([`app`], [`view`]), and here what connects them with the terminal, the
//! registry and the disk.

#![allow(clippy::disallowed_methods)] // a person wants to know when things were said, by the real clock

mod app;
mod came;
mod chat;
mod happened;
mod history;
mod input;
mod kept;
mod keys;
mod local;
mod over;
mod pressed;
mod talk;
mod term;
mod theme;
mod typed;
mod view;
mod welcome;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal as _},
    pin::Pin,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crossterm::event::{Event as Input, KeyEventKind, MouseButton, MouseEventKind};
use futures_util::FutureExt as _;
use jiff::tz::TimeZone;
use p2pchat_core::{
    peer::{BroadcastReport, RequestError},
    proto::Username,
    tokio::Error,
};
use tokio::{task::JoinSet, time::MissedTickBehavior};

use self::{
    app::{Act, App},
    chat::Path,
    history::{History, Loaded, Place, UNKEPT},
    keys::Keys,
    over::Over,
    term::Term,
    theme::Theme,
};
use crate::{
    archive::{ArchiveError, Entry, EntryId, Found, State},
    args::{Check, Global},
    browser,
    command::Command,
    desk::{self, Desk, Next, WithPassword, Work},
    doctor::{self, Finding},
    exit::{Exit, Failure},
    outbox::{Outbox, Step, Trouble},
    output::Tone,
    report::{Report, Said},
    session::{self, Session, Signals},
    show,
    target::Target,
};

/// How much of a conversation is read from the history at once.
const PAGE: usize = 100;
/// How many events are taken before the screen is drawn again; half of what may be held unconfirmed.
const BATCH: usize = 32;
/// How long what is under way may take when the user leaves.
const GOODBYE: Duration = Duration::from_secs(2);
/// For how long the wishes to chat of somebody who was declined are passed over, in milliseconds.
const IGNORED: u64 = 3_600_000;
/// Every how many seconds it is seen whether keep-alives are answered.
const LOOK: u64 = 10;
/// How often what is too old goes from the history.
const PRUNE: Duration = Duration::from_secs(3_600);
/// A clock that goes on by so much more than the time that the program has run was that of a computer asleep.
const SLEPT: u64 = 15_000;

/// How a session ended.
enum End {
    Quit,
    /// Somebody may log in again.
    LoggedOut,
}

/// True if there is a terminal that can show it, and it isn't unwanted.
pub(crate) fn fits(global: &Global) -> bool {
    let is_dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb" || value.is_empty());
    !global.plain && !is_dumb && io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// What is wrong with the keys of a configuration, if anything.
pub(crate) fn key_problem(changes: &BTreeMap<String, String>) -> Option<String> {
    Keys::new(changes).err()
}

/// Runs the client until the user leaves.
pub(crate) async fn run(global: &Global) -> Result<(), Failure> {
    let keys = Keys::new(&global.config.keys).map_err(|problem| Failure::new(Exit::Usage, problem))?;
    // Before the terminal is taken, so that it isn't for nothing.
    let password = session::password(global)?;
    let theme = Theme::new(&global.config, global.color);
    let mut signals = Signals::catch()?;
    let mut term = Term::enter(global.config.screen.mouse)?;
    let mut global = global.clone();
    let mut keys = Some(keys);
    let mut password = password;
    loop {
        let entered = tokio::select! {
            entered = welcome::run(&mut term, &theme, &mut global, password.take()) => entered?,
            () = signals.received() => return Ok(()),
        };
        let Some(entered) = entered else { return Ok(()) };
        let keys = match keys.take() {
            Some(keys) => keys,
            None => Keys::new(&global.config.keys).map_err(|problem| Failure::new(Exit::Usage, problem))?,
        };
        let mut screen = Screen::new(&global, entered, theme.clone(), keys).await?;
        let ended = screen.run(&mut term, &mut signals).await;
        screen.session.end().await;
        match ended? {
            End::Quit => return Ok(()),
            End::LoggedOut => {}
        }
    }
}

/// What came of something that was begun.
enum Done {
    Report(Report, Option<Target>),
    Asked(Username, Result<(), Error>),
    Sent(EntryId, Target, Result<(), Error>),
    Told(EntryId, Target, Result<BroadcastReport, Error>),
    Opened(Place, Result<Box<Loaded>, ArchiveError>),
    Found(String, Result<Vec<Found>, ArchiveError>),
    /// How many keep-alives in a row had no answer.
    Unanswered(u32),
}

struct Screen {
    app: App,
    global: Global,
    session: Session,
    desk: Desk,
    history: History,
    outbox: Outbox,
    tasks: JoinSet<Option<Done>>,
    /// What was done at once.
    done: Vec<Done>,
    /// What a password is asked for, and where the command was given.
    secret: Option<(WithPassword, Option<Target>)>,
    /// The number of the next entry that isn't kept.
    unkept: EntryId,
    /// Which numbers messages have got that weren't kept before.
    given: BTreeMap<EntryId, EntryId>,
    logged_out: bool,
}

impl Screen {
    async fn new(global: &Global, session: Session, theme: Theme, keys: Keys) -> Result<Self, Failure> {
        let me = session.peer.username().ok_or_else(|| Failure::new(Exit::Login, "not logged in"))?;
        let desk = Desk::new(session.peer.clone(), true);
        let zone = TimeZone::system();
        let mut app = App::new(me.clone(), global.config.clone(), theme, keys, zone);
        app.now = now();
        let mut screen = Self {
            app,
            global: global.clone(),
            session,
            desk,
            history: History::Off,
            outbox: Outbox::default(),
            tasks: JoinSet::new(),
            done: Vec::new(),
            secret: None,
            unkept: UNKEPT,
            given: BTreeMap::new(),
            logged_out: false,
        };
        screen.greet();
        let keep = global.config.history.keep;
        if let Some(registry) = global.registry.as_ref().filter(|_| keep)
            && let Err(failure) = screen.remember(registry, &me).await
        {
            screen.without_history(&failure);
        }
        Ok(screen)
    }

    /// What to do next, for somebody who has never been here.
    fn greet(&mut self) {
        let me = show::name(&self.app.me);
        self.app.note(None, Said::new(Tone::Success, format!("logged in as {me}")));
        for line in [
            "/who lists who is online, /chat USER asks somebody to chat",
            "/rooms lists the rooms, /join ROOM enters one, /create ROOM opens one",
            "/help lists all commands, ? the keys; /quit leaves",
        ] {
            self.app.note(None, Said::from(line));
        }
    }

    async fn run(&mut self, term: &mut Term, signals: &mut Signals) -> Result<End, Failure> {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (started, begun) = (Instant::now(), now());
        let (mut drift, mut pruned, mut seconds) = (0_u64, started, 0_u64);
        loop {
            if let Some(end) = self.settle(term) {
                self.app.leave();
                self.linger(term).await;
                return Ok(end);
            }
            self.app.requests = self.desk.requests.labels();
            let app = &self.app;
            let links = app.theme.links;
            let mut size = app.size;
            term.draw(|frame| {
                size = (frame.area().width, frame.area().height);
                if size == app.size {
                    view::draw(app, frame, links);
                }
            })?;
            if size != self.app.size {
                self.app.resize(size.0, size.1);
                continue;
            }
            tokio::select! {
                () = signals.received() => self.app.act(Act::Quit),
                input = term.next() => match input {
                    Some(input) => self.input(input),
                    None => self.app.act(Act::Quit),
                },
                // What is said now is kept first.
                held = self.session.next_held(), if !self.history.is_coming() => {
                    // What comes in a rush is written and drawn once.
                    let mut rush = vec![held];
                    while rush.len() < BATCH && rush.last().is_some_and(Option::is_some) {
                        let Some(held) = self.session.next_held().now_or_never() else { break };
                        rush.push(held);
                    }
                    self.take_all(rush);
                }
                Some(done) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    // A task that was cut off has nothing to tell.
                    if let Some(done) = done.unwrap_or_default() {
                        self.done(done);
                    }
                }
                _ = second.tick() => {
                    let ran = begun + u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                    let ahead = now().saturating_sub(ran);
                    if ahead > drift + SLEPT {
                        self.app.slept(ahead - drift);
                    }
                    drift = ahead;
                    self.outbox.tick(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
                    self.app.remember();
                    self.reopen_history();
                    self.app.tick();
                    seconds += 1;
                    if seconds % LOOK == 0 {
                        self.look();
                    }
                    if pruned.elapsed() >= PRUNE {
                        pruned = Instant::now();
                        let now = self.app.now;
                        self.kept(|archive| archive.prune(now).map(drop));
                    }
                }
            }
            self.app.now = now();
        }
    }

    /// Whoever says goodbye and leaves wants the goodbye to arrive.
    async fn linger(&mut self, term: &mut Term) {
        let deadline = tokio::time::sleep(GOODBYE);
        let mut deadline = std::pin::pin!(deadline);
        loop {
            self.settle(term);
            let is_kept = self.unkept == UNKEPT || !self.history.is_coming();
            if self.logged_out || is_kept && !self.outbox.is_sending() {
                return;
            }
            tokio::select! {
                () = &mut deadline => return,
                held = self.session.next_held() => self.take_all(vec![held]),
                Some(Ok(Some(done))) = self.tasks.join_next() => self.done(done),
            }
        }
    }

    fn input(&mut self, input: Input) {
        match input {
            Input::Key(key) if key.kind != KeyEventKind::Release => self.app.key(&key),
            Input::Paste(text) => self.app.paste(&text),
            Input::Resize(columns, rows) => self.app.resize(columns, rows),
            Input::FocusGained => {
                self.app.focused = true;
                self.app.read();
            }
            Input::FocusLost => self.app.focused = false,
            Input::Mouse(mouse) => match mouse.kind {
                MouseEventKind::ScrollUp => self.app.scroll(3),
                MouseEventKind::ScrollDown => self.app.scroll(-3),
                MouseEventKind::Down(MouseButton::Left) => self.app.click(mouse.column, mouse.row),
                _ => {}
            },
            Input::Key(_) => {}
        }
    }

    /// Does all that is to be done; how the session ends, if it does.
    fn settle(&mut self, term: &mut Term) -> Option<End> {
        loop {
            while let Some(done) = self.done.pop() {
                self.done(done);
            }
            if let Some(step) = self.outbox.poll() {
                self.step(step);
                continue;
            }
            match self.app.poll() {
                Some(Act::Quit) => return Some(End::Quit),
                Some(Act::Logout) => return Some(End::LoggedOut),
                Some(Act::Redraw) => term.forget(),
                Some(Act::Notify(what)) => term.notify(self.app.config.notify.by, &what),
                Some(act) => self.act(act),
                None if self.take_up_history() => {}
                None if self.logged_out && self.app.over.is_none() => return Some(End::LoggedOut),
                None => return None,
            }
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Run(Command::Chat(user), _) => match Username::new(&user) {
                Ok(user) => {
                    self.app.ignored.remove(&show::name(&user));
                    let at = self.app.find(&Target::User(user.clone()));
                    self.app.switch(at);
                    self.outbox.ask(&user);
                }
                Err(problem) => self.app.say(Tone::Error, format!("a username {problem}")),
            },
            Act::Run(command, open) => self.start(command, open),
            Act::Say(target, text) => self.say(&target, text),
            Act::Remember(target, memory) => self.kept(|archive| archive.set_chat(&target, &memory)),
            Act::Forget(target) => self.kept(|archive| archive.forget_chat(&target)),
            Act::Load(target, before) => self.load(&target, before),
            Act::Search(words) => self.search(words),
            Act::Visit(target, id) => self.visit(&target, id),
            Act::Open(link) => {
                if let Err(failure) = browser::open(&self.app.config.browser.open, &link) {
                    self.app.say(Tone::Error, failure.to_string());
                } else {
                    self.app.say(Tone::Success, format!("opened {}", link.target()));
                }
            }
            Act::Resend(target) => self.resend(&target),
            Act::Discard(target) => self.discard(&target),
            Act::Decline(who) => match self.desk.requests.take(who.as_deref()) {
                // They hear nothing, as if nobody were here.
                Ok(pending) => {
                    self.app.say(Tone::Success, format!("{} isn't answered, for an hour", pending.label));
                    self.app.ignored.insert(pending.label, self.app.now + IGNORED);
                }
                Err(problem) => self.app.say(Tone::Error, problem),
            },
            Act::Secret(given) => {
                if let (Some((then, about)), Some(given)) = (self.secret.take(), given) {
                    self.work(then(given), about);
                }
            }
            Act::Mark(target, text) => self.mark(&target, text),
            Act::Export { target, json, path } => self.export(target, json, &path),
            Act::Doctor => self.doctor(),
            // Done where the terminal is at hand.
            Act::Redraw | Act::Notify(_) | Act::Quit | Act::Logout => {}
        }
    }

    fn start(&mut self, command: Command, open: Option<Target>) {
        let announced = desk::announced(&command);
        match self.desk.start(command, open.as_ref()) {
            Next::Shown(lines) => {
                for said in lines {
                    self.app.note(open.as_ref(), said);
                }
            }
            Next::Work(work) => {
                if let Some(line) = announced {
                    self.app.note(open.as_ref(), Said::from(line));
                }
                self.work(work, open);
            }
            Next::Password { prompt, then } => {
                self.secret = Some((then, open));
                let prompt = prompt.trim_end_matches([' ', ':']).to_owned();
                self.app.over = Some(Over::password(prompt));
            }
            // The screen has done it itself.
            Next::Face(_) => {}
        }
    }

    fn work(&mut self, work: Work, about: Option<Target>) {
        self.begin(async move { Done::Report(work.await, about) });
    }

    /// Begins something at once, so that what is begun later comes after it, and goes on with it apart from all else.
    fn begin(&mut self, work: impl Future<Output = Done> + Send + 'static) {
        let mut work: Pin<Box<dyn Future<Output = Done> + Send>> = Box::pin(work);
        match work.as_mut().now_or_never() {
            Some(done) => self.done.push(done),
            None => drop(self.tasks.spawn(work.map(Some))),
        }
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Report(report, about) => self.app.report(report, about.as_ref()),
            Done::Asked(user, Ok(())) => self.outbox.asked(&user, Ok(())),
            Done::Asked(user, Err(error)) => {
                let trouble = Trouble::of_asking(&error);
                let (Trouble::Later(why) | Trouble::Unsure(why) | Trouble::Never(why)) = &trouble;
                let target = Target::User(user.clone());
                if !self.outbox.is_open(&target) {
                    self.app.path(&user, Path::Unreachable(why.clone()));
                }
                let waits = matches!(trouble, Trouble::Later(_)) && self.outbox.waits(&target);
                let more = if waits { "; what you said waits until they can be reached" } else { "" };
                if self.outbox.is_news(&target, why) {
                    let text = format!("{}: {why}{more}", show::name(&user));
                    self.app.note(Some(&target), Said::new(Tone::Notice, text));
                }
                self.outbox.asked(&user, Err(trouble));
            }
            Done::Unanswered(count) => self.app.unanswered(count),
            Done::Sent(id, target, outcome) => {
                let id = self.number(id);
                if let (Target::User(user), Err(Error::Request(error))) = (&target, &outcome) {
                    self.doubt(user, error, id);
                }
                self.outbox.sent(&target, id, outcome.map_err(|error| Trouble::of_sending(&error)));
            }
            Done::Told(id, target, Ok(report)) => {
                let id = self.number(id);
                report.failed.iter().for_each(|(who, error)| self.doubt(who, error, id));
                let receivers = receivers(&report);
                let why = match receivers.is_empty() {
                    true => "nobody else was online here",
                    false => "nobody has it; /receipts says why",
                };
                self.app.state(id, State::Sending, Some(receivers));
                let doubtful = |(_, why): &(_, RequestError)| matches!(why, RequestError::Doubtful { .. });
                let outcome = match report.delivered.is_empty() {
                    true if report.failed.iter().any(doubtful) => Err(Trouble::Unsure(why.to_owned())),
                    true => Err(Trouble::Never(why.to_owned())),
                    false => Ok(()),
                };
                self.outbox.sent(&target, id, outcome);
            }
            Done::Told(id, target, Err(error)) => {
                let id = self.number(id);
                self.outbox.sent(&target, id, Err(Trouble::of_sending(&error)));
            }
            Done::Opened(place, read) => self.opened(place, read),
            Done::Found(words, found) => self.found(words, found),
        }
    }

    /// Keeps in mind how it is told that a message has arrived after all.
    fn doubt(&mut self, with: &Username, error: &RequestError, id: EntryId) {
        if let RequestError::Doubtful { id: Some(number), .. } = error {
            self.outbox.doubt(with, *number, id);
        }
    }

    fn step(&mut self, step: Step) {
        let peer = self.session.peer.clone();
        match step {
            Step::Ask(user) => {
                self.app.path(&user, Path::Connecting);
                self.begin(async move {
                    let asked = peer.chat(user.as_str()).await;
                    Done::Asked(user, asked)
                });
            }
            Step::Send { id, target: Target::User(user), text } => self.begin(async move {
                let sent = peer.send(user.as_str(), &text).await;
                Done::Sent(id, Target::User(user), sent)
            }),
            Step::Send { id, target: Target::Room(room), text } => self.begin(async move {
                let told = peer.broadcast(room.as_str(), &text).await;
                Done::Told(id, Target::Room(room), told)
            }),
            Step::State { id, state } => self.set_state(id, state, None),
        }
    }

    fn set_state(&mut self, id: EntryId, state: State, receivers: Option<Vec<(Username, State)>>) {
        let known = self.app.entry(id).map(|entry| (entry.state == state, entry.receivers.clone()));
        // It was written down so.
        if receivers.is_none() && known.as_ref().is_some_and(|(is_same, _)| *is_same) {
            return;
        }
        let told = receivers.as_ref().or(known.as_ref().map(|(_, receivers)| receivers));
        let told = told.filter(|told| !told.is_empty()).cloned();
        self.kept(|archive| archive.set_state(id, &state, told.as_deref()));
        self.app.state(id, state, receivers);
    }

    fn say(&mut self, target: &Target, text: String) {
        // What goes out at once is written down once as doing so.
        let state = if self.outbox.is_open(target) { State::Sending } else { State::Waiting };
        let entry = Entry::own(now(), self.app.me.clone(), text.clone(), state);
        let Some(id) = self.keep_all(&[(target.clone(), entry.clone())]).pop() else { return };
        self.app.said(target, id, entry);
        if let Target::Room(_) = target
            && !self.outbox.is_open(target)
        {
            let text = format!("you are not in {0}: this waits until you are; /join {0}", target.shown());
            self.app.note(Some(target), Said::new(Tone::Notice, text));
        }
        self.outbox.push(target, id, text);
    }

    /// A note of the program's that stays.
    fn mark(&mut self, target: &Target, text: String) {
        let entry = Entry::note(now(), text);
        let Some(id) = self.keep_all(&[(target.clone(), entry.clone())]).pop() else { return };
        if let Some(chat) = self.app.with_mut(target) {
            chat.push(id, entry);
        }
    }

    /// Sees whether the registry hears that one is there.
    fn look(&mut self) {
        let peer = self.session.peer.clone();
        self.begin(
            async move { Done::Unanswered(peer.status().await.map_or(0, |status| status.unanswered)) },
        );
    }

    /// Looks at this session's own links.
    fn doctor(&mut self) {
        let (global, peer) = (self.global.clone(), self.session.peer.clone());
        let about = self.app.target().cloned();
        self.app.say(Tone::Notice, "looking at the registry and at how others reach you …");
        self.begin(async move {
            let check = Check { with: None, timeout: Duration::ZERO, no_login: false, json: false };
            let findings = doctor::run(&global, &check, Some(&peer), &mut |_| {}).await;
            Done::Report(Report::lines(findings.iter().map(Finding::said)), about)
        });
    }
}

/// Who of a room has a message, and who hasn't.
fn receivers(report: &BroadcastReport) -> Vec<(Username, State)> {
    let delivered = report.delivered.iter().map(|who| (who.clone(), State::Delivered));
    let failed =
        report.failed.iter().filter(|(_, why)| *why.cause() != RequestError::Blocked).map(|(who, why)| {
            match why {
                RequestError::Doubtful { .. } => (who.clone(), State::Unsure),
                why => (who.clone(), State::Failed(why.to_string())),
            }
        });
    delivered.chain(failed).collect()
}

/// In milliseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
