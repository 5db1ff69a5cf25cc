//! `dir:PATH`: one folder a machine. Modes are set; owners stay the user's own, and units are not touched.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use kmh_cli::Failure;
use kmh_doc::bundle::Unit;
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use crate::body::Body;
use crate::plan::{Found, Owners, Rules, Seen, Step};
use crate::programs::Program;
use crate::target::{Acted, Item, SHOWN, Set, Target, Trouble, Written, nonce};
use crate::turns::Down;
use kmh_store::folder::{AT_ONCE, Entry, Folder, errno};
use kmh_store::store::explain;
use kmh_store::wanted::{TEMPORARY, Wanted, folder};

/// A machine's folder.
pub(crate) struct DirTarget {
    path: PathBuf,
    machine: String,
}

/// Makes the folder of all machines: 0700, and ignored by git, for it will hold secrets. A folder that holds something
/// else is refused, so that `dir:.` spoils nothing.
pub(crate) fn prepare(path: &Path, dry_run: bool) -> Result<(), Failure> {
    let shown = path.display();
    let world = |error: Errno| Failure::world(format!("folder `{shown}` cannot be used")).because(error);
    match Folder::open(path) {
        Err(Errno::NOENT) if dry_run => return Ok(()),
        Err(Errno::NOENT) => kmh_cli::file::make_dir(path, 0o700)?,
        Err(error) => return Err(world(error)),
        Ok(folder) => {
            let ours = matches!(folder.entry(".gitignore"), Ok(Entry::File(_)))
                && folder.read(".gitignore", 16).is_ok_and(|bytes| bytes.as_slice() == b"*\n");
            let names = folder.names("").map_err(world)?;
            if !ours && names.iter().any(|name| name != "." && name != ".." && !name.starts_with(".tmp")) {
                return Err(Failure::wrong(format!(
                    "folder `{shown}` holds something that kmh-push did not write"
                ))
                .hint("name a folder that is empty or not there yet"));
            }
            if dry_run {
                return Ok(());
            }
            if folder.mode().map_err(world)? != 0o700 {
                folder.chmod(0o700).map_err(world)?;
            }
        }
    }
    kmh_cli::file::write(&path.join(".gitignore"), b"*\n", 0o600).map(|_| ())
}

impl DirTarget {
    /// The folder of that machine.
    pub(crate) fn new(path: &Path, machine: &str) -> Self {
        Self { path: path.to_owned(), machine: machine.to_owned() }
    }

    fn trouble(&self, path: &str, why: impl std::fmt::Display) -> Trouble {
        Trouble::failed(format!("`{}/{}{path}`: {why}", self.path.display(), self.machine))
    }

    /// A program that cannot be read from its folder, or written to this one.
    fn lost(&self, program: &Program, why: &dyn std::fmt::Display) -> Trouble {
        self.trouble("", format!("`{}` was not written whole: {why}", program.shown()))
    }

    /// The machine's folder, when it is there.
    fn open(&self) -> Result<Option<Folder>, Trouble> {
        let all = match Folder::open(&self.path) {
            Ok(all) => all,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(self.trouble("", error)),
        };
        all.enter(&self.machine).map_err(|error| self.trouble("", explain(error)))
    }

    /// The machine's folder, made when it is not there, and held against other pushes.
    fn hold(&self) -> Result<Folder, Trouble> {
        let root = match self.open()? {
            Some(root) => root,
            None => Folder::open(&self.path)
                .and_then(|all| all.make(&self.machine, 0o700))
                .map_err(|error| self.trouble("", error))?,
        };
        match root.lock() {
            Ok(()) => Ok(root),
            Err(Errno::WOULDBLOCK) => Err(self.trouble("", "another push is writing there")),
            Err(error) => Err(self.trouble("", error)),
        }
    }

    fn look(&self, folder: &Folder, path: &str) -> Result<Found, Trouble> {
        let name = name(path);
        let stat = match folder.entry(name).map_err(|error| self.trouble(path, error))? {
            Entry::Missing => return Ok(Found::Missing),
            Entry::Folder => return Ok(Found::Folder),
            Entry::Link => return Ok(Found::Link),
            Entry::Other => return Ok(Found::Other),
            Entry::File(stat) => stat,
        };
        let mode = stat.st_mode & 0o7777;
        let sum = match folder.file(name) {
            Ok(mut file) => {
                let mut hash = Sha256::new();
                let mut buffer = zeroize::Zeroizing::new([0; 1 << 14]);
                loop {
                    match file.read(buffer.as_mut_slice()).map_err(|error| self.trouble(path, error))? {
                        0 => break hash.finalize().into(),
                        n => hash.update(&buffer[..n]),
                    }
                }
            }
            // Its own mode forbids reading, as `0200` would: whatever it holds, it is replaced.
            Err(Errno::ACCESS) => [0; 32],
            Err(error) => return Err(self.trouble(path, explain(error))),
        };
        Ok(Found::File { sum, mode, owner: None })
    }

    /// Writes a set; what is done so far stays in `written`.
    fn write_all(&self, set: &Set<'_>, written: &mut Written) -> Result<(), Trouble> {
        let nonce = nonce()?;
        let root = self.hold()?;
        for path in &set.folders {
            let found = root.below(path).map_err(|(part, error)| self.trouble(&part, explain(error)))?;
            if let Some(found) = found {
                for name in found.names(TEMPORARY).map_err(|error| self.trouble(path, error))? {
                    found.remove(&name).map_err(|error| self.trouble(path, error))?;
                }
            }
        }
        let mut folders: BTreeMap<&str, Folder> = BTreeMap::new();
        for item in &set.items {
            let path = folder(&item.file.path);
            if !folders.contains_key(path) {
                let made =
                    root.make_below(path).map_err(|(part, error)| self.trouble(&part, explain(error)))?;
                folders.insert(path, made);
            }
        }
        let mut staged: Vec<(&Folder, String, &Item<'_>)> = Vec::with_capacity(set.items.len());
        let result = (|| {
            for (number, item) in set.items.iter().enumerate() {
                let Some(folder) = folders.get(folder(&item.file.path)) else { continue };
                let temporary = format!("{TEMPORARY}{nonce}.{number}");
                let error = |error| self.trouble(&item.file.path, error);
                let mut file = folder.create(&temporary, item.file.mode).map_err(error)?;
                staged.push((folder, temporary.clone(), item));
                match item.body {
                    Body::Content(content) => {
                        file.write_all(&content.bytes).map_err(|why| error(errno(&why)))?;
                    }
                    Body::Program(program) => {
                        let mut octets = program.open().map_err(|why| self.lost(program, &why))?;
                        std::io::copy(&mut octets, &mut file).map_err(|why| self.lost(program, &why))?;
                        // It may have become another one since it was judged.
                        match self.look(folder, &temporary)? {
                            Found::File { sum, .. } if sum == program.sum => {}
                            _ => return Err(self.lost(program, &"it is not what it was")),
                        }
                    }
                }
                if !AT_ONCE {
                    file.sync_all().map_err(|why| error(errno(&why)))?;
                }
            }
            root.sync_below().map_err(|error| self.trouble("", error))?;
            for (folder, temporary, item) in &staged {
                folder
                    .rename(temporary, name(&item.file.path))
                    .map_err(|error| self.trouble(&item.file.path, error))?;
                written.paths.insert(item.file.path.clone());
            }
            Ok(())
        })();
        for (folder, temporary, _) in staged.iter().skip(written.paths.len()) {
            let _ = folder.remove(temporary);
        }
        result?;
        for (path, folder) in folders.iter().filter(|_| !AT_ONCE) {
            folder.sync().map_err(|error| self.trouble(path, error))?;
        }
        root.sync_below().map_err(|error| self.trouble("", error))?;
        for item in &set.items {
            if let Some(folder) = folders.get(folder(&item.file.path)) {
                written.after.insert(item.file.path.clone(), self.look(folder, &item.file.path)?);
            }
        }
        Ok(())
    }
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

impl Target for DirTarget {
    fn rules(&self) -> Rules {
        Rules { owners: Owners::Left, units: false }
    }

    fn observe(&mut self, machine: &Wanted) -> Result<Seen, Trouble> {
        let mut seen = Seen::default();
        let root = self.open()?;
        let mut folders = BTreeMap::new();
        for path in machine.folders() {
            let found = match &root {
                Some(root) => {
                    root.below(path).map_err(|(part, error)| self.trouble(&part, explain(error)))?
                }
                None => None,
            };
            if let Some(found) = &found {
                seen.leftovers += found.names(TEMPORARY).map_err(|error| self.trouble(path, error))?.len();
            }
            folders.insert(path, found);
        }
        for file in &machine.files {
            let found = match folders.get(folder(&file.path)) {
                Some(Some(folder)) => self.look(folder, &file.path)?,
                _ => Found::Missing,
            };
            seen.files.insert(file.path.clone(), found);
        }
        Ok(seen)
    }

    fn fetch(&mut self, paths: &[&str]) -> Result<BTreeMap<String, Vec<u8>>, Trouble> {
        let Some(root) = self.open()? else { return Ok(BTreeMap::new()) };
        let mut found = BTreeMap::new();
        for path in paths {
            let below =
                root.below(folder(path)).map_err(|(part, error)| self.trouble(&part, explain(error)))?;
            if let Some(Ok(bytes)) = below.map(|folder| folder.read(name(path), SHOWN)) {
                found.insert((*path).to_owned(), bytes.to_vec());
            }
        }
        Ok(found)
    }

    fn write(&mut self, set: &Set<'_>) -> Written {
        let mut written = Written::default();
        written.trouble = self.write_all(set, &mut written).err();
        written
    }

    fn act(&mut self, _: &[Step], _: &[&Unit]) -> Acted {
        Acted::default()
    }

    fn silent(&mut self, _: &[&Unit]) -> Result<Down, Trouble> {
        Ok(Down::new())
    }
}
