//! What each certificate must be, by class: a table of its own, after kubeadm 1.36's ("PKI certificates and
//! requirements") and RFC 5280, so that a mistake of the issuing tool is not repeated by the one that checks it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use kmh_doc::inventory::Role;
use kmh_doc::pki::{Class, Usage};
use kmh_model::Model;

use Class as C;
use Usage::{Client, Server};

/// Who needs a certificate of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// The cluster has one.
    Cluster,
    /// Every node with this role has one of its own.
    Nodes(Role),
    /// Every node has one of its own.
    EveryNode,
    /// Every router with a tunnel has one of its own.
    TunnelRouters,
}

/// Alternative names that a class must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// None at all: it only ever is a client.
    None,
    /// Of the API server: the service's names and first addresses, the host that people use, its own, loopback.
    Api,
    /// The node's name and addresses, and loopback.
    NodeAndLoopback,
    /// The node's name and addresses.
    Node,
    /// A server on loopback: `localhost` or a loopback address; the node's own are allowed.
    Loopback,
    /// The IKE identities, one for each line.
    Identity,
}

/// The row of a class.
pub(crate) struct Row {
    /// The class.
    pub(crate) class: Class,
    /// Who needs one.
    pub(crate) holder: Holder,
    /// The class of the CA that signs it; its own for a CA.
    pub(crate) issuer: Class,
    /// The common name; `{node}`, `{router}` and `{cluster}` stand for names; none when it is free.
    pub(crate) common_name: Option<&'static str>,
    /// The organizations: groups to Kubernetes.
    pub(crate) organizations: &'static [&'static str],
    /// The exact uses.
    pub(crate) usages: &'static [Usage],
    /// Alternative names.
    pub(crate) names: Names,
    /// Whether its key may be on a machine.
    pub(crate) deployed: bool,
}

const CP: Holder = Holder::Nodes(Role::ControlPlane);
const ETCD: Holder = Holder::Nodes(Role::Etcd);
const BOTH: &[Usage] = &[Client, Server];

macro_rules! row {
    ($class:expr, $holder:expr, $issuer:expr, $cn:expr, $o:expr, $usages:expr, $names:expr, $deployed:expr) => {
        Row {
            class: $class,
            holder: $holder,
            issuer: $issuer,
            common_name: $cn,
            organizations: &$o,
            usages: $usages,
            names: $names,
            deployed: $deployed,
        }
    };
}

/// Every class. An empty list of uses marks a CA.
#[rustfmt::skip]
pub(crate) const TABLE: &[Row] = &[
    row!(C::ClusterCa, Holder::Cluster, C::ClusterCa, None, [], &[], Names::None, false),
    row!(C::EtcdCa, Holder::Cluster, C::EtcdCa, None, [], &[], Names::None, false),
    row!(C::FrontProxyCa, Holder::Cluster, C::FrontProxyCa, None, [], &[], Names::None, false),
    row!(C::IpsecCa, Holder::Cluster, C::IpsecCa, None, [], &[], Names::None, false),
    row!(C::Apiserver, CP, C::ClusterCa, Some("kube-apiserver"), [], &[Server], Names::Api, true),
    // Bound to system:kubelet-api-admin by its name; a group would be system:masters, which nobody can revoke.
    row!(C::ApiserverKubeletClient, CP, C::ClusterCa, Some("kube-apiserver-kubelet-client"), [], &[Client], Names::None, true),
    row!(C::ApiserverEtcdClient, CP, C::EtcdCa, Some("kube-apiserver-etcd-client"), [], &[Client], Names::None, true),
    row!(C::FrontProxyClient, CP, C::FrontProxyCa, Some("front-proxy-client"), [], &[Client], Names::None, true),
    row!(C::ControllerManager, CP, C::ClusterCa, Some("system:kube-controller-manager"), [], &[Client], Names::None, true),
    row!(C::ControllerManagerServing, CP, C::ClusterCa, None, [], &[Server], Names::Loopback, true),
    row!(C::Scheduler, CP, C::ClusterCa, Some("system:kube-scheduler"), [], &[Client], Names::None, true),
    row!(C::SchedulerServing, CP, C::ClusterCa, None, [], &[Server], Names::Loopback, true),
    row!(C::Admin, CP, C::ClusterCa, Some("kubernetes-admin"), ["kubeadm:cluster-admins"], &[Client], Names::None, true),
    row!(C::BreakGlassAdmin, Holder::Cluster, C::ClusterCa, Some("kubernetes-super-admin"), ["system:masters"], &[Client], Names::None, false),
    // etcd's gRPC gateway dials its own server with the server's certificate (etcd#9785): both uses.
    row!(C::EtcdServer, ETCD, C::EtcdCa, Some("{node}"), [], BOTH, Names::NodeAndLoopback, true),
    row!(C::EtcdPeer, ETCD, C::EtcdCa, Some("{node}"), [], BOTH, Names::NodeAndLoopback, true),
    row!(C::EtcdHealthcheckClient, ETCD, C::EtcdCa, Some("kube-etcd-healthcheck-client"), [], &[Client], Names::None, true),
    row!(C::KubeletClient, Holder::EveryNode, C::ClusterCa, Some("system:node:{node}"), ["system:nodes"], &[Client], Names::None, true),
    row!(C::KubeletServing, Holder::EveryNode, C::ClusterCa, Some("system:node:{node}"), ["system:nodes"], &[Server], Names::Node, true),
    row!(C::KubeProxy, Holder::EveryNode, C::ClusterCa, Some("system:kube-proxy"), ["system:node-proxier"], &[Client], Names::None, true),
    row!(C::IpsecRouter, Holder::TunnelRouters, C::IpsecCa, Some("{router}.{cluster}.ipsec.internal"), [], BOTH, Names::Identity, true),
];

/// The row of a class.
pub(crate) fn row(class: Class) -> &'static Row {
    // The table is in the order of the enum; `the_table_is_in_order` holds it.
    &TABLE[class as usize]
}

impl Row {
    /// Whether it is a CA.
    pub(crate) fn is_ca(&self) -> bool {
        self.usages.is_empty()
    }

    /// The machines that need one; one `None` when the cluster does.
    pub(crate) fn machines<'m>(&self, model: &'m Model) -> Vec<Option<&'m str>> {
        match self.holder {
            Holder::Cluster => vec![None],
            Holder::Nodes(role) => model.nodes_with(role).map(|n| Some(n.name.as_str())).collect(),
            Holder::EveryNode => model.nodes.values().map(|n| Some(n.name.as_str())).collect(),
            Holder::TunnelRouters => {
                let ends = model.tunnels.iter().flat_map(|t| t.ends.iter().map(|e| e.router.as_str()));
                ends.collect::<BTreeSet<_>>().into_iter().map(Some).collect()
            }
        }
    }

    /// The common name for a machine; none when it is free.
    pub(crate) fn common_name_of(&self, model: &Model, machine: Option<&str>) -> Option<String> {
        let machine = machine.unwrap_or_default();
        let text = self.common_name?.replace("{node}", machine).replace("{router}", machine);
        Some(text.replace("{cluster}", model.name.as_str()))
    }
}

/// The alternative names of a certificate: those that it must have, and those that it may have besides.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Alternatives {
    /// DNS names that must be there.
    pub(crate) dns: BTreeSet<String>,
    /// Addresses that must be there.
    pub(crate) addresses: BTreeSet<IpAddr>,
    /// DNS names that may be there.
    pub(crate) may_dns: BTreeSet<String>,
    /// Addresses that may be there.
    pub(crate) may_addresses: BTreeSet<IpAddr>,
}

/// Loopback addresses of the families that the machine has.
fn loopback(own: &[IpAddr]) -> impl Iterator<Item = IpAddr> {
    let (v4, v6) = (own.iter().any(IpAddr::is_ipv4), own.iter().any(IpAddr::is_ipv6));
    [(v4, IpAddr::from([127, 0, 0, 1])), (v6, IpAddr::from(std::net::Ipv6Addr::LOCALHOST))]
        .into_iter()
        .filter_map(|(there, address)| there.then_some(address))
}

/// The alternative names that a class demands for a machine.
pub(crate) fn alternatives(model: &Model, names: Names, machine: Option<&str>) -> Alternatives {
    let machine = machine.unwrap_or_default();
    let node = model.nodes.get(machine);
    let own: Vec<IpAddr> = node.map(|n| n.all_addresses().collect()).unwrap_or_default();
    let own_names =
        node.map_or_else(|| vec![machine.to_owned()], |n| n.dns_names().map(ToOwned::to_owned).collect());
    // Of the families on the node segment: a VPN's may be another.
    let loopback = || loopback(node.map_or(&[][..], |n| n.addresses.as_slice()));
    let mut found = Alternatives::default();
    let both_loopbacks = [IpAddr::from([127, 0, 0, 1]), IpAddr::from(std::net::Ipv6Addr::LOCALHOST)];
    match names {
        Names::None => {}
        Names::Identity => {
            let base = format!("{machine}.{}.ipsec.internal", model.name);
            // Lines other than the first have an identity of their own.
            let lines = model.router(machine).map_or(&[][..], |router| &router.uplinks);
            let numbers = lines.iter().zip(1..).map(|(line, place)| line.id.unwrap_or(place));
            found
                .dns
                .extend(numbers.filter(|number| *number != 1).map(|number| format!("line{number}.{base}")));
            found.dns.insert(base);
        }
        Names::Node => {
            found.dns.extend(own_names);
            found.addresses.extend(own);
        }
        Names::NodeAndLoopback => {
            found.dns.extend(own_names.into_iter().chain(["localhost".to_owned()]));
            found.addresses.extend(own.into_iter().chain(loopback()));
            found.may_addresses.extend(both_loopbacks);
        }
        Names::Loopback => {
            found.addresses.extend(loopback());
            found.may_dns.extend(own_names.into_iter().chain(["localhost".to_owned()]));
            found.may_addresses.extend(own.into_iter().chain(both_loopbacks));
        }
        Names::Api => {
            let services = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"];
            found.dns.extend(services.map(str::to_owned));
            found.dns.insert(format!("kubernetes.default.svc.{}", model.domain));
            found.dns.extend(own_names.into_iter().chain(["localhost".to_owned()]));
            found.addresses.extend(own.into_iter().chain(loopback()));
            found.addresses.extend(model.services.iter().map(|range| crate::bundle::ranges::nth(*range, 1)));
            if let Some(api) = &model.api {
                match api.host.ip() {
                    Some(address) => found.addresses.insert(address),
                    None => found.dns.insert(api.host.to_string()),
                };
            }
            // The host that people use may lead to any control plane.
            for node in model.nodes_with(Role::ControlPlane) {
                found.may_dns.extend(node.dns_names().map(ToOwned::to_owned));
                found.may_addresses.extend(node.all_addresses());
            }
            found.may_addresses.extend(both_loopbacks);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.class as usize, index, "{:?}", row.class);
        }
        assert_eq!(TABLE.len(), C::IpsecRouter as usize + 1);
    }
}
