//! What a room's owner says, and what is told of it (PROTOCOL.md §7.7).

use super::{Code, Fields, value};
use crate::{
    error::{ParseError, Problem},
    message::{BanList, BanRecord, RoomChange, RoomSetting},
    name::Username,
    status::Phrase,
    value::{Description, Reason},
};

/// The word that says what the next field is a value of.
#[derive(Clone, Copy)]
enum Setting {
    Password,
    Capacity,
    Description,
    Owner,
}

impl Fields<'_> {
    pub(super) fn ban_list(&mut self) -> Result<BanList, ParseError> {
        let allowed = &[Phrase::Found, Phrase::NotFound, Phrase::Failure];
        Ok(match self.status(allowed, "FOUND, NOT_FOUND or FAILURE", Code::Required)? {
            Phrase::Found => BanList::Found(self.records(|fields| {
                let username = fields.required("username", Username::with_limits)?;
                Ok(BanRecord { username, reason: fields.required("reason", Reason::with_limits)? })
            })?),
            Phrase::NotFound => BanList::NotFound { reason: self.reason()? },
            _ => BanList::Failure { reason: self.reason()? },
        })
    }

    pub(super) fn room_setting(&mut self) -> Result<RoomSetting, ParseError> {
        Ok(match self.setting()? {
            Setting::Password => RoomSetting::Password(self.required("value", value::room_password)?),
            Setting::Capacity => RoomSetting::Capacity(self.required("value", value::capacity)?),
            Setting::Description => {
                RoomSetting::Description(self.required("value", Description::with_limits)?)
            }
            Setting::Owner => RoomSetting::Owner(self.required("value", Username::with_limits)?),
        })
    }

    pub(super) fn room_change(&mut self) -> Result<RoomChange, ParseError> {
        Ok(match self.setting()? {
            Setting::Password => {
                let protected = self.required("value", |word, _| {
                    let is = |other: &str| word.eq_ignore_ascii_case(other);
                    match (is("PROTECTED"), is("OPEN")) {
                        (false, false) => Err(Problem::Unexpected { expected: "PROTECTED or OPEN" }),
                        (protected, _) => Ok(protected),
                    }
                })?;
                RoomChange::Password { protected }
            }
            Setting::Capacity => RoomChange::Capacity(self.required("value", value::capacity)?),
            Setting::Description => {
                RoomChange::Description(self.required("value", Description::with_limits)?)
            }
            Setting::Owner => RoomChange::Owner(self.required("value", Username::with_limits)?),
        })
    }

    fn setting(&mut self) -> Result<Setting, ParseError> {
        self.required("setting", |word, _| {
            let settings = [
                ("PASSWORD", Setting::Password),
                ("CAPACITY", Setting::Capacity),
                ("DESCRIPTION", Setting::Description),
                ("OWNER", Setting::Owner),
            ];
            let found = settings.into_iter().find(|(spelling, _)| word.eq_ignore_ascii_case(spelling));
            let expected = "PASSWORD, CAPACITY, DESCRIPTION or OWNER";
            found.map(|(_, setting)| setting).ok_or(Problem::Unexpected { expected })
        })
    }
}
