//! The plan: a pure function from the meaning of an inventory to the network.

use std::net::IpAddr;

use ipnet::IpNet;
use kmh_doc::Cidr;
use kmh_doc::inventory::BgpDaemon;
use kmh_doc::network::{NetworkSpec, NodePeer, NodePlan, PeerKind, RouterPlan, Tunnel};
use kmh_model::{Model, Node, Router, Site};

use crate::calico::calico;
use crate::findings::findings;
use crate::firewall::firewall;
use crate::ground::{asn, router_id, site_of};
use crate::policy::policy;
use crate::ranges::{Family, address_of, cidrs, on_segment, reaching_lans};
use crate::sessions::sessions;
use crate::tunnels::{pod_mtu, tunnels};

/// The node label that says where a node stands; Calico's selectors and the scheduler read it.
pub(crate) const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

/// Why there is no plan. [`kmh_model::load`] with `Need::Asn` and `Need::Tunnels` gives a model that has none of these.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A router without AS number.
    #[error("router `{0}` has no AS number")]
    NoAsn(String),
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
    let tunnels = tunnels(model)?;
    let mut routers = Vec::new();
    for router in &model.routers {
        routers.push(router_plan(model, router, &tunnels)?);
    }
    routers.sort_by(|a, b| a.name.cmp(&b.name));
    let mut nodes = Vec::new();
    for node in model.nodes.values() {
        nodes.push(node_plan(model, node)?);
    }
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    let pod_mtu = pod_mtu(&tunnels);
    Ok(NetworkSpec {
        calico: calico(model)?,
        findings: findings(model, &tunnels, pod_mtu)?,
        routers,
        nodes,
        tunnels,
        pod_mtu,
    })
}

fn router_plan(model: &Model, router: &Router, tunnels: &[Tunnel]) -> Result<RouterPlan, PlanError> {
    let site = site_of(model, router)?;
    let sessions = sessions(model, site, router)?;
    let peers = [PeerKind::Node, PeerKind::Router]
        .into_iter()
        .flat_map(|kind| Family::ALL.map(|family| (kind, family)))
        .filter(|(kind, family)| {
            sessions.iter().any(|one| one.with == *kind && Family::of_address(one.peer_address) == *family)
        });
    let policy = policy(model, site, &peers.collect::<Vec<_>>());
    Ok(RouterPlan {
        name: router.name.to_string(),
        site: site.name.to_string(),
        kind: router.kind,
        daemon: router.bgp.unwrap_or(BgpDaemon::Frr),
        multipath: true,
        listen: Vec::new(),
        masquerade: Vec::new(),
        asn: asn(router)?,
        router_id: router_id(router),
        addresses: router.addresses.iter().map(|address| on_segment(*address, &site.networks)).collect(),
        originate: cidrs(site.networks.iter().copied().chain(reaching_lans(site))),
        unreachable: unreachable(model, site),
        prefix_lists: policy.prefix_lists,
        route_maps: policy.route_maps,
        as_paths: policy.as_paths,
        firewall: firewall(model, site, router, tunnels),
        sessions,
    })
}

/// What must not leave by the default route, in clear text, when no better route is there: everything of the cluster
/// that is not on one of the router's own segments.
fn unreachable(model: &Model, site: &Site) -> Vec<Cidr> {
    let ranges = [&model.pods, &model.services, &model.load_balancers, &model.tunnel_ranges];
    let remote = model.sites.values().filter(|other| other.name != site.name);
    let segments = remote.flat_map(|other| other.networks.iter().copied().chain(reaching_lans(other)));
    cidrs(ranges.into_iter().flatten().copied().chain(segments))
}

fn node_plan(model: &Model, node: &Node) -> Result<NodePlan, PlanError> {
    let site =
        model.sites.get(node.site.as_str()).ok_or_else(|| PlanError::NoSuchSite(node.site.to_string()))?;
    let mut peers = Vec::new();
    for router in model.routers_of(site.name.as_str()) {
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
        asn: node.asn.unwrap_or(model.node_asn),
        addresses: node.addresses.iter().map(|address| on_segment(*address, &site.networks)).collect(),
        gateways: site.gateways.clone(),
        peers,
        labels: vec![(ZONE_LABEL.to_owned(), site.name.to_string())],
        annotations: annotations(node, &site.networks),
    })
}

/// The addresses that calico-node uses; with them it detects none. The AS number is the cluster's, so no node has one.
fn annotations(node: &Node, networks: &[IpNet]) -> Vec<(String, String)> {
    let key = |address: &IpAddr| match Family::of_address(*address) {
        Family::V4 => "projectcalico.org/IPv4Address",
        Family::V6 => "projectcalico.org/IPv6Address",
    };
    let mut all: Vec<(String, String)> = node
        .addresses
        .iter()
        .map(|address| (key(address).to_owned(), on_segment(*address, networks)))
        .collect();
    all.sort();
    all
}
