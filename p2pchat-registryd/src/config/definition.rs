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
        self.default.clone().unwrap_or_else(|| format!("/path/to/{}", self.key).into())
    }
}

/// All settings, in the order of `--help`.
pub(crate) fn definitions() -> Vec<Definition> {
    let defaults = defaults();
    let command = Settings::augment_args(clap::Command::new("settings"));
    let definition = |arg: &clap::Arg| {
        let key = arg.get_long()?.to_owned();
        Some(Definition { default: defaults.get(&key).cloned(), key })
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
            open_registration: Some(config.open_registration),
            cert,
            key,
            tls12: Some(config.tls12),
            max_connections: Some(config.max_connections),
            cache_mib: Some(config.cache_bytes >> 20),
            hash_memory_kib: Some(config.hash_memory_kib),
            hash_iterations: Some(config.hash_iterations),
            log_format: Some(config.log_format),
            log_level: Some(config.log_level.clone()),
            ..Self::default()
        }
        .with_prefixes(&config.prefixes)
    }
}
