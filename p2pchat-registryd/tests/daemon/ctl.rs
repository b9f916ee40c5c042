//! What an operator asks a daemon by `ctl`, and by the admin socket itself.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::Path,
    process::Output,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use p2pchat_core::peer::Event;
use serde_json::{Value, json};

use crate::support::{Daemon, bare, command, connect, refusal, try_connect};

/// Asks the daemon of a data folder.
fn ctl(data_dir: &Path, words: &[&str]) -> Output {
    bare().arg("ctl").arg("--data-dir").arg(data_dir).args(words).output().unwrap()
}

/// What it says if all is well.
fn said(data_dir: &Path, words: &[&str]) -> String {
    let output = ctl(data_dir, words);
    assert!(output.status.success() && output.stderr.is_empty(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The same in JSON: a value for each line.
fn told(data_dir: &Path, words: &[&str]) -> Vec<Value> {
    let said = said(data_dir, &[words, &["--json"]].concat());
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The exit status and the one line that it complains with.
fn refused(data_dir: &Path, words: &[&str]) -> (Option<i32>, String) {
    refusal(bare().arg("ctl").arg("--data-dir").arg(data_dir).args(words))
}

#[tokio::test]
async fn status_and_sessions_are_told_to_people_and_to_programs() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&mut command(folder.path()));
    assert_eq!(told(folder.path(), &["sessions"]), Vec::<Value>::new());
    let (alice, _events) = connect(&daemon).await;
    alice.register("Alice", "secret").await.unwrap();
    alice.login("alice", "secret").await.unwrap();
    alice.create("den", None, 2, "").await.unwrap();

    let status = told(folder.path(), &["status"]).remove(0);
    assert_eq!(status["tcp"], daemon.tcp.as_str());
    assert_eq!(status["fingerprint"], format!("sha256:{}", daemon.fingerprint));
    assert_eq!((&status["connections"], &status["sessions"]), (&json!(1), &json!(1)));
    let shown = said(folder.path(), &["status"]);
    assert!(shown.starts_with("version ") && shown.contains(&daemon.fingerprint), "{shown}");

    let sessions = told(folder.path(), &["sessions"]);
    let [session] = sessions.as_slice() else { panic!("{sessions:?}") };
    assert_eq!((&session["user"], &session["rooms"]), (&json!("Alice"), &json!(["den"])));
    assert!(session["address"].as_str().unwrap().starts_with("127.0.0.1:"), "{session}");
    assert!(session["port"].is_u64() && session["online_seconds"].is_u64(), "{session}");
    let shown = said(folder.path(), &["sessions"]);
    let [titles, line] = shown.lines().collect::<Vec<_>>()[..] else { panic!("{shown}") };
    assert!(titles.starts_with("USER ") && line.starts_with("Alice ") && line.ends_with(" den"), "{shown}");
}

#[tokio::test]
async fn a_kicked_user_is_told_why_and_is_offline() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&mut command(folder.path()));
    let (alice, mut events) = connect(&daemon).await;
    alice.register("alice", "secret").await.unwrap();
    alice.login("alice", "secret").await.unwrap();
    assert_eq!(said(folder.path(), &["kick", "ALICE", "--reason", "go to bed"]), "ALICE is offline\n");
    let mut told_why = false;
    loop {
        match events.next().await.unwrap() {
            Event::Fault { what, .. } => told_why |= what == "go to bed",
            Event::Disconnected { .. } => break,
            _ => {}
        }
    }
    assert!(told_why);
    assert_eq!(
        refused(folder.path(), &["kick", "bob"]),
        (Some(1), "p2pchat-registryd: bob is not online\n".to_owned())
    );
}

#[test]
fn who_can_not_be_asked_is_told_from_who_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let (code, error) = refused(folder.path(), &["status"]);
    assert_eq!(code, Some(3));
    assert!(error.contains("there is no admin socket") && error.contains("--data-dir"), "{error}");

    let daemon = Daemon::start(&mut command(folder.path()));
    daemon.signal("KILL");
    daemon.end();
    let (code, error) = refused(folder.path(), &["status"]);
    assert_eq!(code, Some(3));
    assert!(error.contains("it has ended without removing the socket"), "{error}");
    // What a dead one left behind is in nobody's way.
    let daemon = Daemon::start(&mut command(folder.path()));
    said(folder.path(), &["status"]);
    daemon.signal("TERM");
    daemon.end();
    assert!(!folder.path().join("admin.sock").exists());

    assert_eq!(ctl(folder.path(), &["frobnicate"]).status.code(), Some(2));
}

#[test]
fn a_socket_is_one_daemons_and_its_owners() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    let socket = folder.path().join("socket");
    let with_socket = |data: &Path| {
        let mut command = command(data);
        command.arg("--admin-socket").arg(&socket).args(["--log-level", "off"]);
        command
    };
    let daemon = Daemon::start(&mut with_socket(&one));
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let (code, error) = refusal(&mut with_socket(&other));
    assert_eq!(code, Some(1));
    assert!(error.contains("in use by another registry") && error.contains("--admin-socket"), "{error}");
    // Whoever names it, in whichever way, asks the one that has it.
    let file = folder.path().join("registryd.toml");
    fs::write(&file, format!("admin-socket = '{}'\n", socket.display())).unwrap();
    let asked = bare().args(["ctl", "status", "--json", "--config"]).arg(&file).output().unwrap();
    let status: Value = serde_json::from_slice(&asked.stdout).unwrap();
    assert_eq!(status["tcp"], daemon.tcp.as_str());
    assert!(!one.join("admin.sock").exists());

    let (code, error) =
        refusal(command(&other).arg("--admin-socket").arg(folder.path().join("x".repeat(100))));
    assert_eq!(code, Some(1));
    assert!(error.starts_with("p2pchat-registryd: admin-socket is ") && error.contains("shorter"), "{error}");
}

#[test]
fn nonsense_on_the_socket_is_answered_with_what_is_wrong_and_where() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&mut command(folder.path()));
    let mut stream = UnixStream::connect(folder.path().join("admin.sock")).unwrap();
    let mut replies = BufReader::new(stream.try_clone().unwrap());
    let mut ask = |line: &[u8]| -> Value {
        stream.write_all(line).unwrap();
        let mut reply = String::new();
        replies.read_line(&mut reply).unwrap();
        serde_json::from_str(&reply).unwrap()
    };
    assert_eq!(ask(b"\xff\n")["error"]["kind"], "not-json");
    assert_eq!(ask(b"{\"verb\":\"kick\"}\n")["error"]["field"], "user");
    assert_eq!(ask(b"{\"verb\":\"status\"}\n")["ok"]["pid"], json!(daemon.id()));
    let error = ask(&b" ".repeat(4_097)).to_owned();
    assert_eq!((&error["error"]["kind"], &error["error"]["limit"]), (&json!("line-too-long"), &json!(4_096)));
    // That was the last answer on this connection, and nobody else notices.
    let mut rest = String::new();
    assert_eq!(replies.read_line(&mut rest).unwrap(), 0);
    said(folder.path(), &["status"]);
}

fn audited(data_dir: &Path) -> Vec<Value> {
    let audit = fs::read_to_string(data_dir.join("audit.jsonl")).unwrap();
    audit.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_audit_log_says_who_asked_what_and_what_came_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&mut command(folder.path()));
    let asked = bare().arg("ctl").arg("--data-dir").arg(folder.path()).args(["kick", "bob"]).spawn().unwrap();
    let pid = asked.id();
    asked.wait_with_output().unwrap();
    let audit = folder.path().join("audit.jsonl");
    assert_eq!(fs::metadata(&audit).unwrap().permissions().mode() & 0o777, 0o600);
    let uid = std::os::unix::fs::MetadataExt::uid(&fs::metadata(&audit).unwrap());
    let lines = audited(folder.path());
    let [before, after] = lines.as_slice() else { panic!("{lines:?}") };
    for line in [before, after] {
        assert_eq!((&line["uid"], &line["pid"], &line["id"]), (&json!(uid), &json!(pid), &before["id"]));
        assert_eq!((&line["request"]["verb"], &line["request"]["user"]), (&json!("kick"), &json!("bob")));
        assert!(line["time"].as_str().unwrap().ends_with('Z'), "{line}");
    }
    assert_eq!((before.get("result"), &after["result"]["error"]["kind"]), (None, &json!("not-online")));

    // It may be moved away at any time, as a rotation does.
    fs::rename(&audit, folder.path().join("audit.jsonl.1")).unwrap();
    said(folder.path(), &["ban", "user", "mallory"]);
    let lines = audited(folder.path());
    let [before_ban, after_ban] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(before_ban["id"], after_ban["id"]);
    assert_ne!(before_ban["id"], before["id"]);
    assert_eq!(after_ban["result"]["ok"]["user"], "mallory");
    // The daemon's log has it as well.
    daemon.signal("TERM");
    let (_, _, log) = daemon.end();
    assert!(log.contains("asked by the operator") && log.contains(&format!("pid={pid}")), "{log}");
}

#[test]
fn who_only_looks_fills_no_log() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&mut command(folder.path()));
    for verb in ["status", "sessions", "users", "rooms", "bans", "invites", "log-level"] {
        said(folder.path(), &[verb]);
    }
    assert!(!folder.path().join("audit.jsonl").exists());
    daemon.signal("TERM");
    let (_, _, log) = daemon.end();
    assert!(!log.contains("asked by the operator"), "{log}");
}

#[test]
fn what_the_audit_log_can_not_have_is_not_written_to_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&mut command(folder.path()));
    let audit = folder.path().join("audit.jsonl");
    fs::create_dir(&audit).unwrap();
    for words in [
        &["ban", "user", "mallory"][..],
        &["ban", "address", "192.0.2.0/24"],
        &["invite", "create"],
        &["delete", "mallory"],
        &["kick", "mallory"],
        &["unban", "user", "mallory"],
    ] {
        let (code, error) = refused(folder.path(), words);
        assert_eq!(code, Some(1));
        assert!(
            error.contains("the audit log can't be written to: ") && error.contains("nothing was changed"),
            "{error}"
        );
    }
    for list in ["bans", "invites"] {
        assert_eq!(told(folder.path(), &[list]), Vec::<Value>::new());
    }
    // What leaves nothing behind in the database may be just what is needed now.
    said(folder.path(), &["backup", folder.path().join("backup.redb").to_str().unwrap()]);
    said(folder.path(), &["log-level", "debug"]);
    fs::remove_dir(&audit).unwrap();
    said(folder.path(), &["ban", "user", "mallory"]);
    assert_eq!(audited(folder.path()).len(), 2);
    daemon.signal("TERM");
    let (_, _, log) = daemon.end();
    assert!(log.contains("can't write to the audit log"), "{log}");
}

#[test]
fn no_change_is_without_its_line_however_the_daemon_ends() {
    let folder = tempfile::tempdir().unwrap();
    let mut number = 0;
    for (round, signal) in ["KILL", "TERM", "KILL", "TERM"].into_iter().enumerate() {
        let daemon = Daemon::start(&mut command(folder.path()));
        let (done, answers) = mpsc::channel();
        let operators: Vec<_> = (0..8)
            .map(|operator| {
                let mut stream = UnixStream::connect(folder.path().join("admin.sock")).unwrap();
                let done = done.clone();
                thread::spawn(move || {
                    let mut replies = BufReader::new(stream.try_clone().unwrap());
                    for ban in 0..250 {
                        let user = format!("{round}-{operator}-{ban}");
                        let request = json!({ "verb": "ban", "user": user });
                        let mut reply = String::new();
                        let asked = stream.write_all(format!("{request}\n").as_bytes());
                        match asked.and_then(|()| replies.read_line(&mut reply)) {
                            Ok(1..) if reply.contains("\"ok\"") => done.send(user).unwrap(),
                            ended => return assert!(!matches!(ended, Ok(1..)), "{reply}"),
                        }
                    }
                })
            })
            .collect();
        drop(done);
        let mut acknowledged: Vec<String> = answers.iter().take(40).collect();
        daemon.signal(signal);
        acknowledged.extend(answers);
        for operator in operators {
            operator.join().unwrap();
        }
        let (status, ..) = daemon.end();
        assert_eq!(status.success(), signal == "TERM");

        let daemon = Daemon::start(&mut command(folder.path()));
        let bans: BTreeSet<_> =
            told(folder.path(), &["bans"]).iter().map(|ban| ban["user"].to_string()).collect();
        assert!(bans.len() > number);
        number = bans.len();
        let user = |line: &Value| line["request"]["user"].to_string();
        let lines = audited(folder.path());
        let (ended, begun): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.get("result").is_some());
        let begun: BTreeSet<_> = begun.into_iter().map(user).collect();
        let ended: BTreeSet<_> = ended.into_iter().map(user).collect();
        assert!(bans.is_subset(&begun), "{:?}", bans.difference(&begun));
        assert!(acknowledged.iter().all(|user| ended.contains(&json!(user).to_string())));
        if signal == "TERM" {
            // Those who were being answered were, and it is known what came of it.
            let of_this = |user: &&String| user.starts_with(&format!("\"{round}-"));
            let [bans, begun] =
                [&bans, &begun].map(|set| set.iter().filter(of_this).collect::<BTreeSet<_>>());
            assert_eq!(bans, begun);
            assert_eq!(bans, ended.iter().filter(of_this).collect());
        }
        daemon.signal("TERM");
        daemon.end();
    }
}

#[tokio::test]
async fn a_banned_user_is_out_and_stays_out_after_a_restart_until_let_in_again() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&mut command(folder.path()));
    let (alice, mut events) = connect(&daemon).await;
    alice.register("alice", "secret").await.unwrap();
    alice.login("alice", "secret").await.unwrap();
    alice.create("den", Some("door"), 5, "where we meet").await.unwrap();
    let banned = said(folder.path(), &["ban", "user", "Alice", "--for", "30d", "--reason", "spam"]);
    assert!(
        banned.starts_with("Alice is banned until 2") && banned.ends_with("; connections closed: 1\n"),
        "{banned}"
    );
    // Her client comes back by itself, is refused, and stays away.
    let why = loop {
        if let Event::LoggedOut { reason, .. } = events.next().await.unwrap() {
            break reason;
        }
    };
    assert!(why.contains("you are banned from this registry for another 30 days: spam"), "{why}");
    alice.close().await;
    daemon.signal("KILL");
    daemon.end();

    let daemon = Daemon::start(&mut command(folder.path()));
    let (alice, _events) = connect(&daemon).await;
    let error = alice.login("alice", "secret").await.unwrap_err().to_string();
    assert!(error.contains("you are banned from this registry for another 30 days: spam"), "{error}");
    let users = told(folder.path(), &["users"]);
    assert_eq!(
        users,
        [json!({"user": "alice", "online": false, "banned": true, "deleted": false, "rooms": ["den"]})]
    );
    let rooms = told(folder.path(), &["rooms"]);
    let den = json!({"room": "den", "owner": "alice", "members": 1, "capacity": 5, "password": true,
        "description": "where we meet"});
    assert_eq!(rooms, [den]);
    let bans = told(folder.path(), &["bans"]);
    let [ban] = bans.as_slice() else { panic!("{bans:?}") };
    assert_eq!((&ban["user"], &ban["reason"]), (&json!("Alice"), &json!("spam")));
    let year = |field: &str| ban[field].as_str().unwrap().starts_with("20");
    assert!(year("since") && year("until"), "{ban}");
    assert!(said(folder.path(), &["bans"]).starts_with("USER   ADDRESS  SINCE "));

    assert_eq!(said(folder.path(), &["unban", "user", "alice"]), "alice is let in again\n");
    let (code, error) = refused(folder.path(), &["unban", "user", "alice"]);
    assert_eq!((code, error.as_str()), (Some(1), "p2pchat-registryd: alice is not banned\n"));
    alice.login("alice", "secret").await.unwrap();
}

#[tokio::test]
async fn a_deleted_accounts_name_stays_taken_and_so_does_what_looks_like_it() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&mut command(folder.path()));
    let (alice, mut events) = connect(&daemon).await;
    alice.register("alice", "secret").await.unwrap();
    alice.login("alice", "secret").await.unwrap();
    alice.create("den", None, 5, "").await.unwrap();
    assert_eq!(said(folder.path(), &["delete", "ALICE"]), "ALICE is deleted; the name stays taken\n");
    // Her client comes back by itself, is refused, and stays away.
    while !matches!(events.next().await.unwrap(), Event::LoggedOut { .. }) {}
    alice.close().await;
    let (code, error) = refused(folder.path(), &["delete", "alice"]);
    assert_eq!((code, error.as_str()), (Some(1), "p2pchat-registryd: there is no account alice\n"));
    daemon.signal("KILL");
    daemon.end();

    let daemon = Daemon::start(&mut command(folder.path()));
    let (somebody, _events) = connect(&daemon).await;
    for name in ["alice", "Alice", "аlice"] {
        let error = somebody.register(name, "other").await.unwrap_err().to_string();
        assert!(error.contains("taken"), "{name}: {error}");
    }
    somebody.login("alice", "secret").await.unwrap_err();
    let users = told(folder.path(), &["users"]);
    let gone = json!({"user": "alice", "online": false, "banned": false, "deleted": true, "rooms": []});
    assert_eq!(users, [gone]);
    assert_eq!(told(folder.path(), &["rooms"]), Vec::<Value>::new());
    let audit = fs::read_to_string(folder.path().join("audit.jsonl")).unwrap();
    assert!(audit.contains(r#""verb":"delete""#), "{audit}");
}

#[test]
fn a_banned_network_gets_no_connection() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&mut command(folder.path()));
    let banned = told(folder.path(), &["ban", "address", "127.0.0.0/8"]).remove(0);
    assert_eq!((&banned["address"], &banned["until"]), (&json!("127.0.0.0/8"), &Value::Null));
    let mut stream = TcpStream::connect(&daemon.tcp).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "closed, and not a byte before");
    let status = told(folder.path(), &["status"]).remove(0);
    assert_eq!((&status["bans"], &status["refused_banned"]), (&json!(1), &json!(1)));

    for nonsense in [["address", "127.0.0.1/8"], ["address", "0.0.0.0/0"], ["user", "a b"]] {
        let output = ctl(folder.path(), &[["ban"].as_slice(), &nonsense].concat());
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
    assert_eq!(told(folder.path(), &["bans"]).len(), 1);
}

#[tokio::test]
async fn a_registry_that_drains_lets_nobody_in_waits_for_those_online_and_ends_well() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&mut command(folder.path()));
    let (alice, _events) = connect(&daemon).await;
    alice.register("alice", "secret").await.unwrap();
    alice.login("alice", "secret").await.unwrap();
    let (_nobody, mut nobodys_events) = connect(&daemon).await;
    let said = said(folder.path(), &["drain", "--within", "7d"]);
    assert!(said.contains("those online (1) are gone, or in 7d 0h"), "{said}");
    while !matches!(nobodys_events.next().await.unwrap(), Event::Fault { what, .. } if what.contains("about to end"))
    {
    }
    let told_to = Instant::now();
    while try_connect(&daemon).await.is_ok() {
        assert!(told_to.elapsed() < Duration::from_secs(30));
    }
    assert_eq!(told(folder.path(), &["status"])[0]["draining"], true);
    // Who is online isn't disturbed.
    alice.create("den", None, 2, "").await.unwrap();
    assert_eq!(told(folder.path(), &["sessions"]).len(), 1);
    alice.logout().await.unwrap();
    let (status, _, log) = daemon.end();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!folder.path().join("admin.sock").exists());
}

#[tokio::test]
async fn a_drain_ends_at_its_limit_whoever_is_online() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&mut command(folder.path()));
    let (alice, mut events) = connect(&daemon).await;
    alice.register("alice", "secret").await.unwrap();
    alice.login("alice", "secret").await.unwrap();
    said(folder.path(), &["drain", "--within", "7d"]);
    // Said again, the new limit counts.
    said(folder.path(), &["drain", "--within", "1s"]);
    let (status, ..) = daemon.end();
    assert_eq!(status.code(), Some(0));
    while !matches!(events.next().await.unwrap(), Event::Disconnected { .. }) {}
    let audit = fs::read_to_string(folder.path().join("audit.jsonl")).unwrap();
    assert_eq!(audit.matches("\"drain\"").count(), 4, "{audit}");
}

#[tokio::test]
async fn what_is_logged_changes_while_the_registry_runs() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&mut command(folder.path()));
    let (alice, _events) = connect(&daemon).await;
    alice.register("alice", "secret").await.unwrap();
    assert_eq!(said(folder.path(), &["log-level"]), "info\n");
    assert_eq!(
        said(folder.path(), &["log-level", "p2pchat_core=trace"]),
        "p2pchat_core=trace, which was info\n"
    );
    assert_eq!(told(folder.path(), &["status"])[0]["log_level"], "p2pchat_core=trace");
    alice.login("alice", "secret").await.unwrap();
    assert!(said(folder.path(), &["log-level", "off"]).starts_with("off, "));
    alice.create("den", None, 2, "").await.unwrap();
    let output = ctl(folder.path(), &["log-level", "loud"]);
    assert_eq!(output.status.code(), Some(2));
    daemon.signal("TERM");
    let (_, _, log) = daemon.end();
    let times = |what: &str| log.matches(what).count();
    assert!(times("verb=LOGIN") > 0 && times("verb=REGISTER") == 0 && times("verb=CREATE") == 0, "{log}");
    // The file has it all, whatever is logged.
    let audit = fs::read_to_string(folder.path().join("audit.jsonl")).unwrap();
    assert_eq!(audit.lines().count(), 4, "{audit}");
}
