//! What a sound network rests on, beside filters and sessions: routes that stop what has no way, gateways, pools, and blocks
//! that routers let in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use kmh_doc::network::{Finding, NetworkSpec, PeerKind, Session};

use super::{is_for_pods, pools, service_ranges, some};
use crate::ground::Ground;
use crate::network::{Machine, Network};
use crate::predict::Prediction;
use crate::table::Verdict;

pub(super) fn rests(network: &Network<'_>, all: &mut Vec<Finding>) {
    stops(network.spec, all);
    gateways(network, all);
    wrapped(network.spec, all);
    local_preference(network.spec, all);
    stale_routes(network, all);
    if network.has_mesh() && network.spec.nodes.len() > 1 {
        all.push(Finding::error(
            "node-mesh",
            "nodes",
            "Calico's nodes peer with each other as well: what follows from that is not predicted".to_owned(),
            "`nodeToNodeMeshEnabled: false` in Calico's BGPConfiguration",
        ));
    }
}

/// Routers that take a preference from nodes: Calico from v3.32 sends 2147483647 less the route's metric, to peers of its
/// own AS, and that beats whatever a router prefers.
fn local_preference(spec: &NetworkSpec, all: &mut Vec<Finding>) {
    for router in &spec.routers {
        let internal = |session: &&Session| session.with == PeerKind::Node && session.peer_asn == router.asn;
        let maps: BTreeSet<&str> =
            router.sessions.iter().filter(internal).map(|session| session.import.as_str()).collect();
        let taking = router.route_maps.iter().filter(|map| {
            let mut permits = map.rules.iter().filter(|rule| rule.permit);
            maps.contains(map.name.as_str()) && permits.any(|rule| rule.set.local_pref.is_none())
        });
        let names: Vec<&str> = taking.map(|map| map.name.as_str()).collect();
        if !names.is_empty() {
            all.push(Finding::warning(
                "node-preference",
                &router.name,
                format!(
                    "{} take the LOCAL_PREF that nodes send: from Calico v3.32 on it beats every other route",
                    some(names)
                ),
                "set `local_pref: 100` in their rules",
            ));
        }
    }
}

/// How long routers believe in nodes that are gone (RFC 4724): a note, as a restart of calico-node needs some of it; a
/// warning where nodes ask for more than the sessions say, because every outage is reckoned with those.
fn stale_routes(network: &Network<'_>, all: &mut Vec<Finding>) {
    let spec = network.spec;
    let mut planned: BTreeMap<&str, u32> = BTreeMap::new();
    for router in &spec.routers {
        let listening = router.listen.iter().map(|listen| &listen.like);
        let sessions =
            router.sessions.iter().chain(listening).filter(|session| session.with == PeerKind::Node);
        if let Some(restart) = sessions.map(|session| u32::from(session.restart)).max() {
            planned.insert(&router.name, restart);
        }
    }
    let mut asked: BTreeMap<&str, u32> = BTreeMap::new();
    for peer in &network.calico.peers {
        if let Some(machine @ Machine::Router(_)) = network.owner(peer.address) {
            let window = asked.entry(network.name(machine)).or_default();
            *window = peer.restart.max(*window);
        }
    }
    let mut kept: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for (router, restart) in planned {
        let window = asked.get(router).copied().unwrap_or(restart);
        if window > restart {
            all.push(Finding::warning(
                "stale-routes",
                router,
                format!(
                    "nodes ask it to keep their routes for {window} s when their BIRD goes away, and the outages are reckoned with {restart} s"
                ),
                "write the same time into `maxRestartTime` of the BGPPeer; without it BIRD asks for 120 s",
            ));
        } else if window > 0 {
            kept.entry(window).or_default().push(router);
        }
    }
    for (window, routers) in kept {
        all.push(Finding::note(
            "stale-routes",
            "nodes",
            format!(
                "{} keep a node's routes for {window} s when its BIRD goes away: what is sent to a node that reboots is lost so long",
                some(routers)
            ),
            "`bgp.timers.nodes.restart` is that time: a restart of calico-node needs some of it; 0 drops the routes at once",
        ));
    }
}

/// Ranges of the cluster that a router sends to the Internet, in clear text, as soon as it has no route to them.
fn stops(spec: &NetworkSpec, all: &mut Vec<Finding>) {
    let shared: Vec<IpNet> = pools(spec).map(|(net, _)| net).chain(service_ranges(spec)).collect();
    for router in &spec.routers {
        let others = spec.routers.iter().filter(|other| other.site != router.site);
        let others = others.flat_map(|other| &other.originate).map(|net| net.net());
        let ranges: BTreeSet<IpNet> = shared.iter().copied().chain(others).collect();
        let stopped = |range: &IpNet| {
            router.unreachable.iter().chain(&router.originate).any(|net| net.net().contains(range))
        };
        let open: Vec<String> =
            ranges.iter().filter(|range| !stopped(range)).map(ToString::to_string).collect();
        if !open.is_empty() {
            all.push(Finding::error(
                "no-stop",
                &router.name,
                format!(
                    "it has no unreachable route for {}: without a tunnel, packets leave by the default route in clear text",
                    some(open.iter().map(String::as_str))
                ),
                "add them to `unreachable`",
            ));
        }
    }
}

/// Gateways that nobody has. Only between two routers of a site an address can move (VRRP, CARP).
fn gateways(network: &Network<'_>, all: &mut Vec<Finding>) {
    let mut routers: BTreeMap<&str, usize> = BTreeMap::new();
    for router in &network.spec.routers {
        *routers.entry(&router.site).or_default() += 1;
    }
    let mut nobodys: BTreeMap<(&str, IpAddr), Vec<&str>> = BTreeMap::new();
    for node in &network.spec.nodes {
        for gateway in &node.gateways {
            let is_router = match network.owner(*gateway) {
                Some(owner) => matches!(owner, Machine::Router(_)),
                None => routers.get(node.site.as_str()).is_some_and(|count| *count > 1),
            };
            if !is_router {
                nobodys.entry((&node.site, *gateway)).or_default().push(&node.name);
            }
        }
    }
    for ((site, gateway), nodes) in nobodys {
        all.push(Finding::error(
            "no-gateway",
            site,
            format!("`{gateway}`, the gateway of {}, is no router's address", some(nodes)),
            "name the address of the site's router, or the one that its two routers share",
        ));
    }
}

/// Pools whose packets Calico wraps: routers are not needed for them, and their MTU is another one.
fn wrapped(spec: &NetworkSpec, all: &mut Vec<Finding>) {
    for resource in spec.calico.iter().filter(|resource| is_for_pods(resource)) {
        let modes = ["ipipMode", "vxlanMode"].into_iter().filter(|mode| {
            resource["spec"][mode].as_str().is_some_and(|written| !written.is_empty() && written != "Never")
        });
        for mode in modes {
            all.push(Finding::warning(
                "wrapped-pool",
                resource["metadata"]["name"].as_str().unwrap_or_default(),
                format!(
                    "`{mode}` wraps packets between nodes: what is predicted is the way of unwrapped ones"
                ),
                "`Never`: routers have a route to every block",
            ));
        }
    }
}

/// Blocks and borrowed addresses that a node announces and its own router refuses.
pub(super) fn refused_blocks(
    network: &Network<'_>,
    ground: &Ground,
    prediction: &Prediction<'_>,
    all: &mut Vec<Finding>,
) {
    let mut routers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for router in &network.spec.routers {
        routers.entry(&router.site).or_default().push(&router.name);
    }
    let borrowed = ground.borrowed.iter().map(|(address, node)| (IpNet::from(*address), node));
    // Blocks are the cause of what is unreachable: without that, nobody asks every router about every block. Of borrowed
    // addresses there are few, and ways are not tried to them.
    let is_cut = all.iter().any(|finding| finding.id == "unreachable-pair");
    let blocks = ground.blocks.iter().filter(|_| is_cut).map(|(net, node)| (*net, node));
    let mut refused: BTreeMap<(&str, String), Vec<String>> = BTreeMap::new();
    for (net, node) in blocks.chain(borrowed) {
        let Some(machine) = network.machine(node) else { continue };
        for router in routers.get(network.site(machine)).into_iter().flatten() {
            let Some(route) = prediction.route(router, net) else { continue };
            let path = route.paths.iter().find(|path| path.from.as_deref() == Some(node));
            if let Some(path) = path.filter(|path| path.verdict == Verdict::Refused) {
                let rule = path.rule.clone().unwrap_or_default();
                refused.entry((router, rule)).or_default().push(format!("{net} from {node}"));
            }
        }
    }
    for ((router, rule), blocks) in refused {
        all.push(Finding::error(
            "refused-block",
            router,
            format!("it refuses {} ({rule})", some(blocks.iter().map(String::as_str))),
            "a block must be of its own site's pool, of the size that the prefix list takes, and in a path that the AS-path list takes",
        ));
    }
}
