//! Makes one room of two: what is said in either is said in the other, with who said it.
//!
//! ```sh
//! cargo run --release --example bridge    # shows itself; with P2PCHAT_HOST and so on (`demo.rs`) it bridges rooms of others
//! ```
#![allow(clippy::print_stdout)] // printing is what it is for

use std::env;

use p2pchat_core::{
    peer::Event,
    proto::RoomName,
    tokio::{Events, Peer},
};
use p2pchat_examples::demo::{Demo, Result, check, from_environment, hears};

#[tokio::main]
async fn main() -> Result<()> {
    if let Some((peer, events)) = from_environment().await? {
        let rooms = [env::var("P2PCHAT_ROOM")?, env::var("P2PCHAT_OTHER_ROOM")?];
        return bridge(peer, events, rooms).await;
    }
    let demo = Demo::start().await?;
    let (alice, mut alice_events) = demo.newcomer("alice").await?;
    let (bob, mut bob_events) = demo.newcomer("bob").await?;
    alice.create("garden", None, 10, "outside").await?;
    bob.create("kitchen", None, 10, "inside").await?;
    let (bot, events) = demo.newcomer("bridge").await?;
    let rooms = ["garden", "kitchen"].map(str::to_owned);
    for room in &rooms {
        bot.join(room, None).await?;
    }
    tokio::spawn(bridge(bot, events, rooms));

    alice.broadcast("garden", "The tomatoes are ripe.").await?;
    let (from, heard) = hears(&mut bob_events).await?;
    println!("in the kitchen, {from}: {heard}");
    check("bob hears alice", heard == "[alice] The tomatoes are ripe.")?;
    bob.broadcast("kitchen", "So is the soup.").await?;
    let (from, heard) = hears(&mut alice_events).await?;
    println!("in the garden, {from}: {heard}");
    check("alice hears bob", heard == "[bob] So is the soup.")
}

/// What the bridge says itself it isn't told, so that nothing goes round and round.
async fn bridge(peer: Peer, mut events: Events, rooms: [String; 2]) -> Result<()> {
    let mut names = Vec::new();
    for room in &rooms {
        // Who is a member already may join again.
        peer.join(room, None).await?;
        names.push(RoomName::new(room)?);
    }
    while let Some(event) = events.next().await {
        let Event::Broadcast { room: Some(room), from, text, .. } = event else { continue };
        let Some(other) = names.iter().find(|name| **name != room).filter(|_| names.contains(&room)) else {
            continue;
        };
        // One after the other, so that the order stays.
        let report = peer.broadcast(other.as_str(), &format!("[{from}] {text}")).await;
        match report {
            Ok(report) if report.failed.is_empty() => {}
            problem => println!("not said to everybody in {other}: {problem:?}"),
        }
    }
    Ok(())
}
