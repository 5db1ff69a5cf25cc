//! Reading the store. Private keys are parsed, compared and forgotten at once.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use kmh_cli::{Failure, file};
use kmh_doc::pki::KeyClass;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::{
    ARCHIVE, CERTIFICATES, ENDINGS, FOLDERS, GENERATIONS, REQUESTS, Store, UNFINISHED, USERS, failed,
};
use crate::cert::Certificate;
use crate::csr::Request;
use crate::many;
use crate::observed::{Bare, Half, Observed, Pair};
use crate::secret::{Key, Secret};
use crate::table::{Life, RANDOM, TEXT, TEXT_LENGTHS};
use crate::want::Wants;

/// No file of a store is larger.
const LIMIT: u64 = 1 << 20;

/// What was read of one name.
struct Seen {
    name: String,
    pair: Pair,
    readable: bool,
}

impl Store {
    /// Looks at everything that is wanted, and at the names of the rest.
    pub fn observe(&self, wants: &Wants) -> Result<Observed, Failure> {
        let mut observed = Observed { pending: self.unfinished.names.clone(), ..Observed::default() };
        let names = self.names()?;
        let wanted: BTreeMap<String, &str> = wanted_keys(wants).collect();
        let pairs: BTreeSet<String> = wanted_pairs(wants).collect();
        let there = pairs.iter().filter(|name| names.contains(*name));
        let mut failures: Option<Failure> = None;
        let mut fail = |failure: Failure| match &mut failures {
            Some(all) => all.notes.extend(failure.notes),
            None => failures = Some(failure),
        };
        for seen in many::map(there, |name| self.see(name)) {
            match seen {
                Ok(seen) => {
                    observed.readable.extend(seen.readable.then(|| format!("{}.key", seen.name)));
                    observed.pairs.insert(seen.name, Box::new(seen.pair));
                }
                Err(failure) => fail(failure),
            }
        }
        for name in names.iter().filter_map(|name| name.strip_prefix(REQUESTS)?.strip_prefix('/')) {
            match self.see(&format!("{REQUESTS}/{name}")) {
                Ok(seen) => {
                    observed.readable.extend(seen.readable.then(|| format!("{}.key", seen.name)));
                    observed.waiting.insert(name.to_owned(), seen.pair);
                }
                Err(failure) => fail(failure),
            }
        }
        for (name, algorithm) in &wanted {
            // Of generations only those that are there; of what is wanted, that it is not there is told too.
            if !wants.keys.contains_key(name) && !names.contains(name) {
                continue;
            }
            match self.see_key(name, algorithm) {
                Ok((half, readable)) => {
                    observed.readable.extend(readable.then(|| format!("{name}.key")));
                    observed.keys.insert(name.clone(), half);
                }
                Err(failure) => fail(failure),
            }
        }
        let (keys, certificates): (BTreeSet<_>, BTreeSet<_>) =
            names.into_iter().filter(|name| !is_request(name)).partition(|name| name.starts_with("keys/"));
        observed.leftover = certificates.into_iter().filter(|name| !pairs.contains(name)).collect();
        observed.unused = keys.into_iter().filter(|name| !wanted.contains_key(name)).collect();
        failures.map_or(Ok(observed), Err)
    }

    /// Reads a private key of the store.
    pub fn key(&self, name: &str) -> Result<Key, Failure> {
        let path = self.root.join(format!("{name}.key"));
        let gone = || Failure::world(format!("`{}` is gone", path.display()));
        self.secret(name)?
            .ok_or_else(gone)?
            .key_pair()
            .map_err(|why| Failure::world(format!("`{}` is damaged", path.display())).because(why))
    }

    /// Every certificate by its name, wanted or not: its octets, or why they are not read. No key is opened.
    pub fn certificates(&self) -> Result<BTreeMap<String, Result<Vec<u8>, &'static str>>, Failure> {
        let mut files = BTreeSet::new();
        self.walk_in(&CERTIFICATES, &mut |path| {
            files.extend((!self.unfinished.gone.contains(path)).then(|| path.to_owned()));
        })?;
        files.extend(self.waiting_in(&CERTIFICATES).cloned());
        let names = files.iter().filter_map(|path| path.strip_suffix(".crt"));
        names.map(|name| Ok((name.to_owned(), self.certificate(name)?))).collect()
    }

    /// Files of these folders that wait under unfinished names.
    fn waiting_in(&self, folders: &[&str]) -> impl Iterator<Item = &String> {
        let top = |path: &String| folders.contains(&path.split('/').next().unwrap_or_default());
        self.unfinished.waiting.iter().filter(move |path| top(path))
    }

    fn certificate(&self, name: &str) -> Result<Result<Vec<u8>, &'static str>, Failure> {
        let Some(path) = self.place(&format!("{name}.crt")) else { return Ok(Err("it is to go")) };
        Ok(match path.metadata() {
            Ok(meta) if meta.is_file() && meta.len() <= LIMIT => Ok(file::read(&path)?),
            Ok(meta) if meta.is_file() => Err("it is larger than a mebibyte"),
            Ok(_) => Err("it is no file"),
            // A symbolic link that leads nowhere.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err("it leads nowhere"),
            Err(error) => {
                let message = format!("cannot read `{}`", path.display());
                return Err(Failure::world(message).because(file::plain(&error)));
            }
        })
    }

    fn see(&self, name: &str) -> Result<Seen, Failure> {
        let certificate = match self.file(name, "crt")? {
            None => Half::Absent,
            Some((bytes, _)) => Certificate::from_pem(&bytes).map_or_else(Half::Damaged, Half::There),
        };
        let (key, readable) = match (self.look_at_sealed(name)?, self.file(name, "key")?) {
            (Some(half), _) => (half.map(|public| public.der), false),
            (None, None) => (Half::Absent, false),
            (None, Some((bytes, mode))) => {
                let key = Secret::new(bytes).key_pair().map(|key| key.public());
                (key.map_or_else(Half::Damaged, Half::There), mode & 0o077 != 0)
            }
        };
        let request = match self.file(name, "csr")? {
            None => Half::Absent,
            Some((bytes, _)) => {
                Request::from_file(&bytes).map(Box::new).map_or_else(Half::Damaged, Half::There)
            }
        };
        Ok(Seen { name: name.to_owned(), pair: Pair { certificate, key, request }, readable })
    }

    fn see_key(&self, name: &str, algorithm: &str) -> Result<(Half<Bare>, bool), Failure> {
        if let Some(half) = self.see_sealed_key(name, algorithm)? {
            return Ok((half, false));
        }
        let Some((bytes, mode)) = self.file(name, "key")? else { return Ok((Half::Absent, false)) };
        let secret = Secret::new(bytes);
        let half = match algorithm {
            RANDOM | TEXT if secret.octets().is_empty() => Half::Damaged("it is empty"),
            RANDOM if secret.octets().len() == 32 => {
                Half::There(Bare { id: Some(secret.id()), ..Bare::default() })
            }
            RANDOM => Half::Damaged("it is not 32 octets long"),
            TEXT if secret.is_text(TEXT_LENGTHS) => Half::There(Bare::default()),
            TEXT => Half::Damaged("it is not 22 to 80 letters and digits, a letter first"),
            _ => match secret.key_pair() {
                Ok(key) => Half::There(Bare { public: Some(key.public_pem()), ..Bare::default() }),
                Err(why) => Half::Damaged(why),
            },
        };
        Ok((half, mode & 0o077 != 0))
    }

    pub(super) fn file(&self, name: &str, ending: &str) -> Result<Option<(Vec<u8>, u32)>, Failure> {
        let Some(path) = self.place(&format!("{name}.{ending}")) else { return Ok(None) };
        // What is larger is damaged, whatever it is, and its beginning is enough to say so.
        beginning(&path, LIMIT).map_err(|error| failed("cannot read", &path, error))
    }

    /// The names of all certificates and keys, half ones included.
    pub fn names(&self) -> Result<BTreeSet<String>, Failure> {
        let mut names = BTreeSet::new();
        let mut add = |path: &str| {
            let name = ENDINGS.iter().find_map(|ending| path.strip_suffix(ending)?.strip_suffix('.'));
            names.extend(name.map(ToOwned::to_owned));
        };
        self.walk(&mut |path| {
            if !self.unfinished.gone.contains(path) {
                add(path);
            }
        })?;
        self.waiting_in(&FOLDERS).for_each(|path| add(path));
        Ok(names)
    }

    /// Unfinished files that a killed run left.
    pub(super) fn left_unfinished(&self) -> Result<Vec<String>, Failure> {
        let mut found = Vec::new();
        let mut visit = |path: &str| found.extend(path.ends_with(UNFINISHED).then(|| path.to_owned()));
        self.walk(&mut visit)?;
        self.walk_in(&[ARCHIVE, USERS], &mut visit)?;
        let top = list_own(&self.root).map_err(|error| failed("cannot list", &self.root, error))?;
        found.extend(top.into_iter().filter(|name| name.ends_with(UNFINISHED)));
        Ok(found)
    }

    /// Calls `visit` with the path of every file in the store's folders, relative to the store.
    fn walk(&self, visit: &mut dyn FnMut(&str)) -> Result<(), Failure> {
        self.walk_in(&FOLDERS, visit)
    }

    /// The same, of other folders.
    pub(super) fn walk_in(&self, folders: &[&str], visit: &mut dyn FnMut(&str)) -> Result<(), Failure> {
        let mut folders: Vec<String> = folders.iter().map(ToString::to_string).collect();
        while let Some(folder) = folders.pop() {
            let path = self.root.join(&folder);
            let names = match list_own(&path) {
                Err(Errno::NOENT) => continue,
                other => other.map_err(|error| failed("cannot list", &path, error))?,
            };
            for name in names {
                let inner = format!("{folder}/{name}");
                let top = folder.split('/').next().unwrap_or_default();
                let deep = matches!(top, REQUESTS | ARCHIVE)
                    || matches!(folder.as_str(), "keys" | "nodes" | "routers");
                if deep && self.root.join(&inner).is_dir() {
                    folders.push(inner);
                } else {
                    visit(&inner);
                }
            }
        }
        Ok(())
    }
}

/// Whether a name is that of a request that waits.
fn is_request(name: &str) -> bool {
    name.strip_prefix(REQUESTS).is_some_and(|rest| rest.starts_with('/'))
}

/// Names of certificates that are looked for: what is wanted, and the other generations of CAs.
fn wanted_pairs(wants: &Wants) -> impl Iterator<Item = String> {
    wants.certificates.values().flat_map(|wanted| {
        let others = if wanted.life == Life::Authority { &GENERATIONS[..] } else { &[] };
        others.iter().map(|one| wanted.name.clone() + one.ending()).chain([wanted.name.clone()])
    })
}

/// The same of keys without certificate, and what each is.
fn wanted_keys(wants: &Wants) -> impl Iterator<Item = (String, &'static str)> {
    wants.keys.values().flat_map(|wanted| {
        let others = match wanted.class {
            KeyClass::ServiceAccount | KeyClass::Encryption => &GENERATIONS[..],
            KeyClass::BgpPassword | KeyClass::TunnelPsk => &[],
        };
        let others = others.iter().map(|one| (wanted.name.clone() + one.ending(), wanted.algorithm));
        others.chain([(wanted.name.clone(), wanted.algorithm)])
    })
}

/// The bytes of a file, when there is one.
pub(super) fn bytes(path: &Path) -> Result<Option<Vec<u8>>, Errno> {
    Ok(bytes_and_mode(path)?.map(|(bytes, _)| bytes))
}

pub(super) fn bytes_and_mode(path: &Path) -> Result<Option<(Vec<u8>, u32)>, Errno> {
    bytes_up_to(path, LIMIT)
}

/// Of a file that may be larger, up to that. One that is larger still is an error (EFBIG) and not cut off: what is copied
/// or compared would not be the file.
pub(super) fn bytes_up_to(path: &Path, limit: u64) -> Result<Option<(Vec<u8>, u32)>, Errno> {
    match beginning(path, limit)? {
        Some((bytes, _)) if bytes.len() as u64 > limit => Err(Errno::FBIG),
        found => Ok(found),
    }
}

/// One octet more than the limit, where there is so much.
fn beginning(path: &Path, limit: u64) -> Result<Option<(Vec<u8>, u32)>, Errno> {
    let file =
        match rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            other => std::fs::File::from(other?),
        };
    let errno = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    let meta = file.metadata().map_err(errno)?;
    // One octet more than the size: a vector that grows leaves copies of a key behind.
    let size = usize::try_from(meta.len().min(limit)).unwrap_or(0);
    let mut bytes = Vec::with_capacity(size + 1);
    (&file).take(limit + 1).read_to_end(&mut bytes).map_err(errno)?;
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

/// Those of them that can be a store's: its names are UTF-8, and what others are called `verify` says.
fn list_own(path: &Path) -> Result<Vec<String>, Errno> {
    Ok(list(path)?.into_iter().filter(|name| !name.contains(char::REPLACEMENT_CHARACTER)).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests")]
    use super::*;

    #[test]
    fn what_is_too_large_is_not_cut_off() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        std::fs::write(&path, [7; 11]).unwrap();
        assert_eq!(bytes_up_to(&path, 11).unwrap().unwrap().0, [7; 11]);
        assert_eq!(bytes_up_to(&path, 10).unwrap_err(), Errno::FBIG);
        assert_eq!(beginning(&path, 9).unwrap().unwrap().0, [7; 10]);
        assert_eq!(bytes_up_to(&place.path().join("none"), 10).unwrap(), None);
    }
}
