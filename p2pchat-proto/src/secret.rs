//! Secrets that travel as lower-case hexadecimal digits: `Debug` hides them, there is no `Display`, and comparing takes
//! the same time wherever the difference is (PROTOCOL.md §3.3).

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::{error::Problem, value::serde_as_str};

/// The first bytes, two digits each, as hexadecimal digits.
pub(crate) fn hex<const DIGITS: usize>(bytes: impl IntoIterator<Item = u8>) -> [u8; DIGITS] {
    const ALPHABET: &[u8; 16] = b"0123456789abcdef";
    let mut hex = [0; DIGITS];
    for (pair, byte) in hex.chunks_exact_mut(2).zip(bytes) {
        for (digit, nibble) in pair.iter_mut().zip([byte >> 4, byte & 15]) {
            *digit = ALPHABET.get(usize::from(nibble)).copied().unwrap_or_default();
        }
    }
    hex
}

/// The bytes of exactly as many lower-case hexadecimal digits as they need.
pub(crate) fn unhex<const BYTES: usize>(digits: &str) -> Option<[u8; BYTES]> {
    let value = |digit| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some((digit - b'a') + 10),
        _ => None,
    };
    let mut bytes = [0; BYTES];
    if digits.len() != 2 * BYTES {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        *byte = pair.iter().try_fold(0, |byte, &digit| Some(byte << 4 | value(digit)?))?;
    }
    Some(bytes)
}

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident, $digits:literal, $shown:literal) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name([u8; $digits]);

        impl $name {
            /// Takes what is already in hexadecimal digits.
            pub fn new(hex: &str) -> Result<Self, Problem> {
                let digits: [u8; $digits] = hex.as_bytes().try_into().map_err(|_| Problem::NotADigest)?;
                match digits.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
                    true => Ok(Self(digits)),
                    false => Err(Problem::NotADigest),
                }
            }

            /// The digits. A secret: for the wire and for being hashed, never for a log.
            pub fn expose(&self) -> &str {
                str::from_utf8(&self.0).unwrap_or_default()
            }

            #[cfg(feature = "serde")]
            fn as_str(&self) -> &str {
                self.expose()
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.0.iter().zip(&other.0).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
            }
        }

        impl Eq for $name {}

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($shown)
            }
        }

        serde_as_str!($name);
    };
}

secret! {
    /// The SHA-256 of a password's UTF-8 bytes, as 64 lower-case hexadecimal digits: what travels instead of a password.
    ///
    /// It is as good as the password to whoever sees it, so `Debug` hides it, comparing takes the same time wherever the
    /// difference is, and there is no `Display`.
    PasswordDigest, 64, "PasswordDigest(…)"
}

impl PasswordDigest {
    /// The digest of a password.
    pub fn of_password(password: &str) -> Self {
        Self(hex(Sha256::digest(password.as_bytes())))
    }
}

secret! {
    /// What brings a session back on another stream (capability `resume`, §7.5): 256 random bits, as 64 lower-case
    /// hexadecimal digits.
    ///
    /// Whoever has it is the session's user, so it is hidden as a [`PasswordDigest`] is.
    SessionToken, 64, "SessionToken(…)"
}

impl SessionToken {
    /// The token of these bits, which nobody can have guessed.
    pub fn from_random(bits: [u8; 32]) -> Self {
        Self(hex(bits))
    }

    /// The SHA-256 of its digits: what a registry keeps of a token. It says nothing about the token, which has too many
    /// bits to be tried.
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(self.0).into()
    }
}

secret! {
    /// What a session's keep-alives prove (capability `ticket`, §7.6): 256 random bits, as 64 lower-case hexadecimal digits.
    ///
    /// It never travels in a datagram, only proofs of it do.
    SessionTicket, 64, "SessionTicket(…)"
}

impl SessionTicket {
    /// The ticket of these bits, which nobody can have guessed.
    pub fn from_random(bits: [u8; 32]) -> Self {
        Self(hex(bits))
    }

    /// Its bits, which take half the memory. A secret as well.
    pub fn to_bits(&self) -> [u8; 32] {
        unhex(self.expose()).unwrap_or_default()
    }

    /// The ticket of a token's bits, where those were made for it.
    pub fn from_fresh(SessionToken(bits): SessionToken) -> Self {
        Self(bits)
    }

    /// The HMAC-SHA-256 of `what` under the ticket's 64 digits.
    pub(crate) fn proof_of(&self, what: &str) -> KeepAliveProof {
        KeepAliveProof(hex(self.mac_of(what)))
    }

    /// The first half of the same.
    pub(crate) fn park_proof_of(&self, what: &str) -> ParkProof {
        ParkProof(hex(self.mac_of(what)))
    }

    fn mac_of(&self, what: &str) -> [u8; 32] {
        // As long as a block of the hash, so it is the key as it is.
        let mut mac = Hmac::<Sha256>::new(&self.0.into());
        mac.update(what.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

secret! {
    /// That who sends a keep-alive has the session's ticket (§7.6): an HMAC-SHA-256, as 64 lower-case hexadecimal digits.
    ///
    /// It is no secret once it was sent, but one to whoever wants to guess it: comparing takes the same time wherever the
    /// difference is.
    KeepAliveProof, 64, "KeepAliveProof(…)"
}

secret! {
    /// That an answer to a parked session's keep-alive comes from who has the session's ticket (§7.12): the first half of an
    /// HMAC-SHA-256, as 32 lower-case hexadecimal digits, so that answers are shorter than questions.
    ///
    /// Compared as a [`KeepAliveProof`] is.
    ParkProof, 32, "ParkProof(…)"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_travels_as_its_sha256() {
        let digest = PasswordDigest::of_password("abc");
        assert_eq!(digest.expose(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(PasswordDigest::new(digest.expose()), Ok(digest));
    }

    #[test]
    fn a_token_travels_as_its_bits_and_is_kept_as_the_sha256_of_its_digits() {
        let token = SessionToken::from_random([0xa5; 32]);
        assert_eq!(token.expose(), "a5".repeat(32));
        assert_eq!(SessionToken::new(token.expose()), Ok(token.clone()));
        let kept: [u8; 64] = hex(token.sha256());
        assert_eq!(kept, *PasswordDigest::of_password(token.expose()).0.as_slice());
        assert_ne!(token.sha256(), [0xa5; 32]);
    }

    /// Computed by Python's hmac module.
    #[test]
    fn a_proof_is_the_hmac_under_the_tickets_digits() {
        let ticket = SessionTicket::from_random([0xa5; 32]);
        assert_eq!(ticket.expose(), "a5".repeat(32));
        let proof = ticket.proof_of("KEEP_ALIVE <alice> <10> <1>");
        assert_eq!(proof.expose(), "b4934c7f86b96379f3656198f01e5dd575690043fd29df22bce427e27942fc02");
        assert_ne!(ticket.proof_of("KEEP_ALIVE <alice> <10> <2>"), proof);
        assert_ne!(SessionTicket::from_random([0xa4; 32]).proof_of("KEEP_ALIVE <alice> <10> <1>"), proof);
        assert_eq!(ticket.to_bits(), [0xa5; 32]);
        let bits = std::array::from_fn(|n| u8::try_from(n * 7).unwrap());
        assert_eq!(SessionTicket::from_random(bits).to_bits(), bits);
        let half = ticket.park_proof_of("KEEP_ALIVE <alice> <10> <1>");
        assert_eq!(half.expose(), &proof.expose()[..32]);
    }

    #[test]
    fn secrets_are_not_in_debug_output() {
        let digest = PasswordDigest::of_password("abc");
        assert_eq!(format!("{digest:?}"), "PasswordDigest(…)");
        assert_eq!(format!("{:?}", SessionToken::from_random([1; 32])), "SessionToken(…)");
        let ticket = SessionTicket::from_random([1; 32]);
        assert_eq!(format!("{ticket:?} {:?}", ticket.proof_of("")), "SessionTicket(…) KeepAliveProof(…)");
    }

    #[test]
    fn secrets_are_equal_if_every_digit_is() {
        fn check<T: PartialEq + fmt::Debug>(secret: impl Fn(&str) -> T) {
            let zero = "0".repeat(62);
            assert_eq!(secret(&format!("00{zero}")), secret(&format!("00{zero}")));
            for other in ["01", "10", "11"] {
                assert_ne!(secret(&format!("00{zero}")), secret(&format!("{other}{zero}")), "{other}");
                assert_ne!(
                    secret(&format!("00{zero}")),
                    secret(&format!("{zero}{other}")),
                    "{other} at the end"
                );
            }
        }
        check(|hex| PasswordDigest::new(hex).unwrap());
        check(|hex| SessionToken::new(hex).unwrap());
        check(|hex| SessionTicket::new(hex).unwrap());
        check(|hex| KeepAliveProof::new(hex).unwrap());
        check(|hex| ParkProof::new(&format!("{}{}", &hex[..16], &hex[48..])).unwrap());
    }

    #[test]
    fn what_isnt_64_small_digits_is_no_secret() {
        let capitals = "A".repeat(64);
        for wrong in ["", "0", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &capitals, &"é".repeat(32)]
        {
            assert_eq!(SessionToken::new(wrong), Err(Problem::NotADigest), "{wrong}");
        }
    }
}
