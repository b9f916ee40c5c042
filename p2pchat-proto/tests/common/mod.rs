//! Messages to try things with.

use std::fmt::Debug;

use arbitrary::{Arbitrary, Unstructured};
use p2pchat_proto::{FromRegistry, PeerList, PeerListShape, RoomsList};
use proptest::prelude::*;

/// Any value, from random bytes: what doesn't come out of them is tried again with others.
pub(crate) fn any_of<T: Debug + for<'a> Arbitrary<'a>>() -> impl Strategy<Value = T> {
    let bytes = prop_oneof![3 => 0..100_usize, 1 => 0..2_000_usize]
        .prop_flat_map(|size| proptest::collection::vec(any::<u8>(), size));
    bytes.prop_filter_map("no value", |bytes| T::arbitrary(&mut Unstructured::new(&bytes)).ok())
}

/// What the asker of such an answer knows.
pub(crate) fn shape_of(message: &FromRegistry) -> Option<PeerListShape> {
    match message {
        FromRegistry::Peers(PeerList::Detailed(_)) | FromRegistry::Rooms(RoomsList::Detailed(_)) => {
            Some(PeerListShape::Detailed)
        }
        FromRegistry::Peers(PeerList::Partial(_)) | FromRegistry::Rooms(RoomsList::Partial(_)) => {
            Some(PeerListShape::Partial)
        }
        FromRegistry::Peers(PeerList::Room { .. }) => Some(PeerListShape::Room),
        _ => None,
    }
}
