//! Writing the store: many files at once, and a kill at any moment does no harm.
//!
//! `kmh_cli::file::write` syncs each file and its directory. For the six thousand files of a thousand nodes that takes
//! minutes, so here all are written under unfinished names first, and what they replace gets a second name in the
//! archive; then the file system is synced once and the journal is written, which says what comes next; then files are
//! renamed, keys before certificates, with a sync between, so that no certificate ever stands without its key; then
//! what was moved or retired goes from its old name; the last step removes the journal.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use kmh_cli::Failure;
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::batch::Batch;
use super::journal::{Gone, Journal};
use super::{ARCHIVE, ENDINGS, IDENTITY, PENDING, REQUESTS, Store, failed, read};
use crate::cert::Certificate;
use crate::csr::Request;
use crate::observed::{Bare, Half, Pair, PublicKey};
use crate::secret::{Secret, hex};

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
            request: Half::There(Box::new(request)),
        }))
    }

    /// Of a key that waits for its certificate.
    pub fn waiting(key: PublicKey, request: Request) -> Self {
        Self::Certificate(Box::new(Pair {
            certificate: Half::Absent,
            key: Half::There(key),
            request: Half::There(Box::new(request)),
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
            Self::Certificate(pair) => pair.request.there().map(Box::as_ref),
            Self::Bare(_) => None,
        }
    }

    /// Whether the store is to hold no key of it.
    fn is_away(&self) -> bool {
        matches!(self, Self::Certificate(pair) if pair.away().is_some())
    }
}

/// What one write changes, all of it or nothing. Names are those before it: in one change `ca/x` may go to `ca/x.old`
/// and `ca/x.next` to `ca/x`. What is replaced or retired stays in the archive.
#[derive(Default)]
pub struct Change {
    /// What is new, by name.
    pub made: BTreeMap<String, Made>,
    /// Pairs and keys that get another name: from, to.
    pub moves: Vec<(String, String)>,
    /// Pairs and keys that go to the archive.
    pub retired: Vec<String>,
}

impl From<BTreeMap<String, Made>> for Change {
    fn from(made: BTreeMap<String, Made>) -> Self {
        Self { made, ..Self::default() }
    }
}

/// Where the content of a file comes from.
enum Source<'a> {
    Octets(&'a [u8], u32),
    /// Made for this file alone.
    Sealed(Vec<u8>),
    /// Another file of the store.
    File(String),
}

/// A change, file by file.
#[derive(Default)]
struct Files<'a> {
    /// What gets a name.
    put: BTreeMap<String, Source<'a>>,
    /// What loses its name, if nothing is put there.
    vacated: BTreeSet<String>,
}

impl<'a> Files<'a> {
    fn put(&mut self, file: String, source: Source<'a>) -> Result<(), Failure> {
        let message = format!("`{file}` would be written twice at once");
        self.put.insert(file, source).map_or(Ok(()), |_| Err(Failure::world(message)))
    }
}

/// What stood in the folders of a store when they were first asked about: one look at each folder, instead of ten at each
/// name.
struct Listing<'a> {
    store: &'a Store,
    folders: RefCell<HashMap<String, Option<HashSet<String>>>>,
}

impl<'a> Listing<'a> {
    fn of(store: &'a Store) -> Self {
        Self { store, folders: RefCell::default() }
    }

    /// Asks the names that stood in the folder of a file; a link that leads nowhere stood there too. None: the folder
    /// cannot be listed.
    fn ask<T>(&self, file: &str, ask: impl FnOnce(Option<&HashSet<String>>, &str) -> T) -> T {
        let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
        let mut folders = self.folders.borrow_mut();
        if let Some(names) = folders.get(folder) {
            return ask(names.as_ref(), name);
        }
        let names = match read::list(&self.store.root.join(folder)) {
            Err(Errno::NOENT) => Some(HashSet::new()),
            names => names.ok().map(|names| names.into_iter().collect()),
        };
        ask(folders.entry(folder.to_owned()).or_insert(names).as_ref(), name)
    }

    fn has(&self, file: &str) -> bool {
        // What cannot be listed may still be there, and would be replaced without a copy in the archive.
        let listed = self.ask(file, |names, name| names.map(|names| names.contains(name)));
        listed.unwrap_or_else(|| self.store.is_there(file))
    }

    fn present(&self, name: &str) -> Vec<(String, &'static str)> {
        // In a new folder none of five files has to be asked about.
        if self.ask(name, |names, _| names.is_some_and(HashSet::is_empty)) {
            return Vec::new();
        }
        let files = ENDINGS.map(|ending| (format!("{name}.{ending}"), ending));
        files.into_iter().filter(|(file, _)| self.has(file)).collect()
    }

    /// The files of a name that must have one, with their endings.
    fn files_at(&self, name: &str) -> Result<Vec<(String, &'static str)>, Failure> {
        let found = self.present(name);
        if found.is_empty() {
            let path = self.store.root.join(name);
            return Err(Failure::world(format!("`{}` is not there", path.display())));
        }
        Ok(found)
    }
}

impl Store {
    /// Writes a change: all of it, or after a kill the next run goes on.
    pub fn commit(&self, change: &Change) -> Result<(), Failure> {
        let there = Listing::of(self);
        let files = self.files_of(change, &there)?;
        let mut batch = Batch::new(self)?;
        let mut new = Vec::new();
        for (file, source) in &files.put {
            match source {
                Source::Octets(octets, mode) => new.push((file.as_str(), *octets, *mode)),
                Source::Sealed(octets) => new.push((file.as_str(), &octets[..], mode_of(file))),
                Source::File(from) => batch.stage_link(from, file)?,
            }
        }
        batch.stage_all(&new)?;
        // What is moved is kept under its new name.
        let moved: BTreeMap<&str, &str> = files
            .put
            .iter()
            .filter_map(|(to, source)| match source {
                Source::File(from) => Some((from.as_str(), to.as_str())),
                Source::Octets(..) | Source::Sealed(_) => None,
            })
            .collect();
        let mut gone = Vec::new();
        for file in files.put.keys().chain(files.vacated.iter().filter(|file| !files.put.contains_key(*file)))
        {
            let kept = match moved.get(file.as_str()) {
                Some(to) => (*to).to_owned(),
                None if there.has(file) => batch.archive(file, &self.archive_names(file)?)?,
                None => continue,
            };
            if !files.put.contains_key(file) {
                gone.push(Gone { file: file.clone(), kept, sealed: false });
            }
        }
        let (certificates, keys) = files.put.into_keys().partition(|file| has_ending(file, "crt"));
        let made = change.made.keys().chain(change.moves.iter().map(|(_, to)| to));
        let journal = Journal { names: made.cloned().collect(), files: vec![keys, certificates], gone };
        self.carry_out(batch, &journal)
    }

    /// Writes the journal, and does what it says. All else is staged.
    pub(super) fn carry_out(&self, mut batch: Batch<'_>, journal: &Journal) -> Result<(), Failure> {
        batch.stage_json(PENDING, journal)?;
        batch.finish(&[PENDING.to_owned()])?;
        batch.hold();
        for group in &journal.files {
            batch.finish(group)?;
        }
        batch.keep()?;
        self.let_go(&journal.gone)?;
        self.remove_journal()
    }

    fn files_of<'a>(&self, change: &'a Change, there: &Listing<'_>) -> Result<Files<'a>, Failure> {
        let mut files = Files::default();
        let secrets = change.made.iter().filter_map(|(name, made)| Some((name.as_str(), made.key.as_ref()?)));
        if let Some(sealed) = self.seal_all(secrets.clone())? {
            for (file, octets) in sealed {
                files.put(file, Source::Sealed(octets))?;
            }
        } else {
            for (name, secret) in secrets.clone() {
                files.put(format!("{name}.key"), Source::Octets(secret.octets(), 0o600))?;
            }
        }
        for (name, _) in secrets {
            // A key that is plain goes with the encrypted one that takes its place.
            let others = there.present(name).into_iter().filter(|(_, ending)| *ending != "crt");
            files.vacated.extend(others.map(|(file, _)| file));
        }
        for (name, made) in &change.made {
            if let Some(certificate) = made.public.certificate() {
                files.put(format!("{name}.crt"), Source::Octets(certificate.pem.as_bytes(), 0o644))?;
            }
            if let Some(request) = made.public.request() {
                files.put(format!("{name}.csr"), Source::Octets(request.pem.as_bytes(), 0o644))?;
            }
            // A key that a machine's own replaces, a request that a key of the store replaces.
            let other: &[&str] = if made.public.is_away() { &["key.age", "key", "pub"] } else { &["csr"] };
            files.vacated.extend(
                there
                    .present(name)
                    .into_iter()
                    .filter(|(_, ending)| other.contains(ending))
                    .map(|(file, _)| file),
            );
        }
        for (from, to) in &change.moves {
            for (from, ending) in there.files_at(from)? {
                // A request that waited has done its work once its key has a certificate.
                if ending == "csr" && from.starts_with(REQUESTS) {
                    files.vacated.insert(from);
                    continue;
                }
                files.put(format!("{to}.{ending}"), Source::File(from.clone()))?;
                files.vacated.insert(from);
            }
            // Nothing of what stood there stays beside what comes, and no half of another pair.
            files.vacated.extend(there.present(to).into_iter().map(|(file, _)| file));
        }
        for name in &change.retired {
            files.vacated.extend(there.files_at(name)?.into_iter().map(|(file, _)| file));
        }
        Ok(files)
    }

    /// Where a file goes in the archive: by the serial number of its certificate, or, where it has none or another
    /// file has that name, by its own digest.
    fn archive_names(&self, file: &str) -> Result<[String; 2], Failure> {
        let (name, ending) = split(file);
        let read = |file: &str| {
            let path = self.root.join(file);
            read::bytes(&path).map_err(|error| failed("cannot read", &path, error))
        };
        // The public half of an encrypted key goes by the digest of the key.
        let sealed = format!("{name}.key.age");
        let own =
            read(if ending == "pub" && self.is_there(&sealed) { &sealed } else { file })?.map(Secret::new);
        let digest = hex(&Sha256::digest(own.as_ref().map_or(&[][..], Secret::octets)));
        let digest = format!("{ARCHIVE}/{name}.{}.{ending}", &digest[..8]);
        let certificate = read(&format!("{name}.crt"))?.and_then(|bytes| Certificate::from_pem(&bytes).ok());
        let first = certificate.map(|found| format!("{ARCHIVE}/{name}.{}.{ending}", found.serial));
        Ok([first.unwrap_or_else(|| digest.clone()), digest])
    }

    /// Removes what a killed run left. Its names need no journal any more: the plan found them whole or made them. Where
    /// nothing can be written it stays, and harms nobody.
    pub fn tidy(&self) -> Result<(), Failure> {
        if self.is_read_only() {
            return Ok(());
        }
        for path in self.left_unfinished()? {
            self.remove(&path)?;
        }
        Ok(())
    }

    /// Removes the journal of a killed run whose work turned out to be complete.
    pub fn forget_pending(&self) -> Result<(), Failure> {
        if self.is_read_only() { Ok(()) } else { self.remove(PENDING) }
    }

    pub(super) fn write_identity(&self) -> Result<(), Failure> {
        let mut batch = Batch::new(self)?;
        batch.stage_json(IDENTITY, &self.identity)?;
        batch.finish(&[IDENTITY.to_owned()])?;
        batch.keep()
    }

    /// Finishes what a killed run began, where that may be written: a store that is read-only now is read as if it were
    /// finished.
    pub(super) fn recover(mut self, write: bool) -> Result<Self, Failure> {
        let journal = self.journal()?;
        if write {
            match self.complete(&journal) {
                Err(failure) if !self.is_read_only() => return Err(failure),
                _ => {}
            }
        }
        let journal = if write { self.journal()? } else { journal };
        self.unfinished = self.unfinished_write(&journal);
        // A write that changes the recipients counts from its journal on, like any other.
        if let Some(path) = self.place(IDENTITY)
            && let Some(bytes) = read::bytes(&path).map_err(|error| failed("cannot read", &path, error))?
        {
            self.identity = super::parse_identity(&self.root, &bytes)?;
        }
        Ok(self)
    }

    /// Whether nothing can be written, by whatever means.
    fn is_read_only(&self) -> bool {
        let access = rustix::fs::access(&self.root, rustix::fs::Access::WRITE_OK);
        matches!(access, Err(Errno::ROFS | Errno::ACCESS))
    }
}

/// The mode of a file.
pub(super) fn mode_of(file: &str) -> u32 {
    if has_ending(file, "key") || has_ending(file, "key.age") { 0o600 } else { 0o644 }
}

fn has_ending(file: &str, ending: &str) -> bool {
    split(file).1 == ending
}

/// Name and ending of a file: `ca/x.old.key` is the key of `ca/x.old`.
pub(super) fn split(file: &str) -> (&str, &str) {
    let ending = ENDINGS.iter().find_map(|ending| {
        let name = file.strip_suffix(ending)?.strip_suffix('.')?;
        Some((name, &file[name.len() + 1..]))
    });
    ending.unwrap_or((file, ""))
}
