//! Settings from flags, the environment and a TOML file.

mod definition;
mod error;
mod file;
mod prefixes;
mod system;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use clap::{ValueEnum, builder::BoolishValueParser};
use etcetera::BaseStrategy;
use p2pchat_core::{
    proto::limits::{REGISTRY_TCP_PORT, REGISTRY_UDP_PORT},
    registry::PrefixLimits,
};
use serde::{Deserialize, Serialize};

#[cfg(test)]
pub(crate) use self::definition::definitions;
pub use self::error::ConfigError;
pub(crate) use self::{definition::template, file::File, system::files_for};
#[cfg(unix)]
use crate::admin;
use crate::logging;

/// Where settings come from.
#[derive(Debug, Clone, Default, clap::Args)]
#[non_exhaustive]
pub struct Args {
    /// A TOML file with settings
    #[arg(long, value_name = "FILE", env = "P2PCHAT_REGISTRYD_CONFIG")]
    pub config: Option<PathBuf>,
    /// The settings themselves.
    #[command(flatten)]
    pub settings: Settings,
}

/// What can be set, by a flag as well as in the file of `--config`. `None` is the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
#[non_exhaustive]
pub struct Settings {
    /// Where accounts, rooms and the certificate are kept [default: p2pchat-registryd in the user's data folder]
    #[arg(long, value_name = "DIR", env = "P2PCHAT_REGISTRYD_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where peers connect to, by TCP with TLS; port 0 takes a free one [default: 127.0.0.1:15600]
    #[arg(long, value_name = "ADDR:PORT", env = "P2PCHAT_REGISTRYD_LISTEN", value_parser = address)]
    pub listen: Option<SocketAddr>,
    /// Where keep-alives are sent to, by UDP; port 0 takes a free one [default: 127.0.0.1:15500]
    #[arg(long, value_name = "ADDR:PORT", env = "P2PCHAT_REGISTRYD_UDP_LISTEN", value_parser = address)]
    pub udp_listen: Option<SocketAddr>,
    /// Who may register an account: open (anybody), invite (who has a code made by ctl invite create) or closed (nobody); has
    /// to be said to listen on more than loopback [default: open]
    #[arg(long, value_name = "WHO", env = "P2PCHAT_REGISTRYD_REGISTRATION", hide_possible_values = true)]
    pub registration: Option<Registration>,
    /// Who is told where users are: everyone, or contacts (who is in a room with them, or was accepted for a chat) [default:
    /// everyone]
    #[arg(long, value_name = "WHO", env = "P2PCHAT_REGISTRYD_ADDRESSES", hide_possible_values = true)]
    pub addresses: Option<Addresses>,
    /// Where `ctl` asks the daemon: a Unix socket of its user's alone [default: admin.sock in the data folder]
    #[arg(long, value_name = "FILE", env = "P2PCHAT_REGISTRYD_ADMIN_SOCKET")]
    pub admin_socket: Option<PathBuf>,
    /// Where metrics and health are told, by HTTP; nowhere if it isn't set. Port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", env = "P2PCHAT_REGISTRYD_METRICS_LISTEN", value_parser = address)]
    pub metrics_listen: Option<SocketAddr>,
    /// Say that whoever can connect there may read them; has to be said to tell them on more than loopback [default: false]
    #[arg(long, value_name = "BOOL", env = "P2PCHAT_REGISTRYD_METRICS_PUBLIC",
        num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub metrics_public: Option<bool>,
    /// The certificate to show, with its chain, in PEM [default: cert.pem in the data folder, made at the first start]
    #[arg(long, value_name = "FILE", env = "P2PCHAT_REGISTRYD_CERT")]
    pub cert: Option<PathBuf>,
    /// The certificate's private key, in PEM
    #[arg(long, value_name = "FILE", env = "P2PCHAT_REGISTRYD_KEY")]
    pub key: Option<PathBuf>,
    /// Speak TLS 1.2 too, for peers that have no 1.3 [default: false]
    #[arg(long, value_name = "BOOL", env = "P2PCHAT_REGISTRYD_TLS12",
        num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub tls12: Option<bool>,
    /// How many connections are open at once [default: 16384]
    #[arg(long, value_name = "COUNT", env = "P2PCHAT_REGISTRYD_MAX_CONNECTIONS")]
    pub max_connections: Option<usize>,
    /// How many TLS handshakes may be going on at once; over that, connections are closed [default: 4096]
    #[arg(long, value_name = "COUNT", env = "P2PCHAT_REGISTRYD_MAX_HANDSHAKES")]
    pub max_handshakes: Option<usize>,
    /// How many connections from one IPv4 address or IPv6 /64 are open at once; 0 is any number [default: 64]
    #[arg(long, value_name = "COUNT", env = "P2PCHAT_REGISTRYD_PREFIX_CONNECTIONS")]
    pub prefix_connections: Option<u32>,
    /// How many new ones from there are taken on in a minute; 0 is any number [default: 120]
    #[arg(long, value_name = "COUNT", env = "P2PCHAT_REGISTRYD_PREFIX_CONNECTS_PER_MINUTE")]
    pub prefix_connects_per_minute: Option<u32>,
    /// How many requests from there are read in a second, on average over 4 s; 0 is any number [default: 50]
    #[arg(long, value_name = "COUNT", env = "P2PCHAT_REGISTRYD_PREFIX_REQUESTS_PER_SECOND")]
    pub prefix_requests_per_second: Option<u32>,
    /// How many accounts may be asked for from there in an hour; 0 is any number [default: 20]
    #[arg(long, value_name = "COUNT", env = "P2PCHAT_REGISTRYD_PREFIX_REGISTRATIONS_PER_HOUR")]
    pub prefix_registrations_per_hour: Option<u32>,
    /// How many logins from there may fail in an hour before no other is tried; 0 is any number [default: 60]
    #[arg(long, value_name = "COUNT", env = "P2PCHAT_REGISTRYD_PREFIX_FAILED_LOGINS_PER_HOUR")]
    pub prefix_failed_logins_per_hour: Option<u32>,
    /// How many logins to one account may fail in an hour, from everywhere but where its user was, before each place there
    /// is has three attempts left; 0 is any number [default: 30]
    #[arg(long, value_name = "COUNT", env = "P2PCHAT_REGISTRYD_ACCOUNT_FAILURES_PER_HOUR")]
    pub account_failures_per_hour: Option<u32>,
    /// Limit connections from this machine too; say so behind a proxy on this machine [default: false]
    #[arg(long, value_name = "BOOL", env = "P2PCHAT_REGISTRYD_LIMIT_LOOPBACK",
        num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub limit_loopback: Option<bool>,
    /// For how many days a client may come back without its password; 0 is never [default: 7]
    #[arg(long, value_name = "DAYS", env = "P2PCHAT_REGISTRYD_RESUME_DAYS")]
    pub resume_days: Option<u32>,
    /// How many users may be online without a connection, by keep-alives alone; 0 is none [default: 100000]
    #[arg(long, value_name = "COUNT", env = "P2PCHAT_REGISTRYD_MAX_PARKED")]
    pub max_parked: Option<usize>,
    /// How much memory the database may cache, in MiB [default: 64]
    #[arg(long, value_name = "MIB", env = "P2PCHAT_REGISTRYD_CACHE_MIB")]
    pub cache_mib: Option<usize>,
    /// Memory of one password hash (Argon2id), in KiB; less than the default is for tests only [default: 19456]
    #[arg(long, value_name = "KIB", env = "P2PCHAT_REGISTRYD_HASH_MEMORY_KIB")]
    pub hash_memory_kib: Option<u32>,
    /// Passes of one password hash (Argon2id); less than the default is for tests only [default: 2]
    #[arg(long, value_name = "COUNT", env = "P2PCHAT_REGISTRYD_HASH_ITERATIONS")]
    pub hash_iterations: Option<u32>,
    /// How many requests may wait for a password hash; over that, they are refused with a time to come back [default: 256]
    #[arg(long, value_name = "COUNT", env = "P2PCHAT_REGISTRYD_HASH_QUEUE")]
    pub hash_queue: Option<usize>,
    /// For how many seconds at most those are asked to stay away [default: 60]
    #[arg(long, value_name = "SECONDS", env = "P2PCHAT_REGISTRYD_MAX_RETRY_SECONDS")]
    pub max_retry_seconds: Option<u32>,
    /// What log lines look like [default: human]
    #[arg(long, value_name = "FORMAT", env = "P2PCHAT_REGISTRYD_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
    /// What is logged: error, warn, info, debug or trace, also by part: info,p2pchat_core=debug [default: info]
    #[arg(long, value_name = "FILTER", env = "P2PCHAT_REGISTRYD_LOG_LEVEL")]
    pub log_level: Option<String>,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "an IP address and a port are wanted: 127.0.0.1:15600, [::1]:15600".to_owned())
}

/// Who may register an account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Registration {
    /// Anybody.
    #[default]
    Open,
    /// Who has an invitation.
    Invite,
    /// Nobody.
    Closed,
}

/// Who is told where users are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Addresses {
    /// Everybody online.
    #[default]
    Everyone,
    /// Who is in a room with them, or was accepted for a chat.
    Contacts,
}

/// What log lines look like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LogFormat {
    /// For people; coloured on a terminal unless `NO_COLOR` is set.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Where the registry's certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Certificate {
    /// The data folder; made there at the first start.
    Own,
    /// The operator's files, in PEM.
    Files {
        /// The certificate with its chain.
        cert: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
}

/// Settings that fit together, defaults filled in: what [`serve`](crate::serve) runs by.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// The TCP address.
    pub listen: SocketAddr,
    /// The UDP address.
    pub udp_listen: SocketAddr,
    /// Where the admin socket is to be; `None` if it is in the data folder.
    pub admin_socket: Option<PathBuf>,
    /// Who may register.
    pub registration: Registration,
    /// True if that was said, and isn't the default.
    pub registration_said: bool,
    /// Who is told where users are.
    pub addresses: Addresses,
    /// Where metrics and health are told; `None` is nowhere.
    pub metrics_listen: Option<SocketAddr>,
    /// True if it was said that whoever can connect there may read them.
    pub metrics_public: bool,
    /// The certificate shown.
    pub certificate: Certificate,
    /// True if TLS 1.2 is spoken too.
    pub tls12: bool,
    /// How many connections are open at once.
    pub max_connections: usize,
    /// How many TLS handshakes may be going on at once.
    pub max_handshakes: usize,
    /// What strangers may do, for each prefix.
    pub prefixes: PrefixLimits,
    /// For how many days a session token is good; 0 if none is given out.
    pub resume_days: u32,
    /// How many sessions may be parked; 0 if none may.
    pub max_parked: usize,
    /// How much memory the database may cache, in bytes.
    pub cache_bytes: usize,
    /// Memory of one password hash, in KiB.
    pub hash_memory_kib: u32,
    /// Passes of one password hash.
    pub hash_iterations: u32,
    /// How many requests may wait for a password hash.
    pub hash_queue: usize,
    /// For how many seconds at most others are asked to stay away then.
    pub max_retry_seconds: u32,
    /// What log lines look like.
    pub log_format: LogFormat,
    /// What is logged, in the notation of `tracing_subscriber`'s `EnvFilter`.
    pub log_level: String,
}

impl Config {
    /// Reads the file, if one is named, and puts flags, file and defaults together.
    ///
    /// # Errors
    /// All that is wrong, each with its place in the file if it is there.
    pub fn from_args(args: &Args) -> Result<Self, ConfigError> {
        Self::load(args, |_| Vec::new())
    }

    /// As [`from_args`](Self::from_args), and tries whether a registry could start with it on this machine, as this user.
    /// Changes nothing.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn check(args: &Args) -> Result<Self, ConfigError> {
        Self::load(args, system::problems)
    }

    fn load(args: &Args, problems: impl FnOnce(&Self) -> Vec<ConfigError>) -> Result<Self, ConfigError> {
        let file = args.config.as_deref().map(File::read).transpose()?.unwrap_or_default();
        let settings = args.settings.clone().or(file.settings());
        // The default is what a registry makes do with less of; a number that somebody wrote is a promise.
        let mut errors: Vec<_> = settings.max_connections.and_then(system::too_many).into_iter().collect();
        let config = match Self::new(settings) {
            Ok(config) => {
                errors.extend(problems(&config));
                Ok(config)
            }
            Err(error) => {
                errors.extend(error.into_list());
                Err(())
            }
        };
        let errors = file.with_its_errors(&args.settings, errors);
        match (config, ConfigError::from_list(errors)) {
            (Ok(config), None) => Ok(config),
            (_, error) => Err(error.unwrap_or(ConfigError::NoDataFolder)),
        }
    }

    /// Fills in the defaults, and checks.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn new(settings: Settings) -> Result<Self, ConfigError> {
        let mut errors = Vec::new();
        let loopback = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let listen = settings.listen.unwrap_or(loopback(REGISTRY_TCP_PORT));
        let udp_listen = settings.udp_listen.unwrap_or(loopback(REGISTRY_UDP_PORT));
        for (key, address) in [("listen", listen), ("udp-listen", udp_listen)] {
            let ip = address.ip().to_canonical();
            if ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
                let problem =
                    "nobody can be reached there: write an address of this machine, such as 127.0.0.1";
                errors.push(ConfigError::Unusable {
                    key,
                    value: address.to_string(),
                    problem: problem.into(),
                });
            } else if settings.registration.is_none() && !ip.is_loopback() {
                errors.push(ConfigError::Registration { key, address });
            }
        }
        let metrics_public = settings.metrics_public.unwrap_or(false);
        if let Some(address) = settings.metrics_listen
            && !metrics_public
            && !address.ip().to_canonical().is_loopback()
        {
            errors.push(ConfigError::PublicMetrics { address });
        }
        for (key, path) in [
            ("data-dir", &settings.data_dir),
            ("admin-socket", &settings.admin_socket),
            ("cert", &settings.cert),
            ("key", &settings.key),
        ] {
            if path.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
                errors.push(ConfigError::Empty { key });
            }
        }
        let (prefixes, prefix_counts) = (settings.prefixes(), settings.prefix_counts());
        let certificate = match (settings.cert, settings.key) {
            (Some(cert), Some(key)) => Certificate::Files { cert, key },
            (None, None) => Certificate::Own,
            (Some(_), None) => {
                errors.push(ConfigError::HalfACertificate { given: "cert", missing: "key" });
                Certificate::Own
            }
            (None, Some(_)) => {
                errors.push(ConfigError::HalfACertificate { given: "key", missing: "cert" });
                Certificate::Own
            }
        };
        let max_connections = settings.max_connections.unwrap_or(16_384);
        let resume_days = settings.resume_days.unwrap_or(7);
        let max_parked = settings.max_parked.unwrap_or(100_000);
        let max_handshakes = settings.max_handshakes.unwrap_or(4_096);
        let hash_queue = settings.hash_queue.unwrap_or(256);
        let max_retry_seconds = settings.max_retry_seconds.unwrap_or(60);
        let cache_mib = settings.cache_mib.unwrap_or(64);
        let hash_memory_kib = settings.hash_memory_kib.unwrap_or(19_456);
        let hash_iterations = settings.hash_iterations.unwrap_or(2);
        let mut in_range = |key, found: u64, range: RangeInclusive<u64>| {
            if !range.contains(&found) {
                errors.push(ConfigError::OutOfRange { key, found, min: *range.start(), max: *range.end() });
            }
        };
        in_range("max-connections", as_u64(max_connections), 1..=10_000_000);
        in_range("resume-days", resume_days.into(), 0..=365);
        in_range("max-parked", as_u64(max_parked), 0..=10_000_000);
        in_range("max-handshakes", as_u64(max_handshakes), 1..=10_000_000);
        in_range("hash-queue", as_u64(hash_queue), 0..=1_000_000);
        in_range("max-retry-seconds", max_retry_seconds.into(), 1..=3_600);
        in_range("cache-mib", as_u64(cache_mib), 1..=1 << 20);
        in_range("hash-memory-kib", hash_memory_kib.into(), 8..=4 << 20);
        in_range("hash-iterations", hash_iterations.into(), 1..=1_000);
        for (key, count) in prefix_counts {
            in_range(key, count.unwrap_or(0).into(), 0..=1_000_000);
        }
        let log_level = settings.log_level.unwrap_or_else(|| "info".into());
        if let Err(error) = logging::filter(&log_level) {
            let value = format!("{log_level:?}");
            let advice = "write error, warn, info, debug or trace, alone or by part: info,p2pchat_core=debug";
            let problem = format!("{error}: {advice}");
            errors.push(ConfigError::Unusable { key: "log-level", value, problem });
        }
        #[cfg(unix)]
        if let Some(error) = settings.admin_socket.as_deref().and_then(system::too_long_for_a_socket) {
            errors.push(error);
        }
        let data_dir = settings.data_dir.map_or_else(default_data_dir, Ok);
        match (data_dir, ConfigError::from_list(errors)) {
            (Ok(data_dir), None) => Ok(Self {
                data_dir,
                listen,
                udp_listen,
                admin_socket: settings.admin_socket,
                registration: settings.registration.unwrap_or_default(),
                registration_said: settings.registration.is_some(),
                addresses: settings.addresses.unwrap_or_default(),
                metrics_listen: settings.metrics_listen,
                metrics_public,
                certificate,
                tls12: settings.tls12.unwrap_or(false),
                max_connections,
                max_handshakes,
                prefixes,
                resume_days,
                max_parked,
                cache_bytes: cache_mib << 20,
                hash_memory_kib,
                hash_iterations,
                hash_queue,
                max_retry_seconds,
                log_format: settings.log_format.unwrap_or_default(),
                log_level,
            }),
            (_, Some(error)) | (Err(error), None) => Err(error),
        }
    }
}

impl Config {
    /// The data folder of a daemon with these settings, right or wrong as they otherwise may be.
    pub(crate) fn data_dir_of(settings: &Settings) -> Result<PathBuf, ConfigError> {
        settings.data_dir.clone().map_or_else(default_data_dir, Ok)
    }
}

#[cfg(unix)]
impl Config {
    /// Where the admin socket is.
    pub(crate) fn admin_socket_path(&self) -> PathBuf {
        self.admin_socket.clone().unwrap_or_else(|| admin::default_path(&self.data_dir))
    }

    /// Where the admin socket of a daemon with these settings is, right or wrong as they otherwise may be.
    pub(crate) fn admin_socket_of(settings: &Settings) -> Result<PathBuf, ConfigError> {
        if let Some(path) = &settings.admin_socket {
            return Ok(path.clone());
        }
        Ok(admin::default_path(&Self::data_dir_of(settings)?))
    }
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn default_data_dir() -> Result<PathBuf, ConfigError> {
    let folders = etcetera::choose_base_strategy().map_err(|_| ConfigError::NoDataFolder)?;
    Ok(folders.data_dir().join("p2pchat-registryd"))
}

impl Settings {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// All that is wrong in it, each with its line.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        File::read(path)?.into_settings()
    }

    /// These settings, and those of `others` where there are none.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self {
            data_dir: self.data_dir.or(others.data_dir),
            listen: self.listen.or(others.listen),
            udp_listen: self.udp_listen.or(others.udp_listen),
            registration: self.registration.or(others.registration),
            addresses: self.addresses.or(others.addresses),
            admin_socket: self.admin_socket.or(others.admin_socket),
            metrics_listen: self.metrics_listen.or(others.metrics_listen),
            metrics_public: self.metrics_public.or(others.metrics_public),
            cert: self.cert.or(others.cert),
            key: self.key.or(others.key),
            tls12: self.tls12.or(others.tls12),
            max_connections: self.max_connections.or(others.max_connections),
            max_handshakes: self.max_handshakes.or(others.max_handshakes),
            prefix_connections: self.prefix_connections.or(others.prefix_connections),
            prefix_connects_per_minute: self.prefix_connects_per_minute.or(others.prefix_connects_per_minute),
            prefix_requests_per_second: self.prefix_requests_per_second.or(others.prefix_requests_per_second),
            prefix_registrations_per_hour: self
                .prefix_registrations_per_hour
                .or(others.prefix_registrations_per_hour),
            prefix_failed_logins_per_hour: self
                .prefix_failed_logins_per_hour
                .or(others.prefix_failed_logins_per_hour),
            account_failures_per_hour: self.account_failures_per_hour.or(others.account_failures_per_hour),
            limit_loopback: self.limit_loopback.or(others.limit_loopback),
            resume_days: self.resume_days.or(others.resume_days),
            max_parked: self.max_parked.or(others.max_parked),
            cache_mib: self.cache_mib.or(others.cache_mib),
            hash_memory_kib: self.hash_memory_kib.or(others.hash_memory_kib),
            hash_iterations: self.hash_iterations.or(others.hash_iterations),
            hash_queue: self.hash_queue.or(others.hash_queue),
            max_retry_seconds: self.max_retry_seconds.or(others.max_retry_seconds),
            log_format: self.log_format.or(others.log_format),
            log_level: self.log_level.or(others.log_level),
        }
    }
}

#[cfg(test)]
mod tests;
