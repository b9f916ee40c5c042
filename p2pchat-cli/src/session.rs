//! From the command line to a connection: where the registry is, whether to trust it, whose password.

use std::{
    fs, io,
    net::{Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use etcetera::{BaseStrategy, choose_base_strategy};
use p2pchat_core::{
    peer::{self, Event},
    tokio::{ClientConfig, Error, Events, Fingerprint, Held, Peer, TlsVersion, Trust},
};

use crate::{
    args::{Address, Global},
    exit::{Exit, Failure},
    keys::{self, KeyFile, Keys, Stored},
};

/// How many members a room takes if its creator doesn't say.
pub(crate) const DEFAULT_CAPACITY: u32 = 100;

/// How long saying goodbye to the registry may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// A connected client.
pub(crate) struct Session {
    /// What it can be asked to do.
    pub(crate) peer: Peer,
    /// What happens to it.
    pub(crate) events: Events,
    known_registries: Option<PathBuf>,
    keys: Keys,
    /// Why the registry can't be reached, as far as the user was told.
    cut_off_by: Option<String>,
}

/// What a session is for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Needs {
    /// How long somebody may take to accept a chat, if not as long as usual.
    pub(crate) chat_timeout: Option<Duration>,
    /// It can do something with files. Otherwise others are told that it takes none.
    pub(crate) files: bool,
}

impl Session {
    /// Reaches the registry, judges its certificate and greets it. `chat_timeout` is how long somebody may take to accept
    /// a chat, if not as long as is usual.
    pub(crate) async fn connect(global: &Global, registry: &Address, needs: Needs) -> Result<Self, Failure> {
        match Self::reach(global, registry, needs).await? {
            Ok(session) => Ok(session),
            Err(error @ Error::Request(_)) => Err(Failure::new(
                Exit::Registry,
                format!("the registry does not answer as one: {}", Failure::from(error)),
            )),
            Err(error) => Err(error.into()),
        }
    }

    /// The same for who wants to know more of what goes wrong on the way.
    pub(crate) async fn reach(
        global: &Global,
        registry: &Address,
        needs: Needs,
    ) -> Result<Result<Self, Error>, Failure> {
        let data_dir = data_dir(global)?;
        let trust = trust(global, &data_dir)?;
        let keys = Keys::new(data_dir, registry.clone());
        let known_registries = match &trust {
            Trust::KnownRegistries(file) => Some(file.clone()),
            _ => None,
        };
        let mut machine = peer::Config::default();
        machine.park_after = global.park.0;
        machine.plain = !global.encrypted_only;
        machine.chat_timeout = needs.chat_timeout.unwrap_or(machine.chat_timeout);
        if !needs.files {
            machine.files = 0;
        }
        let mut config = ClientConfig::new(registry.host.clone(), registry.port, trust)
            .listen(SocketAddr::from((Ipv6Addr::UNSPECIFIED, global.peer_port)))
            .machine(machine)
            .known_peers(keys.known_file())
            .block_list(keys.block_file())
            .oldest_tls(if global.tls12 { TlsVersion::Tls12 } else { TlsVersion::Tls13 });
        if let Some(udp) = &global.registry_udp {
            config = config.registry_udp(udp.host.clone(), udp.port);
        }
        let connected = Peer::connect(config).await;
        Ok(connected.map(|(peer, events)| Self { peer, events, known_registries, keys, cut_off_by: None }))
    }

    /// Logs in, with the account's key of this machine, which is made if there is none.
    pub(crate) async fn login(
        &self,
        global: &Global,
        user: &str,
        password: &str,
        passphrase: Option<String>,
    ) -> Result<(), Failure> {
        Ok(self.try_login(global, user, password, passphrase).await??)
    }

    /// The same for who wants to know more of what goes wrong.
    pub(crate) async fn try_login(
        &self,
        global: &Global,
        user: &str,
        password: &str,
        passphrase: Option<String>,
    ) -> Result<Result<(), Error>, Failure> {
        // What can be nobody's name is the login's to refuse.
        if let Ok(user) = keys::name(user) {
            let identity = match self.keys.own(&user).load_or_make()? {
                Stored::Open(identity) => identity,
                Stored::Locked(locked) => keys::unlock(&locked, &known_passphrase(global, passphrase)?)?,
            };
            self.peer.set_identity(Some(identity)).await?;
        }
        Ok(self.peer.login(user, password).await)
    }

    /// True if a passphrase has to be asked for before the login.
    pub(crate) fn wants_passphrase(&self, global: &Global, user: &str) -> Result<bool, Failure> {
        keys::name(user).map_or(Ok(false), |user| wants_passphrase(global, &self.keys.own(&user)))
    }

    /// The next event for a person to see: what keeps the registry from being reached again is told once, not at each
    /// attempt.
    pub(crate) async fn next_event(&mut self) -> Option<Event> {
        self.next_held().await.map(Held::confirm)
    }

    /// The same, to be confirmed to whoever said it once it is kept.
    pub(crate) async fn next_held(&mut self) -> Option<Held> {
        loop {
            let held = self.events.next_held().await?;
            match held.event() {
                Event::Disconnected { reason, .. } if self.cut_off_by.as_ref() == Some(reason) => continue,
                Event::Disconnected { reason, .. } => self.cut_off_by = Some(reason.clone()),
                Event::Connected | Event::Reconnected | Event::Unparked => self.cut_off_by = None,
                _ => {}
            }
            return Some(held);
        }
    }

    /// Passes over what happened while nobody was logged in: a registry that got tired of waiting is reached again by
    /// itself, and what keeps it from that is what the next request comes to.
    pub(crate) async fn forget_events(&mut self) {
        while let Ok(Some(_)) = tokio::time::timeout(Duration::ZERO, self.events.next()).await {}
        self.cut_off_by = None;
    }

    /// What the user should know about a registry that was never met before.
    pub(crate) fn first_meeting(&self) -> Option<String> {
        let seen = self.peer.certificate().filter(|seen| seen.first_use)?;
        let file = self.known_registries.as_deref()?;
        Some(format!(
            "This registry is met for the first time. Its certificate is\n    {}\nCompare that with what its operator \
             tells you. It is kept in {} and has to stay the same from now on.",
            seen.fingerprint,
            file.display()
        ))
    }

    /// Logs out and closes every stream, without waiting for long.
    pub(crate) async fn end(self) {
        if self.peer.username().is_some() {
            // Gone is gone: a registry that doesn't answer drops the session by itself.
            let _ = tokio::time::timeout(GOODBYE, self.peer.logout()).await;
        }
        let _ = tokio::time::timeout(GOODBYE, self.peer.close()).await;
    }
}

fn trust(global: &Global, data_dir: &Path) -> Result<Trust, Failure> {
    if let Some(fingerprint) = &global.fingerprint {
        let pinned: Fingerprint = fingerprint
            .parse()
            .map_err(|error| Failure::new(Exit::Usage, format!("--fingerprint: {error}")))?;
        return Ok(Trust::Pinned(pinned));
    }
    if let Some(file) = &global.ca {
        let pem = fs::read(file).map_err(|error| unreadable("--ca", file, &error))?;
        return Ok(Trust::Authorities(pem));
    }
    Ok(Trust::KnownRegistries(data_dir.join("known_registries")))
}

pub(crate) fn data_dir(global: &Global) -> Result<PathBuf, Failure> {
    if let Some(dir) = &global.data_dir {
        return Ok(dir.clone());
    }
    let strategy = choose_base_strategy().map_err(|_| {
        Failure::new(
            Exit::Usage,
            "there is no home folder to keep keys and known registries in: give --data-dir",
        )
    })?;
    Ok(strategy.data_dir().join("p2pchat"))
}

/// The account's password, if a file or the environment has it.
pub(crate) fn password(global: &Global) -> Result<Option<String>, Failure> {
    if let Some(file) = &global.password_file {
        let password = first_line(file, "--password-file")?;
        if is_open_to_others(file) {
            let advice = format!("others can read {}: chmod 600 it", file.display());
            global.notice(&advice);
        }
        return Ok(Some(password));
    }
    Ok(std::env::var("P2PCHAT_PASSWORD").ok().filter(|password| !password.is_empty()))
}

/// True if the key is under a passphrase that has to be asked for.
pub(crate) fn wants_passphrase(global: &Global, key: &KeyFile) -> Result<bool, Failure> {
    Ok(key.is_locked() && key_passphrase(global)?.is_none())
}

/// The passphrase that was asked for, or that need not be.
pub(crate) fn known_passphrase(global: &Global, asked: Option<String>) -> Result<String, Failure> {
    let lacking = || Failure::new(Exit::Usage, LACKING_PASSPHRASE);
    asked.map_or_else(|| key_passphrase(global), |asked| Ok(Some(asked)))?.ok_or_else(lacking)
}

pub(crate) const LACKING_PASSPHRASE: &str =
    "your link key's passphrase? Give --key-passphrase-file or $P2PCHAT_KEY_PASSPHRASE";

/// The passphrase of the user's link key, if a file or the environment has it.
fn key_passphrase(global: &Global) -> Result<Option<String>, Failure> {
    match &global.key_passphrase_file {
        Some(file) => first_line(file, "--key-passphrase-file").map(Some),
        None => Ok(std::env::var("P2PCHAT_KEY_PASSPHRASE").ok().filter(|passphrase| !passphrase.is_empty())),
    }
}

/// The code of the user's invitation, if a file, an argument or the environment has it.
pub(crate) fn invite(global: &Global) -> Result<Option<String>, Failure> {
    match &global.invite_file {
        Some(file) => first_line(file, "--invite-file").map(Some),
        None => Ok(global.invite.clone().filter(|code| !code.is_empty())),
    }
}

/// Creates an account, with the code of an invitation if there is one.
pub(crate) async fn register(
    peer: &Peer,
    user: &str,
    password: &str,
    invite: Option<&str>,
) -> Result<(), Error> {
    match invite {
        Some(code) => peer.register_invited(user, password, code).await,
        None => peer.register(user, password).await,
    }
}

/// A password or a code in a file of its own.
pub(crate) fn first_line(file: &Path, option: &str) -> Result<String, Failure> {
    let text = fs::read_to_string(file).map_err(|error| unreadable(option, file, &error))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(Failure::new(Exit::Usage, format!("{option}: {} has no first line", file.display()))),
    }
}

fn unreadable(option: &str, file: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Usage, format!("{option}: can't read {}: {error}", file.display()))
}

#[cfg(unix)]
fn is_open_to_others(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_open_to_others(_file: &Path) -> bool {
    false
}

/// The signals that ask a program to end.
pub(crate) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hang_up: tokio::signal::unix::Signal,
}

impl Signals {
    /// From now on such a signal doesn't end the program by itself, but [`received`](Self::received).
    pub(crate) fn catch() -> Result<Self, Failure> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let catch = |kind| {
                signal(kind)
                    .map_err(|error| Failure::new(Exit::Failed, format!("can't handle signals: {error}")))
            };
            Ok(Self {
                interrupt: catch(SignalKind::interrupt())?,
                terminate: catch(SignalKind::terminate())?,
                hang_up: catch(SignalKind::hangup())?,
            })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Ends when one has come, also before the call.
    pub(crate) async fn received(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
        #[cfg(not(unix))]
        drop(tokio::signal::ctrl_c().await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_file_is_its_first_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        fs::write(&file, "correct horse \r\nsecond\n").unwrap();
        assert_eq!(first_line(&file, "--password-file").unwrap(), "correct horse ");
        fs::write(&file, "\n").unwrap();
        assert_eq!(first_line(&file, "--password-file").unwrap_err().exit, Exit::Usage);
        assert_eq!(first_line(&dir.path().join("none"), "--password-file").unwrap_err().exit, Exit::Usage);
    }
}
