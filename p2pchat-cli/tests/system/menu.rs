//! The menu mode, driven as the prototype was.

use crate::{
    client::{Client, Home, PASSWORD},
    daemon::Daemon,
};

/// Somebody at the main menu.
fn log_in(client: &mut Client, user: &str) {
    client.out.expect("1. Signup");
    client.out.expect("2. Login");
    client.out.expect("3. Exit");
    client.type_line("1");
    client.out.expect("Username: ");
    client.type_line(user);
    client.out.expect("Password: ");
    client.type_line(PASSWORD);
    client.out.expect("Account created");
    client.type_line("2");
    client.out.expect("Username: ");
    client.type_line(user);
    client.out.expect("Password: ");
    client.type_line(PASSWORD);
    client.out.expect("Peer port");
    client.type_line("");
    client.out.expect(&format!("Logged in as {user}"));
    at_main_menu(client);
}

fn at_main_menu(client: &mut Client) {
    for entry in ["1. Find Online Users", "2. Search User", "3. Start a Chat", "4. Logout"] {
        client.out.expect(entry);
    }
    client.out.expect("Choose an option: ");
}

#[test]
fn the_prototypes_menus_do_what_they_did() {
    let daemon = Daemon::start();
    let (at_alice, at_bob) = (Home::new(&daemon), Home::new(&daemon));
    let mut alice = at_alice.start_unprepared(&["--menu"]);
    log_in(&mut alice, "alice");

    alice.type_line("1");
    alice.out.expect("Retrieve detailed list with users IP and Port numbers?(Choose y or n)");
    alice.type_line("maybe");
    alice.out.expect("Retrieve detailed list with users IP and Port numbers?(Choose y or n)");
    alice.type_line("N");
    alice.out.expect("Nobody else is online");
    at_main_menu(&mut alice);

    let mut bob = at_bob.start_unprepared(&["--menu"]);
    log_in(&mut bob, "bob");
    alice.type_line("1");
    alice.out.expect("(Choose y or n)");
    alice.type_line("y");
    alice.out.expect("bob  127.0.0.1:");
    at_main_menu(&mut alice);
    alice.type_line("2");
    alice.out.expect("Username: ");
    alice.type_line("bob");
    alice.out.expect("bob  127.0.0.1:");
    at_main_menu(&mut alice);
    alice.type_line("2");
    alice.type_line("nobody");
    alice.out.expect("there is no such user");
    at_main_menu(&mut alice);

    alice.type_line("3");
    alice.out.expect("Username: ");
    alice.type_line("bob");
    bob.out.expect("alice wants to chat");
    bob.type_line("y");
    bob.out.expect("What you type is sent.");
    alice.out.expect("What you type is sent.");
    alice.type_line("hello <bob>");
    bob.out.expect("alice: hello <bob>");
    bob.type_line("hello alice");
    alice.out.expect("bob: hello alice");
    alice.type_line("/leave");
    at_main_menu(&mut alice);
    bob.out.expect("the chat with alice has ended");

    alice.type_line("4");
    alice.out.expect("Logged out");
    alice.out.expect("3. Exit");
    alice.type_line("3");
    alice.outcome().expect_code(0);
}

#[test]
fn the_menus_have_the_rooms_too() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let bob = home.listener("bob", &[]);
    let mut alice = home.start_unprepared(&["--menu"]);
    log_in(&mut alice, "alice");
    alice.type_line("5");
    alice.out.expect("There are no rooms");
    alice.type_line("6");
    for (question, answer) in
        [("Room's name: ", "den"), ("password", ""), ("How many members", "5"), ("about", "bears")]
    {
        alice.out.expect(question);
        alice.type_line(answer);
    }
    alice.out.expect("Created #den");
    alice.type_line("5");
    alice.out.expect("#den  1/5  bears");
    bob.signal("TERM");
    bob.outcome().expect_code(0);
    let mut bob = home.start(&["--user", "bob", "listen", "--json", "--room", "den"]);
    bob.expect_event("ready");
    alice.out.expect("bob is in #den");
    alice.type_line("8");
    alice.out.expect("Room's name: ");
    alice.type_line("den");
    alice.out.expect("What you type is sent.");
    alice.type_line("hello room");
    assert_eq!(bob.expect_event("broadcast")["text"], "hello room");
    alice.type_line("/leave");
    at_main_menu(&mut alice);
    alice.type_line("9");
    alice.out.expect("Room's name: ");
    alice.type_line("den");
    alice.out.expect("Left #den");
    bob.expect_event("member_left");
}

#[test]
fn what_has_no_number_is_a_command_at_the_menus() {
    let daemon = Daemon::start();
    let (at_alice, at_bob) = (Home::new(&daemon), Home::new(&daemon));
    let (mut alice, mut bob) = (at_alice.start_unprepared(&["--menu"]), at_bob.start_unprepared(&["--menu"]));
    log_in(&mut alice, "alice");
    log_in(&mut bob, "bob");
    let bears = at_alice.folder().join("bears.txt");
    std::fs::write(&bears, "bears").unwrap();

    alice.type_line("11");
    alice.out.expect("/send USER PATH");
    alice.out.expect("/block USER");
    at_main_menu(&mut alice);
    alice.type_line("/tkae");
    alice.out.expect("did you mean /take?");
    at_main_menu(&mut alice);
    alice.type_line("hello");
    alice.out.expect("Choose a number from 1 to 11");
    at_main_menu(&mut alice);

    alice.type_line("/chat bob");
    bob.out.expect("alice wants to chat");
    bob.type_line("/accept alice");
    for client in [&mut alice, &mut bob] {
        client.out.expect("What you type is sent.");
    }
    alice.type_line(&format!("/send bob {}", bears.display()));
    bob.out.expect("alice offers a file: bears.txt, 5 bytes");
    bob.out.expect("/take 1 or /stop 1");
    // The offer waits, and talk goes on.
    alice.type_line("//take it");
    bob.out.expect("alice: /take it");
    bob.type_line(&format!("/take 1 {}", at_bob.folder().display()));
    bob.out.expect("the file is there");
    assert_eq!(std::fs::read_to_string(at_bob.folder().join("bears.txt")).unwrap(), "bears");
    bob.type_line("/verify alice");
    bob.out.expect("Read this to alice");
    bob.type_line("/chat carol");
    bob.out.expect("/leave first");
    bob.type_line("/block alice");
    bob.out.expect("alice is blocked");
    at_main_menu(&mut bob);
    bob.type_line("/blocked");
    bob.out.expect("blocked: alice");
    at_main_menu(&mut bob);
    alice.out.expect("the chat with bob has ended");
    at_main_menu(&mut alice);
    alice.type_line("/logout");
    alice.out.expect("Logged out");
    alice.out.expect("3. Exit");
    bob.type_line("/quit");
    bob.outcome().expect_code(0);
}

#[test]
fn a_changed_key_can_be_decided_on_at_the_menus() {
    let daemon = Daemon::start();
    let (at_alice, at_bob, elsewhere) = (Home::new(&daemon), Home::new(&daemon), Home::new(&daemon));
    let mut alice = at_alice.start_unprepared(&["--menu"]);
    log_in(&mut alice, "alice");
    let chat = |alice: &mut Client, bob: &mut Client| {
        alice.type_line("/chat bob");
        bob.out.expect("/accept alice");
        bob.type_line("/accept alice");
        alice.out.expect("/leave ends the chat");
    };
    let mut bob = at_bob.prompt("bob");
    chat(&mut alice, &mut bob);
    bob.finish().expect_code(0);
    alice.out.expect("the chat with bob has ended");
    at_main_menu(&mut alice);

    let mut bob = elsewhere.start(&["--user", "bob"]);
    bob.out.expect("logged in as bob");
    alice.type_line("/chat bob");
    alice.out.expect("bob'S KEY HAS CHANGED");
    alice.out.expect("/trust bob ");
    let begin = alice.out.expect("\n").trim_end().to_owned();
    at_main_menu(&mut alice);
    alice.type_line(&format!("/trust bob {begin}"));
    alice.out.expect("bob is known by the new key from now on");
    chat(&mut alice, &mut bob);
    bob.finish().expect_code(0);
    alice.type_line("/quit");
    alice.outcome().expect_code(0);
}
