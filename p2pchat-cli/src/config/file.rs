//! The TOML file: what is right in it, and each thing that is wrong, with its place.

use std::{borrow::Cow, collections::BTreeMap, ops::Range, path::Path};

use serde::de::DeserializeOwned;
use toml::{
    Deserializer, Spanned,
    de::{DeTable, DeValue},
};

use super::{Config, Profile, values};
use crate::{
    exit::{Exit, Failure},
    nearest::nearest,
    sanitize,
};

/// A configuration file.
#[derive(Debug, Default)]
pub(crate) struct File {
    /// What holds for all profiles.
    pub(super) config: Config,
    /// The options at the top.
    pub(super) top: Profile,
    pub(super) profiles: BTreeMap<String, Profile>,
    /// What is wrong, in the order of the file.
    pub(super) problems: Vec<Problem>,
}

/// Something wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Problem {
    /// The line, from 1.
    pub(super) line: usize,
    /// The character in the line, from 1.
    pub(super) column: usize,
    pub(super) what: String,
}

/// The keys at the top that hold tables.
const SECTIONS: &[&str] = &["screen", "theme", "keys", "notify", "history", "browser", "profiles"];

/// What a colour can be given to.
const COLOURS: &[&str] = &["success", "error", "notice", "prompt", "registry", "mention", "link", "dim"];

type Table<'a> = Spanned<DeTable<'a>>;

impl File {
    /// Reads `text`, whose paths are taken from `folder`.
    pub(super) fn parse(text: &str, folder: &Path) -> Self {
        let (mut top, errors) = DeTable::parse_recoverable(text);
        let mut reader = Reader { text, problems: Vec::new() };
        for error in &errors {
            reader.problem(error.span(), error.message());
        }
        let mut file = Self::default();
        // What is left of a file that is no TOML was written by nobody.
        if errors.is_empty() {
            let mut section = |name| reader.table(take(top.get_mut(), name));
            let sections = [
                section("screen"),
                section("theme"),
                section("keys"),
                section("notify"),
                section("history"),
                section("browser"),
                section("profiles"),
            ];
            let [screen, theme, keys, notify, history, browser, profiles] = sections;
            file.config = Config {
                screen: reader.read(screen, &[]),
                theme: reader.colours(theme),
                keys: reader.read(keys, &[]),
                notify: reader.read(notify, &[]),
                history: reader.read(history, &[]),
                browser: reader.read(browser, &[]),
            };
            file.top = reader.profile(top, SECTIONS).at(folder);
            for (name, value) in profiles.into_iter().flat_map(Spanned::into_inner) {
                let name = name.into_inner().into_owned();
                if let Some(table) = reader.table(Some(value)) {
                    file.profiles.insert(name, reader.profile(table, &[]).at(folder));
                }
            }
        }
        file.problems = reader.problems;
        file.problems.sort();
        file
    }

    /// All that is wrong, a line each.
    pub(super) fn complaint(&self, path: &str) -> String {
        let line = |Problem { line, column, what }: &Problem| format!("{path}:{line}:{column}: {what}");
        self.problems.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// The options of the profile with that name over those at the top; without a name, the latter.
    pub(super) fn profile(&self, name: Option<&str>, path: &str) -> Result<Profile, Failure> {
        let Some(name) = name else { return Ok(self.top.clone()) };
        if let Some(profile) = self.profiles.get(name) {
            return Ok(profile.clone().over(self.top.clone()));
        }
        let names: Vec<_> = self.profiles.keys().map(|name| sanitize::line(name)).collect();
        let there = match names.is_empty() {
            true => "there are none".to_owned(),
            false => format!("there are {}", names.join(", ")),
        };
        let wanted = sanitize::line(name);
        Err(Failure::new(Exit::Usage, format!("no profile `{wanted}` in {path}: {there}")))
    }
}

fn take<'a>(table: &mut DeTable<'a>, name: &'static str) -> Option<Spanned<DeValue<'a>>> {
    table.remove(&Spanned::new(0..0, Cow::Borrowed(name)))
}

struct Reader<'a> {
    text: &'a str,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn problem(&mut self, span: Option<Range<usize>>, what: &str) {
        let before = self.text.get(..span.map_or(0, |span| span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
        // A line each, whatever is quoted in it.
        let what = sanitize::line(&what.trim_end().replace('\n', "; "));
        self.problems.push(Problem { line, column, what });
    }

    /// `value` if it is a table.
    fn table<'a>(&mut self, value: Option<Spanned<DeValue<'a>>>) -> Option<Table<'a>> {
        let value = value?;
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(table) => Some(Spanned::new(span, table)),
            _ => {
                self.problem(Some(span), "a table is wanted here, under a line like [name]");
                None
            }
        }
    }

    /// What is right in `table`; what is wrong is left out and noted. `beside`: what else could have been written there.
    fn read<'a, T: DeserializeOwned + Default>(
        &mut self,
        table: impl Into<Option<Table<'a>>>,
        beside: &[&str],
    ) -> T {
        let Some(mut table) = table.into() else { return T::default() };
        loop {
            let error = match T::deserialize(Deserializer::from(table.clone())) {
                Ok(value) => return value,
                Err(error) => error,
            };
            let span = error.span();
            self.problem(span.clone(), &said(error.message(), beside));
            let at = span.map_or(0, |span| span.start);
            let wrong = table
                .get_ref()
                .iter()
                .find(|(key, value)| (key.span().start..value.span().end).contains(&at));
            let Some(key) = wrong.map(|(key, _)| key.clone()) else { return T::default() };
            table.get_mut().remove(&key);
        }
    }

    fn profile(&mut self, table: Table<'_>, beside: &[&str]) -> Profile {
        let key = |name: &str| table.get_ref().keys().find(|key| key.get_ref() == name).map(Spanned::span);
        if let (Some(ca), Some(fingerprint)) = (key("ca"), key("fingerprint")) {
            let second = if ca.start > fingerprint.start { ca } else { fingerprint };
            self.problem(
                Some(second),
                "ca and fingerprint are two ways to trust a registry: give one of them",
            );
        }
        self.read(table, beside)
    }

    fn colours(&mut self, table: Option<Table<'_>>) -> BTreeMap<String, String> {
        for (name, value) in table.iter().flat_map(|table| table.get_ref().iter()) {
            if !COLOURS.contains(&name.get_ref().as_ref()) {
                self.problem(Some(name.span()), &unknown(name.get_ref(), COLOURS));
            }
            if let Some(problem) = value.get_ref().as_str().and_then(values::colour_problem) {
                self.problem(Some(value.span()), problem);
            }
        }
        self.read(table, &[])
    }
}

/// What is wrong, with advice if it is a name that doesn't exist.
fn said(message: &str, beside: &[&str]) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let Some(name) = quoted.next().filter(|_| message.starts_with("unknown field")) else {
        return message.to_owned();
    };
    // What mustn't stand in a file that people show each other.
    let secret = match name {
        "password" => Some("password_file"),
        "key_passphrase" | "passphrase" => Some("key_passphrase_file"),
        "invite" => Some("invite_file"),
        _ => None,
    };
    if let Some(file) = secret {
        return format!(
            "`{name}` has no place in this file: put it into one of its own and write {file} = \"PATH\""
        );
    }
    unknown(name, &quoted.chain(beside.iter().copied()).collect::<Vec<_>>())
}

fn unknown(name: &str, known: &[&str]) -> String {
    let advice = match nearest(name, known.iter().copied()) {
        Some(nearest) => format!("did you mean {nearest}?"),
        None => format!("there are {}", known.join(", ")),
    };
    format!("unknown setting `{name}`: {advice}")
}
