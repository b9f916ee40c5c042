//! Terminals, and who sits in front of them.

use std::{
    env,
    fmt::{self, Write as _},
    io::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{
    PATIENCE,
    client::{Home, PASSWORD},
};

/// What the shell of a pane says when it waits.
pub(crate) const SHELL: &str = "shell>";

/// How often a screen is looked at.
const GLANCE: Duration = Duration::from_millis(30);

/// A tmux server of a test's own, with a terminal for each of its people; they end with it.
pub(crate) struct Desk {
    folder: TempDir,
}

impl Desk {
    /// None, if this machine has no tmux, which is said then, and fails if it has to be there.
    pub(crate) fn new() -> Option<Self> {
        let path = env::var_os("PATH").unwrap_or_default();
        if env::split_paths(&path).any(|folder| folder.join("tmux").is_file()) {
            return Some(Self { folder: tempfile::tempdir().unwrap() });
        }
        let test = thread::current().name().unwrap_or("?").to_owned();
        let line = format!("{test}: skipped: needs tmux");
        assert!(env::var_os("P2PCHAT_TERMINAL_REQUIRE").is_none(), "{line}");
        // Not by a macro, whose output is shown only of tests that fail.
        io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
        None
    }

    /// A terminal of so many columns and rows with a shell of `home`'s, who knows everybody's password.
    pub(crate) fn open<'a>(&'a self, home: &'a Home, name: &'a str, size: (u16, u16)) -> Pane<'a> {
        self.open_with(home, name, size, &[("P2PCHAT_PASSWORD", PASSWORD)])
    }

    /// The same with these variables, and without a password.
    pub(crate) fn open_with<'a>(
        &'a self,
        home: &'a Home,
        name: &'a str,
        (columns, rows): (u16, u16),
        variables: &[(&str, &str)],
    ) -> Pane<'a> {
        let programs = Path::new(env!("CARGO_BIN_EXE_p2pchat")).parent().unwrap().display();
        let mut command = self.tmux();
        command
            .args(["new-session", "-d", "-s", name])
            .args(["-x", &columns.to_string(), "-y", &rows.to_string()])
            // A server's environment is that of whoever started it: all of it is said here.
            .args(["env", "-i", "TERM=tmux-256color", "LC_ALL=C.UTF-8", "TZ=UTC"])
            .args([format!("PATH={programs}:/usr/local/bin:/usr/bin:/bin"), format!("PS1={SHELL} ")])
            .args(home.variables().map(|(name, value)| format!("{name}={value}")))
            .args(variables.iter().map(|(name, value)| format!("{name}={value}")))
            .arg("sh")
            // What a program writes to the clipboard shows up in tmux's buffers.
            .args([";", "set-option", "-g", "set-clipboard", "on"])
            // And what it takes for a window's name shows up there, while tmux gives none of its own.
            .args([";", "set-option", "-g", "allow-rename", "on"])
            .args([";", "set-option", "-g", "automatic-rename", "off"]);
        finish(&mut command);
        let pane = Pane { desk: self, home, name };
        pane.see(SHELL);
        pane
    }

    fn tmux(&self) -> Command {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(self.folder.path().join("tmux")).args(["-u", "-f", "/dev/null"]);
        command.env_remove("TMUX").env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        command
    }

    fn names(&self) -> Vec<String> {
        let listed = finish(self.tmux().args(["list-sessions", "-F", "#{session_name}"]));
        listed.lines().map(str::to_owned).collect()
    }

    fn capture(&self, name: &str, flags: &[&str]) -> String {
        finish(self.tmux().args(["capture-pane", "-p", "-t", &format!("={name}:")]).args(flags))
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // Nothing runs if nothing was opened.
        drop(self.tmux().arg("kill-server").stderr(Stdio::null()).status());
    }
}

/// What it writes; it has to do what it is asked for.
fn finish(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A terminal, and who sits in front of it.
#[derive(Clone, Copy)]
pub(crate) struct Pane<'a> {
    desk: &'a Desk,
    home: &'a Home,
    name: &'a str,
}

impl<'a> Pane<'a> {
    pub(crate) fn name(&self) -> &'a str {
        self.name
    }

    /// Whose it is.
    pub(crate) fn home(&self) -> &'a Home {
        self.home
    }

    /// The registry that is used here.
    pub(crate) fn registry(&self) -> SocketAddr {
        self.home.registry()
    }

    /// Types a text, key by key.
    pub(crate) fn type_in(&self, text: &str) {
        self.tmux(&["send-keys", "-l", "-t", &self.target(), "--", text]);
    }

    /// Types a line, to its end.
    pub(crate) fn enter(&self, line: &str) {
        self.type_in(line);
        self.press("Enter");
    }

    /// Presses a key, by tmux's name for it.
    pub(crate) fn press(&self, key: &str) {
        self.tmux(&["send-keys", "-t", &self.target(), key]);
    }

    /// Pastes a text, bracketed if the program wants that.
    pub(crate) fn paste(&self, text: &str) {
        let buffer = format!("for-{}", self.name);
        self.tmux(&["set-buffer", "-b", &buffer, "--", text]);
        self.tmux(&["paste-buffer", "-p", "-r", "-d", "-b", &buffer, "-t", &self.target()]);
    }

    /// Gives the terminal another size.
    pub(crate) fn resize(&self, (columns, rows): (u16, u16)) {
        let size = ["-x", &columns.to_string(), "-y", &rows.to_string()].map(str::to_owned);
        finish(self.desk.tmux().args(["resize-window", "-t", &self.target()]).args(size));
    }

    /// Writes to the terminal behind the program's back.
    pub(crate) fn scribble(&self, text: &str) {
        std::fs::write(self.ask("#{pane_tty}"), text).unwrap();
    }

    /// What tmux knows of the pane.
    pub(crate) fn ask(&self, format: &str) -> String {
        self.tmux(&["display-message", "-p", "-t", &self.target(), format]).trim_end().to_owned()
    }

    /// From now on keeps what programs write here, for [`recorded`](Self::recorded).
    pub(crate) fn record(&self) {
        let file = self.recording();
        std::fs::write(&file, "").unwrap();
        self.tmux(&["pipe-pane", "-t", &self.target(), &format!("exec cat > '{}'", file.display())]);
    }

    /// Byte for byte what programs have written here since then.
    pub(crate) fn recorded(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.recording()).unwrap()).into_owned()
    }

    fn recording(&self) -> PathBuf {
        self.desk.folder.path().join(format!("{}.bytes", self.name))
    }

    /// What programs have put on the clipboard.
    pub(crate) fn clipboard(&self) -> String {
        self.tmux(&["list-buffers", "-F", "#{buffer_sample}"])
    }

    /// What stands on the screen.
    pub(crate) fn screen(&self) -> Screen {
        Screen::of(&self.desk.capture(self.name, &[]))
    }

    /// The same with what makes colours.
    pub(crate) fn painted(&self) -> String {
        self.desk.capture(self.name, &["-e"])
    }

    /// How many sequences set a colour; 39 and 49 take one back.
    pub(crate) fn colours(&self) -> usize {
        let painted = self.painted();
        let sequences = painted.split("\x1b[").skip(1).filter_map(|rest| rest.split_once('m'));
        sequences
            .flat_map(|(numbers, _)| numbers.split(';'))
            .filter_map(|number| number.parse::<u8>().ok())
            .filter(|number| matches!(number, 30..=38 | 40..=48 | 90..=97 | 100..=107))
            .count()
    }

    /// What stands on the screen once it has stood there for a while.
    pub(crate) fn still(&self) -> Screen {
        let mut before = self.screen();
        let mut since = Instant::now();
        self.until("a screen that stands still", |now| {
            if *now != before {
                (before, since) = (now.clone(), Instant::now());
            }
            since.elapsed() >= GLANCE * 10
        })
    }

    /// Waits until it is so; what stands there then.
    pub(crate) fn until(&self, what: &str, mut is_so: impl FnMut(&Screen) -> bool) -> Screen {
        let deadline = Instant::now() + PATIENCE;
        let mut before = None;
        loop {
            let screen = self.screen();
            // Twice the same: one look may come in the midst of a drawing.
            if before.as_ref() == Some(&screen) && is_so(&screen) {
                return screen;
            }
            before = Some(screen);
            assert!(
                Instant::now() < deadline,
                "{}: not within {PATIENCE:?}: {what}\n{}",
                self.name,
                self.all()
            );
            thread::sleep(GLANCE);
        }
    }

    /// Waits until a row has it.
    pub(crate) fn see(&self, what: &str) -> Screen {
        self.until(&format!("{what:?} stands there"), |screen| screen.has(what))
    }

    /// Waits until no row has it.
    pub(crate) fn see_gone(&self, what: &str) -> Screen {
        self.until(&format!("{what:?} is gone"), |screen| !screen.has(what))
    }

    /// No row has it now or within that time.
    pub(crate) fn never_sees(&self, what: &str, within: Duration) {
        let end = Instant::now() + within;
        while Instant::now() < end {
            assert!(!self.screen().has(what), "{} sees {what:?}\n{}", self.name, self.all());
            thread::sleep(GLANCE);
        }
    }

    /// What everybody sees, for whoever has to find out what went wrong.
    fn all(&self) -> String {
        let mut all = String::new();
        for name in self.desk.names() {
            write!(all, "{name}:\n{}", Screen::of(&self.desk.capture(&name, &[]))).unwrap();
        }
        all
    }

    fn target(&self) -> String {
        format!("={}:", self.name)
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        finish(self.desk.tmux().args(arguments))
    }
}

/// A screen at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Screen {
    /// From the top, without what is blank at their ends.
    pub(crate) rows: Vec<String>,
}

impl Screen {
    fn of(capture: &str) -> Self {
        Self { rows: capture.lines().map(|row| row.trim_end().to_owned()).collect() }
    }

    /// True if a row has it.
    pub(crate) fn has(&self, what: &str) -> bool {
        self.rows.iter().any(|row| row.contains(what))
    }

    /// The first row that has it.
    pub(crate) fn row(&self, what: &str) -> &str {
        self.rows.iter().find(|row| row.contains(what)).unwrap_or_else(|| panic!("no {what:?} in\n{self}"))
    }

    /// How many rows have it.
    pub(crate) fn count(&self, what: &str) -> usize {
        self.rows.iter().filter(|row| row.contains(what)).count()
    }
}

impl fmt::Display for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            writeln!(f, "│{row}")?;
        }
        Ok(())
    }
}
