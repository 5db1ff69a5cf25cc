//! Pools: where pods and services get addresses from, and what pods meet with their own address.

use ipnet::IpNet;
use serde_json::{Value, json};

use super::{Maker, at_site};
use crate::ranges::{Family, block_length};

/// One pool a site and family, and no other: their ranges stay apart, so that each is one route and one filter.
pub(super) fn add(maker: &Maker<'_>, all: &mut Vec<Value>) {
    let model = maker.model;
    for site in model.sites.values() {
        for net in &site.pods {
            let size = block_length(model, Family::of(*net)).max(net.prefix_len());
            all.push(one(
                maker,
                "pods",
                &[site.name.as_str()],
                *net,
                json!({
                    "blockSize": size,
                    "natOutgoing": model.calico.nat_outgoing,
                    "nodeSelector": at_site(site.name.as_str()),
                }),
            ));
        }
    }
    // `natOutgoing` masquerades what leaves all pools. A disabled pool gives out no address and only widens "all pools":
    // pods reach nodes, and the segments that may reach them, with their own address. Without `natOutgoing` nothing is
    // masqueraded, and a disabled pool would only be in the way.
    for site in model.sites.values().filter(|_| model.calico.nat_outgoing) {
        let name = site.name.as_str();
        for net in &site.networks {
            all.push(apart(maker, "nodes", &[name], *net));
        }
        for lan in site.lans.iter().filter(|lan| !lan.reach.is_empty()) {
            for net in &lan.network {
                all.push(apart(maker, "lan", &[name, lan.name.as_str()], net.net()));
            }
        }
    }
    // Addresses of services: given out by Calico's controllers from v3.30 on, by somebody else before.
    if maker.knows("IPPool", "assignmentMode") {
        for net in &model.load_balancers {
            let family = Family::of(*net);
            let size = family.block().max(net.prefix_len());
            all.push(one(
                maker,
                "services",
                &[],
                *net,
                json!({
                    "allowedUses": ["LoadBalancer"],
                    "blockSize": size,
                    "natOutgoing": false,
                    "nodeSelector": "all()",
                }),
            ));
        }
    }
}

/// A pool that only says that a range is no foreign one.
fn apart(maker: &Maker<'_>, stem: &str, names: &[&str], net: IpNet) -> Value {
    // A node's BIRD announces whatever lies inside a pool, its own segment among it, unless told not to.
    one(
        maker,
        stem,
        names,
        net,
        json!({
            "blockSize": Family::of(net).block().max(net.prefix_len()),
            "disableBGPExport": true,
            "disabled": true,
            "natOutgoing": false,
            "nodeSelector": "!all()",
        }),
    )
}

fn one(maker: &Maker<'_>, stem: &str, names: &[&str], net: IpNet, differs: Value) -> Value {
    let name = std::iter::once(&stem).chain(names).copied().collect::<Vec<_>>().join(".");
    let mut spec = json!({
        "allowedUses": ["Workload"],
        "assignmentMode": "Automatic",
        "cidr": net,
        "ipipMode": "Never",
        "vxlanMode": "Never",
    });
    if let (Value::Object(spec), Value::Object(differs)) = (&mut spec, differs) {
        spec.extend(differs);
    }
    maker.make("IPPool", &format!("{name}.{}", Family::of(net).suffix()), spec)
}
