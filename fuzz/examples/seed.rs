//! Makes seed corpora, of the specification's test vectors and a few things more: `cargo run --example seed` in this
//! folder.

use std::{
    fs,
    io::{self, Error},
    path::Path,
};

/// Some places to cut a stream: the targets that cut take eight bytes before the stream for it.
const CUTS: &[u8; 8] = b"somewher";

/// These take their bytes for sequences of operations, and any bytes will do.
const SEQUENCES: &[&str] = &["registry", "registry_bytes", "peer_machine", "records", "round_trip"];

const CONFIGS: &[&str] = &[
    "listen = \"0.0.0.0:15600\"\nudp-listen = \"[::]:15500\"\nregistration = \"invite\"\n",
    "data-dir = '/srv/chat'\ncert = 'fullchain.pem'\nkey = 'privkey.pem'\ntls12 = false\n",
    "max-connections = 7\ncache-mib = 64\nhash-memory-kib = 19456\nhash-iterations = 2\n",
    "log-format = 'json'\nlog-level = \"info,p2pchat_core=debug\"\n# why\n",
    "listen = '192.0.2.1:1'",
    "cert = 'a'",
    "hash-memory-kib = 1",
    "listen-on = '127.0.0.1:1'",
    "tls12 = \n",
];

const REQUESTS: &[&str] = &[
    r#"{"verb":"status"}"#,
    r#"{"verb":"kick","user":"bob","reason":"go to bed"}"#,
    r#"{"verb":"ban","address":"192.0.2.0/24","seconds":3600,"reason":"spam"}"#,
    r#"{"verb":"unban","user":"bob","address":"2001:db8::/32"}"#,
    r#"{"verb":"log-level","level":"info,p2pchat_core=debug"}"#,
    r#"{"verb":"sessions","verb":"status"}"#,
    r#"{"verb":5,"user":null}"#,
    r#"["status"]"#,
];

const EXPORTS: &[&str] = &[
    r#"{"type":"p2pchat-registry","version":1}
{"type":"account","user":"Ali","password":"$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g","rooms":["Den"]}
{"type":"account","user":"bob","password":"$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g","rooms":["den"]}
{"type":"room","room":"Den","owner":"ali","capacity":5,"password":null,"description":"where we meet"}
{"type":"member","room":"den","user":"ali"}
{"type":"member","room":"den","user":"bob"}
{"type":"ban","user":"eve","reason":"spam","since":5,"until":null}
{"type":"ban","address":"192.0.2.0/24","since":5,"until":7}
{"type":"end","entries":7}
"#,
    r#"{"type":"p2pchat-registry","version":1}
{"type":"end","entries":0}"#,
    r#"{"type":"p2pchat-registry","version":2}"#,
    r#"{"type":"p2pchat-registry","version":1}
{"type":"member","room":"den","user":"ali"}
{"type":"room","room":"den","owner":5,"capacity":0}
[]
"#,
];

const SHOWN: &[&str] = &[
    "\u{1b}[2J\u{7}\u{7f}\u{9b}1m\r\n\ttab",
    "exe.\u{202e}gnp pay\u{200b}pal a\u{2028}b \u{feff}\u{e0041}\u{3164}",
    "مرحبا می\u{200c}خواهم शि क्\u{200d}ष",
    "👩\u{200d}🚀 👨🏽\u{200d}💻 ❤\u{fe0f}\u{200d}🔥 🏳\u{fe0f}\u{200d}🌈",
    "z\u{335}\u{335}\u{335}\u{335}\u{335}\u{335}\u{335}\u{335}\u{335}\u{335}\u{fe0f} \u{301}x",
];

const MARKED: &[&str] = &[
    "> *bold _both_* ~no~ `code *not*`\n- one\n  1. two\n```rust\n*x*\n```",
    "see <https://example.org/a_b(c)?d=e#f>, *me@example.org* or https://bank.example@evil.example/",
    "\u{1b}]8;;https://evil.example\u{1b}\\https://bank.example\u{1b}]8;;\u{1b}\\\u{1b}]52;c;aGk=\u{7}",
    "漢字かな。한글 \u{1112}\u{1161}\u{11ab} 🇩🇪 *\u{fe0f}\u{20e3} https://example.org/漢字",
];

fn main() -> io::Result<()> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR"));
    let vectors = vectors(fuzz)?;
    for target in SEQUENCES {
        for n in 0..16 {
            write(fuzz, target, &format!("chance-{n}"), &chance(n))?;
        }
    }
    for (n, text) in CONFIGS.iter().enumerate() {
        write(fuzz, "config", &format!("file-{n}"), text.as_bytes())?;
    }
    for (n, text) in EXPORTS.iter().enumerate() {
        write(fuzz, "import", &format!("file-{n}"), text.as_bytes())?;
    }
    for (n, text) in REQUESTS.iter().enumerate() {
        write(fuzz, "admin_request", &format!("line-{n}"), text.as_bytes())?;
    }
    for (n, text) in SHOWN.iter().enumerate() {
        write(fuzz, "sanitize", &format!("text-{n}"), text.as_bytes())?;
    }
    for (n, text) in SHOWN.iter().chain(MARKED).enumerate() {
        // On a screen of 40 columns.
        write(fuzz, "shown_text", &format!("text-{n}"), &[&[40], text.as_bytes()].concat())?;
    }
    let known =
        format!("# mine\nother.example:15600 sha256:{0}\nCHAT.example:15600 SHA256:{0}\n", "0a".repeat(32));
    write(fuzz, "known_registries", "file", known.as_bytes())?;
    // Which file is damaged, and how.
    for n in (0..16).chain([u8::MAX]) {
        write(fuzz, "database", &format!("file-{n}"), &[n])?;
        write(fuzz, "database", &format!("chance-{n}"), chance(n).get(..24).unwrap_or_default())?;
    }
    println!("seeds of {vectors} vectors, and some more");
    Ok(())
}

fn vectors(fuzz: &Path) -> io::Result<usize> {
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
            let name = format!("vector-{seeds}");
            let frame = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
            if frame.len() < 1_000 {
                write(fuzz, "sanitize", &name, frame)?;
                write(fuzz, "shown_text", &name, frame)?;
            }
            let target = match text("link") {
                Some(link) if link.ends_with("_datagram") => "datagrams",
                Some(link) => {
                    let stream = [CUTS, &bytes[..]].concat();
                    write(fuzz, "frames", &name, &stream)?;
                    write(fuzz, "dialect", &name, &stream)?;
                    if link == "peer" {
                        write(fuzz, "peer_stream", &name, &stream)?;
                    }
                    link
                }
                None => return Err(Error::other(format!("{}: a vector without link", path.display()))),
            };
            write(fuzz, target, &name, frame)?;
        }
    }
    Ok(seeds)
}

/// Two thousand bytes, the same each time.
fn chance(n: u8) -> Vec<u8> {
    let mut state = (u64::from(n) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let next = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    next.take(250).flatten().collect()
}

fn write(fuzz: &Path, target: &str, name: &str, seed: &[u8]) -> io::Result<()> {
    let folder = fuzz.join("corpus").join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), seed)
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()).collect()
}
