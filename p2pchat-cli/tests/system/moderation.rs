//! A room's owner at work (PROTOCOL.md §7.7).

use serde_json::{Value, json};

use crate::{
    DIGEST,
    client::{Client, Home},
    daemon::Daemon,
    wire::Wire,
};

const MODERATE: &str = "reason,roster,moderate";

/// The fields of an event but its kind.
fn told(client: &mut Client, kind: &str) -> Value {
    let mut event = client.expect_event(kind);
    event.as_object_mut().unwrap().remove("event");
    event
}

#[test]
fn what_an_owner_did_survives_a_kill() {
    let mut daemon = Daemon::start();
    let mut alice = Wire::online_with(&daemon, "alice", MODERATE);
    let mut bob = Wire::online_with(&daemon, "bob", MODERATE);
    let mut carol = Wire::online_with(&daemon, "carol", "roster");
    alice.create("den", 9);
    bob.join("den");
    assert_eq!(alice.hear(), "USER_JOINED <den> <bob>");
    carol.join("den");
    for member in [&mut alice, &mut bob] {
        assert_eq!(member.hear(), "USER_JOINED <den> <carol>");
    }
    assert_eq!(alice.ask("ROOM_BAN <den> <bob> <spam>"), "MODERATION <SUCCESS> <200>");
    assert_eq!(bob.hear(), "ROOM_BANNED <den> <bob> <alice> <spam>");
    assert_eq!(carol.hear(), "USER_LEFT <den> <bob>");
    assert_eq!(alice.ask(&format!("ROOM_SET <den> <PASSWORD> <{DIGEST}>")), "MODERATION <SUCCESS> <200>");
    assert_eq!(alice.ask("ROOM_SET <den> <CAPACITY> <3>"), "MODERATION <SUCCESS> <200>");
    assert_eq!(alice.ask("ROOM_SET <den> <DESCRIPTION> <bears>"), "MODERATION <SUCCESS> <200>");
    assert_eq!(alice.ask("ROOM_SET <den> <OWNER> <carol>"), "MODERATION <SUCCESS> <200>");
    daemon.kill();
    let daemon = daemon.restart();

    let mut bob = Wire::extended(&daemon, MODERATE);
    bob.log_in("bob");
    let right = format!("JOIN_CHAT_ROOM <den> <{DIGEST}> <increment>");
    assert_eq!(bob.ask(&right), "JOIN <FAILURE> <404> <you are banned from that room: spam>");
    assert_eq!(bob.ask("SHOW_ROOMS_LIST <DETAILED>"), "ROOMS_LIST <FOUND> <200> <den> <bears> <2> <3>");
    let mut carol = Wire::extended(&daemon, "reason,moderate");
    carol.log_in("carol");
    assert_eq!(carol.ask("ROOM_BANS <den>"), "BAN_LIST <FOUND> <200> <bob> <spam>");
    assert_eq!(carol.ask("ROOM_UNBAN <den> <bob>"), "MODERATION <SUCCESS> <200>");
    assert_eq!(bob.ask("JOIN_CHAT_ROOM <den> <> <increment>"), "JOIN <FAILURE> <404> <wrong room password>");
    assert_eq!(bob.ask(&right), "JOIN <SUCCESS> <200>");
    let mut alice = Wire::extended(&daemon, "reason,moderate");
    alice.log_in("alice");
    assert_eq!(
        alice.ask("ROOM_KICK <den> <bob>"),
        "MODERATION <FAILURE> <404> <only the room's owner can do that, who is carol>"
    );
}

#[test]
fn who_is_put_out_at_the_prompt_is_told_and_says_no_more_there() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let (mut alice, mut bob) = (home.prompt("alice"), home.prompt("bob"));
    let carol = home.listener("carol", &[]);
    alice.type_line("/create den");
    alice.out.expect("what you type now goes to #den");
    bob.type_line("/join den");
    bob.out.expect("what you type now goes to #den");
    alice.out.expect("bob is in #den");
    home.run(&["--user", "dave", "register"]).expect_code(0);
    home.run(&["--user", "dave", "join", "den"]).expect_code(0);

    alice.type_line("/kick bob no <spam>, please");
    alice.out.expect("bob is out of #den");
    bob.out.expect("bob was kicked out of #den by alice: no <spam>, please");
    bob.type_line("but why?");
    bob.out.expect("nothing is open");
    bob.type_line("/join den");
    bob.out.expect("joined #den");
    alice.type_line("/ban #den bob");
    alice.out.expect("bob is banned from #den");
    bob.out.expect("bob was banned from #den by alice");
    bob.type_line("/join den");
    bob.out.expect("you are banned from that room");
    alice.type_line("/bans");
    alice.out.expect("bob\n");
    alice.type_line("/unban bob");
    alice.out.expect("bob may join #den again");
    alice.type_line("/bans den");
    alice.out.expect("nobody is banned from #den");
    bob.type_line("/join den");
    bob.out.expect("joined #den");

    alice.type_line("/set topic bears, and bees");
    alice.out.expect("#den has a new description");
    bob.out.expect("alice describes #den: bears, and bees");
    alice.type_line("/set capacity 2");
    alice.out.expect("the room has 3 members, and can't take fewer");
    alice.type_line("/set capacity 4");
    alice.out.expect("#den takes 4 members");
    bob.out.expect("alice has #den take 4 members");
    alice.type_line("/set password");
    alice.type_line("honey");
    alice.out.expect("#den has a new password");
    bob.out.expect("alice set a password for #den");
    home.run(&["--user", "erin", "register"]).expect_code(0);
    home.run(&["--user", "erin", "join", "den"]).expect_code(1).expect_error("wrong room password");
    alice.type_line("/set owner bob");
    alice.out.expect("#den belongs to bob now");
    bob.out.expect("#den belongs to bob now (alice gave it away)");
    alice.type_line("/kick bob");
    alice.out.expect("only the room's owner can do that, who is bob");
    bob.type_line("/kick dave");
    bob.out.expect("dave is out of #den");
    carol.signal("TERM");
    assert!(!carol.outcome().out.contains("den"), "who isn't in a room isn't told of it");
}

#[test]
fn scripts_moderate_too() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    home.register("alice");
    let owner = |arguments: &[&str]| {
        let all: Vec<_> = ["--user", "alice"].iter().chain(arguments).copied().collect();
        home.run(&all)
    };
    owner(&["create", "den"]).expect_code(0);
    assert_eq!(owner(&["bans", "den", "--json"]).expect_code(0).json(), json!([]));
    let mut bob = home.listener("bob", &["--room", "den"]);
    let mut carol = home.listener("carol", &["--room", "den"]);

    owner(&["set", "den", "--description", "bears <3", "--capacity", "7"]).expect_code(0);
    let changes = [("capacity", json!(7)), ("description", json!("bears <3"))];
    for (setting, value) in changes {
        let expected = json!({ "room": "den", "by": "alice", "setting": setting, "value": value });
        assert_eq!(told(&mut bob, "room_changed"), expected);
    }
    assert_eq!(owner(&["rooms"]).expect_code(0).out, "#den  3/7  bears <3\n");
    let file = home.folder().join("room-password");
    std::fs::write(&file, "honey\n").unwrap();
    owner(&["set", "den", "--room-password-file", file.to_str().unwrap()]).expect_code(0);
    assert_eq!(told(&mut bob, "room_changed")["value"], "protected");
    owner(&["set", "den", "--no-room-password"]).expect_code(0);
    assert_eq!(told(&mut bob, "room_changed")["value"], "open");

    owner(&["kick", "den", "bob", "-no", "spam"]).expect_code(0);
    let kick =
        json!({ "room": "den", "username": "bob", "by": "alice", "reason": "-no spam", "banned": false });
    assert_eq!(told(&mut bob, "put_out"), kick);
    assert_eq!(told(&mut carol, "put_out"), kick);
    owner(&["ban", "den", "carol"]).expect_code(0);
    let ban = json!({ "room": "den", "username": "carol", "by": "alice", "reason": null, "banned": true });
    assert_eq!(told(&mut carol, "put_out"), ban);
    owner(&["ban", "den", "bob", "spam"]).expect_code(0);
    let bans = json!([{ "username": "bob", "reason": "spam" }, { "username": "carol", "reason": null }]);
    assert_eq!(owner(&["bans", "den", "--json"]).expect_code(0).json(), bans);
    assert_eq!(owner(&["bans", "den"]).expect_code(0).out, "bob    spam\ncarol\n");
    owner(&["unban", "den", "carol"]).expect_code(0);
    owner(&["unban", "den", "carol"]).expect_code(1).expect_error("carol is not banned");
    owner(&["kick", "den", "alice"]).expect_code(1).expect_error("that is you");
    owner(&["set", "den"]).expect_code(2);
    home.register("dave");
    home.run(&["--user", "dave", "kick", "den", "alice"]).expect_code(1).expect_error("not a member");
}

#[test]
fn the_menus_have_a_place_for_owners() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let bob = home.listener("bob", &[]);
    home.register("alice");
    home.run(&["--user", "alice", "create", "den"]).expect_code(0);
    let mut alice = home.start(&["--user", "alice", "--menu"]);
    alice.out.expect("3. Exit");
    alice.type_line("2");
    alice.out.expect("Peer port");
    alice.type_line("");
    alice.out.expect("10. Run a Room of Yours");
    alice.type_line("10");
    alice.out.expect("Room's name: ");
    alice.type_line("den");
    alice.out.expect("9. Back");
    let mut choose = |lines: &[&str], answer: &str| {
        lines.iter().for_each(|line| alice.type_line(line));
        alice.out.expect(answer);
        alice.out.expect("9. Back");
    };
    choose(&["2", "bob", "spam"], "bob is banned from #den");
    choose(&["4"], "bob  spam");
    choose(&["3", "bob"], "bob may join #den again");
    choose(&["6", "4"], "#den takes 4 members");
    choose(&["7", "bears"], "#den has a new description");
    choose(&["5", "honey"], "#den has a new password");
    choose(&["5", ""], "#den is open to all");
    alice.type_line("8");
    alice.type_line("bob");
    alice.out.expect("bob is not a member of that room");
    alice.type_line("9");
    alice.out.expect("Main Menu");
    bob.signal("TERM");
    bob.outcome().expect_code(0);
}
