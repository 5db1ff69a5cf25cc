//! What the tests of this crate push: a machine with little on it.

use kmh_doc::bundle::{MachineKind, OnChange, Segment, Unit, UnitAction};
use kmh_doc::inventory::Ssh;
use kmh_store::wanted::{Wanted, WantedFile};

/// A node with these files and units.
pub(crate) fn machine(name: &str, files: Vec<WantedFile>, units: &[&str]) -> Wanted {
    Wanted {
        name: name.into(),
        kind: MachineKind::Node,
        site: None,
        roles: vec![],
        arch: None,
        address: None,
        ssh: Ssh::default(),
        files,
        units: units.iter().map(|name| Unit { name: (*name).into(), enable: true, ready: vec![] }).collect(),
        artifacts: vec![],
    }
}

/// A file with that text, and what is done to units when it changes.
pub(crate) fn file(path: &str, text: &str, changes: &[(&str, UnitAction)]) -> WantedFile {
    let change = |(unit, action): &(&str, UnitAction)| OnChange { unit: (*unit).into(), action: *action };
    WantedFile {
        path: path.into(),
        owner: "root:root".into(),
        mode: 0o644,
        content: vec![Segment::Text { text: text.into() }],
        on_change: changes.iter().map(change).collect(),
    }
}
