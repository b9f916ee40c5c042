//! Events and lists as JSON, one object a line, for programs.
//!
//! Nothing is removed or replaced, as programs want what was sent; what could fool a terminal is written as `\u` escapes,
//! which mean the same.

use p2pchat_core::{
    peer::{Event, Place},
    proto::{BanRecord, Found, PeerRecord, Reason, RoomChange, RoomRecord, Username},
};
use serde_json::{Value, json};

use crate::sanitize;

/// A value on one line, without its end.
pub(crate) fn line(value: &Value) -> String {
    let text = value.to_string();
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // A value's own text has no bare control character, so whatever is unsafe stands inside a string.
        if sanitize::is_unsafe(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// An address, or null for one that the registry hides.
fn unless(hidden: bool, value: Value) -> Value {
    if hidden { Value::Null } else { value }
}

/// `{"username", "ip", "port"}`; the latter two are null if the registry hides the address.
pub(crate) fn found(asked: &str, found: &Found) -> Value {
    let username = found.username.as_ref().map_or(asked, Username::as_str);
    let hidden = found.is_hidden();
    let (ip, port) = (unless(hidden, json!(found.ip)), unless(hidden, json!(found.port)));
    json!({ "username": username, "ip": ip, "port": port, "key": found.key.map(|key| key.to_string()) })
}

/// `{"username", "room", "ip", "port"}`; `room` may be null, and `ip` and `port` are if the registry hides the address.
pub(crate) fn peer(peer: &PeerRecord) -> Value {
    let room = peer.room.as_ref().map(AsRef::<str>::as_ref);
    let hidden = peer.is_hidden();
    let (ip, port) = (unless(hidden, json!(peer.ip)), unless(hidden, json!(peer.port)));
    json!({ "username": peer.username.as_str(), "room": room, "ip": ip, "port": port })
}

/// `{"name", "description", "members", "capacity"}`.
pub(crate) fn room(room: &RoomRecord) -> Value {
    json!({
        "name": room.name.as_str(),
        "description": room.description.as_str(),
        "members": room.members,
        "capacity": room.capacity.get(),
    })
}

/// `{"username", "reason"}`; `reason` may be null.
pub(crate) fn ban(ban: &BanRecord) -> Value {
    let reason = Some(ban.reason.as_str()).filter(|reason| !reason.is_empty());
    json!({ "username": ban.username.as_str(), "reason": reason })
}

/// The setting's name and value: `"password"` with `"protected"` or `"open"`, `"capacity"` with a number, `"description"`
/// and `"owner"` with a text. Nulls for a setting that this program doesn't know.
fn change(change: &RoomChange) -> (Value, Value) {
    match change {
        RoomChange::Password { protected } => {
            ("password".into(), if *protected { "protected" } else { "open" }.into())
        }
        RoomChange::Capacity(capacity) => ("capacity".into(), capacity.get().into()),
        RoomChange::Description(text) => ("description".into(), text.as_str().into()),
        RoomChange::Owner(owner) => ("owner".into(), owner.as_str().into()),
        _ => (Value::Null, Value::Null),
    }
}

/// An array of strings.
pub(crate) fn names<'a, T: AsRef<str> + 'a>(names: impl IntoIterator<Item = &'a T>) -> Value {
    names.into_iter().map(|name| Value::from(name.as_ref())).collect()
}

/// With `"id"` (a text, as it has more digits than a number in JSON is sure to keep), `"sequence"`, `"sent"` in milliseconds since
/// 1970, and `"late"`, where the sender's program numbers its messages.
fn placed(mut message: Value, place: Option<Place>) -> Value {
    if let (Some(place), Value::Object(fields)) = (place, &mut message) {
        fields.insert("id".to_owned(), place.number.id.to_string().into());
        fields.insert("sequence".to_owned(), place.number.sequence.get().into());
        fields.insert("sent".to_owned(), place.number.time.into());
        fields.insert("late".to_owned(), place.late.into());
    }
    message
}

/// `{"event": …}` with the event's own fields; null for an event that this program doesn't know.
pub(crate) fn event(event: &Event) -> Value {
    let user = |username: &Option<Username>| username.as_ref().map(|name| name.as_str().to_owned());
    match event {
        Event::Connected => json!({ "event": "connected" }),
        Event::Disconnected { reason, retry_in } => {
            json!({ "event": "disconnected", "reason": reason, "retry_in": retry_in.as_secs_f64() })
        }
        Event::Reconnected => json!({ "event": "reconnected" }),
        Event::Parked => json!({ "event": "parked" }),
        Event::Unparked => json!({ "event": "unparked" }),
        Event::LoggedOut { reason, replaced } => {
            json!({ "event": "logged_out", "reason": reason, "replaced": replaced })
        }
        Event::ChatRequested { from, addr, secured, .. } => {
            let address = unless(addr.ip().is_unspecified(), json!(addr));
            json!({ "event": "chat_requested", "from": user(from), "address": address, "encrypted": secured })
        }
        Event::ChatOpened { with, secured } => {
            json!({ "event": "chat_opened", "with": user(with), "encrypted": secured })
        }
        Event::KeyLearned { user, key } => {
            json!({ "event": "key_learned", "username": user.as_str(), "key": key.to_string() })
        }
        Event::KeyChanged { user, known, shown } => json!({
            "event": "key_changed",
            "username": user.as_str(),
            "known": known.to_string(),
            "shown": shown.map(|key| key.to_string()),
        }),
        Event::ChatClosed { with, reason } => {
            json!({ "event": "chat_closed", "with": user(with), "reason": reason })
        }
        Event::ChatInterrupted { with, reason } => {
            json!({ "event": "chat_interrupted", "with": with.as_str(), "reason": reason })
        }
        Event::ChatResumed { with } => json!({ "event": "chat_resumed", "with": with.as_str() }),
        Event::Missed { from, count } => json!({ "event": "missed", "from": from.as_str(), "count": count }),
        Event::Arrived { with, room, id, text } => json!({
            "event": "arrived",
            "with": with.as_str(),
            "room": room.as_ref().map(AsRef::<str>::as_ref),
            "id": id.to_string(),
            "text": text.as_str(),
        }),
        Event::Message { from, text, place, .. } => {
            placed(json!({ "event": "message", "from": from.as_str(), "text": text.as_str() }), *place)
        }
        Event::Broadcast { room, from, text, place, secured, .. } => placed(
            json!({
                "event": "broadcast",
                "room": room.as_ref().map(AsRef::<str>::as_ref),
                "from": from.as_str(),
                "text": text.as_str(),
                "encrypted": secured,
            }),
            *place,
        ),
        Event::FileOffered { file, from, name, size } => json!({
            "event": "file_offered",
            "file": file.number(),
            "from": from.as_str(),
            "name": name.as_str(),
            "size": size,
        }),
        Event::FileWithdrawn { file, from, reason } => json!({
            "event": "file_withdrawn",
            "file": file.number(),
            "from": from.as_str(),
            "reason": reason,
        }),
        Event::FileProgress { file, with, name, outgoing, bytes, size } => json!({
            "event": "file_progress",
            "file": file.number(),
            "with": with.as_str(),
            "name": name.as_str(),
            "outgoing": outgoing,
            "bytes": bytes,
            "size": size,
        }),
        Event::FileEnded { file } => json!({ "event": "file_ended", "file": file.number() }),
        Event::RoomEntered { room, members } => {
            json!({ "event": "room_entered", "room": room.as_str(), "members": names(members) })
        }
        Event::MemberOnline { room, username } => {
            json!({ "event": "member_online", "room": room.as_str(), "username": username.as_str() })
        }
        Event::MemberLeft { room, username } => {
            json!({ "event": "member_left", "room": room.as_str(), "username": username.as_str() })
        }
        Event::PutOut { room, username, by, reason, banned } => json!({
            "event": "put_out",
            "room": room.as_str(),
            "username": username.as_str(),
            "by": by.as_str(),
            "reason": reason.as_ref().map(Reason::as_str),
            "banned": banned,
        }),
        Event::RoomChanged { room, by, change } => {
            let (setting, value) = self::change(change);
            json!({
                "event": "room_changed",
                "room": room.as_str(),
                "by": by.as_str(),
                "setting": setting,
                "value": value,
            })
        }
        Event::MemberOffline { username, rooms } => {
            json!({ "event": "member_offline", "username": username.as_str(), "rooms": names(rooms) })
        }
        Event::Fault { culprit, what } => json!({ "event": "fault", "culprit": culprit, "what": what }),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_escaped_line_means_what_was_sent() {
        assert_eq!(line(&json!("a\u{202e}\u{9b}\u{e0041}\n")), r#""a\u202e\u009b\udb40\udc41\n""#);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_is_unsafe(text in any::<String>()) {
            let written = line(&json!({ "text": text }));
            prop_assert!(!written.contains(sanitize::is_unsafe));
            let read: Value = serde_json::from_str(&written).unwrap();
            prop_assert_eq!(read, json!({ "text": text }));
        }
    }
}
