//! Who is online and where, on the wire (PROTOCOL.md §4.8, §4.10, §4.15).

use crate::{DIGEST, daemon::Daemon, wire::Wire};

#[test]
fn a_search_finds_who_is_online_and_says_who_is_not() {
    let daemon = Daemon::start();
    let mut alice = Wire::online(&daemon, "alice");
    let _bob = Wire::online(&daemon, "bob");
    Wire::greeted(&daemon).sign_up("carol");
    let found = "SEARCH_USER_RESPONSE <SUCCESS> <200> <bob> <4000> <127.0.0.1>";
    assert_eq!(alice.ask("SEARCH_USER <bob>"), found);
    assert_eq!(alice.ask("search_user bob"), found);
    assert_eq!(alice.ask("SEARCH_USER <alice>"), found.replace("bob", "alice"));
    assert_eq!(alice.ask("SEARCH_USER <carol>"), "SEARCH_USER_RESPONSE <NOT_ONLINE> <300>");
    assert_eq!(alice.ask("SEARCH_USER <dave>"), "SEARCH_USER_RESPONSE <NOT_FOUND> <404>");
}

#[test]
fn a_search_tells_capabilities_only_between_two_who_have_them() {
    let daemon = Daemon::start();
    let mut plain = Wire::online(&daemon, "plain");
    let mut alice = Wire::online_with(&daemon, "alice", "reason,sender");
    let _bob = Wire::online_with(&daemon, "bob", "sender");
    let found = |name: &str| format!("SEARCH_USER_RESPONSE <SUCCESS> <200> <{name}> <4000> <127.0.0.1>");
    assert_eq!(alice.ask("SEARCH_USER <bob>"), format!("{} <sender>", found("bob")));
    assert_eq!(alice.ask("SEARCH_USER <plain>"), found("plain"));
    assert_eq!(plain.ask("SEARCH_USER <bob>"), found("bob"));
}

#[test]
fn who_announces_no_port_is_shown_with_none() {
    let daemon = Daemon::start();
    let mut quiet = Wire::greeted(&daemon);
    quiet.sign_up("quiet");
    assert_eq!(quiet.ask(&format!("LOGIN <quiet> <{DIGEST}>")), "AUTH <SUCCESS> <200>");
    let found = "SEARCH_USER_RESPONSE <SUCCESS> <200> <quiet> <0> <127.0.0.1>";
    assert_eq!(quiet.ask("SEARCH_USER <quiet>"), found);
}

#[test]
fn a_port_below_1024_is_refused_so_nobody_is_made_to_dial_a_system_service() {
    let daemon = Daemon::start();
    let mut wire = Wire::greeted(&daemon);
    wire.sign_up("alice");
    for port in ["0", "22", "1023", "65536", "-1", "x"] {
        assert_eq!(wire.ask(&format!("LOGIN <alice> <{DIGEST}> <{port}>")), "AUTH <FAILURE> <404>", "{port}");
    }
    assert_eq!(wire.ask(&format!("LOGIN <alice> <{DIGEST}> <1024>")), "AUTH <SUCCESS> <200>");
}

#[test]
fn the_lists_of_peers_leave_the_asker_out() {
    let daemon = Daemon::start();
    let mut alice = Wire::online(&daemon, "alice");
    assert_eq!(alice.ask("DISCOVER_PEERS <PARTIAL>"), "PEER_LIST <FAILURE> <404>");
    assert_eq!(alice.ask("DISCOVER_PEERS <DETAILED>"), "PEER_LIST <FAILURE> <404>");

    let mut bob = Wire::online(&daemon, "bob");
    let _carol = Wire::online(&daemon, "carol");
    let short = alice.ask("DISCOVER_PEERS <PARTIAL>");
    assert_eq!(records(&short, "PEER_LIST <SUCCESS> <200> "), ["<bob>", "<carol>"]);
    assert_eq!(alice.ask("DISCOVER_PEERS <SIMPLE> <alice>"), short);
    assert_eq!(alice.ask("DISCOVER_PEERS <PARTIAL> <bob>"), "PEER_LIST <FAILURE> <404>");

    // A room is shown to those alone who are in it.
    bob.create("den", 5);
    let records_of =
        |wire: &mut Wire| records(&wire.ask("DISCOVER_PEERS <DETAILED>"), "PEER_LIST <SUCCESS> <200> ");
    assert_eq!(records_of(&mut alice), ["<bob> <> <4000> <127.0.0.1>", "<carol> <> <4000> <127.0.0.1>"]);
    alice.join("den");
    assert_eq!(records_of(&mut alice), ["<bob> <den> <4000> <127.0.0.1>", "<carol> <> <4000> <127.0.0.1>"]);
    assert_eq!(records_of(&mut bob), ["<alice> <den> <4000> <127.0.0.1>", "<carol> <> <4000> <127.0.0.1>"]);
}

#[test]
fn the_members_of_a_room_are_told_to_members_alone() {
    let daemon = Daemon::start();
    let mut alice = Wire::online(&daemon, "alice");
    let mut bob = Wire::online(&daemon, "bob");
    alice.create("den", 5);
    assert_eq!(alice.ask("DISCOVER_PEERS <den>"), "PEER_LIST <SUCCESS> <200> <den> <alice>");
    assert_eq!(bob.ask("DISCOVER_PEERS <den>"), "PEER_LIST <FAILURE> <404>");
    assert_eq!(bob.ask("DISCOVER_PEERS <nowhere>"), "PEER_LIST <FAILURE> <404>");
    bob.join("den");
    let mut members = fields(&bob.ask("DISCOVER_PEERS <den>"), "PEER_LIST <SUCCESS> <200> <den> ");
    assert_eq!(members, ["<alice>", "<bob>"]);
    // Who is offline is a member still, and not listed.
    alice.say("LOGOUT");
    alice.expect_end();
    assert_eq!(bob.hear(), "USER_LOGOUT <alice>");
    members = fields(&bob.ask("DISCOVER_PEERS <DEN>"), "PEER_LIST <SUCCESS> <200> <den> ");
    assert_eq!(members, ["<bob>"]);
}

#[test]
fn the_list_of_rooms_counts_members_online_or_not() {
    let daemon = Daemon::start();
    let mut alice = Wire::online(&daemon, "alice");
    assert_eq!(alice.ask("SHOW_ROOMS_LIST <DETAILED>"), "ROOMS_LIST <NOT_FOUND> <404>");
    assert_eq!(alice.ask("SHOW_ROOMS_LIST <PARTIAL>"), "ROOMS_LIST <NOT_FOUND> <404>");
    let create = format!("CREATE_CHAT_ROOM <den> <{DIGEST}> <10> <where the bears are, \\<all\\> of them>");
    assert_eq!(alice.ask(&create), "CREATION <SUCCESS> <200>");
    alice.create("tea room", 40);
    let mut bob = Wire::online(&daemon, "bob");
    bob.join("tea room");
    bob.say("LOGOUT");
    bob.expect_end();
    assert_eq!(alice.hear(), "USER_LOGOUT <bob>");

    let list = alice.ask("SHOW_ROOMS_LIST <DETAILED>");
    let expected = ["<den> <where the bears are, \\<all\\> of them> <1> <10>", "<tea room> <> <2> <40>"];
    assert_eq!(records(&list, "ROOMS_LIST <FOUND> <200> "), expected);
    let short = alice.ask("SHOW_ROOMS_LIST <PARTIAL>");
    assert_eq!(records(&short, "ROOMS_LIST <FOUND> <200> "), ["<den>", "<tea room>"]);
}

/// A list's records, in order.
fn records(reply: &str, prefix: &str) -> Vec<String> {
    split(reply, prefix, " , ")
}

/// The fields of a list of one record, in order.
fn fields(reply: &str, prefix: &str) -> Vec<String> {
    split(reply, prefix, " ")
}

fn split(reply: &str, prefix: &str, by: &str) -> Vec<String> {
    let list = reply.strip_prefix(prefix).unwrap_or_else(|| panic!("{reply}"));
    let mut records: Vec<_> = list.split(by).map(str::to_owned).collect();
    records.sort();
    records
}
