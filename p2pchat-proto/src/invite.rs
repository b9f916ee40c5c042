//! Invitations (PROTOCOL.md §7.9).

use std::fmt;

use sha2::{Digest, Sha256};

use crate::{error::Problem, value::serde_as_str};

const LENGTH: usize = 26;
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// What a registry that takes registrations by invitation wants with each (capability `invite`, §7.9): 130 random bits in
/// 26 letters `a`–`z` and digits `2`–`7`.
///
/// Whoever has it may register, so `Debug` hides it, comparing takes the same time wherever the difference is, and there is
/// no `Display`.
#[derive(Clone)]
pub struct InviteCode([u8; LENGTH]);

impl InviteCode {
    /// Takes what is spelled as on the wire.
    pub fn new(text: &str) -> Result<Self, Problem> {
        let code = text.as_bytes().try_into().map_err(|_| NOT_A_CODE)?;
        match text.bytes().all(|byte| ALPHABET.contains(&byte)) {
            true => Ok(Self(code)),
            false => Err(NOT_A_CODE),
        }
    }

    /// Takes what a person has typed: capitals count as small letters, hyphens and blanks as nothing.
    pub fn typed(text: &str) -> Result<Self, Problem> {
        let plain: String = text.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
        Self::new(&plain.to_ascii_lowercase())
    }

    /// The code of these bits, which nobody can have guessed; five of each byte count.
    pub fn from_random(bits: [u8; LENGTH]) -> Self {
        Self(bits.map(|byte| ALPHABET.get(usize::from(byte & 31)).copied().unwrap_or_default()))
    }

    /// The code. A secret: for the wire and for who is invited, never for a log.
    pub fn expose(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The SHA-256 of the code: what a registry keeps of it. It says nothing about the code, which has too many bits to be
    /// tried.
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(self.0).into()
    }

    #[cfg(feature = "serde")]
    fn as_str(&self) -> &str {
        self.expose()
    }
}

const NOT_A_CODE: Problem =
    Problem::Unexpected { expected: "an invitation, which is 26 letters a-z and digits 2-7" };

impl PartialEq for InviteCode {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
    }
}

impl Eq for InviteCode {}

impl fmt::Debug for InviteCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InviteCode(…)")
    }
}

serde_as_str!(InviteCode);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_is_five_bits_a_character_and_hidden() {
        let code = InviteCode::from_random(std::array::from_fn(|n| n as u8 | 0xe0));
        assert_eq!(code.expose(), "abcdefghijklmnopqrstuvwxyz");
        assert_eq!(InviteCode::from_random([0xff; 26]).expose(), "7".repeat(26));
        assert_eq!(format!("{code:?}"), "InviteCode(…)");
        assert_eq!(InviteCode::new(code.expose()), Ok(code.clone()));
        assert_ne!(InviteCode::new("abcdefghijklmnopqrstuvwxy7"), Ok(code.clone()));
        let sha = Sha256::digest("abcdefghijklmnopqrstuvwxyz");
        assert_eq!(code.sha256().as_slice(), sha.as_slice());
    }

    #[test]
    fn what_people_type_is_taken_and_what_is_no_code_is_refused() {
        let code = InviteCode::new("abcdefghijklmnopqrstuvwxyz").unwrap();
        assert_eq!(InviteCode::typed(" ABCDE-fghij-klmno-pqrst-uvwxy-z\n"), Ok(code));
        for wrong in
            ["", "abcdefghijklmnopqrstuvwxy", "abcdefghijklmnopqrstuvwxyza", "abcdefghijklmnopqrstuvwxy1"]
        {
            assert_eq!(InviteCode::new(wrong), Err(NOT_A_CODE), "{wrong}");
            assert_eq!(InviteCode::typed(wrong), Err(NOT_A_CODE), "{wrong}");
        }
        assert_eq!(InviteCode::new("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), Err(NOT_A_CODE));
        assert_eq!(InviteCode::new(&"é".repeat(13)), Err(NOT_A_CODE));
    }
}
