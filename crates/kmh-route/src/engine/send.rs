//! What a speaker sends.
//!
//! FRR: `subgroup_announce_check()` in `bgpd/bgp_route.c`, `bgp_packet_attribute()` in `bgp_attr.c`. It also sends a route
//! back to whom it is from. BIRD 2: `bgp_preexport()`, `bgp_update_attrs()`, `bgp_use_next_hop()` in
//! `proto/bgp/attrs.c`.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::attrs::{Attrs, Change, LOCAL_PREF, Memo, Reflected, Source, link};
use crate::network::{Daemon, End, Network, NodeSide, RouterSide, Session, Side, Speaker};
use crate::policy::Decision;

/// `LOCAL_PREF` of every route that Calico 3.32 and later send to a peer of their own AS: 2147483647 less the metric.
/// Older ones send 100; the routers' own policy replaces either.
const CALICO_LOCAL_PREF: u32 = 2_147_482_623;

/// A route that may be sent over a session.
#[derive(Clone, Copy)]
pub(crate) struct Sending<'a> {
    /// The session, and the sender's end of it.
    pub(crate) over: (u32, usize),
    pub(crate) source: &'a Source,
    pub(crate) attrs: &'a Attrs,
    pub(crate) net: IpNet,
    /// Numbers of the rules that match it.
    pub(crate) rules: &'a [u32],
    /// Whether no other peer of the speaker's is on that network and gets the same: FRR counts the update group without
    /// the sender when it looks for third-party next hops.
    pub(crate) alone: bool,
    /// The sender's blocks, when it is a node.
    pub(crate) blocks: &'a [IpNet],
}

/// One side of a session.
#[derive(Clone, Copy)]
struct At<'a> {
    network: &'a Network<'a>,
    speaker: &'a Speaker,
    session: &'a Session,
    end: &'a End,
    peer: &'a End,
}

impl Sending<'_> {
    /// Whether it would go back where it is from.
    fn is_back(&self) -> bool {
        self.source.session == Some(self.over.0)
    }

    /// Whether it goes from iBGP to iBGP.
    fn is_reflected(&self, external: bool) -> bool {
        !self.source.is_own() && !self.source.external && !external
    }

    /// Route reflection (RFC 4456): from a client to everybody, from others to clients only.
    fn may_reflect(&self, side: &RouterSide) -> bool {
        !self.is_reflected(side.external) || self.source.client || side.client
    }
}

/// What is sent, if anything.
pub(crate) fn export(network: &Network<'_>, sending: &Sending<'_>, memo: &mut Memo) -> Option<Attrs> {
    let (number, own) = sending.over;
    let (session, sides) = network.session(number)?;
    let end = session.ends.get(own)?;
    let peer = session.ends.get(1 - own)?;
    let speaker = network.speaker(end.machine)?;
    let at = At { network, speaker, session, end, peer };
    match (sides.get(own)?, speaker.daemon) {
        (Side::Router(side), Daemon::Frr) => frr(at, side, sending, memo),
        (Side::Router(side), _) => bird(at, side, sending, memo),
        (Side::Node(side), _) => calico(at, *side, sending),
        (Side::Missing, _) => None,
    }
}

/// What a node announces of its own over a session.
pub(crate) fn announce(side: NodeSide, end: &End) -> Attrs {
    Attrs {
        path: if side.external { Arc::from([end.asn]) } else { Arc::from([]) },
        next_hop: end.address,
        local_pref: (!side.external).then_some(CALICO_LOCAL_PREF),
        med: None,
        reflected: None,
    }
}

/// The marks of a reflector, over those that are there.
fn reflect(attrs: &Attrs, speaker: &Speaker, source: &Source) -> Arc<Reflected> {
    let before = attrs.reflected.as_deref();
    let clusters = before.map_or(&[][..], |reflected| &reflected.clusters);
    Arc::new(Reflected {
        originator: before.map_or(source.id, |reflected| reflected.originator),
        clusters: std::iter::once(speaker.id).chain(clusters.iter().copied()).collect(),
    })
}

fn frr(at: At<'_>, side: &RouterSide, sending: &Sending<'_>, memo: &mut Memo) -> Option<Attrs> {
    let (source, attrs) = (sending.source, sending.attrs);
    if !sending.may_reflect(side) {
        return None;
    }
    let reflected = sending.is_reflected(side.external);
    let transparent = source.keep && side.keep;
    let mut sent = attrs.clone();
    if side.external {
        sent.med = sent.med.filter(|_| source.is_own() || transparent);
    } else {
        sent.local_pref.get_or_insert(LOCAL_PREF);
    }
    match at.network.policies.apply(side.export, side.external, sending.rules, &attrs.path) {
        Decision::Deny(_) => return None,
        // A route reflector changes nothing (RFC 4456, 10), and FRR keeps to it.
        Decision::Permit(..) if reflected => sent.reflected = Some(reflect(attrs, at.speaker, source)),
        Decision::Permit(_, set) => {
            sent.local_pref = set.local_pref.or(sent.local_pref);
            sent.med = set.med.or(sent.med);
        }
    }
    let next_hop_self = if source.is_own() {
        true
    } else if transparent {
        false
    } else if side.next_hop_self {
        !reflected
    } else {
        side.external && ((sending.is_back() && sending.alone) || !shares(at, sent.next_hop))
    };
    if next_hop_self {
        sent.next_hop = at.end.address;
    }
    if side.external {
        let over = side.as_override.then_some(at.peer.asn);
        let change = Change { own: at.end.asn, over, keep: side.keep };
        sent.path = memo.path(&attrs.path, change, |change, path| {
            let path = path.iter().map(|asn| if change.over == Some(*asn) { change.own } else { *asn });
            (!change.keep).then_some(change.own).into_iter().chain(path).collect()
        });
        sent.local_pref = None;
        sent.reflected = None;
    }
    Some(sent)
}

/// Whether a next hop is on the same connected network as the peer: then it is sent on as it is.
fn shares(at: At<'_>, next_hop: IpAddr) -> bool {
    let over = link(at.session);
    let mut near = at.speaker.connected.iter().filter(|(_, link)| *link == over);
    near.any(|(net, _)| net.contains(&next_hop) && net.contains(&at.peer.address))
}

fn bird(at: At<'_>, side: &RouterSide, sending: &Sending<'_>, memo: &mut Memo) -> Option<Attrs> {
    let (source, attrs) = (sending.source, sending.attrs);
    if sending.is_back() || !sending.may_reflect(side) {
        return None;
    }
    let decision = at.network.policies.apply(side.export, side.external, sending.rules, &attrs.path);
    let Decision::Permit(_, set) = decision else { return None };
    let mut sent = attrs.clone();
    if side.external {
        // Passed on only where the export filter sets it, or to a client of a route server.
        sent.med = set.med.or(sent.med.filter(|_| side.keep));
        sent.local_pref = None;
        let over = side.as_override.then_some(at.peer.asn);
        let change = Change { own: at.end.asn, over, keep: side.keep };
        sent.path = memo.path(&attrs.path, change, overridden);
    } else {
        sent.med = set.med.or(sent.med);
        sent.local_pref = set.local_pref.or(sent.local_pref).or(Some(LOCAL_PREF));
    }
    let replaced = source.is_own() || (side.next_hop_self && source.external);
    let kept = side.keep || !side.external || source.link == link(at.session);
    if replaced || !kept {
        sent.next_hop = at.end.address;
    }
    sent.reflected = sending.is_reflected(side.external).then(|| reflect(attrs, at.speaker, source));
    Some(sent)
}

/// In place of `as-override`, which BIRD does not have, the rendered filter takes the peer's AS out of the path and puts
/// the router's in front.
fn overridden(change: Change, path: &[u32]) -> Arc<[u32]> {
    let others: Vec<u32> = path.iter().copied().filter(|asn| change.over != Some(*asn)).collect();
    let instead = (others.len() != path.len()).then_some(change.own);
    (!change.keep).then_some(change.own).into_iter().chain(instead).chain(others).collect()
}

/// What a node sends that hands on what it learned, where no filter keeps it from it.
fn calico(at: At<'_>, side: NodeSide, sending: &Sending<'_>) -> Option<Attrs> {
    let learned = !sending.source.is_own();
    if sending.is_back() || sending.is_reflected(side.external) {
        return None;
    }
    let peer = at.network.calico.peers.get(side.peer as usize)?;
    if !at.network.calico.exports(peer, sending.blocks, sending.net, learned, side.external) {
        return None;
    }
    if !learned {
        return Some(announce(side, at.end));
    }
    // Its own address as next hop leads nowhere, and BIRD announces nothing unreachable.
    if at.speaker.addresses.contains(&sending.attrs.next_hop) {
        return None;
    }
    let mut sent = sending.attrs.clone();
    sent.reflected = None;
    if side.external {
        sent.path = std::iter::once(at.end.asn).chain(sent.path.iter().copied()).collect();
        sent.med = None;
        sent.local_pref = None;
        // Calico's sessions are multihop ones: no next hop of a third party.
        if !peer.keep_next_hop {
            sent.next_hop = at.end.address;
        }
    } else {
        sent.local_pref = Some(CALICO_LOCAL_PREF);
    }
    Some(sent)
}
