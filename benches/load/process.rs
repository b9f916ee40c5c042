//! What a process has used, as /proc tells it.

use std::{fs, time::Duration};

use crate::Outcome;

/// A process on this machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process {
    pid: u32,
}

/// Processor time so far, in two counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cpu {
    /// To the nanosecond, of the threads that there are.
    scheduled: Duration,
    /// To the hundredth of a second, of those too that have ended.
    ticks: Duration,
}

/// How long a tick of /proc/PID/stat is, on every Linux that there is.
const TICK: Duration = Duration::from_millis(10);

impl Process {
    pub(crate) fn new(pid: u32) -> Self {
        Self { pid }
    }

    pub(crate) fn cpu(self) -> Outcome<Cpu> {
        let mut scheduled = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            // A thread may end meanwhile.
            if let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) {
                scheduled += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
            }
        }
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        // The name in brackets may hold blanks. After it, user and system time are fields 12 and 13.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
        let ticks = fields.skip(11).take(2).map(str::parse::<u32>).sum::<Result<u32, _>>()?;
        Ok(Cpu { scheduled: Duration::from_nanos(scheduled), ticks: TICK * ticks })
    }

    pub(crate) fn rss_kib(self) -> Outcome<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        Ok(rss.ok_or("no VmRSS")?.parse()?)
    }
}

impl Cpu {
    /// What was used between two moments.
    pub(crate) fn since(self, before: Self) -> Duration {
        let scheduled = self.scheduled.saturating_sub(before.scheduled);
        let ticks = self.ticks.saturating_sub(before.ticks);
        // The finer count has lost the time of threads that ended.
        if ticks > scheduled + 2 * TICK { ticks } else { scheduled }
    }
}
