//! Events as lines.

use p2pchat_core::{
    peer::{self, Event},
    proto::{Reason, RoomChange, Username},
    tokio,
};

use super::{Line, Place, VERSION, Value, answer::names};

fn text(name: &impl AsRef<str>) -> String {
    name.as_ref().to_owned()
}

impl Line {
    /// That everything is set up.
    pub(crate) fn ready(peer: &tokio::Peer) -> Self {
        Self::Ready { v: VERSION, username: peer.username().as_ref().map(text), port: peer.port() }
    }

    /// `None` for an event that has no line.
    pub(crate) fn of(event: &Event) -> Option<Self> {
        let maybe = |username: &Option<Username>| username.as_ref().map(text);
        Some(match event {
            Event::Connected => Self::Connected,
            Event::Disconnected { reason, retry_in } => {
                Self::Disconnected { reason: reason.clone(), retry_in: retry_in.as_secs_f64() }
            }
            Event::Reconnected => Self::Reconnected,
            Event::Parked => Self::Parked,
            Event::Unparked => Self::Unparked,
            Event::LoggedOut { reason, replaced } => {
                Self::LoggedOut { reason: reason.clone(), replaced: *replaced }
            }
            Event::ChatRequested { from, addr, secured, .. } => Self::ChatRequested {
                from: maybe(from),
                address: (!addr.ip().is_unspecified()).then(|| addr.to_string()),
                encrypted: *secured,
            },
            Event::ChatOpened { with, secured } => {
                Self::ChatOpened { with: maybe(with), encrypted: *secured }
            }
            Event::KeyLearned { user, key } => {
                Self::KeyLearned { username: text(user), key: key.to_string() }
            }
            Event::KeyChanged { user, known, shown } => Self::KeyChanged {
                username: text(user),
                known: known.to_string(),
                shown: shown.map(|key| key.to_string()),
            },
            Event::ChatClosed { with, reason } => {
                Self::ChatClosed { with: maybe(with), reason: reason.clone() }
            }
            Event::ChatInterrupted { with, reason } => {
                Self::ChatInterrupted { with: text(with), reason: reason.clone() }
            }
            Event::ChatResumed { with } => Self::ChatResumed { with: text(with) },
            Event::Missed { from, count } => Self::Missed { from: text(from), count: *count },
            Event::Arrived { with, room, id, text: said } => Self::Arrived {
                with: text(with),
                room: room.as_ref().map(text),
                id: id.to_string(),
                text: said.as_str().to_owned(),
            },
            Event::Message { from, text: said, place, .. } => Self::Message {
                from: text(from),
                text: said.as_str().to_owned(),
                place: place.map(Place::from),
            },
            Event::Broadcast { room, from, text: said, place, secured, .. } => Self::Broadcast {
                room: room.as_ref().map(text),
                from: text(from),
                text: said.as_str().to_owned(),
                encrypted: *secured,
                place: place.map(Place::from),
            },
            Event::FileOffered { file, from, name, size } => Self::FileOffered {
                file: file.number(),
                from: text(from),
                name: name.as_str().to_owned(),
                size: *size,
            },
            Event::FileWithdrawn { file, from, reason } => {
                Self::FileWithdrawn { file: file.number(), from: text(from), reason: reason.clone() }
            }
            Event::FileProgress { file, with, name, outgoing, bytes, size } => Self::FileProgress {
                file: file.number(),
                with: text(with),
                name: name.as_str().to_owned(),
                outgoing: *outgoing,
                bytes: *bytes,
                size: *size,
            },
            Event::FileEnded { file } => Self::FileEnded { file: file.number() },
            Event::RoomEntered { room, members } => {
                Self::RoomEntered { room: text(room), members: names(members) }
            }
            Event::MemberOnline { room, username } => {
                Self::MemberOnline { room: text(room), username: text(username) }
            }
            Event::MemberLeft { room, username } => {
                Self::MemberLeft { room: text(room), username: text(username) }
            }
            Event::PutOut { room, username, by, reason, banned } => Self::PutOut {
                room: text(room),
                username: text(username),
                by: text(by),
                reason: reason.as_ref().map(Reason::as_str).map(str::to_owned),
                banned: *banned,
            },
            Event::RoomChanged { room, by, change } => {
                let (setting, value) = setting(change).unzip();
                Self::RoomChanged {
                    room: text(room),
                    by: text(by),
                    setting: setting.map(str::to_owned),
                    value,
                }
            }
            Event::MemberOffline { username, rooms } => {
                Self::MemberOffline { username: text(username), rooms: names(rooms) }
            }
            Event::Fault { culprit, what } => Self::Fault { culprit: culprit.clone(), what: what.clone() },
            _ => return None,
        })
    }
}

/// A setting's name and value; `None` for one that this program doesn't know.
fn setting(change: &RoomChange) -> Option<(&'static str, Value)> {
    Some(match change {
        RoomChange::Password { protected } => {
            ("password", Value::Text(if *protected { "protected" } else { "open" }.to_owned()))
        }
        RoomChange::Capacity(capacity) => ("capacity", Value::Number(capacity.get().into())),
        RoomChange::Description(text) => ("description", Value::Text(text.as_str().to_owned())),
        RoomChange::Owner(owner) => ("owner", Value::Text(text(owner))),
        _ => return None,
    })
}

impl From<peer::Place> for Place {
    fn from(place: peer::Place) -> Self {
        Self {
            id: place.number.id.to_string(),
            sequence: place.number.sequence.get(),
            sent: place.number.time,
            late: place.late,
        }
    }
}
