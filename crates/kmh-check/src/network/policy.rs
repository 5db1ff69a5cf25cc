//! What the sessions of a router let through, asked by example: routes that must pass and routes that must not, made
//! from the inventory. A filter may be written in many ways; what it does is what counts.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use kmh_doc::inventory::Layout;
use kmh_doc::network::{NetworkSpec, PeerKind, RouteMap, RouterPlan};
use kmh_model::{Model, Site};
use kmh_route::filter::{matches_path, matches_prefix};

use super::REPLAN;
use super::filters::all_sessions;
use super::pools::block_length;
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

/// What a route map is for: with whom, from there or to there, and in which family.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Use {
    with: PeerKind,
    inbound: bool,
    v6: bool,
}

/// An AS that is nobody's here (RFC 5398: for documentation).
const FOREIGN: u32 = 64_496;

/// `network.policy`: each route map lets pass what the site needs, and nothing else; nodes learn each other's blocks.
pub(crate) fn policy(model: &Model, network: &NetworkSpec, out: &mut Findings<'_>) {
    let ranks: BTreeMap<&str, u8> = network.tunnels.iter().map(|t| (t.name.as_str(), t.rank)).collect();
    for router in &network.routers {
        let Some(site) = model.sites.get(router.site.as_str()).filter(|_| out.look_at(&router.name)) else {
            continue;
        };
        // Many sessions share a map; each is asked once.
        let mut maps: BTreeMap<(&str, Use), u32> = BTreeMap::new();
        for session in all_sessions(router) {
            for (name, inbound) in [(&session.import, true), (&session.export, false)] {
                let v6 = session.peer_address.is_ipv6();
                maps.entry((name, Use { with: session.with, inbound, v6 })).or_insert(session.peer_asn.get());
            }
        }
        for ((name, way), peer) in maps {
            // One that is not defined is `network.filters`' to report.
            let Some(map) = router.route_maps.iter().find(|map| map.name == name) else { continue };
            let examples = examples(model, site, way, peer);
            let whom = match way.with {
                PeerKind::Node => "nodes",
                PeerKind::Router => "routers",
                PeerKind::Sibling => "the site's other router",
            };
            let direction = if way.inbound { "from" } else { "to" };
            for (wanted, list) in [(true, &examples.pass), (false, &examples.stop)] {
                if let Some(wrong) = list.iter().find(|one| passes(router, map, one) != wanted) {
                    let does = if wanted { "stops" } else { "lets pass" };
                    let message = format!(
                        "route map `{name}`, {direction} {whom}, {does} {}, {}",
                        wrong.what, wrong.net
                    );
                    out.critical(&router.name, message, REPLAN);
                }
            }
            preferences(model, router, map, way, out);
        }
        manners(model, router, out);
        ranked(router, &ranks, out);
    }
}

/// What sessions do with routes beside filtering them, by the layout of AS numbers.
fn manners(model: &Model, router: &RouterPlan, out: &mut Findings<'_>) {
    let (layout, direct) = (model.bgp.layout, model.bgp.direct_routes);
    let siblings = router.sessions.iter().any(|session| session.with == PeerKind::Sibling);
    let mut wrong: BTreeSet<(&str, &str)> = BTreeSet::new();
    for session in all_sessions(router) {
        let (node, sibling) = (session.with == PeerKind::Node, session.with == PeerKind::Sibling);
        for (is, must, message) in [
            (
                session.as_override,
                node && direct && layout == Layout::A,
                "`as_override` belongs to sessions with nodes that share an AS number, to all of them and to no other: without it nodes have no direct routes",
            ),
            (
                session.route_reflector_client,
                node && layout == Layout::B && (direct || siblings),
                "`route_reflector_client` belongs to sessions with nodes in the router's own AS, and to no other: without it nodes have no direct routes",
            ),
            (
                session.next_hop_self,
                sibling || (node && layout == Layout::B),
                "`next_hop_self` belongs to sessions inside the router's own AS, and to no other: without it the next hop is a tunnel's address, which nobody else knows",
            ),
            (
                session.keep_next_hop,
                node && direct && layout != Layout::B && session.peer_address.is_ipv6(),
                "`keep_next_hop` belongs to IPv6 sessions with nodes in another AS, and to no other: without it nodes send to each other through the router",
            ),
        ] {
            if is != must {
                wrong.insert((session.peer.as_str(), message));
            }
        }
    }
    for (peer, message) in wrong {
        out.critical(&format!("{} -> {peer}", router.name), message, REPLAN);
    }
}

/// What maps change on routes: nothing but what the layout needs.
fn preferences(model: &Model, router: &RouterPlan, map: &RouteMap, way: Use, out: &mut Findings<'_>) {
    let from_own_nodes = model.bgp.layout == Layout::B && way.with == PeerKind::Node && way.inbound;
    for rule in map.rules.iter().filter(|rule| rule.permit) {
        let complaint = match (rule.set.local_pref, from_own_nodes) {
            (Some(100), true) | (None, false) => None,
            // Calico from v3.32 on sends 2147482623 inside an AS, which beats everything.
            (_, true) => {
                Some("does not set the preference of nodes' routes to 100, so that Calico's own decides")
            }
            (Some(_), false) => Some("sets a local preference, which overrides the length of paths"),
        };
        if let Some(complaint) = complaint {
            out.critical(&router.name, format!("route map `{}` {complaint}", map.name), REPLAN);
            return;
        }
        if rule.set.med.is_some() && !(way.with == PeerKind::Router && way.inbound) {
            let message =
                format!("route map `{}` sets a MED, which only routes out of a tunnel have", map.name);
            out.critical(&router.name, message, REPLAN);
            return;
        }
    }
}

/// Of two tunnels to a site the one with the lower rank is preferred, the same from both ends: or packets and answers go
/// different ways, and firewalls stop them.
fn ranked(router: &RouterPlan, ranks: &BTreeMap<&str, u8>, out: &mut Findings<'_>) {
    let mut meds: BTreeMap<(u32, bool, u8), BTreeSet<u32>> = BTreeMap::new();
    for session in router.sessions.iter().filter(|session| session.with == PeerKind::Router) {
        let Some(rank) = session.tunnel.as_deref().and_then(|name| ranks.get(name)) else { continue };
        let Some(map) = router.route_maps.iter().find(|map| map.name == session.import) else { continue };
        let found = map.rules.iter().filter(|rule| rule.permit).map(|rule| rule.set.med.unwrap_or(0));
        let key = (session.peer_asn.get(), session.peer_address.is_ipv6(), *rank);
        meds.entry(key).or_default().extend(found);
    }
    let mut before: Option<((u32, bool), u32)> = None;
    for ((asn, v6, rank), meds) in &meds {
        let (Some(least), Some(most)) = (meds.first(), meds.last()) else { continue };
        let same = before.filter(|(peers, _)| *peers == (*asn, *v6)).map(|(_, med)| med);
        // Ten a rank: the other end knows only the rank, and must come to the same order.
        if same.is_some_and(|med| *least <= med) || least != most || *least != 10 * u32::from(*rank) {
            let message = format!(
                "routes out of tunnels of rank {rank} to AS {asn} have a MED of {least} to {most}, it must be {}",
                10 * u32::from(*rank)
            );
            out.critical(&router.name, message, REPLAN);
        }
        before = Some(((*asn, *v6), *most));
    }
}

fn examples(model: &Model, site: &Site, way: Use, peer: u32) -> Examples {
    match (way.with, way.inbound) {
        (PeerKind::Node, true) => from_node(model, site, way.v6, peer),
        (PeerKind::Node, false) => to_node(model, site, way.v6),
        (PeerKind::Router, true) => from_router(model, site, way.v6, peer),
        // The site's other router hears and says whatever either may say to others.
        (PeerKind::Router, false) | (PeerKind::Sibling, _) => to_router(model, site, way.v6),
    }
}

fn from_node(model: &Model, site: &Site, v6: bool, node: u32) -> Examples {
    // Inside an AS a route begins without a path.
    let own = if model.bgp.layout == Layout::B { Vec::new() } else { vec![node] };
    let handed: Vec<u32> = own.iter().copied().chain([FOREIGN]).collect();
    let mut examples = Examples::default();
    examples.pass.extend(blocks(model, site, v6, &own));
    examples.pass.extend(services(model, v6, &own));
    for one in blocks(model, site, v6, &handed) {
        examples.stop.push(Example { what: format!("what a node handed on, {}", one.what), ..one });
    }
    examples.stop.extend(pools(model, site, v6, &own));
    examples.stop.extend(segments(site, v6, &own, |_| true));
    for other in others(model, site) {
        examples.stop.extend(blocks(model, other, v6, &own));
        examples.stop.extend(segments(other, v6, &own, |_| true));
    }
    examples.stop.extend(nowhere(model, v6, &own));
    examples
}

fn to_node(model: &Model, site: &Site, v6: bool) -> Examples {
    let mut examples = Examples::default();
    let own = blocks(model, site, v6, &[]);
    if model.bgp.direct_routes { &mut examples.pass } else { &mut examples.stop }.extend(own);
    examples.stop.extend(services(model, v6, &[]));
    for one in model.sites.values() {
        examples.stop.extend(segments(one, v6, &[], |_| true));
    }
    for other in others(model, site) {
        examples.stop.extend(blocks(model, other, v6, &[]));
    }
    examples.stop.extend(nowhere(model, v6, &[]));
    examples
}

fn from_router(model: &Model, site: &Site, v6: bool, peer: u32) -> Examples {
    let path = vec![peer];
    let mut examples = Examples { pass: services(model, v6, &path), stop: blocks(model, site, v6, &path) };
    examples.stop.extend(segments(site, v6, &path, |_| true));
    for other in others(model, site) {
        examples.pass.extend(blocks(model, other, v6, &path));
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
        examples.pass.extend(blocks(model, one, v6, &[]));
        examples.pass.extend(segments(one, v6, &[], |open| open));
        examples.stop.extend(segments(one, v6, &[], |open| !open));
    }
    examples.stop.extend(pools(model, site, v6, &[]));
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

/// A block of a site's pool, and an address that a node borrowed.
fn blocks(model: &Model, site: &Site, v6: bool, path: &[u32]) -> Vec<Example> {
    let of = of(&site.pods, v6).flat_map(|pool| {
        [
            example(format!("a block of `{}`", site.name), first(pool, block_length(model, v6)), path),
            example(format!("a pod's address of `{}`", site.name), first(pool, pool.max_prefix_len()), path),
        ]
    });
    of.collect()
}

/// A site's whole pool, which nobody announces.
fn pools(model: &Model, site: &Site, v6: bool, path: &[u32]) -> Vec<Example> {
    let large = of(&site.pods, v6).filter(|pool| pool.prefix_len() < block_length(model, v6));
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
            list.is_some_and(|list| list.permit.iter().any(|entry| matches_prefix(entry, route.net)))
        });
        let path = rule.as_path.as_ref().is_none_or(|name| {
            let list = router.as_paths.iter().find(|list| list.name == *name);
            list.is_some_and(|list| matches_path(list.permit, &route.path))
        });
        list && path
    });
    matching.is_some_and(|rule| rule.permit)
}
