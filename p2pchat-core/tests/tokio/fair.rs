//! Who says much waits for themselves, and nobody else does (§8.1, §9).

use std::{net::SocketAddr, time::Duration};

use p2pchat_core::{
    peer::{self, Event, Rate},
    tokio::{Events, Peer},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::{
        TcpSocket,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::{Instant, timeout},
};

use crate::support::{PATIENCE, Registry, quick, until};

/// A stream to alice, in the clear and in somebody's name, who is online.
pub(crate) struct Stream {
    name: &'static str,
    online: (Peer, Events),
    heard: Lines<BufReader<OwnedReadHalf>>,
    out: OwnedWriteHalf,
}

impl Stream {
    /// Somebody comes `from` an address of this machine, and has a chat with alice.
    pub(crate) async fn open(
        registry: &Registry,
        name: &'static str,
        from: [u8; 4],
        (alice, events): (&Peer, &mut Events),
    ) -> Self {
        let online = registry.newcomer(name).await;
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((from, 0))).unwrap();
        let to = SocketAddr::from(([127, 0, 0, 1], alice.port()));
        let (heard, out) = socket.connect(to).await.unwrap().into_split();
        let mut stream = Self { name, online, heard: BufReader::new(heard).lines(), out };
        stream.say(&stream.ask()).await;
        let request = until(events, |event| match event {
            Event::ChatRequested { request, .. } => Some(request),
            _ => None,
        });
        alice.accept(request.await).await.unwrap();
        stream.accepted().await;
        stream
    }

    pub(crate) fn ask(&self) -> String {
        format!("CHAT_REQUEST <alice> <{}>\n", self.name)
    }

    pub(crate) fn message(&self, text: &str) -> String {
        format!("DIRECT_MESSAGE <{}> <alice> {text}\n", self.name)
    }

    pub(crate) async fn say(&mut self, lines: &str) {
        self.out.write_all(lines.as_bytes()).await.unwrap();
    }

    /// Waits for the answer to a chat request, which in an open chat is given at once.
    pub(crate) async fn accepted(&mut self) {
        let answered = async {
            while !self
                .heard
                .next_line()
                .await
                .unwrap()
                .unwrap()
                .starts_with("CHAT_REQUEST_RESPONSE <ACCEPT>")
            {}
        };
        timeout(PATIENCE, answered).await.expect("no answer");
    }

    /// Says as much as is read, with numbers from 0 on.
    fn flood(mut self, count: usize) -> (Peer, Events) {
        tokio::spawn(async move { while let Ok(Some(_)) = self.heard.next_line().await {} });
        tokio::spawn(async move {
            for n in 0..count {
                let message = format!("DIRECT_MESSAGE <{}> <alice> {n}\n", self.name);
                if self.out.write_all(message.as_bytes()).await.is_err() {
                    return;
                }
            }
            // Not closed before all of it was read.
            std::future::pending::<()>().await;
        });
        self.online
    }
}

/// Takes messages up to this one; how many others there were before it.
async fn before(events: &mut Events, wanted: &str) -> usize {
    let mut others = 0;
    until(events, |event| match event {
        Event::Message { text, .. } if text.as_str() == wanted => Some(()),
        Event::Message { .. } => {
            others += 1;
            None
        }
        _ => None,
    })
    .await;
    others
}

#[tokio::test]
async fn who_says_one_thing_comes_after_one_or_two_of_who_says_thousands() {
    // With so few, one event is enough waiting.
    const WAITING: usize = 1;
    // Of the flood one message is read, and one more may be before the other is.
    const READ: usize = 2;

    let registry = Registry::start().await;
    let (alice, mut events) = Peer::connect(registry.client().events(8 * WAITING)).await.unwrap();
    alice.register("alice", "secret").await.unwrap();
    alice.login("alice", "secret").await.unwrap();
    let eve = Stream::open(&registry, "eve", [127, 0, 0, 1], (&alice, &mut events)).await;
    let mut bob = Stream::open(&registry, "bob", [127, 0, 0, 1], (&alice, &mut events)).await;
    let _eve = eve.flood(usize::MAX);
    let mut flooded = 0;
    for round in 0..100 {
        // The application takes nothing until bob's program has been answered, so that what follows has been read.
        let hello = format!("hello {round}");
        let lines = bob.ask() + &bob.message(&hello);
        bob.say(&lines).await;
        bob.accepted().await;
        let others = before(&mut events, &hello).await;
        assert!(others <= WAITING + READ, "{others} came before");
        flooded += others;
    }
    assert!(flooded >= 100, "there was no flood: {flooded}");
}

#[tokio::test]
async fn what_is_beyond_a_budget_is_left_unread_and_others_are_heard() {
    let registry = Registry::start().await;
    let mut machine = quick();
    // All who have proven nothing have eight times as much at each address.
    machine.budget.messages = Rate::new(10, Duration::from_secs(3_600));
    let (alice, mut events) = online(&registry, machine).await;
    let eve = Stream::open(&registry, "eve", [127, 0, 0, 1], (&alice, &mut events)).await;
    let mut bob = Stream::open(&registry, "bob", [127, 0, 0, 2], (&alice, &mut events)).await;
    let _eve = eve.flood(1_000);
    // Her chat request was one.
    assert_eq!(before(&mut events, "78").await, 78);
    let hello = bob.message("hello");
    bob.say(&hello).await;
    assert_eq!(
        before(&mut events, "hello").await,
        0,
        "she says a thousand things, and hasn't more than eighty"
    );
}

#[tokio::test]
async fn what_was_beyond_a_budget_comes_when_its_turn_has() {
    let registry = Registry::start().await;
    let mut machine = quick();
    machine.budget.messages = Rate::new(5, Duration::from_secs(1));
    let (alice, mut events) = online(&registry, machine).await;
    let eve = Stream::open(&registry, "eve", [127, 0, 0, 1], (&alice, &mut events)).await;
    let begun = Instant::now();
    let _eve = eve.flood(100);
    for n in 0..100 {
        assert_eq!(before(&mut events, &n.to_string()).await, 0, "in order, and each of them");
    }
    // Forty at once at most, and forty a second.
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
}

async fn online(registry: &Registry, machine: peer::Config) -> (Peer, Events) {
    let (alice, events) = Peer::connect(registry.client().machine(machine)).await.unwrap();
    alice.register("alice", "secret").await.unwrap();
    alice.login("alice", "secret").await.unwrap();
    (alice, events)
}
