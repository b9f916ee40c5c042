//! Whether others can dial this peer: what is known of it, and how to find out.
//!
//! Nobody can know that of oneself. What is looked for is one who has done it, at the address that the registry publishes.

use std::net::SocketAddr;

use p2pchat_proto::Username;

use super::{Peer, RequestError, RequestId, Response, StreamId, lines::Numbering, streams::Parting};
use crate::time::Time;

/// Somebody who has dialled this peer and got through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) user: Username,
    pub(super) addr: SocketAddr,
    pub(super) at: Time,
}

impl Peer {
    /// Has the other end of an open chat dial this one, which shows that it can be done. Our own stream to them is given up as
    /// if it had broken, and it is left to them to look for us (§7.14): once, at the address that the registry publishes, as
    /// after any loss. Done when their stream has carried the chat on, at once if the chat is on a stream of theirs already;
    /// [`RequestError::TimedOut`] if none has after one and a half [`delivery_timeout`](super::Config::delivery_timeout)s: then
    /// we dial, and the chat goes on. Refused where the chat doesn't outlast its stream.
    pub fn be_dialled(&mut self, now: Time, user: Username) -> RequestId {
        self.command(|peer, request| {
            peer.me()?;
            let Some(line) = peer.lines.get(&user).filter(|line| line.chat) else {
                return Err(match peer.chats.contains_key(&user) {
                    true => RequestError::Refused(Some(
                        "their program doesn't look for a stream that is lost: have them ask for the chat"
                            .to_owned(),
                    )),
                    false => RequestError::NoChat,
                });
            };
            if peer.awaited.contains_key(&user) {
                return Err(RequestError::TooMany { what: "requests to be dialled by somebody", limit: 1 });
            }
            if line.carrier.and_then(|id| peer.streams.get(&id)).is_some_and(|stream| !stream.dialled) {
                peer.complete(request, Ok(Response::Done));
                return Ok(());
            }
            peer.awaited.insert(user.clone(), request);
            for id in peer.streams_of(&user) {
                let own =
                    |id| peer.streams.get(&id).is_some_and(|s| s.dialled && s.numbering == Numbering::On);
                if own(id) {
                    peer.part(now, id, "they are to dial", true, Parting::Lost);
                }
            }
            // Theirs may have been there all the while.
            if peer.awaited.contains_key(&user) {
                peer.dial_later(now, &user, peer.config.delivery_timeout * 3 / 2);
            }
            Ok(())
        })
    }

    /// What two users say goes by this stream from now on.
    pub(super) fn carried(&mut self, id: StreamId, user: &Username) {
        let Some(stream) = self.streams.get(&id) else { return };
        let outcome = match stream.dialled {
            false => Ok(Response::Done),
            // Something could not wait for them.
            true => Err(RequestError::Interrupted),
        };
        self.was_awaited(user, outcome);
    }

    /// How it ends that somebody was to dial, if they were.
    pub(super) fn was_awaited(&mut self, user: &Username, outcome: Result<Response, RequestError>) {
        if let Some(request) = self.awaited.remove(user) {
            self.complete(request, outcome);
        }
    }

    /// It is clear who has dialled.
    pub(super) fn note_caller(&mut self, now: Time, id: StreamId, user: &Username) {
        if let Some(stream) = self.streams.get(&id).filter(|stream| !stream.dialled) {
            self.caller = Some(Caller { user: user.clone(), addr: stream.addr, at: now });
        }
    }
}
