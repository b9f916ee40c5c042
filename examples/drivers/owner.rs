//! What only a room's owner may do, by whoever likes to.

use fastrand::Rng;
use p2pchat_proto::{RoomName, Username};

use crate::user::{Me, room_password};

impl Me {
    pub(crate) fn moderate(&self, dice: &mut Rng, room: RoomName, other: Username) {
        let (peer, why) = (self.peer.clone(), dice.bool().then_some("no < spam"));
        let (room, other) = (room.as_str().to_owned(), other.as_str().to_owned());
        match dice.u8(0..100) {
            0..20 => self.ask("kick", None, async move { peer.kick(&room, &other, why).await }),
            20..40 => self.ask("ban", None, async move { peer.ban(&room, &other, why).await }),
            40..60 => self.ask("unban", None, async move { peer.unban(&room, &other).await }),
            60..66 => self.ask("bans", None, async move { peer.bans(&room).await }),
            // Back to the one that everybody knows, more often than to another.
            66..78 => {
                let known = RoomName::new(&room).ok().and_then(|room| room_password(&room));
                let password = if dice.u8(0..3) == 0 { Some("another".to_owned()) } else { known };
                let call = async move { peer.set_password(&room, password.as_deref()).await };
                self.ask("set a password", None, call);
            }
            78..88 => {
                let capacity = dice.u32(1..=5);
                self.ask("set a capacity", None, async move { peer.set_capacity(&room, capacity).await });
            }
            88..92 => {
                let words = if dice.bool() { "> b, /o\\" } else { "" };
                self.ask("describe", None, async move { peer.set_description(&room, words).await });
            }
            _ => self.ask("set an owner", None, async move { peer.set_owner(&room, &other).await }),
        }
    }
}
