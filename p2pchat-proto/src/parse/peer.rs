//! The peer stream's messages, and the two directions of the registry datagram.

use super::{Code, Fields, value};
use crate::{
    error::ParseError,
    message::{
        ChatReply, Delivery, FromRegistryDatagram, Notification, Number, PeerMessage, ToRegistryDatagram,
    },
    name::{RoomName, Username},
    status::Phrase,
    value::RegistryName,
    verb::Verb,
};

impl PeerMessage {
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Self, ParseError> {
        Ok(match fields.verb {
            Verb::ChatRequest => Self::ChatRequest {
                recipient: fields.required("recipient", Username::with_limits)?,
                sender: fields.optional("sender", Username::with_limits)?,
            },
            Verb::ChatRequestResponse => {
                let allowed = &[Phrase::Accept, Phrase::Reject];
                let phrase = fields.status(allowed, "ACCEPT or REJECT", Code::Optional)?;
                let username = fields.required("username", Username::with_limits)?;
                Self::ChatReply(match phrase {
                    Phrase::Accept => ChatReply::Accept { username },
                    _ => ChatReply::Reject { username, reason: fields.reason()? },
                })
            }
            Verb::DirectMessage => Self::DirectMessage {
                sender: fields.required("sender", Username::with_limits)?,
                recipient: fields.required("recipient", Username::with_limits)?,
                text: fields.text("text")?,
            },
            Verb::DirectUnicastNotification => Self::UnicastNotification(fields.notification()?),
            Verb::DirectBroadcast => Self::DirectBroadcast {
                sender: fields.required("sender", Username::with_limits)?,
                room: fields.optional_bracketed("room", RoomName::with_limits)?,
                text: fields.text("text")?,
            },
            Verb::DirectBroadcastNotification => Self::BroadcastNotification(fields.notification()?),
            Verb::IntroducedBy => Self::IntroducedBy {
                registry: fields.required("registry", RegistryName::with_limits)?,
                sender: fields.required("sender", Username::with_limits)?,
                recipient: fields.required("recipient", Username::with_limits)?,
                follows: fields.optional("follows", value::follows)?,
            },
            Verb::Numbering => Self::Numbering {
                run: fields.required("run", value::u64)?,
                next: fields.required("next", value::sequence)?,
                chat: fields.required("chat", value::chat)?,
            },
            Verb::Numbered => Self::Numbered(Number {
                id: fields.required("id", value::u64)?,
                sequence: fields.required("sequence", value::sequence)?,
                time: fields.required("time", value::u64)?,
            }),
            Verb::Missing => Self::Missing {
                first: fields.required("first", value::sequence)?,
                last: fields.required("last", value::sequence)?,
            },
            Verb::HangUp => Self::HangUp,
            Verb::Ping => Self::Ping(fields.required("number", value::u64)?),
            Verb::Pong => Self::Pong(fields.required("number", value::u64)?),
            _ => return fields.unknown_verb(),
        })
    }
}

impl ToRegistryDatagram {
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Self, ParseError> {
        Ok(match fields.verb {
            Verb::KeepAlive => {
                let username = fields.required("username", Username::with_limits)?;
                let timeout = fields.optional("timeout", value::u32)?;
                let sequence = fields.optional("sequence", value::sequence)?;
                match timeout.zip(sequence) {
                    None => Self::KeepAlive { username, timeout },
                    Some((timeout, sequence)) => {
                        let proof = fields.required("proof", value::proof)?;
                        Self::ProvenKeepAlive { username, timeout, sequence, proof }
                    }
                }
            }
            _ => return fields.unknown_verb(),
        })
    }
}

impl FromRegistryDatagram {
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Self, ParseError> {
        Ok(match fields.verb {
            Verb::KeepAliveResponse => match fields.success_or_failure(Code::Required)? {
                Phrase::Success => Self::KeepAliveSuccess,
                _ => Self::KeepAliveFailure { reason: fields.reason()? },
            },
            Verb::Timeout => Self::Timeout { username: fields.required("username", Username::with_limits)? },
            Verb::Parked => Self::Parked { proof: fields.required("proof", value::park_proof)? },
            Verb::Wake => Self::Wake { proof: fields.required("proof", value::park_proof)? },
            _ => return fields.unknown_verb(),
        })
    }
}

impl Fields<'_> {
    fn notification(&mut self) -> Result<Notification, ParseError> {
        let phrase = self.success_or_failure(Code::Required)?;
        let sender = self.required("sender", Username::with_limits)?;
        let content = self.content("content")?;
        let delivery = match phrase {
            Phrase::Success => Delivery::Success,
            _ => Delivery::Failure { reason: self.reason()? },
        };
        Ok(Notification { delivery, sender, content })
    }
}
