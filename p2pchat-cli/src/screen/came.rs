//! What the screen does about what others say and do.

use p2pchat_core::{
    peer::{Event, Place},
    proto::Username,
    tokio::Held,
};

use super::{Done, Screen, app::Act, now, over::Over};
use crate::{
    archive::{Entry, State},
    config::Accept,
    output::{Paint, Tone},
    report::{self, Report, Said},
    sanitize, show,
    target::Target,
    transfers,
};

impl Screen {
    /// Takes what has happened. What was said is kept before whoever said it hears that it arrived.
    pub(super) fn take_all(&mut self, rush: Vec<Option<Held>>) {
        let (mut entries, mut said) = (Vec::new(), Vec::new());
        for held in rush {
            let Some(held) = held else {
                self.logged_out = true;
                break;
            };
            if let Some(entry) = self.entry(held.event()) {
                entries.push(entry);
                said.push(held);
                continue;
            }
            self.heard(std::mem::take(&mut entries), std::mem::take(&mut said));
            self.take(held.confirm());
        }
        self.heard(entries, said);
    }

    fn heard(&mut self, entries: Vec<(Target, Entry)>, said: Vec<Held>) {
        let ids = self.keep_all(&entries);
        said.into_iter().for_each(|held| drop(held.confirm()));
        for ((target, entry), id) in entries.into_iter().zip(ids) {
            self.app.said(&target, id, entry);
        }
    }

    /// Something has happened that isn't a message.
    fn take(&mut self, event: Event) {
        self.desk.note(&event);
        if let Some(lines) = self.desk.files.note(&event, transfers::EVERY) {
            self.app.note(with_whom(&event).as_ref(), Said::new(Tone::Notice, lines));
        }
        if let Event::Broadcast { room: None, .. } = &event
            && let Some(line) = show::event(&event, Paint::none())
        {
            // Whose program can't say where, of several rooms.
            self.app.note(None, Said::from(line));
        }
        match &event {
            Event::ChatRequested { request, from, addr, secured } => {
                let label = self.desk.requests.add(*request, from.clone(), *addr, *secured);
                let ignored = self.app.ignored.get(&label).is_some_and(|until| *until > self.app.now);
                if ignored {
                    drop(self.desk.requests.take(Some(&label)));
                    return;
                }
                let known = from.as_ref().is_some_and(|from| self.is_accepted(from)) && *secured;
                let accepted = match self.app.config.screen.accept {
                    Accept::All => true,
                    Accept::Known => known,
                    Accept::Ask => false,
                };
                if accepted {
                    // Nobody is pulled away from what they do.
                    let pending = self.desk.requests.take(Some(&label));
                    let peer = self.session.peer.clone();
                    if let Ok(pending) = pending {
                        let accepting = report::accept(peer, pending);
                        self.begin(
                            async move { Done::Report(Report { open: None, ..accepting.await }, None) },
                        );
                    }
                    return;
                }
            }
            Event::ChatOpened { with: Some(user), secured } => {
                let target = Target::User(user.clone());
                let at = self.app.find(&target);
                if let Some(chat) = self.app.chats.get_mut(at).filter(|_| *secured) {
                    chat.memory.accepted = true;
                    let memory = chat.memory.clone();
                    self.app.act(Act::Remember(target.clone(), memory));
                }
                self.outbox.open(&target, true);
            }
            Event::ChatResumed { with } => self.outbox.open(&Target::User(with.clone()), true),
            Event::ChatInterrupted { with, .. } => self.outbox.interrupted(&Target::User(with.clone())),
            Event::ChatClosed { with, .. } => {
                let asked = self.desk.requests.withdraw(with.as_ref());
                if let Some(with) = with {
                    let target = Target::User(with.clone());
                    self.outbox.open(&target, false);
                    let chat = self.app.with(&target);
                    if !chat.is_some_and(|chat| chat.open) {
                        // There was no more than a wish.
                        if asked {
                            let text = format!("{} doesn't ask to chat any more", show::name(with));
                            self.app.note(None, Said::new(Tone::Notice, text));
                        }
                        return;
                    }
                }
            }
            Event::RoomEntered { room, members } => {
                self.outbox.open(&Target::Room(room.clone()), true);
                members.iter().for_each(|member| self.seen(member));
            }
            Event::MemberOnline { username, .. } => self.seen(username),
            Event::MemberLeft { room, username } | Event::PutOut { room, username, .. }
                if *username == self.app.me =>
            {
                self.outbox.open(&Target::Room(room.clone()), false);
            }
            Event::Arrived { with, id, .. } => self.arrived(with, *id),
            Event::LoggedOut { reason, .. } => {
                self.logged_out = true;
                self.outbox.logged_out();
                let lines = vec![
                    Said::new(Tone::Error, sanitize::line(reason)),
                    Said::from("What waits is kept, and goes out once you are logged in again."),
                ];
                self.app.over = Some(Over::text("Logged out", lines));
            }
            _ => {}
        }
        self.app.happened(&event);
    }

    /// What may not have arrived has.
    fn arrived(&mut self, with: &Username, number: u64) {
        let Some(id) = self.outbox.arrived(with, number) else { return };
        let mut receivers = self.app.entry(id).map(|entry| entry.receivers.clone()).unwrap_or_default();
        if let Some((_, state)) = receivers.iter_mut().find(|(who, _)| who == with) {
            *state = State::Delivered;
        }
        self.set_state(id, State::Delivered, Some(receivers));
    }

    /// Somebody is there; whoever waits for them needn't any longer.
    fn seen(&mut self, user: &Username) {
        if self.outbox.waits(&Target::User(user.clone())) {
            self.outbox.seen(user);
        }
    }

    fn is_accepted(&self, user: &Username) -> bool {
        self.app.with(&Target::User(user.clone())).is_some_and(|chat| chat.memory.accepted)
    }

    /// A message, and where it belongs.
    fn entry(&self, event: &Event) -> Option<(Target, Entry)> {
        let is_late = |place: &Option<Place>| place.is_some_and(|place| place.late);
        let (target, from, text, secured, late) = match event {
            Event::Message { from, text, place, .. } => {
                let target = Target::User(from.clone());
                let chat = self.app.with(&target);
                let secured = chat.is_some_and(|chat| chat.secured);
                (target, from, text, secured, is_late(place))
            }
            Event::Broadcast { room: Some(room), from, text, place, secured, .. } => {
                (Target::Room(room.clone()), from, text, *secured, is_late(place))
            }
            _ => return None,
        };
        let said = Entry::note(now(), text.as_str().to_owned());
        let entry = Entry { from: Some(from.clone()), secured, late, ..said };
        Some((target, entry))
    }
}

/// Who has to do with a file.
fn with_whom(event: &Event) -> Option<Target> {
    match event {
        Event::FileOffered { from, .. } => Some(Target::User(from.clone())),
        Event::FileProgress { with, .. } => Some(Target::User(with.clone())),
        _ => None,
    }
}
