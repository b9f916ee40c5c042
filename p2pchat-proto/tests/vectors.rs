//! Runs the test vectors of `vectors/`, which belong to PROTOCOL.md and not to this crate.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{fmt::Debug, fs, path::Path};

use bytes::{Bytes, BytesMut};
use p2pchat_proto::{
    Detail, Dialect, FromRegistry, FromRegistryDatagram, Limits, Malformed, Message, ParseError,
    PeerListShape, PeerMessage, RoomName, ToRegistry, ToRegistryDatagram,
    codec::{ClientCodec, PeerCodec, RegistryCodec},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio_util::codec::{Decoder, Encoder};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    link: String,
    dialect: String,
    expect: Option<String>,
    bytes: Option<String>,
    hex: Option<String>,
    canonical: Option<bool>,
    message: Option<serde_json::Value>,
    error: Option<ExpectedError>,
}

#[derive(Deserialize, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
struct ExpectedError {
    verb: Option<String>,
    field: String,
    offset: usize,
    problem: String,
}

impl From<&ParseError> for ExpectedError {
    fn from(error: &ParseError) -> Self {
        Self {
            verb: error.verb.map(|verb| verb.as_str().to_owned()),
            field: error.field.to_owned(),
            offset: error.offset,
            problem: error.problem.name().to_owned(),
        }
    }
}

impl Vector {
    fn wire(&self) -> Bytes {
        match (&self.bytes, &self.hex) {
            (Some(text), None) => text.clone().into(),
            (None, Some(hex)) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16).expect("a hexadecimal digit") as u8;
                hex.as_bytes().chunks(2).map(|pair| digit(&pair[0]) << 4 | digit(&pair[1])).collect()
            }
            _ => panic!("neither or both of bytes and hex"),
        }
    }

    fn dialect(&self) -> Dialect {
        match self.dialect.as_str() {
            "canonical" => Dialect::Canonical,
            "prototype" => Dialect::Prototype,
            other => panic!("dialect {other}"),
        }
    }

    fn shape(&self) -> Option<PeerListShape> {
        self.expect.as_deref().map(|shape| match shape {
            "detailed" => PeerListShape::Detailed,
            "partial" => PeerListShape::Partial,
            "room" => PeerListShape::Room,
            other => panic!("shape {other}"),
        })
    }

    /// What the vector says of `parsed`, and of encoding it again.
    fn check<M>(&self, parsed: &Result<M, ParseError>) -> Result<(), String>
    where
        M: Message + Debug + PartialEq + Serialize + DeserializeOwned,
    {
        match (parsed, &self.error, &self.message) {
            (Err(error), Some(expected), None) => same(&ExpectedError::from(error), expected),
            (Ok(message), None, Some(expected)) => {
                // As JSON, since names that are spelled differently are equal.
                same(&serde_json::to_value(message).expect("messages are JSON"), expected)?;
                let read: M = serde_json::from_value(expected.clone()).map_err(|error| error.to_string())?;
                same(&read, message)?;
                same(&serde_json::to_value(&read).expect("messages are JSON"), expected)?;
                let encoded = message.to_bytes(self.dialect());
                let canonical = self.canonical.ok_or("neither canonical nor not")?;
                if canonical == (encoded == self.wire()) {
                    Ok(())
                } else {
                    Err(format!("canonical: {canonical}, but encodes as {encoded:?}"))
                }
            }
            (parsed, _, _) => Err(format!("parsed as {parsed:?}")),
        }
    }

    fn run<M>(
        &self,
        parse: impl FnOnce(&Bytes) -> Result<M, ParseError>,
        decode: impl FnOnce(&mut BytesMut) -> Option<Result<M, Malformed>>,
    ) -> Result<(), String>
    where
        M: Message + Debug + PartialEq + Serialize + DeserializeOwned,
    {
        let wire = self.wire();
        let frame = match self.dialect() {
            // What it announces stands behind its line.
            _ if wire.starts_with(b"FILE_DATA") => wire.clone(),
            Dialect::Canonical if self.is_stream() => line(&wire).ok_or("no line ending")?,
            _ if self.is_stream() => line(&wire).unwrap_or(wire.clone()),
            _ => wire.clone(),
        };
        let parsed = parse(&frame);
        self.check(&parsed)?;
        if self.is_stream() && frame.len() <= Limits::DEFAULT.frame_bytes {
            same(&decode(&mut BytesMut::from(&wire[..])), &Some(parsed.map_err(Malformed::Message)))?;
        }
        Ok(())
    }

    fn is_stream(&self) -> bool {
        !self.link.ends_with("_datagram")
    }

    fn run_on_its_link(&self) -> Result<(), String> {
        let (dialect, limits) = (self.dialect(), Limits::DEFAULT);
        match self.link.as_str() {
            "to_registry" => {
                let mut codec = RegistryCodec::new(limits);
                codec.set_dialect(dialect);
                self.run(|frame| ToRegistry::parse(frame, dialect, &limits), |buf| codec.decode(buf).unwrap())
            }
            "from_registry" => {
                let shape = self.shape();
                let mut codec = ClientCodec::new(limits);
                codec.set_dialect(dialect);
                for question in shape.map(questions).unwrap_or_default() {
                    codec.encode(question, &mut BytesMut::new()).unwrap();
                }
                self.run(
                    |frame| FromRegistry::parse_expecting(frame, dialect, &limits, shape),
                    |buf| codec.decode(buf).unwrap(),
                )
            }
            "peer" => self.run(
                |frame| PeerMessage::parse(frame, dialect, &limits),
                |buf| PeerCodec::new(limits).decode(buf).unwrap(),
            ),
            "to_registry_datagram" => {
                self.run(|frame| ToRegistryDatagram::parse(frame, dialect, &limits), |_| None)
            }
            "from_registry_datagram" => {
                self.run(|frame| FromRegistryDatagram::parse(frame, dialect, &limits), |_| None)
            }
            other => Err(format!("link {other}")),
        }
    }
}

/// What a peer asks that wants such an answer.
fn questions(shape: PeerListShape) -> Vec<ToRegistry> {
    let lists =
        |detail| vec![ToRegistry::DiscoverPeers { detail, asker: None }, ToRegistry::ListRooms { detail }];
    match shape {
        PeerListShape::Detailed => lists(Detail::Detailed),
        PeerListShape::Partial => lists(Detail::Partial),
        PeerListShape::Room => vec![ToRegistry::DiscoverRoom { room: RoomName::new("den").unwrap() }],
    }
}

fn line(wire: &Bytes) -> Option<Bytes> {
    let line = wire.strip_suffix(b"\n")?;
    Some(wire.slice(..line.strip_suffix(b"\r").unwrap_or(line).len()))
}

fn same<T: Debug + PartialEq>(found: &T, expected: &T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("found {found:?}\n    expected {expected:?}")) }
}

#[test]
fn every_vector_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let (mut count, mut names, mut failures) = (0, std::collections::HashSet::new(), Vec::new());
    for entry in fs::read_dir(folder).expect("the folder of vectors") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "jsonl") {
            continue;
        }
        for (number, line) in (1..).zip(fs::read_to_string(&path).expect("a text file").lines()) {
            let vector: Vector =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{path:?}:{number}: {error}"));
            count += 1;
            if !names.insert(vector.name.clone()) {
                failures.push(format!("{path:?}:{number}: a second vector named {}", vector.name));
            }
            if let Err(failure) = vector.run_on_its_link() {
                failures.push(format!("{path:?}:{number}: {}: {failure}", vector.name));
            }
        }
    }
    assert!(failures.is_empty(), "{}\n{} of {count} failed", failures.join("\n"), failures.len());
    assert!(count >= 200, "only {count} vectors were found");
}
