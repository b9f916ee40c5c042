//! What a certificate is recognised by.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};

/// The SHA-256 of a certificate's DER form.
///
/// Written `sha256:` and 64 lower-case hexadecimal digits; read also in capitals and with colons between the pairs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

/// Not a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a fingerprint: wanted is sha256: and 64 hexadecimal digits")]
pub struct NotAFingerprint;

impl Fingerprint {
    /// The fingerprint of a certificate in DER form.
    pub fn of_certificate(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }

    /// The digest itself.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        let (name, digits) = text.trim().split_once(':').ok_or(NotAFingerprint)?;
        if !name.eq_ignore_ascii_case("sha256") {
            return Err(NotAFingerprint);
        }
        let mut bytes = [0; 32];
        let mut digits = digits.chars().filter(|&c| c != ':');
        for byte in &mut bytes {
            for _ in 0..2 {
                let digit =
                    digits.next().and_then(|c| c.to_digit(16)).and_then(|digit| u8::try_from(digit).ok());
                *byte = (*byte << 4) | digit.ok_or(NotAFingerprint)?;
            }
        }
        match digits.next() {
            None => Ok(Self(bytes)),
            Some(_) => Err(NotAFingerprint),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_read_and_one_is_written() {
        let print = Fingerprint::of_certificate(b"abc");
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(print.to_string(), text);
        assert_eq!(text.parse(), Ok(print));
        let pairs: Vec<_> = print.as_bytes().iter().map(|byte| format!("{byte:02X}")).collect();
        assert_eq!(format!("SHA256:{}", pairs.join(":")).parse(), Ok(print));
    }

    #[test]
    fn anything_else_is_refused() {
        let digits = "a".repeat(64);
        for bad in
            ["", "sha256:", &digits, &format!("sha1:{digits}"), &format!("sha256:{digits}0"), "sha256:zz"]
        {
            assert_eq!(bad.parse::<Fingerprint>(), Err(NotAFingerprint), "{bad}");
        }
    }
}
