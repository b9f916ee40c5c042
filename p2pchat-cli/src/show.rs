//! Events and lists as lines for people.

use p2pchat_core::{
    peer::{BroadcastReport, Event, Place, RequestError},
    proto::{BanRecord, Found, LinkKey, PeerRecord, RoomChange, RoomName, RoomRecord, Text, Username},
};

use crate::{
    output::{Paint, Tone},
    sanitize, text,
};

/// A name, sanitised.
pub(crate) fn name(name: &impl AsRef<str>) -> String {
    sanitize::line(name.as_ref())
}

/// A room's name, marked as one.
pub(crate) fn room(room: &RoomName) -> String {
    format!("#{}", name(room))
}

fn maybe_name(username: Option<&Username>) -> String {
    username.map_or_else(|| "somebody who gave no name".to_owned(), name)
}

/// Names, parted by commas.
pub(crate) fn names<'a, T: AsRef<str> + 'a>(all: impl IntoIterator<Item = &'a T>) -> String {
    all.into_iter().map(name).collect::<Vec<_>>().join(", ")
}

/// An event as a line; `None` for what has no words of its own.
pub(crate) fn event(event: &Event, paint: Paint) -> Option<String> {
    if let Some((label, what)) = words(event) {
        return Some(text::message(&paint.paint(Tone::Name, &label), what, paint));
    }
    notice(event).map(|(tone, line)| paint.paint(tone, &line))
}

/// What somebody said, as it was sent, behind a label that names them.
fn words(event: &Event) -> Option<(String, &str)> {
    match event {
        Event::Message { from, text, place, .. } => {
            Some((format!("{}{}:", name(from), remarks(true, *place)), text.as_str()))
        }
        Event::Broadcast { room, from, text, place, secured, .. } => {
            let (who, remarks) = (name(from), remarks(*secured, *place));
            let label = match room {
                Some(room) => format!("{} {who}{remarks}:", self::room(room)),
                None => format!("{who} (in a room){remarks}:"),
            };
            Some((label, text.as_str()))
        }
        Event::Arrived { with, room, text, .. } => {
            let place = room.as_ref().map(|room| format!(" in {}", self::room(room))).unwrap_or_default();
            Some((format!("{} has it after all{place}:", name(with)), text.as_str()))
        }
        _ => None,
    }
}

/// What else happened, in words.
pub(crate) fn notice(event: &Event) -> Option<(Tone, String)> {
    Some(match event {
        Event::ChatInterrupted { with, reason } => {
            let (who, reason) = (name(with), sanitize::line(reason));
            (Tone::Notice, format!("no way to {who} for now ({reason}); what you say waits for a while"))
        }
        Event::ChatResumed { with } => {
            (Tone::Success, format!("the chat with {} goes on, encrypted", name(with)))
        }
        Event::Missed { from, count } => {
            let messages = if *count == 1 { "a message" } else { &format!("{count} messages") };
            let who = name(from);
            (
                Tone::Notice,
                format!("{messages} of {who}'s did not come through; asking {who}'s program again"),
            )
        }
        // How long the next attempt waits changes with each, and only the first is told.
        Event::Disconnected { reason, .. } => (
            Tone::Notice,
            format!("the registry is gone ({}); trying again in the background", sanitize::line(reason)),
        ),
        Event::Reconnected => (Tone::Success, "back again, and back in your rooms".to_owned()),
        Event::Parked => (
            Tone::Notice,
            "online (parked): without a connection to the registry, until something happens".to_owned(),
        ),
        Event::Unparked => (Tone::Notice, "online: connected to the registry again".to_owned()),
        Event::LoggedOut { reason, .. } => (Tone::Error, format!("logged out: {}", sanitize::line(reason))),
        Event::ChatRequested { from, addr, secured, .. } => {
            let who = from.as_ref().map_or_else(|| format!("somebody at {addr}"), name);
            let proof = if *secured { " (encrypted, with their key)" } else { "" };
            (Tone::Notice, format!("{who} wants to chat{proof}"))
        }
        Event::ChatOpened { with, secured: true } => {
            (Tone::Success, format!("you are chatting with {}, encrypted", maybe_name(with.as_ref())))
        }
        Event::ChatOpened { with, .. } => {
            let who = maybe_name(with.as_ref());
            (Tone::Notice, format!("you are chatting with {who}. {}", in_the_clear(&who)))
        }
        Event::FileWithdrawn { from, reason, .. } => (
            Tone::Notice,
            format!("{} doesn't offer the file any more: {}", name(from), sanitize::line(reason)),
        ),
        Event::KeyChanged { user, known, shown } => {
            (Tone::Error, key_changed(&name(user), known, shown.as_ref()))
        }
        Event::ChatClosed { with, reason } => {
            let who = maybe_name(with.as_ref());
            (Tone::Notice, format!("the chat with {who} has ended: {}", sanitize::line(reason)))
        }
        Event::RoomEntered { room, members } => {
            (Tone::Registry, format!("in {} now: {}", self::room(room), names(members)))
        }
        Event::MemberOnline { room, username } => {
            (Tone::Registry, format!("{} is in {}", name(username), self::room(room)))
        }
        Event::MemberLeft { room, username } => {
            (Tone::Registry, format!("{} left {}", name(username), self::room(room)))
        }
        Event::PutOut { room, username, by, reason, banned } => {
            let how = if *banned { "banned from" } else { "kicked out of" };
            let why = reason.as_ref().filter(|reason| !reason.as_str().is_empty());
            let why = why.map(|reason| format!(": {}", sanitize::line(reason.as_str()))).unwrap_or_default();
            let line = format!("{} was {how} {} by {}{why}", name(username), self::room(room), name(by));
            (Tone::Notice, line)
        }
        Event::RoomChanged { room, by, change } => (Tone::Registry, changed(room, by, change)?),
        Event::MemberOffline { username, .. } => (Tone::Registry, format!("{} went offline", name(username))),
        Event::Fault { culprit, what } => {
            (Tone::Notice, format!("{}: {}", sanitize::line(culprit), sanitize::line(what)))
        }
        _ => return None,
    })
}

/// What somebody said where it is clear which room it was.
pub(crate) fn said(
    from: &Username,
    what: &Text,
    secured: bool,
    place: Option<Place>,
    paint: Paint,
) -> String {
    let label = format!("{}{}:", name(from), remarks(secured, place));
    text::message(&paint.paint(Tone::Name, &label), what.as_str(), paint)
}

/// What is to be known of a message besides who says it.
fn remarks(secured: bool, place: Option<Place>) -> String {
    let late = place.is_some_and(|place| place.late);
    match (secured, late) {
        (true, false) => String::new(),
        (true, true) => " (late)".to_owned(),
        (false, _) => " (not encrypted)".to_owned(),
    }
}

/// With how many of its digits a key is named.
pub(crate) const KEY_DIGITS: usize = 8;

/// What is to be known of a chat that isn't encrypted.
pub(crate) fn in_the_clear(who: &str) -> String {
    format!("NOT ENCRYPTED: {who}'s program can't; others can read what you say, and be somebody else")
}

fn key_changed(who: &str, known: &LinkKey, shown: Option<&LinkKey>) -> String {
    let now = shown.map_or_else(|| "none any more".to_owned(), LinkKey::to_string);
    let begin: String =
        shown.map_or_else(|| "none".to_owned(), |key| key.to_string().chars().take(KEY_DIGITS).collect());
    format!(
        "{who}'S KEY HAS CHANGED. It was\n    {known}\nand is said to be\n    {now}\nThey may have a new device; or somebody \
         is in their place. Nothing is sent to them and nothing taken. Ask them on another way; only if it is theirs, take \
         it by `p2pchat trust {who} KEY` or at the prompt by\n    /trust {who} {begin}"
    )
}

/// A change of a room in words; `None` for one that this program doesn't know.
fn changed(room: &RoomName, by: &Username, change: &RoomChange) -> Option<String> {
    let (room, by) = (self::room(room), name(by));
    Some(match change {
        RoomChange::Password { protected: true } => format!("{by} set a password for {room}"),
        RoomChange::Password { protected: false } => format!("{by} opened {room} to all"),
        RoomChange::Capacity(capacity) => format!("{by} has {room} take {capacity} members"),
        RoomChange::Description(text) => {
            format!("{by} describes {room}: {}", sanitize::line(text.as_str()))
        }
        RoomChange::Owner(owner) => format!("{room} belongs to {} now ({by} gave it away)", name(owner)),
        _ => return None,
    })
}

/// A line for each ban.
pub(crate) fn bans(bans: &[BanRecord]) -> Vec<String> {
    let rows = bans
        .iter()
        .map(|ban| [name(&ban.username), sanitize::line(ban.reason.as_str()), String::new()])
        .collect::<Vec<_>>();
    table(&rows)
}

/// In place of an address that the registry keeps to itself.
const HIDDEN: &str = "(address hidden)";

/// Where a user can be reached.
pub(crate) fn found(asked: &str, found: &Found) -> String {
    let who = found.username.as_ref().map_or_else(|| sanitize::line(asked), name);
    match found.port {
        0 if found.is_hidden() => format!("{who}  {HIDDEN}"),
        0 => format!("{who}  {} (can't be dialled)", found.ip),
        port => format!("{who}  {}", std::net::SocketAddr::new(found.ip, port)),
    }
}

/// A line for each peer.
pub(crate) fn peers(peers: &[PeerRecord]) -> Vec<String> {
    let rows = peers.iter().map(|peer| {
        let room = peer.room.as_ref().map(room).unwrap_or_default();
        let address = match peer.is_hidden() {
            true => HIDDEN.to_owned(),
            false => std::net::SocketAddr::new(peer.ip, peer.port).to_string(),
        };
        [name(&peer.username), address, room]
    });
    table(&rows.collect::<Vec<_>>())
}

/// A line for each room.
pub(crate) fn rooms(rooms: &[RoomRecord]) -> Vec<String> {
    let rows = rooms.iter().map(|room| {
        let members = format!("{}/{}", room.members, room.capacity);
        [self::room(&room.name), members, sanitize::line(room.description.as_str())]
    });
    table(&rows.collect::<Vec<_>>())
}

fn table(rows: &[[String; 3]]) -> Vec<String> {
    let width =
        |column: fn(&[String; 3]) -> &String| rows.iter().map(|row| column(row).chars().count()).max();
    let (first, second) =
        (width(|row| &row[0]).unwrap_or_default(), width(|row| &row[1]).unwrap_or_default());
    let line = |[a, b, c]: &[String; 3]| format!("{a:first$}  {b:second$}  {c}").trim_end().to_owned();
    rows.iter().map(line).collect()
}

/// Who doesn't have a broadcast, and why; nothing if everybody has it whom the user hasn't blocked.
pub(crate) fn missed(report: &BroadcastReport) -> Vec<String> {
    let line = |(who, why): &(Username, RequestError)| {
        format!("not delivered to {}: {}", name(who), sanitize::line(&why.to_string()))
    };
    report.failed.iter().filter(|(_, why)| *why.cause() != RequestError::Blocked).map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use p2pchat_core::proto::{Description, Reason};

    use super::*;

    #[test]
    fn what_others_say_is_harmless_on_a_terminal() {
        let events = [
            Event::LoggedOut { reason: "bye\u{1b}]0;owned\u{7}".to_owned(), replaced: false },
            Event::Disconnected { reason: "\u{1b}[2J".to_owned(), retry_in: Duration::from_secs(1) },
            Event::Fault { culprit: "\u{9b}".to_owned(), what: "\u{202e}".to_owned() },
            Event::ChatClosed { with: None, reason: "\n\u{1b}[1A".to_owned() },
            Event::PutOut {
                room: RoomName::new("den").unwrap(),
                username: Username::new("bob").unwrap(),
                by: Username::new("alice").unwrap(),
                reason: Some(Reason::truncated("\u{1b}[2J\u{202e}")),
                banned: true,
            },
            Event::RoomChanged {
                room: RoomName::new("den").unwrap(),
                by: Username::new("alice").unwrap(),
                change: RoomChange::Description(Description::truncated("\u{9b}1A\u{202e}")),
            },
        ];
        for shown in events.iter().filter_map(|e| event(e, Paint::forced(false))) {
            assert!(!shown.contains(|c: char| c.is_control() || c == '\u{202e}'), "{shown}");
        }
    }

    #[test]
    fn columns_line_up() {
        let rows = [
            ["a".to_owned(), "1/2".to_owned(), "x".to_owned()],
            ["bcd".to_owned(), "10/20".to_owned(), String::new()],
        ];
        assert_eq!(table(&rows), ["a    1/2    x", "bcd  10/20"]);
    }
}
