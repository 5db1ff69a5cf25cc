//! Calico's resources, in the order in which they are applied, for `kubectl` and the storage group
//! `crd.projectcalico.org/v1`: no API server of Calico's is there to fill in defaults, so every field that Calico's
//! own client would default on writing is written out.
//!
//! The order disturbs nothing where Calico runs already: the filter before the peers that name it, the mesh off last.

use ipnet::IpNet;
use kmh_model::Model;
use serde_json::{Value, json};

use crate::PlanError;
use crate::ground::asn;
use crate::plan::ZONE_LABEL;
use crate::ranges::Family;

/// The filter that keeps a node from handing on what it learned.
pub(crate) const GUARD: &str = "no-transit";

/// Seconds for which a router keeps the routes of a node whose BIRD went away without a word. BIRD announces 120
/// when nothing is said: so long would a node that reboots swallow its share of the services' packets. 30 outlast a
/// restart of calico-node.
const RESTART_TIME: &str = "30s";

/// All resources.
pub(crate) fn calico(model: &Model) -> Result<Vec<Value>, PlanError> {
    let mut all = vec![guard()];
    for site in model.sites.values() {
        for net in &site.pods {
            all.push(pool(&format!("pods.{}", site.name), *net, Some(site.name.as_str())));
        }
    }
    // natOutgoing masquerades what leaves all pools. A disabled pool gives out no address and only widens "all pools":
    // pods reach nodes, and the segments that may reach them, with their own address.
    for site in model.sites.values() {
        for net in &site.networks {
            all.push(pool(&format!("nodes.{}", site.name), *net, None));
        }
        for lan in site.lans.iter().filter(|lan| !lan.reach.is_empty()) {
            for net in &lan.network {
                all.push(pool(&format!("lan.{}.{}", site.name, lan.name), net.net(), None));
            }
        }
    }
    let mut routers: Vec<_> = model.routers.iter().collect();
    routers.sort_by(|a, b| a.name.cmp(&b.name));
    for router in routers {
        for address in &router.addresses {
            let family = Family::of_address(*address);
            all.push(resource(
                "BGPPeer",
                &format!("{}.{}", router.name, family.suffix()),
                json!({
                    "peerIP": address,
                    "asNumber": asn(router)?,
                    "nodeSelector": at_site(router.site.as_str()),
                    "filters": [GUARD],
                    "maxRestartTime": RESTART_TIME,
                }),
            ));
        }
    }
    all.push(configuration(model));
    Ok(all)
}

fn configuration(model: &Model) -> Value {
    let list = |nets: &[IpNet]| nets.iter().map(|net| json!({"cidr": net})).collect::<Vec<_>>();
    let mut spec = json!({
        "asNumber": model.node_asn,
        "logSeverityScreen": "Info",
        "nodeToNodeMeshEnabled": false,
        "serviceClusterIPs": list(&model.services),
    });
    if !model.load_balancers.is_empty() {
        spec["serviceLoadBalancerIPs"] = list(&model.load_balancers).into();
    }
    resource("BGPConfiguration", "default", spec)
}

fn guard() -> Value {
    let rule = json!([{"source": "RemotePeers", "action": "Reject"}]);
    resource("BGPFilter", GUARD, json!({"exportV4": rule, "exportV6": rule}))
}

/// A pool of a site's pods, or without a site a disabled one.
fn pool(stem: &str, net: IpNet, site: Option<&str>) -> Value {
    let family = Family::of(net);
    let block = family.block().max(net.prefix_len());
    let spec = if let Some(site) = site {
        json!({
            "cidr": net,
            "blockSize": block,
            "ipipMode": "Never",
            "vxlanMode": "Never",
            "natOutgoing": true,
            "nodeSelector": at_site(site),
            "allowedUses": ["Workload"],
        })
    } else {
        // A node's BIRD announces whatever lies inside a pool, its own segment among it, unless told not to.
        json!({
            "cidr": net,
            "blockSize": block,
            "ipipMode": "Never",
            "vxlanMode": "Never",
            "natOutgoing": false,
            "disabled": true,
            "disableBGPExport": true,
            "nodeSelector": "!all()",
            "allowedUses": ["Workload"],
        })
    };
    resource("IPPool", &format!("{stem}.{}", family.suffix()), spec)
}

fn at_site(site: &str) -> String {
    format!("{ZONE_LABEL} == '{site}'")
}

fn resource(kind: &str, name: &str, spec: Value) -> Value {
    let mut resource =
        json!({"apiVersion": "crd.projectcalico.org/v1", "kind": kind, "metadata": {"name": name}});
    resource["spec"] = spec;
    resource
}
