//! Writes down what is said in a room, a line each: when, by the speaker's clock, who, and what.
//!
//! ```sh
//! cargo run --release --example room_logger    # shows itself; with P2PCHAT_HOST and so on (`demo.rs`) it logs a room of others
//! ```
#![allow(clippy::print_stdout)] // printing is what it is for

use std::{
    env,
    io::{self, Write},
};

use p2pchat_core::{peer::Event, tokio::Events};
use p2pchat_examples::demo::{Demo, Result, check, from_environment};

#[tokio::main]
async fn main() -> Result<()> {
    if let Some((peer, mut events)) = from_environment().await? {
        peer.join(&env::var("P2PCHAT_ROOM")?, None).await?;
        while log(&mut events, &mut io::stdout()).await? {}
        return Ok(());
    }
    let demo = Demo::start().await?;
    let (alice, _events) = demo.newcomer("alice").await?;
    alice.create("garden", None, 10, "tools, seeds, gossip").await?;
    let (logger, mut events) = demo.newcomer("logger").await?;
    logger.join("garden", None).await?;
    let mut written = Vec::new();
    let talk = async {
        for text in ["The tomatoes are ripe.", "On two lines:\nso are the beans."] {
            let report = alice.broadcast("garden", text).await?;
            check("the logger has it", report.delivered.len() == 1)?;
        }
        Result::Ok(())
    };
    let log = async {
        for _ in 0..2 {
            log(&mut events, &mut written).await?;
        }
        Result::Ok(())
    };
    tokio::try_join!(talk, log)?;
    let written = String::from_utf8(written)?;
    print!("{written}");
    check("a line for each", written.lines().count() == 2)
}

/// Writes the next thing that is said; false once nothing will be any more.
async fn log(events: &mut Events, out: &mut impl Write) -> Result<bool> {
    while let Some(event) = events.next().await {
        let Event::Broadcast { room, from, text, place, .. } = event else { continue };
        let room = room.map_or_else(|| "?".to_owned(), |room| room.to_string());
        let millis = place.map_or(0, |place| place.number.time);
        // Debug quotes it and keeps it on its line, whatever is in it.
        writeln!(out, "{}.{:03} #{room} {from} {:?}", millis / 1_000, millis % 1_000, text.as_str())?;
        return Ok(true);
    }
    Ok(false)
}
