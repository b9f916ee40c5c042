//! What two people compare to know that nobody is between them (PROTOCOL.md §7.13).

use p2pchat_proto::{LinkKey, Username};
use sha2::{Digest, Sha256};

/// How many groups of five digits tell one user's key.
const GROUPS: usize = 6;
/// How many words do.
const WORDS: usize = 8;
/// How many bits a word has: the position in a list of 2,048.
const WORD_BITS: usize = 11;

/// The number that two users have in common as long as each has the other's key: the same on both sides, and another one if
/// somebody stands in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafetyNumber([[u8; 32]; 2]);

impl SafetyNumber {
    /// Of two users and their keys, in either order.
    pub fn of(one: (&Username, &LinkKey), other: (&Username, &LinkKey)) -> Self {
        let mut users = [one, other];
        users.sort_by_key(|(user, _)| *user);
        Self(users.map(|(user, key)| {
            let mut hash = Sha256::new();
            for part in [&b"p2pchat safety number"[..], user.folded().as_bytes()] {
                hash.update(part);
                hash.update([0]);
            }
            hash.update(key.as_bytes());
            hash.finalize().into()
        }))
    }

    /// Twelve groups of five digits.
    pub fn digits(&self) -> Vec<String> {
        let group = |bytes: &[u8]| {
            let number = bytes.iter().fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
            format!("{:05}", number % 100_000)
        };
        self.0.iter().flat_map(|hash| hash.chunks_exact(5).take(GROUPS).map(group)).collect()
    }

    /// Sixteen numbers below 2,048, each a word's place in a list.
    pub fn words(&self) -> Vec<usize> {
        let word = |hash: &[u8; 32], n: usize| {
            (n * WORD_BITS..(n + 1) * WORD_BITS).fold(0, |word, bit| {
                let byte = hash.get(bit / 8).copied().unwrap_or_default();
                word << 1 | usize::from(byte >> (7 - bit % 8) & 1)
            })
        };
        self.0.iter().flat_map(|hash| (0..WORDS).map(|n| word(hash, n)).collect::<Vec<_>>()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_see_the_same_and_any_other_key_or_name_changes_it() {
        let name = |name| Username::new(name).unwrap();
        let key = |n| LinkKey::from_bytes([n; 32]);
        let (alice, bob) = (name("alice"), name("Bob"));
        let number = SafetyNumber::of((&alice, &key(1)), (&bob, &key(2)));
        assert_eq!(number, SafetyNumber::of((&name("bob"), &key(2)), (&name("ALICE"), &key(1))));
        let digits = number.digits().join(" ");
        // As any other program has to compute it.
        assert_eq!(digits, "49121 14827 31691 51471 98499 30073 90316 80984 17541 07179 81651 28752");
        assert_eq!(
            number.words(),
            [396, 808, 1215, 1556, 1809, 1937, 573, 849, 1159, 1527, 854, 1733, 1643, 364, 219, 213]
        );
        for other in [
            SafetyNumber::of((&alice, &key(1)), (&bob, &key(3))),
            SafetyNumber::of((&alice, &key(3)), (&bob, &key(2))),
            SafetyNumber::of((&alice, &key(2)), (&bob, &key(1))),
            SafetyNumber::of((&name("alicf"), &key(1)), (&bob, &key(2))),
        ] {
            assert_ne!(other.digits(), number.digits());
            assert_ne!(other.words(), number.words());
        }
    }
}
