//! Sizes past which input is refused (PROTOCOL.md §3).
//!
//! Every limit is checked before memory is taken for what it bounds, and its error names limit and size. A program
//! that wants others makes its own [`Limits`] and hands it to the parser or codec.

/// A username's longest form, in characters after NFC.
pub const USERNAME_CHARS: usize = 32;
/// A room name's longest form, in characters after NFC.
pub const ROOM_NAME_CHARS: usize = 64;
/// A room description's size in bytes of UTF-8, unescaped.
pub const DESCRIPTION_BYTES: usize = 256;
/// A refusal's reason, in bytes of UTF-8, unescaped.
pub const REASON_BYTES: usize = 256;
/// A registry's name on a peer stream, in bytes.
pub const REGISTRY_NAME_BYTES: usize = 255;
/// The largest capacity that a room can be created with, in members.
pub const CAPACITY: u32 = 100_000;
/// A message's text, in bytes of UTF-8, unescaped.
pub const TEXT_BYTES: usize = 16 * 1024;
/// A frame without its line ending, in bytes as sent.
pub const FRAME_BYTES: usize = 64 * 1024;
/// A `PEER_LIST` or `ROOMS_LIST` reply without its line ending, in bytes as sent.
pub const LIST_REPLY_BYTES: usize = 1024 * 1024;
/// A file's name, in bytes.
pub const FILE_NAME_BYTES: usize = 255;
/// A piece of a file, in bytes.
pub const FILE_CHUNK_BYTES: usize = 64 * 1024;
/// The registry's TCP (TLS) port.
pub const REGISTRY_TCP_PORT: u16 = 15_600;
/// The registry's UDP port.
pub const REGISTRY_UDP_PORT: u16 = 15_500;

/// What a parser or codec accepts; [`Limits::DEFAULT`] is the protocol's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// See [`USERNAME_CHARS`].
    pub username_chars: usize,
    /// See [`ROOM_NAME_CHARS`].
    pub room_name_chars: usize,
    /// See [`DESCRIPTION_BYTES`].
    pub description_bytes: usize,
    /// See [`REASON_BYTES`].
    pub reason_bytes: usize,
    /// See [`REGISTRY_NAME_BYTES`].
    pub registry_name_bytes: usize,
    /// See [`CAPACITY`].
    pub capacity: u32,
    /// See [`TEXT_BYTES`].
    pub text_bytes: usize,
    /// See [`FRAME_BYTES`].
    pub frame_bytes: usize,
    /// See [`LIST_REPLY_BYTES`].
    pub list_reply_bytes: usize,
    /// See [`FILE_NAME_BYTES`].
    pub file_name_bytes: usize,
    /// See [`FILE_CHUNK_BYTES`].
    pub file_chunk_bytes: usize,
}

impl Limits {
    /// The protocol's limits.
    pub const DEFAULT: Self = Self {
        username_chars: USERNAME_CHARS,
        room_name_chars: ROOM_NAME_CHARS,
        description_bytes: DESCRIPTION_BYTES,
        reason_bytes: REASON_BYTES,
        registry_name_bytes: REGISTRY_NAME_BYTES,
        capacity: CAPACITY,
        text_bytes: TEXT_BYTES,
        frame_bytes: FRAME_BYTES,
        list_reply_bytes: LIST_REPLY_BYTES,
        file_name_bytes: FILE_NAME_BYTES,
        file_chunk_bytes: FILE_CHUNK_BYTES,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
