//! What a fault can't be made without.

use std::{
    env,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Something that a test machine may lack.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Need {
    /// A program.
    Program(&'static str),
    /// The right to make network namespaces.
    Namespaces,
    /// The right to mount a file system.
    Mounts,
    /// The library that tells a process another time.
    Faketime,
    /// strace, and the right to watch a process with it.
    Trace,
}

impl Need {
    fn is_met(self) -> bool {
        match self {
            Self::Program(name) => {
                let path = env::var_os("PATH").unwrap_or_default();
                env::split_paths(&path).any(|folder| folder.join(name).is_file())
            }
            Self::Namespaces => succeeds(&["unshare", "--net", "true"]),
            Self::Mounts => succeeds(&["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]),
            Self::Faketime => faketime().is_some(),
            Self::Trace => succeeds(&["strace", "-o", "/dev/null", "true"]),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Program(name) => name,
            Self::Namespaces => "network namespaces (root)",
            Self::Mounts => "mounts (root)",
            Self::Faketime => "libfaketime",
            Self::Trace => "strace",
        }
    }
}

fn succeeds(command: &[&str]) -> bool {
    let mut process = Command::new(command[0]);
    process.args(&command[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    process.status().is_ok_and(|status| status.success())
}

/// True if all of it is there. If not, says so, and fails if it has to be there.
pub(crate) fn met(needs: &[Need]) -> bool {
    let missing: Vec<_> = needs.iter().filter(|need| !need.is_met()).map(|need| need.name()).collect();
    if missing.is_empty() {
        return true;
    }
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    let line = format!("{test}: skipped: needs {}", missing.join(", "));
    assert!(env::var_os("P2PCHAT_FAULTS_REQUIRE").is_none(), "{line}");
    // Not by a macro, whose output is shown only of tests that fail.
    io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
    false
}

/// The library, where the distributions put it.
pub(crate) fn faketime() -> Option<PathBuf> {
    let libraries = Path::new("/usr/lib").read_dir().ok()?.filter_map(Result::ok).map(|entry| entry.path());
    let folders = libraries.chain(["/usr/lib".into(), "/usr/local/lib".into(), "/usr/lib64".into()]);
    folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|library| library.is_file())
}
