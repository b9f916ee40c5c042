//! The user's own link key, and what two people compare of theirs.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use p2pchat_core::{
    peer::SafetyNumber,
    proto::{LinkKey, Username},
    tokio::{BlockList, KnownPeers, LinkIdentity, Peer},
};
use pkcs8::{EncryptedPrivateKeyInfoRef, LineEnding, PrivateKeyInfoRef, SecretDocument};
use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};

use crate::{
    args::Address,
    exit::{Exit, Failure},
    private, sanitize,
};

/// How a key is marked in its file that is under a passphrase.
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";
const PLAIN: &str = "PRIVATE KEY";
/// How many words or groups of digits stand in a line.
const IN_LINE: usize = 4;

/// What this machine keeps for one registry: the keys of its accounts, those of the people they have met, and whom they have
/// blocked.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    data_dir: PathBuf,
    registry: Address,
}

impl Keys {
    pub(crate) fn new(data_dir: PathBuf, registry: Address) -> Self {
        Self { data_dir, registry }
    }

    /// Where an account's own is: `link_keys/REGISTRY/ACCOUNT.pem`.
    pub(crate) fn own(&self, user: &Username) -> KeyFile {
        KeyFile(private::of_account(&self.data_dir, "link_keys", &self.registry, user, "pem"))
    }

    /// Where others' are.
    pub(crate) fn known_file(&self) -> PathBuf {
        self.data_dir.join("known_peers")
    }

    /// Where it is noted who is blocked.
    pub(crate) fn block_file(&self) -> PathBuf {
        self.data_dir.join("blocked")
    }

    pub(crate) fn blocked(&self) -> BlockList {
        BlockList::new(self.block_file(), &self.registry.host, self.registry.port)
    }

    pub(crate) fn known(&self) -> KnownPeers {
        KnownPeers::new(self.known_file(), &self.registry.host, self.registry.port)
    }
}

/// Where an account's key on this machine is.
#[derive(Debug, Clone)]
pub(crate) struct KeyFile(PathBuf);

/// A key as its file has it.
pub(crate) enum Stored {
    Open(LinkIdentity),
    /// Under a passphrase.
    Locked(SecretDocument),
}

impl KeyFile {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The key; a new one is made if there is none.
    pub(crate) fn load_or_make(&self) -> Result<Stored, Failure> {
        match self.load() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make().map_err(|error| self.failed("can't make a link key", &error))?;
                self.load()
            }
            loaded => loaded,
        }
        .map_err(|error| self.failed("can't use the link key", &error))
    }

    /// The key that there is.
    pub(crate) fn load_made(&self) -> Result<Stored, Failure> {
        self.load().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Failure::new(
                Exit::Failed,
                "there is no link key for that account yet: it is made at its first login here",
            ),
            _ => self.failed("can't use the link key", &error),
        })
    }

    /// True if there is one, and it is under a passphrase.
    pub(crate) fn is_locked(&self) -> bool {
        matches!(self.load(), Ok(Stored::Locked(_)))
    }

    fn failed(&self, what: &str, error: &io::Error) -> Failure {
        Failure::new(Exit::Failed, format!("{what} {}: {error}", self.0.display()))
    }

    fn load(&self) -> io::Result<Stored> {
        let pem = fs::read_to_string(&self.0)?;
        private::check_modes(&self.0)?;
        let (label, key) = SecretDocument::from_pem(&pem).map_err(io::Error::other)?;
        match label {
            ENCRYPTED => Ok(Stored::Locked(key)),
            PLAIN => identity(&key).map(Stored::Open),
            _ => Err(io::Error::other("it holds something else")),
        }
    }

    fn make(&self) -> io::Result<()> {
        let key = SecretDocument::try_from(LinkIdentity::generate()?).map_err(io::Error::other)?;
        self.write(&key, PLAIN, false)
    }

    fn write(&self, key: &SecretDocument, label: &'static str, replace: bool) -> io::Result<()> {
        let pem = key.to_pem(label, LineEnding::LF).map_err(io::Error::other)?;
        // Others are told the key next: it is to be on disk by then.
        private::write(&self.0, replace, |file| file.write_all(pem.as_bytes()))
    }

    /// Puts the key under a passphrase, or under none.
    pub(crate) fn protect(&self, key: &SecretDocument, passphrase: Option<&str>) -> Result<(), Failure> {
        let protected = || match passphrase {
            Some(passphrase) => {
                let info = PrivateKeyInfoRef::try_from(key.as_bytes()).map_err(io::Error::other)?;
                let locked = info.encrypt(passphrase).map_err(io::Error::other)?;
                self.write(&locked, ENCRYPTED, true)
            }
            None => self.write(key, PLAIN, true),
        };
        protected().map_err(|error| self.failed("can't write the link key", &error))
    }

    /// The key itself, to be written once more.
    pub(crate) fn secret(&self, passphrase: Option<&str>) -> Result<SecretDocument, Failure> {
        let read = || {
            let pem = fs::read_to_string(&self.0)?;
            let (_, key) = SecretDocument::from_pem(&pem).map_err(io::Error::other)?;
            Ok(key)
        };
        let key = read().map_err(|error: io::Error| self.failed("can't read the link key", &error))?;
        match passphrase {
            Some(passphrase) => decrypt(&key, passphrase),
            None => Ok(key),
        }
    }
}

/// Opens a key that is under a passphrase.
pub(crate) fn unlock(locked: &SecretDocument, passphrase: &str) -> Result<LinkIdentity, Failure> {
    identity(&decrypt(locked, passphrase)?).map_err(|error| {
        Failure::new(Exit::Failed, format!("what is under the passphrase is no link key: {error}"))
    })
}

fn decrypt(locked: &SecretDocument, passphrase: &str) -> Result<SecretDocument, Failure> {
    let open = || EncryptedPrivateKeyInfoRef::try_from(locked.as_bytes())?.decrypt(passphrase);
    open().map_err(|_| Failure::new(Exit::Login, "that is not the link key's passphrase"))
}

fn identity(key: &SecretDocument) -> io::Result<LinkIdentity> {
    LinkIdentity::from_pkcs8(key.as_bytes()).map_err(io::Error::other)
}

/// What the user compares with somebody, in lines; `drawn`: as a picture too.
pub(crate) async fn of(peer: &Peer, user: &str, drawn: bool) -> Result<Vec<String>, Failure> {
    let known = peer.key_of(user).await?;
    let me = peer.username().ok_or_else(|| Failure::new(Exit::Login, "not logged in"))?;
    let own = known.own.ok_or_else(|| Failure::new(Exit::Failed, "there is no link key of your own"))?;
    Ok(comparison((&me, &own), (&name(user)?, known.key.as_ref()), drawn))
}

pub(crate) fn name(user: &str) -> Result<Username, Failure> {
    Username::new(user).map_err(|problem| Failure::new(Exit::Usage, format!("the username {problem}")))
}

/// The same of two keys, if the other one is known.
pub(crate) fn comparison(
    me: (&Username, &LinkKey),
    (user, key): (&Username, Option<&LinkKey>),
    drawn: bool,
) -> Vec<String> {
    let shown = sanitize::line(user.as_str());
    let Some(key) = key else {
        return vec![format!(
            "{shown}'s key is not known: it is once you have talked, if their program encrypts"
        )];
    };
    let number = SafetyNumber::of(me, (user, key));
    let words = bip39::Language::English.word_list();
    let words: Vec<_> = number.words().iter().filter_map(|&n| words.get(n).copied()).collect();
    let digits = number.digits();
    let mut lines =
        vec![format!("Read this to {shown}, on the telephone or face to face. It has to be what they see:")];
    lines.extend(
        words
            .chunks(IN_LINE)
            .map(|words| {
                words.iter().map(|word| format!("{word:10}")).collect::<String>().trim_end().to_owned()
            })
            .map(|line| format!("    {line}")),
    );
    lines.push("or, the same in digits:".to_owned());
    lines.extend(digits.chunks(IN_LINE).map(|groups| format!("    {}", groups.join(" "))));
    if drawn && let Ok(code) = QrCode::with_error_correction_level(digits.concat(), EcLevel::L) {
        lines.push("or, to be read by a telephone's camera:".to_owned());
        lines.extend(code.render::<Dense1x2>().build().lines().map(str::to_owned));
    }
    lines.push(format!(
        "If it isn't, somebody is between you: say nothing that matters, and tell {shown} so."
    ));
    lines
}

#[cfg(test)]
mod tests {
    use p2pchat_core::proto::LinkKey;

    use super::*;

    fn file(folder: &Path) -> KeyFile {
        let registry = Address { host: "::1".to_owned(), port: 15_600 };
        Keys::new(folder.to_owned(), registry).own(&name("Alice").unwrap())
    }

    fn open(file: &KeyFile) -> LinkIdentity {
        match file.load_or_make().unwrap() {
            Stored::Open(identity) => identity,
            Stored::Locked(_) => panic!("it is locked"),
        }
    }

    #[test]
    fn a_key_is_made_once_and_is_the_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        assert!(file.path().ends_with("link_keys/__1_15600/alice.pem"), "{file:?}");
        let key = open(&file).key();
        assert_eq!(open(&file).key(), key);
        let beside = fs::read_dir(file.path().parent().unwrap()).unwrap().count();
        assert_eq!(beside, 1, "no draft is left");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(file.path()), mode(file.path().parent().unwrap())), (0o600, 0o700));
            let folder = file.path().parent().unwrap();
            for (path, mode, wanted) in [(file.path(), 0o640, 0o600), (folder, 0o755, 0o700)] {
                let set = |mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
                set(mode);
                let refused = file.load_or_make().err().unwrap().to_string();
                assert!(refused.contains(&format!("open to others (mode {mode:o})")), "{refused}");
                set(wanted);
            }
        }
    }

    #[test]
    fn a_passphrase_is_put_on_and_taken_off() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        let key = open(&file).key();
        file.protect(&file.secret(None).unwrap(), Some("correct horse")).unwrap();
        let Stored::Locked(locked) = file.load_or_make().unwrap() else { panic!("it is open") };
        assert_eq!(unlock(&locked, "correct horse").unwrap().key(), key);
        assert_eq!(unlock(&locked, "correct donkey").unwrap_err().exit, Exit::Login);
        file.protect(&file.secret(Some("correct horse")).unwrap(), None).unwrap();
        assert_eq!(open(&file).key(), key);
    }

    #[test]
    fn a_file_that_holds_no_key_is_named_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        open(&file);
        for wrong in ["", "nonsense", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
            fs::write(file.path(), wrong).unwrap();
            let refused = file.load_or_make().err().unwrap().to_string();
            assert!(refused.contains("alice.pem"), "{refused}");
            assert_eq!(fs::read_to_string(file.path()).unwrap(), wrong);
        }
    }

    #[test]
    fn two_people_see_the_same() {
        let (alice, bob) = (name("alice").unwrap(), name("bob").unwrap());
        let (one, two) = (LinkKey::from_bytes([1; 32]), LinkKey::from_bytes([2; 32]));
        let hers = comparison((&alice, &one), (&bob, Some(&two)), true);
        let his = comparison((&bob, &two), (&alice, Some(&one)), true);
        assert_eq!(hers[1..hers.len() - 1], his[1..his.len() - 1]);
        assert_eq!(hers[1].split_whitespace().collect::<Vec<_>>(), ["cover", "govern", "obey", "secret"]);
        assert!(hers.iter().any(|line| line.contains('█')));
        assert_eq!(comparison((&alice, &one), (&bob, None), true).len(), 1);
    }
}
