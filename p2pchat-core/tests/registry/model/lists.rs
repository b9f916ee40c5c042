//! Who and what there is, as the model tells it.

use super::*;

impl Model {
    pub(super) fn list(&self, detailed: bool) -> Reply {
        let records = self.rooms.values().map(|room| match detailed {
            true => {
                let Room { name, about, members, capacity, .. } = room;
                format!("<{name}> <{about}> <{}> <{capacity}>", members.len())
            }
            false => format!("<{}>", room.name),
        });
        match records.collect::<Vec<_>>().join(" , ") {
            none if none.is_empty() => Err("ROOMS_LIST <NOT_FOUND> <404>"),
            records => Ok(format!("ROOMS_LIST <FOUND> <200> {records}")),
        }
    }

    pub(super) fn search(&mut self, slot: usize, name: &str) {
        let verb = "SEARCH_USER_RESPONSE";
        let Some(found) = self.online(&key(name)) else {
            return match self.accounts.contains_key(&key(name)) {
                true => self.say_why(slot, &format!("{verb} <NOT_ONLINE> <300>")),
                false => self.say_why(slot, &format!("{verb} <NOT_FOUND> <404>")),
            };
        };
        let (name, port, ip) = self.shown(slot, found);
        let both_have = |word: &&str| self.has(slot, word) && self.has(found, word);
        let of_hidden = (self.place(found) != (name, port, ip)).then_some("contact");
        let both: Vec<_> = ["sender"].into_iter().chain(of_hidden).filter(both_have).collect();
        let both = if both.is_empty() { String::new() } else { format!(" <{}>", both.join(",")) };
        let reply = match self.streams[&slot].prototype {
            true => format!("{verb} <SUCCESS> <200> {}", SocketAddr::new(ip, port)),
            false => format!("{verb} <SUCCESS> <200> <{name}> <{port}> <{ip}>{both}"),
        };
        self.say(slot, &reply);
    }

    pub(super) fn peers(&mut self, slot: usize, detailed: bool) {
        let own = self.accounts[&self.user(slot).unwrap()].rooms.clone();
        let prototype = self.streams[&slot].prototype;
        let mut records = BTreeMap::new();
        for other in self.streams.keys().filter(|other| **other != slot) {
            let Some(user) = self.user(*other) else { continue };
            let (name, port, ip) = self.shown(slot, *other);
            // Which of several shared rooms is the registry's choice (§4.10): the one that they joined first.
            let shared = self.accounts[&user].rooms.iter().find(|room| own.contains(room));
            let shared = shared.map_or("", |room| self.rooms[room].name);
            let record = match (prototype, detailed) {
                (true, true) => format!("{name} ({})", SocketAddr::new(ip, port)),
                (true, false) => name.to_owned(),
                (false, true) => format!("<{name}> <{shared}> <{port}> <{ip}>"),
                (false, false) => format!("<{name}>"),
            };
            records.insert(user, record);
        }
        let records: Vec<_> = records.into_values().collect();
        match records.join(if prototype { " " } else { " , " }) {
            none if none.is_empty() => self.say_why(slot, "PEER_LIST <FAILURE> <404>"),
            records => self.say(slot, &format!("PEER_LIST <SUCCESS> <200> {records}")),
        }
    }

    pub(super) fn members(&mut self, slot: usize, room: &str) {
        let room = &self.rooms[&key(room)];
        let online = room.members.iter().filter(|member| self.online(member).is_some());
        let online = online.map(|member| format!(" <{}>", self.accounts[member].name));
        let reply = format!("PEER_LIST <SUCCESS> <200> <{}>{}", room.name, online.collect::<String>());
        self.say(slot, &reply);
    }

    /// What the directory shows of who is online on a stream.
    pub(super) fn place(&self, slot: usize) -> (&'static str, u16, IpAddr) {
        let Stream { session, ip, .. } = &self.streams[&slot];
        let Session { user, port, .. } = session.as_ref().unwrap();
        (self.accounts[user].name, *port, address(ip))
    }
}
