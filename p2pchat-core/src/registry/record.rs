//! The store's records, in postcard's encoding.

use std::sync::Arc;

use p2pchat_proto::{BanRecord, Capacity, Description, Limits, Reason, RoomName, RoomRecord, Username};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::store::StoreError;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Account {
    /// As it was spelled at registration.
    pub(super) name: Box<str>,
    /// True if it is what is left of an account that was deleted: its name stays taken.
    pub(super) deleted: bool,
    /// The rooms that the account is a member of, in the order of joining.
    pub(super) rooms: Vec<Box<str>>,
}

impl Account {
    /// A new one.
    pub(super) fn new(username: &Username) -> Self {
        Self { name: username.as_str().into(), deleted: false, rooms: Vec::new() }
    }

    /// What is left of one that is deleted.
    pub(super) fn deleted(name: Box<str>) -> Self {
        Self { name, deleted: true, rooms: Vec::new() }
    }

    pub(super) fn username(&self) -> Result<Username, StoreError> {
        Username::with_limits(&self.name, &STORED).map_err(|_| StoreError::Corrupt("username"))
    }

    pub(super) fn room_names(&self) -> Result<Vec<RoomName>, StoreError> {
        self.rooms.iter().map(|room| room_name(room)).collect()
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Room {
    pub(super) id: u64,
    pub(super) name: Box<str>,
    pub(super) description: Box<str>,
    pub(super) capacity: u32,
    pub(super) members: u32,
    /// The sequence number of the next membership.
    pub(super) next_seniority: u64,
    #[serde(with = "shared_option")]
    pub(super) password: Option<Arc<str>>,
    /// The owner's folded username.
    pub(super) owner: Box<str>,
}

impl Room {
    pub(super) fn room_name(&self) -> Result<RoomName, StoreError> {
        room_name(&self.name)
    }

    pub(super) fn to_record(&self) -> Result<RoomRecord, StoreError> {
        let corrupt = |_| StoreError::Corrupt("room");
        Ok(RoomRecord {
            name: self.room_name()?,
            description: Description::with_limits(&self.description, &STORED).map_err(corrupt)?,
            members: self.members,
            capacity: Capacity::new(self.capacity).map_err(corrupt)?,
        })
    }
}

/// Who is banned from a room.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RoomBan {
    /// As it was spelled at registration.
    pub(super) name: Box<str>,
    /// The owner's words; empty if there were none.
    pub(super) reason: Box<str>,
}

impl RoomBan {
    pub(super) fn to_record(&self) -> Result<BanRecord, StoreError> {
        const CORRUPT: StoreError = StoreError::Corrupt("room ban");
        Ok(BanRecord {
            username: Username::with_limits(&self.name, &STORED).map_err(|_| CORRUPT)?,
            reason: Reason::new(&self.reason).map_err(|_| CORRUPT)?,
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Member {
    pub(super) seniority: u64,
}

impl Member {
    /// The membership's key in [`Table::Seniority`](super::store::Table::Seniority).
    pub(super) fn key(&self, room: u64) -> [u8; 16] {
        let mut key = [0; 16];
        let (id, seniority) = key.split_at_mut(8);
        id.copy_from_slice(&room.to_be_bytes());
        seniority.copy_from_slice(&self.seniority.to_be_bytes());
        key
    }
}

/// A membership's key in [`Table::Members`](super::store::Table::Members), and a ban's in
/// [`Table::RoomBans`](super::store::Table::RoomBans).
pub(super) fn member_key(room: u64, folded: &str) -> Vec<u8> {
    [&room.to_be_bytes(), folded.as_bytes()].concat()
}

/// What was stored under wider limits than today's is still read.
pub(super) const STORED: Limits = {
    let mut limits = Limits::DEFAULT;
    limits.room_name_chars = usize::MAX / 16;
    limits.description_bytes = usize::MAX;
    limits
};

fn room_name(name: &str) -> Result<RoomName, StoreError> {
    RoomName::with_limits(name, &STORED).map_err(|_| StoreError::Corrupt("room name"))
}

pub(super) fn encode(record: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    postcard::to_stdvec(record).map_err(|error| StoreError::Engine(error.to_string().into()))
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8], what: &'static str) -> Result<T, StoreError> {
    postcard::from_bytes(bytes).map_err(|_| StoreError::Corrupt(what))
}

/// `Arc<str>` as a string: serde's own support is a feature of the whole tree.
pub(super) mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer};

    pub(in crate::registry) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<str>, D::Error> {
        Ok(String::deserialize(deserializer)?.into())
    }
}

mod shared_option {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        text: &Option<Arc<str>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        text.as_deref().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Arc<str>>, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.map(Into::into))
    }
}
