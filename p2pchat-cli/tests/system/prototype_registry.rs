//! A registry that does what the prototype's does, byte for byte, against the client (PROTOCOL.md §6): it greets before it
//! has read anything, takes each TLS record for a message, and splits it on blanks.

use crate::{
    client::{Client, Home, PASSWORD_DIGEST},
    stand_in::{Link, StandIn},
};

/// The prototype's registry, and a client's computer that uses it.
struct World {
    registry: StandIn,
    home: Home,
}

impl World {
    fn new() -> Self {
        Self::of(StandIn::start())
    }

    fn of(registry: StandIn) -> Self {
        let home = Home::at(registry.tcp(), registry.udp());
        Self { registry, home }
    }

    /// The client connects and says hello.
    fn greet(&self) -> Link {
        let mut link = self.registry.accept();
        link.send("HELLO_BACK SUCCESS 200 ");
        link.expect("HELLO_P2P");
        link
    }

    /// The client logs in as alice, announcing the port that it listens on.
    fn log_in(&self) -> Link {
        let mut link = self.greet();
        let login = link.receive().unwrap();
        let port = login.strip_prefix(&format!("LOGIN alice {PASSWORD_DIGEST} "));
        let port: u16 = port.unwrap_or_else(|| panic!("{login:?}")).parse().unwrap();
        assert!(port >= 1024, "{port}");
        link.send("AUTH <SUCCESS> <200>");
        link
    }

    /// Starts a one-shot command of alice's.
    fn start(&self, arguments: &[&str]) -> Client {
        let all: Vec<_> = ["--user", "alice"].iter().chain(arguments).copied().collect();
        self.home.start(&all)
    }
}

/// The client logs out, and the registry closes.
fn log_out(mut link: Link) {
    let logout = link.receive().unwrap();
    assert!(["LOGOUT", "LOGOUT alice"].contains(&logout.as_str()), "{logout:?}");
    link.close();
}

#[test]
fn the_client_registers_with_the_prototypes_registry() {
    let world = World::new();
    for (reply, code) in
        [("REGISTER <SUCCESS> <200>", 0), ("REGISTER <EXIST> <300>", 1), ("REGISTER <FAILURE> <404>", 1)]
    {
        let client = world.start(&["register"]);
        let mut link = world.greet();
        link.expect(&format!("REGISTER alice {PASSWORD_DIGEST}"));
        link.send(reply);
        link.expect_end();
        client.finish().expect_code(code);
    }
}

#[test]
fn the_client_is_refused_by_the_prototypes_registry() {
    let world = World::new();
    for reply in ["AUTH <FAILURE> <404>", "AUTH <ONLINE> <300>"] {
        let client = world.start(&["peers"]);
        let mut link = world.greet();
        let login = link.receive().unwrap();
        assert!(login.starts_with(&format!("LOGIN alice {PASSWORD_DIGEST} ")), "{login:?}");
        link.send(reply);
        client.finish().expect_code(4);
    }
}

#[test]
fn the_client_searches_in_the_prototypes_registry() {
    let world = World::new();
    for (reply, code, shown) in [
        ("SEARCH_USER_RESPONSE <SUCCESS> <200> 192.168.1.2:63142", 0, "bob  192.168.1.2:63142\n"),
        ("SEARCH_USER_RESPONSE <NOT_ONLINE> <300>", 5, ""),
        ("SEARCH_USER_RESPONSE <NOT_FOUND> <404>", 5, ""),
    ] {
        let client = world.start(&["search", "bob"]);
        let mut link = world.log_in();
        link.expect("SEARCH_USER bob");
        link.send(reply);
        log_out(link);
        assert_eq!(client.finish().expect_code(code).out, shown);
    }
}

#[test]
fn the_client_lists_the_peers_of_the_prototypes_registry() {
    let world = World::new();
    for (arguments, request, reply, shown) in [
        (
            &["peers", "--detailed"][..],
            "DISCOVER_PEERS DETAILED alice",
            "PEER_LIST <SUCCESS> <200> bob (192.168.1.2:63142) carol (192.168.1.2:63158)",
            "bob    192.168.1.2:63142\ncarol  192.168.1.2:63158\n",
        ),
        (&["peers", "--detailed"], "DISCOVER_PEERS DETAILED alice", "PEER_LIST <FAILURE> <404>", ""),
        (&["peers"], "DISCOVER_PEERS SIMPLE alice", "PEER_LIST <SUCCESS> <200> bob carol", "bob\ncarol\n"),
        (&["peers"], "DISCOVER_PEERS SIMPLE alice", "PEER_LIST <FAILURE> <404>", ""),
    ] {
        let client = world.start(arguments);
        let mut link = world.log_in();
        link.expect(request);
        link.send(reply);
        log_out(link);
        assert_eq!(client.finish().expect_code(0).out, shown);
    }
}

#[test]
fn the_client_keeps_itself_alive_at_the_prototypes_registry_each_second() {
    let world = World::new();
    let mut client = world.start(&["listen", "--json"]);
    let mut link = world.log_in();
    client.expect_event("ready");
    let started = std::time::Instant::now();
    for _ in 0..5 {
        assert_eq!(world.registry.datagram(), "KEEP_ALIVE alice");
    }
    assert!(started.elapsed().as_secs() < 15, "five keep-alives took {:?}", started.elapsed());
    client.signal("TERM");
    let logout = link.receive().unwrap();
    assert!(["LOGOUT", "LOGOUT alice"].contains(&logout.as_str()), "{logout:?}");
    link.close();
    client.finish().expect_code(0);
}

#[test]
fn the_client_believes_a_timeout_on_the_prototypes_stream() {
    let world = World::new();
    let mut client = world.start(&["listen", "--json"]);
    let mut link = world.log_in();
    client.expect_event("ready");
    link.send("TIMEOUT alice");
    link.close();
    client.expect_event("disconnected");
    // It is its own session that timed out, so it comes back.
    drop(world.log_in());
}

#[test]
fn the_client_says_that_the_prototypes_registry_has_no_rooms() {
    let world = World::new();
    let client = world.start(&["rooms"]);
    log_out(world.log_in());
    client.finish().expect_code(1).expect_error("does not support");
}

#[test]
fn the_client_speaks_tls_1_2_with_an_old_registry_if_told_to() {
    let world = World::of(StandIn::start_with_tls12());
    let client = world.start(&["--tls12", "search", "bob"]);
    let mut link = world.log_in();
    link.expect("SEARCH_USER bob");
    link.send("SEARCH_USER_RESPONSE <SUCCESS> <200> 192.168.1.2:63142");
    log_out(link);
    assert_eq!(client.finish().expect_code(0).out, "bob  192.168.1.2:63142\n");

    let client = world.start(&["search", "bob"]);
    assert!(world.registry.try_accept().is_none());
    client.finish().expect_code(3);
}
