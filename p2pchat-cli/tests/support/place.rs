//! Where a process runs: behind another program that limits or moves it, with variables of its own.

use std::{path::Path, process::Command};

/// As the test itself runs, unless more is said.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place {
    wrapper: Vec<String>,
    variables: Vec<(String, String)>,
}

impl Place {
    /// Started by a program that takes its own place: the process that is known afterwards is the one meant.
    pub(crate) fn behind(wrapper: &[&str]) -> Self {
        Self { wrapper: wrapper.iter().map(|&word| word.to_owned()).collect(), variables: Vec::new() }
    }

    /// With a variable in its environment.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts `program` there.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = match self.wrapper.split_first() {
            Some((wrapper, arguments)) => {
                let mut command = Command::new(wrapper);
                command.args(arguments).arg(program.as_ref());
                command
            }
            None => Command::new(program.as_ref()),
        };
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}
