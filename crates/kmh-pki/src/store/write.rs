//! Writing the store: many files at once, and a kill at any moment does no harm.
//!
//! `kmh_cli::file::write` syncs each file and its directory. For the six thousand files of a thousand nodes that takes
//! minutes, so here all are written under unfinished names first, then the file system is synced once, then they are
//! renamed: keys before certificates, with a sync between, so that no certificate ever stands without its key.
//! Before the first rename the journal names what is about to change; the last step removes it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use kmh_cli::Failure;
use rustix::fd::AsFd;
use rustix::fs::{Mode, OFlags, Stat};
use rustix::io::Errno;

use super::read::Pending;
use super::{IDENTITY, PENDING, Store, UNFINISHED, failed};
use crate::cert::Certificate;
use crate::csr::Request;
use crate::observed::{Bare, Half, Pair, PublicKey};
use crate::secret::Secret;

/// Something that was made and is to be written.
pub struct Made {
    /// Its private half; none when it is in the store already.
    pub key: Option<Secret>,
    /// What is known of the key without it.
    pub public: Public,
}

/// The public part of what was made.
pub enum Public {
    /// A certificate and the public half of its key.
    Certificate(Box<Pair>),
    /// A key without certificate.
    Bare(Bare),
}

impl Public {
    /// Of a certificate and its key.
    pub fn pair(certificate: Certificate, key: PublicKey) -> Self {
        Self::Certificate(Box::new(Pair {
            certificate: Half::There(certificate),
            key: Half::There(key),
            request: Half::Absent,
        }))
    }

    /// Of a certificate whose key is on its machine, and the request that it was signed for.
    pub fn away(certificate: Certificate, request: Request) -> Self {
        Self::Certificate(Box::new(Pair {
            certificate: Half::There(certificate),
            key: Half::Absent,
            request: Half::There(request),
        }))
    }

    fn certificate(&self) -> Option<&Certificate> {
        match self {
            Self::Certificate(pair) => pair.certificate.there(),
            Self::Bare(_) => None,
        }
    }

    fn request(&self) -> Option<&Request> {
        match self {
            Self::Certificate(pair) => pair.request.there(),
            Self::Bare(_) => None,
        }
    }
}

impl Store {
    /// Writes what was made: all of it, or after a kill the next run goes on.
    pub fn commit(&self, made: &BTreeMap<String, Made>) -> Result<(), Failure> {
        let mut batch = Batch::new(self);
        let mut keys = Vec::new();
        let mut certificates = Vec::new();
        for (name, made) in made {
            if let Some(secret) = &made.key {
                keys.push(batch.stage(&format!("{name}.key"), secret.octets(), 0o600)?);
            }
            if let Some(request) = made.public.request() {
                keys.push(batch.stage(&format!("{name}.csr"), request.pem.as_bytes(), 0o644)?);
            }
            if let Some(certificate) = made.public.certificate() {
                certificates.push(batch.stage(&format!("{name}.crt"), certificate.pem.as_bytes(), 0o644)?);
            }
        }
        let names: BTreeSet<String> = made.keys().cloned().collect();
        let journal = batch.stage(PENDING, &json(&Pending { names })?, 0o644)?;
        for files in [vec![journal], keys, certificates] {
            batch.finish(&files)?;
        }
        batch.keep()?;
        for (name, made) in made {
            if let (Some(_), Some(certificate)) = (made.public.request(), made.public.certificate()) {
                self.put_away(name, &certificate.serial)?;
            }
        }
        self.remove(PENDING)
    }

    /// Takes the key out of use that the store held before the machine had its own.
    fn put_away(&self, name: &str, serial: &str) -> Result<(), Failure> {
        let path = self.root.join(format!("{name}.key"));
        let mut batch = Batch::new(self);
        let to = format!("archive/{name}.{serial}.key");
        let folder = to.rsplit_once('/').map_or("archive", |(folder, _)| folder);
        match rustix::fs::lstat(&path) {
            Err(Errno::NOENT) => return Ok(()),
            other => drop(other.map_err(|error| failed("cannot read", &path, error))?),
        }
        batch.folder(folder)?;
        rustix::fs::rename(&path, self.root.join(&to))
            .map_err(|error| failed("cannot archive", &path, error))?;
        batch.keep()
    }

    /// Removes what a killed run left. Its names need no journal any more: the plan found them whole or made them.
    pub fn tidy(&self) -> Result<(), Failure> {
        for path in self.unfinished()? {
            self.remove(&path)?;
        }
        Ok(())
    }

    /// Removes the journal of a killed run whose work turned out to be complete.
    pub fn forget_pending(&self) -> Result<(), Failure> {
        self.remove(PENDING)
    }

    pub(super) fn write_identity(&self) -> Result<(), Failure> {
        let mut batch = Batch::new(self);
        let staged = batch.stage(IDENTITY, &json(&self.identity)?, 0o644)?;
        batch.finish(&[staged])?;
        batch.keep()
    }

    fn remove(&self, relative: &str) -> Result<(), Failure> {
        let path = self.root.join(relative);
        match rustix::fs::unlink(&path) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(failed("cannot remove", &path, error)),
        }
    }
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, Failure> {
    let mut bytes =
        serde_json::to_vec(value).map_err(|error| Failure::world("cannot write JSON").because(error))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// A file under its unfinished name, and where it belongs.
struct Staged {
    unfinished: PathBuf,
    path: PathBuf,
}

/// Files that are written together. Dropped before its end, it takes back what it can.
struct Batch<'a> {
    store: &'a Store,
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

impl<'a> Batch<'a> {
    fn new(store: &'a Store) -> Self {
        Self { store, files: Vec::new(), folders: Vec::new() }
    }

    /// Writes a file under its unfinished name, with its final mode from the first moment.
    fn stage(&mut self, relative: &str, bytes: &[u8], mode: u32) -> Result<Staged, Failure> {
        let path = self.store.root.join(relative);
        let (folder, name) = match relative.rsplit_once('/') {
            Some((folder, name)) => (self.folder(folder)?, name),
            None => (self.store.root.clone(), relative),
        };
        let unfinished = folder.join(format!(".{name}{UNFINISHED}"));
        let fail = |error| failed("cannot write", &path, error);
        // Under the lock nobody else writes here: a file of that name is what a killed run left.
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || rustix::fs::open(&unfinished, flags, Mode::from_raw_mode(mode & 0o700));
        let file = match open() {
            Err(Errno::EXIST) => {
                rustix::fs::unlink(&unfinished).map_err(fail)?;
                open()
            }
            other => other,
        }
        .map_err(fail)?;
        self.files.push(unfinished.clone());
        self.give(&file, &path)?;
        // The umask may have taken bits away.
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).map_err(fail)?;
        std::fs::File::from(file)
            .write_all(bytes)
            .map_err(|error| fail(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        Ok(Staged { unfinished, path })
    }

    /// The folder of that name below the store, made when it is missing.
    fn folder(&mut self, relative: &str) -> Result<PathBuf, Failure> {
        let mut path = self.store.root.clone();
        for part in relative.split('/') {
            path.push(part);
            match rustix::fs::mkdir(&path, Mode::from_raw_mode(0o700)) {
                Ok(()) => {
                    self.folders.push(path.clone());
                    let fail = |error| failed("cannot protect", &path, error);
                    self.give(&super::open_dir(&path).map_err(fail)?, &path)?;
                    rustix::fs::chmod(&path, Mode::from_raw_mode(0o700)).map_err(fail)?;
                }
                Err(Errno::EXIST) => {}
                Err(error) => return Err(failed("cannot make directory", &path, error)),
            }
        }
        Ok(path)
    }

    /// Gives what root makes in somebody's store to whom the store belongs: `sudo` once must not lock its owner out.
    fn give(&self, made: &impl AsFd, path: &Path) -> Result<(), Failure> {
        let fail = |error| failed("cannot write", path, error);
        let owner = |stat: Stat| (stat.st_uid, stat.st_gid);
        let (uid, gid) = owner(rustix::fs::fstat(&self.store.dir).map_err(fail)?);
        if uid == owner(rustix::fs::fstat(made).map_err(fail)?).0 {
            return Ok(());
        }
        let (uid, gid) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
        match rustix::fs::fchown(made, Some(uid), Some(gid)) {
            // Only root may; for others the file stays theirs.
            Ok(()) | Err(Errno::PERM) => Ok(()),
            Err(error) => Err(fail(error)),
        }
    }

    /// Makes sure that everything written so far is on the disk, then gives these files their names.
    fn finish(&mut self, files: &[Staged]) -> Result<(), Failure> {
        self.sync()?;
        for file in files {
            rustix::fs::rename(&file.unfinished, &file.path)
                .map_err(|error| failed("cannot write", &file.path, error))?;
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), Failure> {
        rustix::fs::syncfs(&self.store.dir)
            .map_err(|error| failed("cannot sync store", &self.store.root, error))
    }

    /// All is done: nothing is taken back. The last names must be on the disk before the journal goes.
    fn keep(mut self) -> Result<(), Failure> {
        self.files.clear();
        self.folders.clear();
        self.sync()
    }
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
