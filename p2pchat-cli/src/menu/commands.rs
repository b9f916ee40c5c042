//! The line mode's commands at the menus: for what has no number there, and because notices name them.

use std::time::Duration;

use tokio::time;

use super::{Menu, Partner};
use crate::{
    command::{self, Command, HELP},
    desk::{self, Next},
    output::Tone,
    report::{self, Report, Said},
    sign_in::{self, Answered, Left},
    target::Target,
};

/// How long a conversation's next prompt waits for what follows from a command.
const SETTLE: Duration = Duration::from_millis(100);

/// The commands for files, keys and blocking, which have no numbers.
const FURTHER: [&str; 9] =
    ["/send", "/files", "/take", "/stop", "/verify", "/trust", "/block", "/unblock", "/blocked"];

impl Menu<'_> {
    /// What there is for files, keys and blocking.
    pub(super) fn list_commands(&self) {
        self.console.out.line("To be typed here or where you chat; /help lists all commands.");
        self.show(&desk::usages(HELP.iter().filter(|help| FURTHER.contains(&help.name))));
    }

    /// Does what a line says that starts with a slash.
    pub(super) async fn obey(&mut self, line: &str) -> Answered<()> {
        let command = match command::parse(line) {
            Ok(command) => command,
            Err(problem) => {
                self.console.out.say(Tone::Error, &problem);
                return Ok(());
            }
        };
        let command = match command {
            Command::Accept(who) => {
                match self.desk.requests.take(who.as_deref()) {
                    Ok(pending) => self.answer_request(pending, true).await,
                    Err(problem) => self.console.out.say(Tone::Error, &problem),
                }
                return Ok(());
            }
            // The conversation would stand still until they answer.
            Command::Chat(_) if self.partner.is_some() => {
                self.console.out.say(Tone::Error, "You are in a conversation: /leave first");
                return Ok(());
            }
            Command::Leave(None) if self.partner.is_some() => {
                self.hang_up().await;
                return Ok(());
            }
            command => command,
        };
        let announced = desk::announced(&command);
        let is_file = matches!(command, Command::SendFile { .. } | Command::Take { .. });
        match self.desk.start(command, self.target().as_ref()) {
            Next::Shown(lines) => self.show(&lines),
            Next::Work(work) => {
                if let Some(line) = announced {
                    self.console.out.line(&line);
                }
                if is_file {
                    self.tasks.spawn(work);
                } else {
                    self.finish(work).await;
                }
            }
            Next::Password { prompt, then } => {
                let password = sign_in::ask_password(self.console, prompt).await?;
                self.finish(then(password)).await;
            }
            Next::Face(command) => return self.face(command).await,
        }
        Ok(())
    }

    async fn face(&mut self, command: Command) -> Answered<()> {
        match command {
            Command::Say(text) if self.partner.is_some() => self.send(&text).await,
            Command::Message { to, text } => match Target::parse(&to) {
                Ok(target) => {
                    self.finish(report::say(self.desk.peer.clone(), target, text)).await;
                }
                Err(problem) => self.console.out.say(Tone::Error, &problem),
            },
            Command::Switch(room) => self.open_room(&command::plain_room(room)).await,
            Command::Logout => {
                self.console.out.say(Tone::Success, "Logged out");
                (self.is_over, self.partner) = (true, None);
            }
            Command::Quit => return Err(Left),
            _ => self.console.out.say(Tone::Error, "Nothing is open: 3 starts a chat, 8 opens a room"),
        }
        Ok(())
    }

    /// Shows what a command comes to, and what follows from it, such as that a chat is over, before there is another prompt.
    async fn finish(&mut self, work: impl Future<Output = Report>) {
        let report = self.during(work).await;
        self.take(report);
        if self.partner.is_some() {
            self.during(time::sleep(SETTLE)).await;
        }
    }

    /// Shows what a command came to, and goes where it leads.
    pub(super) fn take(&mut self, report: Report) {
        self.show(&report.lines);
        if report.close.is_some() && report.close == self.target() {
            self.partner = None;
        }
        if let Some(target) = report.open {
            self.partner = Some(target.into());
        }
    }

    fn show(&self, lines: &[Said]) {
        for line in lines {
            self.console.out.line(&line.painted(self.paint));
        }
    }

    fn target(&self) -> Option<Target> {
        match self.partner.as_ref()? {
            Partner::User(username) => Some(Target::User(username.clone())),
            Partner::Room(room) => Some(Target::Room(room.clone())),
            Partner::Unnamed => None,
        }
    }
}

impl From<Target> for Partner {
    fn from(target: Target) -> Self {
        match target {
            Target::User(username) => Self::User(username),
            Target::Room(room) => Self::Room(room),
        }
    }
}
