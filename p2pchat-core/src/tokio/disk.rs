//! Files on a disk: one that is sent, or one that is being received (PROTOCOL.md §7.15). All of this blocks.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use bytes::{Bytes, BytesMut};
use p2pchat_proto::{FileDigest, FileName, Username};
use sha2::{Digest as _, Sha256};

/// How much is read at once to be hashed.
const PIECE: usize = 256 * 1024;
/// How many names are tried for a file whose own is taken.
const NAMES: u32 = 1_000;
/// What is longer is no extension.
const EXTENSION: usize = 32;

/// A file that is to be sent, and what is said of it.
#[derive(Debug)]
pub(super) struct Source {
    file: File,
    pub(super) name: FileName,
    pub(super) size: u64,
    pub(super) digest: FileDigest,
}

impl Source {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        // Opening what is no file (a pipe, a terminal) may wait for ever.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        let mut file = File::open(path)?;
        let (digest, size) = hash_of(&mut file)?;
        let called = path.file_name().unwrap_or_default().to_string_lossy();
        let digest = FileDigest::from_bytes(digest.finalize().into());
        Ok(Self { file, name: FileName::cleaned(&called), size, digest })
    }

    pub(super) fn read(&mut self, offset: u64, length: usize) -> io::Result<Bytes> {
        let mut piece = BytesMut::zeroed(length);
        self.file.seek(SeekFrom::Start(offset))?;
        self.file.read_exact(&mut piece)?;
        Ok(piece.freeze())
    }
}

/// A file that is being received, under a name that nothing else has until all of it is there.
#[derive(Debug)]
pub(super) struct Sink {
    part: PathBuf,
    /// Made once there is something to write.
    file: Option<File>,
    /// Nobody else writes to it.
    is_locked: bool,
    folder: PathBuf,
    name: FileName,
    digest: FileDigest,
    hash: Sha256,
    pub(super) stored: u64,
}

/// What is to be received.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) from: Username,
    pub(super) name: FileName,
    pub(super) size: u64,
    pub(super) digest: FileDigest,
}

impl Sink {
    /// Opens what an earlier attempt with the same user has left of the file. Of more than there should be nothing is believed.
    pub(super) fn open(folder: PathBuf, wanted: Wanted) -> io::Result<Self> {
        let Wanted { from, name, size, digest } = wanted;
        if !fs::metadata(&folder)?.is_dir() {
            return Err(io::Error::other(format!("{} is no folder", folder.display())));
        }
        let part = folder.join(format!(".p2pchat-{}-{digest}.part", from.folded()));
        let (file, is_locked, hash, stored) = (None, false, Sha256::new(), 0);
        let mut sink = Self { part, file, is_locked, folder, name, digest, hash, stored };
        if fs::symlink_metadata(&sink.part).is_ok() {
            let file = sink.file()?;
            if file.metadata()?.len() > size {
                file.set_len(0)?;
            }
            let (hash, stored) = hash_of(file)?;
            (sink.hash, sink.stored) = (hash, stored);
        }
        Ok(sink)
    }

    /// The part, which is made if it isn't there.
    fn file(&mut self) -> io::Result<&mut File> {
        if self.file.is_none() {
            // Nobody has it lead elsewhere.
            if fs::symlink_metadata(&self.part).is_ok_and(|there| !there.is_file()) {
                return Err(io::Error::other(format!("{} is no file", self.part.display())));
            }
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            own(&mut options);
            let file = options.open(&self.part)?;
            self.is_locked = match file.try_lock() {
                Ok(()) => true,
                Err(fs::TryLockError::WouldBlock) => {
                    return Err(io::Error::other("it is being received already"));
                }
                // Some file systems have no locks.
                Err(fs::TryLockError::Error(_)) => false,
            };
            self.file = Some(file);
        }
        self.file.as_mut().ok_or_else(|| io::Error::other("the file is not open"))
    }

    /// Adds what comes next. After an error what was there before is there still, and nothing more.
    pub(super) fn write(&mut self, data: &[u8]) -> io::Result<()> {
        let stored = self.stored;
        let file = self.file()?;
        if let Err(error) = file.write_all(data) {
            file.set_len(stored)?;
            return Err(error);
        }
        self.hash.update(data);
        self.stored += data.len() as u64;
        Ok(())
    }

    /// Checks what has come, and gives it its name, or one like it if that is taken. What isn't what was announced is deleted.
    pub(super) fn finish(&mut self) -> io::Result<PathBuf> {
        self.file()?.sync_all()?;
        let mut hash = std::mem::take(&mut self.hash);
        if !self.is_locked {
            // What is there may be somebody else's.
            (hash, _) = hash_of(self.file()?)?;
        }
        let found = FileDigest::from_bytes(hash.finalize().into());
        if found != self.digest {
            self.discard();
            return Err(io::Error::other(format!("it is not what was announced: its SHA-256 is {found}")));
        }
        let path = self.place()?;
        // Where folders can't be written out, the system does so when it likes.
        let _ = File::open(&self.folder).and_then(|folder| folder.sync_all());
        Ok(path)
    }

    /// Forgets what has come.
    pub(super) fn discard(&mut self) {
        if self.file.take().is_some() {
            // If it stays, it is of no use, and does no harm.
            let _ = fs::remove_file(&self.part);
        }
    }

    /// Gives the file a name in the folder that nothing had.
    fn place(&self) -> io::Result<PathBuf> {
        for n in 1..=NAMES {
            let path = self.folder.join(numbered(self.name.as_str(), n));
            match fs::hard_link(&self.part, &path) {
                Ok(()) => {
                    fs::remove_file(&self.part)?;
                    return Ok(path);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                // Some file systems have no links: what takes the name there is replaced at once.
                Err(_) => {}
            }
            let mut options = OpenOptions::new();
            options.write(true).create_new(true);
            own(&mut options);
            match options.open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(_) => return fs::rename(&self.part, &path).map(|()| path),
            }
        }
        Err(io::Error::other("all names like its own are taken"))
    }
}

/// Nobody else reads it.
fn own(options: &mut OpenOptions) {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    #[cfg(not(unix))]
    let _ = options;
}

/// The name itself, or from the second on `stem (n).ext`, of no more bytes than a name may have.
fn numbered(name: &str, n: u32) -> String {
    if n == 1 {
        return name.to_owned();
    }
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && extension.len() <= EXTENSION => {
            (stem, format!(".{extension}"))
        }
        _ => (name, String::new()),
    };
    let end = format!(" ({n}){extension}");
    let mut length = stem.len().min(p2pchat_proto::limits::FILE_NAME_BYTES.saturating_sub(end.len()));
    while !stem.is_char_boundary(length) {
        length -= 1;
    }
    format!("{}{end}", stem.get(..length).unwrap_or_default())
}

/// Hashes a file from its beginning to its end, and counts its bytes.
fn hash_of(file: &mut File) -> io::Result<(Sha256, u64)> {
    let (mut hash, mut size, mut piece) = (Sha256::new(), 0, vec![0; PIECE]);
    file.seek(SeekFrom::Start(0))?;
    loop {
        match file.read(&mut piece)? {
            0 => return Ok((hash, size)),
            length => {
                hash.update(piece.get(..length).unwrap_or_default());
                size += length as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(folder: &Path, name: &str, content: &[u8]) -> Source {
        fs::write(folder.join(name), content).unwrap();
        Source::open(&folder.join(name)).unwrap()
    }

    fn sink(folder: &Path, source: &Source) -> io::Result<Sink> {
        let from = Username::new("alice").unwrap();
        let (name, size, digest) = (source.name.clone(), source.size, source.digest);
        Sink::open(folder.to_owned(), Wanted { from, name, size, digest })
    }

    fn part(folder: &Path, source: &Source) -> PathBuf {
        folder.join(format!(".p2pchat-alice-{}.part", source.digest))
    }

    #[test]
    fn a_file_goes_on_where_it_ended_and_overwrites_nothing() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let content: Vec<u8> = (0..700_000_u64).map(|n| ((n * n) >> 7) as u8).collect();
        let mut source = source(from.path(), "a.tar.gz", &content);
        let mut first = sink(to.path(), &source).unwrap();
        assert_eq!(first.stored, 0);
        first.write(&source.read(0, 300_000).unwrap()).unwrap();
        assert_eq!(sink(to.path(), &source).unwrap_err().to_string(), "it is being received already");
        drop(first);
        fs::write(to.path().join("a.tar.gz"), "mine").unwrap();
        fs::create_dir(to.path().join("a.tar (2).gz")).unwrap();
        let mut second = sink(to.path(), &source).unwrap();
        assert_eq!(second.stored, 300_000);
        second.write(&source.read(300_000, 400_000).unwrap()).unwrap();
        assert_eq!(second.finish().unwrap(), to.path().join("a.tar (3).gz"));
        assert_eq!(fs::read(to.path().join("a.tar (3).gz")).unwrap(), content);
        assert_eq!(fs::read(to.path().join("a.tar.gz")).unwrap(), b"mine");
        assert_eq!(fs::read_dir(to.path()).unwrap().count(), 3);
    }

    #[test]
    fn what_is_not_what_was_announced_is_not_kept() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let source = source(from.path(), "a", b"hello");
        let mut wrong = sink(to.path(), &source).unwrap();
        wrong.write(b"jello").unwrap();
        assert!(wrong.finish().unwrap_err().to_string().starts_with("it is not what was announced"));
        assert_eq!(fs::read_dir(to.path()).unwrap().count(), 0);
        // What is there and too long is nothing to go on with.
        fs::write(part(to.path(), &source), "hello and more").unwrap();
        assert_eq!(sink(to.path(), &source).unwrap().stored, 0);
    }

    #[cfg(unix)]
    #[test]
    fn nothing_is_sent_or_written_that_is_no_file() {
        use std::os::unix::{fs::symlink, net::UnixListener};

        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let _socket = UnixListener::bind(from.path().join("socket")).unwrap();
        for no_file in ["socket", ".", "none"] {
            assert!(Source::open(&from.path().join(no_file)).is_err(), "{no_file}");
        }
        let source = source(from.path(), "a", b"hello");
        let victim = from.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, part(to.path(), &source)).unwrap();
        assert!(sink(to.path(), &source).unwrap_err().to_string().ends_with("is no file"));
        assert_eq!(fs::read(victim).unwrap(), b"precious");
    }

    #[test]
    fn nothing_is_made_before_something_has_come_and_an_empty_file_is_one() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let empty = source(from.path(), "empty", b"");
        let mut sink = sink(to.path(), &empty).unwrap();
        assert_eq!(fs::read_dir(to.path()).unwrap().count(), 0);
        assert_eq!(sink.finish().unwrap(), to.path().join("empty"));
        assert_eq!(fs::read(to.path().join("empty")).unwrap(), b"");
        assert_eq!(fs::read_dir(to.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_discarded_is_gone() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let source = source(from.path(), "a", b"hello");
        let mut sink = sink(to.path(), &source).unwrap();
        sink.write(b"hel").unwrap();
        assert!(part(to.path(), &source).exists());
        sink.discard();
        assert_eq!(fs::read_dir(to.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_long_name_has_room_for_its_number() {
        for name in ["é".repeat(125) + ".txt", "a.".to_owned() + &"b".repeat(253), "c".repeat(255)] {
            let name = numbered(&name, 12);
            assert!(name.len() <= 255 && name.contains(" (12)") && !name.starts_with(' '), "{name}");
        }
        assert_eq!(numbered("a.tar.gz", 2), "a.tar (2).gz");
        assert_eq!((numbered("a", 1), numbered("a", 3)), ("a".to_owned(), "a (3)".to_owned()));
    }
}
