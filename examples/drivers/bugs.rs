//! Deliberate bugs, so that the checks can be seen to find them.

use clap::ValueEnum;

/// A bug that the simulator puts into what is around the drivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bug {
    /// The store answers a change before it is durable: a crash takes the last seconds with it.
    AnswerBeforeCommit,
    /// The store takes more members into a room than it holds.
    ForgetCapacity,
    /// The store takes each token that was replaced or revoked.
    ReuseToken,
    /// The store forgets whom an owner has banned.
    ForgetBans,
    /// The store looks at an invitation before the slow hash, and not again when the account is made.
    ReuseInvitation,
    /// The registry tells everybody where everybody is.
    LeakAddress,
    /// The network hands one piece of a stream in two hundred over twice.
    DoubleChunk,
    /// The network stays parted one way after one partition in four.
    ForgetRepair,
    /// A program sends one message in twenty a second time.
    Resend,
    /// A program says one of a room's messages in twenty to somebody else, whether they are in it or not.
    Misaddress,
    /// A program takes one message in twenty, which confirms it, and its user never sees it.
    ConfirmUnread,
    /// A program isn't told whom its user doesn't want to hear of.
    HearBlocked,
    /// A program is not closed when its user leaves.
    ForgetClose,
}
