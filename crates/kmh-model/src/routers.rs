//! Routers: AS numbers, gateways, namespaces.

use std::collections::BTreeMap;

use kmh_doc::inventory::{Inventory, Router, RouterKind, Site};
use kmh_doc::{Asn, Code, Label, Problem};

use crate::report::Report;

/// Characters of an interface's name on Linux and FreeBSD.
const LONGEST_INTERFACE: usize = 15;

/// Reserved AS numbers: from, to, what for. 0 and 4294967295 are out of the schema's range already.
const RESERVED: &[(u32, u32, &str)] = &[
    (0, 0, "reserved (RFC 7607)"),
    (23456, 23456, "AS_TRANS (RFC 6793)"),
    (64496, 64511, "for documentation (RFC 5398)"),
    (65535, 65535, "reserved (RFC 7300)"),
    (65536, 65551, "for documentation (RFC 5398)"),
    (65552, 131_071, "reserved by IANA"),
    (u32::MAX, u32::MAX, "reserved (RFC 7300)"),
];

pub(crate) fn check(inventory: &Inventory, report: &mut Report<'_>) {
    asns(inventory, report);
    for (s, site) in inventory.sites.iter().enumerate() {
        gateway(site, s, report);
        for r in 0..site.routers.len() {
            namespace(site, s, r, report);
        }
    }
    namespaces(inventory, report);
    for (s, site) in inventory.sites.iter().enumerate() {
        for (r, router) in site.routers.iter().enumerate() {
            interfaces(router, &format!("spec.sites[{s}].routers[{r}]"), report);
        }
    }
}

fn namespaces(inventory: &Inventory, report: &mut Report<'_>) {
    let mut seen: BTreeMap<(&Label, &Label), (&Router, String)> = BTreeMap::new();
    for (s, site) in inventory.sites.iter().enumerate() {
        for (r, router) in site.routers.iter().enumerate() {
            let (Some(host), Some(netns)) = (&router.host, &router.netns) else { continue };
            let path = format!("spec.sites[{s}].routers[{r}].netns");
            if let Some((other, place)) = seen.get(&(host, netns)) {
                let cause = format!("`{}` lives there already ({})", other.name, report.place(place));
                report.add(
                    Problem::error(
                        Code::DuplicateName,
                        path,
                        format!("the namespace `{netns}` on `{host}` is used twice"),
                    )
                    .because(cause)
                    .hint("give each router a namespace of its own"),
                );
            } else {
                seen.insert((host, netns), (router, path));
            }
        }
    }
}

/// Names of interfaces: short enough, none of a tunnel's, and the nodes' segment apart from the lines.
fn interfaces(router: &Router, path: &str, report: &mut Report<'_>) {
    let mut names = Vec::new();
    for (u, line) in router.uplinks.iter().enumerate() {
        match &line.interface {
            Some(interface) => names.push((interface.as_str(), format!("{path}.uplinks[{u}].interface"))),
            None => names.push((line.name.as_str(), format!("{path}.uplinks[{u}].name"))),
        }
    }
    for (name, path) in &names {
        if name.len() > LONGEST_INTERFACE {
            report.add(
                Problem::error(
                    Code::BadText,
                    path,
                    format!("`{name}` is too long for an interface of `{}`", router.name),
                )
                .because(format!(
                    "without `interface` the line's name is its interface, and one has at most {LONGEST_INTERFACE} characters"
                ))
                .hint("write `interface` beside it"),
            );
        }
    }
    if let Some(interface) = &router.interface {
        // A namespace's lines are its host's.
        if router.netns.is_none() && names.iter().any(|(name, _)| *name == interface.as_str()) {
            report.add(
                Problem::error(
                    Code::Contradiction,
                    format!("{path}.interface"),
                    format!("`{interface}` of `{}` is the nodes' interface and a line's", router.name),
                )
                .because("a packet filter could not tell nodes from the Internet")
                .hint("give one of them an interface of its own, such as a VLAN's"),
            );
        }
        names.push((interface.as_str(), format!("{path}.interface")));
    }
    for (name, path) in names {
        let number = ["xfrm", "ipsec"].iter().find_map(|prefix| name.strip_prefix(prefix));
        if number.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit())) {
            report.add(
                Problem::error(
                    Code::Contradiction,
                    path,
                    format!("`{name}` is the name of a tunnel's interface"),
                )
                .hint("name the interface of the line or of the nodes' segment"),
            );
        }
    }
}

fn reserved(asn: Asn, path: &str, report: &mut Report<'_>) {
    if let Some((_, _, why)) = RESERVED.iter().find(|(from, to, _)| (*from..=*to).contains(&asn.get())) {
        report.add(
            Problem::error(Code::ReservedAsn, path, format!("the AS number {asn} is {why}"))
                .hint("private ones are 64512 to 65534 and 4200000000 to 4294967294 (RFC 6996)"),
        );
    }
}

fn asns(inventory: &Inventory, report: &mut Report<'_>) {
    let nodes = inventory.cluster.node_asn;
    reserved(nodes, "spec.cluster.node_asn", report);
    let mut owners: BTreeMap<Asn, (&Site, String)> = BTreeMap::new();
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
            if asn == nodes {
                report.add(
                    Problem::error(Code::DuplicateAsn, &path, format!("site `{}` has the AS number of the nodes, {asn}", site.name))
                        .because(if report.is_written("spec.cluster.node_asn") { "`cluster.node_asn` is the nodes'".to_owned() } else { format!("the nodes have {asn} when `cluster.node_asn` says nothing else") })
                        .hint("give the site another one: nodes would refuse routes with their own number in the path"),
                );
            } else if let Some((other, place)) = owners.get(&asn) {
                let cause = format!("`{}` has it already ({})", other.name, report.place(place));
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
                owners.insert(asn, (site, path));
            }
        }
    }
}

fn gateway(site: &Site, s: usize, report: &mut Report<'_>) {
    if site.routers.len() > 1 && site.gateway.is_empty() {
        report.add(
            Problem::error(
                Code::MissingKey,
                format!("spec.sites[{s}]"),
                format!("`{}` has {} routers and no `gateway`", site.name, site.routers.len()),
            )
            .hint("name the address that they share (CARP, VRRP)"),
        );
    }
}

fn namespace(site: &Site, s: usize, r: usize, report: &mut Report<'_>) {
    let Some(router) = site.routers.get(r) else { return };
    let path = format!("spec.sites[{s}].routers[{r}]");
    let name = &router.name;
    if router.kind == RouterKind::Pfsense {
        let set = [
            ("host", router.host.is_some()),
            ("netns", router.netns.is_some()),
            ("bgp", router.bgp.is_some()),
        ];
        for (key, _) in set.iter().filter(|(_, is_set)| *is_set) {
            report.add(
                Problem::error(
                    Code::Contradiction,
                    format!("{path}.{key}"),
                    format!("`{name}` is a pfSense box, and `{key}` is for Linux routers"),
                )
                .hint("remove it"),
            );
        }
        return;
    }
    match (&router.host, &router.netns) {
        (Some(_), None) => report.add(
            Problem::error(Code::MissingKey, path, format!("`{name}` has a `host` and no `netns`"))
                .hint("name the namespace that the router lives in, or remove `host`"),
        ),
        (None, Some(_)) => report.add(
            Problem::error(Code::MissingKey, path, format!("`{name}` has a `netns` and no `host`"))
                .hint("name the machine that carries the namespace"),
        ),
        _ => {}
    }
}
