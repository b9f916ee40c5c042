//! The client in a process of its own, its keyboard and screen in the test's hands.

use std::{
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    daemon::{self, Daemon},
    place::Place,
    transcript::Transcript,
};

/// Everybody's password.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// Its SHA-256, which is what travels.
pub(crate) const PASSWORD_DIGEST: &str = "c4bbcb1fbec99d65bf59d85c8cb62ee2db963f0fe106f483d9afa73bd4e39a8a";

/// A user's computer: whom it trusts, and which registry it uses.
pub(crate) struct Home {
    place: Place,
    folder: TempDir,
    registry: SocketAddr,
    registry_udp: SocketAddr,
}

impl Home {
    /// That of somebody who never used a registry, and now uses this one.
    pub(crate) fn new(daemon: &Daemon) -> Self {
        Self::at(daemon.tcp, daemon.udp)
    }

    /// The same for any registry.
    pub(crate) fn at(registry: SocketAddr, registry_udp: SocketAddr) -> Self {
        Self { place: Place::default(), folder: tempfile::tempdir().unwrap(), registry, registry_udp }
    }

    /// The same computer, its programs run somewhere in particular from now on.
    pub(crate) fn moved(self, place: Place) -> Self {
        Self { place, ..self }
    }

    /// Where it keeps the certificates that it knows.
    pub(crate) fn known_registries(&self) -> PathBuf {
        self.folder.path().join("known_registries")
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What a shell on it has in its environment, so that whatever is started there is at home.
    pub(crate) fn variables(&self) -> [(&'static str, String); 4] {
        let folder = self.folder.path().to_str().unwrap();
        [
            ("HOME", folder.to_owned()),
            ("XDG_CONFIG_HOME", folder.to_owned()),
            ("P2PCHAT_DATA_DIR", folder.to_owned()),
            // A person is asked for the registry, but not for this.
            ("P2PCHAT_REGISTRY_UDP", self.registry_udp.to_string()),
        ]
    }

    /// The registry that it uses.
    pub(crate) fn registry(&self) -> SocketAddr {
        self.registry
    }

    /// Starts the client with these arguments.
    pub(crate) fn start(&self, arguments: &[&str]) -> Client {
        Client::spawn(self.command().env("P2PCHAT_PASSWORD", PASSWORD).args(arguments), arguments)
    }

    /// Starts it with a standard output that nobody reads.
    pub(crate) fn start_unread(&self, arguments: &[&str]) -> Child {
        let mut command = self.command();
        command.env("P2PCHAT_PASSWORD", PASSWORD).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Starts it without a password to take from somewhere.
    pub(crate) fn start_unprepared(&self, arguments: &[&str]) -> Client {
        Client::spawn(self.command().args(arguments), arguments)
    }

    /// Makes an account.
    pub(crate) fn register(&self, user: &str) {
        self.run(&["--user", user, "register"]).expect_code(0);
    }

    /// A user with an account, at the prompt.
    pub(crate) fn prompt(&self, user: &str) -> Client {
        self.register(user);
        let mut client = self.start(&["--user", user]);
        client.out.expect(&format!("logged in as {user}"));
        client
    }

    /// A user with an account who listens as a program would.
    pub(crate) fn listener(&self, user: &str, arguments: &[&str]) -> Client {
        self.register(user);
        let mut all = vec!["--user", user, "listen", "--json"];
        all.extend(arguments);
        let mut client = self.start(&all);
        client.expect_event("ready");
        client
    }

    /// Runs a one-shot command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        self.start(arguments).finish()
    }

    /// Runs a one-shot command with something to read.
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Outcome {
        let mut client = self.start(arguments);
        client.type_text(input);
        client.finish()
    }

    fn command(&self) -> Command {
        let mut command = self.place.command(env!("CARGO_BIN_EXE_p2pchat"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("P2PCHAT_")) {
            command.env_remove(name);
        }
        // Without the configuration of whoever runs the tests.
        command
            .env("XDG_CONFIG_HOME", self.folder.path())
            .args([
                "--registry",
                &self.registry.to_string(),
                "--registry-udp",
                &self.registry_udp.to_string(),
            ])
            .arg("--data-dir")
            .arg(self.folder.path());
        command
    }
}

/// A running client; killed when dropped.
pub(crate) struct Client {
    process: Child,
    keyboard: Option<ChildStdin>,
    /// Its standard output.
    pub(crate) out: Transcript,
    /// Its standard error.
    pub(crate) errors: Transcript,
}

impl Client {
    fn spawn(command: &mut Command, arguments: &[&str]) -> Self {
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let name = |stream: &str| format!("{stream} of p2pchat {}", arguments.join(" "));
        let out = Transcript::of(name("standard output"), process.stdout.take().unwrap());
        let errors = Transcript::of(name("standard error"), process.stderr.take().unwrap());
        Self { keyboard: process.stdin.take(), process, out, errors }
    }

    /// Types a line.
    pub(crate) fn type_line(&mut self, line: &str) {
        self.type_text(&format!("{line}\n"));
    }

    /// Types without ending the line.
    pub(crate) fn type_text(&mut self, text: &str) {
        let keyboard = self.keyboard.as_mut().unwrap();
        keyboard.write_all(text.as_bytes()).unwrap();
        keyboard.flush().unwrap();
    }

    /// The next event of that kind that `listen --json` prints.
    pub(crate) fn expect_event(&mut self, kind: &str) -> Value {
        loop {
            let line = self.out.expect("\n");
            let event: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            if event["event"] == kind {
                return event;
            }
        }
    }

    /// Sends it a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        daemon::signal(&self.process, name);
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// `kill -9`, and waits until it is dead.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// What it is written to by; nothing can be typed then.
    pub(crate) fn take_keyboard(&mut self) -> ChildStdin {
        self.keyboard.take().unwrap()
    }

    /// Lets it read to the end of its input, and end.
    pub(crate) fn finish(mut self) -> Outcome {
        self.keyboard = None;
        self.outcome()
    }

    /// How it ends, by itself.
    pub(crate) fn outcome(mut self) -> Outcome {
        let Some(status) = daemon::wait(&mut self.process) else {
            panic!("it doesn't end; {}\n{}", self.out, self.errors);
        };
        Outcome { code: status.code(), out: self.out.to_end(), errors: self.errors.to_end() }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Two people at their prompts, both with keys, open a chat.
pub(crate) fn open_chat(asker: &mut Client, name: &str, asked: &mut Client, other: &str) {
    asker.type_line(&format!("/chat {other}"));
    asked.out.expect(&format!("{name} wants to chat (encrypted, with their key)"));
    asked.type_line(&format!("/accept {name}"));
    for (client, with) in [(asked, name), (asker, other)] {
        client.out.expect(&format!("what you type now goes to {with}"));
        client.out.expect("this chat is encrypted");
    }
}

/// How a client has ended, and what it said.
#[derive(Debug)]
pub(crate) struct Outcome {
    code: Option<i32>,
    /// Its standard output.
    pub(crate) out: String,
    /// Its standard error.
    pub(crate) errors: String,
}

impl Outcome {
    /// Its exit code.
    pub(crate) fn code(&self) -> Option<i32> {
        self.code
    }

    /// It ended with this exit code.
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// It said so on standard error.
    pub(crate) fn expect_error(self, part: &str) -> Self {
        assert!(self.errors.contains(part), "{part:?} is missing in {self:#?}");
        self
    }

    /// Its standard output is one JSON value.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}
