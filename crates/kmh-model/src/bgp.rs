//! AS numbers by the layout, and timers that a session can keep.

use std::collections::BTreeMap;

use kmh_doc::inventory::{Inventory, Layout, NodePeers, RouterKind};
use kmh_doc::{Asn, Code, Problem};

use crate::needs::Need;
use crate::report::Report;

/// The first private AS number of four octets (RFC 6996): there are enough of them for any number of nodes.
const PRIVATE: u32 = 4_200_000_000;
/// Shortest time between BFD packets that FRR takes, in milliseconds.
const BFD_MS: u16 = 10;
/// Not more than this many nodes are named: a layout is changed for thousands of them at once.
const NAMED: usize = 20;

pub(crate) fn check(inventory: &Inventory, needs: &[Need], report: &mut Report<'_>) {
    reserved(inventory.cluster.node_asn, "spec.cluster.node_asn", report);
    let sites = sites(inventory, report);
    match inventory.bgp.layout {
        Layout::A => strangers(inventory, "every node has `cluster.node_asn`", report),
        Layout::B => strangers(inventory, "a node has the AS number of its site's routers", report),
        Layout::D => nodes(inventory, needs, &sites, report),
    }
    unsigned_ranges(inventory, report);
    timers(inventory, report);
}

/// Linux signs for a range (`TCP_MD5SIG_EXT`); FreeBSD has a key for each pair of addresses (setkey(8)), and FRR would
/// take whoever calls from the range unsigned.
fn unsigned_ranges(inventory: &Inventory, report: &mut Report<'_>) {
    if inventory.bgp.node_peers != NodePeers::Listen || !inventory.bgp.passwords {
        return;
    }
    let mut routers = inventory.sites.iter().flat_map(|site| &site.routers);
    if let Some(router) = routers.find(|router| router.kind == RouterKind::Pfsense) {
        report.add(
            Problem::error(
                Code::Contradiction,
                "spec.bgp.node_peers",
                format!("pfSense router `{}` cannot check the password of whoever calls", router.name),
            )
            .because("FreeBSD signs sessions of addresses that it knows, not of a range")
            .hint("remove `node_peers: listen`, or write `passwords: false` beside it"),
        );
    }
}

fn reserved(asn: Asn, path: &str, report: &mut Report<'_>) {
    // A node's own number is an annotation, and text; the others stand in Calico's resources, whose numbers are smaller.
    let hint = if path.starts_with("spec.nodes") {
        Asn::PRIVATE
    } else {
        "take one of 64512 to 65534 (RFC 6996); Calico's resources do not take the larger private ones"
    };
    if let Some(why) = asn.reserved() {
        report
            .add(Problem::error(Code::ReservedAsn, path, format!("the AS number {asn} is {why}")).hint(hint));
    }
}

/// The AS numbers of sites: whose, and where it is written.
fn sites<'a>(inventory: &'a Inventory, report: &mut Report<'_>) -> BTreeMap<Asn, (&'a str, String)> {
    // Where nodes have other numbers, this one is only what Calico takes for a node that it knows nothing about.
    let nodes = (inventory.bgp.layout == Layout::A).then_some(inventory.cluster.node_asn);
    let mut owners: BTreeMap<Asn, (&str, String)> = BTreeMap::new();
    for (s, site) in inventory.sites.iter().enumerate() {
        let mut own: Option<(Asn, String)> = None;
        for (r, router) in site.routers.iter().enumerate() {
            let Some(asn) = router.asn else { continue };
            let path = format!("spec.sites[{s}].routers[{r}].asn");
            reserved(asn, &path, report);
            if let Some((first, place)) = own.as_ref().filter(|(first, _)| *first != asn) {
                let cause = format!("the other has {first} ({})", report.place(place));
                report.add(
                    Problem::error(
                        Code::Contradiction,
                        &path,
                        format!("the routers of `{}` have different AS numbers", site.name),
                    )
                    .because(cause)
                    .hint("the routers of a site share one"),
                );
                continue;
            }
            if own.is_some() {
                continue;
            }
            own = Some((asn, path.clone()));
            if Some(asn) == nodes {
                let cause = if report.is_written("spec.cluster.node_asn") {
                    "`cluster.node_asn` is the nodes'".to_owned()
                } else {
                    format!("the nodes have {asn} when `cluster.node_asn` says nothing else")
                };
                report.add(
                    Problem::error(
                        Code::DuplicateAsn,
                        &path,
                        format!("site `{}` has the AS number of the nodes, {asn}", site.name),
                    )
                    .because(cause)
                    .hint("give the site another one: nodes would refuse routes with their own number in the path"),
                );
            } else if let Some((other, place)) = owners.get(&asn) {
                let cause = format!("`{other}` has it already ({})", report.place(place));
                report.add(
                    Problem::error(
                        Code::DuplicateAsn,
                        &path,
                        format!("the AS number {asn} of `{}` is used twice", site.name),
                    )
                    .because(cause)
                    .hint("give each site its own: routers refuse routes with their own number in the path"),
                );
            } else {
                owners.insert(asn, (site.name.as_str(), path));
            }
        }
    }
    owners
}

/// A node's own AS number in a layout that gives it another one.
fn strangers(inventory: &Inventory, rule: &str, report: &mut Report<'_>) {
    let layout = if inventory.bgp.layout == Layout::A { "A" } else { "B" };
    let own = inventory.nodes.iter().enumerate().filter_map(|(n, node)| Some((n, node, node.asn?)));
    for (n, node, asn) in own.take(NAMED) {
        report.add(
            Problem::error(
                Code::Contradiction,
                format!("spec.nodes[{n}].asn"),
                format!(
                    "node `{}` has the AS number {asn} of its own, and the layout is {layout}",
                    node.name
                ),
            )
            .because(format!("in layout {layout} {rule}; `asn` at a node is for layout D"))
            .hint("remove it, or write `bgp: {layout: D}`"),
        );
    }
}

/// Layout D: each node has a number that nobody else has.
fn nodes(
    inventory: &Inventory,
    needs: &[Need],
    sites: &BTreeMap<Asn, (&str, String)>,
    report: &mut Report<'_>,
) {
    let mut owners: BTreeMap<Asn, (&str, String)> = BTreeMap::new();
    for (n, node) in inventory.nodes.iter().enumerate() {
        let Some(asn) = node.asn else { continue };
        let path = format!("spec.nodes[{n}].asn");
        reserved(asn, &path, report);
        let (whose, (other, place)) = match (sites.get(&asn), owners.get(&asn)) {
            (Some(site), _) => ("the routers of ", site),
            (None, Some(node)) => ("", node),
            (None, None) => {
                owners.insert(asn, (node.name.as_str(), path));
                continue;
            }
        };
        let cause = format!(
            "{whose}`{other}` {} it already ({})",
            if whose.is_empty() { "has" } else { "have" },
            report.place(place)
        );
        report.add(
            Problem::error(
                Code::DuplicateAsn,
                path,
                format!("the AS number {asn} of `{}` is used twice", node.name),
            )
            .because(cause)
            .hint(
                "in layout D each node has its own: whoever finds its own number in a path refuses the route",
            ),
        );
    }
    if !needs.contains(&Need::Asn) {
        return;
    }
    // Of one number more than there are owners, one is free.
    let last = PRIVATE + u32::try_from(sites.len() + owners.len()).unwrap_or(0);
    let free =
        (PRIVATE..=last).map(Asn::new).find(|asn| !sites.contains_key(asn) && !owners.contains_key(asn));
    let without: Vec<usize> =
        inventory.nodes.iter().enumerate().filter(|(_, node)| node.asn.is_none()).map(|(n, _)| n).collect();
    for n in without.iter().take(NAMED) {
        let Some(node) = inventory.nodes.get(*n) else { continue };
        let problem = Problem::error(
            Code::NoAsn,
            format!("spec.nodes[{n}]"),
            format!("node `{}` has no AS number", node.name),
        );
        let cause = match without.len().saturating_sub(NAMED) {
            0 => "in layout D each node has its own".to_owned(),
            more => format!("in layout D each node has its own; {more} more have none"),
        };
        report.add(problem.because(cause).hint(format!(
            "write `asn:` with one that nobody else has, such as {}",
            free.unwrap_or(Asn::new(PRIVATE))
        )));
    }
}

/// Timers that a session can keep.
fn timers(inventory: &Inventory, report: &mut Report<'_>) {
    let timers = inventory.bgp.timers;
    for (name, keepalive, hold) in [
        ("nodes", timers.nodes.keepalive, timers.nodes.hold),
        ("routers", timers.routers.keepalive, timers.routers.hold),
    ] {
        if hold < keepalive.saturating_mul(3) {
            let path = format!("spec.bgp.timers.{name}");
            let at = if report.is_written(&format!("{path}.keepalive")) { "keepalive" } else { "hold" };
            report.add(
                Problem::error(
                    Code::Contradiction,
                    format!("{path}.{at}"),
                    format!("a keepalive every {keepalive} s is too seldom for a hold time of {hold} s"),
                )
                .because("one that is lost would end the session: they come every third of the hold time (RFC 4271, 4.4)")
                .hint(format!(
                    "take a hold time of {} s, or a keepalive of {} s",
                    u32::from(keepalive) * 3,
                    hold / 3
                )),
            );
        }
    }
    let bfd = timers.routers.bfd_ms;
    if bfd > 0 && bfd < BFD_MS {
        report.add(
            Problem::error(
                Code::OutOfRange,
                "spec.bgp.timers.routers.bfd_ms",
                format!("BFD every {bfd} ms is more often than routers can"),
            )
            .hint(format!("take {BFD_MS} or more, or 0 for none")),
        );
    }
}
