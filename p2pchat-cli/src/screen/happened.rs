//! What events make of the screen's state.

use p2pchat_core::{
    peer::Event,
    proto::{RoomName, Username},
};

use super::{
    app::{Act, App, Registry},
    chat::{Chat, Path},
};
use crate::{output::Tone, report::Said, sanitize, show, target::Target};

/// How long the registry may be gone without a mark in rooms, in milliseconds: what is said there meanwhile comes all the same.
const GAP: u64 = 5_000;

/// After how many keep-alives without an answer the user is told.
const UNHEARD: u32 = 2;
/// How many members of a room are shown that have gone offline.
const OFFLINE: usize = 100;

impl App {
    /// Something has happened that isn't a message.
    pub(super) fn happened(&mut self, event: &Event) {
        match event {
            Event::Disconnected { reason, .. } => {
                let since = match self.registry {
                    Registry::Lost { since, .. } => since,
                    _ => self.now,
                };
                self.registry = Registry::Lost { since, why: sanitize::line(reason) };
            }
            Event::Connected => {}
            Event::Reconnected | Event::Unparked => self.back(),
            Event::Parked => self.registry = Registry::Parked,
            Event::LoggedOut { reason, .. } => {
                self.registry = Registry::LoggedOut(sanitize::line(reason));
                for chat in &mut self.chats {
                    (chat.open, chat.path) = (false, Path::Closed);
                }
            }
            Event::ChatRequested { from, addr, .. } if self.config.notify.request => {
                let who = from.as_ref().map_or_else(|| addr.to_string(), show::name);
                self.notify(format!("{who} wants to chat"));
            }
            Event::ChatOpened { with: Some(user), secured } => {
                let at = self.find(&Target::User(user.clone()));
                if let Some(chat) = self.chats.get_mut(at) {
                    (chat.open, chat.path) = (true, Path::Direct { secured: *secured });
                    chat.secured = *secured;
                }
            }
            Event::ChatInterrupted { with, reason } => {
                self.path(with, Path::Interrupted(sanitize::line(reason)));
            }
            Event::ChatResumed { with } => self.path(with, Path::Direct { secured: true }),
            Event::ChatClosed { with: Some(user), .. } => {
                if let Some(chat) = self.user(user) {
                    (chat.open, chat.path) = (false, Path::Closed);
                }
            }
            Event::RoomEntered { room, members } => {
                let at = self.find(&Target::Room(room.clone()));
                if let Some(chat) = self.chats.get_mut(at) {
                    chat.open = true;
                    chat.members.clear();
                    chat.members.extend(members.iter().map(|member| (member.clone(), true)));
                }
            }
            Event::MemberOnline { room, username } => {
                if let Some(chat) = self.room(room) {
                    chat.members.insert(username.clone(), true);
                }
            }
            Event::MemberLeft { room, username } | Event::PutOut { room, username, .. } => {
                let is_me = self.me == *username;
                if let Some(chat) = self.room(room) {
                    chat.members.remove(username);
                    if is_me {
                        chat.open = false;
                        chat.members.clear();
                    }
                }
            }
            Event::MemberOffline { username, rooms } => {
                for room in rooms {
                    let Some(chat) = self.room(room) else { continue };
                    // Whether they are members still is not told of those who are offline.
                    if chat.members.values().filter(|online| !**online).count() < OFFLINE {
                        chat.members.insert(username.clone(), false);
                    } else {
                        chat.members.remove(username);
                    }
                }
            }
            _ => {}
        }
        self.tell(event);
    }

    /// Says what has happened wherever it belongs.
    fn tell(&mut self, event: &Event) {
        let Some((tone, text)) = show::notice(event) else { return };
        // The wish itself is shown above what is typed as long as it waits.
        let said = Said::new(tone, text);
        for target in places(event) {
            let target = target.filter(|target| self.position(target).is_some());
            self.note(target.as_ref(), said.clone());
        }
    }

    /// The registry is back.
    fn back(&mut self) {
        if let Registry::Lost { since, .. } = self.registry
            && self.now.saturating_sub(since) >= GAP
        {
            let (from, to) = (super::talk::time(self, since), super::talk::time(self, self.now));
            let text =
                format!("no registry from {from} to {to}: who came and went meanwhile is not told here");
            let targets = self.chats.iter().filter_map(|chat| chat.target.clone());
            let rooms: Vec<_> = targets.filter(|target| matches!(target, Target::Room(_))).collect();
            for room in rooms {
                self.act(Act::Mark(room, text.clone()));
            }
        }
        self.registry = Registry::Online;
    }

    /// So many keep-alives in a row had no answer.
    pub(super) fn unanswered(&mut self, count: u32) {
        if count >= UNHEARD && !self.unheard {
            let text = "the registry doesn't answer keep-alives: their UDP port is another one than is used, or something \
                        drops them, and others will see you go offline and come back; /doctor says more";
            self.note(None, Said::new(Tone::Error, text));
        }
        self.unheard = count >= UNHEARD;
    }

    /// This machine has slept for so many milliseconds.
    pub(super) fn slept(&mut self, millis: u64) {
        let minutes = (millis / 60_000).max(1);
        let text = format!(
            "this computer slept for about {minutes} min, or its clock was set: what was said meanwhile may be missing"
        );
        for at in 0..self.chats.len() {
            if let Some(chat) = self.chats.get_mut(at).filter(|chat| chat.open) {
                chat.note(self.now, Said::new(Tone::Notice, text.clone()));
            }
        }
    }

    pub(super) fn path(&mut self, user: &Username, path: Path) {
        if let Some(chat) = self.user(user) {
            chat.path = path;
        }
    }

    fn user(&mut self, user: &Username) -> Option<&mut Chat> {
        self.with_mut(&Target::User(user.clone()))
    }

    fn room(&mut self, room: &RoomName) -> Option<&mut Chat> {
        self.with_mut(&Target::Room(room.clone()))
    }
}

/// Where an event is told; the program's own notes are `None`.
fn places(event: &Event) -> Vec<Option<Target>> {
    let user = |user: &Username| vec![Some(Target::User(user.clone()))];
    match event {
        Event::ChatOpened { with: Some(with), .. }
        | Event::ChatClosed { with: Some(with), .. }
        | Event::ChatInterrupted { with, .. }
        | Event::ChatResumed { with } => user(with),
        Event::Missed { from, .. } | Event::FileWithdrawn { from, .. } => user(from),
        Event::KeyChanged { user: who, .. } => vec![Some(Target::User(who.clone())), None],
        Event::RoomEntered { room, .. }
        | Event::MemberOnline { room, .. }
        | Event::MemberLeft { room, .. }
        | Event::PutOut { room, .. }
        | Event::RoomChanged { room, .. } => vec![Some(Target::Room(room.clone()))],
        Event::MemberOffline { rooms, .. } => {
            rooms.iter().map(|room| Some(Target::Room(room.clone()))).collect()
        }
        _ => vec![None],
    }
}
