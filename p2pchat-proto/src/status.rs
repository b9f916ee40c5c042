//! Phrases and the codes that go with them (PROTOCOL.md §3.3).

macro_rules! phrases {
    ($($name:ident = $phrase:literal $code:literal,)*) => {
        /// The word that says how a request went. Each has one code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Phrase {
            $($name,)*
        }

        impl Phrase {
            pub(crate) const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $phrase,)*
                }
            }

            pub(crate) const fn code(self) -> u16 {
                match self {
                    $(Self::$name => $code,)*
                }
            }

            /// Both, as they stand between the first one's opening bracket and the other's closing one.
            pub(crate) const fn fields(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($phrase, "> <", $code),)*
                }
            }
        }
    };
}

phrases! {
    Success = "SUCCESS" 200,
    Accept = "ACCEPT" 200,
    Found = "FOUND" 200,
    Exist = "EXIST" 300,
    Online = "ONLINE" 300,
    NotOnline = "NOT_ONLINE" 300,
    Failure = "FAILURE" 404,
    Reject = "REJECT" 404,
    NotFound = "NOT_FOUND" 404,
}
