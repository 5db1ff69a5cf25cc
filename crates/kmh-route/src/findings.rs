//! What a person should know about the routes that follow: each finding with its place, its cause and a remedy.
//!
//! Ways are tried from one node of each site, and to each node, so that the cost grows with the nodes and not with
//! their pairs: the nodes of a site differ in what they announce, not in what they can reach.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use kmh_doc::inventory::Cipher;
use kmh_doc::network::{Finding, FindingLevel, NetworkSpec, RouterPlan, Tunnel};
use serde_json::Value;

use crate::filter::matches_prefix;
use crate::forward::{End, Way, way};
use crate::ground::Ground;
use crate::network::{Machine, Network};
use crate::predict::Prediction;
use crate::table::{Path, Route, Verdict};

mod doors;
mod rests;
#[cfg(test)]
mod tests;

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
    ways(network, ground, prediction, &mut all);
    rests::refused_blocks(network, ground, prediction, &mut all);
    services(network, ground, prediction, &mut all);
    all.sort_by(|a, b| {
        (b.level, &a.id, &a.subject, &a.message).cmp(&(a.level, &b.id, &b.subject, &b.message))
    });
    all.dedup();
    all
}

fn finding(level: FindingLevel, id: &str, subject: &str, message: String, hint: &str) -> Finding {
    Finding { id: id.to_owned(), level, subject: subject.to_owned(), message, hint: Some(hint.to_owned()) }
}

fn error(id: &str, subject: &str, message: String, hint: &str) -> Finding {
    finding(FindingLevel::Error, id, subject, message, hint)
}

fn warning(id: &str, subject: &str, message: String, hint: &str) -> Finding {
    finding(FindingLevel::Warning, id, subject, message, hint)
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
            all.push(error(
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
            all.push(error(
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
                all.push(error(
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
                all.push(error(
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
            all.push(error(
                "mtu-mismatch",
                &tunnel.name,
                format!("pods send packets of {} octets, and {} fit through it", spec.pod_mtu, tunnel.mtu),
                "give pods the MTU of the smallest tunnel",
            ));
        }
        let line = least_line(tunnel);
        if line > ETHERNET {
            all.push(finding(
                FindingLevel::Note,
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
            all.push(error(
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
                    all.push(error(
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
            all.push(warning(
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
            all.push(error(
                "undefined-filter",
                name,
                format!("its filter `{absent}` does not exist"),
                "define the BGPFilter, or name one that exists",
            ));
        }
        if !filters.iter().any(|filter| guarding.contains(filter)) {
            all.push(warning(
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
            all.push(error(
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
        all.push(error(
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

/// What is wrong with ways of the same kind between the same two sites.
type Troubles = BTreeMap<(&'static str, FindingLevel, String, &'static str), BTreeSet<String>>;

fn ways(network: &Network<'_>, ground: &Ground, prediction: &Prediction<'_>, all: &mut Vec<Finding>) {
    let nodes = network.spec.nodes.iter().enumerate();
    let living: Vec<(Machine, &str)> = nodes
        .map(|(n, node)| (Machine::Node(n), node.site.as_str()))
        .filter(|(machine, _)| prediction.is_alive(*machine))
        .collect();
    let mut firsts: BTreeMap<&str, Vec<Machine>> = BTreeMap::new();
    for (machine, site) in &living {
        let some = firsts.entry(site).or_default();
        // Two of a site, so that ways inside it are tried too.
        if some.len() < 2 {
            some.push(*machine);
        }
    }
    let mut pods: BTreeMap<&str, Vec<IpAddr>> = BTreeMap::new();
    for (block, node) in &ground.blocks {
        let list = pods.entry(node.as_str()).or_default();
        // One a family is enough: blocks of a node travel alike.
        if !list.iter().any(|ip| ip.is_ipv4() == block.addr().is_ipv4()) {
            list.push(inside(*block));
        }
    }
    let mut troubles = Troubles::new();
    for (to, site) in &living {
        let addresses = pods.get(network.name(*to)).into_iter().flatten().copied();
        for target in addresses.chain(own_addresses(network.spec, *to)) {
            let is_first = firsts.get(site).is_some_and(|list| list.first() == Some(to));
            for (from_site, list) in &firsts {
                let from = list.iter().copied().find(|from| from != to);
                let Some(from) = from.filter(|_| {
                    from_site == site || is_first || next_site(&firsts, site) == Some(*from_site)
                }) else {
                    continue;
                };
                let answers = pods.get(network.name(from)).into_iter().flatten().copied();
                let mut sources = answers.chain(own_addresses(network.spec, from));
                let Some(source) = sources.find(|ip| ip.is_ipv4() == target.is_ipv4()) else { continue };
                one_way(prediction, (from, source), (*to, target), &mut troubles);
            }
        }
    }
    for ((id, level, subject, hint), messages) in troubles {
        let count = messages.len();
        let more = if count > 1 { format!(", and {} more like this", count - 1) } else { String::new() };
        let first = messages.into_iter().next().unwrap_or_default();
        all.push(finding(level, id, &subject, format!("{first}{more}"), hint));
    }
}

/// The site behind this one, around.
fn next_site<'a>(firsts: &BTreeMap<&'a str, Vec<Machine>>, site: &str) -> Option<&'a str> {
    let after = firsts.range::<str, _>((std::ops::Bound::Excluded(site), std::ops::Bound::Unbounded)).next();
    after.or_else(|| firsts.iter().next()).map(|(name, _)| *name)
}

/// A pod's address in a block: not the first, which may stand for the network.
fn inside(block: IpNet) -> IpAddr {
    let offset = u32::from(block.prefix_len() < block.max_prefix_len());
    match block.addr() {
        IpAddr::V4(ip) => IpAddr::V4((u32::from(ip) + offset).into()),
        IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) + u128::from(offset)).into()),
    }
}

pub(crate) fn own_addresses(spec: &NetworkSpec, machine: Machine) -> impl Iterator<Item = IpAddr> {
    let node = match machine {
        Machine::Node(n) => spec.nodes.get(n),
        Machine::Router(_) => None,
    };
    let texts = node.into_iter().flat_map(|node| &node.addresses);
    texts.filter_map(|text| text.split_once('/')?.0.parse().ok())
}

fn one_way(
    prediction: &Prediction<'_>,
    (from, source): (Machine, IpAddr),
    (to, target): (Machine, IpAddr),
    troubles: &mut Troubles,
) {
    let network = prediction.network();
    let (a, b) = (network.name(from), network.name(to));
    let there = way(prediction, from, Some(source), target);
    let pair = format!("{} to {}", network.site(from), network.site(to));
    let mut add = |id, level, message: String, hint| {
        troubles.entry((id, level, pair.clone(), hint)).or_default().insert(message);
    };
    match there.end {
        End::Delivered(machine) if machine == to => {}
        End::Loop(at) => add(
            "loop",
            FindingLevel::Error,
            format!("packets from `{a}` to `{target}` on `{b}` go in a circle at `{}`", network.name(at)),
            "look at both routers' choices with `why`",
        ),
        End::Delivered(at) | End::Blackhole(at) => add(
            "blackhole",
            FindingLevel::Error,
            format!("packets from `{a}` to `{target}` on `{b}` end at `{}`", network.name(at)),
            "a route that is too wide, or a block that another has too: look with `why`",
        ),
        End::Filtered(at) => add(
            "filtered",
            FindingLevel::Error,
            format!(
                "the packet filter of `{}` drops packets from `{a}` to `{target}` on `{b}`",
                network.name(at)
            ),
            "let addresses of the cluster pass",
        ),
        End::Internet(at) | End::Lan(at) => add(
            "leak",
            FindingLevel::Error,
            format!("packets from `{a}` to `{target}` on `{b}` leave `{}` in clear text", network.name(at)),
            "the router needs an unreachable route for that range",
        ),
        End::Unreachable(at) | End::NoRoute(at) | End::NextIsDown(at) => add(
            "unreachable-pair",
            FindingLevel::Error,
            format!("`{a}` does not reach `{target}` on `{b}`: no route at `{}`", network.name(at)),
            "look with `why`; a tunnel, or a site in between, is missing",
        ),
    }
    let middle = there.hops.iter().skip(1).map(|hop| hop.machine).filter(|machine| *machine != to);
    if let Some(node) = middle.into_iter().find(|machine| matches!(machine, Machine::Node(_))) {
        add(
            "transit-node",
            FindingLevel::Error,
            format!("packets from `{a}` to `{target}` on `{b}` cross the node `{}`", network.name(node)),
            "nodes must not hand on what they learned: add the guard to their peers, and an AS-path filter to their router",
        );
    }
    // Chosen, or known already by its cause.
    let chosen = network.spec.findings.iter().any(|one| one.id == "hairpin");
    if network.site(from) == network.site(to) && there.end == End::Delivered(to) && !chosen {
        let routers: Vec<&str> = there.routers().map(|n| network.name(Machine::Router(n))).collect();
        if !routers.is_empty() {
            add(
                "hairpin",
                FindingLevel::Warning,
                format!("packets from `{a}` to `{target}` on `{b}` beside it cross {}", some(routers)),
                "let the router tell nodes the blocks of their own site: `as-override`, in one AS `route-reflector-client`",
            );
        }
    }
    if there.end == End::Delivered(to) && there.hops.iter().any(|hop| hop.keeps_connections) {
        let back = way(prediction, to, None, source);
        let halves = half_seen(&there, &back);
        if !halves.is_empty() && back.end == End::Delivered(from) {
            let names: Vec<&str> = halves.iter().map(|n| network.name(Machine::Router(*n))).collect();
            add(
                "asymmetric",
                FindingLevel::Warning,
                format!(
                    "of connections from `{a}` to `{b}`, {} sees one half, and keeps connections",
                    some(names)
                ),
                "let addresses of the cluster pass without keeping connections, or prefer the same way at both ends",
            );
        }
    }
}

/// Routers that keep connections and see a way only in one direction.
fn half_seen(there: &Way, back: &Way) -> Vec<usize> {
    let answers: BTreeSet<usize> = back.routers().collect();
    let keeping = there.hops.iter().filter(|hop| hop.keeps_connections).filter_map(|hop| match hop.machine {
        Machine::Router(n) => Some(n),
        Machine::Node(_) => None,
    });
    keeping.filter(|router| !answers.contains(router)).collect()
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
                    all.push(error(
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
                all.push(warning(
                    "remote-before-local",
                    &router.name,
                    format!("it sends `{net}` to `{best}`, although `{local}` of its own site announces it"),
                    "do not prefer other sites by local preference",
                ));
            }
        }
    }
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
