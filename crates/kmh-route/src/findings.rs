//! What a person should know about the routes that follow: each finding with its place, its cause and a remedy.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use kmh_doc::inventory::Cipher;
use kmh_doc::network::{Finding, NetworkSpec, RouterPlan, Tunnel};
use serde_json::Value;

use crate::filter::matches_prefix;
use crate::ground::Ground;
use crate::network::{Machine, Network};
use crate::predict::Prediction;
use crate::table::{Path, Route, Verdict};

mod doors;
mod rests;
#[cfg(test)]
mod tests;
mod ways;

/// What an ordinary line carries.
const ETHERNET: u32 = 1500;
/// Names that a finding lists at most.
const NAMED: usize = 3;

/// All findings of a scenario, the worst first, then by name and subject.
pub fn findings(network: &Network<'_>, ground: &Ground, prediction: &Prediction<'_>) -> Vec<Finding> {
    let mut all = Vec::new();
    filters(network.spec, &mut all);
    aggregates(network.spec, &mut all);
    packet_sizes(network.spec, &mut all);
    guards(network.spec, &mut all);
    default_routes(network.spec, &mut all);
    sessions(network, prediction, &mut all);
    doors::doors(network.spec, &mut all);
    rests::rests(network, &mut all);
    restless(prediction, &mut all);
    loops(network, prediction, &mut all);
    ways::ways(network, ground, prediction, &mut all);
    rests::refused_blocks(network, ground, prediction, &mut all);
    services(network, ground, prediction, &mut all);
    all.sort_by(|a, b| {
        (b.level, &a.id, &a.subject, &a.message).cmp(&(a.level, &b.id, &b.subject, &b.message))
    });
    all.dedup();
    all
}

/// The first few names, and how many more.
fn some<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let all: Vec<&str> = names.into_iter().collect();
    let mut text = all.iter().take(NAMED).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if all.len() > NAMED {
        let _ = write!(text, " and {} more", all.len() - NAMED);
    }
    text
}

/// Filters that do not exist. Daemons take such a configuration without a word.
fn filters(spec: &NetworkSpec, all: &mut Vec<Finding>) {
    for router in &spec.routers {
        let maps: BTreeSet<&str> = router.route_maps.iter().map(|map| map.name.as_str()).collect();
        let mut absent: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let mut silent: BTreeSet<&str> = BTreeSet::new();
        for session in &router.sessions {
            for map in [&session.import, &session.export] {
                if map.is_empty() {
                    silent.insert(&session.peer);
                } else if !maps.contains(map.as_str()) {
                    absent.entry(map).or_default().insert(&session.peer);
                }
            }
        }
        for (map, peers) in absent {
            all.push(Finding::error(
                "undefined-filter",
                &router.name,
                format!(
                    "the route map `{map}` of the session with {} does not exist: nothing passes",
                    some(peers)
                ),
                "define it, or name one that exists",
            ));
        }
        if !silent.is_empty() {
            all.push(Finding::error(
                "silent-session",
                &router.name,
                format!(
                    "the session with {} has no filter: it comes up and exchanges nothing (RFC 8212)",
                    some(silent)
                ),
                "name a route map for each direction",
            ));
        }
        undefined_lists(router, all);
    }
}

fn undefined_lists(router: &RouterPlan, all: &mut Vec<Finding>) {
    let lists: BTreeSet<&str> = router.prefix_lists.iter().map(|list| list.name.as_str()).collect();
    let paths: BTreeSet<&str> = router.as_paths.iter().map(|list| list.name.as_str()).collect();
    for map in &router.route_maps {
        for rule in &map.rules {
            let named = [("prefix list", &rule.prefix_list, &lists), ("AS-path list", &rule.as_path, &paths)];
            for (what, name, known) in named {
                let Some(name) = name.as_deref().filter(|name| !known.contains(name)) else { continue };
                all.push(Finding::error(
                    "undefined-filter",
                    &router.name,
                    format!("the route map `{}` asks the {what} `{name}`, which does not exist", map.name),
                    "define it, or name one that exists",
                ));
            }
        }
    }
}

/// Ranges of pods that a router originates itself: the kernel has a blackhole for what no node announces, and a far
/// router that lost the blocks still sends everything there.
fn aggregates(spec: &NetworkSpec, all: &mut Vec<Finding>) {
    let pools: Vec<IpNet> = pools(spec).map(|(net, _)| net).collect();
    for router in &spec.routers {
        for net in router.originate.iter().map(|net| net.net()) {
            if pools.iter().any(|pool| pool.contains(&net) || net.contains(pool)) {
                all.push(Finding::error(
                    "aggregate-blackhole",
                    &router.name,
                    format!("it originates `{net}`, which covers blocks of pods: what no node announces is swallowed"),
                    "let the nodes' own blocks travel, and leave the aggregate out",
                ));
            }
        }
    }
}

/// Enabled pools of workloads, and their block length.
fn pools(spec: &NetworkSpec) -> impl Iterator<Item = (IpNet, Option<u64>)> {
    spec.calico.iter().filter(|resource| is_for_pods(resource)).filter_map(|resource| {
        let pool = &resource["spec"];
        Some((pool["cidr"].as_str()?.parse().ok()?, pool["blockSize"].as_u64()))
    })
}

fn is_for_pods(resource: &Value) -> bool {
    let pool = &resource["spec"];
    let uses = pool["allowedUses"].as_array();
    let for_pods = uses.is_none_or(|uses| uses.iter().any(|one| one == "Workload"));
    resource["kind"] == "IPPool" && pool["disabled"] != true && for_pods
}

fn packet_sizes(spec: &NetworkSpec, all: &mut Vec<Finding>) {
    for tunnel in &spec.tunnels {
        if spec.pod_mtu > tunnel.mtu {
            all.push(Finding::error(
                "mtu-mismatch",
                &tunnel.name,
                format!("pods send packets of {} octets, and {} fit through it", spec.pod_mtu, tunnel.mtu),
                "give pods the MTU of the smallest tunnel",
            ));
        }
        let line = least_line(tunnel);
        if line > ETHERNET {
            all.push(Finding::note(
                "mtu-mismatch",
                &tunnel.name,
                format!(
                    "packets of {} octets fit through it only where both lines carry {line} octets, more than Ethernet's {ETHERNET}",
                    tunnel.mtu
                ),
                "right for lines with larger frames (`uplinks[].mtu`); otherwise lower its MTU",
            ));
        }
        let [v4, v6] = tunnel.mss;
        if v4 > tunnel.mtu.saturating_sub(40) || v6 > tunnel.mtu.saturating_sub(60) {
            all.push(Finding::error(
                "mss-mismatch",
                &tunnel.name,
                format!("TCP segments of {v4} (IPv6: {v6}) octets do not fit into its {} octets", tunnel.mtu),
                "MSS is the MTU less 40 (IPv6: 60) octets of headers",
            ));
        }
    }
}

/// The least MTU of a line that carries a tunnel's packets, over IPv4 and without padding: ESP in tunnel mode (RFC 4303),
/// behind NAT inside UDP (RFC 3948).
fn least_line(tunnel: &Tunnel) -> u32 {
    const IP_ESP_AND_TRAILER: u32 = 20 + 8 + 2;
    let iv_and_tag = match tunnel.cipher {
        Cipher::Aes256gcm | Cipher::Aes128gcm | Cipher::Chacha20poly1305 => 8 + 16,
        Cipher::Aes256cbc => 16 + 16,
    };
    let udp = if tunnel.nat_t { 8 } else { 0 };
    u32::from(tunnel.mtu) + IP_ESP_AND_TRAILER + iv_and_tag + udp
}

/// Route maps that let the default route travel: whoever takes it sends everything to the Internet through a tunnel.
fn default_routes(spec: &NetworkSpec, all: &mut Vec<Finding>) {
    for router in &spec.routers {
        let permits = |list: &str, everything: IpNet| {
            let list = router.prefix_lists.iter().find(|one| one.name == list);
            list.is_some_and(|list| list.permit.iter().any(|rule| matches_prefix(rule, everything)))
        };
        for map in &router.route_maps {
            for everything in [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())] {
                let hit = map
                    .rules
                    .iter()
                    .find(|rule| rule.prefix_list.as_ref().is_none_or(|list| permits(list, everything)));
                if hit.is_some_and(|rule| rule.permit) {
                    all.push(Finding::error(
                        "default-route-passes",
                        &router.name,
                        format!("the route map `{}` lets the default route `{everything}` through", map.name),
                        "permit the cluster's own ranges only",
                    ));
                }
            }
        }
    }
}

/// Nodes that refuse everything they are told, because their own AS is in each path.
fn loops(network: &Network<'_>, prediction: &Prediction<'_>, all: &mut Vec<Finding>) {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for node in &network.spec.nodes {
        // One of each site: they are told the same.
        if !seen.insert(&node.site) {
            continue;
        }
        let table = prediction.table(&node.name);
        // What it announces itself comes back, and is refused rightly.
        let foreign = |route: &&Route| route.paths.iter().all(|path| path.from.is_some());
        let routes = table.iter().flat_map(|table| &table.routes).filter(foreign);
        let told: Vec<&Path> = routes.flat_map(|route| &route.paths).collect();
        let loops = |path: &&&Path| {
            path.verdict == Verdict::Refused
                && path.rule.as_deref().is_some_and(|rule| rule.starts_with("loop"))
        };
        let of_others = told.iter().filter(loops).count();
        if of_others > 0 && of_others == told.len() {
            all.push(Finding::warning(
                "refused-as-loop",
                &node.site,
                format!("nodes such as `{}` refuse all {of_others} routes of their router: their own AS is in the paths", node.name),
                "`as-override` on the router lets them in; without, every packet between two nodes crosses the router",
            ));
        }
    }
}

/// Peers of nodes without a filter against handing on what was learned.
fn guards(spec: &NetworkSpec, all: &mut Vec<Finding>) {
    let of = |kind: &'static str| spec.calico.iter().filter(move |resource| resource["kind"] == kind);
    let guarding: BTreeSet<&str> = of("BGPFilter")
        .filter(|filter| {
            ["exportV4", "exportV6"].iter().any(|key| {
                let first = filter["spec"][key].as_array().and_then(|rules| rules.first());
                first.is_some_and(|rule| rule["source"] == "RemotePeers" && rule["action"] == "Reject")
            })
        })
        .filter_map(|filter| filter["metadata"]["name"].as_str())
        .collect();
    let known: BTreeSet<&str> =
        of("BGPFilter").filter_map(|filter| filter["metadata"]["name"].as_str()).collect();
    for peer in of("BGPPeer") {
        let name = peer["metadata"]["name"].as_str().unwrap_or_default();
        let filters = peer["spec"]["filters"].as_array();
        let filters: Vec<&str> = filters.into_iter().flatten().filter_map(|filter| filter.as_str()).collect();
        for absent in filters.iter().filter(|filter| !known.contains(*filter)) {
            all.push(Finding::error(
                "undefined-filter",
                name,
                format!("its filter `{absent}` does not exist"),
                "define the BGPFilter, or name one that exists",
            ));
        }
        if !filters.iter().any(|filter| guarding.contains(filter)) {
            all.push(Finding::warning(
                "no-transit-guard",
                name,
                "nodes with this peer may hand on what they learned: a node can become a transit, and announce addresses of services that it does not run".to_owned(),
                "add a BGPFilter with `{source: RemotePeers, action: Reject}` to its `filters`",
            ));
        }
    }
}

/// Sessions that do not come up although nothing is down.
fn sessions(network: &Network<'_>, prediction: &Prediction<'_>, all: &mut Vec<Finding>) {
    for (number, session) in network.sessions().iter().enumerate() {
        // What a scenario takes down is no finding.
        let too_many =
            prediction.session_down(number).filter(|why| matches!(why, crate::Why::TooMany { .. }));
        if let Some(why) = session.fault.as_ref().or(too_many) {
            let [a, b] = session.ends.map(|end| network.name(end.machine));
            all.push(Finding::error(
                "session-down",
                a,
                format!("its session with `{b}` ({}) does not come up: {why}", session.ends[1].address),
                "make both ends agree",
            ));
        }
    }
}

fn restless(prediction: &Prediction<'_>, all: &mut Vec<Finding>) {
    let prefixes: Vec<String> = prediction.restless().iter().map(ToString::to_string).collect();
    if !prefixes.is_empty() {
        all.push(Finding::error(
            "no-rest",
            "routers",
            format!(
                "they never agree on {}: each choice changes another",
                some(prefixes.iter().map(String::as_str))
            ),
            "do not let filters prefer a router's route over a shorter one in a circle (RFC 4264)",
        ));
    }
}

/// Routes to services: who announces them, and whether a site's own come first.
fn services(network: &Network<'_>, ground: &Ground, prediction: &Prediction<'_>, all: &mut Vec<Finding>) {
    let ranges: Vec<IpNet> = service_ranges(network.spec);
    let singles = ground.services.iter().map(|service| (IpNet::from(service.address), Some(service)));
    let wanted: Vec<_> = ranges.into_iter().map(|net| (net, None)).chain(singles).collect();
    let is_node = |name: &str| matches!(network.machine(name), Some(Machine::Node(_)));
    for router in &network.spec.routers {
        for (net, service) in &wanted {
            let Some(route) = prediction.route(&router.name, *net) else { continue };
            let accepted = || route.paths.iter().filter(|path| path.verdict != Verdict::Refused);
            if let Some(service) = service {
                let foreign: Vec<&str> = accepted()
                    .filter_map(|path| path.from.as_deref())
                    .filter(|from| is_node(from) && !service.nodes.iter().any(|node| node == from))
                    .collect();
                if !foreign.is_empty() {
                    all.push(Finding::error(
                        "foreign-service",
                        &router.name,
                        format!(
                            "{} announce `{}` of `{}` and run no pod of it",
                            some(foreign),
                            service.address,
                            service.name
                        ),
                        "nodes must not hand on what they learned: add the guard to their peers",
                    ));
                }
            }
            let best = route.paths.iter().find(|path| path.verdict == Verdict::Best);
            let best = best.and_then(|path| path.from.as_deref());
            let local = accepted().find_map(|path| path.from.as_deref().filter(|from| is_node(from)));
            if let (Some(best), Some(local)) = (best, local)
                && !is_node(best)
            {
                all.push(Finding::warning(
                    "remote-before-local",
                    &router.name,
                    format!("it sends `{net}` to `{best}`, although `{local}` of its own site announces it"),
                    "do not prefer other sites by local preference",
                ));
            }
        }
    }
}

/// Addresses of a node on its segment; none of a router.
pub(crate) fn own_addresses(spec: &NetworkSpec, machine: Machine) -> impl Iterator<Item = IpAddr> {
    let node = match machine {
        Machine::Node(n) => spec.nodes.get(n),
        Machine::Router(_) => None,
    };
    let texts = node.into_iter().flat_map(|node| &node.addresses);
    texts.filter_map(|text| text.split_once('/')?.0.parse().ok())
}

/// The ranges whose addresses nodes announce for services.
pub fn service_ranges(spec: &NetworkSpec) -> Vec<IpNet> {
    ranges(spec, &["serviceClusterIPs", "serviceExternalIPs", "serviceLoadBalancerIPs"])
}

/// The ranges in these lists of Calico's `BGPConfiguration`.
pub(crate) fn ranges(spec: &NetworkSpec, lists: &[&str]) -> Vec<IpNet> {
    let settings = spec.calico.iter().filter(|resource| resource["kind"] == "BGPConfiguration");
    let lists = settings.flat_map(|resource| lists.iter().map(|key| &resource["spec"][key]));
    let ranges = lists.filter_map(|list| list.as_array()).flatten();
    ranges.filter_map(|range| range["cidr"].as_str()?.parse().ok()).collect()
}
