//! What routers' packet filters keep from the routers themselves: BGP, BFD, IKE and ESP. Routes are predicted as if all of
//! them passed; what follows when they do not is a session or a tunnel that never comes up.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use kmh_doc::network::{Finding, NetworkSpec, PeerKind, RouterPlan, Session, Tunnel, TunnelEnd, Zone};

use super::some;

/// BGP's port (RFC 4271, 8.2.1).
const BGP: u16 = 179;
/// BFD's over one hop (RFC 5881, 4).
const BFD: u16 = 3784;
/// IKE's (RFC 7296, 2), and IKE's and ESP's behind NAT (RFC 3948).
const IKE: [u16; 2] = [500, 4500];

pub(super) fn doors(spec: &NetworkSpec, all: &mut Vec<Finding>) {
    let routers: BTreeMap<&str, &RouterPlan> =
        spec.routers.iter().map(|router| (router.name.as_str(), router)).collect();
    for router in &spec.routers {
        sessions(router, &routers, all);
    }
    for tunnel in &spec.tunnels {
        tunnel_ends(tunnel, &routers, all);
    }
}

fn sessions(router: &RouterPlan, routers: &BTreeMap<&str, &RouterPlan>, all: &mut Vec<Finding>) {
    let mut closed: BTreeSet<&str> = BTreeSet::new();
    let mut one_way: BTreeSet<&str> = BTreeSet::new();
    let mut deaf: BTreeSet<&str> = BTreeSet::new();
    let mut alone: BTreeSet<&str> = BTreeSet::new();
    for session in &router.sessions {
        let zone = if session.tunnel.is_some() { Zone::Tunnel } else { Zone::Nodes };
        let peer = match session.with {
            PeerKind::Node => None,
            PeerKind::Router | PeerKind::Sibling => routers.get(session.peer.as_str()),
        };
        if !lets_in(router, &zone, "tcp", Some(BGP), Some(session.peer_address), session.local_address) {
            // Either end may call. A node's filter is not the plan's; whoever is known by a range only is not called.
            let other = match peer {
                Some(peer) => {
                    lets_in(peer, &zone, "tcp", Some(BGP), Some(session.local_address), session.peer_address)
                }
                None => !session.dynamic && session.with == PeerKind::Node,
            };
            if other {
                one_way.insert(&session.peer)
            } else {
                closed.insert(&session.peer)
            };
        }
        if session.bfd_ms.is_none() {
            continue;
        }
        if !lets_in(router, &zone, "udp", Some(BFD), Some(session.peer_address), session.local_address) {
            deaf.insert(&session.peer);
        }
        let is_other_end = |one: &&Session| {
            one.peer_address == session.local_address && one.local_address == session.peer_address
        };
        if peer
            .and_then(|peer| peer.sessions.iter().find(is_other_end))
            .is_some_and(|one| one.bfd_ms.is_none())
        {
            alone.insert(&session.peer);
        }
    }
    let mut add = |peers: BTreeSet<&str>, build: &dyn Fn(String) -> Finding| {
        if !peers.is_empty() {
            all.push(build(some(peers)));
        }
    };
    let name = &router.name;
    add(closed, &|peers| {
        Finding::error(
            "bgp-filtered",
            name,
            format!(
                "the packet filters let no BGP through between it and {peers}: the session does not come up"
            ),
            "let TCP 179 in from the peer's address",
        )
    });
    add(one_way, &|peers| {
        Finding::warning(
            "bgp-filtered",
            name,
            format!(
                "its packet filter lets no BGP in from {peers}: the session waits until this router calls"
            ),
            "let TCP 179 in from the peer's address",
        )
    });
    add(deaf, &|peers| {
        Finding::warning(
            "bfd-filtered",
            name,
            format!(
                "its packet filter lets no BFD in from {peers}: a silent line is noticed by the hold time only"
            ),
            "let UDP 3784 in from the peer's address",
        )
    });
    add(alone, &|peers| {
        Finding::warning(
            "bfd-one-sided",
            name,
            format!(
                "it speaks BFD with {peers}, and gets no answer: a silent line is noticed by the hold time only"
            ),
            "set `bfd_ms` at both ends, or at none",
        )
    });
}

fn tunnel_ends(tunnel: &Tunnel, routers: &BTreeMap<&str, &RouterPlan>, all: &mut Vec<Finding>) {
    let [a, b] = &tunnel.ends;
    let ways = [(a, b), (b, a)];
    let admits = |from: &TunnelEnd, to: &TunnelEnd, protocol: &str, port: Option<u16>| {
        let address = |end: &TunnelEnd| end.remote_address.as_ref().and_then(|text| text.parse().ok());
        let own = to.local_address.or_else(|| address(to));
        let own = own.unwrap_or(IpAddr::from([0, 0, 0, 0]));
        let router = routers.get(to.router.as_str());
        router.is_some_and(|router| lets_in(router, &Zone::Wan, protocol, port, address(from), own))
    };
    let opens = |(from, to): &(&TunnelEnd, &TunnelEnd)| {
        from.initiates && IKE.iter().all(|port| admits(from, to, "udp", Some(*port)))
    };
    if !ways.iter().any(opens) {
        let message = match ways.iter().find(|(from, _)| from.initiates) {
            Some((_, to)) => {
                format!("the packet filter of `{}` lets no IKE in: the tunnel does not come up", to.router)
            }
            None => "neither end initiates: the tunnel does not come up".to_owned(),
        };
        all.push(Finding::error(
            "ike-filtered",
            &tunnel.name,
            message,
            "let UDP 500 and 4500 in at the end that is called",
        ));
    }
    for (from, to) in ways.iter().filter(|(from, to)| !tunnel.nat_t && !admits(from, to, "esp", None)) {
        all.push(Finding::warning(
            "esp-filtered",
            &tunnel.name,
            format!("the packet filter of `{}` lets no ESP in from `{}`", to.router, from.router),
            "let ESP in from the other end's address",
        ));
    }
}

/// Whether a router's packet filter lets something in that is for the router itself. Of an address that nobody knows in
/// advance only a rule for everybody is sure.
fn lets_in(
    router: &RouterPlan,
    zone: &Zone,
    protocol: &str,
    port: Option<u16>,
    from: Option<IpAddr>,
    own: IpAddr,
) -> bool {
    let inside = |nets: &[kmh_doc::Cidr], ip: IpAddr| nets.iter().any(|net| IpNet::contains(&net.net(), &ip));
    router.firewall.iter().any(|rule| {
        rule.zone == *zone
            && (rule.protocol == protocol || rule.protocol == "any")
            && port.is_none_or(|port| rule.ports.is_empty() || rule.ports.contains(&port))
            && (rule.from.is_empty() || from.is_some_and(|from| inside(&rule.from, from)))
            && (rule.to.is_empty() || inside(&rule.to, own) && !inside(&rule.except, own))
    })
}
