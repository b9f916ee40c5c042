//! What a person's commands come to, whichever face they are typed at.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
};

use p2pchat_core::{
    peer::Event,
    proto::{LinkKey, Username},
    tokio::Peer,
};

use crate::{
    command::{Command, HELP, Help, no_such, plain_room},
    output::Tone,
    owner::Deed,
    report::{self, Report, Said},
    requests::Requests,
    sanitize, show,
    target::Target,
    transfers::Transfers,
};

/// How wide the commands of `/help` are.
const HELP_COLUMN: usize = 23;

/// What goes on until it has something to report.
pub(crate) type Work = Pin<Box<dyn Future<Output = Report> + Send>>;

/// What goes on once there is a password.
pub(crate) type WithPassword = Box<dyn FnOnce(String) -> Work + Send>;

/// What is to be done about a command.
pub(crate) enum Next {
    /// It is done; this is shown.
    Shown(Vec<Said>),
    /// It is run apart from all else.
    Work(Work),
    /// A room's password is asked for apart from the command, so that it is neither seen nor kept in the editor's history.
    Password { prompt: &'static str, then: Box<dyn FnOnce(String) -> Work + Send> },
    /// It is about the face itself.
    Face(Command),
}

/// What waits for the user's word, and who is asked to do what they say.
pub(crate) struct Desk {
    pub(crate) peer: Peer,
    pub(crate) requests: Requests,
    pub(crate) files: Transfers,
    /// Whose key has changed, and to which they said, while nothing was decided about it.
    changed_keys: BTreeMap<Username, BTreeSet<Option<LinkKey>>>,
    /// What can be drawn is: a code for a telephone to read.
    drawn: bool,
}

impl Desk {
    pub(crate) fn new(peer: Peer, drawn: bool) -> Self {
        Self {
            peer,
            requests: Requests::default(),
            files: Transfers::default(),
            changed_keys: BTreeMap::new(),
            drawn,
        }
    }

    /// Keeps in mind what an event says of keys.
    pub(crate) fn note(&mut self, event: &Event) {
        if let Event::KeyChanged { user, shown, .. } = event {
            self.changed_keys.entry(user.clone()).or_default().insert(*shown);
        }
    }

    /// What is to be done about `command`, with `open` in front of the user.
    pub(crate) fn start(&mut self, command: Command, open: Option<&Target>) -> Next {
        self.understand(command, open).unwrap_or_else(|problem| shown(Tone::Error, problem))
    }

    fn understand(&mut self, command: Command, open: Option<&Target>) -> Result<Next, String> {
        let peer = self.peer.clone();
        Ok(match command {
            Command::Help(name) => Next::Shown(help(HELP, name.as_deref())?),
            Command::Who { detailed } => work(report::who(peer, detailed)),
            Command::Whereis(user) => work(report::search(peer, user)),
            Command::Rooms => work(report::rooms(peer)),
            Command::SendFile { to, path } => {
                let user = Username::new(&to).map_err(|problem| format!("a username {problem}"))?;
                work(report::send_file(peer, user, path))
            }
            Command::Files => match self.files.lines() {
                lines if lines.is_empty() => said("no file is offered or on its way"),
                lines => Next::Shown(lines.into_iter().map(Said::from).collect()),
            },
            Command::Take { number, folder } => {
                work(report::take_file(peer, self.files.offered(number)?, folder))
            }
            Command::Stop(number) => work(report::stop_file(peer, self.files.any(number)?)),
            Command::Verify(user) => work(report::verify(peer, user, self.drawn)),
            Command::Trust { user, key } => {
                let (user, key) = self.new_key(&user, &key)?;
                self.changed_keys.remove(&user);
                work(report::trust(peer, user, key))
            }
            Command::Block(user) => work(report::block(peer, user, true)),
            Command::Unblock(user) => work(report::block(peer, user, false)),
            Command::Blocked => work(report::blocked(peer)),
            Command::Chat(user) => match Target::parse(&user)? {
                Target::User(user) => work(report::chat(peer, user)),
                Target::Room(_) => return Err("a room is joined: /join ROOM".to_owned()),
            },
            Command::Accept(who) => work(report::accept(peer, self.requests.take(who.as_deref())?)),
            Command::Reject { who, reason } => {
                work(report::reject(peer, self.requests.take(who.as_deref())?, reason))
            }
            Command::Create { room, capacity, description, with_password: false } => {
                work(report::create(peer, room, None, capacity, description))
            }
            Command::Create { room, capacity, description, with_password: true } => {
                password("The room's password: ", move |password| {
                    report::create(peer, room, Some(password), capacity, description)
                })
            }
            Command::Join { room, with_password: false } => work(report::join(peer, room, None)),
            Command::Join { room, with_password: true } => {
                password("The room's password: ", move |password| report::join(peer, room, Some(password)))
            }
            Command::Leave(room) => {
                let target = match room {
                    Some(room) => Target::parse(&format!("#{}", plain_room(room)))?,
                    None => open.cloned().ok_or("nothing is open: /leave ROOM")?,
                };
                work(report::leave(peer, target))
            }
            Command::Members(room) => {
                let room = room.or_else(|| open_room(open)).ok_or("of which room? /members ROOM")?;
                work(report::members(peer, room))
            }
            Command::Own { room, deed } => work(report::owned(peer, own_room(room, open)?, deed)),
            Command::SetPassword(room) => {
                let room = own_room(room, open)?;
                password("The room's new password (Enter for none): ", move |password| {
                    report::owned(peer, room, Deed::Password(Some(password)))
                })
            }
            Command::Bans(room) => work(report::bans(peer, own_room(room, open)?)),
            command @ (Command::Say(_)
            | Command::Message { .. }
            | Command::Switch(_)
            | Command::Logout
            | Command::Quit) => Next::Face(command),
        })
    }

    /// The key that `user` was said to have, of those that begin with `key`.
    fn new_key(&self, user: &str, key: &str) -> Result<(Username, Option<LinkKey>), String> {
        let is_meant = |shown: &&Option<LinkKey>| match shown {
            Some(shown) => {
                key.len() >= show::KEY_DIGITS && shown.to_string().starts_with(&key.to_lowercase())
            }
            None => key.eq_ignore_ascii_case("none"),
        };
        let known = Username::new(user).ok().and_then(|user| self.changed_keys.get_key_value(&user));
        known.and_then(|(user, keys)| Some((user.clone(), *keys.iter().find(is_meant)?))).ok_or_else(|| {
            format!("{} has shown no new key that begins so since you logged in", sanitize::line(user))
        })
    }
}

/// What is said at once of a command that waits for somebody else.
pub(crate) fn announced(command: &Command) -> Option<String> {
    match command {
        Command::SendFile { to, path } => {
            Some(format!("offering {} to {} …", sanitize::line(path), sanitize::line(to)))
        }
        Command::Chat(user) => Some(format!("asking {} to chat …", sanitize::line(user))),
        _ => None,
    }
}

/// The lines of `/help`, or the one about `name`.
pub(crate) fn help<'a>(
    all: impl IntoIterator<Item = &'a Help, IntoIter: Clone>,
    name: Option<&str>,
) -> Result<Vec<Said>, String> {
    let all = all.into_iter();
    let wanted = name.map(|name| format!("/{}", name.trim_start_matches('/').to_lowercase()));
    let mut lines = usages(all.clone().filter(|help| wanted.as_ref().is_none_or(|name| name == help.name)));
    if let Some(wanted) = wanted.as_ref().filter(|_| lines.is_empty()) {
        return Err(no_such(wanted, all));
    }
    if wanted.is_none() {
        lines.push("Everything else goes to the open chat or room.".into());
        lines.push("//text sends a text that starts with /.".into());
    }
    Ok(lines)
}

/// How commands are said, and what they do.
pub(crate) fn usages<'a>(commands: impl IntoIterator<Item = &'a Help>) -> Vec<Said> {
    let mut lines: Vec<Said> = Vec::new();
    for Help { usage, what, .. } in commands {
        // A long one has its line to itself, so that the others fit on a terminal of 80 columns.
        if usage.len() > HELP_COLUMN {
            lines.push((*usage).into());
            lines.push(format!("{:HELP_COLUMN$}   {what}", "").into());
        } else {
            lines.push(format!("{usage:HELP_COLUMN$}   {what}").into());
        }
    }
    lines
}

/// The room that was named, or the open one.
fn own_room(named: Option<String>, open: Option<&Target>) -> Result<String, String> {
    named.or_else(|| open_room(open)).ok_or_else(|| "which room? Name it first, as #ROOM".to_owned())
}

fn open_room(open: Option<&Target>) -> Option<String> {
    match open {
        Some(Target::Room(room)) => Some(room.as_str().to_owned()),
        _ => None,
    }
}

fn work(work: impl Future<Output = Report> + Send + 'static) -> Next {
    Next::Work(Box::pin(work))
}

fn password<F: Future<Output = Report> + Send + 'static>(
    prompt: &'static str,
    then: impl FnOnce(String) -> F + Send + 'static,
) -> Next {
    Next::Password { prompt, then: Box::new(move |password| Box::pin(then(password))) }
}

fn said(text: &str) -> Next {
    Next::Shown(vec![text.into()])
}

fn shown(tone: Tone, text: impl Into<String>) -> Next {
    Next::Shown(vec![Said::new(tone, text)])
}
