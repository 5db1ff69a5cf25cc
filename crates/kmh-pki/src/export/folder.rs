//! An export that is a folder: written whole beside its place, then put there in one step. What was there before must
//! be an export of the same store that nobody has added to.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use kmh_cli::{Failure, file};
use kmh_store::folder::{Entry as Found, Folder, errno};
use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::Entry;

/// What says that a folder is an export, and of what.
const MARK: &str = ".kmh-export";
const IGNORE: &str = ".gitignore";
/// Nothing of an export belongs into git.
const IGNORED: &[u8] = b"*\n";
/// No file of an export is larger.
const LIMIT: usize = 1 << 24;

/// The content of the mark.
#[derive(Serialize, Deserialize, PartialEq, Eq)]
struct Mark {
    /// The store that it is from.
    store: String,
    /// Its files.
    files: BTreeSet<String>,
}

/// Writes it; says whether anything changed.
pub(super) fn write(to: &Path, store: &str, entries: &[Entry]) -> Result<bool, Failure> {
    let mark = Mark { store: store.to_owned(), files: entries.iter().map(|one| one.path.clone()).collect() };
    let beside = beside(to)?;
    let there = look(to, &mark, entries)?;
    if there == There::Same {
        return Ok(false);
    }
    clear(&beside)?;
    let made = fill(&beside, &mark, entries).and_then(|()| put(&beside, to, there));
    if made.is_err() {
        // What could not be finished holds keys; what is in the way of removing it was the error too.
        let _ = clear(&beside);
    }
    made.map(|()| true)
}

/// What is in the place of an export.
#[derive(Clone, Copy, PartialEq, Eq)]
enum There {
    Nothing,
    /// An earlier export, or an empty folder.
    Earlier,
    /// This one.
    Same,
}

fn failed(what: &str, path: &Path, error: Errno) -> Failure {
    Failure::world(format!("cannot {what} `{}`", path.display())).because(file::plain(&error.into()))
}

/// The name beside it under which it is made.
fn beside(to: &Path) -> Result<PathBuf, Failure> {
    let Some(name) = to.file_name() else {
        return Err(Failure::wrong(format!("`{}` is no name for a new folder", to.display())));
    };
    let above = to.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !above.is_dir() {
        return Err(Failure::wrong(format!("cannot write `{}`", to.display()))
            .because(format!("there is no directory `{}`", above.display())));
    }
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".kmh-new");
    Ok(to.with_file_name(hidden))
}

fn look(to: &Path, mark: &Mark, entries: &[Entry]) -> Result<There, Failure> {
    let shown = to.display();
    if to.is_symlink() {
        return Err(Failure::wrong(format!("`{shown}` is a symbolic link"))
            .hint("name the folder itself: it is replaced as a whole"));
    }
    let folder = match Folder::open(to) {
        Ok(folder) => folder,
        Err(Errno::NOENT) => return Ok(There::Nothing),
        Err(Errno::NOTDIR) => return Err(Failure::wrong(format!("`{shown}` is no folder"))),
        Err(error) => return Err(failed("open", to, error)),
    };
    let read = |name: &str| folder.read(name, LIMIT).ok();
    let old: Option<Mark> = read(MARK).and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let ours = |path: &str| {
        path == IGNORE
            || (path == MARK && old.is_some())
            || old.as_ref().is_some_and(|old| old.files.contains(path))
    };
    let mut found = Vec::new();
    list(&folder, "", &ours, &mut found).map_err(|error| failed("list", to, error))?;
    if let Some(foreign) = found.iter().find(|path| !ours(path)) {
        return Err(Failure::wrong(format!("folder `{shown}` is not empty, and is no export of its own"))
            .because(format!("it holds `{}`", foreign.escape_debug()))
            .hint("name an empty or a new folder"));
    }
    if let Some(old) = &old
        && old.store != mark.store
    {
        return Err(Failure::wrong(format!("folder `{shown}` is an export of another store"))
            .hint("name an empty or a new folder"));
    }
    let same = old.as_ref() == Some(mark)
        && found.len() == entries.len() + 2
        && folder.mode() == Ok(0o700)
        && read(IGNORE).is_some_and(|bytes| bytes.as_slice() == IGNORED)
        && entries.iter().all(|entry| holds(&folder, entry));
    Ok(if same { There::Same } else { There::Earlier })
}

fn holds(folder: &Folder, entry: &Entry) -> bool {
    let (above, name) = entry.path.rsplit_once('/').unwrap_or(("", &entry.path));
    let Ok(Some(inner)) = folder.below(above) else { return false };
    matches!(inner.entry(name), Ok(Found::File(stat)) if stat.st_mode & 0o7777 == entry.mode)
        && inner.read(name, LIMIT).is_ok_and(|bytes| bytes.as_slice() == entry.content.octets())
}

/// The names in a folder; the system lists the folder itself and the one above too.
fn names(folder: &Folder) -> Result<Vec<String>, Errno> {
    Ok(folder.names("")?.into_iter().filter(|name| name != "." && name != "..").collect())
}

/// The paths of everything in a folder that is no folder, up to the first that is not ours: what was named by mistake may
/// hold a whole disk.
fn list(
    folder: &Folder,
    above: &str,
    ours: &dyn Fn(&str) -> bool,
    found: &mut Vec<String>,
) -> Result<(), Errno> {
    for name in names(folder)? {
        if found.last().is_some_and(|path| !ours(path)) {
            return Ok(());
        }
        let path = if above.is_empty() { name.clone() } else { format!("{above}/{name}") };
        match folder.enter(&name) {
            Ok(Some(inner)) => list(&inner, &path, ours, found)?,
            Ok(None) => {}
            Err(Errno::NOTDIR | Errno::LOOP) => found.push(path),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Makes it beside its place, every file with its final mode, all of it on the disk.
fn fill(path: &Path, mark: &Mark, entries: &[Entry]) -> Result<(), Failure> {
    file::make_dir(path, 0o700)?;
    let root = Folder::open(path).map_err(|error| failed("open", path, error))?;
    let mut marked =
        serde_json::to_vec(mark).map_err(|error| Failure::world("cannot write JSON").because(error))?;
    marked.push(b'\n');
    create(&root, IGNORE, 0o644, IGNORED).map_err(|error| failed("write", &path.join(IGNORE), error))?;
    create(&root, MARK, 0o644, &marked).map_err(|error| failed("write", &path.join(MARK), error))?;
    for entry in entries {
        let (above, name) = entry.path.rsplit_once('/').unwrap_or(("", &entry.path));
        let fail = |error| failed("write", &path.join(&entry.path), error);
        let folder = enter(&root, above).map_err(fail)?;
        create(&folder, name, entry.mode, entry.content.octets()).map_err(fail)?;
    }
    root.sync_below().map_err(|error| failed("sync", path, error))
}

/// The folder at a path, made for its owner alone where it is missing.
fn enter(root: &Folder, path: &str) -> Result<Folder, Errno> {
    let mut at = root.enter(".")?.ok_or(Errno::NOENT)?;
    for part in path.split('/').filter(|part| !part.is_empty()) {
        at = match at.enter(part)? {
            Some(inner) => inner,
            None => at.make(part, 0o700)?,
        };
    }
    Ok(at)
}

fn create(folder: &Folder, name: &str, mode: u32, bytes: &[u8]) -> Result<(), Errno> {
    folder.create(name, mode)?.write_all(bytes).map_err(|error| errno(&error))
}

/// Puts it into its place. An earlier one changes places with it and goes.
fn put(beside: &Path, to: &Path, there: There) -> Result<(), Failure> {
    let fail = |error| failed("write", to, error);
    if there == There::Nothing {
        return rustix::fs::renameat_with(CWD, beside, CWD, to, RenameFlags::NOREPLACE).map_err(fail);
    }
    match rustix::fs::renameat_with(CWD, beside, CWD, to, RenameFlags::EXCHANGE) {
        Ok(()) => clear(beside),
        // A file system that cannot exchange: the old one goes first.
        Err(Errno::INVAL | Errno::NOSYS) => {
            clear(to)?;
            rustix::fs::rename(beside, to).map_err(fail)
        }
        Err(error) => Err(fail(error)),
    }
}

/// Removes a folder of ours with all that is in it; links are removed and not followed.
fn clear(path: &Path) -> Result<(), Failure> {
    let fail = |error| failed("remove", path, error);
    match Folder::open(path) {
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(fail(error)),
        Ok(folder) => {
            for name in names(&folder).map_err(fail)? {
                match folder.entry(&name).map_err(fail)? {
                    Found::Folder => clear(&path.join(&name))?,
                    Found::Missing => {}
                    _ => folder.remove(&name).map_err(fail)?,
                }
            }
        }
    }
    rustix::fs::rmdir(path).map_err(fail)
}
