//! The plan: a pure function from the meaning of an inventory to the network.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use kmh_doc::Cidr;
use kmh_doc::inventory::{BgpDaemon, Layout};
use kmh_doc::network::{NetworkSpec, NodePeer, NodePlan, RouterPlan, Session, Tunnel};
use kmh_model::{Model, Node, Router, Site};

use crate::calico::calico;
use crate::findings::findings;
use crate::firewall::{firewall, masquerade};
use crate::ground::{Index, asn, node_asn, router_id, site_of};
use crate::policy::{Need, policy};
use crate::ranges::{Family, address_of, cidrs, on_segment, reaching_lans};
use crate::sessions::{listen, sessions};
use crate::tunnels::{pod_mtu, tunnels};

/// The node label that says where a node stands; Calico's selectors and the scheduler read it.
pub(crate) const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

/// Why there is no plan. [`kmh_model::load`] with `Need::Asn` and `Need::Tunnels` gives a model that has none of these.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A router without AS number.
    #[error("router `{0}` has no AS number")]
    NoAsn(String),
    /// A node without AS number.
    #[error("node `{0}` has no AS number")]
    NoNodeAsn(String),
    /// A tunnel's end without a line.
    #[error("router `{0}` has a tunnel and no uplink")]
    NoUplink(String),
    /// A tunnel with an end that does not exist.
    #[error("there is no router `{0}`")]
    NoSuchRouter(String),
    /// A router at a site that does not exist.
    #[error("there is no site `{0}`")]
    NoSuchSite(String),
}

/// Computes the network.
pub fn plan(model: &Model) -> Result<NetworkSpec, PlanError> {
    let index = Index::new(model);
    let tunnels = tunnels(&index)?;
    let mut routers = Vec::new();
    for router in &model.routers {
        routers.push(router_plan(&index, router, &tunnels)?);
    }
    routers.sort_by(|a, b| a.name.cmp(&b.name));
    let mut nodes = Vec::new();
    for node in model.nodes.values() {
        nodes.push(node_plan(&index, node)?);
    }
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    let pod_mtu = pod_mtu(&tunnels);
    Ok(NetworkSpec {
        calico: calico(model)?,
        findings: findings(&index, &tunnels, pod_mtu)?,
        routers,
        nodes,
        tunnels,
        pod_mtu,
    })
}

fn router_plan(index: &Index<'_>, router: &Router, tunnels: &[Tunnel]) -> Result<RouterPlan, PlanError> {
    let model = index.model;
    let site = site_of(model, router)?;
    let sessions = sessions(index, site, router)?;
    let listen = listen(index, site, router)?;
    let policy =
        policy(model, site, &needs(index, router, sessions.iter().chain(listen.iter().map(|l| &l.like))));
    let daemon = router.bgp.unwrap_or(BgpDaemon::Frr);
    let own: Vec<&Tunnel> =
        index.tunnels_of(router.name.as_str()).iter().filter_map(|own| tunnels.get(own.place)).collect();
    Ok(RouterPlan {
        name: router.name.to_string(),
        site: site.name.to_string(),
        kind: router.kind,
        daemon,
        multipath: daemon == BgpDaemon::Frr,
        listen,
        masquerade: masquerade(model, site),
        asn: asn(router)?,
        router_id: router_id(router),
        addresses: router.addresses.iter().map(|address| on_segment(*address, &site.networks)).collect(),
        originate: cidrs(site.networks.iter().copied().chain(reaching_lans(site))),
        unreachable: unreachable(model, site),
        prefix_lists: policy.prefix_lists,
        route_maps: policy.route_maps,
        as_paths: policy.as_paths,
        firewall: firewall(index, site, router, &own),
        sessions,
    })
}

/// The kinds of peers that a router has, sorted: in each family, and by the rank of the tunnel between.
fn needs<'s>(
    index: &Index<'_>,
    router: &Router,
    sessions: impl Iterator<Item = &'s Session>,
) -> BTreeSet<Need> {
    let own = index.tunnels_of(router.name.as_str());
    let ranks: BTreeMap<String, u8> = own.iter().map(|own| (own.tunnel.name(), own.tunnel.rank)).collect();
    sessions
        .map(|session| {
            let rank = session.tunnel.as_ref().and_then(|name| ranks.get(name)).copied().unwrap_or(0);
            (session.with, Family::of_address(session.peer_address), rank)
        })
        .collect()
}

/// What must not leave by the default route, in clear text, when no better route is there: everything of the cluster
/// that is not on one of the router's own segments.
fn unreachable(model: &Model, site: &Site) -> Vec<Cidr> {
    let ranges = [&model.pods, &model.services, &model.load_balancers, &model.tunnel_ranges];
    let remote = model.sites.values().filter(|other| other.name != site.name);
    let segments = remote.flat_map(|other| other.networks.iter().copied().chain(reaching_lans(other)));
    cidrs(ranges.into_iter().flatten().copied().chain(segments))
}

fn node_plan(index: &Index<'_>, node: &Node) -> Result<NodePlan, PlanError> {
    let site = index
        .model
        .sites
        .get(node.site.as_str())
        .ok_or_else(|| PlanError::NoSuchSite(node.site.to_string()))?;
    let mut peers = Vec::new();
    for router in index.routers_of(site.name.as_str()) {
        for family in Family::ALL {
            let (Some(address), Some(_)) =
                (address_of(&router.addresses, family), address_of(&node.addresses, family))
            else {
                continue;
            };
            peers.push(NodePeer { router: router.name.to_string(), address, asn: asn(router)? });
        }
    }
    peers.sort_by(|a, b| (&a.router, a.address).cmp(&(&b.router, b.address)));
    Ok(NodePlan {
        name: node.name.to_string(),
        site: site.name.to_string(),
        asn: node_asn(node)?,
        addresses: node.addresses.iter().map(|address| on_segment(*address, &site.networks)).collect(),
        gateways: site.gateways.clone(),
        peers,
        labels: vec![(ZONE_LABEL.to_owned(), site.name.to_string())],
        annotations: annotations(index.model.bgp.layout, node, &site.networks)?,
    })
}

/// The addresses that calico-node uses; with them it detects none. The AS number, where it is not the cluster's.
fn annotations(layout: Layout, node: &Node, networks: &[IpNet]) -> Result<Vec<(String, String)>, PlanError> {
    let key = |address: &IpAddr| match Family::of_address(*address) {
        Family::V4 => "projectcalico.org/IPv4Address",
        Family::V6 => "projectcalico.org/IPv6Address",
    };
    let addresses = node.addresses.iter();
    let mut all: Vec<(String, String)> =
        addresses.map(|address| (key(address).to_owned(), on_segment(*address, networks))).collect();
    if layout != Layout::A {
        all.push(("projectcalico.org/ASNumber".to_owned(), node_asn(node)?.to_string()));
    }
    all.sort();
    Ok(all)
}
