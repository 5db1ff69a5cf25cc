//! Which path is best.
//!
//! FRR: `bgp_path_info_cmp()` in `bgpd/bgp_route.c`, with `bgp bestpath compare-routerid` and `bgp deterministic-med`.
//! BIRD 2: `bgp_rte_better()` and `bgp_rte_recalculate()` in `proto/bgp/attrs.c`, with `deterministic med`. For what
//! can occur here both take the same steps in the same order: ORIGIN is IGP everywhere, and every next hop is on a
//! connected network, so that the way to it costs nothing.

use std::cmp::Ordering;

use super::{Attrs, Source};
use crate::table::Step;

/// One path, as the decision sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) source: &'a Source,
    pub(crate) attrs: &'a Attrs,
}

impl Candidate<'_> {
    /// The neighbouring AS.
    fn left(&self) -> Option<u32> {
        self.attrs.path.first().copied()
    }

    fn originator(&self) -> u32 {
        self.attrs.reflected.as_ref().map_or(self.source.id, |reflected| reflected.originator)
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

/// Whether two paths are as good as each other up to where their next hops are, else the step that tells them apart.
/// FRR's weight of 32768, BIRD's preference of static and direct routes: a speaker's own comes first.
fn until_external(a: &Candidate<'_>, b: &Candidate<'_>) -> (Ordering, Step) {
    let steps: [(Compare, Step); 5] = [
        (|a, b| b.source.is_own().cmp(&a.source.is_own()), Step::Own),
        (|a, b| b.local_pref().cmp(&a.local_pref()), Step::LocalPref),
        (|a, b| a.attrs.path.len().cmp(&b.attrs.path.len()), Step::AsPath),
        (|a, b| if a.left() == b.left() { a.med().cmp(&b.med()) } else { Ordering::Equal }, Step::Med),
        (|a, b| b.source.external.cmp(&a.source.external), Step::External),
    ];
    first(&steps, a, b).unwrap_or((Ordering::Equal, Step::Metric))
}

type Compare = fn(&Candidate<'_>, &Candidate<'_>) -> Ordering;

fn first(steps: &[(Compare, Step)], a: &Candidate<'_>, b: &Candidate<'_>) -> Option<(Ordering, Step)> {
    steps.iter().map(|(compare, step)| (compare(a, b), *step)).find(|(order, _)| order.is_ne())
}

/// Which of two is better (`Less`), and by which step.
pub(crate) fn rank(a: &Candidate<'_>, b: &Candidate<'_>) -> (Ordering, Step) {
    let early = until_external(a, b);
    if early.0.is_ne() {
        return early;
    }
    let steps: [(Compare, Step); 2] = [
        (|a, b| a.originator().cmp(&b.originator()), Step::RouterId),
        (|a, b| a.clusters().cmp(&b.clusters()), Step::ClusterList),
    ];
    first(&steps, a, b).unwrap_or_else(|| (a.source.address.cmp(&b.source.address), Step::PeerAddress))
}

/// The place of the best of many: first of each neighbouring AS, where MED counts, then of those.
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

/// Whether a path is used beside the best one. FRR: everything equal up to the way to the next hop, over eBGP the same
/// neighbouring AS, over iBGP the same AS path, and another next hop. BIRD (`bgp_rte_mergable()`): everything equal.
pub(crate) fn merges(frr: bool, best: &Candidate<'_>, other: &Candidate<'_>) -> bool {
    let equal = !best.source.is_own() && until_external(best, other).0.is_eq();
    let same_way = || {
        if best.source.external {
            best.source.asn == other.source.asn
        } else {
            best.attrs.path == other.attrs.path
        }
    };
    equal && (!frr || (same_way() && best.attrs.next_hop != other.attrs.next_hop))
}
