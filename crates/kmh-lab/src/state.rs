//! What a lab that is up remembers of itself: `/run/kmh-lab/NAME/lab.json`, and where things lie.
//!
//! The folder is made before the first namespace and removed after the last one, so that `down` finds whatever a killed
//! `up` left. Nothing in it is needed to take a lab away but its name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use kmh_cli::{Failure, file};
use kmh_doc::inventory::{Arch, Ssh};
use serde::{Deserialize, Serialize};

use crate::args::Carrier;
use crate::plan::wires::Wires;

/// Where labs lie.
pub const ROOT: &str = "/run/kmh-lab";
/// Every process that a lab starts has this in its environment, with [`LabName::mark`].
pub const MARK: &str = "KMH_LAB";

/// A lab's name: an RFC 1123 label of at most 12 characters, so that names of namespaces stay readable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LabName(String);

impl LabName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As much of a longer name as fits.
    pub fn shortened(text: &str) -> Result<Self, Failure> {
        let cut: String = text.chars().take(12).collect();
        Self::try_from(cut.trim_end_matches('-').to_owned()).map_err(Failure::wrong)
    }

    /// The system's name of one of its namespaces.
    pub fn space(&self, space: &str) -> String {
        format!("{}.{space}", self.0)
    }

    /// What tells its processes from those of a lab that has the same name elsewhere, such as in a container: the name,
    /// and the folder's place in the file system.
    pub fn mark(&self) -> String {
        let place = std::fs::metadata(self.folder());
        let place = place.map(|meta| format!("{}-{}", meta.dev(), meta.ino())).unwrap_or_default();
        format!("{self}@{place}")
    }

    /// Its folder.
    pub fn folder(&self) -> PathBuf {
        Path::new(ROOT).join(&self.0)
    }
}

impl TryFrom<String> for LabName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let right = (1..=12).contains(&text.len())
            && text.chars().all(good)
            && !text.starts_with('-')
            && !text.ends_with('-');
        if right {
            Ok(Self(text))
        } else {
            Err(format!(
                "`{}` is no name of a lab: at most 12 of a-z, 0-9 and -",
                kmh_cli::text::printable(&text)
            ))
        }
    }
}

impl From<LabName> for String {
    fn from(name: LabName) -> Self {
        name.0
    }
}

impl fmt::Display for LabName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A lab that is up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct State {
    /// Digests of the documents that it was built from, by kind.
    pub documents: BTreeMap<String, String>,
    /// How its tunnels are carried.
    pub tunnels: Option<Carrier>,
    /// Its machines, by name.
    pub machines: BTreeMap<String, Machine>,
    /// Namespaces, links, addresses and routes.
    pub wires: Wires,
    /// Other names of machines: a namespace router, by its host.
    pub routers: BTreeMap<String, Inner>,
    /// What is broken, as the command line names it.
    pub cut: BTreeSet<String>,
    /// Whether `up` is at work on machines and links, or was killed there: then nobody knows what is there.
    pub half: bool,
    /// Whether `up` came to its end.
    pub whole: bool,
}

/// A namespace inside a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inner {
    /// The machine that carries it.
    pub machine: String,
    /// Its name there.
    pub netns: String,
}

/// A machine of a lab.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// What it is in the cluster.
    pub role: Role,
    /// How it is built.
    pub kind: Kind,
    /// Its site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Its architecture, when it has one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<Arch>,
    /// Its first process, as this machine counts.
    pub pid: u32,
    /// When that process started, in the kernel's clock ticks: a number that was given to another process is not it.
    pub started: u64,
    /// Paths of its files.
    pub files: BTreeSet<String>,
    /// Daemons that were started, in order.
    pub services: Vec<String>,
    /// How to log in.
    #[serde(default)]
    pub ssh: Ssh,
}

/// What a machine is in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A router, or the host of one.
    Router,
    /// A node.
    Node,
    /// The admin's laptop.
    Operator,
}

/// How a machine is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A copy of this machine's files, with the daemons that matter.
    Light,
    /// A complete system.
    Full,
    /// This machine's files themselves.
    Shared,
}

impl State {
    /// Reads a lab's state; none when there is no such lab, an empty one when its `up` was killed early.
    pub fn read(name: &LabName) -> Result<Option<Self>, Failure> {
        let folder = name.folder();
        if !folder.is_dir() {
            return Ok(None);
        }
        let path = folder.join("lab.json");
        let Some(bytes) = file::read_if_there(&path)? else { return Ok(Some(Self::default())) };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            Failure::world(format!("`{}` cannot be understood", path.display()))
                .because(error)
                .hint(format!("kmh-lab down --lab {name} takes the lab away all the same"))
        })
    }

    /// Writes it.
    pub fn write(&self, name: &LabName) -> Result<(), Failure> {
        let path = name.folder().join("lab.json");
        let bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| Failure::world("cannot write the lab's state").because(error))?;
        file::write(&path, &bytes, 0o600).map(|_| ())
    }
}

/// Every lab on this machine, whole or not.
pub fn labs() -> Vec<LabName> {
    let Ok(entries) = std::fs::read_dir(ROOT) else { return Vec::new() };
    let mut found: Vec<LabName> = entries
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| LabName::try_from(entry.file_name().into_string().ok()?).ok())
        .collect();
    found.sort();
    found
}

/// The lab that is meant: the one named, or the only one.
pub fn chosen(named: Option<&str>) -> Result<(LabName, State), Failure> {
    let all = labs();
    let list = || all.iter().map(LabName::as_str).collect::<Vec<_>>().join(", ");
    let name = match (named, all.as_slice()) {
        (Some(named), _) => LabName::try_from(named.to_owned()).map_err(Failure::wrong)?,
        (None, [only]) => only.clone(),
        (None, []) => {
            return Err(Failure::wrong("no lab is up").hint("kmh-lab up -i stream.json --store DIR"));
        }
        (None, _) => {
            return Err(
                Failure::wrong("several labs are up").hint(format!("name one with --lab: {}", list()))
            );
        }
    };
    match State::read(&name)? {
        Some(state) => Ok((name, state)),
        None if all.is_empty() => Err(Failure::wrong(format!("no lab `{name}` is up"))),
        None => Err(Failure::wrong(format!("no lab `{name}` is up")).hint(format!("up are {}", list()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_labs_are_short_labels() {
        for bad in ["", "Attic", "a.b", "-a", "a-", "thirteen-long", "a/b", ".."] {
            let refused = LabName::try_from(bad.to_owned());
            assert!(refused.is_err_and(|why| why.contains("no name of a lab")), "{bad}");
        }
        assert_eq!(LabName::shortened("a-cluster-a-b").unwrap().as_str(), "a-cluster-a");
        assert_eq!(LabName::try_from("attic".to_owned()).unwrap().space("pod-x"), "attic.pod-x");
    }
}
