//! The command line.

mod history;

use std::{ffi::OsString, net::Ipv6Addr, path::PathBuf, time::Duration};

use clap::{
    ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum,
    builder::{BoolishValueParser, FalseyValueParser},
    error::{ContextKind, ContextValue},
    parser::ValueSource,
};

use crate::{
    config::Config,
    output::{Tone, write_stderr},
};

pub(crate) use history::History;

const EXAMPLES: &str = "\
Examples:
  p2pchat --registry chat.example.org          ask for the rest, then chat
  p2pchat --registry 127.0.0.1 --user alice    on the same machine, as alice
  p2pchat --plain                              a prompt instead of the full screen
  p2pchat --menu                               numbered menus instead of commands
  p2pchat --registry chat.example.org --user alice history --with bob --last 20

Said once, in a file (then p2pchat alone is enough, and p2pchat -P work is somebody else):
  p2pchat config default > ~/.config/p2pchat/config.toml
  p2pchat config check

In scripts (the password comes from a file or from $P2PCHAT_PASSWORD, never from an argument):
  export P2PCHAT_REGISTRY=chat.example.org:15600 P2PCHAT_USER=backup-bot
  p2pchat --password-file bot.key register
  p2pchat --password-file bot.key --invite-file code register
  p2pchat --password-file bot.key send alice \"backup done\"
  p2pchat --password-file bot.key send-file alice backup.tar.gz
  p2pchat --password-file bot.key say operators \"backup done\"
  p2pchat --password-file bot.key listen --json | jq -r 'select(.text).text'
  p2pchat --password-file bot.key peers --detailed --json

A room as a pipe (-q leaves nothing on standard error but what went wrong):
  tail -f app.log | p2pchat -q -P bot pipe operators
  p2pchat -P bot pipe --keep operators < /dev/null > operators.log

Exit codes:
  0  done                               4  wrong username or password, or logged in elsewhere
  1  failed, or refused                 5  the user is not online, or does not exist
  2  the command line is wrong          6  declined, or not delivered
  3  the registry can't be reached      7  somebody took too long
     or trusted";

const DOCTOR: &str = "\
Examples:
  p2pchat doctor                               without a user: as far as the registry
  p2pchat --user alice --password-file FILE doctor
  p2pchat --user alice --password-file FILE --peer-port 4000 doctor --with bob

With a user and a password it logs in, as any client does: a session of yours that is alive
elsewhere is left alone, one that is parked or has been silent for some seconds ends by it.

The exit code is 0 if nothing failed, else that of what failed first: 2 settings, 3 the
registry, 4 the login, 1 anything else. A warning is no failure.";

/// Talk to people directly: a registry introduces you, then messages go from peer to peer.
///
/// Started plainly, p2pchat asks for what it lacks and opens the full screen, where /help lists what can be typed and ? the
/// keys.
#[derive(Debug, Parser)]
#[command(name = "p2pchat", version, after_help = EXAMPLES, max_term_width = 110)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Option<Subject>,
}

impl Arguments {
    /// From a command line and the environment, with which of them were given: what wasn't is the configuration's to say.
    pub(crate) fn of<T: Into<OsString> + Clone>(
        line: impl IntoIterator<Item = T>,
    ) -> Result<(Self, Given), clap::Error> {
        let matches = Self::command().try_get_matches_from(line).map_err(about_registry)?;
        let arguments =
            Self::from_arg_matches(&matches).map_err(|error| error.format(&mut Self::command()))?;
        Ok((arguments, Given(matches)))
    }
}

/// An address where a command should be is the registry's, as most programs would take it.
fn about_registry(mut error: clap::Error) -> clap::Error {
    if let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand)
        && (word.contains(['.', ':']) || word == "localhost")
    {
        let tip = format!("a registry's address follows an option: p2pchat --registry {word}");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

/// Which options the command line or the environment has.
#[derive(Debug, Default)]
pub(crate) struct Given(ArgMatches);

impl Given {
    /// True if it has that one, by its field's name.
    pub(crate) fn has(&self, option: &str) -> bool {
        matches!(self.0.value_source(option), Some(ValueSource::CommandLine | ValueSource::EnvVariable))
    }
}

/// What the program is to be about.
#[derive(Debug, Subcommand)]
pub(crate) enum Subject {
    #[command(flatten)]
    People(Command),
    #[command(flatten)]
    Itself(About),
    /// Look after the configuration file.
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// What it prints about itself, from these definitions.
#[derive(Debug, Subcommand)]
pub(crate) enum About {
    /// Print what completes commands in your shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write it to a folder with those of all commands.
    Man {
        /// Made if it isn't there.
        folder: Option<PathBuf>,
    },
}

/// What is to be done with the configuration file.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print a file with each setting, its default and what it means, to start from.
    Default,
    /// Print where the file is, or would be.
    Path,
    /// Say what is wrong with the file, or that nothing is.
    Check,
}

/// What every mode understands.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Who, where and how")]
pub(crate) struct Global {
    /// The registry's address; the port is 15600 unless given.
    #[arg(long, global = true, value_name = "HOST[:PORT]", env = "P2PCHAT_REGISTRY", value_parser = tcp_address)]
    pub(crate) registry: Option<Address>,
    /// Where the registry takes keep-alives [default: the registry's host, port 15500].
    #[arg(long, global = true, value_name = "HOST[:PORT]", env = "P2PCHAT_REGISTRY_UDP", value_parser = udp_address)]
    pub(crate) registry_udp: Option<Address>,
    /// Your username.
    #[arg(long, global = true, value_name = "NAME", env = "P2PCHAT_USER")]
    pub(crate) user: Option<String>,
    /// A file whose first line is your password [else: $P2PCHAT_PASSWORD, else you are asked].
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// The code of your invitation, for a registry that wants one with a new account.
    #[arg(long, global = true, value_name = "CODE", env = "P2PCHAT_INVITE", hide_env_values = true)]
    pub(crate) invite: Option<String>,
    /// A file whose first line is that code, which nobody else on this machine then sees among the processes.
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "invite")]
    pub(crate) invite_file: Option<PathBuf>,
    /// The port on which other peers reach you, 1024 or above; 0 takes a free one.
    #[arg(long, global = true, value_name = "PORT", default_value_t = 0, value_parser = peer_port)]
    pub(crate) peer_port: u16,
    /// Where known registries, known people, whom you have blocked, your link keys and what was said are kept [default: p2pchat in your data folder].
    #[arg(long, global = true, value_name = "DIR", env = "P2PCHAT_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Numbered menus instead of the full screen.
    #[arg(long)]
    pub(crate) menu: bool,
    /// A prompt instead of the full screen, as for screen readers and pipes; it is there by itself where there is no terminal.
    #[arg(long, conflicts_with = "menu")]
    pub(crate) plain: bool,
    /// Trust only a registry whose certificate an authority in this PEM file has signed.
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "fingerprint")]
    pub(crate) ca: Option<PathBuf>,
    /// Trust only the registry with this certificate.
    ///
    /// The registry prints it when it starts. Without --ca and --fingerprint a registry is trusted when it is first met,
    /// and has to have the same certificate from then on.
    #[arg(long, global = true, value_name = "sha256:HEX")]
    pub(crate) fingerprint: Option<String>,
    /// Talk TLS 1.2 to a registry that has no 1.3.
    #[arg(long, global = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value = "false", hide_default_value = true, hide_possible_values = true, value_parser = BoolishValueParser::new())]
    pub(crate) tls12: bool,
    /// After how many seconds without need of the registry to close the connection to it: you stay online and are called back
    /// when something happens. Should your computer stop meanwhile, others see that up to two minutes later.
    #[arg(long, global = true, value_name = "SECONDS|never", env = "P2PCHAT_PARK", default_value = "never", value_parser = park)]
    pub(crate) park: Park,
    /// Talk only to people whose programs encrypt. Otherwise a chat in the clear is possible, and is marked.
    #[arg(long, global = true, env = "P2PCHAT_ENCRYPTED_ONLY", value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", default_value = "false", hide_default_value = true, hide_possible_values = true,
        value_parser = FalseyValueParser::new())]
    pub(crate) encrypted_only: bool,
    /// A file whose first line is your link key's passphrase, if it has one [else: $P2PCHAT_KEY_PASSPHRASE, else you are asked].
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) key_passphrase_file: Option<PathBuf>,
    /// When to use colours.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorChoice,
    /// Write a log to this file; $RUST_LOG says how much.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// The configuration file [default: p2pchat/config.toml in your configuration folder].
    #[arg(long = "config", global = true, value_name = "FILE", env = "P2PCHAT_CONFIG")]
    pub(crate) config_file: Option<PathBuf>,
    /// Use this profile of the configuration file.
    #[arg(long, short = 'P', global = true, value_name = "NAME", env = "P2PCHAT_PROFILE")]
    pub(crate) profile: Option<String>,
    /// Say nothing on standard error but what went wrong.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// What the configuration file says besides.
    #[arg(skip)]
    pub(crate) config: Config,
}

impl Global {
    /// Tells the user on standard error what is to be known, unless it is to be quiet.
    pub(crate) fn notice(&self, text: &str) {
        if !self.quiet {
            write_stderr(self.color, Tone::Notice, text);
        }
    }
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do once, for scripts.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create an account.
    Register,
    /// Say where a user can be reached.
    Search {
        /// Whom to look for.
        username: String,
        /// Print a JSON object.
        #[arg(long)]
        json: bool,
    },
    /// List who is online.
    Peers {
        /// With a room, port and address each.
        #[arg(long)]
        detailed: bool,
        /// Print a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// List the rooms with what they are about.
    Rooms {
        /// Names alone.
        #[arg(long)]
        names: bool,
        /// Print a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// List the members of a room of yours who are online.
    Members {
        /// Which room.
        room: String,
        /// Print a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Ask somebody for a chat, send one message once they accept, and wait until it has arrived.
    Send {
        /// To whom.
        username: String,
        /// What to say, to the end of the line: options come before it; `-` reads it from standard input.
        #[arg(required = true, allow_hyphen_values = true, trailing_var_arg = true)]
        text: Vec<String>,
        /// How many seconds they may take to accept.
        #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
        timeout: Duration,
    },
    /// Ask somebody for a chat, offer a file once they accept, and wait until they have all of it.
    SendFile {
        /// To whom.
        username: String,
        /// Which file.
        file: PathBuf,
        /// How many seconds they may take to accept the chat; the file may take as long as it likes.
        #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
        timeout: Duration,
    },
    /// Send one message to everybody online in a room of yours, and wait until it has arrived.
    Say {
        /// Which room.
        room: String,
        /// What to say, to the end of the line: options come before it; `-` reads it from standard input.
        #[arg(required = true, allow_hyphen_values = true, trailing_var_arg = true)]
        text: Vec<String>,
    },
    /// Join a room with standard input and output: each line read is a message, each message a line printed.
    ///
    /// It ends when the input does and everybody has all of it. Blank lines are nothing. Who doesn't have something is said on
    /// standard error, and the exit code is 6 then. While the room is slow, no more is read than is under way.
    Pipe {
        /// Which room; you become a member if you are none.
        room: String,
        /// Print a JSON object a line, as `listen --json` does.
        #[arg(long)]
        json: bool,
        /// Go on printing when the input has ended.
        #[arg(long)]
        keep: bool,
        #[command(flatten)]
        password: RoomPassword,
    },
    /// Stay online and print what happens, until interrupted.
    Listen {
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
        /// Which chat requests to accept.
        #[arg(long, value_name = "WHICH", default_value = "all")]
        accept: Accept,
        /// Take all files that are offered, into this folder; otherwise they are declined.
        #[arg(long, value_name = "FOLDER")]
        files: Option<PathBuf>,
        /// Join this room first; may be repeated.
        #[arg(long, value_name = "ROOM")]
        room: Vec<String>,
        /// End when standard input does, too.
        #[arg(long)]
        until_eof: bool,
    },
    /// Look for what keeps you from talking, step by step, and say what to change.
    #[command(after_help = DOCTOR)]
    Doctor(Check),
    /// Show what you and somebody you have talked to compare, to know that nobody is between you. Asks no registry.
    Verify {
        /// Who.
        username: String,
    },
    /// Take a user's new key for theirs: they have changed their device, as you know from themselves. Asks no registry.
    Trust {
        /// Whose.
        username: String,
        /// The key, as it is shown where the change is reported; `none` to be met anew.
        key: String,
    },
    /// Hear nothing of a user any more, and say nothing to them, in chats and in rooms; they aren't told. Asks no registry.
    Block {
        /// Whom.
        username: String,
    },
    /// Talk to a user again who was blocked. Asks no registry.
    Unblock {
        /// Whom.
        username: String,
    },
    /// List whom you have blocked. Asks no registry.
    Blocked {
        /// Print a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Print what was said, as far as it is kept on this machine, oldest first; or forget it. Asks no registry.
    History(History),
    /// Show your own link key and the file that it is in; or put it under a passphrase. Asks no registry.
    Key {
        /// Ask for a new passphrase; an empty one is none.
        #[arg(long)]
        passphrase: bool,
    },
    /// Open a room.
    Create {
        /// Its name.
        room: String,
        /// What it is about.
        #[arg(default_value = "")]
        description: String,
        /// How many members it takes.
        #[arg(long, default_value_t = crate::session::DEFAULT_CAPACITY)]
        capacity: u32,
        #[command(flatten)]
        password: RoomPassword,
    },
    /// Become a member of a room.
    Join {
        /// Which room.
        room: String,
        #[command(flatten)]
        password: RoomPassword,
    },
    /// Stop being a member of a room.
    Leave {
        /// Which room.
        room: String,
    },
    /// Put a member out of a room of your own.
    Kick {
        /// Which room.
        room: String,
        /// Whom.
        username: String,
        /// Why, to the end of the line, as everybody in the room is told.
        #[arg(allow_hyphen_values = true, trailing_var_arg = true)]
        reason: Vec<String>,
    },
    /// Put a user out of a room of your own, and keep them out.
    Ban {
        /// Which room.
        room: String,
        /// Whom.
        username: String,
        /// Why, to the end of the line, as everybody in the room is told.
        #[arg(allow_hyphen_values = true, trailing_var_arg = true)]
        reason: Vec<String>,
    },
    /// Let a user who was banned from a room of your own join it again.
    Unban {
        /// Which room.
        room: String,
        /// Whom.
        username: String,
    },
    /// List who is banned from a room of your own.
    Bans {
        /// Which room.
        room: String,
        /// Print a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Change a room of your own.
    #[command(group = clap::ArgGroup::new("setting").required(true).multiple(true))]
    Set {
        /// Which room.
        room: String,
        /// What it is about.
        #[arg(long, value_name = "TEXT", group = "setting")]
        description: Option<String>,
        /// How many members it takes, not fewer than it has.
        #[arg(long, value_name = "MEMBERS", group = "setting")]
        capacity: Option<u32>,
        /// A file whose first line is the room's new password.
        #[arg(long, value_name = "FILE", group = "setting", conflicts_with = "no_room_password")]
        room_password_file: Option<PathBuf>,
        /// Let everybody join without a password.
        #[arg(long, group = "setting")]
        no_room_password: bool,
        /// Hand it over to this member; done last.
        #[arg(long, value_name = "USERNAME", group = "setting")]
        owner: Option<String>,
    },
}

/// What `doctor` is to look at.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Have this user's program dial yours, which shows that others can get through. They are asked for a chat first.
    #[arg(long, value_name = "USERNAME", conflicts_with = "no_login")]
    pub(crate) with: Option<String>,
    /// How many seconds they may take to accept it.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub(crate) timeout: Duration,
    /// Don't log in, and leave out what only who is logged in can look at.
    #[arg(long)]
    pub(crate) no_login: bool,
    /// Print a JSON object for each step.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A room's password.
#[derive(Debug, Args)]
pub(crate) struct RoomPassword {
    /// A file whose first line is the room's password.
    #[arg(long, value_name = "FILE")]
    pub(crate) room_password_file: Option<PathBuf>,
}

/// Which chat requests `listen` accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Accept {
    /// Everybody's.
    All,
    /// Nobody's: they are declined.
    None,
}

/// After how long to do without the connection to the registry, if ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Park(pub(crate) Option<Duration>);

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// A name or an IP address, without brackets.
    pub(crate) host: String,
    /// The port.
    pub(crate) port: u16,
}

/// Where a registry listens for streams unless told otherwise.
const TCP_PORT: u16 = 15_600;
/// Where a registry listens for datagrams unless told otherwise.
const UDP_PORT: u16 = 15_500;

/// `HOST`, `HOST:PORT`, an IPv6 address, or one in brackets with or without a port.
pub(crate) fn tcp_address(text: &str) -> Result<Address, String> {
    address(text, TCP_PORT)
}

pub(crate) fn udp_address(text: &str) -> Result<Address, String> {
    address(text, UDP_PORT)
}

fn address(text: &str, default_port: u16) -> Result<Address, String> {
    let text = text.trim();
    let (host, port) =
        if let Some((host, after)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => return Err("after `]` comes nothing, or `:` and a port".to_owned()),
            }
        } else {
            match text.split_once(':') {
                Some((host, port)) if !port.contains(':') => (host, Some(port)),
                // Several colons without brackets are an IPv6 address, or nothing.
                Some(_) if text.parse::<Ipv6Addr>().is_err() => {
                    return Err("after the host comes nothing, or `:` and a port".to_owned());
                }
                _ => (text, None),
            }
        };
    if host.is_empty() || host.contains(char::is_whitespace) {
        return Err("a host name or an IP address is wanted".to_owned());
    }
    let port = match port {
        None => default_port,
        Some(port) => port
            .parse()
            .ok()
            .filter(|&port| port != 0)
            .ok_or_else(|| format!("`{port}` is no port: a number from 1 to 65535 is wanted"))?,
    };
    Ok(Address { host: host.to_owned(), port })
}

/// 0, or a port that is not a system service's.
pub(crate) fn peer_port(text: &str) -> Result<u16, String> {
    match text.trim().parse() {
        Ok(port @ (0 | 1_024..)) => Ok(port),
        _ => Err("a number from 1024 to 65535 is wanted, or 0 for a free port".to_owned()),
    }
}

pub(crate) fn park(text: &str) -> Result<Park, String> {
    match text {
        "never" => Ok(Park(None)),
        _ => seconds(text).map(|after| Park(Some(after))).map_err(|wanted| format!("{wanted}, or `never`")),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 1..=86_400) => Ok(Duration::from_secs(seconds)),
        _ => Err("a number from 1 to 86400 is wanted".to_owned()),
    }
}

#[cfg(test)]
mod tests;
