//! Command lines, right and wrong.

use super::*;

#[test]
fn the_definition_holds() {
    Arguments::command().debug_assert();
}

#[test]
fn addresses_in_every_spelling() {
    let ok = |host: &str, port| Ok(Address { host: host.to_owned(), port });
    assert_eq!(tcp_address("chat.example.org"), ok("chat.example.org", 15_600));
    assert_eq!(tcp_address("10.0.0.1:9"), ok("10.0.0.1", 9));
    assert_eq!(tcp_address("::1"), ok("::1", 15_600));
    assert_eq!(tcp_address("[::1]"), ok("::1", 15_600));
    assert_eq!(udp_address("[::1]:7"), ok("::1", 7));
    for bad in ["", ":1", "host:", "host:0", "host:65536", "host:x", "[::1]x", "a b", "not:a:port"] {
        assert!(tcp_address(bad).is_err(), "{bad}");
    }
}

#[test]
fn who_parks_says_after_how_long() {
    let after = |text| Arguments::try_parse_from(["p2pchat", "--park", text]).map(|all| all.global.park.0);
    assert_eq!(after("never").unwrap(), None);
    assert_eq!(after("300").unwrap(), Some(Duration::from_secs(300)));
    for bad in ["0", "5m", "", "86401"] {
        assert!(after(bad).unwrap_err().to_string().contains("or `never`"), "{bad}");
    }
}

#[test]
fn nobody_is_made_to_dial_a_system_service() {
    assert_eq!((peer_port("0"), peer_port("1024")), (Ok(0), Ok(1_024)));
    assert!(peer_port("80").is_err() && peer_port("70000").is_err());
}

#[test]
fn a_room_is_set_to_something_and_to_one_thing_at_a_time() {
    let parse = |arguments: &[&str]| {
        Arguments::try_parse_from(["p2pchat", "set", "den"].iter().chain(arguments)).is_ok()
    };
    assert!(parse(&["--capacity", "5", "--owner", "bob", "--no-room-password"]));
    assert!(!parse(&[]));
    assert!(!parse(&["--no-room-password", "--room-password-file", "x"]));
}

#[test]
fn a_message_may_start_with_a_dash() {
    let arguments = Arguments::parse_from(["p2pchat", "send", "--timeout", "5", "bob", "-1", "is", "--json"]);
    let Some(Subject::People(Command::Send { text, timeout, .. })) = arguments.command else {
        panic!("not send")
    };
    assert_eq!((text.join(" "), timeout), ("-1 is --json".to_owned(), Duration::from_secs(5)));
}

#[test]
fn an_address_that_stands_where_a_command_should_is_told_its_option() {
    let refused = |line: &[&str]| Arguments::of([&["p2pchat"], line].concat()).unwrap_err().to_string();
    for address in ["chat.example.org", "127.0.0.1:15600", "localhost"] {
        let said = refused(&[address]);
        let tip = format!("tip: a registry's address follows an option: p2pchat --registry {address}\n");
        assert!(said.contains(&tip), "{said}");
    }
    let said = refused(&["lsten"]);
    assert!(said.contains("listen") && !said.contains("--registry"), "{said}");
}
