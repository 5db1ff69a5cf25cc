//! What a speaker sends, and what a speaker takes.
//!
//! FRR: `subgroup_announce_check()` and `bgp_update()` in `bgpd/bgp_route.c`, `bgp_packet_attribute()` in `bgp_attr.c`.
//! BIRD 2: `bgp_preexport()`, `bgp_update_attrs()`, `bgp_use_next_hop()` in `proto/bgp/attrs.c`, `bgp_apply_next_hop()`
//! in `packets.c`.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::network::{Daemon, End, Link, Network, NodeSide, RouterSide, Session, Side, Speaker};
use crate::policy::{Decision, Ruling};

/// LOCAL_PREF of every route that Calico 3.32 and later send to a peer of their own AS: 2147483647 less the metric.
const CALICO_LOCAL_PREF: u32 = 2_147_482_623;
/// LOCAL_PREF of what has none.
const LOCAL_PREF: u32 = 100;

/// Attributes of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attrs {
    pub(crate) path: Arc<[u32]>,
    pub(crate) next_hop: IpAddr,
    pub(crate) local_pref: Option<u32>,
    pub(crate) med: Option<u32>,
    /// What route reflectors added; almost nothing has it.
    pub(crate) reflected: Option<Arc<Reflected>>,
}

/// What route reflectors add (RFC 4456).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reflected {
    pub(crate) originator: u32,
    pub(crate) clusters: Vec<u32>,
}

/// The last path that a speaker made of another: it sends the same one to nearly everybody.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    from: Option<(Arc<[u32]>, u32, Option<u32>, bool)>,
    made: Option<Arc<[u32]>>,
}

impl Memo {
    /// The path with the speaker's AS in front, and in place of the peer's where asked for.
    fn path(
        &mut self,
        path: &Arc<[u32]>,
        (own, over, keep): (u32, Option<u32>, bool),
        make: impl Fn() -> Arc<[u32]>,
    ) -> Arc<[u32]> {
        if let (Some((from, by, of, kept)), Some(made)) = (&self.from, &self.made)
            && Arc::ptr_eq(from, path)
            && (*by, *of, *kept) == (own, over, keep)
        {
            return Arc::clone(made);
        }
        let made = make();
        self.from = Some((Arc::clone(path), own, over, keep));
        self.made = Some(Arc::clone(&made));
        made
    }
}

/// Where a speaker has a route from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    /// The session; none for the speaker's own.
    pub(crate) session: Option<u32>,
    /// Whether an eBGP peer sent it.
    pub(crate) external: bool,
    /// Whether the peer is a client of the speaker's (RFC 4456).
    pub(crate) client: bool,
    /// Whether the speaker is transparent towards that peer.
    pub(crate) keep: bool,
    /// The peer's router id.
    pub(crate) id: u32,
    /// The peer's AS number.
    pub(crate) asn: u32,
    /// The peer's address.
    pub(crate) address: Option<IpAddr>,
    pub(crate) link: Link,
}

impl Source {
    /// The speaker itself.
    pub(crate) const OWN: Self = Self {
        session: None,
        external: false,
        client: false,
        keep: false,
        id: 0,
        asn: 0,
        address: None,
        link: Link::Segment,
    };

    /// A session, seen from one end.
    pub(crate) fn of(network: &Network<'_>, number: u32, own: usize) -> Option<Self> {
        let (session, sides) = network.session(number)?;
        let peer = session.ends.get(1 - own)?;
        let (external, client, keep) = match sides.get(own)? {
            Side::Router(side) => (side.external, side.client, side.keep),
            Side::Node(side) => (side.external, false, false),
            Side::Missing => return None,
        };
        Some(Self {
            session: Some(number),
            external,
            client,
            keep,
            id: network.speaker(peer.machine)?.id,
            asn: peer.asn,
            address: Some(peer.address),
            link: link(session),
        })
    }

    /// Whether it is the speaker itself.
    pub(crate) fn is_own(&self) -> bool {
        self.session.is_none()
    }
}

/// Why a route was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The speaker's own AS is in the path.
    Loop,
    /// It began at the speaker.
    Originator,
    /// It passed the speaker's cluster.
    Cluster,
    /// The next hop is the speaker, or on no network of its own.
    NextHop,
    /// The policy.
    Policy(Ruling),
    /// A filter of Calico's.
    Filter,
}

/// What let a route in: a rule of a route map, or nothing in particular.
pub(crate) type Rule = Option<Ruling>;

pub(crate) fn link(session: &Session) -> Link {
    session.tunnel.and_then(|number| u32::try_from(number).ok()).map_or(Link::Segment, Link::Tunnel)
}

fn prepend(asn: u32, path: &[u32]) -> Arc<[u32]> {
    std::iter::once(asn).chain(path.iter().copied()).collect()
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

/// Adds a reflector's marks.
fn reflect(attrs: &Attrs, speaker: &Speaker, source: &Source) -> Option<Arc<Reflected>> {
    let before = attrs.reflected.as_deref();
    let clusters = before.map_or(&[][..], |reflected| &reflected.clusters);
    Some(Arc::new(Reflected {
        originator: before.map_or(source.id, |reflected| reflected.originator),
        clusters: std::iter::once(speaker.id).chain(clusters.iter().copied()).collect(),
    }))
}

/// What a speaker sends over a session of a route that it has, if anything. `alone`: no other peer of the speaker's is
/// on that network and gets the same (FRR counts the update group without the sender when it looks for third-party next
/// hops). `prefix` are the numbers of the rules that match it, `blocks` those of the sender, when it is a node.
pub(crate) fn export(
    network: &Network<'_>,
    (number, own): (u32, usize),
    source: &Source,
    attrs: &Attrs,
    (net, prefix): (IpNet, &[u32]),
    (alone, blocks): (bool, &[IpNet]),
    memo: &mut Memo,
) -> Option<Attrs> {
    let (session, sides) = network.session(number)?;
    let end = session.ends.get(own)?;
    let peer = session.ends.get(1 - own)?;
    let speaker = network.speaker(end.machine)?;
    match (sides.get(own)?, speaker.daemon) {
        (Side::Router(side), Daemon::Frr) => {
            frr(network, speaker, (session, number), (side, end, peer), source, attrs, (prefix, alone), memo)
        }
        (Side::Router(side), _) => {
            bird(network, speaker, (session, number), (side, end, peer), source, attrs, prefix, memo)
        }
        (Side::Node(side), _) => calico(network, (side, end), number, source, attrs, (net, blocks)),
        (Side::Missing, _) => None,
    }
}

/// Route reflection: from a client to everybody, from others to clients only.
fn reflects(source: &Source, to_client: bool) -> bool {
    source.client || to_client
}

#[allow(clippy::too_many_arguments, reason = "what FRR looks at, too")]
fn frr(
    network: &Network<'_>,
    speaker: &Speaker,
    (session, number): (&Session, u32),
    (side, end, peer): (&RouterSide, &End, &End),
    source: &Source,
    attrs: &Attrs,
    (prefix, alone): (&[u32], bool),
    memo: &mut Memo,
) -> Option<Attrs> {
    let own = source.is_own();
    let reflected = !own && !source.external && !side.external;
    if reflected && !reflects(source, side.client) {
        return None;
    }
    let transparent = !own && source.keep && side.keep;
    let mut sent = attrs.clone();
    if !side.external {
        sent.local_pref.get_or_insert(LOCAL_PREF);
    }
    if reflected {
        sent.reflected = reflect(attrs, speaker, source);
    }
    if side.external && !own && !transparent {
        sent.med = None;
    }
    match network.policies.apply(side.export, side.external, prefix, &attrs.path) {
        Decision::Deny(_) => return None,
        // A route reflector changes nothing (RFC 4456, 10), and FRR keeps to it.
        Decision::Permit(_, set) if !reflected => {
            sent.local_pref = set.local_pref.or(sent.local_pref);
            sent.med = set.med.or(sent.med);
        }
        Decision::Permit(..) => {}
    }
    let self_next_hop = if own {
        true
    } else if transparent {
        false
    } else if side.next_hop_self {
        !reflected
    } else {
        side.external && !shares(speaker, session, &sent.next_hop, peer, source.session == Some(number) && alone)
    };
    if self_next_hop {
        sent.next_hop = end.address;
    }
    if side.external {
        let over = side.as_override.then_some(peer.asn);
        sent.path = memo.path(&attrs.path, (end.asn, over, side.keep), || {
            let path = attrs.path.iter().map(|asn| if over == Some(*asn) { end.asn } else { *asn });
            (!side.keep).then_some(end.asn).into_iter().chain(path).collect()
        });
        sent.local_pref = None;
        sent.reflected = None;
    }
    Some(sent)
}

/// Whether a next hop is on the same connected network as a peer: then it is sent on as it is.
fn shares(speaker: &Speaker, session: &Session, next_hop: &IpAddr, peer: &End, alone: bool) -> bool {
    let link = link(session);
    !alone
        && speaker
            .connected
            .iter()
            .any(|(net, on)| *on == link && net.contains(next_hop) && net.contains(&peer.address))
}

#[allow(clippy::too_many_arguments, reason = "what BIRD looks at, too")]
fn bird(
    network: &Network<'_>,
    speaker: &Speaker,
    (session, number): (&Session, u32),
    (side, end, peer): (&RouterSide, &End, &End),
    source: &Source,
    attrs: &Attrs,
    prefix: &[u32],
    memo: &mut Memo,
) -> Option<Attrs> {
    if source.session == Some(number) {
        return None;
    }
    let own = source.is_own();
    let reflected = !own && !source.external && !side.external;
    if reflected && !reflects(source, side.client) {
        return None;
    }
    let Decision::Permit(_, set) = network.policies.apply(side.export, side.external, prefix, &attrs.path) else {
        return None;
    };
    let mut sent = attrs.clone();
    sent.local_pref = set.local_pref.or(sent.local_pref);
    if side.external {
        // Passed on only where the export filter sets it, or to a client of a route server.
        sent.med = set.med.or(sent.med.filter(|_| side.keep));
        let over = side.as_override.then_some(peer.asn);
        sent.path = memo.path(&attrs.path, (end.asn, over, side.keep), || {
            let mut path: Vec<u32> = attrs.path.iter().copied().filter(|asn| over != Some(*asn)).collect();
            if path.len() != attrs.path.len() {
                path.insert(0, end.asn);
            }
            if !side.keep {
                path.insert(0, end.asn);
            }
            path.into()
        });
        sent.local_pref = None;
    } else {
        sent.med = set.med.or(sent.med);
        sent.local_pref.get_or_insert(LOCAL_PREF);
    }
    let keeps = !own && (!side.next_hop_self || !source.external) && (!side.external || source.link == link(session));
    if !keeps {
        sent.next_hop = end.address;
    }
    sent.reflected = if reflected { reflect(attrs, speaker, source) } else { None };
    Some(sent)
}

/// What a node hands on that it learned, where no filter keeps it from it.
fn calico(
    network: &Network<'_>,
    (side, end): (&NodeSide, &End),
    number: u32,
    source: &Source,
    attrs: &Attrs,
    (net, blocks): (IpNet, &[IpNet]),
) -> Option<Attrs> {
    let learned = !source.is_own();
    if source.session == Some(number) || (learned && !source.external && !side.external) {
        return None;
    }
    let peer = network.calico.peers.get(side.peer as usize)?;
    if !network.calico.exports(peer, blocks, net, learned, side.external) {
        return None;
    }
    if !learned {
        return Some(announce(*side, end));
    }
    let mut sent = attrs.clone();
    sent.reflected = None;
    if side.external {
        sent.path = prepend(end.asn, &sent.path);
        sent.med = None;
        sent.local_pref = None;
    } else {
        sent.local_pref = Some(CALICO_LOCAL_PREF);
    }
    // The session is a multihop one: no next hop of a third party.
    if side.external && !peer.keep_next_hop {
        sent.next_hop = end.address;
    }
    Some(sent)
}

/// What a speaker makes of a route that it is sent.
pub(crate) fn import(
    network: &Network<'_>,
    (number, own): (u32, usize),
    sent: Attrs,
    (net, prefix): (IpNet, &[u32]),
) -> Result<(Attrs, Rule), (Attrs, Refusal)> {
    let found = network.session(number).and_then(|(session, sides)| {
        let end = session.ends.get(own)?;
        Some((session, sides.get(own)?, end, network.speaker(end.machine)?))
    });
    let Some((session, side, end, speaker)) = found else { return Err((sent, Refusal::Filter)) };
    let allowed = match side {
        Side::Node(side) => network.calico.peers.get(side.peer as usize).map_or(0, |peer| peer.allow_local),
        _ => 0,
    };
    let loops = sent.path.iter().filter(|asn| **asn == end.asn).count();
    if loops > allowed as usize {
        return Err((sent, Refusal::Loop));
    }
    if let Some(reflected) = sent.reflected.clone() {
        if reflected.originator == speaker.id {
            return Err((sent, Refusal::Originator));
        }
        if reflected.clusters.contains(&speaker.id) {
            return Err((sent, Refusal::Cluster));
        }
    }
    let mut taken = sent;
    match side {
        Side::Router(side) => {
            // A next hop elsewhere would be looked up in the routing table, where it meets `unreachable` at best.
            if session.ends.get(1 - own).is_none_or(|peer| peer.address != taken.next_hop)
                && (speaker.addresses.contains(&taken.next_hop)
                    || !speaker.connected.iter().any(|(net, _)| net.contains(&taken.next_hop)))
            {
                return Err((taken, Refusal::NextHop));
            }
            match network.policies.apply(side.import, side.external, prefix, &taken.path) {
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
