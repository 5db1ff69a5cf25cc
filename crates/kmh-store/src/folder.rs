//! A folder held open, and what is below it, reached one component at a time and never through a symbolic link.
//!
//! The store and `dir:` targets are read and written with this. Paths alone would not do: between a check and a use a
//! link could lead elsewhere, and `kmh_cli::file` follows links, as it must for files that a person names.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use zeroize::Zeroizing;

use crate::store::explain;

/// An open folder.
pub struct Folder(OwnedFd);

/// What is at a name.
pub enum Entry {
    /// Nothing.
    Missing,
    /// A regular file.
    File(Stat),
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// Something else: a pipe, a device.
    Other,
}

/// Why a file was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// The system said so.
    System(Errno),
    /// It has so many octets, and whoever asks takes no more than that.
    Large(u64, usize),
    /// Somebody writes it at this moment.
    Grows,
}

impl From<Errno> for Unread {
    fn from(error: Errno) -> Self {
        Self::System(error)
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(error) => f.write_str(&explain(*error)),
            Self::Large(size, limit) => {
                write!(f, "it has {size} octets, and no more than {limit} are read")
            }
            Self::Grows => f.write_str("it grew while it was read"),
        }
    }
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Folder {
    /// A folder that a person named; links are followed.
    pub fn open(path: &Path) -> Result<Self, Errno> {
        rustix::fs::openat(CWD, path, FOLDER, Mode::empty()).map(Self)
    }

    /// The folder of that name in it; none when there is nothing.
    pub fn enter(&self, name: &str) -> Result<Option<Self>, Errno> {
        match rustix::fs::openat(&self.0, name, FOLDER | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(fd) => Ok(Some(Self(fd))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The folder at a path below it; none when a part is missing. The error names the part.
    pub fn below(&self, path: &str) -> Result<Option<Self>, (String, Errno)> {
        self.walk(path, Self::enter)
    }

    /// The same, made where it is missing.
    pub fn make_below(&self, path: &str) -> Result<Self, (String, Errno)> {
        let made = self.walk(path, |folder, name| match folder.enter(name)? {
            Some(found) => Ok(Some(found)),
            None => folder.make(name, 0o755).map(Some),
        })?;
        made.ok_or_else(|| (path.to_owned(), Errno::NOENT))
    }

    fn walk(
        &self,
        path: &str,
        step: impl Fn(&Self, &str) -> Result<Option<Self>, Errno>,
    ) -> Result<Option<Self>, (String, Errno)> {
        let mut at = Self(self.0.try_clone().map_err(|error| (path.to_owned(), errno(&error)))?);
        let mut walked = String::new();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            walked.push('/');
            walked.push_str(part);
            match step(&at, part) {
                Ok(Some(next)) => at = next,
                Ok(None) => return Ok(None),
                Err(error) => return Err((walked, error)),
            }
        }
        Ok(Some(at))
    }

    /// Makes a folder in it, with exactly that mode, whatever the umask.
    pub fn make(&self, name: &str, mode: u32) -> Result<Self, Errno> {
        rustix::fs::mkdirat(&self.0, name, Mode::from_raw_mode(0o700))?;
        rustix::fs::chmodat(&self.0, name, Mode::from_raw_mode(mode), AtFlags::empty())?;
        self.enter(name)?.ok_or(Errno::NOENT)
    }

    /// Its own mode.
    pub fn mode(&self) -> Result<u32, Errno> {
        Ok(rustix::fs::fstat(&self.0)?.st_mode & 0o7777)
    }

    /// Gives it that mode.
    pub fn chmod(&self, mode: u32) -> Result<(), Errno> {
        rustix::fs::fchmod(&self.0, Mode::from_raw_mode(mode))
    }

    /// Waits until nobody writes in it by `lock`, and keeps writers out while it is open.
    pub fn lock_shared(&self) -> Result<(), Errno> {
        loop {
            match rustix::fs::flock(&self.0, rustix::fs::FlockOperation::LockShared) {
                Err(Errno::INTR) => {}
                other => return other,
            }
        }
    }

    /// Holds it against other pushes until it is dropped; `WOULDBLOCK` when another has it.
    pub fn lock(&self) -> Result<(), Errno> {
        rustix::fs::flock(&self.0, rustix::fs::FlockOperation::NonBlockingLockExclusive)
    }

    /// What is at a name in it.
    pub fn entry(&self, name: &str) -> Result<Entry, Errno> {
        match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => Entry::File(stat),
                FileType::Directory => Entry::Folder,
                FileType::Symlink => Entry::Link,
                _ => Entry::Other,
            }),
            Err(Errno::NOENT) => Ok(Entry::Missing),
            Err(error) => Err(error),
        }
    }

    /// The names in it that begin like that, sorted.
    pub fn names(&self, beginning: &str) -> Result<Vec<String>, Errno> {
        let mut found = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.0)? {
            if let Ok(name) = entry?.file_name().to_str()
                && name.starts_with(beginning)
            {
                found.push(name.to_owned());
            }
        }
        found.sort();
        Ok(found)
    }

    /// Opens a regular file for reading. Nothing else is opened: a FIFO would be waited for.
    pub fn file(&self, name: &str) -> Result<File, Errno> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.0, name, flags, Mode::empty())?;
        match FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) {
            FileType::RegularFile => Ok(File::from(fd)),
            _ => Err(Errno::INVAL),
        }
    }

    /// A file's content, in memory that is cleared when it is dropped. One of more than `limit` octets is refused: cut, it
    /// could be taken for whole.
    pub fn read(&self, name: &str, limit: usize) -> Result<Zeroizing<Vec<u8>>, Unread> {
        let file = self.file(name)?;
        let size = file.metadata().map_err(|error| errno(&error))?.len();
        let least = usize::try_from(size).ok().filter(|size| *size <= limit);
        // The buffer never grows: a grown one leaves its content behind.
        let mut bytes = Zeroizing::new(vec![0; least.ok_or(Unread::Large(size, limit))? + 1]);
        let mut filled = 0;
        while filled < bytes.len() {
            match (&file).read(&mut bytes[filled..]).map_err(|error| errno(&error))? {
                0 => break,
                n => filled += n,
            }
        }
        if filled == bytes.len() {
            return Err(Unread::Grows);
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Makes a file that was not there, with exactly that mode.
    pub fn create(&self, name: &str, mode: u32) -> Result<File, Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.0, name, flags, Mode::from_raw_mode(0o600))?;
        rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode))?;
        Ok(File::from(fd))
    }

    /// Puts a file in the place of another, in one step.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), Errno> {
        rustix::fs::renameat(&self.0, from, &self.0, to)
    }

    /// Removes a file.
    pub fn remove(&self, name: &str) -> Result<(), Errno> {
        rustix::fs::unlinkat(&self.0, name, AtFlags::empty())
    }

    /// Waits until its list of names is on the disk.
    pub fn sync(&self) -> Result<(), Errno> {
        rustix::fs::fsync(self.0.as_fd())
    }

    /// Where it is possible, waits until everything in its file system is on the disk.
    #[cfg_attr(
        not(target_os = "linux"),
        allow(clippy::unnecessary_wraps, clippy::unused_self, reason = "see `AT_ONCE`")
    )]
    pub fn sync_below(&self) -> Result<(), Errno> {
        #[cfg(target_os = "linux")]
        rustix::fs::syncfs(self.0.as_fd())?;
        Ok(())
    }
}

/// Whether [`Folder::sync_below`] syncs many files with one call; elsewhere each file and folder is synced by itself,
/// for which a thousand machines in one folder would have to wait.
pub const AT_ONCE: bool = cfg!(target_os = "linux");

/// The system's number for an error.
pub fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
