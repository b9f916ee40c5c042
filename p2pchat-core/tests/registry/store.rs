//! What the store's records promise (PROTOCOL.md §5.3).

use p2pchat_core::registry::store::{MemoryStore, StoreAnswer, StoreRequest, Write};
use p2pchat_proto::{Capacity, Description, Limits, RoomName, Username};

#[test]
fn a_room_under_wider_limits_than_the_protocols_is_left_like_any_other() {
    let mut limits = Limits::DEFAULT;
    limits.room_name_chars = 100;
    let username = Username::new("alice").unwrap();
    let room = RoomName::with_limits(&"Den".repeat(30), &limits).unwrap();
    let again = RoomName::with_limits(&"dEN".repeat(30), &limits).unwrap();
    let mut store = MemoryStore::new();
    let mut write = |request| store.answer(&StoreRequest::Write(request));

    write(Write::Register { username: username.clone(), password: "hash".into() });
    let created = write(Write::CreateRoom {
        room,
        owner: username.clone(),
        password: None,
        capacity: Capacity::new(5).unwrap(),
        description: Description::default(),
        rooms_per_user: 32,
    });
    assert!(matches!(created, StoreAnswer::Joined { .. }), "{created:?}");
    let left = write(Write::LeaveRoom { room: again, username: username.clone() });
    assert!(matches!(left, StoreAnswer::Left { .. }), "{left:?}");
    let session = write(Write::OpenSession { username, password: None });
    assert!(matches!(&session, StoreAnswer::Session(Some((_, rooms))) if rooms.is_empty()), "{session:?}");
}
