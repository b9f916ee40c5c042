//! The command line: the daemon, and what its operator does beside it.

use std::{
    fmt, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{CommandFactory, Parser, Subcommand};

#[cfg(unix)]
use crate::ctl::Ctl;
use crate::{
    config::{Args, Config, Settings, template},
    daemon, init,
    offline::{self, Place},
};

const AFTER_HELP: &str = "\
Each setting is taken from its flag, else from its environment variable, else from the file of --config, else from its \
default. In the file a setting has the name of its flag:

    listen = \"0.0.0.0:15600\"
    udp-listen = \"0.0.0.0:15500\"
    registration = \"invite\"

Examples:
    p2pchat-registryd
        Serves this machine, and keeps its data in the user's data folder.
    p2pchat-registryd --listen 0.0.0.0:15600 --udp-listen 0.0.0.0:15500 --registration invite
        Serves whoever can reach this machine.
    p2pchat-registryd --data-dir /srv/chat --cert fullchain.pem --key privkey.pem
        Shows a certificate that an authority has signed.
    p2pchat-registryd init --data-dir /srv/chat --listen 0.0.0.0:15600 --udp-listen 0.0.0.0:15500 --registration invite
        Makes the folder, a certificate, and /srv/chat/registryd.toml with these settings.
    p2pchat-registryd check-config --config registryd.toml
        Says all that is wrong with the settings, and what to write instead.
    p2pchat-registryd ctl status
        How the registry is doing that runs here; ctl --help says what else can be asked.

Files in the data folder (mode 0700):
    registry.redb  accounts, rooms and memberships (mode 0600)
    admin.sock     where ctl asks; audit.jsonl is what was changed there
    cert.pem       the certificate made at the first start; clients know the registry by it
    key.pem        its private key (mode 0600)

When it is ready, one line on standard output says where: ready tcp=ADDR:PORT udp=ADDR:PORT fingerprint=sha256:HEX
(and metrics=ADDR:PORT, if they are told). All else goes to standard error. SIGTERM and SIGINT: tells the peers, flushes and ends; a second one ends at once.
Exit status: 0 after a signal, 1 if it can't start or go on, 2 for flags that make no sense.";

/// The p2pchat registry: where peers register, log in, and find each other and their rooms.
///
/// Needs no configuration: started plainly it makes its database and a self-signed certificate, and serves this machine.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "p2pchat-registryd",
    version,
    after_long_help = AFTER_HELP,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    #[command(flatten)]
    pub(crate) args: Args,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What else there is to do than serve.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Command {
    /// Say all that is wrong with the settings, and what to write instead; start and change nothing
    ///
    /// Looks at the file, the flags and the environment, and at what only this machine shows: whether certificate and key
    /// can be read and belong together, whether the data folder can be used, whether the addresses are its own, whether
    /// there can be as many connections. Run it as the user that the registry runs as.
    ///
    /// Exit status: 0 if a registry can start with them; 1 with a line on standard error for each thing that is wrong.
    CheckConfig(Args),
    /// Make the data folder, a certificate, and a commented configuration file with the settings that are given
    ///
    /// --config says where the file is to be; else it is registryd.toml in the data folder. Nothing that is there is
    /// overwritten: with a file in its place nothing is done, and a certificate in the folder is kept.
    Init(Args),
    /// Print a configuration file with the settings that are given, and every other one explained; start and change nothing
    PrintConfig(Settings),
    /// Print what completes commands in your shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write it to a folder with those of all commands
    Man {
        /// Made if it isn't there
        folder: Option<PathBuf>,
    },
    /// Check a database file, such as a backup, from end to end; change nothing
    ///
    /// Checks the file's own sums, reads every record, and compares those that speak of the same thing. A registry must not be
    /// using the file; to check one that runs, check a backup that ctl backup makes of it.
    ///
    /// Exit status: 0 if all is well; 1 with a line on standard error for each thing that isn't.
    Verify {
        /// The file, such as a backup, or registry.redb in a data folder
        file: PathBuf,
    },
    /// Verify a backup and put it into a data folder that has no database
    Restore {
        /// The backup
        file: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// Write all accounts, rooms, memberships and bans as JSON, an object a line
    ///
    /// Takes them from a backup, or from the data folder of a registry that isn't running. There are password hashes in it.
    Export {
        /// A new file, made readable by its owner alone [default: standard output]
        file: Option<PathBuf>,
        /// A backup to take them from, instead of the data folder
        #[arg(long, value_name = "BACKUP", conflicts_with = "data_dir")]
        from: Option<PathBuf>,
        #[command(flatten)]
        place: Place,
    },
    /// Make a database of what export has written, in a data folder that has none
    ///
    /// Exit status: 0 if all of it is there; 1 with a line on standard error for each thing that is wrong, and then nothing is.
    Import {
        /// The file
        file: PathBuf,
        #[command(flatten)]
        place: Place,
    },
    /// Ask a registry that runs on this machine: how it is doing, who is online; end sessions, ban
    #[cfg(unix)]
    Ctl(Ctl),
}

impl Cli {
    /// Does what was asked for. Errors go to standard error.
    pub fn run(&self) -> ExitCode {
        match &self.command {
            None => outcome(daemon::run(&self.args)),
            #[cfg(unix)]
            Some(Command::Ctl(ctl)) => ctl.run(),
            Some(Command::CheckConfig(args)) => check_config(args),
            Some(Command::PrintConfig(settings)) => print(template(settings).as_bytes()),
            Some(Command::Completions { shell }) => {
                let mut script = Vec::new();
                clap_complete::generate(*shell, &mut Self::command(), "p2pchat-registryd", &mut script);
                print(&script)
            }
            Some(Command::Man { folder }) => outcome(man(folder.as_deref())),
            Some(Command::Verify { file }) => said(offline::verify(file).map(Some)),
            Some(Command::Restore { file, place }) => said(offline::restore(file, place).map(Some)),
            Some(Command::Export { file, from, place }) => {
                said(offline::export(from.as_deref(), place, file.as_deref()))
            }
            Some(Command::Import { file, place }) => said(offline::import(file, place).map(Some)),
            Some(Command::Init(args)) => outcome(init::run(args).map(|made| {
                _ = writeln!(io::stdout(), "{made}");
            })),
        }
    }
}

/// One manual page, or all of them.
fn man(folder: Option<&Path>) -> io::Result<()> {
    match folder {
        None => clap_mangen::Man::new(Cli::command()).render(&mut io::stdout()),
        Some(folder) => {
            fs::create_dir_all(folder)?;
            clap_mangen::generate_to(Cli::command(), folder)
        }
    }
}

fn print(text: &[u8]) -> ExitCode {
    outcome(io::stdout().write_all(text))
}

fn outcome(result: Result<(), impl fmt::Display>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With standard error gone there is nobody left to be told.
            _ = writeln!(io::stderr(), "p2pchat-registryd: {error}");
            ExitCode::FAILURE
        }
    }
}

/// With errors of several lines, each stands for itself.
fn said(result: Result<Option<String>, offline::Error>) -> ExitCode {
    match result {
        Ok(done) => {
            offline::say(done.as_deref());
            ExitCode::SUCCESS
        }
        Err(error @ offline::Error::Unsound(_)) => {
            _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
        Err(error) => outcome(Err(error)),
    }
}

fn check_config(args: &Args) -> ExitCode {
    match Config::check(args) {
        Ok(_) => {
            let what = args.config.as_ref().map_or("the settings".into(), |file| file.display().to_string());
            _ = writeln!(io::stdout(), "{what}: fine");
            ExitCode::SUCCESS
        }
        Err(errors) => {
            for error in errors.into_list() {
                _ = writeln!(io::stderr(), "{error}");
            }
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
