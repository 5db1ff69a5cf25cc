//! What the written choices mean: AS numbers and layout, passwords, restarts, address translation.

use kmh_doc::inventory::{BgpDaemon, Layout};
use kmh_doc::network::Finding;

use crate::ground::Index;

/// Calico's definitions say int32 where an AS number stands, and the API server holds them to it. Annotations are text.
const LARGEST_CALICO_ASN: u32 = i32::MAX as u32;

/// The shortest hold time that Calico's BIRD is known to keep, in seconds.
const STEADY: u16 = 9;

pub(crate) fn find(index: &Index<'_>, all: &mut Vec<Finding>) {
    let model = index.model;
    let cluster = model.name.as_str();
    asns(index, all);
    if !model.bgp.direct_routes {
        all.push(Finding::warning(
            "hairpin",
            cluster,
            "nodes of a site do not know each other's pods: every packet between them goes to the router and back by the same interface".to_owned(),
            "`bgp.direct_routes: true` is the default; without it the routers must let packets through that turn around, one by one",
        ));
    }
    if !model.bgp.passwords {
        all.push(Finding::warning(
            "password-off",
            cluster,
            "BGP on the node segments has no passwords: a pod that leaves with its node's address can speak for the node".to_owned(),
            "`bgp.passwords: true` is the default",
        ));
    }
    if !model.calico.nat_outgoing {
        all.push(Finding::note(
            "nat-outgoing-off",
            cluster,
            "pods leave their nodes with their own address; the routers hide them from the Internet, and nothing else".to_owned(),
            "`calico.nat_outgoing: true` is the default",
        ));
    }
    let hold = model.bgp.timers.nodes.hold;
    if hold < STEADY {
        all.push(Finding::warning(
            "short-hold",
            cluster,
            format!("a node is given up when it was silent for {hold} s, which happens to a busy one that is well"),
            "3 s and 9 s are the defaults; 1 s and 3 s are reported to be unstable (projectcalico/calico issue 7086)",
        ));
    }
    restarts(index, all);
    ingress(index, all);
}

fn asns(index: &Index<'_>, all: &mut Vec<Finding>) {
    let model = index.model;
    let routers = model.routers.iter().filter_map(|router| Some((router.name.as_str(), router.asn?)));
    for (subject, asn) in routers
        .chain([(model.name.as_str(), model.node_asn)])
        .filter(|(_, asn)| asn.get() > LARGEST_CALICO_ASN)
    {
        all.push(Finding::error(
            "asn-too-large",
            subject,
            format!("Calico's resources take AS numbers up to {LARGEST_CALICO_ASN}, and this is {asn}"),
            "take one of 64512 to 65534 (RFC 6996); projectcalico/calico issue 13494 has the reason",
        ));
    }
}

/// How long routers believe in nodes that are gone.
fn restarts(index: &Index<'_>, all: &mut Vec<Finding>) {
    let model = index.model;
    let restart = model.bgp.timers.nodes.restart;
    let with_nodes = model.sites.keys().filter(|site| !index.nodes_of(site.as_str()).is_empty());
    for site in with_nodes.filter(|_| restart > 0) {
        all.push(Finding::note(
            "stale-routes",
            site.as_str(),
            format!("the routes of a node are kept for {restart} s when its BIRD goes away: a restart of calico-node interrupts nothing, and what is sent to a node that reboots is lost so long"),
            "`bgp.timers.nodes.restart` is that time; 0 drops the routes at once",
        ));
    }
}

/// Where one node of a site takes all packets for a service, though all announce it.
fn ingress(index: &Index<'_>, all: &mut Vec<Finding>) {
    let several = |site: &str| index.nodes_of(site).len() > 1;
    if index.model.bgp.layout == Layout::D {
        for site in index.model.sites.keys().filter(|site| several(site.as_str())) {
            all.push(Finding::note(
                "single-ingress",
                site.as_str(),
                "each node has an AS of its own, and routes of different ASes are not used side by side: one node takes all packets for a service that reach the router".to_owned(),
                "layouts A and B spread them; kube-proxy on that node still reaches every pod",
            ));
        }
        return;
    }
    for router in &index.model.routers {
        if router.bgp == Some(BgpDaemon::Bird) && several(router.site.as_str()) {
            all.push(Finding::note(
                "single-ingress",
                router.name.as_str(),
                "BIRD uses one route at a time: one node of the site takes all packets for a service that reach the router".to_owned(),
                "FRR spreads them; kube-proxy on that node still reaches every pod",
            ));
        }
    }
}
