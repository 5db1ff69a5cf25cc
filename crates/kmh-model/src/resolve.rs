//! From an inventory without problems to the model: references resolved, everything sorted, primary family first.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use kmh_doc::inventory::{
    self as doc, Component, Inventory, Layout, Role, Settings, Ssh, Taint, TaintEffect,
};
use kmh_doc::newtypes::{HostName, LabelKey};
use kmh_doc::{Cidr, OneOrMany};

use crate::address;
use crate::model::{Model, Node, Router, Setting, Site};
use crate::topology::Topology;
use crate::tunnels::{self, Planned};

/// The taint of a node that runs the control plane and nobody's pods; kubeadm's.
pub const CONTROL_PLANE_TAINT: &str = "node-role.kubernetes.io/control-plane";
/// The taint of a node that runs etcd alone; the key that RKE2 and kubespray use.
const ETCD_TAINT: &str = "node-role.kubernetes.io/etcd";

/// Whether the primary family is IPv6: the first service range decides, as it does in Kubernetes.
pub(crate) fn primary_is_v6(inventory: &Inventory) -> bool {
    inventory.cluster.service_cidrs.first().is_some_and(|cidr| cidr.is_v6())
}

/// The model of an inventory. Where one holds problems the model may lack things; nobody sees it then.
pub(crate) fn model(inventory: &Inventory) -> Model {
    let v6 = primary_is_v6(inventory);
    let nets = |cidrs: &OneOrMany<Cidr>| -> Vec<IpNet> {
        let nets: Vec<IpNet> = cidrs.iter().map(|cidr| cidr.net()).collect();
        address::primary_first(&nets, v6, address::is_v6)
    };
    let addresses = |list: &OneOrMany<IpAddr>| address::primary_first(list, v6, IpAddr::is_ipv6);

    let mut routers: Vec<Router> = Vec::new();
    let mut sites = BTreeMap::new();
    for site in &inventory.sites {
        let gateways = match site.routers.as_slice() {
            [only] if site.gateway.is_empty() => addresses(&only.address),
            _ => addresses(&site.gateway),
        };
        let mut lans = site.lans.clone();
        for lan in &mut lans {
            lan.network.0 = address::primary_first(&lan.network, v6, |cidr| cidr.is_v6());
            lan.reach.sort_unstable();
            lan.reach.dedup();
        }
        lans.sort_by(|a, b| a.name.cmp(&b.name));
        routers
            .extend(site.routers.iter().map(|router| self::router(router, site, addresses(&router.address))));
        sites.insert(
            site.name.clone(),
            Site {
                name: site.name.clone(),
                networks: nets(&site.network),
                pods: nets(&site.pod_cidrs),
                resolvers: site.resolvers.clone(),
                lans,
                gateways,
            },
        );
    }
    routers.sort_by_key(|router| router.id);
    let tunnel_ranges = inventory.tunnels.as_ref().map(|tunnels| nets(&tunnels.network)).unwrap_or_default();
    let Planned { tunnels, through_hub } = match &inventory.tunnels {
        Some(asked) => tunnels::all(&routers, &tunnel_ranges, &Topology::of(asked)),
        None => Planned { tunnels: Vec::new(), through_hub: Vec::new() },
    };

    let nodes = inventory
        .nodes
        .iter()
        .map(|node| (node.name.clone(), self::node(node, inventory, addresses(&node.address))))
        .collect();

    let cluster = &inventory.cluster;
    Model {
        name: cluster.name.clone(),
        domain: cluster.domain.clone(),
        versions: cluster.versions.clone(),
        pods: nets(&cluster.pod_cidrs),
        services: nets(&cluster.service_cidrs),
        load_balancers: nets(&cluster.load_balancer_cidrs),
        api: cluster.api.clone(),
        node_asn: cluster.node_asn,
        bgp: inventory.bgp.clone(),
        calico: inventory.calico.clone(),
        pki: inventory.pki.clone(),
        tunnel_auth: inventory.tunnels.as_ref().map(|tunnels| tunnels.auth).unwrap_or_default(),
        cipher: inventory.tunnels.as_ref().map(|tunnels| tunnels.cipher).unwrap_or_default(),
        tunnel_ranges,
        operator_site: inventory.operator.as_ref().map(|operator| operator.site.clone()),
        sites,
        routers,
        nodes,
        tunnels,
        through_hub,
        vars: inventory.vars.clone(),
    }
}

fn router(router: &doc::Router, site: &doc::Site, addresses: Vec<IpAddr>) -> Router {
    // A namespace has no sshd of its own: its host is logged in to.
    let host =
        router.host.as_ref().map(ToString::to_string).or_else(|| addresses.first().map(ToString::to_string));
    Router {
        name: router.name.clone(),
        id: router.id,
        site: site.name.clone(),
        kind: router.kind,
        asn: router.asn,
        interface: router.interface.clone(),
        ssh: ssh(router.ssh.as_ref(), host),
        uplinks: router.uplinks.clone(),
        host: router.host.clone(),
        netns: router.netns.clone(),
        bgp: router.bgp,
        addresses,
    }
}

fn node(node: &doc::Node, inventory: &Inventory, addresses: Vec<IpAddr>) -> Node {
    let roles: BTreeSet<Role> = node.roles.iter().copied().collect();
    let site = inventory.sites.iter().find(|site| site.name == node.site);
    let mut names = node.names.0.clone();
    names.sort();
    Node {
        name: node.name.clone(),
        names,
        site: node.site.clone(),
        asn: match inventory.bgp.layout {
            Layout::A => Some(inventory.cluster.node_asn),
            Layout::B => site.and_then(|site| site.routers.iter().find_map(|router| router.asn)),
            Layout::D => node.asn,
        },
        arch: node.arch,
        ssh: ssh(node.ssh.as_ref(), addresses.first().map(ToString::to_string)),
        labels: node.labels.clone(),
        taints: taints(&node.taints, &roles),
        settings: settings(&[
            ("spec".to_owned(), Some(&inventory.settings)),
            (format!("spec.sites[{}]", node.site), site.map(|site| &site.settings)),
            (format!("spec.nodes[{}]", node.name), Some(&node.settings)),
        ]),
        roles,
        addresses,
    }
}

fn ssh(given: Option<&Ssh>, host: Option<String>) -> Ssh {
    let mut ssh = given.cloned().unwrap_or_default();
    if ssh.host.is_none() {
        ssh.host = host.and_then(|host| HostName::try_from(host).ok());
    }
    ssh
}

/// The written taints, and the role's own when the node is no worker. Key and effect name a taint (Kubernetes'
/// validation), so one that a person wrote is not added again.
fn taints(written: &[Taint], roles: &BTreeSet<Role>) -> Vec<Taint> {
    let mut taints = written.to_vec();
    if !roles.contains(&Role::Worker) {
        let key = if roles.contains(&Role::ControlPlane) { CONTROL_PLANE_TAINT } else { ETCD_TAINT };
        if !taints.iter().any(|taint| taint.key.as_str() == key && taint.effect == TaintEffect::NoSchedule)
            && let Ok(key) = key.parse::<LabelKey>()
        {
            taints.push(Taint { key, value: None, effect: TaintEffect::NoSchedule });
        }
    }
    taints.sort();
    taints
}

/// The settings that hold, from the farthest layer to the nearest. Origins carry names instead of positions, so that
/// the written order leaves no trace.
fn settings(layers: &[(String, Option<&Settings>)]) -> BTreeMap<Component, BTreeMap<String, Setting>> {
    let mut merged: BTreeMap<Component, BTreeMap<String, Setting>> = BTreeMap::new();
    for (place, layer) in layers {
        for (component, fields) in layer.iter().flat_map(|layer| layer.iter()) {
            for (name, value) in fields {
                let origin = format!("{place}.settings.{}.{name}", component.as_str());
                merged
                    .entry(*component)
                    .or_default()
                    .insert(name.clone(), Setting { value: value.clone(), origin });
            }
        }
    }
    merged
}
