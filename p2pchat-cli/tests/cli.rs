//! The built binary, as far as it goes without a registry: help, usage errors, exit codes.
#![allow(clippy::unwrap_used, reason = "a helper's failure is its test's")]

use std::{
    io::Write,
    net::TcpListener,
    path::Path,
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
        "leave", "pipe", "config",
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
        // What a subcommand can't do without:
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
