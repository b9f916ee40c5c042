//! Files: whole, once, on from where they ended, and only where they are wanted (§7.15).

use std::collections::BTreeMap;

use bytes::Bytes;
use p2pchat_core::{
    Time,
    peer::{Config, Effect, FileDeed, FileId, Peer, Rate},
};
use p2pchat_proto::{FileChunk, FileDigest, FileMessage, FileName, PeerMessage};
use sha2::{Digest as _, Sha256};

use crate::{
    keys::{config, introduction, key},
    lines::{alice_with, chatting_with, comes},
    solo::{SECOND, Solo, user},
    world::{Node, World},
};

/// The disk of a peer's machine, which outlasts its programs.
#[derive(Default)]
pub(crate) struct Disk {
    /// What is offered.
    pub(crate) sources: BTreeMap<FileId, Vec<u8>>,
    /// What is coming, and what has come of it.
    open: BTreeMap<FileId, (FileName, FileDigest)>,
    parts: BTreeMap<FileDigest, Vec<u8>>,
    pub(crate) received: Vec<(String, Vec<u8>)>,
    /// How many bytes were written to it.
    written: usize,
    pub(crate) is_full: bool,
}

impl Disk {
    pub(crate) fn work(&mut self, peer: &mut Peer, now: Time, file: FileId, deed: FileDeed) {
        match deed {
            FileDeed::Read { offset, length } => {
                let source = &self.sources[&file];
                let from = usize::try_from(offset).unwrap();
                let piece = source.get(from..from + length).map(Bytes::copy_from_slice);
                peer.handle_file_read(now, file, offset, piece.ok_or("it has changed".to_owned()));
            }
            FileDeed::Discard => {
                self.parts.remove(&self.open[&file].1);
            }
            FileDeed::Open { name, digest, .. } => {
                self.open.insert(file, (name, digest));
                let there = self.parts.entry(digest).or_default().len();
                peer.handle_file_opened(now, file, Ok(there as u64));
            }
            FileDeed::Write { offset, data } => {
                let part = self.parts.get_mut(&self.open[&file].1).unwrap();
                assert_eq!(part.len() as u64, offset, "each byte is written once");
                if self.is_full {
                    return peer.handle_file_written(now, file, Err("the disk is full".to_owned()));
                }
                part.extend_from_slice(&data);
                self.written += data.len();
                peer.handle_file_written(now, file, Ok(part.len() as u64));
            }
            FileDeed::Finish => {
                let (name, digest) = self.open[&file].clone();
                let content = self.parts.remove(&digest).unwrap();
                let finished = match digest_of(&content) == digest {
                    true => Ok(()),
                    false => Err("it isn't what was announced".to_owned()),
                };
                if finished.is_ok() {
                    self.received.push((name.to_string(), content));
                }
                peer.handle_file_finished(now, file, finished);
            }
            FileDeed::Close => {
                self.open.remove(&file);
                self.sources.remove(&file);
            }
            other => panic!("{other:?}"),
        }
    }
}

fn digest_of(content: &[u8]) -> FileDigest {
    FileDigest::from_bytes(Sha256::digest(content).into())
}

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|n| ((n * n) >> 3) as u8).collect()
}

impl World {
    /// A node offers a file, announced as one of that content.
    fn offer_as(&mut self, node: usize, to: &str, name: &str, held: &[u8], announced: &[u8]) -> FileId {
        let Node { solo, disk, .. } = &mut self.nodes[node];
        let (name, size) = (FileName::new(name).unwrap(), announced.len() as u64);
        let (_, file) = solo.peer.offer_file(self.now, user(to), name, size, digest_of(announced));
        disk.sources.insert(file, held.to_vec());
        self.run();
        file
    }

    fn offer(&mut self, node: usize, to: &str, name: &str, content: &[u8]) -> FileId {
        self.offer_as(node, to, name, content, content)
    }

    /// A node takes all that it was offered.
    fn take_files(&mut self, node: usize) {
        for file in std::mem::take(&mut self.nodes[node].solo.files) {
            self.nodes[node].solo.peer.accept_file(self.now, file);
        }
        self.run();
    }
}

/// alice and bob in a chat.
fn chatting() -> World {
    chatting_with(&config())
}

#[test]
fn a_file_arrives_whole_under_its_name() {
    let mut w = chatting();
    for size in [0, 1, 8_191, 8_192, 70_000, 3_000_000] {
        let content = content(size);
        w.offer(0, "bob", "cat.jpg", &content);
        assert_eq!(w.told(1), [format!("alice offers cat.jpg, {size} bytes")]);
        w.take_files(1);
        assert_eq!(w.nodes[1].disk.received.pop(), Some(("cat.jpg".to_owned(), content)));
        assert!(w.told(0).ends_with(&["ok Done".to_owned()]));
        assert!(w.told(1).ends_with(&["ok Done".to_owned()]));
    }
    assert!(w.nodes.iter().all(|node| node.disk.open.is_empty() && node.disk.sources.is_empty()));
}

#[test]
fn files_wherever_a_stream_is_cut_a_file_arrives_once_and_whole() {
    let transfer = |cut_after: Option<usize>, content: &[u8]| {
        let mut w = chatting();
        (w.talked, w.cut_after) = (0, cut_after);
        w.offer(0, "bob", "cat.jpg", content);
        w.take_files(1);
        w.wait(SECOND * 10);
        w.take_files(1);
        w.send(0, "bob", "did you get it?");
        w.wait(SECOND * 10);
        assert!(w.cut_after.is_none());
        let received = &w.nodes[1].disk.received;
        assert_eq!(received[..], [("cat.jpg".to_owned(), content.to_vec())], "{cut_after:?}");
        for node in &w.nodes {
            assert!(node.ended.values().all(|&times| times == 1), "{cut_after:?}: {:?}", node.log);
            assert!(!node.log.iter().any(|line| line.starts_with("failed")), "{cut_after:?}: {:?}", node.log);
            assert!(node.disk.open.is_empty() && node.disk.sources.is_empty());
        }
        assert_eq!(w.nodes[1].disk.written, content.len());
        w.talked
    };
    let short = content(40);
    for byte in 0..=transfer(None, &short) {
        transfer(Some(byte), &short);
    }
    let long = content(300_000);
    for byte in (0..=transfer(None, &long)).step_by(4_999) {
        transfer(Some(byte), &long);
    }
}

#[test]
fn a_program_that_has_started_anew_goes_on_where_the_last_one_ended() {
    let mut w = chatting();
    let content = content(1_000_000);
    w.offer(0, "bob", "cat.jpg", &content);
    w.cut_after = Some(600_000);
    w.apart.extend([0, 1]);
    w.apart.clear();
    w.take_files(1);
    w.dead.insert(0);
    let there = w.nodes[1].disk.written;
    w.dead.clear();
    assert!(there > 400_000 && there < 1_000_000, "{there}");
    w.restart_node(1);
    w.login(1, "bob");
    w.wait(SECOND * 30);
    w.forget();
    w.open_chat();
    w.talked = 0;
    w.offer(0, "bob", "cat.jpg", &content);
    w.take_files(1);
    assert_eq!(w.nodes[1].disk.received.len(), 1);
    assert!(w.talked < 1_010_000 - there, "{} bytes for the rest of {there}", w.talked);
}

#[test]
fn either_end_says_no_at_any_time() {
    let mut w = chatting();
    let cat = content(5_000);
    // bob doesn't want it.
    w.offer(0, "bob", "cat.jpg", &cat);
    let offered = w.nodes[1].solo.files.pop().unwrap();
    let reason = p2pchat_proto::Reason::new("no cats").unwrap();
    w.forget();
    w.nodes[1].solo.peer.cancel_file(w.now, offered, Some(reason));
    assert_eq!(w.told(1), ["a file ends", "ok Done"]);
    assert_eq!(w.told(0), ["a file ends", "failed: declined: no cats"]);
    // alice doesn't offer it any more.
    let offer = w.offer(0, "bob", "cat.jpg", &cat);
    w.forget();
    w.nodes[0].solo.peer.cancel_file(w.now, offer, None);
    assert_eq!(w.told(0), ["a file ends", "failed: cancelled", "ok Done"]);
    assert_eq!(w.told(1), ["no file any more: they have withdrawn it"]);
    w.take_files(1);
    assert_eq!(w.told(1), ["failed: there is no such file"]);
    // bob has no room for it.
    w.nodes[1].disk.is_full = true;
    w.offer(0, "bob", "cat.jpg", &cat);
    w.take_files(1);
    assert!(w.told(1).contains(&"failed: the disk is full".to_owned()));
    assert!(w.told(0).contains(&"failed: declined: it can't be stored there".to_owned()));
    w.nodes[1].disk.is_full = false;
    // The file has become shorter meanwhile.
    w.offer_as(0, "bob", "dog.jpg", &cat[..100], &cat);
    w.take_files(1);
    assert!(w.told(0).contains(&"failed: it has changed".to_owned()));
    assert!(w.told(1).contains(&"failed: its sender can't read it any more".to_owned()));
    // With the chat all of it ends.
    w.offer(0, "bob", "cat.jpg", &cat);
    w.forget();
    w.nodes[1].solo.peer.hang_up(w.now, user("alice"));
    assert!(w.told(0).contains(&"failed: that user can't be reached: hung up".to_owned()));
    assert!(w.told(1).contains(&"no file any more: hung up".to_owned()));
    w.offer(0, "bob", "cat.jpg", &cat);
    assert_eq!(w.told(0), ["failed: no chat is open with that user"]);
    assert!(w.nodes.iter().all(|node| node.disk.open.is_empty() && node.disk.sources.is_empty()));
}

#[test]
fn files_what_is_not_what_was_announced_is_no_file() {
    let mut w = chatting();
    w.offer_as(0, "bob", "cat.jpg", b"a dog", b"a cat");
    w.take_files(1);
    assert!(w.nodes[1].disk.received.is_empty());
    assert!(w.told(1).contains(&"failed: it isn't what was announced".to_owned()));
    assert!(w.told(0).contains(&"failed: declined: it can't be stored there".to_owned()));
}

#[test]
fn files_are_bounded_in_number_and_size_and_may_not_be_wanted_at_all() {
    let mut settings = config();
    (settings.files, settings.file_bytes) = (2, 100);
    let mut w = chatting_with(&settings);
    w.offer(0, "bob", "a", &content(101));
    let told = w.told(0);
    assert_eq!(told.last().unwrap(), "failed: declined: files of more than 100 bytes aren't taken here");
    assert!(w.told(1).is_empty());
    w.offer(0, "bob", "a", b"1");
    w.offer(0, "bob", "b", b"2");
    w.offer(0, "bob", "c", b"3");
    assert_eq!(w.told(0).last().unwrap(), "failed: too much is waiting: at most 2 files");
    w.take_files(1);
    assert_eq!(w.nodes[1].disk.received.len(), 2);

    let mut none = config();
    none.files = 0;
    let mut w = chatting_with(&none);
    w.offer(0, "bob", "a", b"1");
    assert_eq!(w.told(0), ["failed: that user's program takes no files"]);
}

/// alice's machine, in a chat with bob on a stream of his.
fn with_bob(settings: Config) -> (Solo, usize) {
    let mut alice = alice_with(settings);
    let (stream, _) = comes(&mut alice, 7, 1);
    alice.peer(stream, "CHAT_REQUEST <alice> <bob>");
    let request = alice.requests.remove(0);
    alice.peer.accept(alice.now, request);
    alice.did();
    (alice, stream)
}

/// What was done since the last look, files included.
fn did(alice: &mut Solo) -> Vec<String> {
    let mut did = Vec::new();
    while let Some(effect) = alice.peer.poll_effect() {
        did.push(match effect {
            Effect::File { deed, .. } => format!("{deed:?}"),
            other => alice.tell(other),
        });
    }
    did
}

/// What alice does with a file of ten kibibytes, of which four are there, when bob says this and sends so many bytes.
fn taking(offset: u64, length: usize) -> Vec<String> {
    let (mut alice, stream) = with_bob(config());
    alice.peer(stream, &format!("FILE_OFFER <1> <10240> <{}> <ten>", digest_of(b"ten")));
    let file = alice.files[0];
    alice.peer.accept_file(alice.now, file);
    assert!(did(&mut alice)[0].starts_with("Open { from: \"bob\", name: \"ten\", size: 10240, "));
    alice.peer.handle_file_opened(alice.now, file, Ok(4_096));
    assert_eq!(did(&mut alice), ["4096 of 10240 of ten", "s0 FILE_ACCEPT <1> <4096>"]);
    alice.peer.handle_stream_message(alice.now, alice.streams[stream], piece(1, offset, length));
    did(&mut alice)
}

fn piece(file: u64, offset: u64, length: usize) -> PeerMessage {
    let data = Bytes::from(vec![b'x'; length]);
    PeerMessage::File(FileMessage::Data(FileChunk::new(file, offset, data).unwrap()))
}

#[test]
fn files_a_sender_gets_no_byte_stored_that_does_not_belong_there() {
    let stored = |did: &[String]| {
        did.iter().find_map(|deed| {
            deed.strip_prefix("Write { offset: 4096, data: b\"").map(|rest| rest.matches('x').count())
        })
    };
    let ok = taking(4_096, 4_096);
    assert_eq!((stored(&ok), &ok[1..]), (Some(4_096), &["s0 FILE_ACK <1> <8192>".to_owned()][..]));
    // What is there already is passed over.
    let again = taking(2_048, 4_096);
    assert_eq!((stored(&again), &again[1..]), (Some(2_048), &["s0 FILE_ACK <1> <6144>".to_owned()][..]));
    assert!(taking(0, 4_096).is_empty());
    // The last piece may be as short as it is.
    assert_eq!(stored(&taking(4_096, 6_144)), Some(6_144));
    for (offset, length, why) in [
        (4_097, 4_096, "left out a piece of a file"),
        (4_096, 6_145, "sent more of a file than there is"),
        (u64::MAX, 2, "sent more of a file than there is"),
        (4_096, 4_095, "sent a piece that is too small"),
    ] {
        let did = taking(offset, length);
        assert_eq!(stored(&did), None);
        let rejected = format!("s0 FILE_REJECT <1> <{why}>");
        assert_eq!(
            did[..4],
            [format!("fault of bob: {why}"), "Discard".to_owned(), rejected, "Close".to_owned()]
        );
    }
    // Of a file that nobody has accepted, or offered, nothing is stored.
    let (mut alice, stream) = with_bob(config());
    alice.peer(stream, &format!("FILE_OFFER <1> <10240> <{}> <ten>", digest_of(b"ten")));
    for file in [1, 2] {
        alice.peer.handle_stream_message(alice.now, alice.streams[stream], piece(file, 0, 4_096));
        assert!(did(&mut alice).is_empty());
    }
}

#[test]
fn files_a_sender_has_no_more_on_its_way_than_there_is_room_for() {
    let (mut alice, stream) = with_bob(config());
    alice.peer(stream, &format!("FILE_OFFER <1> <9000000> <{}> <big>", digest_of(b"big")));
    let file = alice.files[0];
    alice.peer.accept_file(alice.now, file);
    alice.peer.handle_file_opened(alice.now, file, Ok(0));
    // A disk that stands still has what it was given to write, and no more.
    let (mut waiting, mut offset) = (0, 0);
    let piece = "x".repeat(65_536);
    for _ in 0..40 {
        alice.hear(stream, &format!("FILE_DATA <1> <{offset}> <65536>\n{piece}"));
        offset += 65_536;
        while let Some(effect) = alice.peer.poll_effect() {
            if let Effect::File { deed: FileDeed::Write { data, .. }, .. } = effect {
                waiting += data.len();
            }
        }
    }
    assert_eq!(waiting, 3 << 19);
}

#[test]
fn files_what_brings_nothing_further_is_paid_for() {
    let mut settings = config();
    settings.budget.bytes = Rate::new(65_536, SECOND);
    settings.budget.messages = Rate::new(1, SECOND);
    let (mut alice, stream) = with_bob(settings);
    alice.peer(stream, &format!("FILE_OFFER <1> <9000000> <{}> <big>", digest_of(b"big")));
    alice.peer.accept_file(alice.now, alice.files[0]);
    alice.peer.handle_file_opened(alice.now, alice.files[0], Ok(0));
    did(&mut alice);
    let id = alice.streams[stream];
    for n in 0..10 {
        let next = piece(1, n * 65_536, 65_536);
        assert_eq!(alice.peer.turn_of(alice.now, id, &next), None, "it is waited for");
        alice.peer.handle_stream_message(alice.now, id, next);
    }
    let ack = PeerMessage::File(FileMessage::Ack { file: 1, offset: 1 });
    for idle in [piece(1, 0, 65_536), piece(1, 655_360, 4_095), piece(2, 0, 65_536), ack] {
        alice.pass(SECOND * 2);
        assert_eq!(alice.peer.turn_of(alice.now, id, &idle), None);
        let waits = alice.peer.turn_of(alice.now, id, &idle).map(|turn| turn.since(alice.now));
        assert_eq!(waits, Some(SECOND), "{idle:?}");
    }
}

#[test]
fn files_a_transfer_goes_on_after_a_break_while_the_disk_stands_still() {
    let (mut alice, stream) = with_bob(config());
    alice.peer(stream, &format!("FILE_OFFER <1> <9000000> <{}> <big>", digest_of(b"big")));
    let file = alice.files[0];
    alice.peer.accept_file(alice.now, file);
    alice.peer.handle_file_opened(alice.now, file, Ok(0));
    // Half a mebibyte is acknowledged, and a whole one is on its way beside it.
    for n in 0..24 {
        alice.peer.handle_stream_message(alice.now, alice.streams[stream], piece(1, n * 65_536, 65_536));
    }
    alice.closed(stream);
    did(&mut alice);
    let stream = alice.accept();
    alice.hear(stream, &format!("{} <tls>", introduction("alice")));
    alice.peer.handle_stream_secured(alice.now, alice.streams[stream], key('b'));
    alice.hear(stream, &format!("{} <numbering>", introduction("alice")));
    alice.hear(stream, "NUMBERING <7> <1> <OPEN> <files>");
    let resumed = did(&mut alice);
    assert!(resumed.contains(&format!("s{stream} FILE_ACCEPT <1> <524288>")), "{resumed:?}");
    for n in 8..24 {
        alice.peer.handle_stream_message(alice.now, alice.streams[stream], piece(1, n * 65_536, 65_536));
    }
    assert!(did(&mut alice).is_empty(), "that is there, and waits for the disk");
    alice.peer.handle_file_written(alice.now, file, Ok(1_572_864));
    assert!(did(&mut alice).contains(&format!("s{stream} FILE_ACK <1> <1572864>")));
}

#[test]
fn files_nobody_is_bothered_with_offers_without_end() {
    let mut settings = config();
    settings.budget.requests = Rate::new(3, SECOND * 60);
    let (mut alice, stream) = with_bob(settings);
    let mut offered = 0;
    for n in 1..20 {
        let did = alice.peer(stream, &format!("FILE_OFFER <{n}> <5> <{}> <a>", digest_of(b"hello")));
        offered += did.iter().filter(|line| line.starts_with("bob offers")).count();
        alice.peer(stream, &format!("FILE_WITHDRAW <{n}>"));
    }
    assert_eq!(offered, 2, "the chat was asked for, too");
}

#[test]
fn files_are_for_chats_on_streams_where_they_are_agreed_on() {
    let offer = format!("FILE_OFFER <1> <5> <{}> <a>", digest_of(b"hello"));
    // On a stream without numbers.
    let mut alice = Solo::alice();
    let stream = alice.accept();
    let did = alice.peer(stream, &offer);
    assert!(did.contains(&"close s0".to_owned()), "{did:?}");
    // Where no files are taken.
    let mut none = config();
    none.files = 0;
    let (mut alice, stream) = with_bob(none);
    let did = alice.peer(stream, &offer);
    assert!(did.contains(&"close s0".to_owned()), "{did:?}");
    // Where the chat is over.
    let (mut alice, stream) = with_bob(config());
    alice.peer(stream, "HANG_UP");
    assert!(alice.peer(stream, &offer).is_empty());
}

#[test]
fn files_to_one_user_go_one_after_the_other() {
    let (mut alice, stream) = with_bob(config());
    let offer = |alice: &mut Solo, name: &str| {
        let name = FileName::new(name).unwrap();
        alice.peer.offer_file(alice.now, user("bob"), name, 10_000, digest_of(b"")).1
    };
    let (first, second) = (offer(&mut alice, "first"), offer(&mut alice, "second"));
    let offers: Vec<_> = alice.did().into_iter().filter(|line| line.starts_with("s0 FILE_OFFER")).collect();
    let number = |line: &String| line.split(['<', '>']).nth(1).unwrap().to_owned();
    let (one, two) = (number(&offers[0]), number(&offers[1]));
    alice.hear(stream, &format!("FILE_ACCEPT <{two}> <0>"));
    assert_eq!(did(&mut alice), ["Read { offset: 0, length: 10000 }"]);
    alice.hear(stream, &format!("FILE_ACCEPT <{one}> <4000>"));
    assert!(did(&mut alice).is_empty(), "the second one has the turn");
    // What is confirmed before it was sent is not confirmed.
    alice.hear(stream, &format!("FILE_ACK <{two}> <10000>"));
    alice.peer.handle_file_read(alice.now, first, 0, Ok(vec![0; 10_000].into()));
    assert!(did(&mut alice).is_empty());
    alice.peer.handle_file_read(alice.now, second, 0, Ok(vec![0; 10_000].into()));
    assert!(did(&mut alice)[0].starts_with(&format!("s0 FILE_DATA <{two}> <0> <10000>")));
    alice.hear(stream, &format!("FILE_ACK <{two}> <10000>"));
    assert_eq!(did(&mut alice), ["10000 of 10000 of second", "Read { offset: 4000, length: 6000 }"]);
    // Whoever wants it again from elsewhere gets it from there, and nothing twice.
    alice.hear(stream, &format!("FILE_ACCEPT <{one}> <0>"));
    assert!(did(&mut alice).is_empty(), "one after the other is read");
    alice.peer.handle_file_read(alice.now, first, 4_000, Ok(vec![0; 6_000].into()));
    assert_eq!(did(&mut alice), ["Read { offset: 0, length: 10000 }"]);
    alice.hear(stream, &format!("FILE_ACCEPT <{one}> <10001>"));
    let done = did(&mut alice);
    assert!(done.contains(&format!("s0 FILE_WITHDRAW <{one}> <it isn't that long>")), "{done:?}");
    alice.hear(stream, "FILE_DONE <999>");
    alice.hear(stream, &format!("FILE_DONE <{two}>"));
    assert_eq!(did(&mut alice), ["Close", "a file ends", "ok Done"]);
}
