//! Files that people give each other.

use std::fs;

use serde_json::json;

use crate::{
    client::{Home, open_chat},
    daemon::Daemon,
};

#[test]
fn a_file_is_offered_taken_and_there() {
    let daemon = Daemon::start();
    let (at_alice, at_bob) = (Home::new(&daemon), Home::new(&daemon));
    let (mut alice, mut bob) = (at_alice.prompt("alice"), at_bob.prompt("bob"));
    let cat = at_alice.folder().join("cat picture.jpg");
    fs::write(&cat, "meow".repeat(100_000)).unwrap();
    let downloads = at_bob.folder().join("down loads");
    fs::create_dir(&downloads).unwrap();

    alice.type_line(&format!("/send bob {}", cat.display()));
    alice.out.expect("no chat is open with that user");
    alice.out.expect("/chat bob asks for one");
    open_chat(&mut alice, "alice", &mut bob, "bob");
    alice.type_line("/send bob /nowhere");
    alice.out.expect("offering /nowhere to bob …");
    alice.out.expect("/nowhere for bob: /nowhere can't be read");
    alice.type_line("/files");
    alice.out.expect("no file is offered or on its way");

    alice.type_line(&format!("/send bob {}", cat.display()));
    bob.out.expect("alice offers a file: cat picture.jpg, 400.0 kB");
    bob.out.expect("/take 1 or /stop 1");
    bob.type_line("/files");
    bob.out.expect("1  cat picture.jpg from alice, 400.0 kB: offered");
    bob.type_line(&format!("/take 1 {}", downloads.display()));
    bob.out.expect("the file is there: ");
    alice.out.expect("bob has ");
    assert_eq!(fs::read(downloads.join("cat picture.jpg")).unwrap(), fs::read(&cat).unwrap());

    // Who doesn't want it says so, or leaves.
    alice.type_line(&format!("/send bob {}", cat.display()));
    bob.out.expect("/take 2 or /stop 2");
    bob.type_line("/stop");
    alice.out.expect("for bob: the request was declined");
    bob.type_line("/take 2");
    bob.out.expect("there is no file 2 for that");
    alice.type_line(&format!("/send bob {}", cat.display()));
    bob.out.expect("/take 3 or /stop 3");
    bob.type_line("/leave");
    alice.out.expect("for bob: that user can't be reached: hung up");
    bob.type_line("/files");
    bob.out.expect("no file is offered or on its way");
    alice.finish().expect_code(0);
    bob.finish().expect_code(0);
}

#[test]
fn scripts_send_and_take_files() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let (source, folder) = (home.folder().join("backup.tar"), home.folder().join("incoming"));
    fs::write(&source, "backup").unwrap();
    fs::create_dir(&folder).unwrap();
    let (source, shown) = (source.to_str().unwrap(), folder.to_str().unwrap());
    let mut bob = home.listener("bob", &["--files", shown]);
    home.register("alice");
    for name in ["backup.tar", "backup (2).tar"] {
        home.run(&["--user", "alice", "send-file", "bob", source]).expect_code(0);
        let offered = bob.expect_event("file_offered");
        let file = offered["file"].clone();
        let said = json!({ "event": "file_offered", "file": file, "from": "alice", "name": "backup.tar", "size": 6 });
        assert_eq!(offered, said);
        let stored = bob.expect_event("file_stored");
        assert_eq!(stored["file"], file);
        assert_eq!(fs::read(folder.join(name)).unwrap(), b"backup");
        assert_eq!(stored["path"].as_str(), folder.join(name).to_str());
    }
    let carol = home.listener("carol", &[]);
    let sent = home.run(&["--user", "alice", "send-file", "carol", source]);
    sent.expect_code(1).expect_error("that user's program takes no files");
    drop(carol);
}
