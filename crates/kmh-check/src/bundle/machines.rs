//! Whether the bundle is about the machines of the inventory, and starts on each what its roles need.

use std::collections::BTreeSet;

use kmh_doc::bundle::MachineKind;
use kmh_doc::inventory::Role;
use kmh_model::Model;

use super::RENDER;
use super::view::Bundle;
use crate::findings::Findings;

/// Programs that every node starts.
const EVERY_NODE: &[&str] = &["kubelet", "kube-proxy"];
/// Programs that a control-plane node starts.
const CONTROL_PLANE: &[&str] = &["kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// `bundle.machines`: every node and router of the inventory, with its kind, site, roles and architecture, and no other.
pub(crate) fn machines(model: &Model, bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    let mut names = BTreeSet::new();
    for view in &bundle.machines {
        if !names.insert(view.name()) {
            out.critical(view.name(), "the bundle has this machine twice", RENDER);
        }
    }
    let nodes = model.nodes.keys().map(kmh_doc::Label::as_str);
    let routers = model.routers.iter().map(|r| r.name.as_str());
    for name in nodes.chain(routers).chain(["cluster"]) {
        if out.look_at(name) && !names.contains(name) {
            out.critical(name, "the bundle does not have this machine", RENDER);
        }
    }
    for view in &bundle.machines {
        let (name, machine) = (view.name(), view.machine);
        if !out.look_at(name) {
            continue;
        }
        if let Some(node) = model.nodes.get(name) {
            let roles: BTreeSet<Role> = machine.roles.iter().copied().collect();
            if machine.kind != MachineKind::Node || machine.site.as_deref() != Some(node.site.as_str()) {
                out.critical(name, "its kind or site is not that of the inventory", RENDER);
            }
            if roles != node.roles {
                out.critical(name, "its roles are not those of the inventory", RENDER);
            }
            if machine.arch != Some(node.arch) {
                let is = machine.arch.map_or("none", kmh_doc::inventory::Arch::as_str);
                out.critical(
                    name,
                    format!("its architecture is {is}, the inventory says {}", node.arch.as_str()),
                    RENDER,
                );
            }
        } else if let Some(router) = model.router(name) {
            if machine.kind != MachineKind::from(router.kind)
                || machine.site.as_deref() != Some(router.site.as_str())
            {
                out.critical(name, "its kind or site is not that of the inventory", RENDER);
            }
        } else if machine.kind != MachineKind::Cluster {
            out.critical(name, "the inventory does not have this machine", RENDER);
        }
        if machine.files.is_empty() {
            out.critical(name, "it has no files", RENDER);
        }
    }
}

/// `bundle.programs`: each role's programs are started by a unit of the machine.
pub(crate) fn programs(bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    for view in bundle.nodes() {
        if !out.look_at(view.name()) {
            continue;
        }
        let control_plane: &[&str] = if view.is(Role::ControlPlane) { CONTROL_PLANE } else { &[] };
        let etcd: &[&str] = if view.is(Role::Etcd) { &["etcd"] } else { &[] };
        for program in EVERY_NODE.iter().chain(control_plane).chain(etcd) {
            match view.command(program) {
                None => out.critical(view.name(), format!("no unit starts `{program}`"), RENDER),
                Some((path, _)) => {
                    let unit = path.rsplit('/').next().unwrap_or_default();
                    if !view.machine.units.iter().any(|u| u.name == unit && u.enable) {
                        out.critical(
                            view.name(),
                            format!("`{unit}`, which starts `{program}`, is not enabled"),
                            RENDER,
                        );
                    }
                }
            }
        }
    }
}
