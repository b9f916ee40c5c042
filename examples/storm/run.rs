//! One storm: clients come in, the registry is killed and started again, and clients come back.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use p2pchat_core::{
    peer::{self, Event, RequestError},
    proto::Capability,
    tokio::{ClientConfig, Error, Events, Peer, Trust},
};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::registry::{Metrics, Registry};

/// How many come in at once to begin with.
const ARRIVING: usize = 16;
/// Everybody's.
const PASSWORD: &str = "correct horse battery staple";
/// How long it may take until the registry has all of them at once: on a machine that lets clients starve some lose their
/// lease meanwhile, and come back once more.
const SETTLED: Duration = Duration::from_secs(60);

pub(crate) struct Plan {
    pub(crate) clients: u32,
    pub(crate) password: u32,
    pub(crate) down: Duration,
    pub(crate) limit: Duration,
    pub(crate) hash_queue: usize,
    pub(crate) quiet: bool,
}

/// What came of it.
pub(crate) struct Storm {
    pub(crate) clients: u32,
    pub(crate) by_password: u32,
    /// When each was back, after the registry was ready again, in order.
    pub(crate) back: Vec<Duration>,
    /// Why clients gave up.
    pub(crate) given_up: Vec<String>,
    pub(crate) started_in: Duration,
    /// How many may wait for the password hash, those being computed included.
    pub(crate) bound: u64,
    pub(crate) metrics: Metrics,
}

/// What happened to a client.
enum Fate {
    Back,
    GaveUp(String),
}

impl Plan {
    pub(crate) fn run(&self) -> Result<Storm, String> {
        // A client has three sockets.
        let wanted = u64::from(self.clients) * 3 + 200;
        let granted = rlimit::increase_nofile_limit(wanted).map_err(|error| error.to_string())?;
        if granted < wanted {
            return Err(format!("{granted} open files are too few for {} clients", self.clients));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        runtime.map_err(|error| error.to_string())?.block_on(self.run_inside())
    }

    #[allow(clippy::disallowed_methods)] // the clock that the storm is measured by
    async fn run_inside(&self) -> Result<Storm, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut registry = Registry::start(folder.path(), self.hash_queue).await?;
        let (fates, mut told) = mpsc::unbounded_channel();
        let begin = Instant::now();
        let people = self.arrive(&registry, &fates).await?;
        self.say(&format!("{} clients are in after {:.1} s", people.len(), begin.elapsed().as_secs_f64()));

        registry.kill().await?;
        sleep(self.down).await;
        let starting = Instant::now();
        let registry = registry.start_again().await?;
        let (ready, started_in) = (Instant::now(), starting.elapsed());
        self.say(&format!("the registry was killed, and is back after {:.1} s", started_in.as_secs_f64()));

        let (mut back, mut given_up) = (Vec::new(), Vec::new());
        let all = async {
            while back.len() + given_up.len() < people.len() {
                match told.recv().await {
                    Some((at, Fate::Back)) => back.push(Instant::duration_since(&at, ready)),
                    Some((_, Fate::GaveUp(why))) => given_up.push(why),
                    None => break,
                }
            }
        };
        // Who is not back by then is counted as such.
        let _ = timeout(self.limit, all).await;
        back.sort();
        let settled = async {
            while registry.metrics().await?.value("sessions")? < back.len() as u64 {
                sleep(Duration::from_millis(50)).await;
            }
            Ok::<_, String>(())
        };
        // Sessions that are missing then show in the figures.
        timeout(SETTLED, settled).await.unwrap_or(Ok(()))?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let storm = Storm {
            clients: self.clients,
            by_password: people.iter().filter(|person| person.by_password).count() as u32,
            back,
            given_up,
            started_in,
            bound: (processors + self.hash_queue) as u64,
            metrics: registry.metrics().await?,
        };
        for person in &people {
            person.peer.close().await;
        }
        Ok(storm)
    }

    /// Everybody comes in, a few at once.
    async fn arrive(
        &self,
        registry: &Registry,
        fates: &mpsc::UnboundedSender<(Instant, Fate)>,
    ) -> Result<Vec<Person>, String> {
        let (mut people, mut arriving) = (Vec::new(), JoinSet::new());
        for index in 0..self.clients {
            if arriving.len() >= ARRIVING
                && let Some(person) = arriving.join_next().await
            {
                people.push(person.map_err(|error| error.to_string())??);
            }
            // Evenly among all.
            let by_password = (index * self.password) % 100 + self.password >= 100;
            arriving.spawn(Person::arrive(client(registry, by_password), index, by_password, fates.clone()));
        }
        while let Some(person) = arriving.join_next().await {
            people.push(person.map_err(|error| error.to_string())??);
        }
        Ok(people)
    }

    fn say(&self, what: &str) {
        if !self.quiet {
            println!("{what}");
        }
    }
}

/// A client with the library's defaults; without tokens if it is to come back by its password.
fn client(registry: &Registry, by_password: bool) -> ClientConfig {
    let mut machine = peer::Config::default();
    if by_password {
        let others = machine.capabilities.iter().filter(|&capability| capability != Capability::Resume);
        machine.capabilities = others.collect();
    }
    let (host, port) = (registry.tcp.ip().to_string(), registry.tcp.port());
    ClientConfig::new(host, port, Trust::Pinned(registry.fingerprint))
        .registry_udp(registry.udp.ip().to_string(), registry.udp.port())
        .listen(([127, 0, 0, 1], 0).into())
        .machine(machine)
}

struct Person {
    peer: Peer,
    by_password: bool,
}

impl Person {
    async fn arrive(
        config: ClientConfig,
        index: u32,
        by_password: bool,
        fates: mpsc::UnboundedSender<(Instant, Fate)>,
    ) -> Result<Self, String> {
        let name = Arc::new(format!("u{index}"));
        let (peer, events) = Peer::connect(config).await.map_err(|error| format!("{name}: {error}"))?;
        patiently(|| peer.register(&name, PASSWORD)).await.map_err(|error| format!("{name}: {error}"))?;
        patiently(|| peer.login(&name, PASSWORD)).await.map_err(|error| format!("{name}: {error}"))?;
        tokio::spawn(watch(name, events, fates));
        Ok(Self { peer, by_password })
    }
}

/// Asks again when the registry says when.
async fn patiently<F: Future<Output = Result<(), Error>>>(ask: impl Fn() -> F) -> Result<(), Error> {
    loop {
        match ask().await {
            Err(Error::Request(RequestError::Busy { retry_after, .. })) => sleep(retry_after).await,
            outcome => return outcome,
        }
    }
}

/// Tells what becomes of a client.
#[allow(clippy::disallowed_methods)] // the clock that the storm is measured by
async fn watch(name: Arc<String>, mut events: Events, fates: mpsc::UnboundedSender<(Instant, Fate)>) {
    while let Some(event) = events.next().await {
        let fate = match event {
            Event::Reconnected => Fate::Back,
            Event::LoggedOut { reason, .. } => Fate::GaveUp(format!("{name}: {reason}")),
            _ => continue,
        };
        // Nobody listens any more once the storm is over.
        let _ = fates.send((Instant::now(), fate));
    }
}
