//! What is done about what was typed.

use p2pchat_core::proto::Text;

use super::{
    app::{Act, App},
    chat::{Chat, receipts},
    local::{self, Local, Typed},
    over::Over,
};
use crate::{
    archive::Level,
    command::{self, Command},
    desk,
    output::Tone,
    sanitize,
    target::Target,
};

/// Of how many messages it is shown who has them.
const RECEIPTS: usize = 5;

impl App {
    pub(super) fn send(&mut self) {
        let text = self.input.text().to_owned();
        if text.trim().is_empty() {
            return self.scroll(isize::MIN);
        }
        // What can't be done or sent stays where it was typed.
        match local::parse(&text) {
            Ok(Typed::Shared(Command::Say(said))) => {
                let target = self.target().cloned();
                let target =
                    target.ok_or_else(|| "nothing is open: /chat USER or /join ROOM first".to_owned());
                if let Err(problem) = self.utter(target, said) {
                    return self.say(Tone::Error, problem);
                }
            }
            Ok(Typed::Shared(Command::Message { to, text })) => {
                if let Err(problem) = self.utter(Target::parse(&to), text) {
                    return self.say(Tone::Error, problem);
                }
            }
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

    /// Has something said that can be.
    fn utter(&mut self, target: Result<Target, String>, text: String) -> Result<(), String> {
        Text::new(&text).map_err(|problem| format!("the message {problem}"))?;
        self.act(Act::Say(target?, text));
        Ok(())
    }

    /// What was typed is done, and can be recalled.
    fn sent(&mut self, text: &str) {
        self.input.remember(text);
        self.input.set("");
        if let Some(chat) = self.chat_mut() {
            chat.memory.draft.clear();
        }
    }

    /// Which chat is meant by a name; a room's may lack its `#`.
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
                let link = self.chat().and_then(|chat| chat.link(number));
                match link.cloned() {
                    Some(link) => self.act(Act::Open(link)),
                    None => self.say(Tone::Error, "there is no such link here"),
                }
            }
            Local::Decline(who) => self.act(Act::Decline(who)),
            Local::Receipts => {
                let own = self.chat().into_iter().flat_map(|chat| chat.own().take(RECEIPTS));
                let mut lines: Vec<_> = own.map(|(_, entry)| receipts(entry)).collect();
                lines.reverse();
                let offline = self.chat().map(Chat::offline).filter(|names| !names.is_empty());
                if let Some(names) = offline.filter(|_| !lines.is_empty()) {
                    lines.push(vec![format!("offline now, whom nothing waits for: {names}").into()]);
                }
                match lines.concat() {
                    lines if lines.is_empty() => self.say(Tone::Error, "you have said nothing here"),
                    lines => self.over = Some(Over::text("Who has what you said", lines)),
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
            Local::Keys => self.over = Some(Over::keys(&self.keys, false)),
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
        let waiting = self.chat().map_or(0, |chat| self.waits(chat));
        if waiting > 0 {
            return self.say(Tone::Error, "something waits here to be sent: /discard gives it up");
        }
        if self.chat().is_some_and(|chat| chat.open) {
            return self.say(Tone::Error, "it is open: /leave first");
        }
        self.switch(self.current.saturating_sub(1));
        self.chats.retain(|chat| chat.target.as_ref() != Some(&target));
        self.act(Act::Forget(target));
    }
}
