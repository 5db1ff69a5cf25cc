//! Reading a folder that is not ours: what looks like a certificate, a key or a configuration, and nothing else. Nothing
//! is written, no link leads out of the folder, and there is an end to how much is read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kmh_cli::{Failure, file};
use kmh_store::folder::{Entry, Folder, Unread};
use rustix::io::Errno;
use zeroize::Zeroizing;

use crate::store::IDENTITY;

/// Octets of a file; a larger one is no certificate.
const LARGEST: usize = 1 << 20;
/// Octets of all files.
const MOST: usize = 64 << 20;
/// Entries of all folders.
const ENTRIES: usize = 20_000;
/// How deep folders lie in one another.
const DEPTH: usize = 8;
/// What files of interest end with.
const ENDINGS: [&str; 8] = ["crt", "pem", "key", "pub", "conf", "kubeconfig", "yaml", "yml"];

/// A folder that was read.
pub(super) struct Source {
    /// The machine that it is of, where the caller said so.
    pub(super) machine: Option<String>,
    /// As the caller named it.
    pub(super) path: PathBuf,
    /// Its files, by their path in it.
    pub(super) files: BTreeMap<String, Zeroizing<Vec<u8>>>,
    /// What was not read, and why.
    pub(super) skipped: Vec<(String, &'static str)>,
}

struct Walk<'a> {
    root: &'a Path,
    found: Source,
    octets: usize,
    entries: usize,
}

/// Reads it.
pub(super) fn read(machine: Option<String>, path: &Path) -> Result<Source, Failure> {
    let failed = |path: &Path, error: Errno| {
        let what = format!("cannot read `{}`", path.display());
        let told = match error {
            Errno::NOENT | Errno::NOTDIR => Failure::wrong(what),
            Errno::ACCESS => {
                return Failure::world(what)
                    .because(file::plain(&error.into()))
                    .hint("keys are root's: copy the folder as root, and give the copy to who runs this");
            }
            _ => Failure::world(what),
        };
        told.because(file::plain(&error.into()))
    };
    if path.is_file() {
        return Err(Failure::wrong(format!("`{}` is a file, and an import reads folders", path.display())).hint(
            "unpack an archive first; a tar that `export` wrote is a store as it is: `mkdir -m 700 DIR && tar -xf FILE -C DIR`",
        ));
    }
    let folder = Folder::open(path).map_err(|error| failed(path, error))?;
    if matches!(folder.entry(IDENTITY), Ok(Entry::File(_))) {
        return Err(Failure::wrong(format!("`{}` is a store of kmh-pki already", path.display())).hint(
            format!("use it as it is, `--store {}`; `export --layout tar` copies it", path.display()),
        ));
    }
    let found = Source { machine, path: path.to_owned(), files: BTreeMap::new(), skipped: Vec::new() };
    let mut walk = Walk { root: path, found, octets: 0, entries: 0 };
    match walk.folder(&folder, "", 0) {
        Ok(()) => Ok(walk.found),
        Err(Stop::TooMuch) => Err(Failure::wrong(format!("folder `{}` holds too much", path.display()))
            .because(format!("more than {ENTRIES} entries, or {} MiB of certificates and keys", MOST >> 20))
            .hint("name the folder of the PKI alone, such as /etc/kubernetes")),
        Err(Stop::Failed(at, error)) => Err(failed(&path.join(at), error)),
    }
}

enum Stop {
    TooMuch,
    Failed(String, Errno),
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Folder, above: &str, depth: usize) -> Result<(), Stop> {
        let names = folder.names("").map_err(|error| Stop::Failed(above.to_owned(), error))?;
        for name in names.iter().filter(|name| !name.starts_with('.')) {
            self.entries += 1;
            if self.entries > ENTRIES {
                return Err(Stop::TooMuch);
            }
            let path = if above.is_empty() { name.clone() } else { format!("{above}/{name}") };
            let fail = |error| Stop::Failed(path.clone(), error);
            match folder.entry(name).map_err(fail)? {
                Entry::Folder if depth < DEPTH => {
                    if let Some(inner) = folder.enter(name).map_err(fail)? {
                        self.folder(&inner, &path, depth + 1)?;
                    }
                }
                Entry::File(_) if interesting(name) => self.keep(path, folder.read(name, LARGEST))?,
                Entry::Link if interesting(name) => self.link(folder, name, path)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// A link is only a second name of a file beside it: so the kubelet has its newest certificate under a fixed name.
    fn link(&mut self, folder: &Folder, name: &str, path: String) -> Result<(), Stop> {
        let beside = std::fs::read_link(self.root.join(&path)).ok().and_then(|target| {
            let of = |path: &Path| path.file_name().map(std::ffi::OsStr::to_owned);
            let above = target.parent().filter(|above| !above.as_os_str().is_empty());
            let here = self.root.join(&path).parent().and_then(of);
            let stays = above.is_none_or(|above| of(above) == here);
            target.file_name().and_then(|name| name.to_str()).filter(|_| stays).map(ToOwned::to_owned)
        });
        match beside.filter(|beside| beside != name).map(|beside| folder.read(&beside, LARGEST)) {
            None | Some(Err(Unread::System(_))) => {
                self.found.skipped.push((path, "it is a symbolic link that leads out of its folder"));
                Ok(())
            }
            Some(read) => self.keep(path, read),
        }
    }

    fn keep(&mut self, path: String, read: Result<Zeroizing<Vec<u8>>, Unread>) -> Result<(), Stop> {
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(Unread::System(error)) => return Err(Stop::Failed(path, error)),
            Err(Unread::Large(..)) => {
                self.found.skipped.push((path, "it is larger than a mebibyte, and was not read"));
                return Ok(());
            }
            Err(Unread::Grows) => {
                self.found.skipped.push((path, "it grew while it was read"));
                return Ok(());
            }
        };
        self.octets += bytes.len();
        if self.octets > MOST {
            return Err(Stop::TooMuch);
        }
        self.found.files.insert(path, bytes);
        Ok(())
    }
}

fn interesting(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, ending)| ENDINGS.contains(&ending))
}
