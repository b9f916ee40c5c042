//! The slow password hash, off the event loop and bounded.

use std::{
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
};

use argon2::{
    Algorithm, Argon2, Block, Params, PasswordHash, Version,
    password_hash::{
        self,
        phc::{Output, ParamsString, Salt},
    },
};
use tokio::task::spawn_blocking;

use super::{HashConfig, places::Places};
use crate::registry::{HashAnswer, HashRequest};

/// Computes at most so many hashes at once, and lets at most so many more wait.
#[derive(Debug)]
pub(super) struct HashPool {
    hasher: Arc<Hasher>,
    jobs: Places,
    /// Where the workers' threads take their jobs from; they end once it is dropped. Without workers the event loop computes.
    workers: Option<mpsc::Sender<Job>>,
}

type Job = Box<dyn FnOnce() + Send>;

struct Hasher {
    params: Params,
    /// Compared with where there is no account, so that it takes as long as if there were one.
    dummy: PasswordHash,
    /// The memory of hashes that are done, for the next ones. Allocated and freed by one thread after the other, such large
    /// blocks would stay with the process in many times the number that is ever in use.
    memories: Mutex<Vec<Vec<Block>>>,
}

impl HashPool {
    pub(super) async fn new(config: &HashConfig) -> io::Result<Self> {
        let unusable = |error: &dyn fmt::Display| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("the password hash's parameters: {error}"))
        };
        let params = Params::new(config.memory_kib, config.iterations, config.lanes, None)
            .map_err(|error| unusable(&error))?;
        let hasher = match config.workers {
            0 => Hasher::new(params),
            _ => spawn_blocking(|| Hasher::new(params)).await?,
        };
        let hasher = Arc::new(hasher.map_err(|error| unusable(&error))?);
        let workers = (config.workers > 0).then(|| spawn_workers(config.workers)).transpose()?;
        Ok(Self { hasher, jobs: Places::new(config.places()), workers })
    }

    /// Takes a job and returns at once; `done` is called once, over the limit at once.
    pub(super) fn submit(&self, request: HashRequest, done: impl FnOnce(HashAnswer) + Send + 'static) {
        let Some(place) = self.jobs.take() else {
            return done(HashAnswer::Busy);
        };
        let hasher = self.hasher.clone();
        let job = move || {
            let answer = catch_unwind(AssertUnwindSafe(|| hasher.answer(&request)));
            // Who is told has a place for another.
            drop(place);
            done(answer.unwrap_or(HashAnswer::Failed));
        };
        match &self.workers {
            Some(workers) => {
                if let Err(mpsc::SendError(job)) = workers.send(Box::new(job)) {
                    job();
                }
            }
            None => drop(tokio::spawn(async { job() })),
        }
    }
}

/// Threads that stand back for those that answer the others: a hash takes a processor for as long as thousands of answers.
fn spawn_workers(number: usize) -> io::Result<mpsc::Sender<Job>> {
    let (jobs, queue) = mpsc::channel::<Job>();
    let queue = Arc::new(Mutex::new(queue));
    let next =
        |queue: &Mutex<mpsc::Receiver<Job>>| queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
    for _ in 0..number {
        let queue = queue.clone();
        thread::Builder::new().name("password hash".into()).spawn(move || {
            stand_back();
            while let Ok(job) = next(&queue) {
                job();
            }
        })?;
    }
    Ok(jobs)
}

/// Gives the thread a tenth of the processor time of others that want the same processor.
fn stand_back() {
    // Only on Linux a thread has a niceness of its own.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(10) {
        tracing::debug!(%error, "password hashes have the priority of everything else");
    }
}

impl Hasher {
    fn new(params: Params) -> password_hash::Result<Self> {
        let mut memory = Vec::new();
        let dummy = hash(b"", &params, &mut memory)?;
        Ok(Self { params, dummy, memories: Mutex::new(vec![memory]) })
    }

    fn answer(&self, request: &HashRequest) -> HashAnswer {
        let mut memory = self.memories().pop().unwrap_or_default();
        let answer = self.answer_in(&mut memory, request);
        // A stored hash of a higher cost has made it larger than it needs to stay.
        if memory.len() <= self.params.block_count() {
            self.memories().push(memory);
        }
        answer
    }

    fn answer_in(&self, memory: &mut Vec<Block>, request: &HashRequest) -> HashAnswer {
        match request {
            HashRequest::Create { digest } => {
                self.hash(digest.expose(), memory).map_or(HashAnswer::Failed, HashAnswer::Created)
            }
            HashRequest::Verify { digest, stored: None } => {
                // Whatever comes of it: there is nothing that it could match.
                let _ = matches(digest.expose(), &self.dummy, memory);
                HashAnswer::Mismatch
            }
            HashRequest::Verify { digest, stored: Some(stored) } => {
                self.verify(digest.expose(), stored, memory)
            }
        }
    }

    fn hash(&self, digest: &str, memory: &mut Vec<Block>) -> Option<Arc<str>> {
        hash(digest.as_bytes(), &self.params, memory).map(|hash| hash.to_string().into()).ok()
    }

    fn verify(&self, digest: &str, stored: &str, memory: &mut Vec<Block>) -> HashAnswer {
        let Ok(stored) = PasswordHash::new(stored) else { return HashAnswer::Failed };
        match matches(digest, &stored, memory) {
            Ok(true) => {
                let upgraded = if self.is_current(&stored) { None } else { self.hash(digest, memory) };
                HashAnswer::Match { upgraded }
            }
            Ok(false) => HashAnswer::Mismatch,
            Err(_) => HashAnswer::Failed,
        }
    }

    fn is_current(&self, stored: &PasswordHash) -> bool {
        let cost = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost());
        stored.algorithm == self.dummy.algorithm
            && stored.version == self.dummy.version
            && Params::try_from(stored).is_ok_and(|params| cost(&params) == cost(&self.params))
    }

    fn memories(&self) -> MutexGuard<'_, Vec<Vec<Block>>> {
        self.memories.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A new hash with a salt of its own.
fn hash(password: &[u8], params: &Params, memory: &mut Vec<Block>) -> password_hash::Result<PasswordHash> {
    let (algorithm, version, salt) = (Algorithm::Argon2id, Version::V0x13, Salt::generate());
    let argon2 = Argon2::new(algorithm, version, params.clone());
    Ok(PasswordHash {
        algorithm: algorithm.ident(),
        version: Some(version.into()),
        params: ParamsString::try_from(params)?,
        salt: Some(salt),
        hash: Some(compute(&argon2, password, &salt, memory)?),
    })
}

/// Whether a password is the one that was hashed; compared in constant time.
fn matches(digest: &str, stored: &PasswordHash, memory: &mut Vec<Block>) -> password_hash::Result<bool> {
    let (Some(salt), Some(expected)) = (&stored.salt, &stored.hash) else { return Ok(false) };
    let algorithm = Algorithm::try_from(stored.algorithm.as_str())?;
    let version = stored.version.map(Version::try_from).transpose()?.unwrap_or_default();
    let argon2 = Argon2::new(algorithm, version, Params::try_from(stored)?);
    Ok(compute(&argon2, digest.as_bytes(), salt, memory)? == *expected)
}

/// Whether this is a hash in PHC form that a [`Server`](super::Server) can compare a password with: Argon2, of at most 4 GiB
/// and 1,000 passes.
///
/// # Errors
/// What is wrong with it, in a line.
pub fn check_password_hash(text: &str) -> Result<(), String> {
    const MEMORY_KIB: u32 = 4 << 20;
    const PASSES: u32 = 1_000;
    let stored = PasswordHash::new(text).map_err(|error| error.to_string())?;
    Algorithm::try_from(stored.algorithm.as_str()).map_err(|_| "it isn't Argon2's".to_owned())?;
    let version = stored.version.map(Version::try_from).transpose();
    version.map_err(|_| "its version isn't known".to_owned())?;
    if stored.salt.is_none() || stored.hash.is_none() {
        return Err("it has no salt, or no hash".to_owned());
    }
    let params = Params::try_from(&stored).map_err(|error| error.to_string())?;
    if params.m_cost() > MEMORY_KIB || params.t_cost() > PASSES {
        return Err(format!("it takes more than {MEMORY_KIB} KiB of memory, or {PASSES} passes"));
    }
    Ok(())
}

fn compute(
    argon2: &Argon2<'_>,
    password: &[u8],
    salt: &[u8],
    memory: &mut Vec<Block>,
) -> password_hash::Result<Output> {
    let blocks = argon2.params().block_count();
    if memory.len() < blocks {
        memory.resize(blocks, Block::new());
    }
    let size = argon2.params().output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
    let out = &mut [0; Output::MAX_LENGTH];
    let out = out.get_mut(..size).ok_or(password_hash::Error::OutputSize)?;
    argon2.hash_password_into_with_memory(password, salt, out, memory)?;
    Ok(Output::new(out)?)
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").field("params", &self.params).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use p2pchat_proto::PasswordDigest;
    use tokio::sync::mpsc;

    use super::*;

    fn cheap(iterations: u32) -> HashConfig {
        HashConfig { memory_kib: 8, iterations, lanes: 1, workers: 1, queue: 1 }
    }

    async fn ask(pool: &HashPool, request: HashRequest) -> HashAnswer {
        let (done, mut answers) = mpsc::unbounded_channel();
        pool.submit(request, move |answer| done.send(answer).unwrap());
        answers.recv().await.unwrap()
    }

    async fn create(pool: &HashPool, digest: &PasswordDigest) -> Arc<str> {
        match ask(pool, HashRequest::Create { digest: digest.clone() }).await {
            HashAnswer::Created(hash) => hash,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_hash_matches_its_password_alone_and_is_upgraded_when_the_cost_changes() {
        let (right, wrong) = (PasswordDigest::of_password("right"), PasswordDigest::of_password("wrong"));
        let old = HashPool::new(&cheap(1)).await.unwrap();
        let stored = create(&old, &right).await;
        assert!(stored.starts_with("$argon2id$v=19$m=8,t=1,p=1$"));
        assert_ne!(stored, create(&old, &right).await, "each has a salt of its own");

        let verify = |digest: &PasswordDigest, stored: Option<&Arc<str>>| HashRequest::Verify {
            digest: digest.clone(),
            stored: stored.cloned(),
        };
        assert!(matches!(
            ask(&old, verify(&right, Some(&stored))).await,
            HashAnswer::Match { upgraded: None }
        ));
        assert!(matches!(ask(&old, verify(&wrong, Some(&stored))).await, HashAnswer::Mismatch));
        assert!(matches!(ask(&old, verify(&right, None)).await, HashAnswer::Mismatch));
        assert!(matches!(ask(&old, verify(&right, Some(&"rubbish".into()))).await, HashAnswer::Failed));

        let new = HashPool::new(&cheap(2)).await.unwrap();
        let HashAnswer::Match { upgraded: Some(upgraded) } = ask(&new, verify(&right, Some(&stored))).await
        else {
            panic!("not upgraded");
        };
        assert!(matches!(
            ask(&new, verify(&right, Some(&upgraded))).await,
            HashAnswer::Match { upgraded: None }
        ));
    }

    #[tokio::test]
    async fn a_hash_that_could_never_match_is_told_from_one_that_can() {
        let pool = HashPool::new(&cheap(1)).await.unwrap();
        let stored = create(&pool, &PasswordDigest::of_password("right")).await;
        assert_eq!(check_password_hash(&stored), Ok(()));
        for (from, to) in [
            ("$argon2id", "$scrypt"),
            ("v=19", "v=18"),
            ("m=8", "m=4294967295"),
            ("m=8", "m=1"),
            ("t=1", "t=1001"),
            ("$argon2id", ""),
        ] {
            let wrong = stored.replacen(from, to, 1);
            assert!(check_password_hash(&wrong).is_err(), "{wrong}");
        }
        let (without_hash, _) = stored.rsplit_once('$').unwrap();
        assert!(check_password_hash(without_hash).is_err() && check_password_hash("").is_err());
    }

    #[tokio::test]
    async fn hashes_take_turns_in_the_memory_of_those_that_run_at_once() {
        let pool = HashPool::new(&HashConfig { workers: 2, queue: 100, ..cheap(1) }).await.unwrap();
        let (done, mut answers) = mpsc::unbounded_channel();
        for _ in 0..50 {
            let (done, digest) = (done.clone(), PasswordDigest::of_password("x"));
            pool.submit(HashRequest::Create { digest }, move |answer| done.send(answer).unwrap());
        }
        for _ in 0..50 {
            assert!(matches!(answers.recv().await, Some(HashAnswer::Created(_))));
        }
        let kept = || pool.hasher.memories().iter().map(Vec::len).collect::<Vec<_>>();
        assert!([&[8][..], &[8, 8]].contains(&&*kept()), "{:?}", kept());
        // A stored hash that wants more than the configured cost gets it, and nothing of that is kept.
        let costly = HashPool::new(&HashConfig { memory_kib: 64, ..cheap(1) }).await.unwrap();
        let digest = PasswordDigest::of_password("right");
        let stored = Some(create(&costly, &digest).await);
        let answer = ask(&pool, HashRequest::Verify { digest, stored }).await;
        assert!(matches!(answer, HashAnswer::Match { upgraded: Some(_) }));
        assert!(kept().iter().all(|&size| size == 8), "{:?}", kept());
    }

    #[tokio::test]
    async fn without_workers_the_event_loop_computes_one_after_the_other() {
        let pool = HashPool::new(&HashConfig { workers: 0, queue: 2, ..cheap(1) }).await.unwrap();
        let (done, mut answers) = mpsc::unbounded_channel();
        for number in 0..3 {
            let done = done.clone();
            let digest = PasswordDigest::of_password("x");
            pool.submit(HashRequest::Create { digest }, move |_| done.send(number).unwrap());
        }
        // No thread is waited for: once the tasks have had their turn, the answers are there.
        tokio::task::yield_now().await;
        assert_eq!([answers.try_recv(), answers.try_recv(), answers.try_recv()], [Ok(0), Ok(1), Ok(2)]);
    }

    #[tokio::test]
    async fn over_the_bound_the_refusal_is_immediate() {
        let pool = HashPool::new(&cheap(1)).await.unwrap();
        let (done, mut answers) = mpsc::unbounded_channel();
        let (go_on, wait) = std::sync::mpsc::channel::<()>();
        let create = || HashRequest::Create { digest: PasswordDigest::of_password("x") };
        // The worker is held up by whom it tells.
        let first = done.clone();
        pool.submit(create(), move |answer| {
            first.send(answer).unwrap();
            wait.recv().unwrap_err();
        });
        assert!(matches!(answers.recv().await, Some(HashAnswer::Created(_))));
        for _ in 0..3 {
            let done = done.clone();
            pool.submit(create(), move |answer| done.send(answer).unwrap());
        }
        assert!(matches!(answers.try_recv(), Ok(HashAnswer::Busy)));
        assert!(answers.try_recv().is_err());
        drop(go_on);
        for _ in 0..2 {
            assert!(matches!(answers.recv().await, Some(HashAnswer::Created(_))));
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn hashes_stand_back_for_everything_else() {
        let pool = HashPool::new(&cheap(1)).await.unwrap();
        let (done, mut answers) = mpsc::unbounded_channel();
        let niceness = || rustix::process::getpriority_process(None).unwrap();
        pool.submit(HashRequest::Create { digest: PasswordDigest::of_password("x") }, move |_| {
            done.send(niceness()).unwrap();
        });
        assert_eq!(answers.recv().await, Some((niceness() + 10).min(19)));
    }
}
