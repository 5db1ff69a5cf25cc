//! Addresses of machines: inside their site's network, usable, each given once.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use kmh_doc::inventory::{Inventory, Site};
use kmh_doc::{Code, OneOrMany, Problem};

use crate::address::family;
use crate::ranges;
use crate::report::Report;

pub(crate) fn check(inventory: &Inventory, report: &mut Report<'_>) {
    let mut given: BTreeMap<IpAddr, (String, String)> = BTreeMap::new();
    for (s, site) in inventory.sites.iter().enumerate() {
        for (r, router) in site.routers.iter().enumerate() {
            let path = format!("spec.sites[{s}].routers[{r}].address");
            let what = format!("router `{}`", router.name);
            addresses(&router.address, Some(site), &what, &path, report);
            once(&mut given, &router.address, &what, &path, report);
        }
    }
    for (s, site) in inventory.sites.iter().enumerate() {
        let path = format!("spec.sites[{s}].gateway");
        let what = format!("the gateway of `{}`", site.name);
        addresses(&site.gateway, Some(site), &what, &path, report);
        // A gateway of several routers moves between them (CARP, VRRP); of a single one it may be its address.
        let own: Vec<IpAddr> = match site.routers.as_slice() {
            [only] => only.address.0.clone(),
            _ => Vec::new(),
        };
        let apart =
            OneOrMany(site.gateway.iter().copied().filter(|address| !own.contains(address)).collect());
        once(&mut given, &apart, &what, &path, report);
    }
    for (n, node) in inventory.nodes.iter().enumerate() {
        let path = format!("spec.nodes[{n}].address");
        let what = format!("node `{}`", node.name);
        let site = inventory.sites.iter().find(|site| site.name == node.site);
        addresses(&node.address, site, &what, &path, report);
        once(&mut given, &node.address, &what, &path, report);
    }
}

fn addresses(list: &OneOrMany<IpAddr>, site: Option<&Site>, what: &str, path: &str, report: &mut Report<'_>) {
    for (i, address) in list.iter().enumerate() {
        let path = report.item(path, i);
        if list.iter().take(i).any(|other| other.is_ipv6() == address.is_ipv6()) {
            let message = format!("{what} has two addresses of {}", family(address.is_ipv6()));
            report.add(
                Problem::error(Code::FamilyTwice, &path, message).hint("name at most one of each family"),
            );
        }
        let Some(site) = site else { continue };
        // A second network of the family is refused elsewhere; here any of them will do.
        let nets: Vec<IpNet> = site
            .network
            .iter()
            .map(|cidr| cidr.net())
            .filter(|net| net.addr().is_ipv6() == address.is_ipv6())
            .collect();
        let Some(first) = nets.first() else { continue };
        let Some(net) = nets.iter().find(|net| net.contains(address)) else {
            report.add(
                Problem::error(
                    Code::OutsideNetwork,
                    &path,
                    format!("`{address}`, {what}, lies outside the network of `{}`", site.name),
                )
                .because(format!("the network is `{first}`")),
            );
            continue;
        };
        if let Some(why) = ranges::unusable(*net, *address) {
            report.error(
                Code::UnusableAddress,
                &path,
                format!("`{address}`, {what}, is the {why} of `{net}`"),
            );
        }
    }
}

fn once(
    given: &mut BTreeMap<IpAddr, (String, String)>,
    list: &OneOrMany<IpAddr>,
    what: &str,
    path: &str,
    report: &mut Report<'_>,
) {
    for (i, address) in list.iter().enumerate() {
        let path = report.item(path, i);
        if let Some((other, place)) = given.get(address) {
            let cause = format!("{other} has it already ({})", report.place(place));
            report.add(
                Problem::error(Code::DuplicateAddress, path, format!("`{address}` of {what} is used twice"))
                    .because(cause),
            );
        } else {
            given.insert(*address, (what.to_owned(), path));
        }
    }
}
