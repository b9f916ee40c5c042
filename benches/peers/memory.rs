//! What an idle stream keeps resident.

use std::fs;

use tokio::task::JoinSet;

use crate::{
    echo::{Echo, idle},
    elsewhere,
    people::{Heard, Registry},
    report::Way,
};

/// Each of them has a stream to each other.
const PEERS: usize = 46;
const STREAMS: usize = PEERS * (PEERS - 1) / 2;
/// What a bare echo reads into: the least that is of any use.
const BUFFER: usize = 512;

/// KiB for one end.
pub(crate) async fn each_end(way: Way) -> f64 {
    let far = elsewhere();
    let grown = match way {
        Way::Tcp | Way::Tls => {
            let echo = Echo::start_with(&far, way == Way::Tls, BUFFER).await;
            let before = resident();
            let streams = idle(&echo, STREAMS).await;
            let grown = resident() - before;
            drop(streams);
            grown
        }
        Way::Clear | Way::Encrypted => {
            let registry = Registry::start(&far).await;
            let mut arriving = JoinSet::new();
            let heard = Heard::new().0;
            for number in 0..PEERS {
                let (registry, heard) = (registry, heard.clone());
                arriving.spawn(async move {
                    let name = format!("peer{number}");
                    (registry.arrive(name.clone(), way == Way::Encrypted, heard).await, name)
                });
            }
            let peers = arriving.join_all().await;
            let before = resident();
            for (n, (peer, _)) in peers.iter().enumerate() {
                for (_, other) in &peers[n + 1..] {
                    peer.chat(other).await.expect("an open chat");
                }
            }
            resident() - before
        }
    };
    grown / (2 * STREAMS) as f64
}

/// In KiB.
pub(crate) fn resident() -> f64 {
    let text = fs::read_to_string("/proc/self/status").expect("a Linux");
    let resident = text.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    resident.expect("VmRSS").parse().expect("a number")
}
