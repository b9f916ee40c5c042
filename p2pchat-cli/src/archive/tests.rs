//! What is kept, over closing, killing and damage.

mod model;

use std::{fs, path::Path};

use redb::{Builder, TableDefinition};

use super::*;

const LIMITS: Limits = Limits { age: None, bytes: 1 << 20 };

/// A data folder.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self) -> PathBuf {
        let registry = Address { host: "::1".to_owned(), port: 15_600 };
        Archive::path(self.0.path(), &registry, &"Alice".parse().unwrap())
    }

    fn open(&self) -> Archive {
        Archive::open(self.file(), LIMITS).unwrap()
    }

    /// The file as it is at this moment, elsewhere: what is left of it when the power goes.
    fn copy(&self) -> Self {
        let copy = Self::new();
        private::write(&copy.file(), true, |file| {
            std::io::copy(&mut fs::File::open(self.file())?, file)?;
            Ok(())
        })
        .unwrap();
        copy
    }

    fn refusal(&self) -> ArchiveError {
        let before = fs::read(self.file()).unwrap();
        let refused = Archive::open(self.file(), LIMITS).unwrap_err();
        assert!(fs::read(self.file()).unwrap() == before, "it was changed: {refused}");
        refused
    }
}

fn user(name: &str) -> Target {
    Target::User(name.parse().unwrap())
}

fn room(name: &str) -> Target {
    Target::Room(name.parse().unwrap())
}

fn said(from: &str, text: &str) -> Entry {
    Entry {
        at: 1_000,
        from: Some(from.parse().unwrap()),
        own: false,
        text: text.to_owned(),
        secured: true,
        late: false,
        state: State::Received,
        receivers: Vec::new(),
    }
}

fn own(text: &str, state: State) -> Entry {
    Entry { own: true, state, ..said("alice", text) }
}

fn texts(found: &[(EntryId, Entry)]) -> Vec<&str> {
    found.iter().map(|(_, entry)| entry.text.as_str()).collect()
}

#[test]
fn everything_is_there_again() {
    let place = Place::new();
    let archive = place.open();
    assert!(place.file().ends_with("history/__1_15600/alice.redb"), "{archive:?}");
    let (bob, den) = (user("Bob"), room("Den"));
    let mut to_all = own("to all", State::Waiting);
    to_all.receivers =
        vec![("bob".parse().unwrap(), State::Delivered), ("carol".parse().unwrap(), State::Waiting)];
    let gap = Entry { from: None, late: true, secured: false, ..said("x", "a gap\nof two lines") };
    let first = archive.append(&bob, &said("Bob", "hello")).unwrap();
    let rest = archive.append_all(&[(den.clone(), to_all.clone()), (user("BOB"), gap.clone())]).unwrap();
    assert!(first < rest[0] && rest[0] < rest[1]);
    let memory = ChatMemory {
        read: first,
        draft: "so I sa".to_owned(),
        level: Level::Nothing,
        accepted: true,
        order: 1,
        entered: 77,
    };
    archive.set_chat(&den, &memory).unwrap();
    archive.set_chat(&bob, &ChatMemory::default()).unwrap();
    archive.set_chat(&user("gone"), &ChatMemory::default()).unwrap();
    archive.forget_chat(&user("GONE")).unwrap();
    drop(archive);

    let archive = place.open();
    let with_bob = archive.last(&user("bOB"), None, 10).unwrap();
    assert_eq!(with_bob, [(first, said("Bob", "hello")), (rest[1], gap)]);
    assert_eq!(archive.last(&bob, Some(rest[1]), 10).unwrap(), with_bob[..1]);
    assert_eq!(archive.last(&bob, None, 1).unwrap(), with_bob[1..]);
    assert_eq!(archive.outbox().unwrap(), [(rest[0], den.clone(), to_all)]);
    assert_eq!(archive.chats().unwrap(), [(bob.clone(), ChatMemory::default()), (den, memory)]);
    let all: Vec<_> = archive.entries(None, None).unwrap().map(|found| found.unwrap().0).collect();
    assert_eq!(all, [first, rest[0], rest[1]]);
    assert_eq!(archive.erase(Some(&bob)).unwrap(), 2);
    assert_eq!(archive.erase(None).unwrap(), 1);
    assert_eq!((archive.outbox().unwrap(), archive.chats().unwrap().len()), (vec![], 2));
    drop(archive);
    assert!(place.open().append(&bob, &said("bob", "again")).unwrap() > rest[1], "a number was given twice");
}

#[test]
fn a_message_that_was_being_sent_may_have_arrived() {
    let place = Place::new();
    let archive = place.open();
    let bob = user("bob");
    let sent = |state: State| archive.append(&bob, &own("x", state)).unwrap();
    let [waiting, sending, arrived] = [State::Waiting, State::Sending, State::Sending].map(sent);
    archive.set_state(arrived, &State::Delivered, None).unwrap();
    let receivers = [("carol".parse().unwrap(), State::Sending), ("dan".parse().unwrap(), State::Delivered)];
    archive.set_state(sending, &State::Sending, Some(&receivers)).unwrap();
    archive.set_state(999, &State::Delivered, None).unwrap();
    drop(archive);

    let archive = place.open();
    let outbox = archive.outbox().unwrap();
    let states: Vec<_> = outbox.iter().map(|(id, _, entry)| (*id, entry.state.clone())).collect();
    assert_eq!(states, [(waiting, State::Waiting), (sending, State::Unsure)]);
    let members: Vec<_> = outbox[1].2.receivers.iter().map(|(_, state)| state.clone()).collect();
    assert_eq!(members, [State::Unsure, State::Delivered]);
    archive.set_state(sending, &State::Failed("gave up".to_owned()), None).unwrap();
    archive.set_state(waiting, &State::Delivered, None).unwrap();
    assert_eq!(archive.outbox().unwrap(), []);
}

#[test]
fn what_was_acknowledged_survives_a_kill_at_any_time() {
    let place = Place::new();
    let archive = place.open();
    for n in 0..30 {
        archive.append(&user("bob"), &own(&n.to_string(), State::Waiting)).unwrap();
        if n % 7 == 0 {
            archive.set_state(n + 1, &State::Delivered, None).unwrap();
        }
        // The file of a program that goes on: nothing was closed, and nothing can be flushed any more.
        let copy = place.copy();
        let left = copy.open();
        let texts: Vec<_> = (0..=n).map(|n| n.to_string()).collect();
        assert_eq!(super::tests::texts(&left.last(&user("bob"), None, 99).unwrap()), texts);
        assert_eq!(left.outbox().unwrap(), archive.outbox().unwrap());
    }
}

#[test]
fn a_failure_changes_nothing_and_is_got_over() {
    let place = Place::new();
    let archive = place.open();
    archive.append(&user("bob"), &said("bob", "before")).unwrap();
    let failed = archive.write(|tables| {
        tables.append(&user("bob"), &said("bob", "never"))?;
        Err::<(), _>(Error::Io(std::io::ErrorKind::StorageFull.into()))
    });
    assert!(matches!(failed, Err(ArchiveError::Io { .. })), "{failed:?}");
    archive.append(&user("bob"), &said("bob", "after")).unwrap();
    assert_eq!(texts(&archive.last(&user("bob"), None, 9).unwrap()), ["before", "after"]);
}

#[test]
fn words_are_found_whatever_the_case_and_newest_first() {
    let place = Place::new();
    let archive = place.open();
    let (bob, den) = (user("bob"), room("den"));
    for (target, text) in [
        (&bob, "Tea at FIVE"),
        (&den, "the straße is closed, five of them"),
        (&bob, "no tea"),
        (&den, "cafe\u{301} opens"),
    ] {
        archive.append(target, &said("bob", text)).unwrap();
    }
    let found = |words: &str, target: Option<&Target>, limit| -> Vec<EntryId> {
        archive.search(words, target, limit).unwrap().into_iter().map(|(id, ..)| id).collect()
    };
    assert_eq!(found("five", None, 9), [2, 1]);
    assert_eq!(found("tea", None, 1), [3]);
    assert_eq!(found("FIVE tea", None, 9), [1]);
    assert_eq!(found("five", Some(&room("DEN")), 9), [2]);
    assert_eq!(found("STRASSE", None, 9), [2]);
    assert_eq!(found("CAFÉ", None, 9), [4]);
    assert!(found("coffee", None, 9).is_empty());
}

#[test]
fn one_program_writes_and_others_may_look() {
    let place = Place::new();
    let archive = place.open();
    let before = Archive::open(place.file(), LIMITS).unwrap_err();
    assert!(matches!(&before, ArchiveError::InUse { path } if *path == place.file()), "{before:?}");
    let looking = Archive::look(place.file()).unwrap();
    archive.append(&user("bob"), &own("now", State::Sending)).unwrap();
    assert_eq!(looking.outbox().unwrap()[0].2.state, State::Sending, "its writer is still at it");
    assert_eq!(texts(&looking.last(&user("bob"), None, 9).unwrap()), ["now"]);
    let refused = looking.append(&user("bob"), &own("too", State::Waiting));
    assert!(matches!(refused, Err(ArchiveError::InUse { .. })), "{refused:?}");
    assert!(matches!(looking.erase(None), Err(ArchiveError::InUse { .. })));
    // The writer is not kept from anything, nor from ending.
    archive.erase(None).unwrap();
    drop(archive);
    assert_eq!(looking.outbox().unwrap(), []);
    drop(looking);
    let nowhere = Place::new();
    let refused = Archive::look(nowhere.file()).unwrap_err();
    assert!(matches!(refused, ArchiveError::Io { .. }) && !nowhere.file().exists(), "{refused:?}");
}

/// However long it is read for, by however many, whoever writes may begin to.
#[test]
fn whoever_reads_keeps_no_writer_off_and_changes_nothing() {
    let place = Place::new();
    let archive = place.open();
    archive.append(&user("bob"), &said("bob", "before")).unwrap();
    archive.append(&user("bob"), &own("on its way", State::Sending)).unwrap();
    drop(archive);
    let before = fs::read(place.file()).unwrap();
    let (one, other) = (Archive::look(place.file()).unwrap(), Archive::look(place.file()).unwrap());
    let mut reading = one.entries(None, None).unwrap();
    assert_eq!(other.outbox().unwrap()[0].2.state, State::Sending, "nobody has judged that");
    let refused = one.append(&user("bob"), &said("bob", "no"));
    assert!(matches!(refused, Err(ArchiveError::InUse { .. })), "{refused:?}");
    assert!(fs::read(place.file()).unwrap() == before, "it was changed");

    let archive = place.open();
    archive.append(&user("bob"), &said("bob", "after")).unwrap();
    assert_eq!(archive.outbox().unwrap()[0].2.state, State::Unsure);
    archive.erase(None).unwrap();
    // What is being read is as it was; who looks anew sees what is new.
    assert_eq!(reading.next().unwrap().unwrap().2.text, "before");
    assert_eq!(reading.next().unwrap().unwrap().2.state, State::Sending);
    assert!(reading.next().is_none());
    assert_eq!(other.entries(None, None).unwrap().count(), 0);
}

/// Nobody has closed the file, and nobody writes to it any more.
#[test]
fn a_history_that_was_left_in_disorder_can_be_read() {
    let place = Place::new();
    let archive = place.open();
    archive.append(&user("bob"), &own("on its way", State::Sending)).unwrap();
    let left = place.copy();
    let before = fs::read(left.file()).unwrap();
    let looking = Archive::look(left.file()).unwrap();
    assert!(fs::read(left.file()).unwrap() != before, "it was in order");
    assert_eq!(looking.outbox().unwrap()[0].2.state, State::Sending);
    left.open().append(&user("bob"), &said("bob", "after")).unwrap();
    assert_eq!(looking.entries(None, None).unwrap().count(), 2);
}

#[test]
fn a_damaged_history_is_not_read_either() {
    let place = Place::new();
    place.open().append(&user("bob"), &said("bob", &"hello ".repeat(2_000))).unwrap();
    let good = fs::read(place.file()).unwrap();
    for length in (1..good.len()).step_by(good.len() / 11) {
        fs::write(place.file(), &good[..length]).unwrap();
        let refused = Archive::look(place.file()).unwrap_err();
        assert!(
            matches!(refused, ArchiveError::Damaged { .. } | ArchiveError::Foreign { .. }),
            "{refused:?} at {length} of {}",
            good.len()
        );
        assert!(fs::read(place.file()).unwrap() == good[..length], "it was changed");
    }
}

#[test]
fn what_is_no_history_of_this_version_is_refused_and_left_alone() {
    let place = Place::new();
    place.open().append(&user("bob"), &said("bob", &"hello ".repeat(2_000))).unwrap();
    let good = fs::read(place.file()).unwrap();

    for garbage in [&b""[..], b"redb", b"hello\n", &[0; 8_192], b"redb\x1a\x0a\xa9\x0d\x0a nonsense"] {
        fs::write(place.file(), garbage).unwrap();
        let refused = place.refusal();
        assert!(
            matches!(refused, ArchiveError::Foreign { .. } | ArchiveError::Damaged { .. }),
            "{refused:?} of {garbage:?}"
        );
    }
    for length in (1..good.len()).step_by(good.len() / 23) {
        fs::write(place.file(), &good[..length]).unwrap();
        let refused = place.refusal();
        assert!(
            matches!(refused, ArchiveError::Damaged { .. } | ArchiveError::Foreign { .. }),
            "{refused:?} at {length} of {}",
            good.len()
        );
    }

    fs::write(place.file(), &good).unwrap();
    let newer = |version| {
        let database = file::reopen(&place.file()).unwrap();
        let transaction = database.begin_write().unwrap();
        Tables::open(&transaction).unwrap().set_version(version).unwrap();
        transaction.commit().unwrap();
    };
    newer(2);
    let refused = place.refusal();
    assert!(matches!(refused, ArchiveError::Newer { found: 2, known: 1, .. }), "{refused:?}");
    assert!(refused.to_string().contains("use a newer p2pchat"), "{refused}");
    newer(1);
    assert_eq!(place.open().last(&user("bob"), None, 9).unwrap().len(), 1);

    fs::remove_file(place.file()).unwrap();
    private::write(&place.file(), false, |_| Ok(())).unwrap();
    let database = Builder::new().create(place.file()).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(TableDefinition::<u64, u64>::new("somebody's")).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert!(matches!(place.refusal(), ArchiveError::Foreign { .. }));
}

/// Whatever bits turn over: it is refused, or nothing of what it held was touched.
#[test]
fn a_file_with_a_wrong_bit_is_refused_or_read_as_it_was() {
    let place = Place::new();
    let archive = place.open();
    let entries: Vec<_> = (0..200).map(|n| (user("bob"), said("bob", &format!("message {n}")))).collect();
    archive.append_all(&entries).unwrap();
    let whole = archive.last(&user("bob"), None, 999).unwrap();
    drop(archive);
    let good = fs::read(place.file()).unwrap();
    let mut refused = 0;
    for at in (0..good.len()).step_by(good.len() / 61) {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        fs::write(place.file(), &bad).unwrap();
        match Archive::open(place.file(), LIMITS) {
            Ok(archive) => assert_eq!(archive.last(&user("bob"), None, 999).unwrap(), whole, "at {at}"),
            Err(ArchiveError::Damaged { .. } | ArchiveError::Foreign { .. }) => {
                assert!(fs::read(place.file()).unwrap() == bad, "it was changed, at {at}");
                refused += 1;
            }
            Err(error) => panic!("{error} at {at}"),
        }
    }
    assert!(refused > 5, "{refused}");
}

#[cfg(unix)]
#[test]
fn it_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;

    let place = Place::new();
    drop(place.open());
    let (file, folder) = (place.file(), place.file().parent().unwrap().to_owned());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(&folder)), (0o600, 0o700));
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "no draft is left");
    for (path, open, wanted) in [(&file, 0o644, 0o600), (&folder, 0o750, 0o700)] {
        let set = |mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        set(open);
        let refused = place.refusal().to_string();
        assert!(refused.contains(&format!("open to others (mode {open:o})")), "{refused}");
        set(wanted);
    }
    drop(place.open());
}

#[test]
fn the_file_stays_within_its_limit_and_gives_back_what_it_does_not_need() {
    for (size, at_once) in [(40, 40), (2_200, 20), (16_384, 4)] {
        let place = Place::new();
        let limits = Limits { age: None, bytes: 2 << 20 };
        let archive = Archive::open(place.file(), limits).unwrap();
        let waiting = archive.append(&user("bob"), &own("first of all", State::Waiting)).unwrap();
        let length = || fs::metadata(place.file()).unwrap().len();
        let text = "x".repeat(size);
        for _ in 0..(6 << 20) / (size + 100) / at_once {
            let entries = vec![(room("den"), said("bob", &text)); at_once];
            archive.append_all(&entries).unwrap();
            assert!(length() <= limits.bytes, "{} with texts of {size}", length());
        }
        let kept = archive.last(&room("den"), None, usize::MAX).unwrap();
        assert!(kept.len() > (limits.bytes as usize) / 16 / (size + 100), "{} of {size}", kept.len());
        assert_eq!(archive.outbox().unwrap()[0].0, waiting);
        drop(archive);

        // With a lower limit, the file is smaller when it is opened next.
        let archive = Archive::open(place.file(), LIMITS).unwrap();
        assert!(length() <= LIMITS.bytes, "{} of {size}", length());
        assert_eq!(archive.outbox().unwrap()[0].0, waiting);
        let last = archive.last(&room("den"), None, 10).unwrap();
        assert_eq!(last[..], kept[kept.len() - last.len()..]);
        archive.erase(None).unwrap();
        assert!(length() <= 64 << 10, "{} of nothing", length());
    }
}

/// Seven entries and what is remembered of two chats, as the first version wrote them.
#[test]
fn a_file_of_the_first_format_is_read() {
    let place = Place::new();
    let file = include_bytes!("format-1.redb");
    private::write(&place.file(), false, |to| std::io::Write::write_all(to, file)).unwrap();
    let archive = place.open();
    let entries: Vec<_> = archive.entries(None, None).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(entries.len(), 7);
    let (id, target, entry) = &entries[2];
    assert_eq!((*id, target, entry.at), (3, &room("den"), 1_795_964_760_000));
    let receivers =
        vec![("bob".parse().unwrap(), State::Delivered), ("carol".parse().unwrap(), State::Waiting)];
    assert_eq!(*entry, Entry { at: entry.at, receivers, ..own("tea is *ready*", State::Waiting) });
    let open: Vec<_> = archive.outbox().unwrap().into_iter().map(|(id, ..)| id).collect();
    assert_eq!(open, [3, 7]);
    let memory = ChatMemory {
        read: 4,
        draft: "and".to_owned(),
        level: Level::Mentions,
        accepted: true,
        order: 1,
        entered: 1_795_964_600_000,
    };
    assert_eq!(archive.chats().unwrap(), [(user("bob"), ChatMemory::default()), (room("den"), memory)]);
}
