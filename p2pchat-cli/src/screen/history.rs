//! The history's file: opened apart from the screen, as it may be long or in use, and put together with what was said before it
//! was there.

use std::{
    collections::BTreeMap,
    mem,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use p2pchat_core::proto::Username;

use super::{Done, PAGE, Screen, app::App};
use crate::{
    archive::{Archive, ArchiveError, ChatMemory, Entry, EntryId, Found, Limits, State},
    args::Address,
    exit::Failure,
    outbox::Outbox,
    output::Tone,
    report::Said,
    session,
    target::Target,
};

/// What isn't kept has numbers above all that a history has.
pub(super) const UNKEPT: EntryId = EntryId::MAX / 2;
/// How soon a history that is in use is tried again.
const AGAIN: Duration = Duration::from_secs(3);
/// A history that takes no longer to be opened is on the first picture.
const AT_ONCE: Duration = Duration::from_millis(500);

/// Which history is wanted.
pub(super) struct Place {
    path: PathBuf,
    limits: Limits,
    /// The user knows that another program has it.
    told: bool,
}

/// The account's history, as far as it can be had.
pub(super) enum History {
    /// It isn't wanted, or can't be used.
    Off,
    Opening,
    /// Another program has it; when it is tried again.
    InUse(Place, Instant),
    /// It is there, and is taken up once nothing else is to be done.
    Opened(Place, Box<Loaded>),
    Open(Arc<Archive>),
}

impl History {
    pub(super) fn archive(&self) -> Option<&Arc<Archive>> {
        match self {
            Self::Open(archive) => Some(archive),
            _ => None,
        }
    }

    /// It will be there in a moment.
    pub(super) fn is_coming(&self) -> bool {
        matches!(self, Self::Opening | Self::Opened(..))
    }

    /// Why it isn't there.
    pub(super) fn absence(&self) -> &'static str {
        match self {
            Self::Off => "nothing is kept of what was said ([history] keep)",
            Self::InUse(..) => "the history is in use by another p2pchat",
            _ => "the history is still being read",
        }
    }
}

/// A chat, and what was said there last.
type Remembered = (Target, ChatMemory, Vec<(EntryId, Entry)>);

/// A history, with what the screen needs of it at first.
pub(super) struct Loaded {
    archive: Arc<Archive>,
    chats: Vec<Remembered>,
    outbox: Vec<Found>,
}

impl Loaded {
    fn read(path: PathBuf, limits: Limits, now: u64) -> Result<Self, ArchiveError> {
        let archive = Archive::open(path, limits)?;
        archive.prune(now)?;
        let with_last = |(target, memory)| {
            let last = archive.last(&target, None, PAGE)?;
            Ok((target, memory, last))
        };
        let chats = archive.chats()?.into_iter().map(with_last).collect::<Result<_, ArchiveError>>()?;
        Ok(Self { chats, outbox: archive.outbox()?, archive: Arc::new(archive) })
    }
}

impl Screen {
    /// Begins to open the history, and waits for it for a moment.
    pub(super) async fn remember(&mut self, registry: &Address, me: &Username) -> Result<(), Failure> {
        let folder = session::data_dir(&self.global)?;
        let history = &self.global.config.history;
        let days = u64::from(history.days);
        let limits = Limits {
            age: (days > 0).then(|| Duration::from_secs(days * 24 * 60 * 60)),
            bytes: u64::from(history.megabytes) << 20,
        };
        self.open_history(Place { path: Archive::path(&folder, registry, me), limits, told: false });
        // Nothing else is under way yet.
        if let Ok(Some(Ok(Some(done)))) = tokio::time::timeout(AT_ONCE, self.tasks.join_next()).await {
            self.done(done);
        }
        Ok(())
    }

    fn open_history(&mut self, place: Place) {
        let now = self.app.now;
        self.history = History::Opening;
        self.tasks.spawn_blocking(move || {
            let read = Loaded::read(place.path.clone(), place.limits, now);
            Some(Done::Opened(place, read.map(Box::new)))
        });
    }

    /// Tries a history again that was in use, if it is time to.
    pub(super) fn reopen_history(&mut self) {
        self.history = match mem::replace(&mut self.history, History::Off) {
            History::InUse(place, again) if Instant::now() >= again => return self.open_history(place),
            history => history,
        };
    }

    /// The history was opened, or wasn't.
    pub(super) fn opened(&mut self, mut place: Place, read: Result<Box<Loaded>, ArchiveError>) {
        let problem = match read {
            Ok(loaded) => {
                self.history = History::Opened(place, loaded);
                return;
            }
            Err(ArchiveError::InUse { .. }) => {
                if !mem::replace(&mut place.told, true) {
                    let text = "the history is in use by another p2pchat; trying again. Until then nothing is kept of what is said, \
                                and what waits is lost when you leave";
                    self.app.note(None, Said::new(Tone::Notice, text));
                }
                self.history = History::InUse(place, Instant::now() + AGAIN);
                return;
            }
            Err(error) => Failure::from(error),
        };
        self.history = History::Off;
        self.without_history(&problem);
    }

    pub(super) fn without_history(&mut self, problem: &Failure) {
        let text = format!("{problem}; nothing is kept of what is said, and what waits is lost at the end");
        self.app.note(None, Said::new(Tone::Error, text));
    }

    /// Takes up a history that was opened, if there is one. Nothing may be left to be done that knows messages by their numbers,
    /// which may be others afterwards.
    pub(super) fn take_up_history(&mut self) -> bool {
        let (place, loaded) = match mem::replace(&mut self.history, History::Off) {
            History::Opened(place, loaded) => (place, loaded),
            history => {
                self.history = history;
                return false;
            }
        };
        self.history = History::Open(loaded.archive.clone());
        match take_up(&mut self.app, &mut self.outbox, *loaded) {
            Ok(given) => {
                self.given = given;
                if place.told {
                    let text = "the history is here now, with what was said meanwhile";
                    self.app.note(None, Said::new(Tone::Success, text));
                }
            }
            Err(error) => {
                let text = format!("what was said until now isn't kept, and is gone when you leave: {error}");
                self.app.note(None, Said::new(Tone::Error, text));
            }
        }
        true
    }

    /// The number that a message has, which had another one before the history was there.
    pub(super) fn number(&self, id: EntryId) -> EntryId {
        self.given.get(&id).copied().unwrap_or(id)
    }
}

/// Puts together what is kept and what was said before that was there, which is kept from now on; which numbers that has got.
fn take_up(
    app: &mut App,
    outbox: &mut Outbox,
    loaded: Loaded,
) -> Result<BTreeMap<EntryId, EntryId>, ArchiveError> {
    let Loaded { archive, chats, outbox: waiting } = loaded;
    let meanwhile: Vec<Target> = app.chats.iter().filter_map(|chat| chat.target.clone()).collect();
    let (numbers, entries) = unkept(app, outbox);
    let known: Vec<Target> = chats.iter().map(|(target, ..)| target.clone()).collect();
    for (target, memory, last) in chats {
        app.rejoin(&target, memory, last);
    }
    for (_, target, _) in &waiting {
        // Nobody has looked at it for as long as it takes to be forgotten from the list.
        app.find(target);
    }
    app.arrange(|target| meanwhile.contains(target) && !known.contains(target));
    for target in meanwhile.iter().filter(|target| !known.contains(target)) {
        // It was taken off the list once.
        let last = archive.last(target, None, PAGE)?;
        if let Some(chat) = app.with_mut(target) {
            chat.prepend(last);
        }
    }
    for (id, target, entry) in waiting {
        if entry.state == State::Waiting {
            outbox.push(&target, id, entry.text);
        }
    }
    let given = match entries.is_empty() {
        true => BTreeMap::new(),
        false => numbers.into_iter().zip(archive.append_all(&entries)?).collect(),
    };
    outbox.renumber(&given);
    app.renumber(&given);
    app.read();
    for chat in &mut app.chats {
        if let Some(target) = chat.target.as_ref().filter(|target| meanwhile.contains(target)) {
            archive.set_chat(target, &chat.memory)?;
            chat.kept = chat.memory.clone();
        }
    }
    Ok(given)
}

/// What was said and isn't kept, in order: on the screen, and what waits in chats that aren't on the list any more.
fn unkept(app: &App, outbox: &Outbox) -> (Vec<EntryId>, Vec<(Target, Entry)>) {
    let mut all = BTreeMap::new();
    for (id, target, text, state) in outbox.all() {
        let entry = Entry::own(app.now, app.me.clone(), text.to_owned(), state);
        all.insert(id, (target.clone(), entry));
    }
    for chat in &app.chats {
        let Some(target) = &chat.target else { continue };
        all.extend(chat.entries().map(|(id, entry)| (id, (target.clone(), entry.clone()))));
    }
    all.into_iter().filter(|(id, _)| *id >= UNKEPT).unzip()
}

impl App {
    /// Takes up what is kept of a chat that may have been on the list without it.
    fn rejoin(&mut self, target: &Target, kept: ChatMemory, last: Vec<(EntryId, Entry)>) {
        let at = self.position(target);
        let before = self.with(target).map(|chat| (chat.memory.clone(), chat.unread, chat.mentions));
        self.restore(target.clone(), kept.clone(), last);
        let (Some(at), Some((ours, unread, mentions))) = (at, before) else { return };
        let is_in_front = at == self.current;
        let draft = match is_in_front {
            true => self.input.draft().to_owned(),
            false => ours.draft,
        };
        let Some(chat) = self.chats.get_mut(at) else { return };
        // What has been read meanwhile comes after what hasn't been before.
        let read = if chat.unread > 0 { kept.read } else { kept.read.max(ours.read) };
        chat.divider = match chat.unread {
            0 => chat.divider.map(|divider| divider.max(kept.read)),
            _ => Some(kept.read),
        };
        (chat.unread, chat.mentions) = (chat.unread + unread, chat.mentions + mentions);
        let level = if ours.level == Self::usual_level(target) { kept.level } else { ours.level };
        let accepted = kept.accepted || ours.accepted;
        let draft = if draft.is_empty() { kept.draft.clone() } else { draft };
        if is_in_front {
            self.input.set(&draft);
        }
        chat.memory = ChatMemory { read, level, accepted, draft, ..kept };
    }

    /// Puts chats in their order, new ones last.
    fn arrange(&mut self, is_new: impl Fn(&Target) -> bool) {
        let is_new = |target: &Option<Target>| target.as_ref().is_some_and(&is_new);
        let (front, mut order) = (self.target().cloned(), 0);
        for chat in self.chats.iter().filter(|chat| !is_new(&chat.target)) {
            order = order.max(chat.memory.order);
        }
        for chat in self.chats.iter_mut().filter(|chat| is_new(&chat.target)) {
            order += 1;
            chat.memory.order = order;
        }
        self.chats.sort_by_key(|chat| chat.target.is_some().then_some(chat.memory.order));
        self.current = front.and_then(|front| self.position(&front)).unwrap_or_default();
    }

    /// Messages have other numbers.
    fn renumber(&mut self, given: &BTreeMap<EntryId, EntryId>) {
        let renumber = |id: &mut EntryId| *id = given.get(id).copied().unwrap_or(*id);
        for chat in &mut self.chats {
            chat.lines.iter_mut().filter_map(|line| line.id.as_mut()).for_each(renumber);
            chat.divider.iter_mut().for_each(renumber);
            renumber(&mut chat.memory.read);
        }
    }
}

#[cfg(test)]
mod tests;
