//! Units and programs: what is started is there, and built for the machine.

use std::collections::BTreeSet;

use kmh_doc::bundle::MachineKind;
use kmh_model::Model;

use super::RENDER;
use super::files::{crooked, place};
use super::view::Bundle;
use crate::findings::Findings;

/// Units that the distribution's packages bring, so that no unit file of ours need be there.
/// Kubernetes' own are not among them: those come as bare programs.
const SYSTEM_UNITS: &[&str] = &[
    "bird.service",
    "containerd.service",
    "frr.service",
    "haproxy.service",
    "nftables.service",
    "ssh.service",
    "strongswan.service",
    "systemd-modules-load.service",
    "systemd-networkd.service",
    "systemd-resolved.service",
    "systemd-sysctl.service",
    "systemd-timesyncd.service",
    "systemd-tmpfiles-setup.service",
];

/// `bundle.units`: a unit that is started, enabled or acted on is rendered, or the distribution's.
pub(crate) fn units(bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    for view in &bundle.machines {
        if !out.look_at(view.name()) {
            continue;
        }
        let mut listed = BTreeSet::new();
        for unit in &view.machine.units {
            if !listed.insert(unit.name.as_str()) {
                out.critical(&place(view.name(), &unit.name), "the unit is listed twice", RENDER);
            }
        }
        for file in &view.machine.files {
            for change in &file.on_change {
                if !listed.contains(change.unit.as_str()) {
                    let message = format!(
                        "a change of it acts on `{}`, which is not among the machine's units",
                        change.unit
                    );
                    out.critical(&place(view.name(), &file.path), message, RENDER);
                }
            }
        }
        if view.machine.kind == MachineKind::Pfsense {
            continue; // its services are pfSense's own
        }
        let rendered: BTreeSet<&str> = view.units.keys().filter_map(|path| path.rsplit('/').next()).collect();
        for name in &listed {
            let template = name.split_once('@').map(|(stem, _)| format!("{stem}@.service"));
            let there = rendered.contains(name)
                || template.as_deref().is_some_and(|t| rendered.contains(t) || t == "frr@.service")
                || SYSTEM_UNITS.contains(name);
            if !there {
                let hint = "render a unit file of that name, or correct the name";
                out.critical(
                    &place(view.name(), name),
                    "no file of the machine is this unit, and no package brings it",
                    hint,
                );
            }
        }
        for (path, unit) in &view.units {
            let name = path.rsplit('/').next().unwrap_or_default();
            let startable = unit.values("Install", "WantedBy").next().is_some();
            if startable && !name.contains("@.") && !listed.contains(name) {
                out.warning(
                    &place(view.name(), path),
                    "this unit is never started: it is not among the machine's units",
                    RENDER,
                );
            }
        }
    }
}

/// Components by the names of their programs, and whose version they carry.
const OF_KUBERNETES: &[&str] =
    &["kubelet", "kube-proxy", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl"];

/// `bundle.artifacts`: built for the machine, in the inventory's version, installed where the unit starts it.
pub(crate) fn artifacts(model: &Model, bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    for view in &bundle.machines {
        if !out.look_at(view.name()) {
            continue;
        }
        let arch = model.nodes.get(view.name()).map(|n| n.arch).or(view.machine.arch);
        for artifact in &view.machine.artifacts {
            let subject = place(view.name(), &artifact.path);
            if let Some(arch) = arch
                && artifact.arch != arch
            {
                let (is, must) = (artifact.arch.as_str(), arch.as_str());
                out.critical(
                    &subject,
                    format!("`{}` is built for {is}, the machine is {must}", artifact.name),
                    RENDER,
                );
            }
            if let Some(complaint) = crooked(&artifact.path) {
                out.critical(&subject, complaint, RENDER);
            }
            if !artifact.url.starts_with("https://") {
                out.critical(&subject, format!("`{}` does not come over HTTPS", artifact.name), RENDER);
            }
            let name = artifact.name.as_str();
            let version = match name {
                _ if OF_KUBERNETES.contains(&name) => &model.versions.kubernetes,
                "etcd" | "etcdctl" => &model.versions.etcd,
                "containerd" => &model.versions.containerd,
                _ => continue,
            };
            if let Some(version) = version
                && artifact.version.trim_start_matches('v') != version.as_str()
            {
                let message =
                    format!("`{name}` is version {}, the inventory says {version}", artifact.version);
                out.critical(&subject, message, RENDER);
            }
        }
    }
}
