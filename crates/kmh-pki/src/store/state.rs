//! Whether a store is as it was, without reading a file of it: names, inodes, sizes, modes and times.
//!
//! The time of an inode's last change (`ctime`) is set by the kernel at each write, rename and change of mode, and by
//! nothing else but the clock.

use rayon::prelude::*;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::{FOLDERS, IDENTITY, Store};

/// A moment as the kernel gives it: seconds since 1970, and nanoseconds.
pub type Moment = (i64, i64);

/// How a store's files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// SHA-256 over all of them.
    pub digest: [u8; 32],
    /// When the youngest of them was changed last.
    pub youngest: Moment,
}

/// When an inode was changed last.
#[allow(clippy::unnecessary_cast, reason = "the width of these fields is the platform's")]
pub fn changed(stat: &Stat) -> Moment {
    (stat.st_ctime as i64, stat.st_ctime_nsec as i64)
}

impl Store {
    /// How its files are that a document depends on. None: an unfinished write waits, or something in it is neither file
    /// nor folder: what a link leads to can change without it.
    pub fn state(&self) -> Option<State> {
        if !self.unfinished.names.is_empty() || !self.unfinished.waiting.is_empty() {
            return None;
        }
        let mut hash = Sha256::new();
        let mut youngest = Moment::default();
        let identity = rustix::fs::statat(&self.dir, IDENTITY, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        put(&mut hash, IDENTITY.as_bytes(), &identity);
        youngest = youngest.max(changed(&identity));
        for name in FOLDERS {
            match open(&self.dir, name.as_bytes()) {
                Ok(folder) => {
                    let inner = look(&folder)?;
                    hash.update(name);
                    hash.update(inner.digest);
                    youngest = youngest.max(inner.youngest);
                }
                Err(Errno::NOENT) => {}
                Err(_) => return None,
            }
        }
        Some(State { digest: hash.finalize().into(), youngest })
    }
}

fn open(above: &impl AsFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(above, name, flags, Mode::empty())
}

/// A folder and everything below it; the folders in it on all cores.
fn look(folder: &OwnedFd) -> Option<State> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder).ok()? {
        let name = entry.ok()?.file_name().to_bytes().to_owned();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    names.sort_unstable();
    let seen = |name: &Vec<u8>| {
        let stat = rustix::fs::statat(folder, &name[..], AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let below = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => None,
            FileType::Directory => Some(look(&open(folder, name).ok()?)?),
            _ => return None,
        };
        Some((stat, below))
    };
    // Files of one folder are quicker looked at than shared out.
    let seen: Option<Vec<_>> = if names.len() > super::batch::MANY {
        names.par_iter().map(seen).collect()
    } else {
        names.iter().map(seen).collect()
    };
    let mut hash = Sha256::new();
    let mut youngest = Moment::default();
    for (name, (stat, below)) in names.iter().zip(seen?) {
        put(&mut hash, name, &stat);
        youngest = youngest.max(changed(&stat));
        if let Some(below) = below {
            hash.update(below.digest);
            youngest = youngest.max(below.youngest);
        }
    }
    Some(State { digest: hash.finalize().into(), youngest })
}

#[allow(clippy::unnecessary_cast, reason = "the width of these fields is the platform's")]
fn put(hash: &mut Sha256, name: &[u8], stat: &Stat) {
    let (seconds, nanoseconds) = changed(stat);
    let mut row = [0; 64];
    let fields = [
        name.len() as u64,
        stat.st_dev as u64,
        stat.st_ino as u64,
        u64::from(stat.st_mode),
        u64::from(stat.st_uid),
        stat.st_size as u64,
        seconds as u64,
        nanoseconds as u64,
    ];
    for (place, field) in row.chunks_exact_mut(8).zip(fields) {
        place.copy_from_slice(&field.to_be_bytes());
    }
    hash.update(row);
    hash.update(name);
}
