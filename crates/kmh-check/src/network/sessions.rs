//! Whether both ends of every BGP session say the same about it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use kmh_doc::network::{NetworkSpec, NodePlan, PeerKind, RouterPlan, Session};

use super::REPLAN;
use crate::findings::Findings;

/// `network.sessions`: every session has its other end, with the right addresses and AS numbers.
pub(crate) fn sessions(network: &NetworkSpec, out: &mut Findings<'_>) {
    let routers: BTreeMap<&str, &RouterPlan> = network.routers.iter().map(|r| (r.name.as_str(), r)).collect();
    let nodes: BTreeMap<&str, &NodePlan> = network.nodes.iter().map(|n| (n.name.as_str(), n)).collect();
    let peers: BTreeMap<&str, BTreeSet<(&str, IpAddr)>> = network
        .nodes
        .iter()
        .map(|n| (n.name.as_str(), n.peers.iter().map(|p| (p.router.as_str(), p.address)).collect()))
        .collect();
    let mut to_nodes: BTreeSet<(&str, &str, IpAddr)> = BTreeSet::new();
    let mut ends: BTreeMap<End<'_>, &Session> = BTreeMap::new();
    for router in &network.routers {
        for session in &router.sessions {
            let end = (router.name.as_str(), session.local_address, session.peer_address);
            if ends.insert(end, session).is_some() {
                let message = format!("two sessions with {}", session.peer_address);
                out.critical(&router.name, message, REPLAN);
            }
            // Of every router, chosen or not: a chosen node is looked for in it.
            if session.with == PeerKind::Node {
                to_nodes.insert((&router.name, &session.peer, session.local_address));
            }
        }
    }
    for router in &network.routers {
        if !out.look_at(&router.name) {
            continue;
        }
        for session in &router.sessions {
            let subject = format!("{} -> {}", router.name, session.peer);
            timers(&subject, session, out);
            match session.with {
                PeerKind::Node => {
                    with_node(&subject, router, session, nodes.get(session.peer.as_str()), &peers, out);
                }
                PeerKind::Sibling | PeerKind::Router => {
                    with_router(&subject, router, session, routers.get(session.peer.as_str()), &ends, out);
                }
            }
        }
    }
    callers(network, out);
    for node in &network.nodes {
        if !out.look_at(&node.name) {
            continue;
        }
        if node.peers.is_empty() {
            out.critical(&node.name, "it peers with no router, so nobody learns where its pods are", REPLAN);
        }
        for peer in &node.peers {
            let subject = format!("{} -> {}", node.name, peer.router);
            match routers.get(peer.router.as_str()) {
                None => out.critical(&subject, "the plan does not have this router", REPLAN),
                Some(router) if router.asn != peer.asn => {
                    let message =
                        format!("the node expects AS {}, the router is AS {}", peer.asn, router.asn);
                    out.critical(&subject, message, REPLAN);
                }
                Some(_) if !to_nodes.contains(&(&peer.router, &node.name, peer.address)) => {
                    out.critical(
                        &subject,
                        format!("the router does not know this node at {}", peer.address),
                        REPLAN,
                    );
                }
                Some(_) => {}
            }
        }
    }
}

/// A session with a caller is what the range that it calls from says.
fn callers(network: &NetworkSpec, out: &mut Findings<'_>) {
    for router in &network.routers {
        if !out.look_at(&router.name) {
            continue;
        }
        for session in router.sessions.iter().filter(|session| session.dynamic) {
            let subject = format!("{} -> {}", router.name, session.peer);
            let Some(listen) =
                router.listen.iter().find(|listen| listen.range.net().contains(&session.peer_address))
            else {
                let message = format!("nobody waits for calls from {}", session.peer_address);
                out.critical(&subject, message, REPLAN);
                continue;
            };
            if let Some(asn) = listen.peer_asn.filter(|asn| *asn != session.peer_asn) {
                let message = format!(
                    "the node is AS {}, callers from {} are AS {asn}",
                    session.peer_asn, listen.range
                );
                out.critical(&subject, message, REPLAN);
            }
            let like = Session {
                peer: session.peer.clone(),
                peer_address: session.peer_address,
                peer_asn: session.peer_asn,
                ..listen.like.clone()
            };
            if like != *session {
                let message = format!("it is not what callers from {} get", listen.range);
                out.critical(&subject, message, REPLAN);
            }
        }
    }
}

type End<'a> = (&'a str, IpAddr, IpAddr);

fn timers(subject: &str, session: &Session, out: &mut Findings<'_>) {
    // RFC 4271, 4.2: a hold time is zero or at least three seconds; 4.4: a third of it is the keepalive interval.
    if session.hold != 0 && (session.hold < 3 || session.keepalive.saturating_mul(3) > session.hold) {
        let message = format!(
            "its keepalive of {} s does not fit its hold time of {} s",
            session.keepalive, session.hold
        );
        out.critical(
            subject,
            message,
            "set the keepalive to a third of the hold time, and that to at least 3 s",
        );
    }
    if session.maximum_prefix == 0 {
        out.critical(subject, "it ends with the first prefix (maximum-prefix 0)", REPLAN);
    }
    if session.local_address == session.peer_address {
        out.critical(subject, format!("both its ends are {}", session.local_address), REPLAN);
    }
}

fn with_node(
    subject: &str,
    router: &RouterPlan,
    session: &Session,
    node: Option<&&NodePlan>,
    peers: &BTreeMap<&str, BTreeSet<(&str, IpAddr)>>,
    out: &mut Findings<'_>,
) {
    let Some(node) = node else {
        out.critical(subject, "the plan does not have this node", REPLAN);
        return;
    };
    if node.site != router.site {
        out.critical(
            subject,
            "the node is in another site: nodes peer with their own site's routers only",
            REPLAN,
        );
    }
    if node.asn != session.peer_asn {
        out.critical(
            subject,
            format!("the router expects AS {}, the node is AS {}", session.peer_asn, node.asn),
            REPLAN,
        );
    }
    if !has_address(&node.addresses, session.peer_address) {
        out.critical(subject, format!("the node does not have the address {}", session.peer_address), REPLAN);
    }
    if !has_address(&router.addresses, session.local_address) {
        out.critical(
            subject,
            format!("the router does not have the address {}", session.local_address),
            REPLAN,
        );
    }
    let known =
        peers.get(session.peer.as_str()).is_some_and(|p| p.contains(&(&router.name, session.local_address)));
    if !known {
        out.critical(
            subject,
            format!("the node does not peer with the router at {}", session.local_address),
            REPLAN,
        );
    }
}

fn with_router(
    subject: &str,
    router: &RouterPlan,
    session: &Session,
    peer: Option<&&RouterPlan>,
    ends: &BTreeMap<End<'_>, &Session>,
    out: &mut Findings<'_>,
) {
    let Some(peer) = peer else {
        out.critical(subject, "the plan does not have this router", REPLAN);
        return;
    };
    if peer.asn != session.peer_asn {
        out.critical(
            subject,
            format!("it expects AS {}, the router is AS {}", session.peer_asn, peer.asn),
            REPLAN,
        );
    }
    let sibling = session.with == PeerKind::Sibling;
    if sibling != (peer.site == router.site) {
        let message = "routers of a site speak with each other on their segment, others through tunnels";
        out.critical(subject, message, REPLAN);
    }
    if sibling && (session.tunnel.is_some() || !has_address(&router.addresses, session.local_address)) {
        let message = format!("{} is not its address on the node segment", session.local_address);
        out.critical(subject, message, REPLAN);
    }
    let Some(other) = ends.get(&(&session.peer, session.peer_address, session.local_address)) else {
        let (from, to) = (session.peer_address, session.local_address);
        out.critical(subject, format!("the other end has no session from {from} to {to}"), REPLAN);
        return;
    };
    if other.peer != router.name || other.tunnel != session.tunnel {
        out.critical(subject, "the other end has it with another router or over another tunnel", REPLAN);
    }
    if other.password != session.password {
        out.critical(subject, "both ends have different passwords, or only one has one", REPLAN);
    }
    if other.bfd_ms.is_some() != session.bfd_ms.is_some() {
        out.critical(subject, "only one end uses BFD, so it never comes up there", REPLAN);
    }
}

fn has_address(addresses: &[String], address: IpAddr) -> bool {
    addresses.iter().filter_map(|a| a.parse::<ipnet::IpNet>().ok()).any(|net| net.addr() == address)
}
