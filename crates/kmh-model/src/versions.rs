//! The versions that kmh knows what to write for.

use kmh_doc::inventory::Inventory;
use kmh_doc::{Code, Level, Problem, Version};

use crate::report::Report;

/// A major version, its first and its last known minor version.
type Known = (u16, u16, u16);

const KNOWN: &[(&str, &[Known])] = &[
    ("kubernetes", &[(1, 30, 36)]),
    ("etcd", &[(3, 5, 6)]),
    ("containerd", &[(1, 7, 7), (2, 0, 2)]),
    ("calico", &[(3, 28, 32)]),
];

/// Whose newer versions are only warned about: their resources have grown without breaking what older ones took.
const NEWER: &[&str] = &["calico"];

pub(crate) fn check(inventory: &Inventory, report: &mut Report<'_>) {
    let versions = &inventory.cluster.versions;
    let given = [&versions.kubernetes, &versions.etcd, &versions.containerd, &versions.calico];
    for ((name, known), version) in KNOWN.iter().zip(given) {
        let Some(version) = version.as_ref().filter(|version| !is_known(version, known)) else { continue };
        let ranges: Vec<String> = known
            .iter()
            .map(|(major, first, last)| {
                if first == last {
                    format!("{major}.{first}")
                } else {
                    format!("{major}.{first} to {major}.{last}")
                }
            })
            .collect();
        let level =
            if NEWER.contains(name) && is_newer(version, known) { Level::Warning } else { Level::Error };
        let problem = Problem::error(
            Code::UnknownVersion,
            format!("spec.cluster.versions.{name}"),
            format!("kmh does not know {name} {version}"),
        )
        .hint(format!("it knows {}", ranges.join(" and ")));
        report.add(match level {
            Level::Warning => Problem { level, ..problem }
                .because("what is written for the newest known version is written for it too"),
            Level::Error => problem,
        });
    }
}

fn is_known(version: &Version, known: &[Known]) -> bool {
    let (major, minor) = version.major_minor();
    known.iter().any(|(m, first, last)| *m == major && (*first..=*last).contains(&minor))
}

fn is_newer(version: &Version, known: &[Known]) -> bool {
    known.iter().all(|(major, _, last)| version.major_minor() > (*major, *last))
}
