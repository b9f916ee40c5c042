//! The slow password hash, off the event loop and bounded.

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use argon2::{
    Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version, password_hash,
};
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::HashConfig;
use crate::registry::{HashAnswer, HashRequest};

/// Computes at most so many hashes at once, and lets at most so many more wait.
#[derive(Debug)]
pub(super) struct HashPool {
    hasher: Arc<Hasher>,
    workers: Arc<Semaphore>,
    jobs: Arc<AtomicUsize>,
    limit: usize,
}

struct Hasher {
    argon2: Argon2<'static>,
    params: Params,
    /// Compared with where there is no account, so that it takes as long as if there were one.
    dummy: PasswordHash,
}

impl HashPool {
    pub(super) async fn new(config: &HashConfig) -> io::Result<Self> {
        let unusable = |error: &dyn fmt::Display| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("the password hash's parameters: {error}"))
        };
        let params = Params::new(config.memory_kib, config.iterations, config.lanes, None)
            .map_err(|error| unusable(&error))?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        let hasher = spawn_blocking(move || {
            let dummy = argon2.hash_password(b"")?;
            Ok::<_, password_hash::Error>(Hasher { argon2, params, dummy })
        })
        .await?
        .map_err(|error| unusable(&error))?;
        let workers = config.workers.max(1);
        Ok(Self {
            hasher: Arc::new(hasher),
            workers: Arc::new(Semaphore::new(workers)),
            jobs: Arc::default(),
            limit: workers.saturating_add(config.queue),
        })
    }

    /// Takes a job and returns at once; `done` is called once, over the limit at once.
    pub(super) fn submit(&self, request: HashRequest, done: impl FnOnce(HashAnswer) + Send + 'static) {
        let Some(job) = Job::begin(&self.jobs, self.limit) else {
            tracing::warn!(limit = self.limit, "too many password hashes are waiting");
            return done(HashAnswer::Busy);
        };
        let (hasher, workers) = (self.hasher.clone(), self.workers.clone());
        tokio::spawn(async move {
            let _job = job;
            let Ok(_worker) = workers.acquire().await else { return done(HashAnswer::Failed) };
            let answer = spawn_blocking(move || hasher.answer(&request)).await;
            done(answer.unwrap_or(HashAnswer::Failed));
        });
    }
}

/// A job that waits or runs.
struct Job(Arc<AtomicUsize>);

impl Job {
    fn begin(jobs: &Arc<AtomicUsize>, limit: usize) -> Option<Self> {
        let taken = jobs
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |jobs| (jobs < limit).then_some(jobs + 1));
        taken.ok().map(|_| Self(jobs.clone()))
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Hasher {
    fn answer(&self, request: &HashRequest) -> HashAnswer {
        match request {
            HashRequest::Create { digest } => {
                self.hash(digest.expose()).map_or(HashAnswer::Failed, HashAnswer::Created)
            }
            HashRequest::Verify { digest, stored: None } => {
                // Whatever comes of it: there is nothing that it could match.
                let _ = self.argon2.verify_password(digest.expose().as_bytes(), &self.dummy);
                HashAnswer::Mismatch
            }
            HashRequest::Verify { digest, stored: Some(stored) } => self.verify(digest.expose(), stored),
        }
    }

    fn hash(&self, digest: &str) -> Option<Arc<str>> {
        let hash = self.argon2.hash_password(digest.as_bytes());
        hash.map(|hash| hash.to_string().into()).ok()
    }

    fn verify(&self, digest: &str, stored: &str) -> HashAnswer {
        let Ok(stored) = PasswordHash::new(stored) else { return HashAnswer::Failed };
        match self.argon2.verify_password(digest.as_bytes(), &stored) {
            Ok(()) => {
                let upgraded = if self.is_current(&stored) { None } else { self.hash(digest) };
                HashAnswer::Match { upgraded }
            }
            Err(password_hash::Error::PasswordInvalid) => HashAnswer::Mismatch,
            Err(_) => HashAnswer::Failed,
        }
    }

    fn is_current(&self, stored: &PasswordHash) -> bool {
        let cost = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost());
        stored.algorithm == self.dummy.algorithm
            && stored.version == self.dummy.version
            && Params::try_from(stored).is_ok_and(|params| cost(&params) == cost(&self.params))
    }
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
    async fn over_the_bound_the_refusal_is_immediate() {
        let pool = HashPool::new(&cheap(1)).await.unwrap();
        let digest = PasswordDigest::of_password("x");
        let (done, mut answers) = mpsc::unbounded_channel();
        // On this single-threaded runtime no job gets further before the next await.
        for _ in 0..3 {
            let done = done.clone();
            pool.submit(HashRequest::Create { digest: digest.clone() }, move |answer| {
                done.send(answer).unwrap()
            });
        }
        assert!(matches!(answers.try_recv(), Ok(HashAnswer::Busy)));
        for _ in 0..2 {
            assert!(matches!(answers.recv().await, Some(HashAnswer::Created(_))));
        }
    }
}
