//! Whether Calico's resources fit the inventory and the routers.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use kmh_doc::bundle::MachineKind;
use kmh_doc::network::{NetworkSpec, NodePlan, RouterPlan};
use kmh_model::Model;
use serde_json::Value;

use super::REPLAN;
use super::machines::open_lans;
use crate::bundle::RENDER;
use crate::bundle::view::Bundle;
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
    let mut apart: BTreeSet<IpNet> = BTreeSet::new();
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
            // Only there so that packets to its range keep their source address.
            apart.insert(net);
            if spec["disableBGPExport"].as_bool() != Some(true) {
                out.critical(
                    name,
                    format!("nodes announce their own segment {net}: it lacks `disableBGPExport`"),
                    REPLAN,
                );
            }
            continue;
        }
        if spec["natOutgoing"].as_bool() != Some(true) {
            out.critical(name, "its pods reach nothing outside: `natOutgoing` is not on", REPLAN);
        }
        if spec["disableBGPExport"].as_bool() == Some(true) {
            out.critical(name, "nobody learns of its blocks: `disableBGPExport` is on", REPLAN);
        }
        if !model.pods.iter().any(|pods| pods.contains(&net)) {
            out.critical(name, format!("its range {net} is outside the cluster's pod range"), REPLAN);
        }
        match wanted.remove(&net) {
            None => out.critical(name, format!("its range {net} is that of no site"), REPLAN),
            Some(site) => {
                let selector = spec["nodeSelector"].as_str().unwrap_or_default();
                // Every node may use a pool without selector, and the ranges of the sites mix.
                if selected(network, selector) != Some(nodes_of(network, |node| node.site == site)) {
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
    for site in model.sites.values() {
        for net in site.networks.iter().copied().chain(open_lans(site)).filter(|net| !apart.contains(net)) {
            let message = format!("no disabled pool has {net}: packets of pods to it would be masqueraded");
            out.critical(site.name.as_str(), message, REPLAN);
        }
    }
}

fn nodes_of(network: &NetworkSpec, chosen: impl Fn(&NodePlan) -> bool) -> BTreeSet<&str> {
    network.nodes.iter().filter(|node| chosen(node)).map(|node| node.name.as_str()).collect()
}

/// The nodes that a selector chooses by their labels; nothing when it is of a form that is not understood.
fn selected<'n>(network: &'n NetworkSpec, selector: &str) -> Option<BTreeSet<&'n str>> {
    if selector.is_empty() || selector == "all()" {
        return Some(nodes_of(network, |_| true));
    }
    let (key, value) = selector.split_once("==")?;
    let (key, value) = (key.trim(), value.trim().trim_matches(['\'', '"']));
    Some(nodes_of(network, |node| node.labels.iter().any(|(k, v)| k == key && v == value)))
}

/// Whether one of a peer's filters rejects whatever a node learned from others, before it accepts anything.
fn guards(network: &NetworkSpec, peer: &Value, field: &str) -> bool {
    let named = peer["filters"].as_array().map_or(&[][..], Vec::as_slice);
    let rules: Vec<&Value> = named
        .iter()
        .filter_map(|filter| of(network, "BGPFilter").find(|(name, _)| filter == name))
        .filter_map(|(_, spec)| spec[field].as_array())
        .flatten()
        .collect();
    let rejects = |rule: &&Value| {
        rule["action"] == "Reject"
            && rule["source"] == "RemotePeers"
            && rule.as_object().is_some_and(|fields| fields.len() == 2)
    };
    rules.iter().take_while(|rule| rule["action"] != "Accept").any(rejects)
}

/// `network.manifests`: the cluster is told every resource of the plan, as it is there.
pub(crate) fn manifests(network: &NetworkSpec, bundle: &Bundle<'_>, out: &mut Findings<'_>) {
    if !bundle.machines.iter().any(|view| view.machine.kind == MachineKind::Cluster) {
        return;
    }
    let manifests: Vec<Value> = bundle.manifests().collect();
    for resource in &network.calico {
        let (kind, name) = (&resource["kind"], &resource["metadata"]["name"]);
        let subject =
            format!("{} {}", kind.as_str().unwrap_or("(no kind)"), name.as_str().unwrap_or("(nameless)"));
        out.look();
        let told = manifests.iter().find(|one| one["kind"] == *kind && one["metadata"]["name"] == *name);
        match told {
            None => out.critical(&subject, "no manifest of the cluster has it", RENDER),
            Some(told) if told["spec"] != resource["spec"] => {
                out.critical(&subject, "the cluster's manifest has it otherwise than the plan", RENDER);
            }
            Some(_) => {}
        }
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
        // A site may have no nodes yet.
        let is = |router: &&RouterPlan| {
            let own = |one: &String| one.split('/').next() == Some(address);
            u64::from(router.asn.get()) == asn && router.addresses.iter().any(own)
        };
        if !network.routers.iter().any(|router| is(&router)) {
            out.critical(name, format!("no router of the plan is {address} AS {asn}"), REPLAN);
        }
        let selector = spec["nodeSelector"].as_str().unwrap_or_default();
        let wanted =
            nodes_of(network, |node| node.peers.iter().any(|peer| peer.address.to_string() == address));
        if selected(network, selector) != Some(wanted) {
            let message = format!(
                "its node selector `{selector}` does not choose the nodes that the plan has peer with {address}"
            );
            out.critical(name, message, REPLAN);
        }
        let field = if address.contains(':') { "exportV6" } else { "exportV4" };
        if !guards(network, spec, field) {
            let message = format!(
                "no filter in `{field}` keeps nodes from handing on what they learned (`RemotePeers`)"
            );
            out.critical(name, message, REPLAN);
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
