//! One run: an idle registry, the load, and an idle registry again, with figures taken all the while.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};

use crate::{
    figures::Figures,
    person::Person,
    registry::{Leak, Registry},
    sample::{Phase, Record, Sample},
    starved::Starved,
    world::World,
};

/// How many arrive at once.
const ARRIVING: usize = 8;
/// How long the registry may take to be idle again: longer than a lease, any time limit of its own, and a thread of
/// tokio's that waits for work.
const CALM: Duration = Duration::from_secs(60);
/// Between two looks at whether it is.
const PAUSE: Duration = Duration::from_millis(200);

pub(crate) struct Plan {
    pub(crate) clients: usize,
    pub(crate) total: Duration,
    pub(crate) pause: Duration,
    pub(crate) interval: Duration,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) csv: Option<PathBuf>,
    pub(crate) seed: u64,
    pub(crate) leak: Option<Leak>,
}

/// What came of it.
pub(crate) struct Soaked {
    pub(crate) clients: usize,
    pub(crate) world: Arc<World>,
    pub(crate) samples: Vec<Sample>,
    /// Both processes before the first client and after the last.
    pub(crate) before: [Figures; 2],
    pub(crate) after: [Figures; 2],
    /// The database before and after.
    pub(crate) database_kib: [u64; 2],
}

impl Plan {
    pub(crate) fn run(&self) -> Result<Soaked, String> {
        // A client has three sockets, and the streams between two of them have both ends here.
        let wanted = self.clients as u64 * 6 + 500;
        let granted = rlimit::increase_nofile_limit(wanted).map_err(|error| error.to_string())?;
        if granted < self.clients as u64 * 5 {
            return Err(format!("{granted} open files are too few for {} clients", self.clients));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        runtime.map_err(|error| error.to_string())?.block_on(self.run_inside())
    }

    async fn run_inside(&self) -> Result<Soaked, String> {
        let own_folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let folder = self.data_dir.as_deref().unwrap_or(own_folder.path());
        let mut registry = Registry::start(folder, self.leak).await?;
        let starved = Starved::watch([registry.pid()?, std::process::id()]);
        let world = World::new(registry.address.clone(), starved, self.clients)?;
        println!("seed {}, {} clients, registry on {}", self.seed, self.clients, registry.address.tcp);
        let mut watch = Watch::new(self, &world)?;

        let untouched = registry.figures().await?;
        self.warm_up(&world, watch.begin).await?;
        let settled = settle(&mut registry, untouched.descriptors).await?;
        let before = [Figures { threads: untouched.threads, ..settled }, own()?];
        let database_before = registry.database_kib();
        watch.take(&mut registry, Phase::Idle, None).await?;

        let observer = Person::new(self.clients, watch.begin);
        observer.arrive(&world).await?;
        let people = self.load(&world, &observer, &mut registry, &mut watch).await?;
        world.end.cancel();
        people.join_all().await;
        observer.leave().await;
        watch.take(&mut registry, Phase::Leaving, None).await?;

        let after = calm(&mut registry, &before).await?;
        watch.take(&mut registry, Phase::Idle, None).await?;
        let database_kib = [database_before, registry.database_kib()];
        registry.stop().await?;
        Ok(Soaked { clients: self.clients, world, samples: watch.samples, before, after, database_kib })
    }

    /// What a first client makes the registry take for good is no leak: what threads that hash keep, buffers, pages.
    async fn warm_up(&self, world: &Arc<World>, now: Instant) -> Result<(), String> {
        let mut first = JoinSet::new();
        for number in 1..=ARRIVING {
            let (world, somebody) = (world.clone(), Person::new(self.clients + number, now));
            first.spawn(async move {
                let outcome = somebody.arrive(&world).await;
                somebody.leave().await;
                outcome
            });
        }
        first.join_all().await.into_iter().collect()
    }

    /// Lets everybody in, so many at once, and takes figures until the time is over. Those that live then.
    async fn load(
        &self,
        world: &Arc<World>,
        observer: &Arc<Person>,
        registry: &mut Registry,
        watch: &mut Watch,
    ) -> Result<JoinSet<()>, String> {
        let mut outside = world.people.iter().cloned();
        let enter = |arriving: &mut JoinSet<_>, person: Option<Arc<Person>>| {
            let world = world.clone();
            if let Some(person) = person {
                arriving.spawn(async move { world.arrive(&person).await.map(|()| person) });
            }
        };
        let (mut arriving, mut people) = (JoinSet::new(), JoinSet::new());
        outside.by_ref().take(ARRIVING).for_each(|person| enter(&mut arriving, Some(person)));
        let mut tick = interval(self.interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut phase = Phase::RampUp;
        while watch.begin.elapsed() < self.total {
            tokio::select! {
                _ = tick.tick() => watch.take(registry, phase, Some(observer)).await?,
                Some(arrived) = arriving.join_next() => {
                    let person = arrived.map_err(|error| error.to_string())??;
                    let rng = fastrand::Rng::with_seed(self.seed.wrapping_add(person.index as u64));
                    people.spawn(world.clone().live(person, rng, self.pause));
                    enter(&mut arriving, outside.next());
                    if people.len() == self.clients {
                        phase = Phase::Steady;
                        println!("all are here after {:.0} s", watch.begin.elapsed().as_secs_f64());
                    }
                }
            }
        }
        match phase {
            Phase::RampUp => Err(format!("only {} of {} came in that time", people.len(), self.clients)),
            _ => Ok(people),
        }
    }
}

/// Takes the figures, and keeps them.
struct Watch {
    begin: Instant,
    world: Arc<World>,
    record: Record,
    samples: Vec<Sample>,
}

impl Watch {
    #[allow(clippy::disallowed_methods)] // the clock that the record goes by
    fn new(plan: &Plan, world: &Arc<World>) -> Result<Self, String> {
        let record = Record::create(plan.csv.as_deref()).map_err(|error| error.to_string())?;
        Ok(Self { begin: Instant::now(), world: world.clone(), record, samples: Vec::new() })
    }

    /// The registry tells how many are online as it tells any client.
    async fn take(
        &mut self,
        registry: &mut Registry,
        phase: Phase,
        observer: Option<&Arc<Person>>,
    ) -> Result<(), String> {
        let sessions = match observer {
            None => 0,
            Some(observer) => match observer.peer()?.names().await {
                Ok(others) => others.len() as u64 + 1,
                Err(error) => {
                    self.world.fault(&format!("asking who is online: {error}"));
                    observer.recover(&self.world).await?;
                    self.samples.last().map_or(0, |last| last.sessions)
                }
            },
        };
        let tally = &self.world.tally;
        let (seconds, operations) = (self.begin.elapsed().as_secs_f64(), tally.operations());
        let (since, so_far) = self.samples.last().map_or((0.0, 0), |last| (last.seconds, last.operations));
        let (p50_ms, p99_ms) = tally.take_lookups();
        let sample = Sample {
            seconds,
            phase,
            sessions,
            registry: registry.sample().await?,
            database_kib: registry.database_kib(),
            load: own()?,
            operations,
            per_second: (operations - so_far) as f64 / (seconds - since).max(1e-3),
            texts: tally.texts(),
            p50_ms,
            p99_ms,
            errors: tally.errors(),
            starved_s: self.world.starved.seconds(),
        };
        self.record.add(&sample).map_err(|error| format!("writing the record: {error}"))?;
        self.samples.push(sample);
        Ok(())
    }
}

/// Waits until the first clients' streams are gone and the number of tasks stands still.
async fn settle(registry: &mut Registry, descriptors: u64) -> Result<Figures, String> {
    const STILL: u32 = 5;
    let (mut last, mut still) = (Figures::default(), 0);
    for _ in 0..CALM.as_millis() / PAUSE.as_millis() {
        sleep(PAUSE).await;
        let now = registry.figures().await?;
        still = if now.descriptors == descriptors && now.tasks == last.tasks { still + 1 } else { 0 };
        last = now;
        if still == STILL {
            return Ok(last);
        }
    }
    Err(format!("the registry is not idle after its first clients: {last:?}"))
}

/// Waits until both processes hold as few descriptors, tasks and threads as before, or have had their time. What they
/// hold then.
async fn calm(registry: &mut Registry, before: &[Figures; 2]) -> Result<[Figures; 2], String> {
    let is_calm = |now: &Figures, before: &Figures| {
        now.descriptors <= before.descriptors && now.tasks <= before.tasks && now.threads <= before.threads
    };
    let mut after = [registry.figures().await?, own()?];
    for _ in 0..CALM.as_millis() / PAUSE.as_millis() {
        if after.iter().zip(before).all(|(now, before)| is_calm(now, before)) {
            break;
        }
        sleep(PAUSE).await;
        after = [registry.figures().await?, own()?];
    }
    Ok(after)
}

fn own() -> Result<Figures, String> {
    Figures::own().map_err(|error| format!("this example needs Linux's /proc: {error}"))
}
