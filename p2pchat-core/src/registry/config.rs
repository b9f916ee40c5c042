//! What an operator can set.

use std::time::Duration;

use p2pchat_proto::{Capabilities, Limits};

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
    /// How many requests of one stream may wait for the one before them. 64.
    pub pipeline: usize,
    /// How many streams are open at once. 16,384.
    pub connections: usize,
    /// How many questions to store and hash may be open at once. 4,096.
    pub operations: usize,
    /// True if there are other registry nodes to be told of events by [`Effect::Publish`](super::Effect::Publish).
    pub publish_events: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::DEFAULT,
            capabilities: Capabilities::all(),
            default_lease: Duration::from_secs(10),
            min_lease: Duration::from_secs(3),
            max_lease: Duration::from_secs(120),
            keep_alive_answer_interval: Duration::from_secs(1),
            rooms_per_user: 32,
            pipeline: 64,
            connections: 16_384,
            operations: 4_096,
            publish_events: false,
        }
    }
}
