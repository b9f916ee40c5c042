//! What an operator can set.

use std::time::Duration;

use p2pchat_proto::{Capabilities, Capability, Limits};

use super::{Addresses, Rate, Registration};

/// For how long tokens have to be good where sessions may be parked.
const LEAST_PARKED: Duration = Duration::from_secs(24 * 3_600);

/// The registry machine's settings; [`Config::default`] is PROTOCOL.md's.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Sizes that messages are held to.
    pub limits: Limits,
    /// What is offered in an extended hello.
    pub capabilities: Capabilities,
    /// How long a session lives without a keep-alive if none named a timeout (§5.2). 10 s.
    pub default_lease: Duration,
    /// The shortest lease; shorter timeouts are raised to it. 3 s.
    pub min_lease: Duration,
    /// The longest lease; longer timeouts are cut to it. 120 s.
    pub max_lease: Duration,
    /// A session's keep-alives are answered at most this often, so that a flood of them amplifies nothing. 1 s.
    pub keep_alive_answer_interval: Duration,
    /// In how many rooms an account can be. 32.
    pub rooms_per_user: usize,
    /// How many accounts can be banned from a room. 256.
    pub bans_per_room: usize,
    /// How many requests of one stream may wait for the one before them. 64.
    pub pipeline: usize,
    /// How many streams are open at once. 16,384.
    pub connections: usize,
    /// How many questions to store and hash may be open at once. 4,096.
    pub operations: usize,
    /// How many of these may be to the password hash, which is slow; the socket driver takes as many as its
    /// [`HashConfig`](crate::tokio::HashConfig) has place for. 256.
    pub hashes: usize,
    /// For how long at most those whom that keeps out are asked to stay away (§7.8). 60 s.
    pub longest_retry: Duration,
    /// From whom registrations are taken (§7.9). Open.
    pub registration: Registration,
    /// Who is told where users are (§7.10). Everyone.
    pub addresses: Addresses,
    /// How often a user may ask others for contact. 60 an hour.
    pub contact_requests: Rate,
    /// How many invitations may be kept. 65,536.
    pub invites: usize,
    /// How many bans may be kept. 65,536.
    pub bans: usize,
    /// For how long a session token is good after it was given out (§7.5), in whole seconds. With less than one second,
    /// `resume` isn't offered. 7 days.
    pub token_lifetime: Duration,
    /// For how long at most a session without a stream waits for its user to come back (§7.5). 10 s.
    pub resume_grace: Duration,
    /// How many sessions may be parked (§7.12). With none, `park` isn't offered, nor where a token is good for less than a day,
    /// as peers count on that. 100,000.
    pub parked: usize,
    /// What strangers may do, for each place that they come from.
    pub prefixes: PrefixLimits,
    /// True if there are other registry nodes to be told of events by [`Effect::Publish`](super::Effect::Publish).
    pub publish_events: bool,
}

impl Config {
    /// What is agreed on with a peer that offers `theirs`: what this registry has a use for.
    pub(super) fn agreed(&self, theirs: Capabilities) -> Capabilities {
        let is_offered = |capability: &Capability| match capability {
            Capability::Resume => self.token_lifetime.as_secs() > 0,
            Capability::Invite => self.registration == Registration::Invite,
            Capability::Contact => self.addresses == Addresses::Contacts,
            Capability::Park => self.parked > 0 && self.token_lifetime >= LEAST_PARKED,
            _ => true,
        };
        let agreed: Capabilities = self.capabilities.and(theirs).iter().filter(is_offered).collect();
        let needs_others = |capability: &Capability| match capability {
            Capability::Park => agreed.has(Capability::Resume) && agreed.has(Capability::Ticket),
            Capability::Keys | Capability::Ids
                if !(agreed.has(Capability::Sender) && agreed.has(Capability::Origin)) =>
            {
                false
            }
            Capability::Ids => agreed.has(Capability::Keys),
            _ => true,
        };
        agreed.iter().filter(needs_others).collect()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::DEFAULT,
            capabilities: Capabilities::parse(
                "reason,roster,sender,resume,moderate,invite,contact,origin,ticket,retry,park,keys,ids",
            ),
            default_lease: Duration::from_secs(10),
            min_lease: Duration::from_secs(3),
            max_lease: Duration::from_secs(120),
            keep_alive_answer_interval: Duration::from_secs(1),
            rooms_per_user: 32,
            bans_per_room: 256,
            pipeline: 64,
            connections: 16_384,
            operations: 4_096,
            hashes: 256,
            longest_retry: Duration::from_secs(60),
            registration: Registration::Open,
            addresses: Addresses::Everyone,
            contact_requests: Rate::new(60, Duration::from_secs(3_600)),
            invites: 65_536,
            bans: 65_536,
            token_lifetime: Duration::from_secs(7 * 24 * 3_600),
            resume_grace: Duration::from_secs(10),
            parked: 100_000,
            prefixes: PrefixLimits::default(),
            publish_events: false,
        }
    }
}

/// Limits for each prefix, which is an IPv4 address or an IPv6 network of /64, and for each account (§9).
///
/// The defaults leave an office behind one address alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PrefixLimits {
    /// How many streams are open at once. 64.
    pub connections: usize,
    /// How fast new ones come. 120 a minute.
    pub connects: Rate,
    /// How many requests there are. 200 in 4 s. Over that, what more comes is read later. One that needs a password hash
    /// counts as five, and a list as one more for each thousand of its records.
    pub requests: Rate,
    /// How often an account is asked for. 20 an hour.
    pub registrations: Rate,
    /// How often a login may fail before no other is tried. 60 an hour.
    pub failed_logins: Rate,
    /// For each account, how often a login may fail from everywhere together; then three an hour are tried for each IPv4
    /// address or IPv6 network of /48. Where its owner was, it is a limit for that place alone. For each account also how often
    /// its user may give a wrong password of a room. 30 an hour.
    pub account_failures: Rate,
    /// How many prefixes are remembered, or twice as many as are connected if that is more; over that, those that nobody is
    /// connected from are forgotten. So many accounts are, too; over that, the half that fewer guesses were made at, or that
    /// was logged in to longer ago. 65,536.
    pub remembered: usize,
    /// True if loopback is limited too. False.
    pub loopback: bool,
}

impl PrefixLimits {
    /// No limits.
    pub const NONE: Self = Self {
        connections: usize::MAX,
        connects: Rate::UNLIMITED,
        requests: Rate::UNLIMITED,
        registrations: Rate::UNLIMITED,
        failed_logins: Rate::UNLIMITED,
        account_failures: Rate::UNLIMITED,
        remembered: 65_536,
        loopback: false,
    };
}

impl Default for PrefixLimits {
    fn default() -> Self {
        const MINUTE: Duration = Duration::from_secs(60);
        const HOUR: Duration = Duration::from_secs(3_600);
        Self {
            connections: 64,
            connects: Rate::new(120, MINUTE),
            requests: Rate::new(200, Duration::from_secs(4)),
            registrations: Rate::new(20, HOUR),
            failed_logins: Rate::new(60, HOUR),
            account_failures: Rate::new(30, HOUR),
            ..Self::NONE
        }
    }
}
