//! Accepts every chat and says again what it hears.
//!
//! ```sh
//! cargo run --release --example echo_bot    # shows itself; with P2PCHAT_HOST and so on (`demo.rs`) it serves others
//! ```
#![allow(clippy::print_stdout)] // printing is what it is for

use p2pchat_core::{
    peer::Event,
    tokio::{Events, Peer},
};
use p2pchat_examples::demo::{Demo, Result, check, from_environment, hears};

#[tokio::main]
async fn main() -> Result<()> {
    if let Some((peer, events)) = from_environment().await? {
        return echo(peer, events).await;
    }
    let demo = Demo::start().await?;
    let (bot, events) = demo.newcomer("echo").await?;
    tokio::spawn(echo(bot, events));
    let (alice, mut events) = demo.newcomer("alice").await?;
    alice.chat("echo").await?;
    for text in ["Anybody there?", "two\nlines, <brackets> and 🦀"] {
        println!("alice: {text}");
        alice.send("echo", text).await?;
        let (from, heard) = hears(&mut events).await?;
        println!("{from}: {heard}");
        check("the echo says something else", heard == text)?;
    }
    Ok(())
}

async fn echo(peer: Peer, mut events: Events) -> Result<()> {
    while let Some(event) = events.next().await {
        match event {
            // Whoever asked may be gone by now.
            Event::ChatRequested { request, .. } => drop(peer.accept(request).await),
            Event::Message { from, text, .. } => {
                // On a task of its own: what is slow to be delivered to one keeps nobody else waiting.
                let peer = peer.clone();
                tokio::spawn(async move { peer.send(from.as_str(), text.as_str()).await });
            }
            Event::LoggedOut { reason, .. } => return Err(reason.into()),
            _ => {}
        }
    }
    Ok(())
}
