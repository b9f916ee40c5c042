//! Limits for each prefix and account, and the settings that say them: 0 is no limit.

use std::time::Duration;

use p2pchat_core::registry::{PrefixLimits, Rate};

use super::Settings;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
/// How many seconds' requests may come at once.
const BURST: u32 = 4;

impl Settings {
    pub(super) fn prefixes(&self) -> PrefixLimits {
        let rate = |setting: Option<u32>, default, per| match setting {
            None => default,
            Some(0) => Rate::UNLIMITED,
            Some(count) => Rate::new(count, per),
        };
        let mut limits = PrefixLimits::default();
        limits.connections = match self.prefix_connections {
            None => limits.connections,
            Some(0) => usize::MAX,
            Some(count) => usize::try_from(count).unwrap_or(usize::MAX),
        };
        limits.connects = rate(self.prefix_connects_per_minute, limits.connects, MINUTE);
        let requests = self.prefix_requests_per_second;
        limits.requests =
            rate(requests.map(|count| count.saturating_mul(BURST)), limits.requests, SECOND * BURST);
        limits.registrations = rate(self.prefix_registrations_per_hour, limits.registrations, HOUR);
        limits.failed_logins = rate(self.prefix_failed_logins_per_hour, limits.failed_logins, HOUR);
        limits.account_failures = rate(self.account_failures_per_hour, limits.account_failures, HOUR);
        limits.loopback = self.limit_loopback.unwrap_or(limits.loopback);
        limits
    }

    /// Those of them that are counts.
    pub(super) fn prefix_counts(&self) -> [(&'static str, Option<u32>); 6] {
        [
            ("prefix-connections", self.prefix_connections),
            ("prefix-connects-per-minute", self.prefix_connects_per_minute),
            ("prefix-requests-per-second", self.prefix_requests_per_second),
            ("prefix-registrations-per-hour", self.prefix_registrations_per_hour),
            ("prefix-failed-logins-per-hour", self.prefix_failed_logins_per_hour),
            ("account-failures-per-hour", self.account_failures_per_hour),
        ]
    }

    /// These, saying such limits.
    pub(super) fn with_prefixes(self, limits: &PrefixLimits) -> Self {
        let count = |rate: Rate| Some(if rate == Rate::UNLIMITED { 0 } else { rate.count });
        Self {
            prefix_connections: Some(u32::try_from(limits.connections).unwrap_or(0)),
            prefix_connects_per_minute: count(limits.connects),
            prefix_requests_per_second: count(limits.requests).map(|count| count / BURST),
            prefix_registrations_per_hour: count(limits.registrations),
            prefix_failed_logins_per_hour: count(limits.failed_logins),
            account_failures_per_hour: count(limits.account_failures),
            limit_loopback: Some(limits.loopback),
            ..self
        }
    }
}
