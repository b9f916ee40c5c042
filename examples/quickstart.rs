//! A registry and three people in one process, over real TLS, UDP and TCP sockets on free ports.
//!
//! ```sh
//! cargo run --example quickstart            # the conversation, then the end
//! cargo run --example quickstart -- --stay  # the registry stays up to be joined
//! ```
#![allow(clippy::print_stdout)] // printing is what it is for

use std::{error::Error, net::SocketAddr, time::Duration};

use p2pchat_core::{
    peer::Event,
    tokio::{ClientConfig, Events, Peer, Trust},
};
use p2pchat_registryd::{Config, Ready, Settings, serve};
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const PASSWORD: &str = "correct horse battery staple";
const ROOM: &str = "the garden shed";

#[tokio::main]
async fn main() -> Result<()> {
    let stay = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--stay") => true,
        Some(other) => return Err(format!("unknown argument {other}; there is only --stay").into()),
    };
    let folder = tempfile::tempdir()?;
    let registry = Registry::start(folder.path()).await?;
    conversation(&registry).await?;
    if stay {
        registry.invite();
        tokio::signal::ctrl_c().await?;
        println!();
    }
    registry.stop().await
}

/// The registry, on redb, in a task of this process.
struct Registry {
    ready: Ready,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::result::Result<(), p2pchat_registryd::Error>>,
}

impl Registry {
    async fn start(folder: &std::path::Path) -> Result<Self> {
        let free_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut settings = Settings::default();
        settings.data_dir = Some(folder.into());
        (settings.listen, settings.udp_listen) = (Some(free_port), Some(free_port));
        let config = Config::new(settings)?;

        let (say_ready, is_ready) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let shutdown = async { _ = stopped.await };
            serve(&config, shutdown, |ready| _ = say_ready.send(ready)).await
        });
        let Ok(ready) = is_ready.await else {
            return Err(task.await?.err().ok_or("the registry ended")?.into());
        };
        say("registry", &format!("listening on {} (TCP with TLS) and {} (UDP)", ready.tcp, ready.udp));
        say("registry", &format!("certificate {}", ready.fingerprint));
        Ok(Self { ready, stop, task })
    }

    fn invite(&self) {
        let Ready { tcp, udp, fingerprint, .. } = &self.ready;
        println!(
            "\nThe registry stays up until Ctrl-C. In two other terminals, join it as people of your choice; /register\n\
             instead of a username makes an account, then one asks the other: /chat NAME\n"
        );
        // The whole workspace's features, like the command that started this: nothing is built twice.
        let client = "cargo run --release --bin p2pchat --";
        println!("  {client} --registry {tcp} --registry-udp {udp} --fingerprint {fingerprint}");
    }

    async fn stop(self) -> Result<()> {
        _ = self.stop.send(());
        self.task.await??;
        say("registry", "has ended");
        Ok(())
    }
}

/// Somebody with an account, logged in.
struct Person {
    name: &'static str,
    peer: Peer,
    events: Events,
}

impl Person {
    async fn arrive(name: &'static str, registry: &Registry) -> Result<Self> {
        let Ready { tcp, udp, fingerprint, .. } = registry.ready;
        let config = ClientConfig::new(tcp.ip().to_string(), tcp.port(), Trust::Pinned(fingerprint))
            .registry_udp(udp.ip().to_string(), udp.port());
        let (peer, events) = Peer::connect(config).await?;
        peer.register(name, PASSWORD).await?;
        peer.login(name, PASSWORD).await?;
        say(name, &format!("registered and logged in; can be reached on port {}", peer.port()));
        Ok(Self { name, peer, events })
    }

    /// Waits for something that `wanted` recognises, passing over the rest.
    async fn expect<T>(&mut self, wanted: impl Fn(&Event) -> Option<T>) -> Result<T> {
        let waiting = async {
            loop {
                let event = self.events.next().await.ok_or("the event stream ended")?;
                if let Some(found) = wanted(&event) {
                    return Ok(found);
                }
            }
        };
        timeout(Duration::from_secs(20), waiting)
            .await
            .map_err(|_| format!("{} waited in vain", self.name))?
    }

    async fn tell(&self, other: &mut Person, text: &str) -> Result<()> {
        let name = other.name;
        let hears = other.expect(|event| match event {
            Event::Message { from, text, .. } => Some((from.clone(), text.clone())),
            _ => None,
        });
        let (sent, heard) = tokio::join!(self.peer.send(name, text), hears);
        sent?;
        let (from, heard) = heard?;
        say(&format!("{from} → {name}"), heard.as_str());
        Ok(())
    }

    async fn hears_the_room(&mut self) -> Result<()> {
        let heard = self.expect(|event| match event {
            Event::Broadcast { from, text, .. } => Some(format!("{from}: {text}")),
            _ => None,
        });
        let heard = heard.await?;
        say(&format!("{} hears", self.name), &heard);
        Ok(())
    }

    async fn say_in_the_room(&self, others: [&mut Person; 2], text: &str) -> Result<()> {
        let [first, second] = others;
        let broadcast = self.peer.broadcast(ROOM, text);
        let (report, first, second) =
            tokio::join!(broadcast, first.hears_the_room(), second.hears_the_room());
        first?;
        second?;
        let report = report?;
        let delivered: Vec<_> = report.delivered.iter().map(|name| name.as_str()).collect();
        say(self.name, &format!("knows that {} got it", delivered.join(" and ")));
        match report.failed.is_empty() {
            true => Ok(()),
            false => Err(format!("not delivered: {:?}", report.failed).into()),
        }
    }
}

async fn conversation(registry: &Registry) -> Result<()> {
    let mut alice = Person::arrive("alice", registry).await?;
    let mut bob = Person::arrive("bob", registry).await?;
    let mut carol = Person::arrive("carol", registry).await?;

    let online: Vec<_> = alice.peer.names().await?.iter().map(ToString::to_string).collect();
    say("alice", &format!("asks who is online: {}", online.join(", ")));
    let found = alice.peer.search("bob").await?;
    say("alice", &format!("looks for bob: he is at {} port {}", found.ip, found.port));

    println!();
    let accepts = async {
        let request = bob.expect(|event| match event {
            Event::ChatRequested { request, from, .. } => Some((*request, from.clone())),
            _ => None,
        });
        let (request, from) = request.await?;
        let from = from.map_or("somebody".to_owned(), |name| name.to_string());
        say("bob", &format!("is asked for a chat by {from}, and accepts"));
        bob.peer.accept(request).await?;
        Ok::<_, Box<dyn Error>>(())
    };
    let (asked, accepted) = tokio::join!(alice.peer.chat("bob"), accepts);
    asked?;
    accepted?;
    alice.tell(&mut bob, "Is it true that nobody sits between us?").await?;
    bob.tell(&mut alice, "Only a cable. <b>Brackets</b>, emoji 🦀 and\nsecond lines arrive as they are.")
        .await?;

    println!();
    alice.peer.create(ROOM, Some("under the pot"), 10, "tools, seeds, gossip").await?;
    for room in alice.peer.rooms().await? {
        say(
            "alice",
            &format!("opened “{}” ({}), {} of {}", room.name, room.description, room.members, room.capacity),
        );
    }
    if let Err(error) = bob.peer.join(ROOM, Some("behind the door")).await {
        say("bob", &format!("tries to join with a wrong password: {error}"));
    }
    for person in [&bob, &carol] {
        person.peer.join(ROOM, Some("under the pot")).await?;
        say(person.name, "joined");
    }
    let members: Vec<_> = carol.peer.members(ROOM).await?.iter().map(ToString::to_string).collect();
    say("carol", &format!("sees in the room: {}", members.join(", ")));
    carol.say_in_the_room([&mut alice, &mut bob], "The tomatoes are ripe.").await?;
    alice.say_in_the_room([&mut bob, &mut carol], "On my way!").await?;

    println!();
    carol.peer.leave(ROOM).await?;
    say("carol", "left the room");
    bob.peer.logout().await?;
    say("bob", "logged out");
    let gone = alice.expect(|event| match event {
        Event::MemberOffline { username, .. } => Some(username.to_string()),
        _ => None,
    });
    say("alice", &format!("is told that {} is offline", gone.await?));
    alice.peer.leave(ROOM).await?;
    say("alice", "left the room too; bob is a member still, and owns it now");
    for person in [&alice, &bob, &carol] {
        person.peer.close().await;
    }
    Ok(())
}

/// One line of the story.
fn say(who: &str, what: &str) {
    let mut lines = what.lines();
    println!("{who:>15}  {}", lines.next().unwrap_or_default());
    for line in lines {
        println!("{:>15}  {line}", "");
    }
}
