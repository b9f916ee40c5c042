//! A registry as a part of another program, here of a game's lobby: players talk among themselves, and the game sees who is there,
//! and puts out who cheats.
//!
//! ```sh
//! cargo run --release --example embedded_registry
//! ```
#![allow(clippy::print_stdout)] // printing is what it is for

use p2pchat_core::{peer::Event, proto::Reason, registry::BanTarget};
use p2pchat_examples::demo::{Demo, Result, check, hears};

#[tokio::main]
async fn main() -> Result<()> {
    // `demo.rs` says how it is started: a certificate, two ports and a store.
    let lobby = Demo::start().await?;
    let (alice, mut alice_events) = lobby.newcomer("alice").await?;
    let (mallory, mut mallory_events) = lobby.newcomer("mallory").await?;
    alice.create("table 1", None, 4, "beginners").await?;
    mallory.join("table 1", None).await?;
    let says = async { Result::Ok(mallory.broadcast("table 1", "I can see your cards.").await?) };
    let (report, (from, heard)) = tokio::try_join!(says, hears(&mut alice_events))?;
    check("alice has it", report.delivered.len() == 1)?;
    println!("{from}: {heard}");

    let online = lobby.handle.sessions(None, 100);
    println!("the game sees {} players online", online.len());
    check("two of them", online.len() == 2)?;
    let cheat = BanTarget::User("mallory".parse()?);
    lobby.handle.ban(cheat, Some(Reason::new("cheating")?), None).await?;
    while let Some(event) = mallory_events.next().await {
        if let Event::LoggedOut { reason, .. } = event {
            println!("mallory is told: {reason}");
            return check("nobody else is there", lobby.handle.sessions(None, 100).len() == 1);
        }
    }
    Err("mallory was told nothing".into())
}
