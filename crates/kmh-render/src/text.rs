//! What `-o text` prints.

use kmh_cli::table::Table;
use kmh_doc::bundle::{BundleSpec, MachineKind, Segment};

/// One row a machine.
pub(crate) fn page(bundle: &BundleSpec) -> String {
    let mut table = Table::new(["MACHINE", "KIND", "SITE", "ARCH", "FILES", "SECRETS", "UNITS", "ARTIFACTS"]);
    for machine in &bundle.machines {
        let kind = match machine.kind {
            MachineKind::Node => "node",
            MachineKind::LinuxRouter => "linux router",
            MachineKind::Pfsense => "pfsense",
            MachineKind::Cluster => "manifests",
        };
        let secrets = machine
            .files
            .iter()
            .flat_map(|file| &file.content)
            .filter(|s| matches!(s, Segment::Secret { .. }))
            .count();
        table.row([
            &machine.name,
            kind,
            machine.site.as_deref().unwrap_or("-"),
            machine.arch.map_or("-", kmh_doc::inventory::Arch::as_str),
            &machine.files.len().to_string(),
            &secrets.to_string(),
            &machine.units.len().to_string(),
            &machine.artifacts.len().to_string(),
        ]);
    }
    table.to_string()
}
