//! Metrics and health, by HTTP on a listener of their own.

mod exposition;
mod http;
#[cfg(target_os = "linux")]
mod process;
mod pulse;

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use p2pchat_core::tokio::{ServerHandle, ServerTls};
use prometheus_client::metrics::counter::Counter;
use x509_cert::{Certificate, der::Decode};

pub(crate) use self::http::{bind, serve};
use self::{exposition::Exposition, pulse::Pulse};
use crate::store::StoreHealth;

/// How many characters of the status there are at most; a service manager takes no message of more than 4,096 bytes.
#[cfg(unix)]
const MAX_STATUS: usize = 1_000;

/// What is told about a registry.
#[derive(Debug)]
pub(crate) struct Monitor {
    server: ServerHandle,
    store: StoreHealth,
    pulse: Pulse,
    /// In seconds since 1970; 0 if the certificate doesn't say.
    certificate_expires: AtomicU64,
    /// Why the last reload has changed nothing; `None` if it has, or there was none.
    failed_reload: Mutex<Option<String>>,
    /// HTTP requests that were answered.
    scrapes: Counter,
    /// HTTP connections that were cut off.
    cut_off: Counter,
}

/// Why a registry is not to be sent anybody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotReady {
    #[error("the registry doesn't answer")]
    NoPulse,
    #[error("it drains")]
    Draining,
    #[error("no connection is accepted")]
    NotAccepting,
    #[error("the store can't be written to: {0}")]
    Store(String),
    #[error("the store hangs: it has been at work on one thing for {} s", .0.as_secs())]
    StoreHangs(Duration),
}

impl Monitor {
    pub(crate) fn new(server: ServerHandle, store: StoreHealth, tls: &ServerTls) -> Arc<Self> {
        let monitor = Self {
            server,
            store,
            pulse: Pulse::new(),
            certificate_expires: AtomicU64::new(0),
            failed_reload: Mutex::default(),
            scrapes: Counter::default(),
            cut_off: Counter::default(),
        };
        monitor.shows(tls);
        #[cfg(target_os = "linux")]
        process::begun();
        Arc::new(monitor)
    }

    /// The registry shows this certificate from now on.
    pub(crate) fn shows(&self, tls: &ServerTls) {
        let expires = expiry(tls.certificate()).unwrap_or_default();
        self.certificate_expires.store(expires, Ordering::Relaxed);
    }

    /// What became of a reload: why nothing was changed, if it has failed.
    pub(crate) fn reloaded(&self, failure: Option<String>) {
        *self.failed_reload.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }

    fn failed_reload(&self) -> Option<String> {
        self.failed_reload.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Finds out all along whether the registry answers.
    pub(crate) async fn watch(&self) {
        self.pulse.beat(|| _ = self.server.stats()).await;
    }

    /// True while event loop and machine answer.
    pub(crate) fn is_alive(&self) -> bool {
        self.pulse.is_there()
    }

    /// In a few words, for people: one line.
    #[cfg(unix)]
    pub(crate) fn status(&self) -> String {
        let mut status = match self.readiness() {
            Ok(()) | Err(NotReady::Draining) => {
                let stats = self.server.stats().registry;
                let drains = if self.server.is_draining() { ", draining" } else { "" };
                format!("{} online, {} connections{drains}", stats.sessions, stats.connections)
            }
            Err(why) => format!("not ready: {why}"),
        };
        if let Some(why) = self.failed_reload() {
            status = format!("{status}; the last reload failed: {why}");
        }
        status.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_STATUS).collect()
    }

    pub(crate) fn readiness(&self) -> Result<(), NotReady> {
        if !self.is_alive() {
            return Err(NotReady::NoPulse);
        }
        if self.server.is_draining() {
            return Err(NotReady::Draining);
        }
        if !self.server.stats().accepting {
            return Err(NotReady::NotAccepting);
        }
        if let Some(for_long) = self.store.hangs_for() {
            return Err(NotReady::StoreHangs(for_long));
        }
        match self.store.fault() {
            Some(error) => Err(NotReady::Store(error.to_string())),
            None => Ok(()),
        }
    }

    /// All metrics in Prometheus' text form.
    pub(crate) fn metrics(self: &Arc<Self>) -> Result<String, fmt::Error> {
        Exposition::new(self.clone()).to_text()
    }
}

/// When a certificate runs out, in seconds since 1970.
fn expiry(der: &[u8]) -> Option<u64> {
    let certificate = Certificate::from_der(der).ok()?;
    Some(certificate.tbs_certificate().validity().not_after.to_unix_duration().as_secs())
}

/// Where metrics are told can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on {address} for metrics: {source}; see --metrics-listen")]
pub struct MetricsError {
    /// The address.
    pub address: SocketAddr,
    /// Why.
    pub source: std::io::Error,
}
