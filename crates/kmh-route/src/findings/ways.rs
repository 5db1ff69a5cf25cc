//! Ways of packets that do not arrive, or not as they should.
//!
//! They are tried from one node of each site, and to each node, so that the cost grows with the nodes and not with
//! their pairs: the nodes of a site differ in what they announce, not in what they can reach.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use kmh_doc::network::{Finding, FindingLevel};

use super::{own_addresses, some};
use crate::forward::{End, Way, way};
use crate::ground::Ground;
use crate::network::{Machine, Network};
use crate::predict::Prediction;

/// What is wrong with ways of the same kind between the same two sites.
type Troubles = BTreeMap<(&'static str, FindingLevel, String, &'static str), BTreeSet<String>>;

/// Ways between sites, and to each node.
pub(super) fn ways(
    network: &Network<'_>,
    ground: &Ground,
    prediction: &Prediction<'_>,
    all: &mut Vec<Finding>,
) {
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
        all.push(Finding::new(level, id, &subject, format!("{first}{more}"), hint));
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
