//! What the screen reads from the history and writes to it.

use super::{Done, PAGE, Screen, chat::Chat, over::Over};
use crate::{
    archive::{Archive, ArchiveError, Entry, EntryId, Found, GIVEN_UP, State},
    history,
    output::Tone,
    report::{Report, Said},
    sanitize,
    target::Target,
    transfers,
};

/// How many entries a search shows.
const HITS: usize = 200;

impl Screen {
    /// Keeps entries; their numbers.
    pub(super) fn keep_all(&mut self, entries: &[(Target, Entry)]) -> Vec<EntryId> {
        if entries.is_empty() {
            return Vec::new();
        }
        match self.history.archive().map(|archive| archive.append_all(entries)) {
            Some(Ok(ids)) => return ids,
            Some(Err(error)) => {
                let text = format!("what is said isn't kept, and is gone when you leave: {error}");
                self.app.note(entries.first().map(|(target, _)| target), Said::new(Tone::Error, text));
            }
            None => {}
        }
        let first = self.unkept;
        self.unkept += entries.len() as EntryId;
        (first..self.unkept).collect()
    }

    pub(super) fn kept<E: std::fmt::Display>(&mut self, write: impl FnOnce(&Archive) -> Result<(), E>) {
        if let Some(Err(error)) = self.history.archive().map(|archive| write(archive)) {
            self.app.note(None, Said::new(Tone::Error, format!("the history: {error}")));
        }
    }

    pub(super) fn load(&mut self, target: &Target, before: Option<EntryId>) {
        let Some(archive) = self.history.archive() else { return };
        // What is on the screen already was kept before it was shown.
        let chat = self.app.with(target);
        let before = before.or_else(|| chat.and_then(Chat::oldest));
        match archive.last(target, before, PAGE) {
            Ok(entries) => {
                if let Some(chat) = self.app.with_mut(target) {
                    chat.prepend(entries);
                }
            }
            Err(error) => self.app.say(Tone::Error, format!("the history: {error}")),
        }
    }

    /// Looks for words, apart from the screen: of a long history, all is read.
    pub(super) fn search(&mut self, words: String) {
        let Some(archive) = self.history.archive().cloned() else {
            return self.app.say(Tone::Error, self.history.absence());
        };
        self.tasks.spawn_blocking(move || {
            let found = archive.search(&words, None, HITS);
            Some(Done::Found(words, found))
        });
    }

    /// What a search has found.
    pub(super) fn found(&mut self, words: String, found: Result<Vec<Found>, ArchiveError>) {
        match found {
            Ok(hits) if hits.is_empty() => self.app.say(Tone::Notice, "nobody has said that"),
            // What is typed meanwhile isn't meant for it.
            Ok(hits) if self.app.over.is_some() || !self.app.input.is_empty() => {
                let (count, words) = (hits.len(), sanitize::line(&words));
                let text = format!("{count} found with {words}: search again to see them");
                self.app.say(Tone::Success, text);
            }
            Ok(hits) => self.app.over = Some(Over::Hits { words, hits, chosen: 0 }),
            Err(error) => self.app.say(Tone::Error, format!("the history: {error}")),
        }
    }

    pub(super) fn visit(&mut self, target: &Target, id: EntryId) {
        let at = self.app.find(target);
        self.app.switch(at);
        loop {
            let held = self.app.chats.get(at).map(|chat| (chat.oldest(), chat.complete));
            match held {
                Some((Some(oldest), false)) if oldest > id => self.load(target, Some(oldest)),
                Some((None, false)) => self.load(target, None),
                _ => break,
            }
        }
        if !self.app.show(id) {
            self.app.say(Tone::Notice, "that is not kept any more");
        }
    }

    pub(super) fn resend(&mut self, target: &Target) {
        let again = self.app.with(target).map(Chat::unsent).unwrap_or_default();
        if again.is_empty() {
            return self.app.say(Tone::Notice, "nothing failed here");
        }
        for (id, text) in again {
            self.set_state(id, State::Waiting, None);
            self.outbox.push(target, id, text);
        }
    }

    pub(super) fn discard(&mut self, target: &Target) {
        let mut given_up = self.outbox.discard(target);
        let chat = self.app.with(target);
        let unsure = chat.into_iter().flat_map(|chat| chat.own());
        given_up.extend(unsure.filter(|(_, entry)| entry.state == State::Unsure).map(|(id, _)| id));
        for id in &given_up {
            self.set_state(*id, State::Failed(GIVEN_UP.to_owned()), None);
        }
        self.app.say(
            Tone::Success,
            match given_up.len() {
                0 => "nothing waited here".to_owned(),
                1 => "1 message is given up".to_owned(),
                all => format!("{all} messages are given up"),
            },
        );
    }

    /// Writes a conversation to a file, apart from the screen too.
    pub(super) fn export(&mut self, target: Target, json: bool, path: &str) {
        let Some(archive) = self.history.archive().cloned() else {
            return self.app.say(Tone::Error, self.history.absence());
        };
        let path = transfers::path(path);
        self.tasks.spawn_blocking(move || {
            let shown = sanitize::line(&path.display().to_string());
            let said = match history::export(&archive, &target, json, &path) {
                Ok(count) => Said::new(Tone::Success, format!("{count} messages are in {shown}")),
                Err(failure) => Said::new(Tone::Error, failure.to_string()),
            };
            Some(Done::Report(Report::lines([said]), Some(target)))
        });
    }
}
