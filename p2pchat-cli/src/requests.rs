//! Wishes to chat that wait for the user's answer.

use std::net::SocketAddr;

use p2pchat_core::{peer::ChatRequestId, proto::Username};

use crate::{sanitize, show};

/// Somebody's wish to chat.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    /// To be named in the answer.
    pub(crate) id: ChatRequestId,
    /// Who, if their program said so.
    pub(crate) from: Option<Username>,
    /// Who it is was proven by their key.
    pub(crate) secured: bool,
    /// What the user calls the request: the name, or the address of somebody without one.
    pub(crate) label: String,
}

/// How many are kept. The peer machine holds no more, but doesn't say which one somebody without a name has withdrawn.
const LIMIT: usize = 64;

/// All of them, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Requests(Vec<Pending>);

impl Requests {
    /// Notes a request, and returns what to call it.
    pub(crate) fn add(
        &mut self,
        id: ChatRequestId,
        from: Option<Username>,
        addr: SocketAddr,
        secured: bool,
    ) -> String {
        let label = from.as_ref().map_or_else(|| addr.to_string(), show::name);
        if self.0.len() >= LIMIT {
            self.0.remove(0);
        }
        self.0.push(Pending { id, from, secured, label: label.clone() });
        label
    }

    /// Forgets what its sender has withdrawn. True if there was something.
    pub(crate) fn withdraw(&mut self, from: Option<&Username>) -> bool {
        let before = self.0.len();
        if from.is_some() {
            self.0.retain(|pending| pending.from.as_ref() != from);
        }
        self.0.len() < before
    }

    /// What all of them are called, and whether who asks has proven who they are.
    pub(crate) fn labels(&self) -> Vec<(String, bool)> {
        self.0.iter().map(|pending| (pending.label.clone(), pending.secured)).collect()
    }

    /// The oldest request.
    pub(crate) fn pop(&mut self) -> Option<Pending> {
        if self.0.is_empty() { None } else { Some(self.0.remove(0)) }
    }

    /// The request that `who` names; without a name, the only one.
    pub(crate) fn take(&mut self, who: Option<&str>) -> Result<Pending, String> {
        let at = match who {
            Some(who) => {
                let username = Username::new(who).ok();
                let is_meant = |pending: &Pending| {
                    pending.label == who || (username.is_some() && pending.from == username)
                };
                self.0
                    .iter()
                    .position(is_meant)
                    .ok_or_else(|| format!("{} has not asked to chat", sanitize::line(who)))?
            }
            None if self.0.len() > 1 => {
                let labels: Vec<_> = self.0.iter().map(|pending| pending.label.as_str()).collect();
                return Err(format!("whose? {} want to chat", labels.join(", ")));
            }
            None if self.0.is_empty() => return Err("nobody has asked to chat".to_owned()),
            None => 0,
        };
        Ok(self.0.remove(at))
    }

    /// Forgets all of them.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use p2pchat_core::{
        Time,
        peer::{Config, Effect, Event, Peer},
        proto::{AuthReply, Dialect, FromRegistry, HelloReply, PasswordDigest, PeerMessage},
    };

    use super::*;

    /// What a peer machine calls a request.
    fn some_id() -> ChatRequestId {
        let (mut peer, now) = (Peer::new(Config::default(), 1), Time::ZERO);
        let me: Username = "me".parse().unwrap();
        peer.login(now, me.clone(), PasswordDigest::of_password("x"), None);
        peer.handle_registry_connected(now, Some(Dialect::Canonical));
        peer.handle_registry_message(now, FromRegistry::Hello(HelloReply::Success { extensions: None }));
        peer.handle_registry_message(now, FromRegistry::Auth(AuthReply::Success { token: None }));
        let stream = peer.accept_stream(now, SocketAddr::from(([127, 0, 0, 1], 1_024))).unwrap();
        peer.handle_stream_message(now, stream, PeerMessage::ChatRequest { recipient: me, sender: None });
        let mut effects = std::iter::from_fn(|| peer.poll_effect());
        effects
            .find_map(|effect| match effect {
                Effect::Event(Event::ChatRequested { request, .. }) => Some(request),
                _ => None,
            })
            .unwrap()
    }

    #[test]
    fn nameless_requests_that_were_withdrawn_do_not_pile_up() {
        let (id, mut requests) = (some_id(), Requests::default());
        for port in 1..1_000 {
            requests.add(id, None, SocketAddr::from(([127, 0, 0, 1], port)), false);
            requests.withdraw(None);
        }
        assert_eq!(requests.0.len(), LIMIT);
        assert_eq!(requests.0.last().map(|pending| pending.label.as_str()), Some("127.0.0.1:999"));
    }
}
