//! Nodes: roles, taints, labels, and how many members etcd has.

use std::collections::BTreeMap;

use kmh_doc::inventory::{Inventory, Node, Role};
use kmh_doc::newtypes::LabelKey;
use kmh_doc::{Code, Problem};

use crate::needs::Need;
use crate::report::Report;

/// Labels that kmh or kubelet sets from what the inventory says elsewhere.
const DERIVED_LABELS: &[(&str, &str)] = &[
    ("kubernetes.io/arch", "`arch`"),
    ("kubernetes.io/hostname", "`name`"),
    ("kubernetes.io/os", "kubelet"),
    ("topology.kubernetes.io/zone", "`site`"),
];

/// Labels inside Kubernetes' own domains that a kubelet may give its node.
const KNOWN_LABELS: [&str; 7] = [
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "node.kubernetes.io/exclude-from-external-load-balancers",
];

/// Whether a kubelet takes the label on its command line, and the `NodeRestriction` admission lets it set it on its
/// node: none in Kubernetes' own domains but the well-known ones, `node.kubernetes.io` and `kubelet.kubernetes.io`.
pub fn may_label(key: &str) -> bool {
    let Some((domain, _)) = key.split_once('/') else { return true };
    let inside = |parent: &str| {
        domain == parent || domain.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'))
    };
    if !inside("kubernetes.io") && !inside("k8s.io") {
        return true;
    }
    KNOWN_LABELS.contains(&key) || inside("kubelet.kubernetes.io") || inside("node.kubernetes.io")
}

pub(crate) fn check(inventory: &Inventory, needs: &[Need], report: &mut Report<'_>) {
    for (n, node) in inventory.nodes.iter().enumerate() {
        if node.roles.is_empty() {
            report.add(
                Problem::error(
                    Code::MissingKey,
                    format!("spec.nodes[{n}].roles"),
                    format!("node `{}` has no role", node.name),
                )
                .hint("name one of `control-plane`, `etcd` and `worker`, or remove the key for a worker"),
            );
        }
        let mut seen: BTreeMap<(&str, String), usize> = BTreeMap::new();
        for (t, taint) in node.taints.iter().enumerate() {
            if let Some(first) = seen.insert((taint.key.as_str(), format!("{:?}", taint.effect)), t) {
                report.add(
                    Problem::error(
                        Code::DuplicateKey,
                        format!("spec.nodes[{n}].taints[{t}]"),
                        format!(
                            "node `{}` has the taint `{}:{:?}` twice",
                            node.name, taint.key, taint.effect
                        ),
                    )
                    .because(format!(
                        "it stands at {} already",
                        report.place(&format!("spec.nodes[{n}].taints[{first}]"))
                    )),
                );
            }
        }
        labels(node, n, report);
    }
    roles(inventory, needs, report);
}

fn labels(node: &Node, n: usize, report: &mut Report<'_>) {
    for key in node.labels.keys().map(LabelKey::as_str) {
        let path = format!("spec.nodes[{n}].labels");
        if let Some((_, from)) = DERIVED_LABELS.iter().find(|(derived, _)| *derived == key) {
            report.add(
                Problem::error(
                    Code::DerivedSetting,
                    path,
                    format!("the label `{key}` of `{}` is derived", node.name),
                )
                .because(format!("it follows from {from}"))
                .hint("remove it"),
            );
        } else if !may_label(key) {
            report.add(
                Problem::error(
                    Code::Contradiction,
                    path,
                    format!("a kubelet may not give its node `{}` the label `{key}`", node.name),
                )
                .because("Kubernetes keeps its own domains for itself (admission `NodeRestriction`)")
                .hint(
                    "set it with `kubectl label node`, or choose a key outside of kubernetes.io and k8s.io",
                ),
            );
        }
    }
}

fn roles(inventory: &Inventory, needs: &[Need], report: &mut Report<'_>) {
    let count = |role: Role| inventory.nodes.iter().filter(|node| node.roles.contains(&role)).count();
    let said = (0..inventory.nodes.len()).any(|n| report.is_written(&format!("spec.nodes[{n}].roles")));
    if said || needs.contains(&Need::Roles) {
        for (role, word, code) in
            [(Role::ControlPlane, "control-plane", Code::NoControlPlane), (Role::Etcd, "etcd", Code::NoEtcd)]
        {
            if count(role) == 0 {
                report.add(
                    Problem::error(code, "spec.nodes", format!("no node has the role `{word}`"))
                        .hint(format!("write `roles: [{word}]` at one of them, or at three")),
                );
            }
        }
    }
    let members = count(Role::Etcd);
    if members > 0 && members.is_multiple_of(2) {
        report.add(
            Problem::warning(
                Code::EvenEtcd,
                "spec.nodes",
                format!("etcd has {members} members, an even number"),
            )
            .because(format!("it stands the loss of {}, as {} would", (members - 1) / 2, members - 1))
            .hint("give the role `etcd` to one node more or one less"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_a_kubelet_may_set() {
        for good in [
            "topology.kubernetes.io/zone",
            "example.org/x",
            "x",
            "node.kubernetes.io/anything",
            "notk8s.io/x",
        ] {
            assert!(may_label(good), "{good}");
        }
        for bad in [
            "node-role.kubernetes.io/control-plane",
            "node-restriction.kubernetes.io/x",
            "kubernetes.io/x",
            "a.k8s.io/x",
        ] {
            assert!(!may_label(bad), "{bad}");
        }
    }
}
