//! Routers: gateways, namespaces, names of interfaces.

use std::collections::BTreeMap;

use kmh_doc::inventory::{Inventory, Router, RouterKind, Site};
use kmh_doc::{Code, Label, Problem};

use crate::report::Report;

/// Characters of an interface's name on Linux and FreeBSD.
const LONGEST_INTERFACE: usize = 15;

/// Routers of a site at most: with four lines each, two sites have 256 tunnels between them, and ranks go up to 255.
const MOST: usize = 4;

pub(crate) fn check(inventory: &Inventory, report: &mut Report<'_>) {
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
    if router.kind == RouterKind::Pfsense {
        let lines = router.uplinks.iter().enumerate();
        let lines = lines.map(|(u, line)| (&line.interface, format!("{path}.uplinks[{u}].interface")));
        for (interface, path) in lines.chain([(&router.interface, format!("{path}.interface"))]) {
            if let Some(interface) = interface {
                assigned(interface.as_str(), &router.name, path, report);
            }
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

/// pfSense's settings know an interface by the name that it was assigned, not by the kernel's (`igb1`), nor as the menu
/// has it (`OPT1`, or a description). Rules of another name would be for no interface, and none would say so.
fn assigned(interface: &str, router: &Label, path: String, report: &mut Report<'_>) {
    if is_pfsense_interface(interface) {
        return;
    }
    let small = interface.to_ascii_lowercase();
    let hint = if is_pfsense_interface(&small) {
        format!("write `{small}`")
    } else {
        "write `wan`, `lan`, `opt1`, `opt2` … : the page of an interface has it in its address, `interfaces.php?if=opt1`"
            .to_owned()
    };
    report.add(
        Problem::error(
            Code::BadText,
            path,
            format!("`{interface}` of `{router}` is no name that pfSense assigns to an interface"),
        )
        .hint(hint),
    );
}

/// Whether pfSense gives an interface this name: `wan`, `lan`, or `opt` and a number from 1 on.
pub fn is_pfsense_interface(interface: &str) -> bool {
    let number = interface.strip_prefix("opt").map(str::as_bytes);
    ["wan", "lan"].contains(&interface)
        || number.is_some_and(|number| {
            number.iter().all(u8::is_ascii_digit) && number.first().is_some_and(|first| *first != b'0')
        })
}

fn gateway(site: &Site, s: usize, report: &mut Report<'_>) {
    if site.routers.len() > MOST {
        report.add(
            Problem::error(
                Code::OutOfRange,
                format!("spec.sites[{s}].routers[{MOST}]"),
                format!("`{}` has {} routers, and may have {MOST}", site.name, site.routers.len()),
            )
            .hint("two are enough for one to be down; take another site for the others"),
        );
    }
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
