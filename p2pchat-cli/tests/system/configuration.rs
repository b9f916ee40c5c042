//! The configuration file and its profiles, as the built client takes them.

use std::fs;

use crate::{
    client::{Home, PASSWORD},
    daemon::Daemon,
};

#[test]
fn a_profile_says_who_and_where() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let folder = home.folder().join("p2pchat");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("key"), format!("{PASSWORD}\n")).unwrap();
    // Another registry, which is the command line's to say here, has other files with passwords.
    let registry = format!("registry = \"{}\"\n", daemon.tcp);
    fs::write(
        folder.join("config.toml"),
        format!(
            "{registry}user = \"alice\"\npassword_file = \"key\"\n[profiles.bot]\nuser = \"bot\"\npassword_file = \"key\"\n"
        ),
    )
    .unwrap();
    let run = |arguments: &[&str]| home.start_unprepared(arguments).finish();
    for arguments in [&["register"][..], &["-P", "bot", "register"]] {
        run(arguments).expect_code(0);
    }
    assert_eq!(run(&["peers"]).expect_code(0).out, "");
    let mut bot = home.start_unprepared(&["-P", "bot", "listen", "--json"]);
    assert_eq!(bot.expect_event("ready")["username"], "bot");
    assert_eq!(run(&["peers"]).expect_code(0).out, "bot\n");
    run(&["-P", "work", "peers"])
        .expect_code(2)
        .expect_error("no profile `work` in ")
        .expect_error("there are bot");
    // Her password isn't his.
    run(&["--user", "bob", "peers"]).expect_code(2).expect_error("--password-file");
}

#[test]
fn a_file_that_makes_no_sense_starts_nothing_and_is_said_where() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let file = home.folder().join("mine.toml");
    let path = file.to_str().unwrap();
    fs::write(&file, "user = \"alice\"\npark = 5.5\npasswrd_file = 1\npassword = \"hush\"\n").unwrap();
    for command in [&["peers"][..], &["config", "check"]] {
        let said = home.run(&[&["--config", path], command].concat()).expect_code(2);
        let said = said.expect_error(&format!("{path}:2:8: a number of seconds is wanted, or \"never\""));
        let said = said.expect_error(":3:1: unknown setting `passwrd_file`: did you mean password_file?");
        let said = said.expect_error(":4:1: `password` has no place in this file");
        assert!(!said.errors.contains("hush") && said.out.is_empty(), "{said:?}");
    }
    assert_eq!(home.run(&["--config", path, "config", "path"]).expect_code(0).out, format!("{path}\n"));
    home.run(&["--config", "/nowhere/at/all", "peers"]).expect_code(2).expect_error("/nowhere/at/all");

    let default = home.run(&["config", "default"]).expect_code(0).out;
    fs::write(&file, default).unwrap();
    home.run(&["--config", path, "config", "check"]).expect_code(0);
    fs::write(&file, "[keys]\n\"ctrl-n\" = \"fly\"\n").unwrap();
    let said = home.run(&["--config", path, "config", "check"]).expect_code(2);
    said.expect_error("[keys]: ctrl-n can't do `fly`; there are: send, ");
    let standard = home.run(&["config", "path"]).expect_code(0).out;
    assert_eq!(standard.trim_end(), home.folder().join("p2pchat").join("config.toml").to_str().unwrap());
}

#[test]
fn who_wants_quiet_hears_of_errors_alone() {
    let daemon = Daemon::start();
    let home = Home::new(&daemon);
    let told = home.run(&["--user", "alice", "register"]).expect_code(0);
    told.expect_error("met for the first time");
    let home = Home::new(&daemon);
    assert_eq!(home.run(&["-q", "--user", "bob", "register"]).expect_code(0).errors, "");
    home.run(&["-q", "--user", "bob", "register"]).expect_code(1).expect_error("taken");
}
