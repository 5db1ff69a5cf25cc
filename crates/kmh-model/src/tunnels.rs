//! Which routers are joined, by which lines, with which numbers, and who calls whom.

use std::net::IpAddr;

use ipnet::IpNet;
use kmh_doc::Label;
use kmh_doc::inventory::{Nat, RouterKind, Shape, Tunnels, Uplink};

use crate::address;
use crate::model::{Router, Tunnel, TunnelEnd};

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
pub(crate) fn index(low: u16, high: u16) -> u32 {
    let (low, high) = (u32::from(low), u32::from(high));
    (high.saturating_sub(1) * high.saturating_sub(2)) / 2 + low
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

/// The lines by which two routers meet, and which end calls: the first pair in the written order that can. When none
/// can, what stands between the preferred two.
pub(crate) fn meeting(
    low: &End<'_>,
    high: &End<'_>,
) -> Result<([usize; 2], [Reachability; 2]), Option<Obstacle>> {
    let mut pairs: Vec<(usize, usize)> =
        (0..low.uplinks.len()).flat_map(|i| (0..high.uplinks.len()).map(move |j| (i, j))).collect();
    pairs.sort_by_key(|(i, j)| (i + j, *i));
    let mut obstacle = None;
    for (i, j) in pairs {
        let (Some(a), Some(b)) = (low.uplinks.get(i), high.uplinks.get(j)) else { continue };
        match join((low.kind, a), (high.kind, b)) {
            Ok(ends) => return Ok(([i, j], ends)),
            Err(why) => obstacle = obstacle.or(Some(why)),
        }
    }
    Err(obstacle)
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

/// The hub, when every tunnel has one end there.
pub(crate) fn hub(tunnels: &Tunnels) -> Option<&Label> {
    tunnels.hub.as_ref().filter(|_| tunnels.shape != Some(Shape::Mesh))
}

/// Whether one end calls, and whether it can be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reachability {
    pub(crate) initiates: bool,
    pub(crate) reachable: bool,
}

/// Two literal addresses of different families never meet; a name may have both.
fn speak_different_families(a: &Uplink, b: &Uplink) -> bool {
    let ip = |uplink: &Uplink| uplink.address.as_ref().and_then(kmh_doc::HostName::ip);
    matches!((ip(a), ip(b)), (Some(a), Some(b)) if a.is_ipv4() != b.is_ipv4())
}

/// The pairs of routers that tunnels join, the lower id first: all of different sites, or those with one end at the hub.
pub(crate) fn pairs<'a>(
    routers: &'a [Router],
    hub: Option<&'a Label>,
) -> impl Iterator<Item = (&'a Router, &'a Router)> {
    routers
        .iter()
        .enumerate()
        .flat_map(move |(n, low)| routers.iter().skip(n + 1).map(move |high| (low, high)))
        .filter(move |(low, high)| {
            low.site != high.site && hub.is_none_or(|hub| low.site == *hub || high.site == *hub)
        })
}

/// Prefix length of one tunnel's network.
pub(crate) fn prefix(range: &IpNet) -> u8 {
    if address::is_v6(range) { 64 } else { 30 }
}

/// All tunnels, by index. `routers` are in the order of their ids.
pub(crate) fn all(routers: &[Router], ranges: &[IpNet], hub: Option<&Label>) -> Vec<Tunnel> {
    let mut tunnels: Vec<Tunnel> = pairs(routers, hub)
        .filter_map(|(low, high)| {
            let [a, b] = [low, high].map(|router| End { kind: router.kind, uplinks: &router.uplinks });
            let (lines, ends) = meeting(&a, &b).ok()?;
            let index = index(low.id, high.id);
            let networks: Vec<IpNet> =
                ranges.iter().filter_map(|range| address::nth_subnet(*range, prefix(range), index)).collect();
            let end = |n: usize, router: &Router, nth: u32| TunnelEnd {
                router: router.name.clone(),
                uplink: lines[n],
                addresses: networks.iter().filter_map(|net| address::nth(*net, nth)).collect::<Vec<IpAddr>>(),
                initiates: ends[n].initiates,
                reachable: ends[n].reachable,
            };
            Some(Tunnel { index, lines: [1, 1], rank: 0, ends: [end(0, low, 1), end(1, high, 2)], networks })
        })
        .collect();
    tunnels.sort_by_key(|tunnel| tunnel.index);
    tunnels
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
        match meeting(
            &End { kind: RouterKind::Linux, uplinks: &low },
            &End { kind: RouterKind::Linux, uplinks: &high },
        ) {
            Ok((_, [a, b])) => match (a.initiates, b.initiates) {
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
        assert_eq!(RULES.len(), 9);
    }

    #[test]
    fn a_second_line_helps() {
        let low = uplink(CARRIER);
        let high = uplink(&format!("{SILENT}, {FIXED}"));
        let ends = [&low, &high].map(|uplinks| End { kind: RouterKind::Linux, uplinks });
        assert_eq!(meeting(&ends[0], &ends[1]).unwrap().0, [0, 1]);
        let pfsense = End { kind: RouterKind::Pfsense, uplinks: &high };
        assert_eq!(meeting(&ends[0], &pfsense), Err(Some(Obstacle::BothHidden)));
        let fixed = uplink(FIXED);
        assert_eq!(
            meeting(&ends[0], &End { kind: RouterKind::Pfsense, uplinks: &fixed }),
            Err(Some(Obstacle::UnknownToPfsense))
        );
    }

    #[test]
    fn numbers_grow_at_the_end() {
        let mut all: Vec<u32> = (2..=179).flat_map(|j| (1..j).map(move |i| index(i, j))).collect();
        let sorted: Vec<u32> = (1..=15931).collect();
        all.sort_unstable();
        assert_eq!(all, sorted);
        assert_eq!(index(4094, 4095), 4094 * 4093 / 2 + 4094);
    }
}
