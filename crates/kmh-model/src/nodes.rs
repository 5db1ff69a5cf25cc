//! Nodes: roles, taints, labels, and how many members etcd has.

use std::collections::BTreeMap;

use kmh_doc::inventory::{Inventory, Role};
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
        for (key, from) in DERIVED_LABELS {
            if node.labels.contains_key(*key) {
                report.add(
                    Problem::error(
                        Code::DerivedSetting,
                        format!("spec.nodes[{n}].labels"),
                        format!("the label `{key}` of `{}` is derived", node.name),
                    )
                    .because(format!("it follows from {from}"))
                    .hint("remove it"),
                );
            }
        }
    }
    roles(inventory, needs, report);
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
