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

/// Whether any path from a neighbour could be used beside the best one: what [`merges`] asks of the neighbour alone.
pub(crate) fn may_merge(frr: bool, best: &Source, other: &Source) -> bool {
    best.external == other.external && (!frr || !best.external || best.asn == other.asn)
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

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;

    use super::*;
    use crate::engine::Reflected;
    use crate::network::Link;

    /// `PATH [lp N] [med N] [ibgp] [id N] [from N] [peer N] [via N] [originator N] [clusters N]`
    fn one(text: &str) -> (Source, Attrs) {
        let mut words = text.split(' ');
        let path: Vec<u32> =
            words.next().unwrap_or("").split(',').filter_map(|asn| asn.parse().ok()).collect();
        let address = |last: u8| IpAddr::from([10, 0, 0, last]);
        let mut source = Source {
            session: Some(0),
            external: true,
            asn: path.first().copied().unwrap_or(0),
            ..Source::OWN
        };
        let mut attrs =
            Attrs { path: path.into(), next_hop: address(1), local_pref: None, med: None, reflected: None };
        let (mut originator, mut clusters) = (None, 0);
        while let Some(word) = words.next() {
            if word == "ibgp" {
                source.external = false;
                continue;
            }
            let number: u32 = words.next().expect(word).parse().expect(word);
            let small = u8::try_from(number).unwrap_or(u8::MAX);
            match word {
                "lp" => attrs.local_pref = Some(number),
                "med" => attrs.med = Some(number),
                "id" => source.id = number,
                "from" => source.address = Some(address(small)),
                "peer" => source.asn = number,
                "via" => attrs.next_hop = address(small),
                "originator" => originator = Some(number),
                "clusters" => clusters = number,
                _ => panic!("{word}"),
            }
        }
        if let Some(originator) = originator {
            attrs.reflected = Some(Arc::new(Reflected { originator, clusters: vec![0; clusters as usize] }));
        }
        source.link = Link::Segment;
        (source, attrs)
    }

    #[test]
    fn steps_in_their_order() {
        for (better, worse, step) in [
            ("1,2,3 lp 200", "1", Step::LocalPref),
            ("1 lp 100", "1,2", Step::AsPath),
            ("1 med 5 id 9", "1 med 6 id 1", Step::Med),
            ("1 id 9", "1 med 6 id 1", Step::Med),
            ("1 id 9", "1 ibgp id 1", Step::External),
            ("1 id 1 from 9", "1 id 2 from 1", Step::RouterId),
            ("1 med 9 id 1", "2 med 5 id 2", Step::RouterId),
            (" ibgp originator 1 id 9", " ibgp id 2", Step::RouterId),
            (" ibgp id 3 from 9", " ibgp originator 3 clusters 1 id 2 from 1", Step::ClusterList),
            ("1 id 1 from 2", "1 id 1 from 3", Step::PeerAddress),
        ] {
            let (a, b) = (one(better), one(worse));
            let (a, b) = (Candidate { source: &a.0, attrs: &a.1 }, Candidate { source: &b.0, attrs: &b.1 });
            assert_eq!(rank(&a, &b), (Ordering::Less, step), "{better} | {worse}");
            assert_eq!(rank(&b, &a), (Ordering::Greater, step), "{worse} | {better}");
        }
        let (other, attrs) = one("1 lp 900");
        let (own, own_attrs) = (Source::OWN, one("").1);
        let own = Candidate { source: &own, attrs: &own_attrs };
        assert_eq!(rank(&own, &Candidate { source: &other, attrs: &attrs }), (Ordering::Less, Step::Own));
    }

    /// Pairwise each beats the next: 2 by id, 3 by MED, 1 by id. By neighbouring AS first, the order does not matter.
    #[test]
    fn med_does_not_depend_on_the_order() {
        let all = ["1 med 10 id 1", "2 id 2", "1 med 0 id 3"].map(one);
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let candidates =
                order.map(|place: usize| Candidate { source: &all[place].0, attrs: &all[place].1 });
            assert_eq!(order[best(&candidates).expect("a best one")], 1);
        }
        assert_eq!(best(&[]), None);
    }

    #[test]
    fn what_is_used_side_by_side() {
        for (a, b, frr, bird) in [
            ("1,5 id 1", "1,6 id 2 via 2", true, true),
            ("1,5 id 1", "1,6 id 2", false, true),
            ("1,5 id 1", "2,5 id 2 via 2", false, true),
            ("1,5 id 1", "1,5 med 1 via 2", false, false),
            ("1,5 ibgp id 1", "1,5 ibgp id 2 via 2", true, true),
            ("1,5 ibgp id 1", "1,6 ibgp id 2 via 2", false, true),
            ("1,5 id 1", "1,5 ibgp id 2 via 2", false, false),
            ("1 id 1", "1,5 id 2 via 2", false, false),
        ] {
            let (x, y) = (one(a), one(b));
            let (x, y) = (Candidate { source: &x.0, attrs: &x.1 }, Candidate { source: &y.0, attrs: &y.1 });
            assert_eq!((merges(true, &x, &y), merges(false, &x, &y)), (frr, bird), "{a} | {b}");
        }
    }
}
