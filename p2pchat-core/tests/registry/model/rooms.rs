//! Rooms and who is in them, as the model has them.

use super::*;

impl Model {
    pub(super) fn create(
        &mut self,
        me: &Key,
        name: &'static str,
        password: Option<&'static str>,
        capacity: usize,
    ) -> Reply {
        if self.rooms.keys().any(|other| look(other) == look(&key(name)))
            || self.is_in_enough_rooms(&Some(me.clone()))
        {
            return Err("CREATION <FAILURE> <404>");
        }
        let new = Room {
            name,
            capacity,
            about: "about",
            password,
            members: BTreeSet::new(),
            owner: me.clone(),
            seniority: Vec::new(),
            bans: BTreeMap::new(),
        };
        self.rooms.insert(key(name), new);
        self.enter(me, name);
        Ok("CREATION <SUCCESS> <200>".to_owned())
    }

    pub(super) fn join(&mut self, me: &Key, name: &str, password: Option<&str>) -> Reply {
        let is_open = self.rooms.get(&key(name)).is_some_and(|room| {
            room.members.len() < room.capacity
                && !room.bans.contains_key(me)
                && room.password.is_none_or(|right| password == Some(right))
        });
        if !self.is_member(&Some(me.clone()), name) {
            if !is_open || self.is_in_enough_rooms(&Some(me.clone())) {
                return Err("JOIN <FAILURE> <404>");
            }
            self.enter(me, name);
        }
        Ok("JOIN <SUCCESS> <200>".to_owned())
    }

    pub(super) fn enter(&mut self, me: &Key, room: &str) {
        let account = self.accounts.get_mut(me).unwrap();
        account.rooms.push(key(room));
        let entered = self.rooms.get_mut(&key(room)).unwrap();
        entered.members.insert(me.clone());
        entered.seniority.push(me.clone());
        let push = format!("USER_JOINED <{}> <{}>", entered.name, account.name);
        if self.online(me).is_some() {
            self.push(&[key(room)], me, Some("roster"), &push);
        }
    }

    pub(super) fn exit(&mut self, me: &Key, name: &str) -> Reply {
        if !self.is_member(&Some(me.clone()), name) {
            return Err("ROOM_EXIT_RESPONSE <FAILURE> <404>");
        }
        self.dismiss(me, name);
        let (room, user) = (self.rooms[&key(name)].name, self.accounts[me].name);
        self.push(&[key(name)], me, Some("roster"), &format!("USER_LEFT <{room}> <{user}>"));
        self.pass_on(me, name);
        self.rooms.retain(|_, room| !room.members.is_empty());
        Ok("ROOM_EXIT_RESPONSE <SUCCESS> <200>".to_owned())
    }
}
