//! The network: lines that carry bytes in order, late and in pieces; datagrams that come late, twice or never.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use p2pchat_core::Time;

use crate::schedule::{Happening, Schedule};

/// A machine on the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Host {
    Registry,
    Node(usize),
}

/// A TCP connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LineId(u64);

/// One of a line's ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Dialer,
    Acceptor,
}

impl Side {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Dialer => Self::Acceptor,
            Self::Acceptor => Self::Dialer,
        }
    }
}

/// What a line carries.
#[derive(Debug)]
pub(crate) enum Item {
    /// The wish for a connection, and its acceptance.
    Open,
    Bytes(Bytes),
    End(&'static str),
}

#[derive(Debug)]
pub(crate) struct Line {
    hosts: [Host; 2],
    /// What is on its way to each side.
    pipes: [Pipe; 2],
    closed: [bool; 2],
    /// The port that was dialled.
    pub(crate) port: u16,
}

#[derive(Debug, Default)]
struct Pipe {
    items: VecDeque<Item>,
    last: Time,
    /// Nothing follows what is in it.
    ended: bool,
}

impl Line {
    pub(crate) fn host(&self, side: Side) -> Host {
        self.hosts[side as usize]
    }
}

/// How bad the network is at the moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    /// So many datagrams in a hundred are lost.
    pub(crate) loss: u32,
    /// So many come twice.
    pub(crate) twice: u32,
    /// The longest delay, in milliseconds.
    pub(crate) delay: u64,
}

impl Weather {
    pub(crate) const FINE: Self = Self { loss: 0, twice: 1, delay: 40 };
    pub(crate) const ROUGH: Self = Self { loss: 5, twice: 5, delay: 120 };
}

pub(crate) struct Network {
    lines: BTreeMap<LineId, Line>,
    last: u64,
    /// Until when nothing passes from one host to another.
    blocked: BTreeMap<(Host, Host), Time>,
    pub(crate) weather: Weather,
    pub(crate) lost: u64,
    pub(crate) twice: u64,
}

impl Network {
    pub(crate) fn new() -> Self {
        Self {
            lines: BTreeMap::new(),
            last: 0,
            blocked: BTreeMap::new(),
            weather: Weather::FINE,
            lost: 0,
            twice: 0,
        }
    }

    pub(crate) fn line(&self, line: LineId) -> Option<&Line> {
        self.lines.get(&line)
    }

    /// A line that is open at one end at least.
    pub(crate) fn an_open_line(&self) -> Option<(&LineId, &Line)> {
        self.lines.first_key_value()
    }

    pub(crate) fn line_ids(&self) -> Vec<LineId> {
        self.lines.keys().copied().collect()
    }

    /// Nothing passes from `from` to `to` for a while.
    pub(crate) fn block(&mut self, from: Host, to: Host, until: Time) {
        let end = self.blocked.entry((from, to)).or_insert(until);
        *end = until.max(*end);
    }

    fn blocked_until(&self, from: Host, to: Host, now: Time) -> Option<Time> {
        self.blocked.get(&(from, to)).copied().filter(|&until| until > now)
    }

    pub(crate) fn dial(&mut self, schedule: &mut Schedule, from: Host, to: Host, port: u16) -> LineId {
        self.last += 1;
        let line = LineId(self.last);
        let pipes = [Pipe::default(), Pipe::default()];
        self.lines.insert(line, Line { hosts: [from, to], pipes, closed: [false; 2], port });
        self.push(schedule, line, Side::Acceptor, Item::Open);
        line
    }

    /// Writes to a line. However it is written, it may arrive in pieces.
    pub(crate) fn write(&mut self, schedule: &mut Schedule, line: LineId, from: Side, mut bytes: Bytes) {
        while bytes.len() > 1 && schedule.percent(20) {
            let piece = bytes.split_to(schedule.rng.usize(1..bytes.len()));
            self.push(schedule, line, from.other(), Item::Bytes(piece));
        }
        self.write_whole(schedule, line, from, bytes);
    }

    /// Writes what arrives whole, as a TLS record does.
    pub(crate) fn write_whole(&mut self, schedule: &mut Schedule, line: LineId, from: Side, bytes: Bytes) {
        self.push(schedule, line, from.other(), Item::Bytes(bytes));
    }

    pub(crate) fn push(&mut self, schedule: &mut Schedule, id: LineId, to: Side, item: Item) {
        let longest = self.weather.delay;
        let Some(line) = self.lines.get_mut(&id) else { return };
        let pipe = &mut line.pipes[to as usize];
        if pipe.ended {
            return;
        }
        pipe.ended = matches!(item, Item::End(_));
        pipe.items.push_back(item);
        let at = (schedule.now + schedule.millis(0..=longest)).max(pipe.last);
        pipe.last = at;
        schedule.at(at, Happening::Arrive { line: id, to });
    }

    /// What arrives at one end of a line now: nothing if the network is blocked, then it arrives later.
    pub(crate) fn arrive(&mut self, schedule: &mut Schedule, id: LineId, to: Side) -> Option<(Host, Item)> {
        let line = self.lines.get(&id)?;
        if let Some(until) = self.blocked_until(line.host(to.other()), line.host(to), schedule.now) {
            let late = schedule.millis(1..=500);
            schedule.at(until + late, Happening::Arrive { line: id, to });
            return None;
        }
        let line = self.lines.get_mut(&id)?;
        let item = line.pipes[to as usize].items.pop_front()?;
        let host = line.host(to);
        if !line.closed[to as usize] {
            return Some((host, item));
        }
        if !matches!(item, Item::End(_)) {
            self.push(schedule, id, to.other(), Item::End("connection reset"));
        }
        None
    }

    /// One end says that it is done, after everything that it has written.
    pub(crate) fn close(&mut self, schedule: &mut Schedule, id: LineId, side: Side, why: &'static str) {
        self.push(schedule, id, side.other(), Item::End(why));
        self.forget(id, side);
    }

    /// One end is gone without a word.
    pub(crate) fn forget(&mut self, id: LineId, side: Side) {
        if let Some(line) = self.lines.get_mut(&id) {
            line.closed[side as usize] = true;
            if line.closed == [true; 2] {
                self.lines.remove(&id);
            }
        }
    }

    /// One end's program dies: of what it wrote, only so much arrives.
    pub(crate) fn crash(&mut self, schedule: &mut Schedule, id: LineId, side: Side, says_so: bool) {
        self.tear(schedule, id, side.other());
        if says_so {
            self.push(schedule, id, side.other(), Item::End("connection reset"));
        }
        self.forget(id, side);
    }

    /// The line is cut at any byte of what it carries, and both ends notice.
    pub(crate) fn cut(&mut self, schedule: &mut Schedule, id: LineId) {
        for side in [Side::Dialer, Side::Acceptor] {
            self.tear(schedule, id, side);
            self.push(schedule, id, side, Item::End("connection reset"));
        }
    }

    /// Loses the end of what is on its way to one side.
    fn tear(&mut self, schedule: &mut Schedule, id: LineId, to: Side) {
        let Some(line) = self.lines.get_mut(&id) else { return };
        let pipe = &mut line.pipes[to as usize];
        pipe.ended = false;
        let kept = schedule.rng.usize(0..=pipe.items.len());
        let torn = pipe.items.get(kept).and_then(|item| match item {
            Item::Bytes(bytes) => Some(bytes.slice(..schedule.rng.usize(0..=bytes.len()))),
            _ => None,
        });
        let unheard = pipe.items.drain(kept..).any(|item| matches!(item, Item::Open));
        if let Some(bytes) = torn {
            pipe.items.push_back(Item::Bytes(bytes));
        }
        // Whoever hasn't heard of the line has no end of it.
        if unheard && to == Side::Acceptor {
            self.forget(id, to);
        }
    }

    /// When copies of a datagram arrive, if any does.
    pub(crate) fn datagram(&mut self, schedule: &mut Schedule, from: Host, to: Host) -> Vec<Duration> {
        let Weather { loss, twice, delay } = self.weather;
        if self.blocked_until(from, to, schedule.now).is_some() || schedule.percent(loss) {
            self.lost += 1;
            return Vec::new();
        }
        let mut copies = vec![schedule.millis(0..=delay)];
        if schedule.percent(twice) {
            self.twice += 1;
            copies.push(schedule.millis(0..=delay * 10));
        }
        copies
    }
}
