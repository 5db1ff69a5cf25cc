//! Whether Calico's pools are the ranges of the inventory, cut into the blocks that routers let pass.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use kmh_calico::Release;
use kmh_doc::network::NetworkSpec;
use kmh_model::Model;
use serde_json::Value;

use super::REPLAN;
use super::calico::{ByLabel, of, release};
use super::machines::open_lans;
use crate::findings::Findings;

/// Calico's controllers give out addresses of services from here on.
const BALANCES: Release = Release(3, 30);

/// Length of a node's blocks in a pool, by the inventory.
pub(super) fn block_length(model: &Model, v6: bool) -> u8 {
    if v6 { model.calico.block_size_v6.unwrap_or(122) } else { model.calico.block_size_v4.unwrap_or(26) }
}

/// `network.pools`: one pool for each range of each site, inside the cluster's range, without encapsulation.
pub(crate) fn pools(model: &Model, network: &NetworkSpec, out: &mut Findings<'_>) {
    let mut wanted: BTreeMap<IpNet, &str> = BTreeMap::new();
    for site in model.sites.values() {
        wanted.extend(site.pods.iter().map(|pool| (*pool, site.name.as_str())));
    }
    let nodes = ByLabel::new(network);
    let mut standing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for node in &network.nodes {
        standing.entry(&node.site).or_default().insert(&node.name);
    }
    let mut seen: Vec<(IpNet, &str)> = Vec::new();
    let (mut apart, mut balanced) = (BTreeSet::new(), BTreeSet::new());
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
        if spec["allowedUses"].as_array().is_some_and(|uses| uses.iter().any(|one| one == "LoadBalancer")) {
            balanced.insert(net);
        } else if spec["disabled"].as_bool() == Some(true) {
            // Only there so that packets to its range keep their source address.
            apart.insert(net);
            if spec["disableBGPExport"].as_bool() != Some(true) {
                out.critical(
                    name,
                    format!("nodes announce their own segment {net}: it lacks `disableBGPExport`"),
                    REPLAN,
                );
            }
        } else {
            of_pods(model, (name, spec), net, out);
            match wanted.remove(&net) {
                None => out.critical(name, format!("its range {net} is that of no site"), REPLAN),
                Some(site) => {
                    let selector = spec["nodeSelector"].as_str().unwrap_or_default();
                    // Every node may use a pool without selector, and the ranges of the sites mix.
                    if nodes.selected(selector) != Some(standing.get(site).cloned().unwrap_or_default()) {
                        let message =
                            format!("its node selector `{selector}` does not name its site `{site}`");
                        out.critical(name, message, REPLAN);
                    }
                }
            }
        }
    }
    for (net, site) in wanted {
        out.look();
        out.critical(site, format!("no pool has its range {net}: its pods get no address"), REPLAN);
    }
    for site in model.sites.values().filter(|_| model.calico.nat_outgoing) {
        for net in site.networks.iter().copied().chain(open_lans(site)).filter(|net| !apart.contains(net)) {
            let message = format!("no disabled pool has {net}: packets of pods to it would be masqueraded");
            out.critical(site.name.as_str(), message, REPLAN);
        }
    }
    let balances: BTreeSet<IpNet> = model.load_balancers.iter().copied().collect();
    for net in balances.difference(&balanced).filter(|_| release(model).is_some_and(|is| is >= BALANCES)) {
        out.critical("IPPool", format!("no pool gives out the services' addresses of {net}"), REPLAN);
    }
    for net in balanced.difference(&balances) {
        let message = format!("a pool gives out addresses of {net} to services, which nobody announces");
        out.critical("IPPool", message, REPLAN);
    }
}

/// A pool that gives out addresses to pods.
fn of_pods(model: &Model, (name, spec): (&str, &Value), net: IpNet, out: &mut Findings<'_>) {
    match (spec["natOutgoing"].as_bool() == Some(true), model.calico.nat_outgoing) {
        (false, true) => {
            out.critical(name, "its pods reach nothing outside: `natOutgoing` is not on", REPLAN);
        }
        (true, false) => {
            let message =
                "`natOutgoing` is on: nodes hide their pods, which the inventory wants routers to do";
            out.critical(name, message, REPLAN);
        }
        _ => {}
    }
    if spec["disableBGPExport"].as_bool() == Some(true) {
        out.critical(name, "nobody learns of its blocks: `disableBGPExport` is on", REPLAN);
    }
    if !model.pods.iter().any(|pods| pods.contains(&net)) {
        out.critical(name, format!("its range {net} is outside the cluster's pod range"), REPLAN);
    }
    let v6 = matches!(net, IpNet::V6(_));
    let default = if v6 { 122 } else { 26 };
    let (size, must) =
        (spec["blockSize"].as_u64().unwrap_or(default), block_length(model, v6).max(net.prefix_len()));
    if size != u64::from(must) {
        let message =
            format!("its block size is /{size}, and routers let blocks of /{must} pass, by the inventory");
        out.critical(name, message, REPLAN);
    }
}
