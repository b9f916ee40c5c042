//! What a process has written so far, read as it comes.

use std::{
    fmt,
    io::Read,
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use super::PATIENCE;

#[derive(Default)]
struct Written {
    bytes: Vec<u8>,
    ended: bool,
}

/// A stream's text from its start, and how far a test has read in it.
pub(crate) struct Transcript {
    name: String,
    written: Arc<(Mutex<Written>, Condvar)>,
    read: usize,
}

impl Transcript {
    /// Collects what `stream` brings; `name` is for the messages of failed tests.
    pub(crate) fn of(name: impl Into<String>, mut stream: impl Read + Send + 'static) -> Self {
        let written = Arc::new((Mutex::new(Written::default()), Condvar::new()));
        let shared = written.clone();
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            loop {
                let size = stream.read(&mut chunk).unwrap_or(0);
                let mut written = shared.0.lock().unwrap();
                written.bytes.extend_from_slice(&chunk[..size]);
                written.ended = size == 0;
                shared.1.notify_all();
                if size == 0 {
                    break;
                }
            }
        });
        Self { name: name.into(), written, read: 0 }
    }

    /// Waits for `what` after what was expected before; returns what stood in between.
    pub(crate) fn expect(&mut self, what: &str) -> String {
        let from = self.read;
        let Some(at) = self.find(what, from, PATIENCE) else { self.fail(what) };
        self.read = at + what.len();
        self.slice(from, at)
    }

    /// True if `what` comes after what was expected before; it counts as read then.
    pub(crate) fn comes(&mut self, what: &str) -> bool {
        let found = self.find(what, self.read, PATIENCE);
        if let Some(at) = found {
            self.read = at + what.len();
        }
        found.is_some()
    }

    /// Waits for `what` anywhere in what has been written since the start.
    pub(crate) fn expect_anywhere(&self, what: &str) {
        if self.find(what, 0, PATIENCE).is_none() {
            self.fail(what);
        }
    }

    /// Waits for the end; returns all of it.
    pub(crate) fn to_end(&self) -> String {
        let (written, _) = self.wait(PATIENCE, |written| written.ended.then_some(()));
        assert!(written, "{self} goes on");
        self.slice(0, usize::MAX)
    }

    /// All that has been written by now.
    pub(crate) fn so_far(&self) -> String {
        self.slice(0, usize::MAX)
    }

    /// How often `what` has been written by now.
    pub(crate) fn count(&self, what: &str) -> usize {
        self.so_far().matches(what).count()
    }

    /// True if `what` has been written by now.
    pub(crate) fn has(&self, what: &str) -> bool {
        self.find(what, 0, Duration::ZERO).is_some()
    }

    fn find(&self, what: &str, from: usize, patience: Duration) -> Option<usize> {
        let what = what.as_bytes();
        let found = |written: &Written| {
            written.bytes[from..].windows(what.len()).position(|window| window == what).map(|at| from + at)
        };
        self.wait(patience, found).1
    }

    /// Waits until `look` sees something or the stream has ended; true if it was seen.
    fn wait<T>(&self, patience: Duration, look: impl Fn(&Written) -> Option<T>) -> (bool, Option<T>) {
        let deadline = Instant::now() + patience;
        let (lock, changed) = &*self.written;
        let mut written = lock.lock().unwrap();
        loop {
            let seen = look(&written);
            let left = deadline.saturating_duration_since(Instant::now());
            if seen.is_some() || written.ended || left.is_zero() {
                return (seen.is_some(), seen);
            }
            written = changed.wait_timeout(written, left).unwrap().0;
        }
    }

    fn slice(&self, from: usize, to: usize) -> String {
        let written = self.written.0.lock().unwrap();
        String::from_utf8_lossy(&written.bytes[from..to.min(written.bytes.len())]).into_owned()
    }

    fn fail(&self, what: &str) -> ! {
        panic!("{:?} has not come after byte {} of {self}", what, self.read);
    }
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.slice(0, usize::MAX);
        let end = if self.written.0.lock().unwrap().ended { "(end)" } else { "(goes on)" };
        write!(f, "{}:\n{all}\n{end}", self.name)
    }
}
