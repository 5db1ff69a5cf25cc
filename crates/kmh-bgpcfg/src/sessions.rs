//! Who speaks BGP with whom: one session for each pair, way and family, IPv4 routes over IPv4, IPv6 over IPv6.

use std::net::IpAddr;

use kmh_doc::inventory::{Layout, NodePeers};
use kmh_doc::network::{Listen, Outage, PeerKind, Session};
use kmh_doc::{Asn, Cidr};
use kmh_model::{Model, Router, Site};

use crate::PlanError;
use crate::ground::{Index, asn, node_asn};
use crate::policy::{Direction, map_name, maximum_prefix};
use crate::ranges::{Family, address_of, of_family};

/// How a layout treats nodes.
struct Manners {
    layout: Layout,
    /// Whether nodes are in their router's own AS.
    internal: bool,
    /// Whether nodes take each other's routes for loops, because all have one AS, unless the router rewrites the path.
    overriding: bool,
}

const MANNERS: &[Manners] = &[
    Manners { layout: Layout::A, internal: false, overriding: true },
    Manners { layout: Layout::B, internal: true, overriding: false },
    Manners { layout: Layout::D, internal: false, overriding: false },
];

/// The two addresses of a session.
#[derive(Clone, Copy)]
struct Ends {
    family: Family,
    local: IpAddr,
    peer: IpAddr,
}

/// The addresses of each family that both have.
fn ends<'a>(local: &'a [IpAddr], peer: &'a [IpAddr]) -> impl Iterator<Item = Ends> + 'a {
    Family::ALL.into_iter().filter_map(|family| {
        Some(Ends { family, local: address_of(local, family)?, peer: address_of(peer, family)? })
    })
}

/// All sessions of a router: with nodes, with the site's other routers, with routers of other sites; each by name.
pub(crate) fn sessions(index: &Index<'_>, site: &Site, router: &Router) -> Result<Vec<Session>, PlanError> {
    let model = index.model;
    let has_siblings = index.siblings(router).next().is_some();
    let mut sessions = Vec::new();
    for node in index.nodes_of(site.name.as_str()) {
        for ends in ends(&router.addresses, &node.addresses) {
            sessions.push(with_node(model, site, (node.name.as_str(), node_asn(node)?), ends, has_siblings));
        }
    }
    let mut siblings: Vec<&Router> = index.siblings(router).collect();
    siblings.sort_by(|a, b| a.name.cmp(&b.name));
    for sibling in siblings {
        for ends in ends(&router.addresses, &sibling.addresses) {
            sessions.push(with_router(model, site, (PeerKind::Sibling, sibling), ends, None)?);
        }
    }
    let mut between = Vec::new();
    for own in index.tunnels_of(router.name.as_str()) {
        let (local, remote) = (&own.tunnel.ends[own.end], &own.tunnel.ends[1 - own.end]);
        let peer = index.router(remote.router.as_str())?;
        for ends in ends(&local.addresses, &remote.addresses) {
            let session = with_router(model, site, (PeerKind::Router, peer), ends, Some(own.tunnel))?;
            between.push((ends.family, own.tunnel.index, session));
        }
    }
    between.sort_by(|(v, i, a), (w, j, b)| (&a.peer, v, i).cmp(&(&b.peer, w, j)));
    sessions.extend(between.into_iter().map(|(.., session)| session));
    Ok(sessions)
}

/// The ranges from which nodes may call, when routers do not know them one by one.
pub(crate) fn listen(index: &Index<'_>, site: &Site, router: &Router) -> Result<Vec<Listen>, PlanError> {
    let model = index.model;
    if model.bgp.node_peers != NodePeers::Listen {
        return Ok(Vec::new());
    }
    let has_siblings = index.siblings(router).next().is_some();
    let mut all = Vec::new();
    for family in Family::ALL {
        let Some(local) = address_of(&router.addresses, family) else { continue };
        for net in of_family(&site.networks, family) {
            let common = match model.bgp.layout {
                Layout::A => Some(model.node_asn),
                Layout::B => Some(asn(router)?),
                Layout::D => None,
            };
            let ends = Ends { family, local, peer: net.network() };
            let like = with_node(model, site, ("", common.unwrap_or(model.node_asn)), ends, has_siblings);
            all.push(Listen { range: Cidr::new(net), peer_asn: common, like });
        }
    }
    Ok(all)
}

fn with_node(model: &Model, site: &Site, node: (&str, Asn), ends: Ends, has_siblings: bool) -> Session {
    let (bgp, timers) = (&model.bgp, model.bgp.timers.nodes);
    let manners = MANNERS.iter().find(|manners| manners.layout == bgp.layout);
    let internal = manners.is_some_and(|manners| manners.internal);
    Session {
        with: PeerKind::Node,
        peer: node.0.to_owned(),
        dynamic: bgp.node_peers == NodePeers::Listen,
        tunnel: None,
        local_address: ends.local,
        peer_address: ends.peer,
        peer_asn: node.1,
        as_override: bgp.direct_routes && manners.is_some_and(|manners| manners.overriding),
        keep_next_hop: bgp.direct_routes && !internal && ends.family == Family::V6,
        // A reflector changes no next hop of what it reflects: nodes still send to each other directly.
        next_hop_self: internal,
        // Nodes hear of each other, and the other router of nodes that only this one reaches.
        route_reflector_client: internal && (bgp.direct_routes || has_siblings),
        password: password(model, site),
        keepalive: timers.keepalive,
        hold: timers.hold,
        bfd_ms: None,
        restart: timers.restart,
        outage: Outage {
            // Calico before v3.32 can be told no interval: it is a third of the hold time then.
            silent_ms: held(timers.hold, timers.hold),
            // The kernel of a node says when its BIRD is gone; with graceful restart its routes stay nevertheless.
            closed_ms: [0, u32::from(timers.restart) * 1000],
        },
        import: map_name(PeerKind::Node, Direction::In, ends.family, 0),
        export: map_name(PeerKind::Node, Direction::Out, ends.family, 0),
        maximum_prefix: maximum_prefix(model, site, PeerKind::Node, ends.family),
    }
}

fn with_router(
    model: &Model,
    site: &Site,
    (with, peer): (PeerKind, &Router),
    ends: Ends,
    tunnel: Option<&kmh_model::Tunnel>,
) -> Result<Session, PlanError> {
    let timers = model.bgp.timers.routers;
    let bfd_ms = Some(timers.bfd_ms).filter(|ms| *ms > 0);
    let silent_ms = match bfd_ms {
        // RFC 5880, 6.8.4: three intervals after the last packet, which was sent up to one before the end.
        Some(ms) => [2 * u32::from(ms), 3 * u32::from(ms)],
        None => held(timers.hold, timers.keepalive),
    };
    let rank = tunnel.map_or(0, |tunnel| tunnel.rank);
    Ok(Session {
        with,
        peer: peer.name.to_string(),
        dynamic: false,
        tunnel: tunnel.map(kmh_model::Tunnel::name),
        local_address: ends.local,
        peer_address: ends.peer,
        peer_asn: asn(peer)?,
        as_override: false,
        keep_next_hop: false,
        // The other router of the site knows nothing of this one's tunnels.
        next_hop_self: with == PeerKind::Sibling,
        route_reflector_client: false,
        password: match tunnel {
            None => password(model, site),
            Some(tunnel) => tunnel.signs_bgp(model).then(|| format!("keys/bgp-tunnel/{}", tunnel.name())),
        },
        keepalive: timers.keepalive,
        hold: timers.hold,
        bfd_ms,
        restart: 0,
        outage: Outage { silent_ms, closed_ms: [0, 0] },
        import: map_name(with, Direction::In, ends.family, rank),
        export: map_name(with, Direction::Out, ends.family, 0),
        maximum_prefix: maximum_prefix(model, site, with, ends.family),
    })
}

/// From and to, until the hold time of a silent peer is over: its last word was up to one interval before the end, which
/// is no more than a third of the hold time with any speaker.
fn held(hold: u16, interval: u16) -> [u32; 2] {
    let ms = |seconds: u16| u32::from(seconds) * 1000;
    [ms(hold) - ms(interval.min(hold / 3)), ms(hold)]
}

/// One key a site, for all sessions on its node segment. What leaves a tunnel was authenticated by IPsec already.
fn password(model: &Model, site: &Site) -> Option<String> {
    model.bgp.passwords.then(|| format!("keys/bgp/{}", site.name))
}
