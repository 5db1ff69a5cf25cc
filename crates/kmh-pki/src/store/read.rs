//! Reading the store. Private keys are parsed, compared and forgotten at once.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use kmh_cli::Failure;
use rayon::prelude::*;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::{FOLDERS, PENDING, Store, UNFINISHED, failed};
use crate::cert::Certificate;
use crate::observed::{Bare, Half, Observed, Pair};
use crate::secret::{Key, Secret};
use crate::table::{RANDOM, TEXT, TEXT_LENGTHS};
use crate::want::Wants;

/// No file of a store is larger.
const LIMIT: u64 = 1 << 20;

/// `pending.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pending {
    pub(super) names: BTreeSet<String>,
}

/// What was read of one name.
struct Seen {
    name: String,
    pair: Pair,
    readable: bool,
}

impl Store {
    /// Looks at everything that is wanted, and at the names of the rest.
    pub fn observe(&self, wants: &Wants) -> Result<Observed, Failure> {
        let mut observed = Observed { pending: self.pending()?, ..Observed::default() };
        let names = self.names()?;
        let seen: Vec<Result<Seen, Failure>> = wants
            .certificates
            .par_iter()
            .filter(|(name, _)| names.contains(*name))
            .map(|(name, _)| self.see(name))
            .collect();
        let mut failures: Option<Failure> = None;
        let mut fail = |failure: Failure| match &mut failures {
            Some(all) => all.notes.extend(failure.notes),
            None => failures = Some(failure),
        };
        for seen in seen {
            match seen {
                Ok(seen) => {
                    observed.readable.extend(seen.readable.then(|| format!("{}.key", seen.name)));
                    observed.pairs.insert(seen.name, seen.pair);
                }
                Err(failure) => fail(failure),
            }
        }
        for wanted in wants.keys.values() {
            match self.see_key(&wanted.name, wanted.algorithm) {
                Ok((half, readable)) => {
                    observed.readable.extend(readable.then(|| format!("{}.key", wanted.name)));
                    observed.keys.insert(wanted.name.clone(), half);
                }
                Err(failure) => fail(failure),
            }
        }
        let (keys, certificates): (BTreeSet<_>, BTreeSet<_>) =
            names.into_iter().partition(|name| name.starts_with("keys/"));
        observed.leftover =
            certificates.into_iter().filter(|name| !wants.certificates.contains_key(name)).collect();
        observed.unused = keys.into_iter().filter(|name| !wants.keys.contains_key(name)).collect();
        failures.map_or(Ok(observed), Err)
    }

    /// Reads a private key of the store.
    pub fn key(&self, name: &str) -> Result<Key, Failure> {
        let path = self.root.join(format!("{name}.key"));
        self.secret(name)?
            .key_pair()
            .map_err(|why| Failure::world(format!("`{}` is damaged", path.display())).because(why))
    }

    /// Reads a key of the store, whatever it is.
    pub fn secret(&self, name: &str) -> Result<Secret, Failure> {
        let path = self.root.join(format!("{name}.key"));
        let gone = || Failure::world(format!("`{}` is gone", path.display()));
        let bytes = bytes(&path).map_err(|error| failed("cannot read", &path, error))?.ok_or_else(gone)?;
        Ok(Secret::new(bytes))
    }

    fn see(&self, name: &str) -> Result<Seen, Failure> {
        let certificate = match self.file(name, "crt")? {
            None => Half::Absent,
            Some((bytes, _)) => Certificate::from_pem(&bytes).map_or_else(Half::Damaged, Half::There),
        };
        let (key, readable) = match self.file(name, "key")? {
            None => (Half::Absent, false),
            Some((bytes, mode)) => {
                let key = Secret::new(bytes).key_pair().map(|key| key.public());
                (key.map_or_else(Half::Damaged, Half::There), mode & 0o077 != 0)
            }
        };
        Ok(Seen { name: name.to_owned(), pair: Pair { certificate, key }, readable })
    }

    fn see_key(&self, name: &str, algorithm: &str) -> Result<(Half<Bare>, bool), Failure> {
        let Some((bytes, mode)) = self.file(name, "key")? else { return Ok((Half::Absent, false)) };
        let secret = Secret::new(bytes);
        let half = match algorithm {
            RANDOM | TEXT if secret.octets().is_empty() => Half::Damaged("it is empty"),
            RANDOM if secret.octets().len() == 32 => Half::There(Bare { public: None }),
            RANDOM => Half::Damaged("it is not 32 octets long"),
            TEXT if secret.is_text(TEXT_LENGTHS) => Half::There(Bare { public: None }),
            TEXT => Half::Damaged("it is not 22 to 80 letters and digits, a letter first"),
            _ => match secret.key_pair() {
                Ok(key) => Half::There(Bare { public: Some(key.public_pem()) }),
                Err(why) => Half::Damaged(why),
            },
        };
        Ok((half, mode & 0o077 != 0))
    }

    fn file(&self, name: &str, ending: &str) -> Result<Option<(Vec<u8>, u32)>, Failure> {
        let path = self.root.join(format!("{name}.{ending}"));
        bytes_and_mode(&path).map_err(|error| failed("cannot read", &path, error))
    }

    fn pending(&self) -> Result<BTreeSet<String>, Failure> {
        let path = self.root.join(PENDING);
        let Some(bytes) = bytes(&path).map_err(|error| failed("cannot read", &path, error))? else {
            return Ok(BTreeSet::new());
        };
        serde_json::from_slice(&bytes).map(|pending: Pending| pending.names).map_err(|error| {
            Failure::world(format!("`{}` is damaged", path.display())).because(error).hint(
                "remove it: it only names what a killed run left unfinished, which the next run then shows",
            )
        })
    }

    /// The names of all certificates and keys, half ones included.
    fn names(&self) -> Result<BTreeSet<String>, Failure> {
        let mut names = BTreeSet::new();
        self.walk(&mut |path| {
            let name = path.strip_suffix(".crt").or_else(|| path.strip_suffix(".key"));
            names.extend(name.map(ToOwned::to_owned));
        })?;
        Ok(names)
    }

    /// Unfinished files that a killed run left.
    pub(super) fn unfinished(&self) -> Result<Vec<String>, Failure> {
        let mut found = Vec::new();
        self.walk(&mut |path| found.extend(path.ends_with(UNFINISHED).then(|| path.to_owned())))?;
        let top = list(&self.root).map_err(|error| failed("cannot list", &self.root, error))?;
        found.extend(top.into_iter().filter(|name| name.ends_with(UNFINISHED)));
        Ok(found)
    }

    /// Calls `visit` with the path of every file in the store's folders, relative to the store.
    fn walk(&self, visit: &mut dyn FnMut(&str)) -> Result<(), Failure> {
        let mut folders: Vec<String> = FOLDERS.iter().map(ToString::to_string).collect();
        while let Some(folder) = folders.pop() {
            let path = self.root.join(&folder);
            let names = match list(&path) {
                Err(Errno::NOENT) => continue,
                other => other.map_err(|error| failed("cannot list", &path, error))?,
            };
            for name in names {
                let inner = format!("{folder}/{name}");
                if matches!(folder.as_str(), "keys" | "nodes" | "routers") && self.root.join(&inner).is_dir()
                {
                    folders.push(inner);
                } else {
                    visit(&inner);
                }
            }
        }
        Ok(())
    }
}

/// The bytes of a file, when there is one.
pub(super) fn bytes(path: &Path) -> Result<Option<Vec<u8>>, Errno> {
    Ok(bytes_and_mode(path)?.map(|(bytes, _)| bytes))
}

fn bytes_and_mode(path: &Path) -> Result<Option<(Vec<u8>, u32)>, Errno> {
    let file =
        match rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            other => std::fs::File::from(other?),
        };
    let errno = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    let meta = file.metadata().map_err(errno)?;
    // One octet more than the size: a vector that grows leaves copies of a key behind.
    let size = usize::try_from(meta.len().min(LIMIT)).unwrap_or(0);
    let mut bytes = Vec::with_capacity(size + 1);
    (&file).take(LIMIT).read_to_end(&mut bytes).map_err(errno)?;
    Ok(Some((bytes, meta.permissions().mode())))
}

/// The names in a directory, sorted. Names that are no UTF-8 are none of ours, and shown as such.
pub(super) fn list(path: &Path) -> Result<Vec<String>, Errno> {
    let errno = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(errno)? {
        names.push(entry.map_err(errno)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
