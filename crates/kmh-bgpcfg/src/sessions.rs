//! Who speaks BGP with whom: one session for each pair and family, IPv4 routes over IPv4, IPv6 over IPv6.

use kmh_doc::network::{Outage, PeerKind, Session};
use kmh_model::{Model, Router, Site};

use crate::PlanError;
use crate::ground::asn;
use crate::policy::{Direction, map_name, maximum_prefix};
use crate::ranges::{Family, address_of};

/// Seconds between keepalives, and until a silent peer is given up. Calico's BIRD sets no hold time, so the router's
/// holds (RFC 4271, 4.2: the smaller one). 1 and 3 are reported to be unstable with it.
const KEEPALIVE: u16 = 3;
const HOLD: u16 = 9;
/// BFD between routers (RFC 5880): three lost packets of one a second. Calico's BIRD has none.
const BFD_MS: u16 = 1000;

/// All sessions of a router: nodes by name, then routers by name.
pub(crate) fn sessions(model: &Model, site: &Site, router: &Router) -> Result<Vec<Session>, PlanError> {
    let mut sessions = Vec::new();
    for node in model.nodes_of(site.name.as_str()) {
        for family in Family::ALL {
            let (Some(local), Some(peer)) =
                (address_of(&router.addresses, family), address_of(&node.addresses, family))
            else {
                continue;
            };
            sessions.push(Session {
                with: PeerKind::Node,
                peer: node.name.to_string(),
                tunnel: None,
                local_address: local,
                peer_address: peer,
                peer_asn: model.node_asn,
                as_override: true,
                keep_next_hop: family == Family::V6,
                keepalive: KEEPALIVE,
                hold: HOLD,
                bfd_ms: None,
                dynamic: false,
                next_hop_self: false,
                route_reflector_client: false,
                password: None,
                restart: model.bgp.timers.nodes.restart,
                outage: Outage { silent_ms: [6000, 9000], closed_ms: [0, 30_000] },
                import: map_name(PeerKind::Node, Direction::In, family),
                export: map_name(PeerKind::Node, Direction::Out, family),
                maximum_prefix: maximum_prefix(model, site, PeerKind::Node, family),
            });
        }
    }
    let mut between = Vec::new();
    for tunnel in &model.tunnels {
        let Some(ours) = tunnel.ends.iter().position(|end| end.router == router.name) else { continue };
        let (local, remote) = (&tunnel.ends[ours], &tunnel.ends[1 - ours]);
        let peer = model
            .router(remote.router.as_str())
            .ok_or_else(|| PlanError::NoSuchRouter(remote.router.to_string()))?;
        for family in Family::ALL {
            let (Some(local), Some(remote)) =
                (address_of(&local.addresses, family), address_of(&remote.addresses, family))
            else {
                continue;
            };
            between.push(Session {
                with: PeerKind::Router,
                peer: peer.name.to_string(),
                tunnel: Some(tunnel.name()),
                local_address: local,
                peer_address: remote,
                peer_asn: asn(peer)?,
                as_override: false,
                keep_next_hop: false,
                keepalive: KEEPALIVE,
                hold: HOLD,
                bfd_ms: Some(BFD_MS),
                dynamic: false,
                next_hop_self: false,
                route_reflector_client: false,
                password: None,
                restart: 0,
                outage: Outage { silent_ms: [2000, 3000], closed_ms: [0, 0] },
                import: map_name(PeerKind::Router, Direction::In, family),
                export: map_name(PeerKind::Router, Direction::Out, family),
                maximum_prefix: maximum_prefix(model, site, PeerKind::Router, family),
            });
        }
    }
    between.sort_by(|a, b| (&a.peer, a.peer_address.is_ipv6()).cmp(&(&b.peer, b.peer_address.is_ipv6())));
    sessions.extend(between);
    Ok(sessions)
}
