//! What a room's owner says, and what is told of it (PROTOCOL.md §7.7).

use super::{Writer, field_len, plain_len};
use crate::{
    list::Record,
    message::{BanList, BanRecord, RoomChange, RoomSetting},
    name::{RoomName, Username},
    status::Phrase,
    value::{Capacity, Reason},
};

impl Record for BanRecord {
    fn encoded_len(&self) -> usize {
        plain_len(self.username.as_str()) + field_len(self.reason.as_str()) + 1
    }
}

impl Writer<'_> {
    pub(super) fn room_and_users(&mut self, room: &RoomName, users: &[&Username]) {
        self.plain(room.as_str());
        for user in users {
            self.plain(user.as_str());
        }
    }

    /// Not a refusal's: in every dialect.
    pub(super) fn owners_reason(&mut self, reason: Option<&Reason>) {
        if let Some(reason) = reason {
            self.field(reason.as_str());
        }
    }

    pub(super) fn room_setting(&mut self, setting: &RoomSetting) {
        match setting {
            RoomSetting::Password(password) => {
                self.plain("PASSWORD");
                self.room_password(password.as_ref());
            }
            RoomSetting::Capacity(capacity) => self.capacity_setting(*capacity),
            RoomSetting::Description(description) => self.setting("DESCRIPTION", description.as_str()),
            RoomSetting::Owner(username) => self.setting("OWNER", username.as_str()),
        }
    }

    pub(super) fn room_change(&mut self, change: &RoomChange) {
        match change {
            RoomChange::Password { protected: true } => self.setting("PASSWORD", "PROTECTED"),
            RoomChange::Password { protected: false } => self.setting("PASSWORD", "OPEN"),
            RoomChange::Capacity(capacity) => self.capacity_setting(*capacity),
            RoomChange::Description(description) => self.setting("DESCRIPTION", description.as_str()),
            RoomChange::Owner(username) => self.setting("OWNER", username.as_str()),
        }
    }

    fn capacity_setting(&mut self, capacity: Capacity) {
        self.plain("CAPACITY");
        self.plain(u64::from(capacity.get()));
    }

    fn setting(&mut self, setting: &str, value: &str) {
        self.plain(setting);
        self.field(value);
    }

    pub(super) fn ban_list(&mut self, list: &BanList) {
        match list {
            BanList::Found(list) => {
                self.status(Phrase::Found);
                self.records(list, true, |writer, ban| {
                    writer.field(ban.username.as_str());
                    writer.field(ban.reason.as_str());
                });
            }
            BanList::NotFound { reason } => self.refusal(Phrase::NotFound, reason.as_ref()),
            BanList::Failure { reason } => self.refusal(Phrase::Failure, reason.as_ref()),
        }
    }
}
