//! Files: atomic, with their final mode from the first moment, every error with its path. `std::fs` writers are
//! banned everywhere else.
#![allow(clippy::disallowed_methods, reason = "this is the replacement")]

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FlockOperation;
use tempfile::NamedTempFile;

use crate::exit::Exit;
use crate::failure::Failure;

/// How long [`lock`] waits for somebody else to finish.
const PATIENCE: Duration = Duration::from_secs(5);

/// The cause in plain words, without the number that Rust adds.
pub fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    // tempfile adds ` at path "…"`, which the message says already.
    let text = text.split(" at path \"").next().unwrap_or_default();
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if !letters.as_str().starts_with(char::is_uppercase) => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}

/// A failure with a path and its plain cause. What is not there, or is no file, was named wrongly: exit 2; all else is
/// the world's fault.
fn failed(what: &str, path: &Path, error: &io::Error) -> Failure {
    let exit = match error.kind() {
        ErrorKind::NotFound
        | ErrorKind::IsADirectory
        | ErrorKind::NotADirectory
        | ErrorKind::InvalidFilename => Exit::Wrong,
        _ => Exit::World,
    };
    Failure::new(exit, format!("cannot {what} `{}`", path.display())).because(plain(error))
}

/// Reads a file whole.
pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| failed("read", path, &error))
}

/// Reads a file, and of a larger one than any that is meant one octet more than `limit`: a device named by mistake never
/// ends.
pub fn read_up_to(path: &Path, limit: usize) -> Result<Vec<u8>, Failure> {
    read_by(path, |file| up_to(file, limit))
}

/// The same of anything that is read.
pub fn up_to(from: &mut dyn io::Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(limit as u64 + 1).read_to_end(&mut bytes).map(|_| bytes)
}

/// Reads a file in the caller's way.
pub(crate) fn read_by(
    path: &Path,
    how: impl FnOnce(&mut File) -> io::Result<Vec<u8>>,
) -> Result<Vec<u8>, Failure> {
    File::open(path).and_then(|mut file| how(&mut file)).map_err(|error| failed("read", path, &error))
}

/// Whether a file is there and holds exactly these bytes.
pub(crate) fn holds(path: &Path, bytes: &[u8]) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && same(path, &meta, bytes).unwrap_or(false))
}

/// Reads a file whole when it is there.
pub fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path, &error)),
    }
}

/// Writes a file: temporary name in the same directory, final mode, synced, renamed, directory synced.
/// Content and mode that are right already are left alone; says whether it wrote.
///
/// A symbolic link in the place of the file is refused: it could lead out of the store or the target that the path
/// was meant to stay in.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<bool, Failure> {
    match fs::symlink_metadata(path) {
        Ok(meta) => {
            refuse_irregular(path, &meta)?;
            if meta.permissions().mode() & 0o7777 == mode && same(path, &meta, bytes)? {
                return Ok(false);
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(failed("write", path, &error)),
    }
    replace(path, bytes, Some(mode), None)?;
    Ok(true)
}

/// Writes a file that must not be there yet; the same care as [`write()`].
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    let temporary = prepare(path, bytes, Some(mode), None)?;
    match temporary.persist_noclobber(path) {
        Ok(_) => sync_dir(path),
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => {
            Err(Failure::wrong(format!("`{}` is there already", path.display())))
        }
        Err(error) => Err(failed("write", path, &error.error)),
    }
}

/// Writes a file that the caller of the program named, as the shell's `>` would: through a symbolic link, with the mode that
/// the umask gives or the file has. Otherwise as [`write()`].
pub fn write_named(path: &Path, bytes: &[u8]) -> Result<bool, Failure> {
    stage_named(path, bytes)?.put()
}

/// A file that the caller of the program named, complete and on the disk under a temporary name. It removes itself unless
/// it gets its own.
#[derive(Debug)]
pub struct Staged {
    path: PathBuf,
    /// None: the file holds these bytes already.
    temporary: Option<NamedTempFile>,
}

/// Does of [`write_named`] all that can fail but the last step: for a run that changes something else in between, which
/// must not have happened when the file cannot be written.
pub fn stage_named(path: &Path, bytes: &[u8]) -> Result<Staged, Failure> {
    let path = named(path)?;
    let temporary = match fs::symlink_metadata(&path) {
        Ok(meta) if same(&path, &meta, bytes)? => None,
        Ok(meta) => {
            let owner = (meta.uid(), meta.gid());
            Some(prepare(&path, bytes, Some(meta.permissions().mode() & 0o7777), Some(owner))?)
        }
        Err(_) => Some(prepare(&path, bytes, None, None)?),
    };
    Ok(Staged { path, temporary })
}

impl Staged {
    /// Gives it its name; says whether anything changed.
    pub fn put(self) -> Result<bool, Failure> {
        let Some(temporary) = self.temporary else { return Ok(false) };
        temporary.persist(&self.path).map_err(|error| failed("write", &self.path, &error.error))?;
        sync_dir(&self.path).map(|()| true)
    }
}

/// Refuses a name that the caller gave where no file of that name can be written, without touching anything.
pub fn probe_named(path: &Path) -> Result<(), Failure> {
    let real = named(path)?;
    match rustix::fs::access(parent(&real), rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK) {
        Ok(()) => Ok(()),
        Err(error) => Err(failed("write", path, &error.into())),
    }
}

/// The same for a file that is not written through a link, as [`write()`] and [`create`] do.
pub fn probe(path: &Path) -> Result<(), Failure> {
    match fs::symlink_metadata(path) {
        Ok(meta) => refuse_irregular(path, &meta)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(failed("write", path, &error)),
    }
    probe_named(path)
}

/// The file behind a name that the caller gave; refused before the long work when it cannot be written anyway.
pub(crate) fn named(path: &Path) -> Result<PathBuf, Failure> {
    if path.as_os_str().is_empty() {
        return Err(Failure::wrong("an empty file name cannot be written"));
    }
    match fs::canonicalize(path) {
        Ok(real) => {
            let meta = fs::symlink_metadata(&real).map_err(|error| failed("write", path, &error))?;
            refuse_irregular(path, &meta)?;
            Ok(real)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if path.is_symlink() {
                return Err(Failure::wrong(format!(
                    "`{}` is a symbolic link that leads nowhere",
                    path.display()
                )));
            }
            let dir = parent(path);
            if dir.is_dir() {
                return Ok(path.to_owned());
            }
            Err(Failure::wrong(format!("cannot write `{}`", path.display()))
                .because(format!("there is no directory `{}`", dir.display())))
        }
        Err(error) => Err(failed("write", path, &error)),
    }
}

fn refuse_irregular(path: &Path, meta: &fs::Metadata) -> Result<(), Failure> {
    let kind = meta.file_type();
    if kind.is_file() {
        return Ok(());
    }
    let (what, hint) = if kind.is_symlink() {
        ("is a symbolic link, and is not written through", "remove it, or name the file that it leads to")
    } else if kind.is_dir() {
        ("is a directory", "name a file")
    } else {
        ("is no regular file", "use `>` for pipes and devices")
    };
    Err(Failure::wrong(format!("cannot write `{}`", path.display())).because(format!("it {what}")).hint(hint))
}

/// Whether the file holds these bytes. Compared piece by piece: it may be large, and its size says no at once.
fn same(path: &Path, meta: &fs::Metadata, bytes: &[u8]) -> Result<bool, Failure> {
    if meta.len() != bytes.len() as u64 {
        return Ok(false);
    }
    let mut file = match File::open(path) {
        Ok(file) => file,
        // Unreadable to us, but perhaps replaceable.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(false),
        Err(error) => return Err(failed("read", path, &error)),
    };
    let mut piece = vec![0; 1 << 16];
    let mut rest = bytes;
    loop {
        let count = file.read(&mut piece).map_err(|error| failed("read", path, &error))?;
        match rest.split_at_checked(count) {
            Some((_, [])) if count == 0 => return Ok(true),
            Some((head, tail)) if count > 0 && head == &piece[..count] => rest = tail,
            _ => return Ok(false),
        }
    }
}

fn replace(path: &Path, bytes: &[u8], mode: Option<u32>, owner: Option<(u32, u32)>) -> Result<(), Failure> {
    let temporary = prepare(path, bytes, mode, owner)?;
    temporary.persist(path).map_err(|error| failed("write", path, &error.error))?;
    sync_dir(path)
}

/// A temporary file beside `path`, complete and synced. It removes itself unless it is renamed.
fn prepare(
    path: &Path,
    bytes: &[u8],
    mode: Option<u32>,
    owner: Option<(u32, u32)>,
) -> Result<NamedTempFile, Failure> {
    let at = |error: &io::Error| failed("write", path, error);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".kmh-").suffix(".tmp");
    // The umask may only take away from this, so the file is never more open than it will be.
    builder.permissions(Permissions::from_mode(mode.unwrap_or(0o666)));
    let mut temporary = builder.tempfile_in(parent(path)).map_err(|error| at(&error))?;
    let file = temporary.as_file_mut();
    if let Some((uid, gid)) = owner {
        let mine = file.metadata().map_err(|error| at(&error))?;
        if (mine.uid(), mine.gid()) != (uid, gid) {
            // Only root may give files away; for others the file becomes theirs, as with every editor.
            let _ = std::os::unix::fs::fchown(&*file, Some(uid), Some(gid));
        }
    }
    if let Some(mode) = mode {
        file.set_permissions(Permissions::from_mode(mode)).map_err(|error| at(&error))?;
    }
    file.write_all(bytes).map_err(|error| at(&error))?;
    file.sync_all().map_err(|error| at(&error))?;
    Ok(temporary)
}

/// The directory of a file.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// A rename is only safe from a power cut once its directory is on the disk.
fn sync_dir(path: &Path) -> Result<(), Failure> {
    let dir = parent(path);
    let synced = File::open(dir).and_then(|file| file.sync_all());
    match synced {
        Ok(()) => Ok(()),
        // Some file systems have nothing to sync here; a directory that may be written but not read is not ours to sync.
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::PermissionDenied) => Ok(()),
        Err(error) => Err(failed("sync", dir, &error)),
    }
}

/// Removes a file; says whether it was there.
pub fn remove(path: &Path) -> Result<bool, Failure> {
    match fs::remove_file(path) {
        Ok(()) => sync_dir(path).map(|()| true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed("remove", path, &error)),
    }
}

/// Makes a directory and its missing parents with exactly that mode. What is there already keeps its own.
pub fn make_dir(path: &Path, mode: u32) -> Result<(), Failure> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
        make_dir(above, mode)?;
    }
    let at = |error: &io::Error| failed("make directory", path, error);
    match fs::DirBuilder::new().mode(mode).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return if path.is_dir() { Ok(()) } else { Err(at(&error)) };
        }
        Err(error) => return Err(at(&error)),
    }
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(|error| at(&error))?;
    sync_dir(path)
}

/// An exclusive lock, held until it is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes an exclusive lock on a file, which is made (0600) when it is missing and stays. Waits a few seconds for somebody
/// else to finish, then says so.
pub fn lock(path: &Path) -> Result<Lock, Failure> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
        .map_err(|error| failed("lock", path, &error))?;
    let pause = Duration::from_millis(50);
    let mut waited = Duration::ZERO;
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Lock { _file: file }),
            Err(error) if error == rustix::io::Errno::WOULDBLOCK && waited < PATIENCE => {
                std::thread::sleep(pause);
                waited += pause;
            }
            Err(error) if error == rustix::io::Errno::WOULDBLOCK => {
                return Err(Failure::world(format!("cannot lock `{}`", path.display()))
                    .because("another program holds it")
                    .hint("wait for the other run to end"));
            }
            Err(error) => return Err(failed("lock", path, &error.into())),
        }
    }
}

#[cfg(test)]
mod tests;
