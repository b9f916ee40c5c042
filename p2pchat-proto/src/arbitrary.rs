//! `Arbitrary` for the values that have rules: only what may exist is made, unusual characters included.

use arbitrary::{Arbitrary, Result, Unstructured};
use bytes::Bytes;

use crate::{
    Capabilities, Capability, Capacity, Description, FileChunk, FileName, InviteCode, KeepAliveProof, List,
    ParkProof, PasswordDigest, PeerPort, RawList, Reason, Record, RegistryName, RoomName, SessionTicket,
    SessionToken, Text, Username,
};

const NAME_CHARS: &[char] = &['a', 'Z', '9', '_', '-', '.', 'ß', 'é', 'ع', '漢', 'Ω', 'ı'];

/// 1–`limit` characters that any name may hold, and some of `more`.
fn name(u: &mut Unstructured<'_>, limit: usize, more: &[char]) -> Result<String> {
    let length = u.int_in_range(1..=limit)?;
    (0..length)
        .map(|_| match u.ratio(1, 4)? {
            true if !more.is_empty() => u.choose(more).copied(),
            _ => u.choose(NAME_CHARS).copied(),
        })
        .collect()
}

impl<'a> Arbitrary<'a> for Username {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Self::new(&name(u, crate::limits::USERNAME_CHARS, &[])?)
            .map_err(|_| arbitrary::Error::IncorrectFormat)
    }
}

impl<'a> Arbitrary<'a> for RoomName {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let inner = name(u, crate::limits::ROOM_NAME_CHARS, &[' ', '\'', '(', ')', ':', '#', '"'])?;
        Self::new(inner.trim()).map_err(|_| arbitrary::Error::IncorrectFormat)
    }
}

impl<'a> Arbitrary<'a> for PasswordDigest {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self::of_password(u.arbitrary()?))
    }
}

impl<'a> Arbitrary<'a> for SessionToken {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self::from_random(u.arbitrary()?))
    }
}

impl<'a> Arbitrary<'a> for SessionTicket {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self::from_random(u.arbitrary()?))
    }
}

impl<'a> Arbitrary<'a> for KeepAliveProof {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(SessionTicket::arbitrary(u)?.proof_of(u.arbitrary()?))
    }
}

impl<'a> Arbitrary<'a> for ParkProof {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(SessionTicket::arbitrary(u)?.park_proof_of(u.arbitrary()?))
    }
}

impl<'a> Arbitrary<'a> for PeerPort {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Self::new(u.int_in_range(1_024..=u32::from(u16::MAX))?).map_err(|_| arbitrary::Error::IncorrectFormat)
    }
}

impl<'a> Arbitrary<'a> for Capacity {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Self::new(u.int_in_range(1..=crate::limits::CAPACITY)?).map_err(|_| arbitrary::Error::IncorrectFormat)
    }
}

/// Any string, often one with the characters that matter to the grammar.
fn string(u: &mut Unstructured<'_>) -> Result<String> {
    if u.ratio(1, 2)? {
        return u.arbitrary();
    }
    let pieces =
        ["<", ">", "\\", "\n", "\r", "\0", " ", "\t", ",", "a", "é", "👩‍👩‍👧", "\u{202e}", "<x>", "\\n", " , "];
    (0..u.int_in_range(0..=12)?).map(|_| u.choose(&pieces).copied()).collect()
}

impl<'a> Arbitrary<'a> for Description {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self::truncated(&string(u)?))
    }
}

impl<'a> Arbitrary<'a> for InviteCode {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self::from_random(u.arbitrary()?))
    }
}

impl<'a> Arbitrary<'a> for Reason {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self::truncated(&string(u)?))
    }
}

impl<'a> Arbitrary<'a> for RegistryName {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let length = u.int_in_range(1..=crate::limits::REGISTRY_NAME_BYTES)?;
        let name: String =
            (0..length).map(|_| u.int_in_range(b'!'..=b'~').map(char::from)).collect::<Result<_>>()?;
        Self::new(&name).map_err(|_| arbitrary::Error::IncorrectFormat)
    }
}

impl<'a> Arbitrary<'a> for FileName {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self::cleaned(&string(u)?))
    }
}

impl<'a> Arbitrary<'a> for FileChunk {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let length = u.int_in_range(1..=300)?;
        let data = (0..length).map(|_| u.arbitrary()).collect::<Result<Bytes>>()?;
        Self::new(u.arbitrary()?, u.arbitrary()?, data).map_err(|_| arbitrary::Error::IncorrectFormat)
    }
}

impl<'a> Arbitrary<'a> for Text {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Self::new(&string(u)?).map_err(|_| arbitrary::Error::IncorrectFormat)
    }
}

impl<'a> Arbitrary<'a> for Capabilities {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let mut set = Vec::new();
        for &capability in Capability::ALL {
            if u.arbitrary()? {
                set.push(capability);
            }
        }
        Ok(set.into_iter().collect())
    }
}

impl<'a, T: Record + Arbitrary<'a>> Arbitrary<'a> for List<T> {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let records = (0..u.int_in_range(0..=20)?).map(|_| u.arbitrary()).collect::<Result<Vec<T>>>()?;
        Ok(Self::fitting(records))
    }
}

impl<'a> Arbitrary<'a> for RawList {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let mut record =
            |_| (0..u.int_in_range(1..=5)?).map(|_| Ok(string(u)?.into())).collect::<Result<_>>();
        Ok(Self { records: (0..3).map(&mut record).collect::<Result<_>>()? })
    }
}
