//! Files that are written together: under unfinished names first, synced once, then renamed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use kmh_cli::Failure;
use rayon::prelude::*;
use rustix::fd::AsFd;
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::journal::unfinished;
use super::{Store, failed, read};

/// Files that are written together. Dropped before its end, it takes back what it can.
pub(super) struct Batch<'a> {
    store: &'a Store,
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
    /// Folders that are there, relative to the store: a thousand nodes have twelve thousand parts of paths, and a
    /// thousand folders.
    known: BTreeSet<String>,
    /// To whom what is made is given.
    heir: Option<(Uid, Gid)>,
}

/// Fewer files than this are not worth a second thread.
pub(super) const MANY: usize = 64;

/// Does the same with each, on all cores where there are many. None depends on another.
fn each<T: Sync>(all: &[T], work: impl Fn(&T) -> Result<(), Failure> + Sync + Send) -> Result<(), Failure> {
    if all.len() < MANY { all.iter().try_for_each(work) } else { all.par_iter().try_for_each(work) }
}

/// A file that is to be written: its name, its octets, its mode.
pub(super) type New<'a> = (&'a str, &'a [u8], u32);

impl<'a> Batch<'a> {
    pub(super) fn new(store: &'a Store) -> Result<Self, Failure> {
        let heir = heir(store)?;
        Ok(Self { store, files: Vec::new(), folders: Vec::new(), known: BTreeSet::new(), heir })
    }

    /// Writes a file under its unfinished name, with its final mode from the first moment.
    pub(super) fn stage(&mut self, relative: &str, bytes: &[u8], mode: u32) -> Result<(), Failure> {
        self.stage_all(&[(relative, bytes, mode)])
    }

    /// The same of many files, on all cores.
    pub(super) fn stage_all(&mut self, files: &[New<'_>]) -> Result<(), Failure> {
        let root = &self.store.root;
        self.make_folders_of(files.iter().map(|(relative, ..)| *relative))?;
        // Before they are there: what is not, is taken back without harm.
        let start = self.files.len();
        self.files.extend(files.iter().map(|(relative, ..)| root.join(unfinished(relative))));
        let this = &*self;
        let all: Vec<_> = this.files[start..].iter().zip(files).collect();
        each(&all, |(at, (relative, bytes, mode))| this.write(at, bytes, *mode, &root.join(relative)))
    }

    /// The same of a value, as JSON.
    pub(super) fn stage_json(
        &mut self,
        relative: &str,
        value: &impl serde::Serialize,
    ) -> Result<(), Failure> {
        let mut bytes =
            serde_json::to_vec(value).map_err(|error| Failure::world("cannot write JSON").because(error))?;
        bytes.push(b'\n');
        self.stage(relative, &bytes, 0o644)
    }

    /// Gives a file of the store an unfinished name beside its own: that of the place where it goes. A symbolic link
    /// (to a key on a stick) goes as such.
    pub(super) fn stage_link(&mut self, from: &str, to: &str) -> Result<(), Failure> {
        self.make_folders_of([to])?;
        let unfinished = self.store.root.join(unfinished(to));
        match rustix::fs::unlink(&unfinished) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(failed("cannot write", &self.store.root.join(to), error)),
        }
        self.link(from, &unfinished, AtFlags::empty())
    }

    /// Puts a second name of a file into the archive, under the first of these names that is free or holds the same;
    /// says which.
    pub(super) fn archive(&mut self, from: &str, names: &[String; 2]) -> Result<String, Failure> {
        for name in names {
            if self.store.is_there(name) {
                if self.store.same(from, name)? {
                    return Ok(name.clone());
                }
                continue;
            }
            self.make_folders_of([name.as_str()])?;
            let path = self.store.root.join(name);
            self.link(from, &path, AtFlags::SYMLINK_FOLLOW)?;
            return Ok(name.clone());
        }
        let [_, name] = names;
        Err(Failure::world(format!("cannot write `{}`", self.store.root.join(name).display()))
            .because("something else stands there")
            .hint("move it out of the store"))
    }

    fn link(&mut self, from: &str, to: &Path, how: AtFlags) -> Result<(), Failure> {
        let path = self.store.root.join(from);
        match rustix::fs::linkat(CWD, &path, CWD, to, how) {
            Ok(()) => {
                self.files.push(to.to_owned());
                Ok(())
            }
            // A file system without hard links, or a file on another one.
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK | Errno::XDEV) => {
                let read =
                    read::bytes_and_mode(&path).map_err(|error| failed("cannot read", &path, error))?;
                let Some((bytes, mode)) = read else {
                    return Err(Failure::world(format!("`{}` is gone", path.display())));
                };
                self.files.push(to.to_owned());
                self.write(to, &Zeroizing::new(bytes), mode & 0o777, to)
            }
            Err(error) => Err(failed("cannot write", to, error)),
        }
    }

    fn write(&self, at: &Path, bytes: &[u8], mode: u32, shown: &Path) -> Result<(), Failure> {
        let fail = |error| failed("cannot write", shown, error);
        // Under the lock nobody else writes here: a file of that name is what a killed run left.
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || rustix::fs::open(at, flags, Mode::from_raw_mode(mode & 0o700));
        let file = match open() {
            Err(Errno::EXIST) => {
                rustix::fs::unlink(at).map_err(fail)?;
                open()
            }
            other => other,
        }
        .map_err(fail)?;
        self.give(&file, shown)?;
        // The umask may have taken bits away.
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).map_err(fail)?;
        std::fs::File::from(file)
            .write_all(bytes)
            .map_err(|error| fail(Errno::from_io_error(&error).unwrap_or(Errno::IO)))
    }

    /// The folders of files below the store, made where they are missing: level by level, for each needs the one above it.
    fn make_folders_of<'f>(&mut self, files: impl IntoIterator<Item = &'f str>) -> Result<(), Failure> {
        let mut levels: BTreeMap<usize, BTreeSet<&str>> = BTreeMap::new();
        for (folder, _) in files.into_iter().filter_map(|file| file.rsplit_once('/')) {
            let ends = folder.match_indices('/').map(|(end, _)| end).chain([folder.len()]);
            let parts = ends.enumerate().map(|(depth, end)| (depth, &folder[..end]));
            for (depth, part) in parts.filter(|(_, part)| !self.known.contains(*part)) {
                levels.entry(depth).or_default().insert(part);
            }
        }
        for level in levels.into_values() {
            let level: Vec<_> = level.into_iter().collect();
            let made = Mutex::new(Vec::new());
            let done = each(&level, |folder| self.make_folder(folder, &made));
            // What one made is taken back although another could not be made.
            self.folders.extend(made.into_inner().unwrap_or_else(PoisonError::into_inner));
            done?;
            self.known.extend(level.into_iter().map(ToOwned::to_owned));
        }
        Ok(())
    }

    /// Makes a folder whose parent is there.
    fn make_folder(&self, relative: &str, made: &Mutex<Vec<PathBuf>>) -> Result<(), Failure> {
        let path = self.store.root.join(relative);
        match rustix::fs::mkdir(&path, Mode::from_raw_mode(0o700)) {
            Ok(()) => {
                made.lock().unwrap_or_else(PoisonError::into_inner).push(path.clone());
                let fail = |error| failed("cannot protect", &path, error);
                if self.heir.is_some() {
                    self.give(&super::open_dir(&path).map_err(fail)?, &path)?;
                }
                rustix::fs::chmod(&path, Mode::from_raw_mode(0o700)).map_err(fail)
            }
            Err(Errno::EXIST) => Ok(()),
            // Without leave to write, the kernel may say so before it says that the folder is there.
            Err(Errno::ROFS | Errno::ACCESS) if is_dir(&path) => Ok(()),
            Err(error) => Err(failed("cannot make directory", &path, error)),
        }
    }

    fn give(&self, made: &impl AsFd, path: &Path) -> Result<(), Failure> {
        let Some((uid, gid)) = self.heir else { return Ok(()) };
        match rustix::fs::fchown(made, Some(uid), Some(gid)) {
            // Only root may; for others the file stays theirs.
            Ok(()) | Err(Errno::PERM) => Ok(()),
            Err(error) => Err(failed("cannot write", path, error)),
        }
    }

    /// Makes sure that everything written so far is on the disk, then gives these files their names.
    pub(super) fn finish(&mut self, files: &[String]) -> Result<(), Failure> {
        self.store.sync()?;
        let root = &self.store.root;
        each(files, |file| {
            let path = root.join(file);
            rustix::fs::rename(root.join(unfinished(file)), &path)
                .map_err(|error| failed("cannot write", &path, error))
        })
    }

    /// From now on nothing is taken back: the journal stands, and the next run would go on.
    pub(super) fn hold(&mut self) {
        self.files.clear();
        self.folders.clear();
    }

    /// All is done. The last names must be on the disk before the journal goes.
    pub(super) fn keep(mut self) -> Result<(), Failure> {
        self.hold();
        self.store.sync()
    }
}

/// Gives what root makes in somebody's store to whom the store belongs: `sudo` once must not lock its owner out. None:
/// it is the owner who runs this.
fn heir(store: &Store) -> Result<Option<(Uid, Gid)>, Failure> {
    let stat = rustix::fs::fstat(&store.dir).map_err(|error| failed("cannot write", &store.root, error))?;
    let owner = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    Ok((owner.0 != rustix::process::geteuid()).then_some(owner))
}

fn is_dir(path: &Path) -> bool {
    rustix::fs::stat(path).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        for file in self.files.drain(..) {
            let _ = rustix::fs::unlink(file);
        }
        for folder in self.folders.drain(..).rev() {
            let _ = rustix::fs::rmdir(folder);
        }
    }
}
