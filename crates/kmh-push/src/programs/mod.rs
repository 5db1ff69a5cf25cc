//! Programs of the bundle, taken from a folder that the operator filled: found, read once, and judged before any machine
//! is asked for anything. From then on they are files of their machines like all others, but for their octets, which
//! are read from the folder as they are sent: a node's programs are larger than what one would hold in memory.

mod elf;
mod pack;
mod place;
mod uses;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kmh_cli::failure::Note;
use kmh_cli::text::printable;
use kmh_doc::bundle::Artifact;
use kmh_store::content::{Sum, hex};
use kmh_store::wanted::{Wanted, WantedFile, note};

use pack::Piece;

/// A program that was read and judged.
#[derive(Debug)]
pub(crate) struct Program {
    /// What it is, for people: `kubelet 1.36.2 for arm64`.
    pub(crate) title: String,
    file: PathBuf,
    packed: Option<u64>,
    pub(crate) size: u64,
    pub(crate) sum: Sum,
}

impl Program {
    /// Its octets; what reads them counts them.
    pub(crate) fn open(&self) -> std::io::Result<Box<dyn Read + Send>> {
        pack::open(&self.file, self.packed, self.size)
    }

    /// Where it is read from, for people.
    pub(crate) fn shown(&self) -> String {
        shown(&self.file)
    }

    /// Stands for its octets in a diff.
    pub(crate) fn line(&self) -> String {
        format!("<{}, {}, sha256 {}>\n", self.title, megabytes(self.size), hex(&self.sum))
    }
}

/// The programs of all machines.
#[derive(Default)]
pub(crate) struct Programs(BTreeMap<String, BTreeMap<String, Arc<Program>>>);

impl Programs {
    /// What is installed at a path of a machine, when it is a program.
    pub(crate) fn get(&self, machine: &str, path: &str) -> Option<&Arc<Program>> {
        self.0.get(machine)?.get(path)
    }

    /// Every program once, with the file that it is read from.
    pub(crate) fn all(&self) -> BTreeSet<(String, String, u64)> {
        let all = self.0.values().flat_map(BTreeMap::values);
        all.map(|one| (one.title.clone(), one.shown(), one.size)).collect()
    }
}

/// A size for people.
pub(crate) fn megabytes(size: u64) -> String {
    if size < 1_000_000 {
        return format!("{} kB", size.div_ceil(1000));
    }
    format!("{}.{} MB", size / 1_000_000, size % 1_000_000 / 100_000)
}

fn shown(file: &Path) -> String {
    printable(&file.display().to_string())
}

/// Whether it is something that a processor runs, and not a manifest.
fn is_program(artifact: &Artifact) -> bool {
    ["/bin/", "/sbin/"].iter().any(|folder| artifact.path.contains(folder))
}

fn title(artifact: &Artifact) -> String {
    let arch = if is_program(artifact) { format!(" for {}", artifact.arch.as_str()) } else { String::new() };
    printable(&format!("{} {}{arch}", artifact.name, artifact.version))
}

/// Where an artifact lies in the folder.
fn find(folder: &Path, artifact: &Artifact) -> Option<PathBuf> {
    place::places(artifact).into_iter().map(|place| folder.join(place)).find(|file| file.is_file())
}

/// Addresses of what the machines need and the folder, where there is one, lacks; each once.
pub(crate) fn lacking(folder: Option<&Path>, machines: &[Wanted]) -> BTreeSet<String> {
    let all = machines.iter().flat_map(|machine| &machine.artifacts);
    let lacking = all.filter(|artifact| folder.is_none_or(|folder| find(folder, artifact).is_none()));
    lacking.map(|artifact| artifact.url.clone()).collect()
}

/// Takes the machines' programs from the folder, and makes them files of the machines. Adds to `notes` all that is
/// missing or wrong; `tell` hears which file is read.
pub(crate) fn take(
    folder: &Path,
    machines: &mut [Wanted],
    notes: &mut Vec<Note>,
    tell: &mut dyn FnMut(&str),
) -> Programs {
    if let Err(error) = std::fs::read_dir(folder) {
        let hint = "`kmh-push fetch` prints the addresses of what belongs into it";
        let mut note = note(format!("folder `{}` cannot be read", shown(folder)), "--artifacts", Some(hint));
        note.causes.push(error.to_string());
        notes.push(note);
        return Programs::default();
    }
    // Nodes of a kind have the same; an archive has several.
    let mut users: BTreeMap<&Artifact, Vec<&str>> = BTreeMap::new();
    for machine in &*machines {
        for artifact in &machine.artifacts {
            users.entry(artifact).or_default().push(&machine.name);
        }
    }
    let mut files: BTreeMap<PathBuf, Vec<&Artifact>> = BTreeMap::new();
    for (artifact, users) in &users {
        match find(folder, artifact) {
            Some(file) => files.entry(file).or_default().push(artifact),
            None => notes.push(missing(folder, artifact, users)),
        }
    }
    let mut judged: BTreeMap<&Artifact, Arc<Program>> = BTreeMap::new();
    for (file, artifacts) in files {
        tell(&format!("reads {}", shown(&file)));
        let mut wrong = |artifact: Option<&Artifact>, message: String| {
            let of: Vec<&Artifact> = artifact.map_or_else(|| artifacts.clone(), |one| vec![one]);
            notes.push(refused(&of, &users, message));
        };
        let names: BTreeSet<&str> = artifacts.iter().map(|artifact| place::member(artifact)).collect();
        let inspected = match pack::inspect(&file, &names) {
            Ok(inspected) => inspected,
            Err(error) => {
                wrong(None, format!("`{}` cannot be read to its end: {error}", shown(&file)));
                continue;
            }
        };
        match place::sum_beside(&file) {
            Ok(Some((sum, list))) if sum != inspected.sum => {
                let (is, must) = (hex(&inspected.sum), hex(&sum));
                let list = printable(&list);
                wrong(None, format!("`{}` has SHA-256 {is}, and `{list}` says {must}", shown(&file)));
                continue;
            }
            Ok(_) => {}
            Err(why) => {
                wrong(None, format!("`{}`: {}", shown(&file), printable(&why)));
                continue;
            }
        }
        for artifact in &artifacts {
            let pieces = inspected.pieces.get(place::member(artifact)).map_or(&[][..], Vec::as_slice);
            match judge(artifact, &file, pieces) {
                Ok(program) => drop(judged.insert(artifact, Arc::new(program))),
                Err(message) => wrong(Some(artifact), message),
            }
        }
    }
    let mut programs = Programs::default();
    let mut added = Vec::with_capacity(machines.len());
    for machine in &*machines {
        let mut own = Vec::new();
        for artifact in &machine.artifacts {
            let Some(program) = judged.get(artifact) else { continue };
            let of_machine = programs.0.entry(machine.name.clone()).or_default();
            of_machine.insert(artifact.path.clone(), Arc::clone(program));
            own.push(WantedFile {
                path: artifact.path.clone(),
                owner: "root:root".to_owned(),
                mode: if is_program(artifact) { 0o755 } else { 0o644 },
                content: vec![],
                on_change: uses::on_change(machine, &artifact.path, is_program(artifact)),
            });
        }
        added.push(own);
    }
    for (machine, own) in machines.iter_mut().zip(added) {
        machine.files.extend(own);
    }
    programs
}

/// A file is taken for what it is, not for what it is called.
fn judge(artifact: &Artifact, file: &Path, pieces: &[Piece]) -> Result<Program, String> {
    let (shown, name) = (shown(file), printable(place::member(artifact)));
    let piece = match pieces {
        [piece] => piece,
        [] => return Err(format!("archive `{shown}` holds no file named `{name}`")),
        more => return Err(format!("archive `{shown}` holds {} files named `{name}`", more.len())),
    };
    let what = if piece.packed.is_some() { format!("`{name}` in `{shown}`") } else { format!("`{shown}`") };
    if is_program(artifact) {
        elf::runs_on(&piece.head, piece.size, artifact.arch).map_err(|why| format!("{what} {why}"))?;
    } else {
        let text = piece.head.trim_ascii_start();
        if text.is_empty() || text.starts_with(b"<") || text.contains(&0) {
            return Err(format!("{what} {}, and must be a manifest", elf::kind(&piece.head)));
        }
    }
    Ok(Program {
        title: title(artifact),
        file: file.to_owned(),
        packed: piece.packed,
        size: piece.size,
        sum: piece.sum,
    })
}

fn missing(folder: &Path, artifact: &Artifact, users: &[&str]) -> Note {
    let url = printable(&artifact.url);
    let at = shown(&folder.join(place::advice(artifact)));
    note(
        format!("{} is not in `{}`", title(artifact), shown(folder)),
        &format!("for {}", users.join(", ")),
        Some(&format!("get {url} and put it at {at}; `kmh-push fetch` lists all")),
    )
}

fn refused(artifacts: &[&Artifact], users: &BTreeMap<&Artifact, Vec<&str>>, message: String) -> Note {
    let machines: BTreeSet<&str> =
        artifacts.iter().flat_map(|artifact| users.get(artifact).into_iter().flatten().copied()).collect();
    let titles: Vec<String> = artifacts.iter().map(|artifact| title(artifact)).collect();
    let of = format!("{}, for {}", titles.join(" and "), machines.into_iter().collect::<Vec<_>>().join(", "));
    let hint = artifacts.first().map(|artifact| {
        format!(
            "get {} again; files of several architectures go into folders: `{}`",
            printable(&artifact.url),
            place::advice(artifact)
        )
    });
    note(message, &of, hint.as_deref())
}
