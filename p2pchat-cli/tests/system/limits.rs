//! What somebody sees whom the registry's limits hold up, and what its operator sees.

use crate::{DIGEST, WRONG_DIGEST, client::Home, daemon::Daemon, wire::Wire};

#[test]
fn who_comes_from_where_a_guesser_is_is_told_to_wait_and_who_was_there_before_gets_in() {
    let daemon = Daemon::with(&[
        "--limit-loopback",
        "--prefix-failed-logins-per-hour=2",
        "--prefix-registrations-per-hour=2",
    ]);
    let home = Home::new(&daemon);
    home.register("alice");
    home.register("bob");
    home.run(&["--user", "carol", "register"]).expect_code(1).expect_error("too many accounts are asked for");

    let served = home.run(&["--user", "alice", "search", "bob"]).code();
    for name in ["bob", "nobody"] {
        let login = format!("LOGIN <{name}> <{WRONG_DIGEST}>");
        assert_eq!(Wire::greeted(&daemon).ask(&login), "AUTH <FAILURE> <404>");
    }
    let mut guesser = Wire::greeted(&daemon);
    assert_eq!(guesser.ask(&format!("LOGIN <bob> <{DIGEST}>")), "HELLO_BACK <FAILURE> <404>");
    guesser.expect_end();
    // In half an hour, less the time since they have failed.
    let told = "too many logins have failed where you are; try again in 1";
    home.run(&["--user", "bob", "search", "alice"]).expect_code(1).expect_error(told);
    assert_eq!(home.run(&["--user", "alice", "search", "bob"]).code(), served);
    assert_eq!(served, Some(5), "bob is not online");

    for limit in ["registrations", "failed logins of a prefix"] {
        daemon.log.expect_anywhere(&format!("limit=\"{limit}\" prefix=127.0.0.1/32 so_far=1"));
    }
}
