//! Phrases and the codes that go with them (PROTOCOL.md §3.3).

/// The word that says how a request went. Each has one code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phrase {
    Success,
    Accept,
    Found,
    Exist,
    Online,
    NotOnline,
    Failure,
    Reject,
    NotFound,
}

impl Phrase {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "SUCCESS",
            Self::Accept => "ACCEPT",
            Self::Found => "FOUND",
            Self::Exist => "EXIST",
            Self::Online => "ONLINE",
            Self::NotOnline => "NOT_ONLINE",
            Self::Failure => "FAILURE",
            Self::Reject => "REJECT",
            Self::NotFound => "NOT_FOUND",
        }
    }

    pub(crate) const fn code(self) -> u16 {
        match self {
            Self::Success | Self::Accept | Self::Found => 200,
            Self::Exist | Self::Online | Self::NotOnline => 300,
            Self::Failure | Self::Reject | Self::NotFound => 404,
        }
    }
}
