//! Settings and certificate read anew while the registry serves.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use p2pchat_core::tokio::{Fingerprint, ServerHandle, TlsError};
use serde::Serialize;
use tokio::sync::Mutex as AsyncMutex;

use crate::{
    certificate::{self, CertificateError, Pem},
    config::{Args, Certificate, Config, ConfigError, Registration, Settings},
    daemon::{oldest_tls, raise_file_limit, server_config},
    logging::Log,
    monitor::Monitor,
};

/// What a registry is started with: another value of these is for its next start. All other settings change while it runs.
pub(crate) const NEED_A_RESTART: &[&str] =
    &["data-dir", "listen", "udp-listen", "admin-socket", "metrics-listen", "cache-mib", "log-format"];

/// What there is to be changed, and what it was last.
pub(crate) struct Reloader {
    /// Where settings come from; none for a registry inside another program.
    args: Option<Args>,
    log: Option<Log>,
    server: ServerHandle,
    monitor: Arc<Monitor>,
    /// Held while it is being changed.
    running: AsyncMutex<Config>,
    shown: Mutex<Shown>,
}

/// What operators are told of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) registration: Registration,
}

/// What has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Reloaded {
    /// Settings that hold now, and `certificate` if another one is shown.
    pub(crate) changed: Vec<String>,
    /// Settings that will hold after a restart.
    pub(crate) needs_restart: Vec<String>,
    /// By which clients know the registry now.
    pub(crate) fingerprint: String,
}

/// Why everything is as it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReloadError {
    #[error("the registry runs inside another program, which has its settings")]
    NotPossible,
    #[error(
        "registration would be open by default while the registry still listens on {}, which changes at a restart alone: restart \
         it, or say who may register, such as registration = \"invite\"",
        listed(.on)
    )]
    StillExposed { on: Vec<SocketAddr> },
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("{0}")]
    Hash(#[from] std::io::Error),
}

impl Reloader {
    pub(crate) fn new(
        (args, log): (Option<Args>, Option<Log>),
        config: Config,
        fingerprint: Fingerprint,
        server: ServerHandle,
        monitor: Arc<Monitor>,
    ) -> Self {
        let shown = Mutex::new(Shown { fingerprint, registration: config.registration });
        Self { args, log, server, monitor, running: AsyncMutex::new(config), shown }
    }

    /// What is shown now.
    pub(crate) fn shown(&self) -> Shown {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads and checks everything, and only then goes by it.
    pub(crate) async fn reload(&self) -> Result<Reloaded, ReloadError> {
        let done = self.try_reload().await;
        match &done {
            Ok(Reloaded { changed, needs_restart, fingerprint }) => {
                tracing::info!(
                    ?changed,
                    ?needs_restart,
                    fingerprint,
                    "settings and certificate were read anew"
                );
            }
            Err(error) => tracing::error!(%error, "nothing was changed"),
        }
        if !matches!(done, Err(ReloadError::NotPossible)) {
            self.monitor.reloaded(done.as_ref().err().map(ToString::to_string));
        }
        done
    }

    async fn try_reload(&self) -> Result<Reloaded, ReloadError> {
        let args = self.args.as_ref().ok_or(ReloadError::NotPossible)?;
        let mut running = self.running.lock().await;
        let new = Config::check(args)?;
        // That it is said who may register is asked of the new addresses; those that others reach stay until a restart.
        let on = exposed(&running);
        if !on.is_empty()
            && new.registration == Registration::Open
            && !new.registration_said
            && running.registration != Registration::Open
        {
            return Err(ReloadError::StillExposed { on });
        }
        // A certificate of its own is made at a start, never here.
        let (cert, key) = match &new.certificate {
            Certificate::Own => certificate::own_paths(&running.data_dir),
            Certificate::Files { cert, key } => (cert.clone(), key.clone()),
        };
        let tls = Pem::read(&cert, &key)?.tls(oldest_tls(&new))?;
        let fingerprint = tls.fingerprint();

        let different = differences(&running, &new);
        let (needs_restart, mut changed): (Vec<_>, Vec<_>) =
            different.into_iter().partition(|key| NEED_A_RESTART.contains(&key.as_str()));
        // From here on nothing fails but this, which changes nothing if it does.
        self.server.reconfigure(server_config(&new, tls.clone())).await?;
        self.monitor.shows(&tls);
        if new.log_level != running.log_level
            && let Some(log) = &self.log
            && let Err(error) = log.set_level(&new.log_level)
        {
            tracing::error!(error, "can't change what is logged");
        }
        raise_file_limit(new.max_connections);
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.fingerprint != fingerprint {
            changed.push("certificate".into());
        }
        *shown = Shown { fingerprint, registration: new.registration };
        drop(shown);
        *running = Config {
            data_dir: running.data_dir.clone(),
            listen: running.listen,
            udp_listen: running.udp_listen,
            admin_socket: running.admin_socket.clone(),
            metrics_listen: running.metrics_listen,
            cache_bytes: running.cache_bytes,
            log_format: running.log_format,
            ..new
        };
        Ok(Reloaded { changed, needs_restart, fingerprint: fingerprint.to_string() })
    }
}

/// The addresses that others than this machine reach.
fn exposed(config: &Config) -> Vec<SocketAddr> {
    let mut addresses = vec![config.listen, config.udp_listen];
    addresses.retain(|address| !address.ip().to_canonical().is_loopback());
    addresses
}

fn listed(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}

/// The settings that aren't the same.
fn differences(old: &Config, new: &Config) -> Vec<String> {
    let (old, new) = (Settings::from(old).to_table(), Settings::from(new).to_table());
    let keys: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
    keys.into_iter().filter(|key| old.get(*key) != new.get(*key)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::definitions;

    #[test]
    fn what_needs_a_restart_is_said_in_the_readme_and_nothing_else_is() {
        let readme = include_str!("../README.md");
        let rows: Vec<_> = readme.lines().filter(|line| line.starts_with("| `")).collect();
        for definition in definitions() {
            let name = format!("`{}`", definition.key);
            let named = |row: &&&str| row.split('|').nth(1).is_some_and(|names| names.contains(&name));
            let row = rows.iter().find(named).unwrap_or_else(|| panic!("no row for {name}"));
            let says_so = row.split('|').nth(1).unwrap().contains('↻');
            assert_eq!(says_so, NEED_A_RESTART.contains(&definition.key.as_str()), "{row}");
        }
        for key in NEED_A_RESTART {
            assert!(definitions().iter().any(|definition| definition.key == *key), "{key} is no setting");
        }
    }

    #[test]
    fn settings_that_differ_are_named() {
        let settings = |text: &str| toml::from_str::<Settings>(text).unwrap();
        let config = |text| Config::new(settings(text)).unwrap();
        let old = config("data-dir = '/a'\nprefix-connections = 5\nlog-level = 'warn'");
        assert_eq!(differences(&old, &old), Vec::<String>::new());
        let new = config("data-dir = '/b'\ncert = 'c'\nkey = 'k'\nlog-level = 'warn'");
        assert_eq!(differences(&old, &new), ["cert", "data-dir", "key", "prefix-connections"]);
    }
}
