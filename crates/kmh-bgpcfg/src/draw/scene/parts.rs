//! The scene's parts out of the document's.

use std::collections::BTreeMap;

use ipnet::IpNet;
use kmh_doc::network::{NetworkSpec, PeerKind, Session, Tunnel};
use kmh_route::down::Down;
use serde_json::Value;

use super::{Link, Machine, Node, Over, Peering, Router, Site, Step};

/// Up to so many tunnels are shown whatever their rank.
const ALL_SHOWN: usize = 1500;

/// Every site that a machine is at, by name, with its networks and pools.
pub(super) fn sites<'a>(spec: &'a NetworkSpec, down: &Down) -> Vec<Site<'a>> {
    let mut found: BTreeMap<&'a str, Vec<IpNet>> = BTreeMap::new();
    let routers = spec.routers.iter().map(|router| (router.site.as_str(), &router.addresses));
    let nodes = spec.nodes.iter().map(|node| (node.site.as_str(), &node.addresses));
    for (site, addresses) in routers.chain(nodes) {
        let networks = found.entry(site).or_default();
        for address in addresses {
            let Ok(network) = address.parse::<IpNet>() else { continue };
            if !networks.contains(&network.trunc()) {
                networks.push(network.trunc());
            }
        }
    }
    let pools: Vec<(&str, IpNet)> = spec.calico.iter().filter_map(pool).collect();
    found
        .into_iter()
        .map(|(name, mut networks)| {
            networks.sort();
            let mut pods: Vec<IpNet> =
                pools.iter().filter(|(selector, _)| chooses(selector, name)).map(|(_, net)| *net).collect();
            pods.sort();
            Site {
                name,
                asns: Vec::new(),
                networks,
                pods,
                routers: Vec::new(),
                nodes: Vec::new(),
                shown: Vec::new(),
                down: down.sites.contains(name),
                on_path: false,
            }
        })
        .collect()
}

/// A pool that gives out addresses: its node selector and range.
fn pool(resource: &Value) -> Option<(&str, IpNet)> {
    let spec = &resource["spec"];
    if resource["kind"] != "IPPool" || spec["disabled"] == true {
        return None;
    }
    Some((spec["nodeSelector"].as_str()?, spec["cidr"].as_str()?.parse().ok()?))
}

/// Whether a selector that compares a label with a site's name, as this program writes it, means this site.
fn chooses(selector: &str, site: &str) -> bool {
    selector.split_once("==").is_some_and(|(_, value)| value.trim().trim_matches(['\'', '"']) == site)
}

/// Tunnels whose two ends exist, each pair's preferred one first; routers get to know their lines.
pub(super) fn tunnels<'a>(
    spec: &'a NetworkSpec,
    down: &Down,
    routers: &mut [Router<'a>],
    machines: &BTreeMap<&str, Machine>,
) -> Vec<Link<'a>> {
    let mut sessions: BTreeMap<&str, &'a Session> = BTreeMap::new();
    for session in spec.routers.iter().flat_map(|router| &router.sessions) {
        if let Some(tunnel) = &session.tunnel {
            sessions.entry(tunnel).or_insert(session);
        }
    }
    let mut links: Vec<Link<'a>> = Vec::new();
    let mut pairs: BTreeMap<[usize; 2], usize> = BTreeMap::new();
    let mut plans: Vec<&'a Tunnel> = spec.tunnels.iter().collect();
    plans.sort_by_key(|plan| plan.index); // a router's first line first
    for plan in plans {
        let [Some(Machine::Router(a)), Some(Machine::Router(b))] =
            plan.ends.each_ref().map(|end| machines.get(end.router.as_str()))
        else {
            continue;
        };
        let ends = [*a, *b];
        let mut dead = down.tunnels.contains(&plan.name);
        for (end, router) in plan.ends.iter().zip(ends) {
            let cut = down.uplinks.contains(&format!("{}/{}", end.router, end.uplink));
            dead |= cut || routers[router].down;
            let lines = &mut routers[router].lines;
            if !lines.iter().any(|(name, _)| *name == end.uplink) {
                lines.push((&end.uplink, cut));
            }
        }
        *pairs.entry(ends).or_default() += 1;
        let session = sessions.get(plan.name.as_str()).copied();
        links.push(Link { plan, ends, down: dead, parallel: false, session, shown: true, others: 0 });
    }
    for link in &mut links {
        link.parallel = pairs[&link.ends] > 1;
    }
    // The preferred first, so that a path takes it and a picture shows it on top when painted in reverse.
    links.sort_by_key(|link| (link.ends, link.plan.rank, link.plan.index));
    links
}

/// Sessions inside sites, those of all families as one.
pub(super) fn sessions<'a>(
    routers: &[Router<'a>],
    nodes: &[Node<'a>],
    machines: &BTreeMap<&str, Machine>,
) -> Vec<Peering<'a>> {
    let mut found: BTreeMap<(usize, Machine), Peering<'a>> = BTreeMap::new();
    for (i, router) in routers.iter().enumerate() {
        for session in router.plan.sessions.iter().filter(|session| session.with != PeerKind::Router) {
            let Some(&peer) = machines.get(session.peer.as_str()) else { continue };
            let dead = match peer {
                Machine::Router(j) => routers[j].down,
                Machine::Node(j) => nodes[j].down,
            };
            // One line for both ends' view.
            let key = match peer {
                Machine::Router(j) if j < i => (j, Machine::Router(i)),
                _ => (i, peer),
            };
            let peering = found.entry(key).or_insert_with(|| Peering {
                router: key.0,
                peer: key.1,
                session,
                families: [false; 2],
                down: dead || router.down,
            });
            peering.families[usize::from(session.peer_address.is_ipv6())] = true;
        }
    }
    found.into_values().collect()
}

/// The path's steps. Between routers it is the best tunnel that is up, when there is one.
pub(super) fn steps(
    path: &[String],
    machines: &BTreeMap<&str, Machine>,
    tunnels: &[Link<'_>],
    routers: &[Router<'_>],
) -> Vec<Step> {
    let machines: Vec<Machine> =
        path.iter().filter_map(|name| machines.get(name.as_str()).copied()).collect();
    let pairs = machines.iter().zip(machines.iter().skip(1)).filter(|(from, to)| from != to);
    pairs
        .map(|(&from, &to)| {
            let over = match (from, to) {
                (Machine::Router(a), Machine::Router(b)) if routers[a].site != routers[b].site => tunnels
                    .iter()
                    .enumerate()
                    .filter(|(_, link)| link.ends == [a, b] || link.ends == [b, a])
                    .min_by_key(|(_, link)| (link.down, link.plan.rank, link.plan.index))
                    .map_or(Over::Segment, |(i, _)| Over::Tunnel(i)),
                _ => Over::Segment,
            };
            Step { from, to, over }
        })
        .collect()
}

/// Of too many tunnels between each two sites only the preferred, the best that is up, and what the path takes.
pub(super) fn fold(tunnels: &mut [Link<'_>], routers: &[Router<'_>], steps: &[Step]) {
    if tunnels.len() <= ALL_SHOWN {
        return;
    }
    let mut pairs: BTreeMap<[usize; 2], Vec<usize>> = BTreeMap::new();
    for (i, link) in tunnels.iter().enumerate() {
        let mut sites = link.ends.map(|router| routers[router].site);
        sites.sort_unstable();
        pairs.entry(sites).or_default().push(i);
    }
    for mut all in pairs.into_values() {
        all.sort_by_key(|&i| (tunnels[i].plan.rank, i));
        let up = all.iter().find(|i| !tunnels[**i].down);
        let keep = [all.first().copied(), up.copied()];
        for &i in &all {
            tunnels[i].shown =
                keep.contains(&Some(i)) || steps.iter().any(|step| step.over == Over::Tunnel(i));
        }
        let left = all.iter().filter(|i| !tunnels[**i].shown).count();
        if let Some(first) = all.first() {
            tunnels[*first].others = left;
        }
    }
}

/// The one site that has an end of every tunnel; with three sites and more, since of two each would be it.
pub(super) fn hub(sites: usize, tunnels: &[Link<'_>], routers: &[Router<'_>]) -> Option<usize> {
    let ends = |link: &Link<'_>| link.ends.map(|router| routers[router].site);
    let mut candidates = ends(tunnels.first()?).to_vec();
    candidates.retain(|site| tunnels.iter().all(|link| ends(link).contains(site)));
    match candidates[..] {
        [hub] if sites > 2 => Some(hub),
        _ => None,
    }
}
