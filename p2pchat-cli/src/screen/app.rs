//! The screen's state: what keys and events make of it. It knows no terminal, no socket, no disk and no clock; what is to be
//! done about something it leaves in [`App::poll`].

use std::collections::{BTreeMap, VecDeque};

use jiff::tz::TimeZone;
use p2pchat_core::proto::Username;

use super::{
    chat::{Chat, Line, Path, What, quoted},
    input::Input,
    keys::Keys,
    over::Over,
    talk,
    theme::Theme,
    view::Areas,
};
use crate::{
    archive::{ChatMemory, Entry, EntryId, Level, State},
    command::Command,
    config::Config,
    output::Tone,
    report::{Report, Said},
    target::Target,
    text::Link,
};

/// An answer of more lines lies over the conversation for a while, unless something is being typed that it would get.
const LONG: usize = 6;

/// So many chats are on the list; of more, the oldest that are over go.
const CHATS: usize = 500;

/// How long it is silent after each notification, in milliseconds.
const CALM: u64 = 1_000;

/// Something for others to do.
#[derive(Debug, PartialEq)]
pub(super) enum Act {
    /// To be done as at a prompt, with what was open.
    Run(Command, Option<Target>),
    /// To be said.
    Say(Target, String),
    /// What is remembered of a chat has changed.
    Remember(Target, ChatMemory),
    /// Nothing is to be remembered of a chat any more.
    Forget(Target),
    /// Older entries are looked for.
    Load(Target, Option<EntryId>),
    Search(String),
    /// What is said around an entry, and that it is shown.
    Visit(Target, EntryId),
    Open(Link),
    Notify(String),
    Resend(Target),
    Discard(Target),
    Decline(Option<String>),
    /// To be noted in a chat for good.
    Mark(Target, String),
    /// A password that was asked for; none if the user didn't give it.
    Secret(Option<String>),
    Export {
        target: Target,
        json: bool,
        path: String,
    },
    Doctor,
    Redraw,
    Logout,
    Quit,
}

/// The link to the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Registry {
    Online,
    Parked,
    Lost {
        /// When, in milliseconds since 1970.
        since: u64,
        why: String,
    },
    LoggedOut(String),
}

pub(super) struct App {
    pub(super) me: Username,
    pub(super) config: Config,
    pub(super) theme: Theme,
    pub(super) keys: Keys,
    pub(super) zone: TimeZone,
    /// Of the terminal, in columns and rows.
    pub(super) size: (u16, u16),
    /// In milliseconds since 1970.
    pub(super) now: u64,
    pub(super) registry: Registry,
    /// The first is the program's own.
    pub(super) chats: Vec<Chat>,
    pub(super) current: usize,
    pub(super) input: Input,
    pub(super) over: Option<Over>,
    /// Who wants to chat, the oldest first, and whether they have proven who they are.
    pub(super) requests: Vec<(String, bool)>,
    /// Until when wishes to chat are passed over, and whose.
    pub(super) ignored: BTreeMap<String, u64>,
    pub(super) bare: bool,
    pub(super) hide_members: bool,
    /// Nothing draws attention.
    pub(super) quiet: bool,
    /// The user looks at the terminal, as far as it says.
    pub(super) focused: bool,
    /// The registry doesn't hear that the user is there.
    pub(super) unheard: bool,
    /// When the user's attention was drawn to something last.
    told: u64,
    /// What it is to be drawn to next.
    call: Option<String>,
    acts: VecDeque<Act>,
}

impl App {
    pub(super) fn new(me: Username, config: Config, theme: Theme, keys: Keys, zone: TimeZone) -> Self {
        Self {
            me,
            config,
            theme,
            keys,
            zone,
            size: (80, 24),
            now: 0,
            registry: Registry::Online,
            chats: vec![Chat::new(None, ChatMemory::default())],
            current: 0,
            input: Input::default(),
            over: None,
            requests: Vec::new(),
            ignored: BTreeMap::new(),
            unheard: false,
            told: 0,
            call: None,
            bare: false,
            hide_members: false,
            quiet: false,
            focused: true,
            acts: VecDeque::new(),
        }
    }

    /// What is to be done next, if anything.
    pub(super) fn poll(&mut self) -> Option<Act> {
        self.acts.pop_front()
    }

    pub(super) fn act(&mut self, act: Act) {
        self.acts.push_back(act);
    }

    /// The chat in front of the user.
    pub(super) fn chat(&self) -> Option<&Chat> {
        self.chats.get(self.current)
    }

    pub(super) fn chat_mut(&mut self) -> Option<&mut Chat> {
        self.chats.get_mut(self.current)
    }

    pub(super) fn target(&self) -> Option<&Target> {
        self.chat().and_then(|chat| chat.target.as_ref())
    }

    /// Takes up what is remembered of a chat, and what was said there last.
    pub(super) fn restore(&mut self, target: Target, memory: ChatMemory, last: Vec<(EntryId, Entry)>) {
        let read = memory.read;
        let new = |(id, entry): &&(EntryId, Entry)| *id > read && !entry.own && entry.from.is_some();
        let unread: Vec<_> = last.iter().filter(new).collect();
        let mentions = match target {
            Target::User(_) => unread.len(),
            Target::Room(_) => unread.iter().filter(|(_, entry)| self.is_mention(&entry.text)).count(),
        };
        let unread = unread.len();
        let at = self.place(&target, memory);
        if let Some(chat) = self.chats.get_mut(at) {
            chat.prepend(last);
            (chat.unread, chat.mentions) = (unread, mentions);
        }
    }

    /// Where a chat is, which is made if there is none. New ones come last, so that the order stays.
    pub(super) fn find(&mut self, target: &Target) -> usize {
        if let Some(at) = self.position(target) {
            return at;
        }
        if self.chats.len() >= CHATS {
            self.make_room();
        }
        let order = self.chats.iter().map(|chat| chat.memory.order).max().unwrap_or_default() + 1;
        let level = Self::usual_level(target);
        let memory = ChatMemory { order, level, entered: self.now, ..ChatMemory::default() };
        self.act(Act::Remember(target.clone(), memory.clone()));
        self.act(Act::Load(target.clone(), None));
        self.place(target, memory)
    }

    /// Nobody wants to hear of each word in a room, and everybody of each that is theirs alone.
    pub(super) fn usual_level(target: &Target) -> Level {
        match target {
            Target::User(_) => Level::All,
            Target::Room(_) => Level::Mentions,
        }
    }

    /// Takes the oldest chat off the list that is over, and in which nothing waits.
    fn make_room(&mut self) {
        let current = self.current;
        let can_go = |(at, chat): &(usize, &Chat)| {
            *at > 0 && *at != current && !chat.open && chat.mentions == 0 && self.waits(chat) == 0
        };
        let Some(at) = self.chats.iter().enumerate().find(can_go).map(|(at, _)| at) else { return };
        let gone = self.chats.remove(at);
        if at < self.current {
            self.current -= 1;
        }
        if let Some(target) = gone.target {
            self.act(Act::Forget(target));
        }
    }

    pub(super) fn position(&self, target: &Target) -> Option<usize> {
        self.chats.iter().position(|chat| chat.target.as_ref() == Some(target))
    }

    /// The chat with somebody, or in a room.
    pub(super) fn with(&self, target: &Target) -> Option<&Chat> {
        self.position(target).and_then(|at| self.chats.get(at))
    }

    pub(super) fn with_mut(&mut self, target: &Target) -> Option<&mut Chat> {
        self.position(target).and_then(|at| self.chats.get_mut(at))
    }

    fn place(&mut self, target: &Target, memory: ChatMemory) -> usize {
        match self.position(target) {
            Some(at) => at,
            None => {
                self.chats.push(Chat::new(Some(target.clone()), memory));
                self.chats.len() - 1
            }
        }
    }

    /// Somebody said something; it is kept under that number.
    pub(super) fn said(&mut self, target: &Target, id: EntryId, entry: Entry) {
        let at = self.find(target);
        let is_direct = matches!(target, Target::User(_));
        let mention = !entry.own && (is_direct || self.is_mention(&entry.text));
        let seen = at == self.current && self.focused;
        let from = entry.from.as_ref().map(crate::show::name).unwrap_or_default();
        let (own, words) = (entry.own, quoted(&entry.text));
        let Some(chat) = self.chats.get_mut(at) else { return };
        chat.push(id, entry);
        let at_end = chat.up == 0;
        if own {
            (chat.up, chat.divider) = (0, None);
            chat.memory.read = id;
            return;
        }
        if seen && at_end {
            chat.memory.read = id;
        } else {
            if chat.unread == 0 {
                chat.divider = Some(chat.memory.read);
            }
            chat.unread += 1;
            chat.mentions += usize::from(mention);
        }
        if !at_end {
            // Whoever reads further up isn't pulled away.
            let width = Areas::of(self).talk.width;
            let more = self.chats.get(at).map_or(0, |chat| talk::last(self, chat, width));
            let Some(chat) = self.chats.get_mut(at) else { return };
            chat.up += more;
        }
        let Some(chat) = self.chats.get_mut(at) else { return };
        let level = chat.memory.level;
        let wanted = match (level, is_direct) {
            (Level::Nothing, _) => false,
            (_, true) => self.config.notify.direct,
            (Level::All, false) => true,
            (Level::Mentions, false) => self.config.notify.mention && mention,
        };
        if wanted && !(seen && at_end) {
            let place = if is_direct { String::new() } else { format!(" in {}", target.shown()) };
            self.notify(format!("{from}{place}: {words}"));
        }
    }

    /// Draws the user's attention to something, unless they want none.
    pub(super) fn notify(&mut self, what: String) {
        if !self.quiet {
            self.call = Some(what);
            self.tick();
        }
    }

    /// Time has passed.
    pub(super) fn tick(&mut self) {
        // A flood is no reason for a siren: the last of several is told after a while.
        if self.now.saturating_sub(self.told) >= CALM
            && let Some(what) = self.call.take()
        {
            self.told = self.now;
            self.act(Act::Notify(what));
        }
    }

    /// True if a text is about the user.
    pub(super) fn is_mention(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        let words =
            std::iter::once(self.me.as_str()).chain(self.config.notify.words.iter().map(String::as_str));
        words.map(str::to_lowercase).filter(|word| !word.is_empty()).any(|word| {
            text.match_indices(&word).any(|(at, _)| {
                let before = text.get(..at).and_then(|text| text.chars().next_back());
                let after = text.get(at + word.len()..).and_then(|text| text.chars().next());
                !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
            })
        })
    }

    /// An entry on the screen.
    pub(super) fn entry(&self, id: EntryId) -> Option<&Entry> {
        self.chats.iter().find_map(|chat| chat.entry(id))
    }

    /// Something has become of a message.
    pub(super) fn state(&mut self, id: EntryId, state: State, receivers: Option<Vec<(Username, State)>>) {
        if let Some(entry) = self.chats.iter_mut().find_map(|chat| chat.entry_mut(id)) {
            entry.state = state;
            if let Some(receivers) = receivers {
                entry.receivers = receivers;
            }
        }
    }

    /// The program says something where a command was given, or in a chat that it is about.
    pub(super) fn note(&mut self, target: Option<&Target>, said: impl Into<Said>) {
        let at = target.and_then(|target| self.position(target)).unwrap_or_default();
        let now = self.now;
        if let Some(chat) = self.chats.get_mut(at) {
            chat.note(now, said.into());
        }
    }

    /// The same in front of the user.
    pub(super) fn say(&mut self, tone: Tone, text: impl Into<String>) {
        let target = self.target().cloned();
        self.note(target.as_ref(), Said::new(tone, text));
    }

    /// What came of a command that was given in `about`.
    pub(super) fn report(&mut self, report: Report, about: Option<&Target>) {
        // What came of it is told where it leads.
        let about = report.open.as_ref().or(about);
        if let Some(target) = &report.open {
            self.find(target);
        }
        if report.lines.len() > LONG && self.input.is_empty() && self.over.is_none() {
            self.over = Some(Over::text("Answer", report.lines));
        } else {
            for said in report.lines {
                self.note(about, said);
            }
        }
        if let Some(chat) = report.close.and_then(|target| self.with_mut(&target)) {
            (chat.open, chat.path) = (false, Path::Closed);
        }
        if let Some(target) = report.open {
            let at = self.find(&target);
            self.switch(at);
        }
    }

    /// Shows another chat.
    pub(super) fn switch(&mut self, to: usize) {
        if to >= self.chats.len() || to == self.current {
            return;
        }
        self.leave();
        self.current = to;
        if let Some(chat) = self.chats.get_mut(to) {
            if chat.unread > 0 {
                chat.divider = Some(chat.memory.read);
            }
            let draft = chat.memory.draft.clone();
            self.input.set(&draft);
        }
        self.read();
    }

    /// Keeps what was typed and how far was read, before another chat or nothing is shown.
    pub(super) fn leave(&mut self) {
        self.read();
        self.remember();
        if let Some(chat) = self.chat_mut() {
            chat.divider = None;
        }
    }

    /// Keeps what was typed and how far was read, so that no end of the program, however sudden, takes it away.
    pub(super) fn remember(&mut self) {
        let draft = self.input.draft().to_owned();
        let Some(chat) = self.chat_mut() else { return };
        chat.memory.draft = draft;
        let Some(target) = chat.target.clone().filter(|_| chat.kept != chat.memory) else { return };
        chat.kept = chat.memory.clone();
        let memory = chat.memory.clone();
        self.act(Act::Remember(target, memory));
    }

    /// All of the chat in front of the user is read, if its end is shown.
    pub(super) fn read(&mut self) {
        let focused = self.focused;
        let Some(chat) = self.chat_mut() else { return };
        if chat.up == 0 && focused {
            (chat.unread, chat.mentions) = (0, 0);
            if let Some(newest) = chat.newest() {
                chat.memory.read = newest;
            }
        }
    }

    /// True if anything in a chat is still to be sent.
    pub(super) fn waits(&self, chat: &Chat) -> usize {
        let is_open = |line: &&Line| match &line.what {
            What::Said { entry, .. } => entry.own && entry.state.is_open(),
            What::Note(_) => false,
        };
        chat.lines.iter().filter(is_open).count()
    }
}
