//! Whether Calico's resources fit the inventory and the routers.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use kmh_doc::network::NetworkSpec;
use kmh_model::Model;
use serde_json::Value;

use super::REPLAN;
use crate::findings::Findings;

/// The resources of one kind, with their names.
fn of<'n>(network: &'n NetworkSpec, kind: &'static str) -> impl Iterator<Item = (&'n str, &'n Value)> {
    network
        .calico
        .iter()
        .filter(move |r| r["kind"].as_str() == Some(kind))
        .map(|r| (r["metadata"]["name"].as_str().unwrap_or("(nameless)"), &r["spec"]))
}

/// `network.pools`: one pool for each range of each site, inside the cluster's range, without encapsulation.
pub(crate) fn pools(model: &Model, network: &NetworkSpec, out: &mut Findings<'_>) {
    let mut wanted: BTreeMap<IpNet, &str> = BTreeMap::new();
    for site in model.sites.values() {
        wanted.extend(site.pods.iter().map(|pool| (*pool, site.name.as_str())));
    }
    let mut seen: Vec<(IpNet, &str)> = Vec::new();
    for (name, spec) in of(network, "IPPool") {
        out.look();
        let Some(net) = spec["cidr"].as_str().and_then(|c| c.parse::<IpNet>().ok()) else {
            out.critical(name, "it has no range", REPLAN);
            continue;
        };
        if let Some((_, other)) = seen.iter().find(|(o, _)| o.contains(&net) || net.contains(o)) {
            out.critical(name, format!("its range {net} overlaps that of `{other}`"), REPLAN);
        }
        seen.push((net, name));
        for field in ["ipipMode", "vxlanMode"] {
            // Calico's default is Never in the v1 CRD; an encapsulated pool is no pure BGP.
            if spec[field].as_str().is_some_and(|mode| mode != "Never") {
                out.critical(
                    name,
                    format!("`{field}` is `{}`: pure BGP has no encapsulation", spec[field]),
                    REPLAN,
                );
            }
        }
        if spec["disabled"].as_bool() == Some(true) {
            continue; // only there so that packets to its range keep their source address
        }
        if !model.pods.iter().any(|pods| pods.contains(&net)) {
            out.critical(name, format!("its range {net} is outside the cluster's pod range"), REPLAN);
        }
        match wanted.remove(&net) {
            None => out.critical(name, format!("its range {net} is that of no site"), REPLAN),
            Some(site) => {
                let selector = spec["nodeSelector"].as_str().unwrap_or_default();
                // Every node may use a pool without selector, and the ranges of the sites mix.
                if model.sites.len() > 1 && !selector.contains(site) {
                    let message = format!("its node selector `{selector}` does not name its site `{site}`");
                    out.critical(name, message, REPLAN);
                }
            }
        }
        let (shortest, longest) =
            if net.prefix_len() <= 32 && matches!(net, IpNet::V4(_)) { (20, 32) } else { (116, 128) };
        if let Some(size) = spec["blockSize"].as_u64()
            && (size < u64::from(net.prefix_len()).max(shortest) || size > longest)
        {
            out.critical(name, format!("its block size /{size} does not fit {net}"), REPLAN);
        }
    }
    for (net, site) in wanted {
        out.look();
        out.critical(site, format!("no pool has its range {net}: its pods get no address"), REPLAN);
    }
}

/// `network.calico`: no mesh, the service ranges announced, each site's nodes led to its routers.
pub(crate) fn peering(model: &Model, network: &NetworkSpec, out: &mut Findings<'_>) {
    let mut default = None;
    for (name, spec) in of(network, "BGPConfiguration") {
        out.look();
        if name == "default" {
            default = Some(spec);
        }
    }
    let Some(default) = default else {
        out.look();
        out.critical(
            "BGPConfiguration default",
            "it is missing, so Calico meshes every node with every other",
            REPLAN,
        );
        return;
    };
    if default["nodeToNodeMeshEnabled"].as_bool() != Some(false) {
        out.critical("BGPConfiguration default", "the mesh between nodes is not turned off", REPLAN);
    }
    let ranges = |field: &str| -> BTreeSet<IpNet> {
        let list = default[field].as_array().map_or(&[][..], Vec::as_slice);
        list.iter().filter_map(|r| r["cidr"].as_str()?.parse().ok()).collect()
    };
    for (field, must) in
        [("serviceClusterIPs", &model.services), ("serviceLoadBalancerIPs", &model.load_balancers)]
    {
        if ranges(field) != must.iter().copied().collect() {
            let message = format!("`{field}` is not what the inventory says");
            out.critical("BGPConfiguration default", message, REPLAN);
        }
    }
    let asn = default["asNumber"].as_u64().unwrap_or(64512);
    if asn != u64::from(model.node_asn.get()) {
        out.critical(
            "BGPConfiguration default",
            format!("the nodes' AS number is {asn}, the inventory says {}", model.node_asn),
            REPLAN,
        );
    }

    let mut led: BTreeSet<(String, u64)> = BTreeSet::new();
    for (name, spec) in of(network, "BGPPeer") {
        out.look();
        let (address, asn) =
            (spec["peerIP"].as_str().unwrap_or_default(), spec["asNumber"].as_u64().unwrap_or_default());
        led.insert((address.to_owned(), asn));
        let known = network.nodes.iter().flat_map(|n| &n.peers);
        if !known.into_iter().any(|p| p.address.to_string() == address && u64::from(p.asn.get()) == asn) {
            out.critical(name, format!("no node of the plan peers with {address} AS {asn}"), REPLAN);
        }
        if model.sites.len() > 1 && spec["nodeSelector"].as_str().is_none_or(|s| s.is_empty() || s == "all()")
        {
            out.critical(
                name,
                "it has no node selector, so nodes of all sites would peer with one router",
                REPLAN,
            );
        }
    }
    let wanted: BTreeSet<_> = network
        .nodes
        .iter()
        .flat_map(|n| &n.peers)
        .map(|p| (p.address.to_string(), u64::from(p.asn.get())))
        .collect();
    for (address, asn) in wanted.difference(&led) {
        out.critical(address, format!("no BGPPeer leads the nodes to {address} AS {asn}"), REPLAN);
    }
}
