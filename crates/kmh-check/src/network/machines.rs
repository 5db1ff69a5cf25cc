//! Whether the plan is about the machines of the inventory, and what the plan itself found.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use kmh_doc::inventory::Layout;
use kmh_doc::network::{FindingLevel, Masquerade, NetworkSpec, RouterPlan};
use kmh_model::{Model, Site};

use super::REPLAN;
use crate::findings::Findings;

/// The label by which Calico and the scheduler know where a node stands.
const ZONE: &str = "topology.kubernetes.io/zone";

/// `network.findings`: what kmh-bgpcfg itself had to say.
pub(crate) fn findings(network: &NetworkSpec, out: &mut Findings<'_>) {
    out.look();
    for finding in &network.findings {
        let message = format!("{}: {}", finding.id, finding.message);
        let hint = finding.hint.as_deref().unwrap_or_default();
        match finding.level {
            FindingLevel::Error => out.critical(&finding.subject, message, hint),
            FindingLevel::Warning => out.warning(&finding.subject, message, hint),
            FindingLevel::Note => {}
        }
    }
}

/// `network.machines`: every router and node of the inventory, with its site, addresses and gateway, and no other.
pub(crate) fn machines(model: &Model, network: &NetworkSpec, out: &mut Findings<'_>) {
    let planned: BTreeMap<&str, _> = network.routers.iter().map(|r| (r.name.as_str(), r)).collect();
    for router in &model.routers {
        let name = router.name.as_str();
        if !out.look_at(name) {
            continue;
        }
        let Some(plan) = planned.get(name) else {
            out.critical(name, "the plan does not have this router", REPLAN);
            continue;
        };
        if plan.kind != router.kind || plan.site != router.site.as_str() {
            out.critical(name, "its kind or site is not that of the inventory", REPLAN);
        }
        same_addresses(name, "addresses", &plan.addresses, &router.addresses, out);
        if let Some(other) = network.routers.iter().find(|r| r.name != name && r.router_id == plan.router_id)
        {
            let message = format!("its router id {} is that of `{}` too", plan.router_id, other.name);
            out.critical(name, message, REPLAN);
        }
        originates(name, model, plan, out);
    }
    let planned: BTreeMap<&str, _> = network.nodes.iter().map(|n| (n.name.as_str(), n)).collect();
    for node in model.nodes.values() {
        let name = node.name.as_str();
        if !out.look_at(name) {
            continue;
        }
        let Some(plan) = planned.get(name) else {
            out.critical(name, "the plan does not have this node", REPLAN);
            continue;
        };
        if plan.site != node.site.as_str() {
            out.critical(
                name,
                format!("the plan has it in site `{}`, the inventory in `{}`", plan.site, node.site),
                REPLAN,
            );
        }
        same_addresses(name, "addresses", &plan.addresses, &node.addresses, out);
        let gateways = model.sites.get(node.site.as_str()).map_or(&[][..], |s| s.gateways.as_slice());
        if plan.gateways != gateways {
            out.critical(name, "its gateways are not those of its site", REPLAN);
        }
        // Calico's selectors go by the label; with the annotations calico-node looks for no address itself.
        if !plan.labels.iter().any(|(key, value)| key == ZONE && value == node.site.as_str()) {
            out.critical(name, format!("it lacks the label `{ZONE}` with its site"), REPLAN);
        }
        let told: Vec<String> = plan
            .annotations
            .iter()
            .filter(|(key, _)| key.starts_with("projectcalico.org/IPv"))
            .map(|(_, value)| value.clone())
            .collect();
        same_addresses(name, "annotations for Calico", &told, &node.addresses, out);
    }
    let routers = network.routers.iter().map(|r| r.name.as_str()).filter(|n| model.router(n).is_none());
    let nodes = network.nodes.iter().map(|n| n.name.as_str()).filter(|n| !model.nodes.contains_key(*n));
    for name in routers.chain(nodes) {
        out.critical(name, "the inventory does not have this machine", REPLAN);
    }
}

/// A router announces its site's node networks, and the LANs that answers must find the way back to.
fn originates(name: &str, model: &Model, plan: &RouterPlan, out: &mut Findings<'_>) {
    let Some(site) = model.sites.get(plan.site.as_str()) else { return };
    let is: BTreeSet<IpNet> = plan.originate.iter().map(|net| net.net()).collect();
    let must: BTreeSet<IpNet> = site.networks.iter().copied().chain(open_lans(site)).collect();
    for net in must.difference(&is) {
        out.critical(name, format!("it does not announce {net}, a segment of its site"), REPLAN);
    }
    for net in is.difference(&must) {
        out.critical(
            name,
            format!("it announces {net}, which is no segment of its site to be reached"),
            REPLAN,
        );
    }
}

/// The LANs of a site that may reach something in the cluster.
pub(super) fn open_lans(site: &Site) -> impl Iterator<Item = IpNet> {
    let open = site.lans.iter().filter(|lan| !lan.reach.is_empty());
    open.flat_map(|lan| lan.network.iter().map(|net| net.net()))
}

fn same_addresses(
    name: &str,
    what: &str,
    plan: &[String],
    inventory: &[std::net::IpAddr],
    out: &mut Findings<'_>,
) {
    let plan: BTreeSet<_> =
        plan.iter().filter_map(|a| a.parse::<IpNet>().ok()).map(|net| net.addr()).collect();
    if plan != inventory.iter().copied().collect() {
        out.critical(name, format!("its {what} are not those of the inventory"), REPLAN);
    }
}

/// `network.as-numbers`: those of the inventory, and Calico is told each node's where it is not all nodes'.
pub(crate) fn as_numbers(model: &Model, network: &NetworkSpec, out: &mut Findings<'_>) {
    const ANNOTATION: &str = "projectcalico.org/ASNumber";
    for plan in &network.routers {
        if !out.look_at(&plan.name) {
            continue;
        }
        if let Some(asn) = model.router(&plan.name).and_then(|r| r.asn)
            && asn != plan.asn
        {
            out.critical(
                &plan.name,
                format!("its AS number is {}, the inventory says {asn}", plan.asn),
                REPLAN,
            );
        }
        if plan.asn == model.node_asn && model.bgp.layout == Layout::A {
            out.critical(
                &plan.name,
                format!("its AS number {} is the nodes'", plan.asn),
                "give it another in the inventory",
            );
        }
    }
    for plan in &network.nodes {
        let Some(node) = model.nodes.get(plan.name.as_str()).filter(|_| out.look_at(&plan.name)) else {
            continue;
        };
        if let Some(asn) = node.asn.filter(|asn| *asn != plan.asn) {
            out.critical(
                &plan.name,
                format!("its AS number is {}, the inventory says {asn}", plan.asn),
                REPLAN,
            );
        }
        let told =
            plan.annotations.iter().find(|(key, _)| key == ANNOTATION).map(|(_, value)| value.as_str());
        let own = plan.asn.to_string();
        // Without the annotation a node has the number of the BGPConfiguration.
        if told.unwrap_or(model.node_asn.to_string().as_str()) != own {
            let is = told.unwrap_or("none");
            out.critical(
                &plan.name,
                format!("its annotation `{ANNOTATION}` is {is}, its AS number {own}"),
                REPLAN,
            );
        }
    }
}

/// `network.masquerade`: what the Internet has no way back to leaves with the line's address, and nothing else does.
pub(crate) fn masquerade(model: &Model, network: &NetworkSpec, out: &mut Findings<'_>) {
    for plan in &network.routers {
        let Some(site) = model.sites.get(plan.site.as_str()).filter(|_| out.look_at(&plan.name)) else {
            continue;
        };
        // Pods have their node's address already, unless the inventory says that routers do it.
        let pods = site.pods.iter().filter(|_| !model.calico.nat_outgoing);
        for net in site.networks.iter().chain(pods).filter(|net| has_no_way_back(net)) {
            if !plan.masquerade.iter().any(|rule| rule.from.iter().any(|from| from.net().contains(net))) {
                let message = format!("nothing comes back from the Internet to {net}: it is not masqueraded");
                out.critical(&plan.name, message, REPLAN);
            }
        }
        let ranges = [&model.pods, &model.services, &model.load_balancers, &model.tunnel_ranges];
        let segments =
            model.sites.values().flat_map(|one| one.networks.iter().copied().chain(open_lans(one)));
        for inside in ranges.into_iter().flatten().copied().chain(segments) {
            let hides = |rule: &Masquerade| {
                rule.from.iter().any(|from| from.is_v6() == matches!(inside, IpNet::V6(_)))
                    && !rule.except.iter().any(|except| except.net().contains(&inside))
            };
            if plan.masquerade.iter().any(hides) {
                let message = format!("packets to {inside} would have the line's address: it is masqueraded");
                out.critical(&plan.name, message, REPLAN);
            }
        }
        let own: Vec<IpNet> = site.networks.iter().chain(&site.pods).copied().collect();
        for from in plan.masquerade.iter().flat_map(|rule| &rule.from) {
            if !own.iter().any(|net| net.contains(&from.net())) {
                let message = format!("it masquerades {from}, which is not of its site");
                out.critical(&plan.name, message, REPLAN);
            }
        }
    }
}

/// All of IPv4, and of IPv6 unique local addresses (RFC 4193).
fn has_no_way_back(net: &IpNet) -> bool {
    match net {
        IpNet::V4(_) => true,
        IpNet::V6(net) => net.addr().octets()[0] & 0xfe == 0xfc,
    }
}

/// `network.guard`: what must never leave in clear text by the default route has an unreachable route on every router.
pub(crate) fn guard(model: &Model, network: &NetworkSpec, out: &mut Findings<'_>) {
    const HINT: &str = "without it, packets for a site behind a cut tunnel go to the Internet in clear text";
    for plan in &network.routers {
        if !out.look_at(&plan.name) {
            continue;
        }
        let others = || model.sites.values().filter(|s| s.name.as_str() != plan.site);
        let elsewhere = others().flat_map(|s| s.networks.iter().copied().chain(open_lans(s)));
        let ours = [&model.pods, &model.services, &model.load_balancers, &model.tunnel_ranges];
        for range in ours.into_iter().flatten().copied().chain(elsewhere) {
            if !plan.unreachable.iter().any(|u| u.net().contains(&range)) {
                out.critical(&plan.name, format!("it has no unreachable route for {range}"), HINT);
            }
        }
        for range in &plan.unreachable {
            if range.net().prefix_len() == 0 {
                out.critical(&plan.name, "everything is unreachable from it", REPLAN);
            }
        }
    }
}
