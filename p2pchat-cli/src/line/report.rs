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
    sanitize, show,
    target::Target,
    transfers,
};

/// What a command's task brings back.
#[derive(Default)]
pub(super) struct Report {
    /// To be shown, coloured already.
    pub(super) lines: Vec<String>,
    /// Where text goes from now on.
    pub(super) open: Option<Target>,
    /// What text can't go to any more.
    pub(super) close: Option<Target>,
}

impl Report {
    pub(super) fn lines(lines: Vec<String>) -> Self {
        Self { lines, ..Self::default() }
    }

    pub(super) fn failure(paint: Paint, what: &str, error: impl Into<Failure>) -> Self {
        Self::lines(vec![paint.paint(Tone::Error, &error.into().context(what).to_string())])
    }
}

pub(super) fn entered(paint: Paint, room: &str, how: &str, outcome: Result<(), Error>) -> Report {
    let shown = format!("#{}", sanitize::line(room));
    match outcome {
        Ok(()) => Report {
            lines: vec![paint.paint(Tone::Success, &format!("{how} {shown}"))],
            open: RoomName::new(room).ok().map(Target::Room),
            close: None,
        },
        Err(error) => Report::failure(paint, &shown, error),
    }
}

pub(super) async fn who(peer: Peer, paint: Paint, detailed: bool) -> Report {
    let listed = if detailed {
        peer.peers().await.map(|peers| show::peers(&peers))
    } else {
        peer.names().await.map(|names| if names.is_empty() { Vec::new() } else { vec![show::names(&names)] })
    };
    match listed {
        Ok(lines) if lines.is_empty() => Report::lines(vec!["nobody else is online".to_owned()]),
        Ok(lines) => Report::lines(lines),
        Err(error) => Report::failure(paint, "/who", error),
    }
}

pub(super) async fn search(peer: Peer, paint: Paint, user: String) -> Report {
    match peer.search(&user).await {
        Ok(found) => Report::lines(vec![paint.paint(Tone::Success, &show::found(&user, &found))]),
        Err(error) => Report::failure(paint, &sanitize::line(&user), error),
    }
}

pub(super) async fn rooms(peer: Peer, paint: Paint) -> Report {
    match peer.rooms().await {
        Ok(rooms) if rooms.is_empty() => {
            Report::lines(vec!["there are no rooms; /create opens one".to_owned()])
        }
        Ok(rooms) => Report::lines(show::rooms(&rooms)),
        Err(error) => Report::failure(paint, "/rooms", error),
    }
}

pub(super) async fn members(peer: Peer, paint: Paint, room: String) -> Report {
    let shown = format!("#{}", sanitize::line(&room));
    match peer.members(&room).await {
        Ok(members) => Report::lines(vec![format!("online in {shown}: {}", show::names(&members))]),
        Err(error) => Report::failure(paint, &shown, error),
    }
}

pub(super) async fn owned(peer: Peer, paint: Paint, room: String, deed: Deed) -> Report {
    match deed.run(&peer, &room).await {
        Ok(()) => Report::lines(vec![paint.paint(Tone::Success, &deed.done(&room))]),
        Err(error) => Report::failure(paint, &format!("#{}", sanitize::line(&room)), error),
    }
}

pub(super) async fn bans(peer: Peer, paint: Paint, room: String) -> Report {
    let shown = format!("#{}", sanitize::line(&room));
    match peer.bans(&room).await {
        Ok(bans) if bans.is_empty() => Report::lines(vec![format!("nobody is banned from {shown}")]),
        Ok(bans) => Report::lines(show::bans(&bans)),
        Err(error) => Report::failure(paint, &shown, error),
    }
}

/// What the user and somebody else compare.
pub(super) async fn verify(peer: Peer, paint: Paint, user: String, drawn: bool) -> Report {
    match keys::of(&peer, &user, drawn).await {
        Ok(lines) => Report::lines(lines),
        Err(failure) => Report::failure(paint, &sanitize::line(&user), failure),
    }
}

/// Somebody's new key is theirs, as the user says.
pub(super) async fn trust(peer: Peer, paint: Paint, user: Username, key: Option<LinkKey>) -> Report {
    let shown = show::name(&user);
    match peer.set_key(user.as_str(), key).await {
        Ok(()) => {
            let what = match key {
                Some(_) => format!(
                    "{shown} is known by the new key from now on; /verify {shown} once you have talked"
                ),
                None => format!("{shown} may talk to you without a key from now on, in the clear"),
            };
            Report::lines(vec![paint.paint(Tone::Success, &what)])
        }
        Err(error) => Report::failure(paint, &shown, error),
    }
}

/// Offers a file, and waits until it has arrived.
pub(super) async fn send_file(peer: Peer, paint: Paint, user: Username, typed: String) -> Report {
    let (who, what) = (show::name(&user), sanitize::line(&typed));
    match peer.send_file(user.as_str(), transfers::path(&typed)).await {
        Ok(()) => Report::lines(vec![paint.paint(Tone::Success, &format!("{who} has {what}"))]),
        Err(error) => {
            let no_chat = error == RequestError::NoChat.into();
            let mut report = Report::failure(paint, &format!("{what} for {who}"), error);
            if no_chat {
                report.lines.push(format!("/chat {who} asks for one"));
            }
            report
        }
    }
}

/// Takes a file into a folder, or into that which the program was started in.
pub(super) async fn take_file(peer: Peer, paint: Paint, file: FileId, folder: Option<String>) -> Report {
    let folder = transfers::path(folder.as_deref().unwrap_or("."));
    match peer.accept_file(file, &folder).await {
        Ok(path) => {
            let path = sanitize::line(&path.display().to_string());
            Report::lines(vec![paint.paint(Tone::Success, &format!("the file is there: {path}"))])
        }
        Err(error) => Report::failure(paint, "the file", error),
    }
}

/// Somebody is to be blocked, or not any more.
pub(super) async fn block(peer: Peer, paint: Paint, user: String, blocked: bool) -> Report {
    let shown = sanitize::line(&user);
    let (done, what) = match blocked {
        true => (
            peer.block(&user).await,
            format!("{shown} is blocked: you hear nothing of them, and they aren't told"),
        ),
        false => (peer.unblock(&user).await, format!("{shown} is not blocked")),
    };
    match done {
        Ok(()) => Report::lines(vec![paint.paint(Tone::Success, &what)]),
        Err(error) => Report::failure(paint, &shown, error),
    }
}

pub(super) async fn blocked(peer: Peer, paint: Paint) -> Report {
    match peer.blocked().await {
        Ok(blocked) if blocked.is_empty() => Report::lines(vec!["nobody is blocked".to_owned()]),
        Ok(blocked) => Report::lines(vec![format!("blocked: {}", show::names(&blocked))]),
        Err(error) => Report::failure(paint, "/blocked", error),
    }
}
