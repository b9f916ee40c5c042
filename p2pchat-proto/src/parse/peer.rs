//! The peer stream's messages, and the two directions of the registry datagram.

use bytes::Bytes;

use super::{Code, Fields, Origin, message, value, verb};
use crate::{
    dialect::Dialect,
    error::ParseError,
    file::{FileChunk, FileName},
    limits::Limits,
    message::{
        ChatReply, Delivery, FileMessage, FileOffer, FromRegistryDatagram, Notification, Number, PeerMessage,
        ToRegistryDatagram,
    },
    name::{RoomName, Username},
    status::Phrase,
    value::{Capabilities, RegistryName},
    verb::Verb,
};

/// Reads a frame of a peer stream: a line without its line ending, or, where that announces a piece of a file, with its LF and
/// all that it announces.
pub(crate) fn peer_message(frame: &Bytes, limits: &Limits) -> Result<PeerMessage, ParseError> {
    let is_chunk = matches!(verb(frame), Ok((Verb::FileData, _)));
    let end = memchr::memchr(b'\n', frame).filter(|_| is_chunk).unwrap_or(frame.len());
    let line = frame.slice(..end);
    let line =
        line.strip_suffix(b"\r").filter(|_| is_chunk).map_or(line.clone(), |bare| line.slice_ref(bare));
    let read = message(line, Origin::Elsewhere, Dialect::Canonical, limits, |_| PeerMessage::read)?;
    let PeerMessage::File(FileMessage::Data(chunk)) = read else { return Ok(read) };
    let at = (end + 1).min(frame.len());
    let error = |problem| ParseError { verb: Some(Verb::FileData), field: "data", offset: at, problem };
    let chunk = chunk.completed(frame.slice(at..)).map_err(error)?;
    Ok(PeerMessage::File(FileMessage::Data(chunk)))
}

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
                capabilities: fields
                    .optional("capabilities", value::capabilities)?
                    .unwrap_or(Capabilities::NONE),
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
            verb => Self::File(FileMessage::read(verb, fields)?),
        })
    }
}

impl FileMessage {
    fn read(verb: Verb, fields: &mut Fields<'_>) -> Result<Self, ParseError> {
        Ok(match verb {
            Verb::FileOffer => Self::Offer(FileOffer {
                file: fields.required("file", value::u64)?,
                size: fields.required("size", value::u64)?,
                digest: fields.required("digest", value::file_digest)?,
                name: fields.required("name", FileName::with_limits)?,
            }),
            Verb::FileAccept => Self::Accept {
                file: fields.required("file", value::u64)?,
                offset: fields.required("offset", value::u64)?,
            },
            Verb::FileReject => {
                Self::Reject { file: fields.required("file", value::u64)?, reason: fields.reason()? }
            }
            Verb::FileData => Self::Data(FileChunk::announced(
                fields.required("file", value::u64)?,
                fields.required("offset", value::u64)?,
                fields.required("length", value::chunk_length)?,
            )),
            Verb::FileAck => Self::Ack {
                file: fields.required("file", value::u64)?,
                offset: fields.required("offset", value::u64)?,
            },
            Verb::FileDone => Self::Done { file: fields.required("file", value::u64)? },
            Verb::FileWithdraw => {
                Self::Withdraw { file: fields.required("file", value::u64)?, reason: fields.reason()? }
            }
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
