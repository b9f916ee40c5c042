//! What is known of each setting, from where it is defined: its flag's help and the defaults.

use std::path::PathBuf;

use clap::Args;
use toml::{Table, Value};

use super::{Certificate, Config, Settings};

/// A setting.
#[derive(Debug)]
pub(crate) struct Definition {
    /// Its name in the file.
    pub(crate) key: String,
    /// Its flag's help.
    pub(crate) help: String,
    /// The variable that it is taken from.
    pub(crate) variable: String,
    /// What holds without it; none if then nothing does.
    pub(crate) default: Option<Value>,
}

impl Definition {
    /// As it is written in the file.
    pub(crate) fn line(&self, value: &Value) -> String {
        format!("{} = {value}", self.key)
    }

    /// The default, or what else could be written.
    pub(crate) fn example(&self) -> Value {
        let instead = || match self.key.as_str() {
            "metrics-listen" => "127.0.0.1:9156".to_owned(),
            key => format!("/path/to/{key}"),
        };
        self.default.clone().unwrap_or_else(|| instead().into())
    }
}

/// A file with each setting: those that are `given`, and the others commented out.
pub(crate) fn template(given: &Settings) -> String {
    let given = given.to_table();
    let mut file = String::from(HEAD);
    for definition in definitions() {
        let Definition { key, help, variable, default } = &definition;
        // A default that can be written is in the line itself.
        let help = help
            .split_once(" [default: ")
            .filter(|_| default.is_some())
            .map_or(help.as_str(), |(help, _)| help);
        file.push_str(&format!("\n# {help}\n# --{key}, {variable}\n"));
        match given.get(key) {
            Some(value) => file.push_str(&definition.line(value)),
            None => file.push_str(&format!("#{}", definition.line(&definition.example()))),
        }
        file.push('\n');
    }
    file
}

const HEAD: &str = "\
# Settings of p2pchat-registryd. What is commented out has its default, if it has one. A flag goes before its environment
# variable, and that before this file; the names of both are above each setting.
#
# After a change: p2pchat-registryd check-config --config FILE
";

/// All settings, in the order of `--help`.
pub(crate) fn definitions() -> Vec<Definition> {
    let defaults = defaults();
    let command = Settings::augment_args(clap::Command::new("settings"));
    let definition = |arg: &clap::Arg| {
        let key = arg.get_long()?.to_owned();
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let variable = arg.get_env().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        Some(Definition { help, variable, default: defaults.get(&key).cloned(), key })
    };
    command.get_arguments().filter_map(definition).collect()
}

fn defaults() -> Table {
    // The one default that depends on who asks; who has no home folder has to say where.
    let somewhere = Settings { data_dir: super::default_data_dir().ok(), ..Settings::default() };
    let elsewhere = Settings { data_dir: Some(PathBuf::from("/path/to/data-dir")), ..Settings::default() };
    let config = Config::new(somewhere).or_else(|_| Config::new(elsewhere));
    config.map(|config| Settings::from(&config).to_table()).unwrap_or_default()
}

impl Settings {
    /// As in the file. A path that is no Unicode can't be written there, and then there is nothing.
    pub(crate) fn to_table(&self) -> Table {
        Table::try_from(self).unwrap_or_default()
    }
}

impl From<&Config> for Settings {
    /// All that would have to be said if nothing had a default.
    fn from(config: &Config) -> Self {
        let (cert, key) = match &config.certificate {
            Certificate::Own => (None, None),
            Certificate::Files { cert, key } => (Some(cert.clone()), Some(key.clone())),
        };
        Self {
            data_dir: Some(config.data_dir.clone()),
            listen: Some(config.listen),
            udp_listen: Some(config.udp_listen),
            registration: Some(config.registration),
            addresses: Some(config.addresses),
            admin_socket: config.admin_socket.clone(),
            metrics_listen: config.metrics_listen,
            metrics_public: Some(config.metrics_public),
            cert,
            key,
            tls12: Some(config.tls12),
            max_connections: Some(config.max_connections),
            resume_days: Some(config.resume_days),
            max_parked: Some(config.max_parked),
            max_handshakes: Some(config.max_handshakes),
            cache_mib: Some(config.cache_bytes >> 20),
            hash_memory_kib: Some(config.hash_memory_kib),
            hash_iterations: Some(config.hash_iterations),
            hash_queue: Some(config.hash_queue),
            max_retry_seconds: Some(config.max_retry_seconds),
            log_format: Some(config.log_format),
            log_level: Some(config.log_level.clone()),
            ..Self::default()
        }
        .with_prefixes(&config.prefixes)
    }
}
