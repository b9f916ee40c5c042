//! What the user has noted of others in files, to which other programs of theirs add: whose key is whose, and who is blocked.

use std::collections::{BTreeMap, BTreeSet};

use p2pchat_proto::{LinkKey, Username};

use super::ClientConfig;
use crate::{
    Time, peer,
    tokio::{BlockList, Error, KnownPeers},
};

/// A file, and what it said when it was last read.
struct Read<F, T> {
    file: F,
    /// How long it was then.
    size: u64,
    said: T,
}

impl<F, T: Default> Read<F, T> {
    fn not_yet(file: F) -> Self {
        Self { file, size: 0, said: T::default() }
    }

    /// What it says now, if it says more; then what it said before is returned.
    fn news(
        &mut self,
        size: impl Fn(&F) -> u64,
        look_up: impl Fn(&F) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        // Of what is added meanwhile the size tells the next time.
        let size = size(&self.file);
        if size == self.size {
            return Ok(None);
        }
        let before = std::mem::replace(&mut self.said, look_up(&self.file)?);
        self.size = size;
        Ok(Some(before))
    }
}

pub(super) struct Noted {
    keys: Option<Read<KnownPeers, BTreeMap<Username, LinkKey>>>,
    blocked: Option<Read<BlockList, BTreeSet<Username>>>,
}

impl Noted {
    pub(super) fn new(config: &ClientConfig) -> Self {
        Self { keys: config.known().map(Read::not_yet), blocked: config.blocked().map(Read::not_yet) }
    }

    /// Tells the machine what the files say that they didn't before.
    pub(super) fn read(&mut self, now: Time, machine: &mut peer::Peer) -> Result<(), Error> {
        if let Some(keys) = &mut self.keys
            && let Some(before) = keys.news(KnownPeers::size, KnownPeers::look_up)?
        {
            for user in before.into_keys().filter(|user| !keys.said.contains_key(user)) {
                machine.set_key(now, user, None);
            }
            for (user, key) in &keys.said {
                machine.set_key(now, user.clone(), Some(*key));
            }
        }
        if let Some(blocked) = &mut self.blocked
            && let Some(before) = blocked.news(BlockList::size, BlockList::look_up)?
        {
            for user in before.difference(&blocked.said) {
                machine.unblock(user);
            }
            for user in &blocked.said {
                machine.block(now, user.clone());
            }
        }
        Ok(())
    }

    /// What another program of this user's has noted since counts, too.
    pub(super) fn refresh(&mut self, now: Time, machine: &mut peer::Peer) {
        if let Err(error) = self.read(now, machine) {
            // What is known already still holds.
            tracing::warn!(%error, "what is noted of others can't be read again");
        }
    }

    /// By which key somebody is known outlasts this client, if that is wanted.
    pub(super) fn note_key(&self, user: &Username, key: Option<LinkKey>) -> Result<(), Error> {
        self.keys.as_ref().map_or(Ok(()), |known| known.file.remember(user, key))
    }

    /// So does who is blocked.
    pub(super) fn note_blocked(&self, user: &Username, blocked: bool) -> Result<(), Error> {
        self.blocked.as_ref().map_or(Ok(()), |list| list.file.remember(user, blocked))
    }
}
