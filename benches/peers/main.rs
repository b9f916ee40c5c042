//! Peer streams beside bare echoes over TCP and TLS, side by side in one run: what the library costs, and what encryption does. A
//! room's price besides: `--room 200`.
//!
//! Both ends are in this process, each on a thread and a `current_thread` runtime of its own, as two programs would be; the
//! registry has a third. Where there are two processors, the far end and the registry have the first, the near end another.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a benchmark that can't run fails by panicking
#![allow(clippy::disallowed_methods)] // it measures the real clock
#![allow(clippy::print_stdout)] // printing is what it is for

mod echo;
mod file;
mod hall;
mod memory;
mod pair;
mod people;
mod report;
mod room;

use std::{future::pending, process::Command, sync::mpsc, thread};

use clap::Parser;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::{
    echo::Echo,
    file::Files,
    hall::Hall,
    pair::Pair,
    people::Registry,
    report::{Figure, Report, Way, What},
};

/// Measures peer streams beside bare echoes, or what a room costs.
#[derive(Debug, Parser)]
struct Arguments {
    /// How often everything is measured, one way after the other.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// A tenth of the work: do all answers come, and are they right?
    #[arg(long)]
    quick: bool,
    /// Measures this alone.
    #[arg(long)]
    only: Option<What>,
    /// Both ends on one processor, which nobody has to wake: what is left is their work.
    #[arg(long)]
    together: bool,
    /// Measures a room of so many instead.
    #[arg(long)]
    room: Option<usize>,
    /// That room in the clear: nobody has a link key.
    #[arg(long, requires = "room")]
    clear: bool,
    /// How many broadcasts follow the first one there. What one costs in instructions is the difference of two counts.
    #[arg(long, requires = "room", default_value_t = 10)]
    broadcasts: usize,
    /// Measures files instead: how fast one goes, and what messages notice of it.
    #[arg(long)]
    file: bool,
    /// Measures an idle stream's memory alone, in a process that has done nothing else.
    #[arg(long)]
    memory: Option<Way>,
}

fn main() {
    let arguments = Arguments::parse();
    rlimit::increase_nofile_limit(u64::MAX).expect("descriptors");
    let near = current_thread();
    match (arguments.room, arguments.memory) {
        (Some(members), _) => near.block_on(room::measure(members, !arguments.clear, arguments.broadcasts)),
        (None, Some(way)) => println!("{}", near.block_on(memory::each_end(way))),
        (None, None) => near.block_on(async { tokio::spawn(compare(arguments)).await.expect("it ends") }),
    }
}

/// Which of two processors a thread has, if there are two. The system would have both ends on one, or each on another, as it
/// comes, which is another price each time.
#[derive(Debug, Clone, Copy)]
enum Side {
    Near,
    Far,
}

fn stay_on(side: Side) {
    let all = sched_getaffinity(None).expect("processors");
    let mut processors = (0..CpuSet::MAX_CPU).filter(|&cpu| all.is_set(cpu));
    let (Some(first), Some(second)) = (processors.next(), processors.next()) else { return };
    let mut own = CpuSet::new();
    own.set(match side {
        Side::Near => second,
        Side::Far => first,
    });
    sched_setaffinity(None, &own).expect("a processor of one's own");
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A runtime on a thread of its own, until the process ends.
fn elsewhere() -> Handle {
    elsewhere_on(Some(Side::Far))
}

fn elsewhere_on(side: Option<Side>) -> Handle {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        side.inspect(|&side| stay_on(side));
        let runtime = current_thread();
        sender.send(runtime.handle().clone()).expect("the one who waits for it");
        runtime.block_on(pending::<()>());
    });
    receiver.recv().expect("a handle")
}

/// What is compared is done by tasks at both ends: the future that a runtime blocks on looks at all sockets once more each time
/// that it is woken by another task.
async fn compare(arguments: Arguments) {
    let less = if arguments.quick { 10 } else { 1 };
    if arguments.file {
        println!("| | | ratio |\n| --- | --- | --- |");
        let (far, registry) = (elsewhere_on(None), Registry::start(&elsewhere_on(None)).await);
        let files = Files::new(&far, registry, ["far", "near"], less).await;
        files.rate(&far, "far", arguments.rounds).await;
        let files = Files::new(&elsewhere(), registry, ["there", "here"], less).await;
        stay_on(Side::Near);
        return files.talk("there", arguments.rounds).await;
    }
    let (far, registry) = (elsewhere(), Registry::start(&elsewhere()).await);
    // Those of the others have begun, which would have inherited it.
    stay_on(if arguments.together { Side::Far } else { Side::Near });
    let echoes = [(Way::Tcp, Echo::start(&far, false).await), (Way::Tls, Echo::start(&far, true).await)];
    let mut pairs = Vec::new();
    let mut halls = Vec::new();
    for way in [Way::Clear, Way::Encrypted] {
        pairs.push((way, Pair::meet(&registry, &far, way).await));
        halls.push((way, Hall::fill(&registry, &far, way).await));
    }
    let mut report = Report::default();
    for _ in 0..arguments.rounds {
        let wanted = |what: &What| arguments.only.is_none_or(|only| only == *what);
        for what in What::TIMED.into_iter().filter(wanted) {
            let count = what.count() / less;
            // In turn, so that a floor is never far from what is compared with it.
            for n in 0..2 {
                let ((floor, echo), (way, pair), (_, hall)) = (&echoes[n], &mut pairs[n], &mut halls[n]);
                if what == What::Broadcast {
                    report.add_all(*floor, echo.broadcast(count).await);
                    report.add_all(*way, hall.broadcast(count).await);
                    hall.is_told_at_once().await;
                } else {
                    report.add(what, *floor, echo.measure(what, count).await);
                    report.add(what, *way, pair.measure(what, count).await);
                }
            }
        }
        if wanted(&What::Search) {
            for (way, pair) in &mut pairs {
                report.add(What::Search, *way, pair.measure(What::Search, 1_000 / less).await);
            }
        }
        for way in Way::ALL.into_iter().filter(|_| wanted(&What::Memory)) {
            report.add(What::Memory, way, Figure::of(memory_elsewhere(way)));
        }
    }
    println!("\n{}", report.table());
}

/// What was allocated and given back before is no idle stream's.
fn memory_elsewhere(way: Way) -> f64 {
    let own = std::env::current_exe().expect("this program");
    let output = Command::new(own).args(["--memory", way.word()]).output().expect("this program again");
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}
