//! Registries' data folders with accounts in them, by the daemon's own `import`.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
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

    /// The hash of everybody's password, and the processor time that it took.
    pub(crate) fn hash(self) -> Outcome<(String, Duration)> {
        let digest =
            Sha256::digest(b"password").iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        let params = Params::new(self.memory_kib, self.iterations, 1, None)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let begun = own_cpu()?;
        let hash = argon2.hash_password(digest.as_bytes())?.to_string();
        Ok((hash, own_cpu()?.saturating_sub(begun)))
    }
}

/// This thread's processor time so far.
fn own_cpu() -> Outcome<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(Duration::from_nanos(text.split(' ').next().unwrap_or_default().parse()?))
}

/// Makes a data folder with so many accounts and rooms, and says how long the import took.
pub(crate) fn import(folder: &Path, accounts: usize, rooms: usize, cost: Cost) -> Outcome<Duration> {
    let file = folder.with_extension("jsonl");
    let (hash, _) = cost.hash()?;
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
