//! `p2pchat-registryd ctl`: asks a registry that runs.

mod client;
mod show;

use std::{
    io::{self, Write},
    path::{self, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Subcommand};
use p2pchat_core::{
    proto::{Reason, Username},
    registry::{BanTarget, Subnet},
};

use self::client::{Client, Reply};
use crate::{
    admin::{self, Request},
    config::{self, Config, ConfigError, Settings},
};

const AFTER_HELP: &str = "\
Exit status: 0 if it is done, 1 if the registry can't or won't, 2 for flags that make no sense, 3 if no registry can be \
asked. What went wrong, and what to do, is one line on standard error.

The socket is the registry's: run this as the registry's user, or as root. Which registry: --admin-socket, or the socket in \
--data-dir, or what --config says, as for the daemon itself, each also by its environment variable.

With --json, a list is a JSON object a line, and any other answer one object. Every change is in the audit log of the data \
folder, audit.jsonl.";

/// What an operator asks, and how.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Ctl {
    #[command(flatten)]
    which: Which,
    /// Answer in JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

/// Which registry.
#[derive(Debug, Clone, Args)]
struct Which {
    /// The registry's configuration file
    #[arg(long, value_name = "FILE", env = "P2PCHAT_REGISTRYD_CONFIG", global = true)]
    config: Option<PathBuf>,
    /// The registry's data folder
    #[arg(long, value_name = "DIR", env = "P2PCHAT_REGISTRYD_DATA_DIR", global = true)]
    data_dir: Option<PathBuf>,
    /// The registry's admin socket [default: admin.sock in the data folder]
    #[arg(long, value_name = "FILE", env = "P2PCHAT_REGISTRYD_ADMIN_SOCKET", global = true)]
    admin_socket: Option<PathBuf>,
}

#[derive(Debug, Clone, Subcommand)]
enum Verb {
    /// How the registry is doing
    Status,
    /// Who is online: from where, for how long, and for how long silent
    Sessions,
    /// Which accounts there are, and who of them is online
    Users,
    /// Which rooms there are
    Rooms,
    /// End a user's session. Their client may come back by itself; to keep it out, ban
    Kick {
        /// Who
        #[arg(value_parser = user)]
        user: Username,
        /// What they are told
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: Option<Reason>,
    },
    /// Delete an account for good: their session and memberships end. The name stays taken, and so does what looks like it
    Delete {
        /// Whose
        #[arg(value_parser = user)]
        user: Username,
    },
    /// Say who may register where not everybody may, by codes (setting registration)
    Invite {
        #[command(subcommand)]
        what: Invitation,
    },
    /// Which invitations there are, for how many registrations, until when
    Invites,
    /// Keep a user or a network out, across restarts, and end the sessions that they have
    Ban {
        #[command(subcommand)]
        target: Target,
        /// For how long, such as 90m, 12h or 30d [default: for ever]
        #[arg(long = "for", value_name = "TIME", value_parser = duration, global = true)]
        lasts: Option<Duration>,
        /// What they are told, and what bans shows
        #[arg(long, value_name = "TEXT", value_parser = reason, global = true)]
        reason: Option<Reason>,
    },
    /// Let a user or a network in again
    Unban {
        #[command(subcommand)]
        target: Target,
    },
    /// Who is kept out, since when, until when, and why
    Bans,
    /// Change what is logged, until the registry ends or is told otherwise; without FILTER, tell what is logged
    LogLevel {
        /// error, warn, info, debug or trace, also by part: info,p2pchat_core=debug
        #[arg(value_name = "FILTER", value_parser = admin::level_checked)]
        level: Option<String>,
    },
    /// End the registry gently: let nobody else in, wait until nobody is online any more, then end it with status 0
    Drain {
        /// How long those online may stay at most, such as 90s or 10m
        #[arg(long, value_name = "TIME", value_parser = duration, default_value = "60s")]
        within: Duration,
    },
    /// Read settings and certificate anew, and go by them; nobody's connection is closed
    ///
    /// The same as SIGHUP, but for the answer: what has changed, and what needs a restart. With anything wrong in the settings
    /// nothing is changed.
    Reload,
    /// Write all that the registry keeps to a new file, while it goes on serving; verify and restore take it
    ///
    /// Accounts with password hashes, rooms, memberships, bans: as they are when it begins. The certificate and the
    /// configuration aren't in it. The file is the registry's user's alone (mode 0600); nothing is overwritten.
    Backup {
        /// The new file
        #[arg(value_parser = new_file)]
        file: PathBuf,
    },
    /// Write all that the registry keeps to a new file as JSON, an object a line, while it goes on serving; import takes it
    Export {
        /// The new file
        #[arg(value_parser = new_file)]
        file: PathBuf,
    },
}

/// Who is kept out.
#[derive(Debug, Clone, Subcommand)]
enum Target {
    /// An account; the name can't be registered either
    User {
        /// Whose
        #[arg(value_parser = user)]
        user: Username,
    },
    /// All connections from an address or a network
    Address {
        /// Such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32
        #[arg(value_name = "ADDR[/LENGTH]")]
        subnet: Subnet,
    },
}

/// What becomes of an invitation.
#[derive(Debug, Clone, Subcommand)]
enum Invitation {
    /// Make a code, and show it this once: only its digest is kept
    Create {
        /// For how many registrations it is good
        #[arg(long, value_name = "COUNT", default_value_t = 1,
            value_parser = clap::value_parser!(u32).range(1..=i64::from(admin::MAX_USES)))]
        uses: u32,
        /// For how long, such as 90m, 12h or 30d [default: for ever]
        #[arg(long = "for", value_name = "TIME", value_parser = duration)]
        lasts: Option<Duration>,
        /// What invites shows, such as for whom it is
        #[arg(long, value_name = "TEXT", value_parser = note)]
        note: Option<Reason>,
    },
    /// Make a code good no longer
    Revoke {
        /// Which, as invites shows it
        #[arg(value_parser = invite_id)]
        id: String,
    },
}

impl From<Target> for BanTarget {
    fn from(target: Target) -> Self {
        match target {
            Target::User { user } => Self::User(user),
            Target::Address { subnet } => Self::Subnet(subnet),
        }
    }
}

impl Verb {
    fn request(&self) -> Request {
        match self.clone() {
            Self::Status => Request::Status,
            Self::Sessions => Request::Sessions,
            Self::Users => Request::Users,
            Self::Rooms => Request::Rooms,
            Self::Kick { user, reason } => Request::Kick { user, reason },
            Self::Delete { user } => Request::Delete { user },
            Self::Invite { what: Invitation::Create { uses, lasts, note } } => {
                Request::CreateInvite { uses, seconds: lasts.map(|lasts| lasts.as_secs()), note }
            }
            Self::Invite { what: Invitation::Revoke { id } } => Request::RevokeInvite { id },
            Self::Invites => Request::Invites,
            Self::Ban { target, lasts, reason } => {
                Request::Ban { target: target.into(), reason, seconds: lasts.map(|lasts| lasts.as_secs()) }
            }
            Self::Unban { target } => Request::Unban { target: target.into() },
            Self::Bans => Request::Bans,
            Self::LogLevel { level } => Request::LogLevel { level },
            Self::Drain { within } => Request::Drain { seconds: within.as_secs() },
            Self::Reload => Request::Reload,
            Self::Backup { file } => Request::Backup { file },
            Self::Export { file } => Request::Export { file },
        }
    }
}

fn user(name: &str) -> Result<Username, String> {
    Username::new(name).map_err(|problem| format!("a username {problem}"))
}

/// The daemon is in another folder.
fn new_file(path: &str) -> Result<PathBuf, String> {
    path::absolute(path).map_err(|error| error.to_string())
}

fn reason(text: &str) -> Result<Reason, String> {
    admin::reason(text).map_err(|problem| format!("a reason {problem}"))
}

fn note(text: &str) -> Result<Reason, String> {
    admin::reason(text).map_err(|problem| format!("a note {problem}"))
}

fn invite_id(text: &str) -> Result<String, String> {
    admin::invite_id(text).ok_or_else(|| admin::INVITE_ID.to_owned())
}

/// `90m`, `12h`, `30d`, `45s`, also together: `1d12h`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || {
        format!(
            "numbers with s, m, h or d are wanted, such as 90m or 1d12h, at most {} d",
            admin::MAX_SECONDS / 86_400
        )
    };
    let (mut total, mut number) = (0_u64, None::<u64>);
    for c in text.chars() {
        let unit = match (c, c.to_digit(10)) {
            (_, Some(digit)) => {
                let grown = number.unwrap_or(0).checked_mul(10).and_then(|n| n.checked_add(digit.into()));
                number = Some(grown.ok_or_else(wrong)?);
                continue;
            }
            ('s', _) => 1,
            ('m', _) => 60,
            ('h', _) => 3_600,
            ('d', _) => 86_400,
            _ => return Err(wrong()),
        };
        let seconds = number.take().and_then(|number| number.checked_mul(unit));
        total = seconds.and_then(|seconds| total.checked_add(seconds)).ok_or_else(wrong)?;
    }
    match number {
        None if (1..=admin::MAX_SECONDS).contains(&total) => Ok(Duration::from_secs(total)),
        _ => Err(wrong()),
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// It isn't known which registry is meant.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Nobody answers.
    #[error("{0}")]
    Unreachable(String),
    /// The registry can't or won't.
    #[error("{0}")]
    Refused(String),
    /// It is done, and has shown that what the registry keeps is damaged.
    #[error(
        "the backup was made of data that isn't sound, and restore would refuse it: problems that were found: {problems}"
    )]
    Unsound { problems: usize },
    /// The answer can't be shown.
    #[error("can't write the answer: {0}")]
    Output(#[from] io::Error),
}

impl Error {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Refused(_) | Self::Unsound { .. } | Self::Output(_) => 1,
            Self::Unreachable(_) => 3,
        }
    }
}

impl Ctl {
    pub(crate) fn run(&self) -> ExitCode {
        match self.ask(&mut io::stdout().lock()) {
            Ok(()) => ExitCode::SUCCESS,
            // Who reads no further has seen enough.
            Err(Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Err(error) => {
                _ = writeln!(io::stderr(), "p2pchat-registryd: {error}");
                ExitCode::from(error.exit_code())
            }
        }
    }

    fn ask(&self, output: &mut impl Write) -> Result<(), Error> {
        let request = self.verb.request().to_json();
        let mut client = Client::connect(&self.which.socket()?)?;
        if matches!(self.verb, Verb::Backup { .. } | Verb::Export { .. }) {
            client.wait_however_long()?;
        }
        client.send(&request)?;
        let mut items = Vec::new();
        loop {
            match client.receive()? {
                Reply::Item(item) if self.json => writeln!(output, "{item}")?,
                Reply::Item(item) => items.push(item),
                Reply::Error(error) => return Err(Error::Refused(show::harmless(&error.message))),
                Reply::Ok(done) => {
                    match (self.json, show::is_list(&done)) {
                        (true, true) => {}
                        (true, false) => writeln!(output, "{done}")?,
                        (false, _) => output.write_all(show::answer(&request, &items, &done).as_bytes())?,
                    }
                    output.flush()?;
                    return match show::unsound(&done) {
                        0 => Ok(()),
                        problems => Err(Error::Unsound { problems }),
                    };
                }
            }
        }
    }
}

impl Which {
    /// The daemon's own rules, as far as they concern this.
    fn socket(&self) -> Result<PathBuf, ConfigError> {
        let flags = Settings {
            data_dir: self.data_dir.clone(),
            admin_socket: self.admin_socket.clone(),
            ..Settings::default()
        };
        let file = match &self.config {
            Some(path) if flags.admin_socket.is_none() => config::File::read(path)?.settings(),
            _ => Settings::default(),
        };
        Config::admin_socket_of(&flags.or(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_numbers_with_units() {
        for (text, seconds) in
            [("45s", 45), ("90m", 5_400), ("12h", 43_200), ("1d12h", 129_600), ("36500d", 3_153_600_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "5", "m", "1h5", "0s", "-1h", "1 h", "1w", "36501d", "99999999999999999999d"] {
            assert!(duration(text).unwrap_err().contains("such as 90m"), "{text}");
        }
    }
}
