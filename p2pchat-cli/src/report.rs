//! What commands come to: each asks the registry or another peer, on a task of its own, and reports.

use p2pchat_core::{
    peer::{FileId, RequestError},
    proto::{LinkKey, RoomName, Username},
    tokio::{Error, Peer},
};

use crate::{
    exit::Failure,
    keys,
    output::{Paint, Tone},
    owner::Deed,
    requests::Pending,
    sanitize, show,
    target::Target,
    transfers,
};

/// A line for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    /// What it is about; nothing in particular, if none.
    pub(crate) tone: Option<Tone>,
    /// The line, sanitised. It may hold line breaks.
    pub(crate) text: String,
}

impl Said {
    pub(crate) fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self { tone: Some(tone), text: text.into() }
    }

    pub(crate) fn painted(&self, paint: Paint) -> String {
        self.tone.map_or_else(|| self.text.clone(), |tone| paint.paint(tone, &self.text))
    }
}

impl From<String> for Said {
    fn from(text: String) -> Self {
        Self { tone: None, text }
    }
}

impl From<&str> for Said {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// What a command's task brings back.
#[derive(Default)]
pub(crate) struct Report {
    /// To be shown.
    pub(crate) lines: Vec<Said>,
    /// Where text goes from now on.
    pub(crate) open: Option<Target>,
    /// What text can't go to any more.
    pub(crate) close: Option<Target>,
}

impl Report {
    pub(crate) fn lines<T: Into<Said>>(lines: impl IntoIterator<Item = T>) -> Self {
        Self { lines: lines.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    pub(crate) fn done(what: impl Into<String>) -> Self {
        Self::lines([Said::new(Tone::Success, what)])
    }

    pub(crate) fn failure(what: &str, error: impl Into<Failure>) -> Self {
        Self::lines(vec![Said::new(Tone::Error, error.into().context(what).to_string())])
    }
}

pub(crate) fn entered(room: &str, how: &str, outcome: Result<(), Error>) -> Report {
    let shown = format!("#{}", sanitize::line(room));
    match outcome {
        Ok(()) => Report {
            lines: vec![Said::new(Tone::Success, format!("{how} {shown}"))],
            open: RoomName::new(room).ok().map(Target::Room),
            close: None,
        },
        Err(error) => Report::failure(&shown, error),
    }
}

pub(crate) async fn who(peer: Peer, detailed: bool) -> Report {
    let listed = if detailed {
        peer.peers().await.map(|peers| show::peers(&peers))
    } else {
        peer.names().await.map(|names| if names.is_empty() { Vec::new() } else { vec![show::names(&names)] })
    };
    match listed {
        Ok(lines) if lines.is_empty() => Report::lines(vec!["nobody else is online".to_owned()]),
        Ok(lines) => Report::lines(lines),
        Err(error) => Report::failure("/who", error),
    }
}

pub(crate) async fn search(peer: Peer, user: String) -> Report {
    match peer.search(&user).await {
        Ok(found) => Report::done(show::found(&user, &found)),
        Err(error) => Report::failure(&sanitize::line(&user), error),
    }
}

pub(crate) async fn rooms(peer: Peer) -> Report {
    match peer.rooms().await {
        Ok(rooms) if rooms.is_empty() => {
            Report::lines(vec!["there are no rooms; /create opens one".to_owned()])
        }
        Ok(rooms) => Report::lines(show::rooms(&rooms)),
        Err(error) => Report::failure("/rooms", error),
    }
}

pub(crate) async fn members(peer: Peer, room: String) -> Report {
    let shown = format!("#{}", sanitize::line(&room));
    match peer.members(&room).await {
        Ok(members) => Report::lines(vec![format!("online in {shown}: {}", show::names(&members))]),
        Err(error) => Report::failure(&shown, error),
    }
}

pub(crate) async fn owned(peer: Peer, room: String, deed: Deed) -> Report {
    match deed.run(&peer, &room).await {
        Ok(()) => Report::done(deed.done(&room)),
        Err(error) => Report::failure(&format!("#{}", sanitize::line(&room)), error),
    }
}

pub(crate) async fn bans(peer: Peer, room: String) -> Report {
    let shown = format!("#{}", sanitize::line(&room));
    match peer.bans(&room).await {
        Ok(bans) if bans.is_empty() => Report::lines(vec![format!("nobody is banned from {shown}")]),
        Ok(bans) => Report::lines(show::bans(&bans)),
        Err(error) => Report::failure(&shown, error),
    }
}

/// What the user and somebody else compare.
pub(crate) async fn verify(peer: Peer, user: String, drawn: bool) -> Report {
    match keys::of(&peer, &user, drawn).await {
        Ok(lines) => Report::lines(lines),
        Err(failure) => Report::failure(&sanitize::line(&user), failure),
    }
}

/// Somebody's new key is theirs, as the user says.
pub(crate) async fn trust(peer: Peer, user: Username, key: Option<LinkKey>) -> Report {
    let shown = show::name(&user);
    match peer.set_key(user.as_str(), key).await {
        Ok(()) => {
            let what = match key {
                Some(_) => format!(
                    "{shown} is known by the new key from now on; /verify {shown} once you have talked"
                ),
                None => format!("{shown} may talk to you without a key from now on, in the clear"),
            };
            Report::done(what)
        }
        Err(error) => Report::failure(&shown, error),
    }
}

/// Offers a file, and waits until it has arrived.
pub(crate) async fn send_file(peer: Peer, user: Username, typed: String) -> Report {
    let (who, what) = (show::name(&user), sanitize::line(&typed));
    match peer.send_file(user.as_str(), transfers::path(&typed)).await {
        Ok(()) => Report::done(format!("{who} has {what}")),
        Err(error) => {
            let no_chat = error == RequestError::NoChat.into();
            let mut report = Report::failure(&format!("{what} for {who}"), error);
            if no_chat {
                report.lines.push(format!("/chat {who} asks for one").into());
            }
            report
        }
    }
}

/// Takes a file into a folder, or into that which the program was started in.
pub(crate) async fn take_file(peer: Peer, file: FileId, folder: Option<String>) -> Report {
    let folder = transfers::path(folder.as_deref().unwrap_or("."));
    if !folder.is_dir() {
        // Nothing is declined because of a slip of the hand.
        let shown = sanitize::line(&folder.display().to_string());
        return Report::lines([Said::new(
            Tone::Error,
            format!("{shown} is no folder: the file is still offered"),
        )]);
    }
    match peer.accept_file(file, &folder).await {
        Ok(path) => {
            let path = sanitize::line(&path.display().to_string());
            Report::done(format!("the file is there: {path}"))
        }
        Err(error) => Report::failure("the file", error),
    }
}

/// Somebody is to be blocked, or not any more.
pub(crate) async fn block(peer: Peer, user: String, blocked: bool) -> Report {
    let shown = sanitize::line(&user);
    let (done, what) = match blocked {
        true => (
            peer.block(&user).await,
            format!("{shown} is blocked: you hear nothing of them, and they aren't told"),
        ),
        false => (peer.unblock(&user).await, format!("{shown} is not blocked")),
    };
    match done {
        Ok(()) => Report::done(what),
        Err(error) => Report::failure(&shown, error),
    }
}

pub(crate) async fn blocked(peer: Peer) -> Report {
    match peer.blocked().await {
        Ok(blocked) if blocked.is_empty() => Report::lines(vec!["nobody is blocked".to_owned()]),
        Ok(blocked) => Report::lines(vec![format!("blocked: {}", show::names(&blocked))]),
        Err(error) => Report::failure("/blocked", error),
    }
}

/// Ends a file's transfer, or declines it.
pub(crate) async fn stop_file(peer: Peer, file: FileId) -> Report {
    match peer.cancel_file(file, None).await {
        Ok(()) => Report::default(),
        Err(error) => Report::failure("/stop", error),
    }
}

/// Asks somebody for a chat.
pub(crate) async fn chat(peer: Peer, user: Username) -> Report {
    match peer.chat(user.as_str()).await {
        Ok(()) => Report { open: Some(Target::User(user)), ..Report::default() },
        Err(error) => Report::failure(&show::name(&user), error),
    }
}

pub(crate) async fn accept(peer: Peer, pending: Pending) -> Report {
    match peer.accept(pending.id).await {
        Ok(()) => Report { open: pending.from.map(Target::User), ..Report::default() },
        Err(error) => Report::failure(&pending.label, error),
    }
}

pub(crate) async fn reject(peer: Peer, pending: Pending, reason: Option<String>) -> Report {
    match peer.reject(pending.id, reason.as_deref()).await {
        Ok(()) => Report::lines([format!("declined {}", pending.label)]),
        Err(error) => Report::failure(&pending.label, error),
    }
}

pub(crate) async fn create(
    peer: Peer,
    room: String,
    password: Option<String>,
    capacity: u32,
    description: String,
) -> Report {
    let created = peer.create(&room, password.as_deref(), capacity, &description).await;
    entered(&room, "opened", created)
}

pub(crate) async fn join(peer: Peer, room: String, password: Option<String>) -> Report {
    let joined = peer.join(&room, password.as_deref()).await;
    // Why, the registry says in words only.
    let lacks_password =
        password.is_none() && joined.as_ref().is_err_and(|error| error.to_string().contains("password"));
    let mut report = entered(&room, "joined", joined);
    if lacks_password {
        report.lines.push(format!("/join -p {} asks for its password", sanitize::line(&room)).into());
    }
    report
}

/// Ends a chat, or membership of a room.
pub(crate) async fn leave(peer: Peer, target: Target) -> Report {
    let left = match &target {
        Target::User(username) => peer.hang_up(username.as_str()).await,
        Target::Room(room) => peer.leave(room.as_str()).await,
    };
    match left {
        Ok(()) => {
            let line = Said::new(Tone::Success, format!("left {}", target.shown()));
            Report { lines: vec![line], close: Some(target), ..Report::default() }
        }
        Err(error) => Report::failure(&target.shown(), error),
    }
}

/// Says something, and waits until it has arrived.
pub(crate) async fn say(peer: Peer, target: Target, text: String) -> Report {
    match target {
        Target::User(username) => match peer.send(username.as_str(), &text).await {
            Ok(()) => Report::default(),
            Err(error) => {
                let (shown, no_chat) = (show::name(&username), error == RequestError::NoChat.into());
                let mut report = Report::failure(&format!("not delivered to {shown}"), error);
                if no_chat {
                    report.lines.push(format!("/chat {shown} asks for one").into());
                }
                report
            }
        },
        Target::Room(room) => match peer.broadcast(room.as_str(), &text).await {
            Ok(report) => {
                let missed = show::missed(&report);
                Report::lines(missed.into_iter().map(|line| Said::new(Tone::Error, line)))
            }
            Err(error) => Report::failure(&format!("not sent to {}", show::room(&room)), error),
        },
    }
}
