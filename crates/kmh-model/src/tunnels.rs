//! By which lines two routers are joined, with which numbers and ranks, and who calls whom.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use kmh_doc::Label;
use kmh_doc::inventory::{Nat, RouterKind, Uplink};

use crate::address;
use crate::model::{Router, Tunnel, TunnelEnd};
use crate::topology::{Topology, ordered};

/// Lines of one router, at most: their numbers are 1 to this.
pub(crate) const LINES: u8 = 4;
/// Numbers between two pairs of lines of the same routers. With it, 16 pairs of lines fit below pfSense's highest reqid.
const STRIDE: u32 = 1000;

/// What others can count on at one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// An address that stays: it can be called at any time.
    Fixed,
    /// An address that changes, or a translation that may forget: it can be called, and should call.
    Changing,
    /// No address, or carrier NAT: it can only call.
    Hidden,
}

/// Who calls: the lower id's end, the other end; whether each initiates. `None`: they can never meet.
///
/// An end that can change calls, because only it knows when; two that can change both call, so that either can mend
/// the tunnel alone. Of two fixed ends the lower id calls, so that they do not call at once.
const RULES: &[(Reach, Reach, Option<[bool; 2]>)] = &[
    (Reach::Fixed, Reach::Fixed, Some([true, false])),
    (Reach::Fixed, Reach::Changing, Some([false, true])),
    (Reach::Fixed, Reach::Hidden, Some([false, true])),
    (Reach::Changing, Reach::Fixed, Some([true, false])),
    (Reach::Changing, Reach::Changing, Some([true, true])),
    (Reach::Changing, Reach::Hidden, Some([false, true])),
    (Reach::Hidden, Reach::Fixed, Some([true, false])),
    (Reach::Hidden, Reach::Changing, Some([true, false])),
    (Reach::Hidden, Reach::Hidden, None),
];

fn reach(uplink: &Uplink) -> Reach {
    match (&uplink.address, uplink.nat, uplink.dynamic) {
        (None, _, _) | (_, Nat::Carrier, _) => Reach::Hidden,
        (Some(_), Nat::Forwarded, _) | (Some(_), Nat::None, true) => Reach::Changing,
        (Some(_), Nat::None, false) => Reach::Fixed,
    }
}

/// Number of the pair of ids; adding a router with a higher id changes no existing number.
pub(crate) fn pair(low: u16, high: u16) -> u32 {
    let (low, high) = (u32::from(low), u32::from(high));
    (high.saturating_sub(1) * high.saturating_sub(2)) / 2 + low
}

/// Number of a tunnel: of its routers' pair, and a thousand more for each pair of lines in front of its own. It depends on
/// nothing but the two ids and the two lines, so whatever is added changes no existing one.
pub(crate) fn index(low: u16, high: u16, lines: [u8; 2]) -> u32 {
    let [u, v] = lines.map(|line| u32::from(line.saturating_sub(1)));
    pair(low, high) + STRIDE * (u32::from(LINES) * u + v)
}

/// The name of a tunnel: of its lower id, then of its higher, then of other lines than both first ones.
pub(crate) fn name(low: &Label, high: &Label, lines: [u8; 2]) -> String {
    match lines {
        [1, 1] => format!("{low}--{high}"),
        [a, b] => format!("{low}--{high}--{a}-{b}"),
    }
}

/// One end, as far as meeting goes.
pub(crate) struct End<'a> {
    pub(crate) kind: RouterKind,
    pub(crate) uplinks: &'a [Uplink],
}

/// Why two lines cannot carry a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// Neither can be called.
    BothHidden,
    /// pfSense takes a routed tunnel only from an address or name that it knows, and the other end has none.
    UnknownToPfsense,
    /// One has an IPv4, the other an IPv6 address.
    Families,
}

/// Two lines that carry a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Joint {
    /// Their numbers, the lower id's first.
    pub(crate) lines: [u8; 2],
    /// Their places in the written order, from 0: the first is preferred.
    pub(crate) places: [usize; 2],
    /// Who calls.
    pub(crate) ends: [Reachability; 2],
}

/// The number of a router's line: its id, or its place when it has none.
pub(crate) fn number(line: &Uplink, place: usize) -> u8 {
    line.id.unwrap_or_else(|| u8::try_from(place + 1).unwrap_or(u8::MAX))
}

/// The lines by which two routers meet, preferred ones first. When there are none, what stands between the preferred two.
pub(crate) fn joints(low: &End<'_>, high: &End<'_>) -> Result<Vec<Joint>, Option<Obstacle>> {
    let lines = |end: &End<'_>| (0..end.uplinks.len()).take(LINES.into());
    let mut places: Vec<[usize; 2]> = lines(low).flat_map(|i| lines(high).map(move |j| [i, j])).collect();
    places.sort_by_key(|[i, j]| (i + j, *i));
    let (mut joints, mut obstacle): (Vec<Joint>, Option<Obstacle>) = (Vec::new(), None);
    for [i, j] in places {
        let (Some(a), Some(b)) = (low.uplinks.get(i), high.uplinks.get(j)) else { continue };
        match join((low.kind, a), (high.kind, b)) {
            Ok(ends) => joints.push(Joint { lines: [number(a, i), number(b, j)], places: [i, j], ends }),
            Err(why) => obstacle = obstacle.or(Some(why)),
        }
    }
    if joints.is_empty() { Err(obstacle) } else { Ok(joints) }
}

fn join(low: (RouterKind, &Uplink), high: (RouterKind, &Uplink)) -> Result<[Reachability; 2], Obstacle> {
    if speak_different_families(low.1, high.1) {
        return Err(Obstacle::Families);
    }
    let reaches = [reach(low.1), reach(high.1)];
    let calls = RULES
        .iter()
        .find(|(x, y, _)| [*x, *y] == reaches)
        .and_then(|(_, _, calls)| *calls)
        .ok_or(Obstacle::BothHidden)?;
    for (here, there) in [(low.0, reaches[1]), (high.0, reaches[0])] {
        if here == RouterKind::Pfsense && there == Reach::Hidden {
            return Err(Obstacle::UnknownToPfsense);
        }
    }
    let end = |n: usize| Reachability { initiates: calls[n], reachable: reaches[n] != Reach::Hidden };
    Ok([end(0), end(1)])
}

/// Whether one end calls, and whether it can be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reachability {
    pub(crate) initiates: bool,
    pub(crate) reachable: bool,
}

/// Two lines of different families never meet; a name may have both, unless the line's own address says which.
fn speak_different_families(a: &Uplink, b: &Uplink) -> bool {
    let ip = |line: &Uplink| line.address.as_ref().and_then(kmh_doc::HostName::ip).or(line.local_address);
    matches!((ip(a), ip(b)), (Some(a), Some(b)) if a.is_ipv4() != b.is_ipv4())
}

/// Prefix length of one tunnel's network.
pub(crate) fn prefix(range: &IpNet) -> u8 {
    if address::is_v6(range) { 64 } else { 30 }
}

/// What the tunnels are to be.
pub(crate) struct Planned {
    /// All of them, by index.
    pub(crate) tunnels: Vec<Tunnel>,
    /// Routers that cannot meet, and reach each other through the fallback hub; the lower id first.
    pub(crate) through_hub: Vec<[Label; 2]>,
}

/// All tunnels. `routers` are in the order of their ids.
pub(crate) fn all(routers: &[Router], ranges: &[IpNet], topology: &Topology<'_>) -> Planned {
    let mut planned = Planned { tunnels: Vec::new(), through_hub: Vec::new() };
    // What decides about preference between two sites, beside the tunnel: its place among `tunnels`.
    let mut between: BTreeMap<(&Label, &Label), Vec<(Preference, usize)>> = BTreeMap::new();
    for (n, low) in routers.iter().enumerate() {
        for high in routers.iter().skip(n + 1).filter(|high| topology.joins(&low.site, &high.site)) {
            let [a, b] = [low, high].map(|router| End { kind: router.kind, uplinks: &router.uplinks });
            let Ok(joints) = joints(&a, &b) else {
                if topology.fallback().is_some() {
                    planned.through_hub.push([low.name.clone(), high.name.clone()]);
                }
                continue;
            };
            let sites = between.entry(ordered(&low.site, &high.site)).or_default();
            for joint in joints {
                sites.push((preference(low, high, &joint), planned.tunnels.len()));
                planned.tunnels.push(tunnel(low, high, &joint, ranges));
            }
        }
    }
    for tunnels in between.values_mut() {
        tunnels.sort_unstable();
        for (rank, (_, at)) in tunnels.iter().enumerate() {
            if let Some(tunnel) = planned.tunnels.get_mut(*at) {
                // Four routers of a site with four lines each have 256 with another's.
                tunnel.rank = u8::try_from(rank).unwrap_or(u8::MAX);
            }
        }
    }
    planned.tunnels.sort_by_key(|tunnel| tunnel.index);
    planned
}

/// Which of the tunnels between two sites is better: how far back its two lines stand in their lists together, then the
/// lower id's line, then the ids. Nothing in it depends on the end from which one looks, so both ends prefer the same one.
type Preference = (usize, usize, u16, u16);

fn preference(low: &Router, high: &Router, joint: &Joint) -> Preference {
    let [a, b] = joint.places;
    (a + b, a, low.id, high.id)
}

fn tunnel(low: &Router, high: &Router, joint: &Joint, ranges: &[IpNet]) -> Tunnel {
    let index = index(low.id, high.id, joint.lines);
    let networks: Vec<IpNet> =
        ranges.iter().filter_map(|range| address::nth_subnet(*range, prefix(range), index)).collect();
    let end = |n: usize, router: &Router, nth: u32| TunnelEnd {
        router: router.name.clone(),
        uplink: joint.places[n],
        addresses: networks.iter().filter_map(|net| address::nth(*net, nth)).collect::<Vec<IpAddr>>(),
        initiates: joint.ends[n].initiates,
        reachable: joint.ends[n].reachable,
    };
    Tunnel { index, lines: joint.lines, rank: 0, ends: [end(0, low, 1), end(1, high, 2)], networks }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uplink(text: &str) -> Vec<Uplink> {
        serde_json::from_str(&format!("[{text}]")).unwrap()
    }

    const FIXED: &str = r#"{"name": "a", "address": "203.0.113.1"}"#;
    const DYNAMIC: &str = r#"{"name": "a", "address": "a.example.net", "dynamic": true}"#;
    const FORWARDED: &str = r#"{"name": "a", "address": "203.0.113.2", "nat": "forwarded"}"#;
    const CARRIER: &str = r#"{"name": "a", "nat": "carrier"}"#;
    const SILENT: &str = r#"{"name": "a"}"#;

    /// Who calls: `>` the lower id, `<` the higher, `=` both; or why nobody can.
    fn said(low: &str, high: &str) -> String {
        let (low, high) = (uplink(low), uplink(high));
        match joints(
            &End { kind: RouterKind::Linux, uplinks: &low },
            &End { kind: RouterKind::Linux, uplinks: &high },
        )
        .map(|joints| joints[0].ends)
        {
            Ok([a, b]) => match (a.initiates, b.initiates) {
                (true, true) => "=",
                (true, false) => ">",
                (false, true) => "<",
                (false, false) => "nobody",
            }
            .to_owned(),
            Err(obstacle) => format!("{obstacle:?}"),
        }
    }

    #[test]
    fn who_calls_whom() {
        let rows = [
            (FIXED, FIXED, ">"),
            (FIXED, DYNAMIC, "<"),
            (DYNAMIC, FIXED, ">"),
            (FIXED, FORWARDED, "<"),
            (DYNAMIC, FORWARDED, "="),
            (DYNAMIC, DYNAMIC, "="),
            (CARRIER, FORWARDED, ">"),
            (DYNAMIC, SILENT, "<"),
            (CARRIER, SILENT, "Some(BothHidden)"),
        ];
        for (low, high, calls) in rows {
            assert_eq!(said(low, high), calls, "{low} and {high}");
        }
        assert_eq!(said(FIXED, r#"{"name": "b", "address": "2001:db8::1"}"#), "Some(Families)");
        let behind =
            r#"{"name": "b", "address": "b.example.net", "nat": "forwarded", "local_address": "fd00::2"}"#;
        assert_eq!(said(FIXED, behind), "Some(Families)");
        assert_eq!(said(behind, r#"{"name": "a", "address": "2001:db8::1"}"#), ">");
        assert_eq!(RULES.len(), 9);
    }

    /// The lines that meet, as `u-v`.
    fn met(low: (RouterKind, &str), high: (RouterKind, &str)) -> Result<Vec<String>, Option<Obstacle>> {
        let [a, b] = [low, high].map(|(_, lines)| uplink(lines));
        let joints = joints(&End { kind: low.0, uplinks: &a }, &End { kind: high.0, uplinks: &b })?;
        Ok(joints.iter().map(|joint| format!("{}-{}", joint.lines[0], joint.lines[1])).collect())
    }

    #[test]
    fn every_two_lines_that_can_meet_do_preferred_ones_first() {
        use RouterKind::{Linux, Pfsense};
        let both = format!("{SILENT}, {FIXED}");
        let backup = format!("{CARRIER}, {FIXED}");
        let two = format!("{FIXED}, {DYNAMIC}");
        let rows: [(_, _, Result<&[&str], Obstacle>); 7] = [
            ((Linux, CARRIER), (Linux, &*both), Ok(&["1-2"])),
            ((Linux, CARRIER), (Pfsense, SILENT), Err(Obstacle::BothHidden)),
            ((Linux, CARRIER), (Pfsense, &both), Err(Obstacle::BothHidden)),
            ((Linux, CARRIER), (Pfsense, FIXED), Err(Obstacle::UnknownToPfsense)),
            // pfSense can have no unknown peer, but the other line is known.
            ((Linux, &backup), (Pfsense, FIXED), Ok(&["2-1"])),
            ((Pfsense, &both), (Linux, &both), Ok(&["1-2", "2-2"])),
            ((Linux, &two), (Linux, &two), Ok(&["1-1", "1-2", "2-1", "2-2"])),
        ];
        for (low, high, expected) in rows {
            let expected = expected.map(|lines| lines.iter().map(ToString::to_string).collect());
            assert_eq!(met(low, high).map_err(Option::unwrap), expected, "{low:?} {high:?}");
        }
    }

    #[test]
    fn numbers_of_lines_follow_their_ids() {
        use RouterKind::Linux;
        let first = r#"{"name": "a", "address": "203.0.113.1", "id": 1}"#;
        let second = r#"{"name": "b", "address": "203.0.113.2", "id": 3}"#;
        let turned = format!("{second}, {first}");
        let plain = format!("{first}, {second}");
        assert_eq!(met((Linux, &plain), (Linux, FIXED)).unwrap(), ["1-1", "3-1"]);
        assert_eq!(met((Linux, &turned), (Linux, FIXED)).unwrap(), ["3-1", "1-1"]);
    }

    #[test]
    fn numbers_grow_at_the_end() {
        let mut all: Vec<u32> = (2..=179).flat_map(|j| (1..j).map(move |i| pair(i, j))).collect();
        let sorted: Vec<u32> = (1..=15931).collect();
        all.sort_unstable();
        assert_eq!(all, sorted);
        assert_eq!(pair(4094, 4095), 4094 * 4093 / 2 + 4094);
    }

    #[test]
    fn every_pair_of_lines_has_numbers_of_its_own() {
        let lines = || (1..=LINES).flat_map(|u| (1..=LINES).map(move |v| [u, v]));
        let mut all: Vec<u32> = (2..=45)
            .flat_map(|j| (1..j).flat_map(move |i| lines().map(move |lines| index(i, j, lines))))
            .collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!((all.len(), count), (count, 990 * 16));
        assert!(all.last() <= Some(&15_999), "pfSense takes no higher reqid");
        assert_eq!(index(1, 2, [1, 1]), 1);
        assert_eq!([index(1, 2, [1, 2]), index(1, 2, [2, 1]), index(1, 2, [4, 4])], [1001, 4001, 15_001]);
    }
}
