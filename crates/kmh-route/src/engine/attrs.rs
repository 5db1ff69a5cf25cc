//! Routes on their way: attributes, where they are from, why they are refused.

use std::net::IpAddr;
use std::sync::Arc;

use crate::network::{Link, Network, Session, Side};
use crate::policy::Ruling;

/// `LOCAL_PREF` of what has none.
pub(super) const LOCAL_PREF: u32 = 100;

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

/// How a speaker changes a path that it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// The speaker's AS.
    pub(crate) own: u32,
    /// The AS in whose place it goes, by `as-override`.
    pub(crate) over: Option<u32>,
    /// Whether it does not go in front.
    pub(crate) keep: bool,
}

/// The last path that a speaker made of another: it sends the same one to nearly everybody.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    change: Option<Change>,
    from: Arc<[u32]>,
    made: Arc<[u32]>,
}

impl Memo {
    /// The changed path, as it was made before or is made now.
    pub(super) fn path(
        &mut self,
        path: &Arc<[u32]>,
        change: Change,
        make: impl Fn(Change, &[u32]) -> Arc<[u32]>,
    ) -> Arc<[u32]> {
        if self.change != Some(change) || !Arc::ptr_eq(&self.from, path) {
            *self = Self { change: Some(change), from: Arc::clone(path), made: make(change, path) };
        }
        Arc::clone(&self.made)
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

/// What a session runs over.
pub(crate) fn link(session: &Session) -> Link {
    session.tunnel.and_then(|number| u32::try_from(number).ok()).map_or(Link::Segment, Link::Tunnel)
}
