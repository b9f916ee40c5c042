//! The two ways to spell the same messages (PROTOCOL.md §6).

/// How messages are spelled and told apart on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Dialect {
    /// The protocol of PROTOCOL.md: a line a message, fields in angle brackets.
    #[default]
    Canonical,
    /// The Python prototype's: a TLS record a message, fields as bare words.
    Prototype,
}
