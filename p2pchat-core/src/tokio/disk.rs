//! Files on a disk: one that is sent, or one that is being received (PROTOCOL.md §7.15). All of this blocks.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use bytes::{Bytes, BytesMut};
use p2pchat_proto::{FileDigest, FileName};
use sha2::{Digest as _, Sha256};

/// How much is read at once to be hashed.
const PIECE: usize = 256 * 1024;
/// How many names are tried for a file whose own is taken.
const NAMES: u32 = 1_000;

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
        let (digest, size) = hash(&mut file)?;
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
    file: File,
    folder: PathBuf,
    name: FileName,
    digest: FileDigest,
    hash: Sha256,
    pub(super) stored: u64,
}

impl Sink {
    /// Opens what an earlier attempt has left of the file, or makes a place for it. Of more than `size` bytes nothing is believed.
    pub(super) fn open(folder: PathBuf, name: FileName, size: u64, digest: FileDigest) -> io::Result<Self> {
        let part = folder.join(format!(".{digest}.part"));
        // Nobody has it lead elsewhere.
        if fs::symlink_metadata(&part).is_ok_and(|there| !there.is_file()) {
            return Err(io::Error::other(format!("{} is no file", part.display())));
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&part)?;
        match file.try_lock() {
            Err(fs::TryLockError::WouldBlock) => {
                return Err(io::Error::other("it is being received already"));
            }
            // Some file systems have no locks.
            Ok(()) | Err(fs::TryLockError::Error(_)) => {}
        }
        if file.metadata()?.len() > size {
            file.set_len(0)?;
        }
        let (hash, stored) = hash(&mut file)?;
        Ok(Self { part, file, folder, name, digest, hash, stored })
    }

    /// Adds what comes next.
    pub(super) fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.file.write_all(data)?;
        self.hash.update(data);
        self.stored += data.len() as u64;
        Ok(())
    }

    /// Checks what has come, and gives it its name, or one like it if that is taken. What isn't what was announced is deleted.
    pub(super) fn finish(&mut self) -> io::Result<PathBuf> {
        let found = FileDigest::from_bytes(std::mem::take(&mut self.hash).finalize().into());
        if found != self.digest {
            fs::remove_file(&self.part)?;
            return Err(io::Error::other(format!("it is not what was announced: its SHA-256 is {found}")));
        }
        self.file.sync_all()?;
        let path = self.place()?;
        fs::rename(&self.part, &path)?;
        Ok(path)
    }

    /// A name in the folder that nothing had, and something has now.
    fn place(&self) -> io::Result<PathBuf> {
        let name = self.name.as_str();
        let (stem, extension) = match name.rsplit_once('.') {
            Some((stem, extension)) if !stem.is_empty() => (stem, format!(".{extension}")),
            _ => (name, String::new()),
        };
        for n in 1..=NAMES {
            let name = if n == 1 { name.to_owned() } else { numbered(stem, n, &extension) };
            let path = self.folder.join(name);
            let mut options = OpenOptions::new();
            options.write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            match options.open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made.map(|_| path),
            }
        }
        Err(io::Error::other("all names like its own are taken"))
    }
}

/// `stem (n).ext`, of no more bytes than a name may have.
fn numbered(stem: &str, n: u32, extension: &str) -> String {
    let end = format!(" ({n}){extension}");
    let mut length = stem.len().min(p2pchat_proto::limits::FILE_NAME_BYTES.saturating_sub(end.len()));
    while !stem.is_char_boundary(length) {
        length -= 1;
    }
    format!("{}{end}", stem.get(..length).unwrap_or_default())
}

/// Hashes a file from its beginning to its end, and counts its bytes.
fn hash(file: &mut File) -> io::Result<(Sha256, u64)> {
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
        Sink::open(folder.to_owned(), source.name.clone(), source.size, source.digest)
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
        fs::write(to.path().join(format!(".{}.part", source.digest)), "hello and more").unwrap();
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
        symlink(&victim, to.path().join(format!(".{}.part", source.digest))).unwrap();
        assert!(sink(to.path(), &source).unwrap_err().to_string().ends_with("is no file"));
        assert_eq!(fs::read(victim).unwrap(), b"precious");
    }

    #[test]
    fn a_long_name_has_room_for_its_number() {
        let name = numbered(&"é".repeat(127), 12, ".txt");
        assert!(name.len() <= 255 && name.ends_with("é (12).txt"), "{name}");
    }
}
