//! Whether a store is as it was, without reading a file of it: names, inodes, sizes, modes and times.
//!
//! The time of an inode's last change (`ctime`) is set by the kernel at each write, rename and change of mode, and by
//! nothing else but the clock.

use rayon::prelude::*;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Statx, StatxFlags};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::{FOLDERS, IDENTITY, Store};

/// A moment as the kernel gives it: seconds since 1970, and nanoseconds.
pub type Moment = (i64, u32);

/// How a store's files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// SHA-256 over all of them.
    pub digest: [u8; 32],
    /// When the youngest of them was changed last.
    pub youngest: Moment,
}

/// How an inode is. With an empty name, that of the open file itself.
pub fn inode(at: impl AsFd, name: &[u8]) -> Result<Statx, Errno> {
    let how = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
    rustix::fs::statx(at, name, how, StatxFlags::BASIC_STATS)
}

/// When it was changed last.
pub fn changed(inode: &Statx) -> Moment {
    (inode.stx_ctime.tv_sec, inode.stx_ctime.tv_nsec)
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
        let identity = inode(&self.dir, IDENTITY.as_bytes()).ok()?;
        put(&mut hash, IDENTITY.as_bytes(), &identity);
        youngest = youngest.max(changed(&identity));
        // The time of the store's own folder is that of the last journal, and decides nothing.
        hash.update(inode(&self.dir, b"").ok()?.stx_mode.to_be_bytes());
        for name in FOLDERS {
            match open(&self.dir, name.as_bytes()) {
                Ok(folder) => {
                    let inner = look(&folder)?;
                    put(&mut hash, name.as_bytes(), &inode(&folder, b"").ok()?);
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
        let stat = inode(folder, name).ok()?;
        let below = match FileType::from_raw_mode(stat.stx_mode.into()) {
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

fn put(hash: &mut Sha256, name: &[u8], inode: &Statx) {
    let (seconds, nanoseconds) = changed(inode);
    hash.update(inode.stx_dev_major.to_be_bytes());
    hash.update(inode.stx_dev_minor.to_be_bytes());
    hash.update(inode.stx_ino.to_be_bytes());
    hash.update(inode.stx_mode.to_be_bytes());
    hash.update(inode.stx_uid.to_be_bytes());
    hash.update(inode.stx_size.to_be_bytes());
    hash.update(seconds.to_be_bytes());
    hash.update(nanoseconds.to_be_bytes());
    hash.update(name);
    // No name has one.
    hash.update([0]);
}
