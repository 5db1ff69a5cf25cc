//! Whether Calico's nodes speak BGP with the routers of their site, as the routers speak with them.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use kmh_doc::inventory::ApiGroup;
use kmh_doc::network::{NetworkSpec, PeerKind, RouterPlan, Session};
use kmh_model::Model;
use serde_json::Value;

use super::REPLAN;
use super::calico::{ByLabel, of};
use crate::findings::Findings;

const CONFIGURATION: &str = "BGPConfiguration default";

/// `network.calico`: no mesh, the service ranges announced, each site's nodes led to its routers.
pub(crate) fn peering(model: &Model, network: &NetworkSpec, out: &mut Findings<'_>) {
    configuration(model, network, out);
    addresses(model, network, out);
    let (known, nodes) = (known(network), ByLabel::new(network));
    let mut peering: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for node in &network.nodes {
        for peer in &node.peers {
            peering.entry(peer.address.to_string()).or_default().insert(&node.name);
        }
    }
    let mut led: BTreeSet<(String, u64)> = BTreeSet::new();
    for (name, spec) in of(network, "BGPPeer") {
        out.look();
        let (address, asn) =
            (spec["peerIP"].as_str().unwrap_or_default(), spec["asNumber"].as_u64().unwrap_or_default());
        led.insert((address.to_owned(), asn));
        match known.get(address).filter(|(router, _)| u64::from(router.asn.get()) == asn) {
            // A site may have no nodes yet.
            Some((router, session)) => alike(model, name, spec, router, *session, out),
            None => out.critical(name, format!("no router of the plan is {address} AS {asn}"), REPLAN),
        }
        let selector = spec["nodeSelector"].as_str().unwrap_or_default();
        if nodes.selected(selector) != Some(peering.get(address).cloned().unwrap_or_default()) {
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
        if spec["numAllowedLocalASNumbers"].as_u64().is_some_and(|most| most > 0) {
            let message = "`numAllowedLocalASNumbers` takes nodes their protection against loops, and nothing here needs it";
            out.warning(name, message, REPLAN);
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

/// Routers by their addresses on the node segment, each with a session that it has there with a node, or would have.
fn known(network: &NetworkSpec) -> BTreeMap<&str, (&RouterPlan, Option<&Session>)> {
    let mut known = BTreeMap::new();
    for router in &network.routers {
        for address in router.addresses.iter().filter_map(|one| one.split('/').next()) {
            let of_nodes = router.sessions.iter().filter(|session| session.with == PeerKind::Node);
            let callers = router.listen.iter().map(|listen| &listen.like);
            let here = |session: &&Session| session.local_address.to_string() == address;
            known.insert(address, (router, of_nodes.chain(callers).find(here)));
        }
    }
    known
}

/// What both ends must say alike.
fn alike(
    model: &Model,
    name: &str,
    spec: &Value,
    router: &RouterPlan,
    session: Option<&Session>,
    out: &mut Findings<'_>,
) {
    let Some(session) = session else { return };
    let secret = &spec["password"]["secretKeyRef"];
    match (&session.password, secret.is_null()) {
        (Some(_), true) => {
            out.critical(name, format!("`{}` asks for a password, and it has none", router.name), REPLAN);
        }
        (None, false) => {
            let message = format!("it has a password, and `{}` asks for none", router.name);
            out.critical(name, message, REPLAN);
        }
        // The site's password has the site's name in the Secret, as it has in the store.
        (Some(_), false) if secret["key"] != router.site.as_str() => {
            let message = format!("its password is not that of its site `{}`", router.site);
            out.critical(name, message, REPLAN);
        }
        _ => {}
    }
    let restart = spec["maxRestartTime"].as_str().map(str::to_owned);
    let must = format!("{}s", model.bgp.timers.nodes.restart);
    if restart.as_deref() != Some(must.as_str()) {
        let is = restart.unwrap_or_else(|| "120s, BIRD's own".to_owned());
        out.critical(
            name,
            format!("its `maxRestartTime` is {is}, the inventory says {must}"),
            "so long do routers send packets to a node that went away: make the document again with `kmh-bgpcfg plan`",
        );
    }
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

fn configuration(model: &Model, network: &NetworkSpec, out: &mut Findings<'_>) {
    out.look();
    let Some((_, default)) = of(network, "BGPConfiguration").find(|(name, _)| *name == "default") else {
        out.critical(CONFIGURATION, "it is missing, so Calico meshes every node with every other", REPLAN);
        return;
    };
    if default["nodeToNodeMeshEnabled"].as_bool() != Some(false) {
        out.critical(CONFIGURATION, "the mesh between nodes is not turned off", REPLAN);
    }
    let ranges = |field: &str| -> BTreeSet<IpNet> {
        let list = default[field].as_array().map_or(&[][..], Vec::as_slice);
        list.iter().filter_map(|r| r["cidr"].as_str()?.parse().ok()).collect()
    };
    for (field, must) in
        [("serviceClusterIPs", &model.services), ("serviceLoadBalancerIPs", &model.load_balancers)]
    {
        if ranges(field) != must.iter().copied().collect() {
            out.critical(CONFIGURATION, format!("`{field}` is not what the inventory says"), REPLAN);
        }
    }
    let asn = default["asNumber"].as_u64().unwrap_or(64512);
    if asn != u64::from(model.node_asn.get()) {
        let message = format!("the nodes' AS number is {asn}, the inventory says {}", model.node_asn);
        out.critical(CONFIGURATION, message, REPLAN);
    }
}

/// How Calico gives out addresses.
fn addresses(model: &Model, network: &NetworkSpec, out: &mut Findings<'_>) {
    let kind = match model.calico.api {
        ApiGroup::Crd => "IPAMConfig",
        ApiGroup::V3 => "IPAMConfiguration",
    };
    let subject = format!("{kind} default");
    out.look();
    let Some((_, spec)) = of(network, kind).find(|(name, _)| *name == "default") else {
        out.critical(&subject, "it is missing: what the cluster has from before stays", REPLAN);
        return;
    };
    if spec["strictAffinity"].as_bool() != Some(model.calico.strict_affinity) {
        let must = model.calico.strict_affinity;
        out.critical(&subject, format!("`strictAffinity` is not {must}, as the inventory says"), REPLAN);
    }
    if spec["autoAllocateBlocks"].as_bool() != Some(true) {
        out.critical(&subject, "no node gets a block: `autoAllocateBlocks` is not on", REPLAN);
    }
    let most = spec["maxBlocksPerHost"].as_u64().filter(|most| *most > 0);
    if most != model.calico.max_blocks_per_node.map(u64::from) {
        out.critical(&subject, "`maxBlocksPerHost` is not what the inventory says", REPLAN);
    }
}
