//! The built binary, as far as it goes without a registry: help, usage errors, exit codes.
#![allow(clippy::unwrap_used, reason = "a helper's failure is its test's")]

use std::{
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// The binary with an environment of its own; nothing on standard input.
fn p2pchat(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_p2pchat"));
    for (variable, _) in
        std::env::vars().filter(|(name, _)| name.starts_with("P2PCHAT_") || name == "RUST_LOG")
    {
        command.env_remove(variable);
    }
    command.args(arguments).env("P2PCHAT_DATA_DIR", data).env("XDG_CONFIG_HOME", data).stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn run_with_input(command: &mut Command, input: &str) -> (Option<i32>, String, String) {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A port on which nobody listens.
fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn help_teaches_by_example_and_lists_the_exit_codes() {
    let dir = tempfile::tempdir().unwrap();
    let (code, out, _) = run(&mut p2pchat(dir.path(), &["--help"]));
    assert_eq!(code, Some(0));
    for part in [
        "p2pchat --registry chat.example.org",
        "Exit codes:",
        "--password-file",
        "listen --json",
        "--menu",
        "config default",
        "pipe operators",
    ] {
        assert!(out.contains(part), "{part} is not in:\n{out}");
    }
    let (code, out, _) = run(&mut p2pchat(dir.path(), &["--version"]));
    assert_eq!((code, out), (Some(0), format!("p2pchat {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn every_subcommand_has_help() {
    let dir = tempfile::tempdir().unwrap();
    for command in [
        "register", "search", "peers", "rooms", "members", "send", "say", "listen", "create", "join",
        "leave", "pipe", "config", "leave", "history",
    ] {
        let (code, out, _) = run(&mut p2pchat(dir.path(), &[command, "--help"]));
        assert_eq!(code, Some(0));
        assert!(out.contains("Usage: p2pchat") && out.contains(command), "{out}");
    }
}

#[test]
fn a_wrong_command_line_exits_2() {
    let dir = tempfile::tempdir().unwrap();
    let lines: &[&[&str]] = &[
        &["--nonsense"],
        &["nonsense"],
        &["send", "bob"],
        &["--peer-port", "80", "peers"],
        &["--registry", "host:0", "peers"],
        &["--registry", "", "peers"],
        &["--password", "secret", "peers"],
        &["--ca", "x", "--fingerprint", "y", "peers"],
        &["--color", "blue", "peers"],
        &["send", "--timeout", "0", "bob", "hi"],
        &["history", "--forget"],
        &["history", "--since", "yesterday"],
        &["--registry", "127.0.0.1", "--user", "alice", "history", "--with", "a b"],
        &["--registry", "127.0.0.1", "--user", "alice", "history", "--room", "<"],
        // What a subcommand can't do without:
        &["--registry", "127.0.0.1", "history"],
        &["peers"],
        &["--registry", "127.0.0.1", "peers"],
        &["--registry", "127.0.0.1", "--user", "alice", "peers"],
        &["--registry", "127.0.0.1", "--user", "alice", "--password-file", "/nowhere/at/all", "peers"],
    ];
    for line in lines {
        let (code, out, err) = run(&mut p2pchat(dir.path(), line));
        assert_eq!((code, out.as_str()), (Some(2), ""), "{line:?}: {err}");
        assert!(!err.is_empty());
    }
}

#[test]
fn a_fingerprint_that_is_none_exits_2() {
    let dir = tempfile::tempdir().unwrap();
    let line = ["--registry", "127.0.0.1", "--user", "alice", "--fingerprint", "sha256:12", "peers"];
    let (code, _, err) = run(p2pchat(dir.path(), &line).env("P2PCHAT_PASSWORD", "secret"));
    assert_eq!(code, Some(2));
    assert!(err.contains("--fingerprint") && !err.contains("secret"), "{err}");
}

#[test]
fn a_registry_that_is_not_there_exits_3_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let address = closed_port();
    let line = ["--registry", &address, "--user", "alice", "peers"];
    let (code, _, err) = run(p2pchat(dir.path(), &line).env("P2PCHAT_PASSWORD", "secret"));
    assert_eq!(code, Some(3), "{err}");
    assert!(err.starts_with("p2pchat: ") && err.contains(&address) && !err.contains("secret"), "{err}");

    let (code, _, err) =
        run_with_input(&mut p2pchat(dir.path(), &[]), &format!("{address}\nalice\nsecret\n"));
    assert_eq!(code, Some(3), "{err}");
}

#[test]
fn the_log_file_is_the_users_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (address, log) = (closed_port(), dir.path().join("log"));
    let line = ["--registry", &address, "--user", "alice", "--log", log.to_str().unwrap(), "peers"];
    let (code, _, _) = run(p2pchat(dir.path(), &line).env("P2PCHAT_PASSWORD", "hush"));
    assert_eq!(code, Some(3));
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.contains("p2pchat started") && !text.contains("hush"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn the_welcome_menu_asks_again_until_it_understands() {
    let dir = tempfile::tempdir().unwrap();
    let (code, out, err) = run_with_input(&mut p2pchat(dir.path(), &["--menu"]), "127.0.0.1\n7\nx\n3\n");
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("1. Signup\n2. Login\n3. Exit"), "{out}");
    assert_eq!(out.matches("Choose 1, 2 or 3").count(), 2, "{out}");
    assert!(!out.contains('\u{1b}'), "no colours in a pipe: {out}");
}

#[test]
fn colours_come_when_asked_for_and_go_when_not_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let menu =
        |color| run_with_input(&mut p2pchat(dir.path(), &["--menu", "--color", color]), "127.0.0.1\n3\n").1;
    assert!(menu("always").contains("\u{1b}[35mChoose an option: \u{1b}[0m"));
    assert!(!menu("never").contains('\u{1b}'));
}

#[test]
fn the_end_of_the_input_ends_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let (code, _, err) = run(&mut p2pchat(dir.path(), &[]));
    assert_eq!(code, Some(2), "{err}");
    let (code, _, _) = run(&mut p2pchat(dir.path(), &["--menu"]));
    assert_eq!(code, Some(0));
}

/// Where alice's history is.
fn history_file(data: &Path) -> PathBuf {
    data.join("history/chat.example.org_15600/alice.redb")
}

/// What was said at the end of November 2026, in time zones of its own.
fn history(data: &Path, zone: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut all = vec!["--registry", "chat.example.org", "--user", "Alice", "history"];
    all.extend(arguments);
    run(p2pchat(data, &all).env("TZ", zone))
}

/// A data folder with the history of a version that there was.
fn with_history() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let file = history_file(dir.path());
    let mut folder = std::fs::DirBuilder::new();
    folder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
    folder.create(file.parent().unwrap()).unwrap();
    std::fs::write(&file, include_bytes!("../src/archive/format-1.redb")).unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    dir
}

#[test]
fn what_was_said_is_printed_in_local_time() {
    let dir = with_history();
    let (code, out, err) = history(dir.path(), "UTC", &[]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let expected = "\
2026-11-29 15:04 [Bob] <Bob> Hello there
2026-11-29 15:05 [Bob] <alice> who is it?
2026-11-29 15:06 [#Den] <alice> (not sent yet) tea is *ready*
2026-11-29 15:07 [#Den] <carol> (not encrypted) (late) c␛[2Joming
    in a minute
2026-11-29 15:08 [#Den] * the network was gone for a while
2026-11-30 16:00 [Bob] <alice> (not delivered: no answer) see you
2026-11-30 16:01 [Bob] <alice> (may not have arrived) still there?
";
    assert_eq!(out, expected);
    let (_, out, _) = history(dir.path(), "Asia/Kathmandu", &["--with", "BOB", "--last", "2"]);
    let expected = "\
2026-11-30 21:45 <alice> (not delivered: no answer) see you
2026-11-30 21:46 <alice> (may not have arrived) still there?
";
    assert_eq!(out, expected);
}

#[test]
fn what_is_looked_for_in_a_history_is_found() {
    let dir = with_history();
    let texts = |zone: &str, arguments: &[&str]| {
        let (code, out, err) = history(dir.path(), zone, &[arguments, &["--json"]].concat());
        assert_eq!((code, err.as_str()), (Some(0), ""));
        let lines = out.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.map(|line: serde_json::Value| line["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(texts("UTC", &["--search", "there HELLO"]), ["Hello there"]);
    assert_eq!(texts("UTC", &["--search", "there", "--last", "1"]), ["still there?"]);
    assert_eq!(texts("UTC", &["--search", "there", "--room", "den"]), [""; 0]);
    assert_eq!(texts("UTC", &["--since", "2026-11-30"]), ["see you", "still there?"]);
    assert_eq!(texts("UTC", &["--before", "2026-11-29 15:05"]), ["Hello there"]);
    // Eight hours behind.
    assert_eq!(texts("America/Los_Angeles", &["--since", "2026-11-30 08:01"]), ["still there?"]);

    let (_, out, _) = history(dir.path(), "UTC", &["--room", "DEN", "--json"]);
    assert!(out.contains(r#""text":"c\u001b[2Joming\nin a minute""#), "{out}");
    let first: serde_json::Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    let expected = serde_json::json!({
        "id": 3, "at": 1_795_964_760_000_u64, "with": null, "room": "Den", "from": "alice", "own": true,
        "text": "tea is *ready*", "encrypted": true, "late": false, "state": "waiting", "reason": null,
        "receivers": [
            { "username": "bob", "state": "delivered", "reason": null },
            { "username": "carol", "state": "waiting", "reason": null },
        ],
    });
    assert_eq!(first, expected);
}

#[test]
fn a_history_is_forgotten_and_nothing_else() {
    let dir = with_history();
    let said = |arguments| history(dir.path(), "UTC", arguments);
    assert_eq!(
        said(&["--forget", "--with", "bob"]),
        (Some(0), "4 messages forgotten\n".into(), String::new())
    );
    assert_eq!(said(&["--with", "bob"]), (Some(0), String::new(), String::new()));
    assert_eq!(said(&["--room", "den"]).1.lines().count(), 4);
    assert_eq!(said(&["--forget", "--all"]).1, "3 messages forgotten\n");
    assert_eq!(said(&[]), (Some(0), String::new(), String::new()));
}

#[test]
fn a_history_that_cannot_be_read_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let (code, _, err) = history(dir.path(), "UTC", &[]);
    assert_eq!(code, Some(1));
    assert!(err.contains("no history of that account"), "{err}");
    assert!(!dir.path().join("history").exists(), "one was made");

    let dir = with_history();
    let file = history_file(dir.path());
    std::fs::write(&file, "Dear diary,\n").unwrap();
    let (code, _, err) = history(dir.path(), "UTC", &["--forget", "--all"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("is no history") && err.contains(file.to_str().unwrap()), "{err}");
    assert_eq!(std::fs::read(&file).unwrap(), b"Dear diary,\n");
    #[cfg(unix)]
    {
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        let (code, _, err) = history(dir.path(), "UTC", &[]);
        assert_eq!(code, Some(1));
        assert!(err.contains("open to others (mode 644)"), "{err}");
    }
}

/// The commands that a help text lists.
fn commands_in(help: &str) -> Vec<String> {
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names =
        lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next().filter(|name| !name.is_empty()));
    names.filter(|name| *name != "help").map(Into::into).collect()
}

#[test]
fn manual_pages_and_completions_have_each_command() {
    let dir = tempfile::tempdir().unwrap();
    let (_, help, _) = run(&mut p2pchat(dir.path(), &["--help"]));
    let commands = commands_in(&help);
    assert!(commands.len() > 10 && commands.contains(&"send".to_owned()), "{commands:?}");
    let folder = dir.path().join("man");
    let (code, _, error) = run(&mut p2pchat(dir.path(), &["man", folder.to_str().unwrap()]));
    assert_eq!((code, error.as_str()), (Some(0), ""));
    let page = std::fs::read_to_string(folder.join("p2pchat.1")).unwrap();
    assert_eq!(run(&mut p2pchat(dir.path(), &["man"])).1, page);
    for part in [".SH NAME", ".SH SYNOPSIS", ".SH SUBCOMMANDS", "P2PCHAT_REGISTRY", "Exit codes:"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    for command in &commands {
        assert!(page.contains(&format!("p2pchat\\-{}(1)", command.replace('-', "\\-"))), "{command}: {page}");
        let its_own = std::fs::read_to_string(folder.join(format!("p2pchat-{command}.1"))).unwrap();
        assert!(its_own.contains(".SH SYNOPSIS"), "{its_own}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, script, _) = run(&mut p2pchat(dir.path(), &["completions", shell]));
        assert_eq!(code, Some(0));
        for command in &commands {
            assert!(script.contains(command.as_str()), "{shell}: {command}");
        }
    }
}
