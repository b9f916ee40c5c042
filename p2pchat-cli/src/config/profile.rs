//! A profile: what can be said of who, where and how for every start.

use std::{
    env,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::values;
use crate::args::{Address, ColorChoice, Given, Global, Park};

/// The options that a profile, or the top of the file, gives.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Profile {
    #[serde(deserialize_with = "values::registry")]
    pub(super) registry: Option<Address>,
    #[serde(deserialize_with = "values::registry_udp")]
    pub(super) registry_udp: Option<Address>,
    #[serde(deserialize_with = "values::user")]
    pub(super) user: Option<String>,
    #[serde(deserialize_with = "values::path")]
    pub(super) password_file: Option<PathBuf>,
    #[serde(deserialize_with = "values::path")]
    pub(super) invite_file: Option<PathBuf>,
    #[serde(deserialize_with = "values::path")]
    pub(super) key_passphrase_file: Option<PathBuf>,
    #[serde(deserialize_with = "values::peer_port")]
    pub(super) peer_port: Option<u16>,
    #[serde(deserialize_with = "values::path")]
    pub(super) data_dir: Option<PathBuf>,
    #[serde(deserialize_with = "values::path")]
    pub(super) ca: Option<PathBuf>,
    #[serde(deserialize_with = "values::fingerprint")]
    pub(super) fingerprint: Option<String>,
    pub(super) tls12: Option<bool>,
    #[serde(deserialize_with = "values::park")]
    pub(super) park: Option<Park>,
    pub(super) encrypted_only: Option<bool>,
    #[serde(deserialize_with = "values::color")]
    pub(super) color: Option<ColorChoice>,
    #[serde(deserialize_with = "values::path")]
    pub(super) log: Option<PathBuf>,
}

impl Profile {
    /// All that it says, and what `below` says besides.
    pub(super) fn over(self, below: Self) -> Self {
        let below = below.for_whom(self.registry.as_ref(), self.user.as_deref());
        let trust_is_settled = self.ca.is_some() || self.fingerprint.is_some();
        Self {
            registry: self.registry.or(below.registry),
            registry_udp: self.registry_udp.or(below.registry_udp),
            user: self.user.or(below.user),
            password_file: self.password_file.or(below.password_file),
            invite_file: self.invite_file.or(below.invite_file),
            key_passphrase_file: self.key_passphrase_file.or(below.key_passphrase_file),
            peer_port: self.peer_port.or(below.peer_port),
            data_dir: self.data_dir.or(below.data_dir),
            ca: self.ca.or(below.ca.filter(|_| !trust_is_settled)),
            fingerprint: self.fingerprint.or(below.fingerprint.filter(|_| !trust_is_settled)),
            tls12: self.tls12.or(below.tls12),
            park: self.park.or(below.park),
            encrypted_only: self.encrypted_only.or(below.encrypted_only),
            color: self.color.or(below.color),
            log: self.log.or(below.log),
        }
    }

    /// What of it is meant for this registry and user too: one registry's password isn't shown to another, and another one's
    /// certificate isn't the first one's.
    fn for_whom(mut self, registry: Option<&Address>, user: Option<&str>) -> Self {
        let elsewhere = registry.is_some_and(|registry| self.registry.as_ref() != Some(registry));
        let else_ = user.is_some_and(|user| self.user.as_deref() != Some(user));
        if elsewhere {
            (self.registry_udp, self.ca, self.fingerprint, self.tls12) = (None, None, None, None);
        }
        if elsewhere || else_ {
            (self.password_file, self.invite_file, self.key_passphrase_file) = (None, None, None);
        }
        self
    }

    /// Gives `global` what neither the command line nor the environment has `given`.
    pub(super) fn complete(self, global: &mut Global, given: &Given) {
        let mut rest = self.for_whom(
            global.registry.as_ref().filter(|_| given.has("registry")),
            global.user.as_deref().filter(|_| given.has("user")),
        );
        // What says the same in another way, and more particularly.
        if given.has("ca") || given.has("fingerprint") {
            (rest.ca, rest.fingerprint) = (None, None);
        }
        if given.has("invite") {
            rest.invite_file = None;
        }
        for (variable, file) in [
            ("P2PCHAT_PASSWORD", &mut rest.password_file),
            ("P2PCHAT_KEY_PASSPHRASE", &mut rest.key_passphrase_file),
        ] {
            if env::var_os(variable).is_some_and(|secret| !secret.is_empty()) {
                *file = None;
            }
        }
        // The options' names are those of their fields.
        macro_rules! complete {
            ($($name:ident)*) => {$(
                if !given.has(stringify!($name)) && let Some(value) = rest.$name {
                    global.$name = value.into();
                }
            )*};
        }
        complete!(registry registry_udp user password_file invite_file key_passphrase_file peer_port data_dir);
        complete!(ca fingerprint tls12 park encrypted_only color log);
    }

    /// Takes its paths from `folder`, or from the user's home.
    pub(super) fn at(mut self, folder: &Path) -> Self {
        let home = etcetera::home_dir().ok();
        for path in [
            &mut self.password_file,
            &mut self.invite_file,
            &mut self.key_passphrase_file,
            &mut self.data_dir,
            &mut self.ca,
            &mut self.log,
        ] {
            *path = path.take().map(|path| match (path.strip_prefix("~"), &home) {
                (Ok(rest), Some(home)) => home.join(rest),
                _ => folder.join(path),
            });
        }
        self
    }
}
