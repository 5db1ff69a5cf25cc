//! The store, read at the moment of the push: only what the chosen machines need, into memory that is cleared.
//!
//! Its layout is `kmh-pki`'s: `store.json` holds the store's id, and a reference is the path of a file below it; where keys
//! are encrypted, `.age` follows. What a killed kmh-pki left to be renamed is read as if it had its name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use kmh_age::{Keyring, Unopened};
use kmh_cli::failure::Note;
use rustix::io::Errno;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::folder::{Folder, Unread};
use crate::wanted::note;

/// No key is this long.
const LIMIT: usize = 1 << 20;
/// A journal names every file of a write: that of a thousand nodes has megabytes. As large as kmh-pki takes it.
const JOURNAL: usize = 1 << 28;

/// Secrets by reference, and the certificates that stand beside private keys. Never printed.
#[derive(Default)]
pub struct Secrets {
    secrets: BTreeMap<String, Zeroizing<Vec<u8>>>,
    certificates: BTreeMap<String, Zeroizing<Vec<u8>>>,
}

impl Secrets {
    /// The secret of that reference.
    pub fn get(&self, reference: &str) -> Option<&[u8]> {
        self.secrets.get(reference).map(|bytes| bytes.as_slice())
    }

    /// The certificate that stands in the store beside the private key of that reference.
    pub fn certificate(&self, reference: &str) -> Option<&[u8]> {
        self.certificates.get(reference).map(|bytes| bytes.as_slice())
    }
}

/// The part of `store.json` that matters here.
#[derive(Deserialize)]
struct Marker {
    id: String,
}

/// The part of `pending.json` that matters here: what waits under its unfinished name.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Journal {
    files: Vec<BTreeSet<String>>,
}

/// Reads the secrets, with the file of identities that opens them if they are encrypted; adds to `notes` what is wrong:
/// another store, a missing secret, a wrong identity.
pub fn read(
    dir: &Path,
    id: &str,
    references: &BTreeSet<&str>,
    identity: Option<PathBuf>,
    notes: &mut Vec<Note>,
) -> Secrets {
    let shown = kmh_cli::text::printable(&dir.display().to_string());
    let mut wrong = |message: String, cause: Option<String>, hint: &str| {
        notes.push(with_cause(message, cause, hint));
    };
    let folder = match Folder::open(dir) {
        Ok(folder) => folder,
        Err(error) => {
            wrong(
                format!("store `{shown}` cannot be opened"),
                Some(error.to_string()),
                "name the store that kmh-pki made",
            );
            return Secrets::default();
        }
    };
    // kmh-pki renames a key and its certificate one after the other, under its own lock: not between the two.
    if let Err(error) = folder.lock_shared() {
        wrong(
            format!("store `{shown}` cannot be locked"),
            Some(error.to_string()),
            "look at the file system that it is on",
        );
        return Secrets::default();
    }
    let marker = match folder.read("store.json", LIMIT) {
        Ok(bytes) => serde_json::from_slice::<Marker>(&bytes).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match marker {
        Ok(marker) if marker.id == id => {}
        Ok(marker) => {
            let message = format!("store `{shown}` is another one than the bundle was rendered for");
            let cause =
                format!("its id is `{}`, the bundle says `{id}`", kmh_cli::text::printable(&marker.id));
            wrong(message, Some(cause), "name the store that the pki document came from, or render again");
            return Secrets::default();
        }
        Err(cause) => {
            let cause = format!("store.json: {cause}");
            wrong(format!("`{shown}` is no store"), Some(cause), "name the store that kmh-pki made");
            return Secrets::default();
        }
    }
    let journal = match folder.read("pending.json", JOURNAL) {
        Ok(bytes) => serde_json::from_slice::<Journal>(&bytes).map_err(|error| error.to_string()),
        Err(Unread::System(Errno::NOENT)) => Ok(Journal::default()),
        Err(error) => Err(error.to_string()),
    };
    let journal = match journal {
        Ok(journal) => journal,
        // Without it nobody knows which of two files is the key: the old one would go out beside a new certificate.
        Err(cause) => {
            wrong(
                format!("`pending.json` of store `{shown}` cannot be read"),
                Some(cause),
                "a run was cut off: let `kmh-pki ensure` finish it, or say what is wrong",
            );
            return Secrets::default();
        }
    };
    let store = Opened { folder, journal, keyring: Keyring::new(identity) };
    let mut found = Secrets::default();
    for reference in references {
        match store.secret(reference) {
            Ok(bytes) if bytes.is_empty() => {
                let message = format!("secret `{reference}` in store `{shown}` is empty");
                notes.push(with_cause(message, None, "run kmh-pki on it again"));
            }
            Ok(bytes) => {
                found.secrets.insert((*reference).to_owned(), bytes);
                let beside = reference.strip_suffix(".key").map(|stem| store.file(&format!("{stem}.crt")));
                if let Some(Ok(Some(certificate))) = beside {
                    found.certificates.insert((*reference).to_owned(), certificate);
                }
            }
            Err(Missing::Unopened(why)) => {
                let damaged = matches!(why, Unopened::Damaged(_));
                let nobody = matches!(why, Unopened::NoIdentity);
                let mut failure = store.keyring.failure(&dir.join(format!("{reference}.age")), why);
                if nobody {
                    // `--identity` of kmh-push is the one that it logs in with.
                    let hint = "name its file with `--store-identity FILE` or KMH_IDENTITY".to_owned();
                    failure.notes.iter_mut().for_each(|note| note.hints = vec![hint.clone()]);
                }
                notes.extend(failure.notes);
                // It is the same for all others.
                if !damaged {
                    return found;
                }
            }
            Err(Missing::File(cause)) => {
                let message = format!("secret `{reference}` is not in store `{shown}`");
                let hint = "run kmh-pki again, and render from what it prints";
                notes.push(with_cause(message, Some(cause), hint));
            }
        }
    }
    found
}

fn with_cause(message: String, cause: Option<String>, hint: &str) -> Note {
    let mut note = note(message, "", Some(hint));
    note.causes.extend(cause);
    note
}

/// The store, and what opens it.
struct Opened {
    folder: Folder,
    journal: Journal,
    keyring: Keyring,
}

/// Why a secret is not at hand.
enum Missing {
    File(String),
    Unopened(Unopened),
}

impl Opened {
    fn secret(&self, reference: &str) -> Result<Zeroizing<Vec<u8>>, Missing> {
        // The encrypted one is written first, and then the plain one goes.
        if let Some(sealed) = self.file(&format!("{reference}.age")).map_err(Missing::File)? {
            return self.keyring.open(&sealed).map_err(Missing::Unopened);
        }
        let gone = || Missing::File(explain(Errno::NOENT));
        self.file(reference).map_err(Missing::File)?.ok_or_else(gone)
    }

    /// What is in a file; none: there is none.
    fn file(&self, reference: &str) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
        let (folder, name) = reference.rsplit_once('/').unwrap_or(("", reference));
        let folder =
            self.folder.below(folder).map_err(|(part, error)| format!("{part}: {}", explain(error)))?;
        let Some(folder) = folder else { return Ok(None) };
        let read = |name: &str| match folder.read(name, LIMIT) {
            Err(Unread::System(Errno::NOENT)) => Ok(None),
            other => other.map(Some).map_err(|why| why.to_string()),
        };
        if self.journal.files.iter().any(|files| files.contains(reference))
            && let Some(bytes) = read(&format!(".{name}.kmh-new"))?
        {
            return Ok(Some(bytes));
        }
        read(name)
    }
}

/// The two answers of the system that say "a link" when links are not followed.
pub fn explain(error: Errno) -> String {
    match error {
        Errno::LOOP | Errno::MLINK => "is a symbolic link, which is not followed".to_owned(),
        Errno::NOTDIR => "is no folder, or a symbolic link, which is not followed".to_owned(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
