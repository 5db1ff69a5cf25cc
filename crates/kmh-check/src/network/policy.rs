//! What the sessions of a router let through, asked by example: routes that must pass and routes that must not, made
//! from the inventory. A filter may be written in many ways; what it does is what counts.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use kmh_doc::network::{NetworkSpec, PathRule, PeerKind, PrefixRule, RouteMap, RouterPlan};
use kmh_model::{Model, Site};

use super::REPLAN;
use crate::findings::Findings;

/// A route by way of example.
struct Example {
    what: String,
    net: IpNet,
    path: Vec<u32>,
}

/// Examples for one route map.
#[derive(Default)]
struct Examples {
    pass: Vec<Example>,
    stop: Vec<Example>,
}

/// `network.policy`: each route map lets pass what the site needs, and nothing else; nodes learn each other's blocks.
pub(crate) fn policy(model: &Model, network: &NetworkSpec, out: &mut Findings<'_>) {
    for router in &network.routers {
        let Some(site) = model.sites.get(router.site.as_str()).filter(|_| out.look_at(&router.name)) else {
            continue;
        };
        // Many sessions share a map; each is asked once.
        let mut maps: BTreeMap<(&str, bool, bool, bool), u32> = BTreeMap::new();
        for session in &router.sessions {
            let (node, v6) = (session.with == PeerKind::Node, session.peer_address.is_ipv6());
            for (name, inbound) in [(&session.import, true), (&session.export, false)] {
                maps.entry((name, node, inbound, v6)).or_insert(session.peer_asn.get());
            }
        }
        for ((name, node, inbound, v6), peer) in maps {
            // One that is not defined is `network.filters`' to report.
            let Some(map) = router.route_maps.iter().find(|map| map.name == name) else { continue };
            let examples = match (node, inbound) {
                (true, true) => from_node(model, site, v6, peer, router.asn.get()),
                (true, false) => to_node(model, site, v6),
                (false, true) => from_router(model, site, v6, peer),
                (false, false) => to_router(model, site, v6),
            };
            let whom = if node { "nodes" } else { "routers" };
            let way = if inbound { "from" } else { "to" };
            for (wanted, list) in [(true, &examples.pass), (false, &examples.stop)] {
                if let Some(wrong) = list.iter().find(|one| passes(router, map, one) != wanted) {
                    let does = if wanted { "stops" } else { "lets pass" };
                    let message =
                        format!("route map `{name}`, {way} {whom}, {does} {}, {}", wrong.what, wrong.net);
                    out.critical(&router.name, message, REPLAN);
                }
            }
        }
        overrides(router, out);
    }
}

/// All nodes have one AS number: without `as-override` a node refuses what another announced as a loop.
fn overrides(router: &RouterPlan, out: &mut Findings<'_>) {
    let wrong: BTreeSet<&str> = router
        .sessions
        .iter()
        .filter(|session| session.as_override != (session.with == PeerKind::Node))
        .map(|session| session.peer.as_str())
        .collect();
    for peer in wrong {
        let message = "`as_override` belongs to sessions with nodes, to all of them and to no other: without it nodes have no direct routes";
        out.critical(&format!("{} -> {peer}", router.name), message, REPLAN);
    }
}

fn from_node(model: &Model, site: &Site, v6: bool, node: u32, router: u32) -> Examples {
    let own = vec![node];
    let mut examples = Examples::default();
    examples.pass.extend(blocks(site, v6, &own));
    examples.pass.extend(services(model, v6, &own));
    for one in blocks(site, v6, &[node, router]) {
        examples.stop.push(Example { what: format!("what a node handed on, {}", one.what), ..one });
    }
    examples.stop.extend(pools(site, v6, &own));
    examples.stop.extend(segments(site, v6, &own, |_| true));
    for other in others(model, site) {
        examples.stop.extend(blocks(other, v6, &own));
        examples.stop.extend(segments(other, v6, &own, |_| true));
    }
    examples.stop.extend(nowhere(model, v6, &own));
    examples
}

fn to_node(model: &Model, site: &Site, v6: bool) -> Examples {
    let mut examples = Examples { pass: blocks(site, v6, &[]), stop: Vec::new() };
    examples.stop.extend(services(model, v6, &[]));
    for one in model.sites.values() {
        examples.stop.extend(segments(one, v6, &[], |_| true));
    }
    for other in others(model, site) {
        examples.stop.extend(blocks(other, v6, &[]));
    }
    examples.stop.extend(nowhere(model, v6, &[]));
    examples
}

fn from_router(model: &Model, site: &Site, v6: bool, peer: u32) -> Examples {
    let path = vec![peer];
    let mut examples = Examples { pass: services(model, v6, &path), stop: blocks(site, v6, &path) };
    examples.stop.extend(segments(site, v6, &path, |_| true));
    for other in others(model, site) {
        examples.pass.extend(blocks(other, v6, &path));
        examples.pass.extend(segments(other, v6, &path, |open| open));
        examples.stop.extend(segments(other, v6, &path, |open| !open));
    }
    examples.stop.extend(nowhere(model, v6, &path));
    examples
}

fn to_router(model: &Model, site: &Site, v6: bool) -> Examples {
    let mut examples = Examples { pass: services(model, v6, &[]), stop: nowhere(model, v6, &[]) };
    for one in model.sites.values() {
        // What other sites say to each other goes by this one when their own tunnel is cut.
        examples.pass.extend(blocks(one, v6, &[]));
        examples.pass.extend(segments(one, v6, &[], |open| open));
        examples.stop.extend(segments(one, v6, &[], |open| !open));
    }
    examples.stop.extend(pools(site, v6, &[]));
    examples
}

fn others<'a>(model: &'a Model, site: &'a Site) -> impl Iterator<Item = &'a Site> {
    model.sites.values().filter(|other| other.name != site.name)
}

fn is_v6(net: &IpNet) -> bool {
    matches!(net, IpNet::V6(_))
}

fn of(nets: &[IpNet], v6: bool) -> impl Iterator<Item = IpNet> {
    nets.iter().copied().filter(move |net| is_v6(net) == v6)
}

fn example(what: String, net: IpNet, path: &[u32]) -> Example {
    Example { what, net, path: path.to_vec() }
}

/// The first network of that length in `net`; `net` itself when it is no larger.
fn first(net: IpNet, length: u8) -> IpNet {
    IpNet::new(net.network(), length.max(net.prefix_len())).unwrap_or(net)
}

/// Length of Calico's blocks: 64 addresses.
fn block_length(v6: bool) -> u8 {
    if v6 { 122 } else { 26 }
}

/// A block of a site's pool, and an address that a node borrowed.
fn blocks(site: &Site, v6: bool, path: &[u32]) -> Vec<Example> {
    let of = of(&site.pods, v6).flat_map(|pool| {
        [
            example(format!("a block of `{}`", site.name), first(pool, block_length(v6)), path),
            example(format!("a pod's address of `{}`", site.name), first(pool, pool.max_prefix_len()), path),
        ]
    });
    of.collect()
}

/// A site's whole pool, which nobody announces.
fn pools(site: &Site, v6: bool, path: &[u32]) -> Vec<Example> {
    let large = of(&site.pods, v6).filter(|pool| pool.prefix_len() < block_length(v6));
    large.map(|pool| example(format!("the whole pool of `{}`", site.name), pool, path)).collect()
}

/// A site's segments that are chosen: those that may be reached from elsewhere are `true`.
fn segments(site: &Site, v6: bool, path: &[u32], chosen: fn(bool) -> bool) -> Vec<Example> {
    let nodes = of(&site.networks, v6)
        .filter(|_| chosen(true))
        .map(|net| example(format!("the node network of `{}`", site.name), net, path));
    let lans = site.lans.iter().filter(|lan| chosen(!lan.reach.is_empty())).flat_map(|lan| {
        let nets = lan.network.iter().map(|net| net.net()).filter(|net| is_v6(net) == v6);
        nets.map(|net| example(format!("the LAN `{}` of `{}`", lan.name, site.name), net, path))
    });
    nodes.chain(lans).collect()
}

/// Service and load-balancer ranges, and a single address of each.
fn services(model: &Model, v6: bool, path: &[u32]) -> Vec<Example> {
    let of = of(&model.services, v6).chain(of(&model.load_balancers, v6)).flat_map(|net| {
        [
            example("a service range".to_owned(), net, path),
            example("a service's address".to_owned(), first(net, net.max_prefix_len()), path),
        ]
    });
    of.collect()
}

/// What no session carries: everything, and the tunnels' own networks.
fn nowhere(model: &Model, v6: bool, path: &[u32]) -> Vec<Example> {
    let everything =
        if v6 { IpNet::V6(ipnet::Ipv6Net::default()) } else { IpNet::V4(ipnet::Ipv4Net::default()) };
    let tunnels = of(&model.tunnel_ranges, v6).flat_map(|range| {
        let one = if v6 { 64 } else { 30 };
        [
            example("the tunnel range".to_owned(), range, path),
            example("a tunnel's network".to_owned(), first(range, one), path),
        ]
    });
    [example("the default route".to_owned(), everything, path)].into_iter().chain(tunnels).collect()
}

/// Whether a route map lets the route pass, as FRR decides: the first rule that matches; nothing when none does.
fn passes(router: &RouterPlan, map: &RouteMap, route: &Example) -> bool {
    let matching = map.rules.iter().find(|rule| {
        let list = rule.prefix_list.as_ref().is_none_or(|name| {
            let list = router.prefix_lists.iter().find(|list| list.name == *name);
            list.is_some_and(|list| list.permit.iter().any(|entry| permits(entry, route.net)))
        });
        let path = rule.as_path.as_ref().is_none_or(|name| {
            let list = router.as_paths.iter().find(|list| list.name == *name);
            list.is_some_and(|list| match list.permit {
                PathRule::Only(asn) => !route.path.is_empty() && route.path.iter().all(|hop| *hop == asn.get()),
                PathRule::Empty => route.path.is_empty(),
                PathRule::Single => route.path.len() == 1,
            })
        });
        list && path
    });
    matching.is_some_and(|rule| rule.permit)
}

/// As FRR reads `permit PREFIX [ge N] [le N]`.
fn permits(rule: &PrefixRule, net: IpNet) -> bool {
    let own = rule.prefix.net();
    let longest = match (rule.ge, rule.le) {
        (None, None) => own.prefix_len(),
        (Some(_), None) => own.max_prefix_len(),
        (_, Some(le)) => le,
    };
    is_v6(&own) == is_v6(&net)
        && own.contains(&net)
        && (rule.ge.unwrap_or(own.prefix_len())..=longest).contains(&net.prefix_len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_of_one_number() {
        for (text, asn) in [
            ("^64512$", Some(64512)),
            ("^(64512)$", Some(64512)),
            ("^64512(_64512)*$", Some(64512)),
            ("^(64512)(_64512)*$", Some(64512)),
            ("^64512(_65010)*$", None),
            ("^64512", None),
            ("64512$", None),
            ("^64512.*$", None),
            (".*", None),
            ("", None),
        ] {
            assert_eq!(only(text), asn, "{text}");
        }
    }
}
