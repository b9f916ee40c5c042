//! What the program says of itself: manual pages and completions, from the definitions of its arguments.

use std::{
    fs,
    io::{self, Write},
};

use clap::CommandFactory;

use crate::{
    args::{About, Arguments},
    exit::{Exit, Failure},
};

pub(crate) fn print(what: &About) -> Result<(), Failure> {
    // Nobody needs a page about `help`.
    let command = Arguments::command().disable_help_subcommand(true);
    let written = match what {
        About::Completions { shell } => {
            let (mut command, mut script) = (command, Vec::new());
            clap_complete::generate(*shell, &mut command, "p2pchat", &mut script);
            io::stdout().write_all(&script)
        }
        About::Man { folder: None } => clap_mangen::Man::new(command).render(&mut io::stdout()),
        About::Man { folder: Some(folder) } => {
            let made = fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command, folder));
            return made.map_err(|error| Failure::new(Exit::Failed, format!("can't write it: {error}")));
        }
    };
    written.map_err(|error| Failure::of_output(&error))
}
