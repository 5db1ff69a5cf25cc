//! What a tool cannot do without, beyond what every inventory must have.

use kmh_doc::inventory::Inventory;
use kmh_doc::{Code, Problem};

use crate::report::Report;

/// A part of the inventory that a tool cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// `cluster.versions.kubernetes`.
    Kubernetes,
    /// `cluster.versions.etcd`.
    Etcd,
    /// `cluster.versions.containerd`.
    Containerd,
    /// `cluster.versions.calico`.
    Calico,
    /// `cluster.api`.
    Api,
    /// At least one control-plane and one etcd node.
    Roles,
    /// An AS number on every router.
    Asn,
    /// Tunnels wherever two sites have routers, with an uplink on each router.
    Tunnels,
}

impl Need {
    /// All of it: what rendering every machine asks for.
    pub const ALL: [Self; 8] = [
        Self::Kubernetes,
        Self::Etcd,
        Self::Containerd,
        Self::Calico,
        Self::Api,
        Self::Roles,
        Self::Asn,
        Self::Tunnels,
    ];
}

pub(crate) fn check(inventory: &Inventory, needs: &[Need], report: &mut Report<'_>) {
    let versions = &inventory.cluster.versions;
    let rows = [
        (
            Need::Kubernetes,
            versions.kubernetes.is_some(),
            "spec.cluster.versions",
            "kubernetes",
            "kubernetes: 1.36.2",
        ),
        (Need::Etcd, versions.etcd.is_some(), "spec.cluster.versions", "etcd", "etcd: 3.6.8"),
        (
            Need::Containerd,
            versions.containerd.is_some(),
            "spec.cluster.versions",
            "containerd",
            "containerd: 2.1.4",
        ),
        (Need::Calico, versions.calico.is_some(), "spec.cluster.versions", "calico", "calico: 3.31.2"),
        (Need::Api, inventory.cluster.api.is_some(), "spec.cluster", "api", "api: {host: k8s.example.net}"),
    ];
    for (need, given, path, key, example) in rows {
        if needs.contains(&need) && !given {
            report.add(
                Problem::error(Code::Needed, path, format!("this tool needs `{path}.{key}`"))
                    .hint(format!("write `{example}`")),
            );
        }
    }
    if needs.contains(&Need::Asn) || needs.contains(&Need::Tunnels) {
        routers(inventory, report);
    }
    if needs.contains(&Need::Asn) {
        asns(inventory, report);
    }
    if needs.contains(&Need::Tunnels) {
        tunnels(inventory, report);
    }
}

fn routers(inventory: &Inventory, report: &mut Report<'_>) {
    for (s, site) in inventory.sites.iter().enumerate() {
        if site.routers.is_empty() {
            report.add(
                Problem::error(
                    Code::NoRouter,
                    format!("spec.sites[{s}]"),
                    format!("site `{}` has no router", site.name),
                )
                .because("its nodes peer with a router of their own site, and it is their gateway"),
            );
        }
    }
}

fn asns(inventory: &Inventory, report: &mut Report<'_>) {
    for (s, site) in inventory.sites.iter().enumerate() {
        for (r, router) in site.routers.iter().enumerate().filter(|(_, router)| router.asn.is_none()) {
            report.add(
                Problem::error(
                    Code::NoAsn,
                    format!("spec.sites[{s}].routers[{r}]"),
                    format!("router `{}` has no AS number", router.name),
                )
                .hint("write `asn:` with one that no other site has, of 64512 to 65534 (RFC 6996)"),
            );
        }
    }
}

fn tunnels(inventory: &Inventory, report: &mut Report<'_>) {
    if inventory.sites.iter().filter(|site| !site.routers.is_empty()).count() < 2 {
        return;
    }
    if inventory.tunnels.is_none() {
        report.add(
            Problem::error(
                Code::Needed,
                "spec",
                "this tool needs `spec.tunnels`, because two sites have routers",
            )
            .hint("write `tunnels: {network: 10.255.0.0/16}` with a range of your own"),
        );
    }
    for (s, site) in inventory.sites.iter().enumerate() {
        for (r, router) in site.routers.iter().enumerate().filter(|(_, router)| router.uplinks.is_empty()) {
            report.add(
                Problem::error(
                    Code::Needed,
                    format!("spec.sites[{s}].routers[{r}]"),
                    format!("router `{}` has no uplink for its tunnels", router.name),
                )
                .hint("write `uplinks: [{name: wan, address: site.example.net}]`"),
            );
        }
    }
}
