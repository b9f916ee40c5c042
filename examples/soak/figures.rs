//! What a process holds, as Linux and the allocator tell it.

use std::{alloc::System, fs, io};

use cap::Cap;

/// Counts what is in use, and passes everything on: RSS alone can't tell a leak from what the allocator keeps for later.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Bytes of this process's heap that are in use.
pub(crate) fn heap_bytes() -> u64 {
    ALLOCATOR.allocated() as u64
}

/// What a process holds at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Figures {
    /// Memory that is in RAM.
    pub(crate) rss_kib: u64,
    /// Memory in use, by the program's own count.
    pub(crate) heap_kib: u64,
    pub(crate) descriptors: u64,
    pub(crate) threads: u64,
    /// Tasks of tokio's that have not ended.
    pub(crate) tasks: u64,
    pub(crate) cpu_seconds: f64,
}

impl Figures {
    pub(crate) fn of_process(pid: u32, tasks: u64, heap: u64) -> io::Result<Self> {
        let folder = format!("/proc/{pid}");
        let status = fs::read_to_string(format!("{folder}/status"))?;
        let field = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.and_then(|value| value.split_whitespace().next()?.parse().ok()).unwrap_or_default()
        };
        let stat = fs::read_to_string(format!("{folder}/stat"))?;
        // The name before the bracket may hold anything; of what follows, the 12th and 13th are user and system time.
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: u64 =
            after_name.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<u64>().ok()).sum();
        Ok(Self {
            rss_kib: field("VmRSS"),
            heap_kib: heap / 1024,
            descriptors: fs::read_dir(format!("{folder}/fd"))?.count() as u64,
            threads: field("Threads"),
            tasks,
            // Linux counts in hundredths of a second here, whatever the kernel's own clock.
            cpu_seconds: ticks as f64 / 100.0,
        })
    }

    /// Of this process.
    pub(crate) fn own() -> io::Result<Self> {
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        Self::of_process(std::process::id(), tasks as u64, heap_bytes())
    }
}
