//! What keys and the mouse make of the screen's state.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{
    app::{Act, App},
    chat::Chat,
    input::Edit,
    keys::Deed,
    local,
    over::{Outcome, Over},
    talk,
    view::{self, Areas},
};
use crate::{
    archive::EntryId,
    command::{self, Command},
    output::Tone,
    target::Target,
};

impl App {
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
                self.over = Some(Over::keys(&self.keys, true));
                return;
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
                Some((label, _)) => self.act(Act::Run(Command::Accept(Some(label)), None)),
                None => self.say(Tone::Error, "nobody has asked to chat"),
            },
            Deed::Decline => match self.requests.first().cloned() {
                Some((label, _)) => self.act(Act::Decline(Some(label))),
                None => self.say(Tone::Error, "nobody has asked to chat"),
            },
            Deed::Members => self.hide_members = !self.hide_members,
            Deed::Bare => self.bare = !self.bare,
            Deed::Help => self.over = Some(Over::keys(&self.keys, false)),
            Deed::Search => self.over = Some(Over::words()),
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
        let rows = self.over.as_ref().map_or(0, |over| view::rows_of(self, over));
        if let (Some(Over::Text { asked: true, .. }), KeyCode::Char(c)) = (&self.over, event.code)
            && !matches!(c, '?' | 'q' | ' ')
            && !event.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT)
        {
            // It was the beginning of a message.
            self.over = None;
            for c in ['?', c] {
                self.input.insert(c);
            }
            return;
        }
        let Some(over) = &mut self.over else { return };
        match over.key(event, page, rows) {
            Outcome::Stays => {}
            Outcome::Closed => {
                if let Some(Over::Typed { secret: true, .. }) = self.over.take() {
                    self.act(Act::Secret(None));
                }
            }
            Outcome::Chosen(target, id) => {
                self.over = None;
                self.act(Act::Visit(target, id));
            }
            Outcome::Typed(typed) => match self.over.take() {
                Some(Over::Typed { secret: true, .. }) => self.act(Act::Secret(Some(typed))),
                _ if typed.trim().is_empty() => {}
                _ => self.act(Act::Search(typed)),
            },
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
