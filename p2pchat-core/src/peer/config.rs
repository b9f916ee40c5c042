//! What an application can set.

use std::time::Duration;

use p2pchat_proto::{Capabilities, Limits, RegistryName};

use super::Budget;

/// The peer machine's settings; [`Config::default`] is PROTOCOL.md's.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Sizes that messages are held to.
    pub limits: Limits,
    /// What is offered in the extended hello.
    pub capabilities: Capabilities,
    /// Under what name the registry is known, which is the first thing said on a peer stream (§7.11), if both ends have
    /// `origin`. None: nothing is said. The socket driver says the host and port that it connects to.
    pub registry: Option<RegistryName>,
    /// The lease asked for in keep-alives, in whole seconds. 10 s.
    pub lease: Duration,
    /// How often a keep-alive is sent: a quarter of the lease (§5.2), so that three may be lost. 2.5 s. A registry of
    /// the prototype's gets one every second (§6.2).
    pub keep_alive_interval: Duration,
    /// After how long without an answer to keep-alives a registry that used to answer them counts as gone. 20 s.
    pub silence_timeout: Duration,
    /// After how long without a request or a push the registry stream is closed and the session parked (§7.12), where the
    /// registry agrees; at least a second. Never, unless told: a program has to want the delay of coming back before what it
    /// asks for next.
    pub park_after: Option<Duration>,
    /// The lease asked for while parked, in whole seconds. 120 s, the longest that there is: then who is gone is noticed later,
    /// which is the price.
    pub parked_lease: Duration,
    /// How often a keep-alive is sent while parked and answered; one that isn't is repeated after `keep_alive_interval`.
    /// 30 s, so that most routers still know the way back.
    pub parked_interval: Duration,
    /// Within how long a parked session that is woken comes back, at random: one push may wake a whole room. 1 s.
    pub wake_spread: Duration,
    /// How old a parked session's token gets before it comes back once, for a new one. 12 hours, half of the shortest time that
    /// our registry lets tokens be good for.
    pub park_renewal: Duration,
    /// How long an unprompted greeting is waited for if the dialect is not known (§6.1). 200 ms.
    pub greeting_grace: Duration,
    /// The longest first pause before reconnecting; doubled with each failure (§5.1). 500 ms.
    pub backoff_base: Duration,
    /// The longest pause before reconnecting. 30 s.
    pub backoff_cap: Duration,
    /// For how long at most one stays away because a registry that has too much to do asks for it (§7.8), jitter aside.
    /// 5 minutes.
    pub retry_cap: Duration,
    /// How long the registry may take to connect, to greet, or to answer a request. 15 s.
    pub request_timeout: Duration,
    /// How long somebody may take to answer a chat request, the other side or one's own application. 2 minutes.
    pub chat_timeout: Duration,
    /// How long a peer may take to connect, or to confirm a message. 10 s.
    pub delivery_timeout: Duration,
    /// For how long a message is said again, on a stream that was lost and brought back, before it counts as not delivered
    /// (§7.14). 30 s.
    pub resend_timeout: Duration,
    /// After how long a silent stream with a chat is asked whether it lives (§7.14); one on which an answer is due is asked after
    /// `delivery_timeout`. 30 s.
    pub ping_interval: Duration,
    /// For how long an address that could not be dialled, or where the stream ended without a word, is not dialled again
    /// (§8.1). 1 s.
    pub redial_pause: Duration,
    /// For how long an address where something answers that isn't this protocol is not dialled again (§7.11). 1 minute.
    pub misdial_pause: Duration,
    /// Whether to talk in the clear to users whose programs have no key (§7.13). True.
    pub plain: bool,
    /// With how many files at once something is done for one user, in each direction, offers included (§7.15). 16; with 0 others
    /// are told that none are taken.
    pub files: usize,
    /// How large a file may be that others offer, in bytes. 64 GiB.
    pub file_bytes: u64,
    /// How much of a file may be on its way at once, in bytes; more than 1 MiB never is. 1 MiB; the socket driver lets no more than half
    /// of its queue for one peer be a file's.
    pub file_window: usize,
    /// How many users' keys are learned. 65,536: who comes beyond is new each time.
    pub keys: usize,
    /// How long a peer stream without a chat may be idle before who dialled it closes it; the other end gives it
    /// `delivery_timeout` more (§8.1). 2 minutes.
    pub idle_timeout: Duration,
    /// How often a room's members are asked for if the registry doesn't push them (no capability `roster`). 30 s.
    pub roster_interval: Duration,
    /// How many commands may wait for their turn on the registry stream, and how many broadcasts may be on their way.
    /// 256.
    pub requests: usize,
    /// How many requests are sent to the registry ahead of their replies. 32.
    pub pipeline: usize,
    /// In how many rooms one may be. 32, as the protocol has it (§5.3).
    pub rooms: usize,
    /// How many peer streams may be open each way: this many dialled, and this many accepted. 1,024.
    pub streams: usize,
    /// How many messages may wait for one peer's confirmation, or for the application's. 256.
    pub messages_in_flight: usize,
    /// How many chat requests may wait for the application's answer. 64.
    pub chat_requests: usize,
    /// What each remote user may have us do within some time.
    pub budget: Budget,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::DEFAULT,
            capabilities: Capabilities::parse(
                "reason,roster,sender,resume,moderate,invite,contact,origin,ticket,retry,park,keys,ids",
            ),
            registry: None,
            lease: Duration::from_secs(10),
            keep_alive_interval: Duration::from_millis(2_500),
            silence_timeout: Duration::from_secs(20),
            park_after: None,
            parked_lease: Duration::from_secs(120),
            parked_interval: Duration::from_secs(30),
            wake_spread: Duration::from_secs(1),
            park_renewal: Duration::from_secs(12 * 3_600),
            greeting_grace: Duration::from_millis(200),
            backoff_base: Duration::from_millis(500),
            backoff_cap: Duration::from_secs(30),
            retry_cap: Duration::from_secs(300),
            request_timeout: Duration::from_secs(15),
            chat_timeout: Duration::from_secs(120),
            delivery_timeout: Duration::from_secs(10),
            plain: true,
            files: 16,
            file_bytes: 64 << 30,
            file_window: 1024 * 1024,
            keys: 65_536,
            resend_timeout: Duration::from_secs(30),
            ping_interval: Duration::from_secs(30),
            redial_pause: Duration::from_secs(1),
            misdial_pause: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(120),
            roster_interval: Duration::from_secs(30),
            requests: 256,
            pipeline: 32,
            rooms: 32,
            streams: 1_024,
            messages_in_flight: 256,
            chat_requests: 64,
            budget: Budget::default(),
        }
    }
}
