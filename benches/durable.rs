//! Registrations made durable by the daemon's store, beside the same records put into redb in equal batches: without
//! connections, TLS and password hashes.
//!
//! ```sh
//! cargo run --release -p p2pchat-benches --bin durable
//! ```
//!
//! Prints a JSON object a line: commits and registrations a second of the engine alone and of the store, for each size of a
//! batch, the median ratio of some pairs, one after the other. The files are on `--dir`'s disk.
#![allow(clippy::print_stdout)] // printing is what it is for
#![allow(clippy::disallowed_methods)] // it measures the real clock

use std::{
    path::{Path, PathBuf},
    sync::mpsc::channel,
    time::{Duration, Instant},
};

use clap::Parser;
use fastrand::Rng;
use p2pchat_core::{
    registry::store::{StoreAnswer, StoreRequest, Write},
    tokio::Store,
};
use p2pchat_proto::Username;
use p2pchat_registryd::{RedbStore, StoreConfig};
use redb::{Database, Durability, TableDefinition};

type Failure = Box<dyn std::error::Error>;
type Table = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// What a registration writes to: the name's look, the account, the password's hash.
const TABLES: [Table; 3] =
    [TableDefinition::new("looks"), TableDefinition::new("accounts"), TableDefinition::new("passwords")];
/// As long as one is.
const HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
/// There before anything is measured.
const BEFORE: usize = 20_000;

/// Measures durable registrations.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where the databases are made.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// For how many seconds each is measured.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// How many pairs.
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// How many registrations are committed at once.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 256, 1_024])]
    batches: Vec<usize>,
}

fn main() -> Result<(), Failure> {
    let Arguments { dir, seconds, pairs, batches } = Arguments::parse();
    let dir = tempfile::tempdir_in(dir)?;
    let (mut engine, mut store) = (Engine::new(dir.path())?, Registrations::new(dir.path())?);
    let time = Duration::from_secs_f64(seconds);
    for size in batches {
        let mut found = Vec::new();
        for _ in 0..pairs {
            found.push((
                rate(time, size, |names| engine.commit(names))?,
                rate(time, size, |names| store.commit(names))?,
            ));
        }
        found.sort_by(|one, other| (one.1 / one.0).total_cmp(&(other.1 / other.0)));
        let (engine, store) = found.get(pairs / 2).ok_or("no pairs")?;
        println!(
            r#"{{"batch":{size},"engine_per_second":{engine:.0},"store_per_second":{store:.0},"ratio":{:.3}}}"#,
            store / engine
        );
    }
    Ok(())
}

/// Names that nobody has had, in no order.
fn names(count: usize) -> Vec<String> {
    let mut rng = Rng::new();
    (0..count).map(|_| format!("u{:015x}", rng.u64(..1 << 60))).collect()
}

/// How many a second, one batch after the other.
fn rate(
    time: Duration,
    size: usize,
    mut commit: impl FnMut(&[String]) -> Result<(), Failure>,
) -> Result<f64, Failure> {
    let (mut spent, mut count) = (Duration::ZERO, 0);
    while spent < time {
        let names = names(size);
        let begun = Instant::now();
        commit(&names)?;
        spent += begun.elapsed();
        count += size;
    }
    Ok(count as f64 / spent.as_secs_f64())
}

struct Engine(Database);

impl Engine {
    fn new(dir: &Path) -> Result<Self, Failure> {
        let mut builder = Database::builder();
        let database =
            builder.set_cache_size(StoreConfig::default().cache_bytes).create(dir.join("engine"))?;
        let mut engine = Self(database);
        engine.commit(&names(BEFORE))?;
        Ok(engine)
    }

    fn commit(&mut self, names: &[String]) -> Result<(), Failure> {
        let mut transaction = self.0.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        {
            let [looks, accounts, passwords] = TABLES.map(|table| transaction.open_table(table));
            let (mut looks, mut accounts, mut passwords) = (looks?, accounts?, passwords?);
            for name in names {
                let look = format!("u{name}\0{name}");
                looks.insert(look.as_bytes(), name.as_bytes())?;
                accounts.insert(name.as_bytes(), format!("{name}  ").as_bytes())?;
                passwords.insert(name.as_bytes(), HASH.as_bytes())?;
            }
        }
        Ok(transaction.commit()?)
    }
}

struct Registrations(RedbStore);

impl Registrations {
    fn new(dir: &Path) -> Result<Self, Failure> {
        let mut config = StoreConfig::default();
        config.queue = BEFORE;
        let mut store = Self(RedbStore::open(&dir.join("store"), &config)?);
        store.commit(&names(BEFORE))?;
        Ok(store)
    }

    /// All at once, so that the store finds them waiting together.
    fn commit(&mut self, names: &[String]) -> Result<(), Failure> {
        let (done, answers) = channel();
        for name in names {
            let write =
                Write::Register { username: Username::new(name)?, password: HASH.into(), invite: None };
            let done = done.clone();
            self.0.submit(StoreRequest::Write(write), Box::new(move |answer| _ = done.send(answer)));
        }
        drop(done);
        let mut registered = 0;
        for answer in answers {
            match answer {
                StoreAnswer::Registered => registered += 1,
                other => return Err(format!("{other:?}").into()),
            }
        }
        if registered == names.len() { Ok(()) } else { Err("an answer is missing".into()) }
    }
}
