//! Ports that would be taken twice on a node.

use kmh_doc::inventory::Inventory;
use kmh_doc::{Code, Problem};

use crate::report::Report;

/// Ports that listen on every node or on control planes, whatever the inventory says.
const TAKEN: &[(u16, &str)] = &[
    (22, "sshd"),
    (179, "BIRD"),
    (2379, "etcd's clients"),
    (2380, "etcd's members"),
    (2381, "etcd's metrics"),
    (9099, "Calico's health"),
    (10248, "kubelet's health"),
    (10249, "kube-proxy's metrics"),
    (10250, "kubelet"),
    (10256, "kube-proxy's health"),
    (10257, "kube-controller-manager"),
    (10259, "kube-scheduler"),
];

pub(crate) fn check(inventory: &Inventory, report: &mut Report<'_>) {
    let Some(api) = &inventory.cluster.api else { return };
    let path = if report.is_written("spec.cluster.api.local_port") {
        "spec.cluster.api.local_port"
    } else {
        "spec.cluster.api"
    };
    if api.port == api.local_port {
        report.add(
            Problem::error(
                Code::Contradiction,
                path,
                format!("`port` and `local_port` are both {}", api.port),
            )
            .because("on a control-plane node the API server and haproxy would listen on the same port"),
        );
    }
    for (key, port) in [("port", api.port), ("local_port", api.local_port)] {
        if let Some((_, what)) = TAKEN.iter().find(|(taken, _)| *taken == port) {
            report.add(
                Problem::error(
                    Code::Contradiction,
                    format!("spec.cluster.api.{key}"),
                    format!("port {port} is taken on every node"),
                )
                .because(format!("{what} listens there")),
            );
        }
    }
}
