//! What a room's owner does, as the model has it (§7.7).

use super::*;

const REFUSED: &str = "MODERATION <FAILURE> <404>";

impl Model {
    /// What can be told without asking who owns the room.
    pub(super) fn may_moderate(&self, slot: usize, room: &str, act: &Act) -> bool {
        let me = self.user(slot);
        let is_me = match act {
            Act::Kick { user, .. } | Act::Ban { user, .. } => me.as_ref() == Some(&key(user)),
            _ => false,
        };
        self.has(slot, "moderate") && self.is_member(&me, room) && !is_me
    }

    fn owns(&self, me: &Key, room: &str) -> bool {
        self.rooms.get(&key(room)).is_some_and(|room| room.owner == *me)
    }

    /// The rooms of the user on a stream that can speak of it, if there are any.
    pub(crate) fn owned_by(&self, slot: usize) -> Option<Vec<Name>> {
        let me = self.user(slot).filter(|_| self.has(slot, "moderate"))?;
        let owned = self.rooms.values().filter(|room| room.owner == me);
        Some(owned.map(|room| room.name).collect::<Vec<_>>()).filter(|owned| !owned.is_empty())
    }

    pub(super) fn moderate(&mut self, me: &Key, name: &str, act: &Act) -> Reply {
        if !self.owns(me, name) {
            return Err(REFUSED);
        }
        let is_member = |user: &str| self.is_member(&Some(key(user)), name);
        let room = &self.rooms[&key(name)];
        let possible = match act {
            Act::Kick { user, .. } | Act::Owner { user } => is_member(user),
            Act::Ban { user, .. } => {
                let has_room = room.bans.len() < BANS_PER_ROOM || room.bans.contains_key(&key(user));
                self.accounts.contains_key(&key(user)) && has_room
            }
            Act::Unban { user } => room.bans.contains_key(&key(user)),
            Act::Capacity { capacity } => room.members.len() <= *capacity,
            Act::Password { .. } | Act::Description { .. } => true,
        };
        if !possible {
            return Err(REFUSED);
        }
        let was_member = matches!(act, Act::Kick { user, .. } | Act::Ban { user, .. } if is_member(user));
        let room = self.rooms.get_mut(&key(name)).unwrap();
        let change = match act {
            Act::Kick { user, reason } => {
                self.put_out(me, name, user, "ROOM_KICKED", *reason);
                None
            }
            Act::Ban { user, reason } => {
                room.bans.insert(key(user), reason.unwrap_or(""));
                if was_member {
                    self.put_out(me, name, user, "ROOM_BANNED", *reason);
                }
                None
            }
            Act::Unban { user } => {
                room.bans.remove(&key(user));
                None
            }
            Act::Password { password } => {
                room.password = *password;
                Some(("PASSWORD", if password.is_some() { "PROTECTED" } else { "OPEN" }.to_owned()))
            }
            Act::Capacity { capacity } => {
                room.capacity = *capacity;
                Some(("CAPACITY", capacity.to_string()))
            }
            Act::Description { about } => {
                room.about = about;
                Some(("DESCRIPTION", (*about).to_owned()))
            }
            Act::Owner { user } => {
                room.owner = key(user);
                Some(("OWNER", self.accounts[&key(user)].name.to_owned()))
            }
        };
        if let Some((setting, value)) = change {
            self.changed(me, name, setting, &value);
        }
        Ok("MODERATION <SUCCESS> <200>".to_owned())
    }

    /// Tells the user and the members, as each can read it.
    fn put_out(&mut self, me: &Key, name: &str, user: &str, verb: &str, reason: Option<&str>) {
        let user = key(user);
        self.dismiss(&user, name);
        let room = &self.rooms[&key(name)];
        let members = room.members.iter().chain([&user]).filter(|member| *member != me);
        let told: Vec<_> = members.filter_map(|member| self.online(member)).collect();
        let about = format!("<{}> <{}>", room.name, self.accounts[&user].name);
        let reason = reason.map(|reason| format!(" <{reason}>")).unwrap_or_default();
        let push = format!("{verb} {about} <{}>{reason}", self.accounts[me].name);
        for slot in told {
            if self.has(slot, "moderate") {
                self.say(slot, &push);
            } else if self.has(slot, "roster") {
                self.say(slot, &format!("USER_LEFT {about}"));
            }
        }
    }

    fn changed(&mut self, by: &Key, name: &str, setting: &str, value: &str) {
        let (room, user) = (self.rooms[&key(name)].name, self.accounts[by].name);
        let push = format!("ROOM_CHANGED <{room}> <{user}> <{setting}> <{value}>");
        self.push(&[key(name)], by, Some("moderate"), &push);
    }

    /// Ends a membership.
    pub(super) fn dismiss(&mut self, user: &Key, name: &str) {
        let room = self.rooms.get_mut(&key(name)).unwrap();
        room.members.remove(user);
        room.seniority.retain(|other| other != user);
        self.accounts.get_mut(user).unwrap().rooms.retain(|other| *other != key(name));
    }

    /// A room whose owner has left belongs to its longest-standing member.
    pub(super) fn pass_on(&mut self, left: &Key, name: &str) {
        let room = self.rooms.get_mut(&key(name)).unwrap();
        if room.owner == *left
            && let Some(heir) = room.seniority.first().cloned()
        {
            room.owner.clone_from(&heir);
            let heir = self.accounts[&heir].name;
            self.changed(left, name, "OWNER", heir);
        }
    }

    pub(super) fn bans(&self, me: &Key, name: &str) -> Reply {
        if !self.owns(me, name) {
            return Err("BAN_LIST <FAILURE> <404>");
        }
        let bans = self.rooms[&key(name)].bans.iter();
        let records = bans.map(|(user, reason)| format!("<{}> <{reason}>", self.accounts[user].name));
        match records.collect::<Vec<_>>().join(" , ") {
            none if none.is_empty() => Err("BAN_LIST <NOT_FOUND> <404>"),
            records => Ok(format!("BAN_LIST <FOUND> <200> {records}")),
        }
    }
}
