//! The screen's state: what keys and events make of it. It knows no terminal, no socket, no disk and no clock; what is to be
//! done about something it leaves in [`App::poll`].

use std::collections::VecDeque;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use jiff::tz::TimeZone;
use p2pchat_core::proto::{Text, Username};

use super::{
    chat::{Chat, Line, Path, What, quoted, receipts},
    input::{Edit, Input},
    keys::{Deed, Keys},
    local::{self, Local, Typed},
    over::{Outcome, Over},
    talk,
    theme::Theme,
    view::Areas,
};
use crate::{
    archive::{ChatMemory, Entry, EntryId, Level, State},
    command::{self, Command},
    config::Config,
    desk,
    output::Tone,
    report::{Report, Said},
    sanitize,
    target::Target,
    text::Link,
};

/// An answer of more lines lies over the conversation for a while, unless something is being typed that it would get.
const LONG: usize = 6;

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
    /// Who wants to chat, the oldest first.
    pub(super) requests: Vec<String>,
    pub(super) bare: bool,
    pub(super) hide_members: bool,
    /// Nothing draws attention.
    pub(super) quiet: bool,
    /// The user looks at the terminal, as far as it says.
    pub(super) focused: bool,
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

    fn chat_mut(&mut self) -> Option<&mut Chat> {
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
        let order = self.chats.iter().map(|chat| chat.memory.order).max().unwrap_or_default() + 1;
        // Nobody wants to hear of each word in a room, and everybody of each that is theirs alone.
        let level = match target {
            Target::User(_) => Level::All,
            Target::Room(_) => Level::Mentions,
        };
        let memory = ChatMemory { order, level, entered: self.now, ..ChatMemory::default() };
        self.act(Act::Remember(target.clone(), memory.clone()));
        self.act(Act::Load(target.clone(), None));
        self.place(target, memory)
    }

    pub(super) fn position(&self, target: &Target) -> Option<usize> {
        self.chats.iter().position(|chat| chat.target.as_ref() == Some(target))
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
        let width = Areas::of(self).talk.width;
        let rows = |app: &Self| app.chats.get(at).map_or(0, |chat| talk::height(app, chat, width));
        // Whoever reads further up isn't pulled away.
        let before = self.chats.get(at).is_some_and(|chat| chat.up > 0).then(|| rows(self));
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
        let more = before.map_or(0, |before| rows(self).saturating_sub(before));
        let Some(chat) = self.chats.get_mut(at) else { return };
        chat.up += more;
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
        let closed = report.close.and_then(|target| self.position(&target));
        if let Some(chat) = closed.and_then(|at| self.chats.get_mut(at)) {
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
        let draft = self.input.text().to_owned();
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

    /// A key was pressed.
    pub(super) fn key(&mut self, event: &KeyEvent) {
        if self.over.is_some() {
            return self.key_over(event);
        }
        if event.code == KeyCode::Char('c') && event.modifiers == KeyModifiers::CONTROL {
            if self.input.is_empty() {
                let quit = self.keys.name(Deed::Quit);
                return self.say(Tone::Notice, format!("/quit or {quit} leaves"));
            }
            let text = self.input.take();
            return self.input.remember(&text);
        }
        if let Some(deed) = self.keys.find(event) {
            return self.obey(deed);
        }
        if let KeyCode::Char(c) = event.code
            && !event.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT)
        {
            if c == '?' && self.input.is_empty() {
                return self.obey(Deed::Help);
            }
            if !self.input.insert(c) {
                self.say(Tone::Error, "there is no room for more");
            }
        }
    }

    /// A text was pasted, which is one message however many lines it has.
    pub(super) fn paste(&mut self, text: &str) {
        match &mut self.over {
            Some(over) => over.paste(text),
            None if !self.input.paste(text) => self.say(Tone::Error, "that is too long to be pasted"),
            None => {}
        }
    }

    /// The terminal has another size.
    pub(super) fn resize(&mut self, columns: u16, rows: u16) {
        self.size = (columns, rows);
        self.scroll(0);
    }

    /// A place was clicked at: on the list that means a chat.
    pub(super) fn click(&mut self, column: u16, row: u16) {
        let list = Areas::of(self).list;
        if list.contains((column, row).into()) {
            let first = (self.current + 1).saturating_sub(usize::from(list.height));
            self.switch(first + usize::from(row - list.y));
        }
    }

    fn obey(&mut self, deed: Deed) {
        let page = usize::from(Areas::of(self).talk.height.saturating_sub(2).max(1));
        let page = isize::try_from(page).unwrap_or(1);
        match deed {
            Deed::Send => self.send(),
            Deed::NextChat => self.switch((self.current + 1) % self.chats.len()),
            Deed::PreviousChat => self.switch((self.current + self.chats.len() - 1) % self.chats.len()),
            Deed::NextUnread => self.next_unread(),
            Deed::PageUp => self.scroll(page),
            Deed::PageDown => self.scroll(-page),
            Deed::Top => self.scroll(isize::MAX),
            Deed::Bottom => self.scroll(isize::MIN),
            Deed::Older if !self.input.is_at_edge(true) => self.input.vertical(true),
            Deed::Newer if !self.input.is_at_edge(false) => self.input.vertical(false),
            Deed::Older => drop(self.input.recall(true)),
            Deed::Newer => drop(self.input.recall(false)),
            Deed::Complete | Deed::CompleteBack => self.complete(deed == Deed::Complete),
            Deed::Accept => match self.requests.first().cloned() {
                Some(label) => self.act(Act::Run(Command::Accept(Some(label)), None)),
                None => self.say(Tone::Error, "nobody has asked to chat"),
            },
            Deed::Decline => match self.requests.first().cloned() {
                Some(label) => self.act(Act::Decline(Some(label))),
                None => self.say(Tone::Error, "nobody has asked to chat"),
            },
            Deed::Members => self.hide_members = !self.hide_members,
            Deed::Bare => self.bare = !self.bare,
            Deed::Help => self.over = Some(Over::keys(&self.keys)),
            Deed::Search => self.input.set("/search "),
            Deed::Redraw => self.act(Act::Redraw),
            Deed::Close => {
                self.bare = false;
                self.scroll(isize::MIN);
            }
            Deed::Quit if self.input.is_empty() => self.act(Act::Quit),
            Deed::Quit => self.input.edit(Edit::Delete),
            Deed::Edit(edit) => self.input.edit(edit),
        }
    }

    fn key_over(&mut self, event: &KeyEvent) {
        let page = usize::from(self.size.1).saturating_sub(2).max(1);
        let rows = self.over.as_ref().map_or(0, |over| super::view::rows_of(self, over));
        let Some(over) = &mut self.over else { return };
        match over.key(event, page, rows) {
            Outcome::Stays => {}
            Outcome::Closed => {
                if let Some(Over::Secret { .. }) = self.over.take() {
                    self.act(Act::Secret(None));
                }
            }
            Outcome::Chosen(target, id) => {
                self.over = None;
                self.act(Act::Visit(target, id));
            }
            Outcome::Typed(secret) => {
                self.over = None;
                self.act(Act::Secret(Some(secret)));
            }
        }
    }

    /// Moves the conversation by so many rows, up if positive.
    pub(super) fn scroll(&mut self, by: isize) {
        let area = Areas::of(self).talk;
        let Some(chat) = self.chat() else { return };
        let all = talk::height(self, chat, area.width);
        let most = all.saturating_sub(usize::from(area.height));
        let up = chat.up.saturating_add_signed(by).min(most);
        let load =
            (up == most && by > 0 && !chat.complete).then(|| chat.target.clone().zip(Some(chat.oldest())));
        if let Some(chat) = self.chat_mut() {
            chat.up = up;
        }
        if let Some(Some((target, oldest))) = load {
            self.act(Act::Load(target, oldest));
        }
        self.read();
    }

    /// Shows the entry of that number in the chat in front of the user, if it is there.
    pub(super) fn show(&mut self, id: EntryId) -> bool {
        let area = Areas::of(self).talk;
        let Some(chat) = self.chat() else { return false };
        let Some(below) = talk::below(self, chat, area.width, id) else { return false };
        let up = below.saturating_sub(usize::from(area.height) / 2);
        if let Some(chat) = self.chat_mut() {
            chat.up = up;
        }
        self.scroll(0);
        true
    }

    /// The next chat with something unread, those with mentions first.
    fn next_unread(&mut self) {
        let count = self.chats.len();
        let others = || (1..count).map(|step| (self.current + step) % count);
        let has = |at: &usize, what: fn(&Chat) -> usize| self.chats.get(*at).map_or(0, what) > 0;
        let to = others()
            .find(|at| has(at, |chat| chat.mentions))
            .or_else(|| others().find(|at| has(at, |chat| chat.unread)));
        match to {
            Some(to) => self.switch(to),
            None => self.say(Tone::Notice, "all is read"),
        }
    }

    fn complete(&mut self, forward: bool) {
        let is_room = matches!(self.target(), Some(Target::Room(_)));
        let mut names: Vec<String> = self
            .chat()
            .into_iter()
            .flat_map(|chat| chat.members.keys())
            .filter(|name| **name != self.me)
            .map(|name| name.as_str().to_owned())
            .collect();
        let mut rooms = Vec::new();
        for target in self.chats.iter().filter_map(|chat| chat.target.as_ref()) {
            match target {
                Target::User(user) => names.push(user.as_str().to_owned()),
                Target::Room(room) => rooms.push(format!("#{room}")),
            }
        }
        names.dedup();
        let found = self.input.complete(forward, |word, first| {
            let begins =
                |choice: &str| !word.is_empty() && choice.to_lowercase().starts_with(&word.to_lowercase());
            let mut choices: Vec<String> = match word.chars().next() {
                Some('/') if first => local::HELP
                    .iter()
                    .chain(command::HELP)
                    .filter(|help| begins(help.name))
                    .map(|help| format!("{} ", help.name))
                    .collect(),
                Some('#') => rooms.iter().filter(|room| begins(room)).map(|room| quote(room)).collect(),
                _ => {
                    let end = if first && is_room { ": " } else { " " };
                    names
                        .iter()
                        .filter(|name| begins(name))
                        .map(|name| format!("{}{end}", quote(name).trim_end()))
                        .collect()
                }
            };
            choices.dedup();
            choices
        });
        if !found && self.input.is_empty() {
            self.say(Tone::Notice, "/help lists the commands, ? the keys");
        }
    }

    fn send(&mut self) {
        let text = self.input.text().to_owned();
        if text.trim().is_empty() {
            return self.scroll(isize::MIN);
        }
        // What can't be done or sent stays where it was typed.
        match local::parse(&text) {
            Ok(Typed::Shared(Command::Say(said))) => match self.target().cloned() {
                Some(target) => match Text::new(&said) {
                    Ok(_) => self.act(Act::Say(target, said)),
                    Err(problem) => return self.say(Tone::Error, format!("the message {problem}")),
                },
                None => return self.say(Tone::Error, "nothing is open: /chat USER or /join ROOM first"),
            },
            Ok(Typed::Shared(Command::Message { to, text })) => match Target::parse(&to) {
                Ok(target) => self.act(Act::Say(target, text)),
                Err(problem) => return self.say(Tone::Error, problem),
            },
            Ok(Typed::Shared(Command::Switch(to))) => match self.named(&to) {
                Some(at) => {
                    self.sent(&text);
                    return self.switch(at);
                }
                None => return self.say(Tone::Error, format!("{} is not on the list", sanitize::line(&to))),
            },
            Ok(Typed::Shared(Command::Help(name))) => match self.help(name.as_deref()) {
                Ok(over) => self.over = Some(over),
                Err(problem) => return self.say(Tone::Error, problem),
            },
            Ok(Typed::Shared(Command::Quit)) => self.act(Act::Quit),
            Ok(Typed::Shared(Command::Logout)) => self.act(Act::Logout),
            Ok(Typed::Shared(command)) => {
                let target = self.target().cloned();
                self.act(Act::Run(command, target));
            }
            Ok(Typed::Local(command)) => {
                self.sent(&text);
                return self.run(command);
            }
            Err(problem) => return self.say(Tone::Error, problem),
        }
        self.sent(&text);
        self.scroll(isize::MIN);
    }

    /// What was typed is done, and can be recalled.
    fn sent(&mut self, text: &str) {
        self.input.remember(text);
        self.input.set("");
        if let Some(chat) = self.chat_mut() {
            chat.memory.draft.clear();
        }
    }

    /// Which chat is meant by a name, or by its number on the list.
    fn named(&self, name: &str) -> Option<usize> {
        let is = |text: &str| Target::parse(text).ok().and_then(|target| self.position(&target));
        is(name).or_else(|| is(&format!("#{name}")))
    }

    fn help(&self, name: Option<&str>) -> Result<Over, String> {
        Ok(Over::text("Commands", desk::help(local::HELP.iter().chain(command::HELP), name)?))
    }

    fn run(&mut self, command: Local) {
        match command {
            Local::Search(words) => self.act(Act::Search(words)),
            Local::Open(number) => {
                let links = self.chat().map(|chat| chat.links.as_slice()).unwrap_or_default();
                let link = match number {
                    Some(number) => number.checked_sub(1).and_then(|at| links.get(at)),
                    None => links.last(),
                };
                match link.cloned() {
                    Some(link) => self.act(Act::Open(link)),
                    None => self.say(Tone::Error, "there is no such link here"),
                }
            }
            Local::Decline(who) => self.act(Act::Decline(who)),
            Local::Receipts => {
                let lines = self.chat().and_then(|chat| chat.own().next()).map(|(_, entry)| receipts(entry));
                match lines {
                    Some(lines) => self.over = Some(Over::text("Who has it", lines)),
                    None => self.say(Tone::Error, "you have said nothing here"),
                }
            }
            Local::Resend => match self.target().cloned() {
                Some(target) => self.act(Act::Resend(target)),
                None => self.say(Tone::Error, "nothing was said here"),
            },
            Local::Discard => match self.target().cloned() {
                Some(target) => self.act(Act::Discard(target)),
                None => self.say(Tone::Error, "nothing was said here"),
            },
            Local::Level(level) => self.level(level),
            Local::Quiet => {
                self.quiet = !self.quiet;
                let what = if self.quiet {
                    "nothing disturbs you until /dnd is said again"
                } else {
                    "you are told of things again"
                };
                self.say(Tone::Success, what);
            }
            Local::Export { json, path } => match self.target().cloned() {
                Some(target) => self.act(Act::Export { target, json, path }),
                None => self.say(Tone::Error, "which conversation? Go there first"),
            },
            Local::Doctor => self.act(Act::Doctor),
            Local::Keys => self.over = Some(Over::keys(&self.keys)),
            Local::Bare => self.bare = !self.bare,
            Local::Close => self.close(),
        }
    }

    fn level(&mut self, level: Option<Level>) {
        let Some(chat) = self.chat_mut() else { return };
        let Some(target) = chat.target.clone() else {
            return self.say(Tone::Error, "of which chat or room? Go there first");
        };
        if let Some(level) = level {
            chat.memory.level = level;
        }
        let memory = chat.memory.clone();
        let what = match memory.level {
            Level::All => "you are told of all that is said here",
            Level::Mentions => "you are told of mentions here",
            Level::Nothing => "you are told of nothing here",
        };
        self.act(Act::Remember(target, memory));
        self.say(Tone::Success, what);
    }

    /// Takes the chat in front of the user off the list.
    fn close(&mut self) {
        let Some(target) = self.target().cloned() else {
            return self.say(Tone::Error, "this one stays");
        };
        if self.chat().is_some_and(|chat| chat.open) {
            return self.say(Tone::Error, "it is open: /leave first");
        }
        self.switch(self.current.saturating_sub(1));
        self.chats.retain(|chat| chat.target.as_ref() != Some(&target));
        self.act(Act::Forget(target));
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

/// A name as it is written in a command.
fn quote(name: &str) -> String {
    if name.contains(char::is_whitespace) {
        return match name.strip_prefix('#') {
            Some(room) => format!("#\"{room}\" "),
            None => format!("\"{name}\""),
        };
    }
    if name.starts_with('#') { format!("{name} ") } else { name.to_owned() }
}
