//! Both sides of every session, matched up by their addresses, and why some cannot come up.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};

use kmh_doc::network::Session as Written;

use super::{Link, Machine, Network};
use crate::policy::MapRef;

/// Why a session does not come up, or ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Why {
    /// One side has it, the other not.
    #[error("`{0}` knows nothing of it")]
    OneSided(String),
    /// Another AS number than the other expects.
    #[error("`{expects}` expects AS {expected}, `{other}` has AS {found}")]
    WrongAs {
        /// Who expects.
        expects: String,
        /// What.
        expected: u32,
        /// Of whom.
        other: String,
        /// What it says.
        found: u32,
    },
    /// A password on one side only, or two different ones.
    #[error("its two ends have different passwords")]
    Password,
    /// No network that both are connected to.
    #[error("`{0}` and `{1}` have no network in common")]
    NotConnected(String, String),
    /// Two speakers of one AS with the same router id (RFC 6286).
    #[error("both ends have the router id {0}")]
    SameId(Ipv4Addr),
    /// More prefixes than permitted.
    #[error("`{from}` sends `{to}` {count} prefixes, more than {limit}")]
    TooMany {
        /// Who sends.
        from: String,
        /// Who ends the session.
        to: String,
        /// How many.
        count: usize,
        /// How many were permitted.
        limit: u32,
    },
    /// A machine is down.
    #[error("`{0}` is down")]
    MachineDown(String),
    /// The tunnel is down.
    #[error("tunnel `{0}` is down")]
    TunnelDown(String),
}

/// One session, both sides.
#[derive(Clone, Debug)]
pub struct Session {
    /// Both ends: a router first, the lower one when both are.
    pub ends: [End; 2],
    /// Whether it carries IPv6.
    pub v6: bool,
    /// Its tunnel: place in the document.
    pub tunnel: Option<usize>,
    /// Why it cannot come up at all.
    pub fault: Option<Why>,
}

/// One end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Who.
    pub machine: Machine,
    /// Its address.
    pub address: IpAddr,
    /// Its AS number there.
    pub asn: u32,
    /// Its place in the router's `sessions`; none for a node, a caller out of a listen range, or a missing side.
    pub place: Option<usize>,
}

/// What one side of a session does.
#[derive(Clone, Debug)]
pub(crate) enum Side {
    Router(RouterSide),
    Node(NodeSide),
    /// That side has no such session.
    Missing,
}

/// A router's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RouterSide {
    pub(crate) external: bool,
    pub(crate) import: MapRef,
    pub(crate) export: MapRef,
    pub(crate) as_override: bool,
    pub(crate) keep: bool,
    pub(crate) next_hop_self: bool,
    pub(crate) client: bool,
    pub(crate) limit: u32,
}

/// A node's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NodeSide {
    pub(crate) external: bool,
    /// Its place among Calico's peers.
    pub(crate) peer: u32,
    /// Whether nothing learned leaves.
    pub(crate) guarded: bool,
}

/// Addresses of a session, from one side: own, peer.
type Pair = (IpAddr, IpAddr);

/// A router's side as it was found.
#[derive(Clone, Copy)]
struct RouterEnd<'s> {
    router: usize,
    place: Option<usize>,
    written: &'s Written,
}

/// Finds all sessions.
pub(super) fn join(network: &mut Network<'_>) {
    let spec = network.spec;
    let mut by_pair: HashMap<Pair, RouterEnd> = HashMap::new();
    for (router, plan) in spec.routers.iter().enumerate() {
        for (place, written) in plan.sessions.iter().enumerate() {
            let end = RouterEnd { router, place: Some(place), written };
            by_pair.entry((written.local_address, written.peer_address)).or_insert(end);
        }
    }
    let mut of_nodes: HashMap<Pair, (usize, u32)> = HashMap::new();
    for (number, peer) in network.calico.peers.iter().enumerate() {
        for node in &peer.nodes {
            let own = network.nodes.get(*node).and_then(|node| {
                node.addresses.iter().find(|own| own.is_ipv4() == peer.address.is_ipv4()).copied()
            });
            if let Some(own) = own {
                of_nodes
                    .entry((own, peer.address))
                    .or_insert((*node, u32::try_from(number).unwrap_or(u32::MAX)));
            }
        }
    }
    let mut done: BTreeSet<Pair> = BTreeSet::new();
    for (router, plan) in spec.routers.iter().enumerate() {
        for (place, written) in plan.sessions.iter().enumerate() {
            let pair = (written.local_address, written.peer_address);
            if by_pair.get(&pair).is_none_or(|end| end.router != router || end.place != Some(place)) {
                continue;
            }
            let end = RouterEnd { router, place: Some(place), written };
            let turned = (pair.1, pair.0);
            if let Some(other) = by_pair.get(&turned).copied().filter(|other| other.router != router) {
                if done.insert(pair) && done.insert(turned) {
                    between_routers(network, end, other);
                }
            } else if let Some((node, peer)) = of_nodes.remove(&turned) {
                with_node(network, end, pair, node, peer);
            } else {
                one_sided(network, end);
            }
        }
    }
    let mut left: Vec<(Pair, (usize, u32))> = of_nodes.into_iter().collect();
    left.sort_unstable_by_key(|(pair, (node, _))| (*node, *pair));
    for (pair, (node, peer)) in left {
        calling_node(network, pair, node, peer);
    }
    let mut transit: BTreeSet<usize> = BTreeSet::new();
    for (session, sides) in network.sessions.iter().zip(&network.sides) {
        if let (Machine::Node(node), [_, Side::Node(side)]) = (session.ends[1].machine, sides)
            && !side.guarded
            && session.fault.is_none()
        {
            transit.insert(node);
        }
    }
    network.transit = transit.into_iter().collect();
}

fn router_side(network: &Network<'_>, end: RouterEnd<'_>, peer_asn: u32) -> RouterSide {
    let own = network.routers.get(end.router).map_or(0, |router| router.asn);
    RouterSide {
        external: own != peer_asn,
        import: network.map(end.router, &end.written.import),
        export: network.map(end.router, &end.written.export),
        as_override: end.written.as_override,
        keep: end.written.keep_next_hop,
        next_hop_self: end.written.next_hop_self,
        client: end.written.route_reflector_client,
        limit: end.written.maximum_prefix,
    }
}

fn between_routers(network: &mut Network<'_>, one: RouterEnd<'_>, two: RouterEnd<'_>) {
    let (one, two) = if one.router <= two.router { (one, two) } else { (two, one) };
    let ends = [one, two].map(|end| End {
        machine: Machine::Router(end.router),
        address: end.written.local_address,
        asn: network.routers.get(end.router).map_or(0, |router| router.asn),
        place: end.place,
    });
    let tunnel = tunnel_of(network, one.written).or_else(|| tunnel_of(network, two.written));
    let expected = [(0, 1, one.written), (1, 0, two.written)];
    let fault = expected
        .iter()
        .find_map(|(own, other, written)| {
            wrong_as(network, &ends[*own], written.peer_asn.get(), &ends[*other])
        })
        .or_else(|| (one.written.password != two.written.password).then_some(Why::Password))
        .or_else(|| common(network, &ends, tunnel));
    let sides = [
        Side::Router(router_side(network, one, ends[1].asn)),
        Side::Router(router_side(network, two, ends[0].asn)),
    ];
    let v6 = ends[0].address.is_ipv6();
    network.push_session(Session { ends, v6, tunnel, fault }, sides);
}

fn with_node(network: &mut Network<'_>, router: RouterEnd<'_>, pair: Pair, node: usize, number: u32) {
    let Some(peer) = network.calico.peers.get(number as usize) else { return };
    let v6 = pair.0.is_ipv6();
    let own = End {
        machine: Machine::Router(router.router),
        address: pair.0,
        asn: network.routers.get(router.router).map_or(0, |router| router.asn),
        place: router.place,
    };
    let asn = peer.local_asn.or_else(|| network.nodes.get(node).map(|node| node.asn)).unwrap_or(0);
    let other = End { machine: Machine::Node(node), address: pair.1, asn, place: None };
    let password = match (&router.written.password, &peer.password) {
        (None, None) => true,
        (Some(key), Some(name)) => key.rsplit('/').next() == Some(name),
        _ => false,
    };
    let ends = [own, other];
    let fault = wrong_as(network, &own, router.written.peer_asn.get(), &other)
        .or_else(|| wrong_as(network, &other, peer.asn, &own))
        .or_else(|| (!password).then_some(Why::Password))
        .or_else(|| common(network, &ends, None));
    let node_side =
        NodeSide { external: asn != own.asn, peer: number, guarded: network.calico.is_guarded(peer, v6) };
    let sides = [Side::Router(router_side(network, router, asn)), Side::Node(node_side)];
    network.push_session(Session { ends, v6, tunnel: None, fault }, sides);
}

/// A router's session of which its peer knows nothing.
fn one_sided(network: &mut Network<'_>, end: RouterEnd<'_>) {
    let written = end.written;
    let machine = network.owner(written.peer_address).or_else(|| network.machine(&written.peer));
    let Some(machine) = machine else { return };
    let own = End {
        machine: Machine::Router(end.router),
        address: written.local_address,
        asn: network.routers.get(end.router).map_or(0, |router| router.asn),
        place: end.place,
    };
    let asn = written.peer_asn.get();
    let other = End { machine, address: written.peer_address, asn, place: None };
    let fault = Some(Why::OneSided(network.name(machine).to_owned()));
    let sides = [Side::Router(router_side(network, end, asn)), Side::Missing];
    let v6 = written.peer_address.is_ipv6();
    let tunnel = tunnel_of(network, written);
    network.push_session(Session { ends: [own, other], v6, tunnel, fault }, sides);
}

/// A node's session for which its router has no neighbour: it may listen for a range.
fn calling_node(network: &mut Network<'_>, (own, router_address): Pair, node: usize, number: u32) {
    let spec = network.spec;
    let Some(Machine::Router(router)) = network.owner(router_address) else { return };
    let range = spec
        .routers
        .get(router)
        .and_then(|plan| plan.listen.iter().find(|listen| listen.range.net().contains(&own)));
    if let Some(range) = range {
        let asn = network.nodes.get(node).map_or(0, |node| node.asn);
        if range.peer_asn.is_none_or(|wanted| wanted.get() == asn) {
            let written = &range.like;
            with_any_asn(
                network,
                RouterEnd { router, place: None, written },
                (router_address, own),
                node,
                number,
            );
            return;
        }
    }
    let name = spec.routers.get(router).map_or("", |plan| &plan.name);
    let ends = [
        End {
            machine: Machine::Router(router),
            address: router_address,
            asn: network.routers.get(router).map_or(0, |router| router.asn),
            place: None,
        },
        End {
            machine: Machine::Node(node),
            address: own,
            asn: network.nodes.get(node).map_or(0, |node| node.asn),
            place: None,
        },
    ];
    let fault = Some(Why::OneSided(name.to_owned()));
    let node_side = NodeSide { external: ends[0].asn != ends[1].asn, peer: number, guarded: true };
    let v6 = own.is_ipv6();
    network.push_session(Session { ends, v6, tunnel: None, fault }, [Side::Missing, Side::Node(node_side)]);
}

/// A caller out of a range has the AS number that it has.
fn with_any_asn(network: &mut Network<'_>, router: RouterEnd<'_>, pair: Pair, node: usize, number: u32) {
    with_node(network, router, pair, node, number);
    let Some(session) = network.sessions.last_mut() else { return };
    if let Some(Why::WrongAs { expects, .. }) = &session.fault
        && network.spec.routers.get(router.router).is_some_and(|plan| plan.name == *expects)
    {
        session.fault = None;
    }
}

fn tunnel_of(network: &Network<'_>, written: &Written) -> Option<usize> {
    network.tunnel(written.tunnel.as_deref()?)
}

fn wrong_as(network: &Network<'_>, expects: &End, expected: u32, other: &End) -> Option<Why> {
    (expected != other.asn).then(|| Why::WrongAs {
        expects: network.name(expects.machine).to_owned(),
        expected,
        other: network.name(other.machine).to_owned(),
        found: other.asn,
    })
}

/// What keeps two ends apart: no network in common, or inside one AS the same router id.
fn common(network: &Network<'_>, ends: &[End; 2], tunnel: Option<usize>) -> Option<Why> {
    let link = tunnel.and_then(|number| u32::try_from(number).ok()).map_or(Link::Segment, Link::Tunnel);
    let [one, two] = ends;
    let is_near = |own: &End, other: &End| {
        network.speaker(own.machine).is_some_and(|speaker| {
            speaker.addresses.contains(&own.address)
                && speaker.connected.iter().any(|(net, on)| *on == link && net.contains(&other.address))
        })
    };
    if !is_near(one, two) || !is_near(two, one) {
        let [one, two] = [one, two].map(|end| network.name(end.machine).to_owned());
        return Some(Why::NotConnected(one, two));
    }
    let [a, b] = [one, two].map(|end| network.speaker(end.machine).map(|speaker| speaker.id));
    (one.asn == two.asn && a == b).then(|| Why::SameId(Ipv4Addr::from(a.unwrap_or(0))))
}
