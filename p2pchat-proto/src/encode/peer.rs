//! The peer stream's messages, and the two directions of the registry datagram.

use super::{SHORT, Writer};
use crate::{
    dialect::Dialect,
    message::{
        ChatReply, Delivery, FileMessage, FileOffer, Follows, FromRegistryDatagram, Notification, Number,
        PeerMessage, ToRegistryDatagram,
    },
    status::Phrase,
};

impl PeerMessage {
    #[inline(always)]
    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::ChatRequest { recipient, sender } => {
                writer.plain(recipient.as_str());
                if let Some(sender) = sender {
                    writer.plain(sender.as_str());
                }
            }
            Self::ChatReply(ChatReply::Accept { username }) => {
                writer.status(Phrase::Accept);
                writer.plain(username.as_str());
            }
            Self::ChatReply(ChatReply::Reject { username, reason }) => {
                writer.status(Phrase::Reject);
                writer.plain(username.as_str());
                writer.reason(reason.as_ref());
            }
            Self::DirectMessage { sender, recipient, text } => {
                writer.plain(sender.as_str());
                writer.plain(recipient.as_str());
                writer.text(text);
            }
            Self::DirectBroadcast { sender, room, text } => {
                writer.plain(sender.as_str());
                if let Some(room) = room {
                    writer.plain(room.as_str());
                }
                writer.text(text);
            }
            Self::UnicastNotification(notification) | Self::BroadcastNotification(notification) => {
                writer.notification(notification);
            }
            Self::IntroducedBy { registry, sender, recipient, follows } => {
                writer.field(registry.as_str());
                writer.plain(sender.as_str());
                writer.plain(recipient.as_str());
                match follows {
                    Some(Follows::Tls) => writer.plain("tls"),
                    Some(Follows::Numbering) => writer.plain("numbering"),
                    None => {}
                }
            }
            Self::Numbering { run, next, chat, capabilities } => {
                writer.plain(*run);
                writer.plain(next.get());
                writer.plain(if *chat { "OPEN" } else { "CLOSED" });
                if !capabilities.is_empty() {
                    writer.plain(*capabilities);
                }
            }
            Self::Numbered(Number { id, sequence, time }) => {
                writer.plain(*id);
                writer.plain(sequence.get());
                writer.plain(*time);
            }
            Self::Missing { first, last } => {
                writer.plain(first.get());
                writer.plain(last.get());
            }
            Self::HangUp => {}
            Self::Ping(number) | Self::Pong(number) => writer.plain(*number),
            Self::File(message) => message.write(writer),
        }
    }
}

impl FileMessage {
    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Offer(FileOffer { file, size, digest, name }) => {
                writer.plain(*file);
                writer.plain(*size);
                writer.plain(*digest);
                writer.plain(name.as_str());
            }
            Self::Accept { file, offset } | Self::Ack { file, offset } => {
                writer.plain(*file);
                writer.plain(*offset);
            }
            Self::Reject { file, reason } | Self::Withdraw { file, reason } => {
                writer.plain(*file);
                writer.reason(reason.as_ref());
            }
            // What it holds comes behind the line.
            Self::Data(chunk) => {
                writer.plain(chunk.file);
                writer.plain(chunk.offset);
                writer.plain(chunk.data().len() as u64);
            }
            Self::Done { file } => writer.plain(*file),
        }
    }
}

impl ToRegistryDatagram {
    #[inline(always)]
    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::KeepAlive { username, timeout } => {
                writer.word(username.as_str());
                if let (Some(timeout), Dialect::Canonical) = (timeout, writer.dialect) {
                    writer.plain(u64::from(*timeout));
                }
            }
            Self::ProvenKeepAlive { username, timeout, sequence, proof } => {
                writer.word(username.as_str());
                if writer.dialect == Dialect::Canonical {
                    writer.plain(u64::from(*timeout));
                    writer.plain(sequence.get());
                    writer.plain(proof.expose());
                }
            }
        }
    }
}

impl FromRegistryDatagram {
    #[inline(always)]
    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::KeepAliveSuccess => writer.status(Phrase::Success),
            Self::KeepAliveFailure { reason } => writer.refusal(Phrase::Failure, reason.as_ref()),
            Self::Timeout { username } => writer.word(username.as_str()),
            Self::Parked { proof } | Self::Wake { proof } => writer.plain(proof.expose()),
        }
    }
}

impl Writer<'_> {
    fn notification(&mut self, notification: &Notification) {
        let Notification { delivery, sender, content } = notification;
        self.out.reserve(SHORT + content.as_str().len());
        let (phrase, reason) = match delivery {
            Delivery::Success => (Phrase::Success, None),
            Delivery::Failure { reason } => (Phrase::Failure, reason.as_ref()),
        };
        self.status(phrase);
        self.plain(sender.as_str());
        self.field(content.as_str());
        self.reason(reason);
    }
}
