//! The files of a store as a file system has them: what is no store's, and who may read and write what is.

use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use kmh_cli::{Failure, file};

use super::{Note, State};
use crate::look;
use crate::store::{self, USERS};

/// Folders that hold pairs and keys, and how many names stand between the store and a file.
const FOLDERS: [(&str, usize, usize); 8] = [
    ("ca", 1, 1),
    ("cluster", 1, 1),
    ("keys", 1, 2),
    ("nodes", 2, 2),
    ("routers", 2, 2),
    (USERS, 1, 1),
    // What waits keeps its whole name, and so does what was replaced.
    (store::REQUESTS, 2, 3),
    (store::ARCHIVE, 1, 4),
];

/// Endings of secrets that are not encrypted.
const SECRET: &str = ".key";
/// Endings of certificates and requests.
const CERTIFICATE: [&str; 2] = [".crt", ".csr"];
/// Endings of encrypted secrets and their public halves.
const ENCRYPTED: [&str; 2] = [".key.age", ".pub"];
/// Endings of files that a killed run leaves.
const UNFINISHED: [&str; 2] = [store::UNFINISHED, ".tmp"];

/// A file or folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its path below the store; a name in it that is no UTF-8 is escaped.
    pub path: String,
    /// Whether none had to be.
    pub plain: bool,
    /// What it is.
    pub kind: Kind,
    /// Its permissions.
    pub mode: u32,
    /// Its owner.
    pub owner: u32,
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A regular file.
    File,
    /// A symbolic link, a device, a pipe.
    Other,
}

/// Everything in a store but what is not the store's, such as `.git`; the store itself first, its path empty.
pub fn walk(root: &Path) -> Result<Vec<Seen>, Failure> {
    let mut found = vec![see(root, Path::new(""))?];
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let top = folder.as_os_str().is_empty();
        for name in look::names(&root.join(&folder))? {
            if top && store::NOT_OURS.iter().any(|one| name == *one) {
                continue;
            }
            let path = folder.join(name);
            let seen = see(root, &path)?;
            if seen.kind == Kind::Folder {
                folders.push(path);
            }
            found.push(seen);
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn see(root: &Path, path: &Path) -> Result<Seen, Failure> {
    let whole = root.join(path);
    // The store itself may be reached by a link; nothing in it should be one.
    let meta = if path.as_os_str().is_empty() { root.metadata() } else { whole.symlink_metadata() };
    let meta = meta.map_err(|error| {
        Failure::world(format!("cannot look at `{}`", whole.display())).because(file::plain(&error))
    })?;
    let kind = match meta.file_type() {
        kind if kind.is_dir() => Kind::Folder,
        kind if kind.is_file() => Kind::File,
        _ => Kind::Other,
    };
    let name = |name: &OsStr| {
        name.to_str().map_or_else(|| name.as_encoded_bytes().escape_ascii().to_string(), ToOwned::to_owned)
    };
    Ok(Seen {
        path: path.iter().map(name).collect::<Vec<_>>().join("/"),
        plain: path.to_str().is_some(),
        kind,
        mode: meta.permissions().mode() & 0o7777,
        owner: meta.uid(),
    })
}

impl Seen {
    fn place(&self) -> Place {
        if self.plain { place(&self.path) } else { Place::Foreign }
    }
}

/// What is wrong with them.
pub(super) fn judge(files: &[Seen]) -> Vec<Note> {
    let owner = files.first().map_or(0, |store| store.owner);
    let mut notes = Vec::new();
    for seen in files {
        let path = if seen.path.is_empty() { "the store" } else { &seen.path };
        let mut note = |id, state, message: String, hint: &str| {
            notes.push(Note::new(id, path, state, message, hint));
        };
        if seen.owner != owner {
            let message = format!("it belongs to user {}, the store to user {owner}", seen.owner);
            note("file.owner", State::Warning, message, "give it to the owner of the store");
        }
        let (readable, writable) = (seen.mode & 0o077, seen.mode & 0o022);
        let shown = format!("its mode is {:04o}", seen.mode);
        match (seen.kind, seen.place()) {
            (Kind::Other, _) => {
                let message = "it is neither a file nor a folder".to_owned();
                note("file.kind", State::Critical, message, "put the file itself in its place");
            }
            (Kind::Folder, _) if writable != 0 => {
                let message = format!("{shown}: others may put files into it");
                note("file.mode", State::Critical, message, "`chmod 700`");
            }
            (Kind::Folder, _) if readable != 0 => {
                let message = format!("{shown}: others may see what is in it");
                note("file.mode", State::Warning, message, "`chmod 700`");
            }
            (Kind::File, Place::Secret) if readable != 0 => {
                let message = format!("{shown}: others may read a key");
                note("file.mode", State::Critical, message, "`chmod 600`; whoever read it has it for good");
            }
            (Kind::File, Place::Public) if writable != 0 => {
                let message = format!("{shown}: others may write it");
                note("file.mode", State::Critical, message, "`chmod 644`");
            }
            (Kind::File, Place::Unfinished) => {
                let message = "a run that was killed left it".to_owned();
                note("file.unfinished", State::Warning, message, "the next `kmh-pki ensure` removes it");
            }
            (_, Place::Foreign) => {
                let why = if seen.plain { "" } else { ": its name is no UTF-8, and shown escaped" };
                let message = format!("it is none of a store's files{why}");
                note("file.foreign", State::Warning, message, "take it out of the store");
            }
            _ => {}
        }
    }
    notes
}

/// Keys that are not encrypted, in a store whose keys are.
pub(super) fn plain(files: &[Seen]) -> Vec<Note> {
    let found = files.iter().filter(|seen| seen.kind == Kind::File && seen.place() == Place::Secret);
    let note = |seen: &Seen| {
        let message = "it is not encrypted, and the keys of this store are";
        let hint = "`kmh-pki ensure` encrypts it; whoever read it has it for good";
        Note::new("key.plain", &seen.path, State::Critical, message, hint)
    };
    found.map(note).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// A key.
    Secret,
    /// Any other file, or a folder, of a store.
    Public,
    Unfinished,
    Foreign,
}

fn place(path: &str) -> Place {
    let mut parts = path.split('/');
    let (top, inner) = (parts.next().unwrap_or_default(), parts.count());
    let name = path.rsplit('/').next().unwrap_or_default();
    if name.starts_with('.') && UNFINISHED.iter().any(|ending| name.ends_with(ending)) {
        return Place::Unfinished;
    }
    if path.is_empty() || [store::IDENTITY, store::PENDING].contains(&path) {
        return Place::Public;
    }
    let Some((folder, least, most)) = FOLDERS.iter().find(|(folder, ..)| *folder == top) else {
        return Place::Foreign;
    };
    let fits = (*least..=*most).contains(&inner);
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    match *folder {
        _ if inner == 0 => Place::Public,
        // A person's key leaves with the kubeconfig.
        USERS if ends(&[SECRET]) => Place::Foreign,
        "keys" if ends(&CERTIFICATE) => Place::Foreign,
        _ if fits && ends(&[SECRET]) => Place::Secret,
        _ if fits && ends(&CERTIFICATE) | ends(&ENCRYPTED) => Place::Public,
        // Folders of machines, sites and tunnels.
        _ if inner < *most && !name.contains('.') => Place::Public,
        _ => Place::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_another_user_is_found() {
        let seen = |path: &str, owner| Seen {
            path: path.to_owned(),
            plain: true,
            kind: Kind::File,
            mode: 0o600,
            owner,
        };
        let store = Seen { kind: Kind::Folder, mode: 0o700, ..seen("", 1000) };
        let notes = judge(&[store, seen("ca/etcd.crt", 1000), seen("ca/etcd.key", 0)]);
        assert_eq!(notes.len(), 1);
        assert_eq!((notes[0].id.as_str(), notes[0].subject.as_str()), ("file.owner", "ca/etcd.key"));
        assert_eq!(notes[0].message, "it belongs to user 0, the store to user 1000");
    }

    #[test]
    fn every_place_of_a_store_is_known_and_no_other() {
        for path in [
            "ca/etcd.key",
            "nodes/w-1/kube-proxy.key",
            "keys/bgp/here.key",
            "archive/nodes/w-1/x.00.key",
            "requests/cluster/break-glass-admin.key",
            "archive/requests/nodes/w-1/kubelet-client.0a.key",
        ] {
            assert_eq!(place(path), Place::Secret, "{path}");
        }
        let public = [
            "",
            "store.json",
            "ca",
            "ca/etcd.crt",
            "ca/etcd.next.crt",
            "nodes",
            "nodes/w-1",
            "keys/bgp",
            "nodes/w-1/kubelet-client.csr",
            "keys/encryption.key.age",
            "users/anna@example.net.0a.crt",
            "archive/ca",
            "requests/nodes/w-1",
            "requests/nodes/w-1/kubelet-client.csr",
            "archive/requests/nodes/w-1/kubelet-client.0a.csr",
        ];
        for path in public {
            assert_eq!(place(path), Place::Public, "{path}");
        }
        for path in ["ca/.etcd.crt.kmh-new", ".pending.json.kmh-new", "users/.kmh-Ab1.tmp"] {
            assert_eq!(place(path), Place::Unfinished, "{path}");
        }
        for path in [
            "notes.txt",
            "ca/etcd.srl",
            "nodes/w-1.crt",
            "nodes/w-1/deep/x.crt",
            "keys/x.crt",
            "users/anna.key",
            "requests/x.csr",
            "ca.crt",
            "etc",
        ] {
            assert_eq!(place(path), Place::Foreign, "{path}");
        }
    }
}
