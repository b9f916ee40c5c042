//! What a user finds by asking, in a world where nothing moves.

use std::{collections::BTreeSet, net::IpAddr};

use p2pchat_core::tokio::Error;
use p2pchat_proto::{Found, RoomName, Username};

use crate::{registry::identity, user::Me};

impl Me {
    /// Looks whether what the program says is true, in a world where nothing moves.
    pub(crate) async fn audit(&self) {
        if std::mem::replace(&mut self.site.book().users[self.number].audited, true) {
            return;
        }
        let is_shared = self.site.book().users[self.number].shared;
        if self.peer.username().is_none() {
            if !is_shared {
                self.site.book().fail(format!("{} is not online", self.name));
            }
            return;
        }
        let verdict = self.compare(is_shared).await;
        let mut book = self.site.book();
        book.stats.audits += 1;
        book.check(verdict.map_err(|what| format!("{} {what}", self.name)));
    }

    async fn compare(&self, is_shared: bool) -> Result<(), String> {
        if self.peer.certificate().is_none_or(|seen| seen.fingerprint != identity().fingerprint()) {
            return Err(format!("was shown {:?}", self.peer.certificate()));
        }
        let mut others = self.site.book().online();
        others.remove(&self.name);
        let names: BTreeSet<_> = self.peer.names().await.map_err(failed)?.into_iter().collect();
        if names != others {
            return Err(format!("is told that {names:?} are online, but {others:?} are"));
        }
        self.compare_addresses(&others).await?;
        let rooms = self.peer.rooms().await.map_err(failed)?;
        let truth = self.site.store.lock().truth.rooms_of(&self.name);
        for room in &rooms {
            let members = self.site.store.lock().truth.members_of(&room.name).len();
            if usize::try_from(room.members).ok() != Some(members) || room.members > room.capacity.get() {
                return Err(format!("is told of {room:?}, but {members} are in it"));
            }
            let store = self.site.store.lock();
            let capacity = usize::try_from(room.capacity.get()).ok();
            let described = store.truth.description_of(&room.name);
            if capacity != store.truth.capacity_of(&room.name) || described != Some(&room.description) {
                return Err(format!("is told of {room:?}, which is {described:?}"));
            }
        }
        let all = self.site.store.lock().truth.rooms().count();
        if rooms.len() != all {
            return Err(format!("is told of {} rooms instead of {all}", rooms.len()));
        }
        let told: BTreeSet<_> = self.site.book().users[self.number].told.keys().cloned().collect();
        if told != truth && !is_shared {
            return Err(format!("was told of {told:?}, but is in {truth:?}"));
        }
        for room in &truth {
            self.compare_bans(room).await?;
            let online = self.site.book().online();
            let mut present = self.site.store.lock().truth.members_of(room);
            present.retain(|member| online.contains(member));
            let members: BTreeSet<_> =
                self.peer.members(room.as_str()).await.map_err(failed)?.into_iter().collect();
            if members != present {
                return Err(format!("is told that {members:?} are in {room}, but {present:?} are"));
            }
            let told = self.site.book().users[self.number].told.get(room).cloned();
            if told.as_ref() != Some(&present) {
                return Err(format!("was told of {told:?} in {room}, but {present:?} are"));
            }
        }
        Ok(())
    }

    /// Where the others are is told to who may know, and who is told may.
    async fn compare_addresses(&self, others: &BTreeSet<Username>) -> Result<(), String> {
        let mut listed = Vec::new();
        for peer in self.peer.peers().await.map_err(failed)? {
            listed.push((peer.username, peer.ip, peer.port));
        }
        for other in others {
            let Found { ip, port, .. } = self.peer.search(other.as_str()).await.map_err(failed)?;
            listed.push((other.clone(), ip, port));
        }
        for (other, ip, port) in listed {
            self.check_address(&other, ip, port)?;
        }
        Ok(())
    }

    fn check_address(&self, other: &Username, ip: IpAddr, port: u16) -> Result<(), String> {
        let is_hidden = ip.is_unspecified() && port == 0;
        let shares = {
            let store = self.site.store.lock();
            let theirs = store.truth.rooms_of(other);
            store.truth.rooms_of(&self.name).iter().any(|room| theirs.contains(room))
        };
        let mut book = self.site.book();
        book.stats.addresses += 1;
        let may = !book.rules.hidden || shares || book.ties.may_know(&self.name, other);
        let must = !book.rules.hidden || shares || book.ties.must_know(&self.name, other);
        if is_hidden && must || !is_hidden && !may {
            return Err(format!("is told that {other} is at {ip}:{port} (may know: {may}, must: {must})"));
        }
        let is_there = book.users.iter().any(|user| user.name == *other && user.addr == Some((ip, port)));
        match is_hidden || is_there {
            true => Ok(()),
            false => Err(format!("is told that {other} is at {ip}:{port}")),
        }
    }

    /// A room's owner sees who is banned from it, and nobody else does.
    async fn compare_bans(&self, room: &RoomName) -> Result<(), String> {
        let told = self.peer.bans(room.as_str()).await;
        let store = self.site.store.lock();
        let wanted = (store.truth.owner_of(room) == Some(&self.name)).then(|| store.truth.bans_of(room));
        let told = told.ok().map(|bans| bans.into_iter().map(|ban| ban.username).collect());
        match told == wanted {
            true => Ok(()),
            false => Err(format!("is told that {told:?} are banned from {room}, and may know {wanted:?}")),
        }
    }
}

fn failed(error: Error) -> String {
    format!("is refused an answer: {error}")
}
