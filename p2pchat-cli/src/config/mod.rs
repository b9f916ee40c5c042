//! What the configuration file says: options for every start, by profiles, and how the full-screen client looks and behaves.

mod file;
mod profile;
mod values;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use etcetera::{BaseStrategy, choose_base_strategy};
use serde::Deserialize;

pub(crate) use self::{file::File, profile::Profile};
use crate::{
    args::{ConfigCommand, Given, Global},
    exit::{Exit, Failure},
    output::write_stdout,
    screen::key_problem,
};

/// What holds for all profiles, as the file says it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Config {
    /// How the full-screen client looks.
    pub(crate) screen: Screen,
    /// Colours other than the theme's, each checked to be one: `"red"`, `"#rrggbb"`.
    pub(crate) theme: BTreeMap<String, String>,
    /// Keys other than the usual: `"ctrl-n"` to `"next-chat"`, or to `"none"`.
    pub(crate) keys: BTreeMap<String, String>,
    /// What is drawn attention to, and how.
    pub(crate) notify: Notify,
    /// What is kept of what was said.
    pub(crate) history: History,
    /// What opens a link.
    pub(crate) browser: Browser,
}

/// How the full-screen client looks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Screen {
    /// For which background the colours are.
    pub(crate) theme: Theme,
    /// Whether clicks and the wheel are taken from the terminal.
    pub(crate) mouse: bool,
    /// The time before a message, in strftime's terms; checked, and without control characters.
    #[serde(deserialize_with = "values::time_format")]
    pub(crate) time: String,
    /// Columns of the list of chats; 0 hides it.
    #[serde(deserialize_with = "values::columns")]
    pub(crate) sidebar: u16,
    /// Columns of the list of members; 0 hides it.
    #[serde(deserialize_with = "values::columns")]
    pub(crate) members: u16,
    /// Whose chat requests are accepted without asking.
    pub(crate) accept: Accept,
}

/// For which background the colours are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Theme {
    /// A dark one.
    #[default]
    Dark,
    /// A light one.
    Light,
    /// No colours.
    None,
}

/// Whose chat requests are accepted without asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Accept {
    /// Nobody's.
    Ask,
    /// Those of people whom the user has accepted before, with the same key.
    #[default]
    Known,
    /// Everybody's.
    All,
}

/// What is drawn attention to, and how.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Notify {
    /// How.
    pub(crate) by: NotifyBy,
    /// Messages in chats.
    pub(crate) direct: bool,
    /// The user's name, or one of `words`, in a room.
    pub(crate) mention: bool,
    /// Chat requests.
    pub(crate) request: bool,
    /// What else counts as a mention.
    pub(crate) words: Vec<String>,
}

/// How the user's attention is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NotifyBy {
    /// Not at all.
    None,
    /// By BEL.
    #[default]
    Bell,
    /// By OSC 9, as iTerm2, Windows Terminal and kitty have it.
    Osc9,
    /// By OSC 777, as urxvt, foot and VTE have it.
    Osc777,
}

/// What is kept of what was said.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct History {
    /// Whether anything is.
    pub(crate) keep: bool,
    /// For how many days; 0 is for ever.
    #[serde(deserialize_with = "values::days")]
    pub(crate) days: u32,
    /// How large it may get, in MiB, before the oldest goes.
    #[serde(deserialize_with = "values::megabytes")]
    pub(crate) megabytes: u32,
}

/// What opens a link.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Browser {
    /// A program and its arguments, to which the link is added; never a shell's line. Links aren't opened if it is empty.
    pub(crate) open: Vec<String>,
}

impl Default for Screen {
    fn default() -> Self {
        Self {
            theme: Theme::default(),
            mouse: false,
            time: "%H:%M".to_owned(),
            sidebar: 20,
            members: 16,
            accept: Accept::default(),
        }
    }
}

impl Default for Notify {
    fn default() -> Self {
        Self { by: NotifyBy::default(), direct: true, mention: true, request: true, words: Vec::new() }
    }
}

impl Default for History {
    fn default() -> Self {
        Self { keep: true, days: 0, megabytes: 256 }
    }
}

impl Default for Browser {
    fn default() -> Self {
        Self { open: OPEN.iter().map(|&word| word.to_owned()).collect() }
    }
}

/// What opens links on this system.
const OPEN: &[&str] = if cfg!(target_os = "macos") {
    &["open"]
} else if cfg!(windows) {
    &["explorer"]
} else {
    &["xdg-open"]
};

/// Each key with its default and what it means; as on systems that have `xdg-open`.
const DEFAULT: &str = include_str!("default.toml");

fn default_text() -> String {
    DEFAULT.replace(r#"["xdg-open"]"#, &format!("{OPEN:?}"))
}

/// Completes the options by what the file says, and takes the rest from it too. Of two places that say something the more
/// particular one holds: command line, environment, profile, top of the file.
pub(crate) fn load(global: &mut Global, given: &Given) -> Result<(), Failure> {
    let path = path(global)?;
    let file = match &path {
        Some(path) => read(path, global.config_file.is_some())?,
        None => File::default(),
    };
    let shown =
        path.as_deref().map_or_else(|| "the configuration".to_owned(), |path| path.display().to_string());
    if !file.problems.is_empty() {
        return Err(Failure::new(Exit::Usage, file.complaint(&shown)));
    }
    let profile = file.profile(global.profile.as_deref(), &shown)?;
    profile.complete(global, given);
    global.config = file.config;
    Ok(())
}

/// Does what `p2pchat config` is asked for; a file that makes no sense keeps nobody from it.
pub(crate) fn run(global: &Global, command: &ConfigCommand) -> Result<(), Failure> {
    let homeless = || Failure::new(Exit::Usage, "there is no home folder to look in: give --config");
    match command {
        ConfigCommand::Default => print(&default_text()),
        ConfigCommand::Path => {
            let path = path(global)?.ok_or_else(homeless)?;
            print(&format!("{}\n", path.display()))
        }
        ConfigCommand::Check => {
            let path = path(global)?.ok_or_else(homeless)?;
            // Whoever has something checked means a file that is there.
            let file = read(&path, true)?;
            let shown = path.display().to_string();
            if !file.problems.is_empty() {
                return Err(Failure::new(Exit::Usage, file.complaint(&shown)));
            }
            file.profile(global.profile.as_deref(), &shown)?;
            if let Some(problem) = key_problem(&file.config.keys) {
                return Err(Failure::new(Exit::Usage, format!("{shown}: {problem}")));
            }
            print(&format!("{shown}: nothing wrong\n"))
        }
    }
}

/// Where the file is, be it there or not; `None` for who has no home.
fn path(global: &Global) -> Result<Option<PathBuf>, Failure> {
    if let Some(path) = &global.config_file {
        return std::path::absolute(path).map(Some).map_err(|error| unreadable(path, &error));
    }
    let strategy = choose_base_strategy().ok();
    Ok(strategy.map(|strategy| strategy.config_dir().join("p2pchat").join("config.toml")))
}

fn read(path: &Path, wanted: bool) -> Result<File, Failure> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(File::parse(&text, path.parent().unwrap_or(Path::new(".")))),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !wanted => Ok(File::default()),
        Err(error) => Err(unreadable(path, &error)),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Usage, format!("can't read the configuration {}: {error}", path.display()))
}

fn print(text: &str) -> Result<(), Failure> {
    write_stdout(text).map_err(|error| Failure::of_output(&error))
}

#[cfg(test)]
mod tests;
