//! Files over real streams and on a real disk (PROTOCOL.md §7.15).

use std::{fs, path::Path};

use p2pchat_core::{
    peer::{Event, FileId, RequestError},
    tokio::{Error, Events, Peer},
};
use tempfile::TempDir;

use crate::{
    between::{Between, identity, with_key},
    support::{Registry, chat, until},
};

/// What no compression and no luck makes of it.
fn content(size: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    std::iter::repeat_with(|| random.u8(..)).take(size).collect()
}

async fn offered(events: &mut Events) -> FileId {
    until(events, |event| match event {
        Event::FileOffered { file, .. } => Some(file),
        _ => None,
    })
    .await
}

/// alice and bob in a chat, with a folder for each.
async fn both(registry: &Registry, network: &Between) -> [(Peer, Events, TempDir); 2] {
    let (alice, alice_events) = with_key(registry, "alice", identity(), network).await;
    let (bob, mut bob_events) = with_key(registry, "bob", identity(), network).await;
    chat(&alice, "bob", &bob, &mut bob_events).await;
    let folder = || tempfile::tempdir().unwrap();
    [(alice, alice_events, folder()), (bob, bob_events, folder())]
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn files_arrive_whole_whatever_is_cut_and_messages_meanwhile() {
    let (registry, network) = (Registry::start().await, Between::default());
    let [(alice, mut alice_events, from), (bob, mut bob_events, to)] = both(&registry, &network).await;
    let held = content(8_000_000);
    fs::write(from.path().join("cat picture.jpg"), &held).unwrap();
    fs::write(to.path().join("cat picture.jpg"), "a dog").unwrap();
    let sends = alice.send_file("bob", from.path().join("cat picture.jpg"));
    let takes = async {
        let file = offered(&mut bob_events).await;
        let hears = async {
            for _ in 0..3 {
                until(&mut bob_events, |event| matches!(event, Event::Message { .. }).then_some(())).await;
            }
        };
        let (path, ()) = tokio::join!(bob.accept_file(file, to.path()), hears);
        path.unwrap()
    };
    let cuts = async {
        for _ in 0..3 {
            *network.cut_after.lock().unwrap() = Some(500_000);
            until(&mut alice_events, |event| matches!(event, Event::ChatResumed { .. }).then_some(())).await;
            alice.send("bob", "is it coming?").await.unwrap();
        }
    };
    let (sent, path, ()) = tokio::join!(sends, takes, cuts);
    sent.unwrap();
    assert_eq!(path, to.path().join("cat picture (2).jpg"));
    assert!(fs::read(path).unwrap() == held);
    assert_eq!(names(to.path()), ["cat picture (2).jpg", "cat picture.jpg"]);
    assert_eq!(fs::read(to.path().join("cat picture.jpg")).unwrap(), b"a dog");
}

#[tokio::test]
async fn a_file_goes_on_where_the_last_attempt_ended() {
    let (registry, network) = (Registry::start().await, Between::default());
    let [(alice, _alice_events, from), (bob, mut bob_events, to)] = both(&registry, &network).await;
    let held = content(30_000_000);
    let source = from.path().join("cat.jpg");
    fs::write(&source, &held).unwrap();
    let sends = alice.send_file("bob", &source);
    let takes = async {
        let file = offered(&mut bob_events).await;
        let stops = async {
            until(&mut bob_events, |event| match event {
                Event::FileProgress { bytes: 1_000_000.., .. } => Some(()),
                _ => None,
            })
            .await;
            bob.cancel_file(file, Some("not now")).await.unwrap();
        };
        tokio::join!(bob.accept_file(file, to.path()), stops).0
    };
    let (sent, taken) = tokio::join!(sends, takes);
    assert_eq!(taken.unwrap_err(), RequestError::Cancelled.into());
    assert_eq!(sent.unwrap_err().to_string(), "declined: not now");
    let [part] = &names(to.path())[..] else { panic!("{:?}", names(to.path())) };
    let there = fs::metadata(to.path().join(part)).unwrap().len();
    assert!(there >= 1_000_000 && part.starts_with('.'), "{there} bytes of {part}");

    let sends = alice.send_file("bob", &source);
    let takes = async {
        let file = offered(&mut bob_events).await;
        let first = until(&mut bob_events, |event| match event {
            Event::FileProgress { bytes, .. } => Some(bytes),
            _ => None,
        });
        let (path, first) = tokio::join!(bob.accept_file(file, to.path()), first);
        (path.unwrap(), first)
    };
    let (sent, (path, first)) = tokio::join!(sends, takes);
    sent.unwrap();
    assert!(first >= there, "it began at {first} of {there}");
    assert!(fs::read(path).unwrap() == held);
    assert_eq!(names(to.path()), ["cat.jpg"]);
}

#[tokio::test]
async fn what_is_wrong_with_a_file_is_said_where_it_is() {
    let (registry, network) = (Registry::start().await, Between::default());
    let [(alice, _alice_events, from), (bob, mut bob_events, to)] = both(&registry, &network).await;
    let none = from.path().join("none");
    let error = alice.send_file("bob", &none).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("{} can't be read: ", none.display())), "{error}");
    let error = alice.send_file("bob", from.path()).await.unwrap_err().to_string();
    assert!(error.ends_with("it is no file"), "{error}");
    let source = from.path().join("a");
    fs::write(&source, "hello").unwrap();
    let error = alice.send_file("carol", &source).await.unwrap_err();
    assert_eq!(error, Error::from(RequestError::NoChat));
    // Nowhere to put it.
    let takes = async {
        let file = offered(&mut bob_events).await;
        bob.accept_file(file, to.path().join("nowhere")).await
    };
    let (sent, taken) = tokio::join!(alice.send_file("bob", &source), takes);
    assert!(taken.unwrap_err().to_string().contains("No such file"));
    assert_eq!(sent.unwrap_err().to_string(), "declined: it can't be stored there");
}
