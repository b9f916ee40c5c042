//! Settings from flags, the environment and a TOML file.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Parser, ValueEnum, builder::BoolishValueParser};
use etcetera::BaseStrategy;
use p2pchat_core::{
    proto::limits::{REGISTRY_TCP_PORT, REGISTRY_UDP_PORT},
    registry::{PrefixLimits, Rate},
};
use serde::Deserialize;

const AFTER_HELP: &str = "\
Each setting is taken from its flag, else from its environment variable, else from the file of --config, else from its \
default. In the file a setting has the name of its flag:

    listen = \"0.0.0.0:15600\"
    udp-listen = \"0.0.0.0:15500\"
    open-registration = true

Examples:
    p2pchat-registryd
        Serves this machine, and keeps its data in the user's data folder.
    p2pchat-registryd --listen 0.0.0.0:15600 --udp-listen 0.0.0.0:15500 --open-registration
        Serves whoever can reach this machine.
    p2pchat-registryd --data-dir /srv/chat --cert fullchain.pem --key privkey.pem
        Shows a certificate that an authority has signed.

Files in the data folder (mode 0700):
    registry.redb  accounts, rooms and memberships (mode 0600)
    cert.pem       the certificate made at the first start; clients know the registry by it
    key.pem        its private key (mode 0600)

When it is ready, one line on standard output says where: ready tcp=ADDR:PORT udp=ADDR:PORT fingerprint=sha256:HEX
All else goes to standard error. SIGTERM and SIGINT: tells the peers, flushes and ends; a second one ends at once.
Exit status: 0 after a signal, 1 if it can't start or go on, 2 for flags that make no sense.";

/// The p2pchat registry: where peers register, log in, and find each other and their rooms.
///
/// Needs no configuration: started plainly it makes its database and a self-signed certificate, and serves this machine.
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "p2pchat-registryd", version, after_long_help = AFTER_HELP)]
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
#[derive(Debug, Clone, Default, clap::Args, Deserialize)]
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
    /// Say that whoever can connect may register; has to be said to listen on more than loopback [default: false]
    #[arg(long, value_name = "BOOL", env = "P2PCHAT_REGISTRYD_OPEN_REGISTRATION",
        num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub open_registration: Option<bool>,
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
    /// How many connections from one IPv4 address or IPv6 /64 are open at once; 0 is any number [default: 64]
    #[arg(long, value_name = "COUNT", env = "P2PCHAT_REGISTRYD_PREFIX_CONNECTIONS")]
    pub prefix_connections: Option<u32>,
    /// How many new ones from there are taken on in a minute; 0 is any number [default: 120]
    #[arg(long, value_name = "COUNT", env = "P2PCHAT_REGISTRYD_PREFIX_CONNECTS_PER_MINUTE")]
    pub prefix_connects_per_minute: Option<u32>,
    /// How many accounts may be asked for from there in an hour; 0 is any number [default: 20]
    #[arg(long, value_name = "COUNT", env = "P2PCHAT_REGISTRYD_PREFIX_REGISTRATIONS_PER_HOUR")]
    pub prefix_registrations_per_hour: Option<u32>,
    /// How many logins from there may fail in an hour before no other is tried; 0 is any number [default: 60]
    #[arg(long, value_name = "COUNT", env = "P2PCHAT_REGISTRYD_PREFIX_FAILED_LOGINS_PER_HOUR")]
    pub prefix_failed_logins_per_hour: Option<u32>,
    /// Limit connections from this machine too; say so behind a proxy on this machine [default: false]
    #[arg(long, value_name = "BOOL", env = "P2PCHAT_REGISTRYD_LIMIT_LOOPBACK",
        num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub limit_loopback: Option<bool>,
    /// How much memory the database may cache, in MiB [default: 64]
    #[arg(long, value_name = "MIB", env = "P2PCHAT_REGISTRYD_CACHE_MIB")]
    pub cache_mib: Option<usize>,
    /// Memory of one password hash (Argon2id), in KiB; less than the default is for tests only [default: 19456]
    #[arg(long, value_name = "KIB", env = "P2PCHAT_REGISTRYD_HASH_MEMORY_KIB")]
    pub hash_memory_kib: Option<u32>,
    /// Passes of one password hash (Argon2id); less than the default is for tests only [default: 2]
    #[arg(long, value_name = "COUNT", env = "P2PCHAT_REGISTRYD_HASH_ITERATIONS")]
    pub hash_iterations: Option<u32>,
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

/// What log lines look like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Deserialize)]
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
    /// The certificate shown.
    pub certificate: Certificate,
    /// True if TLS 1.2 is spoken too.
    pub tls12: bool,
    /// How many connections are open at once.
    pub max_connections: usize,
    /// What strangers may do, for each prefix.
    pub prefixes: PrefixLimits,
    /// How much memory the database may cache, in bytes.
    pub cache_bytes: usize,
    /// Memory of one password hash, in KiB.
    pub hash_memory_kib: u32,
    /// Passes of one password hash.
    pub hash_iterations: u32,
    /// What log lines look like.
    pub log_format: LogFormat,
    /// What is logged, in the notation of `tracing_subscriber`'s `EnvFilter`.
    pub log_level: String,
}

/// Why settings make no sense.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file of `--config` can't be read.
    #[error("can't read the configuration file {}: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file of `--config` makes no sense.
    #[error("{}:{line}: {}{problem}", path.display(), key.as_ref().map(|key| format!("{key}: ")).unwrap_or_default())]
    File {
        /// Which file.
        path: PathBuf,
        /// Which of its lines, from 1.
        line: usize,
        /// The setting of that line, if it has one.
        key: Option<String>,
        /// What is wrong.
        problem: String,
    },
    /// A certificate without its key, or a key without its certificate.
    #[error(
        "{given} is given without {missing}: give both, or none for a certificate made by the registry itself"
    )]
    HalfACertificate {
        /// The setting that is there.
        given: &'static str,
        /// The setting that isn't.
        missing: &'static str,
    },
    /// A file or folder without a name.
    #[error("{key} is empty: a path is wanted, or nothing at all for the default")]
    Empty {
        /// The setting.
        key: &'static str,
    },
    /// Listening on more than loopback without `open-registration`.
    #[error(
        "{key} is {address}, so whoever reaches it can register an account: if that is wanted, say so by \
         --open-registration (in the configuration file: open-registration = true); if not, listen on 127.0.0.1"
    )]
    OpenRegistration {
        /// `listen` or `udp-listen`.
        key: &'static str,
        /// Its address.
        address: SocketAddr,
    },
    /// A number past its bounds.
    #[error("{key} is {found}: it goes from {min} to {max}")]
    OutOfRange {
        /// The setting.
        key: &'static str,
        /// Its value.
        found: u64,
        /// The smallest one.
        min: u64,
        /// The largest one.
        max: u64,
    },
    /// The user has no home folder.
    #[error("there is no home folder to keep data in: give a folder by --data-dir")]
    NoDataFolder,
}

impl Config {
    /// Reads the file, if one is named, and puts flags, file and defaults together.
    pub fn from_args(args: &Args) -> Result<Self, ConfigError> {
        let file = args.config.as_deref().map(Settings::read).transpose()?;
        Self::new(args.settings.clone().or(file.unwrap_or_default()))
    }

    /// Fills in the defaults, and checks.
    pub fn new(settings: Settings) -> Result<Self, ConfigError> {
        let loopback = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let listen = settings.listen.unwrap_or(loopback(REGISTRY_TCP_PORT));
        let udp_listen = settings.udp_listen.unwrap_or(loopback(REGISTRY_UDP_PORT));
        if !settings.open_registration.unwrap_or(false) {
            for (key, address) in [("listen", listen), ("udp-listen", udp_listen)] {
                if !address.ip().to_canonical().is_loopback() {
                    return Err(ConfigError::OpenRegistration { key, address });
                }
            }
        }
        for (key, path) in
            [("data-dir", &settings.data_dir), ("cert", &settings.cert), ("key", &settings.key)]
        {
            if path.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
                return Err(ConfigError::Empty { key });
            }
        }
        let prefixes = prefix_limits(&settings);
        let certificate = match (settings.cert, settings.key) {
            (None, None) => Certificate::Own,
            (Some(cert), Some(key)) => Certificate::Files { cert, key },
            (Some(_), None) => return Err(ConfigError::HalfACertificate { given: "cert", missing: "key" }),
            (None, Some(_)) => return Err(ConfigError::HalfACertificate { given: "key", missing: "cert" }),
        };
        let cache_mib = in_range("cache-mib", settings.cache_mib.unwrap_or(64), 1..=1 << 20)?;
        Ok(Self {
            data_dir: settings.data_dir.map_or_else(default_data_dir, Ok)?,
            listen,
            udp_listen,
            certificate,
            tls12: settings.tls12.unwrap_or(false),
            max_connections: in_range(
                "max-connections",
                settings.max_connections.unwrap_or(16_384),
                1..=10_000_000,
            )?,
            prefixes,
            cache_bytes: cache_mib << 20,
            hash_memory_kib: in_range(
                "hash-memory-kib",
                settings.hash_memory_kib.unwrap_or(19_456),
                8..=4 << 20,
            )?,
            hash_iterations: in_range("hash-iterations", settings.hash_iterations.unwrap_or(2), 1..=1_000)?,
            log_format: settings.log_format.unwrap_or_default(),
            log_level: settings.log_level.unwrap_or_else(|| "info".into()),
        })
    }
}

fn prefix_limits(settings: &Settings) -> PrefixLimits {
    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3_600);
    let rate = |setting: Option<u32>, default, per| match setting {
        None => default,
        Some(0) => Rate::UNLIMITED,
        Some(count) => Rate::new(count, per),
    };
    let mut limits = PrefixLimits::default();
    limits.connections = match settings.prefix_connections {
        None => limits.connections,
        Some(0) => usize::MAX,
        Some(count) => usize::try_from(count).unwrap_or(usize::MAX),
    };
    limits.connects = rate(settings.prefix_connects_per_minute, limits.connects, MINUTE);
    limits.registrations = rate(settings.prefix_registrations_per_hour, limits.registrations, HOUR);
    limits.failed_logins = rate(settings.prefix_failed_logins_per_hour, limits.failed_logins, HOUR);
    limits.loopback = settings.limit_loopback.unwrap_or(limits.loopback);
    limits
}

fn in_range<N: TryInto<u64> + Copy>(
    key: &'static str,
    value: N,
    range: RangeInclusive<u64>,
) -> Result<N, ConfigError> {
    let found = value.try_into().unwrap_or(u64::MAX);
    if range.contains(&found) {
        Ok(value)
    } else {
        Err(ConfigError::OutOfRange { key, found, min: *range.start(), max: *range.end() })
    }
}

fn default_data_dir() -> Result<PathBuf, ConfigError> {
    let folders = etcetera::choose_base_strategy().map_err(|_| ConfigError::NoDataFolder)?;
    Ok(folders.data_dir().join("p2pchat-registryd"))
}

impl Settings {
    /// Reads a TOML file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.into(), source })?;
        Self::parse(path, &text)
    }

    /// Reads `text`, which is the file's at `path`.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| file_error(path, text, &error))
    }

    /// These settings, and those of `others` where there are none.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self {
            data_dir: self.data_dir.or(others.data_dir),
            listen: self.listen.or(others.listen),
            udp_listen: self.udp_listen.or(others.udp_listen),
            open_registration: self.open_registration.or(others.open_registration),
            cert: self.cert.or(others.cert),
            key: self.key.or(others.key),
            tls12: self.tls12.or(others.tls12),
            max_connections: self.max_connections.or(others.max_connections),
            prefix_connections: self.prefix_connections.or(others.prefix_connections),
            prefix_connects_per_minute: self.prefix_connects_per_minute.or(others.prefix_connects_per_minute),
            prefix_registrations_per_hour: self
                .prefix_registrations_per_hour
                .or(others.prefix_registrations_per_hour),
            prefix_failed_logins_per_hour: self
                .prefix_failed_logins_per_hour
                .or(others.prefix_failed_logins_per_hour),
            limit_loopback: self.limit_loopback.or(others.limit_loopback),
            cache_mib: self.cache_mib.or(others.cache_mib),
            hash_memory_kib: self.hash_memory_kib.or(others.hash_memory_kib),
            hash_iterations: self.hash_iterations.or(others.hash_iterations),
            log_format: self.log_format.or(others.log_format),
            log_level: self.log_level.or(others.log_level),
        }
    }
}

/// Where and what, in one line.
fn file_error(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let start = error.span().map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or(text);
    let line = before.matches('\n').count();
    let key = text.lines().nth(line).and_then(|line| line.split_once('=')).map(|(key, _)| key.trim().into());
    let problem = error.message().replace('\n', "; ");
    ConfigError::File { path: path.into(), line: line + 1, key, problem }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn config(flags: &[&str], file: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registryd.toml");
        fs::write(&path, file).unwrap();
        let flags = ["p2pchat-registryd", "--config", path.to_str().unwrap()]
            .into_iter()
            .chain(flags.iter().copied());
        let args = Args::try_parse_from(flags).map_err(|error| error.to_string())?;
        let shown = |error: ConfigError| error.to_string().replace(path.to_str().unwrap(), "FILE");
        Config::from_args(&args).map_err(shown)
    }

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn defaults_serve_this_machine_only() {
        let config = config(&[], "").unwrap();
        assert_eq!(config.listen, "127.0.0.1:15600".parse().unwrap());
        assert_eq!(config.udp_listen, "127.0.0.1:15500".parse().unwrap());
        assert_eq!(config.certificate, Certificate::Own);
        assert_eq!((config.hash_memory_kib, config.hash_iterations), (19_456, 2));
        assert!(!config.tls12);
    }

    #[test]
    fn a_flag_goes_before_the_file_and_the_file_before_the_default() {
        let file = "listen = '127.0.0.1:1'\nmax-connections = 7\nlog-format = 'json'\ntls12 = true";
        let config = config(&["--listen", "[::1]:2", "--tls12=false"], file).unwrap();
        assert_eq!(config.listen, "[::1]:2".parse().unwrap());
        assert_eq!(config.max_connections, 7);
        assert_eq!(config.log_format, LogFormat::Json);
        assert!(!config.tls12);
        assert_eq!(config.cache_bytes, 64 << 20);
    }

    #[test]
    fn limits_for_each_prefix_are_on_unless_0_says_otherwise() {
        assert_eq!(config(&[], "").unwrap().prefixes, PrefixLimits::default());
        let file = "prefix-connections = 0\nprefix-connects-per-minute = 0\nprefix-registrations-per-hour = 0\n\
                    prefix-failed-logins-per-hour = 0";
        assert_eq!(config(&[], file).unwrap().prefixes, PrefixLimits::NONE);
        let file = "prefix-connections = 7\nprefix-connects-per-minute = 5\nlimit-loopback = true";
        let limits = config(&["--prefix-failed-logins-per-hour", "9"], file).unwrap().prefixes;
        assert_eq!((limits.connections, limits.loopback), (7, true));
        assert_eq!(limits.connects, Rate::new(5, Duration::from_secs(60)));
        assert_eq!(limits.registrations, PrefixLimits::default().registrations);
        assert_eq!(limits.failed_logins, Rate::new(9, Duration::from_secs(3_600)));
    }

    #[test]
    fn errors_of_the_file_name_line_and_key() {
        let unknown = config(&[], "tls12 = true\n# why\nlisten-on = '127.0.0.1:1'").unwrap_err();
        assert!(unknown.starts_with("FILE:3: listen-on: unknown field `listen-on`"), "{unknown}");
        let wrong = config(&[], "tls12 = true\nlisten = 5\n").unwrap_err();
        assert!(wrong.starts_with("FILE:2: listen: "), "{wrong}");
        let syntax = config(&[], "tls12 = \n").unwrap_err();
        assert!(syntax.starts_with("FILE:1: tls12: "), "{syntax}");
        assert!(![unknown, wrong, syntax].iter().any(|error| error.contains('\n')));
        let range = config(&[], "hash-memory-kib = 1").unwrap_err();
        assert_eq!(range, "hash-memory-kib is 1: it goes from 8 to 4194304");
    }

    #[test]
    fn open_registration_has_to_be_said_beyond_loopback() {
        for flags in [["--listen", "0.0.0.0:0"], ["--udp-listen", "192.0.2.1:0"], ["--listen", "[::]:0"]] {
            let refused = config(&flags, "").unwrap_err();
            assert!(refused.contains("--open-registration"), "{refused}");
            assert!(refused.contains(flags[1]), "{refused}");
            config(&[flags[0], flags[1], "--open-registration"], "").unwrap();
            config(&flags, "open-registration = true").unwrap();
        }
        config(&["--listen", "[::ffff:127.0.0.1]:0"], "").unwrap();
    }

    #[test]
    fn an_empty_path_is_none() {
        for key in ["data-dir", "cert", "key"] {
            let refused = config(&[], &format!("{key} = ''")).unwrap_err();
            assert!(refused.starts_with(&format!("{key} is empty")), "{refused}");
        }
    }

    #[test]
    fn a_certificate_and_its_key_come_together() {
        assert!(config(&["--cert", "a"], "").unwrap_err().contains("cert is given without key"));
        assert!(config(&[], "key = 'b'").unwrap_err().contains("key is given without cert"));
        let both = config(&["--cert", "a"], "key = 'b'").unwrap().certificate;
        assert_eq!(both, Certificate::Files { cert: "a".into(), key: "b".into() });
    }
}
