//! The modes of a store's folders: 0700, like everything else of it for its owner alone. Git and tar forget them.

use std::os::unix::fs::PermissionsExt as _;

use kmh_cli::{Failure, file};
use rustix::fs::Mode;

use super::{ARCHIVE, FOLDERS, REQUESTS, Store, USERS, failed};

/// The mode of a folder.
const FOLDER: u32 = 0o700;

impl Store {
    /// Folders that others than their owner may look into, the store itself as an empty path.
    pub fn open_folders(&self) -> Result<Vec<String>, Failure> {
        let mut found = Vec::new();
        let mut folders: Vec<String> =
            FOLDERS.iter().chain(&[ARCHIVE, USERS]).map(ToString::to_string).collect();
        folders.push(String::new());
        while let Some(folder) = folders.pop() {
            let path = self.root.join(&folder);
            let fail = |error: std::io::Error| {
                Failure::world(format!("cannot look at `{}`", path.display())).because(file::plain(&error))
            };
            // The store may be reached by a link; what a link in it leads to is somebody else's.
            let meta = if folder.is_empty() { path.metadata() } else { path.symlink_metadata() };
            let meta = match meta {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                other => other.map_err(fail)?,
            };
            if !meta.is_dir() {
                continue;
            }
            if meta.permissions().mode() & 0o077 != 0 {
                found.push(folder.clone());
            }
            if has_folders(&folder) {
                for entry in std::fs::read_dir(&path).map_err(fail)? {
                    let entry = entry.map_err(fail)?;
                    if entry.file_type().map_err(fail)?.is_dir() {
                        folders.push(format!("{folder}/{}", entry.file_name().to_string_lossy()));
                    }
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// Gives folders the mode that they have by design.
    pub fn protect_folders(&self, folders: &[String]) -> Result<(), Failure> {
        for folder in folders {
            let path = self.root.join(folder);
            rustix::fs::chmod(&path, Mode::from_raw_mode(FOLDER))
                .map_err(|error| failed("cannot protect", &path, error))?;
        }
        if folders.is_empty() { Ok(()) } else { self.sync() }
    }
}

/// Whether a folder of a store holds folders: those of machines, which hold none, need not be listed.
fn has_folders(folder: &str) -> bool {
    let inner = [ARCHIVE, REQUESTS]
        .iter()
        .fold(folder, |rest, top| rest.strip_prefix(top).map_or(rest, |rest| rest.trim_start_matches('/')));
    let whole = inner.len() == folder.len();
    (inner.is_empty() && !whole) || ["keys", "nodes", "routers"].contains(&inner)
}
