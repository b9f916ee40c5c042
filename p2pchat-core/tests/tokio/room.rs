//! A room of 200, all of them live peers in this process: a stream to each member, dialled when it is first needed and kept.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use p2pchat_core::{
    peer::Event,
    tokio::{
        BoxFuture, BoxStream, ClientConfig, Datagrams, Events, LinkIdentity, Listener, Network, Peer,
        TcpNetwork,
    },
};
use tokio::{
    runtime::Runtime,
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};

use crate::support::{PATIENCE, Registry, quick};

const MEMBERS: usize = 200;
const ROOM: &str = "square";
/// Each peer listens, and has a stream and a socket to the registry, which has one to it; and there are two ends of a stream to
/// each. The rest is for the tests beside this one.
const DESCRIPTORS: u64 = 6 * MEMBERS as u64 + 800;

/// The system's network, but that what is dialled beside the registry is counted.
#[derive(Debug)]
struct Counted {
    registry: SocketAddr,
    dialled: AtomicUsize,
}

impl Network for Counted {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        TcpNetwork.resolve(host, port)
    }

    fn dial(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<BoxStream>> {
        if addr != self.registry {
            self.dialled.fetch_add(1, SeqCst);
        }
        TcpNetwork.dial(addr)
    }

    fn listen(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        TcpNetwork.listen(addr)
    }

    fn bind(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Datagrams>>> {
        TcpNetwork.bind(addr)
    }
}

/// Who has heard what, as it happens.
type Ears = mpsc::UnboundedSender<(String, String)>;

async fn log_in(config: ClientConfig, name: &str) -> (Peer, Events) {
    let (peer, events) = Peer::connect(config).await.unwrap();
    let key = LinkIdentity::generate().unwrap();
    peer.set_identity(Some(LinkIdentity::from_pkcs8(&key).unwrap())).await.unwrap();
    peer.register(name, "secret").await.unwrap();
    peer.login(name, "secret").await.unwrap();
    (peer, events)
}

/// Somebody who has joined; what they hear goes to `ears`.
async fn member(config: ClientConfig, name: String, ears: Ears) -> Peer {
    let (peer, events) = log_in(config, &name).await;
    peer.join(ROOM, None).await.unwrap();
    tokio::spawn(listen(events, name, ears));
    peer
}

async fn listen(mut events: Events, name: String, ears: Ears) {
    while let Some(event) = events.next().await {
        if let Event::Broadcast { text, .. } = event {
            // An error means that the test has failed already.
            drop(ears.send((name.clone(), text.as_str().to_owned())));
        }
    }
}

/// A member with a runtime of their own, so that the test can do to them what happens to processes.
struct Apart {
    halt: oneshot::Sender<()>,
    thread: thread::JoinHandle<Runtime>,
}

impl Apart {
    async fn join(config: ClientConfig, name: &str, ears: Ears) -> Self {
        let (name, (joined, is_in), (halt, halted)) =
            (name.to_owned(), oneshot::channel(), oneshot::channel());
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let _peer = member(config, name, ears).await;
                joined.send(()).unwrap();
                halted.await.unwrap();
            });
            runtime
        });
        is_in.await.unwrap();
        Self { halt, thread }
    }

    /// It stands still: the system takes what is sent to it, and nothing answers.
    fn freeze(self) -> Runtime {
        self.halt.send(()).unwrap();
        self.thread.join().unwrap()
    }

    /// It is gone, without a word to anybody.
    fn kill(self) {
        self.freeze().shutdown_background();
    }
}

/// Waits until `count` members more have heard it, each once.
async fn heard(
    hearing: &mut mpsc::UnboundedReceiver<(String, String)>,
    by: &mut BTreeMap<String, Vec<String>>,
    (text, count): (&str, usize),
) {
    let all = async {
        for _ in 0..count {
            let (name, heard) = hearing.recv().await.unwrap();
            assert_eq!(heard, text);
            by.entry(name).or_default().push(heard);
        }
    };
    timeout(PATIENCE, all).await.expect("not everybody heard it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_of_200_talks_over_streams_that_are_dialled_once_and_the_dead_delay_nobody() {
    let limit = rlimit::increase_nofile_limit(DESCRIPTORS).unwrap();
    assert!(
        limit >= DESCRIPTORS,
        "{limit} descriptors are allowed, {DESCRIPTORS} are needed: raise `ulimit -Hn`"
    );
    // Long enough that the registry still names the dead when they are spoken to.
    const PRESENT: Duration = Duration::from_secs(60);
    let registry = Registry::start_with(|config| config.machine.resume_grace = PRESENT).await;
    let network = Arc::new(Counted { registry: registry.tcp, dialled: AtomicUsize::new(0) });
    let dialled = || network.dialled.load(SeqCst);
    let client = || {
        let mut machine = quick();
        machine.lease = PRESENT;
        registry.client().machine(machine).network(network.clone())
    };
    let (talker, talker_events) = log_in(client(), "talker").await;
    talker.create(ROOM, None, MEMBERS as u32, "").await.unwrap();
    let (ears, mut hearing) = mpsc::unbounded_channel();
    tokio::spawn(listen(talker_events, "talker".into(), ears.clone()));

    let mut joining = JoinSet::new();
    for number in 0..MEMBERS - 3 {
        joining.spawn(member(client(), format!("member{number}"), ears.clone()));
    }
    let silent = Apart::join(client(), "silent", ears.clone()).await;
    let killed = Apart::join(client(), "killed", ears).await;
    let members = joining.join_all().await;
    assert_eq!(talker.members(ROOM).await.unwrap().len(), MEMBERS);
    assert_eq!(dialled(), 0, "nobody is dialled before there is something to say");

    let mut by = BTreeMap::new();
    for text in ["first", "second"] {
        let report = talker.broadcast(ROOM, text).await.unwrap();
        assert_eq!((report.delivered.len(), report.failed), (MEMBERS - 1, Vec::new()));
        heard(&mut hearing, &mut by, (text, MEMBERS - 1)).await;
        assert_eq!(dialled(), MEMBERS - 1, "a stream each, once and for all");
    }
    // Whoever answers has the talker's stream for it.
    let answers = members.first().unwrap();
    let who_answers = answers.username().unwrap();
    let report = answers.broadcast(ROOM, "answer").await.unwrap();
    assert_eq!((report.delivered.len(), report.failed), (MEMBERS - 1, Vec::new()));
    heard(&mut hearing, &mut by, ("answer", MEMBERS - 1)).await;
    assert_eq!(dialled(), 2 * (MEMBERS - 1) - 1);

    killed.kill();
    let silent = silent.freeze();
    let to_the_dead = tokio::spawn({
        let talker = talker.clone();
        async move { talker.broadcast(ROOM, "third").await.unwrap() }
    });
    heard(&mut hearing, &mut by, ("third", MEMBERS - 3)).await;
    assert!(!to_the_dead.is_finished(), "the report waits for the silent, and nobody else does");
    let report = timeout(PATIENCE, to_the_dead).await.expect("the report did not come").unwrap();
    let mut dead: Vec<_> = report.failed.iter().map(|(name, _)| name.as_str()).collect();
    dead.sort_unstable();
    assert_eq!((report.delivered.len(), dead), (MEMBERS - 3, vec!["killed", "silent"]));

    silent.shutdown_background();
    let mut closing = JoinSet::new();
    for peer in members.into_iter().chain([talker]) {
        closing.spawn(async move { peer.close().await });
    }
    closing.join_all().await;
    assert_eq!(hearing.recv().await, None, "nobody hears anything twice");
    let all = ["first", "second", "answer", "third"];
    for (name, texts) in by {
        let wanted: Vec<_> = match name.as_str() {
            "talker" => vec!["answer"],
            "silent" | "killed" => all[..3].to_vec(),
            name if name == who_answers.as_str() => vec!["first", "second", "third"],
            _ => all.to_vec(),
        };
        assert_eq!(texts, wanted, "{name}");
    }
    registry.stop().await;
}
