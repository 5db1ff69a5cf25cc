//! The bundle as the checks see it: files by path, with their text, units and command lines already read.

use std::borrow::Cow;
use std::collections::BTreeMap;

use kmh_doc::bundle::{BundleSpec, File, Machine, MachineKind, Segment};
use kmh_doc::inventory::Role;
use rayon::prelude::*;
use serde_json::Value;

use crate::parse::unit::{Command, Unit};
use crate::parse::yaml;

/// What stands in a text where a secret will be.
pub(crate) const SECRET: &str = "kmh-secret";
/// The folders of unit files.
const UNIT_FOLDERS: [&str; 2] = ["/etc/systemd/system/", "/usr/lib/systemd/system/"];

/// The bundle.
pub(crate) struct Bundle<'a> {
    /// The document.
    pub(crate) spec: &'a BundleSpec,
    /// Its machines in the document's order.
    pub(crate) machines: Vec<View<'a>>,
}

/// A machine.
pub(crate) struct View<'a> {
    /// The entry.
    pub(crate) machine: &'a Machine,
    /// Its files by path; of two with one path the last.
    pub(crate) files: BTreeMap<&'a str, Body<'a>>,
    /// Its unit files and drop-ins, by path.
    pub(crate) units: BTreeMap<&'a str, Unit>,
    /// The commands of its units: path of the unit file, and command.
    pub(crate) commands: Vec<(&'a str, Command)>,
    /// The configuration files that commands name, by path.
    configurations: BTreeMap<String, Value>,
}

/// A file.
pub(crate) struct Body<'a> {
    /// The entry.
    pub(crate) file: &'a File,
    /// Its text, with [`SECRET`] where secrets are.
    pub(crate) text: Cow<'a, str>,
    /// References to its secrets.
    pub(crate) secrets: Vec<&'a str>,
}

impl<'a> Bundle<'a> {
    /// Reads all units, on all processors.
    pub(crate) fn new(spec: &'a BundleSpec) -> Self {
        Self { spec, machines: spec.machines.par_iter().map(View::new).collect() }
    }

    /// The machine of that name.
    pub(crate) fn machine(&self, name: &str) -> Option<&View<'a>> {
        self.machines.iter().find(|m| m.machine.name == name)
    }

    /// The nodes.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &View<'a>> {
        self.machines.iter().filter(|m| m.machine.kind == MachineKind::Node)
    }

    /// The nodes with a role.
    pub(crate) fn with(&self, role: Role) -> impl Iterator<Item = &View<'a>> {
        self.nodes().filter(move |m| m.machine.roles.contains(&role))
    }

    /// The documents of all manifests of the cluster.
    pub(crate) fn manifests(&self) -> impl Iterator<Item = Value> {
        let cluster = self.machines.iter().filter(|m| m.machine.kind == MachineKind::Cluster);
        let files = cluster.flat_map(|m| m.files.iter()).filter(|(path, _)| is_yaml(path));
        files.filter_map(|(_, text)| yaml::all(&text.text)).flatten().flat_map(items)
    }
}

/// The items of a `List`, or the document itself.
fn items(mut document: Value) -> Vec<Value> {
    match document.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => items,
        _ => vec![document],
    }
}

/// What stands behind the last full stop of a path's last part.
pub(crate) fn ending(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.rsplit_once('.').map_or("", |(_, ending)| ending)
}

/// Whether a path is that of a YAML or JSON file.
pub(crate) fn is_yaml(path: &str) -> bool {
    ["yaml", "yml", "json"].contains(&ending(path))
}

impl<'a> View<'a> {
    fn new(machine: &'a Machine) -> Self {
        let files: BTreeMap<&str, Body<'_>> =
            machine.files.iter().map(|f| (f.path.as_str(), Body::new(f))).collect();
        let mut units = BTreeMap::new();
        let mut commands = Vec::new();
        for (path, text) in &files {
            if UNIT_FOLDERS.iter().any(|folder| path.starts_with(folder)) {
                let unit = Unit::read(&text.text);
                commands.extend(unit.commands().into_iter().map(|command| (*path, command)));
                units.insert(*path, unit);
            }
        }
        let named = commands.iter().filter_map(|(_, c)| c.flag("config").or_else(|| c.flag("config-file")));
        let read = |path: &str| Some((path.to_owned(), yaml::one(&files.get(path)?.text)?));
        let configurations = named.filter_map(read).collect();
        Self { machine, files, units, commands, configurations }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &'a str {
        &self.machine.name
    }

    /// Whether it has a role.
    pub(crate) fn is(&self, role: Role) -> bool {
        self.machine.roles.contains(&role)
    }

    /// The unit file and command that starts a program.
    pub(crate) fn command(&self, program: &str) -> Option<(&'a str, &Command)> {
        self.commands.iter().find(|(_, c)| c.name() == program).map(|(path, command)| (*path, command))
    }

    /// The text of a file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(|t| t.text.as_ref())
    }

    /// A file as YAML.
    pub(crate) fn yaml(&self, path: &str) -> Option<Value> {
        yaml::one(self.text(path)?)
    }

    /// What a program is told: a flag, or else a key of its configuration file (`a.b`: key `b` in section `a`).
    pub(crate) fn setting(&self, program: &str, name: &str) -> Option<String> {
        let (_, command) = self.command(program)?;
        if let Some(value) = command.flag(name) {
            return Some(value.to_owned());
        }
        let config = self.configuration(program)?;
        match name.split('.').fold(config, |here, step| &here[step]) {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            Value::Array(list) => Some(list.iter().map(plain).collect::<Vec<_>>().join(",")),
            other => Some(other.to_string()),
        }
    }

    /// The configuration file of a program, by its flag.
    pub(crate) fn configuration(&self, program: &str) -> Option<&Value> {
        let (_, command) = self.command(program)?;
        self.configurations.get(command.flag("config").or_else(|| command.flag("config-file"))?)
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl<'a> Body<'a> {
    fn new(file: &'a File) -> Self {
        let mut secrets = Vec::new();
        let text = match file.content.as_slice() {
            [Segment::Text { text }] => Cow::Borrowed(text.as_str()),
            segments => Cow::Owned(
                segments
                    .iter()
                    .map(|segment| match segment {
                        Segment::Text { text } => text.as_str(),
                        Segment::Secret { secret, .. } => {
                            secrets.push(secret.as_str());
                            SECRET
                        }
                    })
                    .collect(),
            ),
        };
        Self { file, text, secrets }
    }
}
