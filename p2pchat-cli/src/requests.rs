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
    /// What the user calls the request: the name, or the address of somebody without one.
    pub(crate) label: String,
}

/// All of them, the oldest first. The peer machine bounds how many there can be.
#[derive(Debug, Default)]
pub(crate) struct Requests(Vec<Pending>);

impl Requests {
    /// Notes a request, and returns what to call it.
    pub(crate) fn add(&mut self, id: ChatRequestId, from: Option<Username>, addr: SocketAddr) -> String {
        let label = from.as_ref().map_or_else(|| addr.to_string(), show::name);
        self.0.push(Pending { id, from, label: label.clone() });
        label
    }

    /// Forgets what its sender has withdrawn.
    pub(crate) fn withdraw(&mut self, from: Option<&Username>) {
        if from.is_some() {
            self.0.retain(|pending| pending.from.as_ref() != from);
        }
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
