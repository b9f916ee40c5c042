//! What a room of many live peers costs, all of them in this process.

use std::{fs, time::Instant};

use serde::Serialize;

use crate::{
    Side, elsewhere,
    hall::Hall,
    memory::resident,
    people::Registry,
    report::{Way, cpu, rounded},
    stay_on,
};

#[derive(Debug, Serialize)]
struct Figures {
    members: usize,
    encrypted: bool,
    joined_s: f64,
    first_broadcast_ms: f64,
    /// The median.
    next_broadcast_ms: f64,
    resident_mib: Resident,
    descriptors: Descriptors,
    processor_s: f64,
}

#[derive(Debug, Serialize)]
struct Resident {
    before: f64,
    joined: f64,
    spoken: f64,
}

#[derive(Debug, Serialize)]
struct Descriptors {
    joined: usize,
    spoken: usize,
}

/// A room of so many, the talker among them.
pub(crate) async fn measure(members: usize, encrypted: bool, broadcasts: usize) {
    let way = if encrypted { Way::Encrypted } else { Way::Clear };
    let (far, registry) = (elsewhere(), Registry::start(&elsewhere()).await);
    stay_on(Side::Near);
    let before = mib();
    let begun = Instant::now();
    let mut hall = Hall::fill_with(&registry, &far, way, members.saturating_sub(1)).await;
    let joined_s = begun.elapsed().as_secs_f64();
    let (joined, joined_descriptors) = (mib(), descriptors());
    let [(_, first), _] = hall.broadcast(1).await;
    let [(_, next), _] = hall.broadcast(broadcasts).await;
    let figures = Figures {
        members,
        encrypted,
        joined_s: rounded(joined_s),
        first_broadcast_ms: rounded(first.value() / 1_000.0),
        next_broadcast_ms: rounded(next.value() / 1_000.0),
        resident_mib: Resident { before, joined, spoken: mib() },
        descriptors: Descriptors { joined: joined_descriptors, spoken: descriptors() },
        processor_s: rounded(cpu().as_secs_f64()),
    };
    println!("{}", serde_json::to_string(&figures).expect("figures"));
}

fn mib() -> f64 {
    rounded(resident() / 1_024.0)
}

fn descriptors() -> usize {
    // The folder that is read has one itself.
    fs::read_dir("/proc/self/fd").expect("a Linux").count() - 1
}
