//! The store: plain files in a directory that may live in git.
//!
//! ```text
//! store.json            format, identity, the cluster that it belongs to
//! ca/NAME.{crt,key}     cluster, etcd, front-proxy, ipsec
//! cluster/NAME.{crt,key}, nodes/NODE/NAME.{crt,key}, routers/ROUTER/NAME.{crt,key}
//! users/NAME.SERIAL.crt what people were given, without a key
//! requests/NAME.{key,csr}   keys that wait for their certificate, because the key of their CA is elsewhere
//! NAME.csr beside NAME.crt  the key is on its machine: there is no NAME.key
//! keys/NAME.key         service-account, encryption
//! keys/bgp/SITE.key, keys/psk/TUNNEL.key
//! archive/NAME.SERIAL.{crt,key}, archive/NAME.DIGEST.key: what was replaced or retired; nothing is ever deleted
//! pending.json          only while a run writes: what it is about to change
//! ```
//!
//! In an encrypted store `NAME.key.age` stands in the place of `NAME.key`, and `NAME.pub` beside it: its public half, or
//! of an encryption key what it is called, so that whoever only looks needs no identity. `store.json` names the recipients.
//!
//! Directories are 0700, keys 0600, all else 0644, whatever the umask. The lock is on the directory itself, so there
//! is no lock file, and a run that only looks leaves no trace.

mod batch;
mod journal;
mod modes;
mod read;
mod seal;
mod state;
mod write;

use std::path::{Path, PathBuf};

use kmh_age::{Keyring, Recipients};
use kmh_cli::{Failure, file};
use kmh_doc::pki::Generation;
use rustix::fd::OwnedFd;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

pub use seal::Sealing;
pub use state::{Moment, State, changed, inode};
pub use write::{Change, Made, Public};

/// An open, locked store.
pub struct Store {
    root: PathBuf,
    dir: OwnedFd,
    identity: Identity,
    unfinished: journal::Unfinished,
    keyring: Keyring,
}

/// `store.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    format: u32,
    id: String,
    cluster: String,
    /// To whom its keys are encrypted; nobody: they are not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    recipients: Vec<String>,
}

/// The formats that this program writes: a store whose keys are plain, and one whose keys are encrypted, which a program
/// that does not know of encryption must not touch.
const FORMATS: [u32; 2] = [1, 2];
pub(crate) const IDENTITY: &str = "store.json";
pub(crate) const PENDING: &str = "pending.json";
/// What every unfinished file ends with.
pub(crate) const UNFINISHED: &str = ".kmh-new";
/// The directories of a store.
const FOLDERS: [&str; 6] = ["ca", "cluster", "keys", "nodes", "requests", "routers"];
/// The folder of the CAs.
const CAS: &str = "ca";
/// What is no longer in use. Nothing in it is read as a part of the store.
pub(crate) const ARCHIVE: &str = "archive";
/// The endings of the files of one name.
const ENDINGS: [&str; 5] = ["key.age", "key", "pub", "crt", "csr"];
/// The folder of the certificates that people were given.
pub const USERS: &str = "users";
/// Folders that hold certificates.
const CERTIFICATES: [&str; 5] = [CAS, "cluster", "nodes", "routers", USERS];
/// The keys and requests that wait until a CA that is elsewhere has signed them.
pub const REQUESTS: &str = "requests";
/// What else a CA, the key of service accounts and the encryption key may have beside the current generation: the next
/// one, which is trusted and does not sign yet, and the last one, which signs no more and is still trusted.
const GENERATIONS: [Generation; 2] = [Generation::Next, Generation::Old];
/// What an empty store may hold, so that it can be a git repository or the root of a file system.
pub(crate) const NOT_OURS: [&str; 5] = [".git", ".gitignore", ".gitattributes", "README.md", "lost+found"];

/// How to open a store.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// The cluster that it must belong to.
    pub cluster: &'a str,
    /// Whether a missing or empty one may be made.
    pub init: bool,
    /// Whether nothing may be written.
    pub dry_run: bool,
}

impl Store {
    /// Opens and locks a store; makes it with `init`. None: a dry run that would make it.
    pub fn open(path: &Path, how: Opening<'_>, say: &mut dyn FnMut(&str)) -> Result<Option<Self>, Failure> {
        Self::open_for(path, how, None, say)
    }

    /// The same; a new one encrypts its keys to these recipients.
    pub fn open_for(
        path: &Path,
        how: Opening<'_>,
        recipients: Option<&Recipients>,
        say: &mut dyn FnMut(&str),
    ) -> Result<Option<Self>, Failure> {
        let shown = path.display();
        let dir = match open_dir(path) {
            Err(Errno::NOENT) if path.is_symlink() => {
                return Err(Failure::wrong(format!("store `{shown}` is a symbolic link that leads nowhere"))
                    .hint("is the disk that it leads to mounted?"));
            }
            Err(Errno::NOENT) if !how.init => {
                return Err(Failure::wrong(format!("store `{shown}` does not exist"))
                    .hint("check the path; `kmh-pki ensure --init` makes a new store, with new CAs"));
            }
            Err(Errno::NOENT) if how.dry_run => return Ok(None),
            Err(Errno::NOENT) => {
                file::make_dir(path, 0o700)?;
                open_dir(path).map_err(|error| failed("cannot open store", path, error))?
            }
            Err(Errno::NOTDIR) => return Err(Failure::wrong(format!("store `{shown}` is no directory"))),
            other => other.map_err(|error| failed("cannot open store", path, error))?,
        };
        lock(&dir, path, how.dry_run, say)?;
        let store = match read_identity(path)? {
            Some(identity) => Self::of(path, dir, identity),
            None => match Self::begin(path, dir, how, recipients)? {
                Some(store) => store,
                None => return Ok(None),
            },
        };
        if store.identity.cluster != how.cluster {
            return Err(Failure::wrong(format!(
                "store `{shown}` belongs to cluster `{}`, and the inventory is of cluster `{}`",
                store.identity.cluster, how.cluster
            ))
            .hint("name this cluster's own store: a CA is never shared by two clusters"));
        }
        store.recover(!how.dry_run).map(Some)
    }

    fn of(path: &Path, dir: OwnedFd, identity: Identity) -> Self {
        Self {
            root: path.to_owned(),
            dir,
            identity,
            unfinished: journal::Unfinished::default(),
            keyring: Keyring::default(),
        }
    }

    /// A directory that is no store yet.
    fn begin(
        path: &Path,
        dir: OwnedFd,
        how: Opening<'_>,
        recipients: Option<&Recipients>,
    ) -> Result<Option<Self>, Failure> {
        let shown = path.display();
        if let Some(name) = foreign(path)? {
            return Err(Failure::wrong(format!("directory `{shown}` is no store: it has no {IDENTITY}"))
                .because(format!("it is not empty: it holds `{}`", name.escape_debug()))
                .hint("name an empty or a new directory"));
        }
        if !how.init {
            return Err(Failure::wrong(format!("directory `{shown}` is empty: it is no store"))
                .hint("check the path; `kmh-pki ensure --init` makes a new store, with new CAs"));
        }
        if how.dry_run {
            return Ok(None);
        }
        rustix::fs::fchmod(&dir, Mode::from_raw_mode(0o700))
            .map_err(|error| failed("cannot protect store", path, error))?;
        let mut id = [0; 16];
        crate::secret::random(&mut id).map_err(|error| Failure::world("no random numbers").because(error))?;
        let identity = Identity {
            format: FORMATS[usize::from(recipients.is_some())],
            id: crate::secret::hex(&id),
            cluster: how.cluster.to_owned(),
            recipients: recipients.map(Recipients::names).unwrap_or_default(),
        };
        let store = Self::of(path, dir, identity);
        store.write_identity()?;
        Ok(Some(store))
    }

    /// Its identity: random, made with it.
    pub fn id(&self) -> &str {
        &self.identity.id
    }

    /// With identities, for what is encrypted in it.
    #[must_use]
    pub fn unlock(mut self, keyring: Keyring) -> Self {
        self.keyring = keyring;
        self
    }

    /// To whom its keys are encrypted, sorted; nobody: they are not.
    pub fn recipients(&self) -> &[String] {
        &self.identity.recipients
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

fn open_dir(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// A failed system call, with the path that it was about.
fn failed(what: &str, path: &Path, error: Errno) -> Failure {
    Failure::world(format!("{what} `{}`", path.display())).because(file::plain(&error.into()))
}

/// One writer at a time; runs that only look may share. The kernel frees the lock of a killed run.
fn lock(dir: &OwnedFd, path: &Path, shared: bool, say: &mut dyn FnMut(&str)) -> Result<(), Failure> {
    let (now, wait) = if shared {
        (FlockOperation::NonBlockingLockShared, FlockOperation::LockShared)
    } else {
        (FlockOperation::NonBlockingLockExclusive, FlockOperation::LockExclusive)
    };
    let locked = match rustix::fs::flock(dir, now) {
        Err(Errno::WOULDBLOCK) => {
            say(&format!("another run works in store `{}`: waiting for it", path.display()));
            loop {
                match rustix::fs::flock(dir, wait) {
                    Err(Errno::INTR) => {}
                    other => break other,
                }
            }
        }
        other => other,
    };
    locked.map_err(|error| failed("cannot lock store", path, error))
}

fn read_identity(root: &Path) -> Result<Option<Identity>, Failure> {
    let path = root.join(IDENTITY);
    match read::bytes(&path).map_err(|error| failed("cannot read", &path, error))? {
        Some(bytes) => parse_identity(root, &bytes).map(Some),
        None => Ok(None),
    }
}

/// The identity of the store at a path, where there is one: for what must be known before it is opened.
pub(crate) fn id_of(path: &Path) -> Option<String> {
    read_identity(path).ok().flatten().map(|identity| identity.id)
}

fn parse_identity(root: &Path, bytes: &[u8]) -> Result<Identity, Failure> {
    let path = root.join(IDENTITY);
    let damaged = |cause: String| {
        Failure::world(format!("`{}` is damaged", path.display()))
            .because(cause)
            .hint("restore it from a backup")
    };
    // The format alone first: what a later one holds is not for this program to judge.
    let value: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
    match value.get("format").and_then(serde_json::Value::as_u64) {
        Some(format) if FORMATS.map(u64::from).contains(&format) => {}
        Some(format) => {
            return Err(Failure::wrong(format!("store `{}` has format {format}", root.display()))
                .because(format!("this kmh-pki knows formats {} and {}", FORMATS[0], FORMATS[1]))
                .hint("use the kmh-pki that made it, or a newer one"));
        }
        None => return Err(damaged("it has no `format`".to_owned())),
    }
    serde_json::from_value(value).map_err(|error| damaged(error.to_string()))
}

/// The first thing in a directory that would not be there if it were empty, or if a run had been killed before it
/// wrote the store's identity.
fn foreign(root: &Path) -> Result<Option<String>, Failure> {
    let names = read::list(root).map_err(|error| failed("cannot list", root, error))?;
    let cas = |name: &str| name == CAS && root.join(CAS).is_dir();
    let known = |name: &str| NOT_OURS.contains(&name) || name.ends_with(UNFINISHED) || cas(name);
    let odd = names.into_iter().find(|name| !known(name));
    if odd.is_some() {
        return Ok(odd);
    }
    // A CA from elsewhere may lie where it belongs before the store is made.
    let path = root.join(CAS);
    let names = match read::list(&path) {
        Err(Errno::NOENT) => return Ok(None),
        other => other.map_err(|error| failed("cannot list", &path, error))?,
    };
    let ours = |name: &str| {
        let ending = name.rsplit('.').next().unwrap_or_default();
        matches!(ending, "crt" | "key") || name.ends_with(UNFINISHED)
    };
    Ok(names.into_iter().find(|name| !ours(name)).map(|name| format!("{CAS}/{name}")))
}
