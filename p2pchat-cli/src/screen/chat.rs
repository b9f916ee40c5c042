//! A conversation on the screen: what was said in it, and what is known of it.

use std::{
    cell::Cell,
    collections::{BTreeMap, VecDeque},
};

use p2pchat_core::proto::Username;

use crate::{
    archive::{ChatMemory, Entry, EntryId, GIVEN_UP, State},
    report::Said,
    show,
    target::Target,
    text::{self, Link, Marked, Span, Style},
};

/// How many lines of a conversation are held; older ones are read again when they are looked for.
const LINES: usize = 2_000;

/// Of how many links one can be opened.
const LINKS: usize = 1_000;

/// What stands in a conversation.
pub(super) enum What {
    /// Somebody said something.
    Said { entry: Entry, marked: Marked },
    /// The program says something.
    Note(Said),
}

/// One of them.
pub(super) struct Line {
    /// Notes that are not kept have none.
    pub(super) id: Option<EntryId>,
    /// When, in milliseconds since 1970.
    pub(super) at: u64,
    pub(super) what: What,
    /// How many rows it has, as far as that was counted: at which width, bare or not.
    pub(super) rows: Cell<Option<(u16, bool, usize)>>,
}

/// The way to the other one of a chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Path {
    /// Nothing is open, and nothing is looked for.
    Closed,
    Connecting,
    Direct {
        secured: bool,
    },
    /// It is lost, and looked for again.
    Interrupted(String),
    Unreachable(String),
}

/// A chat or a room; without a target, the program's own notes.
pub(super) struct Chat {
    pub(super) target: Option<Target>,
    pub(super) lines: VecDeque<Line>,
    /// The links in them with their numbers, those that came last.
    links: VecDeque<(usize, Link)>,
    /// How many links there were.
    numbered: usize,
    pub(super) unread: usize,
    pub(super) mentions: usize,
    pub(super) memory: ChatMemory,
    /// What of it is on disk.
    pub(super) kept: ChatMemory,
    pub(super) path: Path,
    /// What is said in it is encrypted, as was told when it opened.
    pub(super) secured: bool,
    /// A room's members, and whether they are online.
    pub(super) members: BTreeMap<Username, bool>,
    /// Text can go there: one is in the room, or the chat is open.
    pub(super) open: bool,
    /// How many rows further up than its end it is shown.
    pub(super) up: usize,
    /// Nothing older is kept.
    pub(super) complete: bool,
    /// Behind which entry the new ones began when it was last looked at.
    pub(super) divider: Option<EntryId>,
}

impl Chat {
    pub(super) fn new(target: Option<Target>, memory: ChatMemory) -> Self {
        Self {
            target,
            lines: VecDeque::new(),
            links: VecDeque::new(),
            numbered: 0,
            unread: 0,
            mentions: 0,
            kept: memory.clone(),
            memory,
            path: Path::Closed,
            secured: false,
            members: BTreeMap::new(),
            open: false,
            up: 0,
            complete: false,
            divider: None,
        }
    }

    pub(super) fn name(&self) -> String {
        self.target.as_ref().map_or_else(|| "p2pchat".to_owned(), Target::shown)
    }

    /// Adds what comes after all others.
    pub(super) fn push(&mut self, id: EntryId, entry: Entry) {
        let line = self.line(id, entry);
        self.append(line);
    }

    pub(super) fn note(&mut self, at: u64, said: Said) {
        self.append(Line { id: None, at, what: What::Note(said), rows: Cell::new(None) });
    }

    /// Puts older entries before all others.
    pub(super) fn prepend(&mut self, entries: Vec<(EntryId, Entry)>) {
        self.complete = entries.is_empty();
        for (id, entry) in entries.into_iter().rev() {
            let line = self.line(id, entry);
            self.lines.push_front(line);
        }
    }

    /// The entry of that number.
    pub(super) fn entry_mut(&mut self, id: EntryId) -> Option<&mut Entry> {
        let line = self.lines.iter_mut().rev().find(|line| line.id == Some(id))?;
        line.rows.set(None);
        match &mut line.what {
            What::Said { entry, .. } => Some(entry),
            What::Note(_) => None,
        }
    }

    pub(super) fn entry(&self, id: EntryId) -> Option<&Entry> {
        let line = self.lines.iter().rev().find(|line| line.id == Some(id))?;
        match &line.what {
            What::Said { entry, .. } => Some(entry),
            What::Note(_) => None,
        }
    }

    /// What was said, by number.
    pub(super) fn entries(&self) -> impl Iterator<Item = (EntryId, &Entry)> {
        self.lines.iter().filter_map(|line| match (&line.what, line.id) {
            (What::Said { entry, .. }, Some(id)) => Some((id, entry)),
            _ => None,
        })
    }

    /// What the user has said, the newest first.
    pub(super) fn own(&self) -> impl Iterator<Item = (EntryId, &Entry)> {
        self.lines.iter().rev().filter_map(|line| match (&line.what, line.id) {
            (What::Said { entry, .. }, Some(id)) if entry.own => Some((id, entry)),
            _ => None,
        })
    }

    /// What failed or may not have arrived, the oldest first, and isn't given up.
    pub(super) fn unsent(&self) -> Vec<(EntryId, String)> {
        let is_unsent = |entry: &Entry| match &entry.state {
            State::Failed(why) => why != GIVEN_UP,
            state => *state == State::Unsure,
        };
        let mut unsent: Vec<_> = self
            .own()
            .filter(|(_, entry)| is_unsent(entry))
            .map(|(id, entry)| (id, entry.text.clone()))
            .collect();
        unsent.reverse();
        unsent
    }

    /// Who of a room is known to be offline.
    pub(super) fn offline(&self) -> String {
        show::names(self.members.iter().filter(|(_, online)| !**online).map(|(who, _)| who))
    }

    /// The oldest that is held, of those that are kept.
    pub(super) fn oldest(&self) -> Option<EntryId> {
        self.lines.iter().find_map(|line| line.id)
    }

    /// The link of that number; without one the newest.
    pub(super) fn link(&self, number: Option<usize>) -> Option<&Link> {
        match number {
            Some(number) => self.links.iter().find(|(other, _)| number == *other).map(|(_, link)| link),
            None => self.lines.iter().rev().find_map(|line| match &line.what {
                What::Said { marked, .. } => marked.links.last(),
                What::Note(_) => None,
            }),
        }
    }

    pub(super) fn newest(&self) -> Option<EntryId> {
        self.lines.iter().rev().find_map(|line| line.id)
    }

    fn append(&mut self, line: Line) {
        // Whoever reads further up isn't pulled away, unless a flood comes.
        if self.lines.len() >= if self.up == 0 { LINES } else { 2 * LINES } {
            self.lines.pop_front();
            self.complete = false;
        }
        self.lines.push_back(line);
    }

    fn line(&mut self, id: EntryId, entry: Entry) -> Line {
        let mut marked = text::parse(&entry.text);
        // The number stands behind the last piece of a link.
        for block in &mut marked.blocks {
            let mut spans = Vec::with_capacity(block.spans.len());
            let mut pieces = std::mem::take(&mut block.spans).into_iter().peekable();
            while let Some(span) = pieces.next() {
                let link = span.link;
                spans.push(span);
                let goes_on = pieces.peek().is_some_and(|next| next.link == link);
                if let Some(link) = link.filter(|_| !goes_on) {
                    let number = self.numbered + link + 1;
                    let style = Style { code: true, ..Style::default() };
                    spans.push(Span { text: format!("[{number}]"), style, link: None });
                }
            }
            block.spans = spans;
        }
        for link in &marked.links {
            self.numbered += 1;
            self.links.push_back((self.numbered, link.clone()));
        }
        self.links.drain(..self.links.len().saturating_sub(LINKS));
        Line { id: Some(id), at: entry.at, what: What::Said { entry, marked }, rows: Cell::new(None) }
    }
}

/// What is known of a message's way, in words, a line for each receiver.
pub(super) fn receipts(entry: &Entry) -> Vec<Said> {
    let mut lines = vec![Said::from(format!("{}: {}", quoted(&entry.text), words(&entry.state)))];
    for (who, state) in &entry.receivers {
        lines.push(format!("    {}: {}", show::name(who), words(state)).into());
    }
    lines
}

/// The beginning of a message.
pub(super) fn quoted(text: &str) -> String {
    const LETTERS: usize = 40;
    let line = crate::sanitize::line(text);
    match line.char_indices().nth(LETTERS) {
        Some((at, _)) => format!("“{}…”", line.get(..at).unwrap_or_default()),
        None => format!("“{line}”"),
    }
}

/// What has become of a message.
pub(super) fn words(state: &State) -> String {
    match state {
        State::Received => "received".to_owned(),
        State::Waiting => "waiting: it goes out when they can be reached".to_owned(),
        State::Sending => "on its way".to_owned(),
        State::Delivered => "delivered".to_owned(),
        State::Failed(why) => format!("failed: {}", crate::sanitize::line(why)),
        State::Unsure => "may have arrived, or not; /resend sends it again".to_owned(),
    }
}
