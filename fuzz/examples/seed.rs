//! Makes seed corpora of the specification's test vectors: `cargo run --example seed` in this folder.

use std::{
    fs,
    io::{self, Error},
    path::Path,
};

/// Some places to cut a stream: the targets that cut take eight bytes before the stream for it.
const CUTS: &[u8; 8] = b"somewher";

fn main() -> io::Result<()> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seeds = 0;
    for entry in fs::read_dir(fuzz.join("../p2pchat-proto/vectors"))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "jsonl") {
            continue;
        }
        for line in fs::read_to_string(&path)?.lines() {
            let vector: serde_json::Value = serde_json::from_str(line)?;
            let text = |key: &str| vector.get(key).and_then(serde_json::Value::as_str);
            let bytes = match (text("bytes"), text("hex").map(unhex)) {
                (Some(text), _) => text.as_bytes().to_vec(),
                (None, Some(Some(bytes))) => bytes,
                (None, _) => return Err(Error::other(format!("{}: a vector without bytes", path.display()))),
            };
            seeds += 1;
            let frame = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
            let target = match text("link") {
                Some(link) if link.ends_with("_datagram") => "datagrams",
                Some(link) => {
                    let stream = [CUTS, &bytes[..]].concat();
                    write(fuzz, "frames", seeds, &stream)?;
                    write(fuzz, "dialect", seeds, &stream)?;
                    link
                }
                None => return Err(Error::other(format!("{}: a vector without link", path.display()))),
            };
            write(fuzz, target, seeds, frame)?;
        }
    }
    println!("seeds of {seeds} vectors");
    Ok(())
}

fn write(fuzz: &Path, target: &str, number: usize, seed: &[u8]) -> io::Result<()> {
    let folder = fuzz.join("corpus").join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(format!("vector-{number}")), seed)
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()).collect()
}
