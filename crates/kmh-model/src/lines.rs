//! A router's lines to the Internet: numbers, interfaces, and addresses by which each can be told from the others.

use std::collections::BTreeMap;
use std::net::IpAddr;

use kmh_doc::inventory::{Inventory, Nat, Router, RouterKind, Uplink};
use kmh_doc::{Code, Problem};

use crate::address::family;
use crate::outside;
use crate::ranges::{self, Range};
use crate::report::Report;
use crate::tunnels::{self, LINES};

pub(crate) fn check(inventory: &Inventory, report: &mut Report<'_>) {
    let ranges = ranges::all(inventory, report);
    for (s, site) in inventory.sites.iter().enumerate() {
        for (r, router) in site.routers.iter().enumerate() {
            let path = format!("spec.sites[{s}].routers[{r}].uplinks");
            numbers(router, &path, report);
            interfaces(router, &path, report);
            for (u, line) in router.uplinks.iter().enumerate() {
                local_address(router, line, &format!("{path}[{u}].local_address"), &ranges, report);
            }
            local_addresses(router, &path, report);
            if inventory.tunnels.is_some() {
                sources(router, &path, report);
                addresses(router, &path, report);
            }
        }
    }
}

fn numbers(router: &Router, path: &str, report: &mut Report<'_>) {
    let most = usize::from(LINES);
    if router.uplinks.len() > most {
        report.add(
            Problem::error(
                Code::OutOfRange,
                format!("{path}[{most}]"),
                format!("`{}` has {} uplinks, and may have {most}", router.name, router.uplinks.len()),
            )
            .because("tunnels have numbers for four lines of each router"),
        );
    }
    let mut seen: BTreeMap<u8, (&Uplink, usize)> = BTreeMap::new();
    for (u, line) in router.uplinks.iter().enumerate().take(most) {
        let number = tunnels::number(line, u);
        let Some((other, first)) = seen.get(&number) else {
            seen.insert(number, (line, u));
            continue;
        };
        let how = |line: &Uplink| if line.id.is_some() { "by its `id`" } else { "by its place" };
        // Said where a number is written: one of the two has an id, because places differ.
        let at = if line.id.is_some() { u } else { *first };
        report.add(
            Problem::error(
                Code::DuplicateId,
                format!("{path}[{at}].id"),
                format!(
                    "the uplinks `{}` and `{}` of `{}` both have the number {number}",
                    other.name, line.name, router.name
                ),
            )
            .because(format!("`{}` has it {}, `{}` {}", other.name, how(other), line.name, how(line)))
            .hint("write an `id` at each uplink, 1 to 4, and never change it"),
        );
    }
}

/// Tunnels of two lines go by two interfaces; where they are one, it is one line.
fn interfaces(router: &Router, path: &str, report: &mut Report<'_>) {
    let mut seen: BTreeMap<&str, (&Uplink, String)> = BTreeMap::new();
    for (u, line) in router.uplinks.iter().enumerate() {
        let (interface, place) = match &line.interface {
            Some(interface) => (interface.as_str(), format!("{path}[{u}].interface")),
            None => (line.name.as_str(), format!("{path}[{u}].name")),
        };
        match seen.get(interface) {
            // Lines of one name are refused elsewhere.
            Some((other, _)) if other.name == line.name => {}
            Some((other, first)) => {
                let cause = format!("it is that of `{}` already ({})", other.name, report.place(first));
                report.add(
                    Problem::error(
                        Code::Contradiction,
                        place,
                        format!(
                            "`{interface}` of `{}` cannot be the interface of `{}` too",
                            router.name, line.name
                        ),
                    )
                    .because(cause)
                    .hint("give each line an interface of its own, such as a VLAN's"),
                );
            }
            None => {
                seen.insert(interface, (line, place));
            }
        }
    }
}

fn local_address(router: &Router, line: &Uplink, path: &str, ranges: &[Range], report: &mut Report<'_>) {
    let Some(local) = line.local_address else { return };
    let whose = format!("`{local}`, the own address of `{}` on `{}`", router.name, line.name);
    let hint = "name the address that the router has on this line";
    outside::of_line(local, &whose, hint, path, ranges, report);
    let outer = line.address.as_ref().and_then(kmh_doc::HostName::ip);
    if let Some(outer) = outer.filter(|outer| outer.is_ipv4() != local.is_ipv4()) {
        report.add(
            Problem::error(Code::Contradiction, path, format!("{whose}, is of {}", family(local.is_ipv6())))
                .because(format!("others reach the line at `{outer}`, of {}", family(outer.is_ipv6())))
                .hint("name two addresses of one family"),
        );
    } else if let Some(outer) = outer.filter(|outer| line.nat == Nat::None && *outer != local) {
        report.add(
            Problem::error(Code::Contradiction, path, format!("{whose}, is not its address `{outer}`"))
                .because("nothing translates addresses on this line, so it has one")
                .hint("remove `local_address`, or say `nat: forwarded`"),
        );
    } else if line.dynamic && line.nat == Nat::None {
        report.add(
            Problem::error(
                Code::Contradiction,
                path,
                format!("{whose}, cannot be known: the line is dynamic"),
            )
            .because("nothing translates addresses on this line, so its own address changes too")
            .hint(
                "remove `local_address`, or say `nat: forwarded` when a router in front of it holds the line",
            ),
        );
    }
}

fn local_addresses(router: &Router, path: &str, report: &mut Report<'_>) {
    let mut seen: BTreeMap<IpAddr, (&Uplink, String)> = BTreeMap::new();
    for (u, line) in router.uplinks.iter().enumerate() {
        let Some(local) = line.local_address else { continue };
        let place = format!("{path}[{u}].local_address");
        if let Some((other, first)) = seen.get(&local) {
            let cause = format!("`{}` has it already ({})", other.name, report.place(first));
            report.add(
                Problem::error(
                    Code::DuplicateAddress,
                    place,
                    format!("`{local}` is the own address of `{}` on two lines", router.name),
                )
                .because(cause)
                .hint("each line has an address of its own, or they are one line"),
            );
        } else {
            seen.insert(local, (line, place));
        }
    }
}

/// Linux chooses the line by the source address (`ip rule`), so with several lines each needs one that is known.
fn sources(router: &Router, path: &str, report: &mut Report<'_>) {
    if router.kind != RouterKind::Linux || router.uplinks.len() < 2 {
        return;
    }
    for (u, line) in router.uplinks.iter().enumerate() {
        if source(line).is_none() {
            report.add(
                Problem::error(
                    Code::Needed,
                    format!("{path}[{u}]"),
                    format!("the own address of `{}` on `{}` is not known", router.name, line.name),
                )
                .because("with several lines a Linux router chooses the line of each tunnel by the address that it sends from")
                .hint("write `local_address` with the address that the router has on this line; where it changes, let the line's own box hold it and say `nat: forwarded` or `nat: carrier`"),
            );
        }
    }
}

/// The address that a router sends from on a line, when it is known.
pub(crate) fn source(line: &Uplink) -> Option<IpAddr> {
    let own = line.address.as_ref().filter(|_| line.nat == Nat::None && !line.dynamic);
    line.local_address.or_else(|| own.and_then(kmh_doc::HostName::ip))
}

/// Whoever is called by one name on two lines has two tunnels that nobody can tell apart.
fn addresses(router: &Router, path: &str, report: &mut Report<'_>) {
    let mut seen: BTreeMap<String, (&Uplink, String)> = BTreeMap::new();
    for (u, line) in router.uplinks.iter().enumerate() {
        let Some(address) = line.address.as_ref().filter(|_| line.nat != Nat::Carrier) else { continue };
        let key = address.ip().map_or_else(|| address.to_string(), |ip| ip.to_string());
        let place = format!("{path}[{u}].address");
        if let Some((other, first)) = seen.get(&key) {
            let cause = format!("`{}` is called there already ({})", other.name, report.place(first));
            report.add(
                Problem::error(
                    Code::DuplicateAddress,
                    place,
                    format!("`{address}`, uplink `{}` of `{}`, is used twice", line.name, router.name),
                )
                .because(cause)
                .hint("each line has tunnels of its own, so give each a name of its own, or let one only call: `nat: carrier`"),
            );
        } else {
            seen.insert(key, (line, place));
        }
    }
}
