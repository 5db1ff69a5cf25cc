//! What a speaker takes.
//!
//! FRR: `bgp_update()` in `bgpd/bgp_route.c`. BIRD 2: `bgp_decode_attrs()` in `proto/bgp/attrs.c`, `bgp_apply_next_hop()` in
//! `packets.c`.

use ipnet::IpNet;

use super::attrs::{Attrs, LOCAL_PREF, Refusal, Rule};
use crate::network::{Daemon, End, Network, Side, Speaker};
use crate::policy::Decision;

/// What a speaker makes of a route that it is sent over a session, at its end of it.
pub(crate) fn import(
    network: &Network<'_>,
    (number, own): (u32, usize),
    sent: Attrs,
    (net, rules): (IpNet, &[u32]),
) -> Result<(Attrs, Rule), (Attrs, Refusal)> {
    let found = network.session(number).and_then(|(session, sides)| {
        let (end, peer) = (session.ends.get(own)?, session.ends.get(1 - own)?);
        Some((sides.get(own)?, end, peer, network.speaker(end.machine)?))
    });
    let Some((side, end, peer, speaker)) = found else { return Err((sent, Refusal::Filter)) };
    if let Some(refusal) = loops(network, side, end, speaker, &sent) {
        return Err((sent, refusal));
    }
    let mut taken = sent;
    match side {
        Side::Router(side) => {
            // FRR asks an iBGP peer's next hop to be found in the routing table only, where the default route is.
            let anywhere = !side.external && speaker.daemon == Daemon::Frr;
            let is_own = speaker.addresses.contains(&taken.next_hop);
            if taken.next_hop != peer.address && (is_own || !(anywhere || speaker.is_near(taken.next_hop))) {
                return Err((taken, Refusal::NextHop));
            }
            match network.policies.apply(side.import, side.external, rules, &taken.path) {
                Decision::Deny(ruling) => Err((taken, Refusal::Policy(ruling))),
                Decision::Permit(ruling, set) => {
                    if speaker.daemon == Daemon::Bird {
                        taken.local_pref.get_or_insert(LOCAL_PREF);
                    }
                    taken.local_pref = set.local_pref.or(taken.local_pref);
                    taken.med = set.med.or(taken.med);
                    Ok((taken, Some(ruling)))
                }
            }
        }
        Side::Node(side) => {
            let peer = network.calico.peers.get(side.peer as usize);
            if peer.is_some_and(|peer| !network.calico.imports(peer, net, side.external)) {
                return Err((taken, Refusal::Filter));
            }
            taken.local_pref.get_or_insert(LOCAL_PREF);
            Ok((taken, None))
        }
        Side::Missing => Err((taken, Refusal::Filter)),
    }
}

/// Loops, by AS path (RFC 4271, 9.1.2) and by what reflectors add (RFC 4456, 8).
fn loops(network: &Network<'_>, side: &Side, end: &End, speaker: &Speaker, sent: &Attrs) -> Option<Refusal> {
    let allowed = match side {
        Side::Node(side) => network.calico.peers.get(side.peer as usize).map_or(0, |peer| peer.allow_local),
        Side::Router(_) | Side::Missing => 0,
    };
    if sent.path.iter().filter(|asn| **asn == end.asn).count() > allowed as usize {
        return Some(Refusal::Loop);
    }
    let reflected = sent.reflected.as_deref()?;
    if reflected.originator == speaker.id {
        return Some(Refusal::Originator);
    }
    reflected.clusters.contains(&speaker.id).then_some(Refusal::Cluster)
}
