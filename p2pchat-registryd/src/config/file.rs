//! The TOML file: what is right in it, and each thing that is wrong.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::{Deserializer, Spanned, de::DeTable};

use super::{
    ConfigError, Settings,
    definition::{Definition, definitions},
};

/// A configuration file.
#[derive(Debug, Default)]
pub(crate) struct File {
    path: PathBuf,
    entries: Vec<Entry>,
    errors: Vec<ConfigError>,
}

/// A setting that makes sense by itself.
#[derive(Debug)]
struct Entry {
    key: String,
    line: usize,
    /// It alone.
    setting: Settings,
}

impl File {
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.into(), source })?;
        Ok(Self::parse(path, &text))
    }

    /// Takes `text`, which is the file's at `path`.
    pub(crate) fn parse(path: &Path, text: &str) -> Self {
        let lines = Lines::of(text);
        let mut file = Self { path: path.into(), ..Self::default() };
        let (table, errors) = DeTable::parse_recoverable(text);
        // What is no TOML leaves values behind that nobody wrote.
        let garbled: Vec<_> = errors.iter().map(|error| lines.number(error.span())).collect();
        for error in errors {
            let line = lines.number(error.span());
            let key = lines.text(line).split_once('=').map(|(key, _)| key.trim().to_owned());
            file.error(line, key, error.message());
        }
        let settings = definitions();
        let span = table.span();
        for (key, value) in table.into_inner() {
            let line = lines.number(Some(key.span()));
            if !garbled.contains(&line) {
                let name = key.get_ref().to_string();
                let alone = Spanned::new(span.clone(), DeTable::from_iter([(key, value)]));
                file.entry(line, name, alone, &settings);
            }
        }
        file.entries.sort_by_key(|entry| entry.line);
        file.errors.sort_by_key(|error| if let ConfigError::File { line, .. } = error { *line } else { 0 });
        file
    }

    fn entry(&mut self, line: usize, key: String, alone: Spanned<DeTable<'_>>, settings: &[Definition]) {
        let Some(definition) = settings.iter().find(|definition| definition.key == key) else {
            let problem = unknown(&key, settings);
            return self.error(line, Some(key), &problem);
        };
        match Settings::deserialize(Deserializer::from(alone)) {
            Ok(setting) => self.entries.push(Entry { key, line, setting }),
            Err(error) => {
                let example = definition.line(&definition.example());
                let problem = format!("{}; for example: {example}", error.message().trim_end());
                self.error(line, Some(key), &problem);
            }
        }
    }

    fn error(&mut self, line: usize, key: Option<String>, problem: &str) {
        // One line each, whatever is quoted in it.
        let problem = problem.replace('\n', "; ");
        self.errors.push(ConfigError::File { path: self.path.clone(), line, key, problem });
    }

    /// What is right in it.
    pub(crate) fn settings(&self) -> Settings {
        self.entries.iter().fold(Settings::default(), |all, entry| all.or(entry.setting.clone()))
    }

    /// Its settings, if all of it is right.
    pub(crate) fn into_settings(self) -> Result<Settings, ConfigError> {
        let settings = self.settings();
        ConfigError::from_list(self.errors).map_or(Ok(settings), Err)
    }

    /// What is wrong in the file, and then what is wrong with its settings beside those of the `flags`, which go before
    /// them: each with its place if it has one here.
    pub(crate) fn with_its_errors(self, flags: &Settings, of_settings: Vec<ConfigError>) -> Vec<ConfigError> {
        let Self { path, entries, mut errors } = self;
        let understood = errors.is_empty();
        let of_settings =
            of_settings.into_iter().filter(|error| understood || !error.is_for_want_of_another());
        errors.extend(of_settings.map(|error| {
            let place = entries.iter().find(|entry| {
                error.key() == Some(&entry.key) && flags.clone().or(entry.setting.clone()) != *flags
            });
            match place {
                Some(entry) => {
                    ConfigError::InFile { path: path.clone(), line: entry.line, source: Box::new(error) }
                }
                None => error,
            }
        }));
        errors
    }
}

/// Where the lines of a text begin.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let after = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { text, starts: [0].into_iter().chain(after).collect() }
    }

    /// The line, from 1, on which something starts.
    fn number(&self, span: Option<Range<usize>>) -> usize {
        let start = span.map_or(0, |span| span.start);
        self.starts.partition_point(|&line| line <= start).max(1)
    }

    fn text(&self, number: usize) -> &'a str {
        let start = self.starts.get(number.saturating_sub(1)).copied().unwrap_or_default();
        self.text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default()
    }
}

/// What to say of a name that is no setting's.
fn unknown(name: &str, settings: &[Definition]) -> String {
    let likeness = |setting: &&Definition| strsim::jaro_winkler(&setting.key, name);
    let nearest = settings.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    let advice = match nearest.filter(|setting| likeness(setting) > 0.8) {
        Some(setting) => format!("write {}", setting.key),
        None => {
            let names: Vec<_> = settings.iter().map(|setting| setting.key.as_str()).collect();
            format!("the settings are {}", names.join(", "))
        }
    };
    format!("unknown field `{name}`: {advice}")
}
