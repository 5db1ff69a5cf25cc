//! The journal of a write, `pending.json`: enough for the next run to finish what a killed one began.
//!
//! A write prepares everything under unfinished names first, copies in the archive included, and only then writes the
//! journal. From that moment on the write has happened: whoever only reads sees the files as the journal says that they
//! are to be, and the next run that may write gives them their names. Nothing of it depends on what stands under a
//! name at the moment, so it may be cut off and begun again as often as it likes.

use std::collections::BTreeSet;
use std::path::PathBuf;

use kmh_cli::Failure;
use rustix::fs::{AtFlags, CWD, FileType};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::batch::Batch;
use super::{PENDING, Store, UNFINISHED, failed, read};

/// A journal names every file of a write: larger than any of them.
const LIMIT: u64 = 1 << 28;

/// `pending.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Journal {
    /// What is made, without endings: what of it is not there, or does not belong together, a killed run left so.
    pub(super) names: BTreeSet<String>,
    /// Files that wait under their unfinished names, group by group in the order in which they are renamed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) files: Vec<Vec<String>>,
    /// Files that go when all others have their names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) gone: Vec<Gone>,
}

/// A file that goes from its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Gone {
    /// Its name.
    pub(super) file: String,
    /// The file that holds the same.
    pub(super) kept: String,
    /// Whether that one holds it encrypted, and cannot be compared.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) sealed: bool,
}

/// What an unfinished write changes for those who read.
#[derive(Clone, Debug, Default)]
pub(super) struct Unfinished {
    /// Names of what was being made, without endings.
    pub(super) names: BTreeSet<String>,
    /// Files that wait under their unfinished names.
    pub(super) waiting: BTreeSet<String>,
    /// Files that are still there and are to go.
    pub(super) gone: BTreeSet<String>,
}

/// The unfinished name of a file.
pub(super) fn unfinished(relative: &str) -> String {
    match relative.rsplit_once('/') {
        Some((folder, name)) => format!("{folder}/.{name}{UNFINISHED}"),
        None => format!(".{relative}{UNFINISHED}"),
    }
}

impl Store {
    /// The journal that is there.
    pub(super) fn journal(&self) -> Result<Journal, Failure> {
        let path = self.root.join(PENDING);
        let bytes = read::bytes_up_to(&path, LIMIT).map_err(|error| failed("cannot read", &path, error))?;
        let Some((bytes, _)) = bytes else { return Ok(Journal::default()) };
        serde_json::from_slice(&bytes).map_err(|error| {
            Failure::world(format!("`{}` is damaged", path.display())).because(error).hint(
                "remove it: it only names what a killed run left unfinished, which the next run then shows",
            )
        })
    }

    /// How a journal looks to those who read.
    pub(super) fn unfinished_write(&self, journal: &Journal) -> Unfinished {
        let waiting = journal.files.iter().flatten();
        let gone = journal.gone.iter().map(|gone| gone.file.clone());
        Unfinished {
            names: journal.names.clone(),
            waiting: waiting.filter(|file| self.is_there(&unfinished(file))).cloned().collect(),
            gone: gone.filter(|file| self.is_there(file)).collect(),
        }
    }

    /// Finishes what a killed run began; leaves of its journal what can no longer be finished.
    pub(super) fn complete(&self, journal: &Journal) -> Result<(), Failure> {
        if journal.files.is_empty() && journal.gone.is_empty() {
            return Ok(());
        }
        for group in &journal.files {
            self.sync()?;
            for file in group {
                let path = self.root.join(file);
                match rustix::fs::rename(self.root.join(unfinished(file)), &path) {
                    // It has its name already, or somebody took it away.
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(error) => return Err(failed("cannot write", &path, error)),
                }
            }
        }
        self.sync()?;
        self.let_go(&journal.gone)?;
        if journal.files.iter().flatten().all(|file| self.is_there(file)) {
            return self.remove_journal();
        }
        let rest = Journal { names: journal.names.clone(), ..Journal::default() };
        let mut batch = Batch::new(self)?;
        batch.stage_json(PENDING, &rest)?;
        batch.finish(&[PENDING.to_owned()])?;
        batch.keep()
    }

    /// All is done. A journal that a power cut brought back would give names to what a later run left unfinished.
    pub(super) fn remove_journal(&self) -> Result<(), Failure> {
        self.remove(PENDING)?;
        rustix::fs::fsync(&self.dir).map_err(|error| failed("cannot sync store", &self.root, error))
    }

    /// Takes files from their names, each only where another file holds the same.
    pub(super) fn let_go(&self, gone: &[Gone]) -> Result<(), Failure> {
        if gone.is_empty() {
            return Ok(());
        }
        for gone in gone {
            let kept =
                if gone.sealed { self.is_there(&gone.kept) } else { self.same(&gone.file, &gone.kept)? };
            if kept && self.is_there(&gone.file) {
                self.remove(&gone.file)?;
            }
        }
        self.sync()
    }

    /// Whether two names stand for one file, or for two that hold the same.
    pub(super) fn same(&self, one: &str, other: &str) -> Result<bool, Failure> {
        let stat = |name: &str| {
            rustix::fs::statat(CWD, self.root.join(name), AtFlags::SYMLINK_NOFOLLOW)
                .map(|stat| (stat.st_dev, stat.st_ino))
        };
        if let (Ok(one), Ok(other)) = (stat(one), stat(other))
            && one == other
        {
            return Ok(true);
        }
        let bytes = |name: &str| {
            let path = self.root.join(name);
            read::bytes(&path).map_err(|error| failed("cannot read", &path, error))
        };
        let (one, other) = (bytes(one)?, bytes(other)?);
        Ok(one.is_some_and(|one| Some(one) == other))
    }

    /// Whether something stands at that name; a link that leads nowhere does too.
    pub(super) fn is_there(&self, relative: &str) -> bool {
        self.kind(relative).is_some()
    }

    pub(super) fn kind(&self, relative: &str) -> Option<FileType> {
        rustix::fs::statat(CWD, self.root.join(relative), AtFlags::SYMLINK_NOFOLLOW)
            .ok()
            .map(|stat| FileType::from_raw_mode(stat.st_mode))
    }

    /// Where a file of the store is read: its own place, or the unfinished one. None: it is to go.
    pub(super) fn place(&self, relative: &str) -> Option<PathBuf> {
        if self.unfinished.waiting.contains(relative) {
            return Some(self.root.join(unfinished(relative)));
        }
        (!self.unfinished.gone.contains(relative)).then(|| self.root.join(relative))
    }

    pub(super) fn sync(&self) -> Result<(), Failure> {
        rustix::fs::syncfs(&self.dir).map_err(|error| failed("cannot sync store", &self.root, error))
    }

    pub(super) fn remove(&self, relative: &str) -> Result<(), Failure> {
        let path = self.root.join(relative);
        match rustix::fs::unlink(&path) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(failed("cannot remove", &path, error)),
        }
    }
}
