//! The database file, damaged.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{OnceLock, mpsc},
};

use arbitrary::{Arbitrary, Unstructured};
use p2pchat_core::{
    proto::{Capacity, Description, RoomName, Username},
    registry::store::{Read, RoomAction, StoreAnswer, StoreError, StoreRequest, TokenChange, Write},
    tokio::Store,
};

use crate::{OpenError, RedbStore, StoreConfig, files};

const USERS: usize = 4;
const ROOMS: usize = 3;

/// A file of an older format.
const FORMAT_1: &[u8] = include_bytes!("../store/format-1.redb");

/// What happened to the file. Places count from the start, or with the highest bit from the end.
#[derive(Debug, Arbitrary)]
enum Damage<'a> {
    Flip {
        at: u32,
        bits: u8,
    },
    Fill {
        at: u32,
        length: u16,
        with: u8,
    },
    Write {
        at: u32,
        bytes: &'a [u8],
    },
    /// One page is where another was: each is what its own checksum says.
    CopyPage {
        from: u8,
        to: u8,
    },
    Cut {
        to: u32,
    },
    Extend {
        by: u16,
    },
}

/// Whatever has become of the file: it is refused, and left as it is, or it is opened, and answers.
pub fn database(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let whole = wholes();
    let Ok(choice) = u8::arbitrary(&mut input) else { return };
    let mut bytes = match choice {
        u8::MAX => FORMAT_1.to_vec(),
        choice => whole.get(usize::from(choice) % whole.len()).expect("in range").clone(),
    };
    while !input.is_empty()
        && let Ok(damage) = Damage::arbitrary(&mut input)
    {
        damage.work(&mut bytes);
    }
    let file = File::new("open");
    fs::write(&file.0, &bytes).expect("a place to write to");
    let opened = RedbStore::open(&file.0, &config());
    // What it was before an upgrade.
    _ = fs::remove_file(files::with_suffix(&file.0, ".format-1"));
    match opened {
        Ok(store) => read_all(&store),
        Err(OpenError::Damaged { .. } | OpenError::Foreign { .. } | OpenError::Newer { .. }) => {
            assert!(fs::read(&file.0).expect("it is there") == bytes, "a file was refused and changed");
        }
        Err(other) => panic!("{other}"),
    }
}

impl Damage<'_> {
    fn work(&self, file: &mut Vec<u8>) {
        const PAGE: usize = 4_096;
        let place = |at: u32| {
            let at = usize::try_from(at).expect("32 bits");
            let offset = (at & 0x7fff_ffff).checked_rem(file.len()).unwrap_or_default();
            if at >> 31 == 0 { offset } else { file.len().saturating_sub(offset) }
        };
        let write = |file: &mut Vec<u8>, at: usize, bytes: &mut dyn Iterator<Item = u8>| {
            for (old, new) in file.iter_mut().skip(at).zip(bytes) {
                *old = new;
            }
        };
        match self {
            Self::Flip { at, bits } => {
                let at = place(*at);
                if let Some(byte) = file.get_mut(at) {
                    *byte ^= bits;
                }
            }
            Self::Fill { at, length, with } => {
                let at = place(*at);
                write(file, at, &mut std::iter::repeat_n(*with, (*length).into()));
            }
            Self::Write { at, bytes } => {
                let at = place(*at);
                write(file, at, &mut bytes.iter().copied());
            }
            Self::CopyPage { from, to } => {
                let page: Vec<u8> = file.iter().copied().skip(usize::from(*from) * PAGE).take(PAGE).collect();
                write(file, usize::from(*to) * PAGE, &mut page.into_iter());
            }
            Self::Cut { to } => {
                let to = place(*to);
                file.truncate(to);
            }
            Self::Extend { by } => file.resize(file.len() + usize::from(*by), 0),
        }
    }
}

fn config() -> StoreConfig {
    StoreConfig { cache_bytes: 1 << 20, ..StoreConfig::default() }
}

fn user(n: usize) -> Username {
    Username::new(&format!("user{n}")).expect("a name")
}

fn room(n: usize) -> RoomName {
    RoomName::new(&format!("room{n}")).expect("a name")
}

fn ask(store: &RedbStore, request: StoreRequest) -> StoreAnswer {
    let (sender, answer) = mpsc::channel();
    store.submit(request, Box::new(move |answer| _ = sender.send(answer)));
    answer.recv().expect("an answer")
}

fn read_all(store: &RedbStore) {
    let reads = (0..USERS).map(|n| Read::Account { username: user(n) });
    let reads = reads.chain((0..ROOMS).map(|n| Read::Room { room: room(n), username: user(1) }));
    let reads = reads.chain((0..ROOMS).map(|n| Read::RoomBans { room: room(n), username: user(n) }));
    let reads = reads.chain([Read::Rooms]);
    let writes = (0..USERS).map(|n| Write::OpenSession {
        username: user(n),
        password: None,
        token: TokenChange::Keep,
    });
    for request in reads.map(StoreRequest::Read).chain(writes.map(StoreRequest::Write)) {
        if let StoreAnswer::Failed(StoreError::Busy) = ask(store, request) {
            panic!("nothing else was asked");
        }
    }
}

/// Files as the store leaves them: new, in use, and as `kill -9` or a loss of power leaves it.
fn wholes() -> &'static [Vec<u8>] {
    static WHOLES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    WHOLES.get_or_init(|| {
        let file = File::new("whole");
        let open = || RedbStore::open(&file.0, &config()).expect("an own file");
        let read = || fs::read(&file.0).expect("an own file");
        drop(open());
        let new = read();
        let store = open();
        for n in 0..USERS {
            ask(
                &store,
                StoreRequest::Write(Write::Register {
                    username: user(n),
                    password: "a hash".into(),
                    invite: None,
                }),
            );
        }
        let killed_early = read();
        for n in 0..ROOMS {
            let create = Write::CreateRoom {
                room: room(n),
                owner: user(n),
                password: None,
                capacity: Capacity::new(5).expect("in range"),
                description: Description::default(),
                rooms_per_user: 8,
            };
            ask(&store, StoreRequest::Write(create));
            for member in 0..USERS {
                let join = Write::JoinRoom {
                    room: room(n),
                    id: n as u64 + 1,
                    password: None,
                    username: user(member),
                    rooms_per_user: 8,
                };
                ask(&store, StoreRequest::Write(join));
            }
            let action = RoomAction::Ban { username: user(n + 1), reason: None };
            let ban = Write::Moderate { room: room(n), by: user(n), action, bans_per_room: 8 };
            ask(&store, StoreRequest::Write(ban));
        }
        let killed = read();
        drop(store);
        vec![new, read(), killed, killed_early]
    })
}

/// A file of this process, in memory where there is a place for that.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { memory.into() } else { std::env::temp_dir() };
        Self(folder.join(format!("p2pchat-fuzz-{}-{name}.redb", std::process::id())))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // It may not have been made.
        _ = fs::remove_file(&self.0);
    }
}
