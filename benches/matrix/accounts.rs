//! Registries' data folders with accounts in them, by the daemon's own `import`.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use argon2::{Algorithm, Argon2, Block, Params, PasswordHasher, Version};
use sha2::{Digest, Sha256};

use crate::{Outcome, server::binary};

/// What a password hash costs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) memory_kib: u32,
    pub(crate) iterations: u32,
}

impl Cost {
    /// The daemon's default.
    pub(crate) const TRUE: Self = Self { memory_kib: 19_456, iterations: 2 };
    /// Next to nothing, where the hash isn't what is measured.
    pub(crate) const NONE: Self = Self { memory_kib: 8, iterations: 1 };

    /// The hash of everybody's password.
    fn hash(self) -> Outcome<String> {
        Ok(self.argon2()?.hash_password(password().as_bytes())?.to_string())
    }

    /// The processor time of one, in memory that is there, as it is in a server's.
    pub(crate) fn time(self) -> Outcome<Duration> {
        let (argon2, password, mut hash) = (self.argon2()?, password(), [0; 32]);
        let mut memory = vec![Block::default(); argon2.params().block_count()];
        let mut compute =
            || argon2.hash_password_into_with_memory(password.as_bytes(), &[7; 16], &mut hash, &mut memory);
        compute()?;
        let begun = own_cpu()?;
        for _ in 0..HASHES {
            compute()?;
        }
        Ok(own_cpu()?.saturating_sub(begun) / HASHES)
    }

    fn argon2(self) -> Outcome<Argon2<'static>> {
        let params = Params::new(self.memory_kib, self.iterations, 1, None)?;
        Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
    }
}

/// How many hashes are timed together.
const HASHES: u32 = 8;

/// What everybody's password is sent as.
fn password() -> String {
    Sha256::digest(b"password").iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

/// This thread's processor time so far.
fn own_cpu() -> Outcome<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(Duration::from_nanos(text.split(' ').next().unwrap_or_default().parse()?))
}

/// Makes a data folder with so many accounts and rooms, and says how long the import took.
pub(crate) fn import(folder: &Path, accounts: usize, rooms: usize, cost: Cost) -> Outcome<Duration> {
    let file = folder.with_extension("jsonl");
    let hash = cost.hash()?;
    let mut lines = BufWriter::new(File::create(&file)?);
    writeln!(lines, r#"{{"type":"p2pchat-registry","version":1}}"#)?;
    for n in 0..accounts {
        // Everybody owns at most one room.
        let own = if n < rooms { format!(r#","rooms":["room {n}"]"#) } else { String::new() };
        writeln!(lines, r#"{{"type":"account","user":"u{n:07}","password":"{hash}"{own}}}"#)?;
    }
    for n in 0..rooms {
        writeln!(lines, r#"{{"type":"room","room":"room {n}","owner":"u{n:07}","capacity":100}}"#)?;
        writeln!(lines, r#"{{"type":"member","room":"room {n}","user":"u{n:07}"}}"#)?;
    }
    writeln!(lines, r#"{{"type":"end","entries":{}}}"#, accounts + 2 * rooms)?;
    lines.flush()?;
    drop(lines);
    let begun = Instant::now();
    let imported = Command::new(binary("p2pchat-registryd")?)
        .arg("import")
        .arg(&file)
        .arg("--data-dir")
        .arg(folder)
        .output()?;
    if !imported.status.success() {
        return Err(format!("import: {}", String::from_utf8_lossy(&imported.stderr)).into());
    }
    fs::remove_file(file)?;
    Ok(begun.elapsed())
}
