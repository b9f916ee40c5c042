//! Limits for each prefix, and the settings that say them: 0 is no limit.

use std::time::Duration;

use p2pchat_core::registry::{PrefixLimits, Rate};

use super::Settings;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

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
        limits.registrations = rate(self.prefix_registrations_per_hour, limits.registrations, HOUR);
        limits.failed_logins = rate(self.prefix_failed_logins_per_hour, limits.failed_logins, HOUR);
        limits.loopback = self.limit_loopback.unwrap_or(limits.loopback);
        limits
    }

    /// These, saying such limits.
    pub(super) fn with_prefixes(self, limits: &PrefixLimits) -> Self {
        let count = |rate: Rate| Some(if rate == Rate::UNLIMITED { 0 } else { rate.count });
        Self {
            prefix_connections: Some(u32::try_from(limits.connections).unwrap_or(0)),
            prefix_connects_per_minute: count(limits.connects),
            prefix_registrations_per_hour: count(limits.registrations),
            prefix_failed_logins_per_hour: count(limits.failed_logins),
            limit_loopback: Some(limits.loopback),
            ..self
        }
    }
}
