//! Which path is best.
//!
//! FRR: `bgp_path_info_cmp()` in `bgpd/bgp_route.c`, with `bgp bestpath compare-routerid` and `bgp deterministic-med`.
//! BIRD 2: `bgp_rte_better()` and `bgp_rte_recalculate()` in `proto/bgp/attrs.c`, with `deterministic med`. For what
//! can occur here both take the same steps in the same order: ORIGIN is IGP everywhere, and every next hop is on a
//! connected network, so that the way to it costs nothing.

use std::cmp::Ordering;
use std::net::IpAddr;

use super::Attrs;
use crate::table::Step;

/// One path, as the decision sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'a> {
    /// The speaker's own: FRR's weight 32768, BIRD's preference of static and direct routes.
    pub(crate) own: bool,
    pub(crate) attrs: &'a Attrs,
    /// Whether an eBGP peer sent it.
    pub(crate) external: bool,
    /// The peer's router id.
    pub(crate) id: u32,
    /// The peer's AS number.
    pub(crate) peer_asn: u32,
    /// The peer's address.
    pub(crate) peer_address: Option<IpAddr>,
}

impl Candidate<'_> {
    fn left(&self) -> Option<u32> {
        self.attrs.path.first().copied()
    }

    fn originator(&self) -> u32 {
        self.attrs.reflected.as_ref().map_or(self.id, |reflected| reflected.originator)
    }

    fn clusters(&self) -> usize {
        self.attrs.reflected.as_ref().map_or(0, |reflected| reflected.clusters.len())
    }

    fn local_pref(&self) -> u32 {
        self.attrs.local_pref.unwrap_or(100)
    }

    fn med(&self) -> u32 {
        self.attrs.med.unwrap_or(0)
    }
}

/// Whether two paths are as good as each other up to here, else the step that tells them apart.
fn until_external(a: &Candidate<'_>, b: &Candidate<'_>) -> (Ordering, Step) {
    let med = if a.left() == b.left() { a.med().cmp(&b.med()) } else { Ordering::Equal };
    let steps = [
        (b.own.cmp(&a.own), Step::Own),
        (b.local_pref().cmp(&a.local_pref()), Step::LocalPref),
        (a.attrs.path.len().cmp(&b.attrs.path.len()), Step::AsPath),
        (med, Step::Med),
        (b.external.cmp(&a.external), Step::External),
    ];
    steps.into_iter().find(|(order, _)| order.is_ne()).unwrap_or((Ordering::Equal, Step::Metric))
}

/// Which of two is better (`Less`), and by which step.
pub(crate) fn rank(a: &Candidate<'_>, b: &Candidate<'_>) -> (Ordering, Step) {
    let first = until_external(a, b);
    if first.0.is_ne() {
        return first;
    }
    let steps = [
        (a.originator().cmp(&b.originator()), Step::RouterId),
        (a.clusters().cmp(&b.clusters()), Step::ClusterList),
    ];
    steps
        .into_iter()
        .find(|(order, _)| order.is_ne())
        .unwrap_or_else(|| (a.peer_address.cmp(&b.peer_address), Step::PeerAddress))
}

/// The best of many: first of each neighbouring AS, where MED counts, then of those.
pub(crate) struct Rank;

impl Rank {
    /// Its place.
    pub(crate) fn best(candidates: &[Candidate<'_>]) -> Option<usize> {
        let first = candidates.first()?;
        let better = |a: usize, b: usize| match (candidates.get(a), candidates.get(b)) {
            (Some(a), Some(b)) => rank(a, b).0.is_lt(),
            _ => false,
        };
        let winner = |places: &mut dyn Iterator<Item = usize>| {
            places.reduce(|best, place| if better(place, best) { place } else { best })
        };
        // Without differing MEDs the order is a total one.
        if candidates.iter().all(|one| one.med() == first.med()) {
            return winner(&mut (0..candidates.len()));
        }
        let mut groups: Vec<(Option<u32>, usize)> = Vec::new();
        for (place, candidate) in candidates.iter().enumerate() {
            match groups.iter_mut().find(|(left, _)| *left == candidate.left()) {
                Some((_, best)) if better(place, *best) => *best = place,
                Some(_) => {}
                None => groups.push((candidate.left(), place)),
            }
        }
        winner(&mut groups.into_iter().map(|(_, place)| place))
    }
}

/// Whether a path is used beside the best one. FRR: everything equal up to the way to the next hop, over eBGP the same
/// neighbouring AS, over iBGP the same AS path, and another next hop. BIRD (`bgp_rte_mergable()`): everything equal.
pub(crate) fn merges(frr: bool, best: &Candidate<'_>, other: &Candidate<'_>) -> bool {
    let equal = until_external(best, other).0.is_eq() && !best.own;
    let same_way = if best.external { best.peer_asn == other.peer_asn } else { best.attrs.path == other.attrs.path };
    equal && (!frr || (same_way && best.attrs.next_hop != other.attrs.next_hop))
}
