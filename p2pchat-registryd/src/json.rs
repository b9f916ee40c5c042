//! Objects in JSON, one on a line.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::Value;

/// An object's fields, none of them twice: of two values nobody knows which was meant.
pub(crate) struct Fields(pub(crate) BTreeMap<String, Value>);

/// Why a line is no such object.
pub(crate) struct Error {
    /// The byte, from 0.
    pub(crate) offset: usize,
    pub(crate) problem: String,
}

impl Fields {
    pub(crate) fn parse(line: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(line).map_err(|error| Error {
            offset: error.column().saturating_sub(1),
            problem: without_place(&error),
        })
    }
}

/// serde_json says the place at the end of its message, in lines and columns; there is one line here.
fn without_place(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let problem = message.rsplit_once(" at line ").map_or(message.as_str(), |(problem, _)| problem);
    // It may quote all there is.
    problem.chars().take(128).collect()
}

/// What is quoted of somebody else's text.
pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object such as {\"field\":\"value\"}")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = BTreeMap::new();
                while let Some((field, value)) = map.next_entry::<String, Value>()? {
                    if fields.contains_key(&field) {
                        return Err(A::Error::custom(format!(
                            "the field {:?} is there twice",
                            shortened(&field)
                        )));
                    }
                    fields.insert(field, value);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Object)
    }
}
