//! Messages to try things with.

use std::fmt::Debug;

use arbitrary::{Arbitrary, Unstructured};
use proptest::prelude::*;

/// Any value, from random bytes: what doesn't come out of them is tried again with others.
pub(crate) fn any_of<T: Debug + for<'a> Arbitrary<'a>>() -> impl Strategy<Value = T> {
    let bytes = prop_oneof![3 => 0..100_usize, 1 => 0..2_000_usize]
        .prop_flat_map(|size| proptest::collection::vec(any::<u8>(), size));
    bytes.prop_filter_map("no value", |bytes| T::arbitrary(&mut Unstructured::new(&bytes)).ok())
}
