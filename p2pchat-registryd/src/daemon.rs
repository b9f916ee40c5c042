//! From settings to a registry that serves, and to its end.

use std::{
    fmt,
    future::pending,
    io::{self, Write},
    net::SocketAddr,
    panic,
    path::PathBuf,
    process,
    sync::Arc,
    time::Duration,
};

use p2pchat_core::{
    registry::{Addresses, Registration},
    tokio::{Fingerprint, Server, ServerConfig, ServerTls, TlsError, TlsVersion},
};
use tokio::net::TcpListener;

#[cfg(unix)]
use crate::{
    admin::{self, Admin, AdminSocket, Audit, Ending, SocketError},
    service,
};
use crate::{
    certificate::{CertificateError, Pem},
    config::{self, Args, Config, ConfigError, files_for},
    files,
    logging::{self, Log},
    monitor::{self, MetricsError, Monitor},
    reload::Reloader,
    sockets::{Passed, PassedError, PassedNetwork},
    store::{OpenError, RedbStore, StoreConfig},
};

/// How long what operators have asked for may still take once the peers are gone.
#[cfg(unix)]
const GRACE: Duration = Duration::from_secs(5);

/// Why the daemon can't start or go on. Each says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The settings make no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data folder can't be made or looked into.
    #[error("can't use the data folder {}: {source}", path.display())]
    DataFolder {
        /// Which folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `init` can't write the configuration file.
    #[error("can't make {}: {source}", path.display())]
    Init {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The store can't be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// There is no certificate to show.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The certificate or its key can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The sockets can't be opened.
    #[error("can't listen on {tcp} (TCP) and {udp} (UDP): {source}; see --listen and --udp-listen")]
    Listen {
        /// The TCP address.
        tcp: SocketAddr,
        /// The UDP address.
        udp: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The service manager passes sockets that can't be used.
    #[error(transparent)]
    Passed(#[from] PassedError),
    /// Metrics can't be told where they were to be.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// There is no admin socket.
    #[cfg(unix)]
    #[error(transparent)]
    AdminSocket(#[from] SocketError),
    /// The system failed the process.
    #[error("can't go on: {0}")]
    Io(#[from] io::Error),
}

/// Where a registry that serves can be reached, and what clients know it by.
///
/// `Display` is the daemon's one line on standard output: `ready tcp=ADDR:PORT udp=ADDR:PORT fingerprint=sha256:HEX`,
/// and `metrics=ADDR:PORT` after it if they are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ready {
    /// The TCP address, with the port that was taken.
    pub tcp: SocketAddr,
    /// The UDP address, with the port that was taken.
    pub udp: SocketAddr,
    /// The certificate's.
    pub fingerprint: Fingerprint,
    /// Where metrics and health are told, with the port that was taken; `None` is nowhere.
    pub metrics: Option<SocketAddr>,
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ready tcp={} udp={} fingerprint={}", self.tcp, self.udp, self.fingerprint)?;
        self.metrics.map_or(Ok(()), |metrics| write!(f, " metrics={metrics}"))
    }
}

/// After how many turns of tasks that go on by themselves, such as with a long list, a worker looks for what has come
/// meanwhile. By tokio's default, 61, that would be after up to a megabyte of lists.
const TURNS_UNHEARD: u32 = 8;

/// The daemon: serves until SIGTERM or SIGINT (elsewhere than on Unix, Ctrl-C), then drains. A second signal ends the
/// process at once, with exit status 1.
///
/// The log goes to standard error, the line of [`Ready`] to standard output.
pub fn run(args: &Args) -> Result<(), Error> {
    let (passed, mut args) = (Passed::take()?, args.clone());
    passed.set(&mut args.settings)?;
    let config = Config::from_args(&args)?;
    let log = logging::init(&config);
    raise_file_limit(config.max_connections);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().event_interval(TURNS_UNHEARD);
    runtime.build()?.block_on(async {
        let mut signals = Signals::new()?;
        let hangups = Hangups::new()?;
        let shutdown = async move {
            signals.next().await;
            tracing::info!("told to end: telling the peers; once more to end at once");
            #[cfg(unix)]
            service::stopping();
            tokio::spawn(async move {
                signals.next().await;
                tracing::warn!("ended at once");
                process::exit(1);
            });
        };
        let registry = Registry::start(&config, passed).await?;
        announce(registry.here);
        #[cfg(unix)]
        let manager = {
            service::ready();
            let monitor = registry.monitor.clone();
            async move { service::keep_told(&monitor).await }
        };
        #[cfg(not(unix))]
        let manager = pending();
        // Beside the connections, as one task of many: this thread would have to be woken for each that comes or goes.
        let running = tokio::spawn(registry.run(shutdown, Some(Daemon { args, log, hangups })));
        tokio::select! {
            biased;
            ended = running => ended.unwrap_or_else(|error| panic::resume_unwind(error.into_panic())),
            () = manager => Ok(()),
        }
    })
}

/// Each connection is an open file to the system, which by default grants far fewer than it could.
pub(crate) fn raise_file_limit(connections: usize) {
    let wanted = files_for(connections);
    match rlimit::increase_nofile_limit(wanted) {
        Ok(granted) if granted < wanted => {
            tracing::warn!(granted, wanted, "the limit on open files is below --max-connections");
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "can't raise the limit on open files"),
    }
}

fn announce(ready: Ready) {
    let mut stdout = io::stdout();
    if let Err(error) = writeln!(stdout, "{ready}").and_then(|()| stdout.flush()) {
        tracing::warn!(%error, "can't say on standard output that the registry is ready");
    }
}

/// Serves with these settings until `shutdown` is done, then tells the peers, flushes and closes. `ready` is called once,
/// when peers can connect. Sets up no log and no signals.
pub async fn serve(
    config: &Config,
    shutdown: impl Future<Output = ()> + Send,
    ready: impl FnOnce(Ready),
) -> Result<(), Error> {
    let registry = Registry::start(config, Passed::default()).await?;
    ready(registry.here);
    registry.run(shutdown, None).await
}

/// What only a registry has that is a process of its own.
struct Daemon {
    /// Where its settings come from.
    args: Args,
    log: Log,
    hangups: Hangups,
}

/// A registry with its store and its sockets open.
struct Registry {
    config: Config,
    server: Server,
    store: Arc<RedbStore>,
    here: Ready,
    monitor: Arc<Monitor>,
    metrics: Option<TcpListener>,
    #[cfg(unix)]
    socket: Option<AdminSocket>,
}

impl Registry {
    async fn start(config: &Config, passed: Passed) -> Result<Self, Error> {
        let data_folder = |source| Error::DataFolder { path: config.data_dir.clone(), source };
        files::private_folder(&config.data_dir).map_err(data_folder)?;
        // First, since it is what keeps a second daemon out of this folder.
        let store = Arc::new(open_store(config)?);
        let tls = Pem::load(config)?.tls(oldest_tls(config))?;
        let (fingerprint, health) = (tls.fingerprint(), store.health());
        let metrics = match config.metrics_listen {
            Some(address) => Some(monitor::bind(address, passed.metrics).await?),
            None => None,
        };
        let mut settings = server_config(config, tls.clone());
        settings.network = Arc::new(PassedNetwork::new(passed.tcp, passed.udp));
        let server = Server::bind(settings, store.clone()).await.map_err(|source| Error::Listen {
            tcp: config.listen,
            udp: config.udp_listen,
            source,
        })?;
        let here = Ready {
            tcp: server.local_tcp(),
            udp: server.local_udp(),
            fingerprint,
            metrics: metrics.as_ref().map(TcpListener::local_addr).transpose()?,
        };
        let registry = Self {
            #[cfg(unix)]
            socket: admin::bind(config)?,
            monitor: Monitor::new(server.handle(), health, &tls),
            metrics,
            config: config.clone(),
            server,
            store,
            here,
        };
        tracing::info!(tcp = %here.tcp, udp = %here.udp, %fingerprint, data = ?config.data_dir, "ready");
        Ok(registry)
    }

    /// Serves until the end. What a daemon has, operators and signals can change.
    async fn run(
        self,
        shutdown: impl Future<Output = ()> + Send,
        daemon: Option<Daemon>,
    ) -> Result<(), Error> {
        #[cfg(unix)]
        let is_daemon = daemon.is_some();
        let (args, log, hangups) = match daemon {
            Some(Daemon { args, log, hangups }) => (Some(args), Some(log), Some(hangups)),
            None => (None, None, None),
        };
        let reloader = Arc::new(Reloader::new(
            (args, log.clone()),
            self.config.clone(),
            self.here.fingerprint,
            self.server.handle(),
            self.monitor.clone(),
        ));
        let server = self.server.handle();
        // What changes the registry: recorded, and let come to its end.
        #[cfg(unix)]
        let (end, mut ending) = Ending::new();
        #[cfg(unix)]
        let mut changes = std::pin::pin!(async {
            let audit = Arc::new(Audit::new(&self.config.data_dir));
            let operators = async {
                if let Some(socket) = &self.socket {
                    let registry = (server, self.store.clone());
                    let admin = Admin::new(audit.clone(), registry, self.here, reloader.clone(), log);
                    admin.serve(socket, ending.clone()).await;
                }
            };
            let reloads = async {
                if let Some(hangups) = hangups {
                    hangups.reload(&reloader, &audit, &self.monitor, ending.clone()).await;
                }
            };
            tokio::join!(operators, reloads);
            ending.come().await;
        });
        #[cfg(not(unix))]
        let changes = {
            drop((server, log, reloader, hangups));
            pending()
        };
        let metrics = async {
            match &self.metrics {
                Some(listener) => monitor::serve(&self.monitor, listener).await,
                None => pending().await,
            }
        };
        #[cfg(unix)]
        let going_on = changes.as_mut();
        #[cfg(not(unix))]
        let going_on = changes;
        let ended = tokio::select! {
            biased;
            ended = self.server.run(shutdown) => ended,
            () = going_on => Ok(()),
            () = self.monitor.watch() => Ok(()),
            () = metrics => Ok(()),
        };
        // The process would wait for it.
        self.store.stop_backups();
        #[cfg(unix)]
        {
            if is_daemon {
                // Not every end begins with a signal.
                service::stopping();
            }
            end.send_replace(true);
            if tokio::time::timeout(GRACE, changes).await.is_err() {
                tracing::warn!("operators were cut off who were not answered in time");
            }
        }
        ended?;
        tracing::info!("ended");
        Ok(())
    }
}

pub(crate) fn oldest_tls(config: &Config) -> TlsVersion {
    if config.tls12 { TlsVersion::Tls12 } else { TlsVersion::Tls13 }
}

fn open_store(config: &Config) -> Result<RedbStore, OpenError> {
    let store = StoreConfig { cache_bytes: config.cache_bytes, ..StoreConfig::default() };
    RedbStore::open(&config.data_dir.join(files::STORE), &store)
}

pub(crate) fn server_config(config: &Config, tls: ServerTls) -> ServerConfig {
    let mut server = ServerConfig::new(config.listen, config.udp_listen, tls);
    server.machine.connections = config.max_connections;
    server.machine.parked = config.max_parked;
    server.machine.prefixes = config.prefixes;
    server.machine.token_lifetime = Duration::from_secs(u64::from(config.resume_days) * 24 * 3_600);
    server.machine.addresses = match config.addresses {
        config::Addresses::Everyone => Addresses::Everyone,
        config::Addresses::Contacts => Addresses::Contacts,
    };
    server.machine.registration = match config.registration {
        config::Registration::Open => Registration::Open,
        config::Registration::Invite => Registration::Invite,
        config::Registration::Closed => Registration::Closed,
    };
    server.hash.memory_kib = config.hash_memory_kib;
    server.hash.iterations = config.hash_iterations;
    server.hash.queue = config.hash_queue;
    server.handshakes = config.max_handshakes;
    server.machine.longest_retry = Duration::from_secs(config.max_retry_seconds.into());
    server
}

/// What asks the daemon to read its settings anew.
struct Hangups {
    #[cfg(unix)]
    signal: tokio::signal::unix::Signal,
}

impl Hangups {
    #[cfg(unix)]
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { signal: signal(SignalKind::hangup())? })
    }

    #[cfg(unix)]
    async fn reload(mut self, reloader: &Reloader, audit: &Audit, monitor: &Monitor, mut ending: Ending) {
        loop {
            tokio::select! {
                biased;
                () = ending.come() => return,
                Some(()) = self.signal.recv() => {}
            }
            service::reloading();
            admin::reload_at("SIGHUP", reloader, audit).await;
            service::reloaded(&monitor.status());
        }
    }

    #[cfg(not(unix))]
    fn new() -> io::Result<Self> {
        Ok(Self {})
    }
}

/// What asks the daemon to end.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    #[cfg(not(unix))]
    fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}
