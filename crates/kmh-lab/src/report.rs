//! What `up` says in the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kmh_cli::table::Table;
use kmh_cli::{Answer, Exit, Format};
use serde_json::json;

use crate::args::Carrier;
use crate::plan::LabPlan;
use crate::run::Change;
use crate::services::Act;
use crate::state::{LabName, State};

/// What was done.
pub(crate) struct Done {
    /// Anything at all.
    pub(crate) changed: bool,
    /// Whether the lab was not up before.
    pub(crate) fresh: bool,
    /// Whether namespaces, links, addresses or routes are others than before.
    pub(crate) wires: bool,
    /// What was done to each machine.
    pub(crate) machines: BTreeMap<String, Change>,
}

fn word(act: Act) -> &'static str {
    match act {
        Act::Start => "started",
        Act::Stop => "stopped",
        Act::Reload => "reloaded",
        Act::Restart => "restarted",
    }
}

/// A lab that is up.
pub(crate) fn up(lab: &LabName, state: &State, planned: &LabPlan, done: &Done, format: Format) -> Answer {
    if format == Format::Json {
        let machines: BTreeMap<&str, _> = state
            .machines
            .iter()
            .map(|(name, machine)| {
                let nothing = Change::default();
                let change = done.machines.get(name).unwrap_or(&nothing);
                let acts: Vec<_> =
                    change.acts.iter().map(|(unit, act)| json!({"unit": unit, "did": word(*act)})).collect();
                let value = json!({"role": machine.role, "kind": machine.kind, "site": machine.site, "pid": machine.pid,
                    "booted": change.booted, "files": change.files, "services": acts});
                (name.as_str(), value)
            })
            .collect();
        let pods: Vec<_> =
            planned.pods.iter().map(|pod| json!({"node": pod.node, "address": pod.address})).collect();
        let services: Vec<_> = planned
            .services
            .iter()
            .map(|service| {
                let nodes: Vec<&str> = service.pods.iter().map(|pod| pod.node.as_str()).collect();
                json!({"name": service.name, "address": service.address, "local": service.local, "nodes": nodes})
            })
            .collect();
        let value = json!({"lab": lab, "changed": done.changed, "tunnels": state.tunnels, "machines": machines,
            "pods": pods, "services": services, "ssh": lab.folder().join("ssh")});
        return Answer { text: value.to_string(), exit: Exit::Done };
    }
    let mut text = String::new();
    if !done.changed {
        let _ = writeln!(text, "lab {lab}: nothing changed");
        return Answer { text, exit: Exit::Done };
    }
    let what = if done.fresh { "is up" } else { "is as the bundle says again" };
    let _ = writeln!(text, "lab {lab} {what}\n");
    let mut table = Table::new(["MACHINE", "ROLE", "SITE", "CHANGED"]);
    for (name, machine) in &state.machines {
        let role = format!("{:?}", machine.role).to_lowercase();
        let change = done.machines.get(name).map(told).unwrap_or_default();
        table.row([name, &role, machine.site.as_deref().unwrap_or("-"), &change]);
    }
    let _ = write!(text, "{table}");
    if done.wires && !done.fresh {
        text.push_str("\nlinks, addresses or routes changed\n");
    }
    let _ = writeln!(text, "\nkmh-lab exec MACHINE -- COMMAND; kmh-lab down");
    Answer { text, exit: Exit::Done }
}

fn told(change: &Change) -> String {
    if change.booted {
        return format!("new, {} files", change.files.len());
    }
    let mut parts = Vec::new();
    match change.files.len() {
        0 => {}
        1 => parts.extend(change.files.iter().cloned()),
        many => parts.push(format!("{many} files")),
    }
    parts.extend(
        change.acts.iter().map(|(unit, act)| format!("{} {}", unit.trim_end_matches(".service"), word(*act))),
    );
    if parts.is_empty() { "-".to_owned() } else { parts.join(", ") }
}

/// What would be built.
pub(crate) fn planned(lab: &LabName, planned: &LabPlan, tunnels: Carrier, format: Format) -> Answer {
    if format == Format::Json {
        let machines: BTreeMap<&str, _> = planned
            .machines
            .iter()
            .map(|(name, machine)| {
                let value = json!({"role": machine.role, "site": machine.site, "files": machine.files.len(),
                    "services": machine.services, "left_out": machine.idle});
                (name.as_str(), value)
            })
            .collect();
        let value = json!({"lab": lab, "dry_run": true, "tunnels": tunnels, "machines": machines, "wires": planned.wires,
            "hosts": planned.hosts});
        return Answer { text: value.to_string(), exit: Exit::Done };
    }
    let mut text = format!(
        "lab {lab} would have {} namespaces, {} links and these machines\n\n",
        planned.wires.spaces.len(),
        planned.wires.links.len()
    );
    let mut table = Table::new(["MACHINE", "ROLE", "SITE", "FILES", "DAEMONS"]);
    for (name, machine) in &planned.machines {
        let role = format!("{:?}", machine.role).to_lowercase();
        let daemons: Vec<&str> =
            machine.services.iter().map(|unit| unit.trim_end_matches(".service")).collect();
        let files = machine.files.len().to_string();
        table.row([name, &role, machine.site.as_deref().unwrap_or("-"), &files, &daemons.join(" ")]);
    }
    let _ = write!(text, "{table}");
    Answer { text, exit: Exit::Done }
}
