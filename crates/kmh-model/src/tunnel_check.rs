//! Whether the tunnels that the inventory asks for can exist: both ends meet, the numbers suffice.

use std::collections::BTreeMap;

use ipnet::IpNet;
use kmh_doc::inventory::{Inventory, Router, RouterKind, Shape};
use kmh_doc::{Code, Label, Problem};

use crate::address;
use crate::report::Report;
use crate::tunnels::{self, End, Obstacle};

/// Highest reqid that pfSense's form takes; the tunnel's number is its reqid.
const PFSENSE_REQID: u32 = 15999;
/// Not more than this many pairs are named; with one unreachable router there may be thousands.
const NAMED: usize = 20;

/// A router and where it is written.
struct Written<'a> {
    router: &'a Router,
    site: &'a Label,
    path: String,
}

pub(crate) fn check(inventory: &Inventory, report: &mut Report<'_>) {
    let Some(tunnels) = &inventory.tunnels else { return };
    match (tunnels.shape, &tunnels.hub) {
        (Some(Shape::Mesh), Some(hub)) => {
            report.add(
                Problem::error(
                    Code::Contradiction,
                    "spec.tunnels.shape",
                    format!("`shape: mesh` and `hub: {hub}` cannot both hold"),
                )
                .hint("remove one of them"),
            );
        }
        (Some(Shape::Hub), None) => {
            report.add(
                Problem::error(Code::MissingKey, "spec.tunnels", "`shape: hub` needs a `hub`")
                    .hint("name the site that every tunnel has at one end"),
            );
        }
        _ => {}
    }
    let mut routers: Vec<Written<'_>> = Vec::new();
    for (s, site) in inventory.sites.iter().enumerate() {
        for (r, router) in site.routers.iter().enumerate() {
            routers.push(Written { router, site: &site.name, path: format!("spec.sites[{s}].routers[{r}]") });
        }
    }
    routers.sort_by_key(|written| written.router.id);
    let hub = tunnels::hub(tunnels);
    let pairs: Vec<(&Written<'_>, &Written<'_>)> = routers
        .iter()
        .enumerate()
        .flat_map(|(n, low)| routers.iter().skip(n + 1).map(move |high| (low, high)))
        .filter(|(low, high)| low.site != high.site && low.router.id != high.router.id)
        .filter(|(low, high)| hub.is_none_or(|hub| low.site == hub || high.site == hub))
        .collect();
    names(&pairs, report);
    meetings(&routers, &pairs, hub, report);
    numbers(inventory, &pairs, report);
}

/// `a` with `b--c` and `a--b` with `c` make one name.
fn names(pairs: &[(&Written<'_>, &Written<'_>)], report: &mut Report<'_>) {
    let mut seen = BTreeMap::new();
    for (low, high) in pairs {
        let name = tunnels::name(&low.router.name, &high.router.name, [1, 1]);
        let Some((a, b)) = seen.insert(name.clone(), (&low.router.name, &high.router.name)) else { continue };
        // Routers of one name are refused elsewhere.
        if (a, b) != (&low.router.name, &high.router.name) {
            report.add(
                Problem::error(
                    Code::DuplicateName,
                    format!("{}.name", high.path),
                    format!("two tunnels have the name `{name}`"),
                )
                .because(format!("`{a}` with `{b}`, and `{}` with `{}`", low.router.name, high.router.name))
                .hint("rename one of the routers; `--` stands between the two names of a tunnel"),
            );
        }
    }
}

fn obstacle(low: &Written<'_>, high: &Written<'_>) -> Option<Obstacle> {
    let [a, b] =
        [low, high].map(|written| End { kind: written.router.kind, uplinks: &written.router.uplinks });
    tunnels::meeting(&a, &b).err().flatten()
}

/// A site that every router of another one can meet.
fn possible_hub<'a>(routers: &[Written<'a>]) -> Option<&'a Label> {
    let mut sites: Vec<&Label> = routers.iter().map(|written| written.site).collect();
    sites.sort();
    sites.dedup();
    sites.into_iter().find(|site| {
        routers.iter().filter(|one| one.site == *site).all(|one| {
            routers.iter().filter(|other| other.site != *site).all(|other| {
                let (low, high) = if one.router.id < other.router.id { (one, other) } else { (other, one) };
                obstacle(low, high).is_none()
            })
        })
    })
}

fn meetings(
    routers: &[Written<'_>],
    pairs: &[(&Written<'_>, &Written<'_>)],
    hub: Option<&Label>,
    report: &mut Report<'_>,
) {
    let mut named = 0;
    let mut better = None;
    for (low, high) in pairs {
        let Some(obstacle) = obstacle(low, high) else { continue };
        let why = match obstacle {
            Obstacle::BothHidden => "both ends are behind carrier NAT or have no address".to_owned(),
            Obstacle::UnknownToPfsense => "pfSense takes a routed tunnel only from an address or name that it knows, and the other end has none".to_owned(),
            Obstacle::Families => "one end has an IPv4 address, the other an IPv6 address".to_owned(),
        };
        let hub = match hub {
            Some(_) => None,
            None => *better.get_or_insert_with(|| possible_hub(routers)),
        };
        let hint = match hub {
            Some(site) => format!("give one end a public address, or set `tunnels: {{hub: {site}}}`"),
            None => "give one end a public address".to_owned(),
        };
        named += 1;
        if named > NAMED {
            break;
        }
        report.add(
            Problem::error(
                Code::UnreachableTunnel,
                format!("{}.uplinks[0]", high.path),
                format!("router `{}` cannot accept a tunnel from `{}`", high.router.name, low.router.name),
            )
            .because(why)
            .hint(hint),
        );
    }
}

fn numbers(inventory: &Inventory, pairs: &[(&Written<'_>, &Written<'_>)], report: &mut Report<'_>) {
    let index = |(low, high): &(&Written<'_>, &Written<'_>)| tunnels::index(low.router.id, high.router.id);
    let Some(last) = pairs.iter().max_by_key(|pair| index(pair)) else { return };
    let highest = index(last);
    let ranges = inventory.tunnels.iter().flat_map(|tunnels| tunnels.network.iter()).enumerate();
    for (i, cidr) in ranges {
        let net: IpNet = cidr.net();
        let prefix = tunnels::prefix(&net);
        if address::nth_subnet(net, prefix, highest).is_some() {
            continue;
        }
        let bits = u32::BITS - highest.leading_zeros();
        let path = report.item("spec.tunnels.network", i);
        report.add(
            Problem::error(Code::TunnelRange, path, format!("the tunnel range `{net}` is too small"))
                .because(format!("the tunnel between `{}` and `{}` has number {highest}, and takes the /{prefix} of that number", last.0.router.name, last.1.router.name))
                .hint(format!("give it a /{} or a larger one", u32::from(prefix).saturating_sub(bits))),
        );
    }
    for (low, high) in pairs
        .iter()
        .filter(|(low, high)| [low, high].iter().any(|end| end.router.kind == RouterKind::Pfsense))
    {
        if index(&(low, high)) > PFSENSE_REQID {
            report.add(
                Problem::error(
                    Code::OutOfRange,
                    format!("{}.id", high.path),
                    format!(
                        "the id {} of `{}` is too high for a tunnel with pfSense",
                        high.router.id, high.router.name
                    ),
                )
                .because(format!(
                    "pfSense takes tunnel numbers up to {PFSENSE_REQID}, and the one with `{}` is {}",
                    low.router.name,
                    index(&(low, high))
                ))
                .hint("use ids up to 179"),
            );
            return;
        }
    }
}
